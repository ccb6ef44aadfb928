"""The session of the OpenAI Agents SDK."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any

import pytest
import redis
from agents import SessionSettings  # type: ignore[attr-defined]
from agents.memory.session import Session, _session_accepts_wrapper

from redis_sessions import (
    AsyncSession,
    AsyncSessionCache,
    ConcurrentModification,
    InvalidInput,
    InvalidState,
    LimitExceeded,
    OutcomeUnknown,
    RevisionConflict,
    SessionCache,
    StoreUnavailable,
)
from redis_sessions.integrations.openai_agents import RedisSessionsSession
from tests.conftest import Engines
from tests.faults.test_round_trips import count_round_trips
from tests.integrations.crew import IS_LONG, Crew
from tests.support.attempts import repeat_if_dearer
from tests.support.proxy import Losses, proxy
from tests.support.servers import Server

ENGINES = pytest.mark.parametrize("engine", ["redis-6.2", "valkey-9", "cluster"], indirect=True)
ONE = pytest.mark.parametrize("server", ["valkey-9"], indirect=True)
Open = Callable[..., RedisSessionsSession]


def user(text: str) -> dict[str, Any]:
    """Return a user item."""
    return {"role": "user", "content": text}


CALL = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "c1", "output": "found"}


def run(main: Callable[[], Awaitable[Any]]) -> Any:
    """Run a coroutine in an event loop of its own."""

    async def wait() -> Any:
        return await main()

    return asyncio.run(wait())


@ENGINES
def test_items_are_added_read_popped_and_cleared(url: str, namespace: str) -> None:
    """A session of any ID keeps items as they are, returns the newest of them, and gives each to one pop."""

    async def main() -> None:
        session = RedisSessionsSession("mia's {chat} 7/ü", url=url, namespace=namespace)
        assert isinstance(session, Session)
        assert _session_accepts_wrapper(session)
        assert (await session.get_items(), await session.pop_item()) == ([], None)
        await session.clear_session()
        await session.add_items([])
        items = [user("a\ud800"), CALL, RESULT, {"odd": [1, None, 2.5, {"deep": "é"}]}]
        await session.add_items(items, wrapper=None)
        assert await session.get_items() == items
        assert [await session.get_items(limit) for limit in (2, 0, -3, 99)] == [items[2:], [], [], items]
        other = RedisSessionsSession.from_url("mia's {chat} 7/ü", url=url, namespace=namespace)
        assert [await session.pop_item(), await other.pop_item(), await session.pop_item()] == items[:0:-1]
        await session.clear_session()
        assert await other.get_items() == []
        assert await session.ping()
        await session.close()
        await other.close()

    run(main)


@ENGINES
def test_history_is_replaced_in_one_step(url: str, namespace: str) -> None:
    """A compaction replaces all items, or the last ones as long as nothing changed since they were read."""

    async def main() -> None:
        session = RedisSessionsSession("a", url=url, namespace=namespace)
        await session.add_items([user(text) for text in "abcd"])
        snapshot = await session._get_compaction_snapshot(2)
        assert (snapshot.items, snapshot.complete) == ([user("c"), user("d")], False)
        assert await snapshot.replace_suffix(1, [user("short")])
        assert not await snapshot.replace_suffix(0, [user("late")])
        assert await session.get_items() == [user("a"), user("b"), user("c"), user("short")]
        snapshot = await session._get_compaction_snapshot(2, prune_prefix=lambda item: item == user("a"))
        assert await snapshot.replace_suffix(0, [user("end")])
        assert await session.get_items() == [user("b"), user("end")]
        assert await session._atomic_replace_items([user("all")])
        assert (await session.get_items(), await session.pop_item()) == ([user("all")], user("all"))
        assert not (await session._get_compaction_snapshot(2)).items
        await session.close()

    run(main)


def test_settings_of_the_sdk_bound_what_is_read() -> None:
    """The limit of the settings counts unless a call has its own, and the settings can be a dict."""

    async def main() -> None:
        session = RedisSessionsSession("a", url="fake://", session_settings={"limit": 1})
        assert session.session_settings == SessionSettings(limit=1)
        await session.add_items([user("a"), user("b")])
        assert (await session.get_items(), len(await session.get_items(5))) == ([user("b")], 2)
        session.session_settings = SessionSettings()
        assert len(await session.get_items()) == 2
        await session.close()

    run(main)


def test_conversation_has_no_end_and_no_cap_unless_the_user_says_so() -> None:
    """A conversation lives for ever and keeps all items by default, and has the life and the user that are given."""

    async def main() -> None:
        async with AsyncSessionCache.from_url("fake://", ttl=5, max_messages=3) as cache:
            await RedisSessionsSession("a", cache=cache).add_items([user("a")] * 5)
            await RedisSessionsSession("b", cache=cache, ttl="90s", user_id="mia").add_items([user("b")])
            first, second = await (await cache.open("a")).info(), await (await cache.open("b")).info()
            assert (first.expires_in, first.count) == (None, 5)
            assert second.user_id == "mia"
            assert second.ttl == timedelta(seconds=90)

    run(main)


def test_closed_session_raises_and_borrowed_ones_go_on() -> None:
    """A session with a URL ends with `close`. One with a cache or a client goes on, and they share the connections."""

    async def main() -> None:
        session = RedisSessionsSession("a", url="fake://")
        await session.close()
        await session.close()
        calls: list[Callable[[], Awaitable[Any]]] = [
            session.get_items, session.pop_item, session.clear_session, session.ping, lambda: session.add_items([])
        ]  # fmt: skip
        for call in calls:
            with pytest.raises(InvalidInput, match="is closed"):
                await call()
        async with AsyncSessionCache.from_url("fake://") as cache:
            borrowed = RedisSessionsSession("a", cache=cache)
            await borrowed.close()
            await borrowed.add_items([user("a")])
            assert await RedisSessionsSession("a", cache=cache).get_items() == [user("a")]
        with SessionCache.from_url("fake://") as plain:
            one, two = RedisSessionsSession("a", cache=plain), RedisSessionsSession("b", cache=plain)
            assert one._cache is two._cache
            await one.add_items([user("a")])
            assert [message.payload for message in plain.session("a").history()] == [user("a")]

    run(main)


@ONE
def test_client_of_either_kind_is_borrowed(server: Server, namespace: str) -> None:
    """Sessions over one client share connections, and leave the client open."""

    async def main() -> None:
        other = redis.asyncio.Redis(port=server.port)
        for client in (server.client, other):
            session = RedisSessionsSession("a", client=client, namespace=namespace)
            await session.add_items([user("a")])
            await session.close()
            assert len(await RedisSessionsSession("a", client=client, namespace=namespace).get_items())
        await other.aclose()

    run(main)
    server.client.flushall()


@pytest.mark.parametrize(
    ("given", "detail"),
    [
        ({}, "exactly one of url, cache and client, got none"),
        ({"url": "fake://", "client": object()}, "got url and client"),
        ({"cache": object()}, "must be a cache"),
        ({"client": object()}, "redis-py"),
        ({"url": "fake://", "ttl": -1}, "ttl"),
        ({"url": "fake://", "colour": "red"}, "colour"),
        ({"url": "fake://", "session_id": 7}, "text"),
    ],
)
def test_wrong_arguments_are_refused(given: dict[str, Any], detail: str) -> None:
    """A wrong source, ID or option is InvalidInput, at once or with the first use."""

    async def main() -> None:
        await RedisSessionsSession(**{"session_id": "a", **given}).add_items([user("a")])

    with pytest.raises(InvalidInput, match=detail):
        run(main)


def test_items_that_are_not_json_are_refused_and_nothing_is_stored() -> None:
    """An item that is not a JSON object is InvalidInput, and the items next to it are not stored either."""

    async def main() -> None:
        session = RedisSessionsSession("a", url="fake://")
        for wrong in ("text", {"content": object()}, {"content": float("nan")}, {(1, 2): "x"}, {"a\ud800": object()}):
            with pytest.raises(InvalidInput):
                await session.add_items([user("a"), wrong])
        assert await session.get_items() == []
        await session.close()

    run(main)


@ONE
@repeat_if_dearer
def test_each_operation_takes_one_round_trip(server: Server, namespace: str) -> None:
    """Adding, reading up to 1,000 items, removing, replacing and clearing take one round trip each, for a fresh object, too."""

    async def main() -> None:
        cache = AsyncSessionCache.from_url(server.url, namespace=namespace)
        session = RedisSessionsSession("a", cache=cache)
        calls: list[Callable[[], Awaitable[Any]]] = [
            lambda: session.add_items([user("a"), user("b")]), session.get_items, session.pop_item,
            lambda: RedisSessionsSession("a", cache=cache).pop_item(), lambda: session._atomic_replace_items([user("c")]),
            session.pop_item, session.pop_item, session.clear_session,
        ]  # fmt: skip
        for is_warm in (False, False, True):  # the first rounds load scripts
            await session.add_items([user(str(number)) for number in range(990)])
            for call in calls:
                count_round_trips(server)
                await call()
                assert not is_warm or count_round_trips(server) == 1, calls.index(call)
        await cache.close()

    run(main)
    server.client.flushall()


@ONE
def test_pop_behind_damage_and_behind_too_many_gaps_goes_on(
    server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pop drops damaged items behind the newest one that can be read, and closes the gaps that fill their record."""

    pop = AsyncSession.pop

    async def refuse(*given: Any, **options: Any) -> None:
        monkeypatch.setattr(AsyncSession, "pop", pop)
        raise LimitExceeded(session_id="a", limit="gap_bytes", current=12001, max=12000, action="error")

    async def main() -> None:
        session = RedisSessionsSession("a", url=server.url, namespace=namespace)
        await session.add_items([user("a"), user("b"), user("c")])
        key = next(key for key in server.client.scan_iter() if b"messages:" in key)
        server.client.lset(key, -1, "damaged")
        other = RedisSessionsSession("a", url=server.url, namespace=namespace)
        assert (await other.get_items(1), await other.pop_item()) == ([user("b")], user("b"))
        assert await other.get_items() == [user("a")]
        for _ in range(3):
            await session.add_items([user("x"), user("y")])
            assert await session.pop_item() == user("y")
        monkeypatch.setattr(AsyncSession, "pop", refuse)
        assert await session.pop_item() == user("x")
        assert await session.get_items() == [user("a"), user("x"), user("x")]
        assert (await session._session.info()).last_seq == 15
        await session.close()
        await other.close()

    run(main)
    server.client.flushall()


