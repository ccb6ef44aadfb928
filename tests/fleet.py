"""A fleet of worker processes for tests, quick to start: they are forked from a process that has everything loaded."""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any

from redis_sessions import Run, SessionCache

CONTEXT: ForkServerContext = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.fleet"])


def answer(run: Run) -> Any:
    """Works for a moment, then has a result."""
    run.append({"role": "assistant", "content": "working"})
    time.sleep(random.uniform(0, 0.004))
    return f"did {run.task}"


def work(url: str, namespace: str, agent: str, concurrency: int, ttl: float) -> None:
    """A worker until it is killed."""
    with SessionCache.from_url(url, namespace=namespace, retry_for=20) as cache:
        cache.worker(agent, answer, concurrency=concurrency, ttl=ttl)


class Fleet:
    """So many processes, of which some die and are replaced."""

    def __init__(self, size: int, target: Callable[..., None], *arguments: Any) -> None:
        self.target = target
        self.arguments = arguments
        self.killed = 0
        self.processes: list[ForkServerProcess] = [self._start() for _ in range(size)]

    def _start(self) -> ForkServerProcess:
        process = CONTEXT.Process(target=self.target, args=self.arguments, daemon=True)
        process.start()
        return process

    def kill_one(self) -> None:
        """kill -9, and another takes its place."""
        at = random.randrange(len(self.processes))
        self.processes[at].kill()
        self.processes[at].join()
        self.processes[at] = self._start()
        self.killed += 1


@contextmanager
def fleet(size: int, target: Callable[..., None], *arguments: Any) -> Iterator[Fleet]:
    """A fleet that is gone at the end of the block."""
    found = Fleet(size, target, *arguments)
    try:
        yield found
    finally:
        for process in found.processes:
            process.kill()
            process.join()
