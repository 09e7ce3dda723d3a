"""Calendar periods: where they begin, how they follow, what they are called."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import bitmapist
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_bitmapist import Period, QueryError, TimeGroup
from flask_bitmapist.analysis.bitmaps import Source
from flask_bitmapist.analysis.periods import last_periods
from flask_bitmapist.store.keys import month_keys, redis_key

from .reference import KEYS, last_keys, utc

moments = st.datetimes(
    datetime(1971, 1, 1), datetime(2100, 12, 31), timezones=st.just(timezone.utc)
)
groups = st.sampled_from(list(TimeGroup))


@given(group=groups, moment=moments)
def test_a_period_contains_its_moment_and_ends_where_the_next_begins(
    group: TimeGroup, moment: datetime
) -> None:
    period = Period.containing(group, moment)
    assert period.start <= moment < period.end
    assert period.shift(1).start == period.end
    assert period.shift(1).shift(-1) == period
    assert KEYS[group.value](period.start) == KEYS[group.value](moment)
    last = period.end - timedelta(microseconds=1)
    assert KEYS[group.value](last) == KEYS[group.value](moment)


@given(group=groups, moment=moments, count=st.integers(1, 60))
def test_the_last_periods_are_those_that_stepping_back_through_the_calendar_finds(
    group: TimeGroup, moment: datetime, count: int
) -> None:
    periods = last_periods(group, count, moment)
    got = [KEYS[group.value](period.start) for period in periods]
    assert got == last_keys(group.value, count, moment)


@pytest.mark.parametrize(
    ("group", "moment", "label"),
    [
        ("hours", "2026-11-23T14:59", "2026-11-23T14"),
        ("days", "2024-02-29", "2024-02-29"),
        ("weeks", "2024-12-30", "2025-W01"),  # ISO year and ISO week together
        ("weeks", "2021-01-03", "2020-W53"),
        ("weeks", "2026-11-23", "2026-W48"),  # a Monday
        ("months", "1997-01-31", "1997-01"),
        ("years", "1999-12-31", "1999"),
    ],
)
def test_labels_are_iso_8601(group: str, moment: str, label: str) -> None:
    assert Period.containing(TimeGroup.parse(group), utc(moment)).label == label


@pytest.mark.parametrize("name", ["week", "weeks", TimeGroup.WEEKS])
def test_a_time_group_is_found_by_singular_and_plural(name: str) -> None:
    assert TimeGroup.parse(name) is TimeGroup.WEEKS


@pytest.mark.parametrize("name", ["fortnights", "", "Weeks", None, 7, "w" * 10_000])
def test_a_wrong_time_group_is_refused_with_the_allowed_ones(name: str) -> None:
    with pytest.raises(QueryError, match="use one of hours, days, weeks") as error:
        TimeGroup.parse(name)
    assert len(str(error.value)) < 300
    assert error.value.field == "time_group"


def test_a_period_is_found_by_the_name_of_its_time_group() -> None:
    week = Period.containing("week", utc("2026-01-01"))
    assert week == Period.containing(TimeGroup.WEEKS, utc("2026-01-01"))
    assert week.group is TimeGroup.WEEKS
    with pytest.raises(QueryError, match="use one of hours, days, weeks"):
        Period.containing("fortnights", utc("2026-01-01"))


def test_a_moment_elsewhere_is_converted_to_utc() -> None:
    newyear_in_tokyo = datetime(2026, 1, 1, 8, tzinfo=timezone(timedelta(hours=9)))
    assert Period.containing(TimeGroup.YEARS, newyear_in_tokyo).label == "2025"


def test_a_naive_moment_and_a_date_are_utc() -> None:
    at = datetime(2026, 1, 1)
    assert Period.containing(TimeGroup.DAYS, at).start == utc("2026-01-01")
    assert Period.containing(TimeGroup.DAYS, date(2026, 1, 1)).start.tzinfo


def test_a_period_outside_the_calendar_is_refused() -> None:
    with pytest.raises(QueryError, match="outside the calendar"):
        Period.containing(TimeGroup.YEARS, utc("1970-01-01")).shift(-1970)
    with pytest.raises(QueryError, match="outside the calendar"):
        Period.containing(TimeGroup.DAYS, utc("9999-12-31")).shift(1)


def test_a_year_is_made_of_its_months_and_any_other_period_of_itself() -> None:
    year = Period.containing(TimeGroup.YEARS, utc("2024-05-05"))
    assert [part.label for part in year.parts()] == [
        f"2024-{month:02}" for month in range(1, 13)
    ]
    week = Period.containing(TimeGroup.WEEKS, utc("2024-05-05"))
    assert week.parts() == (week,)


@given(moment=moments)
def test_keys_are_those_of_bitmapist(moment: datetime) -> None:
    for group, events in {
        TimeGroup.HOURS: bitmapist.HourEvents,
        TimeGroup.DAYS: bitmapist.DayEvents,
        TimeGroup.WEEKS: bitmapist.WeekEvents,
        TimeGroup.MONTHS: bitmapist.MonthEvents,
    }.items():
        source = Source("song:played", Period.containing(group, moment))
        theirs = events.from_date("song:played", moment).redis_key
        assert redis_key(source).decode() == theirs
    flag = bitmapist.UniqueEvents("paid").redis_key
    assert redis_key(Source("paid", None)).decode() == flag


@given(
    event=st.text(min_size=1).filter(lambda name: name.isprintable()),
    first=st.integers(1970, 2100),
    count=st.integers(1, 5),
)
def test_keys_of_many_months_are_those_of_each(
    event: str, first: int, count: int
) -> None:
    years = range(first, first + count)
    for year, keys in zip(years, month_keys(event, years), strict=True):
        months = Period.containing(TimeGroup.YEARS, date(year, 1, 1)).parts()
        assert list(keys) == [redis_key(Source(event, month)) for month in months]
