"""What has to happen when a process forks or ends.

A process that returns, exits or meets an exception runs what is registered with
``atexit``; one that gets a signal whose action is the default, or that belongs to
multiprocessing, does not.  Three rules keep what waits:

1. Outside a request nothing waits, since no response is held up there: jobs, scripts
   and forked processes need none of what is below.  (That is decided by who makes the
   marks; see :meth:`~flask_bitmapist.capture.queue.Queue.may_wait`.)
2. SIGTERM and SIGHUP are chained: what waits is written, and then happens what would
   have happened without us.
3. Once asked to end, nothing waits any more: requests may be answered until the end.
"""

from __future__ import annotations

import atexit
import encodings.idna  # noqa: F401
import logging
import os
import queue
import signal
import sys
import threading
import time
import weakref
from collections.abc import Mapping
from types import FrameType
from typing import Any, NamedTuple, Protocol

# The codec of host names is else imported for the first connection.  A process that
# is forked while a thread of ours does so would wait for that thread's import for ever.

END_SECONDS = 5.0
"""How long the end of a process waits for what is still to be written."""

_SIGNALS = [
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
]


class Remains(NamedTuple):
    """What the end of a process has left of what waited."""

    kept: int = 0
    """Marks that are in a file until the next start."""
    lost: int = 0


class Resident(Protocol):
    """Something with threads, locks or waiting data of its process."""

    def after_fork(self) -> None:
        """Begin anew in a child process; the parent keeps what waits there."""

    def drain(self, deadline: float) -> bool:
        """Write what waits, until a moment of ``time.monotonic()``."""

    def finish(self, deadline: float) -> Remains:
        """Write what waits, and return what could not be written."""


_residents: weakref.WeakSet[Resident] = weakref.WeakSet()

is_ending = False
"""Whether this process was asked to end."""

is_prepared = False
"""Whether this process can end while something waits, see :func:`prepare`."""

_fatal: int | None = None
"""The signal that ends this process once what waits is written."""

_before: dict[int, Any] = {}
"""What the signals did before they were chained, by their numbers."""

_asked: queue.SimpleQueue[int]
"""Signals that have come.  Its put() may interrupt itself, as no lock's user may."""

logger = logging.getLogger("flask_bitmapist")


def watch(resident: Resident, *, waits: bool) -> None:
    """Tell *resident* of forks and of the end of the process, while it lives.

    Args:
        resident: Who is told.
        waits: Whether something will wait there although all is well, so that it is
            worth handlers of signals.
    """
    _residents.add(resident)
    if waits:
        _chain_signals()


def prepare() -> None:
    """Get ready for the end of this process, before anything waits in it."""
    global is_prepared, _asked
    _asked = queue.SimpleQueue()
    try:
        # A handler of a signal could not start it.
        threading.Thread(target=_drain_when_asked, args=(_asked,), daemon=True).start()
    except RuntimeError:
        return  # the interpreter is ending, and atexit's turn is still to come
    is_prepared = True
    multiprocessing: Any = sys.modules.get("multiprocessing.process")
    if multiprocessing is not None and multiprocessing.parent_process() is not None:
        # Its children go past atexit, which calls this a second time where they don't.
        from multiprocessing.util import Finalize

        Finalize(None, _at_exit, exitpriority=0)


def ends_unseen(environ: Mapping[str, Any]) -> bool:
    """Return whether the server ends this process without a word to Python.

    Werkzeug's forking server gives each request a process and ends it with os._exit().
    uWSGI calls atexit only if no request is under way, and without a master never.

    Args:
        environ: The WSGI environ of a request.
    """
    if "werkzeug.socket" in environ:
        return bool(environ.get("wsgi.multiprocess"))
    return "uwsgi.version" in environ


def _chain_signals() -> None:
    if threading.current_thread() is not threading.main_thread():
        return  # Python takes handlers from there alone
    for number in _SIGNALS:
        before = signal.getsignal(number)
        # A second time might make a circle with somebody who has chained ours; and
        # what the app ignores, or a host in C handles, stays so.
        if number not in _before and before not in (signal.SIG_IGN, None):
            _before[number] = before
            signal.signal(number, _on_signal)


def _on_signal(number: int, frame: FrameType | None) -> None:
    """Note that the process shall end.  It may have interrupted anything: no locks."""
    global is_ending, _fatal
    is_ending = True
    before = _before[number]
    if callable(before):
        if is_prepared:
            _asked.put(number)
        before(number, frame)
    elif is_prepared and _fatal is None:
        _fatal = number
        _asked.put(number)
    else:
        # Nothing waits, or no more, or somebody is in a hurry.
        _die(number)


def _die(number: int) -> None:
    """End by a signal, as would have been without us; in the main thread."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _drain_when_asked(asked: queue.SimpleQueue[int]) -> None:
    while True:
        number = asked.get()
        if callable(_before[number]):
            # Whoever handles it may go on for long, and ends by atexit.
            _each("drain")
        else:
            _finish()
            # Its handler runs in the main thread, which may just be about to wait for
            # something else, and then notices no signal but the next.
            while True:
                os.kill(os.getpid(), number)
                time.sleep(0.05)


def _finish() -> None:
    """Let all residents end, and tell once, for all apps, what remains of marks."""
    remains = _each("finish")
    kept, lost = (sum(numbers) for numbers in zip(Remains(), *remains))
    if kept:
        logger.warning("%s kept in a file until the next start", _events(kept))
    if lost:
        logger.error(
            "%s lost because the process ended while Redis was failing; set "
            "BITMAPIST_SPOOL_FILE to keep events",
            _events(lost),
        )


def _events(number: int) -> str:
    return "1 event is" if number == 1 else f"{number} events are"


def _each(method: str) -> list[Any]:
    deadline = time.monotonic() + END_SECONDS
    returned = []
    for resident in list(_residents):
        try:
            returned.append(getattr(resident, method)(deadline))
        except Exception:
            logger.exception("buffered events could not be written at the end")
    return returned


def _at_exit() -> None:
    global is_ending
    is_ending = True
    _finish()
    if _fatal is not None:
        _die(_fatal)  # the main thread came to its end before what waits was written


def _after_fork() -> None:
    global is_ending, is_prepared, _fatal
    is_ending = is_prepared = False
    _fatal = None
    for resident in list(_residents):
        resident.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
