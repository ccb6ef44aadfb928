"""What differs between asyncio and threads, hand-written on both sides under the same names.

A `Link` carries commands to one server. Here it is one connection that all tasks share: commands go out as they come,
those of one tick together, and replies are handed back in order.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    InvalidResponse,
    NoPermissionError,
    RedisError,
    ResponseError,
)

from .._core.calls import Argument
from .._core.faults import Fault, Lost, Refused, Unreachable
from .._core.resp import pack
from ..errors import InvalidInput

Lock = asyncio.Lock
sleep = asyncio.sleep

ASYNC = True
Lines = Iterable[str | bytes] | AsyncIterable[str | bytes]


async def each(lines: Lines) -> AsyncIterator[str | bytes]:
    """The lines, wherever they come from; refuses a text, which is no lines but one."""
    if isinstance(lines, str | bytes) or not isinstance(lines, Iterable | AsyncIterable):
        raise InvalidInput(
            name="lines", detail=f"a {type(lines).__name__} is no iterable of lines, such as an open file"
        )
    if isinstance(lines, AsyncIterable):
        async for line in lines:
            yield line
    else:
        for line in lines:
            yield line


class Subscription:
    """A connection on which one channel is heard."""

    def __init__(self, connect: Callable[[], AbstractConnection], timeout: float, channel: str) -> None:
        self._connect = connect
        self._timeout = timeout
        self._channel = channel

    async def open(self) -> None:
        """Returns when whatever is published from now on will be heard. Raises Unreachable, Refused."""
        self._connection = await _opened(self._connect, self._timeout)
        try:
            await self._connection.send_command("SUBSCRIBE", self._channel)
            async with asyncio.timeout(self._timeout):
                await self._connection.read_response(disable_decoding=True, timeout=math.inf)
        except (ResponseError, AuthenticationError):
            await self.close()
            raise
        except (RedisError, OSError) as problem:
            await self.close()
            raise Unreachable(str(problem) or type(problem).__name__) from problem

    async def next(self) -> bytes:
        """What is published next. Raises Lost."""
        try:
            _, _, data = await self._connection.read_response(disable_decoding=True, timeout=math.inf)
        except (RedisError, OSError) as problem:
            raise Lost(str(problem) or type(problem).__name__) from problem
        return bytes(data)

    async def close(self) -> None:
        await self._connection.disconnect(nowait=True)


async def _opened(connect: Callable[[], AbstractConnection], timeout: float) -> AbstractConnection:
    connection = connect()
    try:
        await asyncio.wait_for(connection.connect(), timeout)
    except (AuthenticationError, NoPermissionError):
        raise
    except (ResponseError, InvalidResponse) as problem:
        raise Refused(str(problem)) from problem
    except (RedisError, OSError, TimeoutError) as problem:
        raise Unreachable(str(problem) or type(problem).__name__) from problem
    return connection


class Link:
    """Commands to one server, over one connection that is opened when first needed and again when it broke."""

    def __init__(self, connect: Callable[[], AbstractConnection], timeout: float, max_connections: int) -> None:
        self._connect = connect
        self._timeout = timeout
        self._lane: _Lane | None = None
        self._opening = Lock()
        self._closed: Exception | None = None

    async def send(self, *commands: tuple[Argument, ...], wait: tuple[Argument, ...] | None = None) -> list[Any]:
        """The replies, errors of the server as values; behind them that to `wait`, a command for what was written before it.

        Raises Unreachable or Lost.
        """
        lane = self._lane
        if lane is None or lane.failure is not None:
            lane = await self._open()
        elif lane.loop is not asyncio.get_running_loop():
            raise InvalidInput(name="cache", detail="it was used in another event loop; make one cache for each loop")
        replies = lane.write(commands, wait)
        if not lane.sending:
            await lane.flush()
        answers = []
        for reply in replies:
            answers.append(await reply)  # a comprehension that awaits costs a coroutine
        if isinstance(answers[-1], Fault):
            raise answers[-1]
        return answers

    async def _open(self) -> _Lane:
        async with self._opening:
            if self._closed is not None:
                raise self._closed
            if self._lane is None or self._lane.failure is not None:
                self._lane = _Lane(await _opened(self._connect, self._timeout), self._timeout)
            return self._lane

    async def close(self) -> None:
        """For good. Calls in flight end as lost."""
        self._closed = InvalidInput(name="cache", detail="it is closed")
        if self._lane is not None:
            self._lane.fail(ConnectionError("the cache was closed"))
            await self._lane.closed()
            self._lane = None

    async def abandon(self) -> None:
        """For good, and calls in flight end as lost: the server is not the one to ask any more."""
        await self.close()
        self._closed = Unreachable("another server took over")


class _Lane:
    """One open connection: what waits to be written, and who waits for a reply."""

    def __init__(self, connection: AbstractConnection, timeout: float) -> None:
        self.failure: Exception | None = None
        self.loop = asyncio.get_running_loop()
        self._connection = connection
        self._timeout = timeout
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._unsent: list[bytes] = []
        self._wait: tuple[bytes, asyncio.Future[Any]] | None = None
        self.sending = False
        self._watch: asyncio.TimerHandle | None = None
        self._reader = self.loop.create_task(self._read())
        self._closing: asyncio.Task[None] | None = None

    def write(
        self, commands: tuple[tuple[Argument, ...], ...], wait: tuple[Argument, ...] | None
    ) -> list[asyncio.Future[Any]]:
        """Puts commands among what is to be sent. Whoever is sent together shares one `wait` behind it."""
        packed = [pack(command) for command in commands]  # first: what cannot be packed must not be waited for
        now, replies = self.loop.time(), []
        for _ in commands:
            reply: asyncio.Future[Any] = self.loop.create_future()
            self._waiting.append((reply, now))
            replies.append(reply)
        self._unsent += packed
        if self._watch is None:
            self._watch = self.loop.call_later(self._timeout, self._check)
        if wait is not None:
            if self._wait is None:
                self._wait = (pack(wait), self.loop.create_future())
            replies.append(asyncio.shield(self._wait[1]))  # one caller's cancelling is not the others'
        return replies

    async def flush(self) -> None:
        """Sends what has gathered. A lone command goes straight out; others wait for their tick's company."""
        self.sending = True
        try:
            if len(self._waiting) > len(self._unsent):
                await sleep(0)
        finally:
            self.sending = False
            unsent, self._unsent = self._unsent, []
            if self._wait is not None:
                unsent.append(self._wait[0])
                self._waiting.append((self._wait[1], self.loop.time()))
                self._wait = None
            try:
                await self._connection.send_packed_command(unsent, check_health=False)
            except (RedisError, OSError) as problem:
                self.fail(problem)
            except asyncio.CancelledError:
                self.fail(ConnectionError("cancelled while sending"))
                raise

    async def _read(self) -> None:
        try:
            while True:
                try:
                    reply = await self._connection.read_response(disable_decoding=True, timeout=math.inf)
                except (ResponseError, AuthenticationError, BusyLoadingError) as refusal:
                    reply = refusal
                future, _ = self._waiting.popleft()
                if not future.done():
                    future.set_result(reply)
        except (RedisError, OSError, IndexError) as problem:
            self.fail(problem)

    def _check(self) -> None:
        """Runs while replies are due: the connection is given up when the oldest is overdue."""
        self._watch = None
        if self._waiting:
            left = self._waiting[0][1] + self._timeout - self.loop.time()
            if left <= 0:
                self.fail(TimeoutError(f"no reply within {self._timeout:g} s"))
            else:
                self._watch = self.loop.call_later(left, self._check)

    def fail(self, problem: BaseException) -> None:
        """Gives the connection up: whoever waits is told, and it is closed in the background."""
        if self.failure is not None:
            return
        kind = Refused if isinstance(problem, InvalidResponse) else Lost
        self.failure = kind(str(problem) or type(problem).__name__)
        lost = [future for future, _ in self._waiting] + ([self._wait[1]] if self._wait else [])
        self._waiting.clear()
        for future in lost:
            if not future.done():
                future.set_result(self.failure)
        if self._watch is not None:
            self._watch.cancel()
        self._closing = self.loop.create_task(self._close())

    async def _close(self) -> None:
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await self._connection.disconnect(nowait=True)

    async def closed(self) -> None:
        """Returns when a connection that was given up is closed."""
        if self._closing is not None:
            await self._closing


class DictAccess:
    """Nothing here: subscripts cannot be awaited. The sync state has them."""
