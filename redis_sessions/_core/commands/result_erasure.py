"""Erase the result of a session from its parent and from the records of its tree. Pure: stored bytes in, stored bytes out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ..protocol.codec import FACTS_FLAG, FLAGS_AT
from .stored_values import Replacement

_ENTRY_FLAGS_AT = 1
_DEFAULT = b'{"role":"user","content":"@text@","metadata":"@facts@"}'
_TEXT, _FACTS = b'"[forgotten]"', b'{"subagent":{"status":"forgotten"}}'


class ResultOf:
    """The result of one session, as messages of its parent hold it."""

    def __init__(self, incarnation: str, report: bytes | None) -> None:
        """Take the incarnation of the session, and its template of a result as it is stored."""
        self._spawn = re.compile(rb"\n[^\n ]+ \d+ spawned \d+ [^\n ]+ %b(?=\n|\Z)" % incarnation.encode())
        self._batch = f"~{incarnation}.result".encode()
        template = _DEFAULT if report is None else report.split(b" ", 2)[-1]
        self._payload = template.replace(b'"@text@"', _TEXT, 1).replace(b'"@facts@"', _FACTS, 1)

    def in_fields(self, fields: Mapping[bytes, bytes]) -> list[Replacement]:
        """Return what to replace in the parent's hash: messages that are kept or wait, and the result of the spawn."""
        found = []
        for name, value in fields.items():
            if name.startswith((b"kept.", b"inbox.")):
                new = self._erased(value, _ENTRY_FLAGS_AT if name.startswith(b"inbox.") else FLAGS_AT)
                if new is not None:
                    found.append((b"." + name, value, new))
            elif name.startswith(b"results.") and (left := self._spawn.sub(b"", value)) != value:
                found.append((b"." + name, value, left))
        return found

    def in_list(self, elements: Sequence[bytes], first: int) -> list[Replacement]:
        """Return what to replace in a part of the parent's list, which begins with the index `first`."""
        found = []
        for at, element in enumerate(elements, first):
            new = self._erased(element, FLAGS_AT)
            if new is not None:
                found.append((b"#%d" % at, element, new))
        return found

    def _erased(self, stored: bytes, flags_at: int) -> bytes | None:
        """Return a stored message without the result, and as long as before, because counters count its bytes.

        None for another message, and for one without the result.
        """
        head, _, rest = stored.partition(b" ")
        batch, _, rest = rest.partition(b" ")
        if batch != self._batch and not batch.startswith(self._batch + b"."):
            return None
        facts, space = b"", b""
        if len(head) > flags_at and head[flags_at] & FACTS_FLAG:
            facts, space, rest = rest.partition(b" ")
        payload = self._payload if len(self._payload) <= len(rest) else b"{}"
        new = b" ".join([head, batch, facts + space + payload.ljust(len(rest))])
        return None if new == stored else new


def record_erasure(fields: Mapping[bytes, bytes], numbers: set[int]) -> list[Replacement]:
    """Return what to replace in the hash of a root: the references, results and labels of some members."""
    found: list[Replacement] = []
    for number in sorted(numbers):
        record = fields.get(b"member.%d" % number, b"")
        words = record.split(b" ", 5)
        if len(words) == 6 and words[5] != b"-":
            found.append((b".member.%d" % number, record, b" ".join([*words[:5], b"-"])))
        result = fields.get(b"member_result.%d" % number)
        if result is not None:
            found.append((b".member_result.%d" % number, result, b""))
    for name, value in fields.items():
        if name.startswith(b"label.") and value.isdigit() and int(value) in numbers:
            found.append((b"." + name, value, b""))
    return found
