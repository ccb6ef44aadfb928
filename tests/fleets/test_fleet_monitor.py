"""The monitor of a fleet: problems with their causes, counts, parts of bounded size."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import timedelta
from typing import Any

import pytest

from redis_sessions import (
    AsyncSessionCache,
    Fleet,
    FleetMonitor,
    FleetProblem,
    InvalidInput,
    RunParked,
    SessionCache,
    StoreUnavailable,
)
from redis_sessions._core.commands import workers
from redis_sessions._core.commands.fleet_view import FleetCounts
from redis_sessions._core.protocol.keys import worker_keys
from redis_sessions._sync.services.fleet_reader import FleetReader
from redis_sessions.cli.top.figures import has_lost_holder
from tests.conftest import SLOW_TEST_ENGINES
from tests.leases.dead_holders import let_run_out
from tests.support.lease_waiters import elsewhere
from tests.support.planted_fleet import planted_fleet
from tests.support.servers import Server, await_true

USER = {"role": "user", "content": "x"}


def kinds(fleet: Fleet) -> dict[str, str | None]:
    """Return the session or the agent of each kind of problem."""
    return {one.kind: one.session_id or one.agent_id for one in fleet.problems}


def work_off(cache: SessionCache, agent: str, handler: Any, until: Any) -> None:
    """Run a worker until a condition holds."""
    stop = threading.Event()
    options: dict[str, Any] = {"backoff": lambda attempt: 0.0, "grace": 0, "signals": False, "ttl": 2}
    worker = threading.Thread(target=lambda: cache.worker(agent, handler, stop=stop, concurrency=4, **options))
    worker.start()
    try:
        await_true(until, 30)
    finally:
        stop.set()
        worker.join()


# -- problems --------------------------------------------------------------------------------------------------------------


def test_problems_name_session_and_cause(cache: SessionCache) -> None:
    """Each problem names its session and says in a sentence what is wrong."""
    spent = cache.create("spent", token_budget=10)
    spent.start_loop("l")
    spent.loop("l").record_usage("s", {"total": 12})
    parent = cache.create("parent")
    parent.spawn("idle", task="waits").raise_if_refused()
    parent.pause(reason="asked a person")
    cache.create("plain").append(USER)
    found = cache.monitor().read()
    assert found.is_complete
    assert {one.kind for one in found.problems} - {"server"} == {"budget_spent", "paused_parent", "no_worker"}
    texts = {one.kind: one.text for one in found.problems}
    assert "12 of 10 tokens" in texts["budget_spent"]
    assert "asked a person" in texts["paused_parent"]
    assert "1 active session below it" in texts["paused_parent"]
    assert "agent idle" in texts["no_worker"]
    assert kinds(found)["paused_parent"] == "parent"
    (load,) = found.agents
    assert (load.agent_id, load.queued, load.workers) == ("idle", 1, 0)
    assert load.oldest_wait is not None
    full, holder = cache.create("full", max_inbox=2), SessionCache(cache)
    with holder.session("full").lease():
        for _ in range(2):
            full.send("x")
        assert kinds(cache.monitor().read())["inbox_full"] == "full"


def test_holder_that_writes_nothing_is_told_from_one_that_writes(cache: SessionCache) -> None:
    """A held session without writes is a problem after `stuck_after`, one with writes is not."""
    silent, busy = cache.create("silent"), cache.create("busy")
    with silent.lease(ttl=60), busy.lease(ttl=60) as lease:
        time.sleep(2.2)
        lease.session.append(USER)
        found = cache.monitor(stuck_after=2).read()
    assert kinds(found) == {"silent_holder": "silent"} | {
        one.kind: None for one in found.problems if one.kind == "server"
    }
    held = {one.id: one for one in found.sessions}
    assert held["silent"].held_since is not None
    assert held["silent"].holder == held["busy"].holder


def test_lease_that_ran_out_is_a_problem_until_somebody_takes_over(cache: SessionCache) -> None:
    """A run whose worker vanished without a trace is shown with the name of that worker."""
    id = cache.create("root").spawn("a", task="t").session_key
    run = cache.claim("a", wait=20, ttl=0.2, owner="gone", max_hold=0.1)
    assert run is not None
    assert run.held.lost.wait(20)
    monitor = cache.monitor()

    def dead_holders() -> list[tuple[str | None, str | None]]:
        return [(one.session_id, one.worker) for one in monitor.read().problems if one.kind == "dead_holder"]

    await_true(lambda: dead_holders() == [(id, "gone")])


def test_lease_that_ran_out_is_left_out_where_nothing_waits(cache: SessionCache) -> None:
    """The next caller gets the lease at once. Messages in the inbox wait for one, and recovery lets them enter."""
    chat = cache.create("chat")
    lease = chat.lease(owner="gone")
    elsewhere(lease.acquire)
    chat.send("one")
    let_run_out(lease)
    monitor = cache.monitor()
    await_true(lambda: kinds(monitor.read()).get("dead_holder") == "chat")
    assert [one.holder for one in monitor.read().sessions] == ["gone"]
    cache.recover()
    lease = chat.lease(owner="gone")
    elsewhere(lease.acquire)
    assert [one.holder for one in monitor.read().sessions] == ["gone"]
    let_run_out(lease)
    await_true(lambda: [one.holder for one in monitor.read().sessions] == [None])
    assert monitor.latest is not None
    assert "dead_holder" not in kinds(monitor.latest)


def wait_of(cache: SessionCache, agent: str) -> float:
    """Return the seconds for which the work of an agent waits."""
    (load,) = [one for one in cache.monitor().read().agents if one.agent_id == agent]
    assert load.queued == 1
    assert load.oldest_wait is not None
    return load.oldest_wait.total_seconds()


def test_wait_of_a_turn_begins_when_the_turn_opens(cache: SessionCache) -> None:
    """A user who writes again does not make the wait shorter. A turn that was answered does not make the next one longer."""
    chat = cache.create("chat", answered_by="clerk")
    chat.send("hi")
    for _ in range(3):
        time.sleep(0.7)
        chat.send("still there?")
    assert wait_of(cache, "clerk") >= 2.1
    turn = cache.claim("clerk", wait=20)
    assert turn is not None
    turn.finish({"role": "assistant", "content": "yes"})
    time.sleep(0.5)
    began = time.monotonic()
    chat.send("thanks")
    assert wait_of(cache, "clerk") <= time.monotonic() - began + 0.4


@pytest.mark.parametrize("way", ["resumed", "failed", "released", "retried", "unparked"])
def test_wait_of_a_run_begins_when_it_can_be_claimed(cache: SessionCache, way: str) -> None:
    """The time in which a run was paused, parked, or in the hands of a worker does not count as a wait."""
    id = cache.create("root").spawn("boss", task="t", max_attempts=1 if way == "retried" else 3).session_key
    run, boss = cache.claim("boss", wait=20), cache.session(id or "")
    assert run is not None
    if way == "unparked":
        run.spawn("kid", task="t")
        run.can_park = True
        with pytest.raises(RunParked) as parked:
            run.wait_for()
        run._park(parked.value)
    elif way == "resumed":
        run.release()
        boss.pause()
    time.sleep(2)
    began = time.monotonic()
    if way == "resumed":
        boss.resume()
    elif way == "failed":
        run._give_back("failed", problem="x")
    elif way == "released":
        run.release()
    elif way == "retried":
        run.fail(reason="x")
        boss.retry()
    else:
        kid = cache.claim("kid", wait=20)
        assert kid is not None
        kid.complete("x")
        await_true(lambda: boss.info().work == "queued")
    assert wait_of(cache, "boss") <= time.monotonic() - began + 0.4


def test_session_is_judged_by_the_time_of_its_read(cache: SessionCache) -> None:
    """In a large fleet the holder may have renewed the lease, and written, since the session was read."""
    monitor = cache.monitor()
    with cache.create("chat").lease(ttl=30, owner="alive"):
        read = monitor.read()
        later = read.read_at + timedelta(minutes=5)
        found = monitor._view.build(FleetCounts(1, 0, {}, [], []), later)
    assert [one.holder for one in found.sessions] == ["alive"]
    assert not has_lost_holder(found.sessions[0])
    assert not {"dead_holder", "silent_holder"} & set(kinds(found))


def test_every_registered_worker_is_read(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry of several pages, cut by their number or by their bytes, hides no living worker behind dead ones."""
    keys = worker_keys(cache.namespace)
    ids = [f"{number:012x}" for number in range(7)]
    for id in ids:
        worker = workers.Registrant(id, id, ("boss",), 4, 30_000)
        cache._executor.run(workers.heartbeat(keys, worker, [f"held-by-{id}"], None))
    monkeypatch.setattr(workers, "MAX_PAGE_WORKERS", 3)
    assert sorted(one.id for one in cache.monitor().read().workers) == ids
    monkeypatch.setattr(workers, "_MAX_PAGE_BYTES", 10)
    assert sorted(one.id for one in cache.monitor().read().workers) == ids


