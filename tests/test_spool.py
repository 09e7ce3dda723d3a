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
import redis
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from flask_bitmapist import mark_event, mark_unique

from .inside import Identity, Mark, Reports, Spool, bits_of, hour_of
from .marks import NOON, NOON_KEYS, eventually, keys, recorder_of, users
from .servers import Door, RedisProcess

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
    return Spool(str(path), Identity().key)


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


GOOD = b'["x", "2026-01-01T12", false, false, %d, 1, 0]\n'

HOSTILE = {
    "no JSON": b"\x00\xffnothing\n",
    "an empty line": b"\n",
    "another version": b'{"version": 2, "event": "x"}\n',
    "a field less": b'["x", "2026-01-01T12", false, false, 1, 0]\n',
    "a field more": b'["x", "2026-01-01T12", false, false, 1, 1, 1, 0]\n',
    "deep JSON": b"[" * 10_000 + b"\n",
    "a user that is a list": b'["x", "2026-01-01T12", false, false, [1], 1, 0]\n',
    "a user that is a dict": b'["x", "2026-01-01T12", false, false, {"a": 1}, 1, 0]\n',
    "no user": b'["x", "2026-01-01T12", false, false, null, 1, 0]\n',
    "a user that is a fraction": b'["x", "2026-01-01T12", false, false, 1.5, 1, 0]\n',
    "a user that is true": b'["x", "2026-01-01T12", false, false, true, 1, 0]\n',
    "a user below 0": b'["x", "2026-01-01T12", false, false, -1, 1, 0]\n',
    "a user of many digits": b'["x", "2026-01-01T12", false, false, 1%s, 1, 0]\n'
    % (b"0" * 5000),
    "an event that is a number": b'[7, "2026-01-01T12", false, false, 1, 1, 0]\n',
    "no event": b'[null, "2026-01-01T12", false, false, 1, 1, 0]\n',
    "an empty event": b'["", "2026-01-01T12", false, false, 1, 1, 0]\n',
    "a long event": b'["%s", "2026-01-01T12", false, false, 1, 1, 0]\n' % (b"x" * 2000),
    "an event like a key": b'["x_2026-1-1", "2026-01-01T12", false, false, 1, 1, 0]\n',
    "an hour that is none": b'["x", "yesterday", false, false, 1, 1, 0]\n',
    "an hour that is a number": b'["x", 2026, false, false, 1, 1, 0]\n',
    "an hour outside the calendar": b'["x", "99999-01-01T12", false, false, 1, 1, 0]\n',
    "neither hour nor flag": b'["x", null, false, false, 1, 1, 0]\n',
    "hourly is a number": b'["x", "2026-01-01T12", 7, false, 1, 1, 0]\n',
    "a value that is no bit": b'["x", "2026-01-01T12", false, false, 1, 2, 0]\n',
    "a value that is a list": b'["x", "2026-01-01T12", false, false, 1, [], 0]\n',
    "a very long line": b'["x", "%s"]\n' % (b"x" * 1_000_000),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_damaged_line_is_put_aside_and_all_others_are_written(
    make_app: MakeApp,
    redis_url: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    what: str,
) -> None:
    path, aside = tmp_path / "marks", tmp_path / "marks.bad"
    path.write_bytes(GOOD % 1 + HOSTILE[what] + GOOD % 2)
    app = make_app(BITMAPIST_SPOOL_FILE=str(path))

    eventually(lambda: not path.exists(), "the file is removed")
    with redis.Redis.from_url(redis_url) as client:
        assert users(client, DAY) == {1, 2}
        assert keys(client) == {f"x_{period}" for period in NOON_KEYS}
    assert aside.read_bytes() == HOSTILE[what]
    told = f"1 lines of {path} are no events that can be written"
    eventually(lambda: told in caplog.text, "it is told")
    assert len(caplog.text) < 1000
    counters = recorder_of(app).counters
    assert (counters.recovered, counters.rejected) == (2, 1)


def test_a_line_that_was_cut_off_is_put_aside_as_well(
    make_app: MakeApp, redis_client: redis.Redis, tmp_path: Path
) -> None:
    path, aside = tmp_path / "marks", tmp_path / "marks.bad"
    path.write_bytes(GOOD % 1 + (GOOD % 2)[:-5])
    make_app(BITMAPIST_SPOOL_FILE=str(path))

    eventually(lambda: not path.exists(), "the file is removed")
    assert users(redis_client, DAY) == {1}
    assert aside.read_bytes() == (GOOD % 2)[:-5] + b"\n"


def test_what_is_put_aside_is_added_to_what_was_before(
    make_app: MakeApp, redis_client: redis.Redis, tmp_path: Path
) -> None:
    path, aside = tmp_path / "marks", tmp_path / "marks.bad"
    for line in (b"one\n", b"two\n"):
        path.write_bytes(line)
        make_app(BITMAPIST_SPOOL_FILE=str(path))
        eventually(lambda: not path.exists(), "the file is removed")

    assert aside.read_bytes() == b"one\ntwo\n"


@given(st.lists(st.binary(max_size=60)))
def test_no_line_whatever_stops_the_others(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]
) -> None:
    path = tmp_path_factory.mktemp("spool") / "marks"
    damaged = [line.replace(b"\n", b" ") + b"\n" for line in lines]
    path.write_bytes(b"".join([*damaged, GOOD % 1, *damaged, GOOD % 2]))
    spool = spool_at(path)
    for left in spool.leftovers():
        found = [mark.user for marks in left.batches(10) for mark in marks]
        left.remove(Reports())
        assert found == [1, 2]

    aside = path.with_name("marks.bad")
    assert not path.exists()
    assert (aside.read_bytes() if damaged else b"") == b"".join(damaged * 2)


