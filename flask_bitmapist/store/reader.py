"""Reading bitmaps: the only place where Redis is asked for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from itertools import compress, islice
from typing import TYPE_CHECKING, Any, NamedTuple

from ..analysis.bitmaps import Rows, Source, Stripe
from ..analysis.counting import count_bits
from ..analysis.history import EPOCH
from ..analysis.keeping import kept_while_few
from .budget import Budget
from .keys import month_keys, redis_key
from .reads import Reads
from .values import Value, lengths_of, side_by_side

if TYPE_CHECKING:
    from redis import Redis

# Bytes of all bitmaps together in one stripe, and the bounds of one bitmap's part: a
# stripe stays in the processor's cache, and is worth the calls that it takes.
STRIPE_BYTES = 1024 * 1024
WIDEST_STRIPE = 8 * 2000
NARROWEST_STRIPE = 1024

# To ask for the years of one event takes some twenty kilobytes.
EVENTS_AT_ONCE = 8


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
        self._budget: Budget | None = None

    def within(self, most_bytes: int) -> BitmapReader:
        """Return a reader for one page, which refuses to read more than a limit.

        Args:
            most_bytes: How many bytes it reads in all, 0 for any number.  The first
                piece of each question, of about a megabyte or a kilobyte of each
                bitmap, is read whatever the limit.
        """
        reader = copy(self)
        reader._budget = Budget(most_bytes) if most_bytes else None
        return reader

    def stripes(self, sources: Sequence[Source]) -> Iterator[Stripe]:
        """Yield the bitmaps of *sources* stripe by stripe, by ascending user id.

        Bitmaps end where their last user is: a bitmap that has ended is not asked
        for again, and is all zeros in later stripes.

        Args:
            sources: What is needed; repeated sources are read once.

        Raises:
            QueryError: They are more than this reader may read.
        """
        self._planned(len(sources))
        plan = _plan(tuple(sources))
        return self._fetch(plan) if plan.keys else iter(())

    def _fetch(self, plan: _Plan) -> Iterator[Stripe]:
        start = 0
        budget = self._budget
        asked = self._reads.fetch(plan.keys, start, budget)
        try:
            while True:
                width = asked.width
                values = asked.result()
                lengths = lengths_of(values)
                if not all(lengths):
                    # Bitmaps that have ended, or are missing.
                    plan = plan.only(lengths)
                    values = list(filter(None, values))
                    lengths = lengths_of(values)
                longest = max(lengths, default=0)
                cut = _cut(start, plan.rows, values, longest)
                if longest < width:
                    yield from cut
                    return
                plan = plan.only([length == width for length in lengths])
                if start == 0:
                    self._foresee(plan.keys, width)
                start += width
                # Redis sends the next part while this one is worked on.
                asked = self._reads.fetch(plan.keys, start, budget)
                yield from cut
                # This part goes before the next one is taken.
                del values, cut
        finally:
            asked.cancel()

    def counts(self, sources: Sequence[Source]) -> list[int]:
        """Return the number of users of each of *sources*."""
        single = [each for each in dict.fromkeys(sources) if each.parts() == (each,)]
        keys = list(map(redis_key, single))
        self._planned(len(keys))
        if self._budget is not None:
            # The server reads them itself, and then nobody can stop it any more.
            size = sum(self._reads.lengths(keys) or ())
            self._budget.expect(size)
            self._budget.take(size)
        replies = self._reads.each("BITCOUNT", keys)
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

    def years(self, events: Sequence[str], until: int) -> dict[str, list[int]]:
        """Return the years in which there is a bitmap of a month of an event.

        Args:
            events: Names of events.
            until: The last year that is looked at; the first one is that of EPOCH.
        """
        years = range(EPOCH.year, until + 1)
        single = list(dict.fromkeys(events))
        # A year is one command, of twelve keys that need no bytes to be read.
        self._planned(len(years) * len(single))
        found: dict[str, list[int]] = {}
        for start in range(0, len(single), EVENTS_AT_ONCE):
            some = single[start : start + EVENTS_AT_ONCE]
            groups = [group for event in some for group in month_keys(event, years)]
            there = iter(self._reads.any_exists(groups))
            for event in some:
                found[event] = list(compress(years, islice(there, len(years))))
        return found

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
        self._planned(len(single))
        replies = self._reads.each(command, list(map(redis_key, single)), *arguments)
        reply_to = dict(zip(single, replies))
        return [reply_to[source] for source in stored]

    def _planned(self, bitmaps: int) -> None:
        if self._budget is not None:
            self._budget.plan(bitmaps)

    def _foresee(self, keys: Sequence[bytes], done: int) -> None:
        """Refuse what will be too much, where the server tells how long bitmaps are.

        Args:
            keys: The bitmaps that are not read to their end.
            done: How many bytes of each were read.
        """
        if self._budget is not None:
            lengths = self._reads.lengths(keys)
            if lengths is not None:
                self._budget.expect(sum(lengths) - done * len(keys))


class _Plan(NamedTuple):
    """What is to be read."""

    rows: Rows
    """The bitmaps."""
    keys: tuple[bytes, ...]
    """Of each its key."""

    def only(self, chosen: Sequence[object]) -> _Plan:
        """Return the plan of those bitmaps for which *chosen* is true."""
        if all(chosen):
            return self
        stored = Rows(compress(self.rows.stored, chosen))
        return _Plan(stored, tuple(compress(self.keys, chosen)))


@kept_while_few(lambda sources: len(sources))
def _plan(sources: tuple[Source, ...]) -> _Plan:
    """Find the stored bitmaps of which *sources* are made.

    That takes longer than small bitmaps take to read, and who looks at a page asks
    for the same again and again.
    """
    stored = dict.fromkeys(part for source in sources for part in source.parts())
    return _Plan(Rows(stored), tuple(map(redis_key, stored)))


def _bounded(width: int, least: int, most: int) -> int:
    width = min(max(width, least), most)
    return width - width % 8


def _cut(
    offset: int, rows: Rows, values: Sequence[Value], longest: int
) -> Iterator[Stripe]:
    """Yield what was fetched from byte *offset* on as stripes."""
    if not values:
        return
    most = _bounded(STRIPE_BYTES // len(values), NARROWEST_STRIPE, WIDEST_STRIPE)
    # All of about the same width: a narrow one is as many steps as a wide one.
    width = -(-longest // -(-longest // most) // 8) * 8
    for start in range(0, longest, width):
        # A whole number of words, also where the longest bitmap ends within one.
        size = min(width, -(-(longest - start) // 8) * 8)
        yield Stripe((offset + start) * 8, side_by_side(values, start, size), rows)
