"""The colours of a heatmap."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..questions.cohort import CohortAnswer, Shares

LEVELS = 10
"""Colours run from level 0, for nobody, to this one."""

_SCALES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.75, 1.0)


@dataclass(frozen=True)
class Heatmap:
    """The colours of a cohort's cells."""

    scale: float
    """The share, from 0 to 1, from which on a cell has the strongest colour."""
    levels: Sequence[Sequence[int]]
    """By row and column."""
    averages: Sequence[int]

    @property
    def steps(self) -> Iterator[tuple[int, float]]:
        """Colours and the shares up to which they go, for the legend."""
        for level in range(LEVELS + 1):
            yield level, self.scale * level / LEVELS


def heatmap(answer: CohortAnswer) -> Heatmap:
    """Return the colours of a cohort."""
    scale = _scale(answer.shares)
    return Heatmap(
        scale=scale,
        levels=[_levels(row, scale) for row in answer.shares],
        averages=_levels(answer.averages, scale),
    )


def _scale(shares: Sequence[Shares]) -> float:
    """Return the share that gets the strongest colour.

    Column 0 is left out where there are others: who did something in a period mostly
    did it in that period, and next to that everything else would look alike.
    """
    largest = max((share or 0.0 for row in shares for share in row[1:]), default=0.0)
    if not largest:
        largest = max((row[0] or 0.0 for row in shares), default=0.0) or 1.0
    return next((each for each in _SCALES if each >= largest), 1.0)


def _levels(shares: Shares, scale: float) -> list[int]:
    # The smallest share above nobody is told apart from nobody.
    return [
        min(LEVELS, max(1, math.ceil(share / scale * LEVELS - 1e-9))) if share else 0
        for share in shares
    ]
