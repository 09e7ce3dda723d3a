"""What comes through the door of the pages: whose, what, and how much of it."""

from __future__ import annotations

import importlib
import io
import re
import time
import tracemalloc
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient

from flask_bitmapist import FlaskBitmapist, Period, TimeGroup, mark_event
from flask_bitmapist.query import utc_now

from .inside import (
    MAX_BYTES,
    MOST_ANSWER,
    MOST_ARGUMENTS,
    MOST_BODY,
    WALKED_KEY,
    Source,
    redis_key,
)
from .pages import ASKED, COHORT, PAGES, add_tabs, url_of
from .test_web_hostile import Endless

MakeApp = Callable[..., Flask]
MEGABYTE = 1024 * 1024
SURFACES = ["standalone"]
if find_spec("flask_admin"):
    SURFACES.append("admin")
each_surface = pytest.mark.parametrize("surface", SURFACES)


def deletion_url(surface: str) -> str:
    return url_of("events", surface).rstrip("/") + "/delete"


@pytest.fixture
def make_both(make_app: MakeApp) -> MakeApp:
    """Make an app with both surfaces, where one user came."""

    def make(**settings: Any) -> Flask:
        app = make_app(**settings)
        add_tabs(app)
        with app.app_context():
            mark_event("came", 1)
        return app

    return make


@pytest.fixture
def client(make_both: MakeApp) -> FlaskClient:
    return make_both().test_client()


# -- other extensions, which look at every view and at every form


def protect(app: Flask) -> Any:
    csrf = pytest.importorskip("flask_wtf").CSRFProtect(app)

    @app.get("/token")
    def token() -> str:
        return str(importlib.import_module("flask_wtf.csrf").generate_csrf())

    return csrf


def limit(app: Flask, most: str = "1000/hour") -> Any:
    flask_limiter = pytest.importorskip("flask_limiter")
    util = importlib.import_module("flask_limiter.util")
    return flask_limiter.Limiter(
        util.get_remote_address,
        app=app,
        default_limits=[most],
        storage_uri="memory://",
    )


def test_one_page_can_be_exempted_and_no_other_is(make_both: MakeApp) -> None:
    app = make_both()
    csrf = protect(app)
    csrf.exempt(app.view_functions["bitmapist.cohort"])
    client = app.test_client()
    assert client.post("/bitmapist/cohort?json=y", json=COHORT).status_code == 200
    for surface in SURFACES[1:]:
        assert client.post(url_of("cohort", surface), json=COHORT).status_code == 400
    for url in ("/bitmapist/events/delete", "/bitmapist/people/forget"):
        assert client.post(url).status_code == 400


def test_one_page_can_be_without_a_limit_and_no_other_is(make_both: MakeApp) -> None:
    app = make_both()
    limiter = limit(app, "1/hour")
    for endpoint in ("bitmapist.cohort", "bitmapist_cohort.index"):
        if endpoint in app.view_functions:
            limiter.exempt(app.view_functions[endpoint])
    client = app.test_client()
    for surface in SURFACES:
        for page in ("cohort", "trends"):
            assert client.get(url_of(page, surface)).status_code == 200
        assert client.get(url_of("cohort", surface)).status_code == 200
        assert client.get(url_of("trends", surface)).status_code == 429


def handed_to_flask(app: Flask) -> Iterator[Any]:
    for endpoint, view in app.view_functions.items():
        if "bitmapist" in endpoint and not endpoint.endswith("static"):
            yield view
    for kinds in (app.before_request_funcs, app.after_request_funcs):
        for functions in kinds.values():
            yield from (each for each in functions if "bitmapist" in each.__module__)


def test_everything_that_is_handed_to_flask_is_a_function_with_its_own_name(
    make_both: MakeApp,
) -> None:
    found = list(handed_to_flask(make_both()))
    assert len(found) >= 9 + 2 + (9 if len(SURFACES) > 1 else 0)
    for view in found:
        assert view.__code__
        assert view.__doc__
        assert view.__module__.startswith("flask_bitmapist.")
    for name in ("__name__", "__qualname__"):
        names = [(view.__module__, getattr(view, name)) for view in found]
        assert len(set(names)) == len(names), names


def test_the_pages_are_not_part_of_the_apps_api(app: Flask) -> None:
    assert app.blueprints["bitmapist"].enable_openapi is False


# -- what is asked


FOREIGN = [
    "lang=de",
    "utm_source=x&utm_medium=<b>",
    "events-²=x",
    "events-٣=x",
    "events-0000=x",
    "events-x=x",
    f"steps-{'9' * 5000}=x",
    f"additional_events-{'9' * 5000}-name=x",
    "additional_events-0-colour=x",
    "additional_events-²-op=x",
    "_external=1&endpoint=x&self=x",
]


