"""Sessions are created, found, described and deleted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from redis_sessions import (
    Conversation,
    Evaluation,
    InvalidInput,
    SessionCache,
    SessionExists,
    SessionNotFound,
    SessionReplaced,
)


def test_new_session_is_active_and_empty(cache: SessionCache) -> None:
    """A new session is active, has no messages, and was updated when it was created (S1 0-06, 0-07)."""
    info = cache.create("a", name="first").info()
    assert (info.status, info.name, info.count, info.rev, info.last_seq) == ("active", "first", 0, 0, 0)
    assert info.created_at == info.updated_at
    assert (info.tags, info.parent_id, info.metadata, info.system_prompt) == ([], None, {}, None)


def test_create_with_id_in_use_raises_session_exists(cache: SessionCache) -> None:
    """A create with an ID in use raises SessionExists and leaves the existing session (S2 1-47)."""
    cache.create("a").append({"role": "user", "content": "hi"})
    with pytest.raises(SessionExists):
        cache.create("a")
    assert cache.open("a").info().count == 1


def test_get_of_missing_session_returns_none_and_open_raises(cache: SessionCache) -> None:
    """A missing session is None for `get` and SessionNotFound for `open`."""
    assert cache.get("missing") is None
    with pytest.raises(SessionNotFound):
        cache.open("missing")


def test_get_or_create_leaves_existing_session_as_it_is(cache: SessionCache) -> None:
    """An existing session keeps its settings and its updated time when `get_or_create` returns it (S2 1-48)."""
    made = cache.create("a", max_messages=7)
    before = made.info()
    found = cache.get_or_create("a", max_messages=9)
    assert found.info().max_messages == 7
    assert found.info().updated_at == before.updated_at


def test_get_or_create_of_missing_session_creates_it(cache: SessionCache) -> None:
    """A missing session is created with the given ID or a new one (S4 3-06, 3-07)."""
    assert cache.get_or_create("mine", user_id="mia").info().user_id == "mia"
    assert len(cache.get_or_create().id) == 36


def test_info_returns_whole_description(cache: SessionCache) -> None:
    """The info of a session returns names, type, tags in order, parent and metadata of any JSON."""
    metadata: dict[str, Any] = {"seed": None, "deep": {"a": [1, {}]}, "n": 1.5}
    session = cache.create(
        "a", user_id="mia", agent_id="concierge", kind="cron", name="n", parent_id="p",
        type=Evaluation(skill_name="s", test_cases=3), tags=["x", "y", "x"], metadata=metadata, system_prompt="Be brief. é",
    )  # fmt: skip
    info = session.info()
    assert (info.user_id, info.agent_id, info.kind, info.name, info.parent_id) == ("mia", "concierge", "cron", "n", "p")
    assert info.type == Evaluation(skill_name="s", test_cases=3)
    assert (info.tags, info.metadata, info.system_prompt) == (["x", "y", "x"], metadata, "Be brief. é")


def test_patch_replaces_given_values_and_merges_metadata(cache: SessionCache) -> None:
    """A patch replaces the given values, merges metadata, and moves rev and updated time (S4 3-30)."""
    session = cache.create("a", name="old", metadata={"a": 1, "b": 2})
    rev = session.patch(name="new", metadata={"b": 3}, type={"type": "conversation", "purpose": "p"})
    info = session.info()
    assert (info.name, info.metadata, info.rev) == ("new", {"a": 1, "b": 3}, rev)
    assert info.type == Conversation(purpose="p")
    session.patch(remove_metadata=("a",))
    assert session.info().metadata == {"b": 3}


def test_delete_returns_whether_session_existed(cache: SessionCache) -> None:
    """A delete returns True for an existing session and False for a missing one (S4 3-03, 3-04)."""
    session = cache.create("a")
    session.append({"role": "user", "content": "x"})
    assert cache.delete("a") is True
    assert cache.delete("a") is False
    assert cache.get("a") is None


def test_handle_of_former_incarnation_raises_session_replaced(cache: SessionCache) -> None:
    """A handle of a former incarnation neither reads nor writes the session that replaced it."""
    old = cache.create("a")
    light = cache.session("a")
    light.append({"role": "user", "content": "x"})
    cache.delete("a")
    cache.create("a")
    for handle in (old, light):
        with pytest.raises(SessionReplaced):
            handle.append({"role": "user", "content": "y"})
        with pytest.raises(SessionReplaced):
            handle.history()
        with pytest.raises(SessionReplaced):
            handle.state.put("a", 1)
        with pytest.raises(SessionReplaced):
            handle.state.get("a")
        with pytest.raises(SessionReplaced):
            handle.delete()
    assert cache.open("a").info().count == 0


def test_main_session_of_agent_is_the_same_each_time(cache: SessionCache) -> None:
    """An agent has one main session, and another agent has another one (S5 4-01, 4-13)."""
    main = cache.main_session("researcher")
    assert main.id == "agent:researcher:main"
    main.send("hello")
    assert cache.main_session("researcher").info().count == 1
    assert cache.main_session("writer").info().count == 0
    with pytest.raises(InvalidInput):
        cache.main_session("a:b")


@pytest.mark.parametrize(
    "options",
    [
        {"ttl": -1},
        {"ttl": 0},
        {"ttl": float("nan")},
        {"max_lifetime": timedelta(seconds=-1)},
        {"max_messages": -5},
        {"max_messages": 0},
        {"max_turns": -1},
        {"max_entries": -1},
        {"max_duration": -2.0},
        {"cap_policy": "newest"},
        {"limit_action": "shout"},
        {"max_message_bytes": 0},
        {"user_id": "a b"},
        {"kind": "other"},
        {"tags": "x"},
        {"tags": [1]},
        {"type": {"type": "nope"}},
        {"metadata": {"x": {1, 2}}},
        {"system_prompt": 5},
        {"no_such_option": 1},
    ],
)
def test_invalid_option_is_refused_by_name(cache: SessionCache, options: dict[str, Any]) -> None:
    """An invalid option raises InvalidInput with its name, and nothing is created."""
    with pytest.raises(InvalidInput) as refused:
        cache.create("a", **options)
    assert refused.value.name
    assert cache.get("a") is None
