"""Reading rows of events from CSV files, as blocks of columns.

A file is cut into pieces of whole lines.  Where pyarrow is installed and each line of a
piece is plainly a row, it reads the columns; any other piece goes through the csv
module, which says what a row is.  Both read the same.
"""

from __future__ import annotations

import csv
import gzip
import io
import sys
import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from .importing import AT_ONCE, Block, Column, Numbers, Row, lacks_columns

Broken = tuple[int, Row, Exception]

STDIN = "-"

USER, EVENT, TIME = "user_id", "event", "timestamp"
"""The columns, unless others are named."""

LONGEST_LINE = 128 * 1024
"""Most characters of a line, and of a value for the csv module: a gzipped file may hold
a line that no memory can."""
LONGEST_ROW = 1024 * 1024
"""Most characters of a row, which quotation marks may spread over many lines."""

# Bytes that are read at once: by pyarrow, and by the csv module.  Python's garbage
# collector is slow where that makes many rows.
_PIECE = 1024 * 1024
_SMALL_PIECE = 256 * 1024
_GZIP_MAGIC = b"\x1f\x8b"
_DELIMITERS = ",;\t|"
_DAMAGE = (EOFError, OSError, zlib.error)


class UnreadableFileError(ValueError):
    """A file does not hold rows of events."""


