"""Spawning as a user meets it, on every engine: who is let in, what a child is, how long it lives."""

from __future__ import annotations

import time
from datetime import timedelta
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
    SpawnResult,
)
from tests.leases.line import elsewhere

X = {"role": "user", "content": "x"}


def spawned(result: SpawnResult) -> str:
    assert result.session_key is not None, result.message
    return result.session_key


def test_a_child_is_what_it_was_spawned_as(cache: SessionCache) -> None:
    """Kind, agent, task, label, parent; the run id is its life; the parent's record names the tool call."""
    parent = cache.create("root", user_id="mia")
    reference = {"tool_call_id": "c1", "tool_name": "spawn", "loop_id": "l1"}
    result = parent.spawn("researcher", task="find it", label="bags", model="m-1", spawned_by=reference)
    assert (result.status, result.accepted, result.reason) == ("accepted", True, None)
    assert spawned(result).startswith("agent:researcher:subagent:")
    info = cache.session(spawned(result)).info()
    assert (info.kind, info.agent_id, info.task, info.label, info.model) == (
        "subagent", "researcher", "find it", "bags", "m-1",
    )  # fmt: skip
    assert (info.parent_id, info.root_id, info.life, info.count) == ("root", "root", result.run_id, 0)
    (child,) = parent.children()
    assert child.spawned_by is not None
    assert child.spawned_by.model_dump() == reference
    assert (child.status, child.tokens, child.attempt, child.lease) == ("active", 0, 0, None)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"max_children": 2}, "max_children"),
        ({"max_concurrent": 2}, "max_concurrent"),
        ({"max_descendants": 2}, "max_descendants"),
    ],
)
def test_a_tree_has_room_for_so_many(cache: SessionCache, limits: dict[str, int], reason: str) -> None:
    """The third is refused, with a reason; as an exception, for who wants one. An end makes room, but not in the total."""
    parent = cache.create(**limits)  # type: ignore[arg-type]
    first, _ = parent.spawn("a"), parent.spawn("a")
    refused = parent.spawn("a")
    assert (refused.status, refused.reason, refused.session_key) == ("forbidden", reason, None)
    with pytest.raises(SpawnRefused, match="2"):
        refused.raise_if_refused()
    cache.session(spawned(first)).complete()
    assert parent.spawn("a").accepted == (reason != "max_descendants")


def test_a_tree_is_so_deep(cache: SessionCache) -> None:
    """Depth is counted from the root, whichever worker spawns."""
    session = cache.create("root", max_depth=2)
    session = cache.session(spawned(session.spawn("a")))
    session = cache.session(spawned(session.spawn("b")))
    assert session.spawn("c").reason == "max_depth"
    assert cache.session("root").children(below=True)[1].parent == 1


def test_a_label_is_its_own_while_active(cache: SessionCache) -> None:
    """In the whole tree; another tree has its own. Free again after the end, it names the newest."""
    parent = cache.create("root")
    first = spawned(parent.spawn("a", label="x"))
    assert cache.session(first).spawn("a", label="x").reason == "label_in_use"
    assert cache.create().spawn("a", label="x").accepted
    assert cache.by_label("x", root="root").id == first  # type: ignore[union-attr]
    cache.session(first).complete()
    assert cache.by_label("x", root="root").id == first  # type: ignore[union-attr]
    second = spawned(parent.spawn("a", label="x"))
    assert cache.by_label("x", root="root").id == second  # type: ignore[union-attr]
    assert cache.by_label("y", root="root") is None


def test_only_an_active_parent_spawns(cache: SessionCache) -> None:
    """A missing one is an error, an ended or cancelled one a refusal with its status."""
    with pytest.raises(SessionNotFound):
        cache.session("none").spawn("a")
    parent = cache.create()
    child = cache.session(spawned(parent.spawn("a")))
    parent.pause()
    assert parent.spawn("a").reason == "parent_paused"
    parent.resume()
    parent.cancel()
    assert parent.spawn("a").reason == "parent_cancelled"
    assert child.spawn("a").reason in ("cancelled", "parent_cancelled")
    other = cache.create()
    other.complete()
    assert other.spawn("a").reason == "parent_completed"


def test_a_spawn_is_a_write_under_the_lease(cache: SessionCache) -> None:
    """The holder spawns, others do not."""
    parent = cache.create()
    with parent.lease():
        assert parent.spawn("a").accepted
        with pytest.raises(SessionLocked):
            elsewhere(lambda: cache.session(parent.id).spawn("a"))


def test_a_batch_id_is_one_spawn(cache: SessionCache) -> None:
    """Repeated, it answers what it answered then."""
    parent = cache.create()
    first = parent.spawn("a", batch_id="call-1")
    assert parent.spawn("a", batch_id="call-1") == first
    assert len(parent.children()) == 1


