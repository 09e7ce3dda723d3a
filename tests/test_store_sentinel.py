"""Servers that Sentinel watches, one of which dies."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis
from flask import Flask

from flask_bitmapist import mark_event

from .clusters import Watched, wait_until, wait_until_in_step
from .inside import open_client
from .kinds import AS_OF, answers, mark_history


@pytest.fixture
def watched() -> Iterator[Watched]:
    with Watched() as servers:
        yield servers


def test_marks_and_questions_survive_the_death_of_the_primary(
    watched: Watched, make_app: Callable[..., Flask]
) -> None:
    app = make_app(BITMAPIST_REDIS_URL=watched.url, BITMAPIST_ON_ERROR="raise")
    mark_history(app)
    before = answers(app)
    wait_until_in_step(*watched.servers)
    watched.fail_over()
    assert answers(app) == before
    with app.app_context():
        mark_event("late", 5, now=AS_OF)
        assert app.extensions["bitmapist"].query.has(5, "late", "days", as_of=AS_OF)
    with watched.servers[1].client() as client:
        assert client.exists("trackist_late_2026-1-5")


def test_reads_go_to_the_primary_unless_a_replica_is_asked_for(
    watched: Watched,
) -> None:
    for role, server in zip(("master", "replica"), watched.servers):
        url = f"{watched.url}/0?role={role}"
        client = open_client(url, connect_timeout=5, timeout=5)
        assert client.config_get("port")["port"] == str(server.port)
    client = open_client(watched.url, connect_timeout=5, timeout=5)
    assert client.config_get("port")["port"] == str(watched.servers[0].port)


def test_the_number_of_a_database_is_selected(watched: Watched) -> None:
    client = open_client(f"{watched.url}/3", connect_timeout=5, timeout=5)
    client.set("x", 1)
    with watched.servers[0].client(db=3) as direct:
        assert direct.get("x") == b"1"


def test_passwords_of_the_servers_and_of_sentinel_are_told_apart(
    watched: Watched,
) -> None:
    assert watched.sentinel is not None
    with watched.sentinel.client() as client:
        client.sentinel_set(watched.SERVICE, "auth-user", "app")
        client.sentinel_set(watched.SERVICE, "auth-pass", "pass")
        client.execute_command("ACL SETUSER watcher on >other +@all")
        client.execute_command("ACL SETUSER default off")
    for server in watched.servers:
        with server.client() as client:
            client.execute_command("ACL SETUSER app on >pass ~* &* +@all")
            client.execute_command("ACL SETUSER default off")
    url = (
        f"redis+sentinel://app:pass@{watched.hosts}/{watched.SERVICE}"
        "?sentinel_username=watcher&sentinel_password=other"
    )
    client = open_client(url, connect_timeout=5, timeout=5)
    wait_until(lambda: client.set("x", 1))
    assert client.get("x") == b"1"


def test_a_service_that_sentinel_does_not_know_is_an_error_of_the_connection(
    watched: Watched, make_app: Callable[..., Flask]
) -> None:
    app = make_app(BITMAPIST_REDIS_URL=f"redis+sentinel://{watched.hosts}/unknown")
    with pytest.raises(redis.ConnectionError, match="unknown"):
        app.extensions["bitmapist"].query.count("a")
