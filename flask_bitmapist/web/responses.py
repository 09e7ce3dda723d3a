"""What goes out: JSON, files, refusals; how large it is, and what caches may keep."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from flask import Response, make_response, request, stream_with_context
from flask.typing import ResponseReturnValue
from jinja2 import Template
from redis import RedisError, ResponseError
from redis.exceptions import RedisClusterException

from ..analysis.errors import QueryError, Text
from ..analysis.results import Table, to_csv
from ..store.errors import DamagedIdMapError, NotABitmapError
from ..store.userset import UserSet
from . import formats
from .door import wants_json
from .texts import gettext

if TYPE_CHECKING:
    from .surface import Surface

MOST_ANSWER = 8 * 1024 * 1024
"""Most bytes of an answer that is no CSV."""

_BYTE_ORDER_MARK = "\ufeff"
"""Tells a spreadsheet that a file is UTF-8; programs take it for part of a name."""

OPENED_BY = (
    "from flask_login import current_user\n"
    "bitmapist.access(lambda: current_user.is_authenticated and current_user.is_admin)"
)
"""How an app lets its own people in, with Flask-Login."""


class Place(NamedTuple):
    """A page as the menu and the title have it."""

    name: str
    """Its endpoint."""
    label: Text

    @property
    def title(self) -> str:
        """What it is called, in the language of the request."""
        return formats.translated(self.label)


FORBIDDEN = Place("forbidden", Text("Access denied"))
"""What others see; it is in no menu."""


class ErrorsDict(TypedDict):
    """What is wrong, by parameter; ``form`` for all of it."""

    errors: dict[str, list[str]]


_BATCH = 4096


def json_response(content: Mapping[str, Any], status: int = 200) -> Response:
    """Return *content* as a JSON response.

    Raises:
        QueryError: It would be longer than an answer may be.
    """
    text = json.dumps(content, allow_nan=False, ensure_ascii=True)
    text = text.replace("<", "\\u003c")  # no tag, whatever takes it for HTML
    text = bounded([text])
    return Response(text, status, mimetype="application/json")


def errors_response(errors: Mapping[str, list[str]], status: int) -> Response:
    """Return what is wrong as JSON, in the one shape that all errors have."""
    told: ErrorsDict = {"errors": dict(errors)}
    return json_response(told, status)


def csv_response(table: Table, name: str) -> Response:
    """Return *table* as a CSV file to download.

    Args:
        table: Its columns and rows.
        name: What the file is called, without its ending.
    """
    rows = chain([table.columns], table.rows)
    return _file(map(to_csv, _batches(rows)), name)


def users_csv(users: UserSet, name: str) -> Response:
    """Return all *users* as a CSV file, see :func:`listed_csv`."""
    return listed_csv(users.listed(), name)


def listed_csv(lines: Iterable[list[Any]], name: str) -> Response:
    """Return a list of users as a CSV file, read and sent bit by bit.

    Args:
        lines: The heading, and a line for each user.
        name: What the file is called, without its ending.
    """
    rest = iter(lines)
    parts = map(to_csv, chain([[next(rest)]], _batches(rest)))
    # The first ids are read at once, so that an error still becomes a clear page.
    return _file(
        chain([next(parts) + next(parts, "")], stream_with_context(parts)), name
    )


def _batches(items: Iterable[Any]) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for item in items:
        batch.append(item)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _file(parts: Iterable[str], name: str) -> Response:
    if _is_for_people():
        parts = chain([_BYTE_ORDER_MARK], parts)
    # Only plain characters: a name may hold what a user typed.
    plain = re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip("-.") or "export"
    response = Response(parts, mimetype="text/csv")
    response.headers["Content-Disposition"] = f'attachment; filename="{plain}.csv"'
    return response


def _is_for_people() -> bool:
    """Return whether a browser asks, whose downloads are opened in a spreadsheet."""
    return any(kind == "text/html" for kind, _ in request.accept_mimetypes)


def bounded(pieces: Iterable[str]) -> str:
    """Return a text written piece by piece, which ends where it is too long.

    Raises:
        QueryError: It is; what would have come after that is never made.
    """
    texts, size, rest = [], 0, iter(pieces)
    while batch := "".join(islice(rest, 500)):
        size += len(batch) if batch.isascii() else len(batch.encode(errors="replace"))
        if size > MOST_ANSWER:
            raise QueryError(
                gettext(
                    "This answer would be larger than %(most)s bytes: ask for "
                    "fewer rows, columns or periods, use shorter names, or "
                    "export it as CSV.",
                    most=formats.number(MOST_ANSWER),
                )
            )
        texts.append(batch)
    return "".join(texts)


class BoundedTemplate(Template):
    """A template that writes no more than an answer may have."""

    def render(self, *arguments: Any, **context: Any) -> str:
        """Return the template filled in.

        Raises:
            QueryError: The text would be longer than an answer may be.
        """
        return bounded(self.generate(*arguments, **context))


def unkept(response: ResponseReturnValue) -> Response:
    """Return *response*, which tells of people, marked as not to be kept anywhere."""
    marked = make_response(response)
    marked.headers["Cache-Control"] = "private, no-store"
    return marked


def leave(response: ResponseReturnValue, surface: Surface) -> Response:
    """Return *response* with what caches have to know of it.

    Args:
        response: The answer, whatever it says.
        surface: Where it is shown.
    """
    marked = make_response(response)
    marked.vary.add("Accept")
    if not surface.is_public:
        marked.headers.setdefault("Cache-Control", "private")
    return marked


def answered(
    surface: Surface,
    page: Place,
    respond: Callable[[], ResponseReturnValue],
    is_program: bool,
) -> Response:
    """Return what *respond* gives, or that Redis does not answer, fit to be sent.

    Args:
        surface: Where the page is shown.
        page: Which page.
        respond: Gives the response.
        is_program: Whether a program asks, which reads no HTML.
    """
    try:
        response = respond()
    except (RedisError, RedisClusterException) as error:
        logger = surface.state.app.logger
        logger.warning("%s: Redis does not answer: %s", page.name, error)
        message = _unavailable(error)
        if is_program:
            response = errors_response({"form": [message]}, 503)
        else:
            template = "flask_bitmapist/unavailable.html"
            text = surface.render(template, page, message=message, left_out=list)
            response = text, 503
    return leave(response, surface)


def _unavailable(error: Exception) -> str:
    """Return what to say where Redis does not answer as it should."""
    if isinstance(error, NotABitmapError | DamagedIdMapError):
        return formats.translated(error.args[0])
    if isinstance(error, ResponseError):
        return gettext("Redis refused to answer; see the app's log for the reason.")
    return gettext("Redis does not answer, so there is nothing to show right now.")


def turn_away(surface: Surface, is_program: bool = False) -> Response:
    """Return the answer for whoever may not see the pages.

    Args:
        surface: Where it is shown.
        is_program: Whether a program asks, which reads no HTML.
    """
    if surface.is_restricted:
        message = gettext("You do not have access to this page.")
        return refuse(surface, message, is_program=is_program)
    message = gettext(
        "Only available on localhost in development until access is configured."
    )
    return refuse(surface, message, OPENED_BY, is_program)


def unauthorized(surface: Surface) -> Response:
    """Return the answer for a program whose token is not known.

    Args:
        surface: Where it asks.
    """
    message = gettext("This token is not known.")
    response = leave(errors_response({"form": [message]}, 401), surface)
    response.headers["WWW-Authenticate"] = 'Bearer error="invalid_token"'
    return response


def refuse(
    surface: Surface, message: str, code: str | None = None, is_program: bool = False
) -> Response:
    """Return an answer with status 403.

    Args:
        surface: Where it is shown.
        message: Why.
        code: How an app allows it.
        is_program: Whether a program asks, which reads no HTML.
    """
    if is_program or wants_json():
        return leave(errors_response({"form": [message]}, 403), surface)
    template = "flask_bitmapist/forbidden.html"
    context = {"message": message, "code": code, "left_out": list}
    text = surface.render(template, FORBIDDEN, **context)
    return leave((text, 403), surface)
