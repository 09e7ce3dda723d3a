"""What an app that only marks does not load."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

import pytest

from flask_bitmapist.query import QUESTIONS
from flask_bitmapist.web.blueprint import ENDPOINTS

MARKING = """
import json, sys
from flask import Flask
from flask_bitmapist import FlaskBitmapist, mark_event

app = Flask("marking")
app.config.update(BITMAPIST_REDIS_URL=sys.argv[1], BITMAPIST_ACCESS="public")
bitmapist = FlaskBitmapist(app)
bitmapist.define("engaged", "song:played and not flag(staff)")
with app.app_context():
    mark_event("song:played", 1)
"""

LOADED = """
print(json.dumps(sorted(sys.modules)))
"""

NEEDED_BY_NO_MARK = (
    *("numpy", "wtforms", "fakeredis", "flask_admin", "mcp", "rich"),
    *(f"flask_bitmapist.{name}" for name in ("query", "questions", "cli", "admin")),
    *(f"flask_bitmapist.web.{name}" for name in ("page", "form", "surface", "openapi")),
    *(f"flask_bitmapist.analysis.{name}" for name in ("bitmaps", "users", "counting")),
)


def loaded(redis_url: str, more: str = "") -> set[str]:
    """Return the modules that a fresh process has after a mark, and then *more*."""
    done = subprocess.run(
        [sys.executable, "-c", MARKING + more + LOADED, redis_url],
        stdout=subprocess.PIPE,
        check=True,
    )
    return set(json.loads(done.stdout))


def of(names: Sequence[str], modules: set[str]) -> set[str]:
    """Return those of *modules* that are one of *names*, or in it."""
    return {
        module
        for module in modules
        for name in names
        if module == name or module.startswith(f"{name}.")
    }


def test_an_app_that_marks_loads_nothing_that_answers_questions(redis_url: str) -> None:
    assert of(NEEDED_BY_NO_MARK, loaded(redis_url)) == set()


ROUTES = """
with app.test_request_context():
    from flask import url_for
    for endpoint in app.view_functions:
        if endpoint.startswith("bitmapist.") and not endpoint.endswith("static"):
            url_for(endpoint)
app.test_cli_runner().invoke(args=["routes"])
"""


def test_the_routes_are_there_before_what_serves_them(redis_url: str) -> None:
    assert of(NEEDED_BY_NO_MARK, loaded(redis_url, ROUTES)) == set()


@pytest.mark.parametrize(
    "more",
    [
        "app.test_client().get('/bitmapist/cohort')",
        "app.test_cli_runner().invoke(args=['bitmapist', 'events'])",
        "bitmapist.query.count('song:played')",
        "from flask_bitmapist import get_event_data",
    ],
)
def test_what_answers_is_loaded_when_something_is_asked(
    redis_url: str, more: str
) -> None:
    assert "numpy" in loaded(redis_url, more)


def test_every_question_has_its_route() -> None:
    assert tuple(each.endpoint for each in QUESTIONS) == ENDPOINTS
