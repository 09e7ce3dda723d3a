"""How a question's page answers: as HTML, JSON or CSV, on both surfaces."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from inspect import cleandoc
from typing import Any
from urllib.parse import urlencode

from flask import Response, redirect, request
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import MultiDict

from ..analysis.errors import QueryError, Text
from ..analysis.parsing import spelled
from ..config import NUMBERS
from ..query import Query, as_of
from ..questions.declare import (
    Answer,
    AnyQuestion,
    Cell,
    Declared,
    Question,
    check_names,
    param,
    params_of,
)
from ..questions.events import ranked
from ..store.catalogue import PAGE_WAITS
from ..store.userset import UserSet
from . import door, formats, parts, typed
from .form import PRESETS, QuestionForm, Texts, edited, messages_of, preset, texts_in
from .responses import (
    Place,
    answered,
    csv_response,
    errors_response,
    json_response,
    listed_csv,
    refuse,
    unkept,
    users_csv,
)
from .surface import Surface
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


_OF_A_LIST = frozenset(each.name for each in params_of(ListPage))
"""What says which part of a list is shown: of the users, where they are asked for."""

_OF_THE_PAGE = frozenset(
    {"format", "json", "preset", "add", "remove"} | typed.ARGUMENTS
)
"""What every page takes beside the question's parameters."""


class Links:
    """URLs that ask a page's question again, a little changed.

    Args:
        surface: Where the page is shown.
        name: The page's name.
        texts: The question.
        segment: Whose numbers are meant; by default those of the first segment.
    """

    def __init__(
        self, surface: Surface, name: str, texts: Texts, segment: str | None = None
    ) -> None:
        self._surface = surface
        self._name = name
        self._texts = texts
        self._segment = segment

    def __call__(self, **changes: Any) -> str:
        """Return the URL of this question with some arguments changed.

        Args:
            changes: New values; None takes an argument out.
        """
        merged = {**self._texts, **changes}
        kept = {name: value for name, value in merged.items() if value is not None}
        return self._surface.url(self._name, **kept) or ""

    def without(self, *names: str) -> Links:
        """Return the links of the same question without some arguments."""
        kept = {name: text for name, text in self._texts.items() if name not in names}
        return Links(self._surface, self._name, kept, self._segment)

    def of(self, segment: str | None) -> Links:
        """Return the same links, whose numbers are those of a segment."""
        return Links(self._surface, self._name, self._texts, segment)

    @cached_property
    def _whole(self) -> str:
        # Made once for all numbers of a page.
        return self(**dict.fromkeys(_OF_A_LIST))

    def users(self, **cell: Any) -> str:
        """Return the URL of the users behind the number that *cell* names."""
        url = self._whole
        cell = {**cell, "segment": self._segment}
        given = {name: value for name, value in cell.items() if value is not None}
        return f"{url}{'&' if '?' in url else '?'}{urlencode(given)}"


