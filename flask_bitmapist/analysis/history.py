"""The past: who did something before, and when an event was seen first and last."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timezone
from functools import reduce

import numpy as np

from .bitmaps import Bitmaps, Stripe, Words
from .errors import QueryError, Text
from .expressions import Event, Expression, Flag, Source, sources_over
from .periods import AsOf, Period, TimeGroup, shorten

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
"""The past begins here: nothing older is looked for."""

MOST_PERIODS = 20_000
"""Most periods of its own that the past of one expression may have."""


Days = tuple[Period | None, Period | None]
"""The first day and the last on which an event was seen; None where there is none."""


class History:
    """The users for whom an expression held at any time before a period.

    Args:
        expression: Who counts.
        before: The first period that is not past.
        bitmaps: Where the bitmaps come from.  It is asked at once from which month
            on there is anything to read.
    """

    def __init__(
        self, expression: Expression, before: Period, bitmaps: Bitmaps
    ) -> None:
        self._expression = expression
        self.periods = tuple(_past(expression, before, bitmaps))

    def sources(self) -> Iterable[Source]:
        """Return the bitmaps that tell the past."""
        return sources_over(self._expression, self.periods)

    def users(self, stripe: Stripe) -> Words:
        """Return the users of the past in *stripe*, as an array of its own."""
        if isinstance(self._expression, Event):
            return np.array(stripe.union(tuple(self.sources())))
        # One after the other: they can be thousands.
        past = (self._expression.evaluate(stripe, each) for each in self.periods)
        return reduce(np.bitwise_or, past, np.zeros(stripe.width, dtype=np.uint64))


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
    for number, period in enumerate(_span(before.group, first, before.start)):
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
