"""Lifecycle: who is new, who returns, who comes back, who stays away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np

from .bitmaps import Bitmaps, Source, Stripe, Words
from .checks import check_choice, check_count, check_index
from .counting import Pair, count_pairs
from .expressions import Expression, evaluate_each, require_bounded
from .history import History
from .periods import Period, TimeGroup, last_periods, to_utc
from .results import Result, Table
from .users import Selection

STAGES = ("new", "returning", "resurrecting", "dormant")


@dataclass(frozen=True)
class LifecycleQuery:
    """Where do the users of each period come from, and where do they go?

    Args:
        expression: Whom to count as active.
        as_of: The moment whose period is the last one, current and incomplete.
        time_group: How time is cut.
        num_periods: The last so many periods.
    """

    expression: Expression
    as_of: datetime
    time_group: TimeGroup = TimeGroup.WEEKS
    num_periods: int = 12
    periods: tuple[Period, ...] = field(init=False, repr=False, compare=False)
    """The periods, oldest first."""
    _with_previous: tuple[Period, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "as_of", to_utc(self.as_of))
        object.__setattr__(self, "time_group", TimeGroup.parse(self.time_group))
        check_count("num_periods", self.num_periods)
        require_bounded(self.expression, "event")
        periods = last_periods(self.time_group, self.num_periods + 1, self.as_of)
        object.__setattr__(self, "_with_previous", periods)
        object.__setattr__(self, "periods", periods[1:])


@dataclass(frozen=True)
class LifecycleResult(Result):
    """The answer to a :class:`LifecycleQuery`: a count for each period and stage."""

    query: LifecycleQuery
    periods: tuple[Period, ...] = field(repr=False)
    """Oldest first; the last one is incomplete."""
    new: tuple[int, ...]
    """Active for the first time ever."""
    returning: tuple[int, ...]
    """Active, and in the period before."""
    resurrecting: tuple[int, ...]
    """Active, not in the period before, but at some time earlier."""
    dormant: tuple[int, ...]
    """Active in the period before, and not in this one (so far)."""

    @cached_property
    def active(self) -> tuple[int, ...]:
        """Users active in each period, which are the first three together."""
        return tuple(map(sum, zip(self.new, self.returning, self.resurrecting)))

    def to_dict(self) -> dict[str, Any]:
        return {
            "event": str(self.query.expression),
            "time_group": self.query.time_group.value,
            "as_of": self.query.as_of.isoformat(),
            "dates": [period.label for period in self.periods],
            **{stage: list(getattr(self, stage)) for stage in STAGES},
            "active": list(self.active),
        }

    def table(self) -> Table:
        counts = zip(*(getattr(self, stage) for stage in STAGES), self.active)
        return Table(
            [self.query.time_group.singular, *STAGES, "active"],
            [[each.label, *row] for each, row in zip(self.periods, counts)],
        )


def lifecycle(query: LifecycleQuery, bitmaps: Bitmaps) -> LifecycleResult:
    """Answer a lifecycle question.

    Args:
        query: What is asked.
        bitmaps: Where the bitmaps come from.

    Raises:
        QueryError: The past of the expression is too long to be read.
    """
    stages = _Stages(query, bitmaps)
    counts = count_pairs(
        map(stages.pairs, bitmaps.stripes(stages.sources)), (3, query.num_periods + 1)
    )
    # Who was active the period before was active at some time before: so the stages
    # follow from three numbers, without making each stage's bitmaps.
    active, returning, seen = counts[0], counts[1][:-1], counts[2][:-1]
    before, now = active[:-1], active[1:]
    return LifecycleResult(
        query=query,
        periods=query.periods,
        new=tuple((now - seen).tolist()),
        returning=tuple(returning.tolist()),
        resurrecting=tuple((seen - returning).tolist()),
        dormant=tuple((before - returning).tolist()),
    )


def lifecycle_users(
    query: LifecycleQuery, bitmaps: Bitmaps, stage: str, period: int
) -> Selection:
    """Select the users of one stage in one period.

    Args:
        query: What is asked.
        bitmaps: Where the bitmaps come from.
        stage: ``new``, ``returning``, ``resurrecting`` or ``dormant``.
        period: Index of the period, from 0.

    Raises:
        QueryError: There is no such stage or period.
    """
    check_choice("stage", stage, STAGES)
    check_index("period", period, query.num_periods - 1)
    stages = _Stages(query, bitmaps)
    return Selection(
        sources=tuple(stages.sources),
        words=lambda stripe: np.array(stages.users(stripe)[stage][period]),
        text=f"{query.expression}: {stage} in {query.periods[period].label}",
    )


class _Stages:
    """The bitmaps of a lifecycle."""

    def __init__(self, query: LifecycleQuery, bitmaps: Bitmaps) -> None:
        self._query = query
        self._past = History(query.expression, query._with_previous[0], bitmaps)
        self.sources = list(self._sources())

    def _sources(self) -> Iterator[Source]:
        for period in self._query._with_previous:
            yield from self._query.expression.sources(period)
        yield from self._past.sources()

    def pairs(self, stripe: Stripe) -> Iterator[Pair]:
        """Yield what has the users in common from whose numbers the stages' follow.

        First who was active in each period, the one before the first included; then,
        for each period after that, who was active in it and in the one before, and
        who was in it and at any time before.
        """
        active, earlier = self._activity(stripe)
        yield active, active
        yield active[1:], active[:-1]
        yield active[1:], earlier

    def users(self, stripe: Stripe) -> dict[str, Words]:
        """Return for each stage its users, a row for each period."""
        active, earlier = self._activity(stripe)
        now, before = active[1:], active[:-1]
        return {
            "new": now & ~earlier,
            "returning": now & before,
            "resurrecting": now & earlier & ~before,
            "dormant": before & ~now,
        }

    def _activity(self, stripe: Stripe) -> tuple[Words, Words]:
        """Return who was active in each period, and who was before each but the first.

        The first is the period before those that are asked for.
        """
        active = evaluate_each(
            self._query.expression, self._query._with_previous, stripe
        )
        earlier = np.bitwise_or.accumulate(active[:-1], axis=0)
        earlier |= self._past.users(stripe)
        return active, earlier