class CsvFile:
    """The rows of one CSV file, or of a gzipped one, with a header.

    Columns may stand in any order; others than the three needed are passed over.
    Commas, semicolons, tabs or bars may be between them.

    Args:
        path: The file; ``-`` for standard input.
        user: The column of users.
        event: The column of events.
        time: The column of times.
        always: The event of all rows, in place of a column.
        fast: Read by pyarrow what it can read; where it is installed by default.

    Raises:
        OSError: It cannot be opened.
        UnreadableFileError: Its header lacks a column, or has it twice, or it is no
            text in UTF-8.
    """

    def __init__(
        self,
        path: str,
        *,
        user: str = USER,
        event: str = EVENT,
        time: str = TIME,
        always: str | None = None,
        fast: bool | None = None,
    ) -> None:
        self._always = always
        self._arrow: Any = None if fast is False else _arrow()
        self._is_stdin = path == STDIN
        self._raw: BinaryIO = (
            sys.stdin.buffer if self._is_stdin else Path(path).open("rb")  # noqa: SIM115 - closed by close()
        )
        self.size: int | None = None
        """Bytes in the file; None for standard input."""
        try:
            self.size = None if self._is_stdin else Path(path).stat().st_size
            size = _SMALL_PIECE if self._arrow is None else _PIECE
            self._pieces = _Pieces(self._unpacked(), size)
            names = [user, time] if always is not None else [user, event, time]
            self._header = _read_header(self._pieces, names)
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

    @property
    def position(self) -> int:
        """Bytes of the file that have been read, compressed ones if it is gzipped."""
        return self._raw.tell() if self.size is not None else 0

    @property
    def damage(self) -> str | None:
        """Why reading ended before the end of the file, if it did."""
        error = self._pieces.error
        return f"after line {self._pieces.lines}: {error}" if error else None

    def blocks(self) -> Iterator[Block]:
        """Yield the rows as blocks, with the number of the line where each row ends."""
        blocks = (
            block
            for piece in self._pieces
            for block in self._table(piece) or self._rows(piece) or self._by_rows(piece)
        )
        if self._arrow is None:
            yield from blocks
            return
        # The next block is read while the last one is worked on.  The csv module would
        # only take turns with whoever does that.
        with ThreadPoolExecutor(1) as reader:
            ahead = reader.submit(next, blocks, None)
            while (block := ahead.result()) is not None:
                ahead = reader.submit(next, blocks, None)
                yield block

    def _block(
        self,
        lines: Sequence[int],
        columns: Sequence[Column],
        broken: Sequence[Broken] = (),
    ) -> Block:
        if self._always is None:
            users, events, times = columns
        else:
            users, times = columns
            events = Column([self._always] * len(lines))
        return Block(lines, users, events, times, broken)

    def _table(self, piece: _Piece) -> list[Block] | None:
        """Read a piece by pyarrow; None unless each line is plainly a row."""
        data = piece.data
        # Values that are quoted after a space are so for the csv module alone.
        if self._arrow is None or not piece.is_plain(self._header) or b' "' in data:
            return None
        if b"\r" in data and data.count(b"\r") != data.count(b"\r\n"):
            return None
        names = [str(number) for number in range(self._header.width)]
        needed = [names[place] for place in self._header.places]
        arrow = self._arrow
        try:
            table = arrow.csv.read_csv(
                arrow.py_buffer(data),
                read_options=arrow.csv.ReadOptions(
                    column_names=names, block_size=len(data) + 1
                ),
                parse_options=arrow.csv.ParseOptions(delimiter=self._header.delimiter),
                convert_options=arrow.csv.ConvertOptions(
                    include_columns=list(dict.fromkeys(needed)),
                    column_types=dict.fromkeys(needed, arrow.string()),
                ),
            )
        except arrow.ArrowInvalid:
            return None  # a row with more or less columns, or bytes that are no text
        if table.num_rows != piece.lines:
            return None
        columns = [_ArrowColumn(column) for column in table.select(needed).columns]
        return [self._block(piece.numbers, columns)]

    def _rows(self, piece: _Piece) -> list[Block] | None:
        """Read a piece by the csv module; None unless each line is plainly a row."""
        if not piece.is_plain(self._header):
            return None
        header = self._header
        try:
            rows = list(header.reader(io.StringIO(piece.text, newline="")))
        except csv.Error:
            return None
        if len(rows) != piece.lines:
            return None
        numbers: Sequence[int] = piece.numbers
        broken: list[Broken] = []
        last = max(header.places)
        if min(map(len, rows)) <= last:
            broken = [
                (number, row[:2], lacks_columns(row[:2]))
                for number, row in zip(numbers, rows)
                if row and len(row) <= last
            ]
            numbers = [n for n, row in zip(numbers, rows) if len(row) > last]
            rows = [row for row in rows if len(row) > last]
        columns = [Column([row[place] for row in rows]) for place in header.places]
        return [self._block(numbers, columns, broken)]

    def _by_rows(self, piece: _Piece) -> Iterator[Block]:
        """Read a piece row by row, and of the next ones what its last row has there."""
        last = max(self._header.places)
        lines = _Lines(piece, self._pieces)
        reader = self._header.reader(lines)
        while lines.left:
            numbers: list[int] = []
            rows: list[list[str]] = []
            broken: list[Broken] = []
            try:
                for row in reader:
                    if len(row) > last:
                        numbers.append(lines.number)
                        rows.append(row)
                    elif row:
                        broken.append((lines.number, row[:2], lacks_columns(row[:2])))
                    lines.taken = 0
                    if not lines.left or len(rows) >= AT_ONCE:
                        break
            except csv.Error as error:
                # Only this row is lost; the reader goes on after it.
                broken.append((lines.number, (), ValueError(str(error))))
                lines.taken = 0
            columns = [Column([row[i] for row in rows]) for i in self._header.places]
            yield self._block(numbers, columns, broken)

    def _unpacked(self) -> Any:
        raw = self._raw
        peekable = raw if hasattr(raw, "peek") else io.BufferedReader(raw)  # type: ignore[type-var]
        if peekable.peek(2)[:2] == _GZIP_MAGIC:
            return gzip.open(peekable)
        return peekable


class _Piece(NamedTuple):
    """Some whole lines."""

    first_line: int
    lines: int
    data: bytes

    @property
    def numbers(self) -> range:
        """The numbers of its lines."""
        return range(self.first_line, self.first_line + self.lines)

    @property
    def text(self) -> str:
        """Its text; bytes that are not UTF-8 spoil their own row, not the file."""
        return self.data.decode("utf-8", "surrogateescape")

    def is_plain(self, header: _Header) -> bool:
        """Return whether no line is too long, and the last one ends a row.

        If there are as many rows as lines, then each line is a row.
        """
        data, at = self.data, 0
        while len(data) - at > LONGEST_LINE:
            at = data.rfind(b"\n", at, at + LONGEST_LINE) + 1
            if not at:
                return False
        if b'"' not in data:
            return True
        last = data[data.rfind(b"\n", 0, -1) + 1 :].decode("utf-8", "surrogateescape")
        try:
            next(header.reader([last], strict=True), None)
        except csv.Error:
            return False
        return True


