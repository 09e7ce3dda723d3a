"""Setting many bits of many keys, each by the command that is cheapest for it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

from redis.exceptions import ConnectionError, ResponseError

from ..store.connect import Command, connection_to, is_cluster, send

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from redis import Redis

    Users = Collection[int] | NDArray[np.integer[Any]]

# Bits in one command and in one round trip: Redis serves nobody else meanwhile.
_MOST_IN_COMMAND = 2000
_MOST_IN_TRIP = 10_000

# To send, join and count so many bytes of a value takes as long as a bit by BITFIELD;
# and its commands cost as much as a few bits.
_BYTES_FOR_A_BIT = 600
_FEW = 64

# A value is made in memory, here and there.
_MOST_BYTES_OF_VALUE = 32 * 1024 * 1024
_MOST_BYTES_IN_TRIP = 4 * 1024 * 1024
# Up to so many bytes there may be a byte for each bit on the way.
_SHORT = 1024 * 1024

TEMPORARY = "flask-bitmapist:temporary:"
"""What the names of temporary keys begin with."""
EXPIRES_AFTER = 60
"""Seconds after which a temporary key is gone, whatever became of its writer."""

_UNKNOWN = re.compile(r"unknown command|bitfield|no permission", re.IGNORECASE)


class Group(NamedTuple):
    """Bits of one key."""

    key: bytes
    users: Users
    """The bits' numbers, none of them twice."""
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
    beside: list[Any] = field(default_factory=list)
    """What it said to the commands that went beside the bits."""


class BitWriter:
    """Writes many bits of many keys through one client.

    A single bit is written by SETBIT, many bits of a key by BITFIELD.  Where they are
    so many that a whole value is cheaper, it is put in a temporary key, joined to what
    is there by BITOP OR, and deleted again, in one transaction: bits that others set
    meanwhile stay.  A store that does not know a command, or an account that may not
    use it, gets the next simpler one.

    Args:
        client: A redis-py client, also of a cluster.
    """

    def __init__(self, client: Redis) -> None:
        self._client: Any = client
        self._has_bitfield = True
        self._has_values = True

    def write(self, groups: Sequence[Group], beside: Sequence[Command] = ()) -> Written:
        """Write *groups* in their order, in as few round trips as are short.

        Args:
            groups: What to write.
            beside: Commands that go with the last round trip, after its bits.

        Raises:
            redis.exceptions.RedisError: The connection failed; none, some or all bits
                may have been written.
        """
        written = Written()
        values, groups = self._worth_a_value(groups)
        # A transaction of a cluster has keys of one slot only.
        most = 0 if is_cluster(self._client) else _MOST_BYTES_IN_TRIP
        for some in _trips_of_values(values, most):
            groups += self._send_values(some, written)
        trips = list(_trips(groups)) or [()]
        for number, trip in enumerate(trips, start=1):
            last = number == len(trips)
            refused = self._send(trip, written, beside if last else ())
            if refused:
                self._has_bitfield = False
                self._send(refused, written)
        return written

    def _worth_a_value(
        self, groups: Sequence[Group]
    ) -> tuple[list[tuple[Group, int]], list[Group]]:
        """Tell the groups that are cheaper as whole values from all others.

        Returns:
            Those groups, each with the bytes that its key has; and the others.
        """
        # Where bits are cleared too, the order matters.
        if not self._has_values or not all(group.value for group in groups):
            return [], list(groups)
        dense = [_is_dense(group, 0) for group in groups]
        if not any(dense):
            return [], list(groups)
        # BITOP writes all of a bitmap anew, and it may be longer than what comes.
        asked = [group for group, is_dense in zip(groups, dense) if is_dense]
        lengths = send(
            self._client, [("STRLEN", group.key) for group in asked], writes=True
        )
        if any(_is_unknown(length) for length in lengths):
            self._has_values = False
            return [], list(groups)
        found = iter(lengths)
        values: list[tuple[Group, int]] = []
        others: list[Group] = []
        for group, is_dense in zip(groups, dense):
            length = next(found) if is_dense else None
            if isinstance(length, int) and _is_dense(group, length):
                values.append((group, length))
            else:
                others.append(group)
        return values, others

    def _send_values(
        self, values: Sequence[tuple[Group, int]], written: Written
    ) -> list[Group]:
        """Write groups as values and return those that this cannot be done for."""
        groups = [group for group, _ in values]
        if not self._has_values:
            return groups
        commands = [_commands_of_value(*value) for value in values]
        client = self._client
        failures: tuple[type[Exception], ...] = (ResponseError,)
        if is_cluster(client):
            client = connection_to(client, groups[0].key)
            failures = (ResponseError, ConnectionError)  # it may be elsewhere by now
        try:
            replies = _transaction(client, commands)
        except failures as error:
            # Each key is told its own error when its bits are written one by one.
            self._has_values = not _is_unknown(error)
            return groups
        refused = []
        for group, answers in zip(groups, replies):
            if any(isinstance(each, Exception) for each in answers):
                refused.append(group)
                continue
            before, *_, after = answers
            written.taken += len(group.users)
            written.new += after - before
        return refused

    def _send(
        self,
        groups: Sequence[Group],
        written: Written,
        beside: Sequence[Command] = (),
    ) -> list[Group]:
        """Write *groups* and return those that need another command than BITFIELD."""
        has_bitfield = self._has_bitfield
        commands: list[tuple[Any, ...]] = []
        sent = []
        for group in groups:
            key, users, value = group
            if has_bitfield and len(users) > 1:
                words: list[Any] = ["SET", "u1", 0, value] * len(users)
                words[2::4] = users
                commands.append(("BITFIELD", key, *words))
                sent.append(group)
            else:
                commands += [("SETBIT", key, user, value) for user in users]
                sent += [group] * len(users)
        refused = []
        replies = send(self._client, [*commands, *beside], writes=True)
        written.beside += replies[len(commands) :]
        for group, reply in zip(sent, replies):
            if isinstance(reply, int):
                written.taken += 1
                written.new += not reply
            elif isinstance(reply, list):
                written.taken += len(reply)
                written.new += reply.count(0)
            elif has_bitfield and len(group.users) > 1 and _is_unknown(reply):
                refused.append(group)
            else:
                written.errors[group.key] = reply
        return refused


