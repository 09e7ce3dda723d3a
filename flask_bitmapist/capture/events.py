"""Marking from Python code: bitmapist's own functions, through the app's recorder."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any

import bitmapist
from flask import has_request_context

from ..config import Settings
from ..store import systems
from .bits import Mark
from .errors import BadMarkError
from .recorder import Recorder
from .writer import FAILURES


def mark_event(
    event_name: str,
    uuid: Any,
    system: Any = "default",
    now: datetime | date | None = None,
    track_hourly: bool | None = None,
    track_unique: bool | None = None,
    use_pipeline: bool = True,
) -> None:
    """Mark that a user did something, in the month, the week and the day.

    Args:
        event_name: What was done.
        uuid: The user's id, a user object with ``get_id()`` or a proxy for one;
            None and anonymous users mark nothing.
        system: Name of a Redis system, or a redis-py client or pipeline.
        now: When; a naive datetime is in UTC.  The moment of the call by default.
        track_hourly: Mark the hour as well; ``BITMAPIST_TRACK_HOURLY`` by default.
        track_unique: Mark the event's flag, which has no date, as well.
        use_pipeline: Pass False with a pipeline as *system* to execute that yourself.

    Raises:
        ValueError: The name, the id or the time cannot be used.
        redis.exceptions.RedisError: A client passed as *system*, or one that is not
            the app's own, fails.

    In a request both are logged instead.

    Example:
        >>> mark_event("song:played", 123)
    """
    _mark(
        event_name, uuid, system, now, track_hourly, track_unique, use_pipeline, value=1
    )


def unmark_event(
    event_name: str,
    uuid: Any,
    system: Any = "default",
    now: datetime | date | None = None,
    track_hourly: bool | None = None,
    track_unique: bool | None = None,
    use_pipeline: bool = True,
) -> None:
    """Take back that a user did something, in the month, the week and the day.

    The week and the month are cleared with the day, even where the user did it on
    another of their days.

    Args:
        event_name: What was done.
        uuid: The user, as in :func:`mark_event`.
        system: Name of a Redis system, or a redis-py client or pipeline.
        now: A moment in the periods to clear.
        track_hourly: Clear the hour as well; ``BITMAPIST_TRACK_HOURLY`` by default.
        track_unique: Clear the event's flag as well.
        use_pipeline: As in :func:`mark_event`.

    Raises:
        ValueError: The name, the id or the time cannot be used; in a request this
            is logged instead.
    """
    _mark(
        event_name, uuid, system, now, track_hourly, track_unique, use_pipeline, value=0
    )


def mark_unique(event_name: str, uuid: Any, system: Any = "default") -> None:
    """Set a user's flag, which has no date: ``mark_unique("premium", 42)``.

    Args:
        event_name: The flag.
        uuid: The user, as in :func:`mark_event`.
        system: Name of a Redis system, or a redis-py client or pipeline.

    Raises:
        ValueError: The name or the id cannot be used; in a request this is logged
            instead.
    """
    _flag(event_name, uuid, system, value=1)


def unmark_unique(event_name: str, uuid: Any, system: Any = "default") -> None:
    """Clear a user's flag.

    Args:
        event_name: The flag.
        uuid: The user, as in :func:`mark_event`.
        system: Name of a Redis system, or a redis-py client or pipeline.

    Raises:
        ValueError: The name or the id cannot be used; in a request this is logged
            instead.
    """
    _flag(event_name, uuid, system, value=0)


def recorder_for(system: Any) -> Recorder:
    """Return the current app's recorder, or one for code without any app.

    Raises:
        RuntimeError: No app says which connection the name *system* means.
    """
    state = systems.current_state()
    if state is not None:
        return state.recorder
    systems.resolve(system)
    return _without_app(bool(bitmapist.TRACK_HOURLY))


def record(
    recorder: Recorder, marks: Sequence[Mark], system: Any, use_pipeline: bool
) -> None:
    """Write *marks*, see :meth:`Recorder.record`; in a request an error is logged."""
    try:
        recorder.record(marks, system, use_pipeline)
    except FAILURES as error:
        if recorder.settings.on_error == "raise" or not has_request_context():
            raise
        # A connection of the app's own choice must not take a request down either.
        recorder.reports.log(
            logging.WARNING,
            "elsewhere",
            "marks for a connection passed as 'system' are lost (%s: %s)",
            type(error).__name__,
            error,
        )


@functools.lru_cache
def _without_app(track_hourly: bool) -> Recorder:
    """Return a recorder for the host's own connections, as bitmapist would use them."""
    return Recorder(Settings(track_hourly=track_hourly, on_error="raise"), None)


def _mark(
    event_name: str,
    uuid: Any,
    system: Any,
    now: datetime | date | None,
    track_hourly: bool | None,
    track_unique: bool | None,
    use_pipeline: bool,
    *,
    value: int,
) -> None:
    recorder = recorder_for(system)
    mark = _made(
        recorder,
        lambda: recorder.mark(event_name, uuid, now, track_hourly, track_unique, value),
    )
    if mark is not None:
        record(recorder, [mark], system, use_pipeline)


def _flag(event_name: str, uuid: Any, system: Any, *, value: int) -> None:
    recorder = recorder_for(system)
    mark = _made(recorder, lambda: recorder.flag(event_name, uuid, value))
    if mark is not None:
        # bitmapist puts a flag straight on a pipeline that is passed in.
        record(recorder, [mark], system, use_pipeline=False)


def _made(recorder: Recorder, make: Callable[[], Mark | None]) -> Mark | None:
    try:
        return make()
    except BadMarkError as error:
        if not has_request_context():
            raise
        # A bad id must not take a request down; it is logged and counted.
        recorder.reports.rejected(error)
        return None
