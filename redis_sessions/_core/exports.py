"""The format of an export: lines of JSON that hold sessions as they are stored, so that nothing of them is lost.

    {"format": "redis-sessions", "version": 1, "root": "a", "exported_at": 1763700000000}
    {"session": "a", "ttl": 3600000, "fields": {"life": "5b0f…", "status": "active", …}}
    {"session": "a", "messages": ["1763700000000u@12 job-7 {…}", …]}
    {"end": {"sessions": 1, "messages": 1, "sha256": "…"}}

The checksum is of all lines before, each with its newline. A session's first line again replaces what came of it before;
the root's replaces all sessions before it.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Any

FORMAT = "redis-sessions"
VERSION = 1
LINE = 100
LINE_BYTES = 1024 * 1024
OF_NOW = {b"line", b"joiners", b"readers"}
"""Fields that say who waits: processes that an import knows nothing of."""
_dumps = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_SEPARATORS = str.maketrans({"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"})  # splitlines() cuts there


class Writer:
    """Makes the lines of one export."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._checksum = sha256()
        self._messages: dict[str, int] = {}

    def session(self, id: str, now: int, ttl: int | None, fields: Mapping[bytes, bytes]) -> Iterator[str]:
        """The line a session begins with; before the first, the header."""
        if not self._messages:
            yield self._line({"format": FORMAT, "version": VERSION, "root": self._root, "exported_at": now})
        if id == self._root:
            self._messages.clear()
        self._messages[id] = 0
        kept = {name.decode(): _text(_kept(name, value)) for name, value in fields.items() if name not in OF_NOW}
        yield self._line({"session": id, "ttl": ttl, "fields": kept})

    def messages(self, id: str, elements: Iterable[bytes]) -> Iterator[str]:
        """The lines with its next messages."""
        some: list[str | dict[str, str]] = []
        size = 0
        for element in elements:
            if some and (len(some) == LINE or size + len(element) > LINE_BYTES):
                yield self._some(id, some)
                some, size = [], 0
            some.append(_text(element))
            size += len(element)
        if some:
            yield self._some(id, some)

    def _some(self, id: str, some: list[str | dict[str, str]]) -> str:
        self._messages[id] += len(some)
        return self._line({"session": id, "messages": some})

    def end(self) -> str:
        """The last line."""
        counts = {"sessions": len(self._messages), "messages": sum(self._messages.values())}
        return _dumps({"end": {**counts, "sha256": self._checksum.hexdigest()}})

    def _line(self, line: dict[str, Any]) -> str:
        text = _dumps(line).translate(_SEPARATORS)
        self._checksum.update(text.encode() + b"\n")
        return text


def _kept(name: bytes, value: bytes) -> bytes:
    """A lease keeps its fence alone, as if it was released."""
    return value.split(b" ", 1)[0] + b" - 0 -" if name == b"lease" else value


def _text(value: bytes) -> str | dict[str, str]:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(value).decode()}
