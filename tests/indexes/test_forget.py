"""`forget`: nothing of a user is left, nothing of others is touched, and a call that broke off is made again."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from redis_sessions import ForgetResult, InvalidInput, Lease, Session, SessionCache
from redis_sessions._core.commands import stored_values, workers
from redis_sessions._core.protocol.keys import (
    agent_keys,
    channel_keys,
    entry_keys,
    session_keys,
    worker_keys,
)
from redis_sessions._sync.services import forgetting
from tests.conftest import Engines
from tests.support.dump import dump, traces
from tests.support.servers import await_true

MIA = "mia-4711"
X = {"role": "user", "content": MIA}
Y = {"role": "user", "content": "y"}
PLAIN_SESSIONS = 10
OTHERS = 20_000 if os.environ.get("REDIS_SESSIONS_SOAK") else 300


def give_to_mia(cache: SessionCache, session: Session) -> None:
    """Make a spawned session one of another user than its parent's."""
    session.patch(user_id=MIA)


def fill(cache: SessionCache) -> tuple[Session, Lease[Session]]:
    """Make sessions of a user with everything that a session can have.

    Return the session of another user that spawned some, and the lease of it that is held.
    """
    for _ in range(PLAIN_SESSIONS):
        cache.create(user_id=MIA, tags=[MIA, "vip"], metadata={"name": MIA}, system_prompt=MIA).append(X)
    answered = cache.create(f"chat-{MIA}", user_id=MIA, answered_by="support", fairness_key=MIA, priority=3)
    answered.send(MIA)
    cache.create(f"second-{MIA}", user_id=MIA, answered_by="support").send(MIA)
    cache.conversation(MIA, user_id=MIA).append(X)
    cache.conversation(f"telegram:{MIA}", user_id=MIA).state.put("name", MIA)
    ended = cache.create(f"ended-{MIA}", user_id=MIA)
    ended.complete({"name": MIA}, reason=MIA)
    own_root = cache.create(f"root-{MIA}", user_id=MIA)
    own_root.spawn("worker", task=MIA, label=MIA)
    other = cache.create("of-bob", user_id="bob")
    other.append(Y)
    for label in (f"a-{MIA}", f"b-{MIA}", f"c-{MIA}"):
        call = {"tool_call_id": label, "tool_name": "ask"}
        child = other.spawn("clerk", task=MIA, label=label, spawned_by=call).raise_if_refused()
        give_to_mia(cache, cache.session(str(child.session_key)))
    first = cache.claim("clerk", wait=10)
    assert first is not None
    first.append(X)
    first.spawn("clerk", task=MIA, label=f"below-{MIA}")
    first.complete({"name": MIA})
    second = cache.claim("clerk", wait=10)
    assert second is not None
    lease = other.lease(ttl=60)
    lease.acquire()
    second.fail(reason=MIA)  # its result waits in the inbox, because the lease is held
    cache.documents(f"users/{MIA}").put("plan", "x")
    cache.documents("users/bob").put("plan", "x")
    cache._context.indexer.flush()
    return other, lease


def settle(cache: SessionCache) -> None:
    """Let the background work of this process be over."""
    cache._context.indexer.flush()
    cache._context.indexer._behind.clear()


def test_nothing_of_the_user_is_left(cache: SessionCache, clients: list[redis.Redis]) -> None:
    """After `forget` no key, member, field or value has the ID of the user, and sessions of others work as before."""
    other, lease = fill(cache)
    assert len(traces(clients, MIA)) > PLAIN_SESSIONS
    result = cache.forget(MIA)
    settle(cache)
    await_true(lambda: traces(clients, MIA) == [], 5)
    assert (result.user_id, result.remaining, result.categories) == (MIA, 0, (f"users/{MIA}",))
    assert result.sessions == len(result.session_ids) == PLAIN_SESSIONS + 11
    assert result.messages == PLAIN_SESSIONS + 4
    assert (result.channels, result.documents) == (2, 1)
    assert result.results >= 2
    lease.release()
    assert [str(one.content) for one in other.history()] == ["y", "[forgotten]", "[forgotten]", "[forgotten]"]
    assert (
        cache.import_sessions(list(other.export()), on_conflict="replace").messages == 4
    )  # the sums of the counters are right
    assert other.append(Y).count == 5
    assert other.children(recursive=True) == []
    assert other.spawn("clerk", label=f"a-{MIA}".replace(MIA, "x")).session_key is not None
    assert [one.id for one in cache.iter_sessions(user_id=MIA)] == []
    assert cache.documents("users/bob").get("plan") == "x"
    assert cache.forget(MIA) == ForgetResult(MIA)


