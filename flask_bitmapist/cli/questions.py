"""The commands that ask: one for each question, made from its declaration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from ..analysis.results import Result, to_csv
from ..query import QUESTIONS as DECLARED
from ..questions.cohort import CohortAnswer, CohortDifference
from ..questions.declare import Answer, AnyQuestion, Kind, Param, params_of
from ..questions.person import Person
from ..state import BitmapistState
from ..store.userset import UserSet
from .common import asks, show, show_json, tell
from .heatmap import show_heatmap

ON_TERMINAL: dict[type[Result], Callable[[Any], None]] = {
    CohortAnswer: show_heatmap,
    CohortDifference: show_heatmap,
}
"""How an answer is printed where a plain table would not do."""


def command_of(question: AnyQuestion, called: str | None = None) -> click.Command:
    """Return the command that asks a question: its parameters, and how to print.

    Args:
        question: The question's class.
        called: What the command is called, if not as the question.
    """
    params: list[click.Parameter] = [*map(_parameter, params_of(question))]
    if question.cell is not None:
        params.append(
            click.Option(
                ["--users"],
                is_flag=True,
                help="List the users behind one number, chosen with the "
                "following options.",
            )
        )
        params += [_option(each) for each in params_of(question.cell)]
    for name, about in (("json", "JSON"), ("csv", "CSV")):
        params.append(
            click.Option(
                [f"--{name}", "output"], flag_value=name, help=f"Print {about}."
            )
        )

    @asks
    def run(state: BitmapistState, output: str | None = None, **given: Any) -> None:
        wants_users = given.pop("users", False)
        answer = state.query(question.read(given))
        for warning in answer.warnings:
            tell(warning, err=True)
        if wants_users and question.cell is not None:
            _show_users(answer.behind(question.cell.read(given)), output)
            return
        if output is None:
            _show_parts(answer)
        elif output == "csv" and answer.listing is not None:
            for line in answer.listed():
                click.echo(to_csv([line]), nl=False)
        else:
            show(answer, output)
        if answer.exit_status:
            click.get_current_context().exit(answer.exit_status)

    about = (question.__doc__ or "").strip()
    return click.Command(
        called or question.name, callback=run, help=about, params=params
    )


def _show_parts(answer: Answer) -> None:
    """Print an answer; one for several segments, or compared, part by part."""
    for heading, each in answer.views():
        if heading:
            tell(heading)
        if isinstance(each, Answer) and each.listing is not None:
            _list_users(each.listing, None)
        else:
            ON_TERMINAL.get(type(each), _show_text)(each)
        if heading:
            tell("")
    for note in (*answer.told(), answer.sentence()):
        tell(note, err=True)


def _show_text(answer: Result) -> None:
    show(answer, None)


def _parameter(each: Param) -> click.Parameter:
    if each.positional:
        nargs = -1 if each.kind.many else 1
        return click.Argument([each.name], nargs=nargs, required=each.required)
    return _option(each)


def _option(each: Param) -> click.Option:
    names = [f"--{each.option}", each.name]
    if each.short:
        names.insert(0, f"-{each.short}")
    if each.kind.name == "switch":
        return click.Option(names, is_flag=True, help=str(each.about))
    default = None if each.required or each.default in (None, ()) else each.default
    # What is allowed is said by the declaration, for all surfaces in the same words.
    return click.Option(
        names,
        multiple=each.kind.many,
        metavar=_metavar(each.kind),
        help=str(each.about)
        + (f"  [default: {default}]" if default is not None else ""),
    )


def _metavar(kind: Kind) -> str:
    if kind.name == "choice":
        return "|".join(map(str, kind.choices))
    if kind.name == "number" and not kind.many:
        return "|".join(["N", *kind.choices])
    return {"day": "DAY", "number": "N", "event": "EVENT"}.get(kind.name, "TEXT")


def _show_users(users: UserSet, output: str | None) -> None:
    if output == "json":
        (_, *marks), *lines = users.listed()
        ids, *held = map(list, zip(*lines)) if lines else ([] for _ in (0, *marks))
        told = {"users": users.selection.text, "ids": ids}
        show_json({**told, "marks": dict(zip(marks, held))} if marks else told)
        return
    _list_users(users, output)
    if output is None:
        tell(users.selection.text, err=True)


def _list_users(users: UserSet, output: str | None) -> None:
    if output == "csv":
        for line in users.listed():
            click.echo(to_csv([line]), nl=False)
        return
    lines = users.listed()
    _, *marks = next(lines)
    for user, *held in lines:
        said = [f"({mark})" for mark, is_so in zip(marks, held) if is_so]
        tell(" ".join([str(user), *said]))


QUESTIONS = (
    *map(command_of, DECLARED),
    command_of(Person, "user"),
)
