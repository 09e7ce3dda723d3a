"""Users as a set that reads Redis when it is looked at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

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
    without holding all of them at once; ``in`` takes whatever
    :func:`~flask_bitmapist.mark` takes, and :attr:`bits` alone has the numbers of their
    bits.  The operators of a set (``&``, ``|``, ``-``, ``<=``, ``==``) work with any
    other set and give plain Python sets.

    What bitmapist's event classes have for reading is here by the same names; the
    rest is told what to use instead.

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
            raise AttributeError(_told("redis_key"))
        return redis_key(self.selection.bitmap).decode()

    def get_count(self) -> int:
        """Return how many users there are; ``len`` does as well."""
        return len(self)

    def has_events_marked(self) -> bool:
        """Return whether there is anybody; ``bool`` does as well."""
        return bool(self)

    def get_uuids(self) -> Iterator[User]:
        """Yield the users; iterating does as well."""
        return iter(self)

    @property
    def bits(self) -> Iterator[int]:
        """The numbers of the users' bits, ascending, as bitmapist itself knows them."""
        for found in stream_users(self._unmarked, self._bitmaps):
            yield from found.ids.tolist()

    @property
    def marked(self) -> Mapping[str, UserSet]:
        """Those of whom lists say something more, by the name of that.

        Of those who dropped off in a funnel there is ``entered_again``.
        """
        return {
            mark.name: UserSet(
                self._bitmaps, self.selection.marked(mark), self._identity
            )
            for mark in self.selection.marks
        }

    def listed(self) -> Iterator[list[Any]]:
        """Yield a heading, and a line for each user with what is said of them."""
        yield ["user_id", *(mark.name for mark in self.selection.marks)]
        yield from self._lines(self.selection)

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
        for user, *_ in self._lines(self._unmarked):
            yield user

    @property
    def _unmarked(self) -> Selection:
        return replace(self.selection, marks=())

    def _lines(self, selection: Selection) -> Iterator[list[Any]]:
        for ids, marks in stream_users(selection, self._bitmaps):
            for start in range(0, len(ids), _AT_ONCE):
                some = slice(start, start + _AT_ONCE)
                users = self._identity.users_of(ids[some].tolist())
                lines = zip(users, *(held[some].tolist() for held in marks))
                yield from map(list, lines)

    def __contains__(self, user: object) -> bool:
        try:
            bit = self._identity.bit_of(user)
        except QueryError:
            return False
        return bit is not None and has_user([self.selection], self._bitmaps, bit)[0]

    def __hash__(self) -> NoReturn:
        # bitmapist's operations come here with what has no key, taking it for a name.
        raise TypeError(f"a set of users cannot be hashed; {_told('redis_key')}")

    def __invert__(self) -> NoReturn:
        raise TypeError(
            "everybody else is without end; subtract from a set, as in a - b, or ask "
            "for an expression such as 'a and not b'"
        )

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name in _INSTEAD:
                raise AttributeError(_told(name))
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute {name!r}"
            )

    def __reduce__(self) -> Any:
        raise TypeError(
            "a UserSet reads its store when it is looked at and cannot be pickled; "
            "pickle set(users), or one page of them"
        )

    def __repr__(self) -> str:
        return f"<UserSet {self.selection.text!r}>"


_OTHER_PERIOD = "ask for the other period, get_event_data(event, time_group, now=…)"
_INSTEAD = {
    "delete": "FlaskBitmapist.deletion(event), which also says what would go",
    "delta": _OTHER_PERIOD,
    "event_name": "selection.text, which says who they are",
    "next": _OTHER_PERIOD,
    "period_end": "Period.containing(time_group, now).end",
    "period_start": "Period.containing(time_group, now).start",
    "prev": _OTHER_PERIOD,
    "redis_key": "&, | and -, which take any set; several bitmaps have no key",
    "system": "the argument system of what gave this set",
}
"""What bitmapist's event classes have, and what to use for it here."""


def _told(name: str) -> str:
    return f"a set of users has no {name!r}; use {_INSTEAD[name]}"


_AT_ONCE = 4096
"""Most users whose keys are looked up in one command."""
