"""Which events and flags there are: the one place that knows their names."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, NamedTuple

from redis.exceptions import RedisClusterException, RedisError, ResponseError

from .connect import Command
from .cuts import seen_keys
from .keys import (
    EventKey,
    holds_users,
    is_of_hour,
    is_temporary,
    names_in,
    parse_key,
)

if TYPE_CHECKING:
    from redis import Redis

EVENTS_KEY = "flask-bitmapist:events"
FLAGS_KEY = "flask-bitmapist:flags"
"""Sets of the names that are known.  Plain bitmapist, whose keys begin with
``trackist_``, never sees them."""
WALKED_KEY = "flask-bitmapist:walked"
"""When a process last looked through all keys, and how many names it could not read."""
WALKING_KEY = "flask-bitmapist:walking"
"""Is there while a process looks through all keys."""

WALK_EVERY = timedelta(hours=1)
"""How old a walk may be before names are looked for anew."""
WALK_AGAIN_AFTER = timedelta(minutes=1)
"""How old a walk must be before a page may have names looked for anew."""
PAGE_WAITS = 1.0
"""Seconds that a page waits for the first walk."""

# A process that ended in its walk leaves it to others after so many seconds.
_WALK_TAKES = 60
_ASKED_AGAIN_AFTER = 0.05

# What was refused once is tried again after so many seconds.  A name that was there is
# taken to be there for so many, without asking.
_REFUSED_FOR = 3600.0
_KNOWN_FOR = 60.0

# bitmapist-server's patterns do not match a slash.
_WITH_SLASHES = ("trackist_*", "trackist_*/*", "trackist_*/*/*", "trackist_*/*/*/*")

_KEYS_AT_ONCE = 10_000
_NAMES_AT_ONCE = 1_000

_FAILURES = (RedisError, RedisClusterException, OSError)

_logger = logging.getLogger(__name__)


class Known(NamedTuple):
    """Names of events and flags."""

    events: frozenset[str] = frozenset()
    flags: frozenset[str] = frozenset()

    def __or__(self, other: Known) -> Known:
        return Known(self.events | other.events, self.flags | other.flags)

    def __sub__(self, other: Known) -> Known:
        return Known(self.events - other.events, self.flags - other.flags)


class Scan(NamedTuple):
    """A walk over all keys."""

    at: datetime
    """When it began."""
    unreadable: int
    """Names that are not UTF-8; they are left out."""
    has_hours: bool = True
    """Whether there was any bitmap of an hour; True where nobody looked for one."""


class Catalogue:
    """Knows the names of the events and flags in one store.

    They stand in two sets of Redis: each mark puts its own there, and a walk over all
    keys those that plain bitmapist wrote.  One process walks for all, when nobody has
    for an hour, and takes out what has no key any more.  What a process may not write
    into the store it keeps for itself.

    Args:
        read: The client to read through.
        write: The client to write through.
    """

    def __init__(self, read: Redis, write: Redis) -> None:
        self._read = read
        self._write = write
        self._scan: Scan | None = None
        # What this process has found, for as long as the store does not have it.
        self._found = Known()
        self._own_scan: Scan | None = None
        self._known = Known()
        self._known_until = 0.0
        self._has_sets = True
        self._refused_until = 0.0
        self._walk: tuple[Thread, Future[None]] | None = None

    # -- what is read

    @property
    def scan(self) -> Scan | None:
        """The latest walk over all keys that is known of, None before the first."""
        return self._scan

    def names(self, refresh: bool = False) -> list[str]:
        """Return the names of all events, sorted.

        Args:
            refresh: Walk over all keys, although that has been done before.

        Raises:
            redis.RedisError: The store does not answer.
        """
        return sorted(self.known(refresh).events)

    def flags(self, refresh: bool = False) -> list[str]:
        """Return the names of all flags, sorted; as :meth:`names`."""
        return sorted(self.known(refresh).flags)

    def known(self, refresh: bool = False, patience: float | None = None) -> Known:
        """Return the names of all events and flags.

        Args:
            refresh: Walk over all keys, although that has been done before.
            patience: Seconds to wait for a walk that is needed, which goes on by itself
                after that: until then there are only the names that marks have made
                known.  Where names were found before, those are given at once.  None
                waits to the end.

        Raises:
            redis.RedisError: The store does not answer.
        """
        known = self._stored()
        if refresh or self._age > WALK_EVERY:
            self._look(timedelta(0) if refresh else WALK_EVERY, patience)
            known = self._stored()
        return known

    def refresh(self, patience: float) -> bool:
        """Walk over all keys again, unless that was done a moment ago.

        Args:
            patience: Seconds to wait for the walk.

        Returns:
            Whether it may be; a store is walked over once a minute at most, whoever
            asks.
        """
        self._stored()
        if self._age < WALK_AGAIN_AFTER:
            return False
        self._look(WALK_AGAIN_AFTER, patience, wait=True)
        return True

    def keeps(self, name: str, flag: bool = False) -> bool:
        """Return whether the name of an event is kept, without looking for others.

        Args:
            name: The name.
            flag: Mean a flag, not an event.

        Raises:
            redis.RedisError: The store does not answer.
        """
        known = self._known if time.monotonic() < self._known_until else Known()
        if name not in known[flag]:
            known = self._stored()
        return name in known[flag]

    @property
    def _age(self) -> timedelta:
        if self._scan is None:
            return timedelta.max
        return datetime.now(tz=timezone.utc) - self._scan.at

    def _stored(self) -> Known:
        """Return the names that the store has, with what only this process knows."""
        known, scan = self._sets() if self._has_sets else (Known(), None)
        own = self._own_scan
        if own is not None and (scan is None or own.at > scan.at):
            known, scan = known | self._found, own
        self._scan = scan
        self._known, self._known_until = known, time.monotonic() + _KNOWN_FOR
        return known

    def _sets(self) -> tuple[Known, Scan | None]:
        pipeline = self._read.pipeline(transaction=False)
        pipeline.smembers(EVENTS_KEY)
        pipeline.smembers(FLAGS_KEY)
        pipeline.get(WALKED_KEY)
        try:
            events, flags, walked = pipeline.execute()
        except ResponseError as error:
            _logger.info("event names are found by scanning all keys: %s", error)
            self._has_sets = False
            return Known(), None
        return Known(decoded(events), decoded(flags)), _scan_of(walked)

    # -- what is written

    def naming(
        self, events: Iterable[str] = (), flags: Iterable[str] = ()
    ) -> list[Command]:
        """Return the commands that make names known, for the pipeline of their marks.

        They come after the marks: what stands in the sets has a key.

        Args:
            events: Names of events.
            flags: Names of flags.
        """
        if time.monotonic() < self._refused_until:
            return []
        named = (EVENTS_KEY, sorted(events)), (FLAGS_KEY, sorted(flags))
        return [("SADD", key, *names) for key, names in named if names]

    def answered(self, replies: Iterable[object]) -> None:
        """Take what the store said to :meth:`naming`.

        A store that refuses is left alone for an hour: a walk finds the events.
        """
        for reply in replies:
            if isinstance(reply, ResponseError):
                _logger.info("event names cannot be kept in Redis: %s", reply)
                self._refused_until = time.monotonic() + _REFUSED_FOR

    def register(self, events: Iterable[str]) -> None:
        """Make the names of events known, in a round trip of its own."""
        for command in self.naming(events):
            try:
                self._write.execute_command(*command)  # type: ignore[no-untyped-call]
            except ResponseError as error:
                self.answered([error])

    def forget(self, gone: Known) -> None:
        """Take names out that have been deleted.

        Raises:
            redis.RedisError: The store does not answer, or refuses.
        """
        self._known_until = 0.0
        self._found -= gone
        try:
            self._store(Known(), gone)
        except ResponseError:
            if self._has_sets:
                raise

    def _store(self, new: Known, gone: Known, scan: Scan | None = None) -> None:
        pipeline = self._write.pipeline(transaction=False)
        for key, added, removed in (
            (EVENTS_KEY, new.events, gone.events),
            (FLAGS_KEY, new.flags, gone.flags),
        ):
            for names in _parts(added):
                pipeline.sadd(key, *names)
            for names in _parts(removed):
                pipeline.srem(key, *names)
        if scan is not None:
            stamp = (f"{scan.at.timestamp():.6f}", scan.unreadable, int(scan.has_hours))
            pipeline.set(WALKED_KEY, " ".join(map(str, stamp)))
        pipeline.execute()

    # -- looking through all keys

    def keys(self, event: str | None = None) -> Iterator[EventKey]:
        """Yield the keys of bitmaps, each once, found by a walk over all keys.

        Args:
            event: Only those of this event and of the flag of this name.

        Raises:
            redis.RedisError: The store does not answer.
        """
        self._stored()  # tells whether this is a store without sets
        name = None if event is None else event.encode("utf-8", "surrogateescape")
        seen: set[bytes] = set()
        for key in self._all_keys(self._read, name):
            if key not in seen:
                seen.add(key)
                parsed = parse_key(key)
                if parsed is not None and name in (None, parsed.name):
                    yield parsed

    def holding_users(self) -> Iterator[bytes]:
        """Yield the keys of all that holds bits of users, each once, where marks go to.

        That is bitmaps, those of who did something at a time that was deleted, and what
        bitmapist's bit operations have left behind.

        Raises:
            redis.RedisError: The store does not answer.
        """
        self._stored()  # tells whether this is a store without sets
        yield from seen_keys(self._write)
        seen: set[bytes] = set()
        for key in self._all_keys(self._write):
            if key not in seen and holds_users(key):
                seen.add(key)
                yield key

    def temporary_keys(self) -> list[bytes]:
        """Return the keys that bit operations of bitmapist have left behind.

        Raises:
            redis.RedisError: The store does not answer.
        """
        self._stored()  # tells whether this is a store without sets
        found = set(self._all_keys(self._write, b"bitop"))
        return [key for key in sorted(found) if is_temporary(key)]

    def _look(
        self, oldest: timedelta, patience: float | None, wait: bool = False
    ) -> None:
        """Look through all keys, unless a walk is younger than *oldest*.

        Args:
            oldest: How old a walk may be.
            patience: Seconds to wait for it, as for :meth:`known`.
            wait: Wait also where names were found before.
        """
        if patience is None:
            self._walk_for_all(oldest)
            return
        waits = wait or self._scan is None  # read first: the thread will change it
        if self._walk is None or not self._walk[0].is_alive():
            done: Future[None] = Future()
            thread = Thread(
                target=_carry_out,
                args=(partial(self._walk_for_all, oldest), done),
                name="flask-bitmapist-walk",
                daemon=True,
            )
            self._walk = thread, done
            thread.start()
        if waits:
            with suppress(TimeoutError):
                self._walk[1].result(patience)

    def _walk_for_all(self, oldest: timedelta) -> None:
        """Walk over all keys, or wait for another process that does."""
        while not self._is_taken():
            time.sleep(_ASKED_AGAIN_AFTER)
        try:
            self._stored()
            if self._age >= oldest:
                self._walk_over_all()
        finally:
            with suppress(*_FAILURES):
                self._write.delete(WALKING_KEY)

    def _is_taken(self) -> bool:
        """Return whether the walk is this process's, for the store or for itself."""
        if not self._has_sets:
            return True
        try:
            return bool(self._write.set(WALKING_KEY, 1, nx=True, ex=_WALK_TAKES))
        except _FAILURES:
            return True

    def _walk_over_all(self) -> None:
        before = self._sets()[0] if self._has_sets else Known()
        at = datetime.now(tz=timezone.utc)
        found, unreadable, has_hours = self._walked(self._read)
        self._own_scan, self._found = Scan(at, unreadable, has_hours), found
        if not self._has_sets:
            return
        try:
            self._store(found - before, self._gone(before - found), self._own_scan)
        except _FAILURES as error:
            _logger.info("event names are kept in this process: %s", error)

    def _gone(self, missed: Known) -> Known:
        """Return those of the names that were missed that have no key indeed.

        Where marks go to is looked at: a replica may be late, or another store.
        """
        if missed == Known():
            return missed
        try:
            return missed - self._walked(self._write)[0]
        except ResponseError:
            return Known()

    def _walked(self, client: Redis) -> tuple[Known, int, bool]:
        """Return all names that keys have, how many more are not UTF-8, and whether
        any key is that of an hour."""
        has_hours = False

        def looked_at() -> Iterator[bytes]:
            nonlocal has_hours
            for key in self._all_keys(client):
                has_hours = has_hours or is_of_hour(key)
                yield key

        events, flags = names_in(looked_at())
        known = Known(decoded(events), decoded(flags))
        read = len(known.events) + len(known.flags)
        return known, len(events) + len(flags) - read, has_hours

    def _all_keys(self, client: Redis, name: bytes | None = None) -> Iterator[bytes]:
        """Yield keys that may be those of bitmaps, some of them more than once."""
        patterns: Sequence[bytes | str] = _WITH_SLASHES
        if self._has_sets:
            escaped = re.sub(rb"([\\*?\[\]^-])", rb"\\\1", name or b"")
            pattern = b"trackist_%b_*" % escaped if name is not None else b"trackist_*"
            patterns = (pattern,)
        for each in patterns:
            yield from client.scan_iter(match=each, count=_KEYS_AT_ONCE)


def _carry_out(work: Callable[[], None], done: Future[None]) -> None:
    try:
        work()
    except BaseException as error:  # for whoever waits
        _logger.info("event names could not be looked for: %s", error)
        done.set_exception(error)
    else:
        done.set_result(None)


def _scan_of(stamp: bytes | None) -> Scan | None:
    try:
        at, unreadable, *hours = (stamp or b"").split()
        moment = datetime.fromtimestamp(float(at), tz=timezone.utc)
        return Scan(moment, int(unreadable), hours != [b"0"])
    except (ValueError, OverflowError, OSError):
        return None


def _parts(names: Iterable[str]) -> Iterator[list[str]]:
    ordered = sorted(names)
    for at in range(0, len(ordered), _NAMES_AT_ONCE):
        yield ordered[at : at + _NAMES_AT_ONCE]


def decoded(names: Iterable[bytes]) -> frozenset[str]:
    """Return the names that are UTF-8, as text."""
    texts = set()
    for name in names:
        try:
            texts.add(name.decode())
        except UnicodeDecodeError:
            continue
    return frozenset(texts)
