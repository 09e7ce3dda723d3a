"""Stickiness: windows that look back, and days that are not over."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import date, timedelta
from typing import Any

import pytest
from flask import Flask

from flask_bitmapist import QueryError, mark_event
from flask_bitmapist.query import utc_now

from .inside import Stickiness
from .pages import check_wrong
from .reference import utc


@pytest.fixture
def ask(app: Flask) -> Any:
    """The questions of the app."""
    return app.extensions["bitmapist"].query


@pytest.fixture
def october(app: Flask) -> Flask:
    """An app with 10 other users on each day, up to the first of November."""
    with app.app_context():
        for number in range(32):
            for user in range(10 * number, 10 * number + 10):
                mark_event("came", user, now=utc("2024-10-01") + timedelta(number))
    return app


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def test_the_first_of_a_month_is_a_day_like_any_other(october: Flask, ask: Any) -> None:
    answer = ask.stickiness("came", num_days=2, as_of=date(2024, 11, 1))
    assert answer.window == (280, 280)
    assert answer.ratios == (10 / 280, 10 / 280)
    assert answer.complete == (True, True)
    assert answer.average == 10 / 280


def test_a_calendar_month_that_runs_is_not_in_the_average(
    october: Flask, ask: Any
) -> None:
    asked = {"num_days": 3, "window": "month"}
    answer = ask.stickiness("came", as_of=date(2024, 11, 1), **asked)
    assert answer.window == (310, 310, 10)
    assert answer.complete == (True, True, False)
    assert answer.average == 10 / 310
    assert answer.notes() == ("2024-11 is counted up to 2024-11-01.",)
    # As of a day in the middle, what comes later in its month does not count.
    early = ask.stickiness("came", as_of=date(2024, 10, 5), **asked)
    assert early.window == (50, 50, 50)
    assert early.complete == (False, False, False)
    assert early.average is None
    assert early.notes()[-1] == "No period is complete yet."
    assert early.to_dict()["average"] is None
    assert "average" not in str(early)


def test_today_counts_on_and_is_not_in_the_average(app: Flask, ask: Any) -> None:
    with app.app_context():
        mark_event("came", 1)
    answer = ask.stickiness("came", num_days=1)
    assert answer.complete == (False,)
    assert answer.ratios == (1.0,)
    assert answer.average is None
    assert answer.exactly == (0, 1)
    assert answer.notes() == (
        "This includes today, which is not over yet.",
        "No period is complete yet.",
    )
    page = text_of(
        app.test_client().get("/bitmapist/stickiness?event=came&num_days=1").text
    )
    assert (
        "This includes today, which is not over yet. No period is complete yet." in page
    )
    assert "so far" in page
    assert "Days active in the last day" in page


def test_the_page_says_what_its_json_and_csv_say(october: Flask) -> None:
    client = october.test_client()
    url = "/bitmapist/stickiness?event=came&num_days=3&window=month&as_of=2024-11-01"
    told = client.get(url + "&format=json").get_json()
    sentence = (
        "Stickiness of came in the last 3 days, compared with the calendar month, "
        "to 2024-11-01"
    )
    assert told["question"] == sentence
    assert told["asked"] == {
        **{"event": "came", "num_days": 3, "window": "month", "as_of": "2024-11-01"}
    }
    assert told["complete"] == [True, True, False]
    assert told["distribution"] == {
        "exactly": [0, 30, 0, 0],
        "at_least": [30, 30, 0, 0],
    }
    page = client.get(url).text
    shown = sentence.replace("2024-11-01", "1 Nov 2024")
    assert page.count(shown) >= 2, "heading and title"
    assert "3.2%" in text_of(page)
    rows = re.findall(r"<tr[^>]*>.*?</tr>", page[page.index("<tbody") :], re.DOTALL)
    assert 'class="bm-part"' in rows[0]
    assert "bm-part" not in rows[1]
    # Rows go as far as there is anybody.
    table = page[page.index('id="bm-distribution"') :]
    assert text_of(table[table.index("<tbody") :]).split()[:3] == ["1", "30", "30"]
    assert table.count("<tr>") == 2
    sheet = list(csv.reader(io.StringIO(client.get(url + "&format=csv").text)))
    assert sheet[0] == [
        *("day", "complete", "users", "users of calendar month", "stickiness"),
        *("start", "end"),
    ]
    assert sheet[-1][:5] == ["2024-11-01", "False", "10", "10", "1.0"]


def test_a_page_about_nobody_says_so(october: Flask) -> None:
    page = october.test_client().get(
        "/bitmapist/stickiness?event=came&as_of=2020-01-31"
    )
    assert page.status_code == 200
    assert "Nobody was active on any of these days." in page.text


def test_users_of_a_number_of_days(app: Flask, ask: Any) -> None:
    with app.app_context():
        for user, days in ((1, 1), (2, 2), (3, 3)):
            for day in range(days):
                mark_event("came", user, now=utc("2024-11-01") + timedelta(day))
    answer = ask.stickiness("came", num_days=3, as_of=date(2024, 11, 3))
    assert answer.exactly == (0, 1, 1, 1)
    assert list(answer.users(days=2)) == [2]
    assert list(answer.users(days=2, at_least=True)) == [2, 3]
    assert answer.users(days=2, at_least=True).selection.text == (
        "came on at least 2 of 3 days up to 2024-11-03"
    )
    with pytest.raises(QueryError, match="from 1 to 3") as error:
        answer.users(days=4)
    assert error.value.field == "days"

    client = app.test_client()
    since = (utc_now().date() - date(2024, 10, 31)).days
    page = client.get(f"/bitmapist/stickiness?event=came&num_days={since}").text
    cells = re.findall(r'<td[^>]*><a href="([^"]+)">([\d,]+)<', page)
    assert len(cells) == 6
    for link, shown in cells:
        url = link.replace("&amp;", "&")
        assert "as_of" not in url
        assert client.get(url + "&format=json").get_json()["total"] == int(shown)


def test_the_command_asks_the_same(october: Flask, ask: Any) -> None:
    run = october.test_cli_runner().invoke
    asked = ["stickiness", "came", "--num-days", "3", "--as-of", "2024-11-01"]
    answer = ask.stickiness("came", num_days=3, as_of="2024-11-01")
    told = run(args=["bitmapist", *asked])
    assert told.stdout.strip() == str(answer)
    assert "3.6% on average over complete days" in told.stdout
    assert told.stderr.splitlines()[-1] == (
        "Stickiness of came in the last 3 days, compared with the last 28 days, "
        "to 2024-11-01"
    )
    as_json = json.loads(run(args=["bitmapist", *asked, "--json"]).stdout)
    assert as_json == answer.to_dict()
    users = run(args=["bitmapist", *asked, "--users", "--days", "1", "--at-least"])
    assert len(users.stdout.split()) == 30


WRONG = [
    ("event=cam", "event", "Did you mean &#39;came&#39;?"),
    ("event=&num_days=1", "event", "This field is required."),
    ("event=came&num_days=0", "num_days", "from 1 to 10,000"),
    ("event=came&window=year", "window", "Use one of rolling, month."),
    ("event=came&days=31", "days", "from 1 to 30"),
    ("event=came&at_least=y", "days", "This field is required."),
]


@pytest.mark.parametrize("surface", ["standalone", "admin"])
def test_what_is_wrong_is_told_beside_its_field(app: Flask, surface: str) -> None:
    check_wrong(app, surface, "stickiness", "event=came&num_days=1", WRONG)


def test_the_window_is_four_weeks_unless_a_month_is_asked_for() -> None:
    assert Stickiness("came") == Stickiness("came", num_days=30, window="rolling")
