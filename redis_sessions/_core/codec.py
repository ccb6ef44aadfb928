"""The wire format of a message: 13 digits of time (ms), kind, flags, tokens, ' ', batch id, ' ', the payload as JSON.

`1763700000000u@12 job-7 {"role":"user",…}`. Scripts read the header and never decode a payload.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from ..errors import InvalidInput
from ..models.messages import Message, kind_of, stored_message
from .units import whole

TokenCounter = Callable[[dict[str, Any]], int]

_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_encode_ascii = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode
_decode = json.JSONDecoder().decode
_PLAIN = (str, int, float, type(None))
PINNED = 1
LARGEST_MESSAGE = 64 * 1024 * 1024
MOST_TOKENS = 2**31
DEEPEST = 200


def _kept_encoder() -> Callable[[Any], str]:
    """CPython's encoder in C, kept: `JSONEncoder.encode` makes a new one for each value, which costs as much as a message."""
    try:
        make: Any = vars(json.encoder)["c_make_encoder"]
        quote: Any = vars(json.encoder)["encode_basestring"]
        chunks = make(None, _encoder.default, quote, None, ":", ",", False, False, False)
        chunks({"probe": [None, "é", 1.5]}, 0)
    except (KeyError, TypeError):  # another Python
        return _encoder.encode
    return lambda value: "".join(chunks(value, 0))


_encode = _kept_encoder()


def estimate_tokens(payload: dict[str, Any]) -> int:
    """The default token counter: a quarter of the content's UTF-8 bytes, plus one. Content that is no text counts as JSON."""
    content = payload.get("content")
    if content is None:
        return 1
    if not isinstance(content, str):
        content = to_json(content, "content")
    return (len(content) if content.isascii() else len(content.encode("utf-8", "surrogatepass"))) // 4 + 1


def to_json(value: Any, name: str) -> str:
    """Compact JSON from which the same value comes back; refuses what would come back as another."""
    try:
        _check(value, name)
        text = _encode(value)
        if not text.isascii():
            text.encode()
    except UnicodeEncodeError:  # a lone surrogate, which only an escape can carry
        return _encode_ascii(value)
    except (TypeError, ValueError, RecursionError) as problem:
        if isinstance(problem, InvalidInput):
            raise
        raise InvalidInput(name=name, detail=f"is no JSON: {problem}") from None
    return text


def from_json(text: bytes | str) -> Any:
    return _decode(text if isinstance(text, str) else text.decode())


def _check(value: Any, path: str, depth: int = 0) -> None:
    """Refuses keys that are no text and tuples: JSON would give them back changed. And what nests too deep to be read."""
    if depth > DEEPEST:
        raise InvalidInput(name=path[:80], detail=f"is nested deeper than {DEEPEST} levels")
    if isinstance(value, dict):
        for key, part in value.items():
            if not isinstance(key, str):
                raise InvalidInput(name=path, detail=f"the key {key!r} is no text, as JSON wants it")
            if not isinstance(part, _PLAIN):
                _check(part, f"{path}.{key}", depth + 1)
    elif isinstance(value, list):
        for at, part in enumerate(value):
            if not isinstance(part, _PLAIN):
                _check(part, f"{path}[{at}]", depth + 1)
    elif not isinstance(value, _PLAIN):
        hint = "; make it a list" if isinstance(value, tuple | set | frozenset) else ""
        raise InvalidInput(name=path, detail=f"a {type(value).__name__} is no JSON value{hint}")


def encode(message: Message | dict[str, Any] | BaseModel, batch_id: str, count: TokenCounter) -> bytes:
    """One message as the append script takes it: all of the wire format but the time."""
    if isinstance(message, Message):
        payload, kind, pinned, tokens = message.payload, message.kind, message.pinned, message.tokens
    else:
        payload = message.model_dump(mode="json") if isinstance(message, BaseModel) else message
        kind, pinned, tokens = kind_of(payload), False, None
    if tokens is None:
        tokens = count(payload)
    whole(tokens, "tokens", most=MOST_TOKENS)
    flags = chr(64 + (PINNED if pinned else 0))
    data = f"{kind}{flags}{tokens} {batch_id} {to_json(payload, 'message')}".encode()
    if len(data) > LARGEST_MESSAGE:
        raise InvalidInput(name="message", detail=f"{len(data)} bytes, over the {LARGEST_MESSAGE} that are ever sent")
    return data


def decode(element: bytes, seq: int, life: str) -> Message:
    """A message from an element of the list."""
    head, batch_id, payload = element.split(b" ", 2)
    return stored_message(
        _decode(payload.decode()),
        chr(head[13]),
        seq,
        int(head[:13]),
        life,
        batch_id.decode(),
        bool(head[14] & PINNED),
        int(head[15:]),
    )
