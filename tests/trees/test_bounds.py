"""The bounds of a tree count what exists: places of sessions that are gone, long-lived roots, and marks of removed records."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from redis_sessions import InvalidInput, Session, SessionCache
from redis_sessions._core.commands import tree_room, trees
from redis_sessions._core.protocol.call import Call
from tests.support.servers import await_true
from tests.trees.children import X, spawn_child
from tests.trees.runs import DEADLINE_SECONDS

BRIEF = {"ttl": 1, "mode": "session"}
"""Options of a child that expires before the test goes on."""
BRIEF_RUN = {"max_lifetime": 1}
"""Options of a run that expires before the test goes on. What waits for a worker does not expire by its idle ttl."""
EXPIRY_SECONDS = 1.3


def field_count(session: Session) -> int:
    """Return how many fields the hash of a session has."""
    call = Call(("HLEN", session._keys.session), session._keys, int, writes=False)
    return session._executor.run(call)


def prune(root: Session) -> int:
    """Remove the records of all members of a tree that may be removed. Return how many."""
    removed = 0
    while True:
        found = root._executor.run(trees.list_members(root._keys, "", recursive=True))
        call = tree_room.prune_members(root._keys, root._context.namespace, found, found.members)
        count = root._executor.run(call)
        if not count:
            return removed
        removed += count


@pytest.mark.parametrize("brief", [BRIEF, BRIEF_RUN])
@pytest.mark.parametrize("limits", [{"max_children": 2}, {"max_active": 2}, {"max_descendants": 2}])
def test_expired_children_hold_no_place(cache: SessionCache, limits: dict[str, int], brief: dict[str, Any]) -> None:
    """A spawn that expired children would keep out is accepted, and the tree knows that they timed out."""
    root = cache.create(**limits)  # type: ignore[arg-type]
    for _ in range(2):
        spawn_child(root, **brief)
    time.sleep(EXPIRY_SECONDS)
    assert root.spawn("a").accepted
    assert root.spawn("a").accepted
    assert root.spawn("a").reason == next(iter(limits))
    statuses = [child.status for child in root.children()]
    assert statuses == ["active"] * 2 if "max_descendants" in limits else ["timed_out", "timed_out", "active", "active"]
    assert [message.content for message in root.history()] == [
        f"[{child} timed_out] it expired" for child in expired(root)
    ]


def expired(root: Session) -> list[str]:
    """Return the IDs of the expired children, as their results name them."""
    return [message.metadata["subagent"]["session"] for message in root.history()]


def test_expired_grandchildren_hold_no_place_in_tree(cache: SessionCache) -> None:
    """A spawn below one child is accepted when a session below another child has expired."""
    root = cache.create(max_active=3)
    first, second = spawn_child(root), spawn_child(root)
    spawn_child(first, **BRIEF)
    assert second.spawn("a").reason == "max_active"
    time.sleep(EXPIRY_SECONDS)
    first.append(X)
    assert second.spawn("a").accepted


def test_root_returns_to_its_ttl_after_waiting_child_expired(cache: SessionCache) -> None:
    """A run that waits keeps its root alive, and a run that expired at its max_lifetime does so no longer."""
    root = cache.create(ttl=60)
    spawn_child(root, max_lifetime=0.5)
    assert root.info().expires_in > timedelta(days=29)  # type: ignore[operator]
    time.sleep(0.55)
    await_true(lambda: cache.recover() >= 0 and bool(root.history()), DEADLINE_SECONDS)
    assert root.info().expires_in <= timedelta(seconds=60)  # type: ignore[operator]
    assert root.info().ttl == timedelta(seconds=60)


def test_label_of_expired_child_is_free(cache: SessionCache) -> None:
    """A label can be used again when the session that had it expired."""
    root = cache.create()
    spawn_child(root, label="x", **BRIEF)
    assert root.spawn("a", label="x").reason == "label_in_use"
    time.sleep(EXPIRY_SECONDS)
    assert root.spawn("a", label="x").accepted


def test_stored_sessions_keep_their_places(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal for sessions that exist stays, ended ones included, and costs two round trips more."""
    root = cache.create(max_descendants=2)
    spawn_child(root).complete()
    spawn_child(root)
    names: list[str] = []
    attempt = root._executor._attempt

    def noted(call: Call[Any]) -> Any:
        names.append(call.script.name if call.script is not None else "")
        return attempt(call)

    monkeypatch.setattr(root._executor, "_attempt", noted)
    assert root.spawn("a").reason == "max_descendants"
    of_trees = [name for name in names if name.startswith("trees/")]
    assert of_trees == ["trees/spawn", "trees/list_members"]  # the third round trip is a pipeline


