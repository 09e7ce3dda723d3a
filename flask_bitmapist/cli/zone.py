"""``flask bitmapist zone``: whose days the store keeps."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import click
from redis.exceptions import ResponseError

from ..analysis.periods import Calendar
from ..query import utc_now
from ..state import BitmapistState
from ..store.zones import TRUSTED_FOR, write_zone, zones_in
from .common import DAY, asks


@click.command("zone")
@click.argument("zone", required=False)
@click.option(
    "--from",
    "first",
    type=DAY,
    help="First day that the new time zone tells, YYYY-MM-DD; after today.",
)
@asks
def zone_command(state: BitmapistState, zone: str | None, first: date | None) -> None:
    """Show the time zone of the store, or change it to ZONE from a day on.

    Events keep the days under which they were tracked: what came before the change is
    told by the time zone before, and reports across that day say so.
    """
    client = state.systems["default"]
    try:
        zones = zones_in(client)
    except ResponseError as error:
        raise click.ClickException(
            f"this store cannot keep its time zone ({error}); BITMAPIST_TIMEZONE holds"
        ) from None
    if zone is None:
        if first is not None:
            raise click.UsageError("name the time zone that begins on that day")
        _show(state, zones)
        return
    _check(zone)
    now = state.query.calendar if zones else state.settings.calendar
    if first is None:
        if zones and now.zone_now != zone:
            raise click.UsageError(
                f"the days of this store are those of {now.zone_now}; say from which "
                "day on they are to be those of the new time zone (--from)"
            )
        if not zones:
            write_zone(client, zone)
        click.echo(f"The days of this store are those of {zone}.")
        return
    day = first.date() if isinstance(first, datetime) else first
    _check_day(day, now, Calendar(zone))
    if not zones:
        write_zone(client, now.zone)
    write_zone(client, zone, day)
    click.echo(
        f"From {day} on, days are those of {zone}; earlier ones stay those of "
        f"{now.zone_now}.\nSet BITMAPIST_TIMEZONE = {zone!r}."
    )


def _show(state: BitmapistState, zones: dict[date, str]) -> None:
    if not zones:
        zone = state.settings.timezone
        click.echo(f"This store says nothing of its time zone; {zone} holds.")
    for day, name in zones.items():
        since = "" if day == date.min else f" from {day} on"
        click.echo(f"{name}{since}")


def _check(zone: str) -> None:
    try:
        Calendar(zone)
    except (LookupError, ValueError, OSError):
        raise click.UsageError(
            f"this system knows no time zone {zone!r}; use an IANA name such as "
            "'Europe/Berlin'"
        ) from None


def _check_day(day: date, *calendars: Calendar) -> None:
    # Until then all processes have looked into the store again.
    soon = utc_now() + timedelta(seconds=2 * TRUSTED_FOR)
    latest = max(calendar.wall(soon).date() for calendar in calendars)
    if day <= latest:
        raise click.UsageError(
            f"--from must be after {latest}: days that have events already stay what "
            "they are"
        )
