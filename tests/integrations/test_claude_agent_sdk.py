"""The session store of the Claude Agent SDK."""

from __future__ import annotations

import asyncio
import itertools
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import anyio
import pytest
from claude_agent_sdk import InMemorySessionStore, fold_session_summary
from claude_agent_sdk.testing import run_session_store_conformance

from redis_sessions import AsyncSessionCache, InvalidInput, OutcomeUnknown, SessionCache, StoreUnavailable
from redis_sessions.integrations.claude_agent_sdk import RedisSessionsStore
from redis_sessions.settings import Encodable
from tests.codecs.conftest import SECRET, cipher
from tests.conftest import Engines, fake_client
from tests.faults.test_round_trips import count_round_trips, without_background
from tests.integrations.crew import IS_LONG, Crew
from tests.support.attempts import repeat_if_dearer
from tests.support.proxy import Losses, proxy

KEY: Any = {"project_key": "/home/mia/project", "session_id": "5f0c2f4e-0000-4000-8000-000000000001"}
SUB: Any = {**KEY, "subpath": "subagents/agent-1"}
ENGINES = pytest.mark.parametrize("engine", ["fake", "redis-6.2", "valkey-9", "cluster"], indirect=True)
REAL = pytest.mark.parametrize("engine", ["valkey-9"], indirect=True)


def entry(uuid: str | None, text: str = "x", **more: Any) -> Any:
    """Return an entry of a transcript."""
    found = {"type": "user", "message": {"role": "user", "content": text}, **more}
    return found if uuid is None else {**found, "uuid": uuid}


@ENGINES
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_store_keeps_the_contracts(url: str, namespace: str, backend: str) -> None:
    """The conformance function of the SDK passes under asyncio and trio."""
    numbers = itertools.count()
    anyio.run(
        run_session_store_conformance,
        lambda: RedisSessionsStore(url=url, namespace=f"{namespace}-{backend}-{next(numbers)}"),
        backend=backend,
    )


@ENGINES
def test_entry_with_a_known_uuid_is_left_out(url: str, namespace: str) -> None:
    """An import in other batches stores no entry twice, in the main transcript and in that of a subagent."""

    async def main() -> None:
        store = RedisSessionsStore(url=url, namespace=namespace)
        for key in (KEY, SUB):
            entries = [entry(f"u{number}") for number in range(150)]
            for first in range(0, 150, 7):
                await store.append(key, entries[first : first + 7])
            await store.append(key, [*entries[:70], entry("new"), entry("new")])
            await store.append(key, [entry(None, "title"), entry("odd uuid {}"), entry("odd uuid {}"), entry("")])
            found = await store.load(key)
            assert found == [*entries, entry("new"), entry(None, "title"), entry("odd uuid {}"), entry("")]
        await store.close()

    asyncio.run(main())


def test_failed_append_that_is_repeated_is_stored_once(engines: Engines, namespace: str) -> None:
    """An append whose reply was lost, and that the SDK repeats, is stored once, entries without a uuid included."""
    engines.url("valkey-9")
    losses = Losses(requests=0, replies=0)
    with proxy(engines.nodes["valkey-9"][0].port, losses) as port:

        async def main() -> None:
            async with AsyncSessionCache.from_url(
                f"redis://127.0.0.1:{port}", namespace=namespace, timeout=0.2, retry_for=0.4
            ) as cache:
                store = RedisSessionsStore(cache=cache)
                for key in (KEY, SUB):
                    await store.append(key, [entry("first")])
                    losses.replies = 1.0
                    batch = [entry("a"), entry(None, "title"), entry(None, "title")]
                    with pytest.raises((OutcomeUnknown, StoreUnavailable)):
                        await store.append(key, batch)
                    losses.replies = 0.0
                    await store.append(key, batch)
                    assert await store.load(key) == [entry("first"), *batch]
                    await store.append(key, batch)
                    assert await store.load(key) == [entry("first"), *batch, *batch[1:]]
                await store.close()

        asyncio.run(main())


