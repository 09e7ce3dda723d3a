"""The form behind every page, and the one of the cohort page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from werkzeug.datastructures import MultiDict
from wtforms import FieldList, Form, FormField

from ..analysis.cohort import CohortQuery, CohortResult, cohort, cohort_users
from ..analysis.errors import QueryError
from ..analysis.expressions import Flag as FlagExpression
from ..analysis.periods import TimeGroup
from ..analysis.results import Result, Table
from ..analysis.users import Selection
from ..query import Query, moment
from .fields import (
    AsOf,
    Choice,
    Count,
    Either,
    EventName,
    Flag,
    TimeGroupChoice,
)
from .texts import gettext, lazy

FORMATS = ("html", "json", "csv")
MOST_CONDITIONS = 20


class QuestionForm(Form):
    """What a page can be asked, by the names in its URL.

    A page's form says how to ask (:meth:`ask`), and may say which users are behind
    a number of the answer (:meth:`selection`).
    """

    format = Choice(
        lazy("Format"), choices=[(each, each) for each in FORMATS], default="html"
    )

    needs_question: ClassVar[bool] = True
    """Whether the page asks nothing until something is filled in."""

    def ask(self, query: Query) -> Result:
        """Return the answer to the question in this form."""
        raise NotImplementedError

    def selection(self, query: Query) -> Selection | None:
        """Return which users are asked for, or None if the answer itself is."""
        return None

    def table(self, result: Any) -> Table:
        """Return the answer as the rows of a CSV file."""
        table: Table = result.table()
        return table

    def as_dict(self, result: Any) -> dict[str, Any]:
        """Return the answer in the shape of the JSON."""
        shape: dict[str, Any] = result.to_dict()
        return shape

    def event_names(self) -> Iterator[str]:
        """Yield the names of the events that the question is about."""
        for field in self:
            if isinstance(field, EventName) and field.data:
                yield field.data

    def prepare(self, arguments: MultiDict[str, str] | None) -> None:
        """Make the form ready to be shown, after it was read."""

    def arguments(self) -> dict[str, str]:
        """Return the filled-in fields as the arguments of a URL, the format aside."""
        values: dict[str, str] = {}
        for field in self:
            if field.name != "format":
                values.update(_arguments_of(field))
        return values

    @property
    def messages(self) -> dict[str, list[str]]:
        """What is wrong, by the name of the field; nested ones as in the URL."""
        return dict(_messages(self))

    def label_of(self, name: str) -> str:
        """Return what the field *name* is called on the page, empty if unknown."""
        field = self._fields.get(name.partition("-")[0])
        return str(field.label.text) if field is not None else ""

    def refuse(self, error: QueryError) -> None:
        """Show *error* beside the field that it is about, or above the form."""
        name = error.field or ""
        if name in self._fields:
            field = self._fields[name]
            field.errors = [*field.errors, str(error)]
        else:
            self.form_errors.append(str(error))


def _arguments_of(field: Any) -> Iterator[tuple[str, str]]:
    if isinstance(field, (FieldList, FormField)):
        for inner in field:
            yield from _arguments_of(inner)
    elif isinstance(field, Flag):
        if field.data:
            yield field.name, "y"
    elif field.data is not None and field.data != "":
        yield field.name, str(field.data)


def _messages(form: Any) -> Iterator[tuple[str, list[str]]]:
    if getattr(form, "form_errors", None):
        yield "form", [str(each) for each in form.form_errors]
    for field in form:
        if isinstance(field, FormField):
            yield from _messages(field.form)
        elif isinstance(field, FieldList):
            for entry in field:
                if isinstance(entry, FormField):
                    yield from _messages(entry.form)
                elif entry.errors:
                    yield entry.name, [str(each) for each in entry.errors]
            own = [each for each in field.errors if isinstance(each, str)]
            if own:
                yield field.name, own
        elif field.errors:
            yield field.name, [str(each) for each in field.errors]


class ConditionForm(Form):
    """One more condition on the users that are looked for."""

    op = Choice(
        lazy("Joined by"),
        choices=[("and", lazy("and")), ("or", lazy("or"))],
        default="and",
    )
    name = EventName(lazy("Event"), required=False)


class Conditions(FieldList):  # type: ignore[type-arg]
    """Conditions that may be left blank, up to a number."""

    def __init__(self, label: str | None = None, **options: Any) -> None:
        super().__init__(FormField(ConditionForm), label, **options)

    def filled(self) -> list[dict[str, str]]:
        """Return the conditions that name an event."""
        return [
            {"name": entry.form.name.data, "op": entry.form.op.data}
            for entry in self
            if entry.form.name.data
        ]

    def validate(self, form: Any, extra_validators: Any = ()) -> bool:
        valid = super().validate(form, extra_validators)
        if len(self.entries) > MOST_CONDITIONS:
            message = gettext("At most %(most)s conditions.", most=MOST_CONDITIONS)
            self.errors = [*self.errors, message]
            return False
        return valid

    def remove(self, number: int) -> None:
        """Take the condition in place *number* out."""
        kept = [entry.data for place, entry in enumerate(self) if place != number]
        while self.entries:
            self.pop_entry()
        for data in kept:
            self.append_entry(data)


PRESETS = {
    "30-days": (lazy("Last 30 days"), "days", 30, 30),
    "12-weeks": (lazy("12 weeks"), "weeks", 12, 12),
    "12-months": (lazy("12 months"), "months", 12, 12),
}
"""Common questions: what they are called, the time group, the rows, the columns."""


class CohortForm(QuestionForm):
    """Of the users who did this, how many did that afterwards?"""

    primary_event = EventName(lazy("Of the users who did"))
    secondary_event = EventName(lazy("see how many also did"))
    additional_events = Conditions(lazy("Further conditions"))
    time_group = TimeGroupChoice(lazy("each"))
    num_rows = Count(lazy("Rows"), most="max_rows", default=20)
    num_cols = Count(lazy("Columns"), most="max_columns", default=10)
    as_of = AsOf(lazy("Up to"))
    unbounded = Either(
        lazy("They count"),
        no=lazy("in that period"),
        yes=lazy("in that period or later"),
    )
    first_time = Flag(lazy("Only users who are there for the first time"))
    with_replacement = Flag(lazy("Count a user in every period, not just the first"))
    flag = EventName(lazy("Only users with the flag"), required=False)
    as_percent = Flag(lazy("Show percentages"), default=True)

    # A cell, when its users are asked for.
    period = EventName(lazy("Row"), required=False)
    column = Count(lazy("Column"), least=0, most="max_columns", default=None)

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

    def ask(self, query: Query) -> CohortResult:
        return cohort(self.question(query), query.bitmaps)

    def selection(self, query: Query) -> Selection | None:
        if not self.period.data:
            return None
        question = self.question(query)
        for row, period in enumerate(question.periods):
            if period.label == self.period.data:
                return cohort_users(question, query.bitmaps, row, self.column.data)
        raise QueryError(
            gettext(
                "The cohort's rows are %(first)s to %(last)s.",
                first=question.periods[0].label,
                last=question.periods[-1].label,
            ),
            field="period",
        )

    def table(self, result: CohortResult) -> Table:
        columns, rows = result.table(as_percent=self.as_percent.data)
        # Bare numbers: "+1" would be taken for a formula.
        return Table([*columns[:2], *map(str, range(result.query.num_cols))], rows)

    def as_dict(self, result: CohortResult) -> dict[str, Any]:
        return result.to_dict(as_percent=self.as_percent.data)

    def event_names(self) -> Iterator[str]:
        yield from (self.primary_event.data or "", self.secondary_event.data or "")
        yield from (each["name"] for each in self.additional_events.filled())

    def prepare(self, arguments: MultiDict[str, str] | None) -> None:
        """Do what a button of the form asked for: add or remove a condition."""
        if not arguments:
            return
        if "add" in arguments and len(self.additional_events) < MOST_CONDITIONS:
            self.additional_events.append_entry()
        removed = arguments.get("remove", "")
        if removed.isascii() and removed.isdigit() and len(removed) < 4:
            self.additional_events.remove(int(removed))

    @staticmethod
    def preset(name: str) -> Mapping[str, str]:
        """Return the arguments that the preset *name* stands for; none if unknown."""
        if name not in PRESETS:
            return {}
        _, group, rows, columns = PRESETS[name]
        return {"time_group": group, "num_rows": str(rows), "num_cols": str(columns)}
