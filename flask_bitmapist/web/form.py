"""The form of a question, made from its declaration.

Its fields hold texts, as they stand in a URL: what a text means, and whether it is
allowed, is the declaration's to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from werkzeug.datastructures import MultiDict
from wtforms import (
    BooleanField,
    Field,
    FieldList,
    Form,
    StringField,
)

from ..analysis.errors import QueryError, Text
from ..questions.declare import Declared, Param, ParameterError, Question, params_of
from . import formats

Texts = dict[str, Any]
"""What a form holds, by parameter: a text, of a list a text each, or a truth value."""

PRESETS: Mapping[str, tuple[Text, str, int]] = {
    "30-days": (Text("Last 30 days"), "days", 30),
    "12-weeks": (Text("12 weeks"), "weeks", 12),
    "12-months": (Text("12 months"), "months", 12),
}
"""Common spans of time: what they are called, the time group, how many of them."""


WHOSE = ("segments", "exclude", "compare")
"""The parameters that every page has in its line of users."""


class QuestionForm:
    """The form of a question, filled in with texts.

    Args:
        question: The question's class.
        texts: What is filled in.
    """

    def __init__(self, question: type[Question[Any]], texts: Texts) -> None:
        shown = dict(texts)
        for each in params_of(question):
            if each.kind.name == "switch" and each.name in shown:
                shown[each.name] = str(shown[each.name]).lower() in _ON
        kept: Any = question  # checkers do not see that a class can be hashed
        self.fields = form_of(kept)(data=shown)
        self.about: list[Field] = []
        """The fields that come first: what the question is about."""
        self.options: list[Field] = []
        """The other fields, switches aside."""
        self.switches: list[Field] = []
        """The fields that are ticked or not."""
        for field in self.fields:
            asked: Param = field.render_kw["param"]
            if asked.name in WHOSE:
                continue
            if asked.kind.name == "switch":
                self.switches.append(field)
            else:
                (self.about if asked.positional else self.options).append(field)

    def label_of(self, name: str) -> str:
        """Return what a parameter is called on the page, empty if unknown."""
        if name not in self.fields:
            return ""
        return formats.translated(self.fields[name].render_kw["param"].label)


def messages_of(error: QueryError) -> dict[str, list[str]]:
    """Return what is wrong, by the name of the parameter; ``form`` for all of it."""
    wrong: Mapping[str, str] = {error.field or "form": error.message}
    if isinstance(error, ParameterError):
        wrong = error.wrong
    return {name: [formats.translated(text)] for name, text in wrong.items()}


@cache
def form_of(question: Any) -> type[Form]:
    """Return the form of a question, its fields in the order of the parameters.

    Args:
        question: The question's class.
    """
    fields: dict[str, Any] = {
        each.name: _field(each) for each in params_of(question) if each.in_form
    }
    return type(f"{question.__name__}Form", (Form,), fields)


def _field(param: Param) -> Any:
    kind = param.kind
    options: dict[str, Any] = {
        "label": str(param.label),
        "render_kw": {"param": param},
        "default": _default(param),
    }
    # What can be chosen is the declaration's to say; the template asks it.
    if kind.many:
        shown = 0 if kind.choices else max(kind.least or 0, 1)
        return FieldList(StringField(), min_entries=shown, **options)
    if kind.name == "switch":
        return BooleanField(**options)
    return StringField(**options)


def _default(param: Param) -> Any:
    if param.required or param.default is None:
        return [] if param.kind.many else ""
    if isinstance(param.default, tuple):
        return list(map(str, param.default))
    return param.default if param.kind.name == "switch" else str(param.default)


_ON = frozenset({"y", "yes", "true", "on", "1"})


def texts_in(declared: type[Declared], arguments: MultiDict[str, str]) -> Texts:
    """Return what the arguments of a URL say of the parameters, blanks left out.

    A list is read as ``events=a&events=b`` and as ``events-0=a&events-1=b``.
    """
    found: Texts = {}
    for each in params_of(declared):
        if each.kind.many:
            value: Any = [
                *arguments.getlist(each.name),
                *_entries(each.name, arguments),
            ]
        else:
            value = arguments.get(each.name, "")
        if value:
            found[each.name] = value
    return found


def _entries(name: str, arguments: MultiDict[str, str]) -> Iterator[str]:
    pattern = re.compile(rf"{re.escape(name)}-([0-9]{{1,3}})")
    numbered = [
        (int(match[1]), text)
        for key, text in arguments.items()
        if (match := pattern.fullmatch(key)) and match[1].isascii()
    ]
    for _, text in sorted(numbered):
        yield text


def edited(
    question: type[Question[Any]], texts: Texts, arguments: MultiDict[str, str]
) -> Texts | None:
    """Return the texts after a button that adds an entry or removes one.

    Returns:
        None if no such button was pressed.
    """
    for each in params_of(question):
        if not each.kind.many or each.kind.choices:
            continue
        entries = list(texts.get(each.name, []))
        if arguments.get("add") == each.name:
            entries += [""] * max(1, (each.kind.least or 0) + 1 - len(entries))
            return {**texts, each.name: entries[: each.kind.most]}
        name, _, number = arguments.get("remove", "").rpartition("-")
        if name == each.name and number.isascii() and number.isdigit():
            place = int(number[:4])
            left = [text for at, text in enumerate(entries) if at != place]
            return {**texts, each.name: left}
    return None


def preset(question: type[Question[Any]], texts: Texts, name: str) -> Texts:
    """Return the texts with the span of a preset; what does not go with it is dropped.

    Args:
        question: The question's class.
        texts: What was filled in.
        name: The preset's name; an unknown one changes nothing.
    """
    if name not in PRESETS or not question.spans:
        return texts
    _, group, count = PRESETS[name]
    changed = {
        **texts,
        "time_group": group,
        **dict.fromkeys(question.spans, str(count)),
    }
    try:
        question.read(changed)
    except ParameterError as error:
        required = {each.name for each in params_of(question) if each.required}
        for wrong in error.wrong:
            if wrong not in required:
                changed.pop(wrong, None)
    return changed
