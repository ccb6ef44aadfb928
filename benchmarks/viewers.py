"""Measure what viewers of the dashboard cost a busy fleet: `python -m benchmarks.viewers [--sessions N] [--viewers N] …`.

Writers append at a rate. The server is measured three times without the dashboard, and with viewers of one dashboard in turn.
The CPU time and the commands are those of the server (INFO). The difference of both is the cost of the viewers.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.context import ForkServerProcess
from multiprocessing.sharedctypes import Synchronized
from typing import Any
from urllib.parse import urlsplit

import redis

from redis_sessions import AsyncSessionCache, SessionsError
from tests.support.processes import CONTEXT
from tests.support.servers import Server, binaries, free_port

NAMESPACE = "viewers"
MESSAGE = {"role": "assistant", "content": "x" * 370}
_ROUNDS = 3
_WRITER_ROOM = 64
"""Appends that one writer has on the way at once."""


def session_id(number: int) -> str:
    """Return the ID of a session of the fleet."""
    return f"chat:eu-west-1:2026-11-26:{number:032x}abcd"


async def fill(url: str, sessions: int) -> None:
    """Create the sessions."""
    room = asyncio.Semaphore(_WRITER_ROOM)
    async with AsyncSessionCache.from_url(url, namespace=NAMESPACE, retry_for=30) as cache:

        async def create(number: int) -> None:
            async with room:
                await cache.create(session_id(number), user_id=f"user-{number % 997}", agent_id="concierge", ttl="1d")

        await asyncio.gather(*[create(number) for number in range(sessions)])


def write(url: str, sessions: int, rate: float, count: Synchronized[int]) -> None:
    """Append to random sessions, `rate` times a second, until the process is killed. Count the appends that were stored."""
    asyncio.run(_write(url, sessions, rate, count))


async def _write(url: str, sessions: int, rate: float, count: Synchronized[int]) -> None:
    async with AsyncSessionCache.from_url(url, namespace=NAMESPACE, retry_for=30) as cache:
        room, tasks = asyncio.Semaphore(_WRITER_ROOM), set[asyncio.Task[None]]()

        async def append() -> None:
            try:
                await cache.session(session_id(random.randrange(sessions))).append(MESSAGE)
                count.value += 1
            except SessionsError as problem:
                print(f"an append failed: {problem}", file=sys.stderr)
            finally:
                room.release()

        due = time.monotonic()
        while True:
            due = max(due + 1 / rate, time.monotonic() - 1)
            await asyncio.sleep(max(due - time.monotonic(), 0))
            await room.acquire()
            task = asyncio.create_task(append())
            tasks.add(task)
            task.add_done_callback(tasks.discard)


class Viewer:
    """One open first page: it loads the page, and reads its stream until it is closed."""

    def __init__(self, base: str) -> None:
        self._host = urlsplit(base).netloc
        began = time.perf_counter()
        page = self._get("/").read()
        self.seconds = time.perf_counter() - began
        """Seconds until the first page was there."""
        self.weight = len(page) + sum(len(self._get(path).read()) for path in _assets(page.decode()))
        """Bytes of the page with its script, style and icon."""
        self.streamed = 0
        """Bytes of the stream so far."""
        self._stream = self._get("/live/fleet")
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _get(self, path: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(self._host, timeout=60)
        connection.request("GET", path)
        response = connection.getresponse()
        assert response.status == 200, f"{path} answers {response.status}"
        return response

    def _read(self) -> None:
        with suppress(http.client.IncompleteRead):  # the stream was closed
            while data := self._stream.read1(65536):
                self.streamed += len(data)

    def close(self) -> None:
        """End the stream."""
        connection_socket: Any = self._stream.fp.raw
        connection_socket._sock.shutdown(2)
        self._thread.join(10)


def _assets(page: str) -> list[str]:
    found = [part.split('"')[0] for part in page.replace('src="', 'href="').split('href="')[1:]]
    return [path for path in found if path.startswith("/static/")]


@contextmanager
def dashboard(url: str) -> Iterator[str]:
    """Run a dashboard in a process of its own until the end of the block. Yield its URL."""
    port = free_port()
    command = [sys.executable, "-m", "redis_sessions.cli.main", "dashboard", "--url", url, "--namespace", NAMESPACE]
    process = subprocess.Popen([*command, "--listen", f"127.0.0.1:{port}"], stderr=subprocess.DEVNULL)
    try:
        due = time.monotonic() + 60
        while True:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                connection.request("GET", "/")
                connection.getresponse().read()
                break
            except OSError:
                if time.monotonic() > due:
                    raise
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


class Meter:
    """The server's CPU time, the appends of the fleet, and the bytes and commands of the dashboard, over a time."""

    def __init__(self, client: redis.Redis, counts: list[Synchronized[int]]) -> None:
        self._client = client
        self._counts = counts

    def measure(self, seconds: float) -> dict[str, float]:
        """Wait, and return rates a second. `cpu` is the share of one core."""
        before, began = self._read(), time.monotonic()
        time.sleep(seconds)
        after, took = self._read(), time.monotonic() - began
        return {name: (after[name] - before[name]) / took for name in before}

    def _read(self) -> dict[str, float]:
        info = self._client.info()
        return {
            "cpu": info["used_cpu_user"] + info["used_cpu_sys"], "appends": sum(one.value for one in self._counts),
            "commands": info["total_commands_processed"], "bytes_out": info["total_net_output_bytes"],
        }  # fmt: skip


