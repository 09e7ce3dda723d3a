"""Cohorts: who comes back, period by period."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import islice, zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bitmaps import Bitmaps, Stripe, Words
from .checks import check_count, check_index
from .counting import Pair, count_pairs
from .expressions import (
    And,
    Expression,
    evaluate_each,
    require_bounded,
    sources_over,
)
from .history import History
from .periods import Period, TimeGroup, last_periods, to_utc
from .results import Result, Table
from .users import Selection


@dataclass(frozen=True)
class CohortQuery:
    """What share of a period's users does something in the periods after it?

    Args:
        primary: Who enters a row: users for whom this holds in the row's period.
        secondary: What is looked for in them, in that period and the next ones.
        as_of: The moment whose period is the last row, current and incomplete.
        time_group: How time is cut.
        num_rows: Number of rows: the last so many periods.
        num_cols: Number of columns: the row's own period and those after it.
        with_replacement: Count a user in every column where they match, not only
            in the first one.
        first_time: Let a row have only those whose first *primary* ever falls in it.
        unbounded: Count in a column who matches in its period or in any later one,
            up to *as_of*; each user then counts in every such column.
        within: Let rows have only users for whom this holds too, in the row's
            period; for example a flag.
    """

    primary: Expression
    secondary: Expression
    as_of: datetime
    time_group: TimeGroup = TimeGroup.DAYS
    num_rows: int = 10
    num_cols: int = 10
    with_replacement: bool = False
    first_time: bool = False
    unbounded: bool = False
    within: Expression | None = None
    periods: tuple[Period, ...] = field(init=False, repr=False, compare=False)
    """The rows' periods, oldest first."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "as_of", to_utc(self.as_of))
        object.__setattr__(self, "time_group", TimeGroup.parse(self.time_group))
        check_count("num_rows", self.num_rows)
        check_count("num_cols", self.num_cols)
        require_bounded(self.primary, "primary_event")
        periods = last_periods(self.time_group, self.num_rows, self.as_of)
        object.__setattr__(self, "periods", periods)


@dataclass(frozen=True)
class CohortResult(Result):
    """The answer to a :class:`CohortQuery`.

    A cell is None where there is nothing to count: its period has not begun, or
    its row has no users.
    """

    query: CohortQuery
    periods: tuple[Period, ...] = field(repr=False)
    """The rows' periods, oldest first; the last one is incomplete."""
    sizes: tuple[int, ...]
    """Users in each row."""
    counts: tuple[tuple[int | None, ...], ...]
    """Users who match, by row and column."""

    def is_incomplete(self, row: int, column: int) -> bool:
        """Return whether the cell's period is the current one.

        With unbounded retention every cell still grows while the current period
        lasts; just its last column is told apart.
        """
        return row + column == len(self.periods) - 1

    @property
    def total(self) -> int:
        """Sum of the rows' sizes (a user counts once for each row)."""
        return sum(self.sizes)

    @cached_property
    def shares(self) -> tuple[tuple[float | None, ...], ...]:
        """Share of the row's users by row and column, from 0 to 1."""
        return tuple(
            tuple(None if count is None else count / size for count in row)
            for row, size in zip(self.counts, self.sizes)
        )

    @cached_property
    def column_totals(self) -> tuple[int, ...]:
        """Sum of each column's counts, the current period's included."""
        return tuple(
            sum(row[column] or 0 for row in self.counts)
            for column in range(self.query.num_cols)
        )

    @cached_property
    def averages(self) -> tuple[float | None, ...]:
        """Weighted average share of each column, from 0 to 1.

        The sum of the counts divided by the sum of the sizes of the rows that have
        a count there.  The current period is left out; None where nothing is left.
        """
        return tuple(map(self._average, range(self.query.num_cols)))

    def _average(self, column: int) -> float | None:
        matched = users = 0
        for row, size in enumerate(self.sizes):
            count = self.counts[row][column]
            if count is not None and not self.is_incomplete(row, column):
                matched += count
                users += size
        return matched / users if users else None

    def to_dict(self, as_percent: bool = False) -> dict[str, Any]:
        """Return the cohort in the shape of the pages' JSON.

        Args:
            as_percent: Give the cells as shares from 0 to 1 instead of counts.
        """
        cells = self.shares if as_percent else self.counts
        return {
            "cohort": [list(row) for row in cells],
            "dates": [period.label for period in self.periods],
            "total": self.total,
            "row_totals": list(self.sizes),
            "col_totals": list(self.column_totals),
            "averages": list(self.averages),
            "time_group": self.query.time_group.value,
            "as_percent": as_percent,
            "num_rows": self.query.num_rows,
            "num_cols": self.query.num_cols,
            "as_of": self.query.as_of.isoformat(),
            "primary": str(self.query.primary),
            "secondary": str(self.query.secondary),
            "within": None if self.query.within is None else str(self.query.within),
            "with_replacement": self.query.with_replacement,
            "first_time": self.query.first_time,
            "unbounded": self.query.unbounded,
        }

    def table(self, as_percent: bool = False) -> Table:
        """Return a row for each period: its label, its users, then the columns."""
        cells = self.shares if as_percent else self.counts
        unit = self.query.time_group.singular
        columns = [unit, "users", *map(str, range(self.query.num_cols))]
        return Table(
            columns,
            [
                [period.label, size, *row]
                for period, size, row in zip(self.periods, self.sizes, cells)
            ],
        )


