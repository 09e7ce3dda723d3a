"""The app's calendar: zones, changes of the clock, the store's stamp, weeks, ranges.

What is right is told by the standard library alone: moments are walked one by one, and
each is looked up in its zone.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta, timezone
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import redis
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flask_bitmapist import (
    Period,
    QueryError,
    TimeGroup,
    mark_event,
)

from .inside import (
    AsOf,
    Calendar,
    ConfigError,
    Count,
    Zones,
    hour_in,
    import_rows,
    last_periods,
)
from .marks import keys, users
from .reference import KEYS, Key, utc

# Those whose clocks do what others' do not, and a sample of the others.
ZONES = (
    *("Asia/Tokyo", "Europe/Berlin", "Pacific/Apia", "Africa/Cairo"),
    *("America/Asuncion", "Asia/Beirut", "Australia/Lord_Howe", "Asia/Kathmandu"),
    *("Antarctica/Troll", "America/New_York"),
    *("America/St_Johns", "America/Sao_Paulo", "Africa/Casablanca", "Asia/Pyongyang"),
    *("Pacific/Kiritimati", "Asia/Tehran", "Europe/Istanbul", "America/Caracas"),
)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
GROUPS = ("hours", "days", "weeks", "months", "quarters", "years")
WEEK_STARTS = {"monday": 0, "sunday": 6, "saturday": 5}

Made = Callable[..., Flask]


@cache
def clock_changes(zone: str) -> tuple[datetime, ...]:
    """The instants from 2010 to 2027 at which a zone's clock is set."""
    here, found = ZoneInfo(zone), []
    at = utc("2010-01-01")
    while at < utc("2028-01-01"):
        after = at + DAY
        if at.astimezone(here).utcoffset() != after.astimezone(here).utcoffset():
            low = at
            while low.astimezone(here).utcoffset() == at.astimezone(here).utcoffset():
                low += MINUTE
            found.append(low)
        at = after
    return tuple(found)


def shown(moment: datetime, zone: str) -> datetime:
    """What a clock there shows, as a datetime whose zone says nothing."""
    there = moment.astimezone(ZoneInfo(zone))
    return there.replace(tzinfo=timezone.utc, fold=0)


def walked(first: datetime, last: datetime, step: timedelta) -> Iterator[datetime]:
    while first < last:
        yield first
        first += step


def key_of(group: str, start: str = "monday") -> Callable[[datetime], Key]:
    """The name of a moment's period; of a week that begins otherwise, its first day."""
    if group != "weeks" or start == "monday":
        return KEYS[group]
    return lambda at: at.date() - timedelta((at.weekday() - WEEK_STARTS[start]) % 7)


@pytest.mark.parametrize("zone", ZONES)
def test_at_each_change_of_the_clock_hours_are_those_that_it_shows(zone: str) -> None:
    calendar = Calendar(zone)
    for change in clock_changes(zone) or (utc("2026-03-29T01:00"),):
        moments = list(walked(change - 6 * HOUR, change + 6 * HOUR, MINUTE))
        walls = [shown(each, zone) for each in moments]
        assert [calendar.wall(each) for each in moments] == walls
        # Each hour that the clock shows is there once, and none that it leaps over.
        hours = sorted({(wall.date(), wall.hour) for wall in walls})
        last = max(walls)
        listed = last_periods(TimeGroup.HOURS, len(hours), last, calendar)
        assert [KEYS["hours"](each.start) for each in listed] == hours
        for period in listed[1:-1]:
            inside = [
                moment
                for moment, wall in zip(moments, walls)
                if KEYS["hours"](wall) == KEYS["hours"](period.start)
            ]
            start, end = (at.astimezone(timezone.utc) for at in calendar.span(period))
            assert (start, end - MINUTE) == (inside[0], inside[-1])


@pytest.mark.parametrize("zone", ZONES)
def test_an_hour_is_complete_once_the_clock_will_never_show_it_again(
    zone: str,
) -> None:
    calendar = Calendar(zone)
    for change in clock_changes(zone):
        moments = list(walked(change - 4 * HOUR, change + 5 * HOUR, 5 * MINUTE))
        to_come = max(shown(each, zone) for each in moments)
        lowest = []
        for moment in reversed(moments):
            to_come = min(to_come, shown(moment, zone))
            lowest.append(to_come)
        for moment, least in zip(moments, reversed(lowest)):
            now = calendar.wall(moment)
            as_of = AsOf(now, now, calendar, calendar.passed(moment))
            for group in ("hours", "days"):
                for period in as_of.periods(TimeGroup(group), 3):
                    assert as_of.is_complete(period) == (period.end <= least)


@pytest.mark.parametrize("zone", ZONES)
def test_days_are_those_that_the_clock_shows(zone: str) -> None:
    calendar = Calendar(zone)
    for change in clock_changes(zone):
        moments = list(walked(change - 5 * DAY, change + 5 * DAY, HOUR / 2))
        days = sorted({shown(each, zone).date() for each in moments})
        listed = last_periods(
            TimeGroup.DAYS, len(days), shown(moments[-1], zone), calendar
        )
        assert [each.start.date() for each in listed] == days


def test_the_examples_hold() -> None:
    tokyo, berlin = Calendar("Asia/Tokyo"), Calendar("Europe/Berlin")
    evening = tokyo.wall(utc("2026-11-30T16:00"))
    assert tokyo.period("days", evening).label == "2026-12-01"
    same = {berlin.wall(utc(f"2026-10-25T0{hour}:30")) for hour in (0, 1)}
    assert {berlin.period("hours", each).label for each in same} == {"2026-10-25T02"}
    spring = last_periods(TimeGroup.HOURS, 3, utc("2026-03-29T04:00"), berlin)
    assert [each.label[-2:] for each in spring] == ["01", "03", "04"]
    apia = last_periods(
        TimeGroup.DAYS, 3, utc("2011-12-31T12:00"), Calendar("Pacific/Apia")
    )
    assert [each.label[-2:] for each in apia] == ["28", "29", "31"]


