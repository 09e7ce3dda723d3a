"""Apps in the shape of well-known ones are marked in a few lines, and work as before.

Their own tests run without the lines and with them.
"""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from flask_bitmapist.testing import marked, recorded

from .needs import need

for package in ("fakeredis", "flask_admin", "flask_babel", "flask_sqlalchemy"):
    pytest.importorskip(package)

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "tests" / "apps"
NEEDS = {"blog": (), "guarded": ("flask_security",), "circle": ()}
"""The apps, and what each needs that comes with the group ``hosts``."""
LINES = 7
OURS = re.compile(r"^.*  # bitmapist(?:, was: (?P<was>.+))?\n", re.MULTILINE)
"""A line that marks, and the line that was there before."""


def app_of(name: str) -> Any:
    """Return the module of an app, marked."""
    need_packages(name)
    return importlib.import_module(f"tests.apps.{name}")


def need_packages(name: str) -> None:
    for package in NEEDS[name]:
        need(package)


def write(name: str, folder: Path, *, marking: bool) -> int:
    """Write an app into a folder, and return how many of its lines are ours."""
    shutil.copytree(
        SOURCES / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
    )
    ours = 0
    for path in (folder / name).rglob("*.py"):
        text, number = OURS.subn(before, path.read_text(encoding="utf-8"))
        ours += number
        if not marking:
            path.write_text(text, encoding="utf-8")
    return ours


def before(ours: re.Match[str]) -> str:
    return f"{ours['was']}\n" if ours["was"] else ""


def run(folder: Path, *arguments: str) -> tuple[str, str]:
    """Run Python in a folder; return what it says, and whom it asked on port 6379."""
    seen = folder / "seen"
    seen.touch()
    kept = {
        name: value
        for name, value in os.environ.items()
        if "BITMAPIST" not in name and not name.startswith("PYTEST_")
    }
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={
            **kept,
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
            "SEEN_BY_WATCH": str(seen),
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, seen.read_text(encoding="utf-8")


def passed(said: str) -> int:
    (number,) = re.findall(r"(\d+) passed", said)
    return int(number)


@pytest.mark.parametrize("name", NEEDS)
def test_an_app_passes_its_tests_with_a_few_lines_as_without(
    name: str, tmp_path: Path
) -> None:
    need_packages(name)
    results = []
    for marking in (False, True):
        folder = tmp_path / ("after" if marking else "before")
        assert 1 <= write(name, folder, marking=marking) <= LINES
        source = "".join(path.read_text("utf-8") for path in folder.rglob("*.py"))
        assert ("bitmapist" in source) == marking
        said, reached = run(
            folder,
            *("-m", "pytest", "-q", "--rootdir=.", f"{name}/checks.py"),
            *("-p", "tests.apps.watch", "-p", "no:cacheprovider"),
        )
        assert reached == ""
        results.append(passed(said))
    assert results[0] == results[1] >= 4


def test_an_app_that_is_not_tested_goes_to_the_usual_port(tmp_path: Path) -> None:
    write("blog", tmp_path, marking=True)
    code = """
import tests.apps.watch, blog
app = blog.create_app({"DATABASE": "blog.sqlite"})
app.test_cli_runner().invoke(args=["init-db"])
who = {"username": "ada", "password": "secret"}
for path in ("register", "login"):
    print(app.test_client().post(f"/auth/{path}", data=who).status_code)
"""
    said, reached = run(tmp_path, "-c", code)
    assert said.split() == ["302", "302"]
    assert ":6379" in reached


def test_the_blog_marks_logins_posts_and_members_who_read(tmp_path: Path) -> None:
    blog = app_of("blog")
    app = blog.create_app({"TESTING": True, "DATABASE": str(tmp_path / "blog.sqlite")})
    app.test_cli_runner().invoke(args=["init-db"])
    who = {"username": "ada", "password": "secret"}
    client = app.test_client()
    with recorded(app) as marks:
        client.get("/")
        client.post("/auth/register", data=who)
        client.post("/auth/login", data={**who, "password": "wrong"})
        client.post("/create", data={"title": "Nobody's", "body": ""})
        assert marks == []
        client.post("/auth/login", data=who)
        client.get("/")
        client.get("/create")
        client.post("/create", data={"title": "", "body": ""})
        client.post("/create", data={"title": "First", "body": ""})
    assert marks == [("user:logged_in", 1), ("blog:read", 1), ("post:created", 1)]


def test_the_guarded_admin_marks_primary_keys_and_guards_its_tabs() -> None:
    guarded = app_of("guarded")
    app: Flask = guarded.app
    app.config.update(TESTING=True, WTF_CSRF_ENABLED=False)
    with app.app_context():
        guarded.build_sample_db()
    tab = "/admin/bitmapist/cohort/"
    with recorded(app) as marks:
        for name, status in (("", 403), ("bob", 403), ("admin", 200)):
            client = app.test_client()
            if name:
                who = {"email": f"{name}@example.com", "password": "secret-one"}
                client.post("/admin/login", data=who)
            client.get("/")
            assert client.get(tab).status_code == status
    assert people(marks) == {"user:logged_in": {1, 2}, "home:seen": {1, 2}}


def test_who_registers_is_marked_as_logged_in_once_they_are_saved() -> None:
    guarded = app_of("guarded")
    app: Flask = guarded.app
    app.config.update(TESTING=True, WTF_CSRF_ENABLED=False)
    with app.app_context():
        guarded.build_sample_db()
    password = dict.fromkeys(("password", "password_confirm"), "secret-one")
    with recorded(app) as marks:
        app.test_client().post(
            "/admin/register", data={"email": "eve@example.com", **password}
        )
    assert marks == [("user:logged_in", 3)]


def people(marks: list[tuple[str, Any]]) -> dict[str, set[Any]]:
    return {name: {who for event, who in marks if event == name} for name, _ in marks}


def test_the_circle_marks_whoever_posts_in_whatever_way(tmp_path: Path) -> None:
    circle = app_of("circle")

    class Testing(circle.Config):  # type: ignore[name-defined,misc]
        TESTING = True
        SQLALCHEMY_DATABASE_URI = f"sqlite:///{tmp_path / 'circle.sqlite'}"

    app: Flask = circle.create_app(Testing)
    with app.app_context():
        circle.db.create_all()
    ada, bob, eve = (member(app, name) for name in ("ada", "bob", "eve"))
    ada.post("/", data={"body": "From a page"})
    token = bob.post("/api/tokens", auth=("bob", "secret")).get_json()["token"]
    headers = {"Authorization": f"Bearer {token}"}
    bob.post("/api/posts", json={"body": "From a program"}, headers=headers)
    eve.post("/export")
    app.extensions["jobs"].shutdown()
    done = {
        event: [user for user in (1, 2, 3) if marked(app, event, user)]
        for event in ("user:logged_in", "post:created", "export:made")
    }
    with app.app_context():
        circle.db.engine.dispose()
    assert done == {
        "user:logged_in": [1, 2, 3],
        "post:created": [1, 2],
        "export:made": [3],
    }


def member(app: Flask, name: str) -> FlaskClient:
    client = app.test_client()
    who = {"name": name, "password": "secret"}
    client.post("/register", data=who)
    client.post("/login", data=who)
    return client
