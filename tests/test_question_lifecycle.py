"""Lifecycle: what it says where a period is not over, or not everything is known."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import date, datetime, timedelta
from typing import Any

import bitmapist
import pytest
import redis
from flask import Flask

from flask_bitmapist import QueryError, mark_event
from flask_bitmapist.questions import ParameterError

from .inside import Lifecycle
from .pages import check_wrong
from .reference import utc

THURSDAY = date(2024, 11, 21)


@pytest.fixture
def ask(app: Flask) -> Any:
    """The questions of the app."""
    return app.extensions["bitmapist"].query


@pytest.fixture
def loyal(app: Flask) -> Flask:
    """An app whose 70 users come once a week, a tenth of them on each weekday."""
    with app.app_context():
        for user in range(70):
            for week in range(6):
                day = utc("2024-10-21T12:00") + timedelta(weeks=week, days=user % 7)
                mark_event("came", user, now=day)
    return app


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def test_who_comes_once_a_week_is_not_lost_on_a_thursday(
    loyal: Flask, ask: Any
) -> None:
    answer = ask.lifecycle("came", num_periods=3, as_of=THURSDAY)
    assert [each.label for each in answer.periods] == [
        *("2024-W45", "2024-W46", "2024-W47")
    ]
    assert answer.complete == (True, True, False)
    assert answer.returning == (70, 70, 40)
    assert answer.dormant == (0, 0, 30)
    assert [*answer.notes()] == [
        "2024-W47 is counted up to 2024-11-21.",
        "Active last period, not back by 2024-11-21: 30.",
    ]
    waiting = answer.users(period="2024-W47", stage="dormant")
    assert len(waiting) == 30
    assert waiting.selection.text == (
        "came: active in 2024-W46, not back in 2024-W47 by 2024-11-21"
    )
    over = ask.lifecycle("came", num_periods=1, as_of=date(2024, 11, 24))
    assert (over.complete, over.dormant, over.notes()) == ((True,), (0,), ())
    gone = over.users(period="2024-W47", stage="dormant").selection.text
    assert gone == "came: dormant in 2024-W47"


def test_the_page_shows_an_unfinished_period_beside_the_others(loyal: Flask) -> None:
    client = loyal.test_client()
    url = f"/bitmapist/lifecycle?event=came&num_periods=3&as_of={THURSDAY}"
    page = client.get(url).text
    assert "<h2" in page
    assert page.count("Lifecycle of came by week, to 21 Nov 2024") >= 2, (
        "heading and title"
    )
    rows = re.findall(r"<tr[^>]*>.*?</tr>", page[page.index("<tbody") :], re.DOTALL)
    assert 'class="bm-part"' in rows[0]
    assert text_of(rows[0]).split() == [
        *("18–24", "Nov", "2024", "to", "21", "Nov"),
        *("0", "40", "0", "30", "not", "back", "40"),
    ]
    assert "bm-part" not in rows[1]
    assert text_of(rows[1]).split() == [
        *("11–17", "Nov", "2024", "0", "70", "0", "0", "70")
    ]
    assert "so far" not in page
    told = client.get(url + "&format=json").get_json()
    assert told["question"] == "Lifecycle of came by week, to 2024-11-21"
    assert told["asked"] == {
        "event": "came",
        "num_periods": 3,
        "as_of": str(THURSDAY),
    }
    assert told["complete"] == [True, True, False]
    sheet = list(csv.reader(io.StringIO(client.get(url + "&format=csv").text)))
    assert sheet[0] == [
        *("week", "complete", "new", "returning", "resurrecting", "dormant", "active"),
        *("start", "end"),
    ]
    assert sheet[-1][:7] == ["2024-W47", "False", "0", "40", "0", "30", "40"]


def test_while_no_period_is_over_that_is_said(app: Flask, ask: Any) -> None:
    with app.app_context():
        mark_event("came", 1)
    answer = ask.lifecycle("came", time_group="years", num_periods=1)
    assert answer.complete == (False,)
    assert answer.new == (1,)
    assert "No period is complete yet." in answer.notes()
    page = app.test_client().get(
        "/bitmapist/lifecycle?event=came&time_group=years&num_periods=1"
    )
    assert "No period is complete yet." in page.text
    assert "so far" in page.text


def test_nothing_after_the_day_counts(app: Flask, ask: Any) -> None:
    with app.app_context():
        mark_event("came", 1, now=utc("2024-11-05"))
        mark_event("came", 2, now=utc("2024-11-25"))
    for group in ("weeks", "months", "years"):
        answer = ask.lifecycle(
            "came", time_group=group, num_periods=1, as_of=date(2024, 11, 6)
        )
        assert answer.new == (1,)
        (period,) = answer.periods
        assert list(answer.users(period=period.label, stage="new")) == [1]


def test_a_finished_month_is_complete_on_its_last_day(app: Flask, ask: Any) -> None:
    with app.app_context():
        mark_event("came", 1, now=utc("2024-06-30T23:00"))
    answer = ask.lifecycle("came", time_group="month", as_of=date(2024, 6, 30))
    assert all(answer.complete)
    assert answer.new[-1] == 1
    assert answer.notes() == ()


# --- The past of an expression of several dated events is looked at period by period


def both(app: Flask, day: datetime, user: int = 1) -> None:
    with app.app_context():
        for name in ("a", "b"):
            mark_event(name, user, now=day, track_hourly=True)


def test_the_past_begins_with_the_first_month_in_which_anything_happened(
    app: Flask, ask: Any
) -> None:
    both(app, utc("2022-04-10T08:00"))
    both(app, utc("2024-06-30T10:00"))
    both(app, utc("2024-06-30T10:00"), user=2)
    # From April on they are fewer than 20,000 hours, from January on they are more.
    answer = ask.lifecycle(
        "a and b", time_group="hours", num_periods=1, as_of=utc("2024-06-30T10:00")
    )
    assert (answer.new, answer.resurrecting) == ((1,), (1,))


def test_a_past_of_too_many_periods_is_refused(app: Flask, ask: Any) -> None:
    both(app, utc("2022-01-10T08:00"))
    asked = {"num_periods": 1, "as_of": utc("2024-06-30T10:00")}
    with pytest.raises(QueryError, match=r"more than 20,000 past periods; use longer"):
        ask.lifecycle("a and b", time_group="hours", **asked)
    assert ask.lifecycle("a and b", time_group="days", **asked).new == (0,)
    # Where the larger periods tell as much, there are few of them.
    assert ask.lifecycle("a or b", time_group="hours", **asked).new == (0,)


# --- Hours that were not kept


def test_hours_that_are_not_recorded_are_told(app: Flask, ask: Any) -> None:
    with app.app_context():
        mark_event("came", 1, now=utc("2024-06-30T10:00"))
    with pytest.raises(QueryError, match="BITMAPIST_TRACK_HOURLY") as error:
        ask.lifecycle("came", time_group="hours", as_of=utc("2024-06-30T12:00"))
    assert error.value.field == "time_group"
    page = app.test_client().get(
        "/bitmapist/lifecycle?event=came&time_group=hours&as_of=2024-06-30"
    )
    assert page.status_code == 400
    assert "Hours are not recorded" in page.text


@pytest.fixture
def switched_on(redis_client: redis.Redis) -> None:
    """Hours are kept since the first of July; users 1 and 2 came before and after."""
    for event in ("came", "paid"):
        for user in (1, 2):
            bitmapist.mark_event(
                event, user, system=redis_client, now=utc("2024-06-30T09:00")
            )
        for user, hour in ((1, 9), (1, 10), (2, 10), (3, 10)):
            bitmapist.mark_event(
                event,
                user,
                system=redis_client,
                now=utc(f"2024-07-01T{hour:02}:00"),
                track_hourly=True,
            )


@pytest.mark.usefixtures("switched_on")
def test_hours_of_days_without_any_are_unknown_and_still_tell_who_is_not_new(
    ask: Any,
) -> None:
    answer = ask.lifecycle(
        "came", time_group="hours", num_periods=13, as_of=utc("2024-07-01T10:00")
    )
    assert answer.periods[0].label == "2024-06-30T22"
    stages = zip(*answer.by_stage.values())
    found = dict(zip((each.label for each in answer.periods), stages))
    assert found["2024-06-30T22"] == found["2024-06-30T23"] == (None,) * 5
    # Who was there in the hour before midnight is not known.
    assert found["2024-07-01T00"] == (0, None, None, None, 0)
    assert found["2024-07-01T09"] == (0, 0, 1, 0, 1)
    assert found["2024-07-01T10"] == (1, 1, 1, 0, 3)
    for stage, users in (("new", [3]), ("returning", [1]), ("resurrecting", [2])):
        assert list(answer.users(period="2024-07-01T10", stage=stage)) == users
    for period, stage in (("2024-06-30T23", "new"), ("2024-07-01T00", "dormant")):
        with pytest.raises(QueryError, match=r"(?i)not (all|recorded)"):
            answer.users(period=period, stage=stage)
    csv_rows = answer.table().rows
    assert csv_rows[0][2:] == [None] * 5


@pytest.mark.usefixtures("switched_on")
def test_of_two_events_in_one_hour_a_day_without_hours_tells_nothing(ask: Any) -> None:
    answer = ask.lifecycle(
        "came and paid",
        time_group="hours",
        num_periods=2,
        as_of=utc("2024-07-01T10:00"),
    )
    assert answer.active == (1, 3)
    assert answer.returning == (0, 1)
    assert answer.dormant == (0, 0)
    assert answer.new == answer.resurrecting == (None, None)
    assert list(answer.users(period="2024-07-01T10", stage="returning")) == [1]
    with pytest.raises(QueryError, match=r"(?i)not (all|recorded)"):
        answer.users(period="2024-07-01T10", stage="new")


# --- Surfaces


def test_the_command_asks_the_same(loyal: Flask, ask: Any) -> None:
    run = loyal.test_cli_runner().invoke
    asked = ["lifecycle", "came", "-n", "3", "--as-of", str(THURSDAY)]
    answer = ask.lifecycle("came", num_periods=3, as_of=str(THURSDAY))
    told = run(args=["bitmapist", *asked])
    assert told.stdout.strip() == str(answer)
    assert told.stderr.splitlines()[-1] == "Lifecycle of came by week, to 2024-11-21"
    as_json = json.loads(run(args=["bitmapist", *asked, "--json"]).stdout)
    assert as_json == answer.to_dict()
    cell = ["--users", "--period", "2024-W47", "--stage", "dormant"]
    users = run(args=["bitmapist", *asked, *cell])
    assert len(users.stdout.split()) == 30
    wrong = run(args=["bitmapist", "lifecycle", "came", "--time-group", "eons"])
    assert wrong.exit_code == 2
    assert (
        "time_group: Use one of hours, days, weeks, months, quarters, years."
        in wrong.stderr
    )


def test_every_number_of_the_page_leads_to_its_users_and_adds_nothing(
    loyal: Flask,
) -> None:
    client = loyal.test_client()
    page = client.get("/bitmapist/lifecycle?event=came&num_periods=200").text
    cells = re.findall(r'<td[^>]*><a href="([^"]+)">([\d,]+)<', page)
    assert len(cells) > 10
    for link, shown in cells[:8]:
        url = link.replace("&amp;", "&")
        assert "as_of" not in url
        users = client.get(url + "&format=json").get_json()
        assert users["total"] == int(shown)
        assert (
            'href="/bitmapist/lifecycle?event=came&amp;num_periods=200"'
            in client.get(url).text
        )


WRONG = [
    ("event=cam", "event", "Did you mean &#39;came&#39;?"),
    ("event=&num_periods=1", "event", "This field is required."),
    ("event=not+came", "event", "has nothing to exclude users from"),
    ("event=came&num_periods=0", "num_periods", "from 1 to 10,000"),
    ("event=came&time_group=eons", "time_group", "Use one of hours, days"),
    ("event=came&as_of=tomorrow", "as_of", "write it as YYYY-MM-DD"),
    ("event=came&period=2024-W01&stage=lost", "stage", "Use one of new"),
    ("event=came&period=2001-W01&stage=new", "period", "This must be one of"),
    ("event=came&stage=new", "period", "This field is required."),
]


@pytest.mark.parametrize("surface", ["standalone", "admin"])
def test_what_is_wrong_is_told_beside_its_field(app: Flask, surface: str) -> None:
    check_wrong(app, surface, "lifecycle", "event=came&num_periods=1", WRONG)


def test_a_question_is_data() -> None:
    asked = Lifecycle("came", time_group="month", num_periods="3")  # type: ignore[arg-type]
    assert asked == Lifecycle("came", time_group="months", num_periods=3)
    assert hash(asked) == hash(Lifecycle("came", time_group="months", num_periods=3))
    assert Lifecycle.read(asked.arguments()) == asked
    with pytest.raises(ParameterError) as error:
        Lifecycle("", num_periods=0, time_group="eons")  # type: ignore[arg-type]
    assert list(error.value.wrong) == ["event", "time_group", "num_periods"]
