"""mark_event and its like: bitmapist's signatures, through the app's own recorder."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import bitmapist
import pytest
import redis
from flask import Flask

import flask_bitmapist
from flask_bitmapist import mark_event, mark_unique, unmark_event, unmark_unique

from .marks import NOON, NOON_KEYS, keys, users
from .servers import RedisProcess


@pytest.mark.parametrize(
    "name", ["mark_event", "unmark_event", "mark_unique", "unmark_unique"]
)
def test_the_parameters_are_those_of_bitmapist(name: str) -> None:
    ours = inspect.signature(getattr(flask_bitmapist, name)).parameters.values()
    theirs = inspect.signature(getattr(bitmapist, name)).parameters.values()

    assert [(p.name, p.kind, p.default) for p in ours] == [
        (p.name, p.kind, p.default) for p in theirs
    ]


def test_the_same_bits_are_written_as_by_bitmapist(
    app: Flask, redis_client: redis.Redis
) -> None:
    arguments: tuple[Any, ...] = (5, "default", NOON, True, True)
    with app.app_context():
        mark_event("x", *arguments)
        ours = {key: redis_client.get(f"trackist_{key}") for key in keys(redis_client)}
        redis_client.flushall()
        bitmapist.mark_event("x", *arguments)
        theirs = {
            key: redis_client.get(f"trackist_{key}") for key in keys(redis_client)
        }

    assert ours == theirs


def test_unmarking_clears_the_week_and_month_as_well(
    app: Flask, redis_client: redis.Redis
) -> None:
    with app.app_context():
        mark_event("x", 5, now=NOON)
        mark_event("x", 6, now=NOON)
        unmark_event("x", 5, now=NOON)

    assert all(users(redis_client, f"x_{end}") == {6} for end in NOON_KEYS)


def test_flags_have_no_date(app: Flask, redis_client: redis.Redis) -> None:
    with app.app_context():
        mark_unique("premium", 5)
        mark_unique("premium", 6)
        unmark_unique("premium", 5)

    assert keys(redis_client) == {"premium_u"}
    assert users(redis_client, "premium_u") == {6}


def test_flags_wait_on_a_pipeline_that_is_given(
    app: Flask, redis_client: redis.Redis
) -> None:
    pipeline = redis_client.pipeline()
    with app.app_context():
        mark_unique("premium", 5, system=pipeline)
    assert keys(redis_client) == set()
    pipeline.execute()

    assert users(redis_client, "premium_u") == {5}


def test_a_pipeline_is_passed_over_with_use_pipeline(
    app: Flask, redis_client: redis.Redis
) -> None:
    pipeline = redis_client.pipeline()
    with app.app_context():
        mark_event("x", 5, system=pipeline, now=NOON)

    assert len(pipeline) == 0
    assert users(redis_client, "x_2026-1-1") == {5}


def test_two_apps_never_see_each_others_marks(
    make_app: Callable[..., Flask],
    redis_process: RedisProcess,
    redis_client: redis.Redis,
) -> None:
    one, other = make_app(), make_app(BITMAPIST_REDIS_URL=redis_process.url)
    for user, app in enumerate((one, other)):
        with app.app_context():
            mark_event("x", user, now=NOON)
            mark_event("x", user + 10, system="system", now=NOON)

    assert users(redis_client, "x_2026-1-1") == {0, 10}
    assert users(redis_process.client(), "x_2026-1-1") == {1, 11}


def test_a_system_that_the_host_has_set_up_itself_is_found(
    app: Flask, redis_process: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = redis_process.client()
    monkeypatch.setitem(bitmapist.SYSTEMS, "stats", client)
    with app.app_context():
        mark_event("x", 5, system="stats", now=NOON)

    assert users(client, "x_2026-1-1") == {5}


def test_an_unknown_system_is_an_error(app: Flask) -> None:
    with app.app_context(), pytest.raises(RuntimeError, match="nowhere"):
        mark_event("x", 5, system="nowhere")


def test_names_that_are_marked_are_known_at_once(app: Flask) -> None:
    catalogue = app.extensions["bitmapist"].catalogue
    with app.app_context():
        assert catalogue.names() == []
        mark_event("x", 5)
        mark_unique("premium", 5)

        assert catalogue.names() == ["x"]
        assert catalogue.flags() == ["premium"]


def test_connections_that_are_open_are_used_again(
    app: Flask, redis_client: redis.Redis
) -> None:
    before: Any = redis_client.info("stats")["total_connections_received"]  # type: ignore[index]
    with app.app_context():
        for user in range(20):
            mark_event("x", user, now=NOON)
    after: Any = redis_client.info("stats")["total_connections_received"]  # type: ignore[index]

    assert after - before == 1
    assert users(redis_client, "x_2026-1-1") == set(range(20))
