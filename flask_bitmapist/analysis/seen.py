"""On which day an event was seen first, and last."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date

from .bitmaps import Bitmaps
from .expressions import Source
from .periods import AsOf, Period, TimeGroup

Days = tuple[Period | None, Period | None]
"""The first day and the last; None where there is none."""


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
