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


def test_tool_safe_policy_drops_result_with_its_call(cache: SessionCache) -> None:
    """The policy `tool_safe` drops the results of a call together with the call."""
    session = cache.create(max_messages=3)
    result = session.append(user(), CALL, RESULT, user("before"), user("last"))
    assert contents(session) == ["before", "last"]
    assert (result.count, result.over_cap, result.abandoned) == (2, 0, 0)


def test_tool_safe_policy_drops_orphaned_results_in_user_messages(cache: SessionCache) -> None:
    """The policy `tool_safe` recognises tool results that are blocks of a user message."""
    blocks = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "r"}]}
    session = cache.create(max_messages=2)
    session.append(CALL, blocks, user("last"))
    assert contents(session) == ["last"]


def test_second_result_of_call_is_late(cache: SessionCache) -> None:
    """A result whose call was answered and dropped before is kept, marked as late, and in no window."""
    session = cache.create(max_messages=2)
    session.append(CALL, RESULT, RESULT)
    assert [(message.seq, message.is_late) for message in session.history()] == [(3, True)]
    session.append(user())
    assert contents(session) == ["r", "u"]
    assert session.context().payloads == [user()]
    session.append(user("2"))
    assert contents(session) == ["u", "2"]


def test_newest_group_exceeds_cap_instead_of_being_cut(cache: SessionCache) -> None:
    """A call whose results alone exceed the cap stays whole, with the task, and the result says by how much it is over."""
    calls = {"role": "assistant", "content": None, "tool_calls": [{"id": str(number)} for number in range(4)]}
    results = [{"role": "tool", "tool_call_id": str(number), "content": str(number)} for number in range(4)]
    session = cache.create(max_messages=4)
    session.append(user("old"), user("task"), calls)
    over = [session.append(result).over_cap for result in results]
    assert over == [0, 0, 1, 2]
    assert contents(session) == ["task", None, "0", "1", "2", "3"]
    assert (session.info().count, session.info().dropped) == (6, 1)
    after = session.append(user("next"))
    assert (after.over_cap, after.abandoned) == (0, 0)
    assert contents(session) == ["next"]


def test_call_without_result_is_abandoned_for_cap(cache: SessionCache) -> None:
    """A call that was never answered is abandoned when the cap needs its place, and its result is late from then on."""
    session = cache.create(max_messages=3)
    session.append(user("task"), CALL)
    abandoned = [session.append(user(str(number))).abandoned for number in range(4)]
    assert sum(abandoned) == 1
    assert contents(session) == ["1", "2", "3"]
    assert session.info().count == 3
    session.append(RESULT)
    assert session.history()[-1].is_late
    assert [message.content for message in session.context()] == ["2", "3"]


def test_task_stays_while_its_turn_goes_on(cache: SessionCache) -> None:
    """The newest user message stays for as long as the model calls tools, and leaves with the next user message."""
    session = cache.create(max_messages=4)
    session.append(user("task"))
    for number in range(5):
        session.append({**CALL, "tool_calls": [{"id": str(number)}]}, {**RESULT, "tool_call_id": str(number)})
    assert [message.seq for message in session.history()] == [1, 10, 11]
    assert session.context()[0].content == "task"
    last = session.last_turn()
    assert last is not None
    assert [message.seq for message in last.entries] == [1, 10, 11]
    assert (last.number, session.turn(1)) == (1, last)
    session.append(user("next"), user("more"))
    assert [message.content for message in session.history()] == ["next", "more"]
    assert session.info().tokens == sum(message.tokens or 0 for message in session.history())


def test_turn_of_dropped_user_message_is_none(cache: SessionCache) -> None:
    """A pinned user message from before does not stand for a newer one that the cap dropped."""
    session = cache.create(max_messages=2, cap_policy="oldest")
    session.append(Message("user", "a", pinned=True), user("b"), {"role": "assistant", "content": "c"})
    assert contents(session) == ["a", "c"]
    assert (session.last_turn(), session.turn(1), session.turn(2)) == (None, None, None)


def test_cap_of_pins_and_task_leaves_call_with_result(cache: SessionCache) -> None:
    """A call keeps its result even if a pin and the task take all places of the cap."""
    session = cache.create(max_messages=2)
    result = session.append(Message("user", "pinned", pinned=True), user("task"), CALL, RESULT)
    assert (contents(session), result.over_cap) == (["pinned", "task", None, "r"], 2)
    with pytest.raises(LimitExceeded):
        session.pin(2)


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
    """The policy `turn` acts as `tool_safe` when no user message follows, so the task of the turn stays."""
    session = cache.create(max_messages=3, cap_policy="turn")
    session.append(user(), CALL, RESULT, CALL, RESULT)
    assert [message.seq for message in session.history()] == [1, 4, 5]


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


def test_message_is_stored_when_kept_messages_fill_the_cap(cache: SessionCache) -> None:
    """A message that is appended to an empty list is retained, however many messages the cap passed and keeps."""
    session = cache.create(max_messages=4)
    call = {"role": "assistant", "content": "a", "tool_calls": [{"id": id, "function": {"name": "f"}} for id in "cde"]}
    results = [{"role": "tool", "tool_call_id": id, "content": id} for id in "cde"]
    session.append(Message(payload=call, pinned=True), *results)
    session.append({"role": "assistant", "content": "b"})
    session.pop()
    result = session.append({"role": "assistant", "content": "f"})
    assert (result.count, result.dropped, result.over_cap) == (5, 1, 1)
    assert contents(session) == ["a", "c", "d", "e", "f"]


def test_pin_reaches_the_first_messages_of_a_group_that_was_cut(cache: SessionCache) -> None:
    """The pin of a group holds for all that is left of the group, also when `oldest` dropped its first message."""
    session = cache.create(max_messages=8, cap_policy="oldest")
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "function": {"name": "f"}}]}
    session.append(call, *map(user, "abcdefgh"))
    session.patch(max_messages=20)
    session.pin(5)
    assert [message.pinned for message in session.history()] == [True] * 8
