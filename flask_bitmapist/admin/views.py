"""The tabs: one view for each page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import MethodType
from typing import TYPE_CHECKING, Any

from flask import Blueprint
from flask.typing import ResponseReturnValue
from werkzeug.wrappers import Response

from ..questions.declare import AnyQuestion
from ..state import current_state, demanded_state
from ..web import door, registry
from ..web.deletion import serve_deletion
from ..web.page import QuestionPage
from ..web.pages import Page, serve, turn_away
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
        page: The page to show, for pages without a class of their own.
        options: Further parameters of ``BaseView``.

    Example:
        >>> class Retention(CohortView):
        ...     def is_accessible(self):
        ...         return current_user.is_admin
        >>> admin.add_view(Retention(name="Retention", category=None))
    """

    page: Page | QuestionPage
    """The page that is shown."""

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
        page: Page | QuestionPage | None = None,
        **options: Any,
    ) -> None:
        if page is not None:
            self.page = page
        super().__init__(
            name=name or self.page.title,
            category=category,
            endpoint=endpoint or f"bitmapist_{self.page.name}",
            url=url or f"bitmapist/{self.page.name}",
            menu_icon_type=menu_icon_type,
            menu_icon_value=menu_icon_value or self.page.icon,
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
        return serve(self.page, AdminSurface(self, demanded_state()))

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
            view = door.named(method, type(self).__module__, own_name, about)
            setattr(self, name, view)
        blueprint: Blueprint = super().create_blueprint(admin)
        # BaseView looks for templates in flask_admin itself.
        blueprint.template_folder = str(PACKAGE / "templates")
        blueprint.static_folder = str(PACKAGE / "static")
        blueprint.url_value_preprocessor(door.enter)
        AdminSurface.register(admin, self)
        return blueprint

    def _run_view(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        # BaseView calls the view a second time after any TypeError, which hides it.
        return fn(self, *args, **kwargs)


def _overridden(view: BaseView) -> Callable[[], Any] | None:
    """Return a view's ``is_accessible`` if it is neither Flask-Admin's nor ours."""
    rule: Callable[[], Any] = view.is_accessible
    function = getattr(rule, "__func__", rule)
    is_open = function in (BaseView.is_accessible, PageView.is_accessible)
    return None if is_open else rule


def _has_explicit_rule() -> bool:
    state = current_state()
    return state is not None and state.access.is_explicit


class OverviewView(PageView):
    """The overview as a tab."""

    page = registry.INDEX


class CohortView(PageView):
    """The cohort page as a tab."""

    page = registry.COHORT


class TrendsView(PageView):
    """The trends page as a tab."""

    page = registry.TRENDS


class LifecycleView(PageView):
    """The lifecycle page as a tab."""

    page = registry.LIFECYCLE


class FunnelView(PageView):
    """The funnel page as a tab."""

    page = registry.FUNNEL


class StickinessView(PageView):
    """The stickiness page as a tab."""

    page = registry.STICKINESS


class UsersView(PageView):
    """What one user did, as a tab."""

    page = registry.PEOPLE


class EventsView(PageView):
    """The events page as a tab, with the page on which events are deleted."""

    page = registry.EVENTS

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


def add_views(
    admin: Admin,
    category: str | None = CATEGORY,
    pages: Sequence[Page | QuestionPage] = registry.PAGES,
) -> None:
    """Add a tab for every page to *admin*.

    Args:
        admin: The Admin.  Another one in the same app gets endpoints of its own.
        category: The menu that they are under.
        pages: Which pages; those of an app's own questions come after the menu's.
    """
    for page in pages:
        _add_view(admin, page, category)


def add_question_view(admin: Admin, question: AnyQuestion) -> None:
    """Add the tab of an app's own question to *admin*."""
    _add_view(admin, QuestionPage(question), CATEGORY)


def _add_view(admin: Admin, page: Page | QuestionPage, category: str | None) -> None:
    own = {view.page.name: view for view in VIEWS}
    prefix = "" if admin.endpoint == "admin" else f"{admin.endpoint}_"
    endpoint = f"{prefix}bitmapist_{page.name}"
    view = own.get(page.name, PageView)
    admin.add_view(view(page=page, category=category, endpoint=endpoint))