def named(key: bytes, error: ResponseError) -> ResponseError:
    """Put the name of the key that it is about before an error's text."""
    error.args = (f"{key.decode('utf-8', 'backslashreplace')}: {error}",)
    return error


def temporary_key(key: bytes) -> bytes | None:
    """Return the name of the temporary key beside *key*, in its slot of a cluster.

    Returns:
        None if there is none: a name with braces that are no hash tag.

    Example:
        >>> temporary_key(b"trackist_x_2026-1")
        b'flask-bitmapist:temporary:{trackist_x_2026-1}'
    """
    start = key.find(b"{")
    end = key.find(b"}", start + 1) if start >= 0 else -1
    if end > start + 1:
        return TEMPORARY.encode() + key  # the key's own tag is the first in it
    if b"}" in key:
        return None
    return b"%b{%b}" % (TEMPORARY.encode(), key)


def _is_dense(group: Group, length: int) -> bool:
    """Return whether a value is cheaper, for a key that has *length* bytes already."""
    users = group.users
    if len(users) <= _FEW:
        return False
    size = _largest(users) // 8 + 1
    return (
        len(users) > _FEW + max(size, length) // _BYTES_FOR_A_BIT
        and size <= _MOST_BYTES_OF_VALUE
        and temporary_key(group.key) is not None
    )


def _is_array(users: Users) -> TypeGuard[NDArray[np.integer[Any]]]:
    return hasattr(users, "dtype")


def _plain(users: Users) -> list[int]:
    return users.tolist() if _is_array(users) else list(users)


def _largest(users: Users) -> int:
    return int(users.max()) if _is_array(users) else max(users)


