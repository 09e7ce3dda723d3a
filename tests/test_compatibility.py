"""What version 0.1.2 had: its names, and what they did.

What is different on purpose is in docs/upgrade/from-0.1.2.md.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, ClassVar

import bitmapist
import pytest
import redis
from flask import Flask, request

import flask_bitmapist
from flask_bitmapist import (
    BitOpAnd,
    BitOpOr,
    ConfigError,
    DayEvents,
    FlaskBitmapist,
    HourEvents,
    MonthEvents,
    QueryError,
    WeekEvents,
    chain_events,
    get_cohort,
    get_event_data,
    mark,
    mark_event,
    unmark_event,
)

from .marks import keys, today, users
from .servers import RedisProcess

NAMES = {
    "flask_bitmapist": [
        *("FlaskBitmapist", "mark", "mark_event", "unmark_event"),
        *("MonthEvents", "WeekEvents", "DayEvents", "HourEvents"),
        *("BitOpAnd", "BitOpOr", "get_event_names"),
        *("chain_events", "get_cohort", "get_event_data"),
        *("__version__", "__versionfull__"),
    ],
    "flask_bitmapist.utils": ["chain_events", "get_cohort", "get_event_data"],
}

OF_LOGINS = ["mark_login", "mark_logout"]


@pytest.mark.parametrize("module", NAMES)
def test_the_names_of_version_0_1_can_be_imported(module: str) -> None:
    there = importlib.import_module(module)
    assert not [name for name in NAMES[module] if not hasattr(there, name)]


def test_so_can_those_that_need_another_package() -> None:
    pytest.importorskip("flask_login")
    pytest.importorskip("sqlalchemy")
    logins = importlib.import_module("flask_bitmapist.extensions.flask_login")
    for name in OF_LOGINS:
        assert getattr(flask_bitmapist, name) is getattr(logins, name)
    assert importlib.import_module("flask_bitmapist.mixins").Bitmapistable


def test_a_name_that_was_never_there_is_still_an_error() -> None:
    assert not hasattr(flask_bitmapist, "mark_signup")
    assert flask_bitmapist.__versionfull__ == flask_bitmapist.__version__


class TestSettings:
    """``FlaskBitmapist(app, app.config)``, and what an environment can say."""

    def test_the_apps_own_configuration_may_be_passed_on(self, redis_url: str) -> None:
        app = Flask("tracked")
        app.config["BITMAPIST_REDIS_URL"] = redis_url
        extension = FlaskBitmapist(app, app.config)
        extension.init_app(app, app.config)
        assert extension.redis_url == redis_url

    @pytest.mark.parametrize("value", ["1", "0", "true", "false"])
    def test_a_switch_may_come_from_the_environment(
        self, value: str, monkeypatch: pytest.MonkeyPatch, redis_url: str
    ) -> None:
        monkeypatch.setenv("FLASK_BITMAPIST_REDIS_URL", redis_url)
        monkeypatch.setenv("FLASK_BITMAPIST_TRACK_HOURLY", value)
        app = Flask("tracked")
        app.config.from_prefixed_env()
        assert FlaskBitmapist(app).TRACK_HOURLY is (value in ("1", "true"))

    def test_no_system_is_the_default_one(
        self, redis_url: str, redis_client: redis.Redis
    ) -> None:
        app = Flask("tracked")
        app.config.update(BITMAPIST_REDIS_URL=redis_url, BITMAPIST_REDIS_SYSTEM=None)
        FlaskBitmapist(app)
        with app.app_context():
            mark_event("a", 1, "default")
            assert 1 in DayEvents("a")

    @pytest.mark.parametrize("url", ["tcp://redis:6379", "http://h:6379", "//h:6379"])
    def test_an_address_that_is_no_redis_url_is_told_what_one_begins_with(
        self, url: str
    ) -> None:
        app = Flask("tracked")
        app.config["BITMAPIST_REDIS_URL"] = url
        with pytest.raises(ConfigError, match="must begin with one of redis://"):
            FlaskBitmapist(app)


class TestLogins:
    """``mark_login`` and ``mark_logout``, connected or called."""

    def test_they_may_be_called_without_an_app(
        self, app: Flask, redis_client: redis.Redis
    ) -> None:
        pytest.importorskip("flask_login")
        from flask_bitmapist import mark_login, mark_logout

        with app.app_context():
            mark_login(None, 5)
            mark_logout(None, "6", extra="more")
            mark_login(object(), 7)
        assert users(redis_client, today("user:logged_in")) == {5, 7}
        assert users(redis_client, today("user:logged_out")) == {6}

    def test_an_app_that_is_not_tracked_is_left_alone(
        self, app: Flask, redis_client: redis.Redis
    ) -> None:
        pytest.importorskip("flask_login")
        from flask_bitmapist import mark_login

        with app.app_context():
            mark_login(Flask("another"), 5)
        assert keys(redis_client) == set()

    def test_the_switch_holds_for_calls_too(
        self, make_app: Callable[..., Flask], redis_client: redis.Redis
    ) -> None:
        pytest.importorskip("flask_login")
        from flask_bitmapist import mark_login

        with make_app(BITMAPIST_LOGIN_EVENTS=False).app_context():
            mark_login(None, 5)
        assert keys(redis_client) == set()


def test_a_marked_view_is_in_the_periods_of_bitmapist(app: Flask) -> None:
    @app.get("/")
    @mark("seen", 1)
    def seen() -> str:
        return ""

    @app.get("/hourly")
    @mark("seen:hourly", 2, track_hourly=True)
    def hourly() -> str:
        return ""

    client = app.test_client()
    client.get("/")
    client.get("/hourly")
    with app.app_context():
        for events in (MonthEvents, WeekEvents, DayEvents):
            assert list(events("seen")) == [1]
        assert list(HourEvents("seen")) == []
        assert list(HourEvents("seen:hourly")) == [2]
        unmark_event("seen", 1)
        assert 1 not in MonthEvents("seen")


@pytest.mark.parametrize(("path", "name"), [("", "index"), ("cohort", "cohort")])
def test_the_pages_have_their_endpoints(app: Flask, path: str, name: str) -> None:
    with app.test_request_context(f"/bitmapist/{path}"):
        assert request.endpoint == f"bitmapist.{name}"


# Who did which of these: in, out, created, updated, deleted.
DID = {
    1: "iocud",
    2: "iocd",
    3: "iou",
    4: "icd",
    5: "io",
    6: "ocud",
    7: "cud",
    8: "od",
    9: "d",
}


@pytest.fixture
def chained(app: Flask) -> Flask:
    with app.app_context():
        for user, letters in DID.items():
            for letter in letters:
                mark_event(letter, user)
    return app


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ("", "i"),
        ("&o", "i and o"),
        ("&o&c&d", "i and o and c and d"),
        ("|o|u", "i or o or u"),
        ("&o|c", "i and (o or c)"),
        ("|o&c", "(i or o) and c"),
        ("&o&c|d", "i and o and (c or d)"),
        ("&o|c&d", "i and (o or c) and d"),
        ("|u&c|d", "(i or u) and (c or d)"),
        ("&u|c|d", "i and (u or c or d)"),
    ],
)
def test_an_or_binds_to_its_predecessor_alone(
    chained: Flask, conditions: str, expected: str
) -> None:
    words = {"&": "and", "|": "or"}
    pairs = zip(conditions[::2], conditions[1::2])
    entries = [{"op": words[sign], "name": name} for sign, name in pairs]
    right = {
        user
        for user, letters in DID.items()
        if eval(expected, {letter: letter in letters for letter in "iocud"})
    }
    with chained.app_context():
        found = chain_events("i", entries, None, "days")
        assert set(found) == right
        assert len(found) == found.get_count() == len(right)
        capitals = [{**entry, "op": entry["op"].upper()} for entry in entries]
        assert set(chain_events("i", capitals, None, "days")) == right


def test_an_operator_that_is_none_is_refused_and_was_an_and(chained: Flask) -> None:
    with chained.app_context(), pytest.raises(QueryError, match="use 'and' or 'or'"):
        chain_events("i", [{"name": "o", "op": "xor"}], None, "days")


def test_a_chain_of_nothing_is_an_empty_set_and_an_or_may_fill_it(
    chained: Flask,
) -> None:
    with chained.app_context():
        nobody = chain_events("never", [], None, "days")
        assert not nobody
        assert nobody != ""
        either = chain_events("never", [{"name": "i", "op": "or"}], None, "days")
        assert set(either) == {1, 2, 3, 4, 5}


@pytest.fixture
def returning(app: Flask) -> tuple[Flask, datetime]:
    """Four days: six begin on the first, seven on the second, five on the last."""
    last = datetime.now(tz=timezone.utc)
    began = [range(6), range(6, 13), [], range(13, 18)]
    back = [
        [[0, 1, 2, 3, 4], [0, 1, 2], [], [5]],
        [[6, 7], [7, 8], [6, 7, 9, 10]],
        [],
        [[13, 14, 15, 16]],
    ]
    with app.app_context():
        for row in range(4):
            day = last - timedelta(days=3 - row)
            for user in began[row]:
                mark_event("began", user, now=day)
            for column, some in enumerate(back[row]):
                for user in some:
                    mark_event("back", user, now=day + timedelta(days=column))
    return app, last


def test_a_cohort_counts_the_first_return_or_every_one(
    returning: tuple[Flask, datetime],
) -> None:
    app, last = returning
    asked: dict[str, Any] = {"num_rows": 4, "num_cols": 4, "now": last}
    blank = [None, None, None, None]
    with app.app_context():
        first, dates, totals = get_cohort("began", "back", **asked)
        every, *_ = get_cohort("began", "back", with_replacement=True, **asked)
    assert first == [[5, 0, 0, 1], [2, 1, 2, None], blank, [4, None, None, None]]
    assert every == [[5, 3, 0, 1], [2, 2, 4, None], blank, [4, None, None, None]]
    assert totals == [6, 7, 0, 5]
    assert [each.date() for each in dates] == [
        last.date() - timedelta(days=ago) for ago in (3, 2, 1, 0)
    ]


@pytest.mark.parametrize("group", ["days", "weeks", "months", "years"])
def test_dates_of_a_cohort_are_aware_first_instants(app: Flask, group: str) -> None:
    with app.app_context():
        rows, dates, totals = get_cohort("a", "b", (), group, num_rows=4, num_cols=3)
    assert len(rows) == len(dates) == len(totals) == 4
    assert {len(row) for row in rows} == {3}
    for each in dates:
        assert each.tzinfo is not None
        assert each == each.replace(hour=0, minute=0, second=0, microsecond=0)


def test_an_or_counts_in_every_cell_of_a_cohort(app: Flask) -> None:
    last = datetime.now(tz=timezone.utc)
    also = [{"name": "c", "op": "and"}, {"name": "d", "op": "or"}]
    with app.app_context():
        mark_event("a", 1, now=last - timedelta(days=2))
        for ago in range(3):
            for name in ("b", "d"):
                mark_event(name, 1, now=last - timedelta(days=ago))
        every = {"num_rows": 3, "num_cols": 3, "with_replacement": True, "now": last}
        rows, *_ = get_cohort("a", "b", also, **every)  # type: ignore[arg-type]
    assert rows[0] == [1, 1, 1]


@pytest.mark.parametrize("size", [{"num_rows": 0}, {"num_cols": 0}, {"num_rows": -1}])
def test_a_cohort_of_no_rows_is_refused(app: Flask, size: dict[str, Any]) -> None:
    with app.app_context(), pytest.raises(QueryError, match="whole number from 1"):
        get_cohort("a", "b", **size)


class TestSets:
    """What ``get_event_data`` gives, where bitmapist's event classes were."""

    @pytest.fixture(autouse=True)
    def in_context(self, chained: Flask) -> Any:
        with chained.app_context():
            yield

    def test_what_reads_goes_by_the_same_names(self) -> None:
        found = get_event_data("i")
        events = DayEvents("i")
        assert found.get_count() == events.get_count() == 5
        assert found.has_events_marked()
        assert list(found.get_uuids()) == list(events.get_uuids())
        assert not get_event_data("never").has_events_marked()

    def test_a_user_may_be_a_text_as_an_address_has_it(self) -> None:
        assert "1" in get_event_data("i")
        assert "9" not in get_event_data("i")
        assert "x" not in get_event_data("i")

    def test_one_bitmap_goes_into_the_operations_of_bitmapist(self) -> None:
        assert len(BitOpAnd(get_event_data("i"), DayEvents("o"))) == 4
        assert len(BitOpOr(DayEvents("i"), get_event_data("o"))) == 7
        assert len(DayEvents("i") & get_event_data("o")) == 4

    @pytest.mark.parametrize(
        ("name", "instead"),
        [
            ("delete", "deletion(event)"),
            ("next", "get_event_data(event, time_group, now=…)"),
            ("prev", "get_event_data(event, time_group, now=…)"),
            ("delta", "get_event_data(event, time_group, now=…)"),
            ("period_start", "Period.containing(time_group, now).start"),
            ("period_end", "Period.containing(time_group, now).end"),
            ("event_name", "selection.text"),
            ("system", "argument system"),
        ],
    )
    def test_what_is_not_there_is_told_what_to_use(
        self, name: str, instead: str
    ) -> None:
        assert hasattr(DayEvents("i"), name)
        with pytest.raises(AttributeError) as error:
            getattr(get_event_data("i"), name)
        assert instead in str(error.value)

    @pytest.mark.parametrize(
        "use",
        [
            lambda several: BitOpAnd(several, DayEvents("i")),
            lambda several: BitOpAnd(DayEvents("i"), several),
            lambda several: DayEvents("i") & several,
            lambda several: several.redis_key,
            hash,
        ],
    )
    def test_several_bitmaps_have_no_key_and_say_what_to_use(
        self, use: Callable[[Any], Any]
    ) -> None:
        for several in (
            chain_events("i", [{"name": "o", "op": "and"}], None, "days"),
            get_event_data("i", "years"),
        ):
            with pytest.raises((AttributeError, TypeError), match=r"use &, \| and -"):
                use(several)
            assert len(several & get_event_data("o")) == 4

    def test_everybody_else_is_told_how_to_be_asked_for(self) -> None:
        with pytest.raises(TypeError, match="as in a - b"):
            ~get_event_data("i")

    def test_a_name_that_bitmapist_has_neither_is_as_for_any_object(self) -> None:
        assert not hasattr(get_event_data("i"), "anything")


