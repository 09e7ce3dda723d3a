"""The file of waiting marks: a restart loses none, however the process ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from flask_bitmapist import mark_event, mark_unique

from .inside import Mark, Reports, Spool, bits_of, check_id, hour_of
from .marks import NOON, eventually, recorder_of, users
from .servers import RedisProcess

MakeApp = Callable[..., Flask]
DAY = "x_2026-1-1"

SCRIPT = """
import os, signal, sys
from flask import Flask
from flask_bitmapist import FlaskBitmapist, mark_event
from tests.marks import NOON
app = Flask("script")
FlaskBitmapist(app, {"BITMAPIST_REDIS_URL": sys.argv[1],
                     "BITMAPIST_SPOOL_FILE": sys.argv[2]})
with app.app_context():
    for user in map(int, sys.argv[4:]):
        mark_event("x", user, now=NOON)
if sys.argv[3] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def gone(redis_process: RedisProcess) -> RedisProcess:
    """A server that is not running yet."""
    redis_process.kill()
    return redis_process


def run_process(server: RedisProcess, path: Path, end: str, *ids: int) -> int:
    """Mark in a process of its own and return how it ended."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), server.url, str(path), end]
        + [str(user) for user in ids],
        cwd=Path(__file__).parent.parent,
        stderr=subprocess.DEVNULL,
        timeout=60,
        check=False,
    ).returncode


def spool_at(path: Path) -> Spool:
    return Spool(str(path), check_id)


def make_marks(*ids: int) -> list[Mark]:
    bits = bits_of("x", hour_of(NOON), False, False)
    return [Mark(bits, user, 1, None) for user in ids]


@pytest.mark.parametrize("end", ["quietly", "killed"])
def test_marks_of_an_ended_process_are_written_after_a_restart(
    make_app: MakeApp, gone: RedisProcess, tmp_path: Path, end: str
) -> None:
    path = tmp_path / "marks"
    expected = -signal.SIGKILL if end == "killed" else 0
    assert run_process(gone, path, end, 1, 2, 3) == expected
    gone.start()
    app = make_app(BITMAPIST_REDIS_URL=gone.url, BITMAPIST_SPOOL_FILE=str(path))

    client = gone.client()
    eventually(lambda: users(client, DAY) == {1, 2, 3}, "the marks are written")
    eventually(lambda: not path.exists(), "the file is removed")
    assert recorder_of(app).counters.recovered == 3


def test_a_restart_while_redis_is_still_gone_loses_nothing(
    make_app: MakeApp, gone: RedisProcess, tmp_path: Path
) -> None:
    path = tmp_path / "marks"
    for user in range(5):
        run_process(gone, path, "killed", user)
    app = make_app(BITMAPIST_REDIS_URL=gone.url, BITMAPIST_SPOOL_FILE=str(path))
    with app.app_context():
        mark_event("x", 99, now=NOON)
    gone.start()

    client = gone.client()
    eventually(lambda: users(client, DAY) == {*range(5), 99}, "all are written")
    eventually(
        lambda: sum(each.stat().st_size for each in tmp_path.iterdir()) == 0,
        "nothing waits in any file",
    )


def test_the_file_is_emptied_when_all_is_written(
    make_app: MakeApp, gone: RedisProcess, tmp_path: Path
) -> None:
    path = tmp_path / "marks"
    app = make_app(BITMAPIST_REDIS_URL=gone.url, BITMAPIST_SPOOL_FILE=str(path))
    with app.app_context():
        mark_event("x", 1, now=NOON)
        mark_unique("flag", 2)
    assert len(path.read_text().splitlines()) == 2
    gone.start()

    assert recorder_of(app).flush()
    assert path.read_bytes() == b""
    assert users(gone.client(), "flag_u") == {2}


def test_the_file_is_bounded_like_the_buffer(
    make_app: MakeApp, gone: RedisProcess, tmp_path: Path
) -> None:
    path = tmp_path / "marks"
    app = make_app(
        BITMAPIST_REDIS_URL=gone.url,
        BITMAPIST_SPOOL_FILE=str(path),
        BITMAPIST_BUFFER_SIZE=10,
    )
    with app.app_context():
        for user in range(100):
            mark_event("x", user, now=NOON)

    assert len(path.read_text().splitlines()) == 10


def test_background_mode_keeps_its_marks_in_the_file_while_redis_fails(
    make_app: MakeApp, gone: RedisProcess, tmp_path: Path
) -> None:
    path = tmp_path / "marks"
    app = make_app(
        BITMAPIST_REDIS_URL=gone.url,
        BITMAPIST_SPOOL_FILE=str(path),
        BITMAPIST_MARK_MODE="background",
    )
    with app.test_request_context():
        mark_event("x", 1, now=NOON)
        eventually(lambda: recorder_of(app).status()["error"], "it is noticed")
        mark_event("x", 2, now=NOON)

    assert len(path.read_text().splitlines()) == 2


def test_each_process_has_a_file_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "marks"
    one, other = spool_at(path), spool_at(path)
    one.append(make_marks(1))
    other.append(make_marks(2))

    assert {each.name for each in tmp_path.iterdir()} == {"marks", "marks.1"}
    assert list(one.leftovers()) == list(other.leftovers()) == []
    one.close()
    assert [left.path for left in other.leftovers()] == [path]
    other.close()


def test_a_forked_process_leaves_its_parents_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "marks"
    parent = spool_at(path)
    parent.append(make_marks(1))
    child = os.fork() if hasattr(os, "fork") else pytest.skip("no fork here")
    if not child:
        parent.forget()
        parent.append(make_marks(2))
        os._exit(0)
    os.waitpid(child, 0)

    assert len(path.read_text().splitlines()) == 1
    found = [marks for left in parent.leftovers() for marks in left.batches(10)]
    assert found == [make_marks(2)]
    parent.append(make_marks(3))
    assert len(path.read_text().splitlines()) == 2
    parent.close()


def test_a_line_that_was_cut_off_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "marks"
    before = spool_at(path)
    before.append(make_marks(1, 2))
    before.close()
    path.write_bytes(path.read_bytes()[:-5])
    spool = spool_at(path)
    assert spool.has_leftovers()
    for left in spool.leftovers():
        assert list(left.batches(10)) == [make_marks(1)]
        left.remove(Reports())

    assert not spool.has_leftovers()


def test_a_file_that_cannot_be_written_does_not_stop_marks(
    make_app: MakeApp,
    gone: RedisProcess,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "marks"
    app = make_app(BITMAPIST_REDIS_URL=gone.url, BITMAPIST_SPOOL_FILE=str(path))
    folder.rmdir()
    with app.app_context():
        mark_event("x", 1, now=NOON)
    gone.start()

    assert "cannot be kept in a file" in caplog.text
    assert recorder_of(app).flush()
    assert users(gone.client(), DAY) == {1}
