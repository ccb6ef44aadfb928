"""Check the lines of an import: they have the form of an export, all are there, and what they say can be stored.

The reader keeps what it must know of each session in memory, and the fields and messages in a file. A line, the number of lines,
and the size of all are bounded.
"""

from __future__ import annotations

import re
from hashlib import sha256
from hmac import compare_digest
from typing import IO, Any, NoReturn

from pydantic_core import from_json as parse_json

from ...errors import InvalidInput
from ..protocol.hash_tag import hash_tag
from ..protocol.ids import check_namespace
from ..protocol.message_times import write_time
from .export_format import FORMAT, VERSION, Signer
from .import_archive import Archive
from .import_blobs import BlobsCheck
from .import_bounds import Bounds
from .import_fields import Entry, checked_id, read_entry, read_fields, stored, too_large
from .import_ledger import LedgerCheck
from .import_lines import decode_line, reason_of
from .import_messages import MessageCheck
from .import_parts import PartsCheck
from .import_schema import Damaged
from .import_spool import write_parts
from .import_tree import Tree
from .transferred_blobs import refs_of, refs_of_elements

MAX_LINE_BYTES = 256 * 1024 * 1024
"""The most bytes of one line. The largest message has 64 MiB, and its JSON is a JSON text."""
MAX_LINES = 10_000_000
MAX_FILE_BYTES = 16 * 1024 * 1024 * 1024
"""The most bytes of all lines, after decompression."""
_MAX_PLAIN_LINE = 4 * 1024 * 1024
_MAX_STRUCTURE = 1024 * 1024
"""The most bytes of a long line outside of its texts, so that its values need little memory."""
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)


