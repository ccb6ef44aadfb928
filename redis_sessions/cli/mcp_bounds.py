"""Bounds on what a tool of `redis-sessions mcp` returns: a model has little room."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from .app import escape_json

_MAX_DEPTH = 8
_ROW_TEXT = 300
"""Characters of one text in a list."""


@dataclass(frozen=True)
class ReplyBounds:
    """The bounds of one reply."""

    messages: int = 200
    """Messages."""
    size: int = 64 * 1024
    """Bytes of JSON, all in all."""

    @property
    def text(self) -> int:
        """Characters of one text: a sixteenth of the reply, because an escaped character has up to 12 bytes."""
        return self.size // 16


def shorten_values(value: Any, width: int, depth: int = 0) -> Any:
    """Return a JSON value whose texts have at most `width` characters. What is nested too deeply becomes text."""
    if isinstance(value, str):
        return shorten_text(value, width)
    if isinstance(value, list | dict) and depth == _MAX_DEPTH:
        return shorten_text(json.dumps(value), width)
    if isinstance(value, list):
        return [shorten_values(one, width, depth + 1) for one in value]
    if isinstance(value, dict):
        return {name: shorten_values(one, width, depth + 1) for name, one in value.items()}
    return value


def shorten_text(text: str, width: int) -> str:
    """Return the beginning of a text, and how much is missing."""
    missing = len(text) - width
    return text if missing <= 0 else f"{text[:width]}… [{missing} more characters]"


def bounded_rows(rows: list[dict[str, Any]], bounds: ReplyBounds) -> tuple[list[dict[str, Any]], int]:
    """Return the first rows that fit, at least one, with short texts, and the number of the others."""
    kept: list[dict[str, Any]] = []
    room = bounds.size
    for row in rows:
        short = bounded_fields(row, bounds, _ROW_TEXT)
        room -= size_of(short)
        if room < 0 and kept:
            break
        kept.append(short)
    return kept, len(rows) - len(kept)


def bounded_fields(facts: dict[str, Any], bounds: ReplyBounds, width: int | None = None) -> dict[str, Any]:
    """Return facts whose texts are cut. If they still do not fit, the largest are left out and named."""
    short = shorten_values(facts, width or bounds.text)
    left_out: list[str] = []
    while size_of(short) > bounds.size:
        largest = max(short, key=lambda name: size_of(short[name]))
        left_out.append(largest)
        del short[largest]
    return {**short, "left_out": sorted(left_out)} if left_out else dict(short)


def size_of(value: Any) -> int:
    """Return the bytes of a value in a reply."""
    return len(reply_text(value).encode())


def reply_text(value: Any) -> str:
    """Return a value as JSON of printable characters, so that a text from a session cannot control a terminal."""
    return escape_json(json.dumps(value, ensure_ascii=False))
