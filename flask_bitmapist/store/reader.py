"""Reading bitmaps: the only place where Redis is asked for them."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator, Sequence
from copy import copy
from datetime import date
from itertools import accumulate, compress, groupby, islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from redis.exceptions import NoPermissionError, ResponseError

from ..analysis.bitmaps import Rows, Stripe
from ..analysis.counting import count_bits
from ..analysis.errors import QueryError, Text
from ..analysis.expressions import Cut, Source, smaller
from ..analysis.history import EPOCH, first_and_last_days
from ..analysis.periods import AsOf, kept_while_few
from .connect import Command, is_cluster, send_to_nodes
from .cuts import Cuts
from .errors import of_key
from .keys import month_keys, redis_key

if TYPE_CHECKING:
    from redis import Redis

# Bytes of all bitmaps together in a stripe, which is one round trip, and the bounds of
# one bitmap's part.  The more, the fewer commands; the less, the more of it is still in
# the processor's cache when it is counted.
STRIPE_BYTES = 4 * 1024 * 1024
NARROWEST_STRIPE = 1024
WIDEST_STRIPE = 128 * 1024

# Where bitmaps come whole, each round is another walk over all of them.
WHOLE_BYTES = 32 * 1024 * 1024

# Bytes that Redis counts in one round trip: it serves nobody else meanwhile, and takes
# some milliseconds.  Where it does not tell how long bitmaps are, so many bitmaps.
COUNTED_BYTES = 8 * 1024 * 1024
COUNTED_AT_ONCE = 8

# To ask for the years of one event takes some twenty kilobytes.
EVENTS_AT_ONCE = 8

LEAST_BYTES = 64 * 1024
"""What asking for one bitmap costs at least, as bytes of work: a command, its key and
its reply take as long as to walk over so many bytes."""

KNOWN_FOR = 60.0
"""Seconds for which is taken to be so what is hardly ever otherwise."""
MOST_KNOWN = 10_000

_UNKNOWN = re.compile("unknown command|unsupported|not supported", re.IGNORECASE)

_logger = logging.getLogger(__name__)


class Budget:
    """Work that may still be done.  It serves one page, in one thread.

    Work is counted in bytes that are walked over: to read a bitmap is one walk, and
    each operation of a question on whole bitmaps is another.  Where the store tells how
    long bitmaps are, a question that is too much is refused before anything of it is
    read; elsewhere as soon as it has become too much.

    Args:
        most: How many bytes may be walked over in all, 0 for any number.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.done = 0
        """Bytes that were walked over so far."""

    def ask(self, bitmaps: int) -> None:
        """Count so many *bitmaps* that are asked for, whatever is in them.

        Raises:
            QueryError: Together with the work before they are too much.
        """
        self.take(bitmaps * LEAST_BYTES)

    def take(self, size: int) -> None:
        """Count *size* bytes of work.

        Raises:
            QueryError: It is more than was left; the message says what to do.
        """
        self.done += size
        if self.most and self.done > self.most:
            raise QueryError(
                Text(
                    "This is too much work for one report: %(size)s, and at most "
                    "%(most)s are allowed (BITMAPIST_MAX_WORK). Ask for fewer "
                    "rows or periods, longer periods (weeks instead of days), or "
                    "fewer events.",
                    size=_megabytes(self.done),
                    most=_megabytes(self.most),
                )
            )


def _megabytes(size: int) -> Text:
    if size < 1024 * 1024:
        return Text("%(number)s bytes", number=size)
    return Text("%(number)s MiB", number=size / 1024 / 1024)