class Reader:
    """Take the lines of an export, refuse a bad one at once, and keep them in a file."""

    def __init__(self, spool: IO[bytes], bounds: Bounds, key: bytes | None = None) -> None:
        self._spool = spool
        self._bounds = bounds
        self._latest = write_time(bounds.now_ms)
        self._checksum = sha256()
        self._signer = None if key is None else Signer(key)
        self._number = 0
        self._size = 0
        self._archive: Archive | None = None
        self._entry: Entry | None = None
        self._messages: MessageCheck | None = None
        self._ledger: LedgerCheck | None = None
        self._parts: PartsCheck | None = None
        self._blobs: BlobsCheck | None = None
        self._is_over = self._is_signed = False

    def add(self, line: str | bytes) -> None:
        """Take the next line, with or without its newline. Raises InvalidInput that names the line."""
        self._number += 1
        try:
            data = (line.encode() if isinstance(line, str) else line).rstrip(b"\r\n")
            self._check_size(len(data))
            if self._is_over:
                self._after_end(data)
                return
            found = self._parsed(data)
        except (ValueError, AttributeError, TypeError) as problem:
            if isinstance(problem, InvalidInput):
                raise
            raise self._refusal(f"is not JSON: the file was cut or changed{reason_of(line)}") from None
        except RecursionError:
            raise self._refusal("is not JSON of an export: it nests too deep") from None
        except Damaged as problem:
            raise self._refusal(str(problem)) from None
        try:
            self._take(found if isinstance(found, dict) else {})
        except Damaged as problem:
            raise self._refusal(str(problem)) from None
        if not self._is_over:
            self._checksum.update(data + b"\n")
        if self._signer is not None:
            self._signer.add(data + b"\n")

    def finish(self) -> Archive:
        """Return the whole export after its last line. Raises InvalidInput when lines are missing."""
        self._number += not self._is_over
        self._check(self._number > 1, "is missing: an export begins with a header")
        self._check(self._is_over, "is missing, with the end of the export: the file was cut")
        if self._signer is not None and not self._is_signed:
            self._number += 1
            self._refuse("is missing: a key was given, and the export has no signature")
        assert self._archive is not None
        return self._archive

    def _check_size(self, size: int) -> None:
        self._size += size + 1
        self._check(size <= MAX_LINE_BYTES, f"is longer than {MAX_LINE_BYTES} bytes")
        self._check(self._number <= MAX_LINES, f"is one too many: an export has at most {MAX_LINES} lines")
        self._check(
            self._size <= MAX_FILE_BYTES, f"is behind the first {MAX_FILE_BYTES} bytes, the most that an import reads"
        )

    def _parsed(self, data: bytes) -> Any:
        """Return the value of a line. Messages take the fast way, because they are the most. Raises ValueError."""
        if len(data) > _MAX_PLAIN_LINE and len(_STRING.sub(b"", data)) > _MAX_STRUCTURE:
            raise Damaged("has too many values")
        try:
            found = parse_json(data, allow_inf_nan=False, cache_strings="none")
        except ValueError:
            return decode_line(data.decode())
        is_plain = isinstance(found, dict) and "messages" in found and data.count(b'"messages"') == 1
        return found if is_plain and data.count(b'"session"') == 1 else decode_line(data.decode())

    def _after_end(self, data: bytes) -> None:
        """Take a line behind the end: the signature, or an empty one."""
        if not data:
            return
        self._check(data.startswith(b'{"hmac"') and not self._is_signed, "comes after the end")
        if self._signer is None:
            self._refuse("is a signature, and no key was given: give the key with which the export was signed")
        found = decode_line(data.decode())
        stated = found.get("hmac") if isinstance(found, dict) else None
        is_right = isinstance(stated, str) and compare_digest(stated.encode(), self._signer.hexdigest().encode())
        self._check(
            is_right, "has another signature than the lines before with this key: a line was changed, or the key"
        )
        self._is_signed = True

    def _take(self, line: dict[str, Any]) -> None:
        if self._archive is None:
            self._begin(line)
        elif "end" in line:
            self._check_keys(line, "end")
            self._end(self._archive, line["end"])
        elif "fields" in line:
            self._check_keys(line, "session", "ttl", "fields")
            self._session(self._archive, line)
        elif "messages" in line:
            self._check_keys(line, "session", "messages")
            self._take_messages(line)
        elif "ledger" in line:
            self._check_keys(line, "session", "ledger")
            self._take_ledger(line)
        elif "parts" in line:
            self._check_keys(line, "session", "parts")
            self._take_parts(line)
        elif "blob" in line:
            self._check_keys(line, "session", "blob", "data")
            self._take_blob(line)
        else:
            raise self._refusal("must be a session, messages, a ledger, parts, a file, or the end")

    def _begin(self, line: dict[str, Any]) -> None:
        self._check(line.get("format") == FORMAT, f"must be the header of a {FORMAT} export")
        version = line.get("version")
        self._check(version == VERSION, f"has version {version!r}, and this package reads version {VERSION}")
        namespace = line.pop("namespace", None)
        if namespace is not None:
            self._check(_is_namespace(namespace), f"has the namespace {namespace!r:.80}, expected the name of one")
        self._check_keys(line, "format", "version", "root", "exported_at")
        at = line.get("exported_at")
        self._check(
            type(at) is int and 0 <= at <= self._bounds.now_ms, f"has the time {at!r:.30}, expected ms until now"
        )
        self._archive = Archive(checked_id(line.get("root")), self._spool, namespace=namespace)

    def _session(self, archive: Archive, line: dict[str, Any]) -> None:
        id, root = checked_id(line.get("session")), archive.root
        known = archive.entries.get(id)
        if id == root:
            archive.entries.clear()
        else:
            self._check(bool(archive.entries), f"session {id!r} comes before the root, {root!r}")
            if self._entry is not None and self._entry.id != id:
                self._finish_messages()
        self._check(hash_tag(id) == hash_tag(root), f"session {id!r} has another slot than the root, {root!r}")
        ttl = line.get("ttl")
        self._check(ttl is None or (type(ttl) is int and ttl >= 0), f"has the ttl {ttl!r}, expected ms or null")
        fields = read_fields(id, line.get("fields"), self._bounds)
        if id == root:
            archive.tree = Tree(id, fields)
        assert archive.tree is not None
        place = archive.tree.place_of(id, fields)
        archive.tree.check_children(id, place.number, fields)
        archive.tree.check_spawns(id, fields)
        entry = read_entry(id, place, fields, self._spool.tell())
        is_same = known is None or known.incarnation == entry.incarnation
        self._check(is_same, f"session {id!r} has two incarnations")
        archive.entries[id] = self._entry = entry
        self._messages = MessageCheck(id, fields, self._latest)
        self._ledger = LedgerCheck(id, fields, self._bounds)
        self._parts = PartsCheck(id, fields, self._bounds, self._latest)
        self._blobs = BlobsCheck(id, self._spool)
        self._blobs.need(refs_of(fields.items()))
        entry.blobs = self._blobs.places
        maximum = self._bounds.max_sessions
        self._check(
            len(archive.entries) <= maximum,
            f"is one session too many, expected at most {maximum}: give the importing cache a larger max_descendants",
        )
        write_parts(self._spool, [part for pair in fields.items() for part in pair])

    def _take_messages(self, line: dict[str, Any]) -> None:
        entry, given = self._entry, line["messages"]
        if entry is None or self._messages is None or line.get("session") != entry.id:
            raise self._refusal("has messages of another session than the line before")
        self._check(isinstance(given, list) and given != [], "has no messages")
        self._check(
            entry.ledger_fields + entry.part_fields + len(entry.blobs) == 0,
            "has messages behind the ledger or the parts of their session",
        )
        try:
            elements = [value.encode() if type(value) is str else stored(value) for value in given]
        except ValueError:
            raise self._refusal(f"a message of session {entry.id!r} is not text") from None
        largest, maximum = max(map(len, elements)), self._bounds.max_value_bytes
        self._check(largest <= maximum, f"has a message that {too_large(largest, maximum)}")
        odd = [type(value) is not str for value in given]
        self._messages.add(elements, odd if any(odd) else ())
        if self._blobs is not None:
            self._blobs.need(refs_of_elements(elements))
        entry.messages += len(elements)
        write_parts(self._spool, elements)

    def _take_ledger(self, line: dict[str, Any]) -> None:
        entry, given = self._entry, line["ledger"]
        if entry is None or self._ledger is None or line.get("session") != entry.id:
            raise self._refusal("has the ledger of another session than the line before")
        self._check(isinstance(given, dict) and given != {}, "has no ledger")
        self._check(entry.part_fields + len(entry.blobs) == 0, "has a ledger behind the parts of its session")
        fields = self._ledger.add(given)
        entry.ledger_fields += len(fields)
        write_parts(self._spool, [part for pair in fields.items() for part in pair])

    def _take_parts(self, line: dict[str, Any]) -> None:
        entry, given = self._entry, line["parts"]
        if entry is None or self._parts is None or line.get("session") != entry.id:
            raise self._refusal("has the parts of another session than the line before")
        self._check(isinstance(given, dict) and given != {}, "has no parts")
        self._check(entry.blobs == {}, "has parts behind the files of their session")
        fields = self._parts.add(given)
        if self._blobs is not None:
            self._blobs.need(refs_of(fields.items()))
        entry.part_fields += len(fields)
        entry.part_names = self._parts.count
        write_parts(self._spool, [part for pair in fields.items() for part in pair])

    def _take_blob(self, line: dict[str, Any]) -> None:
        entry = self._entry
        if entry is None or self._blobs is None or line.get("session") != entry.id:
            raise self._refusal("has a file of another session than the line before")
        self._blobs.add(line["blob"], line["data"])

    def _end(self, archive: Archive, end: Any) -> None:
        self._check(isinstance(end, dict), "must be the end of an export")
        if "sha256" in end:
            self._check_keys(end, "sessions", "messages", "sha256")
        is_unchanged = end.get("sha256") == self._checksum.hexdigest()
        self._check(is_unchanged, "has another checksum than the lines before: one of them was changed")
        self._finish_messages()
        counts = (len(archive.entries), sum(entry.messages for entry in archive.entries.values()))
        stated = (end.get("sessions"), end.get("messages"))
        self._check(
            counts == stated and counts > (0, 0), f"states {stated} sessions and messages, and there are {counts}"
        )
        self._is_over = True

    def _finish_messages(self) -> None:
        if self._messages is not None:
            self._messages.finish()
        if self._ledger is not None:
            self._ledger.finish()
        if self._parts is not None:
            self._parts.finish()
        if self._blobs is not None:
            self._blobs.finish()

    def _check_keys(self, line: dict[str, Any], *names: str) -> None:
        other = line.keys() ^ set(names)
        self._check(not other, f"misses {min(other, default='')!r:.80}, or has it besides {', '.join(names)}")

    def _check(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise self._refusal(otherwise)

    def _refuse(self, detail: str) -> NoReturn:
        raise self._refusal(detail)

    def _refusal(self, detail: str) -> InvalidInput:
        return InvalidInput(name="lines", detail=f"line {self._number} {detail}")


def _is_namespace(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(check_namespace(value))
    except InvalidInput:
        return False
