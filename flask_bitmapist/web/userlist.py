"""The users behind a number: a page of ids, linked to the app's own pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from flask import request
from flask.typing import ResponseReturnValue

from ..analysis.errors import QueryError
from ..store.idmap import KnownIds
from ..store.userset import UserSet
from .export import json_response
from .links import Links
from .texts import gettext

if TYPE_CHECKING:
    from ..state import BitmapistState
    from .forms import QuestionForm
    from .pages import Answering

PER_PAGE = 100
MOST_PER_PAGE = 10_000


def users_page(
    answering: Answering, form: QuestionForm, users: UserSet, wanted: str
) -> ResponseReturnValue:
    """Return a page of *users*.

    Args:
        answering: The request.
        form: The question that they are behind.
        users: Which users.
        wanted: ``html`` or ``json``.

    Raises:
        QueryError: The URL's ``page`` or ``per_page`` is not a number, or too large.
    """
    page = users.page(
        _number("page", 1, 2**32), _number("per_page", PER_PAGE, MOST_PER_PAGE)
    )
    keys = keys_of(answering.state, page.ids)
    if wanted == "json":
        own = {"keys": keys} if answering.state.settings.id_map else {}
        return json_response({**page.to_dict(), **own})
    surface = answering.surface
    shown = [(each, *surface.describe(each)) for each in keys]
    link = Links(surface, answering.page.name, form)
    return answering.html(
        "bitmapist/userlist.html",
        form,
        users=page,
        shown=shown,
        has_names=any(name for _, name, _ in shown),
        has_links=any(url for _, _, url in shown),
        own_url=lambda user: surface.url("users", user_id=user),
        link=link,
        back=link.whole(),
    )


def keys_of(state: BitmapistState, ids: Sequence[int]) -> list[int] | list[str]:
    """Return the app's own keys of users, or their ids where it keeps none.

    Args:
        state: What the extension keeps for the app.
        ids: The users.
    """
    if state.settings.id_map:
        return KnownIds(state.read_client).keys_of(ids)
    return list(ids)


def _number(name: str, default: int, most: int) -> int:
    text = request.args.get(name) or str(default)
    if text.isascii() and text.isdigit() and len(text) < 11 and 0 < int(text) <= most:
        return int(text)
    raise QueryError(gettext("This must be 1 to %(most)s.", most=most), field=name)
