"""SETBITs to Redis: many in one round trip, with little work for each.

Marks are all that is sent here, and always the same command, so that it is put into
the protocol of Redis by hand: redis-py takes four times as long for a batch.
Connections, timeouts and replies remain those of redis-py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from redis.exceptions import ResponseError

from .bits import Mark

Reply: TypeAlias = "int | ResponseError"


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
        connection.send_packed_command([command])
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


def _reply(connection: Any) -> Reply:
    try:
        reply: int = connection.read_response()
    except ResponseError as error:
        return error
    return reply
