"""What differs between threads and asyncio, hand-written on both sides under the same names.

A `Link` carries commands to one server. Here it is a stack of connections: a thread takes one, or waits for one.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from redis.connection import ConnectionInterface
from redis.exceptions import AuthenticationError, BusyLoadingError, InvalidResponse, RedisError, ResponseError

from .._core.calls import Argument
from .._core.faults import Lost, Refused, Unreachable
from .._core.resp import pack
from ..errors import InvalidInput

Lock = threading.Lock
sleep = time.sleep

ASYNC = False


class Link:
    """Commands to one server, over at most `max_connections` connections, the last used first."""

    def __init__(self, connect: Callable[[], ConnectionInterface], timeout: float, max_connections: int) -> None:
        self._connect = connect
        self._timeout = timeout
        self._max_connections = max_connections
        self._closed = False
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._idle: deque[ConnectionInterface] = deque()
        self._made = 0
        self._waiting = 0
        self._freed = threading.Condition()

    def send(self, *commands: tuple[Argument, ...]) -> Any:
        """The reply to the last command, an error of the server as a value. Raises Unreachable or Lost."""
        if self._pid != os.getpid():
            self._reset()  # a forked process leaves its parent's connections alone
        packed = [pack(command) for command in commands]
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._wait_or_open()
        try:
            connection.send_packed_command(packed, check_health=False)
            reply: Any = None
            for _ in commands:
                try:
                    reply = connection.read_response(disable_decoding=True)
                except (ResponseError, AuthenticationError, BusyLoadingError) as refusal:
                    reply = refusal
        except BaseException as problem:
            self._discard(connection)
            if not isinstance(problem, RedisError | OSError):
                raise
            self._drop_idle()  # what broke this one broke them too
            kind = Refused if isinstance(problem, InvalidResponse) else Lost
            raise kind(str(problem) or type(problem).__name__) from problem
        self._idle.append(connection)
        if self._closed:
            self._drop_idle()
        if self._waiting:
            with self._freed:
                self._freed.notify()
        return reply

    def _wait_or_open(self) -> ConnectionInterface:
        if self._closed:
            raise InvalidInput(name="cache", detail="it is closed")
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
            connection = self._connect()
            connection.connect()
        except BaseException as problem:
            self._discard(None)
            if isinstance(problem, AuthenticationError) or not isinstance(problem, RedisError | OSError):
                raise
            kind = Refused if isinstance(problem, ResponseError | InvalidResponse) else Unreachable
            raise kind(str(problem) or type(problem).__name__) from problem
        return connection

    def _discard(self, connection: ConnectionInterface | None) -> None:
        if connection is not None:
            connection.disconnect()
        with self._freed:
            self._made -= 1
            self._freed.notify()

    def close(self) -> None:
        """For good. A call in flight still gets its reply."""
        self._closed = True
        self._drop_idle()

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
