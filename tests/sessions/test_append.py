"""Appending: atomic, exactly once, ordered, counted, limited."""

from __future__ import annotations

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


def user(text: str = "x") -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str = "y") -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def test_an_append_answers_where_it_landed(cache: SessionCache) -> None:
    """Seqs are positions; the rev grows by one a batch."""
    session = cache.create()
    one = session.append(user())
    batch = session.append(assistant(), user(), assistant())
    assert (one.first_seq, one.last_seq, one.rev, one.count, one.dropped, one.duplicate) == (1, 1, 1, 1, 0, False)
    assert (batch.first_seq, batch.last_seq, batch.rev, batch.count) == (2, 4, 2, 4)
    assert [message.seq for message in session.history()] == [1, 2, 3, 4]


def test_payloads_come_back_equal_with_their_order(cache: SessionCache) -> None:
    """Whatever the framework: nothing is decoded on the way."""
    payload = {"z": [], "role": "user", "a": {}, "big": 2**70, "text": "\u2028 \ud83d ✓", "f": 0.1, "content": None}
    session = cache.create()
    session.append(payload)
    back = session.history()[0].payload
    assert back == payload
    assert list(back) == list(payload)


def test_a_message_has_an_id_and_the_servers_time(cache: SessionCache) -> None:
    """Ids are unique over sessions; times never go back."""
    session, other = cache.create(), cache.create()
    for each in (session, other):
        each.append(user(), user())
    found = session.history() + other.history()
    assert len({message.id for message in found}) == 4
    assert found[0].timestamp_ms <= found[1].timestamp_ms


def test_a_batch_id_is_appended_once(cache: SessionCache) -> None:
    """The repeated batch returns its first result, whatever it carries, and writes nothing."""
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


def test_the_last_64_batches_are_remembered(cache: SessionCache) -> None:
    """The window holds whatever the ids look like."""
    session = cache.create(max_messages=None)
    ids = [f"batch-{number}" if number % 3 else f"same-end-{number}-x" for number in range(200)]
    for id in ids:
        session.append(user(), batch_id=id)
    assert all(session.append(user(), batch_id=id).duplicate for id in ids[-64:])
    assert session.info().last_seq == 200


def test_the_window_does_not_grow(cache: SessionCache) -> None:
    """Records leave it: a session's hash is bounded however many batches there were."""
    session = cache.create(max_messages=1)
    for number in range(300):
        session.append(user(), batch_id=f"always-the-same-bucket-{number:04}-x")
    assert not session.append(user(), batch_id="always-the-same-bucket-0100-x").duplicate


def test_an_ended_session_still_answers_a_repeated_batch(cache: SessionCache) -> None:
    """The batch id is looked at before the status: a retry after the end learns that it was stored."""
    session = cache.create()
    session.append(user(), batch_id="b")
    session.complete()
    assert session.append(user(), batch_id="b").duplicate
    with pytest.raises(SessionNotActive, match="completed"):
        session.append(user())


def test_expected_rev_must_be_current(cache: SessionCache) -> None:
    """Compare-and-set; the conflict carries the current rev."""
    session = cache.create()
    rev = session.append(user()).rev
    session.append(assistant(), expected_rev=rev)
    with pytest.raises(RevisionConflict) as refused:
        session.append(user(), expected_rev=rev)
    assert refused.value.rev == rev + 1
    assert session.info().count == 2


def test_an_append_never_creates(cache: SessionCache) -> None:
    """A late writer cannot resurrect a deleted session."""
    session = cache.create("a")
    session.delete()
    for handle in (session, cache.session("a")):
        with pytest.raises(SessionNotFound):
            handle.append(user())
    assert cache.get("a") is None


def test_a_message_over_the_limit_is_refused_with_its_whole_batch(cache: SessionCache) -> None:
    """Nothing is half written; the size is that of the payload's JSON."""
    session = cache.create(max_message_bytes=100)
    exact = user("x" * (100 - len('{"role":"user","content":""}')))
    session.append(exact)
    with pytest.raises(MessageTooLarge) as refused:
        session.append(user(), user("x" * 200))
    assert refused.value.max == 100
    assert session.info().count == 1


@pytest.mark.parametrize(
    "message",
    ["text", 5, None, {}, {"role": "king"}, {"role": 5}, {"content": "no role"}, {"role": "user", "x": {1}}],
)
def test_what_is_no_message_is_refused(cache: SessionCache, message: Any) -> None:
    """Before anything is sent."""
    session = cache.create()
    with pytest.raises(InvalidInput):
        session.append(message)
    with pytest.raises(InvalidInput):
        session.append(user(), message)
    assert session.info().count == 0


@pytest.mark.parametrize("batch_id", ["", "a b", "a\nb", "x" * 129])
def test_bad_batch_ids_are_refused(cache: SessionCache, batch_id: str) -> None:
    """They are ids."""
    with pytest.raises(InvalidInput):
        cache.create().append(user(), batch_id=batch_id)


def test_an_empty_batch_is_refused(cache: SessionCache) -> None:
    """There is nothing to be atomic about."""
    with pytest.raises(InvalidInput):
        cache.create().append()