def test_entries_of_an_append_that_was_given_up_can_be_appended_later(engines: Engines, namespace: str) -> None:
    """After the next append succeeded, the entries of a failed one are other entries, for example a title that is set again."""
    engines.url("valkey-9")
    losses = Losses(requests=0, replies=0)
    old, new = entry(None, "title", customTitle="y"), entry(None, "title", customTitle="x")

    async def main(port: int) -> None:
        url = f"redis://127.0.0.1:{port}"
        async with AsyncSessionCache.from_url(url, namespace=namespace, timeout=0.2, retry_for=0.4) as cache:
            store = RedisSessionsStore(cache=cache)
            for key in (KEY, SUB):
                await store.append(key, [entry("first")])
                losses.replies = 1.0
                with pytest.raises((OutcomeUnknown, StoreUnavailable)):
                    await store.append(key, [old])
                losses.replies = 0.0
                await store.append(key, [new])
                await store.append(key, [old])
                found = await store.load(key)
                assert found is not None
                assert found[-2:] == [new, old]
            await store.close()

    with proxy(engines.nodes["valkey-9"][0].port, losses) as port:
        asyncio.run(main(port))


@REAL
def test_lists_have_the_sessions_that_are_being_written(url: str, namespace: str) -> None:
    """A list of several pages has each session once, although writes move sessions in the order of updates."""
    keys: list[Any] = [{"project_key": "p", "session_id": f"s{number}"} for number in range(450)]

    async def main() -> None:
        store = RedisSessionsStore(url=url, namespace=namespace)
        await asyncio.gather(*[store.append(key, [entry("a")]) for key in keys])
        await asyncio.sleep(2.5)  # the order of updates is exact to 2 s, so later writes move the sessions

        async def write() -> None:
            for key in itertools.cycle(keys):
                await store.append(key, [entry(None)])

        writing = asyncio.create_task(write())
        for _ in range(10):
            listed = [one["session_id"] for one in await store.list_sessions("p")]
            assert sorted(listed) == sorted(key["session_id"] for key in keys)
        writing.cancel()
        await asyncio.wait([writing])
        await store.close()

    asyncio.run(main())


@pytest.mark.parametrize(("encode", "is_stored"), [({"messages"}, False), ({"messages", "metadata"}, True)])
def test_summary_is_never_plainer_than_the_messages(encode: set[Encodable], is_stored: bool) -> None:
    """Summaries, which have texts of prompts, are stored with a session only if they are encoded as its messages are."""
    cache = SessionCache.from_url("fake://", codecs=[cipher()], encode=encode)

    async def main() -> None:
        store = RedisSessionsStore(cache=cache)
        await store.append(KEY, [entry("a", SECRET)])
        for _ in range(2):
            (found,) = await store.list_session_summaries(KEY["project_key"])
            assert "zanzibar" in str(found["data"])
        await store.close()

    asyncio.run(main())
    client = fake_client(cache)
    fields = {key: client.hgetall(key) for key in client.keys("*") if client.type(key) == b"hash"}
    assert b"zanzibar" not in str(fields).encode()
    assert ("claude_summary" in str(fields)) is is_stored


def random_entries(seed: int) -> list[Any]:
    """Return entries of all kinds that a summary is made of."""
    chooser = random.Random(seed)
    kinds: list[Callable[[], Any]] = [
        lambda: entry(str(chooser.random()), chooser.choice(["hi", "<command-name>/x</command-name>", "x" * 300])),
        lambda: {"type": "tag", "tag": chooser.choice(["a", "", "b"])},
        lambda: {"type": "custom-title", "customTitle": f"t{chooser.random()}"},
        lambda: {"type": "x", "gitBranch": "main", "cwd": "/a", "timestamp": "2026-01-01T00:00:00.000Z"},
        lambda: entry(None, "meta", isMeta=True, isSidechain=chooser.random() < 0.5),
        lambda: {"type": "last-prompt", "lastPrompt": f"p{chooser.random()}"},
    ]
    return [chooser.choice(kinds)() for _ in range(12)]


