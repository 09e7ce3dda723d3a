"""Keys that are no numbers: each gets a dense id, the same in all processes."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
import redis
from flask import Flask

from flask_bitmapist import mark, mark_event

from .inside import IdMap, People, import_rows
from .marks import NOON, keys, recorder_of, users
from .servers import RedisProcess

MakeApp = Callable[..., Flask]
DAY = "x_2026-1-1"


def test_each_key_gets_the_next_number(
    make_app: MakeApp, redis_client: redis.Redis
) -> None:
    first, second = uuid.uuid4(), uuid.uuid4()
    app = make_app(BITMAPIST_ID_MAP=True)
    with app.app_context():
        for key in (first, "ada@example.org", second, str(first)):
            mark_event("x", key, now=NOON)

    assert users(redis_client, DAY) == {0, 1, 2}
    known = People(redis_client)
    assert known.users_of([0, 1, 2]) == [str(first), "ada@example.org", str(second)]
    assert known.bit_of(second) == 2
    assert known.bit_of("nobody") is None


def test_numbers_are_keys_like_others_so_that_none_collide(
    make_app: MakeApp, redis_client: redis.Redis
) -> None:
    app = make_app(BITMAPIST_ID_MAP=True)
    with app.app_context():
        for key in ("ada", 0, "0", -5, 10**30):
            mark_event("x", key, now=NOON)

    assert users(redis_client, DAY) == {0, 1, 2, 3}
    assert People(redis_client).users_of([1, 2]) == ["0", "-5"]


def test_a_view_is_marked_with_any_key(
    make_app: MakeApp, redis_client: redis.Redis
) -> None:
    app = make_app(BITMAPIST_ID_MAP=True)
    app.add_url_rule(
        "/<name>", "view", mark("x", lambda name: name, now=NOON)(lambda name: "ok")
    )
    for name in ("ada", "bob", "ada"):
        app.test_client().get(f"/{name}")

    assert users(redis_client, DAY) == {0, 1}


def test_constants_of_any_kind_are_allowed_with_the_map(make_app: MakeApp) -> None:
    with make_app(BITMAPIST_ID_MAP=True).app_context():
        mark("x", "ada")


def test_keys_are_ids_of_the_app_for_a_connection_of_ones_own_too(
    make_app: MakeApp, redis_process: RedisProcess, redis_client: redis.Redis
) -> None:
    other = redis_process.client()
    with make_app(BITMAPIST_ID_MAP=True).app_context():
        for name in ("ada", "bob"):
            mark_event("x", name, system=other, now=NOON)

    assert users(other, DAY) == {0, 1}
    assert People(redis_client).users_of([0, 1]) == ["ada", "bob"]


def test_many_who_ask_at_once_agree_and_leave_no_gap(redis_client: redis.Redis) -> None:
    names = [f"user {number}" for number in range(60)]
    found: list[dict[str, int]] = []

    def ask(first: int) -> None:
        id_map = IdMap(redis_client)
        order = names[first:] + names[:first]
        found.append({name: id_map.ids([name])[name] for name in order})

    threads = [threading.Thread(target=ask, args=(n * 7,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 8
    assert all(each == found[0] for each in found)
    assert sorted(found[0].values()) == list(range(60))


def test_many_keys_get_their_numbers_together(redis_client: redis.Redis) -> None:
    id_map = IdMap(redis_client)
    names = [f"user {number}" for number in range(2500)]
    id_map.ids(names[:10])

    assert id_map.ids(names) == {name: number for number, name in enumerate(names)}


def test_new_users_wait_with_their_keys_while_redis_is_gone(
    make_app: MakeApp, redis_process: RedisProcess
) -> None:
    app = make_app(BITMAPIST_REDIS_URL=redis_process.url, BITMAPIST_ID_MAP=True)
    redis_process.kill()
    with app.app_context():
        for name in ("ada", "bob", "ada"):
            mark_event("x", name, now=NOON)
    assert recorder_of(app).waiting == 2
    redis_process.start()
    assert recorder_of(app).flush()

    client = redis_process.client()
    assert users(client, DAY) == {0, 1}
    assert People(client).users_of([0, 1]) == ["ada", "bob"]


def test_an_import_maps_keys_too(make_app: MakeApp, redis_client: redis.Redis) -> None:
    app = make_app(BITMAPIST_ID_MAP=True)
    rows: list[Any] = [(f"user {n % 30}", "x", datetime(2026, 1, 1)) for n in range(90)]
    summary = import_rows(app.extensions["bitmapist"], rows)

    assert summary.users == 30
    assert users(redis_client, DAY) == set(range(30))


def test_keys_that_are_too_long_are_refused(
    make_app: MakeApp, redis_client: redis.Redis
) -> None:
    app = make_app(BITMAPIST_ID_MAP=True)
    with app.app_context():
        for key in ("", "x" * 2000, "\ud800"):
            with pytest.raises(ValueError, match="key"):
                mark_event("x", key)

    assert keys(redis_client) == set()


def test_the_map_works_in_the_embedded_store(make_app: MakeApp) -> None:
    pytest.importorskip("fakeredis")
    app = make_app(BITMAPIST_REDIS_URL="memory://", BITMAPIST_ID_MAP=True)
    with app.app_context():
        mark_event("x", "ada", now=NOON)
        mark_event("x", "bob", now=NOON)

    client = app.extensions["bitmapist"].systems["default"]
    assert users(client, DAY) == {0, 1}
