"""Session records (S1): ids and times, types, statuses, entries, turns, limits, context."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from redis_sessions import (
    AgentRun,
    Conversation,
    Evaluation,
    InvalidInput,
    InvalidTransition,
    LimitCheck,
    LimitExceeded,
    Message,
    Refinement,
    Session,
    SessionCache,
    SessionInfo,
    SessionType,
    TeacherDemo,
)

ASK: dict[str, Any] = {"role": "user", "content": "Hello"}
ANSWER: dict[str, Any] = {"role": "assistant", "content": "Hi there"}


def with_turns(cache: SessionCache, done: int, **options: Any) -> Session:
    """Create a session with a number of complete turns."""
    session = cache.create(**options)
    for _ in range(done):
        session.append(ASK, ANSWER)
    return session


def test_id_comes_back_from_its_text(cache: SessionCache) -> None:
    """An ID that is written and parsed names the same session (0-01)."""
    made = cache.create().id
    parsed = UUID(str(made))
    assert str(parsed) == made
    assert cache.open(str(parsed)).info().id == made


def test_printable_text_is_an_id(cache: SessionCache) -> None:
    """Printable text is an ID, and an invalid ID is an error instead of a new ID (0-02)."""
    assert cache.create("support-42").id == "support-42"
    for text in ("", "a b", "a{b}"):
        with pytest.raises(InvalidInput):
            cache.create(text)


def test_ids_are_random_and_unique(cache: SessionCache) -> None:
    """Generated IDs are unique UUIDs of version 8, because they contain the slot of the session (0-03)."""
    ids = [UUID(cache.create().id) for _ in range(20)]
    assert len(set(ids)) == 20
    assert {id.version for id in ids} == {8}


def test_later_message_has_greater_time(cache: SessionCache) -> None:
    """A message that is appended 10 ms later has a greater time (0-04)."""
    session = cache.create()
    session.append(ASK)
    time.sleep(0.010)
    session.append(ANSWER)
    first, second = session.history()
    assert second.timestamp_ms > first.timestamp_ms
    assert second.timestamp > first.timestamp


def test_times_are_in_ms_since_the_epoch(cache: SessionCache) -> None:
    """The time of a message is 0 before the append, and ascends in the order of the messages (0-05)."""
    assert Message("user", "x").timestamp_ms == 0
    session = cache.create()
    session.append(ASK, ANSWER, ASK)
    times = [message.timestamp_ms for message in session.history()]
    assert times == sorted(times)
    assert round(session.history()[0].timestamp.timestamp() * 1000) == times[0] > 1_600_000_000_000


def test_new_session_has_name_and_type(cache: SessionCache) -> None:
    """A new session has its name and type, is active and has no entries (0-06)."""
    info = cache.create(name="test-session", type=TeacherDemo(task="Test task", model="m-1")).info()
    assert (info.name, info.status, info.entries, info.count) == ("test-session", "active", 0, 0)
    assert info.type == TeacherDemo(task="Test task", model="m-1")


@pytest.mark.parametrize(
    ("type", "stored"),
    [
        (TeacherDemo(task="t", model="m"), {"type": "teacher_demo", "task": "t", "model": "m"}),
        (Evaluation(skill_name="s", test_cases=3), {"type": "evaluation", "skill_name": "s", "test_cases": 3}),
        (Refinement(skill_name="s", iteration=2), {"type": "refinement", "skill_name": "s", "iteration": 2}),
        (Conversation(purpose="p"), {"type": "conversation", "purpose": "p"}),
        (AgentRun(agent_name="a"), {"type": "agent", "agent_name": "a"}),
    ],
)
def test_types_have_tags_in_snake_case(cache: SessionCache, type: SessionType, stored: dict[str, Any]) -> None:
    """A session type has a tag in snake case, whether the type is given as a model or as an object (0-08)."""
    for given in (type, stored):
        found = cache.create(type=given).info().type
        assert found == type
        assert found.model_dump() == stored


def test_session_has_one_of_six_statuses(cache: SessionCache) -> None:
    """A session is active by default, and a timed_out session exists for S5 (0-09)."""
    sessions = [cache.create() for _ in range(6)]
    _, paused, completed, failed, cancelled, timed_out = sessions
    paused.pause()
    completed.complete()
    failed.fail()
    cancelled.cancel()
    timed_out.time_out()
    assert [session.info().status for session in sessions] == [
        "active", "paused", "completed", "failed", "cancelled", "timed_out",
    ]  # fmt: skip


def test_tags_keep_order_and_duplicates(cache: SessionCache) -> None:
    """Tags keep their order and duplicates, and a parent can be named (0-10, 0-11)."""
    bare = cache.create().info()
    assert (bare.tags, bare.parent_id) == ([], None)
    session = cache.create(tags=["a"], parent_id="p")
    for tag in ("b", "a"):
        session.patch(tags=[*session.info().tags, tag])
    assert (session.info().tags, session.info().parent_id) == (["a", "b", "a"], "p")


def test_entries_are_counted_by_role(cache: SessionCache) -> None:
    """Two user entries and two assistant entries are counted by role (0-12)."""
    session = cache.create()
    for entry in (ASK, ANSWER, {"role": "user", "content": "How are you?"}, {"role": "assistant", "content": "Fine"}):
        session.append(entry)
    info = session.info()
    assert (info.entries, info.user_messages, info.assistant_messages) == (4, 2, 2)


def test_new_entry_comes_last_and_moves_updated_time(cache: SessionCache) -> None:
    """A new entry has its own ID, time and JSON, comes last and moves the updated time (0-13)."""
    session = cache.create()
    session.append(ASK)
    before = session.info().updated_at
    time.sleep(0.002)
    session.append({"role": "assistant", "content": {"answer": [42, None, {"sure": False}]}})
    first, last = session.history()
    assert last.content == {"answer": [42, None, {"sure": False}]}
    assert first.id != last.id
    assert before < session.info().updated_at
    assert last.timestamp >= first.timestamp


def test_text_is_read_from_object_content(cache: SessionCache) -> None:
    """The text of an entry is the same for text and for an object, and the payload stays as given (0-14)."""
    session = cache.create()
    session.append(ASK, {"role": "user", "content": {"text": "Hello"}})
    assert [message.text for message in session.history()] == ["Hello", "Hello"]
    assert [message.content for message in session.history()] == ["Hello", {"text": "Hello"}]


def test_tool_call_and_skill_execution_keep_name_and_success(cache: SessionCache) -> None:
    """A tool call and a skill execution keep their name and success, and the result is the content (0-15)."""
    session = cache.create()
    session.append(Message.tool_call("read_file", {"content": "file contents"}))
    session.append(Message.skill_execution("code-review", {"error": "no file"}, success=False))
    call, run = session.history()
    assert (call.type, call.payload["tool_name"], call.payload["success"]) == ("tool_call", "read_file", True)
    assert call.content == {"content": "file contents"}
    assert (run.type, run.payload["skill_name"], run.payload["success"]) == ("skill_execution", "code-review", False)
    assert run.content == {"error": "no file"}


def test_history_selects_by_entry_type(cache: SessionCache) -> None:
    """Each entry type has its own fields, and a history can select by type (0-16)."""
    session = cache.create()
    session.append(
        ASK, ANSWER, {"role": "system", "content": "s"}, Message.tool_call("t"), Message.skill_execution("k"),
        Message.evaluation_result(0.5, {"helpful": 1.0}), Message.system_event("restarted"),
    )  # fmt: skip
    types = [message.type for message in session.history()]
    assert types == [
        "user_message", "assistant_message", "system_message", "tool_call", "skill_execution", "evaluation_result",
        "system_event",
    ]  # fmt: skip
    (result,) = session.history(role="evaluation_result")
    assert (result.payload["score"], result.payload["metrics"]) == (0.5, {"helpful": 1.0})
    assert session.history(role="system_event")[0].payload["event"] == "restarted"


def test_completed_turns_are_counted(cache: SessionCache) -> None:
    """A turn counts when its question is answered (0-17)."""
    session = cache.create()
    turns = [session.info().turns]
    for entry in (ASK, ANSWER, ASK, ANSWER):
        session.append(entry)
        turns.append(session.info().turns)
    assert turns == [0, 0, 1, 1, 2]


def test_duration_ends_with_last_change(cache: SessionCache) -> None:
    """The duration lasts from the creation to the last change and is never negative (0-19)."""
    session = cache.create()
    assert session.info().duration == timedelta(0)
    time.sleep(0.01)
    session.append(ASK)
    info = session.info()
    assert info.duration == info.updated_at - info.created_at >= timedelta(milliseconds=9)


def test_session_without_turns_is_within_limit(cache: SessionCache) -> None:
    """Two turns remain before the first of two turns (0-20)."""
    session = with_turns(cache, 0, max_turns=2)
    assert (session.check_limits().state, session.info().remaining_turns) == ("ok", 2)


def test_one_turn_of_two_leaves_one(cache: SessionCache) -> None:
    """One turn remains after the first of two turns (0-21)."""
    session = with_turns(cache, 1, max_turns=2)
    assert (session.check_limits().state, session.info().remaining_turns) == ("ok", 1)


def test_two_turns_of_two_are_at_the_limit(cache: SessionCache) -> None:
    """A session with two of two turns is at the limit, not over the limit (0-22)."""
    session = with_turns(cache, 2, max_turns=2)
    assert session.check_limits() == LimitCheck("at_limit", "turns", 2, 2)
    assert session.info().remaining_turns == 0


def test_three_turns_of_two_exceed_the_limit(cache: SessionCache) -> None:
    """A third turn exceeds a limit of two when limits are ignored, and is refused otherwise (0-23)."""
    session = with_turns(cache, 3, max_turns=2, limit_action="ignore")
    assert session.check_limits() == LimitCheck("exceeded", "turns", 3, 2)
    with pytest.raises(LimitExceeded):
        with_turns(cache, 3, max_turns=2)


def test_remaining_turns_are_none_without_limit_and_never_negative(cache: SessionCache) -> None:
    """Remaining turns are None without a limit, and at least 0 with one (0-24, 0-25)."""
    info = with_turns(cache, 3).info()
    assert (info.remaining_turns, info.limits) == (None, [])
    over = with_turns(cache, 3, max_turns=1, limit_action="ignore").info()
    assert (over.remaining_turns, over.check_limits().state) == (0, "exceeded")


def test_entries_have_a_limit_of_their_own(cache: SessionCache) -> None:
    """Entries are at the limit when equal, and exceed the limit above, with both counts (0-27)."""
    session = cache.create(max_entries=2, limit_action="ignore")
    session.append(ASK, ANSWER)
    assert session.check_limits() == LimitCheck("at_limit", "entries", 2, 2)
    session.append(ASK)
    assert session.check_limits() == LimitCheck("exceeded", "entries", 3, 2)


def test_duration_exceeds_limit_by_one_ms() -> None:
    """A duration equal to its limit is ok, and one more millisecond exceeds the limit (0-28)."""
    from redis_sessions.models.limits import check_limits

    states = [
        check_limits(turns=0, entries=0, duration_ms=ms, max_turns=None, max_entries=None, max_duration_ms=50)[0].state
        for ms in (49, 50, 51)
    ]
    assert states == ["ok", "ok", "exceeded"]


def test_limits_are_off_by_default(cache: SessionCache) -> None:
    """A session has no limits by default, and its limit action is error (0-30)."""
    info = cache.create().info()
    assert (info.max_turns, info.max_entries, info.max_duration, info.limit_action) == (None, None, None, "error")


def test_state_returns_stored_values(cache: SessionCache) -> None:
    """A state returns text, numbers, and None for a missing name (0-31)."""
    state = cache.create().state
    state.put("key1", "value1")
    state.put("key2", 42)
    assert (state.get("key1"), state.get("key2"), state.get("key3")) == ("value1", 42, None)


def test_put_replaces_value_and_moves_updated_time(cache: SessionCache) -> None:
    """A put replaces a value and moves the updated time, and a new session has an empty state (0-32, 0-36)."""
    session = cache.create()
    assert session.state.all() == {}
    session.state.put("key", "old")
    before = session.info().updated_at
    time.sleep(0.002)
    session.state.put("key", "new")
    assert session.state.all() == {"key": "new"}
    assert session.info().updated_at > before


def test_completed_session_cannot_fail(cache: SessionCache) -> None:
    """An end is final, so a completed session refuses to fail (0-33)."""
    session = cache.create()
    statuses = [session.info().status]
    session.complete()
    statuses.append(session.info().status)
    with pytest.raises(InvalidTransition):
        session.fail()
    assert [*statuses, session.info().status] == ["active", "completed", "completed"]


def test_status_change_moves_updated_time(cache: SessionCache) -> None:
    """Each change of status moves the updated time (0-34)."""
    session = cache.create()
    times = [session.info().updated_at]
    for change in (session.pause, session.resume, session.complete):
        time.sleep(0.002)
        change()
        times.append(session.info().updated_at)
    assert times == sorted(set(times))


def test_session_survives_json(cache: SessionCache) -> None:
    """A session comes back with name, entries and state from an export, and its info from JSON (0-35)."""
    session = cache.create("a", name="test-session", type=Conversation(purpose="p"))
    session.append(ASK, ANSWER)
    session.state.put("key", "value")
    info = session.info()
    assert SessionInfo.model_validate_json(info.model_dump_json()) == info
    lines = list(session.export())
    session.delete()
    cache.import_sessions(lines)
    back = cache.open("a")
    assert (back.info().name, back.info().entries, back.info().type) == ("test-session", 2, info.type)
    assert [message.payload for message in back.history()] == [ASK, ANSWER]
    assert back.state.all() == {"key": "value"}
