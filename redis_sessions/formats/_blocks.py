"""Read untrusted parts of payloads. No function here raises, whatever JSON value it gets."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any


def type_of(block: Any) -> str:
    """Return the `type` of a content block, or '' if the value is not a block."""
    found = block.get("type") if isinstance(block, dict) else None
    return found if isinstance(found, str) else ""


def id_of(value: Any) -> str:
    """Return an ID as text. '' if there is none."""
    return "" if value is None else str(value)


def numbered(name: str, count: int) -> str:
    """Return the ID of the nth call of a tool in one payload, if the call has no ID of its own."""
    return name if count <= 1 else f"{name}/{count}"


def distinct(ids: Iterable[str]) -> tuple[str, ...]:
    """Return the IDs once each, in their order, without ''."""
    return tuple(dict.fromkeys(id for id in ids if id))


def text_of_blocks(content: Any, types: Collection[str] = ("text",)) -> str:
    """Return a string itself, or the text of the blocks of some types, one a line. A refusal counts as text."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    found = [
        block.get("refusal" if kind == "refusal" else "text") for block in content if (kind := type_of(block)) in types
    ]
    return "\n".join(text for text in found if isinstance(text, str))
