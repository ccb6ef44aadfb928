"""The ledger on every engine: loops, usage, turns, events, groups, and the queries over a ledger (S3)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from redis_sessions import (
    InvalidInput,
    Ledger,
    LimitExceeded,
    LoopConfig,
    LoopConflict,
    LoopNotFound,
    SessionCache,
    SessionInfo,
    SessionLocked,
    SessionNotActive,
    SpawnRef,
    Usage,
)
from redis_sessions._core.commands import loops
from tests.support.lease_waiters import elsewhere
from tests.trees.children import X, spawn_child

CONFIG = {"model": "m-1", "provider": "p", "temperature": 0.5}


def test_loop_goes_from_pending_to_a_final_end(cache: SessionCache) -> None:
    """A loop keeps its configuration, reason and times, the same end changes nothing, and another end is refused."""
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


def test_loop_id_in_use_is_refused(cache: SessionCache) -> None:
    """A loop ID in use is refused, a missing one is generated, and an unknown one raises LoopNotFound."""
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


def test_usage_of_step_counts_once(cache: SessionCache) -> None:
    """The usage of a step counts once for the loop, the session and all ancestors, and sums beyond 2^32 are exact."""
    root = cache.create()
    child = spawn_child(root)
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


def test_event_after_lost_reply_counts_once(cache: SessionCache) -> None:
    """A call that is repeated after a lost reply adds one event."""
    session = cache.create()
    loop = session.start_loop("l1")
    call = loops.append_record(session._keys, "", "", "l1", "event", {"a": 1})
    assert session._executor.run(call) == session._executor.run(call) == 1
    assert len(loop.events().items) == 1


def test_events_and_turns_are_numbered_in_order(cache: SessionCache) -> None:
    """Events and turns have ascending numbers, keep their JSON, and are read in pages."""
    session = cache.create()
    loop = session.start_loop("l1")
    payloads: list[Any] = [{"n": 2**60, "e": []}, None, "text"]
    assert [loop.add_event(payload) for payload in payloads] == [1, 2, 3]
    assert [(one.seq, one.payload) for one in loop.events().items] == list(enumerate(payloads, 1))
    page = loop.events(1)
    assert ([one.seq for one in page.items], page.cursor is not None) == ([1], True)
    assert [one.seq for one in loop.events(1, page.cursor).items] == [2]
    began = datetime.now(UTC)
    loop.add_turn(
        "user", inputs=[X], output={"role": "assistant"}, tool_results=[{"role": "tool"}], index=7,
        usage={"total": 3}, started_at=began, ended_at=began + timedelta(seconds=2),
    )  # fmt: skip
    loop.add_turn("tool")
    first, second = loop.turns().items
    assert (first.index, first.trigger, first.duration, first.has_tool_calls) == (7, "user", timedelta(seconds=2), True)
    assert first.messages == [X, {"role": "assistant"}, {"role": "tool"}]
    assert (second.has_tool_calls, second.messages, second.request) == (False, [], None)
    assert loop.turns(1, loop.turns(1).cursor) == ([second], None)
    info = session.ledger().loops[0]
    assert (info.events, info.turns) == (3, 2)


def test_ledger_queries_follow_parents_and_groups(cache: SessionCache) -> None:
    """Roots, children, siblings and chains follow the parents, and a cycle of parents ends a chain."""
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


def test_ledger_is_fenced_and_ends_with_session(cache: SessionCache) -> None:
    """Records without the lease are refused, and an ended session starts no loop but takes late usage."""
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


def test_spent_budget_refuses_spawns_and_optionally_appends(cache: SessionCache) -> None:
    """A spent budget of a session or an ancestor refuses spawns, and refuses appends when its enforcement is append."""
    root = cache.create(token_budget=10)
    child = spawn_child(root, cost_budget=1.0)
    loop = child.start_loop("l")
    loop.record_usage("1", {"total": 9, "cost": 0.5})
    assert child.spawn("a").accepted
    loop.record_usage("2", {"cost": 0.5})
    assert (child.spawn("a").reason, root.spawn("a").accepted) == ("cost_budget", True)
    loop.record_usage("3", {"total": 1})
    assert root.spawn("a").reason == "token_budget"
    root.append(X)
    strict = cache.create(token_budget=10, budget_enforcement="append")
    strict.append(X)
    strict.start_loop("l").record_usage("1", {"total": 10})
    with pytest.raises(LimitExceeded) as refused:
        strict.append(X)
    assert (refused.value.limit, refused.value.current, refused.value.max) == ("token_budget", 10, 10)


@pytest.mark.parametrize(
    "bad",
    [{"input": -1}, {"total": 1.5}, {"cost": float("nan")}, {"cost": float("inf")}, {"cost": -1}, {"tokens": 1}, 3],
)  # fmt: skip
def test_invalid_usage_is_refused(bad: Any) -> None:
    """Usage that is negative, infinite or unknown is refused before anything is sent."""
    with (
        SessionCache.from_url("redis://127.0.0.1:1", retry_for=0.1) as cache,
        pytest.raises(InvalidInput, match="usage"),
    ):
        cache.session("a").loop("l").record_usage("s", bad)


@pytest.mark.parametrize(
    "bad", [{"status": "completed"}, {"config": {"model": "m"}}, {"group": "a b"}, {"metadata": {1: 2}}]
)
def test_invalid_loop_is_refused(bad: dict[str, Any]) -> None:
    """A loop with an invalid argument is refused before anything is sent."""
    with SessionCache.from_url("redis://127.0.0.1:1", retry_for=0.1) as cache, pytest.raises(InvalidInput):
        cache.session("a").start_loop("l", **bad)


def test_records_are_read_in_pages(cache: SessionCache) -> None:
    """A page has 50 records by default, its cursor leads to the next page, and the last page has no cursor."""
    loop = cache.create().start_loop("l")
    for n in range(51):
        loop.add_event(n)
    first = loop.events()
    assert ([event.payload for event in first.items], first.cursor is not None) == (list(range(50)), True)
    loop.add_event(51)
    assert [event.payload for event in loop.events(cursor=first.cursor).items] == [50, 51]
    for n in range(5):
        loop.add_turn("user", index=n)
    pages = [loop.turns(2)]
    while pages[-1].cursor is not None:
        pages.append(loop.turns(2, pages[-1].cursor))
    assert [[turn.index for turn in page.items] for page in pages] == [[0, 1], [2, 3], [4]]
    assert loop.turns(5).cursor is None
    assert loop.turns(2, first.cursor) == ([], None)


@pytest.mark.parametrize("bad", [{"limit": 0}, {"limit": 1001}, {"limit": "5"}, {"cursor": "x"}, {"cursor": 3}])
def test_invalid_page_is_refused(bad: dict[str, Any]) -> None:
    """A page with an invalid limit or cursor is refused before anything is sent."""
    with SessionCache.from_url("redis://127.0.0.1:1", retry_for=0.1) as cache:
        loop = cache.session("a").loop("l")
        for read in (loop.events, loop.turns):
            with pytest.raises(InvalidInput, match=next(iter(bad))):
                read(**bad)


def test_models_are_accepted_as_json(cache: SessionCache) -> None:
    """A model that the library returned is accepted as an event, a result, metadata, and the parts of a loop or a turn."""
    session = cache.create(user_id="mia")
    info = session.info()
    config = LoopConfig(model="m-1", provider="p")
    loop = session.start_loop("l", config=config, group="g", metadata=Usage(input=1).model_dump())
    used = loop.record_usage("s1", Usage(total=3, cost=0.5))
    assert loop.record_usage("s2", used).total == 6
    loop.add_event(info)
    loop.add_event(session.check_limits())
    found = loop.events().items
    assert found[0].payload == info.model_dump(mode="json")
    assert found[1].payload == session.check_limits()._asdict()
    as_metadata: Any = used
    loop.put_metadata(as_metadata)
    loop.select(evaluation=used)
    loop.add_turn("user", output=found[0], request=info, usage=used)
    turn = loop.turns().items[0]
    assert (turn.output, turn.usage) == (found[0].model_dump(mode="json"), used)
    assert SessionInfo.model_validate(turn.request) == info
    ledger = session.ledger()
    assert (ledger.loops[0].config, ledger.loops[0].metadata) == (config, used.model_dump(mode="json"))
    assert ledger.groups["g"].evaluation == used
    session.state.put("ledger", ledger)
    assert session.state.get("ledger", type=Ledger) == ledger
    parent = cache.create()
    spawn_child(parent, spawned_by=SpawnRef(tool_call_id="c1")).complete(ledger)
    (child,) = parent.children()
    assert (child.result, child.spawned_by) == (ledger.model_dump(mode="json"), SpawnRef(tool_call_id="c1"))
    parent.append(*session.history(), parent.history()[0])
    assert parent.history()[1].payload == parent.history()[0].payload
