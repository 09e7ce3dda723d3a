"""The guarded admin's own tests."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from . import User, app, build_sample_db


@pytest.fixture(autouse=True)
def _sample() -> None:
    app.config.update(TESTING=True, WTF_CSRF_ENABLED=False)
    with app.app_context():
        build_sample_db()


def visit(name: str = "") -> FlaskClient:
    client = app.test_client()
    if name:
        answer = post(client, "/admin/login", name)
        assert answer.status_code == 302
    return client


def post(client: FlaskClient, path: str, name: str, **more: str) -> Any:
    who = {"email": f"{name}@example.com", "password": "secret-one"}
    return client.post(path, data={**who, **more})


def test_everybody_sees_the_first_pages() -> None:
    for name in ("", "bob", "admin"):
        assert "Welcome." in visit(name).get("/").text
        assert visit(name).get("/admin/").status_code == 200


@pytest.mark.parametrize("path", ["/admin/user/", "/admin/role/"])
def test_the_views_of_models_are_for_superusers(path: str) -> None:
    assert visit().get(path).location.startswith("/admin/login?next=")
    assert visit("bob").get(path).status_code == 403
    assert visit("admin").get(path).status_code == 200


def test_a_superuser_gives_roles() -> None:
    given = {"email": "bob@example.com", "password": "secret-two", "roles": "2"}
    given |= {"active": "y", "fs_uniquifier": "f" * 32}
    answer = visit("admin").post("/admin/user/edit/?id=2", data=given)
    assert answer.status_code == 302
    with app.app_context():
        assert User.query.filter_by(email="bob@example.com").one().has_role("superuser")


def test_a_newcomer_registers_and_logs_out() -> None:
    client = visit()
    answer = post(client, "/admin/register", "eve", password_confirm="secret-one")
    assert answer.location.endswith("/admin/")
    with app.app_context():
        user = User.query.filter_by(email="eve@example.com").one()
        assert user.get_id() == user.fs_uniquifier != str(user.id)
    assert client.get("/admin/user/").status_code == 403
    client.post("/admin/logout")
    assert client.get("/admin/user/").status_code == 302
