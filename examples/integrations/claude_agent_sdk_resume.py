"""Mirror and resume transcripts of the Claude Agent SDK, without a model: python claude_agent_sdk_resume.py [URL]."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from claude_agent_sdk import get_session_messages_from_store, list_sessions_from_store, project_key_for_directory

from redis_sessions.integrations.claude_agent_sdk import RedisSessionsStore

SESSION = "5f0c2f4e-0000-4000-8000-000000000001"


def line(number: int, role: str, text: str) -> dict[str, Any]:
    """Return a line of a transcript, as the command line of Claude writes it."""
    return {
        "type": role, "uuid": f"5f0c2f4e-0000-4000-8000-00000000010{number}", "sessionId": SESSION,
        "parentUuid": f"5f0c2f4e-0000-4000-8000-00000000010{number - 1}" if number else None,
        "timestamp": f"2026-11-26T10:00:0{number}.000Z", "message": {"role": role, "content": text},
    }  # fmt: skip


async def main(url: str) -> None:
    store = RedisSessionsStore(url=url)  # ClaudeAgentOptions(session_store=store) is all that an agent needs
    key: Any = {"project_key": project_key_for_directory("."), "session_id": SESSION}
    lines: list[Any] = [line(0, "user", "Where is my bag?"), line(1, "assistant", "On belt 4.")]
    await store.append(key, lines)
    await store.append(key, lines)  # the SDK repeats an append whose reply was lost
    await store.append({**key, "subpath": "subagents/agent-1"}, [line(2, "user", "Search belt 4.")])
    found = await list_sessions_from_store(store, directory=".")
    print("sessions:", [one.summary for one in found])
    messages = await get_session_messages_from_store(store, SESSION, directory=".")
    print("messages:", [one.message["content"] for one in messages])
    print("subagents:", await store.list_subkeys(key))
    await store.close()


asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "embedded://"))
