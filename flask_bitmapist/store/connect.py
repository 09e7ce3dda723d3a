"""From a URL to a client, and from commands to the nodes of a cluster."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast

from redis import Connection, ConnectionPool, RedisError
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import (
    AskError,
    ClusterDownError,
    ConnectionError,
    MovedError,
    RedisClusterException,
    ResponseError,
    TimeoutError,
    TryAgainError,
)
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
    from redis import BlockingConnectionPool, Redis

    pool_class: Any = BlockingConnectionPool
    if "max_connections" not in options:
        # As many connections as threads ask at once.
        return Redis(connection_pool=ConnectionPool(**options))
    # Whoever has set a limit would rather wait than fail.
    options.setdefault("timeout", options["socket_timeout"])
    return Redis(connection_pool=pool_class(**options))


def _cluster(address: Address, options: dict[str, Any]) -> Redis:
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
        "retry": options["retry"],
        "retry_on_error": options["retry_on_error"],
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


_NO_FAKEREDIS = (
    "a store in memory (memory://) needs fakeredis: "
    "pip install 'flask-bitmapist[memory]', or set BITMAPIST_REDIS_URL"
)


def _memory(_address: Address, _options: dict[str, Any]) -> Redis:
    try:
        import fakeredis
    except ImportError:
        raise RuntimeError(_NO_FAKEREDIS) from None
    # A server of its own for each app, so that apps do not share events.
    return fakeredis.FakeRedis(server=fakeredis.FakeServer())


class _Nowhere(Connection):
    """Leads to no server."""

    def connect(self, *_arguments: Any, **_options: Any) -> None:
        raise ConnectionError(f"in tests (TESTING) {_NO_FAKEREDIS}")


def open_for_tests() -> tuple[Redis, bool]:
    """Open a store inside this process, and return whether it is there.

    Without fakeredis it is not: all that is asked of it fails, and says what is not
    installed.
    """
    if find_spec("fakeredis"):
        return _memory(Address("memory"), {}), True
    from redis import Redis

    return Redis(connection_pool=ConnectionPool(connection_class=_Nowhere)), False


def require_fakeredis() -> None:
    """Check that a store inside this process can be opened.

    Raises:
        RuntimeError: It cannot.
    """
    if find_spec("fakeredis") is None:
        raise RuntimeError(_NO_FAKEREDIS)


_OPENERS = {
    "server": _server,
    "cluster": _cluster,
    "sentinel": _sentinel,
    "memory": _memory,
}


# -- Redis Cluster: each key is asked for at the node that holds it

Command = tuple[Any, ...]
"""Its name, its key and its arguments."""

# A node has not got the key, or not yet, or is not there any more.
_ELSEWHERE = (
    *(MovedError, AskError, TryAgainError, ClusterDownError),
    ConnectionError,
)


class ClusterClient:
    """redis-py's client of a cluster, made when it is first used.

    RedisCluster asks the cluster for its nodes as soon as it is made; an app shall
    start although its Redis does not answer.

    Args:
        hosts: Hosts and ports of nodes to ask for all others.
        **options: Further arguments of RedisCluster.
    """

    def __init__(self, hosts: Sequence[tuple[str, int]], **options: Any) -> None:
        self._hosts = hosts
        self._options = options
        self._lock = threading.Lock()
        self._cluster: Any = None

    @property
    def cluster(self) -> Any:
        """The RedisCluster of redis-py.

        Raises:
            RedisError: No node answers.
        """
        if self._cluster is None:
            with self._lock:
                if self._cluster is None:
                    self._cluster = self._connect()
        return self._cluster

    def _connect(self) -> Any:
        node: Any = ClusterNode
        nodes = [node(host, port) for host, port in self._hosts]
        try:
            return RedisCluster(startup_nodes=nodes, **self._options)
        except RedisClusterException as error:
            raise _plain_error(error) from error

    def __getattr__(self, name: str) -> Any:
        # Asking for what a client of a cluster does not have must not connect.
        if not hasattr(RedisCluster, name):
            raise AttributeError(f"a client of a cluster has no {name!r}")
        return getattr(self.cluster, name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self._hosts)} hosts>"


def is_cluster(client: object) -> bool:
    """Return whether *client* is one of a cluster."""
    return isinstance(client, ClusterClient | RedisCluster)


def send(
    client: Any, commands: Sequence[Command], *, writes: bool = False
) -> list[Any]:
    """Send commands in one round trip, or of a cluster in one to each node.

    Args:
        client: A redis-py client.
        commands: Each a name, a key and arguments.
        writes: Whether they write, which no replica takes.

    Returns:
        The replies in order, errors among them.

    Raises:
        redis.RedisError: The store cannot be reached, or does not answer.
    """
    if not commands:
        return []
    if is_cluster(client):
        return send_to_nodes(client, commands, writes=writes)
    pipeline = client.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)
    replies: list[Any] = pipeline.execute(raise_on_error=False)
    return replies


def send_to_nodes(
    client: Any, commands: Sequence[Command], *, writes: bool = False
) -> list[Any]:
    """Send commands in one pipeline to each node that holds some of their keys.

    redis-py's own pipeline of a cluster would ask again, key by key, at a node that is
    too slow; here such a node is waited for once.

    Args:
        client: A client of a cluster.
        commands: Each a name, a key and arguments.  They may be carried out twice, if
            a connection fails.
        writes: Whether they write, which no replica takes.

    Returns:
        The replies in order, errors among them.

    Raises:
        RedisError: A node cannot be reached, or does not answer.
    """
    replies: list[Any] = [None] * len(commands)
    try:
        cluster = client.cluster if isinstance(client, ClusterClient) else client
        for node, places in _places(cluster, commands, writes):
            pipeline = cluster.get_redis_connection(node).pipeline(transaction=False)
            for place in places:
                pipeline.execute_command(*commands[place])
            try:
                found = pipeline.execute(raise_on_error=False)
            except ConnectionError as error:
                found = [error] * len(places)
            for place, reply in zip(places, found):
                if isinstance(reply, _ELSEWHERE):
                    # redis-py follows the key, and remembers where it found it.
                    reply = _followed(cluster, commands[place])
                replies[place] = reply
    except RedisClusterException as error:
        raise _plain_error(error) from error
    return replies


def connection_to(client: Any, key: bytes) -> Any:
    """Return a client of the node that holds *key*.

    Args:
        client: A client of a cluster.
        key: The key.

    Raises:
        redis.RedisError: No node answers.
    """
    try:
        cluster = client.cluster if isinstance(client, ClusterClient) else client
        return cluster.get_redis_connection(cluster.get_node_from_key(key))
    except RedisClusterException as error:
        raise _plain_error(error) from error


def _followed(cluster: Any, command: Command) -> Any:
    try:
        return cluster.execute_command(*command)
    except ResponseError as error:
        return error


def _places(
    cluster: Any, commands: Sequence[Command], writes: bool
) -> list[tuple[Any, list[int]]]:
    """Return the nodes, each with the indexes of the commands for it."""
    # A replica answers for its primary where the URL allows it.
    replicas = cluster.read_from_replicas and not writes
    places: dict[str, tuple[Any, list[int]]] = {}
    for place, command in enumerate(commands):
        node = (
            replicas and cluster.get_node_from_key(command[1], replica=True)
        ) or cluster.get_node_from_key(command[1])
        places.setdefault(node.name, (node, []))[1].append(place)
    return list(places.values())


def _plain_error(error: RedisClusterException) -> RedisError:
    """Return an error of redis-py's usual kind, for its own of clusters is none."""
    if isinstance(error.__cause__, TimeoutError):
        return TimeoutError(str(error))
    return ConnectionError(str(error))
