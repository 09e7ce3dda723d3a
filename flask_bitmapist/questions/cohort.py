"""Cohorts: who comes back, period by period.  On pages it is called retention."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice, zip_longest
from typing import Any, Literal, TypedDict

import numpy as np

from ..analysis.bitmaps import Stripe, Words
from ..analysis.counting import Pair, count_pairs
from ..analysis.errors import QueryError, Text
from ..analysis.expressions import (
    And,
    evaluate_each,
    meaning_of,
    shown_name,
    sources_over,
)
from ..analysis.periods import AsOf, Period, TimeGroup
from ..analysis.results import Result, Table
from ..analysis.users import Selection
from .asking import Ask
from .declare import (
    GROUPS,
    Answer,
    AnswerDict,
    Behind,
    Cell,
    Compared,
    Group,
    Question,
    Who,
    param,
    period_of,
    running_note,
)

_EACH = {
    "hours": Text("Hourly"),
    "days": Text("Daily"),
    "weeks": Text("Weekly"),
    "months": Text("Monthly"),
    "quarters": Text("Quarterly"),
    "years": Text("Yearly"),
}

Numbers = tuple[int | None, ...]
Shares = tuple[float | None, ...]


class CohortDifferenceDict(TypedDict):
    """How far one cohort is from another."""

    name: str
    minus: str
    cohort: list[list[float | None]]
    complete: list[list[bool]]
    averages: list[float | None]


class CohortDict(AnswerDict):
    """The JSON of a cohort."""

    primary: str
    secondary: str
    within: str | None
    returned: str
    first_time: bool
    time_group: str
    num_rows: int
    num_cols: int
    as_percent: bool
    """Whether the cells are shares of the row's users instead of users."""
    dates: list[str]
    row_complete: list[bool]
    row_totals: list[int | None]
    total: int
    cohort: list[list[float | None]]
    complete: list[list[bool]]
    col_totals: list[int]
    averages: list[float | None]
    differences: list[CohortDifferenceDict]
    """Where they were asked for: the shares of one answer minus those of another."""


class CohortCell(Cell):
    """One cell of a cohort, or all users of a row."""

    period: str = param(
        Text("Period"), help=Text("Label of the row's period, such as 2026-W44.")
    )
    column: int | None = param(
        Text("Column"),
        default=None,
        least=0,
        most=999,
        help=Text("Periods after the row's own; all users of the row by default."),
    )


