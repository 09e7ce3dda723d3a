"""What the commands share: options, the app's state, and how results are shown."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from datetime import date, datetime
from typing import Any, TypeVar

import click
from flask.cli import with_appcontext
from redis.exceptions import RedisError

from ..analysis.errors import QueryError, printable
from ..analysis.results import Result
from ..questions.declare import read_day
from ..state import MEMORY_URL, BitmapistState, current_state
from ..store.connect import redact

Command = TypeVar("Command", bound=Callable[..., Any])


class _Day(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A day, or a moment, read as the parameters of questions are."""

    name = "date"

    def convert(self, value: Any, param: Any, ctx: Any) -> date | datetime:
        try:
            return read_day(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


DAY = _Day()


def asks(command: Command) -> Command:
    """Give the command the app's state, and turn errors into messages."""

    @with_appcontext
    @functools.wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        state = current_state()
        if state is None:
            raise click.ClickException(
                "Flask-Bitmapist is not initialised for this app; "
                "call FlaskBitmapist(app) first"
            )
        try:
            return command(state, *args, **kwargs)
        except QueryError as error:
            raise click.UsageError(str(error)) from None
        except RedisError as error:
            raise click.ClickException(unreachable(state, error)) from None

    return wrapper  # type: ignore[return-value]


def writes(command: Command) -> Command:
    """Do as :func:`asks` does, and refuse a store that is gone with this process.

    In tests (``TESTING``) the process goes on, and the store with it.
    """

    @functools.wraps(command)
    def wrapper(state: BitmapistState, *args: Any, **kwargs: Any) -> Any:
        if state.redis_url.startswith(MEMORY_URL) and not state.app.testing:
            raise click.UsageError(
                "events are stored in memory (memory://), which is gone when this "
                "command ends: set BITMAPIST_REDIS_URL to a Redis server"
            )
        return command(state, *args, **kwargs)

    return asks(wrapper)  # type: ignore[return-value]


def unreachable(state: BitmapistState, error: RedisError) -> str:
    """Return what to say when Redis does not answer as it should."""
    url = state.redis_url
    told = str(error).replace(url, redact(url))
    return (
        f"Redis at {redact(url)} cannot be read: {told}\n"
        "'flask bitmapist doctor' has more details."
    )


def show(result: Result, output: str | None) -> None:
    """Print a result as a table, or as JSON or CSV."""
    if output == "json":
        show_json(result.to_dict())
    elif output == "csv":
        click.echo(result.to_csv(), nl=False)
    else:
        for line in str(result).split("\n"):
            tell(line)


def tell(line: object, err: bool = False) -> None:
    """Print one line, which may hold what anybody has named an event or a user."""
    click.echo(printable(str(line)), err=err)


def show_json(value: Any) -> None:
    """Print JSON."""
    click.echo(json.dumps(value, indent=2))
