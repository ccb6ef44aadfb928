"""Results of children that answer the tool call that spawned them."""

from __future__ import annotations

from typing import Any

import pytest

from redis_sessions import SessionCache

Payload = dict[str, Any]
CALLS: dict[str, tuple[str, Payload]] = {
    "openai_chat": (
        "c1",
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{}"}}],
        },
    ),
    "anthropic": (
        "c1",
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "find", "input": {}}]},
    ),
    "gemini": ("find", {"role": "model", "parts": [{"functionCall": {"name": "find", "args": {}}}] * 2}),
}
"""For each format the ID of a call, and the message that makes it. Gemini's call has no ID of its own."""

USERS: dict[str, Payload] = {
    "openai_chat": {"role": "user", "content": "go"},
    "anthropic": {"role": "user", "content": "go"},
    "gemini": {"role": "user", "parts": [{"text": "go"}]},
}


def spawn(cache: SessionCache, call_id: str, batch_id: str | None = None) -> Any:
    """Spawn a child of the session `parent` whose result answers a call."""
    by = {"tool_call_id": call_id, "tool_name": "find"}
    return cache.session("parent").spawn("helper", spawned_by=by, report="tool_result", batch_id=batch_id)


@pytest.mark.parametrize("format", CALLS)
def test_child_answers_only_a_call_that_waits(cache: SessionCache, format: str) -> None:
    """A spawn whose result no open call takes is refused, because the result would be in no window."""
    call_id, message = CALLS[format]
    parent = cache.create("parent", format=format)
    before = spawn(cache, call_id)
    assert (before.accepted, before.reason) == (False, "call_not_open")
    assert "waits for its result" in before.message
    parent.append(USERS[format], message)
    assert spawn(cache, "other").reason == "call_not_open"
    children = [spawn(cache, call_id, "b") for _ in "ab"]
    assert children[0].session_key == children[1].session_key
    cache.session(children[0].session_key).complete("found")
    assert [one.is_late for one in parent.history()] == [False, False, False]
    assert "found" in str(parent.context(abandoned="answer").payloads[-1])
    assert spawn(cache, call_id, "b").session_key == children[0].session_key
    parent.abandon_calls()
    assert spawn(cache, call_id).reason == "call_not_open"
    assert len(parent.children()) == 1
