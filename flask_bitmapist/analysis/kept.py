"""What is not kept: of that nothing can be said, which is not the same as nobody.

A day of an event is not kept if it was deleted, or if its month has users and none of
its days has a bitmap.  An hour is not kept if its day is not, or if its day has a user
who is in none of its hours.  What is made of several days or months is not kept if any
of them is not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import chain
from typing import Any, Generic, TypeVar

import numpy as np

from .bitmaps import Bitmaps
from .errors import Text
from .expressions import SEEN_BEFORE, Expression, Source, smaller, sources_over
from .periods import Period, TimeGroup, shorten

NO_HOURS = Text(
    "Hours are not recorded: set BITMAPIST_TRACK_HOURLY to record them from now "
    "on, or choose days instead."
)
"""What to say of hours where only days have bitmaps."""

SOME_HOURS = Text(
    "Hours were not recorded on all of these days; those are blank. Set "
    "BITMAPIST_TRACK_HOURLY to record them from now on."
)


T = TypeVar("T", Period, Source)


@dataclass(frozen=True)
class Unkept(Generic[T]):
    """Which of some periods, or of some events in periods, are not kept."""

    deleted: frozenset[T]
    """Those that were deleted up to some day."""
    missing: frozenset[T]
    """Those that lack bitmaps."""
    reasons: tuple[Text, ...]
    """Why, in sentences."""
    never: bool
    """Whether hours are asked for, and no day on which anything happened has its
    hours."""

    def __contains__(self, each: object) -> bool:
        return each in self.deleted or each in self.missing

    def __bool__(self) -> bool:
        return bool(self.deleted or self.missing)


def find_unkept(
    expressions: Iterable[Expression], periods: Iterable[Period], bitmaps: Bitmaps
) -> Unkept[Period]:
    """Find which of *periods* are not kept of any event of *expressions*.

    That takes no round trip where all of them are weeks, months or years: what was
    deleted is known.

    Args:
        expressions: Whom it is about; flags have no dates and are always kept.
        periods: Of one group or several.
        bitmaps: Where the bitmaps come from.

    Raises:
        QueryError: It is more work than is allowed.
    """
    expressions, periods = tuple(expressions), tuple(periods)
    found = unkept_sources(
        (
            source
            for expression in expressions
            for source in sources_over(expression, periods)
            if source.period is not None
        ),
        bitmaps,
    )
    if not found:
        return NOTHING
    deleted, missing = set(), set()
    for period in periods:
        for expression in expressions:
            for union in expression.unions(period):
                if _lacks(union, found.deleted):
                    deleted.add(period)
                if not found.missing.isdisjoint(union):
                    missing.add(period)
    reasons = found.reasons if deleted or missing else ()
    return Unkept(frozenset(deleted), frozenset(missing), reasons, found.never)


def _lacks(union: Sequence[Source], deleted: frozenset[Source]) -> bool:
    """Return whether a union needs what was deleted.

    Whoever was there at all is known without: then they are in the same union.
    """
    lost = {source.event for source in union if source in deleted}
    return bool(lost) and not lost <= {
        source.event for source in union if source.period == SEEN_BEFORE
    }


NOTHING: Unkept[Any] = Unkept(frozenset(), frozenset(), (), False)
"""All is kept."""


def unkept_sources(sources: Iterable[Source], bitmaps: Bitmaps) -> Unkept[Source]:
    """Find which events in a period are not kept, as :func:`find_unkept` does.

    Args:
        sources: Events in periods.
        bitmaps: Where the bitmaps come from.
    """
    sources = tuple(sources)
    parts = [
        (source, part)
        for source, stored in zip(sources, bitmaps.stored(sources))
        for part in stored
    ]
    look = _Look([part for _, part in parts], bitmaps)
    if not look.deleted and not look.missing:
        return NOTHING
    return Unkept(
        frozenset(source for source, part in parts if part in look.deleted),
        frozenset(source for source, part in parts if part in look.missing),
        tuple(look.reasons()),
        look.never,
    )


_SHORT = (TimeGroup.DAYS, TimeGroup.HOURS)


class _Look:
    """One look at stored bitmaps, each of an event in a period."""

    def __init__(self, sources: Sequence[Source], bitmaps: Bitmaps) -> None:
        self.deleted: set[Source] = set()
        self.missing: set[Source] = set()
        self.never = False
        self._bitmaps = bitmaps
        self._cuts: dict[date, set[str]] = defaultdict(set)
        self._months: dict[Period, set[str]] = defaultdict(set)
        self._has_lost_hours = False
        events = tuple(dict.fromkeys(source.event for source in sources))
        self._before = bitmaps.cuts(events) if events else {}
        if self._before:
            self._delete(sources)
        # That a month has days is mostly known: which months they are has to be found
        # out fast.
        short: dict[tuple[str, int, int], list[Source]] = {}
        hours = []
        for source in sources:
            period = source.period
            if (
                period
                and period.last_day is None
                and period.group in _SHORT
                and not (self.deleted and source in self.deleted)
            ):
                start = period.start
                place = (source.event, start.year, start.month)
                short.setdefault(place, []).append(source)
                if period.group is TimeGroup.HOURS:
                    hours.append(source)
        if short:
            self._miss_days(short.values())
        if hours:
            self._miss_hours(hours)

    def _delete(self, sources: Iterable[Source]) -> None:
        for source in sources:
            cut = self._before.get(source.event)
            if cut and source.period != SEEN_BEFORE and _last_day(source) < cut.before:
                self._cuts[cut.before].add(source.event)
                self.deleted.add(source)

    def _miss_days(self, months: Iterable[list[Source]]) -> None:
        found = {
            Source(days[0].event, _month(days[0])): days
            for days in months
            if self._is_whole_month(days[0])
        }
        for month, there in self._have_parts(tuple(found)):
            if there is False:
                assert month.period is not None
                self._months[month.period].add(month.event)
                self.missing.update(found[month])

    def _is_whole_month(self, source: Source) -> bool:
        """Return whether nothing of a source's month was deleted: of one that was in
        part there may be no day left, and yet nobody was there since."""
        assert source.period is not None
        cut = self._before.get(source.event)
        month = source.period.start.date().replace(day=1)
        return cut is None or month >= cut.before

    def _miss_hours(self, sources: Iterable[Source]) -> None:
        days: dict[Source, list[Source]] = defaultdict(list)
        for source in sources:
            assert source.period is not None
            its_day = Period.containing(TimeGroup.DAYS, source.period.start)
            days[Source(source.event, its_day)].append(source)
        found = [each for each in self._have_parts(tuple(days)) if each[1] is not None]
        lost = [day for day, there in found if not there]
        self.never = bool(lost) and len(lost) == len(found)
        lost += self._partly([day for day, there in found if there])
        self._has_lost_hours = bool(lost)
        for day in lost:
            self.missing.update(days[day])

    def _have_parts(
        self, sources: Sequence[Source]
    ) -> Iterator[tuple[Source, bool | None]]:
        return zip(sources, self._bitmaps.have_parts(sources) if sources else ())

    def _partly(self, days: Sequence[Source]) -> list[Source]:
        """Return those of *days* that have a user who is in none of their hours."""
        hours = {day: smaller(day) for day in days}
        every = [*days, *chain.from_iterable(hours.values())]
        lost: set[Source] = set()
        for stripe in self._bitmaps.stripes(every, len(every)) if every else ():
            for day in days:
                if np.any(stripe.words(day) & ~stripe.union(hours[day])):
                    lost.add(day)
        return [day for day in days if day in lost]

    def reasons(self) -> Iterator[Text]:
        """Yield why what is not kept is not."""
        for day, events in sorted(self._cuts.items()):
            yield deleted_text(day, events)
        for month, events in sorted(self._months.items()):
            yield Text(
                "Days are not kept of %(month)s: %(events)s.",
                month=month.label,
                events=_listed(events),
            )
        if self._has_lost_hours:
            yield NO_HOURS if self.never else SOME_HOURS


def deleted_text(day: date, events: Iterable[str]) -> Text:
    """Return the sentence that says up to when events were deleted."""
    return Text("Deleted before %(day)s: %(events)s.", day=day, events=_listed(events))


def _month(source: Source) -> Period:
    """Return the month in which a source's period lies."""
    assert source.period is not None
    return Period.containing(TimeGroup.MONTHS, source.period.start)


def _listed(events: Iterable[str]) -> str:
    return shorten(", ".join(sorted(events)), 120)


def _last_day(source: Source) -> date:
    period = source.period
    assert period is not None
    if period.group in (TimeGroup.HOURS, TimeGroup.DAYS):
        return period.start.date()
    return (period.end - timedelta(days=1)).date()
