"""The ids that stand for an app's own keys of its users: reading them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis import Redis

IDS_KEY = "flask-bitmapist:ids"
"""Hash from an app's key of a user to the id."""
KEYS_KEY = "flask-bitmapist:keys"
"""Hash from an id to the app's key of the user."""
NEXT_KEY = "flask-bitmapist:next-id"
"""The id that the next new user gets; ids of forgotten users are not used again."""


class KnownIds:
    """Looks up ids and keys of users; never gives out a new one.

    Args:
        client: A redis-py client.
    """

    def __init__(self, client: Redis) -> None:
        self._client = client

    def id_of(self, key: object) -> int | None:
        """Return the id of a user, or None if they have never been marked.

        Args:
            key: The app's key of the user: a string, a UUID, a number, ….
        """
        found = self._client.hget(IDS_KEY, str(key))
        return None if found is None else int(found)  # type: ignore[arg-type]

    def keys_of(self, ids: Iterable[int]) -> list[str]:
        """Return the app's own key of each user, in the order of *ids*.

        An id that was never given out stands for itself.
        """
        ids = list(ids)
        if not ids:
            return []
        found = self._client.hmget(KEYS_KEY, [str(each) for each in ids])
        return [
            str(each) if key is None else key.decode("utf-8", "replace")
            for each, key in zip(ids, found)  # type: ignore[arg-type]
        ]

    def count(self) -> int:
        """Return how many users have an id."""
        return int(self._client.hlen(IDS_KEY))  # type: ignore[arg-type]
