"""Session manager and storage of Strands Agents."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

import pytest
from strands import Agent
from strands.agent.conversation_manager import SlidingWindowConversationManager
from strands.types.exceptions import SessionException, StorageError
from strands.types.session import Session, SessionAgent, SessionMessage, SessionType

from redis_sessions import InvalidInput, SessionCache
from redis_sessions._core.protocol.keys import session_keys
from redis_sessions.integrations.strands import RedisSessionsSessionManager, RedisSessionsStorage
from tests.conftest import Engines, fake_client
from tests.faults.test_round_trips import count_round_trips, without_background
from tests.integrations.crew import IS_LONG, Crew
from tests.support.attempts import repeat_if_dearer
from tests.support.proxy import Losses, proxy

ENGINES = pytest.mark.parametrize("engine", ["fake", "redis-6.2", "valkey-9", "cluster"], indirect=True)
REAL = pytest.mark.parametrize("engine", ["valkey-9"], indirect=True)


def message(text: str, number: int, role: str = "user") -> SessionMessage:
    """Return a message of an agent."""
    return SessionMessage.from_message({"role": role, "content": [{"text": text}]}, number)  # type: ignore[typeddict-item]


def agent(id: str = "a", **state: Any) -> SessionAgent:
    """Return an agent."""
    return SessionAgent(agent_id=id, state=state, conversation_manager_state={})


def open_manager(url: str, namespace: str, session_id: str = "s", *agents: str) -> RedisSessionsSessionManager:
    """Return a manager of a session with agents, by default `a`."""
    manager = RedisSessionsSessionManager(session_id, url=url, namespace=namespace)
    for id in agents or ("a",):
        manager.create_agent(session_id, agent(id))
    return manager


def texts(manager: RedisSessionsSessionManager, agent_id: str = "a", **options: Any) -> list[Any]:
    """Return the texts of an agent's messages."""
    found = manager.list_messages("s", agent_id, **options)
    return [one.to_message()["content"][0]["text"] for one in found]


@ENGINES
def test_pages_of_messages(url: str, namespace: str) -> None:
    """Messages come by number, whatever the order in which they were stored, and so do their pages."""
    manager = open_manager(url, namespace)
    for number in [*range(10), 12, 11, 10]:
        manager.create_message("s", "a", message(str(number), number))
    everything = [str(number) for number in range(13)]
    for offset in (0, 1, 9, 10, 11, 12, 13, 99):
        for limit in (None, 0, 1, 2, 5, 100):
            expected = everything[offset:] if limit is None else everything[offset : offset + limit]
            assert texts(manager, offset=offset, limit=limit) == expected
    found = manager.read_message("s", "a", 11)
    assert found is not None
    assert found.message["content"] == [{"text": "11"}]
    manager.close()


@ENGINES
def test_writers_of_one_agent_overwrite_nothing(url: str, namespace: str) -> None:
    """Two processes that give one number to different messages keep both, and each redacts its own."""
    first, second = open_manager(url, namespace), None
    try:
        second = first if url == "fake://" else RedisSessionsSessionManager("s", url=url, namespace=namespace)
        mine, others = message("mine", 0), message("others", 0)
        for _ in range(2):  # the second time is a retry
            first.create_message("s", "a", mine)
            second.create_message("s", "a", others)
        assert texts(first) == ["mine", "others"]
        others.redact_message = {"role": "user", "content": [{"text": "[gone]"}]}
        second.update_message("s", "a", others)
        assert texts(first) == ["mine", "[gone]"]
        restored = first.list_messages("s", "a")[1]
        restored.redact_message = {"role": "user", "content": [{"text": "[again]"}]}
        first.update_message("s", "a", restored)
        assert texts(first) == ["mine", "[again]"]
    finally:
        first.close()


@ENGINES
def test_redaction_leaves_nothing_at_rest(cache: SessionCache, engine: str, engines: Engines) -> None:
    """No key of the session holds the text of a redacted message."""
    manager = RedisSessionsSessionManager("s", cache=cache)
    manager.create_agent("s", agent())
    secret = message("zanzibar", 0)
    manager.create_message("s", "a", secret)
    assert b"zanzibar" in everything_stored(cache, engine, engines)
    secret.redact_message = {"role": "user", "content": [{"text": "[redacted]"}]}
    manager.update_message("s", "a", secret)
    assert b"zanzibar" not in everything_stored(cache, engine, engines)
    found = manager.list_messages("s", "a")[0]
    assert found.to_message()["content"] == [{"text": "[redacted]"}]
    assert found.created_at == secret.created_at


