"""The lifecycle page: who is new, who returns, who stays away?"""

from __future__ import annotations

from typing import Any

from ...analysis.lifecycle import (
    LifecycleQuery,
    LifecycleResult,
    lifecycle,
    lifecycle_users,
)
from ...analysis.periods import TimeGroup
from ...analysis.users import Selection
from ...query import Query, moment
from ..fields import AsOf, Choice, Count, EventName, Text, TimeGroupChoice
from ..forms import QuestionForm
from ..texts import lazy
from .common import index_of

STAGES = (
    ("new", lazy("New"), lazy("active for the first time ever")),
    ("returning", lazy("Returning"), lazy("active in the period before as well")),
    ("resurrecting", lazy("Resurrecting"), lazy("back after at least one period")),
    ("dormant", lazy("Dormant"), lazy("active in the period before, not in this one")),
)
"""Each stage: its name in URLs, on the page, and what it means."""


class LifecycleForm(QuestionForm):
    """Where do the users of each period come from, and where do they go?"""

    preset_fields = ("num_periods",)

    event = EventName(lazy("Users who did"))
    time_group = TimeGroupChoice(lazy("each"), default=TimeGroup.WEEKS.value)
    num_periods = Count(lazy("Periods"), most="max_rows", default=12)
    as_of = AsOf(lazy("Up to"))

    cell_fields = ("period", "stage")
    # A number, when its users are asked for.
    period = Text(lazy("Period"))
    stage = Choice(
        lazy("Stage"),
        choices=[(name, title) for name, title, _ in STAGES],
        default="new",
    )

    def question(self, query: Query) -> LifecycleQuery:
        """Return what is asked."""
        return LifecycleQuery(
            expression=query.expression(self.event.data),
            as_of=moment(self.as_of.data),
            time_group=TimeGroup(self.time_group.data),
            num_periods=self.num_periods.data,
        )

    def cells(self) -> int:
        cells: int = self.num_periods.data * (1 + len(STAGES))
        return cells

    def ask(self, query: Query) -> LifecycleResult:
        return lifecycle(self.question(query), query.bitmaps)

    def selection(self, query: Query) -> Selection | None:
        if not self.period.data:
            return None
        question = self.question(query)
        place = index_of(question.periods, self.period.data)
        return lifecycle_users(question, query.bitmaps, self.stage.data, place)


def present(result: LifecycleResult) -> dict[str, Any]:
    """Return what the template needs beside the answer."""
    last = len(result.periods) - 1
    return {"order": range(last, -1, -1), "last": last, "stages": STAGES}
