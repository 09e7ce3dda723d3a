"""Marking: a decorator for views, and bitmapist's own functions.

The app is found here, once for each call, and what is kept for it handed down.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, ParamSpec, TypeAlias, TypeVar, cast
from weakref import WeakSet

from flask import current_app, has_request_context
from werkzeug.exceptions import HTTPException
from werkzeug.local import LocalProxy

from .analysis.errors import BadMarkError
from .capture.marks import Mark, check_name
from .capture.recorder import Recorder
from .config import Settings
from .identity import Identity, is_value
from .state import WITHOUT_APP, current_state, request_environ

if TYPE_CHECKING:
    from flask import Flask

logger = logging.getLogger("flask_bitmapist")

P = ParamSpec("P")
R = TypeVar("R")

FIRST_ERROR = 400
"""The first status of a response that is no success."""


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
        return _MarkedView.of(view).with_mark(planned)

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
        return state.store.recorder
    for system in systems:
        WITHOUT_APP.client(system)
    return _without_app()


def _recorder_in(*systems: Any) -> Recorder | None:
    """Return what :func:`recorder_for` does, or None in a request of another app.

    A view of a blueprint may be marked for one app, and be used in another that knows
    nothing of it: it works there, unmarked.

    Raises:
        RuntimeError: As :func:`recorder_for` does, outside a request.
    """
    try:
        return recorder_for(*systems)
    except RuntimeError as error:
        if not has_request_context():
            raise
        app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
        if app not in _told:
            _told.add(app)
            logger.warning("nothing is tracked in the app %r: %s", app.name, error)
        return None


_told: WeakSet[Flask] = WeakSet()
"""Apps without the extension of which the log says so."""


@functools.lru_cache
def _without_app() -> Recorder:
    """Return a recorder for the host's own connections, as bitmapist would use them."""
    settings = Settings(on_error="raise")
    return Recorder(settings, None, None, WITHOUT_APP, request_environ)


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
    recorder = _recorder_in(system)
    if recorder is None:
        return
    mark = _made(
        recorder,
        event_name,
        lambda: recorder.mark(event_name, uuid, now, track_hourly, track_unique, value),
    )
    if mark is not None:
        recorder.record([mark], system, use_pipeline)


def _flag(event_name: str, uuid: Any, system: Any, *, value: int) -> None:
    recorder = _recorder_in(system)
    if recorder is None:
        return
    mark = _made(recorder, event_name, lambda: recorder.flag(event_name, uuid, value))
    if mark is not None:
        # bitmapist puts a flag straight on a pipeline that is passed in.
        recorder.record([mark], system, use_pipeline=False)


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


# --- Marks on views


class PlannedMark:
    """One ``mark`` on a view; the arguments are those of the decorator."""

    def __init__(
        self,
        event_name: Any,
        uuid: Any,
        *,
        system: Any,
        now: Any,
        track_hourly: bool | None,
        use_pipeline: bool,
        track_unique: bool | None,
        on_success: bool,
    ) -> None:
        self._event = _resolver(event_name)
        self._user = _resolver(uuid)
        self._now = _resolver(now)
        self._track_hourly = track_hourly
        self._track_unique = track_unique
        self.system = system
        self.use_pipeline = use_pipeline
        self.on_success = on_success

    def resolve(self, recorder: Recorder, arguments: Mapping[str, Any]) -> Mark | None:
        """Return the mark for one call of the view, or None if there is none."""
        event = None
        try:
            event = self._event(arguments)
            return recorder.mark(
                event,
                self._user(arguments),
                self._now(arguments),
                self._track_hourly,
                self._track_unique,
            )
        except Exception as error:
            # The app's own callables may fail, and so may what a proxy stands for.
            recorder.reports.rejected(error, event)
            return None