@pytest.mark.parametrize("name", ["index", "cohort", "_heatmap", "base", "layout"])
def test_templates_that_an_app_made_for_version_0_1_are_not_met(
    name: str, redis_url: str, tmp_path: Path
) -> None:
    folder = tmp_path / "templates" / "bitmapist"
    folder.mkdir(parents=True)
    (folder / f"{name}.html").write_text("old {{ dates[0] }}", encoding="utf-8")
    app = Flask("tracked", root_path=str(tmp_path))
    app.config.update(BITMAPIST_REDIS_URL=redis_url, BITMAPIST_ACCESS="public")
    FlaskBitmapist(app)
    with app.app_context():
        mark_event("i", 1)
    client = app.test_client()
    pages = [
        client.get("/bitmapist/"),
        client.get("/bitmapist/cohort?primary_event=i"),
        client.post("/bitmapist/cohort", json={"primary_event": "i"}),
    ]
    assert [page.status_code for page in pages] == [200, 200, 200]
    assert not [page for page in pages if page.text.startswith("old")]


class TestPost:
    """A POST to the page of the cohort."""

    BODY: ClassVar = {
        "primary_event": "i",
        "secondary_event": "o",
        "time_group": "days",
    }

    def post(self, app: Flask, query: str = "?json=true", **body: Any) -> Any:
        url = f"/bitmapist/cohort{query}"
        return app.test_client().post(url, json={**self.BODY, **body})

    def test_there_are_no_more_columns_than_rows(self, chained: Flask) -> None:
        answer = self.post(chained, num_rows=2, num_cols=5).json
        assert (answer["num_rows"], answer["num_cols"]) == (2, 2)
        assert [len(row) for row in answer["cohort"]] == [2, 2]
        assert self.post(chained, num_rows=3).json["num_cols"] == 3
        assert self.post(chained).json["num_cols"] == 10

    def test_a_whole_number_may_be_written_with_a_point(self, chained: Flask) -> None:
        assert self.post(chained, num_rows=2.0, num_cols="2").json["num_rows"] == 2
        refused = self.post(chained, num_rows=2.5)
        assert refused.status_code == 400
        assert list(refused.json["errors"]) == ["num_rows"]

    def test_operators_may_be_in_capitals(self, chained: Flask) -> None:
        one, other = (
            self.post(chained, additional_events=[{"name": "d", "op": op}]).json
            for op in ("or", "OR")
        )
        assert one["cohort"] == other["cohort"]

    @pytest.mark.parametrize("query", ["?json=false", "?json=0", ""])
    def test_whoever_asks_for_no_json_gets_html(
        self, chained: Flask, query: str
    ) -> None:
        assert self.post(chained, query).mimetype == "text/html"

    @pytest.mark.parametrize(
        "body", [{"num_rows": 0}, {"num_rows": 1001}, {"primary_event": ""}]
    )
    def test_what_cannot_be_asked_is_refused(
        self, chained: Flask, body: dict[str, Any]
    ) -> None:
        assert self.post(chained, **body).status_code == 400


