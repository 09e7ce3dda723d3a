"""Writing many rows of users, events and times at once.

Rows come as blocks of columns.  What can be is done to whole columns by numpy, and the
rest to each different value once; whatever a column holds, a row is written or rejected
with a reason.  Rows gather as three small numbers each, until enough of them are sorted
by event, period and user, and their bits written.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone, tzinfo
from functools import cache
from itertools import count, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..analysis.errors import BadMarkError
from ..analysis.periods import IN_UTC, Calendar, shorten
from ..store.cuts import Cuts
from .bitwriter import BitWriter, Group, named
from .marks import bits_of, check_name, hour_of, moment_of

if TYPE_CHECKING:
    from ..analysis.results import User
    from ..state import BitmapistState
    from .recorder import Recorder

GATHERED = 2_000_000
"""Rows that are written together; they take some 100 bytes each."""
AT_ONCE = 8_000
"""Rows that are held as Python objects; of more, Python's garbage collector is slow."""
MOST_EVENTS = 1_000
"""Different events in an import, unless it is told to take more."""
MOST_EXAMPLES = 1_000
LONGEST_EXAMPLE = 200

FIRST_YEAR, LAST_YEAR = 1971, 2099
"""Times before and after are taken for mistakes: seconds read as milliseconds are in
the first weeks of 1970, and milliseconds read as seconds far beyond."""

ISO = "iso"
EPOCH = "epoch"
EPOCH_MS = "epoch-ms"

_MOST_REMEMBERED = 100_000

Numbers = NDArray[np.int64]
Row = Sequence[Any]
"""A user's id, an event's name, and a timestamp."""


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
    by_event: Counter[str] = field(default_factory=Counter)
    """How many rows were written, by event."""
    first: date | None = None
    """The first day in the rows written, in UTC; None without any."""
    last: date | None = None
    """The last day in them."""
    deleted: int = 0
    """Rows written that lie before the day up to which their event was deleted.  These
    users count as seen; the days stay blank."""
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
            "by_event": dict(self.by_event),
            "first": self.first.isoformat() if self.first else None,
            "last": self.last.isoformat() if self.last else None,
            "deleted": self.deleted,
        }


def import_rows(
    recorder_or_state: Recorder | BitmapistState,
    rows: Iterable[tuple[Any, str, datetime | date | str | float]],
    *,
    track_hourly: bool | None = None,
    time_format: str = ISO,
    time_zone: str | None = None,
    max_events: int = MOST_EVENTS,
    batch_size: int = GATHERED,
) -> ImportSummary:
    """Write the events of *rows*.

    Bits are only ever set, so that importing the same rows again changes nothing.
    Rows that cannot be used are counted and left out.

    Args:
        recorder_or_state: The app's state, ``app.extensions["bitmapist"]``, or its
            recorder.
        rows: Users, events and timestamps.  Those without an offset are taken as the
            app's clock shows them.
        track_hourly: Write hours as well; ``BITMAPIST_TRACK_HOURLY`` by default.
        time_format: How times are written that are no date or datetime: ``"iso"``,
            ``"epoch"`` (seconds since 1970), ``"epoch-ms"`` (milliseconds), or a
            format of :meth:`datetime.datetime.strptime`.
        time_zone: The zone of times without an offset, such as ``"UTC"``; the app's
            by default.
        max_events: Different events that are taken; rows of further ones are rejected.
        batch_size: Rows that are gathered before they are written.

    Returns:
        What has been done.

    Raises:
        redis.exceptions.RedisError: Redis does not take the rows.  Those of earlier
            batches are written; import all of them again once it does.
    """
    importer = Importer(
        recorder_or_state,
        track_hourly=track_hourly,
        time_format=time_format,
        time_zone=time_zone,
        max_events=max_events,
        batch_size=batch_size,
    )
    first, left = 1, iter(rows)
    while some := list(islice(left, AT_ONCE)):
        importer.add(Block.of_rows(range(first, first + len(some)), some))
        first += len(some)
    importer.finish()
    return importer.summary


