# Generated from ../_async/worker.py by tools/mirror.py; edit that file.
"""A worker: takes runs of an agent, as many at once as it may, and hands each to a function."""

from __future__ import annotations

import logging
import random
import secrets
import time
from collections.abc import Callable
from typing import Any

from .._core.ids import check_id
from .._core.leases import lease_ttl, owner_name
from .._core.runs import HEARTBEAT
from .._core.trees import check_agent
from .._core.units import Duration, milliseconds, whole
from ..errors import InvalidInput, LeaseLost, SessionNotActive, SessionNotFound, SessionsError
from . import background, io
from .home import Home
from .queues import Queues
from .runs import Run
from .wakes import DEAF

Handler = Callable[[Run], Any]
_log = logging.getLogger("redis_sessions.worker")
_SHORTEST = 0.05  # seconds between two questions of a worker that waits
_LONG_MS = 3600_000
_LONGEST_BACKOFF = 60.0


class Claimer:
    """Stands in line for runs of one agent."""

    def __init__(self, home: Home, agent_id: str, ttl: Duration, owner: str | None) -> None:
        self._home = home
        self._agent = check_agent(agent_id)
        self._ttl = ttl
        self._ttl_ms = lease_ttl(ttl)
        self._owner = owner_name(owner)
        self._nonce = secrets.token_hex(8)
        self._told = home.wakes.expect(self._nonce)
        self._is_in_line = False

    def claim(self, wait_ms: int, is_stopped: Callable[[], bool] = lambda: False) -> Run | None:
        """The next run, or None when there is none for so long."""
        queues: Queues = self._home.queues
        due = time.monotonic() + wait_ms / 1000
        while not is_stopped():
            can_hear = wait_ms == 0 or self._home.wakes.can_hear(self._home.calls.where)
            left = max(due - time.monotonic(), 0)
            asked = queues.ask(self._agent, self._nonce, min(round(left * 1000), round(HEARTBEAT * 2000)))
            self._is_in_line = not asked.run and left > 0
            run = self._take(asked.run) if asked.run else None
            if run is not None or (left == 0 and not asked.run):
                return run
            if asked.run:
                continue
            soon = max(asked.next_ms / 1000, _SHORTEST) if asked.next_ms >= 0 else left
            until = min(left, HEARTBEAT if can_hear else DEAF, soon)
            said = self._told.get(until)
            if said is not None and said.word == "run":
                self._is_in_line = False
                run = self._take(said.run)
                if run is not None:
                    return run
        return None

    def _take(self, offered: str) -> Run | None:
        nonce = f"run.{secrets.token_hex(8)}"
        try:
            keys, claim = self._home.queues.claim(offered, nonce, self._owner, self._ttl_ms)
        except BaseException:
            background.spawn(self._home.queues.withdraw, offered, nonce)  # cancelled or unanswered: others go on
            raise
        if claim.verdict != "claimed":
            return None
        return Run(self._home, keys, claim, nonce, self._ttl, self._owner)

    def wake(self) -> None:
        """Makes a claim that waits look whether it is to stop."""
        self._home.wakes.rouse(self._nonce)

    def close(self) -> None:
        """Leaves the line; what was offered meanwhile is offered to others."""
        self._home.wakes.forget(self._nonce)
        if self._is_in_line:
            background.spawn(self._home.queues.leave, self._agent, self._nonce, self._told)


class Worker:
    """Takes runs until it is told to stop, then waits for those it has."""

    def __init__(
        self, home: Home, agent_id: str, handler: Handler, concurrency: int, ttl: Duration, grace: Duration,
        owner: str | None,
    ) -> None:  # fmt: skip
        self._claimer = Claimer(home, agent_id, ttl, owner)
        self._queues: Queues = home.queues
        self._agent = agent_id
        self._handler = handler
        self._free = whole(concurrency, "concurrency", least=1, most=1000)
        self._grace = milliseconds(grace, "grace", least=0, bounds="0 or more") / 1000
        self._is_stopped = False
        self._done = background.Mailbox[str]()
        self._running: set[Run] = set()

    def stop(self) -> None:
        """Takes no more runs; `work` returns when those it has are over, or their grace is."""
        self._is_stopped = True
        self._claimer.wake()
        self._done.put("")

    def work(self) -> None:
        """Returns when it was stopped: by `stop`, SIGTERM or SIGINT."""
        with background.signals(self.stop):
            try:
                while not self._is_stopped:
                    self._next()
            finally:
                self._claimer.close()
                self._wind_up()

    def _next(self) -> None:
        if len(self._running) >= self._free:
            if self._done.get(HEARTBEAT) is None and len(self._running) >= self._free:
                self._queues.sweep(self._agent)
            return
        try:
            run = self._claimer.claim(_LONG_MS, lambda: self._is_stopped)
        except InvalidInput:
            raise  # the cache is closed
        except SessionsError as problem:
            _log.warning("claiming for %s failed, going on: %s", self._agent, problem)
            io.sleep(random.uniform(0.1, 1))
            return
        if run is not None:
            self._running.add(run)  # before its handler can end
            run._task = background.spawn(self._handle, run)

    def _handle(self, run: Run) -> None:
        try:
            with run:
                try:
                    result = self._handler(run)
                    if not run.is_over and run.max_attempts is not None:
                        run.complete(result)
                except (LeaseLost, SessionNotActive, SessionNotFound) as problem:
                    run.is_over = True  # cancelled, timed out, or another's by now
                    _log.info("run %s is over: %s", run.id, problem)
                except Exception as problem:
                    self._failed(run, problem)
        except SessionsError as problem:
            _log.warning("run %s was left to others: %s", run.id, problem)
        finally:
            self._running.discard(run)
            self._done.put("")

    def _failed(self, run: Run, problem: Exception) -> None:
        if run.is_over:
            return
        told = f"{type(problem).__name__}: {problem}"
        _log.exception("attempt %d of %s at run %s failed", run.attempt, run.max_attempts, run.id)
        if run.max_attempts is not None and run.attempt >= run.max_attempts:
            run.fail(reason=told)
        else:
            backoff = min(0.5 * 2 ** (run.attempt - 1), _LONGEST_BACKOFF)
            run.release(delay=backoff * random.uniform(0.5, 1))

    def _wind_up(self) -> None:
        due = time.monotonic() + self._grace
        while self._running and time.monotonic() < due:
            self._done.get(max(due - time.monotonic(), 0))
        for run in list(self._running):
            if run._task is not None:
                run._task.cancel()
            if not run.is_over:
                try:
                    run.release()
                except SessionsError as problem:
                    _log.warning("run %s was left to others: %s", run.id, problem)


def claim(home: Home, agent_id: str, wait: Duration, ttl: Duration, owner: str | None) -> Run | None:
    """One run, or None when there is none for so long."""
    claimer = Claimer(home, agent_id, ttl, check_id(owner, "owner", 128) if owner is not None else None)
    try:
        return claimer.claim(milliseconds(wait, "wait", least=0, bounds="0 or more"))
    finally:
        claimer.close()
