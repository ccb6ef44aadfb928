"""Background work of threads: threads, timers, events, queues, signals. `_async` has the same names for asyncio, by hand."""

from __future__ import annotations

import heapq
import inspect
import itertools
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Generic, Protocol, TypeVar
from weakref import WeakMethod

Event = threading.Event
T = TypeVar("T")


class Cancelled(BaseException):
    """Never raised, because a thread cannot be cancelled."""


Job = Callable[[], None]


class Waitable(Protocol):
    """An event that can be waited for, such as `threading.Event`."""

    def wait(self) -> object: ...


class Cancellable(Protocol):
    """A thread or a timer."""

    def cancel(self) -> object: ...


def spawn(function: Callable[..., None], *arguments: Any) -> Cancellable:
    """Run a function in a thread. It ends by itself, because what it waits for is closed with the cache."""
    if sys.is_finalizing():  # no thread can start any more
        return _Timer()
    threading.Thread(target=function, args=arguments, daemon=True, name="redis-sessions").start()
    return _Timer()


def is_being_cancelled() -> bool:
    """Return whether the present task was cancelled. A thread never is."""
    return False


def result_of(value: Any) -> Any:
    """Return what a function of a caller returned. Raises TypeError for a coroutine, which no thread can await."""
    if inspect.iscoroutine(value):
        value.close()
        raise TypeError("the function is async: give it to an AsyncSessionCache")
    return value


class _Timer:
    """A function that runs at some time, unless it is cancelled before."""

    def __init__(self, function: Callable[[], None] | None = None) -> None:
        self.function = function

    def cancel(self) -> None:
        self.function = None


class _TimerThread:
    """One thread that starts the timers that are due. Each runs in a thread of its own, so that a slow one delays no other."""

    def __init__(self) -> None:
        self._reset()
        os.register_at_fork(after_in_child=self._reset)  # a forked process has none of its parent's threads

    def _reset(self) -> None:
        self._timers: list[tuple[float, int, _Timer]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._is_running = False

    def later(self, seconds: float, function: Callable[..., None], *arguments: Any) -> Cancellable:
        """Run a function in a thread after some seconds, unless the result is cancelled before."""
        timer = _Timer(partial(function, *arguments) if arguments else function)
        at = time.monotonic() + seconds
        with self._changed:
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=self._run, daemon=True, name="redis-sessions timers").start()
            if not self._timers or at < self._timers[0][0]:
                self._changed.notify()
            heapq.heappush(self._timers, (at, next(self._numbers), timer))
            if len(self._timers) % 1024 == 0:  # cancelled timers must not pile up until they would be due
                self._timers = [one for one in self._timers if one[2].function is not None]
                heapq.heapify(self._timers)
        return timer

    def _run(self) -> None:
        with self._changed:
            while True:
                left = self._timers[0][0] - time.monotonic() if self._timers else None
                if left is None or left > 0:
                    self._changed.wait(left)
                    continue
                timer = heapq.heappop(self._timers)[2]
                try:
                    if timer.function is not None:
                        spawn(timer.function)
                except RuntimeError:  # the process can start no more threads now
                    heapq.heappush(self._timers, (time.monotonic() + 0.1, next(self._numbers), timer))
                    self._changed.wait(0.1)


later = _TimerThread().later


class Queue(Generic[T]):
    """A queue with one reader, whose `get` has a time limit."""

    def __init__(self) -> None:
        self._items: queue.SimpleQueue[T] = queue.SimpleQueue()
        self.put = self._items.put

    def __len__(self) -> int:
        return self._items.qsize()

    def clear(self) -> None:
        """Remove all items."""
        with suppress(queue.Empty):
            while True:
                self._items.get_nowait()

    def get(self, timeout: float) -> T | None:
        """Return the next item, or None when there is none for `timeout` seconds."""
        try:
            return self._items.get(timeout=max(timeout, 0))
        except queue.Empty:
            return None


def while_used(method: Job) -> Job:
    """Return a function that calls a bound method, or does nothing once the method's object was dropped."""
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
    """In the block SIGTERM and SIGINT call `stop`, on a main thread. Several blocks at once are all called."""
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
