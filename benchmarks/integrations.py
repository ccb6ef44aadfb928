"""Compare the adapters with the Redis classes of their frameworks: the same calls, in turns, on one server.

Run with `python -m benchmarks.integrations`, where the frameworks, openai-agents[redis], agent-framework-redis and
langgraph-checkpoint-redis are installed. A class that cannot be imported, or that needs a module that the server lacks, is named
with the reason.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import redis
from langgraph.checkpoint.base import empty_checkpoint

from redis_sessions.integrations.agent_framework import RedisSessionsHistoryProvider
from redis_sessions.integrations.langgraph import RedisSessionsSaver
from redis_sessions.integrations.openai_agents import RedisSessionsSession
from tests.support.servers import Server, binaries

SIZES = (10, 1000)
TEXT = "x" * 200
WARM_UP = 2
Operation = Callable[[], Awaitable[Any]]


class Contest(NamedTuple):
    """The operations of an adapter and of the framework's own class, which are called in this order again and again."""

    name: str
    ours: dict[str, Operation]
    theirs: dict[str, Operation]


class Result(NamedTuple):
    """The cost of one operation, for the adapter and for the framework's class."""

    name: str
    times: list[float]
    """Medians in µs, by the clock."""
    cpu: list[float]
    """Means in µs of the processor time of this process, which another process on the machine changes less."""
    trips: list[int]
    """Round trips. A request of some 100 KB counts as several."""


async def compare(contest: Contest, client: redis.Redis, rounds: int) -> list[Result]:
    """Return the costs of each operation. Both sides take turns within each round."""
    assert list(contest.ours) == list(contest.theirs)
    times: dict[str, tuple[list[int], list[int]]] = {name: ([], []) for name in contest.ours}
    cpu: dict[str, tuple[list[int], list[int]]] = {name: ([], []) for name in contest.ours}
    trips: dict[str, list[int]] = {name: [] for name in contest.ours}
    for turn in range(WARM_UP + rounds):
        for name in contest.ours:
            sides = [contest.ours[name], contest.theirs[name]]
            for side in (0, 1) if turn % 2 else (1, 0):
                used, began = time.process_time_ns(), time.perf_counter_ns()
                await sides[side]()
                if turn >= WARM_UP:
                    times[name][side].append(time.perf_counter_ns() - began)
                    cpu[name][side].append(time.process_time_ns() - used)
    for name in contest.ours:
        for call in (contest.ours[name], contest.theirs[name]):
            await asyncio.sleep(0.1)  # what runs in the background is done
            before = int(client.info("stats")["total_reads_processed"])
            await call()
            trips[name].append(int(client.info("stats")["total_reads_processed"]) - before - 1)
    return [
        Result(
            f"{contest.name}: {name}", [statistics.median(one) / 1000 for one in times[name]],
            [statistics.fmean(one) / 1000 for one in cpu[name]], trips[name],
        )
        for name in contest.ours
    ]  # fmt: skip


def openai_session(session: Any, size: int, make: Callable[[], Any] | None = None) -> dict[str, Operation]:
    """Return what both sessions of the OpenAI Agents SDK can do, on up to `size` items."""
    item = {"role": "user", "content": TEXT}
    calls: dict[str, Operation] = {
        "replace all": lambda: session._atomic_replace_items([item] * (size - 1)),
        "add 1": lambda: session.add_items([item]),
        "get all": session.get_items,
        "get 10": lambda: session.get_items(10),
        "pop": session.pop_item,
        "clear": session.clear_session,
        "add all": lambda: session.add_items([item] * (size - 1)),
    }
    if make is not None:
        calls["pop by a fresh object"] = lambda: make().pop_item()
    return calls


async def openai_agents(url: str, size: int, rounds: int, client: redis.Redis) -> list[Result]:
    """Compare the sessions of the OpenAI Agents SDK."""
    from agents.extensions.memory import RedisSession
    from redis.asyncio import Redis

    bare = Redis.from_url(url)
    ours = RedisSessionsSession("ours", url=url)
    theirs = RedisSession("theirs", redis_client=bare)
    found = await compare(
        Contest(
            "openai-agents",
            openai_session(ours, size, lambda: RedisSessionsSession("ours", cache=ours._cache)),
            openai_session(theirs, size, lambda: RedisSession("theirs", redis_client=bare)),
        ),
        client,
        rounds,
    )
    await ours.close()
    await bare.aclose()
    return found


