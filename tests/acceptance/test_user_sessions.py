"""User sessions (S4): storage, lists, summaries, prune. The tests of documents are in `tests/documents`."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Any

import pytest

from redis_sessions import InvalidInput, Message, SessionCache
from redis_sessions.models.summaries import SessionSummary
from tests.acceptance.store import command, make_old
from tests.support.servers import await_true
from tests.trees.children import key_of

HELLO: dict[str, Any] = {"role": "user", "content": "Hello"}


def ids(cache: SessionCache) -> list[str]:
    """Return the IDs of all sessions in the order of a list."""
    return [one.id for one in cache.iter_sessions()]


def make(cache: SessionCache, *names: str) -> None:
    """Create sessions with one message each."""
    for name in names:
        cache.create(name).append(HELLO)


def test_stored_session_keeps_user_and_message(cache: SessionCache) -> None:
    """A stored session has the same user and one message (3-01)."""
    session = cache.create(user_id="user-1")
    session.append(HELLO)
    found = cache.get(session.id)
    assert found is not None
    assert (found.info().user_id, found.info().count) == ("user-1", 1)


def test_last_updated_session_is_listed_first(cache: SessionCache) -> None:
    """A list is ordered by the last update, newest first (3-02)."""
    make(cache, "a", "b", "c")
    assert ids(cache) == ["c", "b", "a"]
    cache.open("a").append(HELLO)
    assert ids(cache) == ["a", "c", "b"]


def test_deleted_session_is_gone(cache: SessionCache) -> None:
    """A delete returns True, a delete of a missing session returns False, and an invalid ID is refused (3-03, 3-04)."""
    make(cache, "a")
    assert cache.delete("a") is True
    assert cache.get("a") is None
    assert (cache.delete("a"), cache.delete("../a")) == (False, False)
    with pytest.raises(InvalidInput):
        cache.delete("a b")


def test_get_or_create_returns_existing_session(cache: SessionCache) -> None:
    """An existing session is returned with its ID and message (3-05)."""
    make(cache, "a")
    found = cache.get_or_create("a")
    assert (found.id, [message.payload for message in found.history()]) == ("a", [HELLO])


def test_get_or_create_without_id_creates_session(cache: SessionCache) -> None:
    """A session without a given ID is created for the user, without messages (3-06)."""
    made = cache.get_or_create(user_id="user-1")
    info = cache.open(made.id).info()
    assert (info.user_id, info.count, info.is_empty) == ("user-1", 0, True)


def test_get_or_create_with_unknown_id_creates_session(cache: SessionCache) -> None:
    """An unknown ID is created under that ID (3-07)."""
    cache.get_or_create("mine", user_id="user-1")
    assert cache.open("mine").info().user_id == "user-1"


def test_get_or_create_keeps_user_of_existing_session(cache: SessionCache) -> None:
    """An existing session of another user stays with that user, because tenants are separated by namespace (3-08)."""
    cache.create("a", user_id="mia")
    assert cache.get_or_create("a", user_id="tom").info().user_id == "mia"
    assert [one.id for one in cache.list(user="tom").items] == []


def test_prune_keeps_last_updated_sessions(cache: SessionCache) -> None:
    """A prune to three sessions keeps the three of five that were updated last (3-09, 3-13)."""
    make(cache, "a", "b", "c", "d", "e")
    assert cache.prune(max_sessions=3) == 2
    assert ids(cache) == ["e", "d", "c"]
    assert cache.get("a") is None


@pytest.mark.parametrize("age", [24 * 3600, timedelta(hours=24)])
def test_prune_removes_old_sessions(cache: SessionCache, age: float | timedelta) -> None:
    """A session that was updated 48 h ago is removed, and a new session stays (3-10)."""
    make(cache, "old", "new")
    make_old(cache, "old", hours=48)
    assert cache.prune(max_age=age) == 1
    assert ids(cache) == ["new"]


def test_prune_applies_age_before_count(cache: SessionCache) -> None:
    """A prune removes old sessions first, and then the oldest sessions beyond the count (3-11)."""
    make(cache, "old", "a", "b", "c")
    make_old(cache, "old", hours=48)
    assert cache.prune(max_sessions=2, max_age=24 * 3600) == 2
    assert ids(cache) == ["c", "b"]


def test_prune_with_zero_removes_nothing(cache: SessionCache) -> None:
    """A bound of 0 is off, and both bounds are off by default (3-12, 3-14)."""
    make(cache, "old", "new")
    make_old(cache, "old", hours=48)
    assert [cache.prune(), cache.prune(max_sessions=0, max_age=0)] == [0, 0]
    assert cache.prune(max_sessions=2, max_age=0) == 0
    assert ids(cache) == ["new", "old"]


def test_dry_run_removes_nothing(cache: SessionCache) -> None:
    """A dry run returns how many sessions would be removed (3-13)."""
    make(cache, "a", "b", "c")
    assert cache.prune(max_sessions=1, dry_run=True) == 2
    assert len(ids(cache)) == 3


def test_prune_keeps_leased_and_active_trees(cache: SessionCache) -> None:
    """A prune keeps a leased session and a tree with an active child, and removes an ended tree as a whole (3-11)."""
    held, parent, ended = cache.create("held"), cache.create("parent"), cache.create("ended")
    parent.spawn("a").raise_if_refused()
    child = key_of(ended.spawn("a"))
    cache.session(child).complete()
    time.sleep(0.06)
    with held.lease():
        cache.prune(max_age=0.05)
    assert [cache.get(id) is not None for id in ("held", "parent", "ended", child)] == [True, True, False, False]


def test_append_prunes_nothing(cache: SessionCache) -> None:
    """An append never prunes, so that a prune cannot fail a write (3-15)."""
    make(cache, "kept", "old")
    make_old(cache, "old", hours=1000)
    make(cache, "new")
    assert ids(cache) == ["new", "kept", "old"]


def test_prune_runs_once_in_a_cooldown(cache: SessionCache) -> None:
    """A prune within a cooldown removes nothing and does not extend the cooldown, and a cooldown of 0 always prunes (3-16)."""
    make(cache, "a", "b")
    began = time.monotonic()
    assert cache.prune(max_sessions=1, cooldown=2) == 1
    make(cache, "c")
    assert cache.prune(max_sessions=1, cooldown=2) == 0
    await_true(lambda: cache.prune(max_sessions=1, cooldown=2) == 1, 60)
    assert time.monotonic() - began > 1.9
    for name in ("d", "e"):
        make(cache, name)
        assert cache.prune(max_sessions=1) == 1


def test_racing_prunes_run_once(cache: SessionCache) -> None:
    """One of eight threads prunes within a cooldown (3-17)."""
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


def test_summary_counts_questions_and_exchanges(cache: SessionCache) -> None:
    """A summary has the user, the counts of questions and exchanges, and the times of the session (3-26, 3-28, 3-29)."""
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


def test_project_that_is_not_text_is_none(cache: SessionCache) -> None:
    """A project in the metadata that is not text is None in a summary (3-26)."""
    session = cache.create(metadata={"project_id": 7})
    assert cache.list().items[0].project_id is None
    assert session.info().metadata == {"project_id": 7}


def test_active_seed_and_persona_are_read_from_metadata(cache: SessionCache) -> None:
    """The seed and the persona are read from metadata if they are text, and a change moves the updated time (3-26, 3-30)."""
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


def test_agent_response_is_an_assistant_message(cache: SessionCache) -> None:
    """An agent response is an assistant message with its given facts in the payload (3-28, 3-32)."""
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


@pytest.mark.parametrize(("name", "damaged"), [("counters", "?"), ("status", "?"), ("tags", "[")])
def test_damaged_session_is_left_out_of_list(cache: SessionCache, name: str, damaged: str) -> None:
    """A list leaves out a damaged session and has the others (3-27)."""
    make(cache, "a", "b", "c")
    command(cache, "b", "HSET", name, damaged)
    assert sorted(ids(cache)) == ["a", "c"]
    assert sorted(one.id for one in cache.list(order="created").items) == ["a", "c"]


def test_every_change_moves_updated_time(cache: SessionCache) -> None:
    """Every change moves the updated time by the clock of the server, and reading does not (3-30, 3-31)."""
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


def test_fields_not_given_are_not_stored(cache: SessionCache) -> None:
    """A field that was not given is not stored, and reads as absent or empty (3-32)."""
    session = cache.create("a")
    stored = command(cache, "a", "HKEYS")
    assert not {b"user", b"agent", b"name", b"label", b"tags", b"parent"} & set(stored)
    assert not [field for field in stored if field.startswith(b"meta.")]
    info = session.info()
    assert (info.user_id, info.agent_id, info.name, info.tags, info.metadata) == (None, None, None, [], {})


def test_metadata_is_any_json_by_key(cache: SessionCache) -> None:
    """Metadata has any JSON by key, and a missing key is absent (3-33)."""
    metadata = {"text": "a", "none": None, "deep": {"a": [1, {}]}}
    found = cache.create(metadata=metadata).info().metadata
    assert found == metadata
    assert found.get("other") is None
