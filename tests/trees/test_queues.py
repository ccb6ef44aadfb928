"""The queues of agents: fair between keys, by priority and time, bounded for the whole fleet, and not slowed by their length."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from redis_sessions import InvalidInput, Run, SessionCache
from redis_sessions._core.commands import run_queues
from redis_sessions._core.protocol.keys import SessionKeys
from redis_sessions._core.protocol.work import Work
from tests.conftest import SLOW_TEST_ENGINES
from tests.support.machine_load import measured_load
from tests.support.servers import await_true
from tests.trees.children import key_of
from tests.trees.runs import DEADLINE_SECONDS, abandon, claim_run, spawn_runs
from tests.trees.workers import await_empty_queue, working

SOON_SECONDS = 20
"""Far below the waits of claims."""
slow = pytest.mark.parametrize("engine", SLOW_TEST_ENGINES, indirect=True)


def tasks_of(cache: SessionCache, count: int, agent: str | list[str] = "a") -> list[str | None]:
    """Claim and complete runs. Return their tasks."""
    found = []
    for _ in range(count):
        run = cache.claim(agent, wait=DEADLINE_SECONDS)
        assert run is not None
        run.complete()
        found.append(run.task)
    return found


@pytest.mark.parametrize("engine", ["path", "cluster"], indirect=True)
def test_run_of_another_root_is_served_among_the_first(cache: SessionCache) -> None:
    """After 500 runs of one root, one of another root is among the next five claims, and no claim is slower than before."""
    busy, other = cache.create(max_children=None, max_active=None, max_descendants=600), cache.create()
    spawn_runs(busy, *["busy"] * 500)
    assert tasks_of(cache, 20) == ["busy"] * 20
    spawn_runs(other, "one", "two")
    found = tasks_of(cache, 6)
    assert found.index("one") < 5
    assert found.count("busy") >= 3


def test_roots_are_served_in_turn(cache: SessionCache) -> None:
    """Runs of three roots are claimed in turn, and those of each root in the order of their spawns."""
    roots = [cache.create(max_children=None, max_active=None) for _ in range(3)]
    for number, root in enumerate(roots):
        spawn_runs(root, *[f"{number}.{n}" for n in range(5)])
    found = [str(task) for task in tasks_of(cache, 15)]
    for number in range(3):
        assert [task for task in found if task.startswith(f"{number}.")] == [f"{number}.{n}" for n in range(5)]
    for start in range(0, 15, 3):
        assert len({task.split(".")[0] for task in found[start : start + 3]}) == 3


def test_fairness_key_of_caller_is_served_in_turn(cache: SessionCache) -> None:
    """The keys that callers give are served in turn, across roots and within one, for runs and turns."""
    root = cache.create(max_children=None, max_active=None)
    spawn_runs(root, *["big"] * 6, fairness_key="big")
    spawn_runs(cache.create(), "big", fairness_key="big")
    spawn_runs(root, "small", fairness_key="small")
    session = cache.create(answered_by="a", fairness_key="tenant")
    session.send("1")
    found = []
    for _ in range(4):
        run = claim_run(cache)
        found.append(run.task or "turn")
        run.release(delay=60)
    assert sorted(found) == ["big", "big", "small", "turn"]
    assert session.info().fairness_key == "tenant"


def test_keys_that_come_late_do_not_overtake_for_ever(cache: SessionCache) -> None:
    """A key that was silent gets its turn, and no more than its turn."""
    one, two = (cache.create(max_children=None, max_active=None) for _ in range(2))
    spawn_runs(one, *["one"] * 8)
    assert tasks_of(cache, 4) == ["one"] * 4
    spawn_runs(two, *["two"] * 4)
    found = tasks_of(cache, 8)
    assert found[:2] in (["one", "two"], ["two", "one"])
    assert found.count("one") == 4
    assert found[:6].count("two") in (2, 3)


def test_higher_priority_is_served_before(cache: SessionCache) -> None:
    """Runs and turns of a higher priority are claimed first, whatever came before, and are shown with it."""
    root = cache.create(max_children=None, max_active=None)
    for priority in (0, -100, 5, 100, 0):
        root.spawn("a", task=str(priority), priority=priority)
    session = cache.create(answered_by="a", priority=50)
    session.send("1")
    found = []
    for _ in range(6):
        run = claim_run(cache)
        found.append(run.task or "turn")
        assert run.info().priority == (50 if run.work == "turn" else int(str(run.task)))
        run.release(delay=60)
    assert found == ["100", "turn", "5", "0", "0", "-100"]


def test_priority_survives_failures_and_returns(cache: SessionCache) -> None:
    """A run that is given back, or whose worker died, keeps its priority and its key."""
    root = cache.create()
    spawn_runs(root, "low")
    spawn_runs(root, "high", priority=9, fairness_key="k")
    claim_run(cache).release()
    run = claim_run(cache, ttl=0.3)
    assert run.task == "high"
    abandon(run)
    await_true(lambda: cache.recover() >= 0 and bool(cache.session(run.id).info().attempts), DEADLINE_SECONDS)
    assert tasks_of(cache, 2) == ["high", "low"]
    await_empty_queue(cache)


def test_delayed_run_starts_at_its_time(cache: SessionCache) -> None:
    """A run with a delay, or with a time in the future, is claimed then and not before, by a worker that waits."""
    root = cache.create()
    began = time.monotonic()
    spawn_runs(root, "delay", delay=2)
    spawn_runs(root, "run_at", run_at=datetime.now(UTC) + timedelta(seconds=3))
    spawn_runs(root, "now")
    found = root.children()
    assert [one.work for one in found] == ["delayed", "delayed", "queued"]
    available_at = cache.session(found[0].id).info().available_at
    assert available_at is not None
    assert tasks_of(cache, 1) == ["now"]
    assert cache.claim("a") is None
    assert tasks_of(cache, 1) == ["delay"]
    assert 2 <= time.monotonic() - began < SOON_SECONDS
    assert tasks_of(cache, 1) == ["run_at"]
    assert 2.99 <= time.monotonic() - began < SOON_SECONDS


def test_time_that_is_over_is_refused(cache: SessionCache) -> None:
    """A `run_at` in the past spawns nothing, but the repetition of a spawn returns its child after the time, too."""
    root = cache.create()
    for seconds in (-1, -3600, -86400 * 365):
        with pytest.raises(InvalidInput, match=r"run_at.*past"):
            root.spawn("a", run_at=datetime.now(UTC) + timedelta(seconds=seconds))
    assert root.children() == []
    at = datetime.now(UTC) + timedelta(seconds=2)
    child = key_of(root.spawn("a", run_at=at, batch_id="b"))
    time.sleep(2.1)
    assert key_of(root.spawn("a", run_at=at, batch_id="b")) == child
    assert claim_run(cache).id == child


def test_time_may_pass_while_spawn_waits_for_room(cache: SessionCache) -> None:
    """A spawn that waits for room is accepted although its `run_at` passed in the meantime."""
    root = cache.create(max_active=1)
    (first,) = spawn_runs(root, "1")
    timer = threading.Timer(2, cache.session(first).complete)
    timer.start()
    result = root.spawn("a", run_at=datetime.now(UTC) + timedelta(seconds=1.5), wait=DEADLINE_SECONDS)
    timer.join()
    assert claim_run(cache).id == key_of(result)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"delay": -1}, "delay"),
        ({"delay": "soon"}, "delay"),
        ({"delay": float("nan")}, "delay"),
        ({"run_at": datetime(2030, 1, 1)}, "run_at"),
        ({"run_at": 5}, "run_at"),
        ({"run_at": datetime(2030, 1, 1, tzinfo=UTC), "delay": 1}, "run_at"),
        ({"priority": 101}, "priority"),
        ({"priority": -101}, "priority"),
        ({"priority": 1.5}, "priority"),
        ({"priority": "high"}, "priority"),
        ({"fairness_key": "x" * 1_000_000}, "fairness_key"),
        ({"fairness_key": "x" * 129}, "fairness_key"),
        ({"fairness_key": "a b"}, "fairness_key"),
        ({"fairness_key": ""}, "fairness_key"),
        ({"fairness_key": 3}, "fairness_key"),
    ],
)
def test_invalid_place_in_queue_is_refused(given: dict[str, Any], name: str) -> None:
    """A delay, time, priority or key that is not valid is refused before anything is sent, in a short error."""
    with SessionCache.from_url("redis://127.0.0.1:1", retry_for=0.1) as cache:
        with pytest.raises(InvalidInput, match=name) as caught:
            cache.session("s").spawn("a", **given)
        assert len(str(caught.value)) < 1000
        if name in ("priority", "fairness_key"):
            with pytest.raises(InvalidInput, match=name):
                cache.create(**given)


@pytest.mark.parametrize("bound", [0, -1, 1.5, "x", 1_000_001])
def test_invalid_bound_is_refused(bound: Any) -> None:
    """A bound that is not a number from 1 to a million is refused before anything is sent."""
    with SessionCache.from_url("redis://127.0.0.1:1", retry_for=0.1) as cache:
        with pytest.raises(InvalidInput, match="max_running"):
            cache.limit_agent("a", max_running=bound)
        with pytest.raises(InvalidInput, match="agent_id"):
            cache.limit_agent("a:b", max_running=1)


class Counter:
    """A handler that counts how many run at once."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.running = self.most = 0
        self.lock = threading.Lock()

    def __call__(self, run: Run) -> str:
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        time.sleep(self.seconds)
        with self.lock:
            self.running -= 1
        return "done"


