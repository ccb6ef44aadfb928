"""Leases under asyncio: many tasks of one event loop wait for one lease."""

from __future__ import annotations

import asyncio
import contextvars

import pytest

from redis_sessions import AsyncLease, AsyncSession, AsyncSessionCache, LeaseLost, SessionLocked
from tests.support.servers import Server

X = {"role": "user", "content": "x"}


def test_waiting_tasks_get_lease_in_order(url: str, namespace: str) -> None:
    """A lease goes to 32 waiting tasks in the order of their requests."""

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
                    while len(getattr(await lease.info(), "waiters", ())) <= number:
                        await asyncio.sleep(0.001)
            await asyncio.gather(*tasks)
            await cache.delete("a")
        return served

    assert asyncio.run(main()) == list(range(32))


def test_tasks_of_holder_write_under_its_lease(url: str, namespace: str) -> None:
    """A task that the holder starts writes under the lease, and a task from before does not."""

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


def test_cancelled_task_leaves_the_waiters(url: str, namespace: str) -> None:
    """A cancelled task is removed from the waiters of the lease."""

    async def main() -> None:
        async with AsyncSessionCache.from_url(url, namespace=namespace) as cache:
            session = await cache.create("a", ttl=60)
            async with session.lease(30) as lease:
                waiter = asyncio.create_task(cache.session("a").lease(30, 60).acquire(), context=contextvars.Context())
                while not getattr(await lease.info(), "waiters", None):
                    await asyncio.sleep(0.001)
                waiter.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiter
                while getattr(await lease.info(), "waiters", None):
                    await asyncio.sleep(0.001)
            assert await session.lease().info() is None
            await cache.delete("a")

    asyncio.run(main())


def test_lease_is_used_and_released_in_another_event_loop(server: Server, namespace: str) -> None:
    """A lease that was acquired in one event loop is renewed and released in another, and writes there with its session."""
    cache = AsyncSessionCache.from_url(server.url, namespace=namespace)

    async def first() -> AsyncLease[AsyncSession]:
        session = await cache.create("a", ttl=60)
        return await session.lease(5).acquire()

    loop = asyncio.new_event_loop()
    lease = loop.run_until_complete(first())

    async def second() -> None:
        await lease.renew()
        assert (await lease.session.append(X)).last_seq == 1
        await lease.release()
        async with cache.session("a").lease(5):
            pass
        await cache.close()

    asyncio.run(second())
    loop.close()
    server.client.flushall()


def test_lost_lease_sets_event(url: str, namespace: str) -> None:
    """A task can wait for the loss of a lease."""

    async def main() -> None:
        async with AsyncSessionCache.from_url(url, namespace=namespace) as cache:
            session = await cache.create("a", ttl=60)
            with pytest.raises(LeaseLost):
                async with session.lease(0.3) as lease:
                    await session.lease().release(force=True)
                    assert await lease.lost.wait(30)
            await cache.delete("a")

    asyncio.run(main())
