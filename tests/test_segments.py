"""Segments, whom an answer leaves out, and what it is compared with.

An answer for some users is that of a store in which nobody else has ever been.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st

from flask_bitmapist import Event, Flag, QueryError, mark_event, mark_unique
from flask_bitmapist.config import ConfigError
from flask_bitmapist.query import Query
from flask_bitmapist.questions import Answer, ParameterError, Question
from flask_bitmapist.questions.schema import parameters_schema

from . import inside
from .inside import Cohort, Count, Funnel, Has, Lifecycle, Stickiness, Trend, Users
from .pages import add_tabs
from .reference import Meaning, Reference, utc
from .strategies import USERS, Asked, exact, expressions, histories, windows

FLAGGED: Asked = (Flag("flagged"), lambda did, flagged: flagged)


def _joined(parts: tuple[Asked, Asked, str]) -> Asked:
    (left, a), (right, b), how = parts
    if how == "or":
        return left | right, lambda did, flagged: a(did, flagged) | b(did, flagged)
    return left & ~right, lambda did, flagged: a(did, flagged) - b(did, flagged)


simple = windows() | st.just(FLAGGED)
groups_of_users = simple | st.tuples(
    simple, simple, st.sampled_from(["or", "and not"])
).map(_joined)
"""What a segment can be, and what it means."""


def questions(draw: st.DrawFn, group: Any) -> Callable[..., Question[Any]]:
    """A question of any kind, still without segments and without a day."""
    (one, _), (other, _) = draw(expressions), draw(expressions)
    # The first time of a window is looked for in each hour that ever was.
    new = Event("a") if group == "hours" else one
    made: list[Callable[..., Question[Any]]] = [
        lambda **who: Count(one, group, **who),
        lambda **who: Users(one, group, **who),
        lambda **who: Trend([one, other], time_group=group, num_periods=3, **who),
        lambda **who: Cohort(
            *(one, other), time_group=group, num_rows=3, num_cols=3, **who
        ),
        lambda **who: Cohort(
            *(new,), time_group=group, num_rows=3, first_time=True, **who
        ),
        lambda **who: Lifecycle(one, time_group=group, num_periods=3, **who),
        lambda **who: Funnel(
            [one, other], time_group=group, num_periods=3, window=2, **who
        ),
        lambda **who: Stickiness(one, num_days=5, **who),
        lambda **who: inside.Overview(**who),
        lambda **who: inside.Events(**who),
    ]
    return draw(st.sampled_from(made))


def earlier(as_of: datetime, group: str, count: int) -> datetime:
    """The moment so many periods before another."""
    if group in ("hours", "days", "weeks"):
        return as_of - count * timedelta(**{group: 1})
    day = as_of.day
    for _ in range(count):
        as_of = as_of.replace(day=1) - timedelta(days=1)
    return as_of.replace(day=min(day, as_of.day))


def numbers(answer: Answer) -> dict[str, Any]:
    """An answer's numbers, without what it says of itself."""
    says = ("question", "asked", "name", "excluded", "segments", "together", "previous")
    told = json.loads(json.dumps(answer.to_dict()))
    # Since when an event is tracked depends on who is in the store.
    says += ("users", "scanned_at", "notes")
    return {key: value for key, value in told.items() if key not in says}


def lists(answer: Answer, segment: str | None = None) -> list[set[Any]]:
    """The users behind some numbers of an answer."""
    cell = answer.question.cell
    found = [set(answer.listing)] if answer.listing is not None and not segment else []
    labels = [period.label for period in getattr(answer, "periods", ())[-2:]]
    for label in labels if cell is not None else ():
        given = {"period": label, "step": 2, "stage": "new", "segment": segment}
        found.append(set(answer.behind(cell.read(given))))
    return found


