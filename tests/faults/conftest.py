"""Fixtures of the fault tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from redis_sessions import SessionCache
from tests.support.servers import Server, binaries


@pytest.fixture(params=[name for name in ("redis-6.2", "valkey-9", "path") if name in binaries()])
def plain(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Return a server with a session `a` in the namespace `acme`."""
    server = Server(binaries()[request.param])
    with SessionCache.from_url(server.url, namespace="acme") as cache:
        cache.create("a").append({"role": "user", "content": "x"})
    yield server
    server.stop()
