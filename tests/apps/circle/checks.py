"""The circle's own tests."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from . import Config, create_app, db
from .models import Post, User


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    class Testing(Config):
        TESTING = True
        SQLALCHEMY_DATABASE_URI = f"sqlite:///{tmp_path / 'circle.sqlite'}"

    app = create_app(Testing)
    with app.app_context():
        db.create_all()
    yield app
    app.extensions["jobs"].shutdown()
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def ada(app: Flask) -> FlaskClient:
    return member(app, "ada")


def member(app: Flask, name: str) -> FlaskClient:
    client = app.test_client()
    who = {"name": name, "password": "secret"}
    client.post("/register", data=who)
    assert client.post("/login", data=who).location == "/"
    return client


def test_passwords_are_kept_as_hashes() -> None:
    user = User(name="ada")
    user.set_password("secret")
    assert "secret" not in (user.password_hash or "")
    assert user.check_password("secret")
    assert not user.check_password("Secret")


def test_a_timeline_has_what_the_user_and_the_followed_post(app: Flask) -> None:
    with app.app_context():
        ada, bob, eve = (User(name=name) for name in ("ada", "bob", "eve"))
        posts = [Post(body=f"by {user.name}", author=user) for user in (ada, bob, eve)]
        db.session.add_all([ada, bob, eve, *posts])
        db.session.commit()
        ada.follow(bob)
        ada.follow(bob)
        assert [ada.follows(bob), bob.follows(ada)] == [True, False]
        assert db.session.scalars(ada.timeline()).all() == [posts[1], posts[0]]
        ada.unfollow(bob)
        assert db.session.scalars(ada.timeline()).all() == [posts[0]]


def test_posts_are_read_by_those_who_follow(app: Flask, ada: FlaskClient) -> None:
    bob = member(app, "bob")
    assert bob.post("/", data={"body": "Hello from Bob"}).location == "/"
    assert "Hello from Bob" not in ada.get("/").text
    ada.post("/follow/bob")
    assert "Hello from Bob" in ada.get("/").text
    ada.post("/unfollow/bob")
    assert "Hello from Bob" not in ada.get("/").text
    assert ada.post("/follow/nobody").status_code == 404


def test_strangers_are_sent_to_the_login(app: Flask, ada: FlaskClient) -> None:
    ada.get("/logout")
    for client in (ada, app.test_client()):
        assert client.get("/").location.startswith("/login")
    wrong = {"name": "ada", "password": "guessed"}
    assert ada.post("/login", data=wrong).status_code == 401


def test_dates_are_in_the_language_of_the_reader(app: Flask, ada: FlaskClient) -> None:
    with app.app_context():
        at = datetime(2026, 1, 5, 12)
        db.session.add(Post(body="Happy new year", user_id=1, at=at))
        db.session.commit()
    for language, said in (("en", "Monday, January 5"), ("es", "lunes, 5 de enero")):
        assert said in ada.get("/", headers={"Accept-Language": language}).text


def test_programs_post_with_a_token(app: Flask, ada: FlaskClient) -> None:
    api = app.test_client()
    assert api.post("/api/tokens", auth=("ada", "guessed")).status_code == 401
    token = api.post("/api/tokens", auth=("ada", "secret")).get_json()["token"]
    headers = {"Authorization": f"Bearer {token}"}
    new = {"body": "From a program"}
    assert api.post("/api/posts", json=new).status_code == 401
    assert api.post("/api/posts", json=new, headers=headers).status_code == 201
    user = api.get("/api/users/1", headers=headers).get_json()
    assert user == {"id": 1, "name": "ada", "posts": ["From a program"]}


def test_an_export_is_made_outside_the_request(app: Flask, ada: FlaskClient) -> None:
    ada.post("/", data={"body": "To be kept"})
    assert ada.post("/export").status_code == 202
    app.extensions["jobs"].shutdown()
    with app.app_context():
        assert db.get_or_404(User, 1).export == '["To be kept"]'
