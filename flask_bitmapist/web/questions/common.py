"""What several questions share."""

from __future__ import annotations

from collections.abc import Sequence

from ...analysis.errors import QueryError
from ...analysis.periods import Period
from ..texts import gettext


def index_of(periods: Sequence[Period], label: str) -> int:
    """Return which of *periods* has the ISO label *label*.

    URLs name a period by its label, so that they mean the same tomorrow.

    Raises:
        QueryError: None of them has.
    """
    for index, period in enumerate(periods):
        if period.label == label:
            return index
    raise QueryError(
        gettext(
            "This must be one of %(first)s to %(last)s.",
            first=periods[0].label,
            last=periods[-1].label,
        ),
        field="period",
    )
