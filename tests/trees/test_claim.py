"""Runs that wait for workers: who gets which, what a death leaves, when it is enough; and the worker that does all that."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from redis_sessions import (
    InvalidInput,
    InvalidTransition,
    LeaseLost,
    Run,
    Session,
    SessionCache,
    SessionLocked,
    SessionNotActive,
)
from redis_sessions._async.worker import _log
from redis_sessions._core import leases, runs
from tests.servers import await_true
from tests.trees.test_spawn import X, spawned


def claimed(cache: SessionCache, agent: str = "a", **options: Any) -> Run:
    run = cache.claim(agent, **{"wait": 10, **options})
    assert run is not None
    return run


def spawn(parent: Session, *tasks: str, **options: Any) -> list[str]:
    return [spawned(parent.spawn("a", task=task, **options)) for task in tasks]


def test_workers_get_runs_oldest_first_each_once(cache: SessionCache) -> None:
    """With their task and attempt, under a lease; another agent's are not theirs."""
    first, second = cache.create(), cache.create()
    ids = spawn(first, "1") + spawn(second, "2") + spawn(first, "3")
    assert cache.claim("b") is None
    found = [claimed(cache) for _ in range(3)]
    assert [(run.id, run.task, run.attempt, run.max_attempts) for run in found] == [
        (id, task, 1, 3) for id, task in zip(ids, "123", strict=True)
    ]
    assert cache.claim("a") is None
    with pytest.raises(SessionLocked):
        cache.session(ids[0]).append(X)
    found[0].append(X)
    found[0].complete("done")
    assert first.join("any", timeout=5)[0].result == "done"
    assert first.children()[1].lease is not None


def test_a_claim_waits_without_polling_and_not_for_ever(cache: SessionCache) -> None:
    """A spawn wakes it."""
    began = time.monotonic()
    assert cache.claim("a", wait=0.3) is None
    assert 0.3 <= time.monotonic() - began < 2
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(cache.claim, "a", wait=10)
        time.sleep(0.3)
        (id,) = spawn(cache.create(), "t")
        run = waiting.result(10)
    assert run is not None
    assert run.id == id


def test_racing_workers_share_runs(cache: SessionCache) -> None:
    """Forty runs and eight threads: each run is claimed once."""
    parent = cache.create(max_children=None, max_concurrent=None)
    ids = spawn(parent, *[str(n) for n in range(40)])

    def work() -> list[str]:
        done = []
        while (run := cache.claim("a", wait=0.5)) is not None:
            done.append(run.id)
            run.complete(run.task)
        return done

    with ThreadPoolExecutor(8) as pool:
        found = [one for got in pool.map(lambda _: work(), range(8)) for one in got]
    assert sorted(found) == sorted(ids)
    assert sorted(int(m.content.split()[-1]) for m in parent.history()) == list(range(40))


def test_given_back_it_is_the_next_ones(cache: SessionCache) -> None:
    """At once, or after a while; the attempt counts. The end of a block gives it back, too."""
    (id,) = spawn(cache.create(), "t")
    run = claimed(cache)
    run.release()
    with pytest.raises(LeaseLost):
        run.append(X)
    run = claimed(cache)
    assert (run.id, run.attempt) == (id, 2)
    began = time.monotonic()
    run.release(delay=0.5)
    with claimed(cache) as run:
        assert run.attempt == 3
        assert time.monotonic() - began > 0.4
        cache.session(id).append(X)
    assert run.is_over


def test_attempts_have_an_end(cache: SessionCache) -> None:
    """Then it failed, with the reason, and its parent is told."""
    parent = cache.create()
    spawn(parent, "t", max_attempts=2)
    for _ in range(2):
        claimed(cache).release()
    assert cache.claim("a", wait=0.2) is None
    assert parent.history()[0].content == "[a failed] 2 of 2 attempts ended without a result"


def die(run: Run) -> None:
    """What a worker leaves that is killed: a lease that nobody renews."""
    run.held._stop_renewing()
    run.held._is_leaving = True


def test_when_its_worker_dies_another_has_it(cache: SessionCache) -> None:
    """As soon as the lease ran out; what the dead one would write is refused."""
    parent = cache.create()
    spawn(parent, "t")
    dead = claimed(cache, ttl=0.5)
    die(dead)
    run = claimed(cache)
    assert (run.id, run.attempt) == (dead.id, 2)
    with pytest.raises(LeaseLost):
        dead.complete("late")
    run.complete("mine")
    assert [m.content for m in parent.history()] == ["[a completed] mine"]


def test_a_held_run_is_renewed_and_can_be_extended(cache: SessionCache) -> None:
    """For as long as it takes."""
    spawn(cache.create(), "t")
    run = claimed(cache, ttl=0.3)
    time.sleep(0.8)
    assert cache.claim("a") is None
    run.extend(30)
    lease = run.info().lease
    assert lease is not None
    assert lease.expires_in.total_seconds() > 25
    run.complete()
    assert not run.held.is_held


