"""Messages of OpenAI chat completions and items of the Responses API."""

from __future__ import annotations

import base64
from typing import Any

import pytest

import redis_sessions.formats  # noqa: F401 registers the formats
from redis_sessions.formats.openai_chat import OpenAIChatFormat
from redis_sessions.formats.openai_responses import OpenAIResponsesFormat
from redis_sessions.models.formats import Facts, recognise

CHAT = OpenAIChatFormat()
RESPONSES = OpenAIResponsesFormat()


def function(id: Any, name: str = "search") -> dict[str, Any]:
    """Return an entry of `tool_calls`."""
    return {"id": id, "type": "function", "function": {"name": name, "arguments": "{}"}}


def calls(*entries: Any, **fields: Any) -> dict[str, Any]:
    """Return an assistant message with tool calls."""
    return {"role": "assistant", "content": None, "tool_calls": list(entries), **fields}


def recognised(payload: dict[str, Any]) -> tuple[str, Facts] | None:
    """Return the name of the format that takes a payload, and the facts. None for a payload that many vendors share."""
    format, facts = recognise(payload)
    return None if format is None or facts is None else (format.name, facts)


def no(_: str) -> bool:
    """Keep nothing."""
    return False


def yes(_: str) -> bool:
    """Keep everything."""
    return True


