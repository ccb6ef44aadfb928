"""The memory of a fleet monitor. Pure: rows and counts in, a Fleet out."""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from operator import attrgetter
from typing import NamedTuple

from ...models.fleet import AgentLoad, EndedRuns, Fleet, FleetProblem, FleetSample, FleetSession, ServerHealth
from ...models.trees import OPEN_STATUSES
from ...models.workers import WorkerInfo
from .fleet_problems import HOUR, Findings, find_problems
from .fleet_rows import FleetRow, RunEnd
from .run_queues import QueueLength

MAX_FAILED = 200
MAX_SPENDERS = 100
_SAMPLE_INTERVAL = timedelta(seconds=5)
_MAX_COUNTED = 50_000
"""Sessions with runs that ended, which are remembered for an hour, so that each end is counted once."""
_FAILED = ("failed", "timed_out")


class _Seen(NamedTuple):
    """An active session as it was read last, and its new messages a second."""

    row: FleetRow
    at: datetime
    sweep: int
    messages_per_second: float | None


class FleetCounts(NamedTuple):
    """The counts of one read, besides the sessions."""

    active: int
    ended: int
    queues: Mapping[str, QueueLength]
    workers: Sequence[WorkerInfo]
    servers: Sequence[ServerHealth]


class FleetView:
    """The sessions of a fleet as they were read, the ended ones of the last hour, and the samples of it."""

    def __init__(self, namespace: str, max_sessions: int, stuck_after: timedelta) -> None:
        self.namespace = namespace
        self.max_sessions = max_sessions
        self._stuck_after = stuck_after
        self._seen: dict[str, _Seen] = {}
        self._sweep = 0
        self._passed: set[str] = set()
        self._covered: int | None = None
        """The sessions that the sweep which has just ended accounts for, -1 if it did not come to the last one."""
        self._active_before: float = math.inf
        self._is_complete = False
        self._is_full = False
        self._began: datetime | None = None
        self._counted: dict[tuple[str, str], RunEnd] = {}
        """The last end that was counted, by session and incarnation."""
        self._failed: dict[str, FleetSession] = {}
        self._failures: dict[str, tuple[datetime, str | None]] = {}
        """The end and the agent of each session that failed in the last hour, also of those that `_failed` has no room for."""
        self._next_check = 0
        self._ended_runs: dict[str, EndedRuns] = {}
        self._samples: deque[FleetSample] = deque()
        self._ended_since_sample: list[FleetRow] = []
        self._ends_since_sample = 0
        self._first_seen: dict[tuple[str | None, ...], datetime] = {}

    def note_active(self, rows: Iterable[tuple[str, FleetRow | None]], now: datetime) -> None:
        """Take rows of sessions that their index lists as active. None for one that is gone or damaged."""
        self._begin(now)
        for id, row in rows:
            if row is None or row.session.status not in OPEN_STATUSES:
                self._seen.pop(id, None)
                continue
            self._count_ends(row, now)  # of a run that was retried
            before = self._seen.get(id)
            if before is None and len(self._seen) >= self.max_sessions:
                self._is_full = True
                continue
            self._seen[id] = _Seen(row, now, self._sweep, _rate(before, row, now))

    def note_passed(self, ids: Iterable[str]) -> None:
        """Take sessions that their index lists as active though they are gone, damaged or ended."""
        self._passed.update(ids)

    def unmet(self, limit: int) -> list[str]:
        """Return sessions that the last two sweeps did not meet: they are gone, or moved in front of the sweep."""
        return list(islice((id for id, one in self._seen.items() if one.sweep < self._sweep - 1), limit))

    def end_sweep(self, *, is_whole: bool) -> None:
        """Note the end of a sweep.

        Args:
            is_whole: the sweep came to the last active session.
        """
        self._covered = len(self._seen) + len(self._passed) if is_whole and not self._is_full else -1
        if self._covered < 0:  # no room for all: those that this sweep met are the newest
            self._seen = {id: one for id, one in self._seen.items() if one.sweep == self._sweep}
        self._passed, self._is_full = set(), False
        self._sweep += 1

    def note_ended(self, rows: Iterable[FleetRow], now: datetime) -> None:
        """Take rows of sessions that ended. Each end of a run counts once, and not if it was before the first call."""
        self._begin(now)
        for row in sorted(rows, key=lambda one: _finished(one.session)):
            session = row.session
            self._seen.pop(session.id, None)
            self._forget_failed(session.id)
            if session.finished_at is None or session.finished_at < now - HOUR:
                continue
            if session.status in _FAILED:
                self._failed[session.id] = session
                agent = session.agent_id if session.kind == "subagent" else None
                self._failures[session.id] = session.finished_at, agent
            if self._count_ends(row, now):
                self._ended_since_sample.append(row)
        self._forget_old(now)

    def failed_to_check(self, limit: int) -> list[str]:
        """Return the next sessions that failed, to be read again, each of them in turn."""
        first = self._next_check if self._next_check < len(self._failed) else 0
        self._next_check = first + limit
        return list(self._failed)[first : first + limit]

    def note_failed(self, rows: Iterable[tuple[str, FleetRow | None]]) -> None:
        """Take the rows of sessions that failed. Those that were deleted or retried are forgotten."""
        for id, row in rows:
            if row is None or row.session.status not in _FAILED:
                self._forget_failed(id)

    def _forget_failed(self, id: str) -> None:
        self._failed.pop(id, None)
        self._failures.pop(id, None)

    def _begin(self, now: datetime) -> None:
        """Take the time of the first call. Ends are stored in milliseconds: one in that millisecond is taken as earlier.

        The call takes its time at its beginning and then makes a dozen round trips, so what ends after it has a later one.
        """
        self._began = self._began or now.replace(microsecond=now.microsecond // 1000 * 1000)

    def _count_ends(self, row: FleetRow, now: datetime) -> bool:
        """Count the ends of a run that were not counted yet, and the attempts before them. Return whether there are some."""
        if not row.ends or self._began is None:
            return False
        key = (row.session.id, row.incarnation)
        counted = self._counted.pop(key, None)
        self._counted[key] = row.ends[-1]  # as the last one, because the oldest are forgotten first
        number, behind = 0 if counted is None else counted.number, max(self._began, now - HOUR)
        new = [one for one in row.ends if one.number > number and one.at > behind]
        for one in new:
            self._add(row, one.status)
            self._count_attempts(row, None if counted is None else counted.at, one.at)
            counted = one
        self._ends_since_sample += len(new)
        return bool(new)

    def _count_attempts(self, row: FleetRow, after: datetime | None, until: datetime) -> None:
        """Count the attempts between two ends of a run. An attempt with which a run ended has the time of that end."""
        for at, outcome in row.attempt_ends:
            if (after is None or at > after) and at <= until:
                self._add(row, f"{outcome}_attempts")

    def _add(self, row: FleetRow, name: str, number: int = 1) -> None:
        agent = row.work_agent or row.session.agent_id or ""
        known = self._ended_runs.get(agent) or EndedRuns(agent_id=agent)
        self._ended_runs[agent] = known.model_copy(update={name: getattr(known, name) + number})

    def _forget_old(self, now: datetime) -> None:
        while self._counted:
            oldest = next(iter(self._counted))
            if self._counted[oldest].at >= now - HOUR and len(self._counted) <= _MAX_COUNTED:
                break
            del self._counted[oldest]
        while self._failures:
            oldest_id = next(iter(self._failures))
            if self._failures[oldest_id][0] >= now - HOUR and len(self._failures) <= _MAX_COUNTED:
                break
            del self._failures[oldest_id]
        for id in self._failures.keys() & self._seen.keys():  # a run that was retried
            self._forget_failed(id)
        failed = sorted(self._failed.values(), key=_finished, reverse=True)[:MAX_FAILED]
        self._failed = {one.id: one for one in failed if _finished(one) >= now - HOUR}

    def build(self, counts: FleetCounts, now: datetime) -> Fleet:
        """Return the fleet at a moment, and take a sample of it."""
        if self._covered is not None:  # of what came or ended since the read before, nothing is expected
            self._is_complete, self._covered = self._covered >= min(counts.active, self._active_before), None
        self._active_before = counts.active
        statuses = {id: one.row.session.status for id, one in self._seen.items()}
        sessions = {}
        for id, one in self._seen.items():
            session, parent = one.row.session, one.row.session.parent_id
            status = statuses.get(parent) if parent else None
            if session.parent_status != status:  # kept, so that the next call copies only what changed
                session = session.model_copy(update={"parent_status": status})
                self._seen[id] = one._replace(row=one.row._replace(session=session))
            sessions[id] = session
        failed = list(self._failed.values())
        agents = self._loads(counts, now)
        found = Findings(now, sessions, failed, counts.workers, agents, counts.servers, self._stuck_after)
        self._sample(agents, now)
        listed = sorted(sessions.values(), key=attrgetter("updated_at"), reverse=True)
        spenders = [one for one in listed if one.root_id is None and (one.spent_tokens or one.spent_cost)]
        spenders.sort(key=lambda one: (one.spent_cost, one.spent_tokens), reverse=True)
        return Fleet(
            namespace=self.namespace,
            read_at=now,
            active=counts.active,
            ended=counts.ended,
            is_complete=self._is_complete,
            messages_per_second=self._messages_per_second(),
            problems=self._dated(find_problems(found), now),
            agents=agents,
            sessions=listed,
            failed=failed,
            workers=sorted(counts.workers, key=lambda one: (not one.is_alive, one.owner, one.id)),
            spenders=spenders[:MAX_SPENDERS],
            servers=list(counts.servers),
            ended_runs=sorted(self._ended_runs.values(), key=lambda one: one.agent_id),
            samples=list(self._samples),
        )

    def _dated(self, problems: Sequence[FleetProblem], now: datetime) -> list[FleetProblem]:
        """Return problems with the time at which they were seen first, where they do not say since when it is so."""
        keys = [(one.kind, one.session_id, one.agent_id, one.worker) for one in problems]
        self._first_seen = {key: self._first_seen.get(key, now) for key in keys}
        return [
            one if one.since or seen == now else one.model_copy(update={"since": seen})
            for one, seen in zip(problems, map(self._first_seen.__getitem__, keys), strict=True)
        ]

    def _messages_per_second(self) -> float | None:
        rates = [one.messages_per_second for one in self._seen.values() if one.messages_per_second is not None]
        return sum(rates) if rates else None

    def _loads(self, counts: FleetCounts, now: datetime) -> list[AgentLoad]:
        """Return the load of each agent, the longest queue first. The counts have the names of the fields of AgentLoad."""
        loads: defaultdict[str, Counter[str]] = defaultdict(Counter, {agent: Counter() for agent in counts.queues})
        waits: dict[str, datetime] = {}
        for one in self._seen.values():
            session, agent = one.row.session, one.row.work_agent
            if agent is None or session.work is None:
                continue
            if session.status == "paused" and session.work in ("queued", "delayed"):  # it waits for no worker
                continue
            loads[agent][session.work] += 1
            loads[agent]["retried"] += bool(session.attempts)
            loads[agent]["given_up"] += session.work == "failed"
            if session.waiting_since is not None:
                waits[agent] = min(session.waiting_since, waits.get(agent, now))
        for _, failed_agent in self._failures.values():
            if failed_agent:
                loads[failed_agent]["failed"] += 1
        for worker in counts.workers:
            for agent in worker.agents:
                loads[agent]["workers" if worker.is_alive else "dead_workers"] += 1
                if worker.is_alive:
                    loads[agent]["idle"] += max(worker.concurrency - len(worker.holding), 0)
        if not self._is_complete:  # what was not read yet waits, too
            for agent, queue in counts.queues.items():
                load = loads[agent]
                load["queued"] = max(load["queued"], queue.waiting - load["delayed"])
        found = [
            AgentLoad(
                agent_id=agent,
                oldest_wait=max(now - waits[agent], timedelta(0)) if agent in waits else None,
                max_running=counts.queues[agent].max_running if agent in counts.queues else None,
                **load,
            )
            for agent, load in loads.items()
        ]
        return sorted(found, key=lambda one: (-one.queued, -one.running, one.agent_id))

    def _sample(self, agents: Sequence[AgentLoad], now: datetime) -> None:
        last = self._samples[-1].at if self._samples else None
        if last is not None and now - last < _SAMPLE_INTERVAL:
            return
        while self._samples and self._samples[0].at < now - HOUR:
            self._samples.popleft()
        ended, self._ended_since_sample = self._ended_since_sample, []
        ends, self._ends_since_sample = self._ends_since_sample, 0
        claimed = [(one, one.claimed_at) for one in ended if one.claimed_at is not None]
        waits = [max((at - one.available_at).total_seconds(), 0) for one, at in claimed]
        handling = [max((_finished(one.session) - at).total_seconds(), 0) for one, at in claimed]
        self._samples.append(
            FleetSample(
                at=now,
                messages_per_second=None if last is None else self._messages_per_second(),
                ended_per_second=None if last is None else ends / (now - last).total_seconds(),
                queued=sum(one.queued for one in agents),
                running=sum(one.running for one in agents),
                wait_p50=_percentile(waits, 50),
                wait_p95=_percentile(waits, 95),
                handling_p50=_percentile(handling, 50),
                handling_p95=_percentile(handling, 95),
            )
        )


def _rate(before: _Seen | None, row: FleetRow, now: datetime) -> float | None:
    """Return the new messages a second since a session was read before. None when it was not."""
    if before is None:
        return None
    seconds = (now - before.at).total_seconds()
    if before.row.incarnation != row.incarnation or seconds <= 0:
        return before.messages_per_second
    return max(row.session.last_seq - before.row.session.last_seq, 0) / seconds


def _finished(session: FleetSession) -> datetime:
    return session.finished_at or session.updated_at


def _percentile(values: Sequence[float], percent: int) -> float | None:
    if not values:
        return None
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
