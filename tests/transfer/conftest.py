"""A second namespace to import into, and a client that sees what both namespaces store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from redis_sessions import SessionCache
from tests.conftest import Engines, check_lifetimes, fake_client


@pytest.fixture
def other(cache: SessionCache, engines: Engines, engine: str) -> Iterator[SessionCache]:
    """Yield a cache of another namespace on the same engine. Afterwards its keys are checked like those of `cache`."""
    found = SessionCache(cache, namespace=cache.namespace.replace("test", "test900"))
    yield found
    found._context.hub.close()
    for client in [node.client for node in engines.nodes[engine]] or [fake_client(cache)]:
        check_lifetimes(client, found.namespace)


@pytest.fixture
def client(cache: SessionCache, engines: Engines, engine: str) -> Iterator[Any]:
    """Yield a redis-py client of the engine."""
    nodes = engines.nodes[engine]
    if engine == "cluster":
        with redis.RedisCluster(host="127.0.0.1", port=nodes[0].port, protocol=2) as found:
            yield found
    else:
        yield nodes[0].client if nodes else fake_client(cache)
