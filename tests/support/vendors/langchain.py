"""LangChain: dicts of messages, as `message_to_dict`, `model_dump` and `dumpd` write them.

- After an AI message come exactly one ToolMessage for each of its tool calls, and a ToolMessage comes nowhere else.
- The chat models take calls from `tool_calls`, else from `additional_kwargs`, and from `tool_use` blocks of the content.
"""

from __future__ import annotations

from typing import Any

from .pairing import Links, check_results_follow, dicts

TYPES = {"human", "ai", "system", "tool", "function", "developer"}


def problems(payloads: list[dict[str, Any]]) -> list[str]:
    """Return the reasons why chat models refuse a list, [] if they accept the list."""
    if not payloads:
        return ["the list is empty"]
    found = [f"message {number}: {text}" for number, payload in enumerate(payloads) for text in _shape(payload)]
    return found + check_results_follow([links(payload) for payload in payloads])


def fields(payload: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the type and the fields of a message in any of the three forms."""
    if payload.get("type") == "constructor":
        kwargs = payload.get("kwargs")
        name = str(dict(enumerate(payload.get("id") or [])).get(len(payload.get("id") or []) - 1))
        return name.removesuffix("Chunk").removesuffix("Message").lower(), kwargs if isinstance(kwargs, dict) else {}
    data = payload.get("data")
    return str(payload.get("type")).removesuffix("MessageChunk").lower(), data if isinstance(data, dict) else payload


def links(payload: dict[str, Any]) -> Links:
    """Return the calls and results of a message."""
    type, data = fields(payload)
    if type == "tool":
        return Links((), (str(data.get("tool_call_id")),))
    if type != "ai":
        return Links()
    extra = data.get("additional_kwargs")
    raw = dicts(extra.get("tool_calls")) if isinstance(extra, dict) else []
    ids = [str(call.get("id")) for call in dicts(data.get("tool_calls")) or raw]
    blocks = [str(block.get("id")) for block in dicts(data.get("content")) if block.get("type") == "tool_use"]
    return Links((*ids, *(id for id in blocks if id not in ids)))


def _shape(payload: dict[str, Any]) -> list[str]:
    type, data = fields(payload)
    if type not in TYPES:
        return [f"the type {payload.get('type')!r} is unknown"]
    if data.get("content") is None:
        return ["there is no content"]
    if type != "tool" and data["content"] in ("", []) and not links(payload).calls:
        return ["the content is empty"]
    return []
