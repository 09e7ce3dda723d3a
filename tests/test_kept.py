"""What is not kept is not 0: hours that were not recorded, and what was deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, time, timedelta, timezone
from functools import cache
from typing import Any

import pytest
import redis
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flask_bitmapist import FlaskBitmapist, QueryError, mark_event, mark_unique

from .inside import CUTS_KEY, Count, Trend, export_person, import_rows, plan_deletion
from .limited import LimitedStore
from .reference import KEYS, last_keys, utc
from .servers import RedisProcess

MakeApp = Callable[..., Flask]
SEEN = b"flask-bitmapist:seen:e"


def extension_of(app: Flask) -> Any:
    return app.extensions["bitmapist"]


def write(app: Flask, *rows: tuple[str, int, str], hourly: bool = False) -> None:
    with app.app_context():
        for event, user, at in rows:
            mark_event(event, user, now=utc(at), track_hourly=hourly)


def delete(app: Flask, *arguments: str) -> str:
    run = app.test_cli_runner().invoke(args=["bitmapist", "delete", *arguments])
    assert run.exit_code == 0, run.output
    return run.output


@pytest.fixture
def cut(make_app: MakeApp) -> Flask:
    """An app of which the year 2023 was deleted: user 1 was there in it."""
    app = make_app()
    write(app, ("e", 1, "2023-01-10"), ("e", 1, "2024-03-05"), ("e", 2, "2024-03-05"))
    write(app, ("f", 1, "2023-01-10"), ("f", 2, "2024-03-05"))
    delete(app, "e", "--before", "2023-12-31", "--yes")
    return app


# --- Examples


def test_by_hour_nobody_knows_where_only_days_are_kept(app: Flask) -> None:
    query = extension_of(app).query
    with app.app_context():
        for user in range(5):
            mark_event("e", user)
    told = query(Count("e")).to_dict()
    assert told["counts"] == {
        "hour": None,
        "day": 5,
        "week": 5,
        "month": 5,
        "quarter": 5,
        "year": 5,
    }
    assert "BITMAPIST_TRACK_HOURLY" in told["warnings"][0]
    with pytest.raises(QueryError, match="BITMAPIST_TRACK_HOURLY"):
        query.count("e", "hour")
    command = app.test_cli_runner().invoke(args=["bitmapist", "count", "e"])
    assert "BITMAPIST_TRACK_HOURLY" in command.stderr


def test_of_days_that_were_imported_hours_are_blank_and_nobody_of_them_is_new(
    make_app: MakeApp,
) -> None:
    app = make_app()
    rows = [
        *((user, "e", f"2026-11-{day}T08:00") for user in (1, 2) for day in (17, 18)),
        (3, "e", "2026-11-18T09:00"),
    ]
    import_rows(extension_of(app), rows)
    write(app, ("e", 1, "2026-11-18T15:00"), hourly=True)
    write(app, ("e", 4, "2026-11-19T10:00"), ("e", 3, "2026-11-19T10:00"), hourly=True)
    query = extension_of(app).query
    asked: Any = {"time_group": "hours", "as_of": utc("2026-11-19T10:30")}
    trend = query.trend("e", num_periods=36, **asked)
    counts = dict(zip((each.label for each in trend.periods), trend.series[0].counts))
    assert counts["2026-11-17T23"] is None
    # Users 2 and 3 are in none of the day's hours: who else is missing nobody knows.
    assert counts["2026-11-18T15"] is None
    assert counts["2026-11-19T09"] == 0
    assert counts["2026-11-19T10"] == 2
    stages = query.lifecycle("e", num_periods=20, **asked)
    assert stages.periods[0].label == "2026-11-18T15"
    assert stages.new[0] is None
    assert stages.new[-1] == 1
    assert list(stages.users(period="2026-11-19T10", stage="new")) == [4]


def test_who_was_there_before_what_was_deleted_is_not_new(cut: Flask) -> None:
    query = extension_of(cut).query
    answer = query.lifecycle("e", num_periods=1, as_of=date(2024, 3, 10))
    assert (answer.new, answer.resurrecting) == ((1,), (1,))
    assert list(answer.users(period="2024-W10", stage="new")) == [2]
    assert list(answer.users(period="2024-W10", stage="resurrecting")) == [1]
    cohort = query.cohort(
        "e", first_time=True, num_rows=1, num_cols=1, as_of=date(2024, 3, 10)
    )
    assert cohort.sizes == (1,)
    told = "e: days are kept since 2024-03-05; who was active before is known."
    assert answer.told().count(told) == 1
    assert told in cohort.to_dict()["notes"]


def test_what_was_deleted_is_null_and_told_on_every_surface(cut: Flask) -> None:
    extension, client = extension_of(cut), cut.test_client()
    reason = "Deleted before 2023-12-31: e."
    trend = extension.query.trend(
        ["e", "f"], time_group="months", num_periods=15, as_of=date(2024, 3, 10)
    )
    counts = dict(zip((each.label for each in trend.periods), trend.series[0].counts))
    # December ends after the day up to which was deleted.
    assert [counts[f"2023-{month:02}"] for month in (1, 2, 11, 12)] == [None] * 3 + [0]
    assert trend.series[1].counts[0] == 1
    assert trend.warnings == (reason,)
    command = cut.test_cli_runner().invoke(
        args=["bitmapist", "count", "e", "--as-of", "2023-01-10"]
    )
    assert reason in command.stderr
    words = "2023-01-10 - 2023-W02 - 2023-01 - 2023-Q1 - 2023 -".split()  # noqa: SIM905
    assert command.stdout.split() == words
    for url in (
        "count?event=e&time_group=days",
        "users?event=e&time_group=years",
        "has?user=1&event=e&time_group=weeks",
    ):
        found = client.get(f"/bitmapist/{url}&as_of=2023-01-10&format=json")
        assert (found.status_code, found.json) == (
            400,
            {"errors": {"time_group": ["Deleted before 31 Dec 2023: e."]}},
        )
    page = client.get("/bitmapist/trends?events=e&time_group=months&as_of=2023-03-10")
    assert "Deleted before 31 Dec 2023: e." in page.text
    with pytest.raises(QueryError, match="Deleted before"):
        trend.users(period="2023-01")


def test_no_answer_is_made_of_what_was_deleted(cut: Flask) -> None:
    query = extension_of(cut).query
    at: Any = {"as_of": date(2024, 1, 2)}
    assert query.stickiness("e", num_days=2, **at).window == (None, None)
    assert query.stickiness("e", num_days=10, **at).exactly == (None,) * 11
    assert query.stickiness("e", num_days=2, **at).average is None
    assert query.funnel(["e", "f"], num_periods=3, window=1, **at).counts[0] == (0, 0)
    funnel = query.funnel(["e", "f"], num_periods=4, window=1, **at)
    assert funnel.counts[0] == (None, None)
    cohort = query.cohort("f", "e", time_group="days", num_rows=4, num_cols=2, **at)
    assert cohort.averages == (None, None)
    assert query.trend("e", num_periods=5, rolling=[7], **at).series[0].rolling == {
        7: (None,) * 5
    }
    overview = query.overview(as_of=date(2024, 1, 1))
    assert overview.tiles["day"].count == 0
    assert overview.tiles["day"].last.change is None
    assert overview.stickiness is None
    listed = query.events(as_of=date(2023, 12, 30)).list.events[0]
    assert listed.counts == (None,) * 4
    person = query.person(1, as_of=date(2023, 12, 30), num_days=365)
    assert person.active_days.keys() == {"f"}
    active = person.to_dict()["active"]
    assert active == {"day": None, "week": None, "month": None, "year": True}
    assert "Deleted before 2023-12-31: e." in person.warnings


def test_as_of_a_day_before_the_cut_new_is_null(cut: Flask) -> None:
    query = extension_of(cut).query
    answer = query.lifecycle("e", num_periods=2, as_of=date(2023, 6, 30))
    assert set(answer.by_stage.values()) == {(None, None)}
    # Of a week or a month that was deleted in part, all who were there are known, and
    # not who of them was there for the first time.
    part = query.lifecycle("e", time_group="months", num_periods=3, as_of="2024-02-10")
    assert part.active == (0, 0, 0)
    assert part.new == (None, 0, 0)


def test_what_two_events_have_in_common_is_refused_beyond_the_cut(cut: Flask) -> None:
    query = extension_of(cut).query
    at: Any = {"as_of": date(2024, 3, 10), "num_periods": 1}
    with pytest.raises(QueryError, match="before 2023-12-31") as refused:
        query.lifecycle("e and f", **at)
    assert "use an expression of one event" in str(refused.value)
    with cut.app_context():
        mark_unique("paid", 2)
    assert query.lifecycle("e or f", **at).new == (1,)
    assert query.lifecycle("e and flag(paid)", **at).new == (1,)
    assert query.trend("e and f", **at).series[0].counts == (0,)


def test_without_who_was_there_everybody_is_new_since_then(make_app: MakeApp) -> None:
    app = make_app()
    write(app, ("e", 1, "2023-01-10"), ("e", 1, "2024-03-05"), ("e", 2, "2024-03-05"))
    told = delete(app, "e", "--before", "2023-12-31", "--drop-seen", "--yes")
    assert "Kept of them: nothing" in told
    answer = extension_of(app).query.lifecycle("e", num_periods=1, as_of="2024-03-10")
    assert answer.new == (2,)
    assert "e: tracked since 2024-03-05." in answer.told()
    run = app.test_cli_runner().invoke(args=["bitmapist", "delete", "e", "--drop-seen"])
    assert run.exit_code == 2


def test_tracked_since_is_told_where_an_answer_reaches_beyond(app: Flask) -> None:
    write(app, ("e", 1, "2024-03-03"), ("e", 1, "2024-03-20"))
    query = extension_of(app).query
    since, at = "e: tracked since 2024-03-03.", date(2024, 3, 20)
    asked: Any = {"time_group": "days", "num_cols": 2, "as_of": at}
    assert since in query.lifecycle("e", as_of=at).told()
    assert since in query.cohort("e", first_time=True, **asked).told()
    later: Any = {"returned": "on-or-after", **asked}
    assert since in query.cohort("e", num_rows=19, **later).told()
    assert since not in query.cohort("e", num_rows=18, **later).told()
    assert since not in query.cohort("e", **asked).told()
    for text in (
        "e ever",
        "f or e first in last 5 days",
        "f and not e restarted 3 days",
    ):
        assert since in query.trend(text, allow_unknown=True, as_of=at).told()
    assert since in query(Count("e and e never", as_of=at)).told()
    for text in ("e", "e in last 400 days", "e since 2024-01-01"):
        assert since not in query.trend(text, as_of=at).told()
    among = query.trend("e", segments=["e ever"], as_of=at)
    assert since in among.segments[0].told()
    assert since in app.test_client().get(
        "/bitmapist/lifecycle?event=e&as_of=2024-03-20&format=json"
    ).json.get("notes")
    page = app.test_client().get("/bitmapist/lifecycle?event=e&as_of=2024-03-20").text
    assert "e: tracked since 3 Mar 2024." in page


def test_days_that_others_deleted_are_not_nobody(
    make_app: MakeApp, redis_client: redis.Redis
) -> None:
    app = make_app()
    write(app, ("e", 1, "2024-02-10"), ("e", 1, "2024-03-05"), ("e", 2, "2024-03-06"))
    redis_client.delete("trackist_e_2024-2-10")
    query = extension_of(app).query
    at: Any = {"as_of": date(2024, 3, 6)}
    trend = query.trend("e", num_periods=30, **at)
    assert trend.series[0].counts[:25] == (None,) * 24 + (0,)
    assert trend.warnings == ("Days are not kept of 2024-02: e.",)
    answer = query.lifecycle("e", time_group="days", num_periods=10, **at)
    # The month tells who was there before.
    assert answer.new == (*(None,) * 4, 0, 0, 0, 0, 0, 1)


def test_pages_offer_hours_where_some_are_kept(make_app: MakeApp) -> None:
    def page(app: Flask, more: str = "") -> str:
        extension_of(app).catalogue.names(refresh=True)
        return app.test_client().get(f"/bitmapist/trends?events=e{more}").text

    app = make_app()
    write(app, ("e", 1, "2024-03-05"))
    assert 'value="days"' in page(app)
    assert 'value="hours"' not in page(app)
    assert 'value="hours" selected' in page(app, "&time_group=hour")
    assert 'value="hours"' in page(make_app(BITMAPIST_TRACK_HOURLY=True))
    write(app, ("e", 1, "2024-03-05"), hourly=True)
    assert 'value="hours"' in page(app)


# --- Keeping who was there


def test_who_was_there_is_kept_before_anything_goes(
    make_app: MakeApp, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app()
    rows = [("e", user, f"2023-0{month}-10") for user in (1, 2) for month in (1, 2)]
    write(app, *rows, ("e", 3, "2024-03-05"), hourly=True)
    plan = plan_deletion(extension_of(app), "e", before=date(2024, 1, 1))

    def killed(*_: Any) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("flask_bitmapist.capture.deletion._unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            plan.carry_out()
    assert redis_client.exists("trackist_e_2023-1")
    assert redis_client.bitcount(SEEN) == 2
    assert redis_client.hget(CUTS_KEY, "e") == b"2024-01-01"
    delete(app, "e", "--before", "2024-01-01", "--yes")
    assert not redis_client.exists("trackist_e_2023-1")
    assert redis_client.bitcount(SEEN) == 2
    # What is deleted later is added, and an earlier day takes nothing back.
    delete(app, "e", "--before", "2025-01-01", "--yes")
    assert redis_client.bitcount(SEEN) == 3
    write(app, ("e", 5, "2023-05-05"))
    delete(app, "e", "--before", "2024-01-01", "--yes")
    assert redis_client.bitcount(SEEN) == 4
    assert redis_client.hget(CUTS_KEY, "e") == b"2025-01-01"


def test_an_event_without_a_past_has_nothing_deleted(
    make_app: MakeApp, redis_client: redis.Redis
) -> None:
    app = make_app()
    write(app, ("e", 1, "2024-03-05"))
    delete(app, "e", "--before", "2024-01-01", "--yes")
    assert not redis_client.exists(CUTS_KEY)
    trend = extension_of(app).query.trend("e", num_periods=3, as_of="2023-06-01")
    assert trend.series[0].counts == (0, 0, 0)


def test_who_is_erased_is_erased_from_it_too(
    cut: Flask, redis_client: redis.Redis
) -> None:
    recorder = extension_of(cut).recorder
    exported = export_person(recorder.eraser, 1)
    assert exported["events"]["e"]["before"] == ["2023-12-31"]
    assert recorder.forget(1, None).remaining == 0
    assert redis_client.bitcount(SEEN) == 0
    answer = extension_of(cut).query.lifecycle("e", num_periods=1, as_of="2024-03-10")
    assert (answer.new, answer.active) == ((1,), (1,))


@pytest.mark.parametrize("arguments", [("e",), ("--all",)])
def test_whoever_deletes_an_event_deletes_that_too(
    cut: Flask, redis_client: redis.Redis, arguments: Sequence[str]
) -> None:
    delete(cut, *arguments, "--yes")
    assert not redis_client.exists(CUTS_KEY, SEEN)
    write(cut, ("e", 1, "2023-01-10"))
    assert extension_of(cut).query.count("e", "day", as_of=date(2023, 1, 10)) == 1


def test_the_doctor_counts_it(cut: Flask) -> None:
    told = cut.test_cli_runner().invoke(args=["bitmapist", "doctor"]).output
    assert "the past of 1 events, up to 2023-12-31 at most" in told


def test_older_rows_count_as_seen_and_their_days_stay_blank(cut: Flask) -> None:
    rows = [(2, "e", "2023-06-01"), (3, "e", "2024-03-06"), (2, "f", "2023-06-01")]
    summary = import_rows(extension_of(cut), rows)
    assert (summary.written, summary.deleted) == (3, 1)
    query = extension_of(cut).query
    answer = query.lifecycle("e", num_periods=1, as_of=date(2024, 3, 10))
    assert list(answer.users(period="2024-W10", stage="new")) == [3]
    with pytest.raises(QueryError, match="Deleted before"):
        query.count("e", "day", as_of=date(2023, 6, 1))


def test_a_store_without_hashes_says_that_it_does_not(
    redis_process: RedisProcess, caplog: pytest.LogCaptureFixture
) -> None:
    with LimitedStore(redis_process) as store:
        app = Flask("limited")
        app.config.update(BITMAPIST_REDIS_URL=store.url, BITMAPIST_MARK_TIMEOUT=5)
        FlaskBitmapist(app)
        write(app, ("e", 1, "2023-01-10"), ("e", 1, "2024-03-05"))
        delete(app, "e", "--before", "2023-12-31", "--yes")
        assert "this store has no hashes" in caplog.text
        query = extension_of(app).query
        assert query.lifecycle("e", num_periods=1, as_of="2024-03-10").new == (1,)
        delete(app, "e", "--yes")


DAY = timedelta(days=1)


# --- Windows


def test_a_window_that_tells_who_was_there_hides_none_that_needs_the_days(
    cut: Flask,
) -> None:
    query = extension_of(cut).query
    at: Any = {"as_of": date(2024, 1, 10), "num_periods": 1}

    def told(text: str) -> int | None:
        (count,) = query.trend(text, time_group="days", **at).series[0].counts
        return count

    # The cut is 11 days ago.
    assert told("e ever") == 1
    assert told("e in last 11 days") == 0
    assert told("e in last 12 days") is None
    assert told("e ever and not e in last 11 days") == 1
    assert told("e ever and not e in last 12 days") is None
    assert told("e first in last 11 days") == 0
    assert told("e first in last 12 days") is None
    assert told("e restarted 5 days") == 0
    assert told("e restarted 6 days") is None
    # Of the other event nothing was deleted.
    assert told("e ever and f in last 400 days") == 1
    assert told("e in last 400 days and f ever") is None
    with pytest.raises(QueryError, match="Deleted before 2023-12-31: e"):
        query.users("e ever and e in last 28 days", as_of=at["as_of"])


# --- Against plain lists

DAYS = st.dates(date(2024, 1, 1), date(2024, 4, 14))
MOMENTS = st.builds(
    lambda day, hour: datetime.combine(day, time(hour, 30), timezone.utc),
    DAYS,
    st.sampled_from([0, 8, 9, 12, 22, 23]),
)
MARKS = st.lists(
    st.tuples(st.integers(0, 5), DAYS, st.sampled_from([0, 9, 23])), max_size=25
)


@cache
def days_of(group: str) -> dict[Any, list[date]]:
    """All days of each period."""
    found: dict[Any, list[date]] = {}
    for number in range(date(2019, 1, 1).toordinal(), date(2025, 1, 1).toordinal()):
        day = date.fromordinal(number)
        key = KEYS[group](datetime.combine(day, datetime.min.time(), timezone.utc))
        found.setdefault(key, []).append(day)
    return found


class Oracle:
    """What is known of marks of which some had no hours, and some were deleted."""

    def __init__(
        self,
        marks: Sequence[tuple[int, datetime, bool]],
        cut: date | None,
        group: str,
        as_of: date | datetime,
    ) -> None:
        self.known = marks
        self.group = group
        self.end = datetime.combine(as_of, time.max, timezone.utc)
        self.as_of = self.end.date()
        # A moment counts up to its hour, where the hours of its day are known.
        is_moment = isinstance(as_of, datetime) and self._has_hours(self.as_of)
        self.is_within = is_moment and as_of.hour < 23
        if self.is_within:
            self.end = self.end.replace(hour=as_of.hour)
        days = [at.date() for _, at, _ in marks]
        # Only an event with something to delete has anything deleted.
        self.cut = cut if cut is not None and any(each < cut for each in days) else None

    def keys(self, count: int) -> list[Any]:
        return last_keys(self.group, count, self.end)

    def users(self, key: Any) -> set[int]:
        return {user for user, at, _ in self._until() if self._key(at) == key}

    def before(self, key: Any) -> set[int]:
        return {user for user, at, _ in self._until() if self._key(at) < key}

    def _key(self, at: datetime) -> Any:
        return KEYS[self.group](at)

    def _until(self) -> list[tuple[int, datetime, bool]]:
        return [each for each in self.known if each[1] <= self.end]

    def days(self, key: Any) -> list[date]:
        """All days of a period."""
        return [key[0]] if self.group == "hours" else days_of(self.group)[key]

    def is_kept(self, key: Any) -> bool:
        days = self.days(key)
        if self.group == "hours" and not self._has_hours(days[0]):
            return False
        return self.cut is None or min(self._needed(days)) >= self.cut

    def _needed(self, days: list[date]) -> Iterator[date]:
        """The days that have to be kept: the last one of what is read at once."""
        if self.group in ("hours", "days"):
            yield from days
            return
        pieces: dict[Any, list[date]] = {}
        for day in days:
            week = self.group == "weeks"
            pieces.setdefault(week or (day.year, day.month), []).append(day)
        for piece in pieces.values():
            # What is read up to a day, or an hour, is made of days.
            if self.as_of in (piece if self.is_within else piece[:-1]):
                yield piece[0]
            elif piece[0] <= self.as_of:
                yield piece[-1]

    def _has_hours(self, day: date) -> bool:
        of_day = [each for each in self.known if each[1].date() == day]
        return {user for user, _, _ in of_day} == {
            user for user, _, hourly in of_day if hourly
        }

    def tells_new(self, key: Any) -> bool:
        """Whether it is known who is there for the first time."""
        if self.group == "hours" and not self._has_hours(key[0]):
            return False
        return self.cut is None or self.days(key)[0] >= self.cut


@pytest.fixture
def hypothesis_app(make_app: MakeApp) -> Flask:
    return make_app()


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    MARKS,
    st.one_of(st.none(), DAYS),
    st.tuples(DAYS, DAYS),
    st.sampled_from(["hours", "days", "weeks", "months", "quarters", "years"]),
    st.one_of(DAYS, MOMENTS),
)
def test_no_number_is_made_of_what_is_not_kept(
    hypothesis_app: Flask,
    redis_client: redis.Redis,
    rows: list[tuple[int, date, int]],
    cut_before: date | None,
    hours: tuple[date, date],
    group: str,
    as_of: date | datetime,
) -> None:
    app, query = hypothesis_app, extension_of(hypothesis_app).query
    redis_client.flushall()
    query.bitmaps.cuts((), fresh=True)
    first, last = min(hours), max(hours)
    marks = [
        (
            user,
            datetime.combine(day, datetime.min.time(), timezone.utc).replace(hour=hour),
            # On from the middle of one day to the middle of another.
            (first, 12) <= (day, hour) < (last, 12),
        )
        for user, day, hour in rows
    ]
    with app.app_context():
        for user, at, hourly in marks:
            mark_event("e", user, now=at, track_hourly=hourly)
    if cut_before is not None and marks:
        delete(app, "e", "--before", cut_before.isoformat(), "--yes")
    oracle = Oracle(marks, cut_before, group, as_of)
    keys = oracle.keys(5)
    known = [oracle.is_kept(key) for key in keys]
    asked: Any = {"time_group": group, "as_of": as_of, "allow_unknown": True}
    try:
        trend = query(Trend(["e"], num_periods=4, **asked))
    except QueryError:
        assert group == "hours"
        assert not all(known)
        return
    users = [
        oracle.users(key) if is_kept else None for key, is_kept in zip(keys, known)
    ]
    counts = [None if each is None else len(each) for each in users]
    series = trend.series[0]
    assert list(series.counts) == counts[1:]
    for at, changed in enumerate(series.changes):
        base, count = counts[at], counts[at + 1]
        unknown = not base or count is None or not trend.complete[at]
        assert changed == (None if unknown else (count - base) / base)
    stages = query.lifecycle("e", num_periods=4, **asked)
    for at in range(4):
        now, was, key = users[at + 1], users[at], keys[at + 1]
        earlier = oracle.before(key)
        tells = oracle.tells_new(key)
        expected = (
            len(now - earlier) if now is not None and tells else None,
            len(now & was) if now is not None and was is not None else None,
            len((now & earlier) - was)
            if now is not None and was is not None and tells
            else None,
            len(was - now) if now is not None and was is not None else None,
        )
        found = (stages.new, stages.returning, stages.resurrecting, stages.dormant)
        assert tuple(each[at] for each in found) == expected
    cohort = query.cohort("e", num_rows=5, num_cols=5, first_time=True, **asked)
    sums = [[0, 0] for _ in keys]
    for row, key in enumerate(keys):
        new = None
        if users[row] is not None and oracle.tells_new(key):
            new = users[row] - oracle.before(key)
        assert cohort.sizes[row] == (None if new is None else len(new))
        for column in range(5 - row):
            back = users[row + column]
            cell = cohort.counts[row][column]
            if not new or back is None:
                assert cell is None
                continue
            assert cell == len(new & back)
            if cohort.complete[row][column]:
                sums[column][0] += cell
                sums[column][1] += len(new)
    assert list(cohort.averages) == [
        part / whole if whole else None for part, whole in sums
    ]


Spans = Callable[[date, int], list[tuple[date, date]]]
"""The first and the last day of each span that is looked at."""

WINDOWS: dict[str, tuple[Spans, Callable[[set[date], date, int], bool]]] = {
    "{0} ever": (
        lambda last, n: [(date.min, last)],
        lambda days, last, n: bool(days),
    ),
    "{0} in last {1} days": (
        lambda last, n: [(last - (n - 1) * DAY, last)],
        lambda days, last, n: any(day > last - n * DAY for day in days),
    ),
    "{0} first in last {1} days": (
        lambda last, n: [(last - (n - 1) * DAY, last), (date.min, last - n * DAY)],
        lambda days, last, n: bool(days) and min(days) > last - n * DAY,
    ),
    "{0} stopped {1} days": (
        lambda last, n: [
            (last - (2 * n - 1) * DAY, last - n * DAY),
            (last - (n - 1) * DAY, last),
        ],
        lambda days, last, n: bool(days) and n <= (last - max(days)).days < 2 * n,
    ),
}


def is_known(first: date, last: date, cut: date | None) -> bool:
    """Whether it is known who did something in some days, if others are deleted."""
    if cut is None or first >= cut:
        return True
    if first == date.min:
        return last >= cut - DAY  # who was there at all is known
    # A month of which something is kept has a bitmap of all of its days.
    month = cut.replace(day=1)
    following = (month + 31 * DAY).replace(day=1)
    return first == month < cut and last >= following - DAY


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_a_window_is_null_just_where_it_needs_what_is_not_kept(
    hypothesis_app: Flask, redis_client: redis.Redis, data: st.DataObject
) -> None:
    app, query = hypothesis_app, extension_of(hypothesis_app).query
    redis_client.flushall()
    query.bitmaps.cuts((), fresh=True)
    did: dict[str, dict[int, set[date]]] = {"e": {}, "f": {}}
    cuts: dict[str, date | None] = {"e": None, "f": None}
    for event in did:
        for user, day, _ in data.draw(MARKS):
            did[event].setdefault(user, set()).add(day)
            write(app, (event, user, day.isoformat()))
        before = data.draw(st.none() | DAYS)
        every = set().union(*did[event].values())
        if before is not None and every:
            delete(app, event, "--before", before.isoformat(), "--yes")
            cuts[event] = before if min(every) < before else None
    last = data.draw(DAYS)
    texts, is_kept, users = [], True, []
    for _ in range(2):
        event = data.draw(st.sampled_from("ef"))
        form = data.draw(st.sampled_from(sorted(WINDOWS)))
        n = data.draw(st.integers(1, 60))
        spans, holds = WINDOWS[form]
        texts.append(form.format(event, n))
        is_kept &= all(is_known(*span, cuts[event]) for span in spans(last, n))
        until = {u: {d for d in days if d <= last} for u, days in did[event].items()}
        users.append({user for user, days in until.items() if holds(days, last, n)})
    word = data.draw(st.sampled_from(["and", "or", "and not"]))
    one, other = users
    expected = {"and": one & other, "or": one | other, "and not": one - other}[word]
    trend = query.trend(
        f"{texts[0]} {word} {texts[1]}",
        num_periods=1,
        time_group=data.draw(st.sampled_from(["days", "weeks", "months"])),
        as_of=last,
        allow_unknown=True,
    )
    assert trend.series[0].counts == (len(expected) if is_kept else None,)
