"""A cluster of three masters: spread, batched per node, followed while a slot moves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest
import redis
import redis.asyncio
from redis.crc import key_slot

from redis_sessions import AsyncSessionCache, LimitExceeded, OutcomeUnknown, SessionCache, StoreError, StoreUnavailable
from redis_sessions._core.keys import session_keys
from redis_sessions._sync import nodes as nodes_module
from tests.conftest import Engines
from tests.servers import Server, await_true, binaries, cluster, free_port

X = {"role": "user", "content": "x"}


def test_sessions_spread_over_the_nodes(engines: Engines, namespace: str) -> None:
    """Each on one node, whole."""
    with SessionCache.from_url(engines.url("cluster"), namespace=namespace) as cache:
        for _ in range(60):
            cache.create().append(X)
    sizes = [node.client.dbsize() for node in engines.nodes["cluster"]]
    assert min(sizes) > 10
    for node in engines.nodes["cluster"]:
        node.client.flushall()


def test_tasks_travel_together_to_each_node(engines: Engines, namespace: str) -> None:
    """Order a session kept, own errors, over all nodes at once."""

    async def main() -> None:
        async with AsyncSessionCache.from_url(engines.url("cluster"), namespace=namespace) as cache:
            sessions = [await cache.create(max_messages=None) for _ in range(30)]
            await asyncio.gather(
                *[session.append({"role": "user", "content": str(n)}) for n in range(20) for session in sessions]
            )
            for session in sessions:
                assert [message.content for message in await session.history()] == [str(n) for n in range(20)]

    asyncio.run(main())
    for node in engines.nodes["cluster"]:
        node.client.flushall()


def test_a_borrowed_cluster_client_gives_its_nodes(engines: Engines, namespace: str) -> None:
    """And stays open."""
    client = redis.RedisCluster(host="127.0.0.1", port=engines.nodes["cluster"][0].port)
    with SessionCache(client, namespace=namespace) as cache:
        for _ in range(10):
            cache.create().append(X)
    assert client.ping()
    client.close()

    async def borrow() -> None:
        awaited = redis.asyncio.RedisCluster(host="127.0.0.1", port=engines.nodes["cluster"][0].port)
        async with AsyncSessionCache(awaited, namespace=namespace) as cache:
            for _ in range(10):
                await (await cache.create()).append(X)
        await awaited.aclose()

    asyncio.run(borrow())
    for node in engines.nodes["cluster"]:
        node.client.flushall()


def _call(node: Server, *command: object) -> object:
    return node.client.execute_command(*command)


def move_slot(slot: int, source: Server, target: Server) -> None:
    """The way of 6.2 and 7.0: key by key, while clients write."""
    ids = [str(node.client.execute_command("CLUSTER", "MYID").decode()) for node in (source, target)]
    _call(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
    _call(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
    while keys := _call(source, "CLUSTER", "GETKEYSINSLOT", slot, 1):
        assert isinstance(keys, list)
        _call(source, "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
        threading.Event().wait(0.02)
    for node in (target, source):
        _call(node, "CLUSTER", "SETSLOT", slot, "NODE", ids[1])


def move_slot_at_once(slot: int, source: Server, target: Server) -> None:
    """The way of Valkey 9: atomically, in the background."""
    _call(source, "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", _call(target, "CLUSTER", "MYID"))
    await_true(lambda: _serves(target, slot) and not _serves(source, slot))


def _serves(node: Server, slot: int) -> bool:
    found = _call(node, "CLUSTER", "SLOTS")
    assert isinstance(found, list)
    return any(first <= slot <= last and master[1] == node.port for first, last, master, *_ in found)


MOVES = [
    pytest.param(name, move, id=f"{name}-{move.__name__}")
    for name, move in (("valkey-9", move_slot), ("path", move_slot), ("valkey-9", move_slot_at_once))
    if name in binaries()
]


@pytest.mark.parametrize(("name", "move"), MOVES)
def test_a_slot_moves_under_load_without_an_error(
    name: str, move: Callable[[int, Server, Server], None], namespace: str
) -> None:
    """Appends, turns under a lease that others wait for, and sends: nothing is refused, lost or doubled."""
    with cluster(binaries()[name]) as nodes:
        url = f"redis+cluster://{','.join(f'127.0.0.1:{node.port}' for node in nodes)}"
        with SessionCache.from_url(url, namespace=namespace, retry_for=20) as cache:
            plain = cache.create("moving", max_messages=None)
            leased = cache.create("moving:" + "a1b2c3d4-0000-8000-8000-000000000000", max_messages=None)
            slots = [key_slot(session_keys(namespace, session.id).tag.encode()) for session in (plain, leased)]
            stop = threading.Event()
            written: list[int] = []
            sent: list[str] = []
            turns: list[int] = []
            problems: list[BaseException] = []

            def append() -> None:
                written.append(plain.append(X).last_seq)

            def take_turn() -> None:
                with leased.lease(5, 30) as lease:
                    turns.append(lease.fence)
                    lease.receive()
                    leased.append(X, X)

            def send() -> None:
                try:
                    sent.append(cache.session(leased.id).send("s").batch_id)
                except LimitExceeded:
                    stop.wait(0.01)  # the inbox is full for the moment

            def repeat(work: Callable[[], None]) -> None:
                try:
                    while not stop.is_set():
                        work()
                except BaseException as problem:
                    problems.append(problem)

            jobs = [append, append, take_turn, take_turn, take_turn, send]
            threads = [threading.Thread(target=repeat, args=(job,)) for job in jobs]
            for thread in threads:
                thread.start()
            for slot in slots:
                source = next(node for node in nodes if _serves(node, slot))
                target = nodes[(nodes.index(source) + 1) % 3]
                for there, back in ((source, target), (target, source)):
                    move(slot, there, back)
                    threading.Event().wait(0.2)
            stop.set()
            for thread in threads:
                thread.join()
            assert not problems
            assert len(written) > 50
            assert sorted(written) == list(range(1, len(written) + 1))
            assert plain.info().last_seq == len(written)
            assert turns == sorted(set(turns))
            assert len(turns) > 20
            with leased.lease(5, 5):
                pass
            texts = [message.text for message in leased.history()]
            assert (texts.count("x"), texts.count("s")) == (2 * len(turns), len(sent))


def test_without_following_a_key_that_has_moved_ahead_it_is_an_error(
    namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ablation: half way through a move, ASK is the only way to the session."""
    with cluster(binaries()["valkey-9"]) as nodes:
        url = f"redis+cluster://{','.join(f'127.0.0.1:{node.port}' for node in nodes)}"
        with SessionCache.from_url(url, namespace=namespace, retry_for=0.3) as cache:
            session = cache.create("a")
            session.append(X)
            slot = key_slot(session_keys(namespace, "a").tag.encode())
            source = next(node for node in nodes if _serves(node, slot))
            target = nodes[(nodes.index(source) + 1) % 3]
            _call(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", _call(source, "CLUSTER", "MYID"))
            _call(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", _call(target, "CLUSTER", "MYID"))
            keys = _call(source, "CLUSTER", "GETKEYSINSLOT", slot, 10)
            assert isinstance(keys, list)
            _call(source, "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
            assert session.append(X).last_seq == 2
            monkeypatch.setattr(nodes_module, "AskError", type("Nothing", (Exception,), {}))
            with pytest.raises(StoreUnavailable):
                session.append(X)


def test_a_dead_master_without_replicas_is_one_clear_error(namespace: str) -> None:
    """Within the bound; sessions of the other nodes go on where the cluster allows it."""
    with cluster(binaries()["valkey-9"]) as nodes:
        for node in nodes:
            node.client.config_set("cluster-require-full-coverage", "no")
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        with SessionCache.from_url(
            f"redis+cluster://{hosts}", namespace=namespace, retry_for=1.5, timeout=0.5
        ) as cache:
            sessions = [cache.create() for _ in range(12)]
            nodes[0].kill()
            outcomes: list[str] = []
            for session in sessions:
                slot = key_slot(session_keys(namespace, session.id).tag.encode())
                if slot < 16384 // 3:
                    if not outcomes:
                        with pytest.raises((StoreUnavailable, OutcomeUnknown)):
                            session.append(X)
                    outcomes.append(session.id)
                else:
                    assert session.append(X).last_seq == 1
            assert outcomes


def test_a_node_named_as_a_single_server_says_so(engines: Engines, namespace: str) -> None:
    """A common mistake gets its mend."""
    engines.url("cluster")
    url = f"redis://127.0.0.1:{engines.nodes['cluster'][0].port}"
    with SessionCache.from_url(url, namespace=namespace) as cache, pytest.raises(StoreError, match="redis\\+cluster"):
        _ = [cache.create() for _ in range(20)]
    for node in engines.nodes["cluster"]:
        node.client.flushall()


def test_no_node_at_all_is_one_clear_error() -> None:
    """It names the URL, not a stack of causes."""
    url = f"redis+cluster://127.0.0.1:{free_port()},127.0.0.1:{free_port()}"
    with (
        SessionCache.from_url(url, retry_for=0.5) as cache,
        pytest.raises(StoreUnavailable, match=r"no node of the cluster answers"),
    ):
        cache.create()
