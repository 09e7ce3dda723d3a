"""Writing many bits at once: right bits by whichever command is cheapest for them."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.cluster import key_slot

from .clusters import Cluster
from .inside import BitWriter, Group, bitwriter, open_client, temporary_key
from .marks import eventually, users
from .servers import RedisProcess

FEW = set(range(5, 40, 5))
MANY_FAR_APART = set(range(0, 3_000_000, 15_000))
MANY = set(range(0, 60_000, 7))

# Numbers of users: one, some, many in a small or in a large space.
SETS = st.one_of(
    st.sets(st.integers(0, 100_000), min_size=1, max_size=3),
    st.sets(st.integers(0, 3_000), min_size=70, max_size=200),
    st.sets(st.integers(0, 2_000_000), min_size=70, max_size=200),
)


def groups_of(bits: Mapping[bytes, set[int]], as_array: bool = False) -> list[Group]:
    return [
        Group(key, np.array(sorted(each)) if as_array else each, 1)
        for key, each in bits.items()
    ]


def name(key: bytes) -> str:
    return key.decode().removeprefix("trackist_")


def commands_of(client: redis.Redis, *names: str) -> set[str]:
    """Return which of some commands a server has carried out."""
    done: Any = client.info("commandstats")
    return {each for each in names if f"cmdstat_{each.lower()}" in done}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from([b"trackist_a", b"trackist_b", b"trackist_{c}"]), SETS
        ),
        min_size=1,
        max_size=3,
    ),
    st.booleans(),
)
def test_bits_are_those_of_plain_sets_and_new_ones_are_counted(
    redis_client: redis.Redis, batches: list[dict[bytes, set[int]]], as_array: bool
) -> None:
    redis_client.flushall()
    writer = BitWriter(redis_client)
    known: dict[bytes, set[int]] = {}
    for batch in batches:
        written = writer.write(groups_of(batch, as_array))
        new = sum(len(each - known.get(key, set())) for key, each in batch.items())
        assert (written.new, written.errors) == (new, {})
        assert written.taken == sum(map(len, batch.values()))
        for key, each in batch.items():
            known[key] = known.get(key, set()) | each

    assert {key: users(redis_client, name(key)) for key in known} == known
    assert set(redis_client.keys()) == set(known)


@pytest.mark.parametrize(
    ("bits", "command"),
    [
        ({5}, None),
        (FEW, "bitfield"),
        (MANY_FAR_APART, "bitfield"),
        (MANY, "bitop"),
    ],
    ids=["one", "few", "many far apart", "many"],
)
@pytest.mark.parametrize("as_array", [False, True], ids=["set", "array"])
def test_each_number_of_bits_has_its_command(
    redis_client: redis.Redis, bits: set[int], command: str | None, as_array: bool
) -> None:
    redis_client.config_resetstat()
    BitWriter(redis_client).write(groups_of({b"trackist_x": bits}, as_array))

    assert users(redis_client, "x") == bits
    assert commands_of(redis_client, "bitfield", "bitop") == {command} - {None}


def test_a_long_bitmap_is_not_written_anew_for_few_bits(
    redis_client: redis.Redis,
) -> None:
    redis_client.setbit("trackist_x", 50_000_000, 1)
    redis_client.config_resetstat()
    some = set(range(0, 1000, 2))
    BitWriter(redis_client).write(groups_of({b"trackist_x": some}))

    assert redis_client.bitcount("trackist_x") == len(some) + 1
    assert commands_of(redis_client, "bitop", "bitfield") == {"bitfield"}


def test_bits_that_are_cleared_keep_their_order(redis_client: redis.Redis) -> None:
    writer = BitWriter(redis_client)
    writer.write(
        [
            Group(b"trackist_x", MANY, 1),
            Group(b"trackist_x", MANY, 0),
            Group(b"trackist_x", (7,), 1),
        ]
    )

    assert users(redis_client, "x") == {7}


def test_nothing_that_others_mark_meanwhile_is_lost(
    redis_process: RedisProcess,
) -> None:
    keys = [f"trackist_{number}".encode() for number in range(4)]
    ended = threading.Event()
    marked: list[set[int]] = []

    def mark(first: int) -> None:
        mine = set()
        with redis_process.client() as client:
            number = first
            while not ended.is_set():
                client.setbit(keys[number % 4], number, 1)
                mine.add(number)
                number += 12
        marked.append(mine)

    threads = [threading.Thread(target=mark, args=[100_000 + n]) for n in range(3)]
    for thread in threads:
        thread.start()
    with redis_process.client() as client:
        writer = BitWriter(client)
        for shift in range(30):
            some = {user + shift for user in MANY}
            writer.write(groups_of(dict.fromkeys(keys, some)))
        ended.set()
        for thread in threads:
            thread.join()
        imported = {user + shift for user in MANY for shift in range(30)}
        theirs = set().union(*marked)
        assert theirs
        for number, key in enumerate(keys):
            mine = {each for each in theirs if each % 4 == number}
            assert users(client, name(key)) == imported | mine
        assert "bitop" in commands_of(client, "bitop")


WRITES_FOR_EVER = """
import sys, numpy, redis
from tests.inside import BitWriter, Group

