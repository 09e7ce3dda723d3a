"""Signals that tell of marks; the sender is always the app.

Receivers run where the mark is made or flushed, which for the last two may be a
thread of this package, without an app context.  What they raise is logged.
"""

from __future__ import annotations

import logging
from typing import Any

from blinker import NamedSignal, Namespace

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
        reason: Why: ``"full"``, ``"refused"``, ``"error"`` or ``"exit"``.
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

_logger = logging.getLogger(__name__)


def tell(signal: NamedSignal, sender: Any, **values: Any) -> None:
    """Send *signal*; an error of a receiver is logged and goes no further."""
    for receiver in signal.receivers_for(sender):
        try:
            receiver(sender, **values)
        except Exception:
            _logger.exception("a receiver of %s failed", signal.name)
