"""Calls that read sessions as a fleet shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple

from ..._durations import moment
from ...errors import CodecMissing, DecryptionError
from ...models.fleet import FleetSession
from ...models.sessions import Status
from ...settings import MICROS
from ..protocol import records
from ..protocol.call import Call
from ..protocol.encoding import decoded_field
from ..protocol.keys import SessionKeys
from .list_pages import FIELDS, read_row
from .list_query import DamagedRow
from .run_queues import agent_of
from .work_info import AttemptEnd, attempt_ends, work_info

_MORE_FIELDS = (
    "run",
    "attempt_log",
    "parked",
    "max_inbox",
    "reason",
    "budget",
    "spent",
    "priority",
    "answered_by",
    "status_log",
)
_ENDED: tuple[Status, ...] = ("completed", "failed", "timed_out", "cancelled")
_OPEN = (b"active", b"paused")
_ALL_FIELDS = (*FIELDS, *_MORE_FIELDS)
_AT_ONCE_MS = 10**12
"""Milliseconds by which the stored time of work is earlier if it became available at once. See `lua/lib/records/run.lua`."""


class RunEnd(NamedTuple):
    """One end of a run. A run that failed and was retried has several."""

    number: int
    """The number of the change in the status log of its session."""
    at: datetime
    status: Status


class FleetRow(NamedTuple):
    """A session of a fleet, with what its view does not show."""

    session: FleetSession
    incarnation: str
    updated_us: int
    work_agent: str | None
    """The agent whose workers do its work."""
    claimed_at: datetime | None
    """When its last claim was granted (UTC), also after its end."""
    available_at: datetime
    """When its work became available the last time (UTC)."""
    ends: tuple[RunEnd, ...] = ()
    """The ends of its run, oldest first, as far as the status log holds them."""
    attempt_ends: tuple[AttemptEnd, ...] = ()
    """The ends of its last ten attempts that did not end well, also of those before a retry, oldest first."""


def read_fleet_row(keys: SessionKeys, now_us: int) -> Call[FleetRow | None]:
    """Read a session without its messages and metadata. None when it is gone or damaged.

    A plain command costs the server less than half of what a script takes for many sessions.
    """

    def read(values: Sequence[bytes | None]) -> FleetRow | None:
        found = {name: value for name, value in zip(_ALL_FIELDS, values, strict=True) if value is not None}
        row = read_row(keys, values[: len(FIELDS)], [], b"", now_us)
        if row is None or isinstance(row, DamagedRow):
            return None
        try:
            more = _more(keys, found, now_us // 1000, has_inbox=row.summary.inbox_size > 0)
            session = FleetSession.model_construct(**{**row.summary.__dict__, **more})
            return _row_of(session, found, row.incarnation, row.updated_us)
        except (LookupError, ValueError, TypeError, ArithmeticError):
            return None

    return Call(("HMGET", keys.session, *_ALL_FIELDS), keys, read, writes=False)


def _more(keys: SessionKeys, found: Mapping[str, bytes], now_ms: int, *, has_inbox: bool) -> dict[str, Any]:
    """Return the fields of a FleetSession that a summary lacks. Raises what a damaged record raises."""
    # With attempts, because model_construct takes 0.1 ms for a default that a factory makes.
    more: dict[str, Any] = {"attempts": [], "read_at": moment(now_ms)}
    if "run" in found:
        try:
            work = work_info(found, now_ms, keys)
        except (CodecMissing, DecryptionError):  # the errors of the attempts cannot be read here
            work = work_info({**found, "attempt_log": b""}, now_ms, keys)
        more |= {name: work[name] for name in ("work", "attempt", "max_attempts", "attempts", "available_at")}
        more["run_deadline"] = work["run_deadline"]
    lease = records.LeaseRecord.parse(found.get("lease"))
    # A lease that ran out holds nothing up unless something waits.
    is_awaited = more.get("work") is not None or has_inbox
    if lease.has_holder and found["status"] in _OPEN and (is_awaited or lease.deadline_ms > now_ms):
        more |= {
            "holder": lease.owner,
            "fence": lease.fence,
            "held_since": moment(lease.since_ms),
            "lease_expires_at": moment(lease.deadline_ms),
        }
    if "reason" in found:
        with suppress(CodecMissing, DecryptionError):
            more["reason"] = decoded_field(keys, "reason", found["reason"]).decode("utf-8", "replace")
    if "max_inbox" in found:
        more["max_inbox"] = int(found["max_inbox"])
    if "spent" in found:
        spent = records.Spent.parse(found["spent"])
        more |= {"spent_tokens": spent.tokens, "spent_cost": spent.cost / MICROS}
    if "budget" in found:
        budget = records.Budget.parse(found["budget"])
        more["token_budget"] = budget.tokens
        more["cost_budget"] = None if budget.cost is None else budget.cost / MICROS
    return more


def _row_of(session: FleetSession, found: Mapping[str, bytes], incarnation: str, updated_us: int) -> FleetRow:
    lease = records.LeaseRecord.parse(found.get("lease"))
    agent, claimed_at, available_at = found.get("answered_by", b"").decode() or None, None, session.updated_at
    changes = [records.StatusChange.parse(line) for line in records.lines_of(found.get("status_log", b""))]
    if "run" in found:
        run = records.RunRecord.parse(found["run"])
        if lease.has_holder and lease.fence == run.fence > 0:
            claimed_at = moment(lease.since_ms)
        elif session.attempts:
            claimed_at = session.attempts[-1].started_at
        available_at = _available_at(run, session, changes)
        if run.turn is None:
            agent = agent_of(session.id) or session.agent_id
    if session.work == "queued" and session.status == "active":
        session = session.model_copy(update={"waiting_since": available_at})
    ends = _ends(changes) if session.kind == "subagent" else ()
    return FleetRow(session, incarnation, updated_us, agent, claimed_at, available_at, ends, attempt_ends(found))


def _available_at(run: records.RunRecord, session: FleetSession, changes: Sequence[records.StatusChange]) -> datetime:
    """Return since when work can be claimed: its request, its delay, the end of its last attempt, or the end of a pause."""
    at_once = _AT_ONCE_MS if 0 < run.available_ms < _AT_ONCE_MS else 0
    times = [session.created_at, moment(run.available_ms + at_once)]
    times += [moment(one.at_ms) for one in changes if one.status == "active"][-1:]
    times += [one.ended_at for one in session.attempts[-1:]]
    return max(times)


def _ends(changes: Sequence[records.StatusChange]) -> tuple[RunEnd, ...]:
    """Return the ends of a run that a status log holds."""
    return tuple(
        RunEnd(one.number, moment(one.at_ms), status) for one in changes for status in _ENDED if one.status == status
    )
