"""Finding the keys of bitmaps among all keys of a Redis."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime, timezone
from typing import TYPE_CHECKING, NamedTuple

from ..analysis.periods import Period, TimeGroup

if TYPE_CHECKING:
    from redis import Redis

_KEY = re.compile(
    rb"trackist_(?P<name>.+)_(?:(?P<flag>u)|(?P<date>W\d+-\d+|\d+-\d+(?:-\d+(?:-\d+)?)?))\Z",
    re.DOTALL,
)
# What bitmapist's own bit operations leave behind for a while.
_TEMPORARY = re.compile(rb"trackist_bitop_(?:AND|OR|XOR|NOT)_trackist_")

# bitmapist-server's patterns do not match a slash.
_WITH_SLASHES = ("trackist_*", "trackist_*/*", "trackist_*/*/*", "trackist_*/*/*/*")

_AT_ONCE = 10_000


class EventKey(NamedTuple):
    """The key of one bitmap, taken apart."""

    key: bytes
    name: bytes
    """The event's name, or the flag's."""
    is_flag: bool
    period: Period | None
    """None for a flag, and where the key's end is no date of the calendar."""


def event_keys(
    client: Redis, event: str | None = None, slashes: bool = False
) -> Iterator[EventKey]:
    """Yield the keys of bitmaps, each once.

    Args:
        client: What to read through.
        event: Only those of this event and of the flag of this name; None for all.
        slashes: Whether the store's patterns match no slash.
    """
    name = None if event is None else event.encode("utf-8", "surrogateescape")
    seen: set[bytes] = set()
    for pattern in _patterns(name, slashes):
        for key in client.scan_iter(match=pattern, count=_AT_ONCE):
            if key not in seen:
                seen.add(key)
                parsed = parse_key(key)
                if parsed is not None and name in (None, parsed.name):
                    yield parsed


def parse_key(key: bytes) -> EventKey | None:
    """Take a key apart; None if it is not that of an event's bitmap."""
    match = _KEY.match(key)
    if not match or _TEMPORARY.match(key):
        return None
    when = match["date"]
    period = None if when is None else _period(when.decode())
    return EventKey(key, match["name"], match["flag"] is not None, period)


def _patterns(name: bytes | None, slashes: bool) -> tuple[bytes | str, ...]:
    if slashes:
        return _WITH_SLASHES
    if name is None:
        return _WITH_SLASHES[:1]
    escaped = re.sub(rb"([\\*?\[\]^-])", rb"\\\1", name)
    return (b"trackist_%b_*" % escaped,)


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
