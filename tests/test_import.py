"""Importing rows: what is written, what is left out, and that twice is once."""

from __future__ import annotations

import gzip
import io
import json
import shlex
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import Result
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flask_bitmapist import mark_event

from .inside import (
    MOST_EXAMPLES,
    CsvFile,
    Importer,
    ImportSummary,
    bitwriter,
    csvfile,
    hour_in,
    import_rows,
)
from .marks import keys, users
from .servers import RedisProcess

MakeApp = Callable[..., Flask]
HEADER = "user_id,event,timestamp\n"


def state_of(app: Flask) -> Any:
    return app.extensions["bitmapist"]


def dump(client: redis.Redis) -> dict[str, Any]:
    """Return all bitmaps."""
    return {key: client.get(f"trackist_{key}") for key in keys(client)}


@pytest.fixture
def run(app: Flask, tmp_path: Path) -> Callable[..., Result]:
    """Run the command on a file with the given content."""

    def run(content: str | bytes, *options: str, name: str = "rows.csv") -> Result:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        arguments = ["bitmapist", "import", str(path), *options]
        return app.test_cli_runner().invoke(args=arguments)

    return run


moments = st.datetimes(datetime(2025, 12, 20), datetime(2026, 1, 20))
rows = st.lists(
    st.tuples(st.integers(0, 3000), st.sampled_from(["a", "b:c", "größe"]), moments),
    max_size=60,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows, st.booleans(), st.integers(1, 70))
def test_an_import_writes_what_marking_one_by_one_does(
    app: Flask,
    redis_client: redis.Redis,
    rows: list[tuple[int, str, datetime]],
    track_hourly: bool,
    batch_size: int,
) -> None:
    redis_client.flushall()
    with app.app_context():
        for user, event, when in rows:
            mark_event(event, user, now=when, track_hourly=track_hourly)
    one_by_one = dump(redis_client)
    redis_client.flushall()

    summary = import_rows(
        state_of(app), rows, track_hourly=track_hourly, batch_size=batch_size
    )

    assert dump(redis_client) == one_by_one
    assert summary.rows == summary.written == len(rows)
    assert summary.events == len({event for _, event, _ in rows})
    assert summary.users == len({user for user, _, _ in rows})


DENSE = st.lists(
    st.tuples(st.integers(0, 900), st.sampled_from("ab"), st.integers(0, 40)),
    min_size=200,
    max_size=400,
)
SPARSE = st.lists(
    st.tuples(st.integers(0, 3_000_000), st.sampled_from("abcde"), st.integers(0, 400)),
    max_size=60,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(DENSE | SPARSE, st.booleans(), st.booleans())
def test_a_file_ends_as_what_plain_sets_hold(
    app: Flask,
    redis_client: redis.Redis,
    tmp_path: Path,
    rows: list[tuple[int, str, int]],
    fast: bool,
    hourly: bool,
) -> None:
    redis_client.flushall()
    moments = [datetime(2025, 12, 1) + timedelta(hours=7 * hours) for *_, hours in rows]
    path = tmp_path / "rows.csv"
    path.write_text(
        HEADER
        + "".join(
            f"{user},{event},{moment.isoformat()}Z\n"
            for (user, event, _), moment in zip(rows, moments)
        )
    )
    expected: dict[str, set[int]] = {}
    for (user, event, _), moment in zip(rows, moments):
        year, week, _ = moment.isocalendar()
        ends = [
            f"{moment.year}-{moment.month}",
            f"W{year}-{week}",
            f"{moment.year}-{moment.month}-{moment.day}",
        ]
        if hourly:
            ends.append(f"{ends[-1]}-{moment.hour}")
        for end in ends:
            expected.setdefault(f"{event}_{end}", set()).add(user)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csvfile, "_PIECE", 2000)
        patch.setattr(csvfile, "_SMALL_PIECE", 2000)
        importer = Importer(state_of(app), track_hourly=hourly, batch_size=150)
        with CsvFile(str(path), fast=fast) as source:
            for block in source.blocks():
                importer.add(block)
        importer.finish()

    assert {key: users(redis_client, key) for key in keys(redis_client)} == expected
    assert importer.summary.written == len(rows)
    assert importer.summary.users == len({user for user, *_ in rows})
    assert importer.summary.bits == sum(map(len, expected.values()))