@pytest.mark.parametrize("end", ["delete", "cleanup", "expire"])
def test_long_lived_root_spawns_for_ever(cache: SessionCache, engine: str, end: str) -> None:
    """A root spawns many more sessions than `max_descendants`, and its hash stays small."""
    root = cache.create("root", max_messages=5, max_children=None, max_active=None, max_descendants=20)
    fields, counts = 0, {"delete": 250, "cleanup": 300, "expire": 60}
    for n in range(counts[end] // (10 if engine == "fake" and end != "expire" else 1)):
        if end == "expire":
            spawn_child(root, label=f"label-{n}", ttl=0.1, mode="session", report=False)
            time.sleep(0.12 if n % 8 == 7 else 0)
            root.append(X)
            continue
        child = spawn_child(root, label=f"label-{n}", cleanup="delete" if end == "cleanup" else "keep", report=False)
        if end == "delete":
            child.delete()
        else:
            child.complete(n)
        fields = max(fields, field_count(root))
    assert field_count(root) <= max(fields, 100) <= 100
    found = root.children()
    assert 1 <= len(found) <= 20
    assert [child.number for child in found] == sorted({child.number for child in found})
    if end == "cleanup":
        assert [child.result for child in found] == [child.number - 1 for child in found]
        assert root.join(timeout=0) == found
    assert cache.by_label("label-0", root="root") is None


def test_number_of_spawns_has_a_bound_of_its_own(cache: SessionCache) -> None:
    """The bound `max_spawned` counts deleted sessions, and a patch raises or removes it."""
    root = cache.create(max_spawned=2)
    for _ in range(2):
        spawn_child(root).delete()
    assert root.spawn("a").reason == "max_spawned"
    root.patch(max_spawned=3)
    child = spawn_child(root)
    refused = child.spawn("a")
    assert (refused.reason, refused.message) == (
        "max_spawned",
        "forbidden (max_spawned): the tree has had 3 sessions already",
    )
    root.patch(max_spawned=None)
    assert child.spawn("a").accepted
    with pytest.raises(InvalidInput):
        child.patch(max_spawned=9)


def test_every_tree_bound_is_patched_at_the_root(cache: SessionCache) -> None:
    """A patch of one bound keeps the others, and options tell all of them."""
    root = cache.create("root", max_depth=1, max_children=2, max_active=3, max_descendants=4, max_spawned=5)
    root.patch(max_active=9)
    given: Any = {"max_depth": 1, "max_children": 2, "max_active": 9, "max_descendants": 4, "max_spawned": 5}
    assert cache.get_or_create("root", **given).unapplied_options == {}


def test_member_with_sessions_below_keeps_its_record(cache: SessionCache) -> None:
    """The record of a member is removed after the records of all members below it."""
    root = cache.create()
    middle = spawn_child(root, on_parent_end="detach")
    leaf = spawn_child(middle, on_parent_end="detach")
    middle.complete()
    root._executor.run(Call(("DEL", middle._keys.session, middle._keys.messages), root._keys, int))
    assert prune(root) == 0
    assert root.children(recursive=True)[1].parent == 1
    leaf.complete()
    assert leaf.delete()
    assert prune(root) == 2
    assert root.children(recursive=True) == []
    assert spawn_child(root).children() == []
    assert [child.number for child in root.children()] == [3]


def test_prune_of_former_tree_changes_no_later_tree(cache: SessionCache) -> None:
    """Members of a deleted tree are not pruned from a later tree with the same root ID."""
    root = cache.create("root")
    spawn_child(root).complete()
    found = root._executor.run(trees.list_members(root._keys, "", recursive=True))
    root.delete()
    again = cache.create("root")
    spawn_child(again, cleanup="delete").complete()
    call = tree_room.prune_members(root._keys, cache.namespace, found, found.members)
    assert root._executor.run(call) == 0
    assert len(again.children()) == 1


def test_record_of_replaced_session_is_removed(cache: SessionCache) -> None:
    """A record is removed when another session has the ID of the member, and stays while the member's own session exists."""
    root = cache.create()
    child = spawn_child(root)
    child.complete()
    assert prune(root) == 0
    root._executor.run(Call(("HSET", child._keys.session, "incarnation", "0" * 12), root._keys, int))
    assert prune(root) == 1


def test_export_of_pruned_tree_is_imported(cache: SessionCache) -> None:
    """A tree whose old records were removed is exported and imported, and spawns on with the next number."""
    root = cache.create("root", max_descendants=3)
    for _ in range(5):
        spawn_child(root).delete()
    child = spawn_child(root)
    lines = list(root.export(tree=True))
    before = [one.id for one in root.children()]
    root.delete()
    cache.import_sessions(lines)
    assert [one.id for one in cache.session("root").children()] == before
    cache.session(child.id).append(X)
    assert spawn_child(cache.session("root")).info().root_id == "root"
    assert root.children()[-1].number == 7


# -- marks ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fake_cache() -> Any:
    """Return a cache that the examples of one property share."""
    with SessionCache.from_url("fake://") as cache:
        yield cache


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["spawn", "spawn", "delete", "complete", "cancel", "request", "prune"]), st.integers(0, 50)
    ),
    min_size=5,
    max_size=40,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_marks_never_hit_a_later_session(fake_cache: SessionCache, steps: list[tuple[str, int]]) -> None:
    """After any order of spawns, ends, marks and prunes, each session is cancelled or asked to stop as a model says."""
    root = fake_cache.create(max_depth=None, max_children=None, max_active=None, max_descendants=5000)
    sessions: list[Session] = [root]
    parents: dict[str, str] = {}
    is_open, asked = {root.id: True}, {root.id: False}

    def below(id: str) -> list[str]:
        return [id, *[one for child, parent in parents.items() if parent == id for one in below(child)]]

    for step, at in steps:
        session = sessions[at % len(sessions)]
        if step == "prune":
            prune(root)
        elif step == "spawn":
            if is_open[session.id]:
                child = spawn_child(session, on_parent_end="detach", report=False)
                parents[child.id] = session.id
                is_open[child.id], asked[child.id] = True, asked[session.id]
                sessions.append(child)
        elif session is root or not is_open[session.id]:
            continue
        elif step == "request":
            session.request_cancel()
            asked.update(dict.fromkeys(below(session.id), True))
        elif step == "complete":
            session.complete()
            is_open[session.id] = False
        else:
            session.delete() if step == "delete" else session.cancel()
            is_open.update(dict.fromkeys(below(session.id), False))
    for session in sessions:
        if is_open[session.id]:
            session.append(X)
            assert session.is_cancel_requested() == asked[session.id]
        else:
            with pytest.raises(Exception, match=r"cancelled|completed|does not exist"):
                session.append(X)
    assert len(root.children(recursive=True)) <= len(parents)
    fields = root._executor.run(Call(("HGETALL", root._keys.session), root._keys, lambda reply: reply))
    numbers = {f"{child.number}" for child in root.children(recursive=True)}
    marks = dict(zip(fields[::2], fields[1::2], strict=True)).get(b"requested", b"").decode().split()
    assert len(marks) == len(set(marks))
    if any(step == "prune" for step, _ in steps[-1:]):
        assert {mark.partition("/")[0] for mark in marks} <= numbers  # a mark for the children of one is '<number>/…'
