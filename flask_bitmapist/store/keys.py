"""Names of Redis keys, always taken from bitmapist's own event classes."""

from __future__ import annotations

from functools import lru_cache

from bitmapist import DayEvents, HourEvents, MonthEvents, UniqueEvents, WeekEvents

from ..analysis.bitmaps import Source
from ..analysis.periods import TimeGroup

_EVENT_CLASSES = {
    TimeGroup.HOURS: HourEvents,
    TimeGroup.DAYS: DayEvents,
    TimeGroup.WEEKS: WeekEvents,
    TimeGroup.MONTHS: MonthEvents,
}


@lru_cache(maxsize=16384)
def redis_key(source: Source) -> str:
    """Return the key under which bitmapist keeps a bitmap.

    Args:
        source: A stored bitmap; a year has none, see :meth:`Source.parts`.

    Raises:
        KeyError: The source is a year.
    """
    if source.period is None:
        return str(UniqueEvents(source.event).redis_key)
    event_class = _EVENT_CLASSES[source.period.group]
    return str(event_class.from_date(source.event, source.period.start).redis_key)
