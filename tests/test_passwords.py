"""Whatever goes wrong with Redis, its password is in nothing that anybody sees."""

from __future__ import annotations

import gc
import logging
import socket
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from flask_bitmapist import ConfigError, FlaskBitmapist, mark_event

from .pages import PAGES, add_tabs
from .servers import RedisProcess, free_port

try:
    from flask_admin import Admin
except ImportError:  # then there are no tabs
    Admin = None

# Old versions of redis-py leave sockets open over which they could not log in.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SECRET = "hunter2/Pass"
QUOTED = "hunter2%2FPass"
WORDS = ("hunter2", "2/Pass", "2%2FPass")

COMMANDS = [
    ["doctor"],
    ["doctor", "--json"],
    ["events"],
    ["count", "came"],
    ["users", "came"],
    ["user", "1"],
    ["cohort", "came", "came"],
    ["trend", "came"],
    ["stickiness", "came"],
    ["lifecycle", "came"],
    ["funnel", "came", "went"],
    ["export", "came", "--since", "2026-01-01", "--until", "2026-01-02"],
    ["import", "{file}"],
]

# What stands for a server that does not answer as it should, by where it is.
UNREACHABLE = {
    "refused": "redis://:{secret}@127.0.0.1:{closed}",
    "refused with a user": "redis://ann:{secret}@127.0.0.1:{closed}/3",
    "refused with an option": "redis://127.0.0.1:{closed}?password={secret}",
    "refused TLS": "rediss://:{secret}@127.0.0.1:{closed}",
    "refused cluster": "redis+cluster://:{secret}@127.0.0.1:{closed},127.0.0.1:1",
    "refused Sentinel": "redis+sentinel://:{secret}@127.0.0.1:{closed}/events",
    "refused Sentinel with its own": "redis+sentinel://127.0.0.1:{closed}/events"
    "?sentinel_username=ann&sentinel_password={secret}",
    "no socket": "unix://:{secret}@/nowhere/redis.sock",
    "wrong password": "redis://:{secret}@127.0.0.1:{locked}",
    "wrong user": "redis://ann:{secret}@127.0.0.1:{locked}",
    "wrong password as an option": "redis://127.0.0.1:{locked}?password={secret}",
    "password where none is": "redis://:{secret}@127.0.0.1:{open}",
    "TLS where none is": "rediss://:{secret}@127.0.0.1:{open}",
    "no cluster": "redis+cluster://:{secret}@127.0.0.1:{open}",
    "locked cluster": "redis+cluster://:{secret}@127.0.0.1:{locked}",
    "no Sentinel": "redis+sentinel://:{secret}@127.0.0.1:{open}/events",
    "locked Sentinel": "redis+sentinel://:{secret}@127.0.0.1:{locked}/events",
    "no database": "redis://127.0.0.1:{open}/99?password={secret}",
    "hangs up": "redis://:{secret}@127.0.0.1:{hangs_up}",
    "speaks another language": "redis://:{secret}@127.0.0.1:{speaks}",
}


@contextmanager
def answering(data: bytes) -> Iterator[int]:
    """Serve *data* to whoever connects, and hang up."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client:
                    client.recv(1000)
                    client.sendall(data)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture(scope="module")
def ports() -> Iterator[dict[str, int]]:
    with (
        RedisProcess("--requirepass", "another", password="another") as locked,
        RedisProcess() as plain,
        answering(b"") as hangs_up,
        answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as speaks,
    ):
        yield {
            **{"locked": locked.port, "open": plain.port, "closed": free_port()},
            **{"hangs_up": hangs_up, "speaks": speaks},
        }


@pytest.fixture(scope="module", autouse=True)
def _no_sockets_left() -> Iterator[None]:
    """Let go of the sockets that errors hold before the tests of others begin."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[..., str]]:
    """Return everything that an app lets anybody see, while its Redis is out."""
    caplog.set_level(logging.DEBUG)

    def told(app: Flask, file: Path) -> str:
        add_tabs(app)
        # What becomes of marks that fail is nothing to pages: they make none.
        looked_at = app.extensions["bitmapist"].settings.on_error == "buffer"
        seen = [*pages(app)] if looked_at else []
        seen += [*commands(app, file), *python(app), *representations(app)]
        formatter = logging.Formatter()
        seen += map(formatter.format, caplog.records)
        return "\n".join(seen)

    yield told
    caplog.clear()  # errors hold sockets


