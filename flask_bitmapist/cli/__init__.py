"""The ``flask bitmapist`` commands."""

from __future__ import annotations

from flask.cli import AppGroup

from .importing import import_command

bitmapist_cli = AppGroup("bitmapist", help="Ask and feed the app's analytics.")
bitmapist_cli.add_command(import_command)

__all__ = ["bitmapist_cli"]
