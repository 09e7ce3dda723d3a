"""Reading rows of events from CSV files."""

from __future__ import annotations

import csv
import gzip
import io
import sys
import zlib
from collections.abc import Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import IO, Any, BinaryIO

COLUMNS = ("user_id", "event", "timestamp")
STDIN = "-"

LONGEST_LINE = 1024 * 1024
"""Most characters of a line; a gzipped file may hold one that no memory can."""

_GZIP_MAGIC = b"\x1f\x8b"
_DELIMITERS = ",;\t|"


class UnreadableFileError(ValueError):
    """A file does not hold rows of events."""


class CsvFile:
    """The rows of one CSV file, or of a gzipped one, with a header.

    Columns may stand in any order; others than the three needed are passed over.

    Args:
        path: The file; ``-`` for standard input.

    Raises:
        OSError: It cannot be opened.
        UnreadableFileError: Its header lacks a column, or it is no text.
    """

    def __init__(self, path: str) -> None:
        self._is_stdin = path == STDIN
        self._raw: BinaryIO = (
            sys.stdin.buffer if self._is_stdin else Path(path).open("rb")  # noqa: SIM115 - closed by close()
        )
        self.size: int | None = None
        """Bytes in the file; None for standard input."""
        self.damage: str | None = None
        """Why reading ended before the end of the file, if it did."""
        self._text: io.TextIOWrapper | None = None
        try:
            self.size = None if self._is_stdin else Path(path).stat().st_size
            self._text = self._open_text()
            self._lines = _Lines(self._text)
            self._reader, self._pick = _read_header(self._lines)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> CsvFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; standard input stays open."""
        if not self._is_stdin:
            self._raw.close()
        elif self._text is not None:
            # A text wrapper closes what it wraps when it goes.
            self._text.detach()
            self._text = None

    @property
    def position(self) -> int:
        """Bytes of the file that have been read, compressed ones if it is gzipped."""
        return self._raw.tell() if self.size is not None else 0

    def rows(self) -> Iterator[tuple[int, Sequence[str]]]:
        """Yield each row's number of line and its user, event and timestamp.

        A row that lacks one of them is yielded as it is.
        """
        reader, pick, lines = self._reader, self._pick, self._lines
        while True:
            try:
                for row in reader:
                    try:
                        yield lines.number, pick(row)
                    except IndexError:
                        if row:
                            yield lines.number, row[:2]
                return
            except csv.Error as error:
                # Only this line is lost; the reader goes on after it.
                yield lines.number, (f"({error})",)
            except (EOFError, OSError, zlib.error) as error:
                self.damage = f"after line {lines.number}: {error}"
                return

    def _open_text(self) -> io.TextIOWrapper:
        raw = self._raw
        peekable = raw if hasattr(raw, "peek") else io.BufferedReader(raw)  # type: ignore[type-var]
        stream: Any = peekable
        if peekable.peek(2)[:2] == _GZIP_MAGIC:
            stream = gzip.open(peekable)  # noqa: SIM115 - closed with the file
        # Bytes that are not UTF-8 spoil their own row, not the whole file.
        return io.TextIOWrapper(
            stream, "utf-8-sig", errors="surrogateescape", newline=""
        )


class _Lines:
    """The lines of a text, of which no more than one is held at a time.

    Args:
        text: Where they are read.
    """

    def __init__(self, text: IO[str]) -> None:
        self._text = text
        self.number = 0
        """How many lines were read."""

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._text.readline(LONGEST_LINE)
        if not line:
            raise StopIteration
        self.number += 1
        if len(line) == LONGEST_LINE and line[-1] not in "\r\n":
            self._pass_over_the_rest()
            raise csv.Error(f"a line of more than {LONGEST_LINE:,} characters")
        return line

    def _pass_over_the_rest(self) -> None:
        while True:
            more = self._text.readline(LONGEST_LINE)
            if len(more) < LONGEST_LINE or more[-1] in "\r\n":
                return


def _read_header(lines: _Lines) -> tuple[Any, itemgetter[Any]]:
    try:
        line = next(lines, "")
    except (EOFError, OSError, zlib.error) as error:
        raise UnreadableFileError(f"the file cannot be read: {error}") from None
    except csv.Error as error:
        raise UnreadableFileError(f"the first line is not a header: {error}") from None
    delimiter = next((each for each in _DELIMITERS if each in line), ",")
    try:
        header = next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        header = []  # too long a word, or before Python 3.11 a NUL
    names = [name.strip().lower() for name in header]
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        found = ", ".join(names)[:200].encode("ascii", "backslashreplace").decode()
        raise UnreadableFileError(
            f"the first line lacks {', '.join(missing)}: a header is needed with "
            f"{', '.join(COLUMNS)}; found: {found or 'nothing'}"
        )
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    return reader, itemgetter(*(names.index(name) for name in COLUMNS))
