"""The overview: what runs is compared by its days that are over, exactly."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from typing import Any

import bitmapist
import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flask_bitmapist import Expression, FlaskBitmapist, QueryError, mark_event
from flask_bitmapist.query import Query

from .inside import BitmapReader, Names, united
from .marks import known
from .reference import Did, Mark, Meaning, end_of, utc
from .strategies import DEFINED, EVENTS, USERS, expressions, histories

NOW = utc("2026-06-18T12:00")
"""A Thursday."""

exact = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
DAY = timedelta(days=1)


@pytest.fixture
def ask(redis_client: redis.Redis) -> Callable[..., Query]:
    """Write marks, and get something to ask questions of."""

    def write(
        marks: Iterable[Mark],
        flagged: Iterable[int] = (),
        defined: dict[str, Expression] | None = None,
    ) -> Query:
        redis_client.flushdb()
        pipeline = redis_client.pipeline()
        for mark in marks:
            bitmapist.mark_event(
                *(mark.event, mark.user),
                system=pipeline,
                now=mark.at,
                use_pipeline=False,
            )
        for user in flagged:
            bitmapist.mark_unique("flagged", user, system=pipeline)
        pipeline.execute()
        events = sorted({mark.event for mark in marks})
        names = Names(known(redis_client, events, ["flagged"]), defined)
        return Query(BitmapReader(redis_client), names)

    return write


@pytest.fixture
def thursday(monkeypatch: pytest.MonkeyPatch) -> datetime:
    """Let it be the 18th of June 2026, at noon."""
    monkeypatch.setattr("flask_bitmapist.query.utc_now", lambda: NOW)
    return NOW


@pytest.fixture
def growing(app: Flask, thursday: datetime) -> Flask:
    """An app with ten new users on each day, of whom three buy."""
    with app.app_context():
        for ago in range(90):
            for user in range(10 * ago, 10 * ago + 10):
                mark_event("play", user, now=thursday - ago * DAY)
            for user in range(10 * ago, 10 * ago + 3):
                mark_event("buy", user, now=thursday - ago * DAY)
    return app


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def change(before: int, now: int) -> float | None:
    return (now - before) / before if before else None


def starts(group: str, day: date) -> list[date]:
    """The first day of the next period, of this one, and of the two before."""
    if group == "day":
        return [day + DAY, day, day - DAY, day - 2 * DAY]
    if group == "week":
        monday = day - day.weekday() * DAY
        return [monday + 7 * each * DAY for each in (1, 0, -1, -2)]
    first = [day.replace(day=1)]
    for _ in range(2):
        first.append((first[-1] - DAY).replace(day=1))
    return [(first[0] + 32 * DAY).replace(day=1), *first]


class Plain:
    """What plain sets say of those who are active."""

    def __init__(self, marks: list[Mark], meaning: Meaning, flagged: set[int]) -> None:
        self.marks, self.meaning, self.flagged = marks, meaning, flagged

    def users(self, first: date, last: date) -> set[int]:
        marks = [mark for mark in self.marks if first <= mark.at.date() <= last]
        did = Did(
            lambda event: {mark.user for mark in marks if mark.event == event},
            self.marks,
            end_of(last),
        )
        return self.meaning(did, self.flagged)

    def tile(self, group: str, day: date) -> dict[str, Any]:
        following, start, before, earlier = starts(group, day)
        count = len(self.users(start, day))
        whole = len(self.users(before, start - DAY))
        last = whole, change(len(self.users(earlier, before - DAY)), whole)
        complete = following <= day + DAY
        if complete:
            last = count, change(whole, count)
        so_far = None
        if not complete:
            days = (day - start).days + 1
            same = len(self.users(before, min(before + (days - 1) * DAY, start - DAY)))
            so_far = {
                **{"days": days, "count": count, "before": same},
                "change": change(same, count),
            }
        return {
            **{"count": count, "before": whole, "complete": complete},
            "change": change(whole, count) if complete else None,
            "so_far": so_far,
            "last": last,
        }

    def stickiness(self, day: date) -> float | None:
        daily = [self.users(day - ago * DAY, day - ago * DAY) for ago in range(57)]
        months = [set().union(*daily[ago : ago + 28]) for ago in range(30)]
        together = sum(map(len, months))
        return sum(map(len, daily[:30])) / together if together else None


@exact
@given(data=st.data(), reach=st.sampled_from(["days", "weeks", "months"]))
def test_active_users_are_those_of_plain_sets(
    ask: Callable[..., Query], data: st.DataObject, reach: str
) -> None:
    marks, as_of = data.draw(histories(reach, after=True))
    flagged = data.draw(st.sets(st.sampled_from(USERS)))
    defined = dict(DEFINED)
    meaning: Meaning = lambda did, _: set().union(*map(did, EVENTS))  # noqa: E731
    if data.draw(st.booleans()):
        defined["active"], meaning = data.draw(expressions)
    query = ask(marks, flagged, defined)
    answer = query.overview(as_of=as_of)
    if not marks and "active" not in defined:
        assert answer.tiles == {}
        return
    plain = Plain(marks, meaning, flagged)
    told = answer.to_dict()
    for group in ("day", "week", "month"):
        tile: Any = dict(told["active"][group])
        last = tile.pop("last")
        del tile["period"]
        expected = plain.tile(group, as_of.date())
        assert (last["count"], last["change"]) == expected.pop("last"), group
        assert tile == expected, group
        start = starts(group, as_of.date())[1]
        found = set(answer.users(active=group))
        assert found == plain.users(start, as_of.date())
    assert told["stickiness"] == plain.stickiness(as_of.date())


@pytest.mark.parametrize("kept", [0, 100_000, united.MOST_KEPT])
@pytest.mark.parametrize("at_once", [1, 4, 1000])
def test_all_events_are_as_an_or_of_them(
    ask: Callable[..., Query], monkeypatch: pytest.MonkeyPatch, at_once: int, kept: int
) -> None:
    # Bitmaps of different lengths, read in pieces of different widths.
    monkeypatch.setattr(united, "BITMAPS_AT_ONCE", at_once)
    monkeypatch.setattr(united, "MOST_KEPT", kept)
    marks = [
        Mark(event, user * (1 + ago % 3), NOW - ago * DAY)
        for number, event in enumerate(EVENTS)
        for ago in range(number, 60, number + 1)
        for user in (ago, 70_000, 370_000 * (number + 1))
    ]
    query = ask(marks)
    together = query.overview(as_of=NOW).to_dict()
    query.names.defined["active"] = query.expression("a or b or c")  # type: ignore[index]
    assert query.overview(as_of=NOW).to_dict() == together
    assert together["active"]["month"]["count"] > 20


def test_what_grows_steadily_shows_no_change(growing: Flask) -> None:
    query: Query = growing.extensions["bitmapist"].query
    told = query.overview().to_dict()
    day, week, month = (told["active"][each] for each in ("day", "week", "month"))
    assert (day["count"], day["so_far"], day["change"]) == (10, None, None)
    assert day["last"] == {"period": "2026-06-17", "count": 10, "change": 0.0}
    assert (week["count"], week["before"], week["change"]) == (40, 70, None)
    assert week["so_far"] == {"days": 3, "count": 30, "before": 30, "change": 0.0}
    assert week["last"] == {"period": "2026-W24", "count": 70, "change": 0.0}
    assert month["so_far"] == {"days": 17, "count": 170, "before": 170, "change": 0.0}
    assert month["last"]["count"] == 310

    text = text_of(growing.test_client().get("/bitmapist/").text)
    assert "Active users this week 40 so far" in text
    assert "First 3 days: 30, 30 in the same days of last week." in text
    assert "First 17 days: 170, 170 in the same days of last month." in text
    assert "Yesterday: 10 0% vs. the day before" in text
    assert "−" not in text


def test_the_first_day_of_a_period_is_compared_with_nothing(
    growing: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "flask_bitmapist.query.utc_now", lambda: utc("2026-06-01T00:15")
    )
    told = growing.extensions["bitmapist"].query.overview().to_dict()
    for name in ("day", "week", "month"):
        tile = told["active"][name]
        assert (tile["so_far"], tile["change"]) == (None, None)
    assert "same day" not in growing.test_client().get("/bitmapist/").text


def test_the_busiest_events_are_shown_by_complete_days(growing: Flask) -> None:
    busiest = growing.extensions["bitmapist"].query.overview().to_dict()["busiest"]
    assert busiest["dates"][-1] == "2026-06-17"
    assert len(busiest["dates"]) == 30
    assert busiest["series"] == [
        {"name": "play", "counts": [10] * 30, "change": 0.0},
        {"name": "buy", "counts": [3] * 30, "change": 0.0},
    ]


def test_too_many_events_need_a_definition(growing: Flask) -> None:
    state = growing.extensions["bitmapist"]
    with growing.app_context():
        for number in range(200):
            mark_event(f"event:{number}", 1, now=NOW)
    client = growing.test_client()
    answer = state.query.overview()
    assert answer.to_dict()["active"] == {}
    assert answer.stickiness is None
    assert "There are more than 200 events." in client.get("/bitmapist/").text
    refused = client.get("/bitmapist/?active=day&format=json")
    assert (refused.status_code, [*refused.json["errors"]]) == (400, ["active"])
    state.named["active"] = state.query.expression("play")
    assert state.query.overview().tiles["day"].count == 10


def test_nobody_is_active_where_there_are_no_events(app: Flask) -> None:
    query: Query = app.extensions["bitmapist"].query
    answer = query.overview()
    assert (answer.tiles, answer.stickiness, answer.busiest) == ({}, None, ())
    assert "No events yet" in str(answer)
    with pytest.raises(QueryError, match="No events have been tracked yet") as error:
        answer.users(active="day")
    assert error.value.field == "active"
    # As of a day to come nothing is complete but what is over.
    assert query.overview(as_of=date(2100, 1, 1)).to_dict()["busiest"]["dates"] == []


def test_the_command_prints_tables(growing: Flask) -> None:
    run = growing.test_cli_runner().invoke
    answer = growing.extensions["bitmapist"].query.overview()
    told = run(args=["bitmapist", "overview"])
    assert told.stdout.strip() == str(answer)
    lines = [line.split() for line in told.stdout.splitlines()]
    assert lines[2] == [
        *("2026-W25", "40", "3", "30", "30", "0.0%"),
        *("2026-W24", "70", "0.0%"),
    ]
    assert ["play", "10", "40", "180", "900"] in lines
    assert "first 3 days of 2026-W25: 30, 30 in the same days" in told.stderr
    as_json = json.loads(run(args=["bitmapist", "overview", "--json"]).stdout)
    assert as_json == answer.to_dict()
    users = run(args=["bitmapist", "overview", "--users", "--active", "day"])
    assert users.stdout.split() == [str(user) for user in range(10)]


@pytest.fixture(params=["standalone", "admin"])
def page(request: pytest.FixtureRequest, growing: Flask) -> tuple[FlaskClient, str]:
    """A client of a surface, and where the overview is."""
    if request.param == "standalone":
        return growing.test_client(), "/bitmapist/"
    pytest.importorskip("flask_babel").Babel(growing)
    FlaskBitmapist(growing, admin=pytest.importorskip("flask_admin").Admin(growing))
    return growing.test_client(), "/admin/bitmapist/index/"


def test_the_page_on_both_surfaces(page: tuple[FlaskClient, str]) -> None:
    client, url = page
    html = client.get(url).text
    (link,) = {
        each.replace("&amp;", "&")
        for each in re.findall(r'href="([^"]+active=week)"', html)
    }
    assert "as_of" not in link
    assert f'href="{url}"' in client.get(link).text.split("<main", 1)[-1]
    assert client.get(f"{link}&format=json").json["total"] == 40
    rows = [*csv.reader(io.StringIO(client.get(f"{url}?format=csv").text))]
    assert rows[0][:6] == ["event", "day", "week", "month", "year", "day complete"]
    assert rows[2][:6] == ["play", "10", "40", "180", "900", "False"]
    told = client.get(f"{url}?format=json&per_page=1&page=2").json
    assert ([each["name"] for each in told["events"]], told["pages"]) == (["play"], 2)
    assert "Page 1 of 2" in client.get(f"{url}?per_page=1&page=1").text
    # The pages of the users are not those of the events.
    listed = client.get(f"{url}?active=week&page=2&per_page=30&format=json").json
    assert len(listed["ids"]) == 10
    listed = client.get(f"{url}?active=week&per_page=9999&format=json").json
    assert len(listed["ids"]) == 40


@pytest.mark.parametrize(
    ("asked", "field"),
    [("as_of=x", "as_of"), ("per_page=251", "per_page"), ("active=year", "active")],
)
def test_what_is_wrong_is_told(
    page: tuple[FlaskClient, str], asked: str, field: str
) -> None:
    client, url = page
    wrong = client.get(f"{url}?{asked}")
    assert wrong.status_code == 400
    assert 'role="search"' in wrong.text
    told = client.get(f"{url}?{asked}&format=json")
    assert [*told.json["errors"]] == [field]


def test_pages_that_ask_nothing_offer_the_busiest_events(growing: Flask) -> None:
    client = growing.test_client()
    offered = re.findall(
        r'<a class="btn btn-sm bm-btn" href="([^"]+)">([^<]+)</a>',
        client.get("/bitmapist/trends").text,
    )
    assert [text for _, text in offered] == ["Trends: play", "Trends: buy"]
    html = client.get("/bitmapist/funnel").text
    (steps,) = re.findall(r'href="([^"]+)">Funnel: play, buy<', html)
    funnel = client.get(f"{steps.replace('&amp;', '&')}&format=json").json
    assert funnel["steps"] == ["play", "buy"]
