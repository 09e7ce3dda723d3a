"""A mark, and the bits in Redis that it stands for."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from functools import lru_cache
from time import time
from typing import NamedTuple

from ..analysis.bitmaps import Source
from ..analysis.periods import Period, TimeGroup, to_utc
from ..store.keys import redis_key

# Hours are counted from the first one of the calendar: a small number is cheaper to
# compare and to look up than a datetime.
_EPOCH_HOURS = date(1970, 1, 1).toordinal() * 24

_PERIODS = (TimeGroup.MONTHS, TimeGroup.WEEKS, TimeGroup.DAYS)


class Bits:
    """The keys of one event in one hour, found once and shared by all its marks.

    Attributes:
        event: The event's name.
        hour: The hour, see :func:`hour_of`; None for a flag, which has no date.
        hourly: Whether the hour itself has a bitmap.
        unique: Whether the event's flag is written too.
        keys: The keys in Redis.
    """

    __slots__ = ("event", "hour", "hourly", "keys", "unique")

    def __init__(
        self, event: str, hour: int | None, hourly: bool, unique: bool
    ) -> None:
        self.event = event
        self.hour = hour
        self.hourly = hourly
        self.unique = unique
        self.keys = tuple(redis_key(source) for source in self._sources())

    def _sources(self) -> list[Source]:
        sources = []
        if self.hour is not None:
            moment = moment_of(self.hour)
            groups = (*_PERIODS, TimeGroup.HOURS) if self.hourly else _PERIODS
            sources = [Source(self.event, Period.containing(g, moment)) for g in groups]
        if self.unique:
            sources.append(Source(self.event, None))
        return sources


class Mark(NamedTuple):
    """One user did one thing; or, with *value* 0, did not."""

    bits: Bits
    user: int | str
    """The user's key, see :meth:`~flask_bitmapist.identity.Identity.key`."""
    value: int
    at: datetime | None
    """The moment that was given, in UTC; None for the moment of the call."""


@lru_cache(maxsize=8192)
def bits_of(event: str, hour: int | None, hourly: bool, unique: bool) -> Bits:
    """Return the bits of *event* in an hour."""
    return Bits(event, hour, hourly, unique)


def current_hour() -> int:
    """Return the number of the hour that it is."""
    return int(time() // 3600) + _EPOCH_HOURS


def hour_of(moment: datetime | date) -> int:
    """Return the number of the hour of *moment*; a naive one is in UTC."""
    moment = to_utc(moment)
    return moment.toordinal() * 24 + moment.hour


def moment_of(hour: int) -> datetime:
    """Return the first instant of an hour, aware, in UTC."""
    days, hours = divmod(hour, 24)
    midnight = datetime.fromordinal(days).replace(tzinfo=timezone.utc)
    return midnight + timedelta(hours=hours)