# Each example asks some ten stores.
@settings(exact, max_examples=25)
@given(data=st.data(), group=st.sampled_from(["hours", "days", "weeks", "months"]))
def test_an_answer_for_some_users_is_that_of_a_store_of_them_alone(
    ask: Callable[..., Query], data: st.DataObject, group: str
) -> None:
    marks, as_of = data.draw(histories(group, after=True))
    flagged = data.draw(st.sets(st.sampled_from(USERS)))
    make = questions(data.draw, group)
    drawn = data.draw(
        st.lists(groups_of_users, max_size=3, unique_by=lambda x: str(x[0]))
    )
    words = ["everyone", *(["everyone else"] if drawn else [])]
    segments = data.draw(st.permutations([*(each for each, _ in drawn), *words]))
    left_out = data.draw(st.none() | groups_of_users)
    compare = data.draw(st.sampled_from([None, None, 1, 2, "previous"]))
    asked = make(
        as_of=as_of,
        segments=segments,
        exclude=None if left_out is None else left_out[0],
        compare=compare,
    )
    answer = ask(marks, flagged)(asked)

    meanings: dict[str, Meaning] = {str(each): meant for each, meant in drawn}
    moments = {as_of: answer}
    if compare is not None:
        assert answer.previous is not None
        unit, several = asked.reach()
        count = several if compare == "previous" else int(compare)
        moments[earlier(as_of, unit.value, count)] = answer.previous
    expected = []
    for moment, found in moments.items():
        plain = Reference(marks, "days", moment)
        everyone = {mark.user for mark in marks} | flagged
        members = {
            name: plain.users_of(meant, flagged)(moment.date())
            for name, meant in meanings.items()
        }
        any_of = set().union(*members.values())
        members |= {"everyone": everyone, "everyone else": everyone - any_of}
        names = [str(each) for each in segments]
        assert [each.segment for each in found.segments] == names
        assert numbers(found) == numbers(found.segments[0])
        without = set()
        if left_out is not None:
            without = plain.users_of(left_out[1], flagged)(moment.date())
        for name, each in zip(names, found.segments):
            told = (numbers(each), lists(each), lists(found, name))
            expected.append((moment, members[name] - without, told))
        if len(drawn) > 1:
            assert found.together is not None
            told = (numbers(found.together), lists(found.together), None)
            expected.append((moment, any_of - without, told))
        else:
            assert found.together is None
    for moment, users, (found_numbers, behind, by_name) in expected:
        alone = ask([mark for mark in marks if mark.user in users], flagged & users)(
            make(as_of=moment)
        )
        assert found_numbers == numbers(alone)
        assert behind == lists(alone)
        assert not by_name or by_name == behind


@pytest.fixture
def query(app: Flask) -> Iterator[Query]:
    """Users 1 to 4 did x; 1 and 2 are a, 2 and 3 are b."""
    with app.app_context():
        told(app)
        found: Query = app.extensions["bitmapist"].query
        yield found


DAY = date(2026, 11, 25)


def told(app: Flask) -> None:
    for user in (1, 2, 3, 4):
        mark_event("x", user, now=utc("2026-11-25"))
    for flag, users in {"a": (1, 2), "b": (2, 3)}.items():
        for user in users:
            mark_unique(flag, user)


BOTH = ["flag(a)", "flag(b)", "everyone else"]


def test_who_is_in_several_segments_counts_in_each_and_together_once(
    query: Query,
) -> None:
    answer = query(Count("x", "days", segments=BOTH, as_of=DAY))
    assert [each.count for each in answer.segments] == [2, 2, 1]
    assert answer.count == 2
    assert answer.together is not None
    assert answer.together.count == 3
    assert list(answer.together.behind(Count.cell())) == [1, 2, 3]
    for name, users in zip(BOTH, ([1, 2], [2, 3], [4])):
        behind = answer.behind(Count.cell(segment=name))
        assert list(behind) == users
        assert behind.selection.text == f"x in 2026-11-25, among {name}"
        assert 4 in behind or name != "everyone else"
        with pytest.raises(AttributeError, match="several bitmaps have no key"):
            behind.redis_key  # noqa: B018
    assert str(answer.sentence()) == (
        "Unique users of x on 2026-11-25, flag(a) vs. flag(b) vs. everyone else"
    )


def test_a_number_is_asked_for_by_a_segment_that_there_is(query: Query) -> None:
    answer = query(Count("x", "days", segments=BOTH, as_of=DAY))
    with pytest.raises(QueryError, match="Use one of “flag\\(a\\)”"):
        answer.behind(Count.cell(segment="c"))
    with pytest.raises(QueryError, match="No segments were asked for"):
        query(Count("x", "days")).behind(Count.cell(segment="a"))


