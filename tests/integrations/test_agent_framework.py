"""The history provider of the Microsoft Agent Framework."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

import pytest
from agent_framework import AgentSession, ChatResponse, Content, InMemoryHistoryProvider, Message, SessionContext

from redis_sessions import (
    AsyncSession,
    AsyncSessionCache,
    ConcurrentModification,
    InvalidInput,
    OutcomeUnknown,
    RevisionConflict,
)
from redis_sessions.integrations import agent_framework
from redis_sessions.integrations.agent_framework import RedisSessionsHistoryProvider
from tests.conftest import Engines
from tests.faults.test_round_trips import count_round_trips
from tests.integrations.crew import Crew
from tests.integrations.programs import SEEDS, Chance
from tests.support.attempts import repeat_if_dearer
from tests.support.proxy import Losses, proxy
from tests.support.servers import Server

ONE = pytest.mark.parametrize("server", ["valkey-9"], indirect=True)


def user(text: str, **given: Any) -> Message:
    """Return a user message."""
    return Message(role="user", contents=[text], **given)


def assistant(text: str) -> Message:
    """Return an assistant message."""
    return Message(role="assistant", contents=[text])


def texts(messages: Sequence[Message]) -> list[str]:
    """Return the texts of messages."""
    return [message.text for message in messages]


@pytest.mark.parametrize("engine", ["redis-6.2", "valkey-9", "cluster"], indirect=True)
def test_transcript_that_is_sent_again_is_stored_once(url: str, namespace: str) -> None:
    """A history holds each message once, when parts of it or all of it come again with new messages."""

    async def main() -> None:
        provider = RedisSessionsHistoryProvider(url=url, namespace=namespace)
        call = Content.from_function_call(call_id="c1", name="look", arguments={"at": [1, None]})
        result = Content.from_function_result(call_id="c1", result="found")
        turn = [user("a b/ü"), Message("assistant", [call]), Message("tool", [result]), assistant("yes")]
        assert await provider.get_messages("mia {7}") == []
        await provider.save_messages("mia {7}", turn)
        await provider.save_messages("mia {7}", turn)
        await provider.save_messages("mia {7}", [*turn[2:], user("more")])
        await provider.save_messages("mia {7}", [])
        found = await provider.get_messages("mia {7}")
        assert [one.to_dict() for one in found] == [one.to_dict() for one in [*turn, user("more")]]
        await provider.clear("mia {7}")
        await provider.clear("never")
        assert await provider.get_messages("mia {7}") == []
        await provider.aclose()
        with pytest.raises(InvalidInput, match="is closed"):
            await provider.get_messages("mia {7}")

    asyncio.run(main())


def new_message(chance: Chance, known: list[Message]) -> Message:
    """Return a message, often one that was sent before."""
    if known and chance.is_true(0.3):
        return chance.choice(known)
    call = Content.from_function_call(call_id="c1", name="look", arguments={"at": [1, None]})
    contents: list[Any] = chance.choice(
        [["a"], ["b"], [], ["é💥"], ["a", "b"], [call], [Content.from_function_result("c1", result="x")]]
    )
    given: dict[str, Any] = {"message_id": chance.choice(["m1", "é"])} if chance.is_true(0.2) else {}
    known.append(Message(role=chance.choice(["user", "assistant", "tool", "system"]), contents=contents, **given))
    return known[-1]


@pytest.mark.parametrize("seed", SEEDS)
def test_history_is_that_of_the_provider_in_memory(seed: int, engines: Engines, namespace: str) -> None:
    """Random saves of new messages, of whole transcripts and of their ends leave what the framework's own provider has."""

    async def main() -> None:
        url, chance = engines.url("cluster" if seed == 0 else "valkey-9"), Chance(seed)
        providers = [RedisSessionsHistoryProvider(url=url, namespace=namespace) for _ in range(2)]
        theirs, states, known = InMemoryHistoryProvider(), dict[str, dict[str, Any]](), list[Message]()
        for _ in range(30):
            ours, id = chance.choice(providers), chance.choice(["s", "ü {x}"])
            if chance.is_true(0.05):
                await ours.clear(id)
                states.pop(id, None)
            state = states.setdefault(id, {})
            history = await theirs.get_messages(id, state=state)
            first = chance.choice([0, len(history), chance.randint(0, len(history))])
            messages = history[first:] + chance.some(lambda: new_message(chance, known), 0, 1, 2, 5)
            await ours.save_messages(id, messages)
            await theirs.save_messages(id, messages, state=state)
            found = await chance.choice(providers).get_messages(id)
            assert [one.to_dict() for one in found] == [
                one.to_dict() for one in await theirs.get_messages(id, state=state)
            ]
        for provider in providers:
            await provider.aclose()

    asyncio.run(main())


