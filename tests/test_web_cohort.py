"""The cohort page: what it is asked by, and what it answers."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import bitmapist
import pytest
from flask import Flask
from flask.testing import FlaskClient

from flask_bitmapist import mark_event

ASKED = "/bitmapist/cohort?primary_event=came&secondary_event=came"
JUNE = "&time_group=days&as_of=2026-06-05&num_rows=3&num_cols=3&cells=users"


def day(number: int) -> datetime:
    return datetime(2026, 6, number, 12, tzinfo=timezone.utc)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """Users 1 to 4 came on 3 June, of them 1 and 2 again on the 4th, 1 on the 5th."""
    with app.app_context():
        for user in (1, 2, 3, 4):
            mark_event("came", user, now=day(3))
        for user in (1, 2):
            mark_event("came", user, now=day(4))
        mark_event("came", 1, now=day(5))
        mark_event("paid", 2, now=day(4))
    return app.test_client()


def test_json_has_the_promised_keys_and_numbers(client: FlaskClient) -> None:
    answer = client.get(ASKED + JUNE + "&format=json").get_json()
    expected = {
        "cohort": [[4, 2, 1], [2, 1, None], [1, None, None]],
        "dates": ["2026-06-03", "2026-06-04", "2026-06-05"],
        "total": 7,
        "row_totals": [4, 2, 1],
        "col_totals": [7, 3, 1],
        "averages": [1.0, 0.5, 0.25],
        "time_group": "days",
        "as_percent": False,
        "num_rows": 3,
        "num_cols": 3,
    }
    assert {key: answer[key] for key in expected} == expected


def test_cells_are_shares_of_the_row(client: FlaskClient) -> None:
    asked = ASKED + JUNE.removesuffix("&cells=users")
    answer = client.get(asked + "&format=json").get_json()
    assert answer["as_percent"] is True
    assert answer["cohort"] == [[1.0, 0.5, 0.25], [1.0, 0.5, None], [1.0, None, None]]
    assert answer["averages"] == [1.0, 0.5, 0.25]


def test_the_page_shows_the_numbers_of_the_json(client: FlaskClient) -> None:
    page = client.get(ASKED + JUNE).text
    for text in (">4</a>", ">2</a>", "50.0%", "3 Jun 2026", "UTC", "Weighted average"):
        assert text in page
    assert "25.0%" in client.get(ASKED + JUNE.replace("users", "percent")).text


def test_what_is_left_out_has_a_default(client: FlaskClient) -> None:
    answer = client.get("/bitmapist/cohort?primary_event=came&format=json").get_json()
    assert (answer["num_rows"], answer["num_cols"]) == (12, 12)
    assert (answer["time_group"], answer["returned"]) == ("weeks", "each")
    assert answer["secondary"] == "came"
    assert answer["as_percent"] is True
    assert answer["first_time"] is False


@pytest.mark.parametrize("unit", ["hour", "day", "week", "month", "year"])
def test_time_groups_come_in_singular_and_plural(
    client: FlaskClient, unit: str
) -> None:
    for name in (unit, f"{unit}s"):
        answer = client.get(f"{ASKED}&format=json&time_group={name}").get_json()
        assert answer["time_group"] == f"{unit}s"


@pytest.mark.parametrize("off", ["false", "False", "0", "no", "off", "n", ""])
def test_a_switch_can_be_off_in_many_words(client: FlaskClient, off: str) -> None:
    url = f"{ASKED}{JUNE}&format=json&first_time={off}&unbounded={off}"
    answer = client.get(url).get_json()
    assert answer["first_time"] is False
    assert answer["returned"] == "each"


def test_further_conditions_chain_to_the_second_event(client: FlaskClient) -> None:
    url = ASKED + JUNE + "&format=json"
    both = url + "&additional_events-0-name=paid&additional_events-0-op=and"
    assert client.get(both).get_json()["cohort"][0] == [0, 1, 0]
    either = url + "&additional_events-0-name=paid&additional_events-0-op=or"
    assert client.get(either).get_json()["cohort"][0] == [4, 2, 1]


def test_blank_conditions_do_not_count(client: FlaskClient) -> None:
    url = ASKED + JUNE + "&format=json&additional_events-0-name="
    assert client.get(url).get_json()["cohort"][0] == [4, 2, 1]


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ("secondary_event=came", "primary_event"),
        ("num_rows=x", "num_rows"),
        ("num_rows=0", "num_rows"),
        ("num_rows=1001", "num_rows"),
        ("num_cols=-1", "num_cols"),
        ("num_cols=99999999999999999999999", "num_cols"),
        ("num_cols=1_0", "num_cols"),
        ("time_group=fortnights", "time_group"),
        ("as_of=yesterday", "as_of"),
        ("with_replacement=maybe", "with_replacement"),
        ("additional_events-0-name=a+or", "additional_events-0-name"),
        ("returned=never", "returned"),
        ("format=xml", "format"),
        (
            "additional_events-0-name=a&additional_events-0-op=xor",
            "additional_events-0-op",
        ),
        ("period=2001-01-01", "period"),
        ("period=2001-01-01&column=x", "column"),
        ("column=1", "period"),
    ],
)
def test_wrong_input_is_refused_beside_its_field(
    client: FlaskClient, arguments: str, field: str
) -> None:
    asked = "/bitmapist/cohort?" + arguments
    if field not in ("primary_event", "secondary_event"):
        asked += "&primary_event=came&secondary_event=came"
    page = client.get(asked)
    assert page.status_code == 400
    assert "Please fix the following" in page.text
    refused = client.get(asked, headers={"Accept": "application/json"})
    assert refused.status_code == 400
    assert field in refused.get_json()["errors"]
    assert all(refused.get_json()["errors"][field])


def test_the_message_stands_beside_its_field(client: FlaskClient) -> None:
    page = client.get(ASKED + "&num_rows=1001").text
    field = page[page.index('name="num_rows"') :][:400]
    assert 'aria-invalid="true"' in field
    assert "This must be a whole number from 1 to 1,000." in field
    assert 'value="1001"' in field


def test_a_page_that_is_asked_nothing_shows_its_form(client: FlaskClient) -> None:
    page = client.get("/bitmapist/cohort")
    assert page.status_code == 200
    assert 'name="primary_event"' in page.text
    assert 'value="came"' in page.text  # offered in the pickers
    assert "<table" not in page.text


def test_an_unknown_event_is_told_with_the_nearest_one(client: FlaskClient) -> None:
    for asked in ("primary_event=cmae", "primary_event=came&within=cmae"):
        page = client.get(f"/bitmapist/cohort?{asked}")
        assert page.status_code == 400
        assert "Did you mean &#39;came&#39;?" in page.text
    allowed = "/bitmapist/cohort?primary_event=nope&allow_unknown=y&format=json"
    assert client.get(allowed).get_json()["total"] == 0
    assert client.get(ASKED + "&format=json").get_json()["warnings"] == []


def test_csv_is_a_file_with_a_row_for_each_period(client: FlaskClient) -> None:
    response = client.get(ASKED + JUNE + "&format=csv")
    assert response.mimetype == "text/csv"
    assert response.headers["Content-Disposition"].startswith("attachment;")
    rows = list(csv.reader(io.StringIO(response.text)))
    assert rows[0] == [
        *("day", "users", "complete", "complete columns", "0", "1", "2"),
        *("start", "end"),
    ]
    assert rows[1] == [
        *("2026-06-03", "4", "True", "3", "4", "2", "1"),
        *("2026-06-03T00:00:00+00:00", "2026-06-04T00:00:00+00:00"),
    ]
    assert rows[3][:7] == ["2026-06-05", "1", "True", "1", "1", "", ""]


def test_csv_for_a_browser_says_that_it_is_utf_8_and_for_a_program_begins_plainly(
    client: FlaskClient,
) -> None:
    asked = ASKED + JUNE + "&format=csv"
    browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    for url in (asked, asked + "&period=2026-06-03"):
        plain = client.get(url, headers={"Accept": "*/*"}).data
        assert plain[:1].isalpha()
        assert client.get(url).data == plain
        response = client.get(url, headers=browser)
        assert response.data == b"\xef\xbb\xbf" + plain
        assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert "Accept" in response.headers["Vary"]


def test_post_gives_the_heatmap_alone(client: FlaskClient) -> None:
    body = {
        "primary_event": "came",
        "secondary_event": "came",
        "additional_events": [{"name": "paid", "op": "or"}],
        "time_group": "day",
        "num_rows": 3,
        "num_cols": 3,
        "as_of": "2026-06-05",
        "with_replacement": True,
        "as_percent": False,
    }
    response = client.post("/bitmapist/cohort", json=body)
    assert response.status_code == 200
    assert "<table" in response.text
    assert "<html" not in response.text
    assert "<form" not in response.text
    answer = client.post("/bitmapist/cohort?json=true", json=body).get_json()
    assert answer["cohort"] == [[4, 2, 1], [2, 1, None], [1, None, None]]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "primary_event"),
        ({"primary_event": ["came"]}, "primary_event"),
        ({"num_rows": {"a": 1}}, "num_rows"),
        ({"num_rows": 1.5}, "num_rows"),
        ({"additional_events": "came"}, "additional_events"),
        ({"additional_events": [{"op": "and"}]}, "additional_events"),
        ({"additional_events": [5]}, "additional_events"),
        ({"additional_events": [{"name": ["a"], "op": "and"}]}, "additional_events"),
        ({"additional_events": [{"name": "a", "op": "not"}]}, "additional_events-0-op"),
        ({"additional_events": [{"name": "a"}] * 21}, "additional_events"),
        ({"primary_event": "\ud800"}, "primary_event"),
        ({"primary_event": "x" * 1_025}, "primary_event"),
    ],
)
def test_a_wrong_body_is_refused_by_field(
    client: FlaskClient, body: dict[str, Any], field: str
) -> None:
    if field not in ("primary_event", "secondary_event"):
        body = {"primary_event": "came", "secondary_event": "came", **body}
    response = client.post("/bitmapist/cohort?json=true", json=body)
    assert response.status_code == 400
    assert field in response.get_json()["errors"]
    assert client.post("/bitmapist/cohort", json=body).status_code == 400


@pytest.mark.parametrize(
    "body", ["", "{", "[]", "1", "null", "[" * 100_000, '{"a": NaN}']
)
def test_a_body_that_is_no_object_is_refused(client: FlaskClient, body: str) -> None:
    for url in ("/bitmapist/cohort", "/bitmapist/cohort?json=true"):
        response = client.post(url, data=body, content_type="application/json")
        assert response.status_code == 400
    assert response.get_json()["errors"]


def test_hostile_names_are_text_and_nothing_else(client: FlaskClient) -> None:
    name = "\"><script>alert(1)</script>'{{7*7}}\n=1+1"
    asked = {"primary_event": name, "allow_unknown": "y"}
    with client.application.app_context():
        bitmapist.mark_event(name, 1)  # which takes any name
    response = client.get("/bitmapist/cohort", query_string=asked)
    assert response.status_code == 200
    assert "<script>alert" not in response.text
    assert "49" not in response.text
    for form in ("json", "csv"):
        asked["format"] = form
        response = client.get("/bitmapist/cohort", query_string=asked)
        assert response.status_code == 200
        assert "\n" not in response.headers.get("Content-Disposition", "")


def test_a_cell_opens_the_list_of_its_users(client: FlaskClient) -> None:
    cell = ASKED + JUNE + "&period=2026-06-03&column=1"
    page = client.get(cell).text
    assert "2 users" in page
    assert client.get(cell + "&format=json").get_json()["ids"] == [1, 2]
    assert client.get(cell + "&format=csv").text.split() == ["user_id", "1", "2"]
    assert client.get(cell).headers["Cache-Control"] == "private, no-store"
    row = ASKED + JUNE + "&period=2026-06-03&format=json"
    assert client.get(row).get_json()["ids"] == [1, 2, 3, 4]


def test_the_links_of_the_cells_lead_to_their_users(client: FlaskClient) -> None:
    page = client.get(ASKED + JUNE).text
    assert "period=2026-06-03&amp;column=1" in page
    assert "as_of=2026-06-05" in page


def test_long_lists_of_users_come_in_pages(client: FlaskClient) -> None:
    row = ASKED + JUNE + "&period=2026-06-03"
    second = client.get(row + "&per_page=3&page=2&format=json").get_json()
    assert (second["ids"], second["total"], second["pages"]) == ([4], 4, 2)
    assert "Page 1 of 2" in client.get(row + "&per_page=3").text
    for wrong in ("page=0", "page=x", "per_page=99999"):
        assert client.get(row + "&" + wrong).status_code == 400


def test_users_have_names_and_links_of_the_app(make_app: Callable[..., Flask]) -> None:
    app = make_app(
        BITMAPIST_USER_URL="/people/{id}", BITMAPIST_USER_NAME=lambda id: f"<Ann {id}>"
    )
    with app.app_context():
        mark_event("came", 7)
    today = datetime.now(tz=timezone.utc).date()
    page = app.test_client().get(f"{ASKED}&time_group=days&period={today}").text
    assert 'href="/people/7"' in page
    assert "&lt;Ann 7&gt;" in page


def test_a_callable_may_say_where_a_user_is(make_app: Callable[..., Flask]) -> None:
    app = make_app(BITMAPIST_USER_URL=lambda id: f"/u/{id}" if id == 7 else None)
    with app.app_context():
        mark_event("came", 7)
        mark_event("came", 8)
    today = datetime.now(tz=timezone.utc).date()
    page = app.test_client().get(f"{ASKED}&time_group=days&period={today}").text
    assert 'href="/u/7"' in page
    assert "/u/8" not in page


@pytest.mark.parametrize(
    ("url", "is_linked"),
    [
        ("https://shop.example/u/7", True),
        ("//shop.example/u/7", True),
        ("u/7?at=12:30", True),
        ("javascript:alert(1)", False),
        (" java\nscript:alert(1)", False),
        ("\x01JavaScript:alert(1)", False),
        ("data:text/html,x", False),
    ],
)
def test_a_callable_of_the_app_links_to_pages_and_to_nothing_else(
    url: str,
    is_linked: bool,
    make_app: Callable[..., Flask],
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = make_app(BITMAPIST_USER_URL=lambda id: url)
    with app.app_context():
        mark_event("came", 7)
    today = datetime.now(tz=timezone.utc).date()
    page = app.test_client().get(f"{ASKED}&time_group=days&period={today}")
    assert page.status_code == 200
    assert (f'href="{url}"' in page.text) == is_linked
    assert ("BITMAPIST_USER_URL gave" in caplog.text) != is_linked


def test_a_preset_leads_to_the_url_that_spells_it_out(client: FlaskClient) -> None:
    response = client.get(ASKED + "&preset=12-weeks&_external=1&_scheme=x")
    assert response.status_code == 302
    for part in (
        "time_group=weeks",
        "num_rows=12",
        "num_cols=12",
        "primary_event=came",
    ):
        assert part in response.location
    assert "preset" not in response.location
    assert response.location.startswith("/bitmapist/cohort?")


def test_conditions_are_added_without_scripts(client: FlaskClient) -> None:
    page = client.get(ASKED + "&num_rows=7&add=additional_events")
    assert page.status_code == 200
    assert 'name="additional_events-0-name"' in page.text
    assert 'value="7"' in page.text


def test_conditions_are_removed_without_scripts(client: FlaskClient) -> None:
    url = (
        ASKED + "&additional_events-0-name=one&additional_events-0-op=or"
        "&additional_events-1-name=two&additional_events-1-op=and&remove=additional_events-0"
    )
    page = client.get(url).text
    assert 'value="two"' in page
    assert 'value="one"' not in page
    assert "additional_events-1-name" not in page


def test_editing_an_unfinished_form_is_not_reproached(client: FlaskClient) -> None:
    page = client.get("/bitmapist/cohort?primary_event=&add=additional_events")
    assert page.status_code == 200
    assert "Please fix the following" not in page.text


def test_what_is_not_over_is_marked_and_the_future_blank(client: FlaskClient) -> None:
    page = client.get(ASKED + JUNE).text
    assert page.count('class="bm-future"></td>') == 3
    assert "so far" not in page
    with client.application.app_context():
        mark_event("came", 1)
    running = client.get(ASKED + "&num_rows=1&num_cols=3").text
    assert running.count(" bm-part") == 2  # one of them in the legend
    assert "so far" in running


def test_a_row_without_users_shows_dashes(client: FlaskClient) -> None:
    page = client.get(ASKED + JUNE.replace("num_rows=3", "num_rows=4")).text
    assert page.count("no users</span>") == 3


def test_a_past_period_without_anybody_shows_zero(client: FlaskClient) -> None:
    url = "/bitmapist/cohort?primary_event=came&secondary_event=paid" + JUNE
    assert client.get(url + "&format=json").get_json()["cohort"][0] == [0, 1, 0]
    assert '<td class="heat-0">0</td>' in client.get(url).text


def test_a_flag_narrows_the_rows(client: FlaskClient, app: Flask) -> None:
    from flask_bitmapist import mark_unique

    with app.app_context():
        mark_unique("premium", 1)
        mark_unique("premium", 3)
    answer = client.get(ASKED + JUNE + "&flag=premium&format=json").get_json()
    assert answer["row_totals"] == [2, 1, 1]


def test_redis_that_is_down_is_told_plainly(
    make_app: Callable[..., Flask], redis_process: Any
) -> None:
    client = make_app(BITMAPIST_REDIS_URL=redis_process.url).test_client()
    assert client.get(ASKED).status_code == 200
    redis_process.kill()
    page = client.get(ASKED)
    assert page.status_code == 503
    assert "Redis does not answer" in page.text
    assert "Traceback" not in page.text
    assert redis_process.url not in page.text
    answer = client.get(ASKED + "&format=json")
    assert answer.status_code == 503
    assert "Redis does not answer" in answer.get_json()["errors"]["form"][0]