@slow
def test_bound_of_agent_holds_in_whole_fleet(cache: SessionCache) -> None:
    """Six workers never run more than the bound at once, finish all runs, and follow a bound that changes."""
    cache.limit_agent("a", max_running=3)
    root = cache.create(max_children=None, max_active=None)
    spawn_runs(root, *[str(n) for n in range(30)])
    counter = Counter(0.05)
    with ExitStack() as stack:
        for _ in range(6):
            stack.enter_context(working(cache, counter, concurrency=2))
        assert all(one.result == "done" for one in root.join(timeout=DEADLINE_SECONDS))
        assert counter.most == 3
        cache.limit_agent("a", max_running=1)
        counter.most = 0
        spawn_runs(root, *[str(n) for n in range(6)])
        root.join(timeout=DEADLINE_SECONDS)
        assert counter.most == 1
        cache.limit_agent("a", max_running=None)
        counter.seconds, counter.most = 0.3, 0
        spawn_runs(root, *[str(n) for n in range(8)])
        root.join(timeout=DEADLINE_SECONDS)
        assert counter.most > 3


def give_back(run: Run) -> None:
    """Give a run back for a minute."""
    run.release(delay=60)


def pause(run: Run) -> None:
    """Pause a run, and give the run back."""
    run.pause()
    run.release()


