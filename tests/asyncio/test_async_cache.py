"""The async client: shared connections, cancellation, event loops."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import pytest

from redis_sessions import (
    AsyncDocuments,
    AsyncLease,
    AsyncLoop,
    AsyncRun,
    AsyncSession,
    AsyncSessionCache,
    AsyncState,
    AsyncVariables,
    Documents,
    InvalidInput,
    Lease,
    Loop,
    OutcomeUnknown,
    Run,
    Session,
    SessionCache,
    SessionNotFound,
    State,
    Variables,
)
from tests.support.servers import Server

X = {"role": "user", "content": "x"}


def run(url: str, namespace: str, body: Callable[[AsyncSessionCache], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        async with AsyncSessionCache.from_url(url, namespace=namespace, **options) as cache:
            await body(cache)

    asyncio.run(main())


def test_appends_of_one_tick_keep_their_order(url: str, namespace: str) -> None:
    """Appends that tasks make in one tick arrive in the order of their calls."""

    async def body(cache: AsyncSessionCache) -> None:
        session = await cache.create(max_messages=None)
        results = await asyncio.gather(*[session.append({"role": "user", "content": str(n)}) for n in range(400)])
        assert [result.first_seq for result in results] == list(range(1, 401))
        assert [message.content for message in await session.history()] == [str(n) for n in range(400)]

    run(url, namespace, body)


def test_refused_call_does_not_affect_other_calls(url: str, namespace: str) -> None:
    """A refusal in the middle of a pipeline reaches only its own call."""

    async def body(cache: AsyncSessionCache) -> None:
        sessions = [await cache.create() for _ in range(20)]
        for session in sessions[::2]:
            await session.delete()
        found = await asyncio.gather(*[session.append(X) for session in sessions], return_exceptions=True)
        assert [isinstance(one, SessionNotFound) for one in found] == [True, False] * 10

    run(url, namespace, body)


def test_cancelled_call_leaves_connection_usable(url: str, namespace: str) -> None:
    """Replies reach their calls after other calls were cancelled."""

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


def test_unsendable_argument_leaves_no_gap_in_replies(url: str, namespace: str) -> None:
    """A call whose argument cannot be encoded leaves the replies of other calls in place."""

    async def body(cache: AsyncSessionCache) -> None:
        one, other = await cache.create(), await cache.create()
        with pytest.raises(InvalidInput):
            await one.variables.put("a", "\ud800")
        with pytest.raises(InvalidInput):
            await one.patch(remove_metadata=("\ud800",))
        first, second = await asyncio.gather(one.append(X), other.append(X, X))
        assert (first.last_seq, second.last_seq) == (1, 2)

    run(url, namespace, body)


def test_400_tasks_share_one_connection(server: Server, namespace: str) -> None:
    """A session that 400 tasks append to at once opens no further connection."""

    async def body(cache: AsyncSessionCache) -> None:
        session = await cache.create(max_messages=None)
        before = server.client.info("stats")["total_connections_received"]
        await asyncio.gather(*[session.append(X) for _ in range(400)])
        assert server.client.info("stats")["total_connections_received"] == before

    run(server.url, namespace, body)
    server.client.flushall()


def test_silent_server_is_retried_within_timeout(server: Server, namespace: str) -> None:
    """A call whose reply is overdue is retried, and the next call works."""

    async def body(cache: AsyncSessionCache) -> None:
        session = await cache.create()
        server.client.execute_command("CLIENT", "PAUSE", 600, "ALL")
        result = await session.append(X)
        assert result.last_seq == 1
        assert len(await session.history()) == 1

    run(server.url, namespace, body, timeout=0.2, retry_for=60)
    server.client.flushall()


def test_close_ends_calls_in_flight_and_later_calls(server: Server, namespace: str) -> None:
    """The outcome of the writes in flight at a close is unknown, and a later call is refused."""

    async def main() -> None:
        cache = AsyncSessionCache.from_url(server.url, namespace=namespace)
        session = await cache.create()
        server.client.execute_command("CLIENT", "PAUSE", 2000, "ALL")
        waiting = [asyncio.create_task(session.append(X)) for _ in range(5)]
        await asyncio.sleep(0.05)
        await cache.close()
        outcomes = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 30)
        assert all(isinstance(one, OutcomeUnknown) and "closed" in str(one) for one in outcomes)
        with pytest.raises(InvalidInput, match="closed"):
            await session.append(X)

    asyncio.run(main())
    server.client.flushall()


def public_names(owner: type) -> set[str]:
    """Return the public names of a class."""
    return {name for name in dir(owner) if not name.startswith("_")}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (AsyncSessionCache, SessionCache), (AsyncSession, Session), (AsyncLease, Lease), (AsyncRun, Run),
        (AsyncLoop, Loop), (AsyncState, State), (AsyncVariables, Variables), (AsyncDocuments, Documents),
    ],
)  # fmt: skip
def test_async_and_sync_clients_have_same_names(one: type, other: type) -> None:
    """Every public method of one client exists on the other, with the same parameters; sync maps are mappings, too."""
    names = public_names(one)
    extra = public_names(other) - names
    assert names <= public_names(other)
    assert extra == (public_names(MutableMapping) - names if issubclass(other, MutableMapping) else set())
    for name in names:
        if inspect.isfunction(getattr(one, name)):
            parameters = [list(inspect.signature(getattr(owner, name)).parameters) for owner in (one, other)]
            assert parameters[0] == parameters[1], name
