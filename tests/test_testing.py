"""Tests of other people's apps: where their marks go, and how they look at them."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import bitmapist as plain
import pytest
import redis
from flask import Flask

from flask_bitmapist import FlaskBitmapist, mark, mark_event, unmark_event
from flask_bitmapist.testing import marked, recorded

pytest.importorskip("fakeredis")


def make_shop(**settings: object) -> Flask:
    app = Flask("shop")
    app.config.update(settings)
    FlaskBitmapist(app)

    @app.post("/orders/<int:user>")
    @mark("order:placed", lambda user: user)
    def order(user: int) -> str:
        return "ordered"

    return app


def store_of(app: Flask) -> str:
    url: str = app.extensions["bitmapist"].redis_url
    return url


def test_tests_of_an_app_without_a_url_have_a_store_in_memory() -> None:
    shop = make_shop(TESTING=True)
    assert store_of(shop) == "memory://"
    shop.test_client().post("/orders/2")
    assert marked(shop, "order:placed", 2)


def test_they_do_also_if_the_app_is_told_of_them_after_it_was_made() -> None:
    shop = make_shop()
    assert store_of(shop) == "redis://localhost:6379"
    shop.config.update(TESTING=True)
    assert store_of(shop) == "memory://"
    shop.test_client().post("/orders/2")
    with shop.app_context():
        plain.mark_event("came", 3)
    assert marked(shop, "order:placed", 2)
    assert marked(shop, "came", 3)


def test_each_app_has_a_store_of_its_own() -> None:
    one, two = make_shop(TESTING=True), make_shop(TESTING=True)
    one.test_client().post("/orders/2")
    assert not marked(two, "order:placed", 2)


def test_a_url_that_is_given_is_kept_in_tests(
    redis_url: str, redis_client: redis.Redis
) -> None:
    shop = make_shop(TESTING=True, BITMAPIST_REDIS_URL=redis_url)
    shop.test_client().post("/orders/2")
    assert redis_client.keys("trackist_order:placed_*")
    assert marked(shop, "order:placed", 2)


def test_marked_waits_for_what_is_written_in_the_background() -> None:
    shop = make_shop(
        TESTING=True,
        BITMAPIST_MARK_MODE="background",
        BITMAPIST_FLUSH_INTERVAL=3600.0,
    )
    assert not marked(shop, "order:placed", 2)
    shop.test_client().post("/orders/2")
    assert marked(shop, "order:placed", 2)
    assert marked(shop, "order:placed", 2, "months")
    assert not marked(shop, "order:placed", 3)
    assert not marked(shop, "order:plaxed", 2)


def test_marked_says_that_redis_fails() -> None:
    shop = make_shop(
        TESTING=True,
        BITMAPIST_REDIS_URL="redis://127.0.0.1:1",
        BITMAPIST_ON_ERROR="ignore",
    )
    shop.test_client().post("/orders/2")
    with pytest.raises(RuntimeError, match="marks wait for Redis, which fails"):
        marked(shop, "order:placed", 2)


def test_what_is_recorded_leaves_the_apps_own_store_alone(
    redis_url: str, redis_client: redis.Redis
) -> None:
    shop = make_shop(BITMAPIST_REDIS_URL=redis_url)
    with recorded(shop) as marks:
        shop.test_client().post("/orders/2")
        with shop.app_context():
            mark_event("came", 3, system="system")
            unmark_event("came", 4)
        assert marked(shop, "order:placed", 2)
    assert marks == [("order:placed", 2), ("came", 3)]
    assert redis_client.keys("trackist_*") == []
    assert not marked(shop, "order:placed", 2)


def test_an_app_without_the_extension_is_told() -> None:
    with pytest.raises(RuntimeError, match="not initialised for this app"):
        marked(Flask("other"), "order:placed", 2)


CONFTEST = """
import pytest
from flask import Flask
from flask_bitmapist import FlaskBitmapist, mark

@pytest.fixture(scope="session")
def app():
    app = Flask("shop")
    FlaskBitmapist(app)

    @app.post("/orders/<int:user>")
    @mark("order:placed", lambda user: user)
    def order(user):
        return "ordered"

    return app
"""

TESTS = """
import pytest
from flask_bitmapist.testing import marked

@pytest.mark.parametrize("user", [2, 3])
def test_an_order_is_marked(app, bitmapist_marks, user):
    assert bitmapist_marks == []
    app.test_client().post(f"/orders/{user}")
    assert bitmapist_marks == [("order:placed", user)]
    assert marked(app, "order:placed", user)
    assert not marked(app, "order:placed", 5 - user)
"""


def test_the_fixture_gives_each_test_an_empty_store(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_shop.py").write_text(TESTS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "flask_bitmapist.testing"],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_without_fakeredis_marks_come_to_nothing_and_the_log_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "fakeredis", None)
    shop = make_shop(TESTING=True)
    with caplog.at_level(logging.WARNING):
        for user in range(3):
            assert shop.test_client().post(f"/orders/{user}").status_code == 200
    (said,) = caplog.messages
    assert "pip install 'flask-bitmapist[memory]'" in said
    assert said.endswith("they are lost")
    with pytest.raises(RuntimeError, match="fakeredis"), recorded(shop):
        pass


ENDING = """
import sys
from flask import Flask
from flask_bitmapist import FlaskBitmapist, mark_event

kept = []
for number in range(int(sys.argv[1])):
    app = Flask(f"app{number}")
    url = "redis://127.0.0.1:1"
    FlaskBitmapist(app, {"BITMAPIST_REDIS_URL": url})
    kept.append(app)
    with app.app_context():
        mark_event("came", 1)
"""


@pytest.mark.parametrize(
    ("apps", "said"), [(1, "1 event is lost"), (3, "3 events are lost")]
)
def test_a_process_tells_once_at_its_end_that_marks_of_its_apps_are_lost(
    apps: int, said: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENDING, str(apps)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.count("lost because the process ended") == 1
    assert said in done.stderr