writer = BitWriter(redis.Redis.from_url(sys.argv[1]))
many = numpy.arange(0, 1_000_000, 50)
while True:
    writer.write([Group(b"trackist_%d" % number, many, 1) for number in range(20)])
"""


def test_a_killed_process_leaves_no_temporary_key_for_good(
    redis_process: RedisProcess,
) -> None:
    with redis_process.client() as client:
        for _ in range(3):
            command = [sys.executable, "-c", WRITES_FOR_EVER, redis_process.url]
            client.config_resetstat()
            with subprocess.Popen(command) as process:
                try:
                    eventually(lambda: commands_of(client, "bitop"), "it writes")
                finally:
                    process.kill()
            left = temporary_keys(redis_process)
            assert all(0 < client.ttl(key) <= bitwriter.EXPIRES_AFTER for key in left)


def test_a_temporary_key_expires_by_itself(redis_client: redis.Redis) -> None:
    sent = []
    with redis_client.monitor() as monitor:
        BitWriter(redis_client).write(groups_of({b"trackist_x": MANY}))
        for entry in monitor.listen():
            sent.append(entry["command"])
            if entry["command"] == "EXEC":
                break

    whole = [command for command in sent if command.startswith("SET ")]
    assert whole
    assert all(each.endswith(f"EX {bitwriter.EXPIRES_AFTER}") for each in whole)


@pytest.mark.parametrize("forbidden", ["-bitop", "-strlen", "-bitfield"])
def test_a_command_that_is_refused_is_replaced_by_a_simpler_one(
    redis_process: RedisProcess, forbidden: str
) -> None:
    with redis_process.client() as client:
        client.execute_command("ACL SETUSER default", forbidden)
        writer = BitWriter(client)
        first = writer.write(groups_of({b"trackist_x": MANY, b"trackist_y": FEW}))
        again = writer.write(groups_of({b"trackist_x": MANY, b"trackist_y": FEW}))

        assert first.errors == again.errors == {}
        assert (first.new, again.new) == (len(MANY) + len(FEW), 0)
        assert users(client, "x") == MANY
        assert users(client, "y") == FEW


def test_a_key_of_another_type_is_told_and_the_others_are_written(
    redis_client: redis.Redis,
) -> None:
    redis_client.rpush("trackist_list", "a")
    written = BitWriter(redis_client).write(
        groups_of({b"trackist_list": MANY, b"trackist_x": MANY})
    )

    assert list(written.errors) == [b"trackist_list"]
    assert "WRONGTYPE" in str(written.errors[b"trackist_list"])
    assert users(redis_client, "x") == MANY


@given(st.binary(max_size=12).map(lambda rest: b"trackist_" + rest))
def test_a_temporary_key_is_in_the_slot_of_its_key(key: bytes) -> None:
    beside = temporary_key(key)

    assert beside is None or key_slot(beside) == key_slot(key)


@pytest.mark.parametrize(
    "key", [b"trackist_x", b"trackist_a{b}c", b"trackist_a{b", b"trackist_a{}b{c}"]
)
def test_usual_names_have_a_temporary_key(key: bytes) -> None:
    beside = temporary_key(key)

    if b"{}" in key:
        assert beside is None
    else:
        assert beside is not None
        assert beside.startswith(b"flask-bitmapist:")
        assert key_slot(beside) == key_slot(key)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster() as running:
        yield running


def test_many_bits_are_written_to_a_cluster(cluster: Cluster) -> None:
    client: Any = open_client(cluster.url, connect_timeout=5, timeout=5)
    bits = {f"trackist_{number}_a".encode(): MANY for number in range(6)}
    bits |= {b"trackist_x{y}": MANY, b"trackist_x}": MANY, b"trackist_few": FEW}
    first = BitWriter(client).write(groups_of(bits))
    again = BitWriter(client).write(groups_of(bits))

    assert (first.new, again.new) == (sum(map(len, bits.values())), 0)
    assert {key: users(client, name(key)) for key in bits} == bits
    assert not [key for node in cluster.nodes for key in temporary_keys(node)]
    client.close()


def test_a_key_that_has_moved_to_another_node_is_followed(cluster: Cluster) -> None:
    client: Any = open_client(cluster.url, connect_timeout=5, timeout=5)
    key = b"trackist_moved"
    client.setbit(key, 1, 1)
    with cluster.slot_moved(key):
        written = BitWriter(client).write(groups_of({key: MANY}))

        assert (written.taken, written.errors) == (len(MANY), {})
        assert users(client, "moved") == MANY | {1}
    client.close()


def temporary_keys(node: RedisProcess) -> list[bytes]:
    with node.client() as client:
        found: Any = client.keys(f"{bitwriter.TEMPORARY}*")
    return list(found)