@given(
    group=st.sampled_from(GROUPS),
    start=st.sampled_from(sorted(WEEK_STARTS)),
    moment=st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1)),
)
def test_each_period_is_the_union_of_its_own_days(
    group: str, start: str, moment: datetime
) -> None:
    calendar = Calendar("UTC", start)
    period = calendar.period(group, moment)
    key = key_of(group, start)
    assert key(period.start) == key(utc(moment.isoformat()))
    if group == "hours":
        return
    around = [utc(f"{moment:%Y-%m-%d}") + DAY * off for off in range(-370, 371)]
    days = [each for each in around if key(each) == key(period.start)]
    assert [day.start for part in period.parts() for day in part.days()] == days
    assert (period.start, period.end) == (days[0], days[-1] + DAY)
    assert period.shift(1).shift(-1) == period
    assert period.is_stored == (period.parts() == (period,))


def test_labels_say_what_they_are() -> None:
    day = date(2026, 11, 25)
    assert Calendar("UTC", "sunday").period("weeks", day).label == "W2026-11-22"
    assert Calendar("UTC", "saturday").period("weeks", day).label == "W2026-11-21"
    assert Calendar("UTC").period("weeks", day).label == "2026-W48"
    assert Calendar("UTC").period("quarter", day).label == "2026-Q4"
    between = Period.between(date(2026, 10, 31), date(2026, 12, 1))
    assert between.label == "2026-10-31/2026-12-01"
    assert [each.label for each in between.parts()] == [
        *("2026-10-31", "2026-11", "2026-12-01")
    ]


# --- All the way: marks in a zone, asked about, against plain lists


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_marks_are_counted_where_the_clock_showed_them(
    make_app: Made,
    redis_client: redis.Redis,
    data: st.DataObject,
) -> None:
    zone = data.draw(st.sampled_from(ZONES))
    group = data.draw(st.sampled_from(GROUPS))
    start = data.draw(st.sampled_from(sorted(WEEK_STARTS)))
    change = data.draw(st.sampled_from(clock_changes(zone) or (utc("2026-11-30"),)))
    reach = {"hours": 6, "days": 96, "weeks": 24 * 30}.get(group, 24 * 200)
    marks = data.draw(
        st.lists(
            st.tuples(st.integers(0, 70), st.integers(-60 * reach, 60 * reach)),
            min_size=1,
            max_size=25,
        )
    )
    # Within the period, on its last day, or far after it.
    asked = data.draw(st.integers(-24 * 10, 24 * 60))
    redis_client.flushall()
    app = make_app(
        BITMAPIST_TIMEZONE=zone, BITMAPIST_WEEK_START=start, BITMAPIST_TRACK_HOURLY=True
    )
    key = key_of(group, start)
    told: list[tuple[int, datetime]] = []
    with app.app_context():
        for user, minutes in marks:
            moment = change + minutes * MINUTE
            mark_event("did", user, now=moment)
            told.append((user, shown(moment, zone)))
    day = shown(change + asked * HOUR, zone).date()
    if group == "hours":
        day = shown(change, zone).date()
    counted = [(user, at) for user, at in told if at.date() <= day]
    answer = app.extensions["bitmapist"].query.trend(
        "did", time_group=group, num_periods=5, as_of=day
    )
    # Walked back from the end of the day: the hours and days that there were.
    last = datetime(day.year, day.month, day.day, 23, 59, tzinfo=ZoneInfo(zone))
    instant, wanted = last.astimezone(timezone.utc), []
    step = MINUTE * 30 if group in ("hours", "days") else HOUR * 12
    while len(wanted) < 5:
        name = key(shown(instant, zone))
        if name not in wanted:
            wanted.append(name)
        instant -= step
    assert [key(each.start) for each in answer.periods] == sorted(wanted)
    for period, count in zip(answer.periods, answer.series[0].counts):
        expected = {user for user, at in counted if key(at) == key(period.start)}
        assert count == len(expected)


def counts(app: Flask, *events: str, **asked: Any) -> dict[str, int | None]:
    answer = app.extensions["bitmapist"].query.trend(events or ("did",), **asked)
    labels = [each.label for each in answer.periods]
    return dict(zip(labels, answer.series[0].counts))


def test_the_doubled_hour_has_the_users_of_both_and_the_missing_one_is_left_out(
    make_app: Made,
) -> None:
    app = make_app(BITMAPIST_TIMEZONE="Europe/Berlin", BITMAPIST_TRACK_HOURLY=True)
    with app.app_context():
        mark_event("did", 1, now=utc("2026-10-25T00:30"))
        mark_event("did", 2, now=utc("2026-10-25T01:30"))
        mark_event("did", 3, now=utc("2026-03-29T00:30"))
        mark_event("did", 4, now=utc("2026-03-29T01:30"))
    on = datetime(2026, 10, 25, 3)
    autumn = counts(app, time_group="hours", num_periods=2, as_of=on)
    assert autumn == {"2026-10-25T02": 2, "2026-10-25T03": 0}
    spring = counts(
        app, time_group="hours", num_periods=2, as_of=datetime(2026, 3, 29, 3)
    )
    assert spring == {"2026-03-29T01": 1, "2026-03-29T03": 1}


