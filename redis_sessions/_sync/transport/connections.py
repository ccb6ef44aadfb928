"""Connections of threads: opened, pooled, bounded in time and given up. `_async` has the same names for asyncio, by hand.

Here a `NodeClient` is a pool of connections. A thread takes one, or waits for one.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from typing import Any
from weakref import WeakKeyDictionary

from redis.connection import ConnectionInterface
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    InvalidResponse,
    RedisError,
    ResponseError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError

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
from . import sockets

_CHECK_SECONDS = 0.1
"""A thread that waits for a connection looks again after this time, because a signal handler may have freed one silently."""
_AT_ONCE_BYTES = 65_536
"""The size up to which sending a request takes no time worth measuring."""


class Subscription:
    """A connection that listens to one channel."""

    def __init__(self, connect: Callable[[], ConnectionInterface], timeout: float, channel: str) -> None:
        self._connect = connect
        self._timeout = timeout
        self._channel = channel
        self._is_closed = False

    def open(self, due: float) -> None:
        """Return when every later message will be heard. Raises TransportError, and the server's refusals."""
        self._connection = sockets.open_connection(self._connect(), due, self._timeout, had_connection=True)
        try:
            sockets.begin(self._connection, due, max(due - time.monotonic(), 0.001))
            self._connection.send_command("SUBSCRIBE", self._channel)
            self._connection.read_response(disable_decoding=True)
            sockets.end(self._connection, self._timeout)
        except (ResponseError, AuthenticationError):
            self.close()
            raise
        except (RedisError, OSError) as problem:
            self.close()
            raise ConnectFailed(str(problem) or type(problem).__name__) from problem

    def next(self) -> bytes:
        """Return the next message. After `timeout` seconds of silence the server must answer a PING in as long.

        Raises ConnectionLost.
        """
        is_asked = False
        try:
            while True:
                try:
                    reply: Any = self._connection.read_response(disable_decoding=True, disconnect_on_error=False)
                except RedisTimeoutError:
                    if is_asked or self._is_closed:
                        raise
                    is_asked = True
                    self._connection.send_packed_command([pack(("PING",))], check_health=False)
                    continue
                if not isinstance(reply, list):  # a reconnected connection hears nothing
                    raise ConnectionError("the subscription was closed")
                if reply[0] == b"message":
                    return bytes(reply[2])
                is_asked = False
        except (RedisError, OSError, ValueError) as problem:
            if isinstance(problem, ValueError) and not self._is_closed:
                raise
            raise ConnectionLost(str(problem) or type(problem).__name__) from problem

    def close(self) -> None:
        """Close the connection. A thread that reads from it gets an error, from some parsers a ValueError."""
        self._is_closed = True
        self._connection.disconnect()