@pytest.mark.parametrize("leave", [Run.complete, Run.cancel, give_back, pause, Run.fail, Run.delete])
def test_place_below_bound_is_free_at_once(cache: SessionCache, leave: Callable[[Run], Any]) -> None:
    """A run that ended, or waits, takes no place of the bound, and a worker that waits is woken."""
    cache.limit_agent("a", max_running=1)
    root = cache.create()
    spawn_runs(root, "1", "2")
    run = claim_run(cache)
    assert cache.claim("a", wait=0.2) is None
    with measured_load() as load:
        began = time.monotonic()
        leave(run)
        claim_run(cache)
        assert time.monotonic() - began < load.allow(2, wakeups=4)


@pytest.mark.parametrize("engine", ["path", "cluster"], indirect=True)
def test_dead_worker_leaves_its_place_below_bound(cache: SessionCache) -> None:
    """A worker that died counts until its lease ran out, and no longer than some seconds more."""
    cache.limit_agent("a", max_running=1)
    spawn_runs(cache.create(), "1", "2")
    abandon(claim_run(cache, ttl=0.5))
    with measured_load() as load:
        began = time.monotonic()
        claim_run(cache)
        assert time.monotonic() - began < load.allow(5, wakeups=4)


def test_late_give_back_takes_no_place_below_the_bound(cache: SessionCache) -> None:
    """A worker that gives work back after another one claimed it does not make room for a second run."""
    cache.limit_agent("a", max_running=1)
    spawn_runs(cache.create(), "1", "2")
    run = claim_run(cache)
    queues = cache._context.run_queues
    work = str(Work(run.id, run._keys.ancestors))
    queues.unclaim(["a"], f"1.000 {work}", "another nonce".replace(" ", "-"))
    assert cache.claim("a", wait=0.5) is None
    run.complete()
    claim_run(cache)


