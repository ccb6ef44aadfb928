"""A tree of agents that a fleet of worker processes grows and finishes, while some of them are killed.

Planners start researchers, researchers start readers; each waits for those it started and answers with what they found. A
worker that is killed leaves runs half done: others claim them again, and what they start again is recognised by its batch id.
"""

from __future__ import annotations

import multiprocessing
import random
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.context import SpawnProcess

from .._sync.cache import SessionCache
from .._sync.runs import Run
from ..errors import InvalidInput
from ..models.sessions import SessionInfo
from ..models.trees import ChildInfo

LEVELS = (("planner", 3), ("researcher", 3), ("reader", 2))
"""Which agent works at a level, and how many of it one session of the level above starts."""
_NEXT = {agent: LEVELS[at + 1] for at, (agent, _) in enumerate(LEVELS[:-1])}
_TTL = 1.0


@dataclass(slots=True)
class Harvest:
    """What came of a tree."""

    sessions: int
    completed: int
    killed: int
    again: int
    """Runs that needed more than one attempt."""
    results: int
    """Results that the root was given: one for each planner, if all is well."""
    seconds: float

    @property
    def is_complete(self) -> bool:
        """Whether every session ended well and its result was delivered once."""
        wanted, total = 1, 0
        for _, width in LEVELS:
            wanted *= width
            total += wanted
        return self.sessions == self.completed == total and self.results == LEVELS[0][1]


def handle(run: Run) -> int:
    """Starts what is below, waits for it, and counts."""
    run.append({"role": "assistant", "content": f"working on {run.task}"})
    time.sleep(random.uniform(0.1, 0.3))
    agent = run.info().agent_id or ""
    if agent not in _NEXT:
        return 1
    below, width = _NEXT[agent]
    for number in range(width):
        run.spawn(
            below, task=f"{run.task}.{number + 1}", batch_id=f"{run.id}.{number}", max_attempts=20
        ).raise_if_refused()
    return 1 + sum(int(child.result) for child in run.join(timeout=120))


def _work(url: str, namespace: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    with SessionCache.from_url(url, namespace=namespace, retry_for=20) as cache:
        threads = [
            threading.Thread(target=cache.worker, args=(agent, handle), kwargs={"concurrency": 8, "ttl": _TTL})
            for agent, _ in LEVELS
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def grow(
    url: str,
    namespace: str,
    root: str,
    workers: int,
    kills: int,
    on_look: Callable[[SessionInfo, list[ChildInfo]], None],
) -> Harvest:
    """Grows a tree below a new session, killing so many workers on the way; others take their places."""
    context = multiprocessing.get_context("spawn")

    def started() -> SpawnProcess:
        process = context.Process(target=_work, args=(url, namespace), daemon=True)
        process.start()
        return process

    with SessionCache.from_url(url, namespace=namespace, max_concurrent=None) as cache:
        if cache.get(root) is not None:
            raise InvalidInput(name="session", detail=f"{root!r} exists; delete it, or choose another namespace")
        session = cache.create(root, tags=["demo"])
        processes = [started() for _ in range(workers)]
        began, killed = time.monotonic(), 0
        try:
            agent, width = LEVELS[0]
            for number in range(width):
                session.spawn(agent, task=str(number + 1), max_attempts=20).raise_if_refused()
            while True:
                info, below = session.info(), session.children(below=True)
                on_look(info, below)
                if not any(child.is_active for child in below) or time.monotonic() - began > 120:
                    break
                held = sum(child.lease is not None and child.is_active for child in below)
                if killed < kills and held > 3 * (killed + 1):
                    processes[killed % workers].kill()
                    processes[killed % workers] = started()
                    killed += 1
                time.sleep(0.15)
            results = sum("subagent" in message.metadata for message in session.history())
        finally:
            for process in processes:
                process.kill()
        session.complete()
        return Harvest(
            sessions=len(below),
            completed=sum(child.status == "completed" for child in below),
            killed=killed,
            again=sum(child.attempt > 1 for child in below),
            results=results,
            seconds=time.monotonic() - began,
        )
