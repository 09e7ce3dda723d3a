"""Questions to begin with: one for each page, with what it tells."""

from __future__ import annotations

from typing import Any, NamedTuple


class Question(NamedTuple):
    """A page with its form filled in."""

    page: str
    """The name of the page; ``bitmapist.<page>`` is its endpoint."""
    title: str
    tells: str
    arguments: dict[str, Any]


RETENTION = Question(
    "cohort",
    "Who comes back?",
    "Of each month's buyers, how many buy again in the months after.",
    {
        "primary_event": "purchase",
        "time_group": "months",
        "num_rows": 18,
        "num_cols": 12,
    },
)

QUESTIONS = (
    RETENTION,
    Question(
        "trends",
        "How many buy?",
        "Unique buyers of each week, and those of more than one CD.",
        {
            "events-0": "purchase",
            "events-1": "multi",
            "time_group": "weeks",
            "num_periods": 52,
        },
    ),
    Question(
        "lifecycle",
        "New, back, or gone?",
        "Each month's buyers by whether they are new, returning or resurrected.",
        {"event": "purchase", "time_group": "months", "num_periods": 18},
    ),
    Question(
        "funnel",
        "How far do they get?",
        "From a first purchase over several CDs at once to one of 30 dollars.",
        {
            "steps-0": "purchase",
            "steps-1": "multi",
            "steps-2": "big",
            "time_group": "months",
            "num_periods": 12,
            "window": 6,
        },
    ),
    Question(
        "stickiness",
        "How often?",
        "A day's buyers as a part of four weeks', and on how many days each buys.",
        {"event": "purchase", "num_days": 30},
    ),
    Question(
        "people",
        "What did customer 157 do?",
        "One customer's year, day by day.",
        {"user": 157},
    ),
)
