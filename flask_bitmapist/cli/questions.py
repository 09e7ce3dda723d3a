"""The commands that ask: one for each kind of question."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import click

from ..analysis.periods import Period, TimeGroup
from ..analysis.results import to_csv, to_text
from ..extension import BitmapistState
from ..query import moment, questions
from ..questions.cohort import CohortAnswer
from ..questions.declare import Answer, Kind, Param, Question, params_of
from ..store.userset import UserSet
from .common import (
    as_of_option,
    asks,
    count_option,
    current_note,
    format_options,
    id_of_user,
    keys_of,
    keys_of_users,
    show,
    show_json,
    time_group_option,
)
from .heatmap import show_heatmap

YES_NO = {True: "yes", False: "no"}
NOW = {
    TimeGroup.HOURS: "this hour",
    TimeGroup.DAYS: "today",
    TimeGroup.WEEKS: "this week",
    TimeGroup.MONTHS: "this month",
    TimeGroup.YEARS: "this year",
}


@click.command("has")
@click.argument("user")
@click.argument("event")
@time_group_option(None)
@as_of_option
@format_options
@asks
def has_command(
    state: BitmapistState,
    user: str,
    event: str,
    time_group: str | None,
    as_of: Any,
    output: str | None,
) -> None:
    """Tell whether USER did EVENT, today, this week, this month, this year.

    With --time-group it tells of that period alone, and the exit status is 0 for yes
    and 1 for no.
    """
    who = state.query.read(event)
    groups = [*NOW][1:] if time_group is None else [TimeGroup.parse(time_group)]
    at = moment(as_of)
    user_id = id_of_user(state, user)
    answers = {group: state.query.has(user_id, who, group, at) for group in groups}
    _show_by_group(answers, at, output, as_text=lambda answer: YES_NO[answer])
    if time_group is not None and not any(answers.values()):
        click.get_current_context().exit(1)


@click.command("count")
@click.argument("event")
@time_group_option(None)
@as_of_option
@format_options
@asks
def count_command(
    state: BitmapistState,
    event: str,
    time_group: str | None,
    as_of: Any,
    output: str | None,
) -> None:
    """Tell how many unique users did EVENT: this hour, today, this week, …"""
    who = state.query.read(event)
    groups = [*NOW] if time_group is None else [TimeGroup.parse(time_group)]
    at = moment(as_of)
    counts = {group: state.query.count(who, group, at) for group in groups}
    _show_by_group(counts, at, output, as_text=lambda count: f"{count:,}")


def _show_by_group(
    answers: dict[TimeGroup, Any], at: Any, output: str | None, as_text: Any
) -> None:
    labels = {group: Period.containing(group, at).label for group in answers}
    if output == "json":
        show_json({group.singular: answer for group, answer in answers.items()})
    elif output == "csv":
        rows = [[each.singular, labels[each], answers[each]] for each in answers]
        click.echo(to_csv([["group", "period", "answer"], *rows]), nl=False)
    elif len(answers) == 1:
        click.echo(as_text(*answers.values()))
    else:
        for group, answer in answers.items():
            name = f"{NOW[group]} ({labels[group]})"
            click.echo(f"{name:26} {as_text(answer)}")


@click.command("users")
@click.argument("event")
@time_group_option("days")
@click.option("--page", type=click.IntRange(min=1), help="Only this page of the ids.")
@click.option(
    "--per-page",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Ids on a page.",
)
@as_of_option
@format_options
@asks
def users_command(
    state: BitmapistState,
    event: str,
    time_group: str,
    page: int | None,
    per_page: int,
    as_of: Any,
    output: str | None,
) -> None:
    """List the ids of the users who did EVENT, in order, one a line.

    Without --page all of them are listed, however many there are.
    """
    users = state.query.users(state.query.read(event), time_group, as_of)
    if page is not None or output == "json":
        size = per_page if page is not None else max(1, len(users))
        result = users.page(page or 1, size)
        named: Any = tuple(keys_of(state, result.ids))
        result = replace(result, ids=named)
        show(result, output) if output else _show_page(result)
        return
    if output == "csv":
        click.echo(to_csv([["user_id"]]), nl=False)
    for key in keys_of_users(state, users):
        click.echo(to_csv([[key]]) if output == "csv" else key, nl=output != "csv")


def _show_page(result: Any) -> None:
    for user_id in result.ids:
        click.echo(user_id)
    click.echo(
        f"page {result.page} of {result.pages}, {result.total:,} users", err=True
    )


@click.command("stickiness")
@click.argument("event")
@count_option("days", "-n", 30, "The last so many days.")
@click.option(
    "--window",
    type=click.Choice(["month", "rolling"]),
    default="month",
    show_default=True,
    help="Divide a day's users by its calendar month's, or by the last 30 days'.",
)
@as_of_option
@format_options
@asks
def stickiness_command(
    state: BitmapistState,
    event: str,
    days: int,
    window: str,
    as_of: Any,
    output: str | None,
) -> None:
    """Show how many of the month's users come on a day, and on how many days."""
    result = state.query.stickiness(
        state.query.read(event), num_days=days, window=window, as_of=as_of
    )
    show(result, output)
    if output is None:
        average = "–" if result.average is None else f"{result.average:.1%}"
        click.echo(f"average of the complete days: {average}\n")
        click.echo(to_text(result.distribution()))
    _note_current(result.days[-1], output)


