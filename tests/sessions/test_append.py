"""Appends: atomic, exactly once, ordered, counted, limited."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from redis_sessions import (
    InvalidInput,
    LimitCheck,
    LimitExceeded,
    Message,
    MessageTooLarge,
    RevisionConflict,
    SessionCache,
    SessionNotActive,
    SessionNotFound,
    SessionRegressed,
)
from redis_sessions._core.commands import stored_values


def user(text: str = "x") -> dict[str, Any]:
    """Return a user message."""
    return {"role": "user", "content": text}


def assistant(text: str = "y") -> dict[str, Any]:
    """Return an assistant message."""
    return {"role": "assistant", "content": text}


def test_append_returns_seqs_and_rev(cache: SessionCache) -> None:
    """An append returns the seqs of its batch, and the rev grows by one a batch."""
    session = cache.create()
    one = session.append(user())
    batch = session.append(assistant(), user(), assistant())
    assert (one.first_seq, one.last_seq, one.rev, one.count, one.dropped, one.duplicate) == (1, 1, 1, 1, 0, False)
    assert (batch.first_seq, batch.last_seq, batch.rev, batch.count) == (2, 4, 2, 4)
    assert [message.seq for message in session.history()] == [1, 2, 3, 4]


def test_payload_is_returned_equal_and_in_order(cache: SessionCache) -> None:
    """A payload of any JSON is returned with equal values and its keys in order."""
    payload = {"z": [], "role": "user", "a": {}, "big": 2**70, "text": "\u2028 \ud83d ✓", "f": 0.1, "content": None}
    session = cache.create()
    session.append(payload)
    back = session.history()[0].payload
    assert back == payload
    assert list(back) == list(payload)


def test_messages_have_unique_ids_and_server_times(cache: SessionCache) -> None:
    """Message IDs are unique across sessions, and server times never go back."""
    session, other = cache.create(), cache.create()
    for each in (session, other):
        each.append(user(), user())
    found = session.history() + other.history()
    assert len({message.id for message in found}) == 4
    assert found[0].timestamp_ms <= found[1].timestamp_ms


def test_repeated_batch_id_returns_first_result(cache: SessionCache) -> None:
    """An append with a known batch ID returns the first result and writes nothing, even with other messages."""
    session = cache.create()
    first = session.append(user("a"), assistant("b"), batch_id="job-7")
    session.append(user("c"))
    again = cache.session(session.id).append(user("other"), batch_id="job-7")
    assert again.duplicate
    assert (again.first_seq, again.last_seq, again.rev, again.count) == (
        first.first_seq,
        first.last_seq,
        first.rev,
        first.count,
    )
    assert session.info().count == 3
    assert session.info().rev == 2


def test_last_64_batch_ids_are_recognised(cache: SessionCache) -> None:
    """The results of the last 64 batches are recorded, whatever the batch IDs look like."""
    session = cache.create(max_messages=None)
    ids = [f"batch-{number}" if number % 3 else f"same-end-{number}-x" for number in range(200)]
    for id in ids:
        session.append(user(), batch_id=id)
    assert all(session.append(user(), batch_id=id).duplicate for id in ids[-64:])
    assert session.info().last_seq == 200


def test_old_batch_ids_leave_window(cache: SessionCache) -> None:
    """The results of older batches leave the session's hash, so the size of the hash is bounded."""
    session = cache.create(max_messages=1)
    for number in range(300):
        session.append(user(), batch_id=f"always-the-same-bucket-{number:04}-x")
    assert not session.append(user(), batch_id="always-the-same-bucket-0100-x").duplicate


def test_repeated_batch_on_ended_session_returns_first_result(cache: SessionCache) -> None:
    """A retry after the end returns the first result, because the batch ID is checked before the status."""
    session = cache.create()
    session.append(user(), batch_id="b")
    session.complete()
    assert session.append(user(), batch_id="b").duplicate
    with pytest.raises(SessionNotActive, match="completed"):
        session.append(user())


