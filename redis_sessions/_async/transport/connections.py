"""Connections of asyncio: opened, shared, bounded in time and given up. `_sync` has the same names for threads, by hand.

Here a `NodeClient` is one connection that all tasks share. Commands of one tick of the event loop travel together, and
replies are handed back in order.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable
from copy import copy
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    InvalidResponse,
    RedisError,
    ResponseError,
)

from ..._core.protocol.call import Command
from ..._core.protocol.resp import pack
from ..._core.protocol.transport_errors import (
    ConnectFailed,
    ConnectionLost,
    ConnectionRejected,
    TimeOver,
    TransportError,
)
from ...errors import InvalidInput
from . import primitives, sockets, tasks


class Subscription:
    """A connection that listens to one channel."""

    def __init__(self, connect: Callable[[], Awaitable[AbstractConnection]], timeout: float, channel: str) -> None:
        self._connect = connect
        self._timeout = timeout
        self._channel = channel

    async def open(self, due: float) -> None:
        """Return when every later message will be heard. Raises TransportError, and the server's refusals."""
        self._connection = await sockets.open_connection(self._connect, due, had_connection=True)
        self._loop, self._pid = asyncio.get_running_loop(), os.getpid()
        try:
            async with asyncio.timeout(due - time.monotonic()):
                await self._connection.send_command("SUBSCRIBE", self._channel)
                await self._connection.read_response(disable_decoding=True, timeout=math.inf)
        except (ResponseError, AuthenticationError):
            await self.close()
            raise
        except (RedisError, OSError) as problem:
            await self.close()
            raise ConnectFailed(str(problem) or type(problem).__name__) from problem

    async def next(self) -> bytes:
        """Return the next message. After `timeout` seconds of silence the server must answer a PING in as long.

        Raises ConnectionLost.
        """
        is_asked = False
        try:
            while True:
                reply = await self._connection.read_response(
                    disable_decoding=True, timeout=self._timeout, disconnect_on_error=False
                )
                if reply is None:
                    if is_asked:
                        raise TimeoutError(f"no answer to PING within {self._timeout:g} s")
                    is_asked = True
                    sockets.write(self._connection, [pack(("PING",))])
                elif reply[0] == b"message":
                    return bytes(reply[2])
                else:
                    is_asked = False
        except (RedisError, OSError) as problem:
            raise ConnectionLost(str(problem) or type(problem).__name__) from problem

    async def close(self) -> None:
        """Close the connection. Awaits nothing: from any thread, also after the event loop ended."""
        if self._pid == os.getpid():  # else the parent process uses it
            tasks.call_in(self._loop, sockets.abort, self._connection, self._loop)


class NodeClient:
    """Sends commands to one server, over one connection that opens when it is needed, and again after it broke."""

    def __init__(
        self, connect: Callable[[], Awaitable[AbstractConnection]], timeout: float, max_connections: int
    ) -> None:
        self._connect = connect
        self._timeout = timeout
        self._connection: _MultiplexedConnection | None = None
        self._opening = primitives.SharedAttempt[_MultiplexedConnection](timeout)
        self._closed: TransportError | InvalidInput | None = None
        self.connections_opened = 0
        """The number of connections so far."""

    async def send(self, *commands: Command, wait: Command | None = None, due: float | None = None) -> list[Any]:
        """Return the replies to commands, and behind them the reply to `wait`. Errors of the server are values.

        Args:
            due: the time by `time.monotonic` at which the attempt must be over. Default: `timeout` from now.

        Raises TransportError.
        """
        connection = self._connection
        if connection is None or connection.failure is not None:
            if due is None:
                due = time.monotonic() + self._timeout
            connection = await self._reopened(due)
        left = self._timeout if due is None else due - time.monotonic()
        if left <= 0:
            raise TimeOver("the time was over before the command was sent")
        replies = connection.write(commands, wait)
        if not connection.is_sending:
            await connection.flush()
        if left < self._timeout * 0.9:  # else the connection's own timer is near enough
            await asyncio.wait(replies, timeout=left)
            if not all(reply.done() for reply in replies):
                raise ConnectionLost("no reply before the time was over")
        answers = []
        for reply in replies:
            answers.append(await reply)  # a comprehension that awaits would cost a coroutine
        if isinstance(answers[-1], TransportError):
            raise answers[-1]
        return answers

    async def _reopened(self, due: float) -> _MultiplexedConnection:
        """Return a new connection that did not fail yet. Raises TransportError."""
        for _ in range(2):  # a new connection may break, or be dropped, before this task runs again
            connection = await self._opening.join(self._open, due)
            if connection.failure is None:
                return connection
        raise ConnectFailed(str(connection.failure))  # nothing was sent

    async def _open(self, due: float) -> _MultiplexedConnection:
        if self._closed is None:
            opened = await sockets.open_connection(self._connect, due, had_connection=self.connections_opened > 0)
            self._connection = _MultiplexedConnection(opened, self._timeout)
            self.connections_opened += 1
        if self._closed is not None:
            self._drop(ConnectionError("the cache was closed"))
            raise copy(self._closed)  # the error itself would hold the frames of all callers
        assert self._connection is not None
        return self._connection

    async def close(self) -> None:
        """Close the connection for good. Calls in flight end as lost.

        Awaits nothing: from any thread, also after the event loop ended.
        """
        self._closed = InvalidInput(name="cache", detail="the cache is closed")
        self._drop(ConnectionError("the cache was closed"))

    async def abandon(self) -> None:
        """Close the connection for good, because another server is the master. Calls in flight end as lost."""
        self._closed = ConnectFailed("another server is the master")
        self._drop(ConnectionError("another server is the master"))

    async def drop(self) -> None:
        """Open a new connection from now on. Calls in flight get their replies."""
        if self._connection is not None:
            self._connection.retire()
            self._connection = None

    def _drop(self, problem: Exception) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.end(problem)

    def __del__(self) -> None:
        self._drop(ConnectionError("the cache was dropped"))


