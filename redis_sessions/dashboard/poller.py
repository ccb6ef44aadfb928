"""The one reader of the fleet of a process, which serves any number of viewers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Protocol

from .._core.commands.watch_pace import STOP_SECONDS, Stoppable
from ..errors import SessionsError
from ..models.fleet import Fleet

_log = logging.getLogger("redis_sessions.dashboard")
WATCHED_PACE = 2.0
"""Seconds between two reads while a page is open."""
IDLE_PACE = 15.0
"""Seconds between two reads while no page is open, so that the charts have a last hour."""

_LEAST_PACE = 0.1
_LEAST_TTL, _DEATH = 2.0, 1.05
"""A worker that is silent for its ttl, at least the first, and the second more, counts as dead. In seconds."""


class Monitor(Protocol):
    """The read model of a fleet."""

    def read(self) -> Awaitable[Fleet]:
        """Read the fleet."""


class FleetPoller:
    """Reads the fleet in the background of the event loop, and wakes the viewers after each read."""

    def __init__(self, monitor: Monitor, where: str, stop: Stoppable | None = None) -> None:
        """Take the monitor of a fleet, the name of its server, and the event that ends all streams. Nothing is read yet."""
        self._monitor = monitor
        self._stop = stop
        self.where = where
        self.fleet: Fleet | None = None
        """The fleet as it was read last."""
        self.problem = ""
        """Why the last read failed. '' if it succeeded."""
        self.down_since: datetime | None = None
        """The time of the first of the reads that failed, by the clock of this machine (UTC)."""
        self.tick = 0
        """The number of reads, failed ones included."""
        self.viewers = 0
        """Open pages."""
        self._task: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._read_at = 0.0
        self._tried_at = 0.0
        self._wakes: set[asyncio.Event] = set()
        self._is_viewed = asyncio.Event()
        self.is_closed = False

    def start(self) -> None:
        """Begin to read in the running event loop, unless the poller does so already."""
        loop = asyncio.get_running_loop()
        if self._task is not None and not self._task.done() and self._task.get_loop() is loop:
            return
        self._is_viewed = asyncio.Event()
        self._wakes = set()
        self.viewers = 0
        self.is_closed = False
        self._task = loop.create_task(self._run())
        if self._stop is not None:
            self._stopping = loop.create_task(self._end_when_stopped(self._stop))

    async def close(self) -> None:
        """End the reads and all streams."""
        self.end_streams()
        for task in (self._task, self._stopping):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        self._task = self._stopping = None

    def end_streams(self) -> None:
        """Let all streams end, because the process stops."""
        self.is_closed = True
        self._wake_all()

    def now(self) -> datetime:
        """Return the time of the server. Between two reads at the pace of viewers the time stands still."""
        if self.fleet is None:
            return datetime.now(UTC)
        age = monotonic() - self._read_at if self._read_at else 0.0
        return self.fleet.read_at + (timedelta(seconds=age) if age > WATCHED_PACE + 1 else timedelta(0))

    async def first(self, patience: float) -> None:
        """Return after the first read, or after `patience` seconds."""
        self.start()
        if self.tick == 0:
            await self.changed(0, patience)

    async def changed(self, tick: int, patience: float) -> int:
        """Return the number of reads as soon as it is not `tick`, or after `patience` seconds."""
        wake = asyncio.Event()
        self._wakes.add(wake)
        try:
            if self.tick == tick and not self.is_closed:
                with suppress(TimeoutError):
                    await asyncio.wait_for(wake.wait(), patience)
        finally:
            self._wakes.discard(wake)
        return self.tick

    @asynccontextmanager
    async def viewing(self) -> AsyncIterator[None]:
        """Read at the pace of viewers as long as the block runs."""
        self.start()
        self.viewers += 1
        self._is_viewed.set()
        try:
            yield
        finally:
            self.viewers -= 1
            if self.viewers <= 0:
                self._is_viewed.clear()

    async def _end_when_stopped(self, stop: Stoppable) -> None:
        while not stop.is_set():  # noqa: ASYNC110 -- it can be an event of threads
            await asyncio.sleep(STOP_SECONDS)
        self.end_streams()

    async def _run(self) -> None:
        while True:
            await self._read()
            self.tick += 1
            self._wake_all()
            await self._pause()

    async def _read(self) -> None:
        try:
            self.fleet = await self._monitor.read()
        except SessionsError as problem:
            self._fail(str(problem))
        except Exception as problem:
            if not self.problem:
                _log.exception("the fleet cannot be read")
            self._fail(f"the fleet cannot be read ({type(problem).__name__}): the log of the dashboard has the details")
        else:
            if self.problem:
                _log.warning("%s can be read again", self.where)
            self.problem, self.down_since = "", None
            self._read_at = monotonic()
        self._tried_at = monotonic()

    def _fail(self, problem: str) -> None:
        if not self.problem:
            self.down_since = datetime.now(UTC)
            _log.warning("%s cannot be read: %s", self.where, problem)
        self.problem = problem

    async def _pause(self) -> None:
        """Wait until the next read is due: at once when a first viewer comes and the last read is old."""
        if not self.viewers:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_viewed.wait(), IDLE_PACE)
        if self.viewers:
            await asyncio.sleep(max(self._tried_at + self._pace() - monotonic(), _LEAST_PACE))

    def _pace(self) -> float:
        """Return the seconds until the next read: less than usual if a silent worker counts as dead before."""
        if self.fleet is None or self.problem:
            return WATCHED_PACE
        alive = [one for one in self.fleet.workers if one.is_alive]
        due = [max(one.ttl.total_seconds(), _LEAST_TTL) + _DEATH - one.silent_for.total_seconds() for one in alive]
        return min([WATCHED_PACE, *due])

    def _wake_all(self) -> None:
        for wake in self._wakes:
            wake.set()
