"""How many, whether one, which ones, and one person: on every surface."""

from __future__ import annotations

import csv
import io
import json
import uuid
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from enum import Enum
from typing import Any

import numpy as np
import pytest
import redis
from click.testing import Result
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.local import LocalProxy

from flask_bitmapist import (
    FlaskBitmapist,
    QueryError,
    chain_events,
    get_event_data,
    mark_event,
    mark_unique,
)
from flask_bitmapist.query import Query
from flask_bitmapist.questions import ParameterError

from .inside import Count, Has, Person, Users
from .reference import KEYS, Reference, last_keys, last_moment, utc
from .strategies import EVENTS, USERS, exact, expressions, groups, histories

MakeApp = Callable[..., Flask]


def run(app: Flask, *words: str) -> Result:
    return app.test_cli_runner().invoke(args=["bitmapist", *words])


# --- Numbers


@exact
@given(
    data=st.data(),
    group=groups,
    asked=expressions,
    flagged=st.sets(st.sampled_from(USERS)),
)
def test_what_is_told_of_a_period_is_what_plain_sets_tell(
    ask: Callable[..., Query],
    data: st.DataObject,
    group: Any,
    asked: Any,
    flagged: set[int],
) -> None:
    marks, as_of = data.draw(histories(group))
    after = data.draw(st.integers(0, 400))
    # The question is put somewhere amid the marks: some are later than its day.
    as_of -= timedelta(days=after)
    expression, meaning = asked
    text = str(expression)
    plain = Reference(marks, group, as_of)
    (key,) = plain.keys(1)
    expected = plain.users_of(meaning, flagged)(key)
    query = ask(marks, flagged)
    assert query.count(text, group, as_of=as_of) == len(expected)
    assert list(query.users(text, group, as_of=as_of)) == sorted(expected)
    assert {
        user for user in USERS if query.has(user, text, group, as_of=as_of)
    } == expected
    answer = query(Count(text, as_of=as_of))
    counts = answer.by_group(answer.counts)
    assert counts[group[:-1]] == len(expected)


@exact
@given(data=st.data(), num_days=st.integers(1, 70), user=st.sampled_from(USERS))
def test_a_person_is_told_what_plain_sets_tell(
    ask: Callable[..., Query], data: st.DataObject, num_days: int, user: int
) -> None:
    marks, as_of = data.draw(histories("weeks"))
    as_of -= timedelta(days=data.draw(st.integers(0, 20)))
    answer = ask(marks, {user}).person(user, num_days=num_days, as_of=as_of)

    end = last_moment("hours", KEYS["hours"](as_of))
    own = [m for m in marks if m.user == user and m.at <= end]
    days = last_keys("days", num_days, as_of)
    for event in EVENTS:
        did = sorted({m.at.date() for m in own if m.event == event} & set(days))
        got = [day.start.date() for day in answer.active_days.get(event, ())]
        assert got == did
        for group in ("days", "weeks", "months", "years"):
            now = any(
                m.event == event and KEYS[group](m.at) == KEYS[group](as_of)
                for m in own
            )
            assert (group in list(answer.current[event])) == now
    every = sorted({m.at.date() for m in own} & set(days))
    told = answer.to_dict()
    assert told["first_day"] == (every[0].isoformat() if every else None)
    assert told["last_day"] == (every[-1].isoformat() if every else None)
    assert told["flags"] == ["flagged"]
    shown = [day for _, week in answer.weeks() for day in week if day is not None]
    assert [day.day.start.date() for day in shown] == days
    assert [day.day.start.date() for day in shown if day.events] == every


def test_nothing_after_the_day_counts(app: Flask) -> None:
    query = app.extensions["bitmapist"].query
    with app.app_context():
        mark_event("open", 1, now=utc("2026-11-03"))
        mark_event("open", 2, now=utc("2026-11-25"))
        on = date(2026, 11, 5)
        assert query.count("open", "month", as_of=on) == 1
        assert query.count("open", "year", as_of=on) == 1
        assert not query.has(2, "open", "month", as_of=on)
        assert list(query.users("open", "year", as_of=on)) == [1]
        assert query.person(2, as_of=on).to_dict()["active"]["month"] is False
        # The functions of version 0.1 read the whole period.
        assert list(get_event_data("open", "months", utc("2026-11-05"))) == [1, 2]
        assert list(get_event_data("open", "years", utc("2026-11-05"))) == [1, 2]
        assert list(get_event_data("open", "days", utc("2026-11-05"))) == []


