"""Messages as a person reads them: text, and tool calls, results and reasoning that are folded."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

from markupsafe import escape

from ..models.formats import format_of
from ..models.messages import Message, text_of
from .text import as_json, shorten, show_hidden

MAX_SHOWN = 4000
"""Bytes of a text that a page shows, as they are sent. The whole message is a download."""
_PAGE_BUDGET = 70_000
"""Bytes that the messages of a page have together. Those above show their beginnings only."""
_LEAST = 200
_MAX_PARTS = 40
"""Calls and results of one message that a page shows."""
_PART_BYTES = 150
"""Bytes of the elements around a part."""
_CALLS = ("tool_use", "tooluse", "tool_call", "toolcall", "function_call", "functioncall", "server_tool_use")
_RESULTS = ("result", "_output", "functionresponse", "tool_return", "toolreturn", "retry_prompt")
_THOUGHTS = ("thinking", "reasoning", "thought")
_ARGUMENTS = ("input", "arguments", "args", "parameters")
_OUTPUTS = ("content", "output", "result", "response")
_IDS = ("tool_call_id", "tool_use_id", "toolUseId", "toolCallId", "call_id", "id")
_NAMES = ("name", "tool_name", "toolName", "tool")

PartKind = Literal["call", "result", "thinking", "data"]


class Part(NamedTuple):
    """A folded part of a message."""

    kind: PartKind
    title: str
    body: str
    is_cut: bool


class Item(NamedTuple):
    """A message of a transcript."""

    seq: int
    role: str
    type: str
    at: datetime | None
    """None for a damaged message, of which nothing but `text` is known."""
    pinned: bool
    tokens: int
    text: str
    parts: list[Part]
    is_cut: bool
    """True if the page does not show the whole message."""


def items_of(messages: Sequence[Message]) -> list[Item]:
    """Return messages, oldest first, with at most as many bytes as a page may have. The newest ones are shown best."""
    budget, items = _PAGE_BUDGET, []
    names = {id: name for message in messages for id, name in _calls(message)}
    for message in reversed(messages):
        item = item_of(message, max(min(budget, MAX_SHOWN), _LEAST), names)
        budget -= _weight(item.text) + sum(_weight_of_part(part) for part in item.parts)
        items.append(item)
    return items[::-1]


def item_of(message: Message, room: int = MAX_SHOWN, names: Mapping[str, str] | None = None) -> Item:
    """Return a message with at most `room` bytes of its text, and as many of all its parts, at least of its first part.

    Args:
        message: the message.
        room: the number of bytes as the page sends them, with escapes.
        names: the names of tools by the IDs of their calls, for the titles of results.
    """
    text, raw = full_text(message), list(_parts(message, names or {}, room // 2))
    parts, left = list[Part](), room
    for kind, title, body in raw[:_MAX_PARTS]:
        if parts and left <= 0:
            break
        part = Part(kind, shorten(title, 100), *_cut(body, max(min(left, room // 2), _LEAST // 2)))
        parts.append(part)
        left -= _weight_of_part(part)
    shown, is_cut = _cut(text, room)
    return Item(
        message.seq, message.role, message.type, message.timestamp, message.pinned, message.tokens or 0, shown, parts,
        is_cut or len(raw) > len(parts) or any(part.is_cut for part in parts),
    )  # fmt: skip


def damaged_item(seq: int, reason: str) -> Item:
    """Return the place of a message that cannot be read."""
    return Item(seq, "damaged", "damaged", None, False, 0, f"This message cannot be read. {reason}", [], False)


def full_text(message: Message) -> str:
    """Return the text of a message that a person reads. '' for the result of a tool, which is a part."""
    if message.role == "tool":
        return ""
    return format_of(message.payload).text(message.payload)


def _cut(text: str, room: int) -> tuple[str, bool]:
    """Return the beginning of a text that has at most `room` bytes on a page, and whether something is left out."""
    shown = text[:room]
    while (weight := _weight(shown)) > room:
        shown = shown[: len(shown) * room // weight]
    return shown, len(shown) < len(text)


def _weight(text: str) -> int:
    """Return the bytes of a text on a page."""
    return len(escape(show_hidden(text)).encode(errors="replace"))


def _weight_of_part(part: Part) -> int:
    return _PART_BYTES + _weight(part.title) + _weight(part.body)


def _calls(message: Message) -> Iterator[tuple[str, str]]:
    """Yield the ID and the name of the tool of each call of a message."""
    for block in (*_blocks(message.payload), message.payload):
        if _kind(_words(block)) == "call":
            inner = _inner(block)
            id = _id(block) or _id(inner)
            if id:
                yield id, _name(block) or _name(inner)


def _inner(block: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the object within a block that names a tool or a call, or the block itself."""
    return next((one for one in block.values() if isinstance(one, dict) and (_name(one) or _id(one))), block)