@pytest.mark.parametrize(
    ("zone", "marks", "asked", "expected"),
    [
        # Midnight does not exist in Cairo on that day.
        (
            "Africa/Cairo",
            ["04-24T20:59", "04-24T22:00", "04-25T20:59", "04-25T21:00"],
            {"num_periods": 4, "as_of": date(2025, 4, 26)},
            {"2025-04-23": 0, "2025-04-24": 1, "2025-04-25": 2, "2025-04-26": 1},
        ),
        # Weeks from a Thursday on, the 1st of May.
        (
            "Asia/Tokyo",
            ["05-04T14:59", "05-04T15:00", "05-05T00:00", "05-11T14:00", "05-11T14:59"],
            {"num_periods": 3, "time_group": "weeks", "as_of": date(2025, 5, 18)},
            {"2025-W18": 1, "2025-W19": 4, "2025-W20": 0},
        ),
        # A quarter of an hour before midnight, and at it.
        (
            "Asia/Kathmandu",
            ["04-24T18:14", "04-24T18:15"],
            {"num_periods": 2, "as_of": date(2025, 4, 25)},
            {"2025-04-24": 1, "2025-04-25": 1},
        ),
        # The clock is set back by half an hour: one hour has an hour and a half.
        (
            "Australia/Lord_Howe",
            ["04-05T14:29", "04-05T14:45", "04-05T15:15", "04-05T15:30"],
            {"num_periods": 2, "time_group": "hours", "as_of": "2025-04-06T02"},
            {"2025-04-06T01": 3, "2025-04-06T02": 1},
        ),
        # By two hours: each of two hours comes twice, on a single clock.
        (
            "Antarctica/Troll",
            ["10-25T23:30", "10-26T00:30", "10-26T01:30", "10-26T02:30", "10-26T03:30"],
            {"num_periods": 3, "time_group": "hours", "as_of": "2025-10-26T03"},
            {"2025-10-26T01": 2, "2025-10-26T02": 2, "2025-10-26T03": 1},
        ),
    ],
    ids=["Cairo", "Tokyo", "Kathmandu", "Lord Howe", "Troll"],
)
def test_periods_have_the_users_of_the_clock_on_the_wall(
    make_app: Made,
    zone: str,
    marks: list[str],
    asked: dict[str, Any],
    expected: dict[str, int],
) -> None:
    app = make_app(BITMAPIST_TIMEZONE=zone, BITMAPIST_TRACK_HOURLY=True)
    with app.app_context():
        for user, at in enumerate(marks):
            mark_event("did", user, now=utc(f"2025-{at}"))
    assert counts(app, **asked) == expected


def test_a_day_that_never_was_is_left_out_of_every_answer(make_app: Made) -> None:
    app = make_app(BITMAPIST_TIMEZONE="Pacific/Apia")
    query = app.extensions["bitmapist"].query
    with app.app_context():
        # Midnight of the 29th is that of the 31st: the clock leaps over the 30th.
        for user, at in enumerate(("29T10:00", "30T09:59", "30T10:00", "31T09:59")):
            mark_event("did", user, now=utc(f"2011-12-{at}"))
    asked: Any = {"num_periods": 3, "as_of": date(2011, 12, 31)}
    days = {"2011-12-28": 0, "2011-12-29": 2, "2011-12-31": 2}
    assert counts(app, **asked) == days
    assert counts(app, num_periods=2, as_of=date(2011, 12, 30)) == {
        "2011-12-28": 0,
        "2011-12-29": 2,
    }
    stages = query.lifecycle("did", time_group="days", **asked)
    assert [each.label for each in stages.periods] == [*days]
    assert (stages.new, stages.dormant) == ((0, 2, 2), (0, 0, 2))
    cohort = query.cohort(
        "did", num_rows=3, num_cols=2, time_group="days", as_of=asked["as_of"]
    )
    assert [each.label for each in cohort.periods] == [*days]
    assert query.count("did", "week", as_of=date(2011, 12, 31)) == 4
    everything = query.count("did", since=date(2011, 12, 29), until=date(2011, 12, 31))
    assert everything == 4


def test_a_naive_moment_is_taken_by_its_own_fields(
    make_app: Made, redis_client: redis.Redis
) -> None:
    with make_app(BITMAPIST_TIMEZONE="Asia/Tokyo").app_context():
        mark_event("did", 1, now=datetime(2026, 11, 30, 23))
        mark_event("did", 2, now=date(2026, 12, 1))
    assert users(redis_client, "did_2026-11-30") == {1}
    assert users(redis_client, "did_2026-12-1") == {2}


def test_a_naive_moment_that_looks_like_utc_is_warned_of_once(
    make_app: Made, caplog: pytest.LogCaptureFixture
) -> None:
    now = datetime.now(tz=timezone.utc).replace(tzinfo=None)
    with make_app(BITMAPIST_TIMEZONE="Asia/Tokyo").app_context():
        mark_event("did", 1, now=now + timedelta(hours=9))  # what the clock shows
        assert "looks like UTC" not in caplog.text
        mark_event("did", 1, now=now)
        mark_event("did", 2, now=now)
    assert caplog.text.count("looks like UTC") == 1


# --- The store knows its zone


def stamp(client: redis.Redis) -> dict[bytes, bytes]:
    """The zones, without up to when anything is marked ahead."""
    found: Any = client.hgetall("flask-bitmapist:zones")
    found.pop(b"ahead", None)
    return found


