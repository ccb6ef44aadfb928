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
    """A session that has had so many turns."""
    session = cache.create(**options)
    for _ in range(done):
        session.append(ASK, ANSWER)
    return session


def test_an_id_comes_back_from_its_text(cache: SessionCache) -> None:
    """0-01: made, written, parsed, it is the same id, and names the same session."""
    made = cache.create().id
    parsed = UUID(str(made))
    assert str(parsed) == made
    assert cache.open(str(parsed)).info().id == made


def test_text_that_is_no_uuid_is_an_id_too(cache: SessionCache) -> None:
    """0-02, decided on purpose: any printable text is; what can be no id is an error, never a new id."""
    assert cache.create("support-42").id == "support-42"
    for text in ("", "a b", "a{b}"):
        with pytest.raises(InvalidInput):
            cache.create(text)


def test_ids_are_random_and_unique(cache: SessionCache) -> None:
    """0-03: UUIDs, of version 8: a session's slot is in it."""
    ids = [UUID(cache.create().id) for _ in range(20)]
    assert len(set(ids)) == 20
    assert {id.version for id in ids} == {8}


def test_the_later_of_two_times_is_greater(cache: SessionCache) -> None:
    """0-04: 10 ms apart."""
    session = cache.create()
    session.append(ASK)
    time.sleep(0.010)
    session.append(ANSWER)
    first, second = session.history()
    assert second.timestamp_ms > first.timestamp_ms
    assert second.timestamp > first.timestamp


def test_times_are_in_ms_since_the_epoch(cache: SessionCache) -> None:
    """0-05: 0 before there is one; in the order of the messages."""
    assert Message("user", "x").timestamp_ms == 0
    session = cache.create()
    session.append(ASK, ANSWER, ASK)
    times = [message.timestamp_ms for message in session.history()]
    assert times == sorted(times)
    assert round(session.history()[0].timestamp.timestamp() * 1000) == times[0] > 1_600_000_000_000


def test_a_session_has_a_name_and_a_type(cache: SessionCache) -> None:
    """0-06: it is active and has no entries."""
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
def test_types_are_told_apart_by_their_tag(cache: SessionCache, type: SessionType, stored: dict[str, Any]) -> None:
    """0-08: in snake case; given as a model or as an object."""
    for given in (type, stored):
        found = cache.create(type=given).info().type
        assert found == type
        assert found.model_dump() == stored


def test_a_session_has_one_of_these_statuses(cache: SessionCache) -> None:
    """0-09: active by default; and timed_out, for S5."""
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


def test_tags_are_added_in_order(cache: SessionCache) -> None:
    """0-10, 0-11: duplicates are kept; a parent can be named; without them there are none."""
    bare = cache.create().info()
    assert (bare.tags, bare.parent_id) == ([], None)
    session = cache.create(tags=["a"], parent_id="p")
    for tag in ("b", "a"):
        session.patch(tags=[*session.info().tags, tag])
    assert (session.info().tags, session.info().parent_id) == (["a", "b", "a"], "p")


def test_entries_are_counted_by_role(cache: SessionCache) -> None:
    """0-12: user, assistant, user, assistant."""
    session = cache.create()
    for entry in (ASK, ANSWER, {"role": "user", "content": "How are you?"}, {"role": "assistant", "content": "Fine"}):
        session.append(entry)
    info = session.info()
    assert (info.entries, info.user_messages, info.assistant_messages) == (4, 2, 2)


def test_an_entry_comes_last_and_moves_the_updated_time(cache: SessionCache) -> None:
    """0-13: with an id and a time of its own, and any JSON."""
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


def test_an_entry_may_have_its_text_in_an_object(cache: SessionCache) -> None:
    """0-14: `text` is the text either way, and the payload is as it was given."""
    session = cache.create()
    session.append(ASK, {"role": "user", "content": {"text": "Hello"}})
    assert [message.text for message in session.history()] == ["Hello", "Hello"]
    assert [message.content for message in session.history()] == ["Hello", {"text": "Hello"}]


def test_a_tool_call_and_a_skill_run_keep_name_and_success(cache: SessionCache) -> None:
    """0-15: the result is the content; success may be false."""
    session = cache.create()
    session.append(Message.tool_call("read_file", {"content": "file contents"}))
    session.append(Message.skill_execution("code-review", {"error": "no file"}, success=False))
    call, run = session.history()
    assert (call.type, call.payload["tool_name"], call.payload["success"]) == ("tool_call", "read_file", True)
    assert call.content == {"content": "file contents"}
    assert (run.type, run.payload["skill_name"], run.payload["success"]) == ("skill_execution", "code-review", False)
    assert run.content == {"error": "no file"}


def test_entries_are_of_these_types(cache: SessionCache) -> None:
    """0-16: each with what is its own; `history(role=…)` selects by type, too."""
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


