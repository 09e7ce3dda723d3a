"""Telling what becomes of marks: to counters, to signals and to the log."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from blinker import NamedSignal, Namespace

from ..analysis.errors import BadMarkError
from ..analysis.periods import IN_UTC
from .leftout import Tally
from .marks import Mark, moment_of

if TYPE_CHECKING:
    from .writer import Refused

# A message of the same kind is not logged again for so many seconds.
QUIET_SECONDS = 60.0
# Names of events may be made in requests; so many are remembered.
MOST_TOLD = 1000

logger = logging.getLogger("flask_bitmapist")


# --- Signals.  The sender is always the app.  Receivers run where the mark is made or
# flushed, which for the last of them may be a thread of this package, without an app
# context.  What they raise is logged.

_signals = Namespace()

event_marked = _signals.signal(
    "event-marked",
    """Sent for each mark that an app makes, when Redis has taken it or it waits.

    Args:
        event_name: The event.
        user_id: The user's id or key.
        now: When, in UTC.
        value: 1, or 0 if a mark was taken back.
    """,
)

event_dropped = _signals.signal(
    "event-dropped",
    """Sent for each mark that is lost.

    Args:
        event_name: The event.
        user_id: The user's id or key.
        now: When, in UTC; the hour if the moment is no longer known.
        value: 1 or 0.
        reason: Why: ``"full"``, ``"refused"``, ``"error"``, ``"exit"``, or ``"erased"``
            where the user was erased while it waited.
    """,
)

events_flushed = _signals.signal(
    "events-flushed",
    """Sent when marks that had waited are in Redis.

    Args:
        count: How many.
    """,
)

event_deleted = _signals.signal(
    "event-deleted",
    """Sent when the bitmaps of an event were deleted.

    Args:
        event_name: The event or flag; None for all of them.
        flag: Whether it was a flag.
        before: The day before which periods were deleted; None for all.
        keys: How many keys are gone.
    """,
)


def tell(signal: NamedSignal, sender: Any, **values: Any) -> None:
    """Send *signal*; an error of a receiver is logged and goes no further."""
    for receiver in signal.receivers_for(sender):
        try:
            receiver(sender, **values)
        except Exception:
            logger.exception("a receiver of %s failed", signal.name)


@dataclass
class Counters:
    """What this process has counted since it began.

    At rest, ``marked`` is ``written + merged + dropped`` and what still waits.
    """

    marked: int = 0
    """Marks that the app has made."""
    written: int = 0
    """Marks that Redis has taken, at once or later."""
    failed: int = 0
    """Marks that Redis did not take at the first try."""
    buffered: int = 0
    """Marks that were kept for later; in background mode all of a request's are."""
    merged: int = 0
    """Marks that changed nothing, as the same user's same event waited already."""
    flushed: int = 0
    """Marks that were kept, and written later."""
    recovered: int = 0
    """Marks of ended processes that were found in their files and written."""
    dropped: int = 0
    """Marks that are lost."""
    rejected: int = 0
    """Marks that could not be made, for a bad id, name or time."""
    anonymous: int = 0
    """Marks that were not made, as there was nobody to mark."""
    _lock: threading.Lock = field(
        default_factory=threading.Lock, repr=False, compare=False
    )

    def add(self, **counts: int) -> None:
        """Add to some of the counters."""
        values = self.__dict__
        with self._lock:
            for name, count in counts.items():
                values[name] += count

    def reset(self) -> None:
        """Begin anew, in a process that was forked from another."""
        self._lock = threading.Lock()
        for name in _NAMES:
            setattr(self, name, 0)

    def to_dict(self) -> dict[str, int]:
        """Return the counters in a form that goes into JSON."""
        with self._lock:
            return {name: getattr(self, name) for name in _NAMES}


_NAMES = tuple(each.name for each in fields(Counters) if each.name != "_lock")


