"""Events: what is tracked, and the list of it that the overview shows as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypedDict

from ..analysis.bitmaps import Bitmaps
from ..analysis.errors import Text
from ..analysis.expressions import Flag, Source
from ..analysis.history import Days, first_and_last_days
from ..analysis.parsing import spelled
from ..analysis.periods import AsOf, Period, TimeGroup
from ..analysis.results import Table, to_text
from ..analysis.users import Selection, expression_users
from .asking import Ask
from .declare import (
    A,
    Answer,
    AnswerDict,
    Behind,
    Cell,
    Compared,
    Group,
    Question,
    Who,
    param,
)

if TYPE_CHECKING:
    from ..store.catalogue import Scan

GROUPS = (TimeGroup.DAYS, TimeGroup.WEEKS, TimeGroup.MONTHS, TimeGroup.YEARS)
"""The lengths of the periods in which users of an event are counted."""

MOST_RANKED = 2000
"""Most events among which the busiest ones are looked for."""

NOTHING_YET = (
    "No events yet; track one with @mark('page:seen', current_user), or look around "
    "with 'flask bitmapist sample'."
)


class PeriodsDict(TypedDict):
    """Whether the current periods are over."""

    day: bool
    week: bool
    month: bool
    year: bool


class EventCountsDict(TypedDict):
    """An event, and its unique users in the current periods."""

    name: str
    day: int | None
    week: int | None
    month: int | None
    year: int | None


class SeenEventDict(EventCountsDict):
    """An event, also with the days on which it was first and last tracked."""

    first_day: str | None
    last_day: str | None


class FlagDict(TypedDict):
    """A flag, and how many users carry it."""

    name: str
    users: int


class ExpressionDict(TypedDict):
    """An expression that the app has defined."""

    name: str
    expression: str


class ListDict(AnswerDict):
    """What the JSON of every list of events has."""

    complete: PeriodsDict
    total: int
    page: int
    pages: int
    per_page: int


class EventsDict(ListDict):
    """The JSON of the events."""

    events: list[SeenEventDict]
    flags: list[FlagDict]
    expressions: list[ExpressionDict]
    scanned_at: str | None
    unreadable: int


class EventCounts(NamedTuple):
    """One event with its unique users in the current periods."""

    name: str
    counts: tuple[int | None, ...]
    """In the current day, week, month and year; None where that is not kept."""

    @property
    def asked(self) -> str:
        """The name as it is given to a question."""
        return spelled(self.name)

    def to_dict(self) -> EventCountsDict:
        """Return the event as it stands in JSON."""
        day, week, month, year = self.counts
        return {
            "name": self.name,
            "day": day,
            "week": week,
            "month": month,
            "year": year,
        }


@dataclass(frozen=True)
class EventList:
    """A page of the events whose names match."""

    periods: tuple[Period, ...] = field(repr=False)
    """The day, week, month and year that contain the day asked about."""
    complete: tuple[bool, ...]
    """Whether each of them is over."""
    events: tuple[EventCounts, ...]
    total: int
    """Events on all pages."""
    page: int
    """Number of this page, from 1."""
    per_page: int
    pages: int
    """Number of pages, at least 1."""
    known: int
    """Events and flags that there are, whether or not they match."""

    def complete_dict(self) -> PeriodsDict:
        """Return :attr:`complete` as it stands in JSON."""
        day, week, month, year = self.complete
        return {"day": day, "week": week, "month": month, "year": year}

    def compared(self) -> list[Compared]:
        """Return the users of each event, one period after the other."""
        return [
            Compared(
                name=Text("Users in %(period)s", period=period),
                labels=[event.name for event in self.events],
                values=[event.counts[place] for event in self.events],
                complete=[is_over for _ in self.events],
                cells=[
                    {"event": event.asked, "time_group": period.group.value}
                    for event in self.events
                ],
            )
            for place, (period, is_over) in enumerate(zip(self.periods, self.complete))
        ]

    def table(self) -> Table:
        """Return the events as a table."""
        return Table(
            ["event", *(group.singular for group in GROUPS)],
            [[event.name, *event.counts] for event in self.events],
        )


class ListQuestion(Question[A]):
    """A question whose answer has a list of events, page by page."""

    q: str | None = param(
        Text("Find"),
        default=None,
        short="q",
        help=Text("Only names containing this text."),
    )
    page: int = param(
        Text("Page"),
        default=1,
        most=1_000_000,
        in_form=False,
        help=Text("Page of the list."),
    )
    per_page: int = param(
        Text("Names per page"),
        default=25,
        most=250,
        in_form=False,
        help=Text("Number of names per page."),
    )

    def matching(self, names: Sequence[str]) -> list[str]:
        """Return those of *names* that contain what is looked for."""
        wanted = (self.q or "").casefold()
        return [name for name in names if wanted in name.casefold()]

    def part(self, names: Sequence[str]) -> Sequence[str]:
        """Return those of *names* that stand on the page."""
        return names[(self.page - 1) * self.per_page : self.page * self.per_page]

    def listed(self, ask: Ask, longest: int = 0) -> EventList:
        """Return the page of events that is asked for.

        Args:
            ask: What the question may look at.
            longest: How long the longest list beside it is, which has the same pages.
        """
        names = ask.names.events()
        found = self.matching(names)
        shown = self.part(found)
        periods = tuple(ask.period(group) for group in GROUPS)
        counts = _counted(ask.bitmaps, shown, periods)
        sources = [Source(name, period) for name in shown for period in periods]
        unkept = ask.unkept_sources(sources)
        known = {
            source: None if source in unkept else count
            for source, count in zip(sources, counts)
        }
        return EventList(
            periods=periods,
            complete=ask.complete(periods),
            events=tuple(
                EventCounts(
                    name, tuple(known[Source(name, period)] for period in periods)
                )
                for name in shown
            ),
            total=len(found),
            page=self.page,
            per_page=self.per_page,
            pages=max(1, -(-max(len(found), longest) // self.per_page)),
            known=len(names) + len(ask.names.flags()),
        )


def ranked(names: Sequence[str], bitmaps: Bitmaps, as_of: AsOf) -> list[str]:
    """Return the events that anybody did lately, the busiest first.

    They are ranked by the users of the calendar month of the day and of the one before
    it, so early in a month that one says more.  Where the day is not today, what comes
    after it in its month may put an event before others; it is not counted anywhere.

    Args:
        names: The events.
        bitmaps: Where users are counted.
        as_of: Up to which day.
    """
    month = Period.containing(TimeGroup.MONTHS, as_of.moment)
    months = (month.shift(-1), month)
    counts = iter(_counted(bitmaps, names, months))
    users = {name: sum(next(counts) for _ in months) for name in names}
    busy = [name for name in names if users[name]]
    return sorted(busy, key=lambda name: (-users[name], name))


def _counted(
    bitmaps: Bitmaps, names: Sequence[str], periods: Sequence[Period]
) -> list[int]:
    """Return the users of each event in each period, event by event."""
    sources = [Source(name, period) for name in names for period in periods]
    return bitmaps.counts(sources) if sources else []


class InPeriod(Cell):
    """One number of an event or flag."""

    event: Who = param(Text("Event"), help=Text("An event, or flag(name)."))
    time_group: Group = param(
        Text("In the current"),
        default="days",
        help=Text("Which of the current periods."),
    )


@dataclass(frozen=True)
class EventsAnswer(Answer):
    """A page of the events, flags and defined expressions."""

    list: EventList
    """The events, with their users."""
    days: Mapping[str, Days]
    """The first and the last day on which each event was tracked, by its name."""
    flags: Mapping[str, int]
    """The users who carry each flag."""
    expressions: Mapping[str, str]
    """What each expression that the app has defined stands for, as text."""
    scan: Scan | None
    """The latest walk over all keys of the store."""

    users = Behind(InPeriod)

    def flag_text(self, name: str) -> str:
        """Return the expression for those who carry a flag."""
        return str(Flag(name))

    def notes(self) -> tuple[Text, ...]:
        notes = []
        if self.scan is None:
            notes.append(
                Text(
                    "The store is being searched for events; some may still be missing."
                )
            )
        else:
            notes.append(
                Text(
                    "Event list refreshed %(moment)s UTC.",
                    moment=f"{self.scan.at:%Y-%m-%d %H:%M}",
                )
            )
            if self.scan.unreadable:
                notes.append(
                    Text(
                        "Names skipped because they are not UTF-8: %(count)s.",
                        count=self.scan.unreadable,
                    )
                )
        return tuple(notes)

    def told_periods(self) -> tuple[Period, ...]:
        return self.list.periods

    def compared(self) -> Sequence[Compared]:
        of_flags = Compared(
            name=Text("Users with each flag"),
            labels=list(self.flags),
            values=list(self.flags.values()),
            complete=[True for _ in self.flags],
            cells=[{"event": self.flag_text(name)} for name in self.flags],
        )
        return [*self.list.compared(), of_flags]

    def to_dict(self) -> EventsDict:
        found, scan = self.list, self.scan
        return {
            **self.head(),
            "complete": found.complete_dict(),
            "events": [self._event_dict(event) for event in found.events],
            "flags": [
                {"name": name, "users": count} for name, count in self.flags.items()
            ],
            "expressions": [
                {"name": name, "expression": text}
                for name, text in self.expressions.items()
            ],
            "total": found.total,
            "page": found.page,
            "pages": found.pages,
            "per_page": found.per_page,
            "scanned_at": None if scan is None else scan.at.isoformat(),
            "unreadable": 0 if scan is None else scan.unreadable,
        }

    def _event_dict(self, event: EventCounts) -> SeenEventDict:
        first, last = self._labels(event.name)
        return {**event.to_dict(), "first_day": first, "last_day": last}

    def _labels(self, name: str) -> tuple[str | None, str | None]:
        first, last = self.days[name]
        return first and first.label, last and last.label

    def table(self) -> Table:
        """Return all of it, a line each; the columns that do not go with it blank."""
        groups = [group.singular for group in GROUPS]
        over = [f"{group} complete" for group in groups]
        columns = ["kind", "name", *groups, *over, "users", "first day", "last day"]
        blank: list[None] = [None] * (2 * len(groups))
        return Table(
            [*columns, "expression"],
            [
                *(
                    [
                        *("event", each.name, *each.counts, *self.list.complete),
                        *(None, *self._labels(each.name), None),
                    ]
                    for each in self.list.events
                ),
                *(
                    ["flag", name, *blank, count, None, None, None]
                    for name, count in self.flags.items()
                ),
                *(
                    ["expression", name, *blank, None, None, None, text]
                    for name, text in self.expressions.items()
                ),
            ],
        )

    def __str__(self) -> str:
        found = self.list
        if not found.known and not self.expressions:
            return NOTHING_YET
        columns, rows = found.table()
        seen = [[*row, *self._labels(str(row[0]))] for row in rows]
        parts = [to_text(Table([*columns, "first day", "last day"], seen))]
        if not seen:
            parts = ["No event matches." if self.question.q else "No events."]
        if self.flags:
            parts.append(to_text(Table(["flag", "users"], [*self.flags.items()])))
        if self.expressions:
            lines = [[name, text] for name, text in self.expressions.items()]
            width = max(len("expression"), *map(len, self.expressions))
            parts.append(
                "\n".join(
                    f"{name:{width}}  {text}".rstrip()
                    for name, text in (["expression", ""], *lines)
                )
            )
        if found.pages > 1:
            parts.append(f"page {found.page:,} of {found.pages:,}")
        return "\n\n".join(parts)


class Events(ListQuestion[EventsAnswer]):
    """Which events, flags and defined expressions are there?"""

    title = Text("Events")
    icon = "fa-list"
    template = "flask_bitmapist/events.html"
    cell = InPeriod

    refresh: bool = param(
        Text("Refresh"),
        default=False,
        in_form=False,
        help=Text("Search the whole store for events again."),
    )

    def sentence(self) -> Text:
        return said(
            self,
            Text("Events"),
            Text("Events containing %(text)s", text=f"“{self.q}”"),
        )

    def answer(self, ask: Ask) -> EventsAnswer:
        if self.refresh and not ask.names.refresh():
            ask.warnings.append(
                Text(
                    "The event list was refreshed less than a minute ago; try again in "
                    "a moment."
                )
            )
        flags = self.matching(ask.names.flags())
        defined = self.matching(sorted(ask.names.defined))
        found = self.listed(ask, max(len(flags), len(defined)))
        flags = [*self.part(flags)]
        sources = [Source(flag, None) for flag in flags]
        return EventsAnswer(
            ask=ask,
            list=found,
            days=first_and_last_days(
                ask.bitmaps, [event.name for event in found.events], ask.as_of
            ),
            flags=dict(zip(flags, ask.bitmaps.counts(sources) if sources else ())),
            expressions={
                name: str(ask.names.defined[name]) for name in self.part(defined)
            },
            scan=ask.names.scan,
        )

    def people(self, ask: Ask, cell: InPeriod) -> Selection:
        expression = ask.among(cell.event, "event")
        period = ask.period(cell.time_group)
        ask.require_kept([expression], [period], "time_group")
        return expression_users(expression, period)


def said(question: ListQuestion[A], all_of_it: Text, found: Text) -> Text:
    """Return what is asked: all, or what is looked for; and up to which day."""
    return question.to_day(all_of_it if question.q is None else found)
