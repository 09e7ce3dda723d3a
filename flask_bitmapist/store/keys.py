"""Names of Redis keys, always taken from bitmapist's own event classes."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import Any

from bitmapist import DayEvents, HourEvents, MonthEvents, UniqueEvents, WeekEvents

from ..analysis.bitmaps import Source
from ..analysis.periods import Period, TimeGroup

_EVENT_CLASSES: dict[TimeGroup, Any] = {
    TimeGroup.HOURS: HourEvents,
    TimeGroup.DAYS: DayEvents,
    TimeGroup.WEEKS: WeekEvents,
    TimeGroup.MONTHS: MonthEvents,
}

_UNIQUE_EVENTS: Any = UniqueEvents


@lru_cache(maxsize=16384)
def redis_key(source: Source) -> bytes:
    """Return the key under which bitmapist keeps a bitmap.

    Args:
        source: A stored bitmap; a year has none, see :meth:`Source.parts`.

    Raises:
        KeyError: The source is a year.
    """
    if source.period is None:
        return _encoded(_UNIQUE_EVENTS(source.event))
    event_class = _EVENT_CLASSES[source.period.group]
    return _encoded(event_class.from_date(source.event, source.period.start))


@lru_cache(maxsize=16)
def month_keys(event: str, years: range) -> tuple[tuple[bytes, ...], ...]:
    """Return the keys of an event in the twelve months of each year."""
    # The calendar is long: bitmapist is asked for one month and tells the rest by it.
    first = redis_key(
        Source(event, Period.containing(TimeGroup.MONTHS, date(1970, 1, 1)))
    )
    name = first.removesuffix(b"1970-1")
    return tuple(
        tuple([b"%b%d-%d" % (name, year, month) for month in range(1, 13)])
        for year in years
    )


def _encoded(events: Any) -> bytes:
    # A key that is not UTF-8 is read as text with surrogates, and asked for as such.
    return str(events.redis_key).encode("utf-8", "surrogateescape")
