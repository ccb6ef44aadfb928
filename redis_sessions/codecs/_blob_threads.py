"""Threads that wait for a blob store, so that neither an event loop nor a time-out waits for it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any

from .._fork import run_in_child

IDLE_SECONDS = 10.0
"""The time after which a thread without work ends."""
_Job = tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]


class BlobThreads:
    """Up to some daemon threads, started as they are needed. A store that hangs does not keep the process from its end."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._reset()
        run_in_child(self._reset)  # a forked process has none of its parent's threads

    def _reset(self) -> None:
        self._lock = Lock()
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._running = self._open = 0

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Return the future result of a function that runs in a thread. A future that is cancelled in time does not run."""
        future: Future[Any] = Future()
        with self._lock:
            self._open += 1
            self._jobs.put((future, function, arguments))
            needs_thread = self._running < min(self._open, self._count)
            self._running += needs_thread
        if needs_thread:
            try:
                Thread(target=self._run, args=(self._jobs,), daemon=True, name="redis-sessions-blobs").start()
            except RuntimeError as problem:  # can't start new thread
                with self._lock:
                    self._running -= 1
                    is_alone = not self._running
                if is_alone and future.cancel():  # the next thread takes it out of the queue
                    failed: Future[Any] = Future()
                    failed.set_exception(OSError(f"no thread can start: {problem}"))
                    return failed
        return future

    def _run(self, jobs: SimpleQueue[_Job]) -> None:
        while True:
            try:
                future, function, arguments = jobs.get(timeout=IDLE_SECONDS)
            except Empty:
                with self._lock:
                    if jobs.empty():
                        self._running -= 1
                        return
                continue
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function(*arguments))
                except BaseException as problem:
                    future.set_exception(problem)
            with self._lock:
                self._open -= 1
            del future, function, arguments  # they may be large
