"""Make connections for an engine, with the client library's classes for TCP, TLS and Unix sockets."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import Any

import redis.asyncio.cluster
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from ...engines import Engine, connection_options
from ...errors import InvalidInput
from . import primitives, sockets

_CLASSES: dict[str, Any] = {"tcp": Connection, "tls": SSLConnection, "unix": UnixDomainSocketConnection}


def connector(
    engine: Engine, timeout: float, node: tuple[str, int] | None = None, *, is_idle: bool = False
) -> Callable[[], Awaitable[AbstractConnection]]:
    """Return a function that makes one connection, not yet open, to the engine's server or to a node.

    `is_idle`: little is sent, so the operating system also checks whether the peer is still there.
    Raises InvalidInput for an option of a borrowed client that does not exist.
    """
    kind = sockets.bounded(engine.connection_class or _CLASSES.get(engine.transport) or _fake_class())
    options = connection_options(engine, kind, timeout, Retry)
    options["socket_timeout"] = None if primitives.ASYNC else timeout  # a shared connection has its own timer
    if is_idle and engine.transport in ("tcp", "tls") and "path" not in options and hasattr(socket, "TCP_KEEPIDLE"):
        options["socket_keepalive"] = True
        options["socket_keepalive_options"] = {
            socket.TCP_KEEPIDLE: 5,
            socket.TCP_KEEPINTVL: 5,
            socket.TCP_KEEPCNT: 3,
        }
    if engine.service and node is not None:
        options["redis_connect_func"] = _check_is_master
    if node is not None:
        options["host"], options["port"] = node
    if engine.nodes and hasattr(redis.asyncio.cluster, "ClusterParser"):  # in redis-py 5, the only one for redirections
        options["parser_class"] = redis.asyncio.cluster.ClusterParser
    try:
        kind(**options)
    except (TypeError, ValueError, RedisError) as problem:
        detail = str(problem).rpartition("got an unexpected keyword argument ")
        reason = f"there is no option {detail[2]}" if detail[1] else str(problem)
        raise InvalidInput(name="client", detail=f"{engine.where}: {reason}") from None

    async def connect() -> AbstractConnection:
        if engine.prepare is not None:
            await primitives.run_blocking(engine.prepare)
        connection: AbstractConnection = kind(**options)
        return connection

    return connect


async def _check_is_master(connection: Any) -> None:
    """Refuse a server that is not a master: its data may be old, or missing."""
    await connection.on_connect()
    await connection.send_command("ROLE")
    role = await connection.read_response()
    if role[0] not in (b"master", "master"):
        raise RedisConnectionError(f"{connection.host}:{connection.port} is not a master")


def _fake_class() -> Any:
    from fakeredis import FakeAsyncRedisConnection

    return FakeAsyncRedisConnection
