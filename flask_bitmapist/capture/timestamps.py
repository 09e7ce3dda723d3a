"""Reading ISO 8601 timestamps, on every Python alike."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone
from typing import Any

from ..analysis.errors import BadMarkError
from ..analysis.periods import to_utc
from .bits import hour_of

# datetime.fromisoformat takes more than this, such as weeks, and "24:00" in some
# versions of Python: the pattern says the same for all.
_ISO = re.compile(
    r"(\d{4})-?(\d\d)-?(\d\d)"
    r"(?:[T ](\d\d)(?::?(\d\d)(?::?(\d\d)(?:[.,]\d+)?)?)?"
    r"\s?(Z|([+-])(\d\d):?(\d\d)?)?)?",
    re.IGNORECASE | re.ASCII,
)

_UTC = (None, timezone.utc)


def hour_in(when: str | datetime | date) -> int:
    """Return the number of the hour of a timestamp, see :func:`bits.hour_of`.

    Args:
        when: A date or a datetime, as text of ISO 8601 or as an object.  Without an
            offset it is in UTC.

    Raises:
        BadMarkError: It is none, or is outside the calendar.
    """
    try:
        try:
            moment: Any = datetime.fromisoformat(when)  # type: ignore[arg-type]
        except (ValueError, TypeError):
            moment = _parse(when) if isinstance(when, str) else when
        if isinstance(moment, datetime) and moment.tzinfo in _UTC:
            # Most rows of an import: no need to convert anything.
            return moment.toordinal() * 24 + moment.hour
        return hour_of(moment)
    except OverflowError:
        raise _bad(f"{when!s} is outside the calendar") from None
    except (AttributeError, TypeError):
        raise _bad(f"{when!r} is not a timestamp") from None


def _parse(text: str) -> datetime:
    found = _ISO.fullmatch(text.strip())
    if not found:
        raise _bad(f"{text[:40]!r} is not an ISO 8601 timestamp")
    *numbers, zone, sign, hours, minutes = found.groups(default="")
    try:
        moment = datetime(*(int(number or 0) for number in numbers))  # type: ignore[arg-type]
    except ValueError as error:
        raise _bad(f"{text[:40]!r} is not a timestamp: {error}") from None
    if not zone:
        return moment
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    zone_info = timezone(-offset if sign == "-" else offset)
    return to_utc(moment.replace(tzinfo=zone_info))


def _bad(message: str) -> BadMarkError:
    return BadMarkError("bad timestamp", message)
