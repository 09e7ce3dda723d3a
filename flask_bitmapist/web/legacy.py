"""What version 0.1.2 was asked by, on the way to the question of today.

It asked the cohort by names of its own in URLs, with further conditions beside the
secondary event, and answered a POST with a heatmap alone.  The page of one user was
that of users.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

from flask import Response, redirect, request
from werkzeug.datastructures import MultiDict

from ..analysis.errors import QueryError, Text
from ..analysis.expressions import And, Expression, Flag, chain
from ..questions.cohort import Cohort
from ..questions.declare import AnyQuestion, Declared, Question, param, params_of
from ..questions.who import Users
from . import door
from .form import Texts
from .page import QuestionPage
from .responses import unkept
from .surface import Surface

CONDITIONS = "additional_events"
MOST_CONDITIONS = 20

DEFAULTS: Texts = {
    "time_group": "days",
    "num_rows": "20",
    "num_cols": "10",
    "returned": "first",
    "cells": "users",
}
"""What a POST left out."""

_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")

_CONDITION = re.compile(rf"{CONDITIONS}-([0-9]{{1,3}})-(name|op)", re.ASCII)


class OldNames(Declared):
    """The parameters that are called something else today."""

    with_replacement: bool | None = param(Text("Every return"), default=None)
    unbounded: bool | None = param(Text("On or after"), default=None)
    as_percent: bool | None = param(Text("Percent"), default=None)
    flag: str | None = param(Text("Flag"), default=None)


class Condition(NamedTuple):
    """One more condition beside the secondary event."""

    op: str
    """``and`` or ``or``; an OR binds to its immediate predecessor alone."""
    name: str
    place: int
    """Its number in the URL."""


class CohortPage(QuestionPage):
    """The page of the cohort, which knows what version 0.1.2 was asked by."""

    fragment = "flask_bitmapist/_heatmap.html"

    def accepted(self) -> door.Accepted:
        today = super().accepted()
        return door.Accepted(
            today.names | {each.name for each in params_of(OldNames)},
            {**today.lists, CONDITIONS: frozenset({"name", "op"})},
        )

    def body(self) -> Texts:
        """Return what the body asks.

        As 0.1.2 had it, a POST is answered with a heatmap, or with JSON where
        ``?json=true`` says so; whoever asks for JSON in another way asks as any
        question is asked.
        """
        if door.wants_json() and "json" not in request.args:
            return super().body()
        # A body is JSON, whatever it is said to be, or a form.
        is_form = request.mimetype in _FORMS
        read = door.form_arguments if is_form else door.json_arguments
        given = read(self.accepted())
        of_cell = ("period", "column", "page", "per_page")
        texts = {
            **DEFAULTS,
            **self.asked_in(given),
            **{name: given[name] for name in of_cell if name in given},
        }
        return _cut(texts)

    def asked_in(self, arguments: MultiDict[str, str]) -> Texts:
        texts = super().asked_in(arguments)
        old = OldNames.read(arguments)
        if old.unbounded:
            texts.setdefault("returned", "on-or-after")
        if old.with_replacement is not None:
            texts.setdefault("returned", "each" if old.with_replacement else "first")
        if old.as_percent is not None:
            texts.setdefault("cells", "percent" if old.as_percent else "users")
        if old.flag is not None:
            flag: Expression = Flag(old.flag)
            if "within" in texts:
                flag = And((self._expression(texts["within"], "within"), flag))
            texts["within"] = str(flag)
        texts.update(
            (name, value)
            for name, value in arguments.items()
            if _CONDITION.fullmatch(name)
        )
        if texts.get("cells") == "difference" and not self.is_program:
            # The form keeps what is shown; somebody may have taken the groups out.
            segments = [each for each in texts.get("segments", ()) if each.strip()]
            if len(segments) < 2 and not texts.get("compare"):
                del texts["cells"]
        return texts

    def edited(self) -> Texts | None:
        conditions = [*_conditions(self.texts)]
        if self.arguments.get("add") == CONDITIONS:
            conditions = [each for each in conditions if each.name]
            conditions.append(Condition("and", "", len(conditions)))
        elif self.arguments.get("remove", "").startswith(f"{CONDITIONS}-"):
            gone = self.arguments["remove"].removeprefix(f"{CONDITIONS}-")
            conditions = [each for each in conditions if str(each.place) != gone]
        else:
            return super().edited()
        others = {
            name: text
            for name, text in self.texts.items()
            if not _CONDITION.fullmatch(name)
        }
        for place, each in enumerate(conditions[:MOST_CONDITIONS]):
            others[f"{CONDITIONS}-{place}-op"] = each.op
            others[f"{CONDITIONS}-{place}-name"] = each.name
        return others

    def read(self, texts: Texts) -> Question[Any]:
        conditions = [each for each in _conditions(texts) if each.name]
        base = texts.get("secondary_event") or texts.get("primary_event")
        if len(conditions) > MOST_CONDITIONS:
            raise QueryError(
                Text("At most %(most)s are allowed.", most=MOST_CONDITIONS),
                field=CONDITIONS,
            )
        if base and conditions:
            joined = self._joined(base, conditions)
            texts = {**texts, "secondary_event": str(joined)}
        return super().read(texts)

    def context(self) -> Mapping[str, Any]:
        return {"conditions": [*_conditions(self.texts)][:MOST_CONDITIONS]}

    def _joined(self, base: str, conditions: list[Condition]) -> Expression:
        read: list[Any] = []
        for each in conditions:
            field = f"{CONDITIONS}-{each.place}"
            if each.op not in ("and", "or"):
                raise QueryError(
                    Text("Use one of %(allowed)s.", allowed="and, or"),
                    field=f"{field}-op",
                )
            name = self._expression(each.name, f"{field}-name")
            read.append({"op": each.op, "name": name})
        return chain(self._expression(base, "secondary_event"), read)

    def _expression(self, text: str, field: str) -> Expression:
        try:
            return self.surface.state.query.names.expression(text)
        except QueryError as error:
            raise QueryError(error.message, field=field) from None


def _cut(texts: Texts) -> Texts:
    """Return *texts* with no more columns than rows: all others lie in the future."""
    take = {each.name: each.kind.take for each in params_of(Cohort)}
    rows, columns = texts["num_rows"], texts["num_cols"]
    try:
        is_wider = take["num_cols"](columns) > take["num_rows"](rows)
    except ValueError:
        return texts  # what is wrong with them is told when the question is read
    return {**texts, "num_cols": rows} if is_wider else texts


def _conditions(texts: Texts) -> Iterator[Condition]:
    """Yield the conditions in the arguments of a URL, in the order of their numbers."""
    places = {int(m[1]) for name in texts if (m := _CONDITION.fullmatch(name))}
    for place in sorted(places):
        name = texts.get(f"{CONDITIONS}-{place}-name", "")
        op = str(texts.get(f"{CONDITIONS}-{place}-op", "and")).lower()
        yield Condition(op, name, place)


class UsersPage(QuestionPage):
    """The answer to who did something; who asks about one user is sent on."""

    def serve(self) -> Response:
        """Answer the request, or lead to the page of the user that it asks about."""
        asks_about_one = "user_id" in request.args or not request.args
        if self.is_post or not asks_about_one:
            return super().serve()
        return to_people(self.surface)


def to_people(surface: Surface) -> Response:
    """Return the way from the old page of users to that of people.

    Args:
        surface: Where the page is shown.
    """
    arguments = [
        ("user" if name == "user_id" else name, value)
        for name, value in request.args.items(multi=True)
    ]
    query = f"?{urlencode(arguments)}" if arguments else ""
    return unkept(redirect(f"{surface.url('people')}{query}", 301))


def serve(question: AnyQuestion, surface: Surface) -> Response:
    """Answer the current request for the page of a question.

    Args:
        question: The question's class.
        surface: Where the page is shown.
    """
    return _PAGES.get(question, QuestionPage)(question, surface).serve()


_PAGES: Mapping[AnyQuestion, type[QuestionPage]] = {
    Cohort: CohortPage,
    Users: UsersPage,
}
"""Those that version 0.1.2 asked in a way of its own."""
