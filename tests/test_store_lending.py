"""Connections between two questions: where they wait, and when they are looked at."""

from __future__ import annotations

import gc
import multiprocessing
import select
import socket
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest
import redis
from redis.credentials import UsernamePasswordCredentialProvider

from flask_bitmapist.analysis.bitmaps import Source
from flask_bitmapist.store.connect import open_client
from flask_bitmapist.store.keys import redis_key
from flask_bitmapist.store.lending import Lender, SparingLender, lender
from flask_bitmapist.store.reader import BitmapReader

KEY = Source("a", None)

Ids = set[str]


@pytest.fixture
def name() -> str:
    """A name for this test's connections: those of others are not counted."""
    return f"asking-{uuid4().hex}"


@pytest.fixture
def url(redis_url: str, redis_client: redis.Redis, name: str) -> str:
    redis_client.setbit(redis_key(KEY), 7, 1)  # type: ignore[arg-type]
    return f"{redis_url}?client_name={name}"


@pytest.fixture
def connections(redis_client: redis.Redis, name: str) -> Callable[[], Ids]:
    """Tells the ids of the connections that this test has open."""
    return lambda: {
        each["id"] for each in redis_client.client_list() if each["name"] == name
    }


@pytest.fixture
def client(url: str) -> Iterator[redis.Redis]:
    client = open_client(url, connect_timeout=5, timeout=5)
    yield client
    client.close()


def ask(reader: BitmapReader) -> bytes:
    (stripe,) = reader.stripes([KEY])
    return stripe.words(KEY).tobytes()


ANSWER = b"\x01" + bytes(7)
VALUE = b"$1\r\n\x01\r\n"
IDLE_ERROR = b"-ERR idle for too long\r\n"


def test_one_question_after_the_other_needs_one_connection(
    client: redis.Redis, connections: Callable[[], Ids]
) -> None:
    reader = BitmapReader(client)
    assert ask(reader) == ANSWER
    first = connections()
    assert len(first) == 1
    assert [ask(reader) for _ in range(5)] == [ANSWER] * 5
    assert connections() == first


def test_questions_at_once_need_no_more_connections_than_there_are_questions(
    client: redis.Redis, connections: Callable[[], Ids]
) -> None:
    reader = BitmapReader(client)
    start = threading.Barrier(4)

    def ask_often(_: int) -> list[bytes]:
        start.wait()
        return [ask(reader) for _ in range(50)]

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(ask_often, range(4))) == [[ANSWER] * 50] * 4
    assert len(connections()) <= 4


def test_when_the_server_has_closed_all_that_wait_each_question_is_answered(
    client: redis.Redis, redis_client: redis.Redis, connections: Callable[[], Ids]
) -> None:
    reader = BitmapReader(client)
    long = Source("long", None)
    redis_client.setbit(redis_key(long), 8 * 3_000_000, 1)  # type: ignore[arg-type]
    for _ in range(3):
        # Four connections wait, since so many questions were under way at once.
        under_way = [reader.stripes([long]) for _ in range(4)]
        assert all(next(stripes).width for stripes in under_way)
        assert sum(1 for stripes in under_way for _ in stripes)
        assert len(connections()) == 4
        redis_client.client_kill_filter(_type="normal", skipme=True)
        assert [ask(reader) for _ in range(5)] == [ANSWER] * 5


def test_after_an_error_a_connection_is_closed(
    client: redis.Redis, redis_client: redis.Redis, connections: Callable[[], Ids]
) -> None:
    reader = BitmapReader(client)
    other = Source("list", None)
    redis_client.rpush(redis_key(other), "x")
    assert ask(reader) == ANSWER
    first = connections()
    with pytest.raises(redis.ResponseError):
        list(reader.stripes([KEY, other]))
    assert ask(reader) == ANSWER
    assert connections() - first


def test_a_reply_too_many_is_not_taken_for_an_answer() -> None:
    with Scripted([VALUE, VALUE + IDLE_ERROR], [VALUE]) as server:
        reader = BitmapReader(server.client())
        assert [ask(reader), ask(reader)] == [ANSWER, ANSWER]


