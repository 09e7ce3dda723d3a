"""Whatever is in a file, each row is imported or reported, and memory is bounded."""

from __future__ import annotations

import csv
import gzip
import io
import os
import random
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from .hostile import FORMULAS, check_csv
from .inside import LONGEST_EXAMPLE, CsvFile, csvfile, import_rows

HEADER = b"user_id,event,timestamp\n"
FUZZED = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
SUMMARY = re.compile(r"^([\d,]+) rows read, ([\d,]+) imported:", re.MULTILINE)
LEFT_OUT = re.compile(r"^([\d,]+) rows? skipped ", re.MULTILINE)


@pytest.fixture
def run(app: Flask, tmp_path: Path) -> Callable[[bytes], tuple[Result, list[Any]]]:
    """Import a file of the given bytes; return what was told, and what was rejected."""

    def run(content: bytes) -> tuple[Result, list[Any]]:
        file, rejects = tmp_path / "rows", tmp_path / "rejects.csv"
        file.write_bytes(content)
        rejects.unlink(missing_ok=True)
        arguments = ["bitmapist", "import", str(file), "--rejects", str(rejects)]
        result = app.test_cli_runner().invoke(args=arguments)
        if not rejects.exists():
            return result, []
        check_csv(rejects.read_text("utf-8"))
        with rejects.open(newline="", encoding="utf-8") as lines:
            return result, list(csv.reader(lines))[1:]

    return run


def check(result: Result, rejected: list[Any]) -> tuple[int, int]:
    """Check that nothing broke and that the figures add up; return them."""
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert result.exit_code in (0, 1)
    assert "Traceback" not in result.output
    told = SUMMARY.search(result.stdout)
    if told is None:
        assert result.exit_code == 1
        assert "cannot be read" in result.stderr
        return 0, 0
    read, imported = (int(number.replace(",", "")) for number in told.groups())
    found = LEFT_OUT.search(result.stderr)
    left_out = int(found[1].replace(",", "")) if found else 0
    assert read == imported + left_out
    assert len(rejected) == left_out
    for line, reason, *_ in rejected:
        assert int(line) >= 2
        assert reason
    if result.exit_code == 1:
        assert "after line" in result.stderr or "no row could be used" in result.stderr
    else:
        assert imported
    return imported, left_out


@FUZZED
@example(content=b"")
@example(content=b"\x1f\x8b")
@example(content=b"\x1f\x8b\x08" + bytes(7) + b"\xff" * 20)
@example(content=b"\xef\xbb\xbf")
@example(content=b"\xff\xfeu\x00s\x00e\x00r\x00")
@example(content=b'"' * 200_000)
@example(content=b"user_id,event,timestamp")
@given(content=st.binary(max_size=300))
def test_no_bytes_break_an_import(run: Any, content: bytes) -> None:
    check(*run(content))


@FUZZED
@example(rest=b'1,"a,2026-01-01\n' + b"2,b,2026-01-01\n" * 20_000)
@example(rest=b"1,a,2026-01-01\n" + b"," * 300_000 + b"\n2,b,2026-01-01\n")
@example(rest=b"1,a\x00b,2026-01-01\n\x00\n\x00,\x00,\x00\n")
@example(rest=b"1,a,2026-01-01\r2,b,2026-01-01\r\n3,c,2026-01-01\n\r\n\r")
@example(rest=b"1,a,2026-01-01T00:00:00+99:99\n1,a,0001-01-01T00:00:00+23:59\n")
@example(rest=b"9" * 10_000 + b",a,2026-01-01\n")
@given(rest=st.binary(max_size=300))
def test_no_bytes_after_the_header_break_an_import(run: Any, rest: bytes) -> None:
    check(*run(HEADER + rest))


@FUZZED
@given(
    content=st.binary(max_size=200),
    place=st.integers(0, 400),
    flipped=st.integers(0, 255),
    kept=st.integers(0, 400),
)
def test_no_damage_of_a_gzipped_file_breaks_an_import(
    run: Any, content: bytes, place: int, flipped: int, kept: int
) -> None:
    rows = HEADER + b"1,a,2026-01-01\n" + content
    packed = bytearray(gzip.compress(rows))
    packed[place % len(packed)] ^= flipped
    check(*run(bytes(packed[:kept])))
    check(*run(bytes(packed) + content))


