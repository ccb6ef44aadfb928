"""The log of what happens to claimed work. Each method writes one line, which is one event."""

from __future__ import annotations

from typing import Any

from ..._log_events import (
    LATE_ERROR,
    RESULT_UNUSED,
    RUN_CANCELLED,
    RUN_CLAIMED,
    RUN_COMPLETED,
    RUN_DELETED,
    RUN_ENDED,
    RUN_FAILED,
    RUN_GIVEN_BACK,
    RUN_LEFT,
    RUN_LOST,
    RUN_PARKED,
    RUN_RECLAIMED,
    RUN_RETRIED,
    RUN_TIMED_OUT,
    RUN_WAS_OVER,
    LogEvent,
    error_facts,
)
from ...models.observer import Observer
from ...models.run_control import RunParked
from .run_outcomes import describe_error, is_run_over
from .run_queues import ClaimReply

_ENDS = {
    "completed": RUN_COMPLETED, "finished": RUN_COMPLETED, "failed": RUN_FAILED, "cancelled": RUN_CANCELLED,
    "timed_out": RUN_TIMED_OUT,
}  # fmt: skip
_STOPS = {
    "cancelled": RUN_CANCELLED, "timed_out": RUN_TIMED_OUT, "deleted": RUN_DELETED, "ended": RUN_ENDED, "lost": RUN_LOST,
}  # fmt: skip


class RunLog:
    """The log of one claim of a run or turn."""

    def __init__(self, telemetry: Observer, claim: ClaimReply, id: str, agent_id: str, worker: str) -> None:
        work = "run" if claim.first_seq is None else "turn"
        self._id = id
        self._name = f"{work} {id}"
        self._facts: dict[str, Any] = {
            "session_id": id, "run_id": claim.incarnation, "agent_id": agent_id, "work": work, "attempt": claim.attempt,
            "worker": worker,
        }  # fmt: skip
        self.handling = telemetry.handling(**self._facts, traceparent=claim.traceparent, waited_ms=claim.waited_ms)
        """The handling of the work, for telemetry."""

    def _log(self, event: LogEvent, text: str, *values: object, **facts: Any) -> None:
        self.handling.note(event.name, facts.get("error_type"))
        event.log(f"%s {text}", self._name, *values, **self._facts, **facts)

    def claimed(self, *, has_died: bool) -> None:
        """Log the claim."""
        event, which = (RUN_RECLAIMED, ", after its worker died") if has_died else (RUN_CLAIMED, "")
        self._log(event, "is claimed for attempt %d%s", self._facts["attempt"], which)

    def ended(self, outcome: str, reason: str | None = None) -> None:
        """Log the end that the worker itself gave the work, if the outcome is one."""
        if outcome in _ENDS:
            facts = {"error": reason} if outcome == "failed" and reason else {}
            self._log(_ENDS[outcome], "is %s%s", outcome.replace("_", " "), f": {reason}" if reason else "", **facts)

    def stopped(self, reason: str) -> None:
        """Log the end that another process gave the work, or the loss of the lease."""
        self._log(_STOPS[reason], "is over: %s", reason.replace("_", " "))

    def attempt_failed(
        self, reason: str, max_attempts: int | None, delay_ms: int | None, error: BaseException | None
    ) -> None:
        """Log an attempt that failed. `delay_ms`: the pause before the next attempt, or None if there is none."""
        facts: dict[str, Any] = {"error": reason}
        if error is not None:
            facts["error_type"] = type(error).__name__
        text = f"attempt %d of %s at {self._facts['work']} %s failed%s: %s"
        attempt, again, event = self._facts["attempt"], "", RUN_FAILED
        if delay_ms is not None:
            facts["delay_s"] = delay_ms / 1000
            again, event = f", again in {delay_ms / 1000:.1f} s", RUN_RETRIED
        self.handling.note(event.name, facts.get("error_type"))
        event.log(text, attempt, max_attempts, self._id, again, reason, trace=error, **self._facts, **facts)

    def parked(self, problem: RunParked) -> None:
        """Log that the run waits for its children."""
        self._log(RUN_PARKED, "is parked: it %s", problem)

    def given_back(self, delay_ms: float, why: object) -> None:
        """Log that the work was given back."""
        delay = delay_ms / 1000
        self._log(RUN_GIVEN_BACK, "is given back%s: %s", f" for {delay:.1f} s" if delay else "", why, delay_s=delay)

    def left(self, problem: BaseException) -> None:
        """Log that the worker could not say how the work ended."""
        event = RUN_WAS_OVER if is_run_over(problem, self._id) else RUN_LEFT
        self._log(event, "is left to other workers: %s", problem, **error_facts(problem))

    def late_error(self, problem: BaseException) -> None:
        """Log an error that left the handler after the end of the work."""
        self._log(
            LATE_ERROR,
            "is over, and its handler raised after its end: %s",
            describe_error(problem),
            **error_facts(problem),
        )

    def result_unused(self) -> None:
        """Log that the handler of a turn returned a value."""
        self._log(RESULT_UNUSED, "has a handler that returned a value, which is not used: call finish()")
