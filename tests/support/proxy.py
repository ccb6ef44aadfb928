"""A TCP proxy that loses, delays and slices requests and replies.

A connection that lost a chunk carries nothing more: it is cut, or silent and then cut.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise

_SILENT_SECONDS = 0.5
_SLICES = 6


@dataclass
class Losses:
    """The shares of chunks to lose, to delay and to slice, 0 to 1, and the numbers of chunks to which it happened."""

    requests: float
    replies: float
    delays: float = 0.0
    """The share of chunks that come up to `delay` seconds late."""
    slices: float = 0.0
    """The share of chunks that come in small pieces."""
    delay: float = 0.3
    lost_requests: int = 0
    lost_replies: int = 0
    delayed: int = 0
    sliced: int = 0


class _Proxy:
    def __init__(self, target: int, losses: Losses, seed: int) -> None:
        self.target = target
        self.losses = losses
        self.random = random.Random(seed)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        dead = asyncio.Event()
        both = [
            asyncio.create_task(self._carry(reader, server_writer, dead, self._lose_request)),
            asyncio.create_task(self._carry(server_reader, writer, dead, self._lose_reply)),
        ]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if dead.is_set() and self.random.random() < 0.3:
                await asyncio.sleep(_SILENT_SECONDS)
        finally:
            for task in both:
                task.cancel()
            writer.close()
            server_writer.close()

    async def _carry(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, dead: asyncio.Event, lose: Callable[[], bool]
    ) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                if dead.is_set() or lose():
                    dead.set()
                    return
                await self._pass_on(data, sink)

    async def _pass_on(self, data: bytes, sink: asyncio.StreamWriter) -> None:
        losses, pieces = self.losses, [data]
        if self.random.random() < losses.delays:
            losses.delayed += 1
            await asyncio.sleep(self.random.random() * losses.delay)
        if len(data) > 1 and self.random.random() < losses.slices:
            losses.sliced += 1
            cuts = sorted({0, *(self.random.randrange(1, len(data)) for _ in range(_SLICES)), len(data)})
            pieces = [data[begin:end] for begin, end in pairwise(cuts)]
        for piece in pieces:
            sink.write(piece)
            await sink.drain()
            if len(pieces) > 1:
                await asyncio.sleep(0.001)  # else the system joins the pieces

    def _lose_request(self) -> bool:
        lost = self.random.random() < self.losses.requests
        self.losses.lost_requests += lost
        return lost

    def _lose_reply(self) -> bool:
        lost = self.random.random() < self.losses.replies
        self.losses.lost_replies += lost
        return lost


@contextmanager
def proxy(target: int, losses: Losses, seed: int = 1) -> Iterator[int]:
    """Start a proxy to a port of this machine in another thread. Yield the port of the proxy."""
    with proxies([target], losses, seed) as ports:
        yield ports[target]


@contextmanager
def proxies(targets: list[int], losses: Losses, seed: int = 1) -> Iterator[dict[int, int]]:
    """Start a proxy to each of some ports, in one other thread. Yield the port of the proxy of each target."""
    ready = threading.Event()
    found: dict[int, int] = {}
    loop = asyncio.new_event_loop()

    async def main() -> None:
        servers = [
            await asyncio.start_server(_Proxy(target, losses, seed + at).serve, "127.0.0.1", 0)
            for at, target in enumerate(targets)
        ]
        found.update(
            {target: server.sockets[0].getsockname()[1] for target, server in zip(targets, servers, strict=True)}
        )
        ready.set()
        await stop.wait()
        for server in servers:
            server.close()

    stop = asyncio.Event()

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(main())
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield found
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
