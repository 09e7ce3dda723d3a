"""``flask bitmapist import`` and ``backfill``: events from files and databases."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from typing import IO, Any

import click
from flask import Flask, url_for
from redis.exceptions import RedisError

from ..analysis.expressions import Event
from ..analysis.periods import Period
from ..analysis.results import to_csv
from ..capture.csvfile import EVENT, TIME, USER, CsvFile, UnreadableFileError
from ..capture.importing import (
    ISO,
    MOST_EVENTS,
    Block,
    Importer,
    ImportSummary,
    RejectedRow,
)
from ..capture.sample import SampleError, fill, take_out
from ..query import utc_now
from ..questions.cohort import Cohort
from ..questions.declare import Group
from ..state import BitmapistState
from .common import tell, writes

SHOWN = 20

TIME_FORMATS = (
    "iso, epoch (seconds since 1970), epoch-ms (milliseconds), or a format of "
    "strptime such as '%d.%m.%Y %H:%M'.  Times without an offset are taken as the "
    "app's clock shows them."
)


def _shared(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that both commands have."""
    for option in (
        click.option(
            "--rejects",
            type=click.File(
                "w", encoding="utf-8", errors="backslashreplace", lazy=True
            ),
            help="Write skipped rows to this CSV file, with line number and reason.",
        ),
        click.option(
            "--hourly/--no-hourly",
            default=None,
            help="Record hours as well; BITMAPIST_TRACK_HOURLY by default.",
        ),
        click.option(
            "--time-format",
            default=ISO,
            show_default=True,
            metavar="FORMAT",
            help=f"How times are written: {TIME_FORMATS}",
        ),
        click.option(
            "--time-zone",
            metavar="ZONE",
            help="Time zone of times without an offset, such as UTC; the app's by "
            "default.",
        ),
    ):
        command = option(command)
    return command


@click.command("import")
@click.argument("file", type=click.Path(allow_dash=True, dir_okay=False))
@click.option(
    "--user", default=USER, show_default=True, metavar="COLUMN", help="Who did it."
)
@click.option(
    "--event", default=EVENT, show_default=True, metavar="COLUMN", help="What was done."
)
@click.option("--time", default=TIME, show_default=True, metavar="COLUMN", help="When.")
@click.option(
    "--always",
    metavar="EVENT",
    help="The event of all rows, in place of a column.",
)
@click.option(
    "--max-events",
    type=click.IntRange(1),
    default=MOST_EVENTS,
    show_default=True,
    help="Skip rows of further different events, as from a wrong column.",
)
@_shared
@writes
def import_command(
    state: BitmapistState,
    file: str,
    user: str,
    event: str,
    time: str,
    always: str | None,
    **options: Any,
) -> None:
    """Import events from FILE, a CSV file, optionally gzipped; - is standard input.

    It needs a header; columns may stand in any order, between commas, semicolons, tabs
    or bars.  White space around names of events is dropped.  Rows that cannot be used
    are skipped and reported; the exit status is 1 if no row could be used.  Importing
    a file again changes nothing.
    """
    with ExitStack() as stack:
        try:
            source = stack.enter_context(
                CsvFile(file, user=user, event=event, time=time, always=always)
            )
        except (OSError, UnreadableFileError) as error:
            raise click.ClickException(f"{file} cannot be read: {error}") from None
        summary = bring_in(
            state,
            source.blocks(),
            source.size,
            lambda: source.position,
            (user, event, time),
            unit="line",
            event=always,
            **options,
        )
        if source.damage:
            raise click.ClickException(f"{file} cannot be read {source.damage}")
        conclude(state, summary)


