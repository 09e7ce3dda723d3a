"""The door of the pages: what may come in, and how much, and what may go out.

Every request for a page of either surface goes through here: :func:`enter` before
anything of it is read, :func:`check_body` and one of the readers of arguments before a
form sees it, :func:`bounded` while the answer is written, and :func:`leave` after that.
Who may come in at all is decided in :mod:`flask_bitmapist.access`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import TYPE_CHECKING, Any

from flask import Response, make_response, request
from flask.typing import ResponseReturnValue
from jinja2 import Environment, Template
from redis import RedisError
from redis.exceptions import RedisClusterException
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wsgi import LimitedStream

from ..analysis.errors import QueryError
from . import formats
from .texts import gettext

if TYPE_CHECKING:
    from ..state import BitmapistState
    from .surface import Surface

MOST_BODY = 64 * 1024
"""Most bytes of a body."""
MOST_ARGUMENTS = 8 * 1024
"""Most bytes of all arguments together, names and values."""
MOST_ANSWER = 8 * 1024 * 1024
"""Most bytes of an answer that is no CSV."""
LOOKED_KEY = "flask-bitmapist:looked-through"
"""Is in Redis for as long as nobody may look through all keys again."""
LOOK_EVERY = 60
"""Seconds."""


class TurnedAwayError(ValueError):
    """A request that cannot be read as a question.

    Args:
        messages: What is wrong, by field; ``form`` is the question as a whole.
    """

    def __init__(self, messages: Mapping[str, list[str]]) -> None:
        super().__init__(str(dict(messages)))
        self.messages = dict(messages)


# -- what is handed to Flask


def named(
    function: Callable[..., Any], module: str, name: str, about: str
) -> Callable[..., Any]:
    """Return *function* as one to hand to Flask, with a name that no other has.

    Extensions tell views apart by their modules and names: to exempt one from CSRF
    protection, or to count its requests.

    Args:
        function: What is called.
        module: The module that it is said to be of.
        name: Its name, of which there is one in the module.
        about: Its docstring.
    """

    def view(*arguments: Any, **options: Any) -> Any:
        return function(*arguments, **options)

    view.__module__ = module
    view.__name__ = view.__qualname__ = name
    view.__doc__ = about
    return view


# -- what comes in


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
        TurnedAwayError: It is.
    """
    if (request.content_length or 0) > MOST_BODY:
        raise _too_long()


def _too_long() -> TurnedAwayError:
    most = formats.number(MOST_BODY)
    return _refusal(
        gettext("The request body is larger than %(most)s bytes.", most=most)
    )


def check_size(texts: Iterable[str]) -> None:
    """Refuse a question whose *texts* are too long, all together.

    Raises:
        TurnedAwayError: They are.
    """
    size = sum(len(text.encode(errors="replace")) for text in texts)
    if size > MOST_ARGUMENTS:
        raise _refusal(
            gettext(
                "The parameters of a report can have at most %(most)s bytes, and "
                "these have %(number)s: use fewer events or conditions, or give an "
                "expression a name.",
                most=formats.number(MOST_ARGUMENTS),
                number=formats.number(size),
            )
        )


def _refusal(message: str) -> TurnedAwayError:
    return TurnedAwayError({"form": [message]})


@dataclass(frozen=True)
class Declared:
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

    def of(self, arguments: Iterable[tuple[str, str]]) -> MultiDict[str, str] | None:
        """Return those of *arguments* that the page takes, or None if there are none.

        A form that gets None shows its defaults; an empty mapping would mean that its
        checkboxes are off.

        Raises:
            TurnedAwayError: They are too long, all together.
        """
        kept = [(name, value) for name, value in arguments if name in self]
        check_size(f"{name}{value}" for name, value in kept)
        return MultiDict(kept) if kept else None


def url_arguments(declared: Declared) -> MultiDict[str, str] | None:
    """Return the arguments of the URL, as :meth:`Declared.of` does."""
    return declared.of(request.args.items(multi=True))


def form_arguments(declared: Declared) -> MultiDict[str, str] | None:
    """Return the arguments that a form has posted, as :meth:`Declared.of` does."""
    _read(lambda: request.form)
    return declared.of(request.form.items(multi=True))


def json_arguments(declared: Declared) -> MultiDict[str, str] | None:
    """Return what a JSON body asks, by the names that a URL would use.

    Raises:
        TurnedAwayError: The body is not a JSON object, is too long, or has a value of
            a wrong type.
    """
    body = json_object()
    messages: dict[str, list[str]] = {}
    arguments: list[tuple[str, str]] = []
    for name, value in body.items():
        flatten = _listed if name in declared.lists else _single
        if name not in declared.lists and name not in declared.names:
            continue
        try:
            arguments += flatten(name, value)
        except TypeError as error:
            messages[name] = [str(error)]
    if messages:
        raise TurnedAwayError(messages)
    # An empty object asks as well: for what is required.
    return declared.of(arguments) or MultiDict()


def json_object() -> dict[str, Any]:
    """Return the JSON object in the body of the current request.

    Raises:
        TurnedAwayError: There is none, or it is too long.
    """
    data = _read(request.get_data)
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        raise _refusal(gettext("The request body is not valid JSON.")) from None
    if not isinstance(body, dict):
        raise _refusal(gettext("The request body must be a JSON object."))
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
        raise TypeError(gettext("This must be a string, a number or a boolean."))
    if value is not None:
        yield name, _text(value)


def _listed(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if value is None:
        return
    if not isinstance(value, list):
        raise TypeError(gettext("This must be a list."))
    for number, entry in enumerate(value):
        yield from _entry(name, number, entry)


def _entry(name: str, number: int, entry: Any) -> Iterator[tuple[str, str]]:
    if isinstance(entry, dict):
        if not entry.get("name"):
            raise TypeError(
                gettext("Entry %(number)s needs a name.", number=number + 1)
            )
        for key, value in entry.items():
            if isinstance(value, (dict, list)):
                raise TypeError(
                    gettext("Entry %(number)s is not valid.", number=number + 1)
                )
            if value is not None:
                yield f"{name}-{number}-{key}", _text(value)
    elif isinstance(entry, str):
        # A list of plain names, or of conditions that are joined by "and".
        yield f"{name}-{number}", entry
        yield f"{name}-{number}-name", entry
    else:
        raise TypeError(gettext("Entry %(number)s is not valid.", number=number + 1))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "y" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # JSON has one kind of number
    return str(value)


def may_look_through(kept: BitmapistState) -> bool:
    """Return whether all keys may be looked through now, which costs the store most.

    That is once a minute for a store, however many processes ask.  Where Redis lets
    nothing be written, it is once a minute for each process.

    Args:
        kept: What is kept for the app.
    """
    client = kept.store.client
    try:
        return bool(client.set(LOOKED_KEY, 1, nx=True, ex=LOOK_EVERY))
    except (RedisError, RedisClusterException):
        scan = kept.catalogue.scan
        now = datetime.now(tz=timezone.utc)
        return scan is None or now - scan.at >= timedelta(seconds=LOOK_EVERY)


# -- what goes out


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


class _BoundedTemplate(Template):
    def render(self, *arguments: Any, **context: Any) -> str:
        return bounded(self.generate(*arguments, **context))


def bounded_template(environment: Environment, name: str) -> Template:
    """Return the template *name*, which writes no more than an answer may have.

    Flask's ``render_template`` takes it like any other, and Flask-Admin's ``render``
    hands it on.
    """
    template: Template = object.__new__(_BoundedTemplate)
    template.__dict__.update(environment.get_template(name).__dict__)
    return template


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
