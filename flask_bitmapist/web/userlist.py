"""The users behind a number: a page of ids, linked to the app's own pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import request
from flask.typing import ResponseReturnValue

from ..analysis.errors import QueryError
from ..store.userset import UserSet
from .export import json_response
from .links import Links
from .surface import state
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
    settings = state().settings
    link = Links(answering.surface, answering.page.name, form)
    return answering.html(
        "bitmapist/userlist.html",
        form,
        users=page,
        shown=[(each, *describe(answering.surface, each)) for each in page.ids],
        has_names=settings.user_name is not None,
        has_links=bool(settings.user_url),
        link=link,
    )


def describe(surface: Any, user_id: int) -> tuple[str, str | None]:
    """Return the name to show for a user, and the URL of the app's page of them.

    Args:
        surface: Where it is shown; a Flask-Admin may have a page of users itself.
        user_id: The user.
    """
    settings = state().settings
    name = settings.user_name(user_id) if settings.user_name is not None else None
    return str(name) if name else "", _user_url(settings.user_url, user_id)


def _user_url(setting: Any, user_id: int) -> str | None:
    if callable(setting):
        url = setting(user_id)
        return str(url) if url else None
    return setting.format(id=user_id) if setting else None


def _number(name: str, default: int, most: int) -> int:
    text = request.args.get(name) or str(default)
    if text.isascii() and text.isdigit() and len(text) < 11 and 0 < int(text) <= most:
        return int(text)
    raise QueryError(gettext("This must be 1 to %(most)s.", most=most), field=name)
