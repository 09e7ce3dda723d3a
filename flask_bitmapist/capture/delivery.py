"""Bringing marks to Redis in one round trip, and reading what it says."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
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


class Group(NamedTuple):
    """SETBITs of one key."""

    head: bytes
    users: Collection[int]
    value: int


class Delivery:
    """Writes marks through one client.

    Args:
        client: The client; its timeouts are how long a caller may have to wait.
        id_map: Where keys of users become ids, if they are not ids already.
    """

    def __init__(self, client: Redis, id_map: IdMap | None = None) -> None:
        self.client = client
        self._id_map = id_map
        self._catalogue = Catalogue(client, client)

    def write(self, marks: Sequence[Mark], pipelined: bool = True) -> list[Refused]:
        """Write *marks*.

        Args:
            marks: What to write.
            pipelined: All in one round trip; else one after the other.

        Returns:
            The marks that Redis will never take, each with its error.

        Raises:
            redis.exceptions.RedisError: Redis does not take marks now.  Some may be
                written; writing all of them again is safe.
        """
        ids = self._ids(marks)
        if len(marks) == 1 and pipelined:
            # The usual case: nothing to gather.
            mark = marks[0]
            replies = wire.send_mark(self.client, mark, ids.get(mark.user, mark.user))
        else:
            replies = _send(self.client, _groups(marks, ids), pipelined)
        refused: list[Refused] = []
        if wire.first_error(replies) is not None:
            refused = _refused(marks, _refused_heads(_groups(marks, ids), replies))
        self._register(marks)
        return refused

    def ping(self) -> None:
        """Find out whether Redis answers.

        Raises:
            redis.exceptions.RedisError: It does not.
        """
        self.client.ping()

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


def _groups(marks: Sequence[Mark], ids: dict[Any, int]) -> list[Group]:
    if not all(mark.value for mark in marks):
        # Marks and their taking back keep their order.
        return [
            Group(head, (int(ids.get(mark.user, mark.user)),), mark.value)
            for mark in marks
            for head in mark.bits.heads
        ]
    users_of: dict[bytes, dict[int, None]] = {}
    for mark in marks:
        user = int(ids.get(mark.user, mark.user))
        for head in mark.bits.heads:
            users_of.setdefault(head, {})[user] = None
    return [Group(head, users, 1) for head, users in users_of.items()]


def _send(client: Redis, groups: Sequence[Group], pipelined: bool) -> list[wire.Reply]:
    commands = [
        head + wire.tail(user, value) for head, users, value in groups for user in users
    ]
    if pipelined:
        return wire.send(client, b"".join(commands), len(commands))
    return [reply for each in commands for reply in wire.send(client, each, 1)]


def _refused_heads(
    groups: Sequence[Group], replies: Sequence[wire.Reply]
) -> dict[bytes, ResponseError]:
    """Return the keys that Redis will never take, each with its error."""
    refused = {}
    some_taken = any(isinstance(reply, int) for reply in replies)
    for head, reply in zip(_heads(groups), replies):
        if isinstance(reply, int):
            continue
        if not _is_final(reply, some_taken):
            raise reply
        refused[head] = reply
    return refused


def _heads(groups: Sequence[Group]) -> Iterator[bytes]:
    for head, users, _ in groups:
        for _user in users:
            yield head


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


def _refused(marks: Sequence[Mark], heads: dict[bytes, ResponseError]) -> list[Refused]:
    refused = []
    for mark in marks:
        error = next((heads[head] for head in mark.bits.heads if head in heads), None)
        if error is not None:
            refused.append(Refused(mark, error))
    return refused
