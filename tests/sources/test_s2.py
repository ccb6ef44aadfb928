"""Conversations (S2): messages, tokens, turns, the window, the cap, state, and a store with expiry."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from redis_sessions import (
    InvalidInput,
    Message,
    Session,
    SessionCache,
    SessionExists,
    SessionNotFound,
    SessionsError,
    StoreUnavailable,
    Turn,
    estimate_tokens,
)


class Plan(BaseModel):
    step: int
    title: str


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def turn(session: Session, number: int) -> Turn:
    found = session.turn(number)
    assert found is not None
    return found


def test_a_message_has_a_role_a_text_and_a_time(cache: SessionCache) -> None:
    """1-01: a user message."""
    session = cache.create()
    session.append(Message("user", "Hello"))
    (message,) = session.history()
    assert (message.role, message.content) == ("user", "Hello")
    assert message.timestamp_ms > 0


def test_a_message_has_a_name_and_metadata(cache: SessionCache) -> None:
    """1-02: an assistant message with both."""
    session = cache.create()
    session.append(Message("assistant", "Hi", name="bot", metadata={"model": "m-1"}))
    (message,) = session.history()
    assert (message.role, message.name, message.metadata) == ("assistant", "bot", {"model": "m-1"})


@pytest.mark.parametrize("role", ["system", "user", "assistant", "tool"])
def test_roles_are_lower_case_names(cache: SessionCache, role: str) -> None:
    """1-03."""
    session = cache.create()
    session.append(Message(role, "x"))
    assert (session.history()[0].role, session.history()[0].payload["role"]) == (role, role)
    with pytest.raises(InvalidInput):
        Message(role.upper(), "x")


def test_a_tool_message_names_its_call(cache: SessionCache) -> None:
    """1-04."""
    session = cache.create()
    session.append(Message("tool", "belt 4", tool_call_id="call-1"))
    assert session.history()[0].tool_call_id == "call-1"


def test_a_text_is_estimated_by_its_bytes() -> None:
    """1-05: 11 bytes are 3 tokens."""
    assert estimate_tokens(user("Hello world")) == 3


def test_the_tokens_of_a_session_are_those_of_all_its_messages(cache: SessionCache) -> None:
    """1-07: the system prompt's, too."""
    session = cache.create(system_prompt="Be brief.")
    session.append(user("Hello"), assistant("Hi there"))
    assert session.info().tokens == 3 + 2 + 3


def test_a_conversation_begins_with_its_prompt(cache: SessionCache) -> None:
    """1-08: prompt, question, answer; one turn."""
    session = cache.create(system_prompt="You are helpful.")
    session.append(user("Hello"), assistant("Hi there"))
    assert [message.role for message in session.context()] == ["system", "user", "assistant"]
    assert session.info().current_turn == 1


def test_the_prompt_is_of_the_session(cache: SessionCache) -> None:
    """1-09, 1-10, 1-11, decided on purpose: it is no message; set again it is replaced, and nothing is trimmed."""
    session = cache.create(system_prompt="old", max_messages=2)
    session.append(user("a"), assistant("b"))
    session.patch(system_prompt="new")
    info = session.info()
    assert (info.system_prompt, info.count, info.dropped) == ("new", 2, 0)
    assert [message.content for message in session.history()] == ["a", "b"]
    assert [message.content for message in session.context()] == ["new", "a", "b"]


def test_turns_hold_their_questions(cache: SessionCache) -> None:
    """1-12: two questions with answers."""
    session = cache.create()
    for number in (1, 2):
        session.append(user(f"Question {number}"))
        session.append(assistant(f"Answer {number}"))
    assert session.info().current_turn == 2
    assert [turn(session, number).user_message.content for number in (1, 2)] == ["Question 1", "Question 2"]
    assert turn(session, 1).is_complete


def test_a_user_message_opens_the_next_turn(cache: SessionCache) -> None:
    """1-13, 1-20, 1-21: numbered one above the last; complete, with a time, once it is answered."""
    session = cache.create()
    assert (session.info().current_turn, session.last_turn()) == (0, None)
    for number in (1, 2, 3):
        session.append(user("q"))
        last = session.last_turn()
        assert last is not None
        assert (last.number, session.info().current_turn, last.is_complete) == (number, number, False)
    session.append(assistant("a"))
    assert [turn(session, number).completed is not None for number in (1, 2, 3)] == [False, False, True]


