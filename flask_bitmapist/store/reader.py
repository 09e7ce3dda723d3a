"""Reading bitmaps: the only place where Redis is asked for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..analysis.bitmaps import Source, Stripe, count_bits
from .keys import redis_key

if TYPE_CHECKING:
    from redis import Redis

# Bytes of all bitmaps together that are held at a time, and the bounds of the
# part of one bitmap among them.  All are multiples of a word's 8 bytes.
STRIPE_BYTES = 16 * 1024 * 1024
WIDEST = 256 * 1024
NARROWEST = 1024


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

    def stripes(self, sources: Sequence[Source]) -> Iterator[Stripe]:
        """Yield the bitmaps of *sources* stripe by stripe, by ascending user id.

        Bitmaps end where their last user is: a bitmap that has ended is not asked
        for again, and is all zeros in later stripes.

        Args:
            sources: What is needed; repeated sources are read once.
        """
        stored = list(dict.fromkeys(part for each in sources for part in each.parts()))
        offset = 0
        while stored:
            width = _stripe_width(len(stored))
            values = self._read(stored, offset, width)
            rows = [(each, value) for each, value in zip(stored, values) if value]
            if rows:
                yield _stripe(offset, rows)
            stored = [each for each, value in rows if len(value) == width]
            offset += width

    def _read(self, stored: Sequence[Source], offset: int, width: int) -> list[bytes]:
        pipeline = self._client.pipeline(transaction=False)
        for source in stored:
            pipeline.getrange(redis_key(source), offset, offset + width - 1)
        values: list[bytes] = pipeline.execute()
        return values

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

    def contains(self, sources: Sequence[Source], user_id: int) -> list[bool]:
        """Return for each of *sources* whether *user_id* is in it."""
        pipeline = self._client.pipeline(transaction=False)
        for source in sources:
            for part in source.parts():
                pipeline.getbit(redis_key(part), user_id)
        bits = iter(pipeline.execute())
        return [any([next(bits) for _ in source.parts()]) for source in sources]


def _stripe_width(bitmaps: int) -> int:
    width = min(max(STRIPE_BYTES // bitmaps, NARROWEST), WIDEST)
    return width - width % 8


def _stripe(offset: int, rows: Sequence[tuple[Source, bytes]]) -> Stripe:
    longest = max(len(value) for _, value in rows)
    width = -(-longest // 8) * 8
    joined = b"".join(value.ljust(width, b"\0") for _, value in rows)
    matrix = np.frombuffer(joined, dtype=np.uint64).reshape(len(rows), -1)
    return Stripe(offset * 8, matrix, {each: row for row, (each, _) in enumerate(rows)})