def test_importing_again_changes_nothing(app: Flask, redis_client: redis.Redis) -> None:
    rows = [(user, "x", datetime(2026, 1, 1 + user % 28)) for user in range(500)]
    first = import_rows(state_of(app), rows)
    before = dump(redis_client)
    second = import_rows(state_of(app), rows)

    assert dump(redis_client) == before
    assert (first.written, second.written) == (500, 500)
    assert first.bits > 0
    assert second.bits == 0


def test_an_import_clears_no_bits(app: Flask, redis_client: redis.Redis) -> None:
    with app.app_context():
        mark_event("x", 5, now=datetime(2026, 1, 1))
    import_rows(state_of(app), [(6, "x", "2026-01-01")])

    assert users(redis_client, "x_2026-1-1") == {5, 6}


def test_rows_in_many_batches_and_packets_are_all_written(
    app: Flask, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bitwriter, "_MOST_IN_COMMAND", 3)
    monkeypatch.setattr(bitwriter, "_MOST_IN_TRIP", 7)
    expected = set(range(0, 5000, 3))
    import_rows(
        state_of(app), [(user, "x", "2026-01-01") for user in expected], batch_size=1000
    )

    assert users(redis_client, "x_2026-1") == expected


def test_more_bits_of_a_key_than_fit_one_command_are_all_written(
    app: Flask, redis_client: redis.Redis
) -> None:
    import_rows(state_of(app), [(user, "x", "2026-01-01") for user in range(25_000)])

    assert users(redis_client, "x_W2026-1") == set(range(25_000))


def test_the_recorder_may_be_given_in_place_of_the_state(
    app: Flask, redis_client: redis.Redis
) -> None:
    import_rows(state_of(app).recorder, [("5", "x", date(2026, 1, 1))])

    assert users(redis_client, "x_2026-1-1") == {5}


def test_rows_that_cannot_be_used_are_left_out_with_their_number(app: Flask) -> None:
    rows: Any = [
        (1, "x", "2026-01-01"),
        (-1, "x", "2026-01-01"),
        ("abc", "x", "2026-01-01"),
        (2**32, "x", "2026-01-01"),
        (1, "bitop_x", "2026-01-01"),
        (1, "", "2026-01-01"),
        (1, ["x"], "2026-01-01"),
        (1, "x", "yesterday"),
        (1, "x", None),
        (1, "x"),
        (2, "x", "2026-01-01"),
    ]
    summary = import_rows(state_of(app), rows)

    assert (summary.rows, summary.written, summary.rejected) == (11, 2, 9)
    assert sorted(each.line for each in summary.examples) == list(range(2, 11))
    assert summary.to_dict()["reasons"] == {
        "negative id": 1,
        "id not a number": 1,
        "id too large": 1,
        "bad event name": 3,
        "bad row": 1,
        "bad timestamp": 2,
    }


def test_the_examples_of_rejected_rows_are_bounded(app: Flask) -> None:
    summary = import_rows(state_of(app), [(-1, "x", "2026-01-01")] * 5000)

    assert summary.rejected == 5000
    assert len(summary.examples) == MOST_EXAMPLES


def test_an_error_of_redis_ends_the_import(
    make_app: MakeApp, redis_process: RedisProcess
) -> None:
    app = make_app(BITMAPIST_REDIS_URL=redis_process.url)
    redis_process.client().config_set("maxmemory", "1")

    with pytest.raises(redis.ResponseError):
        import_rows(state_of(app), [(1, "x", "2026-01-01")])


def test_a_key_that_is_no_bitmap_ends_the_import_and_is_named(
    app: Flask, redis_client: redis.Redis
) -> None:
    redis_client.rpush("trackist_x_W2026-1", "a list")

    with pytest.raises(redis.ResponseError, match=r"trackist_x_W2026-1: WRONGTYPE"):
        import_rows(state_of(app), [(user, "x", "2026-01-01") for user in range(9)])


