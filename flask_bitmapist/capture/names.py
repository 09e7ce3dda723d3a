"""Which names an event may have."""

from __future__ import annotations

import re
from functools import lru_cache

from ..analysis.errors import BadMarkError

MAX_BYTES = 1024

# bitmapist ends its keys with a date; a name that ends like one would be taken for
# an event with a shorter name.
_LOOKS_LIKE_DATE = re.compile(r"_W?\d+-\d+(?:-\d+){0,2}\Z")


def check_name(name: object) -> str:
    """Return *name* if an event may be marked under it.

    Raises:
        BadMarkError: It may not, for the reason that the message gives.
    """
    if not isinstance(name, str):
        raise _bad(f"an event's name must be a string, not {type(name).__name__}")
    return _checked(name)


@lru_cache(maxsize=4096)
def _checked(name: str) -> str:
    if not name:
        raise _bad("an event's name must not be empty")
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        raise _bad(f"the event name {name[:40]!r} is not valid Unicode") from None
    if length > MAX_BYTES:
        raise _bad(
            f"an event's name has at most {MAX_BYTES} bytes; "
            f"{name[:40]!r}… has {length}"
        )
    if name.startswith("bitop_"):
        raise _bad(
            f"the event name {name!r} begins with 'bitop_', "
            "which bitmapist reserves for its temporary keys"
        )
    if _LOOKS_LIKE_DATE.search(name):
        raise _bad(
            f"the event name {name!r} ends like the date in a key of bitmapist, "
            "so it would be mixed up with another event; end it differently"
        )
    return name


def _bad(message: str) -> BadMarkError:
    return BadMarkError("bad event name", message)
