"""The engine against bitmapist and against the floor, side by side in one run.

    python -m benchmarks.analysis [--quick] [--only PART] [--other FOLDER]

The floor is a bare pipeline of GETs of the same bitmaps, by redis-py and hiredis, with
nothing computed from them.  All figures are medians, of questions asked in turn; the
ratios are what counts, since machines differ and are noisy.  With another checkout of
the package, only that one and this one are compared, in two processes that take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import bitmapist
import bitmapist.cohort
import numpy as np
import redis

from flask_bitmapist import Event, Period, TimeGroup
from flask_bitmapist.analysis import counting
from flask_bitmapist.analysis.expressions import Source
from flask_bitmapist.analysis.periods import Calendar, last_periods
from flask_bitmapist.query import Query
from flask_bitmapist.questions.cohort import CohortAnswer
from flask_bitmapist.store.connect import open_client
from flask_bitmapist.store.keys import redis_key
from flask_bitmapist.store.reader import BitmapReader
from tests.servers import RedisProcess

NOW = datetime.now(tz=timezone.utc)
A, B, C = Event("a"), Event("b"), Event("c")
SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
ROWS, COLS = 31, 13
# Times the floor, by what counts: up to 100,000 users, and above.
TO_REACH = {"numkong": (2.2, 2.2), "numpy": (2.8, 4.5)}
WAITING_SECONDS = 3.0


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="leave 10,000,000 out")
    options.add_argument("--only", choices=PARTS, help="measure one part alone")
    options.add_argument("--other", type=Path, help="another checkout to compare with")
    for name in ("--alone", "--url", "--users", "--counting"):
        options.add_argument(name, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.alone:
        ALONE[given.alone](given.url, int(given.users), given.counting)
        return
    sizes = SIZES[:-1] if given.quick else SIZES
    if given.other:
        compare(given.other, sizes)
        return
    with RedisProcess() as server:
        bitmapist.SYSTEMS["default"] = client = server.client()
        version = client.info("server")["redis_version"]
        print(f"redis-server {version}, Python {sys.version.split()[0]}, ", end="")
        print(f"numpy {np.__version__}, redis-py {redis.__version__}, ", end="")
        print(f"hiredis {metadata.version('hiredis')}, counting: ", end="")
        print(", ".join(f"{name} {metadata.version(name)}" for name in ways()) + "\n")
        for name, measure in PARTS.items():
            if given.only in (None, name):
                measure(server.url, client, sizes)


def ways() -> list[str]:
    """Return what can count here."""
    return list(dict.fromkeys(["numpy", counting.fastest().package]))


# -- what is measured


def daily(url: str, client: redis.Redis, sizes: Iterable[int]) -> None:
    print(
        f"(a) daily cohort, {ROWS} rows x {COLS} columns; each line of its own process"
    )
    header(
        *("users", "counts", "bitmapist", "floor", "ours"),
        *("faster than bitmapist", "floor x", "to reach"),
    )
    for users in sizes:
        fill(client, users, TimeGroup.DAYS, ROWS)
        check_equal(daily_cohort(BitmapReader(client)))
        for way in ways():
            theirs, floor, ours = json.loads(alone("cohort", url, users, way))
            limit = TO_REACH[way][users > 100_000]
            row(
                *(f"{users:,}", way, ms(theirs), ms(floor), ms(ours)),
                *(f"{theirs / ours:.0f}", f"{ours / floor:.2f}", f"<= {limit}"),
            )


def print_cohort(url: str, users: int, way: str) -> None:
    """Print the seconds of bitmapist, of the floor and of ours."""
    if way == "numpy":
        # As where the other one is not installed.
        sys.modules["numkong"] = None  # type: ignore[assignment]
    assert counting.fastest().package == way
    with opened(url) as client:
        bitmapist.SYSTEMS["default"] = client
        keys = keys_of(A, B, periods=last_periods(TimeGroup.DAYS, ROWS, NOW))
        reader = BitmapReader(client)
        (theirs,) = side_by_side(
            1_000_001,
            lambda: bitmapist.cohort.get_dates_data(
                "a", "b", num_results=ROWS, num_of_rows=COLS - 1, as_percent=False
            ),
        )
        fetched = side_by_side(
            users, lambda: get_all(client, keys), lambda: daily_cohort(reader)
        )
        print(json.dumps([theirs, *fetched]))


def yearly(client: redis.Redis, sizes: Iterable[int]) -> None:
    print("\n(b) yearly cohort, 3 rows x 3 columns (a year is read as twelve months)")
    header("users", "bitmapist", "floor", "ours", "faster than", "floor x")
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
            lambda: get_all(client, keys),
            lambda query=query: query.cohort(
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
    print("\n(c) the other analyses against the floor of the bitmaps that they read")
    header("users", "trend", "trend, rolling 7+30", "stickiness", "lifecycle", "funnel")
    for users in sizes:
        fill(client, users, TimeGroup.DAYS, 60)
        reader = BitmapReader(client)
        questions: list[Callable[[Any], Any]] = [
            lambda at: Query(at).trend([A, B], num_periods=30, as_of=NOW),
            lambda at: Query(at).trend([A], num_periods=30, rolling=[7, 30], as_of=NOW),
            lambda at: Query(at).stickiness(A, num_days=30, as_of=NOW),
            lambda at: Query(at).lifecycle(
                A, time_group="days", num_periods=30, as_of=NOW
            ),
            lambda at: Query(at).funnel([A, B, C], num_periods=30, as_of=NOW),
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
        users, lambda: get_all(client, keys), lambda: question(reader)
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
            (took,) = side_by_side(users, lambda: daily_cohort(reader, rows, cols))
            times.append(took)
        row(name, ms(times[0]), ms(times[1]), f"{times[1] / times[0]:.2f}")


def segments(client: redis.Redis, sizes: Iterable[int]) -> None:
    print(f"\n(g) daily cohort, {ROWS} rows x {COLS} columns, of segments")
    header("users", "everyone", "one segment", "six segments", "times one", "to reach")
    for users in sizes:
        fill(client, users, TimeGroup.DAYS, ROWS)
        names = [f"flag(s{number})" for number in range(6)]
        group = np.random.default_rng(users).integers(0, len(names), users)
        for number in range(len(names)):
            value = np.packbits(group == number).tobytes()
            client.set(redis_key(Source(f"s{number}", None)), value)
        reader = BitmapReader(client)
        everyone, one, six = side_by_side(
            users,
            lambda reader=reader: daily_cohort(reader),
            lambda reader=reader: daily_cohort(reader, segments=names[:1]),
            lambda reader=reader: daily_cohort(reader, segments=names),
        )
        cells = (f"{users:,}", ms(everyone), ms(one), ms(six), f"{six / one:.2f}")
        row(*cells, "<= 3")


def memory(url: str, client: redis.Redis, sizes: Iterable[int]) -> None:
    print(f"\n(e) extra peak memory of the {ROWS} x {COLS} cohort, in its own process")
    header("users", "bitmaps", "extra peak")
    for users in sizes:
        fill(client, users, TimeGroup.DAYS, ROWS)
        size = 2 * ROWS * users / 8 / 2**20
        row(f"{users:,}", f"{size:,.1f} MiB", alone("peak", url, users).strip())


def print_peak_memory(url: str, users: int, _way: str) -> None:
    with opened(url) as client:
        reader = BitmapReader(client)
        # A first small question, so that what is loaded once does not count.
        Query(reader).cohort(C, time_group="days", num_rows=2, num_cols=2, as_of=NOW)
        before = peak_kib()
        daily_cohort(reader)
        print(f"{(peak_kib() - before) / 1024:,.1f} MiB")


# What is asked, in a way that checkouts since 1.0 understand.
TURNS = """
import sys, time
from redis import Redis
from flask_bitmapist import Event
from flask_bitmapist.query import Query
from flask_bitmapist.store.reader import BitmapReader
query = Query(BitmapReader(Redis.from_url(sys.argv[1])))
a, b, c = map(Event, "abc")
each = {"returned": "each"}
try:
    query.cohort(a, b, num_rows=1, num_cols=1, **each)
