"""The cap: the messages that it drops and keeps."""

from __future__ import annotations

from typing import Any

import pytest

from redis_sessions import LimitExceeded, Message, MessageNotFound, Session, SessionCache

CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]}
RESULT = {"role": "tool", "tool_call_id": "c", "content": "r"}


def user(text: str = "u") -> dict[str, Any]:
    """Return a user message."""
    return {"role": "user", "content": text}


def contents(session: Session) -> list[Any]:
    """Return the contents of the retained messages."""
    return [message.content for message in session.history()]


def test_cap_keeps_newest_messages(cache: SessionCache) -> None:
    """The cap keeps the newest messages, seqs go on, and dropped messages are counted (S2 1-27, S5 4-10)."""
    session = cache.create(max_messages=5)
    for number in range(10):
        result = session.append(user(str(number)))
    assert (result.count, result.dropped, result.last_seq) == (5, 5, 10)
    assert contents(session) == ["5", "6", "7", "8", "9"]
    assert [message.seq for message in session.history()] == [6, 7, 8, 9, 10]


def test_batch_larger_than_cap_keeps_its_last_messages(cache: SessionCache) -> None:
    """A batch larger than the cap is appended whole, and the cap keeps its last messages."""
    session = cache.create(max_messages=3)
    result = session.append(*[user(str(number)) for number in range(10)])
    assert (result.first_seq, result.last_seq, result.count, result.dropped) == (1, 10, 3, 7)


def test_system_prompt_does_not_count_against_cap(cache: SessionCache) -> None:
    """The system prompt does not count against the cap and is never dropped (S2 1-28)."""
    session = cache.create(max_messages=2, system_prompt="Be brief.")
    session.append(*[user(str(number)) for number in range(5)])
    assert [message.content for message in session.context()] == ["Be brief.", "3", "4"]


def test_oldest_policy_retains_exactly_the_cap(cache: SessionCache) -> None:
    """The policy `oldest` drops the oldest messages, whatever their roles."""
    session = cache.create(max_messages=2, cap_policy="oldest")
    session.append(CALL, RESULT, user())
    assert [message.role for message in session.history()] == ["tool", "user"]


def test_tool_safe_policy_drops_orphaned_tool_results(cache: SessionCache) -> None:
    """The policy `tool_safe` drops tool results whose call was dropped."""
    session = cache.create(max_messages=3)
    result = session.append(user(), CALL, RESULT, RESULT, user("last"))
    assert contents(session) == ["last"]
    assert result.count == 1


def test_tool_safe_policy_drops_orphaned_results_in_user_messages(cache: SessionCache) -> None:
    """The policy `tool_safe` recognises tool results that are blocks of a user message."""
    blocks = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "r"}]}
    session = cache.create(max_messages=2)
    session.append(CALL, blocks, user("last"))
    assert contents(session) == ["last"]


def test_tool_result_after_emptied_transcript_is_dropped(cache: SessionCache) -> None:
    """A tool result is dropped, too, when the cap dropped its call and all other messages before."""
    session = cache.create(max_messages=2)
    session.append(CALL, RESULT, RESULT)
    assert contents(session) == []
    session.append(RESULT)
    assert contents(session) == []
    session.append(user())
    assert contents(session) == ["u"]


def test_tool_result_after_clear_is_kept(cache: SessionCache) -> None:
    """A tool result after `clear` is kept, because the caller chose to clear."""
    session = cache.create(max_messages=3)
    session.append(user())
    session.clear()
    session.append(RESULT)
    assert contents(session) == ["r"]


def test_turn_policy_lets_user_message_stand_first(cache: SessionCache) -> None:
    """The policy `turn` drops messages up to the next user message."""
    session = cache.create(max_messages=4, cap_policy="turn")
    session.append(user("1"), CALL, RESULT, user("2"), user("3"))
    assert contents(session) == ["2", "3"]


