"""The overview: how are things today?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, NamedTuple, TypedDict, get_args

from ..analysis.errors import QueryError, Text
from ..analysis.expressions import Event, Expression, Named, Or, Source
from ..analysis.parsing import spelled
from ..analysis.periods import Period
from ..analysis.results import Table, to_text
from ..analysis.united import United
from ..analysis.users import Selection, expression_users
from .asking import Ask, Names
from .declare import A, Answer, Behind, Cell, Compared, Question, param
from .events import (
    GROUPS,
    MOST_RANKED,
    NOTHING_YET,
    EventCountsDict,
    EventList,
    ListDict,
    ListQuestion,
    ranked,
    said,
)
from .stickiness import Stickiness, StickinessAnswer
from .trend import SoFar, SoFarDict, Trend, TrendAnswer, change, so_far_note

ACTIVE = "active"
"""An expression that the app defines by this name says who is active at all."""

MOST_EVENTS = 200
"""Most events of which users are united to tell who was active."""

In = Literal["day", "week", "month"]
"""In which current period users are active."""

TRENDS = {
    # What the app has defined is not looked up: any event of it may be new.
    name: Trend((ACTIVE,), time_group=name, num_periods=2, allow_unknown=True)
    for name in get_args(In)
}
"""What is asked for each of the numbers of active users."""

STICKINESS = Stickiness(ACTIVE, allow_unknown=True)
"""What is asked beside them."""

BUSIEST = 8
"""How many events are shown day by day."""

SPARK_DAYS = 30
"""How many days are shown of each."""


class LastDict(TypedDict):
    """The last complete period."""

    period: str
    count: int
    change: float | None


class TileDict(TypedDict):
    """Active users of the current period."""

    period: str
    complete: bool
    count: int | None
    before: int | None
    change: float | None
    so_far: SoFarDict | None
    last: LastDict | None


class SparkDict(TypedDict):
    """One of the busiest events, day by day."""

    name: str
    counts: list[int | None]
    change: float | None


class BusiestDict(TypedDict):
    """The busiest events, by complete days."""

    dates: list[str]
    series: list[SparkDict]


class DailyDict(TypedDict):
    """Active users, day by day."""

    dates: list[str]
    complete: list[bool]
    users: list[int | None]


class OverviewDict(ListDict):
    """The JSON of the overview."""

    events: list[EventCountsDict]
    active: dict[str, TileDict]
    daily: DailyDict
    stickiness: float | None
    busiest: BusiestDict


class Last(NamedTuple):
    """The last complete period."""

    period: Period
    users: int
    """Its active users."""
    change: float | None
    """Against the period before it, 0.1 being 10 % more; None after nobody."""

    def to_dict(self) -> LastDict:
        """Return the period as it stands in JSON."""
        label, users, changed = self.period.label, self.users, self.change
        return {"period": label, "count": users, "change": changed}


@dataclass(frozen=True)
class Tile:
    """Active users of the current period, and what they can be compared with."""

    period: Period
    complete: bool
    """Whether the period is over."""
    count: int | None
    """Active users, so far where the period is not over; None where it is not kept."""
    before: int | None
    """Active users of all of the period before."""
    so_far: SoFar | None
    """The period's days that are over against the same days of the one before."""
    last: Last | None
    """The last complete period; None where the day asked about is yet to come."""

    @property
    def change(self) -> float | None:
        """The change against :attr:`before`; None while the period is not over."""
        return change(self.before, self.count) if self.complete else None

    def to_dict(self) -> TileDict:
        """Return the tile as it stands in JSON."""
        last = self.last
        return {
            "period": self.period.label,
            "complete": self.complete,
            "count": self.count,
            "before": self.before,
            "change": self.change,
            "so_far": None if self.so_far is None else self.so_far.to_dict(),
            "last": None if last is None else last.to_dict(),
        }


class Spark(NamedTuple):
    """One of the busiest events, by complete days."""

    name: str
    counts: tuple[int | None, ...]
    """Unique users of each day, oldest first; None where it was not kept."""
    change: float | None
    """Of the last day against the one before it, 0.1 being 10 % more."""

    @property
    def asked(self) -> str:
        """The name as it is given to a question."""
        return spelled(self.name)

    def to_dict(self) -> SparkDict:
        """Return the event as it stands in JSON."""
        return {"name": self.name, "counts": [*self.counts], "change": self.change}

    @property
    def most(self) -> int:
        """Unique users of the day with most of them."""
        return max(filter(None, self.counts), default=0)

    def points(self, width: int = 120, height: int = 28) -> str:
        """Return a line through the counts, as the points of an SVG polyline.

        It has no point where a day was not kept.

        Args:
            width: The line's width.
            height: Its height; the largest value is at the top, nobody at the bottom.
        """
        top = self.most or 1
        step = width / max(1, len(self.counts) - 1)
        return " ".join(
            f"{index * step:.1f},{height - count / top * height:.1f}"
            for index, count in enumerate(self.counts)
            if count is not None
        )


