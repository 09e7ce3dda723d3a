#!/usr/bin/env python
"""Write docs/reference/questions.md from the declarations of the questions.

python -m scripts.reference
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from inspect import cleandoc
from pathlib import Path

import click

from flask_bitmapist.cli.questions import command_of
from flask_bitmapist.query import QUESTIONS
from flask_bitmapist.questions import Question, params_of
from flask_bitmapist.questions.declare import AnyQuestion, Kind, Param, plain, written

FILE = Path(__file__).parents[1] / "docs" / "reference" / "questions.md"

INTRODUCTION = """\
# Questions

What can be asked, and with which parameters. Names, defaults and bounds are the same
in Python, on the command line (with dashes instead of underscores), in URLs, in JSON
bodies and for MCP. Lists are written `events=a&events=b` in a URL.
[Definitions](../definitions.md) says what the numbers mean, [JSON](../json.md) what
answers look like, and [Ask a question of your own](../howto/own-question.md) how to add
one.

Every question also takes these:
"""

VALUES = {
    "event": "an event, a defined name or an expression",
    "switch": "yes or no",
    "day": "a day or a moment",
    "user": "a user's id or key",
    "text": "text",
}


def reference() -> str:
    """Return the page."""
    shared = params_of(Question)
    parts = [INTRODUCTION, *_table(shared)]
    names = {each.name for each in shared}
    for question in QUESTIONS:
        own = [each for each in params_of(question) if each.name not in names]
        parts += [f"\n## {question.name}\n", _about(question), "", *_ways(question), ""]
        parts += _table(own)
        if question.cell is not None:
            parts.append("\nThe users behind a number are named by:\n")
            parts += _table(params_of(question.cell))
    return "\n".join(parts) + "\n"


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


if __name__ == "__main__":
    FILE.write_text(reference(), encoding="utf-8")
