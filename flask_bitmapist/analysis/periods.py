"""Calendar periods in UTC: hours, days, ISO weeks, months and years."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache
from typing import NamedTuple

from .errors import QueryError, Text
from .keeping import kept_while_few


class TimeGroup(str, enum.Enum):
    """How time is cut into periods; each member equals its plural name."""

    HOURS = "hours"
    DAYS = "days"
    WEEKS = "weeks"
    MONTHS = "months"
    YEARS = "years"

    # Periods are looked up by the thousand: the hash of a string is computed once,
    # the one of an enumeration each time, in Python.
    __hash__ = str.__hash__

    def __str__(self) -> str:
        return self.value

    @property
    def singular(self) -> str:
        """The name of one such period, for example ``"week"``."""
        return self.value[:-1]

    @classmethod
    def parse(cls, name: str | TimeGroup) -> TimeGroup:
        """Find a time group by its singular or plural name.

        Args:
            name: For example ``"week"``, ``"weeks"`` or ``TimeGroup.WEEKS``.

        Returns:
            The time group.

        Raises:
            QueryError: There is no such time group.

        Example:
            >>> TimeGroup.parse("week")
            <TimeGroup.WEEKS: 'weeks'>
        """
        if isinstance(name, cls):
            return name
        for group in cls:
            if name in (group.value, group.singular):
                return group
        raise QueryError(
            Text(
                "%(given)s is not a time group; use one of %(allowed)s",
                given=repr(shorten(name)),
                allowed=", ".join(group.value for group in cls),
            ),
            field="time_group",
        )


def shorten(value: object, limit: int = 60) -> str:
    """Return *value* as text of at most *limit* characters, for a message."""
    text = str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def to_utc(moment: datetime | date) -> datetime:
    """Read a moment as UTC.

    Args:
        moment: An aware datetime is converted; a naive one is taken to be UTC
            already; a date means its first instant.

    Returns:
        The same moment as an aware datetime in UTC.
    """
    if not isinstance(moment, datetime):
        return datetime(moment.year, moment.month, moment.day, tzinfo=timezone.utc)
    if moment.tzinfo is None:
        return moment.replace(tzinfo=timezone.utc)
    return moment.astimezone(timezone.utc)


class Period(NamedTuple):
    """One calendar period, told by its group and its first instant.

    Periods of one group sort by time.  Build them with :meth:`containing` and
    :meth:`shift`, which keep ``start`` on a period's first instant.
    """

    group: TimeGroup
    start: datetime
    """First instant of the period, aware, in UTC."""

    @classmethod
    def containing(cls, group: TimeGroup | str, moment: datetime | date) -> Period:
        """Return the period of *group* in which *moment* falls.

        Raises:
            QueryError: There is no such time group.

        Example:
            >>> Period.containing(TimeGroup.WEEKS, date(2026, 1, 1)).label
            '2026-W01'
        """
        group, start = TimeGroup.parse(group), _hour(moment)
        if group is TimeGroup.HOURS:
            return cls(group, start)
        start = start.replace(hour=0)
        if group is TimeGroup.WEEKS:
            start -= timedelta(days=start.weekday())
        elif group is TimeGroup.MONTHS:
            start = start.replace(day=1)
        elif group is TimeGroup.YEARS:
            start = start.replace(month=1, day=1)
        return cls(group, start)

    def shift(self, count: int) -> Period:
        """Return the period *count* periods later, or earlier if negative.

        Raises:
            QueryError: That period lies outside the years 1 to 9999.
        """
        try:
            return Period(self.group, _shifted(self.group, self.start, count))
        except (OverflowError, ValueError):
            raise QueryError(self._outside(count)) from None

    def _outside(self, count: int) -> Text:
        # The number is as large as somebody likes it to be.
        values = {
            "number": shorten(f"{abs(count):,}"),
            "time_group": self.group.value,
            "period": self.label,
        }
        if count > 0:
            where = Text("%(number)s %(time_group)s after %(period)s", **values)
        else:
            where = Text("%(number)s %(time_group)s before %(period)s", **values)
        return Text(
            "%(where)s lies outside the calendar (years 1 to 9999)", where=where
        )

    @property
    def end(self) -> datetime:
        """First instant after the period."""
        return _shifted(self.group, self.start, 1)

    @property
    def label(self) -> str:
        """Its name by ISO 8601, as ``2026-11-23T14``, ``2026-11-23``, ``2026-W48``"""
        return _label(self.group, self.start)

    def parts(self) -> tuple[Period, ...]:
        """Return the periods for which bitmaps are stored that make up this one.

        A year has no bitmap of its own and is the union of its twelve months;
        every other period is its own single part.
        """
        if self.group is not TimeGroup.YEARS:
            return (self,)
        return tuple(
            Period(TimeGroup.MONTHS, self.start.replace(month=month))
            for month in range(1, 13)
        )

    def days(self) -> Iterator[Period]:
        """Yield the days of this period in order (an hour belongs to its day)."""
        day = Period.containing(TimeGroup.DAYS, self.start)
        while day.start < self.end:
            yield day
            day = day.shift(1)


def last_periods(group: TimeGroup, count: int, as_of: datetime) -> tuple[Period, ...]:
    """Return the last *count* periods up to the one containing *as_of*.

    Returns:
        Periods, oldest first; the last one is the current, incomplete one.

    Raises:
        QueryError: The oldest of them lies before the year 1.
    """
    return _last_periods(group, count, _hour(as_of))


@kept_while_few(lambda group, count, hour: count)
def _last_periods(group: TimeGroup, count: int, hour: datetime) -> tuple[Period, ...]:
    current = Period.containing(group, hour)
    return tuple(current.shift(back) for back in range(1 - count, 1))


def _hour(moment: datetime | date) -> datetime:
    """Return the first instant of the hour: no period begins within one."""
    return to_utc(moment).replace(minute=0, second=0, microsecond=0)


def _shifted(group: TimeGroup, start: datetime, count: int) -> datetime:
    if group is TimeGroup.HOURS:
        return start + timedelta(hours=count)
    if group is TimeGroup.DAYS:
        return start + timedelta(days=count)
    if group is TimeGroup.WEEKS:
        return start + timedelta(weeks=count)
    if group is TimeGroup.YEARS:
        return start.replace(year=start.year + count)
    years, month = divmod(start.month - 1 + count, 12)
    return start.replace(year=start.year + years, month=month + 1)


@lru_cache(maxsize=4096)
def _label(group: TimeGroup, start: datetime) -> str:
    if group is TimeGroup.HOURS:
        return f"{start:%Y-%m-%dT%H}"
    if group is TimeGroup.DAYS:
        return f"{start:%Y-%m-%d}"
    if group is TimeGroup.WEEKS:
        year, week, _ = start.isocalendar()
        return f"{year}-W{week:02}"
    if group is TimeGroup.MONTHS:
        return f"{start:%Y-%m}"
    return f"{start:%Y}"
