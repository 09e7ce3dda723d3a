"""The decorator: what it marks, when, and what it leaves alone."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import redis
from flask import Flask, Response, abort

import flask_bitmapist
from flask_bitmapist import mark, mark_event

from .marks import NOON, NOON_KEYS, keys, recorder_of, today, users

MakeApp = Callable[..., Flask]


def reads(client: redis.Redis) -> int:
    """Return how often the server has read from a connection."""
    info: Any = client.info("stats")
    return int(info["total_reads_processed"])


def test_the_parameters_keep_their_order_and_defaults() -> None:
    parameters = inspect.signature(mark).parameters

    positional = [p for p in parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert [(p.name, p.default) for p in positional] == [
        ("event_name", inspect.Parameter.empty),
        ("uuid", inspect.Parameter.empty),
        ("system", "default"),
        ("now", None),
        ("track_hourly", None),
        ("use_pipeline", True),
    ]
    assert parameters["track_unique"].kind is inspect.Parameter.KEYWORD_ONLY
    assert parameters["on_success"].kind is inspect.Parameter.KEYWORD_ONLY


def test_a_view_marks_the_day_the_week_and_the_month(
    app: Flask, redis_client: redis.Redis
) -> None:
    @app.get("/")
    @mark("index:visited", 1, now=NOON)
    def index() -> str:
        return "hello"

    assert app.test_client().get("/").text == "hello"
    assert keys(redis_client) == {f"index:visited_{end}" for end in NOON_KEYS}
    assert all(users(redis_client, key) == {1} for key in keys(redis_client))


def test_a_mark_is_there_when_the_view_runs(
    app: Flask, redis_client: redis.Redis
) -> None:
    @mark("seen", 7)
    def view() -> set[int]:
        return users(redis_client, today("seen"))

    with app.app_context():
        assert view() == {7}


def test_a_view_keeps_its_name_documentation_and_result(app: Flask) -> None:
    @mark("seen", 7)
    def view(song_id: int, *, loud: bool = False) -> tuple[int, bool]:
        """Play it."""
        return song_id, loud

    assert view.__name__ == "view"
    assert view.__doc__ == "Play it."
    assert list(inspect.signature(view).parameters) == ["song_id", "loud"]
    with app.app_context():
        assert view(3, loud=True) == (3, True)


def test_async_views_are_marked_before_they_run(
    app: Flask, redis_client: redis.Redis
) -> None:
    pytest.importorskip("asgiref")

    @app.get("/")
    @mark("seen", 7)
    async def view() -> str:
        return str(users(redis_client, today("seen")))

    assert app.test_client().get("/").text == "{7}"


def test_hours_are_kept_if_the_app_or_the_mark_says_so(
    make_app: MakeApp, redis_client: redis.Redis
) -> None:
    hourly, plain = make_app(BITMAPIST_TRACK_HOURLY=True), make_app()
    variants: list[tuple[Flask, bool | None]] = [
        (hourly, None),
        (hourly, False),
        (plain, None),
        (plain, True),
    ]
    for number, (app, track_hourly) in enumerate(variants):
        view = mark("x", number, now=NOON, track_hourly=track_hourly)(lambda: None)
        with app.app_context():
            view()

    assert users(redis_client, "x_2026-1-1-12") == {0, 3}
    assert users(redis_client, "x_2026-1-1") == {0, 1, 2, 3}


def test_track_unique_sets_the_flag_as_well(
    app: Flask, redis_client: redis.Redis
) -> None:
    view = mark("x", 4, now=NOON, track_unique=True)(lambda: None)
    with app.app_context():
        view()

    assert users(redis_client, "x_u") == {4}
    assert users(redis_client, "x_2026-1-1") == {4}


@pytest.mark.parametrize(
    ("now", "day"),
    [
        (datetime(2026, 1, 1, 0, 30), "2026-1-1"),
        (
            datetime(2026, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=1))),
            "2025-12-31",
        ),
        (
            datetime(2026, 1, 1, 23, 30, tzinfo=timezone(-timedelta(hours=1))),
            "2026-1-2",
        ),
    ],
    ids=["naive is UTC", "east of Greenwich", "west of Greenwich"],
)
def test_now_is_read_as_utc(
    app: Flask, redis_client: redis.Redis, now: datetime, day: str
) -> None:
    view = mark("x", 1, now=now)(lambda: None)
    with app.app_context():
        view()

    assert users(redis_client, f"x_{day}") == {1}


def test_a_new_year_falls_into_its_iso_week(
    app: Flask, redis_client: redis.Redis
) -> None:
    with app.app_context():
        mark_event("x", 1, now=datetime(2027, 1, 1))

    assert keys(redis_client) == {"x_2027-1", "x_W2026-53", "x_2027-1-1"}


def test_marks_above_each_other_go_in_one_round_trip(
    app: Flask, redis_client: redis.Redis
) -> None:
    @app.get("/")
    @mark("first", 1, now=NOON)
    @mark("second", 2, now=NOON)
    @mark("third", 3, now=NOON)
    def view() -> str:
        return "ok"

    client = app.test_client()
    client.get("/")  # opens the connection, and registers the names
    before = reads(redis_client)
    client.get("/")

    assert reads(redis_client) - before == 2, "that of the marks, and our own"
    assert users(redis_client, "third_2026-1-1") == {3}


def test_a_decorator_in_between_decides_about_the_marks_below_it(
    app: Flask, redis_client: redis.Redis
) -> None:
    import functools

    def forbidden(view: Callable[[], str]) -> Callable[[], str]:
        @functools.wraps(view)
        def wrapper() -> str:
            abort(403)

        return wrapper

    @app.get("/")
    @mark("tried", 1, now=NOON)
    @forbidden
    @mark("entered", 1, now=NOON)
    def view() -> str:
        return "ok"

    assert app.test_client().get("/").status_code == 403
    assert users(redis_client, "tried_2026-1-1") == {1}
    assert users(redis_client, "entered_2026-1-1") == set()


def test_a_redis_client_may_be_given_as_system(
    app: Flask, redis_process: Any, redis_client: redis.Redis
) -> None:
    other = redis_process.client()
    view = mark("x", 5, other, NOON)(lambda: None)
    with app.app_context():
        view()

    assert users(other, "x_2026-1-1") == {5}
    assert keys(redis_client) == set()


def test_a_pipeline_is_left_to_its_owner_without_use_pipeline(
    app: Flask, redis_client: redis.Redis
) -> None:
    pipeline = redis_client.pipeline()
    view = mark("x", 5, pipeline, NOON, use_pipeline=False)(lambda: None)
    with app.app_context():
        view()
        assert keys(redis_client) == set()
        assert len(pipeline) == 3
        pipeline.execute()

    assert users(redis_client, "x_2026-1-1") == {5}


def test_without_use_pipeline_the_same_bits_are_written(
    app: Flask, redis_client: redis.Redis
) -> None:
    view = mark("x", 5, now=NOON, use_pipeline=False)(lambda: None)
    with app.app_context():
        view()

    assert keys(redis_client) == {f"x_{end}" for end in NOON_KEYS}


def test_marking_needs_an_initialised_app() -> None:
    app = Flask("bare")
    view = mark("x", 5)(lambda: None)
    with app.app_context(), pytest.raises(RuntimeError, match="init_app"):
        view()


@pytest.mark.parametrize(
    ("answer", "marked"),
    [
        ("fine", {1}),
        (("made", 201), {1}),
        (("elsewhere", "302 FOUND", {"Location": "/"}), {1}),
        (Response("fine", 204), {1}),
        (("no", 404), set()),
        (("no", "500 INTERNAL SERVER ERROR"), set()),
        (Response("no", 403), set()),
        ((Response("no", 403), {"X-Why": "so"}), set()),
        (({"error": "no"}, 400, [("X-Why", "so")]), set()),
    ],
    ids=str,
)
def test_on_success_marks_only_what_succeeded(
    app: Flask, redis_client: redis.Redis, answer: Any, marked: set[int]
) -> None:
    @app.get("/")
    @mark("done", 1, now=NOON, on_success=True)
    def view() -> Any:
        assert keys(redis_client) == set(), "it is marked after the view"
        return answer

    app.test_client().get("/")

    assert users(redis_client, "done_2026-1-1") == marked


def test_on_success_marks_nothing_when_the_view_raises(
    app: Flask, redis_client: redis.Redis
) -> None:
    @app.get("/")
    @mark("tried", 1, now=NOON)
    @mark("done", 1, now=NOON, on_success=True)
    def view() -> str:
        abort(418)

    assert app.test_client().get("/").status_code == 418
    assert users(redis_client, "tried_2026-1-1") == {1}
    assert users(redis_client, "done_2026-1-1") == set()


def test_on_success_works_on_async_views(app: Flask, redis_client: redis.Redis) -> None:
    pytest.importorskip("asgiref")

    @app.get("/<int:status>")
    @mark("done", lambda status: status, now=NOON, on_success=True)
    async def view(status: int) -> tuple[str, int]:
        return "", status

    for status in (200, 404):
        app.test_client().get(f"/{status}")

    assert users(redis_client, "done_2026-1-1") == {200}


def test_names_that_bitmapist_would_mix_up_are_refused_at_once() -> None:
    for name in ("", "bitop_AND_x", "x_2026-1", "x_W2026-1", "x_2026-1-1-1", "\ud800"):
        with pytest.raises(ValueError, match="name"):
            mark(name, 1)
    for name in ("x_u", "a_b", "v2026-1", "song:played", "größe", "x_2026"):
        mark(name, 1)


def test_names_may_be_called_for_in_the_request(
    app: Flask, redis_client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    @app.get("/<kind>")
    @mark(lambda kind: f"song:{kind}", 1, now=NOON)
    def view(kind: str) -> str:
        return "ok"

    client = app.test_client()
    assert client.get("/played").status_code == 200
    assert client.get("/_2026-1").status_code == 200

    assert keys(redis_client) == {f"song:played_{end}" for end in NOON_KEYS}
    assert recorder_of(app).counters.rejected == 1
    assert "ends like the date" in caplog.text


def test_now_may_be_called_for_in_the_request(
    app: Flask, redis_client: redis.Redis
) -> None:
    @app.get("/<int:year>")
    @mark("x", 1, now=lambda year: datetime(year, 5, 5))
    def view(year: int) -> str:
        return "ok"

    app.test_client().get("/2020")

    assert users(redis_client, "x_2020-5-5") == {1}


def test_bitmapists_own_objects_read_what_was_marked(app: Flask) -> None:
    with app.app_context():
        mark_event("x", 5, now=NOON)
        events = flask_bitmapist.DayEvents.from_date("x", NOON)

        assert list(events) == [5]
