"""The standalone pages."""

from __future__ import annotations

from functools import partial

from flask import Blueprint, Response

from .pages import serve
from .registry import PAGES
from .surface import Surface, nonce


def create_blueprint(url_prefix: str = "/bitmapist") -> Blueprint:
    """Return the blueprint of the standalone pages.

    Args:
        url_prefix: Where they are.
    """
    blueprint = Blueprint(
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
            methods=["GET", "POST"] if page.fragment else ["GET"],
        )
    blueprint.after_request(_secured)
    return blueprint


def _secured(response: Response) -> Response:
    """Add the headers that keep a page to its own origin, unless the app sets them."""
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
