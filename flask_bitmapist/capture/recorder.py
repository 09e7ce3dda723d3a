"""The marks of one app: making them, and handing them on to Redis."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta, timezone
from time import time
from typing import TYPE_CHECKING, Any

import bitmapist
from redis.client import Pipeline
from redis.cluster import ClusterPipeline

from ..analysis.errors import BadMarkError
from ..identity import Identity
from ..store.catalogue import Catalogue
from ..store.connect import open_client
from ..store.idmap import identity_of
from ..store.zones import Zones
from .erasing import Eraser, Receipt
from .leftout import Tally
from .marks import Mark, bits_of, check_name, hour_at, hour_of
from .queue import Queue
from .reports import Counters, Reports
from .spool import Spool
from .writer import FAILURES, Writer

if TYPE_CHECKING:
    from flask import Flask
    from redis import Redis

    from ..analysis.periods import Calendar
    from ..analysis.results import User
    from ..config import Settings
    from ..state import Globals

DEFAULT_SYSTEM = "default"

_A_MOMENT = timedelta(minutes=1)

_logger = logging.getLogger("flask_bitmapist")


class Recorder:
    """Makes and writes the marks of one app.

    Args:
        settings: The app's settings.
        client: The app's client for everything that is not a mark; None without an
            app, where each mark names its own.
        app: The app, as sender of the signals.
        process: bitmapist's settings of the process, as the app sees them.
        environ: Returns the WSGI environ of the request that is being answered, if the
            caller is in one.
        mark_client: The app's client for marks, if they are not to go to the Redis of
            the settings.
        catalogue: Knows which events there are; None without an app.
        zones: Knows the store's calendar; by default that of the settings holds.
    """

    def __init__(
        self,
        settings: Settings,
        client: Redis | None,
        app: Flask | None,
        process: Globals,
        environ: Callable[[], Mapping[str, Any] | None],
        mark_client: Redis | None = None,
        catalogue: Catalogue | None = None,
        zones: Zones | None = None,
    ) -> None:
        self.settings = settings
        self.process = process
        self._catalogue = catalogue
        self.reports = Reports(app)
        self.shared_client = client
        self._environ = environ
        self._has_warned = False
        self._in_background = settings.mark_mode == "background"
        self.identity = Identity()
        self.zones = Zones(settings.calendar) if zones is None else zones
        self._queue: Queue | None = None
        if client is not None:
            self.identity = identity_of(settings, client)
            marks = mark_client or _client_for_marks(settings, client)
            self.reports.left_out = Tally(marks)
            self._writer = Writer(
                marks, identity_of(settings, marks), catalogue, self.zones
            )
            file = settings.spool_file
            spool = Spool(file, self.identity.key) if file else None
            self._eraser = Eraser(
                *(client, marks, self.identity),
                catalogue or Catalogue(client, client),
                _secrets_of(app),
            )
            self._queue = Queue(
                *(self._writer, self._eraser, settings, self.reports, spool, environ)
            )

    @property
    def counters(self) -> Counters:
        """How many marks were made, and what became of them."""
        return self.reports.counters

    @property
    def waiting(self) -> int:
        """Marks of this process that wait for Redis."""
        return self._queue.waiting if self._queue is not None else 0

    def status(self) -> dict[str, Any]:
        """Return how writing goes, in a form that goes into JSON.

        Returns:
            ``mode`` and ``on_error`` as set; ``waiting``, the marks that wait;
            ``failing_for``, the seconds since Redis began to fail, or 0; ``error``,
            its latest error, or None; and ``counters``.
        """
        queue = self._queue
        return {
            "mode": self.settings.mark_mode,
            "on_error": self.settings.on_error,
            "waiting": self.waiting,
            "failing_for": round(queue.failing_for, 3) if queue is not None else 0.0,
            "error": queue.error if queue is not None else None,
            "counters": self.counters.to_dict(),
        }

    def flush(self) -> bool:
        """Write all marks that wait, now.

        Returns:
            Whether everything is written.
        """
        return self._queue is None or self._queue.flush()

    # --- Erasing people

    @property
    def eraser(self) -> Eraser:
        """Knows what the store holds of a person."""
        assert self._queue is not None  # an app has one
        return self._eraser

    def forget(self, user: Any, by: str | None = None) -> Receipt:
        """Erase a person; see :meth:`FlaskBitmapist.forget`."""
        assert self._queue is not None
        return self._eraser.erase(user, by, self._queue.drop)

    # --- Making marks

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
        made, calendar = time(), self.zones.known
        if now is None:
            hour = hour_at(made, calendar)
        else:
            hour = _hour(now, calendar)
            self._warn_of_utc(now, calendar)
        bits = bits_of(check_name(event_name), hour, bool(hourly), bool(unique))
        return Mark(bits, key, value, now, made, calendar)

    def flag(self, event_name: Any, user: Any, value: int = 1) -> Mark | None:
        """Return the mark of a unique event, which has no date."""
        key = self._key_of(user)
        if key is None:
            return None
        bits = bits_of(check_name(event_name), None, False, True)
        return Mark(bits, key, value, None, time())

    def _warn_of_utc(self, now: datetime | date, calendar: Calendar) -> None:
        """Log once that a naive moment looks like UTC, in an app of another zone."""
        if calendar.is_utc or not isinstance(now, datetime) or now.tzinfo is not None:
            return
        at = datetime.now(tz=timezone.utc)
        taken = now.replace(tzinfo=timezone.utc)
        looks_so = abs(taken - at) < _A_MOMENT < abs(taken - calendar.wall(at))
        if looks_so and not self._has_warned:
            self._has_warned = True
            _logger.warning(
                "a mark's naive time is taken as it is, in %s, and looks like UTC "
                "(datetime.utcnow()?); give aware times, or none for now",
                calendar.zone_now,
            )

    # --- Handing them on

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
        self,
        marks: Sequence[Mark],
        system: Any = DEFAULT_SYSTEM,
        use_pipeline: bool = True,
    ) -> None:
        """Write *marks*, or keep them until they can be written.

        Those for a connection that is not the app's own are written at once.

        Args:
            marks: What to write.
            system: A system's name, or a redis-py client or pipeline.
            use_pipeline: Write all in one round trip; without it they are put on a
                pipeline given as *system*, and stay there unsent.

        Raises:
            BadMarkError: Outside a request, if a user can have no bit; this is
                reported, and the others are written.
            redis.exceptions.RedisError: They cannot be written, and
                ``BITMAPIST_ON_ERROR`` is ``"raise"``, or nobody's request would break.
        """
        queue = self._queue
        # What bitmapist has under a name is only a proxy for the app's client.
        if queue is None or not (
            system == DEFAULT_SYSTEM
            or self.process.client(system) == self.shared_client
        ):
            self._write_elsewhere(marks, self.process.client(system), use_pipeline)
        elif self._in_background and queue.may_wait():
            queue.put(marks)
        elif queue.is_clear:
            self._write(marks, queue)
        elif queue.is_failing:
            self._not_taken(marks, queue, None)
        else:
            # Behind those that wait already, so that marks keep their order.
            queue.put(marks)
            queue.flush()

    def _write(self, marks: Sequence[Mark], queue: Queue) -> None:
        try:
            refused = self._writer.write(marks)
        except Exception as error:
            # Also what should not happen is no reason for a view to fail.
            self.counters.add(failed=len(marks))
            queue.failed(error)
            self._not_taken(marks, queue, error)
            return
        self.reports.written(marks, refused)
        self.reports.share()
        for _, told in refused:
            if isinstance(told, BadMarkError):
                self._raise_outside_requests(told)
            elif self.settings.on_error == "raise":
                raise told

    def _not_taken(
        self, marks: Sequence[Mark], queue: Queue, error: Exception | None
    ) -> None:
        if self.settings.on_error == "buffer":
            queue.put(marks)
            return
        self.counters.add(marked=len(marks))
        self.reports.lost(marks, "error")
        if self.settings.on_error == "raise":
            raise error or queue.unavailable()

    def _write_elsewhere(
        self, marks: Sequence[Mark], client: Any, use_pipeline: bool
    ) -> None:
        writer = Writer(client, self.identity)
        try:
            if isinstance(client, Pipeline | ClusterPipeline) and not use_pipeline:
                unusable = writer.queue(marks)
                self.reports.unusable(unusable)
                for _, told in unusable:
                    self._raise_outside_requests(told)
                return
            refused = writer.write(marks)
        except FAILURES as error:
            self.counters.add(marked=len(marks), failed=len(marks))
            self.reports.lost(marks, "error")
            self._failed_elsewhere(error)
            return
        self.reports.written(marks, refused)
        for _, told in refused:
            if isinstance(told, BadMarkError):
                self._raise_outside_requests(told)
            else:
                self._failed_elsewhere(told)

    def _failed_elsewhere(self, error: Exception) -> None:
        if self.settings.on_error == "raise" or self._environ() is None:
            raise error
        # A connection of the app's own choice must not take a request down either.
        self.reports.log(
            logging.WARNING,
            "elsewhere",
            "events for a connection passed as 'system' are lost (%s: %s)",
            type(error).__name__,
            error,
        )

    def _raise_outside_requests(self, error: Exception) -> None:
        # A bad id must not take a request down; it is reported already.
        if self._environ() is None:
            raise error

    def register(self, events: Iterable[str]) -> None:
        """Make the names of events known to the catalogue."""
        if self._catalogue is not None:
            self._catalogue.register(events)

    def _key_of(self, user: Any) -> User | None:
        key = self.identity.key(user)
        if key is None:
            self.counters.add(anonymous=1)
        return key


def _client_for_marks(settings: Settings, client: Redis) -> Redis:
    """Return a client of its own for marks, which wait less than questions do."""
    url = settings.redis_url
    if url is None or url.startswith("memory://"):
        return client
    return open_client(
        url,
        connect_timeout=settings.mark_timeout,
        timeout=settings.mark_timeout,
        # On a new connection, each round trip may take the timeout.
        introduce=False,
    )


def _secrets_of(app: Flask | None) -> Callable[[], list[str | bytes]]:
    """Return what tells an app's secrets, the latest first, which may be set later."""
    # Not to be kept by a thread that still writes, once it is gone.
    found = weakref.ref(app) if app is not None else None

    def secrets() -> list[str | bytes]:
        app = found() if found is not None else None
        if app is None or not app.secret_key:
            return []
        earlier = app.config.get("SECRET_KEY_FALLBACKS") or ()
        return [app.secret_key, *earlier]

    return secrets


def _hour(now: Any, calendar: Calendar) -> int:
    if not isinstance(now, date):
        raise BadMarkError(
            "bad time", f"now must be a datetime or None, not {type(now).__name__}"
        )
    try:
        return hour_of(now, calendar)
    except OverflowError:
        raise BadMarkError("bad time", f"{now} is outside the calendar") from None
