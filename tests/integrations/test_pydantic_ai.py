"""The conversation store of Pydantic AI."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
from collections.abc import Awaitable, Sequence
from multiprocessing.connection import Connection
from typing import Any

import pytest
from pydantic_ai import DeferredToolRequests
from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import (
    ConversationConflict,
    ConversationEntry,
    ConversationRecord,
    ConversationStore,
    InMemoryConversationStore,
)
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    UserPromptPart,
)
from pydantic_ai.usage import RunUsage

from redis_sessions import InvalidInput
from redis_sessions.integrations import pydantic_ai
from redis_sessions.integrations.pydantic_ai import RedisSessionsConversationStore
from tests.conftest import Engines
from tests.faults.test_round_trips import count_round_trips
from tests.integrations.crew import Crew
from tests.support.attempts import repeat_if_dearer
from tests.support.servers import Server

ONE = pytest.mark.parametrize("server", ["valkey-9"], indirect=True)
ENGINES = pytest.mark.parametrize("engine", ["redis-6.2", "valkey-9", "cluster"], indirect=True)


def user(text: str) -> ModelMessage:
    """Return a request of a user."""
    return ModelRequest(parts=[UserPromptPart(content=text)])


async def outcome(call: Awaitable[Any]) -> tuple[Any, type[Exception] | None]:
    """Return the result of a call, or the class of its error."""
    try:
        return await call, None
    except (UserError, LookupError) as problem:
        return None, type(problem)


class BothStores(ConversationStore):
    """The store under test, with the framework's own store, which must give the same answer to each call."""

    def __init__(self, ours: RedisSessionsConversationStore) -> None:
        self.ours, self.theirs = ours, InMemoryConversationStore()

    async def _same(self, name: str, *given: Any, **options: Any) -> Any:
        wanted = await outcome(getattr(self.theirs, name)(*given, **options))
        found = await outcome(getattr(self.ours, name)(*given, **options))
        assert found == wanted, f"{name}{given}{options}"
        if wanted[1] is not None:
            raise wanted[1](given[0].conversation_id if isinstance(given[0], ConversationRecord) else given[0])
        return found[0]

    async def read_record(self, conversation_id: str) -> ConversationRecord | None:
        """Read from both."""
        return await self._same("read_record", conversation_id)  # type: ignore[no-any-return]

    async def read_records(self, *, scope: str | None = None, limit: int | None = None) -> Sequence[ConversationRecord]:
        """Read from both."""
        return await self._same("read_records", scope=scope, limit=limit)  # type: ignore[no-any-return]

    async def write_record(self, record: ConversationRecord, **given: Any) -> None:
        """Write to both."""
        await self._same("write_record", record, **given)

    async def delete_record(self, conversation_id: str, *, expected_revision: str) -> None:
        """Delete from both."""
        await self._same("delete_record", conversation_id, expected_revision=expected_revision)

    async def read_entry(self, entry_id: str) -> ConversationEntry:
        """Read from both."""
        return await self._same("read_entry", entry_id)  # type: ignore[no-any-return]

    async def read_history(self, head_id: str | None, *, limit: int | None = None) -> list[ConversationEntry]:
        """Read from both."""
        return await self._same("read_history", head_id, limit=limit)  # type: ignore[no-any-return]


