"""All events with their counts: a page of them at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from wtforms import StringField

from ..analysis.bitmaps import Bitmaps, Source
from ..analysis.periods import Period, TimeGroup
from ..analysis.results import Result, Table
from ..query import Query, moment
from .fields import AsOf, Count
from .forms import QuestionForm
from .surface import state
from .texts import lazy

GROUPS = (TimeGroup.DAYS, TimeGroup.WEEKS, TimeGroup.MONTHS, TimeGroup.YEARS)
MOST_PAGES = 1_000_000


class EventCounts(NamedTuple):
    """One event with its unique users in the current periods."""

    name: str
    counts: tuple[int, ...]
    """Today, this week, this month, this year."""


@dataclass(frozen=True)
class EventsResult(Result):
    """A page of events."""

    as_of: datetime
    events: tuple[EventCounts, ...]
    total: int
    """Events on all pages."""
    page: int
    """Number of this page, from 1."""
    per_page: int
    known: int
    """Events that there are, whether or not they match what was looked for."""

    @property
    def pages(self) -> int:
        """Number of pages, at least 1."""
        return max(1, -(-self.total // self.per_page))

    def to_dict(self) -> dict[str, Any]:
        return {
            "as_of": self.as_of.isoformat(),
            "events": [
                {
                    "name": event.name,
                    **{g.singular: n for g, n in zip(GROUPS, event.counts)},
                }
                for event in self.events
            ],
            "total": self.total,
            "page": self.page,
            "pages": self.pages,
            "per_page": self.per_page,
        }

    def table(self) -> Table:
        return Table(
            ["event", *(group.singular for group in GROUPS)],
            [[event.name, *event.counts] for event in self.events],
        )


def count_events(
    names: Sequence[str], as_of: datetime, bitmaps: Bitmaps
) -> Iterator[EventCounts]:
    """Yield the unique users of each event in the current periods.

    Args:
        names: The events.
        as_of: A moment in those periods.
        bitmaps: Where the bitmaps come from.
    """
    periods = [Period.containing(group, as_of) for group in GROUPS]
    sources = [Source(name, period) for name in names for period in periods]
    counts = iter(bitmaps.counts(sources) if sources else [])
    for name in names:
        yield EventCounts(name, tuple(next(counts) for _ in periods))


class EventListForm(QuestionForm):
    """Which events are there?"""

    needs_question = False

    q = StringField(lazy("Find events"), default="")
    as_of = AsOf(lazy("Up to"))
    page = Count(lazy("Page"), most=MOST_PAGES, default=1)
    per_page = Count(lazy("Events on a page"), most=1000, default=50)

    def ask(self, query: Query) -> EventsResult:
        known = state().catalogue.names()
        wanted = (self.q.data or "").strip().casefold()
        names = [name for name in known if wanted in name.casefold()]
        first = (self.page.data - 1) * self.per_page.data
        as_of = moment(self.as_of.data)
        shown = names[first : first + self.per_page.data]
        return EventsResult(
            as_of=as_of,
            events=tuple(count_events(shown, as_of, query.bitmaps)),
            total=len(names),
            page=self.page.data,
            per_page=self.per_page.data,
            known=len(known),
        )
