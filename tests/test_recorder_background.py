"""Marks that are written by a thread: in batches, across forks, until the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from flask import Flask

from flask_bitmapist import FlaskBitmapist, mark, mark_event, unmark_event

from .inside import reports
from .marks import NOON, eventually, recorder_of, users
from .servers import RedisProcess

MakeApp = Callable[..., Flask]
DAY = "x_2026-1-1"
NEVER = 3600.0

pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork"), reason="this system does not fork"
)


@pytest.fixture
def background(make_app: MakeApp) -> Flask:
    return make_app(BITMAPIST_MARK_MODE="background")


def mark_users(app: Flask, *ids: int) -> None:
    with app.test_request_context():
        for user in ids:
            mark_event("x", user, now=NOON)


def run_script(
    body: str, url: str, *arguments: str, status: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own, with an app in background mode."""
    script = textwrap.dedent(
        """
        import os, signal, sys, time
        from flask import Flask
        from flask_bitmapist import FlaskBitmapist, mark_event
        from tests.marks import NOON, recorder_of

        def make_app(**settings):
            app = Flask("script")
            FlaskBitmapist(app, {
                "BITMAPIST_REDIS_URL": sys.argv[1],
                "BITMAPIST_MARK_MODE": "background",
                **settings,
            })
            return app

        def mark_users(app, *ids):
            with app.test_request_context():
                for user in ids:
                    mark_event("x", user, now=NOON)
        """
    ) + textwrap.dedent(body)
    done = subprocess.run(
        [sys.executable, "-c", script, url, *arguments],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status, done.stderr
    return done


def test_marks_are_written_soon_after(
    background: Flask, redis_client: redis.Redis
) -> None:
    background.add_url_rule(
        "/<int:user>", "view", mark("x", lambda user: user, now=NOON)(lambda user: "ok")
    )
    client = background.test_client()
    for user in range(50):
        assert client.get(f"/{user}").status_code == 200

    eventually(
        lambda: users(redis_client, DAY) == set(range(50)), "the marks are written"
    )


def test_marks_are_written_after_a_quiet_time_as_well(
    background: Flask, redis_client: redis.Redis
) -> None:
    for user in range(3):
        mark_users(background, user)
        eventually(lambda user=user: user in users(redis_client, DAY), "it is written")


def test_flush_writes_all_that_waits_at_once(
    make_app: MakeApp, redis_client: redis.Redis
) -> None:
    app = make_app(
        BITMAPIST_MARK_MODE="background",
        BITMAPIST_FLUSH_INTERVAL=NEVER,
        BITMAPIST_BATCH_SIZE=100,
    )
    bitmapist = FlaskBitmapist()
    bitmapist.init_app(app)
    mark_users(app, *range(50))
    assert users(redis_client, DAY) == set()

    with app.app_context():
        assert bitmapist.flush()
    assert users(redis_client, DAY) == set(range(50))
    assert recorder_of(app).counters.flushed == 50


def test_a_full_batch_is_written_before_its_time(
    make_app: MakeApp, redis_client: redis.Redis
) -> None:
    app = make_app(
        BITMAPIST_MARK_MODE="background",
        BITMAPIST_FLUSH_INTERVAL=NEVER,
        BITMAPIST_BATCH_SIZE=100,
    )
    mark_users(app, *range(100))

    eventually(lambda: len(users(redis_client, DAY)) == 100, "the batch is written")


def test_the_receivers_of_a_flush_are_told_how_many(background: Flask) -> None:
    told: list[int] = []

    def receive(sender: Flask, count: int) -> None:
        told.append(count)

    with reports.events_flushed.connected_to(receive, background):
        mark_users(background, *range(10))
        recorder_of(background).flush()
        eventually(lambda: sum(told) == 10, "all are told of")


def test_marks_wait_while_redis_fails(
    make_app: MakeApp, redis_process: RedisProcess
) -> None:
    app = make_app(
        BITMAPIST_REDIS_URL=redis_process.url, BITMAPIST_MARK_MODE="background"
    )
    redis_process.kill()
    mark_users(app, 1)
    eventually(lambda: recorder_of(app).status()["error"], "the failure is noticed")
    mark_users(app, 2)
    redis_process.start()

    client = redis_process.client()
    eventually(lambda: users(client, DAY) == {1, 2}, "the marks are written")


def test_ignore_drops_the_batch_that_redis_does_not_take(
    make_app: MakeApp, redis_process: RedisProcess
) -> None:
    app = make_app(
        BITMAPIST_REDIS_URL=redis_process.url,
        BITMAPIST_MARK_MODE="background",
        BITMAPIST_ON_ERROR="ignore",
    )
    redis_process.kill()
    mark_users(app, 1)

    eventually(lambda: recorder_of(app).counters.dropped == 1, "it is dropped")
    assert recorder_of(app).waiting == 0


def test_outside_a_request_a_mark_is_written_at_once(
    make_app: MakeApp, redis_client: redis.Redis
) -> None:
    app = make_app(BITMAPIST_MARK_MODE="background", BITMAPIST_FLUSH_INTERVAL=NEVER)
    with app.app_context():
        mark_event("x", 1, now=NOON)

    assert users(redis_client, DAY) == {1}
    assert recorder_of(app).counters.buffered == 0


def test_a_mark_that_is_written_at_once_does_not_overtake_those_that_wait(
    make_app: MakeApp, redis_client: redis.Redis
) -> None:
    app = make_app(BITMAPIST_MARK_MODE="background", BITMAPIST_FLUSH_INTERVAL=NEVER)
    mark_users(app, 1, 2)
    with app.app_context():
        unmark_event("x", 1, now=NOON)

    assert users(redis_client, DAY) == {2}
    assert recorder_of(app).waiting == 0


def test_a_process_that_a_view_forks_writes_its_marks_at_once(
    redis_client: redis.Redis, redis_url: str
) -> None:
    run_script(
        """
        app = make_app(BITMAPIST_FLUSH_INTERVAL=3600.0)
        with app.test_request_context():
            mark_event("x", 1, now=NOON)
            child = os.fork()
            if not child:
                mark_event("x", 2, now=NOON)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        """,
        redis_url,
    )

    assert users(redis_client, DAY) == {1, 2}


def test_a_child_of_multiprocessing_writes_what_its_requests_have_marked(
    redis_client: redis.Redis, redis_url: str
) -> None:
    run_script(
        """
        import multiprocessing
        app = make_app(BITMAPIST_FLUSH_INTERVAL=3600.0)
        child = multiprocessing.get_context("fork").Process(
            target=mark_users, args=(app, 1, 2)
        )
        child.start()
        child.join()
        """,
        redis_url,
    )

    assert users(redis_client, DAY) == {1, 2}


@pytest.mark.parametrize("end", ["pass", "os.kill(os.getpid(), signal.SIGTERM)"])
def test_a_redis_that_does_not_answer_holds_no_process_up_for_ever(
    redis_process: RedisProcess, tmp_path: Path, end: str
) -> None:
    path = tmp_path / "marks"
    redis_process.pause()
    done = run_script(
        f"""
        app = make_app(BITMAPIST_FLUSH_INTERVAL=3600.0, BITMAPIST_BATCH_SIZE=1,
                       BITMAPIST_SPOOL_FILE=sys.argv[2])
        mark_users(app, *range(50))
        {end}
        """,
        redis_process.url,
        str(path),
        status=0 if end == "pass" else -signal.SIGTERM,
    )

    assert "50 events are kept in a file until the next start" in done.stderr
    assert len(path.read_text().splitlines()) == 50


def test_who_asks_a_second_time_does_not_wait(redis_process: RedisProcess) -> None:
    redis_process.pause()
    run_script(
        """
        app = make_app(BITMAPIST_FLUSH_INTERVAL=3600.0, BITMAPIST_MARK_TIMEOUT=3600.0)
        mark_users(app, 1)
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
        """,
        redis_process.url,
        status=-signal.SIGTERM,
    )


def test_what_waits_is_written_when_the_process_ends(redis_url: str) -> None:
    run_script(
        "mark_users(make_app(BITMAPIST_FLUSH_INTERVAL=3600.0), *range(50))", redis_url
    )

    assert users(redis.Redis.from_url(redis_url), DAY) == set(range(50))


def test_marks_that_are_lost_at_the_end_are_told_of(
    redis_process: RedisProcess,
) -> None:
    redis_process.kill()
    done = run_script("mark_users(make_app(), *range(50))", redis_process.url)

    assert "50 events are lost" in done.stderr


def test_forked_processes_write_their_own_marks_and_no_others(
    redis_client: redis.Redis, redis_url: str
) -> None:
    # As gunicorn does with preload: the app, its connections and its thread are there
    # before the workers are forked.
    done = run_script(
        """
        app = make_app(BITMAPIST_FLUSH_INTERVAL=0.01)
        mark_users(app, 1000)
        assert recorder_of(app).flush()
        mark_users(app, 1001)
        children = []
        for number in range(4):
            child = os.fork()
            if not child:
                mark_users(app, *range(number * 100, number * 100 + 100))
                print(f"{recorder_of(app).counters.marked} ", end="", flush=True)
                sys.exit()
            children.append(child)
        for child in children:
            assert os.waitpid(child, 0)[1] == 0
        print(recorder_of(app).counters.marked)
        """,
        redis_url,
    )

    assert done.stdout.split() == ["100", "100", "100", "100", "2"]
    assert users(redis_client, DAY) == {*range(400), 1000, 1001}


def test_a_fork_amid_marking_threads_leaves_no_lock_behind(
    redis_client: redis.Redis, redis_url: str
) -> None:
    run_script(
        """
        import faulthandler, threading
        app = make_app(BITMAPIST_FLUSH_INTERVAL=0.001)
        stop = threading.Event()

        def go_on(first):
            user = first
            while not stop.is_set():
                mark_users(app, user)
                user += 1
                time.sleep(0.0001)

        threads = [threading.Thread(target=go_on, args=(n * 10**6,), daemon=True)
                   for n in (1, 2)]
        for thread in threads:
            thread.start()
        for number in range(10):
            child = os.fork()
            if not child:
                faulthandler.dump_traceback_later(20, exit=True)
                mark_users(app, number)
                assert recorder_of(app).flush()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        stop.set()
        """,
        redis_url,
    )

    assert set(range(10)) <= users(redis_client, DAY)


def test_a_sync_app_writes_in_forked_processes(
    redis_client: redis.Redis, redis_url: str
) -> None:
    run_script(
        """
        app = make_app(BITMAPIST_MARK_MODE="sync")
        mark_users(app, 1)
        child = os.fork()
        mark_users(app, 2 if child else 3)
        if child:
            assert os.waitpid(child, 0)[1] == 0
        """,
        redis_url,
    )

    assert users(redis_client, DAY) == {1, 2, 3}
