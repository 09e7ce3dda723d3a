"""What a page may cost: bytes that are read, bitmaps asked for, numbers shown."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import redis
from flask import Flask

from flask_bitmapist.analysis.bitmaps import Source
from flask_bitmapist.analysis.errors import QueryError
from flask_bitmapist.analysis.periods import Period, TimeGroup
from flask_bitmapist.query import Query, utc_now
from flask_bitmapist.store import budget
from flask_bitmapist.store.budget import Budget
from flask_bitmapist.store.keys import redis_key
from flask_bitmapist.store.reader import BitmapReader

from .limited import LimitedStore
from .servers import RedisProcess

MEGABYTE = 1024 * 1024
DAYS = 6
# Every number and every list of users that takes bitmaps to answer.
ASKED = {
    "overview": "?",
    "active": "?active=week",
    "cohort": "cohort?primary_event=came&secondary_event=came&num_rows=5",
    "cell": "cohort?primary_event=came&secondary_event=came&num_rows=5&period={day}",
    "past": "cohort?primary_event=came&secondary_event=came&first_time=y",
    "trends": "trends?events-0=came&num_periods=5",
    "rolling": "trends?events-0=came&num_periods=1&rolling_7=y",
    "point": "trends?events-0=came&num_periods=5&period={day}",
    "lifecycle": "lifecycle?event=came&time_group=days&num_periods=5",
    "stage": "lifecycle?event=came&time_group=days&period={day}&stage=new",
    "funnel": "funnel?steps-0=came&steps-1=came&num_periods=5",
    "step": "funnel?steps-0=came&steps-1=came&num_periods=5&step=1",
    "stickiness": "stickiness?event=came&num_days=5",
    "bar": "stickiness?event=came&num_days=5&days=2",
    "events": "events?",
}


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


@pytest.mark.parametrize("form", ["html", "json", "csv"])
@pytest.mark.parametrize("asked", ASKED)
def test_a_page_that_would_read_too_much_is_refused(
    make_app: Callable[..., Flask], redis_client: redis.Redis, asked: str, form: str
) -> None:
    fill(redis_client, 2 * MEGABYTE)
    client = make_app(BITMAPIST_MAX_QUERY_BYTES=MEGABYTE).test_client()
    url = ASKED[asked].format(day=day())
    response = client.get(f"/bitmapist/{url}&format={form}")
    assert response.status_code == 400
    message = response.text
    if form == "json":
        (message,) = response.get_json()["errors"]["form"]
    assert "and a page reads at most 1.0 MiB (BITMAPIST_MAX_QUERY_BYTES)" in message
    assert "ask for fewer rows or periods" in message


@pytest.mark.parametrize("asked", ASKED)
def test_what_is_within_the_limit_is_answered(
    make_app: Callable[..., Flask], redis_client: redis.Redis, asked: str
) -> None:
    fill(redis_client, MEGABYTE)
    client = make_app(BITMAPIST_MAX_QUERY_BYTES=1000 * MEGABYTE).test_client()
    url = ASKED[asked].format(day=day())
    assert client.get(f"/bitmapist/{url}&format=json").status_code == 200


def test_the_users_page_reads_no_bitmaps_however_long_they_are(
    make_app: Callable[..., Flask], redis_client: redis.Redis
) -> None:
    fill(redis_client, 2 * MEGABYTE)
    client = make_app(BITMAPIST_MAX_QUERY_BYTES=1).test_client()
    user = 2 * MEGABYTE * 8 - 1
    answer = client.get(f"/bitmapist/users?user_id={user}&format=json")
    assert len(answer.get_json()["events"]["came"]["days"]) == DAYS


def test_a_large_question_is_refused_before_it_is_read(
    redis_client: redis.Redis,
) -> None:
    sources = fill(redis_client, 8 * MEGABYTE)
    reader = BitmapReader(redis_client).within(10 * MEGABYTE)
    before = sent_bytes(redis_client)
    with pytest.raises(QueryError, match=r"reads 64\.0 MiB .* at most 10\.0 MiB"):
        list(reader.stripes(sources))
    assert sent_bytes(redis_client) - before < 1.1 * MEGABYTE


def test_a_question_of_just_the_limit_is_answered(redis_client: redis.Redis) -> None:
    sources = fill(redis_client, MEGABYTE)
    size = len(sources) * MEGABYTE
    assert len(list(BitmapReader(redis_client).within(size).stripes(sources)))
    with pytest.raises(QueryError):
        list(BitmapReader(redis_client).within(size - 1).stripes(sources))


def test_a_small_question_asks_for_nothing_more(redis_client: redis.Redis) -> None:
    sources = fill(redis_client, 10_000)
    redis_client.config_resetstat()
    list(BitmapReader(redis_client).stripes(sources))
    plain = calls(redis_client)
    redis_client.config_resetstat()
    list(BitmapReader(redis_client).within(MEGABYTE).stripes(sources))
    bounded = calls(redis_client)
    assert bounded.get("getrange") == plain["getrange"]
    assert "strlen" not in bounded


def test_the_server_counts_nothing_that_is_too_long(redis_client: redis.Redis) -> None:
    sources = fill(redis_client, MEGABYTE)
    redis_client.config_resetstat()
    reader = BitmapReader(redis_client).within(5 * MEGABYTE)
    with pytest.raises(QueryError, match=r"8\.0 MiB"):
        reader.counts(sources)
    assert "bitcount" not in calls(redis_client)
    assert reader.counts(sources[:5]) == [1] * 5


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


def test_a_store_that_tells_no_lengths_is_read_up_to_the_limit() -> None:
    renamed = ["--rename-command", "STRLEN", ""]
    with RedisProcess(*renamed) as server, server.client() as client:
        sources = fill(client, 8 * MEGABYTE)
        reader = BitmapReader(client).within(10 * MEGABYTE)
        before = sent_bytes(client)
        with pytest.raises(QueryError, match=r"at most 10\.0 MiB"):
            list(reader.stripes(sources))
        assert sent_bytes(client) - before < 13 * MEGABYTE
        # It counts by itself, and cannot be asked how much that is.
        counting = BitmapReader(client).within(10 * MEGABYTE)
        assert counting.counts(sources) == [1] * len(sources)


def test_a_store_that_gives_whole_bitmaps_is_read_up_to_the_limit(
    redis_process: RedisProcess,
) -> None:
    sources = fill(redis_process.client(), 8 * MEGABYTE)
    with LimitedStore(redis_process) as store, redis.from_url(store.url) as client:
        reader = BitmapReader(client).within(20 * MEGABYTE)
        with redis_process.client() as direct:
            before = sent_bytes(direct)
            with pytest.raises(QueryError, match=r"24\.0 MiB .* at most 20\.0 MiB"):
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
    client = make_app(BITMAPIST_MAX_QUERY_BYTES=2 * MEGABYTE).test_client()
    url = f"/bitmapist/trends?events-0=came&period={day()}&format=csv"
    assert client.get(url).status_code == 400


def test_python_and_the_command_line_read_whatever_they_are_asked(
    make_app: Callable[..., Flask], redis_client: redis.Redis
) -> None:
    fill(redis_client, 2 * MEGABYTE)
    app = make_app(BITMAPIST_MAX_QUERY_BYTES=1)
    query: Query = app.extensions["bitmapist"].query
    assert query.count("came") == 1
    assert query.trend("came", num_periods=3).series[0].counts == (1, 1, 1)
    with pytest.raises(QueryError, match="BITMAPIST_MAX_QUERY_BYTES"):
        query.within(1000).trend("came")
    done = app.test_cli_runner().invoke(args=["bitmapist", "trend", "came"])
    assert done.exit_code == 0, done.output


def test_no_limit_is_a_limit_of_nothing(
    make_app: Callable[..., Flask], redis_client: redis.Redis
) -> None:
    fill(redis_client, 2 * MEGABYTE)
    client = make_app(BITMAPIST_MAX_QUERY_BYTES=0).test_client()
    assert client.get("/bitmapist/trends?events-0=came").status_code == 200


def test_a_page_asks_for_no_more_bitmaps_than_can_be_planned(
    make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_app().test_client()
    url = "/bitmapist/trends?events-0=came&num_periods=50"
    assert client.get(url).status_code == 200
    monkeypatch.setattr(budget, "MOST_BITMAPS", 49)
    refused = client.get(url)
    assert refused.status_code == 400
    assert re.search(r"needs \d+ bitmaps, and a page reads at most 49:", refused.text)


def test_bitmaps_are_counted_over_all_questions_of_a_page() -> None:
    limit = Budget(1)
    limit.plan(budget.MOST_BITMAPS)
    with pytest.raises(QueryError, match="200,001 bitmaps"):
        limit.plan(1)


@pytest.mark.parametrize(
    ("page", "arguments"),
    [
        ("cohort", "primary_event=came&secondary_event=came&num_rows=400&num_cols=400"),
        ("trends", "num_periods=10000&rolling_7=y&events-0=a&events-1=b&events-2=c"),
        ("lifecycle", "event=came&num_periods=10000&time_group=days"),
        (
            "funnel",
            "num_periods=10000&window=1"
            + "".join(map("&steps-{0}=s{0}".format, range(5))),
        ),
    ],
)
def test_a_page_shows_no_more_numbers_than_a_browser_bears(
    make_app: Callable[..., Flask], page: str, arguments: str
) -> None:
    client = make_app(BITMAPIST_MAX_ROWS=10_000).test_client()
    refused = client.get(f"/bitmapist/{page}?{arguments}")
    assert refused.status_code == 400
    assert "A page shows at most 40,000 numbers" in refused.text
    assert "as CSV or JSON" in refused.text
    assert len(refused.data) < 100_000
    for form in ("json", "csv"):
        with client.get(f"/bitmapist/{page}?{arguments}&format={form}") as answer:
            assert answer.status_code == 200


def test_the_part_of_a_page_that_post_gives_is_bounded_as_well(app: Flask) -> None:
    asked = {"primary_event": "a", "secondary_event": "a"}
    asked |= {"num_rows": 400, "num_cols": 400}  # type: ignore[dict-item]
    refused = app.test_client().post("/bitmapist/cohort", json=asked)
    assert refused.status_code == 400
    assert "40,000 numbers" in refused.text
