"""Whose mark it is: ids, callables, proxies, and what is no id at all."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from enum import Enum, IntEnum, StrEnum
from typing import Any

import numpy as np
import pytest
import redis
from flask import Flask, g
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.local import LocalProxy

from flask_bitmapist import mark, mark_event, mark_unique, unmark_event

from .inside import BadMarkError, is_printable, plain_id
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


def kind(value: Any) -> str:
    """Return what a case is called."""
    return type(value).__name__


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


NO_IDS = [1.5, 5.0, True, np.bool_(True), np.float32(5), b"5", [5], {"id": 5}, (1, 2)]
"""What nobody is called, whatever a store holds."""

NO_NUMBERS = [2**32, 2**27 + 1, "abc", "-3x", "007", "9" * 500, uuid.UUID(int=5)]
"""Keys of users, which are no bits by themselves."""


@pytest.mark.parametrize("key", ["two\nlines", "\x1b[2J", "\x00", "a\u202eb"])
def test_a_text_that_would_leave_its_line_is_no_id(
    make_app: MakeApp, redis_client: redis.Redis, key: str
) -> None:
    app, refusal = make_app(BITMAPIST_ID_MAP=True), "has a control character"
    with app.app_context(), pytest.raises(BadMarkError, match=refusal) as error:
        mark_event("x", key)  # type: ignore[arg-type]
    assert key not in str(error.value)
    assert keys(redis_client) == set()


@pytest.mark.parametrize(
    "uuid", [*NO_IDS, -1, "-3", "", "x" * 1025, "\ud800", 10**5000], ids=kind
)
def test_a_constant_that_cannot_be_an_id_is_refused_when_the_view_is_made(
    uuid: Any,
) -> None:
    with pytest.raises(ValueError, match="user id"):
        mark("x", uuid)


@pytest.mark.parametrize("uuid", NO_NUMBERS, ids=kind)
def test_a_key_is_refused_when_the_view_is_made_where_ids_have_to_be_numbers(
    make_app: MakeApp, uuid: Any
) -> None:
    with make_app().app_context():
        mark("x", uuid)
    with (
        make_app(BITMAPIST_ID_MAP=False).app_context(),
        pytest.raises(ValueError, match="BITMAPIST_ID_MAP is False"),
    ):
        mark("x", uuid)


def test_a_constant_above_the_apps_own_limit_is_refused(make_app: MakeApp) -> None:
    app = make_app(BITMAPIST_MAX_ID=1000, BITMAPIST_ID_MAP=False)
    with app.app_context():
        mark("x", 1000)
        with pytest.raises(ValueError, match="BITMAPIST_MAX_ID"):
            mark("x", 1001)


@pytest.mark.parametrize("bad", [*NO_IDS, -1, "", object(), *NO_NUMBERS], ids=kind)
def test_a_bad_id_in_a_request_is_logged_once_and_leaves_the_view_alone(
    app: Flask, redis_client: redis.Redis, caplog: pytest.LogCaptureFixture, bad: Any
) -> None:
    with app.app_context():
        mark_event("y", 1)  # so that this is a store of numbers
    caplog.clear()
    before = keys(redis_client)
    app.add_url_rule("/", "view", mark("x", lambda: bad)(lambda: "ok"))
    client = app.test_client()
    for _ in range(5):
        assert client.get("/").text == "ok"

    (record,) = caplog.records
    assert "user id" in record.message
    assert recorder_of(app).counters.rejected == 5
    assert keys(redis_client) == before


def test_it_is_logged_for_each_reason_and_event_and_each_time_for_debugging(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "flask_bitmapist")
    with app.test_request_context():
        for event in ("x", "x", "y"):
            for user in (-1, -2, 1.5):
                mark_event(event, user)

    told = [each.levelname for each in caplog.records]
    assert told.count("WARNING") == 4
    assert told.count("DEBUG") == 9


def test_each_kind_of_bad_id_is_logged(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    with app.app_context():
        mark_event("y", 1)
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


@pytest.mark.parametrize("setting", ["auto", False])
def test_marking_a_bad_id_raises_outside_requests_only(
    make_app: MakeApp, setting: Any
) -> None:
    app = make_app(BITMAPIST_ID_MAP=setting)
    with app.app_context():
        mark_event("y", 1)
        for user, told in ((-1, "negative"), ("abc", "not a whole"), (2**32, "larger")):
            for do in (mark_event, unmark_event, mark_unique):
                with pytest.raises(ValueError, match=told):
                    do("x", user)
    rejected = recorder_of(app).counters.rejected
    with app.test_request_context():
        mark_event("x", -1)
        unmark_event("x", "abc")
        mark_unique("x", 2**32)
    assert recorder_of(app).counters.rejected == rejected + 3


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


@given(st.integers(-(2**63), 2**63 - 1))
def test_a_number_and_its_digits_are_the_same_id(number: int) -> None:
    class Member(Enum):
        ONE = number

    assert plain_id(number) == plain_id(str(number)) == plain_id(Member.ONE) == number


@given(st.integers(-(2**63), 2**63 - 1))
def test_whole_numbers_of_numpy_are_the_same_ids(number: int) -> None:
    assert plain_id(np.int64(number)) == plain_id(number) == plain_id(str(number))


@given(st.floats() | st.booleans() | st.binary() | st.lists(st.integers()) | st.none())
def test_nothing_but_numbers_and_texts_is_an_id(value: Any) -> None:
    with pytest.raises(BadMarkError):
        plain_id(value)


@given(st.text(st.characters().filter(is_printable), min_size=1, max_size=1024))
def test_different_texts_are_different_ids(text: str) -> None:
    assert str(plain_id(text)) == text


@pytest.mark.parametrize("text", ["007", "+7", " 7", "7 ", "-0", "٧", "7.0", "1e3"])
def test_only_digits_as_a_number_is_written_are_a_number(text: str) -> None:
    assert plain_id(text) == text
    assert plain_id(text) != 7


class Word(StrEnum):
    ADA = "ada"

    def __str__(self) -> str:
        return "something else"


class Level(IntEnum):
    SEVEN = 7


@pytest.mark.parametrize(
    ("given", "meant"),
    [(Word.ADA, "ada"), (Level.SEVEN, 7), (np.str_("ada"), "ada"), (np.uint8(7), 7)],
    ids=kind,
)
def test_members_of_enums_and_types_of_numpy_are_their_values(
    given: Any, meant: Any
) -> None:
    assert plain_id(given) == meant
    assert type(plain_id(given)) is type(meant)
