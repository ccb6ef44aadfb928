"""Agent loops (S3): how sessions form, statuses, configurations, references, groups, turns, events, and the queries."""

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
from tests.leases.line import elsewhere
from tests.trees.test_spawn import spawned

BEFORE = datetime(2020, 1, 1, tzinfo=UTC)


def loop_of(session: Session, id: str) -> LoopInfo:
    found = session.ledger().find(id)
    assert found is not None
    return found


def test_a_session_knows_how_it_formed(cache: SessionCache) -> None:
    """2-01, 2-02: explicitly, or for its first loop, and when."""
    for kind, session in (("explicit", cache.create()), ("first_loop", cache.create(formation="first_loop"))):
        formation = session.info().formation
        assert (formation.kind, formation.threshold, formation.previous_id) == (kind, None, None)
        assert formation.at == session.info().created_at > BEFORE


def test_after_silence_a_session_names_the_one_it_follows(cache: SessionCache) -> None:
    """2-03: with the threshold; the first of a channel follows none."""
    first = cache.conversation("mia", inactivity=0.05).info()
    time.sleep(0.1)
    second = cache.conversation("mia", inactivity=0.05).info()
    for info in (first, second):
        assert (info.formation.kind, info.formation.threshold) == ("inactivity", timedelta(seconds=0.05))
        assert info.formation.at == info.created_at
    assert (first.formation.previous_id, second.formation.previous_id) == (None, first.id)


def test_a_loop_has_one_of_five_statuses(cache: SessionCache) -> None:
    """2-04: a rejected one has its reason; an end is final."""
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


def test_a_configuration_has_a_model_and_a_provider(cache: SessionCache) -> None:
    """2-05: what else is absent is read as absent; an unknown field is refused."""
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


def test_a_spawn_is_known_on_both_sides(cache: SessionCache) -> None:
    """2-06, 2-07: the parent has the child's session, and the loop, call and tool it came from; the child has its parent."""
    parent = cache.create("root")
    parent.start_loop("l1")
    reference = {"tool_call_id": "call-1", "tool_name": "spawn_agent", "loop_id": "l1"}
    child = cache.session(spawned(parent.spawn("researcher", spawned_by=reference)))
    child.start_loop("l2", parent="l1")
    (known,) = parent.children()
    assert known.spawned_by is not None
    assert (known.id, known.spawned_by.model_dump()) == (child.id, reference)
    assert (child.info().parent_id, parent.info().parent_id) == ("root", None)
    assert child.ledger().chain("l2") == ["l1", "l2"]


def test_a_parallel_group_has_a_selected_one(cache: SessionCache) -> None:
    """2-08, 2-22: all its loops, which one, its configuration, what choosing it used; siblings include the loop itself."""
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


def test_events_are_in_the_order_of_their_numbers(cache: SessionCache) -> None:
    """2-09, 2-30: from 1, whoever adds them; whole numbers beyond a float are exact in them."""
    session = cache.create()
    session.start_loop("l")
    numbers = [cache.session(session.id).loop("l").add_event({"n": 2**53 + n}) for n in range(1, 4)]
    assert numbers == [1, 2, 3]
    events = session.loop("l").events()
    assert [(event.seq, event.payload["n"]) for event in events] == [(n, 2**53 + n) for n in (1, 2, 3)]
    assert loop_of(session, "l").events == 3
    assert session.loop("l").add_event("the next") == 4


def test_a_turn_has_an_index_a_duration_and_messages(cache: SessionCache) -> None:
    """2-10 to 2-13: the index is its own; inputs, then the output, then tool results."""
    session = cache.create()
    loop = session.start_loop("l")
    began = datetime.now(UTC)
    loop.add_turn(
        "user", index=41, inputs=["q1", "q2"], output="a", tool_results=["r"],
        started_at=began, ended_at=began + timedelta(milliseconds=1500),
    )  # fmt: skip
    loop.add_turn("continue", output="done")
    first, second = loop.turns()
    assert (first.index, first.duration, first.has_tool_calls) == (41, timedelta(seconds=1.5), True)
    assert (first.messages, second.messages, second.has_tool_calls) == (["q1", "q2", "a", "r"], ["done"], False)


def test_turns_are_found_by_their_place(cache: SessionCache) -> None:
    """2-14, 2-15: none beyond the last; they are counted."""
    session = cache.create()
    loop = session.start_loop("l")
    places = [loop.add_turn("user", index=10 * n) for n in range(3)]
    assert places == [1, 2, 3]
    assert [turn.index for turn in loop.turns(1, after=1)] == [10]
    assert loop.turns(1, after=3) == []
    assert loop_of(session, "l").turns == 3


