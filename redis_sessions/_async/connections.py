"""Makes connections for an engine, with the client library's classes for TCP, TLS and Unix sockets."""

from __future__ import annotations

import inspect
import socket
from collections.abc import Callable
from typing import Any

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.exceptions import ConnectionError as RedisConnectionError

from ..engines import Engine, connection_options
from ..errors import InvalidInput
from . import io

_CLASSES: dict[str, Any] = {"tcp": Connection, "tls": SSLConnection, "unix": UnixDomainSocketConnection}


def connector(
    engine: Engine, timeout: float, node: tuple[str, int] | None = None, *, is_quiet: bool = False
) -> Callable[[], AbstractConnection]:
    """A function that makes one connection, not yet open, to the engine's server or to a node of its cluster.

    On a quiet one nothing may be sent for long, so the system looks whether the other side is still there.
    """
    options = connection_options(engine, timeout, Retry)
    options["socket_timeout"] = None if io.ASYNC else timeout  # a shared connection is watched as a whole
    if is_quiet and engine.transport in ("tcp", "tls") and "path" not in options and hasattr(socket, "TCP_KEEPIDLE"):
        options["socket_keepalive"] = True
        options["socket_keepalive_options"] = {
            socket.TCP_KEEPIDLE: 5,
            socket.TCP_KEEPINTVL: 5,
            socket.TCP_KEEPCNT: 3,
        }
    if engine.service and node is not None:
        options["redis_connect_func"] = _is_master
    if node is not None:
        options["host"], options["port"] = node
    kind = engine.connection_class or _CLASSES.get(engine.transport) or _fake_class()

    try:
        fits = inspect.iscoroutinefunction(kind(**options).connect) is io.ASYNC
    except (TypeError, ValueError) as problem:
        detail = str(problem).rpartition("got an unexpected keyword argument ")
        told = f"there is no option {detail[2]}" if detail[1] else str(problem)
        raise InvalidInput(name="url", detail=f"{engine.where}: {told}") from None
    if not fits:
        raise InvalidInput(
            name="client",
            detail="a client that awaits goes with the cache that awaits, a plain one with the plain cache",
        )

    def connect() -> AbstractConnection:
        engine.prepare()
        connection: AbstractConnection = kind(**options)
        return connection

    return connect


async def _is_master(connection: Any) -> None:
    """Refuses a server that is no master any more, or not yet: what it knows may be old, or nothing."""
    await connection.on_connect()
    await connection.send_command("ROLE")
    role = await connection.read_response()
    if role[0] not in (b"master", "master"):
        raise RedisConnectionError(f"{connection.host}:{connection.port} is no master")


def _fake_class() -> Any:
    from fakeredis import FakeAsyncRedisConnection

    return FakeAsyncRedisConnection