@each_surface
@pytest.mark.parametrize("foreign", FOREIGN, ids=lambda each: each[:30])
def test_what_a_page_does_not_declare_is_passed_over(
    client: FlaskClient, surface: str, foreign: str
) -> None:
    for page in PAGES:
        url = url_of(page.name, surface)
        answer = client.get(f"{url}?{foreign}")
        assert answer.status_code == 200, url
        assert "alert-danger" not in answer.text
    url = url_of("trends", surface)
    plain = client.get(f"{url}?events-0=came&format=json").json
    asked = client.get(f"{url}?events-0=came&format=json&{foreign}").json
    assert asked == {**plain, "as_of": asked.get("as_of", plain.get("as_of"))}


@each_surface
@pytest.mark.parametrize(
    "foreign", ["additional_events-²", f"steps-{'9' * 5000}", "lang", "events"]
)
def test_what_a_body_says_beyond_that_is_passed_over_as_well(
    client: FlaskClient, surface: str, foreign: str
) -> None:
    for value in ("x", ["x"], {"a": ["b"]}):
        url = url_of("cohort", surface) + "?json=y"
        answer = client.post(url, json={**COHORT, foreign: value})
        assert answer.status_code == 200
    assert answer.json["cohort"][-1][0] == 1


def test_lists_of_up_to_a_thousand_entries_are_read(client: FlaskClient) -> None:
    for number in ("0", "7", "999"):
        url = f"/bitmapist/trends?events-{number}=came&format=json"
        assert client.get(url).json["series"][0]["name"] == "came"
    assert (
        client.get("/bitmapist/trends?events-1000=came&format=json").status_code == 400
    )


# -- how much is asked


