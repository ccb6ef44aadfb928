"""Calls that bring stored values to the present codecs and the current key."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ...settings import Encodable
from ..protocol.call import Argument, Call, invoke
from ..protocol.chain import Chain, is_encoded, place_of
from ..protocol.codec import split_payload
from ..protocol.encoding import (
    decoded,
    decoded_document,
    decoded_field,
    decoded_origins,
    decoded_reason,
    encoded,
    encoded_document,
    encoded_field,
    encoded_origins,
    encoded_reason,
    encoded_result,
    field_kind,
    is_reason,
    unarmoured,
)  # fmt: skip
from ..protocol.json_values import from_json
from ..protocol.keys import DocumentKeys, SessionKeys
from ..protocol.records import parse_gaps, seqs_from
from ..protocol.result_records import MARK, MemberResult, ResultRecord
from ..protocol.scripts import script
from . import messages

_PAGE = 200
"""Values of one page, and of one call that replaces them."""


class StoredValue(NamedTuple):
    """A value as it is stored, and where: '#<seq>' in the list, or a field."""

    place: str
    value: bytes


class StoredPage(NamedTuple):
    """Some messages as they are stored."""

    incarnation: str
    values: list[StoredValue]
    below: int
    """The seq to go on below. 0 when there is nothing older."""


def read_messages(keys: SessionKeys, incarnation: str, below: int) -> Call[StoredPage]:
    """Read a page of the listed messages as they are stored, the newest below a seq, or 0."""

    def read(reply: Any) -> StoredPage:
        found, _, _, low, listed, _, _, gaps, _, is_full = reply
        seqs = seqs_from(low, len(listed), parse_gaps(gaps.decode()))
        values = [StoredValue(f"#{seq}", element) for seq, element in zip(seqs, listed, strict=True)]
        return StoredPage(found.decode(), values, seqs[0] if is_full and seqs else 0)

    call: Call[Any] = messages.read(keys, incarnation, limit=_PAGE, below=below)
    call.read = read
    return call


def read_fields(keys: SessionKeys) -> Call[list[StoredValue]]:
    """Read all fields as they are stored."""

    def read(reply: Sequence[bytes]) -> list[StoredValue]:
        return [StoredValue(name.decode(), value) for name, value in zip(reply[::2], reply[1::2], strict=True)]

    return Call(("HGETALL", keys.session), keys, read, writes=False)


def renewed(keys: SessionKeys, stored: StoredValue, members: Mapping[str, str]) -> bytes:
    """Return a stored value with the present codecs and the current key. The same value if it has them.

    Args:
        members: the IDs of the members of the session's tree by number.

    Raises:
        DecryptionError, CodecMissing, OriginsNeeded: the value cannot be decoded.
        ValueError: the value is damaged.
    """
    place, value = stored
    kind, _, rest = place.partition(".")
    if place[0] == "#" or (kind in ("kept", "inbox") and rest):
        seq = int(place[1:] if place[0] == "#" else rest)
        return _renewed_message(keys, value, seq if kind != "inbox" else None)
    if kind == "member_result":
        return _renewed_member_result(keys, value, members.get(rest, ""))
    if place == "attempt_log":
        return _renewed_attempts(keys, value)
    if place == "origins":
        return _renewed_origins(keys, value)
    if is_reason(place):
        return _renewed_reason(keys, value)
    value_kind = field_kind(place)
    if value_kind is None or _is_current(keys, value_kind, value):
        return value
    plain = decoded_field(keys, place, value)
    return encoded_result(keys, plain.decode()) if place == "result" else encoded_field(keys, place, plain)


def _is_current(keys: SessionKeys, kind: Encodable, value: bytes) -> bool:
    assert keys.chain is not None
    return keys.chain.is_current(value) if kind in keys.chain.kinds else value[:1] != b"\1"


def _renewed_message(keys: SessionKeys, element: bytes, seq: int | None) -> bytes:
    """Return a message with the present codecs. A message with a seq is bound to the seq from now on."""
    head, batch, payload = split_payload(element if seq is not None else b"0000000" + b"0" + element)
    if seq is None:
        head = head[8:]
    if payload[:1] == MARK:
        return head + _renewed_record(keys, ResultRecord.parse(payload))
    if not payload or _is_current(keys, "messages", payload):
        return element
    plain = decoded(keys, payload, f"message {batch.decode()}", seq=seq or 0)
    if seq is None:
        return head + encoded(keys, "messages", plain, f"message {batch.decode()}", place=place_of(payload))
    return head + encoded(keys, "messages", plain, "message", place=f"={seq}")


def _renewed_record(keys: SessionKeys, record: ResultRecord) -> bytes:
    result = record.result
    if result and not _is_current(keys, "results", result):
        result = encoded_result(keys, decoded(keys, result, "result", owner=record.session).decode(), record.session)
    return bytes(record._replace(result=result, reason=_renewed_reason(keys, record.reason)))


def _renewed_member_result(keys: SessionKeys, value: bytes, id: str) -> bytes:
    reason, result = MemberResult.parse(value)
    if result and not _is_current(keys, "results", result):
        result = encoded_result(keys, decoded(keys, result, "result", owner=id).decode(), id)
    return bytes(MemberResult(_renewed_reason(keys, reason), result))


def _renewed_reason(keys: SessionKeys, stored: bytes) -> bytes:
    if not stored or _is_current(keys, "results", unarmoured(stored)):
        return stored
    return encoded_reason(keys, decoded_reason(keys, stored).decode())


def _renewed_attempts(keys: SessionKeys, log: bytes) -> bytes:
    lines = []
    for line in log.decode().splitlines():
        *words, text = line.split(" ", 4)
        error = from_json(text.encode()).encode("utf-8", "surrogatepass")
        if is_encoded(error):
            text = json.dumps(_renewed_reason(keys, error).decode(), ensure_ascii=False)
        lines.append(" ".join([*words, text]) + "\n")
    return "".join(lines).encode()


def _renewed_origins(keys: SessionKeys, value: bytes) -> bytes:
    assert keys.chain is not None
    keys.origins = decoded_origins(keys, value)
    is_current = keys.chain.is_current(value)
    return value if is_current else encoded_origins(keys.chain, keys.id, keys.origins)


def rewrite(keys: SessionKeys, incarnation: str, changes: Iterable[tuple[StoredValue, bytes]]) -> Iterator[Call[int]]:
    """Yield the calls that replace values which did not change since. The result of each is how many were replaced."""
    listed = list(changes)
    for first in range(0, len(listed), _PAGE):
        rest: list[Argument] = []
        for stored, value in listed[first : first + _PAGE]:
            rest += [stored.place, stored.value, value]
        yield invoke(script("transfer/rewrite"), keys, int, incarnation=incarnation, rest=rest)


def read_documents(keys: DocumentKeys) -> Call[list[StoredValue]]:
    """Read all documents of a category as they are stored."""

    def read(reply: Sequence[bytes]) -> list[StoredValue]:
        return [StoredValue(name.decode(), value) for name, value in zip(reply[::2], reply[1::2], strict=True)]

    return Call(("HGETALL", keys.documents), keys, read, writes=False)


def renewed_document(chain: Chain, category: str, stored: StoredValue) -> bytes:
    """Return a document with the present codecs and the current key."""
    if chain.is_current(stored.value) if "documents" in chain.kinds else stored.value[:1] != b"\1":
        return stored.value
    plain = decoded_document(chain, category, stored.place, stored.value)
    return encoded_document(chain, category, stored.place, plain)


def rewrite_documents(keys: DocumentKeys, changes: Iterable[tuple[StoredValue, bytes]]) -> Call[int]:
    """Replace documents that did not change since. The result is how many were replaced."""
    rest: list[Argument] = [part for stored, value in changes for part in (stored.place, stored.value, value)]
    return invoke(script("documents/rewrite"), keys, int, rest=rest)
