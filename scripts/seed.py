#!/usr/bin/env python
"""Fill a Redis with plausible synthetic events of the ``user:`` kind.

    python scripts/seed.py --users 10000 --days 90 --url redis://localhost:6379

Users sign up day by day.  How likely one comes back falls with the days since the
sign-up as a power of them, which is how retention curves fall; some users are keener
than others, and at weekends fewer come.  The same --seed gives the same events.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, timedelta, timezone

import numpy as np
from flask import Flask
from redis.exceptions import RedisError

from flask_bitmapist import ConfigError, FlaskBitmapist
from flask_bitmapist.capture.importing import import_rows
from flask_bitmapist.store.connect import redact

Row = tuple[int, str, datetime]

MOST_USERS = 10_000_000
MOST_DAYS = 3_650
MOST_SEED = 2**63 - 1

# Chances on a day on which a user comes.
OPTIONAL = {"user:logged_out": 0.6, "user:updated": 0.12, "user:invited": 0.04}
LEAVES = 0.002
COMES_BACK = 0.55
FADES = 0.55
AT_WEEKENDS = 0.7


def events(
    users: int, days: int, last: date, seed: int, first_id: int = 1
) -> Iterator[Row]:
    """Yield the events of *users* users over the *days* days that end with *last*."""
    random = np.random.default_rng(seed)
    ids = np.arange(first_id, first_id + users)
    born = np.sort(random.integers(0, days, users))
    keenness = random.gamma(2.0, 0.5, users)
    gone = np.zeros(users, dtype=bool)
    for number in range(days):
        day = last - timedelta(days=days - 1 - number)
        age = number - born
        chance = COMES_BACK * keenness * np.maximum(age, 1.0) ** -FADES
        chance *= AT_WEEKENDS if day.weekday() >= 5 else 1.0
        comes = (age == 0) | ((age > 0) & (random.random(users) < chance))
        active = ids[comes & ~gone]
        at = _moments(day, random, len(active))
        yield from zip(active.tolist(), ["user:logged_in"] * len(active), at)
        for user_id, moment in zip(ids[age == 0].tolist(), at):
            yield user_id, "user:created", moment
        for event, likely in OPTIONAL.items():
            does = random.random(len(active)) < likely
            for index in np.flatnonzero(does).tolist():
                yield int(active[index]), event, at[index]
        leaves = active[random.random(len(active)) < LEAVES]
        gone[leaves - first_id] = True
        for user_id, moment in zip(leaves.tolist(), at):
            yield user_id, "user:deleted", moment


def _moments(day: date, random: np.random.Generator, count: int) -> list[datetime]:
    midnight = datetime(day.year, day.month, day.day, tzinfo=timezone.utc)
    hours = np.clip(random.normal(14, 4, count), 0, 23).astype(int).tolist()
    return [midnight + timedelta(hours=hour) for hour in hours]


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a whole number from {least:,} to {most:,}"
            )
        return number

    return parse


def _counted(rows: Iterable[Row], counts: Counter[str]) -> Iterator[Row]:
    for row in rows:
        counts[row[1]] += 1
        yield row


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--users", type=_whole(1, MOST_USERS), default=10_000, help="how many sign up"
    )
    parser.add_argument(
        "--days", type=_whole(1, MOST_DAYS), default=90, help="how many, to today"
    )
    parser.add_argument(
        "--url", default="redis://localhost:6379", help="where the events are written"
    )
    parser.add_argument(
        "--seed", type=_whole(0, MOST_SEED), default=1, help="another gives others"
    )
    parser.add_argument("--hourly", action="store_true", help="keep hours as well")
    return parser


def main(arguments: list[str] | None = None) -> None:
    """Seed the Redis that the command line names."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.url.startswith("memory:"):
        parser.error("--url: memory:// would be gone when this script ends")
    app = Flask("seed")
    try:
        FlaskBitmapist(app, {"BITMAPIST_REDIS_URL": given.url})
    except ConfigError as error:
        parser.error(str(error))
    today = datetime.now(tz=timezone.utc).date()
    rows = events(given.users, given.days, today, given.seed)
    counts: Counter[str] = Counter()
    begun = time.perf_counter()
    try:
        summary = import_rows(
            app.extensions["bitmapist"],
            _counted(rows, counts),
            track_hourly=given.hourly,
        )
    except RedisError as error:
        raise SystemExit(
            f"Redis at {redact(given.url)} does not answer: {error}"
        ) from None
    print(
        f"{summary.written:,} events of {summary.users:,} users on {given.days:,} days "
        f"in {redact(given.url)}, in {time.perf_counter() - begun:.1f} s"
    )
    for event, count in counts.most_common():
        print(f"{count:>12,}  {event}")
    for reason, count in summary.reasons.items():
        print(f"{count:>12,}  left out: {reason}")


if __name__ == "__main__":
    main()