def test_a_period_is_complete_when_it_has_ended(app: Flask) -> None:
    query = app.extensions["bitmapist"].query
    with app.app_context():
        mark_event("open", 1, now=utc("2024-05-31"))
        told = query(Count("open", as_of=date(2024, 5, 31))).to_dict()
        assert told["complete"] == {
            **{"day": True, "week": False, "month": True},
            **{"quarter": False, "year": False},
        }
        assert told["counts"] == dict.fromkeys(told["complete"], 1)
        assert told["periods"]["week"] == "2024-W22"
        today = query(Users("open"))
        assert not today.complete
        assert query(Users("open", as_of=date(2024, 5, 31))).complete


def test_hours_are_told_only_where_they_are_kept(make_app: MakeApp) -> None:
    app = make_app()
    query = app.extensions["bitmapist"].query
    with app.app_context():
        mark_event("e", 1)
        answer = query(Count("e"))
        assert answer.to_dict()["counts"]["hour"] is None
        assert answer.count == answer.to_dict()["counts"]["day"] == 1
        assert "BITMAPIST_TRACK_HOURLY" in answer.warnings[0]
        for question in (Count("e", "hour"), Has(1, "e", "hour"), Users("e", "hours")):
            with pytest.raises(QueryError, match="BITMAPIST_TRACK_HOURLY") as error:
                query(question)
            assert error.value.field == "time_group"
        mark_event("kept", 1, track_hourly=True)
        assert query(Count("kept")).to_dict()["counts"]["hour"] == 1
        assert query.count("kept", "hour") == 1
    assert run(app, "count", "e", "-g", "hour").exit_code == 2


# --- Who a user is


NUMBERS: list[Any] = [7, 123]
NAMED: list[Any] = [123, "ana@example.org"]


@pytest.mark.parametrize(
    ("id_map", "marked"),
    [(False, NUMBERS), ("auto", NUMBERS), (True, NAMED), ("auto", NAMED[::-1])],
    ids=["numbers", "numbers by the first mark", "keys", "keys by the first mark"],
)
def test_every_surface_means_the_same_user(
    make_app: MakeApp, id_map: Any, marked: list[Any]
) -> None:
    app = make_app(BITMAPIST_ID_MAP=id_map)
    query = app.extensions["bitmapist"].query
    holds_keys = marked is not NUMBERS
    nobody: list[Any] = [0, 1, "0", "bob@example.org"] if holds_keys else [0, 1, "8"]
    names = marked
    with app.app_context():
        for user in marked:
            mark_event("e", user)
        users = query.users("e")
        assert list(users) == list(users.get_uuids()) == names
        assert list(users.page().ids) == names
        assert list(get_event_data("e")) == names
        assert list(users.bits) == ([0, 1] if holds_keys else [7, 123])
        assert list(query.trend("e").users(period=today())) == names
        assert users.get_count() == 2
        assert users.has_events_marked()
        for user in marked:
            assert query.has(user, "e")
            assert user in users
            assert query.person(user).to_dict()["active"]["day"] is True
        for user in nobody:
            assert not query.has(user, "e")
            assert user not in users
            assert query.person(user).to_dict()["active"]["day"] is False
        for user in (np.int64(123), "123", np.uint8(123), Level.MOST):
            assert user in users
            assert query.has(user, "e")
            assert query.person(user).user == 123
        for wrong in (True, np.bool_(True), 1.0, None, b"123", [123]):
            assert wrong not in users
            with pytest.raises(QueryError) as error:
                query.has(wrong, "e")
            assert error.value.field == "user"

    shown = [str(each) for each in names]
    assert run(app, "users", "e").stdout.split() == shown
    assert json.loads(run(app, "users", "e", "--json").stdout)["ids"] == names
    assert run(app, "users", "e", "--csv").stdout.split() == ["user_id", *shown]
    client = app.test_client()
    for url in ("users?event=e", f"trends?events=e&period={today()}"):
        told = client.get(f"/bitmapist/{url}&format=json").get_json()
        assert told["ids"] == names
        sheet = client.get(f"/bitmapist/{url}&format=csv").text
        assert sheet.split() == ["user_id", *shown]
    for user in map(str, marked):
        assert run(app, "has", user, "e", "-g", "day").stdout == "yes\n"
        assert run(app, "person", user).stdout == run(app, "user", user).stdout
        told = client.get(f"/bitmapist/has?user={user}&event=e").get_json()
        assert told["did"]["day"] is True
        told = client.get(f"/bitmapist/people?user={user}&format=json").get_json()
        assert told["active"]["day"] is True
        assert told["user_id"] in names
    for user in map(str, nobody):
        assert run(app, "has", user, "e", "-g", "day").stdout == "no\n"
        told = client.get(f"/bitmapist/has?user={user}&event=e").get_json()
        assert told["did"]["day"] is False


