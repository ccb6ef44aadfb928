"""An export that was read and checked, until an import stores it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

from ..commands.run_queues import INBOX_QUEUE, agent_of
from ..protocol.records import MemberRecord
from ..protocol.work import Work
from .import_fields import Entry, with_waits
from .import_spool import read_parts
from .import_tree import Tree

Pairs = list[tuple[bytes, bytes]]


@dataclass(slots=True)
class Archive:
    """An export that was checked, and can be read again."""

    root: str
    spool: IO[bytes]
    entries: dict[str, Entry] = field(default_factory=dict)
    tree: Tree | None = None
    namespace: str | None = None
    """The namespace that was exported, if the header names it."""

    @property
    def members(self) -> dict[int, MemberRecord]:
        """The root's records of its tree, by number."""
        return self.tree.members if self.tree else {}

    def read(self, entry: Entry) -> tuple[dict[bytes, bytes], Iterator[list[bytes]], Iterator[Pairs], Iterator[Pairs]]:
        """Return the fields of a session, its messages in batches, and behind them the fields of its ledger and of its parts."""
        self.spool.seek(entry.offset)
        parts = read_parts(self.spool)
        fields = dict(zip(parts[::2], parts[1::2], strict=True))
        ledger, of_parts = self._pair_batches(entry.ledger_fields), self._pair_batches(entry.part_fields)
        return with_waits(fields, self._waiting(entry)), self._batches(entry.messages), ledger, of_parts

    def _waiting(self, entry: Entry) -> list[int]:
        """Return the numbers of the sessions that keep a session from expiring: itself, and all below a root."""
        if entry.number == 0:
            return [one.number for one in self.entries.values() if one.waits]
        return [entry.number] if entry.waits else []

    def _batches(self, left: int) -> Iterator[list[bytes]]:
        while left:
            batch = read_parts(self.spool)
            left -= len(batch)
            yield batch

    def _pair_batches(self, left: int) -> Iterator[Pairs]:
        while left:
            parts = read_parts(self.spool)
            left -= len(parts) // 2
            yield list(zip(parts[::2], parts[1::2], strict=True))

    def runs(self) -> list[tuple[str, str, bool]]:
        """Return agent and name of each session that must be checked, in the order of the spawns, and whether it can be claimed.

        These are runs and answered sessions that have not ended, or whose end the tree does not know, and inboxes.
        """
        named = [self._run_of(number) for number, member in self.members.items() if member.status == "active"]
        found = {Work.parse(run).id: run for run in named}
        found |= {entry.id: entry.work for entry in self.entries.values() if entry.is_checked}
        return [
            (self._agent_of(id), run, id in self.entries and self.entries[id].is_claimable) for id, run in found.items()
        ]

    def _agent_of(self, id: str) -> str:
        entry = self.entries.get(id)
        return (entry.agent if entry else "") or agent_of(id) or INBOX_QUEUE

    def _run_of(self, number: int) -> str:
        chain: list[str] = []
        while number:
            chain.append(self.members[number].id)
            number = self.members[number].parent
        return " ".join([*chain, self.root])