def test_a_local_time_is_marked_under_its_day_in_utc(
    app: Flask, redis_client: redis.Redis
) -> None:
    night = datetime(2026, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=2)))
    with app.app_context():
        mark_event("a", 1, now=night)
        bitmapist.mark_event("b", 1, now=night)
    assert {"a_2025-12-31", "b_2026-1-1"} <= keys(redis_client)


def test_history_that_lies_in_another_database_can_be_moved(
    make_app: Callable[..., Flask], redis_url: str, redis_client: redis.Redis
) -> None:
    bitmapist.mark_event("a", 5, system=redis_client)  # without its database
    app = make_app(BITMAPIST_REDIS_URL=f"{redis_url}/7")
    with app.app_context():
        assert set(get_event_data("a")) == set()
        for key in redis_client.scan_iter("trackist_*"):
            redis_client.move(key, 7)
        assert set(get_event_data("a")) == {5}


def test_history_of_another_server_is_taken_along_by_export_and_import(
    make_app: Callable[..., Flask], redis_process: RedisProcess
) -> None:
    now = datetime.now(tz=timezone.utc)
    bitmapist.mark_event("a", 5, system=redis_process.client(), now=now)
    old, new = make_app(BITMAPIST_REDIS_URL=redis_process.url), make_app()
    arguments = ["bitmapist", "export", "--since", str(now.date())]
    told = old.test_cli_runner().invoke(args=arguments).stdout
    arguments = ["bitmapist", "import", "-"]
    assert new.test_cli_runner().invoke(args=arguments, input=told).exit_code == 0
    with new.app_context():
        assert set(get_event_data("a", now=now)) == {5}