def test_the_first_mark_stamps_the_store_and_the_stamp_holds(
    make_app: Made, redis_client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    with make_app(BITMAPIST_TIMEZONE="Asia/Tokyo").app_context():
        mark_event("did", 1, now=utc("2026-11-30T16:00"))
    assert stamp(redis_client) == {b"0001-01-01": b"Asia/Tokyo"}
    other = make_app(BITMAPIST_TIMEZONE="Europe/Berlin")
    with other.app_context():
        mark_event("did", 2, now=utc("2026-11-30T16:00"))
        mark_event("did", 3, now=utc("2026-11-30T16:00"))
    assert users(redis_client, "did_2026-12-1") == {1, 2, 3}
    assert "did_2026-11-30" not in keys(redis_client)
    told = "The days of this store are those of Asia/Tokyo, which BITMAPIST_TIMEZONE"
    assert caplog.text.count(told) == 1
    assert counts(other, num_periods=2, as_of=date(2026, 12, 1)) == {
        "2026-11-30": 0,
        "2026-12-01": 3,
    }
    doctor = other.test_cli_runner().invoke(args=["bitmapist", "doctor"]).output
    assert told in doctor
    page = other.test_client().get("/bitmapist/events").text
    assert told in page


def test_in_background_mode_marks_follow_the_stamp_too(
    make_app: Made, redis_client: redis.Redis
) -> None:
    with make_app(BITMAPIST_TIMEZONE="Asia/Tokyo").app_context():
        mark_event("did", 1, now=utc("2026-11-30T16:00"))
    app = make_app(BITMAPIST_MARK_MODE="background")

    @app.get("/")
    def view() -> str:
        mark_event("did", 2, now=utc("2026-11-30T16:00"))
        return ""

    app.test_client().get("/")
    assert app.extensions["bitmapist"].recorder.flush()
    assert users(redis_client, "did_2026-12-1") == {1, 2}


def test_a_question_before_the_first_mark_does_not_keep_it_from_stamping(
    make_app: Made, redis_client: redis.Redis
) -> None:
    app = make_app(BITMAPIST_TIMEZONE="Asia/Tokyo")
    assert counts(app, num_periods=1, allow_unknown=True)
    assert not stamp(redis_client)
    with app.app_context():
        mark_event("did", 1)
    assert stamp(redis_client)


def test_a_store_without_a_stamp_is_what_the_app_declares(
    make_app: Made, redis_client: redis.Redis
) -> None:
    redis_client.setbit("trackist_did_2026-11-30", 7, 1)
    assert counts(make_app(), num_periods=1, as_of=date(2026, 11, 30)) == {
        "2026-11-30": 1
    }
    answer = (
        make_app(BITMAPIST_TIMEZONE="Asia/Tokyo")
        .extensions["bitmapist"]
        .query(Count("did", "days", as_of=date(2026, 11, 30)))
    )
    assert answer.to_dict()["timezone"] == "Asia/Tokyo"


def test_a_store_that_refuses_a_stamp_has_the_zone_of_the_setting(
    make_app: Made, redis_client: redis.Redis
) -> None:
    redis_client.set("flask-bitmapist:zones", "something else")
    with make_app(BITMAPIST_TIMEZONE="Asia/Tokyo").app_context():
        mark_event("did", 1, now=utc("2026-11-30T16:00"))
    assert users(redis_client, "did_2026-12-1") == {1}


def test_a_reader_that_may_not_see_the_stamp_is_told_by_the_writer(
    make_app: Made, redis_client: redis.Redis, redis_url: str
) -> None:
    with make_app(BITMAPIST_TIMEZONE="Asia/Tokyo").app_context():
        mark_event("did", 1, now=utc("2026-11-30T16:00"))
    redis_client.acl_setuser(
        "reader",
        enabled=True,
        passwords=["+secret"],
        keys=["trackist_*"],
        categories=["+@read"],
    )
    try:
        reads = redis_url.replace("redis://", "redis://reader:secret@")
        app = make_app(BITMAPIST_REDIS_READ_URL=reads)
        answer = app.extensions["bitmapist"].query(
            Count("did", "days", as_of=date(2026, 12, 1))
        )
        assert answer.to_dict()["timezone"] == "Asia/Tokyo"
        assert answer.count == 1
    finally:
        redis_client.acl_deluser("reader")


def test_what_is_deleted_altogether_has_no_zone_any_more(
    make_app: Made, redis_client: redis.Redis
) -> None:
    app = make_app(BITMAPIST_TIMEZONE="Asia/Tokyo")
    with app.app_context():
        mark_event("did", 1)
    run = app.test_cli_runner().invoke
    assert run(args=["bitmapist", "delete", "did", "--yes"]).exit_code == 0
    assert stamp(redis_client)
    assert run(args=["bitmapist", "delete", "--all", "--yes"]).exit_code == 0
    assert not stamp(redis_client)


def test_a_zone_that_begins_on_a_day_tells_that_day_and_those_after_it(
    make_app: Made, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "flask_bitmapist.cli.zone.utc_now", lambda: utc("2026-11-26T12:00")
    )
    app = make_app()
    with app.app_context():
        mark_event("did", 1, now=utc("2026-11-20"))
    run = app.test_cli_runner().invoke
    zone = ["bitmapist", "zone"]
    assert run(args=zone).output == "UTC\n"
    late = run(args=[*zone, "Asia/Tokyo", "--from", "2026-11-26"])
    assert late.exit_code == 2
    assert "must be after 2026-11-26" in late.output
    assert "--from" in run(args=[*zone, "Asia/Tokyo"]).output
    assert "no time zone 'Mars'" in run(args=[*zone, "Mars"]).output
    done = run(args=[*zone, "Asia/Tokyo", "--from", "2026-12-01"])
    assert done.exit_code == 0, done.output
    assert run(args=zone).output == "UTC\nAsia/Tokyo from 2026-12-01 on\n"

    moved = make_app(BITMAPIST_TIMEZONE="Asia/Tokyo")
    with moved.app_context():
        mark_event("did", 2, now=utc("2026-11-30T14:59"))  # the 30th in both
        mark_event("did", 3, now=utc("2026-11-30T15:00"))  # the first in Tokyo
    assert users(redis_client, "did_2026-11-30") == {2}
    assert users(redis_client, "did_2026-12-1") == {3}
    assert users(redis_client, "did_2026-11-20") == {1}
    query = moved.extensions["bitmapist"].query
    across = query.trend("did", num_periods=2, as_of=date(2026, 12, 1))
    told = "Days before 2026-12-01 are those of UTC, from then on those of Asia/Tokyo."
    assert told in across.warnings
    assert not query.trend("did", num_periods=2, as_of=date(2026, 11, 30)).warnings


def test_a_zone_westward_keeps_the_moments_before_its_first_day() -> None:
    calendar = Calendar("UTC", later=((date(2026, 12, 1), "America/New_York"),))
    assert calendar.wall(utc("2026-12-01T04:00")) == utc("2026-12-01T04:00")
    assert calendar.wall(utc("2026-12-01T05:00")) == utc("2026-12-01T00:00")


def test_the_stamp_is_looked_at_once_for_many_marks(
    make_app: Made, redis_client: redis.Redis
) -> None:
    def looks() -> int:
        told: Any = redis_client.info("commandstats")
        return int(told.get("cmdstat_hgetall", {}).get("calls", 0))

    app = make_app(BITMAPIST_TIMEZONE="Asia/Tokyo")
    with app.app_context():
        mark_event("did", 1)
        before = looks()
        for user in range(50):
            mark_event("did", user)
    assert looks() == before


@pytest.mark.parametrize("zone", ["Mars", "", "Europe", "../etc/passwd", "berlin/x"])
def test_a_zone_that_there_is_not_is_refused(make_app: Made, zone: str) -> None:
    with pytest.raises(ConfigError, match="no such time zone"):
        make_app(BITMAPIST_TIMEZONE=zone)


def test_a_day_on_which_no_week_begins_is_refused(make_app: Made) -> None:
    with pytest.raises(ConfigError, match="'monday', 'sunday', 'saturday'"):
        make_app(BITMAPIST_WEEK_START="friday")


# --- Imports


@settings(deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    moment=st.datetimes(datetime(1972, 2, 1), datetime(2098, 1, 1)),
)
def test_an_imported_time_is_counted_where_the_clock_showed_it(
    zone: str, moment: datetime
) -> None:
    calendar = Calendar(zone)
    instant = moment.replace(tzinfo=timezone.utc, microsecond=0)
    wall = shown(instant, zone)
    hour = wall.toordinal() * 24 + wall.hour
    assert hour_in(instant, calendar=calendar) == hour
    assert hour_in(instant.isoformat(), calendar=calendar) == hour
    assert hour_in(instant.timestamp(), "epoch", calendar) == hour
    own = moment.toordinal() * 24 + moment.hour
    assert hour_in(moment.isoformat(), calendar=calendar) == own


@pytest.mark.parametrize("time_format", ["iso", "epoch", "epoch-ms"])
def test_many_imported_times_are_counted_as_each(
    make_app: Made, redis_client: redis.Redis, time_format: str
) -> None:
    app = make_app(BITMAPIST_TIMEZONE="Australia/Lord_Howe")
    change = clock_changes("Australia/Lord_Howe")[0]
    moments = list(walked(change - 3 * DAY, change + 3 * DAY, 10 * MINUTE))
    factor = {"epoch": 1, "epoch-ms": 1000}.get(time_format, 0)
    lines = [
        f"{user},did,"
        + (f"{int(at.timestamp()) * factor}" if factor else f"{at:%Y-%m-%dT%H:%M:%SZ}")
        for user, at in enumerate(moments)
    ]
    text = "\n".join(["user_id,event,timestamp", *lines])
    done = app.test_cli_runner().invoke(
        args=["bitmapist", "import", "-", "--hourly", "--time-format", time_format],
        input=text,
    )
    assert done.exit_code == 0, done.output
    hours: dict[str, set[int]] = {}
    for user, at in enumerate(moments):
        wall = shown(at, "Australia/Lord_Howe")
        key = f"did_{wall.year}-{wall.month}-{wall.day}-{wall.hour}"
        hours.setdefault(key, set()).add(user)
    assert {key: users(redis_client, key) for key in hours} == hours


# --- As of a day


@pytest.fixture
def november(make_app: Made, monkeypatch: pytest.MonkeyPatch) -> Flask:
    """One new user a day from the 2nd to the 22nd of November, asked on the 26th."""
    monkeypatch.setattr(
        "flask_bitmapist.query.utc_now", lambda: utc("2026-11-26T09:00")
    )
    app = make_app()
    with app.app_context():
        for day in range(2, 23):
            mark_event("did", day, now=utc(f"2026-11-{day:02}T12:00"))
    return app


def test_as_of_a_wednesday_the_week_is_counted_up_to_it(november: Flask) -> None:
    on = date(2026, 11, 18)
    query = november.extensions["bitmapist"].query
    asked = query.trend("did", time_group="weeks", num_periods=3, as_of=on)
    assert asked.series[0].counts == (7, 7, 3)
    assert asked.complete == (True, True, False)
    whole = query.cohort("did", time_group="weeks", num_rows=3, num_cols=1, as_of=on)
    assert whole.sizes == (7, 7, 3)
    full = [size for size, over in zip(whole.sizes, whole.row_complete) if over]
    assert sum(full) / len(full) == 7
    today = query.trend("did", time_group="weeks", num_periods=4)
    assert today.series[0].counts == (7, 7, 7, 0)
    page = november.test_client().get(
        "/bitmapist/trends?events=did&time_group=weeks&num_periods=3&as_of=2026-11-18"
    )
    assert "to 18 Nov" in page.text
    assert "so far" not in page.text
    now = november.test_client().get("/bitmapist/trends?events=did&time_group=weeks")
    assert "so far" in now.text


def test_as_of_a_wednesday_averages_are_of_whole_weeks(november: Flask) -> None:
    query = november.extensions["bitmapist"].query
    cohort = query.cohort(
        *("did", "did"),
        **{"time_group": "weeks", "num_rows": 3, "num_cols": 1},
        as_of=date(2026, 11, 18),
    )
    assert cohort.sizes == (7, 7, 3)
    assert [row[0] for row in cohort.complete] == [True, True, False]
    whole = [size for size, (over,) in zip(cohort.sizes, cohort.complete) if over]
    assert sum(filter(None, whole)) / len(whole) == 7


def test_as_of_a_past_last_of_june_the_month_is_in_the_averages(
    make_app: Made,
) -> None:
    app = make_app()
    with app.app_context():
        for user, days in enumerate((["05-10", "06-30"], ["06-01"], ["07-01"])):
            for day in days:
                mark_event("did", user, now=utc(f"2024-{day}"))
    asked: Any = {"time_group": "months", "num_rows": 2, "num_cols": 2}
    query = app.extensions["bitmapist"].query
    whole = query.cohort("did", as_of=date(2024, 6, 30), **asked)
    assert whole.complete == ((True, True), (True, False))
    assert whole.counts == ((1, 1), (2, None))
    assert whole.averages == (1.0, 1.0)
    # A day before, June is not over: neither its row nor its column counts.
    part = query.cohort("did", as_of=date(2024, 6, 29), **asked)
    assert part.counts == ((1, 0), (1, None))
    assert part.averages == (1.0, None)


def test_nothing_of_a_year_that_is_over_is_called_of_today(november: Flask) -> None:
    client = november.test_client()
    asked = "as_of=2024-06-19"  # a Wednesday
    grouped = ("trends?events=did", "lifecycle?event=did", "cohort?primary_event=did")
    for url in (
        *("?", "people?user=2", "events?", "stickiness?event=did"),
        *grouped,
        *(f"{each}&time_group=months" for each in grouped),
        "funnel?steps=did&steps=did",
    ):
        answer = client.get(f"/bitmapist/{url}&{asked}")
        assert answer.status_code == 200, url
        text = re.sub("<[^>]+>", " ", answer.text)
        for said in (
            *("today", "not over yet", "so far"),
            *("this week", "this month", "this year", "this quarter"),
        ):
            assert said not in text, (url, said)
    told = november.test_cli_runner().invoke(
        args=["bitmapist", "count", "did", "--as-of", "2024-06-19"]
    )
    assert "2024-06-19" in told.output
    assert not re.search("today|this|so far", told.output)


# --- As of a moment


@pytest.mark.parametrize(("hourly", "week"), [(True, [1, 2, 3]), (False, [1, 2, 3, 4])])
def test_a_moment_counts_up_to_its_hour_where_hours_are_kept_else_its_day(
    make_app: Made, hourly: bool, week: list[int]
) -> None:
    app = make_app(BITMAPIST_TRACK_HOURLY=hourly)
    query = app.extensions["bitmapist"].query
    with app.app_context():
        # A Wednesday: users 1 to 3 before the end of the hour, 4 after it.
        for user, at in enumerate(("17T23:59", "18T09:00", "18T10:59", "18T11:00"), 1):
            mark_event("did", user, now=utc(f"2026-11-{at}"))
        mark_event("did", 5, now=utc("2026-11-19T00:00"))
        mark_event("other", 5, now=utc("2026-11-18T11:00"), track_hourly=False)
    asked: Any = {"as_of": datetime(2026, 11, 18, 10, 30)}
    for group in ("weeks", "months", "quarters", "years"):
        assert list(query.users("did", group, **asked)) == week
        assert query.count("did", group, **asked) == len(week)
        assert query.has(4, "did", group, **asked) is not hourly
        trend = query.trend("did", time_group=group, num_periods=1, **asked)
        assert trend.series[0].counts == (len(week),)
        users = trend.users(period=trend.periods[0].label)
        assert (list(users), 4 in users) == (week, not hourly)
    for text in ("did ever", "did in last 2 days", "did since 2026-11-01"):
        assert list(query.users(text, **asked)) == week
    assert query.count("did", since=date(2026, 11, 1), **asked) == len(week)
    assert list(query.users("did", "days", **asked)) == week[1:]
    # Of the other event hours are not kept.
    assert query.count("other", "weeks", **asked) == 1
    assert query.count("did or other", "weeks", **asked) == len(week) + 1
    segments = query.trend(
        "did", num_periods=1, segments=["did ever", "everyone"], **asked
    ).segments
    counts = [answer.series[0].counts[0] for answer in segments]
    assert counts == [len(week) - 1] * 2
    told = app.test_cli_runner().invoke(
        args=["bitmapist", "count", "did", "-g", "week", "--as-of", "2026-11-18T10:30"]
    )
    assert told.stdout == f"{len(week)}\n"
    client = app.test_client()
    url = "/bitmapist/count?event=did&time_group=weeks&as_of=2026-11-18T10:30"
    assert client.get(url).get_json()["counts"] == {"week": len(week)}


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    marks=st.lists(st.tuples(st.integers(0, 9), st.integers(-1500, 9000)), min_size=1),
    hourly=st.booleans(),
    imported=st.booleans(),
    start=st.sampled_from(sorted(WEEK_STARTS)),
    later=st.none() | st.integers(1, 400),
)
def test_what_is_marked_ahead_counts_once_it_has_come(
    make_app: Made,
    redis_client: redis.Redis,
    marks: list[tuple[int, int]],
    hourly: bool,
    imported: bool,
    start: str,
    later: int | None,
) -> None:
    redis_client.flushall()
    app = make_app(BITMAPIST_TRACK_HOURLY=hourly, BITMAPIST_WEEK_START=start)
    now = datetime.now(timezone.utc)
    moments = [(user, now + hours * HOUR) for user, hours in marks]
    with app.app_context(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("flask_bitmapist.query.utc_now", lambda: now)
        if imported:
            extension = app.extensions["bitmapist"]
            rows = [(user, "did", at.isoformat()) for user, at in moments]
            import_rows(extension, rows, track_hourly=hourly)
        else:
            for user, at in moments:
                mark_event("did", user, now=at)
        last = now if hourly else datetime.combine(now, time.max, timezone.utc)
        for group in GROUPS if hourly else GROUPS[1:]:
            key = key_of(group, start)
            expected = {
                user
                for user, at in moments
                if key(at) == key(now) and at.replace(minute=0) <= last
            }
            asked: Any = {"time_group": group, "num_periods": 1}
            assert list(counts(app, **asked).values()) == [len(expected)]
            query = app.extensions["bitmapist"].query
            assert list(query.users("did", group)) == sorted(expected)
        if later is None:
            return
        # As of a day to come it has, up to that day; and that day is not over.
        day = now + later * DAY
        for group in GROUPS[1:]:
            key = key_of(group, start)
            expected = {
                user
                for user, at in moments
                if key(at) == key(day) and at.date() <= day.date()
            }
            answer = query.trend(
                "did", time_group=group, num_periods=1, as_of=day.date()
            )
            assert answer.series[0].counts == (len(expected),)
            assert answer.complete == (False,)


def test_of_several_processes_that_mark_ahead_the_latest_hour_is_known(
    make_app: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = make_app(), make_app()
    for app in (one, other):
        with app.app_context():
            mark_event("did", 3)  # so that it knows the store
    for app, user, day in ((one, 1, 10), (other, 2, 5)):
        with app.app_context():
            mark_event("did", user, now=utc(f"2090-06-{day:02}T05:00"))
    monkeypatch.setattr(
        "flask_bitmapist.query.utc_now", lambda: utc("2090-06-08T00:00")
    )
    assert counts(make_app(), time_group="months", num_periods=1) == {"2090-06": 1}


def test_where_nothing_is_marked_ahead_a_month_is_one_bitmap(
    make_app: Made, redis_client: redis.Redis
) -> None:
    app = make_app()
    query, now = app.extensions["bitmapist"].query, datetime.now(timezone.utc)

    def reads() -> int:
        redis_client.config_resetstat()
        assert query.count("did", "months") == 1
        told = redis_client.info("commandstats")
        commands = [told.get(f"cmdstat_{name}") for name in ("bitcount", "getrange")]
        return sum(each["calls"] for each in commands if each)

    with app.app_context():
        mark_event("did", 1, now=now)
        assert reads() == 1
        mark_event("did", 2, now=now + 31 * DAY)
        # Its days up to today; a month whose last day has come is read at once.
        assert reads() == (1 if (now + DAY).day == 1 else now.day)


# --- Ranges


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_a_range_has_the_unique_users_of_its_days(
    make_app: Made, redis_client: redis.Redis, data: st.DataObject
) -> None:
    redis_client.flushall()
    app = make_app()
    base = date(2025, 1, 1)
    places = st.integers(0, 500)
    marks = data.draw(st.lists(st.tuples(st.integers(0, 9), places), min_size=1))
    first, last = sorted((data.draw(places), data.draw(places)))
    as_of = data.draw(st.integers(first, 600))
    with app.app_context():
        for user, day in marks:
            mark_event("did", user, now=utc(f"{base + day * DAY}"))
    expected = {user for user, day in marks if first <= day <= min(last, as_of)}
    query = app.extensions["bitmapist"].query
    asked = {
        "since": base + first * DAY,
        "until": base + last * DAY,
        "as_of": base + as_of * DAY,
    }
    assert query.count("did", **asked) == len(expected)
    assert set(query.users("did", **asked)) == expected
    for user in (0, 5):
        assert query.has(user, "did", **asked) == (user in expected)
        person = query.person(user, **asked)
        days = {day for who, day in marks if who == user and first <= day <= last}
        days = {base + day * DAY for day in days if day <= as_of}
        assert {each.start.date() for each in person.all_days} == days


def test_a_range_is_asked_on_every_surface(november: Flask) -> None:
    run = november.test_cli_runner().invoke
    asked = ["--since", "2026-11-03", "--until", "2026-11-17"]
    assert run(args=["bitmapist", "count", "did", *asked]).stdout == "15\n"
    assert run(args=["bitmapist", "has", "3", "did", *asked]).stdout == "yes\n"
    assert run(args=["bitmapist", "has", "2", "did", *asked]).exit_code == 1
    client = november.test_client()
    url = "/bitmapist/count?event=did&since=2026-11-03&until=2026-11-17"
    told = client.get(url).get_json()
    assert told["counts"] == {"range": 15}
    assert told["periods"] == {"range": "2026-11-03/2026-11-17"}
    assert told["complete"] == {"range": True}
    assert told["spans"] == [
        {
            "period": "2026-11-03/2026-11-17",
            "start": "2026-11-03T00:00:00+00:00",
            "end": "2026-11-18T00:00:00+00:00",
        }
    ]
    page = client.get("/bitmapist/people?user=3&since=2026-11-03&until=2026-11-17")
    assert "from 3 Nov 2026 to 17 Nov 2026" in page.text


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"until": "2026-11-17"}, "since"),
        ({"since": "2026-11-17", "until": "2026-11-16"}, "until"),
        ({"since": "1969-12-31"}, "since"),
        ({"since": "2026-11-17T10:00"}, "since"),
        ({"since": "2026-11-17", "time_group": "days"}, "time_group"),
        ({"since": "2026-11-27"}, "since"),
        ({"since": "1970-01-01", "as_of": "9999-12-31"}, "since"),
    ],
)
def test_a_range_that_is_none_is_refused(
    november: Flask, asked: dict[str, Any], field: str
) -> None:
    with pytest.raises(QueryError) as error:
        november.extensions["bitmapist"].query.count("did", **asked)
    assert error.value.field == field


