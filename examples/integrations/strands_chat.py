"""A Strands agent whose messages survive its process, with a fake model: python strands_chat.py [URL]."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from typing import Any

from strands import Agent
from strands.models import Model

from redis_sessions import SessionCache
from redis_sessions.integrations.strands import RedisSessionsSessionManager


class Echo(Model):  # type: ignore[misc]
    """A model that repeats how many messages it sees."""

    def update_config(self, **model_config: Any) -> None:
        """Take no configuration."""

    def get_config(self) -> dict[str, Any]:
        """Return no configuration."""
        return {}

    def structured_output(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse, because this model knows no schema."""
        raise NotImplementedError("the model of this example returns text only")

    async def stream(self, messages: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """Yield the events of an answer."""
        yield {"messageStart": {"role": "assistant"}}
        yield {"contentBlockDelta": {"delta": {"text": f"I see {len(messages)} messages."}}}
        yield {"contentBlockStop": {}}
        yield {"messageStop": {"stopReason": "end_turn"}}


def ask(cache: SessionCache, question: str) -> str:
    """Ask an agent that is made for this question, as a new process would make it."""
    manager = RedisSessionsSessionManager("chat-7", cache=cache)
    agent = Agent(agent_id="desk", model=Echo(), session_manager=manager, callback_handler=None)
    return str(agent(question)).strip()


with SessionCache.from_url(sys.argv[1] if len(sys.argv) > 1 else "embedded://") as cache:
    print("first:", ask(cache, "Where is my bag?"))
    print("second:", ask(cache, "And when does the train leave?"))
