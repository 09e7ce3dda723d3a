"""Bitmaps in the form in which the analyses work on them.

A question names the bitmaps it needs as *sources*.  They arrive as *stripes*:
all of them over one range of user ids at a time, so that memory stays bounded
however many users there are.  Counts add up over stripes, and ids come in order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from .keeping import kept_while_few
from .periods import Period, TimeGroup

Words = NDArray[np.uint64]
"""Bits of consecutive users, 64 to a word, in the byte order of Redis."""


class Source(NamedTuple):
    """One bitmap: the users of an event in a period, or a flag without a date."""

    event: str
    period: Period | None
    """None for a unique event (a flag), which has no date."""

    def parts(self) -> tuple[Source, ...]:
        """Return the stored bitmaps of which this one is the union."""
        period = self.period
        if period is None or period.group is not TimeGroup.YEARS:
            return (self,)
        return tuple(Source(self.event, part) for part in period.parts())


@kept_while_few(lambda event, periods: len(periods))
def sources_of(event: str, periods: tuple[Period, ...]) -> tuple[Source, ...]:
    """Return the bitmaps of an event in each of *periods*."""
    return tuple([Source(event, period) for period in periods])


class Stripe:
    """The bitmaps of one question over one range of user ids.

    Stripes are narrow enough for all of a question's bitmaps to stay in the
    processor's cache while they are worked on.

    Args:
        first_id: The user id of the first bit; a multiple of 64.
        matrix: The bitmaps, one row each, all of the same width.
        rows: Which row holds which stored bitmap.  A bitmap that is missing here
            has nobody in this range.
    """

    __slots__ = ("_rows", "_zeros", "first_id", "matrix")

    def __init__(
        self, first_id: int, matrix: Words, rows: Mapping[Source, int]
    ) -> None:
        self.first_id = first_id
        self.matrix = matrix
        self._rows = rows
        self._zeros: Words | None = None

    @property
    def width(self) -> int:
        """Number of words in each bitmap."""
        return int(self.matrix.shape[1])

    def zeros(self) -> Words:
        """Return a bitmap of nobody, not to be written to."""
        if self._zeros is None:
            self._zeros = np.zeros(self.width, dtype=np.uint64)
            self._zeros.flags.writeable = False
        return self._zeros

    def words(self, source: Source) -> Words:
        """Return the bitmap of *source*, not to be written to."""
        row = self._rows.get(source)
        if row is not None:
            words: Words = self.matrix[row]
            return words
        return self.union(source.parts())

    def union(self, sources: Sequence[Source]) -> Words:
        """Return the users of any of the stored *sources*."""
        found = [row for row in map(self._rows.get, sources) if row is not None]
        if not found:
            return self.zeros()
        united: Words = np.bitwise_or.reduce(self.matrix[found], axis=0)
        return united

    def stack(self, sources: Sequence[Source]) -> Words:
        """Return the bitmaps of *sources* as the rows of one matrix."""
        found = [self._rows.get(source) for source in sources]
        present = [row for row in found if row is not None]
        if len(present) == len(found):
            first = present[0] if present else 0
            if present == list(range(first, first + len(present))):
                return self.matrix[first : first + len(present)]
            stacked: Words = self.matrix[present]
            return stacked
        return np.stack([self.words(source) for source in sources])


class Bitmaps(Protocol):
    """Where bitmaps come from: Redis in the product, plain sets in tests."""

    def stripes(self, sources: Sequence[Source]) -> Iterator[Stripe]:
        """Yield *sources* stripe by stripe, in the order of user ids."""

    def counts(self, sources: Sequence[Source]) -> list[int]:
        """Return the number of users of each of *sources*."""

    def years(self, events: Sequence[str], until: int) -> dict[str, list[int]]:
        """Return the years in which there is a bitmap of a month of each event."""

    def exist(self, sources: Sequence[Source]) -> list[bool]:
        """Return for each of *sources*, all stored ones, whether there is a bitmap."""

    def contains(self, sources: Sequence[Source], user_id: int) -> list[bool]:
        """Return for each of *sources* whether *user_id* is in it."""

    def within(self, most_bytes: int) -> Bitmaps:
        """Return the same bitmaps, of which no more than so many bytes are read."""


def user_ids(words: Words, first_id: int = 0) -> NDArray[np.int64]:
    """Return the user ids in a bitmap, in ascending order.

    Redis counts bits from the most significant bit of the first byte.

    Args:
        words: The bitmap.
        first_id: The user id of its first bit.
    """
    (used,) = np.nonzero(words)
    # Only words with anybody in them are unpacked: ids are mostly sparse.
    bits = np.unpackbits(words[used].view(np.uint8)).reshape(-1, 64)
    word, bit = np.nonzero(bits)
    ids: NDArray[np.int64] = used[word].astype(np.int64) * 64 + bit + first_id
    return ids