def _value(users: Users) -> bytes:
    """Return the bitmap that has the bits of *users* and no others."""
    size = _largest(users) // 8 + 1
    value = bytearray(size)
    if not _is_array(users):
        for user in users:
            value[user >> 3] |= 128 >> (user & 7)
        return bytes(value)
    # It came as an array, so numpy is there; who only marks never loads it.
    import numpy as np

    if size <= _SHORT and len(users) > size // _FEW:
        flags = np.zeros(size * 8, dtype=np.bool_)
        flags[users] = True
        return np.packbits(flags).tobytes()
    numbers = np.sort(users)
    places = numbers >> 3
    firsts = np.flatnonzero(np.diff(places, prepend=-1))
    bits = (128 >> (numbers & 7)).astype(np.uint8)
    array = np.frombuffer(value, dtype=np.uint8)
    array[places[firsts]] = np.bitwise_or.reduceat(bits, firsts)
    return bytes(value)


def _commands_of_value(group: Group, length: int) -> list[tuple[Any, ...]]:
    """Return the commands that join bits to a key of *length* bytes.

    BITOP is ten times as fast where both are of one length, so each is first given
    that of the other.
    """
    key, users, _ = group
    beside, largest = temporary_key(key), _largest(users)
    commands: list[tuple[Any, ...]] = [
        ("BITCOUNT", key),
        ("SETBIT", key, largest, 1),
        ("SET", beside, _value(users), "EX", EXPIRES_AFTER),
        ("BITOP", "OR", key, key, beside),
        ("DEL", beside),
        ("BITCOUNT", key),
    ]
    if length > largest // 8 + 1:
        commands.insert(3, ("SETBIT", beside, length * 8 - 1, 0))
    return commands


def _transaction(
    client: Any, each: Sequence[Sequence[tuple[Any, ...]]]
) -> list[list[Any]]:
    """Carry out lists of commands in one transaction, and return the replies to each.

    Raises:
        redis.exceptions.ResponseError: One was refused, so that nothing is done.
    """
    pipeline = client.pipeline(transaction=True)
    for commands in each:
        for command in commands:
            pipeline.execute_command(*command)
    replies = iter(pipeline.execute(raise_on_error=False))
    return [[next(replies) for _ in commands] for commands in each]


def _is_unknown(reply: Any) -> bool:
    """Return whether Redis does not know a command, or an account may not use it."""
    return isinstance(reply, Exception) and bool(_UNKNOWN.search(str(reply)))


def _trips_of_values(
    values: Sequence[tuple[Group, int]], most_bytes: int
) -> Iterator[Sequence[tuple[Group, int]]]:
    trip: list[tuple[Group, int]] = []
    room = most_bytes
    for group, length in values:
        size = max(_largest(group.users) // 8 + 1, length)
        if trip and size > room:
            yield trip
            trip, room = [], most_bytes
        trip.append((group, length))
        room -= size
    if trip:
        yield trip


def _trips(groups: Sequence[Group]) -> Iterator[Sequence[Group]]:
    """Yield what goes to Redis in one round trip each."""
    if sum([len(group.users) for group in groups]) <= _MOST_IN_COMMAND:
        if groups:
            yield [part for group in groups for part in _parts(group)]
        return
    trip: list[Group] = []
    room = _MOST_IN_TRIP
    for group in groups:
        for part in _parts(group):
            if len(part.users) > room:
                yield trip
                trip, room = [], _MOST_IN_TRIP
            trip.append(part)
            room -= len(part.users)
    if trip:
        yield trip


def _parts(group: Group) -> Iterator[Group]:
    """Yield what of a group goes in one command, as plain numbers, the largest first.

    The bitmap then gets its final length at once.
    """
    numbers = _plain(group.users)
    if len(numbers) > _MOST_IN_COMMAND:
        numbers.sort(reverse=True)
    for at in range(0, len(numbers), _MOST_IN_COMMAND):
        yield group._replace(users=numbers[at : at + _MOST_IN_COMMAND])
