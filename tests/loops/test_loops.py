"""The ledger as a user meets it, on every engine: loops, usage, turns, events, groups, and the queries over them (S3)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from redis_sessions import (
    InvalidInput,
    LimitExceeded,
    LoopConflict,
    LoopNotFound,
    SessionCache,
    SessionLocked,
    SessionNotActive,
    Usage,
)
from redis_sessions._core import loops
from tests.leases.line import elsewhere
from tests.trees.test_results import child_of
from tests.trees.test_spawn import X

CONFIG = {"model": "m-1", "provider": "p", "temperature": 0.5}


def test_a_loop_goes_from_pending_to_an_end(cache: SessionCache) -> None:
    """With its configuration as it was, its reason, its times; an end is final, the same again changes nothing."""
    session = cache.create()
    loop = session.start_loop("l1", config=CONFIG, status="pending", metadata={"n": [1]}, continuation="retry")
    found = session.ledger().find("l1")
    assert found is not None
    assert (found.status, found.continuation, found.metadata, found.started_at) == (
        "pending",
        "retry",
        {"n": [1]},
        None,
    )
    assert found.config is not None
    assert found.config.model_dump(exclude_none=True) == CONFIG
    with pytest.raises(LoopConflict, match="pending"):
        loop.complete()
    loop.run()
    rev = loop.reject("not today")
    assert loop.reject("again") == rev
    with pytest.raises(LoopConflict, match="rejected"):
        loop.abort()
    found = session.ledger().find("l1")
    assert found is not None
    assert (found.status, found.reason) == ("rejected", "not today")
    assert found.created_at <= found.started_at <= found.finished_at  # type: ignore[operator]
    assert session.ledger().find("l2") is None


def test_an_id_is_one_loop(cache: SessionCache) -> None:
    """In use it is refused; without one it gets one; an unknown one is told."""
    session = cache.create()
    session.start_loop("l1")
    with pytest.raises(LoopConflict, match="running"):
        session.start_loop("l1")
    assert session.start_loop().id != session.start_loop().id
    for call in (session.loop("x").complete, session.loop("x").turns, session.loop("x").events):
        with pytest.raises(LoopNotFound, match="'x'"):
            call()
    with pytest.raises(LoopNotFound):
        session.loop("x").record_usage("s", {"input": 1})
    with pytest.raises(LoopNotFound):
        session.ledger().chain("x")


def test_usage_counts_once_for_a_step(cache: SessionCache) -> None:
    """For the loop, the session, and all that are above; each sum by itself, exact beyond 2^32."""
    root = cache.create()
    child = child_of(root)
    one, other = child.start_loop("l1"), child.start_loop("l2")
    used = Usage(input=2**40, output=2, reasoning=3, cache_read=4, cache_write=5, total=7, cost=0.25)
    assert one.record_usage("s1", used) == used
    assert one.record_usage("s1", used) == used
    assert one.record_usage("s2", {"input": 1, "total": 1}).total == 8
    other.record_usage("s1", {"total": 100, "cost": 0.5})
    root.start_loop("own").record_usage("s", {"total": 1})
    ledger = child.ledger()
    assert ledger.usage == Usage(
        input=2**40 + 1, output=2, reasoning=3, cache_read=4, cache_write=5, total=108, cost=0.75
    )
    assert [loop.usage.total for loop in ledger.loops] == [8, 100]
    assert (root.info().spent_tokens, root.info().spent_cost) == (109, 0.75)
    assert (child.info().spent_tokens, root.ledger().usage.total) == (108, 1)
    child.complete("x")
    assert root.history()[0].metadata["subagent"]["usage"]["total"] == 108


def test_a_lost_reply_counts_once(cache: SessionCache) -> None:
    """The library repeats what it was not answered."""
    session = cache.create()
    loop = session.start_loop("l1")
    call = loops.note(session._keys, "", "", "l1", "event", {"a": 1})
    assert session._calls.run(call) == session._calls.run(call) == 1
    assert len(loop.events()) == 1


def test_events_and_turns_are_numbered_in_order(cache: SessionCache) -> None:
    """Any JSON comes back as it was; pages go on after a number."""
    session = cache.create()
    loop = session.start_loop("l1")
    payloads: list[Any] = [{"n": 2**60, "e": []}, None, "text"]
    assert [loop.add_event(payload) for payload in payloads] == [1, 2, 3]
    assert [(one.seq, one.payload) for one in loop.events()] == list(enumerate(payloads, 1))
    assert [one.seq for one in loop.events(1, after=1)] == [2]
    began = datetime.now(UTC)
    loop.add_turn(
        "user", inputs=[X], output={"role": "assistant"}, tool_results=[{"role": "tool"}], index=7,
        usage={"total": 3}, started_at=began, ended_at=began + timedelta(seconds=2),
    )  # fmt: skip
    loop.add_turn("tool")
    first, second = loop.turns()
    assert (first.index, first.trigger, first.duration, first.has_tool_calls) == (7, "user", timedelta(seconds=2), True)
    assert first.messages == [X, {"role": "assistant"}, {"role": "tool"}]
    assert (second.has_tool_calls, second.messages, second.request) == (False, [], None)
    assert loop.turns(after=2) == []
    info = session.ledger().loops[0]
    assert (info.events, info.turns) == (3, 2)


def test_the_queries_over_a_ledger(cache: SessionCache) -> None:
    """Roots, children, siblings, chain: a parent elsewhere is the first of the chain; a cycle ends."""
    session = cache.create()
    session.start_loop("root")
    session.start_loop("a", parent="root", group="g")
    session.start_loop("b", parent="root", group="g")
    session.start_loop("leaf", parent="a")
    session.start_loop("guest", parent="elsewhere")
    session.start_loop("self", parent="self")
    session.loop("b").select(config_index=1, evaluation={"total": 5})
    ledger = session.ledger()
    assert [loop.id for loop in ledger.roots()] == ["root", "guest"]
    assert [loop.id for loop in ledger.children("root")] == ["a", "b"]
    assert [loop.id for loop in ledger.siblings("a")] == ["a", "b"]
    assert ledger.siblings("root") == ledger.siblings("unknown") == ledger.children("unknown") == []
    assert ledger.chain("leaf") == ["root", "a", "leaf"]
    assert ledger.chain("root") == ["root"]
    assert ledger.chain("guest") == ["elsewhere", "guest"]
    assert ledger.chain("self") == ["self"]
    group = ledger.groups["g"]
    assert (group.loops, group.selected, group.config_index, group.evaluation) == (["a", "b"], "b", 1, Usage(total=5))


def test_the_ledger_is_fenced_and_ends_with_its_session(cache: SessionCache) -> None:
    """Others' records are refused while somebody holds the lease; an ended session starts no loop."""
    session = cache.create()
    loop = session.start_loop("l1")
    with session.lease():
        loop.add_event(1)
        with pytest.raises(SessionLocked):
            elsewhere(lambda: loop.add_event(2))
    session.complete()
    with pytest.raises(SessionNotActive):
        session.start_loop("l2")
    loop.record_usage("late", {"total": 1})