@dataclass(frozen=True)
class CohortAnswer(Answer):
    """Who came back: a row for each period, a column for each period after it.

    A number is None where there is nothing to count: its period has not begun, its
    row has no users, or it was not kept.
    """

    primary: str
    """The start event's name, or the expression."""
    secondary: str
    """The return event's name, or the expression."""
    periods: tuple[Period, ...] = field(repr=False)
    """The rows' periods, oldest first."""
    row_complete: tuple[bool, ...]
    """Whether each row's period is over."""
    sizes: Numbers
    """Users in each row."""
    counts: tuple[Numbers, ...]
    """Users who came back, by row and column."""
    is_same: bool
    """Whether coming back is the same event, so that everybody is in column 0."""

    users = Behind(CohortCell)

    @property
    def total(self) -> int:
        """Sum of the rows' sizes (a user counts once for each row)."""
        return sum(size or 0 for size in self.sizes)

    @cached_property
    def complete(self) -> tuple[tuple[bool, ...], ...]:
        """Whether each cell's period is over, by row and column.

        A cell of who returned on or after its period grows as long as time goes on,
        and is never complete.
        """
        columns = self.question.num_cols
        over = self.row_complete
        if self.question.returned == "on-or-after":
            over = (False,) * len(over)
        over = (*over, *(False,) * columns)
        return tuple(over[row : row + columns] for row in range(len(self.periods)))

    @cached_property
    def shares(self) -> tuple[Shares, ...]:
        """Share of the row's users by row and column, from 0 to 1."""
        return tuple(
            tuple(
                [None if count is None or not size else count / size for count in row]
            )
            for row, size in zip(self.counts, self.sizes)
        )

    @property
    def cells(self) -> Sequence[Sequence[float | None]]:
        """The cells as they were asked for, as shares or users."""
        return self.counts if self.question.cells == "users" else self.shares

    @property
    def differences(self) -> tuple[CohortDifference, ...]:
        """How far the shares of each segment are from those of the first, and the
        shares of now from those of what they are compared with."""
        headings = {id(each): heading for heading, each in self.parts()}
        first, *others = now = self.segments or (self,)
        before = () if self.previous is None else self.previous.segments
        if self.previous is not None and not before:
            before = (self.previous,)
        pairs = [*((each, first) for each in others), *zip(now, before)]
        return tuple(
            CohortDifference(each, base, headings[id(each)], headings[id(base)])
            for each, base in pairs
        )

    @property
    def _told_differences(self) -> tuple[CohortDifference, ...]:
        return self.differences if self.question.cells == "difference" else ()

    def views(self) -> Iterator[tuple[str, Result]]:
        found = self._told_differences
        return ((each.name, each) for each in found) if found else super().views()

    def sheet(self) -> Table:
        return self._difference_table() or super().sheet()

    def file_table(self) -> Table:
        found = self._difference_table()
        if found is None:
            return super().file_table()
        # Both have as many rows; what one tells of is the first of its two.
        spans = [
            span
            for each in self._told_differences
            for span in each.answer._spans(each.answer.periods)
        ]
        rows = [[*row, *span] for row, span in zip(found.rows, spans, strict=True)]
        return Table([*found.columns, "start", "end"], rows)

    def _difference_table(self) -> Table | None:
        found = [(each, each.table()) for each in self._told_differences]
        if not found:
            return None
        columns = ["segment", "minus", *found[0][1].columns]
        rows = [
            [str(each.heading), str(each.base_heading), *row]
            for each, table in found
            for row in table.rows
        ]
        return Table(columns, rows)

    @cached_property
    def column_totals(self) -> tuple[int, ...]:
        """Sum of each column's users, those of unfinished periods included."""
        return tuple([sum(filter(None, column)) for column in zip(*self.counts)])

    @cached_property
    def averages(self) -> Shares:
        """Weighted average share of each column, from 0 to 1.

        The users of its complete cells, divided by those of their rows; None where no
        cell is complete.
        """
        matched = [0] * self.question.num_cols
        users = list(matched)
        for size, counts, complete in zip(self.sizes, self.counts, self.complete):
            for column, count in enumerate(counts):
                if complete[column] and count is not None:
                    matched[column] += count
                    users[column] += size or 0
        return tuple(
            count / total if total else None for count, total in zip(matched, users)
        )

    def notes(self) -> tuple[Text, ...]:
        said = (self._average_note(), running_note(self.ask, self.periods[-1]))
        return tuple(filter(None, said))

    def _average_note(self) -> Text:
        question = self.question
        unit = GROUPS[question.time_group]
        if question.returned == "on-or-after":
            return Text(
                "Each cell counts users who came back in that %(unit)s or later, "
                "by %(day)s.",
                unit=unit,
                day=self.ask.as_of.day,
            )
        column = min(1, question.num_cols - 1)
        average = self.averages[column]
        if not self.total:
            return Text()
        if average is None:
            return Text("No period is complete yet.")
        values = {"share": average * 100, "unit": unit, "column": column}
        if column and question.returned == "first":
            return Text(
                "On average, %(share)s%% first came back in %(unit)s %(column)s.",
                **values,
            )
        return Text(
            "On average, %(share)s%% came back in %(unit)s %(column)s.", **values
        )

    def told_periods(self) -> tuple[Period, ...]:
        return self.periods

    row_periods = told_periods

    def compared(self) -> Sequence[Compared]:
        unit = GROUPS[self.question.time_group]
        columns = range(self.question.num_cols)
        return [
            Compared(
                name=Text("Weighted average by column"),
                labels=[
                    Text("%(unit)s %(column)s", unit=unit, column=column)
                    for column in columns
                ],
                values=self.averages,
                complete=[True for _ in columns],
                cells=[None for _ in columns],
                in_order=True,
            )
        ]

    def to_dict(self) -> CohortDict:
        question = self.question
        return {
            **self.head(),
            "primary": self.primary,
            "secondary": self.secondary,
            "within": question.within,
            "returned": question.returned,
            "first_time": question.first_time,
            "time_group": question.time_group,
            "num_rows": question.num_rows,
            "num_cols": question.num_cols,
            "as_percent": question.cells != "users",
            "dates": [period.label for period in self.periods],
            "row_complete": list(self.row_complete),
            "row_totals": list(self.sizes),
            "total": self.total,
            "cohort": [*map(list, self.cells)],
            "complete": [*map(list, self.complete)],
            "col_totals": list(self.column_totals),
            "averages": list(self.averages),
            "differences": [each.to_dict() for each in self._told_differences],
        }

    def table(self) -> Table:
        """Return a row for each period.

        It has the period's label, its users, whether it is complete and how many of its
        columns are, and then the columns.
        """
        columns = [
            TimeGroup(self.question.time_group).singular,
            *("users", "complete", "complete columns"),
            *map(str, range(self.question.num_cols)),
        ]
        rows = zip(
            self.periods, self.sizes, self.row_complete, self.complete, self.cells
        )
        return Table(
            columns,
            [
                [period.label, size, is_over, sum(complete), *cells]
                for period, size, is_over, complete, cells in rows
            ],
        )


