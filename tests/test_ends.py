"""Marks that wait are written however the process ends, by whoever runs it."""

from __future__ import annotations

import contextlib
import itertools
import os
import shlex
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGQUIT, SIGTERM, Signals
from typing import NamedTuple

import pytest
import redis

from .marks import eventually, users
from .needs import need
from .servers import free_port

pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork"), reason="this system does not fork"
)

DAY = "x_2026-1-1"
MANY = set(range(20))
PATIENCE = 60.0


@contextlib.contextmanager
def running(
    *arguments: str, url: str, **environment: str
) -> Iterator[subprocess.Popen[str]]:
    """Run Python with *arguments*; nothing of it is left afterwards."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "ENDS_REDIS_URL": url, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def run_script(body: str, url: str) -> int:
    """Run a script in a process of its own, and return its exit status."""
    script = "import os, signal, sys, time\n" + textwrap.dedent(body)
    with running("-c", script, url=url) as process:
        said, _ = process.communicate(timeout=PATIENCE)
        print(said)
        return process.returncode


# --- Scripts

APP = "from tests.ends import *"
BOTH_ORDERS = pytest.mark.parametrize("order", ["before the app", "after the app"])


def in_order(order: str, handlers: str, then: str) -> str:
    """Return a script that sets handlers before or after there is an app."""
    first = [handlers, APP] if order == "before the app" else [APP, handlers]
    return "\n".join([*first, then])


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("pass", 0),
        ("sys.exit(3)", 3),
        ("raise ValueError", 1),
        ("end_by(signal.SIGINT)", -SIGINT),
        ("end_by(signal.SIGTERM)", -SIGTERM),
        ("end_by(signal.SIGHUP)", -SIGHUP),
    ],
    ids=["its end", "sys.exit", "an exception", "SIGINT", "SIGTERM", "SIGHUP"],
)
def test_a_script_writes_its_marks_and_ends_as_it_would_without(
    redis_client: redis.Redis, redis_url: str, end: str, status: int
) -> None:
    assert run_script(f"{APP}\nmark_everywhere()\n{end}", redis_url) == status
    assert users(redis_client, DAY) == MANY


@pytest.mark.parametrize(
    ("library", "patch", "each"),
    [
        ("gevent", "from gevent import monkey; monkey.patch_all()", "gevent.spawn"),
        ("eventlet", "import eventlet; eventlet.monkey_patch()", "eventlet.spawn"),
    ],
)
def test_green_threads_write_their_marks(
    redis_client: redis.Redis, redis_url: str, library: str, patch: str, each: str
) -> None:
    need(library)
    started = f"[{each}(mark_in_requests, [user]) for user in range(20)]"
    wait = "join" if library == "gevent" else "wait"
    script = f"{patch}\nimport {library}\n{APP}\nfor one in {started}: one.{wait}()"
    assert run_script(script, redis_url) == 0
    assert users(redis_client, DAY) == MANY


@pytest.mark.parametrize("number", [SIGTERM, SIGHUP])
@BOTH_ORDERS
def test_an_own_handler_that_ends_the_process_does_so(
    redis_client: redis.Redis, redis_url: str, order: str, number: Signals
) -> None:
    handler = f"signal.signal(signal.{number.name}, lambda *_: sys.exit(7))"
    then = f"mark_everywhere()\nend_by(signal.{number.name})"

    assert run_script(in_order(order, handler, then), redis_url) == 7
    assert users(redis_client, DAY) == MANY


@BOTH_ORDERS
def test_an_own_handler_lets_the_process_go_on(
    redis_client: redis.Redis, redis_url: str, order: str
) -> None:
    handlers = """
told = []
for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
    signal.signal(number, lambda number, _: told.append(number))
"""
    then = """
mark_everywhere()
for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
    os.kill(os.getpid(), number)
    while number not in told:
        time.sleep(0.001)
mark_users([20])
mark_in_requests([21])
sys.exit(5)
"""
    assert run_script(in_order(order, handlers, then), redis_url) == 5
    assert users(redis_client, DAY) == {*MANY, 20, 21}


@BOTH_ORDERS
def test_signals_that_are_ignored_stay_so(
    redis_client: redis.Redis, redis_url: str, order: str
) -> None:
    handlers = """
for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
    signal.signal(number, signal.SIG_IGN)
"""
    then = """
mark_everywhere()
for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
    os.kill(os.getpid(), number)
