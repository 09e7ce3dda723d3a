"""What is kept for each app, and bitmapist's settings of the whole process.

Everything that serves an app is made here, once, and handed down from here.  Only the
edges, where somebody calls without saying for which app, ask for the current one.

bitmapist keeps its connections in one dictionary and its hourly switch in one
variable for the whole process.  Both are given objects here that look up the
current app whenever bitmapist uses them, so that several apps in one process
never see each other's events.  What the host puts in their place later wins.
"""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, cast

import bitmapist
from flask import current_app, has_app_context, has_request_context, request
from werkzeug.local import LocalProxy

from .capture.recorder import DEFAULT_SYSTEM, Recorder
from .config import DEFAULT_URL, Settings
from .store.catalogue import Catalogue
from .store.connect import open_client, open_for_tests, require_fakeredis
from .store.zones import Zones

if TYPE_CHECKING:
    from datetime import datetime

    from flask import Flask
    from jinja2 import Environment
    from redis import Redis

    from .access import Access
    from .analysis.errors import Text
    from .analysis.expressions import Expression
    from .analysis.periods import Calendar
    from .query import Query
    from .questions.declare import AnyQuestion

EXTENSION_NAME = "bitmapist"

MEMORY_URL = "memory://"
"""What a store inside this process is asked for with."""


class _Follower(LocalProxy[Any]):
    """Stands in bitmapist for what the current app has there."""

    __slots__ = ()


class Globals:
    """bitmapist's settings of the whole process, as one app sees them.

    Args:
        settings: The app's settings.
        own: The app's connections, by the names under which they serve.
    """

    def __init__(self, settings: Settings, own: Mapping[str, Redis]) -> None:
        self.settings = settings
        self._own = own

    def client(self, system: Any) -> Redis:
        """Return the connection that *system* stands for.

        Args:
            system: A system's name, or a redis-py client or pipeline, which is
                returned as it is.

        Raises:
            RuntimeError: The name means no connection, or nothing says of which app.
        """
        if not isinstance(system, str):
            client: Redis = system
            return client
        present = _put_in_place(system)
        if present is not None:
            return present
        if system in self._own:
            return self._own[system]
        if system in _hosts_own:
            return _hosts_own[system]
        raise RuntimeError(_unresolved(system, self._own))

    @property
    def track_hourly(self) -> bool:
        """Whether hours are kept unless a mark says otherwise."""
        present: Any = bitmapist.TRACK_HOURLY
        if type(present) is _Follower:
            return self.settings.track_hourly
        return bool(present)


@dataclass(frozen=True, eq=False)
class Store:
    """All that serves an app at one Redis."""

    client: Redis
    """The connection for everything but marks and questions."""
    read_client: Redis
    """The connection for questions."""
    recorder: Recorder
    catalogue: Catalogue
    zones: Zones
    url: str = field(repr=False)
    """Where it is, password included: keep it from pages and logs."""
    _named: Mapping[str, Expression]
    _own: Mapping[str, AnyQuestion]

    @cached_property
    def query(self) -> Query:
        """Where questions are asked; made, and numpy loaded, with the first of them."""
        from .query import Exclusion, Query
        from .questions.asking import Names
        from .store.idmap import identity_of
        from .store.reader import BitmapReader

        reads, settings = self.read_client, self.recorder.settings
        names = Names(self.catalogue, self._named, settings.everyone)
        identity = identity_of(settings, reads, self.client)
        exclusion = Exclusion(settings.exclude, settings.exclude_locked, identity)
        return Query(
            *(BitmapReader(reads), names, identity, self._own),
            clock=self._clock,
            exclusion=exclusion,
        )

    def _clock(self) -> tuple[Calendar, Text | None, datetime | None]:
        calendar = self.zones.calendar(self.read_client, self.client)
        return calendar, self.zones.difference, self.zones.ahead


