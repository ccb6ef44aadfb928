"""Conversations (S2): messages, tokens, turns, the window, the cap, state, and expiry."""

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
from tests.support.servers import await_true


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


def test_message_has_role_text_and_time(cache: SessionCache) -> None:
    """A user message has its role, content and time (1-01)."""
    session = cache.create()
    session.append(Message("user", "Hello"))
    (message,) = session.history()
    assert (message.role, message.content) == ("user", "Hello")
    assert message.timestamp_ms > 0


def test_message_keeps_name_and_metadata(cache: SessionCache) -> None:
    """An assistant message has its name and metadata (1-02)."""
    session = cache.create()
    session.append(Message("assistant", "Hi", name="bot", metadata={"model": "m-1"}))
    (message,) = session.history()
    assert (message.role, message.name, message.metadata) == ("assistant", "bot", {"model": "m-1"})


@pytest.mark.parametrize("role", ["system", "user", "assistant", "tool"])
def test_roles_are_lower_case_names(cache: SessionCache, role: str) -> None:
    """A role is stored in lower case, and a role in upper case is refused (1-03)."""
    session = cache.create()
    session.append(Message(role, "x"))
    assert (session.history()[0].role, session.history()[0].payload["role"]) == (role, role)
    with pytest.raises(InvalidInput):
        Message(role.upper(), "x")


def test_tool_message_names_its_call(cache: SessionCache) -> None:
    """A tool message has the ID of its call (1-04)."""
    session = cache.create()
    session.append(Message("tool", "belt 4", tool_call_id="call-1"))
    assert session.history()[0].tool_call_id == "call-1"


def test_tokens_are_estimated_by_bytes() -> None:
    """A text of 11 bytes is estimated as 3 tokens (1-05)."""
    assert estimate_tokens(user("Hello world")) == 3


def test_session_tokens_include_system_prompt(cache: SessionCache) -> None:
    """The tokens of a session are those of its messages and its system prompt (1-07)."""
    session = cache.create(system_prompt="Be brief.")
    session.append(user("Hello"), assistant("Hi there"))
    assert session.info().tokens == 3 + 2 + 3


def test_context_begins_with_system_prompt(cache: SessionCache) -> None:
    """A context has the prompt, the question and the answer of one turn (1-08)."""
    session = cache.create(system_prompt="You are helpful.")
    session.append(user("Hello"), assistant("Hi there"))
    assert [message.role for message in session.context()] == ["system", "user", "assistant"]
    assert session.info().current_turn == 1


def test_system_prompt_belongs_to_session(cache: SessionCache) -> None:
    """The system prompt is not a message: a new prompt replaces the old one and trims nothing (1-09, 1-10, 1-11)."""
    session = cache.create(system_prompt="old", max_messages=2)
    session.append(user("a"), assistant("b"))
    session.patch(system_prompt="new")
    info = session.info()
    assert (info.system_prompt, info.count, info.dropped) == ("new", 2, 0)
    assert [message.content for message in session.history()] == ["a", "b"]
    assert [message.content for message in session.context()] == ["new", "a", "b"]


def test_turns_have_their_questions(cache: SessionCache) -> None:
    """Two questions with answers are two turns (1-12)."""
    session = cache.create()
    for number in (1, 2):
        session.append(user(f"Question {number}"))
        session.append(assistant(f"Answer {number}"))
    assert session.info().current_turn == 2
    assert [turn(session, number).user_message.content for number in (1, 2)] == ["Question 1", "Question 2"]
    assert turn(session, 1).is_complete


def test_user_message_opens_next_turn(cache: SessionCache) -> None:
    """A user message opens the next turn, which is complete once it is answered (1-13, 1-20, 1-21)."""
    session = cache.create()
    assert (session.info().current_turn, session.last_turn()) == (0, None)
    for number in (1, 2, 3):
        session.append(user("q"))
        last = session.last_turn()
        assert last is not None
        assert (last.number, session.info().current_turn, last.is_complete) == (number, number, False)
    session.append(assistant("a"))
    assert [turn(session, number).completed is not None for number in (1, 2, 3)] == [False, False, True]


