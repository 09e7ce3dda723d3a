"""The funnel page: how far do users get?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...analysis.errors import QueryError
from ...analysis.funnel import FunnelQuery, FunnelResult, funnel, funnel_users
from ...analysis.periods import TimeGroup
from ...analysis.users import Selection
from ...query import Query, moment
from ..fields import AsOf, Count, EventName, Flag, Text, TimeGroupChoice
from ..forms import MOST_ENTRIES, Entries, QuestionForm
from ..texts import gettext, lazy
from .common import index_of


class FunnelForm(QuestionForm):
    """How many of those who take the first step take the next ones?"""

    several = "steps"
    preset_fields = ("num_periods",)

    steps = Entries(EventName(lazy("Step"), required=False), lazy("Steps"), least=2)
    time_group = TimeGroupChoice(lazy("each"))
    num_periods = Count(lazy("Periods of entering"), most="max_rows", default=30)
    window = Count(lazy("Within periods"), most="max_columns", default=7)
    as_of = AsOf(lazy("Up to"))

    cell_fields = ("step", "period", "lost")
    # A number, when its users are asked for.
    step = Count(lazy("Step"), most=MOST_ENTRIES, default=None)
    period = Text(lazy("Period"))
    lost = Flag(lazy("Those who did not get there"))

    def question(self, query: Query) -> FunnelQuery:
        """Return what is asked."""
        return FunnelQuery(
            steps=tuple(map(query.expression, self.steps.filled())),
            as_of=moment(self.as_of.data),
            time_group=TimeGroup(self.time_group.data),
            num_periods=self.num_periods.data,
            window=self.window.data,
        )

    def cells(self) -> int:
        cells: int = self.num_periods.data * len(self.steps.filled())
        return cells

    def ask(self, query: Query) -> FunnelResult:
        return funnel(self.question(query), query.bitmaps)

    def selection(self, query: Query) -> Selection | None:
        if self.step.data is None:
            return None
        question = self.question(query)
        least = 2 if self.lost.data else 1
        if not least <= self.step.data <= len(question.steps):
            raise QueryError(
                gettext(
                    "This must be %(least)s to %(most)s.",
                    least=least,
                    most=len(question.steps),
                ),
                field="step",
            )
        place = None
        if self.period.data:
            place = index_of(question.periods, self.period.data)
        return funnel_users(question, self.step.data - 1, place, self.lost.data)

    def event_names(self) -> Iterator[str]:
        yield from self.steps.filled()


def present(result: FunnelResult) -> dict[str, Any]:
    """Return what the template needs beside the answer."""
    return {
        "order": range(len(result.periods) - 1, -1, -1),
        "lost": [0, *(a - b for a, b in zip(result.totals, result.totals[1:]))],
    }
