"""Messages of the Anthropic Messages API."""

from __future__ import annotations

from typing import Any

import pytest

import redis_sessions.formats  # noqa: F401 registers the formats
from redis_sessions.formats.anthropic import AnthropicFormat
from redis_sessions.models.formats import Facts, recognise

ANTHROPIC = AnthropicFormat()
THINKING = {"type": "thinking", "thinking": "Hm", "signature": "s"}
REDACTED = {"type": "redacted_thinking", "data": "x"}


def text(value: str) -> dict[str, Any]:
    """Return a text block."""
    return {"type": "text", "text": value}


def use(id: Any, type: str = "tool_use") -> dict[str, Any]:
    """Return a block with a call."""
    return {"type": type, "id": id, "name": "search", "input": {}}


def result(id: Any, type: str = "tool_result") -> dict[str, Any]:
    """Return a block with a result."""
    return {"type": type, "tool_use_id": id, "content": "1"}


def assistant(*blocks: Any) -> dict[str, Any]:
    """Return an assistant message."""
    return {"role": "assistant", "content": list(blocks)}


def user(*blocks: Any) -> dict[str, Any]:
    """Return a user message."""
    return {"role": "user", "content": list(blocks)}


def no(_: str) -> bool:
    """Keep nothing."""
    return False


def yes(_: str) -> bool:
    """Keep everything."""
    return True


IMAGE = {"type": "image", "source": {"type": "base64", "data": "…"}}
FACTS: list[tuple[dict[str, Any], Facts]] = [
    (assistant(text("a"), use("a"), use("b")), Facts("assistant_message", opens=("a", "b"))),
    (assistant(THINKING, text("a")), Facts("assistant_message")),
    (assistant(THINKING, REDACTED), Facts("reasoning", binds_next=True)),
    (
        assistant(use("s", "server_tool_use"), result("s", "web_search_tool_result"), text("a")),
        Facts("assistant_message"),
    ),
    (assistant(use("m", "mcp_tool_use"), result("m", "mcp_tool_result")), Facts("assistant_message")),
    (assistant(use("s", "server_tool_use")), Facts("assistant_message", opens=("s",))),
    (assistant(result("s", "web_fetch_tool_result"), text("a")), Facts("assistant_message", closes=("s",))),
    (
        assistant(use("s", "server_tool_use"), result("s", "code_execution_tool_result"), use("a")),
        Facts("assistant_message", opens=("a",)),
    ),
    (assistant(use(7), use(None), use("")), Facts("assistant_message", opens=("7",))),
    (user(result("a"), result("b")), Facts("tool_message", closes=("a", "b"))),
    (user(result("a"), text("Stop")), Facts("user_message", closes=("a",))),
    (user(result("a"), 5, None, "x"), Facts("user_message", closes=("a",))),
    (user(result(None)), Facts("tool_message")),
    (user(IMAGE, text("a")), Facts("user_message")),
    (user({"type": "document", "source": {"type": "text", "data": "a"}}), Facts("user_message")),
    (assistant({**text("a"), "citations": None}), Facts("assistant_message")),
    ({**assistant(text("a")), "type": "message", "stop_reason": "end_turn"}, Facts("assistant_message")),
]


@pytest.mark.parametrize(("payload", "facts"), FACTS)
def test_message_has_its_facts(payload: dict[str, Any], facts: Facts) -> None:
    """The format recognises its blocks, and a result in the message of its call leaves nothing open."""
    format, found = recognise(payload)
    assert format is not None
    assert (format.name, found) == ("anthropic", facts)
    assert ANTHROPIC.keep(payload, yes, yes) is payload


@pytest.mark.parametrize(
    "payload",
    [
        {"role": "user", "content": "Hi"},
        user(text("Hi")),
        user(),
        {"role": "user", "content": {"type": "tool_result"}},
        {"role": "tool", "content": [result("a")]},
        user({"type": "image", "image": "…"}),
        assistant({"type": "thinking", "thinking": [text("a")]}),
        assistant({"toolUse": {"toolUseId": "a"}}),
        {**assistant(use("a")), "tool_calls": [{"id": "a"}]},
        {"role": ["user"], "content": [result("a")]},
    ],
)
def test_message_without_marks_is_not_anthropic(payload: dict[str, Any]) -> None:
    """A message that other vendors share, or that has blocks of another format, is not of this format."""
    assert ANTHROPIC.facts(payload) is None


