"""The sample: put into an empty store, looked at, and taken out to the last bit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import redis
from click.testing import Result
from flask import Flask

from flask_bitmapist import mark_event, mark_unique

from .inside import REPLAYED_TO, yesterday
from .marks import keys, users

MakeApp = Callable[..., Flask]


def sample(app: Flask, *options: str) -> Result:
    return app.test_cli_runner().invoke(args=["bitmapist", "sample", *options])


def test_an_empty_store_is_filled_up_to_yesterday_and_has_a_heatmap(app: Flask) -> None:
    done = sample(app)
    assert done.exit_code == 0, done.output
    assert "13,504 imported: 3 events of 2,357 users" in done.stdout
    *_, url, hint = done.stdout.splitlines()
    assert "sample --remove" in hint
    answer = app.test_client().get(f"{url.strip()}&format=json").json
    assert answer is not None
    assert (answer["primary"], answer["time_group"]) == ("purchase", "months")
    assert max(answer["row_totals"]) > 700
    with app.app_context():
        query = app.extensions["bitmapist"].query
        assert query.count("purchase", "days", as_of=yesterday()) == 2


@pytest.mark.parametrize("hourly", [False, True])
def test_it_is_taken_out_and_nothing_is_left(
    make_app: MakeApp, redis_client: redis.Redis, hourly: bool
) -> None:
    app = make_app(BITMAPIST_TRACK_HOURLY=hourly)
    sample(app)
    assert keys(redis_client)
    done = sample(app, "--remove")
    assert done.exit_code == 0, done.output
    assert keys(redis_client) == set()
    assert redis_client.exists(REPLAYED_TO) == 0
    with app.app_context():
        assert app.extensions["bitmapist"].query.events().list.known == 0
    # The next mark decides anew what the store holds.
    with app.app_context():
        mark_event("came", "ada@example.com")
        assert list(app.extensions["bitmapist"].query.users("came")) == [
            "ada@example.com"
        ]


def test_what_the_app_marks_beside_it_stays(
    app: Flask, redis_client: redis.Redis
) -> None:
    sample(app)
    with app.app_context():
        mark_event("came", 157)
        mark_unique("purchase", 157)
    before = {key for key in keys(redis_client) if "came" in key}
    assert sample(app, "--remove").exit_code == 0
    assert keys(redis_client) == {*before, "purchase_u"}
    assert {frozenset(users(redis_client, key)) for key in before} == {frozenset({157})}


@pytest.mark.parametrize("user", [157, 99_999])
def test_it_stays_where_others_have_done_what_is_called_the_same(
    app: Flask, redis_client: redis.Redis, user: int
) -> None:
    sample(app)
    with app.app_context():
        mark_event("purchase", user)
    before = len(keys(redis_client))
    done = sample(app, "--remove")
    assert done.exit_code == 1
    assert "others than the sample's customers have done purchase" in done.output
    assert len(keys(redis_client)) == before


def test_it_can_be_taken_out_of_a_store_of_keys(
    make_app: MakeApp, redis_client: redis.Redis
) -> None:
    app = make_app(BITMAPIST_ID_MAP=True)
    with app.app_context():
        mark_event("came", "ada")
        app.extensions["bitmapist"].query.users("came")
    redis_client.delete(*redis_client.keys("trackist_*"))
    assert sample(app).exit_code == 0
    assert sample(app, "--remove").exit_code == 0
    assert keys(redis_client) == set()


def test_it_is_not_put_beside_other_events(
    app: Flask, redis_client: redis.Redis
) -> None:
    with app.app_context():
        mark_event("came", 1)
    before = keys(redis_client)
    done = sample(app)
    assert done.exit_code == 1
    assert "this store is not empty" in done.output
    assert keys(redis_client) == before
    gone = sample(app, "--remove")
    assert gone.exit_code == 1
    assert "the sample is not in this store" in gone.output


def test_what_was_interrupted_is_completed_on_the_same_days(
    app: Flask, redis_client: redis.Redis
) -> None:
    with app.app_context():
        mark_event("purchase", 1, now=datetime.now(tz=timezone.utc))
    last = yesterday() - timedelta(days=3)
    redis_client.set(REPLAYED_TO, last.isoformat())
    sample(app)
    query = app.extensions["bitmapist"].query
    assert query.count("purchase", "days", as_of=last) == 2
    assert query.count("purchase", "days", as_of=yesterday()) == 0


def test_empty_pages_offer_it(app: Flask) -> None:
    assert "flask bitmapist sample" in app.test_client().get("/bitmapist/").text
    told = app.test_cli_runner().invoke(args=["bitmapist", "events"])
    assert "flask bitmapist sample" in told.stdout


def test_a_store_that_no_command_reaches_is_offered_none() -> None:
    pytest.importorskip("fakeredis")
    from flask_bitmapist import FlaskBitmapist

    app = Flask("tracked")
    given: dict[str, Any] = {
        "BITMAPIST_REDIS_URL": "memory://",
        "BITMAPIST_ACCESS": "public",
    }
    FlaskBitmapist(app, given)
    page = app.test_client().get("/bitmapist/").text
    assert "No events have been tracked yet" in page
    assert "flask bitmapist" not in page
