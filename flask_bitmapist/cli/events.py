"""The commands for all that is stored: export, delete, and forget a person."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from datetime import date, datetime
from getpass import getuser
from typing import Any

import click

from ..analysis.errors import is_typed, printable
from ..analysis.expressions import Event
from ..analysis.periods import Period, TimeGroup
from ..analysis.users import expression_users
from ..capture.deletion import Deletion, plan_deletion
from ..query import as_of
from ..state import BitmapistState
from .common import DAY, asks, show_json, tell, writes

EVERYTHING = "everything"
"""What is typed to delete all events."""


@click.command("export")
@click.argument("events", nargs=-1)
@click.option("--since", type=DAY, required=True, help="First day, YYYY-MM-DD.")
@click.option("--until", type=DAY, help="Last day; today by default.")
@click.option("--hourly", is_flag=True, help="Export hours, where they were recorded.")
@asks
def export_command(
    state: BitmapistState,
    events: tuple[str, ...],
    since: date,
    until: date | None,
    hourly: bool,
) -> None:
    """Export who did EVENTS on which day, as CSV that the import command reads.

    All events by default.  Bitmaps record the day (or the hour, with --hourly) and
    nothing finer, so each timestamp is the start of it.  Control characters in a name
    are written as escapes, as in all tables.
    """
    group = TimeGroup.HOURS if hourly else TimeGroup.DAYS
    calendar = state.query.calendar
    period = as_of(since, calendar).period(group)
    if hourly and not isinstance(since, datetime):
        period = Period.containing(group, since)  # its first hour
    last = as_of(until, calendar).period(group)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["user_id", "event", "timestamp"])
    names = events or tuple(state.catalogue.names())
    while period <= last:
        writer.writerows(_rows(state, names, period))
        period = period.shift(1)


def _rows(
    state: BitmapistState, names: tuple[str, ...], period: Period
) -> Iterator[list[Any]]:
    # As the clock shows it, so that it is imported as what it is exported as.
    at = f"{period.start:%Y-%m-%dT%H:%M:%S}"
    if state.query.calendar.is_utc:
        at += "Z"
    for event in names:
        for user in state.query.select(expression_users(Event(event), period)):
            yield [printable(str(user)), printable(event), at]


@click.command("delete")
@click.argument("event", required=False)
@click.option("--all", "everything", is_flag=True, help="All events and flags.")
@click.option("--flag", is_flag=True, help="Delete the flag of that name.")
@click.option(
    "--before",
    type=DAY,
    help="Only delete periods that ended before this day.",
)
@click.option(
    "--drop-seen",
    is_flag=True,
    help="With --before: do not keep who was there before. They count as new when they "
    "come back.",
)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON (requires --yes).")
@writes
def delete_command(
    state: BitmapistState,
    event: str | None,
    everything: bool,
    flag: bool,
    before: date | None,
    drop_seen: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Delete an event, after showing what will be deleted.

    Buffered events that are written later may bring it back.
    """
    if (event is None) != everything:
        raise click.UsageError("name an event, or use --all")
    if drop_seen and before is None:
        raise click.UsageError("--drop-seen requires --before")
    if as_json and not yes:
        raise click.UsageError("--json requires --yes")
    day = before.date() if isinstance(before, datetime) else before
    plan = plan_deletion(state, event, flag, day, keep_seen=not drop_seen)
    told = plan.to_dict()
    if not as_json:
        _show(plan, told)
        if not plan.keys and before is not None:
            return
        if not yes:
            wanted = EVERYTHING if event is None else event
            _confirm(wanted, "Names do not match; nothing was deleted.")
    gone = plan.carry_out()
    if as_json:
        show_json({**told, "deleted": gone})
    else:
        click.echo(f"Deleted {gone:,} bitmaps.")


@click.command("forget")
@click.argument("user")
@click.option("--by", help="Who asks for it; by default your account here.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON (requires --yes).")
@writes
def forget_command(
    state: BitmapistState, user: str, by: str | None, yes: bool, as_json: bool
) -> None:
    """Erase USER from all events, flags and temporary keys, and print a receipt.

    Run it again if it was interrupted.
    """
    if as_json and not yes:
        raise click.UsageError("--json requires --yes")
    recorder = state.recorder
    try:
        recorder.eraser.name_of(user)  # says what is missing before anybody types
        if not yes:
            tell(f"Bitmaps with this user: {len(recorder.eraser.holding(user)):,}")
            _confirm(user, "User IDs do not match; nothing was erased.")
        receipt = recorder.forget(user, by or _account())
    except RuntimeError as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        show_json(receipt.to_dict())
        return
    for name, value in receipt.to_dict().items():
        tell(f"{name:9}  {'-' if value is None else value}")


def _account() -> str | None:
    try:
        return getuser()
    except (ImportError, KeyError, OSError):
        return None


def _show(plan: Deletion, told: dict[str, Any]) -> None:
    count = told["keys"]
    kinds = ", ".join(f"{number:,} {kind}" for kind, number in plan.periods.items())
    click.echo(f"{count:,} bitmaps" + (f" ({kinds})" if kinds else ""))
    users = "too many to count" if told["users"] is None else f"{told['users']:,}"
    click.echo(f"Users affected: {users}")
    if plan.before is not None and plan.keys:
        kept = "that they were there before" if plan.keep_seen else "nothing"
        click.echo(f"Kept of them: {kept}")


def _confirm(wanted: str, refusal: str) -> None:
    question = f"Type '{printable(wanted)}' to confirm"
    typed = click.prompt(question, default="", show_default=False)
    if not is_typed(typed, wanted):
        raise click.ClickException(refusal)
