"""Expressions as text and in Python."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_bitmapist import Event, Expression, Flag, QueryError

from .inside import MAX_DEPTH, MAX_LENGTH, Named, Not, chain, parse, require_bounded

A, B, C, D = map(Event, "abcd")

names = st.one_of(
    st.text(min_size=1, max_size=12).filter(str.strip),
    st.sampled_from(["and", "NOT", "within", "flag", 'say "hi"', "a b", "(x)", "\\"]),
)
expressions: st.SearchStrategy[Expression] = st.recursive(
    st.one_of(names.map(Event), names.map(Flag)),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda pair: pair[0] & pair[1]),
        st.tuples(inner, inner).map(lambda pair: pair[0] | pair[1]),
        inner.map(lambda each: ~each),
        st.tuples(inner, inner).map(lambda pair: Not(pair[0], within=pair[1])),
    ),
    max_leaves=8,
)


@given(expression=expressions)
def test_the_text_of_an_expression_parses_to_an_equal_one(
    expression: Expression,
) -> None:
    assert parse(str(expression)) == expression


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", A),
        ("a and b", A & B),
        ("a AND b and c", A & B & C),
        ("a and (b or not c)", A & (B | ~C)),
        ("not a within (b or c)", Not(A, within=B | C)),
        ("a and flag(paid)", A & Flag("paid")),
        ('"song played" or flag("on trial")', Event("song played") | Flag("on trial")),
        ("flag or a", Event("flag") | A),
        ("song:played and änderung/neu", Event("song:played") & Event("änderung/neu")),
        (" ( ( a ) ) ", A),
    ],
)
def test_text_is_read(text: str, expected: Expression) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected an event name, found the end"),
        ("a and", "expected an event name, found the end at character 6"),
        ("a b", "expected 'and', 'or' or the end, found 'b' at character 3"),
        ("a and b or c", "use parentheses where 'and' and 'or' are mixed"),
        ("(a", r"expected '\)'"),
        ("not not a", "cancels out"),
        ('"a', "a quoted name must end with a double quote"),
        ('""', "must not be empty"),
        ("flag()", "expected a flag name"),
        ("(" * (MAX_DEPTH + 1) + "a", "can be nested at most"),
        ("a" * (MAX_LENGTH + 1), "at most 10,000 characters"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_place(text: str, told: str) -> None:
    with pytest.raises(QueryError, match=told):
        parse(text)


def test_a_name_that_the_app_has_defined_stands_for_its_meaning() -> None:
    engaged = A & B
    assert parse("engaged or c", {"engaged": engaged}) == Named("engaged", engaged) | C
    assert str(parse("engaged", {"engaged": engaged})) == "engaged"


def test_an_or_in_a_chain_binds_to_its_immediate_predecessor_alone() -> None:
    chained = chain(
        "a",
        [
            {"name": "b", "op": "and"},
            {"name": "c", "op": "or"},
            {"name": "d", "op": "and"},
        ],
    )
    assert chained == A & (B | C) & D
    assert chain("a", [{"name": "b", "op": "or"}, {"name": "c", "op": "and"}]) == (
        (A | B) & C
    )


def test_a_chain_changes_nothing_that_is_passed_in() -> None:
    additional = [{"name": "b", "op": "or"}, {"name": "c", "op": "or"}]
    chain("a", additional)
    assert additional == [{"name": "b", "op": "or"}, {"name": "c", "op": "or"}]


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"name": "b", "op": "xor"}, "the operator 'xor'; use 'and' or 'or'"),
        ({"name": "b"}, "the operator 'None'; use 'and' or 'or'"),
        ({"op": "and"}, "additional event 1 needs a name"),
        ("b", "additional event 1 needs a name"),
    ],
)
def test_a_wrong_link_of_a_chain_is_refused(entry: dict[str, str], told: str) -> None:
    with pytest.raises(QueryError, match=told) as error:
        chain("a", [entry])
    assert error.value.field == "additional_events"


def test_a_not_needs_to_know_among_whom_to_look() -> None:
    for unbounded in (~A, A | ~B, ~A & ~B):
        with pytest.raises(QueryError, match="has nothing to exclude users from"):
            require_bounded(unbounded, "event")
    for bounded in (A & ~B, A & (B | ~C), Not(A, within=B), A | Not(B, within=C)):
        require_bounded(bounded, "event")
