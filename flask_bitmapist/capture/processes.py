"""What has to happen when a process forks or ends."""

from __future__ import annotations

import atexit
import encodings.idna  # noqa: F401
import os
import weakref
from typing import Protocol

# The codec of host names is else imported for the first connection.  A process that
# is forked while a thread of ours does so would wait for that thread's import for ever.


class Resident(Protocol):
    """Something with threads, locks or waiting data of its process."""

    def after_fork(self) -> None:
        """Begin anew in a child process; the parent keeps what waits there."""

    def at_exit(self) -> None:
        """Finish before the process ends."""


_residents: weakref.WeakSet[Resident] = weakref.WeakSet()


def watch(resident: Resident) -> None:
    """Tell *resident* of forks and of the end of the process, while it lives."""
    _residents.add(resident)


def _after_fork() -> None:
    for resident in list(_residents):
        resident.after_fork()


def _at_exit() -> None:
    for resident in list(_residents):
        resident.at_exit()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
