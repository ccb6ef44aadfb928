"""Random programs over the saver and the store of LangGraph, and those in memory."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.base import GetOp, ListNamespacesOp, MatchCondition, PutOp, SearchOp
from langgraph.store.memory import InMemoryStore

from redis_sessions.integrations.langgraph import RedisSessionsSaver, RedisSessionsStore
from tests.conftest import Engines
from tests.integrations.programs import LARGE, SEEDS, Chance

THREADS: tuple[Any, ...] = ("t", "ü {x}\n", 7)
NAMESPACES = ("", "ns|1", "inner:é")
CHANNELS = ("a", "é\n", "messages", "__error__", "__interrupt__", "__resume__", "__scheduled__")
LABELS = ("a", "b", "é {x}", "a/b", "*", "%", "users", "ab")
KEYS = ("k", "é\n", "", "a/b", "x" * 200, "\ud800", "%")
VALUES: list[Any] = [1, 2.5, -1, "a", None, True, [1, 2], {"y": 1, "z": [1]}, [], "10", 0]
FILTERS: list[Any] = [1, "a", None, [1, 2], {"y": 1}, {"$eq": 1}, {"$ne": "a"}, {"y": {"$eq": 1}}, {"$eq": None}]


def plain(found: Any) -> Any:
    """Return a checkpoint as a tuple, whose config names its namespace."""
    parent = found and found.parent_config and found.parent_config["configurable"]
    return found and ({"checkpoint_ns": "", **found.config["configurable"]}, *found[1:3], parent, found.pending_writes)


class SaverProgram:
    """A saver with that in memory."""

    def __init__(self, chance: Chance, ours: RedisSessionsSaver) -> None:
        self.chance, self.ours, self.theirs = chance, ours, InMemorySaver()
        self.ids: dict[Any, list[str]] = {}
        self.numbers = itertools.count(95)

    async def both(self, name: str, *given: Any) -> tuple[Any, Any]:
        """Return the results of a method, which is of either kind for ours."""
        is_async = self.chance.is_true(0.5)
        found = await getattr(self.ours, f"a{name}")(*given) if is_async else getattr(self.ours, name)(*given)
        return found, getattr(self.theirs, name)(*given)

    async def step(self) -> None:
        """Do one thing in both."""
        place = self.chance.choice(THREADS), self.chance.choice(NAMESPACES)
        config: Any = {"configurable": {"thread_id": place[0], "checkpoint_ns": place[1]}}
        ids, action = self.ids.setdefault(place, []), self.chance.choice("pppwwwgglld")
        if action == "p":
            await self.put(config, ids)
        elif action == "w" and ids:
            config["configurable"]["checkpoint_id"] = self.chance.choice(ids)
            writes = self.chance.some(lambda: (self.chance.choice(CHANNELS), self.chance.choice(VALUES)), 0, 1, 2, 5)
            await self.both(
                "put_writes", config, writes, self.chance.choice(["t1", "t é\n"]), self.chance.choice(["", "~1"])
            )
        elif action == "g":
            if self.chance.is_true(0.6):
                config["configurable"]["checkpoint_id"] = self.chance.choice([*ids, "nope"])
            found, wanted = await self.both("get_tuple", config)
            assert plain(found) == plain(wanted)
        elif action == "l":
            await self.list(config, ids)
        elif action == "d" and self.chance.is_true(0.3):
            await self.both("delete_thread", place[0])
            self.ids = {other: found for other, found in self.ids.items() if other[0] != place[0]}

    async def put(self, config: Any, ids: list[str]) -> None:
        """Store a checkpoint below any other one, or without a parent."""
        checkpoint: Any = {**empty_checkpoint(), "id": f"{next(self.numbers):04}{self.chance.choice(['', '-é'])}"}
        if ids and self.chance.is_true(0.8):
            config["configurable"]["checkpoint_id"] = self.chance.choice(ids)
            parent = self.theirs.get_tuple(config)
            assert parent is not None
            checkpoint |= {name: dict(parent.checkpoint[name]) for name in ("channel_values", "channel_versions")}  # type: ignore[literal-required]
        versions: dict[str, Any] = {}
        for channel in self.chance.sample(CHANNELS, self.chance.randint(0, 3)):
            version = versions[channel] = self.ours.get_next_version(checkpoint["channel_versions"].get(channel), None)
            checkpoint["channel_versions"][channel] = version
            checkpoint["channel_values"].pop(channel, None)
            if self.chance.is_true(0.8):
                checkpoint["channel_values"][channel] = self.chance.choice([*VALUES, b"\0", ("t", 1), {1, 2}])
        metadata = {"source": self.chance.choice(["loop", "input"]), "step": self.chance.randint(-1, 2), "parents": {}}
        found, wanted = await self.both("put", config, checkpoint, metadata, versions)
        assert found == wanted
        ids.append(checkpoint["id"])

    async def list(self, config: Any, ids: list[str]) -> None:
        """List the checkpoints of a place."""
        given = {
            "limit": self.chance.choice([None, 0, 1, 2, -1, LARGE]),
            "filter": self.chance.choice([None, {}, {"source": "loop"}, {"step": 1, "x": None}, {"nope": 1}]),
            "before": {"configurable": {"checkpoint_id": self.chance.choice(ids)}} if ids else None,
        }
        wanted = [plain(one) for one in self.theirs.list(config, **given)]
        assert [plain(one) for one in self.ours.list(config, **given)] == wanted
        assert [plain(one) async for one in self.ours.alist(config, **given)] == wanted


@pytest.mark.parametrize("seed", SEEDS)
def test_saver_answers_as_the_saver_in_memory(seed: int, engines: Engines, namespace: str) -> None:
    """Random checkpoints, writes, reads, lists and deletions of both kinds have the results of LangGraph's own saver."""

    async def main() -> None:
        async with RedisSessionsSaver(
            engines.url("cluster" if seed == 0 else "valkey-9"), namespace=namespace
        ) as saver:
            program = SaverProgram(Chance(seed), saver)
            for _ in range(50):
                await program.step()

    asyncio.run(main())