async def do_something(
    stores: BothStores, chance: random.Random, stale: list[Conversation], entries: list[str]
) -> None:
    """Do one thing that an application does with a store."""
    id, scope = chance.choice("abc"), chance.choice([None, "mia", "bob x"])
    action = chance.choice(["save", "save", "save", "rewrite", "branch", "fork", "delete", "stale", "list", "entry"])
    loaded = await stores.load(id, limit=chance.choice([None, None, 0, 1, 3]), scope=chance.choice([None, scope]))
    if loaded is not None:
        stale.append(loaded)
    conversation = loaded or Conversation(conversation_id=id)
    if action in ("save", "rewrite"):
        if action == "rewrite":
            conversation.messages = conversation.messages[: chance.randint(0, 2)]
            conversation.new_message_index = None
        conversation.messages += [user(str(chance.random())) for _ in range(chance.randint(0, 3))]
        conversation.usage += RunUsage(requests=1, details={"x": 2})
        if chance.random() < 0.2:
            calls = [ToolCallPart(tool_name="f", args={"a": 1}, tool_call_id="c")]
            conversation.deferred_tool_requests = DeferredToolRequests(calls=calls)
        entries += [entry.id for entry in await stores.save(conversation, scope=scope)]
    elif action == "branch":
        await stores.branch(id, at=chance.randint(0, 4), expected_revision=conversation.revision or "none")
    elif action == "fork" and chance.random() < 0.5 and entries:
        await stores.fork(id, from_entry=chance.choice(entries), new_conversation_id=chance.choice("abcd"))
    elif action == "fork":
        await stores.fork(id, at=chance.choice([None, 0, 1, 2]), new_conversation_id=chance.choice("abcd"), scope=scope)
    elif action == "delete":
        await stores.delete(chance.choice("abcd"), scope=scope)
    elif action == "stale" and stale:
        await stores.save(chance.choice(stale))
    elif action == "list":
        await stores.list_conversations(scope=scope, limit=chance.choice([None, 0, 1, 2]))
    elif action == "entry" and entries:
        await stores.read_entry(chance.choice(entries))


@pytest.mark.parametrize("seed", range(6))
def test_store_answers_as_the_store_in_memory(seed: int, engines: Engines, namespace: str) -> None:
    """Random saves, rewrites, branches, forks, deletions and reads have the outcomes of the framework's own store."""

    async def main() -> None:
        url = engines.url("cluster" if seed == 0 else "valkey-9")
        ours = RedisSessionsConversationStore(url=url, namespace=namespace)
        stores, chance = BothStores(ours), random.Random(seed)
        stale, entries = list[Conversation](), list[str]()
        for number in range(60):
            if number % 20 == 19:
                ours._places.clear()  # as in another process
            await outcome(do_something(stores, chance, stale, entries))
        assert entries
        await ours.aclose()

    asyncio.run(main())


@ENGINES
def test_conversation_is_kept_with_all_its_values(url: str, namespace: str) -> None:
    """A conversation of any ID and scope comes back equal, with bytes, usage and the calls that it waits for."""

    async def main() -> None:
        store = RedisSessionsConversationStore(url=url, namespace=namespace)
        file = BinaryContent(data=bytes(range(256)), media_type="application/pdf")
        messages = [
            ModelRequest(parts=[UserPromptPart(content=["see", file])]),
            ModelResponse(parts=[TextPart("a cat")]),
        ]
        calls = DeferredToolRequests(approvals=[ToolCallPart(tool_name="f", args="{}", tool_call_id="c")])
        first = Conversation(conversation_id="mia's {chat}", messages=messages, deferred_tool_requests=calls)
        await store.save(first, scope="mia & bob")
        assert await store.load("mia's {chat}", scope="bob") is None
        found = await store.load("mia's {chat}", scope="mia & bob")
        assert found == first
        assert [one.scope for one in await store.list_conversations(scope="mia & bob")] == ["mia & bob"]
        fork = await store.fork("mia's {chat}", at=1, scope="bob")
        await store.delete("mia's {chat}")
        again = await store.load(fork.conversation_id)
        assert again is not None
        assert again.messages == messages[:1]
        assert await store.list_conversations(scope="mia & bob") == []
        await store.aclose()
        with pytest.raises(InvalidInput, match="is closed"):
            await store.load("a")

    asyncio.run(main())


@ONE
@repeat_if_dearer
def test_primitives_take_one_round_trip(server: Server, namespace: str) -> None:
    """A record, a history of up to 1,000 entries and a save are one round trip each, and a deletion is two."""

    async def main() -> None:
        store = RedisSessionsConversationStore(url=server.url, namespace=namespace)
        for number in range(3):
            conversation = await store.load("a") or Conversation(conversation_id="a")
            conversation.messages.append(user(str(number)))
            count_round_trips(server)
            await store.save(conversation)
            assert number < 2 or count_round_trips(server) == 2  # the record is read before
            await store.load("a")
            assert number < 2 or count_round_trips(server) == 2
        await store.aclose()

    asyncio.run(main())
    server.client.flushall()


