"""How a question's page answers: as HTML, JSON or CSV, on both surfaces."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from inspect import cleandoc
from typing import Any
from urllib.parse import urlencode

from flask import redirect, request
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import MultiDict

from ..analysis.errors import QueryError, Text
from ..query import as_of
from ..questions.declare import (
    Answer,
    Cell,
    Declared,
    Question,
    check_names,
    param,
    params_of,
)
from ..questions.events import ranked
from ..store.userset import UserSet
from . import door, formats
from .export import csv_response, json_response, users_csv
from .form import PRESETS, QuestionForm, Texts, edited, preset, texts_in
from .shell import answered, context_of, errors_response
from .surface import Surface, wants_json
from .texts import gettext

MOST_SUGGESTIONS = 2000
"""Most event names that a form offers; others can still be typed."""

MOST_EXAMPLES = 4
"""Most events that a page without a question offers to ask about."""

MOST_RANKED = 200
"""Most events among which such a page looks for the busiest ones."""


class ListPage(Declared):
    """Which part of a list of users is shown."""

    page: int = param(Text("Page"), default=1, most=2**32)
    per_page: int = param(Text("Users per page"), default=100, most=10_000)


_OF_THE_PAGE = frozenset({"format", "json", "preset", "add", "remove"})
"""What every page takes beside the question's parameters."""


class QuestionPage:
    """The page of one question.

    Args:
        question: The question's class.
    """

    fragment: str | None = None
    """The part of the page that answers a POST; JSON does where there is none."""

    def __init__(self, question: type[Question[Any]]) -> None:
        self.question = question
        self.name = question.endpoint
        self.icon = question.icon
        self.path = "/" if self.name == "index" else f"/{self.name}"
        self.is_private = question.is_private
        self.has_html = question.in_menu

    @cached_property
    def accepted(self) -> door.Declared:
        """What the page takes; everything else in a URL is passed over."""
        behind = () if self.question.cell is None else params_of(self.question.cell)
        params = (*params_of(self.question), *behind, *params_of(ListPage))
        return door.Declared(
            frozenset({each.name for each in params} | _OF_THE_PAGE),
            {each.name: frozenset({""}) for each in params if each.kind.many},
        )

    @property
    def title(self) -> str:
        """What the page is called, in the language of the request."""
        return formats.translated(self.question.title)

    def serve(self, surface: Surface) -> ResponseReturnValue:
        """Answer the current request.

        Args:
            surface: Where the page is shown.
        """
        asked = _Request(self, surface)
        response = answered(self, surface, asked.respond, not self.has_html)
        return door.unkept(response) if self.is_private else response

    def body(self, surface: Surface) -> Texts:
        """Return what the body of a POST asks: JSON, by the names of the parameters.

        Raises:
            TurnedAwayError: It is something else.
            ParameterError: It has a name that is not known.
        """
        given = door.json_object()
        # A character may take six bytes of a body, and counts as what it is.
        door.check_size([json.dumps(given, ensure_ascii=False)])
        cell = self.question.cell
        check_names(given, [self.question, *filter(None, [cell]), ListPage])
        return given

    def texts(self, arguments: MultiDict[str, str], surface: Surface) -> Texts:
        """Return what the arguments of a URL ask, see :func:`texts_in`."""
        return texts_in(self.question, arguments)

    def edited(self, texts: Texts, arguments: MultiDict[str, str]) -> Texts | None:
        """Return the texts after a button of the form, see :func:`edited`."""
        return edited(self.question, texts, arguments)

    def read(self, texts: Texts, surface: Surface) -> Question[Any]:
        """Return the question that the texts ask.

        Raises:
            QueryError: They ask none.
        """
        return self.question.read(texts)

    def context(self, texts: Texts) -> Mapping[str, Any]:
        """Return what the template needs beside what all questions have."""
        return {}


_OF_A_LIST = frozenset(each.name for each in params_of(ListPage))
"""What says which part of a list is shown: of the users, where they are asked for."""


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

    def without(self, *names: str) -> Links:
        """Return the links of the same question without some arguments."""
        kept = {name: text for name, text in self._texts.items() if name not in names}
        return Links(self._surface, self._name, kept)

    @cached_property
    def _own(self) -> str:
        return self.without(*_OF_A_LIST)()

    def users(self, **cell: Any) -> str:
        """Return the URL of the users behind the number that *cell* names."""
        url = self._own
        given = {name: value for name, value in cell.items() if value is not None}
        return f"{url}{'&' if '?' in url else '?'}{urlencode(given)}"


