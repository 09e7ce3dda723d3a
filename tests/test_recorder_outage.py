"""What becomes of marks while Redis fails, and afterwards."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import bitmapist
import pytest
import redis
from flask import Flask

from flask_bitmapist import mark, mark_event, mark_unique, unmark_event

from .inside import reports
from .marks import NOON, eventually, keys, recorder_of, users
from .servers import RedisProcess

MakeApp = Callable[..., Flask]
DAY = "x_2026-1-1"


@pytest.fixture
def outage(make_app: MakeApp, redis_process: RedisProcess) -> Callable[..., Flask]:
    """Make an app whose Redis is gone."""

    def make(**settings: Any) -> Flask:
        app = make_app(BITMAPIST_REDIS_URL=redis_process.url, **settings)
        redis_process.kill()
        return app

    return make


def mark_users(app: Flask, *ids: int, event: str = "x", now: datetime = NOON) -> None:
    with app.app_context():
        for user in ids:
            mark_event(event, user, now=now)


def test_marks_wait_for_redis_and_are_written_without_any_further_mark(
    outage: Callable[..., Flask], redis_process: RedisProcess
) -> None:
    app = outage()
    mark_users(app, 1, 2, 3)
    assert recorder_of(app).waiting == 3
    redis_process.start()

    client = redis_process.client()
    eventually(lambda: users(client, DAY) == {1, 2, 3}, "the marks are written")
    eventually(lambda: recorder_of(app).status()["error"] is None, "it works again")


def test_requests_go_on_while_redis_is_gone(
    outage: Callable[..., Flask], redis_process: RedisProcess
) -> None:
    app = outage()
    app.add_url_rule("/", "view", mark("x", 5, now=NOON)(lambda: "ok"))

    assert app.test_client().get("/").text == "ok"
    redis_process.start()
    assert recorder_of(app).flush()
    assert users(redis_process.client(), DAY) == {5}


def test_marks_keep_the_time_at_which_they_were_made(
    outage: Callable[..., Flask],
    redis_process: RedisProcess,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from .inside import recorder

    app = outage(BITMAPIST_TRACK_HOURLY=True)
    then = datetime(2020, 5, 5, 10).timestamp()
    with app.app_context():
        with monkeypatch.context() as patch:
            patch.setattr(recorder, "time", lambda: then)
            mark_event("x", 1)
        mark_event("x", 2)
    redis_process.start()
    assert recorder_of(app).flush()

    client = redis_process.client()
    assert {1} in [users(client, key) for key in keys(client) if "_2020-5-5-" in key]


def test_marking_and_taking_back_keep_their_order(
    outage: Callable[..., Flask], redis_process: RedisProcess
) -> None:
    app = outage()
    with app.app_context():
        mark_event("x", 1, now=NOON)
        unmark_event("x", 1, now=NOON)
        mark_event("x", 1, now=NOON)
        mark_event("x", 2, now=NOON)
        unmark_event("x", 2, now=NOON)
        mark_unique("flag", 3)
    redis_process.start()
    assert recorder_of(app).flush()

    client = redis_process.client()
    assert users(client, DAY) == {1}
    assert users(client, "flag_u") == {3}


def test_only_the_first_mark_waits_for_a_redis_that_does_not_answer(
    make_app: MakeApp, redis_process: RedisProcess
) -> None:
    app = make_app(
        BITMAPIST_REDIS_URL=redis_process.url,
        BITMAPIST_MARK_TIMEOUT=0.5,
        BITMAPIST_RETRY_FIRST=60.0,
        BITMAPIST_RETRY_MAX=60.0,
    )
    mark_users(app, 0)
    redis_process.pause()
    start = time.perf_counter()
    mark_users(app, 1)
    first = time.perf_counter() - start
    start = time.perf_counter()
    mark_users(app, *range(2, 1002))
    others = time.perf_counter() - start
    redis_process.resume()

    assert others < first, "a thousand marks together took less than one timeout"
    assert recorder_of(app).flush()
    assert users(redis_process.client(), DAY) == set(range(1002))


def test_the_buffer_is_bounded_and_says_what_is_lost(
    outage: Callable[..., Flask],
    redis_process: RedisProcess,
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = outage(BITMAPIST_BUFFER_SIZE=10)
    mark_users(app, *range(25))
    counters = recorder_of(app).counters

    assert recorder_of(app).waiting == 10
    assert (counters.marked, counters.buffered, counters.dropped) == (25, 10, 15)
    assert [r.levelno for r in caplog.records] == [logging.WARNING, logging.ERROR]
    redis_process.start()
    assert recorder_of(app).flush()
    assert users(redis_process.client(), DAY) == set(range(10))


def test_the_same_mark_waits_once(
    outage: Callable[..., Flask], redis_process: RedisProcess
) -> None:
    app = outage(BITMAPIST_BUFFER_SIZE=10)
    mark_users(app, *[5] * 100)

    assert recorder_of(app).waiting == 1
    assert recorder_of(app).counters.merged == 99
    assert recorder_of(app).counters.dropped == 0


def test_an_outage_is_logged_once(
    outage: Callable[..., Flask],
    redis_process: RedisProcess,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = outage()
    mark_users(app, *range(100))
    redis_process.start()
    assert recorder_of(app).flush()

    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert "Redis does not accept events" in told[0]
    assert "Redis accepts events again" in told[1]
    assert reports.QUIET_SECONDS > 1


def test_the_counters_add_up(
    outage: Callable[..., Flask], redis_process: RedisProcess
) -> None:
    app = outage(BITMAPIST_BUFFER_SIZE=10)
    mark_users(app, *range(20), 3, 4)
    counters = recorder_of(app).counters.to_dict()
    told = ("written", "merged", "dropped")
    assert counters["marked"] == 22
    assert sum(counters[name] for name in told) + recorder_of(app).waiting == 22
    redis_process.start()
    recorder_of(app).flush()

    counters = recorder_of(app).counters.to_dict()
    assert sum(counters[name] for name in told) == counters["marked"] == 22
    assert counters["flushed"] == counters["written"] == 10
    assert counters["failed"] >= 1


def test_ignore_drops_what_redis_does_not_take(
    outage: Callable[..., Flask], redis_process: RedisProcess
) -> None:
    app = outage(BITMAPIST_ON_ERROR="ignore")
    mark_users(app, 1, 2)

    assert recorder_of(app).waiting == 0
    assert recorder_of(app).counters.dropped == 2
    redis_process.start()
    eventually(lambda: recorder_of(app).status()["error"] is None, "it works again")
    mark_users(app, 3)
    assert users(redis_process.client(), DAY) == {3}


def test_raise_lets_the_error_through(
    outage: Callable[..., Flask], redis_process: RedisProcess
) -> None:
    app = outage(BITMAPIST_ON_ERROR="raise")
    for user in (1, 2, 3):
        with pytest.raises(redis.ConnectionError):
            mark_users(app, user)

    redis_process.start()
    eventually(lambda: recorder_of(app).status()["error"] is None, "it works again")
    mark_users(app, 4)
    assert users(redis_process.client(), DAY) == {4}


def test_a_mark_that_redis_will_never_take_stands_in_nobodys_way(
    app: Flask, redis_client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    redis_client.rpush(f"trackist_bad_{NOON.year}-{NOON.month}", "a list")
    mark_users(app, 1, 2, event="bad")
    mark_users(app, 1, 2)

    assert users(redis_client, DAY) == {1, 2}
    assert recorder_of(app).waiting == 0
    assert recorder_of(app).counters.dropped == 2
    assert len(caplog.records) == 1
    assert "trackist_bad_2026-1: WRONGTYPE" in caplog.text


def test_a_waiting_mark_that_redis_will_never_take_is_dropped(
    outage: Callable[..., Flask], redis_process: RedisProcess
) -> None:
    app = outage()
    mark_users(app, 1, event="bad")
    mark_users(app, 1)
    redis_process.start()
    client = redis_process.client()
    # Whoever comes first: the list, or the mark itself.
    with client.pipeline() as at_once:
        at_once.delete("trackist_bad_2026-1")
        at_once.rpush("trackist_bad_2026-1", "a list")
        at_once.execute()
    mark_users(app, 2, event="bad")

    assert recorder_of(app).flush()
    assert users(client, DAY) == {1}


def refuse_type(client: redis.Redis) -> None:
    client.rpush("trackist_x_2026-1", "a list")


def refuse_room(client: redis.Redis) -> None:
    client.config_set("maxmemory", "1")


def refuse_writes(client: redis.Redis) -> None:
    # The replica of a primary that does not exist keeps the data that it has.
    client.replicaof("127.0.0.1", "1")


def take(client: redis.Redis) -> None:
    client.config_set("maxmemory", "0")
    client.replicaof("NO", "ONE")
    client.delete("trackist_x_2026-1")


REFUSALS = {
    "WRONGTYPE": refuse_type,
    "OOM": refuse_room,
    "READONLY": refuse_writes,
}


ERRORS = {
    "WRONGTYPE": "trackist_x_2026-1: WRONGTYPE",
    "OOM": "maxmemory",
    "READONLY": "read only replica",
}


@pytest.fixture(params=REFUSALS)
def refusal(
    request: pytest.FixtureRequest, redis_process: RedisProcess
) -> tuple[str, redis.Redis]:
    """A Redis that answers but refuses marks; what it says, and a client of it."""
    client = redis_process.client()
    REFUSALS[request.param](client)
    return request.param, client


MODES = pytest.mark.parametrize("mode", ["sync", "background"])


def mark_in_view(app: Flask, user: int) -> None:
    with app.test_request_context():
        mark_event("x", user, now=NOON)


@MODES
def test_a_refused_mark_waits_unless_it_would_for_ever(
    make_app: MakeApp,
    redis_process: RedisProcess,
    refusal: tuple[str, redis.Redis],
    caplog: pytest.LogCaptureFixture,
    mode: str,
) -> None:
    said, client = refusal
    app = make_app(BITMAPIST_REDIS_URL=redis_process.url, BITMAPIST_MARK_MODE=mode)
    mark_in_view(app, 1)
    recorder = recorder_of(app)
    eventually(lambda: caplog.records, "it is told")
    assert ERRORS[said] in caplog.text
    is_final = said == "WRONGTYPE"
    eventually(lambda: recorder.counters.dropped == int(is_final), "it is known")
    take(client)

    assert recorder.flush()
    mark_in_view(app, 2)
    assert recorder.flush()
    assert users(client, DAY) >= ({2} if is_final else {1, 2})
    assert recorder.counters.dropped == int(is_final)


@MODES
def test_a_refused_mark_is_dropped_if_the_app_says_so(
    make_app: MakeApp,
    redis_process: RedisProcess,
    refusal: tuple[str, redis.Redis],
    mode: str,
) -> None:
    app = make_app(
        BITMAPIST_REDIS_URL=redis_process.url,
        BITMAPIST_MARK_MODE=mode,
        BITMAPIST_ON_ERROR="ignore",
    )
    mark_in_view(app, 1)

    eventually(lambda: recorder_of(app).counters.dropped == 1, "it is dropped")
    assert recorder_of(app).waiting == 0


def test_a_refused_mark_is_an_error_if_the_app_says_so(
    make_app: MakeApp, redis_process: RedisProcess, refusal: tuple[str, redis.Redis]
) -> None:
    said, client = refusal
    app = make_app(BITMAPIST_REDIS_URL=redis_process.url, BITMAPIST_ON_ERROR="raise")
    with pytest.raises(redis.ResponseError, match=ERRORS[said]):
        mark_in_view(app, 1)

    assert recorder_of(app).counters.dropped == 1
    assert recorder_of(app).waiting == 0
    take(client)
    eventually(lambda: recorder_of(app).status()["error"] is None, "it works again")
    mark_in_view(app, 2)
    assert 2 in users(client, DAY)


class Moody(redis.Redis):
    """A client that has an error of its own, which redis-py knows nothing of."""

    is_broken = True

    def pipeline(self, *args: Any, **options: Any) -> Any:
        if self.is_broken:
            raise RuntimeError("a client with moods")
        return super().pipeline(*args, **options)

    def ping(self, **options: Any) -> Any:
        if self.is_broken:
            raise RuntimeError("a client with moods")
        return super().ping(**options)


@MODES
def test_an_error_that_nobody_expects_costs_no_mark_and_no_view(
    make_app: MakeApp,
    redis_url: str,
    redis_client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    mode: str,
) -> None:
    app = make_app(BITMAPIST_MARK_MODE=mode, BITMAPIST_RETRY_FIRST=0.01)
    moody = Moody.from_url(redis_url)
    monkeypatch.setitem(bitmapist.SYSTEMS, "default", moody)
    app.add_url_rule(
        "/<int:user>", "view", mark("x", lambda user: user, now=NOON)(lambda user: "ok")
    )
    client = app.test_client()
    assert client.get("/1").text == "ok"
    eventually(lambda: "Traceback" in caplog.text, "it is told, and where it was")
    assert client.get("/2").text == "ok"
    assert "a client with moods" in caplog.text
    moody.is_broken = False

    eventually(lambda: users(redis_client, DAY) == {1, 2}, "the marks are written")
    assert client.get("/3").text == "ok"
    eventually(lambda: 3 in users(redis_client, DAY), "the next one is written")
    moody.close()


@pytest.fixture
def elsewhere(
    redis_process: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> redis.Redis:
    """A client of another Redis, which bitmapist knows as "elsewhere"; it is gone."""
    client = redis_process.client()
    monkeypatch.setitem(bitmapist.SYSTEMS, "elsewhere", client)
    redis_process.kill()
    return client


@pytest.mark.parametrize("by_name", [False, True], ids=["client", "name"])
def test_marks_for_a_connection_of_ones_own_do_not_wait_for_it(
    app: Flask,
    redis_process: RedisProcess,
    redis_client: redis.Redis,
    elsewhere: redis.Redis,
    by_name: bool,
) -> None:
    system: Any = "elsewhere" if by_name else elsewhere
    with app.app_context():
        for give in (mark_event, mark_unique):
            with pytest.raises(redis.ConnectionError):
                give("x", 1, system=system)
        mark_event("x", 2, now=NOON)
        redis_process.start()
        mark_event("x", 3, system=system, now=NOON)

    assert recorder_of(app).waiting == 0
    assert users(redis_client, DAY) == {2}
    assert users(redis_process.client(), DAY) == {3}
    counters = recorder_of(app).counters
    assert (counters.marked, counters.written, counters.dropped) == (4, 2, 2)


def test_requests_go_on_while_a_connection_of_ones_own_fails(
    app: Flask, elsewhere: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    @app.get("/")
    @mark("x", 5, system=elsewhere)
    def view() -> str:
        mark_event("x", 6, system=elsewhere)
        return "ok"

    client = app.test_client()
    assert [client.get("/").text for _ in range(3)] == ["ok"] * 3
    assert recorder_of(app).counters.dropped == 6
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "Connection refused" in caplog.text


def test_raise_lets_the_error_of_a_connection_of_ones_own_through_as_well(
    make_app: MakeApp, elsewhere: redis.Redis
) -> None:
    app = make_app(BITMAPIST_ON_ERROR="raise")
    with app.test_request_context(), pytest.raises(redis.ConnectionError):
        mark_event("x", 6, system=elsewhere)


def test_the_status_goes_into_json(app: Flask, outage: Callable[..., Flask]) -> None:
    import json

    broken = outage()
    mark_users(app, 1)
    mark_users(broken, 1)
    works, fails = (
        json.loads(json.dumps(recorder_of(each).status())) for each in (app, broken)
    )

    assert (works["error"], works["waiting"], works["failing_for"]) == (None, 0, 0)
    assert works["counters"]["written"] == 1
    assert "ConnectionError" in fails["error"]
    assert fails["waiting"] == 1
    assert fails["failing_for"] >= 0
