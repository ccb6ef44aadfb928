"""Whole transcripts with many calls, large states, and many channels and pending writes, as frameworks write them."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions
from langgraph.checkpoint.base import empty_checkpoint
from pydantic_ai.conversation import Conversation
from pydantic_ai.messages import ModelRequest, ModelResponse, ToolCallPart, ToolReturnPart

from redis_sessions.integrations.claude_agent_sdk import RedisSessionsStore
from redis_sessions.integrations.google_adk import RedisSessionsSessionService
from redis_sessions.integrations.langgraph import RedisSessionsSaver
from redis_sessions.integrations.openai_agents import RedisSessionsSession
from redis_sessions.integrations.pydantic_ai import RedisSessionsConversationStore
from tests.support.servers import Server

pytestmark = pytest.mark.parametrize("server", ["valkey-9"], indirect=True)
CALLS = 500


def test_items_of_many_calls_are_added_and_replaced_at_once(server: Server, namespace: str) -> None:
    """A session of the OpenAI Agents SDK takes a history with many calls in one step."""
    items: list[Any] = []
    for number in range(CALLS):
        items.append({"type": "function_call", "call_id": f"c{number}", "name": "look", "arguments": "{}"})
        items.append({"type": "function_call_output", "call_id": f"c{number}", "output": "found"})

    async def main() -> None:
        session = RedisSessionsSession("a", url=server.url, namespace=namespace)
        await session.add_items(items)
        assert await session._atomic_replace_items(items[2:])
        assert await session.get_items() == items[2:]
        await session.close()

    asyncio.run(main())


def test_conversation_of_many_calls_is_forked(server: Server, namespace: str) -> None:
    """A conversation of Pydantic AI with many calls is saved and forked."""
    messages: list[Any] = []
    for number in range(CALLS):
        messages.append(ModelResponse(parts=[ToolCallPart("look", {}, tool_call_id=f"c{number}")]))
        messages.append(ModelRequest(parts=[ToolReturnPart("look", "found", tool_call_id=f"c{number}")]))

    async def main() -> None:
        store = RedisSessionsConversationStore(url=server.url, namespace=namespace)
        await store.save(Conversation(messages=messages, conversation_id="a"))
        fork = await store.fork("a")
        loaded = await store.load(fork.conversation_id)
        assert loaded is not None
        assert len(loaded.messages) == 2 * CALLS
        await store.aclose()

    asyncio.run(main())


def test_entries_of_parallel_calls_are_appended_at_once(server: Server, namespace: str) -> None:
    """A store of the Claude Agent SDK takes a batch of entries with several calls each."""
    key: Any = {"project_key": "p", "session_id": "s"}
    calls = [{"type": "tool_use", "id": str(number), "name": "look", "input": {}} for number in range(3)]
    message = {"role": "assistant", "content": calls}
    entries: list[Any] = [{"type": "assistant", "uuid": str(uuid4()), "message": message} for _ in range(CALLS)]

    async def main() -> None:
        store = RedisSessionsStore(url=server.url, namespace=namespace)
        await store.append(key, entries)
        assert await store.load(key) == entries
        await store.close()

    asyncio.run(main())


def test_large_states_of_adk_are_stored(server: Server, namespace: str) -> None:
    """A session, an application and a user have states of several megabytes and of thousands of values."""
    name: Any = {"app_name": "a", "user_id": "u"}
    large = "x" * 1_500_000

    async def main() -> None:
        service = RedisSessionsSessionService(server.url, namespace=namespace)
        session = await service.create_session(**name, session_id="s", state={"k": large, "app:k": large})
        delta = {f"{prefix}{number}": number for prefix in ("", "user:") for number in range(2500)}
        await service.append_event(session, Event(author="agent", actions=EventActions(state_delta=delta)))
        found = await service.get_session(**name, session_id="s")
        assert found is not None
        assert found.state == {"k": large, "app:k": large, **delta}
        await service.close()

    asyncio.run(main())


def test_checkpoint_with_many_channels_and_writes_is_stored(server: Server, namespace: str) -> None:
    """A checkpoint of LangGraph has thousands of channels, and of pending writes of parallel tasks."""
    config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    values = {f"channel {number}": "1" for number in range(1200)}
    checkpoint: Any = {**empty_checkpoint(), "id": "1", "channel_values": values, "channel_versions": values}
    with RedisSessionsSaver(server.url, namespace=namespace) as saver:
        stored = saver.put(config, checkpoint, {}, values)
        for task in range(12):
            saver.put_writes(stored, [("channel 0", number) for number in range(500)], f"task {task}")
        found = saver.get_tuple(config)
        assert found is not None
        assert found.checkpoint["channel_values"] == values
        assert len(found.pending_writes or ()) == 6000
