"""Patches of options, and descriptions that a patch unsets."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from redis_sessions import (
    InvalidInput,
    LimitExceeded,
    MessageTooLarge,
    RevisionConflict,
    Session,
    SessionCache,
)

X = {"role": "user", "content": "x"}
Y = {"role": "assistant", "content": "y"}


def expires_in(session: Session) -> timedelta:
    """Return the life left of a session that expires."""
    left = session.info().expires_in
    assert left is not None
    return left


def test_patched_ttl_changes_life_at_once(cache: SessionCache) -> None:
    """A patch of the ttl makes the life of the session longer or shorter at once."""
    session = cache.create(ttl=100)
    for ttl, seconds in ((7200, 7200), ("10s", 10)):
        session.patch(ttl=ttl)
        assert session.info().ttl == timedelta(seconds=seconds)
        assert timedelta(seconds=seconds - 5) < expires_in(session) < timedelta(seconds=seconds + 1)


def test_patched_ttl_of_none_makes_session_persistent(cache: SessionCache) -> None:
    """A patch with ttl=None makes the session persistent, and another ttl ends that (the fixture checks the keys)."""
    session = cache.create(ttl=100)
    session.append(X)
    session.patch(ttl=None)
    assert (session.info().scope, session.info().ttl) == ("persistent", None)
    other = cache.create(ttl=None)
    other.append(X)
    other.patch(ttl=100)
    assert other.info().ttl == timedelta(seconds=100)
    assert timedelta(seconds=95) < expires_in(other) < timedelta(seconds=101)


def test_patched_ttl_does_not_exceed_max_lifetime(cache: SessionCache) -> None:
    """A patch of the ttl keeps the deadline of `max_lifetime`."""
    session = cache.create(ttl=5, max_lifetime=50)
    for ttl in (1000, None):
        session.patch(ttl=ttl)
        assert timedelta(seconds=45) < expires_in(session) < timedelta(seconds=51)


def test_patched_cap_takes_effect_with_next_append(cache: SessionCache) -> None:
    """A lower cap drops messages with the next append, and None removes the cap."""
    session = cache.create(max_messages=4)
    session.append(*[X] * 4)
    session.patch(max_messages=2, cap_policy="oldest")
    assert (session.info().count, session.info().max_messages, session.info().cap_policy) == (4, 2, "oldest")
    assert session.append(X).count == 2
    session.patch(max_messages=None)
    assert session.append(*[X] * 200).count == 202
    assert session.info().max_messages is None


def test_patched_limits_refuse_next_append(cache: SessionCache) -> None:
    """A patched limit refuses the next append, and None removes the limit."""
    session = cache.create()
    session.append(X, Y)
    session.patch(max_turns=1)
    with pytest.raises(LimitExceeded, match="turns"):
        session.append(X)
    session.patch(max_turns=None, max_entries=2)
    with pytest.raises(LimitExceeded, match="entries"):
        session.append(X)
    session.patch(limit_action="ignore", max_duration="1h")
    assert session.append(X).limit.state == "exceeded"
    info = session.info()
    assert (info.max_turns, info.max_entries, info.limit_action) == (None, 2, "ignore")
    assert info.max_duration == timedelta(hours=1)


def test_patched_sizes_hold_for_next_calls(cache: SessionCache) -> None:
    """The sizes of messages, context and inbox can be patched."""
    session = cache.create(system_prompt="p")
    session.append(X, X, X)
    session.patch(max_message_bytes=40, max_tokens=2, max_inbox=7)
    with pytest.raises(MessageTooLarge):
        session.append({"role": "user", "content": "x" * 40})
    assert [message.content for message in session.context()] == ["p", "x"]
    info = session.info()
    assert (info.max_message_bytes, info.max_tokens, info.max_inbox) == (40, 2, 7)


def test_patched_tree_bounds_hold_for_next_spawn(cache: SessionCache) -> None:
    """The bounds of a tree and its budget can be patched at the root, and only there."""
    root = cache.create("a", ttl=60)
    spawned = root.spawn("worker")
    assert spawned.session_key is not None
    root.patch(max_children=1)
    assert root.spawn("worker").reason == "max_children"
    root.start_loop().record_usage("step", {"total": 10})
    root.patch(max_children=2, budget_enforcement="append", token_budget=10)
    assert root.spawn("worker").reason == "token_budget"
    with pytest.raises(LimitExceeded, match="token_budget"):
        root.append(X)
    root.patch(token_budget=None)
    root.append(X)
    assert root.spawn("worker").accepted
    child = cache.session(spawned.session_key)
    with pytest.raises(InvalidInput, match="root"):
        child.patch(max_children=9)
    assert child.info().rev == 0


def test_patch_with_none_unsets_description(cache: SessionCache) -> None:
    """None unsets each description that can be unset, and leaves the others."""
    session = cache.create(
        "a", user_id="mia", agent_id="concierge", parent_id="p", name="n", tags=["x"], system_prompt="Be brief.",
        type={"type": "conversation", "purpose": "p"}, metadata={"a": 1},
    )  # fmt: skip
    rev = session.patch(user_id=None, name=None)
    info = session.info()
    assert (info.user_id, info.name, info.agent_id, info.rev) == (None, None, "concierge", rev)
    session.patch(agent_id=None, parent_id=None, tags=None, type=None, system_prompt=None)
    info = session.info()
    assert (info.agent_id, info.parent_id, info.tags, info.type) == (None, None, [], None)
    assert (info.system_prompt, info.tokens, info.metadata) == (None, 0, {"a": 1})
    assert session.context() == []


def test_unset_user_leaves_the_list_of_user(cache: SessionCache) -> None:
    """A session whose user is unset or changed is listed under its present user alone."""
    session = cache.create("a", user_id="mia")
    session.patch(user_id=None)
    assert cache.list(user_id="mia").items == []
    session.patch(user_id="noa")
    assert [found.id for found in cache.list(user_id="noa").items] == ["a"]


def test_patch_changes_descriptions_and_options_at_once(cache: SessionCache) -> None:
    """One patch sets, unsets and changes options with one revision."""
    session = cache.create("a", user_id="mia", name="old", metadata={"a": 1, "b": 2})
    rev = session.patch(name="new", user_id=None, metadata={"c": 3}, remove_metadata=["a"], ttl="2h", max_turns=5)
    info = session.info()
    assert (info.rev, rev) == (1, 1)
    assert (info.name, info.user_id, info.metadata) == ("new", None, {"b": 2, "c": 3})
    assert (info.ttl, info.max_turns) == (timedelta(hours=2), 5)
    with pytest.raises(RevisionConflict):
        session.patch(ttl=5, expected_rev=0)
    assert session.info().ttl == timedelta(hours=2)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "cron"},
        {"formation": "explicit"},
        {"max_lifetime": 5},
        {"kind": None},
        {"metadata": None},
        {"cap_policy": None},
        {"max_message_bytes": None},
        {"max_inbox": 0},
        {"ttl": "soon"},
        {"max_messages": 0},
        {"user_id": "a b"},
        {"tags": "x"},
        {"limit_action": "shout"},
        {"id": "b"},
        {"status": "completed"},
    ],
)
def test_invalid_patch_is_refused_by_name(cache: SessionCache, changes: dict[str, Any]) -> None:
    """A change that is not valid raises InvalidInput with its name, and nothing is written."""
    session = cache.create("a", name="old")
    before = session.info()
    with pytest.raises(InvalidInput) as refused:
        session.patch(**{"name": "new", **changes})
    assert refused.value.name == next(iter(changes))
    after = session.info()
    assert (after.rev, after.name, after.ttl) == (before.rev, "old", before.ttl)