@dataclass(eq=False)
class BitmapistState:
    """What the extension keeps for one app, in ``app.extensions["bitmapist"]``."""

    app: Flask
    settings: Settings
    named: dict[str, Expression]
    """Expressions that the app has given names, see :meth:`FlaskBitmapist.define`."""
    own: dict[str, AnyQuestion]
    """The app's own questions by name, see :meth:`FlaskBitmapist.question`."""
    access: Access
    """Who may see the pages."""
    _own: Store
    _elsewhere: Store | None = None
    _of_tests: Store | None = None
    _lent: Store | None = None
    admins: list[Any] = field(default_factory=list)
    """The Flask-Admin instances that already have the tabs."""
    environments: dict[type, Environment] = field(default_factory=dict)
    """What reads the templates, for each kind of surface; made with its first page."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def store(self) -> Store:
        """What serves the app now.

        That is at the Redis of its settings, unless a client was put into
        ``bitmapist.SYSTEMS["default"]`` since: then it is at that one.  Tests of an app
        whose settings name no Redis have one of their own, in memory: what answers on
        this machine may be anybody's.
        """
        if self._lent is not None:
            return self._lent
        client = _put_in_place(DEFAULT_SYSTEM)
        if client is None:
            # Many apps are told that they are tested when they are made already.
            if self.settings.redis_url is None and self.app.testing:
                return self._for_tests()
            return self._own
        with self._lock:
            if self._elsewhere is None or self._elsewhere.client is not client:
                process = self._own.recorder.process
                self._elsewhere = self._store_at(client, process, self._own.url)
            return self._elsewhere

    @contextmanager
    def in_memory(self) -> Iterator[None]:
        """Serve the app at an empty store inside this process, for a while.

        Raises:
            RuntimeError: fakeredis is not installed.
        """
        require_fakeredis()
        before, self._lent = self._lent, self._in_memory()
        try:
            yield
        finally:
            self._lent = before

    def _for_tests(self) -> Store:
        with self._lock:
            if self._of_tests is None:
                self._of_tests = self._in_memory()
            return self._of_tests

    def _in_memory(self) -> Store:
        client, is_there = open_for_tests()
        # Without fakeredis marks come to nothing, which the log says once.
        on_error = self.settings.on_error if is_there else "ignore"
        settings = replace(self.settings, on_error=on_error)
        process = Globals(settings, _named_alike(settings, client))
        return self._store_at(client, process, MEMORY_URL)

    def _store_at(self, client: Redis, process: Globals, url: str) -> Store:
        # What the file keeps is for the Redis of the settings.
        settings = replace(process.settings, spool_file="")
        catalogue, zones = Catalogue(client, client), Zones(settings.calendar)
        recorder = Recorder(
            *(settings, client, self.app, process, request_environ),
            mark_client=client,
            catalogue=catalogue,
            zones=zones,
        )
        return Store(
            *(client, client, recorder, catalogue, zones, url, self.named, self.own)
        )

    @property
    def globals(self) -> Globals:
        """bitmapist's settings of the process, as the app sees them."""
        return self.store.recorder.process

    @property
    def systems(self) -> dict[str, Redis]:
        """The connections by the names under which they serve in the app."""
        names = (self.settings.redis_system, DEFAULT_SYSTEM)
        return {name: self.globals.client(name) for name in names}

    @property
    def read_client(self) -> Redis:
        """The connection for questions."""
        return self.store.read_client

    @property
    def recorder(self) -> Recorder:
        """Makes and writes the app's marks."""
        return self.store.recorder

    @property
    def catalogue(self) -> Catalogue:
        """Knows which events there are."""
        return self.store.catalogue

    @property
    def query(self) -> Query:
        """Where questions are asked."""
        return self.store.query

    @property
    def redis_url(self) -> str:
        """The configured URL, password included: keep it from pages and logs."""
        return self.store.url

    @property
    def SYSTEMS(self) -> dict[str, Any]:  # noqa: N802 - the name of version 0.1
        """bitmapist's connections by name."""
        return bitmapist.SYSTEMS

    @property
    def TRACK_HOURLY(self) -> bool:  # noqa: N802 - the name of version 0.1
        """Whether marks keep hours unless they say otherwise."""
        return self.globals.track_hourly


WITHOUT_APP = Globals(Settings(on_error="raise"), {})
"""What code sees that no app runs."""

# What stood in bitmapist.SYSTEMS before, for names that the host had set itself.
_hosts_own: dict[str, Redis] = {}
_untouched_default = bitmapist.SYSTEMS.get(DEFAULT_SYSTEM)