class _MultiplexedConnection:
    """One open connection: the commands that wait to be written, and the callers that wait for replies."""

    def __init__(self, connection: AbstractConnection, timeout: float) -> None:
        self.failure: Exception | None = None
        self.loop = asyncio.get_running_loop()
        self.is_sending = False
        self._pid = os.getpid()
        self._connection, self._timeout = connection, timeout
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._unsent: list[bytes] = []
        self._wait: tuple[bytes, asyncio.Future[Any]] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_retired = False
        self._reader = self.loop.create_task(self._read())
        self._reader._log_destroy_pending = False  # type: ignore[attr-defined]  # a loop that is dropped drops its connections

    def write(self, commands: tuple[Command, ...], wait: Command | None) -> list[asyncio.Future[Any]]:
        """Add commands to those that are sent next. Commands that are sent together share one `wait` behind them."""
        packed = [pack(command) for command in commands]  # first: what cannot be packed must not be waited for
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
                await asyncio.sleep(0)
        finally:
            self.is_sending = False
            unsent, self._unsent = self._unsent, []
            if self._wait is not None:
                unsent.append(self._wait[0])
                self._waiting.append((self._wait[1], self.loop.time()))
                self._wait = None
            try:
                sockets.write(self._connection, unsent)
            except (RuntimeError, OSError) as problem:  # uvloop raises RuntimeError for a closed transport
                self.fail(problem)

    async def _read(self) -> None:
        try:
            while True:
                try:
                    reply = await self._connection.read_response(
                        disable_decoding=True, timeout=math.inf, disconnect_on_error=False
                    )
                except (ResponseError, AuthenticationError, BusyLoadingError) as refusal:
                    reply = refusal.with_traceback(None)
                future, _ = self._waiting.popleft()
                if not future.done():
                    future.set_result(reply)
                if self._is_retired and not self._waiting:
                    self.fail(ConnectionError("the connection was retired"))
                if tasks.is_being_cancelled():  # wait_for of Python 3.11, which fakeredis uses, can swallow that
                    raise asyncio.CancelledError
        except (RedisError, OSError, IndexError) as problem:
            self.fail(problem)
        except asyncio.CancelledError:
            self.fail(ConnectionError("the tasks of the event loop were cancelled"))
            raise

    def _check_overdue(self) -> None:
        """Give the connection up when its oldest reply is overdue."""
        self._timer = None
        if self._waiting:
            left = self._waiting[0][1] + self._timeout - self.loop.time()
            if left <= 0:
                self.fail(TimeoutError(f"no reply within {self._timeout:g} s"))
            else:
                self._timer = self.loop.call_later(left, self._check_overdue)

    def retire(self) -> None:
        """Close the connection as soon as every caller that waits has its reply."""
        self._is_retired = True
        if not self._waiting:
            self.fail(ConnectionError("the connection was retired"))

    def fail(self, problem: BaseException) -> None:
        """Give the connection up: every waiting caller gets the first error, and the connection closes at once."""
        if self.failure is None:
            kind = ConnectionRejected if isinstance(problem, InvalidResponse) else ConnectionLost
            self.failure = kind(str(problem) or type(problem).__name__)
        lost = [future for future, _ in self._waiting] + ([self._wait[1]] if self._wait else [])
        self._waiting.clear()
        if not self.loop.is_closed():
            for future in lost:
                if not future.done():
                    future.set_result(self.failure)
        if self._timer is not None:
            self._timer.cancel()
        sockets.abort(self._connection, self.loop)
        tasks.cancel(self._reader)

    def end(self, problem: Exception) -> None:
        """Give the connection up. From any thread, also after the event loop ended."""
        if self._pid == os.getpid():  # else the parent process uses it
            tasks.call_in(self.loop, self.fail, problem)