def test_of_a_range_that_reaches_into_the_future_nothing_is_made_up(
    november: Flask,
) -> None:
    asked = Count("did", since=date(2026, 11, 20), until=date(2026, 12, 31))
    answer = november.extensions["bitmapist"].query(asked)
    assert answer.count == 3
    assert answer.complete == (False,)
    assert answer.periods[0].label == "2026-11-20/2026-11-26"
    assert "Nothing after 2026-11-26 counts." in answer.warnings


# --- Dates as people write them


def test_pages_have_dates_for_people_and_data_has_them_for_machines(
    make_app: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "flask_bitmapist.query.utc_now", lambda: utc("2026-11-26T09:00")
    )
    app = make_app(BITMAPIST_TIMEZONE="Asia/Tokyo")
    with app.app_context():
        mark_event("did", 1, now=utc("2026-11-18"))
    url = "/bitmapist/trends?events=did&time_group=weeks&num_periods=2"
    client = app.test_client()
    page = client.get(url).text
    assert ">16–22 Nov 2026<" in page
    assert 'title="2026-W47: 2026-11-16 to 2026-11-22, Asia/Tokyo"' in page
    told = client.get(f"{url}&format=json").get_json()
    assert told["dates"] == ["2026-W47", "2026-W48"]
    assert told["timezone"] == "Asia/Tokyo"
    assert told["spans"][0] == {
        "period": "2026-W47",
        "start": "2026-11-16T00:00:00+09:00",
        "end": "2026-11-23T00:00:00+09:00",
    }
    rows = list(csv.DictReader(io.StringIO(client.get(f"{url}&format=csv").text)))
    assert rows[0]["start"] == "2026-11-16T00:00:00+09:00"
    assert rows[0]["end"] == "2026-11-23T00:00:00+09:00"


