"""The saver and the store of LangGraph: shared by threads, loops and processes, exactly once, one round trip."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.graph import START, StateGraph
from langgraph.store.base import GetOp, InvalidNamespaceError, ListNamespacesOp, PutOp, SearchOp

from redis_sessions import AsyncSessionCache, InvalidInput, OutcomeUnknown, SessionCache, StoreUnavailable
from redis_sessions.integrations.langgraph import RedisSessionsSaver, RedisSessionsStore, sync_saver
from tests.conftest import ENGINES
from tests.faults.test_round_trips import await_quiet, count_round_trips
from tests.integrations.crew import Crew
from tests.support.attempts import repeat_if_dearer
from tests.support.proxy import Losses, proxy
from tests.support.servers import Server

HARD_IDS = ["1", "a b", "ö{}*?\n\0", "../x:{y}", "=", "%0A", "😀" * 40, "x" * 256, "\ud800"]


def config(thread: Any, **more: Any) -> Any:
    """Return the config of a thread."""
    return {"configurable": {"thread_id": thread, "checkpoint_ns": "", **more}}


def checkpoint(id: str, **values: Any) -> Any:
    """Return a checkpoint whose channels have its ID as their version."""
    return {**empty_checkpoint(), "id": id, "channel_values": values, "channel_versions": dict.fromkeys(values, id)}


def put(saver: RedisSessionsSaver, thread: Any, id: str, **values: Any) -> Any:
    """Store a checkpoint."""
    return saver.put(config(thread), checkpoint(id, **values), {"step": 1}, dict.fromkeys(values, id))


def counting_graph(saver: Any) -> Any:
    """Return a graph that counts its calls in a thread."""
    graph = StateGraph(dict)  # type: ignore[type-var]
    graph.add_node("add", lambda state: {"count": (state or {}).get("count", 0) + 1})
    graph.add_edge(START, "add")
    return graph.compile(checkpointer=saver)


@pytest.mark.parametrize("thread", HARD_IDS)
def test_ids_of_any_characters_are_apart(cache: SessionCache, thread: str) -> None:
    """A thread, a namespace, a channel and a task of any characters come back unchanged."""
    with RedisSessionsSaver(cache=cache) as saver:
        put(saver, thread, "1", **{"a\n%0A\0": thread[:1] if thread != "\ud800" else ""})
        saver.put_writes(config(thread, checkpoint_id="1"), [("c\n", 1)], "task\n%", "~path\x00")
        found = saver.get_tuple(config(thread))
        assert found is not None
        assert found.config["configurable"]["thread_id"] == thread
        assert list(found.checkpoint["channel_values"]) == ["a\n%0A\0"]
        assert found.pending_writes == [("task\n%", "c\n", 1)]
        assert [one.config["configurable"]["thread_id"] for one in saver.list(None)] == [thread]
        assert saver.get_tuple(config(f"{thread[:-1]}y")) is None


def test_branches_keep_their_values(cache: SessionCache) -> None:
    """Two checkpoints of one parent have values of their own, and share what they did not change."""
    with RedisSessionsSaver(cache=cache) as saver:
        first = saver.get_next_version(None, None)
        versions = {saver.get_next_version(first, None) for _ in range(50)}
        assert len(versions) == 50
        assert all(version > first for version in versions)
        graph = counting_graph(saver)
        for _ in range(3):
            result = graph.invoke({}, config("t"))
        history = list(graph.get_state_history(config("t")))
        branch = graph.update_state(history[-1].config, {"count": 100}, as_node="add")
        assert graph.get_state(branch).values != graph.get_state(history[0].config).values
        assert result is not None


def test_methods_of_both_kinds_see_the_same(url: str, namespace: str) -> None:
    """An event loop reads what a thread stores, also with a loop for each call, and the other way round."""
    saver = RedisSessionsSaver(url, namespace=namespace)
    if url == "fake://":
        saver = RedisSessionsSaver(cache=SessionCache.from_url(url, namespace=namespace))

    async def step(number: int) -> Any:
        await saver.aput(config("t"), checkpoint(f"{number:03}", a=number), {}, {"a": f"{number:03}"})
        await saver.aput_writes(config("t", checkpoint_id=f"{number:03}"), [("c", number)], "task")
        return await saver.aget_tuple(config("t"))

    for number in range(0, 6, 2):
        asyncio.run(step(number))
        put(saver, "t", f"{number + 1:03}", a=number + 1)
        assert saver.get_tuple(config("t", checkpoint_id=f"{number:03}")).pending_writes == [("task", "c", number)]  # type: ignore[union-attr]
        found = asyncio.run(step(number))
        assert found.checkpoint["channel_values"] == {"a": number + 1}

    async def ids() -> list[str]:
        return [one.checkpoint["id"] async for one in saver.alist(config("t"))]

    assert asyncio.run(ids()) == [one.checkpoint["id"] for one in saver.list(config("t"))]
    asyncio.run(saver.aclose())


@pytest.mark.parametrize("engine", [name for name in ENGINES if name != "fake"])  # a fake serves one thread at a time
def test_five_threads_with_loops_share_one_saver(url: str, namespace: str) -> None:
    """Five threads, each with a loop of its own, run graphs at once over one saver."""
    saver = RedisSessionsSaver(url, namespace=namespace)
    graph = counting_graph(saver)
    counts: list[int] = []

    async def work(number: int) -> None:
        for _ in range(3):
            result = await graph.ainvoke({}, config(f"t{number}"))
        counts.append(len([one async for one in saver.alist(config(f"t{number}"))]))
        assert result is not None

    threads = [threading.Thread(target=asyncio.run, args=(work(number),)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(counts) == 5
    assert len(set(counts)) == 1
    assert counts[0] == len(list(saver.list(config("t0"))))
    asyncio.run(saver.aclose())


@repeat_if_dearer
def test_put_and_get_are_one_round_trip(namespace: str, server: Server) -> None:
    """A put, also the first one of a thread, a put of writes and a get are one round trip each."""
    with (
        RedisSessionsSaver(server.url, namespace=namespace) as saver,
        RedisSessionsStore(server.url, namespace=namespace) as store,
    ):
        put(saver, "warm", "1", a=1)
        saver.put_writes(config("warm", checkpoint_id="1"), [("c", 1)], "task")
        assert len(list(saver.list(config("warm")))) == len([saver.get_tuple(config("warm"))])
        store.put(("a",), "k", {"x": 1})
        assert store.get(("a",), "k") is not None
        calls: list[Any] = [
            lambda: put(saver, "t", "1", a=1, b=2),
            lambda: put(saver, "t", "2", a=1, b=2),
            lambda: saver.put_writes(config("t", checkpoint_id="2"), [("c", 1), ("d", 2)], "task"),
            lambda: saver.get_tuple(config("t")),
            lambda: list(saver.list(config("t"))),
            lambda: store.batch([PutOp(("a",), str(n), {"n": n}) for n in range(20)]),
            lambda: store.batch([GetOp(("a",), str(n)) for n in range(20)]),
        ]
        await_quiet(server)
        count_round_trips(server)
        trips = []
        for call in calls:
            call()
            trips.append(count_round_trips(server))
        assert trips == [1] * len(calls)


def test_lost_reply_and_repeated_call_store_once(namespace: str, server: Server) -> None:
    """Puts over a network that loses replies, each repeated by the framework after an error, are stored once."""
    losses = Losses(requests=0.05, replies=0.15)
    with proxy(server.port, losses) as port:
        saver = RedisSessionsSaver(f"redis://127.0.0.1:{port}", namespace=namespace, timeout=0.2, retry_for=0.4)
        number = 0
        while number < 40:
            with suppress(StoreUnavailable, OutcomeUnknown):
                put(saver, "t", f"{number:03}", a=number)
                saver.put_writes(config("t", checkpoint_id=f"{number:03}"), [("c", number)], "task")
                number += 1
        saver.close()
    assert losses.lost_replies > 0
    with RedisSessionsSaver(server.url, namespace=namespace) as whole:
        found = list(whole.list(config("t")))
        assert [one.checkpoint["channel_values"]["a"] for one in found] == list(range(39, -1, -1))
        assert [len(one.pending_writes or ()) for one in found] == [1] * 40
        whole.delete_thread("t")
    assert [key for key in server.client.scan_iter(f"{namespace}:*") if b":meta" not in key] == []


def put_items(url: str, namespace: str, worker: int, numbers: range, pipe: Connection) -> None:
    """Put checkpoints and their writes, and say which were acknowledged."""
    saver = RedisSessionsSaver(url, namespace=namespace)
    for number in numbers:
        id = f"{number:03}.{worker}"
        put(saver, "shared", id, own=[worker, number])
        saver.put_writes(config("shared", checkpoint_id=id), [("c", number)], f"task{worker}")
        pipe.send(number)


@pytest.mark.parametrize("engine", ["valkey-9"], indirect=True)
def test_killed_processes_lose_and_double_nothing(url: str, namespace: str) -> None:
    """Four processes write one thread and are killed at random: each checkpoint and write is there once."""
    crew = Crew(put_items, url, namespace)
    crew.run()
    with RedisSessionsSaver(url, namespace=namespace) as saver:
        found = list(saver.list(config("shared")))
        wanted = [[worker, number] for number in range(crew.items) for worker in range(crew.workers)]
        assert sorted(one.checkpoint["channel_values"]["own"] for one in found) == sorted(wanted)
        assert {len(one.pending_writes or ()) for one in found} == {1}
        saver.prune(["shared"])
        assert len(list(saver.list(config("shared")))) == 1


def test_prune_and_deletion_leave_nothing(cache: SessionCache) -> None:
    """A prune keeps the newest checkpoint of each namespace, and a deletion removes the thread."""
    with RedisSessionsSaver(cache=cache) as saver:
        for number in range(4):
            put(saver, "t", str(number), a=number)
        saver.copy_thread("t", "u")
        saver.prune(["t", "missing"])
        assert [one.checkpoint["id"] for one in saver.list(config("t"))] == ["3"]
        assert [one.checkpoint["id"] for one in saver.list(config("u"), before=config("u", checkpoint_id="2"))] == [
            "1",
            "0",
        ]
        saver.prune(["u"], strategy="delete")
        saver.delete_thread("t")
        assert list(saver.list(None)) == []
        assert list(saver.list(config("t"), limit=0)) == []


def put_step(saver: RedisSessionsSaver, id: str, parent: str | None, **values: Any) -> None:
    """Store a checkpoint of a thread with a DeltaChannel, whose value only snapshots have, and a write to it."""
    place = config("t", checkpoint_id=parent)
    saver.put(place, checkpoint(id, **values), {"counters_since_delta_snapshot": {"a": 1}}, dict.fromkeys(values, id))  # type: ignore[typeddict-unknown-key]
    saver.put_writes(config("t", checkpoint_id=id), [("a", id)], "task")


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("snapshot", ["0", "1"])
def test_prune_keeps_what_later_steps_need(
    cache: SessionCache, monkeypatch: pytest.MonkeyPatch, is_async: bool, snapshot: str
) -> None:
    """Steps that a graph stores during a prune keep the ancestors that their DeltaChannel needs."""
    with RedisSessionsSaver(cache=cache) as saver:
        put_step(saver, "00", None)
        put_step(saver, "0", "00", a="seed")
        put_step(saver, "1", "0", **({"a": "seed"} if snapshot == "1" else {}))
        needed_sync, needed_async = saver._sync_needed, saver._async_needed

        def go_on() -> None:
            put_step(saver, "2", "1")
            put_step(saver, "3", "2")

        def sync(*given: Any) -> Any:
            found = needed_sync(*given)
            go_on()
            return found

        async def asynchronous(*given: Any) -> Any:
            found = await needed_async(*given)
            await asyncio.to_thread(go_on)
            return found

        monkeypatch.setattr(saver, "_sync_needed", sync)
        monkeypatch.setattr(saver, "_async_needed", asynchronous)
        if is_async:
            asyncio.run(prune_once(saver))
        else:
            saver.prune(["t"])
        found = saver.get_delta_channel_history(config=config("t", checkpoint_id="3"), channels=["a"])["a"]
        assert found["seed"] == "seed"
        assert [value for _, _, value in found["writes"]] == [id for id in ("0", "1", "2") if id >= snapshot]
        assert saver.get_tuple(config("t", checkpoint_id="00")) is None


async def prune_once(saver: RedisSessionsSaver) -> None:
    """Prune a thread, and close the connections of the event loop."""
    await saver.aprune(["t"])
    await saver._caches.asynchronous.close()


@pytest.mark.parametrize(("limit", "pages"), [(0, 1), (1, 1), (2, 1), (3, 2)])
def test_list_with_a_limit_reads_no_threads_behind_it(
    cache: SessionCache, monkeypatch: pytest.MonkeyPatch, limit: int, pages: int
) -> None:
    """A list of all threads ends at its limit, and reads no further pages of threads."""
    read: list[Any] = []
    threads = SessionCache.threads

    def counted(self: SessionCache, limit: int, cursor: str | None) -> Any:
        read.append(cursor)
        return threads(self, limit, cursor)

    monkeypatch.setattr(sync_saver, "MAX_THREADS", 2)
    monkeypatch.setattr(SessionCache, "threads", counted)
    with RedisSessionsSaver(cache=cache) as saver:
        for number in range(9):
            put(saver, f"t{number}", "1", a=number)
        assert len(list(saver.list(None, limit=limit))) == limit
        assert len(read) == pages


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, "exactly one"),
        ({"url": "fake://", "client": object()}, "exactly one"),
        ({"url": "nonsense"}, "url"),
        ({"url": "fake://", "unknown": 1}, "unknown"),
        ({"client": object()}, "client"),
    ],
)
@pytest.mark.parametrize("kind", [RedisSessionsSaver, RedisSessionsStore])
def test_bad_option_is_refused(kind: Any, given: dict[str, Any], problem: str) -> None:
    """An option that is not valid is refused before anything is sent."""
    with pytest.raises(InvalidInput, match=problem):
        kind(**given)


def test_bad_call_is_refused_as_the_framework_does() -> None:
    """Calls that are not valid raise what LangGraph's own objects raise, or InvalidInput."""
    with RedisSessionsSaver("fake://") as saver, RedisSessionsStore("fake://") as store:
        with pytest.raises(KeyError):
            saver.get_tuple({"configurable": {}})
        with pytest.raises(InvalidInput, match="thread_id"):
            put(saver, "", "1")
        with pytest.raises(TypeError, match="thread_ids"):
            saver.prune("t")
        with pytest.raises(ValueError, match="strategy"):
            saver.prune(["t"], strategy="other")
        with pytest.raises(InvalidNamespaceError):
            store.put(("a.b",), "k", {})
        with pytest.raises(InvalidInput):
            store.put(("a",), "k", {"x": object()})
        with pytest.raises(ValueError, match="operator"):
            store.put(("a",), "k", {"x": 1})
            store.search(("a",), filter={"x": {"$like": 1}})


