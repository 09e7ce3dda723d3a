"""A URL that asks redis-py to decode replies breaks nothing: bitmaps are bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from flask_bitmapist import mark_event, mark_unique, unmark_event

from .test_deletion import post

MakeApp = Callable[..., Flask]


@pytest.fixture(params=["decode_responses=True", "decode_responses=1&encoding=utf-8"])
def make_decoding(
    make_app: MakeApp, redis_url: str, request: pytest.FixtureRequest
) -> MakeApp:
    """Make apps whose URLs switch decoding on, for marks and for questions."""

    def make(**settings: Any) -> Flask:
        url = f"{redis_url}?{request.param}"
        return make_app(
            BITMAPIST_REDIS_URL=url, BITMAPIST_REDIS_READ_URL=url, **settings
        )

    return make


def test_marks_pages_and_questions_work(make_decoding: MakeApp) -> None:
    app = make_decoding()
    with app.app_context():
        for user in (1, 2, 3, 255):
            mark_event("prix:€", user)
        mark_unique("payant:é", 1)
        mark_event("left", 2)
        unmark_event("left", 2)
    client = app.test_client()
    listed = client.get("/bitmapist/events?format=json&refresh=y").json
    assert {each["name"]: each["day"] for each in listed["events"]} == {
        "prix:€": 4,
        "left": 0,
    }
    for page in ("", "events", "cohort", "people?user=255"):
        assert client.get(f"/bitmapist/{page}").status_code == 200
    assert client.get("/bitmapist/people?user=1&format=json").json["flags"] == [
        "payant:é"
    ]
    asked = {"primary_event": "prix:€", "cells": "users", "format": "json"}
    cohort = client.get("/bitmapist/cohort", query_string=asked).json
    assert cohort["cohort"][-1][0] == 4
    query = app.extensions["bitmapist"].query
    assert list(query.users("prix:€")) == [1, 2, 3, 255]
    assert query.has(255, "prix:€", "day")


def test_keys_get_their_numbers_and_numbers_their_keys(make_decoding: MakeApp) -> None:
    app = make_decoding(BITMAPIST_ID_MAP=True)
    with app.app_context():
        for key in ("zoë@example.org", "bob"):
            mark_event("came", key)
    client = app.test_client()
    asked = {"user": "zoë@example.org", "format": "json"}
    assert "came" in client.get("/bitmapist/people", query_string=asked).json["events"]
    listed = client.get("/bitmapist/?active=day&format=json").json
    assert listed["ids"] == ["zoë@example.org", "bob"]


def test_commands_work(make_decoding: MakeApp, tmp_path: Path) -> None:
    app = make_decoding()
    file = tmp_path / "events.csv"
    file.write_text(
        "user_id,event,timestamp\n1,song:joué,2026-01-05\n2,song:joué,2026-05-20\n",
        encoding="utf-8",
    )
    run = app.test_cli_runner().invoke
    for words, told in (
        (["import", str(file)], "2"),
        (["doctor"], "✓ marking"),
        (["events"], "song:joué"),
        (["export", "--since", "2026-01-01"], "1,song:joué,2026-01-05"),
        (["delete", "song:joué", "--before", "2026-02-01", "--yes"], "Deleted 3"),
        (["delete", "song:joué", "--yes"], "Deleted 3"),
    ):
        done = run(args=["bitmapist", *words])
        assert done.exit_code == 0, (words, done.output)
        assert told in done.output, words


def test_events_are_deleted_on_their_page(make_decoding: MakeApp) -> None:
    app = make_decoding(BITMAPIST_ALLOW_DELETE=True, BITMAPIST_ACCESS=lambda: True)
    with app.app_context():
        mark_event("joué", 1)
    done = post(
        app.test_client(), "/bitmapist/events/delete", event="joué", confirm="joué"
    )
    assert done.status_code == 200
    assert app.extensions["bitmapist"].catalogue.names(refresh=True) == []
