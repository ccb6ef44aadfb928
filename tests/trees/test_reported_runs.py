"""Failures of runs, turns and workers that users of other systems reported, each with its right value.

The other rows of that list are in test_turns, test_attempts, test_handlers, test_parking and test_queues.
"""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from redis_sessions import Run, SessionCache
from redis_sessions._sync.services.worker_checks import InboxCheck
from tests.conftest import SLOW_TEST_ENGINES
from tests.leases.dead_holders import stop_renewing
from tests.support.lease_waiters import elsewhere
from tests.support.machine_load import measured_load
from tests.support.processes import CONTEXT
from tests.support.servers import await_true
from tests.trees.children import X, key_of
from tests.trees.processes import work_slowly, work_with_poison
from tests.trees.runs import DEADLINE_SECONDS, abandon, claim_run, spawn_runs
from tests.trees.workers import await_work_state, texts, working

slow = pytest.mark.parametrize("engine", SLOW_TEST_ENGINES, indirect=True)


# -- leases of runs ----------------------------------------------------------------------------------------------------


@slow
def test_run_of_dropped_handle_is_claimed_within_its_ttl(cache: SessionCache) -> None:
    """Another worker has the run about a ttl after its handle was dropped, without a garbage collection."""
    spawn_runs(cache.create(), "t")
    gc.disable()
    try:
        with measured_load() as load:
            run = claim_run(cache, ttl=1)
            time.sleep(0.5)
            del run
            began = time.monotonic()
            assert claim_run(cache).attempt == 2
            assert time.monotonic() - began < load.allow(2.5, wakeups=4)
    finally:
        gc.enable()


def test_short_lived_session_stays_while_its_lease_is_held(cache: SessionCache) -> None:
    """A session whose ttl is far below that of its lease does not expire in the hands of its holder, nor while claimed."""
    session = cache.create("s", ttl=2)
    spawn_runs(cache.create(), "t", ttl=2)
    run = claim_run(cache, ttl=30)
    with session.lease(ttl=30):
        time.sleep(3)
        session.append(X)
        run.append(X)
    run.complete("done")


# -- what workers are given --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["path"], indirect=True)
def test_deploys_cost_no_attempt(cache: SessionCache, url: str, namespace: str, tmp_path: Path) -> None:
    """A run that met three deploys (SIGTERM) with max_attempts=1 is still at its first attempt, and nothing is recorded."""
    (id,) = spawn_runs(cache.create(), "t", max_attempts=1)
    for n in range(3):
        process = CONTEXT.Process(target=work_slowly, args=(url, namespace, str(tmp_path), 0), daemon=True)
        process.start()
        await_true(lambda n=n: len(list(tmp_path.iterdir())) == n + 1, DEADLINE_SECONDS)  # type: ignore[misc]
        os.kill(process.pid or 0, signal.SIGTERM)
        process.join(DEADLINE_SECONDS)
        assert process.exitcode == 0
    assert {path.name.split("-")[0] for path in tmp_path.iterdir()} == {"1"}
    info = cache.session(id).info()
    assert (info.status, info.attempts, info.attempt) == ("active", [], 0)
    claim_run(cache).complete()


@pytest.mark.parametrize("engine", ["path"], indirect=True)
def test_second_signal_ends_grace(cache: SessionCache, url: str, namespace: str, tmp_path: Path) -> None:
    """A worker waits for its run after the first SIGTERM or SIGINT, and gives the run back after the second."""
    (id,) = spawn_runs(cache.create(), "t", max_attempts=1)
    process = CONTEXT.Process(target=work_slowly, args=(url, namespace, str(tmp_path), 60), daemon=True)
    process.start()
    await_true(lambda: len(list(tmp_path.iterdir())) == 1, DEADLINE_SECONDS)
    os.kill(process.pid or 0, signal.SIGTERM)
    time.sleep(1.5)  # two signals within 0.3 s count as one
    assert process.is_alive()
    assert cache.session(id).info().work == "running"
    os.kill(process.pid or 0, signal.SIGINT)
    process.join(DEADLINE_SECONDS / 2)
    assert process.exitcode == 0
    run = claim_run(cache)
    assert (run.attempt, run.info().attempts) == (1, [])


@pytest.mark.parametrize("engine", ["path"], indirect=True)
def test_poison_run_takes_no_innocent_run_along(cache: SessionCache, url: str, namespace: str, tmp_path: Path) -> None:
    """A run that kills its process again and again fails alone: the three that shared the process complete."""
    root = cache.create()
    spawn_runs(root, "poison", "1", "2", "3", max_attempts=3)
    stop = threading.Event()

    def supervise() -> None:
        while not stop.is_set():
            process = CONTEXT.Process(target=work_with_poison, args=(url, namespace, str(tmp_path)), daemon=True)
            process.start()
            while process.is_alive() and not stop.is_set():
                process.join(0.05)
            process.kill()

    supervisor = threading.Thread(target=supervise)
    supervisor.start()
    try:
        children = root.join(timeout=DEADLINE_SECONDS)
    finally:
        stop.set()
        supervisor.join()
    assert [(one.status, one.result) for one in children] == [("failed", None)] + [("completed", "done")] * 3
    assert [one.outcome for one in children[0].attempts] == ["died"] * 3
    assert all(len(one.attempts) <= 2 for one in children[1:])
    assert len({path.name.split("-")[1] for path in tmp_path.iterdir() if path.name.startswith("poison")}) == 3


