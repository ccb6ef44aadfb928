"""Claims of runs on every engine: their order, the death of a worker, deadlines, attempts, and crashes between two commands."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from redis_sessions import (
    InvalidInput,
    InvalidTransition,
    LeaseLost,
    SessionCache,
    SessionLocked,
    SessionNotActive,
)
from redis_sessions._core.commands import leases, run_queues
from redis_sessions._core.commands.run_queues import POLL_INTERVAL_SECONDS
from redis_sessions._core.protocol.call import Call
from tests.support.servers import await_true
from tests.trees.children import X, key_of
from tests.trees.runs import DEADLINE_SECONDS, abandon, await_waiting_worker, claim_run, spawn_runs


def test_claims_return_runs_of_agent_oldest_first(cache: SessionCache) -> None:
    """Each run of an agent is claimed once, oldest first, with its task and attempt, under a lease."""
    first, second = cache.create(), cache.create()
    ids = spawn_runs(first, "1") + spawn_runs(second, "2") + spawn_runs(first, "3")
    assert cache.claim("b") is None
    found = [claim_run(cache) for _ in range(3)]
    assert [(run.id, run.task, run.attempt, run.max_attempts) for run in found] == [
        (id, task, 1, 3) for id, task in zip(ids, "123", strict=True)
    ]
    assert cache.claim("a") is None
    with pytest.raises(SessionLocked):
        cache.session(ids[0]).append(X)
    found[0].append(X)
    found[0].complete("done")
    assert first.join("any", timeout=DEADLINE_SECONDS)[0].result == "done"
    assert first.children()[1].lease is not None


def test_runs_of_many_trees_are_claimed_in_turn(cache: SessionCache) -> None:
    """The first runs of all trees are claimed oldest first, and the second run of a tree after the first of every other."""
    roots = [cache.create() for _ in range(12)]
    first = [spawn_runs(root, "t")[0] for root in roots]
    second = [spawn_runs(root, "t")[0] for root in roots[:3]]
    late = spawn_runs(cache.create(), "t")
    queue = cache._context.run_queues.queue_of("a")

    def count_due() -> int:
        return cache._executor.run(
            Call(("ZCOUNT", queue.queue, "-inf", int(time.time() * 1000)), queue, int, writes=False)
        )

    await_true(lambda: count_due() == 16)  # a cluster confirms their places in the background
    assert [claim_run(cache).id for _ in range(16)] == first + late + second


def test_waiting_claim_is_woken_by_spawn_or_times_out(cache: SessionCache) -> None:
    """A claim returns None after its wait, and a spawn wakes a claim that waits."""
    began = time.monotonic()
    assert cache.claim("a", wait=0.3) is None
    assert time.monotonic() - began >= 0.3
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(cache.claim, "a", wait=DEADLINE_SECONDS)
        await_waiting_worker(cache)
        spawned_at = time.monotonic()
        (id,) = spawn_runs(cache.create(), "t")
        run = waiting.result(DEADLINE_SECONDS)
    assert time.monotonic() - spawned_at < POLL_INTERVAL_SECONDS
    assert run is not None
    assert run.id == id


def test_racing_workers_claim_each_run_once(cache: SessionCache) -> None:
    """Eight threads claim forty runs, and each run is claimed once."""
    parent = cache.create(max_children=None, max_active=None)
    ids = spawn_runs(parent, *[str(n) for n in range(40)])

    def work() -> list[str]:
        done = []
        while (run := cache.claim("a", wait=2)) is not None:
            done.append(run.id)
            run.complete(run.task)
        return done

    with ThreadPoolExecutor(8) as pool:
        found = [one for got in pool.map(lambda _: work(), range(8)) for one in got]
    assert sorted(found) == sorted(ids)
    assert sorted(int(m.content.split()[-1]) for m in parent.history()) == list(range(40))


def test_released_run_goes_to_next_worker(cache: SessionCache) -> None:
    """A released run can be claimed at once or after its delay, no attempt counts, and the end of a block releases the run."""
    (id,) = spawn_runs(cache.create(), "t")
    run = claim_run(cache)
    run.release()
    with pytest.raises(LeaseLost):
        run.append(X)
    run = claim_run(cache)
    assert (run.id, run.attempt) == (id, 1)
    began = time.monotonic()
    run.release(delay=0.5)
    with claim_run(cache) as run:
        assert run.attempt == 1
        assert time.monotonic() - began > 0.4
        cache.session(id).append(X)
    assert run.is_over


def test_run_released_by_force_is_claimable_at_once(cache: SessionCache) -> None:
    """The queue has heard of a release by force when the call returns, because an operator's process may end then."""
    parent = cache.create("root")
    (key,) = spawn_runs(parent, "x")
    held = claim_run(cache, ttl=600)
    time.sleep(0.1)  # the queue has heard of the claim
    cache.session(key).lease().release(force=True)
    run = cache.claim("a")
    assert run is not None
    assert run.id == key
    run.complete("y")
    assert held.held.lost.wait(DEADLINE_SECONDS)


