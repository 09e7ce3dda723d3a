"""The purchases of the CDNOW sample, for tests."""

from __future__ import annotations

import csv
import gzip
from datetime import datetime
from functools import lru_cache

from .inside import FILE
from .reference import Mark


@lru_cache
def marks() -> tuple[Mark, ...]:
    """All rows of the file."""
    with gzip.open(FILE, "rt") as lines:
        return tuple(
            Mark(
                row["event"],
                int(row["user_id"]),
                datetime.fromisoformat(row["timestamp"].replace("Z", "+00:00")),
            )
            for row in csv.DictReader(lines)
        )
