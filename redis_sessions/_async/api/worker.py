"""A worker: claims runs and turns of its agents, several at once, and hands each to a function."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from typing import Any

from ..._core.commands.retry_policy import Backoff, RetryOn, RetryPolicy
from ..._core.commands.run_outcomes import (
    StopReason,
    checked_handler,
    control_of,
    describe_error,
    is_run_over,
    name_error,
    reason_of_giving_up,
    result_problem,
)
from ..._core.commands.run_queues import POLL_INTERVAL_SECONDS, Outcome
from ..._durations import Duration, flag, milliseconds, whole
from ..._log_events import CLAIM_FAILED, WORKER_STARTED, WORKER_STOPPING, error_facts
from ...errors import InvalidInput, SessionsError
from ...models.run_control import GiveUp, Retry, RunParked
from ..services.context import CacheContext
from ..services.worker_checks import IdleCheck, InboxCheck
from ..services.worker_registry import WorkerRegistration
from ..transport import primitives, tasks
from .claimer import Claimer
from .run import AsyncRun

Handler = Callable[[AsyncRun], Awaitable[Any]]
_CLAIM_WAIT_MS = 3600_000
_ALONE_SECONDS = 60.0
"""The time that a run whose worker died waits for the other runs, and that claims then pause for this run."""
_FIRST_ALONE_SECONDS = 2.0
"""The same wait when a worker meets the run for the first time. Then the run goes to another worker, which may be idle."""
_PASSED_ON_SECONDS = 0.5
_STOP_SECONDS = 3.0
"""The time that handlers have to end after the grace, once `should_stop` is set, and that their runs then take to be given back.
With the default grace that fits into the 30 s of Kubernetes."""
_DEADLINE_MARGIN_SECONDS = 0.02
_SAME_SIGNAL_SECONDS = 0.3
"""A signal within this time is the first one again, because programs such as `timeout` pass on each signal twice."""


class Worker:
    """Claims and handles runs and turns until it is stopped, and then waits for the present handlers."""

    def __init__(
        self, context: CacheContext, agent_id: str | Sequence[str], handler: Handler, *, concurrency: int, ttl: Duration,
        grace: Duration, owner: str | None, max_hold: Duration | None, backoff: Backoff, retry_on: RetryOn, resumable: bool,
        report_errors: bool, until_idle: bool,
    ) -> None:  # fmt: skip
        self._context, self._queues = context, context.run_queues
        self._handler = checked_handler(handler, may_be_async=primitives.ASYNC)
        self._concurrency = whole(concurrency, "concurrency", minimum=1, maximum=1000)
        self._grace = milliseconds(grace, "grace", minimum=0, bounds="0 or more") / 1000
        self._policy = RetryPolicy(backoff, retry_on)
        self._is_resumable = flag(resumable, "resumable")
        self._reports_errors = flag(report_errors, "report_errors")
        self._until_idle, self._wait_ms = flag(until_idle, "until_idle"), 0 if until_idle else _CLAIM_WAIT_MS
        # Behind the checks, because the hub keeps it until `work` ends.
        self._claimer = Claimer(context, agent_id, ttl, owner, max_hold)
        self._idle_check = IdleCheck(self._queues, self._claimer.agents)
        self.handled = 0
        """The number of runs and turns that were given to the handler."""
        self._registration = WorkerRegistration(
            context, self._claimer.agents, self._concurrency, self._claimer.ttl_ms, self._claimer.owner
        )
        self._is_stopped, self._is_grace_over, self._stopped_at = False, False, 0.0
        self._done = tasks.Queue[str]()
        self._check_inboxes = InboxCheck(self._queues).run
        self._running: set[AsyncRun] = set()
        self._passed_on: deque[str] = deque(maxlen=100)

    @property
    def _facts(self) -> dict[str, Any]:
        """The fields of the log events of this worker."""
        return {"agent_id": " ".join(self._claimer.agents), "worker": self._claimer.owner}

    def stop(self) -> None:
        """Claim no more runs. `work` returns when the present runs, or the grace, are over.

        A second call, after more than 0.3 s, ends the grace.
        """
        now = time.monotonic()
        if not self._is_stopped:
            self._stopped_at = now
        self._is_grace_over = self._is_grace_over or now - self._stopped_at > _SAME_SIGNAL_SECONDS
        self._is_stopped = True
        self._claimer.wake()
        self._done.put("")

    async def work(self, *, signals: bool = True) -> None:
        """Handle runs until `stop` is called. With `signals`, SIGTERM and SIGINT call it."""
        self._task = tasks.current()
        with tasks.signals(self.stop) if signals else nullcontext():
            self._registration.start()
            WORKER_STARTED.log("working for %s", ", ".join(self._claimer.agents), **self._facts)
            try:
                while not self._is_stopped:
                    await self._next()
            finally:
                await self._claimer.close()
                try:
                    await self._wind_up()
                finally:
                    await self._registration.stop()

    # -- claims ----------------------------------------------------------------------------------------------------

    async def _next(self) -> None:
        try:
            if len(self._running) >= self._concurrency:
                await self._wait_for_slot()
                return
            run = await self._claimer.claim(self._wait_ms, lambda: self._is_stopped, self._check_inboxes)
        except SessionsError as problem:
            if self._until_idle or isinstance(problem, InvalidInput):  # InvalidInput: the cache is closed
                raise
            CLAIM_FAILED.log("a claim failed, going on: %s", problem, **self._facts, **error_facts(problem))
            await primitives.sleep(random.uniform(0.1, 1))
            return
        if run is not None:
            await self._begin(run)
        elif self._until_idle and await self._idle_check.is_idle(len(self._running), self._done):
            self._is_stopped = True

    async def _wait_for_slot(self) -> None:
        """Wait for the end of a run. After 5 s check the work of the agents, as a waiting worker does."""
        await self._check_inboxes()
        await self._claimer.leave()
        if await self._done.get(POLL_INTERVAL_SECONDS) is None and len(self._running) >= self._concurrency:
            await self._queues.recover(*self._claimer.agents)

    async def _begin(self, run: AsyncRun) -> None:
        self._running.add(run)  # before its handler can end
        self._idle_check.note_run()
        self._listen(run)
        self._show_runs()
        is_alone = True
        if run.has_died:
            await self._claimer.leave()
            is_alone = await self._wait_until_alone(run)
        if run.stop_reason is not None:
            return
        if self._is_stopped or not is_alone:
            await self._pass_on(run, "its handler was not called", 0 if self._is_stopped else _PASSED_ON_SECONDS)
            return
        self.handled += 1
        run._task = tasks.spawn(self._handle, run)
        if run.has_died:
            await self._pause_claims(run)

    async def _pass_on(self, run: AsyncRun, why: str, delay: float = 0.0) -> None:
        """Give back a run, for another worker."""
        run._grant.on_lost = None
        try:
            if not run.is_over:
                run._why_released = why
                await run.release(delay=delay)
        except SessionsError as problem:
            run._log.left(problem)
        self._forget(run)

    async def _wait_until_alone(self, run: AsyncRun) -> bool:
        """Wait for the end of the other runs, because the run may take the process down. Its ancestors may wait for it.

        Return False when the run should go to another worker, which may be idle. The second time the run is handled here after
        the wait, whatever else is at work.
        """
        is_new = run.id not in self._passed_on
        due = time.monotonic() + (_FIRST_ALONE_SECONDS if is_new else _ALONE_SECONDS)
        while not self._is_stopped and time.monotonic() < due and run.stop_reason is None:
            if not any(one is not run and one.id not in run._keys.ancestors for one in tuple(self._running)):
                return True
            await self._done.get(max(min(due - time.monotonic(), 1.0), 0))
        if is_new:
            self._passed_on.append(run.id)
        return not is_new

    async def _pause_claims(self, run: AsyncRun) -> None:
        """Claim nothing for 60 s while a run is handled that may take the process down, unless the run waits for children."""
        due = time.monotonic() + _ALONE_SECONDS
        while run in self._running and not run._is_waiting and not self._is_stopped and time.monotonic() < due:
            await self._done.get(min(due - time.monotonic(), 1.0))

    # -- a run -----------------------------------------------------------------------------------------------------

    async def _handle(self, run: AsyncRun) -> None:
        try:
            async with run:
                try:
                    await self._complete(run, await tasks.result_of(self._handler(run)))
                except BaseException as problem:
                    await self._apply_error(run, control_of(problem))
        except SessionsError as problem:
            run._log.left(problem)
        finally:
            run._grant.on_lost = None
            self._forget(run)

    async def _apply_error(self, run: AsyncRun, problem: BaseException) -> None:
        """Park, give back, end or fail a run by the error that left its handler."""
        run.is_over = run.is_over or run.stop_reason not in (None, "shutdown")  # the log says so already
        if run.is_over and isinstance(problem, RunParked | Retry | GiveUp):
            pass
        elif isinstance(problem, RunParked):
            await run._park(problem)
        elif isinstance(problem, Retry):
            await run._give_back("released", delay_ms=problem.after_ms)
            run._log.given_back(problem.after_ms, problem)
        elif isinstance(problem, GiveUp):
            reason = reason_of_giving_up(problem)
            await self._fail(run, reason, reason, is_final=True)
        elif tasks.is_stop(problem, self._task):
            raise problem  # the worker itself was stopped: the run is given back
        elif not run.is_over and (run.stop_reason is not None or tasks.is_being_stopped(self._task)):
            run._why_released = f"its handler was stopped, and left with {describe_error(problem)}"
        else:
            await self._apply_failure(run, problem)

    async def _complete(self, run: AsyncRun, result: Any) -> None:
        run.is_over = run.is_over or run.stop_reason not in (None, "shutdown")
        if run.is_over or run.max_attempts is None:
            return
        if run.stop_reason == "shutdown" and run.should_stop.was_seen and (result is None or run.work == "turn"):
            run._why_released = "its handler was stopped, and returned"
            return
        problem = result_problem(result, self._context.bounds)
        if problem is not None:
            await self._fail(run, ": ".join(problem), problem[0], is_final=True)
            return
        if run.work == "turn":
            if result is not None:
                run._log.result_unused()
            await run.finish()
        else:
            await run.complete(result)

    async def _apply_failure(self, run: AsyncRun, problem: BaseException) -> None:
        if run.is_over:
            is_stop = isinstance(problem, tasks.Cancelled) or run.stop_reason != "shutdown"
            if run.stop_reason is None or not is_stop:  # else the log says already why the run is over
                run._log.late_error(problem)
        elif is_run_over(problem, run.id):
            await self._stop_if_over(run)  # a paused session is not over: the run is given back
            run.is_over = run.stop_reason is not None
        else:
            reason = describe_error(problem)
            parent_reason = reason if self._reports_errors else name_error(problem)
            await self._fail(run, reason, parent_reason, is_final=not self._policy.is_retried(problem), trace=problem)

    async def _fail(self, run: AsyncRun, reason: str, parent_reason: str, *, is_final: bool, trace: Any = None) -> None:
        is_last = is_final or run.max_attempts is None or run.attempt >= run.max_attempts
        delay_ms = 0 if is_last else self._policy.pause_ms(run.attempt)
        run._log.attempt_failed(reason, run.max_attempts, None if is_last else delay_ms, trace)
        outcome: Outcome = "given_up" if is_final else "failed"
        await run._give_back(outcome, delay_ms=delay_ms, problem=reason, parent_reason=parent_reason)

    # -- stops -----------------------------------------------------------------------------------------------------

    def _listen(self, run: AsyncRun) -> None:
        """Listen for the end of the run by another process: the loss of the lease, and the deadline."""
        run.can_park = self._is_resumable
        run._grant.is_watched = True
        self._context.hub.keep_open()
        run._grant.on_lost = lambda: tasks.spawn(self._stop_if_over, run)
        if run._deadline is not None:
            left = max(run._deadline - time.monotonic(), 0) + _DEADLINE_MARGIN_SECONDS
            run._timer = tasks.later(left, self._end_by_deadline, run)

    async def _end_by_deadline(self, run: AsyncRun) -> None:
        if run in self._running and not run.is_over:
            await self._queues.advance(run._keys)  # ends the run
            await self._stop_if_over(run)

    async def _stop_if_over(self, run: AsyncRun) -> None:
        """Stop the handler if its run is over or lost, free its slot, and log the reason. The handler can still be at work."""
        if run.stop_reason is not None or run.is_over:
            return
        reason = await run._find_stop_reason()
        if reason is not None and run.stop_reason is None:
            self._stop_run(run, reason)
            run._log.stopped(reason)

    def _stop_run(self, run: AsyncRun, reason: StopReason) -> None:
        run.stop_reason = reason
        run.should_stop.set()
        if run._task is not None:
            run._task.cancel()
        if reason != "shutdown":
            self._forget(run)

    def _forget(self, run: AsyncRun) -> None:
        if run._timer is not None:
            run._timer.cancel()
        self._running.discard(run)
        self._show_runs()
        self._done.put("")

    def _show_runs(self) -> None:
        self._registration.update([run.id for run in tuple(self._running)])

    async def _wind_up(self) -> None:
        """Wait for the present runs. At the end of the grace stop their handlers, and then give back all at once."""
        WORKER_STOPPING.log("stopping: %d runs are waited for", len(self._running), **self._facts)
        due = time.monotonic() + self._grace
        while self._running and time.monotonic() < due and not self._is_grace_over:
            await self._done.get(max(due - time.monotonic(), 0))
        for run in list(self._running):
            self._stop_run(run, "shutdown")
        await self._wait_for_runs()
        for run in list(self._running):
            tasks.spawn(self._pass_on, run, "the worker stops, and its handler goes on")
        await self._wait_for_runs()

    async def _wait_for_runs(self) -> None:
        due = time.monotonic() + _STOP_SECONDS
        while self._running and time.monotonic() < due:
            await self._done.get(max(due - time.monotonic(), 0))
