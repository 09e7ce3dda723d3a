"""The overview: how are things today?"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ...analysis.expressions import Event, Expression, Or
from ...analysis.periods import Period, TimeGroup
from ...analysis.results import Result, Table
from ...analysis.users import Selection, expression_users
from ...query import Query, moment
from ...questions.stickiness import Stickiness
from ...questions.trend import Series, Trend
from ..fields import Choice
from ..texts import lazy
from .events import GROUPS, EventList, EventListForm, count_events

if TYPE_CHECKING:
    from ...state import BitmapistState

ACTIVE = "active"
"""An expression that the app defines by this name says who is active at all."""

MOST_EVENTS = 200
"""Most events of which users are united to tell who was active."""
MOST_RANKED = 2000
"""Most events among which the busiest ones are looked for."""
BUSIEST = 8
SPARK_DAYS = 30

TILES = {
    TimeGroup.DAYS: (lazy("Today"), lazy("yesterday")),
    TimeGroup.WEEKS: (lazy("This week"), lazy("last week")),
    TimeGroup.MONTHS: (lazy("This month"), lazy("last month")),
}


@dataclass(frozen=True)
class Tile:
    """Unique active users of the current period, and of the one before."""

    period: Period
    count: int
    before: int
    change: float | None
    """Against the period before, 0.1 being 10 % more; None after nobody."""

    def to_dict(self) -> dict[str, Any]:
        """Return the tile as it stands in JSON."""
        return {"count": self.count, "before": self.before, "change": self.change}


@dataclass(frozen=True)
class OverviewResult(Result):
    """What the overview shows."""

    list: EventList
    tiles: dict[TimeGroup, Tile]
    """Active users; empty where there are too many events to unite."""
    stickiness: float | None
    """Weighted average of a day's share of the users of 28 days, over 30 days."""
    busiest: tuple[Series, ...]
    """The busiest events, by day."""
    days: tuple[Period, ...]
    """The days of :attr:`busiest`, oldest first."""

    @cached_property
    def has_active(self) -> bool:
        """Whether it could be told who was active."""
        return bool(self.tiles)

    def to_dict(self) -> dict[str, Any]:
        return {
            **self.list.to_dict(),
            "active": {
                group.singular: tile.to_dict() for group, tile in self.tiles.items()
            },
            "stickiness": self.stickiness,
            "busiest": {
                "dates": [day.label for day in self.days],
                "series": [
                    {"name": each.name, "counts": list(each.counts)}
                    for each in self.busiest
                ],
            },
        }

    def table(self) -> Table:
        return Table(
            ["event", *(group.singular for group in GROUPS)],
            [[event.name, *event.counts] for event in self.list.events],
        )


class OverviewForm(EventListForm):
    """How many users are active, and which events are busiest?"""

    cell_fields = ("active", "page", "per_page")
    # A tile, when its users are asked for.
    active = Choice(
        lazy("Active in"),
        choices=[("", "")]
        + [(group.singular, name) for group, (name, _) in TILES.items()],
        default="",
    )

    def ask(self, query: Query) -> OverviewResult:
        found = self.listed(query)
        active = _active(self.state)
        busiest = self._busiest(query)
        result = None
        if busiest:
            question = Trend(
                tuple(map(Event, busiest)),
                num_periods=SPARK_DAYS,
                as_of=self.as_of.data,
            )
            result = query(question)
        return OverviewResult(
            list=found,
            tiles={group: self._tile(query, active, group) for group in TILES}
            if active is not None
            else {},
            stickiness=self._stickiness(query, active),
            busiest=result.series if result else (),
            days=result.periods if result else (),
        )

    def selection(self, query: Query) -> Selection | None:
        active = _active(self.state)
        if not self.active.data or active is None:
            return None
        group = TimeGroup.parse(self.active.data)
        period = Period.containing(group, moment(self.as_of.data))
        return expression_users(active, period)

    def _tile(self, query: Query, active: Expression, group: TimeGroup) -> Tile:
        # What the app has defined is not looked up: any event of it may be new.
        question = Trend(
            (active,),
            time_group=group.value,
            num_periods=2,
            as_of=self.as_of.data,
            allow_unknown=True,
        )
        result = query(question)
        series = result.series[0]
        before, count = (each or 0 for each in series.counts)
        return Tile(result.periods[-1], count, before, series.changes[-1])

    def _stickiness(self, query: Query, active: Expression | None) -> float | None:
        if active is None:
            return None
        question = Stickiness(active, as_of=self.as_of.data, allow_unknown=True)
        return query(question).average

    def _busiest(self, query: Query) -> list[str]:
        names = self.state.catalogue.names()[:MOST_RANKED]
        as_of = moment(self.as_of.data)
        month = Period.containing(TimeGroup.MONTHS, as_of)
        # Early in a month the month before says more.
        recent: dict[str, int] = dict.fromkeys(names, 0)
        for each in (month, month.shift(-1)):
            for event in count_events(names, each.start, query.bitmaps, (each.group,)):
                recent[event.name] += event.counts[0]
        ranked = sorted(names, key=lambda name: (-recent[name], name))
        return [name for name in ranked[:BUSIEST] if recent[name]]


def _active(state: BitmapistState) -> Expression | None:
    """Return who counts as active; None where there are too many events to tell."""
    if ACTIVE in state.named:
        return state.named[ACTIVE]
    names = state.catalogue.names()
    if not 0 < len(names) <= MOST_EVENTS:
        return None
    return Event(names[0]) if len(names) == 1 else Or(tuple(map(Event, names)))


def present(result: OverviewResult) -> dict[str, Any]:
    """Return what the template needs beside the answer."""
    return {
        "tiles": TILES,
        "sparks": [(series, points(series.counts)) for series in result.busiest],
        "most_events": MOST_EVENTS,
    }


def points(counts: tuple[int | None, ...], width: int = 120, height: int = 28) -> str:
    """Return a line through *counts*, as the points of an SVG polyline.

    Args:
        counts: The values, in order.
        width: The line's width.
        height: Its height; the largest value is at the top, nobody at the bottom.
    """
    values = [count or 0 for count in counts]
    top = max(values, default=0) or 1
    step = width / max(1, len(values) - 1)
    return " ".join(
        f"{index * step:.1f},{height - count / top * height:.1f}"
        for index, count in enumerate(values)
    )
