"""Background work of threads: threads, timers, events, queues, signals. `_async` has the same names for asyncio, by hand."""

from __future__ import annotations

import heapq
import inspect
import itertools
import queue
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Generic, Protocol, TypeVar
from weakref import WeakMethod

from ..._fork import run_in_child
from ..._signals import stop_on_signals
from ...errors import InvalidInput

Event = threading.Event
signals = stop_on_signals
T = TypeVar("T")


class StopEvent(threading.Event):
    """The event that tells a handler to stop."""

    was_seen = False
    """True if the handler found that it is set."""

    def is_set(self) -> bool:
        """Return whether the event is set."""
        self.was_seen = super().is_set()
        return self.was_seen

    def wait(self, timeout: float | None = None) -> bool:
        """Return whether the event was set within `timeout` seconds."""
        self.was_seen = super().wait(timeout)
        return self.was_seen


class Cancelled(BaseException):
    """Never raised, because a thread cannot be cancelled."""


Job = Callable[[], None]
_RETRY_SECONDS = 0.1
"""The pause before another try to start a thread."""


class Waitable(Protocol):
    """An event that can be waited for, such as `threading.Event`."""

    def wait(self) -> object: ...


class Cancellable(Protocol):
    """A thread or a timer."""

    def cancel(self) -> object: ...


def spawn(function: Callable[..., None], *arguments: Any) -> Cancellable:
    """Run a function in a thread. It ends by itself, because what it waits for is closed with the cache.

    If the process can start no more threads now, the function runs as soon as a thread can start.
    """
    started = try_spawn(function, *arguments)
    return later(_RETRY_SECONDS, function, *arguments) if started is None else started


def try_spawn(function: Callable[..., None], *arguments: Any) -> Cancellable | None:
    """Run a function in a thread. Return None if the process can start no more threads now, or is ending."""
    thread = threading.Thread(target=function, args=arguments, daemon=True, name="redis-sessions")
    return _Timer() if _has_started(thread) else None


def _has_started(thread: threading.Thread) -> bool:
    try:
        if not sys.is_finalizing():
            thread.start()
            return True
    except RuntimeError:  # can't start new thread
        pass
    return False


def run_at_once(function: Job) -> None:
    """Run a function."""
    function()


def cancel(task: Cancellable) -> None:
    """Cancel background work. A thread that has started goes on until what it waits for is closed."""
    task.cancel()


def current() -> threading.Thread:
    """Return the present thread."""
    return threading.current_thread()


def is_stop(problem: BaseException, parent: threading.Thread) -> bool:
    """Return False: no error of a handler stops its worker, because signals reach the main thread only."""
    return False


def is_being_stopped(parent: threading.Thread) -> bool:
    """Return False, because a thread cannot be cancelled."""
    return False


def check_event(event: Waitable, name: str) -> None:
    """Raise InvalidInput unless a thread can wait for an event. An `asyncio.Event` would count as set at once."""
    wait = getattr(event, "wait", None)
    if not callable(wait) or inspect.iscoroutinefunction(wait):
        detail = f"must be an event that a thread can wait for, such as threading.Event, got {event!r:.80}"
        raise InvalidInput(name=name, detail=detail)


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
        run_in_child(self._reset)  # a forked process has none of its parent's threads

    def _reset(self) -> None:
        self._timers: list[tuple[float, int, _Timer]] = []
        self._numbers = itertools.count()
        self._lock = threading.RLock()  # a signal handler may use the cache, too
        self._changed: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._is_running = False

    def later(self, seconds: float, function: Callable[..., None], *arguments: Any) -> Cancellable:
        """Run a function in a thread after some seconds, unless the result is cancelled before.

        If the process can start no more threads now, the next timer tries again to start the thread.
        """
        timer = _Timer(partial(function, *arguments) if arguments else function)
        at = time.monotonic() + seconds
        with self._lock:
            is_first = not self._timers or at < self._timers[0][0]
            heapq.heappush(self._timers, (at, next(self._numbers), timer))
            if len(self._timers) % 1024 == 0:  # cancelled timers must not pile up until they would be due
                self._timers = [one for one in self._timers if one[2].function is not None]
                heapq.heapify(self._timers)
            if not self._is_running:
                _has_started(threading.Thread(target=self._run, daemon=True, name="redis-sessions timers"))
        if is_first:
            self._changed.put(None)
        return timer

    def _run(self) -> None:
        with self._lock:
            if self._is_running:
                return
            self._is_running = True  # here, because a signal handler may interrupt the start of this thread
        while True:
            with self._lock:
                now = time.monotonic()
                left = self._timers[0][0] - now if self._timers else None
                timer = heapq.heappop(self._timers)[2] if left is not None and left <= 0 else None
            if timer is None:
                with suppress(queue.Empty):
                    self._changed.get(timeout=left)
            elif timer.function is not None and try_spawn(timer.function) is None:
                with self._lock:
                    heapq.heappush(self._timers, (now + _RETRY_SECONDS, next(self._numbers), timer))


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
