"""Encode and decode JSON values and messages.

A stored message is '<13 digits of ms><kind><flags><tokens> <batch ID> <payload as JSON>', for example
`1763700000000u@12 job-7 {"role":"user",…}`. Scripts read the header and never decode a payload.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from ..._durations import whole
from ...errors import InvalidInput
from ...models.messages import Message, kind_of, stored_message
from ...settings import MAX_WIRE_BYTES, TokenCounter

_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_encode_ascii = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode
_decode = json.JSONDecoder().decode
_SCALARS = (str, int, float, type(None))
_PLAIN = (str, int, float, dict, type(None))
PINNED_FLAG = 1
MAX_MESSAGE_TOKENS = 2**31
MAX_JSON_DEPTH = 200


def _reused_encoder() -> Callable[[Any], str]:
    """Return CPython's C encoder, made once. `JSONEncoder.encode` makes one a value, which costs as much as a message."""
    try:
        make: Any = vars(json.encoder)["c_make_encoder"]
        quote: Any = vars(json.encoder)["encode_basestring"]
        chunks = make(None, _encoder.default, quote, None, ":", ",", False, False, False)
        chunks({"probe": [None, "é", 1.5]}, 0)
    except (KeyError, TypeError):  # another Python
        return _encoder.encode
    return lambda value: "".join(chunks(value, 0))


_encode = _reused_encoder()


def estimate_tokens(payload: dict[str, Any]) -> int:
    """Return the default estimate: a quarter of the content's UTF-8 bytes, plus one. Other content than text counts as JSON."""
    content = payload.get("content")
    if content is None:
        return 1
    if not isinstance(content, str):
        content = to_json(content, "content")
    return (len(content) if content.isascii() else len(content.encode("utf-8", "surrogatepass"))) // 4 + 1


def to_json(value: Any, name: str) -> str:
    """Return compact JSON from which an equal value comes back.

    A pydantic model, a dataclass, a named tuple or a Message becomes its JSON object, also in a list at the top. Raises
    InvalidInput, with the path to it, for a value that JSON would give back changed.
    """
    try:
        if not isinstance(value, str | int | float | dict | None):
            value = to_plain(value)
        _check(value, name)
        text = _encode(value)
        if not text.isascii():
            text.encode()
    except UnicodeEncodeError:  # a lone surrogate, which only an escape can carry
        return _encode_ascii(value)
    except (TypeError, ValueError, RecursionError) as problem:
        if isinstance(problem, InvalidInput):
            raise
        raise InvalidInput(name=name, detail=f"must be a JSON value: {problem}") from None
    return text


def to_plain(value: Any) -> Any:
    """Return the JSON value of a pydantic model, a dataclass, a named tuple or a Message, alone or in a list.

    Any other value is returned as it is. Raises ValueError for a part that JSON does not have.
    """
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        value = value._asdict()
    elif isinstance(value, list):
        return [one if isinstance(one, _PLAIN) else to_plain(one) for one in value]
    elif not (
        isinstance(value, BaseModel | Message) or (dataclasses.is_dataclass(value) and not isinstance(value, type))
    ):
        return value
    return to_jsonable_python(value, by_alias=True, fallback=_payload)  # an alias is the name that validation accepts


def _payload(value: Any) -> dict[str, Any]:
    if isinstance(value, Message):
        return value.payload
    raise TypeError(f"a {type(value).__name__} is not a JSON value")


def from_json(text: bytes | str) -> Any:
    """Return the value of a JSON text. Raises ValueError."""
    return _decode(text if isinstance(text, str) else text.decode())


def _check(value: Any, path: str, depth: int = 0) -> None:
    """Refuse what JSON would give back changed (keys other than text, tuples), and what nests too deep to be read."""
    if depth > MAX_JSON_DEPTH:
        raise InvalidInput(name=path[:80], detail=f"must not nest deeper than {MAX_JSON_DEPTH} levels")
    if isinstance(value, dict):
        for key, part in value.items():
            if not isinstance(key, str):
                raise InvalidInput(name=path, detail=f"keys must be text, got {key!r}")
            if not isinstance(part, _SCALARS):
                _check(part, f"{path}.{key}", depth + 1)
    elif isinstance(value, list):
        for at, part in enumerate(value):
            if not isinstance(part, _SCALARS):
                _check(part, f"{path}[{at}]", depth + 1)
    elif not isinstance(value, _SCALARS):
        hint = "; make it a list" if isinstance(value, tuple | set | frozenset) else ""
        raise InvalidInput(name=path, detail=f"must be a JSON value, got {type(value).__name__}{hint}")


def encode(message: Message | dict[str, Any] | BaseModel, batch_id: str, count: TokenCounter) -> bytes:
    """Return a message as the append script takes it: all of the stored form but the time. Raises InvalidInput."""
    if isinstance(message, Message):
        payload, kind, pinned, tokens = message.payload, message.kind, message.pinned, message.tokens
    else:
        payload = message.model_dump(mode="json") if isinstance(message, BaseModel) else message
        kind, pinned, tokens = kind_of(payload), False, None
    if tokens is None:
        tokens = count(payload)
    whole(tokens, "tokens", maximum=MAX_MESSAGE_TOKENS)
    flags = chr(64 + (PINNED_FLAG if pinned else 0))
    data = f"{kind}{flags}{tokens} {batch_id} {to_json(payload, 'message')}".encode()
    if len(data) > MAX_WIRE_BYTES:
        raise InvalidInput(name="message", detail=f"must have at most {MAX_WIRE_BYTES} bytes, got {len(data)}")
    return data


def decode(element: bytes, seq: int, incarnation: str) -> Message:
    """Return the message of a stored element."""
    head, batch_id, payload = element.split(b" ", 2)
    return stored_message(
        _decode(payload.decode()),
        chr(head[13]),
        seq,
        int(head[:13]),
        incarnation,
        batch_id.decode(),
        bool(head[14] & PINNED_FLAG),
        int(head[15:]),
    )