def test_run_without_attempts_left_fails(cache: SessionCache) -> None:
    """A run fails after its last attempt, and its parent receives the reason."""
    parent = cache.create()
    spawn_runs(parent, "t", max_attempts=2)
    for _ in range(2):
        abandon(claim_run(cache, ttl=0.3))
    await_true(lambda: cache.recover() >= 0 and bool(parent.history()), DEADLINE_SECONDS)
    assert cache.claim("a", wait=0.2) is None
    assert parent.history()[0].content == "[a failed] 2 of 2 attempts ended without a result"


def test_run_of_dead_worker_goes_to_another(cache: SessionCache) -> None:
    """A run can be claimed again once the lease of a dead worker ran out, and writes of the dead worker are refused."""
    parent = cache.create()
    spawn_runs(parent, "t")
    dead = claim_run(cache, ttl=0.5)
    abandon(dead)
    run = claim_run(cache)
    assert (run.id, run.attempt) == (dead.id, 2)
    with pytest.raises(LeaseLost):
        dead.complete("late")
    run.complete("mine")
    assert [m.content for m in parent.history()] == ["[a completed] mine"]


def test_held_run_is_renewed_and_can_be_extended(cache: SessionCache) -> None:
    """The lease of a claimed run is renewed in the background, and can be extended."""
    spawn_runs(cache.create(), "t")
    run = claim_run(cache, ttl=2)
    time.sleep(2.5)
    assert cache.claim("a") is None
    run.extend(30)
    lease = run.info().lease
    assert lease is not None
    assert lease.expires_in.total_seconds() > 25
    run.complete()
    assert not run.held.is_held


def test_run_past_its_deadline_is_timed_out_once(cache: SessionCache) -> None:
    """A claimed run past its deadline is timed out once, whether its worker lives or not, and a run waits until its claim."""
    parent = cache.create()
    spawn_runs(parent, "1", "2", run_timeout=1.5)
    (waiting,) = spawn_runs(parent, "3", run_timeout=0.1)
    run, dead = claim_run(cache), claim_run(cache)
    abandon(dead)
    await_true(lambda: cache.recover() >= 0 and len(parent.history()) == 2, DEADLINE_SECONDS)
    cache.recover()
    assert [m.content for m in parent.history()] == ["[a timed_out] run timeout"] * 2
    with pytest.raises(SessionNotActive, match="timed_out"):
        run.append(X)
    assert claim_run(cache).id == waiting
    assert cache.claim("a") is None


def test_expired_child_leaves_its_tree(cache: SessionCache) -> None:
    """The parent of an expired child receives a result, and the tree has room again."""
    parent = cache.create(max_active=1)
    (id,) = spawn_runs(parent, "t", ttl=0.3, label="x", mode="session")
    await_true(lambda: cache.get(id) is None, DEADLINE_SECONDS)
    await_true(lambda: cache.recover() >= 0 and bool(parent.history()), DEADLINE_SECONDS)
    assert parent.history()[0].content.endswith("timed_out] it expired")
    assert parent.spawn("a", label="x").accepted
    assert parent.children()[0].status == "timed_out"


