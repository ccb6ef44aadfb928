"""Calls that programs of a vendor make, calls that wait over turns, and items that change a conversation's settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from redis_sessions import Session, SessionCache
from tests.support.vendors import VALIDATORS
from tests.transcripts.test_reported_cases import user

Payload = dict[str, Any]
PROGRAM = {"type": "program", "id": "p1", "call_id": "P", "code": "await f()", "fingerprint": "x"}
PROGRAM_OUTPUT = {"type": "program_output", "id": "p2", "call_id": "P", "result": "2", "status": "completed"}
BY_PROGRAM = {"caller": {"type": "program", "caller_id": "P"}}
EXECUTION = {"type": "server_tool_use", "id": "E", "name": "code_execution", "input": {"code": "f()"}}


def call(id: str, **fields: Any) -> Payload:
    """Return a call of a function."""
    return {"type": "function_call", "call_id": id, "name": "f", "arguments": "{}", **fields}


def output(id: str, **fields: Any) -> Payload:
    """Return the output of a function."""
    return {"type": "function_call_output", "call_id": id, "output": f"out of {id}", **fields}


def says(text: str) -> Payload:
    """Return an answer of the model."""
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "id": f"m {text}", "role": "assistant", "status": "completed", "content": content}


def assistant(*blocks: Payload) -> Payload:
    """Return a message of Anthropic's API."""
    return {"role": "assistant", "content": list(blocks)}


def use(id: str) -> Payload:
    """Return a call that a code execution makes."""
    caller = {"type": "code_execution_20260120", "tool_id": "E"}
    return {"type": "tool_use", "id": id, "name": "f", "input": {}, "caller": caller}


def results(*ids: str) -> Payload:
    """Return a message with the results of calls."""
    return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": "1"} for id in ids]}


RESPONSES = [
    user("go"), {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "x"}, PROGRAM,
    call("a", **BY_PROGRAM), output("a"),
    {"type": "mcp_call", "id": "mcp", "name": "g", "server_label": "s", "arguments": "{}", "output": "1", **BY_PROGRAM},
    call("b", **BY_PROGRAM), call("c", **BY_PROGRAM), output("c"), output("b", **BY_PROGRAM), PROGRAM_OUTPUT,
    says("Done."), user("Thanks"),
]  # fmt: skip
ANTHROPIC = [
    user("go"), assistant({"type": "text", "text": "I count."}, EXECUTION, use("a"), use("b")), results("a", "b"),
    assistant(use("c")), results("c"),
    assistant({"type": "code_execution_tool_result", "tool_use_id": "E", "content": {}}, {"type": "text", "text": "2"}),
    user("Thanks"),
]  # fmt: skip
CONVERSATIONS = {"openai_responses": RESPONSES, "anthropic": ANTHROPIC}


def window(session: Session) -> list[Payload]:
    """Return the payloads of the whole window."""
    return session.context().payloads


def check_windows(session: Session, format: str) -> None:
    """Check the windows of a session at some budgets."""
    for budget in (1, 8, 20, 40, 80, 10_000):
        for options in ({}, {"abandoned": "answer"}, {"start": "user"}):
            found = session.context(budget, **options).payloads  # type: ignore[arg-type]
            assert not found or VALIDATORS[format](found) == [], (budget, options, found)


@pytest.mark.parametrize("format", CONVERSATIONS)
def test_program_and_what_it_made_stay_together(cache: SessionCache, format: str) -> None:
    """Calls that a program makes one after the other stand behind the program and before its output, in their order."""
    session = cache.create(format=format)
    session.append(*CONVERSATIONS[format])
    assert window(session) == CONVERSATIONS[format]
    check_windows(session, format)


@pytest.mark.parametrize("format", CONVERSATIONS)
def test_program_that_waits_for_a_result_is_in_the_window(cache: SessionCache, format: str) -> None:
    """The request that brings the result of a program's call has the program, in each round."""
    session = cache.create(format=format)
    for at, payload in enumerate(CONVERSATIONS[format]):
        session.append(payload)
        check_windows(session, format)
        if payload.get("type") == "function_call_output" or payload in (results("a", "b"), results("c")):
            unanswered = call("b", **BY_PROGRAM) if payload == output("c") else None
            assert window(session) == [one for one in CONVERSATIONS[format][: at + 1] if one != unanswered]


