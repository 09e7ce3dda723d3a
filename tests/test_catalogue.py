"""Which events there are: registered ones at once, foreign ones by a walk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import bitmapist
import pytest
import redis
from flask import Flask

from flask_bitmapist import mark_event, mark_unique

from .inside import EVENTS_KEY, Catalogue
from .servers import RedisProcess


@contextmanager
def counting(client: redis.Redis) -> Iterator[dict[str, int]]:
    """Count the commands that the server is sent meanwhile, by name."""
    client.config_resetstat()
    calls: dict[str, int] = {}
    yield calls
    for name, told in client.info("commandstats").items():
        calls[name.removeprefix("cmdstat_")] = told["calls"]


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
    assert calls == {"smembers": 2}


def test_events_of_plain_bitmapist_are_found_by_a_walk_that_is_not_repeated(
    redis_client: redis.Redis,
) -> None:
    bitmapist.mark_event("a_b:c_d", 1, system=redis_client, track_hourly=True)
    bitmapist.mark_unique("paid_once", 1, system=redis_client)
    catalogue = Catalogue(redis_client, redis_client)
    assert catalogue.scan is None
    assert catalogue.names() == ["a_b:c_d"]
    assert catalogue.flags() == ["paid_once"]
    walked = catalogue.scan

    bitmapist.mark_event("later", 1, system=redis_client)
    with counting(redis_client) as calls:
        assert catalogue.names() == ["a_b:c_d"]
    assert "scan" not in calls
    assert catalogue.scan is walked

    assert catalogue.names(refresh=True) == ["a_b:c_d", "later"]
    assert walked is not None
    assert catalogue.scan is not None
    assert catalogue.scan.at >= walked.at


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
