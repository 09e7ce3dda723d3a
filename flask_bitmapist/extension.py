"""The extension object and what it keeps for each app."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from datetime import date, datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

import bitmapist
import click
from flask import Config, Flask, has_app_context

from . import config as configuration
from .access import Access, Registered, Rule
from .analysis.expressions import Expression
from .analysis.parsing import parse
from .state import EXTENSION_NAME, BitmapistState, create_state, current_state

if TYPE_CHECKING:
    from flask_admin import Admin
    from sqlalchemy import Engine, Executable

    from .capture.deletion import Deletion
    from .capture.erasing import Receipt
    from .capture.importing import ImportSummary
    from .query import Query
    from .questions.declare import AnyQuestion, Question

# What answers questions, and numpy with it, is loaded with the first question: an app
# that marks, and a worker that is never asked, do without.

logger = logging.getLogger("flask_bitmapist")

R = TypeVar("R", bound=Rule)
Q = TypeVar("Q", bound="Question[Any]")


class FlaskBitmapist:
    """Knows what the users of a Flask app do.

    One object serves any number of apps, each with its own settings and Redis.

    Args:
        app: The app to initialise at once; leave it out in an app factory and call
            :meth:`init_app` there.
        config: Settings that come before those in ``app.config``, by the same names;
            also a whole ``app.config``.
        admin: A Flask-Admin instance that gets the analytics tabs, in all apps of this
            object that are not given another.  It may serve several apps, and be
            initialised before them or after.

    Raises:
        ValueError: *config* is neither a dict nor None, or a setting is wrong.

    Example:
        >>> app = Flask(__name__)
        >>> bitmapist = FlaskBitmapist(app, {"BITMAPIST_REDIS_URL": "memory://"})
    """

    def __init__(
        self,
        app: Flask | None = None,
        config: dict[str, Any] | None = None,
        admin: Admin | None = None,
    ) -> None:
        self.config = _checked_config(config)
        self._admin = admin
        self._last: BitmapistState | None = None
        self._states: WeakSet[BitmapistState] = WeakSet()
        self._named: dict[str, Expression] = {}
        self._own: dict[str, AnyQuestion] = {}
        self._registered = Registered()
        self._is_second = False
        if app is not None:
            self.init_app(app)

    def init_app(
        self,
        app: Flask,
        config: dict[str, Any] | None = None,
        admin: Admin | None = None,
    ) -> None:
        """Initialise *app*.

        A second time with the same settings changes nothing.

        Args:
            app: The app.
            config: Settings that come before those in ``app.config``.
            admin: A Flask-Admin instance that gets the analytics tabs; by default the
                one that was given to this object, if any.

        Raises:
            ValueError: *config* is neither a dict nor None, or a setting is wrong.
            RuntimeError: The app was initialised before with other settings, or by
                another object while this one has names, questions or a rule of its
                own, which the app would not see.
        """
        overrides = {**(self.config or {}), **(_checked_config(config) or {})}
        settings = configuration.load(app.config, overrides)
        state: BitmapistState | None = app.extensions.get(EXTENSION_NAME)
        if state is None:
            tokens = settings.api_tokens or {}
            access = Access(app, settings.access, self._registered, tokens)
            state = create_state(app, settings, self._named, self._own, access)
            _register(state)
            _warn_of_unknown(app)
            self._enter_templates(app, settings.jinja_name)
        elif state.settings != settings:
            raise RuntimeError(_initialised_twice(state.settings, settings))
        if state.named is not self._named:
            if self._named or self._own or self._registered.rule is not None:
                raise RuntimeError(_OF_ANOTHER % "what this object has been given")
            self._is_second = True
        self._last = state
        self._states.add(state)
        tabs = admin if admin is not None else self._admin
        if tabs is not None:
            _add_tabs(state, tabs)

    def _enter_templates(self, app: Flask, name: str) -> None:
        """Let the templates of an app use this object, by a name."""

        def add() -> dict[str, Any]:
            # As a global, so that imported macros have it.  Not before the first
            # template is filled in: the app may still change what Jinja is made with.
            app.jinja_env.globals.setdefault(name, self)
            return {}

        if name:
            app.context_processor(add)

    def define(self, name: str, expression: str | Expression) -> None:
        """Give an expression a name, under which it stands beside the events.

        It then appears in every form, and can be asked for by its name from Python and
        the command line, in all apps of this extension object.

        Args:
            name: Its name; an event of the same name is hidden by it.
            expression: What it stands for, also as text.

        Raises:
            QueryError: The text cannot be read.
            RuntimeError: An app of this object was initialised by another one.

        Example:
            >>> bitmapist.define("engaged", "song:played and not flag(staff)")
        """
        self._check_is_first("define")
        if isinstance(expression, str):
            expression = parse(expression, self._named)
        self._named[name] = expression

    def question(self, declared: type[Q]) -> type[Q]:
        """Add a question of the app's own, in all apps of this object.

        It is then asked like the others: as a method of :attr:`query`, a command, a
        page with a form, a tab in Flask-Admin, JSON, CSV, OpenAPI and MCP.  Apps that
        are initialised already get it too, as long as they have served no request.

        Args:
            declared: A class derived from
                :class:`~flask_bitmapist.questions.declare.Question`.

        Returns:
            *declared* as it is, so that this can be used as a decorator.

        Raises:
            TypeError: *declared* is no question.
            ValueError: There is another question of that name, or a command or a
                page.
            RuntimeError: An app of this object was initialised by another one.

        A whole one is in :doc:`/howto/own-question`.
        """
        from .query import QUESTIONS, Query
        from .questions.declare import Question
        from .questions.schema import answer_type

        if not (isinstance(declared, type) and issubclass(declared, Question)):
            raise TypeError(f"a question derives from Question; {declared!r} does not")
        self._check_is_first("question")
        if declared.name in self._own or hasattr(Query, declared.name):
            raise ValueError(f"there is already a question {declared.name!r}")
        if declared.name in _commands():
            raise ValueError(f"there is already a command {declared.name!r}")
        pages = {each.endpoint for each in (*QUESTIONS, *self._own.values())}
        if declared.endpoint in pages | OTHER_PAGES:
            raise ValueError(
                f"there is already a page {declared.endpoint!r}; give "
                f"{declared.__name__} another name or endpoint"
            )
        answer_type(declared)  # says what is missing while the class is looked at
        self._own[declared.name] = declared
        for state in list(self._states):
            _add_question(state, declared)
        return declared

    def access(self, rule: R) -> R:
        """Let *rule* decide who may see the pages, in all apps of this object.

        It comes before ``BITMAPIST_ACCESS``, and is followed by the tabs in
        Flask-Admin as well, unless a tab's class has an ``is_accessible`` of its own.

        Args:
            rule: Called without arguments in each request for a page.  True shows
                the page, False refuses it, a response (a redirect to a login, for
                example) is sent instead.  It may be ``async``.

        Returns:
            *rule* as it is, so that this can be used as a decorator.

        Raises:
            TypeError: *rule* cannot be called.
            RuntimeError: An app of this object was initialised by another one.

        Example:
            >>> @bitmapist.access
            ... def staff_only():
            ...     return current_user.is_authenticated and current_user.is_staff
        """
        if not callable(rule):
            raise TypeError(f"access() takes a callable, not {rule!r}")
        self._check_is_first("access")
        self._registered.rule = rule
        return rule

    def _check_is_first(self, method: str) -> None:
        """Refuse what the app of another object would not see."""
        if self._is_second:
            raise RuntimeError(_OF_ANOTHER % f"{method}()")

    @property
    def _state(self) -> BitmapistState | None:
        current = current_state() if has_app_context() else None
        return current if current is not None else self._last

    @property
    def app(self) -> Flask | None:
        """The current app, or outside an app context the one initialised last."""
        return self._state.app if self._state else None

    @property
    def redis_url(self) -> str | None:
        """The URL configured for :attr:`app`, password included."""
        return self._state.redis_url if self._state else None

    @property
    def SYSTEMS(self) -> dict[str, Any]:  # noqa: N802 - the name of version 0.1
        """bitmapist's connections by name."""
        return bitmapist.SYSTEMS

    @property
    def TRACK_HOURLY(self) -> bool:  # noqa: N802 - the name of version 0.1
        """Whether marks keep hours unless they say otherwise."""
        return self._state.TRACK_HOURLY if self._state else False

    @property
    def query(self) -> Query:
        """Where questions are asked, for :attr:`app`.

        Raises:
            RuntimeError: No app has been initialised.
        """
        state = self._state
        if state is None:
            raise RuntimeError("no app is initialised; call init_app(app) first")
        return state.query

    def backfill(
        self,
        event: str,
        statement: Executable,
        *,
        engine: Engine | None = None,
        track_hourly: bool | None = None,
        time_format: str = "iso",
        time_zone: str | None = None,
    ) -> ImportSummary:
        """Mark an event for every row of a query in the database of :attr:`app`.

        So an app has its history on the first day.  Rows are streamed where the
        database can do that, and those that cannot be used are counted and left out.
        Doing it again changes nothing.

        Args:
            event: The event.
            statement: What gives the users and the times, in this order, such as
                ``select(Order.customer_id, Order.created_at)``.  Times without an
                offset are taken as the app's clock shows them.
            engine: The database; that of Flask-SQLAlchemy or Flask-SQLAlchemy-Lite by
                default.
            track_hourly: Record hours as well; ``BITMAPIST_TRACK_HOURLY`` by default.
            time_format: How times are kept that are no date or datetime: ``"iso"``,
                ``"epoch"`` (seconds since 1970), ``"epoch-ms"`` (milliseconds), or a
                format of :meth:`datetime.datetime.strptime`.
            time_zone: The zone of times without an offset, such as ``"UTC"``; the app's
                by default.

        Returns:
            How many rows there were, which of them were left out and why, and how many
            bits are new.

        Raises:
            ImportError: SQLAlchemy is not installed.
            RuntimeError: No app has been initialised, or it has no database.
            ValueError: The event cannot be called so, or the query has not two columns.
            sqlalchemy.exc.SQLAlchemyError: The database does not answer the query.
            redis.RedisError: The store does not take the rows; do it again later.
        """
        from .capture.backfill import backfill, engine_of

        state = self._state
        if state is None:
            raise RuntimeError("no app is initialised; call init_app(app) first")
        with state.app.app_context():
            if engine is None:
                engine = engine_of(state.app.extensions.get("sqlalchemy"), statement)
            return backfill(
                state,
                event,
                statement,
                engine,
                track_hourly=track_hourly,
                time_format=time_format,
                time_zone=time_zone,
            )

    def import_rows(
        self,
        rows: Iterable[tuple[Any, str, datetime | date | str | float]],
        *,
        track_hourly: bool | None = None,
        time_format: str = "iso",
        max_events: int = 1000,
    ) -> ImportSummary:
        """Mark the events of many rows at once, in :attr:`app`.

        Rows that cannot be used are counted and left out.  Doing it again changes
        nothing.

        Args:
            rows: Users, events and times, in this order.  Times without an offset are
                in UTC.
            track_hourly: Record hours as well; ``BITMAPIST_TRACK_HOURLY`` by default.
            time_format: How times are written that are no date or datetime: ``"iso"``,
                ``"epoch"`` (seconds since 1970), ``"epoch-ms"`` (milliseconds), or a
                format of :meth:`datetime.datetime.strptime`.
            max_events: Different events that are taken; rows of further ones are left
                out.

        Returns:
            How many rows there were, which of them were left out and why, and how many
            bits are new.

        Raises:
            RuntimeError: No app has been initialised.
            ValueError: There is no such time format.
            redis.RedisError: The store does not take the rows; do it again later.

        Example:
            >>> bitmapist.import_rows([(5, "order:placed", "2024-05-01")]).written
            1
        """
        from .capture.importing import import_rows

        state = self._state
        if state is None:
            raise RuntimeError("no app is initialised; call init_app(app) first")
        return import_rows(
            state,
            rows,
            track_hourly=track_hourly,
            time_format=time_format,
            max_events=max_events,
        )

    def deletion(
        self,
        event: str | None,
        *,
        flag: bool = False,
        before: date | None = None,
        keep_seen: bool = True,
    ) -> Deletion:
        """Plan to delete what :attr:`app` keeps of an event.

        Nothing is deleted before the plan's ``carry_out()`` is called.

        Args:
            event: The event's name, or the flag's; None for all events and flags.
            flag: Mean the flag of that name, not the event.
            before: Only hours, days, weeks and months that end on this day or earlier;
                the event itself stays known.
            keep_seen: Keep who did it before that day, without saying when: so they are
                not new when they do it again.

        Returns:
            The plan, whose ``keys``, ``users`` and ``periods`` tell what would go.

        Raises:
            RuntimeError: No app has been initialised.
            redis.RedisError: The store does not answer.

        Example:
            >>> plan = bitmapist.deletion("song:played", before=date(2020, 1, 1))
            >>> len(plan.keys)
            0
            >>> plan.carry_out()
            0
        """
        from .capture.deletion import plan_deletion

        state = self._state
        if state is None:
            raise RuntimeError("no app is initialised; call init_app(app) first")
        return plan_deletion(state, event, flag, before, keep_seen=keep_seen)

    def forget(self, user: Any, *, by: str | None = None) -> Receipt:
        """Erase a person from all that :attr:`app` keeps.

        Their bit is cleared in every bitmap, their id loses its number, and their marks
        that still wait are dropped, in other processes when their turn comes.  What is
        marked afterwards is kept as that of somebody new.  It cannot be undone; doing
        it again does no harm, and finishes what was interrupted.

        Args:
            user: The person, as for a mark: an id, or a user's object.
            by: Who asks for it, for the receipt.

        Returns:
            The receipt, which names the person only by an HMAC under ``SECRET_KEY``.

        Raises:
            QueryError: Nobody can be called so.
            RuntimeError: No app has been initialised, or it has no ``SECRET_KEY``.
            redis.RedisError: The store does not answer, or refuses; call it again.

        Example:
            >>> app.secret_key = "change me"
            >>> bitmapist.forget(7, by="privacy desk").remaining
            0
        """
        state = self._state
        if state is None:
            raise RuntimeError("no app is initialised; call init_app(app) first")
        return state.recorder.forget(user, by)

    def person(self, user: Any) -> dict[str, Any]:
        """Return all that :attr:`app` keeps of a person, to hand it out to them.

        It is found as :meth:`forget` finds it, by a look into every bitmap; what
        :attr:`query`'s ``person`` tells is of some days.  Marks that still wait are not
        in it: call :meth:`flush` first.

        Args:
            user: The person, as for a mark: an id, or a user's object.

        Returns:
            What goes into JSON as it is, with ``user_id``; ``events``, by name the
            ``months``, ``weeks``, ``days`` and ``hours`` in which they did it, oldest
            first, and ``before``, the day before which they did it at a time that was
            deleted; and ``flags``.

        Raises:
            QueryError: Nobody can be called so.
            RuntimeError: No app has been initialised.
            redis.RedisError: The store does not answer.

        Example:
            >>> bitmapist.person(7)
            {'user_id': 7, 'events': {}, 'flags': []}
        """
        from .capture.erasing import export_person

        state = self._state
        if state is None:
            raise RuntimeError("no app is initialised; call init_app(app) first")
        recorder = state.recorder
        told = export_person(recorder.eraser, user)
        return {"user_id": recorder.identity.known(user), **told}

    def flush(self) -> bool:
        """Write all marks of :attr:`app` that wait, now.

        Returns:
            Whether everything is written; False if Redis does not take it.
        """
        state = self._state
        return state.recorder.flush() if state is not None else True


