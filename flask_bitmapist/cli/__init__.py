"""The ``flask bitmapist`` commands."""

from __future__ import annotations

import click
from flask.cli import AppGroup, ScriptInfo

from ..questions.declare import AnyQuestion
from .doctor import doctor_command
from .events import delete_command, export_command, forget_command
from .idmap import id_map_group
from .importing import backfill_command, import_command, sample_command
from .programs import mcp_command, openapi_command, token_command
from .questions import QUESTIONS, command_of
from .zone import zone_command


class _Commands(AppGroup):
    """The commands, with one for each of the current app's own questions."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *_own(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = super().get_command(ctx, cmd_name)
        if found is None and cmd_name in (own := _own(ctx)):
            return command_of(own[cmd_name])
        return found


def _own(ctx: click.Context) -> dict[str, AnyQuestion]:
    app = ctx.ensure_object(ScriptInfo).load_app()
    state = app.extensions.get("bitmapist")
    return {} if state is None else dict(state.own)


bitmapist_cli = _Commands("bitmapist", help="Query and manage analytics.")
for command in (
    *QUESTIONS,
    import_command,
    backfill_command,
    sample_command,
    export_command,
    delete_command,
    forget_command,
    id_map_group,
    zone_command,
    doctor_command,
    openapi_command,
    mcp_command,
    token_command,
):
    bitmapist_cli.add_command(command)

__all__ = ["bitmapist_cli"]
