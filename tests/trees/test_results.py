"""Ends of children and their results, which the parent receives once and in order; joins and replies."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Literal

import pytest

from redis_sessions import (
    InvalidInput,
    InvalidTransition,
    JoinTimeout,
    LeaseLost,
    LimitExceeded,
    Message,
    MessageTooLarge,
    OperationConflict,
    Session,
    SessionCache,
    SessionNotActive,
    SessionNotFound,
)
from redis_sessions._core.commands import sessions
from redis_sessions._core.commands.run_queues import POLL_INTERVAL_SECONDS
from tests.support.lease_waiters import elsewhere
from tests.support.servers import await_true
from tests.trees.children import X, spawn_child
from tests.trees.runs import DEADLINE_SECONDS
from tests.trees.workers import run_later


def facts_of(message: Message) -> dict[str, Any]:
    """Return what the message of a result says of the child."""
    found: dict[str, Any] = message.metadata["subagent"]
    return found


@pytest.mark.parametrize(
    ("end", "status", "text"),
    [
        (lambda child: child.complete("on flight 12"), "completed", "[bags completed] on flight 12"),
        (lambda child: child.complete({"at": [1, 2]}), "completed", '[bags completed] {"at":[1,2]}'),
        (lambda child: child.fail(reason='no "bag"\n'), "failed", '[bags failed] no "bag"\n'),
        (lambda child: child.cancel(reason="enough"), "cancelled", "[bags cancelled] enough"),
        (lambda child: child.time_out(), "timed_out", "[bags timed_out]"),
        (lambda child: child.delete(), "cancelled", "[bags cancelled] deleted"),
    ],
)
def test_end_of_child_appends_result_to_parent(
    cache: SessionCache, end: Callable[[Session], Any], status: str, text: str
) -> None:
    """The parent receives one user message with the result, and metadata with the facts of the run."""
    parent = cache.create()
    child = spawn_child(parent, label="bags")
    end(child)
    (message,) = parent.history()
    assert (message.role, message.content) == ("user", text)
    found = facts_of(message)
    assert (found["session"], found["label"], found["status"]) == (child.id, "bags", status)
    assert 0 <= found["runtime"] < 60
    if status == "completed" and "{" in text:
        assert found["result"] == {"at": [1, 2]}
    if parent.children()[0].is_stored:
        end(child)
        assert parent.info().count == 1
        assert parent.info().tokens == len(text.encode()) // 4 + 1


def test_second_end_of_another_kind_is_refused(cache: SessionCache) -> None:
    """A child that ended refuses another end, and its parent receives one result."""
    parent = cache.create()
    child = spawn_child(parent)
    child.complete("x")
    with pytest.raises(InvalidTransition):
        child.fail()
    assert parent.info().count == 1


def test_results_wait_in_inbox_of_leased_parent(cache: SessionCache) -> None:
    """Results wait in the inbox of a leased parent, in the order of the ends, until the holder receives them."""
    parent = cache.create()
    children = [spawn_child(parent) for _ in range(3)]
    with parent.lease() as lease:
        for n, child in enumerate(children):
            elsewhere(partial(child.complete, str(n)))
        assert parent.info().inbox_size == 3
        parent.append(X)
        assert [m.content for m in lease.receive()] == [f"[a completed] {n}" for n in range(3)]
    assert [m.seq for m in parent.history()] == [1, 2, 3, 4]


@pytest.mark.parametrize("options", [{"max_turns": 0}, {"max_inbox": 1}])
def test_result_over_a_limit_of_parent_waits_in_inbox(cache: SessionCache, options: dict[str, Any]) -> None:
    """A result that a limit keeps out of the transcript waits in the inbox, even when the inbox is full."""
    parent = cache.create(**options)
    children = [spawn_child(parent) for _ in range(2)]
    if "max_inbox" in options:
        parent.pause()
    for n, child in enumerate(children):
        child.complete(n)
    assert parent.info().inbox_size == 2
    if "max_inbox" in options:
        parent.resume()
    assert parent.info().inbox_size + parent.info().count == 2


def test_ended_parent_receives_no_result(cache: SessionCache) -> None:
    """The result of a child stays with the child when the parent ended before."""
    parent = cache.create()
    child = spawn_child(parent, on_parent_end="detach")
    parent.complete()
    child.append(X)
    child.complete("x")
    assert parent.history() == []
    assert parent.children()[0].result == "x"


def test_too_large_result_is_refused(cache: SessionCache) -> None:
    """A result above the message limit of the parent is refused, and the child stays active."""
    parent = cache.create(max_message_bytes=500)
    child = spawn_child(parent)
    with pytest.raises(MessageTooLarge, match="500"):
        child.complete("x" * 600)
    assert (child.info().status, parent.info().count) == ("active", 0)
    child.complete("x" * 100)


def test_child_with_cleanup_is_deleted_after_its_result(cache: SessionCache) -> None:
    """A child with cleanup is deleted after its result was delivered, and a repeated end returns the same revision."""
    parent = cache.create()
    child = spawn_child(parent, cleanup="delete")
    child.append(X)
    call = sessions.set_status(child._keys, "", "", "completed", None, "x")
    rev = parent._executor.run(call).rev
    assert parent._executor.run(call).rev == rev
    with pytest.raises(SessionNotFound):
        child.info()
    with pytest.raises(SessionNotFound):
        child.complete("x")
    (message,), (member,) = parent.history(), parent.children()
    assert message.content == "[a completed] x"
    assert (member.status, member.is_stored) == ("completed", False)


def test_limit_that_ends_child_delivers_result(cache: SessionCache) -> None:
    """A limit with end_session completes the child, and the parent receives the result."""
    parent = cache.create()
    child = spawn_child(parent, max_entries=1, limit_action="end_session")
    child.append(X)
    with pytest.raises(Exception, match="entries"):
        child.append(X)
    assert parent.join(timeout=DEADLINE_SECONDS)[0].status == "completed"
    assert parent.history()[0].content == "[a completed] limit entries 2 1"


def test_inbox_of_child_enters_transcript_before_its_end(cache: SessionCache) -> None:
    """A message that waits in the inbox of a child enters the transcript when the child ends."""
    child = spawn_child(cache.create())
    with child.lease():
        elsewhere(lambda: child.send("wait"))
        child.complete("x")
    assert [m.content for m in child.history()] == ["wait"]


def test_join_returns_ended_children_in_spawn_order(cache: SessionCache) -> None:
    """A join waits for any, a number, or all of the children, and the end of a child wakes the join."""
    parent = cache.create()
    children = [spawn_child(parent) for _ in range(3)]
    assert cache.create().join(timeout=0) == []
    wanted: list[Literal["any", "all"] | int] = ["any", 2, "all"]
    for n, number in enumerate(wanted):
        began = time.monotonic()
        timer = run_later(0.2, partial(children[2 - n].complete, n))
        assert [one.result for one in parent.join(number, timeout=DEADLINE_SECONDS)] == list(range(n, -1, -1))
        assert time.monotonic() - began < POLL_INTERVAL_SECONDS
        timer.join()


def test_join_past_its_timeout_names_open_children(cache: SessionCache) -> None:
    """A join that times out raises an error with the ended and the open children."""
    parent = cache.create()
    first, second = spawn_child(parent), spawn_child(parent)
    first.complete()
    with pytest.raises(JoinTimeout) as raised:
        parent.join(timeout=0.2)
    assert (raised.value.ended, raised.value.waiting) == ([first.id], [second.id])
    for bad in ("some", 0, 1.5):
        with pytest.raises(InvalidInput):
            parent.join(bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("how", ["append", "send", "receive"])
def test_write_past_end_session_limit_ends_child_in_tree(cache: SessionCache, how: str) -> None:
    """A write past an end_session limit counts the end in the tree, delivers the result and cancels the descendants."""
    parent = cache.create(max_active=2)
    child = spawn_child(parent, max_entries=1, limit_action="end_session", label="x")
    grandchild = spawn_child(child)
    child.append(X)
    if how == "receive":
        with suppress(SessionNotActive, LeaseLost), child.lease() as lease:
            elsewhere(lambda: child.send("y"))
            with pytest.raises(LimitExceeded):
                lease.receive()
    else:
        with pytest.raises(LimitExceeded):
            child.append(X) if how == "append" else child.send("y")
    assert parent.history()[0].content == "[x completed] limit entries 2 1"
    assert [one.status for one in parent.children()] == ["completed"]
    with pytest.raises(SessionNotActive):
        grandchild.append(X)


def test_release_past_end_session_limit_leaves_inbox_and_child(cache: SessionCache) -> None:
    """A release does not end the session by a limit: the child stays active and its inbox stays."""
    parent = cache.create()
    child = spawn_child(parent, max_entries=1, limit_action="end_session")
    child.append(X)
    with child.lease():
        elsewhere(lambda: child.send("y"))
    info = child.info()
    assert (info.status, info.inbox_size, info.lease) == ("active", 1, None)
    assert parent.history() == []
    child.complete("x")
    assert [one.result for one in parent.join(timeout=DEADLINE_SECONDS)] == ["x"]


def test_result_never_ends_its_parent_by_a_limit(cache: SessionCache) -> None:
    """A result that an end_session limit refuses waits in the inbox of an active parent."""
    root = cache.create()
    middle = spawn_child(root, max_entries=0, limit_action="end_session")
    spawn_child(middle).complete("x")
    assert (middle.info().status, middle.info().inbox_size) == ("active", 1)


def test_join_is_woken_by_end_of_its_own_session(cache: SessionCache) -> None:
    """A cancellation of the parent ends its children, and wakes a join of the parent at once."""
    parent = cache.create()
    spawn_child(parent)
    timer = run_later(0.2, parent.cancel)
    began = time.monotonic()
    assert [one.status for one in parent.join(timeout=DEADLINE_SECONDS)] == ["cancelled"]
    assert time.monotonic() - began < POLL_INTERVAL_SECONDS
    timer.join()


def test_batch_id_of_another_operation_is_refused(cache: SessionCache) -> None:
    """A batch ID of a spawn is refused for an append, and a batch ID of an append is refused for a spawn."""
    parent = cache.create()
    parent.append(X, batch_id="1")
    parent.spawn("a", batch_id="2")
    for call in (
        lambda: parent.spawn("a", batch_id="1"),
        lambda: parent.append(X, batch_id="2"),
        lambda: parent.send("x", batch_id="2"),
    ):
        with pytest.raises(OperationConflict, match="was used for"):
            call()
    for _ in range(70):
        parent.append(X)
    assert parent.spawn("a", batch_id="2").accepted
    assert len(parent.children()) == 1


def test_interrupted_limit_end_is_finished_by_recovery(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller that dies between the refusal and its effects leaves a run whose parent receives the result later."""
    parent = cache.create(max_active=1)
    child = spawn_child(parent, max_entries=1, limit_action="end_session")
    child.append(X)
    monkeypatch.setattr(child._context.run_queues, "finish_limit_end", lambda *_: None)
    with pytest.raises(LimitExceeded):
        child.append(X)
    monkeypatch.undo()
    assert (child.info().status, parent.history()) == ("completed", [])

    def is_reported() -> bool:
        """Let a worker look for runs, which ends the run. In a cluster the queue may get the run a moment after the spawn."""
        assert cache.claim("a") is None
        return bool(parent.history())

    await_true(is_reported, DEADLINE_SECONDS)
    assert [message.content for message in parent.history()] == ["[a completed] limit entries 2 1"]
    assert parent.spawn("a").accepted


@pytest.mark.parametrize("engine", ["path"], indirect=True)
@pytest.mark.parametrize("sent", [None, "1", -1, 1.5])
def test_reply_to_nothing_is_refused(cache: SessionCache, sent: Any) -> None:
    """A value that is neither the result of a send nor a seq has no reply."""
    session = cache.create()
    with pytest.raises(InvalidInput, match="sent"):
        session.wait_for_reply(sent, timeout=0)
