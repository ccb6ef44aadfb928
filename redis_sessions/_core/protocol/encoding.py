"""Encode and decode the payloads and values of one session by the chain of its cache."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from ...errors import BlobStoreUnavailable, CodecMissing, DecryptionError
from ...settings import Encodable
from .chain import HEAD, MARK, PLAIN_HEAD, Chain, TagMismatch
from .keys import Origin, SessionKeys

Argument: TypeAlias = str | bytes | int


class OriginsNeeded(Exception):
    """A value may have been encoded for a session that this one was copied from. The executor reads which, and reads again."""

    def __init__(self, keys: SessionKeys) -> None:
        super().__init__(keys.id)
        self.keys = keys


def encoded(
    keys: SessionKeys, kind: Encodable, data: bytes, context: str, *, place: str = "0", owner: str | None = None
) -> bytes:
    """Return a value of a session as it is stored: encoded, if the cache encodes values of its kind."""
    chain = keys.chain
    if chain is not None and kind in chain.kinds:
        return chain.encode(data, keys.id if owner is None else owner, context, place)
    return PLAIN_HEAD + data if data[:1] == MARK else data


def drop_unsent(keys: SessionKeys, entries: Iterable[bytes]) -> None:
    """Drop the bytes of encoded values that no command will send, and that would become files of a blob store."""
    blobs = None if keys.chain is None else keys.chain.blobs
    if blobs is not None:
        blobs.pending.drop(blobs.pending.named_in(entries))


def decoded(keys: SessionKeys, data: bytes, context: str, *, seq: int = 0, owner: str | None = None) -> bytes:
    """Return a stored value of a session as it was given.

    Args:
        context: the kind of the value, and what else it is bound to.
        owner: the session for which the value was encoded, if that is another one. '' for a value of the whole namespace.
        seq: the seq of a message, which a message that replaced another is bound to.

    Raises:
        DecryptionError: the value does not belong here, or no key fits.
        CodecMissing: this process does not have a codec of the value.
        OriginsNeeded: the value may have been encoded for a session that this one was copied from.
        ValueError: the value is damaged.
    """
    letters, place, data = _split(keys.chain, keys.id, context, data)
    if not letters:
        return data
    assert keys.chain is not None
    if place[0] == "=":
        context = context.partition(" ")[0]
        if place != f"={seq}":
            raise DecryptionError(
                session_id=keys.id, detail=f"the message that replaced seq {place[1:]} is at seq {seq}"
            )
    for namespace, id in _places(keys, owner):
        try:
            return keys.chain.decode(letters, place, data, id, context, namespace)
        except TagMismatch:
            continue
        except BlobStoreUnavailable as problem:
            if not seq:
                raise
            detail = f"message with seq {seq}: {problem.detail}"
            raise BlobStoreUnavailable(where=problem.where, waited=problem.waited, detail=detail) from None
    if keys.origins is None:
        raise OriginsNeeded(keys)
    what = context.partition(" ")[0]
    raise DecryptionError(session_id=keys.id, detail=f"the {what} belongs elsewhere, was changed, or has another key")


def _split(chain: Chain | None, owner: str, context: str, data: bytes) -> tuple[str, str, bytes]:
    """Return the letters, the place and the encoded data of a stored value. No letters for plain data.

    Raises:
        DecryptionError: the head is damaged, and the chain has a codec that binds values.
        CodecMissing: the value is encoded, and there is no chain.
    """
    head = HEAD.match(data)
    if head is None:
        if data[:1] == MARK and chain is not None and chain.can_bind:
            detail = f"the head of the {context.partition(' ')[0]} was changed or cut"
            raise DecryptionError(session_id=owner, detail=detail)
        return "", "0", data
    letters = head[1].decode()
    if letters and chain is None:
        raise CodecMissing(session_id=owner, codec=letters[-1])
    return letters, head[2].decode(), data[head.end() :]


def _places(keys: SessionKeys, owner: str | None) -> Iterable[Origin]:
    """Return the namespaces and sessions for which a value may have been encoded: of this session, and of those before it."""
    assert keys.chain is not None
    places = [(keys.chain.namespace, keys.id), *(keys.origins or ())]
    if owner is None:
        return places
    return dict.fromkeys((namespace, owner) for namespace, _ in places)


_KINDS: dict[str, Encodable] = {
    "system": "messages", "name": "metadata", "task": "metadata", "meta": "metadata", "state": "state", "var": "state",
    "result": "results", "reason": "results", "cancelled_why": "results", "requested_why": "results",
}  # fmt: skip
"""The kind of each field of a session's hash that can be encoded, or of the fields that begin with this word and a dot."""
_REASONS = ("reason", "cancelled_why", "requested_why")
_INTEGER = re.compile(rb"-?\d+")


