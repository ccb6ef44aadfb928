"""A process finds out that its map of a cluster is wrong, although all of its connections are open."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from redis.crc import key_slot

from redis_sessions import SessionCache, StoreUnavailable
from redis_sessions._core.protocol.found_keys import every_session, session_id_of
from redis_sessions._core.protocol.keys import meta_key, session_keys
from redis_sessions._sync.services import unlisted
from tests.support.blob_store import Store, large, named_at, offload
from tests.support.servers import Server, await_true, binaries, cluster
from tests.support.slots import call, move_slot, serves

X = {"role": "user", "content": "x"}
BINARY = binaries()["valkey-9"]
IDS = [f"s{number}" for number in range(12)]
"""Sessions on each of three nodes."""


@pytest.fixture
def nodes() -> Iterator[list[Server]]:
    """Return the nodes of a cluster of its own."""
    with cluster(BINARY) as nodes:
        yield nodes


@contextmanager
def lone_node() -> Iterator[Server]:
    """Start a node that belongs to no cluster."""
    node = Server(BINARY, "--cluster-enabled", "yes", "--cluster-node-timeout", "1500")
    try:
        yield node
    finally:
        node.stop()


def open_cache(nodes: list[Server], timeout: float = 5, retry_for: float = 5) -> SessionCache:
    """Return a cache that knows the addresses of some nodes."""
    hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
    return SessionCache.from_url(f"redis+cluster://{hosts}", namespace="acme", timeout=timeout, retry_for=retry_for)


def slot_of(id: str) -> int:
    """Return the slot of a session."""
    return key_slot(session_keys("acme", id).tag.encode())


def source_of(nodes: list[Server], id: str) -> Server:
    """Return the node of a session."""
    return next(node for node in nodes if serves(node, slot_of(id)))


def leave(nodes: list[Server]) -> list[str]:
    """Reset the first node, whose process goes on, and give its slots to the second one. Return IDs in these slots."""
    moved = [id for id in IDS if source_of(nodes, id) is nodes[0]]
    gone = call(nodes[0], "CLUSTER", "MYID")
    slots = [slot for first, last, *_ in [find_range(nodes[0])] for slot in range(first, last + 1)]
    nodes[0].client.flushall()
    call(nodes[0], "CLUSTER", "RESET", "HARD")
    for node in nodes[1:]:
        call(node, "CLUSTER", "FORGET", gone)
    call(nodes[1], "CLUSTER", "ADDSLOTS", *slots)
    await_true(lambda: all(serves(node, slots[0]) or node is not nodes[1] for node in nodes[1:]))
    await_true(lambda: all(is_ok(node) for node in nodes[1:]))
    return moved


def find_range(node: Server) -> tuple[int, int]:
    """Return the first and the last slot of a node."""
    found = call(node, "CLUSTER", "SLOTS")
    assert isinstance(found, list)
    return next((first, last) for first, last, master, *_ in found if master[1] == node.port)


def is_ok(node: Server) -> bool:
    """Return whether a node says that its cluster serves all slots."""
    return "ok" in str(call(node, "CLUSTER", "INFO")).split("cluster_state")[1][:12]


def join(nodes: list[Server], node: Server) -> None:
    """Let a node join a cluster. It has no slots then."""
    call(node, "CLUSTER", "MEET", "127.0.0.1", nodes[0].port)
    everyone = [*nodes, node]
    await_true(lambda: all(len(call(one, "CLUSTER", "SHARDS")) == len(everyone) for one in everyone))  # type: ignore[arg-type]
    await_true(lambda: all(is_ok(one) for one in everyone))


def test_reset_node_that_stays_up_is_not_asked_again(nodes: list[Server]) -> None:
    """Slots of a node that left the cluster are served by another one, although connections to the old node stay open."""
    with open_cache(nodes) as cache:
        for id in IDS:
            cache.create(id)
        moved = leave(nodes)
        assert moved
        for id in moved:
            assert cache.create(id).append(X).last_seq == 1


def test_subscription_leaves_a_node_that_left_the_cluster(nodes: list[Server], monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is subscribed at a node that was reset subscribes at another node."""
    monkeypatch.setattr(random, "shuffle", lambda found: found.sort(key=lambda one: one[1] != nodes[0].port))
    with open_cache(nodes) as cache:
        for id in IDS:
            cache.create(id)
        kept = cache.session(next(id for id in IDS if source_of(nodes, id) is nodes[2]))
        watch = kept.watch()
        heard = threading.Thread(target=lambda: next(iter(watch)), daemon=True)
        heard.start()
        await_true(lambda: bool(call(nodes[0], "PUBSUB", "CHANNELS")))
        for id in leave(nodes):
            cache.create(id)
        await_true(lambda: any(call(node, "PUBSUB", "CHANNELS") for node in nodes[1:]))
        kept.append(X)
        heard.join(20)
        assert not heard.is_alive()


