"""Random histories that keep near the edges of the calendar."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from hypothesis import strategies as st

from .reference import Mark, utc

# ISO New Years of both kinds (week 53, week 1 in December), leap days, month ends,
# the end of a century's leap rule, and a plain day.
EDGES = [
    "2020-12-31",
    "2021-01-03",
    "2024-12-30",
    "2025-01-01",
    "2026-12-31",
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
REACH = {"hours": 2, "days": 12, "weeks": 80, "months": 330, "years": 1200}

groups = st.sampled_from(sorted(REACH))


@st.composite
def histories(draw: st.DrawFn, group: str) -> tuple[list[Mark], datetime]:
    """Marks in the time before some edge of the calendar, and a moment near it."""
    edge = utc(draw(st.sampled_from(EDGES)))
    as_of = edge + timedelta(hours=draw(st.integers(0, 23)))
    hours = st.integers(0, 24 * REACH[group])
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


Meaning = Callable[[Callable[[str], set[int]]], set[int]]
"""Gives the users of an expression from those of each event, and of the flag."""


def _leaves() -> st.SearchStrategy[tuple[str, Meaning]]:
    # "either" is what the app has defined: a or b.
    named: list[tuple[str, Meaning]] = [
        *((name, lambda users, name=name: users(name)) for name in EVENTS),
        ("flag(flagged)", lambda users: users("flagged")),
        ("either", lambda users: users("a") | users("b")),
    ]
    return st.sampled_from(named)


def _combined(
    inner: st.SearchStrategy[tuple[str, Meaning]],
) -> st.SearchStrategy[tuple[str, Meaning]]:
    def both(pair: tuple[tuple[str, Meaning], ...]) -> tuple[str, Meaning]:
        (left, one), (right, other) = pair
        return f"({left}) and ({right})", lambda users: one(users) & other(users)

    def any_of(pair: tuple[tuple[str, Meaning], ...]) -> tuple[str, Meaning]:
        (left, one), (right, other) = pair
        return f"({left}) or ({right})", lambda users: one(users) | other(users)

    def without(pair: tuple[tuple[str, Meaning], ...]) -> tuple[str, Meaning]:
        (left, one), (right, other) = pair
        return f"({left}) and not ({right})", lambda users: one(users) - other(users)

    def within(pair: tuple[tuple[str, Meaning], ...]) -> tuple[str, Meaning]:
        (left, one), (right, other) = pair
        return f"not ({left}) within ({right})", lambda users: other(users) - one(users)

    return st.one_of(
        *(st.tuples(inner, inner).map(make) for make in (both, any_of, without, within))
    )


expressions = st.recursive(_leaves(), _combined, max_leaves=5)
"""Texts of expressions, and what they mean with plain sets."""
