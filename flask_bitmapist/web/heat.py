"""The heatmap: a cohort made ready to be shown."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..analysis.cohort import CohortResult
from ..analysis.periods import Period

LEVELS = 10
"""Colours run from level 0, for nobody, to this one."""

_SCALES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.75, 1.0)


@dataclass(frozen=True)
class Cell:
    """One cell of the heatmap."""

    count: int | None
    share: float | None
    level: int
    """Its colour, 0 to :data:`LEVELS`."""
    state: str
    """``past``, ``current`` (still incomplete), ``future`` or ``empty`` (no users)."""
    column: int


@dataclass(frozen=True)
class Row:
    """One row of the heatmap."""

    period: Period
    size: int
    cells: tuple[Cell, ...]
    is_current: bool


@dataclass(frozen=True)
class Heatmap:
    """A cohort with colours and the state of each cell."""

    result: CohortResult
    rows: tuple[Row, ...]
    scale: float
    """The share, from 0 to 1, from which on a cell has the strongest colour."""
    averages: tuple[tuple[float | None, int], ...]
    """By column: the weighted average and its colour."""

    @property
    def steps(self) -> Iterator[tuple[int, float]]:
        """Colours and the shares up to which they go, for the legend."""
        for level in range(LEVELS + 1):
            yield level, self.scale * level / LEVELS

    @property
    def has_users(self) -> bool:
        """Whether anybody is in the cohort."""
        return self.result.total > 0


def heatmap(result: CohortResult) -> Heatmap:
    """Give each cell of *result* its colour and state."""
    scale = _scale(result)
    level = _leveller(scale)
    return Heatmap(
        result=result,
        rows=tuple(_rows(result, level)),
        scale=scale,
        averages=tuple((each, level(each)) for each in result.averages),
    )


def _scale(result: CohortResult) -> float:
    """Return the share that gets the strongest colour.

    Column 0 is left out where there are others: who did something in a period mostly
    did it in that period, and next to that everything else would look alike.
    """
    largest = 0.0
    for row in result.shares:
        for share in row[1:] if len(row) > 1 else row:
            largest = max(largest, share or 0.0)
    if largest == 0:
        largest = max((row[0] or 0.0 for row in result.shares), default=0.0) or 1.0
    return next((each for each in _SCALES if each >= largest), 1.0)


def _leveller(scale: float) -> Callable[[float | None], int]:
    def level(share: float | None) -> int:
        if not share:
            return 0
        # The smallest share above nobody is told apart from nobody.
        return min(LEVELS, max(1, math.ceil(share / scale * LEVELS - 1e-9)))

    return level


def _rows(result: CohortResult, level: Callable[[float | None], int]) -> Iterator[Row]:
    last = len(result.periods) - 1
    for index, (period, size) in enumerate(zip(result.periods, result.sizes)):
        cells = tuple(
            Cell(
                count=count,
                share=share,
                level=level(share),
                state=_state(result, index, column, size),
                column=column,
            )
            for column, (count, share) in enumerate(
                zip(result.counts[index], result.shares[index])
            )
        )
        yield Row(period, size, cells, is_current=index == last)


def _state(result: CohortResult, row: int, column: int, size: int) -> str:
    if row + column >= len(result.periods):
        return "future"
    if not size:
        return "empty"
    return "current" if result.is_incomplete(row, column) else "past"