def test_a_store_without_bitfield_gets_single_bits(
    make_app: MakeApp, redis_process: RedisProcess
) -> None:
    client = redis_process.client()
    client.execute_command("ACL SETUSER default -bitfield")
    app = make_app(BITMAPIST_REDIS_URL=redis_process.url)
    rows = [(user, "x", "2026-01-01") for user in range(100)]

    assert [import_rows(state_of(app), rows).bits for _ in range(2)] == [300, 0]
    assert users(client, "x_2026-1-1") == set(range(100))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-01", datetime(2026, 1, 1)),
        ("20260101", datetime(2026, 1, 1)),
        ("2026-01-01T05", datetime(2026, 1, 1, 5)),
        ("2026-01-01 05:59", datetime(2026, 1, 1, 5)),
        ("2026-01-01T05:59:59Z", datetime(2026, 1, 1, 5)),
        ("2026-01-01t05:59:59z", datetime(2026, 1, 1, 5)),
        ("20260101T055959Z", datetime(2026, 1, 1, 5)),
        ("2026-01-01T05:59:59.1Z", datetime(2026, 1, 1, 5)),
        ("2026-01-01T05:59:59.123456789Z", datetime(2026, 1, 1, 5)),
        ("2026-01-01T05:59:59,5", datetime(2026, 1, 1, 5)),
        ("2026-01-01T00:30:00+01:00", datetime(2025, 12, 31, 23)),
        ("2026-01-01T00:30:00+0100", datetime(2025, 12, 31, 23)),
        ("2026-01-01T00:30:00+01", datetime(2025, 12, 31, 23)),
        ("2025-12-31T23:30:00-05:30", datetime(2026, 1, 1, 5)),
        (" 2026-01-01T05:00 ", datetime(2026, 1, 1, 5)),
        ("2026-01-01 05:00:00 UTC", datetime(2026, 1, 1, 5)),
        ("2026-01-01 05:00:00+00", datetime(2026, 1, 1, 5)),
    ],
)
def test_timestamps_of_iso_8601_are_read(text: str, moment: datetime) -> None:
    assert hour_in(text) == hour_in(moment)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026",
        "2026-02-30",
        "2026-13-01",
        "2026-01-01T25:00",
        "01/02/2026",
        "1767225600",
        "1710110812345",
        "2026-W01-1",
        "2026-01-01T05:00 CET",
        "0001-01-01T00:00:00+05:00",
        "9999-12-31T23:00:00-05:00",
        "２０２６-01-01T00:00:00Z",
    ],
)
def test_other_timestamps_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"timestamp|calendar"):
        hour_in(text)


@settings(deadline=None)
@given(
    st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31)),
    st.integers(-14 * 60, 14 * 60),
)
def test_any_moment_is_read_back_from_its_text(moment: datetime, offset: int) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=offset)))

    assert hour_in(aware.isoformat()) == hour_in(aware)
    assert hour_in(moment.isoformat()) == hour_in(moment)


def test_the_command_reads_columns_in_any_order(
    run: Callable[..., Result], redis_client: redis.Redis
) -> None:
    result = run(
        "\ufeffEvent,country, timestamp ,user_id\n"
        "x,de,2026-01-01,5\n"
        '"x, y",fr,2026-01-01T10:00:00Z,6\n'
    )

    assert result.exit_code == 0, result.output
    assert "2 rows read, 2 imported: 2 events of 2 users" in result.stdout
    assert users(redis_client, "x_2026-1-1") == {5}
    assert users(redis_client, "x, y_2026-1-1") == {6}


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_the_command_reads_other_delimiters(
    run: Callable[..., Result], redis_client: redis.Redis, delimiter: str
) -> None:
    result = run((HEADER + "5,x,2026-01-01\n").replace(",", delimiter))

    assert result.exit_code == 0, result.output
    assert users(redis_client, "x_2026-1-1") == {5}


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_another_column_may_have_a_comma_in_its_name(
    run: Callable[..., Result], redis_client: redis.Redis, delimiter: str
) -> None:
    header = ["user_id", "price, net", "event", "timestamp"]
    rows = [header, ["5", "1,50", "x", "2026-01-01"]]
    result = run("".join(delimiter.join(row) + "\n" for row in rows))

    assert result.exit_code == 0, result.output
    assert users(redis_client, "x_2026-1-1") == {5}


def test_columns_may_have_other_names(
    run: Callable[..., Result], redis_client: redis.Redis
) -> None:
    content = "Customer;was;Größe\n5;x;2026-01-01\n"
    columns = ("--user", "customer", "--event", "was", "--time", "GRÖSSE")
    result = run(content, *columns)

    assert result.exit_code == 0, result.output
    assert users(redis_client, "x_2026-1-1") == {5}


def test_all_rows_may_be_one_event(
    run: Callable[..., Result], redis_client: redis.Redis
) -> None:
    content = "id,at,event\n5,2026-01-01,y\n"
    options = ("--user", "id", "--time", "at", "--always", "x")
    result = run(content, *options)

    assert result.exit_code == 0, result.output
    assert keys(redis_client) == {"x_2026-1", "x_W2026-1", "x_2026-1-1"}


