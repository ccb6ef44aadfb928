"""The differences between asyncio and threads, under the same names on both sides. Written by hand.

Here a `NodeClient` is one connection that all tasks share. Commands of one tick of the event loop travel together, and
replies are handed back in order.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
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

from ..._core.protocol.call import Command
from ..._core.protocol.resp import pack
from ..._core.protocol.transport_errors import ConnectFailed, ConnectionLost, ConnectionRejected, TransportError
from ...errors import InvalidInput

Lock = asyncio.Lock
sleep = asyncio.sleep

ASYNC = True
Lines = Iterable[str | bytes] | AsyncIterable[str | bytes]


class MappingAccess:
    """Nothing: subscripts cannot be awaited. The sync state has them."""


async def each(lines: Lines) -> AsyncIterator[str | bytes]:
    """Yield lines from a plain or an async iterable. Raises InvalidInput for text, which is one line and not many."""
    if isinstance(lines, str | bytes) or not isinstance(lines, Iterable | AsyncIterable):
        raise InvalidInput(
            name="lines", detail=f"must be an iterable of lines, such as an open file, got a {type(lines).__name__}"
        )
    if isinstance(lines, AsyncIterable):
        async for line in lines:
            yield line
    else:
        for line in lines:
            yield line


async def resolve(value: Any) -> Any:
    """Return a value, or what an awaitable gives."""
    return await value if isinstance(value, Awaitable) else value


class Subscription:
    """A connection that listens to one channel."""

    def __init__(self, connect: Callable[[], AbstractConnection], timeout: float, channel: str) -> None:
        self._connect = connect
        self._timeout = timeout
        self._channel = channel

    async def open(self) -> None:
        """Return when every later message will be heard. Raises ConnectFailed, ConnectionRejected."""
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
            raise ConnectFailed(str(problem) or type(problem).__name__) from problem

    async def next(self) -> bytes:
        """Return the next message. Raises ConnectionLost."""
        try:
            _, _, data = await self._connection.read_response(disable_decoding=True, timeout=math.inf)
        except (RedisError, OSError) as problem:
            raise ConnectionLost(str(problem) or type(problem).__name__) from problem
        return bytes(data)

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.disconnect(nowait=True)


async def _opened(connect: Callable[[], AbstractConnection], timeout: float) -> AbstractConnection:
    connection = connect()
    try:
        await asyncio.wait_for(connection.connect(), timeout)
    except (AuthenticationError, NoPermissionError):
        raise
    except (ResponseError, InvalidResponse) as problem:
        raise ConnectionRejected(str(problem)) from problem
    except (RedisError, OSError, TimeoutError) as problem:
        raise ConnectFailed(str(problem) or type(problem).__name__) from problem
    return connection


class NodeClient:
    """Sends commands to one server, over one connection that opens when it is needed, and again after it broke."""

    def __init__(self, connect: Callable[[], AbstractConnection], timeout: float, max_connections: int) -> None:
        self._connect = connect
        self._timeout = timeout
        self._connection: _MultiplexedConnection | None = None
        self._opening = Lock()
        self._closed: Exception | None = None
        self.connections_opened = 0
        """The number of connections so far."""

    async def send(self, *commands: Command, wait: Command | None = None) -> list[Any]:
        """Return the replies to commands, and behind them the reply to `wait`. Errors of the server are values.

        Raises ConnectFailed, ConnectionLost.
        """
        connection = self._connection
        if connection is None or connection.failure is not None:
            connection = await self._open()
        elif connection.loop is not asyncio.get_running_loop():
            raise InvalidInput(name="cache", detail="is used in another event loop: make one cache for each loop")
        replies = connection.write(commands, wait)
        if not connection.is_sending:
            await connection.flush()
        answers = []
        for reply in replies:
            answers.append(await reply)  # a comprehension that awaits would cost a coroutine
        if isinstance(answers[-1], TransportError):
            raise answers[-1]
        return answers

    async def _open(self) -> _MultiplexedConnection:
        async with self._opening:
            if self._closed is not None:
                raise self._closed
            if self._connection is None or self._connection.failure is not None:
                opened = await _opened(self._connect, self._timeout)
                self._connection = _MultiplexedConnection(opened, self._timeout)
                self.connections_opened += 1
            return self._connection

    async def close(self) -> None:
        """Close the connection for good. Calls in flight end as lost."""
        self._closed = InvalidInput(name="cache", detail="the cache is closed")
        if self._connection is not None:
            self._connection.fail(ConnectionError("the cache was closed"))
            await self._connection.closed()
            self._connection = None

    async def abandon(self) -> None:
        """Close the connection for good, because another server is the master. Calls in flight end as lost."""
        await self.close()
        self._closed = ConnectFailed("another server is the master")


class _MultiplexedConnection:
    """One open connection: the commands that wait to be written, and the callers that wait for replies."""

    def __init__(self, connection: AbstractConnection, timeout: float) -> None:
        self.failure: Exception | None = None
        self.loop = asyncio.get_running_loop()
        self.is_sending = False
        self._connection = connection
        self._timeout = timeout
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._unsent: list[bytes] = []
        self._wait: tuple[bytes, asyncio.Future[Any]] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._reader = self.loop.create_task(self._read())
        self._closing: asyncio.Task[None] | None = None

    def write(self, commands: tuple[Command, ...], wait: Command | None) -> list[asyncio.Future[Any]]:
        """Add commands to those that are sent next. Commands that are sent together share one `wait` behind them."""
        packed = [
            pack(command) for command in commands
        ]  # first: a command that cannot be packed must not be waited for
        now, replies = self.loop.time(), []
        for _ in commands:
            reply: asyncio.Future[Any] = self.loop.create_future()
            self._waiting.append((reply, now))
            replies.append(reply)
        self._unsent += packed
        if self._timer is None:
            self._timer = self.loop.call_later(self._timeout, self._check_overdue)
        if wait is not None:
            if self._wait is None:
                self._wait = (pack(wait), self.loop.create_future())
            replies.append(asyncio.shield(self._wait[1]))  # the cancellation of one caller must not reach the others
        return replies

    async def flush(self) -> None:
        """Send the commands that wait. A single command is sent at once. Several wait for the others of their tick."""
        self.is_sending = True
        try:
            if len(self._waiting) > len(self._unsent):
                await sleep(0)
        finally:
            self.is_sending = False
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
                    reply = refusal.with_traceback(None)
                future, _ = self._waiting.popleft()
                if not future.done():
                    future.set_result(reply)
        except (RedisError, OSError, IndexError) as problem:
            self.fail(problem)

    def _check_overdue(self) -> None:
        """Give the connection up when its oldest reply is overdue."""
        self._timer = None
        if self._waiting:
            left = self._waiting[0][1] + self._timeout - self.loop.time()
            if left <= 0:
                self.fail(TimeoutError(f"no reply within {self._timeout:g} s"))
            else:
                self._timer = self.loop.call_later(left, self._check_overdue)

    def fail(self, problem: BaseException) -> None:
        """Give the connection up: every waiting caller gets the error, and the connection closes in the background."""
        if self.failure is not None:
            return
        kind = ConnectionRejected if isinstance(problem, InvalidResponse) else ConnectionLost
        self.failure = kind(str(problem) or type(problem).__name__)
        lost = [future for future, _ in self._waiting] + ([self._wait[1]] if self._wait else [])
        self._waiting.clear()
        for future in lost:
            if not future.done():
                future.set_result(self.failure)
        if self._timer is not None:
            self._timer.cancel()
        self._closing = self.loop.create_task(self._close())

    async def _close(self) -> None:
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await self._connection.disconnect(nowait=True)

    async def closed(self) -> None:
        """Return when a connection that was given up is closed."""
        if self._closing is not None:
            await self._closing
