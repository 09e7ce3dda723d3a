"""What programs are told: the OpenAPI document, and tools for a language model."""

from __future__ import annotations

import json
import secrets
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import click

from .._version import __version__
from ..analysis.errors import QueryError
from ..config import NUMBERS, PEOPLE
from ..questions.declare import Question
from ..questions.schema import parameters_schema
from ..web.openapi import document
from .common import asks, show_json

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server

    from ..state import BitmapistState

INSTRUCTIONS = (
    "Exact answers about what the users of this app do. Call events first to see "
    "which events exist. Counts are unique users; shares are fractions; periods "
    "are calendar periods in the app's time zone; a period that is not complete is "
    "still in progress."
)


@click.command("openapi")
@asks
def openapi_command(state: BitmapistState) -> None:
    """Print the OpenAPI 3.1 document of the JSON endpoints."""
    show_json(document(state.query.questions(), state.settings.url_prefix))


@click.command("token")
@click.option(
    "--people", is_flag=True, help="Let it ask about single users too, with their IDs."
)
def token_command(people: bool) -> None:
    """Make a token with which a program may ask, and print it with its setting.

    The token is kept nowhere: the settings hold its hash.
    """
    token = f"bitmapist_{secrets.token_urlsafe(32)}"
    scope = PEOPLE if people else NUMBERS
    hashed = sha256(token.encode()).hexdigest()
    click.echo(token)
    click.echo(
        "Give it to the program; it is shown only now. In the settings:", err=True
    )
    click.echo(
        f"BITMAPIST_API_TOKENS = {{{json.dumps(scope)}: [{json.dumps(hashed)}]}}"
    )


@click.command("mcp")
@click.option(
    "--people",
    is_flag=True,
    help="Also offer questions about individual users, with their IDs.",
)
@asks
def mcp_command(state: BitmapistState, people: bool) -> None:
    """Serve all reports to a language model, read-only, over stdin and stdout.

    Speaks the Model Context Protocol; requires the extra "mcp".
    """
    try:
        import anyio
        from mcp.server.stdio import stdio_server
    except ImportError:
        raise click.ClickException(
            "this command requires the MCP SDK: pip install 'flask-bitmapist[mcp]'"
        ) from None

    server = server_of(state, people)

    async def serve() -> None:
        async with stdio_server() as (incoming, outgoing):
            options = server.create_initialization_options()
            await server.run(incoming, outgoing, options)

    anyio.run(serve)


def server_of(state: BitmapistState, people: bool) -> Server[Any]:
    """Return the server: a tool for each question.

    Args:
        state: The app's state.
        people: Whether to offer what tells of single users.
    """
    import mcp.types as types
    from mcp.server.lowlevel import Server

    offered = {
        each.name: each
        for each in state.query.questions()
        if people or not each.is_private
    }

    async def list_tools(_context: Any, _params: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[_tool(each) for each in offered.values()])

    async def call_tool(_context: Any, params: Any) -> types.CallToolResult:
        text, is_error = _called(state, offered, params.name, params.arguments or {})
        content: list[Any] = [types.TextContent(type="text", text=text)]
        return types.CallToolResult(content=content, is_error=is_error)

    return Server(
        "flask-bitmapist",
        version=__version__,
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def _tool(question: type[Question[Any]]) -> Any:
    import mcp.types as types

    return types.Tool(
        name=question.name,
        title=str(question.title),
        description=(question.__doc__ or "").strip(),
        input_schema=parameters_schema(question),
        annotations=types.ToolAnnotations(read_only_hint=True, open_world_hint=False),
    )


def _called(
    state: BitmapistState,
    offered: dict[str, type[Question[Any]]],
    name: str,
    arguments: dict[str, Any],
) -> tuple[str, bool]:
    """Return the text of an answer, and whether it tells what was wrong."""
    question = offered.get(name)
    if question is None:
        return f"There is no tool {name!r}; use one of {', '.join(offered)}.", True
    try:
        with state.app.app_context():
            answer = state.query(question.from_json(arguments))
            return json.dumps(answer.to_dict()), False
    except QueryError as error:
        return str(error), True
