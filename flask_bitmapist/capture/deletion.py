"""Deleting what is kept of events: first a plan to look at, then the deed."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import redis

from ..analysis.bitmaps import Bitmaps, user_ids
from ..analysis.counting import count_bits
from ..analysis.errors import QueryError
from ..analysis.expressions import SEEN_BEFORE, Cut, Source
from ..analysis.periods import shorten, to_utc
from ..store.catalogue import Known, decoded
from ..store.cuts import begin_cut, remove_cuts, set_cut
from ..store.keys import EventKey, names_in, operands, redis_key
from ..store.reader import BitmapReader
from . import reports
from .bitwriter import BitWriter, Group, named

if TYPE_CHECKING:
    from flask import Flask
    from redis import Redis

    from ..store.catalogue import Catalogue
    from ..store.zones import Zones

BATCH = 500
"""Keys that are deleted in one round trip."""

NO_CUTS = (
    "this store has no hashes: who was there before is not kept, and what was deleted "
    "counts as nobody"
)

FLAG = "flag"
TEMPORARY = "temporary"

logger = logging.getLogger("flask_bitmapist")


@dataclass(frozen=True)
class Deletion:
    """What would be deleted; nothing is until :meth:`carry_out`.

    Args:
        event: The event's or the flag's name; None for all of both.
        flag: Whether the flag of that name is meant, not the event.
        before: Only periods that end on this day or earlier; None for all.
    """

    event: str | None
    flag: bool
    before: date | None
    keep_seen: bool
    """Whether who was there before that day is kept, without saying when."""
    keys: tuple[EventKey, ...] = field(repr=False)
    """The keys of the bitmaps."""
    temporary: tuple[bytes, ...] = field(repr=False)
    """The keys that bitmapist's bit operations have made of any of these, and left."""
    _app: Flask = field(repr=False)
    _client: Redis = field(repr=False)
    _bitmaps: Bitmaps = field(repr=False)
    _catalogue: Catalogue = field(repr=False)
    _zones: Zones = field(repr=False)

    @cached_property
    def periods(self) -> dict[str, int]:
        """How many bitmaps there are of months, weeks, days, hours, and of a flag; and
        of bit operations."""
        kinds = Counter(map(_kind, self.keys))
        kinds[TEMPORARY] = len(self.temporary)
        order = ("months", "weeks", "days", "hours", FLAG, "other", TEMPORARY)
        return {kind: kinds[kind] for kind in order if kinds[kind]}

    @cached_property
    def users(self) -> int | None:
        """How many users are in any of the bitmaps; None if that is too much to read.

        Raises:
            redis.RedisError: The store does not answer.
        """
        keys = self.keys
        if self.before is None and self.periods.get("months"):
            # Whoever is in a day, a week or an hour is in its month.
            keys = tuple(key for key in keys if _kind(key) in ("months", FLAG))
        sources = [source for key in keys if (source := _source(key)) is not None]
        try:
            return sum(
                count_bits(np.bitwise_or.reduce(stripe.stack(sources), axis=0))
                for stripe in self._bitmaps.stripes(sources)
            )
        except QueryError:
            return None

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as it stands in JSON."""
        return {
            "event": self.event,
            "flag": self.flag,
            "before": None if self.before is None else self.before.isoformat(),
            "keys": len(self.keys) + len(self.temporary),
            "users": self.users,
            "periods": self.periods,
            "seen": None if self.before is None else self.keep_seen,
        }

    def carry_out(self) -> int:
        """Delete the keys that were found, in batches.

        Where only the past goes, who was there is kept first, see :attr:`keep_seen`: if
        this is killed, nothing is lost that was not to go.

        What is marked meanwhile, or still waits to be written, may bring an event back.
        Deleting again what is gone already does no harm.

        Returns:
            How many of the keys there still were.

        Raises:
            redis.RedisError: The store refuses, or stopped to answer; the message says
                how many keys were gone by then.
        """
        gone = 0
        keys = iter([*[each.key for each in self.keys], *self.temporary])
        try:
            self._cut()
            while batch := list(islice(keys, BATCH)):
                gone += _unlink(self._client, batch)
            if self.before is None:
                self._forget_names()
            self._bitmaps.cuts((), fresh=True)
        except redis.RedisError as error:
            raise _stopped(error, gone, len(self.keys) + len(self.temporary)) from error
        self._tell(gone)
        return gone

    def _cut(self) -> None:
        """Keep who was there, and note up to which day the past is deleted."""
        if self.before is None:
            if self.event is None or not self.flag:
                remove_cuts(self._client, self.event and [self.event])
            return
        events: dict[str, list[Source]] = {}
        for key in self.keys:
            if (source := _source(key)) is not None:
                events.setdefault(source.event, []).append(source)
        # A replica may lag behind: what goes is read where it goes.
        reader = BitmapReader(self._client)
        cuts = reader.cuts(tuple(events))
        for event, sources in events.items():
            if not begin_cut(self._client, event):
                logger.warning("%s", NO_CUTS)
                return
            before, unseen = self.before, None
            if event in cuts:
                before, unseen = max(before, cuts[event].before), cuts[event].unseen
            if self.keep_seen:
                self._add_to_seen(reader, event, sources)
            else:
                unseen = before
                _unlink(self._client, [redis_key(Source(event, SEEN_BEFORE))])
            set_cut(self._client, event, Cut(before, unseen))

    def _add_to_seen(
        self, reader: BitmapReader, event: str, sources: Sequence[Source]
    ) -> None:
        key, writer = redis_key(Source(event, SEEN_BEFORE)), BitWriter(self._client)
        for stripe in reader.stripes(sources):
            users = user_ids(stripe.union(sources), stripe.first_id)
            if not len(users):
                continue
            written = writer.write([Group(key, users, 1)])
            for error in written.errors.values():
                raise named(key, error)

    def _forget_names(self) -> None:
        events, flags = names_in(each.key for each in self.keys)
        gone = Known(decoded(events), decoded(flags))
        if self.event is None:
            gone |= self._catalogue.known()
            # The next mark says anew whose days these are.
            self._zones.forget(self._client)
        else:
            own = frozenset([self.event])
            gone |= Known(flags=own) if self.flag else Known(own)
        self._catalogue.forget(gone)

    def _tell(self, gone: int) -> None:
        logger.info(
            "deleted %s%s: %d keys",
            "all events" if self.event is None else repr(shorten(self.event)),
            "" if self.before is None else f" before {self.before.isoformat()}",
            gone,
        )
        reports.tell(
            reports.event_deleted,
            self._app,
            event_name=self.event,
            flag=self.flag,
            before=self.before,
            keys=gone,
        )


def plan_deletion(
    state: Any,
    event: str | None,
    flag: bool = False,
    before: date | None = None,
    bitmaps: Bitmaps | None = None,
    keep_seen: bool = True,
) -> Deletion:
    """Find what belongs to an event; see :meth:`FlaskBitmapist.deletion`.

    Args:
        state: What the extension keeps for the app.
        event: The event; None for all events and flags.
        flag: Mean the flag of that name.
        before: Only periods that end on this day or earlier.
        bitmaps: Where users are counted, if not in the app's own way.
        keep_seen: Keep who was there before *before*, without saying when.
    """
    return Deletion(
        event=event,
        flag=flag,
        before=before,
        keep_seen=keep_seen,
        keys=tuple(_chosen(state.catalogue.keys(event), event, flag, before)),
        temporary=tuple(_left_behind(state.catalogue, event, flag, before)),
        _app=state.app,
        _client=state.systems["default"],
        _bitmaps=bitmaps or state.query.bitmaps,
        _catalogue=state.catalogue,
        _zones=state.store.zones,
    )


def _left_behind(
    catalogue: Catalogue, event: str | None, flag: bool, before: date | None
) -> Iterator[bytes]:
    name = None if event is None else event.encode("utf-8", "surrogateescape")
    for key in catalogue.temporary_keys():
        made_of = _chosen(operands(key, name), event, flag, before)
        if (event is None and before is None) or any(made_of):
            yield key


def _chosen(
    keys: Iterable[EventKey], event: str | None, flag: bool, before: date | None
) -> Iterator[EventKey]:
    limit: datetime | None = None if before is None else to_utc(before)
    for key in keys:
        if event is not None and key.is_flag != flag:
            continue
        if limit is not None and (key.period is None or key.period.end > limit):
            continue
        yield key


def _kind(key: EventKey) -> str:
    if key.is_flag:
        return FLAG
    return "other" if key.period is None else key.period.group.value


def _source(key: EventKey) -> Source | None:
    """Return the bitmap of a key that can be asked about."""
    try:
        name = key.name.decode()
    except UnicodeDecodeError:
        return None
    if key.is_flag:
        return Source(name, None)
    return None if key.period is None else Source(name, key.period)


def _unlink(client: Redis, keys: Sequence[bytes]) -> int:
    # One command for each key: a cluster takes no others, nor does bitmapist-server.
    for command in ("UNLINK", "DEL"):
        pipeline = client.pipeline(transaction=False)
        for key in keys:
            pipeline.execute_command(command, key)  # type: ignore[no-untyped-call]
        replies = pipeline.execute(raise_on_error=False)
        errors = [each for each in replies if isinstance(each, Exception)]
        if not errors:
            return sum(replies)
        if command == "DEL" or "unknown command" not in str(errors[0]).lower():
            raise errors[0]
    raise AssertionError("either command has returned or raised")


def _stopped(error: redis.RedisError, gone: int, all_keys: int) -> redis.RedisError:
    kind = (
        redis.ConnectionError
        if isinstance(error, redis.ConnectionError)
        else redis.TimeoutError
        if isinstance(error, redis.TimeoutError)
        else redis.ResponseError
    )
    return kind(f"{gone:,} of {all_keys:,} keys are deleted, then: {error}")
