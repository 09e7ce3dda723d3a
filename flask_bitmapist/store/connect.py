"""From a URL to a client."""

from __future__ import annotations

import weakref
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast

from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError
from redis.retry import Retry

from .urls import Address, check_url, parse_url, redact

if TYPE_CHECKING:
    from redis import Redis

__all__ = ["check_url", "open_client", "redact"]

# redis-py has made one option of two, and warns where it is given those.
_NAMELESS: dict[str, None] = (
    {"driver_info": None}
    if find_spec("redis.driver_info")
    else {"lib_name": None, "lib_version": None}
)


def open_client(
    url: str, *, connect_timeout: float, timeout: float, introduce: bool = True
) -> Redis:
    """Open a client for *url*; nothing is sent until it is used.

    Args:
        url: A server as redis-py takes it (``redis://``, ``rediss://``, ``unix://``);
            a cluster, ``redis+cluster://host:port,host:port``; servers that Sentinel
            watches, ``redis+sentinel://host:port,host:port/service/0``; or
            ``memory://`` for a store inside this process.
        connect_timeout: Seconds to wait for a connection.  The URL's own
            ``socket_connect_timeout`` comes first.
        timeout: Seconds to wait for a reply.  The URL's own ``socket_timeout`` comes
            first.
        introduce: Tell the server the name and version of the client library, which
            takes one more round trip for each connection.

    Returns:
        A client of redis-py, or what serves as one.

    Raises:
        ValueError: The URL cannot be used.
        RuntimeError: ``memory://`` is asked for and fakeredis is not installed.
    """
    address = parse_url(url)
    options = {
        # The first choice of newer versions of redis-py is not understood everywhere:
        # bitmapist-server speaks no other.
        "protocol": 2,
        "socket_connect_timeout": connect_timeout,
        "socket_timeout": timeout,
        **address.options,
    }
    if not introduce:
        options.update(_NAMELESS)
    if address.kind != "cluster":  # which follows nodes that are gone by itself
        # A connection that was closed meanwhile is opened again.  A server that is too
        # slow is not asked again: whoever waits for it has waited long enough.
        options.setdefault("retry", Retry(NoBackoff(), 1, (ConnectionError,)))
        options.setdefault("retry_on_error", [ConnectionError])
    client = _OPENERS[address.kind](address, options)
    pool = getattr(client, "connection_pool", None)
    if pool is not None:
        # Apps come and go in tests; their connections go with them.  At the end of
        # the process they are still needed, for marks that wait.
        weakref.finalize(client, pool.disconnect).atexit = False
    return client


def _server(_address: Address, options: dict[str, Any]) -> Redis:
    from redis import BlockingConnectionPool, ConnectionPool, Redis

    pool_class: Any = BlockingConnectionPool
    if "max_connections" not in options:
        # As many connections as threads ask at once.
        return Redis(connection_pool=ConnectionPool(**options))
    # Whoever has set a limit would rather wait than fail.
    options.setdefault("timeout", options["socket_timeout"])
    return Redis(connection_pool=pool_class(**options))


def _cluster(address: Address, options: dict[str, Any]) -> Redis:
    from .cluster import ClusterClient

    # Its class for TLS is found by this; a node that fails is for our own retries.
    options.pop("connection_class", None)
    options.pop("host", None)
    options.pop("port", None)
    return cast("Redis", ClusterClient(address.hosts, ssl=address.tls, **options))


def _sentinel(address: Address, options: dict[str, Any]) -> Redis:
    from redis.sentinel import Sentinel

    for name in ("connection_class", "host", "port", "timeout"):
        options.pop(name, None)
    role = options.pop("role", "master")
    watchers: dict[str, Any] = {
        "username": options.pop("sentinel_username", None),
        "password": options.pop("sentinel_password", None),
        "socket_timeout": options["socket_timeout"],
        "socket_connect_timeout": options["socket_connect_timeout"],
    }
    if address.tls:
        watchers["ssl"] = options["ssl"] = True
        watchers.update(
            (name, value) for name, value in options.items() if name.startswith("ssl_")
        )
    sentinel_class: Any = Sentinel
    sentinel = sentinel_class(address.hosts, sentinel_kwargs=watchers, **options)
    client: Redis = (
        sentinel.master_for(address.service)
        if role == "master"
        else sentinel.slave_for(address.service)
    )
    return client


def _memory(_address: Address, _options: dict[str, Any]) -> Redis:
    try:
        import fakeredis
    except ImportError:
        raise RuntimeError(
            "BITMAPIST_REDIS_URL is 'memory://', which needs fakeredis: "
            "pip install 'flask-bitmapist[memory]'"
        ) from None
    # A server of its own for each app, so that apps do not share events.
    return fakeredis.FakeRedis(server=fakeredis.FakeServer())


_OPENERS = {
    "server": _server,
    "cluster": _cluster,
    "sentinel": _sentinel,
    "memory": _memory,
}
