"""The extension object: apps, factories, and several apps in one process."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Any

import bitmapist
import pytest
import redis
from flask import Flask

import flask_bitmapist
from flask_bitmapist import (
    FlaskBitmapist,
    chain_events,
    get_cohort,
    get_event_data,
    mark,
    mark_event,
)
from flask_bitmapist.questions import Answer, Question

from .inside import import_rows
from .servers import RedisProcess


@pytest.fixture
def other_server() -> Iterator[RedisProcess]:
    with RedisProcess() as server:
        yield server


def test_one_extension_object_serves_the_apps_of_a_factory(
    redis_url: str, other_server: RedisProcess
) -> None:
    extension = FlaskBitmapist()
    one, two = Flask("one"), Flask("two")
    one.config["BITMAPIST_REDIS_URL"] = redis_url
    extension.init_app(one)
    extension.init_app(two, {"BITMAPIST_REDIS_URL": other_server.url})
    for app, url in ((one, redis_url), (two, other_server.url)):
        with app.app_context():
            assert extension.app is app
            assert extension.redis_url == url
        assert app.extensions["bitmapist"].redis_url == url
    assert extension.app is two, "outside a context: the one initialised last"


def test_a_second_object_of_an_app_refuses_what_the_app_would_not_see(
    make_app: Callable[..., Flask],
) -> None:
    second = FlaskBitmapist(make_app())

    class Own(Question[Answer]):
        """Does anybody see this?"""

    for give in (
        lambda: second.define("engaged", "came"),
        lambda: second.question(Own),
        lambda: second.access(lambda: True),
    ):
        with pytest.raises(RuntimeError, match="another FlaskBitmapist object"):
            give()


def test_a_second_object_with_names_of_its_own_is_refused_the_app(
    make_app: Callable[..., Flask],
) -> None:
    app = make_app()
    second = FlaskBitmapist()
    second.define("engaged", "came")
    with pytest.raises(RuntimeError, match="another FlaskBitmapist object"):
        second.init_app(app)


def test_two_apps_never_see_each_others_events(
    make_app: Callable[..., Flask], other_server: RedisProcess
) -> None:
    one = make_app()
    two = make_app(BITMAPIST_REDIS_URL=other_server.url)
    with one.app_context():
        bitmapist.mark_event("from:bitmapist", 1)
        bitmapist.mark_event("from:bitmapist", 2, system="system")
        mark_event("from:ours", 1)
    with two.app_context():
        assert bitmapist.get_event_names() == []
        assert 1 not in bitmapist.DayEvents("from:bitmapist")
        assert len(flask_bitmapist.get_event_data("from:ours")) == 0
        bitmapist.mark_event("of:two", 3)
        with one.app_context():
            assert sorted(bitmapist.get_event_names()) == [
                "from:bitmapist",
                "from:ours",
            ]
            assert {*bitmapist.DayEvents("from:bitmapist")} == {1, 2}
        assert bitmapist.get_event_names() == ["of:two"]


def test_hours_are_kept_for_the_app_that_wants_them_alone(
    make_app: Callable[..., Flask], other_server: RedisProcess
) -> None:
    hourly = make_app(BITMAPIST_TRACK_HOURLY=True)
    daily = make_app(BITMAPIST_REDIS_URL=other_server.url)
    for app, hours in ((hourly, 1), (daily, 0)):
        with app.app_context():
            bitmapist.mark_event("by:bitmapist", 1)
            mark_event("by:us", 1)
            assert len(bitmapist.HourEvents("by:bitmapist")) == hours
            assert len(bitmapist.HourEvents("by:us")) == hours


def test_the_attributes_of_version_0_1_are_readable(redis_url: str) -> None:
    app = Flask("tracked")
    app.config["BITMAPIST_REDIS_URL"] = redis_url
    extension = FlaskBitmapist(app)
    for holder in (extension, app.extensions["bitmapist"]):
        assert holder.app is app
        assert holder.redis_url == redis_url
        assert {"default", "system"} <= set(holder.SYSTEMS)
        assert holder.TRACK_HOURLY is False


def test_the_connection_serves_under_its_name_and_as_the_default(
    make_app: Callable[..., Flask],
) -> None:
    app = make_app(BITMAPIST_REDIS_SYSTEM="analytics")
    with app.app_context():
        mark_event("a", 1, "analytics")
        bitmapist.mark_event("a", 2, "analytics")
        assert {*bitmapist.DayEvents("a")} == {1, 2}
        assert {*flask_bitmapist.get_event_data("a", system="analytics")} == {1, 2}
        with pytest.raises(RuntimeError, match="no Redis system 'elsewhere' in this"):
            flask_bitmapist.get_event_data("a", system="elsewhere")


def test_a_system_that_the_host_set_up_itself_is_left_to_it(
    app: Flask, other_server: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(bitmapist.SYSTEMS, "own", other_server.client())
    with app.app_context():
        bitmapist.mark_event("a", 5, system="own")
        assert {*flask_bitmapist.get_event_data("a", system="own")} == {5}
        assert {*flask_bitmapist.get_event_data("a")} == set()


@pytest.mark.parametrize("by_setup", [False, True])
def test_a_client_that_is_put_in_later_is_where_everything_goes(
    redis_url: str,
    redis_client: redis.Redis,
    other_server: RedisProcess,
    monkeypatch: pytest.MonkeyPatch,
    by_setup: bool,
) -> None:
    app = Flask("tracked")
    extension = FlaskBitmapist(
        app, {"BITMAPIST_REDIS_URL": redis_url, "BITMAPIST_ACCESS": "public"}
    )
    app.add_url_rule("/", "index", mark("seen", 1)(lambda: "seen"))
    proxy = bitmapist.SYSTEMS["default"]
    monkeypatch.setitem(bitmapist.SYSTEMS, "default", proxy)
    if by_setup:
        bitmapist.setup_redis("default", "127.0.0.1", other_server.port)
    else:
        bitmapist.SYSTEMS["default"] = other_server.client()
    web = app.test_client()
    assert web.get("/").text == "seen"
    listed = web.get("/bitmapist/events?format=json").get_json()
    assert [event["name"] for event in listed["events"]] == ["seen"]
    with app.app_context():
        mark_event("done", 2)
        bitmapist.mark_event("done", 3)
        assert {*bitmapist.DayEvents("done")} == {2, 3}
        assert {*flask_bitmapist.get_event_data("done")} == {2, 3}
        assert {*extension.query.users("done")} == {2, 3}
        assert {*bitmapist.get_event_names()} == {"done", "seen"}
        told = app.test_cli_runner().invoke(args=["bitmapist", "events", "--csv"])
        assert "done,2,2,2,2" in told.output
    assert redis_client.keys() == []

    bitmapist.SYSTEMS["default"] = proxy
    with app.app_context():
        mark_event("later", 4)
        assert bitmapist.get_event_names() == ["later"]
        assert {*extension.query.users("done", allow_unknown=True)} == set()


def test_so_does_a_client_under_the_name_of_the_apps_own_connection(
    make_app: Callable[..., Flask],
    other_server: RedisProcess,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = make_app(BITMAPIST_REDIS_SYSTEM="analytics")
    with app.app_context():
        monkeypatch.setitem(bitmapist.SYSTEMS, "analytics", other_server.client())
        mark_event("a", 1, "analytics")
        bitmapist.mark_event("a", 2, "analytics")
        assert {*flask_bitmapist.get_event_data("a", system="analytics")} == {1, 2}
        assert {*bitmapist.DayEvents("a", system="analytics")} == {1, 2}
        assert {*flask_bitmapist.get_event_data("a")} == set(), "by its name alone"


def test_keys_of_users_get_their_ids_where_their_marks_are(
    make_app: Callable[..., Flask],
    redis_client: redis.Redis,
    other_server: RedisProcess,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = make_app(BITMAPIST_ID_MAP=True, BITMAPIST_ACCESS="public")
    monkeypatch.setitem(bitmapist.SYSTEMS, "default", other_server.client())
    with app.app_context():
        mark_event("a", "ada@example.org")
        assert {*flask_bitmapist.get_event_data("a")} == {"ada@example.org"}
    told = app.test_client().get("/bitmapist/people?user=ada@example.org&format=json")
    assert [*told.get_json()["events"]] == ["a"]
    assert redis_client.keys() == []


@pytest.mark.parametrize("hourly", [True, False])
def test_the_hourly_switch_of_bitmapist_set_later_is_heeded(
    make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch, hourly: bool
) -> None:
    app = make_app(BITMAPIST_TRACK_HOURLY=not hourly)
    app.add_url_rule("/", "index", mark("viewed", 1)(lambda: "seen"))
    monkeypatch.setattr(bitmapist, "TRACK_HOURLY", hourly)
    app.test_client().get("/")
    with app.app_context():
        mark_event("ours", 1)
        bitmapist.mark_event("theirs", 1)
        mark_event("hourly", 1, track_hourly=True)
        mark_event("daily", 1, track_hourly=False)
        import_rows(
            app.extensions["bitmapist"], [(1, "imported", datetime.now(timezone.utc))]
        )
        for name in ("viewed", "ours", "theirs", "imported"):
            assert (1 in bitmapist.HourEvents(name)) == hourly, name
        assert 1 in bitmapist.HourEvents("hourly")
        assert 1 not in bitmapist.HourEvents("daily")
    assert app.extensions["bitmapist"].TRACK_HOURLY is hourly


@pytest.mark.parametrize("config", [[], "redis://", 5, [("BITMAPIST_REDIS_URL", "")]])
def test_a_config_that_is_no_dict_is_refused(config: object) -> None:
    with pytest.raises(ValueError, match="config must be a dict or None"):
        FlaskBitmapist(config=config)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="config must be a dict or None"):
        FlaskBitmapist().init_app(Flask("x"), config)  # type: ignore[arg-type]


def test_initialising_twice_with_the_same_settings_changes_nothing(
    make_app: Callable[..., Flask],
) -> None:
    app = make_app()
    state = app.extensions["bitmapist"]
    rules = [str(rule) for rule in app.url_map.iter_rules()]
    FlaskBitmapist(app)
    assert app.extensions["bitmapist"] is state
    assert [str(rule) for rule in app.url_map.iter_rules()] == rules


def test_initialising_twice_with_other_settings_names_them(
    make_app: Callable[..., Flask],
) -> None:
    app = make_app()
    with pytest.raises(RuntimeError, match="other values for BITMAPIST_TRACK_HOURLY"):
        FlaskBitmapist(app, {"BITMAPIST_TRACK_HOURLY": True})


def test_the_pages_can_be_left_out(make_app: Callable[..., Flask]) -> None:
    app = make_app(BITMAPIST_DISABLE_BLUEPRINT=True)
    assert "bitmapist" not in app.blueprints
    assert app.test_client().get("/bitmapist/").status_code == 404


def test_a_named_expression_can_be_asked_for_by_its_name(redis_url: str) -> None:
    app = Flask("tracked")
    extension = FlaskBitmapist(app, {"BITMAPIST_REDIS_URL": redis_url})
    extension.define("engaged", "song:played and not flag(staff)")
    with app.app_context():
        for user in (1, 2):
            mark_event("song:played", user)
        flask_bitmapist.mark_unique("staff", 2)
        assert list(extension.query.users("engaged")) == [1]
        assert list(extension.query.users("engaged")) == [1]


def test_the_functions_of_version_0_1_know_the_names_that_are_defined(
    redis_url: str, other_server: RedisProcess
) -> None:
    app = Flask("tracked")
    extension = FlaskBitmapist(app, {"BITMAPIST_REDIS_URL": redis_url})
    extension.define("either", "a or b")
    also = [{"name": "either", "op": "and"}]
    with app.app_context():
        for system in ("default", other_server.client()):
            mark_event("a", 1, system)
            mark_event("b", 2, system)
            mark_event("c", 2, system)
            given: dict[str, Any] = {"system": system}
            assert [*get_event_data("either", **given)] == [1, 2]
            assert [*chain_events("either", [], None, "days", **given)] == [1, 2]
            assert [*chain_events("c", also, None, "days", **given)] == [2]
            assert get_cohort("either", "c", **given)[0][-1][0] == 1


def test_what_is_asked_before_any_app_is_initialised_is_told_so() -> None:
    with pytest.raises(RuntimeError, match="call init_app"):
        _ = FlaskBitmapist().query


def test_an_app_without_the_extension_is_told_to_initialise_it(app: Flask) -> None:
    bare = Flask("bare")
    with bare.app_context(), pytest.raises(RuntimeError, match="not initialised"):
        flask_bitmapist.get_event_data("a")


def test_outside_any_app_context_several_apps_are_told_apart_by_an_error(
    make_app: Callable[..., Flask],
) -> None:
    apps = [make_app(), make_app()]
    for use in (bitmapist.mark_event, mark_event):
        with pytest.raises(RuntimeError, match=r"with app\.app_context\(\)"):
            use("a", 1)
    with pytest.raises(RuntimeError, match=r"with app\.app_context\(\)"):
        flask_bitmapist.get_event_data("a")
    for app in apps:
        with app.app_context():
            assert not flask_bitmapist.get_event_data("a")


def run(code: str, *arguments: str) -> str:
    """Run *code* in a process of its own, where no other app has ever been."""
    command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_the_only_app_of_a_process_needs_no_context(redis_url: str) -> None:
    told = run(
        """
        import sys, bitmapist
        from flask import Flask
        from flask_bitmapist import FlaskBitmapist, get_event_data, mark_event
        app = Flask("only")
        FlaskBitmapist(app, {"BITMAPIST_REDIS_URL": sys.argv[1]})
        mark_event("a", 1)
        bitmapist.mark_event("a", 2)
        print(sorted(get_event_data("a")), bitmapist.get_event_names())
        """,
        redis_url,
    )
    assert told == "[1, 2] ['a']\n"


FACTORY = """
    import sys, bitmapist
    from flask import Flask
    from flask_bitmapist import FlaskBitmapist, get_event_data, mark, mark_event

    def make_app(**settings):
        app = Flask("made")
        app.config.update(settings, BITMAPIST_REDIS_URL=sys.argv[1])
        FlaskBitmapist(app, admin=admin_of(app))
        app.add_url_rule("/", "index", mark("seen", 1)(lambda: "seen"))
        return app

    def admin_of(app):
        return None
