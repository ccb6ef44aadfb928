"""One asyncio cache in several event loops and threads: at once, one after the other, ended, closed and dropped."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from redis_sessions import AsyncSessionCache, InvalidInput, OutcomeUnknown, SessionCache
from redis_sessions._async.transport import tasks
from tests.support.machine_load import measured_load
from tests.support.servers import Server, await_true

X = {"role": "user", "content": "x"}


@pytest.fixture(autouse=True)
def unraised_errors(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test after which a finalizer or an event loop reports an error."""
    found: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", found.append)
    yield
    gc.collect()
    assert not found
    assert not [record for record in caplog.records if record.name == "asyncio" and record.levelname == "ERROR"]


async def use(cache: AsyncSessionCache, id: str = "a") -> int:
    """Write under a lease, listen, and return the number of messages."""
    session = await cache.get_or_create(id, ttl=60)
    async with session.lease(ttl=30, wait=30):
        result = await session.append(X)
    assert await cache._context.hub.try_subscribe()
    return result.last_seq or 0


def connections(server: Server, but: int = 0) -> int:
    """Return the number of connections to a server, without that of the test and `but` others."""
    return len(server.client.client_list()) - 1 - but


def in_threads(count: int, function: Callable[[int], object]) -> None:
    """Call a function in several threads, which begin at once."""
    barrier, problems = threading.Barrier(count), []

    def run(number: int) -> None:
        barrier.wait()
        try:
            function(number)
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not problems


def test_first_use_in_several_loops_at_once_works(url: str, namespace: str) -> None:
    """A cache whose first uses come from 8 event loops at once serves all of them."""
    cache = AsyncSessionCache.from_url(url, namespace=namespace)
    in_threads(8, lambda number: asyncio.run(use(cache, f"s{number}")))

    async def end() -> None:
        assert [await cache.session(f"s{number}").delete() for number in range(8)] == [True] * 8
        await cache.close()

    asyncio.run(end())


def test_one_loop_after_another_works_and_leaves_no_connection(server: Server, namespace: str) -> None:
    """A cache serves `asyncio.run` again and again, and the end of a loop closes its connections."""
    cache, before = AsyncSessionCache.from_url(server.url, namespace=namespace), connections(server)
    assert [asyncio.run(use(cache)) for _ in range(5)] == [1, 2, 3, 4, 5]
    await_true(lambda: connections(server, before) == 0)
    asyncio.run(cache.close())
    server.client.flushall()


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of asyncio, because the loop is closed with open transports
def test_loops_closed_with_pending_tasks_leave_no_error(server: Server, namespace: str) -> None:
    """A loop that is closed while its tasks are pending is forgotten silently, and its connections with the next use."""
    cache, before = AsyncSessionCache.from_url(server.url, namespace=namespace), connections(server)
    for _ in range(5):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(use(cache))
        loop.close()
    assert len(cache._context.parts._by_loop) == 1
    asyncio.run(cache.close())
    del cache, loop
    gc.collect()
    await_true(lambda: connections(server, before) == 0)
    server.client.flushall()


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of asyncio, because the loop is closed with an open socket
@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_loop_closed_while_a_connection_opens_leaves_no_error(server: Server, steps: int) -> None:
    """A loop that is closed at any step of the opening of a connection by a background task is forgotten silently."""

    async def begin_ping(cache: AsyncSessionCache) -> None:
        client = cache._context.router._single
        assert client is not None
        tasks.spawn(client.send, ("PING",))
        for _ in range(steps):
            await asyncio.sleep(0)

    for _ in range(2):  # the second loop forgets the tasks of the first one
        loop = asyncio.new_event_loop()
        loop.run_until_complete(begin_ping(AsyncSessionCache.from_url(server.url)))
        loop.close()
    asyncio.run(begin_ping(AsyncSessionCache.from_url(server.url)))
    del loop
    gc.collect()


def test_close_after_cancelled_tasks_is_immediate(server: Server, namespace: str) -> None:
    """A close at the end of `asyncio.run`, after all tasks were cancelled, does not wait for a reply."""
    cache, took = AsyncSessionCache.from_url(server.url, namespace=namespace, timeout=60, retry_for=60), []

    async def closing() -> AsyncIterator[None]:
        try:
            yield
        finally:  # runs when asyncio.run shuts down the generators
            began = time.monotonic()
            await cache.close()
            took.append(time.monotonic() - began)

    generator = closing()

    async def main() -> None:
        await use(cache)
        await anext(generator)

    asyncio.run(main())
    assert took[0] < 30
    server.client.flushall()


