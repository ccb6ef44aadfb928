"""Cancellation of a tree or a subtree, cancel requests, deletion, and the effect of an end on children."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from redis_sessions import SessionCache, SessionNotActive
from redis_sessions._core.commands import sessions, trees
from tests.support.lease_waiters import elsewhere
from tests.trees.children import X, create_tree, key_of, spawn_child
from tests.trees.runs import claim_run


def test_cancelled_tree_neither_writes_nor_spawns(cache: SessionCache) -> None:
    """A cancellation stops all members before the members are marked, and a second cancel marks them with the reason."""
    root, descendants = create_tree(cache)
    assert root._executor.run(sessions.set_status(root._keys, "", "", "cancelled", "enough")).has_cancelled_members
    assert len(root._executor.run(trees.finalize_members(root._keys, cache.namespace)).members) == 4
    for session in descendants:
        writes: list[Callable[[], Any]] = [
            partial(session.append, X), partial(session.send, "x"), partial(session.patch, name="n"),
            partial(session.state.put, "a", 1), session.complete,
        ]  # fmt: skip
        for write in writes:
            with pytest.raises(SessionNotActive, match="cancelled"):
                write()
        assert session.spawn("a").reason == "cancelled"
        assert session.is_cancel_requested()
        assert session.info().status == "active"
    root.cancel()  # marks the members
    assert [(one.status, one.reason) for one in root.children(recursive=True)] == [("cancelled", "enough")] * 4
    assert [session.info().status for session in descendants] == ["cancelled"] * 4


def test_cancelled_subtree_leaves_rest_of_tree_active(cache: SessionCache) -> None:
    """The cancellation of a child ends its descendants only, and makes room in the tree."""
    root, (first, second, *own) = create_tree(cache, max_active=4)
    assert [child.id for child in first.children()] == [child.id for child in first.children(recursive=True)]
    assert [child.id for child in first.children()] == [session.id for session in own]
    assert root.spawn("a").reason == "max_active"
    first.cancel(reason="wrong way")
    assert [one.status for one in root.children(recursive=True)] == ["cancelled", "active", "cancelled", "cancelled"]
    second.append(X)
    assert root.spawn("a").accepted
    assert root.history()[0].content == "[a cancelled] wrong way"


@pytest.mark.parametrize("policy", ["cancel", "detach", "request_cancel"])
def test_end_of_parent_applies_policy_of_child(cache: SessionCache, policy: Any) -> None:
    """The end of a parent cancels a child, detaches the child, or asks the child to stop."""
    root = cache.create()
    child = spawn_child(root, on_parent_end=policy)
    root.complete()
    if policy == "cancel":
        with pytest.raises(SessionNotActive):
            child.append(X)
        assert child.info().status == "cancelled"
    else:
        child.append(X)
        assert child.is_cancel_requested() == (policy == "request_cancel")
        child.complete()


def test_child_that_ended_before_its_parent_covers_none_below(cache: SessionCache) -> None:
    """A detached session goes on when its parent ended before the parent of that one, and stops when its parent was active."""
    root = cache.create()
    ended, active = spawn_child(root), spawn_child(root)
    detached, below = spawn_child(ended, on_parent_end="detach"), spawn_child(active, on_parent_end="detach")
    ended.complete()
    root._executor.run(sessions.set_status(root._keys, "", "", "completed"))  # and the members are not finalized yet
    detached.append(X)
    for child in (active, below):
        with pytest.raises(SessionNotActive):
            child.append(X)
    root._context.run_queues.finalize_members(root._keys)
    assert {one.status for one in (active.info(), below.info())} == {"cancelled"}
    assert detached.info().status == "active"


def test_child_of_retried_parent_is_not_of_its_first_end(cache: SessionCache) -> None:
    """A parent that failed stops its children. Those that it spawns after a retry go on, before the first ones are finalized."""
    root = cache.create()
    parent = spawn_child(root)
    first, asked = spawn_child(parent), spawn_child(parent, on_parent_end="request_cancel")
    root._executor.run(sessions.set_status(parent._keys, "", "", "failed"))
    parent.retry()
    later, also = spawn_child(parent), spawn_child(parent, on_parent_end="request_cancel")
    later.append(X)
    with pytest.raises(SessionNotActive):
        first.append(X)
    assert [one.is_cancel_requested() for one in (asked, also)] == [True, False]
    root._context.run_queues.finalize_members(root._keys)
    assert [one.info().status for one in (first, asked, later)] == ["cancelled", "active", "active"]


def test_cancelled_parent_cancels_detached_child(cache: SessionCache) -> None:
    """A cancellation reaches every session below the parent, whatever its policy."""
    root = cache.create()
    child = spawn_child(root, on_parent_end="detach")
    root.cancel()
    assert child.info().status == "cancelled"


def test_cancel_request_is_seen_by_session_and_descendants(cache: SessionCache) -> None:
    """A session and its descendants see a cancel request and can still write."""
    root, (first, second, third, _) = create_tree(cache)
    assert not first.is_cancel_requested()
    first.request_cancel(reason="please")
    assert first.is_cancel_requested()
    assert third.is_cancel_requested()
    assert not second.is_cancel_requested()
    assert not root.is_cancel_requested()
    third.append(X)


def test_request_to_stop_ends_with_the_work(cache: SessionCache) -> None:
    """A retried run, and the next turn of a session, are not asked to stop by a request that was made before."""
    root = cache.create()
    run_id = key_of(root.spawn("a", max_attempts=1))
    run = claim_run(cache)
    run.request_cancel()
    run.fail()
    session = cache.session(run_id)
    session.retry()
    assert not session.is_cancel_requested()
    chat = cache.create(answered_by="b")
    chat.send("1")
    turn = claim_run(cache, "b")
    turn.request_cancel()
    assert turn.is_cancel_requested()
    turn.finish()
    chat.send("2")
    assert not claim_run(cache, "b").is_cancel_requested()


def test_cancelled_tree_keeps_no_mark_of_a_child_that_expired(cache: SessionCache) -> None:
    """A root is not kept alive for a queued child that was gone when the tree was cancelled."""
    root = cache.create(ttl=60)
    root.spawn("a", max_lifetime=0.2)
    assert root.info().ttl == timedelta(seconds=60)
    time.sleep(0.3)
    root.cancel()
    left = root.info().expires_in
    assert left is not None
    assert left.total_seconds() <= 60


def test_deleted_parent_deletes_all_descendants(cache: SessionCache) -> None:
    """A deletion removes the session and all sessions below it, and no other session."""
    root, descendants = create_tree(cache)
    other = cache.create()
    assert descendants[0].delete()
    assert [session.id for session in descendants if cache.get(session.id)] == [descendants[1].id]
    with pytest.raises(Exception, match="does not exist"):
        descendants[2].append(X)
    assert [one.status for one in root.children()] == ["cancelled", "active"]
    assert root.delete()
    assert not root.delete()
    assert all(cache.get(session.id) is None for session in descendants)
    assert cache.get(other.id) is not None


def test_child_of_deleted_root_writes_nothing(cache: SessionCache) -> None:
    """A child of a deleted root is refused, also when a new session has the ID of the root."""
    root = cache.create("root")
    child = spawn_child(root)
    assert root._executor.run(trees.finalize_members(root._keys, cache.namespace)).is_done
    assert root._executor.run(sessions.delete(root._keys, "", "")).outcome == "open"
    child.append(X)
    root._executor.run(sessions.set_status(root._keys, "", "", "cancelled", "deleted"))
    assert root._executor.run(sessions.delete(root._keys, "", "")).outcome == "parent"
    with pytest.raises(SessionNotActive):
        child.append(X)
    root.delete()
    cache.create("root")
    with pytest.raises(Exception, match=r"cancelled|does not exist"):
        child.append(X)


def test_large_tree_is_cancelled_in_few_round_trips(cache: SessionCache) -> None:
    """A cancellation takes three round trips, and one for each 50 members."""
    root = cache.create(max_children=None, max_active=None, max_descendants=1000)
    for _ in range(3):
        child = spawn_child(root)
        for _ in range(99):
            child.spawn("a")
    round_trips = 0
    attempt = root._executor._attempt

    def counted(call: Any) -> Any:
        nonlocal round_trips
        round_trips += call.keys.tag == root._keys.tag  # without the upkeep of indexes in the background
        return attempt(call)

    root._executor._attempt = counted  # type: ignore[method-assign]
    root.cancel()
    assert round_trips <= 3 + math.ceil(303 / 50)
    assert {one.status for one in root.children(recursive=True)} == {"cancelled"}


def test_interrupted_delete_is_a_cancellation(cache: SessionCache) -> None:
    """A delete that stops after the cancellation frees the room, gives the parent one result, and can be repeated."""
    root = cache.create(max_children=1)
    middle = spawn_child(root)
    grandchild = spawn_child(middle)
    root._executor.run(sessions.set_status(middle._keys, "", "", "cancelled", "deleted"))
    root._context.run_queues.finalize_members(grandchild._keys)
    assert root.spawn("a").accepted
    assert middle.delete()
    assert [m.content for m in root.history()] == ["[a cancelled] deleted"]
    assert cache.get(middle.id) is None
    assert cache.get(grandchild.id) is None


def test_finalize_of_former_tree_changes_no_later_tree(cache: SessionCache) -> None:
    """Members of a deleted tree do not match the members of a later tree with the same root ID."""
    root = cache.create("root")
    spawn_child(root)
    root._executor.run(sessions.set_status(root._keys, "", "", "cancelled"))
    step = root._executor.run(trees.finalize_members(root._keys, cache.namespace))
    assert len(step.members) == 1
    root.delete()
    again = cache.create("root")
    child = spawn_child(again)
    root._executor.run(trees.finalize_members(root._keys, cache.namespace, step))
    child.complete("kept")
    assert again.history()[0].content == "[a completed] kept"


def test_inbox_of_cancelled_child_enters_transcript(cache: SessionCache) -> None:
    """The cancellation of a tree moves the inbox of a child into the transcript, as an end of the child does."""
    root = cache.create()
    child = spawn_child(root)
    with child.lease():
        elsewhere(lambda: child.send("hello"))
        root.cancel()
    assert [m.content for m in child.history()] == ["hello"]


def test_deleted_session_of_tree_is_cancelled_first(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A delete cancels the session, gives the parent one result, makes room, and takes three round trips for a leaf."""
    root = cache.create(max_children=1)
    child = spawn_child(root, label="x")
    scripts: list[str] = []
    attempt = root._executor._attempt

    def recorded(call: Any) -> Any:
        scripts.append(call.script.name if call.script else str(call.command[0]))
        return attempt(call)

    monkeypatch.setattr(root._executor, "_attempt", recorded)
    assert child.delete()
    monkeypatch.undo()
    assert [name for name in scripts if name.startswith("sessions/")] == [
        "sessions/delete", "sessions/set_status", "sessions/delete",
    ]  # fmt: skip
    assert [message.content for message in root.history()] == ["[x cancelled] deleted"]
    (member,) = root.children()
    assert (member.status, member.is_stored) == ("cancelled", False)
    assert root.join(timeout=0)[0].status == "cancelled"
    assert root.spawn("a", label="x").accepted
    assert not child.delete()
    assert root.info().count == 1


def test_deleted_middle_of_tree_gives_parent_one_result(cache: SessionCache) -> None:
    """A delete of a session with descendants gives its parent one result, and the rest of the tree stays active."""
    root, (first, second, *grandchildren) = create_tree(cache)
    first.send("hello")
    assert first.delete()
    assert [message.content for message in root.history()] == ["[a cancelled] deleted"]
    assert [member.status for member in root.children(recursive=True)] == [
        "cancelled", "active", "deleted", "deleted",
    ]  # fmt: skip
    assert all(cache.get(session.id) is None for session in (first, *grandchildren))
    second.append(X)
    assert root.info().status == "active"


def test_delete_of_ended_child_adds_no_second_result(cache: SessionCache) -> None:
    """A delete of a child that ended before leaves its result and its status as they are."""
    root = cache.create()
    child = spawn_child(root)
    child.complete("x")
    assert child.delete()
    assert [message.content for message in root.history()] == ["[a completed] x"]
    assert root.children()[0].status == "completed"
