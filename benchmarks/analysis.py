"""The engine against bitmapist and against the floor, side by side in one run.

    python -m benchmarks.analysis [--quick]

The floor is one MGET of the same bitmaps, with nothing computed from them.  All
figures are medians; the ratios are what counts, since machines differ and are noisy.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any
from unittest import mock

import bitmapist
import bitmapist.cohort
import numpy as np
import redis
from flask_bitmapist.analysis.trend import TrendQuery, trend

from flask_bitmapist import Event, Period, TimeGroup
from flask_bitmapist.analysis import counting
from flask_bitmapist.analysis.bitmaps import Source
from flask_bitmapist.analysis.funnel import FunnelQuery, funnel
from flask_bitmapist.analysis.lifecycle import LifecycleQuery, lifecycle
from flask_bitmapist.analysis.periods import last_periods
from flask_bitmapist.analysis.stickiness import StickinessQuery, stickiness
from flask_bitmapist.query import Query
from flask_bitmapist.questions.cohort import CohortAnswer
from flask_bitmapist.store.keys import redis_key
from flask_bitmapist.store.reader import BitmapReader
from tests.servers import RedisProcess

NOW = datetime.now(tz=timezone.utc)
A, B, C = Event("a"), Event("b"), Event("c")
SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
ROWS, COLS = 31, 13
TO_REACH = {  # users: (times faster than bitmapist, times the floor)
    10_000: (250, 3.0),
    100_000: (100, 3.0),
    1_000_000: (15, 2.0),
    10_000_000: (5, 1.5),
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="leave 10,000,000 out")
    options.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    options.add_argument("--url", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.peak:
        print_peak_memory(given.url, given.peak)
        return
    sizes = SIZES[:-1] if given.quick else SIZES
    with RedisProcess() as server:
        bitmapist.SYSTEMS["default"] = client = server.client()
        version = client.info("server")["redis_version"]
        print(f"redis-server {version}, Python {sys.version.split()[0]}, ", end="")
        print(f"numpy {np.__version__}, redis-py {redis.__version__}")
        counter = counting.fastest().package
        print(f"counting: {counter} {metadata.version(counter)}\n")
        against_bitmapist(client, sizes)
        yearly(client, sizes)
        other_analyses(client, sizes)
        growth(client)
        memory(server.url, client, sizes)
        counters(client, sizes)


# -- what is measured


def against_bitmapist(client: redis.Redis, sizes: Iterable[int]) -> None:
    print(f"(a) daily cohort, {ROWS} rows x {COLS} columns")
    header(
        "users", "bitmapist", "one MGET", "ours", "faster than", "floor x", "to reach"
    )
    for users in sizes:
        fill(client, users, TimeGroup.DAYS, ROWS)
        reader = BitmapReader(client)
        keys = keys_of(A, B, periods=last_periods(TimeGroup.DAYS, ROWS, NOW))
        theirs, floor, ours = side_by_side(
            users,
            lambda: bitmapist.cohort.get_dates_data(
                "a", "b", num_results=ROWS, num_of_rows=COLS - 1, as_percent=False
            ),
            lambda: client.mget(keys),
            lambda: daily_cohort(reader),
        )
        check_equal(client, reader)
        faster, limit = TO_REACH[users]
        row(
            f"{users:,}",
            ms(theirs),
            ms(floor),
            ms(ours),
            f"{theirs / ours:.0f}",
            f"{ours / floor:.2f}",
            f">= {faster}, <= {limit}",
        )


def yearly(client: redis.Redis, sizes: Iterable[int]) -> None:
    print("\n(b) yearly cohort, 3 rows x 3 columns (a year is read as twelve months)")
    header("users", "bitmapist", "one MGET", "ours", "faster than", "floor x")
    for users in sizes:
        fill(client, users, TimeGroup.MONTHS, 36)
        query = Query(BitmapReader(client))
        years = last_periods(TimeGroup.YEARS, 3, NOW)
        months = [part for year in years for part in year.parts()]
        keys = keys_of(A, B, periods=months)
        theirs, floor, ours = side_by_side(
            users,
            lambda: bitmapist.cohort.get_dates_data(
                "a", "b", time_group="years", num_of_rows=2, as_percent=False
            ),
            lambda: client.mget(keys),
            lambda: query.cohort(
                A, B, time_group="years", num_rows=3, num_cols=3, as_of=NOW
            ),
        )
        row(
            f"{users:,}",
            ms(theirs),
            ms(floor),
            ms(ours),
            f"{theirs / ours:.0f}",
            f"{ours / floor:.2f}",
        )


def other_analyses(client: redis.Redis, sizes: Iterable[int]) -> None:
    print("\n(c) the other analyses against one MGET of the bitmaps that they read")
    header("users", "trend", "trend, rolling 7+30", "stickiness", "lifecycle", "funnel")
    for users in sizes:
        fill(client, users, TimeGroup.DAYS, 60)
        reader = BitmapReader(client)
        questions: list[Callable[[Any], Any]] = [
            lambda at: trend(TrendQuery((A, B), NOW, num_periods=30), at),
            lambda at: trend(
                TrendQuery((A,), NOW, num_periods=30, rolling=(7, 30)), at
            ),
            lambda at: stickiness(StickinessQuery(A, NOW, 30), at),
            lambda at: lifecycle(LifecycleQuery(A, NOW, TimeGroup.DAYS, 30), at),
            lambda at: funnel(FunnelQuery((A, B, C), NOW, num_periods=30), at),
        ]
        row(f"{users:,}", *(against_floor(client, reader, users, q) for q in questions))


def against_floor(
    client: redis.Redis,
    reader: BitmapReader,
    users: int,
    question: Callable[[Any], Any],
) -> str:
    spy = Spy(reader)
    question(spy)
    keys = [redis_key(source) for source in spy.read]
    floor, ours = side_by_side(
        users, lambda: client.mget(keys), lambda: question(reader)
    )
    return f"{ours / floor:.2f} x ({ms(ours)}, {len(keys)} bitmaps)"


def growth(client: redis.Redis) -> None:
    print("\n(d) how the time of a daily cohort grows")
    header("", "smaller", "larger", "time x")
    reader = BitmapReader(client)
    steps = [
        ("users 100,000 -> 1,000,000", (100_000, ROWS, COLS), (1_000_000, ROWS, COLS)),
        ("rows 31 -> 124", (1_000_000, ROWS, COLS), (1_000_000, 4 * ROWS, COLS)),
        ("columns 13 -> 31", (1_000_000, ROWS, COLS), (1_000_000, ROWS, ROWS)),
    ]
    for name, small, large in steps:
        times = []
        for users, rows, cols in (small, large):
            fill(client, users, TimeGroup.DAYS, rows)
            (took,) = side_by_side(
                users, lambda rows=rows, cols=cols: daily_cohort(reader, rows, cols)
            )
            times.append(took)
        row(name, ms(times[0]), ms(times[1]), f"{times[1] / times[0]:.2f}")


def memory(url: str, client: redis.Redis, sizes: Iterable[int]) -> None:
    print(f"\n(e) extra peak memory of the {ROWS} x {COLS} cohort, in its own process")
    header("users", "bitmaps", "extra peak")
    for users in sizes:
        fill(client, users, TimeGroup.DAYS, ROWS)
        size = 2 * ROWS * users / 8 / 2**20
        command = [sys.executable, "-m", __spec__.name, "--url", url, "--peak"]
        told = subprocess.check_output([*command, str(users)], text=True)
        row(f"{users:,}", f"{size:,.1f} MiB", told.strip())


def counters(client: redis.Redis, sizes: Iterable[int]) -> None:
    print(f"\n(f) the {ROWS} x {COLS} cohort and a lifecycle, by what counts")
    faster = counting.fastest()
    header(
        "users",
        *("cohort: numpy", faster.package, "x"),
        *("lifecycle: numpy", faster.package, "x"),
    )
    for users in sizes:
        fill(client, users, TimeGroup.DAYS, 2 * ROWS)
        reader = BitmapReader(client)
        cells = []
        for question in (
            lambda: daily_cohort(reader),
            lambda: lifecycle(LifecycleQuery(A, NOW, TimeGroup.DAYS, 30), reader),
        ):
            slow, fast = side_by_side(
                users,
                counted_by(counting.NumpyCounting(), question),
                counted_by(faster, question),
            )
            cells += [ms(slow), ms(fast), f"{slow / fast:.2f}"]
        row(f"{users:,}", *cells)


def print_peak_memory(url: str, users: int) -> None:
    with redis.Redis.from_url(url) as client:
        reader = BitmapReader(client)
        # A first small question, so that what is loaded once does not count.
        Query(reader).cohort(C, time_group="days", num_rows=2, num_cols=2, as_of=NOW)
        before = peak_kib()
        daily_cohort(reader)
        print(f"{(peak_kib() - before) / 1024:,.1f} MiB")


def peak_kib() -> int:
    # Not getrusage: its maximum begins with that of the process that forked this one.
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


# -- how it is measured


class Spy:
    """Reads as another reader does, and remembers what."""

    def __init__(self, reader: BitmapReader) -> None:
        self._reader = reader
        self.read: list[Source] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def stripes(self, sources: Sequence[Source]) -> Any:
        parts = (part for source in sources for part in source.parts())
        self.read = list(dict.fromkeys(parts))
        return self._reader.stripes(sources)


def counted_by(
    counter: counting.Counting, question: Callable[[], Any]
) -> Callable[[], Any]:
    def asked() -> Any:
        with mock.patch.object(counting, "fastest", return_value=counter):
            return question()

    return asked


def daily_cohort(reader: Any, rows: int = ROWS, cols: int = COLS) -> CohortAnswer:
    return Query(reader).cohort(
        A, B, time_group="days", num_rows=rows, num_cols=cols, as_of=NOW
    )


def keys_of(*events: Event, periods: Sequence[Period]) -> list[bytes]:
    return [redis_key(Source(each.name, at)) for each in events for at in periods]


def fill(client: redis.Redis, users: int, group: TimeGroup, count: int) -> None:
    """Write bitmaps of *users* bits, a third of them set, for three events."""
    client.flushall()
    random = np.random.default_rng(users)
    months = {
        Period.containing(TimeGroup.MONTHS, each.start)
        for each in last_periods(group, count, NOW)
    }
    periods = {*last_periods(group, count, NOW), *months}
    for event in (A, B, C):
        for period in sorted(periods, key=lambda each: each.start):
            bits = random.random(users) < 1 / 3
            value = np.packbits(bits).tobytes()
            client.set(redis_key(Source(event.name, period)), value)


def side_by_side(users: int, *questions: Callable[[], Any]) -> list[float]:
    """Return the median seconds of each question, asked in turn over and over."""
    times: list[list[float]] = [[] for _ in questions]
    for question in questions:
        question()
    # What takes longer varies less.
    for _ in range(5 if users > 1_000_000 else 25 if users > 100_000 else 100):
        for question, taken in zip(questions, times):
            begun = time.perf_counter()
            question()
            taken.append(time.perf_counter() - begun)
    return [statistics.median(taken) for taken in times]


def check_equal(client: redis.Redis, reader: BitmapReader) -> None:
    """A fast wrong answer is worth nothing: compare with bitmapist's counts."""
    if datetime.now(tz=timezone.utc).date() != NOW.date():
        sys.exit(
            "A day has begun meanwhile, in which bitmapist already is: run it again."
        )
    theirs = bitmapist.cohort.get_dates_data(
        "a", "b", num_results=ROWS, num_of_rows=COLS - 1, as_percent=False
    )
    ours = daily_cohort(reader)
    for size, counts, (_, their_size, *their_counts) in zip(
        ours.sizes, ours.counts, theirs
    ):
        assert size == their_size
        begun = [count for count in counts if count is not None]
        assert begun == their_counts[: len(begun)], (begun, their_counts)


def ms(seconds: float) -> str:
    return f"{seconds * 1000:,.2f} ms"


def header(*cells: str) -> None:
    print("| " + " | ".join(cells) + " |")
    print("|" + " ---: |" * len(cells))


def row(*cells: str) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
