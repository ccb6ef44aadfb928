"""Calls that read and rewrite parts as they are stored, for exports, reencryption and repairs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ..protocol.call import Argument, Call, invoke
from ..protocol.chain import RenewingChain
from ..protocol.codec import split_payload
from ..protocol.keys import SessionKeys
from ..protocol.part_messages import decode_part_payload, encode_part_payload
from ..protocol.records import PartRecord, PartTotals
from ..protocol.scripts import script
from .parts import MAX_PAGE_PARTS, list_parts

_PAGE_BYTES = 1024 * 1024
_MAX_PAGE = 500


class StoredPart(NamedTuple):
    """The name of a part, and its record."""

    name: str
    record: PartRecord


def read_stored(keys: SessionKeys, incarnation: str, after: str) -> Call[list[StoredPart]]:
    """Read the names and records of the parts behind a name, up to 1,000."""

    def read(reply: list[bytes]) -> list[StoredPart]:
        pairs = zip(reply[1::2], reply[2::2], strict=True)
        return [StoredPart(name.decode(), PartRecord.parse(record)) for name, record in pairs][:MAX_PAGE_PARTS]

    return list_parts(keys, incarnation, "", after, MAX_PAGE_PARTS, read)


def read_part_fields(keys: SessionKeys, names: Sequence[str]) -> Call[list[bytes | None]]:
    """Read fields of the parts as they are stored."""
    return Call(("HMGET", keys.parts, *names), keys, list, writes=False)


def scan_own_ids(keys: SessionKeys, cursor: bytes) -> Call[tuple[bytes, list[tuple[bytes, bytes]]]]:
    """Read some IDs of the session's own messages, and the cursor of the next call, 0 at the end."""

    def read(reply: Any) -> tuple[bytes, list[tuple[bytes, bytes]]]:
        return reply[0], list(zip(reply[1][::2], reply[1][1::2], strict=True))

    return Call(("HSCAN", keys.parts, cursor, "MATCH", "id.0 *", "COUNT", 1000), keys, read, writes=False)


def page_size(record: PartRecord) -> int:
    """Return how many messages of a part make about a megabyte."""
    count = record.last_seq - record.first_seq + 1
    return max(1, min(_PAGE_BYTES * count // max(record.bytes, 1), _MAX_PAGE))


def id_field(number: int, element: bytes) -> str:
    """Return the field that a message of a part has if it has an ID."""
    return f"id.{number} {split_payload(element)[1].decode(errors='replace')}"


def last_number(keys: SessionKeys) -> Call[int]:
    """Read how many parts the session ever had."""
    return Call(
        ("HGET", keys.parts, "totals"),
        keys,
        lambda reply: PartTotals.parse(reply).numbers if reply else 0,
        writes=False,
    )


def batches_until(batches: bytes, last_seq: int) -> bytes:
    """Return the results of appends that wrote nothing above a seq."""
    lines = [line for line in batches.split(b"\n") if line]
    return b"".join(b"\n" + line for line in lines if len(line.split()) < 3 or int(line.split()[2]) <= last_seq)


def renewed_part_message(keys: SessionKeys, name: str, seq: int, element: bytes) -> bytes:
    """Return a stored message of a part with the present codecs. Raises ValueError for a damaged one, and what codecs raise."""
    chain = keys.chain
    assert isinstance(chain, RenewingChain)
    head, batch, payload = split_payload(element)
    if not payload:
        raise ValueError("it is no message")
    plain = decode_part_payload(payload, name, batch.decode(), seq, keys)
    return head + chain.chosen(payload, encode_part_payload(plain, name, "", keys, f"={seq}"))


def rewrite_part(
    keys: SessionKeys, incarnation: str, name: str, changes: Sequence[tuple[int, bytes, bytes]]
) -> Iterator[Call[int]]:
    """Yield the calls that replace messages of a part which did not change since: seq, old message, new message."""
    for first in range(0, len(changes), 50):
        values: list[Argument] = [part for change in changes[first : first + 50] for part in change]
        yield invoke(script("parts/rewrite"), keys, int, incarnation=incarnation, name=name, rest=values)
