#!/usr/bin/env python
"""Write what follows from the code.

python -m scripts.reference

That is docs/reference/questions.md and settings.md, from their declarations;
expressions.md, from the grammar of expressions; and
tests/public.txt, the signatures of all that is public: a change there is one that
apps may notice.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from dataclasses import fields
from datetime import date, datetime, timezone
from enum import Enum
from inspect import cleandoc
from pathlib import Path
from typing import Any

import click
from flask import Flask

import flask_bitmapist
from flask_bitmapist import FlaskBitmapist, mark_event, mark_unique, testing
from flask_bitmapist.analysis.parsing import FORMS
from flask_bitmapist.cli.questions import command_of
from flask_bitmapist.config import PREFIX, Settings
from flask_bitmapist.query import QUESTIONS, Query
from flask_bitmapist.questions import Question, params_of
from flask_bitmapist.questions.declare import AnyQuestion, Kind, Param, plain, written

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "reference"
PUBLIC = ROOT / "tests" / "public.txt"

SETTINGS = """\
# Settings

Set them in `app.config`, or in `FlaskBitmapist(app, config={...})`, which takes
precedence. A wrong value or a misspelt name is an error at startup that names the
setting. A name in `app.config` that resembles no setting is only logged, and listed by
`flask bitmapist doctor`, so that you can go back to an earlier version.

With `app.config.from_prefixed_env()`, settings come from the environment, under names
such as `FLASK_BITMAPIST_REDIS_URL`.

| Name | Default | Meaning |
| --- | --- | --- |
"""

QUESTIONS_HEAD = """\
# Questions

What you can ask, and with which parameters. Names, defaults and bounds are the same in
Python, on the command line (with dashes instead of underscores), in URLs, in JSON
bodies and for MCP. In a URL, write lists as `events=a&events=b`.

[Definitions](definitions.md) says what the numbers mean, [JSON](json.md) what answers
look like, and [Declare a question](../howto/own-question.md) how to add your own.

Every question also takes these:
"""

EXPRESSIONS = """\
# Expressions

Wherever an event can be given (Python, command line, form, URL, JSON, settings,
`define()`) an expression can stand as well.

{forms}

`x` is an event, or the name of an expression that the app has defined. A window (`in
last`, `ever` and the others) stands directly after an event, after a defined name that
stands for events, or after `(x or y)`, and binds tighter than `not`: `not x in last 7
days` is of those who did not do x in these days. After flags, after `not` and after `(x
and y)` it is refused: put the window on each event. None of the words is reserved but
`and`, `or`, `not` and `within`; an event may be called `last`, or even `"x ever"`, in
quotes. A text that is both the name of an event and an expression is an error that
shows how to write either.

In an event's place (a trend, a cohort, the steps of a funnel) a window is taken as of
the end of each period, at most as of the answer's last day. In a list of users it is
taken once, as of that day. By the hour, the last day goes up to the hour.

`not` and `never` need something to be taken from: `x and not y`, `x ever and y never`.
Alone they mean "within `BITMAPIST_EVERYONE`", an expression such as `signup ever`;
without that setting they are refused.

## Examples

