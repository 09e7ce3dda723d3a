"""How a page answers: it reads its form, asks, and renders, on both surfaces."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flask import redirect, request
from flask.typing import ResponseReturnValue
from redis import RedisError, ResponseError
from redis.exceptions import RedisClusterException
from werkzeug.datastructures import MultiDict

from ..analysis.errors import QueryError
from ..analysis.periods import shorten
from ..capture.names import MAX_BYTES
from ..store.errors import NotABitmapError
from . import door, formats
from .export import csv_response, json_response, users_csv
from .forms import PRESETS, QuestionForm
from .links import Links
from .page import QuestionPage
from .surface import Surface, wants_json
from .texts import gettext, language, lazy, ngettext
from .userlist import users_page

Present = Callable[[Any], Mapping[str, Any]]

MOST_SUGGESTIONS = 2000
"""Most event names that a form offers; others can still be typed."""


@dataclass(frozen=True)
class Page:
    """A page: its form, its template, and its place.

    Args:
        name: The endpoint, and the last part of the URL.
        title: What the page is called, in the menu as well.
        form: Reads what is asked, and asks it.
        template: Its HTML, extending the surface's layout.
        icon: Its icon in Flask-Admin's menu, a class of Font Awesome 4.
        present: Makes of an answer what the template needs beside it.
        rule: The end of its URL; its name by default.
        is_private: Whether it tells of single users, so that nothing may keep it.
    """

    name: str
    title: str
    form: type[QuestionForm]
    template: str
    icon: str = "fa-bar-chart"
    present: Present = lambda result: {}
    rule: str | None = None
    is_private: bool = False

    @property
    def path(self) -> str:
        """The end of the page's URL, with a slash in front."""
        return f"/{self.name}" if self.rule is None else self.rule


def serve(page: Page | QuestionPage, surface: Surface) -> ResponseReturnValue:
    """Answer the current request for *page*.

    Args:
        page: Which page.
        surface: Where it is shown.
    """
    if isinstance(page, QuestionPage):
        response = answered(page, surface, lambda: page.respond(surface))
    else:
        response = answered(page, surface, Answering(page, surface).respond)
    return door.unkept(response) if page.is_private else response


def answered(
    page: Page | QuestionPage,
    surface: Surface,
    respond: Callable[[], ResponseReturnValue],
) -> ResponseReturnValue:
    """Return what *respond* gives, or that Redis does not answer, fit to be sent."""
    try:
        response = respond()
    except (RedisError, RedisClusterException) as error:
        response = unavailable(page, surface, error)
    return door.leave(response, surface)


class Answering:
    """One request being answered.

    Args:
        page: Which page.
        surface: Where it is shown.
    """

    def __init__(self, page: Page, surface: Surface) -> None:
        self.page = page
        self.surface = surface
        self.state = surface.state
        self.is_post = request.method == "POST"

    def respond(self) -> ResponseReturnValue:
        """Return the response."""
        try:
            arguments = self._arguments()
        except door.TurnedAwayError as error:
            return self._refused(self._form(), error.messages)
        preset = self._preset(arguments)
        if preset is not None:
            return preset
        form = self._form(arguments)
        form.prepare(arguments)
        is_edit = not self.is_post and not wants_json() and _is_edit(arguments)
        if form.needs_question and arguments is None and not wants_json():
            return self._html(form)
        if not form.validate():
            if is_edit:
                # Somebody is still at it: no reproach for what is not filled in yet.
                return self._html(self._cleared(arguments))
            return self._refused(form, form.messages)
        try:
            return self._answered(form)
        except QueryError as error:
            form.refuse(error)
            return self._refused(form, form.messages)

    def _arguments(self) -> MultiDict[str, str] | None:
        door.check_body()
        declared = self.page.form.declared()
        if self.is_post:
            return door.json_arguments(declared)
        return door.url_arguments(declared)

    def _preset(
        self, arguments: MultiDict[str, str] | None
    ) -> ResponseReturnValue | None:
        """Send the reader of a preset on to the URL that spells it out."""
        if not arguments or self.is_post or "preset" not in arguments:
            return None
        preset = self.page.form.preset(arguments["preset"])
        kept = self._form(arguments).arguments()
        url = self.surface.url(self.page.name, **{**kept, **preset})
        return redirect(url or request.path)

    def _cleared(self, arguments: MultiDict[str, str] | None) -> QuestionForm:
        form = self._form(arguments)
        form.prepare(arguments)
        return form

    def _form(self, arguments: MultiDict[str, str] | None = None) -> QuestionForm:
        return self.page.form(arguments, meta={"state": self.state})

    def _answered(self, form: QuestionForm) -> ResponseReturnValue:
        query = self.state.query.within(self.state.settings.max_work)
        selection = form.selection(query)
        wanted = self._wanted(form)
        if selection is not None:
            users = query.select(selection)
            if wanted == "csv":
                name = f"{self.page.name}-users"
                return door.unkept(users_csv(users, name))
            return door.unkept(users_page(self, form, users, wanted))
        if wanted == "html":
            form.check_size()
        result = form.ask(query)
        if wanted == "csv":
            return csv_response(form.table(result), self._file_name(form))
        if wanted == "json":
            warnings = self._warnings(form)
            return json_response({**form.as_dict(result), "warnings": warnings})
        return self._html(form, result=result)

    def _wanted(self, form: QuestionForm) -> str:
        if form.format.data == "html" and wants_json():
            return "json"
        wanted: str = form.format.data
        return wanted

    def _file_name(self, form: QuestionForm) -> str:
        names = "-".join(form.event_names())
        return f"{self.page.name}-{names}"[:80]

    def _warnings(self, form: QuestionForm) -> list[str]:
        """Return what to tell about the question beside its answer."""
        known = {*self.state.catalogue.names(), *self.state.named}
        unknown = (name for name in form.event_names() if name and name not in known)
        return [
            *form.notes,
            *(
                gettext(
                    "Nobody has done “%(name)s” yet: no such event is known.",
                    name=shorten(name),
                )
                for name in dict.fromkeys(unknown)
            ),
        ]

    def _refused(
        self, form: QuestionForm, messages: Mapping[str, list[str]]
    ) -> ResponseReturnValue:
        if wants_json() or self.is_post:
            return json_response({"errors": dict(messages)}, 400)
        return self._html(form, messages=messages), 400

    def html(self, template: str, form: QuestionForm, **context: Any) -> str:
        """Return *template* with what all templates of pages need."""
        return self.surface.render(
            template, **context_of(self.page, self.surface), form=form, **context
        )

    def _html(
        self,
        form: QuestionForm,
        result: Any = None,
        messages: Mapping[str, list[str]] | None = None,
    ) -> str:
        # What is longer cannot be asked for.
        names = [
            name
            for name in (*self.state.named, *self.state.catalogue.names())
            if len(name) <= MAX_BYTES
        ]
        context = {
            "result": result,
            "messages": messages or {},
            "warnings": [] if result is None else self._warnings(form),
            "event_names": names[:MOST_SUGGESTIONS],
            "flag_names": self.state.catalogue.flags()[:MOST_SUGGESTIONS],
            "link": Links(self.surface, self.page.name, form),
            "presets": PRESETS if form.preset_fields else {},
            **(self.page.present(result) if result is not None else {}),
        }
        return self.html(self.page.template, form, **context)


