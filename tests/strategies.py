"""Random histories that keep near the edges of the calendar."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from functools import cache

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from flask_bitmapist import Event, Expression, Flag

from .inside import (
    Between,
    Ever,
    First,
    InLast,
    Named,
    Never,
    Not,
    Restarted,
    Stopped,
)
from .reference import Did, Mark, Meaning, utc

exact = settings(
    max_examples=60,
    deadline=None,
    # Every example empties the database itself.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

# ISO New Years of both kinds (week 53, week 1 in December), leap days, month ends,
# the end of a century's leap rule, and a plain day.
EDGES = [
    "2020-12-31",
    "2021-01-03",
    "2024-12-30",
    "2025-01-01",
    "2015-12-31",
    "2024-02-29",
    "2023-02-28",
    "2000-02-29",
    "1999-12-31",
    "2025-04-30",
    "2025-07-16",
]
EVENTS = ("a", "b", "c")
# Ids that make bitmaps of different lengths, with bits on the edges of bytes, words
# and stripes.
USERS = [0, 1, 7, 8, 63, 64, 65, 500, 8191, 64_000, 64_001, 100_000]
REACH = {
    "hours": 2,
    "days": 12,
    "weeks": 80,
    "months": 330,
    "quarters": 600,
    "years": 1200,
}

groups = st.sampled_from(sorted(REACH))


@st.composite
def histories(
    draw: st.DrawFn, group: str, after: bool = False
) -> tuple[list[Mark], datetime]:
    """Marks in the time before some edge of the calendar, and a moment near it.

    With *after*, there are also marks later than that moment.
    """
    edge = utc(draw(st.sampled_from(EDGES)))
    as_of = edge + timedelta(hours=draw(st.integers(0, 23)))
    hours = st.integers(-8 * REACH[group] if after else 0, 24 * REACH[group])
    drawn = draw(
        st.lists(
            st.tuples(st.sampled_from(EVENTS), st.sampled_from(USERS), hours),
            max_size=60,
        )
    )
    marks = [
        Mark(event, user, as_of - timedelta(hours=ago)) for event, user, ago in drawn
    ]
    return marks, as_of


DEFINED: dict[str, Expression] = {
    "regulars": Event("a") & ~Event("c"),
    "either": Event("a") | Event("b"),
}
"""What the app has given names."""

Asked = tuple[Expression, Meaning]
"""An expression, and what it means in plain sets."""


def _event(name: str) -> Asked:
    return Event(name), lambda did, flagged: did(name)


def _combined(parts: tuple[Asked, Asked, str]) -> Asked:
    (left, a), (right, b), operator = parts
    if operator == "and":
        return left & right, lambda did, flagged: a(did, flagged) & b(did, flagged)
    if operator == "or":
        return left | right, lambda did, flagged: a(did, flagged) | b(did, flagged)
    without: Meaning = lambda did, flagged: a(did, flagged) - b(did, flagged)  # noqa: E731
    if operator == "and not":
        return left & ~right, without
    return Not(right, within=left), without


OPERANDS: list[tuple[Expression, tuple[str, ...]]] = [
    *((Event(name), (name,)) for name in EVENTS),
    (Event("b") | Event("c"), ("b", "c")),
    (Named("either", DEFINED["either"]), ("a", "b")),
]
"""What a window can be put on, and the events of each."""

Days = Callable[[set[date], date], bool]
"""Whether somebody who did something on these days is meant, as of a day."""

WITHIN: dict[str, Callable[[date], object]] = {
    "days": lambda day: day,
    "weeks": lambda day: day.isocalendar()[:2],
    "months": lambda day: (day.year, day.month),
    "quarters": lambda day: (day.year, (day.month + 2) // 3),
    "years": lambda day: day.year,
}


@cache
def last_units(unit: str, count: int, last: date) -> frozenset[object]:
    """The last calendar units, found by stepping back a day at a time."""
    found = {WITHIN[unit](last)}
    while True:
        last -= timedelta(days=1)
        if len(found | {WITHIN[unit](last)}) > count:
            return frozenset(found)
        found.add(WITHIN[unit](last))


def _ago(days: set[date], last: date, least: int, most: int) -> bool:
    return any(least <= (last - day).days < most for day in days)


@st.composite
def windows(draw: st.DrawFn) -> Asked:
    """A window on an event or several, and what it means."""
    operand, events = draw(st.sampled_from(OPERANDS))
    n = draw(st.sampled_from([1, 2, 3, 7, 28, 100]))
    kind = draw(st.sampled_from(sorted(_KINDS)))
    expression, holds = _KINDS[kind](draw, operand, n)

    def meaning(did: Did, flagged: set[int]) -> set[int]:
        days = did.days(events)
        return {user for user in days if holds(days[user], did.last)}

    return expression, meaning


def _in_last(draw: st.DrawFn, x: Expression, n: int) -> tuple[Expression, Days]:
    unit = draw(st.sampled_from(sorted(WITHIN)))
    n = min(n, 4) if unit in ("quarters", "years") else n
    least = draw(st.integers(1, min(n, 4)))

    def holds(days: set[date], last: date) -> bool:
        units = last_units(unit, n, last)
        return len(units & set(map(WITHIN[unit], days))) >= least

    return InLast(x, n, unit, least), holds


def _between(draw: st.DrawFn, x: Expression, n: int) -> tuple[Expression, Days]:
    first = utc(draw(st.sampled_from(EDGES))).date() - timedelta(days=n)
    last = draw(st.sampled_from([None, first + timedelta(days=n)]))
    return Between(x, first, last), lambda days, at: any(
        first <= day and (last is None or day <= last) for day in days
    )


_KINDS: dict[str, Callable[..., tuple[Expression, Days]]] = {
    "in last": _in_last,
    "between": _between,
    "ever": lambda draw, x, n: (Ever(x), lambda days, at: bool(days)),
    "first": lambda draw, x, n: (
        First(x, n),
        lambda days, at: _ago(days, at, 0, n) and not _ago(days, at, n, 10**6),
    ),
    "stopped": lambda draw, x, n: (
        Stopped(x, n),
        lambda days, at: _ago(days, at, n, 2 * n) and not _ago(days, at, 0, n),
    ),
    "restarted": lambda draw, x, n: (
        Restarted(x, n),
        lambda days, at: (
            _ago(days, at, 0, n)
            and not _ago(days, at, n, 2 * n)
            and _ago(days, at, 2 * n, 10**6)
        ),
    ),
}


@st.composite
def _and_never(draw: st.DrawFn) -> Asked:
    """Who is meant, apart from those who ever did something else."""
    who, meant = draw(_leaves)
    operand, events = draw(st.sampled_from(OPERANDS))
    return who & Never(
        operand
    ), lambda did, flagged: meant(did, flagged) - set(did.days(events))


_leaves: st.SearchStrategy[Asked] = st.sampled_from(
    [
        *map(_event, EVENTS),
        (Flag("flagged"), lambda did, flagged: flagged),
        (Named("regulars", DEFINED["regulars"]), lambda did, _: did("a") - did("c")),
    ]
)
expressions: st.SearchStrategy[Asked] = st.recursive(
    _leaves | windows() | _and_never(),
    lambda each: st.tuples(
        each, each, st.sampled_from(["and", "or", "and not", "within"])
    ).map(_combined),
    max_leaves=4,
)