def test_runs_load_and_store_by_the_options() -> None:
    """A run gets the history before it, and afterwards its input and its answer are part of the history."""

    async def main() -> None:
        provider = RedisSessionsHistoryProvider(url="fake://", store_inputs=False)
        session = AgentSession(session_id="s")
        await provider.save_messages("s", [user("before")])
        context = SessionContext(session_id="s", input_messages=[user("now")])
        given: Any = {"agent": None, "session": session, "context": context, "state": {}}
        await provider.before_run(**given)
        assert texts(context.get_messages()) == ["before"]
        context._response = ChatResponse(messages=[assistant("answer")])
        await provider.after_run(**given)
        assert texts(await provider.get_messages("s")) == ["before", "answer"]
        await provider.aclose()

    asyncio.run(main())


def test_scopes_and_names_keep_histories_apart() -> None:
    """Providers with another name, tenant, application or agent have other histories of the same session."""

    async def main() -> None:
        first = RedisSessionsHistoryProvider(url="fake://", max_messages=2)
        cache = first._source.cache
        scopes: list[dict[str, Any]] = [
            {"source_id": "other"}, {"tenant_id": "t"}, {"application_id": "t"}, {"agent_id": "t"}, {"max_messages": 0}
        ]  # fmt: skip
        await first.save_messages("s", [user("1"), assistant("2"), user("3")])
        assert texts(await first.get_messages("s")) == ["2", "3"]
        for scope in scopes[:-1]:
            other = RedisSessionsHistoryProvider(cache=cache, **scope)
            assert await other.get_messages("s") == []
            await other.save_messages("s", [user("mine")])
            assert texts(await other.get_messages("s")) == ["mine"]
        await RedisSessionsHistoryProvider(cache=cache, **scopes[-1]).save_messages("s", [user("4")])
        assert texts(await first.get_messages("s")) == ["2", "3"]
        await first.aclose()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("given", "detail"),
    [
        ({}, "exactly one"),
        ({"url": "fake://", "max_messages": -1}, "max_messages"),
        ({"url": "fake://", "tenant_id": ""}, "tenant"),
    ],
)
def test_wrong_arguments_are_refused(given: dict[str, Any], detail: str) -> None:
    """A wrong source or option is InvalidInput, which is a ValueError, and so is a session without an ID."""
    with pytest.raises(InvalidInput, match=detail):
        RedisSessionsHistoryProvider(**given)
    for missing in (None, ""):
        with pytest.raises(ValueError, match="session_id"):
            asyncio.run(RedisSessionsHistoryProvider(url="fake://").get_messages(missing))


@ONE
@repeat_if_dearer
def test_save_takes_two_round_trips(server: Server, namespace: str) -> None:
    """A history is read in one round trip, and a save is one more."""

    async def main() -> None:
        provider = RedisSessionsHistoryProvider(url=server.url, namespace=namespace)
        for number in range(3):
            count_round_trips(server)
            await provider.save_messages("s", [user(f"{number}")])
            assert number < 2 or count_round_trips(server) == 2
            await provider.get_messages("s")
            assert number < 2 or count_round_trips(server) == 1
        await provider.aclose()

    asyncio.run(main())
    server.client.flushall()


