"""The events page, and the list of events that the overview shows as well."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from ...analysis.bitmaps import Bitmaps, Source
from ...analysis.periods import Period, TimeGroup
from ...analysis.results import Result, Table
from ...analysis.seen import Days, first_and_last_days
from ...query import Query, moment
from ..door import may_look_through
from ..fields import AsOf, Count, Flag, Text
from ..forms import QuestionForm
from ..texts import gettext, lazy

if TYPE_CHECKING:
    from ...store.catalogue import Scan

GROUPS = (TimeGroup.DAYS, TimeGroup.WEEKS, TimeGroup.MONTHS, TimeGroup.YEARS)
MOST_PAGES = 1_000_000


class EventCounts(NamedTuple):
    """One event with its unique users in the current periods."""

    name: str
    counts: tuple[int, ...]
    """Today, this week, this month, this year."""

    def to_dict(self) -> dict[str, Any]:
        """Return the event as it stands in JSON."""
        counts = {group.singular: n for group, n in zip(GROUPS, self.counts)}
        return {"name": self.name, **counts}


def count_events(
    names: Sequence[str],
    as_of: datetime,
    bitmaps: Bitmaps,
    groups: Sequence[TimeGroup] = GROUPS,
) -> Iterator[EventCounts]:
    """Yield the unique users of each event in the current periods.

    Args:
        names: The events.
        as_of: A moment in those periods.
        bitmaps: Where the bitmaps come from.
        groups: Which periods.
    """
    periods = [Period.containing(group, as_of) for group in groups]
    sources = [Source(name, period) for name in names for period in periods]
    counts = iter(bitmaps.counts(sources) if sources else [])
    for name in names:
        yield EventCounts(name, tuple(next(counts) for _ in periods))


@dataclass(frozen=True)
class EventList:
    """A page of the events whose names match."""

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
        """Return the list as it stands in JSON."""
        return {
            "as_of": self.as_of.isoformat(),
            "events": [event.to_dict() for event in self.events],
            "total": self.total,
            "page": self.page,
            "pages": self.pages,
            "per_page": self.per_page,
        }


@dataclass(frozen=True)
class EventsResult(Result):
    """A page of events, with the first and the last day of each."""

    list: EventList
    days: dict[str, Days]
    """By event: the first and the last day on which it was seen."""
    scanned: Scan | None
    """When all keys were looked through."""

    def to_dict(self) -> dict[str, Any]:
        content = self.list.to_dict()
        for event in content["events"]:
            first, last = self.days[event["name"]]
            event["first_day"] = None if first is None else first.label
            event["last_day"] = None if last is None else last.label
        return content

    def table(self) -> Table:
        return Table(
            ["event", *(group.singular for group in GROUPS), "first day", "last day"],
            [
                [
                    event.name,
                    *event.counts,
                    *(day and day.label for day in self.days[event.name]),
                ]
                for event in self.list.events
            ],
        )


class EventListForm(QuestionForm):
    """Which events are there?"""

    needs_question = False

    q = Text(lazy("Find events"))
    as_of = AsOf(lazy("Up to"))
    page = Count(lazy("Page"), most=MOST_PAGES, default=1)
    per_page = Count(lazy("Events on a page"), most=1000, default=25)

    def arguments(self) -> dict[str, str]:
        values = super().arguments()
        return {
            name: value
            for name, value in values.items()
            if name not in ("page", "per_page")
            or value != str(self._fields[name].default)
        }

    def listed(self, query: Query, refresh: bool = False) -> EventList:
        """Return the page of the list that is asked for."""
        known = self.state.catalogue.names(refresh)
        wanted = (self.q.data or "").strip().casefold()
        names = [name for name in known if wanted in name.casefold()]
        first = (self.page.data - 1) * self.per_page.data
        shown = names[first : first + self.per_page.data]
        as_of = moment(self.as_of.data)
        return EventList(
            as_of=as_of,
            events=tuple(count_events(shown, as_of, query.bitmaps)),
            total=len(names),
            page=self.page.data,
            per_page=self.per_page.data,
            known=len(known),
        )


class EventsForm(EventListForm):
    """Which events are there, and since when?"""

    # Fewer than on the overview: each has its first day looked for in all years.
    per_page = Count(lazy("Events on a page"), most=250, default=25)
    refresh = Flag(lazy("Look for events anew"))

    def ask(self, query: Query) -> EventsResult:
        anew = self.refresh.data and may_look_through(self.state)
        if self.refresh.data and not anew:
            self.notes = (
                gettext(
                    "All keys were looked through less than a minute ago; try again in "
                    "a moment."
                ),
            )
        found = self.listed(query, anew)
        names = [event.name for event in found.events]
        days = first_and_last_days(query.bitmaps, names, found.as_of)
        return EventsResult(found, days, self.state.catalogue.scan)

    def arguments(self) -> dict[str, str]:
        # A link to the next page need not look anew again.
        values = super().arguments()
        values.pop("refresh", None)
        return values


def present(result: EventsResult) -> dict[str, Any]:
    """Return what the template needs beside the answer."""
    return {"scanned": result.scanned}
