"""Redis Cluster: marks and questions, on three real primaries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timezone

import pytest
import redis
from flask import Flask

from flask_bitmapist import mark_event

from .clusters import Cluster, wait_until
from .inside import BitmapReader, open_client
from .kinds import AS_OF, answers, answers_when_marked, mark_history


@pytest.fixture(scope="module")
def started_cluster() -> Iterator[Cluster]:
    with Cluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(started_cluster: Cluster) -> Cluster:
    for node in started_cluster.nodes:
        with node.client() as client:
            client.flushall()
    return started_cluster


def test_marks_and_every_question_work_as_on_one_server(
    cluster: Cluster, make_app: Callable[..., Flask]
) -> None:
    clustered, single = make_app(BITMAPIST_REDIS_URL=cluster.url), make_app()
    assert answers_when_marked(clustered) == answers_when_marked(single)


def test_the_marks_are_spread_over_all_nodes(
    cluster: Cluster, make_app: Callable[..., Flask]
) -> None:
    mark_history(make_app(BITMAPIST_REDIS_URL=cluster.url))
    for node in cluster.nodes:
        with node.client() as client:
            assert client.dbsize() > 10


def test_the_past_of_an_event_is_found_on_all_nodes(cluster: Cluster) -> None:
    client = open_client(cluster.url, connect_timeout=5, timeout=5)
    with redis.RedisCluster.from_url(f"{cluster.nodes[0].url}") as writer:
        for year in range(1990, 2026, 5):
            writer.setbit(f"trackist_a_{year}-{1 + year % 12}", 5, 1)
    found = BitmapReader(client).years(["a", "b"], 2026)
    assert found == {"a": list(range(1990, 2026, 5)), "b": []}
    client.close()


def test_who_was_there_outlives_their_days_wherever_keys_are(
    cluster: Cluster, make_app: Callable[..., Flask]
) -> None:
    app = make_app(BITMAPIST_REDIS_URL=cluster.url)
    past, lately = date(2023, 1, 10), date(2024, 3, 5)
    with app.app_context():
        for user in range(300):
            mark_event("e", user, now=datetime.combine(past, time(), timezone.utc))
        for user in (7, 700):
            mark_event("e", user, now=datetime.combine(lately, time(), timezone.utc))
    delete = ["bitmapist", "delete", "e", "--before", "2023-12-31", "--yes"]
    assert app.test_cli_runner().invoke(args=delete).exit_code == 0
    query = app.extensions["bitmapist"].query
    answer = query.lifecycle("e", num_periods=1, as_of=lately)
    assert (answer.new, answer.resurrecting) == ((1,), (1,))


def test_one_node_is_enough_to_find_the_others(
    cluster: Cluster, make_app: Callable[..., Flask]
) -> None:
    url = f"redis+cluster://127.0.0.1:1,127.0.0.1:{cluster.nodes[1].port}"
    app = make_app(BITMAPIST_REDIS_URL=url)
    with app.app_context():
        mark_event("a", 7, now=AS_OF)
        assert app.extensions["bitmapist"].query.count("a", "days", as_of=AS_OF) == 1


def test_an_app_starts_although_its_cluster_does_not_answer(
    make_app: Callable[..., Flask],
) -> None:
    app = make_app(BITMAPIST_REDIS_URL="redis+cluster://:secret@127.0.0.1:1")
    with app.app_context(), pytest.raises(redis.ConnectionError) as caught:
        app.extensions["bitmapist"].query.count("a")
    assert "secret" not in str(caught.value)


def test_keys_are_followed_to_where_they_have_moved(
    cluster: Cluster, make_app: Callable[..., Flask]
) -> None:
    app = make_app(BITMAPIST_REDIS_URL=cluster.url)
    mark_history(app)
    before = answers(app)
    with app.app_context():
        key = b"trackist_a_2026-1-5"
        with cluster.slot_moved(key):
            assert answers(app) == before
            mark_event("a", 69_999, now=AS_OF)
            assert app.extensions["bitmapist"].query.has(
                69_999, "a", "days", as_of=AS_OF
            )


def test_a_question_sends_reads_only_and_leaves_no_key(
    cluster: Cluster, make_app: Callable[..., Flask]
) -> None:
    app = make_app(BITMAPIST_REDIS_URL=cluster.url)
    mark_history(app)
    answers(app)  # looks for names, and leaves behind when that was
    sizes = [node.client().dbsize() for node in cluster.nodes]
    for node in cluster.nodes:
        node.client().config_resetstat()
    answers(app)
    assert [node.client().dbsize() for node in cluster.nodes] == sizes
    for node in cluster.nodes:
        commands = set(node.client().info("commandstats"))
        assert not commands & {"cmdstat_setbit", "cmdstat_bitop", "cmdstat_sadd"}


def test_a_node_that_closes_connections_does_not_surface(
    cluster: Cluster, make_app: Callable[..., Flask]
) -> None:
    app = make_app(BITMAPIST_REDIS_URL=cluster.url)
    mark_history(app)
    before = answers(app)
    for node in cluster.nodes:
        node.client().client_kill_filter(_type="normal")
    assert answers(app) == before


def test_a_node_that_does_not_answer_times_out_once(
    cluster: Cluster, make_app: Callable[..., Flask]
) -> None:
    app = make_app(BITMAPIST_REDIS_URL=cluster.url, BITMAPIST_READ_TIMEOUT=0.2)
    mark_history(app)
    query = app.extensions["bitmapist"].query
    before = query.cohort("a", "b", as_of=AS_OF)
    stalled = cluster.nodes[0]
    with stalled.client() as observer:
        connections = observer.info("stats")["total_connections_received"]
        stalled.pause()
        try:
            with pytest.raises(redis.TimeoutError):
                query.cohort("a", "b", as_of=AS_OF)
        finally:
            stalled.resume()
        # Nobody came back to ask the stalled node again.
        wait_until(lambda: observer.ping())
        received = observer.info("stats")["total_connections_received"]
        assert received == connections
    wait_until(lambda: query.cohort("a", "b", as_of=AS_OF) == before)


def test_marks_of_a_node_that_does_not_answer_wait_after_one_timeout(
    cluster: Cluster, make_app: Callable[..., Flask]
) -> None:
    app = make_app(
        BITMAPIST_REDIS_URL=cluster.url,
        BITMAPIST_MARK_TIMEOUT=0.2,
        BITMAPIST_RETRY_FIRST=60.0,
        BITMAPIST_RETRY_MAX=60.0,
    )
    events = [f"event {number}" for number in range(20)]
    recorder = app.extensions["bitmapist"].recorder
    stalled = cluster.nodes[0]
    with app.app_context(), stalled.client() as observer:
        for event in events:
            mark_event(event, 1, now=AS_OF)
        connections = observer.info("stats")["total_connections_received"]
        stalled.pause()
        try:
            for event in events:
                mark_event(event, 2, now=AS_OF)
            assert recorder.waiting > 0
        finally:
            stalled.resume()
        # Nobody came back to ask the stalled node again.
        wait_until(lambda: observer.ping())
        received = observer.info("stats")["total_connections_received"]
        assert received == connections
        assert recorder.flush()
        query = app.extensions["bitmapist"].query
        assert [query.count(event, "days", as_of=AS_OF) for event in events] == [2] * 20


@pytest.mark.parametrize("mode", ["sync", "background"])
def test_marks_wait_for_a_node_that_takes_none(
    cluster: Cluster, make_app: Callable[..., Flask], mode: str
) -> None:
    app = make_app(BITMAPIST_REDIS_URL=cluster.url, BITMAPIST_MARK_MODE=mode)
    events = [f"event {number}" for number in range(20)]
    recorder = app.extensions["bitmapist"].recorder
    with app.test_request_context(), cluster.nodes[0].client() as full:
        full.config_set("maxmemory", "1")
        try:
            for event in events:
                mark_event(event, 1, now=AS_OF)
            assert not recorder.flush()
            assert "maxmemory" in recorder.status()["error"]
        finally:
            full.config_set("maxmemory", "0")
        assert recorder.flush()
        query = app.extensions["bitmapist"].query
        assert [query.count(event, "days", as_of=AS_OF) for event in events] == [1] * 20
    assert recorder.counters.dropped == 0


def test_a_key_that_no_node_can_mark_is_named_and_stands_in_nobodys_way(
    cluster: Cluster,
    make_app: Callable[..., Flask],
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = make_app(BITMAPIST_REDIS_URL=cluster.url)
    with redis.RedisCluster.from_url(cluster.nodes[0].url) as client:
        client.rpush(f"trackist_bad_{AS_OF.year}-{AS_OF.month}", "a list")
    with app.app_context():
        mark_event("bad", 1, now=AS_OF)
        mark_event("good", 1, now=AS_OF)
        assert app.extensions["bitmapist"].query.count("good", as_of=AS_OF) == 1
    assert f"trackist_bad_{AS_OF.year}-{AS_OF.month}: WRONGTYPE" in caplog.text
    assert app.extensions["bitmapist"].recorder.counters.dropped == 1


def test_a_password_of_the_cluster_is_used_at_every_node(
    make_app: Callable[..., Flask],
) -> None:
    with Cluster() as cluster:
        for node in cluster.nodes:
            node.client().execute_command("ACL SETUSER app on >pass ~* +@all")
        url = f"redis+cluster://app:pass@{cluster.hosts}"
        for node in cluster.nodes:
            node.client().execute_command("ACL SETUSER default -@all +ping +replconf")
        client = open_client(url, connect_timeout=5, timeout=5)
        for key in ("x", "y", "z", "w"):
            client.set(key, 1)
            assert client.get(key) == b"1"