"""

AFTER_EACH_OTHER = """
    for user in (1, 2, 3):
        app = make_app(BITMAPIST_MARK_MODE=sys.argv[2])
        for path in ("/", *sys.argv[3:]):
            assert app.test_client().get(path).status_code == 200
        mark_event("a", user)
        bitmapist.mark_event("a", user + 10)
        assert app.extensions["bitmapist"].recorder.flush()
    print(sorted(get_event_data("a")), sorted(bitmapist.get_event_names()))
"""


@pytest.mark.parametrize("mode", ["sync", "background"])
def test_the_apps_of_a_factory_need_no_context_one_after_the_other(
    redis_url: str, mode: str
) -> None:
    told = run(FACTORY + AFTER_EACH_OTHER, redis_url, mode)
    assert told == "[1, 2, 3, 11, 12, 13] ['a', 'seen']\n"


def test_nor_do_those_with_tabs_in_their_admin(redis_url: str) -> None:
    pytest.importorskip("flask_admin")
    with_admin = """
    def admin_of(app):
        from flask_admin import Admin
        try:
            from flask_babel import Babel
            Babel(app)
        except ImportError:
            pass
        app.config["BITMAPIST_ACCESS"] = "public"
        return Admin(app)
"""
    page = "/admin/bitmapist/events/"
    told = run(FACTORY + with_admin + AFTER_EACH_OTHER, redis_url, "sync", page)
    assert told == "[1, 2, 3, 11, 12, 13] ['a', 'seen']\n"


def test_of_two_apps_that_live_none_is_taken_outside_a_context(redis_url: str) -> None:
    told = run(
        FACTORY
        + """
    apps = [make_app(), make_app()]
    for use in (mark_event, bitmapist.mark_event):
        try:
            use("a", 1)
        except RuntimeError as error:
            print(error)
    del apps[0]
    apps.append(make_app())
    del apps[0]
    mark_event("a", 2)
    print(sorted(get_event_data("a")))
