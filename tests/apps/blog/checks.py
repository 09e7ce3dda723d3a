"""The blog's own tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from . import create_app
from .db import get_db


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    app = create_app({"TESTING": True, "DATABASE": str(tmp_path / "blog.sqlite")})
    assert "ready" in app.test_cli_runner().invoke(args=["init-db"]).output
    return app


@pytest.fixture
def ada(app: Flask) -> FlaskClient:
    return member(app, "ada")


def member(app: Flask, name: str) -> FlaskClient:
    client = app.test_client()
    who = {"username": name, "password": "secret"}
    assert client.post("/auth/register", data=who).location == "/auth/login"
    assert client.post("/auth/login", data=who).location == "/"
    return client


@pytest.mark.parametrize(
    ("path", "who", "message"),
    [
        ("register", ("", "secret"), "are required"),
        ("register", ("ada", "other"), "is registered already"),
        ("login", ("ada", "wrong"), "Wrong name or password"),
        ("login", ("eve", "secret"), "Wrong name or password"),
    ],
)
def test_forms_say_what_is_wrong(
    ada: FlaskClient, path: str, who: tuple[str, str], message: str
) -> None:
    given = dict(zip(("username", "password"), who, strict=True))
    assert message in ada.post(f"/auth/{path}", data=given).text


def test_who_logs_out_is_a_visitor_again(ada: FlaskClient) -> None:
    assert "Log out" in ada.get("/").text
    ada.get("/auth/logout")
    assert "Log in" in ada.get("/").text


def test_an_author_writes_changes_and_deletes(app: Flask, ada: FlaskClient) -> None:
    assert "A title is required" in ada.post("/create", data={"title": ""}).text
    ada.post("/create", data={"title": "First", "body": "Hello"})
    assert "Hello" in ada.get("/").text
    assert "Hello" in ada.get("/1/update").text
    ada.post("/1/update", data={"title": "First", "body": "Good evening"})
    assert "Good evening" in ada.get("/").text
    ada.post("/1/delete")
    with app.app_context():
        assert get_db().execute("SELECT * FROM post").fetchall() == []


def test_nobody_else_does(app: Flask, ada: FlaskClient) -> None:
    ada.post("/create", data={"title": "First", "body": ""})
    for path in ("/create", "/1/update", "/1/delete"):
        assert app.test_client().post(path).location == "/auth/login"
    bob = member(app, "bob")
    assert "Edit" not in bob.get("/").text
    assert bob.post("/1/update").status_code == 403
    assert bob.post("/1/delete").status_code == 403
    assert bob.post("/9/delete").status_code == 404
