"""How much may be read for one page, and what is said to whoever asks for more."""

from __future__ import annotations

from ..analysis.errors import QueryError, Text

MOST_BITMAPS = 200_000
"""Most bitmaps that are asked for within a budget.

Those that do not exist cost no bytes, but a command each, and some microseconds to
find out their keys: together about two seconds.
"""

_ADVICE = Text(
    "ask for fewer rows or periods, a longer time group (weeks instead of days), or "
    "fewer events"
)


class Budget:
    """Bytes that may still be read.  It serves one page, in one thread.

    How long bitmaps are is known to Redis alone, and asking for it first would slow
    every question by a round trip.  So bytes are counted as they come, and only a
    question that does not end with its first piece, of some megabytes, has the
    lengths of its bitmaps asked for: that is one small round trip beside many big
    ones, and a question that is too large is refused before more than its first piece
    was read.  A store that does not tell lengths is read until the budget is spent.

    Args:
        most_bytes: How many bytes may be read in all.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.taken = 0
        """Bytes that were read so far."""
        self._bitmaps = 0

    def plan(self, bitmaps: int) -> None:
        """Note that so many *bitmaps* are going to be asked for.

        Raises:
            QueryError: Together with those before they are too many.
        """
        self._bitmaps += bitmaps
        if self._bitmaps > MOST_BITMAPS:
            raise QueryError(
                Text(
                    "this question needs %(number)s bitmaps, and a page reads at most "
                    "%(most)s: %(advice)s",
                    number=self._bitmaps,
                    most=MOST_BITMAPS,
                    advice=_ADVICE,
                )
            )

    def expect(self, size: int) -> None:
        """Refuse to read *size* bytes more, if that is too much.

        Raises:
            QueryError: It is; the message names the size, the limit and what to do.
        """
        if self.taken + size > self.most_bytes:
            raise QueryError(
                Text(
                    "this question reads %(size)s of bitmaps or more, and a page reads "
                    "at most %(most)s (BITMAPIST_MAX_QUERY_BYTES): %(advice)s",
                    size=_megabytes(self.taken + size),
                    most=_megabytes(self.most_bytes),
                    advice=_ADVICE,
                )
            )

    def take(self, size: int) -> None:
        """Count *size* bytes that were read.

        Raises:
            QueryError: They were more than was left.
        """
        self.taken += size
        self.expect(0)


def _megabytes(size: int) -> Text:
    if size < 1024 * 1024:
        return Text("%(number)s bytes", number=size)
    return Text("%(number)s MiB", number=size / 1024 / 1024)
