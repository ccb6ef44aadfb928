"""The thread that renews leases, so that a busy event loop cannot starve them. `_sync` has the same names, by hand.

A process has one such thread. It has an event loop of its own, and connections of its own, because those of a cache belong to
the event loop of the cache. The thread starts with the first lease. Until a lease is due, it costs an entry in a list.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import os
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from ..._core.protocol.call import Call
from ..._fork import run_in_child
from ..._log_events import LOOP_BLOCKED, RENEWALS_DELAYED, error_facts
from ...errors import InvalidInput
from . import tasks
from .executor import Executor

T = TypeVar("T")
_MAX_CANCELLED = 1024
"""Cancelled timers that may wait for their time before they are removed."""


class _Timer:
    """A job that runs in the thread at some time, unless it is cancelled before."""

    def __init__(self, job: tasks.Job) -> None:
        self.job: tasks.Job | None = job

    def cancel(self) -> None:
        self.job = None


class _RenewalThread:
    """The thread, its event loop, and its timers. The timers are a heap, so that a new one need not wake the thread."""

    def __init__(self) -> None:
        self._former: list[Any] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reset()
        run_in_child(self._reset)

    def _reset(self) -> None:
        self._former.append(self._loop)  # its end would close what the parent process uses
        self._loop = None
        self._lock = threading.Lock()
        self._timers: list[tuple[float, int, _Timer]] = []
        self._numbers = itertools.count()
        self._wakes_at = math.inf
        self._alarm: asyncio.TimerHandle | None = None

    def later(self, seconds: float, job: tasks.Job) -> tasks.Cancellable:
        """Run a job in the thread after some seconds, unless the result is cancelled before. From any thread."""
        timer, at = _Timer(job), time.monotonic() + seconds
        with self._lock:
            heapq.heappush(self._timers, (at, next(self._numbers), timer))
            if len(self._timers) % _MAX_CANCELLED == 0:
                self._timers = [one for one in self._timers if one[2].job is not None]
                heapq.heapify(self._timers)
            loop = self._loop or self._start()
            is_first = loop is not None and at < self._wakes_at
            if is_first:
                self._wakes_at = at
        if loop is not None and is_first:
            loop.call_soon_threadsafe(self._run_due)
        return timer

    def _start(self) -> asyncio.AbstractEventLoop | None:
        """Start the thread. If the process can start no more threads now, the next timer tries again."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True, name="redis-sessions leases")
        try:
            thread.start()
        except RuntimeError as problem:
            loop.close()
            RENEWALS_DELAYED.log("leases are not renewed until a thread can start: %s", problem, **error_facts(problem))
            return None
        self._loop = loop
        return loop

    def _run_due(self) -> None:
        due, now = [], time.monotonic()
        with self._lock:
            while self._timers and (self._timers[0][0] <= now or self._timers[0][2].job is None):
                due.append(heapq.heappop(self._timers)[2])
            self._wakes_at = self._timers[0][0] if self._timers else math.inf
        if self._alarm is not None:
            self._alarm.cancel()
        if self._wakes_at < math.inf and self._loop is not None:
            self._alarm = self._loop.call_later(self._wakes_at - now, self._run_due)
        for timer in due:
            if timer.job is not None:
                tasks.spawn(timer.job)


_thread = _RenewalThread()
later = _thread.later


class LeaseLoop:
    """The event loop that a lease belongs to, for calls from the thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    @property
    def is_closed(self) -> bool:
        """True if the event loop is closed, so that no lease of it can be used."""
        return self._loop.is_closed()

    def call(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call a function in the event loop: at once if the loop runs the caller. If the loop is closed, do nothing."""
        if asyncio._get_running_loop() is self._loop:
            function(*arguments)
            return
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            if not self._loop.is_closed():
                raise


class RenewalConnections:
    """The connections by which the thread renews the leases of one cache. They open with the first renewal."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._twin: Executor | None = None
        self._pid = os.getpid()
        self._former: list[Executor | None] = []
        self._is_closed = False
        self._asked_at: float | None = None
        self._has_warned = False

    async def run(self, call: Call[T]) -> T:
        """Return the result of a call. Only in the thread."""
        if self._is_closed:
            raise InvalidInput(name="cache", detail="the cache is closed")
        if self._pid != os.getpid():
            self._former.append(self._twin)  # its end would close what the parent process uses
            self._pid, self._twin = os.getpid(), None
        if self._twin is None:
            self._twin = self._executor.twin()
        return await self._twin.run(call)

    def check_loop(self, home: LeaseLoop, ttl_ms: int) -> None:
        """Log a warning, once, when the event loop of the cache does not answer for more than half a ttl."""
        if self._asked_at is None and not self._has_warned:
            self._asked_at = time.monotonic()
            home.call(self._hear_loop, ttl_ms / 1000)

    def _hear_loop(self, ttl: float) -> None:
        blocked = time.monotonic() - (self._asked_at or 0)
        self._asked_at = None
        if blocked > ttl / 2 and not self._has_warned:
            self._has_warned = True
            LOOP_BLOCKED.log(
                "the event loop was blocked for at least %.1f s; leases of %.1f s are renewed by a thread, but nothing else"
                " ran: call blocking functions with asyncio.to_thread",
                blocked,
                ttl,
                blocked_s=blocked,
                ttl_s=ttl,
            )

    async def close(self) -> None:
        """Close the connections for good. Awaits nothing."""
        self._is_closed = True
        twin, self._twin = self._twin, None
        if twin is not None:
            await twin.close()
