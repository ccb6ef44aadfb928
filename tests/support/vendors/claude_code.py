"""Claude Code transcript lines: the rules of Anthropic for the messages inside.

Claude Code writes one line for each content block, and sends neighbours of one role as one message. Lines of other types
than user and assistant are not sent.
"""

from __future__ import annotations

from typing import Any

from . import anthropic


def problems(payloads: list[dict[str, Any]]) -> list[str]:
    """Return the reasons why the vendor refuses the messages inside, [] if the vendor accepts them."""
    return anthropic.problems(inner_messages(payloads))


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