@click.command("backfill")
@click.argument("event")
@click.argument("table")
@click.option("--user", required=True, metavar="COLUMN", help="Who did it.")
@click.option("--time", required=True, metavar="COLUMN", help="When.")
@click.option(
    "--where", metavar="SQL", help='Only rows for which this is so: "paid = true".'
)
@click.option(
    "--database",
    metavar="URL",
    help="SQLAlchemy's URL of the database; by default the one that the app has in "
    "Flask-SQLAlchemy or Flask-SQLAlchemy-Lite.",
)
@_shared
@writes
def backfill_command(
    state: BitmapistState,
    event: str,
    table: str,
    user: str,
    time: str,
    where: str | None,
    database: str | None,
    **options: Any,
) -> None:
    """Mark EVENT for every row of TABLE in the app's own database.

    Rows are read as the database finds them, and never changed.  Those that cannot be
    used are skipped and reported; the exit status is 1 if no row could be used.  Doing
    it again changes nothing.
    """
    try:
        from sqlalchemy import create_engine
        from sqlalchemy.exc import SQLAlchemyError

        from ..capture.backfill import blocks_of, count_rows, engine_of, statement_of
    except ImportError as error:
        raise click.ClickException(str(error)) from None
    statement = statement_of(table, user, time, where)
    done = 0

    def blocks() -> Iterator[Block]:
        nonlocal done
        for block in blocks_of(engine, statement, event):
            done += len(block.lines)
            yield block

    try:
        if database:
            engine = create_engine(database)
        else:
            engine = engine_of(state.app.extensions.get("sqlalchemy"), statement)
        try:
            size = count_rows(engine, statement)
            columns = (user, "event", time)
            summary = bring_in(
                state,
                blocks(),
                size,
                lambda: done,
                columns,
                unit="row",
                event=event,
                **options,
            )
        finally:
            if database:
                engine.dispose()
    except RuntimeError as error:
        raise click.ClickException(str(error)) from None
    except (SQLAlchemyError, ImportError) as error:
        said = str(getattr(error, "orig", None) or error).strip().splitlines()
        raise click.ClickException(f"the database says: {said[0]}") from None
    conclude(state, summary)


@click.command("sample")
@click.option("--remove", is_flag=True, help="Take it out again, and nothing else.")
@writes
def sample_command(state: BitmapistState, remove: bool) -> None:
    """Fill an empty store with a sample: 18 months of purchases that end yesterday.

    They are real, of 2,357 customers of an online shop for CDs.
    """
    try:
        if remove:
            click.echo(f"{_count(take_out(state), 'bitmap')} of the sample taken out.")
            return
        filled = fill(state)
    except SampleError as error:
        raise click.ClickException(str(error)) from None
    _report(filled.summary, "row")
    conclude(state, filled.summary)
    click.echo("'flask bitmapist sample --remove' takes it out again.")


def bring_in(
    state: BitmapistState,
    blocks: Iterable[Block],
    size: int | None,
    position: Callable[[], int],
    columns: tuple[str, str, str],
    *,
    event: str | None,
    unit: str,
    hourly: bool | None,
    time_format: str,
    time_zone: str | None,
    rejects: IO[str] | None,
    max_events: int = MOST_EVENTS,
) -> ImportSummary:
    """Write blocks of rows, show how far that is, and tell what became of them.

    Args:
        state: The app's.
        blocks: The rows.
        size: How much there is; None where that is not known.
        position: Says how much of it has been read.
        columns: What the columns of users, events and times are called.
        event: The event of all rows, if they have the same.
        unit: What the rows' numbers are of: lines or rows.
        hourly: Write hours as well.
        time_format: How times are written.
        time_zone: The zone of times without an offset.
        rejects: Where rejected rows are written.
        max_events: Different events that are taken.

    Raises:
        click.ClickException: Redis takes no more.
    """
    try:
        importer = Importer(
            state,
            track_hourly=hourly,
            time_format=time_format,
            time_zone=time_zone,
            max_events=max_events,
            on_reject=_reject_writer(rejects, [unit, "reason", *columns]),
        )
        if event is not None:
            importer.check_event(event)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    try:
        with _progress(size, position) as advance:
            for block in blocks:
                importer.add(block)
                advance()
            importer.finish()
    except RedisError as error:
        _report(importer.summary, unit)
        raise click.ClickException(
            f"Redis stopped accepting events: {error}\n"
            "Do it again once Redis is back; no event is counted twice."
        ) from None
    _report(importer.summary, unit)
    return importer.summary


