"""Spawn, claim and abandon runs in tests."""

from __future__ import annotations

import time
from typing import Any

from redis_sessions import Run, Session, SessionCache
from redis_sessions._core.commands.lease_states import LeaseEvent
from redis_sessions._core.protocol.call import Call
from redis_sessions._core.protocol.records import Waiter
from tests.support.servers import await_true
from tests.trees.children import key_of

DEADLINE_SECONDS = 60.0
"""The time after which a test fails that polls for a result. A loaded machine is slower than 10 s now and then."""


def spawn_runs(parent: Session, *tasks: str, **options: Any) -> list[str]:
    """Spawn a run of agent `a` for each task. Return the session keys."""
    return [key_of(parent.spawn("a", task=task, **options)) for task in tasks]


def claim_run(cache: SessionCache, agent: str = "a", **options: Any) -> Run:
    """Claim a run, and wait for the run if necessary."""
    run = cache.claim(agent, **{"wait": DEADLINE_SECONDS, **options})
    assert run is not None
    return run


def abandon(run: Run) -> None:
    """Leave a run as a killed worker does: its lease is neither renewed nor released."""
    assert run.held._held is not None
    assert run.held._renewer is not None
    run.held._held.apply(LeaseEvent.RELEASE_REQUESTED)  # because a renewal in flight starts the next
    run.held._renewer.stop()


def waiting_workers(cache: SessionCache, agent: str = "a") -> list[Waiter]:
    """Return the workers that wait in the queue of an agent."""
    queue = cache._context.run_queues.queue_of(agent)
    return cache._executor.run(Call(("GET", queue.workers), queue, Waiter.parse_all, writes=False))


def await_waiting_worker(cache: SessionCache, agent: str = "a") -> None:
    """Return when a worker waits in the queue of an agent, for at least another second."""

    def is_waiting() -> bool:
        return any(worker.until_ms > (time.time() + 1) * 1000 for worker in waiting_workers(cache, agent))

    await_true(is_waiting, DEADLINE_SECONDS)
