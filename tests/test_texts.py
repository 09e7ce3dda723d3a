"""Texts of the layers below the pages: English by themselves, translatable in parts."""

from __future__ import annotations

import copy
import pickle

import pytest

from flask_bitmapist import QueryError
from flask_bitmapist.questions import Text


def test_a_text_reads_as_its_english_words() -> None:
    text = Text("at most %(most)s of %(what)s", most=12_345, what="rows")
    assert text == "at most 12,345 of rows"
    assert f"{text}" == str(text) == "at most 12,345 of rows"


def test_a_text_without_values_is_taken_as_it_is() -> None:
    assert Text("100 % of a") == "100 % of a"


def test_values_may_be_texts_and_numbers_with_a_fraction() -> None:
    size = Text("%(number)s MiB", number=1234.56)
    text = Text("it reads %(size)s", size=size)
    assert text == "it reads 1,234.6 MiB"
    assert text.values["size"] is size


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda text: pickle.loads(pickle.dumps(text))]
)
def test_a_text_is_still_one_after_a_journey(again: object) -> None:
    text = Text("%(name)s is %(given)s", name="row", given=-1)
    came = again(text)  # type: ignore[operator]
    assert came == "row is -1"
    assert came.template == text.template
    assert came.values == text.values


def test_an_error_keeps_the_text_and_says_it_in_english() -> None:
    text = Text("a trend needs at least one event")
    error = QueryError(text, field="events")
    assert error.message is text
    assert str(error) == "a trend needs at least one event"
