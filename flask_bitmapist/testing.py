"""For the tests of an app that marks: what was marked, in a store of its own.

pytest finds the fixture :func:`bitmapist_marks` by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from .capture.reports import event_marked
from .state import EXTENSION_NAME, BitmapistState

if TYPE_CHECKING:
    from flask import Flask

    from .analysis.expressions import Expression
    from .analysis.results import User
    from .questions.declare import Group

    Marks = list[tuple[str, User]]

try:
    import pytest
except ImportError:  # other runners of tests do without the fixture
    pass
else:

    @pytest.fixture(name="bitmapist_marks")
    def bitmapist_marks(app: Flask) -> Iterator[Marks]:
        """The marks that a test makes, as ``(event, user)``, in an empty store.

        Define a fixture ``app`` that gives the app, as pytest-flask wants it too.  The
        store is in memory whatever the app's settings say, and gone after the test.

        Example:
            >>> def test_an_order_is_marked(client, bitmapist_marks):
            ...     client.post("/orders")
            ...     assert bitmapist_marks == [("order:placed", 2)]
        """
        with recorded(app) as marks:
            yield marks


def marked(
    app: Flask,
    event: str | Expression,
    user: Any,
    time_group: Group = "days",
    *,
    as_of: date | datetime | None = None,
) -> bool:
    """Return whether a user has been marked, once all that waits is written.

    Args:
        app: The app.
        event: An event, a name that the app has defined, or an expression.
        user: The user, as for a mark: an id, or a user's object.
        time_group: The period: ``"hours"``, ``"days"``, ``"weeks"``, ``"months"`` or
            ``"years"``; the day by default.
        as_of: A day or a moment in the period; now by default.

    Raises:
        QueryError: The event or the user cannot be read.
        RuntimeError: The app has no Flask-Bitmapist, or Redis does not take its marks.

    Example:
        >>> marked(app, "order:placed", 2)
        False
    """
    state = _state_of(app)
    with app.app_context():
        if not state.recorder.flush():
            raise RuntimeError(
                f"marks wait for Redis, which fails: {state.recorder.status()['error']}"
            )
        # What no test has marked yet is unknown, and done by nobody.
        answer = state.query.has(
            user, event, time_group, as_of=as_of, allow_unknown=True
        )
    return bool(answer)


@contextmanager
def recorded(app: Flask) -> Iterator[Marks]:
    """Give an app an empty store in memory, and collect the marks that it makes.

    Args:
        app: The app.  Its other store is left alone, and serves it again afterwards.

    Returns:
        A context manager that gives a list, to which each mark is added as
        ``(event, user)``; marks that are taken back are not in it.

    Raises:
        RuntimeError: The app has no Flask-Bitmapist, or fakeredis is not installed.

    Example:
        >>> from flask_bitmapist import mark_event
        >>> with recorded(app) as marks, app.app_context():
        ...     mark_event("order:placed", 2)
        >>> marks
        [('order:placed', 2)]
    """
    marks: Marks = []

    def collect(
        _app: Flask, *, event_name: str, user_id: User, value: int, now: datetime
    ) -> None:
        if value:
            marks.append((event_name, user_id))

    with _state_of(app).in_memory(), event_marked.connected_to(collect, sender=app):
        yield marks


def _state_of(app: Flask) -> BitmapistState:
    state: BitmapistState | None = app.extensions.get(EXTENSION_NAME)
    if state is None:
        raise RuntimeError(
            "Flask-Bitmapist is not initialised for this app; call FlaskBitmapist(app) "
            "or init_app(app) in its factory"
        )
    return state
