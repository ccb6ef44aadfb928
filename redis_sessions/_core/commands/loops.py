"""Calls on the ledger of a session: its loops, their usage, events and turns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from ..._arguments import mapping
from ..._durations import moment, whole
from ...bounds import DEFAULT_BOUNDS, StorageBounds
from ...errors import InvalidInput
from ...models.loops import Ledger, LoopConfig, LoopEvent, LoopInfo, LoopTurn, ParallelGroup, Usage
from ...models.pages import Page
from ...settings import MICROS
from ..protocol.call import Call, invoke
from ..protocol.ids import check_id
from ..protocol.json_values import from_json, to_json, to_plain
from ..protocol.keys import SessionKeys
from ..protocol.records import LoopRecord
from ..protocol.scripts import script
from .guarded_write import guarded_write, new_rev, result_number
from .session_fields import checked_choice, checked_text, reason_text
from .storage_bounds import check_size

M = TypeVar("M", bound=BaseModel)
PAGE_LINES = 16
"""The number of events, turns or step IDs in one page, which is a field of the ledger."""
PAGE_LOOPS = 200
"""The most loops of one reply."""
PAGE_BYTES = 1024 * 1024
"""Bytes at which a reply is full."""
LEDGER_EXTRA_TTL_MS = 31 * 24 * 3600 * 1000
"""The time for which a ledger outlives its session, unless it is removed. See lib/session/expire_after_session.lua."""
_USAGE_NAMES = ("input", "output", "reasoning", "cache_read", "cache_write", "total")
_MAX_STEP_TOKENS, _MAX_STEP_COST = 10**13, 10**9


def validated(model: type[M], given: M | Mapping[str, Any], name: str) -> M:
    """Return a model, made from a mapping if need be. Raises InvalidInput that names the field."""
    try:
        return given if isinstance(given, model) else model.model_validate(dict(mapping(given, name)))
    except ValidationError as problem:
        first = problem.errors()[0]
        where = ".".join(str(part) for part in (name, *first["loc"]))
        raise InvalidInput(name=where, detail=first["msg"]) from None


def json_object(given: Any, name: str) -> dict[str, Any]:
    """Return a mapping, or a pydantic model, as a dict. Raises InvalidInput for anything else."""
    plain = to_plain(given)
    if not isinstance(plain, Mapping):
        raise InvalidInput(name=name, detail=f"must be a JSON object, got {type(given).__name__}")
    return dict(plain)


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
        metadata=sized(bounds, "loop_metadata_bytes", json_object(metadata or {}, "metadata"), "metadata"),
        max_loops=bounds.loops,
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
        loop_id=loop_id, step_id=check_id(step_id, "step_id", 128), usage=row, max_records=bounds.loop_records,
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
        value=sized(bounds, f"loop_{kind}_bytes", value, kind), max_records=bounds.loop_records,
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
        value=sized(bounds, "loop_metadata_bytes", value, field),
    )  # fmt: skip


class LedgerPage(NamedTuple):
    """Some loops of a session, in the order of their starts."""

    incarnation: str
    usage: Usage
    total: int
    """The number of all loops."""
    loops: list[LoopInfo]
    selections: dict[str, ParallelGroup]
    """The selections of parallel groups, by the names of the groups. They have no loops."""


def read_ledger(keys: SessionKeys, incarnation: str, first: int) -> Call[LedgerPage]:
    """Read loops of a session, behind the first `first`."""

    def read(reply: list[Any]) -> LedgerPage:
        found: list[LoopInfo] = []
        selections: dict[str, ParallelGroup] = {}
        for at in range(3, len(reply), 6):
            id, record, facts, metadata, reason, group = (part.decode() for part in reply[at : at + 6])
            loop = loop_info(id, LoopRecord.parse(record), from_json(facts), from_json(metadata), reason)
            found.append(loop)
            if group and loop.group:
                selections[loop.group] = ParallelGroup(loops=[], **from_json(group))
        return LedgerPage(reply[0].decode(), _read_usage(reply[1]), reply[2], found, selections)

    return invoke(
        script("loops/read_ledger"),
        keys,
        read,
        incarnation=incarnation,
        first=first,
        limit=PAGE_LOOPS,
        max_bytes=PAGE_BYTES,
        writes=False,
    )


def ledger_of(session_id: str, pages: Sequence[LedgerPage]) -> Ledger:
    """Return the ledger that was read page by page."""
    loops = [loop for page in pages for loop in page.loops]
    selections = {group: facts for page in pages for group, facts in page.selections.items()}
    members: dict[str, list[str]] = {}
    for loop in loops:
        if loop.group:
            members.setdefault(loop.group, []).append(loop.id)
    none = ParallelGroup(loops=[])
    groups = {group: selections.get(group, none).model_copy(update={"loops": ids}) for group, ids in members.items()}
    return Ledger(session_id=session_id, loops=loops, usage=pages[-1].usage, groups=groups)


def read_event(number: int, line: bytes) -> LoopEvent:
    """Return the event of a line of the ledger. Raises ValueError."""
    ms, value = line.split(b" ", 1)
    return LoopEvent(seq=number, at=moment(ms), payload=from_json(value))


def read_turn(number: int, line: bytes) -> LoopTurn:
    """Return the turn of a line of the ledger. Raises ValueError."""
    return LoopTurn.model_validate_json(line.split(b" ", 1)[1])


def events(keys: SessionKeys, incarnation: str, loop_id: str, limit: int, cursor: str | None) -> Call[Page[LoopEvent]]:
    """Read a page of a loop's events."""
    return _page(keys, incarnation, loop_id, "event", limit, cursor, read_event)