def test_store_finds_items(cache: SessionCache) -> None:
    """Items are found by namespace, key and filter, the item that was stored last first, and namespaces by conditions."""
    with RedisSessionsStore(cache=cache) as store:
        for number in range(4):
            store.put(("users", f"ö/{number % 2}"), f"k {number}/\n", {"n": number, "tags": {"x": [1]}})
            time.sleep(0.002)
        found = store.get(("users", "ö/1"), "k 1/\n")
        assert found is not None
        assert (found.value["n"], found.namespace, found.key) == (1, ("users", "ö/1"), "k 1/\n")
        assert [one.value["n"] for one in store.search(("users",))] == [3, 2, 1, 0]
        assert [one.value["n"] for one in store.search(("users",), filter={"n": {"$gte": 1}}, limit=2, offset=1)] == [
            2,
            1,
        ]
        assert [one.value["n"] for one in store.search((), filter={"tags": {"x": [1]}, "n": 0})] == [0]
        assert store.search(("use",)) == []
        assert store.list_namespaces(suffix=("ö/1",)) == [("users", "ö/1")]
        assert store.list_namespaces(max_depth=1) == [("users",)]
        results = store.batch(
            [PutOp(("users", "ö/0"), "k 0/\n", None), SearchOp(("users", "ö/0")), ListNamespacesOp(limit=1)]
        )
        assert (results[0], len(results[1]), results[2]) == (None, 2, [("users", "ö/0")])  # type: ignore[arg-type]
        assert store.get(("users", "ö/0"), "k 0/\n") is None
        assert found.created_at <= found.updated_at


