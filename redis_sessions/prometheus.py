"""Metrics of a fleet for Prometheus: `FleetCollector(cache.monitor())`, registered with prometheus_client.

The numbers come from what the server holds, by a monitor, so that they are those of the whole fleet, killed workers included.
Labels are agents, states, kinds and addresses, and never IDs of sessions or users.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, Protocol, get_args

from ._durations import Duration, milliseconds
from ._extras import import_extra
from ._printable import escape_controls
from .errors import SessionsError
from .models.fleet import AgentLoad, EndedRuns, Fleet, ProblemKind, ServerHealth

MAX_AGENTS = 200
"""Agents with labels of their own: the first ones of a process, those with most waiting work first. All others are `_other`.

An agent keeps its label, because a counter that moves between labels would look like runs that ended.
"""
OTHER = "_other"
Sample = tuple[tuple[str, ...], float]


class FleetMetric(NamedTuple):
    """One metric, as the guide lists it."""

    name: str
    kind: Literal["gauge", "counter"]
    meaning: str
    labels: tuple[str, ...] = ()

    @property
    def exported(self) -> str:
        """The name on the page. That of a counter ends with _total."""
        return f"{self.name}_total" if self.kind == "counter" else self.name


METRICS = (
    FleetMetric("redis_sessions_up", "gauge",
                "1 if the last read of the fleet worked, else 0. Without it there is no other metric."),
    FleetMetric("redis_sessions_read_duration_seconds", "gauge", "Duration of the last read of the fleet."),
    FleetMetric("redis_sessions_complete", "gauge", "1 if each active session was read at least once, else 0."),
    FleetMetric("redis_sessions_sessions", "gauge", "Sessions that are stored.", ("status",)),
    FleetMetric("redis_sessions_work", "gauge",
                "Runs and turns of an agent: queued, delayed, running or parked.", ("agent", "status")),
    FleetMetric("redis_sessions_work_retried", "gauge",
                "Open runs and turns with an attempt that failed or died.", ("agent",)),
    FleetMetric("redis_sessions_work_failed", "gauge",
                "Runs that failed or timed out in the last hour, and open turns that gave up.", ("agent",)),
    FleetMetric("redis_sessions_turns_given_up", "gauge",
                "Open turns that gave up: no worker answers them until they are retried.", ("agent",)),
    FleetMetric("redis_sessions_oldest_wait_seconds", "gauge",
                "Time for which the longest queued run or turn waits.", ("agent",)),
    FleetMetric("redis_sessions_workers", "gauge",
                "Workers that are alive, and those that died in the last hour.", ("agent", "status")),
    FleetMetric("redis_sessions_worker_slots_idle", "gauge", "Runs that living workers could take now.", ("agent",)),
    FleetMetric("redis_sessions_inbox_messages", "gauge",
                "Messages that wait in inboxes of the sessions that were read."),
    FleetMetric("redis_sessions_message_rate", "gauge", "New messages a second."),
    FleetMetric("redis_sessions_wait_seconds", "gauge",
                "Time between availability and claim of runs that ended lately.", ("quantile",)),
    FleetMetric("redis_sessions_handling_seconds", "gauge",
                "Time between claim and end of runs that ended lately.", ("quantile",)),
    FleetMetric("redis_sessions_problems", "gauge",
                "Problems that the monitor sees, at most 50 of a kind.", ("kind",)),
    FleetMetric("redis_sessions_runs_ended", "counter",
                "Runs that ended since the exporter started.", ("agent", "status")),
    FleetMetric("redis_sessions_attempts_ended", "counter",
                "Attempts of these runs that failed, or whose worker died, at most ten of a run.", ("agent", "status")),
    FleetMetric("redis_sessions_server_up", "gauge", "1 if the server answers, else 0.", ("address",)),
    FleetMetric("redis_sessions_server_healthy", "gauge",
                "0 if the server refuses writes, or nearly does.", ("address",)),
    FleetMetric("redis_sessions_server_memory_used_bytes", "gauge", "Memory in use.", ("address",)),
    FleetMetric("redis_sessions_server_memory_max_bytes", "gauge",
                "Memory that the server may use, if that is bounded.", ("address",)),
    FleetMetric("redis_sessions_server_clients", "gauge", "Connections to the server.", ("address",)),
    FleetMetric("redis_sessions_server_command_rate", "gauge",
                "Commands a second, as the server counts them.", ("address",)),
    FleetMetric("redis_sessions_server_latency_seconds", "gauge", "Duration of one round trip.", ("address",)),
)  # fmt: skip
"""The metrics on the page."""
_BY_NAME = {one.name: one for one in METRICS}
_STATES = ("queued", "delayed", "running", "parked")
_STATUSES = ("completed", "failed", "timed_out", "cancelled")
_KINDS: tuple[str, ...] = get_args(ProblemKind)


class Monitor(Protocol):
    """Reads a fleet, as `cache.monitor()` does."""

    def read(self) -> Fleet:
        """Read the next part of the fleet."""
        ...


class FleetCollector:
    """Collector of prometheus_client. It reads the fleet at most once in `interval`, however often it is scraped."""

    def __init__(self, monitor: Monitor, interval: Duration = 5.0) -> None:
        """Take the monitor of a SessionCache.

        Args:
            monitor: what `cache.monitor()` returns.
            interval: the least time between two reads, 0.1 s to an hour.

        Raises:
            InvalidInput: the interval is not valid.
            ModuleNotFoundError: prometheus-client is not installed. The error names the extra.
        """
        import_extra("prometheus_client", "metrics", "metrics")
        self._monitor = monitor
        self._interval = milliseconds(interval, "interval", minimum=100, maximum=3_600_000) / 1000
        self._lock = threading.Lock()
        self._read_at = 0.0
        self._fleet: Fleet | None = None
        self._labelled: set[str] = set()
        self._seconds = 0.0

    def refresh(self) -> None:
        """Read the fleet unless it was read within the interval. An error of the server makes the metric `up` 0."""
        with self._lock:
            began = time.monotonic()
            if self._read_at and began - self._read_at < self._interval:
                return
            try:
                self._fleet = self._monitor.read()
            except SessionsError:
                self._fleet = None
            self._read_at = time.monotonic()
            self._seconds = self._read_at - began

    def collect(self) -> Iterator[Any]:
        """Yield the metrics, after a read if one is due."""
        self.refresh()
        with self._lock:
            families = list(fleet_families(self._fleet, self._seconds, self._labelled))
        yield from families

    def describe(self) -> list[Any]:
        """Return nothing, so that the registry does not collect when the collector is registered."""
        return []


def fleet_families(fleet: Fleet | None, read_seconds: float, labelled: set[str]) -> Iterator[Any]:
    """Yield the metric families of a fleet. None for a fleet that could not be read.

    Args:
        fleet: the fleet.
        read_seconds: the duration of its read.
        labelled: the agents that have labels of their own. New ones are added.
    """
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    for name, samples in _samples(fleet, read_seconds, labelled).items():
        metric = _BY_NAME[name]
        kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
        family = kind(name, metric.meaning, labels=metric.labels)
        for labels, value in samples:
            family.add_metric(labels, value)
        yield family


def _samples(fleet: Fleet | None, read_seconds: float, labelled: set[str]) -> dict[str, list[Sample]]:
    up: dict[str, list[Sample]] = {
        "redis_sessions_up": [((), float(fleet is not None))],
        "redis_sessions_read_duration_seconds": [((), read_seconds)],
    }
    if fleet is None:
        return up
    found = up | {
        "redis_sessions_complete": [((), float(fleet.is_complete))],
        "redis_sessions_sessions": [(("active",), fleet.active), (("ended",), fleet.ended)],
        "redis_sessions_inbox_messages": [((), sum(one.inbox_size for one in fleet.sessions))],
        "redis_sessions_problems": [
            ((kind,), sum(one.kind == kind for one in fleet.problems)) for kind in _KINDS
        ],
    }  # fmt: skip
    if fleet.messages_per_second is not None:
        found["redis_sessions_message_rate"] = [((), fleet.messages_per_second)]
    found |= _agent_samples(fleet.agents, {one.agent_id: one for one in fleet.ended_runs}, labelled)
    found |= _quantiles(fleet)
    return found | _server_samples(fleet.servers)


def _agent_samples(
    agents: Iterable[AgentLoad], ended: Mapping[str, EndedRuns], labelled: set[str]
) -> dict[str, list[Sample]]:
    """Return the samples of agents. Agents beyond MAX_AGENTS are summed up, so that labels stay few."""
    loads = {one.agent_id: one for one in agents}
    names = sorted({*loads, *ended}, key=lambda name: (-loads[name].queued if name in loads else 1, name))
    labelled.update([name for name in names if name not in labelled][: MAX_AGENTS - len(labelled)])
    sums: dict[str, dict[tuple[str, ...], float]] = {}

    def add(metric: str, value: float, *labels: str) -> None:
        known = sums.setdefault(metric, {})
        known[labels] = max(known.get(labels, 0), value) if "oldest" in metric else known.get(labels, 0) + value

    for name in names:
        agent, load = escape_controls(name) if name in labelled else OTHER, loads.get(name)
        if load is not None:
            for state in _STATES:
                add("redis_sessions_work", getattr(load, state), agent, state)
            add("redis_sessions_work_retried", load.retried, agent)
            add("redis_sessions_work_failed", load.failed, agent)
            add("redis_sessions_turns_given_up", load.given_up, agent)
            wait = 0.0 if load.oldest_wait is None else load.oldest_wait.total_seconds()
            add("redis_sessions_oldest_wait_seconds", wait, agent)
            add("redis_sessions_workers", load.workers, agent, "alive")
            add("redis_sessions_workers", load.dead_workers, agent, "dead")
            add("redis_sessions_worker_slots_idle", load.idle, agent)
        # Counters begin with 0, because increase() needs a value before.
        runs = ended.get(name) or EndedRuns(agent_id=name)
        for status in _STATUSES:
            add("redis_sessions_runs_ended", getattr(runs, status), agent, status)
        add("redis_sessions_attempts_ended", runs.failed_attempts, agent, "failed")
        add("redis_sessions_attempts_ended", runs.died_attempts, agent, "died")
    return {metric: list(known.items()) for metric, known in sums.items()}


def _quantiles(fleet: Fleet) -> dict[str, list[Sample]]:
    """Return the waits and handling times of the newest sample that has some."""
    found: dict[str, list[Sample]] = {}
    for name in ("wait", "handling"):
        for sample in reversed(fleet.samples):
            values = getattr(sample, f"{name}_p50"), getattr(sample, f"{name}_p95")
            if None not in values:
                found[f"redis_sessions_{name}_seconds"] = [(("0.5",), values[0]), (("0.95",), values[1])]
                break
    return found


def _server_samples(servers: Iterable[ServerHealth]) -> dict[str, list[Sample]]:
    found: dict[str, list[Sample]] = {}
    for one in servers:
        values = {
            "up": float(one.is_up),
            "healthy": float(one.problem is None),
            "memory_used_bytes": one.used_memory,
            "memory_max_bytes": one.max_memory,
            "clients": one.clients,
            "command_rate": one.commands_per_second,
            "latency_seconds": None if one.latency is None else one.latency.total_seconds(),
        }
        for name, value in values.items():
            if value is not None:
                found.setdefault(f"redis_sessions_server_{name}", []).append(((escape_controls(one.address),), value))
    return found
