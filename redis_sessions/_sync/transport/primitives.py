"""The differences between threads and asyncio, under the same names on both sides. Written by hand.

Here a `NodeClient` is a pool of connections. A thread takes one, or waits for one.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from typing import Any

from redis.connection import ConnectionInterface
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
from ..._core.protocol.transport_errors import ConnectFailed, ConnectionLost, ConnectionRejected
from ...errors import InvalidInput

Lock = threading.Lock
sleep = time.sleep

ASYNC = False
Lines = Iterable[str | bytes]


class MappingAccess(MutableMapping[str, Any]):
    """A mutable mapping over `get`, `put`, `delete`, `all` and `clear`. Each operation is one round trip."""

    get: Any  # the subclasses have these two, with other arguments than a mapping
    clear: Any

    def __getitem__(self, name: str) -> Any:
        missing = object()
        value = self.get(name, missing)
        if value is missing:
            raise KeyError(name)
        return value

    def __setitem__(self, name: str, value: Any) -> None:
        self.put(name, value)  # type: ignore[attr-defined]

    def __delitem__(self, name: str) -> None:
        if not self.delete(name):  # type: ignore[attr-defined]
            raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        missing = object()
        return isinstance(name, str) and self.get(name, missing) is not missing

    def __iter__(self) -> Iterator[str]:
        return iter(self.all())  # type: ignore[attr-defined]

    def __len__(self) -> int:
        return len(self.all())  # type: ignore[attr-defined]

    def keys(self) -> Any:
        """Return the names of one moment."""
        return self.all().keys()  # type: ignore[attr-defined]

    def values(self) -> Any:
        """Return the values of one moment."""
        return self.all().values()  # type: ignore[attr-defined]

    def items(self) -> Any:
        """Return the names and values of one moment."""
        return self.all().items()  # type: ignore[attr-defined]

    def update(self, *args: Any, **values: Any) -> None:
        """Replace several values in one atomic round trip."""
        self.patch(dict(*args, **values))  # type: ignore[attr-defined]

    __hash__ = None  # type: ignore[assignment]


def each(lines: Lines) -> Lines:
    """Return an iterable of lines. Raises InvalidInput for text, which is one line and not many."""
    if isinstance(lines, str | bytes) or not isinstance(lines, Iterable):
        raise InvalidInput(
            name="lines", detail=f"must be an iterable of lines, such as an open file, got a {type(lines).__name__}"
        )
    return lines


def resolve(value: Any) -> Any:
    """Return a value. An awaitable cannot be awaited here."""
    return value


class Subscription:
    """A connection that listens to one channel."""

    def __init__(self, connect: Callable[[], ConnectionInterface], timeout: float, channel: str) -> None:
        self._connect = connect
        self._channel = channel

    def open(self) -> None:
        """Return when every later message will be heard. Raises ConnectFailed, ConnectionRejected."""
        self._connection = _opened(self._connect)
        try:
            self._connection.send_command("SUBSCRIBE", self._channel)
            self._connection.read_response(disable_decoding=True)
        except (ResponseError, AuthenticationError):
            self.close()
            raise
        except (RedisError, OSError) as problem:
            self.close()
            raise ConnectFailed(str(problem) or type(problem).__name__) from problem

    def next(self) -> bytes:
        """Return the next message. Raises ConnectionLost."""
        try:
            _, _, data = self._connection.read_response(disable_decoding=True, timeout=None)
        except (RedisError, OSError) as problem:
            raise ConnectionLost(str(problem) or type(problem).__name__) from problem
        return bytes(data)

    def close(self) -> None:
        """Close the connection."""
        self._connection.disconnect()


def _opened(connect: Callable[[], ConnectionInterface]) -> ConnectionInterface:
    connection = connect()
    try:
        connection.connect()
    except (AuthenticationError, NoPermissionError):
        raise
    except (ResponseError, InvalidResponse) as problem:
        raise ConnectionRejected(str(problem)) from problem
    except (RedisError, OSError) as problem:
        raise ConnectFailed(str(problem) or type(problem).__name__) from problem
    return connection


class NodeClient:
    """Sends commands to one server, over at most `max_connections` connections, the last used first."""

    def __init__(self, connect: Callable[[], ConnectionInterface], timeout: float, max_connections: int) -> None:
        self._connect = connect
        self._timeout = timeout
        self._max_connections = max_connections
        self._closed: Exception | None = None
        self.connections_opened = 0
        """The number of connections so far."""
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._idle: deque[ConnectionInterface] = deque()
        self._busy: set[ConnectionInterface] = set()
        self._open_count = 0
        self._waiting = 0
        self._freed = threading.Condition()

    def send(self, *commands: Command, wait: Command | None = None) -> list[Any]:
        """Return the replies to commands, and behind them the reply to `wait`. Errors of the server are values.

        Raises ConnectFailed, ConnectionLost.
        """
        if self._pid != os.getpid():
            self._reset()  # a forked process must not use its parent's connections
        if wait is not None:
            commands = (*commands, wait)
        packed = b"".join([pack(command) for command in commands])  # in pieces it would be several packets
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._wait_or_open()
        self._busy.add(connection)
        replies: list[Any] = []
        try:
            connection.send_packed_command([packed], check_health=False)
            for _ in commands:
                try:
                    replies.append(connection.read_response(disable_decoding=True))
                except (ResponseError, AuthenticationError, BusyLoadingError) as refusal:
                    replies.append(refusal.with_traceback(None))  # else it keeps the frames of all callers alive
        except BaseException as problem:
            self._discard(connection)
            is_abandoned = self._closed is not None and isinstance(problem, Exception)
            if not isinstance(problem, RedisError | OSError) and not is_abandoned:
                raise
            self._drop_idle()  # what broke this connection broke the others, too
            kind = ConnectionRejected if isinstance(problem, InvalidResponse) else ConnectionLost
            raise kind(str(problem) or type(problem).__name__) from problem
        self._busy.discard(connection)
        self._idle.append(connection)
        if self._closed is not None:
            self._drop_idle()
        if self._waiting:
            with self._freed:
                self._freed.notify()
        return replies

    def _wait_or_open(self) -> ConnectionInterface:
        if self._closed is not None:
            raise self._closed
        with self._freed:
            self._waiting += 1
            try:
                due = time.monotonic() + self._timeout
                while not self._idle and self._open_count >= self._max_connections:
                    if not self._freed.wait(due - time.monotonic()):
                        raise ConnectFailed(
                            f"all {self._max_connections} connections were busy for {self._timeout:g} s"
                        )
                if self._idle:
                    return self._idle.pop()
                self._open_count += 1
            finally:
                self._waiting -= 1
        return self._open()

    def _open(self) -> ConnectionInterface:
        try:
            connection = _opened(self._connect)
        except BaseException:
            self._discard(None)
            raise
        self.connections_opened += 1
        return connection

    def _discard(self, connection: ConnectionInterface | None) -> None:
        if connection is not None:
            self._busy.discard(connection)
            connection.disconnect()
        with self._freed:
            self._open_count -= 1
            self._freed.notify()

    def close(self) -> None:
        """Close all connections for good. A call in flight still gets its reply."""
        self._closed = InvalidInput(name="cache", detail="the cache is closed")
        self._drop_idle()

    def abandon(self) -> None:
        """Close all connections for good, because another server is the master. Calls in flight end as lost."""
        self.close()
        self._closed = ConnectFailed("another server is the master")
        for connection in list(self._busy):
            connection.disconnect()

    def _drop_idle(self) -> None:
        while True:
            try:
                self._discard(self._idle.pop())
            except IndexError:
                return
