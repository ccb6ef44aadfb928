"""Trees under asyncio: what differs from threads is how things wait, and how they are cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from redis_sessions import AsyncRun, AsyncSessionCache
from redis_sessions._async.worker import _log
from tests.conftest import Engines

ENGINES = ["fake", "redis-6.2", "valkey-9", "cluster"]


@pytest.fixture(params=ENGINES)
def place(request: pytest.FixtureRequest, engines: Engines, namespace: str) -> Iterator[dict[str, Any]]:
    """Where a cache of this test is."""
    name = str(request.param)
    yield {"url": engines.url(name), "namespace": namespace}
    for node in engines.nodes[name]:
        node.client.flushall()


def test_a_fleet_in_one_loop(place: dict[str, Any]) -> None:
    """Workers of two agents, a tree of two levels, results that come up; stopped, they return."""

    async def main() -> None:
        async with AsyncSessionCache.from_url(**place) as cache:
            stop = asyncio.Event()
            root = await cache.create("root")

            async def lead(run: AsyncRun) -> Any:
                for n in range(2):
                    (await run.spawn("hand", task=str(n), batch_id=f"{run.id}.{n}")).raise_if_refused()
                return sum([child.result for child in await run.join(timeout=20)])

            async def hand(run: AsyncRun) -> Any:
                await run.append({"role": "assistant", "content": "x"})
                assert not await run.cancel_requested
                return int(run.task or 0) + 1

            workers = [
                asyncio.create_task(cache.worker("lead", lead, concurrency=2, stop=stop)),
                asyncio.create_task(cache.worker("hand", hand, concurrency=4, stop=stop)),
            ]
            for _ in range(2):
                (await root.spawn("lead")).raise_if_refused()
            assert [child.result for child in await root.join(timeout=20)] == [3, 3]
            stop.set()
            await asyncio.wait_for(asyncio.gather(*workers), 10)

    asyncio.run(main())


def test_a_cancelled_claim_takes_nothing(place: dict[str, Any]) -> None:
    """Wherever it was: waiting in line, or with a claim in flight. The run is the next one's, for its first attempt."""

    async def main() -> None:
        async with AsyncSessionCache.from_url(**place) as cache:
            root = await cache.create("root")
            waits = asyncio.create_task(cache.claim("a", wait=20))
            await asyncio.sleep(0.2)
            waits.cancel()
            for turn in range(7):
                (await root.spawn("a", max_attempts=1)).raise_if_refused()
                flies = asyncio.create_task(cache.claim("a", wait=1))
                for _ in range(turn % 7):
                    await asyncio.sleep(0)
                flies.cancel()
                found = (await asyncio.gather(flies, return_exceptions=True))[0]
                run = found if isinstance(found, AsyncRun) else await cache.claim("a", wait=10)
                assert run is not None
                assert run.attempt == 1
                await run.complete()
            assert [child.status for child in await root.children()] == ["completed"] * 7

    asyncio.run(main())


def test_a_cancelled_worker_gives_its_runs_back(place: dict[str, Any]) -> None:
    """And whoever waits for them has them at once."""
    _log.disabled = True

    async def main() -> None:
        async with AsyncSessionCache.from_url(**place) as cache:
            began = asyncio.Event()

            async def forever(run: AsyncRun) -> None:
                began.set()
                await asyncio.sleep(60)

            root = await cache.create("root")
            (await root.spawn("a")).raise_if_refused()
            worker = asyncio.create_task(cache.worker("a", forever, grace=0))
            await asyncio.wait_for(began.wait(), 10)
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)
            run = await cache.claim("a", wait=10)
            assert run is not None
            assert run.attempt == 2

    try:
        asyncio.run(main())
    finally:
        _log.disabled = False