def conclude(state: BitmapistState, summary: ImportSummary) -> None:
    """Print where to look at what was imported; end with status 1 if nothing was."""
    if summary.first is None or summary.last is None:
        raise click.ClickException("no row could be used")
    busiest = summary.by_event.most_common(1)[0][0]
    question = retention_of(busiest, summary.first, summary.last, utc_now().date())
    click.echo("Look at it:")
    tell(f"  flask bitmapist {question.name} {shlex.join(question.words())}")
    url = _url_of(state.app, question)
    if url is not None:
        tell(f"  {url}")


def retention_of(event: str, first: date, last: date, today: date) -> Cohort:
    """Return the retention of an event, in periods that its days fill.

    Args:
        event: The event.
        first: The first day on which it was done.
        last: The last one.
        today: The current day: what ended before is asked as of its end.
    """
    days = (last - first).days + 1
    group = next(name for name, least in _LEAST_DAYS if days >= least)
    begin, now = (Period.containing(group, day) for day in (first, today))
    is_recent = last >= now.shift(-1).start.date()
    end = now if is_recent else Period.containing(group, last)
    rows = 1
    while rows < MOST_ROWS and begin.shift(rows).start <= end.start:
        rows += 1
    return Cohort(
        Event(event),
        time_group=group,
        num_rows=rows,
        num_cols=min(rows, MOST_COLUMNS),
        as_of=None if is_recent else last,
    )


_LEAST_DAYS: tuple[tuple[Group, int], ...] = (
    *(("months", 180), ("weeks", 28)),
    ("days", 0),
)
"""From how many days on a heatmap by these has enough rows to show something."""

MOST_ROWS, MOST_COLUMNS = 36, 12


def _url_of(app: Flask, question: Cohort) -> str | None:
    """Return the URL of a question's page; absolute where the app's name is known."""
    endpoints = (
        f"bitmapist.{question.endpoint}",
        f"bitmapist_{question.endpoint}.index",
    )
    found = next((each for each in endpoints if each in app.view_functions), None)
    if found is None:
        return None
    is_known = bool(app.config["SERVER_NAME"])
    arguments: dict[str, Any] = dict(question.arguments())
    with app.test_request_context():
        return url_for(found, _external=is_known, **arguments)


@contextmanager
def _progress(size: int | None, position: Callable[[], int]) -> Iterator[Any]:
    """Show how much has been read; its end is not known beforehand else."""
    if size is None:
        yield lambda: None
        return
    with click.progressbar(length=size, label="Importing", file=sys.stderr) as bar:
        yield lambda: bar.update(position() - bar.pos)


def _reject_writer(rejects: IO[str] | None, header: list[str]) -> Any:
    if rejects is None:
        return None
    rejects.write(to_csv([header]))

    def write(rejected: RejectedRow) -> None:
        # Whoever opens this in a spreadsheet wants to see why, not run what is in it.
        rejects.write(to_csv([[rejected.line, rejected.reason, *rejected.row]]))

    return write


def _report(summary: ImportSummary, unit: str) -> None:
    click.echo(
        f"{summary.rows:,} rows read, {summary.written:,} imported: "
        f"{_count(summary.events, 'event')} of {_count(summary.users, 'user')}, "
        f"{_count(summary.bits, 'bit')} newly set"
    )
    if summary.deleted:
        click.echo(
            f"{_count(summary.deleted, 'row')} before the day up to which the event "
            "was deleted: these users count as seen, the days stay blank",
            err=True,
        )
    if summary.rejected:
        _report_rejects(summary, unit)


def _report_rejects(summary: ImportSummary, unit: str) -> None:
    kinds: Iterable[tuple[str, int]] = summary.reasons.most_common()
    told = ", ".join(f"{kind}: {count:,}" for kind, count in kinds)
    click.echo(f"{_count(summary.rejected, 'row')} skipped ({told})", err=True)
    for each in summary.examples[:SHOWN]:
        tell(f"  {unit} {each.line}: {each.reason}", err=True)
    more = summary.rejected - SHOWN
    if more > 0:
        click.echo(
            f"  and {more:,} more; use --rejects FILE to get all of them", err=True
        )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
