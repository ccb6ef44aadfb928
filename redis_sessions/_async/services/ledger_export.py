"""Read the ledger of a session for an export, page by page, as of the moment when its fields were read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

from ..._core.commands import loops, sessions
from ..._core.protocol.keys import SessionKeys
from ..._core.protocol.records import LoopRecord
from ...errors import SessionDamaged, SessionNotFound
from ..transport.executor import Executor

_BYTES = 1024 * 1024
"""The size that one read should have, by the largest field that was read before."""
_FIRST, _MOST = 1, 256
"""The fields of the first read of a list, and the most of one read."""
Fields = list[tuple[str, bytes]]


async def ledger_fields(
    executor: Executor, keys: SessionKeys, incarnation: str, fields: Mapping[bytes, bytes]
) -> AsyncIterator[Fields]:
    """Yield the fields of the ledger in some order that an import takes. Raises SessionNotFound and SessionDamaged."""
    try:
        async for some in _all_fields(executor, keys, fields):
            yield some
    except SessionDamaged:
        await check_present(executor, keys, incarnation)
        raise
    await check_present(executor, keys, incarnation)


async def check_present(executor: Executor, keys: SessionKeys, incarnation: str) -> None:
    """Raise SessionNotFound for a session that is gone, and so its ledger, or that is another one."""
    if await executor.run(sessions.incarnation_of(keys)) != incarnation:
        raise SessionNotFound(session_id=keys.id)


async def _all_fields(executor: Executor, keys: SessionKeys, fields: Mapping[bytes, bytes]) -> AsyncIterator[Fields]:
    for loop, record in _loops(keys, fields):
        facts = [f"{kind}.{loop}" for kind in ("config", "extra", "reason", "group")]
        values = await executor.run(loops.read_fields(keys, facts))
        yield [
            (name, _found(value, keys, name, is_needed=name.startswith(("config.", "extra."))))
            for name, value in zip(facts, values, strict=True)
            if value is not None or name.startswith(("config.", "extra."))
        ]
        for kind, count in (("event", record.events), ("turn", record.turns), ("steps", record.steps)):
            async for some in _pages(executor, keys, kind, loop, count):
                yield some
                if kind == "steps":
                    for page in _step_names(loop, some):
                        values = await executor.run(loops.read_fields(keys, page))
                        yield [(name, _found(value, keys, name)) for name, value in zip(page, values, strict=True)]


def _loops(keys: SessionKeys, fields: Mapping[bytes, bytes]) -> list[tuple[str, LoopRecord]]:
    try:
        names = fields.get(b"loops", b"").decode().split()
        return [(name, LoopRecord.parse(fields[f"loop.{name}".encode()].decode())) for name in names]
    except (LookupError, ValueError) as problem:
        raise SessionDamaged(session_id=keys.id, detail=f"the record of a loop cannot be read: {problem}") from None


async def _pages(executor: Executor, keys: SessionKeys, kind: str, loop: str, count: int) -> AsyncIterator[Fields]:
    """Yield the pages of a list, without lines that came later."""
    first, size, largest = 0, _FIRST, 1
    last = -(-count // loops.PAGE_LINES)
    while first < last:
        names = [f"{kind}.{loop} {page}" for page in range(first, min(first + size, last))]
        values = await executor.run(loops.read_fields(keys, names))
        found = [(name, _found(value, keys, name)) for name, value in zip(names, values, strict=True)]
        largest = max(largest, *(len(value) for _, value in found))
        first, size = first + len(names), max(1, min(_BYTES // largest, _MOST))
        if first == last:
            name, value = found[-1]
            lines = value.split(b"\n")[: count - (last - 1) * loops.PAGE_LINES]
            found[-1] = name, b"".join(line + b"\n" for line in lines)
        yield found


def _step_names(loop: str, pages: Fields) -> Iterator[Sequence[str]]:
    for _, value in pages:
        yield [f"step.{loop} {step.decode()}" for step in value.split(b"\n")[:-1]]


def _found(value: bytes | None, keys: SessionKeys, name: str, *, is_needed: bool = True) -> bytes:
    if value is None and is_needed:
        raise SessionDamaged(session_id=keys.id, detail=f"its ledger has no field {name!r}")
    return value or b""
