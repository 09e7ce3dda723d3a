"""The values of many keys, and how they become the bitmaps of a stripe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from ..analysis.bitmaps import Words
from ..analysis.memory import uninitialised

Value = bytes | memoryview


class EqualValues(Sequence[memoryview]):
    """Values of one length.

    Those of a usual question are: each bitmap ends with one of the newest users, or
    goes on beyond the part that is read.  All at once they are copied and measured in
    a fraction of the time that it takes one by one.

    Args:
        rows: The values' bytes, a row each.
    """

    __slots__ = ("rows",)

    def __init__(self, rows: NDArray[np.uint8]) -> None:
        self.rows = rows

    @property
    def length(self) -> int:
        """Bytes of each value."""
        return int(self.rows.shape[1])

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> memoryview: ...

    @overload
    def __getitem__(self, index: slice) -> EqualValues: ...

    def __getitem__(self, index: int | slice) -> memoryview | EqualValues:
        if isinstance(index, slice):
            return EqualValues(self.rows[index])
        value: memoryview = self.rows[index].data
        return value


def lengths_of(values: Sequence[Value]) -> list[int]:
    """Return how many bytes each value has."""
    if isinstance(values, EqualValues):
        return [values.length] * len(values)
    return list(map(len, values))


def side_by_side(values: Sequence[Value], start: int, size: int) -> Words:
    """Return the same part of each value as the rows of a matrix.

    Args:
        values: The values.
        start: The first byte of each.
        size: How many bytes, a multiple of a word's 8; what a value does not have of
            them is zeros.
    """
    matrix = uninitialised(len(values) * size).reshape(len(values), size)
    if isinstance(values, EqualValues):
        part = values.rows[:, start : start + size]
        matrix[:, : part.shape[1]] = part
        matrix[:, part.shape[1] :] = 0
    else:
        # Views, since a slice of bytes is a copy.
        parts = [memoryview(value)[start : start + size] for value in values]
        matrix[:, min(map(len, parts)) :] = 0
        memory = matrix.data.cast("B")
        for at, each in zip(range(0, len(memory), size), parts):
            memory[at : at + len(each)] = each
    words: Words = matrix.view(np.uint64)
    return words
