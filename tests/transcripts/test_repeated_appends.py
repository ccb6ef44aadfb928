"""A repeated batch ID returns its first result, whatever happened to the transcript since."""

from __future__ import annotations

import random
from collections import deque
from contextlib import suppress
from dataclasses import replace

import pytest

from redis_sessions import AppendResult, LimitExceeded, Session, SessionCache
from tests.support.servers import Server

WINDOW = 32
"""Appends that are repeated. Others come between, and a session knows the last 64 operations."""


def user(text: str) -> dict[str, str]:
    """Return a user message."""
    return {"role": "user", "content": text}


def answer(text: str) -> dict[str, str]:
    """Return an assistant message."""
    return {"role": "assistant", "content": text}


def call(id: str) -> dict[str, object]:
    """Return an assistant message that makes one call."""
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }


class Model:
    """Append to a session, and repeat what was appended."""

    def __init__(self, session: Session, seed: int) -> None:
        self.session = session
        self.random = random.Random(seed)
        self.number = 0
        self.known: deque[tuple[AppendResult, tuple[object, ...]]] = deque(maxlen=WINDOW)

    def append(self, *messages: object) -> None:
        """Append a batch under a short ID of its own, so that some marks are the same."""
        self.number += 1
        batch = f"{self.random.choice('abcdefgh')}{self.number:x}{self.random.choice('0123456789abcdef')}"
        self.known.append((self.session.append(*messages, batch_id=batch), messages))

    def step(self) -> None:
        """Do one random thing. Most are appends of one message."""
        kind = self.random.random()
        if kind < 0.6:
            self.append(self.random.choice((user, answer))(f"m{self.number}"))
        elif kind < 0.7:
            id = f"c{self.number}"
            self.append(call(id))
            self.append({"role": "tool", "tool_call_id": id, "content": "done"})
        elif kind < 0.8:
            self.append(*[user(f"b{at}") for at in range(self.random.randint(2, 4))])
        elif kind < 0.9:
            self.session.state.put("x", self.number)
        elif kind < 0.94:
            self.session.pop()
        elif kind < 0.97 and self.session.info().count > 3:
            with suppress(LimitExceeded):
                self.session.pin(self.session.history(3)[0].seq)
        else:
            self.session.state.add("count")

    def check(self) -> None:
        """Repeat some of the last batches. Each returns its first result, and writes nothing."""
        before = self.session.info()
        for result, messages in self.random.sample([*self.known], min(len(self.known), 8)):
            again = self.session.append(*messages, batch_id=result.batch_id)
            assert again == replace(result, duplicate=True)
        after = self.session.info()
        assert (after.rev, after.last_seq, after.count) == (before.rev, before.last_seq, before.count)


@pytest.mark.parametrize("cap", [None, 100, 70, 20])
@pytest.mark.parametrize("seed", [1, 2])
def test_repeated_batch_returns_its_first_result(server: Server, namespace: str, cap: int | None, seed: int) -> None:
    """Each of the last batches returns its first result after appends, batches, calls, edits, pins and other writes."""
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        model = Model(cache.create(max_messages=cap), seed)
        for _ in range(300):
            model.step()
            if model.random.random() < 0.2:
                model.check()
        model.check()
        model.session.delete()


def test_repeated_call_of_capped_session_with_task_returns_first_result(cache: SessionCache) -> None:
    """A repeated call or result returns its first place and counts while the cap keeps the task outside of the list."""
    session = cache.create(max_messages=100)
    session.append(user("the task"))
    first = []
    for number in range(160):
        id = f"c{number}"
        first.append(session.append(call(id), batch_id=f"call{number}"))
        first.append(session.append({"role": "tool", "tool_call_id": id, "content": "done"}, batch_id=f"reply{number}"))
    assert session.history()[0].text == "the task"
    assert first[-1].count <= 100
    session.patch(name="n")
    for result in first[-60:]:
        again = session.append(user("x"), batch_id=result.batch_id)
        assert again == replace(result, duplicate=True)
