"""Edits of the tail and of single messages: pop, replace, abandoned calls, state with an append."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from redis_sessions import (
    EditConflict,
    InvalidInput,
    Message,
    MessageNotFound,
    MessageTooLarge,
    RevisionConflict,
    Session,
    SessionCache,
    SessionNotActive,
    StateConflict,
)
from redis_sessions._core.commands.edits import edit as edit_call
from redis_sessions._core.commands.state import state_checks, wanted_values
from redis_sessions._core.protocol.keys import session_keys
from redis_sessions._core.protocol.token_estimate import estimate_tokens
from redis_sessions.bounds import DEFAULT_BOUNDS
from tests.support.servers import Server


def user(text: str = "u") -> dict[str, Any]:
    """Return a user message."""
    return {"role": "user", "content": text}


def assistant(text: str = "a") -> dict[str, Any]:
    """Return an assistant message."""
    return {"role": "assistant", "content": text}


def call(*ids: str) -> dict[str, Any]:
    """Return an assistant message that makes tool calls."""
    return {"role": "assistant", "content": None, "tool_calls": [{"id": id} for id in ids]}


def result(id: str) -> dict[str, Any]:
    """Return the result of a call."""
    return {"role": "tool", "tool_call_id": id, "content": f"result {id}"}


def seqs(session: Session) -> list[int]:
    """Return the seqs of the retained messages."""
    return [message.seq for message in session.history()]


def test_pop_returns_newest_message_and_never_uses_its_seq_again(cache: SessionCache) -> None:
    """A pop removes the newest message with its counts, and the next message has a new seq."""
    session = cache.create()
    session.append(user("1"), assistant("2"), user("3"))
    assert [(message.seq, message.content) for message in session.pop()] == [(3, "3")]
    info = session.info()
    assert (info.count, info.dropped, info.last_seq, info.tokens) == (2, 1, 3, 2)
    assert (info.user_messages, info.turns, info.current_turn) == (1, 1, 1)
    assert session.append(user("4")).first_seq == 4
    assert seqs(session) == [1, 2, 4]
    assert [message.seq for message in session.history(after_seq=2)] == [4]
    assert [message.seq for message in session.history(before_seq=4)] == [1, 2]
    assert session.turn(2) == session.last_turn()


def test_pop_of_group_removes_call_with_results(cache: SessionCache) -> None:
    """A pop of a group removes the call with all its results, or a single message that belongs to no call."""
    session = cache.create()
    session.append(user(), call("a", "b"), result("a"), result("b"))
    assert [message.seq for message in session.pop(group=True)] == [2, 3, 4]
    assert [message.seq for message in session.pop(group=True)] == [1]
    assert session.pop(group=True) == session.pop() == []


def test_popped_result_reopens_its_call(cache: SessionCache) -> None:
    """A call whose result was popped waits for the result again, so the new result is not late."""
    session = cache.create()
    session.append(user(), call("a"), result("a"))
    session.pop()
    session.append(result("a"))
    assert not session.history()[-1].is_late
    assert [message.seq for message in session.context()] == [1, 2, 4]


def test_repeated_pop_removes_nothing(cache: SessionCache) -> None:
    """A pop with a known batch ID returns the same message again, and a pop with a stale revision is refused."""
    session = cache.create()
    session.append(user("1"), user("2"))
    rev = session.info().rev
    assert [message.seq for message in session.pop(batch_id="p")] == [2]
    assert [message.seq for message in session.pop(batch_id="p")] == [2]
    with pytest.raises(RevisionConflict):
        session.pop(expected_rev=rev)
    assert seqs(session) == [1]


def test_replace_of_suffix_changes_nothing_before_it(cache: SessionCache) -> None:
    """A replace removes the messages above a seq and appends others in one step, once for a batch ID."""
    session = cache.create()
    session.append(user("q"), assistant("bad"), user("more"))
    for _ in range(2):
        placed = session.replace(assistant("good"), after_seq=1, batch_id="r")
        assert (placed.first_seq, placed.last_seq, placed.count, placed.dropped) == (4, 4, 2, 2)
    assert [(message.seq, message.content) for message in session.history()] == [(1, "q"), (4, "good")]
    with pytest.raises(EditConflict) as refused:
        session.replace(assistant(), after_seq=9)
    assert (refused.value.reason, refused.value.last_seq) == ("beyond_end", 4)
    with pytest.raises(MessageTooLarge):
        cache.create(max_message_bytes=50).replace(user("x" * 50))
    session.replace(user("new"))
    assert [message.content for message in session.history()] == ["new"]


@pytest.mark.parametrize("change", ["pause", "complete", "cancel"])
def test_message_of_inactive_session_is_redacted(cache: SessionCache, change: str) -> None:
    """A secret is removed from a session that is paused or has ended, and nothing else of the session can be edited."""
    session = cache.create()
    session.append(user("My card is 1234."), user("b"))
    getattr(session, change)()
    session.replace(1, user("[redacted]"))
    assert [message.content for message in session.history()] == ["[redacted]", "b"]
    for edit in (session.pop, session.clear, lambda: session.replace(user("c"), after_seq=1)):
        with pytest.raises(SessionNotActive):
            edit()


def test_replace_of_one_message_keeps_its_place(cache: SessionCache) -> None:
    """A redacted message keeps its seq, time, pin and call, and refuses another role or other calls."""
    session = cache.create()
    session.append(Message("user", "secret", pinned=True), call("a"), result("a"))
    before = session.history()
    session.replace(1, user("[redacted]"))
    session.replace(3, {**result("a"), "content": "[redacted]"})
    after = session.history()
    assert [message.content for message in after] == ["[redacted]", None, "[redacted]"]
    assert [(one.seq, one.timestamp, one.pinned, one.facts, one.continues_group) for one in after] == [
        (one.seq, one.timestamp, one.pinned, one.facts, one.continues_group) for one in before
    ]
    assert session.info().tokens == sum(message.tokens or 0 for message in after)
    for seq, message in ((1, assistant()), (2, call("b")), (3, result("b"))):
        with pytest.raises(EditConflict, match="same tool calls"):
            session.replace(seq, message)
    with pytest.raises(MessageNotFound):
        session.replace(4, user())
    with pytest.raises(InvalidInput):
        session.replace(1, user(), user())


def test_abandoned_call_ends_its_group(cache: SessionCache) -> None:
    """An abandoned call is in no window, and its result is kept as late. Only the named calls are abandoned."""
    session = cache.create()
    session.append(user(), call("a", "b"), result("a"))
    assert (session.abandon_calls(["unknown"]), session.abandon_calls(["b"]), session.abandon_calls()) == (0, 1, 0)
    session.append(result("b"))
    assert [message.is_late for message in session.history()] == [False, False, False, True]
    assert session.history()[1].has_abandoned_call
    assert session.context().payloads == [user(), call("a"), result("a")]
    assert [message.content for message in session.context(abandoned="answer")][3].startswith("[no result")


def test_append_with_state_writes_both_or_none(cache: SessionCache) -> None:
    """Messages and state are written in one step, once for a batch ID, and only if the state has the expected values."""
    session = cache.create()
    session.state.put("old", 1)
    for _ in range(2):
        session.append(user(), batch_id="b", state={"step": 1}, remove_state=["old"], if_state={"old": 1, "step": None})
    assert (session.state.all(), seqs(session)) == ({"step": 1}, [1])
    with pytest.raises(StateConflict, match="step"):
        session.append(user(), state={"step": 3}, if_state={"step": 2})
    assert (session.state.all(), seqs(session)) == ({"step": 1}, [1])


def test_each_message_is_popped_once(server: Server, namespace: str) -> None:
    """Each message is popped by one of four clients that pop and append at once, and no message is lost."""
    popped: list[list[str]] = [[] for _ in range(4)]

    def work(number: int) -> None:
        with SessionCache.from_url(server.url, namespace=namespace) as cache:
            session = cache.session("a")
            for step in range(25):
                if step % 3 == 0:
                    session.append(user(f"{number}-{step}"), call(f"{number}-{step}"), result(f"{number}-{step}"))
                popped[number] += [message.id for message in session.pop(group=step % 2 == 0)]

    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        session = cache.create("a", max_messages=None)
        session.append(*[user(str(number)) for number in range(40)])
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        gone = [id for ids in popped for id in ids]
        left = [message.id for message in session.history()]
        assert all(popped)
        assert len(set(gone)) == len(gone)
        assert sorted(int(id.rpartition("-")[2]) for id in gone + left) == list(range(1, 40 + 4 * 9 * 3 + 1))
        assert session.info().count == len(left)
    server.client.flushall()


def test_large_wanted_values_are_compared_by_the_client(cache: SessionCache) -> None:
    """Values of more than 8 KB are compared whatever the order of their keys, but no script puts their keys in order."""
    session = cache.create()
    present = {f"k{number}": number for number in range(2000)}
    wanted = dict(reversed(present.items()))
    session.state.put("plan", present)
    session.append(user("1"), if_state={"plan": wanted})
    with pytest.raises(StateConflict, match="plan"):
        session.append(user(), if_state={"plan": {**wanted, "k7": 8}})
    with pytest.raises(StateConflict, match="other"):
        session.append(user(), if_state={"plan": wanted, "other": "x" * 10_000})
    keys = session_keys(cache.namespace, session.id)
    checks = state_checks(keys, wanted_values({"plan": wanted}, DEFAULT_BOUNDS), {})
    call = edit_call(keys, "", "", [user()], estimate_tokens, checks=checks)
    with pytest.raises(StateConflict):
        cache._context.executor.run(call)
    assert seqs(session) == [1]


def test_surrogates_of_a_large_wanted_value_stay_apart(cache: SessionCache) -> None:
    """A text of two surrogates is not the text of the one character that they make, also where the client compares."""
    session = cache.create()
    session.state.put("text", {"a": "x" * 9000, "b": "\ud83d\ude00"})
    with pytest.raises(StateConflict):
        session.append(user(), if_state={"text": {"b": "\U0001f600", "a": "x" * 9000}})
    session.append(user(), if_state={"text": {"b": "\ud83d\ude00", "a": "x" * 9000}})
