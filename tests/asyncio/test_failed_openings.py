"""A connection that breaks, or is dropped, before the task that opened it runs again: no call hangs."""

from __future__ import annotations

import asyncio
import time

import pytest

from redis_sessions import AsyncSessionCache, InvalidInput, StoreUnavailable
from redis_sessions._async.transport.connections import NodeClient
from redis_sessions._core.protocol.transport_errors import ConnectFailed, ConnectionLost
from tests.support.machine_load import measured_load

PING = ("PING",)
BOUND_SECONDS = 1.5
HANG_SECONDS = 20


def client_of(cache: AsyncSessionCache) -> NodeClient:
    """Return the client of the only server of a cache."""
    client = cache._context.router._single
    assert client is not None
    return client


async def client_at_its_opening(cache: AsyncSessionCache) -> tuple[NodeClient, asyncio.Task[list[object]]]:
    """Return in the tick in which a connection was opened, with the task that will send a PING over it."""
    client = client_of(cache)
    task = asyncio.ensure_future(client.send(PING, due=time.monotonic() + HANG_SECONDS / 2))
    while client._connection is None:
        await asyncio.sleep(0)
    assert not task.done()
    return client, task


@pytest.mark.parametrize("callers", [1, 50])
@pytest.mark.parametrize("replies", [1, 2])
def test_server_that_closes_after_the_handshake_ends_every_task_within_the_bound(replies: int, callers: int) -> None:
    """Each task has StoreUnavailable, if a server answers the first commands of each connection and closes it."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answered = 0
        try:
            while answered < replies and (data := await reader.read(65_536)):
                count = data.count(b"\r\nCLIENT\r\n")
                writer.write(b"+OK\r\n" * count)
                answered += count
        finally:
            writer.transport.abort()

    async def main() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with measured_load() as load:
            async with server, AsyncSessionCache.from_url(url, timeout=0.5, retry_for=0.5) as cache:
                began = time.monotonic()
                tasks = [asyncio.ensure_future(cache.get("a")) for _ in range(callers)]
                done, _ = await asyncio.wait(tasks, timeout=HANG_SECONDS)
                assert [type(task.exception()) for task in done] == [StoreUnavailable] * callers
                assert time.monotonic() - began < load.allow(BOUND_SECONDS)
        while others := asyncio.all_tasks() - {asyncio.current_task()}:  # connections that were accepted last
            await asyncio.wait(others, timeout=HANG_SECONDS)

    asyncio.run(main())


def test_connection_dropped_at_its_opening_is_replaced(url: str, namespace: str) -> None:
    """A task has its reply over a second connection, if the first one is dropped in the tick in which it was opened."""

    async def main() -> None:
        async with AsyncSessionCache.from_url(url, namespace=namespace) as cache:
            client, task = await client_at_its_opening(cache)
            await client.drop()
            await asyncio.wait([task], timeout=HANG_SECONDS)
            assert (task.done(), client.connections_opened) == (True, 2)
            assert len(task.result()) == 1

    if "cluster" not in url:
        asyncio.run(main())


@pytest.mark.parametrize(("method", "error"), [("close", InvalidInput), ("abandon", ConnectFailed)])
def test_connection_closed_at_its_opening_ends_its_task(method: str, error: type[Exception], url: str) -> None:
    """A task has the error of a closed client at once, if the client is closed in the tick in which it connected."""

    async def main() -> None:
        async with AsyncSessionCache.from_url(url) as cache:
            client, task = await client_at_its_opening(cache)
            await getattr(client, method)()
            await asyncio.wait([task], timeout=HANG_SECONDS)
            assert task.done()
            assert type(task.exception()) is error

    if "cluster" not in url:
        asyncio.run(main())


def test_write_to_a_failed_connection_is_resolved_at_once(url: str) -> None:
    """Commands that are written to a connection after it failed have its first failure as their replies."""

    async def main() -> None:
        async with AsyncSessionCache.from_url(url) as cache:
            client = client_of(cache)
            await client.send(PING)
            connection = client._connection
            assert connection is not None
            connection.fail(ConnectionError("cut"))
            replies = connection.write((PING, PING), ("WAIT", "0", "0"))
            await connection.flush()
            await asyncio.sleep(0)  # the reply to `wait` is shielded
            assert [reply.done() for reply in replies] == [True] * 3
            for reply in replies:
                assert isinstance(reply.result(), ConnectionLost)
                assert str(reply.result()) == "cut"

    if "cluster" not in url:
        asyncio.run(main())
