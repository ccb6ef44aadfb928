"""Check the messages of one imported session against its fields: their number, seqs, sizes, marks and groups."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import NoReturn

from ..protocol.codec import PINNED_FLAG
from ..protocol.records import Counters, Layout, Settings
from .import_schema import ENTRY, WITH_FACTS, Damaged, damaged
from .import_values import is_payload

MAX_SESSION_MESSAGES = 10_000_000
MAX_OVER_CAP = 10_000
"""The messages above its cap that an imported session may have, because the next append removes them at once."""
_CONTINUES, _SUMMARY = 4, 8
_RECENT = 64
MESSAGE = re.compile(
    rb"([!-}]{7})[0-3]([suatckevrx])(?:([@ADEHILM])(\d{1,10}) ([^\s]{1,600}) |(?=[BCFGJKNO])%b)(?=[\x01\x02{])"
    % WITH_FACTS
)
_FACTS_HEAD = re.compile(rb".{9}(.)(\d{1,10}) ([^\s]{1,600}) ([^\s]+) ", re.DOTALL)


class MessageCheck:
    """The messages of one session, as they come."""

    def __init__(self, id: str, fields: Mapping[bytes, bytes], latest: bytes) -> None:
        """Take the fields of the session. `latest`: the digits of the latest time that a message may have."""
        counters, layout = Counters.parse(fields[b"counters"]), Layout.parse(fields.get(b"layout"))
        missing = sum(last - first + 1 for first, last in layout.gaps)
        self.expected = counters.last_seq - counters.dropped
        self.count = 0
        self._id = id
        self._fields = fields
        self._latest = latest
        self._counters = counters
        self._layout = layout
        self._gaps = deque(layout.gaps)
        self._seq = counters.dropped - missing
        """The seq of the last message that was taken."""
        self._bytes = self._tokens = self._pins = self._group = 0
        self._batches: deque[bytes] = deque(maxlen=_RECENT)
        self._has_odd = False
        """True after a message that is not text: such a message was damaged before the export."""
        self._open = {(int(seq), hash.encode()) for hash, _, seq in _calls(layout.open)}
        self._check_shape(missing)
        self._add_kept()

    def _check_shape(self, missing: int) -> None:
        """Check the seqs of the fields, before a message came."""
        counters, layout, settings = self._counters, self._layout, Settings.parse(self._fields[b"settings"])
        head, last = self._seq + 1, counters.last_seq
        self._require(0 <= self.expected <= MAX_SESSION_MESSAGES, "counters", f"0 to {MAX_SESSION_MESSAGES} messages")
        most = max(counters.user_messages, counters.assistant_messages, counters.turns)
        self._require(most <= last, "counters", f"at most {last} messages and turns")
        self._require(0 <= counters.user_seq <= last, "counters", f"a user_back of at most {last}")
        self._require(min(counters.rev, counters.operations) >= 0, "counters", "a revision and operations from 0 on")
        at, is_ordered = head, head >= 1
        for first, behind in layout.gaps:
            is_ordered, at = is_ordered and at < first <= behind, behind + 1
        self._require(is_ordered and at - 1 <= last, "layout", f"gaps between the seqs {head} and {last}, in order")
        self._require(not missing or self.expected > 0, "layout", "no gaps, because no message is listed")
        opened = [int(seq) for _, _, seq in _calls(layout.open)]
        self._require(all(seq <= last for seq in [layout.group, *opened]), "layout", f"seqs up to {last}")
        over = self.expected + layout.kept - settings.max_messages
        self._require(
            not settings.max_messages or over <= MAX_OVER_CAP,
            "settings",
            f"a cap that at most {MAX_OVER_CAP} messages exceed",
        )

    def _add_kept(self) -> None:
        """Check the messages that the hash holds."""
        seqs = [int(seq) for seq in self._fields.get(b"kept_seqs", b"").split(b",") if seq]
        kept = {name for name in self._fields if name.startswith(b"kept.")}
        if not (
            len(kept) == len(seqs) == self._layout.kept
            and seqs == sorted(set(seqs))
            and kept == {b"kept.%d" % seq for seq in seqs}
            and all(1 <= seq <= self._seq for seq in seqs)
        ):
            raise Damaged(f"the kept messages of session {self._id!r} are not those of its layout")
        self._require(self._layout.task in (0, *seqs), "layout", "the seq of a kept message as task")
        for seq in seqs:
            self._take(self._fields[b"kept.%d" % seq], seq, f"the kept message with seq {seq}")
        self._batches.clear()
        self._group = 0

    def add(self, elements: Sequence[bytes], odd: Sequence[bool]) -> None:
        """Take the next messages in order. `odd` tells which are not text, if any is. Raises Damaged."""
        self.count += len(elements)
        if self.count > self.expected:
            self._refuse_count()
        gaps, seq = self._gaps, self._seq
        for at, element in enumerate(elements):
            seq += 1
            if gaps and seq == gaps[0][0]:
                seq = gaps.popleft()[1] + 1
            self._take(element, seq, f"the message with seq {seq}", bool(odd) and odd[at])
        self._seq = seq

    def _take(self, element: bytes, seq: int, name: str, is_odd: bool = False) -> None:
        found = MESSAGE.match(element)
        if not found:
            raise Damaged(f"the header of a message of session {self._id!r} is damaged, at {name}: expected {_HEADER}")
        time, _kind, flag, tokens, batch = found.groups()
        if time > self._latest:
            raise Damaged(f"{name} of session {self._id!r} has a time that is later than now")
        payload = element[found.end() :] if flag is not None else element[_FACTS_HEAD.match(element).end() :]  # type: ignore[union-attr]
        if is_odd and payload[:1] == b"{":
            self._has_odd = True
        elif not is_payload(payload):
            raise Damaged(f"{name} of session {self._id!r} is damaged: expected a JSON object as its payload")
        if flag is None:
            flag, tokens, batch = self._take_facts(element, seq, name)
        flags = flag[0]
        self._batches.append(batch)
        self._bytes += len(element)
        self._tokens += int(tokens)
        if flags != 64 and flags & (PINNED_FLAG | _CONTINUES | _SUMMARY) and seq > self._counters.plain_after:
            raise damaged(self._id, "counters", f"plain_after to be at least {seq}, a marked message", self._counters)
        self._pins += flags & PINNED_FLAG
        if not flags & _CONTINUES:
            self._group = seq

    def _take_facts(self, element: bytes, seq: int, name: str) -> tuple[bytes, bytes, bytes]:
        head = _FACTS_HEAD.match(element)
        assert head is not None
        flag, tokens, batch, facts = head.groups()
        if self._open:
            made = {(seq, hash) for hash in re.findall(rb"\+(\w+)", facts)}
            self._open -= made
        return flag, tokens, batch

    def finish(self) -> None:
        """Check the sums, after the last message. Raises Damaged."""
        counters = self._counters
        if self.count != self.expected:
            self._refuse_count()
        if self._gaps:
            self._seq = self._gaps.popleft()[1]
        self._require(not self._gaps and self._seq == counters.last_seq, "layout", f"seqs up to {counters.last_seq}")
        if not self._has_odd:
            sums = (self._bytes, self._tokens)
            self._require((counters.bytes, counters.tokens) == sums, "counters", f"bytes and tokens {sums}")
        pins = int(self._fields.get(b"pins", b"0"))
        self._require(pins == self._pins, "pins", f"{self._pins}, the number of pinned messages")
        head = counters.last_seq - self.expected + 1
        is_lost = any(seq >= head for seq, _ in self._open)
        self._require(not is_lost, "layout", "open calls that the messages make")
        group = self._layout.group
        is_known = group in (0, self._group) or (self._group == 0 and group <= head)
        self._require(is_known, "layout", f"{self._group} as the start of the newest group")
        self._check_recent()

    def _check_recent(self) -> None:
        """Check the marks of recent appends, each of which must be the mark of a message."""
        marks = [mark for mark in reversed(self._fields.get(b"recent", b"")) if mark]
        batches = list(reversed(self._batches))
        is_known = len(marks) <= len(batches) and all(
            mark == _recent_mark(batch) for mark, batch in zip(marks, batches, strict=False)
        )
        self._require(is_known, "recent", "the marks of the newest messages")

    def _refuse_count(self) -> NoReturn:
        raise Damaged(f"session {self._id!r} has {self.count} messages, and its counters say {self.expected}")

    def _require(self, holds: bool, field: str, expected: str) -> None:
        if not holds:
            raise damaged(self._id, field, expected, self._fields.get(field.encode(), b""))


def check_inbox(id: str, fields: Mapping[bytes, bytes]) -> None:
    """Check that an inbox holds the messages that its record counts, each with its header. Raises Damaged."""
    names = {name for name in fields if name.startswith(b"inbox.")}
    record = fields.get(b"inbox")
    first, last, results = map(int, (record or b"1 0 0").split())
    size = last - first + 1
    is_exact = size == len(names) and all(b"inbox.%d" % number in names for number in range(first, first + size))
    if not is_exact or (record and not (first >= 1 and size >= 1 and results <= size)):
        raise damaged(id, "inbox", f"the numbers of the {len(names)} messages that wait", record or b"")
    for name in names:
        check_entry(id, name.decode(), fields[name])


def check_entry(id: str, name: str, entry: bytes) -> None:
    """Refuse a message that waits, if its header or its payload is damaged. Raises Damaged."""
    head = ENTRY.match(entry)
    if not head or not is_payload(entry[head.end() :]):
        raise Damaged(
            f"field {name!r} of session {id!r} is damaged: expected {_HEADER} without the time, and a JSON object"
        )


def _calls(text: str) -> Iterable[tuple[str, str, str]]:
    return [call.partition(":") for call in text.split(",") if call != "-"]


def _recent_mark(batch: bytes) -> int:
    """Return the mark of a batch ID, as in recent_mark.lua."""
    second, last = (b"  " + batch)[-2:]
    return (second * 79 + last) % 255 + 1


_HEADER = "'<time><left><kind><flags><tokens> <batch ID> [<facts> ]<payload>'"
