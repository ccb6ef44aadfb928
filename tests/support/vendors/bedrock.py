"""Bedrock Converse: the rules of `messages`.

- The first message is a user message, and roles alternate between user and assistant.
- The user message behind an assistant message has one toolResult block for each of its toolUse blocks, and no other.
- A toolUseId has 1 to 64 letters, digits, '_' and '-'. Content is not empty, and text blocks have text.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from .pairing import Links, check_results_in_next, dicts


def problems(payloads: list[dict[str, Any]]) -> list[str]:
    """Return the reasons why the vendor refuses a list, [] if the vendor accepts the list."""
    if not payloads:
        return ["the list is empty"]
    found = [] if payloads[0].get("role") == "user" else ["message 0: the first message is not a user message"]
    for number, (first, second) in enumerate(pairwise(payloads), 1):
        if first.get("role") == second.get("role"):
            found.append(f"message {number}: the roles do not alternate")
    found += [f"message {number}: {text}" for number, payload in enumerate(payloads) for text in _shape(payload)]
    return found + check_results_in_next([links(payload) for payload in payloads])


def links(payload: dict[str, Any]) -> Links:
    """Return the calls and results of a message."""
    blocks = dicts(payload.get("content"))
    return Links(
        tuple(str(block["toolUse"].get("toolUseId")) for block in blocks if "toolUse" in block),
        tuple(str(block["toolResult"].get("toolUseId")) for block in blocks if "toolResult" in block),
    )


def _shape(payload: dict[str, Any]) -> list[str]:
    role, content = payload.get("role"), payload.get("content")
    if role not in ("user", "assistant"):
        return [f"the role {role!r} is unknown"]
    if not isinstance(content, list) or not content:
        return ["the content is not a list with blocks"]
    found = [f"block {number} is empty" for number, block in enumerate(content) if not block]
    blocks = dicts(content)
    found += ["a text block is empty" for block in blocks if "text" in block and not str(block["text"]).strip()]
    if role == "assistant":
        if any("toolResult" in block for block in blocks):
            found.append("an assistant message has a toolResult block")
        if blocks and all("reasoningContent" in block for block in blocks):
            found.append("an assistant message has reasoning only")
    elif any("toolUse" in block or "reasoningContent" in block for block in blocks):
        found.append("a user message has a block of an assistant")
    ids = [id for pair in links(payload) for id in pair]
    return found + [f"the toolUseId {id!r} has other characters" for id in ids if not re.fullmatch(r"[\w-]{1,64}", id)]
