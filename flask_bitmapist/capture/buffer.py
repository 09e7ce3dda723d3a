"""Marks that wait for Redis."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from itertools import count, islice
from typing import Final, Literal, TypeAlias

from .bits import Mark

Added: TypeAlias = Literal["kept", "merged", "full"]
KEPT: Final = "kept"
MERGED: Final = "merged"
"""The same mark waits already, so that one will do."""
FULL: Final = "full"


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
        """Keep *mark*, if there is room, and return what became of it."""
        key: Hashable = (mark.bits, mark.user)
        if not mark.value or self._holds_unmarks:
            # Marks and their taking back must keep their order, so each one stands
            # by itself.
            key = next(self._numbers)
        elif key in self._marks:
            return MERGED
        if len(self._marks) >= self._size:
            return FULL
        self._marks[key] = mark
        if not mark.value:
            self._holds_unmarks = True
        return KEPT

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