def run(name: str, sessions: int, rate: float, viewers: int, seconds: float, writers: int) -> dict[str, Any]:
    """Return the figures of a run on a server."""
    server = Server(binaries()[name])
    counts = [CONTEXT.Value("l", 0, lock=False) for _ in range(writers)]
    processes: list[ForkServerProcess] = []
    try:
        asyncio.run(fill(server.url, sessions))
        for count in counts:
            processes.append(
                CONTEXT.Process(target=write, args=(server.url, sessions, rate / writers, count), daemon=True)
            )
            processes[-1].start()
        meter = Meter(server.client, counts)
        meter.measure(2)
        idle, watched, opened = [], [], list[Viewer]()
        for _ in range(_ROUNDS):
            idle.append(meter.measure(seconds))
            with dashboard(server.url) as base:
                time.sleep(2)  # the whole fleet is read once
                opened = [Viewer(base) for _ in range(viewers)]
                meter.measure(2)
                watched.append(meter.measure(seconds))
                streamed = sum(one.streamed for one in opened)
                for one in opened:
                    one.close()
        return _figures(idle, watched, opened, streamed) | {"sessions": sessions, "viewers": viewers}
    finally:
        for process in processes:
            process.kill()
            process.join()
        server.stop()


def _figures(
    idle: list[dict[str, float]], watched: list[dict[str, float]], opened: list[Viewer], streamed: int
) -> dict[str, Any]:
    def median(rounds: list[dict[str, float]], name: str) -> float:
        return statistics.median(one[name] for one in rounds)

    each = [watch["cpu"] - alone["cpu"] for alone, watch in zip(idle, watched, strict=True)]
    return {
        "server CPU without viewers, % of a core": 100 * median(idle, "cpu"),
        "server CPU with viewers, % of a core": 100 * median(watched, "cpu"),
        "CPU of the viewers, % of a core (bar 1)": 100 * statistics.median(each),
        "appends a second without viewers": median(idle, "appends"),
        "appends a second with viewers": median(watched, "appends"),
        "fewer appends, % (bar 3)": 100 * (1 - median(watched, "appends") / max(median(idle, "appends"), 1)),
        "commands a second of the viewers": median(watched, "commands") - median(idle, "commands"),
        "first page, ms (bar 300)": 1000 * statistics.median(one.seconds for one in opened),
        "first page, slowest, ms": 1000 * max(one.seconds for one in opened),
        "page weight, KB (bar 200)": max(one.weight for one in opened) / 1000,
        "stream of one viewer, KB": streamed / len(opened) / 1000,
    }


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description="Measure what viewers of the dashboard cost a busy fleet.")
    parser.add_argument("--server", choices=list(binaries()), default="valkey-9")
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=1000.0, help="appends a second")
    parser.add_argument("--viewers", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=20.0, help="of one measurement; there are six")
    parser.add_argument("--writers", type=int, default=2, help="processes that append")
    parser.add_argument("--json", help="a file for the figures")
    given = parser.parse_args()
    figures = run(given.server, given.sessions, given.rate, given.viewers, given.seconds, given.writers)
    for name, value in figures.items():
        print(f"{name:45} {value:12,.2f}")
    if given.json:
        with open(given.json, "w") as file:
            json.dump(figures, file, indent=2)


if __name__ == "__main__":
    main()
