"""Trends: unique users, period by period."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from .bitmaps import Bitmaps, Source, Words
from .checks import check_count
from .counting import count_rows
from .errors import QueryError, Text
from .expressions import Expression, evaluate_each, require_bounded
from .periods import Period, TimeGroup, last_periods, to_utc
from .results import Result, Table


@dataclass(frozen=True)
class TrendQuery:
    """How many unique users are there in each period?

    Args:
        expressions: Whom to count, a series each.
        as_of: The moment whose period is the last one, current and incomplete.
        time_group: How time is cut.
        num_periods: The last so many periods.
        rolling: Lengths of rolling windows in days, for example (7, 30): for each
            day also how many users there were in the last so many days, that day
            included.  Only for days.
    """

    expressions: tuple[Expression, ...]
    as_of: datetime
    time_group: TimeGroup = TimeGroup.DAYS
    num_periods: int = 30
    rolling: tuple[int, ...] = ()
    periods: tuple[Period, ...] = field(init=False, repr=False, compare=False)
    """The periods, oldest first."""
    _with_lead: tuple[Period, ...] = field(init=False, repr=False, compare=False)
    """Those and the ones before them that a window or a change looks at."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "as_of", to_utc(self.as_of))
        object.__setattr__(self, "time_group", TimeGroup.parse(self.time_group))
        check_count("num_periods", self.num_periods)
        if not self.expressions:
            raise QueryError(Text("a trend needs at least one event"), field="events")
        for expression in self.expressions:
            require_bounded(expression, "events")
        for days in self.rolling:
            check_count("rolling", days)
        if self.rolling and self.time_group is not TimeGroup.DAYS:
            raise QueryError(
                Text(
                    "rolling windows are counted in days, so they need the time group "
                    "days, not %(time_group)s",
                    time_group=self.time_group,
                ),
                field="rolling",
            )

        lead = max(2, *self.rolling) - 1 if self.rolling else 1
        periods = last_periods(self.time_group, self.num_periods + lead, self.as_of)
        object.__setattr__(self, "_with_lead", periods)
        object.__setattr__(self, "periods", periods[lead:])


@dataclass(frozen=True)
class Series:
    """One line of a trend."""

    name: str
    """The expression, as text."""
    counts: tuple[int, ...]
    """Unique users in each period."""
    changes: tuple[float | None, ...]
    """Change against the period before, 0.1 being 10 % more; None after nobody."""
    rolling: dict[int, tuple[int, ...]] = field(default_factory=dict)
    """Unique users of each day's window, by its length in days."""


@dataclass(frozen=True)
class TrendResult(Result):
    """The answer to a :class:`TrendQuery`."""

    query: TrendQuery
    periods: tuple[Period, ...] = field(repr=False)
    """Oldest first; the last one is incomplete."""
    series: tuple[Series, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "time_group": self.query.time_group.value,
            "as_of": self.query.as_of.isoformat(),
            "dates": [period.label for period in self.periods],
            "series": [
                {
                    "name": series.name,
                    "counts": list(series.counts),
                    "changes": list(series.changes),
                    "rolling": {
                        str(days): list(counts)
                        for days, counts in series.rolling.items()
                    },
                }
                for series in self.series
            ],
        }

    def table(self) -> Table:
        columns = [self.query.time_group.singular]
        cells: list[tuple[Any, ...]] = [tuple(each.label for each in self.periods)]
        for series in self.series:
            columns += [series.name, f"{series.name}: change"]
            cells += [series.counts, series.changes]
            for days, counts in series.rolling.items():
                columns.append(f"{series.name}: last {days} days")
                cells.append(counts)
        return Table(columns, [list(row) for row in zip(*cells)])


def trend(query: TrendQuery, bitmaps: Bitmaps) -> TrendResult:
    """Answer a trend question.

    Args:
        query: What is asked.
        bitmaps: Where the bitmaps come from.
    """
    periods = query._with_lead
    counts = np.zeros((len(query.expressions), len(periods)), dtype=np.int64)
    windows = {days: counts.copy() for days in query.rolling}
    for stripe in bitmaps.stripes(list(_sources(query))):
        for line, expression in enumerate(query.expressions):
            users = evaluate_each(expression, periods, stripe)
            counts[line] += count_rows(users)
            for days, rolled in windows.items():
                rolled[line] += count_rows(rolling_union(users, days))
    return TrendResult(
        query=query,
        periods=query.periods,
        series=tuple(
            _series(
                query,
                str(expression),
                counts[line].tolist(),
                {days: rolled[line].tolist() for days, rolled in windows.items()},
            )
            for line, expression in enumerate(query.expressions)
        ),
    )


def rolling_union(users: Words, length: int) -> Words:
    """Return for each row the users of that row and the *length* - 1 rows before it.

    Rows that have fewer rows before them get the union of those that there are.
    """
    # Unions over 1, 2, 4, … rows; any length is two overlapping ones of them.
    union, reach = users, 1
    while reach * 2 <= length:
        union, reach = _joined(union, reach), reach * 2
    return _joined(union, length - reach)


def _joined(users: Words, back: int) -> Words:
    joined: Words = users.copy()
    if back < len(users):
        np.bitwise_or(users[back:], users[: len(users) - back], out=joined[back:])
    return joined


def _sources(query: TrendQuery) -> Iterator[Source]:
    for expression in query.expressions:
        for period in query._with_lead:
            yield from expression.sources(period)


def _series(
    query: TrendQuery, name: str, counts: list[int], rolling: dict[int, list[int]]
) -> Series:
    shown = query.num_periods
    return Series(
        name=name,
        counts=tuple(counts[-shown:]),
        changes=tuple(
            None if before == 0 else (count - before) / before
            for before, count in zip(counts[-shown - 1 :], counts[-shown:])
        ),
        rolling={days: tuple(values[-shown:]) for days, values in rolling.items()},
    )
