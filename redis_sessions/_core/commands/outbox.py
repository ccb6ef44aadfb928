"""The writes of shared scopes that travel with an append: the session keeps them until they are applied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..protocol.call import Call, invoke
from ..protocol.keys import SessionKeys
from ..protocol.scripts import script
from .messages import PAGE_BYTES
from .shared import ScopeChange


class Waiting(NamedTuple):
    """Writes of one append that were not applied yet."""

    incarnation: str
    rev: str
    """The revision that the append made."""
    changes: list[ScopeChange]
    operation: str
    """The operation ID under which each scope takes its change, once. A revision can come again after an import or a failover."""


def pack(changes: Sequence[ScopeChange], operation: str) -> bytes:
    """Return changes as a session keeps them: texts, each behind its length in bytes and ':'. The operation ID comes first."""
    parts = [operation.encode()]
    for change in changes:
        parts += [change.scope.encode(), b"%d" % len(change.sets), b"%d" % len(change.removed)]
        for name, value in change.sets.items():
            parts += [name.encode(), value]
        parts += [name.encode() for name in change.removed]
    return b"".join(b"%d:%b" % (len(part), part) for part in parts)


def unpack(data: bytes) -> tuple[list[ScopeChange], str]:
    """Return the changes that `pack` packed, and their operation ID. Raises ValueError when they are damaged."""
    parts, at = [], 0
    while at < len(data):
        colon = data.index(b":", at)
        end = colon + 1 + int(data[at:colon])
        parts.append(data[colon + 1 : end])
        at = end
    changes, rest = [], iter(parts)
    try:
        operation = next(rest).decode()
        for scope in rest:
            set_count, removed_count = int(next(rest)), int(next(rest))
            sets = {next(rest).decode(): next(rest) for _ in range(set_count)}
            changes.append(ScopeChange(scope.decode(), sets, [next(rest).decode() for _ in range(removed_count)]))
    except (StopIteration, RuntimeError):
        raise ValueError("writes of shared scopes are cut") from None
    return changes, operation


def read(keys: SessionKeys, incarnation: str) -> Call[list[Waiting]]:
    """Read the writes that wait, oldest first, as many as fit a page."""

    def parse(reply: list[bytes]) -> list[Waiting]:
        found = reply[0].decode()
        pairs = zip(reply[1::2], reply[2::2], strict=True)
        return [Waiting(found, rev.decode(), *unpack(data)) for rev, data in pairs]

    return invoke(
        script("shared/read_outbox"), keys, parse, incarnation=incarnation, max_bytes=PAGE_BYTES, writes=False
    )


def clear(keys: SessionKeys, incarnation: str, revs: Sequence[str]) -> Call[int]:
    """Remove writes that were applied. The result is how many were there."""
    return invoke(script("shared/clear_outbox"), keys, int, incarnation=incarnation, rest=revs)
