"""A cluster of three masters: sessions spread over the nodes, and calls follow a slot that moves."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
import redis
import redis.asyncio
from redis.crc import key_slot

from redis_sessions import (
    AsyncSessionCache,
    LeaseLost,
    LimitExceeded,
    OutcomeUnknown,
    SessionCache,
    StoreError,
    StoreUnavailable,
)
from redis_sessions._core.commands.run_queues import INBOX_QUEUE
from redis_sessions._core.protocol.keys import agent_keys, session_keys
from redis_sessions._sync.transport import cluster_nodes
from tests.conftest import Engines
from tests.support.servers import Server, await_true, binaries, cluster
from tests.support.slots import call, move_slot, move_slot_at_once, serves
from tests.support.sockets import closed_port

X = {"role": "user", "content": "x"}
GRANT_SECONDS = 0.999
"""A waiter keeps a new lease for 1 s, and for the whole ttl once the lease was renewed. The server counts whole milliseconds."""


@pytest.fixture
def nodes(engines: Engines) -> Iterator[list[Server]]:
    """Return the nodes of the shared cluster, empty before and after the test."""
    engines.url("cluster")
    nodes = engines.nodes["cluster"]
    for node in nodes:
        node.client.flushall()
    yield nodes
    for node in nodes:
        node.client.flushall()


def test_sessions_spread_over_the_nodes(engines: Engines, nodes: list[Server], namespace: str) -> None:
    """Sixty sessions are stored on all three nodes."""
    with SessionCache.from_url(engines.url("cluster"), namespace=namespace) as cache:
        for _ in range(60):
            cache.create().append(X)
    sizes = [node.client.dbsize() for node in nodes]
    assert min(sizes) > 10


def test_concurrent_appends_keep_the_order_of_each_session(
    engines: Engines, nodes: list[Server], namespace: str
) -> None:
    """Six hundred tasks append to thirty sessions on all nodes at once, and each session has its messages in order."""

    async def main() -> None:
        async with AsyncSessionCache.from_url(engines.url("cluster"), namespace=namespace) as cache:
            sessions = [await cache.create(max_messages=None) for _ in range(30)]
            await asyncio.gather(
                *[session.append({"role": "user", "content": str(n)}) for n in range(20) for session in sessions]
            )
            for session in sessions:
                assert [message.content for message in await session.history()] == [str(n) for n in range(20)]

    asyncio.run(main())


def test_fork_and_edits_stay_in_the_slot(engines: Engines, nodes: list[Server], namespace: str) -> None:
    """Sessions on all nodes are edited and forked, and a fork has the slot of its source."""
    with SessionCache.from_url(engines.url("cluster"), namespace=namespace) as cache:
        for _ in range(20):
            session = cache.create()
            session.append(X, X, X)
            session.pop()
            session.replace(X, X, after_seq=1)
            branch = session.fork(4).fork()
            slots = {key_slot(session_keys(namespace, one.id).session.encode()) for one in (session, branch)}
            assert len(slots) == 1
            assert [message.seq for message in branch.history()] == [1, 4]
            assert branch.append(X).first_seq == 5
            assert [message.seq for message in session.history()] == [1, 4, 5]


def test_send_to_a_held_session_leaves_no_work_behind(engines: Engines, nodes: list[Server], namespace: str) -> None:
    """A message that waited in the inbox of a session without an agent leaves nothing in a queue from which no worker claims."""
    with SessionCache.from_url(engines.url("cluster"), namespace=namespace) as cache:
        session = cache.create("a")
        with session.lease():
            for _ in range(2):
                thread = threading.Thread(target=cache.session("a").send, args=("x",))
                thread.start()
                thread.join()
        assert [message.text for message in session.history()] == ["x", "x"]
    inbox_queue = agent_keys(namespace, INBOX_QUEUE)
    assert sum(read_sizes(nodes, inbox_queue.check_at)) == 1
    assert sum(read_sizes(nodes, inbox_queue.queue)) == 0


def read_sizes(nodes: list[Server], key: str) -> list[int]:
    """Return the size of a zset on each node that has the zset."""
    found = []
    for node in nodes:
        with suppress(redis.exceptions.MovedError):
            found.append(node.client.zcard(key))
    return found


def test_given_cluster_client_stays_open(engines: Engines, nodes: list[Server], namespace: str) -> None:
    """A cache takes the nodes from a given cluster client, and leaves the client open."""
    client = redis.RedisCluster(host="127.0.0.1", port=nodes[0].port)
    with SessionCache(client, namespace=namespace) as cache:
        for _ in range(10):
            cache.create().append(X)
    assert client.ping()
    client.close()

    async def borrow() -> None:
        awaited = redis.asyncio.RedisCluster(host="127.0.0.1", port=nodes[0].port)
        async with AsyncSessionCache(awaited, namespace=namespace) as cache:
            for _ in range(10):
                await (await cache.create()).append(X)
        await awaited.aclose()

    asyncio.run(borrow())


MOVES = [
    pytest.param(name, move, id=f"{name}-{move.__name__}")
    for name, move in (("valkey-9", move_slot), ("path", move_slot), ("valkey-9", move_slot_at_once))
    if name in binaries()
]


@pytest.mark.parametrize(("name", "move"), MOVES)
def test_slot_that_moves_under_load_loses_nothing(
    name: str, move: Callable[[int, Server, Server], None], namespace: str
) -> None:
    """Appends, sends and turns under contended leases are stored once each while their slot moves to another node and back.

    A move stops the writes for a while. A turn is refused as a whole, and only after its grant ran out, when that takes 1 s.
    """
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
                asked = time.monotonic()
                try:
                    with leased.lease(5, 30) as lease:
                        lease.receive()
                        turn = {"role": "user", "content": str(lease.fence)}
                        leased.append(turn, turn)
                        turns.append(lease.fence)
                except LeaseLost:
                    assert time.monotonic() - asked > GRANT_SECONDS

            def send() -> None:
                try:
                    sent.append(cache.session(leased.id).send("s").batch_id)
                except LimitExceeded:
                    stop.wait(0.01)  # the inbox is full at the moment

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
                source = next(node for node in nodes if serves(node, slot))
                target = nodes[(nodes.index(source) + 1) % 3]
                for there, back in ((source, target), (target, source)):
                    move(slot, there, back)
                    threading.Event().wait(0.2)
            await_true(lambda: bool(problems) or (len(written) > 50 and len(turns) > 20))
            stop.set()
            for thread in threads:
                thread.join()
            assert problems == []
            assert sorted(written) == list(range(1, len(written) + 1))
            assert plain.info().last_seq == len(written)
            with leased.lease(5, 5):
                pass
            texts = [message.text for message in leased.history()]
            assert texts.count("s") == len(sent)
            assert len(set(turns)) == len(turns)
            assert [int(text) for text in texts if text != "s"] == [fence for fence in sorted(turns) for _ in range(2)]


def test_moved_key_without_ask_redirection_raises(namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ablation shows that a session whose slot is being moved is only reached by the ASK redirection."""
    with cluster(binaries()["valkey-9"]) as nodes:
        url = f"redis+cluster://{','.join(f'127.0.0.1:{node.port}' for node in nodes)}"
        with SessionCache.from_url(url, namespace=namespace, retry_for=0.3) as cache:
            session = cache.create("a")
            session.append(X)
            slot = key_slot(session_keys(namespace, "a").tag.encode())
            source = next(node for node in nodes if serves(node, slot))
            target = nodes[(nodes.index(source) + 1) % 3]
            call(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", call(source, "CLUSTER", "MYID"))
            call(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", call(target, "CLUSTER", "MYID"))
            keys = call(source, "CLUSTER", "GETKEYSINSLOT", slot, 10)
            assert isinstance(keys, list)
            call(source, "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
            assert session.append(X).last_seq == 2
            monkeypatch.setattr(cluster_nodes, "AskError", type("Nothing", (Exception,), {}))
            with pytest.raises(StoreUnavailable):
                session.append(X)


def test_dead_master_without_replicas_raises_for_its_sessions_only(namespace: str) -> None:
    """Sessions of a dead master raise one clear error within the bound, and sessions of the other nodes are served."""
    with cluster(binaries()["valkey-9"]) as nodes:
        for node in nodes:
            node.client.config_set("cluster-require-full-coverage", "no")
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        with SessionCache.from_url(
            f"redis+cluster://{hosts}", namespace=namespace, retry_for=1.5, timeout=0.5
        ) as cache:
            sessions = [cache.create() for _ in range(12)]
            nodes[0].kill()
            unreachable: list[str] = []
            for session in sessions:
                slot = key_slot(session_keys(namespace, session.id).tag.encode())
                if slot < 16384 // 3:
                    if not unreachable:
                        with pytest.raises((StoreUnavailable, OutcomeUnknown)):
                            session.append(X)
                    unreachable.append(session.id)
                else:
                    assert session.append(X).last_seq == 1
            assert unreachable


def test_cluster_node_with_redis_url_names_the_right_url(nodes: list[Server], namespace: str) -> None:
    """A `redis://` URL of a cluster's node raises an error that names `redis+cluster://`."""
    url = f"redis://127.0.0.1:{nodes[0].port}"
    with SessionCache.from_url(url, namespace=namespace) as cache, pytest.raises(StoreError, match="redis\\+cluster"):
        _ = [cache.create() for _ in range(20)]


def test_cluster_without_a_reachable_node_raises_store_unavailable() -> None:
    """A cluster of which no node answers raises one StoreUnavailable."""
    with (
        closed_port() as first,
        closed_port() as second,
        SessionCache.from_url(f"redis+cluster://127.0.0.1:{first},127.0.0.1:{second}", retry_for=0.5) as cache,
        pytest.raises(StoreUnavailable, match=r"no node of the cluster answers"),
    ):
        cache.create()
