"""Encode and decode messages.

A stored message is '<time><left><kind><flags><tokens> <batch ID> [<facts> ]<payload as JSON>', for example
`8V`R-!!0u@12 job-7 {"role":"user",…}`. A payload can be encoded by codecs (`chain.py`), or be the record of a child's end
(`result_records.py`). `message_times.py` reads the time. `left` is the number of messages that left
the list when this one came. Scripts read the header and never decode a payload.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha1
from typing import Any, NamedTuple

from ..._durations import whole
from ..._printable import error_text
from ...bounds import MAX_WIRE_BYTES
from ...errors import DecryptionError, InvalidInput, InvalidState
from ...models.formats import MAX_CALLS_PER_MESSAGE, Facts, recognise
from ...models.messages import Message, kind_of_facts, stored_message
from ...settings import TokenCounter
from . import encoding, result_records
from .chain import is_encoded, place_of
from .json_values import from_json, to_json, to_payload
from .keys import SessionKeys
from .message_times import TIME_DIGITS, read_time

PINNED_FLAG = 1
FACTS_FLAG = 2
CONTINUES_FLAG = 4
MAX_MESSAGE_TOKENS = 2**31
_DAMAGE = (ValueError, IndexError, RecursionError)
MAX_DECODED_BYTES = 16 * 1024 * 1024
"""Bytes after which no more messages of a page are decoded."""
FLAGS_AT = 9
"""The index of the flags in an element. The kind stands before them."""


class Encoded(NamedTuple):
    """A message as scripts take it, and its format: '' for one that many vendors share."""

    entry: bytes
    format: str


@lru_cache(maxsize=1024)
def call_hash(call_id: str) -> str:
    """Return the 8 hex digits by which scripts know a call. A call ID is text of a user, so it is not stored itself.

    The hash of '<name>/<n>' is that of the name plus n - 1, so that a script finds the nth call of a name without IDs.
    """
    name, slash, number = call_id.rpartition("/")
    if slash and name and number.isdecimal() and number.isascii() and 1 < int(number[:4]) <= MAX_CALLS_PER_MESSAGE:
        return f"{(int(call_hash(name), 16) + int(number[:4]) - 1) % 2**32:08x}"
    return sha1(call_id.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()[:8]


def encode(message: Any, batch_id: str, counter: TokenCounter, keys: SessionKeys, place: int | str = 0) -> Encoded:
    """Return a message as the append script takes it: all of the stored form but the time. Raises InvalidInput.

    Args:
        place: the place of the message in its batch, or '=<seq>' of the message that it replaces.
    """
    pinned, tokens, explicit = False, None, ""
    if isinstance(message, Message):
        payload, pinned, tokens, explicit = to_payload(message.payload), message.pinned, message.tokens, message.kind
    else:
        payload = to_payload(message)
    # First, because it refuses values that no format may meet, such as endless digits.
    text = to_json(payload, "message", is_plain=True)
    format, facts = recognise(payload)
    kind = explicit or kind_of_facts(facts)
    if tokens is None:
        tokens = counted(counter, payload)
    else:
        whole(tokens, "tokens", maximum=MAX_MESSAGE_TOKENS)
    flags = 64 + PINNED_FLAG if pinned else 64
    words = ""
    if facts is not None and (facts.opens or facts.closes or facts.binds_next):
        flags, words = flags + FACTS_FLAG, facts_words(facts) + " "
    if kind == "t":
        flags += CONTINUES_FLAG  # a result mostly continues the group of its call, and the scripts see to the others
    if keys.chain is None:
        data = f"{kind}{chr(flags)}{tokens} {batch_id} {words}{text}".encode()
    else:
        context = f"message {batch_id}" if isinstance(place, int) else "message"
        payload_bytes = encoding.encoded(keys, "messages", text.encode(), context, place=str(place))
        data = f"{kind}{chr(flags)}{tokens} {batch_id} {words}".encode() + payload_bytes
    if len(data) > MAX_WIRE_BYTES:
        raise InvalidInput(name="message", detail=f"must have at most {MAX_WIRE_BYTES} bytes, got {len(data)}")
    return Encoded(data, "" if format is None else format.name)


def counted(counter: TokenCounter, payload: dict[str, Any]) -> int:
    """Return the tokens of a payload by a counter. Raises InvalidInput when the counter fails or returns something else."""
    try:
        tokens = counter(payload)
    except InvalidInput:
        raise
    except Exception as problem:
        detail = f"must return the tokens of a payload, but raised {type(problem).__name__}: {error_text(problem)}"
        raise InvalidInput(name="token_counter", detail=detail) from problem
    is_checked = type(tokens) is int and 0 <= tokens <= MAX_MESSAGE_TOKENS
    return tokens if is_checked else whole(tokens, "tokens", maximum=MAX_MESSAGE_TOKENS)


def facts_words(facts: Facts) -> str:
    """Return the facts as scripts read them: '-' and '+' with the hash of each call, and '~' if the next item is bound.

    The hash of a tool stands behind the hash of its call's ID.
    """
    _, opens, closes, binds_next, tools = facts
    if len(opens) + len(closes) == 1 and not binds_next and not tools:
        return "+" + call_hash(opens[0]) if opens else "-" + call_hash(closes[0])
    if len(opens) > MAX_CALLS_PER_MESSAGE or len(closes) > MAX_CALLS_PER_MESSAGE:
        name, count = ("opens", len(opens)) if len(opens) > MAX_CALLS_PER_MESSAGE else ("closes", len(closes))
        detail = f"{name} {count} tool calls, a message may have at most {MAX_CALLS_PER_MESSAGE}"
        raise InvalidInput(name="message", detail=detail)
    hashes = {id: call_hash(id) + call_hash(name) for id, name in tools}
    words = [sign + (hashes.get(id) or call_hash(id)) for sign, ids in (("-", closes), ("+", opens)) for id in ids]
    if len(words) > 1:
        words = list(dict.fromkeys(words))
    return "".join(words) + ("~" if binds_next else "")


def count_calls(entry: bytes) -> int:
    """Return how many tool calls an entry makes and answers."""
    if not entry[1] & FACTS_FLAG:
        return 0
    words = entry.split(b" ", 3)[2]
    return words.count(b"+") + words.count(b"-")


def decode(element: bytes, seq: int, incarnation: str, keys: SessionKeys) -> Message:
    """Return the message of a stored element. Raises InvalidState, which names the seq, when the element is damaged.

    Raises what `encoding.decoded` raises, when the payload is encoded.
    """
    try:
        return _decode(element, seq, incarnation, keys)
    except _DAMAGE as problem:
        raise _damaged(seq, problem) from None


def _damaged(seq: int, problem: Exception) -> InvalidState:
    return InvalidState(name=f"message with seq {seq}", detail=f"the stored message is damaged: {problem}")


def _decode(element: bytes, seq: int, incarnation: str, keys: SessionKeys, sizes: list[int] | None = None) -> Message:
    """Return a message. `sizes` gets the bytes of an encoded payload after its decoding."""
    head, batch_id, payload = element.split(b" ", 2)
    flags = head[FLAGS_AT]
    facts, batch = "", batch_id.decode()
    if flags & FACTS_FLAG:
        words, payload = payload.split(b" ", 1)
        facts = words.decode()
    return stored_message(
        from_json(payload) if payload[0] >= 32 else _unpacked(payload, batch, seq, keys, sizes),
        chr(head[FLAGS_AT - 1]),
        seq,
        read_time(head),
        incarnation,
        batch,
        bool(flags & PINNED_FLAG),
        int(head[FLAGS_AT + 1 :]),
        facts,
        bool(flags & CONTINUES_FLAG),
    )


def _unpacked(payload: bytes, batch_id: str, seq: int, keys: SessionKeys, sizes: list[int] | None) -> Any:
    """Return a payload that is encoded, or the record of a child's end."""
    payload = encoding.decoded(keys, payload, f"message {batch_id}", seq=seq)
    if sizes is not None:
        sizes.append(len(payload))
    if payload[:1] != result_records.MARK:
        return from_json(payload)
    record = result_records.ResultRecord.parse(payload)
    return record._replace(
        reason=encoding.decoded_reason(keys, record.reason),
        result=encoding.decoded(keys, record.result, "result", owner=record.session),
    ).payload()


