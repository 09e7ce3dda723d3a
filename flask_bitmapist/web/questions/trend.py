"""The trends page: how many users, period by period?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...analysis.errors import QueryError
from ...analysis.periods import TimeGroup
from ...analysis.trend import TrendQuery, TrendResult, trend
from ...analysis.users import Selection, expression_users
from ...query import Query, moment
from ..fields import AsOf, Count, EventName, Flag, Text, TimeGroupChoice
from ..forms import Entries, QuestionForm
from ..texts import gettext, lazy
from .common import index_of


class TrendForm(QuestionForm):
    """How many unique users of these events are there in each period?"""

    several = "events"
    preset_fields = ("num_periods",)

    events = Entries(EventName(lazy("Event"), required=False), lazy("Events"), least=1)
    time_group = TimeGroupChoice(lazy("each"))
    num_periods = Count(lazy("Periods"), most="max_rows", default=30)
    as_of = AsOf(lazy("Up to"))
    rolling_7 = Flag(lazy("Users of the last 7 days as well"))
    rolling_30 = Flag(lazy("Users of the last 30 days as well"))

    cell_fields = ("period", "event")
    # A point, when its users are asked for.
    period = Text(lazy("Period"))
    event = Text(lazy("Event"))

    def question(self, query: Query) -> TrendQuery:
        """Return what is asked."""
        lengths = ((7, self.rolling_7.data), (30, self.rolling_30.data))
        return TrendQuery(
            expressions=tuple(map(query.expression, self.events.filled())),
            as_of=moment(self.as_of.data),
            time_group=TimeGroup(self.time_group.data),
            num_periods=self.num_periods.data,
            rolling=tuple(days for days, wanted in lengths if wanted),
        )

    def cells(self) -> int:
        series = len(self.events.filled())
        lines = 1 + self.rolling_7.data + self.rolling_30.data
        cells: int = self.num_periods.data * series * lines
        return cells

    def ask(self, query: Query) -> TrendResult:
        return trend(self.question(query), query.bitmaps)

    def selection(self, query: Query) -> Selection | None:
        if not self.period.data:
            return None
        names = self.events.filled()
        name = self.event.data or names[0]
        if name not in names:
            raise QueryError(gettext("This must be one of the events."), field="event")
        periods = self.question(query).periods
        place = index_of(periods, self.period.data)
        return expression_users(query.expression(name), periods[place])

    def event_names(self) -> Iterator[str]:
        yield from self.events.filled()


def present(result: TrendResult) -> dict[str, Any]:
    """Return what the template needs beside the answer."""
    last = len(result.periods) - 1
    return {"order": range(last, -1, -1), "last": last}