class Column:
    """The values of one column, and what is done to all of them at once.

    Args:
        values: The values, of any kind.
    """

    def __init__(self, values: Sequence[Any]) -> None:
        self._values = values

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, place: int) -> Any:
        return self._values[place]

    def take(self, places: Numbers) -> Column:
        """Return the column of the values at these places."""
        return Column([self._values[place] for place in places.tolist()])

    def cut(self, length: int) -> Column:
        """Return the column of the first characters of each text."""
        return Column([text[:length] for text in self._values])

    def is_like(self, pattern: str) -> bool:
        """Return whether all values are texts that a regular expression describes.

        Args:
            pattern: What Python and RE2 read alike, and what no line feed fits.
        """
        try:
            text = "\n".join(self._values)
        except TypeError:
            return False
        return _whole_lines(pattern).fullmatch(f"{text}\n") is not None

    def integers(self) -> Numbers | None:
        """Return the values as numbers; None unless all are whole numbers from 0.

        Texts are digits alone, without needless zeros.
        """
        values = self._values
        kinds = set(map(type, values))
        try:
            if kinds == {str}:
                digits = "".join(values)
                if not (digits.isascii() and digits.isdigit()):
                    return None
                if "\n0" in "\n" + "\n".join(values) and any(
                    text[0] == "0" and len(text) > 1 for text in values
                ):
                    return None
                values = list(map(int, values))
            elif kinds != {int}:
                return None
            numbers = np.array(values, dtype=np.int64)
        except (ValueError, IndexError, OverflowError):
            return None
        return numbers if numbers.min() >= 0 else None

    def distinct(self) -> tuple[Sequence[Any], Numbers]:
        """Return the different values, and for each value its place among them."""
        values = self._values
        if len(set(map(type, values))) == 1:  # else True and 1 were one
            try:
                found = dict.fromkeys(values)
            except TypeError:
                pass  # lists, for example
            else:
                places = dict(zip(found, count()))
                return list(found), np.fromiter(
                    map(places.__getitem__, values), np.int64, len(values)
                )
        return values, np.arange(len(values))


class Block(NamedTuple):
    """Some rows, as columns of one length."""

    lines: Sequence[int]
    """Each row's line, or number."""
    users: Column
    events: Column
    times: Column
    broken: Sequence[tuple[int, Row, Exception]] = ()
    """Rows that lack a column, or cannot be read at all: their lines, and why."""

    @classmethod
    def of_rows(cls, lines: Sequence[int], rows: Sequence[Row]) -> Block:
        """Make a block of rows of three values; others are broken."""
        broken: list[tuple[int, Row, Exception]] = []
        if set(map(len, rows)) != {3}:
            broken = [
                (line, row, lacks_columns(row))
                for line, row in zip(lines, rows)
                if len(row) != 3
            ]
            kept = [each for each in zip(lines, rows) if len(each[1]) == 3]
            lines, rows = [line for line, _ in kept], [row for _, row in kept]
        users, events, times = zip(*rows) if rows else ((), (), ())
        return cls(lines, Column(users), Column(events), Column(times), broken)