def test_a_fork_starts_with_what_the_parent_retains(cache: SessionCache) -> None:
    """Messages with their seqs, pinned ones, counts, the system prompt; from then on each goes its way."""
    parent = cache.create(max_messages=4, system_prompt="Be brief.", max_concurrent=None)
    for n in range(6):
        parent.append({"role": "user", "content": f"q{n}"})
        if n == 0:
            parent.pin(1)
    child = cache.session(spawned(parent.spawn("a", context="fork", max_messages=4)))
    assert [(m.seq, m.content) for m in child.history()] == [(m.seq, m.content) for m in parent.history()]
    assert child.context()[0].content == "Be brief."
    mine, its = parent.info(), child.info()
    assert (its.count, its.dropped, its.user_messages, its.tokens) == (
        mine.count, mine.dropped, mine.user_messages, mine.tokens,
    )  # fmt: skip
    child.append(X)
    assert [m.seq for m in child.history()] == [1, 5, 6, 7]
    assert parent.info().last_seq == 6
    assert cache.session(spawned(parent.spawn("a"))).history() == []
    short = cache.session(spawned(parent.spawn("a", context="fork", max_messages=2)))
    assert [m.seq for m in short.history()] == [1, 6]
    assert short.info().tokens - mine.tokens == -2


def test_a_child_lives_no_longer_than_its_parent(cache: SessionCache) -> None:
    """Neither idle nor at all; and its deadline for the run is no later than its parent's."""
    parent = cache.create(ttl=60, max_lifetime=300)
    info = cache.session(spawned(parent.spawn("a", ttl=3600, max_lifetime=3600, run_timeout=50))).info()
    assert info.ttl == timedelta(seconds=60)
    grandchild = cache.session(spawned(cache.session(info.id).spawn("a", run_timeout=500))).info()
    assert grandchild.run_deadline == info.run_deadline
    brief = cache.session(spawned(cache.create(ttl=None).spawn("a", ttl=5))).info()
    assert brief.ttl == timedelta(seconds=5)


def test_a_live_child_keeps_its_ancestors_alive(cache: SessionCache) -> None:
    """Whoever writes in it: all above it expire no sooner than it does."""
    root = cache.create("root", ttl=0.6)
    child = spawned(root.spawn("a"))
    grandchild = spawned(cache.session(child).spawn("a"))
    due = time.monotonic() + 1
    while time.monotonic() < due:
        cache.session(grandchild).append(X)
        cache.session(grandchild).state.put("n", 1)
        time.sleep(0.1)
    lives = [cache.session(id).info().expires_in for id in ("root", child, grandchild)]
    assert all(life is not None and life > timedelta(seconds=0.2) for life in lives)
    assert max(lives) - min(lives) < timedelta(seconds=0.1)  # type: ignore[type-var,operator]


def test_another_process_learns_who_the_ancestors_are(cache: SessionCache, url: str, namespace: str) -> None:
    """A handle from an id alone writes at once, whatever it does first."""
    if url == "fake://":
        pytest.skip("a fake is one process")
    parent = cache.create()
    ids = [spawned(parent.spawn("a")) for _ in range(5)]
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
    ],
)  # fmt: skip
def test_bad_input_is_refused_before_anything_is_sent(bad: dict[str, Any]) -> None:
    """By name."""
    with SessionCache.from_url("redis://127.0.0.1:1", retry_for=0.1) as cache, pytest.raises(InvalidInput):
        cache.session("a").spawn("a", **bad)


@pytest.mark.parametrize("agent", ["", "a:b", "a b", "x" * 129])
def test_an_agent_can_be_part_of_an_id(agent: str) -> None:
    """Or it is refused."""
    with SessionCache.from_url("fake://") as cache, pytest.raises(InvalidInput):
        cache.session("a").spawn(agent)


@pytest.mark.parametrize("bad", [{"max_depth": -1}, {"max_children": "5"}, {"max_descendants": None}, {"max_sons": 1}])
def test_unknown_limits_are_refused(bad: dict[str, Any]) -> None:
    """By name, when a tree is made."""
    with SessionCache.from_url("fake://") as cache, pytest.raises(InvalidInput):
        cache.create(**bad)


def test_a_message_is_a_message(cache: SessionCache) -> None:
    """A child takes whatever a session takes."""
    child = cache.session(spawned(cache.create().spawn("a", max_messages=2)))
    child.append(Message("assistant", "a"), Message("user", "b"), Message("assistant", "c"))
    assert [m.content for m in child.history()] == ["b", "c"]


def test_touching_a_child_touches_its_ancestors(cache: SessionCache) -> None:
    """They live as long as it does."""
    root = cache.create("root", ttl=5)
    child = cache.session(spawned(root.spawn("a")))
    child.touch(600)
    left = cache.session("root").info().expires_in
    assert left is not None
    assert left > timedelta(seconds=590)


def test_a_fork_holds_to_its_cap(cache: SessionCache) -> None:
    """No more than half of it can be pinned."""
    parent = cache.create(max_messages=20)
    parent.append(*[X] * 12)
    for seq in range(3, 9):
        parent.pin(seq)
    with pytest.raises(LimitExceeded, match="pinned"):
        parent.spawn("a", context="fork", max_messages=2)
    assert parent.children() == []
