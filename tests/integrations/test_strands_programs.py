"""Random programs over the session manager and the storage of Strands, and those of Strands on files and in memory."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from strands.session.file_session_manager import FileSessionManager
from strands.storage import InMemoryStorage
from strands.types.exceptions import SessionException, StorageError
from strands.types.session import Session, SessionAgent, SessionMessage, SessionType

from redis_sessions.integrations.strands import RedisSessionsSessionManager, RedisSessionsStorage
from tests.conftest import Engines
from tests.integrations.programs import LARGE, SEEDS, Chance, outcome

IDS = ("s", "ü {1}")
AGENTS = ("a", "b.c-é")
BLOCKS: list[dict[str, Any]] = [
    {"text": "é💥"}, {"toolUse": {"toolUseId": "t", "name": "n", "input": {"x": [1, None]}}},
    {"toolResult": {"toolUseId": "t", "status": "success", "content": [{"text": "b"}]}},
    {"image": {"format": "png", "source": {"bytes": b"\0\xff"}}},
]  # fmt: skip
KEYS = [
    "a",
    "a/b",
    "a//b/",
    "/a",
    "é {x}",
    "..",
    "",
    "a\\b",
    "b",
    "ab",
    "x" * 300,
    "💥\ud800",
    "a%2Fb",
    "a\nb",
    "*",
    "%",
]


def new_call(chance: Chance, theirs: FileSessionManager) -> Callable[[Any], Any]:
    """Return a call of a repository. Nothing is created below what does not exist, and nothing twice."""
    id, agent_id, number = chance.choice(IDS), chance.choice(AGENTS), chance.choice([0, 1, 2, 50])
    agent = SessionAgent(agent_id, {"k": chance.choice([1, "é", [None]])}, {"n": chance.random()}, {})
    content: Any = {"role": "user", "content": [chance.choice(BLOCKS) for _ in range(chance.randint(0, 3))]}
    limit, offset = chance.choice([None, 0, 1, 2, LARGE]), chance.choice([0, 0, 1, 3, LARGE])
    calls: list[Callable[[Any], Any]] = [
        lambda one: one.create_session(Session(id, SessionType.AGENT)) and None,
        lambda one: one.update_agent(id, copy.deepcopy(agent)),
        lambda one: one.read_agent(id, agent_id),
        lambda one: one.read_message(id, agent_id, number),
        lambda one: one.update_message(id, agent_id, SessionMessage(copy.deepcopy(content), number)),
        lambda one: one.list_messages(id, agent_id, limit, offset),
    ]
    if chance.is_true(0.1):
        calls = [lambda one: one.delete_session(id)]
    elif theirs.read_session(id) is not None and theirs.read_agent(id, agent_id) is None:
        calls = [lambda one: one.create_agent(id, copy.deepcopy(agent))]
    elif theirs.read_session(id) is not None and chance.is_true(0.4):
        new = len(theirs.list_messages(id, agent_id)) + (chance.randint(1, 3) if chance.is_true(0.1) else 0)
        if theirs.read_message(id, agent_id, new) is None:
            calls = [lambda one: one.create_message(id, agent_id, SessionMessage(copy.deepcopy(content), new))]
    return chance.choice(calls)


def result(call: Callable[[Any], Any], repository: Any) -> Any:
    """Return the result of a call as plain values without times, or the name of its error."""
    try:
        found = call(repository)
    except SessionException as problem:
        return type(problem).__name__
    plain = [one.to_dict() for one in (found if isinstance(found, list) else [found]) if one is not None]
    return [{name: value for name, value in one.items() if not name.endswith("_at")} for one in plain]


@pytest.mark.parametrize("seed", SEEDS)
def test_repository_answers_as_that_of_files(seed: int, engines: Engines, namespace: str, tmp_path: Path) -> None:
    """Random calls of two managers have the results of the manager of files."""
    url, chance = engines.url("cluster" if seed == 0 else "valkey-9"), Chance(seed)
    managers = [RedisSessionsSessionManager("main", url=url, namespace=namespace) for _ in range(2)]
    theirs = FileSessionManager("main", storage_dir=str(tmp_path))
    for _ in range(60):
        call = new_call(chance, theirs)
        assert result(call, chance.choice(managers)) == result(call, theirs)
    for manager in managers:
        manager.close()


@pytest.mark.parametrize("seed", SEEDS)
def test_storage_answers_as_the_storage_in_memory(seed: int, engines: Engines, namespace: str) -> None:
    """Random writes, reads, deletions, lists and searches below several prefixes have the results of the storage in memory."""

    async def main() -> None:
        url, chance = engines.url("cluster" if seed == 0 else "valkey-9"), Chance(seed)
        storage = RedisSessionsStorage(url=url, namespace=namespace)
        scopes: list[tuple[Any, Any]] = [(storage, InMemoryStorage())]
        for _ in range(40):
            both, key = chance.choice(scopes), chance.choice(KEYS)
            action = chance.choice(["write", "write", "read", "delete", "list", "search", "namespace"])
            if action == "namespace":
                prefix = chance.choice(["n", "n/é", "", "/a/"])
                scopes.append((both[0].namespace(prefix), both[1].namespace(prefix)))
                continue
            given = [key, chance.choice([b"", b"\0\xff" * 50, bytearray(b"text a")])] if action == "write" else [key]
            found, wanted = [await outcome(getattr(one, action)(*given), StorageError) for one in both]
            assert found == wanted, f"{action} {given}"
        await storage.close()

    asyncio.run(main())