def test_what_a_loop_was_not_given_is_absent(cache: SessionCache) -> None:
    """2-16, 2-17, 2-18: the default continuation, no turns, no configuration, group or parent; a turn without request."""
    session = cache.create()
    session.start_loop("l")
    bare = loop_of(session, "l")
    assert (bare.continuation, bare.turns, session.loop("l").turns()) == ("initial", 0, [])
    assert (bare.config, bare.group, bare.parent, bare.metadata, bare.reason) == (None, None, None, {}, None)
    session.loop("l").add_turn("user")
    (turn,) = session.loop("l").turns()
    assert (turn.request, turn.usage, turn.output) == (None, None, None)


def test_a_transcript_that_was_not_compacted_has_no_block(cache: SessionCache) -> None:
    """2-18: the block is a message, where one was made."""
    session = cache.create()
    session.append({"role": "user", "content": "a"}, {"role": "assistant", "content": "b"})
    assert [message.metadata for message in session.history()] == [{}, {}]
    session.compact(2, "They met.")
    (block,) = session.history()
    assert (block.seq, "They met." in block.text, "compaction" in block.metadata) == (2, True, True)


def test_a_session_is_ephemeral_unless_nothing_ends_it(cache: SessionCache) -> None:
    """2-19: by its lifetimes, in lower case."""
    scopes = [cache.create(**options).info().scope for options in _LIVES]
    assert scopes == ["ephemeral", "persistent", "ephemeral"]


_LIVES: list[Any] = [{}, {"ttl": None}, {"ttl": None, "max_lifetime": 60}]


@pytest.fixture
def ledger(cache: SessionCache) -> Ledger:
    """root with a and b; a with leaf; guest from another session; two that name each other."""
    session = cache.create()
    for id, parent in (
        ("root", None), ("a", "root"), ("guest", "elsewhere"), ("b", "root"), ("leaf", "a"), ("x", "y"), ("y", "x"),
    ):  # fmt: skip
        session.start_loop(id, parent=parent)
    return session.ledger()


def test_roots_have_no_parent_here(ledger: Ledger) -> None:
    """2-20: in the order of their starts."""
    assert [loop.id for loop in ledger.roots()] == ["root", "guest"]


def test_children_are_those_that_name_their_parent(ledger: Ledger) -> None:
    """2-21, decided on purpose: there is no list of children to disagree; in the session's order."""
    assert [loop.id for loop in ledger.children("root")] == ["a", "b"]
    assert ledger.children("leaf") == ledger.children("unknown") == []


def test_a_loop_is_found_by_its_id(ledger: Ledger, cache: SessionCache) -> None:
    """2-23: None for an unknown one; a handle changes it."""
    found = ledger.find("leaf")
    assert found is not None
    assert (found.id, found.parent, ledger.find("unknown")) == ("leaf", "a", None)
    session = cache.open(ledger.session_id)
    session.loop("leaf").put_metadata({"n": 1})
    assert loop_of(session, "leaf").metadata == {"n": 1}


def test_a_chain_leads_from_the_root(ledger: Ledger) -> None:
    """2-24, 2-25: the target last; of a root, itself alone; a cycle has an end."""
    assert ledger.chain("leaf") == ["root", "a", "leaf"]
    assert ledger.chain("root") == ["root"]
    assert ledger.chain("x") == ["y", "x"]


def test_a_chain_to_an_unknown_loop_is_an_error(ledger: Ledger) -> None:
    """2-26, decided on purpose."""
    with pytest.raises(LoopNotFound, match="unknown"):
        ledger.chain("unknown")


def test_a_chain_ends_at_a_parent_in_another_session(ledger: Ledger) -> None:
    """2-27: which is its first."""
    assert ledger.chain("guest") == ["elsewhere", "guest"]


def test_usage_is_summed_over_all_loops(cache: SessionCache) -> None:
    """2-28: each sum by itself; the total is not computed; zeros for no loops."""
    session = cache.create()
    assert session.ledger().usage == Usage()
    used = {"input": 1, "output": 2, "reasoning": 3, "cache_read": 4, "cache_write": 5, "total": 100}
    for id in ("a", "b"):
        session.start_loop(id).record_usage("s", used)
    assert session.ledger().usage == Usage(**{name: 2 * count for name, count in used.items()})


def test_errors_name_what_they_are_about(cache: SessionCache) -> None:
    """2-29: not found, and locked by another writer, with the id."""
    with pytest.raises(SessionNotFound) as missing:
        cache.open("nobody")
    assert missing.value.session_id == "nobody"
    session = cache.create("a")
    session.start_loop("l")
    with session.lease(owner="worker-1"), pytest.raises(SessionLocked, match="worker-1") as locked:
        elsewhere(lambda: session.loop("l").add_event(1))
    assert locked.value.session_id == "a"
