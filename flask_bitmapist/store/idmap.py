"""Users as the app knows them, and the bits that stand for them: reading."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..analysis.errors import QueryError, Text
from ..analysis.periods import shorten

if TYPE_CHECKING:
    from redis import Redis

    from ..analysis.users import User

IDS_KEY = "flask-bitmapist:ids"
"""Hash from an app's key of a user to the id."""
KEYS_KEY = "flask-bitmapist:keys"
"""Hash from an id to the app's key of the user."""
NEXT_KEY = "flask-bitmapist:next-id"
"""The id that the next new user gets; ids of forgotten users are not used again."""

LARGEST_BIT = 2**32 - 1
"""The last bit that a bitmap of Redis has."""


class People:
    """The one way from a user to a bit, and back, for every question and surface.

    Args:
        client: A redis-py client, where the app's keys of users have numbers; None
            where users are numbers themselves.
    """

    def __init__(self, client: Redis | None = None) -> None:
        self._client = client

    def bit_of(self, user: Any) -> int | None:
        """Return the bit of a user, or None if their key was never marked.

        Args:
            user: The user's id or key, see :func:`plain_user`.

        Raises:
            QueryError: Nobody can be called so.
        """
        try:
            from ..analysis.users import plain_user

            known = plain_user(user)
        except ValueError as error:
            raise QueryError(error.args[0], field="user") from None
        if self._client is None:
            return _bit(known)
        try:
            found: Any = self._client.hget(IDS_KEY, str(known))
        except UnicodeEncodeError:
            return None
        return None if found is None else int(found)

    def users_of(self, bits: Iterable[int]) -> list[User]:
        """Return the user of each bit as the app knows them.

        A bit whose number was never given out stands for itself.
        """
        numbers = list(bits)
        if self._client is None or not numbers:
            return [*numbers]
        found: Any = self._client.hmget(KEYS_KEY, [str(each) for each in numbers])
        return [
            str(each) if key is None else key.decode("utf-8", "replace")
            for each, key in zip(numbers, found)
        ]


def _bit(user: User) -> int:
    number = user
    if isinstance(number, str):
        text = number.strip()
        is_number = text.isascii() and text.isdigit() and len(text) < 20
        number = int(text) if is_number else -1
    if 0 <= number <= LARGEST_BIT:
        return number
    raise QueryError(
        Text(
            "%(given)s is not a user ID; use a whole number from 0 to %(most)s.",
            given=repr(shorten(user)),
            most=LARGEST_BIT,
        ),
        field="user",
    )