def cohort(query: CohortQuery, bitmaps: Bitmaps) -> CohortResult:
    """Answer a cohort question.

    Args:
        query: What is asked.
        bitmaps: Where the bitmaps come from.

    Returns:
        Rows of counts, oldest period first.

    Raises:
        QueryError: The past that ``first_time`` needs is too long to be read.
    """
    grid = _Grid(query, bitmaps)
    counts = count_pairs(
        map(grid.pairs, bitmaps.stripes(grid.sources)),
        (1 + query.num_cols, query.num_rows),
    )
    return CohortResult(
        query=query,
        periods=query.periods,
        sizes=tuple(counts[0].tolist()),
        counts=_visible(query, counts),
    )


def cohort_users(
    query: CohortQuery, bitmaps: Bitmaps, row: int, column: int | None = None
) -> Selection:
    """Select the users behind one number of a cohort.

    Args:
        query: What is asked.
        bitmaps: Where the bitmaps come from.
        row: Index of the row, from 0.
        column: Index of the cell's column, from 0; None for all users of the row.

    Raises:
        QueryError: There is no such cell, or its period has not begun.
    """
    check_index("row", row, query.num_rows - 1)
    if column is not None:
        check_index("column", column, min(query.num_cols, query.num_rows - row) - 1)
    grid = _Grid(query, bitmaps)
    place = 0 if column is None else 1 + column

    def words(stripe: Stripe) -> Words:
        entered, present = next(islice(grid.pairs(stripe), place, None))
        both: Words = entered[row] & present[row]
        return both

    return Selection(
        sources=tuple(grid.sources),
        words=words,
        text=_cell_text(query, row, column),
    )


class _Grid:
    """The bitmaps of a cohort: its rows, and what of them is in each column."""

    def __init__(self, query: CohortQuery, bitmaps: Bitmaps) -> None:
        self._query = query
        self._entry = (
            query.primary
            if query.within is None
            else And((query.primary, query.within))
        )
        self._past = (
            History(query.primary, query.periods[0], bitmaps)
            if query.first_time
            else None
        )
        self.sources = [
            *sources_over(self._entry, query.periods),
            *sources_over(query.secondary, query.periods),
            *(() if self._past is None else self._past.sources()),
        ]

    def pairs(self, stripe: Stripe) -> Iterator[Pair]:
        """Yield two matrices for the rows and for each column.

        The users that they have in common, row by row, are those of the cohort's rows,
        then of its first column, and so on.  Column j pairs row i with period i+j, so
        it has j rows less than the cohort.

        They hold until the next ones are asked for.
        """
        query = self._query
        rows = self._rows(stripe)
        yield rows, rows
        secondary = evaluate_each(query.secondary, query.periods, stripe)
        if query.unbounded:
            secondary = _from_here_on(secondary)
        repeat = query.with_replacement or query.unbounded
        waiting = rows if repeat else rows.copy()
        missing = secondary if repeat else np.bitwise_not(secondary)
        for column in range(min(query.num_cols, query.num_rows)):
            entered = waiting[: query.num_rows - column]
            yield entered, secondary[column:]
            if not repeat:
                np.bitwise_and(entered, missing[column:], out=entered)

    def _rows(self, stripe: Stripe) -> Words:
        """Return the users of each row, not to be written to."""
        entered = evaluate_each(self._entry, self._query.periods, stripe)
        if self._past is None:
            return entered
        # Who is in a row for the first time is told by the primary event alone: a
        # user who entered before the filter held did not enter now.
        primary = evaluate_each(self._query.primary, self._query.periods, stripe)
        seen = self._past.users(stripe)
        first = np.empty_like(primary)
        for row, users in enumerate(primary):
            np.bitwise_and(entered[row], np.bitwise_not(seen), out=first[row])
            np.bitwise_or(seen, users, out=seen)
        return first


def _from_here_on(secondary: Words) -> Words:
    """Return for each period who matches in it or in a later one."""
    return np.bitwise_or.accumulate(secondary[::-1], axis=0)[::-1]


def _visible(
    query: CohortQuery, counts: NDArray[np.int64]
) -> tuple[tuple[int | None, ...], ...]:
    """Return the cells row by row, blank where there is nothing to count.

    Args:
        query: What was asked.
        counts: The rows' sizes, and then each column's cells.
    """
    sizes, *columns = counts.tolist()
    # Each column is one row shorter than the one before: its last period has not begun.
    begun = [column[: max(query.num_rows - j, 0)] for j, column in enumerate(columns)]
    cells = tuple(zip_longest(*begun))
    if all(sizes):
        return cells
    blank = (None,) * query.num_cols
    return tuple(row if size else blank for size, row in zip(sizes, cells))


def _cell_text(query: CohortQuery, row: int, column: int | None) -> str:
    entered = f"{query.primary} in {query.periods[row].label}"
    if query.within is not None:
        entered += f" within {query.within}"
    if query.first_time:
        entered += " for the first time"
    if column is None:
        return entered
    when = f"in {query.periods[row + column].label}"
    if query.unbounded:
        when += " or later"
    elif not query.with_replacement:
        when += " first" if column else ""
    return f"{entered}, and {query.secondary} {when}"
