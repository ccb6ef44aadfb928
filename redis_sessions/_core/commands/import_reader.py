"""Check the lines of an import: they have the form of an export, all are there, and what they say can be stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import IO, Any

from ...errors import InvalidInput
from ..protocol.hash_tag import hash_tag
from ..protocol.records import MemberRecord
from .export_format import FORMAT, VERSION
from .import_fields import (
    MESSAGE,
    Damaged,
    Entry,
    checked_id,
    read_entry,
    read_fields,
    read_members,
    stored,
    with_waits,
)
from .run_queues import INBOX_QUEUE, Work, agent_of

MAX_TREE_SESSIONS = 5001


@dataclass(slots=True)
class Archive:
    """An export that was checked, and can be read again."""

    root: str
    spool: IO[bytes]
    entries: dict[str, Entry] = field(default_factory=dict)
    members: dict[int, MemberRecord] = field(default_factory=dict)
    """The root's records of its tree, by number."""

    def read(self, entry: Entry) -> tuple[dict[bytes, bytes], Iterator[list[bytes]]]:
        """Return the fields of a session, and its messages in batches."""
        self.spool.seek(entry.offset)
        fields = json.loads(self.spool.readline())["fields"]
        by_name = with_waits({name.encode(): stored(value) for name, value in fields.items()}, self._waiting(entry))
        return by_name, self._batches(entry.messages)

    def _waiting(self, entry: Entry) -> list[int]:
        """Return the numbers of the sessions that keep a session from expiring: itself, and all below a root."""
        if entry.number == 0:
            return [one.number for one in self.entries.values() if one.waits]
        return [entry.number] if entry.waits else []

    def _batches(self, left: int) -> Iterator[list[bytes]]:
        while left:
            batch = [stored(value) for value in json.loads(self.spool.readline())["messages"]]
            left -= len(batch)
            yield batch

    def runs(self) -> list[tuple[str, str, bool]]:
        """Return agent and name of each session that must be checked, in the order of the spawns, and whether it can be claimed.

        These are runs and answered sessions that have not ended, or whose end the tree does not know, and inboxes.
        """
        named = [self._run_of(number) for number, member in sorted(self.members.items()) if member.status == "active"]
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
        while number in self.members and len(chain) <= len(self.members):
            chain.append(self.members[number].id)
            number = self.members[number].parent
        return " ".join([*chain, self.root])


class Reader:
    """Take the lines of an export, refuse a bad one at once, and keep them in a file."""

    def __init__(self, spool: IO[bytes]) -> None:
        self._spool = spool
        self._checksum = sha256()
        self._number = 0
        self._archive: Archive | None = None
        self._entry: Entry | None = None
        self._is_over = False

    def add(self, line: str | bytes) -> None:
        """Take the next line, with or without its newline. Raises InvalidInput that names the line."""
        self._number += 1
        try:
            data = (line.encode() if isinstance(line, str) else line).rstrip(b"\r\n")
            if self._is_over:
                self._check(not data, "comes after the end")
                return
            found = json.loads(data)
        except (ValueError, AttributeError, TypeError, RecursionError) as problem:
            if isinstance(problem, InvalidInput):
                raise
            raise self._refusal("is not JSON: the file was cut or changed") from None
        try:
            self._take(found if isinstance(found, dict) else {})
        except Damaged as problem:
            raise self._refusal(str(problem)) from None
        self._checksum.update(data + b"\n")
        self._spool.write(data + b"\n")

    def finish(self) -> Archive:
        """Return the whole export after its last line. Raises InvalidInput when lines are missing."""
        self._number += not self._is_over
        self._check(self._number > 1, "is missing: an export begins with a header")
        self._check(self._is_over, "is missing, with the end of the export: the file was cut")
        assert self._archive is not None
        return self._archive

    def _take(self, line: dict[str, Any]) -> None:
        if self._archive is None:
            self._begin(line)
        elif "end" in line:
            self._end(self._archive, line["end"])
        elif "fields" in line:
            self._session(self._archive, line)
        elif "messages" in line:
            self._messages(line)
        else:
            raise self._refusal("must be a session, messages, or the end")

    def _begin(self, line: dict[str, Any]) -> None:
        self._check(line.get("format") == FORMAT, f"must be the header of a {FORMAT} export")
        version = line.get("version")
        self._check(version == VERSION, f"has version {version!r}, and this package reads version {VERSION}")
        self._archive = Archive(checked_id(line.get("root")), self._spool)

    def _session(self, archive: Archive, line: dict[str, Any]) -> None:
        id, root = checked_id(line.get("session")), archive.root
        known = archive.entries.get(id)
        if id == root:
            archive.entries.clear()
            archive.members.clear()
        else:
            self._check(bool(archive.entries), f"session {id!r} comes before the root, {root!r}")
            if self._entry is not None and self._entry.id != id:
                self._check_complete(self._entry)
        self._check(hash_tag(id) == hash_tag(root), f"session {id!r} has another slot than the root, {root!r}")
        fields = read_fields(id, line.get("fields"))
        entry = read_entry(id, root, fields, self._spool.tell())
        if id == root and b"tree" in fields:
            archive.members.update(read_members(fields))
        is_same = known is None or known.incarnation == entry.incarnation
        self._check(is_same, f"session {id!r} has two incarnations")
        archive.entries[id] = self._entry = entry
        self._check(len(archive.entries) <= MAX_TREE_SESSIONS, f"a tree has at most {MAX_TREE_SESSIONS} sessions")

    def _messages(self, line: dict[str, Any]) -> None:
        entry, given = self._entry, line["messages"]
        if entry is None or line.get("session") != entry.id:
            raise self._refusal("has messages of another session than the line before")
        self._check(isinstance(given, list) and given != [], "has no messages")
        try:
            elements = [stored(value) for value in given]
        except ValueError:
            raise self._refusal(f"a message of session {entry.id!r} is not text") from None
        is_valid = all(MESSAGE.match(element) for element in elements)
        self._check(is_valid, f"the header of a message of session {entry.id!r} is damaged")
        entry.messages += len(elements)

    def _end(self, archive: Archive, end: Any) -> None:
        self._check(isinstance(end, dict), "must be the end of an export")
        is_unchanged = end.get("sha256") == self._checksum.hexdigest()
        self._check(is_unchanged, "has another checksum than the lines before: one of them was changed")
        if self._entry is not None:
            self._check_complete(self._entry)
        counts = (len(archive.entries), sum(entry.messages for entry in archive.entries.values()))
        stated = (end.get("sessions"), end.get("messages"))
        self._check(
            counts == stated and counts > (0, 0), f"states {stated} sessions and messages, and there are {counts}"
        )
        self._is_over = True

    def _check_complete(self, entry: Entry) -> None:
        self._check(
            entry.messages == entry.expected_messages,
            f"session {entry.id!r} has {entry.messages} messages, and its counters say {entry.expected_messages}",
        )

    def _check(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise self._refusal(otherwise)

    def _refusal(self, detail: str) -> InvalidInput:
        return InvalidInput(name="lines", detail=f"line {self._number} {detail}")