class Reports:
    """What is told of the marks of one app.

    Args:
        sender: The app, as sender of the signals.
    """

    def __init__(self, sender: Any = None) -> None:
        self.counters = Counters()
        self.left_out = Tally(None)
        # Not to be kept by a thread that still writes, once it is gone.
        self._app: Callable[[], Any] = (
            weakref.ref(sender) if sender is not None else lambda: None
        )
        self._told: set[str] = set()
        self._logged: dict[str, float] = {}

    def written(self, marks: Sequence[Mark], refused: Sequence[Refused]) -> None:
        """Marks were sent: all but the refused ones are in Redis."""
        unusable, theirs = _by_whose_fault(refused)
        made = len(marks) - len(unusable)
        self.counters.add(marked=made, written=made - len(theirs))
        if event_marked.receivers:
            lost = {id(each.mark) for each in refused}
            self._announce([mark for mark in marks if id(mark) not in lost])
        self.unusable(unusable)
        if theirs:
            self._refused(theirs)

    def flushed(self, count: int, refused: Sequence[Refused]) -> None:
        """Marks that had waited were sent."""
        taken = count - len(refused)
        self.counters.add(written=taken, flushed=taken)
        tell(events_flushed, self._app(), count=taken)
        if refused:
            self._refused(refused)

    def recovered(self, count: int, refused: Sequence[Refused]) -> None:
        """Marks of an ended process were sent."""
        taken = count - len(refused)
        self.counters.add(recovered=taken)
        tell(events_flushed, self._app(), count=taken)
        if refused:
            self._refused(refused)

    def kept(self, marks: Sequence[Mark], merged: int, full: Sequence[Mark]) -> None:
        """Marks wait for Redis; there was no room for the *full* ones."""
        count = len(marks)
        self.counters.add(
            marked=count + merged + len(full), buffered=count, merged=merged
        )
        if event_marked.receivers:
            self._announce(marks)
        if full:
            self.lost(full, "full")
            self.log(
                logging.ERROR,
                "full",
                "events are being lost: the buffer (BITMAPIST_BUFFER_SIZE) is "
                "full; %d lost so far",
                self.counters.dropped,
            )

    def lost(self, marks: Sequence[Mark], reason: str) -> None:
        """Marks are gone; they were counted as marked before."""
        self.counters.add(dropped=len(marks))
        if event_dropped.receivers:
            sender = self._app()
            for mark in marks:
                tell(event_dropped, sender, **_values(mark), reason=reason)

    def unusable(self, refused: Sequence[Refused]) -> None:
        """Marks that have just been made are of users who can have no bit."""
        for mark, error in refused:
            self.rejected(error, mark.bits.event)

    def rejected(self, error: Exception, event: Any = None) -> None:
        """What was given for a mark makes none; told once for each kind and event.

        Args:
            error: What is wrong.
            event: What was to be marked, as far as that is known.
        """
        self.counters.add(rejected=1)
        self._left_out(error, event)

    def _left_out(self, error: Exception, event: Any) -> None:
        is_bad = isinstance(error, BadMarkError)
        kind = error.kind if isinstance(error, BadMarkError) else type(error).__name__
        self.left_out.add(kind)
        logger.debug("%r is not tracked: %s", event, error)
        what = f"{kind} {event!r}"
        if what in self._told or len(self._told) >= MOST_TOLD:
            return
        self._told.add(what)
        logger.warning(
            "%r is not tracked: %s; further ones of this kind (%s) are only counted",
            event,
            error,
            kind,
            # Of an error in the app's own code it matters where it is.
            exc_info=error.__cause__ if is_bad else error,
        )

    def share(self) -> None:
        """Let all processes know what was left out; to be called after a write."""
        self.left_out.share()

    def forked(self) -> None:
        """Begin anew in a child process."""
        self.counters.reset()
        self.left_out.reset()

    def damaged(self, path: Any, moved_to: Any, count: int, first: Exception) -> None:
        """Lines that an ended process has left behind cannot be read as marks."""
        self.counters.add(rejected=count)
        logger.error(
            "%d lines of %s are no events that can be written, and were moved to %s; "
            "the first: %s",
            count,
            path,
            moved_to,
            first,
        )

    def once(self, kind: str, message: str, *values: Any) -> None:
        """Log a warning, the first time for each kind."""
        if kind not in self._told:
            self._told.add(kind)
            logger.warning(message, *values)

    def log(
        self,
        level: int,
        kind: str,
        message: str,
        *values: Any,
        error: Exception | None = None,
    ) -> None:
        """Log a message, unless one of its kind was logged a short while ago.

        Args:
            level: How bad it is, as logging has it.
            kind: What it is about, in a word.
            message: The message.
            *values: What goes into it.
            error: An error whose traceback is logged too.
        """
        now = time.monotonic()
        if now - self._logged.get(kind, -QUIET_SECONDS) >= QUIET_SECONDS:
            self._logged[kind] = now
            logger.log(level, message, *values, exc_info=error)

    def _refused(self, refused: Sequence[Refused]) -> None:
        self.lost([each.mark for each in refused], "refused")
        unusable, theirs = _by_whose_fault(refused)
        for mark, error in unusable:
            self._left_out(error, mark.bits.event)
        for mark, error in theirs[:1]:
            self.once(
                f"refused {mark.bits.event}",
                "Redis refuses events named %r, which are lost: %s",
                mark.bits.event,
                error,
            )

    def _announce(self, marks: Sequence[Mark]) -> None:
        sender = self._app()
        for mark in marks:
            tell(event_marked, sender, **_values(mark))


def _by_whose_fault(
    refused: Sequence[Refused],
) -> tuple[list[Refused], list[Refused]]:
    """Return the marks of users who can have no bit, and those that Redis refused."""
    if not refused:
        return [], []
    ours = [each for each in refused if isinstance(each.error, BadMarkError)]
    theirs = [each for each in refused if not isinstance(each.error, BadMarkError)]
    return ours, theirs


def _values(mark: Mark) -> dict[str, Any]:
    calendar, at = mark.calendar or IN_UTC, datetime.now(tz=timezone.utc)
    if mark.at is not None:
        at = calendar.instant(calendar.wall(mark.at))
        if isinstance(mark.at, datetime) and mark.at.tzinfo is not None:
            at = mark.at
    elif mark.calendar is not None:
        at = datetime.fromtimestamp(mark.made, tz=timezone.utc)
    elif mark.bits.hour is not None:
        # A mark that has waited was made in another hour than this.
        at = max(min(at, _last_moment(mark.bits.hour)), moment_of(mark.bits.hour))
    return {
        "event_name": mark.bits.event,
        "user_id": mark.user,
        "now": at.astimezone(timezone.utc),
        "value": mark.value,
    }


def _last_moment(hour: int) -> datetime:
    return moment_of(hour).replace(minute=59, second=59, microsecond=999999)
