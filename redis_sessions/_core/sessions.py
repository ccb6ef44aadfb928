"""Sessions: the calls that create, describe, change and end one, and the reading of their replies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, TypeVar

from ..errors import InvalidState, SessionNotFound, SessionReplaced
from ..models.sessions import Formation, SessionInfo
from ..models.trees import SpawnRef
from ..settings import MICROS, SessionSettings
from .calls import Argument, Call, invoke
from .codec import from_json, to_json
from .descriptions import checked_text
from .ids import new_operation_id
from .keys import SessionKeys
from .leases import ORDER, inbox_size, read_lease
from .scripts import Script, script
from .units import Duration, milliseconds, moment, moment_of, whole

T = TypeVar("T")
Left = list[tuple[int, str]]
"""Members of a tree that are still to be swept: their numbers and ids."""
MOST_FIELDS = 10_000


def create(
    keys: SessionKeys,
    life: str,
    settings: SessionSettings,
    fields: Mapping[str, Argument],
    *,
    get: Literal["", "too", "only"],
) -> Call[tuple[bool, str]]:
    """Reads as (whether it was created, its life); life '' when there is none to get."""
    rest = [part for pair in (settings.fields() | dict(fields)).items() for part in pair]
    return invoke(
        script("sessions/create"),
        keys,
        lambda reply: (reply[0] == 1, reply[1].decode()),
        life=life,
        get=get,
        rules=settings.rules,
        ttl=settings.ttl_ms,
        lifetime=settings.max_lifetime_ms,
        rest=rest,
    )


def life(keys: SessionKeys) -> Call[str | None]:
    """The incarnation of the session that is there, or None."""
    return Call(("HGET", keys.session, "life"), keys, lambda reply: reply and reply.decode(), writes=False)


def info(keys: SessionKeys, life: str) -> Call[SessionInfo]:
    return invoke(script("sessions/info"), keys, lambda reply: read_info(keys.id, reply), life=life, writes=False)


def read_info(id: str, reply: list[bytes]) -> SessionInfo:
    """A SessionInfo from the pairs that the info script returns; refuses what somebody else wrote over."""
    try:
        return _read_info(id, reply)
    except (LookupError, ValueError) as problem:
        raise InvalidState(name=id, detail=f"the stored session is damaged: {problem}") from None


def _read_info(id: str, reply: list[bytes]) -> SessionInfo:
    found = {name.decode(): value for name, value in zip(reply[::2], reply[1::2], strict=True)}
    aside = len(found.get("aside", b"").split())
    turns, entries, duration, action = found.get("limits", b"- - - error").decode().split()
    rev, last, dropped, users, assistants, completed, _, size, tokens, _, updated = map(int, found["counts"].split())
    cap, policy, max_bytes, ttl, _ = found["rules"].decode().split()
    left = int(found["left"])
    lease, line, inbox = (found.get(field, b"").decode() for field in ("lease", "line", "inbox"))
    texts = {"user_id": "user", "agent_id": "agent", "name": "name", "parent_id": "parent", "reason": "reason"}
    texts |= {"label": "label", "task": "task", "model": "model"}
    optional: dict[str, Any] = {to: found[field].decode() for to, field in texts.items() if field in found}
    if "type" in found:
        optional["type"] = from_json(found["type"])
    if "tags" in found:
        optional["tags"] = from_json(found["tags"])
    if "system" in found:
        optional["system_prompt"] = found["system"].decode() or None
    if "result" in found:
        optional["result"] = from_json(found["result"])
    if "finished" in found:
        optional["finished_at"] = moment(found["finished"])
    kind, threshold, previous = (found.get("formation", b"explicit - -").decode() + " - -").split()[:3]
    optional["formation"] = Formation(
        kind=kind,
        at=moment_of(found["created"]),
        threshold=None if threshold == "-" else timedelta(milliseconds=int(threshold)),
        previous_id=None if previous == "-" else previous,
    )
    if "spent" in found:
        spent_tokens, spent_cost = map(int, found["spent"].split())
        optional |= {"spent_tokens": spent_tokens, "spent_cost": spent_cost / MICROS}
    if "place" in found:
        optional["root_id"] = found["place"].decode().split()[-1]
    if "spawned_by" in found:
        optional["spawned_by"] = SpawnRef(**from_json(found["spawned_by"]))
    if "run" in found:
        attempt, most, deadline = found["run"].decode().split()
        optional |= {"attempt": int(attempt), "max_attempts": None if most == "-" else int(most)}
        optional["run_deadline"] = None if deadline == "-" else moment(deadline)
    return SessionInfo(
        id=id,
        life=found["life"].decode(),
        status=found["status"].decode(),
        rev=rev,
        kind=found.get("kind", b"main").decode(),
        metadata={name[5:]: from_json(value) for name, value in found.items() if name.startswith("meta.")},
        created_at=moment_of(found["created"]),
        updated_at=moment_of(updated),
        read_at=moment(found["now"]),
        count=int(found["count"]) + aside,
        dropped=dropped - aside,
        last_seq=last,
        entries=last - int(found.get("cleared", 0)),
        user_messages=users,
        assistant_messages=assistants,
        turns=completed,
        bytes=size,
        tokens=tokens + int(found.get("system_tokens", 0)),
        ttl=timedelta(milliseconds=int(ttl)) if ttl != "0" else None,
        expires_in=timedelta(milliseconds=left) if left >= 0 else None,
        max_messages=int(cap) or None,
        cap_policy=policy,
        max_turns=None if turns == "-" else int(turns),
        max_entries=None if entries == "-" else int(entries),
        max_duration=None if duration == "-" else timedelta(milliseconds=int(duration)),
        limit_action=action,
        max_message_bytes=int(max_bytes),
        max_tokens=int(found["max_tokens"]),
        max_inbox=int(found["max_inbox"]),
        inbox=inbox_size(inbox),
        lease=read_lease(id, int(found["now"]), lease, line, inbox),
        **optional,
    )


def patch(
    keys: SessionKeys,
    life: str,
    lease: str,
    sets: Mapping[str, Argument],
    removed: list[str] | None = None,
    *,
    expected_rev: int | None = None,
) -> Call[tuple[int, int]]:
    """Reads as (rev, how many of the removed were there)."""
    return change(
        script("sessions/patch"),
        keys,
        life,
        lease,
        expected_rev,
        lambda reply: (changed(reply), int(reply[1].split()[1])),
        sets=len(sets),
        most=MOST_FIELDS,
        rest=[*[part for pair in sets.items() for part in pair], *(removed or [])],
    )


def status(
    keys: SessionKeys,
    life: str,
    lease: str,
    wanted: str,
    reason: str | None,
    result: Any,
    *,
    expected_rev: int | None = None,
) -> Call[tuple[int, Left]]:
    """Reads as the rev, and the members that are still to be marked as cancelled.

    What the one who works on a session says of it needs the lease that is held; an order does not.
    """
    if wanted not in ("completed", "failed"):
        lease = lease or ORDER
    return change(
        script("sessions/status"),
        keys,
        life,
        lease,
        expected_rev,
        lambda reply: (changed(reply), read_left(reply[2]) if len(reply) > 2 else []),
        status=wanted,
        reason=checked_text(reason or "", "reason"),
        result="" if result is None else to_json(result, "result"),
    )


def read_left(reply: Sequence[bytes]) -> Left:
    return [(int(number), id) for number, id in (one.decode().split() for one in reply)]


def touch(keys: SessionKeys, life: str, ttl: Duration | None) -> Call[timedelta | None]:
    """Reads as the life left, or None for a persistent session."""
    return invoke(
        script("sessions/touch"),
        keys,
        lambda reply: timedelta(milliseconds=reply[1]) if reply[1] >= 0 else None,
        life=life,
        ttl="" if ttl is None else milliseconds(ttl, "ttl"),
    )


def delete(keys: SessionKeys, life: str, lease: str, updated: int | None = None) -> Call[tuple[bool, str, Left]]:
    """Reads as whether it was there, its number, and the members below it that are to be deleted first.

    With the time of its last update it is deleted only if nothing happened since.
    """
    call: Call[tuple[bool, str, Left]] = invoke(
        script("sessions/delete"),
        keys,
        lambda reply: (reply[0] == 1, reply[1].decode(), read_left(reply[2])),
        life=life,
        lease=lease or ORDER,
        updated="" if updated is None else updated,
    )
    call.repeatable = bool(life)  # blindly repeated, it could meet a session created in between
    return call


def change(
    name: Script,
    keys: SessionKeys,
    life: str,
    lease: str,
    expected_rev: int | None,
    read: Callable[[Any], T],
    *,
    rest: Sequence[Argument] = (),
    **arguments: Argument,
) -> Call[T]:
    """A change that is recognised when it is repeated, and refused when the session is not at the expected rev."""
    expected, batch = revision(expected_rev), new_operation_id()
    return invoke(name, keys, read, rest=rest, life=life, batch=batch, lease=lease, expected=expected, **arguments)  # type: ignore[arg-type]


def changed(reply: list[bytes]) -> int:
    """The rev after a change."""
    return int(reply[1].split()[0])


def revision(expected: int | None) -> int | str:
    return "" if expected is None else whole(expected, "expected_rev")


def belongs(keys: SessionKeys, found: bytes | None, life: str) -> None:
    """What the scripts check first, for replies of plain commands: the session is there, and is the one that was known."""
    if found is None:
        raise SessionNotFound(session_id=keys.id)
    if life and found.decode() != life:
        raise SessionReplaced(session_id=keys.id)