def test_stale_expected_rev_raises_revision_conflict(cache: SessionCache) -> None:
    """An append with a stale expected rev raises RevisionConflict with the current rev."""
    session = cache.create()
    rev = session.append(user()).rev
    session.append(assistant(), expected_rev=rev)
    with pytest.raises(RevisionConflict) as refused:
        session.append(user(), expected_rev=rev)
    assert refused.value.rev == rev + 1
    assert session.info().count == 2


def test_append_to_deleted_session_raises_session_not_found(cache: SessionCache) -> None:
    """An append to a deleted session raises SessionNotFound and does not create the session."""
    session = cache.create("a")
    session.delete()
    for handle in (session, cache.session("a")):
        with pytest.raises(SessionNotFound):
            handle.append(user())
    assert cache.get("a") is None


def test_too_large_message_refuses_whole_batch(cache: SessionCache) -> None:
    """A batch is refused as a whole when the JSON of one payload exceeds max_message_bytes."""
    session = cache.create(max_message_bytes=100)
    exact = user("x" * (100 - len('{"role":"user","content":""}')))
    session.append(exact)
    with pytest.raises(MessageTooLarge) as refused:
        session.append(user(), user("x" * 200))
    assert refused.value.max == 100
    assert session.info().count == 1


@pytest.mark.parametrize(
    "message",
    [
        "text",
        5,
        None,
        ["x"],
        {1: "x"},
        {"role": "user", "x": {1}},
        {"role": "tool", "tool_call_id": 10**5000, "content": "more digits than Python writes"},
        Message(payload={"role": "user", "x": float("nan")}),
    ],
)
def test_invalid_message_is_refused(cache: SessionCache, message: Any) -> None:
    """A value that is not a message raises InvalidInput before anything is sent."""
    session = cache.create()
    with pytest.raises(InvalidInput):
        session.append(message)
    with pytest.raises(InvalidInput):
        session.append(user(), message)
    assert session.info().count == 0


@pytest.mark.parametrize("payload", [{}, {"role": "king"}, {"role": 5}, {"content": "no role"}])
def test_payload_of_unknown_format_is_stored(cache: SessionCache, payload: dict[str, Any]) -> None:
    """A payload that no format knows is stored as it is, counts as no turn, and is in no window."""
    session = cache.create()
    session.append(payload, user())
    unknown, known = session.history()
    assert (unknown.payload, unknown.type, unknown.role) == (payload, "unknown", "system")
    assert session.context() == [known]
    assert (session.info().current_turn, session.info().count) == (1, 2)


def test_explicit_role_wins_over_role_of_payload(cache: SessionCache) -> None:
    """A role that the caller gives with a payload decides, and the payload stays as it is."""
    session = cache.create()
    session.append(Message("user", payload={"role": "king", "content": "x"}))
    session.append(Message("system", payload=user()))
    assert [message.role for message in session.history()] == ["user", "system"]
    assert session.info().user_messages == 1
    with pytest.raises(InvalidInput, match="role"):
        Message("king", payload=user())


@pytest.mark.parametrize("batch_id", ["", "a b", "a\nb", "x" * 129])
def test_invalid_batch_id_is_refused(cache: SessionCache, batch_id: str) -> None:
    """A batch ID raises InvalidInput when it is empty, has white space, or exceeds 128 characters."""
    with pytest.raises(InvalidInput):
        cache.create().append(user(), batch_id=batch_id)


def test_empty_batch_is_refused(cache: SessionCache) -> None:
    """An append without messages raises InvalidInput."""
    with pytest.raises(InvalidInput):
        cache.create().append()


def test_large_batch_is_appended_whole(url: str, namespace: str) -> None:
    """A batch of 9,000 messages is appended whole, although Lua's stack cannot hold them at once."""
    # a fake server takes a second or two, and more on a busy machine
    with SessionCache.from_url(url, namespace=namespace, bounds={"batch_messages": 9000}, timeout=60) as cache:
        session = cache.create(max_messages=None)
        result = session.append(*[user(str(number)) for number in range(9000)])
        assert (result.first_seq, result.last_seq, result.count) == (1, 9000, 9000)
        assert [message.content for message in session.history()] == [str(number) for number in range(9000)]


