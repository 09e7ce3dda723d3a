"""Names of Redis keys, always taken from bitmapist's own event classes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timezone
from functools import lru_cache
from typing import Any, NamedTuple

from bitmapist import DayEvents, HourEvents, MonthEvents, UniqueEvents, WeekEvents

from ..analysis.expressions import SEEN_BEFORE, Source
from ..analysis.periods import Period, TimeGroup

_EVENT_CLASSES: dict[TimeGroup, Any] = {
    TimeGroup.HOURS: HourEvents,
    TimeGroup.DAYS: DayEvents,
    TimeGroup.WEEKS: WeekEvents,
    TimeGroup.MONTHS: MonthEvents,
}

_UNIQUE_EVENTS: Any = UniqueEvents

_KEY = re.compile(
    rb"trackist_(?P<name>.+)_(?:(?P<flag>u)|(?P<date>W\d+-\d+|\d+-\d+(?:-\d+(?:-\d+)?)?))\Z",
    re.DOTALL,
)
# What bitmapist's own bit operations leave behind for a while.  Such a key names those
# that it was made of, of bitmaps or of other operations, joined by hyphens.
_TEMPORARY = re.compile(rb"trackist_bitop_(?:AND|OR|XOR|NOT)_trackist_")
_OPERAND = (
    rb"(?:bitop_(?:AND|OR|XOR|NOT)_|-)"
    rb"(?=(trackist_(?!bitop_)%b_(?:u|W?\d+(?:-\d+)+))(?:-trackist_|\Z))"
)


_SEEN = b"flask-bitmapist:seen:"
# Beside bitmapist's keys, as nothing in them has no date and is no flag.


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
    if source.period == SEEN_BEFORE:
        return seen_key(source.event.encode("utf-8", "surrogateescape"))
    event_class = _EVENT_CLASSES[source.period.group]
    return _encoded(event_class.from_date(source.event, source.period.start))


def seen_key(name: bytes) -> bytes:
    """Return the key of those who did an event at a time that was deleted."""
    return _SEEN + name


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


class EventKey(NamedTuple):
    """The key of one bitmap, taken apart."""

    key: bytes
    name: bytes
    """The event's name, or the flag's."""
    is_flag: bool
    period: Period | None
    """None for a flag, and where the key's end is no date of the calendar.
    ``SEEN_BEFORE`` for who did an event at a time that was deleted."""


def parse_key(key: bytes) -> EventKey | None:
    """Take a key apart; None if it is not that of an event's bitmap."""
    if key.startswith(_SEEN):
        return EventKey(key, key.removeprefix(_SEEN), False, SEEN_BEFORE)
    match = _matched(key)
    if match is None:
        return None
    when = match["date"]
    period = None if when is None else _period(when.decode())
    return EventKey(key, match["name"], match["flag"] is not None, period)


def holds_users(key: bytes) -> bool:
    """Return whether a key is that of bits of users, kept or temporary ones."""
    return is_temporary(key) or _KEY.match(key) is not None


def is_temporary(key: bytes) -> bool:
    """Return whether a key is one that a bit operation of bitmapist left behind."""
    return _TEMPORARY.match(key) is not None


def operands(key: bytes, name: bytes | None = None) -> Iterator[EventKey]:
    """Yield the bitmaps that a key left behind by a bit operation was made of.

    Where a name has the end of a key within itself, more is found than there was.

    Args:
        key: The key.
        name: Only those of the event, and the flag, of this name.
    """
    pattern = rb".+?" if name is None else re.escape(name)
    for found in re.finditer(_OPERAND % pattern, key, re.DOTALL):
        parsed = parse_key(found[1])
        if parsed is not None:
            yield parsed


def is_of_hour(key: bytes) -> bool:
    """Return whether a key is that of an event in an hour."""
    return key.count(b"-", key.rfind(b"_")) == 3


def names_in(keys: Iterable[bytes]) -> tuple[set[bytes], set[bytes]]:
    """Return the names of the events and of the flags that have any of *keys*."""
    events: set[bytes] = set()
    flags: set[bytes] = set()
    for key in keys:
        # Many keys have one name.  What comes before the last underscore tells it, and
        # only the first of them is looked at closely.
        heads = flags if key.endswith(b"_u") else events
        head = key[: key.rfind(b"_")]
        if head not in heads and _matched(key) is not None:
            heads.add(head)
    after = len("trackist_")
    return {head[after:] for head in events}, {head[after:] for head in flags}


def _matched(key: bytes) -> re.Match[bytes] | None:
    return None if is_temporary(key) else _KEY.match(key)


def _period(text: str) -> Period | None:
    numbers = [int(each) for each in text.lstrip("W").split("-")]
    try:
        if text.startswith("W"):
            return Period.containing(
                TimeGroup.WEEKS, date.fromisocalendar(numbers[0], numbers[1], 1)
            )
        group = (TimeGroup.MONTHS, TimeGroup.DAYS, TimeGroup.HOURS)[len(numbers) - 2]
        day = numbers[2] if len(numbers) > 2 else 1
        hour = numbers[3] if len(numbers) > 3 else 0
        start = datetime(numbers[0], numbers[1], day, hour, tzinfo=timezone.utc)
    except (ValueError, OverflowError):
        return None
    return Period.containing(group, start)
