"""The ``flask bitmapist`` commands."""

from __future__ import annotations

from flask.cli import AppGroup

bitmapist_cli = AppGroup("bitmapist", help="Ask and feed the app's analytics.")
