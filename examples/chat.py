"""A conversation that several workers serve in turn. The worker of the next question reads the whole conversation."""

from __future__ import annotations

import sys

from pydantic import BaseModel

from redis_sessions import Message, SessionCache

QUESTIONS = ["Where is my bag?", "It is a red one.", "When does belt 4 start?", "And what was my flight?"]


class Bag(BaseModel):
    """State of the conversation."""

    colour: str
    belt: int


def call_model(window: list[Message]) -> str:
    """Stand for a model: repeat the question, and say how many messages the model saw."""
    return f"You asked: {window[-1].text} (I see {len(window)} messages.)"


def answer(cache: SessionCache, id: str, question: str) -> str:
    """Answer one question. No other worker writes during the turn, because this worker holds the lease."""
    session = cache.get_or_create(id, user_id="mia", system_prompt="Be brief.", max_messages=20, max_tokens=60)
    with session.lease(wait="5s"):
        session.append({"role": "user", "content": question})
        reply = call_model(session.context())
        session.append(Message("assistant", reply, metadata={"model": "m-1"}))
    return reply


def main(url: str) -> None:
    with SessionCache.from_url(url, namespace="examples-chat", ttl="1h") as cache:
        cache.delete("support-42")
        for number, question in enumerate(QUESTIONS, 1):
            print(f"worker {number % 2}: {answer(cache, 'support-42', question)}")

        session = cache.open("support-42")
        session.state["bag"] = Bag(colour="red", belt=4)
        session.variables["language"] = "en"
        info, last = session.info(), session.last_turn()
        print(f"turn {info.current_turn}, {info.count} messages, {info.tokens} tokens, user {info.user_id}")
        print(f"last answer at {last.completed:%H:%M}" if last and last.completed else "no answer yet")
        print(f"state: {session.state.get('bag', type=Bag)!r}, {session.variables.all()}")

        session.clear()
        print(f"cleared: {[message.role for message in session.context()]}, state stays: {'bag' in session.state}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "embedded://")