@pytest.mark.parametrize(
    "given",
    [
        "x",
        "x and flag(a)",
        "flag(a) and not x",
        "did",
        "(x or x ever)",
        "not x within flag(a)",
    ],
)
@pytest.mark.parametrize("field", ["segments", "exclude"])
def test_an_event_in_a_segment_says_when(app: Flask, given: str, field: str) -> None:
    app.extensions["bitmapist"].named["did"] = inside.parse("x or x")
    with app.app_context():
        told(app)
        query = app.extensions["bitmapist"].query
        wanted = [given] if field == "segments" else given
        with pytest.raises(QueryError, match="Say when: “x ever” or “x in last") as no:
            query(Count("x", **{field: wanted}))
        assert no.value.field == field


def test_a_segment_may_be_what_the_app_has_defined(app: Flask) -> None:
    app.extensions["bitmapist"].named["early"] = inside.parse("x ever and flag(a)")
    with app.app_context():
        told(app)
        query = app.extensions["bitmapist"].query
        answer = query(Count("x", "days", segments=["early", "not early"], as_of=DAY))
        assert [each.count for each in answer.segments] == [2, 2]


def test_segments_are_told_apart(query: Query) -> None:
    with pytest.raises(ParameterError, match="Name each segment once"):
        Count("x", segments=["flag(a)", "flag(a)"])
    with pytest.raises(ParameterError, match="needs another segment"):
        Count("x", segments=["everyone", "everyone else"])
    with pytest.raises(ParameterError, match="At most 6 are allowed"):
        Count("x", segments=[f"flag(f{each})" for each in range(7)])


def test_the_same_days_are_compared(query: Query) -> None:
    asked = Trend(["x"], time_group="weeks", num_periods=2, as_of=DAY)
    for compare in (2, "previous"):
        answer = query.trend(
            ["x"], time_group="weeks", num_periods=2, as_of=DAY, compare=compare
        )
        assert [period.label for period in answer.periods] == ["2026-W47", "2026-W48"]
        before = answer.previous
        assert [period.label for period in before.periods] == ["2026-W45", "2026-W46"]
        assert before.as_of.date() == date(2026, 11, 11)
        assert before.periods[-1].last_day == date(2026, 11, 11)
        assert before.question == type(asked)(
            ["x"], time_group="weeks", num_periods=2, as_of=date(2026, 11, 11)
        )
        assert str(answer.sentence()).endswith("compared with 2026-11-11")


@pytest.mark.parametrize(
    ("group", "day", "count", "before"),
    [
        ("days", "2026-03-01", 1, "2026-02-28"),
        ("weeks", "2026-01-01", 53, "2024-12-26"),
        ("months", "2026-03-31", 1, "2026-02-28"),
        ("months", "2026-01-31", 13, "2024-12-31"),
        ("quarters", "2026-05-31", 1, "2026-02-28"),
        ("quarters", "2026-11-25", 4, "2025-11-25"),
        ("years", "2024-02-29", 1, "2023-02-28"),
        ("years", "2024-02-29", 4, "2020-02-29"),
    ],
)
def test_a_day_is_as_far_in_the_period_before(
    query: Query, group: Any, day: str, count: int, before: str
) -> None:
    answer = query(Count("x", group, as_of=day, compare=count))
    assert answer.previous is not None
    assert answer.previous.as_of.date().isoformat() == before


@pytest.mark.parametrize("compare", [1, "previous"])
def test_a_range_of_days_is_compared_with_as_many_days_before_it(
    query: Query, compare: Any
) -> None:
    asked: dict[str, Any] = {"since": "2026-11-11", "compare": compare}
    whole = query(Count("x", until="2026-11-17", as_of="2026-11-24", **asked))
    assert whole.previous is not None
    assert whole.previous.question == Count(
        "x", since="2026-11-04", until="2026-11-10", as_of="2026-11-17"
    )
    assert whole.previous.periods[0].label == "2026-11-04/2026-11-10"
    assert whole.previous.complete == (True,)
    assert [row[0] for row in whole.sheet().rows] == ["2026-11-17", "2026-11-10"]
    # Without an end it goes up to the last day that counts, then as now.
    two_weeks = query(Count("x", as_of="2026-11-24", **asked))
    assert two_weeks.previous is not None
    assert two_weeks.previous.periods[0].label == "2026-10-28/2026-11-10"