sys.exit(5)
"""
    assert run_script(in_order(order, handlers, then), redis_url) == 5
    assert users(redis_client, DAY) == MANY


FORKS = {
    "os._exit": """
        mark_users(range(20))
        os._exit(0)
        """,
    "os.fork and os._exit": """
        for user in range(20):
            child = os.fork()
            if not child:
                mark_one(user)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        """,
    "fork": """
        end_well(multiprocessing.get_context("fork"))
        """,
    "forkserver": """
        multiprocessing.set_forkserver_preload(["tests.ends"])
        end_well(multiprocessing.get_context("forkserver"))
        """,
    "Pool, joined": """
        with multiprocessing.get_context("fork").Pool(2) as pool:
            pool.map(mark_one, range(20))
            pool.close()
            pool.join()
        """,
    "Pool, terminated": """
        with multiprocessing.get_context("fork").Pool(2) as pool:
            pool.map(mark_one, range(20))
        """,
    "Process.terminate": """
        context = multiprocessing.get_context("fork")
        ready = context.Event()

        def wait():
            mark_everywhere()
            ready.set()
            time.sleep(60)

        child = context.Process(target=wait)
        child.start()
        ready.wait(60)
        child.terminate()
        child.join()
        assert child.exitcode == -signal.SIGTERM
        """,
    "ProcessPoolExecutor": """
        from concurrent.futures import ProcessPoolExecutor

        context = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(2, mp_context=context) as executor:
            assert list(executor.map(mark_one, range(20))) == list(range(20))
        """,
    "a thread": """
        import threading

        threading.Thread(target=mark_everywhere).start()
        """,
    "atexit": """
        import atexit

        atexit.register(mark_everywhere)
        """,
}


@pytest.mark.parametrize("way", FORKS)
def test_what_a_script_starts_writes_its_marks(
    redis_client: redis.Redis, redis_url: str, way: str
) -> None:
    helpers = """
import multiprocessing
from tests.ends import *

def end_well(context):
    children = [context.Process(target=mark_one, args=(user,)) for user in range(20)]
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0