@ENGINES
def test_summaries_are_those_of_the_fold(url: str, namespace: str) -> None:
    """Whenever the summaries are read, each is what the fold makes of all entries so far."""

    async def main() -> None:
        store, other = (RedisSessionsStore(url=url, namespace=namespace) for _ in range(2))
        if url == "fake://":
            other = store
        everything: list[Any] = []
        for seed in range(6):
            entries = random_entries(seed)
            everything += entries
            await store.append(KEY, entries[:5])
            await other.append(KEY, entries[5:])
            await store.append(SUB, [entry("s", customTitle="no")])
            if seed % 2:
                continue
            (found,) = await (store if seed % 4 else other).list_session_summaries(KEY["project_key"])
            (listed,) = await store.list_sessions(KEY["project_key"])
            assert found["data"] == fold_session_summary(None, KEY, everything)["data"]
            assert found["mtime"] == listed["mtime"]
            assert await store.list_session_summaries(KEY["project_key"]) == [found]
            assert await store.list_sessions(KEY["project_key"]) == [listed]
        await store.delete(KEY)
        assert await store.list_session_summaries(KEY["project_key"]) == []
        await store.close()

    asyncio.run(main())


@pytest.mark.parametrize("text", [" ", "a/b", "{x}", "ü \ud800", "x" * 300, "💥" * 80, "agent:a:main", "..", "a:b"])
def test_keys_of_any_characters_are_apart(text: str) -> None:
    """Projects, sessions and subpaths have any characters, and none is taken for another."""

    async def main() -> None:
        store, memory = RedisSessionsStore(url="fake://"), InMemorySessionStore()
        subpath = text if text.isascii() else text[:40]
        keys: list[Any] = [
            {"project_key": text, "session_id": "s"},
            {"project_key": "p", "session_id": text},
            {"project_key": "p", "session_id": "s", "subpath": subpath},
            {"project_key": "p", "session_id": "s"},
            {"project_key": "p", "session_id": "s", "subpath": "other"},
        ]
        for number, key in enumerate(keys):
            for one in (store, memory):
                await one.append(key, [entry(None, str(number))])
        for key in keys:
            assert await store.load(key) == await memory.load(key)
        main_key: Any = {"project_key": "p", "session_id": "s"}
        assert sorted(await store.list_subkeys(main_key)) == sorted({subpath, "other"})
        assert [one["session_id"] for one in await store.list_sessions(text)] == ["s"]
        assert sorted(one["session_id"] for one in await store.list_sessions("p")) == sorted(["s", text])
        await store.close()

    asyncio.run(main())


def test_bad_input_is_refused() -> None:
    """Two sources, an empty subpath and a key that is not text are refused. A closed store refuses calls."""

    async def main() -> None:
        for given in ({}, {"url": "fake://", "client": object()}):
            with pytest.raises(InvalidInput, match="exactly one"):
                RedisSessionsStore(**given)  # type: ignore[arg-type]
        store = RedisSessionsStore(url="fake://")
        with pytest.raises(InvalidInput, match="subpath"):
            await store.append({**KEY, "subpath": ""}, [entry("a")])
        for wrong in ("", None, 5):
            with pytest.raises(InvalidInput, match="session_id"):
                await store.load({**KEY, "session_id": wrong})
            with pytest.raises(InvalidInput, match="project_key"):
                await store.append({**KEY, "project_key": wrong}, [entry("a")])
            with pytest.raises(InvalidInput, match="project_key"):
                await store.list_sessions(wrong)  # type: ignore[arg-type]
        with pytest.raises(InvalidInput, match="message"):
            await store.append(KEY, ["text"])  # type: ignore[list-item]
        await store.append(KEY, [])
        assert await store.list_sessions(KEY["project_key"]) == []
        await store.close()

    asyncio.run(main())


@REAL
def test_large_batches_and_entries_are_stored(url: str, namespace: str) -> None:
    """A batch of several megabytes is stored in parts, and an entry of several megabytes alone."""

    async def main() -> None:
        store = RedisSessionsStore(url=url, namespace=namespace)
        entries = [entry(f"u{number}", "é" * 3000) for number in range(1200)] + [entry("large", "x" * 5_000_000)]
        for key in (KEY, SUB):
            await store.append(key, entries)
            await store.append(key, entries)
            assert await store.load(key) == entries
        await store.close()

    asyncio.run(main())


