"""Lifecycle: who is new, who returns, who comes back, who stays away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np

from ..analysis.bitmaps import Stripe, Words
from ..analysis.counting import Pair, count_pairs
from ..analysis.errors import QueryError, Text
from ..analysis.expressions import (
    Expression,
    evaluate_each,
    shown_name,
    sources_over,
)
from ..analysis.periods import Period, TimeGroup
from ..analysis.results import Table
from ..analysis.users import Selection
from .asking import Ask
from .declare import (
    GROUPS,
    Answer,
    AnswerDict,
    Behind,
    Cell,
    Compared,
    Group,
    Question,
    Who,
    param,
    period_of,
    running_note,
)

StageName = Literal["new", "returning", "resurrecting", "dormant", "active"]
"""One of the stages, or the users of the first three together."""

Counts = tuple[int | None, ...]
"""A number for each period; None where it was not kept."""

STAGES: Mapping[StageName, tuple[Text, Text]] = {
    "new": (Text("New"), Text("active for the first time ever")),
    "returning": (Text("Returning"), Text("also active last period")),
    "resurrecting": (Text("Resurrecting"), Text("came back after being inactive")),
    "dormant": (Text("Dormant"), Text("active last period, not this one")),
    "active": (Text("Active"), Text("new, returning and resurrecting together")),
}
"""What each column is called, and what it means."""


class LifecycleDict(AnswerDict):
    """The JSON of a lifecycle."""

    event: str
    time_group: str
    dates: list[str]
    complete: list[bool]
    new: list[int | None]
    returning: list[int | None]
    resurrecting: list[int | None]
    dormant: list[int | None]
    active: list[int | None]


class Stage(Cell):
    """One number of a lifecycle."""

    period: str = param(
        Text("Period"), help=Text("Label of the period, such as 2026-W44.")
    )
    stage: StageName = param(
        Text("Stage"),
        help=Text("new, returning, resurrecting, dormant or active."),
        choices={name: title for name, (title, _) in STAGES.items()},
    )


@dataclass(frozen=True)
class LifecycleAnswer(Answer):
    """The users of each stage, period by period."""

    event: str
    """The event's name, or the expression as text."""
    periods: tuple[Period, ...] = field(repr=False)
    """Oldest first."""
    complete: tuple[bool, ...]
    """Whether each period is over."""
    new: Counts
    """Active for the first time ever."""
    returning: Counts
    """Active, and in the period before."""
    resurrecting: Counts
    """Active, not in the period before, but at some time earlier."""
    dormant: Counts
    """Active in the period before and not in this one; of a period that is not
    complete, those who have not come back yet."""
    active: Counts
    """Active at all, the first three together."""

    stages: ClassVar[Mapping[StageName, tuple[Text, Text]]] = STAGES
    users = Behind(Stage)

    @cached_property
    def by_stage(self) -> dict[StageName, Counts]:
        """The numbers by stage."""
        return {name: getattr(self, name) for name in STAGES}

    def notes(self) -> tuple[Text, ...]:
        notes = [running_note(self.ask, self.periods[-1])]
        if not self.complete[-1] and self.dormant[-1] is not None:
            notes.append(self._not_back(self.dormant[-1]))
        if not any(self.complete):
            notes.append(Text("No period is complete yet."))
        return tuple(filter(None, notes))

    def _not_back(self, count: int) -> Text:
        if self.ask.as_of.is_today:
            return Text("Active last period, not back yet: %(count)s.", count=count)
        return Text(
            "Active last period, not back by %(day)s: %(count)s.",
            day=self.ask.as_of.day,
            count=count,
        )

    def told_periods(self) -> tuple[Period, ...]:
        return self.periods

    row_periods = told_periods

    def compared(self) -> Sequence[Compared]:
        return [
            Compared(
                name=STAGES[stage][0],
                labels=self.periods,
                values=counts,
                complete=self.complete,
                cells=[{"period": each.label, "stage": stage} for each in self.periods],
            )
            for stage, counts in self.by_stage.items()
            if stage in ("active", "new")
        ]

    def to_dict(self) -> LifecycleDict:
        return {
            **self.head(),
            "event": self.event,
            "time_group": self.question.time_group,
            "dates": [period.label for period in self.periods],
            "complete": list(self.complete),
            "new": list(self.new),
            "returning": list(self.returning),
            "resurrecting": list(self.resurrecting),
            "dormant": list(self.dormant),
            "active": list(self.active),
        }

    def table(self) -> Table:
        labels = [each.label for each in self.periods]
        rows = zip(labels, self.complete, *self.by_stage.values())
        return Table(
            [TimeGroup(self.question.time_group).singular, "complete", *STAGES],
            [list(row) for row in rows],
        )


