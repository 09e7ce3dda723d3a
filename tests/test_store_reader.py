"""Reading bitmaps: nothing is written, nothing surfaces that need not."""

from __future__ import annotations

import gc
import socket
import subprocess
import sys
import textwrap
import threading
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from enum import IntEnum
from itertools import chain, pairwise
from pathlib import Path
from statistics import median
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
import redis
from flask import Flask

from flask_bitmapist import (
    Event,
    Period,
    QueryError,
    TimeGroup,
    get_event_data,
    mark_event,
)
from flask_bitmapist.query import Query

from .clusters import replica_of, wait_until_in_step
from .inside import (
    BitmapReader,
    NotABitmapError,
    Source,
    last_periods,
    open_client,
    redis_key,
    sources_of,
)
from .kinds import AS_OF, answers, findings, mark_history
from .servers import RedisProcess

TODAY = Period.containing(TimeGroup.DAYS, AS_OF)
WRITES = {"setbit", "bitop", "bitfield", "set", "del", "sadd", "expire", "rename"}


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    client = open_client(redis_url, connect_timeout=5, timeout=5)
    yield client
    client.close()


def commands_sent(client: redis.Redis) -> dict[str, int]:
    stats: Any = client.info("commandstats")
    return {name.removeprefix("cmdstat_"): stats[name]["calls"] for name in stats}


def long_bitmaps(
    client: redis.Redis, length: int, names: Iterable[str] = "ab"
) -> list[Source]:
    """Make bitmaps of so many bytes, with one user each, and return them."""
    sources = [Source(name, TODAY) for name in names]
    for source in sources:
        client.setbit(redis_key(source), length * 8 - 1, 1)  # type: ignore[arg-type]
    return sources


def count(reader: BitmapReader, sources: list[Source]) -> int:
    return sum(
        int(stripe.words(source).any())
        for stripe in reader.stripes(sources)
        for source in sources
    )


def test_a_question_sends_nothing_but_reads_and_leaves_no_key(app: Flask) -> None:
    mark_history(app)
    state = app.extensions["bitmapist"]
    monitor: redis.Redis = state.read_client
    answers(app)  # the first to ask looks for names, and keeps them for all
    size = monitor.dbsize()
    monitor.config_resetstat()
    answers(app)
    sent = set(commands_sent(monitor))
    assert {"getrange", "getbit", "bitcount"} <= sent
    assert not sent & WRITES
    assert monitor.dbsize() == size


def test_every_command_is_allowed_to_a_user_with_read_only_rights(
    redis_process: RedisProcess, make_app: Callable[..., Flask]
) -> None:
    app = make_app(BITMAPIST_REDIS_URL=redis_process.url)
    mark_history(app)
    with redis_process.client() as admin:
        admin.execute_command("ACL SETUSER reader on >pw ~trackist_* +@read")
    url = f"redis://reader:pw@127.0.0.1:{redis_process.port}"
    reader = make_app(
        BITMAPIST_REDIS_URL=redis_process.url, BITMAPIST_REDIS_READ_URL=url
    )
    assert answers(reader) == answers(app)


def test_marks_go_to_the_primary_and_questions_to_the_replica(
    redis_process: RedisProcess, make_app: Callable[..., Flask]
) -> None:
    with replica_of(redis_process) as replica, replica.client() as observer:
        app = make_app(
            BITMAPIST_REDIS_URL=redis_process.url,
            BITMAPIST_REDIS_READ_URL=replica.url,
            BITMAPIST_ON_ERROR="raise",
        )
        mark_history(app)
        wait_until_in_step(redis_process, replica)
        answers(app)  # the first to ask looks for names, and keeps them for all
        wait_until_in_step(redis_process, replica)
        with redis_process.client() as primary:
            primary.config_resetstat()
            observer.config_resetstat()
            answered = answers(app)
            # Replication goes on; a question does not reach the primary.
            on_primary = set(commands_sent(primary))
            assert not on_primary & {"getrange", "getbit", "bitcount", "scan"}
            assert not set(commands_sent(observer)) & WRITES
            assert "errorstat_READONLY" not in observer.info("errorstats")
        alone = make_app(BITMAPIST_REDIS_URL=redis_process.url)
        assert answers(alone) == answered