{examples}
"""

EXAMPLES = (
    *("x in last 28 days", "x in at least 2 of last 3 months", "x in last 1 quarter"),
    *("x since 2026-10-31", "x between 2026-09-01 and 2026-10-03", "x ever"),
    *("x first in last 28 days", "x stopped 28 days", "x restarted 28 days"),
    *(
        "x ever and y never",
        "x ever and not x in last 28 days",
        "(x or y) stopped 28 days",
    ),
    "(x or y) stopped 28 days",
    *("x in last 28 days and flag(premium)", "not y ever within x ever"),
)
"""Each with the users of it, who are found when the page is written."""

DID = {
    1: ["x 2026-09-01", "x 2026-11-05"],
    2: ["x 2026-10-31", "y 2026-10-31"],
    3: ["x 2026-10-03"],
    4: ["x 2026-11-05", "premium"],
    5: ["y 2026-10-20"],
}
"""What the users of the examples did, and the flags that they carry."""

VALUES = {
    "event": "an event, a defined name or an expression",
    "switch": "yes or no",
    "day": "a day or a moment",
    "user": "a user's ID or key",
    "text": "text",
}


def settings() -> str:
    """Return the page of all settings."""
    rows = (
        f"| `{PREFIX}{each.name.upper()}` | `{each.default!r}` | "
        f"{each.metadata['help']} |\n"
        for each in fields(Settings)
    )
    return SETTINGS + "".join(rows)


def questions() -> str:
    """Return the page of all questions."""
    shared = params_of(Question)
    parts = [QUESTIONS_HEAD, *_table(shared)]
    names = {each.name for each in shared}
    for question in QUESTIONS:
        own = [each for each in params_of(question) if each.name not in names]
        parts += [f"\n## {question.name}\n", _about(question), "", *_ways(question), ""]
        parts += _table(own)
        if question.cell is not None:
            parts.append("\nFor the users behind a number, add:\n")
            parts += _table(params_of(question.cell))
    return "\n".join(parts) + "\n"


def expressions() -> str:
    """Return the page about expressions; its examples are run."""
    return EXPRESSIONS.format(
        forms="\n".join(
            [
                "| Written | Who is meant |",
                "| --- | --- |",
                *(f"| `{form.written}` | {form.means} |" for form in FORMS),
            ]
        ),
        examples="\n".join(_examples()),
    )


def _examples() -> Iterator[str]:
    app = Flask("examples")
    bitmapist = FlaskBitmapist(app, {"BITMAPIST_REDIS_URL": "memory://"})
    yield "| User | Did, or carries |"
    yield "| --- | --- |"
    with app.app_context():
        for user, marks in DID.items():
            yield f"| {user} | {', '.join(marks)} |"
            for mark in marks:
                event, _, day = mark.partition(" ")
                if day:
                    at = datetime.fromisoformat(day).replace(tzinfo=timezone.utc)
                    mark_event(event, user, now=at)
                else:
                    mark_unique(event, user)
        yield "\nAs of 28 November 2026 these are:\n"
        yield "| Expression | Users |"
        yield "| --- | --- |"
        for text in EXAMPLES:
            users = bitmapist.query.users(text, as_of=date(2026, 11, 28))
            yield f"| `{text}` | {', '.join(map(str, users))} |"


def _about(question: AnyQuestion) -> str:
    return cleandoc(question.__doc__ or "")


def _ways(question: AnyQuestion) -> Iterator[str]:
    name = question.name
    yield f"- Python: `bitmapist.query.{name}()`, or {_class(question)} as data"
    command = command_of(question)
    usage = " ".join(command.collect_usage_pieces(click.Context(command)))
    yield f"- Command: `flask bitmapist {name} {usage}`"
    path = "" if question.endpoint == "index" else question.endpoint
    kind = "Page" if question.in_menu else "JSON and CSV"
    yield f"- {kind}: `/bitmapist/{path}`"


def _class(question: AnyQuestion) -> str:
    return f"`{question.__module__}.{question.__name__}`"


def _table(params: Iterable[Param]) -> Iterator[str]:
    yield "| Parameter | Value | Default | Meaning |"
    yield "| --- | --- | --- | --- |"
    for each in params:
        short = f", `-{each.short}`" if each.short else ""
        cells = (
            f"`{each.name}`{short}",
            _value(each.kind),
            _default(each),
            str(each.about),
        )
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _value(kind: Kind) -> str:
    if kind.many:
        few, many = kind.least or 0, kind.most
        one = "whole numbers" if kind.name == "number" else "events or expressions"
        return f"{few} to {many} {one}"
    if kind.name == "choice":
        return ", ".join(f"`{each}`" for each in kind.choices)
    if kind.name == "number":
        words = "".join(f", or `{each}`" for each in kind.choices)
        return f"{kind.least:,} to {kind.most:,}{words}"
    return VALUES[kind.name]


def _default(param: Param) -> str:
    if param.required:
        return "required"
    if param.default is None or param.default == ():
        return ""
    if param.kind.name == "switch":
        return "yes" if param.default else "no"
    return f"`{written(plain(param.default))}`"


def public() -> str:
    """Return the names, parameters and defaults of all that is public, one a line."""
    lines: list[str] = []
    for name in flask_bitmapist.__all__:
        lines.append(_signed(name, getattr(flask_bitmapist, name)))
    for owner in (FlaskBitmapist, Query):
        for name in dir(owner):
            if not name.startswith("_"):
                member = getattr(owner, name)
                lines.append(_signed(f"{owner.__name__}.{name}", member))
    for name in ("marked", "recorded"):
        lines.append(f"testing.{_signed(name, getattr(testing, name))}")
    return "\n".join(lines) + "\n"


def _signed(name: str, thing: Any) -> str:
    module = str(getattr(thing, "__module__", ""))
    if not callable(thing) or not module.startswith("flask_bitmapist"):
        return name  # a value, or another package's own
    if isinstance(thing, type) and issubclass(thing, Enum | Exception):
        members = [each.name for each in thing] if issubclass(thing, Enum) else []
        return f"{name}: {', '.join(members)}" if members else name
    signature = inspect.signature(thing)
    plain = [
        each.replace(annotation=each.empty) for each in signature.parameters.values()
    ]
    return f"{name}{inspect.Signature(plain)}"


if __name__ == "__main__":
    for page in (questions, settings, expressions):
        text = page()
        (FOLDER / f"{page.__name__}.md").write_text(text, encoding="utf-8")
    PUBLIC.write_text(public(), encoding="utf-8")
