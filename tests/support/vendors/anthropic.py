"""Anthropic messages: the rules of `messages`.

- The first message is a user message, and roles are user and assistant only.
- The user message directly behind an assistant message has one tool_result block for each of its tool_use blocks.
  These blocks come first in its content.
- The result of a server tool's call comes before the next words of the user.
- A block that a code execution made stands behind the call of the code execution, and before its result.
- A message has no other fields than role and content.
- Content is not empty, text blocks have text, and a thinking block is not the last block of an assistant message.
"""

from __future__ import annotations

from typing import Any

from .pairing import Links, check_results_in_next, dicts

_THINKING = ("thinking", "redacted_thinking")


def problems(payloads: list[dict[str, Any]]) -> list[str]:
    """Return the reasons why the vendor refuses a list, [] if the vendor accepts the list."""
    if not payloads:
        return ["the list is empty"]
    found = [] if payloads[0].get("role") == "user" else ["message 0: the first message is not a user message"]
    found += [f"message {number}: {text}" for number, payload in enumerate(payloads) for text in _shape(payload)]
    return found + _unfinished_server_tools(payloads) + check_results_in_next([links(payload) for payload in payloads])


def links(payload: dict[str, Any]) -> Links:
    """Return the calls and results of a message."""
    blocks = dicts(payload.get("content"))
    return Links(
        tuple(str(block.get("id")) for block in blocks if block.get("type") == "tool_use"),
        tuple(str(block.get("tool_use_id")) for block in blocks if block.get("type") == "tool_result"),
    )


def _shape(payload: dict[str, Any]) -> list[str]:
    role, content = payload.get("role"), payload.get("content")
    if other := sorted(payload.keys() - {"role", "content"}):
        return [f"extra inputs {other}"]
    if role not in ("user", "assistant"):
        return [f"the role {role!r} is unknown"]
    if isinstance(content, str):
        return [] if content.strip() else ["the content is empty"]
    if not isinstance(content, list) or not content:
        return ["the content is empty"]
    types = [block.get("type") if isinstance(block, dict) else None for block in content]
    found = [f"block {number} has no type" for number, type in enumerate(types) if not type]
    found += ["a text block is empty" for block in dicts(content) if block.get("type") == "text" and not _text(block)]
    if role == "assistant":
        if "tool_result" in types:
            found.append("an assistant message has a tool_result block")
        if types[-1] in _THINKING:
            found.append("the last block is a thinking block")
        return found
    if any(type in ("tool_use", *_THINKING) for type in types):
        found.append("a user message has a block of an assistant")
    results = [number for number, type in enumerate(types) if type == "tool_result"]
    if results != list(range(len(results))):
        found.append("tool_result blocks do not come first")
    return found


def _text(block: dict[str, Any]) -> bool:
    return isinstance(block.get("text"), str) and bool(block["text"].strip())


def _unfinished_server_tools(payloads: list[dict[str, Any]]) -> list[str]:
    """Return the calls of server tools without a result before the user speaks, and results without such a call.

    The API goes on with a call at the end of a transcript, also behind the results of other calls.
    """
    found: list[str] = []
    made: set[str] = set()
    for payload in payloads:
        blocks = dicts(payload.get("content"))
        if payload.get("role") == "user":
            if isinstance(payload.get("content"), str) or any(block.get("type") != "tool_result" for block in blocks):
                found += sorted(made)
                made = set()
            continue
        for block in blocks:
            program = (block.get("caller") or {}).get("tool_id")
            found += [program] if program and program not in made else []
            if block.get("type") in ("server_tool_use", "mcp_tool_use"):
                made.add(str(block.get("id")))
            elif str(block.get("type")).endswith("tool_result"):
                id = str(block.get("tool_use_id"))
                found += [] if id in made else [id]
                made.discard(id)
    return [f"the server tool call {id!r} is not whole" for id in found]
