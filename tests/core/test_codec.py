"""The wire format and the rules of JSON."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redis_sessions import InvalidInput, Message, estimate_tokens
from redis_sessions._core.protocol.codec import decode, encode, from_json, to_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def stored_and_read(payload: dict[str, Any]) -> Message:
    """Return the message of a payload that was encoded and decoded."""
    return decode(b"1763700000000" + encode(payload, "b", estimate_tokens), 7, "incarnation")


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
        encode(payload, "b", estimate_tokens)


def test_deeply_nested_payload_is_refused() -> None:
    """A payload that is nested too deep raises InvalidInput and does not end the process."""
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(InvalidInput):
        encode({"role": "user", "content": deep}, "b", estimate_tokens)


def test_payload_that_contains_itself_is_refused() -> None:
    """A payload that contains itself raises InvalidInput."""
    loop: dict[str, Any] = {"role": "user"}
    loop["self"] = loop
    with pytest.raises(InvalidInput):
        encode(loop, "b", estimate_tokens)


def test_stored_message_begins_with_readable_header() -> None:
    """A stored message begins with time, kind, flags and tokens, as lua/README.md describes."""
    element = b"1763700000000" + encode(Message("user", "Hello world", pinned=True), "job-7", estimate_tokens)
    assert element == b'1763700000000uA3 job-7 {"role":"user","content":"Hello world"}'


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


def test_payload_without_role_needs_role_of_message() -> None:
    """A payload without a role raises InvalidInput, and the error says how to give a role."""
    with pytest.raises(InvalidInput, match="Message\\(role="):
        encode({"parts": []}, "b", estimate_tokens)
    assert Message("user", payload={"parts": []}).role == "user"


def test_json_helpers_are_inverse() -> None:
    """A value that to_json wrote is returned by from_json."""
    assert from_json(to_json({"a": [1.5, None]}, "x")) == {"a": [1.5, None]}
