"""Workers of several agents."""

from __future__ import annotations

import threading
import time

from redis_sessions import Run, SessionCache


def test_busy_worker_of_two_agents_delays_no_other_worker(cache: SessionCache) -> None:
    """A worker at work keeps no place in the queue of its other agent, so another worker gets that agent's run at once."""
    root = cache.create("root")
    stop, may_end, started = threading.Event(), threading.Event(), threading.Event()

    def handle(run: Run) -> None:
        started.set()
        may_end.wait(20)

    worker = threading.Thread(target=cache.worker, args=(["first", "second"], handle), kwargs={"stop": stop})
    worker.start()
    try:
        time.sleep(0.3)  # the worker waits at both queues
        root.spawn("first").raise_if_refused()
        assert started.wait(10)
        time.sleep(0.3)
        found: list[float] = []

        def claim() -> None:
            run = cache.claim("second", wait=10)
            assert run is not None
            found.append(time.monotonic())
            run.complete()

        other = threading.Thread(target=claim)
        other.start()
        time.sleep(0.3)
        began = time.monotonic()
        root.spawn("second").raise_if_refused()
        other.join(10)
        assert found[0] - began < 0.8  # a reservation lasts a second
    finally:
        may_end.set()
        stop.set()
        worker.join()
