"""The checking of an import: its lines are as `exports` writes them, all are there, and what they say can be stored."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import IO, Any

from ..errors import InvalidInput, InvalidState
from .descriptions import describe
from .exports import FORMAT, OF_NOW, VERSION
from .ids import check_id
from .indexes import Facts
from .routing import tag
from .sessions import read_info

MOST_SESSIONS = 5001
_ELEMENT = re.compile(rb"\d{13}[suatckev][@A]\d{1,10} [^ ]+ ")
_NEEDED = {
    b"life": re.compile(rb"[0-9a-f]{12}"),
    b"status": re.compile(rb"active|paused|completed|failed|cancelled|timed_out"),
    b"counts": re.compile(rb"\d{1,16}( \d{1,16}){10}"),
    b"rules": re.compile(rb"\d{1,16} (oldest|tool_safe|turn) \d{1,16} \d{1,16} (\d{1,16}|-)"),
    b"created": re.compile(rb"\d{1,16}"),
    b"max_tokens": re.compile(rb"\d{1,16}"),
    b"max_inbox": re.compile(rb"\d{1,16}"),
}
_LEASE = re.compile(rb"\d{1,16} - 0 -")
_RUN = re.compile(r"\d+ (\d+|-) (\d+|-)")
_PLACE = re.compile(r"\d+ [0-9a-f]{12} /\S+/ \S+( \S+)+")
_MEMBER = re.compile(r"(\S+) (\d+) (\S+) ")


@dataclass(slots=True)
class Entry:
    """One session of an export: where it begins, and what is to be known of it before it is read again."""

    id: str
    life: str
    offset: int
    fields: int
    due: int
    """How many messages its counts say it has."""
    run: str
    """As queues name it; empty for a root."""
    is_open: bool
    is_claimable: bool
    elements: int = 0


@dataclass(slots=True)
class Archive:
    """An export that was checked, and can be read again."""

    root: str
    spool: IO[bytes]
    entries: dict[str, Entry] = field(default_factory=dict)
    members: dict[int, tuple[str, int, str]] = field(default_factory=dict)
    """What the root knows of its tree: id, number of the parent, status."""

    def read(self, entry: Entry) -> tuple[dict[bytes, bytes], Iterator[list[bytes]]]:
        """The fields of a session, and its messages in batches."""
        self.spool.seek(entry.offset)
        fields = json.loads(self.spool.readline())["fields"]
        return {name.encode(): _stored(value) for name, value in fields.items()}, self._batches(entry.elements)

    def _batches(self, left: int) -> Iterator[list[bytes]]:
        while left:
            batch = [_stored(value) for value in json.loads(self.spool.readline())["messages"]]
            left -= len(batch)
            yield batch

    def runs(self) -> list[tuple[str, bool]]:
        """Runs that have not ended, or of whose end their tree does not know, in the order of spawning; and whether they wait
        for a worker."""
        named = [self._named(number) for number, member in sorted(self.members.items()) if member[2] == "active"]
        found = {run.split(" ", 1)[0]: run for run in named}
        found |= {entry.id: entry.run for entry in self.entries.values() if entry.run and entry.is_open}
        return [(run, id in self.entries and self.entries[id].is_claimable) for id, run in found.items()]

    def _named(self, number: int) -> str:
        chain: list[str] = []
        while number in self.members and len(chain) <= len(self.members):
            id, number, _ = self.members[number]
            chain.append(id)
        return " ".join([*chain, self.root])


class Reader:
    """Takes the lines of an export, refusing at once what is none, and keeps them in a file of the caller's."""

    def __init__(self, spool: IO[bytes]) -> None:
        self._spool = spool
        self._checksum = sha256()
        self._number = 0
        self._archive: Archive | None = None
        self._entry: Entry | None = None
        self._is_over = False

    def add(self, line: str | bytes) -> None:
        """The next line, with or without its newline. Raises InvalidInput."""
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
            raise self._refusal("is no JSON: the file was cut or changed") from None
        self._take(found if isinstance(found, dict) else {})
        self._checksum.update(data + b"\n")
        self._spool.write(data + b"\n")

    def finish(self) -> Archive:
        """The whole, when its last line was there. Raises InvalidInput."""
        self._number += not self._is_over
        self._check(self._number > 1, "there is nothing; an export begins with a header")
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
            raise self._refusal("is neither a session nor its messages nor the end")

    def _begin(self, line: dict[str, Any]) -> None:
        self._check(line.get("format") == FORMAT, f"is no header of a {FORMAT} export")
        version = line.get("version")
        self._check(version == VERSION, f"is of version {version!r}; this package reads version {VERSION}")
        self._archive = Archive(self._id(line.get("root")), self._spool)

    def _session(self, archive: Archive, line: dict[str, Any]) -> None:
        id, root = self._id(line.get("session")), archive.root
        known = archive.entries.get(id)
        if id == root:
            archive.entries.clear()
            archive.members.clear()
        else:
            self._check(bool(archive.entries), f"session {id!r} comes before the root, {root!r}")
            if self._entry is not None and self._entry.id != id:
                self._check_whole(self._entry)
        self._check(tag(id) == tag(root), f"session {id!r} has another slot than the root, {root!r}")
        entry = self._described(id, archive, line.get("fields"))
        self._check(known is None or known.life == entry.life, f"session {id!r} is there with two lives")
        archive.entries[id] = self._entry = entry
        self._check(len(archive.entries) <= MOST_SESSIONS, f"a tree has at most {MOST_SESSIONS} sessions")

    def _described(self, id: str, archive: Archive, given: Any) -> Entry:
        self._check(isinstance(given, dict), f"session {id!r} has no fields")
        try:
            fields = {name.encode(): _stored(value) for name, value in given.items()}
        except ValueError:
            raise self._refusal(f"a field of session {id!r} is no text") from None
        for name, pattern in _NEEDED.items():
            is_right = pattern.fullmatch(fields.get(name, b""))
            self._check(bool(is_right), f"session {id!r} has no right field {name.decode()!r}")
        lease = fields.get(b"lease")
        self._check(not OF_NOW & fields.keys(), f"session {id!r} says who waits")
        self._check(lease is None or bool(_LEASE.fullmatch(lease)), f"session {id!r} has a lease that is held")
        _, last, dropped, *_ = map(int, fields[b"counts"].split())
        place, run = (fields.get(name, b"").decode("utf-8", "replace") for name in (b"place", b"run"))
        self._check_place(id, archive.root, place)
        self._check(not place or bool(_RUN.fullmatch(run)), f"session {id!r} has no right field 'run'")
        self._check_readable(id, fields)
        if id == archive.root and b"tree" in fields:
            archive.members.update(self._members(fields))
        status = fields[b"status"]
        return Entry(
            id=id,
            life=fields[b"life"].decode(),
            offset=self._spool.tell(),
            fields=len(fields),
            due=last - dropped,
            run=place.split(" ", 3)[3] if place else "",
            is_open=status in (b"active", b"paused"),
            is_claimable=status == b"active" and bool(run) and run.split()[1] != "-",
        )

    def _check_readable(self, id: str, fields: Mapping[bytes, bytes]) -> None:
        """Refuses what would be stored and then shown to be damaged, or listed under what nobody can ask for."""
        pairs = [part for pair in {**fields, b"left": b"-1", b"now": b"0", b"count": b"0"}.items() for part in pair]
        try:
            info = read_info(id, pairs)
            for name, value in (("user_id", info.user_id), ("agent_id", info.agent_id), ("parent_id", info.parent_id)):
                if value is not None:
                    check_id(value, name)
            describe(len, kind=info.kind, tags=info.tags)
            Facts.of(None, None, None, None, fields.get(b"tags"))
        except (InvalidInput, InvalidState, ValueError) as problem:
            raise self._refusal(f"session {id!r} is none that can be stored: {problem}") from None

    def _check_place(self, id: str, root: str, place: str) -> None:
        words = place.split()
        self._check(
            not place or (bool(_PLACE.fullmatch(place)) and words[3] == id), f"session {id!r} has no right place"
        )
        is_below = all(tag(self._id(one)) == tag(root) for one in words[4:]) and (id == root or root in words[4:])
        self._check(is_below, f"session {id!r} is not below the root, {root!r}")

    def _members(self, fields: Mapping[bytes, bytes]) -> Iterator[tuple[int, tuple[str, int, str]]]:
        for name, value in fields.items():
            number = name.removeprefix(b"member.")
            if name.startswith(b"member.") and number.isdigit():
                found = _MEMBER.match(value.decode("utf-8", "replace"))
                self._check(found is not None, f"{name.decode()!r} is no record of a tree")
                assert found is not None
                yield int(number), (self._id(found[1]), int(found[2]), found[3])

    def _messages(self, line: dict[str, Any]) -> None:
        entry, given = self._entry, line["messages"]
        if entry is None or line.get("session") != entry.id:
            raise self._refusal("has messages of another session than the one that was begun")
        self._check(isinstance(given, list) and given != [], "has no messages")
        try:
            elements = [_stored(value) for value in given]
        except ValueError:
            raise self._refusal(f"a message of session {entry.id!r} is no text") from None
        well_formed = all(_ELEMENT.match(element) for element in elements)
        self._check(well_formed, f"a message of session {entry.id!r} has no right header")
        entry.elements += len(elements)

    def _end(self, archive: Archive, end: Any) -> None:
        self._check(isinstance(end, dict), "is no end")
        self._check(
            end.get("sha256") == self._checksum.hexdigest(), "the checksum is another: a line before was changed"
        )
        if self._entry is not None:
            self._check_whole(self._entry)
        counts = (len(archive.entries), sum(entry.elements for entry in archive.entries.values()))
        told = (end.get("sessions"), end.get("messages"))
        self._check(counts == told and counts > (0, 0), f"counts {told} sessions and messages; there are {counts}")
        self._is_over = True

    def _check_whole(self, entry: Entry) -> None:
        is_whole = entry.elements == entry.due
        self._check(is_whole, f"session {entry.id!r} has {entry.elements} messages; its counts say {entry.due}")

    def _id(self, id: Any) -> str:
        try:
            return check_id(id)
        except InvalidInput as problem:
            raise self._refusal(f"the id {problem.facts['detail']}") from None

    def _check(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise self._refusal(otherwise)

    def _refusal(self, detail: str) -> InvalidInput:
        return InvalidInput(name="lines", detail=f"line {self._number}: {detail}")


def _stored(value: Any) -> bytes:
    """What a text, or its base64, stands for; raises ValueError."""
    if isinstance(value, dict) and isinstance(value.get("base64"), str) and len(value) == 1:
        return b64decode(value["base64"], validate=True)
    if not isinstance(value, str):
        raise ValueError("is no text")
    return value.encode()
