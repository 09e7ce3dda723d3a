"""Stickiness: on how many days users come, and how many of the month's come a day."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bitmaps import Bitmaps, Source, Words, rolling_union
from .checks import check_choice, check_count, check_index
from .counting import count_rows
from .expressions import Expression, evaluate_each, require_bounded
from .periods import Period, TimeGroup, last_periods, to_utc
from .results import Result, Table
from .users import Selection

ROLLING_DAYS = 30
WINDOWS = ("month", "rolling")


@dataclass(frozen=True)
class StickinessQuery:
    """How often do the users come?

    Args:
        expression: Whom to count.
        as_of: The moment whose day is the last one, current and incomplete.
        num_days: The last so many days: those that are shown, and those on which
            the distribution counts a user's active days.
        window: What a day's users are divided by: ``"month"``, the users of the
            day's calendar month, or ``"rolling"``, those of the
            30 days that end with the day.
    """

    expression: Expression
    as_of: datetime
    num_days: int = 30
    window: str = "month"
    days: tuple[Period, ...] = field(init=False, repr=False, compare=False)
    """The days, oldest first."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "as_of", to_utc(self.as_of))
        require_bounded(self.expression, "event")
        check_count("num_days", self.num_days)
        check_choice("window", self.window, WINDOWS)
        days = last_periods(TimeGroup.DAYS, self.num_days, self.as_of)
        object.__setattr__(self, "days", days)


@dataclass(frozen=True)
class StickinessResult(Result):
    """The answer to a :class:`StickinessQuery`."""

    query: StickinessQuery
    days: tuple[Period, ...] = field(repr=False)
    """Oldest first; the last one is incomplete."""
    daily: tuple[int, ...]
    """Unique users of each day."""
    window: tuple[int, ...]
    """For each day the unique users of its month, or of the 30 days up to it."""
    exactly: tuple[int, ...]
    """Users active on exactly n of the days, as item n; item 0 is not counted and 0."""

    @cached_property
    def ratios(self) -> tuple[float | None, ...]:
        """The day's users divided by the window's, None where nobody was there."""
        return tuple(
            day / users if users else None
            for day, users in zip(self.daily, self.window)
        )

    @cached_property
    def average(self) -> float | None:
        """Weighted average of :attr:`ratios` over the complete days."""
        users = sum(self.window[:-1])
        return sum(self.daily[:-1]) / users if users else None

    @cached_property
    def at_least(self) -> tuple[int, ...]:
        """Users active on at least n of the days, as item n."""
        return tuple(sum(self.exactly[n:]) for n in range(len(self.exactly)))

    def to_dict(self) -> dict[str, Any]:
        return {
            "event": str(self.query.expression),
            "as_of": self.query.as_of.isoformat(),
            "window": self.query.window,
            "dates": [day.label for day in self.days],
            "daily": list(self.daily),
            "window_users": list(self.window),
            "ratios": list(self.ratios),
            "average": self.average,
            "distribution": {
                "exactly": list(self.exactly),
                "at_least": list(self.at_least),
            },
        }

    def table(self) -> Table:
        name = "month" if self.query.window == "month" else f"last {ROLLING_DAYS} days"
        rows = zip(self.days, self.daily, self.window, self.ratios)
        return Table(
            ["day", "users", name, "stickiness"],
            [[day.label, *others] for day, *others in rows],
        )

    def distribution(self) -> Table:
        """Return for each number of days how many users were active on so many."""
        return Table(
            ["days", "exactly", "at least"],
            [
                [number, self.exactly[number], self.at_least[number]]
                for number in range(1, len(self.exactly))
            ],
        )