_OF_ANOTHER = (
    "%s would not reach an app that was initialised by another FlaskBitmapist object; "
    "use that object for names, questions and access"
)

OTHER_PAGES = frozenset({"static", "openapi", "delete", "forget"})
"""Endpoints of the pages that are of no question."""


def _commands() -> Collection[str]:
    from .cli import bitmapist_cli

    return bitmapist_cli.commands


def _checked_config(config: dict[str, Any] | None) -> dict[str, Any] | None:
    if isinstance(config, Config):
        return {name: config[name] for name in config if configuration.is_ours(name)}
    if config is None or isinstance(config, dict):
        return config
    raise ValueError(f"config must be a dict or None, not {type(config).__name__}")


def _warn_of_unknown(app: Flask) -> None:
    for name in configuration.unknown(app.config):
        logger.warning(
            "%s is not a setting of this version of Flask-Bitmapist, and is ignored",
            name,
        )


def _register(state: BitmapistState) -> None:
    app, settings = state.app, state.settings
    app.cli.add_command(_Commands("bitmapist"))
    if settings.login_events and find_spec("flask_login"):
        from .extensions.flask_login import connect

        connect(app)
    if not settings.disable_blueprint:
        from .web.blueprint import create_blueprint

        app.register_blueprint(create_blueprint(state))


