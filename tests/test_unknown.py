"""Names that nobody has ever marked, and hours that were not kept: told, not zero."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from flask import Flask

from flask_bitmapist import FlaskBitmapist, QueryError, mark_event, mark_unique
from flask_bitmapist.questions import Question

from .inside import Cohort, Count, Funnel, Has, Lifecycle, Stickiness, Trend, Users

MEANT = "Unknown event 'purchas'. Did you mean 'purchase'?"
WRONG = "purchas"

ASKED: list[tuple[Callable[..., Question[Any]], dict[str, Any], str]] = [
    (Cohort, {"primary_event": WRONG}, "primary_event"),
    (
        Cohort,
        {"primary_event": "purchase", "secondary_event": WRONG},
        "secondary_event",
    ),
    (Cohort, {"primary_event": "purchase", "within": WRONG}, "within"),
    (Trend, {"events": ["purchase", f"purchase and not {WRONG}"]}, "events"),
    (Lifecycle, {"event": WRONG}, "event"),
    (Funnel, {"steps": ["purchase", WRONG]}, "steps"),
    (Stickiness, {"event": f"{WRONG} or purchase"}, "event"),
    (Count, {"event": WRONG}, "event"),
    (Has, {"user": 1, "event": WRONG}, "event"),
    (Users, {"event": WRONG}, "event"),
]


@pytest.fixture
def app(redis_url: str) -> Flask:
    """An app on an empty database."""
    app = Flask("tracked")
    app.config.update(BITMAPIST_REDIS_URL=redis_url, BITMAPIST_ACCESS="public")
    return app


@pytest.fixture
def extension(app: Flask) -> FlaskBitmapist:
    """The extension of an app with an event, a flag and a defined name."""
    extension = FlaskBitmapist(app)
    with app.app_context():
        mark_event("purchase", 1)
        mark_unique("premium", 1)
    extension.define("engaged", "purchase and flag(premium)")
    return extension


def url_of(question: Question[Any]) -> str:
    return f"/bitmapist/{question.endpoint}"


@pytest.mark.parametrize(("kind", "given", "field"), ASKED)
def test_every_surface_tells_an_unknown_event_with_the_nearest_one(
    app: Flask,
    extension: FlaskBitmapist,
    kind: Callable[..., Question[Any]],
    given: dict[str, Any],
    field: str,
) -> None:
    question = kind(**given)
    with pytest.raises(QueryError) as refused:
        extension.query(question)
    assert (str(refused.value), refused.value.field) == (MEANT, field)

    command = app.test_cli_runner().invoke(
        args=["bitmapist", question.name, *question.words()]
    )
    assert command.exit_code == 2
    assert MEANT in command.output

    client = app.test_client()
    url, arguments = url_of(question), question.arguments()
    found = client.get(url, query_string={**arguments, "format": "json"})
    assert (found.status_code, found.json) == (400, {"errors": {field: [MEANT]}})
    body = client.post(url, json=question.given(), query_string={"format": "json"})
    assert (body.status_code, body.json) == (400, {"errors": {field: [MEANT]}})
    if question.in_menu:
        page = client.get(url, query_string=arguments)
        assert page.status_code == 400
        assert "Did you mean &#39;purchase&#39;?" in page.text

    allowed = kind(**given, allow_unknown=True)
    assert extension.query(allowed).warnings == ()
    found = client.get(
        url, query_string={**arguments, "allow_unknown": "y", "format": "json"}
    )
    assert found.status_code == 200


def test_the_page_tells_it_beside_the_field(
    app: Flask, extension: FlaskBitmapist
) -> None:
    page = app.test_client().get(
        "/bitmapist/cohort?primary_event=purchase&secondary_event=purchas"
    )
    field = re.search(r'<[^>]*name="secondary_event"[^>]*>', page.text)
    assert field is not None
    assert 'aria-invalid="true"' in field[0]
    assert "primary_event" not in field[0]


def test_a_tool_for_language_models_tells_it(
    app: Flask, extension: FlaskBitmapist
) -> None:
    mcp = pytest.importorskip("mcp")
    import anyio

    from flask_bitmapist.cli.programs import server_of

    async def call() -> Any:
        server = server_of(app.extensions["bitmapist"], people=False)
        async with mcp.Client(server) as client:
            return await client.call_tool("trend", {"events": ["purchas"]})

    called = anyio.run(call)
    assert called.is_error
    assert MEANT in called.content[0].text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("flag(premum)", "Unknown flag 'premum'. Did you mean 'premium'?"),
        ("flag(zzz)", "Unknown flag 'zzz'."),
        ("premium", "'premium' is a flag; write flag(premium)."),
        ("engagd", "Unknown event 'engagd'. Did you mean 'engaged'?"),
        ("zzz", "Unknown event 'zzz'."),
    ],
)
def test_flags_and_defined_names_are_told_too(
    extension: FlaskBitmapist, text: str, told: str
) -> None:
    with pytest.raises(QueryError) as refused:
        extension.query.count(f"purchase and {text}")
    assert str(refused.value) == told


def test_known_names_are_taken_wherever_they_stand(extension: FlaskBitmapist) -> None:
    for text in (
        "engaged",
        "purchase and engaged",
        "not flag(premium) within purchase",
    ):
        extension.query.count(text)
    assert extension.query.count("engaged") == 1


def test_while_the_store_holds_nothing_it_is_a_warning(app: Flask) -> None:
    query = FlaskBitmapist(app).query
    answer = query(Trend(["purchase"]))
    assert answer.warnings == ("No events have been tracked yet.",)
    assert set(answer.series[0].counts) == {0}
    told = app.test_client().get("/bitmapist/trends?events=purchase&format=json")
    assert told.status_code == 200
    assert told.json["warnings"] == ["No events have been tracked yet."]
    command = app.test_cli_runner().invoke(args=["bitmapist", "count", "purchase"])
    assert command.exit_code == 0
    assert "No events have been tracked yet." in command.stderr


def test_to_define_a_name_reads_its_grammar_only(
    app: Flask, extension: FlaskBitmapist
) -> None:
    extension.define("later", "not_yet_tracked and purchase")
    with pytest.raises(QueryError, match="Unknown event 'not_yet_tracked'"):
        extension.query.count("later")
    with app.app_context():
        mark_event("not_yet_tracked", 1)
    assert extension.query.count("later") == 1


def test_a_name_once_known_stays_known_for_the_process(
    app: Flask, extension: FlaskBitmapist, redis_client: Any
) -> None:
    assert extension.query.count("purchase") == 1
    extension.query.count("flag(premium)")
    redis_client.flushall()
    with app.app_context():
        mark_event("other", 1)
    assert extension.query.count("purchase") == 0
    assert extension.query.count("other and flag(premium)") == 0
    with pytest.raises(QueryError, match="Unknown event 'purchas'"):
        extension.query.count("purchas")


# --- Hours that were not kept

NOON = datetime(2026, 11, 18, 12, 30, tzinfo=timezone.utc)
BY_HOUR: list[Callable[..., Question[Any]]] = [
    lambda: Cohort("came", time_group="hours", num_rows=4, num_cols=2, as_of=NOON),
    lambda: Trend(["came"], time_group="hours", num_periods=4, as_of=NOON),
    lambda: Lifecycle("came", time_group="hours", num_periods=4, as_of=NOON),
    lambda: Funnel(
        ["came", "came"], time_group="hours", num_periods=4, window=2, as_of=NOON
    ),
    lambda: Count("came", "hours", as_of=NOON),
    lambda: Has(1, "came", "hours", as_of=NOON),
    lambda: Users("came", "hours", as_of=NOON),
]


@pytest.mark.parametrize("asked", BY_HOUR)
def test_hours_where_only_days_are_kept_are_refused_with_the_setting_that_keeps_them(
    app: Flask, asked: Callable[[], Question[Any]]
) -> None:
    question, query = asked(), FlaskBitmapist(app).query
    with app.app_context():
        mark_event("came", 1, now=NOON, track_hourly=False)
    with pytest.raises(QueryError, match="set BITMAPIST_TRACK_HOURLY") as refused:
        query(question)
    assert refused.value.field == "time_group"
    arguments = {**question.arguments(), "format": "json"}
    page = app.test_client().get(url_of(question), query_string=arguments)
    assert page.status_code == 400
    assert list(page.json["errors"]) == ["time_group"]


def test_hours_of_some_days_alone_are_null_on_the_others(app: Flask) -> None:
    FlaskBitmapist(app)
    day_before = NOON - timedelta(days=1)
    with app.app_context():
        mark_event("came", 1, now=day_before, track_hourly=False)
        mark_event("came", 2, now=NOON, track_hourly=True)
    arguments = {
        **{"events": "came", "time_group": "hours", "num_periods": "20"},
        **{"as_of": NOON.isoformat(), "format": "json"},
    }
    told = app.test_client().get("/bitmapist/trends", query_string=arguments).json
    counts = dict(zip(told["dates"], told["series"][0]["counts"]))
    assert counts["2026-11-18T12"] == 1
    assert counts["2026-11-18T00"] == 0
    assert counts["2026-11-17T23"] is None
    assert json.dumps(told)


def test_hours_of_days_without_any_activity_are_nobody(app: Flask) -> None:
    query = FlaskBitmapist(app).query
    with app.app_context():
        mark_event("came", 1, now=NOON, track_hourly=True)
    before = NOON - timedelta(days=2)
    trend = query.trend(["came"], time_group="hours", num_periods=3, as_of=before)
    assert trend.series[0].counts == (0, 0, 0)
