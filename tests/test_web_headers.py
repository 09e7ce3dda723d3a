"""What the answers of the pages forbid browsers: foreign code, frames, keeping."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from flask_bitmapist import FlaskBitmapist, Period, TimeGroup, mark_event
from flask_bitmapist.query import utc_now

from .servers import free_port

TODAY = Period.containing(TimeGroup.DAYS, utc_now()).label
COHORT = "primary_event=came&time_group=days"

ANSWERS = {
    "a page": ("GET", "/bitmapist/cohort", 200),
    "an answer": ("GET", f"/bitmapist/cohort?{COHORT}", 200),
    "a part of a page": ("POST", "/bitmapist/cohort", 200),
    "JSON": ("GET", f"/bitmapist/cohort?{COHORT}&format=json", 200),
    "CSV": ("GET", f"/bitmapist/cohort?{COHORT}&format=csv", 200),
    "users": ("GET", f"/bitmapist/trends?events-0=came&period={TODAY}", 200),
    "an asset": ("GET", "/bitmapist/static/bitmapist.css", 200),
    "a refused question": ("GET", "/bitmapist/cohort?num_rows=x", 400),
    "refused JSON": ("GET", "/bitmapist/cohort?num_rows=x&format=json", 400),
    "a preset": ("GET", f"/bitmapist/cohort?{COHORT}&preset=12-weeks", 302),
    "a redirect": ("GET", "/bitmapist", 308),
    "no page": ("GET", "/bitmapist/nothing", 404),
    "no asset": ("GET", "/bitmapist/static/nothing.js", 404),
    "a wrong method": ("PUT", "/bitmapist/events", 405),
    "only headers": ("HEAD", "/bitmapist/cohort", 200),
    "options": ("OPTIONS", "/bitmapist/cohort", 200),
}


def check_headers(response: Any) -> None:
    (policy,) = response.headers.getlist("Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert "unsafe" not in policy
    assert "*" not in policy
    assert rules["default-src"] == rules["script-src"] == rules["style-src"] == "'self'"
    assert rules["frame-ancestors"] == rules["form-action"] == "'self'"
    assert rules["base-uri"] == rules["object-src"] == "'none'"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "same-origin"


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    with app.app_context():
        mark_event("came", 1)
    return app.test_client()


@pytest.mark.parametrize("kind", ANSWERS)
def test_every_answer_forbids_foreign_code_and_frames(
    client: FlaskClient, kind: str
) -> None:
    method, url, status = ANSWERS[kind]
    body = dict.fromkeys(("primary_event", "secondary_event"), "came")
    asked = {"json": body} if (method, status) == ("POST", 200) else {}
    with client.open(url, method=method, **asked) as response:  # type: ignore[arg-type]
        assert response.status_code == status
        check_headers(response)


def test_so_do_those_who_may_not_see_the_pages(make_app: Callable[..., Flask]) -> None:
    client = make_app(BITMAPIST_ACCESS=lambda: False).test_client()
    for url in ("/bitmapist/", "/bitmapist/cohort?format=json"):
        refused = client.get(url)
        assert refused.status_code == 403
        check_headers(refused)


def test_so_do_pages_without_redis_and_pages_that_break(
    make_app: Callable[..., Flask],
) -> None:
    url = f"redis://localhost:{free_port()}"
    client = make_app(BITMAPIST_REDIS_URL=url).test_client()
    for asked in ("/bitmapist/", "/bitmapist/events?format=json"):
        unavailable = client.get(asked)
        assert unavailable.status_code == 503
        check_headers(unavailable)

    def broken() -> bool:
        raise RuntimeError("this rule is broken")

    app = make_app(BITMAPIST_ACCESS=broken, PROPAGATE_EXCEPTIONS=False, TESTING=False)
    failed = app.test_client().get("/bitmapist/")
    assert failed.status_code == 500
    check_headers(failed)
    assert "this rule is broken" not in failed.text


def test_they_follow_the_prefix_and_leave_the_app_alone(
    make_app: Callable[..., Flask],
) -> None:
    app = make_app(BITMAPIST_URL_PREFIX="/stats")
    app.add_url_rule("/stats/own", "own", lambda: "own")
    client = app.test_client()
    check_headers(client.get("/stats/nothing"))
    for url in ("/stats/own", "/statistics", "/nothing", "/"):
        assert "Content-Security-Policy" not in client.get(url).headers


SINGLE_USERS = [
    f"trends{{}}?events-0=came&period={TODAY}",
    f"cohort{{}}?{COHORT}&period={TODAY}",
    "index{}?active=day",
    "people{}?user=1",
    "people{}?user=2",
    "people{}?user=x",
    "people{}",
]


@contextmanager
def asked(client: FlaskClient, url: str, form: str) -> Iterator[Any]:
    separator = "&" if "?" in url else "?"
    with client.get(f"{url}{separator}format={form}") as response:
        yield response


@pytest.mark.parametrize("form", ["html", "json", "csv"])
@pytest.mark.parametrize("page", SINGLE_USERS)
def test_nothing_keeps_what_tells_of_single_users(
    client: FlaskClient, page: str, form: str
) -> None:
    url = f"/bitmapist/{page.format('')}".replace("index", "")
    with asked(client, url, form) as response:
        assert response.headers["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize("form", ["json", "csv"])
@pytest.mark.parametrize(
    "asked_for", ["users?event=came", "has?user=1&event=came", "users?user_id=1"]
)
def test_nothing_keeps_what_has_no_page_either(
    client: FlaskClient, asked_for: str, form: str
) -> None:
    with asked(client, f"/bitmapist/{asked_for}", form) as response:
        assert response.headers["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize("form", ["html", "json", "csv"])
@pytest.mark.parametrize("page", SINGLE_USERS)
def test_nothing_keeps_it_in_flask_admin_either(
    client: FlaskClient, app: Flask, page: str, form: str
) -> None:
    flask_admin = pytest.importorskip("flask_admin")
    try:
        from flask_babel import Babel
    except ImportError:
        pass
    else:
        Babel(app)
    FlaskBitmapist(app, admin=flask_admin.Admin(app))
    with asked(client, f"/admin/bitmapist/{page.format('/')}", form) as response:
        assert response.status_code in (200, 400)
        assert response.headers["Cache-Control"] == "private, no-store"


def test_a_user_whose_key_is_unknown_is_not_kept_either(
    make_app: Callable[..., Flask],
) -> None:
    client = make_app(BITMAPIST_ID_MAP=True).test_client()
    response = client.get("/bitmapist/people?user=nobody")
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "private, no-store"
