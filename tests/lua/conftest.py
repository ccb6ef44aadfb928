"""The scripts on each real server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lua.calls import Scripts
from tests.support.servers import Server


@pytest.fixture
def scripts(server: Server) -> Iterator[Scripts]:
    """Yield the scripts on each real server, which is empty."""
    server.client.flushall()
    yield Scripts(server.client)
    server.client.flushall()
