"""The processes of a round: started, killed, stopped and replaced."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from tests.soak.faults import Schedule
from tests.soak.load import Job, over_file, start
from tests.soak.plan import CLIENT_FAULTS, TTL, processes_of
from tests.support.fleet import CONTEXT

SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "terminate": signal.SIGTERM}
_KILLED = (-signal.SIGKILL, -signal.SIGTERM)
"""How a process ends that was struck. SIGTERM kills a process that did not begin its work yet."""
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
        self._stopped: dict[int, float] = {}
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
        """Look after the processes for a time, and strike them."""
        due = time.monotonic() + seconds
        while time.monotonic() < due:
            self._look_after()
            name = self._schedule.next()
            if name is not None:
                self._strike(name)
            time.sleep(0.05)

    def _look_after(self, roles: tuple[str, ...] = ("write", "spawn", "ask", "work")) -> None:
        for pid, until in list(self._stopped.items()):
            if until <= time.monotonic():
                self._resume(pid)
        for name, process in self._running.items():
            if process.is_alive():
                continue
            process.join()
            if self._has_ended_badly(name, process) or self._roles[name] in roles:
                self._running[name] = self._start(name)

    def _has_ended_badly(self, name: str, process: ForkServerProcess) -> bool:
        """Return whether a process must be continued by another one. Report an end without a reason."""
        was_killed = process.exitcode in _KILLED and process.pid in self._signalled
        is_expected = process.exitcode == 0 or was_killed
        if not is_expected:
            errors = Path(self._job.folder) / f"{name}.{self._lives[name]}.txt"
            text = errors.read_text()[-1500:] if errors.exists() else ""
            self.violations.append(f"{name} ended by itself with {process.exitcode}: {text}")
        return was_killed

    def _resume(self, pid: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
        self._stopped.pop(pid, None)

    def _strike(self, fault: str) -> None:
        now = time.monotonic()
        able = [
            (name, process)
            for name, process in self._running.items()
            if process.is_alive() and process.pid not in self._stopped and now - self._started[name] > _MIN_AGE_SECONDS
        ]
        if not able:
            return
        _, victim = self._dice.choice(able)
        assert victim.pid
        self._signalled.add(victim.pid)
        self._counts[fault] += 1
        with suppress(ProcessLookupError):
            os.kill(victim.pid, SIGNALS[fault])
        if fault == "stop":
            self._stopped[victim.pid] = now + _STOPPED_TTLS * TTL

    def rest(self, seconds: float) -> None:
        """Look after the workers for a time."""
        due = time.monotonic() + seconds
        self._look_after(("work",))
        while time.monotonic() < due:
            time.sleep(0.02)
            self._look_after(("work",))

    def end_clients(self) -> None:
        """Let all clients end after their present operation. Killed clients are continued for theirs."""
        over_file(self._job.folder).touch()
        self._await_end(("write", "spawn", "ask"))

    def end_workers(self) -> None:
        """Let all workers end."""
        for name, process in self._running.items():
            if self._roles[name] == "work" and process.is_alive():
                process.terminate()
        self._await_end(("work",))

    def _await_end(self, roles: tuple[str, ...]) -> None:
        due = time.monotonic() + _END_SECONDS
        names = [name for name, role in self._roles.items() if role in roles]
        others = tuple(role for role in ("write", "spawn", "ask", "work") if role not in roles and roles != ("work",))
        while any(self._running[name].is_alive() for name in names) or self._stopped:
            self._look_after(others)
            if time.monotonic() > due:
                alive = [name for name in names if self._running[name].is_alive()]
                self.violations.append(f"{alive} did not end within {_END_SECONDS} s")
                return
            time.sleep(0.02)
        self._look_after(others)
        if any(self._running[name].is_alive() for name in names):
            self._await_end(roles)

    def kill(self) -> None:
        """Kill all processes."""
        for process in self._running.values():
            process.kill()
            process.join()
