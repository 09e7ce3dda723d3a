"""The ``mark`` decorator."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from datetime import datetime
from typing import Any, ParamSpec, TypeVar, cast

from werkzeug.local import LocalProxy

from ..store import systems
from .arguments import is_late, signature_of, view_arguments
from .ids import check_id, user_key
from .names import check_name
from .outcome import is_success
from .planned import PlannedMark, write

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
            write(self.first, view_arguments(self.signature, args, kwargs))

    def _after(
        self, answer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        if self.afterwards and is_success(answer):
            write(self.afterwards, view_arguments(self.signature, args, kwargs))


def _check_constants(event_name: Any, uuid: Any) -> None:
    if not callable(event_name):
        check_name(event_name)
    if is_late(uuid) or isinstance(uuid, LocalProxy):
        return
    key = user_key(uuid)
    if key is None or key is not uuid:
        return
    state = systems.current_state()
    if state is None:
        check_id(key)
    elif not state.settings.id_map:
        check_id(key, state.settings.max_id)
