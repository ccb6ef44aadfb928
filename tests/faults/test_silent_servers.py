"""Servers that accept and never answer, or stop: each of many callers has an error within its bound."""

from __future__ import annotations

import asyncio
import re
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from redis_sessions import AsyncSessionCache, OutcomeUnknown, SessionCache, StoreUnavailable
from redis_sessions._core.protocol.transport_errors import ConnectionLost
from redis_sessions._sync.transport.connect import connector
from redis_sessions._sync.transport.connections import NodeClient
from redis_sessions._sync.transport.notifications import NotificationHub
from redis_sessions.engines import from_url
from tests.support.machine_load import measured_load
from tests.support.servers import Sentinels, Server, await_true, binaries, cluster
from tests.support.sockets import forwarder, silent_ports

OPTIONS: dict[str, Any] = {"timeout": 1, "retry_for": 2}
BOUND_SECONDS = 3.5
X = {"role": "user", "content": "x"}
MAX_BYTES = 16 * 1024 * 1024
BIG = {"role": "user", "content": "x" * 10_000_000}
URLS: dict[str, Callable[[list[int]], str]] = {
    "single": lambda ports: f"redis://127.0.0.1:{ports[0]}",
    "sentinel": lambda ports: f"redis+sentinel://{hosts(ports)}/sessions",
    "cluster": lambda ports: f"redis+cluster://{hosts(ports)}",
}
CALLERS = [1, 50, 200]


def hosts(ports: list[int]) -> str:
    """Return the addresses of ports of this machine, as URLs have them."""
    return ",".join(f"127.0.0.1:{port}" for port in ports)


def outcomes_of_threads(calls: list[Callable[[], Any]]) -> tuple[list[str], float]:
    """Run each call in a thread. Return the names of their errors, or "ok", and the seconds until the last one is over."""
    outcomes: list[str] = []

    def run(call: Callable[[], Any]) -> None:
        try:
            call()
            outcomes.append("ok")
        except (StoreUnavailable, OutcomeUnknown) as problem:
            outcomes.append(type(problem).__name__)

    began = time.monotonic()
    threads = [threading.Thread(target=run, args=(call,), daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, began + 30 - time.monotonic()))
    return outcomes, time.monotonic() - began


async def outcomes_of_tasks(calls: list[Callable[[], Any]]) -> tuple[list[str], float]:
    """Do the same with tasks."""
    began = time.monotonic()
    tasks = [asyncio.ensure_future(call()) for call in calls]
    done, _ = await asyncio.wait(tasks, timeout=30)
    names = [type(task.exception()).__name__ if task.exception() else "ok" for task in done]
    return names, time.monotonic() - began


@pytest.mark.parametrize("callers", CALLERS)
@pytest.mark.parametrize("kind", list(URLS))
def test_silent_server_ends_every_thread_within_the_bound(kind: str, callers: int) -> None:
    """Each of many threads has StoreUnavailable within `retry_for` and one attempt, if servers accept and never answer."""
    with silent_ports(3) as ports, measured_load() as load:
        cache = SessionCache.from_url(URLS[kind](ports), **OPTIONS)
        outcomes, seconds = outcomes_of_threads([lambda: cache.get("a")] * callers)
        assert outcomes == ["StoreUnavailable"] * callers
        assert seconds < load.allow(BOUND_SECONDS)
        cache.close()


@pytest.mark.parametrize("callers", CALLERS)
@pytest.mark.parametrize("kind", list(URLS))
def test_silent_server_ends_every_task_within_the_bound(kind: str, callers: int) -> None:
    """Each of many tasks has StoreUnavailable within `retry_for` and one attempt, if servers accept and never answer."""

    async def main() -> tuple[list[str], float]:
        async with AsyncSessionCache.from_url(URLS[kind](ports), **OPTIONS) as cache:
            return await outcomes_of_tasks([lambda: cache.get("a")] * callers)

    with silent_ports(3) as ports, measured_load() as load:
        outcomes, seconds = asyncio.run(main())
        assert outcomes == ["StoreUnavailable"] * callers
        assert seconds < load.allow(BOUND_SECONDS)


@pytest.mark.parametrize("is_connected", [True, False])
def test_replies_in_single_bytes_end_each_thread_within_the_bound(is_connected: bool) -> None:
    """A thread whose replies come a byte at a time has its error within the bound, and the cache serves well after that."""
    server = Server(binaries()["valkey-9"])
    try:
        with SessionCache.from_url(server.url) as owner, forwarder(server.port) as way, measured_load() as load:
            owner.create("a").append({"role": "user", "content": "x" * 200})
            with SessionCache.from_url(f"redis://127.0.0.1:{way.port}", **OPTIONS) as cache:
                if is_connected:
                    cache.session("a").append(X)
                way.byte_pause = 0.4
                calls: list[Callable[[], Any]] = [lambda: cache.session("a").append(X), cache.session("a").history]
                outcomes, seconds = outcomes_of_threads([*calls, lambda: cache.open("a")])
                assert (len(outcomes), "ok" in outcomes) == (3, False)
                assert seconds < load.allow(BOUND_SECONDS)
                way.byte_pause = 0.0
                assert len(cache.session("a").history()) >= 1
                assert cache.session("a").append({"role": "user", "content": "x" * 300_000}).last_seq >= 2
                assert len(str(cache.session("a").history()[-1].content)) == 300_000
    finally:
        server.stop()