@dataclass(frozen=True)
class CohortDifference(Result):
    """How far the shares of one cohort are from those of another."""

    answer: CohortAnswer
    """The one."""
    base: CohortAnswer
    """The other, which is taken from it."""
    heading: str
    """Whose the one is."""
    base_heading: str
    """Whose the other is."""

    @property
    def name(self) -> Text:
        """What it is, in words."""
        return Text(
            "%(one)s minus %(other)s", one=self.heading, other=self.base_heading
        )

    @property
    def question(self) -> Any:
        """The question, as data."""
        return self.answer.question

    @property
    def periods(self) -> tuple[Period, ...]:
        """The rows' periods, those of the one."""
        return self.answer.periods

    @property
    def is_same(self) -> bool:
        """Whether everybody is in column 0 of both."""
        return self.answer.is_same

    @cached_property
    def shares(self) -> tuple[Shares, ...]:
        """The differences of the shares, by row and column; 0.05 is five points more.

        None where one of the two has nothing to count.
        """
        return tuple(map(_minus, self.answer.shares, self.base.shares))

    @cached_property
    def averages(self) -> Shares:
        """The differences of the weighted averages, by column."""
        return _minus(self.answer.averages, self.base.averages)

    @cached_property
    def complete(self) -> tuple[tuple[bool, ...], ...]:
        """Whether the periods of both are over, by row and column."""
        return tuple(
            tuple(map(all, zip(*rows)))
            for rows in zip(self.answer.complete, self.base.complete)
        )

    def to_dict(self) -> CohortDifferenceDict:
        return {
            "name": str(self.heading),
            "minus": str(self.base_heading),
            "cohort": [*map(list, self.shares)],
            "complete": [*map(list, self.complete)],
            "averages": list(self.averages),
        }

    def table(self) -> Table:
        """Return a row for each period, with the users of both cohorts."""
        columns = [
            TimeGroup(self.question.time_group).singular,
            *("users", "users of the other", "complete columns"),
            *map(str, range(self.question.num_cols)),
        ]
        sizes = (self.answer.sizes, self.base.sizes)
        rows = zip(self.periods, *sizes, self.complete, self.shares)
        return Table(
            columns,
            [
                [period.label, size, other, sum(complete), *cells]
                for period, size, other, complete, cells in rows
            ],
        )


