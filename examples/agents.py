"""Multi-agent sessions: a main agent spawns two runs, a worker claims them, and the results return as messages."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from redis_sessions import Run, SessionCache

TASKS = {"weather": "Is it raining in Bern?", "trains": "When is the next train to Bern?"}


def handle(run: Run) -> dict[str, str]:
    """Stand for an agent. The returned value is the result of the run."""
    run.append({"role": "assistant", "content": f"Looking into it: {run.task}"})
    return {"answer": f"yes ({run.task})"}


@contextmanager
def running_worker(cache: SessionCache) -> Iterator[None]:
    """Run a worker in a thread. In production, a worker is a process on any machine."""
    stop = threading.Event()
    worker = threading.Thread(target=cache.worker, args=("researcher", handle), kwargs={"stop": stop})
    worker.start()
    try:
        yield
    finally:
        stop.set()
        worker.join()


def main(url: str) -> None:
    with SessionCache.from_url(url, namespace="examples-agents", ttl="1h") as cache:
        cache.delete("agent:concierge:main")
        concierge = cache.main_session("concierge", max_children=2)
        concierge.send("Shall I go to Bern today?")
        for label, task in TASKS.items():
            print(f"{label}: {concierge.spawn('researcher', task=task, label=label).status}")
        print(f"one more: {concierge.spawn('researcher').reason}")

        with running_worker(cache):
            for child in concierge.join(timeout="30s"):
                print(f"{child.label}: {child.status}, {child.result}")

        for message in concierge.history(10, include_tools=False):
            print(f"  {message.role}: {message.text[:60]}")
        if trains := cache.by_label("trains", root=concierge.id):
            print(f"trains said {trains.history(1)[0].text!r}")
        print(f"children: {len(concierge.children())}, still active: {len(cache.list(active_only=True).items)}")
        concierge.complete()
        info = concierge.info()
        print(f"{info.id}: {info.status} after {info.runtime} s")
        concierge.delete()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "embedded://")