def everything_stored(cache: SessionCache, engine: str, engines: Engines) -> bytes:
    """Return all that the servers hold of hashes."""
    found = b""
    for client in [node.client for node in engines.nodes[engine]] or [fake_client(cache)]:
        for key in client.scan_iter(_type="hash"):
            found += b"".join(cast(Any, client).hgetall(key).values())
    assert session_keys(cache.namespace, "s").tag
    return found


@ENGINES
def test_agent_goes_on_in_another_process(url: str, namespace: str) -> None:
    """An agent finds its messages, its state and the messages that its window dropped."""
    if url == "fake://":
        cache = SessionCache.from_url(url)
        source: dict[str, Any] = {"cache": cache}
    else:
        source = {"url": url, "namespace": namespace}

    def open_agent() -> Agent:
        return Agent(
            agent_id="a", session_manager=RedisSessionsSessionManager("s", **source),
            conversation_manager=SlidingWindowConversationManager(window_size=4),
        )  # fmt: skip

    first = open_agent()
    manager: Any = first._session_manager
    for number in range(6):
        role = "assistant" if number % 2 else "user"
        added: Any = {"role": role, "content": [{"text": f"m{number}"}]}
        first.messages.append(added)
        manager.append_message(added, first)
    first.state.set("seen", 3)
    first.conversation_manager.apply_management(first)
    manager.sync_agent(first)
    second = open_agent()
    assert [one["content"] for one in second.messages] == [one["content"] for one in first.messages]
    assert second.messages[-1]["content"] == [{"text": "m5"}]
    assert second.state.get("seen") == 3


@pytest.mark.parametrize("id", [" ", "a/b", "{x}", "ü \ud800", "x" * 400, "..", "agent:a:main", "a b"])
def test_ids_of_any_characters_are_apart(id: str) -> None:
    """Sessions and agents have any characters, and none is taken for another."""
    cache = SessionCache.from_url("fake://")
    managers = [RedisSessionsSessionManager(one, cache=cache) for one in (id, id + "x")]
    for manager in managers:
        for agent_id in (id, id + "x"):
            manager.create_agent(manager.session_id, agent(agent_id, name=[manager.session_id[:3], len(agent_id)]))
            manager.create_message(
                manager.session_id, agent_id, message(f"{len(manager.session_id)} {len(agent_id)}", 0)
            )
    for manager in managers:
        for agent_id in (id, id + "x"):
            found = manager.list_messages(manager.session_id, agent_id)
            assert [one.message["content"] for one in found] == [
                [{"text": f"{len(manager.session_id)} {len(agent_id)}"}]
            ]
            known = manager.read_agent(manager.session_id, agent_id)
            assert known is not None
            assert (known.agent_id, known.state["name"][1]) == (agent_id, len(agent_id))


def test_bad_input_has_the_errors_of_the_framework() -> None:
    """A missing or double thing raises SessionException, and an argument that is not valid ValueError."""
    cache = SessionCache.from_url("fake://")
    manager = RedisSessionsSessionManager("s", cache=cache)
    for given in ({}, {"url": "fake://", "cache": cache}):
        with pytest.raises(InvalidInput, match="exactly one"):
            RedisSessionsSessionManager("s", **given)  # type: ignore[arg-type]
    for wrong in ("", None, 5):
        with pytest.raises(InvalidInput, match="session_id"):
            RedisSessionsSessionManager(wrong, cache=cache)  # type: ignore[arg-type]
        with pytest.raises(InvalidInput, match="agent_id"):
            manager.create_agent("s", agent(wrong))  # type: ignore[arg-type]
        with pytest.raises(InvalidInput, match="name"):
            RedisSessionsStorage(cache=cache, name=wrong)  # type: ignore[arg-type]
    for option in ({"codecs": []}, {"tll": "1h"}, {"session_repository": manager}):
        with pytest.raises(InvalidInput, match=f"{next(iter(option))}: is not an option .* give cache=SessionCache"):
            RedisSessionsSessionManager("s", cache=cache, **option)
    with pytest.raises(SessionException, match="already exists"):
        manager.create_session(Session("s", SessionType.AGENT))
    assert (
        manager.read_agent("none", "a")
        is manager.read_message("none", "a", 0)
        is manager.read_multi_agent("none", "m")
        is None
    )
    for call in (
        lambda: manager.create_agent("none", agent()),
        lambda: manager.update_agent("s", agent("none")),
        lambda: manager.create_message("none", "a", message("x", 0)),
        lambda: manager.update_message("s", "a", message("x", 0)),
        lambda: manager.list_messages("s", "none"),
        lambda: manager.list_messages("none", "a"),
        lambda: manager.delete_session("none"),
    ):
        with pytest.raises(SessionException, match="does not exist"):
            call()
    for number in (None, "1", 1.5, True):
        with pytest.raises(ValueError, match="integer"):
            manager.create_message("s", "a", message("x", number))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="negative"):
        manager.list_messages("s", "a", limit=-1)
    manager.delete_session("s")
    assert manager.read_session("s") is None
    assert cache.list().items == []