def test_what_came_while_nobody_asked_moves_no_answer_to_another_question() -> None:
    # The answer to the second question is so late that it never comes.
    with Scripted([VALUE, b""], [VALUE]) as server:
        client = server.client()
        reader = BitmapReader(client)
        assert ask(reader) == ANSWER
        (connection,) = client.connection_pool._in_use_connections
        server.say(IDLE_ERROR)
        assert select.select([connection._sock], [], [], 5)[0]
        with pytest.raises(redis.ResponseError, match="idle for too long"):
            ask(reader)
        assert ask(reader) == ANSWER


def test_with_a_limit_no_connection_is_kept_from_others(url: str) -> None:
    limited = [
        open_client(f"{url}&max_connections=1", connect_timeout=5, timeout=1),
        redis.Redis.from_url(url, max_connections=1),
    ]
    for client in limited:
        assert ask(BitmapReader(client)) == ANSWER
        assert client.ping()
        client.close()


def test_one_reader_after_the_other_uses_the_same_connection(
    client: redis.Redis, connections: Callable[[], Ids]
) -> None:
    assert ask(BitmapReader(client)) == ANSWER
    first = connections()
    gc.collect()
    assert [ask(BitmapReader(client)) for _ in range(5)] == [ANSWER] * 5
    assert connections() == first


def test_with_its_client_go_the_connections_that_it_had(
    url: str, redis_client: redis.Redis
) -> None:
    client = open_client(url, connect_timeout=5, timeout=5)
    reader = BitmapReader(client)
    assert ask(reader) == ANSWER
    (connection,) = client.connection_pool._in_use_connections
    gone = weakref.ref(connection)
    del client, reader, connection
    gc.collect()
    assert gone() is None


def test_connections_that_were_closed_are_opened_by_the_next_question(
    client: redis.Redis, connections: Callable[[], Ids]
) -> None:
    reader = BitmapReader(client)
    assert ask(reader) == ANSWER
    first = connections()
    client.connection_pool.disconnect()
    assert ask(reader) == ANSWER
    assert connections() - first


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="needs fork"
)
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_opens_connections_of_its_own(
    client: redis.Redis, connections: Callable[[], Ids]
) -> None:
    reader = BitmapReader(client)
    assert ask(reader) == ANSWER
    (parents,) = connections()
    fork = multiprocessing.get_context("fork")
    told, tell = fork.Pipe(duplex=False)
    go, wait = fork.Event(), 30

    def in_child() -> None:
        tell.send(ask(reader))
        go.wait(wait)

    child = fork.Process(target=in_child)
    child.start()
    try:
        assert told.poll(wait)
        assert told.recv() == ANSWER
        (childs,) = connections() - {parents}
    finally:
        go.set()
        child.join(wait)
    assert child.exitcode == 0
    assert ask(reader) == ANSWER
    assert connections() <= {parents, childs}


def test_where_a_pool_looks_after_its_connections_they_are_left_to_it() -> None:
    provider = UsernamePasswordCredentialProvider("ada", "password")
    sentinel: Any = redis.sentinel.Sentinel
    assert type(lender(redis.Redis())) is SparingLender
    for client in (
        redis.Redis(max_connections=5),
        redis.Redis(credential_provider=provider),
        redis.Redis(connection_pool=redis.BlockingConnectionPool()),
        sentinel([("127.0.0.1", 1)]).master_for("service"),
    ):
        assert type(lender(client)) is Lender


class Scripted:
    """A server that sends what it is told, a piece each time it is asked.

    Args:
        *connections: What it sends over one connection after the other.
    """

    def __init__(self, *connections: list[bytes]) -> None:
        self._pieces = iter(connections)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []

    def client(self) -> redis.Redis:
        url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}"
        return open_client(url, connect_timeout=5, timeout=5, introduce=False)

    def say(self, piece: bytes) -> None:
        """Send something that nobody asked for."""
        self._connections[-1].sendall(piece)

    def __enter__(self) -> Scripted:
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in [self._listener, *self._connections]:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        for each in [self._listener, *self._connections]:
            each.close()

    def _accept(self) -> None:
        with suppress(OSError), ThreadPoolExecutor() as threads:
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                threads.submit(self._serve, connection, next(self._pieces))

    def _serve(self, connection: socket.socket, pieces: list[bytes]) -> None:
        for piece in pieces:
            connection.recv(65536)
            connection.sendall(piece)