def today() -> str:
    return datetime.now(tz=timezone.utc).date().isoformat()


class Level(Enum):
    MOST = 123


def test_keys_of_many_kinds_are_found(make_app: MakeApp) -> None:
    app = make_app(BITMAPIST_ID_MAP=True)
    query = app.extensions["bitmapist"].query
    keys: list[Any] = [uuid.uuid4(), -5, 10**30, " with blanks ", "ü/&?"]
    with app.app_context():
        for key in keys:
            mark_event("e", key)
        assert list(query.users("e")) == [
            *(str(keys[0]), -5, str(10**30), " with blanks ", "ü/&?")
        ]
        for key in keys:
            assert query.has(key, "e")
            assert key in query.users("e")
        assert not query.has("with blanks", "e")
        assert "\ud800" not in query.users("e")


class Account:
    """A user with an alternative id for the session."""

    id = 5

    def get_id(self) -> str:
        return "912345"


def test_a_user_object_is_a_user(app: Flask) -> None:
    query = app.extensions["bitmapist"].query
    with app.app_context():
        mark_event("e", Account())
        assert query.has(Account(), "e")
        assert query.has(LocalProxy(Account), "e")
        assert query.person(user=Account()).user == 5
        assert Account() in get_event_data("e")
        assert query.has(5, "e")


def test_the_app_may_say_what_the_id_of_an_object_is(make_app: MakeApp) -> None:
    app = make_app(BITMAPIST_USER_ID=lambda account: f"account {account.id}")
    query = app.extensions["bitmapist"].query
    with app.app_context():
        mark_event("e", Account())
        assert list(query.users("e")) == ["account 5"]
        assert query.has(Account(), "e")
        assert query.has("account 5", "e")
        assert Account() in query.users("e")
        assert 5 not in query.users("e")


@pytest.mark.parametrize("wrong", [-1, 2**32, 10**40, "x", "1.5", "-1", "٣"])
def test_what_no_user_is_called_is_refused(app: Flask, wrong: Any) -> None:
    query = app.extensions["bitmapist"].query
    with app.app_context():
        mark_event("e", 1)
        for question in (Has(wrong, "e"), Person(wrong)):
            with pytest.raises(QueryError, match="0 to 4,294,967,295") as error:
                query(question)
            assert error.value.field == "user"
        assert wrong not in query.users("e")


# --- What can be asked


def test_a_name_that_nobody_tracked_is_told(app: Flask) -> None:
    query = app.extensions["bitmapist"].query
    with app.app_context():
        mark_event("purchase", 1)
        for question in (
            Count("purchas"),
            Has(1, "purchase and purchas"),
            Users("purchas"),
        ):
            with pytest.raises(QueryError, match="Did you mean 'purchase'") as error:
                query(question)
            assert error.value.field == "event"
        assert query.count("purchas", allow_unknown=True) == 0
    for words in (("count", "purchas"), ("users", "purchas"), ("has", "1", "purchas")):
        told = run(app, *words)
        assert told.exit_code == 2
        assert "Did you mean 'purchase'?" in told.output
    client = app.test_client()
    for url in (
        "count?event=purchas",
        "users?event=purchas",
        "has?user=1&event=purchas",
    ):
        refused = client.get(f"/bitmapist/{url}")
        assert refused.status_code == 400
        (message,) = refused.get_json()["errors"]["event"]
        assert "Did you mean 'purchase'?" in message


