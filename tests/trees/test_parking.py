"""Runs that wait for their children and take no slot of their worker then."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from redis_sessions import InvalidInput, JoinTimeout, Run, RunParked, Session, SessionCache
from tests.support.servers import await_true
from tests.trees.children import key_of
from tests.trees.runs import DEADLINE_SECONDS, abandon, claim_run, spawn_runs
from tests.trees.workers import await_empty_queue, await_work_state, working

CALL = {"tool_name": "t", "tool_call_id": "c"}


class Tree:
    """A handler of parents that wait for children of the same agent, and of these children."""

    def __init__(self, children: int, pause: float = 0.0, **wait: Any) -> None:
        self.children = children
        self.pause = pause
        self.wait = {"timeout": DEADLINE_SECONDS, **wait}
        self.begins: dict[str, int] = {}
        self.resumed: list[bool] = []
        self.running = self.most = 0
        self.lock = threading.Lock()

    def __call__(self, run: Run) -> Any:
        with self.lock:
            self.begins[run.id] = self.begins.get(run.id, 0) + 1
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            if str(run.task).startswith("child"):
                time.sleep(self.pause)
                return 1
            found = [run.spawn("a", task=f"child {n}").raise_if_refused() for n in range(self.children)]
            ended = run.wait_for(found, **self.wait)
            self.resumed.append(run.is_resumed)
            return sum(one.result for one in ended)
        finally:
            with self.lock:
                self.running -= 1


@pytest.mark.parametrize("engine", ["path", "cluster"], indirect=True)
@pytest.mark.parametrize("bound", [None, 2], ids=["slots", "bound"])
def test_parents_on_few_slots_complete(cache: SessionCache, bound: int | None) -> None:
    """Twelve parents with four children each, on two slots, complete in twice the ideal time, and no attempt is lost."""
    cache.limit_agent("a", max_running=bound)
    root = cache.create(max_children=None, max_active=None)
    spawn_runs(root, *[f"parent {n}" for n in range(12)])
    handler = Tree(4, pause=0.1)
    began = time.monotonic()
    with working(cache, handler, concurrency=2 if bound is None else 6):
        parents = root.join(timeout=2 * DEADLINE_SECONDS)
    took = time.monotonic() - began
    assert [one.result for one in parents] == [4] * 12
    assert all(one.attempts == [] and one.attempt == 1 for one in root.children(recursive=True))
    assert len(root.children(recursive=True)) == 12 * 5
    assert handler.most <= 2
    assert took < 4 * (48 * 0.1 / 2), took  # twice the ideal time on a machine that does nothing else


def test_parked_run_has_neither_lease_nor_slot(cache: SessionCache) -> None:
    """A run that waits shows as parked without a lease, and goes on with the children that it spawned before."""
    root = cache.create()
    (id,) = spawn_runs(root, "parent")
    handler = Tree(2)
    parent = cache.session(id)
    hold = claim_run(cache)
    hold.release(delay=0)
    with working(cache, lambda run: handler(run) if run.task == "parent" else run.release(delay=0.05)):
        await_work_state(parent, "parked")
        info = parent.info()
        assert (info.lease, info.attempt, info.attempts) == (None, 0, [])
        assert [one.work in ("queued", "delayed", "running") for one in parent.children()] == [True, True]
        assert cache.recover() >= 0
        assert parent.info().work == "parked"
    with working(cache, handler):
        (child,) = root.join(timeout=DEADLINE_SECONDS)
    assert (child.result, child.attempt, child.attempts) == (2, 1, [])
    assert handler.begins[id] == 2
    assert handler.resumed == [True]
    assert len(parent.children()) == 2
    await_empty_queue(cache)


def test_parked_run_goes_on_when_enough_children_ended(cache: SessionCache) -> None:
    """A run waits for as many children as it wants, and is handed out again when the last of these ends."""
    root = cache.create()
    (id,) = spawn_runs(root, "parent")

    def handler(run: Run) -> Any:
        children = [run.spawn("b", task=str(n)) for n in range(3)]
        return [one.task for one in run.wait_for(children, wanted=2, timeout=DEADLINE_SECONDS)]

    with working(cache, handler):
        await_work_state(cache.session(id), "parked")
        first, second = claim_run(cache, "b"), claim_run(cache, "b")
        second.complete()
        time.sleep(0.1)
        assert cache.session(id).info().work == "parked"
        first.fail(reason="x")
        assert root.join(timeout=DEADLINE_SECONDS)[0].result == ["0", "1"]


@pytest.mark.parametrize("end", ["cancel", "delete", "time_out", "die"])
def test_any_end_of_child_wakes_parked_parent(cache: SessionCache, end: str) -> None:
    """A parked run goes on however its child ends, also when the child's worker died and nothing else happens."""
    root = cache.create()
    spawn_runs(root, "parent")

    def handler(run: Run) -> Any:
        run.spawn("b", max_attempts=1)
        return [one.status for one in run.wait_for(timeout=DEADLINE_SECONDS)]

    with working(cache, handler):
        child = claim_run(cache, "b", wait=DEADLINE_SECONDS, ttl=0.3 if end == "die" else 30)
        await_true(lambda: root.children()[0].work == "parked", DEADLINE_SECONDS)
        if end == "die":
            abandon(child)
            await_true(lambda: cache.recover("b") >= 0 and child.info().status == "failed", DEADLINE_SECONDS)
        else:
            getattr(cache.session(child.id), end)()
        (found,) = root.join(timeout=DEADLINE_SECONDS)
    wanted = {"cancel": "cancelled", "delete": "deleted", "time_out": "timed_out", "die": "failed"}
    assert found.result in ([wanted[end]], ["cancelled"] if end == "delete" else None)


