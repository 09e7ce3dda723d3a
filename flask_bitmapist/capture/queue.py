"""Marks that wait: for a thread in background mode, or for a Redis that fails.

When Redis fails, the caller waits for it once; from then on marks are kept, and a
thread tries again, ever more rarely, and writes what has been kept as soon as Redis
takes it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import count, islice
from random import SystemRandom
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from redis.exceptions import ConnectionError as RedisConnectionError

from . import processes
from .erasing import Eraser
from .marks import Mark
from .reports import Reports
from .spool import Spool
from .writer import FAILURES, Writer

if TYPE_CHECKING:
    from ..analysis.results import User
    from ..config import Settings

logger = logging.getLogger("flask_bitmapist")

# A thread without work ends after a while, so that apps that are gone leave none.
IDLE_SECONDS = 10.0

_MEANWHILE = {
    "buffer": "they are buffered and written later",
    "ignore": "they are lost",
    "raise": "the app gets the error",
}

# Not the generator that the app shares: an app that has seeded it relies on its
# numbers, and forked processes must not wait for the same times.
_random = SystemRandom()


class Queue:
    """Keeps marks and brings them to one Redis; for use by any number of threads.

    Args:
        writer: How marks are written.
        eraser: Knows whose marks are not to be written any more.
        settings: Timeouts, sizes and what to do on an error.
        reports: Told what becomes of each mark.
        spool: Where waiting marks are kept as well while Redis fails, if anywhere.
        environ: Returns the WSGI environ of the request that is being answered, if the
            caller is in one: its response would have to wait for what is written.
    """

    is_clear: bool
    """Whether a mark can be written at once: Redis works, and none waits before it."""

    def __init__(
        self,
        writer: Writer,
        eraser: Eraser,
        settings: Settings,
        reports: Reports,
        spool: Spool | None,
        environ: Callable[[], Mapping[str, Any] | None],
    ) -> None:
        self._writer = writer
        self._eraser = eraser
        self._settings = settings
        self._reports = reports
        self._spool = spool
        self._environ = environ
        self._in_background = settings.mark_mode == "background"
        self._forked_in_request = False
        self._begin()
        processes.watch(self, waits=self._in_background)
        if spool is not None and spool.has_leftovers():
            with self._lock:
                self._start_worker()

    def _begin(self) -> None:
        settings = self._settings
        self._buffer = Buffer(settings.buffer_size)
        self._backoff = Backoff(settings.retry_first, settings.retry_max)
        self.is_clear = True
        # Guards the buffer, the back-off and the spool, and wakes the thread that
        # writes; never held while Redis is asked.
        self._lock = threading.Condition(threading.Lock())
        # Only one thread at a time writes what waits.
        self._writing = threading.Lock()
        self._worker: threading.Thread | None = None
        self._has_leftovers = self._spool is not None

    @property
    def waiting(self) -> int:
        """Marks that wait for Redis."""
        return len(self._buffer)

    @property
    def is_failing(self) -> bool:
        """Whether Redis failed when it was last asked."""
        return self._backoff.is_failing

    @property
    def error(self) -> str | None:
        """Why Redis is not being asked now, or None if it is."""
        return self._backoff.error

    @property
    def failing_for(self) -> float:
        """Seconds since Redis began to fail; 0 while it works."""
        return self._backoff.seconds

    # --- In the thread that marks

    def may_wait(self) -> bool:
        """Return whether marks may wait although Redis works.

        In background mode they do in a request, unless the process is about to end or
        will not be told.
        """
        if processes.is_ending or self._forked_in_request:
            return False
        environ = self._environ()
        return environ is not None and not processes.ends_unseen(environ)

    def put(self, marks: Sequence[Mark]) -> None:
        """Keep *marks* until the thread or :meth:`flush` writes them."""
        if not processes.is_prepared:
            processes.prepare()
        kept: list[Mark] = []
        full: list[Mark] = []
        with self._lock:
            self.is_clear = False
            before = len(self._buffer)
            for mark in marks:
                added = self._buffer.add(mark)
                if added == KEPT:
                    kept.append(mark)
                elif added == FULL:
                    full.append(mark)
            if self._backoff.is_failing:
                self._save(kept)
            after = before + len(kept)
            if not before or before < self._settings.batch_size <= after:
                self._lock.notify()
            if self._worker is None:
                self._start_worker()
        self._reports.kept(kept, len(marks) - len(kept) - len(full), full)

    def failed(self, error: Exception, *, retried: bool = False) -> None:
        """Note that Redis has not taken marks; they are tried again later.

        Args:
            error: Why.
            retried: Whether this was another try while Redis failed already.
        """
        with self._lock:
            self.is_clear = False
            if not self._backoff.is_failing:
                # First: whoever sees that Redis fails may rely on the file.
                self._save(self._buffer.marks())
            first = self._backoff.failed(error, retried=retried)
            if self._worker is None:
                self._start_worker()
        if first:
            self._reports.log(
                logging.WARNING,
                "failing",
                "Redis does not accept events (%s: %s); %s",
                type(error).__name__,
                error,
                _MEANWHILE[self._settings.on_error],
                # What is not the failure of a Redis is one of this package.
                error=None if isinstance(error, FAILURES) else error,
            )

    def unavailable(self) -> RedisConnectionError:
        """Return an error for a mark that Redis was not asked to take."""
        return RedisConnectionError(
            f"Redis has been failing for {self._backoff.seconds:.1f} s and is asked "
            f"again in a moment; the last error was: {self._backoff.error}"
        )

    def flush(self) -> bool:
        """Write all that waits, now, and return whether everything is written."""
        with self._writing:
            return self._write_all()

    def drop(self, user: User, until: float) -> int:
        """Drop the marks of a user that wait, and wait for those on their way.

        Args:
            user: As a mark has them.
            until: Seconds since 1970; what was made later stays.

        Returns:
            How many waited.
        """
        with self._writing, self._lock:
            dropped = self._buffer.drop(user, until)
            if dropped and self._spool is not None:
                if self._buffer:
                    self._spool.rewrite(self._buffer.marks())
                else:
                    self._spool.clear()
        self._reports.lost(dropped, "erased")
        return len(dropped)

    def _save(self, marks: Sequence[Mark]) -> None:
        """Keep marks in the file as well; the caller holds the lock."""
        if self._spool is None:
            return
        if self._spool.lines > 2 * self._settings.buffer_size:
            self._spool.rewrite(self._buffer.marks())
        else:
            self._spool.append(marks)

    # --- In the thread that writes what waits

    def _start_worker(self) -> None:
        """Start the thread; the caller holds the lock."""
        thread = threading.Thread(target=self._work, name="bitmapist-marks")
        thread.daemon = True
        try:
            thread.start()
        except RuntimeError:
            return  # the interpreter is ending; what waits is written by finish()
        self._worker = thread

    def _work(self) -> None:
        while self._wait_for_work():
            with self._writing:
                if self._write_all() and self._has_leftovers:
                    self._write_leftovers()

    def _wait_for_work(self) -> bool:
        """Wait until there is something to do; False if the thread may end."""
        with self._lock:
            if self._backoff.is_failing:
                self._lock.wait_for(
                    lambda: not self._backoff.is_failing, self._backoff.wait()
                )
            elif not self._has_leftovers:
                if not self._lock.wait_for(lambda: self._buffer, IDLE_SECONDS):
                    # The next mark that has to wait starts another thread.
                    self._worker = None
                    return False
                if self._in_background:
                    enough = self._settings.batch_size
                    self._lock.wait_for(
                        lambda: not 0 < len(self._buffer) < enough,
                        self._settings.flush_interval,
                    )
            return True

    def _write_all(self, deadline: float | None = None) -> bool:
        """Write all that waits; the caller may be the only one to write."""
        asked = False
        try:
            while not self._is_done(asked):
                if deadline is not None and time.monotonic() > deadline:
                    return False
                with self._lock:
                    batch = self._buffer.first(self._settings.batch_size)
                if batch:
                    self._write_batch(batch)
                else:
                    self._writer.ping()
                asked = True
        except Exception as error:
            # Whatever it is, the marks are still there.
            self.failed(error, retried=True)
            self._give_up_waiting()
            return False
        return True

    def _is_done(self, asked: bool) -> bool:
        """Note that all is well, if nothing waits and Redis has answered."""
        with self._lock:
            if self._buffer or (self._backoff.is_failing and not asked):
                return False
            self.is_clear = True
            if not self._backoff.is_failing:
                return True
            seconds = self._backoff.seconds
            self._backoff.works()
            self._has_leftovers = self._spool is not None
            self._lock.notify()
        self._reports.log(
            logging.WARNING,
            "working",
            "Redis accepts events again after %.1f s; %d events were lost in total",
            seconds,
            self._reports.counters.dropped,
        )
        return True

    def _write_batch(self, batch: Sequence[tuple[Hashable, Mark]]) -> None:
        marks = [mark for _, mark in batch]
        refused, erased = self._eraser.write_waiting(marks, self._writer.write)
        with self._lock:
            # In place of an erased mark there may be a later one by now, which stays.
            stay = self._buffer.renewed(batch, erased) if erased else {}
            self._buffer.remove(key for key, _ in batch if key not in stay)
            if not self._buffer and self._spool is not None:
                self._spool.clear()
        self._reports.flushed(len(batch) - len(erased), refused)
        self._reports.lost(
            [mark for mark in erased if mark not in stay.values()], "erased"
        )
        self._reports.share()

    def _give_up_waiting(self) -> None:
        """Drop what a failing Redis does not take, if it is not to be kept."""
        if self._settings.on_error != "ignore":
            return
        with self._lock:
            marks = self._buffer.marks()
            self._buffer.clear()
        self._reports.lost(marks, "error")

    def _write_leftovers(self) -> None:
        """Write what ended processes have left behind in their files."""
        self._has_leftovers = False
        for leftover in self._spool.leftovers() if self._spool else ():
            try:
                for marks in leftover.batches(self._settings.batch_size):
                    refused, erased = self._eraser.write_waiting(
                        marks, self._writer.write
                    )
                    self._reports.recovered(len(marks) - len(erased), refused)
            except FAILURES as error:
                self._has_leftovers = True
                self.failed(error)
                return
            except Exception:
                logger.exception("the events in %s are not written", leftover.path)
            else:
                leftover.remove(self._reports)

    # --- The life of the process

    def after_fork(self) -> None:
        """Begin anew in a child process; the parent keeps what waits there."""
        # Not a server's process, which is forked before any request, but one that the
        # app has made: it may end without a word.
        self._forked_in_request = self._environ() is not None
        self._begin()
        self._reports.forked()
        if self._spool is not None:
            self._spool.forget()

    def drain(self, deadline: float) -> bool:
        """Write all that waits; see :meth:`flush`.

        Args:
            deadline: The moment of ``time.monotonic()`` at which to stop.
        """
        if self.is_clear:
            return True
        if not self._writing.acquire(timeout=max(deadline - time.monotonic(), 0)):
            return False
        try:
            return self._write_all(deadline)
        finally:
            self._writing.release()

    def finish(self, deadline: float) -> processes.Remains:
        """Write what waits before the process ends, and return what remains of it.

        Args:
            deadline: As for :meth:`drain`.
        """
        self.drain(deadline)
        with self._lock:
            marks = self._buffer.marks()
            self._buffer.clear()
            if marks and self._spool is not None and not self._backoff.is_failing:
                self._spool.append(marks)  # it was time that was too short
        if self._spool is not None:
            self._spool.close()
            return processes.Remains(kept=len(marks))
        self._reports.lost(marks, "exit")
        return processes.Remains(lost=len(marks))


Added: TypeAlias = Literal["kept", "merged", "full"]
KEPT: Final = "kept"
MERGED: Final = "merged"
"""The same mark waits already, so that one will do."""
FULL: Final = "full"


class Buffer:
    """A bounded line of marks, in the order in which they were made.

    The same user's same event in the same hour is kept once: writing it twice would
    set the same bits.  Not thread-safe by itself.

    Args:
        size: Most marks that are kept.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._marks: dict[Hashable, Mark] = {}
        self._numbers = count()
        self._holds_unmarks = False

    def __len__(self) -> int:
        return len(self._marks)

    def add(self, mark: Mark) -> Added:
        """Keep *mark*, if there is room, and return what became of it."""
        key: Hashable = (mark.bits, mark.user)
        if not mark.value or self._holds_unmarks:
            # Marks and their taking back must keep their order, so each one stands
            # by itself.
            key = next(self._numbers)
        elif key in self._marks:
            # The later one: whoever was erased in between is marked anew.
            self._marks[key] = mark
            return MERGED
        if len(self._marks) >= self._size:
            return FULL
        self._marks[key] = mark
        if not mark.value:
            self._holds_unmarks = True
        return KEPT

    def first(self, most: int) -> list[tuple[Hashable, Mark]]:
        """Return the oldest marks, each with its key for :meth:`remove`."""
        return list(islice(self._marks.items(), most))

    def remove(self, keys: Iterable[Hashable]) -> None:
        """Take marks out."""
        for key in keys:
            self._marks.pop(key, None)
        if not self._marks:
            self._holds_unmarks = False

    def renewed(
        self, batch: Iterable[tuple[Hashable, Mark]], erased: Iterable[Mark]
    ) -> dict[Hashable, Mark]:
        """Return the erased marks in whose place is a later one, by their keys."""
        gone = set(map(id, erased))
        return {
            key: mark
            for key, mark in batch
            if id(mark) in gone and self._marks.get(key, mark) is not mark
        }

    def drop(self, user: User, until: float) -> list[Mark]:
        """Take out the marks of a user that were made until a moment."""
        found = {
            key: mark
            for key, mark in self._marks.items()
            if mark.user == user and mark.made <= until
        }
        self.remove(found)
        return list(found.values())

    def marks(self) -> list[Mark]:
        """Return all marks, the oldest first."""
        return list(self._marks.values())

    def clear(self) -> None:
        """Forget all marks."""
        self._marks.clear()
        self._holds_unmarks = False


