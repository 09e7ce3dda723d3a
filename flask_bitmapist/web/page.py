"""How a question's page answers: as HTML, JSON or CSV, on both surfaces."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from flask import redirect, request
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import MultiDict

from ..analysis.errors import QueryError, Text
from ..questions.declare import Answer, Cell, Declared, Question, param, params_of
from ..store.userset import UserSet
from . import formats
from .export import csv_response, json_response, users_csv
from .form import PRESETS, QuestionForm, Texts, edited, preset, texts_in
from .surface import Surface, state, wants_json

MOST_SUGGESTIONS = 2000
"""Most event names that a form offers; others can still be typed."""

MOST_EXAMPLES = 4
"""Most events that a page without a question offers to ask about."""


class ListPage(Declared):
    """Which part of a list of users is shown."""

    page: int = param(Text("Page"), default=1, most=2**32)
    per_page: int = param(Text("Users on a page"), default=100, most=10_000)


class QuestionPage:
    """The page of one question.

    Args:
        question: The question's class.
    """

    fragment: str | None = None

    def __init__(self, question: type[Question[Any]]) -> None:
        self.question = question
        self.name = question.endpoint
        self.icon = question.icon
        self.path = f"/{question.endpoint}"
        self.is_private = question.is_private
        self.has_html = question.in_menu

    @property
    def title(self) -> str:
        """What the page is called, in the language of the request."""
        return formats.translated(self.question.title)

    def respond(self, surface: Surface) -> ResponseReturnValue:
        """Answer the current request."""
        return _Request(self, surface).respond()


class Links:
    """URLs that ask a page's question again, a little changed.

    Args:
        surface: Where the page is shown.
        name: The page's name.
        texts: The question.
    """

    def __init__(self, surface: Surface, name: str, texts: Texts) -> None:
        self._surface = surface
        self._name = name
        self._texts = texts

    def __call__(self, **changes: Any) -> str:
        """Return the URL of this question with some arguments changed.

        Args:
            changes: New values; None takes an argument out.
        """
        merged = {**self._texts, **changes}
        kept = {name: value for name, value in merged.items() if value is not None}
        return self._surface.url(self._name, **kept) or ""

    @property
    def bare(self) -> str:
        """The page's URL without any question."""
        return self._surface.url(self._name) or ""

    def users(self, **cell: Any) -> str:
        """Return the URL of the users behind the number that *cell* names."""
        url = self()
        given = {name: value for name, value in cell.items() if value is not None}
        return f"{url}{'&' if '?' in url else '?'}{urlencode(given)}"