def test_longest_agent_id_is_checked_when_the_agent_is_created() -> None:
    """An agent whose messages could not be stored under its ID is refused."""
    manager = RedisSessionsSessionManager("s", url="fake://")
    manager.create_agent("s", agent("x" * 503))
    manager.create_message("s", "x" * 503, message("a", 0))
    assert len(manager.list_messages("s", "x" * 503)) == 1
    for long in ("x" * 504, "é" * 84):
        with pytest.raises(InvalidInput):
            manager.create_agent("s", agent(long))
        assert manager.read_agent("s", long) is None


def test_server_that_is_down_is_asked_once() -> None:
    """The construction waits for a server no longer than one call does."""
    cache = SessionCache.from_url("redis://127.0.0.1:1?retry_for=0.05")
    calls: list[Exception] = []
    cache._executor.on_failure = calls.append
    asked: list[object] = []
    here, run = threading.get_ident(), type(cache._executor).run

    def counted(executor: Any, call: Any, *given: Any) -> Any:
        if threading.get_ident() == here:  # no call of the background
            asked.append(call)
        return run(executor, call, *given)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(SessionException):
        patch.setattr(type(cache._executor), "run", counted)
        RedisSessionsSessionManager("s", cache=cache)
    assert len(asked) == 1


@REAL
@repeat_if_dearer
def test_round_trips(url: str, engines: Engines, namespace: str) -> None:
    """A message, an agent and a page take one round trip each."""
    server = engines.nodes["valkey-9"][0]
    manager = open_manager(url, namespace)
    manager.create_message("s", "a", message("x", 0))
    known = manager.read_agent("s", "a")
    assert known is not None
    manager.update_agent("s", known)
    manager.list_messages("s", "a")
    calls: list[Callable[[], Any]] = [
        lambda: manager.create_message("s", "a", message("y", 1)),
        lambda: manager.update_agent("s", known),
        lambda: manager.read_agent("s", "a"),
        lambda: manager.list_messages("s", "a", offset=1),
    ]
    with without_background():
        for number, call in enumerate(calls):
            count_round_trips(server)
            call()
            assert count_round_trips(server) == 1, number
    manager.close()


def test_message_whose_reply_was_lost_is_stored_once(engines: Engines, namespace: str) -> None:
    """A message that is stored again after a lost reply, with the same object or a new one, is stored once."""
    engines.url("valkey-9")
    losses = Losses(requests=0, replies=0)
    with (
        proxy(engines.nodes["valkey-9"][0].port, losses) as port,
        SessionCache.from_url(f"redis://127.0.0.1:{port}", namespace=namespace, timeout=0.2, retry_for=0.4) as cache,
    ):
        manager = RedisSessionsSessionManager("s", cache=cache)
        manager.create_agent("s", agent())
        losses.replies = 1.0
        first = message("x", 0)
        with pytest.raises(SessionException):
            manager.create_message("s", "a", first)
        losses.replies = 0.0
        manager.create_message("s", "a", first)
        manager.create_message("s", "a", message("x", 0))
        assert texts(manager) == ["x"]


