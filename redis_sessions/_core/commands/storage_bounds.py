"""Check the size of what a caller gives to be stored, before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...bounds import StorageBounds
from ...errors import InvalidInput
from ..protocol.call import Argument
from ..protocol.codec import count_calls

_BOUND_OF_FIELD = {
    "name": "name_bytes",
    "model": "name_bytes",
    "type": "type_bytes",
    "system": "system_prompt_bytes",
    "task": "task_bytes",
    "spawned_by": "reference_bytes",
    "result": "result_bytes",
    **dict.fromkeys(("reason", "cancelled_why", "requested_why"), "reason_bytes"),
}
_BOUND_OF_PREFIX = {"meta": "metadata_bytes", "state": "state_bytes", "var": "variables_bytes"}
"""The bounds of the values that callers name. Each bounds the sum of all names and values of a session."""
_ARGUMENT_OF_BOUND = {"system_prompt_bytes": "system_prompt", "reference_bytes": "spawned_by"}


def check_size(bounds: StorageBounds, bound: str, value: Argument, name: str) -> None:
    """Refuse a text of more bytes than a bound. Raises InvalidInput."""
    data = value if isinstance(value, bytes) else str(value)
    maximum: int = getattr(bounds, bound)
    if len(data) * 4 <= maximum:
        return  # a character has at most 4 bytes
    check_number(bounds, bound, len(data.encode() if isinstance(data, str) else data), name)


def check_number(bounds: StorageBounds, bound: str, found: int, name: str) -> None:
    """Refuse a number of bytes or of things that is above a bound. Raises InvalidInput."""
    maximum: int = getattr(bounds, bound)
    if found <= maximum:
        return
    unit = " bytes of UTF-8" if bound.endswith("_bytes") else ""
    advice = f"store less, or give the cache bounds=StorageBounds({bound}=…)"
    raise InvalidInput(name=name, detail=f"must have at most {maximum}{unit} ({bound}), got {found}: {advice}")


def check_fields(bounds: StorageBounds, fields: Mapping[str, Argument]) -> None:
    """Refuse fields of a session's hash that are too large. Raises InvalidInput."""
    for field, value in fields.items():
        bound = _BOUND_OF_FIELD.get(field)
        if bound is not None:
            check_size(bounds, bound, value, _ARGUMENT_OF_BOUND.get(bound, field))
    for prefix, size in value_sizes(fields).items():
        bound = _BOUND_OF_PREFIX[prefix]
        check_number(bounds, bound, size, bound.removesuffix("_bytes"))
    if len(fields) > bounds.values:
        check_number(bounds, "values", int(value_bytes(fields).split()[3]), "values")


def check_tags(bounds: StorageBounds, tags: Sequence[str]) -> None:
    """Refuse too many tags, and a tag that is too long. Raises InvalidInput."""
    check_number(bounds, "tags", len(set(tags)), "tags")
    for tag in tags:
        check_size(bounds, "tag_bytes", tag, "tags")


def check_batch(bounds: StorageBounds, entries: Sequence[bytes]) -> None:
    """Refuse a batch of too many messages, and one of more than one message with too many bytes. Raises InvalidInput."""
    check_number(bounds, "batch_messages", len(entries), "messages")
    if len(entries) > 1:
        check_number(bounds, "batch_bytes", sum(map(len, entries)), "messages")


def check_transcript_batch(bounds: StorageBounds, entries: Sequence[bytes]) -> None:
    """Refuse what `check_batch` refuses, and several messages with too many tool calls and results. Raises InvalidInput."""
    check_batch(bounds, entries)
    if len(entries) > 1:
        check_number(bounds, "batch_calls", sum(map(count_calls, entries)), "messages")


def value_sizes(fields: Mapping[str, Argument]) -> dict[str, int]:
    """Return the bytes of names and values by prefix: meta, state and var."""
    sizes: dict[str, int] = {}
    for field, value in fields.items():
        prefix, dot, name = field.partition(".")
        if dot and prefix in _BOUND_OF_PREFIX:
            sizes[prefix] = sizes.get(prefix, 0) + len(name.encode()) + _length(value)
    return sizes


def value_bytes(fields: Mapping[str, Argument]) -> str:
    """Return the record of a new session: the bytes of its metadata, state and variables, and the number of all values."""
    sizes = value_sizes(fields)
    count = sum(field.partition(".")[0] in _BOUND_OF_PREFIX for field in fields if "." in field)
    return _words(*[sizes.get(prefix, 0) for prefix in _BOUND_OF_PREFIX], count)


def bounds_argument(bounds: StorageBounds) -> str:
    """Return the bounds of a session's values as scripts take them: '<metadata> <state> <variables> <number of values>'."""
    return _words(bounds.metadata_bytes, bounds.state_bytes, bounds.variables_bytes, bounds.values)


def _length(value: Argument) -> int:
    return len(value if isinstance(value, bytes) else str(value).encode())


def _words(*numbers: int) -> str:
    return " ".join(map(str, numbers))
