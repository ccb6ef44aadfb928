"""Reading: history, context window, turns."""

from __future__ import annotations

from typing import Any

import pytest

from redis_sessions import InvalidInput, Message, SessionCache, SessionNotFound


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def tool(text: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": "c", "content": text}


def test_history_gives_the_last_n_in_order(cache: SessionCache) -> None:
    """S2 1-34, S5 4-07: above the count all, 0 none."""
    session = cache.create()
    session.append(*[user(str(number)) for number in range(5)])
    assert [message.content for message in session.history(2)] == ["3", "4"]
    assert len(session.history(99)) == 5
    assert session.history(0) == []


def test_history_is_read_in_ranges(cache: SessionCache) -> None:
    """`before_seq` pages back, `after_seq` bounds."""
    session = cache.create()
    session.append(*[user(str(number)) for number in range(1, 11)])
    assert [message.seq for message in session.history(after_seq=7)] == [8, 9, 10]
    assert [message.seq for message in session.history(3, before_seq=6)] == [3, 4, 5]
    assert session.history(before_seq=1) == []
    assert session.history(after_seq=10) == []


def test_a_long_history_comes_whole(cache: SessionCache) -> None:
    """Beyond a page."""
    session = cache.create(max_messages=None)
    session.append(*[user(str(number)) for number in range(2500)])
    assert [message.seq for message in session.history()] == list(range(1, 2501))
    assert [message.seq for message in session.history(1500)] == list(range(1001, 2501))
    assert len(session.history(role="user")) == 2500


def test_roles_select(cache: SessionCache) -> None:
    """S2 1-33; entry types select too."""
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


def test_tools_left_out_do_not_count_against_the_limit(cache: SessionCache) -> None:
    """S5 4-08: dropped before the limit is applied."""
    session = cache.create()
    session.append(user("1"), assistant("2"), tool("3"), tool("4"))
    assert [message.content for message in session.history(2, include_tools=False)] == ["1", "2"]
    assert [message.content for message in session.history(2)] == ["3", "4"]


@pytest.mark.parametrize("arguments", [{"limit": -1}, {"after_seq": -1}, {"before_seq": 0}, {"limit": 1.5}])
def test_bad_ranges_are_refused(cache: SessionCache, arguments: dict[str, Any]) -> None:
    """Before anything is sent."""
    with pytest.raises(InvalidInput):
        cache.create().history(**arguments)


def test_reading_a_session_that_is_not_there(cache: SessionCache) -> None:
    """Not an empty list: an error that names it."""
    session = cache.session("nobody")
    for read in (session.history, session.context, session.info, session.last_turn, session.state.all):
        with pytest.raises(SessionNotFound, match="nobody"):
            read()


def test_the_context_is_the_prompt_and_the_newest_that_fit(cache: SessionCache) -> None:
    """S2 1-22, 1-23: the first that does not fit ends it; a smaller one before it is not tried."""
    session = cache.create(system_prompt="Be brief.")  # 9 bytes: 3 tokens
    session.append(user("a"), user("x" * 400), user("b"), assistant("c"))  # 1, 101, 1, 1 tokens
    window = session.context(10)
    assert [message.content for message in window] == ["Be brief.", "b", "c"]
    assert (window[0].role, window[0].payload) == ("system", {"role": "system", "content": "Be brief."})
    assert [message.content for message in session.context(107)][1] == "a"
    assert [message.content for message in session.context(5)] == ["Be brief.", "b", "c"]
    assert [message.content for message in session.context(4)] == ["Be brief.", "c"]


def test_the_prompt_is_there_whatever_the_budget(cache: SessionCache) -> None:
    """S2 1-24."""
    session = cache.create(system_prompt="x" * 100)
    session.append(user("a"))
    assert [message.role for message in session.context(3)] == ["system"]
    assert cache.create().context(0) == []


def test_other_system_messages_are_not_in_the_context(cache: SessionCache) -> None:
    """S2 1-25: never included, never counted."""
    session = cache.create(system_prompt="p")
    session.append(user("a"), {"role": "system", "content": "x" * 4000}, Message.system_event("e"), assistant("b"))
    assert [message.content for message in session.context(3)] == ["p", "a", "b"]


def test_the_sessions_own_budget_is_the_default(cache: SessionCache) -> None:
    """S2 1-26, trap 1-52: the setting is kept with the session."""
    session = cache.create("a", max_tokens=2)
    session.append(user("a"), user("b"), user("c"))
    assert [message.content for message in cache.open("a").context()] == ["b", "c"]


def test_a_counter_of_the_callers_counts_the_context(cache: SessionCache) -> None:
    """Also over several pages."""
    session = cache.create(system_prompt="p", max_messages=None)
    session.append(*[user(str(number)) for number in range(700)])
    window = session.context(501, counter=lambda payload: 1)
    assert [message.content for message in window] == ["p", *[str(number) for number in range(200, 700)]]
    assert len(session.context(10_000, counter=lambda payload: 1)) == 701


def test_tokens_given_with_a_message_are_what_it_counts(cache: SessionCache) -> None:
    """The writer may know better than any estimate."""
    session = cache.create()
    session.append(Message("user", "a", tokens=50), Message("user", "b", tokens=1))
    assert [message.content for message in session.context(50)] == ["b"]
    assert session.info().tokens == 51


def test_turns_hold_question_tools_and_answer(cache: SessionCache) -> None:
    """S2 1-12, 1-15, 1-18: in this order, even if a tool message came after the answer."""
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


def test_a_second_answer_replaces_the_first(cache: SessionCache) -> None:
    """S2 1-14."""
    session = cache.create()
    session.append(assistant("before any turn"), user("q"), assistant("a"), assistant("b"))
    turn = session.turn(1)
    assert turn is not None
    assert turn.assistant_response is not None
    assert turn.assistant_response.content == "b"


def test_turns_that_are_not_there(cache: SessionCache) -> None:
    """S2 1-19: 0, beyond the last, none yet; and what the cap dropped (trap 1-29: turns do not outgrow the cap)."""
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
