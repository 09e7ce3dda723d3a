"""Bitmaps of some users alone, and bitmaps that several answers share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import Any

from .bitmaps import Bitmaps, Stripe
from .expressions import Cut, Source
from .layers import Over
from .periods import AsOf
from .users import Selection, has_user

MOST_KEPT = 32 * 1024 * 1024
"""Bytes of bitmaps that are kept for the next answer of the same question."""


class Among(Over):
    """Bitmaps that have some users alone; others are in none of them.

    Whatever is made of such bitmaps user by user, as all that questions do, is the same
    as if it had been made of all users, and these picked out then.

    Args:
        bitmaps: Where the bitmaps of all users come from.
        users: Who is in them.  They may be told by whom they are not, without anything
            to take that from.
    """

    def __init__(self, bitmaps: Bitmaps, users: Selection) -> None:
        super().__init__(bitmaps)
        self._users = users

    def stripes(self, sources: Sequence[Source], passes: int = 0) -> Iterator[Stripe]:
        """Yield the bitmaps stripe by stripe, see :meth:`Bitmaps.stripes`."""
        every = (*sources, *self._users.sources)
        for stripe in self._bitmaps.stripes(every, passes + len(every)):
            yield stripe.among(self._users.words(stripe))

    def contains(self, sources: Sequence[Source], user_id: int) -> list[bool]:
        """Return for each of *sources* whether *user_id* is in it, and one of these."""
        if not has_user([self._users], self._bitmaps, user_id)[0]:
            return [False] * len(sources)
        return self._bitmaps.contains(sources, user_id)

    def within(self, most_work: int) -> Among:
        """Return the same bitmaps, for so many bytes of work at most."""
        return Among(self._bitmaps.within(most_work), self._users)


class Shared(Over):
    """Bitmaps that several answers ask for: read once, if they are not too many.

    All answers see the same moment, then.  What is too much to be kept is read again,
    and so is everything that is asked for after the end of the ``with`` block.

    Args:
        bitmaps: Where the bitmaps come from.
        answers: How many answers ask for the same; the work of all is counted at once.
    """

    def __init__(self, bitmaps: Bitmaps, answers: int) -> None:
        super().__init__(bitmaps)
        self._answers = answers
        self._stripes: dict[tuple[Source, ...], list[Stripe]] = {}
        self._counted: set[tuple[Source, ...]] = set()
        self._told: dict[tuple[Any, ...], Any] = {}
        self._room = MOST_KEPT
        self._is_over = False

    def __enter__(self) -> Shared:
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over = True
        self._stripes.clear()
        self._told.clear()

    def stripes(self, sources: Sequence[Source], passes: int = 0) -> Iterator[Stripe]:
        """Yield the bitmaps stripe by stripe, see :meth:`Bitmaps.stripes`."""
        if self._is_over:
            yield from self._bitmaps.stripes(sources, passes)
            return
        asked = tuple(sources)
        if asked in self._stripes:
            yield from self._stripes[asked]
            return
        is_counted = asked in self._counted
        self._counted.add(asked)
        read: list[Stripe] = []
        size = 0
        every = 0 if is_counted else passes * self._answers
        for stripe in self._bitmaps.stripes(asked, every):
            size += stripe.matrix.nbytes
            if size > self._room:
                read.clear()
            else:
                read.append(stripe)
            yield stripe
        if size <= self._room:
            self._room -= size
            self._stripes[asked] = read

    def counts(self, sources: Sequence[Source]) -> list[int]:
        """Return the number of users of each of *sources*."""
        found: list[int] = self._once(self._bitmaps.counts, tuple(sources))
        return found

    def years(self, events: Sequence[str], until: int) -> dict[str, list[int]]:
        """Return the years in which there is a bitmap of a month of each event."""
        found: dict[str, list[int]] = self._once(
            self._bitmaps.years, tuple(events), until
        )
        return found

    def exist(self, sources: Sequence[Source]) -> list[bool]:
        """Return for each of *sources*, all stored ones, whether there is a bitmap."""
        found: list[bool] = self._once(self._bitmaps.exist, tuple(sources))
        return found

    def cuts(self, events: Sequence[str], fresh: bool = False) -> dict[str, Cut]:
        """Return what of the past of *events* was deleted."""
        found: dict[str, Cut] = self._once(self._bitmaps.cuts, tuple(events), fresh)
        return found

    def have_parts(self, sources: Sequence[Source]) -> list[bool | None]:
        """Return whether months have days, and days hours."""
        found: list[bool | None] = self._once(self._bitmaps.have_parts, tuple(sources))
        return found

    def first_days(self, events: Sequence[str], as_of: AsOf) -> dict[str, date]:
        """Return the first day that is kept of each of *events*."""
        found: dict[str, date] = self._once(
            self._bitmaps.first_days, tuple(events), as_of
        )
        return found

    def contains(self, sources: Sequence[Source], user_id: int) -> list[bool]:
        """Return for each of *sources* whether *user_id* is in it."""
        found: list[bool] = self._once(self._bitmaps.contains, tuple(sources), user_id)
        return found

    def within(self, most_work: int) -> Shared:
        """Return the same bitmaps, for so many bytes of work at most."""
        return Shared(self._bitmaps.within(most_work), self._answers)

    def _once(self, ask: Callable[..., Any], *arguments: Any) -> Any:
        if self._is_over:
            return ask(*arguments)
        asked = (ask.__name__, *arguments)
        if asked not in self._told:
            self._told[asked] = ask(*arguments)
        return self._told[asked]
