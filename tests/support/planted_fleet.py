"""A fleet with worker processes in which six sessions are in trouble, each for another cause, among hundreds in good order.

`python -m tests.support.planted_fleet --url redis://localhost:6379/0` starts one by hand, and runs until it is interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import signal
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from multiprocessing.context import ForkServerProcess
from typing import Any, Literal

from redis_sessions import AsyncSessionCache, LeaseInfo, LimitExceeded, Run, Session, SessionCache, SessionsError
from tests.support.processes import CONTEXT
from tests.support.servers import await_true

Behaviour = Literal["chat", "busy", "extend", "hang", "crash"]
"""The behaviour of a worker's handler.

chat: answer a turn at once. busy: append a line a second, and never end. extend: make the lease last for LONG_LEASE_SECONDS, then
do nothing. hang: do nothing while the worker renews the lease. crash: kill the process.
"""
LONG_LEASE_SECONDS = 600.0
LONGEST_ID = 62
"""Characters of the longest IDs, such as `agent:researcher:subagent:` and a UUID."""
_DEADLINE_SECONDS = 60.0
_RETRY_SECONDS = 60.0
_CRASH_SECONDS = 1.2
"""The time that a handler works before it kills its process, so that the queue and the registry have heard of the claim."""
_INBOX_SIZE = 5
_BUDGET = 50_000

SCRIPT = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
ANSI = "\x1b[2J\x1b[31mred\x1b[0m \x1b]0;owned\x07 \x9b31m"
BIDI = "\u202egnp.evil\u202c \u2066isolated\u2069 \u200frtl\u200e"
LARGE = "large " * 160_000
"""Almost 1 MB."""
MODEL = {"model": "m-1", "provider": "p"}
HOSTILE_ID = "x\"'><script>document.title='owned'</script>"


@dataclass
class PlantedFleet:
    """A running fleet, and what is wrong with it."""

    url: str
    namespace: str
    ttl: float
    """Seconds that a lease outlives its worker, apart from that of the dead holder."""
    causes: dict[str, str] = field(default_factory=dict)
    """The ID of the session with a cause, by the kind of the problem."""
    owners: dict[str, str] = field(default_factory=dict)
    """The name of the worker that holds it, by the kind of the problem."""
    hostile: dict[str, str] = field(default_factory=dict)
    """The IDs of the sessions with hostile texts: script, ansi, bidi, large, id."""
    tree: str = ""
    """The root of a tree of several levels."""
    conversation: str = ""
    """A session with tool calls, a state, a ledger and an inbox."""
    failed: str = ""
    """A session whose run failed."""
    workers: dict[str, ForkServerProcess] = field(default_factory=dict)
    """The worker processes, by their name. The killed ones, too."""

    def start_worker(self, owner: str, agent: str, behaviour: Behaviour, concurrency: int = 1) -> ForkServerProcess:
        """Start a worker process."""
        arguments = (self.url, self.namespace, owner, agent, behaviour, concurrency, self.ttl)
        process = CONTEXT.Process(target=work, args=arguments, daemon=True)
        process.start()
        self.workers[owner] = process
        return process

    def kill_worker(self, owner: str) -> None:
        """Kill a worker process with SIGKILL."""
        self.workers[owner].kill()
        self.workers[owner].join()

    def hold(self, cache: SessionCache, owner: str, agent: str, behaviour: Behaviour, **options: Any) -> str:
        """Spawn a run, start a worker for it, and return the ID of its session when the worker has it."""
        root = options.pop("root", None) or cache.create(long_id("order"), user_id="mia", name="Rebooking")
        run_id = _spawn(root, agent, **options)
        self.start_worker(owner, agent, behaviour)
        await_true(lambda: any(one.owner == owner for one in _leases(cache, run_id)), _DEADLINE_SECONDS)
        return run_id

    def plant_poison(self, cache: SessionCache, agent: str, task: str) -> str:
        """Spawn a run of an agent without free workers, let it kill two workers, and return the ID of its session."""
        root = cache.create(long_id("order"), user_id="leo", name="Lists")
        poison = _spawn(root, agent, task=task, max_attempts=5)
        for died in (1, 2):
            self.start_worker(f"{agent}-{died}", agent, "crash").join(_DEADLINE_SECONDS)
            await_true(lambda died=died: _deaths(cache, agent, poison) == died, _DEADLINE_SECONDS)  # type: ignore[misc]
        return poison


def long_id(prefix: str) -> str:
    """Return a new ID with as many characters as the longest IDs of spawned sessions have."""
    return f"{prefix}:eu-west-1:2026-11-26:{uuid.uuid4().hex}{uuid.uuid4().hex}"[:LONGEST_ID]


# -- worker processes --------------------------------------------------------------------------------------------------


def work(url: str, namespace: str, owner: str, agent: str, behaviour: Behaviour, concurrency: int, ttl: float) -> None:
    """Run a worker until SIGTERM or SIGKILL."""

    def handle(run: Run) -> Any:
        return _handle(run, behaviour)

    with SessionCache.from_url(url, namespace=namespace, retry_for=_RETRY_SECONDS) as cache:
        cache.worker(agent, handle, owner=owner, concurrency=concurrency, ttl=ttl, grace=0)


def _handle(run: Run, behaviour: Behaviour) -> Any:
    if behaviour == "chat":
        run.should_stop.wait(random.uniform(0.02, 0.1))
        if run.work == "run":
            return f"did {run.task}"
        return run.finish({"role": "assistant", "content": "It is on belt 4."})
    if behaviour == "crash":
        run.append({"role": "assistant", "content": "Reading the file."})
        time.sleep(_CRASH_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)
    if behaviour == "extend":
        run.extend(LONG_LEASE_SECONDS)
    for number in itertools.count():
        if behaviour == "busy":
            run.append({"role": "assistant", "content": f"Step {number}."})
        if run.should_stop.wait(1):
            break
    return None


def send_traffic(url: str, namespace: str, ids: list[str], rate: float) -> None:
    """Send questions to random sessions, `rate` of them a second, until SIGKILL."""
    with SessionCache.from_url(url, namespace=namespace, retry_for=_RETRY_SECONDS) as cache:
        for number in itertools.count():
            with suppress(SessionsError):
                cache.session(random.choice(ids)).send(f"Question {number}: where is my bag?")
            time.sleep(random.expovariate(rate))


# -- the fleet ---------------------------------------------------------------------------------------------------------


@contextmanager
def planted_fleet(
    url: str, namespace: str, *, sessions: int = 500, ttl: float = 2.0, rate: float = 5.0
) -> Iterator[PlantedFleet]:
    """Start a fleet on a real server, and stop its processes at the end of the block. The stored data stays.

    Args:
        url: the URL of a server, not of the fake.
        namespace: an empty namespace.
        sessions: the number of sessions, about; 60 or more.
        ttl: seconds that a lease outlives its worker.
        rate: questions a second. 0 for none.
    """
    fleet = PlantedFleet(url, namespace, ttl)
    with ExitStack() as stack:
        stack.callback(_stop, fleet)
        cache = stack.enter_context(SessionCache.from_url(url, namespace=namespace, retry_for=_RETRY_SECONDS))
        with ThreadPoolExecutor(
            1
        ) as pool:  # because the thread of a test may have an event loop, such as that of a browser
            chats = pool.submit(asyncio.run, _fill(url, namespace, max(sessions - 40, 20))).result()
        fleet.start_worker("concierge-1", "concierge", "chat", 4)
        fleet.start_worker("concierge-2", "concierge", "chat", 4)
        _plant(fleet, cache)
        _plant_hostile(fleet, cache)
        _add_work(fleet, cache)
        if rate:
            traffic = CONTEXT.Process(target=send_traffic, args=(url, namespace, chats[:50], rate), daemon=True)
            traffic.start()
            stack.callback(traffic.join)
            stack.callback(traffic.kill)
        yield fleet


def _stop(fleet: PlantedFleet) -> None:
    for process in fleet.workers.values():
        process.kill()
        process.join()


async def _fill(url: str, namespace: str, count: int) -> list[str]:
    """Create conversations in good order. Return their IDs."""
    ids = [long_id("chat") for _ in range(count)]
    async with AsyncSessionCache.from_url(url, namespace=namespace, retry_for=_RETRY_SECONDS) as cache:
        room = asyncio.Semaphore(20)

        async def add(number: int, id: str) -> None:
            async with room:
                session = await cache.create(
                    id, user_id=f"user-{number % 97}", answered_by="concierge", name=f"Trip {number}", ttl="1d",
                    tags=["baggage" if number % 3 else "refund"],
                )  # fmt: skip
                exchange = [
                    {"role": "user", "content": "Where is my bag?"},
                    {"role": "assistant", "content": "On belt 4."},
                ]
                await session.append(*exchange * (1 + number % 4))
                if number % 10 == 9:
                    await session.complete(reason="answered")

        await asyncio.gather(*[add(number, id) for number, id in enumerate(ids)])
    return [id for number, id in enumerate(ids) if number % 10 != 9]


def _plant(fleet: PlantedFleet, cache: SessionCache) -> None:
    """Plant the causes."""
    task = "Rebook the flights of the order, and tell the customer."
    dead = fleet.hold(cache, "booker-1", "booker", "extend", task=task)
    long = timedelta(seconds=LONG_LEASE_SECONDS / 2)
    await_true(lambda: any(one.expires_in > long for one in _leases(cache, dead)), _DEADLINE_SECONDS)
    fleet.kill_worker("booker-1")
    fleet.start_worker("booker-2", "booker", "busy")

    silent = fleet.hold(cache, "researcher-1", "researcher", "hang", task=task)

    full = fleet.hold(cache, "planner-1", "planner", "busy", task=task, max_inbox=_INBOX_SIZE)
    with suppress(LimitExceeded):
        for number in range(_INBOX_SIZE + 1):
            cache.session(full).send(f"Please hurry, {number}.")

    spent = cache.create(
        long_id("order"), user_id="noor", name="Group booking", agent_id="planner", token_budget=_BUDGET,
        budget_enforcement="append", ttl="1d",
    )  # fmt: skip
    spent.append({"role": "user", "content": "Book 40 seats."})
    loop = spent.start_loop("l1", config=MODEL)
    loop.record_usage("step-1", {"input": 48_000, "output": 3_500, "total": 51_500, "cost": 1.25})
    with suppress(LimitExceeded):
        spent.append({"role": "user", "content": "And a hotel?"})

    paused = cache.create(long_id("order"), user_id="ida", name="Refund", agent_id="planner", ttl="1d")
    fleet.hold(cache, "planner-2", "planner", "busy", root=paused, task="Compute the refund.", label="refund")
    _spawn(paused, "planner", task="Write the letter.", label="letter", delay="1h")
    paused.pause(reason="waiting for the airline")

    fleet.hold(cache, "importer-0", "importer", "busy", task="Import the list of hotels.")
    poison = fleet.plant_poison(cache, "importer", task="Import the list of flights.")
    fleet.causes |= {
        "dead_holder": dead, "silent_holder": silent, "inbox_full": full, "budget_spent": spent.id,
        "paused_parent": paused.id, "poison_run": poison,
    }  # fmt: skip
    fleet.owners |= {"dead_holder": "booker-1", "silent_holder": "researcher-1", "inbox_full": "planner-1"}


def _plant_hostile(fleet: PlantedFleet, cache: SessionCache) -> None:
    """Create sessions whose texts attack a page or a terminal."""
    for name, text in (("script", SCRIPT), ("ansi", ANSI), ("bidi", BIDI), ("large", LARGE), ("id", SCRIPT)):
        short = text[:100]
        session = cache.create(
            HOSTILE_ID if name == "id" else long_id("mail"), user_id=f"<b>{name}</b>", name=short, tags=[short[:40]],
            metadata={short[:30]: short}, system_prompt=short, state={"note": short}, max_tokens=8192, ttl="1d",
        )  # fmt: skip
        call = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": json.dumps({"q": short})}}
        session.append({"role": "user", "content": text}, {"role": "assistant", "tool_calls": [call]})
        session.append({"role": "tool", "tool_call_id": "c1", "content": text[:200_000]})
        failing = _spawn(session, f"<{name}>", task=short, label=f"<b>{name}</b>", max_attempts=1)
        run = cache.claim(f"<{name}>", wait=30, owner=f"<b>{name}-worker</b>")
        assert run is not None
        run.fail(reason=f"it failed: {short}")
        assert run.id == failing
        session.pause(reason=f"look: {short}")
        session.resume()
        fleet.hostile[name] = session.id


def _add_work(fleet: PlantedFleet, cache: SessionCache) -> None:
    """Add a tree, a failed run, a run that was tried again, and runs that wait for their time."""
    root = cache.create(
        long_id("order"), user_id="mia", name="World tour", agent_id="planner", ttl="1d", max_active=20, max_children=9
    )
    root.append({"role": "user", "content": "Plan a world tour."})
    loop = root.start_loop("l1", config=MODEL)
    loop.record_usage("step-1", {"input": 1200, "output": 80, "total": 1280, "cost": 0.004})
    for number in range(3):
        child = cache.session(_spawn(root, "concierge", mode="session", label=f"leg-{number}"))
        child.start_loop("l1").record_usage("s", {"input": 900, "output": 100, "total": 1000, "cost": 0.002})
        _spawn(child, "concierge", task=f"Find a hotel for leg {number}.", label=f"hotel-{number}")
    for number in range(2):
        _spawn(root, "reviewer", task=f"Review leg {number}.", delay="1h")
    fleet.tree = root.id

    fleet.failed = _spawn(root, "auditor", task="Check the prices.", max_attempts=1)
    run = cache.claim("auditor", wait=30, owner="auditor-1")
    assert run is not None
    run.fail(reason="ValueError: the price list has no currency")

    session = cache.create(
        long_id("chat"), user_id="mia", name="Lost bag", tags=["baggage"], answered_by=None, ttl="1d",
        system_prompt="Be brief.", state={"flight": 12, "step": "search"},
    )  # fmt: skip
    call = {"id": "c1", "type": "function", "function": {"name": "find_bag", "arguments": '{"tag": "LH-7731"}'}}
    session.append(
        {"role": "user", "content": "Where is my bag? It is red, with a blue ribbon."},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": '{"belt": 4, "status": "delivered"}'},
        {"role": "assistant", "content": "Your bag is on belt 4."},
    )
    loop = session.start_loop("l1", config=MODEL)
    loop.record_usage("step-1", {"input": 640, "output": 42, "total": 682, "cost": 0.001})
    fleet.conversation = session.id


def _spawn(parent: Session, agent: str, **options: Any) -> str:
    result = parent.spawn(agent, **options).raise_if_refused()
    assert result.session_key is not None
    return result.session_key


def _leases(cache: SessionCache, id: str) -> list[LeaseInfo]:
    return [one for one in cache.leases(limit=1000).items if one.session_id == id]


def _deaths(cache: SessionCache, agent: str, id: str) -> int:
    cache.recover(agent)
    return sum(attempt.outcome == "died" for attempt in cache.session(id).info().attempts)


def main() -> None:
    """Start a fleet by hand, and print the IDs of its sessions as JSON."""
    parser = argparse.ArgumentParser(description="Start a fleet in which six sessions are in trouble.")
    parser.add_argument("--url", required=True)
    parser.add_argument("--namespace", default="planted")
    parser.add_argument("--sessions", type=int, default=500)
    parser.add_argument("--rate", type=float, default=5.0)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the workers end, too
    with planted_fleet(given.url, given.namespace, sessions=given.sessions, rate=given.rate) as fleet:
        print(json.dumps({"causes": fleet.causes, "hostile": fleet.hostile, "tree": fleet.tree}, indent=2), flush=True)
        with suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
