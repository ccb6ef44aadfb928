"""OpenAI chat completions: the rules of `messages`.

- An assistant message with `tool_calls` must be followed by one tool message for each `tool_call_id`.
- A tool message must respond to a preceding assistant message with `tool_calls`.
- `tool_calls` must not be empty, and an assistant message needs content unless it makes calls.
"""

from __future__ import annotations

from typing import Any

from .pairing import Links, check_results_follow, dicts

ROLES = {"system", "developer", "user", "assistant", "tool", "function"}


def problems(payloads: list[dict[str, Any]]) -> list[str]:
    """Return the reasons why the vendor refuses a list, [] if the vendor accepts the list."""
    if not payloads:
        return ["the list is empty"]
    found = [f"message {number}: {text}" for number, payload in enumerate(payloads) for text in _shape(payload)]
    return found + check_results_follow([links(payload) for payload in payloads])


def links(payload: dict[str, Any]) -> Links:
    """Return the calls and results of a message. The old `function_call` has no ID, so its name stands for the ID."""
    calls = [str(call.get("id")) for call in dicts(payload.get("tool_calls"))]
    old_call = payload.get("function_call")
    if isinstance(old_call, dict):
        calls.append(f"function {old_call.get('name')}")
    results: tuple[str, ...] = ()
    if payload.get("role") == "tool":
        results = (str(payload.get("tool_call_id")),)
    elif payload.get("role") == "function":
        results = (f"function {payload.get('name')}",)
    return Links(tuple(calls), results)


def _shape(payload: dict[str, Any]) -> list[str]:
    role, content = payload.get("role"), payload.get("content")
    if role not in ROLES:
        return [f"the role {role!r} is unknown"]
    found = []
    if "tool_calls" in payload and payload["tool_calls"] is not None and not payload["tool_calls"]:
        found.append("tool_calls is an empty list")
    if payload.get("tool_calls") and role != "assistant":
        found.append(f"a {role} message makes calls")
    if role == "assistant":
        others = ("tool_calls", "function_call", "refusal", "audio")
        if content in (None, "", []) and not any(payload.get(name) for name in others):
            found.append("an assistant message has neither content nor calls")
    elif content is None or content == []:
        found.append(f"a {role} message has no content")
    return found