def test_turns_are_counted_as_they_are_completed(cache: SessionCache) -> None:
    """0-17: none; a question; its answer; and both again."""
    session = cache.create()
    turns = [session.info().turns]
    for entry in (ASK, ANSWER, ASK, ANSWER):
        session.append(entry)
        turns.append(session.info().turns)
    assert turns == [0, 0, 1, 1, 2]


def test_the_duration_is_from_creation_to_the_last_change(cache: SessionCache) -> None:
    """0-19: never negative."""
    session = cache.create()
    assert session.info().duration == timedelta(0)
    time.sleep(0.01)
    session.append(ASK)
    info = session.info()
    assert info.duration == info.updated_at - info.created_at >= timedelta(milliseconds=9)


def test_no_turn_of_two_is_ok(cache: SessionCache) -> None:
    """0-20: two remain."""
    session = with_turns(cache, 0, max_turns=2)
    assert (session.check_limits().state, session.info().remaining_turns) == ("ok", 2)


def test_after_one_turn_of_two_one_remains(cache: SessionCache) -> None:
    """0-21."""
    session = with_turns(cache, 1, max_turns=2)
    assert (session.check_limits().state, session.info().remaining_turns) == ("ok", 1)


def test_two_turns_of_two_are_at_the_limit(cache: SessionCache) -> None:
    """0-22: not over it; none remains."""
    session = with_turns(cache, 2, max_turns=2)
    assert session.check_limits() == LimitCheck("at_limit", "turns", 2, 2)
    assert session.info().remaining_turns == 0


def test_three_turns_of_two_exceed_the_limit(cache: SessionCache) -> None:
    """0-23: where limits only tell; elsewhere the third question is refused."""
    session = with_turns(cache, 3, max_turns=2, limit_action="ignore")
    assert session.check_limits() == LimitCheck("exceeded", "turns", 3, 2)
    with pytest.raises(LimitExceeded):
        with_turns(cache, 3, max_turns=2)


def test_without_a_limit_turns_do_not_run_out(cache: SessionCache) -> None:
    """0-24, 0-25: nothing remains to be counted, and nothing is at its limit; with one, never less than 0 remain."""
    info = with_turns(cache, 3).info()
    assert (info.remaining_turns, info.limits) == (None, [])
    over = with_turns(cache, 3, max_turns=1, limit_action="ignore").info()
    assert (over.remaining_turns, over.check_limits().state) == (0, "exceeded")


def test_entries_have_a_limit_of_their_own(cache: SessionCache) -> None:
    """0-27: at the limit when equal, exceeded above, with the counts."""
    session = cache.create(max_entries=2, limit_action="ignore")
    session.append(ASK, ANSWER)
    assert session.check_limits() == LimitCheck("at_limit", "entries", 2, 2)
    session.append(ASK)
    assert session.check_limits() == LimitCheck("exceeded", "entries", 3, 2)


def test_a_duration_is_never_merely_at_its_limit() -> None:
    """0-28: equal is ok, a millisecond more is exceeded."""
    from redis_sessions.models.limits import check_limits

    states = [
        check_limits(turns=0, entries=0, duration_ms=ms, max_turns=None, max_entries=None, max_duration_ms=50)[0].state
        for ms in (49, 50, 51)
    ]
    assert states == ["ok", "ok", "exceeded"]


def test_limits_are_off_unless_they_are_given(cache: SessionCache) -> None:
    """0-30: and what passes one is refused."""
    info = cache.create().info()
    assert (info.max_turns, info.max_entries, info.max_duration, info.limit_action) == (None, None, None, "error")


def test_a_context_gives_back_what_was_set(cache: SessionCache) -> None:
    """0-31: a text, a number, and None for what is not there."""
    state = cache.create().state
    state.put("key1", "value1")
    state.put("key2", 42)
    assert (state.get("key1"), state.get("key2"), state.get("key3")) == ("value1", 42, None)


def test_setting_context_replaces_and_moves_the_updated_time(cache: SessionCache) -> None:
    """0-32; 0-36: a session without any has an empty one."""
    session = cache.create()
    assert session.state.all() == {}
    session.state.put("key", "old")
    before = session.info().updated_at
    time.sleep(0.002)
    session.state.put("key", "new")
    assert session.state.all() == {"key": "new"}
    assert session.info().updated_at > before


def test_a_completed_session_does_not_fail_later(cache: SessionCache) -> None:
    """0-33, decided on purpose: an end is final, whoever comes late."""
    session = cache.create()
    statuses = [session.info().status]
    session.complete()
    statuses.append(session.info().status)
    with pytest.raises(InvalidTransition):
        session.fail()
    assert [*statuses, session.info().status] == ["active", "completed", "completed"]


def test_a_change_of_status_moves_the_updated_time(cache: SessionCache) -> None:
    """0-34."""
    session = cache.create()
    times = [session.info().updated_at]
    for change in (session.pause, session.resume, session.complete):
        time.sleep(0.002)
        change()
        times.append(session.info().updated_at)
    assert times == sorted(set(times))


def test_a_session_goes_through_json(cache: SessionCache) -> None:
    """0-35: its name, entries and context come back, from an export as from `info()`."""
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
