"""Pydantic AI: dicts of ModelRequest and ModelResponse.

Pydantic AI merges neighbours of one kind. After a response with tool-call parts, the merged request must hold one
tool-return or retry-prompt part for each call, with the name of its tool. These parts come before what the user says, and nowhere
else.
"""

from __future__ import annotations

from typing import Any

from .pairing import Links, check_names, check_results_in_next, dicts

REQUEST_PARTS = {"system-prompt", "user-prompt", "tool-return", "retry-prompt"}


def problems(payloads: list[dict[str, Any]]) -> list[str]:
    """Return the reasons why an agent refuses a history, [] if an agent accepts the history."""
    if not payloads:
        return ["the list is empty"]
    found = [f"message {number}: {text}" for number, payload in enumerate(payloads) for text in _shape(payload)]
    merged: list[dict[str, Any]] = []
    for payload in payloads:
        parts = dicts(payload.get("parts"))
        if merged and merged[-1]["kind"] == payload.get("kind"):
            merged[-1]["parts"] += parts
        else:
            merged.append({"kind": payload.get("kind"), "parts": list(parts)})
    for payload in merged:
        results = [_is_result(part) for part in payload["parts"] if part.get("part_kind") != "system-prompt"]
        if results != sorted(results, reverse=True):
            found.append("a result comes after a user prompt")
    parts = [part for payload in merged for part in payload["parts"]]
    calls = [part for part in parts if part.get("part_kind") == "tool-call"]
    found += check_names(map(_name_of, calls), map(_name_of, filter(_is_result, parts)))
    return found + check_results_in_next([links(payload) for payload in merged])


def links(payload: dict[str, Any]) -> Links:
    """Return the calls and results of a message. Calls of built-in tools are complete in their response."""
    parts = dicts(payload.get("parts"))
    return Links(
        tuple(str(part.get("tool_call_id")) for part in parts if part.get("part_kind") == "tool-call"),
        tuple(str(part.get("tool_call_id")) for part in parts if _is_result(part)),
    )


def _name_of(part: dict[str, Any]) -> tuple[str, Any]:
    return str(part.get("tool_call_id")), part.get("tool_name")


def _is_result(part: dict[str, Any]) -> bool:
    kind = part.get("part_kind")
    return kind == "tool-return" or (kind == "retry-prompt" and part.get("tool_name") is not None)


def _shape(payload: dict[str, Any]) -> list[str]:
    kind, parts = payload.get("kind"), dicts(payload.get("parts"))
    if kind not in ("request", "response"):
        return [f"the kind {kind!r} is unknown"]
    if not parts:
        return ["there are no parts"]
    kinds = {str(part.get("part_kind")) for part in parts}
    if kind == "request":
        return [f"a request has a part {name!r}" for name in sorted(kinds - REQUEST_PARTS)]
    if kinds == {"thinking"}:
        return ["a response has thinking only"]
    return [f"a response has a part {name!r}" for name in sorted(kinds & REQUEST_PARTS)]
