"""The arguments of a request: from its URL, or from a JSON body."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from flask import request
from werkzeug.datastructures import MultiDict

from . import formats
from .texts import gettext

MOST_BYTES = 256 * 1024
"""Most bytes of a body: more than the longest names need."""


class BadBodyError(ValueError):
    """A body that cannot be read as arguments.

    Args:
        messages: What is wrong, by field.
    """

    def __init__(self, messages: Mapping[str, list[str]]) -> None:
        super().__init__(str(dict(messages)))
        self.messages = dict(messages)


def url_arguments() -> MultiDict[str, str] | None:
    """Return the arguments of the URL, or None if there are none.

    A form that gets None shows its defaults; an empty mapping would mean that its
    checkboxes are off.
    """
    return request.args or None


def body_object() -> dict[str, Any]:
    """Return the JSON object in the body.

    Raises:
        BadBodyError: The body is something else.
    """
    try:
        body = json.loads(_body())
    except (ValueError, RecursionError):
        raise BadBodyError({"form": [gettext("The body is not JSON.")]}) from None
    if not isinstance(body, dict):
        raise BadBodyError({"form": [gettext("The body must be a JSON object.")]})
    return body


def body_arguments(lists: Collection[str]) -> MultiDict[str, str]:
    """Return what a JSON body asks, by the names that a URL would use.

    Args:
        lists: The names whose values are lists; all others are single values.

    Raises:
        BadBodyError: The body is not a JSON object, or has a value of a wrong type.
    """
    body = body_object()
    messages: dict[str, list[str]] = {}
    arguments: MultiDict[str, str] = MultiDict()
    for name, value in body.items():
        try:
            flat = _listed(name, value) if name in lists else _single(name, value)
            arguments.update(dict(flat))
        except TypeError as error:
            messages[name] = [str(error)]
    if messages:
        raise BadBodyError(messages)
    return arguments


def _body() -> bytes:
    """Return the body, of which no more is read than it may be long."""
    length = request.content_length
    if length is None:
        # It comes in chunks, and might never end.
        data = request.stream.read(MOST_BYTES + 1)
    else:
        data = request.get_data() if length <= MOST_BYTES else b""
    if (length or len(data)) > MOST_BYTES:
        most = formats.number(MOST_BYTES)
        raise BadBodyError(
            {"form": [gettext("The body has more than %(most)s bytes.", most=most)]}
        )
    return data


def _single(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, (dict, list)):
        raise TypeError(gettext("This must be a text, a number or a truth value."))
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
                    gettext("Entry %(number)s is not understood.", number=number + 1)
                )
            if value is not None:
                yield f"{name}-{number}-{key}", _text(value)
    elif isinstance(entry, str):
        # A list of plain names, or of conditions that are joined by "and".
        yield f"{name}-{number}", entry
        yield f"{name}-{number}-name", entry
    else:
        raise TypeError(
            gettext("Entry %(number)s is not understood.", number=number + 1)
        )


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "y" if value else "false"
    return str(value)
