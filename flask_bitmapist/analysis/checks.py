"""Checks that several questions share."""

from __future__ import annotations

from collections.abc import Sequence

from .errors import QueryError, Text
from .periods import shorten


def check_index(name: str, value: int, most: int, least: int = 0) -> None:
    """Refuse what is not one of *least* to *most*.

    Args:
        name: The parameter, named in the message.
        value: What was given.
        most: The largest allowed number.
        least: The smallest allowed number.

    Raises:
        QueryError: *value* is something else.
    """
    if not least <= value <= most:
        raise QueryError(
            Text(
                "%(name)s is %(given)s; it must be %(least)s to %(most)s",
                name=name,
                given=value,
                least=least,
                most=most,
            ),
            field=name,
        )


def check_choice(name: str, value: object, allowed: Sequence[str]) -> None:
    """Refuse what is not one of *allowed*.

    Args:
        name: The parameter, named in the message.
        value: What was given.
        allowed: What it may be.

    Raises:
        QueryError: *value* is something else.
    """
    if value not in allowed:
        raise QueryError(
            Text(
                "%(name)s is %(given)s; use one of %(allowed)s",
                name=name,
                given=shorten(repr(value)),
                allowed=", ".join(allowed),
            ),
            field=name,
        )


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
            Text(
                "%(name)s is %(given)s; it must be a whole number of at least "
                "%(least)s",
                name=name,
                given=shorten(repr(value)),
                least=least,
            ),
            field=name,
        )
