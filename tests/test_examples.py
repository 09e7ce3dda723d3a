"""Every example runs as it is, and the demo as compose.yaml runs it."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import redis
from flask import Flask

from scripts.check_resolvers import PAGE, sections

from .marks import eventually
from .needs import need
from .servers import free_port

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"


def example(name: str, *packages: str) -> Any:
    """Import an example, where what it is about is installed."""
    for package in packages:
        need(package)
    return importlib.import_module(f"examples.{name}")


def count(app: Flask, event: str) -> int:
    """Return how many users did *event* today."""
    with app.app_context():
        query = app.extensions["bitmapist"].query
        return int(query.count(event, "day", allow_unknown=True))


def test_every_example_is_listed_and_short() -> None:
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    files = sorted(EXAMPLES.glob("[!_]*.py"))
    assert len(files) >= 6
    for path in files:
        assert f"({path.name})" in listed
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 70, path.name


def test_the_factory_counts_visitors_with_a_session(redis_url: str) -> None:
    app = example("factory").create_app(BITMAPIST_REDIS_URL=redis_url)
    client = app.test_client()
    client.get("/songs/1")
    assert count(app, "song:played") == 0
    with client.session_transaction() as session:
        session["user_id"] = 7
    assert client.get("/songs/1").text == "Playing song 1."
    assert count(app, "engaged") == 0
    assert client.post("/playlists").status_code == 201
    assert count(app, "engaged") == 1


def test_logins_are_marked_and_staff_see_the_pages(redis_url: str) -> None:
    login = example("login", "flask_login")
    app = login.create_app(BITMAPIST_REDIS_URL=redis_url)
    for user, status in ((1, 200), (2, 403)):
        client = app.test_client()
        client.post(f"/login/{user}")
        assert client.get("/").text == "Home."
        assert client.get("/bitmapist/").status_code == status
    assert app.test_client().get("/bitmapist/").status_code == 403
    assert count(app, "user:logged_in") == 2
    assert count(app, "home:seen") == 2


def test_users_of_flask_security_are_marked_by_their_primary_key(
    redis_url: str,
) -> None:
    security = example("security", "flask_security", "flask_sqlalchemy")
    app = security.create_app(
        BITMAPIST_REDIS_URL=redis_url,
        SECURITY_PASSWORD_HASH="pbkdf2_sha512",  # needs no other package
        WTF_CSRF_ENABLED=False,
    )
    with app.app_context():
        users = security.users
        role = users.create_role(name="analyst")
        hashed = importlib.import_module("flask_security").hash_password("a password")
        for name, roles in (("ada", [role]), ("bob", [])):
            users.create_user(email=f"{name}@example.com", password=hashed, roles=roles)
        users.commit()
    for name, status in (("ada", 200), ("bob", 403)):
        client = app.test_client()
        given = {"email": f"{name}@example.com", "password": "a password"}
        assert client.post("/login", data=given).status_code == 302
        assert client.get("/orders").text == "Your orders."
        assert client.get("/bitmapist/").status_code == status
    with app.app_context():
        assert security.bitmapist.query.has(1, "orders:seen", "day")
        assert security.bitmapist.query.has(2, "orders:seen", "day")


def run(code: str, **environment: str) -> str:
    """Run Python in the checkout and return what it says."""
    done = subprocess.run(
        [sys.executable, *shlex.split(code)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_jobs_of_rq_mark(redis_url: str) -> None:
    need("rq")
    urls = {"FLASK_BITMAPIST_REDIS_URL": redis_url, "RQ_REDIS_URL": redis_url}
    run("-m examples.rq_jobs 1 2 3", **urls)
    run(f"-m rq.cli worker --burst --url {redis_url} newsletters", **urls)
    assert count(reader(redis_url), "newsletter:sent") == 3


def reader(redis_url: str) -> Flask:
    """Return an app that asks what others marked."""
    return example("factory").create_app(BITMAPIST_REDIS_URL=redis_url)


def test_tasks_of_celery_mark(redis_url: str, tmp_path: Path) -> None:
    need("celery")
    # A file in place of a broker: Celery's own way to Redis wants a newer redis-py.
    broker = f"sqla+sqlite:///{tmp_path / 'broker.db'}"
    given = {"BROKER_URL": broker, "FLASK_BITMAPIST_REDIS_URL": redis_url}
    send = "from examples.celery_jobs import send_newsletter as s; s.delay(7)"
    run(f"-c {shlex.quote(send)}", **given)
    worker = "-m celery -A examples.celery_jobs.jobs worker --pool solo"
    process = subprocess.Popen(
        [sys.executable, *worker.split()], cwd=ROOT, env={**os.environ, **given}
    )
    try:
        app = reader(redis_url)
        eventually(lambda: count(app, "newsletter:sent") == 1, "the task has marked")
    finally:
        process.terminate()
        process.wait()


def test_grafana_gets_what_its_dashboard_asks_for(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"FLASK_BITMAPIST_REDIS_URL": redis_url, "ANALYTICS_TOKEN": "secret"}
    told = run("-m flask --app examples.grafana dashboard song:played", **given)
    (panel,) = json.loads(told)["panels"]
    (target,) = panel["targets"]

    for name, text in given.items():
        monkeypatch.setenv(name, text)
    monkeypatch.delitem(sys.modules, "examples.grafana", raising=False)
    app = example("grafana").app
    with app.app_context():
        importlib.import_module("flask_bitmapist").mark_event("song:played", 7)
    client = app.test_client()
    headers = {"Authorization": "Bearer secret"}
    assert client.get(target["url"]).status_code == 403
    answer = client.get(target["url"], headers=headers)
    lines = answer.text.splitlines()
    assert {each["selector"] for each in target["columns"]} <= set(lines[0].split(","))
    assert len(lines) == 1 + 90
    operations = client.get("/bitmapist/openapi.json", headers=headers).json["paths"]
    assert target["url"].partition("?")[0].rpartition("/")[2] in {
        path.rpartition("/")[2] for path in operations
    }


def test_the_demo_runs_as_compose_runs_it(
    redis_url: str, redis_client: redis.Redis
) -> None:
    need("gunicorn")
    yaml = pytest.importorskip("yaml")
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    demo = services["services"]["demo"]
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (group,) = re.findall(r"--group (\w+)", demo["command"][-1])
    assert group in settings["dependency-groups"]

    port = free_port()
    (command,) = re.findall(r"exec (gunicorn .+)$", demo["command"][-1])
    words = shlex.split(command.replace("0.0.0.0:8000", f"127.0.0.1:{port}"))
    process = subprocess.Popen(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        env={**os.environ, "BITMAPIST_REDIS_URL": redis_url},
    )
    try:
        eventually(lambda: answers(port), "gunicorn answers")
        assert redis_client.dbsize() > 100
    finally:
        process.terminate()
        process.wait()


def answers(port: int) -> bool:
    """Say whether the demo shows its first page."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as page:
            return page.status == 200
    except OSError:
        return False


def test_the_page_on_redis_py_has_a_section_for_each_tool() -> None:
    found = list(sections(PAGE.read_text(encoding="utf-8")))
    wanted = {each.heading: each.wanted for each in found}
    for tool in ("pip", "uv", "Poetry", "PDM", "pip-tools"):
        assert wanted[tool] == ">=8"
    assert list(wanted.values()).count("<6") == 1
    assert all(each.commands for each in found)
