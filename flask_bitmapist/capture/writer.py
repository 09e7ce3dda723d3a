"""Bringing bits to Redis, many in one round trip, and reading what it says."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from redis.exceptions import (
    RedisClusterException,
    RedisError,
    ResponseError,
)

from ..store.cluster import send
from .marks import Mark

if TYPE_CHECKING:
    from redis import Redis

    from ..analysis.results import User
    from ..identity import Identity
    from ..store.catalogue import Catalogue

FAILURES = (RedisError, RedisClusterException, OSError)
"""What may be raised where Redis does not take marks."""

# Bits in one command and in one round trip: Redis serves nobody else meanwhile.
_MOST_IN_COMMAND = 2000
_MOST_IN_TRIP = 10_000

_NO_BITFIELD = re.compile(r"unknown command|bitfield", re.IGNORECASE)

# Errors of single keys; the same command would meet them again for ever.
_FINAL = re.compile(r"WRONGTYPE|bit offset|maximum allowed size", re.IGNORECASE)


class Group(NamedTuple):
    """Bits of one key."""

    key: bytes
    users: Collection[int]
    value: int


@dataclass
class Written:
    """What Redis said."""

    taken: int = 0
    """Bits that are in Redis now."""
    new: int = 0
    """Those of them that were 0 before."""
    errors: dict[bytes, ResponseError] = field(default_factory=dict)
    """Why it did not take the bits of a key."""


class BitWriter:
    """Writes many bits of many keys through one client.

    One BITFIELD sets many bits of a key.  A store that does not know it, or an account
    that may not use it, gets a SETBIT for each, as a single bit does.

    Args:
        client: A redis-py client, also of a cluster.
    """

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._has_bitfield = True

    def write(self, groups: Sequence[Group]) -> Written:
        """Write *groups* in their order, in as few round trips as are short.

        Raises:
            redis.exceptions.RedisError: The connection failed; none, some or all bits
                may have been written.
        """
        written = Written()
        for trip in _trips(groups):
            refused = self._send(trip, written)
            if refused:
                self._has_bitfield = False
                self._send(refused, written)
        return written

    def _send(self, groups: Sequence[Group], written: Written) -> list[Group]:
        """Write *groups* and return those that need another command than BITFIELD."""
        has_bitfield = self._has_bitfield
        commands: list[tuple[Any, ...]] = []
        sent = []
        for group in groups:
            key, users, value = group
            if has_bitfield and len(users) > 1:
                words = [word for user in users for word in ("SET", "u1", user, value)]
                commands.append(("BITFIELD", key, *words))
                sent.append(group)
            else:
                commands += [("SETBIT", key, user, value) for user in users]
                sent += [group] * len(users)
        refused = []
        for group, reply in zip(sent, send(self._client, commands, writes=True)):
            if isinstance(reply, int):
                written.taken += 1
                written.new += not reply
            elif isinstance(reply, list):
                written.taken += len(reply)
                written.new += reply.count(0)
            elif (
                has_bitfield
                and len(group.users) > 1
                and _NO_BITFIELD.search(str(reply))
            ):
                refused.append(group)
            else:
                written.errors[group.key] = reply
        return refused


class Refused(NamedTuple):
    """A mark that will never be written: of somebody without a bit, or by Redis."""

    mark: Mark
    error: Exception


class Writer:
    """Writes marks through one client.

    Args:
        client: The client; its timeouts are how long a caller may have to wait.
        identity: Knows the users' bits.
        catalogue: Where the names of what is marked are made known, if anywhere.
    """

    def __init__(
        self,
        client: Redis,
        identity: Identity,
        catalogue: Catalogue | None = None,
    ) -> None:
        self._client = client
        self._bits = BitWriter(client)
        self._identity = identity
        self._catalogue = catalogue

    def write(self, marks: Sequence[Mark]) -> list[Refused]:
        """Write *marks*.

        Returns:
            The marks that will never be written, each with its error.

        Raises:
            redis.exceptions.RedisError: Redis does not take marks now.  Some may be
                written; writing all of them again is safe.
        """
        marks, found, unknown = self._users(marks)
        written = self._bits.write(_groups(marks, found))
        refused = [*unknown, *_refused(marks, written)] if written.errors else unknown
        if self._catalogue is not None:
            self._catalogue.register(
                {mark.bits.event for mark in marks if mark.bits.hour is not None},
                {mark.bits.event for mark in marks if mark.bits.unique},
            )
        return refused

    def queue(self, marks: Sequence[Mark]) -> list[Refused]:
        """Put *marks* on the client, a pipeline, which somebody else will execute.

        Returns:
            The marks of users without a bit, each with its error.
        """
        marks, found, unknown = self._users(marks)
        for key, users, value in _groups(marks, found):
            for user in users:
                self._client.setbit(key, user, value)
        return unknown

    def ping(self) -> None:
        """Find out whether Redis answers.

        Raises:
            redis.exceptions.RedisError: It does not.
        """
        self._client.ping()

    def _users(
        self, marks: Sequence[Mark]
    ) -> tuple[Sequence[Mark], dict[User, int], list[Refused]]:
        """Return the marks of users with a bit, their bits, and the other marks."""
        found, refused = self._identity.bits([mark.user for mark in marks])
        if not refused:
            return marks, found, []
        unknown = [
            Refused(mark, refused[mark.user]) for mark in marks if mark.user in refused
        ]
        return [mark for mark in marks if mark.user in found], found, unknown


def named(key: bytes, error: ResponseError) -> ResponseError:
    """Put the name of the key that it is about before an error's text."""
    error.args = (f"{key.decode('utf-8', 'backslashreplace')}: {error}",)
    return error


def _trips(groups: Sequence[Group]) -> Iterator[Sequence[Group]]:
    """Yield what goes to Redis in one round trip each."""
    if sum([len(users) for _, users, _ in groups]) <= _MOST_IN_COMMAND:
        yield groups
        return
    trip: list[Group] = []
    room = _MOST_IN_TRIP
    for group in chain.from_iterable(map(_parts, groups)):
        if len(group.users) > room:
            yield trip
            trip, room = [], _MOST_IN_TRIP
        trip.append(group)
        room -= len(group.users)
    if trip:
        yield trip


def _parts(group: Group) -> Sequence[Group]:
    if len(group.users) <= _MOST_IN_COMMAND:
        return (group,)
    users = list(group.users)
    return [
        group._replace(users=users[at : at + _MOST_IN_COMMAND])
        for at in range(0, len(users), _MOST_IN_COMMAND)
    ]


def _groups(marks: Sequence[Mark], bits: dict[User, int]) -> list[Group]:
    if len(marks) == 1 or not all(mark.value for mark in marks):
        # Marks and their taking back keep their order.
        groups = []
        for mark in marks:
            users = (bits[mark.user],)
            groups += [Group(key, users, mark.value) for key in mark.bits.keys]
        return groups
    users_of: dict[bytes, set[int]] = {}
    for mark in marks:
        user = bits[mark.user]
        for key in mark.bits.keys:
            users_of.setdefault(key, set()).add(user)
    return [Group(key, users, 1) for key, users in users_of.items()]


def _refused(marks: Sequence[Mark], written: Written) -> list[Refused]:
    """Return the marks that Redis will never take, or raise why it takes none now."""
    errors = written.errors
    for error in errors.values():
        if not _is_final(error, bool(written.taken)):
            raise error
    for key, error in errors.items():
        named(key, error)
    refused = []
    for mark in marks:
        found = next((errors[key] for key in mark.bits.keys if key in errors), None)
        if found is not None:
            refused.append(Refused(mark, found))
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
