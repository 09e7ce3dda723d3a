"""bitmapist's process-global settings, made to follow the current app.

bitmapist keeps its connections in one dictionary and its hourly switch in one
variable for the whole process.  Both are given objects here that look up the
current app whenever bitmapist uses them, so that several apps in one process
never see each other's events.
"""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import bitmapist
from flask import current_app
from werkzeug.local import LocalProxy

if TYPE_CHECKING:
    from redis import Redis

    from ..extension import BitmapistState

DEFAULT_SYSTEM = "default"

# What stood in bitmapist.SYSTEMS before, for names that the host had set itself.
_hosts_own: dict[str, Redis] = {}
_untouched_default = bitmapist.SYSTEMS.get(DEFAULT_SYSTEM)
_states: list[weakref.ref[BitmapistState]] = []


def install(state: BitmapistState) -> None:
    """Let bitmapist find *state*'s connection by its names, in its app's context."""
    _states.append(weakref.ref(state))
    for name in state.systems:
        present = bitmapist.SYSTEMS.get(name)
        if isinstance(present, LocalProxy):
            continue
        if present is not None and present is not _untouched_default:
            _hosts_own[name] = present
        bitmapist.SYSTEMS[name] = cast("Any", LocalProxy(partial(resolve, name)))
    bitmapist.TRACK_HOURLY = cast("Any", LocalProxy(_track_hourly))


def current_state() -> BitmapistState | None:
    """Return the state of the app whose context is active, if it has one.

    Outside any app context it is the state of the only app of this process, where
    there has been no more than one.
    """
    # Asked for each mark, so the proxy is looked through only once.
    try:
        app = current_app._get_current_object()  # type: ignore[attr-defined]
    except RuntimeError:
        return _states[0]() if len(_states) == 1 else None
    state: BitmapistState | None = app.extensions.get("bitmapist")
    return state


def resolve(system: Any) -> Redis:
    """Return the connection that *system* stands for.

    Args:
        system: A system's name, or a redis-py client or pipeline, which is
            returned as it is.

    Raises:
        RuntimeError: No app says which connection the name means.
    """
    if not isinstance(system, str):
        client: Redis = system
        return client
    state = current_state()
    if state is not None and system in state.systems:
        return state.systems[system]
    present = bitmapist.SYSTEMS.get(system)
    if present is not None and not isinstance(present, LocalProxy):
        return present
    if system in _hosts_own:
        return _hosts_own[system]
    raise RuntimeError(_unresolved(system, state))


def _unresolved(system: str, state: BitmapistState | None) -> str:
    if state is not None:
        known = ", ".join(sorted(state.systems))
        return f"there is no Redis system {system!r} in this app; it has {known}"
    if current_app:
        return (
            "Flask-Bitmapist is not initialised for this app; "
            "call FlaskBitmapist(app) or init_app(app) first"
        )
    return (
        f"the Redis system {system!r} belongs to an app, and none is active; "
        "use it inside 'with app.app_context():'"
    )


def _track_hourly() -> bool:
    state = current_state()
    return state.settings.track_hourly if state is not None else False
