"""Workers that wait hear of what comes soon, because they ask by themselves every 10 s only."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from redis_sessions import Run, SessionCache
from redis_sessions._core.commands.run_queues import INBOX_QUEUE
from tests.leases.dead_holders import stop_renewing
from tests.support.lease_waiters import elsewhere
from tests.support.servers import await_true
from tests.trees.runs import DEADLINE_SECONDS, await_waiting_worker, claim_run, spawn_runs
from tests.trees.workers import texts, working

TTL_SECONDS = 2.0
LATE_SECONDS = 7.0
"""A worker that did not hear asks 10 s after it began to wait."""


def seconds_until(is_true: Callable[[], bool]) -> float:
    """Return the time until a condition is true."""
    began = time.monotonic()
    await_true(is_true, DEADLINE_SECONDS)
    return time.monotonic() - began


def send_and_die(cache: SessionCache, monkeypatch: pytest.MonkeyPatch, id: str, text: str) -> None:
    """Send a message from a process that dies before it says or checks more."""
    queues = cache._context.run_queues
    with monkeypatch.context() as patch:
        patch.setattr(type(queues), "watch_inbox", lambda *_: None)
        patch.setattr(type(queues), "advance_later", lambda *_: None)
        assert elsewhere(lambda: cache.session(id).send(text)).seq is None


def test_waiting_worker_brings_in_inbox_of_dead_holder(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that waits answers what a dead sender left in the inbox of a dead holder, soon after the end of the lease."""
    session = cache.create("s", answered_by="a")
    with working(cache, lambda run: None):
        await_waiting_worker(cache)
        lease = cache.session("s").lease(ttl=TTL_SECONDS)
        lease.acquire()
        stop_renewing(lease)
        send_and_die(cache, monkeypatch, "s", "1")
        assert seconds_until(lambda: texts(session) == ["1"]) < LATE_SECONDS


def test_waiting_worker_answers_turn_under_lease_of_dead_holder(cache: SessionCache) -> None:
    """A turn that a message under a lease opened is claimed soon after the lease of its dead holder ran out."""
    cache.create("s", answered_by="a")
    turns: list[str] = []
    with working(cache, lambda run: turns.append(run.work)):
        await_waiting_worker(cache)
        lease = cache.session("s").lease(ttl=TTL_SECONDS)
        lease.acquire()
        lease.session.send("1")
        stop_renewing(lease)
        assert seconds_until(lambda: turns == ["turn"]) < LATE_SECONDS


def test_waiting_worker_claims_delayed_run_at_its_time(cache: SessionCache) -> None:
    """A run with a delay is claimed by a worker that waits when its time has come, and not before."""
    begun: list[float] = []
    with working(cache, lambda run: begun.append(time.monotonic())):
        await_waiting_worker(cache)
        spawned_at = time.monotonic()
        spawn_runs(cache.create(), "delayed", delay=1)
        await_true(lambda: len(begun) == 1, DEADLINE_SECONDS)
    assert 0.95 < begun[0] - spawned_at < LATE_SECONDS


def test_waiting_worker_brings_in_inbox_that_no_agent_answers(
    cache: SessionCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On one server a worker that asks for work also checks inboxes of sessions that no agent answers."""
    session = cache.create("s")
    lease = session.lease(ttl=0.5)
    elsewhere(lease.acquire)
    stop_renewing(lease)
    send_and_die(cache, monkeypatch, "s", "1")
    queues = cache._context.run_queues

    def is_in() -> bool:
        if queues.is_cluster:
            queues.recover(INBOX_QUEUE)
        else:
            assert cache.claim("a") is None
        return texts(session) == ["1"]

    await_true(is_in, DEADLINE_SECONDS)


def test_join_brings_result_into_parent_of_dead_holder(cache: SessionCache) -> None:
    """The result of a child enters the transcript of a parent whose holder died, when a process has joined the children."""
    parent = cache.create()
    spawn_runs(parent, "t")
    lease = cache.session(parent.id).lease(ttl=1)
    elsewhere(lease.acquire)
    stop_renewing(lease)
    claim_run(cache).complete("done")
    assert [child.result for child in parent.join(timeout=DEADLINE_SECONDS)] == ["done"]
    await_true(lambda: len(parent.history()) == 1, DEADLINE_SECONDS)


@pytest.mark.parametrize("engine", ["path", "cluster"], indirect=True)
def test_join_of_parked_run_finds_expired_child(cache: SessionCache) -> None:
    """A run that waits for a child goes on soon after the child expired, also while a process waits for the run."""

    def handle(run: Run) -> list[str]:
        child = run.spawn("none", mode="session", ttl=1)
        return [one.status for one in run.wait_for([child])]

    parent = cache.create()
    with working(cache, handle):
        spawn_runs(parent, "t")
        assert [child.result for child in parent.join(timeout=30)] == [["timed_out"]]