def new_operation(chance: Chance, present: list[tuple[Any, str]]) -> Any:
    """Return an operation, often on an item that was stored before."""
    namespace, key = tuple(chance.choices(LABELS, k=chance.randint(1, 3))), chance.choice(KEYS)
    if present and chance.is_true(0.6):
        namespace, key = chance.choice(present)
    conditions = tuple(
        MatchCondition(chance.choice(["prefix", "suffix"]), tuple(chance.choices(LABELS, k=chance.randint(1, 2))))
        for _ in range(chance.choice([0, 1, 2]))
    )
    value = {chance.choice("nsé"): chance.choice(VALUES) for _ in range(chance.randint(0, 3))}
    filter = {chance.choice("nsé"): chance.choice(FILTERS) for _ in range(chance.choice([0, 0, 1, 2]))}
    action = chance.choice("pppgssld")
    if action == "p":
        present.append((namespace, key))
    operations: dict[str, Any] = {
        "p": PutOp(namespace, key, value),
        "d": PutOp(namespace, key, None),
        "g": GetOp(namespace, key, refresh_ttl=chance.is_true(0.5)),
        "s": SearchOp(chance.choice([(), namespace, namespace[:1]]), filter, chance.choice([0, 1000, LARGE])),
        "l": ListNamespacesOp(conditions, chance.choice([None, 1, 2]), chance.choice([1, 100]), chance.choice([0, 1])),
    }
    return operations[action]


def items(found: Any) -> Any:
    """Return results without times and without an order of equal times."""
    if isinstance(found, list) and not any(isinstance(one, tuple) for one in found):
        return sorted(map(repr, map(items, found)))
    return (found.namespace, found.key, found.value) if hasattr(found, "value") else found


@pytest.mark.parametrize("seed", SEEDS)
def test_store_answers_as_the_store_in_memory(seed: int, engines: Engines, namespace: str) -> None:
    """Random batches have the results of LangGraph's own store, except that a namespace without items is not listed."""

    async def main() -> None:
        chance, theirs, present = Chance(seed), InMemoryStore(), list[tuple[Any, str]]()
        async with RedisSessionsStore(engines.url("cluster" if seed == 0 else "valkey-9"), namespace=namespace) as ours:
            for _ in range(30):
                batch = chance.some(lambda: new_operation(chance, present), 1, 1, 2, 6)
                for empty in [namespace for namespace, found in theirs._data.items() if not found]:
                    del theirs._data[empty]
                batch.sort(key=lambda one: not isinstance(one, ListNamespacesOp))  # a get adds its namespace to theirs
                found = ours.batch(batch) if chance.is_true(0.5) else await ours.abatch(batch)
                assert [items(one) for one in found] == [items(one) for one in theirs.batch(batch)], batch

    asyncio.run(main())
