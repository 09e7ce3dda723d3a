"""The past: who did something before, and when an event was seen first and last."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timezone
from functools import reduce

import numpy as np

from .bitmaps import Bitmaps, Stripe, Words
from .errors import QueryError, Text
from .expressions import SEEN_BEFORE, Event, Expression, Flag, Source, sources_over
from .kept import deleted_text, find_unkept
from .periods import AsOf, Period, TimeGroup, shorten

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
"""The past begins here: nothing older is looked for."""

MOST_PERIODS = 20_000
"""Most periods of its own that the past of one expression may have."""


Days = tuple[Period | None, Period | None]
"""The first day and the last on which an event was seen; None where there is none."""


class History:
    """The users for whom an expression held at any time before a period.

    Who was there at a time that was deleted is among them, see
    :data:`~flask_bitmapist.analysis.expressions.SEEN_BEFORE`.

    Args:
        expression: Who counts.
        before: The first period that is not past.
        bitmaps: Where the bitmaps come from.  It is asked at once from which month
            on there is anything to read.

    Raises:
        QueryError: It would have to be looked at when several events were done
            together, where only who did each of them is kept; or in too many periods.
    """

    def __init__(
        self, expression: Expression, before: Period, bitmaps: Bitmaps
    ) -> None:
        self.expression = expression
        self._cuts = cuts = bitmaps.cuts(dated_events(expression, before, bitmaps))
        self._deleted = max((cut.before for cut in cuts.values()), default=date.min)
        self.periods = tuple(_past(expression, before, bitmaps))
        # What lasts is told by the end of the past.
        is_seen = any(cut.unseen != cut.before for cut in cuts.values())
        if is_seen and not expression.lasts:
            if not expression.spreads:
                raise QueryError(_beyond(expression, self._deleted))
            self.periods += (SEEN_BEFORE,)

    def tells(self, period: Period) -> bool:
        """Return whether it is known who was there before *period* for the first time.

        It is not of what was deleted, nor of a period of which a part was: who was
        there in that part is known, and not whether for the first time.
        """
        return period.start.date() >= self._deleted

    def untold(self) -> Text:
        """Return why it is not known, see :meth:`tells`."""
        return deleted_text(self._deleted, self._cuts)

    @property
    def short(self) -> tuple[Period, ...]:
        """The periods of the past that may be missing although longer ones are kept."""
        return tuple(
            each
            for each in self.periods
            if each.group in (TimeGroup.DAYS, TimeGroup.HOURS)
        )

    def sources(self) -> Iterable[Source]:
        """Return the bitmaps that tell the past."""
        return sources_over(self.expression, self.periods)

    def users(self, stripe: Stripe) -> Words:
        """Return the users of the past in *stripe*, as an array of its own."""
        if isinstance(self.expression, Event):
            return np.array(stripe.union(tuple(self.sources())))
        # One after the other: they can be thousands.
        past = (self.expression.evaluate(stripe, each) for each in self.periods)
        return reduce(np.bitwise_or, past, np.zeros(stripe.width, dtype=np.uint64))


class Earlier:
    """The users for whom an expression held at any time before each of some periods.

    Where hours or days are missing, the day or the month that is kept of them tells who
    was there, from its end on.

    Args:
        expression: Who counts.
        periods: The periods, all of one group, oldest first.
        bitmaps: Where the bitmaps come from.

    Raises:
        QueryError: As for :class:`History`.
    """

    def __init__(
        self, expression: Expression, periods: Sequence[Period], bitmaps: Bitmaps
    ) -> None:
        self._expression = expression
        self._periods = periods
        self._past = past = History(expression, periods[0], bitmaps)
        unkept = find_unkept([expression], [*past.short, *periods], bitmaps)
        self._instead = _instead(expression, unkept.missing, bitmaps)
        known = [
            not any(each.start <= period.start < each.end for each in self._instead)
            for period in periods
        ]
        if unkept.missing and not self._instead:
            first = min(each.start for each in unkept.missing)
            known = [period.start < first for period in periods]
        reasons = unkept.reasons if not all(known) else ()
        tells = [past.tells(period) for period in periods]
        if not all(tells):
            reasons = (past.untold(), *reasons)
        self.known = tuple(map(all, zip(known, tells)))
        """Of each period whether it is known who was there before it for the first
        time."""
        self.reasons = tuple(dict.fromkeys(reasons))
        """Why it is not, in sentences."""

    def sources(self) -> Iterator[Source]:
        """Yield the bitmaps that are needed beside those of the periods."""
        yield from self._past.sources()
        yield from sources_over(self._expression, self._instead)

    def users(self, stripe: Stripe, active: Words) -> Words:
        """Return the users who were there before each period, a row each.

        Args:
            stripe: The bitmaps.
            active: Those who were there in each of the periods.
        """
        earlier = np.empty_like(active)
        earlier[0] = self._past.users(stripe)
        earlier[1:] = active[:-1]
        for each in self._instead:
            after = sum(period.start < each.end for period in self._periods)
            earlier[after : after + 1] |= self._expression.evaluate(stripe, each)
        found: Words = np.bitwise_or.accumulate(earlier, axis=0, out=earlier)
        return found


_LONGER = {TimeGroup.HOURS: TimeGroup.DAYS, TimeGroup.DAYS: TimeGroup.MONTHS}


def _instead(
    expression: Expression, missing: Iterable[Period], bitmaps: Bitmaps
) -> tuple[Period, ...]:
    """Return the days and months that tell who was there in hours and days that are
    missing; none where they do not tell it of all."""
    missing = tuple(missing)
    # What holds in a day need not hold in any of its hours.
    if not expression.spreads or any(each.group not in _LONGER for each in missing):
        return ()
    longer = tuple(
        dict.fromkeys(
            Period.containing(_LONGER[each.group], each.start) for each in missing
        )
    )
    return () if find_unkept([expression], longer, bitmaps).missing else longer


def dated_events(
    expression: Expression, period: Period, bitmaps: Bitmaps
) -> tuple[str, ...]:
    """Return the names of the events, not flags, of which an expression is made."""
    sources = [each for each in expression.sources(period) if each.period is not None]
    found = bitmaps.stored(sources)
    return tuple(dict.fromkeys(part.event for parts in found for part in parts))


def _beyond(expression: Expression, day: date) -> Text:
    return Text(
        "%(expression)s would have to be evaluated before %(day)s, where only who did "
        "each event is kept, not when: use an expression of one event",
        expression=repr(shorten(expression)),
        day=day,
    )


def _past(expression: Expression, before: Period, bitmaps: Bitmaps) -> Iterator[Period]:
    if expression.lasts and before.start > EPOCH:
        # For whom it has held at any time it held in the end.
        yield before.shift(-1)
        return
    if any(isinstance(leaf, Flag) for leaf in expression.leaves()):
        # A flag has no date: it was there before anything was marked.
        yield before.shift(-1)
    events = tuple(dict.fromkeys(expression.events()))
    found = bitmaps.years(events, before.start.year)
    years = [year for several in found.values() for year in several]
    if not years:
        return
    first = datetime(min(years), 1, 1, tzinfo=timezone.utc)
    if expression.spreads:
        # The fewest bitmaps: whole months, then the days of the month, then hours.
        yield from _span(TimeGroup.MONTHS, first, before.start)
        yield from _rest(TimeGroup.MONTHS, TimeGroup.DAYS, before.start)
        yield from _rest(TimeGroup.DAYS, TimeGroup.HOURS, before.start)
        return
    # Of the time before anything was marked one period tells as much as all.
    first = _first_month(events, first, bitmaps)
    first = Period.containing(before.group, first).shift(-1).start
    for number, period in enumerate(_span_before(before, first)):
        if number == MOST_PERIODS:
            raise QueryError(
                Text(
                    "%(expression)s would have to be evaluated in more than "
                    "%(most)s past periods; use longer periods, or an expression "
                    "of one event",
                    expression=repr(shorten(expression)),
                    most=MOST_PERIODS,
                )
            )
        yield period


def _first_month(events: Sequence[str], year: datetime, bitmaps: Bitmaps) -> datetime:
    """Return the first month of a year with a bitmap of any of *events*."""
    months = Period(TimeGroup.YEARS, year).parts()
    sources = [Source(event, month) for month in months for event in events]
    there = zip(sources, bitmaps.exist(sources))
    return next((month.start for (_, month), found in there if found and month), year)


def _rest(larger: TimeGroup, smaller: TimeGroup, end: datetime) -> Iterator[Period]:
    """Yield the *smaller* periods before *end* in the *larger* one that contains it."""
    return _span(smaller, Period.containing(larger, end).start, end)


def _span_before(period: Period, start: datetime) -> Iterator[Period]:
    """Yield the periods like *period* before it, from the one that contains *start*."""
    # Weeks begin on the same day as this one does.
    weekday = period.start.weekday() if period.group is TimeGroup.WEEKS else 0
    each = Period.containing(period.group, start, weekday)
    while each.end <= period.start:
        yield each
        each = each.shift(1)


def _span(group: TimeGroup, start: datetime, end: datetime) -> Iterator[Period]:
    """Yield the periods of *group* that end no later than *end*."""
    period = Period.containing(group, start)
    while period.end <= end:
        yield period
        period = period.shift(1)


def first_and_last_days(
    bitmaps: Bitmaps, events: Sequence[str], as_of: AsOf
) -> dict[str, Days]:
    """Return for each of *events* the first and the last day on which it was seen.

    Args:
        bitmaps: Where users are counted.
        events: Names of events.
        as_of: Nothing after its day is looked for.
    """
    last_month = as_of.period(TimeGroup.MONTHS)

    def months_of(year: Period) -> Iterable[Period]:
        # The month of the day is read up to it: what comes later is not seen yet.
        for month in year.parts():
            if month.start < last_month.start:
                yield month
            elif month.start == last_month.start:
                yield last_month

    years = bitmaps.years(events, as_of.day.year)
    # In the last year there may be nobody up to the day: then it is the one before.
    edges = {
        event: tuple(dict.fromkeys(map(_year, (*found[:1], *found[-2:]))))
        for event, found in years.items()
    }
    # Months may be left without anybody, so from here on users are counted.
    edges = _narrowed(bitmaps, edges, months_of)
    days = _narrowed(bitmaps, edges, Period.counted_days)
    return {
        event: (found[0], found[-1]) if found else (None, None)
        for event, found in days.items()
    }


def _year(number: int) -> Period:
    return Period.containing(TimeGroup.YEARS, date(number, 1, 1))


def _edges(periods: Iterable[Period]) -> tuple[Period, ...]:
    """Return the first and the last of *periods*, which are in order."""
    every = tuple(periods)
    return every if len(every) < 2 else (every[0], every[-1])


def _narrowed(
    bitmaps: Bitmaps,
    edges: Mapping[str, tuple[Period, ...]],
    split: Callable[[Period], Iterable[Period]],
) -> dict[str, tuple[Period, ...]]:
    """Return the first and last parts in which there was anybody."""
    parts = {
        event: [part for edge in found for part in split(edge)]
        for event, found in edges.items()
    }
    sources = [Source(event, each) for event, found in parts.items() for each in found]
    counts = iter(bitmaps.counts(sources) if sources else ())
    return {
        event: _edges([period for period in periods if next(counts)])
        for event, periods in parts.items()
    }