def test_append_updates_counts(cache: SessionCache) -> None:
    """An append updates the counts by role, exchanges, bytes, tokens and entries (S1 0-12, S4 3-28)."""
    session = cache.create()
    session.append(user("a"), assistant("b"), user("c"), {"role": "tool", "tool_call_id": "t", "content": "d"})
    info = session.info()
    assert (info.user_messages, info.assistant_messages, info.exchanges, info.entries) == (2, 1, 1, 4)
    assert info.tokens == 4
    assert info.bytes > 4 * 30


@pytest.mark.parametrize(
    ("kinds", "turns"),
    [("", 0), ("u", 0), ("ua", 1), ("uaua", 2), ("uua", 1), ("uaa", 1), ("a", 0), ("utstva", 1), ("auau", 1)],
)
def test_user_messages_and_answer_count_as_one_turn(cache: SessionCache, kinds: str, turns: int) -> None:
    """User messages in a row and the next assistant message are one turn, and no other message counts (S1 0-17, 0-18)."""
    made: dict[str, Any] = {
        "u": user(),
        "a": assistant(),
        "t": {"role": "tool", "content": "r"},
        "s": {"role": "system", "content": "s"},
        "v": Message.system_event("e"),
    }
    session = cache.create()
    for kind in kinds:
        session.append(made[kind])
    together = cache.create()
    if kinds:
        together.append(*[made[kind] for kind in kinds])
    assert session.info().turns == together.info().turns == turns


def test_user_message_beyond_max_turns_is_refused(cache: SessionCache) -> None:
    """The user message that would open one turn too many is refused, before a model is paid (S1 0-20 to 0-23)."""
    session = cache.create(max_turns=2)
    assert session.check_limits() == LimitCheck("ok")
    session.append(user(), assistant())
    assert session.info().remaining_turns == 1
    result = session.append(user(), assistant())
    assert result.limit == LimitCheck("at_limit", "turns", 2, 2) == session.check_limits()
    with pytest.raises(LimitExceeded) as refused:
        session.append(user())
    assert (refused.value.limit, refused.value.current, refused.value.max) == ("turns", 3, 2)
    info = session.info()
    assert (info.count, info.remaining_turns, info.status) == (4, 0, "active")


def test_max_turns_of_0_refuses_first_user_message(cache: SessionCache) -> None:
    """A session with max_turns=0 is at its limit from its creation (S1 0-26)."""
    session = cache.create(max_turns=0)
    assert session.check_limits() == LimitCheck("at_limit", "turns", 0, 0)
    with pytest.raises(LimitExceeded):
        session.append(user())


def test_ignored_limit_is_reported_as_exceeded(cache: SessionCache) -> None:
    """An append beyond an ignored limit is stored and reports the limit as exceeded (S1 0-23)."""
    session = cache.create(max_turns=2, limit_action="ignore")
    for _ in range(3):
        result = session.append(user(), assistant())
    assert result.limit == LimitCheck("exceeded", "turns", 3, 2) == session.check_limits()
    assert session.info().remaining_turns == 0


def test_limit_with_end_session_refuses_append_and_completes_session(cache: SessionCache) -> None:
    """The refusal of an append ends the session in the same script when limit_action is end_session."""
    session = cache.create(max_entries=2, limit_action="end_session")
    session.append(user(), assistant())
    assert session.check_limits() == LimitCheck("at_limit", "entries", 2, 2)
    with pytest.raises(LimitExceeded):
        session.append(user())
    info = session.info()
    assert (info.status, info.count, info.reason) == ("completed", 2, "limit entries 3 2")
    assert info.finished_at is not None


