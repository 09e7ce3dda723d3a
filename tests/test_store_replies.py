"""Replies are read as the server sent them, however they come in."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from redis.connection import DefaultParser

from flask_bitmapist.store.replies import Part, read_replies
from flask_bitmapist.store.values import EqualValues, lengths_of, side_by_side


class Connection:
    """What the reader needs of a connection of redis-py."""

    protocol = 2
    _parser = DefaultParser

    def __init__(self, sock: socket.socket | None) -> None:
        self._sock = sock
        self.disconnected = False

    def disconnect(self) -> None:
        self.disconnected = True


@contextmanager
def sent(*chunks: bytes, close: bool = True) -> Iterator[Connection]:
    """A connection on which *chunks* come in one after the other."""
    ours, theirs = socket.socketpair()
    ours.settimeout(10)

    def send() -> None:
        for chunk in filter(None, chunks):
            theirs.sendall(chunk)
        if close:
            theirs.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield Connection(ours)
    finally:
        ours.close()
        sender.join()
        theirs.close()


def encoded(reply: object) -> bytes:
    if reply is None:
        return b"$-1\r\n"
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    if isinstance(reply, str):
        return b"-%b\r\n" % reply.encode()
    assert isinstance(reply, bytes)
    return b"$%d\r\n%b\r\n" % (len(reply), reply)


def plain(reply: Any) -> object:
    """A reply as it was before it was encoded."""
    if isinstance(reply, redis.ResponseError):
        return f"ERR {reply}"
    return reply if reply is None or isinstance(reply, int) else bytes(reply)


REPLIES = st.lists(
    st.one_of(
        st.none(),
        st.integers(-(2**63), 2**63 - 1),
        st.binary(max_size=200),
        st.sampled_from([b"\r\n", b"$5\r\nabcde\r\n", b"-ERR no", bytes(70_000)]),
        st.sampled_from(["ERR no", "ERR " + "long" * 50]),
    ),
    min_size=1,
    max_size=12,
)


@given(REPLIES, st.lists(st.integers(1, 300), max_size=20), st.integers(0, 300))
def test_replies_are_what_was_sent_in_whatever_pieces_they_come(
    replies: list[object], sizes: list[int], largest: int
) -> None:
    data = b"".join(map(encoded, replies))
    chunks, at = [], 0
    for size in sizes:
        chunks.append(data[at : at + size])
        at += size
    with sent(*chunks, data[at:]) as connection:
        found = read_replies(connection, len(replies), largest, None)
        assert [plain(reply) for reply in found] == replies
        assert not connection.disconnected


def test_values_of_one_length_are_taken_together() -> None:
    values = [bytes([number]) * 70_000 for number in range(20)]
    with sent(b"".join(map(encoded, values))) as connection:
        found = read_replies(connection, 20, 70_000, None)
    assert isinstance(found, EqualValues)
    assert (len(found), found.length) == (20, 70_000)
    assert list(map(bytes, found)) == values
    assert list(map(bytes, found[3:5])) == values[3:5]


@pytest.mark.parametrize("length", [0, 1, 5, 200])
@pytest.mark.parametrize("other", [None, 7, "ERR no", b"", b"x", b"x" * 199])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_one_that_differs_does_not_keep_the_others_waiting(
    length: int, other: object, at: int
) -> None:
    replies: list[object] = [b"v" * length] * 4
    replies[at] = other
    # Nothing comes after the last byte: to wait for one more would take forever.
    with sent(b"".join(map(encoded, replies)), close=False) as connection:
        found = read_replies(connection, 4, 200, None)
        assert [plain(reply) for reply in found] == replies


@given(
    st.integers(0, 40),
    st.integers(1, 5),
    st.lists(st.integers(1, 30), max_size=20),
    st.lists(st.integers(0, 40), max_size=5),
)
def test_values_of_one_length_are_what_was_sent_in_whatever_pieces_they_come(
    length: int, count: int, sizes: list[int], others: list[int]
) -> None:
    lengths = [length] * count + others
    values = [bytes([65 + number]) * size for number, size in enumerate(lengths)]
    data = b"".join(map(encoded, values))
    chunks, at = [], 0
    for size in sizes:
        chunks.append(data[at : at + size])
        at += size
    with sent(*chunks, data[at:], close=False) as connection:
        found = read_replies(connection, len(values), 40, None)
        assert list(map(bytes, found)) == values


@given(
    st.lists(st.binary(min_size=1, max_size=90), min_size=1, max_size=5),
    st.integers(0, 10),
    st.integers(1, 14),
    st.integers(1, 90),
)
def test_the_same_part_of_each_value_becomes_a_row(
    values: list[bytes], first_word: int, words: int, length: int
) -> None:
    start, size = 8 * first_word, 8 * words
    equal = [value.ljust(length, b"z")[:length] for value in values]
    block = EqualValues(np.array([list(value) for value in equal], dtype=np.uint8))
    assert lengths_of(values) == list(map(len, values))
    assert lengths_of(block) == [length] * len(values)
    for given_, wanted in ((values, values), (equal, equal), (block, equal)):
        matrix = side_by_side(given_, start, size)
        rows = [row.tobytes() for row in matrix]
        assert rows == [
            value[start : start + size].ljust(size, b"\0") for value in wanted
        ]


@given(
    st.lists(st.one_of(st.none(), st.binary(max_size=400)), min_size=1, max_size=8),
    st.integers(0, 300),
    st.integers(0, 300),
)
def test_a_part_of_each_value_is_what_a_slice_of_it_would_be(
    values: list[bytes | None], start: int, length: int
) -> None:
    part = Part(start, start + length)
    with sent(b"".join(map(encoded, values))) as connection:
        found = read_replies(connection, len(values), 0, part)
    assert found == [(value or b"")[start : start + length] for value in values]
    assert part.came == sum(len(value or b"") for value in values)


@pytest.mark.parametrize("part", [None, Part(0, 3)])
def test_errors_are_those_of_redis_py_and_stand_in_their_place(
    part: Part | None,
) -> None:
    data = b"$3\r\nabc\r\n-NOPERM you may not\r\n-WRONGTYPE not that\r\n$1\r\nz\r\n"
    with sent(data) as connection:
        first, refused, wrong, last = read_replies(connection, 4, 3, part)
    assert (bytes(first), bytes(last)) == (b"abc", b"z")
    assert isinstance(refused, redis.exceptions.NoPermissionError)
    assert isinstance(wrong, redis.ResponseError)


@pytest.mark.parametrize("part", [None, Part(1, 3)])
@pytest.mark.parametrize("data", [b"", b"$3", b"$3\r\na", b"$3\r\nabc", b":12", b"-ER"])
def test_a_connection_that_ends_half_way_is_an_error_and_is_not_used_again(
    data: bytes, part: Part | None
) -> None:
    with sent(data) as connection:
        with pytest.raises(redis.ConnectionError, match="closed"):
            read_replies(connection, 1, 3, part)
        assert connection.disconnected


@pytest.mark.parametrize("part", [None, Part(0, 3)])
def test_what_is_not_redis_is_an_error(part: Part | None) -> None:
    with sent(b"HTTP/1.1 400 Bad Request\r\n\r\n") as connection:
        with pytest.raises(redis.ConnectionError, match="Protocol Error"):
            read_replies(connection, 1, 3, part)
        assert connection.disconnected


def test_a_server_that_is_still_loading_takes_no_questions() -> None:
    with (
        sent(b"-LOADING Redis is loading the dataset in memory\r\n") as connection,
        pytest.raises(redis.exceptions.BusyLoadingError),
    ):
        read_replies(connection, 1, 3, None)


@pytest.mark.parametrize("part", [None, Part(0, 3)])
def test_a_server_that_does_not_go_on_is_given_up(part: Part | None) -> None:
    with sent(b"$3\r\na", close=False) as connection:
        assert connection._sock is not None
        connection._sock.settimeout(0.01)
        with pytest.raises(redis.TimeoutError):
            read_replies(connection, 1, 3, part)
        assert connection.disconnected


def test_redis_py_reads_where_its_connection_is_not_as_expected() -> None:
    class Other(Connection):
        replies: ClassVar[list[Any]] = [b"abcdef", None, redis.ResponseError("no")]

        def read_response(self, disable_decoding: bool) -> object:
            assert disable_decoding
            reply = self.replies.pop(0)
            if isinstance(reply, Exception):
                raise reply
            return reply

    first, missing, error = read_replies(Other(None), 3, 0, Part(1, 3))
    assert (first, missing, str(error)) == (b"bc", b"", "no")
