"""The standalone pages."""

from __future__ import annotations

from functools import partial
from typing import Any

from flask import Blueprint, Response, has_request_context, request
from flask.blueprints import BlueprintSetupState

from .deletion import serve_deletion
from .guard import guard
from .page import QuestionPage
from .pages import serve
from .registry import PAGES
from .surface import Surface, nonce, state

HOST = "bitmapist_host"


class _AnyHostState(BlueprintSetupState):
    """Lets the pages answer on every host of an app that matches hosts."""

    def add_url_rule(self, rule: str, *arguments: Any, **options: Any) -> None:
        if self.app.url_map.host_matching:
            options.setdefault("host", f"<{HOST}>")
        super().add_url_rule(rule, *arguments, **options)


class _AnyHostBlueprint(Blueprint):
    def make_setup_state(
        self, app: Any, options: dict[str, Any], first_registration: bool = False
    ) -> BlueprintSetupState:
        return _AnyHostState(self, app, options, first_registration)


def create_blueprint(url_prefix: str = "/bitmapist") -> Blueprint:
    """Return the blueprint of the standalone pages.

    Args:
        url_prefix: Where they are.
    """
    blueprint = _AnyHostBlueprint(
        "bitmapist",
        "flask_bitmapist",
        url_prefix=url_prefix,
        template_folder="templates",
        static_folder="static",
    )
    surface = Surface()
    for page in PAGES:
        blueprint.add_url_rule(
            page.path,
            page.name,
            partial(serve, page, surface),
            methods=["GET", "POST"] if isinstance(page, QuestionPage) else ["GET"],
        )
    blueprint.add_url_rule(
        "/events/delete",
        "delete",
        partial(serve_deletion, surface),
        methods=["GET", "POST"],
    )
    blueprint.before_request(guard)
    blueprint.url_value_preprocessor(_without_host)
    blueprint.url_defaults(_with_host)
    # Not of the blueprint alone: a page that is not found belongs to none.
    blueprint.after_app_request(partial(_secured, url_prefix))
    return blueprint


def _without_host(endpoint: str | None, values: dict[str, Any] | None) -> None:
    if values:
        values.pop(HOST, None)


def _with_host(endpoint: str, values: dict[str, Any]) -> None:
    """Keep links on the host that was asked."""
    if has_request_context() and state().app.url_map.host_matching:
        values.setdefault(HOST, request.host)


def _secured(url_prefix: str, response: Response) -> Response:
    """Add the headers that keep a page to its own origin, unless the app sets them."""
    if not _is_ours(url_prefix):
        return response
    given = nonce()
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