@ONE
def test_save_that_is_repeated_after_an_unknown_outcome_is_stored_once(
    server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A caller that repeats a save that raised OutcomeUnknown stores the messages once, also an input without an ID."""
    losses = Losses(requests=0, replies=0)
    new_messages: Any = agent_framework.__dict__["filter_new_messages"]

    def lose_the_next_replies(*given: Any) -> list[Message]:
        losses.replies = 1.0
        return list(new_messages(*given))

    async def main(port: int) -> None:
        url = f"redis://127.0.0.1:{port}?timeout=0.2&retry_for=0.3"
        provider = RedisSessionsHistoryProvider(url=url, namespace=namespace)
        for id, messages in (("a", [user("yes")]), ("b", [user("yes"), assistant("ok")])):
            with monkeypatch.context() as patch:
                patch.setattr(agent_framework, "filter_new_messages", lose_the_next_replies)
                with pytest.raises(OutcomeUnknown):
                    await provider.save_messages(id, messages)
            losses.replies = 0.0
            await provider.save_messages(id, messages)
            assert texts(await provider.get_messages(id)) == texts(messages)
        await provider.aclose()

    with proxy(server.port, losses) as port:
        asyncio.run(main(port))
    server.client.flushall()


def test_cancelled_save_that_is_always_in_conflict_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A save whose every attempt meets another writer ends with an error, also when it is cancelled."""

    async def conflict(*given: Any, **options: Any) -> None:
        await asyncio.sleep(0)
        raise RevisionConflict(session_id="a", rev=2)

    async def main() -> None:
        async with AsyncSessionCache.from_url("fake://") as cache:
            provider = RedisSessionsHistoryProvider(cache=cache)
            await provider.save_messages("a", [user("1")])
            monkeypatch.setattr(AsyncSession, "append", conflict)
            with pytest.raises(ConcurrentModification):
                await asyncio.wait_for(provider.save_messages("a", [user("2")]), 30)
            saving = asyncio.create_task(provider.save_messages("a", [user("3")]))
            await asyncio.sleep(0.01)
            saving.cancel()
            done, _ = await asyncio.wait([saving], timeout=30)
            assert saving in done
            assert saving.cancelled()

    asyncio.run(main())


@ONE
def test_threads_and_fresh_loops_share_one_provider(server: Server, namespace: str) -> None:
    """Five threads, each with a fresh event loop for each call, lose and double nothing."""
    provider = RedisSessionsHistoryProvider(url=server.url, namespace=namespace)

    def work(worker: int) -> None:
        for number in range(4):
            asyncio.run(provider.save_messages("s", [user("x", message_id=f"{worker}.{number}")]))

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [one.message_id for one in asyncio.run(provider.get_messages("s"))]
    assert sorted(found) == sorted(f"{worker}.{number}" for worker in range(5) for number in range(4))
    asyncio.run(provider.aclose())
    server.client.flushall()


def save_the_whole_transcript(url: str, namespace: str, worker: int, left: range, pipe: Connection) -> None:
    """Save a transcript that grows, each time from its first message on, in a session of this worker and a shared one."""

    async def main() -> None:
        provider = RedisSessionsHistoryProvider(url=url, namespace=namespace)
        for number in left:
            transcript = [user("x", message_id=f"{worker}.{at}") for at in range(number + 1)]
            await provider.save_messages(f"own-{worker}", transcript)
            stored = [one.message_id for one in await provider.get_messages("shared")]
            await provider.save_messages("shared", [] if f"{worker}.{number}" in stored else transcript[-1:])
            pipe.send(number)
        await provider.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("engine", ["valkey-9"], indirect=True)
def test_killed_processes_lose_and_double_nothing(engine: str, engines: Engines, namespace: str) -> None:
    """Four processes that are killed at random leave each message once, in their own sessions and in a shared one."""
    url = engines.url(engine)
    crew = Crew(save_the_whole_transcript, url, namespace)
    crew.run()

    async def ids(session_id: str) -> list[Any]:
        provider = RedisSessionsHistoryProvider(url=url, namespace=namespace)
        found = [one.message_id for one in await provider.get_messages(session_id)]
        await provider.aclose()
        return found

    for worker in range(crew.workers):
        assert asyncio.run(ids(f"own-{worker}")) == [f"{worker}.{number}" for number in range(crew.items)]
    everything = [f"{worker}.{number}" for worker in range(crew.workers) for number in range(crew.items)]
    assert sorted(asyncio.run(ids("shared"))) == sorted(everything)
