"""What a mark costs.

    python -m benchmarks.mark [--calls N] [--rounds N]

Starts a redis-server of its own.  A mark's cost is what a WSGI call takes longer than
that of the same view without any mark; the variants take turns, and the median of the
rounds is shown.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import bitmapist
import redis
from flask import Flask
from werkzeug.test import EnvironBuilder

from flask_bitmapist import FlaskBitmapist, mark
from tests.servers import RedisProcess

USERS = 100_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=1000, help="calls in a round")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    with RedisProcess() as server:
        compare_calls(server.url, options.calls, options.rounds)


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


if __name__ == "__main__":
    main()
