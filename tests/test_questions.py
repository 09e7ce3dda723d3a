"""Every question says the same on every surface; no question is named here."""

from __future__ import annotations

import json
import os
import pickle
import sys
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flask_bitmapist import FlaskBitmapist, QueryError, mark_event, mark_unique
from flask_bitmapist.questions import ParameterError, Question, params_of

from .inside import WALKED_KEY

mcp = pytest.importorskip("mcp")
jsonschema = pytest.importorskip("jsonschema")
validate = pytest.importorskip("openapi_spec_validator").validate

TODAY = datetime.now(tz=timezone.utc).replace(hour=0, minute=0)
EVENTS = ("play", "buy", "Order Completed")
WHO = (
    "play",
    "buy",
    "Order Completed",
    "engaged",
    "play and not buy",
    'buy or "Order Completed"',
    "not buy within play",
    "play and flag(premium)",
)
SAME_FOR_ALL = settings(
    max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def tracked(redis_url: str) -> Iterator[tuple[Flask, FlaskBitmapist]]:
    """An app with three months of events, and its extension."""
    app = Flask("tracked")
    app.config.update(BITMAPIST_REDIS_URL=redis_url, BITMAPIST_ACCESS="public")
    extension = FlaskBitmapist(app, {"BITMAPIST_TRACK_HOURLY": True})
    extension.define("engaged", "play and buy")
    with app.app_context():
        for user in range(30):
            mark_unique("premium", user * 3)
            for ago in range(user % 4, 90, 5 + user % 3):
                for number, event in enumerate(EVENTS):
                    if (user + ago) % (number + 2) == 0:
                        mark_event(event, user, now=TODAY - timedelta(days=ago))
        yield app, extension


SEGMENTS = ("flag(premium)", "play ever", "buy in last 9 days", "everyone")


def a_value(param: Any) -> st.SearchStrategy[Any]:
    """Values of a parameter, as Python has them."""
    kind = param.kind
    one = {
        "event": st.sampled_from(
            SEGMENTS if param.name in ("segments", "exclude") else WHO
        ),
        "number": st.integers(kind.least or 1, min(kind.most or 9, 9)),
        "choice": st.sampled_from(sorted(kind.choices) or ["x"]),
        "switch": st.booleans(),
        "day": st.sampled_from([0, 1, 9, 40]).map(
            lambda ago: (TODAY - timedelta(days=ago)).date()
        ),
        "user": st.integers(0, 40),
        "text": st.just("play"),
    }[kind.name]
    if kind.many:
        least = max(kind.least or 0, 1)
        one = st.integers(2, 9) if kind.name == "number" else one
        return st.lists(one, min_size=least, max_size=least + 1).map(tuple)
    return one


@st.composite
def parameters(draw: st.DrawFn, question: type[Question[Any]]) -> dict[str, Any]:
    """Random parameters of a question; optional ones may be left out."""
    return {
        each.name: draw(a_value(each))
        for each in params_of(question)
        # Pages look through the store at most once a minute, and say so.
        if each.name != "refresh" and (each.required or draw(st.booleans()))
    }


def all_questions(extension: FlaskBitmapist) -> list[type[Question[Any]]]:
    questions = list(extension.query.questions())
    assert len(questions) >= 7
    return questions


def in_python(extension: FlaskBitmapist, question: Question[Any]) -> Any:
    return json.loads(json.dumps(extension.query(question).to_dict()))


def test_every_answer_can_be_kept_elsewhere(
    tracked: tuple[Flask, FlaskBitmapist],
) -> None:
    _, extension = tracked
    given = {"event": "play", "user": 3, "steps": ["play", "buy"], "events": ["play"]}
    given |= {"primary_event": "play", "time_group": "weeks"}
    for question in all_questions(extension):
        answer = extension.query(question.read(given))
        if answer.listing is not None:
            with pytest.raises(TypeError, match=r"pickle set\(users\)"):
                pickle.dumps(answer)
            continue
        kept = pickle.loads(pickle.dumps(answer))
        assert kept == answer
        assert kept.to_dict() == answer.to_dict(), question.name
        assert kept.to_csv() == answer.to_csv()
        assert str(kept) == str(answer)
        assert [*kept.notes()] == [*answer.notes()]
        if question.cell is not None and hasattr(answer, "periods"):
            cell = question.cell.read(
                {"period": answer.periods[0].label, "step": 1, "stage": "new"}
            )
            answer.behind(cell)
            with pytest.raises(RuntimeError, match="ask the question again"):
                kept.behind(cell)


def by_command(app: Flask, question: Question[Any]) -> Any:
    done = app.test_cli_runner().invoke(
        args=["bitmapist", question.name, "--json", *question.words()]
    )
    assert done.exit_code in (0, 1), done.output
    return json.loads(done.stdout)


def by_page(app: Flask, question: Question[Any]) -> Any:
    arguments = {**question.arguments(), "format": "json"}
    response = app.test_client().get(path(question), query_string=arguments)
    assert response.status_code == 200, response.text
    return response.json


def by_body(app: Flask, question: Question[Any]) -> Any:
    response = app.test_client().post(
        path(question), json=question.given(), query_string={"format": "json"}
    )
    assert response.status_code == 200, response.text
    return response.json


def by_mcp(app: Flask, question: Question[Any]) -> Any:
    import anyio

    from flask_bitmapist.cli.programs import server_of

    server = server_of(app.extensions["bitmapist"], people=True)

    async def call() -> Any:
        async with mcp.Client(server) as client:
            return await client.call_tool(question.name, question.given())

    called = anyio.run(call)
    assert not called.is_error, called
    return json.loads(called.content[0].text)


def path(question: Question[Any]) -> str:
    end = "" if question.endpoint == "index" else question.endpoint
    return f"/bitmapist/{end}"


def without_moment(told: Any) -> Any:
    """Surfaces read the clock one after the other, and the names of the store too."""
    if isinstance(told, list):
        return [without_moment(each) for each in told]
    if not isinstance(told, dict):
        return told
    moments = ("as_of", "scanned_at")
    return {
        name: without_moment(value)
        for name, value in told.items()
        if name not in moments
    }


def check_on_all_surfaces(
    app: Flask, extension: FlaskBitmapist, question: Question[Any]
) -> None:
    expected = without_moment(in_python(extension, question))
    for surface in (by_command, by_page, by_body, by_mcp):
        # Pages may look through all keys only once a minute.
        app.extensions["bitmapist"].store.client.delete(WALKED_KEY)
        told = without_moment(surface(app, question))
        assert told == expected, surface.__name__


@SAME_FOR_ALL
@given(data=st.data())
def test_every_surface_gives_the_same_answer_to_random_parameters(
    tracked: tuple[Flask, FlaskBitmapist], data: st.DataObject
) -> None:
    app, extension = tracked
    for question in all_questions(extension):
        drawn = data.draw(parameters(question), label=question.__name__)
        try:
            asked = question(**drawn)
        except ParameterError:
            continue  # parameters that do not go together
        try:
            extension.query(asked)
        except QueryError:
            continue  # such as a NOT without a universe
        check_on_all_surfaces(app, extension, asked)


def test_every_surface_gives_the_same_answer_to_the_defaults(
    tracked: tuple[Flask, FlaskBitmapist],
) -> None:
    app, extension = tracked
    for question in all_questions(extension):
        least = {
            each.name: (
                ("play",) * max(each.kind.least or 1, 1)
                if each.kind.many
                else {"user": 3}.get(each.kind.name, "play")
            )
            for each in params_of(question)
            if each.required
        }
        check_on_all_surfaces(app, extension, question(**least))


@SAME_FOR_ALL
@given(data=st.data())
def test_a_question_comes_back_equal_from_url_command_and_json(
    tracked: tuple[Flask, FlaskBitmapist], data: st.DataObject
) -> None:
    for question in all_questions(tracked[1]):
        try:
            asked = question(**data.draw(parameters(question)))
        except ParameterError:
            continue
        assert question.read(asked.arguments()) == asked
        assert question.from_json(json.loads(json.dumps(asked.given()))) == asked
        assert hash(question.read(asked.arguments())) == hash(asked)


def test_every_surface_refuses_what_the_declaration_refuses(
    tracked: tuple[Flask, FlaskBitmapist],
) -> None:
    app, extension = tracked
    for question in all_questions(extension):
        wrong = {"as_of": "soon"}
        with pytest.raises(ParameterError) as refused:
            question.read(wrong)
        told = {name: str(text) for name, text in refused.value.wrong.items()}
        assert "as_of" in told
        page = app.test_client().get(
            f"/bitmapist/{'' if question.endpoint == 'index' else question.endpoint}",
            query_string={**wrong, "format": "json"},
        )
        assert page.status_code == 400
        assert page.json == {"errors": {name: [text] for name, text in told.items()}}


def test_every_answer_is_as_the_openapi_document_says(
    tracked: tuple[Flask, FlaskBitmapist],
) -> None:
    app, extension = tracked
    document = app.test_client().get("/bitmapist/openapi.json").json
    validate(document)
    printed = app.test_cli_runner().invoke(args=["bitmapist", "openapi"])
    assert json.loads(printed.stdout) == document
    for question in all_questions(extension):
        operations = document["paths"][path_in_document(question)]
        assert {"get", "post"} <= set(operations)
        schema = {
            "$ref": f"#/components/schemas/{question.__name__}",
            "components": document["components"],
        }
        least = {
            each.name: ("play", "buy")
            if each.kind.many
            else {"user": 3}.get(each.kind.name, "play")
            for each in params_of(question)
            if each.required
        }
        for whose in {}, {"segments": ["flag(premium)", "play ever"], "compare": 1}:
            told = in_python(extension, question(**least, **whose))
            jsonschema.validate(told, schema)
            assert len(told.get("segments", ())) == len(whose.get("segments", ()))


def path_in_document(question: type[Question[Any]]) -> str:
    return "/" if question.endpoint == "index" else f"/{question.endpoint}"


def test_mcp_tells_of_people_only_when_asked_to(
    tracked: tuple[Flask, FlaskBitmapist],
) -> None:
    import anyio

    from flask_bitmapist.cli.programs import server_of

    app, extension = tracked
    private = {each.name for each in all_questions(extension) if each.is_private}
    assert private

    async def tools(people: bool) -> set[str]:
        server = server_of(app.extensions["bitmapist"], people)
        async with mcp.Client(server) as client:
            return {each.name for each in (await client.list_tools()).tools}

    assert private.isdisjoint(anyio.run(tools, False))
    assert private <= anyio.run(tools, True)


def test_no_switch_is_on_by_default(tracked: tuple[Flask, FlaskBitmapist]) -> None:
    # A form that is sent by GET leaves boxes out that are not ticked.
    switches = [
        each
        for question in all_questions(tracked[1])
        for each in params_of(question)
        if each.kind.name == "switch"
    ]
    assert switches
    assert not any(each.default for each in switches)


def test_the_day_is_read_alike_as_text_and_as_a_date() -> None:
    from .inside import Trend

    assert Trend(["a"], as_of="2026-11-05") == Trend(["a"], as_of=date(2026, 11, 5))


def test_a_program_asks_over_stdin_and_stdout(
    tracked: tuple[Flask, FlaskBitmapist], redis_url: str, tmp_path: Path
) -> None:
    """The command as a language model's client starts it, in a process of its own."""
    import anyio

    _, extension = tracked
    (tmp_path / "served.py").write_text(SERVED, encoding="utf-8")
    started = mcp.StdioServerParameters(
        command=sys.executable,
        args=["-m", "flask", "--app", "served", "bitmapist", "mcp"],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "SERVED_REDIS_URL": redis_url,
        },
    )
    asked = {"event": "play and not buy", "num_days": 9, "as_of": f"{TODAY:%Y-%m-%d}"}

    async def talk() -> tuple[Any, Any, Any]:
        async with mcp.Client(mcp.stdio_client(started)) as client:
            tools = await client.list_tools()
            right = await client.call_tool("stickiness", asked)
            wrong = await client.call_tool("stickiness", {**asked, "num_day": 5})
            return tools.tools, right, wrong

    tools, right, wrong = anyio.run(talk)
    offered = {each.name for each in tools}
    public = {each.name for each in all_questions(extension) if not each.is_private}
    assert offered == public
    assert all(each.annotations.read_only_hint for each in tools)
    told = json.loads(right.content[0].text)
    answer = extension.query.stickiness(**asked)
    assert without_moment(told) == without_moment(
        json.loads(json.dumps(answer.to_dict()))
    )
    assert wrong.is_error
    assert "Did you mean 'num_days'?" in wrong.content[0].text


SERVED = """
import os
from flask import Flask
from flask_bitmapist import FlaskBitmapist

app = Flask("served")
FlaskBitmapist(app, {"BITMAPIST_REDIS_URL": os.environ["SERVED_REDIS_URL"]})
"""