def decode_all(
    keys: SessionKeys, seqs: Sequence[int], elements: Sequence[bytes], incarnation: str, skip_damaged: bool
) -> list[Message]:
    """Return the messages of stored elements. A damaged message raises InvalidState, or is skipped.

    Raises what `encoding.decoded` raises, and skips nothing for it.
    """
    _check_places(keys, seqs, elements)
    messages = []
    for seq, element in zip(seqs, elements, strict=True):
        try:  # here and not in a function, because a history has many messages
            messages.append(_decode(element, seq, incarnation, keys))
        except _DAMAGE as problem:
            if not skip_damaged:
                raise _damaged(seq, problem) from None
    return messages


def decode_newest(
    keys: SessionKeys, seqs: Sequence[int], elements: Sequence[bytes], incarnation: str, skip_damaged: bool
) -> tuple[list[Message], int]:
    """Return the newest messages of stored elements, oldest first, and how many older elements were left out.

    Encoded messages are decoded from the newest back until they have 16 MiB, because a page of compressed messages can be
    a thousand times as large as what the server sent. The caller reads the others with the next page.
    """
    if keys.chain is None:
        return decode_all(keys, seqs, elements, incarnation, skip_damaged), 0
    _check_places(keys, seqs, elements)
    newest_first: list[Message] = []
    sizes: list[int] = []
    size = 0
    for at in range(len(elements) - 1, -1, -1):
        if size > MAX_DECODED_BYTES:
            return newest_first[::-1], at + 1
        sizes.clear()
        try:
            newest_first.append(_decode(elements[at], seqs[at], incarnation, keys, sizes))
        except _DAMAGE as problem:
            if not skip_damaged:
                raise _damaged(seqs[at], problem) from None
        size += sum(sizes)
    return newest_first[::-1], 0