# -- parents and results -----------------------------------------------------------------------------------------------


def test_result_for_paused_parent_enters_at_resume(cache: SessionCache) -> None:
    """The result of a child that ended while its parent was paused is in the transcript after the resume, once."""
    parent = cache.create()
    spawn_runs(parent, "t")
    parent.pause()
    claim_run(cache).complete("r")
    assert (texts(parent), parent.info().inbox_size) == ([], 1)
    parent.resume()
    await_true(lambda: texts(parent) == ["[a completed] r"], DEADLINE_SECONDS)
    parent.append(X)
    assert texts(parent) == ["[a completed] r", "x"]


def test_results_take_no_place_of_users_in_inbox(cache: SessionCache) -> None:
    """A user's message is accepted while more results than `max_inbox` wait for the holder of the parent's lease."""
    parent = cache.create(max_children=None, max_active=None, max_inbox=3)
    ids = spawn_runs(parent, *[str(n) for n in range(10)])
    with parent.lease() as lease:
        for id in ids:
            elsewhere(cache.session(id).complete)
        sent = elsewhere(lambda: cache.session(parent.id).send("Stop!"))
        assert sent.waiting == 11
        assert [message.content for message in lease.receive()][-1] == "Stop!"


def test_join_has_result_of_deleted_child(cache: SessionCache) -> None:
    """A join returns the result of a child that was deleted with its end."""
    parent = cache.create()
    spawn_runs(parent, "t", cleanup="delete")
    claim_run(cache).complete({"x": 1})
    (child,) = parent.join(timeout=DEADLINE_SECONDS)
    assert (child.status, child.result, child.is_stored) == ("completed", {"x": 1}, False)


def test_expired_children_hold_no_place(cache: SessionCache) -> None:
    """A spawn is accepted when the five active children of the tree have all expired."""
    parent = cache.create(max_children=None, max_active=5)
    children = [key_of(parent.spawn("a", mode="session", ttl=1.2)) for _ in range(5)]
    assert parent.spawn("a").reason == "max_active"
    await_true(lambda: all(cache.get(id) is None for id in children), DEADLINE_SECONDS)
    assert parent.spawn("a").accepted


def test_long_lived_root_spawns_for_ever(cache: SessionCache) -> None:
    """A root with the default limits spawns and deletes a child seventy times, because the limits count what exists."""
    root = cache.create()
    for n in range(70):
        result = root.spawn("a", mode="session", task=str(n))
        assert result.accepted, result.message
        cache.session(key_of(result)).delete()


# -- time --------------------------------------------------------------------------------------------------------------


def test_run_timeout_begins_with_claim(cache: SessionCache) -> None:
    """A run that waited for longer than its `run_timeout` is claimed as usual, and has its whole time from then on."""
    parent = cache.create()
    (id,) = spawn_runs(parent, "t", run_timeout=2)
    time.sleep(2.2)
    assert cache.session(id).info().run_deadline is None
    run = claim_run(cache)
    deadline = run.info().run_deadline
    assert isinstance(deadline, datetime)
    assert 0 < (deadline - run.info().read_at).total_seconds() <= 2
    run.complete("in time")
    assert parent.join(timeout=DEADLINE_SECONDS)[0].result == "in time"


def test_waiting_work_outlives_its_ttl(cache: SessionCache) -> None:
    """Runs that are queued, delayed, parked or paused, and an open turn, do not expire, nor does the root of their tree."""
    root = cache.create("root", ttl=0.6)
    queued, delayed, paused = (
        cache.session(key_of(root.spawn("q", task=task, ttl=0.6, delay=60 if task == "delayed" else 0)))
        for task in ("queued", "delayed", "paused")
    )
    paused.pause()
    parked = cache.session(key_of(root.spawn("p", ttl=0.6)))
    turn = cache.create("turn", ttl=0.6, answered_by="q")
    turn.send("1")
    idle = cache.create("idle", ttl=0.6)

    def handler(run: Run) -> Any:
        run.spawn("q", task="child")
        return run.wait_for(timeout=DEADLINE_SECONDS)

    with working(cache, handler, "p"):
        await_work_state(parked, "parked")
    time.sleep(1.5)
    assert cache.get("idle") is None
    assert idle.id == "idle"
    states = [session.info().work for session in (queued, delayed, paused, parked, turn)]
    assert states == ["queued", "delayed", "queued", "parked", "queued"]
    assert {session.info().ttl.total_seconds() for session in (queued, root, turn)} == {0.6}  # type: ignore[union-attr]
    claimed = {run.id for run in (claim_run(cache, "q") for _ in range(3))}
    assert {queued.id, turn.id} < claimed


