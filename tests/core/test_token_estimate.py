"""The default estimate of tokens."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redis_sessions._core.protocol.token_estimate import IMAGE_TOKENS, OPAQUE_TOKENS, estimate_tokens

WORDS = "a word " * 5715  # 40,005 bytes
BASE64 = "iVBORw0KGgoAAAANSUhEUgAAAAUA+/4z8" * 1250
DATA_URL = f"data:image/png;base64,{BASE64}"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["content", "source", "type"]), inner),
    max_leaves=10,
)


def user(*parts: dict[str, Any]) -> dict[str, Any]:
    """Return a user message with parts."""
    return {"role": "user", "content": list(parts)}


def chat_call(arguments: str) -> dict[str, Any]:
    """Return an assistant message of OpenAI chat with one call."""
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def langchain(type: str, **data: Any) -> dict[str, Any]:
    """Return a message as `message_to_dict` of LangChain returns it."""
    facts = {"additional_kwargs": {}, "response_metadata": {"model_name": "m"}, "type": type, "id": "1"}
    return {"type": type, "data": {"content": "", **facts, **data}}


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 1), ("abc", 1), ("abcd", 2), ("Hello world", 3), ("é" * 4, 3), ("日本語", 3), ("\ud800", 1)],
)
def test_text_content_costs_quarter_of_bytes_plus_one(text: str, tokens: int) -> None:
    """Content that is text costs a quarter of its UTF-8 bytes, plus 1, whatever unseen fields are with it."""
    assert estimate_tokens({"role": "user", "content": text}) == tokens
    assert estimate_tokens({"content": text}) == tokens
    unseen = {
        "id": "x" * 400,
        "uuid": "x" * 400,
        "metadata": {"a": "x" * 400},
        "usage": {"t": 1},
        "timestamp": "x" * 400,
    }
    assert estimate_tokens({"role": "user", "content": text, **unseen}) == tokens


def test_content_that_is_data_url_counts_as_text() -> None:
    """A data URL as the whole content is text to a model, so its bytes count."""
    assert estimate_tokens({"role": "user", "content": DATA_URL}) == len(DATA_URL) // 4 + 1


@pytest.mark.parametrize("payload", [{"role": "user", "content": None}, {"role": "user"}, {}, {"content": []}])
def test_empty_message_costs_one(payload: dict[str, Any]) -> None:
    """A message without content costs 1."""
    assert estimate_tokens(payload) == 1


@pytest.mark.parametrize(
    "payload",
    [
        chat_call(WORDS),
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": WORDS}},
        {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": WORDS}]},
        {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": WORDS},
        {"type": "function_call_output", "call_id": "call_1", "output": WORDS},
        {"type": "function_call_output", "call_id": "call_1", "output": [{"type": "input_text", "text": WORDS}]},
        {"type": "custom_tool_call", "call_id": "call_1", "name": "f", "input": WORDS},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": WORDS}]},
        {"type": "shell_call_output", "call_id": "c", "output": [{"stdout": WORDS, "stderr": "", "outcome": {}}]},
        user({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": WORDS}]}),
        user({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": WORDS}}),
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"q": WORDS}}]},
        {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"q": WORDS}}}]},
        {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"q": "x" * 40_000, "data": "y"}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"result": WORDS}}}]},
        {"role": "model", "parts": [{"text": WORDS}]},
        {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t", "name": "f", "input": {"q": WORDS}}}]},
        user({"toolResult": {"toolUseId": "t", "content": [{"json": {"answer": WORDS}}], "status": "success"}}),
        langchain("human", content=WORDS),
        langchain("tool", content=[{"type": "text", "text": WORDS}], tool_call_id="t", artifact=WORDS),
        langchain("ai", tool_calls=[{"name": "f", "args": {"q": WORDS}, "id": "t", "type": "tool_call"}]),
        {"kind": "request", "parts": [{"content": WORDS, "timestamp": "t", "part_kind": "user-prompt"}]},
        {"kind": "request", "parts": [{"tool_name": "f", "content": {"id": WORDS}, "part_kind": "tool-return"}]},
        {"kind": "response", "parts": [{"tool_name": "f", "args": WORDS, "part_kind": "tool-call"}], "usage": {}},
        {"role": "tool", "content": [{"type": "tool-result", "output": {"type": "json", "value": [WORDS]}}]},
        {"id": "m", "role": "assistant", "parts": [{"type": "tool-f", "state": "x", "input": {}, "output": WORDS}]},
        {"type": "user", "uuid": "u", "message": {"role": "user", "content": WORDS}, "toolUseResult": {"file": WORDS}},
        {"type": "tool_call", "tool_name": "f", "success": True, "content": {"stdout": WORDS}},
        {"role": "user", "anything": [[{"else": WORDS}]]},
    ],
)
def test_text_counts_wherever_it_nests(payload: dict[str, Any]) -> None:
    """40 KB of text cost about 10,000 tokens in the message of any vendor."""
    assert estimate_tokens(payload) == pytest.approx(10_000, rel=0.01)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": DATA_URL, "detail": "high"}},
        {"type": "image_url", "image_url": "https://example.com/" + "a" * 2000},
        {"type": "input_audio", "input_audio": {"data": BASE64, "format": "wav"}},
        {"type": "file", "file": {"file_data": DATA_URL}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "input_image", "image_url": DATA_URL},
        {"type": "input_image", "file_id": "file-1"},
        {"type": "input_file", "file_data": DATA_URL},
        {"type": "input_file", "file_url": "https://example.com/a.pdf"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": BASE64}},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
        {"inlineData": {"mimeType": "image/png", "data": BASE64}},
        {"inline_data": {"mime_type": "image/png", "data": "A" * 40_000}},
        {"fileData": {"mimeType": "video/mp4", "fileUri": "gs://bucket/video.mp4"}},
        {"image": {"format": "png", "source": {"bytes": BASE64}}},
        {"document": {"format": "pdf", "source": {"s3Location": {"uri": "s3://bucket/a.pdf"}}}},
        {"type": "image", "image": BASE64, "mediaType": "image/png"},
        {"type": "file", "url": DATA_URL, "mediaType": "application/pdf"},
        {"type": "image", "source_type": "base64", "data": BASE64, "mime_type": "image/png"},
        {"type": "image", "base64": BASE64, "mime_type": "image/png"},
        {"url": "https://example.com/a.png", "kind": "image-url"},
        {"data": BASE64, "media_type": "image/png", "kind": "binary"},
        {"anything": DATA_URL},
        {"b64_json": BASE64},
    ],
)
def test_image_or_file_costs_flat_tokens(part: dict[str, Any]) -> None:
    """An image, a recording or a file costs the same whatever its size, and the caller chooses how much."""
    assert estimate_tokens(user(part)) == 1 + IMAGE_TOKENS
    assert estimate_tokens({"role": "user", "parts": [part]}, 7) == 1 + 7
    assert estimate_tokens(user({"type": "text", "text": "x" * 400}, part, part)) == 101 + 2 * IMAGE_TOKENS


@pytest.mark.parametrize(
    "payload",
    [
        {"type": "computer_call_output", "output": {"type": "computer_screenshot", "image_url": DATA_URL}},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image", "image_url": DATA_URL}]},
        {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": BASE64},
        user({"type": "tool_result", "content": [{"type": "image", "source": {"type": "base64", "data": BASE64}}]}),
        user(
            {"toolResult": {"toolUseId": "t", "content": [{"image": {"format": "png", "source": {"bytes": BASE64}}}]}}
        ),
        {"role": "tool", "content": [{"output": {"type": "content", "value": [{"type": "media", "data": BASE64}]}}]},
        {"role": "tool", "content": {"img": {"data": BASE64, "media_type": "image/png", "kind": "binary"}}},
        {"content": {"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": BASE64}}]}},
    ],
)
def test_image_inside_result_costs_flat_tokens(payload: dict[str, Any]) -> None:
    """An image in the result of a tool costs the flat tokens and a few for the keys around it."""
    assert IMAGE_TOKENS < estimate_tokens(payload) < IMAGE_TOKENS + 20


HASHES = "\n".join(f"{number:040x}" for number in range(1000))  # 40,999 bytes
PROSE = {"type": "document", "title": "t"}


def gemini_result(response: dict[str, Any]) -> dict[str, Any]:
    """Return a result of Gemini."""
    return {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": response}}]}


@pytest.mark.parametrize("text", [HASHES, WORDS, DATA_URL])
def test_text_of_arguments_and_results_is_never_media(text: str) -> None:
    """A model sees hashes, prose and data URLs in results and arguments as text, whatever keys and types are around them."""
    payloads: list[dict[str, Any]] = [
        {"type": "function_call_output", "call_id": "c", "output": text},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": text}]},
        {"role": "user", "content": [{"type": "text", "text": text}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"data": text}}]},
        {"role": "assistant", "content": [{"type": "tool-result", "toolCallId": "c", "result": text}]},
        user({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": text}}),
        chat_call(text),
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": text}},
        *(gemini_result({**fields, key: text}) for fields in ({}, PROSE) for key in ("result", "data", "body")),
        user({"toolResult": {"toolUseId": "t", "content": [{"json": {**PROSE, "body": text}}]}}),
        {"kind": "request", "parts": [{"part_kind": "tool-return", "content": {**PROSE, "data": text}}]},
        {"role": "tool", "content": [{"type": "tool-result", "output": {"type": "json", "value": {"result": text}}}]},
        {"id": "m", "role": "assistant", "parts": [{"type": "tool-f", "input": {}, "output": {**PROSE, "body": text}}]},
    ]
    for payload in payloads:
        assert estimate_tokens(payload) == pytest.approx(len(text) / 4, rel=0.02), payload


def test_encrypted_text_of_results_and_compactions_counts() -> None:
    """A model gets the pages of a search and the messages of a compaction, so only reasoning is capped."""
    page = {"type": "web_search_result", "url": "https://a.b", "title": "t", "encrypted_content": "x" * 8000}
    found = {"type": "web_search_tool_result", "tool_use_id": "s", "content": [page] * 10}
    assert estimate_tokens({"role": "assistant", "content": [found]}) == pytest.approx(20_000, rel=0.01)
    assert estimate_tokens({"type": "compaction", "encrypted_content": BASE64}) == len(BASE64) // 4 + 1


@pytest.mark.parametrize("key", ["input_schema", "inputSchema", "parameters"])
def test_names_of_parameters_in_a_tool_schema_count(key: str) -> None:
    """A list of tools costs about a quarter of its JSON."""
    fields = {f"parameter_{number}": {"type": "string", "description": "d", "enum": ["a", "b"]} for number in range(40)}
    listed = {"type": "mcp_list_tools", "server_label": "s", "tools": [{"name": "t", key: {"properties": fields}}]}
    assert estimate_tokens(listed) == pytest.approx(len(json.dumps(listed, separators=(",", ":"))) / 4, rel=0.35)


def test_text_of_document_counts_besides_its_flat_cost() -> None:
    """The title of a document and its context are text that a model sees."""
    document = {"type": "document", "source": {"type": "url", "url": "u"}, "title": "x" * 400, "context": "x" * 400}
    assert estimate_tokens(user(document)) == 201 + IMAGE_TOKENS


@pytest.mark.parametrize(
    "part",
    [
        {"type": "thinking", "thinking": "", "signature": BASE64},
        {"type": "redacted_thinking", "data": BASE64},
        {"text": "", "thoughtSignature": BASE64},
        {"reasoningContent": {"redactedContent": BASE64}},
        {"type": "reasoning", "summary": [], "encrypted_content": BASE64},
    ],
)
def test_encrypted_reasoning_costs_little(part: dict[str, Any]) -> None:
    """A signature or an encrypted text of reasoning costs `OPAQUE_TOKENS`, not a quarter of its bytes."""
    assert estimate_tokens({"role": "assistant", "content": [part]}) == 1 + OPAQUE_TOKENS


def test_second_copy_of_call_is_free() -> None:
    """LangChain keeps one call up to three times, and the call counts once."""
    call = {"name": "f", "args": {"q": WORDS}, "id": "t", "type": "tool_call"}
    copy = {"tool_calls": [{"id": "t", "function": {"name": "f", "arguments": WORDS}}]}
    block = {"type": "tool_use", "id": "t", "name": "f", "input": {"q": WORDS}}
    for payload in (
        langchain("ai", tool_calls=[call], additional_kwargs=copy),
        langchain("ai", tool_calls=[call], additional_kwargs=copy, content=[block]),
        langchain("ai", tool_calls=[], additional_kwargs=copy),
    ):
        assert estimate_tokens(payload) == pytest.approx(10_000, rel=0.01)


def test_keys_and_numbers_of_arguments_count() -> None:
    """Arguments cost about as many bytes as their JSON has."""
    arguments = {"metadata": {f"key{number}": number for number in range(1000)}, "flags": [True, None, 1.25] * 100}
    message = {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": arguments}]}
    assert estimate_tokens(message) == pytest.approx(len(str(arguments)) / 4, rel=0.35)


@settings(max_examples=40)
@given(st.dictionaries(st.text() | st.sampled_from(["role", "content", "tool_calls", "type", "output"]), JSON))
def test_any_json_object_has_an_estimate(payload: dict[str, Any]) -> None:
    """Every JSON object has an estimate of at least 1."""
    assert estimate_tokens(payload) >= 1


def test_deep_payload_has_an_estimate() -> None:
    """A payload with 200 levels has an estimate, and a payload with 100,000 levels does not end the process."""
    deep: Any = WORDS
    for _ in range(200):
        deep = [{"content": deep}]
    assert estimate_tokens({"role": "user", "content": deep}) == pytest.approx(10_000, rel=0.05)
    for _ in range(100_000):
        deep = [deep]
    assert estimate_tokens({"role": "user", "content": deep}) == 1


@pytest.mark.parametrize("unit", ["\n", "A", "=", "A\n", "data:", "é"])
def test_estimate_of_long_text_takes_linear_time(unit: str) -> None:
    """A text of 2 MB that looks nearly like base64 is read within a second."""
    start = time.perf_counter()
    estimate_tokens(
        {
            "data": unit * 2_000_000 + "!",
            "content": [{"type": "image", "source": {"type": "url", "x": unit * 2_000_000}}],
        }
    )
    assert time.perf_counter() - start < 1
