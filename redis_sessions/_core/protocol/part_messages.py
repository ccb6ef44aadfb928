"""Encode and decode the messages of parts.

A message of a part has the stored form of a message (`codec.py`). What codecs encode is bound to the part's name, too.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from ...bounds import MAX_WIRE_BYTES
from ...errors import InvalidInput, InvalidState
from ...models.messages import Message
from ...settings import TokenCounter
from . import encoding
from .codec import decode, encode, split_payload
from .keys import SessionKeys


def encode_part_message(
    message: Any, name: str, batch: str, counter: TokenCounter, keys: SessionKeys, place: int | str
) -> bytes:
    """Return a message as the scripts of parts take it. Raises InvalidInput.

    Args:
        name: the part.
        batch: the ID of the message, or of its batch.
        place: the place of the message in its batch, or '=<seq>' of the message that it replaces.
    """
    chain, keys.chain = keys.chain, None
    try:
        entry = encode(message, batch, counter, keys).entry
    finally:
        keys.chain = chain
    if chain is None:
        return entry
    head, _, payload = split_payload(entry, has_time=False)
    stored = head + encode_part_payload(payload, name, batch, keys, place)
    if len(stored) > MAX_WIRE_BYTES:
        raise InvalidInput(name="message", detail=f"must have at most {MAX_WIRE_BYTES} bytes, got {len(stored)}")
    return stored


def encode_part_payload(payload: bytes, name: str, batch: str, keys: SessionKeys, place: int | str) -> bytes:
    """Return a payload as it is stored."""
    context = _context(name) if isinstance(place, str) else f"{_context(name)} {batch}"
    return encoding.encoded(keys, "messages", payload, context, place=str(place))


def decode_part_payload(payload: bytes, name: str, batch: str, seq: int, keys: SessionKeys) -> bytes:
    """Return a stored payload as it was given. Raises what `encoding.decoded` raises."""
    return encoding.decoded(keys, payload, f"{_context(name)} {batch}", seq=seq)


def decode_part_message(element: bytes, seq: int, incarnation: str, name: str, keys: SessionKeys) -> Message:
    """Return the message of a stored element of a part. Raises InvalidState for a damaged one, and what codecs raise."""
    head, batch, payload = split_payload(element)
    if not head:
        detail = "the stored message is missing or damaged"
        raise InvalidState(name=f"message with seq {seq} of part {name!r}", detail=detail)
    if payload[:1] < b" ":
        element = head + decode_part_payload(payload, name, batch.decode(), seq, keys)
    return decode(element, seq, incarnation, keys)


def _context(name: str) -> str:
    return f"part:{quote(name, safe='')}"
