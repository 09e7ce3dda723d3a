"""Whether a store is fit to keep events, and what to do where it is not."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from redis.exceptions import RedisError, ResponseError

from ..analysis.expressions import Source
from ..analysis.periods import Period
from .connect import redact
from .keys import redis_key

if TYPE_CHECKING:
    from redis import Redis

PINGS = 20
SLOW_MS = 5.0
OLDEST_VERSION = (6, 2)
# What the tests run with: bitmapist asks for one below 6, apps for the newest.
TESTED_REDIS_PY = (5, 8)
TRIAL_KEY = "flask-bitmapist:trial"

# A bitmap with fewer users than this to a kilobyte wastes nearly all of its memory.
SPARSE_USERS_PER_KB = 8
NOTABLE_BYTES = 1024 * 1024


class Finding(NamedTuple):
    """One thing that was looked at."""

    level: str
    """``ok``, ``warning`` or ``problem``."""
    topic: str
    found: str
    advice: str = ""
    """What to do about it; empty where all is well."""


def diagnose(
    read: Redis,
    write: Redis,
    url: str,
    events: Callable[[], Sequence[str]],
    month: Period,
) -> Iterator[Finding]:
    """Look at a store and yield what is found.

    Args:
        read: The client for questions.
        write: The client for marks.
        url: Where it was told to connect to; shown without its password.
        events: Gives the names of all events.
        month: The month whose bitmaps are looked at for big ids.
    """
    try:
        write.ping()
        read.ping()
    except RedisError as error:
        yield Finding(
            "problem",
            "connection",
            f"{redact(url)} does not answer: {str(error).replace(url, redact(url))}",
            "Check that Redis is running there, and check BITMAPIST_REDIS_URL, "
            "the password and any firewall in between.",
        )
        return
    yield Finding("ok", "connection", f"{redact(url)} answers")
    yield _latency(read)
    yield _write_rights(write)
    yield _read_rights(read)
    info = _info(read)
    yield _version(info)
    yield from _memory(info)
    yield from _persistence(info)
    yield from _big_ids(read, events, month)


def client_versions(bitmapist: str, redis_py: str) -> Finding:
    """Say which client talks to the store, and whether the tests run with it.

    Args:
        bitmapist: The version of bitmapist.
        redis_py: The version of redis-py.
    """
    found = f"redis-py {redis_py} with bitmapist {bitmapist}"
    if int(redis_py.partition(".")[0]) in TESTED_REDIS_PY:
        return Finding("ok", "client", f"{found}, a tested pair")
    majors = " or ".join(map(str, TESTED_REDIS_PY))
    return Finding(
        "warning",
        "client",
        f"{found}, a pair that is not tested",
        f"Use redis-py {majors}: the tests run with these.",
    )


def _latency(client: Redis) -> Finding:
    times = []
    for _ in range(PINGS):
        begun = time.perf_counter()
        client.ping()
        times.append((time.perf_counter() - begun) * 1000)
    median = statistics.median(times)
    found = f"{median:.2f} ms for a round trip (median of {PINGS})"
    if median <= SLOW_MS:
        return Finding("ok", "latency", found)
    return Finding(
        "warning",
        "latency",
        found,
        "Each event waits for one round trip: move Redis closer to the app, or "
        "set BITMAPIST_MARK_MODE to 'background'.",
    )


def _write_rights(client: Redis) -> Finding:
    trials: tuple[tuple[str, Callable[[], Any]], ...] = (
        ("SETBIT", lambda: client.setbit(TRIAL_KEY, 0, 1)),
        ("DEL", lambda: client.delete(TRIAL_KEY)),
    )
    refused = [name for name, trial in trials if not _allowed(trial)]
    if not refused:
        return Finding("ok", "marking", "events can be written")
    return Finding(
        "warning" if refused == ["DEL"] else "problem",
        "marking",
        f"refused: {', '.join(refused)}",
        "Allow the user in BITMAPIST_REDIS_URL to run SETBIT, SADD and EXPIRE on "
        "the keys trackist_* and flask-bitmapist:*, on a primary with free "
        "memory.",
    )


def _read_rights(client: Redis) -> Finding:
    trials: tuple[tuple[str, Callable[[], Any]], ...] = (
        ("GETRANGE", lambda: client.getrange(TRIAL_KEY, 0, 7)),
        ("STRLEN", lambda: client.strlen(TRIAL_KEY)),
        ("GETBIT", lambda: client.getbit(TRIAL_KEY, 0)),
        ("BITCOUNT", lambda: client.bitcount(TRIAL_KEY)),
        ("EXISTS", lambda: client.exists(TRIAL_KEY)),
        ("SCAN", lambda: client.scan(0, match=TRIAL_KEY, count=1)),
    )
    refused = [name for name, trial in trials if not _allowed(trial)]
    if not refused:
        return Finding("ok", "reading", "all reports can be read")
    return Finding(
        "warning",
        "reading",
        f"refused: {', '.join(refused)}",
        "Allow the reading user +@read on the keys trackist_* and flask-bitmapist:*. "
        "A store without GETRANGE is read with GET, which takes more memory; without "
        "STRLEN, BITMAPIST_MAX_WORK only takes effect while reading.",
    )


def _allowed(trial: Callable[[], Any]) -> bool:
    try:
        trial()
    except RedisError:
        return False
    return True


def _info(client: Redis) -> dict[str, Any]:
    try:
        info: Any = client.info()
    except RedisError:
        return {}
    first = next(iter(info.values()), None) if info else None
    # A cluster answers with what each of its nodes says.
    return dict(first) if isinstance(first, dict) and "redis_version" in first else info


def _version(info: dict[str, Any]) -> Finding:
    # Valkey says beside its own version which one of Redis it is like.
    version = str(info.get("redis_version", ""))
    parts = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if len(parts) < 2:
        return Finding("ok", "server", "it does not report its version")
    valkey = info.get("valkey_version")
    name = f"Valkey {valkey}" if valkey else f"Redis {version}"
    if parts >= OLDEST_VERSION:
        return Finding("ok", "server", name)
    return Finding(
        "warning",
        "server",
        name,
        "Redis 6.2 is the oldest tested version; please upgrade.",
    )


def _memory(info: dict[str, Any]) -> Iterator[Finding]:
    used, limit = info.get("used_memory"), info.get("maxmemory") or 0
    if used is None:
        return
    found = f"{_megabytes(used)} used" + (f" of {_megabytes(limit)}" if limit else "")
    if limit and used > 0.9 * limit:
        yield Finding(
            "problem",
            "memory",
            found,
            "Raise maxmemory, or delete events you no longer need: Redis will "
            "soon refuse writes.",
        )
    else:
        yield Finding("ok", "memory", found)
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if limit and policy.startswith("allkeys"):
        yield Finding(
            "problem",
            "eviction",
            f"maxmemory-policy is {policy}",
            "Redis may evict events when memory runs short; set noeviction or a "
            "volatile-* policy, or use a separate Redis for analytics.",
        )


def _persistence(info: dict[str, Any]) -> Iterator[Finding]:
    if "aof_enabled" not in info:
        return
    # Redis tells its own start as the time of the last save until it saves.
    started = int(time.time()) - int(info.get("uptime_in_seconds", 0))
    if info["aof_enabled"] or int(info.get("rdb_last_save_time", 0)) > started + 1:
        yield Finding("ok", "persistence", "events survive a Redis restart")
        return
    yield Finding(
        "warning",
        "persistence",
        "Redis has not saved anything since it started and has no append-only file",
        "Unless it has only just started, set 'appendonly yes' or a 'save' "
        "schedule: otherwise a restart loses all events.",
    )


def _big_ids(
    client: Redis, events: Callable[[], Sequence[str]], month: Period
) -> Iterator[Finding]:
    names = list(events())
    keys = [redis_key(Source(name, month)) for name in names]
    pipeline = client.pipeline(transaction=False)
    for key in keys:
        pipeline.strlen(key)
    try:
        found_sizes = zip(pipeline.execute(), names, keys)
        size, name, key = max(found_sizes, default=(0, "", b""))
        # Redis counts the biggest alone, and serves nobody else meanwhile.
        users: Any = client.bitcount(key) if size else 0
    except ResponseError:
        yield Finding(
            "ok", "ids", "this store does not report the sizes of its bitmaps"
        )
        return
    if not size:
        yield Finding("ok", "ids", f"nothing tracked in {month.label}")
        return
    found = (
        f"the largest ID in {month.label} is about {size * 8 - 1:,} ({name!r}); its "
        f"bitmap takes {_megabytes(size)} for {users:,} users"
    )
    if size >= NOTABLE_BYTES and users < size / 1024 * SPARSE_USERS_PER_KB:
        yield Finding(
            "warning",
            "ids",
            found,
            "Large, sparse IDs waste memory in every bitmap. Use small, dense IDs; or "
            "set BITMAPIST_MAX_ID to reject larger ones, or to number them, stop the "
            "apps, delete the events of these users and run 'flask bitmapist id-map "
            "on'.",
        )
    else:
        yield Finding("ok", "ids", found)


def _megabytes(size: int) -> str:
    if size < 1024 * 1024:
        return f"{size / 1024:,.1f} KiB"
    return f"{size / 1024 / 1024:,.1f} MiB"
