"""Whatever a page is asked, it answers or refuses: it never breaks."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from flask_bitmapist import mark_event
from flask_bitmapist.web.registry import PAGES

NASTY = st.sampled_from(
    [
        *("", "0", "-1", "1e9", "NaN", "9" * 5000, "٣", "１２", "1_0", " 7 ", "\x00"),
        *("<script>", "{{7*7}}", "%(x)s", "%", "=1+1", "\r\nSet-Cookie: a=b", "\ufffd"),
        *(
            "a" * 20_000,
            "*",
            "[",
            "\\",
            "__class__",
            "purchase",
            "days",
            "y",
            "1970-01-01",
        ),
        *("9999-12-31", "0000-00-00", "2024-02-30", "2026-W53", "json", "csv", "html"),
    ]
)
TEXT = st.one_of(NASTY, st.text(max_size=20))
FIELDS = sorted(
    {
        *("primary_event", "secondary_event", "additional_events-0-name", "event"),
        *("additional_events-0-op", "additional_events-99999999999-name", "time_group"),
        *("num_rows", "num_cols", "num_periods", "num_days", "as_of", "format", "page"),
        *("per_page", "period", "column", "stage", "step", "lost", "days", "active"),
        *(
            "events-0",
            "events-x",
            "steps-0",
            "steps-1",
            "window",
            "user_id",
            "flag",
            "q",
        ),
        *("add", "remove", "preset", "json", "unbounded", "as_percent", "rolling_7"),
        *("_external", "_scheme", "_anchor", "_method", "endpoint", "self", "page_"),
    }
)
BOUNDED = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    with app.app_context():
        mark_event("purchase", 1)
    return app.test_client()


def check(response: Any) -> None:
    assert response.status_code in (200, 302, 400), response.status_code
    if response.mimetype == "text/html":  # in JSON it is a text like any other
        assert "<script>" not in response.text.replace("<script src", "")
    assert "Traceback" not in response.text
    assert "Set-Cookie" not in response.headers
    if response.status_code == 302:
        assert response.location.startswith("/bitmapist/")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
@BOUNDED
@given(arguments=st.dictionaries(st.sampled_from(FIELDS), TEXT, max_size=8))
def test_no_url_breaks_a_page(
    client: FlaskClient, page: Any, arguments: dict[str, str]
) -> None:
    valid = {"primary_event": "purchase", "secondary_event": "purchase"}
    valid |= {"event": "purchase", "events-0": "purchase", "steps-0": "purchase"}
    valid |= {"steps-1": "purchase", "user_id": "1"}
    place = "" if page.name == "index" else page.name
    for asked in (arguments, {**valid, **arguments}):
        check(client.get(f"/bitmapist/{place}", query_string=asked))


JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), TEXT
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)
    ),
    max_leaves=6,
)


@BOUNDED
@example(body={"<script>": []})
@given(body=st.one_of(JSON, st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6)))
def test_no_body_breaks_the_cohort(client: FlaskClient, body: Any) -> None:
    if isinstance(body, dict):
        body = {"primary_event": "purchase", "secondary_event": "purchase", **body}
        body.setdefault("additional_events", [{"name": "purchase", "op": "and"}])
    for url in ("/bitmapist/cohort", "/bitmapist/cohort?json=true"):
        check(client.post(url, json=body))


@BOUNDED
@given(body=st.binary(max_size=50))
def test_no_bytes_break_the_cohort(client: FlaskClient, body: bytes) -> None:
    check(client.post("/bitmapist/cohort", data=body, content_type="application/json"))


@BOUNDED
@given(query=st.binary(max_size=30))
def test_no_bytes_in_a_url_break_a_page(client: FlaskClient, query: bytes) -> None:
    quoted = "".join(f"%{byte:02x}" for byte in query)
    check(
        client.get(f"/bitmapist/cohort?primary_event={quoted}&secondary_event={quoted}")
    )