class QuestionPage:
    """One request for the page of a question.

    Args:
        question: The question's class.
        surface: Where the page is shown.
    """

    fragment: str | None = None
    """The part of the page that answers a POST; JSON does where there is none."""

    def __init__(self, question: AnyQuestion, surface: Surface) -> None:
        self.question = question
        self.surface = surface
        self.place = Place(question.endpoint, question.title)
        self.is_post = request.method == "POST"
        self.is_program = (
            not question.in_menu
            or surface.scope is not None
            or door.wants_json()
            or (self.is_post and self.fragment is None)
        )
        """Whether it is a program that asks, which reads no HTML."""
        self.arguments: MultiDict[str, str] = MultiDict()
        """What the URL has of what the page takes."""
        self.texts: Texts = {}
        """What is asked, by the names of the parameters."""

    def serve(self) -> Response:
        """Answer the request."""
        if self.question.is_private and self.surface.scope == NUMBERS:
            return self._beyond_its_token()
        answer = answered(self.surface, self.place, self._respond, self.is_program)
        return unkept(answer) if self.question.is_private else answer

    def _beyond_its_token(self) -> Response:
        message = gettext("This token is for numbers, not for single users.")
        return refuse(self.surface, message, is_program=True)

    # -- what can be asked in a way of its own, see :mod:`.legacy`

    def accepted(self) -> door.Accepted:
        """Return what the page takes; everything else in a URL is passed over."""
        behind = () if self.question.cell is None else params_of(self.question.cell)
        params = (*params_of(self.question), *behind, *params_of(ListPage))
        return door.Accepted(
            frozenset({each.name for each in params} | _OF_THE_PAGE),
            {each.name: frozenset({""}) for each in params if each.kind.many},
        )

    def body(self) -> Texts:
        """Return what the body of a POST asks: JSON, by the names of the parameters.

        Raises:
            QueryError: It is something else, or has a name that is not known.
        """
        given = door.json_object()
        # A character may take six bytes of a body, and counts as what it is.
        door.check_size([json.dumps(given, ensure_ascii=False)])
        cell = self.question.cell
        check_names(given, [self.question, *filter(None, [cell]), ListPage])
        return given

    def asked_in(self, arguments: MultiDict[str, str]) -> Texts:
        """Return what the arguments of a URL ask, see :func:`texts_in`."""
        return texts_in(self.question, arguments)

    def edited(self) -> Texts | None:
        """Return the texts after a button of the form, see :func:`edited`."""
        return edited(self.question, self.texts, self.arguments)

    def read(self, texts: Texts) -> Question[Any]:
        """Return the question that the texts ask.

        Raises:
            QueryError: They ask none.
        """
        return self.question.read(texts)

    def context(self) -> Mapping[str, Any]:
        """Return what the template needs beside what all questions have."""
        return {}

    # -- how it is answered

    def _respond(self) -> ResponseReturnValue:
        try:
            door.check_body()
            self.arguments = door.url_arguments(self.accepted())
            if self.is_post:
                self.texts = self.body()
                return self._answer()
            self.texts = texts_in(self.question, self.arguments)
            self.texts = self.asked_in(self.arguments)
            if "typed" in self.arguments:
                told = typed.answer(self._query, self.arguments, self.texts)
                return json_response(told)
            if "preset" in self.arguments:
                self.texts = preset(self.question, self.texts, self.arguments["preset"])
                return redirect(self._links(self.texts)() or request.path)
            changes = self.edited()
            if changes is not None:
                # Somebody is still at it: no reproach for what is not filled in yet.
                self.texts = changes
                return self._html()
            if self._asks_nothing():
                return self._html()
            return self._answer()
        except QueryError as error:
            messages = messages_of(error)
            if self.is_program:
                return errors_response(messages, 400)
            return self._html(messages=messages), 400

    def _asks_nothing(self) -> bool:
        """Whether a person has filled in nothing, of what has to be."""
        wanted = self.arguments.get("format", "html")
        if self.texts or self.is_program or wanted != "html":
            return False
        return any(each.required for each in params_of(self.question))

    @cached_property
    def _query(self) -> Query:
        state = self.surface.state
        return state.query.within(state.settings.max_work, PAGE_WAITS)

    def _answer(self) -> ResponseReturnValue:
        cell, asked = self._cell(), self.texts
        if cell is not None:
            if self.surface.scope == NUMBERS:
                return self._beyond_its_token()
            asked = {
                name: each for name, each in asked.items() if name not in _OF_A_LIST
            }
        question = self.read(asked)
        answer: Answer = self._query(question)
        if cell is not None:
            return unkept(self._list(answer, answer.behind(cell)))
        wanted = self._wanted()
        if wanted == "json":
            return json_response(answer.to_dict())
        if wanted == "html":
            return self._html(answer)
        said = re.sub(r"\W+", "-", str(answer.sentence()).lower()).strip("-")[:80]
        if answer.listing is not None:
            return listed_csv(answer.listed(), said)
        return csv_response(answer.file_table(), said)

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

    def _wanted(self) -> str:
        has_html = self.question.in_menu and self.surface.scope is None
        allowed = ("html", "json", "csv") if has_html else ("json", "csv")
        wanted = self.arguments.get("format") or allowed[0]
        if wanted not in allowed:
            raise QueryError(
                Text("Use one of %(allowed)s.", allowed=", ".join(allowed)),
                field="format",
            )
        return "json" if wanted == "html" and self.is_program else wanted

    def _list(self, answer: Answer, users: UserSet) -> ResponseReturnValue:
        wanted = self._wanted()
        if wanted == "csv":
            return users_csv(users, f"{self.place.name}-users")
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
            if name not in (*_OF_A_LIST, "format")
        }
        return surface.render(
            "flask_bitmapist/userlist.html",
            self.place,
            users=shown,
            shown=rows,
            has_names=any(name for _, name, _ in rows),
            has_links=any(url for _, _, url in rows),
            marks=[
                (formats.translated(mark.label), shown.marks[mark.name])
                for mark in users.selection.marks
            ],
            own_url=lambda user: surface.url("people", user=user),
            link=self._links(cell),
            back=self._links(answer.question.arguments())(),
        )

    def _html(
        self,
        answer: Answer | None = None,
        messages: Mapping[str, list[str]] | None = None,
    ) -> str:
        names = self._query.names
        known = [*map(spelled, [*names.defined, *names.events()][:MOST_SUGGESTIONS])]
        told: dict[str, Any] = {"sentence": None, "warnings": [], "notes": []}
        texts = self.texts
        shown: list[parts.Part] = []
        if answer is not None:
            texts = answer.question.arguments()
            shown = parts.parts_of(answer, self._links)
            told = {
                "sentence": formats.translated(answer.sentence()),
                "warnings": [*map(formats.translated, answer.warnings)],
                "notes": [*map(formats.translated, answer.told())],
            }
        return self.surface.render(
            (self.is_post and self.fragment) or self.question.template,
            self.place,
            **told,
            **self.context(),
            form=QuestionForm(self.question, self.texts),
            not_offered=() if self._keeps_hours() else ("hours",),
            answer=answer,
            messages=messages or {},
            about=gettext(cleandoc(self.question.__doc__ or "")),
            examples=[] if answer or messages else self._examples(known),
            event_names=known,
            link=self._links(texts),
            is_of_one=self.question.is_of_one,
            part="",
            parts=shown,
            compared=list(parts.compared(shown)),
            people=parts.summary(answer, self.texts, self._query),
            choices=self._choices(),
            words=[
                (word, formats.translated(meaning))
                for field in ("segments", "exclude")
                for word, meaning in parts.words(self._query, field).items()
            ],
            presets=PRESETS if self.question.spans else {},
        )

    def _keeps_hours(self) -> bool:
        """Return whether there is any hour to ask for, or will be."""
        scan = self._query.names.scan
        return self.surface.state.TRACK_HOURLY or scan is None or scan.has_hours

    def _choices(self) -> list[parts.Choice]:
        query = self._query.within(parts.SIZING)
        # Another group begins with the first page of a list, and looks for no names.
        begun = {"page", "refresh"}
        texts = {name: text for name, text in self.texts.items() if name not in begun}
        return parts.choices(query, texts, self._links)

    def _links(self, texts: Texts) -> Links:
        return Links(self.surface, self.place.name, texts)

    def _examples(self, known: Sequence[str]) -> list[tuple[str, str]]:
        """Return events to ask about, the busiest first, and the URL of each."""
        required = [each for each in params_of(self.question) if each.required]
        if not required or any(each.kind.name != "event" for each in required):
            return []
        link, names = self._links({}), [*map(spelled, self._busiest())] or known
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
        names = self._query.names.events()
        if len(names) > MOST_RANKED:
            return []
        try:
            return ranked(names, query.bitmaps, as_of(None, query.calendar))
        except QueryError:
            return []
