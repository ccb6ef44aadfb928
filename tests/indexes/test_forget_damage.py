"""`forget` where data is damaged, lost, of another type, or left by an earlier call."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from redis_sessions import SessionCache, SessionDamaged
from redis_sessions._core.commands import quarantine, workers
from redis_sessions._core.protocol.keys import (
    agent_keys,
    channel_keys,
    entry_keys,
    quarantine_index,
    quarantine_keys,
    session_keys,
    worker_keys,
)
from redis_sessions._sync.services import forgetting
from tests.conftest import Engines
from tests.indexes.test_forget import MIA, X, give_to_mia, set_channel, settle
from tests.support.dump import traces
from tests.support.servers import await_true


@pytest.mark.parametrize("engine", ["path"], indirect=True)
def test_damaged_members_and_sessions_are_forgotten(cache: SessionCache, clients: list[redis.Redis]) -> None:
    """A damaged session, and a member of the user's index that cannot be an ID, stop nothing."""
    for name in ("settings", "counters", "lineage", "children", "incarnation"):
        session = cache.create(f"{name}-{MIA}", user_id=MIA)
        session.append(X)
        clients[0].hset(session_keys(cache.namespace, session.id).session, name, "x y")
    settle(cache)
    clients[0].zadd(entry_keys(cache.namespace, "user", "main", MIA).active_updated, {b"\xff " + MIA.encode(): 1})
    assert cache.forget(MIA).sessions == 5
    settle(cache)
    await_true(lambda: traces(clients, MIA) == [], 5)


@pytest.mark.parametrize("engine", ["path"], indirect=True)
def test_damaged_parent_of_another_user_is_named(cache: SessionCache, clients: list[redis.Redis]) -> None:
    """An error names the damaged session from which a result cannot be erased, and all else is removed."""
    parent = cache.create("of-bob", user_id="bob")
    child = parent.spawn("clerk", task=MIA).raise_if_refused()
    give_to_mia(cache, cache.session(str(child.session_key)))
    cache.create(f"own-{MIA}", user_id=MIA)
    key = session_keys(cache.namespace, "of-bob").session
    sound: Any = clients[0].hget(key, "counters")
    clients[0].hset(key, "counters", "x")
    with pytest.raises(SessionDamaged, match="of-bob"):
        cache.forget(MIA)
    assert cache.get(f"own-{MIA}") is None
    clients[0].hset(key, "counters", sound)
    assert cache.forget(MIA).sessions == 1
    settle(cache)
    await_true(lambda: traces(clients, MIA) == [], 5)


def test_categories_and_quarantined_data_of_others_stay(cache: SessionCache) -> None:
    """A user's ID is the end of a category's path, and never a folder. A session of the same name is not the user's."""
    for category in ("users", "users/bob", "users/mia/notes", "users/mia"):
        cache.documents(category).put("plan", "x")
    keys = quarantine_keys(cache.namespace, session_keys(cache.namespace, "mia"), 1)
    cache._executor.run(quarantine.keep(keys, {b"channel": b"x", b".state.x": b"of bob"}))
    for call in quarantine.enter(quarantine_index(cache.namespace), [keys.values], 1):
        cache._executor.run(call)
    assert cache.forget("users").categories == ()
    assert cache.forget("bob").categories == ("users/bob",)
    result = cache.forget("mia")
    assert (result.categories, result.quarantined) == (("users/mia",), 0)
    assert cache.documents("users/mia/notes").get("plan") == "x"


@pytest.mark.parametrize("engine", ["path"], indirect=True)
def test_key_of_another_type_stops_nothing(cache: SessionCache, clients: list[redis.Redis], monkeypatch: Any) -> None:
    """A session, an index, a queue or a channel whose key has another type denies no erasure."""
    monkeypatch.setattr(forgetting, "CREATION_GRACE_MS", 400)
    for name in (f"a-{MIA}", f"b-{MIA}", f"c-{MIA}"):
        cache.create(name, user_id=MIA, agent_id="ag", answered_by="support").append(X)
    cache.session(f"b-{MIA}").send("hi")
    settle(cache)
    index = entry_keys(cache.namespace, "user", "main", MIA)
    agent = entry_keys(cache.namespace, "agent", "main", "ag")
    queue = agent_keys(cache.namespace, "support")
    channel = channel_keys(cache.namespace, MIA)
    for key in (
        session_keys(cache.namespace, f"a-{MIA}").session,
        index.ended_created,
        agent.active_updated,
        queue.ready,
    ):
        clients[0].delete(key)
        clients[0].set(key, "x")
    clients[0].hset(channel.channel, "x", "y")
    assert cache.forget(MIA).sessions == 3
    clients[0].delete(channel.channel, agent.active_updated, queue.ready)
    assert not [key for key in traces(clients, MIA) if b":agent:" not in key]