def field_kind(name: str) -> Encodable | None:
    """Return the kind of a field of a session's hash, None for a field that is never encoded."""
    prefix, dot, _ = name.partition(".")
    kind = _KINDS.get(prefix)
    return kind if bool(dot) == (prefix in ("meta", "state", "var")) else None


def is_reason(name: str) -> bool:
    """Return whether a field holds a reason."""
    return name in _REASONS


def encoded_field(keys: SessionKeys, name: str, value: bytes) -> bytes:
    """Return the value of a field as it is stored. A whole number of the state stays plain, so that scripts can add to it."""
    kind = field_kind(name)
    if kind is None or (name.startswith("state.") and _INTEGER.fullmatch(value)):
        return value
    return encoded(keys, kind, value, name)


def encoded_fields(keys: SessionKeys, fields: Mapping[str, Argument]) -> dict[str, Argument]:
    """Return the fields of a session's hash as they are stored."""
    if keys.chain is None and not any(isinstance(value, str) and value[:1] == "\1" for value in fields.values()):
        return dict(fields)
    return {
        name: encoded_field(keys, name, value.encode() if isinstance(value, str) else value)
        if isinstance(value, str | bytes) else value
        for name, value in fields.items()
    }  # fmt: skip


def decoded_field(keys: SessionKeys, name: str, value: bytes) -> bytes:
    """Return the value of a field as it was given. Raises what `decoded` raises."""
    if value[:1] != MARK or field_kind(name) is None:
        return value
    if name in _REASONS:
        return decoded_reason(keys, value)
    return decoded(keys, value, name)


def encoded_reason(keys: SessionKeys, reason: str) -> bytes:
    """Return a reason as scripts store it. '' stays ''. Encoded bytes become base64, because lines of text hold reasons.

    Scripts copy a reason to other sessions of a tree, so it belongs to the namespace.
    """
    if not reason:
        return b""
    data = reason.encode()
    stored = encoded(keys, "results", data, "reason", place=str(len(data)), owner="")
    head = HEAD.match(stored)
    return head[0] + b64encode(stored[head.end() :]) if head and head[1] else stored


def decoded_reason(keys: SessionKeys, stored: bytes) -> bytes:
    """Return a reason as it was given. Raises what `decoded` raises."""
    return decoded(keys, unarmoured(stored), "reason", owner="")


def unarmoured(reason: bytes) -> bytes:
    """Return a stored reason with what its codecs returned, without base64. Raises ValueError when it is damaged."""
    head = HEAD.match(reason)
    return head[0] + b64decode(reason[head.end() :], validate=True) if head and head[1] else reason


def encoded_result(keys: SessionKeys, result: str, owner: str | None = None) -> bytes:
    """Return a result as scripts store it. It names the size of its text, by which the parent's message counts tokens.

    Args:
        owner: the session whose result it is, if that is another one.
    """
    size = len(result.encode()) - 2 * result.startswith('"')
    return encoded(keys, "results", result.encode(), "result", place=str(size), owner=owner) if result else b""