def test_turn_has_its_tool_messages(cache: SessionCache) -> None:
    """A turn has its tool messages with the IDs of their calls (1-15)."""
    session = cache.create()
    session.append(user("Search"), Message("tool", "results", tool_call_id="call_123"), assistant("Found"))
    (result,) = turn(session, 1).tool_messages
    assert result.tool_call_id == "call_123"


def test_messages_before_first_user_message_belong_to_no_turn(cache: SessionCache) -> None:
    """Messages before the first user message belong to no turn, and a system message never does (1-14, 1-16, 1-17)."""
    session = cache.create()
    session.append(assistant("Welcome"), Message("tool", "r", tool_call_id="c"), Message("system", "s"))
    assert (session.info().count, session.info().current_turn) == (3, 0)
    session.append(user("q"), Message("system", "s"), assistant("a"))
    assert [message.content for message in turn(session, 1).messages] == ["q", "a"]


def test_window_begins_with_prompt_and_fits_budget(cache: SessionCache) -> None:
    """A window of 100 tokens has the prompt and the newest of 20 exchanges (1-22)."""
    session = cache.create(system_prompt="You are helpful.")
    for number in range(20):
        session.append(user(f"Question {number} with some text"), assistant(f"Answer {number} with some text"))
    window = session.context(100)
    assert window[0].role == "system"
    assert window[-1].content == "Answer 19 with some text"
    assert len(window) < 41
    assert sum(estimate_tokens(message.payload) for message in window) <= 100


def test_cap_keeps_newest_messages(cache: SessionCache) -> None:
    """A cap of five keeps the newest of ten messages, and turns that are retained can be read (1-27, 1-29)."""
    session = cache.create(max_messages=5)
    for number in range(10):
        session.append(user(f"Message {number}"))
    assert [message.content for message in session.history()] == [f"Message {number}" for number in range(5, 10)]
    assert session.info().current_turn == 10
    assert (session.turn(5), turn(session, 6).user_message.content) == (None, "Message 5")


def test_cap_excludes_prompt_and_zero(cache: SessionCache) -> None:
    """The system prompt is outside of a cap of 1, and a cap of 0 is refused (1-28)."""
    session = cache.create(max_messages=1, system_prompt="p")
    session.append(user("a"), user("b"))
    assert [message.content for message in session.context()] == ["p", "b"]
    with pytest.raises(InvalidInput):
        cache.create(max_messages=0)


def test_clear_keeps_the_prompt(cache: SessionCache) -> None:
    """A cleared session has its prompt, no message and no turn (1-30)."""
    session = cache.create(system_prompt="You are helpful.")
    session.append(user("Hello"), assistant("Hi"))
    session.clear()
    assert [message.role for message in session.context()] == ["system"]
    assert (session.history(), session.info().current_turn) == ([], 0)


def test_clear_without_prompt_leaves_no_messages(cache: SessionCache) -> None:
    """A cleared session without a prompt has no message, whatever its first message was (1-31)."""
    session = cache.create()
    session.append(Message("system", "s"), user("Hello"))
    session.clear()
    assert session.context() == session.history() == []


def test_clear_keeps_everything_but_messages(cache: SessionCache) -> None:
    """A clear keeps state, variables, metadata, user and prompt, and moves the updated time (1-32)."""
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


def test_history_selects_by_role(cache: SessionCache) -> None:
    """The messages of each role come in their order (1-33)."""
    session = cache.create()
    session.append(user("1"), assistant("2"), user("3"), assistant("4"))
    assert [message.content for message in session.history(role="user")] == ["1", "3"]
    assert [message.content for message in session.history(role="assistant")] == ["2", "4"]


def test_variables_and_state_come_back(cache: SessionCache) -> None:
    """Variables come back as text, and a model in the state comes back typed (1-35)."""
    session = cache.create()
    session.variables.patch({"name": "Mia", "language": "de"})
    session.state.put("plan", Plan(step=1, title="Find the bag"))
    assert (session.variables.get("name"), session.variables.get("language")) == ("Mia", "de")
    assert session.state.get("plan", type=Plan) == Plan(step=1, title="Find the bag")


def test_delete_and_clear_act_on_one_map(cache: SessionCache) -> None:
    """Variables and state are separate maps, and two calls empty both (1-36)."""
    session = cache.create()
    session.variables.put("a", "x")
    session.state.put("a", 1)
    assert session.variables.delete("a")
    assert session.state.all() == {"a": 1}
    assert (session.variables.clear(), session.state.clear()) == (0, 1)


