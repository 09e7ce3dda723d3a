"""The tabs: one view for each page."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from types import MethodType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from flask import Blueprint, redirect
from flask.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue
from werkzeug.wrappers import Response

from ..query import QUESTIONS
from ..questions.cohort import Cohort
from ..questions.declare import AnyQuestion
from ..questions.events import Events
from ..questions.funnel import Funnel
from ..questions.lifecycle import Lifecycle
from ..questions.overview import Overview
from ..questions.person import Person
from ..questions.stickiness import Stickiness
from ..questions.trend import Trend
from ..state import current_state, demanded_state
from ..web import door
from ..web.deletion import serve_deletion, serve_erasing
from ..web.formats import translated
from ..web.legacy import serve, to_people
from ..web.responses import turn_away
from .surface import AdminSurface

try:
    from flask_admin import BaseView, expose
except ImportError as error:
    raise ImportError(
        "flask_bitmapist.admin needs Flask-Admin: pip install 'flask-bitmapist[admin]'"
    ) from error

if TYPE_CHECKING:
    from flask_admin import Admin

PACKAGE = Path(__file__).resolve().parent.parent
CATEGORY = "Analytics"


class PageView(BaseView):  # type: ignore[misc]
    """A page of Flask-Bitmapist as a tab.

    Add an object of a subclass to your Admin, or of a class derived from it:
    ``is_accessible`` and ``inaccessible_callback`` rule as in any view.  Where a class
    does not override them, they follow the callable that was given to
    :meth:`~flask_bitmapist.FlaskBitmapist.access` or as ``BITMAPIST_ACCESS``; where
    there is none, the Admin's index view, if its class overrides ``is_accessible``;
    else the word of ``BITMAPIST_ACCESS``, as the standalone pages do.

    Args:
        name: Its name in the menu.
        category: The menu that it is under; None for the menu bar itself.
        endpoint: Its endpoint, which must be unique in the app.
        url: Where it is: below the Admin's own URL, or from a slash on absolute.
        menu_icon_type: As in Flask-Admin, ``"fa"`` by default.
        menu_icon_value: The icon, for example ``"fa-th"``.
        question: The question to show, for one without a class of its own.
        options: Further parameters of ``BaseView``.

    Example:
        >>> class Retention(CohortView):
        ...     def is_accessible(self):
        ...         return current_user.is_admin
        >>> admin.add_view(Retention(name="Retention", category=None))
    """

    question: AnyQuestion
    """The question whose page is shown."""

    color_scheme: str | None = None
    """``light`` or ``dark`` where it cannot be told from the Admin's swatch."""

    def __init__(
        self,
        name: Any = None,
        category: str | None = CATEGORY,
        endpoint: str | None = None,
        url: str | None = None,
        menu_icon_type: str | None = "fa",
        menu_icon_value: str | None = None,
        question: AnyQuestion | None = None,
        **options: Any,
    ) -> None:
        if question is not None:
            self.question = question
        own = self.question
        super().__init__(
            name=name or translated(own.title),
            category=category,
            endpoint=endpoint or f"bitmapist_{own.endpoint}",
            url=url or f"bitmapist/{own.endpoint}",
            menu_icon_type=menu_icon_type,
            menu_icon_value=menu_icon_value or own.icon,
            **options,
        )

    def is_accessible(self) -> bool:
        """Return whether the current request may see the tab."""
        return self._verdict() is True

    def inaccessible_callback(self, name: str, **kwargs: Any) -> ResponseReturnValue:
        """Answer whoever may not see the tab."""
        verdict = self._verdict()
        if isinstance(verdict, Response):
            return verdict
        state = current_state()
        if not self.is_restricted and state is not None:
            return turn_away(AdminSurface(self, state))
        decides = self._index_rule() is not None and not _has_explicit_rule()
        answer: Any = self.admin.index_view if decides else super()
        refusal: ResponseReturnValue = answer.inaccessible_callback(name, **kwargs)
        return refusal

    @property
    def is_restricted(self) -> bool:
        """Whether code of the app decides who sees it, not a word of a setting."""
        return (
            _has_explicit_rule()
            or _overridden(self) is not None
            or self._index_rule() is not None
        )

    def _verdict(self) -> bool | Response:
        # The menu asks on every page, also if the extension came to nothing.
        state = current_state()
        return False if state is None else state.access.decide(self._index_rule())

    def _index_rule(self) -> Callable[[], Any] | None:
        """Return what the Admin's index view decides with, if it restricts anything."""
        index: BaseView | None = self.admin.index_view
        return None if index is None or index is self else _overridden(index)

    @expose("/", methods=("GET", "POST"))  # type: ignore[untyped-decorator]
    def index(self) -> ResponseReturnValue:
        """Answer a request for the page."""
        return serve(self.question, AdminSurface(self, demanded_state()))

    def create_blueprint(self, admin: Admin) -> Blueprint:
        """Return the view's blueprint, which finds this package's files."""
        # BaseView takes its static files, and where they are, from the Admin.
        self.static_url_path = "/bitmapist-static"
        for _, name, _ in self._urls:
            # All tabs have a method of this name, which an extension could not tell
            # apart; BaseView takes what the object itself has first.
            method = MethodType(getattr(type(self), name), self)
            own_name = f"{self.endpoint}_{name}"
            about = method.__doc__ or ""
            view = _named(method, type(self).__module__, own_name, about)
            setattr(self, name, view)
        blueprint: Blueprint = super().create_blueprint(admin)
        blueprint.static_folder = str(PACKAGE / "static")
        blueprint.url_value_preprocessor(door.enter)
        AdminSurface.register(admin, self)
        return blueprint

    def _run_view(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        # BaseView calls the view a second time after any TypeError, which hides it.
        return fn(self, *args, **kwargs)


def _named(
    function: Callable[..., Any], module: str, name: str, about: str
) -> Callable[..., Any]:
    """Return a method as a function to hand to Flask, with a name that no other has.

    Extensions tell views apart by their modules and names: to exempt one from CSRF
    protection, or to count its requests.

    Args:
        function: What is called; a bound method has the name of its class's.
        module: The module that it is said to be of.
        name: Its name, of which there is one in the module.
        about: Its docstring.
    """

    def view(*arguments: Any, **options: Any) -> Any:
        return function(*arguments, **options)

    view.__module__ = module
    view.__name__ = view.__qualname__ = name
    view.__doc__ = about
    return view


def _lead(
    blueprint: Blueprint, url: str, endpoint: str, view: Callable[[], Any]
) -> None:
    """Add a URL that is not below that of a tab, so that its blueprint cannot."""
    view.__name__ = view.__qualname__ = endpoint.replace(".", "_")

    def add(setup: BlueprintSetupState) -> None:
        setup.app.add_url_rule(url, endpoint, view, subdomain=setup.subdomain)

    blueprint.record(add)


def _overridden(view: BaseView) -> Callable[[], Any] | None:
    """Return a view's ``is_accessible`` if it is neither Flask-Admin's nor ours."""
    rule: Callable[[], Any] = view.is_accessible
    function = getattr(rule, "__func__", rule)
    is_open = function in (BaseView.is_accessible, PageView.is_accessible)
    return None if is_open else rule


def _has_explicit_rule() -> bool:
    state = current_state()
    return state is not None and state.access.rule is not None


class OverviewView(PageView):
    """The overview as a tab.

    The URL that all tabs have in common leads here.
    """

    question = Overview

    def create_blueprint(self, admin: Admin) -> Blueprint:
        """Return the view's blueprint, to which the URL above all tabs leads."""
        blueprint = super().create_blueprint(admin)
        stem, _, name = self.url.rpartition("/")
        if name == self.question.endpoint:

            def home() -> ResponseReturnValue:
                """Lead from what all tabs have in common to the overview."""
                return self._handle_view("index") or redirect(self.get_url(".index"))

            _lead(blueprint, f"{stem}/", f"{self.endpoint}.home", home)
        return blueprint


class CohortView(PageView):
    """Retention as a tab."""

    question = Cohort


class TrendsView(PageView):
    """Trends as a tab."""

    question = Trend


class LifecycleView(PageView):
    """The lifecycle as a tab."""

    question = Lifecycle


class FunnelView(PageView):
    """The funnel as a tab."""

    question = Funnel


class StickinessView(PageView):
    """Stickiness as a tab."""

    question = Stickiness


class UsersView(PageView):
    """People as a tab.

    Where the tab of users was in version 0.1 leads here.
    """

    question = Person

    @expose("/forget", methods=("GET", "POST"))  # type: ignore[untyped-decorator]
    def forget(self) -> ResponseReturnValue:
        """Answer a request to erase a person."""
        return serve_erasing(AdminSurface(self, demanded_state()))

    def create_blueprint(self, admin: Admin) -> Blueprint:
        """Return the view's blueprint, to which the old URL of the tab leads."""
        blueprint = super().create_blueprint(admin)

        stem, _, name = self.url.rpartition("/")
        if name == self.question.endpoint:

            def moved() -> ResponseReturnValue:
                """Lead from the tab of users to that of people."""
                surface = AdminSurface(self, demanded_state())
                return self._handle_view("index") or to_people(surface)

            _lead(blueprint, f"{stem}/users/", f"{self.endpoint}.moved", moved)
        return blueprint


class EventsView(PageView):
    """The events as a tab, with the page on which events are deleted."""

    question = Events

    @expose("/delete", methods=("GET", "POST"))  # type: ignore[untyped-decorator]
    def delete(self) -> ResponseReturnValue:
        """Answer a request to delete an event."""
        return serve_deletion(AdminSurface(self, demanded_state()))


VIEWS: tuple[type[PageView], ...] = (
    OverviewView,
    CohortView,
    TrendsView,
    LifecycleView,
    FunnelView,
    StickinessView,
    UsersView,
    EventsView,
)


# One Admin may serve all apps of a factory, each of which asks for the tabs.
_added: WeakKeyDictionary[Admin, set[AnyQuestion]] = WeakKeyDictionary()
"""The questions whose tabs each Admin has."""


def add_views(
    admin: Admin,
    category: str | None = CATEGORY,
    questions: Iterable[AnyQuestion] = QUESTIONS,
) -> None:
    """Add a tab for every page to *admin*, unless that was done before.

    Args:
        admin: The Admin.  Another one in the same app gets endpoints of its own.
        category: The menu that they are under.
        questions: Whose pages; an app's own questions come after the package's.
    """
    own = {view.question: view for view in VIEWS}
    prefix = "" if admin.endpoint == "admin" else f"{admin.endpoint}_"
    added = _added.setdefault(admin, set())
    for question in questions:
        if question.in_menu and question not in added:
            added.add(question)
            view = own.get(question, PageView)
            endpoint = f"{prefix}bitmapist_{question.endpoint}"
            tab = view(question=question, category=category, endpoint=endpoint)
            admin.add_view(tab)