CELLS = st.text(st.characters(exclude_characters='"\r\n\x00'), max_size=8)
GOOD = st.tuples(
    st.integers(0, 2000).map(str),
    st.sampled_from(["a", "b:c", "größe", " spaced name", "=1+1", "a,b"]),
    st.dates(date(2020, 1, 1), date(2099, 12, 31)).map(str),
)
BAD = st.one_of(
    st.tuples(st.sampled_from(["-1", "x", "4294967296", "1.5", ""]), CELLS, CELLS),
    st.tuples(
        st.just("1"), st.sampled_from(["", "bitop_x", "x_2026-1", "new\nline"]), CELLS
    ),
    st.tuples(st.just("1"), st.just("a"), st.sampled_from(["", "soon", "2026-13-01"])),
    st.tuples(st.just("1"), st.just("a" * 1025), st.just("2026-01-01")),
    st.tuples(st.just("1"), st.just("a" * 140_000), st.just("2026-01-01")),
)


@FUZZED
@given(
    rows=st.lists(
        st.one_of(GOOD.map(lambda row: (True, row)), BAD.map(lambda row: (False, row))),
        max_size=12,
    ),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    delimiter=st.sampled_from(",;\t|"),
    mark=st.booleans(),
    packed=st.booleans(),
)
def test_each_row_is_imported_or_reported_whatever_is_beside_it(
    run: Any,
    rows: list[tuple[bool, tuple[str, str, str]]],
    end: str,
    delimiter: str,
    mark: bool,
    packed: bool,
) -> None:
    lines = [("user_id", "event", "timestamp"), *(row for _, row in rows)]
    text = "".join(
        delimiter.join(quoted(cell, place) for cell in row) + end
        for place, row in enumerate(lines)
    )
    content = text.encode("utf-8-sig" if mark else "utf-8", "surrogatepass")
    imported, left_out = check(*run(gzip.compress(content) if packed else content))
    good = sum(is_good for is_good, _ in rows)
    assert (imported, left_out) == (good, len(rows) - good)


def quoted(cell: str, line: int) -> str:
    return cell if line == 0 else '"' + cell.replace('"', '""') + '"'


# What makes rows, and what looks like it.
PARTS = st.sampled_from(
    [
        *('"', '""', ",", ",", "\n", "\n", "\r\n", "\r", " ", ' "', "\x00", "é"),
        *("\udcff", "1", "007", "a", "2026-01-01"),
        *("\n1,a,2026-01-01\n", '\n1,"a",2026-01-01\n'),
    ]
)


def read_by(path: Path, fast: bool) -> Any:
    """Return all that is found in a file, by line, and how many lines there are."""
    rows: list[tuple[int, Any]] = []
    with CsvFile(str(path), fast=fast) as source:
        for block in source.blocks():
            columns = zip(block.users, block.events, block.times)
            rows += zip(block.lines, (tuple(map(str.lstrip, row)) for row in columns))
            rows += [
                (line, tuple(map(str.lstrip, row))) for line, row, _ in block.broken
            ]
        return sorted(rows), source.damage


@settings(
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@example(text='1,a,"2026-01-01\n2,b,2026-01-01\n')
@example(text='1,a"b,2026-01-01\n2,"b,2026-01-01\n')
@example(text='1,"a\n",2026-01-01\n\n2,b,2026-01-01,more\n3,c\n')
@example(text='1, "a",2026-01-01\n')
@example(text=' "\n"')
@given(st.lists(PARTS, max_size=30).map("".join))
def test_pyarrow_and_the_csv_module_read_the_same(tmp_path: Path, text: str) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "rows"
    path.write_bytes(HEADER + text.encode("utf-8", "surrogateescape"))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_PIECE", "_SMALL_PIECE"):
            patch.setattr(csvfile, name, 40)  # so that rows lie across pieces
        by_pyarrow = read_by(path, fast=True)
        by_csv = read_by(path, fast=False)
    assert by_pyarrow == by_csv == (all_rows_of(text), None)


def all_rows_of(text: str) -> list[tuple[int, Any]]:
    """Return what is in a file, read in one piece."""
    if text and text[-1] not in "\r\n":
        text += "\n"
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True)
    return sorted(
        (1 + reader.line_num, tuple(map(str.lstrip, row[: 3 if len(row) > 2 else 2])))
        for row in reader
        if row
    )


