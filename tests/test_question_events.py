"""The list of events, flags and defined expressions."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from typing import Any

import bitmapist
import pytest
import redis
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flask_bitmapist import FlaskBitmapist, mark_event, mark_unique
from flask_bitmapist.query import Query

from .inside import BitmapReader, Names
from .marks import known
from .reference import KEYS, Reference, end_of, utc
from .strategies import EVENTS, histories

GROUPS = ("days", "weeks", "months", "years")
NOW = utc("2026-06-18T12:00")


@pytest.fixture
def store(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Flask:
    """An app with two events, two flags and an expression, on a Thursday."""
    monkeypatch.setattr("flask_bitmapist.query.utc_now", lambda: NOW)
    state = app.extensions["bitmapist"]
    state.named["payers"] = state.query.expression("play and flag(paid)")
    with app.app_context():
        for ago in (0, 1, 5, 30, 200):
            mark_event("play", ago, now=NOW - timedelta(days=ago))
        mark_event("save file", 7, now=NOW - timedelta(days=5))
        mark_unique("paid", 0)
        mark_unique("paid", 1)
        mark_unique("staff", 9)
    return app


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data(), reach=st.sampled_from(["days", "months", "years"]))
def test_events_are_counted_and_dated_as_by_plain_sets(
    redis_client: redis.Redis, data: st.DataObject, reach: str
) -> None:
    marks, as_of = data.draw(histories(reach, after=True))
    has_hours = data.draw(st.booleans())
    redis_client.flushdb()
    pipeline = redis_client.pipeline()
    for mark in marks:
        bitmapist.mark_event(
            *(mark.event, mark.user, pipeline, mark.at, has_hours), use_pipeline=False
        )
    pipeline.execute()
    query = Query(BitmapReader(redis_client), Names(known(redis_client, EVENTS)))
    told = query.events(as_of=as_of).to_dict()
    # Where hours are not kept, all of the day counts.
    until = as_of if has_hours else end_of(as_of.date())
    references = {group: Reference(marks, group, until) for group in GROUPS}
    assert told["complete"] == {
        group[:-1]: each.is_complete(KEYS[group](as_of))
        for group, each in references.items()
    }
    for event in told["events"]:
        name = event["name"]
        for group, each in references.items():
            users = each.users(name)(KEYS[group](as_of))
            assert event[group[:-1]] == len(users), group  # type: ignore[literal-required]
        days = sorted(
            mark.at.date().isoformat()
            for mark in references["days"].marks
            if mark.event == name
        )
        edges = (days[0], days[-1]) if days else (None, None)
        assert (event["first_day"], event["last_day"]) == edges


def test_the_years_before_hold_the_last_day(
    store: Flask,
) -> None:
    with store.app_context():
        for day in ("2022-03-01", "2024-05-05", "2026-06-17"):
            mark_event("rare", 1, now=utc(day))
    query: Query = store.extensions["bitmapist"].query
    answer = query.events(q="rare", as_of=date(2026, 2, 1)).to_dict()
    assert answer["events"][0]["first_day"] == "2022-03-01"
    assert answer["events"][0]["last_day"] == "2024-05-05"


@pytest.mark.parametrize("surface", ["standalone", "admin"])
def test_flags_and_expressions_are_listed_beside_events(
    store: Flask, surface: str
) -> None:
    url = "/bitmapist/events"
    if surface == "admin":
        pytest.importorskip("flask_babel").Babel(store)
        FlaskBitmapist(store, admin=pytest.importorskip("flask_admin").Admin(store))
        url = "/admin/bitmapist/events/"
    client = store.test_client()
    told = client.get(f"{url}?format=json").json
    assert [each["name"] for each in told["events"]] == ["play", "save file"]
    assert told["flags"] == [
        {"name": "paid", "users": 2},
        {"name": "staff", "users": 1},
    ]
    assert told["expressions"] == [
        {"name": "payers", "expression": "play and flag(paid)"}
    ]
    assert told["scanned_at"] is not None
    html = client.get(url).text
    text = text_of(html)
    assert "play 1 2 3 4 30 Nov 2025 18 Jun 2026" in text
    assert "payers play and flag(paid)" in text
    numbers = re.findall(r'<a href="([^"]+)">([\d,]+)</a>', html)
    assert len(numbers) >= 6
    for link, shown in numbers:
        users = client.get(link.replace("&amp;", "&") + "&format=json").json
        assert users["total"] == int(shown), link
    lines = [*csv.reader(io.StringIO(client.get(f"{url}?format=csv").text))]
    assert [line[0] for line in lines[1:]] == [
        *(["event"] * 2),
        *(["flag"] * 2),
        "expression",
    ]
    found = client.get(f"{url}?q=PA&format=json").json
    assert (found["total"], [each["name"] for each in found["flags"]]) == (0, ["paid"])
    assert [each["name"] for each in found["expressions"]] == ["payers"]
    assert "No event matches." in client.get(f"{url}?q=PA").text
    part = client.get(f"{url}?per_page=1&page=2&format=json").json
    assert part["pages"] == 2
    assert [each["name"] for each in part["events"]] == ["save file"]
    assert [each["name"] for each in part["flags"]] == ["staff"]
    assert "Page 1 of 2" in client.get(f"{url}?per_page=1&page=1").text
    wrong = client.get(f"{url}?as_of=no")
    assert wrong.status_code == 400
    assert "write it as YYYY-MM-DD" in wrong.text


def test_no_link_of_the_page_refreshes_again_but_one(store: Flask) -> None:
    html = store.test_client().get("/bitmapist/events?refresh=y&per_page=1").text
    assert "Event list refreshed" in html
    assert len(re.findall(r'href="[^"]*refresh=', html)) == 1
    assert len(re.findall(r'href="[^"]*page=2', html)) == 1


def test_an_empty_store_says_how_to_begin(app: Flask) -> None:
    text = app.test_client().get("/bitmapist/events").text
    assert "No events yet" in text
    assert "No event matches." not in text
    assert (
        "No events yet"
        in app.test_cli_runner().invoke(args=["bitmapist", "events"]).stdout
    )


def test_python_finds_at_once_what_another_wrote(
    store: Flask, redis_client: redis.Redis
) -> None:
    query: Query = store.extensions["bitmapist"].query
    assert query.events().list.total == 2
    bitmapist.mark_event("foreign", 1, system=redis_client, now=NOW)
    assert query.events().list.total == 2
    for _ in range(2):
        answer = query.events(refresh=True)
        assert (answer.list.total, answer.warnings) == (3, ())


def test_the_command_asks_the_same(store: Flask) -> None:
    run: Callable[..., Any] = store.test_cli_runner().invoke
    answer = store.extensions["bitmapist"].query.events(q="play")
    told = run(args=["bitmapist", "events", "-q", "play"])
    assert told.stdout.strip() == str(answer)
    assert "Event list refreshed" in told.stderr
    assert told.stderr.splitlines()[-1] == "Events containing “play”"
    as_json = json.loads(
        run(args=["bitmapist", "events", "-q", "play", "--json"]).stdout
    )
    assert as_json == answer.to_dict()


def test_what_is_asked_is_said(store: Flask) -> None:
    query: Query = store.extensions["bitmapist"].query
    asked: Iterable[dict[str, Any]] = ({}, {"as_of": "2026-06-01"}, {"q": "pa"})
    assert [query.events(**each).to_dict()["question"] for each in asked] == [
        "Events",
        "Events, to 2026-06-01",
        "Events containing “pa”",
    ]
