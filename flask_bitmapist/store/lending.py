"""Connections to one server, each lent for one exchange at a time."""

from __future__ import annotations

import inspect
import os
import weakref
from collections.abc import MutableMapping, Sequence
from typing import TYPE_CHECKING, Any

from redis.connection import ConnectionPool

from .replies import has_error

if TYPE_CHECKING:
    from redis import Redis

# Before version 5.3 redis-py wants the name of a command here, from then on it warns.
_parameters = inspect.signature(ConnectionPool.get_connection).parameters
_WANTS_NAME = (
    "command_name" in _parameters
    and _parameters["command_name"].default is inspect.Parameter.empty
)

# What redis-py takes for no limit.
_ANY_NUMBER = 2**31


def take_connection(pool: Any) -> Any:
    """Return a connection of *pool*, connected; give it back with ``release``."""
    return pool.get_connection("GETRANGE") if _WANTS_NAME else pool.get_connection()


class Lender:
    """Lends connections of a pool.

    Args:
        pool: The pool.
    """

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    def take(self) -> Any:
        """Return a connection; give it back, or drop it.

        Raises:
            redis.RedisError: The server cannot be connected to.
        """
        return take_connection(self._pool)

    def give_back(self, connection: Any, replies: Sequence[Any]) -> None:
        """Take a connection back.

        Args:
            connection: The connection.
            replies: What came over it: a reply to each command.
        """
        self._pool.release(connection)

    def drop(self, connection: Any) -> None:
        """Close a connection over which something may still come."""
        connection.disconnect()
        self._pool.release(connection)


class SparingLender(Lender):
    """Keeps connections out of their pool until the next question.

    Before a pool lends a connection it looks whether that is closed, or something came
    over it that nobody waits for.  For small bitmaps that takes a twentieth of the
    question's time.  Of the two the first is found out anyway, when the server does not
    answer (:class:`~flask_bitmapist.store.pipeline.Repeated` asks again).  What nobody
    waits for could only be an error, as some proxies send before they close: so after
    any error a connection is closed, for the replies after it may be still to come.

    All who ask through one pool share them, and there are never more than were needed
    at once.
    """

    def __init__(self, pool: Any) -> None:
        super().__init__(pool)
        self._spare = _spare_of.setdefault(pool, _Spare())

    def take(self) -> Any:
        connection = self._spare.take()
        return super().take() if connection is None else connection

    def give_back(self, connection: Any, replies: Sequence[Any]) -> None:
        if has_error(replies):
            self.drop(connection)
        else:
            self._spare.connections.append(connection)

    def drop(self, connection: Any) -> None:
        # What happened to this one may have happened to all: the pool shall look.
        while (other := self._spare.take()) is not None:
            self._pool.release(other)
        super().drop(connection)


class _Spare:
    """Connections that nobody uses."""

    def __init__(self) -> None:
        self.connections: list[Any] = []
        self._process = os.getpid()

    def take(self) -> Any:
        """Return one of them, None if there is none."""
        if self._process != os.getpid():
            # What was there before a fork belongs to the other process.
            self.connections.clear()
            self._process = os.getpid()
        try:
            return self.connections.pop()
        except IndexError:
            return None


_spare_of: MutableMapping[ConnectionPool, _Spare] = weakref.WeakKeyDictionary()
"""Of each pool the connections that are out of it, as long as the pool is there."""


def lender(client: Redis) -> Lender:
    """Return what lends connections of a client's pool."""
    pool: Any = client.connection_pool
    # Whoever limits connections counts on those that are not in use; those of Sentinel
    # are closed when another server takes over; and where passwords change with time,
    # a pool renews them.
    spares = (
        type(pool) is ConnectionPool
        and pool.max_connections >= _ANY_NUMBER
        and not pool.connection_kwargs.get("credential_provider")
    )
    return SparingLender(pool) if spares else Lender(pool)
