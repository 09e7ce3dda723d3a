"""Marks ``user:logged_in`` and ``user:logged_out`` when Flask-Login tells of them.

Apps that have both extensions get this by themselves; ``BITMAPIST_LOGIN_EVENTS =
False`` turns it off.
"""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, after_this_request, has_request_context
from werkzeug.local import LocalProxy

from ..identity import is_saved
from ..marking import recorder_for
from ..state import EXTENSION_NAME, BitmapistState, current_state

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


def mark_login(sender: Any, user: Any, **extra: Any) -> None:
    """Mark that *user* has logged in; a receiver of Flask-Login's signal.

    It can be called as well, and connected to other signals.

    Args:
        sender: The app; anything else, such as None, stands for the current one.
        user: The user, as in :func:`~flask_bitmapist.mark_event`.
        **extra: What else the signal may bring.

    Raises:
        RuntimeError: *sender* is no app, and nothing says which one is current.

    Example:
        >>> mark_login(None, 42)
    """
    _mark(sender, LOGGED_IN, user)


def mark_logout(sender: Any, user: Any, **extra: Any) -> None:
    """Mark that *user* has logged out; see :func:`mark_login`."""
    _mark(sender, LOGGED_OUT, user)


def _mark(sender: Any, event_name: str, user: Any) -> None:
    if isinstance(sender, Flask):
        state: BitmapistState | None = sender.extensions.get(EXTENSION_NAME)
        if state is None:
            return  # a signal is sent to all, also by apps that are not tracked
    else:
        state = current_state()
    if state is None:
        recorder = recorder_for("default")
    elif state.settings.login_events:
        recorder = state.recorder
    else:
        return
    if not has_request_context() or is_saved(user):
        recorder.note([(event_name, user)])
        return
    if isinstance(user, LocalProxy):
        user = user._get_current_object()

    # Whoever registers may be logged in before they are saved, as in Flask-Security.
    @after_this_request
    def note_saved(response: Response) -> Response:
        recorder.note([(event_name, user)])
        return response
