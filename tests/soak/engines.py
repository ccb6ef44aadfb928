"""The servers of a soak: a master with a replica and sentinels, or a cluster with replicas, all with append-only files."""

from __future__ import annotations

import random
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import redis
from redis.crc import key_slot

from tests.soak.clocks import remove_shared_memory, set_clock, with_settable_clock
from tests.support.servers import PortTaken, Sentinels, Server, await_true, binaries, cluster
from tests.support.slots import move_slot, move_slot_at_once, serves

DURABLE = ("--appendonly", "yes", "--appendfsync", "always", "--repl-diskless-sync-delay", "0",
           "--logfile", "server.log")  # fmt: skip
NO_LOSS = ("--cluster-replica-no-failover", "yes")
"""A replica takes over only when it is asked to, because an election may lose what was acknowledged."""
_FAIL_OVER_SECONDS = 15.0
_TRIES = 5
"""Attempts to start a server again, whose port another process may have taken, or to move a slot."""
_SILENCE_MS = 600_000
"""The sentinels elect no master by themselves, for the same reason."""


class Service(ABC):
    """Servers that can be restarted and can hand over to their replicas."""

    def __init__(self, nodes: list[Server], url: str, has_clocks: bool) -> None:
        self.nodes = nodes
        self.url = url
        self.has_clocks = has_clocks
        self.problems: list[str] = []
        """Failovers that did not happen, and starts of servers and moves of slots that were tried again."""
        self.version = ""
        found = nodes[0].client.info("server")
        for name in ("valkey", "redis"):
            if not self.version and f"{name}_version" in found:
                self.version = f"{name} {found[f'{name}_version']}"

    def proxied_url(self, ports: dict[int, int]) -> str:
        """Return the URL with which a client reaches all nodes through proxies."""
        rules = ",".join(f"127.0.0.1:{node}=127.0.0.1:{proxy}" for node, proxy in ports.items())
        return f"{self.url}?address_remap={rules}"

    def masters(self) -> list[Server]:
        """Return the nodes that are masters."""
        return [node for node in self.nodes if node.client.execute_command("ROLE")[0] == b"master"]

    def await_whole(self) -> None:
        """Return when each replica is connected to its master."""
        await_true(self._is_whole, 60)

    def _is_whole(self) -> bool:
        masters = self.masters()
        replicas = [node for node in self.nodes if node not in masters]
        return len(masters) * 2 == len(self.nodes) and all(
            node.client.info("replication")["master_link_status"] == "up" for node in replicas
        )

    def restart(self, node: Server) -> None:
        """Kill a node, and start it again with its append-only file."""
        node.kill()
        remove_shared_memory(node.process.pid)
        time.sleep(random.uniform(0, 0.3))
        for _ in range(_TRIES):
            try:
                node.start()
                return
            except (redis.RedisError, PortTaken) as problem:
                self.problems.append(f"{node.port} did not start: {problem!r}; {_last_lines(node)}")
                time.sleep(1.0)
        raise TimeoutError(f"server {node.port} did not start")

    def set_clock(self, offset: float) -> None:
        """Set the clocks of all nodes: the first one to the offset, and each other one to another offset up to that."""
        for node in self.nodes:
            set_clock(node, offset)
            offset = random.uniform(-abs(offset), abs(offset))

    def forget_processes(self) -> None:
        """Remove what the processes of the nodes leave behind."""
        for node in self.nodes:
            remove_shared_memory(node.process.pid)

    @abstractmethod
    def fail_over(self) -> None:
        """Let a replica take over from its master without loss."""


