"""Convert values to JSON and back.

The text that `to_json` returns is valid UTF-8. A surrogate stands in it as an escape, and other characters as themselves.
JSON joins the escapes of a high and a low surrogate to one character. Two surrogates that a caller gave as two code points
must stay two, so the low one is in upper case (`\\ud83d\\uDE00`). A space ends a text with surrogates.
`from_json` looks for pairs only in such a text. Other readers of the JSON get the one character.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from math import isfinite
from pathlib import PurePath
from typing import Any
from uuid import UUID

from ...errors import InvalidInput
from ...models.messages import Message
from ...models.wire_forms import fields_by_alias, invalid, is_structured, refuse, wire_form

MAX_JSON_DEPTH = 200
_MAX_PLAIN_BITS = 10_000
_SCALARS = (str, int, float, type(None))
_JSON_TYPES = (dict, list, *_SCALARS)
_EXACT_SCALARS = frozenset({str, int, float, bool, type(None)})
_TEXT_TYPES = (datetime, date, time, timedelta, UUID, Decimal)
_SURROGATE_MARK = " "
_SURROGATE = re.compile("([\ud800-\udbff])([\udc00-\udfff])|[\ud800-\udfff]")
_SPLIT_PAIR = re.compile(r"\\(?:(ud[89ab][0-9a-f]{2})\\u(D[C-F][0-9A-F]{2})|.)")
_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_decode = json.JSONDecoder().decode
_scan: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder().scan_once  # type: ignore[attr-defined]


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


def to_json(value: Any, name: str, *, is_plain: bool = False) -> str:
    """Return compact JSON from which an equal value comes back. The text never has surrogates.

    A pydantic model, a dataclass, a named tuple or a Message becomes its JSON object. Inside a payload, an object with
    `to_dict()` or `to_json_dict()` becomes what that method returns. A time, a UUID, a Decimal or a path becomes text, and
    an Enum becomes its value.

    Args:
        value: the value.
        name: the name of the value, with which the path in an error begins.
        is_plain: the value comes from `to_payload`, so its parts have types of JSON.

    Raises:
        InvalidInput: JSON would give a part of the value back changed. The error has the path to that part.
    """
    try:
        text = _encode(value if is_plain or _is_plain(value, 0) else _converted(value, name))
    except (TypeError, ValueError, RecursionError) as problem:
        if not isinstance(problem, InvalidInput):
            _converted(value, name)  # this raises for a number that JSON does not have, with its path
            raise InvalidInput(name=name, detail=f"must be a JSON value: {problem}") from None
        raise
    return text if text.isascii() else _without_surrogates(text)


def from_json(text: bytes | str) -> Any:
    """Return the value of a JSON text. Raises ValueError."""
    if isinstance(text, bytes):
        text = text.decode()
    if text[-1:] == _SURROGATE_MARK:
        text = _SPLIT_PAIR.sub(_kept_apart, text)
    try:
        value, end = _scan(text, 0)  # faster, because it looks for no white space
        if end == len(text):
            return value
    except (ValueError, StopIteration):
        pass
    return _decode(text)


def to_plain(value: Any, name: str = "value") -> Any:
    """Return the JSON value of a pydantic model, a dataclass, a named tuple or a Message, alone or in a list.

    Any other value is returned as it is. Raises InvalidInput for a part that JSON does not have.
    """
    if isinstance(value, list) and not all(isinstance(part, _JSON_TYPES) for part in value):
        return [_outer_form(part, f"{name}[{at}]") for at, part in enumerate(value)]
    return _outer_form(value, name)


def to_payload(message: Any) -> dict[str, Any]:
    """Return the JSON object of a message, with every object in it converted as its SDK sends it.

    Returns:
        The same dict if every part of it has a type of JSON. Numbers are not checked, because `to_json` checks them.

    Raises:
        InvalidInput: the message is not a JSON object, or a part of it cannot be converted.
    """
    payload = message if _is_plain(message, 0) else _converted(message, "message", is_message=True)
    if not isinstance(payload, dict):
        kind = type(message).__name__
        advice = ": give several messages as several arguments, such as append(*messages)" if kind == "list" else ""
        raise InvalidInput(name="message", detail=f"must be a JSON object (dict), got a value of type {kind}{advice}")
    return payload


def _is_plain(value: Any, depth: int) -> bool:
    """Return True if a value has parts of JSON's own types only, and is not nested too deep. Numbers may be NaN."""
    kind = type(value)
    if depth > MAX_JSON_DEPTH:
        return False
    if kind is dict:
        for key, part in value.items():
            if type(key) is not str or (type(part) not in _EXACT_SCALARS and not _is_plain(part, depth + 1)):
                return False
        return True
    if kind is list:
        for part in value:  # noqa: SIM110 - a generator makes one frame more a level, and is slower
            if type(part) not in _EXACT_SCALARS and not _is_plain(part, depth + 1):
                return False
        return True
    return kind in _EXACT_SCALARS


