"""The past of the shop: real purchases, replayed so that they end yesterday."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from flask import Flask

from flask_bitmapist.capture.importing import ImportSummary, import_rows

FILE = Path(__file__).parent / "data" / "cdnow_sample.csv.gz"
CUSTOMERS = 2_357
FIRST, LAST = date(1997, 1, 1), date(1998, 6, 30)

REPLAYED_TO = "flask-bitmapist-demo:replayed-to"
"""Key of the last day of the replay, so that no later start replays it elsewhere."""


@dataclass(frozen=True)
class Replay:
    """What was replayed, and when it pretends to have been."""

    first: date
    last: date
    summary: ImportSummary

    @property
    def ends_yesterday(self) -> bool:
        """Whether the store was filled today, not on a day before."""
        return self.last == yesterday()


def yesterday() -> date:
    """Return the day before today, in UTC."""
    return datetime.now(tz=timezone.utc).date() - timedelta(days=1)


def replay(app: Flask) -> Replay:
    """Import the sample, shifted by whole days so that its last day is yesterday.

    A store that was filled before keeps the days of that time: filling it again
    changes nothing.

    Raises:
        redis.exceptions.RedisError: The store does not answer.
    """
    state = app.extensions["bitmapist"]
    last = _last_day(state.systems["default"])
    shift = last - LAST
    return Replay(FIRST + shift, last, import_rows(state, _shifted(shift)))


def _last_day(client: Any) -> date:
    # The first start to come here decides; an interrupted fill is completed later.
    client.setnx(REPLAYED_TO, yesterday().isoformat())
    return date.fromisoformat(client.get(REPLAYED_TO).decode())


def _shifted(shift: timedelta) -> Iterator[tuple[int, str, datetime]]:
    with gzip.open(FILE, "rt", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            at = datetime.fromisoformat(row["timestamp"].replace("Z", "+00:00"))
            yield int(row["user_id"]), row["event"], at + shift
