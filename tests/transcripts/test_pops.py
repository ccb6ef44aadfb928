"""Pops: each message for one caller, in one round trip, and again for a repeated call."""

from __future__ import annotations

from typing import Any

import pytest

from redis_sessions import InvalidState, OutcomeUnknown, Session, SessionCache
from redis_sessions._core.commands import pops
from redis_sessions._core.protocol.call import Call


def user(text: str) -> dict[str, Any]:
    """Return a user message."""
    return {"role": "user", "content": text}


def run(cache: SessionCache, session: Session, *command: str | int | bytes) -> Any:
    """Run a command on the node of a session."""
    return cache._context.executor.run(Call(command, session._keys, lambda reply: reply))


def contents(session: Session) -> list[str]:
    """Return the contents of the messages that are left."""
    return [message.content for message in session.history()]


def test_repeated_pop_returns_the_message_again(cache: SessionCache) -> None:
    """A repeated pop returns its message behind other pops and appends, from any handle, and removes nothing."""
    session = cache.create("a")
    session.append(*map(user, "abcd"))
    assert [one.content for one in session.pop(batch_id="p")] == ["d"]
    session.append(user("e"))
    assert [one.content for one in session.pop(batch_id="q")] == ["e"]
    assert [one.content for one in session.pop()] == ["c"]
    for batch_id, text in (("p", "d"), ("q", "e"), ("p", "d")):
        assert [one.content for one in cache.session("a").pop(batch_id=batch_id)] == [text]
    assert contents(session) == ["a", "b"]


def test_repeated_pop_of_a_group_returns_the_group_again(cache: SessionCache) -> None:
    """A group that was popped is returned again in its order, with its seqs."""
    session = cache.create("a")
    calls = [{"id": name, "type": "function", "function": {"name": "f", "arguments": "{}"}} for name in "xy"]
    results = [{"role": "tool", "tool_call_id": name, "content": name} for name in "xy"]
    session.append(user("a"), {"role": "assistant", "content": "", "tool_calls": calls}, *results)
    first = session.pop(group=True, batch_id="p")
    assert [one.seq for one in first] == [2, 3, 4]
    assert cache.session("a").pop(group=True, batch_id="p") == first
    assert contents(session) == ["a"]


def test_popped_messages_are_kept_for_a_minute_and_go_with_the_session(cache: SessionCache) -> None:
    """At most 64 popped messages are kept, for a minute at most, and a deletion removes them."""
    session = cache.create("a")
    session.append(*map(user, map(str, range(70))))
    for number in range(66):
        session.pop(batch_id=f"p{number}")
    key = session._keys.popped
    assert run(cache, session, "LLEN", key) == 128
    assert 0 < run(cache, session, "PTTL", key) <= pops.KEEP_MS
    assert [one.content for one in session.pop(batch_id="p2")] == ["67"]
    cache.delete("a")
    assert run(cache, session, "EXISTS", key) == 0


def test_repeated_pop_of_a_message_that_is_gone_has_an_unknown_outcome(cache: SessionCache) -> None:
    """A repeated pop whose message is not kept any more raises OutcomeUnknown and removes nothing."""
    session = cache.create("a")
    session.append(*map(user, "abc"))
    session.pop(batch_id="p")
    run(cache, session, "DEL", session._keys.popped)
    with pytest.raises(OutcomeUnknown, match="not kept any more"):
        session.pop(batch_id="p")
    assert contents(session) == ["a", "b"]


def test_attempt_that_may_have_popped_before_has_an_unknown_outcome(cache: SessionCache) -> None:
    """A second attempt pops if the first one surely did not, and else raises OutcomeUnknown, when 64 others popped since."""
    session = cache.create("a", max_messages=None)
    session.append(*map(user, map(str, range(140))))
    call = pops.pop(session._keys, "", "", (), batch_id="first")
    call.mark_retry(5000)
    assert [one.content for one in cache._context.executor.run(call).messages] == ["139"]
    for _ in range(70):
        session.pop()
    call = pops.pop(session._keys, "", "", (), batch_id="second")
    call.mark_retry(5000)
    with pytest.raises(OutcomeUnknown):
        cache._context.executor.run(call)
    assert len(contents(session)) == 69


def test_damaged_message_is_not_removed(cache: SessionCache) -> None:
    """A newest message without a header, or whose payload is cut off, raises InvalidState and stays."""
    session = cache.create("a")
    session.append(user("a"), user("b"))
    key = session._keys.messages
    stored = run(cache, session, "LINDEX", key, -1)
    for damaged in (b"damaged", stored[:-3]):
        run(cache, session, "LSET", key, -1, damaged)
        with pytest.raises(InvalidState):
            session.pop()
        assert run(cache, session, "LLEN", key) == 2
    run(cache, session, "LSET", key, -1, stored)
    assert [one.content for one in session.pop()] == ["b"]


def test_repeated_pop_of_the_only_group_returns_it_again(cache: SessionCache) -> None:
    """A group that was the last one is returned to a repeated call, although the session has no messages any more."""
    session = cache.create("a")
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "function": {"name": "f"}}]}
    session.append(call, {"role": "tool", "tool_call_id": "c", "content": "done"})
    popped = session.pop(group=True, batch_id="p")
    assert [one.seq for one in popped] == [1, 2]
    assert session.pop(group=True, batch_id="p") == popped
    assert session.pop(group=True) == []
    session.append(user("a"))
    assert cache.session("a").pop(group=True, batch_id="p") == popped
    assert contents(session) == ["a"]
