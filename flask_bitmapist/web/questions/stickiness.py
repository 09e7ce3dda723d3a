"""The stickiness page: how often do users come?"""

from __future__ import annotations

from typing import Any

from ...analysis.stickiness import (
    StickinessQuery,
    StickinessResult,
    active_users,
    stickiness,
)
from ...analysis.users import Selection
from ...query import Query, moment
from ..fields import AsOf, Choice, Count, EventName, Flag
from ..forms import QuestionForm
from ..texts import lazy


class StickinessForm(QuestionForm):
    """How many of a month's users come on a day, and on how many days?"""

    event = EventName(lazy("Users who did"))
    num_days = Count(lazy("Days"), most="max_rows", default=30)
    window = Choice(
        lazy("Divided by the users of"),
        choices=[
            ("month", lazy("the calendar month")),
            ("rolling", lazy("the last 30 days")),
        ],
        default="month",
    )
    as_of = AsOf(lazy("Up to"))

    cell_fields = ("days", "at_least")
    # A bar, when its users are asked for.
    days = Count(lazy("Days active"), most="max_rows", default=None)
    at_least = Flag(lazy("On more days as well"))

    def question(self, query: Query) -> StickinessQuery:
        """Return what is asked."""
        return StickinessQuery(
            expression=query.expression(self.event.data),
            as_of=moment(self.as_of.data),
            num_days=self.num_days.data,
            window=self.window.data,
        )

    def cells(self) -> int:
        cells: int = self.num_days.data * 2
        return cells

    def ask(self, query: Query) -> StickinessResult:
        return stickiness(self.question(query), query.bitmaps)

    def selection(self, query: Query) -> Selection | None:
        if self.days.data is None:
            return None
        exactly = not self.at_least.data
        return active_users(self.question(query), self.days.data, exactly)


def present(result: StickinessResult) -> dict[str, Any]:
    """Return what the template needs beside the answer."""
    last = len(result.days) - 1
    return {"order": range(last, -1, -1), "last": last}
