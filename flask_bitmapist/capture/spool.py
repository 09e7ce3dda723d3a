"""A file that holds the marks that wait for Redis, so that a restart loses none.

Each process has a file of its own, which it keeps locked: the first one takes the
configured name, others add ".1", ".2" and so on.  A file that nobody has locked was
left behind by a process that has ended, and whoever finds it brings its marks to
Redis.
"""

from __future__ import annotations

import json
import logging
import os
import weakref
from collections.abc import Iterable, Iterator
from datetime import datetime
from io import BufferedReader, FileIO
from itertools import islice
from pathlib import Path

from .bits import Mark, bits_of, hour_of, moment_of

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows has other locks
    fcntl = None  # type: ignore[assignment]

MOST_FILES = 1000

_logger = logging.getLogger(__name__)


class Spool:
    """The file of this process, and those that others have left behind.

    Args:
        path: The configured name.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path).absolute()
        self._file: FileIO | None = None
        self._own_path: Path | None = None
        self.lines = 0
        """Marks in this process's own file."""

    def append(self, marks: Iterable[Mark]) -> None:
        """Add marks; they reach the disk when the system writes it.

        An error is logged: the marks still wait in memory.
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

    def rewrite(self, marks: Iterable[Mark]) -> None:
        """Put *marks* in place of all that the file holds."""
        self.clear()
        self.append(marks)

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
                yield Leftover(path, file)

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
        _logger.error("there are too many files like %s", self._path)

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

    def __init__(self, path: Path, file: FileIO) -> None:
        self.path = path
        self._file = file

    def batches(self, size: int) -> Iterator[list[Mark]]:
        """Yield its marks."""
        self._file.seek(0)
        reader = BufferedReader(self._file)
        try:
            marks = filter(None, map(_mark, reader))
            while batch := list(islice(marks, size)):
                yield batch
        finally:
            # Else the reader would close the file, and with it give up the lock.
            reader.detach()

    def remove(self) -> None:
        """Remove the file: all of its marks are in Redis."""
        _remove(self.path)


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
    while data:
        data = data[file.write(data) :]


def _line(mark: Mark) -> bytes:
    bits = mark.bits
    hour = None if bits.hour is None else moment_of(bits.hour).isoformat()[:13]
    fields = [bits.event, hour, bits.hourly, bits.unique, mark.user, mark.value]
    return json.dumps(fields, ensure_ascii=False).encode() + b"\n"


def _mark(line: bytes) -> Mark | None:
    """Read a line; None if the process ended in the middle of it."""
    try:
        event, hour, hourly, unique, user, value = json.loads(line)
        number = None if hour is None else hour_of(datetime.fromisoformat(hour))
        return Mark(bits_of(event, number, hourly, unique), user, value, None)
    except (ValueError, TypeError):
        return None