def turns(keys: SessionKeys, incarnation: str, loop_id: str, limit: int, cursor: str | None) -> Call[Page[LoopTurn]]:
    """Read a page of a loop's turns."""
    return _page(keys, incarnation, loop_id, "turn", limit, cursor, read_turn)


def _page(
    keys: SessionKeys, incarnation: str, loop_id: str, kind: str, limit: int, cursor: str | None, read_one: Any
) -> Call[Page[Any]]:
    whole(limit, "limit", minimum=1, maximum=1000)
    if cursor is not None and not (
        isinstance(cursor, str) and cursor.isascii() and cursor.isdigit() and len(cursor) < 16
    ):
        raise InvalidInput(name="cursor", detail=f"must be the cursor of a page of {kind}s, got {cursor!r}")
    after = int(cursor or 0)

    def read(reply: Any) -> Page[Any]:
        _, count, first, *pages = reply
        lines = [line for page in pages for line in page.split(b"\n")[:-1]]
        at, expected = after - first * PAGE_LINES, min(count, (first + len(pages)) * PAGE_LINES) - first * PAGE_LINES
        if len(lines) < expected:
            raise ValueError(f"{kind}s of loop {loop_id!r} are missing")
        items = [read_one(after + number, line) for number, line in enumerate(lines[at:expected][:limit], 1)]
        last = after + len(items)
        return Page(items, str(last) if items and last < count else None)

    return invoke(
        script("loops/list_records"), keys, read, incarnation=incarnation, loop_id=loop_id, kind=kind, after=after,
        limit=limit, max_bytes=PAGE_BYTES, writes=False,
    )  # fmt: skip


def extend(keys: SessionKeys, key: str, ttl_ms: int) -> Call[None]:
    """Let the ledger or the parts of a session outlive it by 31 days.

    Args:
        key: the key of the ledger, or one of the parts.
        ttl_ms: the life that the session has left, -1 for no end.
    """
    if ttl_ms == -1:
        return Call(("PERSIST", key), keys, lambda reply: None)
    return Call(("PEXPIRE", key, ttl_ms + LEDGER_EXTRA_TTL_MS), keys, lambda reply: None)


def read_fields(keys: SessionKeys, names: Sequence[str]) -> Call[list[bytes | None]]:
    """Read fields of a ledger as they are stored."""
    return Call(("HMGET", keys.ledger, *names), keys, list, writes=False)


def stored_turn(given: dict[str, Any]) -> dict[str, Any]:
    """Return a turn as it is stored. Raises InvalidInput."""
    values = ("inputs", "output", "tool_results", "request")
    given = given | {name: from_json(to_json(given[name], name)) for name in values if given.get(name) is not None}
    turn = validated(LoopTurn, given, "turn")
    for name in ("started_at", "ended_at"):
        if getattr(turn, name).utcoffset() is None:
            raise InvalidInput(name=f"turn.{name}", detail=f"must have a time zone, got {getattr(turn, name)}")
    if turn.ended_at < turn.started_at:
        raise InvalidInput(name="turn.ended_at", detail="must not be before started_at")
    return turn.model_dump(mode="json", exclude_none=True)


def loop_info(id: str, record: LoopRecord, facts: dict[str, Any], metadata: dict[str, Any], reason: str) -> LoopInfo:
    """Return what is stored of a loop. Raises ValueError and TypeError when it is damaged."""
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
    """Return the usage of one step as it is stored. Raises InvalidInput. Sums of steps may be larger than one step."""
    for name in (*_USAGE_NAMES, "cost"):
        maximum = _MAX_STEP_COST if name == "cost" else _MAX_STEP_TOKENS
        if (found := getattr(usage, name)) > maximum:
            raise InvalidInput(name=f"usage.{name}", detail=f"must be at most {maximum} for one step, got {found}")
    numbers = [getattr(usage, name) for name in _USAGE_NAMES]
    return " ".join(str(number) for number in [*numbers, math.ceil(round(usage.cost * MICROS, 3))])


def _read_usage(row: bytes) -> Usage:
    *numbers, cost = (int(word) for word in row.split())
    return Usage(**dict(zip(_USAGE_NAMES, numbers, strict=True)), cost=cost / MICROS)
