"""Background work of asyncio: tasks, timers, events, queues, signals. `_sync` has the same names for threads, by hand."""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import Any, Generic, Protocol, TypeVar
from weakref import WeakMethod

from ..._signals import stop_on_signals
from ...errors import InvalidInput

T = TypeVar("T")
Cancelled = asyncio.CancelledError
"""Raised in a task that was cancelled. Threads cannot be cancelled."""
Job = Callable[[], Coroutine[Any, Any, None]]
_tasks: dict[asyncio.AbstractEventLoop, set[asyncio.Task[Any]]] = {}
"""Background tasks, because a loop holds its tasks only weakly."""


class Cancellable(Protocol):
    """A task or a timer."""

    def cancel(self) -> object: ...


class Waitable(Protocol):
    """An event that can be awaited, such as `asyncio.Event`."""

    async def wait(self) -> object: ...


def spawn(function: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> asyncio.Task[T]:
    """Run a function in the background."""
    loop = asyncio.get_running_loop()
    tasks = _tasks.get(loop)
    if tasks is None:
        _forget_closed_loops()
        tasks = _tasks[loop] = set()
    task = loop.create_task(function(*arguments))
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    return task


def try_spawn(function: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> asyncio.Task[None] | None:
    """Run a function in the background. Threads can fail to start, tasks cannot."""
    return spawn(function, *arguments)


def _forget_closed_loops() -> None:
    for loop in [one for one in list(_tasks) if one.is_closed()]:
        for task in _tasks.pop(loop, ()):
            _forget(task)


def _forget(task: asyncio.Task[Any]) -> None:
    """End the coroutine of a task whose loop was closed, so that nothing is logged when the task is collected."""
    if not task.done():
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        with suppress(Exception):  # it awaits something in a `finally`, or a library makes an error of its end
            task.get_coro().close()


def call_in(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *arguments: Any) -> None:
    """Call a function in an event loop that another thread may run. At once if no other thread runs the loop."""
    if asyncio._get_running_loop() is loop or not loop.is_running():
        function(*arguments)
    else:
        with suppress(RuntimeError):  # closed since
            loop.call_soon_threadsafe(function, *arguments)


def run_at_once(function: Job) -> None:
    """Run a function that awaits nothing. From any thread, without an event loop."""
    with suppress(StopIteration):
        function().send(None)


def cancel(task: asyncio.Task[Any]) -> None:
    """Cancel a background task. From any thread, also after the event loop ended."""
    if task.get_loop().is_closed():
        _forget(task)
    else:
        call_in(task.get_loop(), task.cancel)


def is_being_cancelled() -> bool:
    """Return whether the present task is being cancelled. The error of another task that was cancelled does not count."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def current() -> asyncio.Task[Any] | None:
    """Return the present task."""
    return asyncio.current_task()


def is_stop(problem: BaseException, parent: asyncio.Task[Any] | None) -> bool:
    """Return whether an error of a caller's function stops the event loop, or the parent of the present task, too.

    A task that cancelled itself stops nothing else. The end of an event loop cancels all tasks.
    """
    if not isinstance(problem, Cancelled):
        return isinstance(problem, KeyboardInterrupt)
    return is_being_stopped(parent)


def is_being_stopped(parent: asyncio.Task[Any] | None) -> bool:
    """Return whether the present task is being cancelled together with its parent, or with the event loop."""
    return is_being_cancelled() and (parent is None or parent.done() or parent.cancelling() > 0)


def check_event(event: Waitable, name: str) -> None:
    """Raise InvalidInput unless an event can be awaited. A `threading.Event` would block the event loop."""
    if not inspect.iscoroutinefunction(getattr(event, "wait", None)):
        raise InvalidInput(
            name=name, detail=f"must be an event that can be awaited, such as asyncio.Event, got {event!r:.80}"
        )


async def result_of(value: Any) -> Any:
    """Return what a function of a caller returned, or what it returns when it is awaited."""
    return await value if inspect.isawaitable(value) else value


def later(seconds: float, function: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> Cancellable:
    """Run a function in the background after some seconds, unless the result is cancelled before."""
    return asyncio.get_running_loop().call_later(seconds, spawn, function, *arguments)


class Event:
    """An event that tasks of several event loops can wait for, and that any thread can set."""

    def __init__(self) -> None:
        self._is_set = False
        self._waiting: set[asyncio.Future[None]] = set()

    def is_set(self) -> bool:
        """Return whether the event is set."""
        return self._is_set

    def set(self) -> None:
        """Wake all that wait."""
        self._is_set = True
        for future in list(self._waiting):
            call_in(future.get_loop(), _resolve, future)

    def clear(self) -> None:
        """Let later calls of `wait` wait."""
        self._is_set = False

    async def wait(self, timeout: float | None = None) -> bool:
        """Return whether the event was set within `timeout` seconds."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            if not self._is_set:  # checked last, because another thread may set the event now
                async with asyncio.timeout(timeout):
                    await future
        except TimeoutError:
            return False
        finally:
            self._waiting.discard(future)
        return True


class StopEvent(Event):
    """The event that tells a handler to stop."""

    @property
    def was_seen(self) -> bool:
        """True if the handler knows that it is set: it is cancelled in the same step."""
        return self._is_set


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done() and not future.get_loop().is_closed():
        future.set_result(None)


class Queue(Generic[T]):
    """A queue with one reader, whose `get` has a time limit. Any thread can put."""

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._arrival: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> None:
        """Add an item."""
        self._items.append(item)
        arrival = self._arrival
        if arrival is not None:
            call_in(arrival.get_loop(), _resolve, arrival)

    def clear(self) -> None:
        """Remove all items."""
        self._items.clear()

    async def get(self, timeout: float) -> T | None:
        """Return the next item, or None when there is none for `timeout` seconds."""
        if not self._items:
            loop = asyncio.get_running_loop()
            self._arrival = loop.create_future()
            timer = loop.call_later(timeout, _resolve, self._arrival)
            try:
                if not self._items:  # checked last, because another thread may put an item now
                    await self._arrival
            finally:
                timer.cancel()
                self._arrival = None
        return self._items.popleft() if self._items else None


def while_used(method: Job) -> Job:
    """Return a function that calls a bound method, or does nothing once the method's object was dropped."""
    found = WeakMethod(method)

    async def run() -> None:
        method = found()
        if method is not None:
            await method()

    return run


def signals(stop: Callable[[], None]) -> AbstractContextManager[None]:
    """In the block SIGTERM and SIGINT call `stop` in the event loop. See `stop_on_signals`."""
    return stop_on_signals(partial(asyncio.get_running_loop().call_soon_threadsafe, stop))
