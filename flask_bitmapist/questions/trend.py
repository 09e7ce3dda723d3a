"""Trends: unique users, period by period."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

import numpy as np

from ..analysis.bitmaps import rolling_union
from ..analysis.counting import count_rows
from ..analysis.errors import QueryError, Text
from ..analysis.expressions import (
    evaluate_each,
    shown_name,
    sources_over,
)
from ..analysis.periods import Period, TimeGroup
from ..analysis.results import Table
from ..analysis.users import Selection, expression_users
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


class SoFarDict(TypedDict):
    """A running period against the same days of the one before."""

    days: int
    count: int
    before: int
    change: float | None


@dataclass(frozen=True)
class SoFar:
    """A running period, compared by its days that are over."""

    days: int
    """How many days of it are over."""
    count: int
    """Unique users of these days."""
    before: int
    """Unique users of the same days of the period before."""

    @property
    def change(self) -> float | None:
        """The change, 0.1 being 10 % more; None after nobody."""
        return change(self.before, self.count)

    def to_dict(self) -> SoFarDict:
        """Return it as it stands in JSON."""
        return {
            "days": self.days,
            "count": self.count,
            "before": self.before,
            "change": self.change,
        }


@dataclass(frozen=True)
class Series:
    """One line of a trend."""

    name: str
    """The event's name, or the expression as text."""
    counts: tuple[int | None, ...]
    """Unique users in each period; None where it was not kept."""
    changes: tuple[float | None, ...]
    """Change against the period before, 0.1 being 10 % more; None after nobody, and
    where either period is not complete."""
    so_far: SoFar | None = None
    """The running period against the same days of the one before; None while no day
    of it is over, and where the last period is complete."""
    rolling: dict[int, tuple[int | None, ...]] = field(default_factory=dict)
    """Unique users of the days that end with each day, by their number; None where one
    of them was not kept."""


class SeriesDict(TypedDict):
    """One line of a trend."""

    name: str
    counts: list[int | None]
    changes: list[float | None]
    so_far: SoFarDict | None
    rolling: dict[str, list[int | None]]


class TrendDict(AnswerDict):
    """The JSON of a trend."""

    time_group: str
    dates: list[str]
    complete: list[bool]
    series: list[SeriesDict]


class Point(Cell):
    """One point of a trend."""

    period: str = param(
        Text("Period"), help=Text("Label of the period, such as 2026-W44.")
    )
    event: Who | None = param(
        Text("Event"),
        default=None,
        help=Text("One of the events; the first by default."),
    )


@dataclass(frozen=True)
class TrendAnswer(Answer):
    """Unique users by period, a line for each event."""

    periods: tuple[Period, ...] = field(repr=False)
    """Oldest first."""
    complete: tuple[bool, ...]
    """Whether each period is over."""
    series: tuple[Series, ...]

    users = Behind(Point)

    def notes(self) -> tuple[Text, ...]:
        notes = [running_note(self.ask, self.periods[-1])]
        for series in self.series:
            if series.so_far is not None:
                notes.append(so_far_note(series.name, self.periods[-1], series.so_far))
        return tuple(filter(None, notes))

    def told_periods(self) -> tuple[Period, ...]:
        return self.periods

    row_periods = told_periods

    def compared(self) -> Sequence[Compared]:
        return [
            Compared(
                name=Text("Users of %(event)s", event=series.name),
                labels=self.periods,
                values=series.counts,
                complete=self.complete,
                cells=[{"period": each.label, "event": event} for each in self.periods],
            )
            for series, event in zip(self.series, self.question.events)
        ]

    def to_dict(self) -> TrendDict:
        return {
            **self.head(),
            "time_group": self.question.time_group,
            "dates": [period.label for period in self.periods],
            "complete": list(self.complete),
            "series": [_series_dict(series) for series in self.series],
        }

    def table(self) -> Table:
        columns = [TimeGroup(self.question.time_group).singular, "complete"]
        cells: list[Sequence[Any]] = [
            [each.label for each in self.periods],
            self.complete,
        ]
        for series in self.series:
            columns += [series.name, f"{series.name}: change"]
            cells += [series.counts, series.changes]
            for days, counts in series.rolling.items():
                columns.append(f"{series.name}: last {days} days")
                cells.append(counts)
        return Table(columns, [list(row) for row in zip(*cells)])