def test_a_large_batch_is_one_batch(cache: SessionCache) -> None:
    """Beyond what fits Lua's stack at once."""
    session = cache.create(max_messages=None)
    result = session.append(*[user(str(number)) for number in range(9000)])
    assert (result.first_seq, result.last_seq, result.count) == (1, 9000, 9000)
    assert [message.content for message in session.history()] == [str(number) for number in range(9000)]


def test_counts_follow(cache: SessionCache) -> None:
    """S1 0-12, S4 3-28: by role, exchanges, bytes, tokens, entries."""
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
def test_completed_turns_are_counted(cache: SessionCache, kinds: str, turns: int) -> None:
    """S1 0-17, 0-18: a user message, or several, then an assistant message; others change nothing."""
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


def test_max_turns_refuses_the_message_that_would_open_one_more(cache: SessionCache) -> None:
    """S1 0-20 to 0-23: at the limit is not over it; the user message of the next turn is refused, before a model is paid."""
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


def test_max_turns_0_is_at_its_limit_at_once(cache: SessionCache) -> None:
    """S1 0-26."""
    session = cache.create(max_turns=0)
    assert session.check_limits() == LimitCheck("at_limit", "turns", 0, 0)
    with pytest.raises(LimitExceeded):
        session.append(user())


def test_ignored_limits_are_reported(cache: SessionCache) -> None:
    """S1 0-23: exceeded, with current and max; remaining turns never below 0."""
    session = cache.create(max_turns=2, limit_action="ignore")
    for _ in range(3):
        result = session.append(user(), assistant())
    assert result.limit == LimitCheck("exceeded", "turns", 3, 2) == session.check_limits()
    assert session.info().remaining_turns == 0


def test_end_session_refuses_and_completes(cache: SessionCache) -> None:
    """The message that would pass the limit is not stored, and the session ends in the same script."""
    session = cache.create(max_entries=2, limit_action="end_session")
    session.append(user(), assistant())
    assert session.check_limits() == LimitCheck("at_limit", "entries", 2, 2)
    with pytest.raises(LimitExceeded):
        session.append(user())
    info = session.info()
    assert (info.status, info.count, info.reason) == ("completed", 2, "limit entries 3 2")
    assert info.finished_at is not None


def test_the_check_answers_in_order_and_shows_all(cache: SessionCache) -> None:
    """S1 0-29: turns at their limit answer before entries over theirs; `limits` has both."""
    session = cache.create(max_turns=1, max_entries=1, limit_action="ignore")
    session.append(user(), assistant())
    assert session.check_limits() == LimitCheck("at_limit", "turns", 1, 1)
    assert [check.state for check in session.info().limits] == ["at_limit", "exceeded"]


def test_max_duration_is_exceeded_only_when_passed(cache: SessionCache) -> None:
    """S1 0-28: time runs out between two appends."""
    session = cache.create(max_duration=0.05)
    session.append(user())
    import time

    time.sleep(0.08)
    with pytest.raises(LimitExceeded) as refused:
        session.append(user())
    assert refused.value.limit == "duration"


def test_a_server_that_forgot_is_told_apart(cache: SessionCache) -> None:
    """The handle was promised seq 2, the server knows less: it lost acknowledged writes, and says so."""
    session = cache.create("a")
    session.append(user(), user())
    session._seen = 5
    with pytest.raises(SessionRegressed) as refused:
        session.append(user())
    assert (refused.value.known, refused.value.seen) == (2, 5)
    with pytest.raises(SessionRegressed):
        session.history()
    assert cache.open("a").append(user()).last_seq == 3


def test_send_is_for_active_sessions(cache: SessionCache) -> None:
    """S5 4-09: stored with role user; refused with the status otherwise, nothing stored."""
    session = cache.create()
    session.send("Hello")
    assert session.history()[0].payload == {"role": "user", "content": "Hello"}
    session.pause()
    with pytest.raises(SessionNotActive, match="paused"):
        session.send("again")
    assert session.info().count == 1
    with pytest.raises(SessionNotFound, match="nobody"):
        cache.session("nobody").send("x")


@pytest.mark.parametrize("tokens", [-1, 10**20, True, 1.5, "3"])
def test_impossible_token_counts_are_refused(cache: SessionCache, tokens: Any) -> None:
    """Of a message, and of a counter; the session goes on."""
    session = cache.create()
    with pytest.raises(InvalidInput):
        session.append(Message("user", "x", tokens=tokens))
    assert session.append(user()).last_seq == 1


def test_tool_results_in_a_user_message_open_no_turn(cache: SessionCache) -> None:
    """They belong to the turn whose call they answer."""
    results = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "r"}]}
    session = cache.create(max_turns=1)
    session.append(user(), results, assistant())
    info = session.info()
    assert (info.turns, info.current_turn) == (1, 1)
    message = session.history()[1]
    assert (message.role, message.payload) == ("tool", results)


def test_threads_that_share_a_handle_are_not_told_of_losses(cache: SessionCache) -> None:
    """What one thread was promised while another was reading is no regress."""
    import threading

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
