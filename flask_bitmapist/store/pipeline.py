"""Many reads in one round trip."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import redis
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection

if TYPE_CHECKING:
    from redis import Redis

_DIRECT = (Connection, SSLConnection, UnixDomainSocketConnection)


class PendingRead(Protocol):
    """A read that is under way."""

    def result(self) -> list[bytes]:
        """Wait for the bytes, in the order of the keys; b"" where a key has none."""

    def cancel(self) -> None:
        """Give the read up, unless its result was taken."""


class RangeReads(Protocol):
    """Reads the same range of bytes of many keys in one round trip."""

    def ask(self, keys: Sequence[bytes], start: int, stop: int) -> PendingRead:
        """Ask for the bytes *start* to *stop* - 1 of each key."""


def range_reads(client: Redis) -> RangeReads:
    """Return the fastest way to read ranges through *client*."""
    pool = getattr(client, "connection_pool", None)
    if getattr(pool, "connection_class", None) in _DIRECT:
        return DirectRangeReads(client)
    return PipelinedRangeReads(client)


class PipelinedRangeReads:
    """Reads through redis-py's own pipeline: works with every client."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    def ask(self, keys: Sequence[bytes], start: int, stop: int) -> PendingRead:
        pipeline = self._client.pipeline(transaction=False)
        for key in keys:
            pipeline.getrange(key, start, stop - 1)  # type: ignore[arg-type]
        return _PipelinedRead(pipeline)


class _PipelinedRead:
    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline

    def result(self) -> list[bytes]:
        values: list[bytes] = self._pipeline.execute()
        return values

    def cancel(self) -> None:
        """Nothing was sent yet."""


class DirectRangeReads:
    """Reads over a connection of the client's pool.

    A pipeline of redis-py encodes each argument of each command anew, which for
    small bitmaps takes longer than everything else together.  Here the commands
    differ in nothing but the key, so they are put together from ready parts; and
    the server works on them while the caller works on what came before.
    """

    def __init__(self, client: Redis) -> None:
        self._pool: Any = client.connection_pool

    def ask(self, keys: Sequence[bytes], start: int, stop: int) -> PendingRead:
        request = b"".join(_getranges(keys, start, stop - 1))
        return _DirectRead(self._pool, request, len(keys))


class _DirectRead:
    def __init__(self, pool: Any, request: bytes, replies: int) -> None:
        self._pool = pool
        self._request = request
        self._replies = replies
        self._connection: Any = None
        self._repeating(self._send)

    def result(self) -> list[bytes]:
        values: list[bytes] = self._repeating(self._receive)
        self._pool.release(self._connection)
        self._connection = None
        return values

    def cancel(self) -> None:
        if self._connection is not None:
            # Replies that nobody will read must not meet the next question.
            self._connection.disconnect()
            self._pool.release(self._connection)
            self._connection = None

    def _repeating(self, step: Callable[[], Any]) -> Any:
        """Take *step*, a second time if the server had closed an idle connection."""
        try:
            try:
                return step()
            except redis.TimeoutError:
                raise
            except redis.ConnectionError:
                self.cancel()
                return step()
        except BaseException:
            self.cancel()
            raise

    def _send(self) -> None:
        self._connection = self._pool.get_connection("GETRANGE")
        self._connection.send_packed_command([self._request])

    def _receive(self) -> list[bytes]:
        if self._connection is None:
            self._send()
        read = self._connection.read_response
        return [read(disable_decoding=True) for _ in range(self._replies)]


def _getranges(keys: Sequence[bytes], first: int, last: int) -> Iterator[bytes]:
    """Yield GETRANGE commands in the Redis serialization protocol."""
    bounds = b"".join(
        b"\r\n$%d\r\n%d" % (len(str(each)), each) for each in (first, last)
    )
    for key in keys:
        yield b"*4\r\n$8\r\nGETRANGE\r\n$%d\r\n%b%b\r\n" % (len(key), key, bounds)