class Trend(Question[TrendAnswer]):
    """How many unique users did this in each period?"""

    title = Text("Trends")
    endpoint = "trends"
    icon = "fa-line-chart"
    template = "flask_bitmapist/trends.html"
    spans = ("num_periods",)
    cell = Point

    events: Sequence[Who] = param(
        Text("Users who did"),
        kw_only=False,
        most=20,
        help=Text("Events or expressions, one line each."),
    )
    time_group: Group = param(Text("by"), default="days", short="g")
    num_periods: int = param(
        Text("Periods"),
        default=30,
        short="n",
        help=Text("Number of periods, up to the current one."),
    )
    rolling: Sequence[int] = param(
        Text("Rolling lines"),
        default=(),
        least=0,
        choices={7: Text("7 days"), 28: Text("28 days")},
        help=Text("Add lines of unique users over the last 7 or 28 days; by day only."),
    )

    def check(self) -> dict[str, Text]:
        if self.rolling and self.time_group != "days":
            return {
                "rolling": Text(
                    "Rolling lines are only available by day; otherwise ask for "
                    "“x in last 28 days”."
                )
            }
        return {}

    def sentence(self) -> Text:
        return self.to_day(
            Text(
                "Unique users of %(events)s by %(unit)s",
                events=", ".join(self.events),  # type: ignore[arg-type]
                unit=GROUPS[self.time_group],
            )
        )

    def answer(self, ask: Ask) -> TrendAnswer:
        lines = [_Line(ask, self, event) for event in self.events]
        sources = [source for line in lines for source in line.sources]
        # Each rolling line joins the days a few times over.
        passes = len(set(sources)) * (1 + 8 * len(self.rolling))
        for stripe in ask.stripes(sources, passes):
            for line in lines:
                line.add(stripe)
        shown = lines[0].periods[-self.num_periods :]
        complete = ask.complete(shown)
        return TrendAnswer(
            ask=ask,
            periods=shown,
            complete=complete,
            series=tuple(line.series(complete) for line in lines),
        )

    def people(self, ask: Ask, cell: Point) -> Selection:
        event = self.events[0] if cell.event is None else cell.event
        if event not in self.events:
            raise QueryError(Text("This must be one of the events."), field="event")
        periods = ask.periods(self.time_group, self.num_periods)
        period = period_of(periods, cell.period)
        expression = ask.among(event, "events")
        ask.require_kept([expression], [period], "period")
        return expression_users(expression, period)


class _Line:
    """The counts of one event, stripe by stripe."""

    def __init__(self, ask: Ask, question: Trend, event: Who) -> None:
        self._question = question
        self._expression = ask.among(event, "events")
        # A change looks at the period before, a rolling line at the days before.
        lead = max(2, *question.rolling) - 1 if question.rolling else 1
        self.periods = ask.periods(question.time_group, question.num_periods + lead)
        self._unkept = ask.unkept([self._expression], self.periods)
        running = self.periods[-1]
        over = None
        if not ask.as_of.is_complete(running):
            over = ask.as_of.elapsed(running)
        if over and ask.unkept([self._expression], over):
            over = None
        self._over = over or ()
        self.sources = [
            *sources_over(self._expression, self.periods),
            *sources_over(self._expression, self._over),
        ]
        self._counts = np.zeros(len(self.periods), dtype=np.int64)
        self._over_counts = np.zeros(len(self._over), dtype=np.int64)
        self._rolling = {days: self._counts.copy() for days in question.rolling}

    def add(self, stripe: Any) -> None:
        users = evaluate_each(self._expression, self.periods, stripe)
        self._counts += count_rows(users)
        for days, counts in self._rolling.items():
            counts += count_rows(rolling_union(users, days))
        if self._over:
            over = evaluate_each(self._expression, self._over, stripe)
            self._over_counts += count_rows(over)

    def series(self, complete: tuple[bool, ...]) -> Series:
        shown = self._question.num_periods
        counts = self._known(self._counts, 1)
        changes = [
            change(before, count) if is_complete else None
            for before, count, is_complete in zip(
                counts[-shown - 1 :], counts[-shown:], complete
            )
        ]
        return Series(
            name=shown_name(self._expression),
            counts=counts[-shown:],
            changes=tuple(changes),
            so_far=self._so_far(),
            rolling={
                days: self._known(values, days)[-shown:]
                for days, values in self._rolling.items()
            },
        )

    def _known(self, counts: Any, length: int) -> tuple[int | None, ...]:
        """Return the counts of so many periods each, None where one was not kept."""
        lost = [period in self._unkept for period in self.periods]
        return tuple(
            None if any(lost[max(0, at - length + 1) : at + 1]) else int(count)
            for at, count in enumerate(counts)
        )

    def _so_far(self) -> SoFar | None:
        if not self._over:
            return None
        count, before = self._over_counts.tolist()
        return SoFar(sum(1 for _ in self._over[0].counted_days()), count, before)


def so_far_note(name: str, period: Period, so_far: SoFar) -> Text:
    """Return the comparison of a running period in words."""
    values = {
        "name": name,
        "period": period,
        "count": so_far.count,
        "before": so_far.before,
    }
    if so_far.days == 1:
        return Text(
            "%(name)s, first day of %(period)s: %(count)s, %(before)s on the "
            "same day of the period before.",
            **values,
        )
    return Text(
        "%(name)s, first %(days)s days of %(period)s: %(count)s, %(before)s in "
        "the same days of the period before.",
        **values,
        days=so_far.days,
    )


def change(before: int | None, count: int | None) -> float | None:
    """Return a change, 0.1 being 10 % more; None after nobody or an unknown number."""
    if not before or count is None:
        return None
    return (count - before) / before


def _series_dict(series: Series) -> SeriesDict:
    over = series.so_far
    return {
        "name": series.name,
        "counts": list(series.counts),
        "changes": list(series.changes),
        "so_far": None if over is None else over.to_dict(),
        "rolling": {str(days): list(counts) for days, counts in series.rolling.items()},
    }
