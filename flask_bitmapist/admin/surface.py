"""Pages as they are shown within Flask-Admin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakValueDictionary

from flask import url_for
from jinja2 import Environment
from markupsafe import Markup

from ..web.surface import Surface, no_user_view, user_endpoint

if TYPE_CHECKING:
    from flask_admin import Admin

    from ..state import BitmapistState
    from .views import PageView

DARK_SWATCHES = frozenset({"cyborg", "darkly", "slate", "solar", "superhero"})

# Which pages an Admin has, in the order in which they were added.  The Admin itself
# holds them; were they held here, it would stay for ever, and its app with it.
_views: WeakKeyDictionary[Admin, WeakValueDictionary[str, PageView]] = (
    WeakKeyDictionary()
)


class AdminSurface(Surface):
    """Where the page of one view is shown.

    Args:
        view: The view, which belongs to an Admin already.
        state: What the extension keeps for the app that is asked.  One Admin may
            serve several.
    """

    layout = "flask_bitmapist/admin/layout.html"

    def __init__(self, view: PageView, state: BitmapistState) -> None:
        super().__init__(state)
        self._view = view
        self.fill = view.render

    def environment(self) -> Environment:
        # Flask-Admin's own templates are written for that of the app.
        return self.state.app.jinja_env.overlay(
            autoescape=True, bytecode_cache=None, loader=self._loader()
        )

    @staticmethod
    def register(admin: Admin, view: PageView) -> None:
        """Let the other pages in *admin* link to *view*."""
        _views.setdefault(admin, WeakValueDictionary()).setdefault(
            view.question.endpoint, view
        )

    @property
    def scheme(self) -> str:  # type: ignore[override]
        """The colours that go with the Admin's theme, whatever the reader prefers."""
        return self._view.color_scheme or _scheme(self._view.admin)

    def url(self, page: str, /, **arguments: Any) -> str | None:
        view = self._view
        if page != view.question.endpoint:
            others: Mapping[str, PageView] = _views.get(view.admin, {})
            if page not in others or not others[page].is_accessible():
                return None
            view = others[page]
        address: str = view.get_url(f"{view.endpoint}.index", **arguments)
        return address

    scope = None
    """Tokens are for the standalone pages."""

    @property
    def is_restricted(self) -> bool:
        return self._view.is_restricted

    def deletion_url(self, **arguments: Any) -> str | None:
        if not self.may_delete or not hasattr(self._view, "delete"):
            return None
        address: str = self._view.get_url(f"{self._view.endpoint}.delete", **arguments)
        return address

    def erasing_url(self, **arguments: Any) -> str | None:
        if not self.may_delete or not hasattr(self._view, "forget"):
            return None
        address: str = self._view.get_url(f"{self._view.endpoint}.forget", **arguments)
        return address

    def asset(self, filename: str) -> str:
        # All tabs take them from one address, so that a browser keeps one copy.
        first = next(iter(_views[self._view.admin].values()), self._view)
        return url_for(f"{first.endpoint}.static", filename=filename)

    @property
    def nonce(self) -> Markup:
        generator = self._view.admin.csp_nonce_generator
        return Markup(' nonce="{}"').format(generator()) if generator else Markup("")

    def describe(self, user: int | str) -> tuple[str, str | None]:
        name, url = super().describe(user)
        view = self.state.settings.admin_user_view
        if not url and view:
            endpoint = user_endpoint(self.state.app, view)
            if endpoint is not None:
                return name, url_for(endpoint, id=user)
            self.state.recorder.reports.once("user view", no_user_view(view))
        return name, url


def _scheme(admin: Admin) -> str:
    swatch = getattr(admin.theme, "swatch", "default")
    return "dark" if swatch in DARK_SWATCHES else "light"
