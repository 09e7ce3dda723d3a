"""What a store holds, numbers or keys, and whose number is which."""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime
from multiprocessing import get_context
from typing import Any

import bitmapist
import pytest
import redis
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flask_bitmapist import QueryError, mark, mark_event, mark_unique

from .clusters import Cluster
from .inside import DamagedIdMapError, Identity, IdMap, import_rows
from .kinds import findings
from .limited import LimitedStore
from .marks import NOON, eventually, keys, recorder_of, users
from .servers import RedisProcess

MakeApp = Callable[..., Flask]
DAY = "x_2026-1-1"
HASH = "flask-bitmapist:ids"
COUNTER = b"\xffnext"


def do(app: Flask, *users: Any, event: str = "x") -> None:
    """Mark that users did something at noon."""
    with app.app_context():
        for user in users:
            mark_event(event, user, now=NOON)


def did(app: Flask) -> list[Any]:
    """Return who did it, in the order of their bits."""
    query = app.extensions["bitmapist"].query
    with app.app_context():
        return list(query.users("x", "day", as_of=NOON, allow_unknown=True))


def bits(app: Flask) -> list[int]:
    """Return their bits."""
    query = app.extensions["bitmapist"].query
    with app.app_context():
        return list(query.users("x", "day", as_of=NOON, allow_unknown=True).bits)


def run(app: Flask, *words: str, input: str | None = None) -> Any:
    """Run a command about the ids."""
    return app.test_cli_runner().invoke(
        args=["bitmapist", "id-map", *words], input=input
    )


# --- The first mark decides


@pytest.mark.parametrize("first", [0, 5, "5", 1000])
def test_a_store_whose_first_mark_is_a_number_is_one_of_numbers(
    make_app: MakeApp, first: Any
) -> None:
    app = make_app(BITMAPIST_MAX_ID=1000)
    do(app, first)
    with pytest.raises(ValueError, match="flask bitmapist id-map on"):
        do(app, "ada@example.org")
    with pytest.raises(ValueError, match="BITMAPIST_MAX_ID"):
        do(app, 1001)
    do(app, 7)
    assert did(app) == bits(app) == sorted({int(first), 7})


@pytest.mark.parametrize(
    "first", ["ada@example.org", uuid.UUID(int=7), 2**53, 2**27 + 1, "007", 10**30]
)
def test_a_store_whose_first_mark_is_no_bit_is_one_of_keys(
    make_app: MakeApp, first: Any
) -> None:
    app = make_app()
    do(app, first, 9, "bob", 9, "9")
    known = first if first in (2**53, 2**27 + 1) else str(first)
    assert did(app) == [known, 9, "bob"]
    assert bits(app) == [0, 1, 2]


def test_what_is_no_id_decides_nothing(make_app: MakeApp) -> None:
    app = make_app()
    for wrong in (-1, "", True, 1.5):
        with pytest.raises(ValueError, match="user id"):
            do(app, wrong)
    do(app, "ada")
    assert did(app) == ["ada"]


@pytest.mark.parametrize(("setting", "expected"), [(True, [0]), (False, [7])])
def test_a_setting_decides_for_an_empty_store(
    make_app: MakeApp, setting: bool, expected: list[int]
) -> None:
    app = make_app(BITMAPIST_ID_MAP=setting)
    do(app, 7)
    assert bits(app) == expected
    assert did(app) == [7]


def test_numbers_are_keys_like_others_so_that_none_collide(make_app: MakeApp) -> None:
    app = make_app(BITMAPIST_ID_MAP=True)
    do(app, "ada", 0, "0", -5, 10**30)
    assert did(app) == ["ada", 0, -5, str(10**30)]


def test_a_store_with_marks_of_plain_bitmapist_is_one_of_numbers(
    make_app: MakeApp, redis_client: redis.Redis
) -> None:
    bitmapist.mark_event("x", 0, system=redis_client, now=NOON)
    app = make_app(BITMAPIST_ID_MAP=True)
    with pytest.raises(ValueError, match="id-map on"):
        do(app, "alice", "bob")
    do(app, 1)
    assert did(app) == [0, 1]
    assert findings(app)["user ids"]["level"] == "warning"