class _Commands(click.Group):
    """The group of :mod:`flask_bitmapist.cli`, loaded when anything is asked of it."""

    @property
    def _group(self) -> click.Group:
        from .cli import bitmapist_cli

        return bitmapist_cli

    def list_commands(self, ctx: click.Context) -> list[str]:
        return self._group.list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return self._group.get_command(ctx, cmd_name)

    def get_short_help_str(self, limit: int = 45) -> str:
        return self._group.get_short_help_str(limit)

    def format_help_text(self, *arguments: Any) -> None:
        self._group.format_help_text(*arguments)


def _add_question(state: BitmapistState, question: AnyQuestion) -> None:
    if not state.settings.disable_blueprint:
        from .web.blueprint import add_question

        add_question(state, question)
    if state.admins:
        from .admin import add_views

        for admin in state.admins:
            add_views(admin, questions=[question])


def _add_tabs(state: BitmapistState, admin: Admin) -> None:
    from .admin import add_views

    if not any(known is admin for known in state.admins):
        state.admins.append(admin)
        add_views(admin, questions=state.query.questions())


def _initialised_twice(
    first: configuration.Settings, second: configuration.Settings
) -> str:
    different = ", ".join(
        configuration.PREFIX + name.upper()
        for name in vars(first)
        if getattr(first, name) != getattr(second, name)
    )
    return (
        "this app is already initialised, with other values for "
        f"{different}; initialise it once, after its configuration is complete"
    )
