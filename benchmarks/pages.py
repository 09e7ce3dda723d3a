"""The cohort page against the engine's own time, side by side in one run.

    python -m benchmarks.pages [--users N]

At 1,000,000 users the page is to answer within 3 times the engine's own time plus
30 ms.  All figures are medians of the same number of turns, taken in turn.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone

import numpy as np
import redis
from flask import Flask

from flask_bitmapist import FlaskBitmapist, TimeGroup
from flask_bitmapist.analysis.expressions import Source
from flask_bitmapist.analysis.periods import last_periods
from flask_bitmapist.store.keys import redis_key
from tests.servers import RedisProcess

USERS = 1_000_000
ROWS, COLUMNS = 31, 13
TURNS = 30
FACTOR, MORE = 3.0, 0.030

QUESTION = (
    "/bitmapist/cohort?primary_event=a&secondary_event=b&time_group=days"
    f"&num_rows={ROWS}&num_cols={COLUMNS}"
)


def main() -> None:
    """Measure, and print the ratios."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--users", type=int, default=USERS)
    users = options.parse_args().users
    with RedisProcess() as server:
        with server.client() as client:
            fill(client, users)
        app = Flask("measured")
        app.config.update(BITMAPIST_REDIS_URL=server.url, BITMAPIST_ACCESS="public")
        FlaskBitmapist(app)
        engine, *pages = medians(app)
        print(f"{users:,} users, {ROWS} rows x {COLUMNS} columns, medians of {TURNS}")
        print(f"  engine            {engine * 1000:7.1f} ms")
        bound = FACTOR * engine + MORE
        for (name, _), seconds in zip(FORMATS.items(), pages):
            print(
                f"  page as {name:<10}{seconds * 1000:7.1f} ms, to reach "
                f"{bound * 1000:.1f} ms: {'yes' if seconds <= bound else 'NO'}"
            )


FORMATS = {"HTML": "", "JSON": "&format=json", "CSV": "&format=csv"}


def fill(client: redis.Redis, users: int) -> None:
    """Let a third of the users do each of two events on each day."""
    random = np.random.default_rng(1)
    for day in last_periods(TimeGroup.DAYS, ROWS, datetime.now(tz=timezone.utc)):
        for event in ("a", "b"):
            bits = np.packbits(random.random(users) < 1 / 3)
            client.set(redis_key(Source(event, day)), bits.tobytes())


def medians(app: Flask) -> list[float]:
    """Return the seconds of the engine, and of the page in each format."""
    client = app.test_client()
    query = app.extensions["bitmapist"].query

    def ask() -> None:
        query.cohort("a", "b", time_group="days", num_rows=ROWS, num_cols=COLUMNS)

    def get(extra: str) -> Callable[[], None]:
        def page() -> None:
            response = client.get(QUESTION + extra)
            assert response.status_code == 200
            assert response.data

        return page

    measured = [ask, *map(get, FORMATS.values())]
    for each in measured:
        each()  # templates are compiled, event names looked for
    return list(_medians(measured))


def _medians(measured: list[Callable[[], None]]) -> Iterator[float]:
    seconds: list[list[float]] = [[] for _ in measured]
    for _ in range(TURNS):
        for taken, each in zip(seconds, measured):
            start = time.perf_counter()
            each()
            taken.append(time.perf_counter() - start)
    yield from map(statistics.median, seconds)


if __name__ == "__main__":
    main()
