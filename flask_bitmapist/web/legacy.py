"""What version 0.1.2 was asked by, on the way to the question of today.

It had one question, the cohort: names of its own in URLs, further conditions beside
the secondary event, and a POST that is answered with a heatmap alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

from flask import request
from werkzeug.datastructures import MultiDict

from ..analysis.errors import QueryError, Text
from ..analysis.expressions import And, Expression, Flag, chain
from ..questions.cohort import Cohort
from ..questions.declare import Declared, Question, param, params_of
from . import door
from .form import Texts
from .heat import heatmap
from .page import QuestionPage
from .surface import Surface, wants_json

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

    @cached_property
    def accepted(self) -> door.Declared:
        names = {each.name for each in params_of(OldNames)}
        return door.Declared(
            super().accepted.names | names,
            {**super().accepted.lists, CONDITIONS: frozenset({"name", "op"})},
        )

    def body(self, surface: Surface) -> Texts:
        """Return what the body asks.

        As 0.1.2 had it, a POST is answered with a heatmap, or with JSON where
        ``?json=true`` says so; whoever asks for JSON in another way asks as any
        question is asked.
        """
        if wants_json() and "json" not in request.args:
            return super().body(surface)
        given = self._posted()
        asked = self.texts(given, surface)
        of_cell = ("period", "column", "page", "per_page")
        texts = {
            **DEFAULTS,
            **asked,
            **{name: given[name] for name in of_cell if name in given},
        }
        return _cut(texts)

    def texts(self, arguments: MultiDict[str, str], surface: Surface) -> Texts:
        texts = super().texts(arguments, surface)
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
                flag = And((_read(texts["within"], "within", surface), flag))
            texts["within"] = str(flag)
        texts.update(
            (name, value)
            for name, value in arguments.items()
            if _CONDITION.fullmatch(name)
        )
        return texts

    def edited(self, texts: Texts, arguments: MultiDict[str, str]) -> Texts | None:
        conditions = [*_conditions(texts)]
        if arguments.get("add") == CONDITIONS:
            conditions = [each for each in conditions if each.name]
            conditions.append(Condition("and", "", len(conditions)))
        elif arguments.get("remove", "").startswith(f"{CONDITIONS}-"):
            gone = arguments["remove"].removeprefix(f"{CONDITIONS}-")
            conditions = [each for each in conditions if str(each.place) != gone]
        else:
            return super().edited(texts, arguments)
        others = {
            name: text for name, text in texts.items() if not _CONDITION.fullmatch(name)
        }
        for place, each in enumerate(conditions[:MOST_CONDITIONS]):
            others[f"{CONDITIONS}-{place}-op"] = each.op
            others[f"{CONDITIONS}-{place}-name"] = each.name
        return others

    def read(self, texts: Texts, surface: Surface) -> Question[Any]:
        conditions = [each for each in _conditions(texts) if each.name]
        base = texts.get("secondary_event") or texts.get("primary_event")
        if len(conditions) > MOST_CONDITIONS:
            raise QueryError(
                Text("At most %(most)s are allowed.", most=MOST_CONDITIONS),
                field=CONDITIONS,
            )
        if base and conditions:
            joined = _joined(base, conditions, surface)
            texts = {**texts, "secondary_event": str(joined)}
        return super().read(texts, surface)

    def _posted(self) -> MultiDict[str, str]:
        """Return what a body asks: JSON, whatever it is said to be, or a form."""
        if request.mimetype in _FORMS:
            return door.form_arguments(self.accepted) or MultiDict()
        return door.json_arguments(self.accepted) or MultiDict()

    def context(self, texts: Texts) -> dict[str, Any]:
        shown = [*_conditions(texts)][:MOST_CONDITIONS]
        return {"heatmap": heatmap, "conditions": shown}


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


def _joined(base: str, conditions: list[Condition], surface: Surface) -> Expression:
    read: list[Any] = []
    for each in conditions:
        field = f"{CONDITIONS}-{each.place}"
        if each.op not in ("and", "or"):
            raise QueryError(
                Text("Use one of %(allowed)s.", allowed="and, or"), field=f"{field}-op"
            )
        read.append({"op": each.op, "name": _read(each.name, f"{field}-name", surface)})
    return chain(_read(base, "secondary_event", surface), read)


def _read(text: str, field: str, surface: Surface) -> Expression:
    try:
        return surface.state.query.names.expression(text)
    except QueryError as error:
        raise QueryError(error.message, field=field) from None
