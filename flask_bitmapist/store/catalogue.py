"""Which events and flags there are."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, NamedTuple

import redis

from .eventkeys import EventKey, event_keys

if TYPE_CHECKING:
    from redis import Redis

EVENTS_KEY = "flask-bitmapist:events"
FLAGS_KEY = "flask-bitmapist:flags"
"""Sets of the names that this package has marked.  Plain bitmapist, whose keys begin
with ``trackist_``, never sees them."""

# A name is told to Redis again after so many seconds, in case the set was lost.
_REGISTERED_FOR = 3600.0

_logger = logging.getLogger(__name__)


class Names(NamedTuple):
    """Names in Redis."""

    events: frozenset[str]
    flags: frozenset[str]


@dataclass(frozen=True)
class Scan:
    """What a walk over all keys found, and when."""

    at: datetime
    names: Names
    unreadable: int
    """Keys of bitmapist's whose name is not UTF-8; they are left out."""


class Catalogue:
    """Knows the names of the events and flags in one store.

    Names that were marked through this package stand in two sets of Redis, which
    takes a constant number of commands to read.  What plain bitmapist wrote is found
    by a walk over all keys: once for each process, and again when it is asked for.

    Args:
        read: The client to read through.
        write: The client to write through.
    """

    def __init__(self, read: Redis, write: Redis) -> None:
        self._read = read
        self._write = write
        self._scan: Scan | None = None
        self._registered: dict[tuple[str, str], float] = {}
        self._has_sets = True

    @property
    def scan(self) -> Scan | None:
        """The latest walk over all keys, or None before the first."""
        return self._scan

    def names(self, refresh: bool = False) -> list[str]:
        """Return the names of all events, sorted.

        Args:
            refresh: Walk over all keys, although that has been done before.
        """
        return sorted(self.all_names(refresh).events)

    def flags(self, refresh: bool = False) -> list[str]:
        """Return the names of all unique events, sorted; as :meth:`names`."""
        return sorted(self.all_names(refresh).flags)

    def all_names(self, refresh: bool = False) -> Names:
        """Return the names of all events and flags; as :meth:`names`."""
        scan = self._scan
        if scan is None or refresh:
            scan = self._scan = self._walk()
        registered = self._registered_names()
        return Names(
            scan.names.events | registered.events, scan.names.flags | registered.flags
        )

    def register(self, events: Iterable[str] = (), flags: Iterable[str] = ()) -> None:
        """Make names known that are about to be marked.

        Costs nothing for a name that this process has registered lately.  A store
        that refuses is left alone: its events are then found by the walk.
        """
        for key, names in ((EVENTS_KEY, events), (FLAGS_KEY, flags)):
            new = [name for name in names if self._is_new(key, name)]
            if new and self._has_sets:
                self._add(key, new)

    def _is_new(self, key: str, name: str) -> bool:
        registered = self._registered.get((key, name))
        return registered is None or time.monotonic() - registered > _REGISTERED_FOR

    def _add(self, key: str, names: list[str]) -> None:
        try:
            self._write.sadd(key, *names)
        except redis.ResponseError as error:
            _logger.info("event names could not be registered in Redis: %s", error)
        # A refusal is remembered as well, or each mark would meet it again.
        now = time.monotonic()
        self._registered.update(((key, name), now) for name in names)

    def _registered_names(self) -> Names:
        if not self._has_sets:
            return Names(frozenset(), frozenset())
        pipeline = self._read.pipeline(transaction=False)
        pipeline.smembers(EVENTS_KEY)
        pipeline.smembers(FLAGS_KEY)
        try:
            events, flags = pipeline.execute()
        except redis.ResponseError as error:
            _logger.info("event names are found by scanning all keys: %s", error)
            self._has_sets = False
            return Names(frozenset(), frozenset())
        return Names(frozenset(_decoded(events)), frozenset(_decoded(flags)))

    def forget(self, events: Iterable[str] = (), flags: Iterable[str] = ()) -> None:
        """Take names out that have been deleted.

        Other processes go on to list them until they look through all keys again.
        """
        gone = Names(frozenset(events), frozenset(flags))
        for key, names in ((EVENTS_KEY, gone.events), (FLAGS_KEY, gone.flags)):
            for name in names:
                self._registered.pop((key, name), None)
            if names and self._has_sets:
                self._write.srem(key, *names)
        if self._scan is not None:
            known = self._scan.names
            left = Names(known.events - gone.events, known.flags - gone.flags)
            self._scan = replace(self._scan, names=left)

    def keys(self, event: str | None = None) -> Iterator[EventKey]:
        """Yield the keys of bitmaps, found by a walk over all keys of Redis.

        Args:
            event: Only those of this event and of the flag of this name.
        """
        self._registered_names()  # tells whether this is a store without sets
        return event_keys(self._read, event, slashes=not self._has_sets)

    def _walk(self) -> Scan:
        events: set[bytes] = set()
        flags: set[bytes] = set()
        for key in self.keys():
            (flags if key.is_flag else events).add(key.name)
        found = Names(frozenset(_decoded(events)), frozenset(_decoded(flags)))
        left_out = len(events) + len(flags) - len(found.events) - len(found.flags)
        return Scan(datetime.now(tz=timezone.utc), found, left_out)


def _decoded(names: Iterable[bytes]) -> Iterator[str]:
    for name in names:
        try:
            yield name.decode()
        except UnicodeDecodeError:
            continue
