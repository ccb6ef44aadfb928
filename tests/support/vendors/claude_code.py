"""Claude Code transcript lines: the rules of Anthropic for the messages inside.

Claude Code writes one line for each content block, and sends neighbours of one role as one message. Lines of other types
than user and assistant are not sent. The lines of one API message stay together: its results stand behind its last line, and
its calls stand behind its thinking.
"""

from __future__ import annotations

from collections.abc import Container
from itertools import groupby
from typing import Any

from . import anthropic
from .pairing import dicts, repeated


def problems(payloads: list[dict[str, Any]], thinks: Container[str] = ()) -> list[str]:
    """Return the reasons why the vendor refuses the messages inside, [] if the vendor accepts them.

    Args:
        thinks: IDs of the API messages with calls of which lines with thinking are at hand.
    """
    runs = [(id, [*run]) for id, run in groupby(filter(_is_sent, payloads), key=message_id)]
    found = [f"lines stand between those of {id!r}" for id in repeated(id for id, _ in runs if id)]
    for id, run in runs:
        types = [type for line in run for type in block_types(line)]
        if id in thinks and "tool_use" in types and types[0] != "thinking":
            found.append(f"the message {id!r} calls tools without its thinking")
    return found + anthropic.problems(inner_messages(payloads))


def message_id(payload: dict[str, Any]) -> str:
    """Return the ID of the API message of which a line is a part. '' if there is none."""
    return str((payload.get("message") or {}).get("id") or "")


def block_types(payload: dict[str, Any]) -> list[str]:
    """Return the types of the blocks of a line."""
    return [str(block.get("type")) for block in dicts((payload.get("message") or {}).get("content"))]


def _is_sent(payload: dict[str, Any]) -> bool:
    return payload.get("type") in ("user", "assistant")


def inner_messages(payloads: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the messages that Claude Code sends for a list of lines."""
    merged: list[dict[str, Any]] = []
    for payload in payloads:
        message = payload.get("message")
        if payload.get("type") not in ("user", "assistant") or not isinstance(message, dict):
            continue
        content = message.get("content")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else list(content or [])
        if merged and merged[-1]["role"] == message.get("role"):
            merged[-1]["content"] += blocks
        else:
            merged.append({"role": message.get("role"), "content": blocks})
    return merged
