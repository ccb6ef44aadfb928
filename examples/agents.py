"""A main agent gives work to two others; workers claim it, wherever they run, and the results come back as messages."""

from __future__ import annotations

import sys
import threading

from redis_sessions import Run, SessionCache

TASKS = {"weather": "Is it raining in Bern?", "trains": "When is the next train to Bern?"}


def handle(run: Run) -> dict[str, str]:
    """Stands for an agent: what it returns is the result of its run."""
    run.append({"role": "assistant", "content": f"Looking into it: {run.task}"})
    return {"answer": f"yes ({run.task})"}


def main(url: str) -> None:
    with SessionCache.from_url(url, namespace="examples-agents", ttl=3600) as cache:
        cache.delete("agent:concierge:main")
        concierge = cache.main("concierge", max_children=2)
        concierge.send("Shall I go to Bern today?")
        for label, task in TASKS.items():
            print(f"{label}: {concierge.spawn('researcher', task=task, label=label).status}")
        print(f"one more: {concierge.spawn('researcher').reason}")

        stop = threading.Event()
        worker = threading.Thread(target=cache.worker, args=("researcher", handle), kwargs={"stop": stop})
        worker.start()
        for child in concierge.join(timeout=30):
            print(f"{child.label}: {child.status}, {child.result}")
        stop.set()
        worker.join()

        for message in concierge.history(10, include_tools=False):
            print(f"  {message.role}: {message.text[:60]}")
        trains = cache.by_label("trains", root=concierge.id)
        print(f"trains said {trains.history(1)[0].text!r}" if trains else "no trains")
        print(f"children: {len(concierge.children())}, still active: {len(cache.list(active_only=True).items)}")
        concierge.complete()
        info = concierge.info()
        print(f"{info.id}: {info.status} after {info.runtime} s")
        concierge.delete()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "embedded://")
