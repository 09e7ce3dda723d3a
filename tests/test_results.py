"""Results as dicts, CSV, data frames and text."""

from __future__ import annotations

import csv
import io
import json

import pytest
import redis
from hypothesis import example, given
from hypothesis import strategies as st

from flask_bitmapist import Event, QueryError, mark_event
from flask_bitmapist.query import Query

from .inside import BitmapReader, Names, Result, Table, Text, to_csv, to_text
from .marks import known
from .reference import utc

AS_OF = utc("2026-03-04T12:00")
A, B = Event("a"), Event("b")


@pytest.fixture
def query(redis_client: redis.Redis) -> Query:
    """Two users on Tuesday, of whom one is back on Wednesday."""
    for user, day in ((1, 3), (2, 3), (1, 4)):
        mark_event("a", user, redis_client, utc(f"2026-03-0{day}"))
    return Query(BitmapReader(redis_client), Names(known(redis_client, "ab")))


@pytest.fixture
def results(query: Query) -> list[Result]:
    at = {"as_of": AS_OF}
    return [
        query.cohort(
            "a", time_group="days", num_rows=2, num_cols=2, cells="users", **at
        ),
        query.trend(["a", Event("b")], num_periods=2, rolling=[7], **at),
        query.stickiness("a", num_days=2, **at),
        query.lifecycle("a", time_group="days", num_periods=2, **at),
        query.funnel(["a", "a"], num_periods=2, window=2, **at),
        query.person(1, num_days=2, **at),
        query.users("a", as_of=AS_OF).page(),
    ]


def test_every_result_becomes_a_data_frame(results: list[Result]) -> None:
    pytest.importorskip("pandas")
    for result in results:
        columns, rows = result.table()
        frame = result.to_dataframe()
        assert list(frame.columns) == list(columns)
        assert len(frame) == len(rows)


def test_every_result_becomes_json_csv_text_and_html(
    results: list[Result],
) -> None:
    for result in results:
        assert json.loads(json.dumps(result.to_dict())) == result.to_dict()
        columns, rows = result.file_table()
        read = list(csv.reader(io.StringIO(result.to_csv())))
        assert read[0] == list(columns)
        assert len(read) == len(rows) + 1
        assert columns[0] in str(result) or rows[0][0] in str(result)
        assert result._repr_html_().count("<tr>") == len(rows) + 1


def test_a_cohort_prints_as_a_table_with_blanks_where_nothing_has_begun(
    results: list[Result],
) -> None:
    assert str(results[0]).splitlines() == [
        "day         users  complete  complete columns  0  1",
        "2026-03-03      2      True                 2  2  1",
        "2026-03-04      1      True                 1  1",
    ]
    assert results[0].to_dict()["cohort"] == [[2, 1], [1, None]]


def test_a_row_without_users_is_blank_and_a_past_period_without_returns_is_zero(
    query: Query,
) -> None:
    result = query.cohort(
        "a", "b", time_group="days", num_rows=3, num_cols=2, as_of=AS_OF
    )
    assert result.counts == ((None, None), (0, 0), (0, None))


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@x", "  =1", "＝1", '"=1'])
def test_a_text_in_csv_that_looks_like_a_formula_gets_an_apostrophe(cell: str) -> None:
    (read,) = csv.reader(io.StringIO(to_csv([[cell, -1, "a-b"]]), newline=""))
    assert read == [f"'{cell}", "-1", "a-b"]


FORMULAS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
CELLS = st.text(st.sampled_from([*"ab ;|,\t\r\n\"'", *FORMULAS]), max_size=8)


@given(rows=st.lists(st.lists(CELLS, min_size=1, max_size=4), min_size=1, max_size=3))
@example(rows=[["5", "a;=cmd|'/C calc'!A0;b"]])
@example(rows=[["5", 'a;"=1'], ["a\t=1"], ["a\n=1"]])
def test_no_text_in_csv_is_a_formula_whatever_separates_cells(
    rows: list[list[str]],
) -> None:
    for separator in (",", ";", "\t", "|"):
        read = csv.reader(io.StringIO(to_csv(rows), newline=""), delimiter=separator)
        cells = [cell.strip() for row in read for cell in row]
        assert not [cell for cell in cells if cell.startswith(FORMULAS)]


@given(st.text(st.sampled_from("aé \n\r\x1b\x85\u2028\u202e\t"), min_size=1))
def test_no_text_in_a_table_breaks_its_line(name: str) -> None:
    table = Table([name, "users"], [[name, 1], [name, 2]])
    assert len(to_text(table).splitlines()) == 3
    assert len(to_csv([table.columns, *table.rows]).splitlines()) == 3
    told = Text("Nobody has done %(name)s.", name=name)
    for text in (to_text(table), to_csv(table.rows), told):
        assert not set(text) & set("\x1b\x85\u2028\u202e\t")
    assert "é" not in name or "é" in to_text(table)


def test_without_pandas_a_data_frame_is_refused_with_what_to_install(
    results: list[Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(RuntimeError, match=r"pip install .*dataframe"):
        results[0].to_dataframe()


def test_names_are_escaped_in_html(query: Query) -> None:
    shown = query.trend(
        "<script>", num_periods=1, as_of=AS_OF, allow_unknown=True
    )._repr_html_()
    assert "<script>" not in shown


@pytest.mark.parametrize(
    ("ask", "field"),
    [
        (lambda q: q.trend([]), "events"),
        (lambda q: q.trend("a", rolling=[7], time_group="weeks"), "rolling"),
        (lambda q: q.trend("a", rolling=[0]), "rolling"),
        (lambda q: q.trend(~Event("a")), "events"),
        (lambda q: q.stickiness("a", window="decade"), "window"),
        (lambda q: q.lifecycle("a", num_periods=0), "num_periods"),
        (lambda q: q.funnel(["a"]), "steps"),
        (lambda q: q.funnel(["a", "b"], window=0), "window"),
        (lambda q: q.person(-1), "user"),
        (lambda q: q.person("one"), "user"),
        (lambda q: q.person(True), "user"),
        (lambda q: q.users("a").page(0), "page"),
        (lambda q: q.users("a").page(1, 0), "per_page"),
        (lambda q: q.users(~Event("a")), "event"),
    ],
)
def test_what_is_not_allowed_is_refused_with_its_name(
    query: Query, ask: object, field: str | None
) -> None:
    with pytest.raises(QueryError) as error:
        ask(query)  # type: ignore[operator]
    assert error.value.field == field


def test_users_behave_as_a_set(query: Query) -> None:
    tuesday = query.users("a", "days", as_of=utc("2026-03-03"))
    wednesday = query.users("a", "days", as_of=AS_OF)
    assert tuesday == {1, 2}
    assert tuesday & wednesday == {1}
    assert tuesday - wednesday == {2}
    assert wednesday < tuesday
    assert "1" in tuesday
    assert "one" not in tuesday
    assert True not in tuesday
    assert 1.0 not in tuesday
    assert 2**40 not in tuesday
    assert -1 not in tuesday
    assert repr(wednesday) == "<UserSet 'a in 2026-03-04'>"
