"""Texts that the adapters store, with a cache that encodes messages or everything."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from agent_framework import Message
from google.adk.events.event import Event
from google.genai import types
from langgraph.checkpoint.base import empty_checkpoint
from mcp.types import JSONRPCNotification
from pydantic_ai.conversation import Conversation
from pydantic_ai.messages import ModelRequest, UserPromptPart
from strands.types.session import SessionAgent, SessionMessage

from redis_sessions import SessionCache
from redis_sessions.codecs import EVERYTHING
from redis_sessions.integrations.agent_framework import RedisSessionsHistoryProvider
from redis_sessions.integrations.claude_agent_sdk import RedisSessionsStore as ClaudeStore
from redis_sessions.integrations.google_adk import RedisSessionsSessionService
from redis_sessions.integrations.langgraph import RedisSessionsSaver
from redis_sessions.integrations.langgraph import RedisSessionsStore as GraphStore
from redis_sessions.integrations.mcp import RedisSessionsEventStore
from redis_sessions.integrations.openai_agents import RedisSessionsSession
from redis_sessions.integrations.pydantic_ai import RedisSessionsConversationStore
from redis_sessions.integrations.strands import RedisSessionsSessionManager
from tests.codecs.conftest import SECRET, cipher
from tests.conftest import fake_client

MARK = "zanzibar"
"""A word of SECRET."""


async def store_openai_item(cache: SessionCache) -> None:
    """Store an item of the Agents SDK."""
    await RedisSessionsSession("s", cache=cache).add_items([{"role": "user", "content": SECRET}])


async def store_agent_framework_message(cache: SessionCache) -> None:
    """Store a message of the Agent Framework."""
    await RedisSessionsHistoryProvider(cache=cache).save_messages("s", [Message("user", [SECRET])])


async def store_claude_entries(cache: SessionCache) -> None:
    """Store an entry of Claude in a main transcript and in that of a subagent, and list the summaries."""
    store, entry = ClaudeStore(cache=cache), {"type": "user", "message": {"role": "user", "content": SECRET}}
    key: Any = {"project_key": "p", "session_id": "s"}
    await store.append(key, [entry])  # type: ignore[list-item]
    await store.append({**key, "subpath": "agent"}, [entry])  # type: ignore[list-item]
    assert MARK in str(await store.list_session_summaries("p"))


async def store_pydantic_conversation(cache: SessionCache) -> None:
    """Store a conversation of Pydantic AI."""
    messages = [ModelRequest(parts=[UserPromptPart(SECRET)])]
    await RedisSessionsConversationStore(cache=cache).save(Conversation(conversation_id="c", messages=messages))


async def store_adk_event(cache: SessionCache) -> None:
    """Store an event of the ADK."""
    service = RedisSessionsSessionService(cache=cache)
    session = await service.create_session(app_name="a", user_id="u")
    content = types.Content(role="user", parts=[types.Part(text=SECRET)])
    await service.append_event(session, Event(author="user", invocation_id="i", content=content))


async def store_strands_agent(cache: SessionCache) -> None:
    """Store an agent of Strands with its state, and a message."""
    manager = await asyncio.to_thread(RedisSessionsSessionManager, "s", cache=cache)
    agent = SessionAgent(agent_id="a", state={"k": SECRET}, conversation_manager_state={})
    await asyncio.to_thread(manager.create_agent, "s", agent)
    message = SessionMessage.from_message({"role": "user", "content": [{"text": SECRET}]}, 0)
    await asyncio.to_thread(manager.create_message, "s", "a", message)


async def store_mcp_event(cache: SessionCache) -> None:
    """Store an event of MCP."""
    message = JSONRPCNotification(jsonrpc="2.0", method="m", params={"data": SECRET})
    assert await RedisSessionsEventStore(cache=cache).store_event("1", message)


async def store_adk_state(cache: SessionCache) -> None:
    """Store the state of a session of the ADK, and of its user."""
    service = RedisSessionsSessionService(cache=cache)
    await service.create_session(app_name="a", user_id="u", state={"k": SECRET, "user:k": SECRET})


async def store_checkpoint(cache: SessionCache) -> None:
    """Store a checkpoint of LangGraph with a pending write."""
    saver, checkpoint = RedisSessionsSaver(cache=cache), empty_checkpoint()
    checkpoint["channel_values"], checkpoint["channel_versions"] = {"a": SECRET}, {"a": "1"}
    config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    config = await saver.aput(config, checkpoint, {}, {"a": "1"})
    await saver.aput_writes(config, [("a", SECRET)], "task")


async def store_item(cache: SessionCache) -> None:
    """Store an item of LangGraph."""
    await GraphStore(cache=cache).aput(("a",), "k", {"v": SECRET})


OF_MESSAGES = [
    store_openai_item, store_agent_framework_message, store_claude_entries, store_pydantic_conversation,
    store_adk_event, store_strands_agent, store_mcp_event,
]  # fmt: skip
OTHERS = [store_adk_state, store_checkpoint, store_item]


def is_plain(store: Callable[[SessionCache], Awaitable[None]], **options: Any) -> bool:
    """Return whether the server holds the text that an adapter stores as it is."""
    with SessionCache.from_url("fake://", **{"codecs": [cipher()], **options}) as cache:

        async def main() -> None:
            await store(cache)

        asyncio.run(main())
        client = fake_client(cache)
        return any(MARK.encode() in (client.dump(key) or b"") + key for key in client.keys("*"))


@pytest.mark.parametrize("store", [*OF_MESSAGES, *OTHERS])
def test_cache_that_encodes_everything_stores_no_plain_text(store: Callable[[SessionCache], Awaitable[None]]) -> None:
    """With EVERYTHING no adapter stores a text as it is."""
    assert not is_plain(store, encode=EVERYTHING)


@pytest.mark.parametrize("store", [*OF_MESSAGES, *OTHERS])
def test_cache_that_encodes_messages_stores_other_values_plain(
    store: Callable[[SessionCache], Awaitable[None]],
) -> None:
    """Without `encode` a cache encodes messages, and the guide names the adapters that store other values."""
    assert is_plain(store) is (store in OTHERS)


@pytest.mark.parametrize("store", [*OF_MESSAGES, *OTHERS])
def test_text_is_found_without_codecs(store: Callable[[SessionCache], Awaitable[None]]) -> None:
    """Without codecs each adapter stores the text as it is, and this file finds it."""
    assert is_plain(store, codecs=[])
