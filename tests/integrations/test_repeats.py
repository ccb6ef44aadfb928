"""The writes of one object that several callers repeat after an unknown outcome."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from agent_framework import Message
from agent_framework._sessions import filter_new_messages

from redis_sessions import AsyncSessionCache, OutcomeUnknown, StoreUnavailable
from redis_sessions.integrations import agent_framework
from redis_sessions.integrations._repeats import Repeats, settled
from redis_sessions.integrations.agent_framework import RedisSessionsHistoryProvider
from redis_sessions.integrations.openai_agents import RedisSessionsSession
from tests.support.proxy import Losses, proxy
from tests.support.servers import Server

CALLERS = 5
WRITES = 6
"""The writes of each caller. A session knows its last 64 operations, which are all of them."""


async def failed(repeats: Repeats, content: str, place: str = "", gate: asyncio.Barrier | None = None) -> str:
    """Make a write whose outcome is not known. Return its batch ID."""
    ids: list[str] = []

    async def write(batch_id: str) -> None:
        ids.append(batch_id)
        if gate is not None:
            await gate.wait()
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await repeats.once(content, write, place=place)
    return ids[0]


async def stored(repeats: Repeats, content: str, place: str = "") -> str:
    """Make a write that succeeds. Return its batch ID."""

    async def write(batch_id: str) -> str:
        return batch_id

    return await repeats.once(content, write, place=place)


def test_write_of_another_caller_does_not_end_a_repetition() -> None:
    """A caller repeats its write under the same batch ID, whatever other tasks and threads wrote since."""
    repeats = Repeats()

    async def main() -> None:
        first = await failed(repeats, "x")
        second = await asyncio.create_task(failed(repeats, "y"))
        assert await asyncio.to_thread(asyncio.run, stored(repeats, "z")) not in (first, second)
        await asyncio.create_task(stored(repeats, "z"))
        assert await stored(repeats, "x") == first
        assert await stored(repeats, "x") != first

    asyncio.run(main())


def test_caller_that_wrote_something_else_has_moved_on() -> None:
    """A write that failed, and after which its caller made another one at the same place, is not repeated."""
    repeats = Repeats()

    async def main() -> None:
        first = await failed(repeats, "x")
        elsewhere = await failed(repeats, "x", "another place")
        await stored(repeats, "y")
        assert await stored(repeats, "x") != first
        assert await stored(repeats, "x", "another place") == elsewhere

    asyncio.run(main())
    first = asyncio.run(failed(repeats, "x"))
    asyncio.run(stored(repeats, "y"))
    assert asyncio.run(stored(repeats, "x")) != first


def test_equal_writes_of_several_callers_stay_apart() -> None:
    """Each of several failed writes with the same content is repeated once, under its own batch ID."""
    repeats = Repeats()

    async def call(gate: asyncio.Barrier) -> tuple[str, str]:
        first = await failed(repeats, "x", gate=gate)
        return first, await stored(repeats, "x")

    async def main() -> None:
        gate = asyncio.Barrier(CALLERS)
        pairs = await asyncio.gather(*[call(gate) for _ in range(CALLERS)])
        assert len({first for first, _ in pairs}) == CALLERS
        assert all(first == again for first, again in pairs)

    asyncio.run(main())


class CountedTask(asyncio.Task[Any]):
    """A task that counts its cancellations."""

    cancellations = 0

    def cancel(self, msg: Any = None) -> bool:
        """Count, and cancel."""
        self.cancellations += 1
        return super().cancel(msg)


def test_scope_of_anyio_cancels_a_write_once() -> None:
    """A write in a cancelled scope of anyio is settled without a cancellation in each turn of the event loop."""
    stored: list[str] = []

    async def write() -> None:
        for _ in range(20):
            await asyncio.sleep(0.005)
        stored.append("x")

    async def call() -> CountedTask:
        task = asyncio.current_task()
        assert isinstance(task, CountedTask)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await settled(write())
        assert scope.cancelled_caught
        return task

    async def main() -> None:
        task = await asyncio.create_task(call())
        assert stored == ["x"]
        assert task.cancellations <= 2

    with asyncio.Runner() as runner:
        runner.get_loop().set_task_factory(lambda loop, coroutine, **given: CountedTask(coroutine, loop=loop, **given))
        runner.run(main())


async def until_known(call: Callable[[], Awaitable[Any]]) -> Any:
    """Repeat a call until its outcome is known."""
    while True:
        try:
            return await call()
        except (OutcomeUnknown, StoreUnavailable):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("server", ["valkey-9"], indirect=True)
@pytest.mark.parametrize("text", ["{worker}.{number}", "same"])
def test_callers_of_one_object_add_and_pop_once_over_a_lossy_network(server: Server, namespace: str, text: str) -> None:
    """Tasks and threads that repeat what failed, over one object, add each item once, and each item reaches one pop."""
    losses = Losses(requests=0.02, replies=0.15)
    wanted = Counter(
        text.format(worker=worker, number=number) for worker in range(2 * CALLERS) for number in range(WRITES)
    )
    popped: list[str] = []

    async def add(session: RedisSessionsSession, worker: int, number: int) -> None:
        item = {"role": "user", "content": text.format(worker=worker, number=number)}
        await until_known(lambda: session.add_items([item]))

    async def add_all(session: RedisSessionsSession, worker: int) -> None:
        for number in range(WRITES):
            await add(session, worker, number)

    def add_from_thread(session: RedisSessionsSession, worker: int) -> None:
        for number in range(WRITES):
            asyncio.run(add(session, worker, number))

    async def pop_all(session: RedisSessionsSession) -> None:
        while (item := await until_known(session.pop_item)) is not None:
            popped.append(item["content"])

    async def main(port: int) -> None:
        url = f"redis://127.0.0.1:{port}?timeout=0.3&retry_for=0.3"
        async with AsyncSessionCache.from_url(url, namespace=namespace) as cache:
            session = RedisSessionsSession("a", cache=cache)
            threads = [asyncio.to_thread(add_from_thread, session, worker) for worker in range(CALLERS)]
            await asyncio.gather(*threads, *[add_all(session, CALLERS + worker) for worker in range(CALLERS)])
            found = await until_known(session.get_items)
            assert Counter(item["content"] for item in found) == wanted
            await asyncio.gather(*[pop_all(session) for _ in range(CALLERS)])

    with proxy(server.port, losses) as port:
        asyncio.run(main(port))
    assert losses.lost_replies > 0
    assert Counter(popped) == wanted
    server.client.flushall()


@pytest.mark.parametrize("server", ["valkey-9"], indirect=True)
def test_clear_ends_the_repetition_of_earlier_writes(server: Server, namespace: str) -> None:
    """A write after a clear is another one than the equal write before the clear whose reply was lost."""
    losses = Losses(requests=0, replies=0)
    x, y, z = ({"role": "user", "content": text} for text in "xyz")
    message = Message("user", ["x"], message_id="m")

    async def unknown(call: Callable[[], Awaitable[Any]], replies: float = 1.0) -> None:
        losses.replies = replies
        with pytest.raises(OutcomeUnknown):
            await call()
        losses.replies = 0.0

    def lose_replies(existing: list[Message], messages: list[Message]) -> list[Message]:
        losses.replies = 1.0
        return filter_new_messages(existing, messages)

    async def main(port: int) -> None:
        url = f"redis://127.0.0.1:{port}?timeout=0.2&retry_for=0.4"
        async with AsyncSessionCache.from_url(url, namespace=namespace) as cache:
            session, provider = RedisSessionsSession("a", cache=cache), RedisSessionsHistoryProvider(cache=cache)
            await session.add_items([x])
            await unknown(lambda: session.add_items([y]))
            await session.clear_session()
            await session.add_items([y])
            assert await session.get_items() == [y]
            await unknown(session.pop_item)
            await session.clear_session()
            await session.add_items([z])
            assert [await session.pop_item() for _ in range(2)] == [z, None]
            await session.add_items([x])
            await unknown(session.clear_session)
            await asyncio.create_task(session.add_items([z]))
            await session.clear_session()
            assert await session.get_items() == []  # each clear is one of its own
            with pytest.MonkeyPatch.context() as patch:  # the read of a save has a reply, and its write has none
                patch.setattr(agent_framework, "filter_new_messages", lose_replies)
                await unknown(lambda: provider.save_messages("a", [message]), replies=0.0)
            await provider.clear("a")
            await provider.save_messages("a", [message])
            assert len(await provider.get_messages("a")) == 1

    with proxy(server.port, losses) as port:
        asyncio.run(main(port))
    server.client.flushall()
