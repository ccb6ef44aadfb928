"""Cancelling a tree, a part of it, or asking it to stop; and what a parent's end does to its children."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from redis_sessions import Session, SessionCache, SessionNotActive
from redis_sessions._core import sessions, trees
from tests.leases.line import elsewhere
from tests.trees.test_results import child_of
from tests.trees.test_spawn import X


def grown(cache: SessionCache, **limits: Any) -> tuple[Session, list[Session]]:
    """A root with two children, the first of which has two of its own."""
    root = cache.create("root", **limits)
    children = [child_of(root), child_of(root)]
    own = [cache.session(child_of(children[0]).id) for _ in range(2)]
    return root, [*children, *own]


def test_a_cancelled_tree_neither_writes_nor_spawns(cache: SessionCache) -> None:
    """All at once, before any of them was marked; then all are marked, with the reason."""
    root, below = grown(cache)
    call = sessions.status(root._keys, "", "", "cancelled", "enough", None)
    _, left = root._calls.run(call)
    assert len(left) == 4
    for session in below:
        writes: list[Callable[[], Any]] = [
            partial(session.append, X), partial(session.send, "x"), partial(session.patch, name="n"),
            partial(session.state.put, "a", 1), session.complete,
        ]  # fmt: skip
        for write in writes:
            with pytest.raises(SessionNotActive, match="cancelled"):
                write()
        assert session.spawn("a").reason == "cancelled"
        assert session.cancel_requested
        assert session.info().status == "active"
    root.cancel()  # again, it does what was left to do
    assert [(one.status, one.reason) for one in root.children(below=True)] == [("cancelled", "enough")] * 4
    assert [session.info().status for session in below] == ["cancelled"] * 4


def test_a_part_of_a_tree_is_cancelled(cache: SessionCache) -> None:
    """What is not below goes on, and has room again."""
    root, (first, second, *own) = grown(cache, max_concurrent=4)
    assert [child.id for child in first.children()] == [child.id for child in first.children(below=True)]
    assert [child.id for child in first.children()] == [session.id for session in own]
    assert root.spawn("a").reason == "max_concurrent"
    first.cancel(reason="wrong way")
    assert [one.status for one in root.children(below=True)] == ["cancelled", "active", "cancelled", "cancelled"]
    second.append(X)
    assert root.spawn("a").accepted
    assert root.history()[0].content == "[a cancelled] wrong way"


@pytest.mark.parametrize("policy", ["cancel", "detach", "request_cancel"])
def test_a_parents_end_is_its_childrens_as_they_were_told(cache: SessionCache, policy: Any) -> None:
    """Ended with it, going on, or asked to stop."""
    root = cache.create()
    child = child_of(root, on_parent_end=policy)
    root.complete()
    if policy == "cancel":
        with pytest.raises(SessionNotActive):
            child.append(X)
        assert child.info().status == "cancelled"
    else:
        child.append(X)
        assert child.cancel_requested == (policy == "request_cancel")
        child.complete()


def test_cancel_takes_detached_ones_too(cache: SessionCache) -> None:
    """It is an order on all that are below."""
    root = cache.create()
    child = child_of(root, on_parent_end="detach")
    root.cancel()
    assert child.info().status == "cancelled"


def test_a_session_can_be_asked_to_stop(cache: SessionCache) -> None:
    """It, and all below it, see so, and go on."""
    root, (first, second, third, _) = grown(cache)
    assert not first.cancel_requested
    first.request_cancel(reason="please")
    assert first.cancel_requested
    assert third.cancel_requested
    assert not second.cancel_requested
    assert not root.cancel_requested
    third.append(X)


def test_deleting_a_parent_deletes_all_below(cache: SessionCache) -> None:
    """From the leaves' point of view it is a cancellation; nothing is left behind."""
    root, below = grown(cache)
    other = cache.create()
    assert below[0].delete()
    assert [session.id for session in below if cache.get(session.id)] == [below[1].id]
    with pytest.raises(Exception, match="does not exist"):
        below[2].append(X)
    assert [one.status for one in root.children()] == ["cancelled", "active"]
    assert root.delete()
    assert not root.delete()
    assert all(cache.get(session.id) is None for session in below)
    assert cache.get(other.id) is not None


def test_an_orphan_writes_nothing(cache: SessionCache) -> None:
    """Whatever became of its root: a new session under the root's id is not its ancestor."""
    root = cache.create("root")
    child = child_of(root)
    root._calls.run(trees.sweep(root._keys, cache.namespace, [], ""))
    call = sessions.delete(root._keys, "", "")
    root._calls.run(call)
    with pytest.raises(SessionNotActive):
        child.append(X)
    root.delete()
    cache.create("root")
    with pytest.raises(Exception, match=r"cancelled|does not exist"):
        child.append(X)


def test_a_large_tree_is_cancelled_in_few_round_trips(cache: SessionCache) -> None:
    """One, and one for each 400."""
    root = cache.create(max_children=None, max_concurrent=None, max_descendants=1000)
    for _ in range(3):
        child = child_of(root)
        for _ in range(299):
            child.spawn("a")
    trips = 0
    attempt = root._calls._attempt

    def counted(call: Any) -> Any:
        nonlocal trips
        trips += 1
        return attempt(call)

    root._calls._attempt = counted  # type: ignore[method-assign]
    root.cancel()
    assert trips <= 1 + 900 / 200
    assert {one.status for one in root.children(below=True)} == {"cancelled"}


def test_a_delete_that_was_cut_short_is_a_cancellation(cache: SessionCache) -> None:
    """Whoever sweeps in between: room is free, the parent is told once, and deleting it again finishes."""
    root = cache.create(max_children=1)
    middle = child_of(root)
    below = child_of(middle)
    root._calls.run(sessions.delete(middle._keys, "", ""))
    root._home.queues.sweep_tree(below._keys)
    assert root.spawn("a").accepted
    assert middle.delete()
    assert [m.content for m in root.history()] == ["[a cancelled] deleted"]
    assert cache.get(middle.id) is None
    assert cache.get(below.id) is None


def test_a_sweep_of_a_former_tree_touches_no_other(cache: SessionCache) -> None:
    """A root deleted and made again has members of its own."""
    root = cache.create("root")
    child_of(root)
    _, left = root._calls.run(sessions.status(root._keys, "", "", "cancelled", None, None))
    root.delete()
    again = cache.create("root")
    child = child_of(again)
    root._home.queues.sweep_tree(root._keys, left)
    child.complete("kept")
    assert again.history()[0].content == "[a completed] kept"


def test_what_waited_in_a_cancelled_childs_inbox_is_taken_in(cache: SessionCache) -> None:
    """As when it is ended by itself."""
    root = cache.create()
    child = child_of(root)
    with child.lease():
        elsewhere(lambda: child.send("hello"))
        root.cancel()
    assert [m.content for m in child.history()] == ["hello"]