def test_wait_for_ended_children_returns_at_once(cache: SessionCache) -> None:
    """A wait for children that have ended, or for none, returns without parking, in the order of their spawns."""
    root = cache.create()
    spawn_runs(root, "parent")
    run = claim_run(cache)
    run.can_park = True
    assert run.wait_for() == []
    one, two = run.spawn("b", task="1"), run.spawn("b", task="2")
    first = claim_run(cache, "b")
    with pytest.raises(RunParked, match="waits for 1 of 1 children"):
        first.complete("x")
        run.wait_for([two, one])
    claim_run(cache, "b").complete("y")
    assert [one.result for one in run.wait_for([two, one])] == ["x", "y"]
    assert [one.result for one in run.wait_for(two)] == ["y"]  # type: ignore[arg-type]
    assert [one.result for one in run.wait_for(run.children())] == ["x", "y"]
    assert [one.result for one in run.join(park=True)] == ["x", "y"]
    run.complete()


def test_wait_for_stranger_is_refused(cache: SessionCache) -> None:
    """A run can wait for its own children only: not for another's child, a grandchild, itself, or a refused spawn."""
    root = cache.create(max_depth=3)
    spawn_runs(root, "parent")
    run = claim_run(cache)
    child = cache.session(key_of(run.spawn("b")))
    grandchild = key_of(child.spawn("b"))
    foreign = key_of(cache.create().spawn("b"))
    for stranger in (foreign, grandchild, run.id, "nowhere"):
        with pytest.raises(InvalidInput, match="children"):
            run.wait_for([child.id, stranger])
    with pytest.raises(InvalidInput, match="accepted"):
        run.wait_for([run.spawn("b", label="x"), run.spawn("b", label="x")])
    with pytest.raises(InvalidInput, match="timeout"):
        run.wait_for(timeout=-1)
    assert run.info().work == "running"
    run.complete()


def test_wait_of_parked_run_times_out(cache: SessionCache) -> None:
    """A parked run is handed out again at the end of its wait, and its handler gets the JoinTimeout."""
    root = cache.create()
    (id,) = spawn_runs(root, "parent")
    seen: list[str] = []

    def handler(run: Run) -> str:
        run.spawn("b")
        seen.append("begins")
        try:
            run.wait_for(timeout=0.5)
        except JoinTimeout as problem:
            seen.append(str(len(problem.waiting)))
            return "gave up waiting"
        return "unexpected"

    with working(cache, handler):
        (child,) = root.join(timeout=DEADLINE_SECONDS)
    assert (child.result, child.attempt) == ("gave up waiting", 1)
    assert seen == ["begins", "begins", "1"]
    assert cache.session(id).info().attempts == []


def test_attempt_after_death_of_resumed_run_waits_again(cache: SessionCache) -> None:
    """The end of a wait reaches one attempt: when its worker dies, the next attempt begins as the first did."""
    spawn_runs(cache.create(), "parent")
    run = claim_run(cache)
    run.can_park = True
    run.spawn("b")
    with pytest.raises(RunParked) as parked:
        run.wait_for(timeout=0.3)
    run._park(parked.value)
    run = claim_run(cache, ttl=0.3)
    assert (run.attempt, run.is_resumed) == (1, True)
    abandon(run)
    run = claim_run(cache)
    assert (run.attempt, run.is_resumed) == (2, False)


def test_handler_that_cannot_resume_keeps_its_slot(cache: SessionCache) -> None:
    """With resumable=False the handler waits where it is, keeps lease and slot, and begins once."""
    root = cache.create()
    (id,) = spawn_runs(root, "parent")
    begins: list[str] = []

    def handler(run: Run) -> Any:
        begins.append(run.id)
        run.spawn("b")
        return [one.result for one in run.wait_for(timeout=DEADLINE_SECONDS)]

    with working(cache, handler, resumable=False):
        child = claim_run(cache, "b")
        info = cache.session(id).info()
        assert (info.work, info.lease is not None) == ("running", True)
        child.complete("x")
        assert root.join(timeout=DEADLINE_SECONDS)[0].result == ["x"]
    assert begins == [id]


