"""Marking: a decorator for views, and bitmapist's own functions.

The app is found here, once for each call, and what is kept for it handed down.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date, datetime
from typing import Any, ParamSpec, TypeVar, cast

from flask import has_request_context
from werkzeug.local import LocalProxy

from .analysis.errors import BadMarkError
from .capture.arguments import signature_of, view_arguments
from .capture.bits import Mark
from .capture.names import check_name
from .capture.outcome import is_success
from .capture.planned import PlannedMark, resolved
from .capture.recorder import Recorder
from .capture.writer import FAILURES
from .config import Settings
from .identity import Identity, is_value
from .state import WITHOUT_APP, current_state

P = ParamSpec("P")
R = TypeVar("R")


def mark(
    event_name: str | Callable[..., str],
    uuid: Any,
    system: Any = "default",
    now: datetime | Callable[..., datetime | None] | None = None,
    track_hourly: bool | None = None,
    use_pipeline: bool = True,
    *,
    track_unique: bool | None = None,
    on_success: bool = False,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Mark an event each time a view is called, before it runs.

    Arguments may be callables, which are called in the request with those of the
    view's arguments that have the names of their parameters.  What goes wrong with a
    mark in a request is logged once of its kind, and leaves the view alone.

    Args:
        event_name: What is done, or a callable.
        uuid: The user's id; a callable; or a user object or a proxy for one, such as
            Flask-Login's ``current_user``.  None and anonymous users mark nothing.
        system: Name of a Redis system, or a redis-py client or pipeline.
        now: When it is done, or a callable; a naive datetime is in UTC.  By default
            the moment of the request.
        track_hourly: Mark the hour as well; ``BITMAPIST_TRACK_HOURLY`` by default.
        use_pipeline: Pass False with a pipeline as *system* to execute that yourself.
        track_unique: Mark the event's flag, which has no date, as well.
        on_success: Mark after the view, and only if it neither raised nor answered
            with a status of 400 or more.

    Returns:
        A decorator that keeps the view's name, parameters and result.

    Raises:
        ValueError: The name or the id is a constant that cannot be used.

    Example:
        >>> @app.get("/songs/<int:song_id>/play")
        ... @mark("song:played", current_user)
        ... def play(song_id: int) -> str: ...
    """
    _check_constants(event_name, uuid)
    planned = PlannedMark(
        event_name,
        uuid,
        system=system,
        now=now,
        track_hourly=track_hourly,
        use_pipeline=use_pipeline,
        track_unique=track_unique,
        on_success=on_success,
    )

    def decorate(view: Callable[P, R]) -> Callable[P, R]:
        return _Marking.of(view).with_mark(planned)

    return decorate


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


def recorder_for(*systems: Any) -> Recorder:
    """Return the current app's recorder, or one for code without any app.

    Raises:
        RuntimeError: There is no app, and nothing else says which connections the
            names *systems* mean.
    """
    state = current_state()
    if state is not None:
        return state.recorder
    for system in systems:
        WITHOUT_APP.client(system)
    return _without_app()


def record(
    recorder: Recorder, marks: Sequence[Mark], system: Any, use_pipeline: bool
) -> None:
    """Write *marks*, see :meth:`Recorder.record`; in a request an error is logged."""
    try:
        recorder.record(marks, system, use_pipeline)
    except BadMarkError:
        # It is reported already.
        if not has_request_context():
            raise
    except FAILURES as error:
        if recorder.settings.on_error == "raise" or not has_request_context():
            raise
        # A connection of the app's own choice must not take a request down either.
        recorder.reports.log(
            logging.WARNING,
            "elsewhere",
            "events for a connection passed as 'system' are lost (%s: %s)",
            type(error).__name__,
            error,
        )


@functools.lru_cache
def _without_app() -> Recorder:
    """Return a recorder for the host's own connections, as bitmapist would use them."""
    return Recorder(Settings(on_error="raise"), None, None, WITHOUT_APP)


class _Marking:
    """A view together with all marks that stand directly above each other on it.

    They are kept in one place so that they are sent in one round trip.
    """

    def __init__(
        self, view: Callable[..., Any], marks: tuple[PlannedMark, ...]
    ) -> None:
        self.view = view
        self.marks = marks
        self.first = [each for each in marks if not each.on_success]
        self.afterwards = [each for each in marks if each.on_success]
        self.signature = signature_of(view)
        self.wrapper: Callable[..., Any] = self._wrapper()
        self.wrapper.__bitmapist__ = self  # type: ignore[attr-defined]

    @classmethod
    def of(cls, view: Callable[..., Any]) -> _Marking:
        marking = getattr(view, "__bitmapist__", None)
        # Another decorator that copies attributes may stand in between: then this is
        # not the view that was marked, and the marks around it go by themselves.
        if isinstance(marking, cls) and marking.wrapper is view:
            return marking
        return cls(view, ())

    def with_mark(self, mark: PlannedMark) -> Callable[..., Any]:
        return _Marking(self.view, (mark, *self.marks)).wrapper

    def _wrapper(self) -> Callable[..., Any]:
        view = self.view
        if inspect.iscoroutinefunction(view):

            @functools.wraps(view)
            async def marked_async(*args: Any, **kwargs: Any) -> Any:
                self._before(args, kwargs)
                answer = await view(*args, **kwargs)
                self._after(answer, args, kwargs)
                return answer

            return cast("Callable[..., Any]", marked_async)

        @functools.wraps(view)
        def marked(*args: Any, **kwargs: Any) -> Any:
            self._before(args, kwargs)
            answer = view(*args, **kwargs)
            self._after(answer, args, kwargs)
            return answer

        return marked

    def _before(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self.first:
            self._write(self.first, args, kwargs)

    def _after(
        self, answer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        if self.afterwards and is_success(answer):
            self._write(self.afterwards, args, kwargs)

    def _write(
        self,
        planned: list[PlannedMark],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        recorder = recorder_for(*[each.system for each in planned])
        arguments = view_arguments(self.signature, args, kwargs)
        for first, marks in resolved(recorder, planned, arguments):
            with suppress(BadMarkError):
                record(recorder, marks, first.system, first.use_pipeline)


def _check_constants(event_name: Any, uuid: Any) -> None:
    if not callable(event_name):
        check_name(event_name)
    if not isinstance(uuid, LocalProxy) and is_value(uuid):
        # While an app is made, the one that it takes the place of is often still there.
        state = current_state(sweep=False)
        identity = Identity() if state is None else state.recorder.identity
        identity.key(uuid)


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
        event_name,
        lambda: recorder.mark(event_name, uuid, now, track_hourly, track_unique, value),
    )
    if mark is not None:
        record(recorder, [mark], system, use_pipeline)


def _flag(event_name: str, uuid: Any, system: Any, *, value: int) -> None:
    recorder = recorder_for(system)
    mark = _made(recorder, event_name, lambda: recorder.flag(event_name, uuid, value))
    if mark is not None:
        # bitmapist puts a flag straight on a pipeline that is passed in.
        record(recorder, [mark], system, use_pipeline=False)


def _made(
    recorder: Recorder, event_name: Any, make: Callable[[], Mark | None]
) -> Mark | None:
    try:
        return make()
    except BadMarkError as error:
        if not has_request_context():
            raise
        # A bad id must not take a request down; it is logged and counted.
        recorder.reports.rejected(error, event_name)
        return None
