"""The wire format and the rules of JSON."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redis_sessions import InvalidInput, Message, estimate_tokens
from redis_sessions._core.codec import decode, encode, from_json, to_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def through(payload: dict[str, Any]) -> Message:
    return decode(b"1763700000000" + encode(payload, "b", estimate_tokens), 7, "life")


@given(st.dictionaries(st.text(), JSON))
def test_any_json_object_comes_back_equal(fields: dict[str, Any]) -> None:
    """Also with empty lists, integers beyond 2^53, lone surrogates and any order of keys."""
    payload = {**fields, "role": "user"}
    back = through(payload).payload
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
def test_what_json_cannot_give_back_is_refused(payload: dict[str, Any]) -> None:
    """NaN, keys that are no text, tuples, sets, bytes and objects: refused, never changed silently."""
    with pytest.raises(InvalidInput):
        encode(payload, "b", estimate_tokens)


def test_a_payload_nested_too_deep_is_refused() -> None:
    """Recursion ends in a refusal, not in a crash."""
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(InvalidInput):
        encode({"role": "user", "content": deep}, "b", estimate_tokens)


def test_a_cycle_is_refused() -> None:
    """A payload that contains itself is no JSON."""
    loop: dict[str, Any] = {"role": "user"}
    loop["self"] = loop
    with pytest.raises(InvalidInput):
        encode(loop, "b", estimate_tokens)


def test_the_header_can_be_read_without_decoding_the_payload() -> None:
    """Time, kind, flags, tokens: as lua/README.md has it."""
    element = b"1763700000000" + encode(Message("user", "Hello world", pinned=True), "job-7", estimate_tokens)
    assert element == b'1763700000000uA3 job-7 {"role":"user","content":"Hello world"}'


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 1), ("abc", 1), ("abcd", 2), ("Hello world", 3), ("é" * 4, 3), ("日本語", 3)]
)
def test_the_default_counter_takes_a_quarter_of_the_bytes_plus_one(text: str, tokens: int) -> None:
    """S2 1-05, 1-06: UTF-8 bytes, not characters."""
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
def test_roles_of_other_frameworks_are_understood(payload: dict[str, Any], role: str, type: str) -> None:
    """The payload stays as it is; only its kind is derived."""
    message = through(payload)
    assert (message.role, message.type, message.payload) == (role, type, payload)


def test_a_payload_without_a_role_needs_one_beside_it() -> None:
    """The refusal says how."""
    with pytest.raises(InvalidInput, match="Message\\(role="):
        encode({"parts": []}, "b", estimate_tokens)
    assert Message("user", payload={"parts": []}).role == "user"


def test_json_helpers_mirror_each_other() -> None:
    """What to_json writes, from_json reads."""
    assert from_json(to_json({"a": [1.5, None]}, "x")) == {"a": [1.5, None]}
