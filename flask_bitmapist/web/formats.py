"""Numbers, shares and periods as people read them, and the colours of heatmaps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING

from ..analysis.errors import Text, printable
from ..analysis.periods import Period, TimeGroup
from .texts import gettext, lazy, locale

if TYPE_CHECKING:
    from ..questions.cohort import CohortAnswer, CohortDifference, Shares

BLANK = "–"

LEVELS = 10
"""Colours run from level 0, for nobody, to this one."""

_SCALES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.75, 1.0)

_MONTHS = (
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
)


class Numbers:
    """Writes numbers as one language does; it is looked up once for many numbers.

    Args:
        code: The language's code; None for English.
    """

    def __init__(self, code: str | None) -> None:
        self.code = None if code is None or code.startswith("en") else code

    def number(self, value: int) -> str:
        """Return a count with its thousands apart: ``1,234``."""
        return f"{value:,}" if self.code is None else self._local(value, "#,##0")

    def decimal(self, value: float) -> str:
        """Return a number with one digit behind the point: ``1,234.5``."""
        return f"{value:,.1f}" if self.code is None else self._local(value, "#,##0.0")

    def percent(self, share: float | None, digits: int = 1) -> str:
        """Return a share as a percentage: ``15.3%``; a dash for None.

        Args:
            share: From 0 to 1.
            digits: Digits behind the point.
        """
        if share is None:
            return BLANK
        value = round(share * 100, digits)
        if self.code is None:
            return f"{value:,.{digits}f}%"
        from babel.numbers import format_percent

        # The language's own pattern tells where the sign goes, and what is between.
        return format_percent(
            round(share, digits + 2),
            format=_percent_pattern(self.code, digits),
            locale=self.code,
        )

    def points(self, difference: float) -> str:
        """Return a difference of shares in points, with its sign: ``−1.5``.

        Args:
            difference: From -1 to 1.
        """
        points = round(100 * difference, 1)
        sign = "+" if points > 0 else "−" if points < 0 else ""
        return f"{sign}{self.decimal(abs(points))}"

    def _local(self, value: float, pattern: str) -> str:
        from babel.numbers import format_decimal

        return format_decimal(value, format=pattern, locale=self.code)


@lru_cache(maxsize=64)
def _percent_pattern(code: str, digits: int) -> str:
    """Return a language's pattern of a percentage, with so many digits."""
    from babel import Locale

    usual: str = Locale.parse(code).percent_formats[None].pattern
    number = f"#,##0.{'0' * digits}" if digits else "#,##0"
    return usual.replace("#,##0", number)


def numbers() -> Numbers:
    """Return the way in which the request's language writes numbers."""
    return Numbers(locale())


