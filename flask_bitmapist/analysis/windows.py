"""When somebody did something: windows of time on events.

``x in last 28 days`` has users by what they did in a window, seen from a moment.  An
expression is asked of a period; a window in it is taken as of the end of that period,
and of the answer's last day if that is earlier.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, ClassVar

from .errors import QueryError, Text
from .expressions import (
    SEEN_BEFORE,
    Cut,
    Event,
    Expression,
    Flag,
    Named,
    Or,
    Source,
)
from .periods import Calendar, Period, TimeGroup, shorten

if TYPE_CHECKING:
    from .bitmaps import Stripe, Words

MOST_UNITS = 400
"""Most days, weeks, months, quarters or years that a window can look back."""

UNITS = {
    group.value: group
    for group in (
        TimeGroup.DAYS,
        TimeGroup.WEEKS,
        TimeGroup.MONTHS,
        TimeGroup.QUARTERS,
        TimeGroup.YEARS,
    )
}
"""The units of a window, by their names."""


class Past:
    """What windows know of the answer that they are in.

    Args:
        last: The last day that counts.
        calendar: Tells when weeks begin.
        first_year: Returns the first year in which there is a bitmap of any of some
            events, None if there is none.
        cuts: Returns what of the past of some events was deleted.
    """

    def __init__(
        self,
        last: Period,
        calendar: Calendar,
        first_year: Callable[[Sequence[str]], int | None],
        cuts: Callable[[Sequence[str]], Mapping[str, Cut]],
    ) -> None:
        self._last = last
        self.calendar = calendar
        self._first_year = first_year
        self._cuts = cuts
        self._first_days: dict[tuple[str, ...], Period | None] = {}
        self.kept: dict[tuple[Window, Period], tuple[tuple[Source, ...], ...]] = {}
        """The bitmaps of each window in each period: stripes ask for them anew."""

    def moment(self, period: Period) -> Period:
        """Return the last day of *period* that counts; of an hour that hour."""
        if period.group is TimeGroup.HOURS:
            return period
        if period.last_day is None:
            last = period.end - timedelta(hours=1)
            return min(Period.containing(TimeGroup.DAYS, last), self._last)
        return Period.containing(TimeGroup.DAYS, period.last_day)

    def first_day(self, events: tuple[str, ...]) -> Period | None:
        """Return a day before which none of *events* ever happened."""
        if events not in self._first_days:
            year = self._first_year(events)
            self._first_days[events] = None if year is None else _day(date(year, 1, 1))
        return self._first_days[events]

    def cut(self, events: tuple[str, ...]) -> date | None:
        """Return the day before which some of *events* are deleted, None for none."""
        cuts = self._cuts(events).values()
        return max((cut.before for cut in cuts), default=None)


@dataclass(frozen=True)
class Window(Expression):
    """The users who did something in a window of time.

    Args:
        operand: What they did: an event, several joined by ``or``, or a name that
            stands for such.
        past: What it is bound to, see :meth:`Expression.bound`.

    Raises:
        QueryError: *operand* is something else.
    """

    operand: Expression
    past: Past | None = field(default=None, kw_only=True, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not is_of_events(self.operand):
            raise QueryError(
                Text(
                    "a window says when an event happened, and %(expression)s is more "
                    "than events joined by 'or'; put the window on each event",
                    expression=repr(shorten(self.operand)),
                )
            )
        self.check()

    def check(self) -> None:
        """Refuse numbers and days that make no window.

        Raises:
            QueryError: They make none.
        """

    @property
    def words(self) -> str:
        """The text after the operand."""
        raise NotImplementedError

    @property
    def spreads(self) -> bool:
        return self.lasts

    def bound(self, past: Past) -> Expression:
        return replace(self, past=past)

    def leaves(self) -> Iterator[Event | Flag]:
        return self.operand.leaves()

    def unions(self, period: Period) -> Iterator[tuple[Source, ...]]:
        return iter(self._stored(period))

    def evaluate(self, stripe: Stripe, period: Period) -> Words:
        return self.held(stripe, [stripe.union(span) for span in self._stored(period)])

    def spans(self, moment: Period) -> Iterable[Iterable[Period]]:
        """Return the spans of time that are looked at, each as stored periods.

        Args:
            moment: The day or hour that is the last one to count.
        """
        raise NotImplementedError

    def held(self, stripe: Stripe, spans: Sequence[Words]) -> Words:
        """Return who is meant, told by who did something in each of the spans."""
        (users,) = spans
        return users

    def all_until(self, last: Period) -> Iterator[Period]:
        """Yield all the time up to a day or hour, with what was deleted."""
        past, events = self._bound(), tuple(self.events())
        cut, first = past.cut(events), past.first_day(events)
        if cut is not None:
            # Who was there before the cut is known, and nothing nearer.
            yield SEEN_BEFORE if cut <= last.end.date() else last
        if first is not None:
            yield from _span(first, last)

    def _bound(self) -> Past:
        if self.past is None:
            raise RuntimeError(
                f"{self} has not been told as of when; was it resolved by Ask.who()?"
            )
        return self.past

    def _stored(self, period: Period) -> tuple[tuple[Source, ...], ...]:
        past = self._bound()
        kept = past.kept.get((self, period))
        if kept is None:
            events = tuple(dict.fromkeys(self.events()))
            kept = tuple(
                tuple(Source(event, part) for part in span for event in events)
                for span in self.spans(past.moment(period))
            )
            past.kept[self, period] = kept
        return kept

    def __str__(self) -> str:
        return f"{self.operand._nested()} {self.words}"


def is_of_events(operand: Expression) -> bool:
    """Return whether a window can stand after an expression."""
    if isinstance(operand, Named):
        return is_of_events(operand.meaning)
    if isinstance(operand, Or):
        return all(map(is_of_events, operand.operands))
    return isinstance(operand, Event)


@dataclass(frozen=True)
class InLast(Window):
    """``x in last 28 days``, ``x in at least 3 of last 28 days``.

    The last units are the calendar units that end with the current one.

    Args:
        count: How many units, at most :data:`MOST_UNITS`.
        unit: One of :data:`UNITS`.
        least: In how many of the units at least.
    """

    count: int
    unit: str = "days"
    least: int = 1

    def check(self) -> None:
        _check_number(self.count, MOST_UNITS)
        _check_number(self.least, self.count)

    @property
    def words(self) -> str:
        last = f"last {_counted(self.count, self.unit)}"
        return (
            f"in {last}" if self.least == 1 else f"in at least {self.least} of {last}"
        )

    def spans(self, moment: Period) -> Iterable[Iterable[Period]]:
        current = self._bound().calendar.period(UNITS[self.unit], moment.start)
        if self.least == 1:
            return [_span(_day(current.shift(1 - self.count).start), moment)]
        units = [current.shift(back) for back in range(1 - self.count, 1)]
        return [_until(unit, moment) for unit in units]

    def held(self, stripe: Stripe, spans: Sequence[Words]) -> Words:
        if self.least == 1:
            return super().held(stripe, spans)
        return stripe.in_at_least(self.least, spans)


@dataclass(frozen=True)
class Between(Window):
    """``x between 2026-01-01 and 2026-01-31``, ``x since 2026-01-01``.

    Args:
        first: The first day.
        last: The last day; None for no end.
    """

    first: date
    last: date | None = None

    def check(self) -> None:
        if self.last is not None and self.last < self.first:
            raise QueryError(
                Text(
                    "%(first)s is after %(last)s; write the earlier day first",
                    first=self.first.isoformat(),
                    last=self.last.isoformat(),
                )
            )

    @property
    def words(self) -> str:
        if self.last is None:
            return f"since {self.first.isoformat()}"
        return f"between {self.first.isoformat()} and {self.last.isoformat()}"

    @property
    def lasts(self) -> bool:
        return True

    def spans(self, moment: Period) -> Iterable[Iterable[Period]]:
        last = moment
        if self.last is not None and _day(self.last).end <= moment.end:
            last = _day(self.last)
        return [_span(_day(self.first), last)]


@dataclass(frozen=True)
class Ever(Window):
    """``x ever``: at any time up to the moment."""

    @property
    def words(self) -> str:
        return "ever"

    @property
    def lasts(self) -> bool:
        return True

    def endless(self) -> Iterator[Expression]:
        yield self

    def spans(self, moment: Period) -> Iterable[Iterable[Period]]:
        return [self.all_until(moment)]


@dataclass(frozen=True)
class Never(Ever):
    """``x never``: not at any time up to the moment.

    Like a ``not`` it needs something to be taken from.
    """

    @property
    def words(self) -> str:
        return "never"

    @property
    def bounded(self) -> bool:
        return False

    @property
    def lasts(self) -> bool:
        return False

    def held(self, stripe: Stripe, spans: Sequence[Words]) -> Words:
        return ~super().held(stripe, spans)


@dataclass(frozen=True)
class _Days(Window):
    """A window of the last days (B), those before them (A), and all before those.

    Args:
        days: Length of A and of B, at most :data:`MOST_UNITS`.
    """

    days: int

    word: ClassVar[str]

    def check(self) -> None:
        _check_number(self.days, MOST_UNITS)

    @property
    def words(self) -> str:
        return f"{self.word} {_counted(self.days, 'days')}"

    def _begin(self, moment: Period) -> tuple[Period, Period]:
        """Return the first days of A and of B."""
        day = _day(moment.start)
        return day.shift(1 - 2 * self.days), day.shift(1 - self.days)


@dataclass(frozen=True)
class First(_Days):
    """``x first in last 28 days``: in B, never before."""

    word: ClassVar[str] = "first in last"

    def endless(self) -> Iterator[Expression]:
        yield self

    def spans(self, moment: Period) -> Iterable[Iterable[Period]]:
        _, b = self._begin(moment)
        return [_span(b, moment), self.all_until(b.shift(-1))]

    def held(self, stripe: Stripe, spans: Sequence[Words]) -> Words:
        lately, earlier = spans
        return lately & ~earlier


@dataclass(frozen=True)
class Stopped(_Days):
    """``x stopped 28 days``: in A, not in B."""

    word: ClassVar[str] = "stopped"

    def spans(self, moment: Period) -> Iterable[Iterable[Period]]:
        a, b = self._begin(moment)
        return [_span(a, b.shift(-1)), _span(b, moment)]

    def held(self, stripe: Stripe, spans: Sequence[Words]) -> Words:
        before, lately = spans
        return before & ~lately


@dataclass(frozen=True)
class Restarted(_Days):
    """``x restarted 28 days``: in B, not in A, at some time before A."""

    word: ClassVar[str] = "restarted"

    def endless(self) -> Iterator[Expression]:
        yield self

    def spans(self, moment: Period) -> Iterable[Iterable[Period]]:
        a, b = self._begin(moment)
        return [_span(b, moment), _span(a, b.shift(-1)), self.all_until(a.shift(-1))]

    def held(self, stripe: Stripe, spans: Sequence[Words]) -> Words:
        lately, before, earlier = spans
        return lately & ~before & earlier


def _check_number(number: int, most: int) -> None:
    if not 1 <= number <= most:
        raise QueryError(
            Text(
                "%(number)s cannot be counted in a window; use 1 to %(most)s",
                number=shorten(number),
                most=most,
            )
        )


def _counted(count: int, unit: str) -> str:
    return f"{count} {unit[:-1] if count == 1 else unit}"


def _day(moment: date) -> Period:
    return Period.containing(TimeGroup.DAYS, moment)


def _until(unit: Period, moment: Period) -> Iterable[Period]:
    """Return the stored periods of a unit, nothing after *moment*."""
    if unit.end <= moment.end:
        return unit.parts()
    return _span(_day(unit.start), moment)


def _span(first: Period, last: Period) -> Iterator[Period]:
    """Yield the stored periods from a day to a day or hour: few, so months if whole."""
    while first.start <= last.start:
        month = Period.containing(TimeGroup.MONTHS, first.start)
        if month.start == first.start and month.end <= last.end:
            yield month
            first = _day(month.end)
        elif first.end <= last.end:
            yield first
            first = first.shift(1)
        else:  # a day that goes on after the last hour
            hour = Period.containing(TimeGroup.HOURS, first.start)
            while hour.start <= last.start:
                yield hour
                hour = hour.shift(1)
            return