CHAT_FACTS: list[tuple[dict[str, Any], Facts]] = [
    (calls(function("a"), function("b")), Facts("assistant_message", opens=("a", "b"))),
    (calls(function("a"), content="Wait"), Facts("assistant_message", opens=("a",))),
    (calls(function(7), function("a"), function("a")), Facts("assistant_message", opens=("7", "a"))),
    (calls({"id": "a", "type": "custom", "custom": {"name": "f"}}), Facts("assistant_message", opens=("a",))),
    (
        calls(function(None), function(""), function(None, "open")),
        Facts("assistant_message", opens=("search", "search/2", "open")),
    ),
    (calls("a", None, {"id": None}, {"function": []}), Facts("assistant_message")),
    ({"role": "assistant", "content": "Hi", "refusal": None, "tool_calls": None}, Facts("assistant_message")),
    ({"role": "assistant", "function_call": {"name": "f"}}, Facts("assistant_message", opens=("f",))),
    ({"role": "tool", "tool_call_id": "a", "content": "1"}, Facts("tool_message", closes=("a",))),
    ({"role": "tool", "tool_call_id": 7, "content": "1"}, Facts("tool_message", closes=("7",))),
    ({"role": "tool", "tool_name": "search", "content": "1"}, Facts("tool_message", closes=("search",))),
    ({"role": "function", "name": "f", "content": "1"}, Facts("tool_message", closes=("f",))),
    ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]}, Facts("user_message")),
    ({"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}, Facts("user_message")),
    ({"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}, Facts("user_message")),
    ({"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}, Facts("assistant_message")),
]


@pytest.mark.parametrize(("payload", "facts"), CHAT_FACTS)
def test_chat_message_has_its_facts(payload: dict[str, Any], facts: Facts) -> None:
    """The chat format recognises the marks of its API, and ignores parts of a wrong type."""
    assert recognised(payload) == ("openai_chat", facts)


@pytest.mark.parametrize(
    "payload",
    [
        {"role": "user", "content": "Hi"},
        {"role": "tool", "content": "1"},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "user", "content": [{"type": "file", "data": "…", "mediaType": "text/plain"}]},
        {"role": ["assistant"], "tool_calls": []},
        {"role": "user", "content": [{"type": ["image_url"]}, 3]},
        {"tool_calls": [function("a")]},
    ],
)
def test_message_without_chat_marks_is_not_chat(payload: dict[str, Any]) -> None:
    """A message that other vendors share is not of this format."""
    assert CHAT.facts(payload) is None


def test_chat_text_is_text_and_refusal() -> None:
    """The text of a chat message leaves out calls, results and media."""
    parts = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {}}, {"type": "text", "text": "b"}]
    assert CHAT.text({"role": "user", "content": parts}) == "a\nb"
    assert CHAT.text(calls(function("a"), content="Wait")) == "Wait"
    assert CHAT.text(calls(function("a"))) == ""
    assert CHAT.text({"role": "assistant", "content": None, "refusal": "No."}) == "No."
    assert CHAT.text({"role": "tool", "tool_call_id": "a", "content": "1"}) == ""


def test_chat_keep_of_everything_returns_same_object() -> None:
    """A message of which nothing leaves is not copied."""
    for payload, _ in CHAT_FACTS:
        assert CHAT.keep(payload, yes, yes) is payload


def test_chat_keep_without_one_call_leaves_the_others() -> None:
    """The entry that is not kept leaves, and the payload that was given stays as it is."""
    payload = calls(function("a"), function("b"), content="Wait")
    assert CHAT.keep(payload, "b".__eq__, no) == calls(function("b"), content="Wait")
    assert payload == calls(function("a"), function("b"), content="Wait")
    unnamed = calls(function(None), function(None))
    assert CHAT.keep(unnamed, "search".__eq__, no) == calls(function(None))


def test_chat_keep_without_calls_drops_the_key() -> None:
    """A message with text stays without `tool_calls`, because an empty list is refused."""
    assert CHAT.keep(calls(function("a"), content="Wait"), no, no) == {"role": "assistant", "content": "Wait"}
    refused = calls(function("a"), refusal="No.")
    assert CHAT.keep(refused, no, no) == {"role": "assistant", "content": None, "refusal": "No."}
    old = {"role": "assistant", "content": "Wait", "function_call": {"name": "f"}}
    assert CHAT.keep(old, no, no) == {"role": "assistant", "content": "Wait"}


@pytest.mark.parametrize("content", [None, "", [], [{"type": "text", "text": ""}]])
def test_chat_keep_of_empty_message_is_none(content: Any) -> None:
    """A message that only made calls leaves with them."""
    assert CHAT.keep(calls(function("a"), content=content), no, no) is None


def test_chat_keep_of_unkept_result_is_none() -> None:
    """A tool message leaves with its result."""
    assert CHAT.keep({"role": "tool", "tool_call_id": "a", "content": "1"}, yes, no) is None


CALL_TYPES = [
    "function_call",
    "custom_tool_call",
    "computer_call",
    "local_shell_call",
    "shell_call",
    "apply_patch_call",
]


@pytest.mark.parametrize("type", CALL_TYPES)
def test_responses_call_opens_and_output_closes(type: str) -> None:
    """Every kind of call that the caller runs has an output item of its own type."""
    call: dict[str, Any] = {"type": type, "id": "i", "call_id": "a"}
    output = {"type": f"{type}_output", "id": "o", "call_id": "a", "output": "1"}
    assert recognised(call) == ("openai_responses", Facts("tool_call", opens=("a",)))
    assert recognised(output) == ("openai_responses", Facts("tool_message", closes=("a",)))
    assert RESPONSES.keep(call, yes, no) is call
    assert RESPONSES.keep(call, no, yes) is None
    assert RESPONSES.keep(output, no, yes) is output
    assert RESPONSES.keep(output, yes, no) is None


RESPONSES_FACTS: list[tuple[dict[str, Any], Facts]] = [
    ({"type": "mcp_approval_request", "id": "a"}, Facts("tool_call", opens=("a",))),
    (
        {"type": "mcp_approval_response", "id": "o", "approval_request_id": "a"},
        Facts("tool_message", closes=("a",)),
    ),
    ({"type": "local_shell_call_output", "id": "a", "output": "1"}, Facts("tool_message", closes=("a",))),
    ({"type": "function_call", "call_id": 7}, Facts("tool_call", opens=("7",))),
    ({"type": "tool_search_call", "call_id": "a", "execution": "client"}, Facts("tool_call", opens=("a",))),
    ({"type": "tool_search_call", "call_id": None, "execution": "server"}, Facts("tool_call")),
    ({"type": "reasoning", "id": "r", "summary": []}, Facts("reasoning", binds_next=True)),
    ({"type": "compaction", "encrypted_content": "x"}, Facts("reasoning")),
    ({"type": "message", "role": "assistant", "content": "Hi"}, Facts("assistant_message")),
    ({"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}, Facts("user_message")),
    ({"role": "user", "content": [{"type": "input_image", "image_url": "u"}]}, Facts("user_message")),
    ({"role": "developer", "content": [{"type": "input_text", "text": "Hi"}]}, Facts("system_message")),
]
HOSTED = [
    "mcp_call",
    "mcp_list_tools",
    "web_search_call",
    "file_search_call",
    "code_interpreter_call",
    "image_generation_call",
]


@pytest.mark.parametrize(("payload", "facts"), RESPONSES_FACTS)
def test_responses_item_has_its_facts(payload: dict[str, Any], facts: Facts) -> None:
    """The Responses format recognises items by type, and messages by the types of their parts."""
    assert recognised(payload) == ("openai_responses", facts)
    assert RESPONSES.keep(payload, yes, yes) is payload


@pytest.mark.parametrize("type", HOSTED)
def test_responses_hosted_call_opens_nothing(type: str) -> None:
    """An item of a tool that the API runs is complete in itself."""
    assert recognised({"type": type, "id": "i"}) == ("openai_responses", Facts("tool_call"))


@pytest.mark.parametrize(
    "payload",
    [
        {"role": "user", "content": "Hi"},
        {"type": "function_call", "name": "f"},
        {"type": "custom_tool_call", "call_id": None},
        {"type": ["reasoning"]},
        {"type": "message", "content": "Hi"},
        {"type": "message", "role": {"a": 1}},
        {"type": "tool_call", "call_id": "a"},
        {"role": "user", "content": [{"type": {}}, None]},
    ],
)
def test_item_without_responses_marks_is_not_responses(payload: dict[str, Any]) -> None:
    """An item without an ID, or with parts of a wrong type, is not of this format."""
    assert RESPONSES.facts(payload) is None


def test_responses_text_is_text_of_messages() -> None:
    """Only message items have text."""
    parts = [{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "b"}, {"type": "input_image"}]
    assert RESPONSES.text({"type": "message", "role": "assistant", "content": parts}) == "a\nb"
    assert RESPONSES.text({"type": "reasoning", "content": [{"type": "reasoning_text", "text": "a"}]}) == ""
    assert RESPONSES.text({"type": "function_call_output", "call_id": "a", "output": "1"}) == ""


def test_responses_written_items_have_the_form_of_the_api() -> None:
    """A user message is an easy message, and a result is an output item."""
    assert RESPONSES.user_message("Hi") == {"role": "user", "content": "Hi"}
    assert RESPONSES.call_result("a", "f", "1") == {"type": "function_call_output", "call_id": "a", "output": "1"}
    assert not CHAT.starts_with_user
    assert not RESPONSES.starts_with_user


def answer(type: str, **fields: Any) -> dict[str, Any]:
    """Return an output of the call a."""
    return {"type": type, "call_id": "a", **fields}


SHELL_OUTPUT = [{"stdout": "", "stderr": "none", "outcome": {"type": "exit", "exit_code": 1}}]
ANSWERS: list[tuple[str, dict[str, Any]]] = [
    ("function_call", answer("function_call_output", output="none")),
    ("custom_tool_call", answer("custom_tool_call_output", output="none")),
    ("local_shell_call", {"type": "local_shell_call_output", "id": "a", "output": "none"}),
    ("shell_call", answer("shell_call_output", output=SHELL_OUTPUT)),
    ("apply_patch_call", answer("apply_patch_call_output", status="failed", output="none")),
    ("tool_search_call", answer("tool_search_output", execution="client", tools=[], status="completed")),
    (
        "mcp_approval_request",
        {"type": "mcp_approval_response", "approval_request_id": "a", "approve": False, "reason": "none"},
    ),
]


@pytest.mark.parametrize(("type", "output"), ANSWERS)
def test_responses_answer_has_the_type_that_its_call_wants(type: str, output: dict[str, Any]) -> None:
    """A synthetic result closes its call with an item of the matching type, and reports no success."""
    call = {"type": type, "id": "a", "call_id": "a"}
    assert RESPONSES.answer(call, "a", "none") == output
    assert recognised(output) == ("openai_responses", Facts("tool_message", closes=("a",)))


def test_responses_program_has_no_synthetic_output() -> None:
    """Only the vendor can answer a program, because it runs the program."""
    assert RESPONSES.answer({"type": "program", "id": "i", "call_id": "a"}, "a", "none") is None


def test_responses_answer_of_computer_call_is_a_screenshot() -> None:
    """An output of a computer call takes only an image, so a blank one stands in."""
    output = RESPONSES.answer({"type": "computer_call", "id": "i", "call_id": "a"}, "a", "none")
    assert output is not None
    image = output["output"].pop("image_url")
    assert output == answer("computer_call_output", output={"type": "computer_screenshot"})
    assert base64.b64decode(image.removeprefix("data:image/png;base64,"), validate=True).startswith(b"\x89PNG")


def test_responses_answer_keeps_the_program_that_called() -> None:
    """An output names the program that made its call, as the call does."""
    caller = {"type": "program", "caller_id": "p"}
    call = {"type": "function_call", "call_id": "a", "name": "f", "caller": caller}
    assert RESPONSES.answer(call, "a", "none") == answer("function_call_output", output="none", caller=caller)
    assert RESPONSES.answer({"type": "other"}, "a", "none") == answer("function_call_output", output="none")


def test_chat_answer_is_a_tool_message() -> None:
    """The result of a chat completion call needs only the ID of its call."""
    assert CHAT.answer(calls(function("a")), "a", "none") == CHAT.call_result("a", "search", "none")
