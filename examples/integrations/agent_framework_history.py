"""A history of the Agent Framework, with a model of a few lines. The whole transcript is sent again, and stored once."""

import asyncio
import sys
from typing import Any

from agent_framework import AgentSession, Message, SessionContext

from redis_sessions.integrations.agent_framework import RedisSessionsHistoryProvider


def model(messages: list[Message]) -> Message:
    """Say what the model sees."""
    return Message(role="assistant", contents=[f"You asked: {messages[-1].text} (I see {len(messages)} messages.)"])


async def run(history: RedisSessionsHistoryProvider, session: AgentSession, question: str) -> Message:
    """Do what an agent does: load the history, call the model, save the input and the answer."""
    context = SessionContext(session_id=session.session_id, input_messages=[Message(role="user", contents=[question])])
    given: dict[str, Any] = {"agent": None, "session": session, "context": context, "state": {}}
    await history.before_run(**given)
    answer = model([*context.get_messages(), *context.input_messages])
    await history.save_messages(session.session_id, [*context.input_messages, answer])
    return answer


async def main(url: str) -> None:
    history = RedisSessionsHistoryProvider(url=url, user_id="mia")
    session = AgentSession(session_id="mia-42")
    for question in ("Where is my bag?", "And my coat?"):
        print((await run(history, session, question)).text)
    transcript = await history.get_messages("mia-42")
    await history.save_messages("mia-42", transcript)
    print("stored:", len(await history.get_messages("mia-42")))
    await history.aclose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "embedded://"))
