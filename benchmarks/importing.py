"""How many rows a second an import takes, beside another checkout of the package.

    python -m benchmarks.importing [--rows N] [--rounds N] [--other FOLDER]

Starts a redis-server of its own, which is emptied before each import.  The ways take
turns, each import in a process of its own; the best of the rounds is shown, as other
work of the machine only ever makes it slower.  Time is that of the command, without
Python's start.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from tests.servers import RedisProcess

HERE = Path(__file__).parents[1]

COMMAND = """
import resource, sys, time
from flask import Flask
from flask_bitmapist import FlaskBitmapist

for name in sys.argv[4:]:
    sys.modules[name] = None
app = Flask("import")
FlaskBitmapist(app, {"BITMAPIST_REDIS_URL": sys.argv[1]})
run = app.test_cli_runner()
run.invoke(args=["bitmapist", "import", sys.argv[2]])  # so that all is loaded
start = time.perf_counter()
result = run.invoke(args=["bitmapist", "import", sys.argv[3]])
seconds = time.perf_counter() - start
assert result.exit_code == 0, result.output
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(seconds, peak, result.stdout.rpartition("users, ")[2].strip())
"""


class Shape(NamedTuple):
    """What a file holds."""

    events: int
    days: int
    users: int
    packed: bool = False

    def __str__(self) -> str:
        packed = ", gzipped" if self.packed else ""
        return f"{self.events} events x {self.days} days x {self.users:,} users{packed}"


SHAPES = (
    Shape(10, 30, 100_000),
    Shape(10, 30, 1_000_000),
    Shape(10, 30, 1_000_000, packed=True),
    Shape(50, 90, 1_000_000),
    Shape(50, 90, 1_000_000, packed=True),
)


class Way(NamedTuple):
    """A checkout, and what is not to be found in it."""

    name: str
    folder: Path
    without: tuple[str, ...] = ()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--other", type=Path, help="another checkout to compare with")
    options = parser.parse_args()
    ways = [
        Way("with pyarrow", HERE),
        Way("without", HERE, ("pyarrow",)),
    ]
    if options.other:
        ways.append(Way(f"other ({options.other.name})", options.other))
    print(f"{options.rows:,} rows; millions of rows a second, peak of memory\n")
    with tempfile.TemporaryDirectory() as folder, RedisProcess() as server:
        small = write(Path(folder) / "small.csv", Shape(1, 1, 10), 10)
        for shape in SHAPES:
            path = write(Path(folder) / "rows.csv", shape, options.rows)
            print(shape)
            for name, line in timed(server, small, path, ways, options).items():
                print(f"  {name:<24}{line}", flush=True)


def timed(
    server: RedisProcess, small: Path, path: Path, ways: list[Way], options: Any
) -> Mapping[str, str]:
    best: dict[str, tuple[float, int, str]] = {}
    for _ in range(options.rounds):
        for way in random.sample(ways, len(ways)):
            with server.client() as client:
                client.flushall()
            found = run(server.url, small, path, way)
            best[way.name] = min(best.get(way.name, found), found)
    return {
        way.name: f"{options.rows / best[way.name][0] / 1e6:5.2f} M rows/s"
        f"{best[way.name][1]:>6} MiB  {best[way.name][2]}"
        for way in ways
    }


def run(url: str, small: Path, path: Path, way: Way) -> tuple[float, int, str]:
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, url, str(small), str(path), *way.without],
        cwd=way.folder,
        env={**os.environ, "PYTHONPATH": str(way.folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seconds, peak, told = done.stdout.split(" ", 2)
    return float(seconds), int(peak), told.strip()


def write(path: Path, shape: Shape, rows: int) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows_of(shape, rows))
    if not shape.packed:
        return path
    packed = path.with_suffix(".gz")
    with path.open("rb") as file, gzip.open(packed, "wb", compresslevel=6) as to:
        shutil.copyfileobj(file, to)
    return packed


def rows_of(shape: Shape, rows: int) -> Iterator[tuple[Any, ...]]:
    chance = random.Random(1)
    yield ("user_id", "event", "timestamp")
    first = date(2026, 1, 1)
    days = [(first + timedelta(days=day)).isoformat() for day in range(shape.days)]
    moments = [f"T{n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}Z" for n in range(86400)]
    for _ in range(rows):
        when = chance.choice(days) + moments[int(chance.random() * 86400)]
        event = f"event:{int(chance.random() * shape.events)}"
        yield int(chance.random() * shape.users), event, when


if __name__ == "__main__":
    main()
