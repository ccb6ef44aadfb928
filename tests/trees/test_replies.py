"""Waits for the reply to a message."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import pytest

from redis_sessions import Message, ReplyTimeout, SessionCache
from redis_sessions._sync.api import session_children
from redis_sessions._sync.services.history import read_history
from tests.support.lease_waiters import elsewhere
from tests.support.servers import await_true
from tests.trees.children import X
from tests.trees.runs import DEADLINE_SECONDS
from tests.trees.workers import run_later

ANSWER = {"role": "assistant", "content": "answer"}


def test_wait_for_reply_returns_first_answer_without_tool_calls(cache: SessionCache) -> None:
    """The first answer without tool calls is returned, also when the sent message waits for a lease holder."""
    session = cache.create()
    sent = session.send("hi")

    def answer() -> None:
        session.append({"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]})
        session.append({"role": "tool", "tool_call_id": "c", "content": "t"})
        session.append({"role": "assistant", "content": "hello"})

    timer = run_later(0.2, answer)
    assert session.wait_for_reply(sent, timeout=DEADLINE_SECONDS).content == "hello"
    timer.join()
    with session.lease():
        queued = elsewhere(lambda: session.send("more"))
        session.append({"role": "assistant", "content": "to another"})
    assert queued.seq is None
    timer = run_later(0.2, lambda: session.append({"role": "assistant", "content": "here"}))
    assert session.wait_for_reply(queued, timeout=DEADLINE_SECONDS).content == "here"
    timer.join()
    with pytest.raises(ReplyTimeout):
        session.wait_for_reply(session.info().last_seq, timeout=0.1)


def test_wait_for_a_reply_reads_each_message_once(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait for a reply reads only what is new, however often it is woken."""
    reads: list[int] = []

    def count_reads(*arguments: Any, after: int, **options: Any) -> list[Message]:
        found = read_history(*arguments, after=after, **options)
        reads.extend(message.seq for message in found)
        return found

    monkeypatch.setattr(session_children, "read_history", count_reads)
    session = cache.create("s")
    sent = session.append(X)
    replies: list[Message] = []
    waiter = threading.Thread(target=lambda: replies.append(session.wait_for_reply(sent, timeout=DEADLINE_SECONDS)))
    waiter.start()
    for number in range(2, 12):
        cache.session("s").append(X)
        await_true(partial(reads.__contains__, number))
    cache.session("s").append(ANSWER)
    waiter.join(DEADLINE_SECONDS)
    assert [reply.content for reply in replies] == ["answer"]
    assert sorted(reads) == sorted(set(reads))
