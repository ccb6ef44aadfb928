"""Plain messages: recognition by role or type, text, and the built-in formats that no JSON value breaks."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

import redis_sessions.formats
from redis_sessions.formats.plain import PlainFormat
from redis_sessions.models.formats import Facts, format_named, format_names, format_of, recognise

PLAIN = PlainFormat()
NAMES = ("plain", "openai_chat", "openai_responses", "anthropic")
ROLES = {
    "system": "system_message",
    "developer": "system_message",
    "user": "user_message",
    "human": "user_message",
    "assistant": "assistant_message",
    "ai": "assistant_message",
    "model": "assistant_message",
    "tool": "tool_message",
    "function": "tool_message",
}
TYPES = {
    "system": "system_message",
    "user": "user_message",
    "human": "user_message",
    "assistant": "assistant_message",
    "ai": "assistant_message",
    "tool": "tool_message",
    "function_call": "tool_call",
    "function_call_output": "tool_message",
    "system_message": "system_message",
    "user_message": "user_message",
    "assistant_message": "assistant_message",
    "tool_message": "tool_message",
    "tool_call": "tool_call",
    "skill_execution": "skill_execution",
    "evaluation_result": "evaluation_result",
    "system_event": "system_event",
}
CONTENTS: list[Any] = [
    "text",
    "",
    None,
    [],
    [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
    [{"type": "text", "text": "a"}, {"type": "chart", "points": [1, 2]}],
    {"text": "a"},
    {"text": 1},
    ["a", 2],
    17,
    {"ü": None},
]
WORDS = [
    "role",
    "type",
    "content",
    "tool_calls",
    "function_call",
    "tool_call_id",
    "id",
    "call_id",
    "name",
    "function",
    "tool_use_id",
    "thinking",
    "source",
    "text",
    "refusal",
    "image_url",
    "parts",
    "summary",
    "stop_reason",
    "user",
    "assistant",
    "tool",
    "system",
    "message",
    "tool_use",
    "tool_result",
    "server_tool_use",
    "reasoning",
    "function_call_output",
    "input_text",
    "web_search_tool_result",
    "redacted_thinking",
    "image",
    "citations",
]


def keep_all(_: str) -> bool:
    """Keep every call and every result."""
    return True


def any_value(rng: random.Random, depth: int = 0) -> Any:
    """Return a JSON value made from the words that formats look for."""
    choice = rng.randrange(8 if depth < 4 else 5)
    if choice < 5:
        return (None, rng.choice(WORDS), rng.randrange(3), True, "")[choice]
    values = [any_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return values if choice == 5 else {rng.choice(WORDS): value for value in values}


@pytest.mark.parametrize(("role", "kind"), ROLES.items())
def test_message_of_each_role_has_its_kind(role: str, kind: str) -> None:
    """A role of any framework gives its kind, whatever the content is."""
    for content in CONTENTS:
        payload = {"role": role, "content": content}
        assert PLAIN.facts(payload) == Facts(kind)
        assert recognise(payload) == (None, Facts(kind))


@pytest.mark.parametrize(("type", "kind"), TYPES.items())
def test_entry_of_each_type_has_its_kind(type: str, kind: str) -> None:
    """A type gives its kind if the role is missing or unknown."""
    for payload in ({"type": type}, {"type": type, "role": "critic"}, {"type": type, "role": ["user"]}):
        assert PLAIN.facts(payload) == Facts(kind)


def test_role_and_type_disagree_role_wins() -> None:
    """The role says more about the message than the type."""
    assert PLAIN.facts({"role": "user", "type": "ai"}) == Facts("user_message")


@pytest.mark.parametrize(
    "payload", [{}, {"role": "critic"}, {"role": None}, {"type": "chart"}, {"type": {}, "role": []}]
)
def test_unknown_role_and_type_is_not_recognised(payload: dict[str, Any]) -> None:
    """No format takes a payload that has neither a known role nor a known type."""
    assert PLAIN.facts(payload) is None
    assert recognise(payload) == (None, None)
    assert format_of(payload) is format_named("plain")


def test_text_is_the_content_as_text() -> None:
    """The text of a plain message is its string, the text of its blocks, or JSON."""
    texts = [PLAIN.text({"role": "user", "content": content}) for content in CONTENTS]
    assert texts[:5] == ["text", "", "", "", "a\nb"]
    assert texts[5] == json.dumps(CONTENTS[5])
    assert texts[6:] == ["a", '{"text": 1}', '["a", 2]', "17", '{"ü": null}']
    assert PLAIN.text({"type": "system_event", "event": "e"}) == ""


def test_keep_returns_same_object() -> None:
    """A plain message has no calls, so nothing of it can leave."""
    payload = {"role": "user", "content": "a"}
    assert PLAIN.keep(payload, lambda _: False, lambda _: False) is payload


def test_written_messages_are_recognised() -> None:
    """A format recognises the user messages and results that it writes. A message that many vendors share has no format."""
    assert recognise(PLAIN.user_message("a")) == (None, Facts("user_message"))
    assert recognise(PLAIN.system_message("a")) == (None, Facts("system_message"))
    for name in NAMES:
        format, facts = recognise(format_named(name).call_result("c", "search", "a"))
        assert format is not None
        assert facts == Facts("tool_message", closes=("c",))


def test_formats_package_registers_formats() -> None:
    """Every built-in format is known by its name after the import of the package."""
    assert set(NAMES) <= set(format_names())
    assert redis_sessions.formats.__all__ == []


def test_any_json_object_never_raises() -> None:
    """No method of a format raises or changes its payload, whatever JSON object it gets."""
    rng, recognised = random.Random(5), 0
    formats = [format_named(name) for name in NAMES]
    for _ in range(20_000):
        payload = {rng.choice(WORDS): any_value(rng, 1) for _ in range(4)}
        payload["role"] = rng.choice(["user", "assistant", "tool", payload.get("role")])
        before = repr(payload)
        for one in formats:
            facts = one.facts(payload)
            if facts is None:
                continue
            recognised += 1
            assert all(id and isinstance(id, str) for id in facts.opens + facts.closes)
            assert isinstance(one.text(payload), str)
            assert one.keep(payload, keep_all, keep_all) is payload
            one.keep(payload, lambda _: False, lambda _: False)
            one.join([payload, payload])
        assert repr(payload) == before
    assert recognised > 10_000