def test_session_that_no_sweep_meets_is_kept_and_a_deleted_one_is_not(
    cache: SessionCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that is raised in front of each part is read by its ID. Until each session was met, the fleet is incomplete."""
    for id in ("busy", "calm", "gone"):
        cache.create(id)
    entries = FleetReader._entries

    def without_busy(self: FleetReader, *query: Any) -> Any:
        found = entries(self, *query)
        return found._replace(entries=[one for one in found.entries if one.id != "busy"])

    monitor = cache.monitor()
    assert monitor.read().is_complete
    monkeypatch.setattr(FleetReader, "_entries", without_busy)
    cache.session("busy").append(USER)
    cache.delete("gone")
    for _ in range(6):
        found = monitor.read()
    assert {one.id: one.last_seq for one in found.sessions} == {"busy": 1, "calm": 0}
    assert found.is_complete
    other = cache.monitor()
    assert not any(other.read().is_complete for _ in range(4))
    monkeypatch.setattr(FleetReader, "_entries", entries)
    assert other.read().is_complete


def test_failures_are_counted_for_each_agent(cache: SessionCache) -> None:
    """The number of an agent's failures is not that of the 200 failed sessions that a fleet names."""
    monitor = cache.monitor()
    monitor.read()
    for agent in ("a", "b"):
        for number in range(2):
            root = cache.create(f"root-{agent}-{number}")
            for _ in range(55):
                root.spawn(agent, max_attempts=1).raise_if_refused()
                run = cache.claim(agent, wait=20)
                assert run is not None
                run.fail(reason="x")

    def failed() -> dict[str, int]:
        return {one.agent_id: one.failed for one in monitor.read().agents}

    await_true(lambda: failed() == {"a": 110, "b": 110})
    assert monitor.latest is not None
    assert len(monitor.latest.failed) == 200


def test_failed_run_that_was_deleted_is_no_problem(cache: SessionCache) -> None:
    """A failed run that is deleted leaves the list, the counts and the problems with the next reads."""
    monitor = cache.monitor()
    monitor.read()
    root = cache.create("root")
    ids = [str(root.spawn("a", max_attempts=1).session_key) for _ in range(2)]
    for _ in ids:
        run = cache.claim("a", wait=20)
        assert run is not None
        run.fail(reason="x")
    await_true(lambda: len(monitor.read().failed) == 2)
    cache.delete(ids[0])
    await_true(lambda: [one.id for one in monitor.read().failed] == [ids[1]])
    assert monitor.latest is not None
    assert kinds(monitor.latest)["run_failed"] == ids[1]
    assert [one.failed for one in monitor.latest.agents] == [1]


def test_failed_run_is_shown_with_its_error_until_it_is_retried(cache: SessionCache) -> None:
    """A run that failed names its error and attempts. After a retry it is an open run again."""
    child = cache.create("root").spawn("a", task="bad", max_attempts=2)
    monitor = cache.monitor()
    monitor.read()

    def fail(run: Any) -> None:
        raise ValueError("no such flight")

    id = str(child.session_key)
    work_off(cache, "a", fail, lambda: cache.session(id).info().status == "failed")
    await_true(lambda: bool(monitor.read().failed), 20)
    fleet = monitor.latest
    assert fleet is not None
    problem = next(one for one in fleet.problems if one.kind == "run_failed")
    assert problem.session_id == id
    assert "ValueError: no such flight" in problem.text
    assert "after 2 attempts" in problem.text
    assert fleet.agents[0].failed == 1
    cache.session(id).retry()
    await_true(lambda: not monitor.read().failed, 20)
    assert monitor.latest is not None
    assert monitor.latest.agents[0].queued == 1


def problem_of(fleet: Fleet, kind: str) -> FleetProblem:
    """Return the only problem of a kind."""
    (found,) = [one for one in fleet.problems if one.kind == kind]
    return found


def test_turn_that_gave_up_is_a_problem_until_it_is_retried(cache: SessionCache) -> None:
    """A conversation that no worker answers any more stays active, so it is in no list of failed sessions."""

    def fail(run: Any) -> None:
        raise ValueError("no such flight")

    chat = cache.create("chat", answered_by="bot")
    chat.send("Where is my bag?")
    work_off(cache, "bot", fail, lambda: chat.info().work == "failed")
    problem = problem_of(cache.monitor().read(), "run_failed")
    assert (problem.session_id, problem.since) == ("chat", chat.info().attempts[-1].ended_at)
    assert problem.text == "The turn gave up after 3 attempts, and no worker answers: ValueError: no such flight"
    chat.retry()
    assert "run_failed" not in kinds(cache.monitor().read())


def test_paused_work_waits_for_its_resume_and_no_worker(cache: SessionCache) -> None:
    """No worker takes work of a paused session, so more workers do not help."""
    run = cache.create("root").spawn("idle", task="waits").session_key
    assert run is not None
    cache.session(run).pause(reason="asked a person")
    found = cache.monitor(stuck_after=0.001).read()
    problem = problem_of(found, "paused_parent")
    assert problem.session_id == run
    assert problem.text == "The session is paused (asked a person), and its own run or turn waits for that."
    assert not {"no_worker", "long_wait"} & set(kinds(found))
    assert [(one.agent_id, one.queued, one.oldest_wait) for one in found.agents] == [("idle", 0, None)]
    cache.session(run).resume()
    assert kinds(cache.monitor().read())["no_worker"] == "idle"


def test_full_inbox_of_a_paused_session_names_the_pause(cache: SessionCache) -> None:
    """A worker that would take the messages does not help while the session is paused."""
    chat = cache.create("chat", max_inbox=1)
    lease = chat.lease(owner="busy")
    elsewhere(lease.acquire)
    chat.send("one")
    assert "busy does not take them" in problem_of(cache.monitor().read(), "inbox_full").text
    chat.pause()
    problem = problem_of(cache.monitor().read(), "inbox_full")
    assert problem.text.endswith("1 message wait, and the session is paused. More are refused.")
    assert problem.advice == "Resume it."
    lease.release()


def test_bound_of_an_agent_is_named_as_the_cause_of_a_wait(cache: SessionCache) -> None:
    """Free places of workers do not help an agent of which as many run as may."""
    cache.limit_agent("a", max_running=1)
    root = cache.create("root")
    root.spawn("a", task="first")
    root.spawn("a", task="second")
    stop, started = threading.Event(), threading.Event()

    def wait(run: Any) -> None:
        started.set()
        stop.wait(60)

    options: dict[str, Any] = {"grace": 0, "signals": False, "concurrency": 4, "stop": stop}
    worker = threading.Thread(target=lambda: cache.worker("a", wait, **options))
    worker.start()
    try:
        assert started.wait(30)
        monitor = cache.monitor(stuck_after=0.01)
        await_true(lambda: "long_wait" in kinds(monitor.read()), 30)
        assert monitor.latest is not None
        problem = problem_of(monitor.latest, "long_wait")
        assert problem.text.endswith("1 run, and at most 1 of the agent may run at once.")
        assert "limit_agent" in problem.advice
    finally:
        stop.set()
        worker.join()


@pytest.mark.parametrize("server", SLOW_TEST_ENGINES[:2], indirect=True)
def test_planted_causes_are_found(server: Server, namespace: str) -> None:
    """In a fleet of processes each planted cause is found at its session in one read of all."""
    with planted_fleet(server.url, namespace, sessions=120) as fleet, fleet_cache(fleet) as cache:
        monitor = cache.monitor(stuck_after=3)
        expected = dict(fleet.causes)

        def all_found() -> bool:
            found = {(one.kind, one.session_id) for one in monitor.read_all().problems}
            return {*expected.items()} <= found

        await_true(all_found, 40)


def fleet_cache(fleet: Any) -> SessionCache:
    """Return a cache on a planted fleet."""
    return SessionCache.from_url(fleet.url, namespace=fleet.namespace)


# -- counts ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["fake", *SLOW_TEST_ENGINES], indirect=True)
def test_each_ended_run_counts_once(cache: SessionCache) -> None:
    """Runs that end while the monitor reads are counted once each, with the attempts that failed."""
    root = cache.create("root", max_children=200, max_active=200, max_descendants=200)
    for number in range(60):
        root.spawn("a", task=f"{number}").raise_if_refused()
    monitor = cache.monitor()
    monitor.read()
    ended = set()

    def handle(run: Any) -> str:
        number = int(run.task)
        if number % 10 == 1:
            raise ValueError("always")
        if number % 10 == 2 and run.attempt == 1:
            raise ValueError("once")
        ended.add(run.id)
        return "done"

    def is_over() -> bool:
        fleet = monitor.read()
        return bool(fleet.ended_runs) and fleet.ended_runs[0].completed + fleet.ended_runs[0].failed >= 60

    work_off(cache, "a", handle, is_over)
    time.sleep(2.5)  # the lease of the worker is over
    cache.session(next(iter(ended))).patch(name="touched after its end")
    time.sleep(2.5)
    fleet = monitor.read()
    (counts,) = fleet.ended_runs
    assert (counts.completed, counts.failed, counts.timed_out, counts.cancelled) == (54, 6, 0, 0)
    assert (counts.failed_attempts, counts.died_attempts) == (6 * 3 + 6, 0)
    assert any(one.handling_p50 is not None and one.wait_p50 is not None for one in fleet.samples)


@pytest.mark.parametrize("engine", ["fake", *SLOW_TEST_ENGINES], indirect=True)
@pytest.mark.parametrize("reads_between", [True, False])
def test_each_end_of_a_retried_run_counts(cache: SessionCache, reads_between: bool) -> None:
    """A run that failed, was retried and completed is one failure and one completion, whether or not it was read in between."""
    root = cache.create("root")
    early = root.spawn("a", task="early", max_attempts=1).raise_if_refused()
    claimed = cache.claim("a", wait=10)
    assert claimed is not None
    claimed.fail(reason="before the monitor")
    monitor = cache.monitor()
    monitor.read()

    def count() -> tuple[int, int]:
        ended = monitor.read().ended_runs
        return (ended[0].failed, ended[0].completed) if ended else (0, 0)

    root.spawn("a", task="late", max_attempts=1).raise_if_refused()
    run = cache.claim("a", wait=10)
    assert run is not None
    run.fail(reason="no")
    if reads_between:
        await_true(lambda: count() == (1, 0), 20)
    cache.session(run.id).retry()
    if reads_between:
        count()
    again = cache.claim("a", wait=10)
    assert again is not None
    assert again.id == run.id != early.session_key
    again.complete("done")
    await_true(lambda: count() == (1, 1), 20)
    time.sleep(2.5)  # the index is read again behind what settled
    assert count() == (1, 1)


# -- parts -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["fake", *SLOW_TEST_ENGINES], indirect=True)
def test_large_fleet_is_read_in_parts(cache: SessionCache) -> None:
    """A read looks at 800 sessions at most. After some reads each was seen, and what is gone is not shown for ever."""
    for number in range(1500):
        cache.create(f"s{number}")
    monitor = cache.monitor()
    first = monitor.read()
    assert not first.is_complete
    assert 700 <= len(first.sessions) <= 800
    assert first.active == 1500
    while not monitor.read().is_complete:
        pass
    fleet = monitor.latest
    assert fleet is not None
    assert len(fleet.sessions) == 1500
    for number in range(10):
        cache.delete(f"s{number}")
    await_true(lambda: len(monitor.read().sessions) == 1490, 20)
    assert len(cache.monitor().read_all().sessions) == 1490
    few = cache.monitor(max_sessions=100)
    assert len(few.read_all().sessions) == 100
    assert not few.read().is_complete


@pytest.mark.parametrize("engine", ["fake"], indirect=True)
def test_new_sessions_replace_old_ones_where_there_is_no_room(cache: SessionCache) -> None:
    """A monitor of a fleet that is larger than `max_sessions` shows the newest sessions."""
    monitor = cache.monitor(max_sessions=800)
    for name in ("old", "new"):
        for number in range(900):
            cache.create(f"{name}-{number}")
        for _ in range(3):
            fleet = monitor.read_all()
        assert sum(one.id.startswith(name) for one in fleet.sessions) >= 700
        assert not fleet.is_complete


def test_message_rate_is_the_growth_of_sessions(cache: SessionCache) -> None:
    """New messages between two reads make the rate."""
    session = cache.create("a")
    monitor = cache.monitor()
    assert monitor.read().messages_per_second is None
    session.append(*[USER] * 50)
    time.sleep(0.5)
    rate = monitor.read().messages_per_second
    assert rate is not None
    assert 0 < rate <= 100


# -- faults ----------------------------------------------------------------------------------------------------------------


def test_options_are_checked() -> None:
    """A monitor of no session, or with a negative time, is refused."""
    with SessionCache.from_url("fake://") as cache:
        for options in ({"max_sessions": 0}, {"max_sessions": 10**9}, {"stuck_after": -1}, {"stuck_after": "soon"}):
            with pytest.raises(InvalidInput):
                cache.monitor(**options)


def test_server_that_does_not_answer_is_an_error_and_the_latest_stays(server: Server, namespace: str) -> None:
    """A read of a server that is gone raises, and the monitor goes on when the server is back."""
    with SessionCache.from_url(server.url, namespace=namespace, timeout=0.3, retry_for=0.3) as cache:
        cache.create("a")
        monitor: FleetMonitor = cache.monitor()
        before = monitor.read()
        server.pause()
        try:
            with pytest.raises(StoreUnavailable):
                monitor.read()
        finally:
            server.resume()
        assert monitor.latest is before
        await_true(lambda: [one.id for one in monitor.read().sessions] == ["a"], 20)


def test_asyncio_viewers_share_one_monitor() -> None:
    """Reads at the same time come one after the other."""

    async def main() -> list[Fleet]:
        async with AsyncSessionCache.from_url("fake://") as cache:
            await cache.create("a")
            monitor = cache.monitor()
            return await asyncio.gather(*[monitor.read() for _ in range(5)])

    found = asyncio.run(main())
    assert [len(one.sessions) for one in found] == [1] * 5


@pytest.mark.parametrize("engine", ["fake", *SLOW_TEST_ENGINES], indirect=True)
@pytest.mark.parametrize("reads_between", [True, False])
def test_attempts_before_a_retry_count(cache: SessionCache, reads_between: bool) -> None:
    """The attempts of each round of a retried run count once, whether or not the run was read before its retry."""
    root = cache.create("root")
    child = cache.session(str(root.spawn("a", task="bad", max_attempts=2).raise_if_refused().session_key))
    monitor = cache.monitor()
    monitor.read()

    def fail_all_attempts() -> None:
        def handle(run: Any) -> None:
            raise ValueError("always")

        def has_failed() -> bool:
            cache.worker("a", handle, backoff=0, until_idle=True)
            return child.info().status == "failed"

        await_true(has_failed, 60)

    def count() -> tuple[int, int, int]:
        ended = monitor.read().ended_runs
        return (ended[0].failed, ended[0].failed_attempts, ended[0].died_attempts) if ended else (0, 0, 0)

    fail_all_attempts()
    if reads_between:
        await_true(lambda: count() == (1, 2, 0), 20)
    child.retry()
    assert child.info().attempts == []
    if reads_between:
        assert count() == (1, 2, 0)
    fail_all_attempts()
    assert [one.outcome for one in child.info().attempts] == ["failed", "failed"]
    await_true(lambda: count() == (2, 4, 0), 20)
