"""The past of the shop: real purchases, replayed so that they end yesterday."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

from flask import Flask

from flask_bitmapist.capture.bulk import ImportSummary, import_rows

FILE = Path(__file__).parent / "data" / "cdnow_sample.csv.gz"
CUSTOMERS = 2_357
FIRST, LAST = date(1997, 1, 1), date(1998, 6, 30)


@dataclass(frozen=True)
class Replay:
    """What was replayed, and when it pretends to have been."""

    first: date
    last: date
    summary: ImportSummary


def replay(app: Flask) -> Replay:
    """Import the sample, shifted by whole days so that its last day is yesterday.

    Filling a store a second time on the same day changes nothing.
    """
    yesterday = datetime.now(tz=timezone.utc).date() - timedelta(days=1)
    shift = yesterday - LAST
    summary = import_rows(app.extensions["bitmapist"], _shifted(shift))
    return Replay(FIRST + shift, yesterday, summary)


def _shifted(shift: timedelta) -> Iterator[tuple[int, str, datetime]]:
    with gzip.open(FILE, "rt", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            at = datetime.fromisoformat(row["timestamp"].replace("Z", "+00:00"))
            yield int(row["user_id"]), row["event"], at + shift
