"""Spawns on every engine: the limits of a tree, the facts of a child, and its life."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from redis_sessions import (
    InvalidInput,
    LimitExceeded,
    Message,
    SessionCache,
    SessionLocked,
    SessionNotFound,
    SpawnRefused,
)
from tests.conftest import REAL_ENGINES
from tests.support.lease_waiters import elsewhere
from tests.trees.children import X, key_of, spawn_child


def test_spawned_child_has_given_facts(cache: SessionCache) -> None:
    """A child has the kind, agent, task, label and parent of its spawn, and the tree knows its tool call."""
    parent = cache.create("root", user_id="mia")
    reference = {"tool_call_id": "c1", "tool_name": "spawn", "loop_id": "l1"}
    result = parent.spawn("researcher", task="find it", label="bags", model="m-1", spawned_by=reference)
    assert (result.status, result.accepted, result.reason) == ("accepted", True, None)
    assert key_of(result).startswith("agent:researcher:subagent:")
    info = cache.session(key_of(result)).info()
    assert (info.kind, info.agent_id, info.task, info.label, info.model) == (
        "subagent", "researcher", "find it", "bags", "m-1",
    )  # fmt: skip
    assert (info.parent_id, info.root_id, info.incarnation, info.count) == ("root", "root", result.run_id, 0)
    (child,) = parent.children()
    assert child.spawned_by is not None
    assert child.spawned_by.model_dump() == reference
    assert (child.status, child.tokens, child.attempt, child.lease) == ("active", 0, 0, None)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"max_children": 2}, "max_children"),
        ({"max_active": 2}, "max_active"),
        ({"max_descendants": 2}, "max_descendants"),
    ],
)
def test_spawn_past_tree_limit_is_refused(cache: SessionCache, limits: dict[str, int], reason: str) -> None:
    """The third spawn is refused with a reason, and an end makes room except for the total number of descendants."""
    parent = cache.create(**limits)  # type: ignore[arg-type]
    first, _ = parent.spawn("a"), parent.spawn("a")
    refused = parent.spawn("a")
    assert (refused.status, refused.reason, refused.session_key) == ("forbidden", reason, None)
    with pytest.raises(SpawnRefused, match="2"):
        refused.raise_if_refused()
    cache.session(key_of(first)).complete()
    assert parent.spawn("a").accepted == (reason != "max_descendants")


def test_spawn_below_max_depth_is_refused(cache: SessionCache) -> None:
    """The depth of a spawn is counted from the root of the tree."""
    session = cache.create("root", max_depth=2)
    session = cache.session(key_of(session.spawn("a")))
    session = cache.session(key_of(session.spawn("b")))
    assert session.spawn("c").reason == "max_depth"
    assert cache.session("root").children(recursive=True)[1].parent == 1


def test_label_of_active_member_is_unique_in_tree(cache: SessionCache) -> None:
    """A label is unique among active sessions of one tree, and then names the newest session."""
    parent = cache.create("root")
    first = key_of(parent.spawn("a", label="x"))
    assert cache.session(first).spawn("a", label="x").reason == "label_in_use"
    assert cache.create().spawn("a", label="x").accepted
    assert cache.by_label("x", root="root").id == first  # type: ignore[union-attr]
    cache.session(first).complete()
    assert cache.by_label("x", root="root").id == first  # type: ignore[union-attr]
    second = key_of(parent.spawn("a", label="x"))
    assert cache.by_label("x", root="root").id == second  # type: ignore[union-attr]
    assert cache.by_label("y", root="root") is None


def test_spawn_of_inactive_parent_is_refused(cache: SessionCache) -> None:
    """A spawn of a missing parent is an error, and a spawn of an ended or cancelled parent is refused with a reason."""
    with pytest.raises(SessionNotFound):
        cache.session("none").spawn("a")
    parent = cache.create()
    child = cache.session(key_of(parent.spawn("a")))
    parent.pause()
    assert parent.spawn("a").reason == "parent_paused"
    parent.resume()
    parent.cancel()
    assert parent.spawn("a").reason == "parent_cancelled"
    assert child.spawn("a").reason in ("cancelled", "parent_cancelled")
    other = cache.create()
    other.complete()
    assert other.spawn("a").reason == "parent_completed"


def test_spawn_without_the_lease_is_refused(cache: SessionCache) -> None:
    """The holder of the lease spawns, and other callers are refused."""
    parent = cache.create()
    with parent.lease():
        assert parent.spawn("a").accepted
        with pytest.raises(SessionLocked):
            elsewhere(lambda: cache.session(parent.id).spawn("a"))


def test_repeated_batch_id_spawns_once(cache: SessionCache) -> None:
    """A spawn with the same batch ID returns the first result."""
    parent = cache.create()
    first = parent.spawn("a", batch_id="call-1")
    assert parent.spawn("a", batch_id="call-1") == first
    assert len(parent.children()) == 1


def test_forked_child_starts_with_messages_of_parent(cache: SessionCache) -> None:
    """A forked child has the retained messages, pins, counts and system prompt of its parent, and then changes alone."""
    parent = cache.create(max_messages=4, system_prompt="Be brief.", max_active=None)
    for n in range(6):
        parent.append({"role": "user", "content": f"q{n}"})
        if n == 0:
            parent.pin(1)
    child = cache.session(key_of(parent.spawn("a", context="fork", max_messages=4)))
    assert [(m.seq, m.content) for m in child.history()] == [(m.seq, m.content) for m in parent.history()]
    assert child.context()[0].content == "Be brief."
    mine, its = parent.info(), child.info()
    assert (its.count, its.dropped, its.user_messages, its.tokens) == (
        mine.count, mine.dropped, mine.user_messages, mine.tokens,
    )  # fmt: skip
    child.append(X)
    assert [m.seq for m in child.history()] == [1, 5, 6, 7]
    assert parent.info().last_seq == 6
    assert cache.session(key_of(parent.spawn("a"))).history() == []
    short = cache.session(key_of(parent.spawn("a", context="fork", max_messages=2)))
    assert [m.seq for m in short.history()] == [1, 6]
    assert short.info().tokens - mine.tokens == -2


def test_life_of_child_is_capped_by_parent(cache: SessionCache) -> None:
    """The ttl, the lifetime and the run deadline of a child do not exceed those of its parent."""
    parent = cache.create(ttl=60, max_lifetime=300)
    info = cache.session(key_of(parent.spawn("a", ttl=3600, max_lifetime=3600, run_timeout=50))).info()
    assert info.ttl == timedelta(seconds=60)
    grandchild = cache.session(key_of(cache.session(info.id).spawn("a", run_timeout=500))).info()
    assert grandchild.run_deadline == info.run_deadline
    brief = cache.session(key_of(cache.create(ttl=None).spawn("a", ttl=5))).info()
    assert brief.ttl == timedelta(seconds=5)


def test_writes_to_child_keep_ancestors_alive(cache: SessionCache) -> None:
    """A write to a child extends the life of all its ancestors."""
    root = cache.create("root", ttl=60)
    child = key_of(root.spawn("a"))
    grandchild = cache.session(key_of(cache.session(child).spawn("a")))

    def expiries() -> list[datetime]:
        infos = [cache.session(id).info() for id in ("root", child, grandchild.id)]
        return [info.read_at + info.expires_in for info in infos if info.expires_in is not None]

    before = max(expiries())
    for write in (lambda: grandchild.append(X), lambda: grandchild.state.put("n", 1)):
        time.sleep(0.2)
        write()
        after = expiries()
        assert len(after) == 3
        assert min(after) >= before + timedelta(seconds=0.19)
        assert max(after) - min(after) < timedelta(seconds=0.05)
        before = max(after)


@pytest.mark.parametrize("engine", [*REAL_ENGINES, "cluster"], indirect=True)  # a fake is one process
def test_other_process_learns_ancestors_of_child(cache: SessionCache, url: str, namespace: str) -> None:
    """A handle that knows only the ID of a child can write first in every way."""
    parent = cache.create()
    ids = [key_of(parent.spawn("a")) for _ in range(5)]
    with SessionCache.from_url(url, namespace=namespace) as other:
        assert other.session(ids[0]).append(X).last_seq == 1
        assert other.session(ids[1]).send("hi").seq == 1
        with other.session(ids[2]).lease() as lease:
            assert other.session(ids[2]).append(X).last_seq == 1
            assert lease.receive() == []
        other.session(ids[3]).patch(name="n")
        assert other.session(ids[4]).delete()
    assert [child.status for child in parent.children()] == ["active"] * 4 + ["cancelled"]


@pytest.mark.parametrize(
    "bad",
    [
        {"label": "a b"}, {"label": ""}, {"mode": "x"}, {"cleanup": 1}, {"context": "all"}, {"on_parent_end": "die"},
        {"run_timeout": 0}, {"max_attempts": 0}, {"spawned_by": {"x": 1}}, {"spawned_by": "c1"}, {"max_widgets": 3},
        {"max_depth": 3}, {"token_budget": -1}, {"cost_budget": float("nan")}, {"task": b"x"}, {"batch_id": " "},
        {"description": {"priority": 5}}, {"description": {"fairness_key": "k"}}, {"description": {"agent_id": "b"}},
        {"description": {"kind": "cron"}}, {"description": {"parent_id": "p"}},
    ],
)  # fmt: skip
def test_invalid_spawn_argument_is_refused(bad: dict[str, Any]) -> None:
    """A spawn with an invalid argument is refused before anything is sent."""
    with SessionCache.from_url("redis://127.0.0.1:1", retry_for=0.1) as cache, pytest.raises(InvalidInput):
        cache.session("a").spawn("a", **bad)


@pytest.mark.parametrize("agent", ["", "a:b", "a b", "x" * 129])
def test_agent_that_cannot_be_part_of_an_id_is_refused(agent: str) -> None:
    """An agent ID must be printable, without a colon, and at most 128 characters long."""
    with SessionCache.from_url("fake://") as cache, pytest.raises(InvalidInput):
        cache.session("a").spawn(agent)


@pytest.mark.parametrize("bad", [{"max_depth": -1}, {"max_children": "5"}, {"max_descendants": None}, {"max_sons": 1}])
def test_invalid_tree_limit_is_refused(bad: dict[str, Any]) -> None:
    """A tree limit that is unknown or has an invalid value is refused at the creation."""
    with SessionCache.from_url("fake://") as cache, pytest.raises(InvalidInput):
        cache.create(**bad)


def test_child_accepts_messages_and_cap_of_its_own(cache: SessionCache) -> None:
    """A child takes messages and holds to its own cap."""
    child = cache.session(key_of(cache.create().spawn("a", max_messages=2)))
    child.append(Message("assistant", "a"), Message("user", "b"), Message("assistant", "c"))
    assert [m.content for m in child.history()] == ["b", "c"]


def test_touched_child_extends_its_ancestors(cache: SessionCache) -> None:
    """A touch of a child extends the life of its ancestors."""
    root = cache.create("root", ttl=5)
    child = cache.session(key_of(root.spawn("a")))
    child.touch(600)
    left = cache.session("root").info().expires_in
    assert left is not None
    assert left > timedelta(seconds=590)


def test_fork_with_too_many_pins_is_refused(cache: SessionCache) -> None:
    """A fork is refused when more than half of its cap would be pinned."""
    parent = cache.create(max_messages=20)
    parent.append(*[X] * 12)
    for seq in range(3, 9):
        parent.pin(seq)
    with pytest.raises(LimitExceeded, match="pinned"):
        parent.spawn("a", context="fork", max_messages=2)
    assert parent.children() == []


def test_child_inherits_user_unless_described_otherwise(cache: SessionCache) -> None:
    """A child belongs to the user of its parent, to the user of its description, or to no user."""
    parent = cache.create("root", user_id="mia")
    child = spawn_child(parent)
    grandchild = spawn_child(child, description={"name": "helper"})
    other = spawn_child(parent, description={"user_id": "tom"})
    without_user = spawn_child(parent, description={"user_id": None})
    users = [session.info().user_id for session in (child, grandchild, other, without_user)]
    assert users == ["mia", "mia", "tom", None]
    assert grandchild.info().name == "helper"
    assert {one.id for one in cache.list(user_id="mia").items} == {"root", child.id, grandchild.id}
    assert [one.id for one in cache.list(user_id="tom").items] == [other.id]
    assert spawn_child(cache.create()).info().user_id is None


def test_patched_user_of_parent_applies_to_later_children(cache: SessionCache) -> None:
    """A change of the user of a parent leaves its children and applies to children that are spawned later."""
    parent = cache.create(user_id="mia")
    before = spawn_child(parent)
    parent.patch(user_id="tom")
    assert [spawn_child(parent).info().user_id, before.info().user_id] == ["tom", "mia"]


def test_patched_tree_bounds_apply_to_next_spawn(cache: SessionCache) -> None:
    """A patch at the root raises, lowers or removes the bounds of the tree, and keeps the other bounds."""
    root = cache.create(max_active=1)
    child = spawn_child(root)
    assert root.spawn("a").reason == "max_active"
    root.patch(max_active=2)
    spawn_child(root)
    assert child.spawn("a").reason == "max_active"
    root.patch(max_active=None, max_depth=1)
    assert child.spawn("a").reason == "max_depth"
    root.patch(max_children=2)
    assert root.spawn("a").reason == "max_children"
    root.patch(max_children=None, max_depth=None, max_descendants=3)
    assert child.spawn("a").accepted
    assert child.spawn("a").reason == "max_descendants"


def test_patched_budget_applies_to_next_write(cache: SessionCache) -> None:
    """A budget that a patch sets refuses spawns or appends, and a patch with None removes the budget."""
    root = cache.create()
    root.start_loop("l").record_usage("1", {"total": 10, "cost": 0.5})
    root.patch(token_budget=10)
    assert root.spawn("a").reason == "token_budget"
    root.append(X)
    root.patch(budget_enforcement="append")
    with pytest.raises(LimitExceeded, match="token_budget"):
        root.append(X)
    root.patch(token_budget=None, cost_budget=0.5)
    assert root.spawn("a").reason == "cost_budget"
    root.patch(cost_budget=None)
    root.append(X)
    assert root.spawn("a").accepted


@pytest.mark.parametrize("bounds", [{"max_active": 9}, {"max_depth": None}, {"max_children": 5, "token_budget": 5}])
def test_patched_tree_bounds_of_child_are_refused(cache: SessionCache, bounds: dict[str, Any]) -> None:
    """A patch of tree bounds at a child is refused, and writes nothing."""
    child = spawn_child(cache.create())
    rev = child.info().rev
    with pytest.raises(InvalidInput):
        child.patch(name="n", **bounds)
    assert (child.info().rev, child.info().name) == (rev, None)


def test_patched_budget_of_child_holds_for_its_spawns(cache: SessionCache) -> None:
    """A child has a budget of its own, which `patch` sets and removes."""
    child = spawn_child(cache.create())
    loop = child.start_loop("l1")
    child.patch(token_budget=5)
    loop.record_usage("1", {"total": 6})
    refused = child.spawn("a")
    child.patch(token_budget=None)
    assert (refused.reason, child.spawn("a").accepted) == ("token_budget", True)


@pytest.mark.parametrize(
    "option",
    [{"delay": 5}, {"run_at": datetime(2100, 1, 1, tzinfo=UTC)}, {"run_timeout": 5}, {"max_attempts": 1}],
    ids=str,
)
def test_session_that_no_worker_claims_takes_no_option_of_runs(cache: SessionCache, option: dict[str, Any]) -> None:
    """An option that would have no effect is refused."""
    session = cache.create()
    with pytest.raises(InvalidInput, match="needs mode='run'"):
        session.spawn("a", mode="session", **option)
    assert session.children() == []
