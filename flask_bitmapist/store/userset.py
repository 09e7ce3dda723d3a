"""Users as a set that reads Redis when it is looked at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from numbers import Integral

from ..analysis.bitmaps import Bitmaps
from ..analysis.users import (
    Selection,
    UsersPage,
    count_users,
    is_selected,
    page_of_users,
    stream_users,
)
from .keys import redis_key


class UserSet(Set[int]):
    """The ids of some users, for example of those who did X this week.

    Each look is a fresh read of Redis.  Ids are iterated in ascending order, without
    holding all of them at once.  The operators of a set (``&``, ``|``, ``-``, ``<=``,
    ``==``) work with any other set and give plain Python sets.

    Args:
        bitmaps: Where the bitmaps come from.
        selection: Which users.
    """

    def __init__(self, bitmaps: Bitmaps, selection: Selection) -> None:
        self._bitmaps = bitmaps
        self.selection = selection

    @classmethod
    def _from_iterable(cls, it: Iterable[int]) -> set[int]:  # type: ignore[override]
        return set(it)

    @property
    def redis_key(self) -> str:
        """The key of the bitmap, which lets bitmapist's own operations take this.

        Raises:
            AttributeError: Several bitmaps make up this set, so it has no key.
        """
        if self.selection.bitmap is None:
            raise AttributeError("a set made of several bitmaps has no key in Redis")
        return redis_key(self.selection.bitmap).decode()

    def page(self, page: int = 1, per_page: int = 100) -> UsersPage:
        """Return one page of the ids.

        Args:
            page: Number of the page, from 1; a page after the last one is empty.
            per_page: Ids on a page.

        Raises:
            QueryError: *page* or *per_page* is less than 1.
        """
        return page_of_users(self.selection, self._bitmaps, page, per_page)

    def __len__(self) -> int:
        if self.selection.bitmap is not None:
            return self._bitmaps.counts([self.selection.bitmap])[0]
        return count_users(self.selection, self._bitmaps)

    def __iter__(self) -> Iterator[int]:
        for ids in stream_users(self.selection, self._bitmaps):
            yield from ids.tolist()

    def __contains__(self, user_id: object) -> bool:
        # A number, also of another kind, as of an IntEnum or of numpy.
        number = int(user_id) if isinstance(user_id, Integral) else -1
        if not 0 <= number < 2**32:
            return False
        return is_selected(self.selection, self._bitmaps, number)

    def __repr__(self) -> str:
        return f"<UserSet {self.selection.text!r}>"