def test_a_bitmap_that_is_named_twice_is_read_once(
    client: redis.Redis, redis_client: redis.Redis
) -> None:
    first, second = long_bitmaps(client, 100)
    sources = [first, second, first, first]
    redis_client.config_resetstat()
    reader = BitmapReader(client)
    (stripe,) = reader.stripes(sources)
    assert reader.counts(sources) == [1, 1, 1, 1]
    assert reader.contains(sources, 799) == [True] * 4
    assert reader.exist(sources) == [True] * 4
    sent = commands_sent(redis_client)
    names = ("getrange", "bitcount", "getbit", "exists")
    assert [sent[name] for name in names] == [2] * 4
    assert stripe.matrix.shape[0] == 2


def test_keys_that_are_missing_have_nobody(client: redis.Redis) -> None:
    reader = BitmapReader(client)
    missing = [Source("missing", TODAY), Source("missing", None)]
    assert list(reader.stripes(missing)) == []
    assert list(reader.stripes([])) == []
    assert reader.counts([*missing, *missing]) == [0] * 4
    assert reader.contains(missing, 2**32 - 1) == [False, False]
    assert reader.exist(missing) == [False, False]
    assert (reader.counts([]), reader.contains([], 1), reader.exist([])) == ([], [], [])


def mark_months(client: redis.Redis, event: str, *months: str) -> None:
    for month in months:
        client.setbit(f"trackist_{event}_{month}", 5, 1)


def test_the_years_of_an_event_are_those_with_a_bitmap_of_a_month(
    client: redis.Redis, redis_client: redis.Redis
) -> None:
    mark_months(client, "a", "1970-1", "2025-12", "2026-3", "2026-11")
    mark_months(client, "b", "1969-12", "1999-7", "2027-1")
    client.setbit("trackist_c_2020-5-17", 5, 1)
    redis_client.config_resetstat()
    reader = BitmapReader(client)
    assert reader.years(["a", "b", "a", "c"], 2026) == {
        "a": [1970, 2025, 2026],
        "b": [1999],
        "c": [],
    }
    # One command for each year of each event.
    assert commands_sent(redis_client)["exists"] == 3 * (2026 - 1970 + 1)


def test_the_years_of_more_events_than_are_asked_for_at_once_are_all_found(
    client: redis.Redis,
) -> None:
    events = [f"event {number}" for number in range(30)]
    for number, event in enumerate(events):
        mark_months(client, event, f"{1980 + number}-{1 + number % 12}")
    found = BitmapReader(client).years(events, 2026)
    assert found == {event: [1980 + n] for n, event in enumerate(events)}
    assert BitmapReader(client).years([], 2026) == {}


class Noting(redis.Redis):
    """Remembers which commands went out together, in one pipeline each."""

    def pipeline(self, *args: Any, **kwargs: Any) -> Any:
        noted: list[tuple[Any, ...]] = []
        vars(self).setdefault("sent", []).append(noted)
        pipeline = super().pipeline(*args, **kwargs)
        execute_command = pipeline.execute_command

        def note(*command: Any, **options: Any) -> Any:
            noted.append(command)
            return execute_command(*command, **options)

        pipeline.execute_command = note  # type: ignore[method-assign]
        return pipeline


def counted_together(client: redis.Redis) -> list[list[Any]]:
    """Return the keys that the server was asked to count in one round trip each."""
    keys = [[key for name, key in sent if name == "BITCOUNT"] for sent in client.sent]  # type: ignore[attr-defined]
    return list(filter(None, keys))


@pytest.mark.parametrize("limit", [0, 2**40])
def test_the_server_counts_little_before_it_serves_somebody_else(
    redis_url: str, limit: int
) -> None:
    with Noting.from_url(redis_url) as client:
        long = long_bitmaps(client, 5 * 2**20, "abcdefghij")
        short = long_bitmaps(client, 100, [f"short {n}" for n in range(100)])
        longest = long_bitmaps(client, 40 * 2**20, ["longest"])
        sources = [*long, *longest, *short]
        client.sent = []
        assert BitmapReader(client).within(limit).counts(sources) == [1] * 111
        together = counted_together(client)
        assert [redis_key(each) for each in sources] == list(
            chain.from_iterable(together)
        )
        sizes = [sum(map(client.strlen, keys)) for keys in together]
        assert max(sizes) <= (8 + 40) * 2**20
        assert sorted(sizes)[-2] <= (8 + 5) * 2**20
        assert len(together) <= 10, "short ones go together"


