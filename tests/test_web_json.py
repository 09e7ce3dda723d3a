"""The JSON of the pages is as docs/reference/json.md describes it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from flask_bitmapist import mark_event
from flask_bitmapist.questions import params_of

from .pages import ANSWERS, PAGES

DESCRIBED = Path(__file__).parent.parent / "docs" / "reference" / "json.md"

QUESTIONS = {
    "index": ("Overview and Events", ""),
    "cohort": ("Retention \\(cohort\\)", "primary_event=came"),
    "trends": ("Trends", "events-0=came&rolling_7=y"),
    "lifecycle": ("Lifecycle", "event=came"),
    "funnel": ("Funnel", "steps=came&steps=came"),
    "stickiness": ("Stickiness", "event=came"),
    "people": ("People", "user=1"),
    "events": ("Overview and Events", ""),
    "count": ("Count, has, users", "event=came"),
    "has": ("Count, has, users", "event=came&user=1"),
    "users": ("Count, has, users", "event=came"),
}


def section(title: str) -> str:
    if not DESCRIBED.exists():
        pytest.skip("there are no docs beside this package")
    found = re.search(
        rf"^## {title}\n(.*?)(?=^## |\Z)", DESCRIBED.read_text(), re.M | re.S
    )
    assert found, title
    return found[1]


def keys_of(value: Any) -> Iterator[str]:
    """Yield the keys of objects in *value*; not those that are data."""
    if isinstance(value, list):
        for each in value[:1]:
            yield from keys_of(each)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key not in ("came", "7"):
                yield key
            yield from keys_of(inner)


@pytest.mark.parametrize("name", [page.name for page in (*PAGES, *ANSWERS)])
def test_every_key_and_every_field_is_described(app: Flask, name: str) -> None:
    title, question = QUESTIONS[name]
    with app.app_context():
        mark_event("came", 1)
    place = "" if name == "index" else name
    answer = app.test_client().get(f"/bitmapist/{place}?{question}&format=json")
    words = set(
        re.findall(r"[a-z_0-9]+", section(title) + section("What all answers share"))
    )
    assert set(keys_of(answer.get_json())) <= words
    page = next(page for page in (*PAGES, *ANSWERS) if page.name == name)
    told = words | set(re.findall(r"[a-z_0-9]+", section("The users behind a number")))
    declared = [page.question, *([page.question.cell] if page.question.cell else [])]
    fields = {each.name for one in declared for each in params_of(one)}
    assert fields <= told
