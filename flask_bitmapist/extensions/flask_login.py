"""Marks ``user:logged_in`` and ``user:logged_out`` when Flask-Login tells of them.

Apps that have both extensions get this by themselves; ``BITMAPIST_LOGIN_EVENTS =
False`` turns it off.
"""

from __future__ import annotations

from typing import Any

from flask import Flask

from ..state import EXTENSION_NAME, current_state

try:
    from flask_login import user_logged_in, user_logged_out
except ImportError as error:
    raise ImportError(
        "flask_bitmapist.extensions.flask_login needs Flask-Login: "
        "pip install 'flask-bitmapist[login]'"
    ) from error

LOGGED_IN = "user:logged_in"
LOGGED_OUT = "user:logged_out"


def connect(app: Flask) -> None:
    """Mark the logins and logouts of *app*, and of no other app."""
    user_logged_in.connect(mark_login, app)
    user_logged_out.connect(mark_logout, app)


def mark_login(sender: Flask | None, user: Any, **extra: Any) -> None:
    """Mark that *user* has logged in; a receiver of Flask-Login's signal.

    Args:
        sender: The app; the current one where it is None.
        user: The user's object or id.
        **extra: What else the signal may bring.
    """
    _mark(sender, LOGGED_IN, user)


def mark_logout(sender: Flask | None, user: Any, **extra: Any) -> None:
    """Mark that *user* has logged out; see :func:`mark_login`."""
    _mark(sender, LOGGED_OUT, user)


def _mark(app: Flask | None, event_name: str, user: Any) -> None:
    state = current_state() if app is None else app.extensions.get(EXTENSION_NAME)
    if state is not None and state.settings.login_events:
        state.recorder.note([(event_name, user)])