def test_hours_that_the_clock_skips_are_not_counted(
    make_app: Callable[..., Flask],
) -> None:
    app = make_app(BITMAPIST_TIMEZONE="Europe/Berlin", BITMAPIST_TRACK_HOURLY=True)
    with app.app_context():
        mark_event("x", 1, now=utc("2026-03-29T00:30"))  # at 1:30, before 3:00
        query = app.extensions["bitmapist"].query
        asked = {"as_of": "2026-03-29T03:20", "compare": "previous"}
        answer = query.trend(["x"], time_group="hours", num_periods=1, **asked)
        assert [each.label for each in answer.periods] == ["2026-03-29T03"]
        assert [each.label for each in answer.previous.periods] == ["2026-03-29T01"]
        assert answer.previous.series[0].counts == (1,)
        # A moment is that of the app's clock, then as now.
        assert answer.previous.as_of.isoformat() == "2026-03-29T01:20:00+01:00"


def test_what_lies_outside_of_the_calendar_is_not_compared(query: Query) -> None:
    for asked in (
        Count("x", "years", as_of=DAY, compare=3000),
        Count("x", since="1970-01-05", until="1970-01-10", compare=1),
    ):
        with pytest.raises(
            QueryError, match=r"calendar|1970-01-01 or later"
        ) as refused:
            query(asked)
        assert refused.value.field == "compare"


def test_a_segment_of_which_the_past_was_deleted_is_refused(app: Flask) -> None:
    with app.app_context():
        mark_event("x", 1, now=utc("2026-11-01"))
        told(app)
        extension = app.extensions["bitmapist"]
        delete = ["bitmapist", "delete", "x", "--before", "2026-11-20", "--yes"]
        assert app.test_cli_runner().invoke(args=delete).exit_code == 0
        query = extension.query
        at: dict[str, Any] = {"as_of": DAY}
        for field, given in (
            ("segments", ["flag(a)", "x in last 28 days"]),
            ("exclude", "x in last 28 days"),
        ):
            with pytest.raises(QueryError, match="Deleted before") as refused:
                query(Count("x", "days", **{field: given}, **at))
            assert refused.value.field == field
        # Who ever did it is known beyond what was deleted.
        ever = query(Count("x", "days", segments=["x ever", "everyone else"], **at))
        assert [each.count for each in ever.segments] == [4, 0]


def test_why_a_number_is_missing_is_told_of_all_parts(app: Flask) -> None:
    with app.app_context():
        mark_event("x", 1, now=utc("2026-11-01"))
        told(app)
        delete = ["bitmapist", "delete", "x", "--before", "2026-11-20", "--yes"]
        assert app.test_cli_runner().invoke(args=delete).exit_code == 0
        query = app.extensions["bitmapist"].query
        answer = query.trend(
            ["x"], num_periods=2, as_of=DAY, compare=20, segments=["everyone"]
        )
        assert answer.series[0].counts == (0, 4)
        assert answer.previous.series[0].counts == (None, None)
        assert any("Deleted before" in text for text in answer.warnings)
        assert not any("Deleted" in text for text in answer.segments[0].warnings)


def test_who_is_excluded_is_in_no_answer_but_those_about_themselves(
    make_app: Callable[..., Flask],
) -> None:
    app = make_app(BITMAPIST_EXCLUDE="flag(a)")
    with app.app_context():
        told(app)
        query = app.extensions["bitmapist"].query
        answer = query(Count("x", "days", as_of=DAY))
        assert answer.count == 2
        assert answer.to_dict()["excluded"] == "flag(a)"
        assert str(answer.sentence()).endswith(", without flag(a)")
        assert list(query.users("x", as_of=DAY)) == [3, 4]
        assert 1 not in query.users("x", as_of=DAY)
        assert query.has(1, "x", "days", as_of=DAY)
        assert query.person(1, as_of=DAY).days
        both = query(Count("x", "days", as_of=DAY, exclude="flag(b)"))
        assert both.count == 1
        assert str(both.sentence()).endswith(", without flag(a) or flag(b)")
        with pytest.raises(QueryError, match="BITMAPIST_EXCLUDE_LOCKED") as refused:
            query(Count("x", exclude="nobody"))
        assert refused.value.field == "exclude"