@pytest.mark.parametrize(
    ("make", "fields"),
    [
        (lambda: Count("e", "eon"), {"time_group"}),  # type: ignore[arg-type]
        (lambda: Users("", page=0, per_page=0), {"event", "page", "per_page"}),
        (lambda: Has(True, "e"), {"user"}),
        (lambda: Person(1, num_days=0), {"num_days"}),
        (lambda: Person(None, as_of="no"), {"user", "as_of"}),  # type: ignore[arg-type]
    ],
)
def test_all_that_is_wrong_is_told_at_once(
    make: Callable[[], Any], fields: set[str]
) -> None:
    with pytest.raises(ParameterError) as error:
        make()
    assert set(error.value.wrong) == fields


def test_not_alone_says_nobody(app: Flask) -> None:
    with app.app_context():
        mark_event("e", 1)
        for question in (Count("not e"), Users("not e"), Has(1, "not e")):
            told = "nothing to exclude users from"
            with pytest.raises(QueryError, match=told) as error:
                app.extensions["bitmapist"].query(question)
            assert error.value.field == "event"


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        (Count("e"), "Unique users of e"),
        (Count("e", "week"), "Unique users of e this week"),
        (Count("e", "hour"), "Unique users of e this hour"),
        (
            Count("e", "month", as_of="2026-11-05"),
            "Unique users of e in the month of 2026-11-05",
        ),
        (Count("e", as_of="2026-11-05"), "Unique users of e as of 2026-11-05"),
        (Has(5, "e and not b", "day"), "Has user 5 done e and not b today?"),
        (Users("e", as_of=date(2026, 11, 5)), "Users of e on 2026-11-05"),
        (Person("1234"), "Activity of user 1234 in the last 365 days"),
        (Person("a@b.c", num_days=1), "Activity of user a@b.c today"),
        (
            Person(5, num_days=30, as_of="2026-11-05"),
            "Activity of user 5 in the 30 days to 2026-11-05",
        ),
    ],
)
def test_a_question_says_what_it_asks(question: Any, sentence: str) -> None:
    assert question.sentence() == sentence
    assert type(question).read(question.arguments()) == question


def test_a_set_has_all_users_and_gives_pages_itself(app: Flask) -> None:
    query = app.extensions["bitmapist"].query
    with app.app_context():
        for user in range(5):
            mark_event("e", user)
        assert query.users("e").page(2, 2).ids == (2, 3)
        assert query(Users("e", page=2, per_page=2)).to_dict()["ids"] == [2, 3]
        with pytest.raises(QueryError, match="to get one page"):
            query.users("e", page=2)


# --- The command line


@pytest.fixture
def two_days(app: Flask) -> Flask:
    """Two users on a Tuesday, of whom one is back on Wednesday."""
    with app.app_context():
        for user, day in ((1, 3), (2, 3), (1, 4)):
            mark_event("a", user, now=utc(f"2026-03-0{day}"))
        mark_unique("paid", 2)
    return app


def test_a_past_day_is_not_called_today(two_days: Flask) -> None:
    told = run(two_days, "count", "a", "--as-of", "2026-03-04").stdout
    assert [line.split() for line in told.splitlines()] == [
        ["2026-03-04", "1"],
        ["2026-W10", "2"],
        ["2026-03", "2"],
        ["2026-Q1", "2"],
        ["2026", "2"],
    ]
    told = run(two_days, "person", "1", "--as-of", "2026-03-04").stdout
    assert told.splitlines()[0].split() == ["2026-03-04", "yes"]
    assert "today" in run(two_days, "count", "a").stdout


def test_the_exit_status_says_whether_a_user_did_it(two_days: Flask) -> None:
    on = ("--as-of", "2026-03-04")
    assert run(two_days, "has", "1", "a", "-g", "day", *on).exit_code == 0
    no = run(two_days, "has", "2", "a", "-g", "day", *on)
    assert (no.exit_code, no.stdout) == (1, "no\n")
    assert run(two_days, "has", "2", "a", "-g", "day", *on, "--json").exit_code == 1
    assert run(two_days, "has", "2", "a", *on).exit_code == 0
    assert run(two_days, "has", "2", "nothing", "-g", "day", *on).exit_code == 2


