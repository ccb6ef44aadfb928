"""A TCP proxy that loses requests and replies. A connection that lost a chunk carries nothing more: it is cut, or silent."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Losses:
    """The share of chunks to lose, 0 to 1, and the number of chunks that were lost."""

    requests: float
    replies: float
    lost_requests: int = 0
    lost_replies: int = 0


class _Proxy:
    def __init__(self, target: int, losses: Losses, seed: int) -> None:
        self.target = target
        self.losses = losses
        self.random = random.Random(seed)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.target)
        dead = asyncio.Event()
        both = [
            asyncio.create_task(self._carry(reader, server_writer, dead, self._lose_request)),
            asyncio.create_task(self._carry(server_reader, writer, dead, self._lose_reply)),
        ]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if dead.is_set() and self.random.random() < 0.3:
            await asyncio.sleep(0.5)  # the connection is silent before it is cut
        for task in both:
            task.cancel()
        writer.close()
        server_writer.close()

    async def _carry(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, dead: asyncio.Event, lose: object
    ) -> None:
        while data := await source.read(65536):
            if dead.is_set() or lose():  # type: ignore[operator]
                dead.set()
                return
            sink.write(data)
            await sink.drain()

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
    ready = threading.Event()
    found: list[int] = []
    loop = asyncio.new_event_loop()

    async def main() -> None:
        server = await asyncio.start_server(_Proxy(target, losses, seed).serve, "127.0.0.1", 0)
        found.append(server.sockets[0].getsockname()[1])
        ready.set()
        async with server:
            await stop.wait()

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
        yield found[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