@REAL
@repeat_if_dearer
def test_append_is_one_round_trip(url: str, engines: Engines, namespace: str) -> None:
    """The first append of a session, a later one, and one of a subagent take one round trip each."""
    server = engines.nodes["valkey-9"][0]

    async def main(store: RedisSessionsStore) -> None:
        await store.append({**KEY, "session_id": "warm"}, [entry("a")])
        await store.append({**SUB, "session_id": "warm"}, [entry("a")])
        await asyncio.sleep(0.3)
        count_round_trips(server)
        for key in (KEY, KEY, SUB, SUB):
            await store.append(key, [entry(None)])
            assert count_round_trips(server) == 1
        await store.load(KEY)
        assert count_round_trips(server) == 1

    with without_background():
        asyncio.run(main(RedisSessionsStore(url=url, namespace=namespace)))


def work(url: str, namespace: str, worker: int, left: range, pipe: Connection) -> None:
    """Append entries to the main transcript and to one that all workers share, in a loop of its own for each."""
    store = RedisSessionsStore(url=url, namespace=namespace)
    for number in left:
        for key in (KEY, SUB):
            asyncio.run(
                store.append(
                    key, [entry(f"{worker}-{number}-{part}", f"{worker}.{number}.{part}") for part in range(3)]
                )
            )
        pipe.send(number)


@pytest.mark.parametrize("engine", ["valkey-9", "cluster"] if IS_LONG else ["valkey-9"], indirect=True)
def test_killed_processes_lose_and_double_nothing(url: str, namespace: str) -> None:
    """Four processes that are killed at random, and write again what was not acknowledged, store each entry once, in order."""
    crew = Crew(work, url, namespace)
    crew.run()

    async def main() -> None:
        store = RedisSessionsStore(url=url, namespace=namespace)
        for key in (KEY, SUB):
            found = [one["uuid"] for one in await store.load(key) or []]
            for worker in range(crew.workers):
                mine = [uuid for uuid in found if uuid.startswith(f"{worker}-")]
                assert mine == [f"{worker}-{number}-{part}" for number in range(crew.items) for part in range(3)]
            assert len(found) == crew.workers * crew.items * 3
        await store.close()

    asyncio.run(main())


@ENGINES
def test_threads_with_loops_of_their_own_share_a_store(url: str, namespace: str) -> None:
    """Five threads, each with a loop and then with a fresh loop for each call, use one object."""
    store = RedisSessionsStore(url=url, namespace=namespace)

    async def several(worker: int) -> None:
        for number in range(5):
            await store.append(KEY, [entry(f"{worker}-{number}")])

    def thread(worker: int) -> None:
        asyncio.run(several(worker))
        for number in range(5, 10):
            asyncio.run(store.append(KEY, [entry(f"{worker}-{number}")]))

    threads = [threading.Thread(target=thread, args=(worker,)) for worker in range(5)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    found = [one["uuid"] for one in asyncio.run(store.load(KEY)) or []]
    assert sorted(found) == sorted(f"{worker}-{number}" for worker in range(5) for number in range(10))
    asyncio.run(store.close())


@ENGINES
def test_store_works_on_a_cache_of_either_kind(url: str, namespace: str) -> None:
    """A store on a plain cache writes sessions which that cache sees, with their messages and tags."""
    with SessionCache.from_url(url, namespace=namespace) as cache:
        store = RedisSessionsStore(cache=cache)
        asyncio.run(store.append(KEY, [entry("a", "Hello")]))
        (found,) = cache.list().items
        assert found.metadata["session_id"] == KEY["session_id"]
        assert [one.role for one in cache.session(found.id).history()] == ["user"]
        info = cache.session(found.id).info()
        assert (info.ttl, info.max_messages) == (None, None)


def test_example_prints_its_lines() -> None:
    """The example of the guide runs without a server and prints what was stored."""
    example = Path(__file__).parent.parent.parent / "examples" / "integrations" / "claude_agent_sdk_resume.py"
    done = subprocess.run([sys.executable, example, "fake://"], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [
        "sessions: ['Where is my bag?']",
        "messages: ['Where is my bag?', 'On belt 4.']",
        "subagents: ['subagents/agent-1']",
    ], done.stderr
