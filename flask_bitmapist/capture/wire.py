"""Bits to Redis: many in one round trip, with little work for each.

Marks are all that is sent here, and always in the same way, so that they are put into
the protocol of Redis by hand: redis-py takes four times as long for a batch.
Connections, timeouts and replies remain those of redis-py.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

from redis.exceptions import ResponseError

from .bits import Mark, setbit_head

# Bits in one command: Redis serves nobody else meanwhile.
_MOST_AT_ONCE = 2000

# The embedded store copies what it has not read yet with every word that it reads.
_PIECE = 32 * 1024

_NO_BITFIELD = re.compile(r"unknown command|bitfield", re.IGNORECASE)

Reply: TypeAlias = "int | list[int] | ResponseError"


class Group(NamedTuple):
    """Bits of one key."""

    key: bytes
    users: Collection[int]
    value: int


class GroupWriter:
    """Writes many bits of many keys through one client.

    One BITFIELD sets many bits of a key, and has one reply.  A store that does not
    know it, or an account that may not use it, gets a SETBIT for each.

    Args:
        client: A redis-py client.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        # A cluster has connections to many servers, and sorts commands itself.
        self._is_direct = has_connections(client)
        self._has_bitfield = True

    def write(self, groups: Sequence[Group]) -> list[Reply]:
        """Write *groups* in one round trip, in their order.

        Returns:
            For each group its old bits, or an error.

        Raises:
            redis.exceptions.RedisError: The connection failed.
        """
        if not self._is_direct:
            return self._with_pipeline(groups)
        if self._has_bitfield:
            replies = self._with_bitfield(groups)
            if not any(map(_is_no_bitfield, replies)):
                return replies
            self._has_bitfield = False
        return [self._with_setbit(group) for group in groups]

    def _with_bitfield(self, groups: Sequence[Group]) -> list[Reply]:
        parts = [_parts(group) for group in groups]
        commands = [_bitfield(part) for each in parts for part in each]
        replies = iter(send(self._client, b"".join(commands), len(commands)))
        return [_joined(list(islice(replies, len(each)))) for each in parts]

    def _with_setbit(self, group: Group) -> Reply:
        head = setbit_head(group.key)
        command = b"".join(head + tail(user, group.value) for user in group.users)
        return _joined(send(self._client, command, len(group.users)))

    def _with_pipeline(self, groups: Sequence[Group]) -> list[Reply]:
        pipeline = self._client.pipeline(transaction=False)
        for key, users, value in groups:
            for user in users:
                pipeline.setbit(key, user, value)
        replies = iter(pipeline.execute(raise_on_error=False))
        return [_joined(list(islice(replies, len(each.users)))) for each in groups]


def has_connections(client: Any) -> bool:
    """Return whether :func:`send` can be used with *client*."""
    return hasattr(getattr(client, "connection_pool", None), "get_connection")


def tail(offset: int, value: int) -> bytes:
    """Return the last two words of SETBIT in the protocol of Redis."""
    digits = b"%d" % offset
    return b"$%d\r\n%b\r\n$1\r\n%d\r\n" % (len(digits), digits, value)


def send(client: Any, command: bytes, replies: int) -> list[Reply]:
    """Send packed commands at once and return the reply to each.

    Args:
        client: A redis-py client.
        command: The commands in the protocol of Redis.
        replies: How many commands there are.

    Returns:
        The old bit, or the error, of each.

    Raises:
        redis.exceptions.RedisError: The connection failed; none, some or all of the
            commands may have been carried out.
    """
    pool = client.connection_pool
    connection = pool.get_connection()
    try:
        connection.send_packed_command(_pieces(command))
        return [_reply(connection) for _ in range(replies)]
    except BaseException:
        # Replies may still be on their way: nobody else may read them.
        connection.disconnect()
        raise
    finally:
        pool.release(connection)


def send_mark(client: Any, mark: Mark, user: int | str) -> list[Reply]:
    """Write the bits of one mark, of the user with the id *user*, at once."""
    heads = mark.bits.heads
    end = tail(int(user), mark.value)
    return send(client, end.join(heads) + end, len(heads))


def queue_mark(pipeline: Any, mark: Mark, user: int) -> None:
    """Put the bits of a mark on somebody else's pipeline, which they will execute."""
    for key in mark.bits.keys:
        pipeline.setbit(key, user, mark.value)


def first_error(replies: Iterable[Reply]) -> ResponseError | None:
    """Return the first error among *replies*."""
    return next((each for each in replies if isinstance(each, Exception)), None)


def _pieces(command: bytes) -> list[bytes]:
    if len(command) <= _PIECE:
        return [command]
    return [command[at : at + _PIECE] for at in range(0, len(command), _PIECE)]


def _parts(group: Group) -> list[Group]:
    if len(group.users) <= _MOST_AT_ONCE:
        return [group]
    users = iter(group.users)
    parts: Iterator[list[int]] = iter(lambda: list(islice(users, _MOST_AT_ONCE)), [])
    return [group._replace(users=part) for part in parts]


def _bitfield(group: Group) -> bytes:
    key, users, value = group
    head = b"*%d\r\n$8\r\nBITFIELD\r\n$%d\r\n%b\r\n" % (
        2 + 4 * len(users),
        len(key),
        key,
    )
    end = b"\r\n$1\r\n%d\r\n" % value
    digits = [b"%d" % user for user in users]
    return head + b"".join(
        [b"$3\r\nSET\r\n$2\r\nu1\r\n$%d\r\n%b%b" % (len(d), d, end) for d in digits]
    )


def _joined(replies: Sequence[Reply]) -> Reply:
    old: list[int] = []
    for reply in replies:
        if isinstance(reply, ResponseError):
            return reply
        if isinstance(reply, Exception):
            # In a cluster one server may be out of reach, and others not.
            raise reply
        if isinstance(reply, int):
            old.append(reply)
        else:
            old += reply
    return old


def _is_no_bitfield(reply: Reply) -> bool:
    return isinstance(reply, ResponseError) and bool(_NO_BITFIELD.search(str(reply)))


def _reply(connection: Any) -> Reply:
    try:
        reply: Reply = connection.read_response()
    except ResponseError as error:
        return error
    return reply
