"""The sample: real purchases, replayed so that they end yesterday.

It is put into an empty store alone, so that it can be taken out again: bits do not tell
who has set them.
"""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..store.idmap import MOST_AT_ONCE, IdMap
from .deletion import Deletion, plan_deletion
from .importing import ImportSummary, import_rows
from .marks import bits_of, hour_of

if TYPE_CHECKING:
    from ..state import BitmapistState

FILE = Path(__file__).parents[1] / "data" / "cdnow_sample.csv.gz"
CUSTOMERS = 2_357
FIRST, LAST = date(1997, 1, 1), date(1998, 6, 30)
EVENTS = ("purchase", "multi", "big")

REPLAYED_TO = "flask-bitmapist:sample"
"""Key of the last day of the replay, so that no later one replays it elsewhere."""


class SampleError(Exception):
    """The sample cannot be put in, or be taken out."""


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


def replay(state: BitmapistState) -> Replay:
    """Import the sample, shifted by whole days so that its last day is yesterday.

    A store that was filled before keeps the days of that time: filling it again
    changes nothing, and completes what was interrupted.

    Args:
        state: The app's.

    Raises:
        redis.exceptions.RedisError: The store does not answer.
    """
    client = state.store.client
    # The first to come here decides.
    client.set(REPLAYED_TO, yesterday().isoformat(), nx=True)
    last = _replayed_to(state) or yesterday()
    shift = last - LAST
    return Replay(FIRST + shift, last, import_rows(state, _rows(shift)))


def fill(state: BitmapistState) -> Replay:
    """Put the sample into an empty store, see :func:`replay`.

    Raises:
        SampleError: The store holds other events.
        redis.exceptions.RedisError: The store does not answer.
    """
    is_empty = not IdMap(state.store.client).has_marks()
    if is_empty:
        # What was deleted in other ways may be of days long gone.
        state.store.client.delete(REPLAYED_TO)
    elif _replayed_to(state) is None:
        raise SampleError(
            "this store is not empty, and the sample could not be told from what is in "
            "it; use another Redis database, such as redis://localhost:6379/1"
        )
    return replay(state)


def take_out(state: BitmapistState) -> int:
    """Take the sample out of a store, and leave everything else.

    Returns:
        How many bitmaps are gone.

    Raises:
        SampleError: It is not there, or other users have done what is called the same;
            then nothing is taken out.
        redis.exceptions.RedisError: The store does not answer; do it again.
    """
    last = _replayed_to(state)
    if last is None:
        raise SampleError("the sample is not in this store")
    plans = [plan_deletion(state, event) for event in EVENTS]
    others = _others(state, plans, last - LAST)
    if others:
        raise SampleError(
            f"others than the sample's customers have done {', '.join(others)}, or on "
            "other days, so nothing was taken out; 'flask bitmapist delete EVENT' "
            "deletes all that is called so"
        )
    gone = sum(plan.carry_out() for plan in plans)
    IdMap(state.store.client).undecide()
    state.store.client.delete(REPLAYED_TO)
    return gone


def _replayed_to(state: BitmapistState) -> date | None:
    day = state.store.client.get(REPLAYED_TO)
    if day is None:
        return None
    return date.fromisoformat(day.decode() if isinstance(day, bytes) else str(day))


def _rows(shift: timedelta) -> Iterator[tuple[int, str, datetime]]:
    with gzip.open(FILE, "rt", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            at = datetime.fromisoformat(row["timestamp"])
            yield int(row["user_id"]), row["event"], at + shift


def _others(
    state: BitmapistState, plans: list[Deletion], shift: timedelta
) -> list[str]:
    """Return the events of the sample that others have done too."""
    numbers = _numbers(state)
    expected: defaultdict[bytes, set[int]] = defaultdict(set)
    for user, event, at in _rows(shift):
        if user in numbers:
            for key in bits_of(event, hour_of(at), True, False).keys:
                expected[key].add(numbers[user])
    return [
        str(plan.event)
        for plan in plans
        if any(
            _users(state.store.client.get(each.key)) - expected[each.key]
            for each in plan.keys
        )
    ]


def _numbers(state: BitmapistState) -> dict[int, int]:
    """Return the bits of the sample's customers, of those who have one."""
    found: dict[int, int] = {}
    customers = range(1, CUSTOMERS + 1)
    for at in range(0, CUSTOMERS, MOST_AT_ONCE):
        some = customers[at : at + MOST_AT_ONCE]
        stamp, numbers = IdMap(state.store.client).look([str(each) for each in some])
        for place, user in enumerate(some):
            number = numbers[place] if numbers else user
            if number is None and user <= stamp.above:
                number = user
            if number is not None:
                found[user] = number
    return found


def _users(bitmap: object) -> set[int]:
    if not isinstance(bitmap, bytes):
        return set()
    bits = np.unpackbits(np.frombuffer(bitmap, dtype=np.uint8))
    return set(np.flatnonzero(bits).tolist())