@pytest.mark.parametrize(
    "name", ["", "campaign_2024-12", "bitop_x", "x" * 1025, 5, None]
)
def test_a_name_that_would_be_mistaken_is_refused_and_can_still_be_read(
    name: Any, app: Flask
) -> None:
    with pytest.raises(ValueError, match="name"):
        mark(name, 1)
    if isinstance(name, str) and name.startswith("campaign"):
        with app.app_context():
            bitmapist.mark_event(name, 1)
            assert 1 in DayEvents(name)
            assert 1 in get_event_data(name)


def test_a_constant_id_that_is_none_is_refused_where_the_view_is_made() -> None:
    with pytest.raises(ValueError, match="a user id is a whole number"):
        mark("e", 1.5)


def test_what_is_kept_beside_the_bitmaps_begins_with_the_packages_name(
    app: Flask, redis_client: redis.Redis
) -> None:
    with app.app_context():
        mark_event("a", 1, track_unique=True)
    others = {key for key in redis_client.scan_iter() if key[:9] != b"trackist_"}
    kept = {"events", "flags", "ids", "zones"}
    assert others == {f"flask-bitmapist:{name}".encode() for name in kept}


def test_a_flag_that_an_old_decorator_set_is_deleted_alone(
    app: Flask, redis_client: redis.Redis
) -> None:
    with app.app_context():
        bitmapist.mark_event("index:visited", 1, track_unique=True)
        mark_event("index:visited", 2)
    arguments = ["bitmapist", "delete", "index:visited", "--flag", "--yes"]
    told = app.test_cli_runner().invoke(args=arguments)
    assert told.exit_code == 0, told.output
    assert "index:visited_u" not in keys(redis_client)
    assert users(redis_client, today("index:visited")) == {1, 2}
