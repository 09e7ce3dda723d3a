"""Keeping the standalone pages from those who may not see them."""

from __future__ import annotations

from flask import request
from flask.typing import ResponseReturnValue
from werkzeug.wrappers import Response

from .export import json_response
from .forms import QuestionForm
from .pages import Page, context_of
from .surface import Surface, state, wants_json
from .texts import gettext, lazy

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


def guard() -> ResponseReturnValue | None:
    """Answer the current request for whoever may not see the pages.

    Returns:
        None if the request may go on.
    """
    # The stylesheets of the refusal; whoever installs the package has them anyway.
    if (request.endpoint or "").endswith(".static"):
        return None
    verdict = state().access.decide()
    if isinstance(verdict, Response):
        return verdict
    return None if verdict else _refused()


def _refused() -> ResponseReturnValue:
    is_local = not state().access.is_explicit
    if is_local:
        message = gettext(
            "This page is shown while developing only: by Flask's development server, "
            "to a browser on the same machine."
        )
    else:
        message = gettext("You may not see this page.")
    code = OPENED_BY if is_local else None
    return refuse(Surface(), message, code)


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
        return json_response({"error": message}, 403)
    context = {**context_of(FORBIDDEN, surface), "pages": []}
    page = surface.render(FORBIDDEN.template, message=message, code=code, **context)
    return page, 403
