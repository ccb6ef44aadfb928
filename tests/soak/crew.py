"""The processes of a round: started, killed, stopped and replaced."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from dataclasses import replace
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from tests.soak.faults import Schedule
from tests.soak.load import Job, over_file, start
from tests.soak.plan import CLIENT_FAULTS, TTL, processes_of
from tests.support.fleet import Strikes
from tests.support.processes import CONTEXT

SIGNALS = {"kill": "SIGKILL", "stop": "SIGSTOP", "terminate": "SIGTERM"}
_KILLED = (-signal.SIGKILL, -signal.SIGTERM)
"""The exit codes of processes that were struck. SIGTERM kills a process that did not begin its work yet."""
_PAUSE_SECONDS = 0.05
_STOPPED_TTLS = 1.4
"""A process is stopped until its leases have run out."""
_MIN_AGE_SECONDS = 0.7
"""Processes that are younger are spared, because a busy machine starts processes slowly."""
_END_SECONDS = 60.0


class Crew:
    """A process for each name. A process that ended is replaced until the round is over."""

    def __init__(self, job: Job, proxied_url: str, counts: Counter[str], seed: str) -> None:
        self._job = job
        self._proxied_url = proxied_url
        self._counts = counts
        self._dice = random.Random(seed)
        self._lives: Counter[str] = Counter()
        self._roles = {name: role for role, name in processes_of(job.plan)}
        self._started: dict[str, float] = {}
        self._strikes = Strikes(_STOPPED_TTLS * TTL)
        self._replaced = {"write", "spawn", "ask", "work"}
        """The roles whose processes are replaced, however they end."""
        self._signalled: set[int] = set()
        self.violations: list[str] = []
        periods = job.plan.periods
        self._schedule = Schedule({name: periods[name] for name in CLIENT_FAULTS if name in periods}, self._dice)
        self._running = {name: self._start(name) for name in self._roles}

    def _start(self, name: str) -> ForkServerProcess:
        self._lives[name] += 1
        is_proxied = self._dice.random() < self._job.plan.proxied
        url = self._proxied_url if is_proxied else self._job.url
        job = replace(self._job, role=self._roles[name], name=name, life=self._lives[name], url=url)
        process = CONTEXT.Process(target=start, args=(job,), daemon=True)
        process.start()
        self._started[name] = time.monotonic()
        return process

    def work(self, seconds: float) -> None:
        """Strike processes for a time, and replace those that end."""
        due = time.monotonic() + seconds
        while time.monotonic() < due:
            self._tend()
            name = self._schedule.next()
            if name is not None:
                self._strike(name)
            time.sleep(_PAUSE_SECONDS)

    def rest(self, seconds: float) -> None:
        """Let the workers work for a time, and replace those that end."""
        due = time.monotonic() + seconds
        self._tend()
        while time.monotonic() < due:
            time.sleep(_PAUSE_SECONDS)
            self._tend()

    def _tend(self) -> None:
        self._strikes.resume()
        for name, process in self._running.items():
            if process.is_alive():
                continue
            process.join()
            if self._was_killed(name, process) or self._roles[name] in self._replaced:
                self._running[name] = self._start(name)

    def _was_killed(self, name: str, process: ForkServerProcess) -> bool:
        """Return whether a process must be continued by another one. Report an end without a reason."""
        was_killed = process.exitcode in _KILLED and process.pid in self._signalled
        if not was_killed and process.exitcode != 0:
            errors = Path(self._job.folder) / f"{name}.{self._lives[name]}.txt"
            text = errors.read_text()[-1500:] if errors.exists() else ""
            self.violations.append(f"{name} ended by itself with {process.exitcode}: {text}")
        return was_killed

    def _strike(self, fault: str) -> None:
        now = time.monotonic()
        able = [
            process
            for name, process in self._running.items()
            if process.is_alive()
            and process.pid not in self._strikes.stopped
            and now - self._started[name] > _MIN_AGE_SECONDS
        ]
        if able:
            victim = self._dice.choice(able)
            assert victim.pid
            self._signalled.add(victim.pid)
            self._counts[fault] += 1
            self._strikes.strike(victim.pid, SIGNALS[fault])

    def end_clients(self) -> None:
        """Let all clients end after their present operation. Killed clients are continued for theirs."""
        over_file(self._job.folder).touch()
        self._end({"write", "spawn", "ask"})

    def end_workers(self) -> None:
        """Let all workers end."""
        for name, process in self._running.items():
            if self._roles[name] == "work" and process.is_alive():
                assert process.pid
                self._signalled.add(process.pid)
                process.terminate()
        self._end({"work"})

    def _end(self, roles: set[str]) -> None:
        self._replaced -= roles
        due = time.monotonic() + _END_SECONDS
        while True:
            self._tend()
            alive = [name for name, its in self._roles.items() if its in roles and self._running[name].is_alive()]
            if not alive:
                return
            if time.monotonic() > due:
                self.violations.append(f"{alive} did not end within {_END_SECONDS} s")
                return
            time.sleep(_PAUSE_SECONDS)

    def kill(self) -> None:
        """Kill all processes."""
        for process in self._running.values():
            process.kill()
            process.join()
