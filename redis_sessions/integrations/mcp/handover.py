"""The handover of a stream from a replay to the live stream of the transport.

A transport registers a resumed stream some time after the replay. It drops events that come in between, and the client would
wait for them for ever. So the events of a stream wait from the beginning of a replay until the stream is registered.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from mcp.server.streamable_http import StreamableHTTPServerTransport

from .event_ids import Stream

_MAX_SECONDS = 5.0
"""The longest wait for the transport, and for a replay: a client that does not read must not stop its MCP session."""
_POLL_SECONDS = 0.001


class Handovers:
    """The streams of this process that are stored to, or that are resumed."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[Stream, asyncio.Lock] = WeakValueDictionary()
        self._releases: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def storing(self, transport: StreamableHTTPServerTransport | None, stream: Stream) -> AsyncIterator[None]:
        """Store an event in a block, when no replay of the stream is under way.

        An event waits for a replay for at most 5 s, and later events do not wait for this replay. They stay replayable.
        """
        lock = None if transport is None else await self._acquired(stream)
        try:
            yield
        finally:
            if lock is not None:
                lock.release()

    @asynccontextmanager
    async def replaying(self, transport: StreamableHTTPServerTransport | None, stream: Stream) -> AsyncIterator[None]:
        """Replay a stream in a block. Then hold back its events until the transport has registered the stream."""
        if transport is None:
            yield
            return
        lock = self._lock(stream)
        await lock.acquire()
        try:
            yield
        except BaseException:
            lock.release()
            raise
        release = asyncio.create_task(_release(lock, transport, stream.id, asyncio.current_task()))
        self._releases.add(release)
        release.add_done_callback(self._releases.discard)

    async def _acquired(self, stream: Stream) -> asyncio.Lock | None:
        """Return the lock of a stream, held. None if its holder kept it for too long, because its client does not read."""
        lock = self._lock(stream)
        try:
            async with asyncio.timeout(_MAX_SECONDS):
                await lock.acquire()
        except TimeoutError:
            if self._locks.get(stream) is lock:
                del self._locks[stream]
            return None
        return lock

    def _lock(self, stream: Stream) -> asyncio.Lock:
        return self._locks.setdefault(stream, asyncio.Lock())


async def _release(
    lock: asyncio.Lock, transport: StreamableHTTPServerTransport, stream_id: str, replay: asyncio.Task[object] | None
) -> None:
    """Release a lock when the transport has registered a stream, or when the client is gone."""
    registered = getattr(transport, "_request_streams", {stream_id: None})
    end = asyncio.get_running_loop().time() + _MAX_SECONDS
    try:
        while stream_id not in registered and asyncio.get_running_loop().time() < end:
            if replay is None or replay.done():
                return
            await asyncio.sleep(_POLL_SECONDS)
    finally:
        lock.release()