def test_close_in_another_thread_ends_calls_of_a_running_loop(server: Server, namespace: str) -> None:
    """A close in one thread ends the calls in flight of another thread's loop, and later calls are refused in each loop."""
    cache = AsyncSessionCache.from_url(server.url, namespace=namespace, timeout=60, retry_for=60)
    is_waiting = threading.Event()

    async def wait() -> None:
        session = await cache.create("a", ttl=60)
        server.client.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
        call = asyncio.create_task(session.append(X))
        asyncio.get_running_loop().call_later(0.05, is_waiting.set)
        with pytest.raises(OutcomeUnknown, match="closed"):
            await asyncio.wait_for(call, 50)

    async def close() -> None:
        await asyncio.to_thread(is_waiting.wait, 50)
        await cache.close()
        with pytest.raises(InvalidInput, match="closed"):
            await cache.get("a")

    try:
        in_threads(2, lambda number: asyncio.run(close()) if number else asyncio.run(wait()))
    finally:
        server.client.execute_command("CLIENT", "UNPAUSE")
    server.client.flushall()


def test_close_closes_connections_of_paused_loops(server: Server, namespace: str) -> None:
    """A close in one loop closes the connections of a loop that does not run now."""
    cache, before = AsyncSessionCache.from_url(server.url, namespace=namespace), connections(server)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(use(cache))
    asyncio.run(cache.close())
    await_true(lambda: connections(server, before) == 0)
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    server.client.flushall()


@pytest.mark.parametrize("is_closed", [True, False])
def test_caches_of_one_loop_leave_nothing(server: Server, namespace: str, is_closed: bool) -> None:
    """Caches that are closed, or dropped without a close, leave no connection, task, thread or hook."""

    async def use_one() -> None:
        cache = AsyncSessionCache.from_url(server.url, namespace=namespace)
        await use(cache)
        if is_closed:
            await cache.close()

    async def main() -> None:
        await use_one()
        await asyncio.sleep(2.5)  # the repair of the first session's entries
        before = connections(server), len(asyncio.all_tasks()), threading.active_count(), hooks()
        for _ in range(50):
            await use_one()
        due = time.monotonic() + 30
        while (now := (connections(server), len(asyncio.all_tasks()), threading.active_count(), hooks())) > before:
            assert time.monotonic() < due, (before, now)
            await asyncio.sleep(0.1)

    asyncio.run(main())
    server.client.flushall()


@pytest.mark.parametrize("is_closed", [True, False])
def test_caches_of_threads_leave_nothing(server: Server, namespace: str, is_closed: bool) -> None:
    """Caches for threads that are closed, or dropped without a close, leave no connection, thread or hook."""

    def use_one() -> None:
        cache = SessionCache.from_url(server.url, namespace=namespace)
        session = cache.get_or_create("a", ttl=60)
        with session.lease(ttl=30, wait=30):
            session.append(X)
        assert cache._context.hub.try_subscribe()
        if is_closed:
            cache.close()

    use_one()
    time.sleep(2.5)  # the repair of the first session's entries
    before = connections(server), threading.active_count(), hooks()
    for _ in range(50):
        use_one()
    await_true(lambda: (connections(server), threading.active_count(), hooks()) <= before)
    server.client.flushall()


def hooks() -> int:
    """Return the number of objects that hear of forks."""
    from redis_sessions import _fork

    return len(_fork._methods)


def test_event_and_queue_hear_other_threads() -> None:
    """An event that another thread sets, and a queue that another thread fills, wake their waiters at once."""
    event, queue = tasks.Event(), tasks.Queue[int]()

    async def main() -> None:
        threading.Timer(0.05, event.set).start()
        assert await event.wait(60)
        threading.Timer(0.05, queue.put, (7,)).start()
        assert await queue.get(60) == 7

    with measured_load() as load:
        began = time.monotonic()
        asyncio.run(main())
    assert time.monotonic() - began < load.allow(10)
    assert not asyncio.run(tasks.Event().wait(0.01))
