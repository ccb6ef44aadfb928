"""Check the parts of one session of an import, field by field. What is known of a part does not grow with its messages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...errors import InvalidInput
from ..commands.parts import check_part_name, checked_message_id
from ..commands.storage_bounds import check_number
from ..protocol.codec import split_payload
from ..protocol.records import PartRecord, PartTotals
from .import_bounds import Bounds
from .import_fields import check_past, stored_value
from .import_messages import MESSAGE
from .import_schema import COUNT, Damaged, damaged
from .import_values import is_payload

_MESSAGE_FIELD = re.compile(rf"message\.({COUNT.decode()}) ({COUNT.decode()})")
_ID_FIELD = re.compile(rf"id\.({COUNT.decode()}) (\S+)")
_BATCHES_FIELD = re.compile(rf"batches\.({COUNT.decode()})")
_BATCHES = re.compile(rb"(?:\n[^\s]{1,600} (?:%b )*%b){0,64}" % (COUNT, COUNT))
_PART_RECORD = re.compile(rb"(?:%b ){5}%b" % (COUNT, COUNT))
_TOTALS = re.compile(rb"(?:%b ){4}%b" % (COUNT, COUNT))


class PartsCheck:
    """The parts of a session as they are read: the messages of each part in order, then its record, and the totals last."""

    def __init__(self, id: str, fields: Mapping[bytes, bytes], bounds: Bounds, latest: bytes) -> None:
        self._id = id
        self._bounds = bounds
        self._latest = latest
        self._has_parts = b"has_parts" in fields
        self._numbers: set[int] = set()
        self._names: set[str] = set()
        self._part = self._first = self._last = self._size = 0
        """Of the part that is read now: its number, 0 for none, the first and the last seq, and the bytes."""
        self._id_of_last = ""
        self._newest = 0
        """The number of the part whose record was read last, until its results are read."""
        self._messages = self._bytes = self._ids = 0
        self._totals: PartTotals | None = None

    @property
    def count(self) -> int:
        """The number of parts that were read."""
        return len(self._names)

    def add(self, given: Mapping[str, Any]) -> dict[bytes, bytes]:
        """Return the next fields, checked. Raises Damaged."""
        fields: dict[bytes, bytes] = {}
        for name, value in given.items():
            data = stored_value(f"the parts of session {self._id!r}", name, value, self._bounds)
            fields[name.encode()] = data
            self._require(
                self._has_parts and self._totals is None, name, "no field, or the totals as the last one", data
            )
            try:
                self._take(name, data)
            except InvalidInput as problem:
                raise Damaged(f"field {name[:80]!r} of session {self._id!r} is damaged: {problem}") from None
        return fields

    def _take(self, name: str, value: bytes) -> None:
        message, id, batches = (one.fullmatch(name) for one in (_MESSAGE_FIELD, _ID_FIELD, _BATCHES_FIELD))
        if message:
            self._take_message(name, int(message[1]), int(message[2]), value)
        elif id:
            self._take_id(name, int(id[1]), id[2], value)
        elif name.startswith("part."):
            self._take_record(name, value)
        elif batches:
            is_next = 0 < int(batches[1]) == self._newest
            self._require(is_next, name, "the field of the part whose record is before it", value)
            self._require(_BATCHES.fullmatch(value), name, "results of at most 64 appends", value)
            self._newest = 0
        elif name == "totals":
            self._take_totals(name, value)
        else:
            raise damaged(self._id, name, "a field of the storage reference", value)

    def _take_message(self, name: str, number: int, seq: int, value: bytes) -> None:
        if number != self._part:
            is_new = self._part == 0 and number > 0 and number not in self._numbers and seq > 0
            self._require(is_new, name, "the messages of one part together, before its record", value)
            self._part, self._first, self._last, self._size = number, seq, seq - 1, 0
        self._require(seq == self._last + 1, name, f"the message with seq {self._last + 1}", value)
        found = MESSAGE.match(value)
        _, batch, payload = split_payload(value)
        is_message = found is not None and value[:7] <= self._latest and is_payload(payload)
        self._require(is_message, name, "a message of the past with a JSON object", b"%d bytes" % len(value))
        self._last, self._size, self._id_of_last = seq, self._size + len(value), batch.decode(errors="replace")

    def _take_id(self, name: str, number: int, id: str, value: bytes) -> None:
        checked_message_id(id)
        if number == 0:
            self._require(value == b"1", name, "1", value)
            self._ids += 1
            return
        is_last = number == self._part and id == self._id_of_last and value == b"%d" % self._last
        self._require(is_last, name, "the seq of the message before, which has the ID", value)

    def _take_record(self, name: str, value: bytes) -> None:
        self._require(_PART_RECORD.fullmatch(value), name, "the record of a part", value)
        text, record = check_part_name(name.removeprefix("part.")), PartRecord.parse(value)
        number = self._part or record.number
        count = self._last - self._first + 1 if self._part else 0
        is_same = record.number == number and number > 0 and number not in self._numbers and text not in self._names
        is_complete = record.last_seq - record.first_seq + 1 == count and record.bytes == self._size * (count > 0)
        is_placed = record.first_seq == self._first if count else record.first_seq > 0
        self._require(is_same and is_complete and is_placed, name, f"the record of {count} messages before it", value)
        check_past(self._id, name, [record.created_ms, record.updated_ms], self._bounds.now_ms, value)
        self._numbers.add(number)
        self._newest = number
        self._names.add(text)
        check_number(self._bounds.storage, "parts", len(self._names), "parts")  # before there is more to remember
        self._messages, self._bytes, self._part = self._messages + count, self._bytes + record.bytes, 0

    def _take_totals(self, name: str, value: bytes) -> None:
        self._require(_TOTALS.fullmatch(value), name, "the totals of the parts", value)
        totals = self._totals = PartTotals.parse(value)
        expected = (len(self._numbers), self._messages, self._bytes, self._ids)
        is_right = totals[1:] == expected and totals.numbers >= max(self._numbers, default=0) and not self._part
        self._require(is_right, name, f"totals of {expected}", value)
        for bound, found in (
            ("parts", totals.parts), ("part_messages", totals.messages + totals.ids), ("parts_bytes", totals.bytes)
        ):  # fmt: skip
            check_number(self._bounds.storage, bound, found, bound)

    def _require(self, holds: object, name: str, expected: str, value: bytes) -> None:
        if not holds:
            raise damaged(self._id, name[:80], expected, value)

    def finish(self) -> None:
        """Check that nothing is missing. Raises Damaged."""
        if self._has_parts and self._totals is None:
            raise damaged(self._id, "has_parts", "the parts of the session, with their totals", b"nothing")
