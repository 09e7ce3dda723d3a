"""Which events there are: registered ones at once, foreign ones by a walk."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import bitmapist
import pytest
import redis
from flask import Flask

from flask_bitmapist import mark_event, mark_unique

from .inside import (
    EVENTS_KEY,
    FLAGS_KEY,
    WALKED_KEY,
    WALKING_KEY,
    Catalogue,
    plan_deletion,
)
from .servers import RedisProcess


@contextmanager
def counting(client: redis.Redis) -> Iterator[dict[str, int]]:
    """Count the commands that the server is sent meanwhile, by name."""
    client.config_resetstat()
    calls: dict[str, int] = {}
    yield calls
    for name, told in client.info("commandstats").items():
        calls[name.removeprefix("cmdstat_")] = told["calls"]


def another(client: redis.Redis) -> Catalogue:
    """Return the catalogue of another process."""
    return Catalogue(client, client)


def make_old(client: redis.Redis) -> None:
    """Let the last walk be an hour old, and one second."""
    client.set(WALKED_KEY, f"{time.time() - 3601} 0")


def test_events_marked_through_this_package_are_known_without_a_walk(
    app: Flask, redis_client: redis.Redis
) -> None:
    catalogue = app.extensions["bitmapist"].catalogue
    assert catalogue.names() == []  # the one walk
    with app.app_context():
        mark_event("song:played", 1)
        mark_unique("paid", 1)
    with counting(redis_client) as calls:
        assert catalogue.names() == ["song:played"]
        assert catalogue.flags() == ["paid"]
    assert "scan" not in calls
    assert calls["smembers"] == 4


def test_the_number_of_commands_does_not_depend_on_the_number_of_events(
    app: Flask, redis_client: redis.Redis
) -> None:
    catalogue = app.extensions["bitmapist"].catalogue
    catalogue.names()
    catalogue.register([f"event:{number}" for number in range(500)])
    with counting(redis_client) as calls:
        assert len(catalogue.names()) == 500
    for own in ("config|resetstat", "config", "info"):  # Redis 6 says "config"
        calls.pop(own, None)
    assert calls == {"smembers": 2, "get": 1}


def test_a_question_about_a_name_that_is_kept_looks_for_no_others(
    app: Flask, redis_client: redis.Redis
) -> None:
    with app.app_context():
        mark_event("song:played", 1)
    with counting(redis_client) as calls:
        assert app.extensions["bitmapist"].query.count("song:played") == 1
    assert "scan" not in calls


def test_events_of_plain_bitmapist_are_found_by_one_walk_for_all_processes(
    redis_client: redis.Redis,
) -> None:
    bitmapist.mark_event("a_b:c_d", 1, system=redis_client, track_hourly=True)
    bitmapist.mark_unique("paid_once", 1, system=redis_client)
    catalogue = another(redis_client)
    assert catalogue.scan is None
    assert catalogue.names() == ["a_b:c_d"]
    assert catalogue.flags() == ["paid_once"]
    walked = catalogue.scan
    assert walked is not None

    bitmapist.mark_event("later", 1, system=redis_client)
    with counting(redis_client) as calls:
        for each in (catalogue, another(redis_client), another(redis_client)):
            assert each.names() == ["a_b:c_d"]
            assert each.scan == walked
    assert "scan" not in calls

    assert catalogue.names(refresh=True) == ["a_b:c_d", "later"]
    assert another(redis_client).names() == ["a_b:c_d", "later"]
    assert catalogue.scan is not None
    assert catalogue.scan.at > walked.at


def test_names_are_looked_for_anew_when_that_was_an_hour_ago(
    redis_client: redis.Redis,
) -> None:
    catalogue = another(redis_client)
    assert catalogue.names() == []
    bitmapist.mark_event("foreign", 1, system=redis_client)
    assert catalogue.names() == []
    make_old(redis_client)
    assert another(redis_client).names() == ["foreign"]
    assert catalogue.names() == ["foreign"]


def test_of_processes_that_ask_at_once_one_walks_and_the_others_wait_for_it(
    redis_client: redis.Redis,
) -> None:
    bitmapist.mark_event("foreign", 1, system=redis_client)
    catalogues = [another(redis_client) for _ in range(8)]
    with counting(redis_client) as calls, ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda each: each.names(), catalogues))
    assert found == [["foreign"]] * 8
    assert calls["scan"] == 1
    assert not redis_client.exists(WALKING_KEY)


def test_a_walk_that_a_process_did_not_end_is_left_to_others_after_a_minute(
    redis_client: redis.Redis,
) -> None:
    left: list[int] = []

    class Ends(redis.Redis):
        def scan_iter(self, *args: Any, **options: Any) -> Any:
            left.append(redis_client.ttl(WALKING_KEY))  # type: ignore[arg-type]
            return super().scan_iter(*args, **options)

    client = Ends(connection_pool=redis_client.connection_pool)
    another(client).names()
    assert 0 < left[0] <= 60


def test_a_page_shows_what_is_known_while_another_process_walks(
    app: Flask, redis_client: redis.Redis
) -> None:
    bitmapist.mark_event("foreign", 1, system=redis_client)
    with app.app_context():
        mark_event("ours", 1)
    redis_client.set(WALKING_KEY, 1)
    url = "/bitmapist/events?format=json"
    client = app.test_client()
    assert [each["name"] for each in client.get(url).json["events"]] == ["ours"]
    assert "being searched for events" in client.get("/bitmapist/events").text
    trend = client.get("/bitmapist/trends?events=foreign&format=json")
    assert trend.status_code == 200, "nothing says that there is no such event"

    redis_client.delete(WALKING_KEY)
    assert app.extensions["bitmapist"].catalogue.names() == ["foreign", "ours"]
    assert len(client.get(url).json["events"]) == 2
    assert "being searched for events" not in client.get("/bitmapist/events").text


def test_names_without_any_key_are_listed_no_longer(
    app: Flask, redis_client: redis.Redis
) -> None:
    with app.app_context():
        mark_event("gone", 1)
        mark_unique("gone", 1)
        mark_event("kept", 1)
        mark_unique("kept", 1)
        bitmapist.UniqueEvents("gone").delete()
        redis_client.delete(*redis_client.keys("trackist_gone_*"))
    catalogue = app.extensions["bitmapist"].catalogue
    assert catalogue.names(refresh=True) == ["kept"]
    assert catalogue.flags() == ["kept"]
    assert redis_client.smembers(EVENTS_KEY) == {b"kept"}
    assert redis_client.smembers(FLAGS_KEY) == {b"kept"}


def test_after_everything_was_deleted_the_refreshed_page_has_no_event(
    app: Flask,
) -> None:
    with app.app_context():
        mark_event("e", 1)
        bitmapist.delete_all_events()
    told = app.test_client().get("/bitmapist/events?format=json&refresh=y").json
    assert told["total"] == 0


def test_an_event_that_comes_back_is_listed_again_in_all_processes(
    make_app: Callable[..., Flask], redis_client: redis.Redis
) -> None:
    first, second = make_app(), make_app()
    catalogues = [each.extensions["bitmapist"].catalogue for each in (first, second)]
    for app in (first, second):
        with app.app_context():
            mark_event("song:played", 1)
    assert [each.names() for each in catalogues] == [["song:played"]] * 2

    plan_deletion(second.extensions["bitmapist"], "song:played").carry_out()
    assert [each.names() for each in catalogues] == [[], []]
    with first.app_context():
        mark_event("song:played", 1)  # which has marked it before
    assert [each.names() for each in catalogues] == [["song:played"]] * 2

    redis_client.delete(*redis_client.keys("trackist_*"))
    assert catalogues[0].names(refresh=True) == []
    with second.app_context():
        mark_event("song:played", 1)
    assert [each.names() for each in catalogues] == [["song:played"]] * 2


def test_a_late_replica_takes_no_name_out(
    app: Flask, redis_client: redis.Redis, redis_process: RedisProcess
) -> None:
    with app.app_context():
        mark_event("song:played", 1)
    with redis_process.client() as late:
        late.sadd(EVENTS_KEY, "song:played")
        catalogue = Catalogue(late, redis_client)
        assert catalogue.names(refresh=True) == ["song:played"]
    assert redis_client.smembers(EVENTS_KEY) == {b"song:played"}


def test_who_may_only_read_keeps_what_was_found_in_the_process(
    redis_process: RedisProcess,
) -> None:
    with redis_process.client() as client:
        client.execute_command("ACL SETUSER reader on >pw ~* +@read +@connection")
        bitmapist.mark_event("foreign", 1, system=client)
        url = f"redis://reader:pw@127.0.0.1:{redis_process.port}"
        with redis.Redis.from_url(url) as reading:
            catalogue = another(reading)
            assert catalogue.names() == ["foreign"]
            client.sadd(EVENTS_KEY, "marked elsewhere")
            with counting(client) as calls:
                assert catalogue.names() == ["foreign", "marked elsewhere"]
            assert "scan" not in calls
        assert not client.exists(WALKED_KEY)


def test_a_million_unrelated_keys_cost_no_walk_after_the_first(
    redis_client: redis.Redis,
) -> None:
    redis_client.eval(
        "for i = 1, 1000000 do redis.call('SET', 'unrelated:' .. i, '') end", 0
    )
    bitmapist.mark_event("foreign", 1, system=redis_client)
    catalogue = Catalogue(redis_client, redis_client)
    assert catalogue.names() == ["foreign"]
    with counting(redis_client) as calls:
        for _ in range(3):
            assert catalogue.names() == ["foreign"]
    assert "scan" not in calls
    assert "keys" not in calls


def test_keys_that_are_no_events_or_cannot_be_read_are_passed_over(
    redis_client: redis.Redis,
) -> None:
    bitmapist.mark_event("bitop_of_ours", 1, system=redis_client)
    bitmapist.mark_event("naïve name/with\nall [*?]", 1, system=redis_client)
    month = bitmapist.MonthEvents("a", 2026, 1, system=redis_client)
    bitmapist.BitOpAnd(redis_client, month, month)
    redis_client.setbit(b"trackist_\xff\xfe_2026-1", 1, 1)
    redis_client.set("trackist_", "")
    redis_client.set("trackist_nothing", "")
    redis_client.set("trackist__2026-1", "")
    catalogue = Catalogue(redis_client, redis_client)
    assert catalogue.names() == ["bitop_of_ours", "naïve name/with\nall [*?]"]
    assert catalogue.scan is not None
    assert catalogue.scan.unreadable == 1


def test_plain_bitmapist_does_not_see_the_sets_of_names(
    app: Flask, redis_client: redis.Redis
) -> None:
    with app.app_context():
        mark_event("song:played", 1)
        assert bitmapist.get_event_names() == ["song:played"]
    assert redis_client.smembers(EVENTS_KEY) == {b"song:played"}


def test_a_user_who_may_not_write_sets_still_marks_and_is_walked_for(
    redis_process: RedisProcess, make_app: Callable[..., Flask]
) -> None:
    redis_process.client().execute_command(
        *("ACL", "SETUSER", "tracker", "on", ">secret", "~trackist_*"),
        *("+setbit", "+ping", "+scan", "+client", "+hello"),
    )
    url = f"redis://tracker:secret@127.0.0.1:{redis_process.port}"
    app = make_app(BITMAPIST_REDIS_URL=url)
    with app.app_context():
        mark_event("song:played", 7)
    assert 7 in bitmapist.DayEvents("song:played", system=redis_process.client())
    assert app.extensions["bitmapist"].catalogue.names() == ["song:played"]


@pytest.mark.parametrize(
    "name", ["a_2026-1", "a_W2026-48", "a_2026-11-23-7", "bitop_x", ""]
)
def test_a_name_that_would_be_mixed_up_is_refused_when_marking(
    app: Flask, name: str
) -> None:
    with app.app_context(), pytest.raises(ValueError, match="name"):
        mark_event(name, 1)
