"""A tree of agents that a fleet of worker processes grows and finishes, while some of the processes are killed.

Planners spawn researchers, and researchers spawn readers. Each run joins its children and ends with the number of its sessions.
A killed worker leaves its runs: other workers claim them again, and the batch IDs of the spawns prevent second children.
"""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess

from ..._sync.api.cache import SessionCache
from ..._sync.api.run import Run
from ...errors import InvalidInput
from ...models.sessions import SessionInfo
from ...models.trees import ChildInfo
from .processes import start_process

LEVELS = (("planner", 3), ("researcher", 3), ("reader", 2))
"""The agent of each level, and how many of its runs one session of the level above spawns."""
_NEXT_LEVEL = {agent: LEVELS[at + 1] for at, (agent, _) in enumerate(LEVELS[:-1])}
_LEASE_TTL = "1s"
_JOIN_TIMEOUT = "120s"
_GIVE_UP_SECONDS = 120
_LOOK_SECONDS = 0.15


@dataclass(slots=True)
class Harvest:
    """The outcome of a tree."""

    sessions: int
    completed: int
    killed: int
    claimed_again: int
    """Runs that needed more than one attempt."""
    results: int
    """Results that the root received: one from each planner."""
    seconds: float

    @property
    def is_complete(self) -> bool:
        """True if every session completed and its result was delivered once."""
        wanted, total = 1, 0
        for _, width in LEVELS:
            wanted *= width
            total += wanted
        return self.sessions == self.completed == total and self.results == LEVELS[0][1]


def handle(run: Run) -> int:
    """Spawn the children of a run, join them, and return the number of sessions."""
    run.append({"role": "assistant", "content": f"working on {run.task}"})
    time.sleep(random.uniform(0.1, 0.3))
    agent = run.info().agent_id or ""
    if agent not in _NEXT_LEVEL:
        return 1
    child_agent, width = _NEXT_LEVEL[agent]
    for number in range(width):
        run.spawn(
            child_agent, task=f"{run.task}.{number + 1}", batch_id=f"{run.id}.{number}", max_attempts=20
        ).raise_if_refused()
    return 1 + sum(int(child.result) for child in run.join(timeout=_JOIN_TIMEOUT))


def _work(url: str, namespace: str) -> None:
    """Work for all agents. Runs in a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # only the parent handles Ctrl-C
    with SessionCache.from_url(url, namespace=namespace, retry_for="20s") as cache:
        threads = [
            threading.Thread(target=cache.worker, args=(agent, handle), kwargs={"concurrency": 8, "ttl": _LEASE_TTL})
            for agent, _ in LEVELS
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def _busiest(processes: list[BaseProcess], held: Counter[str]) -> int:
    """Return the position of the process that holds the most leases. The name of a holder ends with its process ID."""
    counts = {int(owner.rpartition(":")[2]): count for owner, count in held.items()}
    return max(range(len(processes)), key=lambda at: counts.get(processes[at].pid or 0, 0))


def grow(
    url: str,
    namespace: str,
    root: str,
    workers: int,
    kills: int,
    on_look: Callable[[SessionInfo, list[ChildInfo]], None],
) -> Harvest:
    """Grow a tree below a new session, and kill some workers on the way. A new process replaces each killed process.

    Args:
        url: the server.
        namespace: the namespace of the sessions.
        root: the ID of the root.
        workers: how many processes work.
        kills: how many processes are killed.
        on_look: called with the root and its descendants, about six times a second.
    """
    with SessionCache.from_url(url, namespace=namespace, max_active=None) as cache:
        if cache.get(root) is not None:
            raise InvalidInput(
                name="session", detail=f"{root!r} exists: delete the session, or choose another --namespace"
            )
        session = cache.create(root, tags=["demo"])
        processes: list[BaseProcess] = []
        began, killed = time.monotonic(), 0
        try:
            for _ in range(workers):
                processes.append(start_process(_work, url, namespace))
            agent, width = LEVELS[0]
            for number in range(width):
                session.spawn(agent, task=str(number + 1), max_attempts=20).raise_if_refused()
            while True:
                info, descendants = session.info(), session.children(recursive=True)
                on_look(info, descendants)
                if not any(child.is_active for child in descendants) or time.monotonic() - began > _GIVE_UP_SECONDS:
                    break
                held = Counter(
                    child.lease.owner for child in descendants if child.lease is not None and child.is_active
                )
                if killed < kills and held.total() > 3 * (killed + 1):
                    at = _busiest(processes, held)
                    processes[at].kill()
                    processes[at] = start_process(_work, url, namespace)
                    killed += 1
                time.sleep(_LOOK_SECONDS)
            results = sum("subagent" in message.metadata for message in session.history())
        finally:
            for process in processes:
                process.kill()
        session.complete()
        return Harvest(
            sessions=len(descendants),
            completed=sum(child.status == "completed" for child in descendants),
            killed=killed,
            claimed_again=sum(child.attempt > 1 for child in descendants),
            results=results,
            seconds=time.monotonic() - began,
        )
