"""On which day an event was seen first, and last."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import redis
from redis.exceptions import RedisClusterException

from ..analysis.bitmaps import Bitmaps, Source
from ..analysis.history import EPOCH
from ..analysis.periods import Period, TimeGroup
from .keys import redis_key

if TYPE_CHECKING:
    from datetime import datetime

    from redis import Redis

Days = tuple["Period | None", "Period | None"]
"""The first day and the last; None where there is none."""

_Year = tuple[str, Period]
"""An event in a year."""


def first_and_last_days(
    client: Redis, bitmaps: Bitmaps, events: Sequence[str], until: datetime
) -> dict[str, Days]:
    """Return for each of *events* the first and the last day on which it was seen.

    Args:
        client: What to look for bitmaps through.
        bitmaps: Where users are counted.
        events: Names of events.
        until: Nothing later is looked for.
    """
    years = _years(until)
    asked = {(event, year): year.parts() for event in events for year in years}
    found = _existing(client, asked)
    edges = {event: _edges(y for y in years if (event, y) in found) for event in events}
    # Months may be left without anybody, so from here on users are counted.
    edges = _narrowed(bitmaps, edges, months_of)
    days = _narrowed(bitmaps, edges, days_of)
    return {
        event: (found[0], found[-1]) if found else (None, None)
        for event, found in days.items()
    }


def months_of(year: Period) -> Iterable[Period]:
    """Return the months of a year."""
    return year.parts()


def days_of(month: Period) -> Iterable[Period]:
    """Return the days of a month."""
    return month.days()


def _years(until: datetime) -> list[Period]:
    first = Period.containing(TimeGroup.YEARS, EPOCH)
    last = Period.containing(TimeGroup.YEARS, until)
    return [first.shift(each) for each in range(last.start.year - first.start.year + 1)]


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
    counts = iter(bitmaps.counts(sources))
    return {
        event: _edges([period for period in periods if next(counts)])
        for event, periods in parts.items()
    }


def _existing(client: Redis, asked: Mapping[_Year, Sequence[Period]]) -> set[_Year]:
    """Return those of *asked* for which there is any bitmap."""
    keys = {
        (event, year): [redis_key(Source(event, month)) for month in months]
        for (event, year), months in asked.items()
    }
    try:
        counts = _exists(client, keys.values())
    except (redis.ResponseError, RedisClusterException):
        # bitmapist-server takes one key at a time, and so does a cluster.
        single = [[key] for several in keys.values() for key in several]
        flat = iter(_exists(client, single))
        counts = [sum(next(flat) for _ in several) for several in keys.values()]
    return {each for each, count in zip(keys, counts) if count}


def _exists(client: Redis, keys: Iterable[Sequence[bytes]]) -> list[int]:
    pipeline = client.pipeline(transaction=False)
    for several in keys:
        pipeline.exists(*several)
    counts: list[int] = pipeline.execute()
    return counts