def test_another_setting_never_merges_people(make_app: MakeApp) -> None:
    do(make_app(), 0, 1)
    app = make_app(BITMAPIST_ID_MAP=True)
    for name in ("alice", "bob"):
        with pytest.raises(ValueError, match="id-map on"):
            do(app, name)
    assert did(app) == [0, 1]


def test_a_store_of_keys_stays_one_whatever_is_set(make_app: MakeApp) -> None:
    do(make_app(), "ada")
    app = make_app(BITMAPIST_ID_MAP=False)
    do(app, 0)
    assert did(app) == ["ada", 0]
    assert "does not change" in findings(app)["user ids"]["found"]


def test_a_store_that_was_emptied_decides_anew(
    make_app: MakeApp, redis_client: redis.Redis
) -> None:
    app = make_app()
    for user in (5, "ada", 5, "ada"):
        redis_client.flushall()
        do(app, user)
        assert did(app) == [user]


@pytest.mark.parametrize("chance", range(10))
def test_many_first_marks_at_once_agree_on_what_the_store_holds(
    make_app: MakeApp, chance: int
) -> None:
    first_users = [0, "ada", 1, "bob"]
    random.Random(chance).shuffle(first_users)
    apps = [make_app() for _ in first_users]
    ready = threading.Barrier(len(apps))
    refused = []

    def first(app: Flask, user: Any) -> None:
        ready.wait()
        try:
            do(app, user)
        except ValueError:
            refused.append(user)

    each = zip(apps, first_users)
    in_threads([lambda app=app, user=user: first(app, user) for app, user in each])
    found = did(apps[0])
    assert set(found) in ({0, 1}, {0, 1, "ada", "bob"})
    assert len(found) + len(refused) == 4


def in_threads(tasks: list[Callable[[], None]]) -> None:
    """Do all of them at once."""
    threads = [threading.Thread(target=task) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# --- Numbers are given once


def test_each_key_gets_the_next_number(make_app: MakeApp) -> None:
    first, second = uuid.uuid4(), uuid.uuid4()
    app = make_app()
    do(app, first, "ada@example.org", second, str(first))
    assert did(app) == [str(first), "ada@example.org", str(second)]
    assert bits(app) == [0, 1, 2]


def test_a_view_is_marked_with_any_key(make_app: MakeApp) -> None:
    app = make_app()
    app.add_url_rule(
        "/<name>", "view", mark("x", lambda name: name, now=NOON)(lambda name: "ok")
    )
    for name in ("ada", "bob", "ada"):
        app.test_client().get(f"/{name}")
    assert did(app) == ["ada", "bob"]


def test_keys_are_those_of_the_app_on_a_connection_of_ones_own_too(
    make_app: MakeApp, redis_process: RedisProcess
) -> None:
    app, other = make_app(), redis_process.client()
    pipeline = other.pipeline()
    with app.app_context():
        mark_event("x", "ada", system=other, now=NOON)
        mark_event("x", "bob", system=pipeline, now=NOON, use_pipeline=False)
        pipeline.execute()
    assert users(other, DAY) == {0, 1}
    do(app, "bob", "ada")
    assert did(app) == ["ada", "bob"]


_names = st.integers(0, 40).map("user {}".format) | st.integers(0, 40)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(_names, min_size=1), min_size=2, max_size=6), st.randoms())
def test_writers_at_once_give_everybody_one_number_of_their_own(
    redis_client: redis.Redis, batches: list[list[Any]], chance: random.Random
) -> None:
    redis_client.flushall()
    redis_client.hset(HASH, mapping={b"\xffholds": "keys", COUNTER: 0})
    given: list[dict[Any, int]] = []

    def write(batch: list[Any]) -> None:
        identity = Identity(IdMap(redis_client))
        while batch:
            some, batch = batch[:3], batch[3:]
            given.append(identity.bits(some).found)

    orders = [chance.sample(batch, len(batch)) for batch in batches]
    in_threads([lambda batch=batch: write(batch) for batch in orders])
    number_of: dict[Any, int] = {}
    for found in given:
        for user, number in found.items():
            assert number_of.setdefault(user, number) == number, "nobody has two"
    assert len(set(number_of.values())) == len(number_of), "no two share one"
    assert set(number_of) == {user for batch in batches for user in batch}
    back = Identity(IdMap(redis_client)).users_of(number_of.values())
    assert back == list(number_of)


