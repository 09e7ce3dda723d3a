"""What a page may cost: bytes of bitmaps walked over, and bitmaps asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis
from flask import Flask

from flask_bitmapist import Period, QueryError, TimeGroup
from flask_bitmapist.query import Query, utc_now

from .inside import LEAST_BYTES, BitmapReader, Budget, Source, redis_key
from .limited import LimitedStore
from .servers import RedisProcess

MEGABYTE = 1024 * 1024
DAYS = 6
# Every number and every list of users that takes bitmaps to answer.
ASKED = {
    "overview": "?",
    "active": "?active=week",
    "cohort": "cohort?primary_event=came&time_group=days&num_rows=5",
    "cell": "cohort?primary_event=came&time_group=days&num_rows=5&period={day}",
    "past": "cohort?primary_event=came&first_time=y",
    "trends": "trends?events=came&time_group=days&num_periods=5",
    "rolling": "trends?events=came&num_periods=1&rolling=7",
    "point": "trends?events=came&time_group=days&num_periods=5&period={day}",
    "lifecycle": "lifecycle?event=came&time_group=days&num_periods=5",
    "stage": "lifecycle?event=came&time_group=days&num_periods=5&period={day}"
    "&stage=new",
    "funnel": "funnel?steps=came&steps=came&num_periods=5&window=1",
    "step": "funnel?steps=came&steps=came&num_periods=5&window=1&step=1",
    "stickiness": "stickiness?event=came&num_days=5",
    "bar": "stickiness?event=came&num_days=5&days=2",
    "count": "count?event=came&time_group=days",
    "who": "users?event=came&time_group=days&period={day}",
    "events": "events?",
}
NO_HTML = ("count", "who")


def periods() -> list[Period]:
    today = Period.containing(TimeGroup.DAYS, utc_now())
    days = [today.shift(-each) for each in range(DAYS)]
    larger = (TimeGroup.WEEKS, TimeGroup.MONTHS)
    return [*days, *(Period.containing(each, utc_now()) for each in larger)]


def fill(client: redis.Redis, size: int, event: str = "came") -> list[Source]:
    """Give an event bitmaps of *size* bytes in all recent periods."""
    sources = [Source(event, period) for period in periods()]
    for source in sources:
        client.setbit(redis_key(source), size * 8 - 1, 1)  # type: ignore[arg-type]
    return sources


def day() -> str:
    return Period.containing(TimeGroup.DAYS, utc_now()).label


def calls(client: redis.Redis) -> dict[str, int]:
    stats: Any = client.info("commandstats")
    return {name.removeprefix("cmdstat_"): stats[name]["calls"] for name in stats}


def sent_bytes(client: redis.Redis) -> int:
    stats: Any = client.info("stats")
    return int(stats["total_net_output_bytes"])


@pytest.mark.parametrize(
    ("asked", "form"),
    [
        (asked, form)
        for asked in ASKED
        for form in ("html", "json", "csv")
        if form != "html" or asked not in NO_HTML
    ],
)
def test_a_page_that_would_be_too_much_work_is_refused(
    make_app: Callable[..., Flask], redis_client: redis.Redis, asked: str, form: str
) -> None:
    fill(redis_client, 2 * MEGABYTE)
    client = make_app(BITMAPIST_MAX_WORK=MEGABYTE).test_client()
    url = ASKED[asked].format(day=day())
    response = client.get(f"/bitmapist/{url}&format={form}")
    assert response.status_code == 400
    message = response.text
    if response.is_json:
        (message,) = response.get_json()["errors"]["form"]
    assert "and at most 1.0 MiB are allowed (BITMAPIST_MAX_WORK)" in message
    assert "Ask for fewer rows or periods" in message


@pytest.mark.parametrize("asked", ASKED)
def test_what_is_within_the_limit_is_answered(
    make_app: Callable[..., Flask], redis_client: redis.Redis, asked: str
) -> None:
    fill(redis_client, MEGABYTE)
    client = make_app(BITMAPIST_MAX_WORK=1000 * MEGABYTE).test_client()
    url = ASKED[asked].format(day=day())
    assert client.get(f"/bitmapist/{url}&format=json").status_code == 200


TEN_MILLION = 10_000_000 // 8
"""Bytes of a bitmap of so many users."""


def fill_days(client: redis.Redis, days: int, size: int) -> None:
    """Give an event bitmaps of *size* bytes, one user in each, on the last days."""
    today = Period.containing(TimeGroup.DAYS, utc_now())
    for each in range(days):
        key = redis_key(Source("came", today.shift(-each)))
        client.setbit(key, size * 8 - 1, 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("form", ["html", "json", "csv"])
def test_a_short_url_that_asks_for_a_hundred_gigabytes_of_work_is_refused_unread(
    make_app: Callable[..., Flask], redis_client: redis.Redis, form: str
) -> None:
    # Few of its days have as many users: what counts is the longest bitmap.
    fill_days(redis_client, 3, TEN_MILLION)
    client = make_app().test_client()
    url = (
        "/bitmapist/cohort?primary_event=came&time_group=days&num_rows=400"
        f"&num_cols=400&format={form}"
    )
    assert len(url) < 110
    assert client.get("/bitmapist/cohort").status_code == 200
    before = sent_bytes(redis_client)
    refused = client.get(url)
    assert refused.status_code == 400
    assert "This is too much work for one report" in refused.text
    assert "BITMAPIST_MAX_WORK" in refused.text
    assert sent_bytes(redis_client) - before < MEGABYTE


def test_what_people_look_at_daily_is_allowed_by_default(
    make_app: Callable[..., Flask], redis_client: redis.Redis
) -> None:
    fill_days(redis_client, 3, TEN_MILLION)
    client = make_app().test_client()
    asked = "primary_event=came&time_group=days&num_rows=31&num_cols=13&format=json"
    answer = client.get(f"/bitmapist/cohort?{asked}")
    assert answer.status_code == 200
    assert answer.get_json()["row_totals"][-3:] == [1, 1, 1]


def test_work_is_what_is_done_and_not_what_is_read_alone(
    make_app: Callable[..., Flask], redis_client: redis.Redis
) -> None:
    fill_days(redis_client, 20, MEGABYTE)
    client = make_app(BITMAPIST_MAX_WORK=120 * MEGABYTE).test_client()
    asked = "/bitmapist/cohort?primary_event=came&time_group=days&num_rows=20"
    assert client.get(f"{asked}&num_cols=1&format=json").status_code == 200
    # The same twenty bitmaps, and ten times as many numbers.
    assert client.get(f"{asked}&num_cols=20&format=json").status_code == 400


def test_a_longer_expression_is_more_work(
    make_app: Callable[..., Flask], redis_client: redis.Redis
) -> None:
    fill_days(redis_client, 20, MEGABYTE)
    client = make_app(BITMAPIST_MAX_WORK=200 * MEGABYTE).test_client()
    for page, name in {
        "trends": "events",
        "lifecycle": "event",
        "stickiness": "event",
        "cohort": "primary_event",
    }.items():
        asked = {"time_group": "days", "num_periods": 5, "num_days": 5, "num_cols": 1}
        asked |= {"num_rows": 5, "format": "json"}
        answers = [
            client.get(f"/bitmapist/{page}", query_string={**asked, name: text})
            for text in ("came", " and ".join(["came"] * 500))
        ]
        assert [answer.status_code for answer in answers] == [200, 400], page
        assert "too much work" in answers[1].text


def test_the_page_of_one_user_reads_no_bitmaps_however_long_they_are(
    make_app: Callable[..., Flask], redis_client: redis.Redis
) -> None:
    fill(redis_client, 8 * MEGABYTE)
    client = make_app(BITMAPIST_MAX_WORK=7 * MEGABYTE).test_client()
    user = 8 * MEGABYTE * 8 - 1
    answer = client.get(f"/bitmapist/people?user={user}&num_days=10&format=json")
    assert len(answer.get_json()["events"]["came"]["days"]) == DAYS


def test_a_large_question_is_refused_before_it_is_read(
    redis_client: redis.Redis,
) -> None:
    sources = fill(redis_client, 8 * MEGABYTE)
    reader = BitmapReader(redis_client).within(10 * MEGABYTE)
    before = sent_bytes(redis_client)
    with pytest.raises(QueryError, match=r"64\.5 MiB, and at most 10\.0 MiB"):
        list(reader.stripes(sources))
    assert sent_bytes(redis_client) - before < 10_000


def test_a_question_of_just_the_limit_is_answered(redis_client: redis.Redis) -> None:
    sources = fill(redis_client, MEGABYTE)
    size = len(sources) * (MEGABYTE + LEAST_BYTES) + 3 * MEGABYTE
    reader = BitmapReader(redis_client)
    assert len(list(reader.within(size).stripes(sources, passes=3)))
    with pytest.raises(QueryError):
        list(reader.within(size - 1).stripes(sources, passes=3))


def test_the_server_counts_nothing_that_is_too_long(redis_client: redis.Redis) -> None:
    sources = fill(redis_client, MEGABYTE)
    redis_client.config_resetstat()
    reader = BitmapReader(redis_client)
    with pytest.raises(QueryError, match=r"8\.5 MiB"):
        reader.within(6 * MEGABYTE).counts(sources)
    assert "bitcount" not in calls(redis_client)
    assert reader.within(6 * MEGABYTE).counts(sources[:5]) == [1] * 5


def test_all_questions_of_a_page_share_the_limit(redis_client: redis.Redis) -> None:
    sources = fill(redis_client, MEGABYTE)
    reader = BitmapReader(redis_client).within(10 * MEGABYTE)
    assert list(reader.stripes(sources))
    with pytest.raises(QueryError):
        list(reader.stripes(sources))


def test_readers_have_limits_of_their_own(redis_client: redis.Redis) -> None:
    sources = fill(redis_client, MEGABYTE)
    unlimited = BitmapReader(redis_client)
    with pytest.raises(QueryError):
        list(unlimited.within(MEGABYTE).stripes(sources))
    assert list(unlimited.stripes(sources))
    assert list(unlimited.within(MEGABYTE).within(0).stripes(sources))


def test_a_store_that_tells_no_lengths_is_stopped_during_the_work() -> None:
    renamed = ["--rename-command", "STRLEN", ""]
    with RedisProcess(*renamed) as server, server.client() as client:
        sources = fill(client, 8 * MEGABYTE)
        reader = BitmapReader(client).within(10 * MEGABYTE)
        before = sent_bytes(client)
        with pytest.raises(QueryError, match=r"at most 10\.0 MiB"):
            list(reader.stripes(sources))
        assert sent_bytes(client) - before < 17 * MEGABYTE
        # Operations count as what is read does.
        with pytest.raises(QueryError, match=r"at most 80\.0 MiB"):
            list(BitmapReader(client).within(80 * MEGABYTE).stripes(sources, passes=9))
        # It counts by itself, and cannot be asked how much that is.
        counting = BitmapReader(client).within(10 * MEGABYTE)
        assert counting.counts(sources) == [1] * len(sources)


def test_a_store_that_gives_whole_bitmaps_is_stopped_during_the_work(
    redis_process: RedisProcess,
) -> None:
    sources = fill(redis_process.client(), 8 * MEGABYTE)
    with LimitedStore(redis_process) as store, redis.from_url(store.url) as client:
        reader = BitmapReader(client).within(20 * MEGABYTE)
        with redis_process.client() as direct:
            before = sent_bytes(direct)
            with pytest.raises(QueryError, match=r"24\.5 MiB, and at most 20\.0 MiB"):
                list(reader.stripes(sources))
            assert sent_bytes(direct) - before < 25 * MEGABYTE


def test_an_export_is_refused_before_its_first_line(
    make_app: Callable[..., Flask], redis_client: redis.Redis
) -> None:
    fill(redis_client, 3 * MEGABYTE)
    key = redis_key(Source("came", periods()[0]))
    pipeline = redis_client.pipeline()
    for user in range(20_000):  # more than what is gathered before anything is sent
        pipeline.setbit(key, user, 1)
    pipeline.execute()
    client = make_app(BITMAPIST_MAX_WORK=2 * MEGABYTE).test_client()
    for asked in ("trends?events=came&num_periods=1", "users?event=came"):
        url = f"/bitmapist/{asked}&time_group=days&period={day()}&format=csv"
        assert client.get(url).status_code == 400


def test_python_and_the_command_line_work_as_much_as_they_are_asked(
    make_app: Callable[..., Flask], redis_client: redis.Redis
) -> None:
    fill(redis_client, 2 * MEGABYTE)
    app = make_app(BITMAPIST_MAX_WORK=1)
    query: Query = app.extensions["bitmapist"].query
    assert query.count("came") == 1
    assert query.trend(["came"], num_periods=3).series[0].counts == (1, 1, 1)
    with pytest.raises(QueryError, match="BITMAPIST_MAX_WORK"):
        query.within(1000).trend(["came"])
    done = app.test_cli_runner().invoke(args=["bitmapist", "trend", "came"])
    assert done.exit_code == 0, done.output


def test_no_limit_is_a_limit_of_nothing(
    make_app: Callable[..., Flask], redis_client: redis.Redis
) -> None:
    fill(redis_client, 2 * MEGABYTE)
    client = make_app(BITMAPIST_MAX_WORK=0).test_client()
    assert client.get("/bitmapist/trends?events=came").status_code == 200


def test_bitmaps_that_are_asked_for_are_work_also_where_there_are_none(
    make_app: Callable[..., Flask], redis_client: redis.Redis
) -> None:
    redis_client.setbit("trackist_came_2001-1", 1, 1)
    client = make_app(BITMAPIST_MAX_WORK=100 * LEAST_BYTES).test_client()
    url = "/bitmapist/trends?events=came&time_group=days&num_periods="
    assert client.get(f"{url}50").status_code == 200
    refused = client.get(f"{url}200")
    assert refused.status_code == 400
    assert "This is too much work for one report" in refused.text


def test_the_work_of_a_page_adds_up() -> None:
    budget = Budget(3 * LEAST_BYTES)
    budget.ask(2)
    budget.take(LEAST_BYTES)
    with pytest.raises(QueryError, match="at most 196,608 bytes are allowed"):
        budget.take(1)
