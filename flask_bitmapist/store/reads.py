"""Reading ranges of bitmaps, on servers that can do that and on others."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from redis.exceptions import NoPermissionError, ResponseError

from .cluster import transport
from .errors import of_key
from .pipeline import PendingReplies
from .replies import Part
from .values import EqualValues, Value

if TYPE_CHECKING:
    from redis import Redis

    from .budget import Budget


class Bounds(NamedTuple):
    """How much is fetched at a time, in bytes; multiples of a word's 8."""

    together: int
    """Of all bitmaps."""
    narrowest: int
    """Of one bitmap, at least."""
    widest: int
    """Of one bitmap, at most."""


# The less at a time, the more of the work goes on while the server sends the next;
# the more, the fewer commands.
_RANGES = Bounds(960 * 1024, 1024, 256 * 1024)
# Where bitmaps come whole, each fetch is another walk over all of them.
_WHOLE = Bounds(32 * 1024 * 1024, 1024, 32 * 1024 * 1024)

_UNKNOWN = re.compile("unknown command|unsupported|not supported", re.IGNORECASE)

_logger = logging.getLogger(__name__)


class Reads:
    """Reads through one client, and remembers what its server cannot do.

    A server that refuses GETRANGE, as bitmapist-server does, is asked for whole
    bitmaps instead.

    Args:
        client: A client as :func:`~flask_bitmapist.store.connect.open_client` gives.
    """

    def __init__(self, client: Redis) -> None:
        self._transport = transport(client)
        self._has_ranges = True
        self._has_lengths = True
        self._has_any = True

    def each(
        self, command: str, keys: Sequence[bytes], *arguments: int
    ) -> Sequence[Any]:
        """Send *command* once for each key and return the replies.

        Raises:
            redis.RedisError: A key cannot be read; the message names it.
        """
        if not keys:
            return []
        replies = self._transport.ask(command, keys, *arguments).result()
        _raise_first(replies, keys)
        return replies

    def any_exists(self, groups: Sequence[Sequence[bytes]]) -> list[bool]:
        """Return for each group of keys whether there is any of them.

        Raises:
            redis.RedisError: It cannot be found out.
        """
        if not groups:
            return []
        if self._has_any:
            commands = [("EXISTS", *group) for group in groups]
            replies = self._transport.send(commands).result()
            if not any(isinstance(reply, ResponseError) for reply in replies):
                return list(map(bool, replies))
            # bitmapist-server takes one key at a time, and so does a cluster.
            _logger.info("the store looks for keys one by one only")
            self._has_any = False
        found = iter(self.each("EXISTS", [key for group in groups for key in group]))
        return [any(list(islice(found, len(group)))) for group in groups]

    def lengths(self, keys: Sequence[bytes]) -> list[int] | None:
        """Return how many bytes each bitmap has, or None if the server does not tell.

        Raises:
            redis.RedisError: A key cannot be read; the message names it.
        """
        if not (keys and self._has_lengths):
            return None
        replies = self._transport.ask("STRLEN", keys).result()
        if any(map(_is_refused, replies)):
            _logger.info("the store has no STRLEN; bytes are counted as they are read")
            self._has_lengths = False
            return None
        _raise_first(replies, keys)
        return list(replies)

    def fetch(
        self, keys: Sequence[bytes], start: int, budget: Budget | None = None
    ) -> Fetch:
        """Begin to read the bytes from *start* on of each key.

        Args:
            keys: Which bitmaps.
            start: Offset of the first byte.
            budget: How much may be read.
        """
        bounds = _RANGES if self._has_ranges else _WHOLE
        width = min(max(bounds.together // len(keys), bounds.narrowest), bounds.widest)
        return Fetch(self, keys, start, width - width % 8, budget)

    def ask_ranges(
        self, keys: Sequence[bytes], start: int, stop: int
    ) -> PendingReplies | None:
        """Ask for the bytes *start* to *stop* - 1, unless the server cannot."""
        if not self._has_ranges:
            return None
        return self._transport.ask("GETRANGE", keys, start, stop - 1)

    def accept(
        self,
        replies: Sequence[Any],
        keys: Sequence[bytes],
        start: int,
        stop: int,
        budget: Budget | None,
    ) -> Sequence[Value]:
        """Return the values in *replies*, read in another way if they were refused."""
        if isinstance(replies, EqualValues):
            if budget is not None:
                budget.take(len(replies) * replies.length)
            return replies
        errors = [reply for reply in replies if isinstance(reply, ResponseError)]
        if not any(map(_is_refused, errors)):
            if errors:
                _raise_first(replies, keys)
            if budget is not None:
                budget.take(sum(map(len, replies)))
            return replies
        values = self.cut_out(keys, start, stop, budget)
        _logger.info("the store has no GETRANGE; bitmaps are read whole")
        self._has_ranges = False
        return values

    def cut_out(
        self, keys: Sequence[bytes], start: int, stop: int, budget: Budget | None
    ) -> list[bytes]:
        """Read whole bitmaps, and keep the bytes *start* to *stop* - 1 of each."""
        values: list[bytes] = []
        for key in keys:
            # One by one: where redis-py reads, it holds all replies that came in.
            part = Part(start, stop)
            replies = self._transport.ask("GET", [key]).result(part)
            _raise_first(replies, [key])
            if budget is not None:
                budget.take(part.came)
            values += replies
        return values


class Fetch:
    """The same range of some bitmaps, on its way.

    Args:
        reads: Reads it.
        keys: The bitmaps.
        start: Offset of the first byte.
        width: How many bytes.
        budget: How much may be read.
    """

    def __init__(
        self,
        reads: Reads,
        keys: Sequence[bytes],
        start: int,
        width: int,
        budget: Budget | None = None,
    ) -> None:
        self.width = width
        self._reads = reads
        self._budget = budget
        self._range = keys, start, start + width
        self._pending = reads.ask_ranges(*self._range)

    def result(self) -> Sequence[Value]:
        """Wait for the bytes, in the order of the keys; b"" where a key has none.

        Raises:
            redis.RedisError: A key cannot be read; the message names it.
            QueryError: It is more than may be read.
        """
        if self._pending is None:
            return self._reads.cut_out(*self._range, self._budget)
        return self._reads.accept(self._pending.result(), *self._range, self._budget)

    def cancel(self) -> None:
        """Give the bytes up, unless they were taken."""
        if self._pending is not None:
            self._pending.cancel()


def _is_refused(reply: Any) -> bool:
    return isinstance(reply, ResponseError) and (
        isinstance(reply, NoPermissionError) or bool(_UNKNOWN.search(str(reply)))
    )


def _raise_first(replies: Sequence[Any], keys: Sequence[bytes]) -> None:
    for reply, key in zip(replies, keys):
        if isinstance(reply, ResponseError):
            raise of_key(reply, key)
