"""Programs ask with a token: numbers, or people too, and never anything else."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timezone
from hashlib import sha256
from typing import Any

import pytest
from flask import Flask, redirect, request
from werkzeug.test import TestResponse

from flask_bitmapist import ConfigError, FlaskBitmapist, mark_event

from .pages import ALL, ASKED

MakeApp = Callable[..., Flask]

OF_NUMBERS = "bitmapist_" + "n" * 43
OF_PEOPLE = "bitmapist_" + "p" * 43

COHORT = "/bitmapist/cohort?primary_event=came&format=json"
PERSON = "/bitmapist/people?user=1&format=json"

NEEDED = {
    **{name: dict(asked) for name, asked in ASKED.items()},
    "count": {"event": "came"},
    "has": {"user": "1", "event": "came"},
    "users": {"event": "came"},
}


def hashed(token: str) -> str:
    return sha256(token.encode()).hexdigest()


TOKENS = {
    "numbers": [hashed("another"), hashed(OF_NUMBERS)],
    "people": [hashed(OF_PEOPLE)],
}


@pytest.fixture
def make_tokens(make_app: MakeApp) -> MakeApp:
    """Make apps that take tokens, and let nobody else in unless they are told to."""

    def make(**settings: Any) -> Flask:
        app = make_app(
            **{
                "BITMAPIST_ACCESS": lambda: False,
                "BITMAPIST_API_TOKENS": TOKENS,
                "BITMAPIST_ALLOW_DELETE": True,
                **settings,
            }
        )
        with app.app_context():
            mark_event("came", 1)
        return app

    return make


def ask(app: Flask, url: str, token: str | None = None, **options: Any) -> TestResponse:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    method = "POST" if "json" in options else "GET"
    return app.test_client().open(url, method=method, headers=headers, **options)


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.name)
@pytest.mark.parametrize("token", [OF_NUMBERS, OF_PEOPLE], ids=["numbers", "people"])
def test_a_token_opens_every_question_that_it_is_for(
    make_tokens: MakeApp, page: Any, token: str
) -> None:
    app = make_tokens()
    url = f"/bitmapist{page.path}"
    expected = 403 if page.question.is_private and token == OF_NUMBERS else 200
    asked = NEEDED.get(page.name, {})
    plain = ask(app, url, token, query_string=asked)
    assert plain.status_code == expected, plain.text
    csv = ask(app, url, token, query_string={**asked, "format": "csv"})
    assert csv.status_code == expected
    if expected == 200:
        # A program reads no HTML, so JSON is what it gets where it says nothing.
        assert plain.mimetype in ("application/json", "text/csv")
        assert csv.mimetype == "text/csv"
    else:
        assert plain.json == csv.json
        assert "for numbers" in plain.json["errors"]["form"][0]


def test_a_question_can_be_posted(make_tokens: MakeApp) -> None:
    body = {"primary_event": "came", "time_group": "days"}
    answer = ask(make_tokens(), "/bitmapist/cohort", OF_NUMBERS, json=body)
    assert answer.status_code == 200
    assert answer.mimetype == "application/json"


def test_who_is_behind_a_number_is_for_people_alone(make_tokens: MakeApp) -> None:
    app = make_tokens()
    shape = "&time_group=days&num_rows=1&num_cols=1"
    today = f"{datetime.now(tz=timezone.utc):%Y-%m-%d}"
    behind = f"{COHORT}{shape}&column=0&period={today}"
    assert ask(app, behind, OF_NUMBERS).status_code == 403
    assert ask(app, behind.replace("json", "csv"), OF_NUMBERS).status_code == 403
    assert ask(app, behind, OF_PEOPLE).json["ids"] == [1]


def test_the_openapi_document_is_there_and_tells_of_tokens(
    make_tokens: MakeApp,
) -> None:
    document = ask(make_tokens(), "/bitmapist/openapi.json", OF_NUMBERS).json
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert {"token": []} in document["security"]
    operations = [each for path in document["paths"].values() for each in path.values()]
    assert operations
    assert all("401" in each["responses"] for each in operations)


@pytest.mark.parametrize("token", [OF_NUMBERS, OF_PEOPLE])
@pytest.mark.parametrize(
    "url", ["/bitmapist/events/delete?event=came", "/bitmapist/people/forget?user=1"]
)
def test_no_token_deletes_or_erases(make_tokens: MakeApp, token: str, url: str) -> None:
    app = make_tokens()
    assert ask(app, url, token).status_code == 403
    assert ask(app, url, token, json={}).status_code == 403


@pytest.mark.parametrize("access", ["local", "public", lambda: False])
@pytest.mark.parametrize(
    "token", ["", "wrong", hashed(OF_PEOPLE), OF_PEOPLE[:-1], f"{OF_PEOPLE}x", "é\xff"]
)
def test_a_token_that_is_not_known_is_answered_with_401(
    make_tokens: MakeApp, access: Any, token: str
) -> None:
    answer = ask(make_tokens(BITMAPIST_ACCESS=access), COHORT, token)
    assert answer.status_code == 401
    assert answer.json == {"errors": {"form": ["This token is not known."]}}
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert "came" not in answer.text


def test_a_program_is_not_sent_to_a_login(make_tokens: MakeApp) -> None:
    app = make_tokens(BITMAPIST_ACCESS=lambda: redirect("/login"))
    assert ask(app, COHORT, "wrong").status_code == 401
    assert ask(app, COHORT).status_code == 302


def test_tokens_of_the_apps_own_go_on_to_its_rule(make_tokens: MakeApp) -> None:
    def knows() -> bool:
        return request.headers.get("Authorization") == "Bearer of-the-app"

    app = make_tokens(BITMAPIST_ACCESS=knows)
    assert ask(app, COHORT, "of-the-app").status_code == 200
    assert ask(app, PERSON, "of-the-app").status_code == 200
    assert ask(app, COHORT, "other").status_code == 401
    # Where no tokens are set, none is looked at.
    app = make_tokens(BITMAPIST_ACCESS=knows, BITMAPIST_API_TOKENS=None)
    assert ask(app, COHORT, "other").status_code == 403


def test_other_ways_to_authorize_are_no_tokens(make_tokens: MakeApp) -> None:
    app = make_tokens()
    for header in ("Basic Ym86Yg==", f"Token {OF_PEOPLE}", OF_PEOPLE):
        answer = app.test_client().get(COHORT, headers={"Authorization": header})
        assert answer.status_code == 403, header
    assert ask(app, f"{COHORT}&token={OF_PEOPLE}").status_code == 403


def test_the_tabs_of_an_admin_take_no_token(make_tokens: MakeApp) -> None:
    flask_admin = pytest.importorskip("flask_admin")
    app = make_tokens()
    FlaskBitmapist(app, admin=flask_admin.Admin(app))
    url = COHORT.replace("/bitmapist/cohort", "/admin/bitmapist/cohort/")
    assert ask(app, url, OF_PEOPLE).status_code == 403


def test_a_token_changes_nothing_for_who_sees_the_pages_anyway(
    make_tokens: MakeApp,
) -> None:
    app = make_tokens(BITMAPIST_ACCESS="public")
    page = ask(app, "/bitmapist/cohort?primary_event=came")
    assert page.mimetype == "text/html"
    assert ask(app, PERSON).status_code == 200


def test_a_token_is_made_that_the_app_takes(make_app: MakeApp) -> None:
    runner = make_app().test_cli_runner()
    for options, scope, status in (
        ([], "numbers", 403),
        (["--people"], "people", 200),
    ):
        done = runner.invoke(args=["bitmapist", "token", *options])
        assert done.exit_code == 0
        token = done.stdout.splitlines()[0]
        line = re.search(r"^BITMAPIST_API_TOKENS = (.+)$", done.stdout, re.M)
        assert line is not None
        assert token not in line[1]
        tokens = json.loads(line[1])
        assert list(tokens) == [scope]
        app = make_app(BITMAPIST_ACCESS=lambda: False, BITMAPIST_API_TOKENS=tokens)
        with app.app_context():
            mark_event("came", 1)
        assert ask(app, COHORT, token).status_code == 200
        assert ask(app, PERSON, token).status_code == status
    again = runner.invoke(args=["bitmapist", "token"]).stdout
    assert again != runner.invoke(args=["bitmapist", "token"]).stdout


@pytest.mark.parametrize(
    "tokens",
    [
        {"numbers": [OF_NUMBERS]},
        {"numbers": hashed(OF_NUMBERS)},
        {"everything": [hashed(OF_NUMBERS)]},
        {"people": [hashed(OF_NUMBERS).upper()]},
        [hashed(OF_NUMBERS)],
    ],
    ids=["plain", "no list", "no scope", "upper case", "no dict"],
)
def test_what_are_no_hashes_is_refused_without_being_repeated(tokens: Any) -> None:
    with pytest.raises(ConfigError, match="BITMAPIST_API_TOKENS") as error:
        FlaskBitmapist(Flask("tracked"), {"BITMAPIST_API_TOKENS": tokens})
    assert OF_NUMBERS not in str(error.value)


def test_no_hash_is_told_by_doctor(make_tokens: MakeApp) -> None:
    done = make_tokens().test_cli_runner().invoke(args=["bitmapist", "doctor"])
    assert hashed(OF_PEOPLE) not in done.output
    assert "2 for numbers, 1 for people" in done.output
