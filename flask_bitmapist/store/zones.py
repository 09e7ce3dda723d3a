"""Whose days a store keeps: the time zone that is written into it.

It is a hash of Redis from a date to the zone that tells this date and those after it,
so that of several processes that begin a store the first one decides.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from datetime import date, datetime, timezone
from typing import TYPE_CHECKING, Any

from redis.exceptions import (
    NoPermissionError,
    RedisClusterException,
    RedisError,
    ResponseError,
)

from ..analysis.errors import Text
from ..analysis.periods import Calendar, to_utc

if TYPE_CHECKING:
    from redis import Redis

ZONES_KEY = "flask-bitmapist:zones"
"""Hash from the first date that a zone tells to the zone's name; and from
:data:`AHEAD` to the last hour of which anything was marked before it came."""

AHEAD = b"ahead"

TRUSTED_FOR = 60.0
"""Seconds for which a process does not look again."""

_FIRST = date.min.isoformat()

_logger = logging.getLogger("flask_bitmapist")


class Zones:
    """Knows the calendar of a store: the zone of its stamp, and the app's weeks.

    Args:
        declared: The calendar of the app's settings, which an unstamped store has.
    """

    def __init__(self, declared: Calendar) -> None:
        self.declared = declared
        self._calendar = declared
        self._ahead: datetime | None = None
        self._trusted_until = self._stamped_until = 0.0
        self._is_told = False

    @property
    def ahead(self) -> datetime | None:
        """The last hour, as a wall moment, of which anything was marked before it came.

        Questions read most periods at once, as long as nothing in them is still to
        come.  This is how they know, without a look at the store.  Plain bitmapist
        does not tell.
        """
        return self._ahead

    @property
    def known(self) -> Calendar:
        """The calendar, as far as this process knows it; the store is not asked."""
        return self._calendar

    @property
    def difference(self) -> Text | None:
        """What to say where the setting is another zone than the store's."""
        stored = self._calendar.zone_now
        if stored == self.declared.zone:
            return None
        return Text(
            "The days of this store are those of %(stored)s, which "
            "BITMAPIST_TIMEZONE (%(setting)s) does not change.",
            stored=stored,
            setting=self.declared.zone,
        )

    def calendar(self, *clients: Redis) -> Calendar:
        """Return the calendar for a question; look into the store once in a while.

        Args:
            clients: Where to look: at the first that may.  If it does not answer, or
                none may look, what was known holds.
        """
        if time.monotonic() < self._trusted_until:
            return self._calendar
        for client in clients:
            try:
                self._take(self._look(client))
                break
            except ResponseError:  # it has no hashes, or does not show this one
                self._trusted_until = time.monotonic() + TRUSTED_FOR
            except (RedisError, RedisClusterException, OSError):
                break
        return self._calendar

    def stamped(self, client: Redis) -> Calendar:
        """Return the calendar for marks that are about to be written.

        The first ones write the app's zone into the store.  One that has no hashes, or
        refuses, stays without it.

        Args:
            client: Where they are written.

        Raises:
            redis.RedisError: The store does not answer.
        """
        if time.monotonic() >= self._stamped_until:
            try:
                found = self._look(client)
                if not found:
                    client.hsetnx(ZONES_KEY, _FIRST, self.declared.zone)
                    found = self._look(client)
                self._take(found)
            except ResponseError as error:
                if not _is_final(error):
                    raise
                _logger.info("the time zone is not kept in Redis: %s", error)
            self._stamped_until = time.monotonic() + TRUSTED_FOR
        return self._calendar

    def expect(self, client: Redis, hour: datetime) -> None:
        """Note that something is about to be marked of an hour that has yet to come.

        Of any other hour there is nothing to note.

        Args:
            client: Where it is written.
            hour: The hour, as a wall moment; the latest of several.

        Raises:
            redis.RedisError: The store does not answer.
        """
        now = self._calendar.wall(datetime.now(timezone.utc))
        if hour <= now or (self._ahead is not None and hour <= self._ahead):
            return
        try:
            # Another process may have marked later ones since this one looked.
            self._look(client)
            if self._ahead is not None and hour <= self._ahead:
                return
            client.hset(ZONES_KEY, AHEAD.decode(), hour.isoformat())
        except ResponseError as error:
            if not _is_final(error):
                raise
            _logger.info("what is marked ahead is not kept in Redis: %s", error)
        self._ahead = hour

    def forget(self, client: Redis) -> None:
        """Take the zone out of a store that is emptied.

        Raises:
            redis.RedisError: The store does not answer, or refuses.
        """
        client.delete(ZONES_KEY)
        self._trusted_until = self._stamped_until = 0.0
        self._calendar = self.declared
        self._ahead = None

    def _look(self, client: Redis) -> Mapping[date, str]:
        """Return the zones of the store, and learn what was marked ahead."""
        found = _fields_in(client)
        self._ahead = _hour(found.pop(AHEAD, b""))
        return _zones_of(found)

    def _take(self, found: Mapping[date, str]) -> None:
        self._trusted_until = time.monotonic() + TRUSTED_FOR
        calendar = _calendar(found, self.declared)
        if calendar == self._calendar:
            return  # whoever has it already need not compare it
        self._calendar = calendar
        if not self._is_told and self.difference is not None:
            self._is_told = True
            _logger.warning("%s", self.difference)


def _is_final(error: ResponseError) -> bool:
    """Return whether a store will never keep a zone, and not only for a while."""
    said = str(error)
    return (
        isinstance(error, NoPermissionError)
        or said.startswith("WRONGTYPE")
        or "unknown command" in said.lower()
    )


def zones_in(client: Any) -> dict[date, str]:
    """Return what is written in a store.

    Returns:
        From the first date of each zone to its name, oldest first; empty where none is.

    Raises:
        redis.RedisError: The store does not answer, or has no hashes.
    """
    found = _fields_in(client)
    found.pop(AHEAD, None)
    return _zones_of(found)


def _fields_in(client: Any) -> dict[bytes, bytes]:
    # A client that the app has put into bitmapist's place may decode by itself.
    return {
        _encoded(name): _encoded(value)
        for name, value in client.hgetall(ZONES_KEY).items()
    }


def _encoded(text: bytes | str) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


def _zones_of(fields: Mapping[bytes, bytes]) -> dict[date, str]:
    found = {}
    for day, zone in fields.items():
        try:
            Calendar(zone.decode())
            found[date.fromisoformat(day.decode())] = zone.decode()
        except (ValueError, LookupError, OSError) as error:
            _logger.warning("%s: %s in %s is no zone: %s", day, zone, ZONES_KEY, error)
    return dict(sorted(found.items()))


def _hour(text: bytes) -> datetime | None:
    try:
        return to_utc(datetime.fromisoformat(text.decode()))
    except ValueError:
        return None


def write_zone(client: Redis, zone: str, first: date | None = None) -> None:
    """Write into a store which zone tells its days.

    Args:
        client: The store.
        zone: The zone.
        first: The first date that it tells; None for all of them.

    Raises:
        redis.RedisError: The store does not answer, or refuses.
    """
    field = _FIRST if first is None else first.isoformat()
    client.hset(ZONES_KEY, field, zone)


def _calendar(found: Mapping[date, str], declared: Calendar) -> Calendar:
    if not found:
        return declared
    first, *others = found.items()
    later: list[tuple[date, str]] = []
    zone = first[1]
    for day, name in others:
        if name != (later[-1][1] if later else zone):
            later.append((day, name))
    return Calendar(zone, declared.week_start, tuple(later))