class Importer:
    """Writes blocks of rows.

    Args:
        recorder_or_state: Whose events they are.
        track_hourly: Write hours as well; ``BITMAPIST_TRACK_HOURLY`` by default.
        time_format: As :func:`import_rows` takes it.
        time_zone: As :func:`import_rows` takes it.
        max_events: Different events that are taken.
        batch_size: Rows that are gathered before they are written.
        on_reject: Told of each row that is left out.

    Raises:
        ValueError: There is no such time format, or no such zone.
    """

    def __init__(
        self,
        recorder_or_state: Recorder | BitmapistState,
        *,
        track_hourly: bool | None = None,
        time_format: str = ISO,
        time_zone: str | None = None,
        max_events: int = MOST_EVENTS,
        batch_size: int = GATHERED,
        on_reject: Callable[[RejectedRow], None] | None = None,
    ) -> None:
        recorder: Any = getattr(recorder_or_state, "recorder", recorder_or_state)
        self._recorder: Recorder = recorder
        default = self._recorder.process.track_hourly
        self._hourly = default if track_hourly is None else track_hourly
        self._writer = BitWriter(self._recorder.shared_client)
        self._on_reject = on_reject
        self._times = _Times(time_format, time_zone)
        self._events = _Events(max_events)
        self._batch_size = batch_size
        self._gathered: list[tuple[NDArray[Any], ...]] = []
        self._number_gathered = 0
        self._seen_users = _Seen()
        self.summary = ImportSummary()

    def check_event(self, name: str) -> None:
        """Check the name of an event that many rows will have.

        Raises:
            BadMarkError: No event may be called so.
        """
        self._events.number(name)

    def add(self, block: Block) -> None:
        """Take one block, and write what has gathered if that is enough.

        Raises:
            redis.exceptions.RedisError: Redis does not take it.
        """
        self.summary.rows += len(block.lines) + len(block.broken)
        rejected = list(block.broken)
        columns = self._numbers(block, rejected) if len(block.lines) else None
        for each in sorted(rejected, key=itemgetter(0)):
            self._reject(*each)
        if columns is None:
            return
        kinds = (np.int32, np.int32, np.uint32)
        self._gathered.append(tuple(map(np.ndarray.astype, columns, kinds)))
        self._number_gathered += len(columns[0])
        if self._number_gathered >= self._batch_size:
            self.finish()

    def _numbers(
        self, block: Block, rejected: list[tuple[int, Row, Exception]]
    ) -> tuple[Numbers, ...]:
        """Return the events, hours and users of a block's rows that can be used."""
        client = self._recorder.shared_client
        assert client is not None  # an app has one
        hours = self._times.read(block.times, self._recorder.zones.stamped(client))
        events = _read_each(block.events, self._events.number)
        usable = (hours.numbers >= 0) & (events.numbers >= 0)
        users = self._bits(block.users, usable)
        usable &= users.numbers >= 0
        columns = (events.numbers, hours.numbers, users.numbers)
        if usable.all():
            return columns
        for place in np.flatnonzero(~usable).tolist():
            error = hours.error(place) or users.error(place) or events.error(place)
            row = (block.users[place], block.events[place], block.times[place])
            rejected.append((block.lines[place], row, error or ValueError("unusable")))
        return tuple(numbers[usable] for numbers in columns)

    def finish(self) -> None:
        """Write what has gathered.

        Raises:
            redis.exceptions.RedisError: Redis does not take it.
        """
        if not self._number_gathered:
            return  # no row could be used
        events, hours, users = map(np.concatenate, zip(*self._gathered))
        number = self._number_gathered
        self._gathered, self._number_gathered = [], 0
        self._write(events, hours, users)
        summary = self.summary
        summary.written += number
        summary.deleted += self._number_deleted(events, hours)
        rows_of = np.bincount(events)
        for each in np.flatnonzero(rows_of).tolist():
            summary.by_event[self._events.names[each]] += int(rows_of[each])
        summary.events = len(summary.by_event)
        summary.users += self._seen_users.add(users)
        days = _day(hours.min()), _day(hours.max())
        summary.first = min(days[0], summary.first or days[0])
        summary.last = max(days[1], summary.last or days[1])

    def _number_deleted(self, events: NDArray[Any], hours: NDArray[Any]) -> int:
        client = self._recorder.shared_client
        assert client is not None
        cuts = Cuts(client).known()
        return sum(
            int(np.count_nonzero((events == number) & (hours < first)))
            for number, name in enumerate(self._events.names)
            if name in cuts
            for first in [cuts[name].before.toordinal() * 24 - _FIRST_HOUR]
        )

    def _bits(self, column: Column, usable: NDArray[np.bool_]) -> _Read:
        """Find the bits of users: the one place where an import asks who they are.

        Keys that are new to the store get numbers, so only those of usable rows count.
        """
        identity = self._recorder.identity
        whole = column.integers()
        if whole is not None and identity.are_bits(largest := int(whole.max())):
            identity.warn_of_large(largest)
            return _Read(whole)
        where = np.flatnonzero(usable)
        values, places = column.take(where).distinct()
        keys: list[User | None] = []
        errors: dict[int, Exception] = {}
        for place, value in enumerate(values):
            try:
                keys.append(self._key(value))
            except (ValueError, TypeError) as error:
                keys.append(None)
                errors[place] = error
        found, refused = identity.bits(key for key in keys if key is not None)
        for place, key in enumerate(keys):
            if key in refused:
                errors[place] = refused[key]
        of_values = np.array(
            [-1 if key is None else found.get(key, -1) for key in keys], dtype=np.int64
        )
        numbers = np.full(len(usable), -1)
        at = np.full(len(usable), -1)
        numbers[where], at[where] = of_values[places], places
        return _Read(numbers, at, errors)

    def _key(self, user: Any) -> User:
        if isinstance(user, str):
            user = user.strip()
        key = None if user == "" else self._recorder.identity.key(user)
        if key is None:
            raise BadMarkError("no user", "the row has no user")
        return key

    def _write(
        self, events: NDArray[Any], hours: NDArray[Any], users: NDArray[Any]
    ) -> None:
        client = self._recorder.shared_client
        assert client is not None
        latest = moment_of(int(hours.max()) + _FIRST_HOUR)
        self._recorder.zones.expect(client, latest)
        slots = hours if self._hourly else hours // 24
        first = int(slots.min())
        span = int(slots.max()) - first + 1
        cells = events.astype(np.int64) * span + (slots - first)
        names = np.unique(cells) if int(cells.max()) >= 2**31 else None
        if names is not None:
            cells = np.searchsorted(names, cells)
        found = _distinct((cells << 32) | users)
        del cells, slots
        starts = _starts(found >> 32)
        own = found[starts] >> 32
        own = own if names is None else names[own]
        step = 1 if self._hourly else 24
        keys = [
            bits_of(
                self._events.names[cell // span],
                _FIRST_HOUR + (cell % span + first) * step,
                self._hourly,
                False,
            ).keys
            for cell in own.tolist()
        ]
        counts = np.diff(starts, append=len(found))
        found &= 0xFFFFFFFF
        # Months, weeks, days and hours one after the other, of all events.
        for of_group in zip(*keys):
            numbers = {
                key: number for number, key in enumerate(dict.fromkeys(of_group))
            }
            of_cells = np.array([numbers[key] for key in of_group])
            bits = _distinct((np.repeat(of_cells, counts) << 32) | found)
            bounds = [*_starts(bits >> 32).tolist(), len(bits)]
            bits &= 0xFFFFFFFF
            self._send(
                [
                    Group(key, bits[start:stop], 1)
                    for key, start, stop in zip(numbers, bounds, bounds[1:])
                ]
            )
        self._recorder.register(
            self._events.names[number]
            for number in np.flatnonzero(np.bincount(events)).tolist()
        )

    def _send(self, groups: Sequence[Group]) -> None:
        written = self._writer.write(groups)
        if written.errors:
            key, error = next(iter(written.errors.items()))
            raise named(key, error)
        self.summary.bits += written.new

    def _reject(self, line: int, row: Row, error: Exception) -> None:
        kind = error.kind if isinstance(error, BadMarkError) else "bad row"
        rejected = RejectedRow(line, str(error), row)
        self.summary.reasons[kind] += 1
        if len(self.summary.examples) < MOST_EXAMPLES:
            short = tuple(map(_shortened, row))
            self.summary.examples.append(RejectedRow(line, rejected.reason, short))
        if self._on_reject:
            self._on_reject(rejected)


def _day(hour: Any) -> date:
    """Return the day of an hour, counted from the first that is taken."""
    return moment_of(int(hour) + _FIRST_HOUR).date()


class _Read(NamedTuple):
    """What a column says: a number for each value, or why there is none."""

    numbers: Numbers
    """The numbers; -1 where there is none."""
    places: Numbers | None = None
    errors: dict[int, Exception] = {}  # noqa: RUF012 - never changed
    """Why values cannot be used, by their place among the different ones."""

    def error(self, place: int) -> Exception | None:
        """Return why there is no number at a place, if so."""
        if self.places is None:
            return None
        return self.errors.get(int(self.places[place]))


def _read_each(column: Column, read: Callable[[Any], int]) -> _Read:
    """Read each different value once."""
    values, places = column.distinct()
    numbers = np.empty(len(values), dtype=np.int64)
    errors: dict[int, Exception] = {}
    for place, value in enumerate(values):
        try:
            numbers[place] = read(value)
        except (ValueError, TypeError) as error:
            numbers[place] = -1
            errors[place] = error.with_traceback(None)
    return _Read(numbers[places], places, errors)


class _Events:
    """Gives numbers to the names of events.

    Args:
        most: How many there may be.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._numbers: dict[str, int] = {}
        self._remembered: dict[Any, int] = {}
        self.names: list[str] = []

    def number(self, name: Any) -> int:
        """Return the number of an event.

        White space around a name does not belong to it, and letters that are composed
        of several characters are the same as those that are one.

        Raises:
            BadMarkError: No event may be called so, or there are too many.
        """
        number = self._remembered.get(name) if isinstance(name, str) else None
        if number is not None:
            return number
        if isinstance(name, str):
            clean = unicodedata.normalize("NFC", name.strip())
        else:
            clean = name
        clean = check_name(clean)
        number = self._numbers.get(clean)
        if number is None:
            number = len(self.names)
            if number >= self._most:
                raise BadMarkError(
                    "too many events",
                    f"there are more than {self._most:,} different events before "
                    f"{shorten(repr(clean))}; if that is meant, raise --max-events "
                    "(max_events)",
                )
            self._numbers[clean] = number
            self.names.append(clean)
        if len(self._remembered) < _MOST_REMEMBERED:
            self._remembered[name] = number
        return number


class _Seen:
    """Counts different users, at a bit for each number that there may be."""

    def __init__(self) -> None:
        # Memory that is never touched is never taken.
        self._bits = np.zeros(2**29, dtype=np.uint8)

    def add(self, users: NDArray[np.uint32]) -> int:
        """Return how many of *users* were not seen before."""
        users = _distinct(users)
        places, bits = users >> 3, (128 >> (users & 7)).astype(np.uint8)
        new = int(np.count_nonzero((self._bits[places] & bits) == 0))
        np.bitwise_or.at(self._bits, places, bits)
        return new


def _distinct(numbers: NDArray[Any]) -> NDArray[Any]:
    """Sort numbers, in place, and return the different ones."""
    numbers.sort()
    return numbers[_starts(numbers)]


def _starts(numbers: NDArray[Any]) -> Numbers:
    """Return where runs of the same number start."""
    is_start = np.ones(len(numbers), dtype=np.bool_)
    np.not_equal(numbers[1:], numbers[:-1], out=is_start[1:])
    return np.flatnonzero(is_start)


def lacks_columns(row: Row) -> Exception:
    """Return why a row cannot be used that has too few values, or too many."""
    return ValueError(f"the row has {len(row)} of the 3 values that it needs")


def _shortened(value: Any) -> Any:
    # A thousand examples are kept, of what may be any text.
    if isinstance(value, str) and len(value) > LONGEST_EXAMPLE:
        return value[: LONGEST_EXAMPLE - 1] + "…"
    return value


@cache
def _whole_lines(pattern: str) -> re.Pattern[str]:
    # Atomic and possessive: nothing is tried again, and no memory is kept for it.
    return re.compile(f"(?>(?:{pattern})\n)*+", re.ASCII)


# --- Times

# datetime.fromisoformat takes more than this: weeks, and any letter for the T, so that
# 1710110812345 is a day in the year 1710.
_ISO = re.compile(
    r"(\d{4})-?(\d\d)-?(\d\d)"
    r"(?:[T ](\d\d)(?::?(\d\d)(?::?(\d\d)(?:[.,]\d+)?)?)?"
    r"\s?(Z|UTC|GMT|([+-])(\d\d):?(\d\d)?)?)?",
    re.IGNORECASE | re.ASCII,
)
# Where it is as the clock shows it, the first 13 characters say the hour; where it is
# in UTC, the first 16 say all that another clock's hour depends on.
_TIME = r":[0-5][0-9](?::[0-5][0-9](?:\.[0-9]+)?)?"
_IN_UTC = "(?: ?(?:Z|UTC)|[+-]00(?::?00)?)"
_ISO_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_ISO_LOCAL = f"{_ISO_DAY}(?:[T ][0-9]{{2}}(?:{_TIME})?)?"
_ISO_LOCAL_OR_UTC = f"{_ISO_DAY}(?:[T ][0-9]{{2}}(?:{_TIME})?{_IN_UTC}?)?"
_ISO_IN_UTC = f"{_ISO_DAY}[T ][0-9]{{2}}{_TIME}{_IN_UTC}"
_TO_THE_HOUR = 13
_TO_THE_MINUTE = 16

# Hours are kept as small numbers: from the first that is taken.
_FIRST_HOUR = date(FIRST_YEAR, 1, 1).toordinal() * 24
_HOURS = date(LAST_YEAR + 1, 1, 1).toordinal() * 24 - _FIRST_HOUR
_HOURS_BEFORE = _FIRST_HOUR - date(1970, 1, 1).toordinal() * 24

_SINCE = datetime(1970, 1, 1, tzinfo=timezone.utc)
# What a format that tells the hour has.
_WITH_HOURS = ("%H", "%I", "%c", "%X")
_PER_HOUR = {EPOCH: 3_600, EPOCH_MS: 3_600_000}
_NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)


class _Times:
    """Reads times that are written in one format.

    Args:
        time_format: As :func:`import_rows` takes it.
        time_zone: As :func:`import_rows` takes it.

    Raises:
        ValueError: There is no such format, or no such zone.
    """

    def __init__(self, time_format: str, time_zone: str | None = None) -> None:
        if time_format not in (ISO, *_PER_HOUR) and "%" not in time_format:
            raise ValueError(
                f"there is no time format {time_format!r}; use {ISO}, {EPOCH}, "
                f"{EPOCH_MS}, or what strptime takes, such as '%d.%m.%Y %H:%M'"
            )
        self._format = time_format
        self._zone = None if time_zone is None else _zone_of(time_zone)
        self._calendar = IN_UTC
        self._remembered: dict[Any, int] = {}

    def read(self, column: Column, calendar: Calendar) -> _Read:
        """Return the hours of times, counted from the first that is taken.

        Args:
            column: The times.
            calendar: Whose hours.
        """
        if calendar != self._calendar:
            self._calendar = calendar
            self._remembered.clear()
        per_hour = _PER_HOUR.get(self._format)
        if per_hour is not None:
            numbers = column.integers()
            if numbers is not None:
                hours = numbers // per_hour - _HOURS_BEFORE
                # A day is left at both ends, for clocks that are ahead or behind.
                if hours.min() >= 24 and hours.max() < _HOURS - 24:
                    return _Read(self._shown(numbers, hours, per_hour))
        elif self._format == ISO:
            plain = _ISO_LOCAL_OR_UTC if calendar.is_utc else _ISO_LOCAL
            if column.is_like(plain) and self._zone is None:
                column = column.cut(_TO_THE_HOUR)
            elif column.is_like(_ISO_LOCAL):
                column = column.cut(_TO_THE_MINUTE)
            elif column.is_like(_ISO_IN_UTC):
                column = column.cut(_TO_THE_MINUTE)
                return _read_each(column, lambda text: self._hour(f"{text}Z"))
        return _read_each(column, self._hour)

    def _shown(self, numbers: Numbers, hours: Numbers, per_hour: int) -> Numbers:
        """Return the hours that the clock shows at times since 1970."""
        if self._calendar.is_utc:
            return hours
        # No offset since 1970 has more than half a minute.
        slots, places = np.unique(numbers // (per_hour // 120), return_inverse=True)
        shown = [
            hour_of(_SINCE + timedelta(seconds=30 * slot), self._calendar) - _FIRST_HOUR
            for slot in slots.tolist()
        ]
        return np.array(shown, dtype=np.int64)[places]

    def _hour(self, when: Any) -> int:
        hour = self._remembered.get(when) if isinstance(when, str) else None
        if hour is None:
            hour = hour_in(when, self._format, self._calendar, self._zone)
            hour -= _FIRST_HOUR
            if not 0 <= hour < _HOURS:
                raise _bad_time(
                    f"{_shown(when)} is not in the years {FIRST_YEAR} to {LAST_YEAR}"
                    f"{self._advice()}"
                )
            if isinstance(when, str):
                if len(self._remembered) >= _MOST_REMEMBERED:
                    self._remembered.clear()
                self._remembered[when] = hour
        return hour

    def _advice(self) -> str:
        if self._format == ISO:
            return ""
        return f" when it is read as {self._format}; see --time-format (time_format)"


def hour_in(
    when: Any,
    time_format: str = ISO,
    calendar: Calendar = IN_UTC,
    zone: tzinfo | None = None,
) -> int:
    """Return the number of the hour of a timestamp, see :func:`marks.hour_of`.

    Args:
        when: A date or a datetime, also a number or a text in the format.  Without an
            offset it is taken as the clock shows it.
        time_format: As :func:`import_rows` takes it.
        calendar: Whose hours.
        zone: The zone of what has no offset, where that is not the calendar's.

    Raises:
        BadMarkError: It is none, or is outside the calendar.
    """
    try:
        if isinstance(when, date):
            return hour_of(_in_zone(when, zone), calendar)
        if isinstance(when, str):
            when = when.strip()
        if time_format in _PER_HOUR:
            return _epoch_hour(when, _PER_HOUR[time_format], calendar)
        if not isinstance(when, str):
            raise _bad_time(f"{_shown(when)} is not a timestamp")
        if time_format == ISO:
            return hour_of(_in_zone(_iso(when), zone), calendar)
        moment: datetime | date = datetime.strptime(when, time_format)
        if not any(part in time_format for part in _WITH_HOURS):
            moment = moment.date()  # type: ignore[union-attr]
        return hour_of(_in_zone(moment, zone), calendar)
    except OverflowError:
        raise _bad_time(f"{_shown(when)} is outside the calendar") from None
    except ValueError as error:
        if isinstance(error, BadMarkError):
            raise
        raise _bad_time(
            f"{_shown(when)} is not a timestamp written as {time_format!r}"
        ) from None


def _epoch_hour(when: Any, per_hour: int, calendar: Calendar) -> int:
    if isinstance(when, str) and _NUMBER.fullmatch(when) and len(when) < 40:
        when = float(when)
    if isinstance(when, bool) or not isinstance(when, (int, float)):
        raise _bad_time(f"{_shown(when)} is not a number of seconds or milliseconds")
    hour = int(when // per_hour) + _FIRST_HOUR - _HOURS_BEFORE
    if not _FIRST_HOUR <= hour < _FIRST_HOUR + _HOURS:
        return hour  # in no zone is it one that is taken, or on the edge of them
    seconds = int(when // (per_hour // 3600))
    return hour_of(_SINCE + timedelta(seconds=seconds), calendar)


def _in_zone(moment: datetime | date, zone: tzinfo | None) -> datetime | date:
    """Return a moment of a zone, if it has none of its own; a day stays that day."""
    if zone is None or not isinstance(moment, datetime) or moment.tzinfo is not None:
        return moment
    return moment.replace(tzinfo=zone)


def _zone_of(name: str) -> tzinfo:
    try:
        return Calendar(name).instant(_SINCE).tzinfo or timezone.utc
    except (LookupError, ValueError, OSError):
        raise ValueError(
            f"this system knows no time zone {name!r}; use an IANA name such as "
            "'Europe/Berlin'"
        ) from None


def _iso(text: str) -> datetime | date:
    found = _ISO.fullmatch(text)
    if not found:
        advice = ""
        if _NUMBER.fullmatch(text):
            advice = f"; for seconds since 1970 use --time-format {EPOCH}, for "
            advice += f"milliseconds {EPOCH_MS}"
        raise _bad_time(f"{_shown(text)} is not an ISO 8601 timestamp{advice}")
    *numbers, zone, sign, hours, minutes = found.groups(default="")
    try:
        moment = datetime(*(int(number or 0) for number in numbers))  # type: ignore[arg-type]
    except ValueError as error:
        raise _bad_time(f"{_shown(text)} is not a timestamp: {error}") from None
    if not numbers[3]:
        return moment.date()
    if not sign:
        return moment if not zone else moment.replace(tzinfo=timezone.utc)
    offset = timedelta(hours=int(hours), minutes=int(minutes or 0))
    zone_info = timezone(-offset if sign == "-" else offset)
    return moment.replace(tzinfo=zone_info)


def _shown(when: Any) -> str:
    return repr(when[:40]) if isinstance(when, str) else shorten(repr(when))


def _bad_time(message: str) -> BadMarkError:
    return BadMarkError("bad timestamp", message)
