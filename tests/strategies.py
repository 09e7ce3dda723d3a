"""Random histories that keep near the edges of the calendar."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from flask_bitmapist import Event, Expression, Flag

from .inside import Named, Not
from .reference import Mark, Meaning, utc

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


DEFINED: dict[str, Expression] = {"regulars": Event("a") & ~Event("c")}
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


_leaves: st.SearchStrategy[Asked] = st.sampled_from(
    [
        *map(_event, EVENTS),
        (Flag("flagged"), lambda did, flagged: flagged),
        (Named("regulars", DEFINED["regulars"]), lambda did, _: did("a") - did("c")),
    ]
)
expressions: st.SearchStrategy[Asked] = st.recursive(
    _leaves,
    lambda each: st.tuples(
        each, each, st.sampled_from(["and", "or", "and not", "within"])
    ).map(_combined),
    max_leaves=4,
)
