"""A file that holds the marks that wait for Redis, so that a restart loses none.

Each process has a file of its own, which it keeps locked: the first one takes the
configured name, others add ".1", ".2" and so on.  A file that nobody has locked was
left behind by a process that has ended, and whoever finds it brings its marks to
Redis.  Lines that are no marks go to a file that ends in ".bad".
"""

from __future__ import annotations

import json
import logging
import os
import weakref
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from io import BufferedReader, FileIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..analysis.errors import BadMarkError
from .marks import Mark, bits_of, check_name, hour_of, moment_of

if TYPE_CHECKING:
    from .reports import Reports

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows has other locks
    fcntl = None  # type: ignore[assignment]

MOST_FILES = 1000

LONGEST_LINE = 16 * 1024
"""Bytes; the longest name and the longest key, escaped, take less."""

_logger = logging.getLogger(__name__)


class UnreadableError(Exception):
    """A file that an ended process has left behind cannot be read."""


class Spool:
    """The file of this process, and those that others have left behind.

    Args:
        path: The configured name.
        key_of: Returns what a user is marked under, or raises BadMarkError.
    """

    def __init__(self, path: str, key_of: Callable[[Any], int | str | None]) -> None:
        self._path = Path(path).absolute()
        self._key_of = key_of
        self._file: FileIO | None = None
        self._own_path: Path | None = None
        self.lines = 0
        """Marks in this process's own file."""

    def append(self, marks: Iterable[Mark]) -> bool:
        """Add marks; they reach the disk when the system writes it.

        Returns:
            Whether they are in the file.  An error is logged: the marks still wait in
            memory.
        """
        lines = [_line(mark) for mark in marks]
        try:
            if self._file is None:
                self._claim()
            if self._file is not None and lines:
                _write_all(self._file, b"".join(lines))
                self.lines += len(lines)
        except OSError as error:
            _logger.error("buffered events cannot be kept in a file: %s", error)
            return False
        return True

    def rewrite(self, marks: Iterable[Mark]) -> None:
        """Put *marks* in place of all that the file holds."""
        file, path, lines = self._file, self._own_path, self.lines
        self._file, self.lines = None, 0
        # First the new file, then the old one's end: killed in between, there are both.
        if self.append(marks):
            if file is not None and path is not None:
                _remove(path)
                file.close()
        else:
            self.close()
            self._file, self._own_path, self.lines = file, path, lines

    def clear(self) -> None:
        """Empty this process's own file: nothing waits."""
        if self._file is not None and self.lines:
            self._file.truncate(0)
            self.lines = 0

    def close(self) -> None:
        """Give this process's own file up, and remove it if nothing waits in it."""
        if self._file is not None and self._own_path is not None:
            if not self.lines:
                _remove(self._own_path)
            self._file.close()
        self._file = None
        self.lines = 0

    def forget(self) -> None:
        """Leave the file to the parent process, in one that was forked."""
        if self._file is not None:
            # The lock stays: it goes when the parent closes the file as well.
            self._file.close()
        self._file = None
        self.lines = 0

    def leftovers(self) -> Iterator[Leftover]:
        """Yield the files that ended processes have left behind, locked."""
        for path in self._existing():
            file = None if path == self._own_path else _lock(path)
            if file is None:
                continue
            with file:
                yield Leftover(path, file, self._key_of)

    def has_leftovers(self) -> bool:
        """Return whether there may be marks of an ended process."""
        return any(
            path != self._own_path and _size(path) > 0 for path in self._existing()
        )

    def _claim(self) -> None:
        for path in self._names():
            file = _lock(path, create=True)
            if file is None:
                continue
            if os.fstat(file.fileno()).st_size == 0:
                self._file, self._own_path = file, path
                # If the app goes before the process does, so does its lock.
                weakref.finalize(self, file.close).atexit = False
                return
            file.close()
        raise OSError(f"there are too many files like {self._path}")

    def _names(self) -> Iterator[Path]:
        yield self._path
        for number in range(1, MOST_FILES):
            yield self._path.with_name(f"{self._path.name}.{number}")

    def _existing(self) -> list[Path]:
        name = self._path.name
        stem = name + "."
        try:
            return sorted(
                path
                for path in self._path.parent.iterdir()
                if path.name == name
                or (path.name.startswith(stem) and path.name[len(stem) :].isdigit())
            )
        except OSError:
            return []