def test_spawns_of_resumed_run_are_the_same_children(cache: SessionCache) -> None:
    """Equal spawns of a run are different children, and the same ones when the run begins again."""
    root = cache.create(max_children=None)
    (id,) = spawn_runs(root, "parent")
    found: list[list[str]] = []

    def handler(run: Run) -> int:
        children = [run.spawn("b", task="same"), run.spawn("b", task="same"), run.spawn("b", task="same", label="x")]
        found.append([key_of(one) for one in children])
        return len(run.wait_for(timeout=DEADLINE_SECONDS))

    with working(cache, handler):
        await_work_state(cache.session(id), "parked")
        for _ in range(3):
            claim_run(cache, "b").complete()
        assert root.join(timeout=DEADLINE_SECONDS)[0].result == 3
    assert len(found) >= 2
    assert all(one == found[0] for one in found)
    assert len(set(found[0])) == 3


def test_failed_spawns_take_no_name_of_another(cache: SessionCache) -> None:
    """A spawn that is refused or fails gives back its own name only, so that later equal spawns make new children."""
    root = cache.create(max_descendants=4)
    spawn_runs(root, "parent")
    run = claim_run(cache)
    first = key_of(run.spawn("w", task="t"))
    assert run.spawn("w", task="t", batch_id="x", spawned_by=CALL, report="tool_result").reason == "call_not_open"
    second = key_of(run.spawn("w", task="t"))
    assert run.spawn("w", task="t", spawned_by=CALL, report="tool_result").reason == "call_not_open"
    third = run.spawn("w", task="t")
    assert (third.accepted, key_of(third) not in (first, second)) == (True, True)
    with pytest.raises(InvalidInput):
        run.spawn("w", task="t", delay=-1)
    assert run.spawn("w", task="t").reason == "max_descendants"
    assert [child.id for child in run.children()] == [first, second, key_of(third)]


def test_equal_spawns_at_the_same_time_are_different_children(cache: SessionCache) -> None:
    """Equal spawns of one run in several threads make a child each, also when one of them is refused."""
    root = cache.create(max_children=None, max_active=None)
    spawn_runs(root, "parent")
    run = claim_run(cache)

    def spawn(number: int) -> str | None:
        bad: Any = {"spawned_by": CALL, "report": "tool_result"} if number % 3 == 0 else {}
        return run.spawn("w", task="t", **bad).session_key

    with ThreadPoolExecutor(6) as pool:
        made = [id for id in pool.map(spawn, range(24)) if id is not None]
    assert len(set(made)) == len(made) == 16


def test_retried_attempt_spawns_children_of_its_own(cache: SessionCache) -> None:
    """An attempt after a failure spawns other children than the attempt before, as before there were parked runs."""
    root = cache.create()
    spawn_runs(root, "parent")
    found: list[str] = []

    def handler(run: Run) -> str:
        found.append(key_of(run.spawn("b", task="same")))
        if run.attempt == 1:
            raise ValueError
        return "done"

    with working(cache, handler):
        root.join(timeout=DEADLINE_SECONDS)
    assert len(set(found)) == 2


def test_parked_run_is_cancelled_with_its_children(cache: SessionCache) -> None:
    """A parked run can be cancelled: its children end with it, and its handler does not begin again."""
    root = cache.create()
    (id,) = spawn_runs(root, "parent")
    handler = Tree(2, pause=0)
    child_agent: list[Session] = []

    def only_parents(run: Run) -> Any:
        if run.task != "parent":
            child_agent.append(run)
            run.should_stop.wait(DEADLINE_SECONDS)
            return None
        return handler(run)

    with working(cache, only_parents):
        await_work_state(cache.session(id), "parked")
        cache.session(id).cancel()
        assert root.join(timeout=DEADLINE_SECONDS)[0].status == "cancelled"
        await_true(lambda: {one.status for one in root.children(recursive=True)} == {"cancelled"}, DEADLINE_SECONDS)
        await_empty_queue(cache)
    assert handler.begins == {id: 1}


def test_parked_turn_goes_on_with_its_requests(cache: SessionCache) -> None:
    """A turn that waits for children is parked like a run, and later answers the same messages and those of the meantime."""
    session = cache.create(answered_by="a")
    seen: list[list[str]] = []

    def handler(run: Run) -> None:
        seen.append([str(message.content) for message in run.requests()])
        run.spawn("b", report=False)
        (child,) = run.wait_for(timeout=DEADLINE_SECONDS)
        run.finish({"role": "assistant", "content": child.result})

    with working(cache, handler):
        sent = session.send("1")
        await_work_state(session, "parked")
        claim_run(cache, "b").complete("answer")
        assert session.wait_for_reply(sent, timeout=DEADLINE_SECONDS).content == "answer"
        await_work_state(session, None)
    assert seen == [["1"], ["1"]]


@pytest.mark.parametrize("children", [5, [5], 1.5], ids=repr)
def test_wait_for_what_is_no_child_is_refused(cache: SessionCache, children: Any) -> None:
    """A number, such as the count of children that `wanted` takes, is refused as an argument."""
    spawn_runs(cache.create(), "t")
    run = claim_run(cache)
    with pytest.raises(InvalidInput, match="children: must be results of spawn, children or IDs"):
        run.wait_for(children)
    run.complete()
