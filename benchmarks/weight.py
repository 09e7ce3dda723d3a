"""What the extension adds to the start of an app that only marks, in time and memory.

    python -m benchmarks.weight [--turns N]

Each figure is of fresh processes that take turns; ratios are medians of the turns'
ratios to ``import flask, redis``, so that what else the machine does counts little.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys

from tests.servers import RedisProcess

TURNS = 21
TO_REACH = 1.3

BASE = "import flask, redis"
APP = """
import sys
from flask import Flask
from flask_bitmapist import FlaskBitmapist, mark_event
app = Flask("marking")
app.config["BITMAPIST_REDIS_URL"] = sys.argv[1]
bitmapist = FlaskBitmapist(app)
bitmapist.define("engaged", "song:played and not flag(staff)")
with app.app_context():
    mark_event("song:played", 1)
"""
VARIANTS = {
    "import flask, redis": BASE,
    "  and bitmapist itself": f"{BASE}, bitmapist",
    "an app that defines and marks": APP,
    "  and has asked a question": f"{APP}\nbitmapist.query.count('song:played')",
}


def main() -> None:
    """Measure, and print the figures."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--turns", type=int, default=TURNS)
    turns = options.parse_args().turns
    seconds: dict[str, list[float]] = {name: [] for name in VARIANTS}
    memory: dict[str, list[float]] = {name: [] for name in VARIANTS}
    with RedisProcess() as server:
        for turn in range(turns + 1):
            for name, code in VARIANTS.items():
                taken, mebibytes = run(code, server.url)
                if turn:  # the first fills the caches of files
                    seconds[name].append(taken)
                    memory[name].append(mebibytes)
    base, *_ = VARIANTS
    print(f"medians of {turns} turns, processor time; to reach {TO_REACH}")
    for name in VARIANTS:
        ratios = [each / of for each, of in zip(seconds[name], seconds[base])]
        print(
            f"  {name:<32}{statistics.median(seconds[name]) * 1000:7.0f} ms"
            f"  x {statistics.median(ratios):.2f}"
            f"{statistics.median(memory[name]):8.1f} MiB"
        )


def run(code: str, url: str) -> tuple[float, float]:
    """Return the processor time of a fresh process in seconds, and its peak in MiB."""
    process = subprocess.Popen([sys.executable, "-c", code, url])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"a measured process failed with {process.returncode}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
