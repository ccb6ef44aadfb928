"""What differs between threads and asyncio, hand-written on both sides under the same names.

A `Link` carries commands to one server. Here it is a stack of connections: a thread takes one, or waits for one.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
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

from .._core.calls import Argument
from .._core.faults import Lost, Refused, Unreachable
from .._core.resp import pack
from ..errors import InvalidInput

Lock = threading.Lock
sleep = time.sleep

ASYNC = False
Lines = Iterable[str | bytes]


def each(lines: Lines) -> Lines:
    """The lines, wherever they come from; refuses a text, which is no lines but one."""
    if isinstance(lines, str | bytes) or not isinstance(lines, Iterable):
        raise InvalidInput(
            name="lines", detail=f"a {type(lines).__name__} is no iterable of lines, such as an open file"
        )
    return lines


class Subscription:
    """A connection on which one channel is heard."""

    def __init__(self, connect: Callable[[], ConnectionInterface], timeout: float, channel: str) -> None:
        self._connect = connect
        self._channel = channel

    def open(self) -> None:
        """Returns when whatever is published from now on will be heard. Raises Unreachable, Refused."""
        self._connection = _opened(self._connect)
        try:
            self._connection.send_command("SUBSCRIBE", self._channel)
            self._connection.read_response(disable_decoding=True)
        except (ResponseError, AuthenticationError):
            self.close()
            raise
        except (RedisError, OSError) as problem:
            self.close()
            raise Unreachable(str(problem) or type(problem).__name__) from problem

    def next(self) -> bytes:
        """What is published next. Raises Lost."""
        try:
            _, _, data = self._connection.read_response(disable_decoding=True, timeout=None)
        except (RedisError, OSError) as problem:
            raise Lost(str(problem) or type(problem).__name__) from problem
        return bytes(data)

    def close(self) -> None:
        self._connection.disconnect()


def _opened(connect: Callable[[], ConnectionInterface]) -> ConnectionInterface:
    connection = connect()
    try:
        connection.connect()
    except (AuthenticationError, NoPermissionError):
        raise
    except (ResponseError, InvalidResponse) as problem:
        raise Refused(str(problem)) from problem
    except (RedisError, OSError) as problem:
        raise Unreachable(str(problem) or type(problem).__name__) from problem
    return connection


class Link:
    """Commands to one server, over at most `max_connections` connections, the last used first."""

    def __init__(self, connect: Callable[[], ConnectionInterface], timeout: float, max_connections: int) -> None:
        self._connect = connect
        self._timeout = timeout
        self._max_connections = max_connections
        self._closed: Exception | None = None
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._idle: deque[ConnectionInterface] = deque()
        self._busy: set[ConnectionInterface] = set()
        self._made = 0
        self._waiting = 0
        self._freed = threading.Condition()

    def send(self, *commands: tuple[Argument, ...], wait: tuple[Argument, ...] | None = None) -> list[Any]:
        """The replies, errors of the server as values; behind them that to `wait`, a command for what was written before it.

        Raises Unreachable or Lost.
        """
        if self._pid != os.getpid():
            self._reset()  # a forked process leaves its parent's connections alone
        if wait is not None:
            commands = (*commands, wait)
        packed = b"".join([pack(command) for command in commands])  # in pieces they would be as many packets
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
                    replies.append(refusal)
        except BaseException as problem:
            self._discard(connection)
            abandoned = self._closed is not None and isinstance(problem, Exception)
            if not isinstance(problem, RedisError | OSError) and not abandoned:
                raise
            self._drop_idle()  # what broke this one broke them too
            kind = Refused if isinstance(problem, InvalidResponse) else Lost
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
                while not self._idle and self._made >= self._max_connections:
                    if not self._freed.wait(due - time.monotonic()):
                        raise Unreachable(f"all {self._max_connections} connections were busy for {self._timeout:g} s")
                if self._idle:
                    return self._idle.pop()
                self._made += 1
            finally:
                self._waiting -= 1
        return self._open()

    def _open(self) -> ConnectionInterface:
        try:
            return _opened(self._connect)
        except BaseException:
            self._discard(None)
            raise

    def _discard(self, connection: ConnectionInterface | None) -> None:
        if connection is not None:
            self._busy.discard(connection)
            connection.disconnect()
        with self._freed:
            self._made -= 1
            self._freed.notify()

    def close(self) -> None:
        """For good. A call in flight still gets its reply."""
        self._closed = InvalidInput(name="cache", detail="it is closed")
        self._drop_idle()

    def abandon(self) -> None:
        """For good, and calls in flight end as lost: the server is not the one to ask any more."""
        self.close()
        self._closed = Unreachable("another server took over")
        for connection in list(self._busy):
            connection.disconnect()

    def _drop_idle(self) -> None:
        while True:
            try:
                self._discard(self._idle.pop())
            except IndexError:
                return


class DictAccess:
    """`state[name]`, for the sync state: the same as get, put and delete."""

    def __getitem__(self, name: str) -> Any:
        missing = object()
        value = self.get(name, missing)  # type: ignore[attr-defined]
        if value is missing:
            raise KeyError(name)
        return value

    def __setitem__(self, name: str, value: Any) -> None:
        self.put(name, value)  # type: ignore[attr-defined]

    def __delitem__(self, name: str) -> None:
        if not self.delete(name):  # type: ignore[attr-defined]
            raise KeyError(name)

    def __contains__(self, name: str) -> bool:
        missing = object()
        return self.get(name, missing) is not missing  # type: ignore[attr-defined]

    __iter__ = None
