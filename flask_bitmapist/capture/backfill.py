"""Events out of an app's own database: what users did before it tracked them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .importing import AT_ONCE, ISO, Block, Column, Importer, ImportSummary

try:
    import sqlalchemy
    from sqlalchemy import column, func, select, table, text
except ImportError as error:
    raise ImportError(
        "flask_bitmapist.capture.backfill needs SQLAlchemy: "
        "pip install 'flask-bitmapist[sqlalchemy]'"
    ) from error

if TYPE_CHECKING:
    from sqlalchemy import Engine, Executable, Select

    from ..state import BitmapistState


def backfill(
    state: BitmapistState,
    event: str,
    statement: Executable,
    engine: Engine,
    *,
    track_hourly: bool | None = None,
    time_format: str = ISO,
    time_zone: str | None = None,
) -> ImportSummary:
    """Mark an event for every row of a query.

    Args:
        state: The app's.
        event: The event.
        statement: What gives the users and the times, in this order.
        engine: The database.
        track_hourly: Write hours as well; ``BITMAPIST_TRACK_HOURLY`` by default.
        time_format: How times are written that are no date or datetime.
        time_zone: The zone of times without an offset; the app's by default.

    Returns:
        What has been done.

    Raises:
        ValueError: The event cannot be called so, or the query has not two columns.
        sqlalchemy.exc.SQLAlchemyError: The database does not answer the query.
        redis.exceptions.RedisError: Redis does not take the rows.
    """
    importer = Importer(
        state, track_hourly=track_hourly, time_format=time_format, time_zone=time_zone
    )
    importer.check_event(event)
    for block in blocks_of(engine, statement, event):
        importer.add(block)
    importer.finish()
    return importer.summary


def blocks_of(engine: Engine, statement: Executable, event: str) -> Iterator[Block]:
    """Yield the rows of a query as blocks, as the database finds them.

    Where the database has cursors, no more rows than a block are held, here or by its
    driver.

    Raises:
        ValueError: The query has not two columns.
        sqlalchemy.exc.SQLAlchemyError: The database does not answer it.
    """
    with (
        engine.connect().execution_options(yield_per=AT_ONCE) as connection,
        connection.execute(statement) as result,
    ):
        columns = len(result.keys())
        if columns != 2:
            raise ValueError(
                f"the query must give two columns, the user and the time, not {columns}"
            )
        first = 1
        for rows in result.partitions():
            users, times = zip(*rows)
            numbers = range(first, first + len(rows))
            events = [event] * len(rows)
            yield Block(numbers, Column(users), Column(events), Column(times))
            first += len(rows)


def statement_of(
    name: str, user: str, time: str, where: str | None = None
) -> Select[Any]:
    """Return the query of two columns of a table.

    Args:
        name: The table, or view, also with its schema and a dot.
        user: The column of users.
        time: The column of times.
        where: A condition in SQL, as it is.
    """
    schema, _, last = name.rpartition(".")
    rows = table(last, column(user), column(time), schema=schema or None)
    found = select(rows.c[user], rows.c[time])
    return found if where is None else found.where(text(where))


def count_rows(engine: Engine, statement: Select[Any]) -> int:
    """Return how many rows a query of :func:`statement_of` will give.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: The database does not answer it.
    """
    with engine.connect() as connection:
        counted = statement.with_only_columns(func.count(), maintain_column_froms=True)
        return int(connection.execute(counted).scalar_one())


def engine_of(extension: Any, statement: Executable) -> Engine:
    """Return the engine that Flask-SQLAlchemy, or -Lite, has for a query.

    Args:
        extension: ``app.extensions["sqlalchemy"]``, in the app's context.
        statement: The query; its model may have a database of its own.

    Raises:
        RuntimeError: There is no such extension.
    """
    if extension is None:
        raise RuntimeError(
            "there is no database: initialise Flask-SQLAlchemy or "
            "Flask-SQLAlchemy-Lite for this app, or name one (engine, --database)"
        )
    described = getattr(statement, "column_descriptions", ())
    entities = (each.get("entity") for each in described)
    mappers = (sqlalchemy.inspect(each, raiseerr=False) for each in entities)
    mapper = next((each for each in mappers if hasattr(each, "local_table")), None)
    bind = extension.session.get_bind(mapper=mapper, clause=statement)
    engine: Engine = bind.engine
    return engine
