"""Funnels: how far users get, step by step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, reduce
from itertools import accumulate, islice
from operator import and_
from typing import Any, Literal, NamedTuple

import numpy as np

from ..analysis.bitmaps import Stripe, Words
from ..analysis.counting import count_bits, count_rows
from ..analysis.errors import QueryError, Text
from ..analysis.expressions import (
    Expression,
    evaluate_each,
    meaning_of,
    shown_name,
    sources_over,
)
from ..analysis.periods import Period, TimeGroup
from ..analysis.results import Table
from ..analysis.users import Mark, Selection
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
    "reached",
    "dropped-off",
    "still-open",
    "entered-again",
    "reached-open",
    "reached-later",
]

OUTCOMES = {
    "reached": Text("Reached the step"),
    "dropped-off": Text("Dropped off"),
    "still-open": Text("Still have time"),
    "entered-again": Text("Dropped off, and entered again"),
    "reached-open": Text("Reached the step, window still open"),
    "reached-later": Text("Reached the step, each step in a later period"),
}
"""What becomes of users at a step, as people call it."""

_SPANS = {
    "hours": (Text("1 hour"), Text("%(count)s hours")),
    "days": (Text("1 day"), Text("%(count)s days")),
    "weeks": (Text("1 week"), Text("%(count)s weeks")),
    "months": (Text("1 month"), Text("%(count)s months")),
    "quarters": (Text("1 quarter"), Text("%(count)s quarters")),
    "years": (Text("1 year"), Text("%(count)s years")),
}


class FunnelDict(AnswerDict):
    """The JSON of a funnel."""

    steps: list[str]
    time_group: str
    window: int
    any_order: bool
    exclude_steps: list[str]
    totals: list[int | None]
    at_least: list[int | None]
    step_conversions: list[float | None]
    overall_conversions: list[float | None]
    dropped_off: list[int | None]
    entered_again: list[int | None]
    open_totals: list[int | None]
    still_open: int | None
    dates: list[str]
    counts: list[list[int | None]]
    conversions: list[float | None]
    complete: list[bool]
    times: list[int]


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
    after: int | None = param(
        Text("Periods to the step"),
        default=None,
        least=0,
        most=9999,
        help=Text(
            "Periods from entering to reaching the step, 0 in the same one; any number "
            "by default."
        ),
    )

    def check(self) -> dict[str, Text]:
        if self.after is not None and self.outcome not in ("reached", "reached-open"):
            return {"after": Text("Only of users who reached the step.")}
        return {}


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
    """Unique users who got at least so far, by step, of complete entry periods.

    What happened first in a period is not known.  Here steps in the same one count:
    this is at most how many took the steps in their order."""
    at_least: tuple[int | None, ...]
    """The same where each step was taken in a later period than the one before.

    At least so many took the steps in their order."""
    open_totals: tuple[int | None, ...]
    """The same of the entry periods that are not complete."""
    still_open: int | None
    """Users who entered in a period that is not complete, and have not taken the last
    step yet."""
    entered_again: tuple[int | None, ...]
    """How many of those who dropped off at each step have entered again in a period
    that is not complete."""
    times: tuple[int, ...]
    """Users by the periods from entering to the last step, from 0 on.

    Each counts once, by their fastest attempt of a complete entry period.  Empty while
    there is none."""

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
    def is_certain(self) -> bool:
        """Whether nobody took steps in the same period."""
        return self.at_least == self.totals

    @cached_property
    def conversions(self) -> tuple[float | None, ...]:
        """Share of those who entered that took the last step, by period of entering."""
        return tuple(_share(row[-1], row[0]) for row in self.counts)

    @cached_property
    def longest(self) -> int:
        """The most periods that anybody needed to the last step."""
        return max(
            (after for after, users in enumerate(self.times) if users), default=0
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
                "Entry periods left out because they are not kept: %(count)s.",
                count=unknown,
            )
        if not question.any_order:
            yield Text(
                "Steps within the same %(unit)s count in any order.",
                unit=GROUPS[question.time_group],
            )
        if self.at_least[-1] != self.totals[-1]:
            yield Text(
                "At least %(least)s and at most %(most)s took all steps in this order.",
                least=self.at_least[-1],
                most=self.totals[-1],
            )

    def told_periods(self) -> tuple[Period, ...]:
        return self.periods

    def compared(self) -> Sequence[Compared]:
        steps = [f"{number}. {step}" for number, step in enumerate(self.steps, 1)]
        final = [True for _ in steps]
        cells = [{"step": number} for number, _ in enumerate(steps, 1)]
        conversion = Text("Overall conversion")
        return [
            Compared(conversion, steps, self.overall_conversions, final, cells),
            Compared(Text("Users"), steps, self.totals, final, cells),
            Compared(
                name=Text("Overall conversion by entry date"),
                labels=self.periods,
                values=self.conversions,
                complete=self.complete,
                cells=[
                    {"step": len(steps), "period": period.label}
                    for period in self.periods
                ],
            ),
        ]

    def to_dict(self) -> FunnelDict:
        return {
            **self.head(),
            "steps": list(self.steps),
            "time_group": self.question.time_group,
            "window": self.question.window,
            "any_order": self.question.any_order,
            "exclude_steps": list(map(str, self.question.exclude_steps)),
            "totals": list(self.totals),
            "at_least": list(self.at_least),
            "step_conversions": list(self.step_conversions),
            "overall_conversions": list(self.overall_conversions),
            "dropped_off": list(self.dropped_off),
            "entered_again": list(self.entered_again),
            "open_totals": list(self.open_totals),
            "still_open": self.still_open,
            "dates": [period.label for period in self.periods],
            "counts": [list(row) for row in self.counts],
            "conversions": list(self.conversions),
            "complete": list(self.complete),
            "times": list(self.times),
        }

    def table(self) -> Table:
        columns = ["step", "complete", "users", "conversion from previous step"]
        columns += ["overall conversion", "dropped off", "entered again", "at least"]
        of_complete = zip(
            self.totals,
            self.step_conversions,
            self.overall_conversions,
            self.dropped_off,
            self.entered_again,
            self.at_least,
        )
        rows: list[list[Any]] = [
            [step, True, *numbers] for step, numbers in zip(self.steps, of_complete)
        ]
        rows += [
            [step, False, count, None, None, None, None, None]
            for step, count in zip(self.steps, self.open_totals)
        ]
        return Table(columns, rows)

    def by_period(self) -> Table:
        """Return the users by period of entering and step."""
        return Table(
            [
                *(TimeGroup(self.question.time_group).singular, "complete"),
                *(*self.steps, "overall conversion"),
            ],
            [
                [period.label, is_complete, *row, conversion]
                for period, is_complete, row, conversion in zip(
                    self.periods, self.complete, self.counts, self.conversions
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

    any_order: bool = param(
        Text("Later steps in any order"),
        default=False,
        help=Text(
            "After the first step, count the others in whatever order they are taken."
        ),
    )
    exclude_steps: Sequence[Who] = param(
        Text("Without those who do"),
        default=(),
        least=0,
        most=20,
        help=Text(
            "Leave out who does any of these from entering to the step, the periods of "
            "both included."
        ),
    )

    def sentence(self) -> Text:
        said = Text(
            "Funnel %(steps)s within %(window)s, entered in the last %(span)s",
            steps=_joined(self.steps),
            window=_span(self.window, self.time_group),
            span=_span(self.num_periods, self.time_group),
        )
        if self.any_order:
            said = Text("%(asked)s, later steps in any order", asked=said)
        if self.exclude_steps:
            without = ", ".join(map(str, self.exclude_steps))
            said = Text(
                "%(asked)s, without %(who)s in between", asked=said, who=without
            )
        return self.to_day(said)

    def answer(self, ask: Ask) -> FunnelAnswer:
        entries = _Entries(ask, self)
        closed_rows, open_rows = slice(entries.closed), slice(entries.closed, None)
        counts = np.zeros((len(entries.periods), len(self.steps)), dtype=np.int64)
        totals, least, open_totals, again = np.zeros(
            (4, len(self.steps)), dtype=np.int64
        )
        within = np.zeros(entries.offsets, dtype=np.int64)
        # Each step is looked for twice, in the same period and in later ones alone.
        each = 2 * len(self.steps) + len(self.exclude_steps) + 1
        for stripe in ask.stripes(entries.sources, passes=each * entries.looks):
            did = entries.did(stripe)
            for after, reached in enumerate(entries.progress(did)):
                within[after] += count_bits(_united(reached[-1][closed_rows]))
            closed = [_united(rows[closed_rows]) for rows in reached]
            still = [_united(rows[open_rows]) for rows in reached]
            later = entries.reached(did, later=True)
            for step, rows in enumerate(reached):
                counts[:, step] += count_rows(rows)
                totals[step] += count_bits(closed[step])
                least[step] += count_bits(_united(later[step][closed_rows]))
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
            at_least=_known(least, entries.has_closed),
            open_totals=_known(open_totals, entries.has_open),
            still_open=int(open_totals[0] - open_totals[-1])
            if entries.has_open
            else None,
            entered_again=_known(again, entries.has_closed and entries.has_open),
            times=tuple(np.diff(within, prepend=0).tolist())
            if entries.has_closed
            else (),
        )

    def people(self, ask: Ask, cell: StepUsers) -> Selection:
        least = 1 if cell.outcome.startswith("reached") else 2
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
        if cell.after is not None and cell.after >= entries.offsets:
            raise QueryError(
                Text(
                    "This must be a whole number from %(least)s to %(most)s.",
                    least=0,
                    most=entries.offsets - 1,
                ),
                field="after",
            )
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
            marks=entries.marks(cell.outcome),
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
        self._any_order = question.any_order
        self._out = tuple(
            ask.who(each, "exclude_steps") for each in question.exclude_steps
        )
        self._repeats = _repeats(self._steps)
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
            for step in (*self._steps, *self._out)
            for source in sources_over(step, self.periods)
        )
        self.offsets = min(self._window, len(self.periods))
        """How many periods of a window there can be."""
        self.looks = len(self.periods) * self.offsets
        """How many entry periods are looked at, once for each period of a window."""

    def _unknown(self, ask: Ask) -> Sequence[bool]:
        """Return of which entry periods a part of the window was not kept."""
        unkept = ask.unkept([*self._steps, *self._out], self.periods)
        if not unkept:
            return [False] * len(self.periods)
        before = np.cumsum([0, *(period in unkept for period in self.periods)])
        ends = np.minimum(
            np.arange(len(self.periods)) + self._window, len(self.periods)
        )
        missing: list[bool] = (before[ends] > before[:-1]).tolist()
        return missing

    def did(self, stripe: Stripe) -> _Did:
        """Return who did what, a row for each period."""
        steps = [evaluate_each(step, self.periods, stripe) for step in self._steps]
        if any(self.unknown):
            steps[0] = steps[0].copy()
            steps[0][np.array(self.unknown)] = 0
        out = [evaluate_each(each, self.periods, stripe) for each in self._out]
        return _Did(steps, reduce(np.bitwise_or, out) if out else None)

    def reached(self, did: _Did, later: bool = False) -> list[Words]:
        """Return for each step who reached it, a row for each period of entering.

        Args:
            did: Who did what.
            later: Count a step in a later period than the one before alone, where they
                have an order.
        """
        *_, reached = self.progress(did, later)
        return reached

    def progress(self, did: _Did, later: bool = False) -> Iterator[list[Words]]:
        """Yield who reached each step within one period, two, and so on.

        Everyone takes the steps at the earliest opportunity; taking one later cannot
        get them further.  What is yielded holds until the next one is asked for.
        """
        taken = [np.zeros_like(did.steps[0]) for _ in self._steps]
        present = None if did.out is None else ~np.zeros_like(did.out)
        for offset in range(self.offsets):
            # Row i looks at period i + offset; the last rows have no such period yet.
            rows = slice(len(self.periods) - offset)
            earlier = {step: taken[step][rows].copy() for step in self._earlier(later)}
            if present is not None:
                present[rows] &= ~did.out[offset:]  # type: ignore[index]
            for step, done in enumerate(did.steps):
                if not step:
                    if offset:
                        continue
                    now = done
                else:
                    before = 0 if self._any_order else step - 1
                    strictly = later and not self._any_order
                    base = earlier[before] if strictly else taken[before][rows]
                    now = base & done[offset:]
                    if step in self._repeats:
                        now &= earlier[self._repeats[step]]
                if present is not None:
                    now = now & present[rows]
                np.bitwise_or(taken[step][rows], now, out=taken[step][rows])
            # In any order a step is reached with all those that stand before it.
            yield list(accumulate(taken, and_)) if self._any_order else taken

    def _earlier(self, later: bool) -> set[int]:
        """Return of which steps it matters whether they were taken periods before."""
        if later and not self._any_order:
            return set(range(len(self._steps)))
        return set(self._repeats.values())

    def users(self, stripe: Stripe, cell: StepUsers, place: int | None) -> Words:
        """Return the users behind a number of the funnel."""
        did = self.did(stripe)
        reached = self.reached(did, later=cell.outcome == "reached-later")
        step = cell.step - 1
        is_open = cell.outcome in ("still-open", "reached-open")
        rows = slice(self.closed, None) if is_open else slice(self.closed)
        if place is not None:
            rows = slice(place, place + 1)
        if cell.after is not None:
            # What is yielded does not last: only the numbers asked for are looked at.
            united = (_united(each[step][rows]) for each in self.progress(did))
            *_, before, users = (stripe.zeros(), *islice(united, cell.after + 1))
            return users & ~before
        users = _united(reached[step][rows])
        if cell.outcome == "still-open":
            return _united(reached[0][rows]) & ~users
        if cell.outcome.startswith("reached"):
            return users
        lost = _united(reached[step - 1][rows]) & ~users
        if cell.outcome == "entered-again":
            return lost & self._entered_again(did)
        return lost

    def marks(self, outcome: Outcome) -> tuple[Mark, ...]:
        """Return what is said of each user with an outcome."""
        if outcome not in ("dropped-off", "entered-again") or not self.has_open:
            return ()
        return (
            Mark(
                "entered_again",
                Text("Entered again"),
                lambda stripe: self._entered_again(self.did(stripe)),
            ),
        )

    def _entered_again(self, did: _Did) -> Words:
        """Return who has entered in a period whose window is still open."""
        entered = did.steps[0][self.closed :]
        if did.out is not None:
            entered = entered & ~did.out[self.closed :]
        return _united(entered)

    def span(self, count: int) -> Text:
        """Return a number of periods in words."""
        return _span(count, self.periods[0].group.value)

    def require_any(self, outcome: Outcome) -> None:
        """Refuse an outcome of which no entry period tells.

        Raises:
            QueryError: None of them is complete, or none is kept.
        """
        if outcome not in ("still-open", "reached-open") and not self.has_closed:
            raise QueryError(Text("No period is complete yet."), field="outcome")
        is_closed = outcome in ("reached", "reached-later", "dropped-off")
        if not is_closed and not self.has_open:
            raise QueryError(Text("These periods are not kept."), field="outcome")

    def require(self, place: int, outcome: Outcome) -> None:
        """Refuse an outcome that users of an entry period cannot have.

        Raises:
            QueryError: Its window is open, or over, or a part of it was not kept.
        """
        period = self.periods[place]
        if self.unknown[place]:
            raise QueryError(
                Text(
                    "%(period)s, or a part of its window, is not kept.", period=period
                ),
                field="period",
            )
        if outcome in ("dropped-off", "entered-again") and not self.complete[place]:
            raise QueryError(
                Text(
                    "The conversion window of %(period)s is still open: nobody "
                    "has dropped off yet.",
                    period=period,
                ),
                field="period",
            )
        if outcome in ("still-open", "reached-open") and self.complete[place]:
            raise QueryError(
                Text(
                    "The conversion window of %(period)s is over: nobody still "
                    "has time.",
                    period=period,
                ),
                field="period",
            )


class _Did(NamedTuple):
    """Who did what, a row for each period."""

    steps: list[Words]
    """A matrix for each step."""
    out: Words | None
    """Who did anything that leads out of the funnel; None where nothing does."""


def _repeats(steps: Sequence[Expression]) -> dict[int, int]:
    """Return for each step that is equal to an earlier one the last such one."""
    last: dict[Expression, int] = {}
    found = {}
    for place, step in enumerate(map(meaning_of, steps)):
        if step in last:
            found[place] = last[step]
        last[step] = place
    return found


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
    day = ask.as_of.day
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
    "reached-later": Text("reached %(step)s, each step in a later period"),
}


def _who(entries: _Entries, cell: StepUsers) -> Text:
    """Return who is behind a number, in words."""
    did = Text(_WHO[cell.outcome].template, step=entries.names[cell.step - 1])
    if cell.after is not None:
        did = Text(
            "%(did)s after %(periods)s", did=did, periods=entries.span(cell.after)
        )
    values = {
        "did": did,
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
