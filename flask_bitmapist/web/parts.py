"""Answers side by side: of segments, and of what they are compared with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ..analysis.errors import QueryError, Text
from ..analysis.expressions import Flag
from ..analysis.periods import Period
from ..questions.declare import (
    EVERYONE,
    GROUP_WORDS,
    MOST_SEGMENTS,
    NOBODY,
    Answer,
    Compared,
)
from ..questions.who import Count
from . import formats

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..query import Query
    from .form import Texts
    from .page import Links

MOST_CHOICES = 20
"""Most segments that a page offers by name."""

SIZING = 64 * 1024 * 1024
"""Bytes of bitmaps that a page may walk over to tell how many users those have."""


class Part(NamedTuple):
    """One of the answers that a page shows."""

    heading: str
    """Empty where there is no other."""
    answer: Answer
    link: Links
    hue: int
    """The number of its segment."""
    is_previous: bool
    is_together: bool
    """Whether it is of the users of any segment."""


def parts_of(answer: Answer, link: Callable[[Texts], Links]) -> list[Part]:
    """Return what a page shows of an answer, in the order of :meth:`Answer.parts`.

    Args:
        answer: All of it.
        link: Makes the links that ask a question again.
    """
    each_has = max(1, len(answer.segments) + (answer.together is not None))
    return [
        Part(
            heading=formats.translated(heading),
            answer=each,
            link=link(each.question.arguments()).of(each.segment),
            hue=number % each_has,
            is_previous=number >= each_has,
            is_together=len(answer.segments) == number % each_has > 0,
        )
        for number, (heading, each) in enumerate(answer.parts())
    ]


class Column(NamedTuple):
    """The numbers of one part."""

    part: Part
    values: Sequence[float | None]
    urls: Sequence[str | None]
    """Where the users behind each number are, if there are any."""
    differences: Sequence[str] | None
    """Each number against the first segment's, or how the current one has changed
    against it; None of the first."""


@dataclass(frozen=True)
class Lines:
    """One kind of number of all parts, as a table that a chart is drawn from."""

    title: str
    kind: str
    """How the chart is drawn."""
    is_share: bool
    labels: Sequence[str | Period]
    complete: Sequence[bool]
    columns: Sequence[Column]


def compared(parts: Sequence[Part]) -> Iterator[Lines]:
    """Yield the main numbers of several parts side by side."""
    if len(parts) < 2:
        return
    for several in zip(*(part.answer.compared() for part in parts)):
        first: Compared = several[0]
        if not first.labels:
            continue
        columns = [
            Column(
                part,
                each.values,
                [part.link.users(**cell) if cell else None for cell in each.cells],
                _differences(part, each, [*zip(parts, several)]),
            )
            for part, each in zip(parts, several)
        ]
        kind = "course" if first.in_order else "columns"
        groups = {each.group for each in first.labels if isinstance(each, Period)}
        if len(groups) == 1:
            kind = "line"
        yield Lines(
            title=formats.translated(first.name),
            kind=kind,
            is_share=any(isinstance(value, float) for value in first.values),
            labels=first.labels,
            complete=[all(over) for over in zip(*(each.complete for each in several))],
            columns=columns,
        )


def _differences(
    part: Part, own: Compared, every: Sequence[tuple[Part, Compared]]
) -> list[str] | None:
    if part.is_previous:
        now = next(each for other, each in every if other.hue == part.hue)
        pairs = zip(own.values, now.values)
    elif part.hue and not part.is_together:
        pairs = zip(every[0][1].values, own.values)
    else:
        return None
    return [formats.difference(before, value) for before, value in pairs]


class Choice(NamedTuple):
    """A segment that a page offers by name."""

    text: str
    size: int | None
    """How many users it has now; None where that takes too long to find out."""
    url: str


def choices(query: Query, texts: Texts, link: Callable[[Texts], Links]) -> list[Choice]:
    """Return the segments that there are: what the app has defined, and flags.

    Args:
        query: What is asked how many users they have.
        texts: What is filled in.
        link: Makes the links that ask it again.
    """
    chosen = [str(each) for each in texts.get("segments", ()) if str(each).strip()]
    names = [*query.names.defined, *(str(Flag(each)) for each in query.names.flags())]
    found = []
    for name in names[:MOST_CHOICES]:
        try:
            if next(query.names.expression(name).bare(), None) is not None:
                continue
            asked = Count(name, "days", as_of=texts.get("as_of") or None)
            size = query(asked).count
        except QueryError:
            size = None
        added = chosen or [EVERYONE]
        if name not in added and len(added) < MOST_SEGMENTS:
            added = [*added, name]
        url = link({**texts, "segments": added})()
        found.append(Choice(name, size, url))
    return found


def words(query: Query, field: str) -> Mapping[str, Text]:
    """Return the words that stand for users in a field, alone, and what they mean."""
    if field == "segments":
        return GROUP_WORDS
    if field == "exclude" and query.exclusion.text and not query.exclusion.is_locked:
        return {NOBODY: Text("nobody is left out")}
    return {}


def summary(answer: Answer | None, texts: Texts, query: Query) -> dict[str, Any]:
    """Return what the line of users says."""
    excluded: str | None
    if answer is None:
        names = [str(each) for each in texts.get("segments", ())]
        own, day = texts.get("exclude"), None
        excluded = query.exclusion.text if own in (None, "", NOBODY) else own
        if own == NOBODY and not query.exclusion.is_locked:
            excluded = None
    else:
        names = [each.segment or "" for each in answer.segments]
        excluded = answer.ask.excluded
        day = answer.previous and answer.previous.last_day
    return {
        "names": [formats.translated(name) for name in filter(None, names)],
        "excluded": formats.translated(excluded) if excluded else None,
        "compared": day,
        "is_open": answer is None and bool(names),
    }
