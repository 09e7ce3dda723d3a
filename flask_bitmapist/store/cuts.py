"""Up to which day the past of events was deleted, as the store has it."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

from ..analysis.expressions import Cut
from .keys import seen_key

if TYPE_CHECKING:
    from redis import Redis

CUTS_KEY = "flask-bitmapist:deleted"
"""Hash of the events whose past was deleted: the day before which it was, and the day
before which nobody knows any more who was there.  The text is empty while a deletion
has yet to come to the point where it deletes: who was there may be kept by then."""

_KNOWN_FOR = 5.0
"""Seconds for which is taken to be so what was so, without asking."""
_REFUSED_FOR = 3600.0
"""Seconds for which a store without hashes is not asked again."""

_UNKNOWN = re.compile("unknown command|unsupported|not supported", re.IGNORECASE)

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


def begin_cut(client: Redis, event: str) -> bool:
    """Note that who did an event at a time that is deleted is going to be kept.

    From here on the event is found by :func:`seen_keys`.

    Args:
        client: The client to write through.
        event: The event's name.

    Returns:
        Whether the store can note it, which takes hashes.
    """
    try:
        _plain(client).hsetnx(CUTS_KEY, _encoded(event), "")
    except ResponseError as error:
        if not _UNKNOWN.search(str(error)):
            raise
        return False
    return True


def set_cut(client: Redis, event: str, cut: Cut) -> None:
    """Note what of an event's past is deleted.

    Args:
        client: The client to write through.
        event: The event's name.
        cut: What is deleted; never less than was before.
    """
    days = (each.isoformat() for each in cut if each is not None)
    _plain(client).hset(CUTS_KEY, _encoded(event), " ".join(days))


def remove_cuts(client: Redis, events: Iterable[str] | None) -> None:
    """Forget what was deleted of events, and who was there.

    Args:
        client: The client to write through.
        events: Their names; None for all.
    """
    plain = _plain(client)
    try:
        names = plain.hkeys(CUTS_KEY) if events is None else map(_encoded, events)
        for name in names:
            plain.delete(seen_key(name))
            plain.hdel(CUTS_KEY, name)
    except ResponseError as error:
        if not _UNKNOWN.search(str(error)):
            raise


def seen_keys(client: Redis) -> list[bytes]:
    """Return the keys of the bitmaps of who did an event at a time that was deleted.

    Raises:
        redis.RedisError: The store does not answer.
    """
    try:
        return list(map(seen_key, _plain(client).hkeys(CUTS_KEY)))
    except ResponseError as error:
        if not _UNKNOWN.search(str(error)):
            raise
        return []  # without hashes there are none


def _encoded(event: str) -> bytes:
    return event.encode("utf-8", "surrogateescape")


def _plain(client: Redis) -> Any:
    return client
