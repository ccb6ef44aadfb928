"""Messages of Bedrock's Converse API: recognition, results in user messages, and roles that alternate."""

from __future__ import annotations

from typing import Any

import pytest

import redis_sessions.formats  # noqa: F401 registers the formats
from redis_sessions.formats.bedrock import BedrockFormat
from redis_sessions.models.formats import Facts, recognise

BEDROCK = BedrockFormat()
REASONING = {"reasoningContent": {"reasoningText": {"text": "Hm", "signature": "s"}}}
CACHE_POINT = {"cachePoint": {"type": "default"}}
DOCUMENT = {"document": {"format": "txt", "name": "d", "source": {"bytes": "eA=="}}}


def text(value: str) -> dict[str, Any]:
    """Return a text block."""
    return {"text": value}


def use(id: Any, **fields: Any) -> dict[str, Any]:
    """Return a block with a call."""
    return {"toolUse": {"toolUseId": id, "name": "search", "input": {}, **fields}}


def result(id: Any) -> dict[str, Any]:
    """Return a block with a result."""
    return {"toolResult": {"toolUseId": id, "content": [{"text": "1"}]}}


def assistant(*blocks: Any) -> dict[str, Any]:
    """Return an assistant message."""
    return {"role": "assistant", "content": list(blocks)}


def user(*blocks: Any) -> dict[str, Any]:
    """Return a user message."""
    return {"role": "user", "content": list(blocks)}


def all_but(*ids: str) -> Any:
    """Return a function that keeps every ID except some."""
    return lambda id: id not in ids


def everything(_: str) -> bool:
    """Keep every ID."""
    return True


@pytest.mark.parametrize(
    ("payload", "facts"),
    [
        (user(text("hi")), Facts("user_message")),
        (user(text("read this"), DOCUMENT), Facts("user_message")),
        (assistant(text("hi")), Facts("assistant_message")),
        (assistant(REASONING, text("Let me see"), use("1"), use("2")), Facts("assistant_message", ("1", "2"))),
        (user(result("1"), result("2")), Facts("tool_message", (), ("1", "2"))),
        (user(result("1"), CACHE_POINT), Facts("tool_message", (), ("1",))),
        (user(result("1"), text("and now?")), Facts("user_message", (), ("1",))),
        (user(result("1"), {"guardContent": {"text": {"text": "x"}}}), Facts("user_message", (), ("1",))),
        (assistant(REASONING), Facts("reasoning", binds_next=True)),
        (assistant(use("1"), use("1")), Facts("assistant_message", ("1",))),
        (assistant(use(7)), Facts("assistant_message", ("7",))),
    ],
)
def test_message_gives_facts_of_its_blocks(payload: dict[str, Any], facts: Facts) -> None:
    """The kind follows from the role and the blocks, and an ID becomes text."""
    found, own = recognise(payload)
    assert found is not None
    assert (found.name, own) == ("bedrock", facts)


def test_call_that_server_ran_opens_nothing() -> None:
    """A call whose result is in the same message, or that Bedrock runs, needs no result from the caller."""
    assert BEDROCK.facts(assistant(use("1"), result("1"), text("x"))) == Facts("assistant_message")
    assert BEDROCK.facts(assistant(use("1", type="server_tool_use"), use("2"))) == Facts("assistant_message", ("2",))


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"role": "user", "content": "hi"},
        {"role": "user", "content": []},
        {"role": "user", "content": ["hi", None]},
        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
        {"role": "user", "content": [{"foo": 1}]},
        {"role": "tool", "content": [{"text": "hi"}]},
        {"role": ["user"], "content": [{"text": "hi"}]},
        {"role": "user", "content": {"text": "hi"}},
    ],
)
def test_payload_of_another_format_gives_no_facts(payload: dict[str, Any]) -> None:
    """A payload without Converse blocks is left to the other formats."""
    assert BEDROCK.facts(payload) is None


