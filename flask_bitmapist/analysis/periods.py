"""Calendar periods: hours, days, weeks, months, quarters, years, and ranges of days.

Periods are those of a wall calendar: dates and hours as a clock on the app's wall shows
them.  A *wall moment* is a datetime that names a date and a time of day.  It carries
UTC as its zone, so that hours add up without changes of the clock, and says nothing by
that.  Only :class:`Calendar` knows which zone the clock is in.
"""

from __future__ import annotations

import enum
from calendar import monthrange
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone, tzinfo
from functools import cached_property, lru_cache, wraps
from threading import Lock
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast
from zoneinfo import ZoneInfo

from .errors import QueryError, Text

_MOST = 1000
_MOST_RESULTS = 64

UTC = "UTC"
"""The time zone of an app that says nothing else."""

WEEK_STARTS = {"monday": 0, "sunday": 6, "saturday": 5}
"""The days on which weeks can begin, as numbers from Monday; ISO 8601 has Monday."""

_TICK = timedelta(microseconds=1)
_DAY = timedelta(days=1)
_END = datetime.max.replace(tzinfo=timezone.utc)

P = ParamSpec("P")
R = TypeVar("R")
D = TypeVar("D", date, datetime)


class TimeGroup(enum.StrEnum):
    """How time is cut into periods; each member equals its plural name."""

    HOURS = "hours"
    DAYS = "days"
    WEEKS = "weeks"
    MONTHS = "months"
    QUARTERS = "quarters"
    YEARS = "years"
    RANGES = "ranges"
    """Days one after the other, see :meth:`Period.between`; not asked for by name."""

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
        by_name = [group for group in cls if group is not cls.RANGES]
        for group in by_name:
            if name in (group.value, group.singular):
                return group
        raise QueryError(
            Text(
                "%(given)s is not a time group; use one of %(allowed)s",
                given=repr(shorten(name)),
                allowed=", ".join(group.value for group in by_name),
            ),
            field="time_group",
        )


def shorten(value: object, limit: int = 60) -> str:
    """Return *value* as text of at most *limit* characters, for a message."""
    text = str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def to_utc(moment: datetime | date) -> datetime:
    """Read a moment as UTC; a wall moment stays what it is.

    Args:
        moment: An aware datetime is converted; of a naive one, or of a date, the
            fields are taken as they are.

    Returns:
        The same moment as an aware datetime in UTC.
    """
    if not isinstance(moment, datetime):
        return datetime(moment.year, moment.month, moment.day, tzinfo=timezone.utc)
    if moment.tzinfo is None:
        return moment.replace(tzinfo=timezone.utc)
    return moment.astimezone(timezone.utc)


