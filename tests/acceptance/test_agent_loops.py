"""Agent loops (S3): formation of sessions, statuses, configurations, references, groups, turns, events, and queries."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from redis_sessions import (
    InvalidInput,
    LoopConflict,
    LoopNotFound,
    Session,
    SessionCache,
    SessionLocked,
    SessionNotFound,
    Usage,
)
from redis_sessions.models.loops import Ledger, LoopInfo
from tests.support.lease_waiters import elsewhere
from tests.trees.children import key_of

BEFORE = datetime(2020, 1, 1, tzinfo=UTC)


def loop_of(session: Session, id: str) -> LoopInfo:
    found = session.ledger().find(id)
    assert found is not None
    return found


def test_formation_tells_kind_and_time(cache: SessionCache) -> None:
    """A session knows whether it was created explicitly or for its first loop, and when (2-01, 2-02)."""
    for kind, session in (("explicit", cache.create()), ("first_loop", cache.create(formation="first_loop"))):
        formation = session.info().formation
        assert (formation.kind, formation.threshold, formation.previous_id) == (kind, None, None)
        assert formation.at == session.info().created_at > BEFORE


def test_session_after_inactivity_names_previous_session(cache: SessionCache) -> None:
    """A session that is formed after inactivity has the threshold and the previous session (2-03)."""
    first = cache.conversation("mia", inactivity=0.05).info()
    time.sleep(0.1)
    second = cache.conversation("mia", inactivity=0.05).info()
    for info in (first, second):
        assert (info.formation.kind, info.formation.threshold) == ("inactivity", timedelta(seconds=0.05))
        assert info.formation.at == info.created_at
    assert (first.formation.previous_id, second.formation.previous_id) == (None, first.id)


def test_loop_has_one_of_five_statuses(cache: SessionCache) -> None:
    """A loop has one of five statuses, a rejected loop has a reason, and an end is final (2-04)."""
    session = cache.create()
    session.start_loop("pending", status="pending")
    session.start_loop("running")
    session.start_loop("completed").complete()
    session.start_loop("rejected").reject("not today")
    session.start_loop("aborted").abort()
    loops = session.ledger().loops
    assert [loop.status for loop in loops] == [loop.id for loop in loops]
    assert [loop.reason for loop in loops] == [None, None, None, "not today", None]
    for id in ("completed", "rejected", "aborted"):
        with pytest.raises(LoopConflict):
            session.loop(id).run()


def test_configuration_needs_model_and_provider(cache: SessionCache) -> None:
    """A configuration has a model and a provider, and an unknown field is refused (2-05)."""
    session = cache.create()
    session.start_loop("bare", config={"model": "m-1", "provider": "p"})
    session.start_loop("named", config={"model": "m-1", "provider": "p", "config_id": "c-1"})
    bare, named = loop_of(session, "bare").config, loop_of(session, "named").config
    assert bare is not None
    assert named is not None
    assert bare.model_dump(exclude_none=True) == {"model": "m-1", "provider": "p"}
    assert (bare.config_id, named.config_id) == (None, "c-1")
    for config in ({"model": "m-1"}, {"model": "m-1", "provider": "p", "shape": "round"}):
        with pytest.raises(InvalidInput):
            session.start_loop("bad", config=config)


def test_spawn_is_known_to_parent_and_child(cache: SessionCache) -> None:
    """The parent knows the child with its loop, call and tool, and the child knows its parent (2-06, 2-07)."""
    parent = cache.create("root")
    parent.start_loop("l1")
    reference = {"tool_call_id": "call-1", "tool_name": "spawn_agent", "loop_id": "l1"}
    child = cache.session(key_of(parent.spawn("researcher", spawned_by=reference)))
    child.start_loop("l2", parent="l1")
    (known,) = parent.children()
    assert known.spawned_by is not None
    assert (known.id, known.spawned_by.model_dump()) == (child.id, reference)
    assert (child.info().parent_id, parent.info().parent_id) == ("root", None)
    assert child.ledger().chain("l2") == ["l1", "l2"]


def test_parallel_group_has_selected_loop(cache: SessionCache) -> None:
    """A parallel group has its loops, the selected loop, its configuration and the usage of the evaluation (2-08, 2-22)."""
    session = cache.create()
    for id in ("a", "b", "c"):
        session.start_loop(id, group="g")
    session.start_loop("alone")
    assert session.ledger().groups["g"].selected is None
    session.loop("b").select(config_index=1, evaluation={"input": 5, "total": 5})
    ledger = session.ledger()
    group = ledger.groups["g"]
    assert (group.loops, group.selected, group.config_index) == (["a", "b", "c"], "b", 1)
    assert group.evaluation == Usage(input=5, total=5)
    assert [loop.id for loop in ledger.siblings("a")] == ["a", "b", "c"]
    assert ledger.siblings("alone") == ledger.siblings("unknown") == []


def test_events_are_in_order_of_their_numbers(cache: SessionCache) -> None:
    """Events are numbered from 1, and integers beyond 2^53 are exact in them (2-09, 2-30)."""
    session = cache.create()
    session.start_loop("l")
    numbers = [cache.session(session.id).loop("l").add_event({"n": 2**53 + n}) for n in range(1, 4)]
    assert numbers == [1, 2, 3]
    events = session.loop("l").events().items
    assert [(event.seq, event.payload["n"]) for event in events] == [(n, 2**53 + n) for n in (1, 2, 3)]
    assert loop_of(session, "l").events == 3
    assert session.loop("l").add_event("the next") == 4


def test_turn_has_index_duration_and_messages(cache: SessionCache) -> None:
    """A turn has its own index, a duration, and messages: inputs, output, then tool results (2-10 to 2-13)."""
    session = cache.create()
    loop = session.start_loop("l")
    began = datetime.now(UTC)
    loop.add_turn(
        "user", index=41, inputs=["q1", "q2"], output="a", tool_results=["r"],
        started_at=began, ended_at=began + timedelta(milliseconds=1500),
    )  # fmt: skip
    loop.add_turn("continue", output="done")
    first, second = loop.turns().items
    assert (first.index, first.duration, first.has_tool_calls) == (41, timedelta(seconds=1.5), True)
    assert (first.messages, second.messages, second.has_tool_calls) == (["q1", "q2", "a", "r"], ["done"], False)


def test_turns_are_read_in_pages(cache: SessionCache) -> None:
    """Turns are counted and read in pages, and the last page has no cursor (2-14, 2-15)."""
    session = cache.create()
    loop = session.start_loop("l")
    places = [loop.add_turn("user", index=10 * n) for n in range(3)]
    assert places == [1, 2, 3]
    pages = [loop.turns(1)]
    while pages[-1].cursor is not None:
        pages.append(loop.turns(1, pages[-1].cursor))
    assert [[turn.index for turn in page.items] for page in pages] == [[0], [10], [20]]
    assert loop_of(session, "l").turns == 3


def test_fields_not_given_to_loop_are_absent(cache: SessionCache) -> None:
    """A loop has the default continuation, and fields that were not given are None or empty (2-16, 2-17, 2-18)."""
    session = cache.create()
    session.start_loop("l")
    bare = loop_of(session, "l")
    assert (bare.continuation, bare.turns, session.loop("l").turns().items) == ("initial", 0, [])
    assert (bare.config, bare.group, bare.parent, bare.metadata, bare.reason) == (None, None, None, {}, None)
    session.loop("l").add_turn("user")
    (turn,) = session.loop("l").turns().items
    assert (turn.request, turn.usage, turn.output) == (None, None, None)


def test_transcript_without_compaction_has_no_summary(cache: SessionCache) -> None:
    """The metadata of a summary exists only after a compaction (2-18)."""
    session = cache.create()
    session.append({"role": "user", "content": "a"}, {"role": "assistant", "content": "b"})
    assert [message.metadata for message in session.history()] == [{}, {}]
    session.compact(2, "They met.")
    (block,) = session.history()
    assert (block.seq, "They met." in block.text, "compaction" in block.metadata) == (2, True, True)


def test_scope_follows_lifetimes(cache: SessionCache) -> None:
    """A session is persistent without lifetimes and ephemeral with one (2-19)."""
    scopes = [cache.create(**options).info().scope for options in _LIVES]
    assert scopes == ["ephemeral", "persistent", "ephemeral"]


_LIVES: list[Any] = [{}, {"ttl": None}, {"ttl": None, "max_lifetime": 60}]


@pytest.fixture
def ledger(cache: SessionCache) -> Ledger:
    """Return a ledger: root with a and b, leaf below a, guest with a parent elsewhere, and two loops in a cycle."""
    session = cache.create()
    for id, parent in (
        ("root", None), ("a", "root"), ("guest", "elsewhere"), ("b", "root"), ("leaf", "a"), ("x", "y"), ("y", "x"),
    ):  # fmt: skip
        session.start_loop(id, parent=parent)
    return session.ledger()


def test_roots_have_no_parent_in_session(ledger: Ledger) -> None:
    """The roots of a ledger are in the order of their starts (2-20)."""
    assert [loop.id for loop in ledger.roots()] == ["root", "guest"]


def test_children_are_loops_that_name_the_parent(ledger: Ledger) -> None:
    """The children of a loop are the loops that name it as parent, in the order of the session (2-21)."""
    assert [loop.id for loop in ledger.children("root")] == ["a", "b"]
    assert ledger.children("leaf") == ledger.children("unknown") == []


def test_find_returns_loop_or_none(ledger: Ledger, cache: SessionCache) -> None:
    """A ledger finds a loop by its ID, and a handle changes the loop (2-23)."""
    found = ledger.find("leaf")
    assert found is not None
    assert (found.id, found.parent, ledger.find("unknown")) == ("leaf", "a", None)
    session = cache.open(ledger.session_id)
    session.loop("leaf").put_metadata({"n": 1})
    assert loop_of(session, "leaf").metadata == {"n": 1}


def test_chain_leads_from_root_to_loop(ledger: Ledger) -> None:
    """A chain begins with the root and ends with the loop, and a cycle has an end (2-24, 2-25)."""
    assert ledger.chain("leaf") == ["root", "a", "leaf"]
    assert ledger.chain("root") == ["root"]
    assert ledger.chain("x") == ["y", "x"]


def test_chain_to_unknown_loop_is_an_error(ledger: Ledger) -> None:
    """A chain to an unknown loop raises LoopNotFound (2-26)."""
    with pytest.raises(LoopNotFound, match="unknown"):
        ledger.chain("unknown")


def test_chain_begins_with_parent_in_another_session(ledger: Ledger) -> None:
    """A parent in another session is the first ID of a chain (2-27)."""
    assert ledger.chain("guest") == ["elsewhere", "guest"]


def test_usage_is_summed_over_all_loops(cache: SessionCache) -> None:
    """The usage of a ledger is the sum of its loops, its total is not computed, and no loops give zeros (2-28)."""
    session = cache.create()
    assert session.ledger().usage == Usage()
    used = {"input": 1, "output": 2, "reasoning": 3, "cache_read": 4, "cache_write": 5, "total": 100}
    for id in ("a", "b"):
        session.start_loop(id).record_usage("s", used)
    assert session.ledger().usage == Usage(**{name: 2 * count for name, count in used.items()})


def test_errors_name_their_session(cache: SessionCache) -> None:
    """SessionNotFound and SessionLocked carry the ID of the session (2-29)."""
    with pytest.raises(SessionNotFound) as missing:
        cache.open("missing")
    assert missing.value.session_id == "missing"
    session = cache.create("a")
    session.start_loop("l")
    with session.lease(owner="worker-1"), pytest.raises(SessionLocked, match="worker-1") as locked:
        elsewhere(lambda: session.loop("l").add_event(1))
    assert locked.value.session_id == "a"