def test_weeks_of_sunday_are_shown_from_sunday_on(
    make_app: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "flask_bitmapist.query.utc_now", lambda: utc("2026-11-26T09:00")
    )
    app = make_app(BITMAPIST_WEEK_START="sunday")
    with app.app_context():
        mark_event("did", 1, now=utc("2026-11-22"))
        mark_event("did", 2, now=utc("2026-11-21"))
    assert counts(app, time_group="weeks", num_periods=2) == {
        "W2026-11-15": 1,
        "W2026-11-22": 1,
    }
    page = app.test_client().get("/bitmapist/people?user=1").text
    assert page.index(">Sun<") < page.index(">Mon<")
    listed = app.test_client().get(
        "/bitmapist/trends?events=did&time_group=weeks&period=W2026-11-22&format=json"
    )
    assert listed.get_json()["ids"] == [1]


def test_the_first_time_looks_at_weeks_of_sunday_too(make_app: Made) -> None:
    app = make_app(BITMAPIST_WEEK_START="sunday")
    with app.app_context():
        for event in ("a", "b"):
            mark_event(event, 1, now=utc("2026-11-01"))
            mark_event(event, 2, now=utc("2026-11-21"))
            mark_event(event, 1, now=utc("2026-11-18"))
    answer = app.extensions["bitmapist"].query.lifecycle(
        "a and b", time_group="weeks", num_periods=1, as_of=date(2026, 11, 21)
    )
    assert (answer.new, answer.resurrecting) == ((1,), (1,))


