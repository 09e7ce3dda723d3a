"""Where a page is shown: on its own, or within Flask-Admin."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from flask import render_template, request, url_for
from jinja2 import BaseLoader, ChoiceLoader, Environment, PackageLoader, PrefixLoader
from markupsafe import Markup

from ..query import utc_now
from ..state import MEMORY_URL
from . import formats
from .responses import BoundedTemplate, Place
from .texts import gettext, language, ngettext

if TYPE_CHECKING:
    from flask import Flask

    from ..state import BitmapistState


# An app's template that stands in for one of these extends it by its second name.
_PACKAGE = PackageLoader("flask_bitmapist", "templates/flask_bitmapist")
_TEMPLATES = PrefixLoader({"flask_bitmapist": _PACKAGE, "!flask_bitmapist": _PACKAGE})


class Surface:
    """The standalone pages; Flask-Admin's surface derives from this.

    A page asks its surface for everything in which the two differ.

    Args:
        state: What the extension keeps for the app.
    """

    layout = "flask_bitmapist/layout.html"
    """The template that page templates extend."""

    scheme = "auto"
    """``light`` or ``dark`` colours, or ``auto`` for what the reader prefers."""

    def __init__(self, state: BitmapistState) -> None:
        self.state = state

    def menu(self) -> list[tuple[Place, str]]:
        """Return the pages of the menu, the app's own ones last, each with its URL."""
        links = [
            (Place(each.endpoint, each.title), self.url(each.endpoint))
            for each in self.state.query.questions()
            if each.in_menu
        ]
        return [(place, url) for place, url in links if url is not None]

    def url(self, page: str, /, **arguments: Any) -> str | None:
        """Return the URL of a page, or None where this surface has no such page.

        Args:
            page: The page's name.
            arguments: What stands behind the question mark.
        """
        blueprint = request.blueprint or "bitmapist"
        if f"{blueprint}.{page}" not in self.state.app.view_functions:
            return None
        return url_for(f".{page}", **arguments)

    @property
    def scope(self) -> str | None:
        """What the program that asks has a token for; None where it has none."""
        return self.state.access.scope()

    @property
    def is_restricted(self) -> bool:
        """Whether code of the app decides who sees it, not a word of a setting."""
        return self.state.access.rule is not None

    @property
    def is_public(self) -> bool:
        """Whether everybody may see the page."""
        return self.state.access.is_public and not self.is_restricted

    @property
    def is_in_memory(self) -> bool:
        """Whether commands cannot reach the store, which is inside this process."""
        return self.state.redis_url.startswith(MEMORY_URL)

    @property
    def may_delete(self) -> bool:
        """Whether events and people may be deleted here by whoever sees it."""
        return self.state.settings.allow_delete and self.is_restricted

    def deletion_url(self, **arguments: Any) -> str | None:
        """Return where an event is deleted, or None where that is not allowed."""
        return url_for(".delete", **arguments) if self.may_delete else None

    def erasing_url(self, **arguments: Any) -> str | None:
        """Return where a person is erased, or None where that is not allowed."""
        return url_for(".forget", **arguments) if self.may_delete else None

    def asset(self, filename: str) -> str:
        """Return the URL of a file in ``static/``."""
        return url_for(".static", filename=filename)

    @property
    def nonce(self) -> Markup:
        """The ``nonce`` attribute for script and style tags, empty without one."""
        value = nonce(self.state)
        return Markup(' nonce="{}"').format(value) if value else Markup("")

    def describe(self, user: int | str) -> tuple[str, str | None]:
        """Return the name to show for a user, and the URL of the app's page of them.

        Args:
            user: The user's id, or the app's own key where it keeps such.
        """
        settings = self.state.settings
        name = settings.user_name(user) if settings.user_name is not None else None
        url = _user_url(settings.user_url, user)
        if url is not None and not _is_link(url):
            self.state.recorder.reports.once(
                "user url",
                "BITMAPIST_USER_URL gave %r, which is not linked: a URL begins with "
                "http:, https: or /, or is relative",
                url,
            )
            url = None
        return str(name) if name else "", url

    def environment(self) -> Environment:
        """Return what reads the templates, whatever the app has set up for its own.

        It always escapes, and writes no bytecode: that would not tell which settings
        it was made with.  What the app has added for its templates is there, so that
        they may extend those of the package.
        """
        app = self.state.app.jinja_env
        own = Environment(
            autoescape=True,
            loader=self._loader(),
            undefined=app.undefined,
            auto_reload=app.auto_reload,
        )
        own.filters = {**app.filters, **own.filters}
        own.tests = {**app.tests, **own.tests}
        own.globals = {**app.globals, **own.globals}
        return own

    def _loader(self) -> BaseLoader:
        """Return what finds templates: the app's, then those of the package."""
        theirs = self.state.app.jinja_env.loader
        return ChoiceLoader([_TEMPLATES] if theirs is None else [theirs, _TEMPLATES])

    fill: Callable[..., str] = staticmethod(render_template)
    """Fills in a template, with what the surface's layout needs beside."""

    def render(self, template: str, page: Place, **context: Any) -> str:
        """Return *template* filled in.

        Args:
            template: Its name.
            page: Which page it is.
            context: What it needs beside what the template of every page does.

        Raises:
            QueryError: The text would be longer than an answer may be.
        """
        given = {
            "page": page,
            "surface": self,
            "t": gettext,
            "tn": ngettext,
            "fmt": formats,
            "language": language(),
            "left_out": self._left_out,
            **context,
        }
        environment = self.state.environments.get(type(self))
        if environment is None:
            environment = self.environment()
            environment.template_class = BoundedTemplate
            self.state.environments[type(self)] = environment
        return self.fill(environment.get_template(template), **given)

    def _left_out(self) -> list[str]:
        """Return what to say of marks that were left out."""
        found = self.state.recorder.reports.left_out.look()
        return [formats.translated(told) for told in found.told(utc_now())]


def user_endpoint(app: Flask, view: str) -> str | None:
    """Return the endpoint at which a ModelView shows one user, if there is one.

    Args:
        app: The app.
        view: The view's own endpoint, ``BITMAPIST_ADMIN_USER_VIEW``.
    """
    # Details where the view shows them, else the form.
    endpoints = (f"{view}.{action}" for action in ("details_view", "edit_view"))
    return next((each for each in endpoints if each in app.view_functions), None)


def no_user_view(view: str) -> str:
    """Return what to say of a ``BITMAPIST_ADMIN_USER_VIEW`` that is not there."""
    return (
        f"BITMAPIST_ADMIN_USER_VIEW is {view!r}, and no ModelView has that endpoint: "
        "user IDs are no links"
    )


def _user_url(setting: str | Callable[..., Any], user: int | str) -> str | None:
    if not isinstance(setting, str):
        url = setting(user)
        return str(url) if url else None
    # A key may hold anything: it stays one part of the URL.
    return setting.format(id=quote(str(user), safe="")) if setting else None


_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE)


def _is_link(url: str) -> bool:
    """Return whether a click on *url* leads to a page and runs nothing here."""
    # A browser passes over white space and control characters.
    scheme = _SCHEME.match(re.sub(r"[\x00-\x20]+", "", url))
    return scheme is None or scheme[1].lower() in ("http", "https")


def nonce(state: BitmapistState) -> str:
    """Return the nonce of the current response, empty if the app gives none."""
    generator = state.settings.csp_nonce
    return str(generator()) if generator is not None else ""