def number_in_process(url: str) -> dict[Any, int]:
    with redis.Redis.from_url(url) as client:
        names = [f"user {each}" for each in range(300)]
        random.shuffle(names)
        identity = Identity(IdMap(client), setting=True)
        found: dict[Any, int] = {}
        for at in range(0, len(names), 7):
            found |= identity.bits(names[at : at + 7]).found
        return found


def test_processes_agree_on_all_numbers(redis_url: str) -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        found = list(pool.map(number_in_process, [redis_url] * 2))
    assert all(each == found[0] for each in found)
    assert len(set(found[0].values())) == 300


def test_many_keys_get_their_numbers_together(redis_client: redis.Redis) -> None:
    identity = Identity(IdMap(redis_client))
    names = [f"user {number}" for number in range(2500)]
    identity.bits(names[:10])
    found = identity.bits(names)
    assert found.found == {name: number for number, name in enumerate(names)}
    assert identity.users_of(range(2500)) == names


def test_new_users_wait_with_their_keys_while_redis_is_gone(
    make_app: MakeApp, redis_process: RedisProcess
) -> None:
    app = make_app(BITMAPIST_REDIS_URL=redis_process.url)
    redis_process.kill()
    do(app, "ada", "bob", "ada")
    assert recorder_of(app).waiting == 2
    redis_process.start()
    assert recorder_of(app).flush()
    assert did(app) == ["ada", "bob"]


