"""Find damaged data of a session, and say how to repair it. Pure: stored bytes in, findings out.

A damaged value that stands alone is moved out of the session. A damaged message is replaced by a message that says so. A session
with a damaged record that scripts count with is moved as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..commands.stored_values import Replacement, in_slices
from ..protocol.codec import FACTS_FLAG, FLAGS_AT
from ..protocol.records import Counters, LeaseRecord, Waiter
from .import_messages import MESSAGE
from .import_schema import ENTRY, REQUIRED, Damaged, check_field
from .import_values import is_payload

_WAITERS = ("lease_waiters", "join_waiters", "subscribers")
_STANDS_ALONE = {
    "type", "tags", "name", "task", "model", "formation", "spawned_by", "result", "report", "reason", "format", "system",
    "system_tokens", "attempt_log", "status_log", "label", "fairness_key", "priority", "channel", "limits", "budget",
    "tree_limits", "spent", "usage", "resumed", "trace", "retried", "user", "agent", "parent", "kind", "cleanup", "has_metadata",
    "cancelled_why", "requested_why", *_WAITERS,
}  # fmt: skip
"""Fields without which the session goes on."""
_FAMILIES = {
    "state", "var", "meta", "extra", "config", "group", "reason", "event", "turn", "step", "results", "label",
    "member_result",
}  # fmt: skip
_DEFAULTS = {"max_tokens": b"8192", "max_inbox": b"100"}
_FAMILY_DEFAULTS = {"config": b"{}", "extra": b"{}"}
_PLACEHOLDER = b'{"role":"system","content":"[damaged message]"}'
_HEAD = re.compile(rb"([!-}]{7})[0-3][suatckevrx][@-O]\d{1,10} [^\s]{1,600} ")


class Damage(NamedTuple):
    """Something that is damaged."""

    place: str
    problem: str
    changes: tuple[Replacement, ...] = ()
    """The repair. Without changes the session is moved as a whole."""
    is_in_parts: bool = False
    """True if the changed fields are those of the parts."""


def check_fields(id: str, fields: Mapping[bytes, bytes]) -> list[Damage]:
    """Return what is damaged in the hash of a session."""
    missing = [name for name in REQUIRED if name.encode() not in fields and name not in _DEFAULTS]
    if missing:
        return [Damage("session", f"its hash has no field {missing[0]!r}")]
    found = []
    for name, value in fields.items():
        problem = _problem_of(id, name.decode(errors="replace"), value)
        if problem:
            found.append(_damaged_field(name, value, problem))
    return found


def _problem_of(id: str, name: str, value: bytes) -> str:
    """Return why a field is damaged, or ''. A field that this version does not know is left alone."""
    try:
        if name == "lease":
            LeaseRecord.parse(value)
        elif name in _WAITERS:
            Waiter.parse_all(value)
        elif name.startswith(("kept.", "inbox.")):
            return "" if is_message(value, has_time=name.startswith("kept.")) else "it cannot be read as a message"
        else:
            check_field(id, name, value)
    except Damaged as problem:
        return "" if "is not known" in str(problem) else str(problem)
    except (ValueError, TypeError) as problem:
        return f"it cannot be read ({problem})"
    return ""


def _damaged_field(name: bytes, value: bytes, problem: str) -> Damage:
    text = name.decode(errors="replace")
    family, dot, _ = text.partition(".")
    if text in _DEFAULTS or text in _STANDS_ALONE or (dot and family in _FAMILIES):
        new = _DEFAULTS.get(text) or _FAMILY_DEFAULTS.get(family if dot else "", b"")
        return Damage(f"field {text}", problem, ((b"." + name, value, new),))
    if dot and family in ("kept", "inbox"):
        new = repaired(value, None, has_time=family == "kept")
        return Damage(f"field {text}", problem, ((b"." + name, value, new),))
    return Damage(f"field {text}", problem)


class MessageScan:
    """The list of a session, part by part: which of its elements are damaged, and the sums that its counters must have."""

    def __init__(self, fields: Mapping[bytes, bytes]) -> None:
        self._counters = Counters.parse(fields[b"counters"])
        self._stored = fields[b"counters"]
        self._count = self._bytes = self._tokens = 0
        self._last = b"!" * 7
        self._damaged: list[tuple[int, bytes, bytes]] = []
        """Index, element and time of the message before."""
        for name, value in fields.items():
            if name.startswith(b"kept."):
                self._add_sums(value)

    def add(self, elements: Sequence[bytes]) -> None:
        """Take the next elements."""
        for element in elements:
            if is_message(element, has_time=True):
                self._last = element[:7]
            else:
                self._damaged.append((self._count, element, self._last))
            self._count += 1
            self._add_sums(element)

    def _add_sums(self, element: bytes) -> None:
        head = _HEAD.match(element)
        self._bytes += len(element)
        self._tokens += int(element.split(b" ", 1)[0][FLAGS_AT + 1 :]) if head else 0

    def findings(self) -> list[Damage]:
        """Return what is damaged, after the last element."""
        expected = self._counters.last_seq - self._counters.dropped
        if self._count > expected and self._count - expected == len(self._damaged):
            return [
                Damage(f"element {at}", "it does not belong to the session", ((b"#%d" % at, element, b""),))
                for at, element, _ in reversed(self._damaged)
            ]
        if self._count != expected:
            return [Damage("messages", f"the list has {self._count} messages, and the counters say {expected}")]
        return self._repairs()

    def _repairs(self) -> list[Damage]:
        """Return the replacement of damaged messages in slices. The first one has the counters that agree with all."""
        changes: list[Replacement] = []
        bytes, tokens = self._bytes, self._tokens
        for at, element, before in self._damaged:
            new = repaired(element, before, has_time=True)
            changes.append((b"#%d" % at, element, new))
            bytes += len(new) - len(element)
        counters = self._counters._replace(bytes=bytes, tokens=tokens)
        if str(counters).encode() != self._stored:
            changes.insert(0, (b".counters", self._stored, str(counters).encode()))
        return [
            Damage(f"elements {named_places(some)}", "they cannot be read as messages", tuple(some))
            for some in in_slices(changes)
        ]


def named_places(changes: Sequence[Replacement]) -> str:
    """Return the indexes of the first ten elements of the list that are replaced."""
    places = [place[1:].decode() for place, _, _ in changes if place.startswith(b"#")]
    return ", ".join(places[:10])


def is_message(stored: bytes, *, has_time: bool) -> bool:
    match = (MESSAGE if has_time else ENTRY).match(stored)
    return match is not None and is_payload(stored[match.end() :])


def repaired(stored: bytes, before: bytes | None, *, has_time: bool) -> bytes:
    """Return a message in the place of a damaged one. It keeps what can be read of the header, and its length if it can."""
    head = _HEAD.match(stored) if has_time else None
    flags_at = FLAGS_AT if has_time else 1
    start = (before or b"!" * 7) + b"0x@0 damaged " if has_time else b"x@0 damaged "
    if head is not None:
        start = head[0]
        if start[flags_at] & FACTS_FLAG:
            facts = re.match(rb"(?:(?:[-+?!][0-9a-f]{8}(?:[0-9a-f]{8})?){1,512}~?|~) ", stored[len(start) :])
            start = (
                start + facts[0]
                if facts
                else start[:flags_at] + bytes([start[flags_at] - FACTS_FLAG]) + start[flags_at + 1 :]
            )
    return start + _PLACEHOLDER.ljust(len(stored) - len(start))
