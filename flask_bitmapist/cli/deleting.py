"""``flask bitmapist delete``."""

from __future__ import annotations

from typing import Any

import click

from ..capture.deletion import Deletion, plan_deletion
from ..state import BitmapistState
from .common import asks, show_json

EVERYTHING = "everything"
"""What is typed to delete all events."""


@click.command("delete")
@click.argument("event", required=False)
@click.option("--all", "everything", is_flag=True, help="All events and flags.")
@click.option("--flag", is_flag=True, help="Delete the flag of that name.")
@click.option(
    "--before",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Only delete periods that ended before this day (UTC).",
)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON (requires --yes).")
@asks
def delete_command(
    state: BitmapistState,
    event: str | None,
    everything: bool,
    flag: bool,
    before: Any,
    yes: bool,
    as_json: bool,
) -> None:
    """Delete an event, after showing what will be deleted.

    Buffered events that are written later may bring it back.
    """
    if (event is None) != everything:
        raise click.UsageError("name an event, or use --all")
    if as_json and not yes:
        raise click.UsageError("--json requires --yes")
    plan = plan_deletion(state, event, flag, None if before is None else before.date())
    told = plan.to_dict()
    if not as_json:
        _show(plan, told)
        if not plan.keys and before is not None:
            return
        if not yes:
            _confirm(event)
    gone = plan.carry_out()
    if as_json:
        show_json({**told, "deleted": gone})
    else:
        click.echo(f"Deleted {gone:,} bitmaps.")


def _show(plan: Deletion, told: dict[str, Any]) -> None:
    count = len(plan.keys)
    kinds = ", ".join(f"{number:,} {kind}" for kind, number in plan.periods.items())
    click.echo(f"{count:,} bitmaps" + (f" ({kinds})" if kinds else ""))
    users = "too many to count" if told["users"] is None else f"{told['users']:,}"
    click.echo(f"Users affected: {users}")


def _confirm(event: str | None) -> None:
    wanted = EVERYTHING if event is None else event
    typed = click.prompt(f"Type {wanted!r} to confirm", default="", show_default=False)
    if typed != wanted:
        raise click.ClickException("Names do not match; nothing was deleted.")
