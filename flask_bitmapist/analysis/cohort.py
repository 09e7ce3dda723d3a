"""Cohorts: who comes back, period by period."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .bitmaps import Bitmaps, Source, Words, count_rows
from .errors import QueryError
from .expressions import Expression, evaluate_each, require_bounded
from .periods import Period, TimeGroup, last_periods, to_utc


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
    """

    primary: Expression
    secondary: Expression
    as_of: datetime
    time_group: TimeGroup = TimeGroup.DAYS
    num_rows: int = 10
    num_cols: int = 10
    with_replacement: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "as_of", to_utc(self.as_of))
        for name in ("num_rows", "num_cols"):
            if getattr(self, name) < 1:
                raise QueryError(
                    f"{name} is {getattr(self, name)}; it must be at least 1",
                    field=name,
                )
        require_bounded(self.primary, "primary_event")

    @cached_property
    def periods(self) -> tuple[Period, ...]:
        """The rows' periods, oldest first."""
        return last_periods(self.time_group, self.num_rows, self.as_of)


@dataclass(frozen=True)
class CohortResult:
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
        """Return whether the cell's period is the current one."""
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


def cohort(query: CohortQuery, bitmaps: Bitmaps) -> CohortResult:
    """Answer a cohort question.

    Args:
        query: What is asked.
        bitmaps: Where the bitmaps come from.

    Returns:
        Rows of counts, oldest period first.
    """
    periods = query.periods
    sizes = np.zeros(query.num_rows, dtype=np.int64)
    counts = np.zeros((query.num_rows, query.num_cols), dtype=np.int64)
    for stripe in bitmaps.stripes(list(_sources(query))):
        primary = evaluate_each(query.primary, periods, stripe)
        secondary = evaluate_each(query.secondary, periods, stripe)
        _tally(query, primary, secondary, sizes, counts)
    return CohortResult(
        query=query,
        periods=periods,
        sizes=tuple(sizes.tolist()),
        counts=tuple(_visible(query, sizes, counts)),
    )


def _sources(query: CohortQuery) -> Iterator[Source]:
    for expression in (query.primary, query.secondary):
        for period in query.periods:
            yield from expression.sources(period)


def _tally(
    query: CohortQuery,
    primary: Words,
    secondary: Words,
    sizes: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> None:
    """Add one stripe to the counts, a column for all rows at once.

    Column j pairs row i with period i+j, so a column is the two matrices shifted
    against each other by j rows.
    """
    sizes += count_rows(primary)
    waiting = primary if query.with_replacement else primary.copy()
    for column in range(min(query.num_cols, query.num_rows)):
        rows = query.num_rows - column
        matched = np.bitwise_and(waiting[:rows], secondary[column:])
        counts[:rows, column] += count_rows(matched)
        if not query.with_replacement:
            np.bitwise_xor(waiting[:rows], matched, out=waiting[:rows])


def _visible(
    query: CohortQuery, sizes: NDArray[np.int64], counts: NDArray[np.int64]
) -> Iterator[tuple[int | None, ...]]:
    """Yield the rows of counts, blank where there is nothing to count."""
    for row, (size, values) in enumerate(zip(sizes.tolist(), counts.tolist())):
        begun = query.num_rows - row if size else 0
        yield tuple(
            value if column < begun else None for column, value in enumerate(values)
        )
