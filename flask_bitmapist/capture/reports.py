"""Telling what becomes of marks: to the counters, to signals and to the log."""

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ..analysis.errors import BadMarkError
from . import signals
from .bits import Mark, moment_of
from .counters import Counters
from .leftout import Tally

if TYPE_CHECKING:
    from .writer import Refused

# A message of the same kind is not logged again for so many seconds.
QUIET_SECONDS = 60.0
# Names of events may be made in requests; so many are remembered.
MOST_TOLD = 1000

logger = logging.getLogger("flask_bitmapist")


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

    @property
    def _sender(self) -> Any:
        return self._app()

    def written(self, marks: Sequence[Mark], refused: Sequence[Refused]) -> None:
        """Marks were sent: all but the refused ones are in Redis."""
        unusable, theirs = _by_whose_fault(refused)
        made = len(marks) - len(unusable)
        self.counters.add(marked=made, written=made - len(theirs))
        if signals.event_marked.receivers:
            lost = {id(each.mark) for each in refused}
            self._announce([mark for mark in marks if id(mark) not in lost])
        self.unusable(unusable)
        self._refused(theirs)

    def flushed(self, count: int, refused: Sequence[Refused]) -> None:
        """Marks that had waited were sent."""
        taken = count - len(refused)
        self.counters.add(written=taken, flushed=taken)
        signals.tell(signals.events_flushed, self._sender, count=taken)
        self._refused(refused)

    def recovered(self, count: int, refused: Sequence[Refused]) -> None:
        """Marks of an ended process were sent."""
        taken = count - len(refused)
        self.counters.add(recovered=taken)
        signals.tell(signals.events_flushed, self._sender, count=taken)
        self._refused(refused)

    def kept(self, marks: Sequence[Mark], merged: int, full: Sequence[Mark]) -> None:
        """Marks wait for Redis; there was no room for the *full* ones."""
        count = len(marks)
        self.counters.add(marked=count + merged + len(full), buffered=count)
        if merged:
            self.counters.add(merged=merged)
        if signals.event_marked.receivers:
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
        if signals.event_dropped.receivers:
            for mark in marks:
                signals.tell(
                    signals.event_dropped, self._sender, **_values(mark), reason=reason
                )

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

    def once(self, kind: str, message: str, *values: Any) -> None:
        """Log a warning, the first time for each kind."""
        if kind not in self._told:
            self._told.add(kind)
            logger.warning(message, *values)

    def log(self, level: int, kind: str, message: str, *values: Any) -> None:
        """Log a message, unless one of its kind was logged a short while ago."""
        now = time.monotonic()
        if now - self._logged.get(kind, -QUIET_SECONDS) >= QUIET_SECONDS:
            self._logged[kind] = now
            logger.log(level, message, *values)

    def _refused(self, refused: Sequence[Refused]) -> None:
        if not refused:
            return
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
        for mark in marks:
            signals.tell(signals.event_marked, self._sender, **_values(mark))


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
    at = mark.at
    if at is None:
        at = datetime.now(tz=timezone.utc)
        if mark.bits.hour is not None:
            # A mark that has waited was made in another hour than this.
            at = max(min(at, _last_moment(mark.bits.hour)), moment_of(mark.bits.hour))
    return {
        "event_name": mark.bits.event,
        "user_id": mark.user,
        "now": at,
        "value": mark.value,
    }


def _last_moment(hour: int) -> datetime:
    return moment_of(hour).replace(minute=59, second=59, microsecond=999999)