def _minus(shares: Shares, others: Shares) -> Shares:
    return tuple(
        None if one is None or other is None else one - other
        for one, other in zip(shares, others)
    )


class Cohort(Question[CohortAnswer]):
    """Who comes back?"""

    title = Text("Retention")
    icon = "fa-th"
    template = "flask_bitmapist/cohort.html"
    spans = ("num_rows", "num_cols")
    cell = CohortCell

    primary_event: Who = param(
        Text("Users who did"),
        kw_only=False,
        help=Text(
            "The start event: users who did it in a period are that row's cohort."
        ),
    )
    secondary_event: Who | None = param(
        Text("and came back to do"),
        default=None,
        kw_only=False,
        help=Text("The return event; the same event by default."),
    )
    time_group: Group = param(Text("by"), default="weeks", short="g")
    num_rows: int = param(
        Text("Cohorts"),
        default=12,
        most=1000,
        short="r",
        help=Text("Number of rows, up to the current period."),
    )
    num_cols: int = param(
        Text("Periods"),
        default=12,
        most=1000,
        short="c",
        help=Text("Number of columns: the row's own period and the ones after it."),
    )
    returned: Literal["each", "first", "on-or-after"] = param(
        Text("Returned"),
        default="each",
        choices={
            "each": Text("in that period"),
            "first": Text("for the first time"),
            "on-or-after": Text("on or after"),
        },
        help=Text(
            "Count users in each period in which they came back, in the first "
            "one only, or in every period up to their last return."
        ),
    )
    within: Who | None = param(
        Text("among"),
        default=None,
        help=Text("Only users who also match this in the row's period."),
    )
    first_time: bool = param(
        Text("New users only (first time ever)"),
        default=False,
        help=Text("Only users who had never done the start event before."),
    )
    cells: Literal["percent", "users", "difference"] = param(
        Text("Show"),
        default="percent",
        choices={
            "percent": Text("Percent"),
            "users": Text("Users"),
            "difference": Text("Difference"),
        },
        in_form=False,
        help=Text(
            "Show shares of the row's users, numbers of users, or how far the shares "
            "of each segment are from those of the first, and from those of what they "
            "are compared with."
        ),
    )

    def check(self) -> dict[str, Text]:
        if self.cells == "difference" and not self.has_several:
            return {
                "cells": Text(
                    "A difference needs two segments, or what to compare with."
                )
            }
        return {}

    @property
    def has_several(self) -> bool:
        """Whether there are answers whose difference can be told."""
        return len(self.segments) > 1 or self.compare is not None

    @property
    def returning(self) -> str:
        """The secondary event, also where it is the primary one by default."""
        asked = self.secondary_event or self.primary_event
        return str(asked)

    def sentence(self) -> Text:
        values = {
            "each": _EACH[self.time_group],
            "event": self.primary_event,
            "other": self.returning,
        }
        if self.returning == self.primary_event:
            said = Text("%(each)s retention of %(event)s", **values)
        else:
            said = Text("%(each)s retention from %(event)s to %(other)s", **values)
        if self.returned == "first":
            said = Text("%(asked)s, first return only", asked=said)
        elif self.returned == "on-or-after":
            said = Text("%(asked)s, on or after", asked=said)
        if self.first_time:
            said = Text("%(asked)s, new users only", asked=said)
        if self.within is not None:
            said = Text("%(asked)s, among %(who)s", asked=said, who=self.within)
        return self.to_day(said)

    def _when_earlier(self, as_of: AsOf, count: int) -> dict[str, Any]:
        # What a difference is taken from is no difference itself.
        cells = "percent" if self.cells == "difference" else self.cells
        return {**super()._when_earlier(as_of, count), "cells": cells}

    def answer(self, ask: Ask) -> CohortAnswer:
        return _Grid(self, ask).answer()

    def people(self, ask: Ask, cell: CohortCell) -> Selection:
        return _Grid(self, ask).people(cell)