class _Request:
    """One request being answered."""

    def __init__(self, page: QuestionPage, surface: Surface) -> None:
        self.page = page
        self.question = page.question
        self.surface = surface
        self.arguments: MultiDict[str, str] = MultiDict()
        self.texts: Texts = {}

    def respond(self) -> ResponseReturnValue:
        self.arguments = request.args
        self.texts = texts_in(self.question, self.arguments)
        if "preset" in self.arguments:
            changed = preset(self.question, self.texts, self.arguments["preset"])
            return redirect(self._links(changed)() or request.path)
        changes = edited(self.question, self.texts, self.arguments)
        if changes is not None:
            # Somebody is still at it: no reproach for what is not filled in yet.
            return self._html(QuestionForm(self.question, changes), changes)
        form = QuestionForm(self.question, self.texts)
        if not self.texts and self._asks_something() and not self._wants_json():
            return self._html(form, self.texts)
        try:
            question = self.question.read(self.texts)
            query = state().query.within(state().settings.max_query_bytes)
            answer = query(question)
            cell = self._cell()
            if cell is not None:
                from .pages import private

                return private(self._users(answer, answer.behind(cell)))
            return self._answered(form, answer)
        except QueryError as error:
            form.tell(error)
            return self._refused(form, form.messages)

    def _asks_something(self) -> bool:
        return any(each.required for each in params_of(self.question))

    def _cell(self) -> Cell | None:
        """Return which number's users are asked for, if any."""
        if self.question.cell is None:
            return None
        texts = texts_in(self.question.cell, self.arguments)
        return self.question.cell.read(texts) if texts else None

    def _wants_json(self) -> bool:
        return wants_json() or not self.page.has_html

    def _answered(self, form: QuestionForm, answer: Answer) -> ResponseReturnValue:
        wanted = self._wanted()
        if wanted == "csv" and answer.listing is not None:
            return users_csv(answer.listing, _file_name(answer.question))
        if wanted == "csv":
            return csv_response(answer.table(), _file_name(answer.question))
        if wanted == "json":
            return json_response(answer.to_dict())
        return self._html(form, answer.question.arguments(), answer)

    def _wanted(self) -> str:
        if wants_json():
            return "json"
        allowed = ("html", "json", "csv") if self.page.has_html else ("json", "csv")
        wanted = self.arguments.get("format") or allowed[0]
        if wanted not in allowed:
            raise QueryError(
                Text("Use one of %(allowed)s.", allowed=", ".join(allowed)),
                field="format",
            )
        return wanted

    def _refused(
        self, form: QuestionForm, messages: Mapping[str, list[str]]
    ) -> ResponseReturnValue:
        if self._wants_json():
            return json_response({"errors": dict(messages)}, 400)
        return self._html(form, self.texts, messages=messages), 400

    def _users(self, answer: Answer, users: UserSet) -> ResponseReturnValue:
        wanted = self._wanted()
        if wanted == "csv":
            return users_csv(users, f"{self.page.name}-users")
        part = ListPage.read(texts_in(ListPage, self.arguments))
        shown = users.page(part.page, part.per_page)
        if wanted == "json":
            return json_response(shown.to_dict())
        surface = self.surface
        rows = [(each, *surface.describe(each)) for each in shown.ids]
        # The list's own links keep the number; the way back leaves it out.
        cell = {
            name: value
            for name, value in self.arguments.items()
            if name not in ("page", "per_page", "format")
        }
        return surface.render(
            "bitmapist/userlist.html",
            **self._context(),
            users=shown,
            shown=rows,
            has_names=any(name for _, name, _ in rows),
            has_links=any(url for _, _, url in rows),
            own_url=lambda user: surface.url("people", user=user),
            link=Links(surface, self.page.name, cell),
            back=self._links(answer.question.arguments())(),
        )

    def _html(
        self,
        form: QuestionForm,
        texts: Texts,
        answer: Answer | None = None,
        messages: Mapping[str, list[str]] | None = None,
    ) -> str:
        kept = state()
        names = [*kept.named, *kept.catalogue.names()]
        return self.surface.render(
            self.question.template,
            **self._context(),
            form=form,
            answer=answer,
            sentence=None if answer is None else _sentence(answer.question),
            messages=messages or {},
            warnings=[]
            if answer is None
            else [*map(formats.translated, answer.warnings)],
            notes=[] if answer is None else [*map(formats.translated, answer.notes())],
            about=self.question.__doc__,
            examples=self._examples(names[:MOST_EXAMPLES]),
            event_names=names[:MOST_SUGGESTIONS],
            link=self._links(texts),
            presets=PRESETS if self.question.spans else {},
        )

    def _examples(self, names: Sequence[str]) -> list[tuple[str, str]]:
        """Return events to ask about, and the URL that asks about each."""
        required = [each for each in params_of(self.question) if each.required]
        if any(
            each.kind.name != "event" or (each.kind.least or 1) > 1 for each in required
        ):
            return []
        link = self._links({})
        return [
            (name, link(**{each.name: name for each in required})) for name in names
        ]

    def _context(self) -> dict[str, Any]:
        from .pages import context_of

        return context_of(self.page, self.surface)

    def _links(self, texts: Texts) -> Links:
        return Links(self.surface, self.page.name, texts)


def _sentence(question: Question[Any]) -> str:
    return formats.translated(question.sentence())


def _file_name(question: Question[Any]) -> str:
    said = re.sub(r"\W+", "-", str(question.sentence()).lower())
    return said.strip("-")[:80]
