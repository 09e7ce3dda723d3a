"""Marks that are left out: told in the doctor and on the pages, by all processes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import redis
from flask import Flask

from flask_bitmapist import FlaskBitmapist, mark_event

from .inside import LeftOut
from .limited import LimitedStore
from .marks import recorder_of
from .servers import RedisProcess

MakeApp = Callable[..., Flask]
KEY = "flask-bitmapist:left-out"


def leave_out(app: Flask, *users: Any) -> None:
    """Mark users in a request, of whom the store takes whole numbers alone."""
    with app.test_request_context():
        for user in users:
            mark_event("e", user)


def findings(app: Flask) -> list[str]:
    """Return what the doctor says of marks that were left out."""
    told = app.test_cli_runner().invoke(args=["bitmapist", "doctor", "--json"])
    every = json.loads(told.stdout)["findings"]
    return [each["found"] for each in every if each["topic"] == "left out"]


def test_doctor_and_all_pages_say_how_many_and_why(make_app: MakeApp) -> None:
    app = make_app()
    leave_out(app, 5, "ada", "bob", "ada", -1)
    told = findings(app)
    now = datetime.now(tz=timezone.utc)
    assert len(told) == 2
    said = r"3 marks of signed-in users were left out since (\d\d:\d\d) UTC: IDs that "
    found = re.fullmatch(said + "are not numbers.", told[0])
    assert found
    at = datetime.strptime(found[1], "%H:%M").time()
    since = datetime.combine(now.date(), at, tzinfo=timezone.utc)
    assert now - since < timedelta(minutes=5) or since > now, "or it was yesterday"
    assert told[1].startswith("1 mark of a signed-in user was left out since ")
    client = app.test_client()
    for page in ("", "cohort", "trends", "events", "people", "funnel"):
        text = client.get(f"/bitmapist/{page}").text
        assert told[0] in text
        assert told[1] in text


def test_the_tabs_of_flask_admin_say_so_too(make_app: MakeApp) -> None:
    flask_admin = pytest.importorskip("flask_admin")
    app = make_app()
    pytest.importorskip("flask_babel").Babel(app)
    admin = flask_admin.Admin(app)
    FlaskBitmapist(app, admin=admin)
    leave_out(app, 5, "ada")
    leave_out(app, 6)
    page = app.test_client().get("/admin/bitmapist/index/")
    assert page.status_code == 200
    assert "1 mark of a signed-in user was left out" in page.text


def test_nothing_is_said_where_nothing_was_left_out(app: Flask) -> None:
    leave_out(app, 5, None)
    assert findings(app) == []
    assert "left out" not in app.test_client().get("/bitmapist/").text


def test_what_one_process_left_out_is_told_by_all(
    make_app: MakeApp, redis_client: redis.Redis
) -> None:
    one, other = make_app(), make_app()
    leave_out(one, 5, "ada")
    assert findings(other) == findings(one) != []
    assert 0 < redis_client.ttl(KEY) <= 24 * 3600, "for a day after the last"


def test_counts_are_shared_once_in_a_while_and_none_is_lost(
    make_app: MakeApp, redis_client: redis.Redis
) -> None:
    app = make_app()
    leave_out(app, 5, *["ada"] * 50)
    shared = int(redis_client.hget(KEY, "id not a number") or 0)  # type: ignore[arg-type]
    assert shared < 50
    assert findings(app)[0].startswith("50 marks")


def test_a_process_that_cannot_share_tells_its_own(
    make_app: MakeApp, redis_process: RedisProcess
) -> None:
    with LimitedStore(redis_process) as store:
        app = make_app(BITMAPIST_REDIS_URL=store.url)
        leave_out(app, 5, "ada", "bob")
        (told,) = findings(app)
        other = make_app(BITMAPIST_REDIS_URL=store.url)
        assert findings(other) == []
    assert told.startswith("2 marks")
    assert told.endswith("(Counted in this process only.)")


def test_strangers_are_told_nothing(make_app: MakeApp) -> None:
    app = make_app(BITMAPIST_ACCESS=lambda: False)
    leave_out(app, 5, "ada")
    page = app.test_client().get("/bitmapist/")
    assert page.status_code == 403
    assert "left out" not in page.text


def test_pages_show_while_redis_is_gone(
    make_app: MakeApp, redis_process: RedisProcess
) -> None:
    app = make_app(BITMAPIST_REDIS_URL=redis_process.url)
    leave_out(app, 5, "ada")
    redis_process.kill()
    assert app.test_client().get("/bitmapist/").status_code == 503
    assert recorder_of(app).reports.left_out.look().counts == {"id not a number": 1}


def test_another_day_is_named() -> None:
    since = datetime(2026, 11, 25, 9, 0, tzinfo=timezone.utc)
    left_out = LeftOut({"id too large": 312}, since)
    (today,) = left_out.told(since + timedelta(hours=3))
    (later,) = left_out.told(since + timedelta(days=1))
    assert str(today) == (
        "312 marks of signed-in users were left out since 09:00 UTC: IDs larger than "
        "BITMAPIST_MAX_ID."
    )
    assert "since 2026-11-25 09:00 UTC" in str(later)
