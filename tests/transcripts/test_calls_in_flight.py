"""Calls that the vendor or its SDK runs itself: they end a window without a result, and nothing else may answer them."""

from __future__ import annotations

from typing import Any

import pytest

from redis_sessions import Session, SessionCache

Payload = dict[str, Any]
TEXT = {"type": "text", "text": "One moment."}
SEARCH = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}
CALL = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "belt 4"}]}
ASKED = {
    "role": "assistant",
    "content": [
        {"type": "tool-call", "toolCallId": "a", "toolName": "f", "input": {}},
        {"type": "tool-approval-request", "approvalId": "p", "toolCallId": "a"},
    ],
}
APPROVED = {"role": "tool", "content": [{"type": "tool-approval-response", "approvalId": "p", "approved": True}]}
DONE = {
    "role": "tool",
    "content": [{"type": "tool-result", "toolCallId": "a", "toolName": "f", "output": {"type": "text", "value": "x"}}],
}


def user(text: str) -> Payload:
    """Return a user message."""
    return {"role": "user", "content": text}


def assistant(*blocks: Payload) -> Payload:
    """Return an assistant message with blocks."""
    return {"role": "assistant", "content": list(blocks)}


def windows(session: Session) -> list[list[Payload]]:
    """Return the payloads of the windows that leave out and that answer calls without a result."""
    return [session.context().payloads, session.context(abandoned="answer").payloads]


def test_paused_turn_is_sent_back_as_it_is(cache: SessionCache) -> None:
    """A call that the API paused with ends the window, and its result comes with the next response."""
    session = cache.create()
    session.append(user("q"), assistant(TEXT, SEARCH))
    assert windows(session) == [[user("q"), assistant(TEXT, SEARCH)]] * 2
    session.append(assistant(FOUND, TEXT), user("thanks"))
    assert session.context().payloads == [user("q"), assistant(TEXT, SEARCH), assistant(FOUND, TEXT), user("thanks")]
    assert not any(message.is_late for message in session.history())


def test_call_of_the_api_waits_for_results_of_the_caller(cache: SessionCache) -> None:
    """The API runs its own call when the caller returns the results of the other calls, so the window has the call."""
    session = cache.create()
    session.append(user("q"), assistant(TEXT, SEARCH, CALL), RESULT)
    assert windows(session) == [[user("q"), assistant(TEXT, SEARCH, CALL), RESULT]] * 2


@pytest.mark.parametrize("ends", ["user", "abandoned"])
def test_call_of_the_api_that_does_not_end_the_window_leaves(cache: SessionCache, ends: str) -> None:
    """No window answers a call of the API, which would refuse the answer, and none has the call before a user message."""
    session = cache.create()
    session.append(user("q"), assistant(TEXT, SEARCH))
    rest = []
    if ends == "user":
        rest = [user("wait")]
        session.append(*rest)
    else:
        assert session.abandon_calls() == 1
    assert windows(session) == [[user("q"), assistant(TEXT), *rest]] * 2


def test_record_of_a_paused_turn_is_kept(cache: SessionCache) -> None:
    """A transcript line with a paused turn ends the window as the message does."""
    session = cache.create()
    lines = [
        {"type": "user", "uuid": "1", "message": user("q")},
        {"type": "assistant", "uuid": "2", "message": assistant(TEXT, SEARCH)},
    ]
    session.append(*lines)
    assert windows(session) == [lines] * 2


def test_approved_call_waits_for_the_sdk(cache: SessionCache) -> None:
    """A call is in the window once its approval was answered, because the SDK runs it then."""
    session = cache.create()
    session.append(user("q"), ASKED)
    assert session.context().payloads == [user("q")]
    session.append(APPROVED)
    assert windows(session) == [[user("q"), ASKED, APPROVED]] * 2
    session.append(DONE)
    joined = {"role": "tool", "content": [*APPROVED["content"], *DONE["content"]]}
    assert session.context().payloads == [user("q"), ASKED, joined]


def test_answer_to_an_approval_leaves_with_its_request(cache: SessionCache) -> None:
    """An answer to a request that no window has would be refused."""
    session = cache.create()
    session.append(user("q"), ASKED, APPROVED, user("never mind"))
    assert session.context().payloads == [user("q"), user("never mind")]
