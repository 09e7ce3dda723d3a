"""Users as a set that reads Redis when it is looked at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from dataclasses import replace

from ..analysis.bitmaps import Bitmaps
from ..analysis.errors import QueryError
from ..analysis.results import User
from ..analysis.users import (
    Selection,
    UsersPage,
    count_users,
    has_user,
    page_of_users,
    stream_users,
)
from ..identity import Identity
from .keys import redis_key


class UserSet(Set[User]):
    """Some users as the app knows them, for example those who did X this week.

    Each look is a fresh read of Redis.  Users are iterated in the order of their bits,
    without holding all of them at once; ``in`` takes whatever :func:`mark` takes, and
    :attr:`bits` alone has the numbers of their bits.  The operators of a set (``&``,
    ``|``, ``-``, ``<=``, ``==``) work with any other set and give plain Python sets.

    Args:
        bitmaps: Where the bitmaps come from.
        selection: Which users.
        identity: Tells which bit is whose.
    """

    def __init__(
        self, bitmaps: Bitmaps, selection: Selection, identity: Identity
    ) -> None:
        self._bitmaps = bitmaps
        self._identity = identity
        self.selection = selection

    @classmethod
    def _from_iterable(cls, it: Iterable[User]) -> set[User]:  # type: ignore[override]
        return set(it)

    @property
    def redis_key(self) -> str:
        """The key of the bitmap, which lets bitmapist's own operations take this.

        Raises:
            AttributeError: Several bitmaps make up this set, so it has no key.
        """
        if self.selection.bitmap is None:
            raise AttributeError("a set made from several bitmaps has no Redis key")
        return redis_key(self.selection.bitmap).decode()

    @property
    def bits(self) -> Iterator[int]:
        """The numbers of the users' bits, ascending, as bitmapist itself knows them."""
        for numbers in stream_users(self.selection, self._bitmaps):
            yield from numbers.tolist()

    def get_count(self) -> int:
        """Return how many there are, as sets of bitmapist do: ``len(users)``."""
        return len(self)

    def has_events_marked(self) -> bool:
        """Return whether there is anybody, as sets of bitmapist do."""
        return len(self) > 0

    def get_uuids(self) -> Iterator[User]:
        """Yield the users, as sets of bitmapist do: ``iter(users)``."""
        return iter(self)

    def page(self, page: int = 1, per_page: int = 100) -> UsersPage:
        """Return one page of the users.

        Args:
            page: Number of the page, from 1; a page after the last one is empty.
            per_page: Users on a page.

        Raises:
            QueryError: *page* or *per_page* is less than 1.
        """
        found = page_of_users(self.selection, self._bitmaps, page, per_page)
        # As it comes from the bitmaps, a page has bits.
        users = self._identity.users_of(map(int, found.ids))
        return replace(found, ids=tuple(users))

    def __len__(self) -> int:
        return count_users([self.selection], self._bitmaps)[0]

    def __iter__(self) -> Iterator[User]:
        for numbers in stream_users(self.selection, self._bitmaps):
            for start in range(0, len(numbers), _AT_ONCE):
                some = numbers[start : start + _AT_ONCE]
                yield from self._identity.users_of(some.tolist())

    def __contains__(self, user: object) -> bool:
        try:
            bit = self._identity.bit_of(user)
        except QueryError:
            return False
        return bit is not None and has_user([self.selection], self._bitmaps, bit)[0]

    def __repr__(self) -> str:
        return f"<UserSet {self.selection.text!r}>"


_AT_ONCE = 4096
"""Most users whose keys are looked up in one command."""
