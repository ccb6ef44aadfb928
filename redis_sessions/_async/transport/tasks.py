"""Background work of asyncio: tasks, timers, events, queues, signals. `_sync` has the same names for threads, by hand."""

from __future__ import annotations

import asyncio
import inspect
import signal
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Generic, Protocol, TypeVar
from weakref import WeakMethod

T = TypeVar("T")
Cancelled = asyncio.CancelledError
"""Raised in a task that was cancelled. Threads cannot be cancelled."""
Job = Callable[[], Coroutine[Any, Any, None]]
_tasks: set[asyncio.Task[None]] = set()


class Cancellable(Protocol):
    """A task or a timer."""

    def cancel(self) -> object: ...


class Waitable(Protocol):
    """An event that can be awaited, such as `asyncio.Event`."""

    async def wait(self) -> object: ...


def spawn(function: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> asyncio.Task[None]:
    """Run a function in the background."""
    task = asyncio.get_running_loop().create_task(function(*arguments))
    _tasks.add(task)  # the loop holds only a weak reference
    task.add_done_callback(_tasks.discard)
    return task


def is_being_cancelled() -> bool:
    """Return whether the present task is being cancelled. The error of another task that was cancelled does not count."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def result_of(value: Any) -> Any:
    """Return what a function of a caller returned, or what it returns when it is awaited."""
    return await value if inspect.isawaitable(value) else value


def later(seconds: float, function: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> Cancellable:
    """Run a function in the background after some seconds, unless the result is cancelled before."""
    return asyncio.get_running_loop().call_later(seconds, spawn, function, *arguments)


class Event(asyncio.Event):
    """An event whose wait can have a time limit."""

    async def wait(self, timeout: float | None = None) -> bool:  # type: ignore[override]
        """Return whether the event was set within `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await super().wait()
        except TimeoutError:
            return False
        return True


class Queue(Generic[T]):
    """A queue with one reader, whose `get` has a time limit."""

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._arrival: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> None:
        """Add an item."""
        self._items.append(item)
        self._wake()

    def clear(self) -> None:
        """Remove all items."""
        self._items.clear()

    async def get(self, timeout: float) -> T | None:
        """Return the next item, or None when there is none for `timeout` seconds."""
        if not self._items:
            loop = asyncio.get_running_loop()
            self._arrival = loop.create_future()
            timer = loop.call_later(timeout, self._wake)
            try:
                await self._arrival
            finally:
                timer.cancel()
        return self._items.popleft() if self._items else None

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)


def while_used(method: Job) -> Job:
    """Return a function that calls a bound method, or does nothing once the method's object was dropped."""
    found = WeakMethod(method)

    async def run() -> None:
        method = found()
        if method is not None:
            await method()

    return run


_stops: list[Callable[[], None]] = []


def _stop_all() -> None:
    for stop in list(_stops):
        stop()


@contextmanager
def signals(stop: Callable[[], None]) -> Iterator[None]:
    """In the block SIGTERM and SIGINT call `stop`, on a main thread. Several blocks at once are all called."""
    loop = asyncio.get_running_loop()
    _stops.append(stop)
    for number in (signal.SIGTERM, signal.SIGINT):
        # Windows has no such handlers, and only a main thread may set them.
        with suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, _stop_all)
    try:
        yield
    finally:
        _stops.remove(stop)
        if not _stops:
            for number in (signal.SIGTERM, signal.SIGINT):
                with suppress(NotImplementedError, RuntimeError, ValueError):
                    loop.remove_signal_handler(number)
