# Generated from _async/api/worker.py by tools/mirror.py; edit that file.
"""A worker: claims runs of an agent, several at once, and hands each to a function."""

from __future__ import annotations

import logging
import random
import secrets
import time
from collections.abc import Callable
from typing import Any

from ..._core.commands.leases import lease_ttl, owner_name
from ..._core.commands.run_queues import POLL_INTERVAL_SECONDS
from ..._core.commands.trees import check_agent
from ..._core.protocol.ids import check_id
from ..._durations import Duration, milliseconds, whole
from ...errors import InvalidInput, LeaseLost, SessionNotActive, SessionNotFound, SessionsError
from ..services.context import CacheContext
from ..transport import primitives, tasks
from ..transport.notifications import RETRY_SUBSCRIBE_SECONDS
from .run import Run

Handler = Callable[[Run], Any]
_log = logging.getLogger("redis_sessions.worker")
_MIN_PAUSE_SECONDS = 0.05
"""The least pause between two requests of a waiting worker."""
_CLAIM_WAIT_MS = 3600_000
_MAX_BACKOFF_SECONDS = 60.0


class Claimer:
    """Claims runs of one agent."""

    def __init__(self, context: CacheContext, agent_id: str, ttl: Duration, owner: str | None) -> None:
        self._context = context
        self._agent = check_agent(agent_id)
        self._ttl = ttl
        self._ttl_ms = lease_ttl(ttl)
        self._owner = owner_name(owner)
        self._nonce = secrets.token_hex(8)
        self._notifications = context.hub.register(self._nonce)
        self._is_waiting = False

    def claim(self, wait_ms: int, is_stopped: Callable[[], bool] = lambda: False) -> Run | None:
        """Return the next run, or None when there is none within `wait_ms`."""
        hub, queues = self._context.hub, self._context.run_queues
        due = time.monotonic() + wait_ms / 1000
        while not is_stopped():
            can_hear = wait_ms == 0 or hub.try_subscribe(self._context.executor.where)
            left = max(due - time.monotonic(), 0)
            place_ms = min(round(left * 1000), round(POLL_INTERVAL_SECONDS * 2000))
            reply = queues.dequeue(self._agent, self._nonce, place_ms)
            self._is_waiting = not reply.run and left > 0
            if reply.run:
                run = self._take(reply.run)
                if run is not None:
                    return run
                continue
            if left == 0:
                return None
            soon = max(reply.next_ms / 1000, _MIN_PAUSE_SECONDS) if reply.next_ms >= 0 else left
            pause = min(left, POLL_INTERVAL_SECONDS if can_hear else RETRY_SUBSCRIBE_SECONDS, soon)
            notification = self._notifications.get(pause)
            if notification is not None and notification.word == "run":
                self._is_waiting = False
                run = self._take(notification.run)
                if run is not None:
                    return run
        return None

    def _take(self, reserved: str) -> Run | None:
        nonce = secrets.token_hex(8)
        queues = self._context.run_queues
        try:
            keys, reply = queues.claim(reserved, nonce, self._owner, self._ttl_ms)
        except BaseException:
            tasks.spawn(queues.unclaim, reserved, nonce)  # cancelled or unanswered: the run goes to another worker
            raise
        if reply.verdict != "claimed":
            return None
        return Run(self._context, keys, reply, nonce, self._ttl, self._owner)

    def wake(self) -> None:
        """Let a waiting claim check whether it must stop."""
        self._context.hub.wake(self._nonce)

    def close(self) -> None:
        """Leave the place among the waiting workers. A run that was reserved since goes to another worker."""
        self._context.hub.unregister(self._nonce)
        if self._is_waiting:
            tasks.spawn(self._context.run_queues.stop_waiting, self._agent, self._nonce, self._notifications)


class Worker:
    """Handles runs until it is stopped, then waits for those that it has."""

    def __init__(
        self, context: CacheContext, agent_id: str, handler: Handler, concurrency: int, ttl: Duration,
        grace: Duration, owner: str | None,
    ) -> None:  # fmt: skip
        self._claimer = Claimer(context, agent_id, ttl, owner)
        self._queues = context.run_queues
        self._agent = agent_id
        self._handler = handler
        self._concurrency = whole(concurrency, "concurrency", minimum=1, maximum=1000)
        self._grace = milliseconds(grace, "grace", minimum=0, bounds="0 or more") / 1000
        self._is_stopped = False
        self._done = tasks.Queue[str]()
        self._running: set[Run] = set()

    def stop(self) -> None:
        """Claim no more runs. `work` returns when the present runs are over, or the grace is."""
        self._is_stopped = True
        self._claimer.wake()
        self._done.put("")

    def work(self) -> None:
        """Handle runs until `stop`, SIGTERM or SIGINT."""
        with tasks.signals(self.stop):
            try:
                while not self._is_stopped:
                    self._next()
            finally:
                self._claimer.close()
                self._wind_up()

    def _next(self) -> None:
        if len(self._running) >= self._concurrency:
            is_silent = self._done.get(POLL_INTERVAL_SECONDS) is None
            if is_silent and len(self._running) >= self._concurrency:
                self._queues.recover(self._agent)
            return
        try:
            run = self._claimer.claim(_CLAIM_WAIT_MS, lambda: self._is_stopped)
        except InvalidInput:
            raise  # the cache is closed
        except SessionsError as problem:
            _log.warning("a claim for agent %s failed, going on: %s", self._agent, problem)
            primitives.sleep(random.uniform(0.1, 1))
            return
        if run is not None:
            self._running.add(run)  # before its handler can end
            run._task = tasks.spawn(self._handle, run)

    def _handle(self, run: Run) -> None:
        try:
            with run:
                try:
                    result = self._handler(run)
                    if not run.is_over and run.max_attempts is not None:
                        run.complete(result)
                except (LeaseLost, SessionNotActive, SessionNotFound) as problem:
                    run.is_over = True  # cancelled, timed out, or another worker's by now
                    _log.info("run %s is over: %s", run.id, problem)
                except Exception as problem:
                    self._fail(run, problem)
        except SessionsError as problem:
            _log.warning("run %s is left to other workers: %s", run.id, problem)
        finally:
            self._running.discard(run)
            self._done.put("")

    def _fail(self, run: Run, problem: Exception) -> None:
        if run.is_over:
            return
        reason = f"{type(problem).__name__}: {problem}"
        _log.exception("attempt %d of %s at run %s failed", run.attempt, run.max_attempts, run.id)
        if run.max_attempts is not None and run.attempt >= run.max_attempts:
            run.fail(reason=reason)
        else:
            backoff = min(0.5 * 2 ** (run.attempt - 1), _MAX_BACKOFF_SECONDS)
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
                    _log.warning("run %s is left to other workers: %s", run.id, problem)


def claim_run(context: CacheContext, agent_id: str, wait: Duration, ttl: Duration, owner: str | None) -> Run | None:
    """Return one run, or None when there is none within `wait`."""
    checked_owner = check_id(owner, "owner", 128) if owner is not None else None
    wait_ms = milliseconds(wait, "wait", minimum=0, bounds="0 or more")
    claimer = Claimer(context, agent_id, ttl, checked_owner)
    try:
        return claimer.claim(wait_ms)
    finally:
        claimer.close()