def test_a_line_that_is_too_long_is_reported_and_the_next_one_imported(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csvfile, "LONGEST_LINE", 100)
    long = b"1,a,2026-01-01" + b"," * 1000
    content = HEADER + b"1,a,2026-01-01\n" + long + b"\n2,a,2026-01-01\n" + long
    result, rejected = run(content)
    assert check(result, rejected) == (2, 2)
    assert [line for line, *_ in rejected] == ["3", "5"]
    assert rejected[0][1] == "a line of more than 100 characters"


@pytest.mark.parametrize("length", [99, 100, 101, 199, 200, 201])
def test_a_line_of_just_the_length_is_no_trouble_for_the_next(
    run: Any, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    monkeypatch.setattr(csvfile, "LONGEST_LINE", 100)
    row = b"1,a,2026-01-01,".ljust(length - 1, b"x") + b"\n"
    result, rejected = run(HEADER + row + b"2,a,2026-01-01\n")
    good = 2 if length <= 100 else 1
    assert check(result, rejected) == (good, 2 - good)


def test_what_is_kept_of_rejected_rows_is_short(app: Flask) -> None:
    rows: Any = [("1", "x" * 100_000, "2026-01-01")] * 3
    summary = import_rows(app.extensions["bitmapist"], rows)
    assert summary.rejected == 3
    for each in summary.examples:
        assert sum(map(len, each.row)) < 2 * LONGEST_EXAMPLE


def test_a_file_of_rejects_holds_no_formulas(run: Any) -> None:
    rows = "".join(f'x,"{formula.replace(chr(34), "")}",soon\n' for formula in FORMULAS)
    _, rejected = run(HEADER + rows.encode())
    assert len(rejected) == len(FORMULAS)
    assert ["'=1+1"] in [row[3:4] for row in rejected]


BOMB = """
import re, sys
from pathlib import Path
from flask import Flask
from flask_bitmapist import FlaskBitmapist

app = Flask("bomb")
app.config["BITMAPIST_REDIS_URL"] = sys.argv[1]
FlaskBitmapist(app)
run = app.test_cli_runner()

def peak():
    # Not ru_maxrss: that begins with the peak of the process that started this one,
    # which hides all that stays below it.
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1])

run.invoke(args=["bitmapist", "import", sys.argv[2]])  # so that all is imported
before = peak()
result = run.invoke(args=["bitmapist", "import", sys.argv[3]])
print(peak() - before, result.exit_code, result.output)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
@pytest.mark.parametrize(
    ("first", "repeated", "told"),
    [
        (HEADER + b"1,a,2026-01-01\n", b"\x00", "2 rows read, 1 imported"),
        (HEADER, b"," * 127 + b"\n", "skipped"),
        (b"", b"user_id", "the first line is not a header"),
    ],
)
def test_a_small_file_that_unpacks_to_a_huge_one_takes_little_memory(
    redis_url: str, tmp_path: Path, first: bytes, repeated: bytes, told: str
) -> None:
    size = 40_000_000
    bomb, small = tmp_path / "bomb.gz", tmp_path / "small.csv"
    small.write_bytes(HEADER + b"1,a,2026-01-01\n")
    piece = repeated * (2**20 // len(repeated))
    with gzip.open(bomb, "wb", compresslevel=1) as packed:
        packed.write(first)
        for _ in range(size // len(piece)):
            packed.write(piece)
    assert bomb.stat().st_size < size / 50
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(BOMB), redis_url, str(small), str(bomb)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    kilobytes, _, output = done.stdout.split(" ", 2)
    assert told in output
    assert int(kilobytes) < 30_000


def test_rows_in_any_order_end_as_the_same(run: Any, redis_client: Any) -> None:
    rows = [f"{user},a,2026-01-0{day}\n" for user in range(40) for day in range(1, 4)]
    dumps = []
    for seed in (1, 2):
        redis_client.flushall()
        random.Random(seed).shuffle(rows)
        check(*run(HEADER + "".join(rows).encode()))
        found = sorted(redis_client.keys("trackist_*"))
        dumps.append([(key, redis_client.get(key)) for key in found])
    assert dumps[0] == dumps[1]