@pytest.mark.parametrize("slots", [0, 1])
def test_seed_of_no_cluster_is_passed_over(nodes: list[Server], slots: int) -> None:
    """A first node that serves no slot, or not the wanted ones, does not hide the nodes behind it."""
    with lone_node() as lone:
        if slots:
            call(lone, "CLUSTER", "ADDSLOTS", key_slot(b"another"))
        with open_cache([lone, *nodes]) as cache:
            for id in IDS:
                assert cache.create(id).append(X).last_seq == 1


def ids_by_scan(cache: SessionCache) -> set[str]:
    """Return the IDs of all sessions, by the names of all keys."""
    found = unlisted.scan(cache._context, every_session("acme"))
    return {str(session_id_of("acme", key)) for key in found}


def test_scan_reads_a_node_that_joined(nodes: list[Server]) -> None:
    """Sessions are found, and their files stay, on a node that joined since the process read the map of the cluster."""
    store = Store()
    hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
    url = f"redis+cluster://{hosts}"
    with lone_node() as new, SessionCache.from_url(url, namespace="acme", codecs=[offload(store)]) as cache:
        with named_at():
            for id in IDS:
                cache.create(id).append({"role": "user", "content": large()})
        before = store.files()
        join(nodes, new)
        moved = [id for id in IDS if source_of(nodes, id) is nodes[0]]
        for id in moved:
            move_slot(slot_of(id), nodes[0], new)
        assert moved
        assert cache.sweep_blobs().removed == 0
        assert store.files() == before
        assert ids_by_scan(cache) == set(IDS)


@pytest.mark.parametrize("is_over", [True, False])
def test_scan_finds_what_moves_to_a_node_that_was_read(nodes: list[Server], is_over: bool) -> None:
    """A key is found that came to the first node after that was read, before or after the move of its slot is over."""
    first, *_, last = sorted(nodes, key=lambda node: node.port)
    with open_cache(nodes) as cache:
        for id in IDS:
            cache.create(id)
        moving = next(id for id in IDS if source_of(nodes, id) is last)
        slot = slot_of(moving)
        found: set[str] = set()
        for key in unlisted.scan(cache._context, every_session("acme"), twice=True):
            if not found and is_over:
                move_slot(slot, last, first)
            elif not found:
                call(first, "CLUSTER", "SETSLOT", slot, "IMPORTING", call(last, "CLUSTER", "MYID"))
                call(last, "CLUSTER", "SETSLOT", slot, "MIGRATING", call(first, "CLUSTER", "MYID"))
                keys = call(last, "CLUSTER", "GETKEYSINSLOT", slot, 100)
                assert isinstance(keys, list)
                call(last, "MIGRATE", "127.0.0.1", first.port, "", 0, 5000, "KEYS", *keys)
            found.add(str(session_id_of("acme", key)))
        assert found == set(IDS)


def test_scan_of_a_cluster_with_a_slot_without_master_raises(nodes: list[Server]) -> None:
    """A scan says that it would miss keys, because keys of a slot without a master may come back."""
    with open_cache(nodes) as cache:
        cache.create("a")
        slot = next(slot for slot in range(100) if slot != slot_of("a"))
        for node in nodes:
            node.client.config_set("cluster-require-full-coverage", "no")
            call(node, "CLUSTER", "DELSLOTS", slot)
        with pytest.raises(StoreUnavailable, match="1 slots of the cluster have no master"):
            ids_by_scan(cache)


@pytest.mark.parametrize("is_moved", [False, True], ids=["before", "behind"])
def test_new_process_writes_while_the_slot_of_the_schema_version_moves(nodes: list[Server], is_moved: bool) -> None:
    """A script may not name two keys of a slot that moves, so the rights of the user are tried later."""
    with open_cache(nodes) as cache:
        for id in IDS:
            cache.create(id).append(X)
    meta = meta_key("acme")
    slot = key_slot(meta.encode())
    source = next(node for node in nodes if serves(node, slot))
    target = next(node for node in nodes if node is not source)
    call(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", call(source, "CLUSTER", "MYID"))
    call(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", call(target, "CLUSTER", "MYID"))
    if is_moved:
        call(source, "MIGRATE", "127.0.0.1", target.port, meta, 0, 5000)
    with open_cache(nodes) as fresh:
        assert [fresh.session(id).append(X).last_seq for id in IDS if slot_of(id) != slot] == [2] * len(IDS)