class _Request:
    """One request being answered."""

    def __init__(self, page: QuestionPage, surface: Surface) -> None:
        self.page = page
        self.question = page.question
        self.surface = surface
        self.is_post = request.method == "POST"
        self.arguments: MultiDict[str, str] = MultiDict()
        self.texts: Texts = {}

    def respond(self) -> ResponseReturnValue:
        try:
            door.check_body()
            self.arguments = door.url_arguments(self.page.accepted) or MultiDict()
            self.texts = self._read()
        except door.TurnedAwayError as error:
            return self._refused(QuestionForm(self.question, {}), error.messages)
        except QueryError as error:
            form = QuestionForm(self.question, texts_in(self.question, self.arguments))
            return self._told(form, error)
        if self.is_post:
            return self._asked(QuestionForm(self.question, {}))
        if "preset" in self.arguments:
            changed = preset(self.question, self.texts, self.arguments["preset"])
            return redirect(self._links(changed)() or request.path)
        changes = self.page.edited(self.texts, self.arguments)
        if changes is not None:
            # Somebody is still at it: no reproach for what is not filled in yet.
            self.texts = changes
            return self._html(QuestionForm(self.question, changes), changes)
        form = QuestionForm(self.question, self.texts)
        wants_form = self.arguments.get("format", "html") == "html"
        if wants_form and not self._is_program and self._asks_nothing():
            return self._html(form, self.texts)
        return self._asked(form)

    def _read(self) -> Texts:
        if self.is_post:
            return self.page.body(self.surface)
        return self.page.texts(self.arguments, self.surface)

    def _asked(self, form: QuestionForm) -> ResponseReturnValue:
        try:
            cell = self._cell()
            asked = self.texts
            if cell is not None:
                asked = {n: each for n, each in asked.items() if n not in _OF_A_LIST}
            answer = self._query(self.page.read(asked, self.surface))
            if cell is not None:
                return self._users(answer, answer.behind(cell))
            return self._answered(form, answer)
        except QueryError as error:
            return self._told(form, error)

    def _told(self, form: QuestionForm, error: QueryError) -> ResponseReturnValue:
        form.tell(error)
        return self._refused(form, form.messages)

    def _query(self, question: Question[Any]) -> Any:
        state = self.surface.state
        query = state.query.within(
            state.settings.max_work, lambda: door.may_look_through(state)
        )
        return query(question)

    def _asks_nothing(self) -> bool:
        """Whether nothing is filled in, of what has to be."""
        required = any(each.required for each in params_of(self.question))
        return required and not self.texts

    def _cell(self) -> Cell | None:
        """Return which number's users are asked for, if any."""
        if self.question.cell is None:
            return None
        texts = self._texts_of(self.question.cell)
        return self.question.cell.read(texts) if texts else None

    def _texts_of(self, declared: type[Declared]) -> Texts:
        """Return what the request says beside the question."""
        if not self.is_post:
            return texts_in(declared, self.arguments)
        names = [each.name for each in params_of(declared)]
        return {name: self.texts[name] for name in names if name in self.texts}

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
        allowed = ("html", "json", "csv") if self.page.has_html else ("json", "csv")
        wanted = self.arguments.get("format") or allowed[0]
        if wanted not in allowed:
            raise QueryError(
                Text("Use one of %(allowed)s.", allowed=", ".join(allowed)),
                field="format",
            )
        return "json" if wanted == "html" and self._is_program else wanted

    @property
    def _is_program(self) -> bool:
        """Whether it is a program that asks, which reads no HTML."""
        if wants_json() or not self.page.has_html:
            return True
        return self.is_post and self.page.fragment is None

    def _refused(
        self, form: QuestionForm, messages: Mapping[str, list[str]]
    ) -> ResponseReturnValue:
        if self._is_program:
            return errors_response(dict(messages), 400)
        return self._html(form, self.texts, messages=messages), 400

    def _users(self, answer: Answer, users: UserSet) -> ResponseReturnValue:
        return door.unkept(self._listed(answer, users))

    def _listed(self, answer: Answer, users: UserSet) -> ResponseReturnValue:
        wanted = self._wanted()
        if wanted == "csv":
            return users_csv(users, f"{self.page.name}-users")
        part = ListPage.read(self._texts_of(ListPage))
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
            "flask_bitmapist/userlist.html",
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
        names = self.surface.state.query.names
        known = [*names.defined, *names.events()]
        part = self.page.fragment if self.is_post else None
        return self.surface.render(
            part or self.question.template,
            **self._context(),
            **self.page.context(self.texts),
            form=form,
            answer=answer,
            sentence=None if answer is None else _sentence(answer.question),
            messages=messages or {},
            warnings=[]
            if answer is None
            else [*map(formats.translated, answer.warnings)],
            notes=[] if answer is None else [*map(formats.translated, answer.notes())],
            about=gettext(cleandoc(self.question.__doc__ or "")),
            examples=[] if answer or messages else self._examples(known),
            event_names=known[:MOST_SUGGESTIONS],
            link=self._links(texts),
            presets=PRESETS if self.question.spans else {},
        )

    def _examples(self, known: Sequence[str]) -> list[tuple[str, str]]:
        """Return events to ask about, the busiest first, and the URL of each."""
        required = [each for each in params_of(self.question) if each.required]
        if not required or any(each.kind.name != "event" for each in required):
            return []
        link, names = self._links({}), self._busiest() or known
        several = max(each.kind.least or 1 for each in required)
        if several > 1:
            # One example, of as many as it takes.
            together = [tuple(names[:several])] if len(names) >= several else []
        else:
            together = [(name,) for name in names[:MOST_EXAMPLES]]
        return [
            (
                ", ".join(each),
                link(**{p.name: each if p.kind.many else each[0] for p in required}),
            )
            for each in together
        ]

    def _busiest(self) -> list[str]:
        """Return the busiest events; none where that takes too long to find out."""
        state = self.surface.state
        query = state.query.within(state.settings.max_work)
        names = query.names.events()
        if len(names) > MOST_RANKED:
            return []
        try:
            return ranked(names, query.bitmaps, as_of(None))
        except QueryError:
            return []

    def _context(self) -> dict[str, Any]:
        return context_of(self.page, self.surface)

    def _links(self, texts: Texts) -> Links:
        return Links(self.surface, self.page.name, texts)


def _sentence(question: Question[Any]) -> str:
    return formats.translated(question.sentence())


def _file_name(question: Question[Any]) -> str:
    said = re.sub(r"\W+", "-", str(question.sentence()).lower())
    return said.strip("-")[:80]
