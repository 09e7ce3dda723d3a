"""The sample of real purchases: imported, asked, and held against plain sets."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient, FlaskCliRunner

from flask_bitmapist import (
    FlaskBitmapist,
    chain_events,
    get_cohort,
    get_event_data,
)

from . import cdnow
from .reference import Reference, end_of, utc
from .servers import RedisProcess

JUNE_30 = utc("1998-06-30T23:59")


@pytest.fixture(scope="module")
def app() -> Iterator[Flask]:
    """An app with the sample imported by its own command, on a server of its own.

    It takes a second to import, and tests only ask.
    """
    with RedisProcess() as server:
        app = Flask("tracked")
        app.config.update(BITMAPIST_REDIS_URL=server.url, BITMAPIST_ACCESS="public")
        FlaskBitmapist(app)
        printed(app, "import", str(cdnow.FILE))
        yield app


@pytest.fixture
def ask(app: Flask) -> Callable[..., str]:
    """Run a command and get what it prints."""
    return lambda *arguments: printed(app, *arguments)


def printed(app: Flask, *arguments: str) -> str:
    runner: FlaskCliRunner = app.test_cli_runner()
    result = runner.invoke(args=["bitmapist", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def fetch(app: Flask) -> Callable[..., Any]:
    """Ask the cohort page for JSON."""
    client: FlaskClient = app.test_client()

    def get(**parameters: str) -> Any:
        answer = client.get(
            "/bitmapist/cohort", query_string={"format": "json", **parameters}
        )
        assert answer.status_code == 200, answer.text
        return answer.json

    return get


def reference(group: str, as_of: datetime = JUNE_30) -> Reference:
    return Reference(cdnow.marks(), group, as_of)


def test_the_known_figures_of_the_sample_are_there(app: Flask) -> None:
    purchases = [mark for mark in cdnow.marks() if mark.event == "purchase"]
    assert len(purchases) == 6_919
    with app.app_context():
        ever = get_event_data("purchase", "years", utc("1997-12-31"))
        assert len(ever) == len({mark.user for mark in purchases}) == 2_357
    first = reference("months").before("purchase", (1997, 4))
    assert len(first) == 2_357, "every first purchase is in January to March 1997"


@pytest.mark.parametrize("returned", ["each", "first", "on-or-after"])
@pytest.mark.parametrize(
    ("group", "rows", "cols", "as_of"),
    [
        ("months", 18, 12, "1998-06-30"),
        ("weeks", 12, 9, "1998-01-25"),  # across a New Year: 1997-W52, 1998-W01
        ("weeks", 6, 6, "1997-01-10"),
        ("days", 31, 13, "1997-03-10"),
        ("years", 3, 3, "1998-06-30"),
    ],
)
def test_the_cohort_page_gives_the_numbers_of_plain_sets(
    fetch: Callable[..., Any],
    group: str,
    rows: int,
    cols: int,
    as_of: str,
    returned: str,
) -> None:
    parameters = {
        "primary_event": "purchase",
        "secondary_event": "purchase",
        "time_group": group,
        "num_rows": str(rows),
        "num_cols": str(cols),
        "as_of": as_of,
    }
    got = fetch(**parameters, returned=returned, cells="users")

    plain = reference(group, end_of(utc(as_of).date()))
    users = plain.users("purchase")
    sizes, cells = plain.cohort_counts(
        users, users, rows, cols, returned=returned, is_same=True
    )
    assert got["row_totals"] == sizes
    assert got["cohort"] == cells
    assert got["total"] == sum(sizes)
    assert got["col_totals"] == [
        sum(row[column] or 0 for row in cells) for column in range(cols)
    ]


def test_the_first_row_of_the_monthly_cohort_is_what_the_literature_knows(
    fetch: Callable[..., Any],
) -> None:
    got = fetch(
        primary_event="purchase",
        secondary_event="purchase",
        time_group="months",
        num_rows="18",
        num_cols="12",
        as_of="1998-06-30",
        cells="users",
    )
    assert got["dates"][0] == "1997-01"
    assert got["row_totals"][:3] == [781, 981, 948]
    assert got["cohort"][0] == [781, 124, 95, 70, 65, 77, 65, 53, 52, 45, 62, 59]


def test_averages_are_weighted_and_leave_out_what_is_not_over(
    fetch: Callable[..., Any],
) -> None:
    got = fetch(
        primary_event="purchase",
        secondary_event="purchase",
        time_group="months",
        num_rows="4",
        num_cols="4",
        as_of="1997-04-29",
        cells="users",
    )
    sizes, cells = got["row_totals"], got["cohort"]
    assert got["averages"] == [
        1.0,
        pytest.approx((cells[0][1] + cells[1][1]) / (sizes[0] + sizes[1])),
        pytest.approx(cells[0][2] / sizes[0]),
        None,  # only the period that is not over has a value here
    ]


@pytest.mark.parametrize(
    "operators", ["and", "or", "and or", "or and", "or or", "and or and"]
)
def test_chains_of_and_and_or_give_the_numbers_of_plain_sets(
    fetch: Callable[..., Any], operators: str
) -> None:
    names = ["big", "multi", "purchase"]
    additional = list(zip(names, operators.split()))
    got = fetch(
        primary_event="purchase",
        secondary_event="multi",
        time_group="months",
        num_rows="6",
        num_cols="6",
        as_of="1997-09-30",
        cells="users",
        **{
            f"additional_events-{number}-{part}": value
            for number, entry in enumerate(additional)
            for part, value in zip(("name", "op"), entry)
        },
    )
    plain = reference("months", utc("1997-09-30T12:00"))

    def chained(key: Any) -> set[int]:
        groups = [set(plain.users("multi")(key))]
        for name, operator in additional:
            users = plain.users(name)(key)
            if operator == "or":
                groups[-1] |= users
            else:
                groups.append(set(users))
        return set.intersection(*groups)

    sizes, cells = plain.cohort_counts(plain.users("purchase"), chained, 6, 6)
    assert got["row_totals"] == sizes
    assert got["cohort"] == cells


def test_the_functions_of_version_0_1_give_the_numbers_of_plain_sets(
    app: Flask,
) -> None:
    with app.app_context():
        rows, dates, totals = get_cohort(
            "purchase",
            "purchase",
            [{"name": "big", "op": "and"}, {"name": "multi", "op": "or"}],
            time_group="month",
            num_rows=5,
            num_cols=3,
            now=JUNE_30,
        )
        plain = reference("months")
        users = {name: plain.users(name) for name in ("purchase", "big", "multi")}

        def chained(key: Any) -> set[int]:
            return users["purchase"](key) & (users["big"](key) | users["multi"](key))

        sizes, cells = plain.cohort_counts(
            users["purchase"], chained, 5, 3, returned="first"
        )
        assert (rows, totals) == (cells, sizes)
        assert [(each.year, each.month) for each in dates] == plain.keys(5)

        both = chain_events(
            "big", [{"name": "multi", "op": "and"}], utc("1997-03-01"), "months"
        )
        expected = users["big"]((1997, 3)) & users["multi"]((1997, 3))
        assert len(both) == len(expected)
        assert set(both) == expected
        assert all(user in both for user in expected)


# The seven questions, each by Python and by the command line.  Customer 1 bought on
# 1 January 1997 (a Wednesday) and on 18 January, and never again.


def test_question_1_has_a_user_been_online_today_this_week_this_month(
    app: Flask, ask: Callable[..., str]
) -> None:
    query = app.extensions["bitmapist"].query
    on = {"as_of": utc("1997-01-19").date()}
    assert not query.has(1, "purchase", "day", **on)
    assert query.has(1, "purchase", "week", **on)
    assert query.has(1, "purchase", "month", **on)
    assert ask("has", "1", "purchase", "--as-of", "1997-01-19").splitlines() == [
        "1997-01-19  no",
        "1997-W03    yes",
        "1997-01     yes",
        "1997-Q1     yes",
        "1997        yes",
    ]


def test_question_2_has_a_user_performed_an_action(
    app: Flask, ask: Callable[..., str]
) -> None:
    query = app.extensions["bitmapist"].query
    on = {"as_of": utc("1997-01-31").date()}
    assert query.has(1, "multi", "month", **on)
    assert not query.has(1, "big", "month", **on)
    arguments = ("-g", "month", "--as-of", "1997-01-31")
    assert ask("has", "1", "multi", *arguments) == "yes\n"
    no = app.test_cli_runner().invoke(args=["bitmapist", "has", "1", "big", *arguments])
    assert (no.stdout, no.exit_code) == ("no\n", 1)


def test_question_3_how_many_users_were_active_this_month_and_this_hour(
    app: Flask, ask: Callable[..., str], make_app: Callable[..., Flask]
) -> None:
    query = app.extensions["bitmapist"].query
    assert query.count("purchase", "month", as_of=utc("1997-01-31").date()) == 781
    assert ask("count", "purchase", "-g", "months", "--as-of", "1997-01-31") == "781\n"
    # Hours are kept where it is asked for.
    hourly = make_app()
    printed(hourly, "import", "--hourly", str(cdnow.FILE))
    noon = reference("hours").users("purchase")((utc("1997-01-01").date(), 12))
    count = hourly.extensions["bitmapist"].query.count
    assert count("purchase", "hour", as_of=utc("1997-01-01T12:30")) == len(noon) == 18
    at_noon = ("-g", "hour", "--as-of", "1997-01-01T12:30")
    assert printed(hourly, "count", "purchase", *at_noon) == "18\n"


def test_question_4_how_many_unique_users_performed_an_action_this_week(
    app: Flask, ask: Callable[..., str]
) -> None:
    query = app.extensions["bitmapist"].query
    counts = []
    for day in ("1997-01-10", "1997-01-12"):  # a Friday, and the end of the week
        up_to = reference("weeks", end_of(utc(day).date()))
        expected = len(up_to.users("big")((1997, 2)))
        assert query.count("big", "week", as_of=utc(day).date()) == expected > 0
        told = ask("count", "big", "-g", "week", "--as-of", day)
        assert told == f"{expected}\n"
        counts.append(expected)
    assert counts[0] < counts[1]


@pytest.mark.parametrize(
    ("group", "as_of", "before", "now"),
    [
        ("weeks", "1998-01-02", (1997, 52), (1998, 1)),  # question 5
        ("months", "1997-02-28", (1997, 1), (1997, 2)),  # question 6
    ],
)
def test_questions_5_and_6_what_share_of_the_last_period_is_still_active(
    app: Flask,
    ask: Callable[..., str],
    group: str,
    as_of: str,
    before: Any,
    now: Any,
) -> None:
    users = reference(group, end_of(utc(as_of).date())).users("purchase")
    still = len(users(before) & users(now)) / len(users(before))
    if group == "months":
        assert still == 124 / 781

    result = app.extensions["bitmapist"].query.cohort(
        "purchase",
        "purchase",
        time_group=group,
        num_rows=2,
        num_cols=2,
        as_of=utc(as_of).date(),
    )
    assert result.shares[0][1] == still
    arguments = ("-g", group, "-r", "2", "-c", "2", "--as-of", as_of)
    told = json.loads(ask("cohort", "purchase", *arguments, "--json"))
    assert told["cohort"][0][1] == still
    assert f"{still:.1%}" in ask("cohort", "purchase", *arguments)


def test_question_7_which_users_performed_an_action(
    app: Flask, ask: Callable[..., str]
) -> None:
    expected = sorted(reference("days").users("big")(utc("1997-01-01").date()))
    query = app.extensions["bitmapist"].query
    assert list(query.users("big", "day", as_of=utc("1997-01-01").date())) == expected
    told = ask("users", "big", "--as-of", "1997-01-01")
    assert [int(line) for line in told.split()] == expected
