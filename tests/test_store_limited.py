"""Stores that know few commands, or let few be used."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis
from flask import Flask

from flask_bitmapist import Period, TimeGroup, mark_event

from .inside import BitmapReader, Source, Stripe, redis_key, user_ids
from .kinds import AS_OF, answers, answers_when_marked, mark_history
from .limited import LimitedStore
from .servers import RedisProcess

TODAY = Period.containing(TimeGroup.DAYS, AS_OF)


@pytest.fixture
def limited_store(redis_process: RedisProcess) -> Iterator[LimitedStore]:
    with LimitedStore(redis_process) as store:
        yield store


@pytest.fixture
def without_getrange() -> Iterator[RedisProcess]:
    renamed = ("GETRANGE", "SUBSTR", "STRLEN", "MGET", "SMEMBERS", "SADD", "BITFIELD")
    options = [word for name in renamed for word in ("--rename-command", name, "")]
    with RedisProcess(*options) as server:
        yield server


def commands_sent(client: redis.Redis) -> dict[str, int]:
    stats = client.info("commandstats")
    return {name.removeprefix("cmdstat_"): stats[name]["calls"] for name in stats}


def test_a_store_with_the_commands_of_bitmapist_server_is_enough(
    limited_store: LimitedStore, make_app: Callable[..., Flask]
) -> None:
    limited, full = make_app(BITMAPIST_REDIS_URL=limited_store.url), make_app()
    assert answers_when_marked(limited) == answers_when_marked(full)
    assert "getrange" in limited_store.refused


def test_marks_that_have_waited_are_written_without_bitfield(
    limited_store: LimitedStore, make_app: Callable[..., Flask]
) -> None:
    app = make_app(
        BITMAPIST_REDIS_URL=limited_store.url,
        BITMAPIST_MARK_MODE="background",
        BITMAPIST_FLUSH_INTERVAL=3600.0,
    )
    bitmapist = app.extensions["bitmapist"]
    with app.test_request_context():  # outside of one, no mark waits
        for user in range(50):
            mark_event("a", user, now=AS_OF)
        assert bitmapist.recorder.flush()
        assert list(bitmapist.query.users("a", "weeks", as_of=AS_OF)) == list(range(50))
    assert "bitfield" in limited_store.refused


def test_renamed_commands_are_done_without(
    without_getrange: RedisProcess, make_app: Callable[..., Flask]
) -> None:
    limited, full = make_app(BITMAPIST_REDIS_URL=without_getrange.url), make_app()
    assert answers_when_marked(limited) == answers_when_marked(full)


def test_a_user_who_may_not_use_getrange_reads_whole_bitmaps(
    redis_process: RedisProcess, make_app: Callable[..., Flask]
) -> None:
    app = make_app(BITMAPIST_REDIS_URL=redis_process.url)
    mark_history(app)
    with redis_process.client() as client:
        client.execute_command("ACL SETUSER few on >pw ~* +get +getbit +bitcount")
        client.execute_command("ACL SETUSER few +exists +scan")
    url = f"redis://few:pw@127.0.0.1:{redis_process.port}"
    few = make_app(BITMAPIST_REDIS_URL=redis_process.url, BITMAPIST_REDIS_READ_URL=url)
    assert answers(few) == answers(app)


def test_that_getrange_is_unknown_is_found_out_once(
    without_getrange: RedisProcess,
) -> None:
    with without_getrange.client() as client:
        sources = [Source(name, TODAY) for name in "abcdef"]
        for source in sources:
            client.setbit(redis_key(source), 9, 1)  # type: ignore[arg-type]
        reader = BitmapReader(client)
        assert reader.counts(sources) == [1] * 6
        errors = []
        for _ in range(3):
            (stripe,) = reader.stripes(sources)
            assert stripe.words(sources[5]).any()
            # Unknown commands are no statistics; errors are.
            errors.append(client.info("errorstats")["errorstat_ERR"])
        assert errors[0] == errors[1] == errors[2]
        assert commands_sent(client)["get"] == 18


def test_a_store_that_looks_for_one_key_at_a_time_is_asked_for_one_at_a_time(
    limited_store: LimitedStore,
) -> None:
    with redis.Redis.from_url(limited_store.url, protocol=2) as client:
        client.setbit("trackist_a_1999-12", 5, 1)
        client.setbit("trackist_a_2026-1", 5, 1)
        reader = BitmapReader(client)
        wanted = {"a": [1999, 2026], "b": []}
        assert reader.years(["a", "b"], 2026) == wanted
        limited_store.refused.remove("exists")
        assert reader.years(["a", "b"], 2026) == wanted
        assert "exists" not in limited_store.refused


def test_bitmaps_longer_than_one_fetch_are_put_together(
    without_getrange: RedisProcess, redis_client: redis.Redis
) -> None:
    sources = [Source(name, TODAY) for name in "abc"]
    ids = {0: [1, 8 * 9_000_000], 1: [8 * 8_388_608, 8 * 20_000_000], 2: [70]}
    with without_getrange.client() as limited:
        for client in (limited, redis_client):
            for number, users in ids.items():
                for user in users:
                    client.setbit(redis_key(sources[number]), user, 1)  # type: ignore[arg-type]
        found: dict[int, list[int]] = {0: [], 1: [], 2: []}
        for stripe in BitmapReader(limited).stripes(sources):
            for number, source in enumerate(sources):
                found[number] += stripe_ids(stripe, source)
    assert found == ids


def stripe_ids(stripe: Stripe, source: Source) -> list[int]:
    return [int(each) for each in user_ids(stripe.words(source), stripe.first_id)]


def test_who_may_read_other_keys_only_is_told_which_key(
    redis_process: RedisProcess,
) -> None:
    source = Source("a", TODAY)
    with redis_process.client() as client:
        client.execute_command("ACL SETUSER other on >pw ~other_* +@read")
    with redis_process.client(username="other", password="pw") as client:
        reader = BitmapReader(client)
        for ask in (
            lambda: list(reader.stripes([source])),
            lambda: reader.counts([source]),
        ):
            with pytest.raises(redis.ResponseError, match="trackist_a_2026-1-5"):
                ask()
