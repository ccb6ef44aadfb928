"""Creating, finding, describing and deleting sessions."""

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


def test_a_new_session_is_active_and_empty(cache: SessionCache) -> None:
    """S1 0-06, 0-07: active, no messages, created and updated at the same moment."""
    info = cache.create("a", name="first").info()
    assert (info.status, info.name, info.count, info.rev, info.last_seq) == ("active", "first", 0, 0, 0)
    assert info.created_at == info.updated_at
    assert (info.tags, info.parent_id, info.metadata, info.system_prompt) == ([], None, {}, None)


def test_create_refuses_an_id_in_use(cache: SessionCache) -> None:
    """S2 1-47 decided on purpose: create never destroys a live session."""
    cache.create("a").append({"role": "user", "content": "hi"})
    with pytest.raises(SessionExists):
        cache.create("a")
    assert cache.open("a").info().count == 1


def test_get_answers_none_and_open_raises(cache: SessionCache) -> None:
    """Same verb, same meaning."""
    assert cache.get("nobody") is None
    with pytest.raises(SessionNotFound):
        cache.open("nobody")


def test_get_or_create_hands_out_the_existing_one_as_it_is(cache: SessionCache) -> None:
    """S2 1-48: also its settings; it does not move its updated time."""
    made = cache.create("a", max_messages=7)
    before = made.info()
    found = cache.get_or_create("a", max_messages=9)
    assert found.info().max_messages == 7
    assert found.info().updated_at == before.updated_at


def test_get_or_create_creates_under_the_given_id(cache: SessionCache) -> None:
    """S4 3-07; and S4 3-06 without an id."""
    assert cache.get_or_create("mine", user_id="mia").info().user_id == "mia"
    assert len(cache.get_or_create().id) == 36


def test_everything_said_of_a_session_comes_back(cache: SessionCache) -> None:
    """Names, type, tags in order with duplicates, parent, metadata of any JSON."""
    metadata: dict[str, Any] = {"seed": None, "deep": {"a": [1, {}]}, "n": 1.5}
    session = cache.create(
        "a", user_id="mia", agent_id="concierge", kind="cron", name="n", parent_id="p",
        type=Evaluation(skill_name="s", test_cases=3), tags=["x", "y", "x"], metadata=metadata, system_prompt="Be brief. é",
    )  # fmt: skip
    info = session.info()
    assert (info.user_id, info.agent_id, info.kind, info.name, info.parent_id) == ("mia", "concierge", "cron", "n", "p")
    assert info.type == Evaluation(skill_name="s", test_cases=3)
    assert (info.tags, info.metadata, info.system_prompt) == (["x", "y", "x"], metadata, "Be brief. é")


def test_patch_replaces_what_is_given_and_merges_metadata(cache: SessionCache) -> None:
    """S4 3-30: the updated time and the rev move; the rest stays."""
    session = cache.create("a", name="old", metadata={"a": 1, "b": 2})
    rev = session.patch(name="new", metadata={"b": 3}, type={"type": "conversation", "purpose": "p"})
    info = session.info()
    assert (info.name, info.metadata, info.rev) == ("new", {"a": 1, "b": 3}, rev)
    assert info.type == Conversation(purpose="p")
    session.patch(remove_metadata=("a",))
    assert session.info().metadata == {"b": 3}


def test_delete_says_whether_there_was_one(cache: SessionCache) -> None:
    """S4 3-03, 3-04."""
    session = cache.create("a")
    session.append({"role": "user", "content": "x"})
    assert cache.delete("a") is True
    assert cache.delete("a") is False
    assert cache.get("a") is None


def test_a_handle_of_a_former_life_is_refused(cache: SessionCache) -> None:
    """Deleted and created again under the same id: the old handle neither reads nor writes."""
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


def test_the_main_session_of_an_agent_is_one(cache: SessionCache) -> None:
    """S5 4-01, 4-13: the same each time for one agent; another agent has its own."""
    main = cache.main("researcher")
    assert main.id == "agent:researcher:main"
    main.send("hello")
    assert cache.main("researcher").info().count == 1
    assert cache.main("writer").info().count == 0
    with pytest.raises(InvalidInput):
        cache.main("a:b")


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
def test_bad_options_are_refused_by_name(cache: SessionCache, options: dict[str, Any]) -> None:
    """One clear error that names the option; nothing is created."""
    with pytest.raises(InvalidInput) as refused:
        cache.create("a", **options)
    assert refused.value.name
    assert cache.get("a") is None
