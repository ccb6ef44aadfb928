"""Calls on the ledger of a session: its loops, their usage, events and turns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from ..._durations import moment, whole
from ...errors import InvalidInput
from ...models.loops import Ledger, LoopConfig, LoopEvent, LoopInfo, LoopTurn, ParallelGroup, Usage
from ...models.pages import Page
from ...settings import DEFAULT_BOUNDS, MICROS, StorageBounds
from ..protocol.call import Call, invoke
from ..protocol.ids import check_id
from ..protocol.json_values import from_json, to_json
from ..protocol.keys import SessionKeys
from ..protocol.records import LoopRecord
from ..protocol.scripts import script
from .guarded_write import guarded_write, new_rev, result_number
from .session_fields import checked_choice, checked_text, reason_text
from .storage_bounds import check_size

M = TypeVar("M", bound=BaseModel)
_USAGE_NAMES = ("input", "output", "reasoning", "cache_read", "cache_write", "total")


def validated(model: type[M], given: M | Mapping[str, Any], name: str) -> M:
    """Return a model, made from a mapping if need be. Raises InvalidInput that names the field."""
    try:
        return given if isinstance(given, model) else model.model_validate(dict(given))
    except (ValidationError, TypeError, ValueError) as problem:
        first = problem.errors()[0] if isinstance(problem, ValidationError) else {"loc": (), "msg": str(problem)}
        where = ".".join(str(part) for part in (name, *first["loc"]))
        raise InvalidInput(name=where, detail=first["msg"]) from None


def sized(bounds: StorageBounds, bound: str, value: Any, name: str) -> str:
    """Return a value as JSON within a bound. Raises InvalidInput."""
    text = to_json(value, name)
    check_size(bounds, bound, text, name)
    return text


def start(
    keys: SessionKeys, incarnation: str, lease: str, loop_id: str, *, status: str,
    config: LoopConfig | Mapping[str, Any] | None, parent: str | None, group: str | None, continuation: str | None,
    metadata: Mapping[str, Any] | None, bounds: StorageBounds = DEFAULT_BOUNDS,
) -> Call[int]:  # fmt: skip
    """Start a loop. The result is the new revision."""
    checked_choice(status, "status", ("pending", "running"))
    facts: dict[str, Any] = {}
    for name, id in (("parent", parent), ("group", group)):
        if id is not None:
            facts[name] = check_id(id, name, 128)
    if continuation is not None:
        facts["continuation"] = checked_text(continuation, "continuation")
    if config is not None:
        facts["config"] = validated(LoopConfig, config, "config").model_dump(exclude_none=True)
    return guarded_write(
        script("loops/start"), keys, incarnation, lease, None, new_rev, loop_id=loop_id, status=status,
        config=sized(bounds, "loop_config_bytes", facts, "config"),
        metadata=sized(bounds, "loop_metadata_bytes", dict(metadata or {}), "metadata"), max_fields=bounds.fields,
    )  # fmt: skip


def set_status(
    keys: SessionKeys,
    incarnation: str,
    lease: str,
    loop_id: str,
    status: str,
    reason: str | None,
    bounds: StorageBounds = DEFAULT_BOUNDS,
) -> Call[int]:
    """Change a loop's status. The result is the new revision."""
    return guarded_write(
        script("loops/set_status"), keys, incarnation, lease, None, new_rev, loop_id=loop_id, status=status,
        reason=reason_text(reason, bounds),
    )  # fmt: skip


def record_usage(
    keys: SessionKeys,
    incarnation: str,
    lease: str,
    loop_id: str,
    step_id: str,
    usage: Usage | Mapping[str, Any],
    bounds: StorageBounds = DEFAULT_BOUNDS,
) -> Call[Usage]:
    """Record the usage of one step. The result is the usage of the whole loop."""
    row = _usage_row(validated(Usage, usage, "usage"))
    return guarded_write(
        script("loops/record_usage"), keys, incarnation, lease, None,
        lambda reply: _read_usage(reply[1].split(b" ", 2)[2]),
        loop_id=loop_id, step_id=check_id(step_id, "step_id", 128), usage=row, max_fields=bounds.fields,
    )  # fmt: skip


def append_record(
    keys: SessionKeys,
    incarnation: str,
    lease: str,
    loop_id: str,
    kind: Literal["event", "turn"],
    value: Any,
    bounds: StorageBounds = DEFAULT_BOUNDS,
) -> Call[int]:
    """Add an event or a turn. The result is its number."""
    return guarded_write(
        script("loops/append_record"), keys, incarnation, lease, None, result_number, loop_id=loop_id, kind=kind,
        value=sized(bounds, f"loop_{kind}_bytes", value, kind), max_fields=bounds.fields,
    )  # fmt: skip


