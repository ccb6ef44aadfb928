"""Processes that write through an adapter and are killed at random. Each writes again what was not acknowledged."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any

from tests.support.processes import CONTEXT

IS_LONG = bool(os.environ.get("REDIS_SESSIONS_SOAK"))
Work = Callable[[str, str, int, range, Connection], None]
"""Writes items of a worker through an adapter, and sends the number of each item that was acknowledged."""


class Crew:
    """Workers of one session, each with a number of items to write."""

    def __init__(self, work: Work, url: str, namespace: str) -> None:
        self._work = work
        self._url = url
        self._namespace = namespace
        self.workers = workers = 4
        self.items = 30 if IS_LONG else 8
        self._kills = 8 if IS_LONG else 2
        self._random = random.Random(20)
        self._acknowledged = [-1] * workers
        self._processes: dict[Connection, tuple[int, Any]] = {}

    def run(self) -> None:
        """Let all workers write all their items, and kill some of them in between. Each kill follows a random number of items."""
        CONTEXT.set_forkserver_preload([self._work.__module__])  # a framework takes seconds to import
        for worker in range(self.workers):
            self._start(worker)
        until_kill = self._random.randint(1, 6)
        while self._processes:
            for pipe in wait(list(self._processes), timeout=60):
                assert isinstance(pipe, Connection)
                worker, process = self._processes[pipe]
                try:
                    self._acknowledged[worker] = pipe.recv()
                except EOFError:
                    self._end(pipe)
                    continue
                until_kill -= 1
                if until_kill <= 0 and self._kills:
                    self._kills -= 1
                    until_kill = self._random.randint(1, 6)
                    process.kill()
        assert self._acknowledged == [self.items - 1] * self.workers
        assert self._kills == 0

    def _start(self, worker: int) -> None:
        mine, theirs = CONTEXT.Pipe(duplex=False)
        left = range(self._acknowledged[worker] + 1, self.items)
        process = CONTEXT.Process(target=self._work, args=(self._url, self._namespace, worker, left, theirs))
        process.start()
        theirs.close()
        self._processes[mine] = worker, process

    def _end(self, pipe: Connection) -> None:
        worker, process = self._processes.pop(pipe)
        process.join(30)
        pipe.close()
        if self._acknowledged[worker] < self.items - 1:
            assert process.exitcode == -9, f"worker {worker} ended with {process.exitcode}"
            self._start(worker)
