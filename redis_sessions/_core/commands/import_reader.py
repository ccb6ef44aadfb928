"""Check the lines of an import: they have the form of an export, all are there, and what they say can be stored."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import IO, Any

from ...errors import InvalidInput, InvalidState
from ..protocol.hash_tag import hash_tag
from ..protocol.ids import check_id
from ..protocol.records import Counters, Layout, Lineage, MemberRecord
from .export_format import FORMAT, VERSION, WAITER_FIELDS
from .session_fields import KINDS, checked_choice, checked_tags
from .sessions import read_info

MAX_TREE_SESSIONS = 5001
_PLAIN = rb"[@ADEHILM]\d{1,10} [^ ]+ "
_WITH_FACTS = rb"[BCFGJKNO]\d{1,10} [^ ]+ (([-+?!]\w{8})+~?|~) "
_LAYOUT = re.compile(
    rb"(-|[0-9a-f]{8}:\d+(,[0-9a-f]{8}:\d+)*) \d+ (-|[br]?p?) (-|\d+(,\d+)*) \d+ (-|\d+-\d+(,\d+-\d+)*)|"
)
_FORMAT = re.compile(rb"[A-Za-z0-9_-]{0,32}")
_REPORT = re.compile(rb'[a-z][@-_] \S+ .*"@text@".*"@facts@".*|')
_MESSAGE = re.compile(rb"\d{13}[suatckevrx](%b|%b)" % (_PLAIN, _WITH_FACTS))
_NUMBER = re.compile(rb"\d{1,16}")
_REQUIRED = {
    b"incarnation": re.compile(rb"[0-9a-f]{12}"),
    b"status": re.compile(rb"active|paused|completed|failed|cancelled|timed_out"),
    b"counters": re.compile(rb"\d{1,16}( \d{1,16}){%d}" % (len(Counters._fields) - 1)),
    b"settings": re.compile(rb"\d{1,16} (oldest|tool_safe|turn) \d{1,16} \d{1,16} (\d{1,16}|-)"),
    b"created": _NUMBER,
    b"max_tokens": _NUMBER,
    b"max_inbox": _NUMBER,
}
_RELEASED_LEASE = re.compile(rb"\d{1,16} - 0 -")
_RUN = re.compile(r"\d+ (\d+|-) (\d+|-)")
_LINEAGE = re.compile(r"\d+ [0-9a-f]{12} /\S+/ \S+( \S+)+")


@dataclass(slots=True)
class Entry:
    """One session of an export: where it begins, and what must be known of it before it is read again."""

    id: str
    incarnation: str
    offset: int
    fields: int
    expected_messages: int
    """The number of messages by its counters."""
    run: str
    """The run as queues name it, '' for a root."""
    is_open: bool
    is_claimable: bool
    messages: int = 0


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
        return {name.encode(): _stored(value) for name, value in fields.items()}, self._batches(entry.messages)

    def _batches(self, left: int) -> Iterator[list[bytes]]:
        while left:
            batch = [_stored(value) for value in json.loads(self.spool.readline())["messages"]]
            left -= len(batch)
            yield batch

    def runs(self) -> list[tuple[str, bool]]:
        """Return the runs that have not ended, or whose end the tree does not know, and whether they wait for a worker.

        They are in the order of their spawns.
        """
        named = [self._run_of(number) for number, member in sorted(self.members.items()) if member.status == "active"]
        found = {run.split(" ", 1)[0]: run for run in named}
        found |= {entry.id: entry.run for entry in self.entries.values() if entry.run and entry.is_open}
        return [(run, id in self.entries and self.entries[id].is_claimable) for id, run in found.items()]

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
        self._take(found if isinstance(found, dict) else {})
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
                self._check_complete(self._entry)
        self._check(hash_tag(id) == hash_tag(root), f"session {id!r} has another slot than the root, {root!r}")
        entry = self._read_entry(id, archive, line.get("fields"))
        is_same = known is None or known.incarnation == entry.incarnation
        self._check(is_same, f"session {id!r} has two incarnations")
        archive.entries[id] = self._entry = entry
        self._check(len(archive.entries) <= MAX_TREE_SESSIONS, f"a tree has at most {MAX_TREE_SESSIONS} sessions")

    def _read_entry(self, id: str, archive: Archive, given: Any) -> Entry:
        self._check(isinstance(given, dict), f"session {id!r} has no fields")
        try:
            fields = {name.encode(): _stored(value) for name, value in given.items()}
        except ValueError:
            raise self._refusal(f"a field of session {id!r} is not text") from None
        for name, pattern in _REQUIRED.items():
            is_valid = pattern.fullmatch(fields.get(name, b""))
            self._check(bool(is_valid), f"field {name.decode()!r} of session {id!r} is missing or damaged")
        lease = fields.get(b"lease")
        self._check(not WAITER_FIELDS & fields.keys(), f"session {id!r} names processes that wait")
        self._check(lease is None or bool(_RELEASED_LEASE.fullmatch(lease)), f"the lease of session {id!r} is held")
        counters = Counters.parse(fields[b"counters"])
        lineage, run = (fields.get(name, b"").decode("utf-8", "replace") for name in (b"lineage", b"run"))
        self._check_lineage(id, archive.root, lineage)
        self._check(not lineage or bool(_RUN.fullmatch(run)), f"field 'run' of session {id!r} is missing or damaged")
        self._check_readable(id, fields)
        self._check_layout(id, fields)
        if id == archive.root and b"tree" in fields:
            archive.members.update(self._members(fields))
        status = fields[b"status"]
        return Entry(
            id=id,
            incarnation=fields[b"incarnation"].decode(),
            offset=self._spool.tell(),
            fields=len(fields),
            expected_messages=counters.last_seq - counters.dropped,
            run=lineage.split(" ", 3)[3] if lineage else "",
            is_open=status in (b"active", b"paused"),
            is_claimable=status == b"active" and bool(run) and run.split()[1] != "-",
        )

    def _check_layout(self, id: str, fields: Mapping[bytes, bytes]) -> None:
        """Refuse a layout that names other kept messages than the session has."""
        try:
            aside = Layout.parse(fields.get(b"layout")).aside
        except ValueError:
            raise self._refusal(f"field 'layout' of session {id!r} is damaged") from None
        is_valid = b"layout" not in fields or _LAYOUT.fullmatch(fields[b"layout"])
        self._check(bool(is_valid), f"field 'layout' of session {id!r} is damaged")
        for name, pattern in ((b"format", _FORMAT), (b"report", _REPORT)):
            self._check(
                bool(pattern.fullmatch(fields.get(name, b""))), f"field {name.decode()!r} of session {id!r} is damaged"
            )
        kept = {name for name in fields if name.startswith(b"kept.")}
        self._check(all(_MESSAGE.match(fields[name]) for name in kept), f"a kept message of session {id!r} is damaged")
        self._check(
            kept == {b"kept.%d" % seq for seq in aside},
            f"the kept messages of session {id!r} are not those of its layout",
        )

    def _check_readable(self, id: str, fields: Mapping[bytes, bytes]) -> None:
        """Refuse what could be stored, and would then be shown as damaged or listed under a value that no query can name."""
        pairs = [part for pair in {**fields, b"left": b"-1", b"now": b"0", b"count": b"0"}.items() for part in pair]
        try:
            info = read_info(id, pairs)
            for name, value in (("user_id", info.user_id), ("agent_id", info.agent_id), ("parent_id", info.parent_id)):
                if value is not None:
                    check_id(value, name)
            checked_choice(info.kind, "kind", KINDS)
            checked_tags(info.tags)
        except (InvalidInput, InvalidState, ValueError) as problem:
            raise self._refusal(f"session {id!r} cannot be stored: {problem}") from None

    def _check_lineage(self, id: str, root: str, text: str) -> None:
        if not text:
            self._check(id == root, f"session {id!r} is not below the root, {root!r}")
            return
        self._check(bool(_LINEAGE.fullmatch(text)), f"field 'lineage' of session {id!r} is damaged")
        lineage = Lineage.parse(text.encode())
        self._check(lineage.id == id, f"field 'lineage' of session {id!r} names another session")
        is_below = all(hash_tag(self._id(one)) == hash_tag(root) for one in lineage.ancestors)
        self._check(
            is_below and (id == root or root in lineage.ancestors), f"session {id!r} is not below the root, {root!r}"
        )

    def _members(self, fields: Mapping[bytes, bytes]) -> Iterator[tuple[int, MemberRecord]]:
        for name, value in fields.items():
            number = name.removeprefix(b"member.")
            if name.startswith(b"member.") and number.isdigit():
                try:
                    member = MemberRecord.parse(value.decode())
                except ValueError:
                    raise self._refusal(f"field {name.decode()!r} is damaged") from None
                self._id(member.id)
                yield int(number), member

    def _messages(self, line: dict[str, Any]) -> None:
        entry, given = self._entry, line["messages"]
        if entry is None or line.get("session") != entry.id:
            raise self._refusal("has messages of another session than the line before")
        self._check(isinstance(given, list) and given != [], "has no messages")
        try:
            elements = [_stored(value) for value in given]
        except ValueError:
            raise self._refusal(f"a message of session {entry.id!r} is not text") from None
        is_valid = all(_MESSAGE.match(element) for element in elements)
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

    def _id(self, id: Any) -> str:
        try:
            return check_id(id)
        except InvalidInput as problem:
            raise self._refusal(f"an ID {problem.facts['detail']}") from None

    def _check(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise self._refusal(otherwise)

    def _refusal(self, detail: str) -> InvalidInput:
        return InvalidInput(name="lines", detail=f"line {self._number} {detail}")


def _stored(value: Any) -> bytes:
    """Return the bytes of a text, or of its base64. Raises ValueError."""
    if isinstance(value, dict) and isinstance(value.get("base64"), str) and len(value) == 1:
        return b64decode(value["base64"], validate=True)
    if not isinstance(value, str):
        raise ValueError("must be text")
    return value.encode()
