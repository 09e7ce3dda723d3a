"""Replies of Redis, taken from the socket as they are.

redis-py reads each reply with a dozen calls and copies its bytes twice, which for the
bitmaps of a usual question takes several times as long as the server and the network
together.  What comes here is always the same few kinds of reply, many in a row: they
are received into one piece of memory, and values are views of it.

Everything else about a connection stays redis-py's: opening, logging in, encryption,
timeouts, its pool.  Where a connection does not look as expected, redis-py reads.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, cast

import numpy as np
import redis
from redis.connection import DefaultParser

from ..analysis.memory import uninitialised
from .values import EqualValues

ErrorOf = Callable[[str], Exception]
"""Makes of the text of an error what redis-py would."""

HEAD = 32
"""More bytes than the longest line that comes before a value, or tells a number."""

SKIPPED_AT_ONCE = 256 * 1024

_VALUE = re.compile(rb"\$(\d+)\r\n").match
_BULK, _INTEGER, _ERROR, _STATUS = b"$", b":", b"-", b"+"


class Part:
    """Which bytes of values are kept, and how many there were.

    Args:
        start: The first byte of each value that is kept.
        stop: The first one after it that is not.
    """

    __slots__ = ("came", "start", "stop")

    def __init__(self, start: int, stop: int) -> None:
        self.start = start
        self.stop = stop
        self.came = 0
        """Bytes of the values that came in, also of what is not kept of them."""

    def of(self, value: bytes) -> bytes:
        """Return what is kept of *value*."""
        self.came += len(value)
        return value[self.start : self.stop]


def read_replies(
    connection: Any, count: int, largest: int, part: Part | None
) -> Sequence[Any]:
    """Read the replies to commands that were sent over *connection*.

    Args:
        connection: A connection of redis-py.
        count: How many replies there will be.
        largest: How many bytes a reply has at most, as far as is known; longer ones
            are read as well.
        part: Keep only this part of each value, and hold no more than that.

    Returns:
        The replies in order: values as bytes or views of bytes, None for a missing
        one, integers, errors.

    Raises:
        redis.ConnectionError: The connection broke.
        redis.TimeoutError: The server did not answer in time.
    """
    receiving = _socket_of(connection)
    # The one of a cluster knows more errors.
    error_of = getattr(connection, "_parser", DefaultParser).parse_error
    try:
        if receiving is None:
            return list(_through_redis_py(connection, count, part))
        if part is not None:
            return list(_parts(receiving, count, part, error_of))
        return _Arriving(receiving, count, largest, error_of).values()
    except redis.RedisError:
        connection.disconnect()
        raise
    except TimeoutError:
        connection.disconnect()
        raise redis.TimeoutError("Timeout while reading from Redis") from None
    except OSError as error:
        connection.disconnect()
        raise redis.ConnectionError(
            f"Error while reading from Redis: {error}"
        ) from error
    except BaseException:
        # The replies that were not read must not meet the next question.
        connection.disconnect()
        raise


def _socket_of(connection: Any) -> socket.socket | None:
    """Return the socket from which replies can be taken, if they can."""
    found = getattr(connection, "_sock", None)
    is_plain = str(getattr(connection, "protocol", 2)) == "2"
    return found if isinstance(found, socket.socket) and is_plain else None


def _through_redis_py(connection: Any, count: int, part: Part | None) -> Iterator[Any]:
    for _ in range(count):
        try:
            reply = connection.read_response(disable_decoding=True)
        except redis.ResponseError as error:
            reply = error
        yield part_of(reply, part)


def part_of(reply: Any, part: Part | None) -> Any:
    """Return the part of a value; b"" for a missing one, errors as they are."""
    if part is None or isinstance(reply, Exception):
        return reply
    return part.of(reply or b"")


def has_error(replies: Sequence[Any]) -> bool:
    """Return whether there is an error among replies."""
    if isinstance(replies, EqualValues):
        return False
    return any(isinstance(reply, Exception) for reply in replies)


class _Arriving:
    """Replies on their way into one piece of memory.

    Args:
        source: Where they come from.
        count: How many.
        largest: How many bytes one has at most, as far as is known.
        error_of: Makes errors.
    """

    def __init__(
        self, source: socket.socket, count: int, largest: int, error_of: ErrorOf
    ) -> None:
        self._source = source
        self._error_of = error_of
        self._count = count
        self._memory = uninitialised(count * (largest + HEAD)).data
        self._end = 0
        self._read_to = 0
        self._values: list[Any] = []

    def values(self) -> Sequence[Any]:
        """Wait for all replies and return them."""
        self._receive(HEAD)
        equal = self._all_equal()
        if equal is not None:
            return equal
        while True:
            wanted = self._take_complete()
            if len(self._values) == self._count:
                if self._read_to < self._end:
                    raise redis.ConnectionError("Protocol Error: too many replies")
                return self._values
            self._receive(wanted)

    def _all_equal(self) -> EqualValues | None:
        """Wait for all replies, as long as they are like the first one.

        Returns:
            All of them; or None as soon as one is not a value of the same length.
        """
        first = _VALUE(self._memory, 0, self._end)
        if first is None:
            return None
        head, memory = first[0], self._memory
        size = len(head) + int(first[1]) + 2
        if size * self._count > len(memory):
            return None
        rows = np.ndarray((self._count, size), np.uint8, memory)
        heads = rows[:, : len(head)]
        checked = 0
        while True:
            came = self._end // size
            if heads[checked:came].tobytes() != head * (came - checked):
                return None
            checked = came
            if came == self._count:
                complete = self._end == size * came
                return EqualValues(rows[:, len(head) : -2]) if complete else None
            # Of another kind of reply there might be nothing more to wait for.
            begun = memory[came * size : self._end][: len(head)]
            if not head.startswith(begun.tobytes()):
                return None
            self._receive(HEAD)

    def _receive(self, wanted: int) -> None:
        """Receive something; there is space for *wanted* bytes from the next reply."""
        if self._read_to + wanted > len(self._memory):
            rest = self._memory[self._read_to : self._end]
            # The values so far are views of what they came in.
            larger = uninitialised(2 * wanted + HEAD).data
            larger[: len(rest)] = rest
            self._memory, self._read_to, self._end = larger, 0, len(rest)
        received = self._source.recv_into(self._memory[self._end :])
        if not received:
            raise redis.ConnectionError("Connection closed by server.")
        self._end += received

    def _take_complete(self) -> int:
        """Take all replies that are there; return how many bytes the next one needs."""
        memory, end, at = self._memory, self._end, self._read_to
        values, count = self._values, self._count
        needed = HEAD
        while len(values) < count:
            head = _VALUE(memory, at, end)
            if head:
                after = head.end()
                stop = after + int(head[1])
                if stop + 2 > end:
                    needed = stop + 2 - at
                    break
                values.append(memory[after:stop])
                at = stop + 2
                continue
            line, complete, _ = memory[at:end].tobytes().partition(b"\r\n")
            if not complete:
                needed = end - at + HEAD
                break
            values.append(_simple(line, self._error_of))
            at += len(line) + 2
        self._read_to = at
        return needed


def _parts(
    source: socket.socket, count: int, part: Part, error_of: ErrorOf
) -> Iterator[Any]:
    """Yield the same part of each value; the rest of it is passed over."""
    with cast("BinaryIO", source.makefile("rb", SKIPPED_AT_ONCE)) as stream:
        for _ in range(count):
            line = _line(stream)
            if line[:1] != _BULK or line == b"$-1":
                reply = _simple(line, error_of)
                yield b"" if reply is None else reply
                continue
            size = int(line[1:])
            first, last = min(part.start, size), min(part.stop, size)
            part.came += size
            _skip(stream, first)
            value = _exactly(stream, last - first)
            _skip(stream, size - last + 2)
            yield value


def _line(stream: BinaryIO) -> bytes:
    line = stream.readline()
    if not line.endswith(b"\r\n"):
        raise redis.ConnectionError("Connection closed by server.")
    return line[:-2]


def _exactly(stream: BinaryIO, size: int) -> bytes:
    value = stream.read(size)
    if len(value) < size:
        raise redis.ConnectionError("Connection closed by server.")
    return value


def _skip(stream: BinaryIO, size: int) -> None:
    while size:
        size -= len(_exactly(stream, min(size, SKIPPED_AT_ONCE)))


def _simple(line: bytes, error_of: ErrorOf) -> Any:
    """Return what a reply of one line says.

    Raises:
        redis.ConnectionError: The server takes no questions, or it is none of Redis.
    """
    kind, rest = line[:1], line[1:]
    if kind == _INTEGER:
        return int(rest)
    if kind == _BULK:
        return None
    if kind == _STATUS:
        return rest
    if kind != _ERROR:
        raise redis.ConnectionError(f"Protocol Error: {line[:60]!r}")
    error = error_of(rest.decode("utf-8", "replace"))
    if isinstance(error, redis.ConnectionError):
        raise error
    return error