def stickiness(query: StickinessQuery, bitmaps: Bitmaps) -> StickinessResult:
    """Answer a stickiness question.

    Args:
        query: What is asked.
        bitmaps: Where the bitmaps come from.
    """
    months = {day: Period.containing(TimeGroup.MONTHS, day.start) for day in query.days}
    distinct = tuple(dict.fromkeys(months.values()))
    monthly = np.zeros(len(distinct), dtype=np.int64)
    daily = np.zeros(query.num_days, dtype=np.int64)
    window = np.zeros(query.num_days, dtype=np.int64)
    exactly = np.zeros(query.num_days + 1, dtype=np.int64)
    for stripe in bitmaps.stripes(list(_sources(query))):
        if query.window == "month":
            users = evaluate_each(query.expression, query.days, stripe)
            monthly += count_rows(evaluate_each(query.expression, distinct, stripe))
        else:
            lead = evaluate_each(query.expression, _rolling_days(query), stripe)
            users = lead[-query.num_days :]
            window += count_rows(rolling_union(lead, ROLLING_DAYS)[-query.num_days :])
        daily += count_rows(users)
        exactly += _days_active(users)
    if query.window == "month":
        window += monthly[[distinct.index(months[day]) for day in query.days]]
    return StickinessResult(
        query=query,
        days=query.days,
        daily=tuple(daily.tolist()),
        window=tuple(window.tolist()),
        exactly=tuple(exactly.tolist()),
    )


def active_users(query: StickinessQuery, days: int, exactly: bool = True) -> Selection:
    """Select the users who were active on so many of the query's days.

    Args:
        query: What was asked.
        days: On how many days, at least 1.
        exactly: On exactly so many days, or on at least so many.

    Raises:
        QueryError: *days* is not 1 to the number of days.
    """
    check_count("days", days)
    check_index("days", days, query.num_days, least=1)
    wanted = range(days, days + 1 if exactly else query.num_days + 1)
    sources = [s for day in query.days for s in query.expression.sources(day)]
    return Selection(
        sources=tuple(dict.fromkeys(sources)),
        words=lambda stripe: _of_counts(
            evaluate_each(query.expression, query.days, stripe), wanted
        ),
        text=f"{query.expression} on {'exactly' if exactly else 'at least'} {days} "
        f"of the {query.num_days} days up to {query.days[-1].label}",
    )


def _rolling_days(query: StickinessQuery) -> tuple[Period, ...]:
    return last_periods(TimeGroup.DAYS, query.num_days + ROLLING_DAYS - 1, query.as_of)


def _sources(query: StickinessQuery) -> Iterator[Source]:
    periods: list[Period] = list(query.days)
    if query.window == "month":
        periods += [Period.containing(TimeGroup.MONTHS, day.start) for day in periods]
    else:
        periods = list(_rolling_days(query))
    for period in periods:
        yield from query.expression.sources(period)


def _days_active(users: Words) -> NDArray[np.int64]:
    """Return for each number of days how many users were active on just so many."""
    counts = np.zeros(len(users) + 1, dtype=np.int64)
    numbers, parts = _by_count(_bit_counts(users))
    counts[numbers] = count_rows(parts)
    return counts


def _bit_counts(users: Words) -> list[Words]:
    """Count each user's rows in binary: plane k holds bit k of every user's count.

    Rows of the same weight are added three by three, for 64 users at a time and for
    all triples at once: that gives a third as many rows of this weight, and as many
    of twice the weight.
    """
    planes: list[Words] = []
    rows = users
    while len(rows):
        carried = []
        while len(rows) > 1:
            third = max(len(rows) // 3, 1)
            a, b, c = rows[:third], rows[third : 2 * third], rows[2 * third : 3 * third]
            either = a ^ b
            carry = a & b
            if len(c):
                carry |= either & c
                either ^= c
            carried.append(carry)
            rows = np.concatenate([either, rows[3 * third :]])
        planes.append(rows[0])
        rows = np.concatenate(carried) if carried else rows[:0]
    return planes


def _by_count(planes: Sequence[Words]) -> tuple[NDArray[np.int64], Words]:
    """Return the counts that occur, from 1 on, and the users who have each.

    The users are split by the highest bit of their count, then by the next one, and
    so on; parts with nobody in them go at once.
    """
    numbers = np.zeros(1, dtype=np.int64)
    parts = np.bitwise_or.reduce(planes)[np.newaxis]
    for plane in reversed(planes):
        numbers = np.concatenate([2 * numbers, 2 * numbers + 1])
        parts = np.concatenate([parts & ~plane, parts & plane])
        used = parts.any(axis=1)
        numbers, parts = numbers[used], parts[used]
    return numbers, parts


def _of_counts(users: Words, wanted: Sequence[int]) -> Words:
    """Return the users who are in so many rows."""
    numbers, parts = _by_count(_bit_counts(users))
    chosen: Words = np.bitwise_or.reduce(parts[np.isin(numbers, wanted)], axis=0)
    return chosen
