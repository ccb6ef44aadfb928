"""Measure runs and turns against the bars of a fleet: `python -m benchmarks.runs [--server NAME] [name …]`.

Each figure depends on the machine and its load, so compare it with the bar next to it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import redis

from benchmarks import trees
from redis_sessions import AsyncRun, AsyncSessionCache, LeaseLost, Run, SessionCache, SessionNotActive
from tests.support.processes import CONTEXT
from tests.support.servers import Server, binaries

FREE: dict[str, Any] = {
    "max_messages": None, "max_children": None, "max_active": None, "max_descendants": 5000, "ttl": "10m",
}  # fmt: skip
CHILD_SECONDS = 0.1
DEPLOYED_SECONDS = 0.3
DEPLOYS = 100


@contextmanager
def worker(cache: SessionCache, agent: str, handler: Callable[[Run], Any], **options: Any) -> Iterator[None]:
    """Run a worker in a thread until the end of the block."""
    stop = threading.Event()
    thread = threading.Thread(target=cache.worker, args=(agent, handler), kwargs={"stop": stop, **options})
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def share(values: list[float], part: float) -> float:
    """Return the value that a part of the values does not exceed."""
    return sorted(values)[min(int(len(values) * part), len(values) - 1)]


def park(server: Server) -> str:
    """Let 12 parents wait for 4 children of the same agent on two slots."""

    def handle(run: Run) -> str:
        if run.task == "child":
            time.sleep(CHILD_SECONDS)
            return "done"
        for number in range(4):
            run.spawn("agent", task="child", label=f"{run.id}.{number}").raise_if_refused()
        return ",".join(str(child.result) for child in run.wait_for(timeout=120))

    with SessionCache.from_url(server.url, **FREE) as cache:
        roots = [cache.create() for _ in range(12)]
        for root in roots:
            root.spawn("agent", task="parent").raise_if_refused()
        began = time.monotonic()
        with worker(cache, "agent", handle, concurrency=2):
            for root in roots:
                root.join(timeout=120)
            seconds = time.monotonic() - began
        runs = [child for root in roots for child in root.children(recursive=True)]
        results = {child.result for root in roots for child in root.children()}
    ideal = 12 * 4 * CHILD_SECONDS / 2
    completed = sum(run.status == "completed" for run in runs)
    attempts = sum(run.attempt - 1 for run in runs)
    assert results == {"done,done,done,done"}
    return (
        f"{completed} of {len(runs)} completed in {seconds:.2f} s, ideal {ideal:.2f} s, ratio {seconds / ideal:.2f} (bar 2);"
        f" attempts lost: {attempts} (bar 0)"
    )


def fair(server: Server) -> str:
    """Queue 500 runs of one root, then one of another root, and count the claims until the one."""
    with SessionCache.from_url(server.url, **FREE) as cache:
        busy, other = cache.create(), cache.create()
        for _ in range(500):
            busy.spawn("fair").raise_if_refused()
        wanted = other.spawn("fair").session_key
        for position in itertools.count(1):
            run = cache.claim("fair")
            assert run is not None
            run.complete()
            if run.id == wanted:
                return f"the other root's run was served at position {position} of 501 (bar 5)"
    raise AssertionError


async def _deployed(run: AsyncRun) -> str:
    await asyncio.sleep(DEPLOYED_SECONDS)
    return "done"


def deploy_worker(url: str) -> None:
    """Work until SIGTERM, with a grace that is shorter than a run."""

    async def work() -> None:
        async with AsyncSessionCache.from_url(url) as cache:
            await cache.worker("deployed", _deployed, concurrency=4, grace=0.1)

    asyncio.run(work())


def deploys(server: Server) -> str:
    """End workers with SIGTERM 100 times while 200 runs are handled."""
    with SessionCache.from_url(server.url, **FREE) as cache, ExitStack() as stack:
        root = cache.create()
        for _ in range(200):
            root.spawn("deployed").raise_if_refused()

        def start() -> Any:
            process = CONTEXT.Process(target=deploy_worker, args=(server.url,), daemon=True)
            process.start()
            stack.callback(process.kill)
            return process

        processes = [start() for _ in range(4)]
        began = time.monotonic()
        time.sleep(1)
        for _ in range(DEPLOYS):
            old = processes.pop(0)
            os.kill(old.pid, signal.SIGTERM)
            processes.append(start())
            time.sleep(0.25)
        root.join(timeout=240)
        seconds = time.monotonic() - began
        runs = [cache.session(child.id).info() for child in root.children()]
    failed = sum(run.status != "completed" for run in runs)
    attempts = sum(len(run.attempts) for run in runs)
    return f"{DEPLOYS} deploys, {len(runs)} runs in {seconds:.1f} s: {failed} failed (bar 0), {attempts} attempts counted (bar 0)"


async def _cancel_rounds(url: str, rounds: int) -> tuple[list[float], list[float]]:
    told: list[float] = []
    freed: list[float] = []
    async with AsyncSessionCache.from_url(url, **FREE) as cache:
        started: asyncio.Queue[str] = asyncio.Queue()
        heard: asyncio.Queue[float] = asyncio.Queue()

        async def handle(run: AsyncRun) -> str | None:
            await started.put(run.id)
            if run.task == "quick":
                return "done"
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                await heard.put(time.monotonic())
                raise
            return None

        stop = asyncio.Event()
        task = asyncio.create_task(cache.worker("cancelled", handle, stop=stop))
        for _ in range(rounds):
            root = await cache.create()
            slow = await root.spawn("cancelled", task="slow")
            assert await started.get() == slow.session_key
            await root.spawn("cancelled", task="quick")
            await asyncio.sleep(0.03)
            began = time.monotonic()
            await cache.session(slow.session_key or "").cancel()
            told.append(await heard.get() - began)
            await started.get()
            freed.append(time.monotonic() - began)
        stop.set()
        await task
    return told, freed


def cancel(server: Server) -> str:
    """Cancel 100 runs while they are handled by coroutines, and 20 whose handler, a thread, ignores it."""
    told, freed = asyncio.run(_cancel_rounds(server.url, 100))
    late: list[str] = []
    waits: list[float] = []
    with SessionCache.from_url(server.url, **FREE) as cache:
        started = threading.Semaphore(0)

        def ignore(run: Run) -> None:
            started.release()
            if run.task == "slow":
                time.sleep(2)
                try:
                    run.append({"role": "assistant", "content": "late"})
                    late.append("written")
                except (LeaseLost, SessionNotActive):
                    late.append("refused")

        with worker(cache, "ignoring", ignore):
            for _ in range(10):
                root = cache.create()
                slow = root.spawn("ignoring", task="slow")
                started.acquire()
                root.spawn("ignoring", task="quick")
                time.sleep(0.03)
                began = time.monotonic()
                cache.session(slow.session_key or "").cancel()
                started.acquire()
                waits.append(time.monotonic() - began)
            time.sleep(2.5)
    return (
        f"told p50 {share(told, 0.5):.3f}, p99 {share(told, 0.99):.3f} s (bar 1); slot free p99 {share(freed, 0.99):.3f} s"
        f" (bar 1.5); handler that ignores it: slot free max {max(waits):.3f} s, late writes {sorted(set(late))} of {len(late)}"
    )


def dropped(server: Server) -> str:
    """Drop the handles of 5 x 20 claimed runs without the garbage collector, and let four threads claim the runs again."""
    waits: list[float] = []
    gc.disable()
    try:
        with SessionCache.from_url(server.url, **FREE) as first, SessionCache.from_url(server.url, **FREE) as second:
            for _ in range(5):
                root = first.create()
                for _ in range(20):
                    root.spawn("dropped", max_attempts=5).raise_if_refused()
                held = [first.claim("dropped", ttl=1) for _ in range(20)]
                time.sleep(0.5)
                claimers = [threading.Thread(target=_claim_again, args=(second, waits)) for _ in range(4)]
                _dropped_at[0] = time.monotonic()
                del held
                for claimer in claimers:
                    claimer.start()
                for claimer in claimers:
                    claimer.join()
    finally:
        gc.enable()
    within = sum(wait <= 2 for wait in waits)
    return f"{within} of {len(waits)} claimed within ttl + 1 s = 2 s (bar 100); the last after {max(waits, default=0):.2f} s"


_dropped_at = [0.0]


def _claim_again(cache: SessionCache, waits: list[float]) -> None:
    for _ in range(5):
        run = cache.claim("dropped", wait=20)
        waits.append(time.monotonic() - _dropped_at[0])
        assert run is not None
        run.complete()


def hand_off(server: Server) -> str:
    """Compare the claim of a waiting worker with BLPOP, for runs and for turns."""
    raw = redis.Redis.from_url(server.url)
    popped = trees._hand_off_time(server, trees._pop, lambda number: raw.rpush("handed", number))
    with SessionCache.from_url(server.url, **FREE) as cache:
        root = cache.create()
        claimed = trees._hand_off_time(
            server, trees._claim, lambda number: root.spawn("handed", task=str(number), batch_id=str(number))
        )
    return f"p50 {claimed:.0f} µs, BLPOP {popped:.0f} µs, ratio {claimed / popped:.2f} (bar 3)"


def idle(server: Server) -> str:
    """Count the commands of an idle worker in 30 s, without those that its scripts call."""
    client = redis.Redis.from_url(server.url)

    def sent() -> dict[str, int]:
        stats = client.info("commandstats")
        names = ("evalsha", "eval", "ping", "subscribe", "unsubscribe", "script|load", "hello", "client|setinfo")
        return {name: stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in names}

    with SessionCache.from_url(server.url, **FREE) as cache, worker(cache, "idle", lambda run: None, concurrency=8):
        time.sleep(2)
        before = sent()
        time.sleep(30)
        found = {name: count - before[name] for name, count in sent().items() if count > before[name]}
    client.close()
    return f"{sum(found.values())} commands in 30 s (bar 6): {found}"


BARS: dict[str, Callable[[Server], str]] = {
    "park": park, "fair": fair, "deploys": deploys, "cancel": cancel, "dropped": dropped, "hand-off": hand_off,
    "idle": idle,
}  # fmt: skip


def main() -> int:
    """Measure some or all bars, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", choices=list(binaries()), default="valkey-9")
    parser.add_argument("names", nargs="*", choices=[[], *BARS], default=[])
    arguments = parser.parse_args()
    server = Server(binaries()[arguments.server])
    try:
        for name in arguments.names or BARS:
            server.client.flushall()
            began = time.monotonic()
            print(f"{name:9} {BARS[name](server)}  [{time.monotonic() - began:.1f} s]", flush=True)
    finally:
        server.stop()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