def test_session_has_default_settings(cache: SessionCache) -> None:
    """A session has a cap of 100 messages, a budget of 8,192 tokens and a ttl of one hour by default (1-37)."""
    info = cache.create().info()
    assert (info.max_messages, info.max_tokens, info.ttl) == (100, 8192, timedelta(hours=1))


def test_expired_session_is_gone_and_others_stay(cache: SessionCache) -> None:
    """The server drops an expired session by itself, lists have the others, and a session without a ttl stays (1-38, 1-51)."""
    idle, live, persistent = cache.create(ttl=0.05), cache.create(ttl=60), cache.create(ttl=None)
    await_true(lambda: cache.get(idle.id) is None, 60)
    assert {one.id for one in cache.iter_sessions()} == {live.id, persistent.id}


def test_sessions_are_listed_for_their_user(cache: SessionCache) -> None:
    """A stored session is opened by its ID and listed for its user only (1-40, 1-44)."""
    cache.create("session-1", user_id="user-1").append(user("Hello"))
    cache.create("session-2", user_id="user-2")
    cache.create("session-3")
    assert cache.open("session-1").info().count == 1
    assert [one.id for one in cache.list(user="user-1").items] == ["session-1"]
    assert {one.id for one in cache.list().items} == {"session-1", "session-2", "session-3"}


def test_unknown_id_gives_none(cache: SessionCache) -> None:
    """A get of an unknown ID returns None, and a delete returns False (1-41, 1-43)."""
    assert cache.get("missing") is None
    assert cache.delete("missing") is False


def test_import_replaces_whole_session(cache: SessionCache) -> None:
    """An import with replace leaves nothing of the previous session (1-42)."""
    session = cache.create("a")
    session.append(user("old"))
    saved = list(session.export())
    session.append(user("newer"))
    session.state.put("s", 1)
    cache.import_sessions(saved, on_conflict="replace")
    back = cache.open("a")
    assert ([message.content for message in back.history()], back.state.all()) == (["old"], {})


def test_changed_copy_changes_nothing_stored(cache: SessionCache) -> None:
    """A change to a value that was read does not change the stored value (1-45)."""
    session = cache.create(metadata={"m": [1]})
    session.append({"role": "user", "content": ["a"]})
    session.state.put("s", [1])
    session.history()[0].content.append("b")
    session.info().metadata["m"].append(2)
    session.state.get("s").append(2)
    assert (session.history()[0].content, session.info().metadata, session.state.get("s")) == (["a"], {"m": [1]}, [1])


def test_session_is_created_found_listed_and_deleted(cache: SessionCache) -> None:
    """A session is created, found with the same ID, listed and deleted (1-46)."""
    made = cache.create("session-1")
    assert cache.get_or_create("session-1").id == made.id
    assert [one.id for one in cache.iter_sessions()] == ["session-1"]
    assert cache.delete("session-1")
    assert list(cache.iter_sessions()) == []


def test_get_or_create_applies_settings(cache: SessionCache) -> None:
    """An unknown ID is created with the given settings and stored at once (1-50)."""
    assert cache.get_or_create("a", max_messages=7, ttl=60).id == "a"
    info = cache.open("a").info()
    assert (info.max_messages, info.ttl, info.count) == (7, timedelta(minutes=1), 0)


def test_errors_have_classes_of_their_own(cache: SessionCache) -> None:
    """A missing session, an ID in use, invalid JSON and a missing store raise classes of one base (1-53)."""
    cache.create("a")
    with pytest.raises(SessionNotFound):
        cache.open("missing")
    with pytest.raises(SessionExists):
        cache.create("a")
    with pytest.raises(InvalidInput):
        cache.open("a").append({"role": "user", "content": {1, 2}})
    with SessionCache.from_url("redis://127.0.0.1:1", retry_for=0.1) as nowhere, pytest.raises(StoreUnavailable):
        nowhere.open("a")
    for error in (SessionNotFound, SessionExists, InvalidInput, StoreUnavailable):
        assert issubclass(error, SessionsError)