class _Grid:
    """The bitmaps of a cohort: its rows, and what of them is in each column."""

    def __init__(self, question: Cohort, ask: Ask) -> None:
        self._question = question
        self._ask = ask
        self.periods = ask.periods(question.time_group, question.num_rows)
        self._primary = ask.among(question.primary_event, "primary_event")
        self._entry = self._primary
        if question.within is not None:
            within = ask.who(question.within, "within")
            self._entry = And((self._primary, within))
        self._secondary = self._primary
        if question.secondary_event is not None:
            self._secondary = ask.who(question.secondary_event, "secondary_event")
        self._is_same = meaning_of(self._primary) == meaning_of(self._secondary)
        self._earlier = (
            ask.earlier(self._primary, self.periods) if question.first_time else None
        )
        if question.returned == "on-or-after":
            ask.tell_since(self._secondary, self.periods[0])
        self._unkept = self._find_unkept()
        self._sources = [
            *sources_over(self._entry, self.periods),
            *sources_over(self._secondary, self.periods),
            *(() if self._earlier is None else self._earlier.sources()),
        ]

    def answer(self) -> CohortAnswer:
        question = self._question
        shape = (1 + question.num_cols, question.num_rows)
        cells = question.num_rows * min(shape)
        counts = count_pairs(
            map(self._pairs, self._ask.stripes(self._sources, passes=cells)), shape
        )
        sizes, *columns = counts.tolist()
        return CohortAnswer(
            ask=self._ask,
            primary=shown_name(self._primary),
            secondary=shown_name(self._secondary),
            periods=self.periods,
            row_complete=self._ask.complete(self.periods),
            sizes=tuple(
                None if self._unkept and self._unkept.row(row) else size
                for row, size in enumerate(sizes)
            ),
            counts=self._visible(sizes, columns),
            is_same=self._is_same,
        )

    def people(self, cell: CohortCell) -> Selection:
        """Select who is behind a cell, or behind a row.

        Raises:
            QueryError: There is no such cell, its period has not begun, or it was not
                kept.
        """
        row = self.periods.index(period_of(self.periods, cell.period))
        most = min(self._question.num_cols, len(self.periods) - row) - 1
        if cell.column is not None and cell.column > most:
            raise QueryError(
                Text("This must be a whole number from 0 to %(most)s.", most=most),
                field="column",
            )
        if self._unkept and self._unkept.cell(row, cell.column):
            raise QueryError(Text("This period was not kept."), field="period")
        place = 0 if cell.column is None else 1 + cell.column

        def words(stripe: Stripe) -> Words:
            entered, present = next(islice(self._pairs(stripe), place, None))
            both: Words = entered[row] & present[row]
            return both

        return Selection(
            sources=tuple(self._sources),
            words=words,
            text=self._told(row, cell.column),
        )

    def _pairs(self, stripe: Stripe) -> Iterator[Pair]:
        """Yield two matrices for the rows and for each column.

        The users that they have in common, row by row, are those of the cohort's rows,
        then of its first column, and so on.  Column j pairs row i with period i+j, so
        it has j rows less than the cohort.

        They hold until the next ones are asked for.
        """
        question = self._question
        rows = self._rows(stripe)
        yield rows, rows
        # Whose answer it is, the rows tell.
        secondary = evaluate_each(self._secondary, self.periods, stripe.whole)
        if question.returned == "on-or-after":
            secondary = _from_here_on(secondary)
        once = question.returned == "first"
        waiting = rows.copy() if once else rows
        missing = np.bitwise_not(secondary) if once else secondary
        for column in range(min(question.num_cols, question.num_rows)):
            entered = waiting[: question.num_rows - column]
            yield entered, secondary[column:]
            # Who does the same event in the row's own period has not come back yet.
            if once and (column or not self._is_same):
                np.bitwise_and(entered, missing[column:], out=entered)

    def _rows(self, stripe: Stripe) -> Words:
        """Return the users of each row, not to be written to."""
        entered = evaluate_each(self._entry, self.periods, stripe)
        if self._earlier is None:
            return entered
        # Who is in a row for the first time is told by the primary event alone: a
        # user who entered before the filter held did not enter now.
        primary = evaluate_each(self._primary, self.periods, stripe)
        seen = self._earlier.users(stripe, primary)
        np.bitwise_not(seen, out=seen)
        first: Words = np.bitwise_and(entered, seen, out=seen)
        return first

    def _visible(
        self, sizes: Sequence[int], columns: Sequence[Sequence[int]]
    ) -> tuple[Numbers, ...]:
        """Return the cells row by row, None where there is nothing to count."""
        count = len(self.periods)
        # Each column is one row shorter than the one before: its last period has not
        # begun.
        begun = [column[: max(count - at, 0)] for at, column in enumerate(columns)]
        cells = tuple(zip_longest(*begun))
        blank = (None,) * len(columns)
        if not all(sizes):
            cells = tuple(row if size else blank for size, row in zip(sizes, cells))
        if self._unkept:
            cells = tuple(
                tuple(
                    None if self._unkept.cell(row, column) else number
                    for column, number in enumerate(numbers)
                )
                for row, numbers in enumerate(cells)
            )
        return cells

    def _find_unkept(self) -> _Unkept | None:
        ask, question = self._ask, self._question
        entry = ask.unkept([self._entry], self.periods)
        secondary = entry
        if self._secondary != self._entry:
            secondary = ask.unkept([self._secondary], self.periods)
        rows = [period in entry for period in self.periods]
        if self._earlier is not None:
            known = self._earlier.known
            rows = [lost or not is_known for lost, is_known in zip(rows, known)]
        if not any(rows) and not secondary:
            return None
        return _Unkept(
            rows=rows,
            periods=[period in secondary for period in self.periods],
            returned=question.returned,
        )

    def _told(self, row: int, column: int | None) -> Text:
        question = self._question
        period = self.periods[row]
        said = Text("%(who)s in %(period)s", who=self._primary, period=period)
        if question.first_time:
            said = Text("%(said)s for the first time", said=said)
        if question.within is not None:
            said = Text("%(asked)s, among %(who)s", asked=said, who=question.within)
        if column is None:
            return said
        values = {
            "said": said,
            "who": self._secondary,
            "period": self.periods[row + column],
        }
        if question.returned == "on-or-after":
            return Text("%(said)s, and %(who)s in %(period)s or later", **values)
        if question.returned == "first" and column:
            return Text("%(said)s, and %(who)s in %(period)s first", **values)
        return Text("%(said)s, and %(who)s in %(period)s", **values)


@dataclass(frozen=True)
class _Unkept:
    """Which numbers of a cohort cannot be known.

    Args:
        rows: Whether the users of each row cannot be known.
        periods: Whether each period is not kept for who came back.
        returned: What a cell counts.
    """

    rows: Sequence[bool]
    periods: Sequence[bool]
    returned: str

    def row(self, row: int) -> bool:
        """Return whether the users of a row cannot be known."""
        return self.rows[row]

    def cell(self, row: int, column: int | None) -> bool:
        """Return whether the users of a cell cannot be known."""
        if column is None or self.row(row):
            return self.row(row)
        at = row + column
        if self.returned == "first":
            # Who came back in the hours before does not count again.
            return any(self.periods[row : at + 1])
        if self.returned == "on-or-after":
            return any(self.periods[at:])
        return at < len(self.periods) and self.periods[at]


def _from_here_on(secondary: Words) -> Words:
    """Return for each period who matches in it or in a later one."""
    later: Any = np.bitwise_or.accumulate(secondary[::-1], axis=0)
    return later[::-1]  # type: ignore[no-any-return]
