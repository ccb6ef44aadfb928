"""User sessions (S4): kept, listed, summed up, pruned. Its documents are in `tests/documents`."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Any

import pytest

from redis_sessions import InvalidInput, Message, SessionCache
from redis_sessions.models.summaries import SessionSummary
from tests.sources.store import command, make_old
from tests.trees.test_spawn import spawned

HELLO: dict[str, Any] = {"role": "user", "content": "Hello"}


def ids(cache: SessionCache) -> list[str]:
    return [one.id for one in cache.sessions()]


def make(cache: SessionCache, *names: str) -> None:
    for name in names:
        cache.create(name).append(HELLO)


def test_a_session_is_kept_as_it_was(cache: SessionCache) -> None:
    """3-01: the same user, one message."""
    session = cache.create(user_id="user-1")
    session.append(HELLO)
    found = cache.get(session.id)
    assert found is not None
    assert (found.info().user_id, found.info().count) == ("user-1", 1)


def test_the_last_updated_is_listed_first(cache: SessionCache) -> None:
    """3-02: three that were saved in turn; then the first again."""
    make(cache, "a", "b", "c")
    assert ids(cache) == ["c", "b", "a"]
    cache.open("a").append(HELLO)
    assert ids(cache) == ["a", "c", "b"]


def test_a_deleted_session_is_gone(cache: SessionCache) -> None:
    """3-03, 3-04: the deletion says so; of one that is not there, too. The name is checked as everywhere."""
    make(cache, "a")
    assert cache.delete("a") is True
    assert cache.get("a") is None
    assert (cache.delete("a"), cache.delete("../a")) == (False, False)
    with pytest.raises(InvalidInput):
        cache.delete("a b")


def test_an_existing_session_is_handed_out(cache: SessionCache) -> None:
    """3-05: the same id, its message."""
    make(cache, "a")
    found = cache.get_or_create("a")
    assert (found.id, [message.payload for message in found.history()]) == ("a", [HELLO])


def test_without_an_id_a_session_is_made(cache: SessionCache) -> None:
    """3-06: stored, of that user, without messages."""
    made = cache.get_or_create(user_id="user-1")
    info = cache.open(made.id).info()
    assert (info.user_id, info.count, info.is_empty) == ("user-1", 0, True)


def test_an_unknown_id_is_made(cache: SessionCache) -> None:
    """3-07: under that id."""
    cache.get_or_create("mine", user_id="user-1")
    assert cache.open("mine").info().user_id == "user-1"


def test_the_session_of_another_user_is_handed_out_as_it_is(cache: SessionCache) -> None:
    """3-08: it stays theirs, which `info()` says; tenants are kept apart by the namespace."""
    cache.create("a", user_id="mia")
    assert cache.get_or_create("a", user_id="tom").info().user_id == "mia"
    assert [one.id for one in cache.list(user="tom").items] == []


def test_so_many_sessions_are_kept(cache: SessionCache) -> None:
    """3-09, 3-13: of five the three that were updated last."""
    make(cache, "a", "b", "c", "d", "e")
    assert cache.prune(max_sessions=3) == 2
    assert ids(cache) == ["e", "d", "c"]
    assert cache.get("a") is None


@pytest.mark.parametrize("age", [24 * 3600, timedelta(hours=24)])
def test_old_sessions_are_removed(cache: SessionCache, age: float | timedelta) -> None:
    """3-10: one updated 48 h ago goes, one updated now stays."""
    make(cache, "old", "new")
    make_old(cache, "old", hours=48)
    assert cache.prune(max_age=age) == 1
    assert ids(cache) == ["new"]


def test_age_comes_before_count(cache: SessionCache) -> None:
    """3-11: the count is of what the age has left, the oldest first."""
    make(cache, "old", "a", "b", "c")
    make_old(cache, "old", hours=48)
    assert cache.prune(max_sessions=2, max_age=24 * 3600) == 2
    assert ids(cache) == ["c", "b"]


def test_a_rule_of_0_is_off(cache: SessionCache) -> None:
    """3-12, 3-14: and both are unless they are given."""
    make(cache, "old", "new")
    make_old(cache, "old", hours=48)
    assert [cache.prune(), cache.prune(max_sessions=0, max_age=0)] == [0, 0]
    assert cache.prune(max_sessions=2, max_age=0) == 0
    assert ids(cache) == ["new", "old"]


def test_a_rehearsal_removes_nothing(cache: SessionCache) -> None:
    """3-13: `dry_run` counts what would be."""
    make(cache, "a", "b", "c")
    assert cache.prune(max_sessions=1, dry_run=True) == 2
    assert len(ids(cache)) == 3


def test_what_somebody_works_on_is_left_alone(cache: SessionCache) -> None:
    """3-11: a session whose lease is held, and a tree with an active child; a tree goes as a whole."""
    held, parent, ended = cache.create("held"), cache.create("parent"), cache.create("ended")
    parent.spawn("a").raise_if_refused()
    below = spawned(ended.spawn("a"))
    cache.session(below).complete()
    time.sleep(0.06)
    with held.lease():
        cache.prune(max_age=0.05)
    assert [cache.get(id) is not None for id in ("held", "parent", "ended", below)] == [True, True, False, False]


def test_an_append_prunes_nothing(cache: SessionCache) -> None:
    """3-15, decided on purpose: pruning is a call of its own, so nothing that it does can fail a write."""
    make(cache, "kept", "old")
    make_old(cache, "old", hours=1000)
    make(cache, "new")
    assert ids(cache) == ["new", "kept", "old"]


def test_pruning_is_done_once_in_a_cooldown(cache: SessionCache) -> None:
    """3-16: the first does; within it none does, which does not prolong it; after it one does again; 0 always does."""
    make(cache, "a", "b")
    began = time.monotonic()
    assert cache.prune(max_sessions=1, cooldown=0.5) == 1
    make(cache, "c")
    assert cache.prune(max_sessions=1, cooldown=0.5) == 0
    time.sleep(0.3)
    due = time.monotonic() + 5
    while cache.prune(max_sessions=1, cooldown=0.5) == 0:
        assert time.monotonic() < due
        time.sleep(0.01)
    assert time.monotonic() - began > 0.49
    for name in ("d", "e"):
        make(cache, name)
        assert cache.prune(max_sessions=1) == 1


def test_of_many_who_ask_one_prunes(cache: SessionCache) -> None:
    """3-17: in a cooldown, whichever thread or process."""
    make(cache, "a", "b", "c")
    removed: list[int] = []
    ready = threading.Barrier(8)

    def prune() -> None:
        ready.wait()
        removed.append(cache.prune(max_sessions=1, cooldown=60))

    threads = [threading.Thread(target=prune) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(removed) == [0] * 7 + [2]


def test_a_session_is_summed_up(cache: SessionCache) -> None:
    """3-26, 3-28, 3-29: questions are counted apart from responses."""
    session = cache.create("a", user_id="mia", metadata={"active_seed_id": "seed-1", "project_id": "trips"})
    session.append({"role": "assistant", "content": "Welcome"})
    assert session.info().is_empty
    session.append(HELLO, HELLO, {"role": "assistant", "content": "Hi"})
    (one,) = cache.list().items
    info = session.info()
    assert (one.id, one.user_id, one.user_messages, one.exchanges) == ("a", "mia", 2, 2)
    assert (one.active_seed_id, one.project_id) == ("seed-1", "trips")
    assert (one.created_at, one.updated_at) == (info.created_at, info.updated_at)
    assert (info.user_messages, info.assistant_messages, info.exchanges, info.is_empty) == (2, 2, 2, False)


def test_a_project_that_is_no_text_is_none(cache: SessionCache) -> None:
    """3-26: in a summary; in the metadata it is as it was given."""
    session = cache.create(metadata={"project_id": 7})
    assert cache.list().items[0].project_id is None
    assert session.info().metadata == {"project_id": 7}


def test_the_active_seed_and_persona_are_metadata(cache: SessionCache) -> None:
    """3-26, 3-30: read from it if they are text; setting one moves the updated time."""
    session = cache.create(metadata={"active_persona_id": ["p"]})
    info: Any = session.info()
    time.sleep(0.002)
    assert (info.active_seed_id, info.active_persona_id, info.project_id) == (None, None, None)
    session.patch(metadata={"active_seed_id": "s", "active_persona_id": "p", "project_id": "j"})
    after: Any = session.info()
    (one,) = cache.list().items
    summary: Any = one
    for found in (after, summary):
        assert (found.active_seed_id, found.active_persona_id, found.project_id) == ("s", "p", "j")
    assert after.updated_at > info.updated_at
    assert isinstance(summary, SessionSummary)


def test_a_response_is_an_assistant_message(cache: SessionCache) -> None:
    """3-28, 3-32: what it names is in its payload; what is absent is left out."""
    session = cache.create()
    bare: Message = Message.agent_response("Hi")
    full: Message = Message.agent_response(
        "Ok", session_id="s", seed_id="e", phase_reached="review", evaluation_passed=False
    )
    session.append(HELLO, bare, full)
    bare, full = session.history(role="assistant")
    assert not {"session_id", "seed_id", "phase_reached", "evaluation_passed"} & set(bare.payload)
    assert (bare.role, bare.content, full.content) == ("assistant", "Hi", "Ok")
    named = {name: full.payload[name] for name in ("session_id", "seed_id", "phase_reached", "evaluation_passed")}
    assert named == {"session_id": "s", "seed_id": "e", "phase_reached": "review", "evaluation_passed": False}
    assert session.info().exchanges == 1


@pytest.mark.parametrize(("name", "damaged"), [("counts", "?"), ("status", "?"), ("tags", "[")])
def test_a_damaged_session_is_left_out_of_a_list(cache: SessionCache, name: str, damaged: str) -> None:
    """3-27: the others are listed."""
    make(cache, "a", "b", "c")
    command(cache, "b", "HSET", name, damaged)
    assert sorted(ids(cache)) == ["a", "c"]
    assert sorted(one.id for one in cache.list(order="created").items) == ["a", "c"]


def test_every_change_moves_the_updated_time(cache: SessionCache) -> None:
    """3-30, 3-31, decided on purpose: by the server's clock; reading and finding do not, and nobody sets it."""
    session = cache.create("a")
    times = [session.info().updated_at]
    for change in (
        lambda: session.append(HELLO),
        lambda: session.append({"role": "assistant", "content": "Hi"}),
        lambda: session.patch(metadata={"active_seed_id": "s"}),
        lambda: session.patch(metadata={"active_persona_id": "p"}),
        lambda: session.patch(metadata={"any": {"json": [None]}}),
    ):
        time.sleep(0.002)
        change()
        times.append(session.info().updated_at)
    assert times == sorted(set(times))
    session.history()
    assert cache.get_or_create("a").info().updated_at == times[-1]


def test_what_a_session_was_not_given_is_not_stored(cache: SessionCache) -> None:
    """3-32: and reads as absent or empty."""
    session = cache.create("a")
    stored = command(cache, "a", "HKEYS")
    assert not {b"user", b"agent", b"name", b"label", b"tags", b"parent"} & set(stored)
    assert not [field for field in stored if field.startswith(b"meta.")]
    info = session.info()
    assert (info.user_id, info.agent_id, info.name, info.tags, info.metadata) == (None, None, None, [], {})


def test_metadata_is_any_json_by_key(cache: SessionCache) -> None:
    """3-33: a missing key is none of it."""
    metadata = {"text": "a", "none": None, "deep": {"a": [1, {}]}}
    found = cache.create(metadata=metadata).info().metadata
    assert found == metadata
    assert found.get("other") is None