def test_who_is_excluded_counts_where_that_is_allowed(
    make_app: Callable[..., Flask],
) -> None:
    app = make_app(BITMAPIST_EXCLUDE="flag(a)", BITMAPIST_EXCLUDE_LOCKED=False)
    with app.app_context():
        told(app)
        page = app.test_client().get(
            "/bitmapist/count?event=x&time_group=days&as_of=2026-11-25&exclude=nobody"
        )
        assert page.json["counts"] == {"day": 4}
        assert "excluded" not in page.json


def test_a_list_of_whom_to_exclude_is_run_once_a_minute(
    make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[int] = []

    def staff() -> Iterator[object]:
        runs.append(len(runs))
        yield from (1, "2", 4_000, 4)
        if len(runs) == 2:
            raise RuntimeError("the database is gone")

    app = make_app(BITMAPIST_EXCLUDE=staff)
    clock = [1000.0]
    monkeypatch.setattr("flask_bitmapist.query.monotonic", lambda: clock[0])
    with app.app_context():
        told(app)
        query = app.extensions["bitmapist"].query
        for _ in range(3):
            assert list(query.users("x", as_of=DAY)) == [3]
            assert 2 not in query.users("x", as_of=DAY)
            assert query.count("x", "days", as_of=DAY) == 1
        assert runs == [0]
        clock[0] += 60
        for _ in range(2):
            with pytest.raises(QueryError, match="it is not known whom to leave out"):
                query.count("x", "days", as_of=DAY)
        assert query.has(1, "x", "days", as_of=DAY)
        assert runs == [0, 1]
        clock[0] += 60
        assert query.count("x", "days", as_of=DAY) == 1


def test_an_exclusion_of_which_nobody_has_heard_is_told(
    make_app: Callable[..., Flask],
) -> None:
    app = make_app(BITMAPIST_EXCLUDE="flag(staff)")
    with app.app_context():
        told(app)
        with pytest.raises(QueryError, match="BITMAPIST_EXCLUDE: Unknown flag 'staff'"):
            app.extensions["bitmapist"].query.count("x")
    for value, problem in {
        "not flag(a)": "say by itself",
        "(": "",
        5: "a string",
    }.items():
        with pytest.raises(ConfigError, match=f"BITMAPIST_EXCLUDE.*{problem}"):
            make_app(BITMAPIST_EXCLUDE=value)


def test_a_table_has_a_line_for_each_segment_and_for_what_it_is_compared_with(
    app: Flask,
) -> None:
    with app.app_context():
        told(app)
    asked = "events=x&num_periods=1&as_of=2026-11-25&compare=1"
    segments = "segments=flag(a)&segments=everyone+else"
    url = f"/bitmapist/trends?{asked}&{segments}&format=csv"
    page = app.test_client().get(url, headers={"Accept": "text/csv"})
    days = [f"2026-11-{day}T00:00:00+00:00" for day in (24, 25, 26)]
    assert [*csv.reader(io.StringIO(page.text))] == [
        [*("segment", "as of", "day"), *("complete", "x", "x: change"), "start", "end"],
        ["flag(a)", *("2026-11-25",) * 2, "True", "2", "", *days[1:]],
        ["everyone else", *("2026-11-25",) * 2, "True", "2", "", *days[1:]],
        ["flag(a)", *("2026-11-24",) * 2, "True", "0", "", *days[:2]],
        ["everyone else", *("2026-11-24",) * 2, "True", "0", "", *days[:2]],
    ]


def test_a_list_of_users_has_a_line_for_each_in_their_segment(app: Flask) -> None:
    with app.app_context():
        told(app)
    words = ["x", "--segment=flag(b)", "--segment=everyone else", "--as-of=2026-11-25"]
    one = ["x", "--segment=flag(b)", "--as-of=2026-11-25", "--csv"]
    run = app.test_cli_runner().invoke
    assert run(args=["bitmapist", "users", *words, "--csv"]).stdout.split("\n") == [
        *("segment,user_id", "flag(b),2", "flag(b),3"),
        *("everyone else,1", "everyone else,4", ""),
    ]
    assert run(args=["bitmapist", "users", *one]).stdout.split("\n") == [
        *("segment,user_id", "flag(b),2", "flag(b),3", ""),
    ]
    told_of_one = run(args=["bitmapist", "count", *one, "-g", "day"]).stdout
    assert told_of_one.startswith("segment,group,")
    assert run(args=["bitmapist", "users", *words]).stdout.split("\n") == [
        *("flag(b)", "2", "3", "", "everyone else", "1", "4", "", ""),
    ]
    behind = ["--users", "--period=2026-11-25", "--in-segment=everyone else"]
    found = run(args=["bitmapist", "trend", *words, *behind])
    assert found.stdout.split() == ["1", "4"]


def test_earlier_rows_are_said_to_have_only_those_who_stayed(query: Query) -> None:
    note = "Segments are as of the last day"
    answer = query.trend(["x"], segments=["flag(a)"], as_of=DAY)
    assert any(note in told for told in answer.told())
    assert not any(note in told for told in query.trend(["x"], as_of=DAY).told())


def test_several_segments_read_shared_bitmaps_once(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    from .inside import BitmapReader

    read: list[int] = []
    stripes = BitmapReader.stripes

    def counted(self: Any, sources: Any, passes: int = 0) -> Any:
        read.append(len(sources))
        return stripes(self, sources, passes)

    monkeypatch.setattr(BitmapReader, "stripes", counted)
    with app.app_context():
        told(app)
        query = app.extensions["bitmapist"].query
        answer = query.cohort("x", segments=BOTH, as_of=DAY)
        assert len(read) == 1
        # What is behind a number is read anew.
        mark_event("x", 5, now=utc("2026-11-25"))
        cell = {"period": "2026-W48", "segment": "everyone else"}
        assert 5 in answer.users(**cell)
        monkeypatch.setattr("flask_bitmapist.analysis.segments.MOST_KEPT", 0)
        again = query.cohort("x", segments=BOTH, as_of=DAY)
        assert len(read) > 3
        assert again.segments[:2] == answer.segments[:2]


def test_has_is_asked_within_a_segment(query: Query) -> None:
    answer = query(
        Has(4, "x", "days", segments=["flag(a)", "everyone else"], as_of=DAY)
    )
    assert [each.did for each in answer.segments] == [False, True]


DIFFERENT: dict[str, Any] = {
    "primary_event": "came",
    "time_group": "days",
    "num_rows": 2,
    "num_cols": 2,
    "as_of": "2026-11-19",
    "cells": "difference",
}


def came(app: Flask) -> None:
    """One half of a and all of b came back on the day after the 18th."""
    told(app)
    for user in (1, 2, 3):
        mark_event("came", user, now=utc("2026-11-18"))
    for user in (2, 3):
        mark_event("came", user, now=utc("2026-11-19"))


def test_the_difference_of_two_cohorts_is_told_in_points(app: Flask) -> None:
    with app.app_context():
        came(app)
        query = app.extensions["bitmapist"].query
        answer = query.cohort(**DIFFERENT, segments=["flag(a)", "flag(b)"], compare=1)
        told_in_python = answer.to_dict()
        of_segments, of_a, of_b = answer.differences
        assert str(of_segments.name) == (
            "flag(b), to 2026-11-19 minus flag(a), to 2026-11-19"
        )
        assert of_segments.shares == ((0.0, 0.5), (0.0, None))
        assert of_segments.averages == (0.0, 0.5)
        assert of_segments.complete == ((True, True), (True, False))
        # Nobody came on the 17th: there is nothing to take away.
        assert of_a.shares == ((None, None), (0.0, None))
        assert of_b.base.periods[0].label == "2026-11-17"
        everyone = query.cohort(**DIFFERENT, compare=1)
        assert [str(each.name) for each in everyone.differences] == [
            "To 2026-11-19 minus To 2026-11-18"
        ]
    assert told_in_python["as_percent"]
    assert told_in_python["differences"][0] == {
        "name": "flag(b), to 2026-11-19",
        "minus": "flag(a), to 2026-11-19",
        "cohort": [[0.0, 0.5], [0.0, None]],
        "complete": [[True, True], [True, False]],
        "averages": [0.0, 0.5],
    }
    client, run = app.test_client(), app.test_cli_runner().invoke
    url = "/bitmapist/cohort?" + urlencode(
        {**DIFFERENT, "segments": ["flag(a)", "flag(b)"], "compare": 1}, doseq=True
    )
    assert client.get(f"{url}&format=json").get_json() == told_in_python
    words = ["bitmapist", "cohort", *answer.question.words()]
    assert "--cells=difference" in words
    options = words.index("--")
    words[options:options] = ["--json"]
    assert json.loads(run(args=words).stdout) == told_in_python
    words[options] = "--csv"
    rows = [*csv.reader(io.StringIO(run(args=words).stdout))]
    assert rows[0][:6] == [
        *("segment", "minus", "day", "users", "users of the other", "complete columns")
    ]
    assert rows[1][:8] == [
        *("flag(b), to 2026-11-19", "flag(a), to 2026-11-19", "2026-11-18"),
        *("2", "2", "2", "0.0", "0.5"),
    ]
    page = client.get(f"{url}&format=csv", headers={"Accept": "text/csv"})
    assert [*csv.reader(io.StringIO(page.text))] == rows
    del words[options]
    printed = run(args=words).stdout
    assert "flag(b), to 2026-11-19 minus flag(a), to 2026-11-19" in printed
    assert re.search(r"2026-11-18 +2 - 2 +0\.0 +\+50\.0\n", printed)


@pytest.mark.parametrize("path", ["/bitmapist/cohort", "/admin/bitmapist/cohort/"])
def test_a_difference_is_read_without_colours(
    make_app: Callable[..., Flask], path: str
) -> None:
    app = make_app()
    if path.startswith("/admin"):
        pytest.importorskip("flask_admin")
        from flask_admin import Admin
        from flask_babel import Babel

        from flask_bitmapist.admin import CohortView

        Babel(app)
        view = CohortView(name="Retention", url="/admin/bitmapist/cohort")
        Admin(app).add_view(view)
    with app.app_context():
        came(app)
    client = app.test_client()
    asked = {**DIFFERENT, "segments": ["flag(b)", "flag(a)"]}
    html = client.get(f"{path}?{urlencode(asked, doseq=True)}").text
    assert "flag(a) minus flag(b)" in html
    cell = re.search(r'<td class="heat-down-5">\s*<span title="([^"]+)">([^<]+)<', html)
    assert cell is not None
    assert cell.groups() == ("50.0% minus 100.0%", "−50.0")
    links = re.findall(r'<td class="bm-size"><a href="([^"]+)">(\d)</a>', html)
    assert [count for _, count in links] == ["2", "2", "1", "2"]
    for link, count in links:
        users = client.get(f"{unescape(link)}&format=json").get_json()
        assert users["total"] == int(count)
    # It is offered where there is any, and does without the groups taken out of a form.
    one = {**asked, "segments": ["flag(a)"]}
    alone = client.get(f"{path}?{urlencode(one, doseq=True)}")
    assert alone.status_code == 200
    assert "minus" not in alone.text
    assert "cells=difference" not in alone.text
    accept = {"Accept": "application/json"}
    program = client.get(f"{path}?{urlencode(one, doseq=True)}", headers=accept)
    assert "cells" in program.get_json()["errors"]


def test_what_is_said_of_one_segment_alone_begins_with_its_name(app: Flask) -> None:
    asked = {**DIFFERENT, "segments": ["flag(a)", "flag(b)"]}
    with app.app_context():
        came(app)
        answer = app.extensions["bitmapist"].query.cohort(**asked)
    said = [*map(str, answer.told())]
    assert said[:2] == [
        "flag(a): On average, 50.0% came back in day 1.",
        "flag(b): On average, 100.0% came back in day 1.",
    ]
    assert len(set(said)) == len(said)
    assert not any(note.startswith("flag(") for note in said[2:])


def test_a_difference_needs_two(query: Query) -> None:
    with pytest.raises(ParameterError, match="needs two segments") as refused:
        Cohort("x", cells="difference", segments=["flag(a)"])
    assert set(refused.value.wrong) == {"cells"}


NUMBER: dict[str, tuple[dict[str, Any], Callable[[Any], Any]]] = {
    "count": ({"event": "x", "time_group": "days"}, lambda told: told["counts"]["day"]),
    "users": ({"event": "x"}, lambda told: told["total"]),
    "overview": ({}, lambda told: told["active"]["day"]["count"]),
    "events": ({}, lambda told: told["events"][0]["day"]),
    "trend": (
        {"events": ["x"], "num_periods": 1},
        lambda told: told["series"][0]["counts"][0],
    ),
    "cohort": (
        {"primary_event": "x", "time_group": "days", "num_rows": 1, "num_cols": 1},
        lambda told: told["row_totals"][0],
    ),
    "lifecycle": (
        {"event": "x", "time_group": "days", "num_periods": 1},
        lambda told: told["active"][0],
    ),
    "funnel": (
        {"steps": ["x", "x ever"], "num_periods": 1, "window": 1},
        lambda told: told["totals"][1],
    ),
    "stickiness": ({"event": "x", "num_days": 1}, lambda told: told["daily"][0]),
}
"""For each question about users how it asks for those of x on one day, and where it
tells how many they are."""


@pytest.mark.parametrize("exclude", [None, "flag(b)"])
@pytest.mark.parametrize("name", NUMBER)
def test_every_question_is_answered_for_segments_on_every_surface(
    make_app: Callable[..., Flask], name: str, exclude: str | None
) -> None:
    pytest.importorskip("flask_admin")
    app = make_app()
    add_tabs(app)
    with app.app_context():
        told(app)
    given, number = NUMBER[name]
    given = {**given, "as_of": "2026-11-25", "segments": BOTH, "compare": 1}
    if exclude is not None:
        given["exclude"] = exclude
    client, run = app.test_client(), app.test_cli_runner().invoke
    with app.app_context():
        query = app.extensions["bitmapist"].query
        declared = next(each for each in query.questions() if each.name == name)
        asked = declared.from_json(given)
        answer = query(asked)
        answers = {"Python": json.loads(json.dumps(answer.to_dict()))}
        columns = answer.file_table().columns
    words = asked.words()
    words.insert(words.index("--") if "--" in words else len(words), "--json")
    answers["command"] = json.loads(run(args=["bitmapist", name, *words]).stdout)
    endpoint = "" if declared.endpoint == "index" else declared.endpoint
    url = f"/bitmapist/{endpoint}"
    accept = {"Accept": "application/json"}
    answers["JSON body"] = client.post(url, json=given, headers=accept).get_json()
    tab = f"/admin/bitmapist/{declared.endpoint}/"
    for page in [url, tab] if declared.in_menu else [url]:
        arguments = urlencode(asked.arguments(), doseq=True)
        answers[page] = client.get(f"{page}?{arguments}&format=json").get_json()
        exported = client.get(f"{page}?{arguments}&format=csv").text
        head = exported.lstrip("\ufeff").split("\r\n", 1)[0].split(",")
        assert head[:2] == ["segment", "as of"]
        assert name == "users" or head == [*map(str, columns)]
        if declared.in_menu:
            html = client.get(f"{page}?{arguments}").text
            assert re.search(r"flag\(a\)[^<]* vs\. flag\(b\)[^<]* vs\. everyone", html)
            hues = set(re.findall(r'data-bm-hue="(\d)"', html))
            assert hues == {"0", "1", "2"}
    expected, union = ([2, 2, 1], 3) if exclude is None else ([1, 0, 1], 1)
    for surface, told_there in answers.items():
        assert [number(each) for each in told_there["segments"]] == expected, surface
        assert number(told_there["together"]) == union, surface
        before = told_there["previous"]
        assert [number(each) or 0 for each in before["segments"]] == [0, 0, 0], surface
        assert told_there.get("excluded") == exclude, surface
    document = client.get("/bitmapist/openapi.json").get_json()
    (operation,) = [
        path["get"]
        for where, path in document["paths"].items()
        if where.strip("/") == endpoint
    ]
    parameters = {each["name"] for each in operation["parameters"]}
    assert {"segments", "exclude", "compare"} <= parameters
    for_models = parameters_schema(declared)["properties"]
    assert {"segments", "exclude", "compare"} <= set(for_models)
