"""Leases among tasks: one event loop, many who wait."""

from __future__ import annotations

import asyncio
import contextvars

import pytest

from redis_sessions import AsyncSessionCache, InvalidInput, LeaseLost, SessionLocked
from tests.servers import Server

X = {"role": "user", "content": "x"}


def test_tasks_are_served_in_the_order_they_came(url: str, namespace: str) -> None:
    """32 of them, strictly."""

    async def main() -> list[int]:
        served: list[int] = []
        async with AsyncSessionCache.from_url(url, namespace=namespace) as cache:
            await cache.create("a", ttl=60)

            async def turn(number: int) -> None:
                async with cache.session("a").lease(5, 30):
                    served.append(number)
                    await cache.session("a").append(X)

            tasks = []
            async with cache.session("a").lease(5) as lease:
                for number in range(32):
                    tasks.append(asyncio.create_task(turn(number), context=contextvars.Context()))
                    while len(getattr(await lease.info(), "line", ())) <= number:
                        await asyncio.sleep(0.001)
            await asyncio.gather(*tasks)
            await cache.delete("a")
        return served

    assert asyncio.run(main()) == list(range(32))


def test_tasks_that_a_holder_starts_write_under_its_lease(url: str, namespace: str) -> None:
    """Those that ran before do not; afterwards all write plainly."""

    async def main() -> None:
        async with AsyncSessionCache.from_url(url, namespace=namespace) as cache:
            session = await cache.create("a", ttl=60)
            started, go_on = asyncio.Event(), asyncio.Event()

            async def before() -> None:
                started.set()
                await go_on.wait()
                with pytest.raises(SessionLocked):
                    await session.append(X)

            other = asyncio.create_task(before())
            await started.wait()
            async with session.lease(5) as lease:
                await asyncio.gather(session.append(X), session.append(X))
                go_on.set()
                await other
                child = asyncio.create_task(asyncio.sleep(0.05))
                handle = lease.session
            await child
            with pytest.raises(LeaseLost):
                await handle.append(X)
            assert (await session.append(X)).last_seq == 3
            await cache.delete("a")

    asyncio.run(main())


def test_a_task_that_is_cancelled_leaves_the_line(url: str, namespace: str) -> None:
    """The next one is served as if it had never been there."""

    async def main() -> None:
        async with AsyncSessionCache.from_url(url, namespace=namespace) as cache:
            session = await cache.create("a", ttl=60)
            async with session.lease(30) as lease:
                waiter = asyncio.create_task(cache.session("a").lease(30, 60).acquire(), context=contextvars.Context())
                while not getattr(await lease.info(), "line", None):
                    await asyncio.sleep(0.001)
                waiter.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiter
                while getattr(await lease.info(), "line", None):
                    await asyncio.sleep(0.001)
            assert await session.lease().info() is None
            await cache.delete("a")

    asyncio.run(main())


def test_a_lease_is_of_one_event_loop(server: Server, namespace: str) -> None:
    """Used in another it is refused; nothing is written."""
    cache = AsyncSessionCache.from_url(server.url, namespace=namespace)

    async def first() -> object:
        session = await cache.create("a", ttl=60)
        return await session.lease(5).acquire()

    loop = asyncio.new_event_loop()
    lease = loop.run_until_complete(first())

    async def second() -> None:
        for use in (lease.receive, lease.renew, lease.release):  # type: ignore[attr-defined]
            with pytest.raises(InvalidInput, match="event loop"):
                await use()

    asyncio.run(second())
    loop.run_until_complete(cache.close())
    loop.close()
    server.client.flushall()


def test_a_lost_lease_is_an_event(url: str, namespace: str) -> None:
    """That a task can wait for."""

    async def main() -> None:
        async with AsyncSessionCache.from_url(url, namespace=namespace) as cache:
            session = await cache.create("a", ttl=60)
            with pytest.raises(LeaseLost):
                async with session.lease(0.3) as lease:
                    await session.lease().release(force=True)
                    assert await lease.lost.wait(2)
            await cache.delete("a")

    asyncio.run(main())