def pages(app: Flask) -> Iterator[str]:
    client = app.test_client()
    asked = (
        "?event=came&events-0=came&steps-0=came&steps-1=came&user_id=1"
        "&primary_event=came&secondary_event=came&user=1"
    )
    tabs = [f"/admin/bitmapist/{page.name}/" for page in PAGES] if Admin else []
    for url in [*(f"/bitmapist{page.path}" for page in PAGES), *tabs]:
        for form in ("html", "json"):  # a CSV file is refused as a page is
            with client.get(f"{url}{asked}&format={form}") as response:
                yield response.text
                yield str(response.headers)
    yield client.post("/bitmapist/cohort", json={"primary_event": "came"}).text


def commands(app: Flask, file: Path) -> Iterator[str]:
    for words in COMMANDS:
        arguments = ["bitmapist", *(word.format(file=file) for word in words)]
        result = app.test_cli_runner().invoke(args=arguments)
        yield result.output
        if result.exc_info:
            yield "".join(traceback.format_exception(*result.exc_info))


def python(app: Flask) -> Iterator[str]:
    state = app.extensions["bitmapist"]
    questions: list[Callable[[], Any]] = [
        lambda: mark_event("came", 1),
        lambda: state.recorder.flush(),
        lambda: state.query.count("came"),
        lambda: state.query.has(1, "came"),
        lambda: state.query.trend(["came"]),
        lambda: state.query.users("came", allow_unknown=True),
        lambda: state.catalogue.names(True),
        lambda: state.read_client.ping(),
    ]
    with app.app_context():
        for question in questions:
            try:
                yield repr(question())
            except Exception as error:
                yield repr(error)
                yield "".join(traceback.format_exception(error))


def representations(app: Flask) -> Iterator[str]:
    state = app.extensions["bitmapist"]
    shown = [state, state.settings, state.systems, state.read_client, state.recorder]
    shown += [state.query, state.query.bitmaps, state.catalogue, state.access]
    shown += [state.recorder.counters]
    for each in shown:
        yield repr(each)
        yield str(each)


@pytest.mark.parametrize(
    ("setting", "on_error"),
    [
        ("BITMAPIST_REDIS_URL", "buffer"),
        ("BITMAPIST_REDIS_URL", "raise"),
        ("BITMAPIST_REDIS_READ_URL", "buffer"),
    ],
)
@pytest.mark.parametrize("fault", UNREACHABLE)
def test_no_fault_of_redis_tells_its_password(
    make_app: Callable[..., Flask],
    ports: dict[str, int],
    told: Callable[..., str],
    tmp_path: Path,
    fault: str,
    on_error: str,
    setting: str,
) -> None:
    url = UNREACHABLE[fault].format(secret=QUOTED, **ports)
    file = tmp_path / "rows.csv"
    file.write_text("user_id,event,timestamp\n1,came,2026-01-01\n")
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        text = told(
            make_app(
                **{setting: url},
                BITMAPIST_ON_ERROR=on_error,
                BITMAPIST_CONNECT_TIMEOUT=0.05,
                BITMAPIST_READ_TIMEOUT=0.05,
                BITMAPIST_MARK_TIMEOUT=0.05,
                # Nobody tries again while other tests run.
                BITMAPIST_RETRY_FIRST=3600,
                BITMAPIST_RETRY_MAX=3600,
            ),
            file,
        )
    text += "\n".join(str(each.message) for each in warned)
    assert "Redis" in text
    for word in WORDS:
        assert word not in text


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{SECRET}@localhost",
        f"redis://:{QUOTED}@localhost:port",
        f"redis://:{QUOTED}@localhost?db={QUOTED}",
        f"redis://localhost?{QUOTED}=1",
        f"rediss://localhost?ssl_cert_reqs={QUOTED}",
        f"redis://:{QUOTED}@bad..name",
        f"redis+cluster://:{QUOTED}@one/9",
        f"redis+sentinel://:{QUOTED}@one",
        f"memcached://:{QUOTED}@one",
        QUOTED,
        QUOTED.encode(),
        [QUOTED],
    ],
)
@pytest.mark.parametrize("setting", ["BITMAPIST_REDIS_URL", "BITMAPIST_REDIS_READ_URL"])
def test_no_url_that_is_refused_tells_its_password(setting: str, url: object) -> None:
    app = Flask("refused")
    app.config[setting] = url
    with pytest.raises(ConfigError, match=setting) as caught:
        FlaskBitmapist(app)
    for word in WORDS:
        assert word not in "".join(traceback.format_exception(caught.value))


def test_no_second_initialisation_tells_a_password(redis_url: str) -> None:
    app = Flask("twice")
    app.config["BITMAPIST_REDIS_URL"] = f"redis://:{QUOTED}@localhost"
    FlaskBitmapist(app)
    app.config["BITMAPIST_REDIS_URL"] = f"redis://:{QUOTED}1@localhost"
    with pytest.raises(RuntimeError, match="BITMAPIST_REDIS_URL") as caught:
        FlaskBitmapist(app)
    for word in WORDS:
        assert word not in str(caught.value)