class ActiveIn(Cell):
    """One of the numbers of active users."""

    active: In = param(
        Text("Active in"),
        choices={
            "day": Text("the day"),
            "week": Text("the week"),
            "month": Text("the month"),
        },
        help=Text("Active in the current day, week or month."),
    )


@dataclass(frozen=True)
class OverviewAnswer(Answer):
    """How many users are active, and what they do."""

    list: EventList
    """All events, with their users."""
    tiles: Mapping[str, Tile]
    """Active users by ``day``, ``week`` and ``month``; empty where there are no events,
    or too many to unite."""
    sticky: StickinessAnswer | None
    """Active users day by day, and how often they come; None where there are no events,
    or too many to unite."""
    days: tuple[Period, ...] = field(repr=False)
    """The days of :attr:`busiest`, oldest first, all of them complete."""
    busiest: tuple[Spark, ...]
    """The busiest events."""

    users = Behind(ActiveIn)

    @property
    def stickiness(self) -> float | None:
        """Average over 30 days of a day's share of the users of 28 days, each weighted
        by the latter; of complete days only."""
        return None if self.sticky is None else self.sticky.average

    @property
    def too_many(self) -> Text | None:
        """What to say where there are too many events to tell who is active."""
        return None if self.tiles or not self.ask.names.events() else _too_many()

    def notes(self) -> tuple[Text, ...]:
        notes = [self.too_many]
        for tile in self.tiles.values():
            if tile.so_far is not None:
                notes.append(so_far_note(ACTIVE, tile.period, tile.so_far))
        return tuple(filter(None, notes))

    def told_periods(self) -> tuple[Period, ...]:
        return self.list.periods

    def compared(self) -> Sequence[Compared]:
        tiles = self.tiles.values()
        return [
            Compared(
                name=Text("Active users"),
                labels=[tile.period for tile in tiles],
                values=[tile.count for tile in tiles],
                complete=[tile.complete for tile in tiles],
                cells=[{"active": name} for name in self.tiles],
            ),
            *self._compared_daily(),
        ]

    def _compared_daily(self) -> Sequence[Compared]:
        if self.sticky is None:
            return []
        return [
            Compared(
                name=Text("Active users by day"),
                labels=self.sticky.days,
                values=self.sticky.daily,
                complete=self.ask.complete(self.sticky.days),
                cells=[None for _ in self.sticky.days],
            ),
            *self.sticky.compared(),
        ]

    def _daily_dict(self) -> DailyDict:
        days = () if self.sticky is None else self.sticky.days
        return {
            "dates": [day.label for day in days],
            "complete": list(self.ask.complete(days)),
            "users": [] if self.sticky is None else list(self.sticky.daily),
        }

    def to_dict(self) -> OverviewDict:
        found = self.list
        return {
            **self.head(),
            "active": {name: tile.to_dict() for name, tile in self.tiles.items()},
            "daily": self._daily_dict(),
            "stickiness": self.stickiness,
            "busiest": {
                "dates": [day.label for day in self.days],
                "series": [each.to_dict() for each in self.busiest],
            },
            "events": [event.to_dict() for event in found.events],
            "complete": found.complete_dict(),
            "total": found.total,
            "page": found.page,
            "pages": found.pages,
            "per_page": found.per_page,
        }

    def table(self) -> Table:
        """Return the events with their users, and whether those are final."""
        columns, rows = self.list.table()
        over = [f"{group.singular} complete" for group in GROUPS]
        return Table([*columns, *over], [[*row, *self.list.complete] for row in rows])

    def __str__(self) -> str:
        if not self.list.known:
            return NOTHING_YET
        parts = []
        if self.tiles:
            parts.append(to_text(self._tiles_table()))
        if self.stickiness is not None:
            parts.append(
                f"stickiness {self.stickiness:.1%}: daily users divided by those of "
                "the last 28 days, 30-day average"
            )
        if self.busiest:
            parts.append(to_text(self._busiest_table()))
        parts.append(to_text(self.list.table()))
        if self.list.pages > 1:
            parts.append(f"page {self.list.page:,} of {self.list.pages:,}")
        return "\n\n".join(parts)

    def _tiles_table(self) -> Table:
        columns = ["active users", "so far", "days over", "users", "same days before"]
        rows: list[list[Any]] = []
        for tile in self.tiles.values():
            over = tile.so_far
            rows.append(
                [
                    tile.period.label,
                    tile.count,
                    *(
                        (over.days, over.count, over.before, over.change)
                        if over
                        else (None,) * 4
                    ),
                    *(
                        (tile.last.period.label, tile.last.users, tile.last.change)
                        if tile.last
                        else (None,) * 3
                    ),
                ]
            )
        return Table([*columns, "change", "last complete", "users", "change"], rows)

    def _busiest_table(self) -> Table:
        return Table(
            ["busiest events", self.days[-1].label, "change"],
            [[each.name, each.counts[-1], each.change] for each in self.busiest],
        )


