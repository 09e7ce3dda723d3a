"""Redis and the app end and start again at any moment: what was answered is kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from .marks import eventually, users
from .servers import RedisProcess

pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork"), reason="this system does not fork"
)

DAY = "x_2026-1-1"

# Forks a process for each life of an app, which does as it is told line by line.
SCRIPT = """
import os, signal, sys, time
from flask import Flask
from flask_bitmapist import FlaskBitmapist, mark
from tests.marks import NOON, recorder_of

told = open(0, "rb", buffering=0)
# Whoever runs the tests may ignore it, as nohup does.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

def live(url, path, mode):
    app = Flask("app")
    FlaskBitmapist(app, {
        "BITMAPIST_REDIS_URL": url,
        "BITMAPIST_SPOOL_FILE": path,
        "BITMAPIST_MARK_MODE": mode,
        "BITMAPIST_RETRY_FIRST": 0.01,
        "BITMAPIST_RETRY_MAX": 0.05,
        "BITMAPIST_FLUSH_INTERVAL": 0.05,
    })
    app.add_url_rule("/<int:user>", "view",
                     mark("x", lambda user: user, now=NOON)(lambda user: "marked"))
    client, recorder = app.test_client(), recorder_of(app)
    print(os.getpid(), flush=True)
    while (line := told.readline().decode().strip()) != "exit":
        if line == "settle":
            while recorder.waiting and not recorder.status()["error"]:
                time.sleep(0.001)
            print("settled", flush=True)
        else:
            print(client.get(f"/{line}").text, flush=True)

while line := told.readline():
    child = os.fork()
    if not child:
        live(*line.decode().split())
        sys.exit()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Lives:
    """The lives of an app, one after the other.

    Args:
        nursery: Forks them.
        url: Where the app's Redis is.
        path: Its file of waiting marks.
        mode: How it marks.
    """

    def __init__(
        self, nursery: subprocess.Popen[str], url: str, path: Path, mode: str
    ) -> None:
        self._process = nursery
        self._begin = f"{url} {path} {mode}"
        self._pid: int | None = None

    def tell(self, line: str) -> str:
        """Tell the app, which is started if need be, and return what it says."""
        if self._pid is None:
            self._pid = int(self._say(self._begin))
        return self._say(line)

    def end(self, how: str) -> None:
        """Let the app end, if it lives."""
        if self._pid is None:
            return
        if how == "exit":
            status = self._say("exit")
        else:
            number = signal.Signals[how]
            os.kill(self._pid, number)
            status = self._hear()
        assert int(status) == (0 if how == "exit" else -signal.Signals[how])
        self._pid = None

    def _say(self, line: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._hear()

    def _hear(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@pytest.fixture(scope="module")
def nursery() -> Iterator[subprocess.Popen[str]]:
    """A process that has imported all that an app needs."""
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        cwd=Path(__file__).parent.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


STEPS = st.sampled_from(
    [
        *["mark"] * 5,
        *["settle"] * 2,
        *["Redis dies", "Redis returns"] * 2,
        *["exit", "SIGTERM", "SIGHUP", "SIGKILL"],
    ]
)


@pytest.mark.parametrize("mode", ["sync", "background"])
@settings(max_examples=8)
@example(["Redis dies", "mark", "SIGKILL", "mark", "exit", "Redis returns"])
@example(["mark", "SIGTERM", "mark", "SIGHUP", "mark", "exit"])
@example(["mark", "Redis dies", "mark", "settle", "SIGKILL", "Redis returns", "mark"])
@given(steps=st.lists(STEPS, max_size=20))
def test_what_was_answered_is_kept(
    nursery: subprocess.Popen[str], mode: str, steps: list[str]
) -> None:
    """All but what SIGKILL takes of the last interval in background mode."""
    kept: set[int] = set()
    fresh: set[int] = set()
    numbers = count()
    with (
        tempfile.TemporaryDirectory() as folder,
        # What it has acknowledged must outlive its own death.
        RedisProcess("--appendonly", "yes", "--appendfsync", "always") as server,
    ):
        app = Lives(nursery, server.url, Path(folder) / "marks", mode)
        try:
            works = True
            for step in steps:
                if step == "mark":
                    user = next(numbers)
                    assert app.tell(str(user)) == "marked"
                    (kept if mode == "sync" else fresh).add(user)
                elif step == "settle":
                    app.tell("settle")
                    kept |= fresh
                    fresh.clear()
                elif step.startswith("Redis"):
                    if works:
                        server.kill()
                    if step == "Redis returns":
                        server.start()
                    works = step == "Redis returns"
                else:
                    app.end(step)
                    if step != "SIGKILL":
                        kept |= fresh
                    fresh.clear()
            if not works:
                server.start()
            app.end("exit")
            kept |= fresh
            app.tell("settle")
            client = server.client()
            eventually(
                lambda: users(client, DAY) >= kept, f"{sorted(kept)} are written"
            )
            assert users(client, DAY) <= set(range(next(numbers)))
            client.close()
        finally:
            app.end("SIGKILL")
