"""Counting: the same numbers as plain sets, whoever counts."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from .inside import (
    Counting,
    NumKongCounting,
    NumpyCounting,
    counting,
    fastest,
    user_ids,
)
from .kinds import findings


def with_numkong() -> NumKongCounting:
    return NumKongCounting(pytest.importorskip("numkong").dot)


def find_out() -> Counting:
    """Find out anew what counts here."""
    return fastest.__wrapped__()


@pytest.fixture(
    scope="module",
    params=[NumpyCounting, with_numkong],
    ids=["numpy", "numkong"],
)
def count(request: pytest.FixtureRequest) -> Counting:
    made: Counting = request.param()
    return made


# Bitmaps as parts of a larger matrix, like those of a stripe.
LOOKS = (
    lambda matrix: matrix,
    lambda matrix: matrix[::-1],
    lambda matrix: matrix[:, 1:],
    lambda matrix: matrix[1:, :-1],
    np.asfortranarray,
)


@st.composite
def matrices(draw: st.DrawFn, height: int, width: int) -> np.ndarray:
    some = st.one_of(st.just(0), st.just(2**64 - 1), st.integers(0, 2**64 - 1))
    words = draw(st.lists(some, min_size=height * width, max_size=height * width))
    matrix = draw(st.sampled_from(LOOKS))(
        np.array(words, dtype=np.uint64).reshape(height, width)
    )
    matrix.flags.writeable = False
    return matrix


def sets(matrix: np.ndarray) -> list[set[int]]:
    return [set(user_ids(row).tolist()) for row in matrix]


@given(data=st.data(), height=st.integers(1, 5), width=st.integers(1, 20))
def test_rows_have_as_many_users_as_plain_sets(
    count: Counting, data: st.DataObject, height: int, width: int
) -> None:
    matrix = data.draw(matrices(height, width))
    assert count.rows(matrix).tolist() == list(map(len, sets(matrix)))


@given(data=st.data(), height=st.integers(1, 5), width=st.integers(2, 20))
def test_pairs_have_as_many_users_in_common_as_plain_sets(
    count: Counting, data: st.DataObject, height: int, width: int
) -> None:
    first = data.draw(matrices(height, width))
    second = data.draw(matrices(height, width))
    rows, columns = min(len(first), len(second)), min(first.shape[1], second.shape[1])
    first, second = first[:rows, :columns], second[:rows, :columns]
    # Fewer rows from pair to pair, as the columns of a cohort have.
    pairs = [(first[: rows - back], second[back:]) for back in range(rows)]
    found = count.pairs(iter(pairs), (rows + 2, rows + 1))
    assert found.shape == (rows + 2, rows + 1)
    for counts, (some, others) in zip(found.tolist(), pairs):
        both = [len(a & b) for a, b in zip(sets(some), sets(others))]
        assert counts == [*both, *[0] * (rows + 1 - len(both))]
    assert not found[rows:].any()


@pytest.mark.parametrize("width", [1, 500, 5_000, 20_000])
def test_pairs_of_any_width_are_counted_before_the_next_ones_are_asked_for(
    count: Counting, width: int
) -> None:
    everyone = np.full((4, width), 2**64 - 1, dtype=np.uint64)

    def shrinking() -> Any:
        waiting = everyone.copy()
        for column in range(4):
            yield waiting[: 4 - column], everyone[column:]
            waiting[:, 0] = 0

    first, *others = count.pairs(shrinking(), (4, 4)).tolist()
    assert first == [64 * width] * 4
    for column, counts in enumerate(others, start=1):
        assert counts == [64 * (width - 1)] * (4 - column) + [0] * column


def test_of_no_bitmaps_and_of_empty_ones_nobody_is_counted(count: Counting) -> None:
    nobody = np.zeros((3, 0), dtype=np.uint64)
    assert count.rows(nobody).tolist() == [0, 0, 0]
    assert count.rows(np.zeros((0, 5), dtype=np.uint64)).tolist() == []
    assert count.pairs([(nobody, nobody)], (1, 3)).tolist() == [[0, 0, 0]]
    assert count.pairs([], (1, 2)).tolist() == [[0, 0]]


def test_more_users_than_a_small_number_holds_are_counted(count: Counting) -> None:
    everyone = np.full((2, 2**21), 2**64 - 1, dtype=np.uint64)
    assert count.rows(everyone).tolist() == [2**27, 2**27]
    assert count.pairs([(everyone, everyone)], (1, 2)).tolist() == [[2**27, 2**27]]


def test_numkong_counts_where_it_is_installed() -> None:
    pytest.importorskip("numkong")
    assert find_out().package == "numkong"


def test_numpy_counts_where_numkong_is_not_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "numkong", None)
    assert find_out().package == "numpy"


def test_the_smallest_floats_stay_what_they_are(count: Counting) -> None:
    find_out()
    count.rows(np.ones((2, 300), dtype=np.uint64))
    assert sys.float_info.min / 2 > 0
    assert (np.full(9, sys.float_info.min) / 2 > 0).all()


@pytest.mark.parametrize(
    ("used", "advice"),
    [("numkong", ""), ("numpy", "pip install flask-bitmapist[fast]")],
)
def test_the_doctor_says_what_counts_and_what_would_count_faster(
    app: Flask, monkeypatch: pytest.MonkeyPatch, used: str, advice: str
) -> None:
    from flask_bitmapist.cli import doctor

    monkeypatch.setattr(doctor, "fastest", lambda: SimpleNamespace(package=used))
    real = doctor.version
    monkeypatch.setattr(
        doctor,
        "version",
        lambda package: f"of {package}" if package == used else real(package),
    )
    found = findings(app)["counting"]
    assert found["level"] == "ok"
    assert found["found"].endswith(f"by {used} of {used}")
    assert advice in found["advice"]
    assert bool(found["advice"]) == bool(advice)


def test_one_bitmap_is_counted_as_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    bitmap = np.array([0, 2**64 - 1, 5], dtype=np.uint64)
    for each in (NumpyCounting(), find_out()):
        monkeypatch.setattr(counting, "fastest", lambda each=each: each)
        assert counting.count_bits(bitmap) == 66


def test_pairs_of_several_stripes_add_up_and_those_of_none_are_nobody() -> None:
    one = np.array([[1], [3]], dtype=np.uint64)
    two = np.array([[1], [2**63]], dtype=np.uint64)
    stripes = [[(one, one)], [(two, two), (two[:1], one[:1])]]
    assert counting.count_pairs(stripes, (2, 2)).tolist() == [[2, 3], [1, 0]]
    assert counting.count_pairs([], (2, 2)).tolist() == [[0, 0], [0, 0]]