@pytest.mark.parametrize("format", CONVERSATIONS)
def test_windows_are_valid_whatever_comes_between(cache: SessionCache, format: str) -> None:
    """A message of another worker may come at any time, and any call may be given up."""
    conversation: Sequence[Payload] = CONVERSATIONS[format]
    for at in range(1, len(conversation)):
        session = cache.create(format=format)
        for payload in [*conversation[:at], user("Hurry!")]:
            session.append(payload)
        check_windows(session, format)
        given_up = session.fork() if at % 2 else session
        given_up.abandon_calls()
        for payload in conversation[at:]:
            given_up.append(payload)
            check_windows(given_up, format)


@pytest.mark.parametrize("format", CONVERSATIONS)
@pytest.mark.parametrize("cap", [2, 3, 4, 6])
def test_parts_of_a_program_that_the_cap_cut_are_in_no_window(cache: SessionCache, format: str, cap: int) -> None:
    """Parts that a program made leave the window with the program, also with the cap policy that cuts groups."""
    session = cache.create(format=format, max_messages=cap, cap_policy="oldest")
    for payload in CONVERSATIONS[format][:1] + CONVERSATIONS[format][2:]:
        session.append(payload)
        check_windows(session, format)


@pytest.mark.parametrize("format", CONVERSATIONS)
def test_windows_are_valid_whatever_is_lost(cache: SessionCache, format: str) -> None:
    """Any message of a program's run may be lost: a synthetic result stands behind its call, and before what came next."""
    conversation = CONVERSATIONS[format]
    for at in range(1, len(conversation)):
        session = cache.create(format=format)
        for payload in conversation[:at] + conversation[at + 1 :]:
            if payload.get("type") != "reasoning":
                session.append(payload)
                check_windows(session, format)


def test_reasoning_leaves_with_a_call_whose_program_is_gone(cache: SessionCache) -> None:
    """A reasoning item is not left behind in front of a call that leaves because its program is not in the window."""
    session = cache.create()
    thought = {"type": "reasoning", "id": "rs", "summary": []}
    session.append(user("go"), thought, call("a", **BY_PROGRAM), output("a"), says("Done."))
    assert window(session) == [user("go"), says("Done.")]


def test_async_call_waits_in_the_window_over_turns(cache: SessionCache) -> None:
    """A window keeps an async call without an output, so that the model does not make the call again."""
    session = cache.create()
    talk = [user("1"), call("slow", **{"async": True}), says("So far"), user("2"), call("b"), output("b"), says("3")]
    for payload in talk:
        session.append(payload)
    assert window(session) == talk
    check_windows(session, "openai_responses")
    session.append(output("slow"))
    assert window(session) == [*talk[:2], output("slow"), *talk[2:]]
    session.append(user("4"), call("never", **{"async": True}), says("5"))
    session.abandon_calls()
    assert window(session)[-2:] == [user("4"), says("5")]


def test_later_calls_do_not_move_before_what_the_user_said(cache: SessionCache) -> None:
    """A call that was never answered does not draw later calls to its place."""
    for between in ([], [says("I lost my worker")]):
        session = cache.create()
        session.append(user("1"), call("lost"), *between, user("2"), call("b"), output("b"), says("Done."))
        assert window(session) == [user("1"), *between, user("2"), call("b"), output("b"), says("Done.")]


def test_settings_of_the_conversation_are_in_the_window(cache: SessionCache) -> None:
    """Tools and settings that an item adds are in the window, and two updates next to each other become one."""
    session = cache.create()
    low, plain = {"reasoning": {"effort": "low"}}, {"text": {"format": {"type": "text"}}}
    tools = {"type": "additional_tools", "role": "developer", "tools": [{"type": "function", "name": "f"}]}
    session.append(user("1"), {"type": "configuration_update", **low}, call("lost"), tools, user("2"))
    assert window(session) == [user("1"), {"type": "configuration_update", **low}, tools, user("2")]
    session.append({"type": "configuration_update", **plain}, call("lost 2"), {"type": "configuration_update", **low})
    assert window(session)[-2:] == [user("2"), {"type": "configuration_update", **plain, **low}]
    assert session.context(system="keep").payloads == window(session)