class Overview(ListQuestion[OverviewAnswer]):
    """How many users are active, and which events are busiest?"""

    title = Text("Overview")
    endpoint = "index"
    icon = "fa-dashboard"
    template = "flask_bitmapist/index.html"
    cell = ActiveIn

    def sentence(self) -> Text:
        return said(
            self,
            Text("Overview"),
            Text("Overview of events containing %(text)s", text=f"“{self.q}”"),
        )

    def answer(self, ask: Ask) -> OverviewAnswer:
        asked = _asked(ask)
        busiest, days = _busiest(ask)
        return OverviewAnswer(
            ask=ask,
            list=self.listed(ask),
            tiles={name: _tile(asked(trend)) for name, trend in TRENDS.items()}
            if asked
            else {},
            sticky=asked(STICKINESS) if asked else None,
            days=days,
            busiest=busiest,
        )

    def people(self, ask: Ask, cell: ActiveIn) -> Selection:
        active = _active(ask.names)
        if active is None:
            raise QueryError(
                _too_many()
                if ask.names.events()
                else Text("No events have been tracked yet."),
                field="active",
            )
        period = ask.period(cell.active)
        # What the app calls active may name what nobody has done yet.
        expression = ask.among_everyone(ask.bound(Named(ACTIVE, active)), "active")
        ask.require_kept([expression], [period], "active")
        return expression_users(expression, period)


def _active(names: Names) -> Expression | None:
    """Return who counts as active; None where there are too many events to tell."""
    if ACTIVE in names.defined:
        return names.defined[ACTIVE]
    events = names.events()
    if not 0 < len(events) <= MOST_EVENTS:
        return None
    return Event(events[0]) if len(events) == 1 else Or(tuple(map(Event, events)))


def _too_many() -> Text:
    return Text(
        "There are more than %(most)s events. Define an expression “active” to see how "
        "many users are active.",
        most=MOST_EVENTS,
    )


def _asked(ask: Ask) -> Callable[[Question[A]], A] | None:
    """Return what answers questions about :data:`ACTIVE`, None where it cannot be told.

    All events together are read as if they were one: thousands of bitmaps side by side
    would take a minute.
    """
    active = _active(ask.names)
    if active is None:
        return None
    if ACTIVE in ask.names.defined:
        return ask.another
    united = United(ask.bitmaps, ACTIVE, ask.names.events())
    return partial(ask.another, defined={ACTIVE: Event(ACTIVE)}, bitmaps=united)


def _tile(answer: TrendAnswer) -> Tile:
    (series,) = answer.series
    before, count = series.counts
    last = [
        Last(period, users, changed)
        for period, is_over, users, changed in zip(
            answer.periods, answer.complete, series.counts, series.changes
        )
        if is_over and users is not None
    ]
    return Tile(
        period=answer.periods[-1],
        complete=answer.complete[-1],
        count=count,
        before=before,
        so_far=series.so_far,
        last=last[-1] if last else None,
    )


def _busiest(ask: Ask) -> tuple[tuple[Spark, ...], tuple[Period, ...]]:
    """Return the busiest events, and the complete days on which they are shown."""
    # One more day than is shown, for the change; and one that may not be over.
    recent = ask.periods("days", SPARK_DAYS + 2)
    days = [day for day, is_over in zip(recent, ask.complete(recent)) if is_over]
    days = days[-SPARK_DAYS - 1 :]
    names = ranked(ask.names.events()[:MOST_RANKED], ask.bitmaps, ask.as_of)[:BUSIEST]
    if not names or len(days) < 2:
        return (), ()
    sources = [Source(name, day) for name in names for day in days]
    counts = iter(ask.bitmaps.counts(sources))
    unkept = ask.unkept_sources(sources)
    sparks = []
    for name in names:
        users = [
            None if Source(name, day) in unkept else count
            for day, count in zip(days, counts)
        ]
        sparks.append(Spark(name, tuple(users[1:]), change(users[-2], users[-1])))
    return tuple(sparks), tuple(days[1:])