class Period(NamedTuple):
    """One calendar period, told by its group and where it begins.

    Periods of one group sort by time.  Build them with :meth:`containing`,
    :meth:`between` and :meth:`shift`, which keep ``start`` on a period's beginning.
    """

    group: TimeGroup
    start: datetime
    """Where the period begins on the app's calendar.  It names a date and an hour, and
    carries UTC as its zone whichever zone the app has; the instant is told by
    :meth:`~flask_bitmapist.analysis.periods.Calendar.span`."""
    last_day: date | None = None
    """The last day that counts, where that is not the period's own; see
    :meth:`until`.  Of a range it is the last day."""

    @classmethod
    def containing(
        cls, group: TimeGroup | str, moment: datetime | date, week_start: int = 0
    ) -> Period:
        """Return the period of *group* in which *moment* falls.

        Args:
            group: The time group, also by name.
            moment: A wall moment, or a day; any other aware moment is read in UTC.
            week_start: The weekday on which weeks begin, from 0 for Monday.

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
            start -= timedelta(days=(start.weekday() - week_start) % 7)
        elif group is TimeGroup.MONTHS:
            start = start.replace(day=1)
        elif group is TimeGroup.QUARTERS:
            start = start.replace(month=start.month - (start.month - 1) % 3, day=1)
        elif group is TimeGroup.YEARS:
            start = start.replace(month=1, day=1)
        return cls(group, start)

    @classmethod
    def between(cls, first: date, last: date) -> Period:
        """Return a range of days, from the first to the last, both included.

        Example:
            >>> days = Period.between(date(2026, 10, 31), date(2026, 12, 1))
            >>> days.label, [part.label for part in days.parts()]
            ('2026-10-31/2026-12-01', ['2026-10-31', '2026-11', '2026-12-01'])
        """
        return cls(TimeGroup.RANGES, to_utc(first), last)

    def shift(self, count: int) -> Period:
        """Return the period *count* periods later, or earlier if negative.

        Raises:
            QueryError: That period lies outside the years 1 to 9999.
        """
        try:
            if self.group is TimeGroup.RANGES:
                by = (self.end - self.start) * count
                return Period.between((self.start + by).date(), self.last + by)
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
        if self.group is TimeGroup.RANGES:
            return self._replace(last_day=min(day, self.last))
        if day >= self._replace(last_day=None).last:
            return self._replace(last_day=None)
        return self._replace(last_day=day)

    @property
    def end(self) -> datetime:
        """Where the next period begins, see :attr:`start`; at the end of the calendar
        its last moment."""
        try:
            if self.group is TimeGroup.RANGES:
                return to_utc(self.last) + _DAY
            return _shifted(self.group, self.start, 1)
        except (OverflowError, ValueError):
            return _END

    @property
    def last(self) -> date:
        """The last day that counts: the period's own last one, or an earlier one."""
        return (self.end - _TICK).date() if self.last_day is None else self.last_day

    @property
    def is_long(self) -> bool:
        """Whether it is longer than a day."""
        return self.group not in (TimeGroup.HOURS, TimeGroup.DAYS)

    @property
    def label(self) -> str:
        """Its name in data.

        By ISO 8601, as ``2026-11-23T14``, ``2026-11-23``, ``2026-W48``, ``2026-11``,
        ``2026``; with ``2026-Q4`` for a quarter, ``W2026-11-22`` for a week that begins
        on another day than Monday, and ``2026-11-03/2026-11-17`` for a range.
        """
        if self.group is TimeGroup.RANGES:
            return f"{self.start:%Y-%m-%d}/{self.last}"
        return _label(self.group, self.start)

    def __str__(self) -> str:
        return self.label

    @property
    def is_stored(self) -> bool:
        """Whether bitmapist keeps a bitmap of just this period."""
        if self.last_day is not None:
            return False
        if self.group is TimeGroup.WEEKS:
            return self.start.weekday() == 0
        return (
            self.group is not TimeGroup.YEARS and self.group is not TimeGroup.QUARTERS
        )

    def parts(self) -> tuple[Period, ...]:
        """Return the periods for which bitmaps are stored that make up this one.

        Hours, days, weeks from Monday and months have bitmaps of their own; everything
        else is the union of whole months and days.
        """
        if self.is_stored:
            return (self,)
        return _months_and_days(self.start.date(), self.last)

    def counted_days(self) -> Iterator[Period]:
        """Yield the days of this period that count, see :meth:`until`."""
        for day in self.days():
            if self.last_day is None or day.start.date() <= self.last_day:
                yield day

    def days(self) -> Iterator[Period]:
        """Yield the days of this period in order (an hour belongs to its day)."""
        first, end = self.start.replace(hour=0), self.end
        for number in range(-((first - end) // _DAY)):
            yield Period(TimeGroup.DAYS, first + number * _DAY)


@lru_cache(maxsize=4096)
def _months_and_days(first: date, last: date) -> tuple[Period, ...]:
    """Return the fewest months and days that are the days from *first* to *last*."""
    parts = []
    day = first
    while day <= last:
        month = Period.containing(TimeGroup.MONTHS, day)
        whole = day.day == 1 and month.last <= last
        part = month if whole else Period(TimeGroup.DAYS, to_utc(day))
        parts.append(part)
        if part.last == date.max:
            break
        day = part.last + _DAY
    return tuple(parts)


@dataclass(frozen=True)
class Calendar:
    """The dates and hours of an app: the one place that knows its time zone.

    Args:
        zone: An IANA time zone, such as ``"Europe/Berlin"``.
        week_start: The day on which weeks begin, ``"monday"``, ``"sunday"``
            or ``"saturday"``.
        later: Zones that came into its place, each with the first date that is told by
            it, oldest first.

    Raises:
        zoneinfo.ZoneInfoNotFoundError: This system knows no such zone.

    Example:
        >>> tokyo = Calendar("Asia/Tokyo")
        >>> evening = datetime(2026, 11, 30, 16, tzinfo=timezone.utc)
        >>> tokyo.period("days", tokyo.wall(evening)).label
        '2026-12-01'
    """

    zone: str = UTC
    week_start: str = "monday"
    later: tuple[tuple[date, str], ...] = ()

    def __post_init__(self) -> None:
        _ = self._zones  # unknown ones are told at once

    @cached_property
    def _zones(self) -> tuple[tuple[date, tzinfo], ...]:
        """The zones with their first dates, the newest first."""
        every = ((date.min, self.zone), *self.later)
        return tuple((day, _zone(name)) for day, name in reversed(every))

    @property
    def zone_now(self) -> str:
        """The zone that holds in the end."""
        return self.later[-1][1] if self.later else self.zone

    @cached_property
    def is_utc(self) -> bool:
        """Whether the clock is never changed, as all of it is UTC."""
        return all(zone is timezone.utc for _, zone in self._zones)

    def wall(self, moment: datetime | date) -> datetime:
        """Return the date and the time of day at which a moment is counted.

        Args:
            moment: An aware datetime is converted; a naive one, or a date, is taken by
                its own fields.

        Returns:
            A wall moment.

        Raises:
            OverflowError: It is outside the years 1 to 9999 there.
        """
        if not isinstance(moment, datetime) or moment.tzinfo is None:
            return to_utc(moment).replace(fold=0)
        for day, zone in self._zones:
            wall = _fields(moment.astimezone(zone))
            if day is date.min or wall.date() >= day:
                return wall
        raise AssertionError("the first zone holds from the first day on")

    def passed(self, moment: datetime) -> datetime:
        """Return up to where the clock has passed for good.

        That is the wall moment itself, but where the clock will be set back over it:
        then it is where it will be set to.

        Args:
            moment: Now, aware.
        """
        wall = self.wall(moment)
        zone = self._zone_of(wall.date())
        first, second = (
            wall.replace(tzinfo=zone, fold=fold).utcoffset() or timedelta()
            for fold in (0, 1)
        )
        if first <= second or (moment.astimezone(zone).utcoffset() != first):
            return wall
        begin = moment.astimezone(timezone.utc)
        changed = _change(zone, begin, begin + (first - second))
        return _fields(changed.astimezone(zone))

    def period(self, group: TimeGroup | str, wall: datetime | date) -> Period:
        """Return the period that contains a wall moment; weeks begin as the app's do.

        Raises:
            QueryError: There is no such time group.
        """
        return Period.containing(group, wall, WEEK_STARTS[self.week_start])

    def leaves_out(self, period: Period) -> bool:
        """Return whether an hour or a day never was, since the clock leaped over it."""
        if self.is_utc or period.is_long:
            return False
        day = period.start.date()
        if any(0 <= (day - first).days <= 1 for first, _ in self.later):
            # What the zone before it counts there still, it may not leave out.
            return False
        zone = self._zone_of(day)
        ends = (period.start, period.end - _TICK)
        return not any(_is_real(each, zone) for each in ends)

    def instant(self, wall: datetime) -> datetime:
        """Return the first instant at which the clock shows a wall moment.

        Where the clock leaps over it, that is the instant of the leap.

        Returns:
            An aware datetime in the zone of that date.
        """
        zone = self._zone_of(wall.date())
        if zone is timezone.utc:
            return wall
        if not _is_real(wall, zone):
            return _leap(wall, zone)
        return wall.replace(tzinfo=zone, fold=0)

    def span(self, period: Period) -> tuple[datetime, datetime]:
        """Return the first instant of a period, and the first after it.

        Returns:
            Aware datetimes in the app's zone.
        """
        try:
            return self.instant(period.start), self._after(period.end)
        except OverflowError:  # the ends of the calendar
            return self.instant(period.start), self.instant(period.end)

    def _after(self, end: datetime) -> datetime:
        last = end - _TICK
        zone = self._zone_of(last.date())
        if zone is timezone.utc:
            return end
        if not _is_real(last, zone):
            return _leap(last, zone)  # out of the period before it is at its end
        instant = last.replace(tzinfo=zone, fold=1).astimezone(timezone.utc)
        return (instant + _TICK).astimezone(zone)

    def changes(self, first: date, last: date) -> tuple[tuple[date, str, str], ...]:
        """Return the days on which another zone came, if days before and after count.

        Args:
            first: The first day that counts.
            last: The last one.

        Returns:
            For each change the first day of the new zone, the zone before, and it.
        """
        names = (self.zone, *(name for _, name in self.later))
        return tuple(
            (day, before, name)
            for (day, name), before in zip(self.later, names)
            if first < day <= last
        )

    def _zone_of(self, day: date) -> tzinfo:
        return next(zone for first, zone in self._zones if day >= first)


def _zone(name: str) -> tzinfo:
    # UTC needs no time zone database, which some systems lack.
    return timezone.utc if name == UTC else ZoneInfo(name)


def _fields(moment: datetime) -> datetime:
    return moment.replace(tzinfo=timezone.utc, fold=0)


def _is_real(wall: datetime, zone: tzinfo) -> bool:
    """Return whether the clock of a zone ever shows a wall moment."""
    try:
        shown = wall.replace(tzinfo=zone).astimezone(timezone.utc).astimezone(zone)
    except OverflowError:  # the ends of the calendar
        return True
    return _fields(shown) == wall


def _leap(wall: datetime, zone: tzinfo) -> datetime:
    """Return the instant at which the clock of a zone leaps over a wall moment."""
    low, high = (
        wall.replace(tzinfo=zone, fold=fold).astimezone(timezone.utc) for fold in (1, 0)
    )
    return _change(zone, low, high).astimezone(zone)


def _change(zone: tzinfo, low: datetime, high: datetime) -> datetime:
    """Return the first instant from *low* to *high* with another offset."""
    before = low.astimezone(zone).utcoffset()
    while high - low > _TICK:
        middle = low + (high - low) / 2
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high


IN_UTC = Calendar()
"""The calendar of an app that sets nothing."""


class AsOf(NamedTuple):
    """As of when a question is answered.

    Nothing after its day counts, and what has not ended by its horizon is not
    complete.  Every answer, headline and average tells the two apart by this alone.

    Args:
        now: The wall moment at which the question is answered.
        moment: The wall moment whose period is the last one.
        calendar: The app's calendar.
        passed: Up to where the clock has passed for good, where that is not ``now``;
            see :meth:`Calendar.passed`.
        hour: The last hour that counts, where not all of the day does.
    """

    now: datetime
    moment: datetime
    calendar: Calendar = IN_UTC
    passed: datetime | None = None
    hour: Period | None = None

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
        passed = self.now if self.passed is None else self.passed
        try:
            return min(passed, midnight + _DAY)
        except OverflowError:  # the last day of the calendar
            return passed

    def is_complete(self, period: Period) -> bool:
        """Return whether *period* has ended by the horizon."""
        return period.end <= self.horizon

    def period(self, group: TimeGroup) -> Period:
        """Return the period of *group* that contains the day, read up to it."""
        period = self.calendar.period(group, self.moment)
        # Where something is marked ahead of now, UpTo leaves it out.
        return period if self.is_today else period.until(self.day)

    def periods(self, group: TimeGroup, count: int) -> tuple[Period, ...]:
        """Return the last *count* periods, oldest first.

        The last one contains the day, and is read up to it.  Hours and days that the
        clock leaves out are not among them.

        Raises:
            QueryError: The oldest of them lies before the year 1.
        """
        periods = last_periods(group, count, self.moment, self.calendar)
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


def last_periods(
    group: TimeGroup, count: int, as_of: datetime, calendar: Calendar = IN_UTC
) -> tuple[Period, ...]:
    """Return the last *count* periods up to the one containing *as_of*.

    Args:
        group: Their time group.
        count: How many; hours and days that the clock leaves out do not count.
        as_of: A wall moment.
        calendar: The app's calendar.

    Returns:
        Periods, oldest first; the last one is the current, incomplete one.

    Raises:
        QueryError: The oldest of them lies before the year 1.
    """
    return _last_periods(group, count, _hour(as_of), calendar)


@kept_while_few(lambda group, count, hour, calendar: count)
def _last_periods(
    group: TimeGroup, count: int, hour: datetime, calendar: Calendar
) -> tuple[Period, ...]:
    current = calendar.period(group, hour)
    if calendar.is_utc or current.is_long:
        return tuple(current.shift(back) for back in range(1 - count, 1))
    found: list[Period] = []
    while len(found) < count:
        if not calendar.leaves_out(current):
            found.append(current)
        if len(found) < count:
            current = current.shift(-1)
    return tuple(reversed(found))


def _hour(moment: datetime | date) -> datetime:
    """Return the first instant of the hour: no period begins within one."""
    return to_utc(moment).replace(minute=0, second=0, microsecond=0)


def shifted(group: TimeGroup, moment: D, count: int) -> D:
    """Return the day or moment so many periods later, as far into its own.

    Args:
        group: The length of a period; not that of a range, which is its own.
        moment: A day, or a moment.
        count: How many periods later, or earlier if negative.

    Returns:
        Of the 25th the 25th of another month; of a day that the other month does not
        have its last one.

    Raises:
        QueryError: It lies outside the years 1 to 9999.

    Example:
        >>> shifted(TimeGroup.MONTHS, date(2026, 3, 31), -1)
        datetime.date(2026, 2, 28)
    """
    try:
        if group not in _MONTHS:
            return moment + count * (_shifted(group, _ANY_MOMENT, 1) - _ANY_MOMENT)
        months = _MONTHS[group] * count
        years, month = divmod(moment.month - 1 + months, 12)
        first = moment.replace(year=moment.year + years, month=month + 1, day=1)
        days = monthrange(first.year, first.month)[1]
        return first.replace(day=min(moment.day, days))
    except (OverflowError, ValueError):
        raise QueryError(Period.containing(group, moment)._outside(count)) from None


_MONTHS = {TimeGroup.MONTHS: 1, TimeGroup.QUARTERS: 3, TimeGroup.YEARS: 12}
_ANY_MOMENT = datetime(2000, 1, 1, tzinfo=timezone.utc)


def _shifted(group: TimeGroup, start: datetime, count: int) -> datetime:
    if group is TimeGroup.HOURS:
        return start + timedelta(hours=count)
    if group is TimeGroup.DAYS:
        return start + timedelta(days=count)
    if group is TimeGroup.WEEKS:
        return start + timedelta(weeks=count)
    if group is TimeGroup.YEARS:
        return start.replace(year=start.year + count)
    months = count * 3 if group is TimeGroup.QUARTERS else count
    years, month = divmod(start.month - 1 + months, 12)
    return start.replace(year=start.year + years, month=month + 1)


@lru_cache(maxsize=4096)
def _label(group: TimeGroup, start: datetime) -> str:
    if group is TimeGroup.HOURS:
        return f"{start:%Y-%m-%dT%H}"
    if group is TimeGroup.DAYS:
        return f"{start:%Y-%m-%d}"
    if group is TimeGroup.WEEKS:
        year, week, weekday = start.isocalendar()
        # A week of another kind is told by its first day, and from that day itself.
        return f"{year}-W{week:02}" if weekday == 1 else f"W{start:%Y-%m-%d}"
    if group is TimeGroup.QUARTERS:
        return f"{start:%Y}-Q{start.month // 3 + 1}"
    if group is TimeGroup.MONTHS:
        return f"{start:%Y-%m}"
    return f"{start:%Y}"