def test_a_count_leads_to_its_users(two_days: Flask) -> None:
    on = ("--as-of", "2026-03-04", "--users")
    assert run(two_days, "count", "a", *on, "--period", "2026-W10").stdout == "1\n2\n"
    assert run(two_days, "count", "a", *on).stdout == "1\n"
    assert run(two_days, "count", "a", *on, "--period", "2025").exit_code == 2
    client = two_days.test_client()
    url = "/bitmapist/count?event=a&as_of=2026-03-04&period=2026-W10"
    assert client.get(url).get_json()["ids"] == [1, 2]


def test_one_answer_is_the_same_everywhere(two_days: Flask) -> None:
    query = two_days.extensions["bitmapist"].query
    client = two_days.test_client()
    on = "2026-03-04"
    for question in (
        Count("a or flag(paid)", as_of=on),
        Count("a", "week", as_of=on),
        Has(2, "a and flag(paid)", "month", as_of=on),
        Users("a", "weeks", as_of=on),
        Users("a", "weeks", page=2, per_page=1, as_of=on),
        Person(2, num_days=1, as_of=on),
        Person(1, num_days=40, as_of=on),
    ):
        expected = query(question).to_dict()
        told = run(two_days, question.name, "--json", *question.words())
        assert json.loads(told.stdout) == expected
        page = client.get(
            f"/bitmapist/{question.endpoint}",
            query_string={**question.arguments(), "format": "json"},
        )
        assert page.get_json() == expected
        sheet = client.get(
            f"/bitmapist/{question.endpoint}",
            query_string={**question.arguments(), "format": "csv"},
        )
        assert sheet.text == query(question).to_csv()
        rows = list(csv.reader(io.StringIO(sheet.text)))
        assert len({len(row) for row in rows}) == 1


# --- Pages


def test_the_page_of_people_asks_for_a_user(client: FlaskClient) -> None:
    page = client.get("/bitmapist/people")
    assert page.status_code == 200
    assert "Enter a user ID." in page.text
    assert 'role="alert"' not in page.text


@pytest.fixture
def client(two_days: Flask) -> FlaskClient:
    return two_days.test_client()


def test_the_page_of_people_tells_when_somebody_was_seen(app: Flask) -> None:
    now = datetime.now(tz=timezone.utc)
    with app.app_context():
        for ago in (3, 30):
            mark_event("came", 1, now=now - timedelta(days=ago))
        mark_event("left", 1, now=now - timedelta(days=3))
        mark_event("came", 2)
    client = app.test_client()
    page = client.get("/bitmapist/people?user=1").text
    last = now - timedelta(days=3)
    assert f"Last seen 3 days ago, {last.day} {last:%b} {last.year}." in page
    assert "Not active today" in page
    assert "2 different events" in page
    assert "Last seen today." in client.get("/bitmapist/people?user=2").text
    assert "Active today" in client.get("/bitmapist/people?user=2").text
    smallest = client.get("/bitmapist/people?user=2&num_days=1")
    assert smallest.status_code == 200
    nobody = client.get("/bitmapist/people?user=3")
    assert nobody.status_code == 200
    assert "No activity recorded for this user" in nobody.text
    assert "bm-calendar" not in nobody.text


@pytest.mark.parametrize("user", ["-1", "4294967296", "x", "1.5"])
def test_a_wrong_user_is_told_beside_the_field(client: FlaskClient, user: str) -> None:
    page = client.get(f"/bitmapist/people?user={user}")
    assert page.status_code == 400
    assert 'id="user-error-1"' in page.text
    assert f'value="{user}"' in page.text


def test_the_old_page_of_users_leads_to_people(client: FlaskClient) -> None:
    moved = client.get(
        "/bitmapist/users?user_id=1&num_days=30&as_of=2026-03-04&_external=1&endpoint=x"
    )
    assert moved.status_code == 301
    assert moved.headers["Location"].startswith(
        "/bitmapist/people?user=1&num_days=30&as_of=2026-03-04"
    )
    assert "Activity of user 1" in client.get(moved.headers["Location"]).text
    assert client.get("/bitmapist/users").headers["Location"] == "/bitmapist/people"


