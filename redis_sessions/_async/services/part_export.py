"""Read the parts of a session as they are stored, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from ..._core.commands import stored_parts as parts
from ..._core.commands.stored_parts import StoredPart
from ..._core.protocol.keys import SessionKeys
from ..._core.protocol.records import PartRecord
from ..transport.executor import Executor
from .ledger_export import check_present

Fields = list[tuple[str, bytes]]


class PartsChanged(Exception):
    """A part was cleared or deleted while it was read."""


async def stored_parts(executor: Executor, keys: SessionKeys, incarnation: str) -> AsyncIterator[StoredPart]:
    """Yield the parts of a session with their records, by name."""
    cursor = ""
    while True:
        page = await executor.run(parts.read_stored(keys, incarnation, cursor))
        for part in page:
            yield part
        if not page:
            return
        cursor = page[-1].name


async def part_fields(
    executor: Executor, keys: SessionKeys, incarnation: str, fields: Mapping[bytes, bytes]
) -> AsyncIterator[Fields]:
    """Yield the fields of the parts in the order that an import takes. Raises PartsChanged, SessionNotFound."""
    if b"has_parts" not in fields:
        return
    numbers = messages = size = count = ids = 0
    async for part in stored_parts(executor, keys, incarnation):
        part_size = 0
        async for some in _messages(executor, keys, part):
            part_size += sum(len(value) for name, value in some if name.startswith("message."))
            yield some
        record = part.record._replace(bytes=part_size)
        batches = await executor.run(parts.read_part_fields(keys, [f"part.{part.name}", f"batches.{record.number}"]))
        if batches[0] is None or PartRecord.parse(batches[0]).first_seq != record.first_seq:
            raise PartsChanged
        yield [
            (f"part.{part.name}", " ".join(map(str, record)).encode()),
            (f"batches.{record.number}", parts.batches_until(batches[1] or b"", record.last_seq)),
        ]
        numbers, count = max(numbers, record.number), count + 1
        messages, size = messages + record.last_seq - record.first_seq + 1, size + part_size
    async for known in _own_ids(executor, keys):
        ids += len(known)
        yield known
    numbers = max(numbers, await executor.run(parts.last_number(keys)))
    await check_present(executor, keys, incarnation)
    yield [("totals", f"{numbers} {count} {messages} {size} {ids}".encode())]


async def _messages(executor: Executor, keys: SessionKeys, part: StoredPart) -> AsyncIterator[Fields]:
    """Yield the messages of a part, each with its ID behind it. Raises PartsChanged."""
    first, size = part.record.first_seq, parts.page_size(part.record)
    while first <= part.record.last_seq:
        seqs = range(first, min(first + size, part.record.last_seq + 1))
        names = [f"message.{part.record.number} {seq}" for seq in seqs]
        values = await executor.run(parts.read_part_fields(keys, names))
        found = [value for value in values if value is not None]
        if len(found) < len(values):
            raise PartsChanged
        id_names = [parts.id_field(part.record.number, value) for value in found]
        ids = await executor.run(parts.read_part_fields(keys, id_names))
        some: Fields = []
        for name, value, id_name, id in zip(names, found, id_names, ids, strict=True):
            some.append((name, value))
            if id is not None:
                some.append((id_name, id))
        yield some
        first = seqs[-1] + 1


async def _own_ids(executor: Executor, keys: SessionKeys) -> AsyncIterator[Fields]:
    """Yield the IDs of the session's own messages, each once."""
    cursor, seen = b"0", set[bytes]()
    while True:
        cursor, found = await executor.run(parts.scan_own_ids(keys, cursor))
        some = [(name.decode(), value) for name, value in found if name not in seen]
        seen.update(name for name, _ in found)
        if some:
            yield some
        if cursor == b"0":
            return
