"""Servers that belong together: clusters, replicas and Sentinel, on loopback."""

from __future__ import annotations

import contextlib
import random
import subprocess
import time
from collections.abc import Callable, Iterator

import redis
from redis.crc import key_slot

from .servers import RedisProcess, find_redis_server, free_port

SLOTS = 16384
WAIT_SECONDS = 60.0


def wait_until(true: Callable[[], object]) -> None:
    """Wait until something has come about, which errors of Redis may precede."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        with contextlib.suppress(redis.RedisError):
            if true():
                return
        if time.monotonic() > deadline:
            raise AssertionError("it has not come about")
        time.sleep(0.02)


class Cluster:
    """A real cluster of three primaries, and what is known of it.

    Args:
        *options: More options of each redis-server.
    """

    def __init__(self, *options: str) -> None:
        self.nodes = [_cluster_node(*options) for _ in range(3)]

    @property
    def hosts(self) -> str:
        return ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    @property
    def url(self) -> str:
        return f"redis+cluster://{self.hosts}"

    def __enter__(self) -> Cluster:
        try:
            for node in self.nodes:
                node.start()
            self._join()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        for node in self.nodes:
            node.stop()

    def _join(self) -> None:
        first = self.nodes[0]
        for number, node in enumerate(self.nodes):
            start, stop = (SLOTS * each // 3 for each in (number, number + 1))
            with node.client() as client:
                client.execute_command("CLUSTER ADDSLOTS", *range(start, stop))
                client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
                client.execute_command("CLUSTER MEET", "127.0.0.1", first.port)
        for node in self.nodes:
            with node.client() as client:
                wait_until(lambda client=client: self._is_joined(client))

    def _is_joined(self, client: redis.Redis) -> bool:
        info = client.execute_command("CLUSTER INFO")
        nodes = client.execute_command("CLUSTER NODES")
        return info["cluster_state"] == "ok" and len(nodes) == len(self.nodes)

    @contextlib.contextmanager
    def slot_moved(self, key: bytes) -> Iterator[None]:
        """Move a key and its slot to another node, and back again afterwards."""
        slot = key_slot(key)
        home = next(number for number in range(3) if slot < SLOTS * (number + 1) // 3)
        source, target = self.nodes[home], self.nodes[home - 1]
        self._move(slot, source, target)
        yield
        self._move(slot, target, source)

    def _move(self, slot: int, source: RedisProcess, target: RedisProcess) -> None:
        with source.client() as giving, target.client() as taking:
            giver = giving.execute_command("CLUSTER MYID").decode()
            taker = taking.execute_command("CLUSTER MYID").decode()
            taking.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", giver)
            giving.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", taker)
            for key in giving.execute_command("CLUSTER GETKEYSINSLOT", slot, 100):
                giving.execute_command(
                    "MIGRATE", "127.0.0.1", target.port, key, 0, 5000
                )
        for node in (target, source, *self.nodes):
            with node.client() as client:
                client.execute_command("CLUSTER SETSLOT", slot, "NODE", taker)


def _cluster_node(*options: str) -> RedisProcess:
    return RedisProcess(
        *("--cluster-enabled", "yes", "--cluster-node-timeout", "5000"),
        *options,
        port=_port_with_bus(),
    )


def _port_with_bus() -> int:
    """Return a free port with which the one of the cluster's bus is free too."""
    while True:
        port = free_port()
        bus = port + 10_000
        if bus < 65_536 and free_port(bus) == bus:
            return port
        # Ports are given out from the upper half: look in the lower one.
        port = random.randrange(20_000, 32_000)
        if free_port(port) == port and free_port(port + 10_000) == port + 10_000:
            return port


@contextlib.contextmanager
def replica_of(primary: RedisProcess, *options: str) -> Iterator[RedisProcess]:
    """Give a replica that has caught up with its primary."""
    with RedisProcess(
        *("--replicaof", "127.0.0.1", str(primary.port)), *options
    ) as replica:
        wait_until_in_step(primary, replica)
        yield replica


def wait_until_in_step(primary: RedisProcess, replica: RedisProcess) -> None:
    """Wait until a replica has everything that its primary has."""
    with primary.client() as writer, replica.client() as reader:
        wait_until(lambda: reader.info("replication")["master_link_status"] == "up")
        offset = writer.info("replication")["master_repl_offset"]
        wait_until(lambda: reader.info("replication")["slave_repl_offset"] >= offset)


class Watched:
    """A primary, a replica, and a Sentinel that makes the latter the primary."""

    SERVICE = "events"

    def __init__(self) -> None:
        self.servers = [RedisProcess(), RedisProcess()]
        self.sentinel: RedisProcess | None = None

    @property
    def hosts(self) -> str:
        assert self.sentinel is not None
        return f"127.0.0.1:{self.sentinel.port}"

    @property
    def url(self) -> str:
        return f"redis+sentinel://{self.hosts}/{self.SERVICE}"

    def __enter__(self) -> Watched:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        for server in (*self.servers, self.sentinel):
            if server is not None:
                server.stop()

    def _start(self) -> None:
        primary, replica = self.servers
        primary.start()
        replica.start()
        with replica.client() as client:
            client.replicaof("127.0.0.1", primary.port)
        wait_until_in_step(primary, replica)
        self.sentinel = self._start_sentinel(primary)
        with self.sentinel.client() as client:
            wait_until(lambda: client.sentinel_slaves(self.SERVICE))

    def _start_sentinel(self, primary: RedisProcess) -> RedisProcess:
        sentinel = SentinelProcess()
        sentinel.configure(
            f"sentinel monitor {self.SERVICE} 127.0.0.1 {primary.port} 1",
            f"sentinel down-after-milliseconds {self.SERVICE} 1500",
            f"sentinel failover-timeout {self.SERVICE} 5000",
        )
        return sentinel.start()

    def fail_over(self) -> None:
        """Kill the primary and wait until the replica has taken its place."""
        self.servers[0].kill()
        wait_until(self._is_failed_over)

    def _is_failed_over(self) -> bool:
        assert self.sentinel is not None
        with self.sentinel.client() as client:
            state = client.sentinel_masters()[self.SERVICE]
        return bool(
            state["port"] == self.servers[1].port and state["flags"] == "master"
        )


class SentinelProcess(RedisProcess):
    """A Sentinel of the tests' own."""

    def configure(self, *lines: str) -> None:
        """Write its configuration, which it will rewrite."""
        log = f"logfile {self.folder / 'server.log'}"
        start = (f"port {self.port}", "bind 127.0.0.1", log)
        text = "\n".join((*start, f"dir {self.folder}", *lines))
        (self.folder / "sentinel.conf").write_text(f"{text}\n")

    def start(self) -> RedisProcess:
        """Start it and wait until it answers."""
        executable = find_redis_server()
        assert executable is not None, "there is no redis-server"
        self._process = subprocess.Popen(
            [executable, str(self.folder / "sentinel.conf"), "--sentinel"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        with self.client() as client:
            wait_until(lambda: client.ping())
        return self