@contextmanager
def frozen_after(kind: str) -> Iterator[tuple[str, list[Server]]]:
    """Start servers of a kind. Yield their URL, and the processes to stop."""
    binary = binaries()["valkey-9"]
    if kind == "cluster":
        with cluster(binary) as nodes:
            yield f"redis+cluster://{hosts([node.port for node in nodes])}", nodes
    elif kind == "sentinel":
        service = Sentinels(binary, 0)
        try:
            yield service.url, [*service.sentinels, *service.nodes]
        finally:
            service.stop()
    else:
        server = Server(binary)
        try:
            yield server.url, [server]
        finally:
            server.stop()


@pytest.mark.parametrize("kind", list(URLS))
def test_frozen_servers_end_every_thread_and_serve_again(kind: str) -> None:
    """Threads whose servers stop have errors within the bound, and succeed at once when the servers go on."""
    with frozen_after(kind) as (url, servers), measured_load() as load, SessionCache.from_url(url, **OPTIONS) as cache:
        sessions = [cache.create(str(number)) for number in range(20)]
        calls: list[Callable[[], Any]] = [lambda one=one: one.append(X) for one in sessions]  # type: ignore[misc]
        for server in servers:
            server.pause()
        outcomes, seconds = outcomes_of_threads(calls)
        assert len(outcomes) == 20
        assert "ok" not in outcomes
        assert seconds < load.allow(BOUND_SECONDS)
        for server in servers:
            server.resume()
        if kind == "single":
            outcomes, seconds = outcomes_of_threads(calls)
            assert (outcomes, seconds < load.allow(1)) == (["ok"] * 20, True)