def test_where_lengths_are_not_told_few_bitmaps_are_counted_at_a_time() -> None:
    with RedisProcess("--rename-command", "STRLEN", "") as server:
        client = Noting.from_url(server.url)
        sources = long_bitmaps(client, 10, [f"event {n}" for n in range(40)])
        assert BitmapReader(client).counts(sources) == [1] * 40
        assert max(map(len, counted_together(client))) <= 8
        client.close()


class Someone(IntEnum):
    """A number with a name."""

    ADA = 799


@pytest.mark.parametrize("user", [Someone.ADA, np.int64(799), np.uint32(799), "799"])
def test_users_of_any_kind_of_number_are_looked_for(
    app: Flask, redis_client: redis.Redis, user: Any
) -> None:
    long_bitmaps(redis_client, 100)
    query: Query = app.extensions["bitmapist"].query
    assert query.has(user, "a", "days", as_of=AS_OF)
    assert user in query.users(Event("a") & Event("b"), "days", as_of=AS_OF)
    with app.app_context():
        assert user in get_event_data("a", "days", AS_OF)


@pytest.mark.parametrize("wrong", [True, np.int64(-1), 2**32, 2**80, 799.0, None])
def test_what_is_no_user_is_refused_and_in_no_set(
    app: Flask, redis_client: redis.Redis, wrong: Any
) -> None:
    long_bitmaps(redis_client, 100)
    query: Query = app.extensions["bitmapist"].query
    with pytest.raises(QueryError, match="not a user") as refused:
        query.has(wrong, "a", "days", as_of=AS_OF)
    assert refused.value.field == "user"
    assert wrong not in query.users(Event("a") & Event("b"), "days", as_of=AS_OF)
    with app.app_context():
        assert wrong not in get_event_data("a", "days", AS_OF)


def test_a_key_of_another_type_is_named_in_the_error(client: redis.Redis) -> None:
    sources = long_bitmaps(client, 100)
    wrong = Source("wrong", TODAY)
    client.rpush(redis_key(wrong).decode(), "something")
    reader = BitmapReader(client)
    asked = [*sources, wrong]
    for ask in (
        lambda: list(reader.stripes(asked)),
        lambda: reader.counts(asked),
        lambda: reader.contains(asked, 1),
    ):
        with pytest.raises(NotABitmapError, match=r"'trackist_wrong_2026-1-5'.*rename"):
            ask()
        # The connection is fit for the next question.
        assert reader.counts(sources) == [1, 1]


def test_connections_that_the_server_has_closed_do_not_surface(
    client: redis.Redis, redis_client: redis.Redis
) -> None:
    reader = BitmapReader(client)
    sources = long_bitmaps(client, 1_000_000)
    for _ in range(3):
        redis_client.client_kill_filter(_type="normal", skipme=True)
        assert count(reader, sources) == 2
        redis_client.client_kill_filter(_type="normal", skipme=True)
        assert reader.counts(sources) == [1, 1]


def test_a_connection_that_closes_between_two_parts_is_opened_again(
    client: redis.Redis, redis_client: redis.Redis
) -> None:
    sources = long_bitmaps(client, 3_000_000)
    stripes = BitmapReader(client).stripes(sources)
    found = 0
    for number, stripe in enumerate(stripes):
        if number % 5 == 0:
            redis_client.client_kill_filter(_type="normal", skipme=True)
        found += sum(int(stripe.words(source).any()) for source in sources)
    assert found == 2


@contextmanager
def closing_once(url: str) -> Iterator[str]:
    """Give the URL of a way to a server that closes its first connection when asked."""
    server = redis.connection.parse_url(url)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        first, _ = listener.accept()
        with first:
            first.recv(65536)
        second, _ = listener.accept()
        behind = socket.create_connection((server["host"], server["port"]))
        with second, behind:
            while asked := second.recv(65536):
                behind.sendall(asked)
                second.sendall(behind.recv(65536))

    serving = threading.Thread(target=serve, daemon=True)
    serving.start()
    with listener:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}"
        serving.join()


