"""The format of an export: JSON Lines that hold sessions as they are stored, so that nothing is lost.

    {"format": "redis-sessions", "version": 7, "root": "a", "exported_at": 1763700000000, "namespace": "sessions"}
    {"session": "a", "ttl": 3600000, "fields": {"incarnation": "5b0f…", "status": "active", …}}
    {"session": "a", "messages": ["1763700000000u@12 job-7 {…}", …]}
    {"session": "a", "ledger": {"config.l1": "{}", "extra.l1": "{}", "event.l1 0": "1763700000000 {…}\\n…", …}}
    {"session": "a", "parts": {"message.1 1": "…u@12 job-7 {…}", …, "part.notes": "1 1 1 80 …", "totals": "1 1 1 80 0"}}
    {"session": "a", "blob": "<folder>/<name>", "data": "…"}
    {"end": {"sessions": 1, "messages": 1, "sha256": "…"}}
    {"hmac": "…"}

The namespace is that for which encoded values were encoded. A file of a blob store is in one line for each 768 KiB, in base64,
behind the other lines of its session. The checksum covers all lines before, each with its newline. The last line is there only
with a key. It is the HMAC-SHA256 of all lines before, each with its newline. A session that changed while it was read is written
again: its first line replaces everything of it before, and the root's first line replaces all sessions before.
"""

from __future__ import annotations

import hmac
import json
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Any, Literal

from ...errors import InvalidInput

FORMAT = "redis-sessions"
VERSION = 7
MAX_LINE_MESSAGES = 100
MAX_LINE_BYTES = 1024 * 1024
_BLOB_PART_BYTES = 768 * 1024
MIN_KEY_BYTES = 16
WAITER_FIELDS = {b"lease_waiters", b"join_waiters", b"subscribers"}
"""Fields that are not exported: they name processes that wait."""
_dumps = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_SEPARATORS = str.maketrans({"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"})  # splitlines() cuts there


def checked_key(key: str | bytes | None) -> bytes | None:
    """Return the bytes of a key that signs exports. Raises InvalidInput."""
    if key is None:
        return None
    if not isinstance(key, str | bytes):
        raise InvalidInput(name="key", detail=f"must be bytes or text, got a {type(key).__name__}")
    try:
        data = key.encode() if isinstance(key, str) else key
    except UnicodeEncodeError:
        raise InvalidInput(name="key", detail="must be bytes, or text that UTF-8 can encode") from None
    if len(data) < MIN_KEY_BYTES:
        raise InvalidInput(name="key", detail=f"must have at least {MIN_KEY_BYTES} bytes, got {len(data)}")
    return data


class Signer:
    """The signature of all lines of an export: HMAC-SHA256 with a key."""

    def __init__(self, key: bytes) -> None:
        self._hmac = hmac.new(key, digestmod=sha256)
        self.add = self._hmac.update
        self.hexdigest = self._hmac.hexdigest


class Writer:
    """Make the lines of one export."""

    def __init__(self, root: str, namespace: str, key: bytes | None = None) -> None:
        self._root = root
        self._namespace = namespace
        self._signer = None if key is None else Signer(key)
        self._checksum = sha256()
        self._messages: dict[str, int] = {}

    def session(self, id: str, now: int, ttl: int | None, fields: Mapping[bytes, bytes]) -> Iterator[str]:
        """Yield the first line of a session. Before the first session, also the header."""
        if not self._messages:
            head = {"format": FORMAT, "version": VERSION, "root": self._root, "exported_at": now}
            yield self._line({**head, "namespace": self._namespace})
        if id == self._root:
            self._messages.clear()
        self._messages[id] = 0
        kept = {
            name.decode(): _text(_exported(name, value))
            for name, value in fields.items()
            if name not in WAITER_FIELDS and name.partition(b".")[0] != b"outbox"
        }
        yield self._line({"session": id, "ttl": ttl, "fields": kept})

    def messages(self, id: str, elements: Iterable[bytes]) -> Iterator[str]:
        """Yield lines with the next messages of a session."""
        some: list[str | dict[str, str]] = []
        size = 0
        for element in elements:
            if some and (len(some) == MAX_LINE_MESSAGES or size + len(element) > MAX_LINE_BYTES):
                yield self._some(id, some)
                some, size = [], 0
            some.append(_text(element))
            size += len(element)
        if some:
            yield self._some(id, some)

    def fields_of(
        self, id: str, kind: Literal["ledger", "parts"], fields: Iterable[tuple[str, bytes]]
    ) -> Iterator[str]:
        """Yield lines with the next fields of the ledger or the parts of a session."""
        some: dict[str, str | dict[str, str]] = {}
        size = 0
        for name, value in fields:
            if some and (len(some) == MAX_LINE_MESSAGES or size + len(value) > MAX_LINE_BYTES):
                yield self._line({"session": id, kind: some})
                some, size = {}, 0
            some[name] = _text(value)
            size += len(value)
        if some:
            yield self._line({"session": id, kind: some})

    def blob(self, id: str, file: str, data: bytes) -> Iterator[str]:
        """Yield lines with a file of a blob store that values of a session refer to."""
        for first in range(0, len(data), _BLOB_PART_BYTES):
            part = b64encode(data[first : first + _BLOB_PART_BYTES]).decode()
            yield self._line({"session": id, "blob": file, "data": part})

    def _some(self, id: str, some: list[str | dict[str, str]]) -> str:
        self._messages[id] += len(some)
        return self._line({"session": id, "messages": some})

    def end(self) -> Iterator[str]:
        """Yield the last line, or the last two with a key."""
        counts = {"sessions": len(self._messages), "messages": sum(self._messages.values())}
        yield self._line({"end": {**counts, "sha256": self._checksum.hexdigest()}})
        if self._signer is not None:
            yield _dumps({"hmac": self._signer.hexdigest()})

    def _line(self, line: dict[str, Any]) -> str:
        text = _dumps(line).translate(_SEPARATORS)
        data = text.encode() + b"\n"
        self._checksum.update(data)
        if self._signer is not None:
            self._signer.add(data)
        return text


def _exported(name: bytes, value: bytes) -> bytes:
    """Return a field as it is exported: a lease keeps only its fence, and no worker has the run or turn."""
    if name == b"lease":
        return value.split(b" ", 1)[0] + b" - 0 0 0 - -"
    if name == b"run":
        words = value.split(b" ", 7)
        if len(words) < 8:
            return value  # damaged: an import refuses it by its line
        attempts, max_attempts, _, limit, timeout, available, _, rest = words
        return b" ".join([attempts, max_attempts, limit, limit, timeout, available, b"0", rest])
    return value


def _text(value: bytes) -> str | dict[str, str]:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(value).decode()}
