"""Trees of more members than one call looks at: lists, cancellations and deletions go on where the call stopped."""

from __future__ import annotations

from typing import Any

import pytest

from redis_sessions import Session, SessionCache, SessionNotActive
from redis_sessions._core.commands import sessions, trees
from redis_sessions._core.protocol.call import Call
from redis_sessions._core.protocol.records import SpawnCounts
from redis_sessions._sync.services.tree_members import list_members
from tests.support.servers import await_true
from tests.trees.children import X, spawn_child
from tests.worst_cases.test_parts import Died, after_part, die

COUNT = 2300
"""Members that are only recorded: their sessions are gone. Three calls look at them."""


def run(session: Session, *command: Any) -> Any:
    """Return the reply to a plain command that goes to the server of a session."""
    return session._executor.run(Call(command, session._keys, lambda reply: reply))


def enlarge(root: Session, parents: dict[int, int] | None = None) -> None:
    """Record members behind those of a tree, as spawns do. `parents` has the parents of those that are not below the root."""
    counts = SpawnCounts.parse(run(root, "HGET", root._keys.session, "tree"))
    fields = []
    for number in range(counts.total + 1, counts.total + COUNT + 1):
        parent = (parents or {}).get(number, 0)
        id = f"agent:a:subagent:{root._keys.tag}-0000-8000-8000-{number:012x}"  # in the slot of the tree
        fields += [f"member.{number}", f"{id} {parent} active c life{number} -"]
    run(root, "HSET", root._keys.session, *fields, "tree", f"{counts.total + COUNT} {counts.active + COUNT}")


def statuses(root: Session) -> dict[int, str]:
    """Return the status of each member by its number."""
    return {one.number: one.status for one in list_members(root._executor, root._keys, "", recursive=True).members}


def active(root: Session) -> int:
    """Return how many members of a tree are active by its counts."""
    return SpawnCounts.parse(run(root, "HGET", root._keys.session, "tree")).active


def large(cache: SessionCache, **options: Any) -> tuple[Session, Session, Session]:
    """Return a root with many members, its first member, and its last one: below the first."""
    root = cache.create(max_descendants=5000, max_active=None, **options)
    first = spawn_child(root)
    enlarge(root)
    return root, first, spawn_child(first)


def test_members_are_listed_in_pages(cache: SessionCache) -> None:
    """A list has all members in the order of their spawns, and below a member those of all pages."""
    root = cache.create(max_descendants=5000, max_active=None)
    first = spawn_child(root)
    enlarge(root, {2: 1, 700: 2, 1500: 700, 1600: 1599, 2200: 1500})
    page = root._executor.run(trees.list_members(root._keys, "", recursive=True))
    assert (len(page.members), page.after) == (1000, 1000)
    assert [*statuses(root)] == [*range(1, COUNT + 2)]
    assert [*statuses(first)] == [2, 700, 1500, 2200]
    found = list_members(root._executor, first._keys, "")
    assert [(one.number, one.parent) for one in found.members] == [(2, 1)]


def test_cancelled_tree_is_finalized_in_steps(cache: SessionCache) -> None:
    """All members are marked, the counts agree, and the tree forgets which ones were cancelled."""
    root, first, last = large(cache)
    root.cancel(reason="enough")
    assert set(statuses(root).values()) == {"cancelled"}
    assert active(root) == 0
    await_true(lambda: run(root, "HEXISTS", root._keys.session, "cancelled") == 0)  # the background may finalize, too
    assert [one.info().reason for one in (first, last)] == ["enough", "enough"]


@pytest.mark.parametrize("steps", [1, 15])
def test_cancellation_that_stops_between_steps_holds_and_can_be_repeated(
    cache: SessionCache, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """No member writes after the caller died, and the next cancellation finalizes the rest."""
    root, first, last = large(cache)
    with monkeypatch.context() as patch:
        taken: list[int] = []

        def count() -> None:
            taken.append(1)
            if len(taken) == steps:
                die()

        after_part(patch, "trees/finalize_members", count, times=steps)
        with pytest.raises(Died):
            root.cancel()
    for child in (first, last):
        with pytest.raises(SessionNotActive):
            child.append(X)
    assert 0 < active(root) <= COUNT + 2
    root.cancel()
    assert set(statuses(root).values()) == {"cancelled"}
    assert active(root) == 0


def test_cancellation_between_steps_is_not_forgotten(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A member behind which the steps have gone, and that is cancelled then, stays cancelled."""
    root = cache.create(max_descendants=5000, max_active=None, max_children=None)
    early = spawn_child(root)
    below = spawn_child(early)
    top = spawn_child(root)
    enlarge(root, dict.fromkeys(range(4, COUNT + 4), 3))
    run(top, "HSET", top._keys.session, "children", f"{COUNT} {COUNT}")

    def cancel_early() -> None:
        root._executor.run(sessions.set_status(early._keys, "", "", "cancelled"))

    with monkeypatch.context() as patch:
        after_part(patch, "trees/finalize_members", cancel_early)
        top.cancel()
    with pytest.raises(SessionNotActive):
        below.append(X)
    root._context.run_queues.finalize_members(root._keys)
    assert below.info().status == "cancelled"
    await_true(lambda: run(root, "HEXISTS", root._keys.session, "cancelled") == 0)  # the background may finalize, too


def test_tree_is_deleted_in_steps(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deletion that stops between two steps can be repeated, and leaves no session of the tree."""
    root, first, last = large(cache)
    with monkeypatch.context() as patch:
        after_part(patch, "trees/finalize_members", die)
        with pytest.raises(Died):
            root.delete()
    assert cache.get(root.id) is not None
    assert root.delete()
    assert [cache.get(one.id) for one in (root, first, last)] == [None, None, None]


def test_end_of_parent_cancels_children_of_all_pages(cache: SessionCache) -> None:
    """The end of a session stops its children by their policies at once, however many members the tree has."""
    root, first, last = large(cache)
    first.complete()
    with pytest.raises(SessionNotActive):
        last.append(X)
    assert statuses(root)[COUNT + 2] == "cancelled"
    assert active(root) == COUNT
