"""Bitmaps in the form in which the analyses work on them.

A question names the bitmaps it needs as *sources*.  They arrive as *stripes*:
all of them over one range of user ids at a time, so that memory stays bounded
however many users there are.  Counts add up over stripes, and ids come in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .expressions import Cut, Source
from .periods import AsOf

Words = NDArray[np.uint64]
"""Bits of consecutive users, 64 to a word, in the byte order of Redis."""


class Rows:
    """Which row of a matrix holds which stored bitmap.

    Args:
        stored: The bitmaps, in the order of their rows, each once.
    """

    __slots__ = ("_united", "find", "stored")

    def __init__(self, stored: Iterable[Source]) -> None:
        self.stored = tuple(stored)
        self._united: dict[Source, list[int]] = {}
        places = {source: place for place, source in enumerate(self.stored)}
        # The dictionary's own: it is called for each bitmap of a union.
        self.find: Callable[[Source], int | None] = places.get
        """Returns the row of a bitmap, None if it has none."""

    def united(self, source: Source) -> list[int]:
        """Return the rows of the stored bitmaps of which *source* is the union.

        To list the days of a period takes longer than to unite them: it is done once
        for all stripes.
        """
        rows = self._united.get(source)
        if rows is None:
            found = map(self.find, source.parts())
            rows = self._united[source] = [row for row in found if row is not None]
        return rows

    def span(self, sources: Sequence[Source]) -> slice | None:
        """Return the rows of *sources* if they lie side by side in the same order."""
        first = self.find(sources[0]) if sources else None
        if first is None:
            return None
        rows = slice(first, first + len(sources))
        return rows if self.stored[rows] == tuple(sources) else None


class Stripe:
    """The bitmaps of one question over one range of user ids.

    Stripes are narrow enough for all of a question's bitmaps to stay in the
    processor's cache while they are worked on.

    Args:
        first_id: The user id of the first bit; a multiple of 64.
        matrix: The bitmaps, one row each, all of the same width.
        rows: Which row holds which stored bitmap.  A bitmap that is missing there
            has nobody in this range.
        users: Who alone is in them; all users by default.
    """

    __slots__ = ("_rows", "_users", "_zeros", "first_id", "matrix")

    def __init__(
        self, first_id: int, matrix: Words, rows: Rows, users: Words | None = None
    ) -> None:
        self.first_id = first_id
        self.matrix = matrix
        self._rows = rows
        self._users = users
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
        row = self._rows.find(source)
        if row is not None:
            return self._of_users(self.matrix[row])
        return self._union(self._rows.united(source))

    def union(self, sources: Sequence[Source]) -> Words:
        """Return the users of any of the stored *sources*."""
        found = map(self._rows.find, sources)
        return self._union([row for row in found if row is not None])

    def _union(self, rows: Sequence[int]) -> Words:
        if not rows:
            return self.zeros()
        return self._of_users(np.bitwise_or.reduce(self.matrix[rows], axis=0))

    def _of_users(self, words: Words) -> Words:
        return words if self._users is None else words & self._users

    @staticmethod
    def pile(rows: Sequence[Words]) -> Words:
        """Return bitmaps as the rows of one matrix."""
        return np.stack(rows)

    @staticmethod
    def in_at_least(least: int, rows: Sequence[Words]) -> Words:
        """Return the users who are in at least so many of *rows*."""
        planes = bit_counts(np.stack(rows))
        if least >> len(planes):
            return np.zeros_like(rows[0])
        # Compared from the lowest digit up: a higher one outweighs all below it.
        enough = ~np.zeros_like(rows[0])
        for digit, plane in enumerate(planes):
            enough = plane & enough if least >> digit & 1 else plane | enough
        return enough

    def among(self, users: Words) -> Stripe:
        """Return the same bitmaps with some users alone.

        The others are taken out of what is asked for, when it is.
        """
        return Stripe(self.first_id, self.matrix, self._rows, self._of_users(users))

    @property
    def whole(self) -> Stripe:
        """The same bitmaps with all users.

        Where bitmaps are intersected, it does to have some users alone in one of them.
        """
        if self._users is None:
            return self
        return Stripe(self.first_id, self.matrix, self._rows)

    def stack(self, sources: Sequence[Source]) -> Words:
        """Return the bitmaps of *sources* as the rows of one matrix."""
        span = self._rows.span(sources)
        if span is not None:
            return self._of_users(self.matrix[span])
        found = [row for row in map(self._rows.find, sources) if row is not None]
        if len(found) == len(sources):
            return self._of_users(self.matrix[found])
        return np.stack([self.words(source) for source in sources])


class Bitmaps(Protocol):
    """Where bitmaps come from: Redis in the product, plain sets in tests."""

    def stripes(self, sources: Sequence[Source], passes: int = 0) -> Iterator[Stripe]:
        """Yield *sources* stripe by stripe, in the order of user ids.

        Args:
            sources: Which bitmaps.
            passes: How many operations on whole bitmaps are made of them.
        """

    def counts(self, sources: Sequence[Source]) -> list[int]:
        """Return the number of users of each of *sources*."""

    def years(self, events: Sequence[str], until: int) -> dict[str, list[int]]:
        """Return the years in which there is a bitmap of a month of each event."""

    def exist(self, sources: Sequence[Source]) -> list[bool]:
        """Return for each of *sources*, all stored ones, whether there is a bitmap."""

    def contains(self, sources: Sequence[Source], user_id: int) -> list[bool]:
        """Return for each of *sources* whether *user_id* is in it."""

    def stored(self, sources: Sequence[Source]) -> list[tuple[Source, ...]]:
        """Return the stored bitmaps that are read for each of *sources*.

        A name may stand for several events, and a period for several others.
        """

    def cuts(self, events: Sequence[str], fresh: bool = False) -> dict[str, Cut]:
        """Return what of the past of *events* was deleted; those that are whole are
        left out.

        Args:
            events: Names of events.
            fresh: Do not take what was known some seconds ago.
        """

    def have_parts(self, sources: Sequence[Source]) -> list[bool | None]:
        """Return whether months have any of their days, and days any of their hours.

        Args:
            sources: Months and days of events.

        Returns:
            For each; None where it has no bitmap itself.
        """

    def first_days(self, events: Sequence[str], as_of: AsOf) -> dict[str, date]:
        """Return the first day that is kept of each of *events*, where there is any."""

    def within(self, most_work: int) -> Bitmaps:
        """Return the same bitmaps, for so many bytes of work at most."""


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


def are_in(words: Words, bits: NDArray[np.int64], first_id: int) -> NDArray[np.bool_]:
    """Return for each of some users of a bitmap's range whether they are in it.

    Args:
        words: The bitmap.
        bits: Their ids.
        first_id: The user id of the bitmap's first bit.
    """
    at = bits - first_id
    held: NDArray[np.uint8] = words.view(np.uint8)[at >> 3] >> (7 - (at & 7))
    return (held & 1).astype(np.bool_)


def words_of(bits: NDArray[np.int64], first_id: int, width: int) -> Words:
    """Return the bitmap of some users: the opposite of :func:`user_ids`.

    Args:
        bits: Their ids, ascending.  Those outside of the range are passed over.
        first_id: The user id of the bitmap's first bit.
        width: Its number of words.
    """
    first, last = np.searchsorted(bits, [first_id, first_id + 64 * width])
    held = np.zeros(64 * width, dtype=np.bool_)
    held[bits[first:last] - first_id] = True
    return np.packbits(held).view(np.uint64)


def rolling_union(users: Words, length: int) -> Words:
    """Return for each row the users of that row and the *length* - 1 rows before it.

    Rows that have fewer rows before them get the union of those that there are.
    """
    # Windows of a power of two are unions of two halves, and all others of two
    # overlapping ones of them.
    union, reach = users, 1
    while reach * 2 <= length:
        union, reach = _joined(union, reach), reach * 2
    return _joined(union, length - reach)


def _joined(users: Words, back: int) -> Words:
    joined: Words = users.copy()
    if back < len(users):
        np.bitwise_or(users[back:], users[: len(users) - back], out=joined[back:])
    return joined


def bit_counts(rows: Words) -> list[Words]:
    """Count each user's rows in binary: plane k holds bit k of every user's count.

    Rows of the same weight are added three by three, for 64 users at a time and for
    all triples at once: that gives a third as many rows of this weight, and as many
    of twice the weight.
    """
    planes: list[Words] = []
    while len(rows):
        carried = []
        while len(rows) > 1:
            third = max(len(rows) // 3, 1)
            a, b, c = rows[:third], rows[third : 2 * third], rows[2 * third : 3 * third]
            either = a ^ b
            carry = a & b
            if len(c):
                carry |= either & c
                either ^= c
            carried.append(carry)
            rows = np.concatenate([either, rows[3 * third :]])
        planes.append(rows[0])
        rows = np.concatenate(carried) if carried else rows[:0]
    return planes