def work(url: str, namespace: str, worker: int, left: range, pipe: Connection) -> None:
    """Store messages of an agent of this worker's own, and of one that all workers share."""
    manager = RedisSessionsSessionManager("s", url=url, namespace=namespace)
    for id in (f"w{worker}", "shared"):
        if manager.read_agent("s", id) is None:
            manager.create_agent("s", agent(id))
    for number in left:
        manager.create_message("s", f"w{worker}", message(str(number), number))
        manager.create_message("s", "shared", message(f"{worker}.{number}", number))
        manager.update_agent("s", agent(f"w{worker}", last=number))
        pipe.send(number)


@pytest.mark.parametrize("engine", ["valkey-9", "cluster"] if IS_LONG else ["valkey-9"], indirect=True)
def test_killed_processes_lose_and_double_nothing(url: str, namespace: str) -> None:
    """Four processes that are killed at random store each message of their agents, and of a shared one, once."""
    crew = Crew(work, url, namespace)
    crew.run()
    manager = RedisSessionsSessionManager("s", url=url, namespace=namespace)
    for worker in range(crew.workers):
        assert texts(manager, f"w{worker}") == [str(number) for number in range(crew.items)]
        known = manager.read_agent("s", f"w{worker}")
        assert known is not None
        assert known.state == {"last": crew.items - 1}
    expected = [f"{worker}.{number}" for worker in range(crew.workers) for number in range(crew.items)]
    assert sorted(texts(manager, "shared")) == sorted(expected)
    manager.close()


@ENGINES
def test_threads_share_a_manager(url: str, namespace: str) -> None:
    """Five threads with loops of their own use one object."""
    manager = open_manager(url, namespace, "s", *"abcde")

    async def several(id: str) -> None:
        for number in range(8):
            manager.create_message("s", id, message(str(number), number))

    threads = [threading.Thread(target=lambda id=id: asyncio.run(several(id))) for id in "abcde"]  # type: ignore[misc]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert all(texts(manager, id) == [str(number) for number in range(8)] for id in "abcde")
    manager.close()


@ENGINES
def test_storage_serves_threads_with_loops_of_their_own(url: str, namespace: str) -> None:
    """Five threads, each with a fresh loop for each call, write, list and delete keys of any characters."""
    storage = RedisSessionsStorage(url=url, namespace=namespace)

    def thread(number: int) -> None:
        for at in range(4):
            asyncio.run(storage.write(f"t{number}/k {at} ü{{}}", bytes([number, at, 0, 255])))
        asyncio.run(storage.delete(f"t{number}/k 0 ü{{}}"))

    threads = [threading.Thread(target=thread, args=(number,)) for number in range(5)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    expected = [f"t{number}/k {at} ü{{}}" for number in range(5) for at in range(1, 4)]
    assert asyncio.run(storage.list("")) == expected
    assert asyncio.run(storage.list("t3/")) == expected[9:12]
    assert asyncio.run(storage.namespace("t2").list("k 1")) == ["k 1 ü{}"]
    assert asyncio.run(storage.read("t4/k 3 ü{}")) == bytes([4, 3, 0, 255])
    asyncio.run(storage.close())


def test_storage_has_the_errors_of_the_framework() -> None:
    """Keys without a name, values that are not bytes, and a missing key are answered as by the framework's own storages."""

    async def main() -> None:
        storage = RedisSessionsStorage(url="fake://")
        assert await storage.read("none") is None
        assert await storage.list() == []
        await storage.delete("none")
        for key in ("", "/", "a/../b", "a\\b"):
            with pytest.raises(StorageError):
                await storage.write(key, b"x")
        with pytest.raises(StorageError):
            await storage.write("key", "text")  # type: ignore[arg-type]
        with pytest.raises(StorageError):
            await storage.write("x" * 600, b"x")
        for data in (b"", bytes(range(256)) * 20_000, bytearray(b"x")):
            await storage.write("key", cast(bytes, data))
            assert await storage.read("/key/") == bytes(data)
        await storage.close()

    asyncio.run(main())


def test_example_prints_its_lines() -> None:
    """The example of the guide runs without a server and prints what was stored."""
    example = Path(__file__).parent.parent.parent / "examples" / "integrations" / "strands_chat.py"
    done = subprocess.run([sys.executable, example, "fake://"], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["first: I see 1 messages.", "second: I see 3 messages."], done.stderr
