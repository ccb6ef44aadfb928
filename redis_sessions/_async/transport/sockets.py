"""One connection of asyncio: opened, written and given up. `_sync` has the same for threads, by hand."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import AuthenticationError, InvalidResponse, NoPermissionError, RedisError, ResponseError

from ..._core.protocol.transport_errors import ConnectionRejected, connect_error
from ..._fork import cut_in_child
from .socket_files import check_is_socket


def bounded(kind: type) -> type:
    """Return a class of connections whose receives are bounded: any, because each caller waits with a time limit."""
    return kind


async def open_connection(
    connect: Callable[[], Awaitable[AbstractConnection]], due: float, *, had_connection: bool
) -> AbstractConnection:
    """Open a connection before `due`. Raises TransportError, and refusals of the user."""
    connection = await connect()
    cut_in_child(connection, _fileno)
    try:
        async with asyncio.timeout(due - time.monotonic()):
            await connection.connect()
    except BaseException as problem:
        abort(connection, asyncio.get_running_loop())
        if isinstance(problem, AuthenticationError | NoPermissionError):
            raise
        if isinstance(problem, ResponseError | InvalidResponse):
            raise ConnectionRejected(str(problem)) from problem
        if isinstance(problem, RedisError | OSError | UnicodeError):  # a host name that has no form
            check_is_socket(connection)
            raise connect_error(problem, had_connection=had_connection) from problem
        raise
    return connection


def _fileno(connection: AbstractConnection) -> int:
    transport = _transport_of(connection._writer)
    return -1 if transport is None else int(transport.get_extra_info("socket").fileno())


def _transport_of(writer: Any) -> asyncio.Transport | None:
    """Return the transport of a writer. None for that of a fake server, which has no transport, or one without a socket."""
    transport: asyncio.Transport | None = getattr(writer, "transport", None)
    return transport if transport and transport.get_extra_info("socket") else None


def write(connection: AbstractConnection, data: list[bytes]) -> None:
    """Send data without waiting: the sender waits for the reply, which has a time limit."""
    writer = connection._writer
    if writer is None:
        raise ConnectionError("the connection was closed")
    writer.writelines(data)


def abort(connection: AbstractConnection, loop: asyncio.AbstractEventLoop) -> None:
    """Close a connection at once. What is not sent yet is dropped, because a silent peer would never take it."""
    writer = connection._writer  # kept until the end, because the finalizer of a writer closes its transport
    connection._writer = connection._reader = None
    transport = _transport_of(writer)
    if transport is None or transport.is_closing():
        return
    if not loop.is_running():  # else nothing would close the socket
        with suppress(OSError, TypeError):  # uvloop closes its sockets with the loop
            transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
    if not loop.is_closed():
        transport.abort()