def test_a_turn_holds_its_tool_messages(cache: SessionCache) -> None:
    """1-15: with the id of the call."""
    session = cache.create()
    session.append(user("Search"), Message("tool", "results", tool_call_id="call_123"), assistant("Found"))
    (result,) = turn(session, 1).tool_messages
    assert result.tool_call_id == "call_123"


def test_before_the_first_turn_there_are_only_messages(cache: SessionCache) -> None:
    """1-14, 1-16, 1-17: an answer, a tool message; a system message is of no turn at any time."""
    session = cache.create()
    session.append(assistant("Welcome"), Message("tool", "r", tool_call_id="c"), Message("system", "s"))
    assert (session.info().count, session.info().current_turn) == (3, 0)
    session.append(user("q"), Message("system", "s"), assistant("a"))
    assert [message.content for message in turn(session, 1).messages] == ["q", "a"]


def test_a_window_begins_with_the_prompt(cache: SessionCache) -> None:
    """1-22: 20 exchanges, 100 tokens."""
    session = cache.create(system_prompt="You are helpful.")
    for number in range(20):
        session.append(user(f"Question {number} with some text"), assistant(f"Answer {number} with some text"))
    window = session.context(100)
    assert window[0].role == "system"
    assert window[-1].content == "Answer 19 with some text"
    assert len(window) < 41
    assert sum(estimate_tokens(message.payload) for message in window) <= 100


def test_of_ten_messages_a_cap_of_five_keeps_the_newest(cache: SessionCache) -> None:
    """1-27, 1-29: there were ten turns, of which those that are kept can be read."""
    session = cache.create(max_messages=5)
    for number in range(10):
        session.append(user(f"Message {number}"))
    assert [message.content for message in session.history()] == [f"Message {number}" for number in range(5, 10)]
    assert session.info().current_turn == 10
    assert (session.turn(5), turn(session, 6).user_message.content) == (None, "Message 5")


def test_a_cap_and_a_prompt_have_an_end(cache: SessionCache) -> None:
    """1-28: the smallest cap with a prompt, which is outside of it; a cap of 0 is refused."""
    session = cache.create(max_messages=1, system_prompt="p")
    session.append(user("a"), user("b"))
    assert [message.content for message in session.context()] == ["p", "b"]
    with pytest.raises(InvalidInput):
        cache.create(max_messages=0)


def test_clear_leaves_the_prompt(cache: SessionCache) -> None:
    """1-30: no message, no turn."""
    session = cache.create(system_prompt="You are helpful.")
    session.append(user("Hello"), assistant("Hi"))
    session.clear()
    assert [message.role for message in session.context()] == ["system"]
    assert (session.history(), session.info().current_turn) == ([], 0)


def test_clear_without_a_prompt_leaves_nothing(cache: SessionCache) -> None:
    """1-31: whatever the first message was."""
    session = cache.create()
    session.append(Message("system", "s"), user("Hello"))
    session.clear()
    assert session.context() == session.history() == []


def test_clear_leaves_what_is_no_message(cache: SessionCache) -> None:
    """1-32: state, variables, metadata, user, prompt; the updated time moves."""
    session = cache.create(user_id="mia", metadata={"m": 1}, system_prompt="p")
    session.append(user("Hello"))
    session.state.put("s", 1)
    session.variables.put("v", "x")
    before = session.info().updated_at
    time.sleep(0.002)
    session.clear()
    info = session.info()
    assert (info.user_id, info.metadata, info.system_prompt) == ("mia", {"m": 1}, "p")
    assert (session.state.all(), session.variables.all()) == ({"s": 1}, {"v": "x"})
    assert info.updated_at > before


def test_messages_are_found_by_role(cache: SessionCache) -> None:
    """1-33: two exchanges; each role's in order."""
    session = cache.create()
    session.append(user("1"), assistant("2"), user("3"), assistant("4"))
    assert [message.content for message in session.history(role="user")] == ["1", "3"]
    assert [message.content for message in session.history(role="assistant")] == ["2", "4"]


def test_variables_and_structured_values_come_back(cache: SessionCache) -> None:
    """1-35: the structured one typed."""
    session = cache.create()
    session.variables.patch({"name": "Mia", "language": "de"})
    session.state.put("plan", Plan(step=1, title="Find the bag"))
    assert (session.variables.get("name"), session.variables.get("language")) == ("Mia", "de")
    assert session.state.get("plan", type=Plan) == Plan(step=1, title="Find the bag")