def test_a_file_that_grows_over_its_size_is_written_anew(
    make_app: MakeApp, redis_process: RedisProcess, tmp_path: Path
) -> None:
    path = tmp_path / "marks"
    with Door(redis_process.port) as door:
        app = make_app(
            BITMAPIST_REDIS_URL=f"redis://127.0.0.1:{door.port}",
            BITMAPIST_SPOOL_FILE=str(path),
            BITMAPIST_BUFFER_SIZE=10,
            BITMAPIST_BATCH_SIZE=1,
            BITMAPIST_RETRY_FIRST=3600.0,
            BITMAPIST_RETRY_MAX=3600.0,
        )
        recorder = recorder_of(app)
        sizes = []
        user = 0
        with app.app_context():
            mark_event("x", 0, now=NOON)
            for _ in range(20):
                # Each time Redis takes some, and the outage goes on.
                door.close_after(0)
                while recorder.waiting < 10:
                    user += 1
                    mark_event("x", user, now=NOON)
                sizes.append(sum(map(_lines, tmp_path.iterdir())))
                door.close_after(5)
                assert not recorder.flush()
        assert sizes != sorted(sizes), "it grows, and is written anew"
        assert max(sizes) <= 2 * 10 + 1
        assert recorder.counters.dropped == 0
        door.open()
        assert recorder.flush()

    assert users(redis_process.client(), DAY) == set(range(user + 1))
    assert sum(map(_lines, tmp_path.iterdir())) == 0


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n")


def test_a_file_that_is_written_anew_is_found_by_others(tmp_path: Path) -> None:
    path = tmp_path / "marks"
    spool = spool_at(path)
    spool.append(make_marks(1, 2, 3))
    spool.rewrite(make_marks(3, 4))
    assert sum(map(_lines, tmp_path.iterdir())) == 2
    spool.close()

    other = spool_at(path)
    found = [m.user for left in other.leftovers() for b in left.batches(10) for m in b]
    assert found == [3, 4]


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
