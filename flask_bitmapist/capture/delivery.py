"""Bringing marks to Redis in one round trip, and reading what it says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from redis.exceptions import ResponseError

from ..store.catalogue import Catalogue
from . import wire
from .bits import Mark

if TYPE_CHECKING:
    from redis import Redis

    from .idmap import IdMap

# Errors of single keys; the same command would meet them again for ever.
_FINAL = re.compile(r"WRONGTYPE|bit offset|maximum allowed size", re.IGNORECASE)


class Refused(NamedTuple):
    """A mark that Redis will never take."""

    mark: Mark
    error: Exception


class Delivery:
    """Writes marks through one client.

    Args:
        client: The client; its timeouts are how long a caller may have to wait.
        id_map: Where keys of users become ids, if they are not ids already.
    """

    def __init__(self, client: Redis, id_map: IdMap | None = None) -> None:
        self.client = client
        self._writer = wire.GroupWriter(client)
        self._is_direct = wire.has_connections(client)
        self._id_map = id_map
        self._catalogue = Catalogue(client, client)

    def write(self, marks: Sequence[Mark], pipelined: bool = True) -> list[Refused]:
        """Write *marks*.

        Args:
            marks: What to write.
            pipelined: All in one round trip; else each bit of a single mark in
                one of its own.

        Returns:
            The marks that Redis will never take, each with its error.

        Raises:
            redis.exceptions.RedisError: Redis does not take marks now.  Some may be
                written; writing all of them again is safe.
        """
        ids = self._ids(marks)
        if len(marks) == 1 and self._is_direct:
            keys: Sequence[bytes] = marks[0].bits.keys
            replies = self._write_one(marks[0], ids, pipelined)
        else:
            groups = _groups(marks, ids)
            keys = [group.key for group in groups]
            replies = self._writer.write(groups)
        refused: list[Refused] = []
        if wire.first_error(replies) is not None:
            refused = _refused(marks, _refused_keys(keys, replies))
        self._register(marks)
        return refused

    def ping(self) -> None:
        """Find out whether Redis answers.

        Raises:
            redis.exceptions.RedisError: It does not.
        """
        self.client.ping()

    def _write_one(
        self, mark: Mark, ids: dict[Any, int], pipelined: bool
    ) -> list[wire.Reply]:
        user = ids.get(mark.user, mark.user)
        if pipelined:
            return wire.send_mark(self.client, mark, user)
        end = wire.tail(int(user), mark.value)
        return [
            reply
            for head in mark.bits.heads
            for reply in wire.send(self.client, head + end, 1)
        ]

    def _ids(self, marks: Sequence[Mark]) -> dict[Any, int]:
        keys = [mark.user for mark in marks if isinstance(mark.user, str)]
        if not keys or self._id_map is None:
            return {}
        ids: dict[Any, int] = self._id_map.ids(keys)
        return ids

    def _register(self, marks: Sequence[Mark]) -> None:
        self._catalogue.register(
            {mark.bits.event for mark in marks if mark.bits.hour is not None},
            {mark.bits.event for mark in marks if mark.bits.unique},
        )


def _groups(marks: Sequence[Mark], ids: dict[Any, int]) -> list[wire.Group]:
    if not all(mark.value for mark in marks):
        # Marks and their taking back keep their order.
        return [
            wire.Group(key, (int(ids.get(mark.user, mark.user)),), mark.value)
            for mark in marks
            for key in mark.bits.keys
        ]
    users_of: dict[bytes, set[int]] = {}
    for mark in marks:
        user = int(ids.get(mark.user, mark.user))
        for key in mark.bits.keys:
            users = users_of.get(key)
            if users is None:
                users_of[key] = users = set()
            users.add(user)
    return [wire.Group(key, users, 1) for key, users in users_of.items()]


def _refused_keys(
    keys: Sequence[bytes], replies: Sequence[wire.Reply]
) -> dict[bytes, ResponseError]:
    """Return the keys that Redis will never take, each with its error."""
    refused = {}
    some_taken = not all(isinstance(reply, ResponseError) for reply in replies)
    for key, reply in zip(keys, replies):
        if not isinstance(reply, ResponseError):
            continue
        if not _is_final(reply, some_taken):
            raise reply
        refused[key] = reply
    return refused


def _is_final(error: ResponseError, some_taken: bool) -> bool:
    if _FINAL.search(str(error)):
        return True
    # Redis says in capitals what state it is in (OOM, READONLY, MISCONF, ...), for
    # which redis-py mostly has classes.  An error without that, while it takes other
    # bits, is one of the bit.
    speaks_of_itself = type(error) is not ResponseError or re.match(
        r"[A-Z]{3,} ", str(error)
    )
    return some_taken and not speaks_of_itself


def _refused(marks: Sequence[Mark], keys: dict[bytes, ResponseError]) -> list[Refused]:
    refused = []
    for mark in marks:
        error = next((keys[key] for key in mark.bits.keys if key in keys), None)
        if error is not None:
            refused.append(Refused(mark, error))
    return refused