@pytest.mark.skipif(
    redis.__version__.startswith("5.0."), reason="its pipelines are not sent again"
)
def test_a_connection_that_is_closed_when_it_is_asked_is_opened_again(
    redis_url: str, redis_client: redis.Redis
) -> None:
    (source,) = long_bitmaps(redis_client, 100, "a")
    with closing_once(redis_url) as url:
        client = open_client(url, connect_timeout=5, timeout=5, introduce=False)
        assert BitmapReader(client).counts([source]) == [1]
        client.connection_pool.disconnect()


def test_a_server_that_does_not_answer_is_not_asked_a_second_time(
    redis_process: RedisProcess,
) -> None:
    client = open_client(redis_process.url, connect_timeout=5, timeout=0.2)
    reader = BitmapReader(client)
    sources = long_bitmaps(client, 100)
    with redis_process.client() as observer:
        for ask in (
            lambda: list(reader.stripes(sources)),
            lambda: reader.counts(sources),
            lambda: reader.contains(sources, 1),
        ):
            assert reader.counts(sources) == [1, 1]
            connections = observer.info("stats")["total_connections_received"]
            redis_process.pause()
            with pytest.raises(redis.TimeoutError):
                ask()
            redis_process.resume()
            received = observer.info("stats")["total_connections_received"]
            assert received == connections
        assert reader.counts(sources) == [1, 1]


def test_what_is_given_up_half_way_poisons_no_connection(
    redis_url: str, redis_client: redis.Redis
) -> None:
    name = f"asking-{uuid4().hex}"
    client = open_client(
        f"{redis_url}?client_name={name}", connect_timeout=5, timeout=5
    )
    reader = BitmapReader(client)
    sources = long_bitmaps(client, 3_000_000)
    for stop_at in (0, 1, 2, 7, 20):
        stripes = reader.stripes(sources)
        for _ in range(stop_at):
            next(stripes)
        stripes.close()  # type: ignore[attr-defined]
        assert reader.counts(sources) == [1, 1]
        assert client.get("missing") is None
    assert count(reader, sources) == 2
    assert [each["name"] for each in redis_client.client_list()].count(name) == 1


def test_an_error_in_the_midst_of_a_question_poisons_no_connection(
    client: redis.Redis,
) -> None:
    reader = BitmapReader(client)
    sources = long_bitmaps(client, 3_000_000)

    class OwnError(Exception):
        pass

    def fail() -> None:
        for _ in reader.stripes(sources):
            raise OwnError

    with pytest.raises(OwnError):
        fail()
    assert reader.counts(sources) == [1, 1]


def test_many_threads_share_one_reader(app: Flask) -> None:
    mark_history(app)
    query: Query = app.extensions["bitmapist"].query
    expected = query.cohort("a", "b", as_of=AS_OF)
    start = threading.Barrier(16)

    def ask(_: int) -> list[Any]:
        start.wait()
        return [query.cohort("a", "b", as_of=AS_OF) for _ in range(5)]

    with ThreadPoolExecutor(16) as threads:
        for answered in threads.map(ask, range(16)):
            assert answered == [expected] * 5


def test_with_a_limit_of_connections_threads_wait_for_one(redis_url: str) -> None:
    client = open_client(
        f"{redis_url}?max_connections=2&client_name=limited",
        connect_timeout=5,
        timeout=30,
    )
    reader = BitmapReader(client)
    sources = long_bitmaps(client, 1_000_000)
    start = threading.Barrier(8)

    def ask(_: int) -> int:
        start.wait()
        return sum(count(reader, sources) for _ in range(5))

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(ask, range(8))) == [10] * 8
    connections: Any = client.client_list()
    assert [each["name"] for each in connections].count("limited") == 2


@pytest.mark.parametrize("protocol", [2, 3])
def test_text_decoding_in_the_url_changes_no_surface(
    make_app: Callable[..., Flask], redis_url: str, protocol: int
) -> None:
    mark_history(make_app())
    url = f"{redis_url}?decode_responses=True&protocol={protocol}"
    app = make_app(BITMAPIST_REDIS_URL=url)
    assert answers(app) == answers(make_app())
    mark_history(app)
    for page in ("", "events", "people?user=3", "cohort", "lifecycle?event=a"):
        assert app.test_client().get(f"/bitmapist/{page}").status_code == 200
    assert "problem" not in {each["level"] for each in findings(app).values()}