@each_surface
def test_names_may_be_as_long_as_those_that_can_be_marked(
    client: FlaskClient, surface: str
) -> None:
    for name in ("x" * MAX_BYTES, "é" * (MAX_BYTES // 2)):
        with client.application.app_context():
            mark_event(name, 1)
        for page, fields in ASKED.items():
            if page == "people":
                continue
            url, long = url_of(page, surface), dict.fromkeys(fields, name)
            assert client.get(url, query_string=long).status_code == 200
            longer = dict.fromkeys(fields, name + "x")
            refused = client.get(url, query_string=longer)
            assert refused.status_code == 400
            assert "Unknown event" in refused.text


@each_surface
def test_a_question_is_no_longer_than_eight_kilobytes(
    client: FlaskClient, surface: str
) -> None:
    conditions = {
        f"additional_events-{at}-name": "漢" * 340
        for at in range(MOST_ARGUMENTS // 1024)
    }
    asked = {**COHORT, **conditions}
    url = url_of("cohort", surface)
    for form in ("html", "json", "csv"):
        refused = client.get(url, query_string={**asked, "format": form})
        assert refused.status_code == 400
        assert "can have at most 8,192 bytes" in refused.text
    body = {
        **COHORT,
        "additional_events": [{"name": name} for name in conditions.values()],
    }
    refused = client.post(f"{url}?json=y", json=body)
    assert refused.status_code == 400
    assert "at most 8,192 bytes" in refused.json["errors"]["form"][0]


def streamed(body: Any, length: int | None) -> dict[str, Any]:
    """What a server hands over with a body, of the length that it tells if any."""
    return {
        "wsgi.input": body,
        "wsgi.input_terminated": True,
        "CONTENT_LENGTH": "" if length is None else str(length),
    }


@each_surface
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("kind", ["json", "form"])
def test_of_a_body_without_end_no_more_is_read_than_is_allowed(
    make_both: MakeApp, surface: str, kind: str, chunked: bool
) -> None:
    app = make_both(BITMAPIST_ALLOW_DELETE=True, BITMAPIST_ACCESS=lambda: True)
    body = Endless()
    urls = {"json": url_of("cohort", surface), "form": deletion_url(surface)}
    types = {"json": "application/json", "form": "application/x-www-form-urlencoded"}
    refused = app.test_client().post(
        urls[kind] + "?json=y",
        content_type=types[kind],
        environ_overrides=streamed(body, None if chunked else 10**12),
    )
    assert refused.status_code == 400
    assert "larger than 65,536 bytes" in refused.json["errors"]["form"][0]
    assert body.given <= (MOST_BODY + 1 if chunked else 0)


@each_surface
@pytest.mark.parametrize("chunked", [False, True])
def test_a_form_of_sixty_megabytes_deletes_nothing_and_is_not_repeated(
    make_both: MakeApp, surface: str, chunked: bool
) -> None:
    app = make_both(BITMAPIST_ALLOW_DELETE=True, BITMAPIST_ACCESS=lambda: True)
    body = io.BytesIO(b"event=" + b"x" * (60 * MEGABYTE) + b"&confirm=x")
    environ = streamed(body, None if chunked else 60 * MEGABYTE + 16)
    tracemalloc.start()
    try:
        refused = app.test_client().post(
            deletion_url(surface),
            content_type="application/x-www-form-urlencoded",
            environ_overrides=environ,
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert refused.status_code == 400
    assert "larger than 65,536 bytes" in refused.text
    assert len(refused.data) < 100_000
    assert peak < 20 * MEGABYTE


@each_surface
@pytest.mark.parametrize("size", [MAX_BYTES + 1, 20_000])
def test_a_deletion_is_asked_with_a_name_that_can_be_one(
    make_both: MakeApp, surface: str, size: int
) -> None:
    app = make_both(BITMAPIST_ALLOW_DELETE=True, BITMAPIST_ACCESS=lambda: True)
    client, fields = app.test_client(), {"event": "x" * size, "confirm": "x" * size}
    for refused in (
        client.get(deletion_url(surface), query_string=fields),
        client.post(deletion_url(surface), data=fields),
    ):
        assert refused.status_code == 400
        assert re.search(r"at most (1,024|8,192) bytes", refused.text)
        assert len(refused.data) < 100_000


@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_a_body_that_is_too_long_is_not_read_by_other_extensions_either(
    redis_url: str, first: str
) -> None:
    app = Flask("protected")
    app.config.update(
        SECRET_KEY="for the tests",
        BITMAPIST_REDIS_URL=redis_url,
        BITMAPIST_ACCESS=lambda: True,
        BITMAPIST_ALLOW_DELETE=True,
    )
    if first == "theirs":
        protect(app)
    FlaskBitmapist(app)
    add_tabs(app)
    if first == "ours":
        protect(app)
    client = app.test_client()
    for url in map(deletion_url, SURFACES):
        body = Endless()
        refused = client.post(
            url,
            content_type="application/x-www-form-urlencoded",
            environ_overrides=streamed(body, None),
        )
        assert refused.status_code in (400, 413)
        assert body.given <= MOST_BODY + 1


# -- how much is answered


def fill_days(client: redis.Redis, number: int, event: str = "came") -> None:
    today = Period.containing(TimeGroup.DAYS, utc_now())
    pipeline = client.pipeline()
    for at in range(number):
        pipeline.set(redis_key(Source(event, today.shift(-at))), b"\xff")
    pipeline.execute()


@each_surface
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_page_that_grows_too_large_is_stopped_while_it_is_written(
    client: FlaskClient, redis_client: redis.Redis, surface: str, method: str
) -> None:
    name = "漢" * 340
    fill_days(redis_client, 150, name)
    asked: dict[str, Any] = dict.fromkeys(COHORT, name)
    asked |= {"num_rows": 150, "num_cols": 150, "time_group": "days"}
    asked["with_replacement"] = "y"
    for at in range(5):
        asked[f"additional_events-{at}-name"] = name
    url = url_of("cohort", surface)
    tracemalloc.start()
    try:
        if method == "GET":
            refused = client.get(url, query_string=asked)
        else:
            refused = client.post(url, json=asked)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert refused.status_code == 400
    assert "would be larger than 8,388,608 bytes" in refused.text
    assert "as CSV" in refused.text
    assert len(refused.data) < MEGABYTE
    assert peak < 8 * MOST_ANSWER
    with client.get(url, query_string={**asked, "format": "csv"}) as whole:
        assert whole.status_code == 200


@pytest.fixture
def long_names(redis_client: redis.Redis) -> int:
    """Events with names that plain bitmapist takes, and which no form would."""
    today = Period.containing(TimeGroup.DAYS, utc_now())
    for at in range(250):
        name = f"{at:04}" + "x" * 40_000
        redis_client.setbit(redis_key(Source(name, today)), 1, 1)  # type: ignore[arg-type]
    return 250


@each_surface
@pytest.mark.parametrize("form", ["html", "json", "csv"])
def test_names_that_were_marked_elsewhere_make_no_answer_too_large(
    client: FlaskClient, long_names: int, surface: str, form: str
) -> None:
    url = url_of("index", surface)
    asked = {"per_page": long_names, "format": form}
    with client.get(url, query_string=asked) as answer:
        if form == "csv":  # which is sent as it is made
            assert answer.status_code == 200
            assert len(answer.data) > long_names * 40_000
            return
        assert answer.status_code == 400
        assert "would be larger than 8,388,608 bytes" in answer.text
        assert len(answer.data) < 100_000
    assert client.get(url, query_string={**asked, "per_page": 5}).status_code == 200


@each_surface
def test_files_of_users_take_bounded_memory_however_many_they_are(
    client: FlaskClient, redis_client: redis.Redis, surface: str
) -> None:
    today = Period.containing(TimeGroup.DAYS, utc_now())
    redis_client.set(redis_key(Source("came", today)), b"\xff" * 15_000)
    asked = {"events-0": "came", "period": today.label, "format": "csv"}
    # The first question of a process makes room that it never fills, see the reader.
    assert client.get(url_of("trends", surface), query_string=asked).status_code == 200
    tracemalloc.start()
    try:
        answer = client.get(url_of("trends", surface), query_string=asked)
        lines = largest = 0
        for part in answer.iter_encoded():
            lines += part.count(b"\n")
            largest = max(largest, len(part))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        answer.close()
    assert lines == 1 + 8 * 15_000
    assert largest < 100_000
    assert peak < 4.5 * MEGABYTE


# -- looking through all keys


def scans(client: redis.Redis) -> int:
    stats: Any = client.info("commandstats")
    return int(stats.get("cmdstat_scan", {"calls": 0})["calls"])


@each_surface
def test_all_keys_of_a_store_are_looked_through_once_a_minute(
    make_both: MakeApp, redis_client: redis.Redis, surface: str
) -> None:
    clients = [make_both().test_client(), make_both().test_client()]  # two processes
    url = url_of("events", surface)
    told = []
    before = scans(redis_client)
    for client in clients * 3:
        answer = client.get(f"{url}?refresh=y")
        assert answer.status_code == 200
        told.append("less than a minute ago" in answer.text)
    assert told == [False] + [True] * 5
    assert scans(redis_client) == before + 1
    warned = clients[1].get(f"{url}?refresh=y&format=json").json["warnings"]
    assert "less than a minute ago" in warned[0]

    redis_client.set(WALKED_KEY, f"{time.time() - 61} 0")
    assert "a minute ago" not in clients[1].get(f"{url}?refresh=y").text
    assert scans(redis_client) == before + 2


def test_so_it_is_for_each_process_where_nothing_may_be_written(
    make_both: MakeApp, redis_url: str, redis_client: redis.Redis
) -> None:
    make_both()
    redis_client.acl_setuser(
        "reader",
        enabled=True,
        passwords=["+read"],
        keys=["*"],
        commands=["+@read", "+@connection"],
    )
    try:
        url = redis_url.replace("redis://", "redis://reader:read@")
        app = Flask("reader")
        app.config.update(BITMAPIST_REDIS_URL=url, BITMAPIST_ACCESS="public")
        FlaskBitmapist(app)
        client = app.test_client()
        assert "came" in client.get("/bitmapist/events").text
        before = scans(redis_client)
        for _ in range(3):
            answer = client.get("/bitmapist/events?refresh=y")
            assert answer.status_code == 200
            assert "less than a minute ago" in answer.text
        assert scans(redis_client) == before
    finally:
        redis_client.acl_deluser("reader")


# -- what caches are told


@each_surface
@pytest.mark.parametrize("form", ["html", "json", "csv"])
def test_caches_know_that_the_answer_depends_on_who_and_how_is_asked(
    make_both: MakeApp, surface: str, form: str
) -> None:
    private = make_both(BITMAPIST_ACCESS=lambda: True).test_client()
    public = make_both(BITMAPIST_ACCESS="public").test_client()
    closed = make_both(BITMAPIST_ACCESS="local").test_client()
    for page in PAGES:
        url, asked = url_of(page.name, surface), ASKED.get(page.name, {})
        own = "private, no-store" if page.question.is_private else None
        for client, expected in ((private, own or "private"), (public, own)):
            for question in (asked, {"as_of": "x"}):
                query = {**question, "format": form}
                with client.get(url, query_string=query) as answer:
                    assert answer.status_code in (200, 400)
                    assert "Accept" in answer.vary
                    assert answer.headers.get("Cache-Control") == expected
        refused = closed.get(url, query_string={"format": form})
        assert refused.status_code == 403
        assert "Accept" in refused.vary
        assert refused.headers["Cache-Control"] == "private"


def test_an_admin_with_a_rule_is_private_whatever_the_word(make_app: MakeApp) -> None:
    flask_admin = pytest.importorskip("flask_admin")

    class StaffIndex(flask_admin.AdminIndexView):  # type: ignore[misc,name-defined]
        def is_accessible(self) -> bool:
            return True

    app = make_app(BITMAPIST_ACCESS="public")
    add_tabs(app, index_view=StaffIndex())
    client = app.test_client()
    tab = client.get("/admin/bitmapist/cohort/")
    assert tab.headers["Cache-Control"] == "private"
    assert "Cache-Control" not in client.get("/bitmapist/cohort").headers
