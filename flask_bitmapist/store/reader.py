"""Reading bitmaps: the only place where Redis is asked for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from ..analysis.bitmaps import Source, Stripe, count_bits
from .keys import redis_key
from .reads import Fetch, Reads

if TYPE_CHECKING:
    from redis import Redis

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
        client: A client as :func:`~flask_bitmapist.store.connect.open_client` gives.
    """

    def __init__(self, client: Redis) -> None:
        self._reads = Reads(client)

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
                width = asked.width
                values = asked.result()
                found = [(each, value) for each, value in zip(stored, values) if value]
                cut = _cut(start, found)
                start += width
                stored = [each for each, value in found if len(value) == width]
                if stored:
                    # Redis sends the next part while this one is worked on.
                    asked = self._ask(stored, start)
                yield from cut
                # This part goes before the next one is taken.
                del values, found, cut
        finally:
            asked.cancel()

    def _ask(self, stored: list[Source], start: int) -> Fetch:
        return self._reads.fetch([redis_key(source) for source in stored], start)

    def counts(self, sources: Sequence[Source]) -> list[int]:
        """Return the number of users of each of *sources*."""
        single = [each for each in dict.fromkeys(sources) if each.parts() == (each,)]
        replies = self._reads.each("BITCOUNT", list(map(redis_key, single)))
        totals: dict[Source, int] = dict(zip(single, replies))
        united = [each for each in dict.fromkeys(sources) if each not in totals]
        totals.update(dict.fromkeys(united, 0))
        for stripe in self.stripes(united):
            for source in united:
                totals[source] += count_bits(stripe.words(source))
        return [totals[source] for source in sources]

    def exist(self, sources: Sequence[Source]) -> list[bool]:
        """Return for each of *sources*, all stored ones, whether there is a bitmap."""
        return list(map(bool, self._each("EXISTS", sources)))

    def contains(self, sources: Sequence[Source], user_id: int) -> list[bool]:
        """Return for each of *sources* whether *user_id* is in it."""
        parts = [part for source in sources for part in source.parts()]
        bits = iter(self._each("GETBIT", parts, user_id))
        return [1 in list(islice(bits, len(each.parts()))) for each in sources]

    def _each(
        self, command: str, stored: Sequence[Source], *arguments: int
    ) -> list[Any]:
        """Send *command* for each of *stored*, for repeated ones once."""
        single = list(dict.fromkeys(stored))
        replies = self._reads.each(command, list(map(redis_key, single)), *arguments)
        reply_to = dict(zip(single, replies))
        return [reply_to[source] for source in stored]


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
