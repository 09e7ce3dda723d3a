"""Calendar periods: where they begin, how they follow, what they are called."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import bitmapist
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_bitmapist import Period, QueryError, TimeGroup

from .inside import AsOf, Source, last_periods, month_keys, redis_key
from .reference import KEYS, end_of, last_keys, utc

moments = st.datetimes(
    datetime(1971, 1, 1), datetime(2100, 12, 31), timezones=st.just(timezone.utc)
)
groups = st.sampled_from([each for each in TimeGroup if each is not TimeGroup.RANGES])


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


# --- As of a day: nothing after it counts, and what has not ended by it is not complete


def days_of(group: str, moment: datetime) -> list[date]:
    """The days of a period, found by looking at each day around."""
    key_of = KEYS[group]
    around = [moment + timedelta(days=off) for off in range(-370, 371)]
    key = key_of(moment)
    if group == "hours":
        return [moment.date()]
    return [each.date() for each in around if key_of(each) == key]


def covered(period: Period) -> list[date]:
    """The days of the bitmaps that a period is read from."""
    return [day.start.date() for part in period.parts() for day in part.days()]


longer = st.sampled_from(
    [TimeGroup.WEEKS, TimeGroup.MONTHS, TimeGroup.QUARTERS, TimeGroup.YEARS]
)


@given(group=longer, moment=moments, data=st.data())
def test_a_period_until_a_day_is_the_union_of_its_days_up_to_it(
    group: TimeGroup, moment: datetime, data: st.DataObject
) -> None:
    days = days_of(group.value, moment)
    last = data.draw(st.sampled_from(days))
    whole = Period.containing(group, moment)
    cut = whole.until(last)
    assert covered(cut) == [day for day in days if day <= last]
    assert [day.start.date() for day in cut.counted_days()] == covered(cut)
    assert (cut.label, cut.start, cut.end) == (whole.label, whole.start, whole.end)
    assert (cut == whole) == (last == days[-1])
    # Of a year no more than eleven months and the days of one are read.
    assert len(cut.parts()) <= 11 + 31


@given(group=groups, moment=moments)
def test_hours_days_and_periods_that_end_by_then_are_read_as_they_are(
    group: TimeGroup, moment: datetime
) -> None:
    period = Period.containing(group, moment)
    last = days_of(group.value, moment)[-1]
    assert period.until(last) == period
    assert period.until(last + timedelta(days=400)) == period
    if group in (TimeGroup.HOURS, TimeGroup.DAYS):
        assert period.until(last - timedelta(days=1)) == period


@given(
    group=groups,
    now=moments,
    back=st.integers(0, 400),
    count=st.integers(1, 8),
)
def test_what_is_complete_has_ended_by_now_and_by_the_end_of_the_day(
    group: TimeGroup, now: datetime, back: int, count: int
) -> None:
    day = (now - timedelta(days=back)).date()
    as_of = AsOf(now, now if not back else end_of(day))
    assert as_of.day == day
    assert as_of.is_today == (back == 0)
    periods = as_of.periods(group, count)
    keys = last_keys(group.value, count, end_of(day) if back else now)
    assert [KEYS[group.value](each.start) for each in periods] == keys
    ended = min(now, utc(day.isoformat()) + timedelta(days=1))
    for period in periods:
        assert as_of.is_complete(period) == (period.end <= ended)
        # No bitmap of a later day is looked at; today's is read as it is.
        if back:
            assert max(covered(period)) <= day
    assert all(map(as_of.is_complete, periods[:-1]))
    assert as_of.period(group) == periods[-1]


@given(group=longer, now=moments, back=st.integers(0, 400))
def test_a_running_period_is_compared_by_its_days_that_are_over(
    group: TimeGroup, now: datetime, back: int
) -> None:
    day = (now - timedelta(days=back)).date()
    as_of = AsOf(now, now if not back else end_of(day))
    running = as_of.period(group)
    if as_of.is_complete(running):
        return
    over = as_of.elapsed(running)
    days = days_of(group.value, as_of.moment)
    after = timedelta(days=1)
    done = [each for each in days if utc(f"{each}") + after <= as_of.horizon]
    if not done:
        assert over is None
        return
    assert over is not None
    now_days, before_days = map(covered, over)
    assert now_days == done
    first = utc(days[0].isoformat()) - timedelta(days=1)
    before = days_of(group.value, first)
    assert before_days == before[: len(done)]


@given(now=moments)
def test_hours_and_days_are_compared_with_nothing_while_they_run(now: datetime) -> None:
    as_of = AsOf(now, now)
    for group in (TimeGroup.HOURS, TimeGroup.DAYS):
        assert as_of.elapsed(as_of.period(group)) is None