def test_zones_of_nobody_are_those_of_the_settings(redis_client: redis.Redis) -> None:
    zones = Zones(Calendar("Asia/Tokyo"))
    assert zones.known == zones.calendar(redis_client) == Calendar("Asia/Tokyo")
    assert zones.difference is None


@pytest.mark.parametrize(
    ("code", "week", "day"),
    [
        ("de", "16.–22. Nov. 2026", "18. Nov. 2026"),
        ("fr", "16–22 nov. 2026", "18 nov. 2026"),
        ("en", "16–22 Nov 2026", "18 Nov 2026"),
    ],
)
def test_dates_are_in_the_language_of_the_reader(
    make_app: Made, monkeypatch: pytest.MonkeyPatch, code: str, week: str, day: str
) -> None:
    flask_babel = pytest.importorskip("flask_babel")
    monkeypatch.setattr(
        "flask_bitmapist.query.utc_now", lambda: utc("2026-11-18T09:00")
    )
    app = make_app()
    flask_babel.Babel(app, locale_selector=lambda: code)
    with app.app_context():
        mark_event("did", 1)
    asked = "/bitmapist/trends?events=did&num_periods=2"
    client = app.test_client()
    assert f">{week}<" in client.get(f"{asked}&time_group=weeks").text
    assert f">{day}<" in client.get(asked).text


@pytest.mark.parametrize("group", GROUPS[1:])
def test_every_question_takes_every_time_group(november: Flask, group: str) -> None:
    client = november.test_client()
    for question in (
        *("trends?events=did", "cohort?primary_event=did", "lifecycle?event=did"),
        *("funnel?steps=did&steps=did", "count?event=did", "users?event=did"),
    ):
        answer = client.get(f"/bitmapist/{question}&time_group={group}")
        assert answer.status_code == 200, answer.text
