"""A mark: who did what when, and the bits in Redis that it stands for."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache
from typing import NamedTuple

from ..analysis.errors import BadMarkError, is_printable, printable
from ..analysis.expressions import Source
from ..analysis.periods import IN_UTC, Calendar, Period, TimeGroup
from ..store.keys import redis_key

MAX_BYTES = 1024
"""The longest name of an event."""

# bitmapist ends its keys with a date; a name that ends like one would be taken for
# an event with a shorter name.
_LOOKS_LIKE_DATE = re.compile(r"_W?\d+-\d+(?:-\d+){0,2}\Z")

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
    at: datetime | date | None
    """The moment that was given, as it was given; None for the moment of the call."""
    made: float = 0.0
    """When it was made, in seconds since 1970; 0 if that is not known."""
    calendar: Calendar | None = None
    """The calendar by which its hour was found; None if that is not known any more."""

    def keys(self, calendar: Calendar | None) -> tuple[bytes, ...]:
        """Return the keys of its bits.

        Args:
            calendar: That of the store, which may have been found out about since;
                None for the one by which the mark was made.
        """
        bits, own = self.bits, self.calendar
        if calendar is own or None in (calendar, own, bits.hour) or calendar == own:
            return bits.keys
        at = self.at
        if at is None:
            at = datetime.fromtimestamp(self.made, tz=timezone.utc)
        hour = hour_of(at, calendar)
        return bits_of(bits.event, hour, bits.hourly, bits.unique).keys


@lru_cache(maxsize=8192)
def bits_of(event: str, hour: int | None, hourly: bool, unique: bool) -> Bits:
    """Return the bits of *event* in an hour."""
    return Bits(event, hour, hourly, unique)


def hour_at(seconds: float, calendar: Calendar) -> int:
    """Return the number of the hour at a time in seconds since 1970."""
    if calendar.is_utc:
        return int(seconds // 3600) + _EPOCH_HOURS
    return _hour_in_minute(int(seconds // 60), calendar)


@lru_cache(maxsize=64)
def _hour_in_minute(minute: int, calendar: Calendar) -> int:
    # Clocks are set on whole minutes.
    return hour_of(datetime.fromtimestamp(minute * 60, tz=timezone.utc), calendar)


def hour_of(moment: datetime | date, calendar: Calendar | None = None) -> int:
    """Return the number of the hour at which *moment* is counted.

    Args:
        moment: When; of a naive one, or a date, the fields are taken as they are.
        calendar: The app's calendar, UTC by default.
    """
    wall = (calendar or IN_UTC).wall(moment)
    return wall.toordinal() * 24 + wall.hour


def moment_of(hour: int) -> datetime:
    """Return the wall moment at which an hour begins."""
    days, hours = divmod(hour, 24)
    midnight = datetime.fromordinal(days).replace(tzinfo=timezone.utc)
    return midnight + timedelta(hours=hours)


def check_name(name: object) -> str:
    """Return *name* as plain text, if an event may be marked under it.

    Raises:
        BadMarkError: It may not, for the reason that the message gives.
    """
    if not isinstance(name, str):
        raise _bad_name(f"an event's name must be a string, not {type(name).__name__}")
    if type(name) is not str:
        # A member of an enumeration is equal to its text, but is not written like it.
        name = str.__str__(name)
    return _checked(name)


@lru_cache(maxsize=4096)
def _checked(name: str) -> str:
    if not name:
        raise _bad_name("an event's name must not be empty")
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        raise _bad_name(f"the event name {name[:40]!r} is not valid Unicode") from None
    if length > MAX_BYTES:
        raise _bad_name(
            f"an event's name has at most {MAX_BYTES} bytes; "
            f"{name[:40]!r}… has {length}"
        )
    if not is_printable(name):
        raise _bad_name(
            f"the event name '{printable(name)}' has a control character, which would "
            "break the lines and tables that it is printed in"
        )
    if name.startswith("bitop_"):
        raise _bad_name(
            f"the event name {name!r} begins with 'bitop_', "
            "which bitmapist reserves for its temporary keys"
        )
    if _LOOKS_LIKE_DATE.search(name):
        raise _bad_name(
            f"the event name {name!r} ends like the date in a key of bitmapist, "
            "so it would be mixed up with another event; end it differently"
        )
    return name


def _bad_name(message: str) -> BadMarkError:
    return BadMarkError("bad event name", message)
