"""The same command for many keys, in one round trip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Protocol

import redis
from redis.connection import (
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.sentinel import SentinelManagedConnection, SentinelManagedSSLConnection

from ..analysis.keeping import kept_while_few
from .lending import Lender, lender
from .replies import Part, part_of, read_replies

if TYPE_CHECKING:
    from redis import Redis

DIRECT = (
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)

Command = tuple[Any, ...]
"""Its name, its key and its arguments."""


class PendingReplies(Protocol):
    """Commands that are under way."""

    def result(self, part: Part | None = None) -> Sequence[Any]:
        """Wait for the replies, in the order of the keys; errors are among them.

        Args:
            part: Keep only these bytes of each value, b"" where a key has none.

        Raises:
            redis.RedisError: The connection failed.
        """

    def cancel(self) -> None:
        """Give the replies up, unless they were taken."""


class Sendable(PendingReplies, Protocol):
    """Commands that may be under way."""

    def send(self) -> None:
        """Send the commands."""


class Transport(Protocol):
    """Takes commands to the servers that hold the keys."""

    def ask(
        self, command: str, keys: Sequence[bytes], *arguments: int
    ) -> PendingReplies:
        """Send *command* once for each key, all with the same arguments."""

    def send(self, commands: Sequence[Command]) -> PendingReplies:
        """Send *commands*, each to the server that holds its key.

        They may be carried out twice, if a connection fails.
        """


class DirectTransport:
    """Over connections of a client's pool, without its pipeline.

    A pipeline of redis-py encodes each argument of each command anew, which for
    small bitmaps takes longer than everything else together.  Here the commands
    differ in nothing but the key, so they are put together from ready parts; and
    the server works on them while the caller works on what came before.
    """

    def __init__(self, client: Redis) -> None:
        self._client = client  # which closes its pool when nobody needs it
        self._lender = lender(client)

    def ask(
        self, command: str, keys: Sequence[bytes], *arguments: int
    ) -> PendingReplies:
        request = packed(command, tuple(keys), arguments)
        return self._exchange(request, len(keys), largest_reply(command, arguments))

    def send(self, commands: Sequence[Command]) -> PendingReplies:
        return self._exchange(_packed_before(tuple(commands)), len(commands))

    def _exchange(self, request: bytes, replies: int, largest: int = 0) -> Repeated:
        return Repeated(partial(Exchange, self._lender, request, replies, largest))


class PipelinedTransport:
    """Through redis-py's own pipeline: works with every client."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    def ask(
        self, command: str, keys: Sequence[bytes], *arguments: int
    ) -> PendingReplies:
        return self.send([(command, key, *arguments) for key in keys])

    def send(self, commands: Sequence[Command]) -> PendingReplies:
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
        return _Pipelined(pipeline)


class _Pipelined:
    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline

    def result(self, part: Part | None = None) -> Sequence[Any]:
        replies: list[Any] = self._pipeline.execute(raise_on_error=False)
        return [part_of(reply, part) for reply in replies]

    def cancel(self) -> None:
        """Nothing was sent yet."""


class Exchange:
    """Commands over one connection, and the replies to them.

    Args:
        lender: Where the connection is borrowed.
        request: The commands, in the Redis serialization protocol.
        replies: How many commands there are.
        largest: How many bytes a reply has at most, as far as is known.
    """

    def __init__(
        self, lender: Lender, request: bytes, replies: int, largest: int = 0
    ) -> None:
        self._lender = lender
        self._request = request
        self._replies = replies
        self._largest = largest
        self._connection: Any = lender.take()

    def send(self) -> None:
        """Send the commands."""
        self._connection.send_packed_command([self._request])

    def result(self, part: Part | None = None) -> Sequence[Any]:
        """Wait for the replies; see :class:`PendingReplies`."""
        replies = read_replies(self._connection, self._replies, self._largest, part)
        self._lender.give_back(self._connection, replies)
        self._connection = None
        return replies

    def cancel(self) -> None:
        """Give the replies up, unless they were taken."""
        if self._connection is not None:
            # Replies that nobody will read must not meet the next question.
            self._lender.drop(self._connection)
            self._connection = None


class Repeated:
    """Commands that are sent a second time if a connection turns out to be closed.

    A server closes connections that were idle.  One that is too slow is not asked
    again: whoever waits for it has waited long enough.

    Args:
        connect: Finds connections for the commands.
        look_again: Finds out where else to connect to, if connecting fails; without
            it there is nowhere else.
    """

    def __init__(
        self,
        connect: Callable[[], Sendable],
        look_again: Callable[[], object] | None = None,
    ) -> None:
        self._connect = connect
        self._look_again = look_again
        self._pending: Sendable | None = None
        self._repeated = False
        self._attempt(self._send)

    def result(self, part: Part | None = None) -> Sequence[Any]:
        """Wait for the replies; see :class:`PendingReplies`."""
        return self._attempt(partial(self._receive, part))

    def cancel(self) -> None:
        """Give the replies up, unless they were taken."""
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None

    def _attempt(self, step: Callable[[], Sequence[Any]]) -> Sequence[Any]:
        try:
            try:
                return step()
            except redis.ConnectionError:
                connected = self._pending is not None
                if self._repeated or not (connected or self._look_again):
                    raise
            self._repeated = True
            self.cancel()
            if self._look_again is not None:
                self._look_again()
            return step()
        except BaseException:
            self.cancel()
            raise

    def _send(self) -> Sequence[Any]:
        self._pending = self._connect()
        self._pending.send()
        return []

    def _receive(self, part: Part | None) -> Sequence[Any]:
        if self._pending is None:
            self._send()
        assert self._pending is not None
        replies = self._pending.result(part)
        self._pending = None
        return replies


def largest_reply(command: str, arguments: Sequence[Any]) -> int:
    """Return how many bytes the reply to a command has at most, 0 if unknown."""
    if command != "GETRANGE":
        return 0
    start, last = arguments
    return int(last) - int(start) + 1


@kept_while_few(lambda command, keys, arguments: len(keys))
def packed(command: str, keys: tuple[bytes, ...], arguments: tuple[int, ...]) -> bytes:
    """Put commands into the Redis serialization protocol.

    Args:
        command: The command.
        keys: What it is sent for, one by one.
        arguments: What comes after each key.

    Returns:
        The commands.
    """
    tail = b"".join(b"\r\n$%d\r\n%d" % (len(str(each)), each) for each in arguments)
    end = tail + b"\r\n"
    return end.join(_beginnings(command, len(arguments), keys)) + end


@kept_while_few(lambda command, arguments, keys: len(keys))
def _beginnings(
    command: str, arguments: int, keys: tuple[bytes, ...]
) -> tuple[bytes, ...]:
    """Return the commands up to their keys; of a long bitmap they are needed often."""
    name = command.encode()
    head = b"*%d\r\n$%d\r\n%b\r\n$" % (arguments + 2, len(name), name)
    return tuple([b"%b%d\r\n%b" % (head, len(key), key) for key in keys])


def packed_commands(commands: Sequence[Command]) -> bytes:
    """Put commands of any kind into the Redis serialization protocol."""
    return b"".join(map(_packed_command, commands))


@lru_cache(maxsize=4)
def _packed_before(commands: tuple[Command, ...]) -> bytes:
    """Put together what is asked again and again: in which years there is anything."""
    return packed_commands(commands)


def _packed_command(command: Command) -> bytes:
    words = [
        word if isinstance(word, bytes) else str(word).encode() for word in command
    ]
    return b"*%d\r\n" % len(words) + b"".join(
        [b"$%d\r\n%b\r\n" % (len(word), word) for word in words]
    )