@pytest.mark.parametrize("block", [{"toolUse": "1"}, {"toolUse": {}}, {"toolUse": {"toolUseId": None}}, None, "x", []])
def test_broken_block_is_ignored(block: Any) -> None:
    """A call or result that nothing can match has no ID."""
    payload = assistant(text("Hi"), block, use("1"))
    assert BEDROCK.facts(payload) == Facts("assistant_message", ("1",))
    assert BEDROCK.keep(payload, all_but("1"), everything) == assistant(text("Hi"), block)
    assert BEDROCK.text(payload) == "Hi"


def test_text_includes_cited_text() -> None:
    """A person reads text blocks and the text that has citations, one a line."""
    cited = {"citationsContent": {"content": [{"text": "two"}], "citations": []}}
    assert BEDROCK.text(assistant(REASONING, text("One"), use("1"), cited)) == "One\ntwo"
    assert BEDROCK.text({"content": None}) == ""


def test_payload_stays_same_object_if_everything_is_kept() -> None:
    """A message without removed blocks is not copied."""
    for payload in (assistant(use("1")), user(result("1")), assistant(REASONING), user(text("hi"))):
        assert BEDROCK.keep(payload, everything, everything) is payload


@pytest.mark.parametrize(
    "payload",
    [
        assistant(use("1")),
        assistant(REASONING, use("1")),
        assistant(REASONING, text(" "), use("1"), CACHE_POINT),
        user(result("1")),
        user(result("1"), CACHE_POINT),
    ],
)
def test_message_without_content_beyond_removed_use_is_gone(payload: dict[str, Any]) -> None:
    """Reasoning, cache points and blank text may not stand alone."""
    assert BEDROCK.keep(payload, all_but("1"), all_but("1")) is None


def test_other_blocks_of_message_remain() -> None:
    """Only the blocks with removed IDs leave, and reasoning that led to nothing else."""
    payload = assistant(REASONING, text("Hi"), use("1"), use("2"))
    assert BEDROCK.keep(payload, all_but("1"), everything) == assistant(REASONING, text("Hi"), use("2"))
    assert BEDROCK.keep(payload, all_but("1", "2"), everything) == assistant(REASONING, text("Hi"))
    assert BEDROCK.keep(assistant(text("Hi"), REASONING, use("1")), all_but("1"), everything) == assistant(text("Hi"))
    assert BEDROCK.keep(user(result("1"), text("Hi")), everything, all_but("1")) == user(text("Hi"))


def test_neighbours_of_one_role_are_merged_with_results_first() -> None:
    """The joined list alternates between the roles."""
    payloads = [
        user(text("a")),
        user(text("b")),
        assistant(use("1")),
        assistant(use("2")),
        user(result("2")),
        user(text("c")),
        user(result("1"), text("d")),
        assistant(text("e")),
    ]
    assert BEDROCK.join(payloads) == [
        user(text("a"), text("b")),
        assistant(use("1"), use("2")),
        user(result("2"), result("1"), text("c"), text("d")),
        assistant(text("e")),
    ]


def test_join_leaves_valid_payloads_and_other_formats_alone() -> None:
    """A payload of another format is not merged, and nothing is copied without need."""
    payloads = [user(text("a")), {"role": "user", "content": "plain"}, user(text("b")), assistant(text("c"))]
    joined = BEDROCK.join(payloads)
    assert len(joined) == len(payloads)
    assert all(one is other for one, other in zip(joined, payloads, strict=True))


def test_messages_of_library_have_converse_shape() -> None:
    """A user message and a result are messages whose facts are as expected."""
    assert BEDROCK.user_message("Hi") == user(text("Hi"))
    assert BEDROCK.call_result("1", "search", "1") == user(result("1"))
    assert BEDROCK.facts(BEDROCK.call_result("1", "search", "1")) == Facts("tool_message", (), ("1",))
