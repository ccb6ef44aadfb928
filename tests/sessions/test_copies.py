"""Sessions that begin with the messages of another one: forks, and imports of a list of messages."""

from __future__ import annotations

from typing import Any

import pytest

from redis_sessions import EditConflict, InvalidInput, Message, SessionCache, SessionNotFound
from tests.trees.runs import claim_run


def user(text: str = "u") -> dict[str, Any]:
    """Return a user message."""
    return {"role": "user", "content": text}


CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]}
RESULT = {"role": "tool", "tool_call_id": "c", "content": "r"}


def test_fork_copies_transcript_state_and_options(cache: SessionCache) -> None:
    """A fork has the messages with their seqs, prompt, state, variables and options, and is the root of a tree of its own."""
    session = cache.create(system_prompt="p", max_messages=4, user_id="mia", tags=["x"], max_tokens=77)
    session.append(Message("user", "pinned", pinned=True), *[user(str(number)) for number in range(5)])
    session.state.put("k", [1])
    session.variables.put("v", "w")
    fork = session.fork(user_id="tom", max_tokens=78)
    assert [(one.seq, one.content, one.pinned, one.timestamp) for one in fork.history()] == [
        (one.seq, one.content, one.pinned, one.timestamp) for one in session.history()
    ]
    assert (fork.state.all(), fork.variables.all()) == ({"k": [1]}, {"v": "w"})
    before, after = session.info(), fork.info()
    assert (after.system_prompt, after.tags, after.user_id, after.max_messages) == ("p", ["x"], "tom", 4)
    assert (after.count, after.tokens, after.user_messages) == (before.count, before.tokens, before.user_messages)
    assert (after.status, after.lease, after.parent_id) == ("active", None, None)
    fork.append(user("only here"))
    assert (session.info().rev, session.info().count) == (before.rev, before.count)
    assert [one.id for one in cache.list(user="tom").items] == [fork.id]


def test_fork_of_answered_session_opens_turns(cache: SessionCache) -> None:
    """A worker answers what is sent to a fork, whether the agent is that of the session or is given to the fork."""
    session = cache.create(answered_by="bot", priority=7, fairness_key="mia")
    session.send(user("old"))
    branch = session.fork()
    other, silent = session.fork(answered_by="other"), session.fork(answered_by=None)
    assert [one.info().work for one in (branch, other, silent)] == [None, None, None]
    assert (branch.info().priority, branch.info().fairness_key) == (7, "mia")
    branch.send(user("a"))
    other.append(user("b"), request_turn=True)
    silent.append(user("c"))
    assert [one.info().work for one in (branch, other, silent)] == ["queued", "queued", None]
    assert {session.id, branch.id} == {claim_run(cache, "bot").id for _ in range(2)}
    run = claim_run(cache, "other")
    assert run.id == other.id
    run.finish(Message("assistant", "answer"))
    assert [one.content for one in other.history()] == ["old", "b", "answer"]


def test_fork_has_given_options_and_the_others_of_its_session(cache: SessionCache) -> None:
    """Each given option replaces that of the session alone, in records that hold several options, too."""
    session = cache.create(max_turns=9, max_entries=50, max_children=4, max_depth=2, token_budget=100, max_inbox=7)
    session.append(user())
    fork = session.fork(max_children=1, max_descendants=0, token_budget=1, budget_enforcement="append", max_turns=3)
    info = fork.info()
    assert (info.max_turns, info.max_entries, info.max_inbox, info.limit_action) == (3, 50, 7, "error")
    refused = fork.spawn("w")
    assert (refused.accepted, refused.reason) == (False, "max_descendants")
    same = cache.get_or_create(
        fork.id, max_depth=2, max_children=1, max_descendants=0, token_budget=1, budget_enforcement="append"
    )
    assert same.unapplied_options == {}
    plain = cache.get_or_create(session.fork().id, max_depth=2, max_children=4, token_budget=100, max_turns=9)
    assert plain.unapplied_options == {}


def test_fork_without_a_description_of_its_session(cache: SessionCache) -> None:
    """A description that is given as None is not copied, and the fork is not listed under it."""
    session = cache.create(user_id="mia", name="n", tags=["x"], system_prompt="p", format="openai_chat")
    session.append(user())
    info = session.fork(user_id=None, name=None, tags=None, system_prompt=None, format=None).info()
    assert (info.user_id, info.name, info.tags, info.system_prompt, info.format) == (None, None, [], None, None)
    assert info.tokens < session.info().tokens
    assert [one.id for one in cache.list(user="mia").items] == [session.id]
    assert [one.id for one in cache.list(tags=["x"]).items] == [session.id]
    with pytest.raises(InvalidInput, match="cannot be unset"):
        session.fork(metadata=None)


def test_fork_ends_with_whole_group(cache: SessionCache) -> None:
    """A fork may end with any group, and the refusal of another seq names the nearest ones."""
    session = cache.create()
    session.append(user("1"), CALL, RESULT, user("4"))
    assert [one.seq for one in session.fork(3).history()] == [1, 2, 3]
    assert session.fork(0).history() == []
    with pytest.raises(EditConflict) as refused:
        session.fork(2)
    assert (refused.value.reason, refused.value.before, refused.value.after) == ("in_group", 1, 3)
    with pytest.raises(EditConflict) as refused:
        session.fork(5)
    assert (refused.value.reason, refused.value.last_seq) == ("beyond_end", 4)


def test_fork_with_same_batch_id_is_same_session(cache: SessionCache) -> None:
    """A repeated fork returns the session of the first one, with what was appended there, and another batch ID a new one."""
    session = cache.create("a")
    session.append(user())
    first = session.fork(batch_id="f")
    first.append(user())
    again, other = session.fork(batch_id="f"), session.fork(batch_id="g")
    assert (again.id, again.info().count) == (first.id, 2)
    assert other.id != first.id
    session.delete()
    with pytest.raises(SessionNotFound):
        session.fork()
    assert first.info().count == 2


def test_import_makes_first_system_messages_the_prompt(cache: SessionCache) -> None:
    """System messages that come first become the prompt, later ones stay messages, and an import happens once."""
    session = cache.create()
    listed = [
        {"role": "system", "content": "a"},
        {"role": "developer", "content": "b"},
        user(),
        {"role": "system", "content": "c"},
    ]
    for _ in range(2):
        assert session.import_messages(listed, batch_id="i").last_seq == 2
    assert session.info().system_prompt == "a\n\nb"
    assert [one.payload for one in session.history()] == listed[2:]
    assert session.info().tokens == 4
    with pytest.raises(EditConflict):
        session.import_messages(listed)
    session.clear()
    with pytest.raises(EditConflict, match="other messages came"):
        session.import_messages(listed)
    with pytest.raises(InvalidInput):
        cache.create().import_messages([user(), "text"])
    empty: Any = cache.create()
    with pytest.raises(InvalidInput, match="role or a payload"):
        empty.import_messages([None])
    with pytest.raises(InvalidInput, match="role or a payload"):
        empty.append(None, {"role": "assistant", "content": "x"}, usage={"output_tokens": 1})
    with pytest.raises(InvalidInput, match="role or a payload"):
        Message()
    assert empty.info().count == 0
