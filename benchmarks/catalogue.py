"""What it takes to know which events there are, in a store with many keys.

    python -m benchmarks.catalogue [--against FOLDER] [--names N] [--days N]

The keys are those of plain bitmapist, so that only a walk over all of them finds the
names.  Each figure is the median of fresh processes; with another checkout in FOLDER,
its processes take turns with ours.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import redis

from tests.servers import RedisProcess

NAMES, DAYS, TURNS = 10_000, 47, 5
HERE = Path(__file__).parent.parent

PROCESS = """
import json, sys, time
from flask import Flask
from flask_bitmapist import FlaskBitmapist

app = Flask("measured")
app.config.update(BITMAPIST_REDIS_URL=sys.argv[1], BITMAPIST_ACCESS="public")
FlaskBitmapist(app)
names, client = app.extensions["bitmapist"].catalogue.names, app.test_client()
look = names if sys.argv[2] == "names" else lambda: client.get("/bitmapist/events")
taken = []
for _ in range(2):
    start = time.perf_counter()
    look()
    taken.append(time.perf_counter() - start)
found = len(names())
print(json.dumps([*taken, found]))
"""


def main() -> None:
    """Measure, and print the figures."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--against", type=Path, default=None)
    options.add_argument("--names", type=int, default=NAMES)
    options.add_argument("--days", type=int, default=DAYS)
    given = options.parse_args()
    checkouts = {"ours": HERE}
    if given.against is not None:
        checkouts["the other"] = given.against
    with RedisProcess() as server, server.client() as client:
        fill(client, given.names, given.days)
        print(f"{given.names:,} names, {client.dbsize():,} keys; medians of {TURNS}")
        for what, title in ("names", "all names"), ("page", "Events as HTML"):
            taken: dict[tuple[str, str], list[float]] = {}
            for _ in range(TURNS):
                for checkout, folder in checkouts.items():
                    forget(client)
                    for process in ("first", "next"):
                        first, again, found = run(folder, server.url, what)
                        assert found == given.names
                        taken.setdefault((checkout, f"{process} process"), []).append(
                            first
                        )
                    taken.setdefault((checkout, "asked again"), []).append(again)
            for (checkout, when), seconds in sorted(taken.items()):
                median = statistics.median(seconds) * 1000
                print(f"  {title:<16}{checkout:<12}{when:<16}{median:9.1f} ms")


def fill(client: redis.Redis, names: int, days: int) -> None:
    """Write the keys of each name on each day."""
    for day in range(days):
        pipeline = client.pipeline(transaction=False)
        for number in range(names):
            date = f"2026-{day // 28 + 1}-{day % 28 + 1}"
            pipeline.set(f"trackist_event:{number}_{date}", b"\x80")
        pipeline.execute()


def forget(client: redis.Redis) -> None:
    """Let nobody have looked for names before."""
    own = list(client.scan_iter(match="flask-bitmapist:*", count=100_000))
    if own:
        client.delete(*own)


def run(folder: Path, url: str, what: str) -> tuple[float, float, int]:
    """Ask twice in a fresh process: return both times, and how many names there are."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", PROCESS, url, what],
        env=environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        check=True,
    )
    first, again, found = json.loads(done.stdout)
    return first, again, found


if __name__ == "__main__":
    main()