def number(value: int | None) -> str:
    """Return a count, see :class:`Numbers`; a dash for None."""
    return BLANK if value is None else numbers().number(value)


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share as a percentage, see :class:`Numbers`."""
    return numbers().percent(share, digits)


def translated(text: str) -> str:
    """Return a text of the layers below in the request's language.

    Args:
        text: A :class:`~flask_bitmapist.analysis.errors.Text`; any other is returned as
            it is.
    """
    if not text or not isinstance(text, Text):  # gettext has its head under ""
        return text
    values = {name: _shown(value) for name, value in text.values.items()}
    return gettext(text.template, **values)


def _shown(value: object) -> str:
    if isinstance(value, float):
        return numbers().decimal(value)
    if isinstance(value, int):
        return number(value)
    if isinstance(value, Period):
        return period_name(value)
    if isinstance(value, date):
        return full_day(value)
    return translated(value) if isinstance(value, Text) else printable(str(value))


def change(share: float | None) -> str:
    """Return a change with its sign: ``+12.5%``; a dash for None."""
    if share is None:
        return BLANK
    if not share:
        return percent(0.0, 0)
    return f"{'+' if share > 0 else '−'}{percent(abs(share))}"


def difference(before: float | None, value: float | None) -> str:
    """Return how far a number is from another: of shares in points, else in percent."""
    if before is None or value is None:
        return BLANK
    if isinstance(before, float) or isinstance(value, float):
        return gettext("%(points)s points", points=numbers().points(value - before))
    return change((value - before) / before if before else None)


def period_name(period: Period) -> str:
    """Return a period's name for people, as their language writes dates.

    In English ``23 Nov 2026``, ``16–22 Nov 2026``, ``Nov 1997``, ``Q4 2026``.  Its
    label belongs beside it, in the ``datetime`` attribute of ``<time>``.
    """
    code = numbers().code
    return _english(period) if code is None else _local_period(period, code)


def _english(period: Period) -> str:
    start = period.start
    month = _MONTHS[start.month - 1]
    if period.group is TimeGroup.HOURS:
        return f"{start.day} {month} {start.hour:02}:00"
    if period.group is TimeGroup.DAYS:
        return f"{start.day} {month} {start.year}"
    if period.group is TimeGroup.MONTHS:
        return f"{month} {start.year}"
    if period.group is TimeGroup.QUARTERS:
        return f"Q{start.month // 3 + 1} {start.year}"
    if period.group is TimeGroup.YEARS:
        return period.label
    last = _last_of(period)
    if (start.year, start.month) == (last.year, last.month):
        first = str(start.day)
        if start.day == last.day:
            return f"{first} {month} {last.year}"
        return f"{first}–{last.day} {month} {last.year}"
    year = f" {start.year}" if start.year != last.year else ""
    return f"{start.day} {month}{year} – {day(last)} {last.year}"


def _last_of(period: Period) -> date:
    """Return the last day of a period, also where it is read until an earlier one."""
    is_cut = period.group is not TimeGroup.RANGES
    return (period._replace(last_day=None) if is_cut else period).last


# What Unicode calls the parts of a date that each period is told by.
_PARTS = {
    TimeGroup.DAYS: "yMMMd",
    TimeGroup.MONTHS: "yMMM",
    TimeGroup.QUARTERS: "yQQQ",
    TimeGroup.YEARS: "y",
}


@lru_cache(maxsize=4096)
def _local_period(period: Period, code: str) -> str:
    from babel.dates import format_interval, format_skeleton

    if period.group is TimeGroup.HOURS:
        hour = format_skeleton("Hm", period.start, locale=code)
        return f"{_local_day(period.start.date(), 'MMMd', code)} {hour}"
    parts = _PARTS.get(period.group)
    if parts is not None:
        return format_skeleton(parts, period.start, locale=code)
    first, last = period.start.date(), _last_of(period)
    return format_interval(first, last, "yMMMd", locale=code)


def day(each: date) -> str:
    """Return a day for people: ``18 Nov``."""
    code = numbers().code
    if code is not None:
        return _local_day(each, "MMMd", code)
    return f"{each.day} {_MONTHS[each.month - 1]}"


def full_day(each: date) -> str:
    """Return a day with its year: ``18 Nov 2026``."""
    code = numbers().code
    return (
        f"{day(each)} {each.year}" if code is None else _local_day(each, "yMMMd", code)
    )


@lru_cache(maxsize=4096)
def _local_day(each: date, parts: str, code: str) -> str:
    from babel.dates import format_skeleton

    return format_skeleton(parts, each, locale=code)


def cell(value: object) -> str:
    """Return a cell of a table for people: a share as a percentage, None as a dash."""
    if value is None:
        return BLANK
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    if isinstance(value, float):
        return percent(value)
    return number(value) if isinstance(value, int) else str(value)


def period_span(period: Period, zone: str) -> str:
    """Return what a period is, for a hint.

    For example ``2026-W48: 2026-11-23 to 2026-11-29, Europe/Berlin``.

    Args:
        period: The period.
        zone: The time zone of its days.
    """
    if not period.is_long:
        return f"{period.label} {zone}"
    return gettext(
        "%(period)s: %(first)s to %(last)s, %(zone)s",
        period=period.label,
        first=f"{period.start:%Y-%m-%d}",
        last=str(_last_of(period)),
        zone=zone,
    )


_UNITS = {
    TimeGroup.HOURS: (lazy("hour"), lazy("Hour")),
    TimeGroup.DAYS: (lazy("day"), lazy("Day")),
    TimeGroup.WEEKS: (lazy("week"), lazy("Week")),
    TimeGroup.MONTHS: (lazy("month"), lazy("Month")),
    TimeGroup.QUARTERS: (lazy("quarter"), lazy("Quarter")),
    TimeGroup.YEARS: (lazy("year"), lazy("Year")),
}


def unit(group: TimeGroup) -> str:
    """Return the name of one period of *group*, within a sentence."""
    return str(_UNITS[group][0])


def unit_title(group: TimeGroup) -> str:
    """Return the name of one period of *group*, as a heading."""
    return str(_UNITS[group][1])


_CURRENT = {
    TimeGroup.DAYS: lazy("Today"),
    TimeGroup.WEEKS: lazy("This week"),
    TimeGroup.MONTHS: lazy("This month"),
    TimeGroup.QUARTERS: lazy("This quarter"),
    TimeGroup.YEARS: lazy("This year"),
}


def current(group: TimeGroup) -> str:
    """Return what the current period of *group* is called."""
    return str(_CURRENT[group])


_WEEKDAYS = (
    *(lazy("Mon"), lazy("Tue"), lazy("Wed"), lazy("Thu")),
    *(lazy("Fri"), lazy("Sat"), lazy("Sun")),
)


def weekday(number: int) -> str:
    """Return a weekday's short name; 0 is Monday."""
    return str(_WEEKDAYS[number])