class NodeClient:
    """Sends commands to one server, over at most `max_connections` connections, the last used first.

    A signal handler can raise between any two steps. So nothing is counted up and down: a connection that its thread neither
    gave back nor discarded is closed when the last reference to it is gone.
    """

    def __init__(self, connect: Callable[[], ConnectionInterface], timeout: float, max_connections: int) -> None:
        self._connect = connect
        self._timeout = timeout
        self._max_connections = max_connections
        self._closed: TransportError | InvalidInput | None = None
        self.connections_opened = 0
        """The number of connections so far."""
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._idle: deque[ConnectionInterface] = deque()
        self._generation = 0  # grows when all connections are dropped
        self._connections: WeakKeyDictionary[ConnectionInterface, int] = WeakKeyDictionary()  # with their generations
        self._lock = threading.RLock()  # a signal handler may use the cache, too
        self._waiting: set[int] = set()
        self._freed: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._failed_count = 0
        self._failure: TransportError | None = None

    def send(self, *commands: Command, wait: Command | None = None, due: float | None = None) -> list[Any]:
        """Return the replies to commands, and behind them the reply to `wait`. Errors of the server are values.

        Args:
            due: the time by `time.monotonic` at which the attempt must be over. Default: `timeout` from now.

        Raises TransportError.
        """
        if self._pid != os.getpid():
            self._reset()  # a forked process must not use its parent's connections
        if wait is not None:
            commands = (*commands, wait)
        packed = b"".join([pack(command) for command in commands])  # in pieces it would be several packets
        if due is None:
            due = time.monotonic() + self._timeout
        replies: list[Any] = []
        connection: ConnectionInterface | None = None
        try:
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = self._wait_or_open(due)
            left = due - time.monotonic()
            is_timed = left < self._timeout * 0.9 or len(packed) > _AT_ONCE_BYTES
            if left <= 0:
                unused, connection = connection, None
                self._give_back(unused)
                raise TimeOver("the time was over before the command was sent")
            sockets.begin(connection, due, left if is_timed else None)  # the usual limit, `timeout`, is near enough
            connection.send_packed_command([packed], check_health=False)
            for _ in commands:
                try:
                    reply = connection.read_response(disable_decoding=True, disconnect_on_error=False)
                    replies.append(reply)
                except ResponseError as refusal:
                    replies.append(refusal.with_traceback(None))  # else it keeps the frames of all callers alive
                except (
                    AuthenticationError,
                    BusyLoadingError,
                ) as refusal:  # a parser in Python never gets past this reply
                    self._discard(connection)
                    return replies + [refusal.with_traceback(None)] * (len(commands) - len(replies))
            sockets.end(connection, self._timeout)
        except BaseException as problem:
            if connection is None:
                raise
            self._discard(connection)
            is_abandoned = self._closed is not None and isinstance(problem, Exception)
            if not isinstance(problem, RedisError | OSError) and not is_abandoned:
                raise
            self._drop_idle()  # what broke this connection broke the others, too
            kind = ConnectionRejected if isinstance(problem, InvalidResponse) else ConnectionLost
            raise kind(str(problem) or type(problem).__name__) from problem
        self._give_back(connection)
        return replies

    def _give_back(self, connection: ConnectionInterface) -> None:
        generation = self._generation
        if self._connections.get(connection) != generation:  # dropped while it was in use
            self._discard(connection)
            return
        self._idle.append(connection)
        if self._closed is not None or self._generation != generation:  # closed or dropped by another thread now
            self._drop_idle()
        if self._waiting:
            self._wake_one()

    def _wake_one(self) -> None:
        if self._freed.empty():  # the thread that is woken wakes the next one if there is more
            self._freed.put(None)

    def _wait_or_open(self, due: float) -> ConnectionInterface:
        """Return a connection that is free, or a new one. Raises TransportError, also when another thread cannot open one."""
        if self._closed is not None:
            raise copy(self._closed)  # the error itself would hold the frames of all callers
        failed_count, me = self._failed_count, threading.get_ident()
        self._waiting.add(me)
        try:
            while (connection := self._take_free()) is None:
                left = due - time.monotonic()
                if left <= 0:
                    raise ConnectFailed(f"all {self._max_connections} connections were busy until the time was over")
                with suppress(queue.Empty):
                    self._freed.get(timeout=min(left, _CHECK_SECONDS))
                if self._failure is not None and self._failed_count != failed_count:
                    raise copy(self._failure)
        finally:
            self._waiting.discard(me)
            if self._waiting:
                self._wake_one()
        return connection if sockets.is_open(connection) else self._open(connection, due)

    def _take_free(self) -> ConnectionInterface | None:
        """Return an idle connection, or a new one that is not open yet. Return None if all are busy."""
        with suppress(IndexError):
            return self._idle.pop()
        if len(self._connections) < self._max_connections:
            connection = self._connect()  # may start an embedded server
            with self._lock:
                if len(self._connections) < self._max_connections:
                    self._connections[connection] = self._generation
                    return connection
        return None

    def _open(self, connection: ConnectionInterface, due: float) -> ConnectionInterface:
        try:
            opened = sockets.open_connection(connection, due, self._timeout, had_connection=self.connections_opened > 0)
        except BaseException as problem:
            self._discard(connection)
            if isinstance(problem, TransportError):
                self._failure, self._failed_count = copy(problem), self._failed_count + 1
            raise
        self.connections_opened += 1
        return opened

    def _discard(self, connection: ConnectionInterface) -> None:
        connection.disconnect()
        with self._lock:
            self._connections.pop(connection, None)
        if self._waiting:
            self._wake_one()

    def close(self) -> None:
        """Close all connections for good. A call in flight still gets its reply."""
        self._closed = InvalidInput(name="cache", detail="the cache is closed")
        self._drop_idle()

    def abandon(self) -> None:
        """Close all connections for good, because another server is the master. Calls in flight end as lost."""
        self.close()
        self._closed = ConnectFailed("another server is the master")
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            connection.disconnect()

    def drop(self) -> None:
        """Open new connections from now on. Calls in flight get their replies."""
        with self._lock:
            self._generation += 1
        self._drop_idle()

    def _drop_idle(self) -> None:
        with suppress(IndexError):
            while True:
                self._discard(self._idle.pop())
