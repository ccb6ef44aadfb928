"""The processes of the load. Each thread or task of a process is a slot with a journal, which a successor continues."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis_sessions import AsyncSessionCache, SessionCache
from tests.soak.drive import Script, Slot, run, run_async
from tests.soak.plan import AGENTS, RETRY_FOR, TIMEOUT, TTL, Plan, process_slots, slots_of
from tests.soak.services import ask, handle, handle_async, spawn
from tests.soak.writers import write
from tests.support.history import Journal, read_journals

ACTIONS: dict[str, Callable[[Slot], Script]] = {"write": write, "spawn": spawn, "ask": ask}
ACKNOWLEDGED = {"appended", "sent", "unknown", "finished", "lost", "spawned", "asked"}
"""The events that end an operation."""
GRACE_SECONDS = 8.0
_WORKER_RETRY_FOR = 20.0


@dataclass(frozen=True)
class Job:
    """A process of the load."""

    role: str
    name: str
    life: int
    """The number of this process among those with its name."""
    url: str
    namespace: str
    folder: str
    plan: Plan

    @property
    def is_async(self) -> bool:
        """True for a process that uses asyncio."""
        return (int(self.name[-1]) + self.life * (self.role == "work")) % 2 == 1

    @property
    def rate(self) -> float:
        """The operations a second of a slot."""
        totals = {"write": self.plan.appends, "spawn": self.plan.runs, "ask": self.plan.questions}
        return totals[self.role] / len(slots_of(self.plan, self.role))


def over_file(folder: str) -> Path:
    """Return the file that tells all clients to end after their present operation."""
    return Path(folder) / "over"


def start(job: Job) -> None:
    """Run a process of the load until the round is over, or SIGTERM."""
    sys.stderr = open(Path(job.folder) / f"{job.name}.{job.life}.txt", "w", buffering=1)  # noqa: SIM115
    if job.plan.prepare is not None:
        job.plan.prepare()
    options: dict[str, Any] = {"namespace": job.namespace, "timeout": TIMEOUT, "max_messages": None}
    if job.role == "work":
        _serve(job, {**options, "retry_for": _WORKER_RETRY_FOR})
    else:
        _act(job, {**options, "retry_for": RETRY_FOR})


def _serve(job: Job, options: dict[str, Any]) -> None:
    worker: dict[str, Any] = {"concurrency": 8, "ttl": TTL, "grace": GRACE_SECONDS, "backoff": 0.1, "owner": job.name}

    async def serve() -> None:
        async with AsyncSessionCache.from_url(job.url, **options) as cache:
            await cache.worker(AGENTS, handle_async, **worker)

    if job.is_async:
        asyncio.run(serve())
        return
    with SessionCache.from_url(job.url, **options) as cache:
        cache.worker(AGENTS, handle, **worker)


def _act(job: Job, options: dict[str, Any]) -> None:
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    failed: list[str] = []

    def is_over() -> bool:
        return ended.is_set() or over_file(job.folder).exists()

    def script(cache: Any, name: str) -> Script:
        slot = resume(job, cache, name)
        try:
            yield from _repeat(job, slot, is_over)
        except Exception:
            failed.append(traceback.format_exc())
            slot.journal.write(what="crashed", error=failed[-1])

    names = process_slots(job.plan, job.role, job.name)
    if job.is_async:

        async def main() -> None:
            async with AsyncSessionCache.from_url(job.url, **options) as cache:
                await asyncio.gather(*[run_async(script(cache, name)) for name in names])

        asyncio.run(main())
    else:
        with SessionCache.from_url(job.url, **options) as cache:
            threads = [threading.Thread(target=run, args=(script(cache, name),)) for name in names]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    if failed:
        print(*failed, sep="\n", file=sys.stderr)
        os._exit(1)


def _repeat(job: Job, slot: Slot, is_over: Callable[[], bool]) -> Script:
    """Carry out operations at the rate of the slot. Repeat at least the one that a killed process may have begun."""
    due = time.monotonic()
    while True:
        yield from ACTIONS[job.role](slot)
        slot.number, slot.tries, slot.is_new = slot.number + 1, 0, False
        if is_over():
            return
        due = max(due + 1 / job.rate, time.monotonic() - 1)
        while (left := due - time.monotonic()) > 0:
            yield min(left, 0.2)
            if is_over():
                return


def resume(job: Job, cache: Any, name: str) -> Slot:
    """Return a slot that goes on behind the last operation in its journals."""
    folder = Path(job.folder)
    events = read_journals(folder, f"{name}.life*.log")
    ended = [event["number"] for event in events if event["what"] in ACKNOWLEDGED]
    number = max(ended) + 1 if ended else 0
    tries = sum(event["what"] == "begun" and event["number"] == number for event in events)
    return Slot(name, cache, job.plan, Journal(folder / f"{name}.life{job.life:05}.log"), number, tries)
