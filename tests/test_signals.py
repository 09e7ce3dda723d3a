"""Signals of marks: who is told of what, and that receivers do no harm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from flask_bitmapist import (
    event_dropped,
    event_marked,
    events_flushed,
    mark_event,
    unmark_event,
)

from .marks import NOON, recorder_of
from .servers import RedisProcess

MakeApp = Callable[..., Flask]


class Receiver:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def __call__(self, sender: Flask, **values: Any) -> None:
        self.told.append({"app": sender, **values})


def test_a_mark_is_told_of(app: Flask) -> None:
    receiver = Receiver()
    with event_marked.connected_to(receiver, app), app.app_context():
        mark_event("x", 5, now=NOON)
        unmark_event("x", 5)

    marked, unmarked = receiver.told
    assert marked == {
        "app": app,
        "event_name": "x",
        "user_id": 5,
        "now": NOON,
        "value": 1,
    }
    assert unmarked["value"] == 0
    assert unmarked["now"].tzinfo is not None


def test_receivers_of_one_app_hear_nothing_of_another(make_app: MakeApp) -> None:
    one, other = make_app(), make_app()
    receiver = Receiver()
    with event_marked.connected_to(receiver, one), other.app_context():
        mark_event("x", 5)

    assert receiver.told == []


def test_marks_that_wait_are_told_of_when_made_and_when_flushed(
    make_app: MakeApp, redis_process: RedisProcess
) -> None:
    app = make_app(BITMAPIST_REDIS_URL=redis_process.url)
    redis_process.kill()
    marked, flushed = Receiver(), Receiver()
    with (
        event_marked.connected_to(marked, app),
        events_flushed.connected_to(flushed, app),
    ):
        with app.app_context():
            mark_event("x", 5, now=NOON)
            mark_event("x", 6, now=NOON)
        assert [each["user_id"] for each in marked.told] == [5, 6]
        redis_process.start()
        assert recorder_of(app).flush()

    assert sum(each["count"] for each in flushed.told) == 2
    assert len(marked.told) == 2


def test_marks_that_are_lost_are_told_of_with_the_reason(
    make_app: MakeApp, redis_process: RedisProcess
) -> None:
    app = make_app(BITMAPIST_REDIS_URL=redis_process.url, BITMAPIST_BUFFER_SIZE=1)
    redis_process.kill()
    receiver = Receiver()
    with event_dropped.connected_to(receiver, app), app.app_context():
        mark_event("x", 5, now=NOON)
        mark_event("x", 6, now=NOON)

    (lost,) = receiver.told
    assert (lost["user_id"], lost["reason"], lost["now"]) == (6, "full", NOON)


def test_an_error_of_a_receiver_is_logged_and_harms_nobody(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(sender: Flask, **values: Any) -> None:
        raise ZeroDivisionError

    receiver = Receiver()
    with (
        event_marked.connected_to(fails, app),
        event_marked.connected_to(receiver, app),
        app.app_context(),
    ):
        mark_event("x", 5)

    assert len(receiver.told) == 1
    assert "a receiver of event-marked failed" in caplog.text
