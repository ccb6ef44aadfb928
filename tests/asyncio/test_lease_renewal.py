"""The renewal of leases under asyncio: by a thread, for as long as the handle exists."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import os
import threading
import time
from collections.abc import Iterator
from typing import Any
from weakref import ref

import pytest
import redis.asyncio

from redis_sessions import AsyncSessionCache, LeaseLost, SessionCache, SessionLocked
from redis_sessions._async.transport import renewal_thread, tasks
from tests.support.machine_load import measured_load
from tests.support.servers import Server

X = {"role": "user", "content": "x"}
RENEWED_TTL = 2.0
"""The seconds of a lease that is renewed three times in them: a machine that stalls for one second loses none."""


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Switch the garbage collector off, so that only reference counts end objects."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_blocked_event_loop_does_not_lose_lease(
    server: Server, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A handler that blocks its event loop for three ttls keeps its lease, and one warning says that the loop was blocked."""

    async def main() -> None:
        async with AsyncSessionCache.from_url(server.url, namespace=namespace) as cache:
            session = await cache.create("a", ttl=60)
            async with session.lease(ttl=RENEWED_TTL) as lease:
                other.start()
                for _ in range(2):
                    time.sleep(1.5 * RENEWED_TTL)  # noqa: ASYNC251 - the fault
                    await asyncio.sleep(0.05)
                    assert lease.is_held
                    assert not lease.lost.is_set()
                await session.append(X)
            await cache.delete("a")

    refused: list[float] = []

    def ask_for_lease() -> None:
        with SessionCache.from_url(server.url, namespace=namespace) as cache:
            began = time.monotonic()
            while time.monotonic() - began < 2 * RENEWED_TTL:
                with pytest.raises(SessionLocked):
                    cache.session("a").lease(wait=0).acquire()
                refused.append(time.monotonic() - began)
                time.sleep(0.1)

    other = threading.Thread(target=ask_for_lease)
    with caplog.at_level(logging.WARNING, "redis_sessions"):
        asyncio.run(main())
    other.join()
    assert max(refused) > 1.5 * RENEWED_TTL
    warnings = [record.message for record in caplog.records if "was blocked" in record.message]
    assert len(warnings) == 1
    assert "leases of 2.0 s are renewed by a thread" in warnings[0]


