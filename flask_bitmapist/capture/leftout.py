"""How many marks were left out since when, for whoever looks at the numbers."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from ..analysis.errors import Text
from ..store.connect import send

if TYPE_CHECKING:
    from redis import Redis

KEY = "flask-bitmapist:left-out"
"""Hash from a kind of reason to a count, and when the first was left out."""

_SINCE = "since"
_KEPT_FOR = 24 * 3600
"""Seconds after the latest mark was left out; then nothing is said any more."""
_SHARED_EVERY = 1.0
_AFTER_FAILURE = 60.0

_WHY = {
    "id not a number": Text("IDs that are not numbers"),
    "id too large": Text("IDs larger than BITMAPIST_MAX_ID"),
    "negative id": Text("negative IDs"),
    "no number left": Text("no number up to BITMAPIST_MAX_ID is left for them"),
    "not an id": Text("values that cannot be IDs"),
    "not saved": Text("objects that were not saved yet"),
    "bad key": Text("IDs that are empty, too long or not valid text"),
    "user without id": Text("the app's code that tells IDs failed"),
    "bad event name": Text("names that no event can have"),
    "bad time": Text("times that cannot be used"),
}


@dataclass(frozen=True)
class LeftOut:
    """Marks of users that were left out."""

    counts: dict[str, int] = field(default_factory=dict)
    """How many, by kind of reason."""
    since: datetime | None = None
    """When the first of them was left out, in UTC; None where there are none."""
    everywhere: bool = True
    """Whether all processes are counted, or this one alone."""

    def told(self, now: datetime) -> list[Text]:
        """Return what to say of them, a sentence for each kind.

        Args:
            now: The moment; of another day the day is told as well.
        """
        if self.since is None:
            return []
        form = "%H:%M UTC" if self.since.date() == now.date() else "%Y-%m-%d %H:%M UTC"
        since = f"{self.since:{form}}"
        return [
            self._sentence(
                count,
                since,
                _WHY.get(kind, Text("%(error)s in the app's code", error=kind)),
            )
            for kind, count in sorted(self.counts.items(), key=lambda each: -each[1])
        ]

    def _sentence(self, count: int, since: str, why: Text) -> Text:
        if count == 1:
            said = Text(
                "1 mark of a signed-in user was left out since %(since)s: %(why)s.",
                since=since,
                why=why,
            )
        else:
            said = Text(
                "%(count)s marks of signed-in users were left out since %(since)s: "
                "%(why)s.",
                count=count,
                since=since,
                why=why,
            )
        if self.everywhere:
            return said
        return Text("%(sentence)s (Counted in this process only.)", sentence=said)


class Tally:
    """Counts the marks that are left out, and shares the counts between processes.

    They go to Redis after a mark was written, once in a second at most, so that a mark
    that is left out costs no round trip.

    Args:
        client: A redis-py client; None to count for this process alone.
    """

    def __init__(self, client: Redis | None) -> None:
        self._client = client
        self.reset()

    def reset(self) -> None:
        """Begin anew, in a process that was forked from another."""
        self._lock = threading.Lock()
        self._pending: Counter[str] = Counter()
        self._own: Counter[str] = Counter()
        self._since = 0.0
        self._next = 0.0

    def add(self, kind: str) -> None:
        """Count a mark that is left out."""
        with self._lock:
            if not self._own:
                self._since = time.time()
            self._own[kind] += 1
            if self._client is not None:
                self._pending[kind] += 1

    def share(self) -> None:
        """Bring what was counted to Redis, if it is time; after a failure, later."""
        if not self._pending or time.monotonic() < self._next:
            return
        with self._lock:
            pending, self._pending = self._pending, Counter()
            self._next = time.monotonic() + _SHARED_EVERY
        commands: list[tuple[Any, ...]] = [("HSETNX", KEY, _SINCE, int(self._since))]
        commands += [("HINCRBY", KEY, kind, n) for kind, n in pending.items()]
        commands.append(("EXPIRE", KEY, _KEPT_FOR))
        try:
            failed = [
                each for each in self._send(commands) if isinstance(each, Exception)
            ]
        except (RedisError, OSError) as error:
            failed = [error]
        if failed:
            with self._lock:
                self._pending.update(pending)
                self._next = time.monotonic() + _AFTER_FAILURE

    def look(self) -> LeftOut:
        """Return what was left out by all processes, as far as Redis tells."""
        values: Any = None
        if self._client is not None:
            try:
                (values,) = self._send([("HGETALL", KEY)])
            except (RedisError, OSError):
                values = None
        with self._lock:
            if not isinstance(values, dict):
                own, since, everywhere = dict(self._own), self._since, False
            else:
                counts = {_text(name): int(count) for name, count in values.items()}
                since = counts.pop(_SINCE, self._since)
                own, everywhere = dict(Counter(counts) + self._pending), True
        if not own:
            return LeftOut()
        return LeftOut(own, datetime.fromtimestamp(since, tz=timezone.utc), everywhere)

    def _send(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        return send(self._client, commands, writes=True)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