@click.command("lifecycle")
@click.argument("event")
@time_group_option("weeks")
@count_option("periods", "-n", 12, "The last so many periods.")
@as_of_option
@format_options
@asks
def lifecycle_command(
    state: BitmapistState,
    event: str,
    time_group: str,
    periods: int,
    as_of: Any,
    output: str | None,
) -> None:
    """Show who is new, returning, resurrecting or dormant in each period."""
    result = state.query.lifecycle(
        state.query.read(event),
        time_group=time_group,
        num_periods=periods,
        as_of=as_of,
    )
    show(result, output)
    _note_current(result.periods[-1], output)


@click.command("funnel")
@click.argument("steps", nargs=-1, required=True)
@time_group_option("days")
@count_option("periods", "-n", 30, "The last so many periods.")
@click.option(
    "--window",
    "-w",
    type=int,
    default=7,
    show_default=True,
    help="Periods for all steps.",
)
@as_of_option
@format_options
@asks
def funnel_command(
    state: BitmapistState,
    steps: tuple[str, ...],
    time_group: str,
    periods: int,
    window: int,
    as_of: Any,
    output: str | None,
) -> None:
    """Show how many of those who take the first of STEPS take the next ones."""
    result = state.query.funnel(
        map(state.query.read, steps),
        time_group=time_group,
        num_periods=periods,
        window=window,
        as_of=as_of,
    )
    show(result, output)
    _note_current(result.periods[-1], output)


@click.command("user")
@click.argument("user")
@count_option("days", "-n", 30, "The last so many days.")
@as_of_option
@format_options
@asks
def user_command(
    state: BitmapistState, user: str, days: int, as_of: Any, output: str | None
) -> None:
    """Show what USER did, and on which days."""
    result = state.query.membership(
        id_of_user(state, user),
        num_days=days,
        flags=state.catalogue.flags(),
        as_of=as_of,
    )
    if output is not None:
        show(result, output)
        return
    for group in [*NOW][1:]:
        click.echo(f"{NOW[group]:12} {YES_NO[result.is_active(group)]}")
    if result.flags:
        click.echo(f"flags        {', '.join(result.flags)}")
    click.echo()
    click.echo(str(result) if result.active_days else f"nothing in {days} days")


ON_TERMINAL: dict[type[Answer], Callable[[Any], None]] = {CohortAnswer: show_heatmap}
"""How an answer is printed where a plain table would not do."""


def command_of(question: type[Question[Any]]) -> click.Command:
    """Return the command that asks a question: its parameters, and how to print."""
    params: list[click.Parameter] = [*map(_parameter, params_of(question))]
    if question.cell is not None:
        params.append(
            click.Option(
                ["--users"],
                is_flag=True,
                help="List the users behind the number that these name:",
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
            click.echo(warning, err=True)
        if wants_users and question.cell is not None:
            _show_users(state, answer.behind(question.cell.read(given)), output)
            return
        if output is None and type(answer) in ON_TERMINAL:
            ON_TERMINAL[type(answer)](answer)
        else:
            show(answer, output)
        if output is None:
            for note in (*answer.notes(), answer.question.sentence()):
                click.echo(note, err=True)

    about = (question.__doc__ or "").strip()
    return click.Command(question.name, callback=run, help=about, params=params)


def _parameter(each: Param) -> click.Parameter:
    if each.positional:
        nargs = -1 if each.kind.many else 1
        return click.Argument([each.name], nargs=nargs, required=each.required)
    return _option(each)


def _option(each: Param) -> click.Option:
    names = [f"--{each.name.replace('_', '-')}", each.name]
    if each.short:
        names.insert(0, f"-{each.short}")
    if each.kind.name == "switch":
        return click.Option(names, is_flag=True, help=_help(each))
    default = None if each.required or each.default in (None, ()) else each.default
    # What is allowed is said by the declaration, for all surfaces in the same words.
    return click.Option(
        names,
        multiple=each.kind.many,
        metavar=_metavar(each.kind),
        help=_help(each) + (f"  [default: {default}]" if default is not None else ""),
    )


def _metavar(kind: Kind) -> str:
    if kind.name == "choice":
        return "|".join(map(str, kind.choices))
    return {"day": "DAY", "number": "N", "event": "EVENT"}.get(kind.name, "TEXT")


def _help(each: Param) -> str:
    return str(each.help or f"{each.label}.")


def _show_users(state: BitmapistState, users: UserSet, output: str | None) -> None:
    keys = keys_of_users(state, users)
    if output == "json":
        show_json({"users": users.selection.text, "ids": list(keys)})
        return
    if output == "csv":
        click.echo(to_csv([["user_id"]]), nl=False)
    for key in keys:
        click.echo(to_csv([[key]]) if output == "csv" else key, nl=output != "csv")
    if output is None:
        click.echo(users.selection.text, err=True)


def _note_current(period: Period, output: str | None) -> None:
    if output is None:
        click.echo(current_note(period.label), err=True)


QUESTIONS = (
    *map(command_of, questions()),
    has_command,
    count_command,
    users_command,
    stickiness_command,
    lifecycle_command,
    funnel_command,
    user_command,
)