def test_text_is_text_blocks_only() -> None:
    """The text leaves out thinking, calls, results and images."""
    assert ANTHROPIC.text(assistant(THINKING, text("a"), use("a"), text("b"))) == "a\nb"
    assert ANTHROPIC.text(user(result("a"), text("Stop"))) == "Stop"
    assert ANTHROPIC.text(user(result("a"), IMAGE)) == ""
    assert ANTHROPIC.text({"role": "user", "content": "Hi"}) == "Hi"


def test_keep_drops_calls_and_leaves_other_blocks() -> None:
    """The blocks of calls that are not kept leave, and the given payload stays as it is."""
    payload = assistant(THINKING, text("a"), use("a"), use("b"))
    assert ANTHROPIC.keep(payload, "b".__eq__, no) == assistant(THINKING, text("a"), use("b"))
    assert ANTHROPIC.keep(payload, no, no) == assistant(THINKING, text("a"))
    assert payload == assistant(THINKING, text("a"), use("a"), use("b"))


def test_keep_leaves_calls_that_the_api_ran() -> None:
    """A call with its result in the same message is not asked for."""
    pair = (use("s", "server_tool_use"), result("s", "web_search_tool_result"))
    assert ANTHROPIC.keep(assistant(*pair, use("a")), no, no) == assistant(*pair)


def test_keep_never_ends_with_thinking_or_blank_text() -> None:
    """An assistant message that ends with thinking or blank text is refused, so these blocks leave with the call."""
    assert ANTHROPIC.keep(assistant(THINKING, REDACTED, use("a")), no, no) is None
    assert ANTHROPIC.keep(assistant(text("a"), THINKING, use("a")), no, no) == assistant(text("a"))
    assert ANTHROPIC.keep(assistant(THINKING, text("\n\n"), use("a")), no, no) is None


def test_keep_drops_results_and_leaves_text() -> None:
    """A user message keeps its text when its results leave, and leaves with them if it has no text."""
    assert ANTHROPIC.keep(user(result("a"), text("Stop")), no, no) == user(text("Stop"))
    assert ANTHROPIC.keep(user(result("a"), result("b")), no, "a".__eq__) == user(result("a"))
    assert ANTHROPIC.keep(user(result("a")), yes, no) is None
    assert ANTHROPIC.keep(assistant(result("s", "web_search_tool_result")), yes, no) is None


def test_join_puts_all_results_into_one_message() -> None:
    """The results of one assistant message stand first in one user message, with the text behind them."""
    plain = {"role": "user", "content": "Stop"}
    joined = ANTHROPIC.join(
        [user(text("a")), assistant(use("a"), use("b")), user(result("a")), plain, user(result("b"))]
    )
    assert joined == [
        user(text("a")),
        assistant(use("a"), use("b")),
        user(result("a"), result("b"), text("Stop")),
    ]


def test_join_puts_results_before_text_of_same_message() -> None:
    """Text in front of a result is refused."""
    assert ANTHROPIC.join([user(text("Stop"), result("a"))]) == [user(result("a"), text("Stop"))]


def test_join_leaves_other_neighbours() -> None:
    """User messages without results, assistant messages and other formats stay the same objects."""
    foreign = {"role": "user", "parts": [{"text": "a"}]}
    payloads = [user(text("a")), user(IMAGE), assistant(text("a")), assistant(use("a")), user(result("a")), foreign]
    joined = ANTHROPIC.join(payloads)
    assert all(one is other for one, other in zip(joined, payloads, strict=True))


def test_join_skips_blank_text() -> None:
    """A text block without text is refused, so that a blank message adds none."""
    first = user(result("a"))
    assert ANTHROPIC.join([first, {"role": "user", "content": " "}]) == [first]
    assert ANTHROPIC.join([]) == []


def test_written_messages_have_the_form_of_the_api() -> None:
    """A result is a block of a user message, and a system prompt is not part of the transcript."""
    assert ANTHROPIC.user_message("Hi") == {"role": "user", "content": "Hi"}
    assert ANTHROPIC.call_result("a", "search", "1") == user(result("a"))
    assert ANTHROPIC.starts_with_user
    assert not ANTHROPIC.has_system_messages
