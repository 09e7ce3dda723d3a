"""Remembers that Redis fails, so that not everybody has to find out."""

from __future__ import annotations

import time
from random import SystemRandom

# Not the generator that the app shares: an app that has seeded it relies on its
# numbers, and forked processes must not wait for the same times.
_random = SystemRandom()


class Breaker:
    """Open while Redis fails; tells when to try again.

    Args:
        first: Seconds until the first new try.
        most: Most seconds between two tries; each wait is twice the one before.
    """

    def __init__(self, first: float, most: float) -> None:
        self._first = min(first, most)
        self._most = most
        self._wait = self._first
        self.is_open = False
        self.error: str | None = None
        """The latest failure, while open."""
        self._since = 0.0

    @property
    def seconds(self) -> float:
        """How long it has been open."""
        return time.monotonic() - self._since if self.is_open else 0.0

    @property
    def wait(self) -> float:
        """Seconds to wait before the next try.

        Slightly random, so that many processes do not come back all at once.
        """
        return self._wait * _random.uniform(0.75, 1.0)

    def failed(self, error: Exception) -> bool:
        """Note a failure and return whether it is the first in a row."""
        self.error = _text(error)
        if self.is_open:
            return False
        self._wait = self._first
        self._since = time.monotonic()
        self.is_open = True
        return True

    def failed_again(self, error: Exception) -> None:
        """Note that a new try has failed: the next one comes later."""
        self.error = _text(error)
        self._wait = min(self._wait * 2, self._most)

    def close(self) -> None:
        """Note that Redis works."""
        self.is_open = False
        self.error = None


def _text(error: Exception) -> str:
    # The error itself would keep alive all that its traceback knows of.
    return f"{type(error).__name__}: {error}"
