"""Erasing a person leaves nothing of them, and everything of everybody else."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from html import unescape
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import bitmapist as plain
import pytest
import redis
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flask_bitmapist import FlaskBitmapist, event_dropped, mark_event, mark_unique

from .clusters import Cluster
from .inside import (
    ERASING_KEY,
    FORGOTTEN_KEY,
    Identity,
    IdMap,
    Mark,
    Spool,
    bits_of,
    hour_of,
)
from .limited import LimitedStore
from .marks import eventually
from .servers import RedisProcess

MakeApp = Callable[..., Flask]
NOON = datetime(2026, 1, 5, 12, tzinfo=timezone.utc)
ADA = "ada@example.org"


def forget(app: Flask, user: Any, **options: Any) -> Any:
    with app.app_context():
        return FlaskBitmapist(app).forget(user, **options)


def mark(app: Flask, *users: Any, event: str = "a", now: datetime = NOON) -> None:
    with app.app_context():
        for user in users:
            mark_event(event, user, now=now, track_hourly=True)


def mark_in_request(app: Flask, *users: Any) -> None:
    """Mark where marks wait, in background mode."""
    with app.test_request_context():
        for user in users:
            mark_event("a", user, now=NOON)


def bitmaps(client: redis.Redis) -> dict[bytes, bytes]:
    return {key: client.get(key) or b"" for key in client.keys("trackist_*")}


def users_in(bitmap: bytes) -> set[int]:
    bits = "".join(f"{byte:08b}" for byte in bitmap)
    return {place for place, bit in enumerate(bits) if bit == "1"}


# -- what goes, and what stays

DONE = st.tuples(
    st.sampled_from(["a", "b/c", "d e", "é"]),
    st.integers(0, 40),
    st.integers(0, 3000),
    st.sampled_from(["ours", "theirs", "flag", "operation"]),
)


@pytest.mark.parametrize("kind", ["numbers", "keys"])
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(done=st.lists(DONE, min_size=1, max_size=25), whom=st.integers(0, 40))
def test_all_of_one_person_goes_and_nothing_else_changes(
    make_app: MakeApp,
    redis_client: redis.Redis,
    kind: str,
    done: list[tuple[str, int, int, str]],
    whom: int,
) -> None:
    redis_client.flushall()
    app = make_app(BITMAPIST_ID_MAP=kind == "keys")
    with app.app_context():
        for event, user, hours, how in done:
            known = f"user {user}" if kind == "keys" else user
            now = NOON + timedelta(hours=hours)
            if how == "flag":
                mark_unique(event, known)
            elif how == "theirs" and kind == "numbers":
                plain.mark_event(event, user, system=redis_client, now=now)
            else:
                mark_event(event, known, now=now, track_hourly=True)
            if how == "operation":
                month = plain.MonthEvents.from_date(event, now, system="default")
                assert len(month | month) >= 1
        asked = f"user {whom}" if kind == "keys" else whom
        bit = app.extensions["bitmapist"].recorder.identity.bit_of(asked)
    before = bitmaps(redis_client)
    held = sum(bit in users_in(each) for each in before.values())
    receipt = forget(app, asked)
    after = bitmaps(redis_client)
    assert {key: len(each) for key, each in after.items()} == {
        key: len(each) for key, each in before.items()
    }
    assert {key: users_in(each) for key, each in after.items()} == {
        key: users_in(each) - {bit} for key, each in before.items()
    }
    assert (receipt.keys, receipt.cleared, receipt.remaining) == (
        *(len(before), held),
        0,
    )
    again = forget(app, asked)
    assert (again.person, again.cleared, again.remaining) == (receipt.person, 0, 0)


def test_keys_that_are_not_bitmapists_are_left_alone(
    app: Flask, redis_client: redis.Redis
) -> None:
    others = {b"session:1", b"trackist", b"trackist_notes", b"trackist_bitop_x"}
    for key in others:
        redis_client.set(key, b"\xff" * 4)
    redis_client.sadd("trackist_list_2026-1-1", "not a bitmap")
    mark(app, 5)
    assert forget(app, 5).cleared == 4
    assert {redis_client.get(key) for key in others} == {b"\xff" * 4}
    assert redis_client.smembers("trackist_list_2026-1-1") == {b"not a bitmap"}


def test_a_number_is_not_given_again(app: Flask, redis_client: redis.Redis) -> None:
    mark(app, "first", ADA)
    assert forget(app, ADA).cleared == 4
    mark(app, ADA)
    identity = app.extensions["bitmapist"].recorder.identity
    assert identity.bit_of(ADA) == 2
    forget(app, ADA)
    IdMap(redis_client).repair(IdMap(redis_client).highest_bit())
    mark(app, "next")
    assert identity.bit_of("next") == 3
    assert identity.bit_of(ADA) is None


def test_nothing_in_the_store_or_the_receipt_names_the_person(
    app: Flask, redis_client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "flask_bitmapist")
    mark(app, "first", ADA)
    receipt = forget(app, ADA, by="the privacy desk")
    store = [redis_client.dump(key) or b"" for key in redis_client.scan_iter()]
    assert not [each for each in store if ADA.encode() in each]
    assert ADA not in json.dumps(receipt.to_dict()) + caplog.text
    assert receipt.by == "the privacy desk"
    assert forget(app, "first", by="first").by == "themselves"
    assert redis_client.ttl(FORGOTTEN_KEY) > 0


def test_another_secret_gives_another_name(make_app: MakeApp) -> None:
    names = {forget(make_app(SECRET_KEY=key), 7).person for key in ("a", b"b", "c")}
    assert len(names) == 3
    assert all(re.fullmatch("[0-9a-f]{64}", name) for name in names)


@pytest.mark.parametrize("is_erased_by_the_new", [True, False])
def test_while_a_secret_is_changed_what_waits_elsewhere_is_still_dropped(
    make_app: MakeApp, is_erased_by_the_new: bool
) -> None:
    new = {"SECRET_KEY": "new", "SECRET_KEY_FALLBACKS": ["old"]}
    old = {"SECRET_KEY": "old"}
    waits = {
        "BITMAPIST_MARK_MODE": "background",
        "BITMAPIST_FLUSH_INTERVAL": 3600.0,
    }
    here, there = (new, old) if is_erased_by_the_new else (old, new)
    other = make_app(**there, **waits)
    mark_in_request(other, 7, 8)
    assert forget(make_app(**here), 7).remaining == 0
    assert other.extensions["bitmapist"].recorder.flush()
    query = other.extensions["bitmapist"].query
    assert set(query.users("a", "month", as_of=NOON)) == {8}


def test_what_was_interrupted_is_finished_under_another_secret(
    make_app: MakeApp, redis_client: redis.Redis
) -> None:
    app = make_app(SECRET_KEY="old")
    mark(app, "first", ADA)
    eraser = app.extensions["bitmapist"].recorder.eraser
    # It was killed after the number was taken from the person.
    redis_client.hset(ERASING_KEY, eraser.name_of(ADA), 1)
    app.extensions["bitmapist"].recorder.identity.release(ADA, 1)
    later = make_app(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"])
    assert forget(later, ADA).cleared == 4
    assert redis_client.hlen(ERASING_KEY) == 0


def test_bits_that_were_given_to_nobody_are_erased_by_the_name_that_lists_give_them(
    app: Flask, redis_client: redis.Redis
) -> None:
    mark(app, ADA, "#9")
    for user in (9, 17):
        plain.mark_event("a", user, system=redis_client, now=NOON)
    query = app.extensions["bitmapist"].query
    listed = set(query.users("a", "month", as_of=NOON))
    assert listed == {ADA, "#9", "#17"}
    assert all(query.has(user, "a", "month", as_of=NOON) for user in listed)
    assert FlaskBitmapist(app).person("#17")["user_id"] == "#17"
    assert forget(app, "#17").cleared == 3
    assert forget(app, "#0").cleared == 0, "it was given to somebody"
    # Somebody who is called so comes first.
    assert forget(app, "#9").cleared == 4
    assert users_in(redis_client.get("trackist_a_2026-1") or b"") == {0, 9}


def test_without_a_secret_key_it_is_said_what_is_missing(make_app: MakeApp) -> None:
    app = make_app(SECRET_KEY=None)
    mark(app, 7)
    with pytest.raises(RuntimeError, match="SECRET_KEY"):
        forget(app, 7)
    told = run(app, "7", "--yes")
    assert (told.exit_code, "SECRET_KEY" in told.output) == (1, True)
    assert app.extensions["bitmapist"].query.has(7, "a", "month", as_of=NOON)


def test_without_an_app_there_is_nobody_to_erase() -> None:
    with pytest.raises(RuntimeError, match="no app is initialised"):
        FlaskBitmapist().forget(7)
    with pytest.raises(RuntimeError, match="no app is initialised"):
        FlaskBitmapist().person(7)


# -- marks that wait


def test_marks_that_wait_here_are_dropped_and_told(make_app: MakeApp) -> None:
    app = make_app(BITMAPIST_MARK_MODE="background", BITMAPIST_FLUSH_INTERVAL=3600.0)
    dropped: list[tuple[Any, str]] = []

    def receive(sender: Flask, user_id: Any, reason: str, **_: Any) -> None:
        dropped.append((user_id, reason))

    mark_in_request(app, 7, 8)
    with event_dropped.connected_to(receive, sender=app):
        assert forget(app, 7).waiting == 1
    assert dropped == [(7, "erased")]
    mark_in_request(app, 9)
    app.extensions["bitmapist"].recorder.flush()
    query = app.extensions["bitmapist"].query
    assert set(query.users("a", "month", as_of=NOON)) == {8, 9}


def test_marks_that_wait_elsewhere_are_dropped_but_later_ones_are_new(
    make_app: MakeApp,
) -> None:
    here = make_app()
    other = make_app(BITMAPIST_MARK_MODE="background", BITMAPIST_FLUSH_INTERVAL=3600.0)
    mark_in_request(other, 7, 8)
    assert forget(here, 7).waiting == 0
    recorder = other.extensions["bitmapist"].recorder
    assert recorder.flush()
    query = here.extensions["bitmapist"].query
    assert set(query.users("a", "month", as_of=NOON)) == {8}
    counted = recorder.counters.to_dict()
    assert (counted["written"], counted["dropped"]) == (1, 1)
    # The second mark of the same bits takes the place of the first.
    mark_in_request(other, 7)
    forget(here, 7)
    mark_in_request(other, 7)
    assert recorder.flush()
    assert set(query.users("a", "month", as_of=NOON)) == {7, 8}


def test_what_an_ended_process_left_in_its_file_does_not_come_back(
    make_app: MakeApp, redis_client: redis.Redis, tmp_path: Path
) -> None:
    bits = bits_of("a", hour_of(NOON), False, False)
    path = tmp_path / "spool"
    spool = Spool(str(path), Identity().key)
    forgotten = forget(make_app(), 7).at.timestamp()
    spool.append(
        [
            Mark(bits, 7, 1, None, forgotten - 10),
            Mark(bits, 8, 1, None, forgotten - 10),
            Mark(bits_of("b", hour_of(NOON), False, False), 7, 1, None, forgotten + 10),
        ]
    )
    spool.forget()
    app = make_app(BITMAPIST_SPOOL_FILE=str(path))
    eventually(lambda: not path.exists(), "the file is written")
    assert users_in(redis_client.get("trackist_a_2026-1") or b"") == {8}
    assert users_in(redis_client.get("trackist_b_2026-1") or b"") == {7}
    assert app.extensions["bitmapist"].recorder.counters.recovered == 2


def test_marks_on_their_way_in_other_threads_do_not_come_back(
    make_app: MakeApp, redis_client: redis.Redis
) -> None:
    here = make_app()
    other = make_app(BITMAPIST_MARK_MODE="background", BITMAPIST_FLUSH_INTERVAL=3600.0)
    recorder = other.extensions["bitmapist"].recorder
    for _ in range(20):
        redis_client.delete(*redis_client.keys("trackist_*") or ["none"])
        mark_in_request(other, *range(300))
        writer = threading.Thread(target=recorder.flush)
        writer.start()
        forget(here, 7)
        writer.join()
        month = redis_client.get("trackist_a_2026-1") or b""
        assert users_in(month) == set(range(300)) - {7}


def test_the_map_of_a_person_who_waited_elsewhere_is_not_made_again(
    make_app: MakeApp, redis_client: redis.Redis
) -> None:
    here = make_app()
    other = make_app(BITMAPIST_MARK_MODE="background", BITMAPIST_FLUSH_INTERVAL=3600.0)
    mark(here, "first", ADA)
    mark_in_request(other, ADA)
    forget(here, ADA)
    other.extensions["bitmapist"].recorder.flush()
    assert not redis_client.hexists("flask-bitmapist:ids", ADA)


# -- interrupted, elsewhere


def test_killed_in_the_middle_it_is_finished_by_running_it_again(
    make_app: MakeApp, redis_client: redis.Redis, redis_url: str
) -> None:
    app = make_app()
    for days in range(40):
        mark(app, "first", ADA, now=NOON + timedelta(days=days))
    script = """
        import os, signal, sys
        from flask import Flask
        from flask_bitmapist import FlaskBitmapist
        from flask_bitmapist.capture import erasing

        erasing.BATCH = 10
        cleared = erasing.Eraser._clear

        def clear_and_die(self, keys, bits):
            if cleared(self, keys, bits):
                os.kill(os.getpid(), signal.SIGKILL)
            return 0

        erasing.Eraser._clear = clear_and_die
        app = Flask("killed")
        app.secret_key = "for the tests"
        FlaskBitmapist(app, {"BITMAPIST_REDIS_URL": sys.argv[1]}).forget(sys.argv[2])
    """
    arguments = [sys.executable, "-c", textwrap.dedent(script), redis_url, ADA]
    ended = subprocess.run(arguments, check=False, env={**os.environ})
    assert ended.returncode == -signal.SIGKILL
    left = sum(1 in users_in(each) for each in bitmaps(redis_client).values())
    assert left > 0
    assert redis_client.hlen(ERASING_KEY) == 1
    mark(app, ADA)  # meanwhile somebody new
    receipt = forget(app, ADA)
    assert (receipt.cleared, receipt.remaining) == (left + 4, 0)
    assert {u for each in bitmaps(redis_client).values() for u in users_in(each)} == {0}
    assert redis_client.hlen(ERASING_KEY) == 0


@pytest.mark.parametrize("user", [7, ADA])
def test_it_works_on_a_cluster(make_app: MakeApp, user: Any) -> None:
    with Cluster() as cluster:
        app = make_app(BITMAPIST_REDIS_URL=cluster.url)
        mark(app, user, event="a")
        mark(app, user, event="b")
        receipt = forget(app, user)
        assert (receipt.keys, receipt.cleared, receipt.remaining) == (8, 8, 0)


def test_it_works_on_a_store_with_the_commands_of_bitmapist_server(
    make_app: MakeApp,
) -> None:
    with RedisProcess() as server, LimitedStore(server) as store:
        app = make_app(BITMAPIST_REDIS_URL=store.url)
        mark(app, 7, event="a/b")
        assert forget(app, 7).cleared == 4


# -- what is handed out


def test_all_of_a_person_is_exported(app: Flask) -> None:
    mark(app, 7, 8)
    mark(app, 7, now=NOON - timedelta(days=5000))
    with app.app_context():
        mark_unique("staff", 7)
    told = FlaskBitmapist(app).person("7")
    assert told == {
        "user_id": 7,
        "events": {
            "a": {
                "months": ["2012-04", "2026-01"],
                "weeks": ["2012-W17", "2026-W02"],
                "days": ["2012-04-28", "2026-01-05"],
                "hours": ["2012-04-28T12", "2026-01-05T12"],
            }
        },
        "flags": ["staff"],
    }
    assert json.loads(json.dumps(told)) == told
    forget(app, 7)
    assert FlaskBitmapist(app).person(7) == {"user_id": 7, "events": {}, "flags": []}


# -- what bit operations and bitmapist itself leave behind


def test_deleting_everything_leaves_no_key_with_users(
    app: Flask, redis_client: redis.Redis
) -> None:
    mark(app, 42)
    with app.app_context():
        assert len(plain.YearEvents("a", 2026)) == 1
    assert redis_client.keys("trackist_bitop_*")
    doctor = app.test_cli_runner().invoke(args=["bitmapist", "doctor"])
    assert "temporary keys: 1 of bitmapist's bit operations" in doctor.output
    plan = FlaskBitmapist(app).deletion(None)
    assert plan.periods["temporary"] == 1
    assert plan.carry_out() == 5
    assert redis_client.keys("trackist_*") == []
    doctor = app.test_cli_runner().invoke(args=["bitmapist", "doctor"])
    assert "temporary keys" not in doctor.output


def test_events_that_bitmapist_deleted_leave_the_lists(app: Flask) -> None:
    mark(app, 42)
    catalogue = app.extensions["bitmapist"].catalogue
    assert catalogue.names() == ["a"]
    with app.app_context():
        plain.delete_all_events()
    assert catalogue.names(refresh=True) == []


# -- the command and the pages

URL = "/bitmapist/people/forget"
TAB = "/admin/bitmapist/people/forget"
SURFACES = pytest.mark.parametrize("surface", ["standalone", "admin"])


def run(app: Flask, *words: str, typed: str = "") -> Any:
    return app.test_cli_runner().invoke(
        args=["bitmapist", "forget", *words], input=typed
    )


def make_surface(make_app: MakeApp, surface: str, **options: Any) -> tuple[Flask, str]:
    app = make_app(
        **{"BITMAPIST_ACCESS": lambda: True, "BITMAPIST_ALLOW_DELETE": True, **options}
    )
    if surface == "standalone":
        return app, URL
    flask_admin = pytest.importorskip("flask_admin")
    if find_spec("flask_babel"):
        import_module("flask_babel").Babel(app)
    FlaskBitmapist(app, admin=flask_admin.Admin(app))
    return app, TAB


def post(app: Flask, url: str, **data: str) -> Any:
    client = app.test_client()
    page = client.get(url.split("?")[0], query_string={"user": data["user"]}).text
    found = re.search(r'name="bitmapist_csrf"[^>]* value="([^"]+)"', page)
    assert found, page
    return client.post(url, data={"bitmapist_csrf": unescape(found[1]), **data})


def test_the_command_wants_the_id_typed(app: Flask) -> None:
    mark(app, 7)
    told = run(app, "7", typed="8\n")
    assert told.exit_code == 1
    assert "Bitmaps with this user: 4" in told.output
    assert "nothing was erased" in told.output
    told = run(app, "7", "--by", "desk", typed="7\n")
    assert told.exit_code == 0, told.output
    assert "cleared    4" in told.output
    assert "by         desk" in told.output
    assert run(app, "7", "--json").exit_code == 2
    assert run(app, ADA, "--yes").exit_code == 2, "nobody can be called so here"


@pytest.mark.parametrize("user", [7, ADA])
def test_page_command_and_python_give_the_same_receipt(
    make_app: MakeApp, user: Any
) -> None:
    receipts = []
    app, url = make_surface(make_app, "standalone")
    ways: list[Callable[[], Any]] = [
        lambda: forget(app, user).to_dict(),
        lambda: json.loads(run(app, str(user), "--yes", "--json").output),
        lambda: post(app, f"{url}?json=y", user=str(user), confirm=str(user)).json,
    ]
    for way in ways:
        mark(app, user)
        told = way()
        receipts.append({**told, "at": None, "by": None})
    assert receipts[0] == receipts[1] == receipts[2]
    assert (receipts[0]["cleared"], receipts[0]["remaining"]) == (4, 0)


@SURFACES
def test_a_person_is_erased_on_their_page(make_app: MakeApp, surface: str) -> None:
    app, url = make_surface(make_app, surface)
    mark(app, 7)
    people = url.removesuffix("forget")
    people = people if surface == "admin" else people.rstrip("/")
    assert f'href="{url}?user=7"' in app.test_client().get(f"{people}?user=7").text
    shown = app.test_client().get(f"{url}?user=7")
    assert shown.headers["Cache-Control"] == "private, no-store"
    assert re.search(r"Bitmaps with this user</dt>\s*<dd>4<", shown.text)
    done = post(app, url, user="7", confirm="7")
    assert done.status_code == 200
    assert "The person is erased." in done.text
    assert FlaskBitmapist(app).person(7)["events"] == {}


@SURFACES
@pytest.mark.parametrize("wrong", [{"confirm": "8"}, {"bitmapist_csrf": "made-up"}])
def test_without_token_and_typed_id_nobody_is_erased(
    make_app: MakeApp, surface: str, wrong: dict[str, str]
) -> None:
    app, url = make_surface(make_app, surface)
    mark(app, 7)
    refused = post(app, url, **{"user": "7", "confirm": "7", **wrong})
    assert refused.status_code == 400
    assert FlaskBitmapist(app).person(7)["events"]


@SURFACES
@pytest.mark.parametrize(
    "options",
    [
        {"BITMAPIST_ALLOW_DELETE": False},
        {"BITMAPIST_ACCESS": "public"},
        {"SECRET_KEY": None},
    ],
    ids=str,
)
def test_where_it_is_not_allowed_there_is_no_way(
    make_app: MakeApp, surface: str, options: dict[str, Any]
) -> None:
    app, url = make_surface(make_app, surface, **options)
    mark(app, 7)
    client = app.test_client()
    assert client.get(f"{url}?user=7").status_code == 403
    data = {"user": "7", "confirm": "7"}
    assert client.post(url, data=data).status_code == 403
    assert FlaskBitmapist(app).person(7)["events"]


@pytest.mark.parametrize("asked", ["", "?user=", "?user=x%20y"])
def test_what_cannot_be_read_is_refused(make_app: MakeApp, asked: str) -> None:
    app, url = make_surface(make_app, "standalone")
    mark(app, 7)
    assert app.test_client().get(url + asked).status_code == 400