@pytest.mark.parametrize("name", ["count", "has", "users"])
def test_what_has_no_page_is_in_no_menu_and_answers_in_json(
    client: FlaskClient, name: str
) -> None:
    assert f'href="/bitmapist/{name}"' not in client.get("/bitmapist/people").text
    asked = f"/bitmapist/{name}?event=a&user=1&as_of=2026-03-04"
    assert client.get(asked).is_json
    assert client.get(f"{asked}&format=csv").mimetype == "text/csv"
    refused = client.get(f"{asked}&format=html")
    assert refused.status_code == 400
    assert refused.get_json() == {"errors": {"format": ["Use one of json, csv."]}}
    refused = client.get(f"/bitmapist/{name}?event=")
    assert refused.status_code == 400
    assert refused.get_json()["errors"]["event"] == ["This field is required."]


def test_people_are_a_tab_too(make_app: MakeApp) -> None:
    flask_admin = pytest.importorskip("flask_admin")
    try:
        from flask_babel import Babel
    except ImportError:
        Babel = None  # noqa: N806
    app = make_app()
    if Babel is not None:
        Babel(app)
    FlaskBitmapist(app, admin=flask_admin.Admin(app))
    with app.app_context():
        mark_event("came", 5)
    client = app.test_client()
    page = client.get("/admin/bitmapist/people/?user=5").text
    assert "Activity of user 5 in the last 365 days" in page
    day = client.get(f"/admin/bitmapist/trends/?events=came&period={today()}").text
    assert "/admin/bitmapist/people/?user=5" in day


# --- The functions of version 0.1


def test_old_functions_know_what_is_defined_and_take_names_as_they_are(
    redis_url: str,
) -> None:
    app = Flask("old")
    own = FlaskBitmapist(app, {"BITMAPIST_REDIS_URL": redis_url})
    own.define("either", "a or b")
    with app.app_context():
        mark_event("a", 1)
        mark_event("odd and (strange)", 2)
        now = datetime.now(tz=timezone.utc)
        assert list(get_event_data("either")) == [1]
        assert list(chain_events("either", [], now, "days")) == [1]
        assert list(
            chain_events("c", [{"name": "either", "op": "or"}], now, "days")
        ) == [1]
        assert list(get_event_data("odd and (strange)")) == [2]
        assert list(get_event_data("never tracked")) == []
        mark_event("6", "6")
        assert "6" in get_event_data("6")
        with redis.Redis.from_url(redis_url) as elsewhere:
            assert list(get_event_data("either", system=elsewhere)) == [1]
        with pytest.raises(QueryError):
            get_event_data("a", "eons")


@pytest.mark.parametrize(
    ("path", "asked", "bare"),
    [
        ("count", {"event": "NAME"}, "event"),
        ("users", {"event": "NAME"}, "event"),
        ("has", {"event": "NAME", "user": 1}, "event"),
        ("cohort", {"primary_event": "NAME"}, "primary"),
        ("cohort", {"primary_event": "NAME"}, "secondary"),
        ("lifecycle", {"event": "NAME"}, "event"),
        ("stickiness", {"event": "NAME"}, "event"),
        ("funnel", {"steps": ["NAME", "NAME"]}, "steps"),
        ("trends", {"events": ["NAME"]}, "series"),
    ],
)
@pytest.mark.parametrize("name", ["Order Completed", "big spenders"])
def test_a_name_with_a_blank_stands_bare_and_can_be_asked_again_beside_it(
    redis_url: str, path: str, asked: dict[str, Any], bare: str, name: str
) -> None:
    app = Flask("blanks")
    app.config.update(BITMAPIST_REDIS_URL=redis_url, BITMAPIST_ACCESS="public")
    FlaskBitmapist(app).define("big spenders", '"Order Completed"')
    with app.app_context():
        mark_event("Order Completed", 1)
    text = f'"{name}"'
    body = json.loads(json.dumps(asked).replace("NAME", text.replace('"', '\\"')))
    url = f"/bitmapist/{path}?format=json"
    answer = app.test_client().post(url, json=body).get_json()
    told = answer[bare]
    for each in told if isinstance(told, list) else [told]:
        assert (each["name"] if isinstance(each, dict) else each) == name
    assert text in str(answer["asked"])
    again = app.test_client().post(url, json=answer["asked"]).get_json()
    assert again[bare] == told
