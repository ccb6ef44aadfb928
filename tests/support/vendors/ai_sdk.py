"""AI SDK model messages: the rules of `messages`.

- A tool-call part of an assistant message needs a tool-result part in the tool messages directly behind it
  (MissingToolResultsError), unless the provider executed it. Providers refuse results without a call.
- A result names the tool of its call, and an assistant message has content.
"""

from __future__ import annotations

from typing import Any

from .pairing import Links, check_names, check_results_follow, dicts

ROLES = {"system", "user", "assistant", "tool"}


def problems(payloads: list[dict[str, Any]]) -> list[str]:
    """Return the reasons why the SDK or its providers refuse a list, [] if they accept the list."""
    if not payloads:
        return ["the list is empty"]
    found = [f"message {number}: {text}" for number, payload in enumerate(payloads) for text in _shape(payload)]
    parts = [part for payload in payloads for part in dicts(payload.get("content"))]
    calls, results = ([part for part in parts if part.get("type") == type] for type in ("tool-call", "tool-result"))
    found += check_names(map(_name_of, calls), map(_name_of, results))
    return found + check_results_follow([links(payload) for payload in payloads])


def links(payload: dict[str, Any]) -> Links:
    """Return the calls and results of a message. What the provider executed is complete in its message."""
    parts = dicts(payload.get("content"))
    if payload.get("role") == "tool":
        return Links((), tuple(str(part.get("toolCallId")) for part in parts if part.get("type") == "tool-result"))
    calls = [part for part in parts if part.get("type") == "tool-call" and not part.get("providerExecuted")]
    return Links(tuple(str(part.get("toolCallId")) for part in calls))


def _name_of(part: dict[str, Any]) -> tuple[str, Any]:
    return str(part.get("toolCallId")), part.get("toolName")


def _shape(payload: dict[str, Any]) -> list[str]:
    role, content = payload.get("role"), payload.get("content")
    if role not in ROLES:
        return [f"the role {role!r} is unknown"]
    if role == "system":
        return [] if isinstance(content, str) else ["the content of a system message is not text"]
    if role == "tool" and not links(payload).results:
        return ["a tool message has no tool-result part"]
    if not isinstance(content, str | list) or not content:
        return ["the content is empty"]
    if role == "assistant" and isinstance(content, list):
        made = {part.get("toolCallId") for part in dicts(content) if part.get("providerExecuted")}
        results = {part.get("toolCallId") for part in dicts(content) if part.get("type") == "tool-result"}
        return [f"the call {id!r} of the provider is not whole" for id in sorted(map(str, made ^ results))]
    return []
