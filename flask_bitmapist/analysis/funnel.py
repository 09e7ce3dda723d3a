"""Funnels: how far users get, step by step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np

from .bitmaps import Bitmaps, Source, Stripe, Words
from .checks import check_count, check_index
from .counting import count_bits, count_rows
from .errors import QueryError, Text
from .expressions import Expression, evaluate_each, require_bounded
from .periods import Period, TimeGroup, last_periods, to_utc
from .results import Result, Table
from .users import Selection


@dataclass(frozen=True)
class FunnelQuery:
    """How many of those who take the first step take the next ones?

    A user enters in a period of step 1 and reaches step k in a period no earlier
    than that in which they reached step k-1, within the window.  Bitmaps hold no
    finer order, so steps taken in one period count in either order.

    Args:
        steps: What has to be done, in order; at least two.
        as_of: The moment whose period is the last one, current and incomplete.
        time_group: How time is cut.
        num_periods: Users enter in the last so many periods.
        window: Periods in which all steps have to be taken, that of entering
            included.
    """

    steps: tuple[Expression, ...]
    as_of: datetime
    time_group: TimeGroup = TimeGroup.DAYS
    num_periods: int = 30
    window: int = 7
    periods: tuple[Period, ...] = field(init=False, repr=False, compare=False)
    """The periods of entering, oldest first."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "as_of", to_utc(self.as_of))
        object.__setattr__(self, "time_group", TimeGroup.parse(self.time_group))
        check_count("num_periods", self.num_periods)
        check_count("window", self.window)
        if len(self.steps) < 2:
            raise QueryError(Text("a funnel needs at least two steps"), field="steps")
        require_bounded(self.steps[0], "steps")
        periods = last_periods(self.time_group, self.num_periods, self.as_of)
        object.__setattr__(self, "periods", periods)


@dataclass(frozen=True)
class FunnelResult(Result):
    """The answer to a :class:`FunnelQuery`."""

    query: FunnelQuery
    periods: tuple[Period, ...] = field(repr=False)
    """The periods of entering, oldest first."""
    counts: tuple[tuple[int, ...], ...]
    """Users who got at least so far, by period of entering and step."""
    totals: tuple[int, ...]
    """Unique users who got at least so far, by step, whenever they entered."""

    def is_incomplete(self, period: int) -> bool:
        """Return whether the window of those who entered then is still open."""
        return period + self.query.window >= len(self.periods)

    @cached_property
    def step_conversions(self) -> tuple[float | None, ...]:
        """Share of those who reached the step before, by step; the first is 1."""
        before = (self.totals[0], *self.totals)
        return tuple(
            count / base if base else None for count, base in zip(self.totals, before)
        )

    @cached_property
    def overall_conversions(self) -> tuple[float | None, ...]:
        """Share of those who took the first step, by step."""
        first = self.totals[0]
        return tuple(count / first if first else None for count in self.totals)

    @property
    def conversion(self) -> float | None:
        """Share of those who entered that took the last step."""
        return self.overall_conversions[-1]

    def to_dict(self) -> dict[str, Any]:
        return {
            "steps": [str(step) for step in self.query.steps],
            "time_group": self.query.time_group.value,
            "as_of": self.query.as_of.isoformat(),
            "window": self.query.window,
            "totals": list(self.totals),
            "step_conversions": list(self.step_conversions),
            "overall_conversions": list(self.overall_conversions),
            "dates": [period.label for period in self.periods],
            "counts": [list(row) for row in self.counts],
            "incomplete": [
                self.is_incomplete(each) for each in range(len(self.periods))
            ],
        }

    def table(self) -> Table:
        rows = zip(
            self.query.steps,
            self.totals,
            self.step_conversions,
            self.overall_conversions,
        )
        return Table(
            ["step", "users", "of the step before", "of the first step"],
            [[str(step), *others] for step, *others in rows],
        )

    def by_period(self) -> Table:
        """Return the users by period of entering and step."""
        unit = self.query.time_group.singular
        return Table(
            [unit, *map(str, self.query.steps)],
            [[each.label, *row] for each, row in zip(self.periods, self.counts)],
        )


def funnel(query: FunnelQuery, bitmaps: Bitmaps) -> FunnelResult:
    """Answer a funnel question.

    Args:
        query: What is asked.
        bitmaps: Where the bitmaps come from.
    """
    counts = np.zeros((query.num_periods, len(query.steps)), dtype=np.int64)
    totals = [0] * len(query.steps)
    for stripe in bitmaps.stripes(list(_sources(query))):
        for step, reached in enumerate(_reached(query, stripe)):
            counts[:, step] += count_rows(reached)
            totals[step] += count_bits(np.bitwise_or.reduce(reached, axis=0))
    return FunnelResult(
        query=query,
        periods=query.periods,
        counts=tuple(tuple(row) for row in counts.tolist()),
        totals=tuple(totals),
    )


def funnel_users(
    query: FunnelQuery, step: int, period: int | None = None, lost: bool = False
) -> Selection:
    """Select the users who got to a step.

    Args:
        query: What is asked.
        step: Index of the step, from 0.
        period: Index of the period of entering, from 0; None for any.
        lost: Select those who got to the step before, and not to this one.

    Raises:
        QueryError: There is no such step or period.
    """
    least = 1 if lost else 0
    check_index("step", step, len(query.steps) - 1, least=least)
    if period is not None:
        check_index("period", period, query.num_periods - 1)

    def among(rows: Words) -> Words:
        if period is not None:
            return np.array(rows[period])
        united: Words = np.bitwise_or.reduce(rows, axis=0)
        return united

    def words(stripe: Stripe) -> Words:
        reached = _reached(query, stripe)
        users = among(reached[step])
        return among(reached[step - 1]) & ~users if lost else users

    entered = "" if period is None else f", entered in {query.periods[period].label}"
    verb = "did not reach" if lost else "reached"
    return Selection(
        sources=tuple(dict.fromkeys(_sources(query))),
        words=words,
        text=f"{verb} {query.steps[step]}, step {step + 1} of "
        f"{' → '.join(map(str, query.steps))}{entered}",
    )


def _sources(query: FunnelQuery) -> Iterator[Source]:
    for step in query.steps:
        for period in query.periods:
            yield from step.sources(period)


def _reached(query: FunnelQuery, stripe: Stripe) -> Sequence[Words]:
    """Return for each step who reached it, a row for each period of entering.

    Everyone takes the steps at the earliest opportunity; taking one later cannot
    get them further.
    """
    done = [evaluate_each(step, query.periods, stripe) for step in query.steps]
    reached = [done[0], *(np.zeros_like(done[0]) for _ in query.steps[1:])]
    for later in range(min(query.window, query.num_periods)):
        # Row i looks at period i + later; the last rows have no such period yet.
        rows = query.num_periods - later
        for step in range(1, len(query.steps)):
            now = reached[step - 1][:rows] & done[step][later:]
            np.bitwise_or(reached[step][:rows], now, out=reached[step][:rows])
    return reached