def _id(value: Mapping[str, Any]) -> str:
    return next((value[key] for key in _IDS if isinstance(value.get(key), str)), "")


def _parts(message: Message, names: Mapping[str, str], room: int) -> Iterator[tuple[PartKind, str, str]]:
    """Yield kind, title and body of each part that is not text. Never raise, whatever JSON the payload holds.

    A body with more than `room` characters is not whole.
    """
    payload, found = message.payload, False
    for block in _blocks(payload):
        part = _part(block, names, room)
        if part is not None:
            found = True
            yield part
    if found:
        return
    if message.role == "tool":
        id = _id(payload)
        name = _name(payload) or names.get(id, id)
        kind = _kind(_words(payload)) or "result"
        yield kind, f"{_TITLES[kind]}{f' of {name}' if name else ''}", _body(payload, _OUTPUTS + _ARGUMENTS, room)
    elif not full_text(message):
        rest = {key: value for key, value in payload.items() if key != "role" and value is not None}
        kind = _kind(_words(payload)) or "data"
        yield kind, f"{_TITLES[kind]}{f' of {_name(payload)}' if _name(payload) else ''}", as_json(rest, room)


_TITLES: dict[PartKind, str] = {"call": "call", "result": "result", "thinking": "reasoning", "data": "data"}


def _blocks(payload: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for key in ("reasoning_content", "thinking"):
        if isinstance(payload.get(key), str) and payload[key]:
            yield {"type": "thinking", "content": payload[key]}
    for key in ("content", "parts", "tool_calls"):
        for block in payload[key] if isinstance(payload.get(key), list) else ():
            if isinstance(block, dict):
                yield {**block, "type": "tool_call"} if key == "tool_calls" else block
    call = payload.get("function_call")
    if isinstance(call, dict):
        yield {"type": "function_call", **call}


def _part(block: dict[str, Any], names: Mapping[str, str], room: int) -> tuple[PartKind, str, str] | None:
    words = _words(block)
    kind = _kind(words)
    if kind is None:
        if isinstance(block.get("text"), str) or block.get("part_kind") in ("text", "user-prompt"):
            return None
        return "data", f"data {words[0] if words else ''}".strip(), as_json(block, room)
    inner = _inner(block)
    id = _id(block) or _id(inner)
    name = _name(block) or _name(inner) or (names.get(id, id) if kind == "result" else "")
    keys = _ARGUMENTS if kind == "call" else (*_OUTPUTS, "thinking", "text", "summary")
    source = block if any(key in block for key in keys) else inner
    return kind, f"{_TITLES[kind]}{f' of {name}' if name else ''}", _body(source, keys, room)


def _words(block: Mapping[str, Any]) -> list[str]:
    """Return the words that may say what a block is: its type, and the name of its only key."""
    types = [block.get(key) for key in ("type", "part_kind", "kind")]
    words = [one for one in types if isinstance(one, str)]
    return [*words, *[key for key, value in block.items() if isinstance(value, dict)]]


def _kind(words: list[str]) -> PartKind | None:
    for word in (one.lower().replace("-", "_") for one in words):
        if any(mark in word for mark in _RESULTS):
            return "result"
        if any(mark in word for mark in _CALLS):
            return "call"
        if any(mark in word for mark in _THOUGHTS):
            return "thinking"
    return None


def _name(value: Mapping[str, Any]) -> str:
    return next((value[key] for key in _NAMES if isinstance(value.get(key), str)), "")


def _body(source: Mapping[str, Any], keys: Sequence[str], room: int) -> str:
    """Return the first of some values as text. JSON within text is indented. All of the source if there is none."""
    value = next((source[key] for key in keys if source.get(key) is not None), source)
    if isinstance(value, str):
        try:
            return as_json(json.loads(value), room) if value[:1] in ("{", "[") else value
        except (ValueError, RecursionError):  # a model can nest deeper than a parser goes
            return value
    if isinstance(value, list):
        text = text_of(value)
        return as_json(value, room) if text.startswith("[") else text
    return as_json(value, room)
