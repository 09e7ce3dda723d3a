"""What an app notices of a Redis that fails, and what becomes of its marks.

    python -m benchmarks.faults [--threads N] [--requests N]

Starts redis-servers of its own, lets concurrent requests mark, breaks Redis meanwhile,
mends it, and counts: requests sent and failed, the slowest one, and the marks that are
not in Redis in the end.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import count
from typing import Any

import numpy as np
from bitmapist import DayEvents, MonthEvents, WeekEvents
from flask import Flask

from flask_bitmapist import FlaskBitmapist, mark
from tests.servers import RedisProcess

WHEN = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
"""All marks are of this moment, so that a midnight cannot change the keys."""
TIMEOUT = 0.25
PASSWORD = "the right one"
MEND_SECONDS = 30.0


@dataclass
class Outcome:
    """What one scenario came to."""

    sent: int
    failed: int
    slowest: float
    """Seconds."""
    lost: int
    counters: dict[str, int] = field(default_factory=dict)


class Scenario:
    """A Redis that can be broken and mended."""

    title = ""
    options: tuple[str, ...] = ()
    password: str | None = None

    def __init__(self, server: RedisProcess) -> None:
        self.server = server

    def url(self) -> str:
        """Return where the app finds Redis."""
        return self.server.url

    def break_it(self) -> None:
        """Let Redis fail."""

    def mend_it(self) -> None:
        """Let Redis work again."""

    def close(self) -> None:
        """Clean up."""


class Killed(Scenario):
    title = "killed and restarted"
    # What it has acknowledged must outlive the crash, or it would be counted as lost.
    options = ("--appendonly", "yes", "--appendfsync", "always")

    def break_it(self) -> None:
        self.server.kill()

    def mend_it(self) -> None:
        self.server.start()


class Stopped(Scenario):
    title = "stopped with SIGSTOP"

    def break_it(self) -> None:
        self.server.pause()

    def mend_it(self) -> None:
        self.server.resume()


class Full(Scenario):
    title = "full memory (OOM)"

    def break_it(self) -> None:
        self.server.client().config_set("maxmemory", "1")

    def mend_it(self) -> None:
        self.server.client().config_set("maxmemory", "0")


class Replica(Scenario):
    title = "read-only replica"

    def break_it(self) -> None:
        # A master that does not exist: it stays a replica, with the data it has.
        self.server.client().replicaof("127.0.0.1", "1")

    def mend_it(self) -> None:
        self.server.client().replicaof("NO", "ONE")


class WrongPassword(Scenario):
    title = "wrong password"
    options = ("--requirepass", PASSWORD)
    password = PASSWORD

    def url(self) -> str:
        address = self.server.url.partition("://")[2]
        return f"redis://:{PASSWORD.replace(' ', '%20')}@{address}"

    def break_it(self) -> None:
        self._set_password(PASSWORD, "another one")

    def mend_it(self) -> None:
        self._set_password("another one", PASSWORD)

    def _set_password(self, old: str, new: str) -> None:
        client = self.server.client(password=old)
        client.config_set("requirepass", new)
        # Connections that are open would stay logged in.
        client.client_kill_filter(_type="normal", skipme=True)
        self.server.password = new


class Cut(Scenario):
    title = "connections cut in mid-pipeline"

    def __init__(self, server: RedisProcess) -> None:
        super().__init__(server)
        self._proxy = CuttingProxy(server.port)

    def url(self) -> str:
        return f"redis://127.0.0.1:{self._proxy.port}"

    def break_it(self) -> None:
        self._proxy.cutting = True

    def mend_it(self) -> None:
        self._proxy.cutting = False

    def close(self) -> None:
        self._proxy.close()


SCENARIOS: tuple[type[Scenario], ...] = (
    Killed,
    Stopped,
    Full,
    Replica,
    WrongPassword,
    Cut,
)


class CuttingProxy:
    """Stands between an app and Redis; passes half of what is sent, then hangs up."""

    def __init__(self, target: int) -> None:
        self._target = target
        self.cutting = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        # Closing alone would leave accept() waiting.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                app, _ = self._listener.accept()
                redis = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                return
            for one, other, cuts in ((app, redis, True), (redis, app, False)):
                threading.Thread(
                    target=self._pass_on, args=(one, other, cuts), daemon=True
                ).start()

    def _pass_on(self, one: socket.socket, other: socket.socket, cuts: bool) -> None:
        with contextlib.suppress(OSError), one, other:
            while data := one.recv(65536):
                if cuts and self.cutting:
                    other.sendall(data[: len(data) // 2])
                    break
                other.sendall(data)
            for each in (one, other):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)


class Load:
    """Requests from several threads, each for a user of its own.

    Args:
        app: The app that is asked.
        threads: How many ask at the same time.
    """

    def __init__(self, app: Flask, threads: int) -> None:
        self._app = app
        self._numbers = count()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(threads)]
        self.served: set[int] = set()
        self.failed = 0
        self.slowest = 0.0

    @property
    def sent(self) -> int:
        """Requests that have been answered, well or badly."""
        return len(self.served) + self.failed

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, more: int) -> None:
        """Wait until so many more requests were answered."""
        goal = self.sent + more
        while self.sent < goal:
            time.sleep(0.001)

    def _ask(self) -> None:
        client = self._app.test_client()
        while not self._stop.is_set():
            with self._lock:
                user = next(self._numbers)
            start = time.perf_counter()
            try:
                is_good = client.get(f"/{user}").status_code == 200
            except Exception:
                is_good = False
            taken = time.perf_counter() - start
            with self._lock:
                if is_good:
                    self.served.add(user)
                else:
                    self.failed += 1
                self.slowest = max(self.slowest, taken)
            time.sleep(0.001)


def run(
    kind: type[Scenario],
    *,
    mode: str = "sync",
    threads: int = 8,
    requests: int = 1000,
    **settings: Any,
) -> Outcome:
    """Play one scenario.

    Args:
        kind: What happens to Redis.
        mode: ``BITMAPIST_MARK_MODE``.
        threads: How many ask at the same time.
        requests: How many requests are at least answered before Redis is broken,
            while it is, and after it was mended.
        **settings: More settings of the app.
    """
    with (
        RedisProcess(*kind.options, password=kind.password) as server,
        contextlib.closing(kind(server)) as scenario,
    ):
        app = make_app(scenario.url(), mode, **settings)
        with Load(app, threads) as load:
            load.wait_for(requests)
            scenario.break_it()
            # Longer than a caller may have to wait, so that all notice.
            time.sleep(3 * TIMEOUT)
            load.wait_for(requests)
            scenario.mend_it()
            load.wait_for(requests)
        recorder = app.extensions["bitmapist"].recorder
        deadline = time.monotonic() + MEND_SECONDS
        while not recorder.flush() and time.monotonic() < deadline:
            time.sleep(0.05)
        return Outcome(
            sent=load.sent,
            failed=load.failed,
            slowest=load.slowest,
            lost=len(load.served - marked_users(server)),
            counters=recorder.counters.to_dict(),
        )


@dataclass
class FullBuffer:
    """What further marks do to a buffer that is full."""

    waiting: int
    dropped: int
    grown: int
    """Bytes of memory that they have taken."""


def fill_buffer(size: int, further: int, mode: str = "sync") -> FullBuffer:
    """Make *further* marks after a buffer of *size* is full, without any Redis."""
    with RedisProcess() as server:
        url = server.url
    # A try to write holds what it writes once more: none is to begin while memory is
    # looked at.
    never = {"BITMAPIST_RETRY_FIRST": 3600.0, "BITMAPIST_RETRY_MAX": 3600.0}
    app = make_app(url, mode, BITMAPIST_BUFFER_SIZE=size, **never)
    recorder = app.extensions["bitmapist"].recorder
    client = app.test_client()
    for user in range(size + 100):
        client.get(f"/{user}")
    recorder.flush()
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for user in range(further):
        client.get(f"/{size + 100 + user}")
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return FullBuffer(recorder.waiting, recorder.counters.dropped, after - before)


def make_app(url: str, mode: str, **settings: Any) -> Flask:
    app = Flask("faults")
    FlaskBitmapist(
        app,
        {
            "BITMAPIST_REDIS_URL": url,
            "BITMAPIST_MARK_MODE": mode,
            "BITMAPIST_MARK_TIMEOUT": TIMEOUT,
            **settings,
        },
    )

    @app.get("/<int:user>")
    @mark("visited", lambda user: user, now=WHEN)
    def view(user: int) -> str:
        return "ok"

    return app


def marked_users(server: RedisProcess) -> set[int]:
    """Return the users who are marked in the day, the week and the month alike."""
    client = server.client()
    found: list[set[int]] = []
    for events in (DayEvents, WeekEvents, MonthEvents):
        bits: Any = client.get(events.from_date("visited", WHEN).redis_key) or b""
        users = np.unpackbits(np.frombuffer(bits, np.uint8)).nonzero()[0]
        found.append(set(users.tolist()))
    return set.intersection(*found)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the expected warnings from between the lines of the table."""
    import logging

    logger = logging.getLogger("flask_bitmapist")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument("--requests", type=int, default=3000)
    options = parser.parse_args()
    print(f"{options.threads} threads; timeouts of {TIMEOUT * 1000:.0f} ms\n")
    print(f"{'':<34}{'mode':<12}{'sent':>8}{'failed':>8}{'slowest':>10}{'lost':>6}")
    for kind in SCENARIOS:
        for mode in ("sync", "background"):
            with quiet():
                outcome = run(
                    kind, mode=mode, threads=options.threads, requests=options.requests
                )
            print(
                f"{kind.title:<34}{mode:<12}{outcome.sent:>8}{outcome.failed:>8}"
                f"{outcome.slowest * 1000:>7.0f} ms{outcome.lost:>6}",
                flush=True,
            )
    with quiet():
        full = fill_buffer(10_000, 20_000)
    print(
        f"\n20,000 requests after the buffer of 10,000 marks was full, Redis gone: "
        f"{full.waiting:,} marks wait,\n{full.dropped:,} are dropped and counted, "
        f"{full.grown / 1024:,.0f} KiB more memory."
    )


if __name__ == "__main__":
    main()
