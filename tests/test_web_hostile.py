"""Whatever a page is asked, it answers or refuses: it never breaks, or runs input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from markupsafe import escape

from flask_bitmapist import Period, TimeGroup, mark_event
from flask_bitmapist.query import utc_now

from .hostile import (
    FIELDS,
    FORMULAS,
    HEADERS,
    MARK,
    MARKUP,
    OTHER,
    TEXT,
    check_csv,
    check_html,
    check_response,
)
from .inside import MOST_ARGUMENTS, Source, redis_key
from .marks import rename_user
from .pages import ANSWERS, PAGES, add_tabs

try:
    from flask_admin import Admin
except ImportError:  # then there are no tabs
    Admin = None

VALID = {
    **{"primary_event": "purchase", "secondary_event": "purchase"},
    **{"event": "purchase", "events-0": "purchase", "steps-0": "purchase"},
    **{"steps-1": "purchase", "user_id": "1", "user": "1"},
}
# Each example asks twice: as it is, and with what it takes to get to the answer.
BOUNDED = settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


# These take a body as well.
QUESTIONS = {page.path for page in (*PAGES, *ANSWERS)}


def urls() -> list[str]:
    """Return where the pages are, on each surface."""
    names = [page.name for page in PAGES]
    tabs = [f"/admin/bitmapist/{name}/" for name in (*names, "users")] if Admin else []
    return [*(f"/bitmapist{page.path}" for page in (*PAGES, *ANSWERS)), *tabs]


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    add_tabs(app)
    with app.app_context():
        mark_event("purchase", 1)
    return app.test_client()


@pytest.mark.parametrize("url", urls())
@BOUNDED
@given(
    arguments=st.lists(st.tuples(st.sampled_from(FIELDS), TEXT), max_size=8),
    headers=HEADERS,
)
def test_no_url_breaks_a_page(
    client: FlaskClient,
    url: str,
    arguments: list[tuple[str, str]],
    headers: dict[str, str],
) -> None:
    named = {name for name, _ in arguments}
    valid = [(name, value) for name, value in VALID.items() if name not in named]
    for asked in (arguments, [*valid, *arguments]):
        query = "&".join(f"{quoted(name)}={quoted(value)}" for name, value in asked)
        with client.get(url, query_string=query, headers=headers) as response:
            check_response(response)


def quoted(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode("utf-8", "surrogatepass"))


DELETIONS = ["/bitmapist/events/delete", "/bitmapist/people/forget"]
if Admin is not None:
    DELETIONS += [f"/admin{url}" for url in DELETIONS]
LEADING = ["/admin/bitmapist/"] if Admin is not None else []
"""What takes no questions, and leads to a page."""


def test_these_tests_ask_every_route(client: FlaskClient) -> None:
    ours = {
        rule.rule
        for rule in client.application.url_map.iter_rules()
        if rule.endpoint.startswith("bitmapist")
        and not rule.endpoint.endswith("static")
    }
    assert ours == {*urls(), *DELETIONS, *LEADING, "/bitmapist/openapi.json"}


@pytest.fixture
def deletable(make_app: Callable[..., Flask]) -> Flask:
    """An app of which an event might be deleted."""
    app = make_app(BITMAPIST_ALLOW_DELETE=True, BITMAPIST_ACCESS=lambda: True)
    add_tabs(app)
    with app.app_context():
        mark_event("purchase", 1)
    return app


@pytest.mark.parametrize("url", DELETIONS)
@BOUNDED
@example(asked={"event": "purchase", "confirm": "purchase"})
@example(asked={"user": "1", "confirm": "1"})
@given(
    asked=st.dictionaries(
        st.sampled_from(
            ["event", "user", "before", "confirm", "bitmapist_csrf", "format", "flag"]
        ),
        st.one_of(st.just("purchase"), st.just("1"), TEXT),
    )
)
def test_no_forged_or_broken_request_deletes_anything(
    deletable: Flask, url: str, asked: dict[str, str]
) -> None:
    client = deletable.test_client()
    for valid in ({}, {"event": "purchase", "user": "1"}):
        fields = {**valid, **asked}
        for answer in (
            client.get(url, query_string=fields),
            client.post(url, data=fields),
        ):
            check_response(answer, {200, 400}, has_session=True)
    assert deletable.extensions["bitmapist"].query.count("purchase") == 1


JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), TEXT
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)
    ),
    max_leaves=6,
)
POSTED = ["/bitmapist/cohort", "/bitmapist/cohort?json=true"]
TABS_POSTED = [url for url in urls() if url.startswith("/admin/")]


@pytest.mark.parametrize("url", [*POSTED, *TABS_POSTED])
@BOUNDED
@example(body={f"<{MARK}>": []})
@given(body=st.one_of(JSON, st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6)))
def test_no_body_breaks_a_page(client: FlaskClient, url: str, body: Any) -> None:
    if isinstance(body, dict):
        body = {**VALID, **body}
        body.setdefault("additional_events", [{"name": "purchase", "op": "and"}])
    check_response(client.post(url, json=body))


@pytest.mark.parametrize("url", POSTED)
@BOUNDED
@example(body=b"[" * 100_000)
@example(body=b'{"num_rows": ' + b"9" * 10_000 + b"}")
@example(body=b'{"as_of": "\\ud800", "primary_event": "\\ud800"}')
@example(body=b"\xff\xfe{\x00}\x00")
@given(body=st.binary(max_size=50))
def test_no_bytes_break_the_cohort(client: FlaskClient, url: str, body: bytes) -> None:
    check_response(client.post(url, data=body, content_type="application/json"))


@pytest.mark.parametrize("url", ["/bitmapist/cohort", "/bitmapist/people"])
@BOUNDED
@given(query=st.binary(max_size=30))
def test_no_bytes_in_a_url_break_a_page(
    client: FlaskClient, url: str, query: bytes
) -> None:
    text = "".join(f"%{byte:02x}" for byte in query)
    asked = f"primary_event={text}&secondary_event={text}&user_id={text}&{text}={text}"
    check_response(client.get(f"{url}?{asked}"))


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"]
)
@pytest.mark.parametrize("url", urls())
def test_no_method_breaks_a_page(client: FlaskClient, url: str, method: str) -> None:
    for body in (None, b"x", b"{}"):
        response = client.open(url, method=method, data=body)
        check_response(response)
        path = url.removeprefix("/bitmapist")
        takes_a_body = path in QUESTIONS and method == "POST"
        if url.startswith("/bitmapist/") and method != "HEAD" and not takes_a_body:
            assert response.status_code == (200 if method == "OPTIONS" else 405)


@BOUNDED
@given(
    path=st.one_of(
        TEXT,
        st.sampled_from(["../config.py", "..%2f..%2fconfig.py", "%2e%2e/x", "C:/x"]),
    )
)
def test_nothing_but_assets_is_among_the_assets(client: FlaskClient, path: str) -> None:
    for place in ("/bitmapist/static/", "/bitmapist/"):
        with client.get(place + path) as response:
            check_response(response)
            assert b"ConfigError" not in response.data


@pytest.mark.parametrize("payload", MARKUP[:8])
def test_these_tests_notice_what_is_not_escaped(payload: str) -> None:
    for page in ("<p>%s</p>", '<p title="%s">', "<p title='%s'>", "<p title=a%s>"):
        with suppress(AssertionError):
            check_html(page % payload)
            continue
        break
    else:
        pytest.fail(f"nothing was noticed of {payload!r}")
    check_html(f'<p title="{escape(payload)}">{escape(payload)}</p>')


# Names as whoever can mark with names from outside might have made them.
NAMES = [*MARKUP, *FORMULAS, *(each for each in OTHER if 0 < len(each) <= 10_000)]


@pytest.fixture
def hostile_names(client: FlaskClient, redis_client: redis.Redis) -> list[str]:
    """Events of hostile names, as bitmapist itself would have marked them."""
    now = utc_now()
    periods = [Period.containing(group, now) for group in list(TimeGroup)[:4]]
    for name in NAMES:
        sources = [Source(name, period) for period in periods]
        for key in [*map(redis_key, sources), redis_key(Source(name, None))]:
            redis_client.setbit(key, 1, 1)  # type: ignore[arg-type]
    for raw in (b"\xff\xfe", b"a\x80b"):
        redis_client.setbit(b"trackist_" + raw + b"_2026-11", 1, 1)
    assert client.get("/bitmapist/events?refresh=y").status_code == 200
    return NAMES


@pytest.mark.parametrize("surface", ["/bitmapist", "/admin/bitmapist"])
@pytest.mark.parametrize("form", ["html", "json", "csv"])
def test_no_name_of_an_event_becomes_code(
    client: FlaskClient, hostile_names: list[str], surface: str, form: str
) -> None:
    if surface.startswith("/admin") and Admin is None:
        pytest.skip("there are no tabs without Flask-Admin")
    end = "/" if surface.startswith("/admin") else ""
    start = "/index/" if end else "/"
    for page in (start, f"/people{end}", f"/events{end}"):
        asked = {"user": 1, "per_page": 250, "format": form}
        with client.get(surface + page, query_string=asked) as response:
            check_response(response, {200})
            assert MARK in response.text
    for page, fields in {
        "cohort": ("primary_event", "secondary_event", "additional_events-0-name"),
        "lifecycle": ("event",),
        "stickiness": ("event",),
    }.items():
        for name in hostile_names:
            check_question(client, f"{surface}/{page}{end}", form, fields, [name] * 3)
    # The entries of a list are alike: short names stand side by side there.
    short = [name for name in hostile_names if len(name.encode()) < 100]
    long = [[name, name] for name in hostile_names if name not in short]
    assert len(long) < 5 < len(short)
    for page, entry in {"trends": "events", "funnel": "steps"}.items():
        fields = tuple(f"{entry}-{at}" for at in range(10))
        for names in (
            *(short[at : at + 10] for at in range(0, len(short) - 1, 9)),
            *long,
        ):
            check_question(client, f"{surface}/{page}{end}", form, fields, names)


def check_question(
    client: FlaskClient,
    url: str,
    form: str,
    fields: Sequence[str],
    names: Sequence[str],
) -> None:
    asked = dict(zip(fields, names))
    size = sum(len(name.encode()) for name in asked.values())
    with client.get(url, query_string={**asked, "format": form}) as response:
        check_response(response, {200 if size < MOST_ARGUMENTS else 400})


def test_keys_of_users_do_not_become_code(
    make_app: Callable[..., Flask], redis_client: redis.Redis
) -> None:
    app = make_app(BITMAPIST_ID_MAP=True, BITMAPIST_USER_URL="/users/{id}")
    with app.app_context():
        for at, key in enumerate([*MARKUP, *FORMULAS]):
            mark_event("came", f"user {at}")
            # Not all of them can be marked; others may have written them all the same.
            rename_user(redis_client, f"user {at}", key)
    client = app.test_client()
    today = Period.containing(TimeGroup.DAYS, utc_now()).label
    listed = f"/bitmapist/trends?events-0=came&period={today}"
    html = client.get(listed)
    assert MARK in html.text
    check_html(html.text)
    check_response(client.get(listed + "&format=json"), {200})
    with client.get(listed + "&format=csv") as exported:
        assert MARK in exported.text
        check_csv(exported.text)
    for key in [*MARKUP, *FORMULAS]:
        check_response(client.get("/bitmapist/people", query_string={"user": key}))


def test_files_of_results_from_python_and_commands_hold_no_formulas(
    app: Flask,
) -> None:
    with app.app_context():
        for name in FORMULAS[:4]:
            mark_event(name, 1)
    query = app.extensions["bitmapist"].query
    check_csv(query.trend(FORMULAS[:4]).to_csv())
    check_csv(query.membership(1).to_csv())
    runner = app.test_cli_runner()
    for arguments in (["events", "--csv"], ["user", "1", "--csv"]):
        done = runner.invoke(args=["bitmapist", *arguments])
        assert done.exit_code == 0, done.output
        assert "'=1+1" in done.stdout
        check_csv(done.stdout)


def test_a_huge_question_is_refused_soon(client: FlaskClient) -> None:
    many = "&".join(f"additional_events-{each}-name=a" for each in range(250))
    response = client.get(f"/bitmapist/cohort?primary_event=a&secondary_event=a&{many}")
    check_response(response, {400})
    assert "At most 20 are allowed." in response.text
    # As many fields as there may be entries, not as many as there are.
    assert response.text.count("additional_events-") < 500
    repeated = "&".join(["primary_event=a"] * 20_000)
    response = client.get(f"/bitmapist/cohort?{repeated}&secondary_event=a")
    check_response(response, {400})
    assert "can have at most 8,192 bytes" in response.text


class Endless:
    """A body without an end."""

    given = 0

    def read(self, size: int = -1) -> bytes:
        assert size >= 0, "somebody wants to read all of it"
        self.given += size
        return b" " * size

    def readline(self, size: int = -1) -> bytes:
        return self.read(size)
