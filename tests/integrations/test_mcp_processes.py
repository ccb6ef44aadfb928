"""Streams of MCP servers in two processes behind one URL, with the client of the SDK."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

from redis_sessions import SessionCache
from tests.integrations.mcp_server_process import GATE
from tests.support.servers import await_true, free_port

pytestmark = pytest.mark.filterwarnings("ignore")
REPOSITORY = Path(__file__).parents[2]


@dataclass
class Fleet:
    """Two processes with the same MCP server."""

    processes: dict[int, subprocess.Popen[bytes]]
    cache: SessionCache

    @property
    def ports(self) -> list[int]:
        """The ports of the processes."""
        return list(self.processes)

    def open_gate(self) -> None:
        """Let the calls of the tool `count` go on."""
        self.cache.get_or_create(GATE).append({"role": "user", "content": "go"})

    def streams(self) -> list[str]:
        """Return the IDs of the stored streams."""
        return [one.id for one in self.cache.list(100).items if one.id.startswith("mcp/")]


@dataclass
class Router(httpx2.AsyncBaseTransport):
    """A load balancer: new requests go to the first process, and clients that reconnect to the second."""

    ports: list[int]
    inner: httpx2.AsyncHTTPTransport = field(default_factory=httpx2.AsyncHTTPTransport)
    reconnects: list[tuple[dict[str, str], int]] = field(default_factory=list)
    before_reconnect: Callable[[], None] = lambda: None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request to a process."""
        is_reconnect = "last-event-id" in request.headers
        if is_reconnect:
            self.before_reconnect()
        request.url = request.url.copy_with(port=self.ports[is_reconnect])
        response = await self.inner.handle_async_request(request)
        if is_reconnect:
            self.reconnects.append((dict(request.headers), response.status_code))
        return response


@pytest.fixture(scope="module")
def started(engines: Any) -> Iterator[Fleet]:
    """Start two processes on Valkey 9."""
    namespace = f"mcp{os.getpid()}"
    engines.restrict(namespace)
    url = engines.url("valkey-9")
    with SessionCache.from_url(url, namespace=namespace) as cache:
        processes = {port: _start(port, url, namespace) for port in (free_port(), free_port())}
        try:
            yield Fleet(processes, cache)
        finally:
            for process in processes.values():
                process.kill()
                process.wait()


@pytest.fixture
def fleet(started: Fleet) -> Fleet:
    """Return two running processes, without sessions."""
    cache = started.cache
    for port, process in started.processes.items():
        if process.poll() is not None:
            started.processes[port] = _start(port, cache.where, cache.namespace)
        await_true(lambda port=port: _answers(port))  # type: ignore[misc]
    for one in cache.list(100).items:
        cache.delete(one.id)
    return started


def _start(port: int, url: str, namespace: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.integrations.mcp_server_process", str(port), url, namespace]
    return subprocess.Popen(command, cwd=REPOSITORY)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@asynccontextmanager
async def connected(router: Router, told: list[Any]) -> AsyncIterator[Client]:
    """Connect the client of the SDK through a load balancer, and keep what the server tells it."""

    async def keep(params: Any) -> None:
        told.append(params.data)

    async with httpx2.AsyncClient(transport=router, timeout=20) as http:
        transport = streamable_http_client(f"http://127.0.0.1:{router.ports[0]}/mcp", http_client=http)
        async with Client(transport, mode="legacy", logging_callback=keep) as client:
            yield client


async def _reconnect(router: Router) -> None:
    async with asyncio.timeout(20):
        while not router.reconnects:
            await asyncio.sleep(0.01)


def test_clients_resume_calls_at_other_process(fleet: Fleet) -> None:
    """Two clients with the same request IDs lose their streams, and another process has all the rest for each, once.

    The other process tells a client what came before it reconnected, and what comes while it listens. It tells neither client
    anything for an event ID of the other client.
    """
    names = ("a", "b")
    routers = [Router(fleet.ports) for _ in names]
    told: list[list[Any]] = [[] for _ in names]

    async def main() -> None:
        async with connected(routers[0], told[0]) as first, connected(routers[1], told[1]) as second:
            calls = [
                asyncio.create_task(client.call_tool("count", {"name": name, "numbers": 50}))
                for client, name in zip((first, second), names, strict=True)
            ]
            for router in routers:
                await _reconnect(router)
            await asyncio.to_thread(fleet.open_gate)
            results = [await asyncio.wait_for(call, 20) for call in calls]
            assert [one.content[0].text for one in results] == ["a is done", "b is done"]
            await _assert_foreign_event_is_refused(fleet, [router.reconnects[0][0] for router in routers])
            assert fleet.streams()

    asyncio.run(main())
    assert told == [[f"{name} {number}" for number in range(1, 51)] for name in names]
    assert all(status == 200 for router in routers for _, status in router.reconnects)
    await_true(lambda: not fleet.streams())  # each client has ended its MCP session


async def _assert_foreign_event_is_refused(fleet: Fleet, headers: list[dict[str, str]]) -> None:
    """Check that a client cannot resume a stream of another client, and that other wrong requests are refused."""
    mine, other = headers
    foreign = {**mine, "last-event-id": other["last-event-id"]}
    wrong = {
        404: [foreign, {**mine, "mcp-session-id": "none"}, {**mine, "last-event-id": "x"}],
        406: [{**mine, "accept": "application/json"}],
        421: [{**mine, "host": "evil.example"}],
    }
    async with httpx2.AsyncClient() as http:
        for status, requests in wrong.items():
            for request in requests:
                url = f"http://127.0.0.1:{fleet.ports[1]}/mcp"
                given = {name: value for name, value in request.items() if name in _SENT}
                assert (await http.get(url, headers=given)).status_code == status


_SENT = ("accept", "mcp-session-id", "mcp-protocol-version", "last-event-id", "host")


def test_finished_call_is_resumed_after_its_process_died(fleet: Fleet) -> None:
    """A client whose process was killed after the answer was stored gets everything from the other process, once."""
    router, told = Router(fleet.ports), []

    def kill_when_done() -> None:
        fleet.open_gate()
        await_true(lambda: any(_is_done(fleet.cache, id) for id in fleet.streams()))
        fleet.processes[fleet.ports[0]].kill()
        fleet.processes[fleet.ports[0]].wait()
        router.ports = [fleet.ports[1], fleet.ports[1]]

    router.before_reconnect = kill_when_done

    async def main() -> None:
        async with connected(router, told) as client:
            await client.list_tools()  # else the client asks for the tools when it has the result
            result = await asyncio.wait_for(client.call_tool("count", {"name": "a", "numbers": 30}), 20)
            assert result.content[0].text == "a is done"
            assert told == [f"a {number}" for number in range(1, 31)]

    asyncio.run(main())


def _is_done(cache: SessionCache, id: str) -> bool:
    return any("is done" in str(one.payload.get("data")) for one in cache.session(id).history())


def test_example_resumes_its_call_at_second_server() -> None:
    """The example prints what both servers tell its client."""
    command = [sys.executable, str(REPOSITORY / "examples" / "integrations" / "mcp_resume.py"), "fake://"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=REPOSITORY)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert "GET goes to server 2" in lines
    assert lines.index("progress: looking in the station") < lines.index("result: The bag is in the station.")
