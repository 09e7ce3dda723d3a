"""Many questions at once, while marks are written: every answer is exact."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import bitmapist
import numpy as np
import pytest
import redis

from flask_bitmapist import Event
from flask_bitmapist.query import Query
from flask_bitmapist.questions import Answer

from .inside import BitmapReader
from .reference import utc

AS_OF = utc("2026-01-05T10:00")  # a Monday, soon after a New Year
USERS = 20_000
DAYS = 20

Question = tuple[str, Callable[[Query], Any]]

QUESTIONS: list[Question] = [
    ("cohort", lambda q: q.cohort("a", "b", time_group="days", as_of=AS_OF)),
    ("same cohort", lambda q: q.cohort("a", "b", time_group="days", as_of=AS_OF)),
    (
        "weeks",
        lambda q: q.cohort(
            "b", "a", time_group="weeks", num_rows=3, first_time=True, as_of=AS_OF
        ),
    ),
    (
        "trend",
        lambda q: q.trend(
            ["a", "b"], num_periods=9, rolling=[7], as_of=AS_OF
        ).to_dict(),
    ),
    ("lifecycle", lambda q: q.lifecycle("a", time_group="days", as_of=AS_OF)),
    ("funnel", lambda q: q.funnel(["a", "b"], num_periods=9, as_of=AS_OF).to_dict()),
    ("stickiness", lambda q: q.stickiness("a", num_days=9, as_of=AS_OF)),
    ("users", lambda q: list(q.users(Event("a") & ~Event("b"), "days", as_of=AS_OF))),
]


@pytest.fixture
def history(redis_client: redis.Redis) -> redis.Redis:
    """Some weeks of random marks."""
    random = np.random.default_rng(1)
    pipeline = redis_client.pipeline(transaction=False)
    for event in ("a", "b"):
        for ago in range(DAYS):
            for user in random.integers(0, USERS, size=200).tolist():
                bitmapist.mark_event(
                    event,
                    user,
                    system=pipeline,
                    now=AS_OF - timedelta(days=ago),
                    use_pipeline=False,
                )
    pipeline.execute()
    return redis_client


@pytest.fixture
def marking(history: redis.Redis) -> Iterator[None]:
    """Marks that go on all the while, in years that nobody asks about."""
    stop = threading.Event()

    def mark() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            bitmapist.mark_event(
                "a", number % USERS, system=history, now=utc("2035-05-05")
            )

    thread = threading.Thread(target=mark)
    thread.start()
    yield
    stop.set()
    thread.join()


def ask_all(url: str, rounds: int) -> list[Any]:
    """Ask everything over and over, beginning at a place of its own each time.

    Answers keep what they can be asked for the users behind a number, so what goes
    to another process is their dict.
    """
    with redis.Redis.from_url(url) as client:
        query = Query(BitmapReader(client))
        answers: list[Any] = []
        for turn in range(rounds):
            start = turn % len(QUESTIONS)
            for name, question in QUESTIONS[start:] + QUESTIONS[:start]:
                answers.append((name, told(question(query))))
    return answers


def told(answer: Any) -> Any:
    """Return an answer as plain values."""
    return answer.to_dict() if isinstance(answer, Answer) else answer


@pytest.mark.usefixtures("marking")
def test_eight_threads_at_once_get_the_serial_answers(history: redis.Redis) -> None:
    query = Query(BitmapReader(history))
    serial = {name: question(query) for name, question in QUESTIONS}
    before = set(history.scan_iter())

    def ask(offset: int) -> list[Any]:
        turned = (QUESTIONS[offset:] + QUESTIONS[:offset]) * 4
        return [(name, question(query)) for name, question in turned]

    with ThreadPoolExecutor(8) as pool:
        answers = [each for some in pool.map(ask, range(8)) for each in some]

    assert len(answers) == 8 * 4 * len(QUESTIONS)
    assert [name for name, answer in answers if answer != serial[name]] == []
    assert set(history.scan_iter()) - before <= keys_of_2035()


@pytest.mark.usefixtures("marking")
def test_four_processes_at_once_get_the_serial_answers(
    history: redis.Redis, redis_url: str
) -> None:
    query = Query(BitmapReader(history))
    serial = {name: told(question(query)) for name, question in QUESTIONS}
    before = set(history.scan_iter())

    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(4, mp_context=spawn) as pool:
        running = [pool.submit(ask_all, redis_url, 4) for _ in range(4)]
        answers = [each for some in running for each in some.result()]

    assert len(answers) == 4 * 4 * len(QUESTIONS)
    assert [name for name, answer in answers if answer != serial[name]] == []
    assert set(history.scan_iter()) - before <= keys_of_2035()


def test_a_process_that_is_killed_while_asking_leaves_no_key_behind(
    history: redis.Redis, redis_url: str
) -> None:
    before = set(history.scan_iter())
    spawn = multiprocessing.get_context("spawn")
    asked = spawn.Event()
    process = spawn.Process(target=_ask_for_ever, args=(redis_url, asked))
    process.start()
    assert asked.wait(60), "the process never came to ask"
    assert process.pid is not None
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert set(history.scan_iter()) == before


def _ask_for_ever(url: str, asked: Any) -> None:
    while True:
        ask_all(url, 1)
        asked.set()


def keys_of_2035() -> set[bytes]:
    """The keys of the marks that go on during a test."""
    return {
        b"trackist_a_2035-5",
        b"trackist_a_2035-5-5",
        b"trackist_a_W2035-18",
    }
