"""Expressions as text and in Python."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_bitmapist import Event, Expression, Flag, QueryError

from .inside import (
    MAX_DEPTH,
    MAX_LENGTH,
    Between,
    Ever,
    First,
    InLast,
    Named,
    Never,
    Not,
    Restarted,
    Stopped,
    chain,
    parse,
    require_bounded,
)

A, B, C, D = map(Event, "abcd")
JAN_1, JAN_31 = date(2026, 1, 1), date(2026, 1, 31)

# Every word of the language, none of which is reserved.
WORDS = [
    *("and", "NOT", "or", "within", "flag", "in", "at", "least", "of", "Last"),
    *("between", "since", "ever", "NEVER", "first", "stopped", "restarted"),
    *("day", "days", "weeks", "months", "quarters", "years", "28", "2026-01-01"),
]
names = st.one_of(
    st.text(min_size=1, max_size=12).filter(str.strip),
    st.sampled_from(WORDS),
    st.lists(st.sampled_from(WORDS), min_size=2, max_size=4).map(" ".join),
    st.sampled_from(['say "hi"', "a b", "(x)", "\\"]),
)
numbers = st.integers(1, 400)
dates = st.dates(date(1970, 1, 1), date(2100, 1, 1))
UNITS = ["days", "weeks", "months", "quarters", "years"]


@st.composite
def windows(draw: st.DrawFn) -> Expression:
    operand: Expression = Event(draw(names))
    for name in draw(st.lists(names, max_size=2)):
        operand |= Event(name)
    number, (first, last) = draw(numbers), sorted((draw(dates), draw(dates)))
    return draw(
        st.sampled_from(
            [
                InLast(
                    operand,
                    number,
                    draw(st.sampled_from(UNITS)),
                    draw(st.integers(1, number)),
                ),
                Between(operand, first, last),
                Between(operand, first),
                Ever(operand),
                Never(operand),
                First(operand, number),
                Stopped(operand, number),
                Restarted(operand, number),
            ]
        )
    )


expressions: st.SearchStrategy[Expression] = st.recursive(
    st.one_of(names.map(Event), names.map(Flag), windows()),
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
        ("a in last 28 days", InLast(A, 28)),
        ("a IN last 1 Week", InLast(A, 1, "weeks")),
        ("a in at least 3 of last 28 days", InLast(A, 28, "days", 3)),
        ("a between 2026-01-01 and 2026-01-31", Between(A, JAN_1, JAN_31)),
        ("a since 2026-01-01 and b", Between(A, JAN_1) & B),
        ("a ever and b never", Ever(A) & Never(B)),
        ("a first in last 28 days", First(A, 28)),
        ("(a or b) stopped 28 days", Stopped(A | B, 28)),
        ("a restarted 28 days or c", Restarted(A, 28) | C),
        ("not a ever within b ever", Not(Ever(A), within=Ever(B))),
        ("ever ever", Ever(Event("ever"))),
        ("in in last 3 days", InLast(Event("in"), 3)),
        ('"in last 3 days" in last 3 days', InLast(Event("in last 3 days"), 3)),
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
        ("a in", "expected 'last', found the end"),
        ("a in last days", "expected a whole number, found 'days' at character 11"),
        ("a in last 3", "expected one of days, weeks, months, quarters, years"),
        ("a in last 401 days", "401 cannot be counted in a window; use 1 to 400"),
        ("a in last 0 days", "0 cannot be counted in a window; use 1 to 400"),
        ("a in at least 8 of last 7 days", "8 cannot be counted .* use 1 to 7"),
        ("a in at last 3 days", "expected 'least', found 'last' at character 9"),
        ("a stopped 3 weeks", "expected 'days', found 'weeks'"),
        ("a since 1.1.2026", "expected a day as YYYY-MM-DD, found '1.1.2026'"),
        ("a since 2026-02-30", "expected a day as YYYY-MM-DD, found '2026-02-30'"),
        ("a between 2026-02-01 and 2026-01-01", "write the earlier day first"),
        ("a between 2026-02-01", "expected 'and', found the end"),
        ("flag(a) ever", "put the window on each event"),
        ("(not a) ever", "put the window on each event"),
        ("(a and b) in last 7 days", "put the window on each event"),
        ("(a ever) ever", "put the window on each event"),
        ("engaged ever", "put the window on each event"),
        ("(" * (MAX_DEPTH + 1) + "a", "can be nested at most"),
        ("a" * (MAX_LENGTH + 1), "at most 10,000 characters"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_place(text: str, told: str) -> None:
    with pytest.raises(QueryError, match=told):
        parse(text, {"engaged": A & B})


def test_a_name_that_the_app_has_defined_stands_for_its_meaning() -> None:
    engaged = A & B
    assert parse("engaged or c", {"engaged": engaged}) == Named("engaged", engaged) | C
    assert str(parse("engaged", {"engaged": engaged})) == "engaged"


def test_a_window_stands_on_a_name_for_events() -> None:
    either = Named("either", A | B)
    assert parse("either ever", {"either": A | B}) == Ever(either)
    assert str(Ever(either)) == "either ever"


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
    for unbounded in (~A, A | ~B, ~A & ~B, Never(A), Ever(A) | Never(B)):
        with pytest.raises(QueryError, match="has nothing to exclude users from"):
            require_bounded(unbounded, "event")
    for bounded in (
        Ever(A) & Never(B),
        A & ~B,
        A & (B | ~C),
        Not(A, within=B),
        A | Not(B, within=C),
    ):
        require_bounded(bounded, "event")
