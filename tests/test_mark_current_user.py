"""Marks of Flask-Login's current user."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from flask import Flask

from flask_bitmapist import mark

from .marks import NOON, keys, recorder_of, users

pytest.importorskip("flask_login")

from flask_login import AnonymousUserMixin, LoginManager, UserMixin, current_user
from flask_login import login_user as log_in

DAY = "x_2026-1-1"


class User(UserMixin):
    def __init__(self, user_id: int) -> None:
        self.id = user_id


@pytest.fixture
def app_with_login(app: Flask) -> Flask:
    manager = LoginManager(app)
    manager.user_loader(lambda user_id: User(int(user_id)))

    @app.get("/login/<int:user_id>")
    def login(user_id: int) -> str:
        log_in(User(user_id))
        return "ok"

    return app


@pytest.mark.parametrize(
    "uuid",
    [current_user, lambda: current_user, lambda: current_user.id],
    ids=["proxy", "callable for the proxy", "callable for its id"],
)
def test_the_current_user_is_marked_once_logged_in(
    app_with_login: Flask, redis_client: redis.Redis, uuid: Any
) -> None:
    app = app_with_login
    app.add_url_rule("/view", "view", mark("x", uuid, now=NOON)(lambda: "ok"))
    client = app.test_client()

    assert client.get("/view").status_code == 200
    assert users(redis_client, DAY) == set()
    client.get("/login/12")
    assert client.get("/view").status_code == 200
    assert users(redis_client, DAY) == {12}


@pytest.mark.parametrize(
    ("user", "marked"), [(User(5), {5}), (AnonymousUserMixin(), set())]
)
def test_a_user_of_flask_login_may_be_given_itself(
    app: Flask, redis_client: redis.Redis, user: Any, marked: set[int]
) -> None:
    with app.test_request_context():
        mark("x", user, now=NOON)(lambda: "ran")()
    assert users(redis_client, DAY) == marked
    assert recorder_of(app).counters.rejected == 0


def test_a_current_user_that_fails_leaves_the_view_alone(
    app: Flask, redis_client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    LoginManager(app)  # without a user_loader, so that current_user raises

    @app.get("/")
    @mark("x", current_user)
    def view() -> str:
        return "ok"

    assert app.test_client().get("/").text == "ok"
    assert recorder_of(app).counters.rejected == 1
    assert "user_loader" in caplog.text
    assert keys(redis_client) == set()