def test_session_lives_for_its_own_ttl_after_its_work(cache: SessionCache) -> None:
    """A session whose turn is over has its own idle ttl again."""
    session = cache.create("s", ttl=1, answered_by="a")
    session.send("1")
    claim_run(cache).finish()
    left = session.info().expires_in
    assert left is not None
    assert left.total_seconds() <= 1
    await_true(lambda: cache.get("s") is None, DEADLINE_SECONDS)


# -- inboxes and conversations -----------------------------------------------------------------------------------------


@slow
@pytest.mark.parametrize("finder", ["sender", "worker", "recover"])
def test_inbox_of_dead_holder_is_recovered(cache: SessionCache, url: str, namespace: str, finder: str) -> None:
    """A message that a dead holder left in the inbox enters the transcript within its ttl and a second, without a write."""
    session = cache.create("s", answered_by="a" if finder == "worker" else None)
    holder = session.lease(ttl=1)
    elsewhere(holder.acquire)
    with SessionCache.from_url(url, namespace=namespace) as other, measured_load() as load:
        if finder != "sender":
            other._context.run_queues.watch_inbox = lambda *_: None  # type: ignore[method-assign]
        other.session("s").send("1")
        stop_renewing(holder)
        began = time.monotonic()
        assert session.info().inbox_size == 1
        answered = threading.Event()
        if finder == "worker":
            with working(cache, lambda run: answered.set()):
                assert answered.wait(DEADLINE_SECONDS)
        else:
            await_true(
                lambda: (finder == "sender" or cache.recover() >= 0) and bool(session.history()), DEADLINE_SECONDS
            )
        assert time.monotonic() - began < load.allow(1 + 1 + 0.5, wakeups=4)
    assert texts(session) == ["1"]


@slow
def test_inbox_is_looked_at_again_after_an_outage(
    cache: SessionCache, url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message in the inbox of a dead holder is moved by its sender, although the first look met no server."""
    monkeypatch.setattr("redis_sessions._sync.services.run_queues._INBOX_RETRY_MS", 100)
    session = cache.create("s")
    holder = session.lease(ttl=0.5)
    elsewhere(holder.acquire)
    with SessionCache.from_url(url, namespace=namespace) as other:
        queues = other._context.run_queues
        advance, failed = queues.advance, threading.Event()

        def advance_second_time(keys: Any) -> Any:
            if failed.is_set():
                return advance(keys)
            failed.set()
            return None

        monkeypatch.setattr(queues, "advance", advance_second_time)
        other.session("s").send("1")
        stop_renewing(holder)
        await_true(lambda: bool(session.history()), DEADLINE_SECONDS)
    assert failed.is_set()


@pytest.mark.parametrize("engine", ["path"], indirect=True)
def test_worker_checks_many_inboxes_at_once(cache: SessionCache) -> None:
    """A check of inboxes goes on while there are more than it asked for."""
    holders = [cache.create(f"s{number}").lease(ttl=0.5) for number in range(45)]
    for number, holder in enumerate(holders):
        elsewhere(holder.acquire)
        cache._context.run_queues.watch_inbox = lambda *_: None  # type: ignore[method-assign]
        cache.session(f"s{number}").send("1")
        stop_renewing(holder)
    time.sleep(0.6)
    check = InboxCheck(cache._context.run_queues)
    check._checked_at -= 60
    check.run()
    assert [texts(cache.session(f"s{number}")) for number in range(45)] == [["1"]] * 45


@pytest.mark.parametrize("engine", ["path", "cluster"], indirect=True)
@pytest.mark.parametrize("work", ["lease", "child", "turn"])
def test_conversation_knows_that_its_session_is_at_work(cache: SessionCache, work: str) -> None:
    """No new session forms while the lease of the present one is held, its child works, or its turn is open."""
    session = cache.conversation("channel", inactivity=2)
    if work == "turn":
        session.patch(answered_by="a")
    lease = session.lease(ttl=30)
    if work == "lease":
        elsewhere(lease.acquire)
    elif work == "child":
        spawn_runs(session, "t")
    else:
        session.send("1")
    time.sleep(2.2)
    assert cache.conversation("channel", inactivity=2).id == session.id
    if work == "lease":
        lease.session.append(X)
        lease.release()
    elif work == "child":
        claim_run(cache).complete()
    else:
        claim_run(cache).finish({"role": "assistant", "content": "answer"})
    assert cache.conversation("channel", inactivity=2).id == session.id
    time.sleep(2.2)
    assert cache.conversation("channel", inactivity=2).id != session.id


@pytest.mark.parametrize("engine", ["path", "cluster"], indirect=True)
def test_failed_turn_is_silence(cache: SessionCache) -> None:
    """A turn that failed for good does not keep a conversation from forming its next session."""
    session = cache.conversation("channel", inactivity=0.5)
    session.patch(answered_by="a")
    session.send("1")
    for _ in range(3):
        abandon(claim_run(cache, ttl=0.1))
    await_true(lambda: cache.recover() >= 0 and session.info().work == "failed", DEADLINE_SECONDS)
    time.sleep(1)
    assert cache.conversation("channel", inactivity=0.5).id != session.id