def test_a_spent_budget_refuses_spawns_and_by_choice_appends(cache: SessionCache) -> None:
    """Of the session or of any above it, in tokens or in cost."""
    root = cache.create(token_budget=10)
    child = child_of(root, cost_budget=1.0)
    loop = child.start_loop("l")
    loop.record_usage("1", {"total": 9, "cost": 0.5})
    assert child.spawn("a").accepted
    loop.record_usage("2", {"cost": 0.5})
    assert (child.spawn("a").reason, root.spawn("a").accepted) == ("cost_budget", True)
    loop.record_usage("3", {"total": 1})
    assert root.spawn("a").reason == "token_budget"
    root.append(X)
    strict = cache.create(token_budget=10, budget_holds="append")
    strict.append(X)
    strict.start_loop("l").record_usage("1", {"total": 10})
    with pytest.raises(LimitExceeded) as refused:
        strict.append(X)
    assert (refused.value.limit, refused.value.current, refused.value.max) == ("token_budget", 10, 10)


@pytest.mark.parametrize(
    "bad",
    [{"input": -1}, {"total": 1.5}, {"cost": float("nan")}, {"cost": float("inf")}, {"cost": -1}, {"tokens": 1}, 3],
)  # fmt: skip
def test_usage_is_neither_negative_nor_endless(bad: Any) -> None:
    """It is refused before anything is sent."""
    with (
        SessionCache.from_url("redis://127.0.0.1:1", retry_for=0.1) as cache,
        pytest.raises(InvalidInput, match="usage"),
    ):
        cache.session("a").loop("l").record_usage("s", bad)


@pytest.mark.parametrize(
    "bad", [{"status": "completed"}, {"config": {"model": "m"}}, {"group": "a b"}, {"metadata": {1: 2}}]
)
def test_bad_loops_are_refused(bad: dict[str, Any]) -> None:
    """By name."""
    with SessionCache.from_url("redis://127.0.0.1:1", retry_for=0.1) as cache, pytest.raises(InvalidInput):
        cache.session("a").start_loop("l", **bad)
