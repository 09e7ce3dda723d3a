"""The command line: what it prints, and what it says when it is asked wrongly."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable

import bitmapist
import pytest
import redis
from click.testing import Result
from flask import Flask

from flask_bitmapist import mark_event, mark_unique
from flask_bitmapist.cli import bitmapist_cli

from .marks import rename_user
from .reference import utc
from .servers import RedisProcess

ON = ("--as-of", "2026-03-04")
Run = Callable[..., Result]


@pytest.fixture
def run(app: Flask) -> Run:
    """Run a command on two users on a Tuesday, of whom one is back on Wednesday."""
    with app.app_context():
        for user, day in ((1, 3), (2, 3), (1, 4)):
            mark_event("a", user, now=utc(f"2026-03-0{day}"))
        mark_event("needs quotes (really)", 1, now=utc("2026-03-04"))
        mark_unique("paid", 2)
    return lambda *arguments: app.test_cli_runner().invoke(
        args=["bitmapist", *arguments]
    )


ASKED = [
    ("events",),
    ("has", "1", "a"),
    ("count", "a"),
    ("users", "a"),
    ("cohort", "a"),
    ("trend", "a"),
    ("stickiness", "a"),
    ("lifecycle", "a"),
    ("funnel", "a", "a"),
    ("person", "1"),
    ("user", "1"),
]


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: asked[0])
def test_every_question_is_answered_as_text_json_and_csv(
    run: Run, asked: tuple[str, ...]
) -> None:
    text = run(*asked, *ON)
    assert text.exit_code == 0, text.output
    assert text.stdout.strip()
    told = run(*asked, *ON, "--json")
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)
    sheet = run(*asked, *ON, "--csv")
    assert sheet.exit_code == 0, sheet.output
    rows = list(csv.reader(io.StringIO(sheet.stdout)))
    assert len(rows) > 1
    assert len({len(row) for row in rows}) == 1


def test_every_command_says_what_it_is_for() -> None:
    assert set(bitmapist_cli.commands) == {
        *(asked[0] for asked in ASKED),
        "import",
        "sample",
        "token",
        "export",
        "delete",
        "forget",
        "doctor",
        "backfill",
        "id-map",
        "zone",
        "openapi",
        "overview",
        "mcp",
    }
    for command in bitmapist_cli.commands.values():
        assert command.help


def test_events_are_listed_with_their_counts(run: Run) -> None:
    told = json.loads(run("events", *ON, "--json").stdout)
    (event,) = (each for each in told["events"] if each["name"] == "a")
    assert event.items() >= {"day": 1, "week": 2, "month": 2, "year": 2}.items()
    assert told["flags"] == [{"name": "paid", "users": 1}]
    assert "needs quotes (really)" in run("events").stdout


def test_a_cohort_is_a_heatmap_with_the_current_period_marked(run: Run) -> None:
    result = run("cohort", "a", "-g", "weeks", "-r", "3", "-c", "2", *ON)
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows[1:4] == [
        ["2026-W08", "0", "–", "–"],
        ["2026-W09", "0", "–", "–"],
        ["2026-W10", "2", "100.0%*"],
    ]
    assert "* still in progress, not included in averages" in result.stderr
    assert "2026-W10 is counted up to 2026-03-04." in result.stderr
    closed = run("cohort", "a", "-g", "day", "-r", "2", "-c", "2", *ON).stdout
    assert closed.splitlines()[1].split() == ["2026-03-03", "2", "100.0%", "50.0%"]
    assert "*" not in closed


def test_a_cohort_is_coloured_on_a_terminal(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("rich")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    told = run("cohort", "a", "-g", "day", "-r", "3", "-c", "2", *ON).stdout
    assert "48;5;31" in told, "the background of half of the users"
    assert "48;5;239" in told, "the background of what is everybody by definition"


def test_a_wide_cohort_is_never_cut(run: Run) -> None:
    told = run("cohort", "a", "-g", "day", "-r", "40", "-c", "40", *ON).stdout
    assert "+39" in told
    assert "…" not in told


def test_without_rich_the_same_numbers_are_printed(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("rich")
    asked = ("cohort", "a", "-g", "day", "-r", "3", "-c", "2", *ON)
    with_rich = run(*asked).stdout.split()
    for name in ("rich", "rich.console", "rich.measure", "rich.table", "rich.text"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    assert run(*asked).stdout.split() == with_rich


def test_an_expression_is_asked_for_like_an_event(run: Run) -> None:
    assert run("users", "a and not flag(paid)", "-g", "week", *ON).stdout == "1\n"
    assert run("users", "needs quotes (really)", *ON).stdout == "1\n"


def test_ids_come_in_pages(run: Run) -> None:
    told = run("users", "a", "-g", "week", "--page", "2", "--per-page", "1", *ON)
    assert told.stdout == "2\n"
    assert "Page 2 of 2; 2 users." in told.stderr


@pytest.mark.parametrize("given", ["20260304", "2026-W10", "soon"])
@pytest.mark.parametrize(
    "asked",
    [("export", "--since"), ("delete", "a", "--before"), ("count", "a", "--as-of")],
    ids=lambda asked: asked[0],
)
def test_every_command_reads_a_date_alike(
    run: Run, asked: tuple[str, ...], given: str
) -> None:
    refused = run(*asked, given)
    assert refused.exit_code == 2
    assert "This is not a date; write it as YYYY-MM-DD." in refused.stderr


def test_an_export_can_begin_and_end_with_an_hour(run: Run) -> None:
    hours = ("--since", "2026-03-03T00:00Z", "--until", "2026-03-03T05:00")
    told = run("export", "a", "--hourly", *hours)
    assert told.exit_code == 0, told.output


@pytest.mark.parametrize(
    "asked", [("events",), ("user", "7"), ("trend", "a"), ("overview",)]
)
def test_names_of_events_do_nothing_to_a_terminal(
    run: Run, app: Flask, asked: tuple[str, ...]
) -> None:
    with app.app_context():  # bitmapist itself takes any name
        bitmapist.mark_event("\x1b]0;X\x07\x1b[2Jrisen", 7, now=utc("2026-03-04"))
        bitmapist.mark_event("two\nlines \u202eturned", 7, now=utc("2026-03-04"))
    told = run(*asked, *ON)

    assert told.exit_code == 0, told.output
    assert not set("\x1b\x07\u202e") & set(told.output)
    if "risen" in told.output:
        assert r"\x1b[2Jrisen" in told.output
        assert r"two\nlines" in told.output


def test_what_is_exported_can_be_imported(run: Run, app: Flask) -> None:
    told = run("export", "--since", "2026-03-01", "--until", "2026-03-31").stdout
    assert told.splitlines() == [
        "user_id,event,timestamp",
        "1,a,2026-03-03T00:00:00Z",
        "2,a,2026-03-03T00:00:00Z",
        "1,a,2026-03-04T00:00:00Z",
        "1,needs quotes (really),2026-03-04T00:00:00Z",
    ]
    again = app.test_cli_runner().invoke(args=["bitmapist", "import", "-"], input=told)
    assert again.exit_code == 0, again.output
    assert (
        run("export", "--since", "2026-03-01", "--until", "2026-03-31").stdout == told
    )


def test_users_with_keys_of_their_own_are_shown_and_asked_for_by_them(
    make_app: Callable[..., Flask],
) -> None:
    app = make_app(BITMAPIST_ID_MAP=True)
    with app.app_context():
        for key in ("ada@example.com", "=cmd()"):
            mark_event("a", key, now=utc("2026-03-04"))  # type: ignore[arg-type]

    def run(*arguments: str) -> Result:
        return app.test_cli_runner().invoke(args=["bitmapist", *arguments])

    assert run("users", "a", *ON).stdout == "ada@example.com\n=cmd()\n"
    assert run("users", "a", *ON, "--csv").stdout.split() == [
        "user_id",
        "ada@example.com",
        "'=cmd()",
    ]
    page = json.loads(run("users", "a", *ON, "--json").stdout)
    assert page["ids"] == ["ada@example.com", "=cmd()"]
    assert run("has", "ada@example.com", "a", "-g", "day", *ON).stdout == "yes\n"
    assert "2026-03-04      a" in run("user", "ada@example.com", *ON).stdout
    assert (
        "ada@example.com,a,2026-03-04T"
        in run("export", "--since", "2026-03-04", "--until", "2026-03-04").stdout
    )
    unknown = run("has", "nobody", "a", "-g", "day", *ON)
    assert unknown.exit_code == 1
    assert unknown.stdout == "no\n"
    assert "No activity recorded for this user." in unknown.stderr


HOSTILE = "\x1b]0;X\x07\x1b[2Jmoved\r\nforged  1,000\u2028row\x85"
OF_HOSTILE = [
    *(("events",), ("overview",), ("user", "7"), ("doctor",)),
    *(("trend", f'"{HOSTILE}"'), ("funnel", f'"{HOSTILE}"', f'"{HOSTILE}"')),
    *(("count", f'"{HOSTILE}"'), ("users", f'"{HOSTILE}"'), ("users", "flag(k\n)")),
    *(("cohort", f'"{HOSTILE}"'), ("lifecycle", f'"{HOSTILE}"')),
    *(("stickiness", f'"{HOSTILE}"'), ("has", "7", f'"{HOSTILE}"')),
    *(("cohort", f'"{HOSTILE}"', "--users", "--period", "2026-03-04", "-g", "day"),),
    *(("count", f'"{HOSTILE}x"'), ("user", HOSTILE), ("trend", f'"{HOSTILE}')),
    *(("export", "--since", "2026-03-04"), ("delete", HOSTILE)),
]


@pytest.mark.parametrize("output", ["", "--csv"])
@pytest.mark.parametrize("asked", OF_HOSTILE, ids=lambda asked: asked[0])
def test_no_name_that_is_stored_moves_the_cursor_or_forges_a_row(
    run: Run, redis_client: redis.Redis, asked: tuple[str, ...], output: str
) -> None:
    if output and asked[0] in ("doctor", "export", "delete"):
        return
    bitmapist.mark_event(HOSTILE, 7, system=redis_client, now=utc("2026-03-04"))
    bitmapist.mark_unique("k\n", 7, system=redis_client)
    when = () if asked[0] in ("doctor", "export", "delete") else ON
    told = run(*asked, *filter(None, [output]), *when)

    text = told.output.replace("\r\n", "\n")
    assert "Traceback" not in text
    assert not set(text) & set("\x1b\x07\r\u2028\x85")
    assert not [line for line in text.splitlines() if line.startswith("forged")]


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        (("users", "a", *ON), r"ada\n\x1b[2Jbob"),
        (("users", "a", *ON, "--csv"), r"ada\n\x1b[2Jbob"),
        (
            ("export", "--since", "2026-03-04", "--until", "2026-03-04"),
            r"ada\n\x1b[2Jbob,a,2026-03-04T00:00:00Z",
        ),
    ],
)
def test_a_user_key_that_others_wrote_stays_in_its_line(
    make_app: Callable[..., Flask],
    redis_client: redis.Redis,
    asked: tuple[str, ...],
    line: str,
) -> None:
    app = make_app(BITMAPIST_ID_MAP=True)
    with app.app_context():
        mark_event("a", "ada", now=utc("2026-03-04"))  # type: ignore[arg-type]
    rename_user(redis_client, "ada", "ada\n\x1b[2Jbob")
    told = app.test_cli_runner().invoke(args=["bitmapist", *asked])
    assert told.stdout.splitlines()[-1] == line
    assert "\x1b" not in told.output


def test_an_event_that_cannot_be_marked_any_more_is_imported_as_it_is_shown(
    app: Flask, redis_client: redis.Redis
) -> None:
    bitmapist.mark_event("two\nlines", 7, system=redis_client, now=utc("2026-03-04"))
    run = app.test_cli_runner().invoke
    told = run(args=["bitmapist", "export", "--since", "2026-03-04"]).stdout
    assert run(args=["bitmapist", "import", "-"], input=told).exit_code == 0
    shown = run(args=["bitmapist", "users", "two\\nlines", *ON], input=told)
    assert shown.stdout == "7\n", shown.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("cohort", "a", "--as-of", "yesterday"), "as_of: This is not a date"),
        (("cohort", "a", "-r", "0"), "num_rows: This must be a whole number from 1"),
        (("cohort", "a", "-g", "eon"), "time_group: Use one of hours, days"),
        (("cohort", "not a"), "has nothing to exclude users from"),
        (("trend", "a and"), "expected an event name"),
        (("trend", "a", "-g", "weeks", "--rolling", "7"), "only available by day"),
        (("funnel", "a"), "steps: At least 2 are required."),
        (("has", "one", "a"), "'one' is not a user ID; use a whole number"),
        (("user", "-1"), "No such option"),
        (("user", "--", "-1"), "'-1' is not a user ID"),
        (("users", ""), "event: This field is required."),
    ],
)
def test_a_wrong_question_is_told_what_is_wrong(
    run: Run, arguments: tuple[str, ...], told: str
) -> None:
    answer = run(*arguments)
    assert answer.exit_code == 2
    assert told in " ".join(answer.output.split())
    assert "Traceback" not in answer.output


def test_a_redis_that_is_gone_is_told_without_its_password(
    make_app: Callable[..., Flask], redis_process: RedisProcess
) -> None:
    url = f"redis://:hunter2@127.0.0.1:{redis_process.port}"
    app = make_app(BITMAPIST_REDIS_URL=url)
    redis_process.kill()
    answer = app.test_cli_runner().invoke(args=["bitmapist", "count", "a"])
    assert answer.exit_code == 1
    assert "cannot be read" in answer.output
    assert "hunter2" not in answer.output


class TestDoctor:
    def test_a_healthy_store_is_told_so(self, run: Run) -> None:
        told = json.loads(run("doctor", "--json").stdout)
        levels = {each["topic"]: each["level"] for each in told["findings"]}
        assert {"connection", "latency", "marking", "reading", "server"} <= set(levels)
        assert {"memory", "ids", "persistence"} <= set(levels)
        assert levels["connection"] == levels["marking"] == levels["reading"] == "ok"
        assert told["settings"]["BITMAPIST_TRACK_HOURLY"] is False
        assert "marked" in told["counters"]

    def test_it_leaves_nothing_behind(self, run: Run, redis_client: object) -> None:
        run("events")  # looks for names, and leaves behind when that was
        before = set(redis_client.scan_iter())  # type: ignore[attr-defined]
        assert "marking: events can be written" in run("doctor").stdout
        assert set(redis_client.scan_iter()) == before  # type: ignore[attr-defined]

    def test_a_store_that_is_gone_is_a_problem_with_advice(
        self, make_app: Callable[..., Flask], redis_process: RedisProcess
    ) -> None:
        app = make_app(BITMAPIST_REDIS_URL=redis_process.url)
        redis_process.kill()
        answer = app.test_cli_runner().invoke(args=["bitmapist", "doctor"])
        assert answer.exit_code == 1
        assert "does not answer" in answer.output
        assert "→ Check that Redis is running there" in answer.output

    def test_rights_that_are_missing_are_named(
        self, make_app: Callable[..., Flask], redis_process: RedisProcess
    ) -> None:
        redis_process.client().execute_command(
            *("ACL", "SETUSER", "reader", "on", ">secret", "~*", "+@read"),
            *("+ping", "+info", "+client", "+hello"),
        )
        app = make_app(
            BITMAPIST_REDIS_URL=f"redis://reader:secret@127.0.0.1:{redis_process.port}"
        )
        answer = app.test_cli_runner().invoke(args=["bitmapist", "doctor"])
        assert answer.exit_code == 1
        assert "marking: refused: SETBIT" in answer.output

    def test_eviction_and_ids_that_waste_memory_are_found(
        self, make_app: Callable[..., Flask], redis_process: RedisProcess
    ) -> None:
        client = redis_process.client()
        client.config_set("maxmemory", "100mb")
        client.config_set("maxmemory-policy", "allkeys-lru")
        app = make_app(BITMAPIST_REDIS_URL=redis_process.url)
        with app.app_context():
            mark_event("a", 50_000_000)
        told = app.test_cli_runner().invoke(args=["bitmapist", "doctor"]).output
        assert "maxmemory-policy is allkeys-lru" in told
        assert "the largest ID in" in told
        assert "Large, sparse IDs waste memory" in told
