"""An agent of google-adk whose session survives its process, with a fake model: python google_adk_runner.py [URL]."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from typing import Any

from google.adk.agents.base_agent import BaseAgent
from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions
from google.adk.runners import Runner
from google.genai import types

from redis_sessions import SessionCache
from redis_sessions.integrations.google_adk import RedisSessionsSessionService


class Counter(BaseAgent):
    """An agent that says how many events it sees, and counts the questions of its user."""

    async def _run_async_impl(self, ctx: Any) -> AsyncGenerator[Event, None]:
        asked = ctx.session.state.get("user:asked", 0) + 1
        text = f"I see {len(ctx.session.events)} events, and you asked {asked} times."
        yield Event(
            author=self.name, invocation_id=ctx.invocation_id,
            content=types.Content(role="model", parts=[types.Part(text=text)]),
            actions=EventActions(state_delta={"user:asked": asked}),
        )  # fmt: skip


async def ask(cache: SessionCache, session_id: str, question: str) -> str:
    """Ask an agent with a service that is made for this question, as a new process would make it."""
    names = {"app_name": "shop", "user_id": "mia", "session_id": session_id}
    async with RedisSessionsSessionService(cache=cache) as service:
        if await service.get_session(**names) is None:
            await service.create_session(**names)
        runner = Runner(app_name="shop", agent=Counter(name="counter"), session_service=service)
        message = types.Content(role="user", parts=[types.Part(text=question)])
        events = [one async for one in runner.run_async(user_id="mia", session_id=session_id, new_message=message)]
    return str(events[-1].content.parts[0].text)


def main() -> None:
    """Ask twice in one session and once in another, each time with a new service."""
    with SessionCache.from_url(sys.argv[1] if len(sys.argv) > 1 else "fake://") as cache:
        for session_id in ("one", "one", "two"):
            print(asyncio.run(ask(cache, session_id, "How many?")))


if __name__ == "__main__":
    main()