def encoded_origins(chain: Chain, id: str, origins: Sequence[Origin]) -> bytes:
    """Return the sessions that a session was copied from, as its field `origins` holds them."""
    return chain.encode(" ".join(word for origin in origins for word in origin).encode(), id, "origins")


def decoded_origins(keys: SessionKeys, value: bytes | None, namespace: str | None = None) -> tuple[Origin, ...]:
    """Return the sessions that a session was copied from. Raises DecryptionError.

    A value that anyone could have written is passed over, if the chain has a codec that binds values.

    Args:
        namespace: the namespace from which the session was exported, if that is another one.
    """
    keys.origins = () if namespace is None else ((namespace, keys.id),)
    if not value or (keys.chain is not None and not keys.chain.is_bound(value)):
        return ()
    words = decoded(keys, value, "origins").decode().split()
    return tuple(zip(words[::2], words[1::2], strict=True))


def copy_origins(keys: SessionKeys) -> list[Origin]:
    """Return what the field `origins` of a copy of a session holds, once the origins of the session were read."""
    assert keys.chain is not None
    return [(keys.chain.namespace, keys.id), *(keys.origins or ())]


def check_codecs(chain: Chain | None, id: str, value: bytes) -> None:
    """Raise CodecMissing for an encoded value of a session with a codec that is not here."""
    head = HEAD.match(value)
    known = "" if chain is None else "".join(codec.letter for codec in chain.codecs)
    for letter in head[1].decode() if head else "":
        if letter not in known:
            raise CodecMissing(session_id=id, codec=letter)


def encoded_document(chain: Chain | None, category: str, field: str, data: bytes) -> bytes:
    """Return a document as it is stored."""
    return _encoded_value(chain, "documents", "", f"document {category}\0{field}", data)


def decoded_document(chain: Chain | None, category: str, field: str, data: bytes) -> bytes:
    """Return a document as it was given. Raises CodecMissing, DecryptionError, and ValueError for a damaged document."""
    return _decoded_value(chain, "", f"document {category}\0{field}", data, f"{category}/{field}")


def encoded_shared(chain: Chain | None, scope: str, name: str, data: bytes) -> bytes:
    """Return a value of a shared scope as it is stored. A whole number stays plain, so that scripts can add to it."""
    if _INTEGER.fullmatch(data):
        return data
    return _encoded_value(chain, "state", "", f"shared {scope}\0{name}", data)


def decoded_shared(chain: Chain | None, scope: str, name: str, data: bytes) -> bytes:
    """Return a value of a shared scope as it was given. Raises what `decoded_document` raises."""
    return _decoded_value(chain, "", f"shared {scope}\0{name}", data, f"{scope}/{name}")


def encoded_checkpoint(chain: Chain | None, thread: str, context: str, data: bytes) -> bytes:
    """Return a part of a checkpoint, a blob or a pending write as it is stored. `context` names its place in the thread."""
    return _encoded_value(chain, "checkpoints", thread, context, data)


def decoded_checkpoint(chain: Chain | None, thread: str, context: str, data: bytes) -> bytes:
    """Return a part of a checkpoint as it was given. Raises CodecMissing, DecryptionError, and ValueError for damage."""
    return _decoded_value(chain, thread, context, data, thread)


def _encoded_value(chain: Chain | None, kind: Encodable, owner: str, context: str, data: bytes) -> bytes:
    if chain is not None and kind in chain.kinds:
        return chain.encode(data, owner, context)
    return PLAIN_HEAD + data if data[:1] == MARK else data


def _decoded_value(chain: Chain | None, owner: str, context: str, data: bytes, name: str) -> bytes:
    letters, place, data = _split(chain, name, context, data)
    if not letters:
        return data
    assert chain is not None
    try:
        return chain.decode(letters, place, data, owner, context)
    except TagMismatch:
        detail = f"the {context.partition(' ')[0]} belongs elsewhere, was changed, or has another key"
        raise DecryptionError(session_id=name, detail=detail) from None