class _MarkedView:
    """A view together with all marks that stand directly above each other on it.

    They are kept in one place so that they are sent in one round trip.
    """

    def __init__(
        self, view: Callable[..., Any], marks: tuple[PlannedMark, ...]
    ) -> None:
        self.view = view
        self.marks = marks
        self.signature = _signature_of(view)
        self.wrapper: Callable[..., Any] = self._wrapper()
        self.wrapper.__bitmapist__ = self  # type: ignore[attr-defined]
        with suppress(AttributeError):  # as of a bound method
            # A view knows of its marks, also where a route leads past them.
            innermost: Any = _layers(view)[-1]
            innermost.__bitmapist_marked__ = self.wrapper

    @classmethod
    def of(cls, view: Callable[..., Any]) -> _MarkedView:
        marked = getattr(view, "__bitmapist__", None)
        # Another decorator that copies attributes may stand in between: then this is
        # not the view that was marked, and the marks around it go by themselves.
        if isinstance(marked, cls) and marked.wrapper is view:
            return marked
        return cls(view, ())

    def with_mark(self, mark: PlannedMark) -> Callable[..., Any]:
        return _MarkedView(self.view, (mark, *self.marks)).wrapper

    def _wrapper(self) -> Callable[..., Any]:
        view = self.view
        first = _trips([each for each in self.marks if not each.on_success])
        afterwards = _trips([each for each in self.marks if each.on_success])

        if inspect.iscoroutinefunction(view):

            @functools.wraps(view)
            async def marked_async(*args: Any, **kwargs: Any) -> Any:
                if first:
                    self._write(first, args, kwargs)
                answer = await view(*args, **kwargs)
                if afterwards and _is_success(answer):
                    self._write(afterwards, args, kwargs)
                return answer

            return cast("Callable[..., Any]", marked_async)

        @functools.wraps(view)
        def marked(*args: Any, **kwargs: Any) -> Any:
            if first:
                self._write(first, args, kwargs)
            answer = view(*args, **kwargs)
            if afterwards and _is_success(answer):
                self._write(afterwards, args, kwargs)
            return answer

        return marked

    def _write(
        self, trips: _Trips, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        recorder = _recorder_in(*[trip[0].system for trip in trips])
        if recorder is None:
            return
        # Flask itself passes all arguments by name.
        arguments = self._by_name(args, kwargs) if args else kwargs
        for trip in trips:
            found = [planned.resolve(recorder, arguments) for planned in trip]
            marks = [mark for mark in found if mark is not None]
            if marks:
                with suppress(BadMarkError):
                    recorder.record(marks, trip[0].system, trip[0].use_pipeline)

    def _by_name(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Mapping[str, Any]:
        if self.signature is None:
            return kwargs
        try:
            return self.signature.bind_partial(*args, **kwargs).arguments
        except TypeError:
            return kwargs


def unreached(app: Flask) -> Iterator[tuple[str, str]]:
    """Find views whose marks stand above the route, which leads past them.

    Args:
        app: The app whose routes are looked at.

    Returns:
        The name of each such view, and its route.
    """
    views = {name: _layers(view) for name, view in app.view_functions.items()}
    reached = {id(layer) for layers in views.values() for layer in layers}
    for rule in app.url_map.iter_rules():
        if rule.endpoint in views:  # one that is only built has none
            view: Any = views[rule.endpoint][-1]
            marked = getattr(view, "__bitmapist_marked__", None)
            if marked is not None and id(marked) not in reached:
                yield f"{view.__module__}.{view.__qualname__}", rule.rule


def _layers(view: Callable[..., Any]) -> list[Callable[..., Any]]:
    """Return a view and all that it wraps, the innermost last."""
    layers = [view]
    while (inner := getattr(layers[-1], "__wrapped__", None)) is not None:
        layers.append(inner)
    return layers


_Trips: TypeAlias = Sequence[Sequence[PlannedMark]]
"""Marks that go in one round trip each; they have their system in common."""


def _trips(marks: Sequence[PlannedMark]) -> _Trips:
    trips: list[list[PlannedMark]] = []
    for mark in marks:
        last = trips[-1][-1] if trips else None
        if (
            last is not None
            and last.use_pipeline
            and mark.use_pipeline
            and last.system == mark.system
        ):
            trips[-1].append(mark)
        else:
            trips.append([mark])
    return trips


def _check_constants(event_name: Any, uuid: Any) -> None:
    if not callable(event_name):
        check_name(event_name)
    if not isinstance(uuid, LocalProxy) and is_value(uuid):
        # While an app is made, the one that it takes the place of is often still there.
        state = current_state(sweep=False)
        identity = Identity() if state is None else state.recorder.identity
        identity.key(uuid)


def _is_late(value: Any) -> bool:
    """Return whether *value* is to be called in the request.

    A proxy such as ``current_user`` can be called as well, but stands for an object.
    """
    return callable(value) and not isinstance(value, LocalProxy) and not _is_user(value)


def _is_user(value: Any) -> bool:
    # A user object may define __call__; a class that has get_id is no user.
    return not isinstance(value, type) and callable(getattr(value, "get_id", None))


def _resolver(value: Any) -> Callable[[Mapping[str, Any]], Any]:
    """Return how to find a mark's argument in a request.

    Args:
        value: The argument itself; or a callable that returns it, given those of the
            view's arguments that have the names of its own parameters.
    """
    if not _is_late(value):
        return lambda arguments: value
    signature = _signature_of(value)
    parameters = signature.parameters.values() if signature is not None else ()
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters):
        return lambda arguments: value(**arguments)
    names = [each.name for each in parameters if each.kind in _BY_NAME]
    return lambda arguments: value(
        **{name: arguments[name] for name in names if name in arguments}
    )


_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def _signature_of(function: Callable[..., Any]) -> inspect.Signature | None:
    """Return the signature of *function*, or None where Python cannot tell."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def _is_success(answer: Any) -> bool:
    """Return whether what a view returned has a status below 400."""
    return _status(answer) < FIRST_ERROR


def _status(answer: Any) -> int:
    if isinstance(answer, tuple) and answer:
        # (body, status), (body, headers) or (body, status, headers)
        for part in answer[1:2]:
            if isinstance(part, int):
                return int(part)
            if isinstance(part, str) and part[:3].isdigit():
                return int(part[:3])
        return _status(answer[0])
    if isinstance(answer, HTTPException):
        return answer.code or 500
    status = getattr(answer, "status_code", 200)
    return status if isinstance(status, int) else 200
