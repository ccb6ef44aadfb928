"""Transcripts at the limits: long groups, many pins, messages that the server evicted; and edits that are repeated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from redis_sessions import (
    CompactionConflict,
    EditConflict,
    Message,
    OperationConflict,
    RevisionConflict,
    Session,
    SessionCache,
    SessionDamaged,
    SessionNotFound,
)
from tests.support.servers import Server
from tests.transcripts.test_reported_cases import assistant, call, payloads, result, user

PIECES = 300


def long_group(cache: SessionCache) -> Session:
    """Return a session with a user message, one call that waits, and 300 answered calls in its group."""
    session = cache.create(max_messages=None)
    turns = [part for number in range(PIECES) for part in (call(f"c{number}"), result(f"c{number}"))]
    session.append(user("go"), call("long"), *turns[:PIECES])
    session.append(*turns[PIECES:])
    return session


def test_pop_in_long_group_reopens_the_call_of_a_removed_result(cache: SessionCache) -> None:
    """Each removal in a long open group leaves the open calls that it should, with the turn that goes on."""
    session = long_group(cache)
    assert [one.payload for one in session.pop()] == [result(f"c{PIECES - 1}")]
    session.append(result(f"c{PIECES - 1}", "again"))
    assert not session.history()[-1].is_late
    session.replace(after_seq=3)  # behind the first of the other calls
    session.append(result("c0"), result("long"), assistant("Done."))
    assert [one.is_late for one in session.history()] == [False] * 6
    assert not session.history()[-1].continues_group
    assert session.info().turns == 1


def test_removed_result_of_a_call_far_back_reopens_this_call(cache: SessionCache) -> None:
    """The call of a removed result waits again, also when hundreds of messages stand between."""
    session = long_group(cache)
    session.append(result("long"), assistant("Done."), user("Next?"))
    session.replace(after_seq=session.info().last_seq - 3)
    session.append(result("long"), assistant("Done."))
    assert [one.continues_group for one in session.history()[-2:]] == [True, False]
    assert not session.history()[-2].is_late
    assert session.info().turns == 1
    assert session.context(abandoned="answer").payloads[-1] == assistant("Done.")


def test_turn_counts_follow_a_removed_answer(cache: SessionCache) -> None:
    """An answer that replaces a removed one does not use up another turn, in a group with a user message in the middle, too."""
    session = cache.create()
    session.append(user("1"), call("c"), user("2"), result("c"), assistant("bad"))
    before = session.info()
    for number in range(3):
        session.replace(assistant(f"good {number}"), after_seq=session.info().last_seq - 1)
        found = session.info()
        assert (found.turns, found.user_messages, found.assistant_messages) == (
            before.turns, before.user_messages, before.assistant_messages,
        )  # fmt: skip


def test_pin_and_fork_in_long_group(cache: SessionCache) -> None:
    """A pin takes the whole of a long group, and a fork inside it is refused with the nearest seqs."""
    session = long_group(cache)
    session.append(result("long"), assistant("Done."))
    session.pin(300)
    assert {one.seq for one in session.history() if not one.pinned} == {1, 2 * PIECES + 4}
    session.unpin(300)
    assert not any(one.pinned for one in session.history())
    with pytest.raises(EditConflict) as refused:
        session.fork(300)
    assert (refused.value.before, refused.value.after) == (1, 2 * PIECES + 3)
    with pytest.raises(CompactionConflict) as found:
        session.compact(300, "sum")
    assert (found.value.before, found.value.after) == (1, 2 * PIECES + 3)


def test_pinned_messages_of_two_groups_in_one_batch_pin_both_groups(cache: SessionCache) -> None:
    """A pinned result pins its whole group, for each group of a batch."""
    session = cache.create()
    pinned = [Message(payload=result(id), pinned=True) for id in ("a", "b")]
    session.append(call("a"), pinned[0], call("b"), pinned[1], assistant("Done."))
    assert [one.pinned for one in session.history()] == [True] * 4 + [False]


def test_kept_messages_are_read_edited_and_unpinned_in_order(cache: SessionCache) -> None:
    """Messages that the cap moved out of the list keep their order in the history, the counts, and after an unpin."""
    session = cache.create(max_messages=8)
    for number in range(4):
        session.append(Message("user", f"p{number}", pinned=True))
        session.append(*[assistant(f"{number}.{at}") for at in range(4)])
    kept = [one.text for one in session.history() if one.pinned]
    assert kept == ["p0", "p1", "p2", "p3"]
    assert session.info().count == 8
    session.unpin(1)
    assert [one.text for one in session.history()][:3] == ["p1", "p2", "p3"]
    assert session.info().count == 7
    session.replace(6, user("new p1"))
    session.replace(after_seq=11)
    assert [one.text for one in session.history()] == ["new p1", "p2"]
    assert [one.text for one in session.pop()] == ["p2"]
    assert [one.text for one in session.fork().history()] == ["new p1"]
    session.clear()
    assert session.history() == []


READS_AND_EDITS: dict[str, Callable[[Session], Any]] = {
    "append": lambda session: session.append(user("x")),
    "append with state": lambda session: session.append(user("x"), state={"a": 1}),
    "history": lambda session: session.history(),
    "history of a role": lambda session: session.history(role="user"),
    "turn": lambda session: session.last_turn(),
    "context": lambda session: session.context(),
    "pop": lambda session: session.pop(),
    "replace": lambda session: session.replace(user("x"), after_seq=1),
    "replace in place": lambda session: session.replace(1, user("x")),
    "remove": lambda session: session.replace(after_seq=1),
    "clear": lambda session: session.clear(),
    "compact": lambda session: session.compact(1, "sum"),
    "abandon": lambda session: session.abandon_calls(),
    "fork": lambda session: session.fork(),
    "fork of a part": lambda session: session.fork(1),
    "pin": lambda session: session.pin(1),
    "unpin": lambda session: session.unpin(1),
}


@pytest.mark.parametrize("name", READS_AND_EDITS)
@pytest.mark.parametrize("left", [0, 1])
def test_session_without_its_messages_is_told(server: Server, namespace: str, name: str, left: int) -> None:
    """Each operation on the transcript tells when the server evicted the messages, or another program took some away."""
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        session = cache.create("a")
        session.append(user("1"), call("c"), assistant("2"))
        (key,) = server.client.scan_iter(f"{namespace}:*messages:*")
        if left:
            server.client.ltrim(key, 0, left - 1)
        else:
            server.client.delete(key)
        with pytest.raises(SessionDamaged if left else SessionNotFound):
            READS_AND_EDITS[name](session)
        if not left:
            assert cache.create("a").append(user("new")).first_seq == 1


def test_repeated_edits_happen_once(cache: SessionCache) -> None:
    """A compaction, an abandonment and a clear that are repeated with their batch ID return the first result."""
    session = cache.create()
    session.append(user("1"), assistant("2"), user("3"), call("c"))
    assert [session.abandon_calls(batch_id="a") for _ in range(2)] == [1, 1]
    rev = session.info().rev
    for _ in range(2):
        begin = session.compact(keep=2, summary=lambda found: f"{len(found)}", batch_id="c", expected_rev=rev)
        assert begin == 1
        session.append(assistant("later"))
    assert [one.text for one in session.history()] == ["2", "3", "", "later", "later"]
    with pytest.raises(RevisionConflict):
        session.compact(2, "sum", expected_rev=rev)
    cleared = session.clear(batch_id="x")
    session.append(user("new"))
    assert session.clear(batch_id="x") == cleared
    assert payloads(session) == [user("new")]


def test_batch_id_of_another_operation_is_refused(cache: SessionCache) -> None:
    """A compaction with the batch ID of an append is refused, because it cannot be the same operation."""
    session = cache.create()
    session.append(user("1"), assistant("2"), batch_id="b")
    with pytest.raises(OperationConflict, match="was used for 'append'"):
        session.compact(1, "sum", batch_id="b")


def test_entries_of_the_library_are_in_no_window(cache: SessionCache) -> None:
    """Entries about tools and skills are in the history, and in no window, because no API takes them."""
    session = cache.create()
    session.append(
        user("1"), Message.tool_call("find", {"n": 1}), Message.skill_execution("plan"), call("c"), result("c")
    )
    session.append({"type": "function_call", "call_id": "d", "name": "f", "arguments": "{}"})
    assert len(session.history()) == 6
    assert session.context().payloads == [user("1"), call("c"), result("c")]
    assert session.context().tokens < session.info().tokens


def part(key: str, number: int, **fields: Any) -> dict[str, Any]:
    """Return a part of a Gemini content without an ID."""
    return {key: {"name": "find", **fields, **({"args": {"n": number}} if key == "functionCall" else {})}}


def response(number: int) -> dict[str, Any]:
    """Return a content with one result without an ID."""
    return {"role": "user", "parts": [part("functionResponse", number, response={"output": number})]}


def test_gemini_results_without_ids_in_two_contents_are_paired_by_order(cache: SessionCache) -> None:
    """Results of one function without IDs that come one by one answer its calls in their order."""
    session = cache.create()
    calls = {"role": "model", "parts": [part("functionCall", number) for number in (1, 2, 3)]}
    session.append({"role": "user", "parts": [{"text": "go"}]}, calls)
    session.append(response(1))
    both = {"role": "user", "parts": [*response(2)["parts"], *response(3)["parts"]]}
    session.append(both)
    session.append({"role": "model", "parts": [{"text": "Done."}]})
    assert [one.is_late for one in session.history()] == [False] * 5
    assert [one.continues_group for one in session.history()] == [False, False, True, True, False]
    window = session.context().payloads
    assert [found["role"] for found in window] == ["user", "model", "user", "model"]
    assert window[2]["parts"] == [*response(1)["parts"], *both["parts"]]
    session.append(response(4))
    assert session.history()[-1].is_late
    assert len(session.context().payloads) == 4


def test_gemini_late_result_leaves_the_others_of_its_content(cache: SessionCache) -> None:
    """Of a content with a result too much, only this result is left out."""
    session = cache.create()
    calls = {"role": "model", "parts": [part("functionCall", number) for number in (1, 2)]}
    session.append({"role": "user", "parts": [{"text": "go"}]}, calls, response(1))
    session.append({"role": "user", "parts": [*response(2)["parts"], *response(3)["parts"]]})
    assert session.context().payloads[-1]["parts"] == [*response(1)["parts"], *response(2)["parts"]]


def test_window_begins_with_user_message_that_came_during_the_first_call(cache: SessionCache) -> None:
    """A window that must begin with a user message has first the one that came while the first call was open."""
    session = cache.create(format="anthropic")
    use = {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]}
    answer = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "1"}]}
    session.append(use, user("Hurry!"), answer)
    for budget in (1, 1000):
        assert session.context(budget).payloads == [user("Hurry!"), use, answer]


def test_call_that_is_never_answered_ends_its_group_after_a_thousand_messages(cache: SessionCache) -> None:
    """The call counts as abandoned, its group can be pinned, and its result is late then."""
    session = cache.create(max_messages=None)
    session.append(user("go"), call("long"))
    assert session.append(*[user("more")] * 999).abandoned == 0
    assert session.append(user("beyond")).abandoned == 1
    session.append(result("long"))
    newest = session.history(2)
    assert [one.continues_group for one in newest] == [False, False]
    assert newest[-1].is_late
    session.pin(500)
    assert {one.seq for one in session.history() if not one.pinned} == {1, 1002, 1003}
