"""When Redis is asked again while it fails, and how often that is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from flask_bitmapist import mark_event

from .inside import Backoff
from .marks import NOON, eventually, recorder_of, users
from .servers import Door, RedisProcess

GONE = ConnectionError("gone")


class Clock:
    """A clock that stands still until it is told how much time has gone."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def longest(low: float, high: float) -> float:
    return high


def shortest(low: float, high: float) -> float:
    return low


def waits(backoff: Backoff, tries: int) -> list[float]:
    """Fail, and return how long each of the next tries waits, when all of them fail."""
    backoff.failed(GONE)
    found = []
    for _ in range(tries):
        found.append(backoff.wait())
        backoff.failed(GONE, retried=True)
    return found


def test_waits_begin_small_and_double_up_to_a_limit() -> None:
    assert waits(Backoff(0.1, 5.0, between=longest), 8) == pytest.approx(
        [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    )


def test_the_first_wait_is_within_the_limit_as_well() -> None:
    assert waits(Backoff(10.0, 2.0, between=longest), 2) == [2.0, 2.0]


def test_chance_makes_a_wait_a_quarter_shorter_at_most() -> None:
    assert waits(Backoff(0.1, 5.0, between=shortest), 3) == pytest.approx(
        [0.075, 0.15, 0.3]
    )


def test_processes_do_not_come_back_all_at_once() -> None:
    many = [waits(Backoff(1.0, 5.0), 1)[0] for _ in range(50)]

    assert len(set(many)) > 40
    assert all(0.75 <= each <= 1.0 for each in many)


def test_failures_of_those_who_were_under_way_do_not_make_a_wait_longer() -> None:
    backoff = Backoff(0.1, 5.0, between=longest)
    assert backoff.failed(GONE)
    for _ in range(10):
        assert not backoff.failed(GONE)

    assert backoff.wait() == pytest.approx(0.1)


def test_the_next_outage_begins_with_a_small_wait_again() -> None:
    backoff = Backoff(0.1, 5.0, between=longest)
    waits(backoff, 6)
    backoff.works()
    assert (backoff.is_failing, backoff.error) == (False, None)

    assert waits(backoff, 2) == pytest.approx([0.1, 0.2])


def test_it_tells_since_when_and_why_redis_fails() -> None:
    clock = Clock()
    backoff = Backoff(0.1, 5.0, clock)
    assert backoff.seconds == 0
    backoff.failed(GONE)
    clock.now += 90
    backoff.failed(TimeoutError("slow"), retried=True)

    assert backoff.seconds == 90
    assert backoff.error == "TimeoutError: slow"
    backoff.works()
    assert backoff.seconds == 0


@given(
    first=st.floats(0.01, 2.0), most=st.floats(2.0, 30.0), minutes=st.integers(1, 60)
)
def test_an_outage_costs_few_tries(first: float, most: float, minutes: int) -> None:
    clock = Clock()
    backoff = Backoff(first, most, clock)
    backoff.failed(GONE)
    tries = 0
    while backoff.seconds < 60 * minutes:
        clock.now += backoff.wait()
        backoff.failed(GONE, retried=True)
        tries += 1

    # Those until the wait is as long as it gets, and one for each such wait.
    assert 60 * minutes / most <= tries <= 60 * minutes / (0.75 * most) + 14


def test_redis_is_asked_once_for_all_marks_until_the_wait_is_over(
    make_app: Callable[..., Flask], redis_process: RedisProcess
) -> None:
    with Door(redis_process.port) as door:
        app = make_app(
            BITMAPIST_REDIS_URL=f"redis://127.0.0.1:{door.port}",
            BITMAPIST_RETRY_FIRST=3600.0,
            BITMAPIST_RETRY_MAX=3600.0,
        )
        door.close_after(0)
        with app.app_context():
            for user in range(100):
                mark_event("x", user, now=NOON)
        asked: Any = door.turned_away
        assert recorder_of(app).counters.failed == 1
        assert asked <= 2, "one try, for which redis-py may connect a second time"

        door.open()
        assert recorder_of(app).flush()
        assert door.turned_away == asked
    assert users(redis_process.client(), "x_2026-1-1") == set(range(100))


def test_what_waits_is_written_soon_after_somebody_else_found_redis_working(
    make_app: Callable[..., Flask], redis_process: RedisProcess
) -> None:
    app = make_app(
        BITMAPIST_REDIS_URL=redis_process.url,
        BITMAPIST_MARK_MODE="background",
        BITMAPIST_RETRY_FIRST=3600.0,
        BITMAPIST_RETRY_MAX=3600.0,
    )
    redis_process.kill()
    with app.test_request_context():
        mark_event("x", 1, now=NOON)
        eventually(lambda: recorder_of(app).status()["error"], "it is noticed")
        redis_process.start()
        assert recorder_of(app).flush()
        mark_event("x", 2, now=NOON)

    client = redis_process.client()
    eventually(lambda: users(client, "x_2026-1-1") == {1, 2}, "it is written")