@pytest.mark.parametrize(
    ("time_format", "text"),
    [
        ("iso", "2026-01-01 05:30:00 UTC"),
        ("epoch", "1767245400"),
        ("epoch", "1767245400.25"),
        ("epoch-ms", "1767245400123"),
        ("%d.%m.%Y %H:%M", "01.01.2026 05:30"),
        ("%d/%b/%Y:%H:%M:%S %z", "01/Jan/2026:06:30:00 +0100"),
    ],
)
@pytest.mark.parametrize("others", [(), ("when",)], ids=["alone", "beside a wrong one"])
def test_times_are_read_as_they_are_written(
    run: Callable[..., Result],
    redis_client: redis.Redis,
    time_format: str,
    text: str,
    others: tuple[str, ...],
) -> None:
    rows = "".join(f"5,x,{when}\n" for when in (text, *others))
    result = run(HEADER + rows, "--time-format", time_format, "--hourly")

    assert result.exit_code == 0, result.output
    assert users(redis_client, "x_2026-1-1-5") == {5}
    assert len(keys(redis_client)) == 4


@pytest.mark.parametrize(
    ("time_format", "text", "told"),
    [
        ("iso", "1710110812345", "--time-format epoch"),
        ("iso", "1710110812", "milliseconds epoch-ms"),
        ("iso", "1710-11-08", "is not in the years 1971 to 2099"),
        ("iso", "20240-01-01", "is not an ISO 8601 timestamp"),
        ("iso", "1970-01-01", "is not in the years 1971 to 2099"),
        ("epoch", "1710110812345", "when it is read as epoch; see --time-format"),
        ("epoch-ms", "1710110812", "when it is read as epoch-ms; see --time-format"),
        ("epoch", "soon", "is not a number of seconds or milliseconds"),
        ("%Y", "soon", "is not a timestamp written as '%Y'"),
        ("epoch", "9" * 400, "is not a number of seconds or milliseconds"),
    ],
)
def test_a_time_that_no_question_would_see_is_rejected(
    run: Callable[..., Result],
    redis_client: redis.Redis,
    time_format: str,
    text: str,
    told: str,
) -> None:
    result = run(f"{HEADER}5,x,{text}\n", "--time-format", time_format)

    assert result.exit_code == 1
    assert told in result.stderr
    assert "no row could be used" in result.stderr
    assert not keys(redis_client)


def test_names_of_events_have_one_form(
    run: Callable[..., Result], redis_client: redis.Redis
) -> None:
    names = ["view", "view   ", "  view", "caf\u00e9", "cafe\u0301"]
    rows = "".join(f"{user},{name},2026-01-01\n" for user, name in enumerate(names))
    result = run(HEADER + rows)

    assert "5 imported: 2 events of 5 users" in result.stdout
    assert users(redis_client, "view_2026-1-1") == {0, 1, 2}
    assert users(redis_client, "caf\u00e9_2026-1-1") == {3, 4}


def test_more_events_than_meant_are_rejected(
    run: Callable[..., Result], redis_client: redis.Redis
) -> None:
    rows = "".join(f"{user},event {user},2026-01-01\n" for user in range(2000))
    result = run(HEADER + rows + "7,event 3,2026-01-01\n")
    raised = run(HEADER + rows, "--max-events", "2000")

    assert "2,001 rows read, 1,001 imported: 1,000 events" in result.stdout
    assert "too many events: 1,000" in result.stderr
    assert "--max-events" in result.stderr
    assert "2,000 imported: 2,000 events" in raised.stdout


