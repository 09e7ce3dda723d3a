"""The marks of one app: making them, and handing them on to Redis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import bitmapist
from redis.client import Pipeline
from redis.cluster import ClusterPipeline

from ..analysis.errors import BadMarkError
from ..analysis.periods import to_utc
from ..identity import Identity
from ..store.catalogue import Catalogue
from ..store.connect import open_client
from ..store.idmap import identity_of
from .bits import Mark, bits_of, current_hour, hour_of
from .leftout import Tally
from .names import check_name
from .outbox import Outbox
from .reports import Reports
from .spool import Spool
from .writer import FAILURES, Writer

if TYPE_CHECKING:
    from flask import Flask
    from redis import Redis

    from ..analysis.results import User
    from ..config import Settings
    from ..state import Globals
    from .counters import Counters


class Recorder:
    """Makes and writes the marks of one app.

    Args:
        settings: The app's settings.
        client: The app's client for everything that is not a mark; None without an
            app, where each mark names its own.
        app: The app, as sender of the signals.
        process: bitmapist's settings of the process, as the app sees them.
        mark_client: The app's client for marks, if they are not to go to the Redis of
            the settings.
    """

    def __init__(
        self,
        settings: Settings,
        client: Redis | None,
        app: Flask | None,
        process: Globals,
        mark_client: Redis | None = None,
    ) -> None:
        self.settings = settings
        self.process = process
        self._mark_client = mark_client
        self.reports = Reports(app)
        self.shared_client = client
        self._own: Outbox | None = None
        self.identity = Identity()
        if client is not None:
            self._catalogue = Catalogue(client, client)
            self.identity = identity_of(settings, client)
            self._own = self._open_outbox(client)

    @property
    def counters(self) -> Counters:
        """How many marks were made, and what became of them."""
        return self.reports.counters

    @property
    def waiting(self) -> int:
        """Marks of this process that wait for Redis."""
        return self._own.waiting if self._own is not None else 0

    def status(self) -> dict[str, Any]:
        """Return how writing goes, in a form that goes into JSON.

        Returns:
            ``mode`` and ``on_error`` as set; ``waiting``, the marks that wait;
            ``failing_for``, the seconds since Redis began to fail, or 0; ``error``,
            its latest error, or None; and ``counters``.
        """
        own = self._own
        return {
            "mode": self.settings.mark_mode,
            "on_error": self.settings.on_error,
            "waiting": self.waiting,
            "failing_for": round(own.failing_for, 3) if own is not None else 0.0,
            "error": own.error if own is not None else None,
            "counters": self.counters.to_dict(),
        }

    def mark(
        self,
        event_name: Any,
        user: Any,
        now: datetime | date | None = None,
        track_hourly: bool | None = None,
        track_unique: bool | None = None,
        value: int = 1,
    ) -> Mark | None:
        """Return the mark of an event, or None if *user* is nobody.

        Raises:
            BadMarkError: The id, the time or the name cannot be used.
        """
        key = self._key_of(user)
        if key is None:
            return None
        hourly = self.process.track_hourly if track_hourly is None else track_hourly
        unique = bitmapist.TRACK_UNIQUE if track_unique is None else track_unique
        hour = current_hour() if now is None else _hour(now)
        at = None if now is None else to_utc(now)
        bits = bits_of(check_name(event_name), hour, bool(hourly), bool(unique))
        return Mark(bits, key, value, at)

    def flag(self, event_name: Any, user: Any, value: int = 1) -> Mark | None:
        """Return the mark of a unique event, which has no date."""
        key = self._key_of(user)
        if key is None:
            return None
        bits = bits_of(check_name(event_name), None, False, True)
        return Mark(bits, key, value, None)

    def note(self, events: Iterable[tuple[Any, Any]]) -> None:
        """Mark that users did something, on the app's own system.

        What cannot be marked is logged once of its kind, and counted.

        Args:
            events: Names of events and users.
        """
        marks = []
        for event_name, user in events:
            try:
                mark = self.mark(event_name, user)
            except BadMarkError as error:
                self.reports.rejected(error, event_name)
                continue
            if mark is not None:
                marks.append(mark)
        if marks:
            with suppress(BadMarkError):
                self.record(marks)

    def record(
        self, marks: Sequence[Mark], system: Any = "default", use_pipeline: bool = True
    ) -> None:
        """Write *marks*, or keep them until they can be written.

        Those for a connection that is not the app's own are written at once.

        Args:
            marks: What to write.
            system: A system's name, or a redis-py client or pipeline.
            use_pipeline: Write all in one round trip; without it they are put on a
                pipeline given as *system*, and stay there unsent.

        Raises:
            BadMarkError: They were to be written at once, and a user can have no bit;
                this is reported, and the others are written.
            redis.exceptions.RedisError: They cannot be written, and
                ``BITMAPIST_ON_ERROR`` is ``"raise"`` or the connection is not the
                app's own.
        """
        client = self.process.client(system)
        # What bitmapist has under a name is only a proxy for the app's client.
        if self._own is not None and client == self.shared_client:
            self._own.put(marks)
            return
        writer = Writer(client, self.identity)
        if use_pipeline or not isinstance(client, Pipeline | ClusterPipeline):
            self._write_at_once(writer, marks)
        else:
            refused = writer.queue(marks)
            self.reports.unusable(refused)
            if refused:
                raise refused[0].error

    def flush(self) -> bool:
        """Write all marks that wait, now.

        Returns:
            Whether everything is written.
        """
        return self._own is None or self._own.flush()

    def register(self, events: Iterable[str]) -> None:
        """Make the names of events known to the catalogue."""
        self._catalogue.register(events)

    def _key_of(self, user: Any) -> User | None:
        key = self.identity.key(user)
        if key is None:
            self.counters.add(anonymous=1)
        return key

    def _write_at_once(self, writer: Writer, marks: Sequence[Mark]) -> None:
        try:
            refused = writer.write(marks)
        except FAILURES:
            self.counters.add(marked=len(marks), failed=len(marks))
            self.reports.lost(marks, "error")
            raise
        self.reports.written(marks, refused)
        if refused:
            raise refused[0].error

    def _open_outbox(self, client: Redis) -> Outbox:
        settings = self.settings
        spool = Spool(settings.spool_file) if settings.spool_file else None
        marks = self._mark_client
        if marks is None:
            marks = _client_for_marks(settings, client)
        self.reports.left_out = Tally(marks)
        writer = Writer(marks, identity_of(settings, marks), Catalogue(marks, marks))
        return Outbox(writer, settings, self.reports, spool)


def _client_for_marks(settings: Settings, client: Redis) -> Redis:
    """Return a client of its own for marks, which wait less than questions do."""
    if settings.redis_url.startswith("memory://"):
        return client
    return open_client(
        settings.redis_url,
        connect_timeout=settings.mark_timeout,
        timeout=settings.mark_timeout,
        # On a new connection, each round trip may take the timeout.
        introduce=False,
    )


def _hour(now: Any) -> int:
    if not isinstance(now, date):
        raise BadMarkError(
            "bad time", f"now must be a datetime or None, not {type(now).__name__}"
        )
    try:
        return hour_of(now)
    except OverflowError:
        raise BadMarkError("bad time", f"{now} is outside the calendar") from None
