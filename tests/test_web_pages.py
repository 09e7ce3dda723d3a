"""All pages: on both surfaces, as HTML, JSON and CSV with the same numbers."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from importlib.util import find_spec
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jinja2 import StrictUndefined

from flask_bitmapist import mark_event, mark_unique
from flask_bitmapist.questions import params_of

from .inside import Param
from .pages import PAGES
from .test_web_hostile import add_tabs

AS_OF = "as_of=2026-06-30"


def june(number: int) -> datetime:
    return datetime(2026, 6, number, 12, tzinfo=timezone.utc)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    app.jinja_env.undefined = StrictUndefined
    with app.app_context():
        for user in range(1, 9):
            mark_event("came", user, now=june(1))
        for user in range(1, 5):
            mark_event("came", user, now=june(29))
        for user in (1, 2, 20):
            mark_event("came", user, now=june(30))
        for user in (1, 5):
            mark_event("paid", user, now=june(29))
        mark_unique("premium", 1)
    return app.test_client()


QUESTIONS = {
    "index": AS_OF,
    "cohort": f"primary_event=came&secondary_event=paid&time_group=weeks&{AS_OF}",
    "trends": f"events=came&events=paid&rolling=7&{AS_OF}",
    "lifecycle": f"event=came&time_group=days&{AS_OF}",
    "funnel": f"steps-0=came&steps-1=paid&{AS_OF}",
    "stickiness": f"event=came&{AS_OF}",
    "people": f"user=1&{AS_OF}",
    "events": AS_OF,
}


def path(name: str, question: str = "") -> str:
    place = "" if name == "index" else name
    return f"/bitmapist/{place}?{question}"


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def test_every_page_has_a_question_here() -> None:
    assert {page.name for page in PAGES} == set(QUESTIONS)


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_page_answers_in_every_format(client: FlaskClient, name: str) -> None:
    page = client.get(path(name, QUESTIONS[name]))
    assert page.status_code == 200
    assert page.mimetype == "text/html"
    answer = client.get(path(name, QUESTIONS[name] + "&format=json"))
    assert answer.get_json()["warnings"] == []
    table = client.get(path(name, QUESTIONS[name] + "&format=csv"))
    assert table.headers["Content-Disposition"].startswith("attachment")
    assert len(list(csv.reader(io.StringIO(table.text)))) > 1
    for link in ("format=csv", "format=json"):
        assert link in page.text


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_page_that_is_asked_nothing_shows_itself(
    client: FlaskClient, name: str
) -> None:
    page = client.get(path(name))
    assert page.status_code == 200
    assert 'role="alert"' not in page.text


@pytest.mark.parametrize("name", QUESTIONS)
def test_pages_of_an_empty_store_say_how_to_begin(app: Flask, name: str) -> None:
    page = app.test_client().get(path(name))
    assert page.status_code == 200
    assert "@mark(" in page.text


@pytest.mark.parametrize("name", QUESTIONS)
def test_wrong_values_are_refused_and_never_a_crash(
    client: FlaskClient, name: str
) -> None:
    for wrong in ("as_of=no", "format=pdf"):
        page = client.get(path(name, f"{QUESTIONS[name]}&{wrong}".replace(AS_OF, "")))
        assert page.status_code == 400, wrong


def test_the_trend_shows_the_numbers_of_its_json(client: FlaskClient) -> None:
    answer = client.get(path("trends", QUESTIONS["trends"] + "&format=json")).get_json()
    came, paid = answer["series"]
    assert came["counts"][-3:] == [0, 4, 3]
    assert came["rolling"]["7"][-1] == 5
    assert paid["counts"][-2:] == [2, 0]
    html = client.get(path("trends", QUESTIONS["trends"])).text
    row = text_of(html[html.index('datetime="2026-06-30"') - 60 :].split("</tr>")[0])
    # came, its change, its last 7 days; paid, its change and its last 7 days
    assert row.split("2026")[-1].split() == [
        "3",
        "−25.0%",
        "5",
        "0",
        "−100.0%",
        "2",
    ]


def test_the_lifecycle_shows_the_numbers_of_its_json(client: FlaskClient) -> None:
    url = path("lifecycle", QUESTIONS["lifecycle"])
    answer = client.get(url + "&format=json").get_json()
    stages = ("new", "returning", "resurrecting", "dormant", "active")
    last = [answer[stage][-1] for stage in stages]
    assert last == [1, 2, 0, 2, 3]
    html = client.get(url).text
    row = text_of(html[html.index('datetime="2026-06-30"') - 60 :].split("</tr>")[0])
    assert list(map(int, row.split("2026")[-1].split())) == last


def test_the_funnel_shows_the_numbers_of_its_json(client: FlaskClient) -> None:
    url = path("funnel", QUESTIONS["funnel"] + "&window=29")
    answer = client.get(url + "&format=json").get_json()
    assert answer["totals"] == [8, 2]
    assert answer["open_totals"] == [5, 1]
    text = text_of(client.get(url).text)
    assert "1. came 8 100.0% 5 " in text
    assert "2. paid 6 2 25.0% 25.0% 3 1 4 " in text


def test_the_distribution_shows_the_numbers_of_its_json(client: FlaskClient) -> None:
    url = path("stickiness", QUESTIONS["stickiness"])
    answer = client.get(url + "&format=json").get_json()
    assert answer["distribution"]["exactly"][1:4] == [5, 2, 2]
    text = text_of(client.get(url).text)
    assert "1 5 9 2 2 4 3 2 2" in text


def test_the_user_page_tells_what_a_user_did(client: FlaskClient) -> None:
    answer = client.get(path("people", QUESTIONS["people"] + "&format=json")).get_json()
    assert answer["active"] == {"day": True, "week": True, "month": True, "year": True}
    assert answer["events"]["came"]["days"] == [
        "2026-06-01",
        "2026-06-29",
        "2026-06-30",
    ]
    assert answer["flags"] == ["premium"]
    html = client.get(path("people", QUESTIONS["people"])).text
    assert "active on 3 days since" in text_of(html)
    assert "✓ Active: 30 Jun 2026" in text_of(html)
    assert 'title="2026-06-29: came, paid"' in html
    other = client.get(path("people", f"user=5&{AS_OF}")).text
    assert "– Not active: 30 Jun 2026" in text_of(other)
    assert "✓ Active: 29 Jun – 5 Jul 2026 to 30 Jun" in text_of(other)


@pytest.mark.parametrize("id", ["-1", "4294967296", "x", "1.5"])
def test_an_id_that_no_user_can_have_is_refused(client: FlaskClient, id: str) -> None:
    assert client.get(path("people", f"user={id}")).status_code == 400


def test_the_events_page_tells_since_when(client: FlaskClient) -> None:
    answer = client.get(path("events", AS_OF + "&format=json")).get_json()
    assert answer["events"] == [
        {
            "name": "came",
            **{"day": 3, "week": 5, "month": 9, "year": 9},
            **{"first_day": "2026-06-01", "last_day": "2026-06-30"},
        },
        {
            "name": "paid",
            **{"day": 0, "week": 2, "month": 2, "year": 2},
            **{"first_day": "2026-06-29", "last_day": "2026-06-29"},
        },
    ]
    text = text_of(client.get(path("events", AS_OF)).text)
    assert "came 3 5 9 9 1 Jun 2026 30 Jun 2026" in text


def test_the_overview_counts_each_active_user_once(client: FlaskClient) -> None:
    answer = client.get(path("index", AS_OF + "&format=json")).get_json()
    assert answer["active"]["day"]["count"] == 3
    assert answer["active"]["day"]["before"] == 5
    assert answer["active"]["week"]["count"] == 6
    assert answer["active"]["month"]["count"] == 9
    assert [each["name"] for each in answer["busiest"]["series"]] == ["came", "paid"]
    assert [event["name"] for event in answer["events"]] == ["came", "paid"]
    html = client.get(path("index", AS_OF)).text
    assert "came 3 5 9 9" in text_of(html)
    assert "<polyline" in html
    ids = client.get(path("index", AS_OF + "&active=day&format=json")).get_json()["ids"]
    assert ids == [1, 2, 20]


def test_an_expression_of_the_app_says_who_is_active(
    client: FlaskClient, app: Flask
) -> None:
    from .inside import parse

    app.extensions["bitmapist"].named["active"] = parse("paid")
    answer = client.get(path("index", AS_OF + "&format=json")).get_json()
    assert answer["active"]["week"]["count"] == 2
    assert 'value="active"' in client.get(path("cohort")).text
    asked = client.get(
        path("trends", f"events-0=active&{AS_OF}&format=json")
    ).get_json()
    assert asked["warnings"] == []


def test_thousands_of_events_are_paged_and_found(
    make_app: Callable[..., Flask],
) -> None:
    app = make_app()
    with app.app_context():
        for number in range(60):
            mark_event(f"event:{number:02}", 1)
    client = app.test_client()
    first = client.get(path("index", "format=json")).get_json()
    assert (first["total"], first["pages"], len(first["events"])) == (60, 3, 25)
    last = client.get(path("index", "page=3&format=json")).get_json()
    assert [event["name"] for event in last["events"]][-1] == "event:59"
    html = client.get(path("index", "page=2")).text
    assert "Page 2 of 3" in html
    assert 'rel="prev"' in html
    found = client.get(path("index", "q=EVENT:4&format=json")).get_json()
    assert found["total"] == 10
    assert "No event matches" in client.get(path("events", "q=nope")).text
    assert client.get(path("events", "page=99")).status_code == 200


@pytest.mark.parametrize(
    ("name", "cell", "ids"),
    [
        ("trends", "period=2026-06-29&event=paid", [1, 5]),
        ("lifecycle", "period=2026-06-30&stage=returning", [1, 2]),
        ("lifecycle", "period=2026-06-30&stage=dormant", [3, 4]),
        ("funnel", "step=2&window=29", [1, 5]),
        ("funnel", "step=2&window=29&outcome=dropped-off", [2, 3, 4, 6, 7, 8]),
        ("funnel", "step=2&window=29&outcome=still-open", [2, 3, 4, 20]),
        ("funnel", "step=2&window=29&outcome=entered-again", [2, 3, 4]),
        ("funnel", "step=1&period=2026-06-30", [1, 2, 20]),
        ("stickiness", "days=3", [1, 2]),
        ("stickiness", "days=2&at_least=y", [1, 2, 3, 4]),
    ],
)
def test_every_number_opens_its_users(
    client: FlaskClient, name: str, cell: str, ids: list[int]
) -> None:
    url = path(name, f"{QUESTIONS[name]}&{cell}")
    assert client.get(url + "&format=json").get_json()["ids"] == ids
    page = client.get(url)
    assert page.headers["Cache-Control"] == "private, no-store"
    assert "/bitmapist/people?user=" in page.text
    assert "Back to report" in page.text
    _, *lines = client.get(url + "&format=csv").text.split()
    assert [line.split(",")[0] for line in lines] == list(map(str, ids))


@pytest.mark.parametrize(
    ("name", "left_over"),
    [
        ("cohort", "cells=users"),
        ("trends", ""),
        ("lifecycle", ""),
        ("funnel", "window=29"),
        ("stickiness", ""),
    ],
)
def test_every_number_leads_to_as_many_users_as_it_says(
    client: FlaskClient, name: str, left_over: str
) -> None:
    html = client.get(path(name, f"{QUESTIONS[name]}&{left_over}")).text
    cells = re.findall(r'<td[^>]*>\s*<a href="([^"]+)"[^>]*>(\d+)<', html)
    assert len(cells) > 2
    for href, shown in cells:
        users = client.get(href.replace("&amp;", "&") + "&format=json").get_json()
        assert users["total"] == int(shown), href


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("trends", "period=2026-06-29&event=other"),
        ("trends", "period=2020"),
        ("lifecycle", "period=2026-06-30&stage=lost"),
        ("funnel", "step=3"),
        ("funnel", "step=1&outcome=dropped-off"),
        ("stickiness", "days=31"),
        ("trends", "time_group=weeks"),
        ("stickiness", "window=year"),
    ],
)
def test_a_number_that_there_is_not_is_refused(
    client: FlaskClient, name: str, cell: str
) -> None:
    question = QUESTIONS[name]
    assert client.get(path(name, f"{cell}&{question}")).status_code == 400


def test_the_links_of_the_pages_work(client: FlaskClient) -> None:
    for name, question in QUESTIONS.items():
        html = client.get(path(name, question)).text
        links = {
            each.replace("&amp;", "&") for each in re.findall(r'href="(/[^"]+)"', html)
        }
        assert len(links) > 8
        for link in links:
            with client.get(link) as response:
                assert response.status_code == 200, (name, link)


def test_a_formula_in_a_name_stays_text_in_csv(make_app: Callable[..., Flask]) -> None:
    app = make_app()
    today = datetime.now(tz=timezone.utc)
    with app.app_context():
        mark_event('=HYPERLINK("evil")', 1, now=today - timedelta(days=1))
    client = app.test_client()
    for url in (path("events", "format=csv"), path("people", "user=1&format=csv")):
        cells = [
            cell
            for row in csv.reader(io.StringIO(client.get(url).text))
            for cell in row
        ]
        assert any("HYPERLINK" in cell for cell in cells)
        assert not any(cell.startswith("=") for cell in cells)


def test_no_page_has_inline_script_or_style(client: FlaskClient) -> None:
    for name, question in QUESTIONS.items():
        html = client.get(path(name, question)).text
        assert " style=" not in html
        assert "<style" not in html
        assert not re.search(r"\son[a-z]+=", html)
        scripts = re.findall(r"<script[^>]*>", html)
        assert scripts
        assert all('src="/' in tag for tag in scripts)
        assert "http" not in re.sub(r'xmlns="[^"]+"', "", html)


def test_users_go_by_the_keys_of_the_app(make_app: Callable[..., Flask]) -> None:
    app = make_app(BITMAPIST_ID_MAP=True, BITMAPIST_USER_URL="/people/{id}")
    names = ["ann@example.org", "b/../o b"]
    with app.test_request_context():
        for name in names:
            mark_event("came", name)
    client = app.test_client()
    today = datetime.now(tz=timezone.utc).date()
    url = path("trends", f"events-0=came&period={today}")
    assert client.get(url + "&format=json").get_json()["ids"] == names
    assert client.get(url + "&format=csv").text.splitlines() == ["user_id", *names]
    page = client.get(url).text
    assert "/people/b%2F..%2Fo%20b" in page
    assert "user=ann@example.org" in page or "user=ann%40example.org" in page
    answer = client.get(path("people", "user=ann@example.org&format=json")).get_json()
    assert answer["active"]["day"] is True
    assert "ann@example.org" in client.get(path("people", "user=ann@example.org")).text
    unknown = client.get(path("people", "user=nobody"))
    assert "No activity recorded for this user." in unknown.text


SURFACES = ("standalone", "admin") if find_spec("flask_admin") else ("standalone",)


def smallest(param: Param) -> Any:
    """Return the smallest value of a parameter, as a URL has it; None to leave it out.

    An optional list is smallest with one entry: with none it is left out.
    """
    kind = param.kind
    if param.name in ("segments", "exclude"):
        return "came ever"  # these say when
    if kind.many:
        return (["1"] if kind.choices else ["came"]) * max(kind.least or 0, 1)
    return {
        "event": lambda: "came",
        "number": lambda: str(kind.least),
        "choice": lambda: str(next(iter(kind.choices))),
        "switch": lambda: "n",
        "day": lambda: "1970-01-01",
        "user": lambda: "0",
        "text": lambda: "x",
    }[kind.name]()


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("form", ["html", "json", "csv"])
def test_every_page_answers_at_the_smallest_value_of_each_parameter(
    make_app: Callable[..., Flask], surface: str, form: str
) -> None:
    app = make_app(BITMAPIST_TRACK_HOURLY=True)
    if surface == "admin":
        add_tabs(app)
    app.jinja_env.undefined = StrictUndefined
    with app.app_context():
        for ago in range(3):
            mark_event("came", 0, now=datetime.now(tz=timezone.utc) - timedelta(ago))
    client = app.test_client()
    asked = 0
    for question in app.extensions["bitmapist"].query.questions():
        if not question.in_menu and (surface == "admin" or form == "html"):
            continue
        name = question.endpoint
        url = path(name) if surface == "standalone" else f"/admin/bitmapist/{name}/"
        params = params_of(question)
        needed = {each.name: smallest(each) for each in params if each.required}
        for each in params:
            arguments = {**needed, each.name: smallest(each), "format": form}
            if each.name == "until":  # the end of what begins with "since"
                arguments["since"] = arguments["until"]
            with client.get(url, query_string=arguments) as answer:
                assert answer.status_code == 200, (url, arguments, answer.text)
                assert answer.data
            asked += 1
    assert asked > 30


@pytest.mark.parametrize("surface", SURFACES)
def test_every_page_refuses_what_is_smaller_beside_its_field(
    make_app: Callable[..., Flask], surface: str
) -> None:
    app = make_app()
    if surface == "admin":
        add_tabs(app)
    with app.app_context():
        mark_event("came", 0)
    client = app.test_client()
    asked = 0
    for question in app.extensions["bitmapist"].query.questions():
        if not question.in_menu and surface == "admin":
            continue
        name = question.endpoint
        url = path(name) if surface == "standalone" else f"/admin/bitmapist/{name}/"
        params = params_of(question)
        needed = {each.name: smallest(each) for each in params if each.required}
        for each in params:
            if each.kind.name != "number" or each.kind.many:
                continue
            wrong = {**needed, each.name: str((each.kind.least or 0) - 1)}
            answer = client.get(url, query_string={**wrong, "format": "json"})
            assert answer.status_code == 400, (url, wrong)
            assert list(answer.get_json()["errors"]) == [each.name]
            asked += 1
    assert asked >= 5
