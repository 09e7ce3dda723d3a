"""What a field is told while somebody types an expression into it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from flask_bitmapist import FlaskBitmapist, QueryError, mark_event, mark_unique

from .inside import parse, wanted
from .pages import url_of
from .reference import utc
from .strategies import Asked, expressions, windows

DAY = "2024-06-28"
PLAYED = {0: {1, 2, 3, 4}, 10: {4, 5}, 40: {6}}
"""Who played how many days before."""
ORDERED = {0: {1, 6}}
SIGNED_UP = {50: set(range(1, 9))}
PREMIUM = {2, 3, 9}
STAFF = {3}
HOSTILE = ["x ever", "and", 'say "hi"', "a (b)", "in", "<img src=x onerror=alert(1)>"]

Make = Callable[..., FlaskClient]


@pytest.fixture
def make(redis_url: str) -> Make:
    """Make apps with the same users, of whom some did more than others."""

    def client(**settings: Any) -> FlaskClient:
        app = Flask("tracked")
        app.config.update(
            {
                "BITMAPIST_REDIS_URL": redis_url,
                "BITMAPIST_ACCESS": "public",
                "SECRET_KEY": "for the tests",
                **settings,
            }
        )
        extension = FlaskBitmapist()
        extension.define("active", "song:played in last 28 days")
        extension.init_app(app)
        events = {"song:played": PLAYED, "Order Completed": ORDERED, "up": SIGNED_UP}
        with app.app_context():
            for event, days in events.items():
                for back, users in days.items():
                    for user in users:
                        mark_event(event, user, now=utc(DAY) - timedelta(days=back))
            for flag, users in {"premium": PREMIUM, "staff": STAFF}.items():
                for user in users:
                    mark_unique(flag, user)
        return app.test_client()

    return client


def told(client: FlaskClient, text: str, field: str = "segments", **more: Any) -> Any:
    """Return what a field of the trend is told of a text."""
    arguments = {"typed": text, "typed_in": field, "as_of": DAY, **more}
    answer = client.get("/bitmapist/trends", query_string=arguments)
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def offered(client: FlaskClient, text: str, field: str = "events") -> list[str]:
    """Return the texts that come of what is offered at the bar in *text*."""
    before, _, after = text.partition("|")
    found = told(client, before + after, field, caret=len(before))["options"]
    whole = before + after
    return [
        whole[: each["position"]]
        + each["insert"]
        + whole[each["position"] + each["length"] :]
        for each in found
    ]


@pytest.mark.parametrize(
    ("text", "users"),
    [
        ("song:played ever", {1, 2, 3, 4, 5, 6}),
        ("song:played in last 28 days", {1, 2, 3, 4, 5}),
        ("song:played in at least 2 of last 28 days", {4}),
        ("song:played stopped 28 days", {6}),
        ("active and not flag(premium)", {1, 4, 5}),
        ('"Order Completed" ever or flag(premium)', {1, 6, 2, 3, 9}),
        ("up ever and song:played never", {7, 8}),
        ("flag(premium)", PREMIUM),
    ],
)
def test_a_group_is_told_its_users_and_its_share_of_everyone(
    make: Make, text: str, users: set[int]
) -> None:
    answer = told(make(BITMAPIST_EVERYONE="up ever"), text)
    everyone = SIGNED_UP[50]
    assert answer["count"] == len(users)
    assert answer["share"] == len(users & everyone) / len(everyone)
    assert answer["told"].startswith(f"{len(users)} user")
    assert answer["told"].endswith("% of everyone")
    assert answer["wrong"] == []


def test_without_everyone_there_is_no_share(make: Make) -> None:
    answer = told(make(), "active")
    assert (answer["count"], answer["share"]) == (5, None)
    assert answer["told"] == "5 users"


def test_who_is_left_out_is_not_counted(make: Make) -> None:
    client = make(BITMAPIST_EXCLUDE="flag(staff)", BITMAPIST_EVERYONE="up ever")
    answer = told(client, "active", exclude='"Order Completed" ever')
    assert answer["count"] == len({1, 2, 3, 4, 5} - STAFF - {1, 6})
    assert answer["share"] == len({2, 4, 5}) / len({2, 4, 5, 7, 8})
    # The field that says so is told how many it leaves out.
    only = told(client, '"Order Completed" ever', "exclude", exclude="active")
    assert only["count"] == 2


@pytest.mark.parametrize(
    ("group", "users", "when"),
    [("days", 4, "28 Jun 2024"), ("months", 5, "Jun 2024"), ("", 4, "28 Jun 2024")],
)
def test_an_event_in_its_place_is_counted_in_the_period_of_the_form(
    make: Make, group: str, users: int, when: str
) -> None:
    answer = told(make(), "song:played", "events", time_group=group)
    assert answer["count"] == users
    assert answer["told"] == f"{when}: {users} users"


def test_the_current_period_is_called_so(make: Make) -> None:
    answer = told(make(), "song:played", "events", time_group="months", as_of="")
    assert answer["told"] == "This month: 0 users"


def test_each_name_that_is_not_known_is_told_with_its_place(make: Make) -> None:
    text = "(song:playd ever or active) and flag(premum) and not 'x'"
    answer = told(make(), text)
    places = [text[each["position"] :][: each["length"]] for each in answer["wrong"]]
    assert places == ["song:playd", "flag(premum)", "'x'"]
    assert "Did you mean 'song:played'?" in answer["wrong"][0]["message"]
    assert answer["count"] is None


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("active and )", ")"),
        ("active and (up ever", ""),
        ("up ever up", "up"),
        ("up in last x days", "x"),
        ("up in last 401 days and active", "up in last 401 days"),
        ("active and flag(premium) ever", "flag(premium) ever"),
        ('active and "up', '"up'),
        ("up", ""),
        ("active and", ""),
        ("😀 ever", "😀"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(
    make: Make, text: str, place: str
) -> None:
    (wrong,) = told(make(), text)["wrong"]
    start, length = wrong["position"], wrong["length"]
    assert text[start : start + length] == place
    assert wrong["message"]
    # What is only missing yet is missing at the end.
    assert length or start == len(text)


def test_who_did_not_are_counted_within_everyone(make: Make) -> None:
    assert told(make(BITMAPIST_EVERYONE="up ever"), "not active")["count"] == 3
    for field in ("segments", "exclude"):
        answer = told(make(), "not active", field)
        assert answer["wrong"] == []
        assert answer["told"] == "Counted among the users of the report."
    assert told(make(), "not active", "events")["wrong"]


def test_the_words_for_users_are_told_what_they_mean(make: Make) -> None:
    assert told(make(), "everyone else")["told"] == "everyone else"
    for is_locked in (True, False):
        settings = {"BITMAPIST_EXCLUDE_LOCKED": is_locked}
        client = make(BITMAPIST_EXCLUDE="flag(staff)", **settings)
        answer = told(client, "nobody", "exclude")
        assert bool(answer["wrong"]) == is_locked


def test_what_takes_too_long_to_count_is_not_called_wrong(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flask_bitmapist.web.typed.COUNTING", 1)
    answer = told(make(), "active")
    assert (answer["count"], answer["wrong"]) == (None, [])
    assert "too many users" in answer["told"]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("son|", "song:played"),
        ("play|", "song:played"),
        ("song:played and ord|", 'song:played and "Order Completed"'),
        ("order com|", '"Order Completed"'),
        ("active and Order C|", 'active and "Order Completed"'),
        ('"Ord|" ever', '"Order Completed" ever'),
        ("pre|", "flag(premium)"),
        ("flag(st|)", "flag(staff)"),
        ("flag(st|", "flag(staff)"),
        ("up i|", "up in last 28 days"),
        ("up in at least 2 |", "up in at least 2 of last 28 days"),
        ("up in last 3 m|", "up in last 3 months"),
        ("up between |", "up between 2024-06-01 and 2024-06-28"),
        ("up between 2024-01-01 and |", "up between 2024-01-01 and 2024-06-28"),
        ("up r|", "up restarted 28 days"),
        ("up ever a|", "up ever and "),
        ("up ever or active o|", "up ever or active or "),
        ("up ever and n|", "up ever and not "),
        ("not up ever w|", "not up ever within "),
        ("ac| and up ever", "active and up ever"),
        ("act|xyz and up ever", "active and up ever"),
        ("and| up", None),
        ("flag(premium) i|", None),
        ("up ever i|", None),
        ("active) |", None),
    ],
)
def test_what_may_stand_at_the_caret_is_offered(
    make: Make, text: str, first: str | None
) -> None:
    assert next(iter(offered(make(), text)), None) == first


def test_a_group_is_offered_its_words_and_goes_on_after_an_event(make: Make) -> None:
    found = offered(make(), "|", "segments")
    assert found[:2] == ["everyone", "everyone else"]
    assert {"active", "flag(premium)", "up "} <= {*found}
    assert "everyone" not in offered(make(), "active and e|", "segments")
    assert "everyone" not in offered(make(), "|", "events")


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_is_offered_as_it_has_to_be_written(make: Make, name: str) -> None:
    client = make()
    with client.application.app_context():
        mark_event(name, 1, now=utc(DAY))
    (text,) = {each for each in offered(client, "|") if each in (name, quoted(name))}
    assert told(client, text, "events")["count"] == 1
    assert told(client, f"{text} in last 7 days and active")["count"] == 1


def quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(st.one_of(expressions, windows()), st.data())
def test_whatever_can_be_written_is_wanted_at_every_place(
    asked: Asked, data: st.DataObject
) -> None:
    text = str(asked[0])
    cut = data.draw(st.integers(0, len(text)))
    want = wanted(text[:cut])
    begun = text[want.position :]
    names = {"name", "flag"} & want.kinds
    words = {kind for kind in want.kinds if begun.startswith(kind)}
    # One day is written "1 day".
    slots = ("N", "K", "DAY", "units", "days")
    rests = [
        rest
        for _, rest in want.windows
        if rest[0] in slots or begun.startswith(rest[0])
    ]
    assert names or words or rests or begun[:1] in ("", "(", ")", " ")


@given(st.one_of(expressions, windows()), st.data())
def test_the_beginning_of_an_expression_is_at_most_unfinished(
    asked: Asked, data: st.DataObject
) -> None:
    text = str(asked[0])
    begun = text[: data.draw(st.integers(0, len(text)))]
    # It is the word that is being written, or what is missing after it.
    assert end_of_what_is_wrong(begun) in (len(begun), len(begun.rstrip()))


def end_of_what_is_wrong(text: str) -> int | None:
    try:
        parse(text)
    except QueryError as error:
        return error.place and sum(error.place)
    return len(text)


@pytest.mark.parametrize("surface", ["standalone", "admin"])
def test_both_surfaces_tell_the_same_to_whoever_may_see_them(
    make: Make, surface: str
) -> None:
    pytest.importorskip("flask_admin")
    allowed = [True]
    client = make(BITMAPIST_ACCESS=lambda: allowed[0])
    app = client.application
    if surface == "admin":
        pytest.importorskip("flask_babel").Babel(app)
        FlaskBitmapist(app, admin=pytest.importorskip("flask_admin").Admin(app))
    asked = {"typed": "active", "typed_in": "segments", "as_of": DAY}
    url, as_json = url_of("cohort", surface), {"Accept": "application/json"}
    answer = client.get(url, query_string=asked, headers=as_json)
    assert answer.get_json()["count"] == 5
    allowed[0] = False
    answer = client.get(url, query_string=asked, headers=as_json)
    assert answer.status_code == 403
    assert "count" not in answer.text


def test_a_text_that_is_too_long_is_refused(make: Make) -> None:
    asked = {"typed": "a" * 10_000, "typed_in": "events"}
    answer = make().get("/bitmapist/trends", query_string=asked)
    assert answer.status_code == 400


def test_a_day_that_is_none_is_told(make: Make) -> None:
    answer = told(make(), "active", as_of="tomorrow")
    assert (answer["count"], answer["wrong"]) == (None, [])
    assert "YYYY-MM-DD" in answer["told"]