class _Pieces:
    """The lines of a stream, some at a time, never more than is good for memory.

    Args:
        stream: Where they are read.
        size: Bytes that are read at once.
    """

    def __init__(self, stream: Any, size: int) -> None:
        self._stream = stream
        self._size = size
        self._rest = b""
        self._is_over = False
        self._put_back: _Piece | None = None
        self.lines = 0
        """How many lines were read."""
        self.error: Exception | None = None
        """Why the stream ended too early, if it did."""

    def __iter__(self) -> _Pieces:
        return self

    def __next__(self) -> _Piece:
        if self._put_back is not None:
            piece, self._put_back = self._put_back, None
            return piece
        data = self._next_lines()
        if not data:
            raise StopIteration
        first, count = self.lines + 1, _count_lines(data)
        self.lines += count
        return _Piece(first, count, data)

    def put_back(self, piece: _Piece) -> None:
        """Give this piece next."""
        self._put_back = piece if piece.lines else None

    def _next_lines(self) -> bytes:
        data = self._rest + self._read()
        while not (cut := _last_end(data, self._is_over)):
            if self._is_over:
                self._rest = b""
                # The end of what is damaged is no line.
                return data + b"\n" if data and self.error is None else b""
            if len(data) > 4 * LONGEST_LINE:
                # Enough of it, whatever the letters, to be seen as too long.
                return data[: 4 * LONGEST_LINE + 1] + self._pass_over_the_rest()
            data += self._read()
        self._rest = data[cut:]
        return data[:cut]

    def _pass_over_the_rest(self) -> bytes:
        data = b""
        while not (cut := _first_end(data, self._is_over)) and not self._is_over:
            data = data[-1:] + self._read()
        self._rest = data[cut:] if cut else b""
        return b"\n"

    def _read(self) -> bytes:
        """Read some bytes, none at the end; what comes before damage is kept."""
        parts: list[bytes] = []
        room = self._size
        try:
            while room > 0:
                part = self._stream.read1(room)
                if not part:
                    self._is_over = True
                    break
                parts.append(part)
                room -= len(part)
        except _DAMAGE as error:
            self.error = error
            self._is_over = True
        return b"".join(parts)


class _Lines:
    """The lines of a piece, and of the next ones if a row goes on there.

    Args:
        piece: The piece.
        pieces: Where the next ones come from.
    """

    def __init__(self, piece: _Piece, pieces: _Pieces) -> None:
        self._pieces = pieces
        self.taken = 0
        """Characters since somebody has set this to 0."""
        self._begin(piece)

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if not self.left:
            self._begin(next(self._pieces))
        self.left -= 1
        self.number += 1
        line = next(self._text)
        length = len(line)
        self.taken += length
        if length > LONGEST_LINE:
            raise csv.Error(f"a line of more than {LONGEST_LINE:,} characters")
        if self.taken > LONGEST_ROW:
            raise csv.Error(f"a row of more than {LONGEST_ROW:,} characters")
        return line

    def _begin(self, piece: _Piece) -> None:
        self._text = io.StringIO(piece.text, newline="")
        self.number = piece.first_line - 1
        """The line that was given last."""
        self.left = piece.lines
        """Lines of the piece that are not given yet."""


def _count_lines(data: bytes) -> int:
    lines = int(np.count_nonzero(np.frombuffer(data, dtype=np.uint8) == ord("\n")))
    if b"\r" in data:
        lines += data.count(b"\r") - data.count(b"\r\n")
    return lines


def _last_end(data: bytes, is_over: bool) -> int:
    """Return where the last line ends that is whole; 0 if none is."""
    # A line feed may follow to a carriage return that is the last byte so far.
    known = len(data) if is_over else len(data) - 1
    return max(data.rfind(b"\n"), data.rfind(b"\r", 0, max(known, 0))) + 1


def _first_end(data: bytes, is_over: bool) -> int:
    """Return where the first line ends; 0 if that is not known."""
    feed, carriage = data.find(b"\n") + 1, data.find(b"\r") + 1
    if not carriage or 0 < feed < carriage:
        return feed
    if carriage == len(data) and not is_over:
        return 0
    return carriage + (data[carriage : carriage + 1] == b"\n")


class _Header(NamedTuple):
    delimiter: str
    width: int
    """How many columns there are."""
    places: Sequence[int]
    """Where those are that are needed."""

    def reader(self, lines: Iterable[str], strict: bool = False) -> Any:
        """Return what finds the rows in lines."""
        return csv.reader(
            lines, delimiter=self.delimiter, skipinitialspace=True, strict=strict
        )


