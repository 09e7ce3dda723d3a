"""Writing the marks of one app to Redis."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Protocol

import bitmapist
from redis.client import Pipeline

from ..analysis.periods import to_utc
from ..store import systems
from ..store.connect import open_client
from . import wire
from .bits import Mark, bits_of, current_hour, hour_of
from .errors import BadMark
from .ids import check_id, user_key
from .names import check_name

logger = logging.getLogger("flask_bitmapist")

if TYPE_CHECKING:
    from flask import Flask
    from redis import Redis

    from ..config import Settings


class Catalogue(Protocol):
    """Where the names of events are kept."""

    def register(self, names: Iterable[str]) -> object:
        """Keep *names*."""


class Recorder:
    """Writes the marks of one app.

    Args:
        settings: The app's settings.
        client: The app's client for everything that is not a mark.
        app: The app; None outside of any.
    """

    def __init__(
        self, settings: Settings, client: Redis, app: Flask | None = None
    ) -> None:
        self.settings = settings
        self.shared_client = client
        self.catalogue: Catalogue | None = None
        self._registered: set[str] = set()
        self._told: set[str] = set()
        self.client = _client_for_marks(settings, client)

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
            BadMark: The id, the time or the name cannot be used.
        """
        user_id = self._user_id(user)
        if user_id is None:
            return None
        hourly = self.settings.track_hourly if track_hourly is None else track_hourly
        unique = bitmapist.TRACK_UNIQUE if track_unique is None else track_unique
        hour = current_hour() if now is None else _hour(now)
        at = None if now is None else to_utc(now)
        bits = bits_of(check_name(event_name), hour, bool(hourly), bool(unique))
        return Mark(bits, user_id, value, at)

    def flag(self, event_name: Any, user: Any, value: int = 1) -> Mark | None:
        """Return the mark of a unique event, which has no date."""
        user_id = self._user_id(user)
        if user_id is None:
            return None
        return Mark(
            bits_of(check_name(event_name), None, False, True), user_id, value, None
        )

    def record(
        self, marks: list[Mark], system: Any = "default", use_pipeline: bool = True
    ) -> None:
        """Write *marks*.

        Args:
            marks: What to write.
            system: A system's name, or a redis-py client or pipeline.
            use_pipeline: Write all in one round trip; without it each bit goes by
                itself, and stays unsent on a pipeline given as *system*.
        """
        client = self._client(system)
        for mark in marks:
            if use_pipeline:
                error = wire.first_error(wire.send_mark(client, mark))
                if error is not None:
                    raise error
            else:
                wire.queue_mark(client, mark)

    def number_of(self, user: Any) -> int:
        """Return the id for a user's key.

        Raises:
            BadMark: There is none.
        """
        return check_id(user, self.settings.max_id)

    def register(self, events: Iterable[str]) -> None:
        """Tell the catalogue of event names, if there is one, of new names."""
        new = set(events) - self._registered
        if new and self.catalogue is not None:
            self.catalogue.register(new)
            self._registered |= new

    def reject(self, error: Exception) -> None:
        """Log what was wrong with a mark in a request, once for each kind."""
        kind = error.kind if isinstance(error, BadMark) else type(error).__name__
        if kind not in self._told:
            self._told.add(kind)
            logger.warning(
                "a mark is left out: %s; further ones like it (%s) are counted only",
                error,
                kind,
            )

    def _client(self, system: Any) -> Redis | Pipeline:
        state = systems.current_state()
        own = state.systems if state is not None and state.recorder is self else {}
        if isinstance(system, str) and system in own:
            return self.client
        return systems.resolve(system)

    def _user_id(self, user: Any) -> int | None:
        key = user_key(user)
        return None if key is None else check_id(key, self.settings.max_id)


def _client_for_marks(settings: Settings, client: Redis) -> Redis:
    """Return a client of its own for marks, which wait less than questions do."""
    if settings.redis_url.startswith("memory://"):
        return client
    return open_client(
        settings.redis_url,
        connect_timeout=settings.mark_timeout,
        timeout=settings.mark_timeout,
    )


def _hour(now: Any) -> int:
    if not isinstance(now, date):
        raise BadMark(
            "bad time", f"now is a datetime or None, not {type(now).__name__}"
        )
    try:
        return hour_of(now)
    except OverflowError:
        raise BadMark("bad time", f"{now} lies outside the calendar") from None