def test_a_large_id_is_warned_of_as_a_mark_is(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(BITMAPIST_WARN_BYTES=1000)
    import_rows(state_of(app), [(7999, "x", "2026-01-01")])
    assert not caplog.records
    import_rows(state_of(app), [(user, "x", "2026-01-01") for user in (8000, 9000)])

    assert len(caplog.records) == 1
    assert "BITMAPIST_WARN_BYTES" in caplog.text


def test_an_app_s_own_keys_get_numbers_only_where_the_row_is_used(
    make_app: MakeApp, redis_client: redis.Redis
) -> None:
    app = make_app(BITMAPIST_ID_MAP=True)
    rows = [
        (" ana@example.org", "x", "2026-01-01"),
        ("bob@example.org", "x", "never"),
        ("ana@example.org", "x", "2026-01-02"),
        ("", "x", "2026-01-02"),
        (7, "x", "2026-01-02"),
    ]
    summary = import_rows(state_of(app), rows)

    assert (summary.written, summary.users) == (3, 2)
    assert summary.to_dict()["reasons"] == {"bad timestamp": 1, "no user": 1}
    assert users(redis_client, "x_2026-1") == {0, 1}


def test_the_command_reads_gzipped_files_whatever_their_name(
    run: Callable[..., Result], redis_client: redis.Redis
) -> None:
    result = run(gzip.compress((HEADER + "5,x,2026-01-01\n").encode()))

    assert result.exit_code == 0, result.output
    assert users(redis_client, "x_2026-1-1") == {5}


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzipped"])
def test_the_command_reads_standard_input(
    app: Flask, redis_client: redis.Redis, pack: Callable[[bytes], bytes]
) -> None:
    result = app.test_cli_runner().invoke(
        args=["bitmapist", "import", "-"],
        input=io.BytesIO(pack((HEADER + "5,x,2026-01-01\n").encode())),
    )

    assert result.exit_code == 0, result.output
    assert users(redis_client, "x_2026-1-1") == {5}


def test_the_command_reports_rejected_rows_and_goes_on(
    run: Callable[..., Result], redis_client: redis.Redis, tmp_path: Path
) -> None:
    rejects = tmp_path / "rejects.csv"
    result = run(
        (
            HEADER + "5,x,2026-01-01\n"
            "-5,x,2026-01-01\n"
            "\n"
            "6,x\n"
            "7,x,soon\n"
            '8,"two\nlines",2026-01-01\n'
        ).encode()
        + b"9,\xff,2026-01-01\n10,x,2026-01-01\n",
        "--rejects",
        str(rejects),
    )

    assert result.exit_code == 0, result.output
    assert "7 rows read, 2 imported" in result.stdout
    assert "5 rows skipped" in result.stderr
    for told in ("line 3: ", "line 5: ", "line 6: ", "line 8: ", "line 9: "):
        assert told in result.stderr
    assert users(redis_client, "x_2026-1-1") == {5, 10}
    lines = rejects.read_text().splitlines()
    assert lines[0] == "line,reason,user_id,event,timestamp"
    assert [line.split(",")[0] for line in lines[1:]] == ["3", "5", "6", "8", "9"]


def test_the_command_shows_the_first_rejected_rows_only(
    run: Callable[..., Result],
) -> None:
    result = run(HEADER + "-1,x,2026-01-01\n" * 50)

    assert result.stderr.count("  line ") == 20
    assert "and 30 more" in result.stderr


def test_the_command_imports_twice_what_is_there_once(
    run: Callable[..., Result], redis_client: redis.Redis
) -> None:
    content = HEADER + "".join(f"{user},x,2026-01-01\n" for user in range(50))
    run(content)
    before = dump(redis_client)
    result = run(content)

    assert dump(redis_client) == before
    assert "50 imported" in result.stdout
    assert "0 bits newly set" in result.stdout


@pytest.mark.parametrize(
    ("option", "hours"), [("--hourly", True), ("--no-hourly", False), (None, False)]
)
def test_the_command_writes_hours_on_request(
    run: Callable[..., Result],
    redis_client: redis.Redis,
    option: str | None,
    hours: bool,
) -> None:
    run(HEADER + "5,x,2026-01-01T10:00\n", *([option] if option else []))

    assert ("x_2026-1-1-10" in keys(redis_client)) is hours


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "lacks user_id, event, timestamp"),
        ("5,x,2026-01-01\n", "lacks"),
        ("user_id,timestamp\n1,2026-01-01\n", "lacks event"),
        ("user_id,event,timestamp, timestamp \n", "more than one column timestamp"),
        ((HEADER + "5,x,2026-01-01\n").encode("utf-16"), "it is UTF-16"),
        (b"\x1f\x8b\x00broken", "cannot be read"),
        (b"\x89PNG\x00\x01\xff", "lacks"),
        ("x" * 100_000, "lacks"),
        ("x" * 200_000, "is not a header"),
    ],
    ids=[
        *("empty", "no header", "no event", "two times", "UTF-16", "broken gzip"),
        *("no text", "word", "long word"),
    ],
)
def test_the_command_fails_on_a_file_that_is_no_list_of_events(
    run: Callable[..., Result], content: str | bytes, told: str
) -> None:
    result = run(content)

    assert result.exit_code == 1
    assert told in result.stderr
    assert "Traceback" not in result.output


