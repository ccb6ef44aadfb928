"""Clusters and sentinels that name addresses which cannot be reached from here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
import redis.asyncio
from redis.crc import key_slot

from redis_sessions import AsyncSessionCache, SessionCache
from redis_sessions._core.protocol.keys import session_keys
from tests.support.servers import Sentinels, Server, await_true, binaries, cluster, free_port

X = {"role": "user", "content": "x"}
SESSIONS = [f"s{number}" for number in range(12)]
"""Sessions on every node."""


class Hidden:
    """A cluster whose nodes name ports at which nothing listens."""

    def __init__(self, nodes: list[Server]) -> None:
        self.nodes = nodes
        self.real = {("127.0.0.1", free_port()): ("127.0.0.1", node.port) for node in nodes}
        for node, (_, port) in zip(nodes, self.real, strict=True):
            node.client.config_set("cluster-announce-port", port)
        named = {port for _, port in self.real}
        await_true(lambda: all(self._named_by(node) == named for node in nodes))
        self.rules = ",".join(f"{a}:{b}={c}:{d}" for (a, b), (c, d) in self.real.items())

    def _named_by(self, node: Server) -> set[int]:
        return {int(one[2][1]) for one in node.client.execute_command("CLUSTER", "SLOTS")}

    def remap(self, address: tuple[str, int]) -> tuple[str, int]:
        """Return the address at which a node listens."""
        return self.real.get(address, address)


@pytest.fixture(scope="module")
def hidden() -> Iterator[Hidden]:
    """Return a cluster that cannot be used without a mapping of addresses."""
    with cluster(binaries()["valkey-9"]) as nodes:
        yield Hidden(nodes)


def write(cache: SessionCache) -> None:
    """Write a session on every node, also after a redirection."""
    with cache:
        for id in SESSIONS:
            cache.get_or_create(id).append(X)
        slot = key_slot(session_keys(cache.namespace, "s1").tag.encode())
        known = cache._context.router._cluster
        assert known is not None
        right = known._slots[slot]
        known._slots[slot] = next(node for node in known._slots.values() if node != right)
        assert cache.session("s1").info().count == 1
        assert known._slots[slot] == right


async def write_async(cache: AsyncSessionCache) -> None:
    """Write a session on every node."""
    async with cache:
        for id in SESSIONS:
            await (await cache.get_or_create(id)).append(X)


def test_rules_of_a_url_lead_to_every_node(hidden: Hidden, namespace: str) -> None:
    """`address_remap` in a URL maps the addresses that CLUSTER SLOTS and redirections name."""
    url = f"redis+cluster://127.0.0.1:{hidden.nodes[0].port}?address_remap={hidden.rules}"
    write(SessionCache.from_url(url, namespace=namespace))
    asyncio.run(write_async(AsyncSessionCache.from_url(url, namespace=f"{namespace}a")))


@pytest.mark.parametrize("remap", [lambda hidden: hidden.remap, lambda hidden: hidden.rules])
def test_remap_argument_leads_to_every_node(hidden: Hidden, namespace: str, remap: Callable[[Hidden], Any]) -> None:
    """`address_remap` as an argument is a function or rules."""
    url = f"redis+cluster://127.0.0.1:{hidden.nodes[0].port}"
    write(SessionCache.from_url(url, namespace=namespace, address_remap=remap(hidden)))


def test_borrowed_cluster_client_keeps_its_remap(hidden: Hidden, namespace: str) -> None:
    """The cache maps addresses as the client of the cluster does, also without its own argument."""
    client = redis.RedisCluster(host="127.0.0.1", port=hidden.nodes[0].port, address_remap=hidden.remap)
    write(SessionCache(client, namespace=namespace))
    client.close()

    async def main() -> None:
        port = hidden.nodes[0].port
        async with redis.asyncio.RedisCluster(host="127.0.0.1", port=port, address_remap=hidden.remap) as client:
            await write_async(AsyncSessionCache(client, namespace=f"{namespace}a"))

    asyncio.run(main())


def test_master_that_sentinels_name_is_remapped(namespace: str) -> None:
    """`address_remap` maps the address of the master that the sentinels name."""
    sentinels = Sentinels(binaries()["valkey-9"], replicas=0)
    other = Server(binaries()["valkey-9"])
    try:
        port = sentinels.nodes[0].port
        with SessionCache.from_url(
            f"{sentinels.url}?address_remap=127.0.0.1:{port}=127.0.0.1:{other.port}", namespace=namespace
        ) as cache:
            cache.create("a").append(X)
        assert sentinels.nodes[0].client.dbsize() == 0
        assert other.client.dbsize() > 0
    finally:
        other.stop()
        sentinels.stop()
