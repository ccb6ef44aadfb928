"""The differences between asyncio and threads, under the same names on both sides. Written by hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable
from concurrent.futures import Future
from copy import copy
from typing import Any, Generic, TypeVar

from ..._core.protocol.transport_errors import ConnectFailed, TimeOver
from ...errors import InvalidInput
from . import tasks

T = TypeVar("T")
Lock = asyncio.Lock
ReentrantLock = asyncio.Lock
"""For threads: a lock that a signal handler of its holder can take, too."""
sleep = asyncio.sleep

ASYNC = True
Lines = Iterable[str | bytes] | AsyncIterable[str | bytes]


class MappingAccess:
    """Nothing: subscripts cannot be awaited. The sync state has them."""


async def each(lines: Lines) -> AsyncIterator[str | bytes]:
    """Yield lines from a plain or an async iterable. Raises InvalidInput for text, which is one line and not many."""
    if isinstance(lines, str | bytes) or not isinstance(lines, Iterable | AsyncIterable):
        raise InvalidInput(
            name="lines", detail=f"must be an iterable of lines, such as an open file, got a {type(lines).__name__}"
        )
    if isinstance(lines, AsyncIterable):
        async for line in lines:
            yield line
    else:
        for line in lines:
            yield line


async def wait_future(future: Future[T], timeout: float) -> T:
    """Return the result of a function that runs in a thread. Raises its error, or TimeoutError after some seconds."""
    try:
        return await asyncio.wait_for(asyncio.wrap_future(future), timeout)
    except TimeoutError:
        raise TimeoutError(f"no answer for {timeout:.1f} s") from None


async def run_blocking(function: Callable[[], None]) -> None:
    """Run a function that blocks in a thread, and return when the function has returned. Raises its error."""
    await asyncio.to_thread(function)


class SharedAttempt(Generic[T]):
    """An attempt that all callers of the moment share, with its result or its failure."""

    def __init__(self, timeout: float) -> None:
        """`timeout`: bounds an attempt, in seconds."""
        self._timeout = timeout
        self._task: asyncio.Task[T] | None = None

    async def join(self, function: Callable[[float], Coroutine[Any, Any, T]], due: float) -> T:
        """Return the result of the attempt that runs, or of a new one. Raises its error, or ConnectFailed after `due`.

        Args:
            function: makes the attempt. Its argument is the time at which the attempt must be over.
            due: how long this caller waits, by `time.monotonic`.
        """
        task, now = self._task, time.monotonic()
        if task is None or task.done():
            task = self._task = tasks.spawn(function, max(due, now + self._timeout))
            task.add_done_callback(_take_note)
        await asyncio.wait([task], timeout=max(due - now, 0))
        if not task.done():
            raise TimeOver("the time was over before a connection could be made")
        if task.cancelled():
            raise ConnectFailed("the attempt to connect was cancelled")
        problem = task.exception()
        if problem is not None:
            raise copy(problem)  # the error itself would hold the variables of all callers
        return task.result()


def _take_note(task: asyncio.Task[Any]) -> None:
    """Look at the error of a task, because asyncio logs errors that nothing looked at."""
    if not task.cancelled():
        task.exception()
