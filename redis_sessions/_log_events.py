"""The events of the log: the logger, the level, the meaning and the fields of each."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from ._printable import error_text, escape_controls

_MAX_SHOWN = 2000
"""Characters of one text in a line of the log."""
LOG_FIELDS = {
    "session_id": "The session.",
    "run_id": "The incarnation of the session, as `SpawnResult.run_id` has it.",
    "agent_id": "The agent whose queue had the work.",
    "work": "`run` or `turn`.",
    "attempt": "The number of the attempt, from 1.",
    "worker": "The name of the worker, or of the holder of a lease.",
    "error_type": "The class of the error.",
    "error": "The text of the error. It can hold the text of users.",
    "delay_s": "Seconds until workers can claim the work again.",
    "fence": "The fencing token of the lease.",
    "held_s": "Seconds for which the lease was held.",
    "blocked_s": "Seconds for which the event loop did not answer.",
    "ttl_s": "The ttl of the lease, in seconds.",
    "kind": "What was damaged: a session, value, message, member, channel or key.",
    "key": "The key that holds what was moved away.",
    "server": "The server, without its password.",
}
"""The meaning of each field that an event can have. No field has the content of a message."""


@dataclass(frozen=True)
class LogEvent:
    """One kind of line in the log. `log` writes one line."""

    name: str
    logger: str
    level: int
    meaning: str
    fields: tuple[str, ...]

    def log(self, text: str, *values: object, trace: BaseException | None = None, **fields: object) -> None:
        """Write one line. The record has the event, and each field, as an attribute.

        Args:
            text: the line, with a %s for each value. Texts among the values are escaped and cut.
            trace: the error whose traceback the record has.
        """
        logger = logging.getLogger(self.logger)
        if logger.isEnabledFor(self.level):
            shown = [_shown(value) for value in values]
            logger.log(self.level, text, *shown, exc_info=trace, extra={"event": self.name, **fields}, stacklevel=2)


def _shown(value: object) -> object:
    """Return a number as it is, and the text of any other value so that it stays on its line."""
    if isinstance(value, int | float):
        return value
    text = str(value)
    return escape_controls(text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]} …")


_RUN = ("session_id", "run_id", "agent_id", "work", "attempt", "worker")
_ERROR = ("error_type", "error")
_LEASE = ("session_id", "worker", "fence")
_WORKER, _CLAIMS = "redis_sessions.worker", ("agent_id", "worker")

EVENTS: dict[str, LogEvent] = {}
"""All events by name."""


def _event(name: str, logger: str, level: int, meaning: str, *fields: str) -> LogEvent:
    EVENTS[name] = event = LogEvent(name, logger, level, meaning, fields)
    return event


WORKER_STARTED = _event("worker_started", _WORKER, logging.INFO, "A worker claims work from now on.", *_CLAIMS)
WORKER_STOPPING = _event(
    "worker_stopping", _WORKER, logging.INFO, "A worker claims no more work, and waits for its runs.", *_CLAIMS
)
RUN_CLAIMED = _event("run_claimed", _WORKER, logging.INFO, "A worker claimed a run or a turn.", *_RUN)
RUN_RECLAIMED = _event(
    "run_reclaimed", _WORKER, logging.WARNING,
    "A worker claimed a run or a turn whose last worker died. It stands in the place of `run_claimed`.", *_RUN,
)  # fmt: skip
RUN_COMPLETED = _event("run_completed", _WORKER, logging.INFO, "A worker completed a run, or finished a turn.", *_RUN)
RUN_RETRIED = _event(
    "run_retried", _WORKER, logging.WARNING, "An attempt failed. Workers can claim the work again after the pause.",
    *_RUN, "delay_s", *_ERROR,
)  # fmt: skip
RUN_FAILED = _event(
    "run_failed", _WORKER, logging.ERROR,
    "The last attempt failed, or the error is not worth another one. A run ends as failed. A turn waits for a retry by hand,"
    " or for the next message.", *_RUN, *_ERROR,
)  # fmt: skip
RUN_PARKED = _event("run_parked", _WORKER, logging.INFO, "A run waits for its children, without a worker.", *_RUN)
RUN_GIVEN_BACK = _event(
    "run_given_back", _WORKER, logging.INFO,
    "A worker gave the work back: the handler raised `Retry`, or the worker stops. No attempt is counted.", *_RUN, "delay_s",
)  # fmt: skip
RUN_CANCELLED = _event("run_cancelled", _WORKER, logging.INFO, "The run was cancelled while a worker had it.", *_RUN)
RUN_TIMED_OUT = _event(
    "run_timed_out", _WORKER, logging.INFO, "The time of the run was over while a worker had it.", *_RUN
)
RUN_DELETED = _event(
    "run_deleted", _WORKER, logging.INFO, "The session was deleted while a worker had its work.", *_RUN
)
RUN_ENDED = _event(
    "run_ended", _WORKER, logging.INFO, "Another handle ended the session while a worker had its work.", *_RUN
)
RUN_LOST = _event(
    "run_lost", _WORKER, logging.WARNING,
    "The worker lost the lease of the work: its ttl elapsed without a renewal, or it was taken over.", *_RUN,
)  # fmt: skip
RUN_LEFT = _event(
    "run_left", _WORKER, logging.WARNING,
    "The worker could not say how the work ended. Another worker claims it when the lease has run out.", *_RUN, *_ERROR,
)  # fmt: skip
RUN_WAS_OVER = _event(
    "run_was_over",
    _WORKER,
    logging.INFO,
    "The work was over before the worker could say how it ended.",
    *_RUN,
    *_ERROR,
)
LATE_ERROR = _event(
    "late_error", _WORKER, logging.WARNING, "The handler raised after it had ended the work.", *_RUN, *_ERROR
)
RESULT_UNUSED = _event(
    "result_unused", _WORKER, logging.WARNING, "The handler of a turn returned a value, which is not used.", *_RUN
)
POLICY_FAILED = _event(
    "policy_failed", _WORKER, logging.ERROR, "`retry_on` or `backoff` raised. The default is used.", *_ERROR
)
CLAIM_FAILED = _event(
    "claim_failed", _WORKER, logging.WARNING, "A claim failed. The worker goes on.", *_CLAIMS, *_ERROR
)
WORK_SET_ASIDE = _event(
    "work_set_aside", _WORKER, logging.ERROR,
    "The session of the work is damaged or cannot be decoded. The work is offered again later.", *_CLAIMS, "delay_s", *_ERROR,
)  # fmt: skip
INBOXES_UNCHECKED = _event(
    "inboxes_unchecked", _WORKER, logging.DEBUG, "A worker could not check inboxes whose lease ran out.", *_ERROR
)
HEARTBEAT_FAILED = _event(
    "heartbeat_failed",
    _WORKER,
    logging.DEBUG,
    "A worker could not renew, or remove, its entry in the registry.",
    "worker",
    *_ERROR,
)
LEASE_LOST = _event(
    "lease_lost", "redis_sessions.lease", logging.WARNING,
    "The server refused a write or a renewal under a lease. The lease of a worker's run has an event of the run instead.",
    *_LEASE,
)  # fmt: skip
LEASE_LAPSED = _event(
    "lease_lapsed",
    "redis_sessions.lease",
    logging.WARNING,
    "The ttl of a lease elapsed without an answer to a renewal.",
    *_LEASE,
)
LEASE_HELD_TOO_LONG = _event(
    "lease_held_too_long", "redis_sessions.lease", logging.WARNING, "A lease ended because it was held for `max_hold`.",
    *_LEASE, "held_s",
)  # fmt: skip
LOOP_BLOCKED = _event(
    "loop_blocked", "redis_sessions.lease", logging.WARNING,
    "The event loop did not answer for more than half of the ttl of a lease. Logged once for each cache.", "blocked_s", "ttl_s",
)  # fmt: skip
RENEWALS_DELAYED = _event(
    "renewals_delayed", "redis_sessions.lease", logging.WARNING,
    "The thread that renews leases could not start. The next renewal tries again.", *_ERROR,
)  # fmt: skip
QUEUE_REPAIRED = _event(
    "queue_repaired", "redis_sessions.repair", logging.ERROR,
    "A member of a queue named no session, and was removed.", "agent_id",
)  # fmt: skip
DATA_REPAIRED = _event(
    "data_repaired", "redis_sessions.repair", logging.INFO,
    "`doctor --repair` moved damaged data into the quarantine.", "session_id", "kind", "key",
)  # fmt: skip
DAMAGED_DELETED = _event(
    "damaged_deleted", "redis_sessions.repair", logging.WARNING,
    "A session was deleted although it, or a session of its tree, was damaged.", "session_id", *_ERROR,
)  # fmt: skip
WATCH_LEFT_OUT = _event(
    "watch_left_out", "redis_sessions.watch", logging.WARNING,
    "A watch of many sessions left out a damaged session, or messages that it cannot decrypt.", "session_id", *_ERROR,
)  # fmt: skip
OPTIONS_DIFFER = _event(
    "options_differ", "redis_sessions.session", logging.WARNING,
    "`get_or_create` or `main_session` found a session with other options.", "session_id",
)  # fmt: skip
SUBSCRIBE_REFUSED = _event(
    "subscribe_refused", "redis_sessions.transport", logging.WARNING, "A server refuses SUBSCRIBE, so waiting polls.",
    "server", *_ERROR,
)  # fmt: skip
AUDIT_FAILED = _event(
    "audit_failed", "redis_sessions.audit", logging.ERROR, "The `audit` hook of a cache raised.", "session_id", *_ERROR
)


def error_facts(problem: BaseException) -> dict[str, Any]:
    """Return the fields of an error."""
    return {"error_type": type(problem).__name__, "error": error_text(problem)}
