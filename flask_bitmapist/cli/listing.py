"""``flask bitmapist events`` and ``flask bitmapist export``."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from typing import Any

import click

from ..analysis.bitmaps import Source
from ..analysis.expressions import Event
from ..analysis.periods import Period, TimeGroup
from ..analysis.results import to_csv
from ..analysis.users import expression_users
from ..query import moment
from ..state import BitmapistState
from .common import (
    AS_OF,
    as_of_option,
    asks,
    format_options,
    show_json,
)

# Events whose counts are asked for in one go.
_AT_ONCE = 50

_GROUPS = (TimeGroup.DAYS, TimeGroup.WEEKS, TimeGroup.MONTHS, TimeGroup.YEARS)


@click.command("events")
@click.option("--refresh", is_flag=True, help="Look through all keys of Redis again.")
@as_of_option
@format_options
@asks
def events_command(
    state: BitmapistState, refresh: bool, as_of: Any, output: str | None
) -> None:
    """List all events, with their users today, this week, this month, this year.

    Flags, which have no date, are listed with all of their users.
    """
    names = state.catalogue.all_names(refresh)
    at = moment(as_of)
    events = dict(_event_counts(state, sorted(names.events), at))
    flags = dict(zip(sorted(names.flags), _flag_counts(state, names.flags)))
    columns = ["event", *(group.singular for group in _GROUPS)]
    if output == "json":
        show_json({"events": events, "flags": flags, **_age(state)})
    elif output == "csv":
        rows = [[event, *counts.values()] for event, counts in events.items()]
        click.echo(to_csv([columns, *rows]), nl=False)
    else:
        _show(events, flags)
        click.echo(_age_text(state), err=True)


def _event_counts(
    state: BitmapistState, events: list[str], at: datetime
) -> Iterator[tuple[str, dict[str, int]]]:
    periods = [Period.containing(group, at) for group in _GROUPS]
    for start in range(0, len(events), _AT_ONCE):
        some = events[start : start + _AT_ONCE]
        sources = [Source(event, period) for event in some for period in periods]
        counts = iter(state.query.bitmaps.counts(sources))
        for event in some:
            yield event, {group.singular: next(counts) for group in _GROUPS}


def _flag_counts(state: BitmapistState, flags: Iterable[str]) -> list[int]:
    return state.query.bitmaps.counts([Source(flag, None) for flag in sorted(flags)])


def _show(events: dict[str, dict[str, int]], flags: dict[str, int]) -> None:
    if not events and not flags:
        click.echo("no events yet; mark one with @mark('page:seen', user_id)")
        return
    width = max(map(len, [*events, *flags, "event"]))
    head = "".join(f"{group.singular:>12}" for group in _GROUPS)
    click.echo(f"{'event':{width}}{head}")
    for event, counts in events.items():
        cells = "".join(f"{count:>12,}" for count in counts.values())
        click.echo(f"{event:{width}}{cells}")
    for flag, count in flags.items():
        click.echo(f"{flag:{width}}{count:>12,}  (flag)")


def _age(state: BitmapistState) -> dict[str, Any]:
    scan = state.catalogue.scan
    if scan is None:
        return {"scanned_at": None, "unreadable": 0}
    return {"scanned_at": scan.at.isoformat(), "unreadable": scan.unreadable}


def _age_text(state: BitmapistState) -> str:
    scan = state.catalogue.scan
    if scan is None:
        return ""
    text = f"all keys looked through at {scan.at:%Y-%m-%d %H:%M:%S} UTC"
    if scan.unreadable:
        text += f"; {scan.unreadable} names that are not UTF-8 are left out"
    return text


@click.command("export")
@click.argument("events", nargs=-1)
@click.option("--since", type=AS_OF, required=True, help="First day, YYYY-MM-DD.")
@click.option("--until", type=AS_OF, help="Last day; today by default.")
@click.option("--hourly", is_flag=True, help="By the hour, where hours were kept.")
@asks
def export_command(
    state: BitmapistState,
    events: tuple[str, ...],
    since: date,
    until: date | None,
    hourly: bool,
) -> None:
    """Export who did EVENTS on which day, as CSV that the import command reads.

    All events by default.  Bitmaps hold no finer time than the day (or the hour, with
    --hourly), so timestamps are the first instant of it.
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
            yield [user, event, at]