def test_items_expire_unless_read(cache: SessionCache) -> None:
    """An item lives for its ttl, which a read extends unless the caller says otherwise."""
    with RedisSessionsStore(cache=cache, ttl=2) as store:
        store.put(("a",), "read", {})
        store.put(("a",), "unread", {})
        store.put(("a",), "ever", {}, ttl=None)
        time.sleep(1.2)
        assert store.get(("a",), "read") is not None
        assert store.get(("a",), "unread", refresh_ttl=False) is not None
        time.sleep(1)
        assert sorted(one.key for one in store.search(("a",))) == ["ever", "read"]


def test_adapter_leaves_a_given_cache_open(url: str, namespace: str) -> None:
    """A cache of either kind that was given stays open, and a closed adapter refuses calls."""
    with SessionCache.from_url(url, namespace=namespace) as cache:
        with RedisSessionsSaver(cache=cache) as saver:
            put(saver, "t", "1", a=1)
        assert cache.threads().items == ["t"]
        with pytest.raises(Exception, match=r"closed|close"):
            saver.get_tuple(config("t"))

    async def main() -> None:
        async with AsyncSessionCache.from_url(url, namespace=namespace) as cache:
            async with RedisSessionsStore(cache=cache) as store:
                await store.aput(("a",), "k", {"x": 1})
                assert store.get(("a",), "k") is not None
            assert (await cache.categories()).items == ["langgraph/a"]

    asyncio.run(main())


def test_example_prints_its_lines() -> None:
    """The example runs as it stands."""
    path = Path(__file__).parent.parent.parent / "examples" / "integrations" / "langgraph_branches.py"
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert {"waits: Which belt?", "done: agent: I look at belt 4.", "kept: 1"} <= set(done.stdout.splitlines())
