"""The tabs: one view for each page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Blueprint, current_app
from flask.typing import ResponseReturnValue
from werkzeug.wrappers import Response

from ..access import Access
from ..web import registry
from ..web.deletion import serve_deletion
from ..web.page import QuestionPage
from ..web.pages import Page, serve
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
    there is none, the Admin's index view.

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
        access = _explicit_access()
        if access is not None:
            return access.decide() is True
        index = self._index_view()
        return True if index is None else bool(index.is_accessible())

    def inaccessible_callback(self, name: str, **kwargs: Any) -> ResponseReturnValue:
        """Answer whoever may not see the tab."""
        access = _explicit_access()
        verdict = access.decide() if access is not None else False
        if isinstance(verdict, Response):
            return verdict
        index = self._index_view()
        refused_by_index = access is None and index is not None
        answer: Any = index if refused_by_index else super()
        refusal: ResponseReturnValue = answer.inaccessible_callback(name, **kwargs)
        return refusal

    @property
    def is_restricted(self) -> bool:
        """Whether anything but Flask-Admin's own "everybody" decides who sees it."""
        unrestricted = (BaseView.is_accessible, PageView.is_accessible)
        views = filter(None, (self, self._index_view()))
        return _explicit_access() is not None or any(
            type(view).is_accessible not in unrestricted for view in views
        )

    def _index_view(self) -> BaseView | None:
        """Return the Admin's index view, unless this is it."""
        index: BaseView | None = self.admin.index_view
        return None if index is self else index

    @expose("/", methods=("GET", "POST"))  # type: ignore[untyped-decorator]
    def index(self) -> ResponseReturnValue:
        """Answer a request for the page."""
        return serve(self.page, AdminSurface(self))

    def create_blueprint(self, admin: Admin) -> Blueprint:
        """Return the view's blueprint, which finds this package's files."""
        # BaseView takes its static files, and where they are, from the Admin.
        self.static_url_path = "/bitmapist-static"
        blueprint: Blueprint = super().create_blueprint(admin)
        # BaseView looks for templates in flask_admin itself.
        blueprint.template_folder = str(PACKAGE / "templates")
        blueprint.static_folder = str(PACKAGE / "static")
        AdminSurface.register(admin, self)
        return blueprint

    def _run_view(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        # BaseView calls the view a second time after any TypeError, which hides it.
        return fn(self, *args, **kwargs)


def _explicit_access() -> Access | None:
    """Return the app's own rule, if it has one."""
    # The menu asks on every page of the Admin, also if the extension came to nothing.
    kept = current_app.extensions.get("bitmapist")
    return kept.access if kept is not None and kept.access.is_explicit else None


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
        return serve_deletion(AdminSurface(self))


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


def add_views(admin: Admin, category: str | None = CATEGORY) -> None:
    """Add a tab for every page to *admin*.

    Args:
        admin: The Admin.  Another one in the same app gets endpoints of its own.
        category: The menu that they are under.
    """
    own = {view.page.name: view for view in VIEWS}
    prefix = "" if admin.endpoint == "admin" else f"{admin.endpoint}_"
    for page in registry.PAGES:
        endpoint = f"{prefix}bitmapist_{page.name}"
        admin.add_view(
            own.get(page.name, PageView)(
                page=page, category=category, endpoint=endpoint
            )
        )
