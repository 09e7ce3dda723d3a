"""The standalone pages: their routes, which load the pages with the first request."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, has_request_context, request
from flask.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue
from werkzeug.wrappers import Response as AnyResponse

from ..access import UnknownTokenError
from . import door

if TYPE_CHECKING:
    from ..questions.declare import AnyQuestion
    from ..state import BitmapistState
    from .surface import Surface

HOST = "bitmapist_host"

ENDPOINTS = (
    *("index", "cohort", "trends", "lifecycle", "funnel", "stickiness", "people"),
    *("events", "count", "has", "users"),
)
"""The pages of this package's questions.  They are declared with the questions, but all
routes have to be there before the first request, and the questions need not."""


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
        static_folder="static",
    )
    _add_pages(blueprint, state)
    _add_hooks(blueprint, state)
    return blueprint


def _add_pages(blueprint: Blueprint, state: BitmapistState) -> None:
    # What extensions know views by is their module and their name.
    def openapi() -> ResponseReturnValue:
        """Answer with the OpenAPI document of the questions."""
        from .openapi import document
        from .responses import json_response, leave

        told = document(state.query.questions(), state.settings.url_prefix)
        return leave(json_response(told), _surface(state))

    def delete() -> ResponseReturnValue:
        """Answer a request to delete an event."""
        from .deletion import serve_deletion

        return serve_deletion(_surface(state))

    def forget() -> ResponseReturnValue:
        """Answer a request to erase a person."""
        from .deletion import serve_erasing

        return serve_erasing(_surface(state))

    methods = ["GET", "POST"]
    for name in (*ENDPOINTS, *(each.endpoint for each in state.own.values())):
        view = _page_view(state, name)
        blueprint.add_url_rule(door.path_of(name), name, view, methods=methods)
    blueprint.add_url_rule("/openapi.json", "openapi", openapi)
    blueprint.add_url_rule("/events/delete", "delete", delete, methods=methods)
    blueprint.add_url_rule("/people/forget", "forget", forget, methods=methods)


def _add_hooks(blueprint: Blueprint, state: BitmapistState) -> None:
    def guard() -> ResponseReturnValue | None:
        """Answer the current request for whoever may not see the pages."""
        endpoint = (request.endpoint or "").rpartition(".")[2]
        if endpoint == "static":
            # The stylesheets of the refusal; whoever installs the package has them.
            return None
        asks = endpoint not in {"delete", "forget"}
        try:
            verdict = state.access.decide(takes_tokens=asks)
        except UnknownTokenError:
            from .responses import unauthorized

            return unauthorized(_surface(state))
        if isinstance(verdict, AnyResponse):
            return verdict
        if verdict:
            return None
        from .responses import turn_away

        return turn_away(_surface(state), not _has_html(state, endpoint))

    def with_host(endpoint: str, values: dict[str, Any]) -> None:
        """Keep links on the host that was asked."""
        if has_request_context():
            values.setdefault(HOST, request.host)

    def secured(response: Response) -> Response:
        """Keep a page to its own origin, unless the app says otherwise."""
        if _is_ours(state.settings.url_prefix):
            from .surface import nonce

            _secure(response, nonce(state))
        return response

    blueprint.url_value_preprocessor(door.enter)
    blueprint.before_request(guard)
    if state.app.url_map.host_matching:
        blueprint.url_value_preprocessor(_without_host)
        blueprint.url_defaults(with_host)
    # Not of the blueprint alone: a page that is not found belongs to none.
    blueprint.after_app_request(secured)


def add_question(state: BitmapistState, question: AnyQuestion) -> None:
    """Add the page of an app's own question to an app that has the pages already.

    Args:
        state: What the extension keeps for the app.
        question: The question.
    """
    app = state.app
    options: dict[str, Any] = {}
    if app.url_map.host_matching:
        options["host"] = f"<{HOST}>"
    app.add_url_rule(
        f"{state.settings.url_prefix}{door.path_of(question.endpoint)}",
        f"bitmapist.{question.endpoint}",
        _page_view(state, question.endpoint),
        methods=["GET", "POST"],
        **options,
    )


def _page_view(state: BitmapistState, endpoint: str) -> Callable[..., Any]:
    def view() -> Response:
        """Answer a request for the page of a question."""
        from .legacy import serve

        questions = state.query.questions()
        question = next(each for each in questions if each.endpoint == endpoint)
        return serve(question, _surface(state))

    # Extensions tell views apart by their names.
    view.__name__ = view.__qualname__ = endpoint
    return view


def _surface(state: BitmapistState) -> Surface:
    from .surface import Surface

    return Surface(state)


def _has_html(state: BitmapistState, endpoint: str) -> bool:
    """Return whether people look at what an endpoint answers, not programs alone."""
    pages = {each.endpoint for each in state.query.questions() if each.in_menu}
    return endpoint in pages | {"delete", "forget"}


def _without_host(endpoint: str | None, values: dict[str, Any] | None) -> None:
    if values:
        values.pop(HOST, None)


def _secure(response: Response, given: str) -> None:
    """Add the headers that keep a page to its own origin, unless the app sets them.

    Args:
        response: The response.
        given: The nonce of its scripts and styles, empty where it has none.
    """
    source = f"'self' 'nonce-{given}'" if given else "'self'"
    response.headers.setdefault(
        "Content-Security-Policy",
        f"default-src 'self'; script-src {source}; style-src {source}; "
        "img-src 'self' data:; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'self'; object-src 'none'",
    )
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "same-origin")


def _is_ours(url_prefix: str) -> bool:
    """Return whether the request is for a page, or for one that there might be."""
    if request.url_rule is not None:
        return request.blueprint == "bitmapist"
    return f"{request.path}/".startswith(f"{url_prefix}/")
