"""What the doctor finds in a store that is not as it should be."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import pytest
from flask import Flask

from flask_bitmapist import mark_event

from .inside import diagnosis
from .kinds import findings
from .servers import RedisProcess

MakeApp = Callable[..., Flask]


def test_where_nothing_was_marked_no_id_is_too_big(app: Flask) -> None:
    found = findings(app)["ids"]
    assert found["level"] == "ok"
    assert found["found"].startswith("nothing tracked in ")


def test_small_ids_are_told_with_what_their_bitmap_takes(app: Flask) -> None:
    with app.app_context():
        for user in range(100):
            mark_event("a", user)
    found = findings(app)["ids"]
    assert found["level"] == "ok"
    assert "is about 103 ('a')" in found["found"]
    assert "for 100 users" in found["found"]


def test_memory_that_is_nearly_used_up_is_a_problem(
    make_app: MakeApp, redis_process: RedisProcess
) -> None:
    app = make_app(BITMAPIST_REDIS_URL=redis_process.url)
    with redis_process.client() as client:
        info: dict[str, Any] = client.info("memory")
        client.config_set("maxmemory", str(info["used_memory"] + 50_000))
    found = findings(app)["memory"]
    assert found["level"] == "problem"
    assert "Raise maxmemory" in found["advice"]


def test_a_file_of_all_writes_keeps_events_over_a_restart(
    make_app: MakeApp, redis_process: RedisProcess
) -> None:
    app = make_app(BITMAPIST_REDIS_URL=redis_process.url)
    assert findings(app)["persistence"]["level"] == "warning"
    with redis_process.client() as client:
        client.config_set("appendonly", "yes")
    assert findings(app)["persistence"]["level"] == "ok"


def test_commands_that_a_reader_is_refused_are_named(
    make_app: MakeApp, redis_process: RedisProcess
) -> None:
    with redis_process.client() as client:
        client.execute_command(
            *("ACL", "SETUSER", "narrow", "on", ">secret", "~*", "+@all"),
            *("-getrange", "-bitcount", "-info", "-strlen"),
        )
    at = f"127.0.0.1:{redis_process.port}"
    found = findings(make_app(BITMAPIST_REDIS_URL=f"redis://narrow:secret@{at}"))
    assert found["reading"]["level"] == "warning"
    assert "GETRANGE" in found["reading"]["found"]
    assert "BITCOUNT" in found["reading"]["found"]
    assert found["server"]["found"] == "it does not report its version"
    # Without INFO nothing is known of these, and nothing is claimed.
    assert not {"memory", "persistence"} & set(found)


def test_a_store_far_away_gets_advice(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnosis, "SLOW_MS", 0.0)
    found = findings(app)["latency"]
    assert found["level"] == "warning"
    assert "BITMAPIST_MARK_MODE" in found["advice"]


@pytest.mark.parametrize(
    ("version", "level"), [("6.0.16", "warning"), ("6.2.0", "ok"), ("8.2.1", "ok")]
)
def test_a_version_that_is_not_tested_any_more_is_warned_of(
    version: str, level: str
) -> None:
    assert diagnosis._version({"redis_version": version}).level == level


def test_the_pair_of_bitmapist_and_redis_py_is_named(app: Flask) -> None:
    found = findings(app)["client"]
    pair = f"redis-py {version('redis')} with bitmapist {version('bitmapist')}"
    assert found["found"].startswith(pair)


@pytest.mark.parametrize(
    ("redis_py", "level"),
    [("5.0.0", "ok"), ("5.3.1", "ok"), ("6.4.0", "warning"), ("8.1.0", "ok")],
)
def test_a_pair_that_no_test_runs_with_is_warned_of(redis_py: str, level: str) -> None:
    found = diagnosis.client_versions("3.119", redis_py)
    assert found.level == level
    assert ("not tested" in found.found) == (level == "warning")
    assert ("redis-py 5 or 8" in found.advice) == (level == "warning")


def test_a_flask_babel_that_nobody_initialised_is_a_problem(app: Flask) -> None:
    babel = pytest.importorskip("flask_babel")
    assert "languages" not in findings(app)
    pytest.importorskip("flask_admin").Admin(app)
    assert findings(app)["languages"]["level"] == "problem"
    assert "Babel(app)" in findings(app)["languages"]["advice"]
    babel.Babel(app)
    assert "languages" not in findings(app)
