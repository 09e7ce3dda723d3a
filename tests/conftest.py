"""Fixtures for all tests: a real redis-server, apps on it, and a real browser."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from typing import Any

import bitmapist
import hypothesis
import pytest
import redis
from flask import Flask
from jinja2 import Environment

from flask_bitmapist import FlaskBitmapist
from flask_bitmapist.query import Query

from .inside import BitmapReader, Names, living_apps
from .marks import known
from .reference import Mark
from .servers import RedisProcess, served, test_server
from .strategies import DEFINED, EVENTS

# How long an example takes depends on what else the machine does.
hypothesis.settings.register_profile("suite", hypothesis.settings(deadline=None))
hypothesis.settings.load_profile("suite")

# What the extras bring.  A test of one skips where it is missing, and where it may be
# missing is decided here: nowhere, or everywhere (BITMAPIST_TEST_BARE=1).
OPTIONAL = (
    *("asgiref", "babel", "fakeredis", "flask_admin", "flask_babel"),
    *("flask_limiter", "flask_login", "flask_sqlalchemy", "flask_sqlalchemy_lite"),
    *("flask_wtf", "psycopg", "pyarrow"),
    *("jsonschema", "mcp", "mypy", "numkong", "openapi_spec_validator", "pandas"),
    *("playwright", "rich", "sqlalchemy"),
)

# Tests start some two hundred processes.  Where bytecode is not to be kept, as in many
# containers, each would compile the package anew, which takes half a second.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Whoever runs the tests may have had signals ignored, as nohup does, and so would all
# that they start; a signal that has a handler here has its usual meaning there.
for _name in ("SIGINT", "SIGHUP"):
    _number = getattr(signal, _name, None)
    if _number is not None and signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, lambda *_: None)

PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def pytest_configure() -> None:
    """Run with all of the optional packages or with none: nothing skips unnoticed."""
    bare = os.environ.get("BITMAPIST_TEST_BARE") == "1"
    wrong = [name for name in OPTIONAL if (find_spec(name) is None) != bare]
    if wrong:
        raise pytest.UsageError(
            f"{'installed' if bare else 'not installed'}: {', '.join(wrong)}. All "
            "optional packages come with 'pip install -e .[all] --group test', and "
            "BITMAPIST_TEST_BARE=1 is for an environment without any."
        )


def pytest_collection_finish() -> None:
    """Let the search for garbage pass over what imports made, which stays."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _templates_are_compiled_once() -> Iterator[None]:
    """Let apps share what Jinja compiles: each test makes its own, with new pages."""
    compiled: dict[Any, Any] = {}
    anew = Environment.compile

    def compiled_once(
        self: Environment, source: Any, name: Any = None, *rest: Any, **options: Any
    ) -> Any:
        escapes = self.autoescape
        how = (
            *(type(self), self.lexer, self.finalize, frozenset(self.extensions)),
            escapes(name) if callable(escapes) else escapes,
        )
        key = (source, name, *rest, *options.items(), *how)
        if key not in compiled:
            compiled[key] = anew(self, source, name, *rest, **options)
        return compiled[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Environment, "compile", compiled_once)
        yield


@pytest.fixture(autouse=True)
def _apps_end_with_their_tests() -> None:
    """Let no earlier app be the only one of the process, which code without one means.

    What Python or pytest still holds of a test or of a module, such as its last error,
    holds its app, whose server has ended.
    """
    living_apps.clear()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """The URL of a real server; each worker of pytest-xdist has its own."""
    with test_server() as url:
        yield url


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """The URL of an empty database."""
    with redis.Redis.from_url(redis_server) as client:
        client.flushall()
    return redis_server


@pytest.fixture
def redis_client(redis_url: str) -> Iterator[redis.Redis]:
    """A client of the empty database."""
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def redis_process() -> Iterator[RedisProcess]:
    """A server of the test's own, to be killed, paused and restarted."""
    with RedisProcess() as server:
        yield server


@pytest.fixture
def make_app(redis_url: str) -> Callable[..., Flask]:
    """Make apps on the empty database, with the given settings."""

    def make(**settings: Any) -> Flask:
        app = Flask("tracked")
        app.config.update(
            {
                "TESTING": True,
                "BITMAPIST_ACCESS": "public",
                "SECRET_KEY": "for the tests",
                "BITMAPIST_REDIS_URL": redis_url,
                # A server that is slow, as all is on a busy machine, is not gone.
                "BITMAPIST_MARK_TIMEOUT": 5,
                **settings,
            }
        )
        FlaskBitmapist(app)
        return app

    return make


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    """An app on the empty database."""
    return make_app()


@pytest.fixture
def live_server() -> Iterator[Callable[[Flask], str]]:
    """Serve apps over HTTP: call it with an app, get the address."""
    with ExitStack() as running:
        yield lambda app: running.enter_context(served(app))


# Not for the whole session: while Playwright runs, so does an event loop in this
# thread, in which async views cannot be tested.
@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real browser, driven by Playwright's synchronous interface."""
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        missing = f"no browser on PATH (looked for {', '.join(BROWSERS)})"
        if os.environ.get("BITMAPIST_REQUIRE_BROWSER") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=executable,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--disable-sync",
                "--disable-background-networking",
                "--disable-component-update",
                "--no-first-run",
            ],
        )
        yield running
        running.close()


@pytest.fixture(params=["mouse", "keyboard"])
def way(request: pytest.FixtureRequest) -> str:
    """How somebody works: with a finger on a phone, or with keys at a desk."""
    return str(request.param)


@pytest.fixture(params=["standalone", "admin"])
def surface(request: pytest.FixtureRequest) -> str:
    """Where somebody works: on the standalone pages, or in Flask-Admin."""
    return str(request.param)


@pytest.fixture
def page(browser: Any, way: str) -> Iterator[Any]:
    """A page on which nothing may go wrong, be too wide, or set ``window.hit``."""
    size = PHONE if way == "mouse" else DESK
    context = browser.new_context(viewport=size)
    problems: list[str] = []
    opened = context.new_page()
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("console", lambda message: problems.extend(_refused(message)))
    yield opened
    wide = opened.evaluate("document.documentElement.scrollWidth")
    hit = opened.evaluate("window.hit")
    context.close()
    assert problems == []
    assert wide <= size["width"]
    assert hit is None


def _refused(message: Any) -> list[str]:
    """Return what the browser says of what a policy does not allow."""
    return [message.text] if "Content Security Policy" in message.text else []


@pytest.fixture
def ask(redis_client: redis.Redis) -> Callable[..., Query]:
    """Write marks as plain bitmapist does, and get something to ask questions of."""

    def write(marks: Iterable[Mark], flagged: Iterable[int] = ()) -> Query:
        redis_client.flushdb()
        pipeline = redis_client.pipeline()
        for mark in marks:
            bitmapist.mark_event(
                mark.event,
                mark.user,
                system=pipeline,
                now=mark.at,
                track_hourly=True,
                use_pipeline=False,
            )
        for user in flagged:
            bitmapist.mark_unique("flagged", user, system=pipeline)
        pipeline.execute()
        catalogue = known(redis_client, EVENTS, ["flagged"])
        return Query(BitmapReader(redis_client), Names(catalogue, DEFINED))

    return write
