# Generated from _async/api/fleet_monitor.py by tools/mirror.py; edit that file.
"""A monitor of a fleet: its sessions, agents, workers and servers, and its problems."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from ..._core.commands.fleet_view import FleetCounts, FleetView
from ..._durations import moment_of
from ..._pickling import NotPicklable
from ...models.fleet import Fleet
from ...models.workers import WorkerInfo
from ..services.context import CacheContext
from ..services.fleet_reader import FleetReader
from ..transport import primitives

_MAX_HELD = 200
"""Sessions of workers that are read each time, those of dead workers first."""
_MAX_UNMET = 400
"""Sessions that the last sweeps did not meet, which are read by their IDs each time."""
_MAX_CHECKED = 50
"""Sessions that failed, which are read again each time, because they may be deleted or retried."""


class FleetMonitor(NotPicklable):
    """Reads a fleet part by part, and keeps what it read. From `cache.monitor()`.

    One monitor serves any number of viewers of a process: let one task call `read` every one or two seconds, and show `latest`.
    Nothing is stored on the server, so a fleet without a monitor pays nothing.
    """

    _instead = "call `monitor` of a cache there"

    def __init__(self, context: CacheContext, max_sessions: int, stuck_after: timedelta) -> None:
        self._reader = FleetReader(context)
        self._view = FleetView(context.namespace, max_sessions, stuck_after)
        self._max_sessions = max_sessions
        self._reading = primitives.Lock()
        self._swept = 0
        self._latest: Fleet | None = None

    @property
    def latest(self) -> Fleet | None:
        """The result of the last read, None before the first one."""
        return self._latest

    def read(self) -> Fleet:
        """Read the next part, and return the fleet as it is known now.

        A part is at most 800 active sessions: those that changed last, those that workers hold, and the next ones of the
        others. In a fleet of 10,000 each session is so read every seventeenth time. A session that moves in front of the next
        part is read by its ID after two rounds. `is_complete` says whether each was read.
        Runs that ended are read once each, about 2 s after their end, at most 1,000 a call.

        Raises:
            StoreUnavailable: a server did not answer. `latest` stays.
            SchemaMismatch: the namespace has another schema.

        Cost: about 17 round trips, and some 10 ms of the server's time for 800 sessions. Calls at the same time come one after
        the other.
        """
        with self._reading:
            workers = self._advance()
            return self._build(workers)

    def read_all(self) -> Fleet:
        """Read all parts, at most `max_sessions` sessions, and return the fleet. As `read`, with its cost for each part."""
        with self._reading:
            workers = self._advance()
            while self._swept:
                workers = self._advance()
            return self._build(workers)

    def _advance(self) -> Sequence[WorkerInfo]:
        workers = self._reader.workers()
        held = [id for one in sorted(workers, key=lambda one: one.is_alive) for id in one.holding]
        part = self._reader.active_part([*held[:_MAX_HELD], *self._view.unmet(_MAX_UNMET)])
        now = moment_of(part.now_us)
        self._view.note_active(part.rows, now)
        self._view.note_passed(part.passed)
        self._swept += part.swept
        if part.is_last or self._swept >= self._max_sessions:
            self._reader.restart()
            self._view.end_sweep(is_whole=part.is_last)
            self._swept = 0
        # A worker that was killed right after the end of its run leaves the session in the index of active ones for some time.
        late = [row for _, row in part.rows if row is not None and row.session.finished_at is not None]
        self._reader.repair_later(row.session.id for row in late)
        self._view.note_ended([*late, *self._reader.ended_part()], now)
        self._view.note_failed(self._reader.rows_of(self._view.failed_to_check(_MAX_CHECKED)))
        return workers

    def _build(self, workers: Sequence[WorkerInfo]) -> Fleet:
        active, ended = self._reader.counts()
        queues, servers = self._reader.queues(), self._reader.servers()
        counts = FleetCounts(active, ended, queues, workers, servers)
        self._latest = self._view.build(counts, moment_of(self._reader.server_time()))
        return self._latest