def test_the_command_fails_without_a_file(app: Flask, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.csv")
    result = app.test_cli_runner().invoke(args=["bitmapist", "import", missing])

    assert result.exit_code != 0
    assert "missing.csv" in result.stderr


def test_the_command_imports_a_damaged_file_as_far_as_it_goes(
    run: Callable[..., Result], redis_client: redis.Redis
) -> None:
    lines = "".join(f"{user},x,2026-01-01\n" for user in range(20_000))
    result = run(gzip.compress((HEADER + lines).encode())[:-5000])

    assert result.exit_code == 1
    assert "cannot be read after line" in result.stderr
    found = users(redis_client, "x_2026-1-1")
    assert found == set(range(len(found)))
    assert found


def test_the_command_says_that_redis_is_gone(make_app: MakeApp, tmp_path: Path) -> None:
    with RedisProcess() as server:
        url = server.url
    path = tmp_path / "rows.csv"
    path.write_text(HEADER + "5,x,2026-01-01\n")
    app = make_app(BITMAPIST_REDIS_URL=url)
    result = app.test_cli_runner().invoke(args=["bitmapist", "import", str(path)])

    assert result.exit_code == 1
    assert "Redis stopped accepting events" in result.stderr


def test_an_import_into_the_embedded_store(make_app: MakeApp) -> None:
    pytest.importorskip("fakeredis")
    app = make_app(BITMAPIST_REDIS_URL="memory://")
    summary = import_rows(state_of(app), [(5, "x", "2026-01-01")])

    assert isinstance(summary, ImportSummary)
    assert users(state_of(app).systems["default"], "x_2026-1-1") == {5}


# -- what to look at


def days_of(first: date, last: date, event: str = "came") -> str:
    """Return a file in which two users come on the first day and on the last."""
    return HEADER + "".join(
        f"{user},{event},{day}\n" for user in (1, 2) for day in (first, last)
    )


def looks_of(done: Result) -> tuple[list[str], str]:
    """Return the command and the URL that an import ends with."""
    heading, command, url = done.stdout.splitlines()[-3:]
    assert heading == "Look at it:"
    assert command.startswith("  flask bitmapist cohort ")
    return shlex.split(command)[1:], url.strip()


@pytest.mark.parametrize(
    ("days", "group"), [(730, "months"), (90, "weeks"), (14, "days"), (1, "days")]
)
@pytest.mark.parametrize("ago", [0, 1000])
def test_an_import_ends_with_a_command_and_a_url_that_show_all_of_it(
    app: Flask, run: Callable[..., Result], days: int, group: str, ago: int
) -> None:
    last = datetime.now(tz=timezone.utc).date() - timedelta(days=ago)
    first = last - timedelta(days=days - 1)
    command, url = looks_of(run(days_of(first, last, "song: played") + f"1,x,{last}"))
    told = app.test_cli_runner().invoke(args=[*command[:2], "--json", *command[2:]])
    page = app.test_client().get(f"{url}&format=json")
    answer = page.json
    assert answer is not None, url
    assert json.loads(told.stdout)["asked"] == answer["asked"]
    assert answer["primary"] == "song: played"
    assert answer["time_group"] == group
    assert answer["row_totals"][0] == 2
    assert ("as_of" in answer["asked"]) == (ago > 0)


def test_the_url_is_whole_where_the_app_knows_its_name(
    make_app: MakeApp, tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text(days_of(date(2024, 1, 1), date(2024, 1, 9)))
    command = ["bitmapist", "import", str(tmp_path / "rows.csv")]
    app = make_app(SERVER_NAME="shop.example", PREFERRED_URL_SCHEME="https")
    _, url = looks_of(app.test_cli_runner().invoke(args=command))
    assert url.startswith("https://shop.example/bitmapist/cohort?primary_event=came")
    app = make_app(BITMAPIST_DISABLE_BLUEPRINT=True)
    done = app.test_cli_runner().invoke(args=command)
    assert "flask bitmapist cohort" in done.stdout.splitlines()[-1]


def test_the_result_knows_the_span_and_the_rows_of_each_event(app: Flask) -> None:
    rows = [(1, "a", "2024-05-03"), (2, "a", "2023-05-03T23:30:00Z"), (1, "b", "x")]
    summary = import_rows(state_of(app), [*rows, (1, "b", "2024-02-01")], batch_size=1)
    assert (summary.first, summary.last) == (date(2023, 5, 3), date(2024, 5, 3))
    assert summary.by_event == {"a": 2, "b": 1}
    assert summary.to_dict()["last"] == "2024-05-03"
    nothing = import_rows(state_of(app), rows[2:])
    assert (nothing.first, nothing.last, nothing.by_event) == (None, None, {})