def _read_header(pieces: _Pieces, needed: Sequence[str]) -> _Header:
    piece = next(pieces, _Piece(1, 0, b""))
    if pieces.error is not None and not piece.lines:
        raise UnreadableFileError(f"the file cannot be read: {pieces.error}")
    end = _first_end(piece.data, True)
    line, rest = piece.data[:end], piece.data[end:]
    pieces.put_back(_Piece(2, piece.lines - 1, rest))
    if line[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\x00" in line[:4]:
        raise UnreadableFileError("it is UTF-16 or no text; save it as UTF-8")
    text = line.decode("utf-8-sig", "surrogateescape").rstrip("\r\n")
    if len(text) > LONGEST_LINE:
        raise UnreadableFileError(
            "the first line is not a header: it has more than "
            f"{LONGEST_LINE:,} characters"
        )
    # The delimiter is the one that gives the columns, or else the most of any.
    headers = {each: _names_in(text, each) for each in _DELIMITERS}
    delimiter = max(
        headers,
        key=lambda each: (
            all(_places_of(name, headers[each]) for name in needed),
            len(headers[each]),
        ),
    )
    names = headers[delimiter]
    places = [_places_of(name, names) for name in needed]
    missing = [name for name, found in zip(needed, places) if not found]
    if missing:
        shown = ", ".join(names)[:200].encode("ascii", "backslashreplace").decode()
        raise UnreadableFileError(
            f"the first line lacks {', '.join(missing)}: a header is needed with "
            f"{', '.join(needed)}, or with columns that --user, --event and --time "
            f"name; found: {shown or 'nothing'}"
        )
    twice = [name for name, found in zip(needed, places) if len(found) > 1]
    if twice:
        raise UnreadableFileError(
            f"the first line has more than one column {', '.join(twice)}; name them "
            "differently, or name another with --user, --event or --time"
        )
    return _Header(delimiter, len(names), [found[0] for found in places])


def _names_in(line: str, delimiter: str) -> list[str]:
    try:
        row = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:
        return []
    return [unicodedata.normalize("NFC", name.strip()) for name in row]


def _places_of(name: str, names: Sequence[str]) -> list[int]:
    """Return the columns of a name, also if they are in capitals."""
    name = unicodedata.normalize("NFC", name.strip())
    exact = [place for place, each in enumerate(names) if each == name]
    folded = name.casefold()
    return exact or [i for i, each in enumerate(names) if each.casefold() == folded]


@cache
def _arrow() -> Any:
    """Return pyarrow, or None if it is not installed."""
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.csv
    except ImportError:
        return None
    return pyarrow


class _ArrowColumn(Column):
    """A column of texts that pyarrow has read.

    Args:
        column: An array of pyarrow, also in chunks.
    """

    def __init__(self, column: Any) -> None:
        self._array = getattr(column, "combine_chunks", lambda: column)()
        self._compute = _arrow().compute

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, place: int) -> Any:
        return self._array[place].as_py()

    def take(self, places: Numbers) -> Column:
        if len(places) == len(self):
            return self
        return _ArrowColumn(self._array.take(_arrow().array(places)))

    def cut(self, length: int) -> Column:
        return _ArrowColumn(self._compute.utf8_slice_codeunits(self._array, 0, length))

    def is_like(self, pattern: str) -> bool:
        like = self._compute.match_substring_regex(self._array, f"^(?:{pattern})$")
        return bool(self._compute.all(like).as_py())

    def integers(self) -> Numbers | None:
        array, compute = self._array, self._compute
        if not compute.all(compute.ascii_is_decimal(array)).as_py():
            return None
        zero = compute.starts_with(array, "0")
        if compute.any(zero).as_py():
            longer = compute.greater(compute.binary_length(array), 1)
            if compute.any(compute.and_(zero, longer)).as_py():
                return None
        try:
            numbers = array.cast(_arrow().int64())
        except _arrow().ArrowInvalid:
            return None  # more than fits
        return np.asarray(numbers)

    def distinct(self) -> tuple[Sequence[Any], Numbers]:
        found = self._array.dictionary_encode()
        return found.dictionary.to_pylist(), np.asarray(found.indices, dtype=np.int64)
