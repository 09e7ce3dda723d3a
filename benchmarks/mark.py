"""What a mark costs, and what an import does, side by side in one run.

    python -m benchmarks.mark [--calls N] [--rounds N] [--rows N]

Starts a redis-server of its own.  A mark's cost is what a WSGI call takes longer than
that of the same view without any mark; the variants take turns, and the median of the
rounds is shown.  The import and its comparison run on one core, the server included.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from itertools import count, islice
from pathlib import Path
from typing import Any

import bitmapist
import redis
from flask import Flask
from werkzeug.test import EnvironBuilder

from flask_bitmapist import FlaskBitmapist, mark
from flask_bitmapist.capture.bulk import BATCH_SIZE, Importer
from flask_bitmapist.capture.csvfile import CsvFile
from tests.servers import RedisProcess

ONE_BY_ONE = 20_000
USERS = 100_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=1000, help="calls in a round")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows to import")
    options = parser.parse_args()
    with RedisProcess() as server:
        compare_calls(server.url, options.calls, options.rounds)
    with one_core(), RedisProcess() as server:
        compare_import(server.url, options.rows)


# --- Marks in a WSGI call


def compare_calls(url: str, calls: int, rounds: int) -> None:
    variants = {
        "no mark": plain_app(),
        "raw pipeline of three SETBITs": pipeline_app(url),
        "bitmapist.mark_event in the view": bitmapist_app(url),
        "@mark": mark_app(url, "sync"),
        "@mark, background mode": mark_app(url, "background"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    order = list(variants)
    for number in range(rounds + 1):
        random.shuffle(order)
        for name in order:
            taken = time_calls(variants[name], calls)
            if number:  # the first round warms everything up
                seconds[name].append(taken)
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    base = medians["no mark"]
    unit = medians["bitmapist.mark_event in the view"] - base
    print(f"A call without a mark: {base * 1e6:.0f} µs.  Added to it:\n")
    print(f"{'':<34}{'µs':>8}{'ratio':>8}")
    for name in list(variants)[1:]:
        added = medians[name] - base
        print(f"{name:<34}{added * 1e6:>8.1f}{added / unit:>8.2f}")
    flush(variants["@mark, background mode"])


def flush(app: Flask) -> None:
    recorder = app.extensions["bitmapist"].recorder
    recorder.flush()
    counters = recorder.counters
    print(
        f"\nBackground mode: {counters.marked:,} marks made, {counters.written:,} "
        f"written, {counters.merged:,} merged, {counters.dropped:,} lost."
    )


def time_calls(app: Flask, calls: int) -> float:
    environ = EnvironBuilder(path="/").get_environ()

    def start_response(*args: Any) -> Callable[[bytes], None]:
        return lambda data: None

    start = time.perf_counter()
    for _ in range(calls):
        app(dict(environ), start_response)
    return (time.perf_counter() - start) / calls


def user_ids() -> Iterator[int]:
    return (number % USERS for number in count())


def plain_app() -> Flask:
    app = Flask("plain")

    @app.get("/")
    def view() -> str:
        return "ok"

    return app


def pipeline_app(url: str) -> Flask:
    app = Flask("pipeline")
    client = redis.Redis.from_url(url)
    users = user_ids()

    @app.get("/")
    def view() -> str:
        user = next(users)
        pipeline = client.pipeline()
        for key in ("raw_2026-1", "raw_W2026-1", "raw_2026-1-1"):
            pipeline.setbit(key, user, 1)
        pipeline.execute()
        return "ok"

    return app


def bitmapist_app(url: str) -> Flask:
    app = Flask("bitmapist")
    client: Any = redis.Redis.from_url(url)
    users = user_ids()

    @app.get("/")
    def view() -> str:
        bitmapist.mark_event("theirs", next(users), system=client)
        return "ok"

    return app


def mark_app(url: str, mode: str) -> Flask:
    app = Flask(mode)
    FlaskBitmapist(
        app,
        {"BITMAPIST_REDIS_URL": url, "BITMAPIST_MARK_MODE": mode},
    )
    users = user_ids()

    @app.get("/")
    @mark(f"ours:{mode}", lambda: next(users))
    def view() -> str:
        return "ok"

    return app


# --- Import


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this process, and those it starts, on one core."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def compare_import(url: str, rows: int) -> None:
    app = Flask("import")
    FlaskBitmapist(app, {"BITMAPIST_REDIS_URL": url})
    state = app.extensions["bitmapist"]
    client: Any = redis.Redis.from_url(url)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.csv"
        write_rows(path, rows)
        start = time.perf_counter()
        importer = Importer(state)
        with CsvFile(str(path)) as source:
            lines = source.rows()
            while importer.add(islice(lines, BATCH_SIZE)):
                pass
        imported = (time.perf_counter() - start) / rows
        client.flushall()
        single = time_one_by_one(path, client)
    print(f"\nImport of {importer.summary.rows:,} rows of {USERS:,} users, one core:\n")
    print(f"{'':<34}{'s':>8}{'µs/row':>8}{'ratio':>8}")
    for name, each in (
        (f"bitmapist.mark_event (of {ONE_BY_ONE:,})", single),
        ("import", imported),
    ):
        times = single / each
        print(f"{name:<34}{each * rows:>8.1f}{each * 1e6:>8.1f}{times:>8.1f}")


def write_rows(path: Path, rows: int) -> None:
    chance = random.Random(1)
    first = datetime(2026, 1, 1, tzinfo=timezone.utc)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["user_id", "event", "timestamp"])
        for _ in range(rows):
            when = first + timedelta(seconds=chance.randrange(90 * 86400))
            user, event = chance.randrange(USERS), f"event:{chance.randrange(5)}"
            writer.writerow([user, event, when.isoformat()])


def time_one_by_one(path: Path, client: Any) -> float:
    with path.open(newline="") as file:
        rows = list(islice(csv.DictReader(file), ONE_BY_ONE))
    start = time.perf_counter()
    for row in rows:
        bitmapist.mark_event(
            row["event"],
            int(row["user_id"]),
            system=client,
            now=datetime.fromisoformat(row["timestamp"]),
        )
    return (time.perf_counter() - start) / len(rows)


if __name__ == "__main__":
    main()
