"""The state of a run or of an open turn, from the fields of its session's hash."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from ..._durations import moment
from ...models.runs import Attempt, WorkState
from ..protocol import records
from ..protocol.encoding import decoded_reason
from ..protocol.json_values import from_json
from ..protocol.keys import SessionKeys

_OPEN = (b"active", b"paused")


class AttemptEnd(NamedTuple):
    """The end of an attempt that failed, or whose worker died."""

    at: datetime
    outcome: str
    """failed or died."""


def work_info(found: Mapping[str, bytes], now_ms: int, keys: SessionKeys) -> dict[str, Any]:
    """Return the fields of a SessionInfo that describe its work. Raises ValueError when a record is damaged."""
    run = records.RunRecord.parse(found["run"])
    lease = records.LeaseRecord.parse(found.get("lease"))
    is_claimed = lease.has_holder and lease.fence == run.fence > 0
    has_ended_claimed = found["status"] not in _OPEN and run.fence > 0  # the lease may have been freed since
    log = records.lines_of(found.get("attempt_log"))  # those before a retry come first
    return {
        "work": _state(run, found, now_ms, is_claimed=is_claimed and lease.deadline_ms > now_ms),
        "turn_seq": run.turn or None,
        "priority": int(found.get("priority", 0)),
        "attempt": run.attempts + (is_claimed or has_ended_claimed),
        "max_attempts": run.max_attempts,
        "attempts": [_attempt(line, keys) for line in log[-run.attempts :] if run.attempts],
        "available_at": moment(run.available_ms) if run.available_ms > now_ms else None,
        "run_deadline": None if run.deadline_ms is None else moment(run.deadline_ms),
    }


def attempt_ends(found: Mapping[str, bytes]) -> tuple[AttemptEnd, ...]:
    """Return the ends of the last ten attempts that did not end well, also of those before a retry, oldest first."""
    words = [line.split(" ", 3) for line in records.lines_of(found.get("attempt_log"))]
    return tuple(AttemptEnd(moment(ended_ms), outcome) for _, ended_ms, outcome, _ in words)


def _state(run: records.RunRecord, found: Mapping[str, bytes], now_ms: int, *, is_claimed: bool) -> WorkState | None:
    if run.max_attempts is None or found["status"] not in _OPEN or run.turn == 0:
        return None
    if is_claimed:
        return "running"
    if run.turn and run.attempts >= run.max_attempts:
        return "failed"
    if "parked" in found:
        return "parked"
    return "delayed" if run.available_ms > now_ms else "queued"


def _attempt(line: str, keys: SessionKeys) -> Attempt:
    started_ms, ended_ms, outcome, worker, error = line.split(" ", 4)
    return Attempt(
        outcome=outcome,
        worker=worker,
        started_at=moment(started_ms),
        ended_at=moment(ended_ms),
        error=decoded_reason(keys, from_json(error.encode()).encode("utf-8", "surrogatepass")).decode(
            "utf-8", "surrogatepass"
        ),
    )
