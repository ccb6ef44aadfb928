"""OpenAI Responses: the rules of `input` items.

- The output of a call needs the call earlier in the list, and each call needs its output later.
- An async call may get its output in a later turn. A program may wait for its output when a tool that it called has one.
- What a program made stands behind the program, and before the program's output.
- Two updates of the configuration are not neighbours.
- A reasoning item needs the item that the model made after it, and that item needs the reasoning item.
- No two items have the same `id`.

An item does not say which reasoning item the server stored with it. `reasoning_of` tells it: IDs of items to IDs of
reasoning items.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
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
    "program": "call_id",
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
    "program_output": ("program", "call_id"),
}
"""The outputs, the item that each needs, and the field with that item's ID."""
COMPLETE = {
    "mcp_call", "mcp_list_tools", "web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call",
    "compaction", "item_reference",
}  # fmt: skip
"""Items of the model that need no output."""
_SETTINGS = ("configuration_update", "additional_tools")
_ROLES = ("user", "assistant", "system", "developer")


def problems(payloads: list[dict[str, Any]], reasoning_of: Mapping[str, str] | None = None) -> list[str]:
    """Return the reasons why the vendor refuses a list, [] if the vendor accepts the list."""
    if not payloads:
        return ["the list is empty"]
    found = [f"item {number}: {text}" for number, payload in enumerate(payloads) for text in _shape(payload)]
    ids = [str(payload["id"]) for payload in payloads if payload.get("id") and payload.get("type") not in OUTPUTS]
    found += [f"the item {id!r} is there twice" for id in repeated(ids)]
    for before, payload in pairwise(payloads):
        if before.get("type") == payload.get("type") == "configuration_update":
            found.append("two updates of the configuration are neighbours")
    checks = _check_outputs(payloads) + _check_programs(payloads)
    return found + checks + _check_reasoning(payloads, reasoning_of or {})


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
    going_on = {("program", id) for id in _active_programs(payloads)}
    going_on |= {(str(one["type"]), str(one["call_id"])) for one in payloads if one.get("async") is True}
    return found + [f"the end: the call {call[1]!r} has no output" for call in waiting if call not in going_on]


def _program_of(payload: dict[str, Any]) -> str:
    caller = payload.get("caller") or {}
    return str(caller.get("caller_id")) if caller.get("type") == "program" else ""


def _active_programs(payloads: list[dict[str, Any]]) -> set[str]:
    """Return the IDs of the programs that called a tool whose output is there, or made an item that needs no output."""
    answered = {payload["call_id"] for payload in payloads if payload.get("type") in OUTPUTS and "call_id" in payload}
    own = [one for one in payloads if _program_of(one) and (one["type"] in COMPLETE or one.get("call_id") in answered)]
    return set(map(_program_of, own))


def _check_programs(payloads: list[dict[str, Any]]) -> list[str]:
    found: list[str] = []
    running: set[str] = set()
    for number, payload in enumerate(payloads):
        program = _program_of(payload)
        if program and program not in running:
            found.append(f"item {number}: the program {program!r} that made it does not run there")
        if payload.get("type") == "program":
            running.add(str(payload["call_id"]))
        elif payload.get("type") == "program_output":
            running.discard(str(payload["call_id"]))
    return found


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
    if type in ("reasoning", *_SETTINGS) or type in CALLS or type in OUTPUTS or type in COMPLETE:
        return []
    return [f"the type {type!r} is unknown"]