@ONE
def test_pop_behind_damage_that_is_repeated_pops_once(
    server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pop behind a damaged item that raised OutcomeUnknown, and is called again, removes one readable item in all."""

    async def main(port: int, losses: Losses) -> None:
        url = f"redis://127.0.0.1:{port}?timeout=0.2&retry_for=0.3"
        replace = AsyncSession.replace

        async def lose_the_reply(self: AsyncSession, *given: Any, **options: Any) -> Any:
            losses.replies = 1.0
            return await replace(self, *given, **options)

        session = RedisSessionsSession("a", url=url, namespace=namespace)
        await session.add_items([user("?")])
        await session._atomic_replace_items([user("a"), user("b"), user("c")])  # so that the server has the script
        monkeypatch.setattr(AsyncSession, "replace", lose_the_reply)
        key = next(key for key in server.client.scan_iter() if b"messages:" in key)
        server.client.lset(key, -1, "damaged")
        with pytest.raises(OutcomeUnknown):
            await session.pop_item()
        losses.replies = 0.0
        monkeypatch.setattr(AsyncSession, "replace", replace)
        assert await session.pop_item() == user("b")
        assert await session.get_items() == [user("a")]
        await session.close()

    losses = Losses(requests=0, replies=0)
    with proxy(server.port, losses) as port:
        run(lambda: main(port, losses))
    server.client.flushall()


def test_cancelled_pop_that_is_always_in_conflict_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pop whose every attempt meets another writer ends with an error, also when it is cancelled."""

    async def damaged(*given: Any, **options: Any) -> None:
        await asyncio.sleep(0.01)
        raise InvalidState(name="message with seq 1", detail="the stored message is damaged")

    async def conflict(*given: Any, **options: Any) -> None:
        raise RevisionConflict(session_id="a", rev=2)

    async def main() -> None:
        async with AsyncSessionCache.from_url("fake://") as cache:
            session = RedisSessionsSession("a", cache=cache)
            await session.add_items([user("a")])
            monkeypatch.setattr(AsyncSession, "pop", damaged)
            monkeypatch.setattr(AsyncSession, "replace", conflict)
            with pytest.raises(ConcurrentModification):
                await asyncio.wait_for(session.pop_item(), 20)
            popping = asyncio.create_task(session.pop_item())
            await asyncio.sleep(0.005)
            popping.cancel()
            done, _ = await asyncio.wait([popping], timeout=20)
            assert popping in done
            assert popping.cancelled()

    run(main)


@ONE
def test_write_that_is_repeated_after_an_unknown_outcome_happens_once(server: Server, namespace: str) -> None:
    """A caller that repeats what raised OutcomeUnknown adds and removes once, and what is added later is new."""

    async def main(port: int, losses: Losses) -> None:
        url = f"redis://127.0.0.1:{port}?timeout=0.2&retry_for=0.3"
        session = RedisSessionsSession("a", url=url, namespace=namespace)
        await session.add_items([user("0"), user("1")])
        losses.replies = 1.0
        for write in (
            lambda: session.add_items([user("yes")]),
            session.pop_item,
            lambda: session.add_items([user("x")]),
        ):
            with pytest.raises(OutcomeUnknown):
                await write()
            losses.replies = 0.0
            found = await write()
            assert found in (None, user("yes"))
            losses.replies = 1.0
        losses.replies = 0.0
        await session.add_items([user("x")])
        assert await session.get_items() == [user(text) for text in ("0", "1", "x", "x")]
        await session.close()

    losses = Losses(requests=0, replies=0)
    with proxy(server.port, losses) as port:
        asyncio.run(main(port, losses))
    server.client.flushall()


@ONE
def test_items_are_popped_once_over_a_lossy_network(server: Server, namespace: str) -> None:
    """Of four objects that pop over a network that loses requests and replies, each item reaches exactly one."""
    popped: list[str] = []

    async def pop_all(url: str) -> None:
        session = RedisSessionsSession("a", url=url, namespace=namespace)
        while True:
            try:
                item = await session.pop_item()
            except (OutcomeUnknown, StoreUnavailable):
                continue  # the next pop repeats it
            if item is None:
                break
            popped.append(item["content"])
        await session.close()

    async def main(port: int) -> None:
        session = RedisSessionsSession("a", url=server.url, namespace=namespace)
        await session.add_items([user(str(number)) for number in range(50)])  # a batch ID is known for 64 operations
        url = f"redis://127.0.0.1:{port}?timeout=0.3&retry_for=0.5"
        await asyncio.gather(*[pop_all(url) for _ in range(4)])
        await session.close()

    losses = Losses(requests=0.02, replies=0.1)
    with proxy(server.port, losses) as port:
        asyncio.run(main(port))
    assert losses.lost_replies > 0
    assert sorted(map(int, popped)) == list(range(50))
    server.client.flushall()


@ONE
def test_cancelled_write_is_settled_before_the_cancellation_is_raised(server: Server, namespace: str) -> None:
    """A cancelled caller gets CancelledError when the outcome is known, so its next read is right."""

    async def main() -> None:
        session = RedisSessionsSession("a", url=server.url, namespace=namespace)
        await session.add_items([user("a")])
        for number in range(20):
            task = asyncio.create_task(session.add_items([user(str(number))]))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            found = await session.get_items()
            await asyncio.sleep(0.001)
            assert await session.get_items() == found
        await session.close()

    run(main)
    server.client.flushall()


@ONE
def test_threads_and_fresh_loops_share_one_object(server: Server, namespace: str) -> None:
    """Five threads, each with event loops of its own, and a fresh `asyncio.run` for each call lose and double nothing."""
    session = RedisSessionsSession("a", url=server.url, namespace=namespace)

    def work(worker: int) -> None:
        for number in range(5):
            run(lambda: session.add_items([user(f"{worker}.{number}")]))  # noqa: B023

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [item["content"] for item in run(session.get_items)]
    assert sorted(found) == sorted(f"{worker}.{number}" for worker in range(5) for number in range(5))
    popped = [run(session.pop_item)["content"] for _ in found]
    assert popped == found[::-1]
    run(session.close)
    server.client.flushall()


def add_one_by_one(url: str, namespace: str, worker: int, left: range, pipe: Connection) -> None:
    """Add items, and leave out the first one if an earlier process added it."""

    async def main() -> None:
        session = RedisSessionsSession("a", url=url, namespace=namespace)
        stored = await session.get_items()
        for number in left:
            if user(f"{worker}.{number}") not in stored:
                await session.add_items([user(f"{worker}.{number}")])
            pipe.send(number)
        await session.close()

    asyncio.run(main())


def pop_and_add(url: str, namespace: str, worker: int, left: range, pipe: Connection) -> None:
    """Take an item, and put in two in its place in one step."""

    async def main() -> None:
        session = RedisSessionsSession("a", url=url, namespace=namespace)
        for number in left:
            await session.pop_item()
            await session._atomic_replace_items([user("one"), user("two")])
            pipe.send(number)
        await session.close()

    asyncio.run(main())


@pytest.mark.parametrize("engine", ["valkey-9", "cluster"] if IS_LONG else ["valkey-9"], indirect=True)
def test_killed_processes_lose_and_double_nothing(engine: str, engines: Engines, namespace: str) -> None:
    """Four processes that add to one session and are killed at random leave each item once."""
    url = engines.url(engine)
    crew = Crew(add_one_by_one, url, namespace)
    crew.run()
    session = RedisSessionsSession("a", url=url, namespace=namespace)
    found = [item["content"] for item in run(session.get_items)]
    assert sorted(found) == sorted(
        f"{worker}.{number}" for worker in range(crew.workers) for number in range(crew.items)
    )
    run(session.close)


@pytest.mark.parametrize("engine", ["valkey-9"], indirect=True)
def test_kill_within_a_replacement_leaves_the_old_or_the_new_items(
    engine: str, engines: Engines, namespace: str
) -> None:
    """A process that dies within a pop or a replacement leaves two, one or no items, and never a mixture."""
    url = engines.url(engine)
    Crew(pop_and_add, url, namespace).run()
    session = RedisSessionsSession("a", url=url, namespace=namespace)
    assert run(session.get_items) in ([], [user("one")], [user("one"), user("two")])
    run(session.close)
