"""Marks that wait for Redis."""

from __future__ import annotations

import enum
from collections.abc import Hashable, Iterable
from itertools import count, islice

from .bits import Mark


class Added(enum.Enum):
    """What became of a mark that was to be kept."""

    KEPT = "kept"
    MERGED = "merged"
    """The same mark waits already, so that one will do."""
    FULL = "full"


class Buffer:
    """A bounded queue of marks, in the order in which they were made.

    The same user's same event in the same hour is kept once: writing it twice would
    set the same bits.  Not thread-safe by itself.

    Args:
        size: Most marks that are kept.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._marks: dict[Hashable, Mark] = {}
        self._numbers = count()
        self._holds_unmarks = False

    def __len__(self) -> int:
        return len(self._marks)

    def add(self, mark: Mark) -> Added:
        """Keep *mark*, if there is room."""
        key: Hashable = (mark.bits, mark.user)
        if not mark.value or self._holds_unmarks:
            # Marks and their taking back must keep their order, so each one stands
            # by itself.
            key = next(self._numbers)
        elif key in self._marks:
            return Added.MERGED
        if len(self._marks) >= self._size:
            return Added.FULL
        self._marks[key] = mark
        if not mark.value:
            self._holds_unmarks = True
        return Added.KEPT

    def first(self, most: int) -> list[tuple[Hashable, Mark]]:
        """Return the oldest marks, each with its key for :meth:`remove`."""
        return list(islice(self._marks.items(), most))

    def remove(self, keys: Iterable[Hashable]) -> None:
        """Take marks out."""
        for key in keys:
            self._marks.pop(key, None)
        if not self._marks:
            self._holds_unmarks = False

    def marks(self) -> list[Mark]:
        """Return all marks, the oldest first."""
        return list(self._marks.values())

    def clear(self) -> None:
        """Forget all marks."""
        self._marks.clear()
        self._holds_unmarks = False
