"""Memory that is used again never holds two things at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_bitmapist.analysis import memory

LARGE = 100_000


def address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


@pytest.fixture(autouse=True)
def nothing_to_use_again() -> None:
    memory._pieces.clear()


def test_memory_is_used_again_when_nobody_looks_at_it_any_more() -> None:
    first = memory.uninitialised(LARGE)
    where = address(first)
    del first
    assert address(memory.uninitialised(LARGE - 1)) == where


@pytest.mark.parametrize(
    "look",
    [
        lambda lent: lent,
        lambda lent: lent[10:20],
        lambda lent: lent.view(np.uint64)[3:4],
        lambda lent: lent.reshape(10, -1)[2:4].T,
        lambda lent: lent.data,
        lambda lent: lent.data[5:6],
        lambda lent: memoryview(lent).cast("B")[1:],
        lambda lent: np.frombuffer(lent.data, np.uint8),
        lambda lent: np.ndarray((5, 7), np.uint8, lent.data),
        lambda lent: np.lib.stride_tricks.as_strided(lent, (3, 3)),
        iter,
    ],
)
def test_memory_is_not_used_again_while_anything_looks_at_it(
    look: Callable[[np.ndarray], object],
) -> None:
    lent = memory.uninitialised(LARGE - LARGE % 40)
    where = address(lent)
    seen = look(lent)
    del lent
    others = [memory.uninitialised(LARGE) for _ in range(3)]
    assert where not in map(address, others)
    del seen
    assert address(memory.uninitialised(LARGE)) == where


@given(st.lists(st.tuples(st.integers(1, 3 * memory.PIECE), st.booleans())))
def test_what_is_written_stays_until_it_is_given_up(
    steps: list[tuple[int, bool]],
) -> None:
    held: list[tuple[int, np.ndarray]] = []
    for number, (size, gives_up) in enumerate(steps):
        taken = memory.uninitialised(size)
        assert taken.shape == (size,)
        taken[:] = number % 256
        held.append((number % 256, taken))
        if gives_up:
            held.pop(len(held) // 2)
    for number, each in held:
        assert (each == number).all()


def test_few_pieces_are_kept() -> None:
    held = [memory.uninitialised(LARGE) for _ in range(100)]
    held.clear()
    assert 0 < len(memory._pieces) <= 16


def test_words_have_the_shape_that_was_asked_for() -> None:
    words = memory.words(7, 3000)
    assert (words.shape, words.dtype) == ((7, 3000), np.uint64)
    assert words.flags.c_contiguous
    assert words.flags.aligned
