"""One connection of a thread: opened, and bounded in time. `_async` has the same for asyncio, by hand."""

from __future__ import annotations

import socket
import time
from typing import Any

from redis.connection import ConnectionInterface
from redis.exceptions import AuthenticationError, InvalidResponse, NoPermissionError, RedisError, ResponseError

from ..._core.protocol.transport_errors import ConnectionRejected, TimeOver, connect_error
from ..._fork import cut_in_child


def open_connection(connection: Any, due: float, timeout: float, *, had_connection: bool) -> ConnectionInterface:
    """Open a connection before `due`. Its socket has the limit `timeout` then."""
    left = due - time.monotonic()
    if left <= 0:
        raise TimeOver("the time was over before a connection could be made")
    cut_in_child(connection, _fileno)
    connection.socket_connect_timeout = connection.socket_timeout = left
    try:
        connection.connect()
        connection.socket_timeout = timeout
        limit(connection, timeout)
    except BaseException as problem:
        connection.disconnect()
        if isinstance(problem, AuthenticationError | NoPermissionError):
            raise
        if isinstance(problem, ResponseError | InvalidResponse):
            raise ConnectionRejected(str(problem)) from problem
        if isinstance(problem, RedisError | OSError | UnicodeError):  # a host name that has no form
            raise connect_error(problem, had_connection=had_connection) from problem
        raise
    opened: ConnectionInterface = connection
    return opened


def _fileno(connection: Any) -> int:
    found = getattr(connection, "_sock", None)
    return found.fileno() if isinstance(found, socket.socket) else -1  # a fake has another kind of socket


def is_open(connection: Any) -> bool:
    """Return whether a connection is open."""
    return connection._sock is not None


def limit(connection: Any, seconds: float) -> None:
    """Bound each send and each receive of a connection. A connection of fakeredis has no limits."""
    if seconds <= 0:
        raise TimeoutError("no reply before the time was over")
    if hasattr(connection._sock, "settimeout"):
        connection._sock.settimeout(seconds)
