"""Reading bitmaps: the only place where Redis is asked for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from ..analysis.bitmaps import Source, Stripe, count_bits
from .keys import redis_key
from .pipeline import PendingRead, range_reads

if TYPE_CHECKING:
    from redis import Redis

# Bytes of all bitmaps together that are fetched at a time, and the bounds of the
# part of one bitmap among them.  All are multiples of a word's 8 bytes.
FETCH_BYTES = 4 * 1024 * 1024
WIDEST_FETCH = 256 * 1024
NARROWEST_FETCH = 1024

# Bytes of all bitmaps together in one stripe, and the bounds of one bitmap's part:
# a stripe stays in the processor's cache, and its counts fit 16 bits.
STRIPE_BYTES = 512 * 1024
WIDEST_STRIPE = 8 * 1000
NARROWEST_STRIPE = 1024


class BitmapReader:
    """Reads bitmaps from one Redis, and never writes.

    Every answer comes from plain reads in one pipeline for each stripe: there are
    no temporary keys, so answers stay exact under concurrency and reads work on a
    replica or with read-only rights.

    Args:
        client: A redis-py client.
    """

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._ranges = range_reads(client)

    def stripes(self, sources: Sequence[Source]) -> Iterator[Stripe]:
        """Yield the bitmaps of *sources* stripe by stripe, by ascending user id.

        Bitmaps end where their last user is: a bitmap that has ended is not asked
        for again, and is all zeros in later stripes.

        Args:
            sources: What is needed; repeated sources are read once.
        """
        parts = (part for source in sources for part in source.parts())
        stored = list(dict.fromkeys(parts))
        return self._fetch(stored) if stored else iter(())

    def _fetch(self, stored: list[Source]) -> Iterator[Stripe]:
        start = 0
        asked = self._ask(stored, start)
        try:
            while stored:
                width = _fetch_width(stored)
                values = asked.result()
                found = [(each, value) for each, value in zip(stored, values) if value]
                cut = _cut(start, found)
                start += width
                stored = [each for each, value in found if len(value) == width]
                if stored:
                    # Redis sends the next part while this one is worked on.
                    asked = self._ask(stored, start)
                yield from cut
        finally:
            asked.cancel()

    def _ask(self, stored: list[Source], start: int) -> PendingRead:
        keys = [redis_key(source) for source in stored]
        return self._ranges.ask(keys, start, start + _fetch_width(stored))

    def counts(self, sources: Sequence[Source]) -> list[int]:
        """Return the number of users of each of *sources*."""
        single = [source for source in sources if source.parts() == (source,)]
        pipeline = self._client.pipeline(transaction=False)
        for source in single:
            pipeline.bitcount(redis_key(source))
        totals: dict[Source, int] = dict(zip(single, pipeline.execute()))
        united = [source for source in sources if source not in totals]
        totals.update(dict.fromkeys(united, 0))
        for stripe in self.stripes(united):
            for source in dict.fromkeys(united):
                totals[source] += count_bits(stripe.words(source))
        return [totals[source] for source in sources]

    def exist(self, sources: Sequence[Source]) -> list[bool]:
        """Return for each of *sources*, all stored ones, whether there is a bitmap."""
        pipeline = self._client.pipeline(transaction=False)
        for source in sources:
            pipeline.exists(redis_key(source))
        return [bool(each) for each in pipeline.execute()]

    def contains(self, sources: Sequence[Source], user_id: int) -> list[bool]:
        """Return for each of *sources* whether *user_id* is in it."""
        pipeline = self._client.pipeline(transaction=False)
        for source in sources:
            for part in source.parts():
                pipeline.getbit(redis_key(part), user_id)
        bits = iter(pipeline.execute())
        return [1 in list(islice(bits, len(each.parts()))) for each in sources]


def _fetch_width(stored: Sequence[Source]) -> int:
    return _bounded(FETCH_BYTES // len(stored), NARROWEST_FETCH, WIDEST_FETCH)


def _bounded(width: int, least: int, most: int) -> int:
    width = min(max(width, least), most)
    return width - width % 8


def _cut(offset: int, found: Sequence[tuple[Source, bytes]]) -> Iterator[Stripe]:
    """Yield what was fetched from byte *offset* on as stripes."""
    if not found:
        return
    rows = {source: row for row, (source, _) in enumerate(found)}
    # Views, since a slice of bytes is a copy, and there is one for each stripe.
    views = [memoryview(value) for _, value in found]
    longest = max(map(len, views))
    width = _bounded(STRIPE_BYTES // len(found), NARROWEST_STRIPE, WIDEST_STRIPE)
    for start in range(0, longest, width):
        # A whole number of words, also where the longest bitmap ends within one.
        size = min(width, -(-(longest - start) // 8) * 8)
        joined = b"".join(_padded_parts(views, start, size))
        matrix = np.frombuffer(joined, dtype=np.uint64).reshape(len(found), -1)
        yield Stripe((offset + start) * 8, matrix, rows)


def _padded_parts(
    views: Sequence[memoryview], start: int, size: int
) -> Iterator[memoryview | bytes]:
    """Yield *size* bytes from *start* on of each view, zeros after its end."""
    for view in views:
        part = view[start : start + size]
        yield part
        if len(part) < size:
            yield bytes(size - len(part))
