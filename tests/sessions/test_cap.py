"""The cap: what leaves, what stays."""

from __future__ import annotations

from typing import Any

import pytest

from redis_sessions import LimitExceeded, Message, MessageNotFound, Session, SessionCache

CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]}
RESULT = {"role": "tool", "tool_call_id": "c", "content": "r"}


def user(text: str = "u") -> dict[str, Any]:
    return {"role": "user", "content": text}


def contents(session: Session) -> list[Any]:
    return [message.content for message in session.history()]


def test_the_newest_are_kept(cache: SessionCache) -> None:
    """S2 1-27, S5 4-10; seqs go on, dropped ones are counted."""
    session = cache.create(max_messages=5)
    for number in range(10):
        result = session.append(user(str(number)))
    assert (result.count, result.dropped, result.last_seq) == (5, 5, 10)
    assert contents(session) == ["5", "6", "7", "8", "9"]
    assert [message.seq for message in session.history()] == [6, 7, 8, 9, 10]


def test_a_batch_larger_than_the_cap_leaves_its_end(cache: SessionCache) -> None:
    """All of it was appended; the cap holds at once."""
    session = cache.create(max_messages=3)
    result = session.append(*[user(str(number)) for number in range(10)])
    assert (result.first_seq, result.last_seq, result.count, result.dropped) == (1, 10, 3, 7)


def test_the_system_prompt_is_outside_the_cap(cache: SessionCache) -> None:
    """S2 1-28, decided on purpose: it neither counts nor goes."""
    session = cache.create(max_messages=2, system_prompt="Be brief.")
    session.append(*[user(str(number)) for number in range(5)])
    assert [message.content for message in session.context()] == ["Be brief.", "3", "4"]


def test_oldest_cuts_exactly(cache: SessionCache) -> None:
    """The policy that looks at nothing."""
    session = cache.create(max_messages=2, cap_policy="oldest")
    session.append(CALL, RESULT, user())
    assert [message.role for message in session.history()] == ["tool", "user"]


def test_tool_safe_drops_results_whose_call_went(cache: SessionCache) -> None:
    """The default: an orphaned tool result never stands at the head."""
    session = cache.create(max_messages=3)
    result = session.append(user(), CALL, RESULT, RESULT, user("last"))
    assert contents(session) == ["last"]
    assert result.count == 1


def test_tool_safe_knows_results_inside_user_messages(cache: SessionCache) -> None:
    """Some providers carry tool results as blocks of a user message."""
    blocks = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "r"}]}
    session = cache.create(max_messages=2)
    session.append(CALL, blocks, user("last"))
    assert contents(session) == ["last"]


def test_tool_safe_holds_when_the_call_went_with_everything_else(cache: SessionCache) -> None:
    """A result that comes after the cap emptied the session is an orphan too."""
    session = cache.create(max_messages=2)
    session.append(CALL, RESULT, RESULT)
    assert contents(session) == []
    session.append(RESULT)
    assert contents(session) == []
    session.append(user())
    assert contents(session) == ["u"]


def test_a_result_after_clear_stays(cache: SessionCache) -> None:
    """Clearing is the caller's choice, not a cut."""
    session = cache.create(max_messages=3)
    session.append(user())
    session.clear()
    session.append(RESULT)
    assert contents(session) == ["r"]


def test_turn_cuts_at_the_next_user_message(cache: SessionCache) -> None:
    """A transcript then begins with a turn."""
    session = cache.create(max_messages=4, cap_policy="turn")
    session.append(user("1"), CALL, RESULT, user("2"), user("3"))
    assert contents(session) == ["2", "3"]


def test_turn_falls_back_inside_a_giant_turn(cache: SessionCache) -> None:
    """No user message ahead: as tool_safe."""
    session = cache.create(max_messages=3, cap_policy="turn")
    session.append(user(), CALL, RESULT, CALL, RESULT)
    assert [message.role for message in session.history()] == ["assistant", "tool"]


def test_turn_does_not_begin_with_tool_results_of_a_user_message(cache: SessionCache) -> None:
    """A user message that only answers a call starts no turn."""
    results = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "r"}]}
    session = cache.create(max_messages=3, cap_policy="turn")
    session.append(user("q"), CALL, results, results, user("next"))
    assert contents(session) == ["next"]


def test_pinned_messages_survive_and_are_read_in_their_place(cache: SessionCache) -> None:
    """They move aside with their seq, and count against the cap."""
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


def test_a_stored_message_can_be_pinned_and_let_go(cache: SessionCache) -> None:
    """Unpinning one that only the pin kept drops it."""
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


def test_pins_are_bounded(cache: SessionCache) -> None:
    """At most half of the cap: something new always fits."""
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


def test_retained_bytes_and_tokens_follow_the_cap(cache: SessionCache) -> None:
    """They are of what is there, not of all there ever was."""
    capped, plain = cache.create(max_messages=3), cache.create()
    capped.append(*[user("x" * 40) for _ in range(10)])
    plain.append(*[user("x" * 40) for _ in range(3)])
    assert (capped.info().bytes, capped.info().tokens) == (plain.info().bytes, plain.info().tokens)


def test_clear_keeps_prompt_and_state_and_resets_turns(cache: SessionCache) -> None:
    """S2 1-30, 1-32."""
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
