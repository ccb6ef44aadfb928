"""A conversation that several workers serve in turn: whoever takes the next question finds all that was said."""

from __future__ import annotations

import sys

from pydantic import BaseModel

from redis_sessions import Message, SessionCache

QUESTIONS = ["Where is my bag?", "It is a red one.", "When does belt 4 start?", "And what was my flight?"]


class Bag(BaseModel):
    colour: str
    belt: int


def model(window: list[Message]) -> str:
    """Stands for a model: it says what it was asked, and how much of the conversation it saw."""
    return f"You asked: {window[-1].text} (I see {len(window)} messages.)"


def answer(cache: SessionCache, id: str, question: str) -> str:
    """One turn, by whichever worker: nobody else writes in between."""
    session = cache.get_or_create(id, user_id="mia", system_prompt="Be brief.", max_messages=20, max_tokens=60)
    with session.lease(wait=5):
        session.append({"role": "user", "content": question})
        reply = model(session.context())
        session.append(Message("assistant", reply, metadata={"model": "m-1"}))
    return reply


def main(url: str) -> None:
    with SessionCache.from_url(url, namespace="examples-chat", ttl=3600) as cache:
        cache.delete("support-42")
        for number, question in enumerate(QUESTIONS, 1):
            print(f"worker {number % 2}: {answer(cache, 'support-42', question)}")
            if "red" in question:
                cache.session("support-42").state["bag"] = Bag(colour="red", belt=4)
                cache.session("support-42").variables["language"] = "en"

        session = cache.open("support-42")
        info, last = session.info(), session.last_turn()
        print(f"turn {info.current_turn}, {info.count} messages, {info.tokens} tokens, user {info.user_id}")
        print(f"last answer at {last.completed:%H:%M}" if last and last.completed else "no answer yet")
        print(f"state: {session.state.get('bag', type=Bag)!r}, {session.variables.all()}")
        session.clear()
        print(f"cleared: {[message.role for message in session.context()]}, state stays: {'bag' in session.state}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "embedded://")