class Lifecycle(Question[LifecycleAnswer]):
    """Who is new, who returns, who stays away?"""

    icon = "fa-refresh"
    template = "flask_bitmapist/lifecycle.html"
    spans = ("num_periods",)
    cell = Stage

    event: Who = param(
        Text("Users who did"),
        kw_only=False,
        help=Text("The event or expression that makes a user active."),
    )
    time_group: Group = param(Text("by"), default="weeks", short="g")
    num_periods: int = param(
        Text("Periods"),
        default=12,
        short="n",
        help=Text("Number of periods, up to the current one."),
    )

    def sentence(self) -> Text:
        return self.to_day(
            Text(
                "Lifecycle of %(event)s by %(unit)s",
                event=self.event,
                unit=GROUPS[self.time_group],
            )
        )

    def answer(self, ask: Ask) -> LifecycleAnswer:
        # The first one is there for those who were active the period before.
        periods = ask.periods(self.time_group, self.num_periods + 1)
        expression = ask.among(self.event, "event")
        counts: Any = _Stages(ask, expression, periods).counts()
        return LifecycleAnswer(
            ask=ask,
            event=shown_name(expression),
            periods=periods[1:],
            complete=ask.complete(periods[1:]),
            **counts,
        )

    def people(self, ask: Ask, cell: Stage) -> Selection:
        periods = ask.periods(self.time_group, self.num_periods + 1)
        period = period_of(periods[1:], cell.period)
        at = periods.index(period)
        expression = ask.among(self.event, "event")
        stages = _Stages(ask, expression, periods[at - 1 : at + 1])
        if not stages.is_known(cell.stage, 0):
            raise QueryError(
                Text("Not all in or before %(period)s is kept.", period=period),
                field="period",
            )
        return Selection(
            sources=tuple(stages.sources),
            words=lambda stripe: np.array(stages.users(stripe)[cell.stage][0]),
            text=_who(ask, shown_name(expression), cell.stage, periods[at - 1], period),
        )


def _who(ask: Ask, event: str, stage: str, before: Period, period: Period) -> Text:
    """Return who the users of a stage are, in words."""
    if stage != "dormant" or ask.as_of.is_complete(period):
        return Text(
            "%(event)s: %(stage)s in %(period)s",
            event=event,
            stage=stage,
            period=period,
        )
    # Nobody is to be told lost who still has time.
    if ask.as_of.is_today:
        return Text(
            "%(event)s: active in %(before)s, not back yet in %(period)s",
            event=event,
            before=before,
            period=period,
        )
    return Text(
        "%(event)s: active in %(before)s, not back in %(period)s by %(day)s",
        event=event,
        before=before,
        period=period,
        day=ask.as_of.day,
    )


class _Stages:
    """The bitmaps of a lifecycle.

    Args:
        ask: The question being answered.
        expression: Who is active.
        periods: The period before the first one, and those that are told of.
    """

    def __init__(
        self, ask: Ask, expression: Expression, periods: tuple[Period, ...]
    ) -> None:
        self._ask = ask
        self._expression = expression
        self._periods = periods
        self._earlier = ask.earlier(expression, periods)
        unkept = ask.unkept([expression], periods)
        self._is_kept = [each not in unkept for each in periods]
        self.sources = [
            *sources_over(expression, periods),
            *self._earlier.sources(),
        ]

    def is_known(self, stage: StageName, at: int) -> bool:
        """Return whether a number can be told of one of the periods, from 0."""
        now = self._is_kept[at + 1]
        before, past = self._is_kept[at], self._earlier.known[at + 1]
        needed: dict[StageName, bool] = {
            "new": past,
            "returning": before,
            "resurrecting": before and past,
            "dormant": before,
            "active": True,
        }
        return now and needed[stage]

    def counts(self) -> dict[StageName, Counts]:
        """Return the numbers of each stage."""
        passes = 4 * len(self._periods)
        pairs = map(self.pairs, self._ask.stripes(self.sources, passes))
        counts = count_pairs(pairs, (3, len(self._periods)))
        # Who was active the period before was active at some time before: so the
        # stages follow from three numbers, without making each stage's bitmaps.
        active, returning, seen = counts[0], counts[1][:-1], counts[2][:-1]
        before, now = active[:-1], active[1:]
        found = {
            "new": now - seen,
            "returning": returning,
            "resurrecting": seen - returning,
            "dormant": before - returning,
            "active": now,
        }
        return {
            stage: tuple(
                int(count) if self.is_known(stage, at) else None
                for at, count in enumerate(found[stage])
            )
            for stage in STAGES
        }

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

    def users(self, stripe: Stripe) -> dict[StageName, Words]:
        """Return for each stage its users, a row for each period."""
        active, earlier = self._activity(stripe)
        now, before = active[1:], active[:-1]
        return {
            "new": now & ~earlier,
            "returning": now & before,
            "resurrecting": now & earlier & ~before,
            "dormant": before & ~now,
            "active": now,
        }

    def _activity(self, stripe: Stripe) -> tuple[Words, Words]:
        """Return who was active in each period, and who before each but the first."""
        active = evaluate_each(self._expression, self._periods, stripe)
        return active, self._earlier.users(stripe, active)[1:]
