"""``flask bitmapist openapi``: the document of the pages' JSON."""

from __future__ import annotations

import click

from ..state import BitmapistState
from ..web.openapi import document
from .common import asks, show_json


@click.command("openapi")
@asks
def openapi_command(state: BitmapistState) -> None:
    """Print the OpenAPI 3.1 document of the JSON endpoints."""
    show_json(document(state.query.questions(), state.settings.url_prefix))