@pytest.mark.parametrize("engine", ["path"], indirect=True)
def test_only_the_users_data_is_touched(cache: SessionCache, clients: list[redis.Redis]) -> None:
    """Keys of other users stay byte for byte, and the number of commands depends on the user's own sessions only."""
    for number in range(OTHERS):
        cache.create(f"s{number}", user_id=f"user{number % 7}", tags=["vip"], agent_id="a")
    commands = []
    for _ in range(2):
        for _ in range(10):
            cache.create(user_id=MIA, tags=["vip"], agent_id="a").append(X)
        settle(cache)
        before, ran = dump(clients), commands_of(clients[0])
        assert cache.forget(MIA).sessions == 10
        commands.append(commands_of(clients[0]) - ran)
        after = dump(clients)
        changed = [key for key, value in before.items() if after.get(key) != value and MIA not in repr((key, value))]
        assert all(b":session:" not in key and b":messages:" not in key for key in changed)
        for _ in range(OTHERS):
            cache.create(user_id="bob", tags=["vip"], agent_id="a")
    assert commands[1] < 1.3 * commands[0]
    assert cache.count() == 3 * OTHERS


def commands_of(client: redis.Redis) -> int:
    """Return how many commands the server has run, those of scripts included."""
    found: Any = client.info("commandstats")
    return sum(one["calls"] for name, one in found.items() if "info" not in name)


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def killed_after(cache: SessionCache) -> Iterator[Callable[[int], None]]:
    """Return a function that lets the cache break off after a number of calls."""
    executor = cache._executor
    left, own_thread = [0], threading.get_ident()

    def breaking(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            left[0] -= threading.get_ident() == own_thread
            if left[0] == 0:
                raise Killed
            return function(*arguments, **options)

        return call

    executor.run, executor.run_many = breaking(executor.run), breaking(executor.run_many)  # type: ignore[method-assign]
    yield lambda calls: left.__setitem__(0, calls)
    del executor.run, executor.run_many


@pytest.mark.parametrize("engine", ["path"], indirect=True)
@pytest.mark.parametrize("calls", range(2, 150, 10))
def test_broken_call_is_completed_by_the_next_one(
    cache: SessionCache, clients: list[redis.Redis], killed_after: Callable[[int], None], calls: int
) -> None:
    """A `forget` that ends after any of its calls leaves nothing that a second one does not find."""
    _, lease = fill(cache)
    settle(cache)
    killed_after(calls)
    with pytest.raises(Killed):
        cache.forget(MIA)
    killed_after(-1)
    cache.forget(MIA)
    settle(cache)
    await_true(lambda: traces(clients, MIA) == [], 5)
    lease.release()


def test_values_that_another_process_wrote_after_a_forget_are_found_by_their_keys(
    cache: SessionCache, engine: str, engines: Engines
) -> None:
    """A process that registered a category and a scope before does not register them again, so `find_unlisted` finds them."""
    with SessionCache(cache) as writer:
        for _ in range(2):
            writer.documents(f"users/{MIA}").put("note", "secret")
            writer.shared(f"app/{MIA}").put("card", "secret")
            if _ == 0:
                result = cache.forget(MIA)
                assert (result.documents, result.shared_values) == (1, 1)
        url = None if engine == "fake" else engines.administrator_url(engine)
        with SessionCache(cache) if url is None else SessionCache.from_url(url, namespace=cache.namespace) as finder:
            found = finder.forget(MIA, find_unlisted=True)
        assert (found.documents, found.shared_values) == (1, 1)
        assert writer.documents(f"users/{MIA}").get("note") is None
        assert writer.shared(f"app/{MIA}").all() == {}


def test_sessions_that_lost_their_index_entries_are_found_by_their_keys(
    cache: SessionCache, clients: list[redis.Redis], engine: str, engines: Engines
) -> None:
    """`find_unlisted` finds sessions that no index names, and what names them."""
    session = cache.create(f"lost-{MIA}", user_id=MIA, answered_by="support")
    session.send(MIA)
    child = cache.create("child", user_id="bob", parent_id=f"lost-{MIA}")
    channel = channel_keys(cache.namespace, f"old-{MIA}")
    settle(cache)
    for client in clients:
        for key in client.scan_iter():
            if MIA.encode() in key and b":user:" in key:
                client.delete(key)
    cache._executor.run(set_channel(channel))
    assert cache.forget(MIA).sessions == 0
    if engine == "fake":
        assert cache.forget(MIA, find_unlisted=True).sessions == 1
    else:  # the ACL line of a namespace has no right to SCAN
        with SessionCache.from_url(engines.administrator_url(engine), namespace=cache.namespace) as administrator:
            assert administrator.forget(MIA, find_unlisted=True).sessions == 1
    settle(cache)
    assert traces(clients, MIA) == []
    assert child.info().parent_id is None
    assert cache.list(user_id="bob").items[0].id == "child"


def set_channel(channel: Any) -> Any:
    from redis_sessions._core.protocol.call import Call

    return Call(("SET", channel.channel, "gone", "PX", 60_000), channel, lambda reply: None)


def test_sessions_created_since_stay_and_are_counted(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that is created while `forget` runs stays, and the next call removes it."""
    cache.create("old", user_id=MIA)
    real = forgetting.Forgetting._forget_sessions

    def also_create(self: Any, found: Any) -> None:
        cache.get_or_create("new", user_id=MIA)
        real(self, found)

    monkeypatch.setattr(forgetting.Forgetting, "_forget_sessions", also_create)
    result = cache.forget(MIA)
    assert (result.sessions, result.remaining) == (1, 1)
    monkeypatch.undo()
    assert cache.get("new") is not None
    assert cache.forget(MIA).session_ids == ("new",)


@pytest.mark.parametrize("engine", ["path"], indirect=True)
def test_entry_of_a_session_under_creation_is_awaited(
    cache: SessionCache, clients: list[redis.Redis], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry without a session stays until it is older than a creation can take, and then it is removed."""
    monkeypatch.setattr(forgetting, "CREATION_GRACE_MS", 400)
    cache.create("x", user_id=MIA)
    settle(cache)
    clients[0].delete(session_keys(cache.namespace, "x").session)
    zset = entry_keys(cache.namespace, "user", "main", MIA).active_updated
    assert clients[0].zcard(zset) == 1
    assert cache.forget(MIA).remaining == 0
    assert clients[0].exists(zset) == 0


@pytest.mark.parametrize("engine", ["path"], indirect=True)
def test_workers_and_leases_do_not_name_forgotten_sessions(cache: SessionCache, clients: list[redis.Redis]) -> None:
    """The record of a worker, and the index of leases, lose the sessions of the user, and keep those of others."""
    session = cache.create(f"held-{MIA}", user_id=MIA)
    lease = session.lease(ttl=60)
    lease.acquire()
    await_true(lambda: len(cache.leases().items) == 1, 5)
    registrant = workers.Registrant("0" * 12, "owner", ("a",), 2, 30_000)
    call = workers.heartbeat(worker_keys(cache.namespace), registrant, [session.id, "other"], None)
    cache.create("other")
    cache._executor.run(call)
    result = cache.forget(MIA)
    assert result.worker_records == 1
    assert cache.workers().items[0].holding == ("other",)
    assert traces(clients, MIA) == []
    lease._end()


@pytest.mark.parametrize("user", ["", "two words", "x" * 257, 7])
def test_bad_user_is_refused(cache: SessionCache, user: Any) -> None:
    """A user ID that no session can have is refused before anything is sent."""
    with pytest.raises(InvalidInput, match="user_id"):
        cache.forget(user)


def test_ranks_keep_no_fairness_key_of_the_user(cache: SessionCache, clients: list[redis.Redis]) -> None:
    """The ranks of an agent's queue name fairness keys, which are often users."""
    for number in range(2):
        cache.create(f"{number}", user_id=MIA, answered_by="support", fairness_key=MIA).send("hi")
    run = cache.claim("support", wait=10)
    assert run is not None
    ranks = agent_keys(cache.namespace, "support").ranks
    assert any(MIA in repr(value) for key, value in dump(clients).items() if key == ranks.encode())
    cache.forget(MIA)
    settle(cache)
    assert traces(clients, MIA) == []


def test_parent_does_not_keep_the_spawn_of_a_forgotten_session(cache: SessionCache) -> None:
    """The recorded result of the spawn goes with the session, and that of another one stays."""
    parent = cache.create("of-bob", user_id="bob")
    own, other = (parent.spawn("clerk", task="t", batch_id=f"job-{n}").raise_if_refused() for n in range(2))
    give_to_mia(cache, cache.session(str(own.session_key)))
    assert cache.forget(MIA).session_ids == (own.session_key,)
    stored = b" ".join(cache._context.executor.run(stored_values.read_fields(parent._keys)).values())
    assert str(own.session_key).encode() not in stored
    assert parent.spawn("clerk", task="t", batch_id="job-1").session_key == other.session_key
