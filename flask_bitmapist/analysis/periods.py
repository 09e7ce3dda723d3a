"""Calendar periods in UTC: hours, days, ISO weeks, months and years."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache, wraps
from threading import Lock
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

from .errors import QueryError, Text

_MOST = 1000
_MOST_RESULTS = 64

P = ParamSpec("P")
R = TypeVar("R")


class TimeGroup(enum.StrEnum):
    """How time is cut into periods; each member equals its plural name."""

    HOURS = "hours"
    DAYS = "days"
    WEEKS = "weeks"
    MONTHS = "months"
    YEARS = "years"

    # Periods are looked up by the thousand: the hash of a string is computed once,
    # the one of an enumeration each time, in Python.
    __hash__ = str.__hash__

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
    last_day: date | None = None
    """The last day that counts, where that is not the period's own; see
    :meth:`until`."""

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
        return Text("%(where)s is outside the calendar (years 1 to 9999)", where=where)

    def until(self, day: date) -> Period:
        """Return the period of which nothing after *day* counts.

        It keeps its label and its end, and is read as the union of its days up to
        *day*.  A period that ends by then is the same as before, and so are days and
        hours.

        Args:
            day: The last day that counts, one of the period's own.

        Example:
            >>> week = Period.containing("week", date(2026, 11, 18))
            >>> [day.label for day in week.until(date(2026, 11, 17)).parts()]
            ['2026-11-16', '2026-11-17']
        """
        if self.group in (TimeGroup.HOURS, TimeGroup.DAYS):
            return self
        if day >= (self.end - timedelta(days=1)).date():
            return self._replace(last_day=None)
        return self._replace(last_day=day)

    @property
    def end(self) -> datetime:
        """First instant after the period."""
        try:
            return _shifted(self.group, self.start, 1)
        except (OverflowError, ValueError):  # the last one of the calendar
            return datetime.max.replace(tzinfo=timezone.utc)

    @property
    def label(self) -> str:
        """Its name by ISO 8601, as ``2026-11-23T14``, ``2026-11-23``, ``2026-W48``"""
        return _label(self.group, self.start)

    def parts(self) -> tuple[Period, ...]:
        """Return the periods for which bitmaps are stored that make up this one.

        A year has no bitmap of its own and is the union of its twelve months; a
        period that is read until a day is the union of whole months and days; every
        other period is its own single part.
        """
        if self.last_day is not None:
            return tuple(self._parts_until(self.last_day))
        if self.group is not TimeGroup.YEARS:
            return (self,)
        return tuple(
            Period(TimeGroup.MONTHS, self.start.replace(month=month))
            for month in range(1, 13)
        )

    def _parts_until(self, last: date) -> Iterator[Period]:
        start = self.start
        if self.group is TimeGroup.YEARS:
            for month in range(1, last.month):
                yield Period(TimeGroup.MONTHS, start.replace(month=month))
            start = start.replace(month=last.month)
        day = Period(TimeGroup.DAYS, start)
        while day.start.date() <= last:
            yield day
            day = day.shift(1)

    def counted_days(self) -> Iterator[Period]:
        """Yield the days of this period that count, see :meth:`until`."""
        for day in self.days():
            if self.last_day is None or day.start.date() <= self.last_day:
                yield day

    def days(self) -> Iterator[Period]:
        """Yield the days of this period in order (an hour belongs to its day)."""
        day = Period.containing(TimeGroup.DAYS, self.start)
        while day.start < self.end:
            yield day
            day = day.shift(1)


class AsOf(NamedTuple):
    """As of when a question is answered.

    Nothing after its day counts, and what has not ended by its horizon is not
    complete.  Every answer, headline and average tells the two apart by this alone.

    Args:
        now: The moment at which the question is answered, aware, in UTC.
        moment: The moment whose period is the last one, aware, in UTC.
    """

    now: datetime
    moment: datetime

    @property
    def day(self) -> date:
        """The last day that counts."""
        return self.moment.date()

    @property
    def is_today(self) -> bool:
        """Whether the last day is still going on."""
        return self.day == self.now.date()

    @property
    def horizon(self) -> datetime:
        """The end of the last day, or now if that is earlier."""
        midnight = self.moment.replace(hour=0, minute=0, second=0, microsecond=0)
        try:
            return min(self.now, midnight + timedelta(days=1))
        except OverflowError:  # the last day of the calendar
            return self.now

    def is_complete(self, period: Period) -> bool:
        """Return whether *period* has ended by the horizon."""
        return period.end <= self.horizon

    def period(self, group: TimeGroup) -> Period:
        """Return the period of *group* that contains the day, read up to it."""
        period = Period.containing(group, self.moment)
        # Nothing is marked later than today: the period is read at once.
        return period if self.is_today else period.until(self.day)

    def periods(self, group: TimeGroup, count: int) -> tuple[Period, ...]:
        """Return the last *count* periods, oldest first.

        The last one contains the day, and is read up to it.

        Raises:
            QueryError: The oldest of them lies before the year 1.
        """
        periods = last_periods(group, count, self.moment)
        last = self.period(group)
        return periods if last == periods[-1] else (*periods[:-1], last)

    def elapsed(self, period: Period) -> tuple[Period, Period] | None:
        """Return what of a running period can be compared with the one before.

        Args:
            period: A period that contains the horizon.

        Returns:
            The period until the last day that is over, and the one before it until
            the same day of it; None for hours and days, and while no day is over.
        """
        days = (self.horizon.date() - period.start.date()).days
        if period.group in (TimeGroup.HOURS, TimeGroup.DAYS) or days < 1:
            return None
        before = period.shift(-1)
        return tuple(  # type: ignore[return-value]
            each.until(min(each.start + timedelta(days=days - 1), each.end).date())
            for each in (period, before)
        )


def kept_while_few(
    number: Callable[P, int],
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Keep what a function makes of a question's periods or bitmaps, if they are few.

    To make it anew for many of them takes little beside reading them, and kept for
    question after question it would take memory by the megabyte.  Of each function the
    last few dozen results are kept, by its arguments, which are given by position.

    Args:
        number: Tells of the function's arguments how many there are.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        # Not lru_cache: it would have to be told before each call whether to keep
        # anything, and that takes longer than to find what is kept.
        kept: dict[tuple[Any, ...], R] = {}
        lock = Lock()

        @wraps(function)
        def made(*args: Any) -> R:
            result = kept.get(args)
            if result is None:
                result = cast("Callable[..., R]", function)(*args)
                if cast("Callable[..., int]", number)(*args) <= _MOST:
                    with lock:
                        kept[args] = result
                        if len(kept) > _MOST_RESULTS:
                            del kept[next(iter(kept))]
            return result

        return cast("Callable[P, R]", made)

    return decorate


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