def create_state(
    app: Flask,
    settings: Settings,
    named: dict[str, Expression],
    own: dict[str, AnyQuestion],
    access: Access,
) -> BitmapistState:
    """Make what the extension keeps for *app*, and let bitmapist find it.

    Args:
        app: The app.
        settings: Its settings.
        named: Expressions that have names.
        own: The app's own questions, by name.
        access: Who may see the pages.
    """
    url = settings.redis_url or DEFAULT_URL
    client = _open(url, settings)
    elsewhere = settings.redis_read_url
    reads = client if elsewhere is None else _open(elsewhere, settings)
    names = _named_alike(settings, client)
    process = Globals(settings, names)
    catalogue, zones = Catalogue(reads, client), Zones(settings.calendar)
    recorder = Recorder(
        *(replace(settings, redis_url=url), client, app, process, request_environ),
        catalogue=catalogue,
        zones=zones,
    )
    at_home = Store(client, reads, recorder, catalogue, zones, url, named, own)
    state = BitmapistState(app, settings, named, own, access, at_home)
    app.extensions[EXTENSION_NAME] = state
    _install(state, names)
    return state


def _named_alike(settings: Settings, client: Redis) -> Mapping[str, Redis]:
    """Return a client under the names of an app's systems."""
    return dict.fromkeys((settings.redis_system, DEFAULT_SYSTEM), client)


def _open(url: str, settings: Settings) -> Redis:
    return open_client(
        url, connect_timeout=settings.connect_timeout, timeout=settings.read_timeout
    )


def _install(state: BitmapistState, names: Mapping[str, Redis]) -> None:
    """Let bitmapist find *state*'s connection by its names, in its app's context."""
    _living.add(state)
    for name in names:
        present: Any = bitmapist.SYSTEMS.get(name)
        if type(present) is _Follower:
            continue
        if present is not None and present is not _untouched_default:
            _hosts_own[name] = present
        bitmapist.SYSTEMS[name] = cast("Any", _Follower(partial(_followed, name)))
    bitmapist.TRACK_HOURLY = cast("Any", _Follower(_tracks_hourly))


def _put_in_place(system: str) -> Redis | None:
    """Return what the host has put into bitmapist's dictionary under a name."""
    present: Any = bitmapist.SYSTEMS.get(system)
    return None if type(present) is _Follower else present


def _followed(system: str) -> Redis:
    state = current_state()
    return (WITHOUT_APP if state is None else state.globals).client(system)


def _tracks_hourly() -> bool:
    state = current_state()
    return state.settings.track_hourly if state is not None else False


class _Living:
    """The states of the apps that there still are in this process."""

    def __init__(self) -> None:
        self._states: weakref.WeakSet[BitmapistState] = weakref.WeakSet()
        self._is_swept = False

    def add(self, state: BitmapistState) -> None:
        self._states.add(state)
        self._is_swept = False

    def only(self, sweep: bool) -> BitmapistState | None:
        """Return the state of the only app, or None if there are none or several."""
        states = list(self._states)
        if len(states) > 1 and sweep and not self._is_swept:
            # An app refers to itself in many ways, so it outlives its last use until
            # Python looks for such circles.  That takes long: once for each new app.
            self._is_swept = True
            states.clear()
            gc.collect()
            states = list(self._states)
        return states[0] if len(states) == 1 else None


_living = _Living()


def current_state(sweep: bool = True) -> BitmapistState | None:
    """Return the state of the app whose context is active, if it has one.

    Outside any app context it is the state of the only app of this process, where
    there is no more than one; apps that are gone do not count.

    Args:
        sweep: Find out about apps that are gone, where it depends on them.
    """
    # Asked for each mark, so the proxy is looked through only once.
    try:
        app = current_app._get_current_object()  # type: ignore[attr-defined]
    except RuntimeError:
        return _living.only(sweep)
    state: BitmapistState | None = app.extensions.get(EXTENSION_NAME)
    return state


def request_environ() -> Mapping[str, Any] | None:
    """Return the WSGI environ of the request being answered, if there is one."""
    return request.environ if has_request_context() else None


def demanded_state() -> BitmapistState:
    """Return the state of the current app, see :func:`current_state`.

    Raises:
        RuntimeError: It has none.
    """
    state = current_state()
    if state is None:
        raise RuntimeError(_UNINITIALISED if has_app_context() else _NO_CONTEXT)
    return state


_UNINITIALISED = (
    "Flask-Bitmapist is not initialised for this app; "
    "call FlaskBitmapist(app) or init_app(app) first"
)
_NO_CONTEXT = "no app is active; run this inside 'with app.app_context():'"


def _unresolved(system: str, own: Mapping[str, Redis]) -> str:
    if own:
        known = ", ".join(sorted(own))
        return f"there is no Redis system {system!r} in this app; it has {known}"
    if has_app_context():
        return _UNINITIALISED
    return (
        f"the Redis system {system!r} belongs to an app, and none is active; "
        "use it inside 'with app.app_context():'"
    )
