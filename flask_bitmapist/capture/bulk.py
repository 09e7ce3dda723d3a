"""Writing many marks at once: rows of users, events and times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from ..analysis.errors import BadMarkError
from .marks import bits_of, check_name
from .timestamps import hour_in
from .writer import BitWriter, Group, named

if TYPE_CHECKING:
    from ..analysis.results import User
    from ..state import BitmapistState
    from .recorder import Recorder

BATCH_SIZE = 100_000
MOST_EXAMPLES = 1000
LONGEST_EXAMPLE = 200

Row = Sequence[Any]
"""A user's id, an event's name, and a timestamp."""


class _Read(NamedTuple):
    """A row that can be used, if its user can have a bit."""

    user: User
    event: str
    hour: int
    line: int
    row: Row


@dataclass(frozen=True)
class RejectedRow:
    """One row that was left out."""

    line: int
    """Its line in the file, or its number in the rows given, from 1."""
    reason: str
    row: Row


@dataclass
class ImportSummary:
    """What an import has done."""

    rows: int = 0
    """Rows read."""
    written: int = 0
    """Rows that are in Redis now."""
    bits: int = 0
    """Bits that were not set before; none when all rows had been imported already."""
    events: int = 0
    """Different events in the rows written."""
    users: int = 0
    """Different users in the rows written."""
    reasons: Counter[str] = field(default_factory=Counter)
    """How many rows were rejected, by kind of reason."""
    examples: list[RejectedRow] = field(default_factory=list)
    """The first rows rejected, at most 1000, with long texts in them cut short."""

    @property
    def rejected(self) -> int:
        """Rows that were left out."""
        return sum(self.reasons.values())

    def to_dict(self) -> dict[str, Any]:
        """Return the figures in a form that goes into JSON."""
        return {
            "rows": self.rows,
            "written": self.written,
            "rejected": self.rejected,
            "reasons": dict(self.reasons),
            "bits": self.bits,
            "events": self.events,
            "users": self.users,
        }


def import_rows(
    recorder_or_state: Recorder | BitmapistState,
    rows: Iterable[tuple[int | str, str, datetime | date | str]],
    *,
    track_hourly: bool | None = None,
    batch_size: int = BATCH_SIZE,
) -> ImportSummary:
    """Write the events of *rows*.

    Bits are only ever set, so that importing the same rows again changes nothing.
    Rows that cannot be used are counted and left out.

    Args:
        recorder_or_state: The app's state, ``app.extensions["bitmapist"]``, or its
            recorder.
        rows: Users, events and timestamps.  Those without an offset are in UTC.
        track_hourly: Write hours as well; ``BITMAPIST_TRACK_HOURLY`` by default.
        batch_size: Rows that are gathered before they are written; they are all held
            in memory.

    Returns:
        What has been done.

    Raises:
        redis.exceptions.RedisError: Redis does not take the rows.  Those of earlier
            batches are written; import all of them again once it does.
    """
    importer = Importer(recorder_or_state, track_hourly=track_hourly)
    numbered = enumerate(rows, start=1)
    while importer.add(islice(numbered, batch_size)):
        pass
    return importer.summary


class Importer:
    """Writes rows batch by batch.

    Args:
        recorder_or_state: Whose events they are.
        track_hourly: Write hours as well; ``BITMAPIST_TRACK_HOURLY`` by default.
        on_reject: Told of each row that is left out.
    """

    def __init__(
        self,
        recorder_or_state: Recorder | BitmapistState,
        *,
        track_hourly: bool | None = None,
        on_reject: Callable[[RejectedRow], None] | None = None,
    ) -> None:
        recorder: Any = getattr(recorder_or_state, "recorder", recorder_or_state)
        self._recorder: Recorder = recorder
        default = self._recorder.process.track_hourly
        self._hourly = default if track_hourly is None else track_hourly
        self._writer = BitWriter(self._recorder.shared_client)
        self._on_reject = on_reject
        self._events: set[str] = set()
        self._users: set[int] = set()
        self.summary = ImportSummary()

    def add(self, rows: Iterable[tuple[int, Row]]) -> int:
        """Write one batch of numbered rows and return how many were read."""
        before = self.summary.rows
        groups, written = self._group(rows)
        self._write(groups)
        summary = self.summary
        summary.written += written
        self._events.update(event for event, _ in groups)
        self._users.update(*groups.values())
        summary.events = len(self._events)
        summary.users = len(self._users)
        return summary.rows - before

    def _group(
        self, rows: Iterable[tuple[int, Row]]
    ) -> tuple[dict[tuple[str, int], set[int]], int]:
        """Return who did what in which hour, or day if hours are not kept."""
        read = self._read(rows)
        found, refused = self._recorder.identity.bits(each.user for each in read)
        groups: dict[tuple[str, int], set[int]] = {}
        written = 0
        for user, event, hour, line, row in read:
            if user in refused:
                self._reject(line, row, refused[user])
                continue
            groups.setdefault((event, hour), set()).add(found[user])
            written += 1
        return groups, written

    def _read(self, rows: Iterable[tuple[int, Row]]) -> list[_Read]:
        key_of = self._recorder.identity.key
        step = 1 if self._hourly else 24
        found = []
        read = 0
        for line, row in rows:
            read += 1
            try:
                user, event, when = row
                hour = hour_in(when)
                key = key_of(user)
                if key is None:
                    raise BadMarkError("not an id", "the row has no user")
                name = check_name(event)
                found.append(_Read(key, name, hour - hour % step, line, row))
            except (ValueError, TypeError) as error:
                self._reject(line, row, error)
        self.summary.rows += read
        return found

    def _write(self, groups: dict[tuple[str, int], set[int]]) -> None:
        numbers_of: dict[bytes, set[int]] = {}
        for (event, hour), numbers in groups.items():
            for redis_key in bits_of(event, hour, self._hourly, False).keys:
                numbers_of.setdefault(redis_key, set()).update(numbers)
        written = self._writer.write(
            [
                # The largest first: the bitmap gets its final length at once.
                Group(redis_key, sorted(numbers, reverse=True), 1)
                for redis_key, numbers in numbers_of.items()
            ]
        )
        if written.errors:
            key, error = next(iter(written.errors.items()))
            raise named(key, error)
        self.summary.bits += written.new
        self._recorder.register(event for event, _ in groups)

    def _reject(self, line: int, row: Row, error: Exception) -> None:
        kind, reason = "bad row", str(error)
        if isinstance(error, BadMarkError):
            kind = error.kind
        elif len(row) != 3:
            reason = f"the row has {len(row)} of the 3 values that it needs"
        rejected = RejectedRow(line, reason, row)
        self.summary.reasons[kind] += 1
        if len(self.summary.examples) < MOST_EXAMPLES:
            short = tuple(map(_shortened, row))
            self.summary.examples.append(RejectedRow(line, reason, short))
        if self._on_reject:
            self._on_reject(rejected)


def _shortened(value: Any) -> Any:
    # A thousand examples are kept, of what may be any text.
    if isinstance(value, str) and len(value) > LONGEST_EXAMPLE:
        return value[: LONGEST_EXAMPLE - 1] + "…"
    return value
