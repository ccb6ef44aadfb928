"""Trees under load: workers that are killed, processes that race for a limit, children that spawn during a cancellation."""

from __future__ import annotations

import os
import time
from collections import Counter
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from redis_sessions import SessionCache, SessionNotActive
from redis_sessions._core.commands.run_queues import dequeue
from redis_sessions._core.protocol.keys import agent_keys
from tests.conftest import SLOW_TEST_ENGINES, Engines, check_lifetimes
from tests.support.fleet import fleet, work
from tests.support.processes import CONTEXT

SOAK = bool(os.environ.get("REDIS_SESSIONS_SOAK"))


@pytest.mark.parametrize("name", SLOW_TEST_ENGINES)
def test_run_of_a_killed_worker_ends_once(name: str, engines: Engines, namespace: str) -> None:
    """Each run ends once and delivers one result within its attempts, while one of eight workers is killed every 100 ms."""
    total = 2000 if SOAK else 1000 if name == "valkey-9" else 300
    url = engines.url(name)
    with SessionCache.from_url(url, namespace=namespace, max_messages=None, max_children=None, max_active=None,
                               max_descendants=5000) as cache:  # fmt: skip
        parent = cache.create("root")
        for n in range(total):
            parent.spawn("worker", task=str(n), max_attempts=5).raise_if_refused()
        with fleet(8, work, url, namespace, "worker", 4, 1.0) as workers:
            due = time.monotonic() + 240
            while parent.info().count < total:
                time.sleep(0.1)
                workers.kill_one()
                assert time.monotonic() < due, f"{parent.info().count} of {total} after {workers.killed} kills"
        children = parent.children()
        results = Counter(message.metadata["subagent"]["session"] for message in parent.history())
        assert results == {child.id: 1 for child in children}
        assert len(children) == total
        assert {child.status for child in children} <= {"completed", "failed"}
        assert max(child.attempt for child in children) <= 5
        assert sum(child.status == "failed" for child in children) < total / 20
        due = time.monotonic() + 20
        ask = dequeue(agent_keys(namespace, "worker"), "claim", "nonce")
        while cache._executor.run(ask).reserved or cache.recover():
            assert cache.claim("worker") is None
            assert time.monotonic() < due
        for node in engines.nodes[name]:
            check_lifetimes(node.client, namespace)
            node.client.flushall()


LIMITS: dict[str, dict[str, Any]] = {
    "max_children": {"max_children": 5},
    "max_active": {"max_children": None, "max_active": 5},
    "max_descendants": {"max_children": None, "max_active": None, "max_descendants": 5},
    "label_in_use": {"max_children": None, "max_active": None},
    "max_depth": {"max_depth": 0},
    "token_budget": {"max_children": None, "max_active": None, "token_budget": 5},
}
NO_LIMITS = {"max_children": None, "max_active": None}


def race(url: str, namespace: str, number: int, rounds: int, barrier: Any, is_split: bool) -> None:
    """Spawn once a round, at the same time as other processes. With `is_split`, count the children first, and then spawn."""
    with SessionCache.from_url(url, namespace=namespace) as cache:
        for turn in range(rounds):
            barrier.wait(120)
            for limit in LIMITS if not is_split else ["max_children"]:
                parent = cache.session(f"{limit}.{turn}")
                if limit == "token_budget":
                    parent.loop("l").record_usage(str(number), {"total": 1})
                if not is_split or len(parent.children()) < 5:
                    parent.spawn("a", label=f"l{number % 5}" if limit == "label_in_use" else None)
            barrier.wait(120)


def count_accepted(
    url: str, namespace: str, processes: int, rounds: int, *, is_split: bool = False
) -> list[dict[str, int]]:
    """Return the number of children that each limit accepted, for each round."""
    barrier = CONTEXT.Barrier(processes + 1)
    with SessionCache.from_url(url, namespace=namespace) as cache, ExitStack() as stack:
        for number in range(processes):
            process = CONTEXT.Process(
                target=race, args=(url, namespace, number, rounds, barrier, is_split), daemon=True
            )
            process.start()
            stack.callback(process.join, 60)
        found = []
        for turn in range(rounds):
            for limit, options in LIMITS.items():
                cache.create(f"{limit}.{turn}", **(NO_LIMITS if is_split else options)).start_loop("l")
            barrier.wait(120)
            barrier.wait(120)
            found.append({limit: len(cache.session(f"{limit}.{turn}").children()) for limit in LIMITS})
        return found


@pytest.mark.parametrize("name", SLOW_TEST_ENGINES)
def test_racing_spawns_never_exceed_a_limit(name: str, engines: Engines, namespace: str) -> None:
    """Fifty processes spawn at the same time under a limit of five, and in each round exactly five are accepted."""
    rounds = 100 if SOAK else 15 if name == "valkey-9" else 5
    found = count_accepted(engines.url(name), namespace, 50, rounds)
    within_budget = [counts.pop("token_budget") for counts in found]
    assert (
        max(within_budget) <= 4
    )  # each process spends a token before its spawn, and the fifth token exhausts the budget
    expected = {limit: 5 for limit in LIMITS if limit != "token_budget"} | {"max_depth": 0}
    assert found == [expected] * rounds


def test_racing_spawns_in_two_steps_exceed_the_limit(engines: Engines, namespace: str) -> None:
    """The ablation shows that a count and a separate spawn accept too many children."""
    found = count_accepted(engines.url("valkey-9"), namespace, 50, 5, is_split=True)
    assert max(counts["max_children"] for counts in found) > 5


def overrun(url: str, namespace: str, number: int, rounds: int, barrier: Any) -> None:
    """Spawn and write as a child of each round's root, as fast as possible, until the child is cancelled."""
    with SessionCache.from_url(url, namespace=namespace) as cache:
        for turn in range(rounds):
            barrier.wait(120)
            child = cache.by_label(f"c{number}", root=f"root.{turn}")
            assert child is not None
            with suppress(SessionNotActive):
                while child.spawn("b").accepted or child.append({"role": "user", "content": "x"}):
                    pass
            barrier.wait(120)


@pytest.mark.parametrize("name", SLOW_TEST_ENGINES)
def test_cancelled_tree_changes_no_more(name: str, engines: Engines, namespace: str) -> None:
    """Sixteen children spawn and write during a cancellation, and no session below changes after the cancellation returned."""
    rounds = 100 if SOAK else 15 if name == "valkey-9" else 5
    url, barrier = engines.url(name), CONTEXT.Barrier(17)
    limits: dict[str, Any] = {**NO_LIMITS, "max_descendants": 5000}
    with SessionCache.from_url(url, namespace=namespace, **limits) as cache, ExitStack() as stack:
        for number in range(16):
            process = CONTEXT.Process(target=overrun, args=(url, namespace, number, rounds, barrier), daemon=True)
            process.start()
            stack.callback(process.join, 60)
        max_members = 0
        for turn in range(rounds):
            root = cache.create(f"root.{turn}")
            for number in range(16):
                root.spawn("a", label=f"c{number}").raise_if_refused()
            barrier.wait(120)
            time.sleep(0.02)
            root.cancel(reason="enough")
            before = root.children(recursive=True)
            barrier.wait(120)
            after = root.children(recursive=True)
            assert len(after) == len(before) >= 16
            assert {child.status for child in after} == {"cancelled"}
            max_members = max(max_members, len(after))
            assert [(child.updated_at, child.tokens) for child in after] == [
                (child.updated_at, child.tokens) for child in before
            ]
        assert max_members > 16, "no child spawned before the cancellation"
