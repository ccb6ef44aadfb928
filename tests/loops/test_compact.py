"""Compaction of the oldest messages into a summary, and conversations that are formed after inactivity."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from redis_sessions import CompactionConflict, InvalidInput, Message, MessageTooLarge, SessionCache
from tests.trees.children import X


def test_compacted_range_becomes_its_summary(cache: SessionCache) -> None:
    """The summary has the seq of the last replaced message, the counts go on, and the tokens are those of retained messages."""
    session = cache.create()
    for n in range(4):
        session.append({"role": "user", "content": f"q{n}"}, {"role": "assistant", "content": f"a{n}"})
    assert session.compact(4, "They talked.", from_seq=1) == 1
    assert [(m.seq, m.content) for m in session.history()] == [
        (4, "They talked."), (5, "q2"), (6, "a2"), (7, "q3"), (8, "a3"),
    ]  # fmt: skip
    assert session.history()[0].metadata == {"compaction": {"to_seq": 4, "from_seq": 1}}
    info = session.info()
    assert (info.count, info.dropped, info.last_seq, info.turns, info.tokens) == (5, 3, 8, 4, 8)
    assert [m.seq for m in session.context()] == [4, 5, 6, 7, 8]
    session.append(X)
    assert session.compact(6, "More.") == 4
    assert [m.seq for m in session.history()] == [6, 7, 8, 9]


def test_pinned_message_survives_compaction(cache: SessionCache) -> None:
    """A pinned message keeps its place before the summary."""
    session = cache.create()
    session.append(X, X, X, X)
    session.pin(2)
    session.compact(3, "sum")
    assert [m.seq for m in session.history()] == [2, 3, 4]
    session.append(X)
    assert session.info().count == 4


def test_range_that_is_not_retained_is_refused(cache: SessionCache) -> None:
    """A range that moved, ends past the last message, splits a tool call, or ends in a pin is refused and changes nothing."""
    session = cache.create(max_messages=4)
    session.append(X, X, X, X, X)
    cases = ((1, None, "dropped"), (6, None, "beyond_end"), (3, 1, "moved"), (4, 3, "moved"))
    for up_to, begin, reason in cases:
        with pytest.raises(CompactionConflict, match="Seqs 2 to 5 are retained") as refused:
            session.compact(up_to, "sum", from_seq=begin)
        assert refused.value.reason == reason
    session.pin(3)
    with pytest.raises(CompactionConflict) as refused:
        session.compact(3, "sum")
    assert refused.value.reason == "pinned"
    session.append({"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]})
    session.append({"role": "tool", "tool_call_id": "c", "content": "t"})
    with pytest.raises(CompactionConflict) as refused:
        session.compact(6, "sum")
    assert (refused.value.reason, refused.value.before, refused.value.after) == ("in_group", 5, 7)
    with pytest.raises(InvalidInput):
        session.compact(2, "sum", from_seq=3)
    with pytest.raises(InvalidInput):
        session.compact(5, "")
    assert session.info().count == 4


def test_compact_with_function_keeps_newest_whole_groups(cache: SessionCache) -> None:
    """The function gets the messages that the summary replaces. More messages stay than asked if a group would be cut."""
    session = cache.create()
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]}
    session.append(X, X, call, {"role": "tool", "tool_call_id": "c", "content": "t"}, X)
    asked: list[list[int]] = []

    def summary(messages: list[Message]) -> str:
        asked.append([message.seq for message in messages])
        return f"summary of {len(messages)}"

    assert session.compact(keep=2, summary=summary) == 1
    assert [(m.seq, m.content) for m in session.history()][:2] == [(2, "summary of 2"), (3, None)]
    assert session.compact(keep=9, summary=summary) == 0
    session.append(*[X] * 3)
    assert session.compact(keep=1, summary=summary) == 2
    assert [m.seq for m in session.history()] == [7, 8]
    assert asked == [[1, 2], [2, 3, 4, 5, 6, 7]]


def test_summary_stays_when_cap_drops_its_neighbours(cache: SessionCache) -> None:
    """The cap keeps a summary in its place, and the next compaction replaces the summary."""
    session = cache.create(max_messages=4)
    session.append(X, X, X)
    session.compact(2, "first")
    session.append(*[X] * 6)
    assert [(m.seq, m.content) for m in session.history()] == [(2, "first"), (7, "x"), (8, "x"), (9, "x")]
    session.compact(8, "second")
    assert [(m.seq, m.content) for m in session.history()] == [(8, "second"), (9, "x")]
    assert session.info().tokens == sum(m.tokens or 0 for m in session.history())


def test_too_large_summary_is_refused(cache: SessionCache) -> None:
    """A summary above the message limit is refused."""
    session = cache.create(max_message_bytes=100)
    session.append(X)
    with pytest.raises(MessageTooLarge):
        session.compact(1, "x" * 100)


def test_idle_channel_forms_next_session(cache: SessionCache) -> None:
    """A channel forms its next session after inactivity, an end or a deletion, and the next session names the previous one."""
    first = cache.conversation("mia", inactivity=0.3, user_id="mia")
    first.append(X)
    assert cache.conversation("mia", inactivity=60).id == first.id
    formation = first.info().formation
    assert (formation.kind, formation.threshold, formation.previous_id) == ("inactivity", timedelta(seconds=0.3), None)
    time.sleep(0.4)
    second = cache.conversation("mia", inactivity=0.3, user_id="mia")
    assert second.id != first.id
    assert second.info().formation.previous_id == first.id
    assert second.info().user_id == "mia"
    second.complete()
    third = cache.conversation("mia", inactivity=60)
    assert third.info().formation.previous_id == second.id
    third.delete()
    assert cache.conversation("mia", inactivity=60).info().formation.previous_id == third.id
    assert cache.conversation("tom", inactivity=60).info().formation.previous_id is None
    assert cache.create().info().formation.kind == "explicit"
    assert cache.create(formation="first_loop").info().formation.kind == "first_loop"


def test_racing_callers_get_same_conversation(cache: SessionCache) -> None:
    """Many callers that ask for a conversation at once get the same session."""
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: cache.conversation("mia", inactivity=60).id, range(32)))
    assert len(set(found)) == 1
    with pytest.raises(InvalidInput):
        cache.conversation("mia", inactivity=0)


@pytest.mark.parametrize("late", [X, {"role": "tool", "tool_call_id": "c", "content": "done"}])
def test_compaction_keeps_an_open_group_whatever_its_last_message_is(cache: SessionCache, late: dict[str, Any]) -> None:
    """A compaction that keeps no message keeps the group that waits for a result."""
    session = cache.create()
    calls = [{"id": id, "function": {"name": "f"}} for id in "cd"]
    session.append(X, X, {"role": "assistant", "content": None, "tool_calls": calls}, late)
    assert session.compact(keep=0, summary="sum") == 1
    assert [m.seq for m in session.history()] == [2, 3, 4]
    assert session.compact(keep=0, summary="more") == 2


def test_compaction_of_what_the_cap_keeps_replaces_nothing(cache: SessionCache) -> None:
    """A compaction that would replace only a task that the cap passed replaces nothing."""
    session = cache.create(max_messages=3)
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "function": {"name": "f"}}]}
    session.append(X, call, X, {"role": "tool", "tool_call_id": "c", "content": "done"})
    assert [m.seq for m in session.history()] == [1, 2, 3, 4]
    assert session.compact(keep=3, summary="sum") == 0
    assert [m.seq for m in session.history()] == [1, 2, 3, 4]
