"""The seed script: plausible users in any Redis."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from flask_bitmapist.query import Query
from scripts.seed import main

from .inside import BitmapReader

EVENTS = ("created", "logged_in", "logged_out", "updated", "invited", "deleted")
SCRIPT = Path(__file__).parents[1] / "scripts" / "seed.py"


def seed(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def seeded(redis_url: str, redis_client: redis.Redis) -> Query:
    done = seed("--users", "2000", "--days", "30", "--url", redis_url)
    assert done.returncode == 0, done.stderr
    assert "events of 2,000 users on 30 days" in done.stdout
    assert re.search(r"^ +2,000  user:created$", done.stdout, re.MULTILINE)
    for event in EVENTS:
        assert f"  user:{event}\n" in done.stdout
    assert "left out" not in done.stdout
    return Query(BitmapReader(redis_client))


def test_every_user_is_created_once_and_logs_in_that_day(seeded: Query) -> None:
    created = seeded.trend("user:created", num_periods=31).series[0].counts
    assert created[0] == 0, "the day before the first"
    assert sum(created) == 2_000
    both = seeded.cohort(
        "user:created",
        "user:logged_in",
        time_group="days",
        num_rows=30,
        num_cols=1,
    )
    assert all(row[0] == size for row, size in zip(both.counts, both.sizes))


def test_users_come_back_less_and_less(seeded: Query) -> None:
    averages = seeded.cohort(
        "user:created",
        "user:logged_in",
        time_group="days",
        num_rows=30,
        num_cols=22,
    ).averages
    day_1, day_7, day_21 = averages[1], averages[7], averages[21]
    assert day_1 is not None
    assert day_7 is not None
    assert day_21 is not None
    assert 0.6 > day_1 > day_7 > day_21 > 0.02


def test_the_same_seed_writes_the_same_events(
    seeded: Query, redis_client: redis.Redis, redis_url: str
) -> None:
    before = {key: redis_client.type(key) for key in redis_client.scan_iter()}
    bits = [redis_client.bitcount(k) for k, kind in before.items() if kind == b"string"]
    seed("--users", "2000", "--days", "30", "--url", redis_url)
    again = [
        redis_client.bitcount(k) for k, kind in before.items() if kind == b"string"
    ]
    assert redis_client.dbsize() == len(before)
    assert again == bits


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--users", "0"), "--users: '0' is not a whole number from 1 to"),
        (("--users", "5000000000"), "--users: '5000000000' is not a whole number"),
        (("--days", "many"), "--days: 'many' is not a whole number"),
        (("--days", "800000"), "--days: '800000' is not a whole number"),
        (("--seed", "-1"), "--seed: '-1' is not a whole number from 0"),
        (("--url", "memory://"), "would be gone"),
        (("--url", "http://x:hunter2@localhost"), "BITMAPIST_REDIS_URL"),
        (("--url", "redis://:hunter2@127.0.0.1:1"), "does not answer"),
    ],
)
def test_wrong_input_is_told_without_a_stack_trace(
    arguments: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    # What is no number is printed by Python as it ends.
    errors = capsys.readouterr().err + str(ended.value.code)
    assert ended.value.code != 0
    assert told in errors
    assert "hunter2" not in errors
