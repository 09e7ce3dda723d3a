"""What every page has around its answer, and what stands there instead of one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypedDict

from flask.typing import ResponseReturnValue
from redis import RedisError, ResponseError
from redis.exceptions import RedisClusterException

from ..analysis.errors import Text
from ..query import utc_now
from ..store.errors import DamagedIdMapError, NotABitmapError
from . import door, formats
from .export import json_response
from .surface import Surface, wants_json
from .texts import gettext, language, ngettext

OPENED_BY = (
    "from flask_login import current_user\n"
    "bitmapist.access(lambda: current_user.is_authenticated and current_user.is_admin)"
)
"""How an app lets its own people in, with Flask-Login."""


class ErrorsDict(TypedDict):
    """What is wrong, by parameter; ``form`` for all of it."""

    errors: dict[str, list[str]]


class Place(NamedTuple):
    """A page as the menu and the title have it."""

    name: str
    """Its endpoint."""
    label: Text

    @property
    def title(self) -> str:
        """What it is called, in the language of the request."""
        return formats.translated(self.label)


FORBIDDEN = Place("forbidden", Text("Access denied"))
"""What others see; it is in no menu."""


def context_of(page: Any, surface: Surface) -> dict[str, Any]:
    """Return what the template of every page needs.

    Args:
        page: A :class:`Place`, or anything with its ``name`` and ``title``.
        surface: Where it is shown.
    """
    links = [(each, surface.url(each.name)) for each in surface.pages]
    return {
        "page": page,
        "surface": surface,
        "pages": [(each, url) for each, url in links if url is not None],
        "t": gettext,
        "tn": ngettext,
        "fmt": formats,
        "language": language(),
        "left_out": partial(_left_out, surface),
    }


def _left_out(surface: Surface) -> list[str]:
    """Return what to say of marks that were left out."""
    found = surface.state.recorder.reports.left_out.look()
    return [formats.translated(told) for told in found.told(utc_now())]


def answered(
    page: Any,
    surface: Surface,
    respond: Callable[[], ResponseReturnValue],
    is_program: bool = False,
) -> ResponseReturnValue:
    """Return what *respond* gives, or that Redis does not answer, fit to be sent.

    Args:
        page: Which page.
        surface: Where it is shown.
        respond: Gives the response.
        is_program: Whether a program asks, which reads no HTML.
    """
    try:
        response = respond()
    except (RedisError, RedisClusterException) as error:
        response = _unavailable(page, surface, error, is_program)
    return door.leave(response, surface)


def turn_away(surface: Surface) -> ResponseReturnValue:
    """Return the answer for whoever may not see the pages.

    Args:
        surface: Where it is shown.
    """
    if surface.is_restricted:
        return refuse(surface, gettext("You do not have access to this page."))
    message = gettext(
        "Only available on localhost in development until access is configured."
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
        return door.leave(errors_response({"form": [message]}, 403), surface)
    context = {**context_of(FORBIDDEN, surface), "pages": [], "left_out": list}
    page = surface.render(
        "bitmapist/forbidden.html", message=message, code=code, **context
    )
    return door.leave((page, 403), surface)


def errors_response(errors: dict[str, list[str]], status: int) -> ResponseReturnValue:
    """Return what is wrong as JSON, in the one shape that all errors have."""
    told: ErrorsDict = {"errors": errors}
    return json_response(told, status)


def _unavailable(
    page: Any, surface: Surface, error: Exception, is_program: bool
) -> ResponseReturnValue:
    """Return what to show where Redis does not answer as it should."""
    surface.state.app.logger.warning("%s: Redis does not answer: %s", page.name, error)
    if isinstance(error, (NotABitmapError, DamagedIdMapError)):
        message = formats.translated(error.args[0])
    elif isinstance(error, ResponseError):
        message = gettext("Redis refused to answer; see the app's log for the reason.")
    else:
        message = gettext(
            "Redis does not answer, so there is nothing to show right now."
        )
    if is_program or wants_json():
        return errors_response({"form": [message]}, 503)
    context = {**context_of(page, surface), "left_out": list}
    return surface.render("bitmapist/unavailable.html", message=message, **context), 503
