"""Cohorts: who comes back, against plain sets and on every surface."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from datetime import date, datetime, timezone
from typing import Any, Literal

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from flask_bitmapist import (
    QueryError,
    chain_events,
    get_cohort,
    get_event_data,
    mark_event,
    mark_unique,
)
from flask_bitmapist.query import Query
from flask_bitmapist.questions import ParameterError

from .inside import Cohort
from .reference import Mark, Reference, utc
from .strategies import USERS, exact, expressions, groups, histories

counts = st.integers(1, 7)
Returned = Literal["each", "first", "on-or-after"]
returns: st.SearchStrategy[Returned] = st.sampled_from(["each", "first", "on-or-after"])


@exact
@given(data=st.data(), group=groups, rows=counts, cols=counts, returned=returns)
def test_a_cohort_has_the_users_of_plain_sets(
    ask: Callable[..., Query],
    data: st.DataObject,
    group: str,
    rows: int,
    cols: int,
    returned: Returned,
) -> None:
    marks, as_of = data.draw(histories(group, after=True))
    flagged = data.draw(st.sets(st.sampled_from(USERS)))
    first_time = data.draw(st.booleans())
    primary, of_primary = data.draw(expressions)
    secondary, of_secondary = data.draw(expressions | st.just((primary, of_primary)))
    within, of_within = data.draw(expressions | st.just((None, None)))
    question = Cohort(
        primary,
        secondary,
        time_group=group,  # type: ignore[arg-type]
        num_rows=rows,
        num_cols=cols,
        returned=returned,
        first_time=first_time,
        within=within,
        as_of=as_of,
    )
    answer = ask(marks, flagged)(question)

    plain = Reference(marks, group, as_of)
    everyone, cells = plain.cohort(
        plain.users_of(of_primary, flagged),
        plain.users_of(of_secondary, flagged),
        rows,
        cols,
        returned=returned,
        first_time=first_time,
        within=None if within is None else plain.users_of(of_within, flagged),
        is_same=answer.is_same,
    )
    assert answer.is_same or secondary != primary
    assert list(answer.sizes) == [len(users) for users in everyone]
    assert [list(row) for row in answer.counts] == [
        [None if users is None else len(users) for users in row] for row in cells
    ]
    over = [plain.is_complete(key) for key in plain.keys(rows)]
    assert list(answer.row_complete) == over
    assert [list(row) for row in answer.complete] == [
        [
            returned != "on-or-after" and i + j < rows and over[i + j]
            for j in range(cols)
        ]
        for i in range(rows)
    ]
    for j, average in enumerate(answer.averages):
        kept = [
            (len(cells[i][j] or ()), len(everyone[i]))
            for i in range(rows)
            if answer.complete[i][j] and everyone[i]
        ]
        matched, users = (sum(column) for column in zip(*kept)) if kept else (0, 0)
        assert average == (matched / users if users else None)
    for period, users, row in zip(answer.periods, everyone, cells):
        assert set(answer.users(period=period.label)) == users
        for column, behind in enumerate(row):
            if behind is not None:
                assert set(answer.users(period=period.label, column=column)) == behind


@exact
@given(data=st.data(), group=groups, rows=counts)
def test_an_unfinished_period_changes_no_average(
    ask: Callable[..., Query], data: st.DataObject, group: str, rows: int
) -> None:
    marks, as_of = data.draw(histories(group))
    asked = {"time_group": group, "num_rows": rows, "num_cols": 3, "as_of": as_of}
    before = ask(marks)(Cohort("a", "b", **asked)).averages
    key = Reference(marks, group, as_of).keys(1)[0]
    if Reference(marks, group, as_of).is_complete(key):
        return
    for event in "ab":
        marks = [*marks, *(Mark(event, user, as_of) for user in USERS[:5])]
    assert ask(marks)(Cohort("a", "b", **asked)).averages == before


# --- What its numbers mean, by example: users 1 to 4 came on 3 June 2026, of them 1 and
# 2 again on the 4th, and 1 on the 5th


def day(number: int, month: int = 6) -> datetime:
    return datetime(2026, month, number, 12, tzinfo=timezone.utc)


def came(app: Flask) -> Query:
    with app.app_context():
        for at, users in ((3, (1, 2, 3, 4)), (4, (1, 2)), (5, (1,))):
            for user in users:
                mark_event("came", user, now=day(at))
        mark_event("paid", 2, now=day(4))
        query: Query = app.extensions["bitmapist"].query
        return query


@pytest.fixture
def query(app: Flask) -> Query:
    return came(app)


DAYS: Any = {
    "time_group": "days",
    "num_rows": 3,
    "num_cols": 3,
    "as_of": date(2026, 6, 5),
}


def test_what_is_left_out_is_by_week_every_return_and_the_same_event(
    query: Query,
) -> None:
    answer = query.cohort("came")
    assert (len(answer.periods), answer.question.num_cols) == (12, 12)
    assert answer.to_dict()["time_group"] == "weeks"
    assert answer == query.cohort("came", "came", returned="each")
    # Once, a new form said that nobody ever comes back.
    assert query.cohort("came", **DAYS).counts[0] == (4, 2, 1)


def test_the_first_return_to_the_same_event_is_looked_for_after_the_row(
    query: Query,
) -> None:
    same = query.cohort("came", returned="first", **DAYS)
    assert same.counts == ((4, 2, 0), (2, 1, None), (1, None, None))
    assert set(same.users(period="2026-06-03", column=1)) == {1, 2}
    assert set(same.users(period="2026-06-03", column=0)) == {1, 2, 3, 4}
    # Another event counts from the row's own period on.
    other = query.cohort("came", "came or paid", returned="first", **DAYS)
    assert other.counts == ((4, 0, 0), (2, 0, None), (1, None, None))


def test_a_day_that_is_over_is_complete_and_nothing_after_it_counts(
    app: Flask, query: Query
) -> None:
    with app.app_context():
        mark_event("came", 9, now=day(30, 5))
        mark_event("came", 9, now=day(30))
    asked: Any = {"time_group": "months", "num_rows": 2, "num_cols": 2}
    closed = query.cohort("came", as_of=date(2026, 6, 30), **asked)
    assert closed.row_complete == (True, True)
    assert closed.counts == ((1, 1), (5, None))
    assert closed.averages == (1.0, 1.0)
    middle = query.cohort("came", as_of=date(2026, 6, 29), **asked)
    assert middle.counts == ((1, 0), (4, None))
    assert middle.complete == ((True, False), (False, False))
    assert middle.averages == (1.0, None)
    assert "2026-06 is counted up to 2026-06-29." in middle.notes()
    assert set(middle.users(period="2026-06")) == {1, 2, 3, 4}


def test_on_or_after_is_never_complete(query: Query) -> None:
    answer = query.cohort("came", returned="on-or-after", **DAYS)
    assert answer.counts == ((4, 2, 1), (2, 1, None), (1, None, None))
    assert not any(map(any, answer.complete))
    assert answer.averages == (None, None, None)
    assert answer.notes()[0] == (
        "Each cell counts users who came back in that day or later, by 2026-06-05."
    )


def test_the_headline_is_of_complete_periods(query: Query) -> None:
    said = query.cohort("came", **DAYS).notes()
    assert said == ("On average, 50.0% came back in day 1.",)
    once = query.cohort("came", returned="first", **DAYS).notes()
    assert once == ("On average, 50.0% first came back in day 1.",)
    running = {**DAYS, "time_group": "years", "num_rows": 1}
    assert "No period is complete yet." in query.cohort("came", **running).notes()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            {"within": "flag(premium)", "first_time": True},
            "Weekly retention of purchase, new users only, among flag(premium)",
        ),
        (
            {"secondary_event": "visit", "time_group": "months"},
            "Monthly retention from purchase to visit",
        ),
        (
            {"returned": "first", "time_group": "hour"},
            "Hourly retention of purchase, first return only",
        ),
        (
            {"returned": "on-or-after", "time_group": "day"},
            "Daily retention of purchase, on or after",
        ),
    ],
)
def test_a_sentence_says_what_is_asked(asked: dict[str, Any], said: str) -> None:
    assert Cohort("purchase", **asked).sentence() == said


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"num_rows": 0}, "num_rows"),
        ({"num_rows": True}, "num_rows"),
        ({"num_rows": 1001}, "num_rows"),
        ({"num_cols": -1}, "num_cols"),
        ({"num_cols": 1001}, "num_cols"),
        ({"time_group": "eons"}, "time_group"),
        ({"returned": "sometimes"}, "returned"),
        ({"cells": "both"}, "cells"),
        ({"within": ""}, "within"),
        ({"primary_event": ""}, "primary_event"),
        ({"secondary_event": 5}, "secondary_event"),
        ({"as_of": "yesterday"}, "as_of"),
    ],
)
def test_what_cannot_be_asked_is_told_by_parameter(
    wrong: dict[str, Any], field: str
) -> None:
    with pytest.raises(ParameterError) as caught:
        Cohort(**{"primary_event": "came", **wrong})
    assert list(caught.value.wrong) == [field]


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"primary_event": "not came"}, "primary_event"),
        ({"primary_event": "cmae"}, "primary_event"),
        ({"secondary_event": "came or"}, "secondary_event"),
        ({"within": "flag(premum)"}, "within"),
        ({"time_group": "years", "num_rows": 1000, "as_of": date(900, 1, 1)}, None),
    ],
)
def test_what_has_no_answer_is_told_by_parameter(
    query: Query, asked: dict[str, Any], field: str | None
) -> None:
    with pytest.raises(QueryError) as caught:
        query.cohort(**{"primary_event": "came", **asked})
    assert caught.value.field == field


def test_a_secondary_event_may_be_a_not_as_its_row_bounds_it(query: Query) -> None:
    assert query.cohort("came", "not paid", **DAYS).counts[1] == (1, 2, None)


def test_there_are_no_users_behind_a_number_that_there_is_not(query: Query) -> None:
    answer = query.cohort("came", **DAYS)
    for wrong, field in (
        ({"period": "2026-06-02"}, "period"),
        ({"period": "2026-06-04", "column": 2}, "column"),
        ({"period": "2026-06-03", "column": 3}, "column"),
        ({"period": "2026-06-03", "column": -1}, "column"),
    ):
        with pytest.raises(QueryError) as caught:
            answer.users(**wrong)  # type: ignore[arg-type]
        assert caught.value.field == field


def test_hours_that_were_not_kept_are_unknown_and_not_nobody(
    app: Flask, make_app: Callable[..., Flask]
) -> None:
    came(app)
    asked: Any = {"time_group": "hours", "num_cols": 3, "as_of": day(6)}
    query = app.extensions["bitmapist"].query
    with pytest.raises(QueryError, match="BITMAPIST_TRACK_HOURLY"):
        query.cohort("came", num_rows=24, **asked)
    hourly = make_app(BITMAPIST_TRACK_HOURLY=True)
    with hourly.app_context():
        mark_event("came", 7, now=day(6))
        mark_event("came", 7, now=day(6).replace(hour=11))
    query = hourly.extensions["bitmapist"].query
    answer = query.cohort("came", num_rows=14, **asked)
    assert answer.periods[0].label == "2026-06-05T23"
    assert answer.sizes == (None, *(0,) * 11, 1, 1)
    assert answer.counts[0] == (None, None, None)
    assert answer.counts[-2:] == ((1, 1, None), (1, None, None))
    assert answer.total == 2
    with pytest.raises(QueryError, match="kept"):
        answer.users(period="2026-06-05T23")
    # Who was there in hours that are not known is told by their day.
    new = query.cohort("came", num_rows=14, first_time=True, **asked)
    assert new.sizes == (None, *(0,) * 11, 1, 0)
    # Some of this day were there when its hours were not recorded yet.
    with hourly.app_context():
        mark_event("came", 7, now=day(5))
    partly = query.cohort("came", num_rows=12, **{**asked, "as_of": day(5)})
    assert set(partly.sizes) == {None}
    assert "those are blank" in partly.warnings[0]


# --- 0.1.2's functions


def test_get_cohort_keeps_what_it_meant(app: Flask) -> None:
    came(app)
    with app.app_context():
        app.extensions["bitmapist"].named  # noqa: B018 - the names that are known
        rows, dates, totals = get_cohort(
            "came", "came", num_rows=3, num_cols=2, now=day(5)
        )
        # Who does the same event twice at once comes back at once.
        assert rows == [[4, 0], [2, 0], [1, None]]
        assert dates == [utc(f"2026-06-0{each}") for each in (3, 4, 5)]
        assert totals == [4, 2, 1]
        rows, _, totals = get_cohort(
            "came", "nobody", num_rows=1, num_cols=1, now=day(5)
        )
        assert (rows, totals) == ([[0]], [1])
        assert len(get_cohort("came", "came", time_group="week")[0]) == 10
        # A name is a name, whatever it looks like.
        mark_event("came or", 5, now=day(5))
        assert get_cohort("came or", "came", num_rows=1, num_cols=1, now=day(5))[2] == [
            1
        ]
        assert get_cohort("not came", "came", num_rows=1, now=day(5))[2] == [0]


def test_the_functions_of_0_1_2_read_the_period_of_now_whole(app: Flask) -> None:
    came(app)
    with app.app_context():
        monday = utc("2026-06-01T09:00")
        assert get_cohort("came", "came", (), "weeks", 1, 1, now=monday)[2] == [4]
        assert len(get_event_data("came", "weeks", monday)) == 4
        both = chain_events("came", [{"name": "paid", "op": "and"}], monday, "weeks")
        assert set(both) == {2}


def test_the_functions_of_0_1_2_know_what_is_defined(redis_url: str) -> None:
    from flask_bitmapist import FlaskBitmapist

    app = Flask("defining")
    app.config["BITMAPIST_REDIS_URL"] = redis_url
    extension = FlaskBitmapist(app)
    extension.define("either", "came or paid")
    came(app)
    with app.app_context():
        assert set(chain_events("either", [], day(4), "days")) == {1, 2}
        assert get_cohort("either", "paid", num_rows=1, num_cols=1, now=day(4))[0] == [
            [1]
        ]


# --- The surfaces


ASKED = "/bitmapist/cohort?primary_event=came"
JUNE = "&time_group=days&as_of=2026-06-05&num_rows=3&num_cols=3"


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    came(app)
    return app.test_client()


def test_the_smallest_cohort_has_a_page(client: FlaskClient) -> None:
    smallest = ASKED + "&num_rows=1&num_cols=1&as_of=2026-06-05"
    for more in ("", "&returned=on-or-after", "&returned=first", "&first_time=y"):
        page = client.get(smallest + more)
        assert page.status_code == 200
        assert "Week 0" in page.text
        assert "Week 1<" not in page.text


def test_the_page_says_what_is_complete(client: FlaskClient) -> None:
    page = client.get(ASKED + JUNE).text
    assert "On average, 50.0% came back in day 1." in page
    assert "<title>Daily retention of came" in page
    assert page.count('class="heat-whole') == 4
    assert "bm-part" not in page.partition("</table>")[0]
    later = client.get(ASKED + "&num_rows=1&num_cols=2&as_of=2026-06-05").text
    assert "to 5 Jun" in later
    assert "so far" not in later
    assert "No period is complete yet" in later
    assert (
        "All cells: by 5 Jun" in client.get(ASKED + JUNE + "&returned=on-or-after").text
    )


def test_an_answer_links_to_nothing_that_was_not_asked(client: FlaskClient) -> None:
    page = client.get(ASKED + "&num_rows=30&time_group=months").text
    links = re.findall(r'href="([^"]*)"', page)
    assert any("column=0" in link for link in links)
    assert not any("as_of" in link for link in links)


def test_json_and_csv_tell_what_is_complete(client: FlaskClient) -> None:
    asked = ASKED + JUNE.replace("2026-06-05", "2026-06-05") + "&cells=users"
    answer = client.get(asked + "&format=json").get_json()
    assert answer["question"] == "Daily retention of came, to 2026-06-05"
    assert answer["asked"]["cells"] == "users"
    assert answer["complete"] == [[True] * 3, [True, True, False], [True, False, False]]
    assert answer["row_complete"] == [True] * 3
    rows = list(csv.reader(io.StringIO(client.get(asked + "&format=csv").text)))
    assert rows[0] == [
        *("day", "users", "complete", "complete columns", "0", "1", "2"),
        *("start", "end"),
    ]
    assert rows[2][:7] == ["2026-06-04", "2", "True", "2", "2", "1", ""]


def test_a_body_by_the_names_of_the_parameters_is_answered_with_json(
    client: FlaskClient,
) -> None:
    url, json_please = "/bitmapist/cohort", {"Accept": "application/json"}
    body: dict[str, Any] = {"primary_event": "came", "as_of": "2026-06-05"}
    answer = client.post(url, json=body, headers=json_please).get_json()
    assert answer == client.get(ASKED + "&as_of=2026-06-05&format=json").get_json()
    cell = {**body, "time_group": "days", "period": "2026-06-03", "column": 2}
    behind = client.post(url, json=cell, headers=json_please)
    assert behind.get_json()["ids"] == [1]
    assert "no-store" in behind.headers["Cache-Control"]
    refused = client.post(url, json={**body, "num_row": 3}, headers=json_please)
    assert refused.status_code == 400
    assert "num_rows" in refused.get_json()["errors"]["num_row"][0]


def test_every_question_takes_a_body(client: FlaskClient) -> None:
    asked = {"events": ["came"], "num_periods": 2, "as_of": "2026-06-05"}
    answer = client.post("/bitmapist/trends", json=asked)
    assert answer.get_json()["series"][0]["counts"] == [2, 1]
    for wrong in ({"events": {}}, {"events": ["came"], "event": 1}, {}):
        refused = client.post("/bitmapist/trends", json=wrong)
        assert refused.status_code == 400
        assert refused.get_json()["errors"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("with_replacement=y", "returned=each"),
        ("with_replacement=false", "returned=first"),
        ("unbounded=y", "returned=on-or-after"),
        ("unbounded=n&with_replacement=y", ""),
        ("as_percent=n", "cells=users"),
        ("as_percent=y", "cells=percent"),
        ("flag=premium", "within=flag(premium)"),
        ("flag=premium&within=came", "within=came and flag(premium)"),
        (
            "secondary_event=came&additional_events-0-name=paid"
            "&additional_events-1-name=came&additional_events-1-op=or",
            "secondary_event=came and (paid or came)",
        ),
        (
            "additional_events-0-name=paid&additional_events-0-op=or",
            "secondary_event=came or paid",
        ),
    ],
)
def test_old_names_in_a_url_mean_what_they_meant(
    client: FlaskClient, app: Flask, old: str, new: str
) -> None:
    with app.app_context():
        mark_unique("premium", 1)
    asked = ASKED + JUNE + "&format=json&"
    answer = client.get(asked + old)
    assert answer.status_code == 200
    assert answer.get_json() == client.get(asked + new).get_json()


def test_a_form_may_be_posted_as_well(client: FlaskClient) -> None:
    body = {
        "primary_event": "came",
        "secondary_event": "came",
        "num_rows": "3",
        "with_replacement": "true",
        "as_of": "2026-06-05",
        "additional_events-0-name": "paid",
        "additional_events-0-op": "or",
    }
    answer = client.post("/bitmapist/cohort?json=true", data=body).get_json()
    assert answer["cohort"][0][:3] == [4, 2, 1]
    assert (answer["num_cols"], answer["time_group"]) == (3, "days")
    assert "<table" in client.post("/bitmapist/cohort", data=body).text


def test_the_command_asks_the_same(app: Flask, query: Query) -> None:
    runner = app.test_cli_runner()
    arguments = [
        "bitmapist",
        "cohort",
        "came",
        "paid",
        "-g",
        "day",
        "-r",
        "3",
        "-c",
        "3",
    ]
    asked = [*arguments, "--as-of", "2026-06-05", "--returned", "first"]
    told = runner.invoke(args=asked)
    assert told.exit_code == 0, told.output
    assert "Daily retention from came to paid, first return only" in told.stderr
    assert "25.0%" in told.stdout
    users = runner.invoke(
        args=[*asked, "--users", "--period", "2026-06-03", "--column", "1"]
    )
    assert users.stdout.split() == ["2"]
    wrong = runner.invoke(args=[*asked, "--num-rows", "0"])
    assert (wrong.exit_code, "num_rows" in wrong.output) == (2, True)