def test_marks_that_waited_in_vain_are_told(
    make_app: MakeApp, redis_process: RedisProcess, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(
        BITMAPIST_REDIS_URL=redis_process.url, BITMAPIST_MARK_MODE="background"
    )
    with app.test_request_context():
        do(app, 5)
    assert recorder_of(app).flush()
    with app.test_request_context():
        do(app, "ada", 6)
    assert recorder_of(app).flush()
    assert did(app) == [5, 6]
    counters = recorder_of(app).counters
    assert (counters.marked, counters.written, counters.dropped) == (3, 2, 1)
    assert "id-map on" in caplog.text


@pytest.mark.parametrize("setting", ["auto", True])
def test_an_import_maps_keys_too(make_app: MakeApp, setting: Any) -> None:
    app = make_app(BITMAPIST_ID_MAP=setting)
    rows: list[Any] = [(f"user {n % 30}", "x", datetime(2026, 1, 1)) for n in range(90)]
    summary = import_rows(app.extensions["bitmapist"], rows)
    assert summary.users == 30
    assert did(app) == [f"user {number}" for number in range(30)]


def test_an_import_warns_of_ids_that_cost_much(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(BITMAPIST_WARN_BYTES=1000)
    rows: list[Any] = [(10_000, "x", datetime(2026, 1, 1)), (9000, "x", "2026-01-01")]
    import_rows(app.extensions["bitmapist"], rows)
    assert [each.levelname for each in caplog.records] == ["WARNING"]
    assert "1251 bytes" in caplog.text


def test_keys_that_are_too_long_are_refused(
    make_app: MakeApp, redis_client: redis.Redis
) -> None:
    app = make_app(BITMAPIST_ID_MAP=True)
    for key in ("", "x" * 2000, "\ud800"):
        with pytest.raises(ValueError, match="user id"):
            do(app, key)
    assert redis_client.keys() == []


def test_numbers_end_at_the_largest_id(make_app: MakeApp) -> None:
    app = make_app(BITMAPIST_MAX_ID=1)
    do(app, "ada", "bob")
    with pytest.raises(ValueError, match="BITMAPIST_MAX_ID"):
        do(app, "eve")
    do(app, "ada")
    larger = make_app(BITMAPIST_MAX_ID=2)
    do(larger, "eve")
    assert did(larger) == ["ada", "bob", "eve"]


# --- Other stores


def test_it_works_in_the_embedded_store(make_app: MakeApp) -> None:
    pytest.importorskip("fakeredis")
    app = make_app(BITMAPIST_REDIS_URL="memory://")
    do(app, "ada", "bob")
    assert did(app) == ["ada", "bob"]


def test_it_works_in_a_cluster(make_app: MakeApp) -> None:
    with Cluster() as cluster:
        app = make_app(BITMAPIST_REDIS_URL=cluster.url)
        do(app, 5, 8)
        assert run(app, "on", "--yes").exit_code == 0
        rows: list[Any] = [(f"user {n}", "x", NOON) for n in range(2500)]
        import_rows(app.extensions["bitmapist"], rows)
        do(app, 5, "user 7", 9)
        assert did(app) == [5, 8, *[f"user {n}" for n in range(2500)], 9]
        assert bits(app)[:3] == [5, 8, 9]


@pytest.fixture
def limited_app(make_app: MakeApp, redis_process: RedisProcess) -> Iterator[Flask]:
    with LimitedStore(redis_process) as store:
        yield make_app(BITMAPIST_REDIS_URL=store.url)


def test_a_store_without_hashes_holds_numbers_and_says_so(limited_app: Flask) -> None:
    do(limited_app, 5)
    with pytest.raises(ValueError, match="no hashes"):
        do(limited_app, "ada")
    assert did(limited_app) == [5]
    done = run(limited_app, "on", "--yes")
    assert done.exit_code == 1
    assert "no hashes" in done.output


def test_who_may_only_set_bits_marks_numbers(
    make_app: MakeApp, redis_process: RedisProcess
) -> None:
    with redis_process.client() as client:
        client.execute_command(
            *("ACL", "SETUSER", "narrow", "on", ">pw", "~*", "+@all", "-hsetnx")
        )
    url = f"redis://narrow:pw@127.0.0.1:{redis_process.port}"
    app = make_app(BITMAPIST_REDIS_URL=url)
    do(app, 5)
    with pytest.raises(ValueError, match="no hashes"):
        do(app, "ada")
    assert did(app) == [5]


def test_who_may_only_read_bitmaps_is_told_whose_they_are(
    make_app: MakeApp, redis_process: RedisProcess
) -> None:
    with redis_process.client() as client:
        client.execute_command(
            *("ACL", "SETUSER", "reports", "on", ">pw", "~trackist_*", "+@read")
        )
    app = make_app(
        BITMAPIST_REDIS_URL=redis_process.url,
        BITMAPIST_REDIS_READ_URL=f"redis://reports:pw@127.0.0.1:{redis_process.port}",
    )
    do(app, "ada", 7)
    assert did(app) == ["ada", 7]


def test_nobody_is_merged_where_keys_are_demanded_and_cannot_be_read(
    make_app: MakeApp, redis_process: RedisProcess
) -> None:
    with redis_process.client() as client:
        client.execute_command(
            *("ACL", "SETUSER", "narrow", "on", ">pw", "~trackist_*", "+@all")
        )
    url = f"redis://narrow:pw@127.0.0.1:{redis_process.port}"
    app = make_app(BITMAPIST_REDIS_URL=url, BITMAPIST_ID_MAP=True)
    do(app, 5)
    assert recorder_of(app).waiting == 1
    with redis_process.client() as client:
        client.execute_command("ACL", "SETUSER", "narrow", "~*")
    eventually(lambda: recorder_of(app).flush(), "the mark is written")
    assert (did(app), bits(app)) == ([5], [0])


# --- Switching on


def test_switching_on_keeps_numbers_and_numbers_all_others_above_them(
    make_app: MakeApp,
) -> None:
    app = make_app()
    do(app, 3, 12)
    do(app, 20, event="y")
    with app.app_context():
        mark_unique("staff", 25)
    done = run(app, "on", input="y\n")
    assert done.exit_code == 0
    assert "up to 25 stay" in done.output
    do(app, "ada", 12, 26, 25, 1000, "0")
    assert bits(app) == [0, 3, 12, 25, 26, 27, 28]
    assert did(app) == [0, 3, 12, 25, "ada", 26, 1000]
    assert "already" in run(app, "on", "--yes").output
    assert findings(app)["user ids"]["level"] == "ok"


def test_switching_on_asks_whether_the_apps_are_stopped(make_app: MakeApp) -> None:
    app = make_app()
    do(app, 3)
    assert run(app, "on", input="n\n").exit_code == 1
    with pytest.raises(ValueError, match="id-map on"):
        do(app, "ada")


def test_switching_on_an_empty_store_begins_with_zero(make_app: MakeApp) -> None:
    app = make_app()
    assert run(app, "on", "--yes").exit_code == 0
    do(app, 7, "ada")
    assert (did(app), bits(app)) == ([7, "ada"], [0, 1])


def test_switching_on_needs_room_above_the_highest_bit(make_app: MakeApp) -> None:
    app = make_app(BITMAPIST_MAX_ID=100)
    do(app, 100)
    done = run(app, "on", "--yes")
    assert done.exit_code == 1
    assert "BITMAPIST_MAX_ID (100)" in done.output
    larger = make_app(BITMAPIST_MAX_ID=101)
    assert run(larger, "on", "--yes").exit_code == 0
    do(larger, "ada")
    assert did(larger) == [100, "ada"]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sets(st.integers(0, 300), min_size=1),
    st.lists(st.integers(0, 600) | st.text("abc", min_size=1, max_size=2)),
)
def test_after_switching_on_people_are_those_of_a_plain_set(
    make_app: MakeApp, redis_client: redis.Redis, before: set[int], after: list[Any]
) -> None:
    redis_client.flushall()
    do(make_app(), *before)
    id_map = IdMap(redis_client)
    id_map.switch_on(id_map.highest_bit())
    app = make_app()
    do(app, *after)
    expected = before | set(after)
    assert set(did(app)) == expected
    assert len(bits(app)) == len(expected)


def test_marks_wait_until_an_interrupted_switch_is_done(make_app: MakeApp) -> None:
    app = make_app(BITMAPIST_RETRY_MAX=0.2)
    do(app, 3)
    IdMap(app.extensions["bitmapist"].systems["default"]).pause()
    do(app, "ada")
    assert recorder_of(app).waiting == 1
    assert did(app) == [3]
    assert run(app, "on", "--yes").exit_code == 0
    eventually(lambda: recorder_of(app).flush(), "the mark is written")
    assert did(app) == [3, "ada"]


# --- What is damaged


@pytest.fixture
def damaged(make_app: MakeApp, redis_process: RedisProcess) -> tuple[Flask, Any]:
    """An app with three users, whose numbers are about to be damaged."""
    app = make_app(BITMAPIST_REDIS_URL=redis_process.url, BITMAPIST_RETRY_MAX=0.2)
    app.add_url_rule(
        "/<name>", "view", mark("x", lambda name: name, now=NOON)(lambda name: "ok")
    )
    do(app, "ada", "bob", "eve")
    return app, redis_process.client()


DAMAGES: dict[str, Callable[[Any], Any]] = {
    "a number that is text": lambda client: client.hset(HASH, "bob", "two"),
    "a number out of bounds": lambda client: client.hset(HASH, "bob", 2**40),
    "a negative number": lambda client: client.hset(HASH, "bob", -3),
    "a counter that is text": lambda client: client.hset(HASH, COUNTER, "many"),
    "a counter that is gone": lambda client: client.hdel(HASH, COUNTER),
    "a counter that went back": lambda client: client.hset(HASH, COUNTER, 1),
    "no word of what it holds": lambda client: client.hdel(HASH, COUNTER, b"\xffholds"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_map_never_fails_a_view_and_the_mark_waits_until_it_is_repaired(
    damaged: tuple[Flask, Any], damage: str
) -> None:
    app, client = damaged
    DAMAGES[damage](client)
    for name in ("bob", "new", "newer"):
        assert app.test_client().get(f"/{name}").text == "ok"
    assert recorder_of(app).waiting > 0
    assert "id-map repair" in recorder_of(app).status()["error"]

    done = run(app, "repair", input="y\n")
    assert done.exit_code == 0, done.output
    eventually(lambda: recorder_of(app).flush(), "the marks are written")
    assert did(app) == ["ada", "bob", "eve", "new", "newer"]
    assert bits(app) == [0, 1, 2, 3, 4]
    assert recorder_of(app).counters.dropped == 0
    assert findings(app)["user ids"]["level"] == "ok"


def test_who_has_a_damaged_number_is_not_said_to_be_nobody(
    damaged: tuple[Flask, Any],
) -> None:
    app, client = damaged
    client.hset(HASH, "bob", "two")
    query = app.extensions["bitmapist"].query
    with app.app_context():
        assert query.has("ada", "x", "day", as_of=NOON)
        with pytest.raises(DamagedIdMapError, match="id-map repair"):
            query.has("bob", "x")
    page = app.test_client().get("/bitmapist/people?user=bob")
    assert page.status_code == 503
    assert "id-map repair" in page.text


def test_another_type_in_place_of_the_map_is_named(damaged: tuple[Flask, Any]) -> None:
    app, client = damaged
    client.delete(HASH)
    client.set(HASH, "text")
    assert app.test_client().get("/bob").text == "ok"
    assert recorder_of(app).waiting == 1
    found = findings(app)["user ids"]
    assert found["level"] == "problem"
    assert HASH in found["found"]
    client.delete(HASH)
    assert run(app, "repair", "--yes").exit_code == 0
    eventually(lambda: recorder_of(app).flush(), "the mark is written")


def test_a_map_that_is_lost_as_a_whole_makes_nobody_somebody_else(
    make_app: MakeApp, redis_client: redis.Redis
) -> None:
    app = make_app(BITMAPIST_RETRY_MAX=0.2)
    do(app, "ada", 7)
    redis_client.delete(HASH)
    do(app, 1, "ada")
    assert recorder_of(app).waiting == 2
    assert did(app) == ["#0", "#1"]
    assert findings(app)["user ids"]["level"] == "problem"
    assert run(app, "repair", "--yes").exit_code == 0
    eventually(lambda: recorder_of(app).flush(), "the marks are written")
    assert (did(app), bits(app)) == (["#0", "#1", 1, "ada"], [0, 1, 2, 3])


def test_people_who_share_a_number_are_told_apart_from_now_on(
    damaged: tuple[Flask, Any],
) -> None:
    app, client = damaged
    client.hset(HASH, "zoe", 1)
    done = run(app, "repair", "--yes")
    assert "1 user IDs had no number of their own" in done.output
    assert "'zoe'" in done.output
    do(app, "zoe")
    assert did(app) == ["ada", "bob", "eve", "zoe"]


def test_a_lost_bound_is_found_again(
    make_app: MakeApp, redis_client: redis.Redis
) -> None:
    app = make_app()
    do(app, 5)
    run(app, "on", "--yes")
    do(app, "ada", 90)
    redis_client.hset(HASH, b"\xffabove", "text")
    run(app, "repair", "--yes")
    do(app, 4, 6)
    assert (did(app), bits(app)) == ([4, 5, "ada", 90, 6], [4, 5, 6, 7, 8])


def test_a_store_of_numbers_needs_no_repair(make_app: MakeApp) -> None:
    app = make_app()
    do(app, 5)
    assert "nothing to repair" in run(app, "repair", "--yes").output
    do(app, 6)
    assert did(app) == [5, 6]


def test_a_bit_that_was_given_to_nobody_is_shown_as_such(
    make_app: MakeApp, redis_client: redis.Redis
) -> None:
    app = make_app()
    do(app, "ada")
    bitmapist.mark_event("x", 17, system=redis_client, now=NOON)
    query = app.extensions["bitmapist"].query
    assert did(app) == ["ada", "#17"]
    with app.app_context():
        assert not query.has(17, "x", "day", as_of=NOON)
        assert query.count("x", "day", as_of=NOON) == 2


def test_what_nobody_is_called_is_an_error_in_a_store_of_numbers_alone(
    make_app: MakeApp, redis_client: redis.Redis
) -> None:
    app = make_app()
    query = app.extensions["bitmapist"].query
    do(app, 5)
    with app.app_context(), pytest.raises(QueryError, match="whole number"):
        query.has("ada", "x")
    redis_client.flushall()
    do(app, "eve")
    with app.app_context():
        assert not query.has("ada", "x")
    assert keys(redis_client)
