"""Loops: the calls that start, change and read them, and the reading of their replies."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ..errors import InvalidInput
from ..models.loops import Ledger, LoopConfig, LoopEvent, LoopInfo, LoopTurn, ParallelGroup, Usage
from ..settings import MICROS
from .calls import Call, invoke
from .codec import from_json, to_json
from .descriptions import checked_text
from .ids import check_id
from .keys import SessionKeys
from .scripts import script
from .sessions import MOST_FIELDS, change, changed
from .units import moment, whole

M = TypeVar("M", bound=BaseModel)
STATUSES = ("pending", "running")


def checked(model: type[M], given: M | Mapping[str, Any], name: str) -> M:
    """The model itself, or what a mapping makes of it; a refusal that names the field when it does not fit."""
    try:
        return given if isinstance(given, model) else model.model_validate(dict(given))
    except (ValidationError, TypeError, ValueError) as problem:
        first = problem.errors()[0] if isinstance(problem, ValidationError) else {"loc": (), "msg": str(problem)}
        where = ".".join(str(part) for part in (name, *first["loc"]))
        raise InvalidInput(name=where, detail=first["msg"]) from None


def start(
    keys: SessionKeys, life: str, lease: str, loop: str, *, status: str, config: LoopConfig | Mapping[str, Any] | None,
    parent: str | None, group: str | None, continuation: str | None, metadata: Mapping[str, Any] | None,
) -> Call[int]:  # fmt: skip
    if status not in STATUSES:
        raise InvalidInput(name="status", detail=f"{status!r} is none of {', '.join(STATUSES)}")
    facts: dict[str, Any] = {}
    for name, id in (("parent", parent), ("group", group)):
        if id is not None:
            facts[name] = check_id(id, name, 128)
    if continuation is not None:
        facts["continuation"] = checked_text(continuation, "continuation")
    if config is not None:
        facts["config"] = checked(LoopConfig, config, "config").model_dump(exclude_none=True)
    return change(
        script("loops/start"), keys, life, lease, None, changed, loop=loop, status=status,
        config=to_json(facts, "config"), extra=to_json(dict(metadata or {}), "metadata"), most=MOST_FIELDS,
    )  # fmt: skip


def status(keys: SessionKeys, life: str, lease: str, loop: str, wanted: str, reason: str | None) -> Call[int]:
    """Reads as the rev."""
    reason = checked_text(reason or "", "reason")
    return change(script("loops/status"), keys, life, lease, None, changed, loop=loop, status=wanted, reason=reason)


def record(
    keys: SessionKeys, life: str, lease: str, loop: str, step_id: str, usage: Usage | Mapping[str, Any]
) -> Call[Usage]:
    """Reads as what the loop used in all."""
    found = checked(Usage, usage, "usage")
    return change(
        script("loops/record"), keys, life, lease, None,
        lambda reply: _usage(reply[1].split(b" ", 2)[2]),
        loop=loop, step=check_id(step_id, "step_id", 128), usage=_row(found), most=MOST_FIELDS,
    )  # fmt: skip


def note(keys: SessionKeys, life: str, lease: str, loop: str, what: str, value: Any) -> Call[int]:
    """Reads as the number of the event or turn that was added."""
    return change(
        script("loops/note"), keys, life, lease, None, lambda reply: int(reply[1].split()[1]),
        loop=loop, what=what, value=to_json(value, what), most=MOST_FIELDS,
    )  # fmt: skip


def ledger(keys: SessionKeys, life: str) -> Call[Ledger]:
    def read(reply: list[bytes]) -> Ledger:
        loops: list[LoopInfo] = []
        chosen: dict[str, dict[str, Any]] = {}
        for at in range(3, len(reply), 6):
            id, header, facts, extra, why, group = (part.decode() for part in reply[at : at + 6])
            loop = _loop(id, header, from_json(facts), from_json(extra), why)
            loops.append(loop)
            if group and loop.group:
                chosen[loop.group] = from_json(group)
        members: dict[str, list[str]] = {}
        for loop in loops:
            if loop.group:
                members.setdefault(loop.group, []).append(loop.id)
        groups = {group: ParallelGroup(loops=ids, **chosen.get(group, {})) for group, ids in members.items()}
        return Ledger(session_id=keys.id, loops=loops, usage=_usage(reply[2]), groups=groups)

    return invoke(script("loops/read"), keys, read, life=life, writes=False)


def events(keys: SessionKeys, life: str, loop: str, after: int, limit: int) -> Call[list[LoopEvent]]:
    def read(reply: Any) -> list[LoopEvent]:
        found = enumerate((one.split(b" ", 1) for one in reply[2:]), reply[1])
        return [LoopEvent(seq=number, at=moment(ms), payload=from_json(value)) for number, (ms, value) in found]

    return _page(keys, life, loop, "event", after, limit, read)


def turns(keys: SessionKeys, life: str, loop: str, after: int, limit: int) -> Call[list[LoopTurn]]:
    def read(reply: Any) -> list[LoopTurn]:
        return [LoopTurn.model_validate_json(one.split(b" ", 1)[1]) for one in reply[2:]]

    return _page(keys, life, loop, "turn", after, limit, read)


def _page(keys: SessionKeys, life: str, loop: str, what: str, after: int, limit: int, read: Any) -> Call[Any]:
    whole(after, "after")
    whole(limit, "limit", least=1, most=1000)
    return invoke(
        script("loops/page"), keys, read, life=life, loop=loop, what=what, after=after, limit=limit, writes=False
    )


def turn(given: dict[str, Any]) -> dict[str, Any]:
    """A turn as it is stored."""
    found = checked(LoopTurn, given, "turn")
    if found.ended_at < found.started_at:
        raise InvalidInput(name="turn.ended_at", detail="is before its start")
    for name in ("inputs", "output", "tool_results", "request"):
        to_json(given.get(name), name)
    return found.model_dump(mode="json", exclude_none=True)


def _loop(id: str, header: str, facts: dict[str, Any], extra: dict[str, Any], why: str) -> LoopInfo:
    status, created, started, finished, count, turns, usage = header.split(" ", 6)
    return LoopInfo(
        id=id,
        status=status,
        metadata=extra,
        reason=why or None,
        created_at=moment(created),
        started_at=_moment(started),
        finished_at=_moment(finished),
        events=int(count),
        turns=int(turns),
        usage=_usage(usage.encode()),
        **facts,
    )


def _moment(text: str) -> datetime | None:
    return None if text == "-" else moment(text)


def _row(usage: Usage) -> str:
    """Usage as scripts add it up."""
    numbers = [usage.input, usage.output, usage.reasoning, usage.cache_read, usage.cache_write, usage.total]
    return " ".join(str(number) for number in [*numbers, math.ceil(round(usage.cost * MICROS, 3))])


def _usage(row: bytes) -> Usage:
    *numbers, cost = (int(word) for word in row.split())
    names = ("input", "output", "reasoning", "cache_read", "cache_write", "total")
    return Usage(**dict(zip(names, numbers, strict=True)), cost=cost / MICROS)