def test_renewal_in_event_loop_loses_lease_of_blocked_loop(
    server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ablation: with renewals in the event loop of the lease, a blocked loop lets another worker take the lease."""
    monkeypatch.setattr(renewal_thread, "later", tasks.later)
    monkeypatch.setattr(renewal_thread.RenewalConnections, "run", lambda self, call: self._executor.run(call))

    async def main() -> None:
        async with AsyncSessionCache.from_url(server.url, namespace=namespace) as cache:
            session = await cache.create("a", ttl=60)
            with pytest.raises(LeaseLost):
                async with session.lease(ttl=0.3) as lease:
                    time.sleep(1)  # noqa: ASYNC251 - the fault
                    with SessionCache.from_url(server.url, namespace=namespace) as other:
                        assert contextvars.Context().run(other.session("a").lease().acquire).is_held
                    await session.append(X)
            assert lease.lost.is_set()
            await cache.delete("a")

    asyncio.run(main())


def test_lease_is_renewed_by_thread_on_every_engine(url: str, namespace: str) -> None:
    """The renewal thread reaches every kind of engine with connections of its own."""

    async def main() -> None:
        async with AsyncSessionCache.from_url(url, namespace=namespace) as cache:
            session = await cache.create("a", ttl=60)
            async with session.lease(ttl=RENEWED_TTL) as lease:
                time.sleep(1.2 * RENEWED_TTL)  # noqa: ASYNC251 - the fault
                assert (await session.append(X)).last_seq == 1
                assert lease.is_held
                info = await lease.info()
                assert info is not None
                assert info.expires_in.total_seconds() > 0
            await cache.delete("a")

    asyncio.run(main())


@pytest.mark.parametrize("order", ["take_over", "cancel", "delete"])
def test_listening_holder_hears_of_loss_at_once(server: Server, namespace: str, order: str) -> None:
    """A holder whose process listens finds `lost` set long before the next renewal."""

    async def main() -> None:
        async with AsyncSessionCache.from_url(server.url, namespace=namespace) as cache:
            session = await cache.create("a", ttl=60)
            assert await cache.claim("nothing", wait=0.1) is None  # opens the subscription
            lease = await session.lease(ttl=30).acquire()
            await asyncio.create_task(give_order(cache), context=contextvars.Context())
            assert await lease.lost.wait(8)  # the next renewal is after 10 s
            assert not lease.is_held
            await asyncio.create_task(cache.delete("a"), context=contextvars.Context())

    async def give_order(cache: AsyncSessionCache) -> None:
        session = cache.session("a")
        orders: dict[str, Any] = {
            "take_over": lambda: session.lease().release(force=True),
            "cancel": session.cancel,
            "delete": session.delete,
        }
        await orders[order]()

    asyncio.run(main())


def test_short_lease_opens_no_connection(server: Server, namespace: str) -> None:
    """Leases that are released before their first renewal start no thread but the first, and open no connection."""

    async def main() -> None:
        async with AsyncSessionCache.from_url(server.url, namespace=namespace) as cache:
            session = await cache.create("a", ttl=60)
            async with session.lease():
                pass
            threads, clients = threading.active_count(), len(server.client.client_list())
            for _ in range(50):
                async with session.lease():
                    pass
            assert (threading.active_count(), len(server.client.client_list())) == (threads, clients)
            await cache.delete("a")

    asyncio.run(main())


def test_connections_of_thread_close_with_cache(server: Server, namespace: str) -> None:
    """The connection that renewed leases is closed when its cache is closed, and when its cache is dropped."""

    async def main() -> None:
        cache = AsyncSessionCache.from_url(f"{server.url}?client_name={namespace}", namespace=namespace)
        session = await cache.create("a", ttl=60)
        async with session.lease(ttl=RENEWED_TTL):
            await until_connections(2)
        await cache.delete("a")
        await cache.close()
        await until_connections(0)

    async def until_connections(wanted: int) -> None:
        while [one["name"] for one in server.client.client_list()].count(namespace) != wanted:
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(main(), 30))


def test_handles_end_without_garbage_collector(url: str, namespace: str, no_collector: None) -> None:
    """A session, a lease and a run that nothing refers to are gone at once, though they were used and renewed."""

    async def main() -> None:
        async with AsyncSessionCache.from_url(url, namespace=namespace) as cache:
            session = await cache.create("a", ttl=60)
            lease = await session.lease(ttl=RENEWED_TTL).acquire()
            await session.append(X, state={"x": 1})
            await session.state.put("y", 2)
            await session.variables.put("z", "3")
            await (await cache.create("p", ttl=60)).spawn("worker", task="t")
            run = await cache.claim("worker", ttl=RENEWED_TTL, wait=10)
            assert run is not None
            await run.append(X)
            await run.state.put("y", 2)
            await asyncio.sleep(0.5 * RENEWED_TTL)
            handles: list[ref[Any]] = [ref(run), ref(run.held), ref(lease), ref(session)]
            del run, lease, session
            async with asyncio.timeout(10):
                while [handle() for handle in handles] != [None] * 4:  # a renewal may be under way
                    await asyncio.sleep(0.01)
            other = await cache.session("a").lease(wait=20).acquire()
            assert other.fence == 2
            await cache.delete("a")
            await cache.delete("p")

    asyncio.run(main())


def test_run_of_dropped_handle_goes_to_next_worker(
    server: Server, namespace: str, no_collector: None, caplog: pytest.LogCaptureFixture
) -> None:
    """A hundred runs whose handles were dropped are claimed by another worker within their ttl and a second.

    A dropped handle is not renewed on purpose, so its log does not say that a renewal is late.
    """

    async def main() -> None:
        async with (
            AsyncSessionCache.from_url(server.url, namespace=namespace) as first,
            AsyncSessionCache.from_url(server.url, namespace=namespace) as second,
        ):
            parent = await first.create("p", ttl=60, max_children=100, max_active=100, max_descendants=100)
            for number in range(100):
                await parent.spawn("worker", task=str(number), max_attempts=5)
            runs = [await first.claim("worker", ttl=RENEWED_TTL, wait=10) for _ in range(100)]
            await asyncio.sleep(0.5 * RENEWED_TTL)
            assert all(run is not None and run.held.is_held for run in runs)
            runs.clear()
            caplog.clear()
            kept = []
            found: set[str] = set()
            with measured_load() as load:
                began = time.monotonic()
                while time.monotonic() < began + 60 and len(found) < 100:
                    run = await second.claim("worker", ttl=30, wait=0.2)
                    if run is not None:
                        found.add(run.id)
                        kept.append(run)
                assert time.monotonic() - began < load.allow(RENEWED_TTL + 1, wakeups=100), len(found)
            assert [one for one in caplog.messages if "not renewed in time" in one] == []
            await first.delete("p")

    asyncio.run(main())


def test_max_hold_ends_lease(server: Server, namespace: str, caplog: pytest.LogCaptureFixture) -> None:
    """A lease with `max_hold` is renewed until then: `lost` is set, a warning is logged, and another worker gets the lease."""

    async def main() -> None:
        async with AsyncSessionCache.from_url(server.url, namespace=namespace) as cache:
            session = await cache.create("a", ttl=60)
            began = time.monotonic()
            lease = await session.lease(ttl=RENEWED_TTL, max_hold=4).acquire()
            await asyncio.sleep(1.2 * RENEWED_TTL)
            assert lease.is_held
            assert await lease.lost.wait(20)
            assert time.monotonic() - began > 3.95
            other = await asyncio.create_task(
                cache.session("a").lease(5, wait=10).acquire(), context=contextvars.Context()
            )
            assert other.is_held
            with pytest.raises(LeaseLost, match="max_hold"):
                await lease.renew()
            await asyncio.create_task(cache.delete("a"), context=contextvars.Context())

    with caplog.at_level(logging.WARNING, "redis_sessions"):
        asyncio.run(main())
    assert [record.message for record in caplog.records if "max_hold" in record.message] == [
        "the lease on session a ends, because it was held for max_hold, 4 s"
    ]


def test_lease_keeps_short_lived_session_alive(url: str, namespace: str) -> None:
    """A lease of 30 s keeps a session of 1 s alive, though each append of its holder sets the short life again."""

    async def main() -> None:
        async with AsyncSessionCache.from_url(url, namespace=namespace) as cache:
            session = await cache.create("a", ttl=2)
            async with session.lease(ttl=30):
                await asyncio.sleep(0.5)
                await session.append(X)
                await asyncio.sleep(4)
                assert (await session.append(X)).last_seq == 2
            info = await session.info()
            assert info.expires_in is not None
            assert info.expires_in.total_seconds() <= 2

    asyncio.run(main())


def test_borrowed_client_renews_leases(server: Server, namespace: str) -> None:
    """The renewal thread makes connections of its own with the settings of a borrowed client."""

    async def main() -> None:
        client = redis.asyncio.Redis.from_url(server.url)
        async with AsyncSessionCache(client, namespace=namespace) as cache:
            session = await cache.create("a", ttl=60)
            async with session.lease(ttl=RENEWED_TTL) as lease:
                time.sleep(1.2 * RENEWED_TTL)  # noqa: ASYNC251 - the fault
                assert (await session.append(X)).last_seq == 1
                assert lease.is_held
            await cache.delete("a")
        await client.aclose()

    asyncio.run(main())


def test_forked_process_renews_leases_of_its_own(server: Server, namespace: str) -> None:
    """A forked process has a renewal thread of its own, and the lease of its parent goes on."""

    async def hold(id: str, action: Any) -> bool:
        async with AsyncSessionCache.from_url(server.url, namespace=namespace) as cache:
            session = await cache.create(id, ttl=60)
            async with session.lease(ttl=RENEWED_TTL) as lease:
                await asyncio.sleep(0.6 * RENEWED_TTL)
                await action()
                held = lease.is_held
                await session.append(X)
            return held

    async def fork() -> None:
        child = os.fork()
        if child == 0:
            try:
                asyncio.events._set_running_loop(None)
                asyncio.set_event_loop(None)
                os._exit(0 if asyncio.run(hold("child", lambda: asyncio.sleep(0.6 * RENEWED_TTL))) else 3)
            finally:
                os._exit(4)
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        assert os.waitstatus_to_exitcode(status) == 0

    assert asyncio.run(hold("parent", fork))
    server.client.flushall()
