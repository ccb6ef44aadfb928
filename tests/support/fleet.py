"""A fleet of worker processes, some of which are killed."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.context import ForkServerProcess
from typing import Any

from redis_sessions import Run, SessionCache
from tests.support.processes import CONTEXT


def answer(run: Run) -> Any:
    """Append a message, wait up to 4 ms, and return a result."""
    run.append({"role": "assistant", "content": "working"})
    time.sleep(random.uniform(0, 0.004))
    return f"did {run.task}"


def work(url: str, namespace: str, agent: str, concurrency: int, ttl: float) -> None:
    """Run a worker until the process is killed."""
    with SessionCache.from_url(url, namespace=namespace, retry_for=20) as cache:
        cache.worker(agent, answer, concurrency=concurrency, ttl=ttl)


class Fleet:
    """A constant number of processes. A killed process is replaced."""

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
        """Kill a random process with SIGKILL, and start another process in its place."""
        index = random.randrange(len(self.processes))
        self.processes[index].kill()
        self.processes[index].join()
        self.processes[index] = self._start()
        self.killed += 1


class Strikes:
    """Signals that hit processes. A process that was stopped is continued after some seconds."""

    def __init__(self, stopped_seconds: float) -> None:
        self._stopped_seconds = stopped_seconds
        self.stopped: dict[int, float] = {}
        """The processes that are stopped, and when they are continued."""

    def strike(self, pid: int, name: str) -> None:
        """Send a signal to a process, by the name of the signal."""
        with suppress(ProcessLookupError):
            os.kill(pid, getattr(signal, name))
        if name == "SIGSTOP":
            self.stopped[pid] = time.monotonic() + self._stopped_seconds

    def resume(self) -> None:
        """Continue the processes that were stopped for long enough."""
        for pid, until in list(self.stopped.items()):
            if until <= time.monotonic():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
                del self.stopped[pid]


@contextmanager
def fleet(size: int, target: Callable[..., None], *arguments: Any) -> Iterator[Fleet]:
    """Start a fleet, and kill it at the end of the block."""
    fleet = Fleet(size, target, *arguments)
    try:
        yield fleet
    finally:
        for process in fleet.processes:
            process.kill()
            process.join()
