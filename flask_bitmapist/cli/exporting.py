"""``flask bitmapist export``."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from datetime import date
from typing import Any

import click

from ..analysis.errors import printable
from ..analysis.expressions import Event
from ..analysis.periods import Period, TimeGroup
from ..analysis.users import expression_users
from ..query import moment
from ..state import BitmapistState
from .common import AS_OF, asks


@click.command("export")
@click.argument("events", nargs=-1)
@click.option("--since", type=AS_OF, required=True, help="First day, YYYY-MM-DD.")
@click.option("--until", type=AS_OF, help="Last day; today by default.")
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
    period = Period.containing(group, since)
    last = Period.containing(group, moment(until))
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["user_id", "event", "timestamp"])
    names = events or tuple(state.catalogue.names())
    while period <= last:
        writer.writerows(_rows(state, names, period))
        period = period.shift(1)


def _rows(
    state: BitmapistState, names: tuple[str, ...], period: Period
) -> Iterator[list[Any]]:
    at = f"{period.start:%Y-%m-%dT%H:%M:%SZ}"
    for event in names:
        for user in state.query.select(expression_users(Event(event), period)):
            yield [user, printable(event), at]
