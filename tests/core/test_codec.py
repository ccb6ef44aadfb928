"""The wire format and the rules of JSON."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redis_sessions import InvalidInput, Message, estimate_tokens
from redis_sessions._core.protocol.codec import call_hash, decode, encode
from redis_sessions._core.protocol.keys import session_keys

KEYS = session_keys("sessions", "s")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def stored_and_read(payload: dict[str, Any]) -> Message:
    """Return the message of a payload that was encoded and decoded."""
    return decode(b"8V`R-!!0" + encode(payload, "b", estimate_tokens, KEYS).entry, 7, "incarnation", KEYS)


def header(message: Any) -> bytes:
    """Return the entry of a message without its payload."""
    return encode(message, "b", lambda _: 1, KEYS).entry.partition(b"{")[0]


def assistant_call(*ids: str) -> dict[str, Any]:
    """Return an assistant message that makes calls with the given IDs."""
    function = {"name": "find", "arguments": "{}"}
    calls = [{"id": id, "type": "function", "function": function} for id in ids]
    return {"role": "assistant", "content": None, "tool_calls": calls}


@given(st.dictionaries(st.text(), JSON))
def test_any_json_object_is_returned_equal(fields: dict[str, Any]) -> None:
    """A JSON object with empty lists, huge integers, lone surrogates or any order of keys is returned equal."""
    payload = {**fields, "role": "user"}
    back = stored_and_read(payload).payload
    assert back == payload
    assert list(back) == list(payload)


@pytest.mark.parametrize(
    "payload",
    [
        {"role": "user", "x": math.nan},
        {"role": "user", "x": math.inf},
        {"role": "user", "x": {1: 2}},
        {"role": "user", "x": (1, 2)},
        {"role": "user", "x": {1, 2}},
        {"role": "user", "x": b"bytes"},
        {"role": "user", "x": object()},
    ],
)
def test_value_that_json_would_change_is_refused(payload: dict[str, Any]) -> None:
    """A payload raises InvalidInput when JSON would change it: NaN, keys that are not text, tuples, sets, bytes, objects."""
    with pytest.raises(InvalidInput):
        encode(payload, "b", estimate_tokens, KEYS)


def test_deeply_nested_payload_is_refused() -> None:
    """A payload that is nested too deep raises InvalidInput and does not end the process."""
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(InvalidInput):
        encode({"role": "user", "content": deep}, "b", estimate_tokens, KEYS)


def test_payload_that_contains_itself_is_refused() -> None:
    """A payload that contains itself raises InvalidInput."""
    loop: dict[str, Any] = {"role": "user"}
    loop["self"] = loop
    with pytest.raises(InvalidInput):
        encode(loop, "b", estimate_tokens, KEYS)


def test_stored_message_begins_with_readable_header() -> None:
    """A stored message begins with time, kind, flags and tokens, as lua/README.md describes."""
    encoded = encode(Message("user", "Hello world", pinned=True), "job-7", estimate_tokens, KEYS)
    assert b"8V`R-!!0" + encoded.entry == b'8V`R-!!0uA3 job-7 {"role":"user","content":"Hello world"}'
    assert encoded.format == ""


@pytest.mark.parametrize(
    ("id", "hash"),
    [
        ("", "da39a3ee"),
        ("call_1", "d2d32a15"),
        ("ü 日本", "18dc7f7c"),
        ("\ud800", "10db70ec"),
        ("call_1/3", "d2d32a17"),
        ("a/1", "2cd25db4"),
    ],
)
def test_call_id_has_fixed_hash(id: str, hash: str) -> None:
    """The hash of a call ID is 8 lower case letters and digits, and never changes, because messages are stored with the hash."""
    assert call_hash(id) == hash


def test_calls_and_results_are_facts_of_the_header() -> None:
    """A header has the hash of each call that the message makes or answers, once, and flag 2 says so."""
    one, two = call_hash("c1").encode(), call_hash("c2").encode()
    assert header(assistant_call("c1", "c2", "c1")) == b"aB1 b +" + one + b"+" + two + b" "
    assert header({"role": "tool", "tool_call_id": "c1", "content": "x"}) == b"tF1 b -" + one + b" "
    results = [{"type": "tool_result", "tool_use_id": id, "content": "x"} for id in ("c1", "c2")]
    assert header({"role": "user", "content": results}) == b"tF1 b -" + one + b"-" + two + b" "
    text = {"type": "text", "text": "go on"}
    assert header({"role": "user", "content": [*results, text]}) == b"uB1 b -" + one + b"-" + two + b" "
    assert header({"id": "rs_1", "type": "reasoning", "summary": []}) == b"rB1 b ~ "
    assert header(Message(payload=assistant_call("c1"), pinned=True)) == b"aC1 b +" + one + b" "


def test_result_without_call_id_continues_the_group() -> None:
    """A tool message that names no call has flag 4, because it answers whatever call precedes it."""
    assert header(Message("tool", "x")) == b"tD1 b "
    assert header(Message.tool_call("find")) == b"c@1 b "


def test_payload_of_one_vendor_has_its_format() -> None:
    """An encoded message names its format, and has no name for a message that many vendors share."""
    formats = [
        encode(payload, "b", estimate_tokens, KEYS).format
        for payload in (assistant_call("c1"), {"type": "reasoning", "id": "rs_1", "summary": []}, {"role": "user"}, {})
    ]
    assert formats == ["openai_chat", "openai_responses", "", ""]


def test_message_with_too_many_calls_is_refused() -> None:
    """A message with 257 calls raises InvalidInput, and a message with 256 calls does not."""
    encode(assistant_call(*map(str, range(256))), "b", estimate_tokens, KEYS)
    with pytest.raises(InvalidInput, match="opens 257 tool calls, a message may have at most 256"):
        encode(assistant_call(*map(str, range(257))), "b", estimate_tokens, KEYS)


def test_stored_marks_are_read() -> None:
    """A message that was read knows its facts, and whether the message continues a group, is late, or has an abandoned call."""
    payload = b'{"role":"tool","content":"a b"}'
    late = decode(b"8V`R-!!0tG12 b ?aaaaaaaa-bbbbbbbb " + payload, 7, "i", KEYS)
    assert (late.facts, late.continues_group, late.pinned, late.tokens) == ("?aaaaaaaa-bbbbbbbb", True, True, 12)
    assert (late.is_late, late.has_abandoned_call, late.content) == (True, False, "a b")
    abandoned = decode(b"8V`R-!!0aB1 b !aaaaaaaa " + payload, 7, "i", KEYS)
    assert (abandoned.is_late, abandoned.has_abandoned_call, abandoned.continues_group) == (False, True, False)
    summary = decode(b"8V`R-!!0uH1 b " + payload, 7, "i", KEYS)
    assert (summary.facts, summary.continues_group, summary.pinned) == ("", False, False)


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 1), ("abc", 1), ("abcd", 2), ("Hello world", 3), ("é" * 4, 3), ("日本語", 3)]
)
def test_default_counter_returns_quarter_of_bytes_plus_one(text: str, tokens: int) -> None:
    """The default counter takes a quarter of the UTF-8 bytes, not of the characters, and adds 1 (S2 1-05, 1-06)."""
    assert estimate_tokens({"content": text}) == tokens


@pytest.mark.parametrize(
    ("payload", "role", "type"),
    [
        ({"role": "developer"}, "system", "system_message"),
        ({"role": "human"}, "user", "user_message"),
        ({"type": "ai"}, "assistant", "assistant_message"),
        ({"role": "model"}, "assistant", "assistant_message"),
        ({"role": "function"}, "tool", "tool_message"),
        ({"type": "function_call_output"}, "tool", "tool_message"),
        ({"type": "tool_call", "tool_name": "x"}, "tool", "tool_call"),
        ({"type": "user_message"}, "user", "user_message"),
    ],
)
def test_role_of_other_framework_gives_same_kind(payload: dict[str, Any], role: str, type: str) -> None:
    """A message with the role of another framework has the matching kind, and its payload stays as it is."""
    message = stored_and_read(payload)
    assert (message.role, message.type, message.payload) == (role, type, payload)


def test_payload_that_no_format_knows_is_stored_as_unknown() -> None:
    """A payload without a known role or type is stored with the role system and the type unknown."""
    message = stored_and_read({"parts": []})
    assert (message.role, message.type, message.payload) == ("system", "unknown", {"parts": []})
    for payload in ("text", ["a"], 7, None):
        with pytest.raises(InvalidInput, match="message"):
            encode(payload, "b", estimate_tokens, KEYS)


def test_role_of_message_wins_over_role_of_payload() -> None:
    """A role that the caller names wins over the role and the type of the payload."""
    payloads: list[dict[str, Any]] = [{"parts": []}, {"role": "user"}, {"type": "tool_call"}]
    for payload in payloads:
        assert Message("assistant", payload=payload).type == "assistant_message"
        assert header(Message("assistant", payload=payload)) == b"a@1 b "
    assert Message("reasoning", payload={}).role == "assistant"
