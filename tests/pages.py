"""All pages, by the questions that they are of, and what every one of them does."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import Any, NamedTuple

import pytest
from flask import Flask

from flask_bitmapist import FlaskBitmapist, mark_event
from flask_bitmapist.query import QUESTIONS
from flask_bitmapist.questions.declare import AnyQuestion


class Page(NamedTuple):
    """Where the page of a question is."""

    name: str
    path: str
    question: AnyQuestion


ALL = tuple(
    Page(each.endpoint, f"/{each.endpoint.replace('index', '')}", each)
    for each in QUESTIONS
)

PAGES = tuple(page for page in ALL if page.question.in_menu)
"""Those in the menu, in its order."""

ANSWERS = tuple(page for page in ALL if not page.question.in_menu)
"""Those that answer in JSON and CSV alone."""

COHORT = {"primary_event": "came", "secondary_event": "came"}
ASKED = {
    "cohort": COHORT,
    "trends": {"events-0": "came"},
    "lifecycle": {"event": "came"},
    "funnel": {"steps-0": "came", "steps-1": "came"},
    "stickiness": {"event": "came"},
    "people": {"user": "1"},
}
"""What each page is asked that has to be asked something."""


def url_of(page: str, surface: str) -> str:
    """Return where a page is, on the ``standalone`` surface or on ``admin``'s."""
    if surface == "admin":
        return f"/admin/bitmapist/{page}/"
    return "/bitmapist/" + page.replace("index", "")


def add_tabs(app: Flask, **options: Any) -> None:
    """Give an app the tabs of Flask-Admin, where that is installed.

    Args:
        app: An app with the extension.
        **options: What the Admin is made with.
    """
    if not find_spec("flask_admin"):
        return
    if find_spec("flask_babel"):
        importlib.import_module("flask_babel").Babel(app)
    admin = importlib.import_module("flask_admin").Admin(app, **options)
    FlaskBitmapist(app, admin=admin)


def check_wrong(
    app: Flask,
    surface: str,
    name: str,
    smallest: str,
    wrong: list[tuple[str, str, str]],
) -> None:
    """Check that a page answers what can be asked and tells what is wrong.

    Args:
        app: Its events are given one, ``came``.
        surface: ``standalone`` or ``admin``.
        name: The page.
        smallest: The smallest question that can be asked.
        wrong: What cannot be asked, the field at fault, and words of the message.
    """
    prefix = f"/bitmapist/{name}"
    if surface == "admin":
        prefix = f"/admin/bitmapist/{name}/"
        pytest.importorskip("flask_admin")
        add_tabs(app)
    with app.app_context():
        mark_event("came", 1)
    client = app.test_client()
    assert client.get(prefix).status_code == 200
    assert client.get(f"{prefix}?{smallest}").status_code == 200
    for asked, field, said in wrong:
        page = client.get(f"{prefix}?{asked}")
        assert page.status_code == 400, asked
        assert said in page.text, asked
        told = client.get(f"{prefix}?{asked}&format=json").get_json()
        assert list(told["errors"]) == [field], asked
