"""How many marks were made, and what became of them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, fields


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
    """Marks that were kept for later; in background mode all of them are."""
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
