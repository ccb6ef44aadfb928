"""A conversation of Pydantic AI that is saved, forked and deleted, with a model of a few lines."""

import asyncio
import sys

from pydantic_ai import Agent
from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import ConversationConflict
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from redis_sessions.integrations.pydantic_ai import RedisSessionsConversationStore


def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Say what the model sees."""
    return ModelResponse(parts=[TextPart(f"I see {len(messages)} messages.")])


async def main(url: str) -> None:
    agent = Agent(FunctionModel(model))
    store = RedisSessionsConversationStore(url=url)
    for question in ("Where is my bag?", "And my coat?"):
        conversation = await store.load("mia-42") or Conversation(conversation_id="mia-42")
        result = await agent.run(question, conversation=conversation)
        await store.save(result, scope="mia")
        print(result.output)
    stale = await store.load("mia-42")
    fork = await store.fork("mia-42", at=2, new_conversation_id="what-if")
    print("fork:", len(fork.messages), "messages")
    await store.save(await agent.run("And my hat?", conversation=await store.load("mia-42")))
    try:
        await store.save(stale)
    except ConversationConflict:
        print("the conversation moved on")
    print("listed:", sorted(one.conversation_id for one in await store.list_conversations(scope="mia")))
    await store.delete("mia-42")
    print("left:", [one.conversation_id for one in await store.list_conversations()])
    await store.aclose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "embedded://"))