def _is_edit(arguments: MultiDict[str, str] | None) -> bool:
    return arguments is not None and ("add" in arguments or "remove" in arguments)


def context_of(page: Page | QuestionPage, surface: Surface) -> dict[str, Any]:
    """Return what the template of every page needs."""
    links = [(each, surface.url(each.name)) for each in surface.pages]
    return {
        "page": page,
        "surface": surface,
        "pages": [(each, url) for each, url in links if url is not None],
        "t": gettext,
        "tn": ngettext,
        "fmt": formats,
        "language": language(),
    }


FORBIDDEN = Page(
    name="forbidden",
    title=lazy("No access"),
    form=QuestionForm,
    template="bitmapist/forbidden.html",
)
"""What others see; it is in no menu."""

OPENED_BY = (
    "from flask_login import current_user\n"
    "bitmapist.access(lambda: current_user.is_authenticated and current_user.is_admin)"
)
"""How an app lets its own people in, with Flask-Login."""


def turn_away(surface: Surface) -> ResponseReturnValue:
    """Return the answer for whoever may not see the pages.

    Args:
        surface: Where it is shown.
    """
    if surface.is_restricted:
        return refuse(surface, gettext("You may not see this page."))
    message = gettext(
        "This page is shown while developing only: by Flask's development server, "
        "to a browser on the same machine."
    )
    return refuse(surface, message, OPENED_BY)


def refuse(
    surface: Surface, message: str, code: str | None = None
) -> ResponseReturnValue:
    """Return an answer with status 403.

    Args:
        surface: Where it is shown.
        message: Why.
        code: How an app allows it.
    """
    if wants_json():
        return door.leave(json_response({"errors": {"form": [message]}}, 403), surface)
    context = {**context_of(FORBIDDEN, surface), "pages": []}
    page = surface.render(FORBIDDEN.template, message=message, code=code, **context)
    return door.leave((page, 403), surface)


def unavailable(
    page: Page | QuestionPage, surface: Surface, error: Exception
) -> ResponseReturnValue:
    """Return what to show where Redis does not answer as it should."""
    surface.state.app.logger.warning("%s: Redis does not answer: %s", page.name, error)
    if isinstance(error, NotABitmapError):
        message = formats.translated(error.args[0])
    elif isinstance(error, ResponseError):
        message = gettext("Redis refuses to answer; the app's log says why.")
    else:
        message = gettext(
            "Redis does not answer, so there is nothing to show right now."
        )
    if wants_json() or (isinstance(page, QuestionPage) and not page.has_html):
        return json_response({"errors": {"form": [message]}}, 503)
    context = context_of(page, surface)
    return surface.render("bitmapist/unavailable.html", message=message, **context), 503
