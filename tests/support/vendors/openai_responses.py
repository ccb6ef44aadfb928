"""OpenAI Responses: the rules of `input` items.

- The output of a call needs the call earlier in the list, and each call needs its output later.
- A reasoning item needs the item that the model made after it, and that item needs the reasoning item.
- No two items have the same `id`.

An item does not say which reasoning item the server stored with it. `reasoning_of` tells it: IDs of items to IDs of
reasoning items.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .pairing import Links, repeated

CALLS = {
    "function_call": "call_id",
    "custom_tool_call": "call_id",
    "computer_call": "call_id",
    "local_shell_call": "call_id",
    "shell_call": "call_id",
    "apply_patch_call": "call_id",
    "mcp_approval_request": "id",
}
"""The items that need an output, and the field with their ID."""
OUTPUTS = {
    "function_call_output": ("function_call", "call_id"),
    "custom_tool_call_output": ("custom_tool_call", "call_id"),
    "computer_call_output": ("computer_call", "call_id"),
    "local_shell_call_output": ("local_shell_call", "id"),
    "shell_call_output": ("shell_call", "call_id"),
    "apply_patch_call_output": ("apply_patch_call", "call_id"),
    "mcp_approval_response": ("mcp_approval_request", "approval_request_id"),
}
"""The outputs, the item that each needs, and the field with that item's ID."""
COMPLETE = {
    "mcp_call", "mcp_list_tools", "web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call",
    "compaction", "item_reference",
}  # fmt: skip
"""Items of the model that need no output."""
_ROLES = ("user", "assistant", "system", "developer")


def problems(payloads: list[dict[str, Any]], reasoning_of: Mapping[str, str] | None = None) -> list[str]:
    """Return the reasons why the vendor refuses a list, [] if the vendor accepts the list."""
    if not payloads:
        return ["the list is empty"]
    found = [f"item {number}: {text}" for number, payload in enumerate(payloads) for text in _shape(payload)]
    ids = [str(payload["id"]) for payload in payloads if payload.get("id") and payload.get("type") not in OUTPUTS]
    found += [f"the item {id!r} is there twice" for id in repeated(ids)]
    return found + _check_outputs(payloads) + _check_reasoning(payloads, reasoning_of or {})


def links(payload: dict[str, Any]) -> Links:
    """Return the call that an item makes, or the call that it answers."""
    type = str(payload.get("type"))
    if type in CALLS:
        return Links((str(payload.get(CALLS[type])),))
    if type in OUTPUTS:
        return Links((), (str(payload.get(OUTPUTS[type][1], payload.get("call_id"))),))
    return Links()


def _check_outputs(payloads: list[dict[str, Any]]) -> list[str]:
    found: list[str] = []
    waiting: list[tuple[str, str]] = []
    for number, payload in enumerate(payloads):
        type = str(payload.get("type"))
        if type in CALLS:
            call = (type, str(payload.get(CALLS[type])))
            if call in waiting:
                found.append(f"item {number}: the call {call[1]!r} is made again before its output")
            waiting.append(call)
        elif type in OUTPUTS:
            of, field = OUTPUTS[type]
            id = payload.get(field, payload.get("call_id"))
            if (of, str(id)) in waiting:
                waiting.remove((of, str(id)))
            else:
                found.append(f"item {number}: the output of {id!r} has no call before it")
    return found + [f"the end: the call {id!r} has no output" for _, id in waiting]


def _check_reasoning(payloads: list[dict[str, Any]], reasoning_of: Mapping[str, str]) -> list[str]:
    found: list[str] = []
    seen: set[str] = set()
    waiting: list[str] = []
    for number, payload in enumerate(payloads):
        id = str(payload.get("id"))
        if payload.get("type") == "reasoning":
            waiting.append(id)
            seen.add(id)
            continue
        if waiting and not _is_of_model(payload):
            found.append(f"item {number}: the reasoning {waiting[-1]!r} before it has no item of the model after it")
        elif waiting and reasoning_of.get(id, waiting[-1]) not in waiting:
            found.append(f"item {number}: it follows the reasoning {waiting[-1]!r} of another item")
        waiting = []
        if id in reasoning_of and reasoning_of[id] not in seen:
            found.append(f"item {number}: the reasoning {reasoning_of[id]!r} that it needs is not before it")
    return found + [f"the end: no item follows the reasoning {id!r}" for id in waiting]


def _is_of_model(payload: dict[str, Any]) -> bool:
    type = payload.get("type", "message")
    return type in CALLS or type in COMPLETE or (type == "message" and payload.get("role") == "assistant")


def _shape(payload: dict[str, Any]) -> list[str]:
    type = payload.get("type", "message")
    if type == "message":
        if payload.get("role") not in _ROLES:
            return [f"the role {payload.get('role')!r} is unknown"]
        return [] if payload.get("content") not in (None, []) else ["the content is empty"]
    if type == "reasoning" or type in CALLS or type in OUTPUTS or type in COMPLETE:
        return []
    return [f"the type {type!r} is unknown"]