"""
    assert run_script(helpers + textwrap.dedent(FORKS[way]), redis_url) == 0
    assert users(redis_client, DAY) == MANY


# --- Job runners


@pytest.mark.parametrize("worker", ["Worker", "SimpleWorker"])
def test_workers_of_rq_write_the_marks_of_their_jobs(
    redis_client: redis.Redis, redis_url: str, worker: str
) -> None:
    need("rq")
    script = f"""
        import redis, rq
        from tests.ends import *

        connection = redis.Redis.from_url(os.environ["ENDS_REDIS_URL"])
        queue = rq.Queue(connection=connection)
        jobs = [queue.enqueue(mark_one, user) for user in range(20)]
        rq.{worker}([queue], connection=connection).work(burst=True)
        assert all(job.is_finished for job in jobs)
        """

    assert run_script(script, redis_url) == 0
    assert users(redis_client, DAY) == MANY


@pytest.mark.parametrize(
    ("options", "number"),
    [
        (["--pool=prefork"], SIGTERM),
        (["--pool=prefork", "--max-tasks-per-child=1"], SIGTERM),
        (["--pool=prefork"], SIGQUIT),
        (["--pool=solo"], SIGTERM),
        (["--pool=threads"], SIGTERM),
    ],
    ids=lambda given: given.name if isinstance(given, Signals) else " ".join(given),
)
def test_workers_of_celery_write_the_marks_of_their_jobs(
    redis_client: redis.Redis,
    redis_url: str,
    tmp_path: Path,
    options: list[str],
    number: Signals,
) -> None:
    need("celery")
    command = ["-m", "celery", "-A", "tests.ends_celery", "worker", "--concurrency=2"]
    with running(
        *command, *options, url=redis_url, ENDS_FOLDER=str(tmp_path)
    ) as process:
        eventually(
            lambda: process.poll() is not None or redis_client.scard("done") == 20,
            "the jobs are done",
        )
        process.send_signal(number)
        print(process.communicate(timeout=PATIENCE)[0])

    assert users(redis_client, DAY) == MANY


# --- Servers


class Server(NamedTuple):
    """A server: the package that brings it, its command line, what it may be told."""

    package: str
    command: str
    signals: tuple[Signals, ...]
    rests_before: tuple[Signals, ...] = ()
    """At which its clients have gone before: its handler waits for a lock that each
    request holds for a moment, and may so wait for itself."""


QUIT = (SIGTERM, SIGINT, SIGQUIT)
GUNICORN = "-m gunicorn --bind {address} tests.ends:app --worker-class "
UWSGI = (
    "-c 'import pyuwsgi; pyuwsgi.run()' --http-socket {address} --pythonpath . "
    "--module tests.ends:app --need-app --die-on-term "
)

THREADS = "--enable-threads --threads 2"

SERVERS = {
    "flask run": Server(
        "flask",
        "-m flask --app tests.ends run --port {port}",
        (SIGTERM, SIGHUP, SIGINT),
    ),
    "app.run with processes": Server("flask", "-m tests.ends {port}", (SIGTERM,)),
    "waitress": Server(
        "waitress", "-m waitress --listen {address} tests.ends:app", (SIGTERM, SIGINT)
    ),
    "cheroot": Server(
        "cheroot", "-m cheroot --bind {address} tests.ends:app", (SIGTERM,)
    ),
    "uvicorn and asgiref": Server(
        "uvicorn",
        "-m uvicorn --port {port} --factory tests.ends:through_asgiref",
        (SIGTERM,),
    ),
    "uvicorn and a2wsgi": Server(
        "a2wsgi",
        "-m uvicorn --port {port} --factory tests.ends:through_a2wsgi",
        (SIGTERM,),
    ),
    "hypercorn": Server(
        "hypercorn", "-m hypercorn --bind {address} tests.ends:app", (SIGTERM,)
    ),
    "gunicorn sync": Server("gunicorn", GUNICORN + "sync", QUIT),
    "gunicorn preload": Server("gunicorn", GUNICORN + "sync --preload", QUIT),
    "gunicorn gthread": Server(
        "gunicorn", GUNICORN + "gthread --threads 2", QUIT, (SIGINT, SIGQUIT)
    ),
    "gunicorn gevent": Server("gevent", GUNICORN + "gevent", QUIT),
    "gunicorn max-requests": Server(
        "gunicorn", GUNICORN + "sync --preload --max-requests 7", (SIGTERM,)
    ),
    "uwsgi": Server("pyuwsgi", UWSGI, (SIGTERM, SIGINT)),
    "uwsgi threads": Server("pyuwsgi", UWSGI + THREADS, (SIGTERM,)),
    "uwsgi master": Server("pyuwsgi", UWSGI + "--master", (SIGTERM, SIGINT)),
    "uwsgi master threads": Server(
        "pyuwsgi", UWSGI + "--master " + THREADS, (SIGTERM,)
    ),
}


@pytest.mark.parametrize(
    ("name", "number"),
    [(name, each) for name, server in SERVERS.items() for each in server.signals],
    ids=lambda given: given.name if isinstance(given, Signals) else given,
)
def test_a_server_that_is_told_to_end_has_written_what_it_answered(
    redis_client: redis.Redis, redis_url: str, name: str, number: Signals
) -> None:
    server = SERVERS[name]
    need(server.package)
    port = free_port()
    command = server.command.format(port=port, address=f"127.0.0.1:{port}")
    with running(*shlex.split(command), url=redis_url) as process:
        eventually(
            lambda: process.poll() is not None or ask(port, 0), f"{name} answers"
        )
        answered = {0}
        ending, resting = threading.Event(), threading.Event()
        numbers = itertools.count(1)

        def go_on() -> None:
            """Ask for one page after the other, until the server is gone."""
            while not ending.is_set() or process.poll() is None:
                if resting.is_set():
                    return
                user = next(numbers)
                if ask(port, user):
                    answered.add(user)

        with ThreadPoolExecutor(2) as clients:
            asking = [clients.submit(go_on) for _ in range(2)]
            eventually(
                lambda: process.poll() is not None or len(answered) > 20,
                f"{name} goes on",
            )
            if number in server.rests_before:
                resting.set()
                wait(asking, PATIENCE)
            process.send_signal(number)
            ending.set()
            for each in asking:
                each.result(PATIENCE)
        print(process.communicate(timeout=PATIENCE)[0])

    assert len(answered) > 20
    assert users(redis_client, DAY) >= answered


def ask(port: int, user: int) -> bool:
    """Ask for a user's page, and return whether it was answered."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", f"/{user}")
        return connection.getresponse().read() == b"marked"
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
