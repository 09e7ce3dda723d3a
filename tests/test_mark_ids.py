"""Whose mark it is: ids, callables, proxies, and what is no id at all."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import redis
from flask import Flask, g
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.local import LocalProxy

from flask_bitmapist import mark, mark_event, mark_unique, unmark_event

from .inside import BadMarkError, check_id, user_key
from .marks import NOON, keys, recorder_of, users

MakeApp = Callable[..., Flask]
DAY = "x_2026-1-1"


class User:
    """A user with what Flask-Login asks of one."""

    is_anonymous = False

    def __init__(self, user_id: int) -> None:
        self.id = user_id

    def get_id(self) -> str:
        return str(self.id)


class Anonymous:
    """Nobody, as Flask-Login has it."""

    is_anonymous = True

    def get_id(self) -> None:
        return None


def mark_in_request(app: Flask, uuid: Any) -> bool:
    """Mark *uuid* in a request and return whether the view has run."""
    view = mark("x", uuid, now=NOON)(lambda: "ran")
    with app.test_request_context():
        return view() == "ran"


@pytest.mark.parametrize(
    "uuid",
    [
        5,
        "5",
        np.int64(5),
        lambda: 5,
        lambda: "5",
        lambda: User(5),
        User(5),
        LocalProxy(lambda: 5),
        LocalProxy(lambda: User(5)),
    ],
    ids=[
        "number",
        "digits",
        "number of numpy",
        "callable",
        "callable for digits",
        "callable for a user",
        "user",
        "proxy",
        "proxy for a user",
    ],
)
def test_an_id_may_be_given_in_many_ways(
    app: Flask, redis_client: redis.Redis, uuid: Any
) -> None:
    assert mark_in_request(app, uuid)
    assert users(redis_client, DAY) == {5}


@pytest.mark.parametrize(
    "uuid",
    [
        None,
        lambda: None,
        Anonymous(),
        lambda: Anonymous(),
        LocalProxy(lambda: None),
        LocalProxy(lambda: Anonymous()),
    ],
    ids=[
        "None",
        "callable for None",
        "anonymous user",
        "callable for an anonymous user",
        "proxy for None",
        "proxy for an anonymous user",
    ],
)
def test_nobody_marks_nothing(
    app: Flask, redis_client: redis.Redis, caplog: pytest.LogCaptureFixture, uuid: Any
) -> None:
    assert mark_in_request(app, uuid)
    assert keys(redis_client) == set()
    assert recorder_of(app).counters.anonymous == 1
    assert caplog.text == ""


def test_a_callable_gets_the_view_arguments_that_it_names(
    app: Flask, redis_client: redis.Redis
) -> None:
    @app.get("/<int:artist>/<int:song>")
    @mark("song", lambda song: song, now=NOON)
    @mark("both", lambda artist, song: artist * 100 + song, now=NOON)
    @mark("any", lambda **arguments: sum(arguments.values()), now=NOON)
    @mark("more", lambda song, bonus=50: song + bonus, now=NOON)
    @mark("none", lambda: 9, now=NOON)
    def play(artist: int, song: int) -> str:
        return "ok"

    app.test_client().get("/3/4")

    marked = {name: users(redis_client, f"{name}_2026-1-1") for name in NAMES}
    assert marked == {"song": {4}, "both": {304}, "any": {7}, "more": {54}, "none": {9}}


NAMES = ("song", "both", "any", "more", "none")


def test_a_callable_gets_arguments_that_are_passed_by_position(
    app: Flask, redis_client: redis.Redis
) -> None:
    @mark("x", lambda song: song, now=NOON)
    def play(artist: int, song: int) -> None:
        """Play it."""

    with app.app_context():
        play(3, 4)

    assert users(redis_client, DAY) == {4}


def test_a_callable_may_look_at_the_request(
    app: Flask, redis_client: redis.Redis
) -> None:
    @app.before_request
    def find_user() -> None:
        g.user = User(8)

    app.add_url_rule("/", "view", mark("x", lambda: g.user, now=NOON)(lambda: "ok"))
    app.test_client().get("/")
    assert users(redis_client, DAY) == {8}


@pytest.mark.parametrize(
    "uuid",
    [-1, 2**32, "abc", "-3", "", 1.5, 5.0, True, b"5", object(), 10**5000],
    ids=lambda value: type(value).__name__,
)
def test_a_bad_constant_is_refused_when_the_view_is_made(uuid: Any) -> None:
    with pytest.raises(ValueError, match="user id"):
        mark("x", uuid)


def test_a_constant_above_the_apps_own_limit_is_refused(make_app: MakeApp) -> None:
    with make_app(BITMAPIST_MAX_ID=1000).app_context():
        mark("x", 1000)
        with pytest.raises(ValueError, match="BITMAPIST_MAX_ID"):
            mark("x", 1001)


@pytest.mark.parametrize("bad", [-1, 2**32, "abc", 1.5, True, [], "9" * 5000])
def test_a_bad_id_in_a_request_is_logged_once_and_leaves_the_view_alone(
    app: Flask, redis_client: redis.Redis, caplog: pytest.LogCaptureFixture, bad: Any
) -> None:
    app.add_url_rule("/", "view", mark("x", lambda: bad)(lambda: "ok"))
    client = app.test_client()
    for _ in range(5):
        assert client.get("/").text == "ok"

    assert len(caplog.records) == 1
    assert recorder_of(app).counters.rejected == 5
    assert keys(redis_client) == set()


def test_each_kind_of_bad_id_is_logged(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    bad = iter([-1, -2, 2**40, 2**50, "abc", "def"])
    app.add_url_rule("/", "view", mark("x", lambda: next(bad))(lambda: "ok"))
    for _ in range(6):
        app.test_client().get("/")

    assert len(caplog.records) == 3
    assert recorder_of(app).counters.rejected == 6


def test_an_error_in_a_callable_leaves_the_view_alone(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    assert mark_in_request(app, lambda: 1 / 0)
    assert mark_in_request(app, lambda missing: missing)

    assert [record.exc_info is None for record in caplog.records] == [False, False]
    assert recorder_of(app).counters.rejected == 2


def test_a_proxy_that_fails_leaves_the_view_alone(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    assert mark_in_request(app, LocalProxy(lambda: 1 / 0))
    assert recorder_of(app).counters.rejected == 1
    assert "ZeroDivisionError" in caplog.text


def test_the_apps_own_limit_holds_in_requests(
    make_app: MakeApp, redis_client: redis.Redis
) -> None:
    app = make_app(BITMAPIST_MAX_ID=1000)
    assert mark_in_request(app, lambda: 1000)
    assert mark_in_request(app, lambda: 1001)

    assert users(redis_client, DAY) == {1000}


def test_marking_a_bad_id_raises_outside_requests_only(app: Flask) -> None:
    with app.app_context(), pytest.raises(ValueError, match="negative"):
        mark_event("x", -1)
    with app.test_request_context():
        mark_event("x", -1)
        unmark_event("x", "abc")
        mark_unique("x", 2**32)
    assert recorder_of(app).counters.rejected == 3


def test_an_id_that_costs_much_memory_is_warned_of_once(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(BITMAPIST_WARN_BYTES=1000)
    with app.app_context():
        mark_event("x", 7999)
        assert caplog.text == ""
        mark_event("x", 8000)
        mark_event("x", 9000)

    assert len(caplog.records) == 1
    assert "1001 bytes" in caplog.text


def test_the_warning_can_be_turned_off(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    with make_app(BITMAPIST_WARN_BYTES=0).app_context():
        mark_event("x", 2**24)

    assert caplog.text == ""


@settings(deadline=None)
@given(st.integers())
def test_whole_numbers_are_ids_within_bounds(number: int) -> None:
    if 0 <= number < 2**32:
        assert check_id(number) == check_id(str(number)) == number
    else:
        with pytest.raises(BadMarkError):
            check_id(number)


@settings(deadline=None)
@given(st.text() | st.floats() | st.booleans() | st.binary() | st.uuids())
def test_nothing_else_but_digits_is_an_id(value: Any) -> None:
    digits = isinstance(value, str) and value.isascii() and value.isdigit()
    if digits and int(value[:20]) < 2**32:
        assert check_id(value) == int(value)
    else:
        with pytest.raises(BadMarkError):
            check_id(value)


def test_a_user_object_is_asked_for_its_id() -> None:
    assert user_key(User(5)) == "5"
    key = uuid.uuid4()
    assert user_key(key) is key
