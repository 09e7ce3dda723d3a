"""Questions from Python: names and dates in, results out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timezone

from .analysis.bitmaps import Bitmaps
from .analysis.cohort import CohortQuery, CohortResult, cohort
from .analysis.errors import QueryError
from .analysis.expressions import Expression, as_expression, chain
from .analysis.periods import Period, TimeGroup, to_utc
from .store.userset import UserSet


class Query:
    """Asks questions of one store.

    This is ``bitmapist.query`` on the extension.  Events are given by name or as
    an :class:`Expression`, time groups by name, in the singular or plural.

    Args:
        bitmaps: Where the bitmaps come from.
    """

    def __init__(self, bitmaps: Bitmaps) -> None:
        self.bitmaps = bitmaps

    def users(
        self,
        event: str | Expression,
        time_group: str | TimeGroup = "days",
        as_of: date | datetime | None = None,
    ) -> UserSet:
        """Return the users for whom *event* holds in one period.

        Args:
            event: The event.
            time_group: How long the period is.
            as_of: A moment in the period; now by default.

        Returns:
            A set of user ids that reads Redis when it is looked at.
        """
        period = Period.containing(TimeGroup.parse(time_group), moment(as_of))
        return UserSet(self.bitmaps, as_expression(event), period)

    def cohort(
        self,
        primary: str | Expression,
        secondary: str | Expression,
        additional: Iterable[Mapping[str, str]] = (),
        *,
        time_group: str | TimeGroup = "days",
        num_rows: int = 10,
        num_cols: int = 10,
        with_replacement: bool = False,
        as_of: date | datetime | None = None,
    ) -> CohortResult:
        """Return what share of a period's users does something afterwards.

        Args:
            primary: Who enters a row.
            secondary: What is looked for in the periods from the row's own on.
            additional: More conditions beside *secondary*, see :func:`chain`.
            time_group: How time is cut into periods.
            num_rows: The last so many periods.
            num_cols: The row's own period and those after it.
            with_replacement: Count a user in every column where they match.
            as_of: The day or moment of the last row; now by default.

        Raises:
            QueryError: Something asked for is not allowed.
        """
        question = CohortQuery(
            primary=as_expression(primary),
            secondary=chain(secondary, additional),
            as_of=moment(as_of),
            time_group=TimeGroup.parse(time_group),
            num_rows=num_rows,
            num_cols=num_cols,
            with_replacement=with_replacement,
        )
        return cohort(question, self.bitmaps)


def utc_now() -> datetime:
    """Return the current moment, aware, in UTC."""
    return datetime.now(tz=timezone.utc)


def moment(as_of: date | datetime | None) -> datetime:
    """Return the moment as of which a question is asked, in UTC.

    Args:
        as_of: A moment; a day, which means its end or now, whichever is earlier;
            or None for now.

    Raises:
        QueryError: *as_of* is none of these.
    """
    now = utc_now()
    if as_of is None:
        return now
    if isinstance(as_of, datetime):
        return to_utc(as_of)
    if isinstance(as_of, date):
        if as_of == now.date():
            return now
        return datetime.combine(as_of, time.max, tzinfo=timezone.utc)
    raise QueryError(
        f"as_of must be a date, a datetime or None, not {type(as_of).__name__}",
        field="as_of",
    )
