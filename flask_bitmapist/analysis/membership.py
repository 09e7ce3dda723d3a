"""Membership: what one user did, and on which days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .bitmaps import Bitmaps, Source
from .checks import check_count
from .periods import Period, TimeGroup, last_periods, to_utc
from .results import Result, Table

CURRENT = (TimeGroup.DAYS, TimeGroup.WEEKS, TimeGroup.MONTHS, TimeGroup.YEARS)


@dataclass(frozen=True)
class MembershipQuery:
    """What did one user do, and on which days?

    Args:
        user_id: The user.
        events: Names of the events to look for.
        as_of: The moment whose day is the last one.
        num_days: The last so many days.
        flags: Names of unique events to look for.
    """

    user_id: int
    events: tuple[str, ...]
    as_of: datetime
    num_days: int = 365
    flags: tuple[str, ...] = ()
    days: tuple[Period, ...] = field(init=False, repr=False, compare=False)
    """The days, oldest first."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "as_of", to_utc(self.as_of))
        check_count("user_id", self.user_id, least=0)
        check_count("num_days", self.num_days)
        days = last_periods(TimeGroup.DAYS, self.num_days, self.as_of)
        object.__setattr__(self, "days", days)


@dataclass(frozen=True)
class MembershipResult(Result):
    """The answer to a :class:`MembershipQuery`."""

    query: MembershipQuery
    days: tuple[Period, ...] = field(repr=False)
    """Oldest first."""
    active_days: dict[str, tuple[Period, ...]]
    """The days on which the user did it, by event, oldest first.  Events that the user
    never did on these days are left out."""
    current: dict[str, tuple[TimeGroup, ...]]
    """In which of today, this week, this month and this year it was done, by event."""
    flags: tuple[str, ...]
    """The flags that the user carries."""

    def is_active(self, group: TimeGroup) -> bool:
        """Return whether the user did anything in the current period of *group*."""
        return any(group in groups for groups in self.current.values())

    def to_dict(self) -> dict[str, Any]:
        return {
            "user_id": self.query.user_id,
            "as_of": self.query.as_of.isoformat(),
            "num_days": self.query.num_days,
            "active": {group.singular: self.is_active(group) for group in CURRENT},
            "events": {
                event: {
                    "days": [day.label for day in days],
                    "active": {
                        group.singular: group in self.current.get(event, ())
                        for group in CURRENT
                    },
                }
                for event, days in self.active_days.items()
            },
            "flags": list(self.flags),
        }

    def table(self) -> Table:
        rows = [
            [day.label, event]
            for event, days in self.active_days.items()
            for day in days
        ]
        return Table(["day", "event"], sorted(rows))


def membership(query: MembershipQuery, bitmaps: Bitmaps) -> MembershipResult:
    """Answer what one user did, looking at that user's bits alone.

    Args:
        query: What is asked.
        bitmaps: Where the bitmaps come from.
    """
    flags = _held(bitmaps, [Source(flag, None) for flag in query.flags], query.user_id)
    now = {group: Period.containing(group, query.as_of) for group in CURRENT}
    current = _held(
        bitmaps,
        [Source(event, period) for event in query.events for period in now.values()],
        query.user_id,
    )
    days = _active_days(query, bitmaps)
    return MembershipResult(
        query=query,
        days=query.days,
        active_days={event: held for event, held in days.items() if held},
        current={
            event: tuple(
                group for group, period in now.items() if (event, period) in current
            )
            for event in query.events
        },
        flags=tuple(flag for flag in query.flags if (flag, None) in flags),
    )


def _active_days(
    query: MembershipQuery, bitmaps: Bitmaps
) -> dict[str, tuple[Period, ...]]:
    """Look at the months first, and at days only in months with anything in them."""
    months = {day: Period.containing(TimeGroup.MONTHS, day.start) for day in query.days}
    active_months = _held(
        bitmaps,
        [
            Source(event, month)
            for event in query.events
            for month in dict.fromkeys(months.values())
        ],
        query.user_id,
    )
    candidates = [
        Source(event, day)
        for event in query.events
        for day, month in months.items()
        if (event, month) in active_months
    ]
    held = _held(bitmaps, candidates, query.user_id)
    return {
        event: tuple(day for day in query.days if (event, day) in held)
        for event in query.events
    }


def _held(
    bitmaps: Bitmaps, sources: Sequence[Source], user_id: int
) -> set[tuple[str, Period | None]]:
    """Return those of *sources* that the user is in."""
    if not sources:
        return set()
    bits = bitmaps.contains(sources, user_id)
    return {source for source, bit in zip(sources, bits) if bit}
