"""Calls that create, find, describe, change and end a session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, NamedTuple

from ..._durations import Duration, milliseconds, moment, moment_of
from ...bounds import DEFAULT_BOUNDS, StorageBounds
from ...errors import SessionDamaged, SessionNotFound
from ...models.sessions import Formation, SessionInfo
from ...models.trees import SpawnRef
from ...settings import MICROS, SessionSettings
from ..protocol import records
from ..protocol.call import Argument, Call, invoke
from ..protocol.encoding import decoded_field, encoded_fields, encoded_reason, encoded_result
from ..protocol.json_values import from_json, to_json
from ..protocol.keys import SessionKeys
from ..protocol.scripts import script
from .guarded_write import expected_argument, guarded_write, new_rev
from .index_entries import RECORD_FIELDS
from .leases import read_lease
from .option_fields import StoredOptions, new_session_fields, option_merges
from .session_fields import reason_text
from .storage_bounds import bounds_argument, check_size
from .work_info import work_info


class Found(NamedTuple):
    """A session that exists already, or was just created."""

    incarnation: str
    is_created: bool = False
    options: StoredOptions | None = None
    """The stored options of a session that existed."""


def find(keys: SessionKeys) -> Call[Found | None]:
    """Find a session that has all its messages."""

    def read(reply: list[bytes]) -> Found | None:
        incarnation, *options = reply
        return Found(incarnation.decode(), options=StoredOptions(*options)) if incarnation else None

    return invoke(script("sessions/find"), keys, read, writes=False)


def create(
    keys: SessionKeys,
    incarnation: str,
    settings: SessionSettings,
    fields: Mapping[str, Argument],
    *,
    on_existing: Literal["error", "return"],
) -> Call[Found]:
    """Create a session, or return the existing one."""

    def read(reply: list[Any]) -> Found:
        is_created, found, *options = reply
        return Found(found.decode(), is_created == 1, StoredOptions(*options) if options else None)

    return invoke(
        script("sessions/create"), keys, read, incarnation=incarnation, on_existing=on_existing, caps=settings.caps,
        ttl_ms=settings.ttl_ms, lifetime_ms=settings.max_lifetime_ms,
        rest=new_session_fields(settings, encoded_fields(keys, fields)),
    )  # fmt: skip


def incarnation_of(keys: SessionKeys) -> Call[str | None]:
    """Read the incarnation of a session, or None when the session does not exist."""
    return Call(
        ("HGET", keys.session, "incarnation"), keys, lambda reply: reply.decode() if reply else None, writes=False
    )


def info(keys: SessionKeys, incarnation: str) -> Call[SessionInfo]:
    """Read everything about a session but its messages and state."""
    return invoke(
        script("sessions/read_info"),
        keys,
        lambda reply: _with_messages(keys, reply),
        incarnation=incarnation,
        writes=False,
    )


def _with_messages(keys: SessionKeys, reply: Sequence[bytes]) -> SessionInfo:
    """Return the info of a session that has its messages. Raises SessionNotFound if they were evicted, and SessionDamaged."""
    info = read_info(keys, reply)
    missing = info.last_seq - info.dropped - info.count
    listed = int(dict(zip(reply[::2], reply[1::2], strict=True))[b"count"])
    if missing and not listed:
        raise SessionNotFound(session_id=keys.id)
    if missing:
        raise SessionDamaged.from_reply(keys.id, ["list", str(listed), str(listed + missing)])
    return info


def read_info(keys: SessionKeys, reply: Sequence[bytes]) -> SessionInfo:
    """Return a SessionInfo from names and values of fields. Raises LookupError, ValueError or TypeError for a damaged field."""
    named = zip([name.decode() for name in reply[::2]], reply[1::2], strict=True)
    return _read_info(keys, {name: decoded_field(keys, name, value) for name, value in named})


_SAME_NAME = ("name", "format", "reason", "label", "task", "model", "answered_by", "fairness_key", "channel")
_TEXT_FIELDS = {"user_id": "user", "agent_id": "agent", "parent_id": "parent", **{name: name for name in _SAME_NAME}}
_JSON_FIELDS = ("type", "tags", "result")


def _read_info(keys: SessionKeys, found: Mapping[str, bytes]) -> SessionInfo:
    kept = records.Layout.parse(found.get("layout")).kept
    limits = records.Limits.parse(found.get("limits"))
    counters = records.Counters.parse(found["counters"])
    settings = records.Settings.parse(found["settings"])
    ttl_ms = int(found.get("idle_ttl", settings.ttl_ms))
    now_ms, left_ms = int(found["now"]), int(found["left"])
    lease, waiters, inbox = (found.get(name) for name in ("lease", "lease_waiters", "inbox"))
    optional: dict[str, Any] = {to: found[field].decode() for to, field in _TEXT_FIELDS.items() if field in found}
    optional |= {name: from_json(found[name]) for name in _JSON_FIELDS if name in found}
    if "system" in found:
        optional["system_prompt"] = found["system"].decode() or None
    if "finished" in found:
        optional["finished_at"] = moment(found["finished"])
    if "spent" in found:
        spent = records.Spent.parse(found["spent"])
        optional |= {"spent_tokens": spent.tokens, "spent_cost": spent.cost / MICROS}
    if "lineage" in found:
        optional["root_id"] = records.Lineage.parse(found["lineage"]).ancestors[-1]
    if "spawned_by" in found:
        optional["spawned_by"] = SpawnRef(**from_json(found["spawned_by"]))
    if "run" in found:
        optional |= work_info(found, now_ms, keys)
    return SessionInfo(
        id=keys.id,
        incarnation=found["incarnation"].decode(),
        status=found["status"].decode(),
        rev=counters.rev,
        kind=found.get("kind", b"main").decode(),
        metadata={name[5:]: from_json(value) for name, value in found.items() if name.startswith("meta.")},
        formation=_formation(found),
        created_at=moment_of(found["created"]),
        updated_at=moment_of(counters.updated_us),
        read_at=moment(now_ms),
        count=int(found["count"]) + kept,
        dropped=counters.dropped - kept,
        last_seq=counters.last_seq,
        entries=counters.last_seq - int(found.get("cleared", 0)),
        user_messages=counters.user_messages,
        assistant_messages=counters.assistant_messages,
        turns=counters.turns,
        bytes=counters.bytes,
        tokens=counters.tokens + int(found.get("system_tokens", 0)),
        ttl=timedelta(milliseconds=ttl_ms) if ttl_ms else None,
        expires_in=timedelta(milliseconds=left_ms) if left_ms >= 0 else None,
        max_messages=settings.max_messages or None,
        cap_policy=settings.cap_policy,
        max_turns=limits.max_turns,
        max_entries=limits.max_entries,
        max_duration=None if limits.max_duration_ms is None else timedelta(milliseconds=limits.max_duration_ms),
        limit_action=limits.action,
        max_message_bytes=settings.max_message_bytes,
        max_tokens=int(found["max_tokens"]),
        max_inbox=int(found["max_inbox"]),
        inbox_size=records.inbox_size(inbox),
        lease=read_lease(keys.id, now_ms, lease, waiters, inbox),
        **optional,
    )


def _formation(found: Mapping[str, bytes]) -> Formation:
    kind, threshold, previous = (found.get("formation", b"explicit - -").decode() + " - -").split()[:3]
    return Formation(
        kind=kind,
        at=moment_of(found["created"]),
        threshold=None if threshold == "-" else timedelta(milliseconds=int(threshold)),
        previous_id=None if previous == "-" else previous,
    )


def patch(
    keys: SessionKeys,
    incarnation: str,
    lease: str,
    sets: Mapping[str, Argument],
    removed: Sequence[str],
    options: Mapping[str, Any],
    bounds: StorageBounds,
    *,
    expected_rev: int | None,
) -> Call[int]:
    """Change what a session says of itself, and its options. The result is the new revision."""
    merges, option_fields = option_merges(options)
    kept = {name: value for name, value in sets.items() if name not in removed}
    fields = {**encoded_fields(keys, kept), **option_fields}
    call = guarded_write(
        script("sessions/patch"),
        keys,
        incarnation,
        lease,
        expected_rev,
        new_rev,
        set_count=len(fields),
        merge_count=len(merges),
        bounds=bounds_argument(bounds),
        rest=[
            *[part for pair in fields.items() for part in pair],
            *removed,
            *[part for merge in merges for part in merge],
        ],
    )
    if not {*fields, *removed} & {*RECORD_FIELDS}:
        call.index_effect = "may_end" if "ttl" in options else "touches"
    return call


class StatusChange(NamedTuple):
    """The outcome of a change of the status."""

    rev: int
    has_cancelled_members: bool
    """True if sessions of the tree were cancelled that are not finalized yet."""
    wakes_parent: bool
    """True if the parent may go on, so that its work must be advanced."""


def _read_status_change(reply: list[Any]) -> StatusChange:
    is_repeated = len(reply) < 4
    return StatusChange(new_rev(reply), is_repeated or reply[2] == 1, is_repeated or reply[3] == 1)


def set_status(
    keys: SessionKeys,
    incarnation: str,
    lease: str,
    status: str,
    reason: str | None = None,
    result: Any = None,
    bounds: StorageBounds = DEFAULT_BOUNDS,
    *,
    expected_rev: int | None = None,
) -> Call[StatusChange]:
    """Change the status.

    `completed` and `failed` need the lease, if one is held. Any other status is an order, which needs none.
    """
    text = "" if result is None else to_json(result, "result")
    check_size(bounds, "result_bytes", text, "result")
    return guarded_write(
        script("sessions/set_status"),
        keys,
        incarnation,
        lease,
        expected_rev,
        _read_status_change,
        is_order=int(status not in ("completed", "failed")),
        status=status,
        reason=encoded_reason(keys, reason_text(reason, bounds)),
        result=encoded_result(keys, text),
    )


def finish_limit_end(keys: SessionKeys, incarnation: str) -> Call[StatusChange]:
    """Apply the effects of an end that a limit caused: to its tree, its parent, its children."""
    call = set_status(keys, incarnation, "", "completed")
    call.arguments["is_order"] = 1
    return call


def touch(keys: SessionKeys, incarnation: str, ttl: Duration | None) -> Call[timedelta | None]:
    """Extend the life of a session. The result is the life left, or None for a persistent session."""
    return invoke(
        script("sessions/touch"), keys, lambda reply: timedelta(milliseconds=reply[1]) if reply[1] >= 0 else None,
        incarnation=incarnation, ttl_ms="" if ttl is None else milliseconds(ttl, "ttl"),
    )  # fmt: skip


class Deletion(NamedTuple):
    """The outcome of a deletion."""

    outcome: Literal["deleted", "missing", "kept", "open", "parent"]
    """open: it must end first. parent: the sessions below it must be deleted first. kept: it moved on or is in use."""
    number: str
    incarnation: str = ""
    """Of a parent."""
    has_rest: bool = False
    """True if the session leaves a ledger or parts, which must be removed."""
    rev: int = 0
    """The revision of a session that must end first."""


def delete(
    keys: SessionKeys, incarnation: str, lease: str, updated_us: int | None = None, *, expected_rev: int | None = None,
    swept: str = "",
) -> Call[Deletion]:  # fmt: skip
    """Delete a session. With the time of its last update it is deleted only if nothing happened since.

    `swept`: the incarnation below which all sessions were deleted (trees/finalize_members).
    """

    def read(reply: list[bytes]) -> Deletion:
        outcome, number, *rest = reply
        if outcome in (b"deleted", b"missing"):
            return Deletion(outcome.decode(), number.decode(), has_rest=bool(rest))  # type: ignore[arg-type]
        if outcome == b"open":
            return Deletion("open", number.decode(), rev=int(rest[0]))
        return Deletion(outcome.decode(), number.decode(), *[one.decode() for one in rest])  # type: ignore[arg-type]

    call = invoke(
        script("sessions/delete"),
        keys,
        read,
        incarnation=incarnation,
        lease=lease,
        updated_us="" if updated_us is None else updated_us,
        expected_rev=expected_argument(expected_rev),
        swept=swept,
    )
    call.idempotent = bool(incarnation)  # repeated by ID alone, it could delete a session that was created since
    return call


def remove_rest(keys: SessionKeys) -> Call[int]:
    """Remove what a session that is gone leaves: its ledger, its parts, its deltas and its popped messages."""
    return invoke(script("sessions/remove_rest"), keys, int)