class BitmapReader:
    """Reads bitmaps from one Redis, and never writes.

    Every answer comes from plain reads in one pipeline for each stripe: there are
    no temporary keys, so answers stay exact under concurrency and reads work on a
    replica or with read-only rights.  What the server does not know or allow is
    remembered, and done without.

    Args:
        client: A client as :func:`~flask_bitmapist.store.connect.open_client` gives.
    """

    def __init__(self, client: Redis) -> None:
        # The system's allocator keeps what is freed up to twice the largest piece that
        # it has had back.  To get each stripe's memory anew, page by page, would take
        # longer than to count it.
        np.empty(2 * STRIPE_BYTES, np.uint8)
        self._client = client
        self._refused: set[str] = set()
        self._budget = Budget(0)
        self._cuts = Cuts(client)
        self._with_parts: dict[Source, float] = {}
        self._first_days: dict[str, tuple[float, date]] = {}

    def within(self, most_work: int) -> BitmapReader:
        """Return a reader for one page, which refuses what is too much work.

        Args:
            most_work: How many bytes are walked over in all, 0 for any number.
        """
        reader = copy(self)
        reader._budget = Budget(most_work)
        return reader

    def stripes(self, sources: Sequence[Source], passes: int = 0) -> Iterator[Stripe]:
        """Yield the bitmaps of *sources* stripe by stripe, by ascending user id.

        Bitmaps end where their last user is: a bitmap that has ended is not asked
        for again, and is all zeros in later stripes.

        Args:
            sources: What is needed; repeated sources are read once.
            passes: How many operations on whole bitmaps are made of them.

        Raises:
            QueryError: They are more than this reader may read.
            redis.RedisError: A key cannot be read; the message names it.
        """
        plan = _plan(tuple(sources))
        is_counted = self._foreseen(plan.keys, passes)
        return self._fetch(plan, 0 if is_counted else passes + len(plan.keys))

    def _fetch(self, plan: _Plan, passes: int) -> Iterator[Stripe]:
        start = 0
        while plan.keys:
            stripe = fetch = _width(STRIPE_BYTES, len(plan.keys), WIDEST_STRIPE)
            if "GETRANGE" in self._refused:
                fetch = _width(WHOLE_BYTES, len(plan.keys), WHOLE_BYTES)
            values = self._parts(plan.keys, start, start + fetch)
            plan = plan.only(values)  # without what has ended, or is missing
            cut = _cut(start, plan.rows, list(filter(None, values)), stripe)
            plan = plan.only([len(value) == fetch for value in values if value])
            start += fetch
            for part in cut:
                self._budget.take(8 * part.width * passes)
                yield part
            del values, cut  # this part goes before the next one comes

    def _parts(self, keys: Sequence[bytes], start: int, stop: int) -> list[bytes]:
        """Return the bytes *start* to *stop* - 1 of each bitmap, b"" where it has none.

        A server that refuses GETRANGE, as bitmapist-server does, is asked for whole
        bitmaps instead: one by one, since all replies to a pipeline are held at once.
        """
        if "GETRANGE" not in self._refused:
            replies = self._ask("GETRANGE", keys, start, stop - 1)
            if not any(map(_is_refused, replies)):
                values = _checked(replies, keys)
                return values
        values = []
        for key in keys:
            (value,) = _checked(self._ask("GET", [key]), [key])
            self._budget.take(len(value or b""))
            values.append((value or b"")[start:stop])
        self._remember("GETRANGE")  # a key that may not be read is refused either way
        return values

    def counts(self, sources: Sequence[Source]) -> list[int]:
        """Return the number of users of each of *sources*.

        Raises:
            QueryError: They are more than this reader may read.
            redis.RedisError: A key cannot be read; the message names it.
        """
        single = [each for each in dict.fromkeys(sources) if each.parts() == (each,)]
        self._budget.ask(len(single))
        totals = dict(zip(single, self._count(list(map(redis_key, single)))))
        united = [each for each in dict.fromkeys(sources) if each not in totals]
        totals.update(dict.fromkeys(united, 0))
        for stripe in self.stripes(united):
            for source in united:
                totals[source] += count_bits(stripe.words(source))
        return [totals[source] for source in sources]

    def _count(self, keys: Sequence[bytes]) -> Iterator[int]:
        lengths = None
        if self._budget.most or len(keys) > 1:
            lengths = self._lengths(keys)
        if lengths is None:
            lengths = [COUNTED_BYTES // COUNTED_AT_ONCE] * len(keys)
        else:
            # The server reads them itself, and then nobody can stop it any more.
            self._budget.take(sum(lengths))
        rounds = (end // COUNTED_BYTES for end in accumulate(lengths))
        for _, each in groupby(zip(rounds, keys), lambda pair: pair[0]):
            some = [key for _, key in each]
            yield from _checked(self._ask("BITCOUNT", some), some)

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
        self._budget.ask(len(years) * len(single))
        found: dict[str, list[int]] = {}
        for start in range(0, len(single), EVENTS_AT_ONCE):
            some = single[start : start + EVENTS_AT_ONCE]
            groups = [group for event in some for group in month_keys(event, years)]
            there = iter(self._any_exists(groups))
            for event in some:
                found[event] = list(compress(years, islice(there, len(years))))
        return found

    def _any_exists(self, groups: Sequence[Sequence[bytes]]) -> list[bool]:
        """Return for each group of keys whether there is any of them."""
        if "EXISTS" not in self._refused:
            replies = send(self._client, [("EXISTS", *group) for group in groups])
            if not any(isinstance(reply, ResponseError) for reply in replies):
                return list(map(bool, replies))
            # bitmapist-server takes one key at a time, and so does a cluster.
            self._remember("EXISTS")
        keys = [key for group in groups for key in group]
        found = iter(_checked(self._ask("EXISTS", keys), keys))
        return [any(list(islice(found, len(group)))) for group in groups]

    def contains(self, sources: Sequence[Source], user_id: int) -> list[bool]:
        """Return for each of *sources* whether *user_id* is in it."""
        parts = [part for source in sources for part in source.parts()]
        # A number's own digits, also of what only counts as one (True, an IntEnum).
        bits = iter(self._each("GETBIT", parts, int(user_id)))
        return [1 in list(islice(bits, len(each.parts()))) for each in sources]

    def stored(self, sources: Sequence[Source]) -> list[tuple[Source, ...]]:
        """Return the stored bitmaps that are read for each of *sources*."""
        return [source.parts() for source in sources]

    def cuts(self, events: Sequence[str], fresh: bool = False) -> dict[str, Cut]:
        """Return what of the past was deleted, see :meth:`Bitmaps.cuts`.

        Raises:
            redis.RedisError: The store does not answer.
        """
        if fresh:
            self._with_parts.clear()
            self._first_days.clear()
        known = self._cuts.known(fresh)
        return {event: known[event] for event in events if event in known}

    def have_parts(self, sources: Sequence[Source]) -> list[bool | None]:
        """Return whether months have days, and days hours, see
        :meth:`Bitmaps.have_parts`.

        That they have is taken to be so for a minute: bits come, and what goes is known
        by :meth:`cuts`.

        Raises:
            QueryError: They are more than this reader may read.
            redis.RedisError: The store does not answer.
        """
        now = time.monotonic()
        if len(self._with_parts) > MOST_KNOWN:
            self._with_parts.clear()
        new = [each for each in sources if self._with_parts.get(each, 0.0) < now]
        self._budget.ask(2 * len(new))
        groups = [
            tuple(map(redis_key, group))
            for source in new
            for group in ((source,), smaller(source))
        ]
        found = iter(self._any_exists(groups) if groups else ())
        replies = {source: (next(found), next(found)) for source in new}
        for source, (_, has_parts) in replies.items():
            if has_parts:
                self._with_parts[source] = now + KNOWN_FOR
        return [
            has_parts or (False if exists else None)
            for exists, has_parts in (
                replies.get(source, (True, True)) for source in sources
            )
        ]

    def first_days(self, events: Sequence[str], as_of: AsOf) -> dict[str, date]:
        """Return the first day of each event, where there is any, see
        :meth:`Bitmaps.first_days`.

        It is taken to be the same for a minute.

        Raises:
            QueryError: They are more than this reader may read.
            redis.RedisError: The store does not answer.
        """
        now = time.monotonic()
        kept = self._first_days
        new = [each for each in events if each not in kept or kept[each][0] < now]
        if new:
            for event, (first, _) in first_and_last_days(self, new, as_of).items():
                kept.pop(event, None)
                if first is not None:
                    kept[event] = now + KNOWN_FOR, first.start.date()
        return {event: kept[event][1] for event in events if event in kept}

    def _each(
        self, command: str, stored: Sequence[Source], *arguments: int
    ) -> list[Any]:
        """Send *command* for each of *stored*, for repeated ones once."""
        single = list(dict.fromkeys(stored))
        self._budget.ask(len(single))
        keys = list(map(redis_key, single))
        replies = _checked(self._ask(command, keys, *arguments), keys)
        reply_to = dict(zip(single, replies))
        return [reply_to[source] for source in stored]

    def _lengths(self, keys: Sequence[bytes]) -> list[int] | None:
        """Return how many bytes each bitmap has, None if the server does not tell."""
        if "STRLEN" in self._refused:
            return None
        replies = self._ask("STRLEN", keys)
        if any(map(_is_refused, replies)):
            self._remember("STRLEN")
            return None
        return _checked(replies, keys)

    def _ask(self, command: str, keys: Sequence[bytes], *arguments: int) -> list[Any]:
        return send(self._client, [(command, key, *arguments) for key in keys])

    def _remember(self, refused: str) -> None:
        if refused not in self._refused:
            _logger.info(
                "the store does not support %s as usual; continuing without it", refused
            )
            self._refused.add(refused)

    def _foreseen(self, keys: Sequence[bytes], passes: int) -> bool:
        """Count work before it is done, if it is limited and the server tells how much.

        Args:
            keys: The bitmaps that are read.
            passes: How many operations are made of them.

        Returns:
            Whether all of it is counted.

        Raises:
            QueryError: It is too much.
        """
        if not self._budget.most:
            return True
        self._budget.ask(len(keys))
        lengths = self._lengths(keys) if keys else [0]
        if lengths is None:
            return False
        self._budget.take(sum(lengths) + passes * max(lengths))
        return True


def send(client: Redis, commands: Sequence[Command]) -> list[Any]:
    """Send *commands* in one round trip, on a cluster in one to each node.

    Args:
        client: A client of redis-py.
        commands: Each a name, a key and arguments.

    Returns:
        The replies in order, errors among them.

    Raises:
        redis.RedisError: The connection failed.
    """
    if is_cluster(client):
        return send_to_nodes(client, commands)
    pipeline: Any = client.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)
    replies: list[Any] = pipeline.execute(raise_on_error=False)
    return replies


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


def _width(together: int, bitmaps: int, widest: int) -> int:
    """Return how many bytes of each bitmap are read, a whole number of words."""
    return min(max(together // bitmaps, NARROWEST_STRIPE), widest) & ~7


def _cut(
    offset: int, rows: Rows, values: Sequence[bytes], width: int
) -> Iterator[Stripe]:
    """Yield what was fetched from byte *offset* on as stripes."""
    longest = max(map(len, values), default=0)
    for start in range(0, longest, width):
        # A whole number of words, also where the longest bitmap ends within one.
        size = min(width, (longest - start + 7) & ~7)
        parts = [value[start : start + size].ljust(size, b"\0") for value in values]
        words = np.frombuffer(b"".join(parts), np.uint64).reshape(len(values), -1)
        yield Stripe((offset + start) * 8, words, rows)


def _is_refused(reply: Any) -> bool:
    return isinstance(reply, ResponseError) and (
        isinstance(reply, NoPermissionError) or bool(_UNKNOWN.search(str(reply)))
    )


def _checked(replies: list[Any], keys: Sequence[bytes]) -> list[Any]:
    """Return *replies*, none of which is an error.

    Raises:
        redis.ResponseError: One is; the message names the key.
    """
    for reply, key in zip(replies, keys):
        if isinstance(reply, ResponseError):
            raise of_key(reply, key)
    return replies