@ONE
def test_lists_have_the_conversations_that_are_being_saved(server: Server, namespace: str) -> None:
    """A list of several pages has each conversation once, although saves move them in the order of updates."""
    ids = [f"c{number}" for number in range(200)]

    async def main() -> None:
        store = RedisSessionsConversationStore(url=server.url, namespace=namespace)
        await asyncio.gather(*[append_once(store, id, "first") for id in ids])
        await asyncio.sleep(2.5)  # the order of updates is exact to 2 s, so later saves move the conversations

        async def save() -> None:
            for number in itertools.count():
                await append_once(store, ids[number % len(ids)], f"number {number}.")

        saving = asyncio.create_task(save())
        for limit in (None, 1, 10, 200, 500) * 2:
            listed = [one.conversation_id for one in await store.list_conversations(limit=limit)]
            assert len(set(listed)) == len(listed) == min(limit or 200, 200)
        saving.cancel()
        await asyncio.wait([saving])
        await store.aclose()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pydantic_ai, "_PAGE", 50)
        asyncio.run(main())
    server.client.flushall()


def test_wrong_arguments_are_refused() -> None:
    """Without a source, and with two, a store is InvalidInput, and a negative limit is the framework's own error."""
    with pytest.raises(InvalidInput, match="exactly one"):
        RedisSessionsConversationStore()
    with pytest.raises(InvalidInput, match="exactly one"):
        RedisSessionsConversationStore(url="fake://", client=object())
    store = RedisSessionsConversationStore(url="fake://")
    for wrong in ("", None, 5):
        with pytest.raises(InvalidInput, match="conversation_id"):
            asyncio.run(store.read_record(wrong))  # type: ignore[arg-type]
    for call in (store.load("a", limit=-1), store.list_conversations(limit=-1)):
        with pytest.raises(UserError, match="negative"):
            asyncio.run(call)


async def append_once(store: ConversationStore, id: str, text: str) -> None:
    """Append a message if the conversation does not have it, again when others saved in between."""
    while True:
        conversation = await store.load(id) or Conversation(conversation_id=id)
        if any(text in str(message) for message in conversation.messages):
            return
        conversation.messages.append(user(text))
        try:
            await store.save(conversation)
        except ConversationConflict:
            await asyncio.sleep(random.random() / 100)
            continue
        return


@ONE
def test_threads_and_fresh_loops_share_one_store(server: Server, namespace: str) -> None:
    """Five threads, each with a fresh event loop for each call, lose and double nothing."""
    store = RedisSessionsConversationStore(url=server.url, namespace=namespace)

    def work(worker: int) -> None:
        for number in range(3):
            asyncio.run(append_once(store, "a", f"<{worker}.{number}>"))

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = asyncio.run(store.load("a"))
    assert found is not None
    texts = [message.parts[0].content for message in found.messages]
    assert sorted(texts) == sorted(f"<{worker}.{number}>" for worker in range(5) for number in range(3))
    asyncio.run(store.aclose())
    server.client.flushall()


def save_one_by_one(url: str, namespace: str, worker: int, left: range, pipe: Connection) -> None:
    """Append messages to one conversation."""

    async def main() -> None:
        store = RedisSessionsConversationStore(url=url, namespace=namespace)
        for number in left:
            await append_once(store, "a", f"<{worker}.{number}>")
            pipe.send(number)
        await store.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("engine", ["valkey-9"], indirect=True)
def test_killed_processes_lose_and_double_nothing(engine: str, engines: Engines, namespace: str) -> None:
    """Four processes that save one conversation and are killed at random leave each message once."""
    url = engines.url(engine)
    crew = Crew(save_one_by_one, url, namespace)
    crew.run()

    async def texts() -> list[Any]:
        store = RedisSessionsConversationStore(url=url, namespace=namespace)
        found = await store.load("a")
        assert found is not None
        await store.aclose()
        return [message.parts[0].content for message in found.messages]

    everything = [f"<{worker}.{number}>" for worker in range(crew.workers) for number in range(crew.items)]
    assert sorted(asyncio.run(texts())) == sorted(everything)
