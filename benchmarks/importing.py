"""How many rows a second an import takes, beside another checkout of the package.

    python -m benchmarks.importing [--rows N] [--rounds N] [--other FOLDER]

Starts a redis-server of its own, which is emptied before each import.  The ways take
turns, each import in a process of its own; the best of the rounds is shown, as other
work of the machine only ever makes it slower.  Time is that of the command, without
Python's start.  Beside it stands how much of that the processor has worked, for the
import and for the server: what a machine with nothing else to do would take.

Then as many orders are backfilled from SQLite, and from PostgreSQL where it is
installed, twice, and compared with the same rows in a file.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import gzip
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from tests.servers import RedisProcess, find_postgres, postgres

HERE = Path(__file__).parents[1]

COMMAND = """
import resource, sys, time
from flask import Flask
from flask_bitmapist import FlaskBitmapist

url, small, arguments, without = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
for name in without:
    sys.modules[name] = None
app = Flask("import")
FlaskBitmapist(app, {"BITMAPIST_REDIS_URL": url})
run = app.test_cli_runner()
run.invoke(args=["bitmapist", "import", small])  # so that all is loaded
start, work = time.perf_counter(), time.process_time()
result = run.invoke(args=["bitmapist", *arguments.split("|")])
seconds, work = time.perf_counter() - start, time.process_time() - work
assert result.exit_code == 0, result.output
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(seconds, work, peak, result.stdout.rpartition("users, ")[2].strip())
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


class Run(NamedTuple):
    """What an import took."""

    seconds: float
    work: float
    """Seconds of the processor, of the import and of the server."""
    peak: int
    """MiB of memory."""
    told: str

    def told_of(self, rows: int) -> str:
        """Return it as text."""
        return (
            f"{rows / self.seconds / 1e6:5.2f}  of work alone "
            f"{rows / self.work / 1e6:5.2f}  {self.peak:4} MiB  {self.told}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--other", type=Path, help="another checkout to compare with")
    options = parser.parse_args()
    ways = [Way("with pyarrow", HERE), Way("without", HERE, ("pyarrow",))]
    if options.other:
        ways.append(Way(f"other ({options.other.name})", options.other))
    print(f"{options.rows:,} rows; millions of rows a second; peak of memory\n")
    with tempfile.TemporaryDirectory() as name, RedisProcess() as server:
        folder = Path(name)
        small = write(folder / "small.csv", Shape(1, 1, 10), 10)
        for shape in SHAPES:
            path = write(folder / "rows.csv", shape, options.rows)
            print(shape)
            arguments = ("import", str(path))
            best = timed(server, small, arguments, ways, options.rounds)
            for way, each in best.items():
                print(f"  {way:<22}{each.told_of(options.rows)}", flush=True)
        print("\nBackfill of as many orders of 100,000 customers over 90 days")
        compare_backfill(server, small, folder, options.rows)


def timed(
    server: RedisProcess,
    small: Path,
    arguments: Sequence[str],
    ways: Sequence[Way],
    rounds: int,
) -> Mapping[str, Run]:
    best: dict[str, Run] = {}
    for _ in range(rounds):
        for way in random.sample(ways, len(ways)):
            with server.client() as client:
                client.flushall()
            found = run(server, small, arguments, way)
            best[way.name] = min(best.get(way.name, found), found)
    return {way.name: best[way.name] for way in ways}


def run(server: RedisProcess, small: Path, arguments: Sequence[str], way: Way) -> Run:
    command = [sys.executable, "-c", COMMAND, server.url, str(small)]
    before = work_of(server)
    done = subprocess.run(
        [*command, "|".join(arguments), *way.without],
        cwd=way.folder,
        env={**os.environ, "PYTHONPATH": str(way.folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seconds, work, peak, told = done.stdout.split(" ", 3)
    of_server = work_of(server) - before
    return Run(float(seconds), float(work) + of_server, int(peak), told.strip())


def work_of(server: RedisProcess) -> float:
    with server.client() as client:
        found: Any = client.info("cpu")
    return float(found["used_cpu_user"]) + float(found["used_cpu_sys"])


def compare_backfill(
    server: RedisProcess, small: Path, folder: Path, rows: int
) -> None:
    orders = folder / "orders.csv"
    with orders.open("w", newline="") as file:
        csv.writer(file).writerows(orders_of(rows))
    columns = ("--user", "customer_id", "--time", "created_at")
    way = Way("", HERE)
    with server.client() as client:
        client.flushall()
    arguments = ("import", str(orders), *columns, "--always", "purchase")
    print(f"  {'file':<22}{run(server, small, arguments, way).told_of(rows)}")
    expected = dump(server)
    with contextlib.ExitStack() as stack:
        urls = {"SQLite": f"sqlite:///{folder / 'orders.sqlite'}"}
        if find_postgres() is not None:
            urls["PostgreSQL"] = stack.enter_context(postgres())
        for name, url in urls.items():
            fill(url, orders)
            with server.client() as client:
                client.flushall()
            arguments = ("backfill", "purchase", "orders", *columns, "--database", url)
            for again in ("", ", again"):
                took = run(server, small, arguments, way)
                assert dump(server) == expected
                print(f"  {name + again:<22}{took.told_of(rows)}", flush=True)


def dump(server: RedisProcess) -> Mapping[bytes, bytes | None]:
    with server.client() as client:
        found: Any = client.keys("trackist_purchase_*")
        values: Any = client.mget(found)
    return dict(zip(found, values))


def fill(url: str, orders: Path) -> None:
    import sqlalchemy

    engine = sqlalchemy.create_engine(url)
    metadata = sqlalchemy.MetaData()
    table = sqlalchemy.Table(
        "orders",
        metadata,
        sqlalchemy.Column("id", sqlalchemy.Integer, primary_key=True),
        sqlalchemy.Column("customer_id", sqlalchemy.Integer),
        sqlalchemy.Column("created_at", sqlalchemy.DateTime),
    )
    metadata.create_all(engine)
    with engine.begin() as connection, orders.open(newline="") as file:
        rows = csv.DictReader(file)
        while some := list(islice(rows, 10_000)):
            values = [
                {
                    "customer_id": int(row["customer_id"]),
                    "created_at": datetime.fromisoformat(row["created_at"]),
                }
                for row in some
            ]
            connection.execute(table.insert(), values)
    engine.dispose()


def orders_of(rows: int) -> Iterator[tuple[Any, ...]]:
    chance = random.Random(2)
    yield ("customer_id", "created_at")
    first = datetime(2026, 1, 1)
    for _ in range(rows):
        when = first + timedelta(seconds=int(chance.random() * 90 * 86400))
        yield int(chance.random() * 100_000), when.isoformat()


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
