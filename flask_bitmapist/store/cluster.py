"""Redis Cluster: each key is asked for at the node that holds it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import redis
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    RedisClusterException,
    TryAgainError,
)

from .lending import Lender
from .pipeline import (
    DIRECT,
    Command,
    DirectTransport,
    Exchange,
    PendingReplies,
    PipelinedTransport,
    Repeated,
    Transport,
    largest_reply,
    packed_commands,
)
from .replies import Part, part_of

# Answers of a node that the key is elsewhere, or on its way.
_ELSEWHERE = (MovedError, AskError, TryAgainError, ClusterDownError)


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
            redis.RedisError: No node answers.
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


class ClusterTransport:
    """Sends to all nodes at once, and follows keys that have moved.

    The pipeline of redis-py would ask again, key by key, at a node that is too slow.

    Args:
        client: A client of a cluster.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def ask(
        self, command: str, keys: Sequence[bytes], *arguments: int
    ) -> PendingReplies:
        """Send *command* once for each key, all with the same arguments."""
        return self.send([(command, key, *arguments) for key in keys])

    def send(self, commands: Sequence[Command]) -> PendingReplies:
        """Send *commands*, each to the node that holds its key.

        They may be carried out twice, if a connection fails.
        """

        def connect() -> _NodesRead:
            return _NodesRead(self._cluster, commands)

        return Repeated(connect, lambda: refresh(self._cluster))

    @property
    def _cluster(self) -> Any:
        client = self._client
        return client.cluster if isinstance(client, ClusterClient) else client


class _NodesRead:
    """One exchange with each node that holds some of the keys."""

    def __init__(self, cluster: Any, commands: Sequence[Command]) -> None:
        self._cluster = cluster
        self._commands = commands
        self._exchanges: list[tuple[list[int], Exchange]] = []
        # A replica answers for its primary where the URL allows it.
        replicas = bool(getattr(cluster, "read_from_replicas", False))
        try:
            for pool, places in _places(cluster, commands, replicas):
                request = packed_commands([commands[place] for place in places])
                command, _, *arguments = commands[places[0]]
                largest = largest_reply(command, arguments)
                exchange = Exchange(Lender(pool), request, len(places), largest)
                self._exchanges.append((places, exchange))
        except BaseException:
            self.cancel()
            raise

    def send(self) -> None:
        for _, exchange in self._exchanges:
            exchange.send()

    def result(self, part: Part | None = None) -> Sequence[Any]:
        replies: list[Any] = [None] * len(self._commands)
        for places, exchange in self._exchanges:
            for place, reply in zip(places, exchange.result(part)):
                replies[place] = reply
        self._exchanges = []
        for place, reply in enumerate(replies):
            if isinstance(reply, _ELSEWHERE):
                value = self._follow(self._commands[place])
                replies[place] = part_of(value, part)
        return replies

    def cancel(self) -> None:
        for _, exchange in self._exchanges:
            exchange.cancel()
        self._exchanges = []

    def _follow(self, command: Command) -> Any:
        # redis-py follows the key, and remembers where it found it.
        try:
            return self._cluster.execute_command(*command)
        except redis.ResponseError as error:
            return error
        except RedisClusterException as error:
            raise _plain_error(error) from error


def _places(
    cluster: Any, commands: Sequence[Command], replicas: bool
) -> list[tuple[Any, list[int]]]:
    """Return the pool of each node, with the indexes of the commands for it."""
    places: dict[str, list[int]] = {}
    nodes = {}
    try:
        for place, command in enumerate(commands):
            node = (
                replicas and cluster.get_node_from_key(command[1], replica=True)
            ) or cluster.get_node_from_key(command[1])
            nodes[node.name] = node
            places.setdefault(node.name, []).append(place)
    except RedisClusterException as error:
        raise _plain_error(error) from error
    return [
        (cluster.get_redis_connection(nodes[name]).connection_pool, each)
        for name, each in places.items()
    ]


def refresh(cluster: Any) -> None:
    """Ask a cluster again which node holds what."""
    try:
        cluster.nodes_manager.initialize()
    except RedisClusterException as error:
        raise _plain_error(error) from error


def send_to_nodes(client: Any, commands: Sequence[Command]) -> list[Any]:
    """Send writes in one pipeline to each node that holds some of their keys.

    redis-py's own pipeline of a cluster would ask again, key by key, at a node that is
    too slow; here such a node is waited for once.

    Args:
        client: A client of a cluster.
        commands: Each a name, a key and arguments; they may be carried out twice, if a
            connection fails.

    Returns:
        The replies in order, errors among them.

    Raises:
        redis.RedisError: A node cannot be reached, or does not answer.
    """
    replies: list[Any] = [None] * len(commands)
    try:
        cluster = client.cluster if isinstance(client, ClusterClient) else client
        for node, places in _nodes(cluster, commands):
            pipeline = cluster.get_redis_connection(node).pipeline(transaction=False)
            for place in places:
                pipeline.execute_command(*commands[place])
            try:
                found = pipeline.execute(raise_on_error=False)
            except redis.ConnectionError as error:
                found = [error] * len(places)
            for place, reply in zip(places, found):
                if isinstance(reply, (*_ELSEWHERE, redis.ConnectionError)):
                    # redis-py follows the key, and remembers where it found it.
                    reply = _followed(cluster, commands[place])
                replies[place] = reply
    except RedisClusterException as error:
        raise _plain_error(error) from error
    return replies


def _followed(cluster: Any, command: Command) -> Any:
    try:
        return cluster.execute_command(*command)
    except redis.ResponseError as error:
        return error


def _nodes(cluster: Any, commands: Sequence[Command]) -> list[tuple[Any, list[int]]]:
    """Return the nodes, each with the indexes of the commands for it."""
    places: dict[str, tuple[Any, list[int]]] = {}
    for place, command in enumerate(commands):
        node = cluster.get_node_from_key(command[1])
        places.setdefault(node.name, (node, []))[1].append(place)
    return list(places.values())


def _plain_error(error: RedisClusterException) -> redis.RedisError:
    """Return an error of redis-py's usual kind, for its own of clusters is none."""
    if isinstance(error.__cause__, redis.TimeoutError):
        return redis.TimeoutError(str(error))
    return redis.ConnectionError(str(error))


def transport(client: Any) -> Transport:
    """Return the fastest way to read through *client*."""
    if is_cluster(client):
        return ClusterTransport(client)
    pool = getattr(client, "connection_pool", None)
    if getattr(pool, "connection_class", None) in DIRECT:
        return DirectTransport(client)
    return PipelinedTransport(client)