class Leftover:
    """A file that an ended process has left behind, locked while it is open here."""

    def __init__(
        self, path: Path, file: FileIO, key_of: Callable[[Any], int | str | None]
    ) -> None:
        self.path = path
        self._file = file
        self._key_of = key_of
        self._errors: list[Exception] = []

    def batches(self, size: int) -> Iterator[list[Mark]]:
        """Yield its marks; what is none is passed over.

        Raises:
            UnreadableError: The file cannot be read.
        """
        marks = self._marks()
        while batch := list(islice(marks, size)):
            yield batch

    def remove(self, reports: Reports) -> None:
        """Remove the file: all of its marks are in Redis.

        Args:
            reports: Told of lines that are no marks, which are put aside before.
        """
        if self._errors:
            aside = self.path.with_name(self.path.name + ".bad")
            try:
                self._put_aside(aside)
            except OSError as error:
                _logger.error("lines of %s cannot be put aside: %s", self.path, error)
                return
            reports.damaged(self.path, aside, len(self._errors), self._errors[0])
        _remove(self.path)

    def _marks(self) -> Iterator[Mark]:
        self._errors.clear()
        for line, starts in self._lines():
            try:
                yield _mark(line, self._key_of)
            except ValueError as error:
                self._errors += [error] if starts else []

    def _put_aside(self, path: Path) -> None:
        with path.open("ab") as file:
            for line, _ in self._lines():
                try:
                    _mark(line, self._key_of)
                except ValueError:
                    file.write(line)
            file.write(b"\n" if not line.endswith(b"\n") else b"")

    def _lines(self) -> Iterator[tuple[bytes, bool]]:
        """Yield lines, or the pieces of long ones, and whether a line starts there."""
        try:
            self._file.seek(0)
            reader = BufferedReader(self._file)
            starts = True
            try:
                while line := reader.readline(LONGEST_LINE):
                    yield line, starts
                    starts = line.endswith(b"\n")
            finally:
                # Else the reader would close the file, and with it give up the lock.
                reader.detach()
        except OSError as error:
            raise UnreadableError(f"{self.path} cannot be read: {error}") from error


def _lock(path: Path, create: bool = False) -> FileIO | None:
    """Open a file and lock it, or return None if another process has it."""
    try:
        # Unbuffered, so that a forked process has nothing of its parent's to write.
        file = FileIO(path, "a+" if create else "r+")
    except FileNotFoundError:
        if create:
            raise
        return None
    if fcntl is None:  # pragma: no cover
        return file
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever held it may have removed it meanwhile.
        if os.fstat(file.fileno()).st_nlink:
            return file
    except BlockingIOError:
        pass
    file.close()
    return None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _remove(path: Path) -> None:
    try:
        path.unlink()
    except OSError as error:
        _logger.warning("the file %s cannot be removed: %s", path, error)


def _write_all(file: FileIO, data: bytes) -> None:
    """Write all of *data*, or none of it."""
    size = os.fstat(file.fileno()).st_size
    try:
        while data:
            data = data[file.write(data) :]
    except OSError:
        file.truncate(size)  # the next line is not to begin within another
        raise


def _line(mark: Mark) -> bytes:
    bits = mark.bits
    hour = None if bits.hour is None else moment_of(bits.hour).isoformat()[:13]
    fields: list[object] = [bits.event, hour, bits.hourly, bits.unique]
    fields += [mark.user, mark.value, round(mark.made, 6)]
    return json.dumps(fields, ensure_ascii=False).encode() + b"\n"


def _mark(line: bytes, key_of: Callable[[Any], int | str | None]) -> Mark:
    """Read a line as strictly as marks are made.

    Raises:
        ValueError: It is no mark.
    """
    if not line.endswith(b"\n"):
        raise ValueError("a line is too long, or the process ended in the middle of it")
    try:
        event, hour, hourly, unique, user, value, made = json.loads(line)
    except (ValueError, TypeError, RecursionError):
        raise ValueError(f"a line has not the seven fields: {line[:80]!r}") from None
    if type(hourly) is not bool or type(unique) is not bool or value not in (0, 1):
        raise ValueError(f"{[hourly, unique, value]!r:.80} says not what to write")
    if type(user) not in (int, str):
        raise BadMarkError("bad key", f"{user!r:.80} is no user")
    if type(made) not in (int, float):
        raise ValueError(f"{made!r:.80} is no moment")
    number = None if hour is None and unique else _hour(hour)
    bits = bits_of(check_name(event), number, hourly, unique)
    key = key_of(user)
    if key is None:
        raise BadMarkError("bad key", f"{user!r:.80} is no user")
    return Mark(bits, key, int(value), None, float(made))


def _hour(hour: Any) -> int:
    try:
        # Minutes would be more than a line holds.
        return hour_of(datetime.fromisoformat(f"{hour:.20}:00"))
    except (ValueError, TypeError, OverflowError):
        raise ValueError(f"{hour!r:.80} is no hour") from None