def test_join_recovers_children_past_their_deadline(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A join ends children that are past their deadline when no worker recovers runs."""
    monkeypatch.setattr("redis_sessions._sync.api.session_children.POLL_INTERVAL_SECONDS", 0.2)
    parent = cache.create()
    spawn_runs(parent, "t", run_timeout=0.3)
    abandon(claim_run(cache))
    assert parent.join(timeout=DEADLINE_SECONDS)[0].status == "timed_out"


def test_session_mode_child_is_never_claimed(cache: SessionCache) -> None:
    """A child in session mode is not claimed and stays until its end."""
    (id,) = spawn_runs(cache.create(), "t", mode="session")
    assert cache.claim("a") is None
    cache.recover()
    assert cache.claim("a") is None
    cache.session(id).append(X)


def test_cancelled_and_deleted_runs_are_not_claimed(cache: SessionCache) -> None:
    """A claim returns neither a cancelled run nor a deleted one."""
    parent, other = cache.create(), cache.create()
    spawn_runs(parent, "1", "2")
    spawn_runs(other, "3")
    parent.cancel()
    other.delete()
    assert cache.claim("a") is None


@pytest.mark.parametrize("crash", ["hint", "spawn", "ask", "claim", "end"])
def test_run_is_claimed_after_crash_between_any_two_commands(
    cache: SessionCache, crash: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that dies between two commands leaves a run that can be claimed, and a queue without dead entries."""
    parent = cache.create()
    context = cache._context
    context.run_queues._reserved_ms = 1000  # in a cluster a reservation keeps workers from a run for this time
    no_tasks = SimpleNamespace(spawn=lambda *_: None, later=lambda *_: None)  # the process dies before they run
    for module in ("run_queues", "queue_hints"):
        monkeypatch.setattr(f"redis_sessions._sync.services.{module}.tasks", no_tasks)
    queue = context.run_queues.queue_of("a")
    if crash == "hint":  # with separate queues the hint is sent before the spawn
        run_id = f"agent:a:subagent:x {parent.id}"
        cache._executor.run(run_queues.schedule(queue, run_id, "after", check="after"))
    (id,) = spawn_runs(parent, "t")
    if crash == "ask":
        context.run_queues.dequeue("a", "nonce", 0)
    if crash in ("claim", "end"):
        run = claim_run(cache, ttl=0.3 if crash == "claim" else 30)
        abandon(run)
        if crash == "end":
            run.complete("x")
    monkeypatch.undo()
    if crash != "end":
        claim_run(cache).complete("x")
    assert [m.content for m in parent.history()] == ["[a completed] x"]
    assert cache.session(id).info().status == "completed"

    def is_empty() -> bool:
        context.run_queues._check_all("a", cache._executor.run(run_queues.dequeue(queue, "check")).due)
        return cache.claim("a") is None

    await_true(is_empty, DEADLINE_SECONDS)


@pytest.mark.parametrize("bad", [{"wait": -1}, {"ttl": 0}, {"owner": "a b"}, {"agent_id": "a:b"}, {"wait": "soon"}])
def test_invalid_claim_is_refused(bad: dict[str, Any]) -> None:
    """A claim with an invalid argument is refused before anything is sent."""
    with SessionCache.from_url("redis://127.0.0.1:1", retry_for=0.1) as cache, pytest.raises(InvalidInput):
        cache.claim(**{"agent_id": "a", **bad})
    with SessionCache.from_url("redis://127.0.0.1:1", retry_for=0.1) as cache, pytest.raises(InvalidInput):
        cache.worker("a", lambda run: None, concurrency=0)


def test_waiters_for_lease_of_dead_worker_do_not_block_claim(cache: SessionCache) -> None:
    """A waiter that gave up or died does not keep workers from the run of a dead worker."""
    (id,) = spawn_runs(cache.create(), "t")
    run = claim_run(cache, ttl=2)
    with pytest.raises(SessionLocked):
        cache.session(id).lease(wait=0.1).acquire()
    call = leases.acquire(cache.session(id)._keys, "", "dead", "dead", 5000, 3000, "channel", False)
    assert cache._executor.run(call).fence == 0
    abandon(run)
    assert claim_run(cache).attempt == 2


def test_repeated_claim_is_the_same_attempt(cache: SessionCache) -> None:
    """A claim with the same nonce returns the same attempt, and a withdrawn claim costs no attempt."""
    parent = cache.create()
    (id,) = spawn_runs(parent, "t", max_attempts=1)
    keys = cache._context.run_queues.keys_of(f"{id} {parent.id}")
    call = run_queues.claim(keys, "run.1", "me", 5000, ["a"], "channel", True)
    first, again = cache._executor.run(call), cache._executor.run(call)
    assert (
        (first.verdict, first.fence, first.attempt) == (again.verdict, again.fence, again.attempt) == ("claimed", 1, 1)
    )
    cache._context.run_queues.unclaim(["a"], f"0 {id} {parent.id}", "run.1")
    claim_run(cache).complete()
    assert parent.join(timeout=DEADLINE_SECONDS)[0].attempt == 1


def test_second_end_of_run_changes_nothing(cache: SessionCache) -> None:
    """The same end of a run again returns the same revision, and another end is refused."""
    spawn_runs(cache.create(), "t")
    run = claim_run(cache)
    rev = run.complete("x")
    assert run.complete("x") == rev
    with pytest.raises(InvalidTransition):
        run.fail()


def test_children_of_failed_run_are_cancelled(cache: SessionCache) -> None:
    """The recovery of a run without attempts left cancels its children and makes room in the tree."""
    root = cache.create(max_active=2)
    spawn_runs(root, "t", max_attempts=1)
    run = claim_run(cache, ttl=1.5)
    child = key_of(run.spawn("b"))
    abandon(run)
    await_true(lambda: cache.recover() >= 0 and cache.session(child).info().status == "cancelled", DEADLINE_SECONDS)
    assert root.spawn("a").accepted
    assert root.spawn("a").accepted


def test_work_that_must_be_checked_stays_due_when_worker_leaves(cache: SessionCache) -> None:
    """A worker that leaves its place takes no work that must be checked, because it checks none."""
    queue = cache._context.run_queues.queue_of("a")
    cache._executor.run(run_queues.schedule(queue, "agent:a:subagent:x r", "keep", check="after", check_ms=0))
    time.sleep(0.02)
    assert cache._executor.run(run_queues.dequeue(queue, "leave", "nonce")).due == []
    assert cache._executor.run(run_queues.dequeue(queue, "check")).due == ["agent:a:subagent:x r"]


def test_worker_that_left_is_offered_no_run(cache: SessionCache) -> None:
    """A run goes to a worker that waits, not to a worker that left its place."""
    assert cache.claim("a", wait=0.1) is None
    with ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(cache.claim, "a", wait=DEADLINE_SECONDS)
        await_waiting_worker(cache)
        spawn_runs(cache.create(), "t")
        spawned_at = time.monotonic()
        assert waiting.result(DEADLINE_SECONDS) is not None
    assert time.monotonic() - spawned_at < POLL_INTERVAL_SECONDS
