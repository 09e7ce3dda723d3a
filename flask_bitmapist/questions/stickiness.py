"""Stickiness: what share of the users comes on a day, and on how many days each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from ..analysis.bitmaps import Stripe, Words, bit_counts, rolling_union
from ..analysis.counting import count_rows
from ..analysis.errors import QueryError, Text
from ..analysis.expressions import (
    Expression,
    evaluate_each,
    shown_name,
    sources_over,
)
from ..analysis.periods import Period, TimeGroup
from ..analysis.results import Table, to_text
from ..analysis.users import Selection
from .asking import Ask
from .declare import (
    Answer,
    AnswerDict,
    Behind,
    Cell,
    Compared,
    Question,
    Who,
    param,
    running_note,
)

ROLLING_DAYS = 28
"""Four weeks: every weekday as often as the others."""

WindowName = Literal["rolling", "month"]
"""What a day is compared with."""

WINDOWS: Mapping[str, Text] = {
    "rolling": Text("the last %(days)s days", days=ROLLING_DAYS),
    "month": Text("the calendar month"),
}
"""What each window is called."""


class DistributionDict(TypedDict):
    """On how many days users were active; item n is about n days."""

    exactly: list[int | None]
    at_least: list[int | None]


class StickinessDict(AnswerDict):
    """The JSON of a stickiness."""

    event: str
    window: str
    dates: list[str]
    complete: list[bool]
    daily: list[int | None]
    window_users: list[int | None]
    ratios: list[float | None]
    average: float | None
    distribution: DistributionDict


class DaysActive(Cell):
    """One number of the distribution."""

    days: int = param(Text("Days active"), help=Text("Number of days active."))
    at_least: bool = param(
        Text("At least"), default=False, help=Text("Include users active on more days.")
    )


@dataclass(frozen=True)
class StickinessAnswer(Answer):
    """How often users come, day by day and altogether."""

    event: str
    """The event's name, or the expression as text."""
    days: tuple[Period, ...] = field(repr=False)
    """Oldest first; the last one is that of ``as_of``."""
    complete: tuple[bool, ...]
    """Whether each ratio is final, as it is once its day is over, and also its month
    where it is compared with that."""
    daily: tuple[int | None, ...]
    """Unique users of each day; None where it was not kept."""
    window: tuple[int | None, ...]
    """For each day the users of the 28 days that end with it, or of its month; None
    where that, or a part of it, was not kept."""
    exactly: tuple[int | None, ...]
    """Users active on exactly n of the days, as item n; item 0 is not counted and 0.
    None where any of the days was not kept."""

    windows: ClassVar[Mapping[str, Text]] = WINDOWS
    users = Behind(DaysActive)

    @cached_property
    def ratios(self) -> tuple[float | None, ...]:
        """The day's users divided by the window's, None where nobody was there."""
        return tuple(
            day / users if users and day is not None else None
            for day, users in zip(self.daily, self.window)
        )

    @cached_property
    def average(self) -> float | None:
        """Weighted average of the complete ones among :attr:`ratios`."""
        known = [
            (day, users)
            for day, users, is_over in zip(self.daily, self.window, self.complete)
            if is_over and day is not None and users is not None
        ]
        users = sum(users for _, users in known)
        return sum(day for day, _ in known) / users if users else None

    @cached_property
    def at_least(self) -> tuple[int | None, ...]:
        """Users active on at least n of the days, as item n; None as in
        :attr:`exactly`."""
        if None in self.exactly:
            return self.exactly
        return tuple(
            sum(filter(None, self.exactly[n:])) for n in range(len(self.exactly))
        )

    @cached_property
    def most_days(self) -> int:
        """The most days on which anybody was active."""
        return max((n for n, users in enumerate(self.exactly) if users), default=0)

    def notes(self) -> tuple[Text, ...]:
        notes = []
        if self.question.window == "month":
            notes.append(running_note(self.ask, _month(self.ask, self.days[-1])))
        if not self.ask.as_of.is_complete(self.days[-1]):
            notes.append(Text("This includes today, which is not over yet."))
        if self.average is None and not any(self.complete):
            notes.append(Text("No period is complete yet."))
        return tuple(filter(None, notes))

    def told_periods(self) -> tuple[Period, ...]:
        return self.days

    row_periods = told_periods

    def compared(self) -> Sequence[Compared]:
        return [
            Compared(
                name=Text("Stickiness"),
                labels=self.days,
                values=self.ratios,
                complete=self.complete,
                cells=[None for _ in self.days],
            )
        ]

    def to_dict(self) -> StickinessDict:
        return {
            **self.head(),
            "event": self.event,
            "window": self.question.window,
            "dates": [day.label for day in self.days],
            "complete": list(self.complete),
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
        labels = [day.label for day in self.days]
        rows = zip(labels, self.complete, self.daily, self.window, self.ratios)
        window = WINDOWS[self.question.window].removeprefix("the ")
        return Table(
            ["day", "complete", "users", f"users of {window}", "stickiness"],
            [list(row) for row in rows],
        )

    def distribution(self) -> Table:
        """Return for each number of days how many users were active on so many."""
        return Table(
            ["days active", "exactly", "at least"],
            [
                [number, self.exactly[number], self.at_least[number]]
                for number in range(1, len(self.exactly))
            ],
        )

    def __str__(self) -> str:
        columns, rows = self.distribution()
        parts = [to_text(self.table()), to_text(Table(columns, rows[: self.most_days]))]
        if self.average is not None:
            parts.insert(1, f"{self.average:.1%} on average over complete days")
        return "\n\n".join(parts)


class Stickiness(Question[StickinessAnswer]):
    """How often do users come?"""

    icon = "fa-magnet"
    template = "flask_bitmapist/stickiness.html"
    cell = DaysActive

    event: Who = param(
        Text("Users who did"),
        kw_only=False,
        help=Text("The event or expression that makes a user active."),
    )
    num_days: int = param(
        Text("Days"), default=30, short="n", help=Text("Number of days, up to today.")
    )
    window: WindowName = param(
        Text("Compared with"),
        default="rolling",
        choices=WINDOWS,
        help=Text("Each day's users are divided by the users of this period."),
    )

    @property
    def span(self) -> Text:
        """The days, in words."""
        if self.num_days == 1:
            return Text("the last day")
        return Text("the last %(days)s days", days=self.num_days)

    def sentence(self) -> Text:
        return self.to_day(
            Text(
                "Stickiness of %(event)s in %(span)s, compared with %(window)s",
                event=self.event,
                span=self.span,
                window=WINDOWS[self.window],
            )
        )

    def answer(self, ask: Ask) -> StickinessAnswer:
        expression = ask.among(self.event, "event")
        days = ask.periods("days", self.num_days)
        windows = (_Months if self.window == "month" else _Rolling)(
            ask, expression, days
        )
        lost_days = ask.unkept([expression], days)
        daily = np.zeros(len(days), dtype=np.int64)
        exactly = np.zeros(len(days) + 1, dtype=np.int64)
        # Days active are added up in binary, windows are joined by halves.
        for stripe in ask.stripes(windows.sources, passes=12 * len(days)):
            users = windows.add(stripe)
            daily += count_rows(users)
            exactly += _days_active(users)
        return StickinessAnswer(
            ask=ask,
            event=shown_name(expression),
            days=days,
            complete=windows.complete,
            daily=_known(daily, [day in lost_days for day in days]),
            window=_known(windows.counts(), windows.lost),
            exactly=_known(exactly, [bool(lost_days)] * len(exactly)),
        )

    def people(self, ask: Ask, cell: DaysActive) -> Selection:
        if cell.days > self.num_days:
            raise QueryError(
                Text(
                    "This must be a whole number from %(least)s to %(most)s.",
                    least=1,
                    most=self.num_days,
                ),
                field="days",
            )
        expression = ask.among(self.event, "event")
        days = ask.periods("days", self.num_days)
        ask.require_kept([expression], days, "days")
        wanted = range(cell.days, self.num_days + 1 if cell.at_least else cell.days + 1)
        said = Text("%(event)s on exactly %(days)s of %(all)s days up to %(last)s")
        if cell.at_least:
            said = Text("%(event)s on at least %(days)s of %(all)s days up to %(last)s")
        return Selection(
            sources=tuple(dict.fromkeys(sources_over(expression, days))),
            words=lambda stripe: _of_counts(
                evaluate_each(expression, days, stripe), wanted
            ),
            text=Text(
                said.template,
                event=shown_name(expression),
                days=cell.days,
                all=self.num_days,
                last=days[-1],
            ),
        )


class _Rolling:
    """The users of the 28 days that end with each day, stripe by stripe."""

    def __init__(
        self, ask: Ask, expression: Expression, days: tuple[Period, ...]
    ) -> None:
        self._expression = expression
        self._num_days = len(days)
        self._days = ask.periods("days", len(days) + ROLLING_DAYS - 1)
        self._counts = np.zeros(len(days), dtype=np.int64)
        self.sources = list(sources_over(expression, self._days))
        self.complete = ask.complete(days)
        unkept = ask.unkept([expression], self._days)
        lost = [day in unkept for day in self._days]
        self.lost = [any(lost[at : at + ROLLING_DAYS]) for at in range(len(days))]
        """Of each day whether a part of its window was not kept."""

    def add(self, stripe: Stripe) -> Words:
        """Count the windows in *stripe*, and return the users of the days."""
        users = evaluate_each(self._expression, self._days, stripe)
        windows = rolling_union(users, ROLLING_DAYS)
        self._counts += count_rows(windows[-self._num_days :])
        return users[-self._num_days :]

    def counts(self) -> NDArray[np.int64]:
        return self._counts


class _Months:
    """The users of the calendar month of each day, stripe by stripe."""

    def __init__(
        self, ask: Ask, expression: Expression, days: tuple[Period, ...]
    ) -> None:
        self._expression = expression
        self._days = days
        months = [_month(ask, day) for day in days]
        self._months = tuple(dict.fromkeys(months))
        self._counts = np.zeros(len(self._months), dtype=np.int64)
        self._places = [*map(self._months.index, months)]
        self.sources = [
            *sources_over(expression, days),
            *sources_over(expression, self._months),
        ]
        self.complete = ask.complete(months)
        unkept = ask.unkept([expression], self._months)
        self.lost = [month in unkept for month in months]
        """Of each day whether a part of its window was not kept."""

    def add(self, stripe: Stripe) -> Words:
        """Count the windows in *stripe*, and return the users of the days."""
        self._counts += count_rows(
            evaluate_each(self._expression, self._months, stripe)
        )
        return evaluate_each(self._expression, self._days, stripe)

    def counts(self) -> NDArray[np.int64]:
        return self._counts[self._places]


def _known(counts: NDArray[np.int64], lost: Sequence[bool]) -> tuple[int | None, ...]:
    """Return counts, None where they are not known."""
    found: list[int] = counts.tolist()
    return tuple(None if gone else count for count, gone in zip(found, lost))


def _month(ask: Ask, day: Period) -> Period:
    """Return the month of a day; the last one is read up to the last day."""
    last = ask.as_of.period(TimeGroup.MONTHS)
    month = Period.containing(TimeGroup.MONTHS, day.start)
    return last if month.start == last.start else month


def _days_active(users: Words) -> NDArray[np.int64]:
    """Return for each number of days how many users were active on just so many."""
    counts = np.zeros(len(users) + 1, dtype=np.int64)
    numbers, parts = _by_count(bit_counts(users))
    counts[numbers] = count_rows(parts)
    return counts


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
    numbers, parts = _by_count(bit_counts(users))
    chosen: Words = np.bitwise_or.reduce(parts[np.isin(numbers, wanted)], axis=0)
    return chosen