def _check_places(keys: SessionKeys, seqs: Sequence[int], elements: Sequence[bytes]) -> None:
    """Refuse neighbours of one batch that are not in the order in which they were appended. Raises DecryptionError.

    Only an encoded payload says its place in its batch.
    """
    if keys.chain is None or not keys.chain.can_bind:
        return
    before = None
    for seq, element in sorted(zip(seqs, elements, strict=True)):
        _, batch, payload = split_payload(element)
        place = place_of(payload)
        if place[0] == "=" or not is_encoded(payload) or not keys.chain.is_bound(payload):
            before = None
            continue
        found = _Place(seq, batch, int(place), element[:TIME_DIGITS])
        if before is not None and before.batch == batch and before.seq + 1 == seq and not _follows(before, found):
            detail = f"the messages of batch {batch.decode()!r} are not in their order at seq {seq}"
            raise DecryptionError(session_id=keys.id, detail=detail)
        before = found


class _Place(NamedTuple):
    seq: int
    batch: bytes
    place: int
    time: bytes


def _follows(before: _Place, found: _Place) -> bool:
    """Return whether a message may come next after another of its batch ID.

    An ID can be used again when its record is gone, so place 0 begins another batch. Messages of one batch have one time.
    """
    if found.place == 0:
        return before.place == 0 or before.time != found.time
    return found.place == before.place + 1


def split_payload(element: bytes, *, has_time: bool = True) -> tuple[bytes, bytes, bytes]:
    """Return the head of a stored element with its last space, the batch ID in it, and the payload. Empty if it is damaged.

    Args:
        has_time: False for a message in an inbox, which gets its time when it enters the transcript.
    """
    words, flags_at = element.split(b" ", 3), FLAGS_AT if has_time else 1
    if len(words) < 3 or len(words[0]) <= flags_at:
        return b"", b"", b""
    count = 3 if element[flags_at] & FACTS_FLAG else 2
    payload = element.split(b" ", count)[-1]
    return element[: len(element) - len(payload)], words[1], payload
