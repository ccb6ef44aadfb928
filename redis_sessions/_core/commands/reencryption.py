"""Calls that bring stored values to the present codecs and the current key."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from ...errors import InvalidState
from ..protocol.call import Argument, Call, invoke
from ..protocol.chain import RenewingChain, place_of
from ..protocol.codec import split_payload
from ..protocol.encoding import (
    decoded,
    decoded_document,
    decoded_field,
    decoded_origins,
    decoded_reason,
    decoded_shared,
    encoded,
    encoded_document,
    encoded_field,
    encoded_origins,
    encoded_reason,
    encoded_result,
    encoded_shared,
    field_kind,
    is_reason,
)  # fmt: skip
from ..protocol.json_values import from_json
from ..protocol.keys import CheckpointKeys, DocumentKeys, SessionKeys
from ..protocol.records import MemberRecord, lines_of, parse_gaps, seqs_from
from ..protocol.result_records import MARK, MemberResult, ResultRecord
from ..protocol.scripts import script
from ..protocol.shared_keys import SharedKeys
from . import messages

_PAGE = 200
"""Values that are read at once."""
_MAX_LARGE = 10
"""Messages in fields, and documents, that are read at once."""
_MAX_REPLACED = 50
_MAX_REPLACED_BYTES = 1024 * 1024
"""Limits of the values and bytes that one call replaces. A single value may be larger."""


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


def _hash_of(keys: SessionKeys | DocumentKeys | CheckpointKeys) -> str:
    if isinstance(keys, SessionKeys):
        return keys.session
    return keys.documents if isinstance(keys, DocumentKeys) else keys.values


def read_names(keys: SessionKeys | DocumentKeys | CheckpointKeys) -> Call[list[bytes]]:
    """Read the names of all fields of a session, of all documents of a category, or of all values of a thread."""
    return Call(("HKEYS", _hash_of(keys)), keys, list, writes=False)


def read_values(
    keys: SessionKeys | DocumentKeys | CheckpointKeys, names: Sequence[bytes]
) -> Iterator[Call[list[StoredValue]]]:
    """Yield the calls that read fields, documents or values of a thread as they are stored. Missing ones are left out."""
    is_session = isinstance(keys, SessionKeys)
    hash = _hash_of(keys)
    if isinstance(keys, DocumentKeys):
        names = [name for name in names if not name.endswith((b"\n", b"\r"))]  # those are times
    large = [name for name in names if not is_session or name.startswith((b"kept.", b"inbox."))]
    small = sorted(set(names) - set(large))  # 'member.' is read before 'member_result.'
    parts = [small[at : at + _PAGE] for at in range(0, len(small), _PAGE)]
    parts += [large[at : at + _MAX_LARGE] for at in range(0, len(large), _MAX_LARGE)]
    for part in parts:
        yield Call(("HMGET", hash, *part), keys, partial(_stored_values, part), writes=False)


def read_incarnation(keys: SessionKeys) -> Call[str]:
    """Read which incarnation is stored. '' for none."""
    return Call(
        ("HGET", keys.session, "incarnation"), keys, lambda reply: (reply or b"").decode(errors="replace"), writes=False
    )


def member_ids(fields: Iterable[StoredValue]) -> dict[str, str]:
    """Return the IDs of the members of a tree by number. Raises InvalidState for a damaged record."""
    found = {}
    for name, value in fields:
        if name.startswith("member."):
            try:
                found[name.removeprefix("member.")] = MemberRecord.parse(value.decode()).id
            except ValueError as problem:
                raise InvalidState(name=name, detail=f"the stored value is damaged: {problem}") from None
    return found


def _stored_values(names: Sequence[bytes], reply: Sequence[bytes | None]) -> list[StoredValue]:
    return [
        StoredValue(name.decode("utf-8", "surrogateescape"), value)
        for name, value in zip(names, reply, strict=True)
        if value is not None
    ]


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
    if place.startswith("#") or (kind in ("kept", "inbox") and rest):
        seq = int(place[1:] if place.startswith("#") else rest)
        return _renewed_message(keys, value, seq if kind != "inbox" else None)
    if kind == "member_result":
        return _renewed_member_result(keys, value, members.get(rest, ""))
    if place == "attempt_log":
        return _renewed_attempts(keys, value)
    if place == "origins":
        keys.origins = decoded_origins(keys, value)
        return _chain(keys).chosen(value, encoded_origins(_chain(keys), keys.id, keys.origins))
    if is_reason(place):
        return _renewed_reason(keys, value)
    if field_kind(place) is None:
        return value
    plain = decoded_field(keys, place, value)
    again = encoded_result(keys, plain.decode()) if place == "result" else encoded_field(keys, place, plain)
    return _chain(keys).chosen(value, again)


def _chain(keys: SessionKeys) -> RenewingChain:
    assert isinstance(keys.chain, RenewingChain)
    return keys.chain


def _renewed_message(keys: SessionKeys, element: bytes, seq: int | None) -> bytes:
    """Return a message with the present codecs. A message with a seq is bound to the seq from now on."""
    head, batch, payload = split_payload(element, has_time=seq is not None)
    if not payload:
        raise ValueError("it is no message")
    if payload[:1] == MARK:
        return head + _renewed_record(keys, ResultRecord.parse(payload))
    plain = decoded(keys, payload, f"message {batch.decode()}", seq=seq or 0)
    if seq is None:
        again = encoded(keys, "messages", plain, f"message {batch.decode()}", place=place_of(payload))
    else:
        again = encoded(keys, "messages", plain, "message", place=f"={seq}")
    return head + _chain(keys).chosen(payload, again)


def _renewed_record(keys: SessionKeys, record: ResultRecord) -> bytes:
    result = _renewed_result(keys, record.result, record.session)
    return bytes(record._replace(result=result, reason=_renewed_reason(keys, record.reason)))


def _renewed_member_result(keys: SessionKeys, value: bytes, id: str) -> bytes:
    reason, result = MemberResult.parse(value)
    return bytes(MemberResult(_renewed_reason(keys, reason), _renewed_result(keys, result, id)))


def _renewed_result(keys: SessionKeys, result: bytes, owner: str) -> bytes:
    again = encoded_result(keys, decoded(keys, result, "result", owner=owner).decode(), owner)
    return _chain(keys).chosen(result, again)


def _renewed_reason(keys: SessionKeys, stored: bytes) -> bytes:
    return _chain(keys).chosen(stored, encoded_reason(keys, decoded_reason(keys, stored).decode()))


def _renewed_attempts(keys: SessionKeys, log: bytes) -> bytes:
    lines = []
    for line in lines_of(log):
        *words, text = line.split(" ", 4)
        error = from_json(text.encode()).encode()
        if (renewed := _renewed_reason(keys, error)) != error:
            text = json.dumps(renewed.decode(), ensure_ascii=False)
        lines.append(" ".join([*words, text]) + "\n")
    return "".join(lines).encode()


def parts_of(changes: Iterable[tuple[StoredValue, bytes]]) -> Iterator[list[Argument]]:
    """Yield the places and values of changes in parts that one call replaces."""
    rest: list[Argument] = []
    size = 0
    for (place, before), after in changes:
        added = len(before) + len(after)
        if rest and (size + added > _MAX_REPLACED_BYTES or len(rest) >= 3 * _MAX_REPLACED):
            yield rest
            rest, size = [], 0
        rest += [place, before, after]
        size += added
    if rest:
        yield rest


def rewrite(keys: SessionKeys, incarnation: str, changes: Iterable[tuple[StoredValue, bytes]]) -> Iterator[Call[int]]:
    """Yield the calls that replace values which did not change since. The result of each is how many were replaced."""
    for rest in parts_of(changes):
        yield invoke(script("transfer/rewrite"), keys, int, incarnation=incarnation, rest=rest)


def renewed_document(chain: RenewingChain, category: str, stored: StoredValue) -> bytes:
    """Return a document with the present codecs and the current key."""
    plain = decoded_document(chain, category, stored.place, stored.value)
    return chain.chosen(stored.value, encoded_document(chain, category, stored.place, plain))


def rewrite_documents(
    keys: DocumentKeys | CheckpointKeys, changes: Iterable[tuple[StoredValue, bytes]]
) -> Iterator[Call[int]]:
    """Yield the calls that replace documents, or values of a thread, that did not change since.

    The result of each is how many were replaced.
    """
    for rest in parts_of(changes):
        yield invoke(script("documents/rewrite"), keys, int, rest=rest, other_keys={"documents": _hash_of(keys)})


def renewed_shared(chain: RenewingChain, scope: str, stored: StoredValue) -> bytes:
    """Return a value of a shared scope with the present codecs and the current key."""
    plain = decoded_shared(chain, scope, stored.place, stored.value)
    return chain.chosen(stored.value, encoded_shared(chain, scope, stored.place, plain))


def rewrite_shared(keys: SharedKeys, changes: Iterable[tuple[StoredValue, bytes]]) -> Iterator[Call[int]]:
    """Yield the calls that replace values which did not change since. The result of each is how many were replaced."""
    for rest in parts_of(changes):
        yield invoke(script("shared/rewrite"), keys, int, rest=rest)