def test_a_run_has_a_deadline(cache: SessionCache) -> None:
    """Waiting or worked on, it is timed out by whoever sweeps, once."""
    parent = cache.create()
    spawn(parent, "1", "2", run_timeout=0.3)
    run = claimed(cache)
    await_true(lambda: (cache.sweep() or 1) and len(parent.history()) == 2, 10)
    cache.sweep()
    assert [m.content for m in parent.history()] == ["[a timed_out] run timeout"] * 2
    with pytest.raises(SessionNotActive, match="timed_out"):
        run.append(X)
    assert cache.claim("a") is None


def test_an_expired_child_leaves_its_tree(cache: SessionCache) -> None:
    """Its parent is told, and there is room again."""
    parent = cache.create(max_concurrent=1)
    spawn(parent, "t", ttl=0.3, label="x", mode="session")
    await_true(lambda: (cache.sweep() or 1) and bool(parent.history()), 10)
    assert parent.history()[0].content.endswith("timed_out] it expired")
    assert parent.spawn("a", label="x").accepted
    assert parent.children()[0].status == "timed_out"


def test_a_joiner_sees_to_dead_children(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody sweeps, the wait itself does."""
    monkeypatch.setattr("redis_sessions._sync.family.HEARTBEAT", 0.2)
    parent = cache.create()
    spawn(parent, "t", run_timeout=0.3)
    assert parent.join(timeout=10)[0].status == "timed_out"


def test_a_session_mode_child_waits_for_nobody(cache: SessionCache) -> None:
    """It stays until it is ended."""
    (id,) = spawn(cache.create(), "t", mode="session")
    assert cache.claim("a") is None
    cache.sweep()
    assert cache.claim("a") is None
    cache.session(id).append(X)


def test_cancelled_runs_are_not_handed_out(cache: SessionCache) -> None:
    """Nor is what was deleted."""
    parent, other = cache.create(), cache.create()
    spawn(parent, "1", "2")
    spawn(other, "3")
    parent.cancel()
    other.delete()
    assert cache.claim("a") is None


@pytest.mark.parametrize("crash", ["hint", "spawn", "ask", "claim", "end"])
def test_no_run_is_missed_after_a_crash(cache: SessionCache, crash: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that dies between any two commands leaves a run that is claimed, and a queue without the dead."""
    parent = cache.create()
    home = cache._home
    home.queues._hint_ms = 1000  # else, in a cluster, a hint keeps workers from a run for longer than a spawn can take
    monkeypatch.setattr("redis_sessions._sync.queues.background.spawn", lambda *_: None)  # what never came to be sent
    if crash == "hint":  # where queues are apart the hint is sent first
        cache._calls.run(runs.note(home.queues.of("a"), f"agent:a:subagent:x {parent.id}", 0, 0))
    (id,) = spawn(parent, "t")
    if crash == "ask":
        home.queues.ask("a", "nonce", 0)
    if crash in ("claim", "end"):
        run = claimed(cache, ttl=0.3)
        die(run)
        if crash == "end":
            run.complete("x")
    monkeypatch.undo()
    if crash != "end":
        claimed(cache).complete("x")
    assert [m.content for m in parent.history()] == ["[a completed] x"]
    assert cache.session(id).info().status == "completed"
    due = home.queues.of("a")

    def is_empty() -> bool:
        late = cache._calls.run(runs.ask(due)).late
        home.queues._look_after_all("a", late)
        return cache.claim("a") is None

    await_true(is_empty, 10)


def test_a_worker_handles_runs(cache: SessionCache) -> None:
    """Results, failures with new attempts, the last one's error; it stops when it is told to and finishes what it has."""
    parent = cache.create(max_children=None, max_concurrent=None)
    spawn(parent, "ok", "twice", "never", max_attempts=2)
    stop, seen = threading.Event(), []

    def handler(run: Run) -> Any:
        seen.append((run.task, run.attempt))
        run.append(X)
        if run.task == "never" or (run.task == "twice" and run.attempt == 1):
            raise ValueError("no luck")
        return {"task": run.task}

    _log.disabled = True
    try:
        worker = threading.Thread(
            target=cache.worker, args=("a", handler), kwargs={"concurrency": 2, "stop": stop}, daemon=True
        )
        worker.start()
        ended = {one.task: one for one in parent.join(timeout=20)}
        stop.set()
        worker.join(10)
    finally:
        _log.disabled = False
    assert not worker.is_alive()
    assert (ended["ok"].result, ended["twice"].result, ended["twice"].attempt) == ({"task": "ok"}, {"task": "twice"}, 2)
    assert (ended["never"].status, ended["never"].reason) == ("failed", "ValueError: no luck")
    assert sorted(seen) == [("never", 1), ("never", 2), ("ok", 1), ("twice", 1), ("twice", 2)]


def test_a_stopped_worker_gives_back_what_it_cannot_finish(cache: SessionCache) -> None:
    """After its grace."""
    spawn(cache.create(), "t")
    stop, began, release = threading.Event(), threading.Event(), threading.Event()

    def handler(run: Run) -> None:
        began.set()
        release.wait(20)

    worker = threading.Thread(
        target=cache.worker, args=("a", handler), kwargs={"grace": 0.1, "stop": stop}, daemon=True
    )
    worker.start()
    assert began.wait(10)
    stop.set()
    worker.join(10)
    assert not worker.is_alive()
    run = claimed(cache)
    assert run.attempt == 2
    release.set()


@pytest.mark.parametrize("bad", [{"wait": -1}, {"ttl": 0}, {"owner": "a b"}, {"agent_id": "a:b"}, {"wait": "1"}])
def test_bad_claims_are_refused(bad: dict[str, Any]) -> None:
    """Before anything is sent."""
    with SessionCache.from_url("redis://127.0.0.1:1", retry_for=0.1) as cache, pytest.raises(InvalidInput):
        cache.claim(**{"agent_id": "a", **bad})
    with SessionCache.from_url("redis://127.0.0.1:1", retry_for=0.1) as cache, pytest.raises(InvalidInput):
        cache.worker("a", lambda run: None, concurrency=0)


def test_who_stood_in_line_for_a_dead_workers_lease_does_not_keep_others_from_it(cache: SessionCache) -> None:
    """Whether he gave up or died there."""
    (id,) = spawn(cache.create(), "t")
    run = claimed(cache, ttl=0.5)
    with pytest.raises(SessionLocked):
        cache.session(id).lease(wait=0.1).acquire()
    call = leases.acquire(cache.session(id)._keys, "", "dead", "dead", 5000, 500, "nobody", False)
    assert cache._calls.run(call).fence == 0
    die(run)
    assert claimed(cache).attempt == 2


def test_a_claim_whose_reply_was_lost_is_the_same_claim(cache: SessionCache) -> None:
    """Asked again it is his, for the same attempt; withdrawn, it is none."""
    parent = cache.create()
    (id,) = spawn(parent, "t", max_attempts=1)
    keys = cache._home.queues.keys_of(f"{id} {parent.id}")
    call = runs.claim(keys, "run.1", "me", 5000)
    first, again = cache._calls.run(call), cache._calls.run(call)
    assert (
        (first.verdict, first.fence, first.attempt) == (again.verdict, again.fence, again.attempt) == ("claimed", 1, 1)
    )
    cache._home.queues.withdraw(f"0 {id} {parent.id}", "run.1")
    claimed(cache).complete()
    assert parent.join(timeout=5)[0].attempt == 1


def test_a_claimed_run_can_be_ended_twice(cache: SessionCache) -> None:
    """The same way it changes nothing, another way it is refused."""
    spawn(cache.create(), "t")
    run = claimed(cache)
    rev = run.complete("x")
    assert run.complete("x") == rev
    with pytest.raises(InvalidTransition):
        run.fail()


def test_when_a_run_is_given_up_its_own_children_end(cache: SessionCache) -> None:
    """At once, and there is room again."""
    root = cache.create(max_concurrent=2)
    spawn(root, "t", max_attempts=1)
    run = claimed(cache, ttl=0.3)
    child = spawned(run.spawn("b"))
    die(run)
    await_true(lambda: (cache.sweep() or 1) and cache.session(child).info().status == "cancelled", 10)
    assert root.spawn("a").accepted
    assert root.spawn("a").accepted


def test_a_worker_that_leaves_is_offered_nothing(cache: SessionCache) -> None:
    """The next run goes to one who waits."""
    assert cache.claim("a", wait=0.1) is None
    with ThreadPoolExecutor(2) as pool:
        stays = pool.submit(cache.claim, "a", wait=20)
        time.sleep(0.3)
        spawn(cache.create(), "t")
        began = time.monotonic()
        assert stays.result(20) is not None
    assert time.monotonic() - began < 2


def test_many_quick_runs_leave_no_slot_behind(cache: SessionCache) -> None:
    """A handler may be over before its start is noted."""
    parent = cache.create(max_children=None, max_concurrent=None, max_descendants=200)
    spawn(parent, *[str(n) for n in range(150)])
    stop = threading.Event()
    worker = threading.Thread(
        target=cache.worker, args=("a", lambda run: run.task), kwargs={"concurrency": 2, "stop": stop}, daemon=True
    )
    worker.start()
    assert len(parent.join(timeout=60)) == 150
    stop.set()
    worker.join(10)
    assert not worker.is_alive()
