"""A stable address that moves from a demoted master to the new one: both sides follow at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest

from redis_sessions import AsyncSessionCache, SessionCache, StoreUnavailable
from redis_sessions._async.transport import router as async_router
from redis_sessions._sync.transport import router
from tests.support.servers import Server, await_true, binaries
from tests.support.sockets import Forwarder, forwarder

TEXTS = [str(number) for number in range(10)]
Move = Callable[[], None]


@pytest.fixture(params=[name for name in ("redis-6.2", "valkey-9", "path") if name in binaries()])
def address(request: pytest.FixtureRequest) -> Iterator[tuple[Forwarder, Move]]:
    """Return an address, and a function that demotes its master and lets the address lead to the former replica."""
    master = Server(binaries()[request.param], "--repl-diskless-sync-delay", "0")
    replica = Server(binaries()[request.param], "--replicaof", "127.0.0.1", str(master.port))

    def move() -> None:
        await_true(lambda: replica_offset() == master.client.info("replication")["master_repl_offset"])
        replica.client.execute_command("REPLICAOF", "NO", "ONE")
        master.client.execute_command("REPLICAOF", "127.0.0.1", replica.port)
        port.target = replica.port

    def replica_offset() -> int:
        return int(replica.client.info("replication")["slave_repl_offset"])

    with forwarder(master.port) as port:
        await_true(lambda: replica.client.info("replication")["master_link_status"] == "up")
        yield port, move
    master.stop()
    replica.stop()


def test_threads_follow_a_moved_address(address: tuple[Forwarder, Move], namespace: str) -> None:
    """Appends of a thread go on within a second after the address leads to another master, and nothing is doubled."""
    port, move = address
    url = f"redis://127.0.0.1:{port.port}"
    with SessionCache.from_url(url, namespace=namespace, timeout=1, retry_for=1) as cache:
        session = cache.create("a")
        for text in TEXTS[:5]:
            session.append({"role": "user", "content": text})
        move()
        for text in TEXTS[5:]:
            session.append({"role": "user", "content": text})
        assert [message.content for message in session.history()] == TEXTS


def test_tasks_follow_a_moved_address(address: tuple[Forwarder, Move], namespace: str) -> None:
    """Appends of many tasks go on within a second after the address leads to another master, and nothing is doubled."""
    port, move = address

    async def main() -> None:
        url = f"redis://127.0.0.1:{port.port}"
        async with AsyncSessionCache.from_url(url, namespace=namespace, timeout=1, retry_for=1) as cache:
            sessions = [await cache.create(str(number)) for number in range(20)]
            for session in sessions:
                await session.append({"role": "user", "content": "before"})
            await asyncio.to_thread(move)
            await asyncio.gather(*[session.append({"role": "user", "content": "after"}) for session in sessions])
            for session in sessions:
                assert [message.content for message in await session.history()] == ["before", "after"]

    asyncio.run(main())


def test_kept_connection_stays_with_the_demoted_master(
    address: tuple[Forwarder, Move], namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ablation shows that a client that keeps its connection after READONLY never reaches the new master."""
    for module in (router, async_router):
        monkeypatch.setattr(module, "is_of_replica", lambda reply: False)
    port, move = address
    url = f"redis://127.0.0.1:{port.port}"
    # a second connection, for work in the background, would lead to the new master
    with SessionCache.from_url(url, namespace=namespace, timeout=10, retry_for=1, max_connections=1) as cache:
        session = cache.create("a")
        move()
        with pytest.raises(StoreUnavailable, match=r"read only|busy"):  # busy: on a loaded machine
            session.append({"role": "user", "content": "x"})
