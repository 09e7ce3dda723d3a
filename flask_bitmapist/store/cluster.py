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

Command = tuple[Any, ...]
"""Its name, its key and its arguments."""

# A node has not got the key, or not yet, or is not there any more.
_ELSEWHERE = (
    *(MovedError, AskError, TryAgainError, ClusterDownError),
    redis.ConnectionError,
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
        redis.RedisError: A node cannot be reached, or does not answer.
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
            except redis.ConnectionError as error:
                found = [error] * len(places)
            for place, reply in zip(places, found):
                if isinstance(reply, _ELSEWHERE):
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


def _plain_error(error: RedisClusterException) -> redis.RedisError:
    """Return an error of redis-py's usual kind, for its own of clusters is none."""
    if isinstance(error.__cause__, redis.TimeoutError):
        return redis.TimeoutError(str(error))
    return redis.ConnectionError(str(error))
