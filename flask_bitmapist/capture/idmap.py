"""Dense ids for an app's own keys of its users."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import islice
from random import SystemRandom
from typing import TYPE_CHECKING, Any

from redis.exceptions import WatchError

from ..store.idmap import IDS_KEY, KEYS_KEY, NEXT_KEY

if TYPE_CHECKING:
    from redis import Redis

MOST_AT_ONCE = 1000

_random = SystemRandom()  # not the one that the app shares and may have seeded


class IdMap:
    """Gives each key of a user the next free whole number, from 0.

    All processes agree: a key gets its number in one transaction of Redis, which is
    repeated if another process has given out a number meanwhile.  NEXT_KEY changes only
    together with IDS_KEY, which is the one that is watched.

    Args:
        client: A redis-py client.
    """

    def __init__(self, client: Redis) -> None:
        self._client: Any = client

    def ids(self, keys: Iterable[str]) -> dict[str, int]:
        """Return the id of each of *keys*; new ones get one.

        Raises:
            redis.exceptions.RedisError: Redis cannot be asked.
        """
        # Nothing is remembered in the process: numbers that outlive a store that was
        # emptied would belong to two users.
        found: dict[str, int] = {}
        for some in _chunks(iter(dict.fromkeys(keys))):
            found.update(self._look_up(some))
            found.update(self._allot([key for key in some if key not in found]))
        return found

    def _look_up(self, keys: list[str]) -> dict[str, int]:
        values = self._client.hmget(IDS_KEY, keys)
        return _known(keys, values)

    def _allot(self, keys: list[str]) -> dict[str, int]:
        attempt = 0
        while keys:
            try:
                return self._try_to_allot(keys)
            except WatchError:
                attempt += 1
                time.sleep(_random.uniform(0, min(0.001 * 2**attempt, 0.05)))
        return {}

    def _try_to_allot(self, keys: list[str]) -> dict[str, int]:
        with self._client.pipeline() as pipeline:
            pipeline.watch(IDS_KEY)
            ids = _known(keys, pipeline.hmget(IDS_KEY, keys))
            first = int(pipeline.get(NEXT_KEY) or 0)
            new = [key for key in keys if key not in ids]
            allotted = {key: number for number, key in enumerate(new, start=first)}
            if allotted:
                pipeline.multi()
                pipeline.hset(IDS_KEY, mapping=allotted)
                pipeline.hset(
                    KEYS_KEY, mapping={number: key for key, number in allotted.items()}
                )
                pipeline.incrby(NEXT_KEY, len(allotted))
                pipeline.execute()
        return ids | allotted


def _known(keys: list[str], values: list[Any]) -> dict[str, int]:
    return {key: int(value) for key, value in zip(keys, values) if value is not None}


def _chunks(keys: Iterator[str]) -> Iterator[list[str]]:
    while some := list(islice(keys, MOST_AT_ONCE)):
        yield some