@pytest.mark.parametrize("engine", ["path"], indirect=True)
def test_parent_of_another_type_is_named(cache: SessionCache, clients: list[redis.Redis]) -> None:
    """The error of a root whose key has another type names the root, and all else is removed."""
    parent = cache.create("of-bob", user_id="bob")
    child = parent.spawn("clerk", task=MIA).raise_if_refused()
    give_to_mia(cache, cache.session(str(child.session_key)))
    cache.create(f"own-{MIA}", user_id=MIA)
    key = session_keys(cache.namespace, "of-bob").session
    clients[0].delete(key)
    clients[0].set(key, "x")
    with pytest.raises(SessionDamaged, match="of-bob"):
        cache.forget(MIA)
    assert cache.get(f"own-{MIA}") is None
    assert cache.delete("of-bob")


@pytest.mark.parametrize("engine", ["path"], indirect=True)
def test_transcript_without_its_session_is_deleted(
    cache: SessionCache, clients: list[redis.Redis], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that is left of sessions whose hash was lost is deleted, in few calls."""
    monkeypatch.setattr(forgetting, "CREATION_GRACE_MS", 400)
    for number in range(60):
        cache.create(f"s{number}", user_id=MIA).append(X)
    settle(cache)
    for number in range(60):
        clients[0].delete(session_keys(cache.namespace, f"s{number}").session)
    rounds, real = [], cache._executor.try_many

    def counting(*arguments: Any, **options: Any) -> Any:
        rounds.append(1)
        return real(*arguments, **options)

    monkeypatch.setattr(cache._executor, "try_many", counting)
    cache.forget(MIA)
    assert traces(clients, MIA) == []
    assert not clients[0].keys(f"{cache.namespace}:*messages*")
    assert len(rounds) < 60


def test_session_created_again_since_stays(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that is deleted and created again while `forget` runs stays whole and listed, and stops nothing."""
    for name in ("a", "b", "c"):
        cache.create(name, user_id=MIA)
    real = forgetting.Forgetting._forget_alone

    def replace(self: Any, found: Any) -> None:
        monkeypatch.undo()
        assert cache.delete("b")
        cache.create("b", user_id=MIA).start_loop("loop")
        real(self, found)

    monkeypatch.setattr(forgetting.Forgetting, "_forget_alone", replace)
    result = cache.forget(MIA)
    assert (sorted(result.session_ids), result.remaining) == (["a", "c"], 1)
    settle(cache)
    assert [one.id for one in cache.list(user_id=MIA).items] == ["b"]
    assert len(cache.session("b").ledger().loops) == 1
    assert cache.forget(MIA).session_ids == ("b",)


@pytest.mark.parametrize("engine", ["path"], indirect=True)
def test_later_call_removes_what_an_earlier_one_left(
    cache: SessionCache, clients: list[redis.Redis], engine: str, engines: Engines
) -> None:
    """A second call finds parents, channels and records of workers that name sessions of the first call."""
    cache.create(f"s-{MIA}", user_id=MIA)
    child = cache.create("child", user_id="bob", parent_id=f"s-{MIA}")
    kept = cache.create("kept", user_id="bob", parent_id="child")
    assert cache.forget(MIA).sessions == 1
    registrant = workers.Registrant("0" * 12, "owner", ("a",), 2, 30_000)
    holding = [f"s-{MIA}", "child"]
    cache._executor.run(workers.heartbeat(worker_keys(cache.namespace), registrant, holding, None))
    cache._executor.run(set_channel(channel_keys(cache.namespace, "telegram:1")))
    with SessionCache.from_url(engines.administrator_url(engine), namespace=cache.namespace) as administrator:
        result = administrator.forget(MIA, find_unlisted=True)
    assert (result.sessions, result.channels, result.worker_records) == (0, 1, 1)
    assert traces(clients, MIA) == []
    assert (child.info().parent_id, kept.info().parent_id) == (None, "child")
    assert cache.workers().items[0].holding == ("child",)
