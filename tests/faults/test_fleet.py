"""Trees under fire: workers that are killed, processes that race for room, children that spawn while their tree is cancelled."""

from __future__ import annotations

import os
import time
from collections import Counter
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from redis_sessions import SessionCache, SessionNotActive
from redis_sessions._core import runs
from tests.conftest import FEW, Engines, check_lifetimes
from tests.fleet import CONTEXT, fleet, work

SOAK = bool(os.environ.get("REDIS_SESSIONS_SOAK"))


@pytest.mark.parametrize("name", FEW)
def test_every_run_ends_once_however_workers_die(name: str, engines: Engines, namespace: str) -> None:
    """Runs over eight processes, one killed every 100 ms: each ended once, each result delivered once, none tried too often."""
    total = 2000 if SOAK else 1000 if name == "valkey-9" else 300
    url = engines.url(name)
    with SessionCache.from_url(url, namespace=namespace, max_messages=None, max_children=None, max_concurrent=None,
                               max_descendants=5000) as cache:  # fmt: skip
        parent = cache.create("root")
        for n in range(total):
            parent.spawn("worker", task=str(n), max_attempts=5).raise_if_refused()
        with fleet(8, work, url, namespace, "worker", 4, 1.0) as workers:
            due = time.monotonic() + 120
            while parent.info().count < total:
                time.sleep(0.1)
                workers.kill_one()
                assert time.monotonic() < due, f"{parent.info().count} of {total} after {workers.killed} kills"
        children = parent.children()
        told = Counter(message.metadata["subagent"]["session"] for message in parent.history())
        assert told == {child.id: 1 for child in children}
        assert len(children) == total
        assert {child.status for child in children} <= {"completed", "failed"}
        assert max(child.attempt for child in children) <= 5
        assert sum(child.status == "failed" for child in children) < total / 20
        due_in = time.monotonic() + 20
        while cache._calls.run(runs.ask(cache._home.queues.of("worker"), "n")).run or cache.sweep():
            assert cache.claim("worker") is None
            assert time.monotonic() < due_in
        for node in engines.nodes[name]:
            check_lifetimes(node.client, namespace)
            node.client.flushall()


LIMITS: dict[str, dict[str, Any]] = {
    "max_children": {"max_children": 5},
    "max_concurrent": {"max_children": None, "max_concurrent": 5},
    "max_descendants": {"max_children": None, "max_concurrent": None, "max_descendants": 5},
    "label_in_use": {"max_children": None, "max_concurrent": None},
    "max_depth": {"max_depth": 0},
    "token_budget": {"max_children": None, "max_concurrent": None, "token_budget": 5},
}
NO_LIMITS = {"max_children": None, "max_concurrent": None}


def race(url: str, namespace: str, number: int, rounds: int, barrier: Any, is_split: bool) -> None:
    """Spawns once a round, all at once with others; or looks first, and then spawns."""
    with SessionCache.from_url(url, namespace=namespace) as cache:
        for turn in range(rounds):
            barrier.wait(60)
            for limit in LIMITS if not is_split else ["max_children"]:
                parent = cache.session(f"{limit}.{turn}")
                if limit == "token_budget":
                    parent.loop("l").record_usage(str(number), {"total": 1})
                if not is_split or len(parent.children()) < 5:
                    parent.spawn("a", label=f"l{number % 5}" if limit == "label_in_use" else None)
            barrier.wait(60)


def accepted(url: str, namespace: str, processes: int, rounds: int, *, is_split: bool = False) -> list[dict[str, int]]:
    """How many children each limit let in, round by round."""
    barrier = CONTEXT.Barrier(processes + 1)
    with SessionCache.from_url(url, namespace=namespace) as cache, ExitStack() as stack:
        for number in range(processes):
            process = CONTEXT.Process(
                target=race, args=(url, namespace, number, rounds, barrier, is_split), daemon=True
            )
            process.start()
            stack.callback(process.join, 20)
        found = []
        for turn in range(rounds):
            for limit, options in LIMITS.items():
                cache.create(f"{limit}.{turn}", **(NO_LIMITS if is_split else options)).start_loop("l")
            barrier.wait(60)
            barrier.wait(60)
            found.append({limit: len(cache.session(f"{limit}.{turn}").children()) for limit in LIMITS})
        return found


@pytest.mark.parametrize("name", FEW)
def test_racing_spawns_never_pass_a_limit(name: str, engines: Engines, namespace: str) -> None:
    """Fifty processes at once, room for five: five are let in, round after round."""
    rounds = 100 if SOAK else 40 if name == "valkey-9" else 10
    found = accepted(engines.url(name), namespace, 50, rounds)
    spent = [one.pop("token_budget") for one in found]
    assert max(spent) <= 4  # each spends a token first; who spends the fifth, or a later one, is let in no more
    room = {limit: 5 for limit in LIMITS if limit != "token_budget"} | {"max_depth": 0}
    assert found == [room] * rounds


def test_in_two_steps_they_do(engines: Engines, namespace: str) -> None:
    """The ablation: who looks first and then spawns lets too many in."""
    found = accepted(engines.url("valkey-9"), namespace, 50, 10, is_split=True)
    assert max(one["max_children"] for one in found) > 5


def overrun(url: str, namespace: str, number: int, rounds: int, barrier: Any) -> None:
    """A child that spawns and writes as fast as it can, until it is refused; notes what came of it."""
    with SessionCache.from_url(url, namespace=namespace) as cache:
        for turn in range(rounds):
            barrier.wait(60)
            child = cache.by_label(f"c{number}", root=f"root.{turn}")
            assert child is not None
            with suppress(SessionNotActive):
                while child.spawn("b").accepted or child.append({"role": "user", "content": "x"}):
                    pass
            barrier.wait(60)


@pytest.mark.parametrize("name", FEW)
def test_nothing_happens_below_after_a_cancellation(name: str, engines: Engines, namespace: str) -> None:
    """Sixteen children spawn and write while their tree is cancelled: once that returned, no session below changes any more."""
    rounds = 100 if SOAK else 40 if name == "valkey-9" else 10
    url, barrier = engines.url(name), CONTEXT.Barrier(17)
    limits: dict[str, Any] = {**NO_LIMITS, "max_descendants": 5000}
    with SessionCache.from_url(url, namespace=namespace, **limits) as cache, ExitStack() as stack:
        for number in range(16):
            process = CONTEXT.Process(target=overrun, args=(url, namespace, number, rounds, barrier), daemon=True)
            process.start()
            stack.callback(process.join, 20)
        most = 0
        for turn in range(rounds):
            root = cache.create(f"root.{turn}")
            for number in range(16):
                root.spawn("a", label=f"c{number}").raise_if_refused()
            barrier.wait(60)
            time.sleep(0.02)
            root.cancel(reason="enough")
            before = root.children(below=True)
            barrier.wait(60)
            after = root.children(below=True)
            assert len(after) == len(before) >= 16
            assert {one.status for one in after} == {"cancelled"}
            most = max(most, len(after))
            assert [(one.updated_at, one.tokens) for one in after] == [(one.updated_at, one.tokens) for one in before]
        assert most > 16, "nobody raced"