def test_a_unix_socket_is_read_from(redis_process: RedisProcess) -> None:
    path = redis_process.folder / "redis.sock"
    with RedisProcess("--unixsocket", str(path)):
        client = open_client(f"unix://{path}", connect_timeout=5, timeout=5)
        assert count(BitmapReader(client), long_bitmaps(client, 3_000_000)) == 2
        client.close()


MEMORY = """
    import sys
    from flask_bitmapist.query import Query
    from flask_bitmapist.store.connect import open_client
    from flask_bitmapist.store.reader import BitmapReader
    from tests.kinds import AS_OF

    def ask(query):
        query.cohort(
            "a", "b", time_group="days", num_rows=6, num_cols=6, as_of=AS_OF
        )
        query.trend(["a", "b"], num_periods=6, rolling=[3], as_of=AS_OF)
        for stripe in query.bitmaps.stripes(
            query.users("a", "days", as_of=AS_OF).selection.sources
        ):
            pass

    def peak():
        # Not ru_maxrss: that begins with the peak of the process that started this
        # one, which hides all that stays below it.
        with open("/proc/self/status") as status:
            (line,) = [line for line in status if line.startswith("VmHWM")]
        return int(line.split()[1]) * 1024

    client = open_client(sys.argv[1], connect_timeout=5, timeout=60)
    query = Query(BitmapReader(client))
    for day in range(1, 6):
        for event in "ab":
            client.setbit(f"trackist_{event}_2026-1-{day}", 70_000, 1)
    ask(query)
    before = peak()
    for day in range(1, 1 + int(sys.argv[3])):
        for event in "ab":
            client.setbit(f"trackist_{event}_2026-1-{day}", int(sys.argv[2]), 1)
    ask(query)
    print(peak() - before)
"""


def extra_peak(url: str, largest_id: int, days: int = 5) -> int:
    """Return how many bytes more it takes to ask about so many users."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            textwrap.dedent(MEMORY),
            url,
            str(largest_id),
            str(days),
        ],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return int(done.stdout)


@pytest.mark.parametrize("users", [10_000_000, 150_000_000])
def test_memory_is_bounded_however_many_users_there_are(
    redis_url: str, users: int
) -> None:
    assert extra_peak(redis_url, users) < 64 * 1024 * 1024


def test_memory_is_bounded_where_bitmaps_come_whole() -> None:
    # Sixteen bitmaps of 12 MiB, which come one by one.
    with RedisProcess("--rename-command", "GETRANGE", "") as server:
        assert extra_peak(server.url, 100_000_000, days=8) < 96 * 1024 * 1024, (
            "all of them together are twice as much"
        )


def test_a_mark_is_seen_by_the_next_question(app: Flask) -> None:
    query = app.extensions["bitmapist"].query
    with app.app_context():
        for user in range(5):
            mark_event("a", user, now=AS_OF)
            assert query.count("a", "days", as_of=AS_OF) == user + 1


def test_questions_about_thousands_of_bitmaps_leave_no_memory_behind(
    client: redis.Redis,
) -> None:
    reader = BitmapReader(client)

    def ask(number: int) -> int:
        """Ask what was not asked before, and return how much memory is in use."""
        as_of = AS_OF + timedelta(days=365 * number)
        hours = last_periods(TimeGroup.HOURS, 2500, as_of)
        assert not list(reader.stripes(sources_of("a", hours)))
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        # The names of 16,384 keys are kept for the next question.
        *_, filled = map(ask, range(7))
        in_use = [filled, *map(ask, range(7, 12))]
    finally:
        tracemalloc.stop()
    # What bitmaps leave behind, every question leaves.  The table of the names that are
    # kept is made anew now and then, and other threads take memory too: once.
    left_behind = median(after - before for before, after in pairwise(in_use))
    assert left_behind < 50_000, "a hundred bytes for each bitmap would be 250 kB"
