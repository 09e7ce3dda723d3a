"""Deleting takes what belongs to an event, nothing else, where it is allowed."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, timezone
from html import unescape
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import bitmapist
import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flask_bitmapist import FlaskBitmapist, event_deleted, mark_event, mark_unique

from .clusters import Cluster
from .inside import WALKED_KEY, parse_key, plan_deletion
from .limited import LimitedStore
from .servers import RedisProcess

MakeApp = Callable[..., Flask]
JANUARY = datetime(2026, 1, 5, 10, tzinfo=timezone.utc)
MAY = datetime(2026, 5, 20, 10, tzinfo=timezone.utc)


def mark_some(app: Flask, *names: str) -> None:
    with app.app_context():
        for name in names:
            mark_event(name, 1, now=JANUARY, track_hourly=True)
            mark_event(name, 2, now=MAY)


def names_of(app: Flask) -> list[str]:
    listed: list[str] = app.extensions["bitmapist"].catalogue.names(refresh=True)
    return listed


def delete(app: Flask, event: str | None, **options: Any) -> int:
    return plan_deletion(app.extensions["bitmapist"], event, **options).carry_out()


def test_a_plan_tells_what_would_go_and_deletes_nothing(
    app: Flask, redis_client: redis.Redis
) -> None:
    mark_some(app, "a", "b")
    size = redis_client.dbsize()
    plan = plan_deletion(app.extensions["bitmapist"], "a")
    assert plan.to_dict() == {
        "event": "a",
        "flag": False,
        "before": None,
        "keys": 7,
        "users": 2,
        "periods": {"months": 2, "weeks": 2, "days": 2, "hours": 1},
        "seen": None,
    }
    assert redis_client.dbsize() == size


def test_an_event_is_gone_with_all_of_its_periods_and_no_other_is_touched(
    app: Flask, redis_client: redis.Redis
) -> None:
    mark_some(app, "a", "a_b", "b", "a:u")
    with app.app_context():
        mark_unique("a", 5)
    before = set(redis_client.keys())
    assert delete(app, "a") == 7
    gone = before - set(redis_client.keys())
    assert gone == {key for key in before if re.match(rb"trackist_a_W?2026", key)}
    assert names_of(app) == ["a:u", "a_b", "b"]
    assert app.extensions["bitmapist"].catalogue.flags() == ["a"]


def test_a_flag_is_deleted_by_itself(app: Flask, redis_client: redis.Redis) -> None:
    mark_some(app, "paid")
    with app.app_context():
        mark_unique("paid", 5)
    assert delete(app, "paid", flag=True) == 1
    assert app.extensions["bitmapist"].catalogue.flags(refresh=True) == []
    assert names_of(app) == ["paid"]


def test_only_periods_that_ended_before_a_day_go_and_the_event_stays_known(
    app: Flask, redis_client: redis.Redis
) -> None:
    mark_some(app, "a")
    assert delete(app, "a", before=date(2026, 1, 11)) == 2, "the hour and the day"
    assert delete(app, "a", before=date(2026, 1, 12)) == 1, "the week, over by then"
    assert delete(app, "a", before=date(2026, 2, 1)) == 1, "the month"
    assert names_of(app) == ["a"]
    query = app.extensions["bitmapist"].query
    assert query.count("a", "month", as_of=MAY) == 1


def test_what_bit_operations_left_of_a_flag_goes_with_the_flag_alone(
    app: Flask, redis_client: redis.Redis
) -> None:
    mark_some(app, "paid")
    with app.app_context():
        mark_unique("paid", 5)
        left = bitmapist.BitOpNot(bitmapist.UniqueEvents("paid"))
        assert len(bitmapist.YearEvents("paid", 2026)) == 2
    plan = plan_deletion(app.extensions["bitmapist"], "paid", flag=True)
    assert plan.periods == {"flag": 1, "temporary": 1}
    assert plan.temporary == (left.redis_key.encode(),)
    assert plan.carry_out() == 2
    assert delete(app, "paid") == 8
    assert redis_client.keys("trackist_*") == []


def test_deleting_twice_does_no_harm(app: Flask) -> None:
    mark_some(app, "a")
    plan = plan_deletion(app.extensions["bitmapist"], "a")
    assert plan.carry_out() == 7
    assert plan.carry_out() == 0


def test_everything_is_every_event_and_nothing_that_is_not_bitmapists(
    app: Flask, redis_client: redis.Redis
) -> None:
    mark_some(app, "a", "b/c", "d e")
    with app.app_context():
        mark_unique("paid", 5)
    others = {b"session:1", b"trackist", b"trackist_notes", b"trackist_bitop_x"}
    for key in others:
        redis_client.set(key, "kept")
    delete(app, None)
    # What the store holds, numbers or keys, stays as well.
    own = {WALKED_KEY.encode(), b"flask-bitmapist:ids"}
    assert set(redis_client.keys()) == others | own
    assert names_of(app) == []


def test_an_event_can_be_marked_again_after_it_was_deleted(app: Flask) -> None:
    mark_some(app, "a")
    delete(app, "a")
    mark_some(app, "a")
    assert names_of(app) == ["a"]
    assert app.extensions["bitmapist"].query.count("a", "month", as_of=MAY) == 1


PIECES = st.sampled_from(
    ["a", "b", "_", "*", "?", "[", "]", "\\", "^", "-", "/", "u", "2026", "W", "é", " "]
)
NAMES = st.lists(PIECES, min_size=1, max_size=5).map("".join)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.sets(NAMES, min_size=1, max_size=6), st.data())
def test_whatever_events_are_called_only_the_one_that_is_meant_goes(
    app: Flask, redis_client: redis.Redis, names: set[str], data: st.DataObject
) -> None:
    redis_client.flushall()
    for name in names:
        bitmapist.mark_event(name, 1, system=redis_client, now=MAY)
    meant = data.draw(st.sampled_from(sorted(names)))
    keys = set(redis_client.keys())
    own = {key for key in keys if (k := parse_key(key)) and k.name == meant.encode()}
    delete(app, meant)
    assert keys - set(redis_client.keys()) == own


OPERANDS = st.lists(
    st.tuples(st.sampled_from(["a", "b", "a-b", "a_b", "é/*"]), st.booleans()),
    min_size=1,
    max_size=3,
)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(OPERANDS, max_size=5), st.sampled_from(["a", "b"]), st.booleans())
def test_what_bit_operations_made_of_an_event_goes_with_it_and_nothing_else_of_theirs(
    app: Flask,
    redis_client: redis.Redis,
    made: list[list[tuple[str, bool]]],
    meant: str,
    only_early: bool,
) -> None:
    redis_client.flushall()
    for name in ("a", "b", "a-b", "a_b", "é/*"):
        for now in (JANUARY, MAY):
            bitmapist.mark_event(name, 1, system=redis_client, now=now)
    expected = set()
    for operands in made:
        months = [
            bitmapist.MonthEvents.from_date(name, JANUARY if is_early else MAY)
            for name, is_early in operands
        ]
        with app.app_context():
            left = bitmapist.BitOpOr(*months)
            nested = bitmapist.BitOpAnd(left, *months[:1])
        if any(
            name == meant and (is_early or not only_early)
            for name, is_early in operands
        ):
            expected |= {left.redis_key, nested.redis_key}
    before = set(redis_client.keys("trackist_bitop_*"))
    delete(app, meant, before=date(2026, 3, 1) if only_early else None)
    gone = before - set(redis_client.keys("trackist_bitop_*"))
    assert gone == {key.encode() for key in expected}


def test_a_signal_and_the_log_tell_of_it(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[dict[str, Any]] = []

    def receive(sender: Flask, **values: Any) -> None:
        assert sender is app
        told.append(values)

    mark_some(app, "a")
    caplog.set_level("INFO", "flask_bitmapist")
    with event_deleted.connected_to(receive, sender=app):
        delete(app, "a")
    assert told == [{"event_name": "a", "flag": False, "before": None, "keys": 7}]
    assert "deleted 'a': 7 keys" in caplog.text


def test_batches_are_as_many_as_are_needed(
    app: Flask, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flask_bitmapist.capture.deletion.BATCH", 2)
    mark_some(app, "a")
    assert delete(app, "a") == 7


def test_a_store_that_refuses_says_how_far_it_came(
    redis_process: RedisProcess, make_app: MakeApp
) -> None:
    app = make_app(BITMAPIST_REDIS_URL=redis_process.url)
    mark_some(app, "a")
    plan = plan_deletion(app.extensions["bitmapist"], "a")
    with redis_process.client() as client:
        client.config_set("min-replicas-to-write", 1)
    with pytest.raises(redis.ResponseError, match="0 of 7 keys are deleted, then"):
        plan.carry_out()


def test_it_works_on_a_cluster(make_app: MakeApp) -> None:
    with Cluster() as cluster:
        app = make_app(BITMAPIST_REDIS_URL=cluster.url)
        mark_some(app, "a", "b")
        assert delete(app, "a") == 7
        assert names_of(app) == ["b"]


def test_it_works_on_a_store_with_the_commands_of_bitmapist_server(
    make_app: MakeApp,
) -> None:
    with RedisProcess() as server, LimitedStore(server) as store:
        app = make_app(BITMAPIST_REDIS_URL=store.url)
        mark_some(app, "a/b", "a")
        assert delete(app, "a/b") == 7
        assert names_of(app) == ["a"]


def test_from_python_it_is_planned_on_the_extension(redis_url: str) -> None:
    app = Flask("python")
    bitmapist = FlaskBitmapist(app, {"BITMAPIST_REDIS_URL": redis_url})
    mark_some(app, "a")
    assert bitmapist.deletion("a").carry_out() == 7
    with pytest.raises(RuntimeError, match="no app is initialised"):
        FlaskBitmapist().deletion("a")


# -- the command


def run(app: Flask, *words: str, typed: str = "") -> Any:
    return app.test_cli_runner().invoke(
        args=["bitmapist", "delete", *words], input=typed
    )


def test_the_command_shows_what_would_go_and_wants_the_name_typed(app: Flask) -> None:
    mark_some(app, "a")
    told = run(app, "a", typed="b\n")
    assert told.exit_code == 1
    assert "7 bitmaps (2 months, 2 weeks, 2 days, 1 hours)" in told.output
    assert "Users affected: 2" in told.output
    assert "nothing was deleted" in told.output
    assert names_of(app) == ["a"]
    told = run(app, "a", typed="a\n")
    assert told.exit_code == 0, told.output
    assert "Deleted 7 bitmaps." in told.output
    assert names_of(app) == []


def test_the_command_answers_in_json(app: Flask) -> None:
    mark_some(app, "a")
    told = run(app, "a", "--before", "2026-02-01", "--yes", "--json")
    assert '"deleted": 4' in told.output
    assert run(app, "a", "--json").exit_code == 2


def test_the_command_deletes_everything_when_told_so(app: Flask) -> None:
    mark_some(app, "a", "b")
    assert run(app).exit_code == 2
    assert run(app, "a", "--all").exit_code == 2
    assert run(app, "--all", typed="a\n").exit_code == 1
    assert run(app, "--all", typed="everything\n").exit_code == 0
    assert names_of(app) == []


# -- the pages

URL = "/bitmapist/events/delete"
TAB = "/admin/bitmapist/events/delete"


def make_surface(make_app: MakeApp, surface: str, **options: Any) -> tuple[Flask, str]:
    """An app in which events may be deleted, and the address of the page."""
    app = make_app(
        **{
            "BITMAPIST_ACCESS": lambda: True,
            "BITMAPIST_ALLOW_DELETE": True,
            **options,
        }
    )
    if surface == "standalone":
        return app, URL
    flask_admin = pytest.importorskip("flask_admin")
    if find_spec("flask_babel"):
        import_module("flask_babel").Babel(app)
    FlaskBitmapist(app, admin=flask_admin.Admin(app))
    return app, TAB


SURFACES = pytest.mark.parametrize("surface", ["standalone", "admin"])


def token_of(page: str) -> str:
    found = re.search(r'name="bitmapist_csrf"[^>]* value="([^"]+)"', page)
    assert found, page
    return unescape(found[1])


def post(client: FlaskClient, url: str, **data: str) -> Any:
    page = client.get(url, query_string={"event": data["event"]}).text
    return client.post(url, data={"bitmapist_csrf": token_of(page), **data})


@SURFACES
def test_an_event_is_deleted_on_its_page(make_app: MakeApp, surface: str) -> None:
    app, url = make_surface(make_app, surface)
    mark_some(app, "a", "b")
    client = app.test_client()
    events = client.get(
        url.removesuffix("delete").rstrip("/") + "/"
        if surface == "admin"
        else "/bitmapist/events"
    ).text
    assert f'href="{url}?event=a"' in events
    shown = client.get(url, query_string={"event": "a"})
    assert shown.status_code == 200
    assert shown.headers["Cache-Control"] == "private, no-store"
    assert re.search(r"Users affected</dt>\s*<dd>2<", shown.text)
    assert names_of(app) == ["a", "b"]
    done = post(client, url, event="a", confirm="a")
    assert done.status_code == 200
    assert "Deleted 7 bitmaps." in done.text
    assert names_of(app) == ["b"]


@SURFACES
def test_without_the_typed_name_nothing_is_deleted(
    make_app: MakeApp, surface: str
) -> None:
    app, url = make_surface(make_app, surface)
    mark_some(app, "a")
    refused = post(app.test_client(), url, event="a", confirm="A")
    assert refused.status_code == 400
    assert "Names do not match" in refused.text
    assert names_of(app) == ["a"]


@SURFACES
@pytest.mark.parametrize("token", ["", "0##0", "made-up"])
def test_without_a_valid_token_nothing_is_deleted(
    make_app: MakeApp, surface: str, token: str
) -> None:
    app, url = make_surface(make_app, surface)
    mark_some(app, "a")
    refused = post(app.test_client(), url, event="a", confirm="a", bitmapist_csrf=token)
    assert refused.status_code == 400
    assert "has expired or came from another page" in refused.text
    assert names_of(app) == ["a"]


def test_the_token_of_one_reader_is_of_no_use_to_another(make_app: MakeApp) -> None:
    app, url = make_surface(make_app, "standalone")
    mark_some(app, "a")
    token = token_of(app.test_client().get(f"{url}?event=a").text)
    other = app.test_client()
    other.get(f"{url}?event=a")
    data = {"event": "a", "confirm": "a", "bitmapist_csrf": token}
    assert other.post(url, data=data).status_code == 400
    assert app.test_client().post(url, data=data).status_code == 400
    assert names_of(app) == ["a"]


@pytest.mark.parametrize(
    "options",
    [
        {"BITMAPIST_ALLOW_DELETE": False},
        {"BITMAPIST_ACCESS": "public"},
        {"BITMAPIST_ACCESS": "local"},
    ],
    ids=str,
)
@SURFACES
def test_where_it_is_not_allowed_there_is_no_link_and_no_way(
    make_app: MakeApp, surface: str, options: dict[str, Any]
) -> None:
    app, url = make_surface(make_app, surface, **options)
    mark_some(app, "a")
    client = app.test_client()
    events = "/bitmapist/events" if surface == "standalone" else url[: -len("delete")]
    assert "events/delete" not in client.get(events).text
    assert client.get(f"{url}?event=a").status_code == 403
    data = {"event": "a", "confirm": "a"}
    assert client.post(url, data=data).status_code == 403
    assert names_of(app) == ["a"]


def test_without_a_secret_key_it_is_said_what_is_missing(make_app: MakeApp) -> None:
    app, url = make_surface(make_app, "standalone", SECRET_KEY=None)
    answer = app.test_client().get(f"{url}?event=a")
    assert answer.status_code == 403
    assert "SECRET_KEY" in answer.text


def test_names_are_shown_as_they_are(make_app: MakeApp) -> None:
    app, url = make_surface(make_app, "standalone")
    name = '<b>"a"</b> &amp;'
    mark_some(app, name)
    client = app.test_client()
    assert "<b>" not in client.get(url, query_string={"event": name}).text
    assert post(client, url, event=name, confirm=name).status_code == 200
    assert names_of(app) == []


def test_what_cannot_be_typed_is_confirmed_as_it_is_shown(make_app: MakeApp) -> None:
    app, url = make_surface(make_app, "standalone")
    name = "old\x1b[2Jname"
    client = app.test_client()
    for delete_it in (
        lambda: post(client, url, event=name, confirm=r"old\x1b[2Jname").text,
        lambda: run(app, name, typed="old\\x1b[2Jname\n").output,
    ):
        with app.app_context():
            bitmapist.mark_event(name, 1)
        shown = client.get(url, query_string={"event": name}).text
        assert r"Delete “old\x1b[2Jname”?" in shown
        assert "Deleted 3 bitmaps." in delete_it()
        assert names_of(app) == []


@pytest.mark.parametrize("asked", ["", "?event=", "?event=a&before=x"])
def test_what_cannot_be_read_is_refused(make_app: MakeApp, asked: str) -> None:
    app, url = make_surface(make_app, "standalone")
    assert app.test_client().get(url + asked).status_code == 400


def test_programs_look_in_json(make_app: MakeApp) -> None:
    app, url = make_surface(make_app, "standalone")
    mark_some(app, "a")
    answer = app.test_client().get(f"{url}?event=a&before=2026-02-01&json=y")
    assert answer.json["keys"] == 4
    assert app.test_client().get(f"{url}?json=y").status_code == 400


def test_while_redis_is_down_the_page_says_so(
    redis_process: RedisProcess, make_app: MakeApp
) -> None:
    app, url = make_surface(
        make_app, "standalone", BITMAPIST_REDIS_URL=redis_process.url
    )
    redis_process.kill()
    assert app.test_client().get(f"{url}?event=a").status_code == 503


def test_the_apps_own_protection_of_forms_is_satisfied_too(make_app: MakeApp) -> None:
    app, url = make_surface(make_app, "standalone")
    app.jinja_env.globals["csrf_token"] = lambda: "of Flask-WTF"
    page = app.test_client().get(f"{url}?event=a").text
    assert '<input type="hidden" name="csrf_token" value="of Flask-WTF">' in page
