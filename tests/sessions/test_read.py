"""Reads of the transcript: history, context window, turns."""

from __future__ import annotations

from typing import Any

import pytest

from redis_sessions import InvalidInput, Message, SessionCache, SessionNotFound


def user(text: str) -> dict[str, Any]:
    """Return a user message."""
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, Any]:
    """Return an assistant message."""
    return {"role": "assistant", "content": text}


def tool(text: str) -> dict[str, Any]:
    """Return a tool message."""
    return {"role": "tool", "tool_call_id": "c", "content": text}


def test_history_with_limit_returns_newest_in_order(cache: SessionCache) -> None:
    """A history returns the newest messages in order, all of them above the count, none for 0 (S2 1-34, S5 4-07)."""
    session = cache.create()
    session.append(*[user(str(number)) for number in range(5)])
    assert [message.content for message in session.history(2)] == ["3", "4"]
    assert len(session.history(99)) == 5
    assert session.history(0) == []


def test_history_with_seq_bounds_returns_range(cache: SessionCache) -> None:
    """The bounds `after_seq` and `before_seq` select a range of the history."""
    session = cache.create()
    session.append(*[user(str(number)) for number in range(1, 11)])
    assert [message.seq for message in session.history(after_seq=7)] == [8, 9, 10]
    assert [message.seq for message in session.history(3, before_seq=6)] == [3, 4, 5]
    assert session.history(before_seq=1) == []
    assert session.history(after_seq=10) == []


def test_history_longer_than_a_page_is_returned_whole(cache: SessionCache) -> None:
    """A history that exceeds one page is returned whole."""
    session = cache.create(max_messages=None)
    for first in (0, 1250):
        session.append(*[user(str(number)) for number in range(first, first + 1250)])
    assert [message.seq for message in session.history()] == list(range(1, 2501))
    assert [message.seq for message in session.history(1500)] == list(range(1001, 2501))
    assert len(session.history(role="user")) == 2500


def test_history_with_role_returns_messages_of_role(cache: SessionCache) -> None:
    """A role or an entry type selects the messages of a history (S2 1-33)."""
    session = cache.create()
    session.append(
        user("1"), assistant("2"), user("3"), assistant("4"), Message.tool_call("search", {"n": 1}, success=False)
    )
    assert [message.content for message in session.history(role="user")] == ["1", "3"]
    assert [message.content for message in session.history(1, role="assistant")] == ["4"]
    call = session.history(role="tool_call")[0]
    assert call.payload == {"type": "tool_call", "tool_name": "search", "success": False, "content": {"n": 1}}
    assert call.role == "tool"
    with pytest.raises(InvalidInput):
        session.history(role="king")


def test_excluded_tool_messages_do_not_count_against_limit(cache: SessionCache) -> None:
    """Tool messages are left out before the limit is applied (S5 4-08)."""
    session = cache.create()
    session.append(user("1"), assistant("2"), tool("3"), tool("4"))
    assert [message.content for message in session.history(2, include_tools=False)] == ["1", "2"]
    assert [message.content for message in session.history(2)] == ["3", "4"]


@pytest.mark.parametrize("role", ["tool_message", "tool_call", "reasoning"])
def test_role_of_tools_without_tools_has_no_messages(cache: SessionCache, role: str) -> None:
    """A role that tools alone have selects nothing without tools, and not the messages of all roles."""
    session = cache.create()
    session.append(user("1"), assistant("2"), tool("3"), Message.tool_call("search"))
    assert session.history(role=role, include_tools=False) == []
    session.delete()
    with pytest.raises(SessionNotFound):
        session.history(role=role, include_tools=False)


@pytest.mark.parametrize("arguments", [{"limit": -1}, {"after_seq": -1}, {"before_seq": 0}, {"limit": 1.5}])
def test_invalid_history_range_is_refused(cache: SessionCache, arguments: dict[str, Any]) -> None:
    """A history with an invalid range raises InvalidInput before anything is sent."""
    with pytest.raises(InvalidInput):
        cache.create().history(**arguments)


def test_read_of_missing_session_raises_session_not_found(cache: SessionCache) -> None:
    """A read of a missing session raises SessionNotFound with its ID, and never returns an empty list."""
    session = cache.session("missing")
    for read in (session.history, session.context, session.info, session.last_turn, session.state.all):
        with pytest.raises(SessionNotFound, match="missing"):
            read()


