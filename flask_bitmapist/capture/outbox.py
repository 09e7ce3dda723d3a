"""Marks on their way to one Redis, whether it works or not.

While Redis works, a mark is written in the call that makes it (or, in background
mode, soon after by a thread).  When Redis fails, the caller waits for it once; from
then on marks are kept, and a thread tries again, ever more rarely, and writes what
has been kept as soon as Redis takes it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

from redis.exceptions import ConnectionError as RedisConnectionError

from ..analysis.errors import BadMarkError
from . import processes
from .breaker import Breaker
from .buffer import FULL, KEPT, Buffer
from .reports import Reports
from .spool import Spool
from .writer import FAILURES, Writer

if TYPE_CHECKING:
    from ..config import Settings
    from .bits import Mark

logger = logging.getLogger("flask_bitmapist")

# A thread without work ends after a while, so that apps that are gone leave none.
IDLE_SECONDS = 10.0

_MEANWHILE = {
    "buffer": "they are buffered and written later",
    "ignore": "they are lost",
    "raise": "the app gets the error",
}


class Outbox:
    """Brings marks to one Redis; for use by any number of threads.

    Args:
        writer: How marks are written.
        settings: Timeouts, sizes and what to do on an error.
        reports: Told what becomes of each mark.
        spool: Where waiting marks are kept as well, if anywhere.
    """

    def __init__(
        self,
        writer: Writer,
        settings: Settings,
        reports: Reports,
        spool: Spool | None = None,
    ) -> None:
        self._writer = writer
        self._settings = settings
        self._reports = reports
        self._spool = spool
        self._in_background = settings.mark_mode == "background"
        self._begin()
        processes.watch(self)
        if spool is not None and spool.has_leftovers():
            self._start_worker()

    def _begin(self) -> None:
        settings = self._settings
        self._buffer = Buffer(settings.buffer_size)
        self._breaker = Breaker(settings.retry_first, settings.retry_max)
        # Guards the buffer, the breaker and the spool; never held while Redis is
        # asked.  The other one lets only one thread at a time write what waits.
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._worker: threading.Thread | None = None
        self._something_waits = threading.Event()
        self._batch_is_full = threading.Event()
        self._leftovers_seen = self._spool is None

    @property
    def waiting(self) -> int:
        """Marks that wait for Redis."""
        return len(self._buffer)

    @property
    def error(self) -> str | None:
        """Why Redis is not being asked now, or None if it is."""
        return self._breaker.error

    @property
    def failing_for(self) -> float:
        """Seconds since Redis began to fail; 0 while it works."""
        return self._breaker.seconds

    def put(self, marks: Sequence[Mark]) -> None:
        """Write *marks*, or keep them until they can be written.

        Raises:
            BadMarkError: A user can have no bit; the others' marks are written.
            redis.exceptions.RedisError: They cannot be written, and
                ``BITMAPIST_ON_ERROR`` is ``"raise"``.
        """
        if not self._leftovers_seen:
            self._start_worker()
        if self._in_background:
            self._keep(marks)
        elif self._breaker.is_open or self._buffer:
            # Behind those that wait already, so that marks keep their order.
            self._keep_or_give_up(marks, None)
        else:
            self._write(marks)

    def flush(self) -> bool:
        """Write all that waits, now.

        Returns:
            Whether everything is written.
        """
        done = self._drain_alone()
        if not done:
            self._start_worker()
        return done

    def _drain_alone(self) -> bool:
        with self._flushing:
            return self._drain()

    # --- In the thread that marks

    def _write(self, marks: Sequence[Mark]) -> None:
        try:
            refused = self._writer.write(marks)
        except FAILURES as error:
            self._reports.counters.add(failed=len(marks))
            self._note_failure(error)
            self._keep_or_give_up(marks, error)
            return
        self._reports.written(marks, refused)
        self._reports.share()
        for _, told in refused:
            if isinstance(told, BadMarkError) or self._settings.on_error == "raise":
                raise told

    def _keep_or_give_up(self, marks: Sequence[Mark], error: Exception | None) -> None:
        if self._settings.on_error == "buffer":
            self._keep(marks)
            return
        self._start_worker()
        self._reports.counters.add(marked=len(marks))
        self._reports.lost(marks, "error")
        if self._settings.on_error == "raise":
            raise error or self._unavailable()

    def _keep(self, marks: Sequence[Mark]) -> None:
        kept: list[Mark] = []
        full: list[Mark] = []
        with self._lock:
            before = len(self._buffer)
            for mark in marks:
                added = self._buffer.add(mark)
                if added == KEPT:
                    kept.append(mark)
                elif added == FULL:
                    full.append(mark)
            if self._breaker.is_open:
                self._save(kept)
            idle = self._worker is None
        self._reports.kept(kept, len(marks) - len(kept) - len(full), full)
        after = before + len(kept)
        if idle or not before:
            self._start_worker()
        if before < self._settings.batch_size <= after:
            self._batch_is_full.set()

    def _save(self, marks: Sequence[Mark]) -> None:
        """Keep marks in the file as well; the caller holds the lock."""
        if self._spool is None:
            return
        if self._spool.lines > 2 * self._settings.buffer_size:
            self._spool.rewrite(self._buffer.marks())
        else:
            self._spool.append(marks)

    def _unavailable(self) -> RedisConnectionError:
        return RedisConnectionError(
            f"Redis has been failing for {self._breaker.seconds:.1f} s and is asked "
            f"again in a moment; the last error was: {self._breaker.error}"
        )

    def _note_failure(self, error: Exception) -> None:
        with self._lock:
            first = self._breaker.failed(error)
            if first:
                self._save(self._buffer.marks())
        if first:
            self._reports.log(
                logging.WARNING,
                "failing",
                "Redis does not accept events (%s: %s); %s",
                type(error).__name__,
                error,
                _MEANWHILE[self._settings.on_error],
            )

    # --- In the thread that writes what waits

    def _start_worker(self) -> None:
        self._something_waits.set()
        with self._lock:
            if self._worker is not None and self._worker.is_alive():
                return
            self._worker = threading.Thread(
                target=self._work, name="bitmapist-marks", daemon=True
            )
            try:
                self._worker.start()
            except RuntimeError:
                # The interpreter is ending; what waits is written by at_exit().
                self._worker = None

    def _work(self) -> None:
        while self._has_work():
            try:
                self._round()
            except Exception:
                # A thread that ended here would leave marks waiting for ever.
                logger.exception("buffered events could not be written")
                time.sleep(self._settings.retry_max)

    def _round(self) -> None:
        with self._flushing:
            if self._drain() and not self._leftovers_seen:
                self._take_leftovers()

    def _has_work(self) -> bool:
        """Wait until there is something to do; False if the thread may end."""
        if self._breaker.is_open:
            time.sleep(self._breaker.wait)
            return True
        if self._in_background and self._something_waits.wait(IDLE_SECONDS):
            self._batch_is_full.wait(self._settings.flush_interval)
            return True
        with self._lock:
            if self._buffer or self._breaker.is_open or not self._leftovers_seen:
                return True
            # The next mark that has to wait starts another thread.
            self._worker = None
            return False

    def _drain(self) -> bool:
        """Write all that waits; the caller holds the lock for it."""
        self._something_waits.clear()
        self._batch_is_full.clear()
        asked = False
        try:
            while not self._is_done(asked):
                with self._lock:
                    batch = self._buffer.first(self._settings.batch_size)
                if batch:
                    self._write_batch(batch)
                else:
                    self._writer.ping()
                asked = True
        except FAILURES as error:
            if self._breaker.is_open:
                self._breaker.failed_again(error)
            self._note_failure(error)
            self._give_up_waiting()
            return False
        return True

    def _is_done(self, asked: bool) -> bool:
        """Close the breaker if nothing waits and Redis has answered."""
        with self._lock:
            if self._buffer:
                return False
            if not self._breaker.is_open:
                return True
            if not asked:
                return False
            seconds = self._breaker.seconds
            self._breaker.close()
            self._leftovers_seen = self._spool is None
        self._reports.log(
            logging.WARNING,
            "working",
            "Redis accepts events again after %.1f s; %d events were lost in total",
            seconds,
            self._reports.counters.dropped,
        )
        return True

    def _write_batch(self, batch: Sequence[tuple[Hashable, Mark]]) -> None:
        refused = self._writer.write([mark for _, mark in batch])
        with self._lock:
            self._buffer.remove(key for key, _ in batch)
            if not self._buffer and self._spool is not None:
                self._spool.clear()
        self._reports.flushed(len(batch), refused)
        self._reports.share()

    def _give_up_waiting(self) -> None:
        """Drop what a failing Redis does not take, if it is not to be kept."""
        if self._settings.on_error != "ignore":
            return
        with self._lock:
            marks = self._buffer.marks()
            self._buffer.clear()
        self._reports.lost(marks, "error")

    def _take_leftovers(self) -> None:
        """Write what ended processes have left behind in their files."""
        self._leftovers_seen = True
        try:
            for leftover in self._spool.leftovers() if self._spool else ():
                for marks in leftover.batches(self._settings.batch_size):
                    self._reports.recovered(len(marks), self._writer.write(marks))
                leftover.remove()
        except FAILURES as error:
            self._leftovers_seen = False
            self._note_failure(error)

    # --- The life of the process

    def after_fork(self) -> None:
        """Begin anew in a child process; the parent keeps what waits there."""
        self._begin()
        self._reports.forked()
        if self._spool is not None:
            self._spool.forget()

    def at_exit(self) -> None:
        """Write what waits before the process ends, or say that it is lost."""
        if self._buffer and not self._drain_alone():
            marks = self._buffer.marks()
            if self._spool is not None:
                logger.warning(
                    "%d events are kept in a file until the next start", len(marks)
                )
            else:
                self._reports.lost(marks, "exit")
                logger.error(
                    "%d events are lost because the process ended while Redis "
                    "was failing; set BITMAPIST_SPOOL_FILE to keep them",
                    len(marks),
                )
        if self._spool is not None:
            self._spool.close()
