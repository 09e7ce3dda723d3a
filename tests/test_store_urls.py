"""What is said of URLs: never a password."""

from __future__ import annotations

import re

import pytest

from flask_bitmapist import config

from .inside import check_url, open_client, redact

SECRET = "hunter2"


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost:6379",
        "redis://",
        "redis://user:pass%2Fword@[::1]:6379/3?socket_timeout=2",
        "rediss://host?ssl_cert_reqs=required",
        "unix:///run/redis.sock?db=1",
        "unix://user:pass@/run/redis.sock",
        "redis+cluster://user:pass@one:7000,two:7001,[::1]:7002",
        "rediss+cluster://one?read_from_replicas=true",
        "redis+sentinel://user:pass@one:26379,two/events/2?role=replica",
        "rediss+sentinel://one/events?sentinel_password=pass",
        "memory://",
    ],
)
def test_urls_of_every_kind_can_be_used(url: str) -> None:
    assert check_url(url) is None
    assert config.load({"BITMAPIST_REDIS_URL": url}, {}).redis_url == url


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("localhost:6379", "must begin with one of redis://"),
        ("http://localhost", "must begin with one of redis://"),
        (f"redis://:{SECRET}/x@host:6379", "percent-encoded"),
        (f"redis://:{SECRET}#x@host:6379", "percent-encoded"),
        (f"redis://:12?{SECRET}=5@host", "an unknown option"),
        (f"redis://:{SECRET}@[::1", "percent-encoded"),
        (f"redis://:{SECRET}@host:port", "port is not a number"),
        (f"redis://:{SECRET}@host:99999", "port is not a number"),
        (f"redis://:{SECRET}@bad..name", "not a valid host name"),
        (f"redis+cluster://:{SECRET}@one,.{SECRET}..", "not a valid host name"),
        (f"redis://:{SECRET}@host/zero", "a database number"),
        (f"redis://:{SECRET}@host?db=zero", "Invalid value for"),
        (f"redis://:{SECRET}@host?speed=high", "unknown option 'speed'"),
        (f"redis://:{SECRET}@host?protocol=9", "options cannot be used"),
        (f"redis://:{SECRET}@one:1,two:2", "redis+cluster://host:port,host:port"),
        (f"redis+cluster://:{SECRET}@one,", "a comma without a host"),
        (f"redis+cluster://:{SECRET}@one/1", "only database 0"),
        (f"redis+cluster://:{SECRET}@one?db=1", "only database 0"),
        (f"redis+cluster://:{SECRET}@one?role=replica", "'role'"),
        (f"redis+sentinel://:{SECRET}@one:26379", "name of Sentinel's service"),
        (f"redis+sentinel://:{SECRET}@one/events/x", "a database number"),
        (f"redis+sentinel://:{SECRET}@one/events?role=any", "'master' or 'replica'"),
        (f"unix://:{SECRET}@", "path of the socket is missing"),
    ],
)
def test_what_is_wrong_with_a_url_is_said_without_its_password(
    url: str, said: str
) -> None:
    message = check_url(url)
    assert message is not None
    assert said in message
    assert SECRET not in message
    assert SECRET not in redact(url)
    with pytest.raises(config.ConfigError, match="BITMAPIST_REDIS_URL") as caught:
        config.load({"BITMAPIST_REDIS_URL": url}, {})
    assert SECRET not in str(caught.value)
    with pytest.raises(ValueError, match=re.escape(message)):
        open_client(url, connect_timeout=1, timeout=1)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host:6379/0", "redis://host:6379/0"),
        (f"redis://user:{SECRET}@host:6379/0", "redis://user@host:6379/0"),
        (f"redis://:{SECRET}@host", "redis://***@host"),
        (f"redis://{SECRET}@host", "redis://***@host"),
        (f"redis://host/0?password={SECRET}", "redis://host/0"),
        (f"redis://host?password=a@{SECRET}", "redis://***"),
        (f"redis://:a@{SECRET}@host", "redis://***"),
        (f"redis://user:{SECRET}", "redis://***"),
        (f"unix://user:{SECRET}@/run/redis.sock?db=1", "unix://user@/run/redis.sock"),
        (f"unix:///run/redis.sock?password={SECRET}", "unix:///run/redis.sock"),
        (
            f"redis+cluster://user:{SECRET}@one:1,two:2",
            "redis+cluster://user@one:1,two:2",
        ),
        (
            f"redis+sentinel://:{SECRET}@one,two/events/1?sentinel_password={SECRET}",
            "redis+sentinel://***@one,two/events/1",
        ),
        (f"my:{SECRET}", "(unreadable URL)"),
        (f"http://:{SECRET}@host", "(unreadable URL)"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert redact(url) == shown


def test_where_questions_are_read_must_be_a_place_with_events() -> None:
    with pytest.raises(config.ConfigError, match="each memory:// store is separate"):
        config.load({"BITMAPIST_REDIS_READ_URL": "memory://"}, {})
    assert config.load({}, {}).redis_read_url is None
