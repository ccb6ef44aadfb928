"""The saver of LangGraph's checkpoints."""

from __future__ import annotations

import secrets
from types import TracebackType
from typing import Any, Self

from langgraph.checkpoint.base import SerializerProtocol

from ..._durations import Duration
from .._shared import Caches
from .async_saver import AsyncMethods
from .sync_saver import SyncMethods

BOUNDS = {
    "checkpoint_bytes": 16 * 1024 * 1024, "blob_bytes": 16 * 1024 * 1024,
    "checkpoint_blobs": 10_000, "checkpoint_writes": 100_000,
}  # fmt: skip
"""The bounds of a state, a channel's value, channels and pending writes, unless the user gives others. LangGraph has none."""


class RedisSessionsSaver(SyncMethods, AsyncMethods):
    """Stores the checkpoints of graphs. One object serves any number of event loops and threads.

    Each put, write and get is one atomic round trip. A repeated call changes nothing.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        cache: Any = None,
        client: Any = None,
        namespace: str | None = None,
        ttl: Duration | None = None,
        serde: SerializerProtocol | None = None,
        **options: Any,
    ) -> None:
        """Make a saver from exactly one of `url`, `cache` and `client`. Nothing is sent yet.

        Args:
            url: a URL, as `SessionCache.from_url` takes it.
            cache: a SessionCache or an AsyncSessionCache. It stays open when the saver is closed.
            client: a client of redis-py.
            namespace: the deployment or tenant. Default "sessions".
            ttl: the idle time after which a thread expires as a whole. Default: never.
            serde: the serializer. Default: that of LangGraph.
            **options: further options of `SessionCache.from_url`, such as `codecs`.

        Raises:
            InvalidInput: an argument is not valid.
        """
        super().__init__(serde=serde)
        if cache is None:
            options = {"bounds": BOUNDS, **options}
        self._caches = Caches(url=url, cache=cache, client=client, namespace=namespace, ttl=ttl, **options)
        self._ttl = ttl

    def get_next_version(self, current: str | int | None, channel: None) -> str:
        """Return the next version of a channel: a number, and random digits that keep the versions of branches apart."""
        number = int(str(current).partition(".")[0]) if current is not None else 0
        return f"{number + 1:032}.{secrets.randbits(53) / 2**53:016}"

    def setup(self) -> None:
        """Do nothing: a server needs no preparation."""

    async def asetup(self) -> None:
        """Do nothing: a server needs no preparation."""

    def close(self) -> None:
        """Close the connections of threads. A cache that was given stays open."""
        self._caches.close()

    async def aclose(self) -> None:
        """Close the connections of event loops and threads. A cache that was given stays open."""
        await self._caches.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
