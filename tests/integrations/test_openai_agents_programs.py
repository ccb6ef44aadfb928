"""Random programs over the session of the OpenAI Agents SDK and the SDK's SQLite session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from agents.memory.sqlite_session import SQLiteSession

from redis_sessions import AsyncSessionCache
from redis_sessions.integrations.openai_agents import RedisSessionsSession
from tests.conftest import Engines
from tests.integrations.programs import LARGE, SEEDS, Chance

IDS = ("a", "ü {x}")
PRUNED: list[Callable[[Any], bool] | None] = [None, lambda item: item.get("role") == "user", lambda item: True]


def new_item(chance: Chance) -> dict[str, Any]:
    """Return an item, often one that equals another one."""
    call_id = f"c{chance.randint(0, 3)}"
    return chance.choice(  # type: ignore[no-any-return]
        [
            {"role": "user", "content": chance.choice(["same", "é💥\ud800", str(chance.random())])},
            {"role": "assistant", "type": "message", "id": "m1", "content": [{"type": "output_text", "text": "x"}]},
            {"type": "function_call", "call_id": call_id, "name": "look", "arguments": "{}"},
            {"type": "function_call_output", "call_id": call_id, "output": chance.choice(["found", ""])},
            {"role": chance.choice(["user", "system", "developer", "tool", "", None, 7]), "content": chance.odd()},
            {chance.choice(["k", "id", "type", "role", "seq", "", "tool_calls", "usage"]): chance.odd()},
            {},
        ]
    )


class Program:
    """Two sessions of each kind, of which the first has two objects."""

    def __init__(self, chance: Chance, cache: AsyncSessionCache) -> None:
        self.chance = chance
        self.ours = {id: [RedisSessionsSession(id, cache=cache) for _ in range(2)] for id in IDS}
        self.theirs = {id: SQLiteSession(id) for id in IDS}

    async def step(self) -> None:
        """Do one thing in both, and compare all items."""
        id = self.chance.choice(IDS)
        ours, theirs = self.chance.choice(self.ours[id]), self.theirs[id]
        action = self.chance.choice([self.add, self.add, self.pop, self.pop, self.read, self.replace, self.compact])
        await action(ours, theirs)
        assert await ours.get_items() == await theirs.get_items()

    async def add(self, ours: RedisSessionsSession, theirs: SQLiteSession) -> None:
        """Add items, none at times. Or clear the session."""
        if self.chance.is_true(0.1):
            await ours.clear_session()
            await theirs.clear_session()
        items = self.chance.some(lambda: new_item(self.chance), 0, 1, 1, 2, 30)
        await ours.add_items(items)
        await theirs.add_items(items)

    async def pop(self, ours: RedisSessionsSession, theirs: SQLiteSession) -> None:
        """Pop an item."""
        assert await ours.pop_item() == await theirs.pop_item()

    async def read(self, ours: RedisSessionsSession, theirs: SQLiteSession) -> None:
        """Read with a limit."""
        limit = self.chance.choice([0, 1, 2, 5, 1000, LARGE])
        assert await ours.get_items(limit) == await theirs.get_items(min(limit, 1000))

    async def replace(self, ours: RedisSessionsSession, theirs: SQLiteSession) -> None:
        """Replace all items."""
        items = self.chance.some(lambda: new_item(self.chance), 0, 1, 3)
        assert await ours._atomic_replace_items(items)
        await theirs.clear_session()
        await theirs.add_items(items)

    async def compact(self, ours: RedisSessionsSession, theirs: SQLiteSession) -> None:
        """Replace the last items, at times after another write."""
        given: Any = {"limit": self.chance.choice([1, 2, 5, 100]), "prune_prefix": self.chance.choice(PRUNED)}
        found, wanted = [await session._get_compaction_snapshot(**given) for session in (ours, theirs)]
        assert wanted is not None
        assert (found.items, found.complete) == (wanted.items, wanted.complete)
        if self.chance.is_true(0.3):
            await self.add(ours, theirs)
        start, output = self.chance.choice([0, 1, -1, 7]), self.chance.some(lambda: new_item(self.chance), 0, 2)
        assert await found.replace_suffix(start, output) == await wanted.replace_suffix(start, output)


@pytest.mark.parametrize("seed", SEEDS)
def test_session_answers_as_that_of_sqlite(seed: int, engines: Engines, namespace: str) -> None:
    """Random additions, pops, reads, replacements and compactions have the results of the SDK's own session."""

    async def main() -> None:
        url = engines.url("cluster" if seed == 0 else "valkey-9")
        async with AsyncSessionCache.from_url(url, namespace=namespace) as cache:
            program = Program(Chance(seed), cache)
            for _ in range(40):
                await program.step()

    asyncio.run(main())
