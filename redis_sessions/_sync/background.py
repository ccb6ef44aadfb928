"""What runs beside the caller, and how it is told: threads here, tasks and timers on the other side.

Hand-written on both sides under the same names, like `io`.
"""

from __future__ import annotations

import heapq
import itertools
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Generic, Protocol, TypeVar
from weakref import WeakMethod

Event = threading.Event
T = TypeVar("T")
Job = Callable[[], None]


class Waitable(Protocol):
    """Something that will happen: any `threading.Event`."""

    def wait(self) -> object: ...


class Cancellable(Protocol):
    """Something that runs in the background, or will."""

    def cancel(self) -> object: ...


def spawn(function: Callable[..., None], *arguments: Any) -> Cancellable:
    """Runs a function in the background. It ends by itself: what it waits for is closed."""
    threading.Thread(target=function, args=arguments, daemon=True, name="redis-sessions").start()
    return _Due()


class _Due:
    """What is to run at some time, unless it is cancelled before."""

    def __init__(self, function: Callable[[], None] | None = None) -> None:
        self.function = function

    def cancel(self) -> None:
        self.function = None


class _Clock:
    """One thread that starts what is due; each in a thread of its own, so that a slow one delays no other."""

    def __init__(self) -> None:
        self._start()
        os.register_at_fork(after_in_child=self._start)  # a forked process has none of its parent's threads

    def _start(self) -> None:
        self._due: list[tuple[float, int, _Due]] = []
        self._numbers = itertools.count()
        self._sooner = threading.Condition()
        self._is_running = False

    def later(self, seconds: float, function: Callable[..., None], *arguments: Any) -> Cancellable:
        due = _Due(partial(function, *arguments) if arguments else function)
        at = time.monotonic() + seconds
        with self._sooner:
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=self._run, daemon=True, name="redis-sessions clock").start()
            if not self._due or at < self._due[0][0]:
                self._sooner.notify()
            heapq.heappush(self._due, (at, next(self._numbers), due))
            if len(self._due) % 1024 == 0:  # what was cancelled must not pile up until it would be due
                self._due = [one for one in self._due if one[2].function is not None]
                heapq.heapify(self._due)
        return due

    def _run(self) -> None:
        with self._sooner:
            while True:
                left = self._due[0][0] - time.monotonic() if self._due else None
                if left is None or left > 0:
                    self._sooner.wait(left)
                    continue
                due = heapq.heappop(self._due)[2]
                try:
                    if due.function is not None:
                        spawn(due.function)
                except RuntimeError:  # no more threads for now
                    heapq.heappush(self._due, (time.monotonic() + 0.1, next(self._numbers), due))
                    self._sooner.wait(0.1)


later = _Clock().later


class Mailbox(Generic[T]):
    """What one waiter is told, in order."""

    def __init__(self) -> None:
        self._items: queue.SimpleQueue[T] = queue.SimpleQueue()
        self.put = self._items.put

    def __len__(self) -> int:
        return self._items.qsize()

    def clear(self) -> None:
        with suppress(queue.Empty):
            while True:
                self._items.get_nowait()

    def get(self, timeout: float) -> T | None:
        """The next item, or None when there is none for so long."""
        try:
            return self._items.get(timeout=max(timeout, 0))
        except queue.Empty:
            return None


def while_used(method: Job) -> Job:
    """The method, as long as somebody has its object: what was dropped with its thread is left alone."""
    found = WeakMethod(method)

    def run() -> None:
        method = found()
        if method is not None:
            method()

    return run


_stops: list[Callable[[], None]] = []


def _stop_all() -> None:
    for stop in list(_stops):
        stop()


@contextmanager
def signals(stop: Callable[[], None]) -> Iterator[None]:
    """In its block SIGTERM and SIGINT call a function, where they can: on a main thread. Of several blocks, all are called."""
    before = {}
    _stops.append(stop)
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            before[number] = signal.signal(number, lambda *_: _stop_all())
    try:
        yield
    finally:
        _stops.remove(stop)
        for number, handler in before.items():
            signal.signal(number, handler)
