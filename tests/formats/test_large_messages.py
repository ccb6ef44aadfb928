"""The time that formats take for messages of very many small blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from time import thread_time
from typing import Any

import pytest

from redis_sessions import InvalidInput
from redis_sessions._core.protocol.codec import encode
from redis_sessions._core.protocol.keys import session_keys
from redis_sessions._core.protocol.token_estimate import estimate_tokens
from redis_sessions.formats import _FORMATS
from redis_sessions.models.formats import MessageFormat, recognise

COUNT = 10_000
"""Small blocks of a message, which has 0.1 MB to 1 MB."""
MAX_SECONDS = 0.4
"""The bound of one call. Linear ones take less than 0.1 s of the processor, comparisons of all pairs more than 0.7 s."""
ATTEMPTS = 3
BLOCKS: tuple[dict[str, Any], ...] = (
    {},
    {"type": "text", "text": ""},
    {"type": "text", "text": "x"},
    {"type": "thinking", "thinking": "x", "signature": "s"},
    {"type": "reasoning", "text": "x"},
    {"type": "tool_use", "id": "ID", "name": "t", "input": {}},
    {"type": "server_tool_use", "id": "ID", "name": "t", "input": {}},
    {"type": "tool_result", "tool_use_id": "ID"},
    {"type": "mcp_tool_result", "tool_use_id": "ID"},
    {"type": "tool-call", "toolCallId": "ID", "toolName": "t", "input": 1},
    {"type": "tool-result", "toolCallId": "ID", "toolName": "t", "output": 1},
    {"type": "tool-approval-request", "approvalId": "ID", "toolCallId": "ID"},
    {"type": "tool-approval-response", "approvalId": "ID", "approved": True},
    {"type": "tool-t", "toolCallId": "ID", "state": "output-available", "input": 1, "output": 1},
    {"type": "tool-t", "toolCallId": "ID", "state": "input-available", "input": 1},
    {"functionCall": {"name": "t", "id": "ID", "args": {}}},
    {"functionResponse": {"name": "t", "id": "ID", "response": {}}},
    {"functionCall": {"name": "ID"}},
    {"text": "x", "thought": True},
    {"text": "x"},
    {"toolUse": {"toolUseId": "ID", "name": "t", "input": {}}},
    {"toolResult": {"toolUseId": "ID", "content": []}},
    {"reasoningContent": {"reasoningText": {"text": "x"}}},
    {"part_kind": "text", "content": "x"},
    {"part_kind": "thinking", "content": "x"},
    {"part_kind": "user-prompt", "content": "x"},
    {"part_kind": "tool-call", "tool_name": "t", "tool_call_id": "ID", "args": {}},
    {"part_kind": "tool-return", "tool_name": "t", "tool_call_id": "ID", "content": "x"},
    {"type": "input_text", "text": "x"},
    {"type": "output_text", "text": "x"},
    {"type": "function_call", "call_id": "ID", "name": "t", "arguments": "{}"},
    {"id": "ID", "type": "function", "function": {"name": "t", "arguments": "{}"}},
    {"id": "ID", "name": "t", "args": {}, "type": "tool_call"},
)
"""The small blocks of all vendors."""


def messages(count: int, block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield messages of all shapes that have a block many times, each with an ID of its own."""
    blocks = [_renamed(block, f"i{number}") for number in range(count)]
    for role in ("user", "assistant", "tool"):
        yield {"role": role, "content": blocks}
    for role in ("user", "model"):
        yield {"role": role, "parts": blocks}
    yield {"id": "m", "role": "assistant", "parts": blocks}
    yield {"role": "assistant", "content": None, "tool_calls": blocks}
    for kind in ("human", "ai"):
        yield {"type": kind, "data": {"content": blocks, "additional_kwargs": {}, "type": kind}}
        yield {"type": kind, "data": {"content": "", "tool_calls": blocks, "additional_kwargs": {"tool_calls": blocks}}}
    for kind in ("request", "response"):
        yield {"kind": kind, "parts": blocks}
    for kind in ("user", "assistant"):
        yield {"type": kind, "uuid": "u", "sessionId": "s", "message": {"role": kind, "content": blocks}}
    yield {"type": "message", "role": "assistant", "content": blocks}
    yield {"type": "reasoning", "id": "r", "summary": blocks}


def _renamed(value: Any, id: str) -> Any:
    if isinstance(value, dict):
        return {key: _renamed(one, id) for key, one in value.items()}
    return id if value == "ID" else value


def _drop(id: str) -> bool:
    return False


def _drop_some(id: str) -> bool:
    return id.endswith("7")


def _encode(format: MessageFormat, payload: dict[str, Any]) -> None:
    with suppress(InvalidInput):  # it has too many calls
        encode(payload, "b", estimate_tokens, session_keys("n", "a"))


CALLS = {
    "encode": _encode,
    "text": lambda format, payload: format.text(payload),
    "drop all": lambda format, payload: format.keep(payload, _drop, _drop),
    "drop some": lambda format, payload: format.keep(payload, _drop_some, _drop_some),
    "programs": lambda format, payload: format.programs(payload),
    "join": lambda format, payload: format.join([payload, payload]),
    "going on": lambda format, payload: format.is_going_on(payload, "i0", [payload]),
}


def _named(payload: dict[str, Any]) -> str:
    format, _ = recognise(payload)
    return "" if format is None else format.name


@pytest.mark.parametrize("format", _FORMATS[:-1], ids=lambda one: one.name)  # the last one, plain, has no blocks
def test_message_of_many_small_blocks_takes_linear_time(format: MessageFormat) -> None:
    """No method of a format compares the blocks of a message with each other."""
    slow, found = [], 0
    for block in BLOCKS:
        few = list(messages(2, block))
        if format.name not in map(_named, few):
            continue
        for small, payload in zip(few, messages(COUNT, block), strict=True):
            if _named(small) != format.name:
                continue
            found += 1
            slow += [(name, small) for name, call in CALLS.items() if _is_slow(call, format, payload)]
    assert found
    assert slow == []


def _is_slow(call: Callable[[MessageFormat, dict[str, Any]], object], *given: Any) -> bool:
    """Return whether a call takes too long, in each of some attempts."""
    for _ in range(ATTEMPTS):
        begun = thread_time()
        call(*given)
        if thread_time() - begun <= MAX_SECONDS:
            return False
    return True
