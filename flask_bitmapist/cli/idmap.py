"""``flask bitmapist id-map``: what an operator does about ids that are no bits."""

from __future__ import annotations

import time

import click
from flask.cli import AppGroup

from ..identity import KEYS, TRUSTED_FOR, Stamp
from ..state import BitmapistState
from ..store.idmap import IdMap
from .common import writes

STOPPED = "Are all apps and workers that use this store stopped?"


id_map_group = AppGroup(
    "id-map", help="Let a store of numbers take other user IDs, or repair the IDs."
)


@id_map_group.command("on")
@click.option("--yes", is_flag=True, help="Do not ask whether the apps are stopped.")
@writes
def on_command(state: BitmapistState, yes: bool) -> None:
    """Let a store of numbers take all user IDs: UUIDs, e-mail addresses, large numbers.

    Whole numbers up to the highest one in the store stay as they are. Everybody else
    gets the next free number above it. Stop all apps first: this cannot be undone.
    """
    id_map, stamp = _looked(state)
    if stamp.holds == KEYS:
        if not stamp.is_written:
            raise click.ClickException(
                "the IDs of this store are damaged; run 'flask bitmapist id-map repair'"
            )
        click.echo("This store takes all user IDs already.")
        return
    _confirm(yes)
    # A process that was left running trusts for a moment that ids are numbers.
    id_map.pause()
    time.sleep(TRUSTED_FOR)
    highest, largest = id_map.highest_bit(), state.settings.max_id
    if highest >= largest:
        id_map.resume()
        raise click.ClickException(
            f"the highest user ID is {highest}, so there is no number for others up to "
            f"BITMAPIST_MAX_ID ({largest}); set that to more than {highest} first"
        )
    id_map.switch_on(highest)
    if highest < 0:
        click.echo("This store now takes all user IDs; numbers begin with 0.")
        return
    click.echo(
        f"This store now takes all user IDs: whole numbers up to {highest} stay as "
        f"they are, everybody else gets a number from {highest + 1}."
    )


@id_map_group.command("repair")
@click.option("--yes", is_flag=True, help="Do not ask whether the apps are stopped.")
@writes
def repair_command(state: BitmapistState, yes: bool) -> None:
    """Repair the numbers of user IDs, after keys in Redis were changed or lost.

    Sets the counter above all numbers in use, and removes numbers that are not valid or
    belong to somebody else. Stop all apps first.
    """
    id_map, stamp = _looked(state)
    if stamp.holds != KEYS:
        click.echo("This store holds numbers; there is nothing to repair.")
        return
    _confirm(yes)
    lost = id_map.repair(id_map.highest_bit())
    click.echo("The counter is above all numbers in use.")
    if lost:
        click.echo(
            f"{len(lost):,} user IDs had no number of their own. They get a new one "
            "with their next event; what they did before cannot be told apart:"
        )
        for key in lost:
            click.echo(f"  {key!r}")


def _looked(state: BitmapistState) -> tuple[IdMap, Stamp]:
    id_map = IdMap(state.systems["default"])
    stamp = id_map.stamp()
    if not stamp.has_hashes:
        raise click.ClickException(
            "this store has no hashes, or refuses HMGET, so it can only hold numbers"
        )
    return id_map, stamp


def _confirm(yes: bool) -> None:
    if not yes:
        click.confirm(STOPPED, abort=True)
