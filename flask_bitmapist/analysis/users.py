"""The users behind a number: their ids in order, and how many they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from .bitmaps import Bitmaps, Rows, Stripe, Words, are_in, user_ids, words_of
from .counting import count_bits
from .errors import QueryError, Text
from .expressions import Event, Expression, Flag, Source, require_bounded
from .periods import Period
from .results import Result, Table, User


class Mark(NamedTuple):
    """What some of the selected users are marked with where they are listed."""

    name: str
    """What it is called in JSON, files and Python."""
    label: Text
    """What it is called on pages."""
    users: Callable[[Stripe], Words]
    """Gives the bitmap of those who have it in a stripe; others may be in it too."""


@dataclass(frozen=True)
class Selection:
    """Users, told by the bitmaps that they come from and what is made of these."""

    sources: tuple[Source, ...]
    words: Callable[[Stripe], Words]
    """Gives the bitmap of the selected users in a stripe."""
    text: str
    """Who they are, in words."""
    bitmap: Source | None = None
    """The stored bitmap that holds just these users, where there is one."""
    marks: tuple[Mark, ...] = ()
    """What is said of each of them in lists; of the same bitmaps."""

    def marked(self, mark: Mark) -> Selection:
        """Select those of the users who have one of the marks."""
        text = Text("%(who)s: %(mark)s", who=self.text, mark=mark.label)
        return Selection(
            self.sources, lambda stripe: self.words(stripe) & mark.users(stripe), text
        )


class UsersPageDict(TypedDict):
    """One page of a list of users."""

    users: str
    ids: list[User]
    total: int
    page: int
    pages: int
    per_page: int
    marks: NotRequired[dict[str, list[bool]]]
    """What is said of users beside that, such as ``entered_again``: whether it is so,
    for each of the ids."""


@dataclass(frozen=True)
class UsersPage(Result):
    """One page of a list of users."""

    users: str
    """Who they are, in words."""
    ids: tuple[User, ...]
    """The users on this page as the app knows them, in the order of their bits."""
    total: int
    """Users on all pages."""
    page: int
    """Number of this page, from 1."""
    per_page: int
    marks: Mapping[str, tuple[bool, ...]] = field(default_factory=dict)
    """What is said of users beside that, by its name, and whether it is so for each of
    :attr:`ids`."""

    @property
    def pages(self) -> int:
        """Number of pages, at least 1."""
        return max(1, -(-self.total // self.per_page))

    def to_dict(self) -> UsersPageDict:
        told: UsersPageDict = {
            "users": self.users,
            "ids": list(self.ids),
            "total": self.total,
            "page": self.page,
            "pages": self.pages,
            "per_page": self.per_page,
        }
        if self.marks:
            told["marks"] = {name: list(held) for name, held in self.marks.items()}
        return told

    def table(self) -> Table:
        rows = zip(map(str, self.ids), *self.marks.values())
        return Table(["user_id", *self.marks], list(map(list, rows)))


def expression_users(expression: Expression, period: Period) -> Selection:
    """Select the users for whom *expression* holds in *period*.

    Raises:
        QueryError: The expression is not bounded.
    """
    require_bounded(expression, "event")
    sources = tuple(dict.fromkeys(expression.sources(period)))
    own = isinstance(expression, (Event, Flag)) and sources[0].parts() == sources
    return Selection(
        sources=sources,
        words=lambda stripe: expression.evaluate(stripe, period),
        text=Text("%(who)s in %(period)s", who=expression, period=period),
        bitmap=sources[0] if own else None,
    )


def count_users(selections: Sequence[Selection], bitmaps: Bitmaps) -> list[int]:
    """Return how many users each of *selections* has."""
    stored = [each.bitmap for each in selections if each.bitmap is not None]
    # Redis counts a bitmap that it keeps by itself.
    counted = iter(bitmaps.counts(stored) if stored else ())
    counts = [0 if each.bitmap is None else next(counted) for each in selections]
    made = [(at, each) for at, each in enumerate(selections) if each.bitmap is None]
    sources = dict.fromkeys(source for _, each in made for source in each.sources)
    if sources:
        for stripe in bitmaps.stripes(tuple(sources)):
            for at, each in made:
                counts[at] += count_bits(each.words(stripe))
    return counts


class Found(NamedTuple):
    """Some of the selected users."""

    ids: NDArray[np.int64]
    """Their bits, ascending."""
    marks: tuple[NDArray[np.bool_], ...]
    """For each of the selection's marks which of them have it."""


def stream_users(selection: Selection, bitmaps: Bitmaps) -> Iterator[Found]:
    """Yield the selected users in the order of their bits, many at a time."""
    for stripe in bitmaps.stripes(selection.sources):
        ids = user_ids(selection.words(stripe), stripe.first_id)
        if len(ids):
            yield _marked(selection, stripe, ids)


def _marked(selection: Selection, stripe: Stripe, ids: NDArray[np.int64]) -> Found:
    held = (
        are_in(mark.users(stripe), ids, stripe.first_id) for mark in selection.marks
    )
    return Found(ids, tuple(held))


def page_of_users(
    selection: Selection, bitmaps: Bitmaps, page: int = 1, per_page: int = 100
) -> UsersPage:
    """Return one page of the selected users, by their bits.

    Args:
        selection: Which users.
        bitmaps: Where the bitmaps come from.
        page: Number of the page, from 1; a page after the last one is empty.
        per_page: Ids on a page.

    Raises:
        QueryError: *page* or *per_page* is less than 1.
    """
    for name, value in (("page", page), ("per_page", per_page)):
        if value < 1:
            raise QueryError(
                Text(
                    "%(name)s is %(given)s; it must be at least 1",
                    name=name,
                    given=value,
                ),
                field=name,
            )
    first, last = (page - 1) * per_page, page * per_page
    total = 0
    ids: list[int] = []
    marks: list[list[bool]] = [[] for _ in selection.marks]
    for stripe in bitmaps.stripes(selection.sources):
        words = selection.words(stripe)
        count = count_bits(words)
        if total < last and total + count > first:
            shown = slice(max(0, first - total), last - total)
            found = _marked(selection, stripe, user_ids(words, stripe.first_id)[shown])
            ids.extend(found.ids.tolist())
            for held, more in zip(marks, found.marks):
                held.extend(more.tolist())
        total += count
    return UsersPage(
        *(selection.text, tuple(ids), total, page, per_page),
        marks={mark.name: tuple(held) for mark, held in zip(selection.marks, marks)},
    )


def has_user(selections: Sequence[Selection], bitmaps: Bitmaps, bit: int) -> list[bool]:
    """Return whether each of *selections* has a user, looking at their bits only."""
    sources = (source for each in selections for source in each.sources)
    rows = Rows(dict.fromkeys(part for source in sources for part in source.parts()))
    held = bitmaps.contains(rows.stored, bit)
    # A stripe of one word, in which there is nobody else.
    first = bit & ~63
    (own,) = words_of(np.array([bit]), first, 1)
    matrix = np.where(held, own, np.uint64(0)).reshape(-1, 1)
    stripe = Stripe(first, matrix, rows)
    return [bool(each.words(stripe)[0] & own) for each in selections]
