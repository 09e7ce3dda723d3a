"""The question of docs/howto/own-question.md, on every surface."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from flask import Flask

from flask_bitmapist import FlaskBitmapist, mark_event
from flask_bitmapist.questions import Question

pytest.importorskip("fakeredis")
flask_admin = pytest.importorskip("flask_admin")
jsonschema = pytest.importorskip("jsonschema")
mcp = pytest.importorskip("mcp")

PAGE = Path(__file__).parents[1] / "docs" / "howto" / "own-question.md"
ASKED = {"event": "song:played", "num_weeks": 2}


@pytest.fixture(scope="module")
def weekdays() -> Iterator[type[Question[Any]]]:
    """The class that the page declares."""
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)
    module = ModuleType("own_question")
    sys.modules["own_question"] = module  # where annotations are looked up
    exec(compile(blocks[0], str(PAGE), "exec"), vars(module))
    yield module.Weekdays
    del sys.modules["own_question"]


@pytest.fixture(params=["initialised before", "initialised after"])
def app(
    request: pytest.FixtureRequest, redis_url: str, weekdays: type[Question[Any]]
) -> Flask:
    """An app with the question and three users, of whom one came twice."""
    app = Flask("asks")
    app.config.update(BITMAPIST_REDIS_URL=redis_url, BITMAPIST_ACCESS="public")
    app.config.update(SECRET_KEY="for the tests")
    if "flask_babel" in sys.modules:
        sys.modules["flask_babel"].Babel(app)  # as Flask-Admin wants it
    extension = FlaskBitmapist()
    if request.param == "initialised after":
        extension.question(weekdays)
    extension.init_app(app, admin=flask_admin.Admin(app))
    if request.param == "initialised before":
        assert extension.question(weekdays) is weekdays
    with app.app_context():
        for user in (1, 2, 3):
            mark_event("song:played", user)
    return app


def told(app: Flask) -> Any:
    """The answer in Python, as JSON has it."""
    answer = app.extensions["bitmapist"].query.weekdays("song:played", num_weeks=2)
    assert sum(answer.users) == 3
    return without_moment(json.loads(json.dumps(answer.to_dict())))


def without_moment(answer: Any) -> Any:
    return {name: value for name, value in answer.items() if name != "as_of"}


def test_a_method_takes_it_as_data_and_by_its_parameters(
    app: Flask, weekdays: type[Question[Any]]
) -> None:
    query = app.extensions["bitmapist"].query
    asked = weekdays(**ASKED)
    assert query(asked).to_dict()["users"] == told(app)["users"]
    assert asked == weekdays(**ASKED)
    assert weekdays in query.questions()


def test_a_command_asks_it(app: Flask) -> None:
    run = app.test_cli_runner().invoke
    asked = ["bitmapist", "weekdays", "song:played", "--num-weeks", "2"]
    assert without_moment(json.loads(run(args=[*asked, "--json"]).stdout)) == told(app)
    assert run(args=[*asked, "--csv"]).stdout.splitlines()[0] == "weekday,users"
    assert "Active users by weekday: song:played" in run(args=asked).stderr
    assert "weekdays" in run(args=["bitmapist", "--help"]).stdout
    wrong = run(args=[*asked, "--num-weeks", "99"])
    assert wrong.exit_code == 2
    assert "num_weeks: This must be a whole number from 1 to 53." in wrong.output


@pytest.mark.parametrize("path", ["/bitmapist/weekdays", "/admin/bitmapist/weekdays/"])
def test_both_surfaces_show_form_answer_json_csv_and_body(
    app: Flask, path: str
) -> None:
    client = app.test_client()
    form = client.get(path)
    assert form.status_code == 200
    assert 'name="num_weeks"' in form.text
    page = client.get(path, query_string=ASKED)
    assert page.status_code == 200
    assert "Active users by weekday: song:played" in page.text
    assert ">Mon<" in page.text
    found = client.get(path, query_string={**ASKED, "format": "json"})
    assert without_moment(found.json) == told(app)
    sheet = client.get(path, query_string={**ASKED, "format": "csv"})
    assert sheet.mimetype == "text/csv"
    assert sheet.text.splitlines()[0] == "weekday,users"
    body = client.post(path, json=ASKED, query_string={"format": "json"})
    assert without_moment(body.json) == told(app)
    wrong = client.get(path, query_string={**ASKED, "num_weeks": 99, "format": "json"})
    assert wrong.status_code == 400
    assert wrong.json == {
        "errors": {"num_weeks": ["This must be a whole number from 1 to 53."]}
    }


@pytest.mark.parametrize("path", ["/bitmapist/cohort", "/admin/bitmapist/cohort/"])
def test_it_stands_in_the_menu(app: Flask, path: str) -> None:
    page = app.test_client().get(path).text
    assert re.search(r'href="[^"]*bitmapist/weekdays/?"', page)


def test_the_openapi_document_describes_it(app: Flask) -> None:
    document = app.test_client().get("/bitmapist/openapi.json").json
    assert {"get", "post"} <= set(document["paths"]["/weekdays"])
    schema = {
        "$ref": "#/components/schemas/Weekdays",
        "components": document["components"],
    }
    answer = app.extensions["bitmapist"].query.weekdays("song:played")
    jsonschema.validate(json.loads(json.dumps(answer.to_dict())), schema)


def test_a_tool_for_language_models_asks_it(app: Flask) -> None:
    import anyio

    from flask_bitmapist.cli.programs import server_of

    server = server_of(app.extensions["bitmapist"], people=False)

    async def call() -> Any:
        async with mcp.Client(server) as client:
            names = {each.name for each in (await client.list_tools()).tools}
            assert "weekdays" in names
            return await client.call_tool("weekdays", ASKED)

    called = anyio.run(call)
    assert without_moment(json.loads(called.content[0].text)) == told(app)


def test_another_app_does_not_have_it(
    app: Flask, make_app: Callable[..., Flask]
) -> None:
    other = make_app()
    with pytest.raises(AttributeError, match="weekdays"):
        _ = other.extensions["bitmapist"].query.weekdays
    assert other.test_client().get("/bitmapist/weekdays").status_code == 404
    asked = ["bitmapist", "weekdays", "song:played"]
    assert other.test_cli_runner().invoke(args=asked).exit_code == 2


def test_what_is_no_question_or_has_no_name_of_its_own_is_refused(
    weekdays: type[Question[Any]],
) -> None:
    extension = FlaskBitmapist()
    anything: Any = dict
    with pytest.raises(TypeError, match="derives from Question"):
        extension.question(anything)
    extension.question(weekdays)
    with pytest.raises(ValueError, match="already a question 'weekdays'"):
        extension.question(weekdays)
    for endpoint in ("trends", "index", "delete", "openapi", "static", "weekdays"):
        given = {"name": "again", "endpoint": endpoint, "__annotations__": {}}
        again = type("Again", (weekdays,), given)
        with pytest.raises(ValueError, match=f"already a page '{endpoint}'"):
            extension.question(again)
    for command in ("export", "doctor", "user"):
        again = type("Again", (weekdays,), {"name": command, "__annotations__": {}})
        with pytest.raises(ValueError, match=f"already a command '{command}'"):
            extension.question(again)
    for taken in ("cohort", "expression"):
        again = type("Again", (weekdays,), {"name": taken, "__annotations__": {}})
        with pytest.raises(ValueError, match=f"already a question '{taken}'"):
            extension.question(again)


@pytest.mark.parametrize("surface", ["/bitmapist/days", "/admin/bitmapist/days/"])
def test_it_may_have_a_template_of_the_apps(
    redis_url: str, weekdays: type[Question[Any]], tmp_path: Path, surface: str
) -> None:
    class Days(weekdays):  # type: ignore[valid-type,misc]
        """On which days?"""

        template = "days.html"

    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "days.html").write_text(
        '{% extends "flask_bitmapist/question.html" %}{% block bm_answer %}'
        "<p>{{ answer.users | sum }} on {{ sentence }}</p>{% endblock %}"
    )
    app = Flask("asks", root_path=str(tmp_path))
    app.config.update(BITMAPIST_REDIS_URL=redis_url, BITMAPIST_ACCESS="public")
    if "flask_babel" in sys.modules:
        sys.modules["flask_babel"].Babel(app)
    extension = FlaskBitmapist()
    extension.question(Days)
    extension.init_app(app, admin=flask_admin.Admin(app))
    with app.app_context():
        mark_event("<b>", 1)
    page = app.test_client().get(surface, query_string={"event": '"<b>"'})
    assert page.status_code == 200
    assert re.search("<p>1 on Active users by weekday: [^<]*&lt;b&gt;", page.text)
