"""Every analysis against plain Python sets, on random histories in a real Redis.

The marks are written by plain bitmapist, so these tests also show that what it wrote
is read.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import redis
from hypothesis import given
from hypothesis import strategies as st

from flask_bitmapist import Event, Flag
from flask_bitmapist.query import Query

from .inside import Names, Not, chain
from .marks import known
from .reference import KEYS, Reference, last_keys
from .strategies import (
    EVENTS,
    USERS,
    Asked,
    exact,
    expressions,
    groups,
    histories,
)

A, B, C = map(Event, EVENTS)

counts = st.integers(1, 7)


@exact
@given(data=st.data(), group=groups, rows=counts)
def test_an_or_in_a_chain_binds_to_its_immediate_predecessor(
    ask: Callable[..., Query], data: st.DataObject, group: str, rows: int
) -> None:
    marks, as_of = data.draw(histories(group))
    operators = data.draw(st.lists(st.sampled_from(["and", "or"]), max_size=4))
    names = [data.draw(st.sampled_from(EVENTS)) for _ in operators]
    additional = [{"name": n, "op": op} for n, op in zip(names, operators)]

    reference = Reference(marks, group, as_of)

    def chained(key: Any) -> set[int]:
        # The text of the definition, read from the right: each OR is folded into
        # what stands just before it, and what is left is intersected.
        terms = [reference.users(name)(key) for name in ["a", *names]]
        for index in range(len(operators), 0, -1):
            if operators[index - 1] == "or":
                terms[index - 1] = terms[index - 1] | terms.pop(index)
        return set.intersection(*terms)

    query = ask(marks)
    result = query.cohort(
        "c",
        chain("a", additional),
        time_group=group,
        num_rows=rows,
        num_cols=3,
        as_of=as_of,
    )
    sizes, cells = reference.cohort_counts(reference.users("c"), chained, rows, 3)
    assert list(result.sizes) == sizes
    assert [list(row) for row in result.counts] == cells


EXPRESSIONS = [
    (A & (B | ~C), lambda a, b, c, f: {u for u in a if u in b or u not in c}),
    (A & ~B, lambda a, b, c, f: a - b),
    (Not(A, within=B | C), lambda a, b, c, f: (b | c) - a),
    ((A | B) & Flag("flagged"), lambda a, b, c, f: (a | b) & f),
    (A & B & ~Flag("flagged"), lambda a, b, c, f: (a & b) - f),
    (chain("a", [{"name": "b", "op": "or"}]), lambda a, b, c, f: a | b),
]


@exact
@given(data=st.data(), group=groups, which=st.sampled_from(range(len(EXPRESSIONS))))
def test_an_expression_means_what_the_same_operations_on_sets_mean(
    ask: Callable[..., Query], data: st.DataObject, group: str, which: int
) -> None:
    marks, as_of = data.draw(histories(group))
    flagged = data.draw(st.sets(st.sampled_from(USERS)))
    expression, meaning = EXPRESSIONS[which]
    reference = Reference(marks, group, as_of)
    key = reference.keys(1)[0]
    expected = meaning(*(reference.users(name)(key) for name in EVENTS), flagged)

    users = ask(marks, flagged).users(expression, group, as_of=as_of)
    assert list(users) == sorted(expected)
    assert len(users) == len(expected)
    assert {user for user in USERS if user in users} == expected


@exact
@given(
    data=st.data(),
    asked=st.lists(expressions, min_size=2, max_size=2),
    group=groups,
    periods=counts,
)
def test_a_trend_counts_unique_users_and_their_change(
    ask: Callable[..., Query],
    data: st.DataObject,
    asked: list[Asked],
    group: str,
    periods: int,
) -> None:
    marks, as_of = data.draw(histories(group, after=True))
    flagged = data.draw(st.sets(st.sampled_from(USERS)))
    result = ask(marks, flagged).trend(
        [expression for expression, _ in asked],
        time_group=group,
        num_periods=periods,
        as_of=as_of,
    )

    reference = Reference(marks, group, as_of)
    before, *keys = reference.keys(periods + 1)
    meant = [reference.users_of(meaning, flagged) for _, meaning in asked]
    for series, users in zip(result.series, meant, strict=True):
        expected = [len(users(key)) for key in keys]
        assert list(series.counts) == expected
        previous = [len(users(before)), *expected]
        complete = list(map(reference.is_complete, keys))
        assert list(result.complete) == complete
        assert list(series.changes) == [
            (now - then) / then if then and is_complete else None
            for then, now, is_complete in zip(previous, expected, complete)
        ]


@exact
@given(data=st.data(), asked=expressions, periods=counts, length=st.integers(1, 33))
def test_a_rolling_window_is_the_union_of_its_days(
    ask: Callable[..., Query],
    data: st.DataObject,
    asked: Asked,
    periods: int,
    length: int,
) -> None:
    marks, as_of = data.draw(histories(data.draw(st.sampled_from(["days", "weeks"]))))
    flagged = data.draw(st.sets(st.sampled_from(USERS)))
    expression, meaning = asked
    result = ask(marks, flagged).trend(
        expression, num_periods=periods, rolling=[length, 7], as_of=as_of
    )

    users = Reference(marks, "days", as_of).users_of(meaning, flagged)
    days = last_keys("days", periods + length - 1, as_of)
    expected = [
        len(set().union(*map(users, days[i : i + length]))) for i in range(periods)
    ]
    assert list(result.series[0].rolling[length]) == expected


@exact
@given(
    data=st.data(),
    asked=expressions,
    num_days=st.integers(1, 40),
    window=st.sampled_from(["rolling", "month"]),
)
def test_stickiness_divides_the_day_by_the_window_and_counts_active_days(
    ask: Callable[..., Query],
    data: st.DataObject,
    asked: Asked,
    num_days: int,
    window: str,
) -> None:
    marks, as_of = data.draw(
        histories(data.draw(st.sampled_from(["days", "weeks"])), after=True)
    )
    flagged = data.draw(st.sets(st.sampled_from(USERS)))
    expression, meaning = asked
    answer = ask(marks, flagged).stickiness(
        expression, num_days=num_days, window=window, as_of=as_of
    )

    days = last_keys("days", num_days, as_of)
    daily = Reference(marks, "days", as_of).users_of(meaning, flagged)
    if window == "month":
        months = Reference(marks, "months", as_of)
        monthly = months.users_of(meaning, flagged)
        keys = [(day.year, day.month) for day in days]
        whole = [monthly(key) for key in keys]
        complete = [months.is_complete(key) for key in keys]
    else:
        lead = last_keys("days", num_days + 27, as_of)
        whole = [set().union(*map(daily, lead[i : i + 28])) for i in range(num_days)]
        complete = [True] * num_days
    counts = [len(daily(day)) for day in days]
    assert list(answer.daily) == counts
    assert list(answer.window) == [len(users) for users in whole]
    assert list(answer.complete) == complete
    over = [(n, len(w)) for n, w, is_over in zip(counts, whole, complete) if is_over]
    divided, divisor = map(sum, zip(*over, (0, 0)))
    assert answer.average == (divided / divisor if divisor else None)

    active = {user: sum(user in daily(day) for day in days) for user in USERS}
    for number in range(1, num_days + 1):
        exactly = {user for user, times in active.items() if times == number}
        at_least = {user for user, times in active.items() if times >= number}
        assert answer.exactly[number] == len(exactly)
        assert answer.at_least[number] == len(at_least)
        if number < 4:
            assert set(answer.users(days=number)) == exactly
            assert set(answer.users(days=number, at_least=True)) == at_least


@exact
@given(data=st.data(), asked=expressions, group=groups, periods=counts)
def test_a_lifecycle_tells_new_returning_resurrecting_and_dormant_users_apart(
    ask: Callable[..., Query],
    data: st.DataObject,
    asked: Asked,
    group: str,
    periods: int,
) -> None:
    marks, as_of = data.draw(histories(group, after=True))
    flagged = data.draw(st.sets(st.sampled_from(USERS)))
    expression, meaning = asked
    answer = ask(marks, flagged).lifecycle(
        expression, time_group=group, num_periods=periods, as_of=as_of
    )

    reference = Reference(marks, group, as_of)
    users = reference.users_of(meaning, flagged)
    keys = reference.keys(periods + 1)
    assert list(answer.complete) == [reference.is_complete(key) for key in keys[1:]]
    for index, (before, key) in enumerate(itertools.pairwise(keys)):
        now, previous = users(key), users(before)
        earlier = reference.ever_before(users, key)
        expected = {
            "new": now - earlier,
            "returning": now & previous,
            "resurrecting": (now & earlier) - previous,
            "dormant": previous - now,
            "active": now,
        }
        for stage, found in expected.items():
            assert answer.by_stage[stage][index] == len(found)
            label = answer.periods[index].label
            assert set(answer.users(period=label, stage=stage)) == found


@exact
@given(data=st.data(), num_days=st.integers(1, 70), user=st.sampled_from(USERS))
def test_membership_lists_the_days_on_which_one_user_did_each_event(
    ask: Callable[..., Query],
    redis_client: redis.Redis,
    data: st.DataObject,
    num_days: int,
    user: int,
) -> None:
    marks, as_of = data.draw(histories("weeks"))
    query = ask(marks, [user])
    names = Names(known(redis_client, EVENTS, ("flagged", "other")))
    result = Query(query.bitmaps, names).person(user, num_days=num_days, as_of=as_of)

    days = last_keys("days", num_days, as_of)
    for event in EVENTS:
        did = Reference(marks, "days", as_of).users(event)
        expected = [day.isoformat() for day in days if user in did(day)]
        got = [day.label for day in result.active_days.get(event, ())]
        assert got == expected
        for group in ("days", "weeks", "months", "years"):
            current = Reference(marks, group, as_of).users(event)(KEYS[group](as_of))
            active = [each.value for each in result.current[event]]
            assert (group in active) == (user in current)
    assert result.flags == ("flagged",)


@exact
@given(users=st.sets(st.integers(0, 200_000), max_size=300), per_page=counts)
def test_pages_of_users_put_together_are_the_ids_in_order(
    ask: Callable[..., Query], users: set[int], per_page: int
) -> None:
    query = ask([], users)
    flagged = query.users("flag(flagged)")
    size = per_page * 20
    pages = [flagged.page(number + 1, size) for number in range(-(-len(users) // size))]
    assert [each for page in pages for each in page.ids] == sorted(users)
    assert all(page.total == len(users) for page in pages)
    assert flagged.page(len(pages) + 1, size).ids == ()