""",
        redis_url,
    )
    wrong = (
        "the Redis system 'default' belongs to an app, and none is active; "
        "use it inside 'with app.app_context():'\n"
    )
    assert told == f"{wrong}{wrong}[2]\n"


def test_the_core_imports_none_of_the_optional_packages() -> None:
    told = run(
        """
        import sys
        import flask_bitmapist
        optional = {"flask_admin", "flask_login", "sqlalchemy", "flask_babel",
                    "pandas", "rich", "fakeredis", "numkong"}
        print(sorted(optional & set(sys.modules)))
        """
    )
    assert told == "[]\n"


class TestTheEmbeddedStore:
    """``memory://``, for trying out and for users' own tests."""

    @pytest.fixture(autouse=True)
    def _installed(self) -> None:
        pytest.importorskip("fakeredis")

    def test_marks_and_answers_need_no_server(self) -> None:
        app = Flask("tracked")
        FlaskBitmapist(app, {"BITMAPIST_REDIS_URL": "memory://"})

        @app.route("/")
        @mark("index:visited", 1)
        def index() -> str:
            return "hello"

        assert app.test_client().get("/").text == "hello"
        with app.app_context():
            assert 1 in bitmapist.MonthEvents("index:visited")
            assert flask_bitmapist.get_cohort("index:visited", "index:visited")[2][-1]
        assert app.extensions["bitmapist"].catalogue.names() == ["index:visited"]

    def test_each_app_has_one_of_its_own(self) -> None:
        apps = [Flask(name) for name in ("one", "two")]
        for app in apps:
            FlaskBitmapist(app, {"BITMAPIST_REDIS_URL": "memory://"})
        with apps[0].app_context():
            mark_event("a", 1)
        with apps[1].app_context():
            assert len(flask_bitmapist.get_event_data("a")) == 0

    def test_every_question_is_answered_as_by_a_server(
        self, redis_client: redis.Redis
    ) -> None:
        app = Flask("tracked")
        FlaskBitmapist(app, {"BITMAPIST_REDIS_URL": "memory://"})
        with app.app_context():
            for user in (1, 64, 9_000, 3_000_000):
                mark_event("a", user)
                bitmapist.mark_event("a", user, system=redis_client)
            ours = flask_bitmapist.get_event_data("a", "years")
            theirs = flask_bitmapist.get_event_data("a", "years", system=redis_client)
            assert list(ours) == list(theirs) == [1, 64, 9_000, 3_000_000]
            assert 64 in ours
            assert 65 not in ours
