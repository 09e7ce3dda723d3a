"""Funnels: how far users get, step by step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

from ..analysis.bitmaps import Stripe, Words
from ..analysis.counting import count_bits, count_rows
from ..analysis.errors import QueryError, Text
from ..analysis.expressions import evaluate_each, shown_name, sources_over
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
)

Outcome = Literal[
    "reached", "dropped-off", "still-open", "entered-again", "reached-open"
]

OUTCOMES = {
    "reached": Text("Reached the step"),
    "dropped-off": Text("Dropped off"),
    "still-open": Text("Still have time"),
    "entered-again": Text("Dropped off, and entered again"),
    "reached-open": Text("Reached the step, window still open"),
}
"""What becomes of users at a step, as people call it."""

_SPANS = {
    "hours": (Text("1 hour"), Text("%(count)s hours")),
    "days": (Text("1 day"), Text("%(count)s days")),
    "weeks": (Text("1 week"), Text("%(count)s weeks")),
    "months": (Text("1 month"), Text("%(count)s months")),
    "years": (Text("1 year"), Text("%(count)s years")),
}


class FunnelDict(AnswerDict):
    """The JSON of a funnel."""

    steps: list[str]
    time_group: str
    window: int
    totals: list[int | None]
    step_conversions: list[float | None]
    overall_conversions: list[float | None]
    dropped_off: list[int | None]
    entered_again: list[int | None]
    open_totals: list[int | None]
    still_open: int | None
    dates: list[str]
    counts: list[list[int | None]]
    complete: list[bool]


class StepUsers(Cell):
    """One number of a funnel: users at a step."""

    step: int = param(
        Text("Step"), most=20, help=Text("Number of the step, starting at 1.")
    )
    period: str | None = param(
        Text("Entered in"),
        default=None,
        help=Text("Label of an entry period, such as 2026-11-23; all by default."),
    )
    outcome: Outcome = param(
        Text("Outcome"),
        default="reached",
        choices=OUTCOMES,
        help=Text("What happened to users at the step."),
    )


@dataclass(frozen=True)
class FunnelAnswer(Answer):
    """How far users got, step by step.

    An entry period is complete when the last period of its conversion window has
    ended.  Totals, conversions and drop-off are of users who entered in complete ones;
    they are None while there is none.
    """

    steps: tuple[str, ...]
    """What has to be done, in order."""
    periods: tuple[Period, ...] = field(repr=False)
    """The periods of entering, oldest first."""
    complete: tuple[bool, ...] = field(repr=False)
    """Whether the conversion window of each of them is over."""
    counts: tuple[tuple[int | None, ...], ...] = field(repr=False)
    """Users who got at least so far, by period of entering and step; None where hours
    of the window were not kept."""
    totals: tuple[int | None, ...]
    """Unique users who got at least so far, by step, of complete entry periods."""
    open_totals: tuple[int | None, ...]
    """The same of the entry periods that are not complete."""
    still_open: int | None
    """Users who entered in a period that is not complete, and have not taken the last
    step yet."""
    entered_again: tuple[int | None, ...]
    """How many of those who dropped off at each step have entered again in a period
    that is not complete."""

    users = Behind(StepUsers)

    @cached_property
    def step_conversions(self) -> tuple[float | None, ...]:
        """Share of those who reached the step before, by step; the first is 1."""
        before = (self.totals[0], *self.totals)
        return tuple(map(_share, self.totals, before))

    @cached_property
    def overall_conversions(self) -> tuple[float | None, ...]:
        """Share of those who took the first step, by step."""
        return tuple(_share(count, self.totals[0]) for count in self.totals)

    @property
    def conversion(self) -> float | None:
        """Share of those who entered that took the last step."""
        return self.overall_conversions[-1]

    @cached_property
    def dropped_off(self) -> tuple[int | None, ...]:
        """Users who got to the step before and not to this one, by step."""
        before = (self.totals[0], *self.totals)
        return tuple(
            None if count is None or base is None else base - count
            for count, base in zip(self.totals, before)
        )

    @property
    def open_waiting(self) -> tuple[int | None, ...]:
        """Users of :attr:`open_totals` who have not taken each step yet."""
        entered = self.open_totals[0]
        return tuple(
            None if count is None or entered is None else entered - count
            for count in self.open_totals
        )

    def notes(self) -> tuple[Text, ...]:
        return tuple(self._notes())

    def _notes(self) -> Iterator[Text]:
        question: Funnel = self.question
        if self.totals[0] is None:
            yield Text("No period is complete yet.")
            if question.window > question.num_periods:
                yield Text(
                    "The conversion window is longer than the range of entry dates."
                )
        elif self.conversion is not None:
            share = 100 * self.conversion
            yield Text("%(share)s%% overall conversion.", share=share)
        if self.still_open:
            yield _have_time(self.still_open, self.ask)
        again = sum(filter(None, self.entered_again))
        if again:
            yield Text("Dropped off and entered again: %(count)s.", count=again)
        unknown = sum(row[0] is None for row in self.counts)
        if unknown:
            yield Text(
                "Entry periods left out because hours were not recorded: %(count)s.",
                count=unknown,
            )
        yield Text(
            "Steps within the same %(unit)s count in any order.",
            unit=GROUPS[question.time_group],
        )

    def compared(self) -> Sequence[Compared]:
        steps = [f"{number}. {step}" for number, step in enumerate(self.steps, 1)]
        final = [True for _ in steps]
        cells = [{"step": number} for number, _ in enumerate(steps, 1)]
        return [
            Compared(
                *(Text("Overall conversion"), steps, self.overall_conversions, final),
                cells=[None for _ in steps],
            ),
            Compared(Text("Users"), steps, self.totals, final, cells),
        ]

    def to_dict(self) -> FunnelDict:
        return {
            **self.head(),
            "steps": list(self.steps),
            "time_group": self.question.time_group,
            "window": self.question.window,
            "totals": list(self.totals),
            "step_conversions": list(self.step_conversions),
            "overall_conversions": list(self.overall_conversions),
            "dropped_off": list(self.dropped_off),
            "entered_again": list(self.entered_again),
            "open_totals": list(self.open_totals),
            "still_open": self.still_open,
            "dates": [period.label for period in self.periods],
            "counts": [list(row) for row in self.counts],
            "complete": list(self.complete),
        }

    def table(self) -> Table:
        columns = ["step", "complete", "users", "conversion from previous step"]
        columns += ["overall conversion", "dropped off", "entered again"]
        of_complete = zip(
            self.totals,
            self.step_conversions,
            self.overall_conversions,
            self.dropped_off,
            self.entered_again,
        )
        rows: list[list[Any]] = [
            [step, True, *numbers] for step, numbers in zip(self.steps, of_complete)
        ]
        rows += [
            [step, False, count, None, None, None, None]
            for step, count in zip(self.steps, self.open_totals)
        ]
        return Table(columns, rows)

    def by_period(self) -> Table:
        """Return the users by period of entering and step."""
        return Table(
            [TimeGroup(self.question.time_group).singular, "complete", *self.steps],
            [
                [period.label, is_complete, *row]
                for period, is_complete, row in zip(
                    self.periods, self.complete, self.counts
                )
            ],
        )


class Funnel(Question[FunnelAnswer]):
    """How many of those who take the first step take the next ones?"""

    title = Text("Funnel")
    icon = "fa-filter"
    template = "flask_bitmapist/funnel.html"
    spans = ("num_periods",)
    cell = StepUsers

    steps: Sequence[Who] = param(
        Text("Step"),
        kw_only=False,
        least=2,
        most=20,
        help=Text("Events or expressions, in order."),
    )
    time_group: Group = param(Text("by"), default="days", short="g")
    num_periods: int = param(
        Text("Entered in the last"),
        default=30,
        short="n",
        help=Text(
            "Number of periods in which users take the first step, up to "
            "the current one."
        ),
    )
    window: int = param(
        Text("Conversion window"),
        default=7,
        short="w",
        help=Text(
            "Number of periods to complete all steps in, including that of "
            "the first step."
        ),
    )

    def sentence(self) -> Text:
        return self.to_day(
            Text(
                "Funnel %(steps)s within %(window)s, entered in the last %(span)s",
                steps=_joined(self.steps),
                window=_span(self.window, self.time_group),
                span=_span(self.num_periods, self.time_group),
            )
        )

    def answer(self, ask: Ask) -> FunnelAnswer:
        entries = _Entries(ask, self)
        counts = np.zeros((len(entries.periods), len(self.steps)), dtype=np.int64)
        totals, open_totals, again = np.zeros((3, len(self.steps)), dtype=np.int64)
        looks = len(self.steps) * self.num_periods * min(self.window, self.num_periods)
        for stripe in ask.stripes(entries.sources, passes=looks):
            reached = entries.reached(stripe)
            closed = [_united(rows[: entries.closed]) for rows in reached]
            still = [_united(rows[entries.closed :]) for rows in reached]
            for step, rows in enumerate(reached):
                counts[:, step] += count_rows(rows)
                totals[step] += count_bits(closed[step])
                open_totals[step] += count_bits(still[step])
                if step:
                    lost = closed[step - 1] & ~closed[step]
                    again[step] += count_bits(lost & still[0])
        unknown = (None,) * len(self.steps)
        by_entry = zip(counts.tolist(), entries.unknown)
        return FunnelAnswer(
            ask=ask,
            steps=entries.names,
            periods=entries.periods,
            complete=entries.complete,
            counts=tuple(
                unknown if is_unknown else tuple(row) for row, is_unknown in by_entry
            ),
            totals=_known(totals, entries.has_closed),
            open_totals=_known(open_totals, entries.has_open),
            still_open=int(open_totals[0] - open_totals[-1])
            if entries.has_open
            else None,
            entered_again=_known(again, entries.has_closed and entries.has_open),
        )

    def people(self, ask: Ask, cell: StepUsers) -> Selection:
        least = 1 if cell.outcome in ("reached", "reached-open") else 2
        if not least <= cell.step <= len(self.steps):
            raise QueryError(
                Text(
                    "This must be a whole number from %(least)s to %(most)s.",
                    least=least,
                    most=len(self.steps),
                ),
                field="step",
            )
        entries = _Entries(ask, self)
        place = None
        if cell.period is None:
            entries.require_any(cell.outcome)
        else:
            place = entries.periods.index(period_of(entries.periods, cell.period))
            entries.require(place, cell.outcome)
        return Selection(
            sources=entries.sources,
            words=lambda stripe: entries.users(stripe, cell, place),
            text=_who(entries, cell),
        )


class _Entries:
    """The periods of entering, and who gets how far from each."""

    def __init__(self, ask: Ask, question: Funnel) -> None:
        first, *others = question.steps
        self._steps = (
            ask.among(first, "steps"),
            *(ask.who(step, "steps") for step in others),
        )
        self._window = question.window
        self.names = tuple(map(shown_name, self._steps))
        self.periods = ask.periods(question.time_group, question.num_periods)
        over = ask.complete(self.periods)[question.window - 1 :]
        self.complete = (*over, *[False] * (len(self.periods) - len(over)))
        # Time has one direction: complete ones come first.
        self.closed = sum(self.complete)
        self.unknown = self._unknown(ask)
        self.has_closed = not all(self.unknown[: self.closed])
        still = self.unknown[self.closed :]
        # Where all are complete it is known that nobody has time: 0.
        self.has_open = not still or not all(still)
        self.sources = tuple(
            source
            for step in self._steps
            for source in sources_over(step, self.periods)
        )

    def _unknown(self, ask: Ask) -> Sequence[bool]:
        """Return of which entry periods hours of the window were not kept."""
        unkept = ask.unkept(self._steps, self.periods)
        if not unkept:
            return [False] * len(self.periods)
        before = np.cumsum([0, *(period in unkept for period in self.periods)])
        ends = np.minimum(
            np.arange(len(self.periods)) + self._window, len(self.periods)
        )
        missing: list[bool] = (before[ends] > before[:-1]).tolist()
        return missing

    def reached(self, stripe: Stripe) -> list[Words]:
        """Return for each step who reached it, a row for each period of entering.

        Everyone takes the steps at the earliest opportunity; taking one later cannot
        get them further.
        """
        done = [evaluate_each(step, self.periods, stripe) for step in self._steps]
        entered = done[0]
        if any(self.unknown):
            entered = entered.copy()
            entered[np.array(self.unknown)] = 0
        reached = [entered, *(np.zeros_like(entered) for _ in self._steps[1:])]
        for later in range(min(self._window, len(self.periods))):
            # Row i looks at period i + later; the last rows have no such period yet.
            rows = len(self.periods) - later
            for step in range(1, len(self._steps)):
                now = reached[step - 1][:rows] & done[step][later:]
                np.bitwise_or(reached[step][:rows], now, out=reached[step][:rows])
        return reached

    def users(self, stripe: Stripe, cell: StepUsers, place: int | None) -> Words:
        """Return the users behind a number of the funnel."""
        reached = self.reached(stripe)
        step = cell.step - 1
        is_open = cell.outcome in ("still-open", "reached-open")
        rows = slice(self.closed, None) if is_open else slice(self.closed)
        if place is not None:
            rows = slice(place, place + 1)
        users = _united(reached[step][rows])
        if cell.outcome == "still-open":
            return _united(reached[0][rows]) & ~users
        if cell.outcome in ("reached", "reached-open"):
            return users
        lost = _united(reached[step - 1][rows]) & ~users
        if cell.outcome == "entered-again":
            return lost & _united(reached[0][self.closed :])
        return lost

    def require_any(self, outcome: Outcome) -> None:
        """Refuse an outcome of which no entry period tells.

        Raises:
            QueryError: None of them is complete, or hours were not kept.
        """
        if outcome not in ("still-open", "reached-open") and not self.has_closed:
            raise QueryError(Text("No period is complete yet."), field="outcome")
        if outcome not in ("reached", "dropped-off") and not self.has_open:
            raise QueryError(Text("Hours were not recorded."), field="outcome")

    def require(self, place: int, outcome: Outcome) -> None:
        """Refuse an outcome that users of an entry period cannot have.

        Raises:
            QueryError: Its window is open, or over, or hours of it were not kept.
        """
        label = self.periods[place].label
        if self.unknown[place]:
            raise QueryError(
                Text("No data for %(period)s: hours were not recorded.", period=label),
                field="period",
            )
        if outcome in ("dropped-off", "entered-again") and not self.complete[place]:
            raise QueryError(
                Text(
                    "The conversion window of %(period)s is still open: nobody "
                    "has dropped off yet.",
                    period=label,
                ),
                field="period",
            )
        if outcome in ("still-open", "reached-open") and self.complete[place]:
            raise QueryError(
                Text(
                    "The conversion window of %(period)s is over: nobody still "
                    "has time.",
                    period=label,
                ),
                field="period",
            )


def _united(rows: Words) -> Words:
    united: Words = np.bitwise_or.reduce(rows, axis=0)
    return united


def _known(counts: Any, is_known: bool) -> tuple[int | None, ...]:
    return tuple(counts.tolist()) if is_known else (None,) * len(counts)


def _share(count: int | None, base: int | None) -> float | None:
    return count / base if base and count is not None else None


def _have_time(count: int, ask: Ask) -> Text:
    if ask.as_of.is_today:
        if count == 1:
            return Text("1 still has time.")
        return Text("%(count)s still have time.", count=count)
    day = str(ask.as_of.day)
    if count == 1:
        return Text("1 still has time, as of %(day)s.", day=day)
    return Text("%(count)s still have time, as of %(day)s.", count=count, day=day)


def _span(count: int, group: str) -> Text:
    """Return a stretch of time in words: ``7 days``."""
    one, several = _SPANS[group]
    return one if count == 1 else Text(several.template, count=count)


def _joined(steps: Sequence[Who]) -> str:
    return " → ".join(map(str, steps))


_WHO = {
    "reached": Text("reached %(step)s"),
    "dropped-off": Text("did not reach %(step)s"),
    "still-open": Text("still have time to reach %(step)s"),
    "entered-again": Text("did not reach %(step)s and entered again"),
    "reached-open": Text("reached %(step)s, window still open"),
}


def _who(entries: _Entries, cell: StepUsers) -> Text:
    """Return who is behind a number, in words."""
    values = {
        "did": Text(_WHO[cell.outcome].template, step=entries.names[cell.step - 1]),
        "number": cell.step,
        "steps": " → ".join(entries.names),
    }
    if cell.period is None:
        return Text("%(did)s, step %(number)s of %(steps)s", **values)
    return Text(
        "%(did)s, step %(number)s of %(steps)s, entered in %(period)s",
        **values,
        period=cell.period,
    )
