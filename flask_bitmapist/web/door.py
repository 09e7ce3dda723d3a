"""The door of the pages: what may come in, and how much.

Every request for a page of either surface goes through here: :func:`enter` before
anything of it is read, then :func:`check_body` and one of the readers of arguments
before a form sees it.  Who may come in at all is decided in
:mod:`flask_bitmapist.access`, and what goes out in :mod:`.responses`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import request
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wsgi import LimitedStream

from ..analysis.errors import QueryError, Text

MOST_BODY = 64 * 1024
"""Most bytes of a body."""
MOST_ARGUMENTS = 8 * 1024
"""Most bytes of all arguments together, names and values."""


def path_of(endpoint: str) -> str:
    """Return where the page of a question is, below the prefix of the pages."""
    return "/" if endpoint == "index" else f"/{endpoint}"


def enter(endpoint: str | None, values: dict[str, Any] | None) -> None:
    """See to it that of the current request's body no more is read than is allowed.

    A ``url_value_preprocessor``, since those run before anything that an extension
    does before a request, such as looking for a token in a form.
    """
    body = LimitedStream(request.environ["wsgi.input"], MOST_BODY + 1, is_max=True)
    request.environ["wsgi.input"] = body


def check_body() -> None:
    """Refuse a body that is too long, without reading it where it tells its length.

    Raises:
        QueryError: It is.
    """
    if (request.content_length or 0) > MOST_BODY:
        raise _too_long()


def _too_long() -> QueryError:
    return QueryError(
        Text("The request body is larger than %(most)s bytes.", most=MOST_BODY)
    )


def check_size(texts: Iterable[str]) -> None:
    """Refuse a question whose *texts* are too long, all together.

    Raises:
        QueryError: They are.
    """
    size = sum(len(text.encode(errors="replace")) for text in texts)
    if size > MOST_ARGUMENTS:
        raise QueryError(
            Text(
                "The parameters of a report can have at most %(most)s bytes, and "
                "these have %(number)s: use fewer events or conditions, or give an "
                "expression a name.",
                most=MOST_ARGUMENTS,
                number=size,
            )
        )


@dataclass(frozen=True)
class Accepted:
    """Which arguments a page takes; all others are passed over.

    Args:
        names: The single ones.
        lists: The lists, each with the keys that an entry has: ``name-0`` where that is
            the empty one, ``name-0-key`` for others.
    """

    names: frozenset[str]
    lists: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        entry = re.fullmatch(r"(.+)-[0-9]{1,3}(?:-([a-z_]+))?", name)
        if entry and (entry[2] or "") in self.lists.get(entry[1], ()):
            return True
        return name in self.names

    def of(self, arguments: Iterable[tuple[str, str]]) -> MultiDict[str, str]:
        """Return those of *arguments* that the page takes.

        Raises:
            QueryError: They are too long, all together.
        """
        kept = [(name, value) for name, value in arguments if name in self]
        check_size(f"{name}{value}" for name, value in kept)
        return MultiDict(kept)


def url_arguments(accepted: Accepted) -> MultiDict[str, str]:
    """Return the arguments of the URL, as :meth:`Accepted.of` does."""
    return accepted.of(request.args.items(multi=True))


def form_arguments(accepted: Accepted) -> MultiDict[str, str]:
    """Return the arguments that a form has posted, as :meth:`Accepted.of` does."""
    _read(lambda: request.form)
    return accepted.of(request.form.items(multi=True))


def json_arguments(accepted: Accepted) -> MultiDict[str, str]:
    """Return what a JSON body asks, by the names that a URL would use.

    Raises:
        QueryError: The body is not a JSON object, is too long, or has a value of a
            wrong type.
    """
    wrong: dict[str, Text] = {}
    arguments: list[tuple[str, str]] = []
    for name, value in json_object().items():
        flatten = _listed if name in accepted.lists else _single
        if name not in accepted.lists and name not in accepted.names:
            continue
        try:
            arguments += flatten(name, value)
        except TypeError as error:
            wrong[name] = error.args[0]
    if wrong:
        from ..questions.declare import ParameterError

        raise ParameterError(wrong)
    return accepted.of(arguments)


def json_object() -> dict[str, Any]:
    """Return the JSON object in the body of the current request.

    Raises:
        QueryError: There is none, or it is too long.
    """
    data = _read(request.get_data)
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        raise QueryError(Text("The request body is not valid JSON.")) from None
    if not isinstance(body, dict):
        raise QueryError(Text("The request body must be a JSON object."))
    return body


def _read(read: Callable[[], Any]) -> Any:
    """Read the body; one that comes in chunks may turn out to be too long."""
    try:
        data = read()
    except RequestEntityTooLarge:
        raise _too_long() from None
    body = request.environ["wsgi.input"]
    if isinstance(body, LimitedStream) and body.is_exhausted:
        raise _too_long()
    return data


def _single(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, (dict, list)):
        raise TypeError(Text("This must be a string, a number or a boolean."))
    if value is not None:
        yield name, _text(value)


def _listed(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if value is None:
        return
    if not isinstance(value, list):
        raise TypeError(Text("This must be a list."))
    for number, entry in enumerate(value):
        yield from _entry(name, number, entry)


def _entry(name: str, number: int, entry: Any) -> Iterator[tuple[str, str]]:
    if isinstance(entry, dict):
        if not entry.get("name"):
            raise TypeError(Text("Entry %(number)s needs a name.", number=number + 1))
        for key, value in entry.items():
            if isinstance(value, (dict, list)):
                raise TypeError(
                    Text("Entry %(number)s is not valid.", number=number + 1)
                )
            if value is not None:
                yield f"{name}-{number}-{key}", _text(value)
    elif isinstance(entry, str):
        # A list of plain names, or of conditions that are joined by "and".
        yield f"{name}-{number}", entry
        yield f"{name}-{number}-name", entry
    else:
        raise TypeError(Text("Entry %(number)s is not valid.", number=number + 1))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "y" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # JSON has one kind of number
    return str(value)


def wants_json() -> bool:
    """Return whether the request asks for JSON, in whichever way."""
    return (
        request.args.get("format") == "json"
        or request.args.get("json", "").lower() in ("true", "1", "y", "yes", "on")
        or request.accept_mimetypes.best == "application/json"
    )
