"""The stage of a worst case: a server, a cache, and what the server spends on each call that is measured."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import redis

from redis_sessions import Session, SessionCache
from redis_sessions._core.protocol.scripts import names, script
from redis_sessions._sync.transport.connections import NodeClient
from tests.support.servers import Server

MESSAGE_BYTES = 1_000_000
"""The payload of the largest message at the defaults, about."""
BATCH = 2000
"""The most messages of a batch."""
LONG = 10_000
"""Messages of a long session."""
_SETTLE_SECONDS = 0.0005
"""The server has gone to sleep by then, so that the system has counted its time."""


class Cost(NamedTuple):
    """The cost of one call for the server."""

    microseconds: float
    commands: int
    """Commands that the script ran."""
    reply_bytes: int


class Stage:
    """A server with a cache.

    `scale` divides what is stored: 1 for the bounds of the defaults. Without `is_measured`, only the names of scripts are noted.
    """

    def __init__(self, server: Server, scale: int = 1, *, is_measured: bool = True) -> None:
        self.server = server
        self.scale = scale
        self.message_bytes = MESSAGE_BYTES if scale == 1 else 20_000
        self._is_measured = is_measured
        self.client: redis.Redis = server.client
        self.cache = SessionCache.from_url(server.url, ttl=None, max_messages=None, timeout=60, retry_for=60)
        self.costs: dict[str, list[Cost]] = {}
        self._names = {script(name).sha: name for name in names()}
        self._schedstat = Path(f"/proc/{server.process.pid}/schedstat")
        self._lock = threading.Lock()

    def scaled(self, number: int) -> int:
        """Return a number of stored things at the scale, at least 8."""
        return max(number // self.scale, 8)

    def session(self, **options: Any) -> Session:
        """Create a session."""
        return self.cache.create(**options)

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Measure the calls of a block, one by one. The index upkeep of what came before is over when the block begins."""
        self.cache._context.indexer.flush()
        original = NodeClient.send

        def send(client: NodeClient, *commands: Any, **options: Any) -> list[Any]:
            with self._lock:
                return [self._measure(partial(original, client, one, **options), one) for one in commands]

        NodeClient.send = send  # type: ignore[method-assign, assignment]
        try:
            yield
            self.cache._context.indexer.flush()
        finally:
            NodeClient.send = original  # type: ignore[method-assign]

    def _measure(self, send: Callable[[], list[Any]], command: Any) -> Any:
        name = self._names.get(command[1], "EVALSHA") if command[0] == "EVALSHA" else command[0]
        if not self._is_measured:
            self.costs[name] = []
            return send()[0]
        before, began = self._commands(), self._cpu_time()
        reply = send()[0]
        time.sleep(_SETTLE_SECONDS)
        spent, after = self._cpu_time() - began, self._commands()
        if name not in ("SCRIPT", "PING"):
            self.costs.setdefault(name, []).append(Cost(spent / 1000, after - before - 2, _size(reply)))
        return reply

    def _cpu_time(self) -> int:
        """Return the time that the server's main thread has run, in nanoseconds."""
        return int(self._schedstat.read_text().split()[0])

    def _commands(self) -> int:
        found: Any = self.client.info("commandstats")
        return sum(one["calls"] for one in found.values())

    def close(self) -> None:
        """Close the cache and remove the data."""
        self.cache.close()
        self.client.flushall()


Act: TypeAlias = Callable[[Stage], None]
"""A function that stores the data of a worst case and measures the calls."""


class Case(NamedTuple):
    """A worst case."""

    name: str
    act: Act


def text(size: int, role: str = "user") -> dict[str, Any]:
    """Return a message whose payload has about `size` bytes."""
    return {"role": role, "content": "x" * max(size - 40, 1)}


def _size(reply: Any) -> int:
    if isinstance(reply, list):
        return sum(map(_size, reply))
    return len(reply) if isinstance(reply, bytes) else 8
