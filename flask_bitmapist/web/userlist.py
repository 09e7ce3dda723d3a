"""The users behind a number: a page of ids, linked to the app's own pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import request
from flask.typing import ResponseReturnValue

from ..analysis.errors import QueryError
from ..store.userset import UserSet
from .export import json_response
from .links import Links
from .texts import gettext

if TYPE_CHECKING:
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
    if wanted == "json":
        return json_response(page.to_dict())
    surface = answering.surface
    shown = [(each, *surface.describe(each)) for each in page.ids]
    link = Links(surface, answering.page.name, form)
    return answering.html(
        "bitmapist/userlist.html",
        form,
        users=page,
        shown=shown,
        has_names=any(name for _, name, _ in shown),
        has_links=any(url for _, _, url in shown),
        own_url=lambda user: surface.url("people", user=user),
        link=link,
        back=link.whole(),
    )


def _number(name: str, default: int, most: int) -> int:
    text = request.args.get(name) or str(default)
    if text.isascii() and text.isdigit() and len(text) < 11 and 0 < int(text) <= most:
        return int(text)
    raise QueryError(gettext("This must be 1 to %(most)s.", most=most), field=name)
