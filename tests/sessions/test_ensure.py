"""A handle of `ensure` works on whatever session has the ID, and its first write creates the session."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from redis_sessions import (
    InvalidInput,
    MessageTooLarge,
    RevisionConflict,
    Session,
    SessionCache,
    SessionNotActive,
    SessionNotFound,
)

HELLO = {"role": "user", "content": "hi"}
WRITES: dict[str, Callable[[Session], Any]] = {
    "append": lambda session: session.append(HELLO),
    "append with state": lambda session: session.append(HELLO, state={"step": 1}),
    "send": lambda session: session.send("hi"),
    "replace": lambda session: session.replace(HELLO, after_seq=0),
    "state put": lambda session: session.state.put("step", 1),
    "state add": lambda session: session.state.add("step", 2),
    "variables put": lambda session: session.variables.put("tone", "kind"),
    "append of new messages": lambda session: session.append_new(HELLO, ids=["a"]),
    "append to a part": lambda session: session.part("p").append(HELLO),
    "put in a part": lambda session: session.part("p").put(HELLO, "a"),
    "lease": lambda session: session.lease().acquire().release(),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_first_write_creates_session_with_its_description_and_options(
    cache: SessionCache, write: Callable[[Session], Any]
) -> None:
    """Each kind of write creates the session as `create` does."""
    session = cache.ensure("a", user_id="mia", name="chat", tags=["x"], max_messages=7, metadata={"n": {"m": 1}})
    write(session)
    info = cache.open("a").info()
    assert (info.user_id, info.name, info.tags, info.max_messages, info.metadata) == (
        "mia", "chat", ["x"], 7, {"n": {"m": 1}},
    )  # fmt: skip
    assert [found.id for found in cache.list(user_id="mia").items] == ["a"]


def test_handle_without_write_creates_nothing(cache: SessionCache) -> None:
    """A handle alone stores nothing, and reads raise SessionNotFound."""
    session = cache.ensure("a")
    for read in (session.info, session.history, session.context, session.state.all):
        with pytest.raises(SessionNotFound):
            read()
    assert cache.get("a") is None


def test_existing_session_stays_as_it_is(cache: SessionCache) -> None:
    """A session that exists keeps its description and options, and is listed under its own values."""
    cache.create("a", user_id="mia", max_messages=7)
    cache.ensure("a", user_id="ben", max_messages=9).append(HELLO)
    info = cache.open("a").info()
    assert (info.user_id, info.max_messages, info.count) == ("mia", 7, 1)
    assert [found.id for found in cache.list(user_id="ben").items] == []
    assert [found.id for found in cache.list(user_id="mia").items] == ["a"]


def test_refused_first_write_creates_nothing(cache: SessionCache) -> None:
    """A session whose first write is refused is not there afterwards, and is not listed."""
    session = cache.ensure("a", max_message_bytes=100, user_id="mia")
    with pytest.raises(MessageTooLarge):
        session.append({"role": "user", "content": "x" * 200})
    with pytest.raises(RevisionConflict):
        session.append(HELLO, expected_rev=5)
    assert cache.get("a") is None
    assert cache.list(user_id="mia").items == []


def test_refused_write_leaves_existing_session(cache: SessionCache) -> None:
    """A refusal of a write removes no session that was there before."""
    cache.create("a").append(HELLO)
    with pytest.raises(RevisionConflict):
        cache.ensure("a").append(HELLO, expected_rev=99)
    assert cache.open("a").info().count == 1


def test_handle_goes_on_after_deletion_and_never_raises_session_replaced(cache: SessionCache) -> None:
    """The next write after a deletion creates a new session, also if another process created one in between."""
    session = cache.ensure("a", name="mine")
    session.append(HELLO)
    session.append(HELLO)
    cache.delete("a")
    assert session.append(HELLO).last_seq == 1
    assert cache.open("a").info().name == "mine"
    cache.delete("a")
    cache.create("a", name="theirs")
    session.append(HELLO)
    assert session.info().name == "theirs"
    assert [message.seq for message in session.history()] == [1]
    assert session.incarnation is None


def test_append_with_batch_id_of_existing_batch_is_stored_once(cache: SessionCache) -> None:
    """The same batch through two handles, one of which creates the session, is stored once."""
    first = cache.ensure("a").append(HELLO, batch_id="one")
    again = cache.ensure("a").append(HELLO, batch_id="one")
    assert (first.duplicate, again.duplicate, again.last_seq) == (False, True, 1)
    assert cache.open("a").info().count == 1


def test_many_handles_at_once_create_one_session(cache: SessionCache) -> None:
    """Threads that write first at the same moment write to one session, and nothing is lost."""
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: cache.ensure("a").append(HELLO), range(24)))
    assert sorted(result.last_seq for result in results) == list(range(1, 25))
    assert cache.open("a").info().count == 24


def test_ended_session_refuses_writes(cache: SessionCache) -> None:
    """A session that ended is not replaced: it exists."""
    cache.create("a").complete()
    with pytest.raises(SessionNotActive):
        cache.ensure("a").append(HELLO)


def test_write_of_answered_session_opens_turn(cache: SessionCache) -> None:
    """A first message that creates a session with an agent opens a turn of that agent."""
    cache.ensure("a", answered_by="concierge").send("hi")
    turn = cache.claim("concierge", wait=10)
    assert turn is not None
    assert [message.payload["content"] for message in turn.requests()] == ["hi"]
    turn.finish()


@pytest.mark.parametrize("given", [{"max_messages": 0}, {"colour": "red"}, {"tags": "x"}, {"state": {"": 1}}])
def test_bad_argument_is_refused_before_any_write(cache: SessionCache, given: dict[str, Any]) -> None:
    """The arguments are checked when the handle is made."""
    with pytest.raises(InvalidInput):
        cache.ensure("a", **given)


def test_create_with_state_stores_it_with_session(cache: SessionCache) -> None:
    """The first state is there from the creation on, and counts against the bounds of the state."""
    cache.create("a", state={"step": 1, "plan": ["x", {"y": None}]})
    cache.ensure("b", state={"step": 1}).append(HELLO)
    assert cache.open("a").state.all() == {"plan": ["x", {"y": None}], "step": 1}
    assert cache.open("b").state.add("step") == 2
    with pytest.raises(InvalidInput, match="state_bytes"):
        cache.create("c", state={"big": "x" * 2_000_000})
    assert cache.get("c") is None


def test_write_that_stores_nothing_creates_no_session(cache: SessionCache) -> None:
    """Edits and removals without anything to store raise SessionNotFound."""
    session = cache.ensure("a")
    for call in (session.clear, session.abandon_calls, lambda: session.state.delete("x"), session.pop):
        with pytest.raises(SessionNotFound):
            call()
    assert cache.get("a") is None
    session.import_messages([HELLO])
    assert session.info().count == 1
