"""The standalone pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from flask import Blueprint, Response, has_request_context, redirect, request, url_for
from flask.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue
from werkzeug.wrappers import Response as AnyResponse

from ..questions.who import Users
from . import door
from .deletion import serve_deletion
from .export import json_response
from .openapi import document
from .page import QuestionPage
from .pages import endpoints_of, page_of, pages_of
from .shell import turn_away
from .surface import Surface, nonce

if TYPE_CHECKING:
    from ..questions.declare import AnyQuestion
    from ..state import BitmapistState

HOST = "bitmapist_host"


class _AnyHostState(BlueprintSetupState):
    """Lets the pages answer on every host of an app that matches hosts."""

    def add_url_rule(self, rule: str, *arguments: Any, **options: Any) -> None:
        if self.app.url_map.host_matching:
            options.setdefault("host", f"<{HOST}>")
        super().add_url_rule(rule, *arguments, **options)


class _AnyHostBlueprint(Blueprint):
    enable_openapi = False
    """APIFlask asks every blueprint whether its views stand in the app's API."""

    def make_setup_state(
        self, app: Any, options: dict[str, Any], first_registration: bool = False
    ) -> BlueprintSetupState:
        return _AnyHostState(self, app, options, first_registration)


def create_blueprint(state: BitmapistState) -> Blueprint:
    """Return the blueprint of the standalone pages.

    Args:
        state: What the extension keeps for the app.
    """
    blueprint = _AnyHostBlueprint(
        "bitmapist",
        "flask_bitmapist",
        url_prefix=state.settings.url_prefix,
        template_folder="templates",
        static_folder="static",
    )
    surface = Surface(state, pages_of)
    for page in endpoints_of(state):
        view = _page_view(page, surface)
        blueprint.add_url_rule(page.path, page.name, view, methods=["GET", "POST"])
    blueprint.add_url_rule(
        "/openapi.json",
        "openapi",
        _view("openapi", lambda: _openapi(surface), _openapi.__doc__),
    )
    blueprint.add_url_rule(
        "/events/delete",
        "delete",
        _view("delete", lambda: serve_deletion(surface), "Deletes an event."),
        methods=["GET", "POST"],
    )
    blueprint.url_value_preprocessor(door.enter)
    blueprint.before_request(_view("guard", lambda: guard(surface), guard.__doc__))
    blueprint.url_value_preprocessor(_without_host)
    blueprint.url_defaults(
        _view(
            "with_host",
            lambda endpoint, values: _with_host(state, values),
            _with_host.__doc__,
        )
    )
    # Not of the blueprint alone: a page that is not found belongs to none.
    blueprint.after_app_request(
        _view(
            "secured",
            lambda response: _secured(state, response),
            _secured.__doc__,
        )
    )
    return blueprint


def _view(
    name: str, answer: Callable[..., Any], about: str | None
) -> Callable[..., Any]:
    return door.named(answer, __name__, name, about or "")


def add_question(state: BitmapistState, question: AnyQuestion) -> None:
    """Add the page of an app's own question to an app that has the pages already.

    Args:
        state: What the extension keeps for the app.
        question: The question.
    """
    page, app = page_of(question), state.app
    options: dict[str, Any] = {}
    if app.url_map.host_matching:
        options["host"] = f"<{HOST}>"
    app.add_url_rule(
        f"{state.settings.url_prefix}{page.path}",
        f"bitmapist.{page.name}",
        _page_view(page, Surface(state, pages_of)),
        methods=["GET", "POST"],
        **options,
    )


def _page_view(page: QuestionPage, surface: Surface) -> Callable[..., Any]:
    return _view(page.name, _serving(page, surface), f"The page {page.name!r}.")


def _openapi(surface: Surface) -> ResponseReturnValue:
    """Answer with the OpenAPI document of the questions."""
    state = surface.state
    told = document(state.query.questions(), state.settings.url_prefix)
    return door.leave(json_response(told), surface)


def _serving(page: QuestionPage, surface: Surface) -> Callable[[], ResponseReturnValue]:
    if page.question is Users:
        return lambda: _users(page, surface)
    return lambda: page.serve(surface)


def _users(page: QuestionPage, surface: Surface) -> ResponseReturnValue:
    """Answer who did something; who asks about one user is sent on to their page."""
    asks_about_one = "user_id" in request.args or not request.args
    if request.method == "POST" or not asks_about_one:
        return page.serve(surface)
    arguments = [
        ("user" if name == "user_id" else name, value)
        for name, value in request.args.items(multi=True)
    ]
    query = f"?{urlencode(arguments)}" if arguments else ""
    return door.unkept(redirect(f"{url_for('.people')}{query}", 301))


def guard(surface: Surface) -> ResponseReturnValue | None:
    """Answer the current request for whoever may not see the pages.

    Args:
        surface: Where they are shown.

    Returns:
        None if the request may go on.
    """
    # The stylesheets of the refusal; whoever installs the package has them anyway.
    if (request.endpoint or "").endswith(".static"):
        return None
    verdict = surface.state.access.decide()
    if isinstance(verdict, AnyResponse):
        return verdict
    return None if verdict else turn_away(surface)


def _without_host(endpoint: str | None, values: dict[str, Any] | None) -> None:
    if values:
        values.pop(HOST, None)


def _with_host(state: BitmapistState, values: dict[str, Any]) -> None:
    """Keep links on the host that was asked."""
    if has_request_context() and state.app.url_map.host_matching:
        values.setdefault(HOST, request.host)


def _secured(state: BitmapistState, response: Response) -> Response:
    """Add the headers that keep a page to its own origin, unless the app sets them."""
    if not _is_ours(state.settings.url_prefix):
        return response
    given = nonce(state)
    source = f"'self' 'nonce-{given}'" if given else "'self'"
    response.headers.setdefault(
        "Content-Security-Policy",
        f"default-src 'self'; script-src {source}; style-src {source}; "
        "img-src 'self' data:; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'self'; object-src 'none'",
    )
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "same-origin")
    return response


def _is_ours(url_prefix: str) -> bool:
    """Return whether the request is for a page, or for one that there might be."""
    if request.url_rule is not None:
        return request.blueprint == "bitmapist"
    return f"{request.path}/".startswith(f"{url_prefix}/")
