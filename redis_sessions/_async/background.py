"""What runs beside the caller, and how it is told: tasks and timers here, threads on the other side.

Hand-written on both sides under the same names, like `io`.
"""

from __future__ import annotations

import asyncio
import signal
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Generic, Protocol, TypeVar
from weakref import WeakMethod

T = TypeVar("T")
Job = Callable[[], Coroutine[Any, Any, None]]
_tasks: set[asyncio.Task[None]] = set()


class Cancellable(Protocol):
    """Something that runs in the background, or will."""

    def cancel(self) -> object: ...


def spawn(function: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> asyncio.Task[None]:
    """Runs a function in the background."""
    task = asyncio.get_running_loop().create_task(function(*arguments))
    _tasks.add(task)  # the loop itself does not keep it
    task.add_done_callback(_tasks.discard)
    return task


def later(seconds: float, function: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> Cancellable:
    """Runs a function in the background after a while, unless that is cancelled before."""
    return asyncio.get_running_loop().call_later(seconds, spawn, function, *arguments)


class Waitable(Protocol):
    """Something that will happen: any `asyncio.Event`."""

    async def wait(self) -> object: ...


class Event(asyncio.Event):
    """Something that happens once, for all who wait for it."""

    async def wait(self, timeout: float | None = None) -> bool:  # type: ignore[override]
        """Whether it happened within `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await super().wait()
        except TimeoutError:
            return False
        return True


class Mailbox(Generic[T]):
    """What one waiter is told, in order."""

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._arrival: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> None:
        self._items.append(item)
        self._notify()

    def clear(self) -> None:
        self._items.clear()

    async def get(self, timeout: float) -> T | None:
        """The next item, or None when there is none for so long."""
        if not self._items:
            loop = asyncio.get_running_loop()
            self._arrival = loop.create_future()
            timer = loop.call_later(timeout, self._notify)
            try:
                await self._arrival
            finally:
                timer.cancel()
        return self._items.popleft() if self._items else None

    def _notify(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)


def while_used(method: Job) -> Job:
    """The method, as long as somebody has its object: what was dropped with its task is left alone."""
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
    """In its block SIGTERM and SIGINT call a function, where they can: on a main thread. Of several blocks, all are called."""
    loop = asyncio.get_running_loop()
    _stops.append(stop)
    for number in (signal.SIGTERM, signal.SIGINT):
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