def test_context_is_prompt_and_newest_messages_that_fit(cache: SessionCache) -> None:
    """The first message that does not fit ends the context, even if an older one would fit (S2 1-22, 1-23)."""
    session = cache.create(system_prompt="Be brief.")  # 9 bytes: 3 tokens
    session.append(user("a"), user("x" * 400), user("b"), assistant("c"))  # 1, 101, 1, 1 tokens
    window = session.context(10)
    assert [message.content for message in window] == ["Be brief.", "b", "c"]
    assert (window[0].role, window[0].payload) == ("system", {"role": "system", "content": "Be brief."})
    assert [message.content for message in session.context(107)][1] == "a"
    assert [message.content for message in session.context(5)] == ["Be brief.", "b", "c"]
    assert [message.content for message in session.context(4)] == ["Be brief.", "c"]


def test_context_has_prompt_beyond_budget(cache: SessionCache) -> None:
    """The system prompt and the newest message are part of the context, whatever the budget is (S2 1-24)."""
    session = cache.create(system_prompt="x" * 100)
    session.append(user("a"), user("b"))
    window = session.context(3)
    assert [message.content for message in window] == ["x" * 100, "b"]
    assert (window.tokens, window.over_budget, window.truncated, window.system) == (27, True, True, "x" * 100)
    window = session.context(28)
    assert (len(window), window.tokens, window.over_budget, window.truncated) == (3, 28, False, False)
    assert cache.create().context(0) == []


def test_context_excludes_system_messages_of_transcript(cache: SessionCache) -> None:
    """System messages of the transcript are neither part of the context nor counted (S2 1-25)."""
    session = cache.create(system_prompt="p")
    session.append(user("a"), {"role": "system", "content": "x" * 4000}, Message.system_event("e"), assistant("b"))
    assert [message.content for message in session.context(3)] == ["p", "a", "b"]


def test_context_without_budget_uses_max_tokens_of_session(cache: SessionCache) -> None:
    """The session's own max_tokens is the default budget of a context (S2 1-26, trap 1-52)."""
    session = cache.create("a", max_tokens=2)
    session.append(user("a"), user("b"), user("c"))
    assert [message.content for message in cache.open("a").context()] == ["b", "c"]


def test_context_with_counter_counts_by_counter(cache: SessionCache) -> None:
    """The caller's token counter counts the messages of a context over several pages."""
    session = cache.create(system_prompt="p", max_messages=None)
    session.append(*[user(str(number)) for number in range(700)])
    window = session.context(501, counter=lambda payload: 1)
    assert [message.content for message in window] == ["p", *[str(number) for number in range(200, 700)]]
    assert len(session.context(10_000, counter=lambda payload: 1)) == 701


def test_given_tokens_of_message_replace_estimate(cache: SessionCache) -> None:
    """The tokens that a writer gives with a message replace the estimate."""
    session = cache.create()
    session.append(Message("user", "a", tokens=50), Message("user", "b", tokens=1))
    assert [message.content for message in session.context(50)] == ["b"]
    assert session.info().tokens == 51


def test_turn_has_question_tools_and_answer_in_order(cache: SessionCache) -> None:
    """A turn has its user message, tool messages and answer in this order (S2 1-12, 1-15, 1-18)."""
    session = cache.create()
    session.append(user("q1"), tool("t1"), assistant("a1"), tool("t2"), user("q2"))
    turn = session.turn(1)
    assert turn is not None
    assert [message.content for message in turn.messages] == ["q1", "t1", "t2", "a1"]
    assert turn.is_complete
    assert turn.completed is not None
    assert turn.started <= turn.completed
    last = session.last_turn()
    assert last is not None
    assert (last.number, last.user_message.content, last.is_complete, last.completed) == (2, "q2", False, None)
    assert session.info().current_turn == 2


def test_second_answer_of_turn_replaces_first(cache: SessionCache) -> None:
    """The last assistant message of a turn is its answer (S2 1-14)."""
    session = cache.create()
    session.append(assistant("before any turn"), user("q"), assistant("a"), assistant("b"))
    turn = session.turn(1)
    assert turn is not None
    assert turn.assistant_response is not None
    assert turn.assistant_response.content == "b"


def test_missing_turn_is_none(cache: SessionCache) -> None:
    """A turn is None when its number is not used or the cap dropped its user message (S2 1-19, trap 1-29)."""
    session = cache.create(max_messages=3)
    assert session.last_turn() is None
    for number in range(1, 6):
        session.append(user(str(number)))
    assert [session.turn(number) is None for number in (0, 1, 2, 3, 4, 5, 6)] == [
        True,
        True,
        True,
        False,
        False,
        False,
        True,
    ]
    third = session.turn(3)
    assert third is not None
    assert third.user_message.content == "3"