def history(provider: Any, size: int) -> dict[str, Operation]:
    """Return what both history providers of the Agent Framework can do, on up to `size` messages."""
    from agent_framework import Message

    def message() -> Any:
        return Message(role="user", contents=[TEXT])

    return {
        "save all": lambda: provider.save_messages("s", [message() for _ in range(size - 1)]),
        "save 1": lambda: provider.save_messages("s", [message()]),
        "get all": lambda: provider.get_messages("s"),
        "clear": lambda: provider.clear("s"),
    }


async def agent_framework(url: str, size: int, rounds: int, client: redis.Redis) -> list[Result]:
    """Compare the history providers of the Microsoft Agent Framework."""
    from agent_framework_redis import RedisHistoryProvider

    ours = RedisSessionsHistoryProvider(url=url)
    theirs = RedisHistoryProvider(redis_url=url, application_id="theirs")
    found = await compare(Contest("agent-framework", history(ours, size), history(theirs, size)), client, rounds)
    await ours.aclose()
    await theirs.aclose()
    return found


def checkpointer(saver: Any, size: int) -> dict[str, Operation]:
    """Return what both savers of LangGraph can do on a thread whose state has `size` messages."""
    thread: dict[str, Any] = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    last: list[Any] = [thread]

    async def put() -> None:
        checkpoint = empty_checkpoint()
        version = saver.get_next_version(None, None)
        checkpoint["channel_values"] = {"messages": [TEXT] * size}
        checkpoint["channel_versions"] = {"messages": version}
        metadata = {"source": "loop", "step": 1, "parents": {}}
        last[0] = await saver.aput(thread, checkpoint, metadata, {"messages": version})

    async def page() -> None:
        async for _ in saver.alist(thread, limit=10):
            pass

    return {
        "put": put,
        "put_writes": lambda: saver.aput_writes(last[0], [("messages", TEXT)], "task"),
        "get_tuple": lambda: saver.aget_tuple(thread),
        "list 10": page,
        "delete_thread": lambda: saver.adelete_thread("t"),
        "put again": put,
    }


async def langgraph(url: str, size: int, rounds: int, client: redis.Redis) -> list[Result]:
    """Compare the savers of LangGraph."""
    from langgraph.checkpoint.redis.aio import AsyncRedisSaver

    modules = {one[b"name"].decode() for one in client.module_list()}
    if missing := {"ReJSON", "search"} - modules:
        raise ImportError(f"the server has no module {' and no module '.join(sorted(missing))}")
    async with AsyncRedisSaver.from_conn_string(url) as theirs:
        await theirs.asetup()
        async with RedisSessionsSaver(url) as ours:
            contest = Contest("langgraph", checkpointer(ours, size), checkpointer(theirs, size))
            return await compare(contest, client, rounds)


FRAMEWORKS = {"openai-agents": openai_agents, "agent-framework": agent_framework, "langgraph": langgraph}


async def measure(server: Server, wanted: list[str], rounds: int) -> dict[str, Any]:
    """Compare frameworks and print their rows. Return all figures."""
    figures: dict[str, Any] = {}
    for name in wanted:
        for size in SIZES:
            server.client.flushall()
            try:
                results = await FRAMEWORKS[name](server.url, size, rounds, server.client)
            except ImportError as problem:
                print(f"{name}: not compared: {problem}")
                break
            for one in results:
                time_ratio, cpu_ratio = (ours / theirs for ours, theirs in (one.times, one.cpu))
                print(
                    f"{one.name:<40} {size:>5} {one.times[0]:>8.0f} µs {one.times[1]:>8.0f} µs {time_ratio:>5.2f} x"
                    f"   CPU {cpu_ratio:>5.2f} x   round trips {one.trips[0]} and {one.trips[1]}"
                )
                figures[f"{one.name}, {size}"] = one._asdict() | {"ratio": time_ratio, "cpu_ratio": cpu_ratio}
    return figures


def main() -> None:
    """Compare all frameworks, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("frameworks", nargs="*", choices=[*FRAMEWORKS, []], help="the frameworks, all by default")
    parser.add_argument("--rounds", type=int, default=150)
    parser.add_argument("--server", default="valkey-9", choices=sorted(binaries()))
    parser.add_argument("--json", help="write all figures to this file")
    given = parser.parse_args()
    server = Server(binaries()[given.server])
    try:
        figures = asyncio.run(measure(server, given.frameworks or [*FRAMEWORKS], given.rounds))
    finally:
        server.stop()
    if given.json:
        with open(given.json, "w", encoding="utf-8") as file:
            json.dump(figures, file, indent=2)


if __name__ == "__main__":
    main()
