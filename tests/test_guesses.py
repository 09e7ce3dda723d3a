"""What somebody may well guess: it works, or they are told; it is never silence."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
from flask import Blueprint, Flask, render_template_string

from flask_bitmapist import ConfigError, FlaskBitmapist, mark, mark_event, mark_unique

from .kinds import findings

MakeApp = Callable[..., Flask]


# -- settings


def test_a_setting_of_another_version_is_let_pass_and_told(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = Flask("tracked")
    app.config.update(BITMAPIST_REDIS_URL=redis_url, BITMAPIST_WARP_FACTOR=9)
    FlaskBitmapist(app)
    assert "BITMAPIST_WARP_FACTOR is not a setting of this version" in caplog.text
    assert "BITMAPIST_WARP_FACTOR" in findings(app)["settings"]["found"]


def test_what_the_code_itself_gives_is_of_this_version() -> None:
    with pytest.raises(ConfigError, match="'BITMAPIST_WARP_FACTOR' is not a setting"):
        FlaskBitmapist(Flask("tracked"), {"BITMAPIST_WARP_FACTOR": 9})


# -- marks that no route reaches


def passed_over(app: Flask) -> list[str]:
    from flask_bitmapist.marking import unreached

    return [rule for _, rule in unreached(app)]


def decorated(view: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(view)
    def wrapper(*arguments: Any, **options: Any) -> Any:
        return view(*arguments, **options)

    return wrapper


def test_doctor_names_views_whose_marks_stand_above_the_route(app: Flask) -> None:
    @mark("came", 1)
    @app.get("/above")
    def above() -> str:
        return ""

    @mark("came", 1)
    @decorated
    @app.get("/far-above")
    def far_above() -> str:
        return ""

    @mark("came", 1)
    @app.get("/between")
    @mark("went", 1)
    def between() -> str:
        return ""

    assert passed_over(app) == ["/above", "/far-above", "/between"]
    found = findings(app)["marks"]
    assert "never made" in found["found"]
    assert "below @app.route" in found["advice"]


def test_marks_that_are_made_are_not_named(app: Flask) -> None:
    @app.get("/below")
    @mark("came", 1)
    @mark("went", 1)
    def below() -> str:
        return ""

    @app.get("/wrapped")
    @decorated
    @mark("came", 1)
    @decorated
    def wrapped() -> str:
        return ""

    @mark("came", 1)
    def job() -> None: ...

    def shared() -> str:
        return ""

    app.add_url_rule("/one", "one", mark("came", 1)(shared))
    app.add_url_rule("/two", "two", mark("went", 1)(shared))
    assert passed_over(app) == []
    assert "marks" not in findings(app)


# -- an app that is not tracked


def test_a_marked_blueprint_works_in_an_app_without_the_extension(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    songs = Blueprint("songs", __name__)

    @songs.get("/play")
    @mark("song:played", 1)
    def play() -> str:
        mark_event("song:started", 1)
        mark_unique("listener", 1)
        return "la"

    other = Flask("untracked")
    other.register_blueprint(songs)
    for _ in range(3):
        assert other.test_client().get("/play").text == "la"
    (said,) = [each for each in caplog.messages if "nothing is tracked" in each]
    assert "'untracked'" in said
    assert "call FlaskBitmapist(app)" in said
    # Where no request is to be answered, it is an error as it was.
    with other.app_context(), pytest.raises(RuntimeError, match="not initialised"):
        mark_event("song:started", 1)


# -- templates


def test_templates_have_the_extension_by_its_name(app: Flask) -> None:
    with app.app_context():
        mark_event("came", 1)
    count = "{{ bitmapist.query.count('came', 'day') }}"
    with app.test_request_context():
        assert render_template_string(count) == "1"
        macro = f"{{% macro told() %}}{count}{{% endmacro %}}{{{{ told() }}}}"
        assert render_template_string(macro) == "1"


def test_another_name_can_be_given_and_none(make_app: MakeApp) -> None:
    asked = "{{ stats is defined }} {{ bitmapist is defined }}"
    for name, said in ("stats", "True False"), ("", "False False"):
        with make_app(BITMAPIST_JINJA_NAME=name).test_request_context():
            assert render_template_string(asked) == said


def test_what_the_app_itself_calls_so_comes_first(make_app: MakeApp) -> None:
    one, two = make_app(), make_app()
    one.jinja_env.globals["bitmapist"] = "mine"
    two.context_processor(lambda: {"bitmapist": "mine"})
    for app in one, two:
        with app.test_request_context():
            assert render_template_string("{{ bitmapist }}") == "mine"


def test_what_jinja_is_made_with_can_still_be_changed(make_app: MakeApp) -> None:
    app = make_app()
    app.jinja_options = {"variable_start_string": "<<", "variable_end_string": ">>"}
    with app.test_request_context():
        assert render_template_string("<< bitmapist is defined >>") == "True"


# -- the Admin


@pytest.fixture
def admin_app(make_app: MakeApp) -> Flask:
    flask_admin = pytest.importorskip("flask_admin")
    app = make_app(BITMAPIST_ADMIN_USER_VIEW="customers")
    babel = pytest.importorskip("flask_babel")
    babel.Babel(app)
    FlaskBitmapist(app, admin=flask_admin.Admin(app))
    return app


def test_a_view_of_users_that_is_not_there_is_told_once_and_by_doctor(
    admin_app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    with admin_app.app_context():
        mark_event("came", 1)
        mark_event("came", 2)
    url = "/admin/bitmapist/trends/?events=came&series=came&column=0"
    from flask_bitmapist.admin import AdminSurface  # noqa: F401

    for _ in range(2):
        people = admin_app.test_client().get(f"{url}&period={_today()}")
        assert people.status_code == 200, people.text
    said = [each for each in caplog.messages if "BITMAPIST_ADMIN_USER_VIEW" in each]
    assert len(said) == 1
    assert "'customers'" in findings(admin_app)["admin"]["found"]


def _today() -> str:
    from datetime import datetime, timezone

    return f"{datetime.now(tz=timezone.utc):%Y-%m-%d}"


def test_the_url_above_all_tabs_leads_to_the_overview(admin_app: Flask) -> None:
    answer = admin_app.test_client().get("/admin/bitmapist/")
    assert answer.status_code == 302
    assert answer.location == "/admin/bitmapist/index/"


# -- commands that write to a store that is gone when they end


@pytest.mark.parametrize(
    "command",
    [
        ["import", "events.csv"],
        ["backfill", "came", "orders", "--user", "a", "--time", "b"],
        ["delete", "--all", "--yes"],
        ["forget", "7", "--yes"],
        ["id-map", "on", "--yes"],
        ["id-map", "repair", "--yes"],
        ["sample"],
        ["sample", "--remove"],
    ],
    ids=" ".join,
)
def test_commands_that_write_to_memory_are_refused_with_what_to_do(
    command: list[str],
) -> None:
    pytest.importorskip("fakeredis")
    app = Flask("tracked")
    FlaskBitmapist(app, {"BITMAPIST_REDIS_URL": "memory://"})
    done = app.test_cli_runner().invoke(args=["bitmapist", *command])
    assert done.exit_code == 2
    assert "set BITMAPIST_REDIS_URL to a Redis server" in done.output


def test_tests_of_an_app_may_write_to_memory(tmp_path: Any) -> None:
    pytest.importorskip("fakeredis")
    app = Flask("tracked")
    app.testing = True
    extension = FlaskBitmapist(app)
    (tmp_path / "events.csv").write_text("user_id,event,timestamp\n7,came,2024-05-01\n")
    command = ["bitmapist", "import", str(tmp_path / "events.csv")]
    assert app.test_cli_runner().invoke(args=command).exit_code == 0
    assert extension.query.events().to_dict()


# -- rows


def test_rows_are_imported_by_a_method(redis_url: str) -> None:
    extension = FlaskBitmapist(Flask("tracked"), {"BITMAPIST_REDIS_URL": redis_url})
    rows = [(7, "came", "2024-05-01"), (8, "came", "x"), (9, "came", 1714521600)]
    summary = extension.import_rows(rows[:2])
    assert (summary.written, summary.rejected) == (1, 1)
    assert extension.import_rows(rows[2:], time_format="epoch").written == 1
    with pytest.raises(RuntimeError, match="no app is initialised"):
        FlaskBitmapist().import_rows(rows)
