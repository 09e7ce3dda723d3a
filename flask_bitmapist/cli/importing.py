"""``flask bitmapist import``: events from CSV files."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import IO, Any

import click
from flask.cli import with_appcontext
from redis.exceptions import RedisError

from ..analysis.results import to_csv
from ..capture.bulk import BATCH_SIZE, Importer, ImportSummary, RejectedRow
from ..capture.csvfile import COLUMNS, CsvFile, UnreadableFileError
from ..state import current_state

SHOWN = 20


@click.command("import")
@click.argument("file", type=click.Path(allow_dash=True, dir_okay=False))
@click.option(
    "--hourly/--no-hourly",
    default=None,
    help="Record hours as well; BITMAPIST_TRACK_HOURLY by default.",
)
@click.option(
    "--rejects",
    type=click.File("w", encoding="utf-8", errors="backslashreplace", lazy=True),
    help="Write skipped rows to this CSV file, with line number and reason.",
)
@with_appcontext
def import_command(file: str, hourly: bool | None, rejects: IO[str] | None) -> None:
    """Import events from FILE, a CSV file, optionally gzipped; - is standard input.

    It needs a header with the columns user_id, event and timestamp, in any order.
    Timestamps are ISO 8601, in UTC unless they have an offset.  Invalid rows are
    skipped and reported.  Importing a file again changes nothing.
    """
    state = current_state()
    if state is None:
        raise click.ClickException("Flask-Bitmapist is not initialised for this app")
    with ExitStack() as stack:
        try:
            source = stack.enter_context(CsvFile(file))
        except (OSError, UnreadableFileError) as error:
            raise click.ClickException(f"{file} cannot be read: {error}") from None
        importer = Importer(
            state, track_hourly=hourly, on_reject=_reject_writer(rejects)
        )
        try:
            _import(source, importer)
        except RedisError as error:
            _report(importer.summary)
            raise click.ClickException(
                f"Redis stopped accepting events: {error}\n"
                "Import the file again once Redis is back; no event is counted twice."
            ) from None
        _report(importer.summary)
        if source.damage:
            raise click.ClickException(f"{file} cannot be read {source.damage}")


def _import(source: CsvFile, importer: Importer) -> None:
    rows = source.rows()
    with _progress(source) as advance:
        while importer.add(islice(rows, BATCH_SIZE)):
            advance()


@contextmanager
def _progress(source: CsvFile) -> Iterator[Any]:
    """Show how much of the file has been read; its end is not known beforehand else."""
    if source.size is None:
        yield lambda: None
        return
    with click.progressbar(
        length=source.size, label="Importing", file=sys.stderr
    ) as bar:
        yield lambda: bar.update(source.position - bar.pos)


def _reject_writer(rejects: IO[str] | None) -> Any:
    if rejects is None:
        return None
    rejects.write(to_csv([["line", "reason", *COLUMNS]]))

    def write(rejected: RejectedRow) -> None:
        # Whoever opens this in a spreadsheet wants to see why, not run what is in it.
        rejects.write(to_csv([[rejected.line, rejected.reason, *rejected.row]]))

    return write


def _report(summary: ImportSummary) -> None:
    click.echo(
        f"{summary.rows:,} rows read, {summary.written:,} imported: "
        f"{_count(summary.events, 'event')} of {_count(summary.users, 'user')}, "
        f"{_count(summary.bits, 'bit')} newly set"
    )
    if summary.rejected:
        _report_rejects(summary)


def _report_rejects(summary: ImportSummary) -> None:
    kinds: Iterable[tuple[str, int]] = summary.reasons.most_common()
    told = ", ".join(f"{kind}: {count:,}" for kind, count in kinds)
    click.echo(f"{_count(summary.rejected, 'row')} skipped ({told})", err=True)
    for each in summary.examples[:SHOWN]:
        click.echo(f"  line {each.line}: {_printable(each.reason)}", err=True)
    more = summary.rejected - SHOWN
    if more > 0:
        click.echo(
            f"  and {more:,} more; use --rejects FILE to get all of them", err=True
        )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
