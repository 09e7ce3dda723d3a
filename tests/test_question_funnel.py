"""The funnel: against plain sets, by its examples, and on every surface."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, timedelta, timezone
from functools import cache
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from flask_bitmapist import Event, QueryError, mark_event, mark_unique
from flask_bitmapist.query import Query
from flask_bitmapist.questions import ParameterError

from .inside import OUTCOMES, Funnel
from .reference import Mark, Reference, utc
from .strategies import USERS, exact, expressions, groups, histories

counts = st.integers(1, 7)
windows = st.integers(1, 5)


Did = list[list[set[int]]]
"""For each step who did it in each period."""


def times(
    did: Did,
    repeats: dict[int, int],
    user: int,
    entered: int,
    window: int,
    *,
    later: bool = False,
    any_order: bool = False,
    out: list[set[int]] | None = None,
) -> list[int]:
    """In which periods a user who enters in one takes the steps, as far as they get."""
    found: list[int] = []
    taken: dict[int, int] = {}
    for step, done in enumerate(did):
        first = entered
        if step:
            before = 0 if any_order else step - 1
            first = taken[before] + (later and not any_order)
        if step in repeats:
            first = max(first, taken[repeats[step]] + 1)
        ends = entered + 1 if not step else min(entered + window, len(done))
        at = next((p for p in range(first, ends) if user in done[p]), -1)
        reached = max([at, *found])
        if at < 0 or (out and any(user in out[p] for p in range(entered, reached + 1))):
            break
        taken[step] = at
        found.append(reached)
    return found


# Each example asks for some thirty lists of users.
@settings(exact, max_examples=25)
@given(
    data=st.data(),
    group=groups,
    periods=counts,
    window=windows,
    drawn=st.lists(expressions, min_size=2, max_size=4),
    repeated=st.none() | st.integers(0, 3),
    any_order=st.booleans(),
    excluded=st.lists(expressions, max_size=2),
    flagged=st.sets(st.sampled_from(USERS)),
)
def test_a_funnel_counts_what_plain_sets_count(
    ask: Callable[..., Query],
    data: st.DataObject,
    group: str,
    periods: int,
    window: int,
    drawn: list[Any],
    repeated: int | None,
    any_order: bool,
    excluded: list[Any],
    flagged: set[int],
) -> None:
    marks, as_of = data.draw(histories(group, after=True))
    steps = drawn if repeated is None else [*drawn, drawn[repeated % len(drawn)]]
    answer = ask(marks, flagged).funnel(
        [expression for expression, _ in steps],
        time_group=group,
        num_periods=periods,
        window=window,
        any_order=any_order,
        exclude_steps=[expression for expression, _ in excluded],
        as_of=as_of,
    )

    reference = Reference(marks, group, as_of)
    keys = reference.keys(periods)
    did = [
        [reference.users_of(meaning, flagged)(key) for key in keys]
        for _, meaning in steps
    ]
    out = [
        set().union(*(reference.users_of(each, flagged)(key) for _, each in excluded))
        for key in keys
    ]
    names = [str(expression) for expression, _ in steps]
    repeats = {
        at: max(back for back in range(at) if names[back] == names[at])
        for at in range(len(names))
        if names[at] in names[:at]
    }

    @cache
    def further(user: int, entered: int, later: bool = False) -> list[int]:
        return times(
            did,
            repeats,
            user,
            entered,
            window,
            later=later,
            any_order=any_order,
            out=out,
        )

    closed = [
        end < periods and reference.is_complete(keys[end])
        for end in range(window - 1, window - 1 + periods)
    ]
    assert list(answer.complete) == closed

    def reached(step: int, places: Iterable[int], later: bool = False) -> set[int]:
        return {
            user
            for user in USERS
            if any(len(further(user, place, later)) > step for place in places)
        }

    def fastest(step: int, user: int, places: Iterable[int]) -> int:
        """How many periods a user needs to a step, who takes it."""
        return min(
            taken[step] - place
            for place in places
            if len(taken := further(user, place)) > step
        )

    over = [place for place in range(periods) if closed[place]]
    still = [place for place in range(periods) if not closed[place]]
    for step in range(len(steps)):
        number = step + 1
        for place, period in enumerate(answer.periods):
            assert answer.counts[place][step] == len(reached(step, [place]))
            told = answer.by_period().rows[place]
            assert told[:2] == [period.label, closed[place]]
            assert told[2 + step] == len(reached(step, [place]))
            behind = answer.users(step=number, period=period.label)
            assert set(behind) == reached(step, [place])
        waiting = reached(0, still) - reached(step, still)
        assert answer.open_totals[step] == len(reached(step, still))
        got = answer.users(step=number, outcome="reached-open")
        assert set(got) == reached(step, still)
        if step:
            assert set(answer.users(step=number, outcome="still-open")) == waiting
            assert answer.open_waiting[step] == len(waiting)
        if not over:
            assert answer.totals[step] is None
            assert answer.step_conversions[step] is None
            assert answer.overall_conversions[step] is None
            assert answer.dropped_off[step] is None
            assert answer.entered_again[step] is None
            assert answer.at_least[step] is None
            assert answer.times == ()
            with pytest.raises(QueryError, match="No period is complete yet"):
                answer.users(step=number)
            continue
        users = reached(step, over)
        before = reached(step - 1, over) if step else users
        entered = reached(0, over)
        assert answer.totals[step] == len(users)
        assert set(answer.users(step=number)) == users
        least = reached(step, over, later=True)
        assert answer.at_least[step] == len(least)
        assert set(answer.users(step=number, outcome="reached-later")) == least
        assert least <= users
        for after in range(window):
            some = {user for user in users if fastest(step, user, over) == after}
            assert set(answer.users(step=number, after=after)) == some
            if number == len(steps):
                assert answer.times[after] == len(some)
        assert answer.step_conversions[step] == (
            len(users) / len(before) if before else None
        )
        assert answer.overall_conversions[step] == (
            len(users) / len(entered) if entered else None
        )
        lost = before - users
        again = lost & reached(0, still)
        assert answer.dropped_off[step] == len(lost)
        assert answer.entered_again[step] == len(again)
        if step:
            assert set(answer.users(step=number, outcome="dropped-off")) == lost
            assert set(answer.users(step=number, outcome="entered-again")) == again
    last = len(steps) - 1
    assert answer.still_open == len(reached(0, still) - reached(last, still))
    assert answer.conversion == answer.overall_conversions[-1]


@exact
@given(
    data=st.data(),
    group=groups,
    periods=st.integers(1, 9),
    window=windows,
    more=st.sets(st.sampled_from(USERS), min_size=1),
)
def test_an_open_entry_changes_no_rate(
    ask: Callable[..., Query],
    data: st.DataObject,
    group: str,
    periods: int,
    window: int,
    more: set[int],
) -> None:
    marks, as_of = data.draw(histories(group))
    asked = Funnel(
        ["a", "b", "c"],
        time_group=group,
        num_periods=periods,
        window=window,
        as_of=as_of,
    )
    before = ask(marks)(asked)
    assume(not before.complete[-1])
    place = data.draw(st.sampled_from(range(sum(before.complete), periods)))
    entries = [Mark("a", user, before.periods[place].start) for user in more]
    after = ask([*marks, *entries])(asked)

    assert after.totals == before.totals
    assert after.step_conversions == before.step_conversions
    assert after.overall_conversions == before.overall_conversions
    assert after.dropped_off == before.dropped_off
    assert after.open_totals[0] >= len(more)


# --- Examples


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], datetime]:
    """Set the clock by which questions are answered."""

    def set_to(text: str) -> datetime:
        moment = utc(text)
        monkeypatch.setattr("flask_bitmapist.query.utc_now", lambda: moment)
        return moment

    return set_to


@pytest.fixture
def query(app: Flask) -> Iterator[Query]:
    with app.app_context():
        state = app.extensions["bitmapist"]
        found: Query = state.query
        yield found


def sign_ups(
    days: int, pays_after: int, until: datetime, first: str, then: str
) -> None:
    """Ten users a day, up to a day, all of whom take the second step days later."""
    for day in range(days):
        entered = until - timedelta(days=days - 1 - day)
        paid = entered + timedelta(days=pays_after)
        for user in range(day * 10, day * 10 + 10):
            mark_event(first, user, now=entered)
            if paid <= until:
                mark_event(then, user, now=paid)


@pytest.mark.parametrize(
    ("now", "over", "waiting"),
    [("2026-11-20T12:00", 30, 50), ("2026-11-21T12:00", 40, 50)],
    ids=["while the day goes on", "when the day is over"],
)
def test_where_everybody_pays_after_five_days_all_convert(
    query: Query, clock: Callable[[str], datetime], now: str, over: int, waiting: int
) -> None:
    clock(now)
    sign_ups(20, 5, utc("2026-11-20T12:00"), "signup", "paid")
    answer = query.funnel(
        ["signup", "paid"], num_periods=10, window=7, as_of=date(2026, 11, 20)
    )
    assert answer.totals == (over, over)
    assert answer.conversion == 1.0
    assert answer.dropped_off == (0, 0)
    assert list(answer.users(step=2, outcome="dropped-off")) == []
    assert answer.still_open == waiting
    assert len(answer.users(step=2, outcome="still-open")) == waiting


def test_where_everybody_pays_after_six_days_60_still_have_time(
    query: Query, clock: Callable[[str], datetime]
) -> None:
    now = clock("2026-11-25T12:00")
    sign_ups(20, 6, now, "trial", "paid")
    answer = query.funnel(["trial", "paid"], num_periods=20, window=7)
    assert answer.totals == (130, 130)
    assert answer.overall_conversions == (1.0, 1.0)
    assert answer.still_open == 60
    assert answer.open_totals == (70, 10)
    assert "60 still have time." in answer.notes()
    assert "100.0% overall conversion." in answer.notes()
    past = query.funnel(["trial", "paid"], num_periods=9, as_of="2026-11-24")
    assert "60 still have time, as of 2026-11-24." in past.notes()


def test_nobody_has_dropped_off_while_their_window_is_open(
    query: Query, clock: Callable[[str], datetime]
) -> None:
    clock("2024-01-20T12:00")
    for day in range(20):
        mark_event("trial", day, now=utc("2024-01-01") + timedelta(days=day))
    for day in range(10):
        mark_event("paid", day, now=utc("2024-01-10") + timedelta(days=day))
    asked = {"num_periods": 20, "window": 10}
    answer = query.funnel(["trial", "paid"], **asked, as_of=date(2024, 1, 20))
    assert answer.conversion == 1.0
    assert list(answer.users(step=2)) == list(range(10))
    assert list(answer.users(step=2, outcome="dropped-off")) == []
    assert list(answer.users(step=2, outcome="still-open")) == list(range(10, 20))
    # A day later the first of them is lost.
    clock("2024-01-21T00:00")
    later = query.funnel(["trial", "paid"], **asked, as_of=date(2024, 1, 20))
    assert later.totals == (11, 10)
    assert list(later.users(step=2, outcome="dropped-off")) == [10]


def test_who_dropped_off_and_enters_again_is_told_and_not_moved(
    query: Query, clock: Callable[[str], datetime]
) -> None:
    clock("2026-11-20T12:00")
    for user in (1, 2, 3):
        mark_event("trial", user, now=utc("2026-11-02"))
    mark_event("paid", 1, now=utc("2026-11-03"))
    for user in (1, 2):
        mark_event("trial", user, now=utc("2026-11-19"))
    mark_event("paid", 2, now=utc("2026-11-20"))
    answer = query.funnel(["trial", "paid"])
    assert answer.totals == (3, 1)
    assert answer.dropped_off == (0, 2)
    assert list(answer.users(step=2, outcome="dropped-off")) == [2, 3]
    assert answer.entered_again == (0, 1)
    assert list(answer.users(step=2, outcome="entered-again")) == [2]
    assert list(answer.users(step=2, outcome="still-open")) == [1]
    assert "Dropped off and entered again: 1." in answer.notes()


def test_a_step_equal_to_an_earlier_one_needs_a_later_period(
    query: Query, clock: Callable[[str], datetime]
) -> None:
    clock("2026-11-25T12:00")
    for user, days in ((1, (1,)), (2, (1, 3)), (3, (2,))):
        for day in days:
            mark_event("buy", user, now=utc(f"2026-11-0{day}"))
    answer = query.funnel(["buy", "buy"])
    assert answer.totals == answer.at_least == (3, 1)
    assert list(answer.users(step=2)) == [2]
    # A name for the same is the same.
    names = query.names.defining({"bought": Event("buy")})
    named = Query(query.bitmaps, names).funnel(["bought", "buy"])
    assert named.totals == (3, 1)


def test_steps_within_a_period_give_both_bounds(
    query: Query, clock: Callable[[str], datetime]
) -> None:
    clock("2026-11-25T12:00")
    for event in "AB":
        mark_event(event, 1, now=utc("2026-11-01"))
    answer = query.funnel(["A", "B", "A"])
    assert answer.totals == (1, 1, 0)
    assert answer.at_least == (1, 0, 0)
    assert not answer.is_certain
    mark_event("A", 1, now=utc("2026-11-02"))
    again = query.funnel(["A", "B", "A"])
    assert again.totals == (1, 1, 1)
    assert again.at_least == (1, 0, 0)
    told = "At least 0 and at most 1 took all steps in this order."
    assert told in again.notes()
    assert again.times == (0, 1, 0, 0, 0, 0, 0)
    assert list(again.users(step=3, after=1)) == [1]
    assert list(again.users(step=3, after=0)) == []


def test_an_entry_that_dropped_off_is_told_from_one_that_is_open(
    query: Query, clock: Callable[[str], datetime]
) -> None:
    clock("2026-11-20T12:00")
    for day in ("2026-11-01", "2026-11-18"):
        mark_event("trial", 1, now=utc(day))
    mark_event("paid", 2, now=utc("2026-10-01"))
    answer = query.funnel(["trial", "paid"], window=7)
    assert answer.totals == (1, 0)
    assert answer.dropped_off == (0, 1)
    assert answer.entered_again == (0, 1)
    assert answer.still_open == 1


def test_who_does_what_is_excluded_from_entry_to_the_step_is_out(
    query: Query, clock: Callable[[str], datetime]
) -> None:
    clock("2026-11-25T12:00")
    for user in (1, 2, 3, 4, 5):
        mark_event("trial", user, now=utc("2026-11-02"))
        mark_event("paid", user, now=utc("2026-11-04"))
    for user, day in ((1, 1), (2, 2), (3, 3), (4, 4), (5, 5)):
        mark_event("call", user, now=utc(f"2026-11-0{day}"))
    answer = query.funnel(["trial", "paid"], exclude_steps=["call"])
    assert list(answer.users(step=1)) == [1, 3, 4, 5]
    assert list(answer.users(step=2)) == [1, 5]
    assert answer.totals == (4, 2)
    assert "without call in between" in answer.question.sentence()


def test_later_steps_can_be_taken_in_any_order(
    query: Query, clock: Callable[[str], datetime]
) -> None:
    clock("2026-11-25T12:00")
    for event, day in (("A", 1), ("C", 2), ("B", 3)):
        mark_event(event, 1, now=utc(f"2026-11-0{day}"))
    assert query.funnel(["A", "B", "C"]).totals == (1, 1, 0)
    answer = query.funnel(["A", "B", "C"], any_order=True)
    assert answer.totals == answer.at_least == (1, 1, 1)
    assert answer.times == (0, 0, 1, 0, 0, 0, 0)
    assert not any("in any order" in note for note in answer.notes())
    assert query.funnel(["B", "A", "C"], any_order=True).totals == (1, 0, 0)


def test_a_window_that_is_longer_than_the_entries_is_told(query: Query) -> None:
    mark_event("a", 1)
    answer = query.funnel(["a", "a"], num_periods=3)
    assert answer.totals == (None, None)
    assert answer.conversion is None
    assert answer.notes()[:4] == (
        "No period is complete yet.",
        "The conversion window is longer than the range of entry dates.",
        "1 still has time.",  # the same step again needs a later day
        "Steps within the same day count in any order.",
    )


def test_hours_that_were_not_kept_are_unknown(
    make_app: Callable[..., Flask], clock: Callable[[str], datetime]
) -> None:
    clock("2026-11-21T12:00")
    app = make_app(BITMAPIST_TRACK_HOURLY=True)
    plain = make_app()
    with plain.app_context():
        mark_event("a", 1, now=utc("2026-11-19T23:00"))
        query = plain.extensions["bitmapist"].query
        with pytest.raises(QueryError, match="BITMAPIST_TRACK_HOURLY") as refused:
            query.funnel(["a", "a"], time_group="hour", as_of="2026-11-19")
        assert refused.value.field == "time_group"
    with app.app_context():
        mark_event("a", 2, now=utc("2026-11-20T23:00"))
        mark_event("b", 3, now=utc("2026-11-20T22:00"))
        query = app.extensions["bitmapist"].query
        asked = {"time_group": "hours", "window": 2, "num_periods": 26}
        at = utc("2026-11-20T23:30")
        answer = query.funnel(["a", "a or b"], **asked, as_of=at)
        unknown = [row == (None, None) for row in answer.counts]
        # The windows of 22 and 23 o'clock have an hour of the day that was not kept.
        assert unknown == [True, True] + [False] * 24
        assert answer.totals == (0, 0)
        assert answer.open_totals == (1, 1)
        told = "Entry periods left out because they are not kept: 2."
        assert told in answer.notes()
        with pytest.raises(QueryError, match="a part of its window, is not kept"):
            answer.users(step=1, period="2026-11-19T22")
        none = query.funnel(["a", "a or b"], **{**asked, "num_periods": 30}, as_of=at)
        assert none.counts[0] == (None, None)


# --- What is refused


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"steps": ["a"]}, "steps"),
        ({"steps": ["a"] * 21}, "steps"),
        ({"steps": "a"}, "steps"),
        ({"steps": ["a", 5]}, "steps"),
        ({"steps": ["a", "b"], "window": 0}, "window"),
        ({"steps": ["a", "b"], "num_periods": 0}, "num_periods"),
        ({"steps": ["a", "b"], "num_periods": "many"}, "num_periods"),
        ({"steps": ["a", "b"], "time_group": "eons"}, "time_group"),
        ({"steps": ["a", "b"], "as_of": "tomorrow"}, "as_of"),
    ],
)
def test_what_a_funnel_cannot_be_is_refused_when_it_is_made(
    arguments: dict[str, Any], field: str
) -> None:
    with pytest.raises(ParameterError) as error:
        Funnel(**arguments)
    assert set(error.value.wrong) == {field}


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        (["a", "nope"], "Unknown event 'nope'"),
        (["nope", "a"], "Unknown event 'nope'"),
        (["not a", "a"], "has nothing to exclude users from"),
        (["a", "a and"], "expected an event name"),
        (["a", "flag(gone)"], "Unknown flag 'gone'"),
    ],
)
def test_steps_that_cannot_be_are_told_beside_the_field(
    query: Query, steps: list[str], told: str
) -> None:
    mark_event("a", 1)
    with pytest.raises(QueryError, match=re.escape(told)) as error:
        query.funnel(steps)
    assert error.value.field == "steps"


@pytest.mark.parametrize(
    ("cell", "field", "told"),
    [
        ({"step": 3}, "step", "from 1 to 2"),
        ({"step": 0}, "step", "from 1 to 20"),
        ({"step": 1, "outcome": "dropped-off"}, "step", "from 2 to 2"),
        ({"step": 1, "outcome": "still-open"}, "step", "from 2 to 2"),
        ({"step": 2, "outcome": "lost"}, "outcome", "Use one of reached, dropped-off"),
        ({"step": 2, "after": 7}, "after", "from 0 to 6"),
        (
            {"step": 2, "after": 1, "outcome": "dropped-off"},
            "after",
            "Only of users who reached the step",
        ),
        ({"step": 1, "period": "2020-01-01"}, "period", "one of 2026-10-22 to"),
        (
            {"step": 2, "period": "2026-11-20", "outcome": "dropped-off"},
            "period",
            "nobody has dropped off yet",
        ),
        (
            {"step": 2, "period": "2026-11-01", "outcome": "still-open"},
            "period",
            "nobody still has time",
        ),
    ],
)
def test_a_number_that_there_is_not_has_no_users(
    query: Query, cell: dict[str, Any], field: str, told: str
) -> None:
    mark_event("a", 1, now=utc("2026-11-01"))
    answer = query.funnel(["a", "a"], as_of="2026-11-20")
    with pytest.raises(QueryError, match=told) as error:
        answer.users(**cell)
    assert error.value.field == field


# --- Surfaces

ON = "as_of=2026-06-30"


@pytest.fixture(params=["/bitmapist/funnel", "/admin/bitmapist/funnel/"])
def page(app: Flask, request: pytest.FixtureRequest) -> tuple[FlaskClient, str]:
    """A client and the path of the page, on each surface.

    Of three who came on 1 June one has paid; one of the others came again on 28 June.
    """
    if request.param.startswith("/admin"):
        pytest.importorskip("flask_admin")
        from flask_admin import Admin
        from flask_babel import Babel

        from flask_bitmapist.admin import FunnelView

        Babel(app)
        view = FunnelView(name="Funnel", url="/admin/bitmapist/funnel")
        Admin(app).add_view(view)
    with app.app_context():
        for user in (1, 2, 3):
            mark_event("came", user, now=utc("2026-06-01"))
        mark_event("paid", 1, now=utc("2026-06-02"))
        for user in (2, 20):
            mark_event("came", user, now=utc("2026-06-28"))
        mark_unique("premium", 1)
    return app.test_client(), request.param


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def test_the_page_asks_for_two_steps(page: tuple[FlaskClient, str]) -> None:
    client, path = page
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.text.count('name="steps"') == 3  # one is the pattern for more
    assert "Choose two or more steps" in answer.text
    more = client.get(f"{path}?steps=came&steps=paid&add=steps").text
    assert more.count('name="steps"') == 4
    fewer = client.get(f"{path}?steps=came&steps=paid&steps=x&remove=steps-2").text
    assert fewer.count('name="steps"') == 3


def test_the_page_shows_what_is_over_and_what_is_open_apart(
    page: tuple[FlaskClient, str],
) -> None:
    client, path = page
    html = client.get(f"{path}?steps=came&steps=paid&{ON}").text
    text = text_of(html)
    title = (
        "Funnel came → paid within 7 days, entered in the last 30 days, to 30 Jun 2026"
    )
    assert re.search(f"<h2[^>]*>{title}</h2>", html)
    assert "33.3% overall conversion." in text
    assert "2 still have time, as of 30 Jun 2026." in text
    assert "Dropped off and entered again: 1." in text
    assert "33.3% from previous step · 33.3% overall" in text
    heads = re.findall(r"<th scope=\"col\"[^>]*>([^<]+)<", html)
    assert heads[:4] == ["Step", "Dropped off", "Users", "From previous"]
    # dropped off, users, both conversions, entered again; open: reached, have time
    assert "2. paid 2 1 33.3% 33.3% 1 0 2" in text
    # Bars are as wide as the shares; the hatched part is who dropped off.
    done = re.findall(r'class="bm-bar-done" width="([\d.]+)%"', html)
    left = re.findall(r'class="bm-bar-left" x="([\d.]+)%" width="([\d.]+)%"', html)
    assert done == ["100.000", "33.333"]
    assert left == [("100.000", "0.000"), ("33.333", "66.667")]
    rows = html[html.index('id="bm-entries"') :].split("<tr")[2:]
    pale = ["bm-part" in row for row in rows]
    assert pale == [True] * 6 + [False] * 24
    assert "to 30 Jun" in rows[0]
    assert "so far" not in text


def test_every_number_of_the_page_leads_to_its_users(
    page: tuple[FlaskClient, str],
) -> None:
    client, path = page
    html = client.get(f"{path}?steps=came&steps=paid&{ON}").text
    cells = re.findall(r'<td[^>]*>\s*<a href="([^"]+)"[^>]*>(\d+)<', html)
    assert {url.split("outcome=")[-1] for url, _ in cells if "outcome=" in url} == {
        *("dropped-off", "entered-again", "reached-open", "still-open")
    }
    assert len(cells) == 10
    for url, shown in cells:
        users = client.get(url.replace("&amp;", "&") + "&format=json").get_json()
        assert users["total"] == int(shown), url
    lost = f"{path}?steps=came&steps=paid&{ON}&step=2&outcome=dropped-off"
    listed = client.get(lost)
    assert "did not reach paid, step 2 of came → paid" in listed.text
    assert client.get(f"{lost}&format=csv").text.split() == [
        *("user_id,entered_again", "2,True", "3,False")
    ]


def test_who_dropped_off_and_entered_again_is_marked_in_every_list(
    page: tuple[FlaskClient, str], app: Flask
) -> None:
    client, path = page
    with app.app_context():
        for day in ("2026-11-01", "2026-11-18"):
            mark_event("came", 7, now=utc(day))
        mark_event("came", 8, now=utc("2026-11-02"))
        answer = app.extensions["bitmapist"].query.funnel(
            ["came", "paid"], window=7, as_of=date(2026, 11, 20)
        )
        assert (answer.totals, answer.dropped_off) == ((2, 0), (0, 2))
        assert (answer.entered_again, answer.still_open) == ((0, 1), 1)
        lost = answer.users(step=2, outcome="dropped-off")
        assert list(lost) == [7, 8]
        assert list(lost.marked["entered_again"]) == [7]
        assert [*lost.listed()] == [["user_id", "entered_again"], [7, True], [8, False]]
        assert lost.page(2, per_page=1).marks == {"entered_again": (False,)}
        on_the_first = answer.users(
            step=2, outcome="dropped-off", period="2026-11-01", segment=None
        )
        assert lost.page().table().rows == [["7", True], ["8", False]]
        assert [*on_the_first.listed()][1:] == [[7, True]]
        again = answer.users(step=2, outcome="entered-again")
        assert [*again.listed()][1:] == [[7, True]]
        assert not answer.users(step=1).marked
        halves = app.extensions["bitmapist"].query.funnel(
            ["came", "paid"],
            as_of=date(2026, 11, 20),
            segments=["flag(premium)", "everyone else"],
        )
        other = halves.users(step=2, outcome="dropped-off", segment="everyone else")
        assert [*other.listed()][1:] == [[7, True], [8, False]]
    url = f"{path}?steps=came&steps=paid&window=7&as_of=2026-11-20"
    behind = f"{url}&step=2&outcome=dropped-off"
    told = client.get(f"{behind}&format=json").get_json()
    assert (told["ids"], told["marks"]) == ([7, 8], {"entered_again": [True, False]})
    assert "marks" not in client.get(f"{url}&step=1&format=json").get_json()
    assert client.get(f"{behind}&format=csv").text.split() == [
        *("user_id,entered_again", "7,True", "8,False")
    ]
    html = client.get(behind).text
    assert text_of(html[html.index("<thead>") :]).split()[:7] == [
        *("User", "Entered", "again", "7", "yes", "8", "–")
    ]
    words = ["bitmapist", "funnel", "came", "paid", "--as-of=2026-11-20", "--users"]
    words += ["--step=2", "--outcome=dropped-off"]
    run = app.test_cli_runner().invoke
    assert run(args=words).stdout == "7 (entered_again)\n8\n"
    assert run(args=[*words, "--csv"]).stdout.split() == [
        *("user_id,entered_again", "7,True", "8,False")
    ]
    assert json.loads(run(args=[*words, "--json"]).stdout)["marks"] == told["marks"]


def test_the_page_says_so_while_nothing_is_complete(
    page: tuple[FlaskClient, str],
) -> None:
    client, path = page
    url = f"{path}?steps=came&steps=paid&num_periods=1&{ON}"
    html = client.get(url).text
    assert "No period is complete yet." in html
    assert "bm-bar-done" not in html
    answer = client.get(f"{url}&format=json").get_json()
    assert answer["totals"] == answer["overall_conversions"] == [None, None]
    assert answer["complete"] == [False]


@pytest.mark.parametrize("group", ["hours", "days", "weeks", "months", "years"])
def test_the_smallest_values_are_answered(
    page: tuple[FlaskClient, str], group: str
) -> None:
    client, path = page
    asked = f"steps=came&steps=paid&time_group={group}&num_periods=1&window=1"
    if group == "hours":
        refused = client.get(f"{path}?{asked}&as_of=2026-06-28")
        assert refused.status_code == 400
        assert "BITMAPIST_TRACK_HOURLY" in refused.text
        return
    for form in ("html", "json", "csv"):
        answer = client.get(f"{path}?{asked}&format={form}")
        assert answer.status_code == 200, form


def test_wrong_input_is_told_beside_its_field(page: tuple[FlaskClient, str]) -> None:
    client, path = page
    wrong = {
        "steps=came": ("steps", "At least 2 are required."),
        "steps=came&steps=payd": ("steps", "Did you mean 'paid'?"),
        "steps=came&steps=paid&window=0": ("window", "whole number from 1 to 10,000"),
        "steps=came&steps=paid&time_group=eons": ("time_group", "Use one of hours"),
        "steps=came&steps=paid&step=3": ("step", "from 1 to 2"),
        "steps=came&steps=paid&outcome=reached": ("step", "This field is required."),
    }
    for asked, (field, told) in wrong.items():
        refused = client.get(f"{path}?{asked}")
        assert refused.status_code == 400
        errors = client.get(
            f"{path}?{asked}", headers={"Accept": "application/json"}
        ).get_json()["errors"]
        assert set(errors) == {field}
        assert told in errors[field][0]
        shown = refused.text.replace("&#39;", "'")
        assert told in text_of(shown)


def test_json_csv_python_and_the_command_say_the_same(
    page: tuple[FlaskClient, str], app: Flask
) -> None:
    client, path = page
    url = f"{path}?steps=came&steps=paid+and+flag(premium)&window=8&{ON}"
    told = client.get(f"{url}&format=json").get_json()
    assert told["question"] == (
        "Funnel came → paid and flag(premium) within 8 days, "
        "entered in the last 30 days, to 2026-06-30"
    )
    assert told["asked"] == {
        "steps": ["came", "paid and flag(premium)"],
        "window": 8,
        "as_of": "2026-06-30",
    }
    assert told["steps"] == ["came", "paid and flag(premium)"]
    assert told["totals"] == [3, 1]
    assert told["dropped_off"] == [0, 2]
    assert told["entered_again"] == [0, 1]
    assert told["open_totals"] == [2, 0]
    assert told["still_open"] == 2
    assert told["complete"] == [True] * 23 + [False] * 7
    words = ["bitmapist", "funnel", "came", "paid and flag(premium)"]
    words += ["--window", "8", "--as-of", "2026-06-30"]
    run = app.test_cli_runner().invoke
    assert json.loads(run(args=[*words, "--json"]).stdout) == told
    with app.app_context():
        answer = app.extensions["bitmapist"].query.funnel(
            ["came", "paid and flag(premium)"], window=8, as_of=date(2026, 6, 30)
        )
        assert answer.to_dict() == told
        assert Funnel(**told["asked"]) == answer.question
    exported = client.get(f"{url}&format=csv")
    rows = list(csv.reader(io.StringIO(exported.text)))
    assert [row[:3] for row in rows] == [
        ["step", "complete", "users"],
        ["came", "True", "3"],
        ["paid and flag(premium)", "True", "1"],
        ["came", "False", "2"],
        ["paid and flag(premium)", "False", "0"],
    ]
    assert run(args=[*words, "--csv"]).stdout.splitlines() == (
        exported.text.splitlines()
    )


def test_the_command_lists_users_and_says_what_was_asked(
    page: tuple[FlaskClient, str], app: Flask
) -> None:
    words = ["bitmapist", "funnel", "came", "paid", "--as-of", "2026-06-30"]
    run = app.test_cli_runner().invoke
    lost = run(args=[*words, "--users", "--step", "2", "--outcome", "dropped-off"])
    assert lost.stdout == "2 (entered_again)\n3\n"
    assert "did not reach paid, step 2 of came → paid" in lost.stderr
    one = run(args=[*words, "--users", "--step", "1", "--period", "2026-06-28"])
    assert one.stdout == "2\n20\n"
    told = run(args=words).stderr.splitlines()
    assert told[0] == "33.3% overall conversion."
    assert told[-1] == (
        "Funnel came → paid within 7 days, entered in the last 30 days, to 2026-06-30"
    )
    refused = run(args=[*words, "--window", "none"])
    assert refused.exit_code == 2
    assert "window: This must be a whole number" in refused.output


def test_every_outcome_has_words_of_its_own(query: Query) -> None:
    now = datetime.now(tz=timezone.utc)
    for back in (0, 20):
        mark_event("a", back, now=now - timedelta(days=back))
    answer = query.funnel(["a", "a"])
    told = {
        answer.users(step=2, outcome=outcome).selection.text  # type: ignore[arg-type]
        for outcome in OUTCOMES
    }
    assert len(told) == len(OUTCOMES) == 6
    period = answer.periods[0].label
    listed = answer.users(step=1, period=period)
    assert listed.selection.text == (f"reached a, step 1 of a → a, entered in {period}")


def test_two_groups_have_two_bars_for_each_step_and_a_line_each(
    page: tuple[FlaskClient, str], app: Flask
) -> None:
    client, path = page
    segments = "segments=everyone+else&segments=flag(premium)"
    html = client.get(f"{path}?steps=came&steps=paid&{segments}&{ON}").text
    assert "everyone else vs. flag(premium)" in html
    kinds = re.findall(r'data-bm-chart="(\w+)" data-bm-table="bm-compared', html)
    assert kinds == ["columns", "columns", "line"]
    text = text_of(html.partition('id="bm-compared-1"')[2])
    # Of everyone else nobody has paid; the one who is premium has.
    assert "1. came 100.0% 100.0% 0.0 points 2. paid 0.0% 100.0% +100.0 points" in text
    assert html.count('data-series data-bm-hue="1"') >= 4
    links = re.findall(r'<a href="([^"]+)">100\.0%</a>', html)
    assert links
    for link in links:
        users = client.get(f"{link.replace('&amp;', '&')}&format=json").get_json()
        assert users["total"] in (1, 2)
