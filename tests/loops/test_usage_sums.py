"""Sums of usage, and what the ledger refuses as input."""

from __future__ import annotations

from typing import Any

import pytest

from redis_sessions import InvalidInput, LimitExceeded, SessionCache, SessionDamaged
from redis_sessions._core.protocol.call import Call


def test_sum_beyond_one_step_is_read_and_imported(cache: SessionCache) -> None:
    """Sums may be larger than one step. A sum that no import takes is refused, and writes nothing."""
    session = cache.create("a")
    loop = session.start_loop("l")
    for step in range(4):
        loop.record_usage(f"s{step}", {"input": 10**12, "cost": 10**9})
    with pytest.raises(LimitExceeded, match="usage"):
        loop.record_usage("s4", {"cost": 10**9})
    assert session.ledger().usage.cost == 4 * 10**9
    assert loop.record_usage("s4", {"input": 1}).input == 4 * 10**12 + 1
    with pytest.raises(InvalidInput, match=r"usage\.total"):
        loop.record_usage("s5", {"total": 10**13 + 1})
    lines = list(session.export())
    session.delete()
    assert cache.import_sessions(lines).imported == 1


@pytest.mark.parametrize("metadata", ["ab", "abc", [1], [1, 2]])
def test_metadata_that_is_no_object_is_refused(metadata: Any) -> None:
    """Metadata of a loop is a JSON object."""
    with SessionCache.from_url("fake://") as cache:
        session = cache.create("a")
        with pytest.raises(InvalidInput, match="must be a JSON object"):
            session.start_loop("l", metadata=metadata)
        loop = session.start_loop("l")
        with pytest.raises(InvalidInput, match="must be a JSON object"):
            loop.put_metadata(metadata)


def test_bound_without_a_name_is_refused() -> None:
    """The keys of bounds are names."""
    with pytest.raises(InvalidInput, match=r"a mapping, got \{1: 2\}"):
        SessionCache.from_url("fake://", bounds={1: 2})  # type: ignore[dict-item]


@pytest.mark.parametrize("group", ["[1]", '{"nope":1}', '{"selected":5}'])
def test_damaged_group_is_reported_as_damage(group: str) -> None:
    """A damaged group raises SessionDamaged when the ledger is read."""
    with SessionCache.from_url("fake://") as cache:
        session = cache.create("a")
        session.start_loop("l", group="g")
        keys = session._keys
        cache._context.executor.run(Call(("HSET", keys.ledger, "group.l", group), keys, int))
        with pytest.raises(SessionDamaged):
            session.ledger()


def test_agents_and_categories_that_left_make_room() -> None:
    """An agent of long ago and an empty category of long ago do not count for the bounds."""
    with SessionCache.from_url("fake://", bounds={"agents": 1, "categories": 1}) as cache:
        executor, categories = cache._context.executor, cache._context.categories
        documents = cache.documents("old")
        documents.put("a", "x")
        documents.delete("a")
        index = categories._index
        executor.run(Call(("ZADD", index.ids, 1, "old"), index, int))
        cache.documents("new").put("a", "x")
        agents = cache._context.run_queues._agents
        executor.run(Call(("ZADD", agents.ids, 1, "old"), agents, int))
        assert cache.create("s").spawn("researcher").status == "accepted"