class Backoff:
    """Remembers that Redis fails, and tells when to ask it again.

    Args:
        first: Seconds until the first new try.
        most: Most seconds between two tries; each wait is twice the one before.
        clock: Tells the time in seconds.
        between: Returns a number between two others, by chance.
    """

    def __init__(
        self,
        first: float,
        most: float,
        clock: Callable[[], float] = time.monotonic,
        between: Callable[[float, float], float] = _random.uniform,
    ) -> None:
        self._first = min(first, most)
        self._most = most
        self._wait = self._first
        self._clock = clock
        self._between = between
        self._since = 0.0
        self.is_failing = False
        self.error: str | None = None
        """The latest failure, while it fails."""

    @property
    def seconds(self) -> float:
        """How long it has been failing."""
        return self._clock() - self._since if self.is_failing else 0.0

    def wait(self) -> float:
        """Return the seconds to wait before the next try.

        Slightly random, so that many processes do not come back all at once.
        """
        return self._wait * self._between(0.75, 1.0)

    def failed(self, error: Exception, *, retried: bool = False) -> bool:
        """Note a failure and return whether it is the first in a row.

        Args:
            error: What it was.
            retried: Whether it was a new try: the next one then comes later.
        """
        # The error itself would keep alive all that its traceback knows of.
        self.error = f"{type(error).__name__}: {error}"
        if not self.is_failing:
            self.is_failing = True
            self._since = self._clock()
            self._wait = self._first
            return True
        if retried:
            self._wait = min(self._wait * 2, self._most)
        return False

    def works(self) -> None:
        """Note that Redis works."""
        self.is_failing = False
        self.error = None
