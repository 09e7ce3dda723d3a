"""How much work one page may make, and what is said to whoever asks for more."""

from __future__ import annotations

from ..analysis.errors import QueryError, Text

LEAST_BYTES = 64 * 1024
"""What asking for one bitmap costs at least, as bytes of work: a command, its key and
its reply take as long as to walk over so many bytes."""


class Budget:
    """Work that may still be done.  It serves one page, in one thread.

    Work is counted in bytes that are walked over: to read a bitmap is one walk, and
    each operation of a question on whole bitmaps is another.  Where the store tells how
    long bitmaps are, a question that is too much is refused before anything of it is
    read; elsewhere as soon as it has become too much.

    Args:
        most: How many bytes may be walked over in all.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.done = 0
        """Bytes that were walked over so far."""

    def ask(self, bitmaps: int) -> None:
        """Count so many *bitmaps* that are asked for, whatever is in them.

        Raises:
            QueryError: Together with the work before they are too much.
        """
        self.take(bitmaps * LEAST_BYTES)

    def take(self, size: int) -> None:
        """Count *size* bytes of work.

        Raises:
            QueryError: It is more than was left; the message says what to do.
        """
        self.done += size
        if self.done > self.most:
            raise QueryError(
                Text(
                    "This is too much work for one report: %(size)s, and at most "
                    "%(most)s are allowed (BITMAPIST_MAX_WORK). Ask for fewer "
                    "rows or periods, longer periods (weeks instead of days), or "
                    "fewer events.",
                    size=_megabytes(self.done),
                    most=_megabytes(self.most),
                )
            )


def _megabytes(size: int) -> Text:
    if size < 1024 * 1024:
        return Text("%(number)s bytes", number=size)
    return Text("%(number)s MiB", number=size / 1024 / 1024)
