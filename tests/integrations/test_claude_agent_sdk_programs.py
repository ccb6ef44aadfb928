"""Random programs over the store of the Claude Agent SDK and the SDK's store in memory."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from claude_agent_sdk import InMemorySessionStore

from redis_sessions.integrations.claude_agent_sdk import RedisSessionsStore
from tests.conftest import Engines
from tests.integrations.programs import SEEDS, Chance

PROJECTS = ("p", "/home/ü {x}", "p-2", " ")
SESSIONS = ("s1", "s2", "s:{3}")
SUBPATHS = (None, None, "subagents/agent-1", "ü {}", "a", "a/b")
FIELDS: dict[str, list[Any]] = {
    "tag": ["a", "", "b"], "customTitle": ["t", "", None], "summary": ["s"], "lastPrompt": ["p"], "gitBranch": ["main", None],
    "cwd": ["/a"], "timestamp": ["2026-01-01T00:00:00.000Z", "bad"], "isSidechain": [True, False], "isMeta": [True],
}  # fmt: skip
CONTENTS: list[Any] = [
    "hi", "<command-name>/x</command-name>", [{"type": "text", "text": "é"}],
    [{"type": "tool_use", "id": "t1", "name": "n", "input": {}}],
    [{"type": "tool_result", "tool_use_id": "t1", "content": "x"}],
]  # fmt: skip


def new_entry(chance: Chance) -> dict[str, Any]:
    """Return an entry, of which a summary takes any part."""
    entry: dict[str, Any] = {
        "type": chance.choice(["user", "assistant", "summary", "system", "tag", "custom-title", ""])
    }
    if chance.is_true(0.7):
        entry["uuid"] = chance.choice(["u", "é{}", "x" * 80, "-"]) + str(chance.random())
    elif chance.is_true(0.3):
        entry["uuid"] = chance.choice([None, "", 7, [], True])
    if chance.is_true(0.6):
        content = chance.odd() if chance.is_true(0.2) else chance.choice(CONTENTS)
        entry["message"] = {"role": chance.choice(["user", "assistant"]), "content": content}
    return entry | {name: chance.choice(values) for name, values in FIELDS.items() if chance.is_true(0.15)}


def new_key(chance: Chance) -> Any:
    """Return the key of a transcript."""
    subpath = chance.choice(SUBPATHS)
    key = {"project_key": chance.choice(PROJECTS), "session_id": chance.choice(SESSIONS)}
    return key if subpath is None else {**key, "subpath": subpath}


async def step(chance: Chance, ours: RedisSessionsStore, theirs: InMemorySessionStore) -> None:
    """Do one thing in both."""
    key, action = new_key(chance), chance.choice(["append", "append", "append", "load", "delete", "list", "subkeys"])
    if action == "append":
        entries: Any = chance.some(lambda: new_entry(chance), 1, 1, 2, 20)
        await ours.append(key, entries)
        await theirs.append(key, entries)
    elif action == "load":
        assert await ours.load(key) == await theirs.load(key)
    elif action == "delete" and chance.is_true(0.5):
        await ours.delete(key)
        await theirs.delete(key)
    elif action == "subkeys":
        key.pop("subpath", None)
        assert sorted(await ours.list_subkeys(key)) == sorted(await theirs.list_subkeys(key))
    elif action == "list":
        project = key["project_key"]
        listed = {one["session_id"]: one["mtime"] for one in await ours.list_sessions(project)}
        found = {one["session_id"]: one for one in await ours.list_session_summaries(project)}
        wanted = {one["session_id"]: one for one in await theirs.list_session_summaries(project)}
        assert {id: one["mtime"] for id, one in found.items()} == listed
        assert {id: one["data"] for id, one in found.items()} == {id: one["data"] for id, one in wanted.items()}
        assert set(listed) == {one["session_id"] for one in await theirs.list_sessions(project)}


@pytest.mark.parametrize("seed", SEEDS)
def test_store_answers_as_the_store_in_memory(seed: int, engines: Engines, namespace: str) -> None:
    """Random appends, loads, deletions and lists by two stores have the results of the SDK's own store."""

    async def main() -> None:
        url, chance = engines.url("cluster" if seed == 0 else "valkey-9"), Chance(seed)
        stores = [RedisSessionsStore(url=url, namespace=namespace) for _ in range(2)]
        theirs = InMemorySessionStore()
        for _ in range(30):
            await step(chance, chance.choice(stores), theirs)
        for store in stores:
            await store.close()

    asyncio.run(main())
