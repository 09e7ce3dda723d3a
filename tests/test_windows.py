"""Expressions with time: their examples, and where they are taken.

What each window means is checked against plain sets in every question's own tests,
which draw windows among their expressions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from html import unescape
from typing import Any

import pytest
from flask import Flask

from flask_bitmapist import Event, QueryError, mark_event, mark_unique
from flask_bitmapist.config import ConfigError
from flask_bitmapist.query import Query

from .inside import Ever, spelled
from .reference import utc


@pytest.fixture
def query(app: Flask) -> Iterator[Query]:
    with app.app_context():
        found: Query = app.extensions["bitmapist"].query
        yield found


def did(event: str, user: int, *days: str) -> None:
    for day in days:
        mark_event(event, user, now=utc(day))


NOV_28 = date(2026, 11, 28)


def test_who_restarts_stops_and_is_first_is_told_by_the_days_before(
    query: Query,
) -> None:
    did("x", 1, "2026-09-01", "2026-11-05")
    did("x", 2, "2026-10-31")
    did("x", 3, "2026-10-03")
    did("x", 4, "2026-11-05")
    for text, users in {
        "x restarted 28 days": [1],
        "x stopped 28 days": [2],
        "x first in last 28 days": [4],
        "x in last 28 days": [1, 4],
        "x in last 56 days": [1, 2, 4],
        "x ever": [1, 2, 3, 4],
        "x ever and not x in last 28 days": [2, 3],
        "x between 2026-09-01 and 2026-10-03": [1, 3],
        "x since 2026-10-31": [1, 2, 4],
        "x in at least 2 of last 3 months": [1],
        "x in at least 2 of last 2 quarters": [1],
        "x in last 1 quarter": [1, 2, 3, 4],
    }.items():
        assert list(query.users(text, as_of=NOV_28)) == users, text
        assert query.count(text, as_of=NOV_28) == len(users)
        for user in (1, 2, 3, 4):
            assert query.has(user, text, as_of=NOV_28) is (user in users)


def test_a_trend_takes_a_window_as_of_the_end_of_each_period(query: Query) -> None:
    did("x", 1, "2026-11-01", "2026-11-20")
    answer = query.trend(
        "x in last 7 days", time_group="weeks", num_periods=6, as_of=date(2026, 12, 6)
    )
    assert answer.periods[0].label == "2026-W44"
    assert answer.series[0].counts == (1, 0, 0, 1, 0, 0)


def test_a_period_that_goes_on_is_taken_as_of_the_last_day(
    query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    did("x", 1, "2026-11-12")
    for now in ("2026-11-18T12:00", "2027-01-01"):
        monkeypatch.setattr("flask_bitmapist.query.utc_now", lambda now=now: utc(now))
        for group in ("days", "weeks", "months", "years"):
            asked: dict[str, Any] = {"time_group": group, "as_of": date(2026, 11, 18)}
            assert query.count("x in last 7 days", **asked) == 1
            assert query.count("x in last 6 days", **asked) == 0
            trend = query.trend("x in last 7 days", num_periods=1, **asked)
            assert trend.series[0].counts == (1,)


def test_who_did_one_thing_and_never_another_is_found(query: Query) -> None:
    did("x", 1, "2026-01-05")
    did("y", 1, "2026-06-05")
    did("x", 2, "2026-03-05")
    did("y", 3, "2026-03-05")
    assert list(query.users("x ever and y never", as_of=NOV_28)) == [2]
    # As of a day before user 1 did the other, it had never been.
    assert list(query.users("x ever and y never", as_of="2026-05-01")) == [1, 2]


def test_an_hour_is_the_last_that_counts_of_its_own_day(
    make_app: Callable[..., Flask],
) -> None:
    app = make_app(BITMAPIST_TRACK_HOURLY=True)
    with app.app_context():
        query = app.extensions["bitmapist"].query
        did("x", 1, "2026-11-19T15:00")
        did("x", 2, "2026-11-18T23:00")
        did("x", 3, "2026-11-12T23:00")
        counts = query.trend(
            "x in last 7 days",
            time_group="hours",
            num_periods=3,
            as_of=utc("2026-11-19T16:00"),
        ).series[0]
        assert counts.counts == (1, 2, 2)
        often = "x in at least 2 of last 2 days"
        did("x", 2, "2026-11-19T16:00")
        for hour, users in ((15, []), (16, [2])):
            at = utc(f"2026-11-19T{hour}:30")
            assert list(query.users(often, "hours", as_of=at)) == users


# --- not and never alone


def test_not_and_never_alone_look_among_everyone(
    make_app: Callable[..., Flask],
) -> None:
    app = make_app(BITMAPIST_EVERYONE="signup ever")
    with app.app_context():
        query = app.extensions["bitmapist"].query
        for user in (1, 2, 3):
            did("signup", user, f"2026-0{user}-01")
        did("paid", 1, "2026-11-20")
        did("paid", 9, "2026-11-20")
        for text in ("paid never", "not paid ever", "not paid in last 28 days"):
            assert list(query.users(text, as_of=NOV_28)) == [2, 3]
        answer = query.trend(
            "paid never", time_group="months", num_periods=11, as_of=NOV_28
        )
        assert answer.series[0].counts == (1, 2, *[3] * 8, 2)
        assert answer.series[0].name == "paid never and signup ever"
        # What says among whom it looks is left alone.
        assert list(query.users("not signup ever within paid ever")) == [9]


def test_not_and_never_alone_are_refused_without_everyone(query: Query) -> None:
    did("paid", 1, "2026-11-20")
    for text in ("paid never", "not paid ever", "paid ever or paid never"):
        with pytest.raises(QueryError, match="nothing to exclude users from"):
            query.users(text)


def test_an_everyone_of_which_nobody_has_heard_is_told(
    make_app: Callable[..., Flask],
) -> None:
    app = make_app(BITMAPIST_EVERYONE="signup ever")
    with app.app_context():
        did("paid", 1, "2026-11-20")
        with pytest.raises(
            QueryError, match=r"BITMAPIST_EVERYONE: .*'signup'"
        ) as error:
            app.extensions["bitmapist"].query.users("paid never")
        assert error.value.field == "event"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("signup evr", "expected 'and', 'or' or the end"),
        ("not signup", "must say by itself who is in it"),
        ("signup never", "must say by itself who is in it"),
    ],
)
def test_an_everyone_that_is_none_is_refused_at_once(
    make_app: Callable[..., Flask], value: str, told: str
) -> None:
    with pytest.raises(ConfigError, match=f"BITMAPIST_EVERYONE.*{told}"):
        make_app(BITMAPIST_EVERYONE=value)


# --- names and words


def test_a_text_that_is_a_name_and_an_expression_shows_both_spellings(
    query: Query,
) -> None:
    did("x ever", 1, "2026-11-20")
    did("x", 2, "2026-11-20")
    with pytest.raises(QueryError) as error:
        query.users("x ever", as_of="2026-11-20")
    assert '"x ever" for the name, (x ever) for the expression' in str(error.value)
    assert list(query.users('"x ever"', as_of="2026-11-20")) == [1]
    assert list(query.users("(x ever)", as_of="2026-11-20")) == [2]


def test_a_defined_name_that_reads_as_an_expression_is_told_as_well(
    query: Query,
) -> None:
    did("x", 1, "2026-11-20")
    names = query.names.defining({"x and y": Ever(Event("x"))})
    asked = Query(query.bitmaps, names)
    with pytest.raises(QueryError, match="is a name, and can be read"):
        asked.users("x and y")
    assert list(asked.users('"x and y"')) == [1]


@pytest.mark.parametrize("name", [" x", "x ", '"x"', " x y "])
def test_a_name_in_blanks_or_quotes_is_itself_where_nobody_tracked_it_without(
    query: Query, name: str
) -> None:
    did(name, 1, "2026-11-20")
    assert list(query.users(name, as_of="2026-11-20")) == [1]
    assert list(query.users(spelled(name), as_of="2026-11-20")) == [1]
    did("x", 2, "2026-11-20")
    if name != " x y ":  # which is no expression
        with pytest.raises(QueryError, match="is a name, and can be read"):
            query.users(name, as_of="2026-11-20")
    assert list(query.users(spelled(name), as_of="2026-11-20")) == [1]


def test_names_with_blanks_need_no_quotes_where_they_stand_alone(query: Query) -> None:
    did("song played", 1, "2026-11-20")
    assert list(query.users("song played", as_of="2026-11-20")) == [1]
    assert list(query.users('"song played" ever')) == [1]


@pytest.mark.parametrize(
    ("name", "spelling"),
    [("premium", r"flag\(premium\)"), ("on trial", r'flag\("on trial"\)')],
)
def test_a_name_known_only_as_a_flag_is_told_how_to_write(
    query: Query, name: str, spelling: str
) -> None:
    mark_unique(name, 1)
    with pytest.raises(QueryError, match=f"is a flag; write {spelling}"):
        query.users(name)


WORDS = [
    *("in", "at", "least", "of", "last", "between", "since", "ever", "never"),
    *("first", "stopped", "restarted", "day", "days", "28", "2026-11-20"),
]


@pytest.mark.parametrize("word", WORDS)
def test_no_word_is_reserved(query: Query, word: str) -> None:
    did(word, 1, "2026-11-20")
    asked = {"as_of": date(2026, 11, 21)}
    for text in (
        f"{word} ever",
        f"{word} in last 2 days",
        f"{word} between 2026-11-20 and 2026-11-20 and {word} ever",
        f"({word} or {word}) since 2026-11-20",
    ):
        assert list(query.users(text, **asked)) == [1]
    assert list(query.users(word, as_of=date(2026, 11, 20))) == [1]


def test_a_window_may_begin_before_anything_was_kept(query: Query) -> None:
    did("x", 1, "1970-01-01", "2126-01-01")
    for text in ("x ever", "x in last 200 years", "x since 1969-12-31"):
        assert query.count(text, as_of="1970-01-01") == 1
        assert query.count(text, as_of="2126-12-31") == 1
    assert query.count("x since 2127-01-01", as_of="2126-12-31") == 0
    with pytest.raises(QueryError, match="outside the calendar"):
        query.count("x in last 400 years", as_of="0001-01-01")


def test_counting_days_is_exact_however_many_there_are(query: Query) -> None:
    first = date(2025, 1, 1)
    last = first + timedelta(days=399)
    for user, days in ((1, 400), (2, 399), (3, 255), (4, 256)):
        for back in range(days):
            mark_event("x", user, now=utc(str(last - timedelta(days=back))))
    for least, users in ((400, [1]), (399, [1, 2]), (256, [1, 2, 4]), (255, None)):
        found = query.users(f"x in at least {least} of last 400 days", as_of=last)
        assert list(found) == (users or [1, 2, 3, 4])


def test_pages_link_to_an_event_whose_name_reads_as_an_expression(
    make_app: Callable[..., Flask],
) -> None:
    app = make_app(BITMAPIST_ACCESS="public")
    with app.app_context():
        mark_event("x ever", 1)
        mark_event("x", 2)
    client = app.test_client()
    for path in ("/bitmapist/", "/bitmapist/events"):
        html = client.get(path).text
        links = set(re.findall(r'href="([^"]*(?:event|events)=[^"]*)"', html))
        named = [unescape(link) for link in links if "ever" in link]
        assert named
        for link in named:
            assert "%22x+ever%22" in link or "%22x%20ever%22" in link
            assert client.get(link).status_code == 200
