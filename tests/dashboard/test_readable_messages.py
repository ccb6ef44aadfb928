"""Messages of each vendor as a person reads them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redis_sessions import Message
from redis_sessions.dashboard.text import as_json, code, short_id, show_hidden, span
from redis_sessions.dashboard.transcript import MAX_SHOWN, items_of

CALL = '{"city": "Paris"}'
INPUT = {"city": "Paris"}
TEXT = {"type": "text", "text": "I look."}
VENDORS: dict[str, list[dict[str, Any]]] = {
    "openai_chat": [
        {
            "role": "assistant", "content": "I look.",
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "find", "arguments": CALL}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "sunny"},
    ],
    "openai_responses": [
        {"type": "function_call", "call_id": "c", "name": "find", "arguments": CALL},
        {"type": "function_call_output", "call_id": "c", "output": "sunny"},
    ],
    "anthropic": [
        {"role": "assistant", "content": [TEXT, {"type": "tool_use", "id": "c", "name": "find", "input": INPUT}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "sunny"}]},
    ],
    "bedrock": [
        {"role": "assistant", "content": [{"toolUse": {"toolUseId": "c", "name": "find", "input": INPUT}}]},
        {"role": "user", "content": [{"toolResult": {"toolUseId": "c", "content": [{"text": "sunny"}]}}]},
    ],
    "gemini": [
        {"role": "model", "parts": [{"functionCall": {"id": "c", "name": "find", "args": {"city": "Paris"}}}]},
        {"role": "user", "parts": [{"functionResponse": {"id": "c", "name": "find", "response": {"result": "sunny"}}}]},
    ],
    "pydantic_ai": [
        {"kind": "response", "parts": [{"part_kind": "tool-call", "tool_name": "find", "args": CALL, "tool_call_id": "c"}]},
        {"kind": "request", "parts": [{"part_kind": "tool-return", "content": "sunny", "tool_call_id": "c"}]},
    ],
}  # fmt: skip


@pytest.mark.parametrize("vendor", VENDORS)
def test_calls_and_results_are_folded_with_the_name_of_the_tool(vendor: str) -> None:
    """Whatever the vendor, a call and its result are parts that name the tool."""
    call, result = items_of([Message(payload=one) for one in VENDORS[vendor]])
    assert [(one.kind, one.title) for one in call.parts] == [("call", "call of find")]
    assert '"city": "Paris"' in call.parts[0].body
    assert [(one.kind, one.title) for one in result.parts] == [("result", "result of find")]
    assert "sunny" in result.parts[0].body
    assert "find" not in call.text
    assert result.text == ""


def test_reasoning_is_folded() -> None:
    """Reasoning is a part, and the answer is the text."""
    content = [{"type": "thinking", "thinking": "hm", "signature": "x"}, {"type": "text", "text": "Yes."}]
    item = items_of([Message(payload={"role": "assistant", "content": content})])[0]
    assert (item.text, [(one.kind, one.body) for one in item.parts]) == ("Yes.", [("thinking", "hm")])


def test_unknown_payload_is_shown_as_json() -> None:
    """A message without readable text is its JSON."""
    item = items_of([Message(payload={"some": {"thing": [1, 2]}})])[0]
    assert item.parts[0].kind == "data"
    assert '"thing"' in item.parts[0].body


def test_many_large_messages_are_cut_more() -> None:
    """All messages of a page together have a bounded number of characters, and the newest one is shown best."""
    items = items_of([Message("user", "x" * 100_000) for _ in range(50)])
    assert sum(len(one.text) for one in items) < 85_000
    assert len(items[-1].text) == MAX_SHOWN
    assert all(one.is_cut for one in items)


def test_arguments_that_nest_deeper_than_a_parser_goes_are_shown_as_text() -> None:
    """A model can write any text as the arguments of a call, also one on which the parser gives up."""
    call = {"id": "c", "type": "function", "function": {"name": "find", "arguments": "[" * 100_000}}
    (item,) = items_of([Message(payload={"role": "assistant", "tool_calls": [call]})])
    assert item.parts[0].body == "[" * (MAX_SHOWN // 2)
    assert item.is_cut


class CountedList(list[Any]):
    """A list that counts how often one of its members is asked for."""

    asked = 0

    def __iter__(self) -> Iterator[Any]:
        """Yield and count the members."""
        for one in super().__iter__():
            self.asked += 1
            yield one


def test_only_the_shown_part_of_a_value_becomes_text() -> None:
    """A deep value of 1 MB has 200 MB with its indents, so a page makes the beginning only."""
    value = CountedList([[[[]]]] * 100_000)
    text = as_json(value, 100)
    assert (len(text), text[-1]) == (101, "…")
    assert value.asked < 100
    assert as_json([1], 100) == "[\n  1\n]"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["type", "text", "content", "parts", "tool_calls", "function", "name", "id", "args", "role", "x"]),
        inner, max_size=4,
    ),
    max_leaves=15,
)  # fmt: skip


@settings(max_examples=300)
@given(
    st.dictionaries(st.sampled_from(["type", "role", "content", "parts", "tool_calls", "function_call"]), json_values)
)
def test_no_payload_breaks_a_page(payload: dict[str, Any]) -> None:
    """Any JSON object can be shown."""
    assert len(items_of([Message(payload=payload)])) == 1


def test_hidden_characters_are_shown() -> None:
    """Control, direction and invisible characters become escapes. Letters, emoji with joiners and line ends stay."""
    assert show_hidden("a\x1b[1m\u202eb\u2066\u200b\ufeff\U000e0041\x00\r") == (
        "a\\x1b[1m\\u202eb\\u2066\\u200b\\ufeff\\U000e0041\\x00\\r"
    )
    assert show_hidden("ä 日本 \u05d0 👩\u200d🚀 a\nb\r\nc\td") == "ä 日本 \u05d0 👩\u200d🚀 a\nb\nc\td"


def test_backticks_become_code() -> None:
    """Text between backticks is marked, all text is escaped, and a single backtick stays."""
    assert code("use `a <b>\x1b` & go") == "use <code>a &lt;b&gt;\\x1b</code> &amp; go"
    assert code("one ` <i>") == "one ` &lt;i&gt;"


def test_short_texts_keep_what_tells_them_apart() -> None:
    """A short ID keeps its end, and a time has two units."""
    assert short_id("agent:researcher:subagent:0123456789abcdef") == "agent:researche…456789abcdef"
    assert [span(one) for one in (0.04, 9.96, 65, 3600, 90061, None)] == [
        "0.0 s", "10.0 s", "1 min 5 s", "1 h", "1 d 1 h", "",
    ]  # fmt: skip