except TypeError:
    each = {"with_replacement": True}
daily = {"time_group": "days"}
questions = {
    "cohort": lambda: query.cohort(a, b, num_rows=31, num_cols=13, **daily, **each),
    "cohort, first time": lambda: query.cohort(
        a, b, num_rows=31, num_cols=13, first_time=True, **daily, **each
    ),
    "trend": lambda: query.trend([a, b], num_periods=30, **daily),
    "trend, rolling": lambda: query.trend(
        [a], num_periods=30, rolling=[7, 30], **daily
    ),
    "stickiness": lambda: query.stickiness(a, num_days=30, window="month"),
    "lifecycle": lambda: query.lifecycle(a, num_periods=30, **daily),
    "funnel": lambda: query.funnel([a, b, c], num_periods=30, window=7, **daily),
    "count": lambda: query.count(a, "weeks"),
}
for asked in sys.stdin:
    question = questions[asked.strip()]
    begun = time.perf_counter()
    question()
    print(time.perf_counter() - begun, flush=True)
"""
QUESTIONS = re.findall(r'^    "(.+)": lambda', TURNS, re.MULTILINE)


def compare(other: Path, sizes: Iterable[int]) -> None:
    print(f"The time of each question, as times that of {other.name}")
    header("users", *QUESTIONS)
    with RedisProcess() as server, ExitStack() as stack:
        sides = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", TURNS, server.url],
                    cwd=folder,
                    env={**os.environ, "PYTHONPATH": str(folder.resolve())},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for folder in (other, Path.cwd())
        ]

        def asked(side: subprocess.Popen[str], question: str) -> float:
            assert side.stdin is not None
            assert side.stdout is not None
            print(question, file=side.stdin, flush=True)
            return float(side.stdout.readline())

        for users in sizes:
            fill(server.client(), users, TimeGroup.DAYS, 60)
            cells = []
            for question in QUESTIONS:
                turns = 12 if users > 1_000_000 else 40 if users > 100_000 else 150
                times = [
                    [asked(side, question) for side in sides] for _ in range(turns)
                ]
                theirs, ours = map(statistics.median, zip(*times))
                cells.append(f"{ours / theirs:.2f} ({ms(ours)})")
            row(f"{users:,}", *cells)


def waits(url: str, client: redis.Redis) -> None:
    users, events = 10_000_000, 12
    print(f"\n(f) SETBITs of another client; {events} x 30 bitmaps of {users:,} users")
    client.flushall()
    value = np.random.default_rng(1).bytes(users // 8)
    periods = last_periods(TimeGroup.DAYS, 30, NOW)
    names = [Event(f"event {number}") for number in range(events)]
    sources = [Source(each.name, period) for each in names for period in periods]
    for source in sources:
        client.set(redis_key(source), value)
    keys = list(map(redis_key, sources))
    reader = BitmapReader(client)

    def count_at_once() -> None:
        pipeline = client.pipeline(transaction=False)
        for key in keys:
            pipeline.bitcount(key)  # type: ignore[arg-type]
        pipeline.execute()

    header("meanwhile", "takes", "SETBIT: median", "p99", "max")
    for name, question in (
        ("nothing", lambda: time.sleep(0.1)),
        ("one pipeline of BITCOUNTs", count_at_once),
        ("the same counts by the reader", lambda: reader.counts(sources)),
        ("the same bitmaps, read", lambda: [None for _ in reader.stripes(sources)]),
    ):
        other = subprocess.Popen(
            command_alone("setbit", url, users), stdout=subprocess.PIPE, text=True
        )
        assert other.stdout is not None
        other.stdout.readline()  # it has begun
        taken = []
        while other.poll() is None:
            begun = time.perf_counter()
            question()
            taken.append(time.perf_counter() - begun)
        found = json.loads(other.stdout.read())
        row(name, ms(statistics.median(taken)), *map(ms, found))


def print_setbit(url: str, users: int, _way: str) -> None:
    """Print the median, the 99th percentile and the maximum of SETBIT's seconds."""
    with opened(url) as client:
        taken = []
        end = time.perf_counter() + WAITING_SECONDS
        print("begun", flush=True)
        while (begun := time.perf_counter()) < end:
            client.setbit("other", users, 1)
            taken.append(time.perf_counter() - begun)
            time.sleep(0.0005)
        taken.sort()
        print(
            json.dumps([taken[len(taken) // 2], taken[-len(taken) // 100], taken[-1]])
        )


def weeks_of_sunday(client: redis.Redis, users: int = 1_000_000) -> None:
    print(
        "\n(h) weekly cohort, 12 x 12: weeks from Sunday are the unions of seven days"
    )
    header("users", "from Monday", "from Sunday", "times", "to reach")
    fill(client, users, TimeGroup.DAYS, 91)
    for event in (A, B):
        for week in last_periods(TimeGroup.WEEKS, 12, NOW):
            days = [redis_key(Source(event.name, day)) for day in week.days()]
            target = redis_key(Source(event.name, week))
            client.bitop("OR", target, *days)  # type: ignore[arg-type]

    def weekly(start: str) -> Callable[[], CohortAnswer]:
        calendar = Calendar("UTC", start)
        query = Query(BitmapReader(client), clock=lambda: (calendar, None, None))
        return lambda: query.cohort(
            A, B, time_group="weeks", num_rows=12, num_cols=12, as_of=NOW
        )

    monday, sunday = side_by_side(users, weekly("monday"), weekly("sunday"))
    row(f"{users:,}", ms(monday), ms(sunday), f"{sunday / monday:.1f}", "<= 8")


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

    def stripes(self, sources: Sequence[Source], passes: int = 0) -> Any:
        parts = (part for source in sources for part in source.parts())
        self.read = list(dict.fromkeys([*self.read, *parts]))
        return self._reader.stripes(sources, passes)


ALONE = {"cohort": print_cohort, "peak": print_peak_memory, "setbit": print_setbit}
"""What is measured in a process of its own."""


PARTS: dict[str, Callable[[str, redis.Redis, Sequence[int]], None]] = {
    "daily": daily,
    "yearly": lambda url, client, sizes: yearly(client, sizes),
    "others": lambda url, client, sizes: other_analyses(client, sizes),
    "growth": lambda url, client, sizes: growth(client),
    "segments": lambda url, client, sizes: segments(client, sizes),
    "memory": memory,
    "waits": lambda url, client, sizes: waits(url, client),
    "sunday": lambda url, client, sizes: weeks_of_sunday(client),
}
"""What is measured, in the order in which it is told."""


def command_alone(what: str, url: str, users: int, way: str = "") -> list[str]:
    assert __spec__ is not None
    command = [sys.executable, "-m", __spec__.name, "--alone", what, "--url", url]
    return [*command, "--users", str(users), "--counting", way]


def alone(what: str, url: str, users: int, way: str = "") -> str:
    """Measure something in a new process, and return what it prints."""
    return subprocess.check_output(command_alone(what, url, users, way), text=True)


def opened(url: str) -> redis.Redis:
    return open_client(url, connect_timeout=5, timeout=60)


def get_all(client: redis.Redis, keys: Iterable[bytes]) -> None:
    """Fetch whole bitmaps, the usual way: the floor."""
    pipeline = client.pipeline(transaction=False)
    for key in keys:
        pipeline.get(key)  # type: ignore[arg-type]
    pipeline.execute()


def daily_cohort(
    at: Any, rows: int = ROWS, cols: int = COLS, segments: Sequence[str] = ()
) -> CohortAnswer:
    return Query(at).cohort(
        *(A, B),
        time_group="days",
        num_rows=rows,
        num_cols=cols,
        as_of=NOW,
        segments=segments,
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


def check_equal(ours: CohortAnswer) -> None:
    """A fast wrong answer is worth nothing: compare with bitmapist's counts."""
    if datetime.now(tz=timezone.utc).date() != NOW.date():
        sys.exit(
            "A day has begun meanwhile, in which bitmapist already is: run it again."
        )
    theirs = bitmapist.cohort.get_dates_data(
        "a", "b", num_results=ROWS, num_of_rows=COLS - 1, as_percent=False
    )
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
