"""What asyncio adds: shared connections, cancellation, loops."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from redis_sessions import (
    AsyncDocuments,
    AsyncSession,
    AsyncSessionCache,
    AsyncState,
    Documents,
    InvalidInput,
    Session,
    SessionCache,
    SessionNotFound,
    State,
)
from tests.servers import Server

X = {"role": "user", "content": "x"}


def run(url: str, namespace: str, body: Callable[[AsyncSessionCache], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        async with AsyncSessionCache.from_url(url, namespace=namespace, **options) as cache:
            await body(cache)

    asyncio.run(main())


def test_tasks_keep_their_order(url: str, namespace: str) -> None:
    """Appends of one tick travel together and arrive in the order they were made."""

    async def body(cache: AsyncSessionCache) -> None:
        session = await cache.create(max_messages=None)
        results = await asyncio.gather(*[session.append({"role": "user", "content": str(n)}) for n in range(400)])
        assert [result.first_seq for result in results] == list(range(1, 401))
        assert [message.content for message in await session.history()] == [str(n) for n in range(400)]

    run(url, namespace, body)


def test_each_call_has_its_own_error(url: str, namespace: str) -> None:
    """A refusal in the middle of company touches nobody else."""

    async def body(cache: AsyncSessionCache) -> None:
        sessions = [await cache.create() for _ in range(20)]
        for session in sessions[::2]:
            await session.delete()
        found = await asyncio.gather(*[session.append(X) for session in sessions], return_exceptions=True)
        assert [isinstance(one, SessionNotFound) for one in found] == [True, False] * 10

    run(url, namespace, body)


def test_a_cancelled_call_leaves_the_connection_usable(url: str, namespace: str) -> None:
    """Replies still find their calls."""

    async def body(cache: AsyncSessionCache) -> None:
        session = await cache.create(max_messages=None)
        for _ in range(20):
            tasks = [asyncio.create_task(session.append(X)) for _ in range(10)]
            await asyncio.sleep(0)
            for task in tasks[::3]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            marker = await session.append({"role": "user", "content": "marker"})
            last = (await session.history(1))[0]
            assert (last.seq, last.content) == (marker.last_seq, "marker")

    run(url, namespace, body)


def test_what_cannot_be_sent_leaves_no_gap_among_the_replies(url: str, namespace: str) -> None:
    """A refused argument in company: every other call still gets its own reply."""

    async def body(cache: AsyncSessionCache) -> None:
        one, other = await cache.create(), await cache.create()
        with pytest.raises(InvalidInput):
            await one.variables.put("a", "\ud800")
        with pytest.raises(InvalidInput):
            await one.patch(remove_metadata=("\ud800",))
        first, second = await asyncio.gather(one.append(X), other.append(X, X))
        assert (first.last_seq, second.last_seq) == (1, 2)

    run(url, namespace, body)


def test_a_fleet_of_tasks_needs_one_connection(server: Server, namespace: str) -> None:
    """400 awaits at once, one connection, no pool to run out of."""

    async def body(cache: AsyncSessionCache) -> None:
        session = await cache.create(max_messages=None)
        before = server.client.info("stats")["total_connections_received"]
        await asyncio.gather(*[session.append(X) for _ in range(400)])
        assert server.client.info("stats")["total_connections_received"] == before

    run(server.url, namespace, body)
    server.client.flushall()


def test_a_cache_belongs_to_one_event_loop(server: Server, namespace: str) -> None:
    """Used in another, it says so instead of hanging."""
    cache = AsyncSessionCache.from_url(server.url, namespace=namespace)

    async def use() -> None:
        await cache.get("x")

    async def use_and_close() -> None:
        await cache.get("x")
        await cache.close()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(use())
    with pytest.raises(InvalidInput, match="loop"):
        asyncio.run(use())
    loop.run_until_complete(use_and_close())
    loop.close()
    server.client.flushall()


def test_a_silent_server_is_noticed(server: Server, namespace: str) -> None:
    """A reply that is overdue fails its call within the bound, and the next call works."""

    async def body(cache: AsyncSessionCache) -> None:
        session = await cache.create()
        server.client.execute_command("CLIENT", "PAUSE", 600, "ALL")
        result = await session.append(X)
        assert result.last_seq == 1
        assert len(await session.history()) == 1

    run(server.url, namespace, body, timeout=0.2, retry_for=5)
    server.client.flushall()


def test_closing_ends_what_is_in_flight_and_what_comes(server: Server, namespace: str) -> None:
    """Nobody is left waiting for a reply that cannot come."""

    async def main() -> None:
        cache = AsyncSessionCache.from_url(server.url, namespace=namespace)
        session = await cache.create()
        server.client.execute_command("CLIENT", "PAUSE", 300, "ALL")
        waiting = [asyncio.create_task(session.append(X)) for _ in range(5)]
        await asyncio.sleep(0.05)
        cache._home.indexes._behind.clear()  # what waits to be put right would be waited for
        await cache.close()
        outcomes = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 5)
        assert all(isinstance(one, InvalidInput) for one in outcomes)
        with pytest.raises(InvalidInput, match="closed"):
            await session.append(X)

    asyncio.run(main())
    server.client.flushall()


def test_both_clients_have_the_same_names() -> None:
    """One source: every public method of one is on the other, with the same parameters."""
    pairs: list[tuple[Any, Any]] = [(AsyncSessionCache, SessionCache), (AsyncSession, Session), (AsyncState, State)]
    pairs.append((AsyncDocuments, Documents))
    for one, other in pairs:
        names = {name for name in dir(one) if not name.startswith("_")}
        assert names == {name for name in dir(other) if not name.startswith("_")}
        for name in names:
            if inspect.isfunction(getattr(one, name)):
                mine, theirs = inspect.signature(getattr(one, name)), inspect.signature(getattr(other, name))
                assert list(mine.parameters) == list(theirs.parameters)