def _outer_form(value: Any, name: str) -> Any:
    """Return what `to_plain` returns for a value that is not a list."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return fields_by_alias(value._asdict(), name, _payload)
    if isinstance(value, Message) or is_structured(value):
        return fields_by_alias(value, name, _payload)
    return value


def _converted(value: Any, name: str, is_message: bool = False) -> Any:
    try:
        return _convert(value if is_message else to_plain(value, name), name, 0, set())
    except RecursionError:
        raise InvalidInput(name=name, detail="must nest less deep, because the caller's stack is nearly full") from None


def _convert(value: Any, path: str, depth: int, parents: set[int]) -> Any:
    """Return a value with every object in it converted. Raises InvalidInput with the path to what cannot be converted.

    The function calls itself without a helper between, so that 200 levels need 200 frames.
    """
    plain = _plain_form(value, path)
    if isinstance(plain, _SCALARS):
        return _checked_number(plain, path)
    if depth > MAX_JSON_DEPTH:
        raise invalid(path, f"must not nest deeper than {MAX_JSON_DEPTH} levels")
    own = {id(value), id(plain)}
    if own & parents:
        raise invalid(path, f"must not contain itself: the {type(value).__name__} is one of its own parents")
    parents |= own
    copy: Any
    if isinstance(plain, dict):
        copy = {}
        for key, part in plain.items():
            if not isinstance(key, str):
                raise invalid(path, f"keys must be text, got {key!r:.80}")
            copy[key] = _convert(part, f"{path}.{key}", depth + 1, parents)
    else:
        copy = []
        for at, part in enumerate(plain):
            copy.append(_convert(part, f"{path}[{at}]", depth + 1, parents))
    parents -= own
    return copy


def _plain_form(value: Any, path: str) -> Any:
    """Return a value as a dict, a list or a scalar. The parts of a dict or list may still be objects."""
    while isinstance(value, Enum):
        value = value.value
    if isinstance(value, _JSON_TYPES):
        return value
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, _TEXT_TYPES):
        return fields_by_alias(value, path)
    if isinstance(value, Message):
        return value.payload
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return value._asdict()
    return wire_form(value, path, _payload)


def _checked_number(value: Any, path: str) -> Any:
    if isinstance(value, float) and not isfinite(value):
        raise invalid(path, f"must be a finite number, got {value}")
    if isinstance(value, int) and value.bit_length() > _MAX_PLAIN_BITS:
        try:
            int.__repr__(value)
        except ValueError as problem:
            raise invalid(path, f"must be a JSON value: {problem}") from None
    return value


def _payload(value: Any) -> dict[str, Any]:
    return value.payload if isinstance(value, Message) else refuse(value, "value")


def _without_surrogates(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return _SURROGATE.sub(_escaped, text) + _SURROGATE_MARK
    return text


def _escaped(match: re.Match[str]) -> str:
    high, low = match.groups()
    return f"\\u{ord(high):04x}\\u{ord(low):04X}" if high else f"\\u{ord(match[0]):04x}"


def _kept_apart(match: re.Match[str]) -> str:
    """Return a marked pair with its low surrogate as a character, which JSON does not join. Other escapes stay."""
    high, low = match.groups()
    return f"\\{high}{chr(int(low, 16))}" if high else match[0]
