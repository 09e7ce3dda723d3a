"""Logins and logouts, marked from Flask-Login's signals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis
from flask import Flask

from .marks import keys, today, users
from .servers import RedisProcess

pytest.importorskip("flask_login")

from flask_login import LoginManager, UserMixin, login_user, logout_user

from flask_bitmapist.extensions.flask_login import mark_login, mark_logout

MakeApp = Callable[..., Flask]


class User(UserMixin):
    def __init__(self, user_id: int) -> None:
        self.id = user_id


def with_login(app: Flask) -> Flask:
    manager = LoginManager(app)
    manager.user_loader(lambda user_id: User(int(user_id)))

    @app.get("/login/<int:user_id>")
    def login(user_id: int) -> str:
        login_user(User(user_id))
        return "in"

    @app.get("/logout")
    def logout() -> str:
        logout_user()
        return "out"

    return app


def test_a_login_and_a_logout_are_marked(
    make_app: MakeApp, redis_client: redis.Redis
) -> None:
    client = with_login(make_app()).test_client()
    client.get("/login/5")
    assert users(redis_client, today("user:logged_in")) == {5}
    assert users(redis_client, today("user:logged_out")) == set()
    client.get("/logout")
    assert users(redis_client, today("user:logged_out")) == {5}


def test_who_is_logged_in_before_they_are_saved_is_marked_when_they_are(
    make_app: MakeApp, redis_client: redis.Redis
) -> None:
    sqlalchemy = pytest.importorskip("sqlalchemy")
    orm = pytest.importorskip("sqlalchemy.orm")
    base = orm.declarative_base()

    class Member(base, UserMixin):  # type: ignore[misc,valid-type]
        __tablename__ = "members"
        number = sqlalchemy.Column(sqlalchemy.Integer, primary_key=True)

        def get_id(self) -> str:
            return "a session's token"

    app = with_login(make_app())

    @app.post("/register/<int:number>")
    def register(number: int) -> str:
        member = Member()
        login_user(member)
        member.number = number or None
        return "welcome"

    for number in (6, 0):  # the last one is not saved after all
        assert app.test_client().post(f"/register/{number}").text == "welcome"
    assert users(redis_client, today("user:logged_in")) == {6}
    assert app.extensions["bitmapist"].recorder.counters.rejected == 1


def test_a_logout_of_nobody_marks_nothing(
    make_app: MakeApp, redis_client: redis.Redis
) -> None:
    assert with_login(make_app()).test_client().get("/logout").text == "out"
    assert keys(redis_client) == set()


def test_a_setting_turns_it_off(make_app: MakeApp, redis_client: redis.Redis) -> None:
    app = with_login(make_app(BITMAPIST_LOGIN_EVENTS=False))
    client = app.test_client()
    client.get("/login/5")
    client.get("/logout")

    assert keys(redis_client) == set()


def test_several_apps_do_not_mix(
    make_app: MakeApp, redis_client: redis.Redis, redis_process: RedisProcess
) -> None:
    one = with_login(make_app())
    other = with_login(make_app(BITMAPIST_REDIS_URL=redis_process.url))
    without = with_login(Flask("without"))
    without.secret_key = "for the tests"
    for number, app in enumerate((one, other, without)):
        assert app.test_client().get(f"/login/{number}").text == "in"

    assert users(redis_client, today("user:logged_in")) == {0}
    assert users(redis_process.client(), today("user:logged_in")) == {1}


def test_an_id_that_is_no_number_does_not_stop_a_login(
    make_app: MakeApp, redis_client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(BITMAPIST_ID_MAP=False)
    user: Any = User(0)
    user.id = "ada"
    with app.test_request_context():
        mark_login(app, user)
        mark_login(app, user)
        mark_logout(app, user, extra="more")

    assert keys(redis_client) == set()
    assert len(caplog.records) == 2, "one for each event"


def test_a_login_may_be_told_without_the_app_and_of_any_user_object(
    make_app: MakeApp, redis_client: redis.Redis
) -> None:
    class Account:
        id = 5

    with make_app().app_context():
        mark_login(None, Account())
    assert users(redis_client, today("user:logged_in")) == {5}
