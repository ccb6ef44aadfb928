"""Trees under asyncio: waits and cancellations, which differ from those of threads."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from redis_sessions import AsyncRun, AsyncSessionCache, LimitExceeded
from tests.conftest import Engines
from tests.trees.runs import DEADLINE_SECONDS

ENGINES = ["fake", "redis-6.2", "valkey-9", "cluster"]


@pytest.fixture(params=ENGINES)
def options(request: pytest.FixtureRequest, engines: Engines, namespace: str) -> Iterator[dict[str, Any]]:
    """Return the URL and the namespace for a cache of this test."""
    name = str(request.param)
    yield {"url": engines.url(name), "namespace": namespace}
    for node in engines.nodes[name]:
        node.client.flushall()


def test_workers_in_one_event_loop_handle_a_tree(options: dict[str, Any]) -> None:
    """Workers of two agents handle a tree of two levels in one event loop, and return when they are stopped."""

    async def main() -> None:
        async with AsyncSessionCache.from_url(**options) as cache:
            stop = asyncio.Event()
            root = await cache.create("root")

            async def lead(run: AsyncRun) -> Any:
                for n in range(2):
                    (await run.spawn("hand", task=str(n), batch_id=f"{run.id}.{n}")).raise_if_refused()
                return sum([child.result for child in await run.join(timeout=60)])

            async def hand(run: AsyncRun) -> Any:
                await run.append({"role": "assistant", "content": "x"})
                assert not await run.is_cancel_requested()
                return int(run.task or 0) + 1

            workers = [
                asyncio.create_task(cache.worker("lead", lead, concurrency=2, stop=stop)),
                asyncio.create_task(cache.worker("hand", hand, concurrency=4, stop=stop)),
            ]
            for _ in range(2):
                (await root.spawn("lead")).raise_if_refused()
            assert [child.result for child in await root.join(timeout=60)] == [3, 3]
            stop.set()
            await asyncio.wait_for(asyncio.gather(*workers), 60)

    asyncio.run(main())


def test_cancelled_claim_takes_no_run(options: dict[str, Any]) -> None:
    """A claim that is cancelled while it waits or is in flight leaves the run to the next claim as its first attempt."""

    async def main() -> None:
        async with AsyncSessionCache.from_url(**options) as cache:
            root = await cache.create("root")
            waiting = asyncio.create_task(cache.claim("a", wait=60))
            await asyncio.sleep(0.2)
            waiting.cancel()
            for turn in range(7):
                (await root.spawn("a", max_attempts=1)).raise_if_refused()
                in_flight = asyncio.create_task(cache.claim("a", wait=1))
                for _ in range(turn % 7):
                    await asyncio.sleep(0)
                in_flight.cancel()
                found = (await asyncio.gather(in_flight, return_exceptions=True))[0]
                run = found if isinstance(found, AsyncRun) else await cache.claim("a", wait=60)
                assert run is not None
                assert run.attempt == 1
                await run.complete()
            assert [child.status for child in await root.children()] == ["completed"] * 7

    asyncio.run(main())


def test_cancelled_worker_releases_its_runs(options: dict[str, Any]) -> None:
    """A run of a cancelled worker can be claimed at once."""
    logging.getLogger("redis_sessions.worker").disabled = True

    async def main() -> None:
        async with AsyncSessionCache.from_url(**options) as cache:
            began = asyncio.Event()

            async def forever(run: AsyncRun) -> None:
                began.set()
                await asyncio.sleep(60)

            root = await cache.create("root")
            (await root.spawn("a")).raise_if_refused()
            worker = asyncio.create_task(cache.worker("a", forever, grace=0))
            await asyncio.wait_for(began.wait(), 60)
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)
            run = await cache.claim("a", wait=60)
            assert run is not None
            assert run.attempt == 1

    try:
        asyncio.run(main())
    finally:
        logging.getLogger("redis_sessions.worker").disabled = False


def test_limit_that_ends_child_delivers_result(options: dict[str, Any]) -> None:
    """A child that an end_session limit ends has delivered its result when the append raises."""

    async def main() -> None:
        async with AsyncSessionCache.from_url(**options) as cache:
            root = await cache.create("root", user_id="mia")
            result = await root.spawn("a", max_entries=1, limit_action="end_session")
            assert result.session_key is not None
            child = cache.session(result.session_key)
            await child.append({"role": "user", "content": "x"})
            with pytest.raises(LimitExceeded):
                await child.append({"role": "user", "content": "y"})
            assert [message.content for message in await root.history()] == ["[a completed] limit entries 2 1"]
            assert [member.status for member in await root.children()] == ["completed"]
            assert (await child.info()).user_id == "mia"

    asyncio.run(main())


def test_waiting_spawn_is_woken_by_end_of_child(options: dict[str, Any]) -> None:
    """A spawn that waits for room is accepted soon after a child ends, and can be cancelled."""

    async def main() -> None:
        async with AsyncSessionCache.from_url(**options) as cache:
            root = await cache.create("root", max_active=1)
            first = await root.spawn("a", cleanup="delete")
            assert first.session_key is not None
            waiting = asyncio.create_task(root.spawn("a", wait=DEADLINE_SECONDS))
            await asyncio.sleep(0.3)
            assert not waiting.done()
            await cache.session(first.session_key).complete({"found": 1})
            assert (await asyncio.wait_for(waiting, 5)).accepted
            ended, _ = await root.children()
            assert (ended.status, ended.result, ended.is_stored) == ("completed", {"found": 1}, False)
            other = asyncio.create_task(root.spawn("a", wait=DEADLINE_SECONDS))
            await asyncio.sleep(0.1)
            other.cancel()
            with pytest.raises(asyncio.CancelledError):
                await other
            assert len(await root.children()) == 2

    asyncio.run(main())
