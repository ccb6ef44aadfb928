"""One connection of a thread: opened, and bounded in time. `_async` has the same for asyncio, by hand."""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Callable
from functools import cache
from typing import Any

from redis.connection import ConnectionInterface
from redis.exceptions import AuthenticationError, InvalidResponse, NoPermissionError, RedisError, ResponseError

from ..._core.protocol.transport_errors import ConnectionRejected, TimeOver, connect_error
from ..._fork import cut_in_child
from .socket_files import check_is_socket


class BoundedSocket:
    """A socket with a time at which all receives must be over, because a socket has a limit for each receive only.

    The first receive has the limit of the socket. Mostly it brings the whole reply, and nothing more is measured or set.
    """

    def __init__(self, found: socket.socket, due: float) -> None:
        self._socket = found
        self.sendall: Callable[[bytes], None] = found.sendall
        self.due = due
        self.is_short = True
        """True if the limit of the socket must be shortened before the next receive."""
        self.is_changed = True
        """True if the socket does not have its usual limit."""

    def recv(self, size: int) -> bytes:
        self._shorten()
        return self._socket.recv(size)

    def recv_into(self, buffer: bytearray) -> int:
        self._shorten()
        return self._socket.recv_into(buffer)

    def _shorten(self) -> None:
        if not self.is_short:
            self.is_short = self.due < math.inf
            return
        left = self.due - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time was over")
        self.is_changed = True
        self._socket.settimeout(left)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


@cache
def bounded(kind: type) -> type:
    """Return a class of connections like another one, with bounded sockets. A fake connection keeps its kind of socket."""

    class Bounded(kind):  # type: ignore[misc]
        due = 0.0

        def _connect(self) -> Any:
            found = super()._connect()
            return BoundedSocket(found, self.due) if isinstance(found, socket.socket) else found

    return Bounded


def open_connection(connection: Any, due: float, timeout: float, *, had_connection: bool) -> ConnectionInterface:
    """Open a connection before `due`. Its socket has the limit `timeout` then."""
    left = due - time.monotonic()
    if left <= 0:
        raise TimeOver("the time was over before a connection could be made")
    cut_in_child(connection, _fileno)
    connection.due = due
    connection.socket_connect_timeout = connection.socket_timeout = left
    try:
        connection.connect()
        connection.socket_timeout = timeout
        end(connection, timeout)
    except BaseException as problem:
        connection.disconnect()
        if isinstance(problem, AuthenticationError | NoPermissionError):
            raise
        if isinstance(problem, ResponseError | InvalidResponse):
            raise ConnectionRejected(str(problem)) from problem
        if isinstance(problem, RedisError | OSError | UnicodeError):  # a host name that has no form
            check_is_socket(connection)
            raise connect_error(problem, had_connection=had_connection) from problem
        raise
    opened: ConnectionInterface = connection
    return opened


def _fileno(connection: Any) -> int:
    found = getattr(connection, "_sock", None)
    return found.fileno() if isinstance(found, BoundedSocket) else -1  # a fake has another kind of socket


def is_open(connection: Any) -> bool:
    """Return whether a connection is open."""
    return connection._sock is not None


def begin(connection: Any, due: float, seconds: float | None) -> None:
    """Bound what is sent and received from now on. A connection of fakeredis has no limits.

    `seconds`: the limit of the next send, and of the first receive if that is near enough. Default: what the socket has.
    """
    found = connection._sock
    if isinstance(found, BoundedSocket):
        found.due = due
        found.is_short = found.is_changed = seconds is not None
        if seconds is not None:
            found.settimeout(seconds)


def end(connection: Any, timeout: float) -> None:
    """Give the socket its usual limit, for each send and each receive."""
    found = connection._sock
    if isinstance(found, BoundedSocket):
        found.due, found.is_short = math.inf, False
        if found.is_changed:
            found.is_changed = False
            found.settimeout(timeout)
