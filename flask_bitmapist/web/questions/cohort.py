"""The cohort page: who comes back?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from wtforms import Form, FormField

from ...analysis.cohort import CohortQuery, CohortResult, cohort, cohort_users
from ...analysis.expressions import Flag as FlagExpression
from ...analysis.periods import TimeGroup
from ...analysis.results import Table
from ...analysis.users import Selection
from ...query import Query, moment
from ..fields import AsOf, Choice, Count, Either, EventName, Flag, Text, TimeGroupChoice
from ..forms import Entries, QuestionForm
from ..heat import Heatmap, heatmap
from ..texts import lazy
from .common import index_of


class ConditionForm(Form):
    """One more condition on the users that are looked for."""

    op = Choice(
        lazy("Joined by"),
        choices=[("and", lazy("and")), ("or", lazy("or"))],
        default="and",
    )
    name = EventName(lazy("Event"), required=False)


class Conditions(Entries):
    """Conditions that may be left blank."""

    keys = frozenset({"op", "name"})

    def __init__(self, label: str | None = None, **options: Any) -> None:
        super().__init__(FormField(ConditionForm), label, **options)

    def filled(self) -> list[Any]:
        """Return the conditions that name an event."""
        return [entry.data for entry in self if entry.data["name"]]


class CohortForm(QuestionForm):
    """Of the users who did this, how many did that afterwards?"""

    several = "additional_events"
    preset_fields = ("num_rows", "num_cols")

    primary_event = EventName(lazy("Of the users who did"))
    secondary_event = EventName(lazy("see how many also did"))
    additional_events = Conditions(lazy("Further conditions"))
    time_group = TimeGroupChoice(lazy("each"))
    num_rows = Count(lazy("Rows"), most=1000, default=20)
    num_cols = Count(lazy("Columns"), most=1000, default=10)
    as_of = AsOf(lazy("Up to"))
    unbounded = Either(
        lazy("They count"),
        no=lazy("in that period"),
        yes=lazy("in that period or later"),
    )
    first_time = Flag(lazy("Only users who are there for the first time"))
    with_replacement = Flag(lazy("Count a user in every period, not just the first"))
    flag = Text(lazy("Only users with the flag"))
    as_percent = Flag(lazy("Show percentages"), default=True)

    cell_fields = ("period", "column")
    # A cell, when its users are asked for.
    period = Text(lazy("Row"))
    column = Count(lazy("Column"), least=0, most=1000, default=None)

    def question(self, query: Query) -> CohortQuery:
        """Return what is asked."""
        return CohortQuery(
            primary=query.expression(self.primary_event.data),
            secondary=query.chain(
                self.secondary_event.data, self.additional_events.filled()
            ),
            as_of=moment(self.as_of.data),
            time_group=TimeGroup(self.time_group.data),
            num_rows=self.num_rows.data,
            num_cols=self.num_cols.data,
            with_replacement=self.with_replacement.data,
            first_time=self.first_time.data,
            unbounded=bool(self.unbounded.data),
            within=FlagExpression(self.flag.data) if self.flag.data else None,
        )

    def cells(self) -> int:
        cells: int = self.num_rows.data * self.num_cols.data
        return cells

    def ask(self, query: Query) -> CohortResult:
        return cohort(self.question(query), query.bitmaps)

    def selection(self, query: Query) -> Selection | None:
        if not self.period.data:
            return None
        question = self.question(query)
        row = index_of(question.periods, self.period.data)
        return cohort_users(question, query.bitmaps, row, self.column.data)

    def table(self, result: CohortResult) -> Table:
        columns, rows = result.table(as_percent=self.as_percent.data)
        # Bare numbers: "+1" would be taken for a formula.
        return Table([*columns[:2], *map(str, range(result.query.num_cols))], rows)

    def as_dict(self, result: CohortResult) -> dict[str, Any]:
        return result.to_dict(as_percent=self.as_percent.data)

    def event_names(self) -> Iterator[str]:
        yield from (self.primary_event.data or "", self.secondary_event.data or "")
        yield from (each["name"] for each in self.additional_events.filled())


def present(result: CohortResult) -> dict[str, Heatmap]:
    """Return what the template needs beside the answer."""
    return {"heat": heatmap(result)}
