"""How many users bitmaps have, alone and in common: what every number comes from.

numpy does it in three steps: intersect, count the bits of each word, add.  NumKong_,
which ``pip install 'Flask-Bitmapist[fast]'`` brings, does them in one, with the widest
instructions that the processor has, in a fraction of the time.

.. _NumKong: https://github.com/ashvardanian/NumKong
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from importlib import import_module
from itertools import accumulate
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .bitmaps import Words

Counts = NDArray[np.int64]

Pair = tuple[Words, Words]
"""Two matrices of bitmaps, of the same shape."""

# Words that numpy counts at once, where bitmaps are narrow.
_TOGETHER = 16 * 1024


def count_bits(bitmap: Words) -> int:
    """Return the number of users in a bitmap."""
    return int(fastest().rows(bitmap[np.newaxis])[0])


def count_rows(matrix: Words) -> Counts:
    """Return the number of users in each row of a matrix of bitmaps."""
    return fastest().rows(matrix)


def count_pairs(stripes: Iterable[Iterable[Pair]], shape: tuple[int, int]) -> Counts:
    """Return how many users bitmaps have in common, two by two.

    Args:
        stripes: For each stripe, matrices whose rows are paired, all of the same width.
            They need to hold until the next ones are asked for.
        shape: The most pairs of matrices that there are in a stripe, and the most rows
            of one.

    Returns:
        A matrix of that shape: row k begins with the numbers of common users in the
        rows of the k-th pair of matrices, of all stripes together.  What is left of it
        is zeros.
    """
    count = fastest().pairs
    each = (count(pairs, shape) for pairs in stripes)
    counts = next(each, None)
    if counts is None:
        return np.zeros(shape, dtype=np.int64)
    for more in each:
        counts += more
    return counts


class Counting(Protocol):
    """A way of counting."""

    package: str
    """The name of the package that counts."""

    def rows(self, matrix: Words) -> Counts:
        """See :func:`count_rows`."""

    def pairs(self, pairs: Iterable[Pair], shape: tuple[int, int]) -> Counts:
        """Return what :func:`count_pairs` does, of one stripe."""


class NumpyCounting:
    """With numpy alone."""

    package = "numpy"

    def rows(self, matrix: Words) -> Counts:
        # The narrower the sum's type, the faster: 64 users a word, below 2**16.
        dtype = np.uint16 if matrix.shape[-1] < 1024 else np.uint32
        counts: Counts = np.add.reduce(np.bitwise_count(matrix), axis=-1, dtype=dtype)
        return counts.astype(np.int64)

    def pairs(self, pairs: Iterable[Pair], shape: tuple[int, int]) -> Counts:
        # Narrow ones come several at a time: a step of numpy takes as long as some
        # thousand users in it.
        counts = np.zeros(shape, dtype=np.int64)
        common = np.empty((0, 0), dtype=np.uint64)
        places: list[Counts] = []  # of the counts of what is in common
        used = 0
        for (first, second), row in zip(pairs, counts):
            height, width = first.shape
            if used + height > len(common):
                self._count(common, places)
                places, used = [], 0
                if height > len(common):
                    most = max(height, _TOGETHER // max(width, 1))
                    common = np.empty((most, width), dtype=np.uint64)
            np.bitwise_and(first, second, out=common[used : used + height])
            places.append(row[:height])
            used += height
        self._count(common, places)
        return counts

    def _count(self, common: Words, places: list[Counts]) -> None:
        if places:
            *ends, used = accumulate(map(len, places))
            for place, found in zip(places, np.split(self.rows(common[:used]), ends)):
                place[:] = found


class NumKongCounting:
    """With NumKong.

    The inner product of two vectors of bits is the number of bits they have in common.

    Args:
        dot: NumKong's function for inner products, row by row.
    """

    package = "numkong"

    def __init__(self, dot: Callable[..., Any]) -> None:
        self._dot = dot

    def rows(self, matrix: Words) -> Counts:
        counts: Counts = self.pairs([(matrix, matrix)], (1, len(matrix)))[0]
        return counts

    def pairs(self, pairs: Iterable[Pair], shape: tuple[int, int]) -> Counts:
        counts = np.zeros(shape, dtype=np.int64)
        for (first, second), row in zip(pairs, counts):
            if not first.size:
                continue
            try:
                self._dot(first, second, "uint1", out=row[: len(first)])
            except ValueError:
                # It takes no bitmaps whose words lie apart, which are rare.
                whole = np.ascontiguousarray(first), np.ascontiguousarray(second)
                self._dot(*whole, "uint1", out=row[: len(first)])
        return counts


@cache
def fastest() -> Counting:
    """Return the fastest way of counting that there is here.

    It is found out when it is needed first: what only answers questions does not make
    an app start later.
    """
    try:
        return NumKongCounting(import_module("numkong").dot)
    except ImportError:
        return NumpyCounting()
