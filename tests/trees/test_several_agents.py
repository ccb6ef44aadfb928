"""Workers of several agents."""

from __future__ import annotations

import threading
import time

from redis_sessions import Run, SessionCache
from tests.support.machine_load import measured_load
from tests.support.servers import await_true
from tests.trees.runs import DEADLINE_SECONDS, await_waiting_worker, waiting_workers


def test_busy_worker_of_two_agents_delays_no_other_worker(cache: SessionCache) -> None:
    """A worker at work keeps no place in the queue of its other agent, so another worker gets that agent's run at once."""
    root = cache.create("root")
    stop, may_end, started = threading.Event(), threading.Event(), threading.Event()

    def handle(run: Run) -> None:
        started.set()
        may_end.wait(2 * DEADLINE_SECONDS)

    worker = threading.Thread(target=cache.worker, args=(["first", "second"], handle), kwargs={"stop": stop})
    worker.start()
    try:
        for agent in ("first", "second"):
            await_waiting_worker(cache, agent)
        root.spawn("first").raise_if_refused()
        assert started.wait(DEADLINE_SECONDS)
        await_true(lambda: not waiting_workers(cache, "second"), DEADLINE_SECONDS)
        found: list[float] = []

        def claim() -> None:
            run = cache.claim("second", wait=DEADLINE_SECONDS)
            assert run is not None
            found.append(time.monotonic())
            run.complete()

        other = threading.Thread(target=claim)
        other.start()
        await_waiting_worker(cache, "second")
        with measured_load() as load:
            began = time.monotonic()
            root.spawn("second").raise_if_refused()
            other.join(DEADLINE_SECONDS)
            assert found[0] - began < load.allow(0.8, wakeups=4)  # a reservation lasts a second
    finally:
        may_end.set()
        stop.set()
        worker.join()
