"""Bringing marks to Redis, and telling those that it will never take."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from redis.exceptions import RedisClusterException, RedisError, ResponseError

from .bitwriter import BitWriter, Group, Written, named
from .marks import Mark

if TYPE_CHECKING:
    from redis import Redis

    from ..analysis.periods import Calendar
    from ..analysis.results import User
    from ..identity import Identity
    from ..store.catalogue import Catalogue
    from ..store.zones import Zones

FAILURES = (RedisError, RedisClusterException, OSError)
"""What may be raised where Redis does not take marks."""

# Errors of single keys; the same command would meet them again for ever.
_FINAL = re.compile(r"WRONGTYPE|bit offset|maximum allowed size", re.IGNORECASE)


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
        zones: Knows the store's calendar; None where marks are told by their own.
    """

    def __init__(
        self,
        client: Redis,
        identity: Identity,
        catalogue: Catalogue | None = None,
        zones: Zones | None = None,
    ) -> None:
        self._client = client
        self._zones = zones
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
        calendar = None
        if self._zones is not None:
            calendar = self._zones.stamped(self._client)
            told = [mark.at for mark in marks if mark.at is not None]
            if told:
                self._zones.expect(self._client, max(map(calendar.wall, told)))
        marks, found, unknown = self._users(marks)
        groups = _groups(marks, found, calendar)
        if self._catalogue is None:
            written = self._bits.write(groups)
        else:
            naming = self._catalogue.naming(
                {mark.bits.event for mark in marks if mark.bits.hour is not None},
                {mark.bits.event for mark in marks if mark.bits.unique},
            )
            written = self._bits.write(groups, naming)
            self._catalogue.answered(written.beside)
        if not written.errors:
            return unknown
        return [*unknown, *_refused(marks, written, calendar)]

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


def _groups(
    marks: Sequence[Mark], bits: dict[User, int], calendar: Calendar | None = None
) -> list[Group]:
    if len(marks) == 1 or not all(mark.value for mark in marks):
        # Marks and their taking back keep their order.
        groups = []
        for mark in marks:
            users = (bits[mark.user],)
            groups += [Group(key, users, mark.value) for key in mark.keys(calendar)]
        return groups
    users_of: dict[bytes, set[int]] = {}
    for mark in marks:
        user = bits[mark.user]
        for key in mark.keys(calendar):
            users_of.setdefault(key, set()).add(user)
    return [Group(key, users, 1) for key, users in users_of.items()]


def _refused(
    marks: Sequence[Mark], written: Written, calendar: Calendar | None
) -> list[Refused]:
    """Return the marks that Redis will never take, or raise why it takes none now."""
    errors = written.errors
    for error in errors.values():
        if not _is_final(error, bool(written.taken)):
            raise error
    for key, error in errors.items():
        named(key, error)
    refused = []
    for mark in marks:
        keys = mark.keys(calendar)
        found = next((errors[key] for key in keys if key in errors), None)
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
