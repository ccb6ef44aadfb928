"""A conversation of the OpenAI Agents SDK that outlives its processes, with a model of a few lines."""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

from agents import Agent, Model, ModelResponse, Runner, Usage, set_tracing_disabled  # type: ignore[attr-defined]
from openai.types.responses import ResponseOutputMessage, ResponseOutputText  # type: ignore[import-not-found]

from redis_sessions import AsyncSessionCache
from redis_sessions.integrations.openai_agents import RedisSessionsSession


class Echo(Model):  # type: ignore[misc]
    """A model that says what it sees."""

    async def get_response(self, system_instructions: Any, input: Any, *given: Any, **options: Any) -> ModelResponse:
        text = f"You asked: {input[-1]['content']} (I see {len(input)} items.)"
        part = ResponseOutputText(text=text, type="output_text", annotations=[])
        message = ResponseOutputMessage(id="m1", content=[part], role="assistant", status="completed", type="message")
        return ModelResponse(output=[message], usage=Usage(), response_id=None)

    def stream_response(self, *given: Any, **options: Any) -> AsyncIterator[Any]:
        raise NotImplementedError("the model of this example does not stream")


async def main(url: str) -> None:
    set_tracing_disabled(True)
    agent = Agent(name="desk", model=Echo())
    async with AsyncSessionCache.from_url(url) as cache:
        for question in ("Where is my bag?", "And my coat?"):
            session = RedisSessionsSession("mia-42", cache=cache, user_id="mia")  # each request makes its own
            result = await Runner.run(agent, question, session=session)
            print(result.final_output)
        newest = await session.pop_item()
        print("popped:", newest and newest["role"])
        print("left:", len(await session.get_items()))
        print("listed:", [one.id for one in (await cache.list(user_id="mia")).items])


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "embedded://"))