def put_field(
    keys: SessionKeys,
    incarnation: str,
    lease: str,
    loop_id: str,
    field: Literal["metadata", "group"],
    value: Any,
    bounds: StorageBounds = DEFAULT_BOUNDS,
) -> Call[int]:
    """Replace a loop's metadata, or what is known of its group. The result is the new revision."""
    prefix = "extra" if field == "metadata" else field
    return guarded_write(
        script("loops/put_field"), keys, incarnation, lease, None, new_rev, loop_id=loop_id, prefix=prefix,
        value=sized(bounds, "loop_metadata_bytes", value, field), max_fields=bounds.fields,
    )  # fmt: skip


def ledger(keys: SessionKeys, incarnation: str) -> Call[Ledger]:
    """Read all loops of a session."""

    def read(reply: list[bytes]) -> Ledger:
        loops: list[LoopInfo] = []
        selections: dict[str, dict[str, Any]] = {}
        for at in range(2, len(reply), 6):
            id, record, facts, metadata, reason, group = (part.decode() for part in reply[at : at + 6])
            loop = _loop_info(id, LoopRecord.parse(record), from_json(facts), from_json(metadata), reason)
            loops.append(loop)
            if group and loop.group:
                selections[loop.group] = from_json(group)
        members: dict[str, list[str]] = {}
        for loop in loops:
            if loop.group:
                members.setdefault(loop.group, []).append(loop.id)
        groups = {group: ParallelGroup(loops=ids, **selections.get(group, {})) for group, ids in members.items()}
        return Ledger(session_id=keys.id, loops=loops, usage=_read_usage(reply[1]), groups=groups)

    return invoke(script("loops/read_ledger"), keys, read, incarnation=incarnation, writes=False)


def events(keys: SessionKeys, incarnation: str, loop_id: str, limit: int, cursor: str | None) -> Call[Page[LoopEvent]]:
    """Read a page of a loop's events."""

    def read(number: int, text: bytes) -> LoopEvent:
        ms, value = text.split(b" ", 1)
        return LoopEvent(seq=number, at=moment(ms), payload=from_json(value))

    return _page(keys, incarnation, loop_id, "event", limit, cursor, read)


def turns(keys: SessionKeys, incarnation: str, loop_id: str, limit: int, cursor: str | None) -> Call[Page[LoopTurn]]:
    """Read a page of a loop's turns."""

    def read(number: int, text: bytes) -> LoopTurn:
        return LoopTurn.model_validate_json(text.split(b" ", 1)[1])

    return _page(keys, incarnation, loop_id, "turn", limit, cursor, read)


def _page(
    keys: SessionKeys, incarnation: str, loop_id: str, kind: str, limit: int, cursor: str | None, read_one: Any
) -> Call[Page[Any]]:
    whole(limit, "limit", minimum=1, maximum=1000)
    if cursor is not None and not (isinstance(cursor, str) and cursor.isascii() and cursor.isdigit()):
        raise InvalidInput(name="cursor", detail=f"must be the cursor of a page of {kind}s, got {cursor!r}")
    after = int(cursor or 0)

    def read(reply: Any) -> Page[Any]:
        _, first, count, *records = reply
        items = [read_one(number, record) for number, record in enumerate(records, first)]
        last = first + len(items) - 1
        return Page(items, str(last) if last < count else None)

    return invoke(
        script("loops/list_records"), keys, read, incarnation=incarnation, loop_id=loop_id, kind=kind, after=after,
        limit=limit, writes=False,
    )  # fmt: skip


def stored_turn(given: dict[str, Any]) -> dict[str, Any]:
    """Return a turn as it is stored. Raises InvalidInput."""
    values = ("inputs", "output", "tool_results", "request")
    given = given | {name: from_json(to_json(given[name], name)) for name in values if given.get(name) is not None}
    turn = validated(LoopTurn, given, "turn")
    if turn.ended_at < turn.started_at:
        raise InvalidInput(name="turn.ended_at", detail="must not be before started_at")
    return turn.model_dump(mode="json", exclude_none=True)


def _loop_info(id: str, record: LoopRecord, facts: dict[str, Any], metadata: dict[str, Any], reason: str) -> LoopInfo:
    return LoopInfo(
        id=id,
        status=record.status,
        metadata=metadata,
        reason=reason or None,
        created_at=moment(record.created),
        started_at=_moment(record.started),
        finished_at=_moment(record.finished),
        events=record.events,
        turns=record.turns,
        usage=_read_usage(record.usage.encode()),
        **facts,
    )


def _moment(text: str) -> datetime | None:
    return None if text == "-" else moment(text)


def _usage_row(usage: Usage) -> str:
    numbers = [getattr(usage, name) for name in _USAGE_NAMES]
    return " ".join(str(number) for number in [*numbers, math.ceil(round(usage.cost * MICROS, 3))])


def _read_usage(row: bytes) -> Usage:
    *numbers, cost = (int(word) for word in row.split())
    return Usage(**dict(zip(_USAGE_NAMES, numbers, strict=True)), cost=cost / MICROS)
