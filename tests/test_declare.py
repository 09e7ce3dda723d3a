"""Declarations: what a parameter can be, what is wrong with one, and the ways back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import FrozenInstanceError, dataclass
from datetime import date, datetime, timezone
from typing import Any, Literal
from uuid import UUID

import click
import pytest
from click.testing import CliRunner
from flask import Flask

from flask_bitmapist import Event, Flag, QueryError
from flask_bitmapist.questions import (
    Answer,
    Group,
    ParameterError,
    Question,
    Text,
    User,
    When,
    Who,
    param,
    params_of,
)

from .inside import command_of


@dataclass(frozen=True)
class Nothing(Answer):
    pass


class Sample(Question[Nothing]):
    """What is there of each kind?"""

    event: Who = param(Text("Event"), kw_only=False)
    group: Group = param(Text("by"), default="days", short="g")
    rows: int = param(Text("Rows"), default=7, least=2, most=50, short="r")
    returned: Literal["each", "first"] = param(Text("Returned"), default="each")
    within: Who | None = param(Text("Among"), default=None)
    others: Sequence[Who] = param(Text("Others"), default=(), least=0, most=3)
    lines: Sequence[int] = param(Text("Lines"), default=(), least=0)
    user: User | None = param(Text("User"), default=None)
    since: When = param(Text("Since"), default=None)
    note: str | None = param(Text("Note"), default=None)
    first_time: bool = param(Text("First time"), default=False)

    def check(self) -> dict[str, Text]:
        if self.within is not None and self.first_time:
            return {"within": Text("Either, not both.")}
        return {}


class Several(Question[Nothing]):
    """Which of these?"""

    steps: Sequence[Who] = param(Text("Steps"), kw_only=False, least=2, most=4)


def wrong_of(**given: Any) -> dict[str, str]:
    with pytest.raises(ParameterError) as refused:
        Sample(**{"event": "a", **given})
    assert isinstance(refused.value, QueryError)
    assert refused.value.field == next(iter(refused.value.wrong))
    return {name: str(text) for name, text in refused.value.wrong.items()}


# --- Kinds and bounds


@pytest.mark.parametrize(
    ("name", "given", "kept"),
    [
        ("event", Event("b") & ~Flag("paid"), "b and not flag(paid)"),
        ("event", " spaced ", " spaced "),
        ("group", "week", "weeks"),
        ("group", " Weeks ".lower(), "weeks"),
        ("rows", "12", 12),
        ("rows", " 2 ", 2),
        ("rows", 50, 50),
        ("returned", "first", "first"),
        ("within", None, None),
        ("others", "b", ("b",)),
        ("others", ["b", Event("c")], ("b", "c")),
        ("lines", ("7", 28), (7, 28)),
        ("lines", 7, (7,)),
        ("user", 5, 5),
        ("user", "5", 5),
        ("user", "05", "05"),
        ("user", "ana@example.org", "ana@example.org"),
        ("user", UUID(int=1), str(UUID(int=1))),
        ("since", "2026-11-18", date(2026, 11, 18)),
        ("since", "2026-11-18T06:00Z", datetime(2026, 11, 18, 6, tzinfo=timezone.utc)),
        ("since", datetime(2026, 1, 1), datetime(2026, 1, 1)),
        ("note", " text ", "text"),
        *(("first_time", word, True) for word in (True, "y", "Yes", "true", "on", "1")),
        *(("first_time", word, False) for word in (False, "n", "no", "False", "0")),
    ],
)
def test_each_kind_takes_what_means_the_same(name: str, given: Any, kept: Any) -> None:
    value = getattr(Sample(**{"event": "a", name: given}), name)
    assert value == kept
    assert type(value) is type(kept)


BOUNDS = "This must be a whole number from 2 to 50."


@pytest.mark.parametrize(
    ("name", "given", "told"),
    [
        ("event", "", "This field is required."),
        ("event", None, "This must be text, not NoneType None."),
        ("event", 5, "This must be text, not int 5."),
        (
            "event",
            "x" * 8193,
            "This is too long; at most 8,192 characters are allowed.",
        ),
        ("event", "\ud800", "This is not valid Unicode text."),
        *(("rows", wrong, BOUNDS) for wrong in (1, 51, True, 2.5, "x", "²", "9" * 30)),
        ("rows", None, BOUNDS),
        (
            "group",
            "fortnights",
            "Use one of hours, days, weeks, months, quarters, years.",
        ),
        ("group", 7, "Use one of hours, days, weeks, months, quarters, years."),
        ("returned", "often", "Use one of each, first."),
        ("others", ["b"] * 4, "At most 3 are allowed."),
        ("others", 5.5, "This must be a list."),
        ("others", ["b", ""], "This field is required."),
        ("lines", [0], "This must be a whole number from 1 to 3,660."),
        ("since", "soon", "This is not a date; write it as YYYY-MM-DD."),
        ("since", "2026-W47", "This is not a date; write it as YYYY-MM-DD."),
        ("since", "20261118", "This is not a date; write it as YYYY-MM-DD."),
        ("since", 5, "This is not a date: int 5."),
        ("first_time", "perhaps", "Use one of true, false."),
        ("first_time", None, "Use one of true, false."),
    ],
)
def test_what_no_parameter_can_be_is_told_beside_it(
    name: str, given: Any, told: str
) -> None:
    assert wrong_of(**{name: given}) == {name: told}


def test_the_bounds_of_a_list_are_those_of_its_length() -> None:
    for few in ([], ["a"]):
        with pytest.raises(ParameterError) as refused:
            Several(few)
        assert refused.value.wrong == {"steps": "At least 2 are required."}
    assert Several(["a", "b"]).steps == ("a", "b")


def test_all_faults_are_told_at_once() -> None:
    wrong = wrong_of(rows=0, returned="often", since="soon")
    assert set(wrong) == {"rows", "returned", "since"}
    with pytest.raises(ParameterError) as refused:
        Sample.read({"rows": "0", "as_of": "soon"})
    assert list(refused.value.wrong) == ["event", "rows", "as_of"]
    assert str(refused.value) == (
        f"event: This field is required.; rows: {BOUNDS}; "
        "as_of: This is not a date; write it as YYYY-MM-DD."
    )


def test_what_is_right_one_by_one_may_not_go_together() -> None:
    told = {"within": "Either, not both."}
    assert wrong_of(within="b", first_time=True) == told
    # With a fault of their own nothing is said of the two.
    assert set(wrong_of(within="b", first_time=True, rows=0)) == {"rows"}


def test_a_kind_that_there_is_not_is_refused_when_it_is_looked_at() -> None:
    class Odd(Question[Nothing]):
        """Of what?"""

        size: float = param(Text("Size"), default=1.0)

    with pytest.raises(TypeError, match="no parameters of the kind"):
        params_of(Odd)


# --- Data: equal, kept, and back


def test_equal_questions_ask_the_same_and_can_be_kept() -> None:
    one = Sample(Event("a"), group="week", lines=["7"])
    same = Sample("a", group="weeks", lines=(7,))
    assert one == same
    assert hash(one) == hash(same)
    assert one != Sample("a")
    assert {one: "kept"}[same] == "kept"
    with pytest.raises(FrozenInstanceError):
        one.rows = 5  # type: ignore[misc]


WHOLE = Sample(
    'buy or "Order Completed"',
    group="months",
    rows=12,
    returned="first",
    others=["-x", "b"],
    lines=[7, 28],
    user="-5",
    since=date(2026, 11, 18),
    note="--rows",
    first_time=True,
    as_of=datetime(2026, 11, 18, 6, tzinfo=timezone.utc),
    allow_unknown=True,
)


@pytest.mark.parametrize(
    "question", [Sample("a"), Sample("-a", user=5), WHOLE, Several(["a", "--b"])]
)
def test_a_question_comes_back_from_url_json_and_command(
    question: Question[Any],
) -> None:
    asked = type(question)
    assert asked.read(question.arguments()) == question
    assert asked.from_json(json.loads(json.dumps(question.given()))) == question
    parsed: list[Any] = []
    command = command_of(asked)
    command.callback = lambda **given: parsed.append(asked.read(given))
    done = CliRunner().invoke(command, question.words(), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert parsed == [question]


def test_defaults_are_left_out_of_urls_and_bodies() -> None:
    assert Sample("a", rows=7, returned="each").given() == {"event": "a"}
    assert Sample("a", first_time=True).arguments() == {"event": "a", "first_time": "y"}
    assert Sample("a").words() == ["--", "a"]


def test_blanks_are_what_was_not_given() -> None:
    blank = {
        **dict.fromkeys(("rows", "group", "within", "as_of", "first_time"), ""),
        **{"others": ["", "b", " "], "lines": [], "note": None},
    }
    assert Sample.read({"event": "a", **blank}) == Sample("a", others=["b"])
    with pytest.raises(ParameterError) as refused:
        Sample.read({"event": "  "})
    assert refused.value.wrong == {"event": "This field is required."}


def test_a_body_with_another_key_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(ParameterError) as refused:
        Sample.from_json({"event": "a", "row": 5, "zzz": 1})
    assert refused.value.wrong["row"] == "Unknown parameter. Did you mean 'rows'?"
    assert refused.value.wrong["zzz"].startswith("Unknown parameter; use event, ")


def test_own_parameters_come_before_those_of_all_questions() -> None:
    names = [each.name for each in params_of(Sample)]
    assert names[0] == "event"
    assert names[-5:] == ["as_of", "allow_unknown", "segments", "exclude", "compare"]
    help_of = {each.name: str(each.about) for each in params_of(Sample)}
    assert help_of["group"] == "Length of a period."
    assert help_of["rows"] == "Rows."


def test_a_question_says_what_it_asks() -> None:
    assert str(WHOLE.sentence()).startswith('Sample: event=buy or "Order Completed"')
    assert (Sample.name, str(Sample.title), Sample.endpoint) == (
        *("sample", "Sample", "sample"),
    )


def test_a_command_has_its_parameters_with_their_help_and_defaults() -> None:
    command = command_of(Sample)
    told = CliRunner().invoke(command, ["--help"]).output
    assert "What is there of each kind?" in told
    assert "-g, --group hours|days|weeks|months|quarters|years" in told
    assert "[default: 7]" in told
    assert isinstance(command, click.Command)


# --- Lists, as a form and a URL send them


@pytest.mark.parametrize(
    "query",
    [
        "events=a&events=b",
        "events-0=a&events-1=b",
        "events-1=a&events-7=b",
        "events=a&events=&events=b&events=+",
    ],
)
def test_a_list_is_read_by_its_name_and_by_its_numbers(app: Flask, query: str) -> None:
    from flask_bitmapist import mark_event

    with app.app_context():
        for event in ("a", "b"):
            mark_event(event, 1)
    told = app.test_client().get(f"/bitmapist/trends?{query}&format=json").get_json()
    assert [each["name"] for each in told["series"]] == ["a", "b"]