def test_work_is_checked_once_at_a_time(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work whose check takes long is not checked a second time until then, and other work is."""
    queues, release, checked = cache._context.run_queues, threading.Event(), []

    def advance(keys: SessionKeys, source: Any = None) -> None:
        checked.append(keys.id)
        assert keys.id != "slow" or release.wait(DEADLINE_SECONDS)

    monkeypatch.setattr(queues, "advance", advance)
    slow_check = threading.Thread(target=queues._check_all, args=("a", ["slow", "next"]))
    slow_check.start()
    await_true(lambda: checked == ["slow"])
    queues._check_all("a", ["slow", "next", "other"])
    assert checked == ["slow", "other"]
    release.set()
    slow_check.join()
    assert checked == ["slow", "other", "next"]
    queues._check_all("a", ["slow"])
    assert checked[3:] == ["slow"]


def test_worker_of_several_agents_serves_each(cache: SessionCache) -> None:
    """A worker of three agents hands out the runs and turns of each, is woken for each, and of no other agent."""
    root = cache.create(max_children=None, max_active=None)
    seen: list[tuple[str, str | None]] = []

    def handler(run: Run) -> None:
        seen.append((run.agent_id, run.task))
        if run.work == "turn":
            run.finish({"role": "assistant", "content": "answer"})

    session = cache.create(answered_by="c")
    with working(cache, handler, ["a", "b", "c"]), measured_load() as load:
        for agent in ("a", "b", "c", "d"):
            root.spawn(agent, task=agent)
        await_true(lambda: len(seen) == 3, DEADLINE_SECONDS)
        for _ in range(2):
            time.sleep(0.2)  # the worker waits
            sent = time.monotonic()
            session.wait_for_reply(session.send("1"), timeout=DEADLINE_SECONDS)
            assert time.monotonic() - sent < load.allow(3, wakeups=8)
    assert sorted(seen[:3]) == [("a", "a"), ("b", "b"), ("c", "c")]
    assert seen[3:] == [("c", None)] * 2
    assert [one.status for one in root.children()] == ["completed"] * 3 + ["active"]


def test_agents_of_one_worker_are_served_in_turn(cache: SessionCache) -> None:
    """A long queue of one agent does not keep a worker from the queue of another."""
    root = cache.create(max_children=None, max_active=None)
    spawn_runs(root, *["a"] * 10)
    root.spawn("b", task="b")
    assert "b" in tasks_of(cache, 3, ["a", "b"])


@pytest.mark.parametrize("agents", [[], ["a", "a"], ["a", "b:c"], "", [3]])
def test_invalid_agents_are_refused(agents: Any) -> None:
    """An empty list, the same agent twice, and an ID that is not valid are refused before anything is sent."""
    with SessionCache.from_url("redis://127.0.0.1:1", retry_for=0.1) as cache:
        with pytest.raises(InvalidInput, match="agent_id"):
            cache.claim(agents)
        with pytest.raises(InvalidInput, match="agent_id"):
            cache.worker(agents, lambda run: None)


@pytest.mark.parametrize("engine", ["fake"], indirect=True)
@pytest.mark.parametrize("seconds", [-500, 500])
def test_clock_may_jump_while_work_waits(cache: SessionCache, monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    """Runs and turns that wait can be claimed within seconds after the server's clock went back, or forward."""
    root, session = cache.create(), cache.create(answered_by="a")
    spawn_runs(root, "t")
    session.send("1")
    real = time.time
    monkeypatch.setattr("time.time", lambda: real() + seconds)
    with working(cache, lambda run: run.finish() if run.work == "turn" else "done"):
        assert root.join(timeout=DEADLINE_SECONDS)[0].result == "done"
        await_true(lambda: session.info().work is None, DEADLINE_SECONDS)
    assert time.time() - real() == pytest.approx(seconds, abs=1)


@pytest.mark.parametrize("engine", ["path"], indirect=True)
def test_claim_costs_the_same_in_long_queue(cache: SessionCache) -> None:
    """A claim from a queue of 20,000 runs of many keys costs the server as little as one from a queue of 200."""
    queue = cache._context.run_queues.queue_of("a")

    def fill(start: int, count: int) -> None:
        calls = [
            run_queues.schedule(queue, f"@{n % 7 - 3}/key{n % 100} agent:a:subagent:{n} root", "now")
            for n in range(start, start + count)
        ]
        for at in range(0, count, 500):
            cache._executor.run_many(calls[at : at + 500])

    def cost(claims: int) -> float:
        began = time.perf_counter()
        for _ in range(claims):
            assert cache._executor.run(run_queues.dequeue(queue, "claim")).reserved
        return (time.perf_counter() - began) / claims

    fill(0, 300)
    cost(50)
    short = min(cost(20) for _ in range(3))
    fill(300, 20_000)
    while cache._executor.run(run_queues.count_runs(queue)[0]) > 1000:
        cost(1)  # what arrived enters the line
    assert min(cost(50) for _ in range(3)) < 4 * short
