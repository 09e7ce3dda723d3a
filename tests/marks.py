"""What the tests of the write path look at."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from typing import Any

import bitmapist
import redis
from flask import Flask

from .inside import EVENTS_KEY, FLAGS_KEY, WALKED_KEY, Catalogue

NOON = datetime(2026, 1, 1, 12, 30, tzinfo=timezone.utc)
"""A Thursday in the first ISO week of its year."""
NOON_KEYS = {"2026-1", "W2026-1", "2026-1-1"}

PATIENCE = 30.0


def users(client: redis.Redis, key: str) -> set[int]:
    """Return the users in one bitmap, bit by bit."""
    value: Any = client.get(f"trackist_{key}") or b""
    return {
        place * 8 + bit
        for place, byte in enumerate(value)
        for bit in range(8)
        if byte & (128 >> bit)
    }


def known(
    client: redis.Redis, events: Iterable[str] = (), flags: Iterable[str] = ()
) -> Catalogue:
    """Return a catalogue of a store that has these names and was looked through."""
    for key, names in (EVENTS_KEY, events), (FLAGS_KEY, flags):
        for name in names:
            client.sadd(key, name)
    client.set(WALKED_KEY, f"{time.time()} 0")
    return Catalogue(client, client)


def keys(client: redis.Redis) -> set[str]:
    """Return bitmapist's keys without their prefix."""
    found: Any = client.keys("trackist_*")
    return {key.decode().removeprefix("trackist_") for key in found}


def rename_user(client: redis.Redis, key: str, new: str) -> None:
    """Give a user of a store of keys another key, as only others write it."""
    for field, value in client.hgetall("flask-bitmapist:ids").items():
        if value == key.encode():
            client.hset("flask-bitmapist:ids", field, new)
            return
    raise AssertionError(f"nobody is called {key}")


def today(event: str) -> str:
    """Return the end of the key of an event's current day."""
    key: str = bitmapist.DayEvents.from_date(event).redis_key
    return key.removeprefix("trackist_")


def recorder_of(app: Flask) -> Any:
    """Return what writes an app's marks."""
    return app.extensions["bitmapist"].recorder


def eventually(is_so: Callable[[], Any], what: str) -> None:
    """Wait until something is so that a thread of the package does."""
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, f"not within {PATIENCE} s: {what}"
        time.sleep(0.005)