def test_limit_check_returns_first_reached_limit(cache: SessionCache) -> None:
    """A limit check returns turns at their limit before exceeded entries, and `limits` has both (S1 0-29)."""
    session = cache.create(max_turns=1, max_entries=1, limit_action="ignore")
    session.append(user(), assistant())
    assert session.check_limits() == LimitCheck("at_limit", "turns", 1, 1)
    assert [check.state for check in session.info().limits] == ["at_limit", "exceeded"]


def test_append_after_max_duration_is_refused(cache: SessionCache) -> None:
    """An append is refused only when max_duration has passed (S1 0-28)."""
    session = cache.create(max_duration=1.5)
    session.append(user())
    time.sleep(1.6)
    with pytest.raises(LimitExceeded) as refused:
        session.append(user())
    assert refused.value.limit == "duration"


def test_lost_acknowledged_messages_raise_session_regressed(cache: SessionCache) -> None:
    """A handle raises SessionRegressed when the server knows fewer messages than it acknowledged."""
    session = cache.create("a")
    session.append(user(), user())
    session._seen = 5
    with pytest.raises(SessionRegressed) as refused:
        session.append(user())
    assert (refused.value.known, refused.value.seen) == (2, 5)
    with pytest.raises(SessionRegressed):
        session.history()
    assert cache.open("a").append(user()).last_seq == 3


def test_send_to_paused_session_is_refused(cache: SessionCache) -> None:
    """A send stores a user message, and raises SessionNotActive when the session is paused (S5 4-09)."""
    session = cache.create()
    session.send("Hello")
    assert session.history()[0].payload == {"role": "user", "content": "Hello"}
    session.pause()
    with pytest.raises(SessionNotActive, match="paused"):
        session.send("again")
    assert session.info().count == 1
    with pytest.raises(SessionNotFound, match="missing"):
        cache.session("missing").send("x")


@pytest.mark.parametrize("tokens", [-1, 10**20, True, 1.5, "3"])
def test_invalid_token_count_is_refused(cache: SessionCache, tokens: Any) -> None:
    """A message with an impossible token count raises InvalidInput, and the session takes the next message."""
    session = cache.create()
    with pytest.raises(InvalidInput):
        session.append(Message("user", "x", tokens=tokens))
    assert session.append(user()).last_seq == 1


def test_user_message_with_tool_results_opens_no_turn(cache: SessionCache) -> None:
    """A user message with tool results belongs to the turn whose call the results answer."""
    results = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "r"}]}
    session = cache.create(max_turns=1)
    session.append(user(), results, assistant())
    info = session.info()
    assert (info.turns, info.current_turn) == (1, 1)
    message = session.history()[1]
    assert (message.role, message.payload) == ("tool", results)


def test_shared_handle_raises_no_false_session_regressed(cache: SessionCache) -> None:
    """Threads that append and read with one handle do not meet SessionRegressed."""
    session = cache.create(max_messages=None)
    problems: list[Exception] = []

    def repeat(call: Any) -> None:
        try:
            for _ in range(60):
                call()
        except Exception as problem:
            problems.append(problem)

    calls = [lambda: session.append(user()), lambda: session.history(5)] * 2
    threads = [threading.Thread(target=repeat, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems


def test_results_of_appends_stay_within_the_window(cache: SessionCache) -> None:
    """Batch IDs that share a field, with other writes in between, keep 64 results there, and the session is exported."""
    session = cache.create("a", max_messages=None)
    for turn in range(5):
        for number in range(60):
            session.append(user(), batch_id=f"turn{turn}-{number}:usr")
        session.append(user(), user(), batch_id=f"turn{turn}:bat")
    fields = stored_values.read_fields(session._keys)
    results = {name: value for name, value in cache._context.executor.run(fields).items() if b"results." in name}
    assert max(value.count(b"\n") for value in results.values()) <= 64
    assert session.append(user(), batch_id="turn4-10:usr").duplicate
    assert not session.append(user(), batch_id="turn3-10:usr").duplicate
    assert cache.import_sessions(session.export(), on_conflict="replace").replaced == 1