def month(period: Period) -> str:
    """Return the short name of the month in which *period* begins."""
    code = numbers().code
    if code is not None:
        return _local_day(period.start.date(), "MMM", code)
    return _MONTHS[period.start.month - 1]


def calendar_level(events: int, most: int) -> int:
    """Return the colour of a day in a calendar, see :data:`LEVELS`.

    Args:
        events: How many different events were done on it.
        most: How many on the day with most of them.
    """
    if not events:
        return 0
    # The weakest colour that is clearly one, up to the strongest.
    return 4 + round((LEVELS - 4) * (events - 1) / max(1, most - 1))


def direction(share: float | None) -> str:
    """Return the class of a change, for its colour beside its sign."""
    if not share:
        return ""
    return "bm-up" if share > 0 else "bm-down"


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


def heatmap(answer: CohortAnswer, beside: Sequence[CohortAnswer] = ()) -> Heatmap:
    """Return the colours of a cohort.

    Args:
        answer: The cohort.
        beside: Cohorts beside which it is shown: the same share has the same colour.
    """
    scale = max(_scale(each.shares) for each in (answer, *beside))
    return Heatmap(
        scale=scale,
        levels=[_levels(row, scale) for row in answer.shares],
        averages=_levels(answer.averages, scale),
    )


STEPS = 5
"""Colours of a difference go so many steps to either side of none."""


@dataclass(frozen=True)
class Differences:
    """The colours of how far a cohort's cells are from those of another.

    They are the ends of the names of classes: ``up-3``, ``down-1``, ``0``.
    """

    scale: float
    """The difference, from 0 to 1, from which on a cell has the strongest colour."""
    levels: Sequence[Sequence[str]]
    """By row and column."""
    averages: Sequence[str]

    @property
    def steps(self) -> Iterator[str]:
        """All colours, from the least to the most, for the legend."""
        for level in range(-STEPS, STEPS + 1):
            yield _side(level)


def differences(several: Sequence[CohortDifference]) -> Sequence[Differences]:
    """Return the colours of differences that are shown together.

    The same difference has the same colour in all of them.
    """
    largest = max(
        (abs(share or 0.0) for each in several for row in each.shares for share in row),
        default=0.0,
    )
    scale = next((each for each in _SCALES if each >= largest), 1.0)

    def side(share: float | None) -> str:
        if not share:
            return _side(0)
        level = min(STEPS, max(1, math.ceil(abs(share) / scale * STEPS - 1e-9)))
        return _side(level if share > 0 else -level)

    return [
        Differences(
            scale=scale,
            levels=[[*map(side, row)] for row in each.shares],
            averages=[*map(side, each.averages)],
        )
        for each in several
    ]


def _side(level: int) -> str:
    return f"up-{level}" if level > 0 else f"down-{-level}" if level else "0"


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
