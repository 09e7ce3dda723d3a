"""Whose answer it is: the segments of a question, and who is left out of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from ..analysis.bitmaps import Bitmaps, Stripe, Words
from ..analysis.errors import QueryError, Text, printable
from ..analysis.expressions import Expression, Source
from ..analysis.segments import Among, Shared
from ..analysis.users import Selection
from .declare import EVERYONE, EVERYONE_ELSE, GROUP_WORDS, NOBODY

if TYPE_CHECKING:
    from .asking import Ask
    from .declare import A, Question, Who

In = Callable[[Stripe], Words]
"""Gives the bitmap of some users in a stripe."""

BY_THE_APP = Text("those left out by the app")
"""What users are called of whom the app has a list."""

TOGETHER = Text("any of these")
"""What the users of any of several segments are called."""


@dataclass(frozen=True)
class Group:
    """Some users, told by bitmaps that do not depend on a question's periods."""

    name: str
    sources: tuple[Source, ...]
    users: In


@dataclass(frozen=True)
class LeftOut:
    """Whom BITMAPIST_EXCLUDE leaves out of answers."""

    who: Who | None = None
    """An expression, or None where they are told one by one, or nobody is left out."""
    find: Callable[[], In] | None = None
    """Finds the users, where they are told one by one."""
    is_locked: bool = True
    """Whether a question may not count them after all."""


def answered(question: Question[A], ask: Ask, left_out: LeftOut) -> A:
    """Answer a question for each of its segments, without those who are left out.

    The same question is answered over bitmaps that have the segment's users alone, so
    whatever it does, and the lists behind its numbers, are of these users.

    Args:
        question: What is asked.
        ask: What it may look at.
        left_out: Whom the app leaves out.

    Raises:
        QueryError: It cannot be answered.
    """
    without = [*_excluded(question, ask, left_out)]
    if not question.segments and not without:
        return question.answer(ask)
    if without:
        names = [group.name for group in without]
        ask.excluded = reduce(_or, names)
    found = [_group(ask, each) for each in question.segments]
    named = [group for group in found if group is not None]
    wanted: list[tuple[str, In]] = []
    for text, group in zip(question.segments, found):
        if group is not None:
            wanted.append((group.name, group.users))
        elif text == EVERYONE:
            wanted.append((GROUP_WORDS[EVERYONE], everybody))
        else:
            wanted.append((GROUP_WORDS[EVERYONE_ELSE], _not(_any(named))))
    if len(named) > 1:
        wanted.append((TOGETHER, _any(named)))
    keeps = _not(_any(without)) if without else None
    groups = (*named, *without)
    sources = tuple(dict.fromkeys(each for some in groups for each in some.sources))
    if not wanted:
        alone = Selection(sources, _both(everybody, keeps), "")
        return question.answer(_among(ask, ask.bitmaps, None, alone))
    with Shared(ask.bitmaps, len(wanted)) as bitmaps:
        answers = [
            question.answer(
                _among(
                    ask, bitmaps, name, Selection(sources, _both(users, keeps), name)
                )
            )
            for name, users in wanted
        ]
    together = answers.pop() if len(named) > 1 else None
    return replace(answers[0], segments=tuple(answers), together=together)


def segment(ask: Ask, who: Who, field: str) -> Expression:
    """Return whom the text of a segment means.

    Raises:
        QueryError: It cannot be read, or does not say when something was done.
    """
    expression = ask.who(who, field)
    bare = next(expression.bare(), None)
    if bare is not None:
        raise QueryError(
            Text(
                "Say when: “%(event)s ever” or “%(event)s in last 28 days”.", event=bare
            ),
            field=field,
        )
    # A "not" alone is taken from the answer's users, unless the app says from whom.
    return ask.among_everyone(expression, field)


def _excluded(question: Question[Any], ask: Ask, left_out: LeftOut) -> Iterator[Group]:
    """Yield who is left out: by the app, then by the question."""
    own = question.exclude
    leaves_out = left_out.find is not None or bool(left_out.who)
    if own == NOBODY and left_out.is_locked and leaves_out:
        raise QueryError(
            Text("This is not allowed: BITMAPIST_EXCLUDE_LOCKED is set."),
            field="exclude",
        )
    if own != NOBODY and not question.is_of_one:
        if left_out.find is not None:
            yield Group(BY_THE_APP, (), left_out.find())
        elif left_out.who:
            try:
                yield _told(ask, left_out.who, "exclude")
            except QueryError as error:
                raise QueryError(
                    Text("BITMAPIST_EXCLUDE: %(problem)s", problem=error.message),
                    field="exclude",
                ) from None
    if own is not None and own != NOBODY:
        yield _told(ask, own, "exclude")


def _group(ask: Ask, who: Who) -> Group | None:
    """Return whom a segment means; None for the words that mean no group."""
    return None if who in GROUP_WORDS else _told(ask, who, "segments")


def _told(ask: Ask, who: Who, field: str) -> Group:
    expression = segment(ask, who, field)
    # One set for the whole answer, whatever its periods: as of its last day.
    day = ask.period("days")
    # Who is in it has to be known: else no number of the answer would be.
    ask.require_kept([expression], [day], field)
    return Group(
        name=printable(str(who)),
        sources=tuple(expression.sources(day)),
        users=lambda stripe: expression.evaluate(stripe, day),
    )


def _among(ask: Ask, bitmaps: Bitmaps, name: str | None, users: Selection) -> Ask:
    """Return the ask for some users alone."""
    among = ask.among_users(Among(bitmaps, users), name)
    if name and name != EVERYONE and ask.question.reach()[1] > 1:
        among.notes.append(
            Text(
                "Segments are as of the last day, so earlier rows have only the users "
                "who stayed in them."
            )
        )
    return among


def everybody(stripe: Stripe) -> Words:
    """Return the bitmap of all users."""
    return ~stripe.zeros()


def _any(groups: list[Group]) -> In:
    return lambda stripe: reduce(
        np.bitwise_or, (group.users(stripe) for group in groups)
    )


def _not(users: In) -> In:
    return lambda stripe: ~users(stripe)


def _both(users: In, keeps: In | None) -> In:
    return users if keeps is None else lambda stripe: users(stripe) & keeps(stripe)


def _or(one: str, other: str) -> str:
    return Text("%(one)s or %(other)s", one=one, other=other)