class Single(Service):
    """A master with a replica, and sentinels that learn of each failover by a command."""

    def __init__(self, sentinels: Sentinels, has_clocks: bool) -> None:
        super().__init__(sentinels.nodes, sentinels.url, has_clocks)
        self._sentinels = sentinels
        for sentinel in sentinels.sentinels:
            self._slow_down_election(sentinel)

    def _slow_down_election(self, sentinel: Server) -> None:
        sentinel.client.execute_command("SENTINEL", "SET", Sentinels.service, "down-after-milliseconds", _SILENCE_MS)

    def restart(self, node: Server) -> None:
        (other,) = (one for one in self.nodes if one is not node)
        is_master = node in self.masters()
        node.options = tuple(re.sub(r"--replicaof 127.0.0.1 \d+ ?", "", " ".join(node.options)).split())
        if not is_master:
            node.options = ("--replicaof", "127.0.0.1", str(other.port), *node.options)
        super().restart(node)

    def fail_over(self) -> None:
        (before,) = self.masters()
        (after,) = (node for node in self.nodes if node is not before)
        before.client.execute_command("FAILOVER", "TIMEOUT", 5000)
        try:
            await_true(lambda: self.masters() == [after], _FAIL_OVER_SECONDS)
        except TimeoutError:  # the master went on, because its replica was slow
            self.problems.append(f"{after.port} did not take over within {_FAIL_OVER_SECONDS} s")
        self._name_master()

    def _name_master(self) -> None:
        """Tell the sentinels which server is the master."""
        (master,) = self.masters()
        for sentinel in self._sentinels.sentinels:
            sentinel.client.execute_command("SENTINEL", "REMOVE", Sentinels.service)
            sentinel.client.execute_command("SENTINEL", "MONITOR", Sentinels.service, "127.0.0.1", master.port, 2)
            self._slow_down_election(sentinel)


class Clustered(Service):
    """Three masters and three replicas."""

    def _is_whole(self) -> bool:
        is_known = all(
            b"cluster_state:ok" in _text(node.client.execute_command("CLUSTER", "INFO")) for node in self.nodes
        )
        return is_known and super()._is_whole()

    def fail_over(self) -> None:
        masters = self.masters()
        replica = random.choice([node for node in self.nodes if node not in masters])
        replica.client.execute_command("CLUSTER", "FAILOVER")
        await_true(lambda: replica in self.masters(), _FAIL_OVER_SECONDS)

    def move_slot(self) -> None:
        source, target = random.sample(self.masters(), 2)
        key: Any = source.client.randomkey()
        if key is None or b"{" not in key:
            return
        slot = key_slot(key)
        for is_atomic in (self.version.startswith("valkey 9") and random.random() < 0.5, *[False] * _TRIES):
            try:
                if is_atomic:
                    move_slot_at_once(slot, source, target)
                else:
                    move_slot(slot, source, target, keys_at_once=20)
                break
            except (
                redis.RedisError,
                TimeoutError,
            ) as problem:  # a slot that stays between two masters serves no script
                self.problems.append(f"slot {slot} did not move: {type(problem).__name__} {problem}")
                if is_atomic:
                    source.client.execute_command("CLUSTER", "CANCELSLOTMIGRATIONS")
                time.sleep(1.0)
        await_true(lambda: all(not serves(node, slot) for node in self.nodes if node is not target))


def _last_lines(node: Server) -> str:
    log = Path(node.folder) / "server.log"
    return log.read_text(errors="replace")[-1500:] if log.exists() else "no log"


def _text(reply: object) -> bytes:
    return reply if isinstance(reply, bytes) else str(reply).encode()


@contextmanager
def service(engine: str, folder: Path) -> Iterator[Service]:
    """Start the servers of an engine."""
    binary = binaries()["valkey-9" if engine == "cluster" else engine]
    program = with_settable_clock(binary, folder)
    found: Service
    with ExitStack() as stack:
        if engine == "cluster":
            nodes = stack.enter_context(cluster(program, replicas=1, options=[*DURABLE, *NO_LOSS]))
            hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
            found = Clustered(nodes, f"redis+cluster://{hosts}", program != binary)
        else:
            sentinels = Sentinels(program, 1, DURABLE)
            stack.callback(sentinels.stop)
            found = Single(sentinels, program != binary)
        yield found
    found.forget_processes()
