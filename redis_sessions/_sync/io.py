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

from redis.connection import Connection, ConnectionInterface
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from .._core.calls import Argument
from .._core.faults import Lost, Unreachable

Lock = threading.Lock
sleep = time.sleep
pack = Connection().pack_command


def socket_timeout(timeout: float) -> float:
    """The timeout of one read or write."""
    return timeout


class Link:
    """Commands to one server, over at most `max_connections` connections, the last used first."""

    def __init__(self, connect: Callable[[], ConnectionInterface], timeout: float, max_connections: int) -> None:
        self._connect = connect
        self._timeout = timeout
        self._max_connections = max_connections
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._idle: deque[ConnectionInterface] = deque()
        self._room = threading.Semaphore(self._max_connections)

    def send(self, *commands: tuple[Argument, ...]) -> list[Any]:
        """The replies, errors of the server among them as values. Raises Unreachable or Lost."""
        if self._pid != os.getpid():
            self._reset()  # a forked process leaves its parent's connections alone
        if not self._room.acquire(timeout=self._timeout):
            raise Unreachable(f"all {self._max_connections} connections were busy for {self._timeout:g} s")
        try:
            return self._send(commands)
        finally:
            self._room.release()

    def _send(self, commands: tuple[tuple[Argument, ...], ...]) -> list[Any]:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._open()
        replies: list[Any] = []
        try:
            packed = pack(*commands[0]) if len(commands) == 1 else [part for one in commands for part in pack(*one)]
            connection.send_packed_command(packed, check_health=False)
            for _ in commands:
                try:
                    replies.append(connection.read_response(disable_decoding=True))
                except ResponseError as refusal:
                    replies.append(refusal)
        except (RedisError, OSError) as problem:
            self.close()  # what broke this one broke the idle ones too
            connection.disconnect()
            raise Lost(str(problem) or type(problem).__name__) from problem
        except BaseException:
            connection.disconnect()
            raise
        self._idle.append(connection)
        return replies

    def _open(self) -> ConnectionInterface:
        connection = self._connect()
        try:
            connection.connect()
        except AuthenticationError:
            raise
        except (RedisError, OSError) as problem:
            raise Unreachable(str(problem) or type(problem).__name__) from problem
        return connection

    def close(self) -> None:
        while self._idle:
            self._idle.pop().disconnect()


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