def test_removing_and_clearing_act_on_one_map(cache: SessionCache) -> None:
    """1-36, decided on purpose: both maps are emptied by two calls."""
    session = cache.create()
    session.variables.put("a", "x")
    session.state.put("a", 1)
    assert session.variables.delete("a")
    assert session.state.all() == {"a": 1}
    assert (session.variables.clear(), session.state.clear()) == (0, 1)


def test_a_session_has_these_settings_by_default(cache: SessionCache) -> None:
    """1-37."""
    info = cache.create().info()
    assert (info.max_messages, info.max_tokens, info.ttl) == (100, 8192, timedelta(hours=1))


def test_what_is_due_is_gone_and_what_is_not_stays(cache: SessionCache) -> None:
    """1-38, 1-51: the server forgets just the idle one, unasked; lists have the others. Without a ttl none goes."""
    idle, live, for_ever = cache.create(ttl=0.05), cache.create(ttl=60), cache.create(ttl=None)
    due = time.monotonic() + 5
    while cache.get(idle.id) is not None:
        assert time.monotonic() < due
        time.sleep(0.01)
    assert {one.id for one in cache.sessions()} == {live.id, for_ever.id}


def test_what_is_stored_is_loaded_and_listed_for_its_user(cache: SessionCache) -> None:
    """1-40, 1-44: one message, one id; others, and those without a user, match no user."""
    cache.create("session-1", user_id="user-1").append(user("Hello"))
    cache.create("session-2", user_id="user-2")
    cache.create("session-3")
    assert cache.open("session-1").info().count == 1
    assert [one.id for one in cache.list(user="user-1").items] == ["session-1"]
    assert {one.id for one in cache.list().items} == {"session-1", "session-2", "session-3"}


def test_an_unknown_id_is_no_error(cache: SessionCache) -> None:
    """1-41, 1-43: nothing to load, nothing to delete."""
    assert cache.get("nobody") is None
    assert cache.delete("nobody") is False


def test_a_session_is_replaced_whole(cache: SessionCache) -> None:
    """1-42: by an import that may; nothing of what was there is left."""
    session = cache.create("a")
    session.append(user("old"))
    saved = list(session.export())
    session.append(user("newer"))
    session.state.put("s", 1)
    cache.import_sessions(saved, existing="replace")
    back = cache.open("a")
    assert ([message.content for message in back.history()], back.state.all()) == (["old"], {})


def test_what_is_read_is_a_copy(cache: SessionCache) -> None:
    """1-45: changing it changes nothing that is stored."""
    session = cache.create(metadata={"m": [1]})
    session.append({"role": "user", "content": ["a"]})
    session.state.put("s", [1])
    session.history()[0].content.append("b")
    session.info().metadata["m"].append(2)
    session.state.get("s").append(2)
    assert (session.history()[0].content, session.info().metadata, session.state.get("s")) == (["a"], {"m": [1]}, [1])


def test_sessions_are_made_found_listed_and_deleted(cache: SessionCache) -> None:
    """1-46: the same id both times, one session, then none."""
    made = cache.create("session-1")
    assert cache.get_or_create("session-1").id == made.id
    assert [one.id for one in cache.sessions()] == ["session-1"]
    assert cache.delete("session-1")
    assert list(cache.sessions()) == []


def test_an_unknown_one_is_made_with_the_settings_given(cache: SessionCache) -> None:
    """1-50: under its id, stored at once."""
    assert cache.get_or_create("a", max_messages=7, ttl=60).id == "a"
    info = cache.open("a").info()
    assert (info.max_messages, info.ttl, info.count) == (7, timedelta(minutes=1), 0)


def test_errors_are_told_apart(cache: SessionCache) -> None:
    """1-53: not there (or expired), in use, not JSON, no store; all of one base."""
    cache.create("a")
    with pytest.raises(SessionNotFound):
        cache.open("nobody")
    with pytest.raises(SessionExists):
        cache.create("a")
    with pytest.raises(InvalidInput):
        cache.open("a").append({"role": "user", "content": {1, 2}})
    with SessionCache.from_url("redis://127.0.0.1:1", retry_for=0.1) as nowhere, pytest.raises(StoreUnavailable):
        nowhere.open("a")
    for error in (SessionNotFound, SessionExists, InvalidInput, StoreUnavailable):
        assert issubclass(error, SessionsError)
