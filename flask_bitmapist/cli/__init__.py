"""The ``flask bitmapist`` commands."""

from __future__ import annotations

from flask.cli import AppGroup

from .deleting import delete_command
from .doctor import doctor_command
from .importing import import_command
from .listing import events_command, export_command
from .questions import QUESTIONS

bitmapist_cli = AppGroup("bitmapist", help="Ask and feed the app's analytics.")
for command in (
    events_command,
    *QUESTIONS,
    import_command,
    export_command,
    delete_command,
    doctor_command,
):
    bitmapist_cli.add_command(command)

__all__ = ["bitmapist_cli"]
