"""Up to which day the past of events was deleted, as the store has it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

from ..analysis.bitmaps import Cut

if TYPE_CHECKING:
    from redis import Redis

CUTS_KEY = "flask-bitmapist:deleted"
"""Hash of the events whose past was deleted: the day before which it was, and the day
before which nobody knows any more who was there.  A deletion that has not come to the
point where it deletes has an empty text."""

_KNOWN_FOR = 5.0
"""Seconds for which is taken to be so what was so, without asking."""
_REFUSED_FOR = 3600.0
"""Seconds for which a store without hashes is not asked again."""

_logger = logging.getLogger(__name__)


class Cuts:
    """Knows what was deleted, and asks the store every few seconds at most.

    Args:
        client: The client to read through.
    """

    def __init__(self, client: Redis) -> None:
        self._client: Any = client
        self._known: Mapping[str, Cut] = {}
        self._known_until = 0.0

    def known(self, fresh: bool = False) -> Mapping[str, Cut]:
        """Return the events of which something was deleted.

        Args:
            fresh: Ask the store now.

        Raises:
            redis.RedisError: The store does not answer.
        """
        if fresh or time.monotonic() >= self._known_until:
            self._known, keep = self._asked()
            self._known_until = time.monotonic() + keep
        return self._known

    def _asked(self) -> tuple[Mapping[str, Cut], float]:
        try:
            found = self._client.hgetall(CUTS_KEY)
        except ResponseError as error:
            _logger.info("the store does not tell what was deleted: %s", error)
            return {}, _REFUSED_FOR
        cuts = {
            name.decode("utf-8", "surrogateescape"): cut
            for name, text in found.items()
            if (cut := _read(text)) is not None
        }
        return cuts, _KNOWN_FOR


def _read(text: bytes) -> Cut | None:
    try:
        before, *unseen = map(date.fromisoformat, text.decode().split())
    except ValueError:
        return None
    return Cut(before, unseen[0] if unseen else None)


def written(cut: Cut) -> str:
    """Return a cut as it stands in the hash."""
    return " ".join(each.isoformat() for each in cut if each is not None)