def test_turn_policy_inside_one_turn_acts_as_tool_safe(cache: SessionCache) -> None:
    """The policy `turn` acts as `tool_safe` when no user message follows."""
    session = cache.create(max_messages=3, cap_policy="turn")
    session.append(user(), CALL, RESULT, CALL, RESULT)
    assert [message.role for message in session.history()] == ["assistant", "tool"]


def test_turn_policy_drops_user_message_with_tool_results(cache: SessionCache) -> None:
    """The policy `turn` does not let a user message stand first that only answers a call."""
    results = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "r"}]}
    session = cache.create(max_messages=3, cap_policy="turn")
    session.append(user("q"), CALL, results, results, user("next"))
    assert contents(session) == ["next"]


def test_pinned_message_survives_cap_in_its_place(cache: SessionCache) -> None:
    """A pinned message survives the cap, is read in its place, and counts against the cap."""
    session = cache.create(max_messages=4)
    session.append(Message("user", "pinned", pinned=True), user("1"))
    for number in range(2, 8):
        result = session.append(user(str(number)))
    assert contents(session) == ["pinned", "5", "6", "7"]
    assert [message.seq for message in session.history()] == [1, 6, 7, 8]
    assert (result.count, result.dropped) == (4, 4)
    assert (session.info().count, session.info().dropped) == (4, 4)
    assert session.history()[0].pinned
    assert contents(session)[:1] == [message.content for message in session.history(4)][:1]
    assert [message.seq for message in session.history(before_seq=6)] == [1]
    assert [message.seq for message in session.history(after_seq=1)] == [6, 7, 8]
    assert [message.seq for message in session.history(role="user", limit=4)] == [1, 6, 7, 8]


def test_unpinned_message_beyond_cap_is_dropped(cache: SessionCache) -> None:
    """A stored message can be pinned, and unpinning drops the message when only the pin kept it."""
    session = cache.create(max_messages=4)
    session.append(user("a"), user("b"))
    rev = session.pin(1)
    assert session.pin(1) == rev
    session.append(*[user(str(number)) for number in range(5)])
    assert contents(session)[0] == "a"
    session.unpin(1)
    info = session.info()
    assert contents(session) == ["2", "3", "4"]
    assert info.count == 3
    assert info.tokens == 3
    with pytest.raises(MessageNotFound):
        session.pin(2)


def test_pin_beyond_half_of_cap_is_refused(cache: SessionCache) -> None:
    """A pin beyond half of the cap raises LimitExceeded, because a new message must always fit."""
    session = cache.create(max_messages=4)
    session.append(Message("user", "a", pinned=True), Message("user", "b", pinned=True))
    with pytest.raises(LimitExceeded) as refused:
        session.append(Message("user", "c", pinned=True))
    assert (refused.value.limit, refused.value.max) == ("pinned", 2)
    session.append(user("d"))
    with pytest.raises(LimitExceeded):
        session.pin(3)
    session.append(*[user(str(number)) for number in range(9)])
    assert contents(session) == ["a", "b", "7", "8"]


def test_dropped_messages_leave_bytes_and_tokens(cache: SessionCache) -> None:
    """The bytes and tokens of a session are those of its retained messages."""
    capped, plain = cache.create(max_messages=3), cache.create()
    capped.append(*[user("x" * 40) for _ in range(10)])
    plain.append(*[user("x" * 40) for _ in range(3)])
    assert (capped.info().bytes, capped.info().tokens) == (plain.info().bytes, plain.info().tokens)


def test_clear_keeps_prompt_and_state_and_resets_turns(cache: SessionCache) -> None:
    """A clear removes the messages and their counts, and keeps system prompt, state and seqs (S2 1-30, 1-32)."""
    session = cache.create(system_prompt="p", max_messages=4)
    session.append(
        Message("user", "a", pinned=True), *[user() for _ in range(5)], {"role": "assistant", "content": "b"}
    )
    session.state.put("k", 1)
    session.clear()
    info = session.info()
    assert (info.count, info.turns, info.current_turn, info.entries, info.tokens) == (0, 0, 0, 0, 1)
    assert [message.content for message in session.context()] == ["p"]
    assert session.state.get("k") == 1
    assert session.append(user()).first_seq == 8
