"""Checks that several questions share."""

from __future__ import annotations

from .errors import QueryError
from .periods import shorten


def check_count(name: str, value: object, least: int = 1) -> None:
    """Refuse what is not a whole number of at least *least*.

    Args:
        name: The parameter, named in the message.
        value: What was given.
        least: The smallest allowed number.

    Raises:
        QueryError: *value* is something else.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise QueryError(
            f"{name} is {shorten(repr(value))}; "
            f"it must be a whole number of at least {least}",
            field=name,
        )