@pytest.fixture(params=["tcp", "unix"])
def transport(request: pytest.FixtureRequest) -> Iterator[tuple[Server, str]]:
    """Return a server, and its URL for TCP or a Unix socket."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(binaries()["valkey-9"], "--unixsocket", f"{folder}/s.sock")
        yield server, server.url if request.param == "tcp" else f"unix://{folder}/s.sock"
        server.resume()
        server.stop()


def test_big_append_to_a_frozen_server_hangs_no_thread(transport: tuple[Server, str]) -> None:
    """A thread that sends 10 MB to a server that stops, and all others, have errors within the bound, and go on after it."""
    server, url = transport
    with SessionCache.from_url(url, **OPTIONS) as cache, measured_load() as load:
        sessions = [cache.create(str(number), max_message_bytes=MAX_BYTES) for number in range(20)]
        small: list[Callable[[], Any]] = [lambda one=one: one.append(X) for one in sessions]  # type: ignore[misc]
        server.pause()
        outcomes, seconds = outcomes_of_threads([lambda: sessions[0].append(BIG), *small[1:]])
        assert (len(outcomes), "ok" in outcomes) == (20, False)
        assert seconds < load.allow(BOUND_SECONDS)
        server.resume()
        outcomes, seconds = outcomes_of_threads(small)
        assert (outcomes, seconds < load.allow(1)) == (["ok"] * 20, True)


def test_big_append_to_a_frozen_server_hangs_no_task(transport: tuple[Server, str]) -> None:
    """A task that sends 10 MB to a server that stops, and all others, have errors within the bound, and go on after it."""
    server, url = transport

    async def main() -> None:
        async with AsyncSessionCache.from_url(url, **OPTIONS) as cache:
            sessions = [await cache.create(str(number), max_message_bytes=MAX_BYTES) for number in range(20)]
            small: list[Callable[[], Any]] = [lambda one=one: one.append(X) for one in sessions]  # type: ignore[misc]
            server.pause()
            outcomes, seconds = await outcomes_of_tasks([lambda: sessions[0].append(BIG), *small[1:]])
            assert (len(outcomes), "ok" in outcomes) == (20, False)
            assert seconds < load.allow(BOUND_SECONDS)
            server.resume()
            outcomes, seconds = await outcomes_of_tasks(small)
            assert (outcomes, seconds < load.allow(1)) == (["ok"] * 20, True)

    with measured_load() as load:
        asyncio.run(main())


def test_cancelled_caller_of_a_big_append_costs_others_nothing(own_server: Server) -> None:
    """A task that is cancelled while its 10 MB are sent leaves the connection to the others."""

    async def main() -> None:
        async with AsyncSessionCache.from_url(own_server.url) as cache:
            one = await cache.create("a", max_message_bytes=MAX_BYTES)
            opened = own_server.client.info("stats")["total_connections_received"]
            task = asyncio.ensure_future(one.append(BIG))
            await asyncio.sleep(0.01)
            task.cancel()
            assert await cache.get("a") is not None
            assert own_server.client.info("stats")["total_connections_received"] == opened

    asyncio.run(main())


def test_silent_subscription_is_noticed_and_renewed(own_server: Server, namespace: str) -> None:
    """A subscription whose connection falls silent is given up after two `timeout`, and the next one hears."""
    with (
        forwarder(own_server.port) as port,
        SessionCache.from_url(f"redis://127.0.0.1:{port.port}", namespace=namespace, timeout=1) as cache,
    ):
        hub: NotificationHub = cache._context.hub
        assert hub.try_subscribe()
        time.sleep(2.6)
        assert hub.is_subscribed  # PINGs are answered
        port.silence()
        await_true(lambda: not hub.is_subscribed)


def test_waiters_share_the_failure_to_connect(namespace: str) -> None:
    """Threads that wait for the only connection end with the failure of the thread that opens it."""
    with silent_ports(1) as ports:
        cache = SessionCache.from_url(URLS["single"](ports), timeout=1, retry_for=1, max_connections=1)
        problems: list[str] = []

        def get() -> None:
            with pytest.raises(StoreUnavailable) as refused:
                cache.get("a")
            problems.append(str(refused.value))

        threads = [threading.Thread(target=get) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(problems) == 8
        assert all(re.search("Timeout|busy|time was over", problem) for problem in problems), problems
        cache.close()


@pytest.mark.parametrize("is_idle_too", [False, True])
def test_dropped_connection_in_use_gets_its_reply_and_is_closed(own_server: Server, is_idle_too: bool) -> None:
    """A drop while a thread waits for a reply lets the thread have it, and no later call uses that connection."""
    with SessionCache.from_url(own_server.url) as cache:
        client = cache._context.router._single
        assert client is not None
        found: list[list[Any]] = []
        thread = threading.Thread(target=lambda: found.append(client.send(("BLPOP", "list", "0"))))
        thread.start()
        await_true(lambda: own_server.client.info("clients")["blocked_clients"] == 1)
        if is_idle_too:
            client.send(("PING",))
        client.drop()
        own_server.client.rpush("list", "x")
        thread.join()
        assert found == [[[b"list", b"x"]]]
        assert not client._idle
        opened = client.connections_opened
        client.send(("PING",))
        client.send(("PING",))
        assert client.connections_opened == opened + 1


def test_abandoned_client_ends_calls_over_dropped_connections(own_server: Server) -> None:
    """A call in flight over a dropped connection ends as lost when its client is abandoned."""
    with SessionCache.from_url(own_server.url) as cache:
        client = cache._context.router._single
        assert client is not None
        problems: list[Exception] = []

        def send() -> None:
            with pytest.raises(ConnectionLost) as lost:
                client.send(("BLPOP", "list", "0"))
            problems.append(lost.value)

        thread = threading.Thread(target=send)
        thread.start()
        await_true(lambda: own_server.client.info("clients")["blocked_clients"] == 1)
        client.drop()
        client.abandon()
        thread.join()
        assert len(problems) == 1


def test_close_does_not_wait_for_a_silent_server(own_server: Server, namespace: str) -> None:
    """A cache with an index entry to write is closed within about a second, in a thread and in a task."""

    async def end() -> None:
        cache = AsyncSessionCache.from_url(own_server.url, namespace=namespace, timeout=10)
        await (await cache.create()).cancel()
        own_server.pause()
        await cache.close()

    with measured_load() as load:
        cache = SessionCache.from_url(own_server.url, namespace=namespace, timeout=10)
        cache.create().cancel()
        own_server.pause()
        began = time.monotonic()
        cache.close()
        assert time.monotonic() - began < load.allow(3)
        own_server.resume()
        began = time.monotonic()
        asyncio.run(end())
        assert time.monotonic() - began < load.allow(3)
        own_server.resume()


def test_replies_that_drip_end_a_pipeline_of_a_thread_within_the_bound() -> None:
    """The bound holds for all replies together, although each of them comes before it."""
    with dripping_port(seconds=0.4) as port:
        engine = from_url(f"redis://127.0.0.1:{port}")
        client = NodeClient(connector(engine, 1.0), 1.0, 1)
        began = time.monotonic()
        with pytest.raises(ConnectionLost):
            client.send(*[("PING",)] * 30)
        assert time.monotonic() - began < 6  # all replies would take 12 s
        client.close()


@contextmanager
def dripping_port(seconds: float) -> Iterator[int]:
    """Serve a port that answers one PING at a time, each after some seconds, and everything else at once."""

    def serve() -> None:
        peer, _ = listener.accept()
        with peer, suppress(OSError):
            while data := peer.recv(65536):
                peer.sendall(b"+OK\r\n" * data.count(b"SETINFO"))
                for _ in range(data.count(b"PING")):
                    time.sleep(seconds)
                    peer.sendall(b"+PONG\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
