"""Read the settings of connections from a URL or from a redis-py client. This module opens no connection."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from inspect import signature
from typing import Any, Literal

import redis
import redis.asyncio
from redis.backoff import NoBackoff

from ._durations import whole
from ._url import Address, Url, may_hold_secret, split_url, wrong_url
from ._url_options import OPTIONS, Remap, UrlOptions, address_map, read_options
from .errors import InvalidInput

Transport = Literal["tcp", "tls", "unix", "fake"]
# Options of a borrowed client's connections that belong to its own pool, or that this package sets itself.
_NOT_OURS = re.compile(
    "maint|orig_|oss_|himport|retry|decode_responses|parser_class|health_check|redis_connect_func"
    "|max_connections|connection_class|response_callbacks|connection_pool"
)


@dataclass(frozen=True)
class Engine:
    """The way to a server: connection arguments, one or many nodes, and a name without secrets for messages."""

    where: str
    transport: Transport
    options: Mapping[str, Any] = field(repr=False)
    nodes: tuple[Address, ...] = ()
    """Addresses of some nodes of a cluster. Empty for a single server."""
    sentinels: tuple[Address, ...] = ()
    """Addresses of the sentinels that know the master of `service`. Empty without Sentinel."""
    service: str = ""
    sentinel_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    sentinel_transport: Transport = "tcp"
    cache_options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the cache that the URL or the client names. They count more than arguments."""
    address_remap: Remap | None = None
    """Maps the addresses that nodes and sentinels name to those that can be reached from here."""
    prepare: Callable[[], None] | None = None
    """Called in any thread before a connection is made. Starts an embedded server."""
    release: Callable[[], None] = field(default=lambda: None)
    """Called once by each cache, when the cache is closed."""
    share: Callable[[], None] = field(default=lambda: None)
    """Called when a further cache takes the engine."""
    connection_class: Any = None
    """The class of a borrowed client's connections."""

    def reachable(self, address: Address) -> Address:
        """Return the address to connect to in the place of one that a node or a sentinel named. Raises InvalidInput."""
        if self.address_remap is None:
            return address
        mapped: Any = self.address_remap(address)
        if not (isinstance(mapped, tuple | list) and len(mapped) == 2 and isinstance(mapped[0], str)):
            raise InvalidInput(name="address_remap", detail=f"must return (host, port), got {mapped!r} for {address!r}")
        return mapped[0], whole(mapped[1], "address_remap", minimum=1, maximum=65_535)

    @property
    def address(self) -> tuple[str, int | None]:
        """Host and port of the server, the first node or the first sentinel. For a socket its path, and None."""
        if self.nodes or self.sentinels:
            return (self.nodes or self.sentinels)[0]
        if self.transport == "unix":
            return str(self.options.get("path", "")), None
        return str(self.options.get("host", self.where)), self.options.get("port")

    @property
    def database(self) -> str:
        """The number of the database."""
        return str(self.options.get("db") or 0)

    @property
    def is_private(self) -> bool:
        """True if the data cannot be reached by another process."""
        return self.where == "embedded://" or self.transport == "fake"

    @property
    def for_sentinels(self) -> Engine:
        """The way to the sentinels."""
        return Engine(self.where, self.sentinel_transport, self.sentinel_options)


def from_url(url: str) -> Engine:
    """Return the engine of a URL. Raises InvalidInput, whose message never shows a secret."""
    try:
        parts = split_url(url)
        options = read_options(parts)
    except InvalidInput as problem:
        if problem.name.removeprefix("sentinel_") in ("url", *OPTIONS) or not may_hold_secret(url):
            raise
        detail = (
            f"has an option that does not exist, which may be a part of a password; options are {', '.join(OPTIONS)}"
        )
        raise wrong_url(detail) from None
    if parts.kind == "fake":
        engine = _fake()
    elif parts.kind == "embedded":
        engine = _embedded(parts.path)
    elif parts.kind == "unix":
        engine = Engine(parts.shown, "unix", {"path": parts.path, **options.connection})
    else:
        engine = _of_hosts(parts, options)
    return replace(engine, cache_options=options.cache)


def _of_hosts(parts: Url, options: UrlOptions) -> Engine:
    transport: Transport = "tls" if parts.has_tls else "tcp"
    if parts.kind == "cluster":
        return Engine(parts.shown, transport, options.connection, nodes=parts.hosts)
    if parts.kind == "sentinel":
        return Engine(
            parts.shown, transport, options.connection, sentinels=parts.hosts, service=parts.service,
            sentinel_options=options.sentinel, sentinel_transport="tls" if options.sentinel_has_tls else "tcp",
        )  # fmt: skip
    ((host, port),) = parts.hosts
    return Engine(parts.shown, transport, {"host": host, "port": port, **options.connection})


def from_client(client: Any, *, is_async: bool) -> Engine:
    """Return the engine of a redis-py client: standalone, Sentinel or cluster, plain or asyncio. The client stays as it is.

    Raises InvalidInput for any other object, and for a client whose settings only its own kind of client can use.
    """
    plain, asynchronous = (redis.Redis, redis.RedisCluster), (redis.asyncio.Redis, redis.asyncio.RedisCluster)
    if not isinstance(client, plain + asynchronous):
        raise InvalidInput(
            name="client",
            detail="must be a client of redis-py, such as redis.Redis(), redis.RedisCluster() or Sentinel.master_for(),"
            f" got a {type(client).__name__}. For a URL use from_url",
        )
    return for_kind(_of_client(client), is_async=is_async)


def for_kind(engine: Engine, *, is_async: bool) -> Engine:
    """Return an engine for caches of one kind. Raises InvalidInput when only the other kind can use its connections."""
    own = engine.connection_class
    if own is None:
        return _with_options_of(engine, is_async=is_async)
    counterparts = _counterparts()
    wanted = dict(counterparts) if is_async else {asynchronous: plain for plain, asynchronous in counterparts}
    kind = wanted.get(own, own)
    if issubclass(kind, redis.asyncio.connection.AbstractConnection) is not is_async:
        kinds = "an asyncio client" if is_async else "a client that is not asyncio"
        raise InvalidInput(name="client", detail=f"has connections of {own.__name__}: give {kinds}, or a URL")
    if kind is not own and "redis_connect_func" in engine.options:
        raise InvalidInput(name="client", detail="has a redis_connect_func, which the other kind of client cannot call")
    return _with_options_of(replace(engine, connection_class=kind), is_async=is_async)


def _with_options_of(engine: Engine, *, is_async: bool) -> Engine:
    """Return the engine without the options that asyncio connections lack. Raises InvalidInput for one that is on."""
    lacking = {name: value for name, value in engine.options.items() if is_async and "ocsp" in name}
    used = [name for name, value in lacking.items() if value]
    if used:
        raise InvalidInput(name="client", detail=f"has {used[0]}, which redis.asyncio does not support")
    return replace(engine, options={name: value for name, value in engine.options.items() if name not in lacking})


def _counterparts() -> list[tuple[type, type]]:
    """Return the classes of connections, each with its class for asyncio."""
    plain, asynchronous = redis.connection, redis.asyncio.connection
    names = ("Connection", "SSLConnection", "UnixDomainSocketConnection")
    pairs = [(getattr(plain, name), getattr(asynchronous, name)) for name in names]
    fakeredis = sys.modules.get("fakeredis")
    if fakeredis is not None:
        pairs.append((fakeredis.FakeRedisConnection, fakeredis.FakeAsyncRedisConnection))
    return pairs


def _of_client(client: Any) -> Engine:
    if isinstance(client, redis.RedisCluster | redis.asyncio.RedisCluster):
        return _of_cluster(client)
    pool: Any = client.connection_pool
    if getattr(pool, "sentinel_manager", None) is not None:
        return _of_sentinel_pool(pool)
    options = _ours(pool.connection_kwargs)
    connect_func = pool.connection_kwargs.get("redis_connect_func")
    if connect_func is not None:
        options["redis_connect_func"] = connect_func
    return Engine("the borrowed client", "tcp", options, connection_class=pool.connection_class)


def _of_cluster(client: Any) -> Engine:
    manager = client.nodes_manager
    given = getattr(client, "connection_kwargs", None) or manager.connection_kwargs
    nodes = tuple((node.host, int(node.port)) for node in manager.startup_nodes.values())
    transport, options = _transport(given, given.get("connection_class"))
    remap = _remap_option(manager.address_remap)
    return Engine("the borrowed cluster client", transport, options, nodes=nodes, cache_options=remap)


def _of_sentinel_pool(pool: Any) -> Engine:
    if not pool.is_master:
        raise InvalidInput(name="client", detail="must be the client of a master: use Sentinel.master_for()")
    manager = pool.sentinel_manager
    pools = [one.connection_pool for one in manager.sentinels]
    sentinels = tuple((one.connection_kwargs["host"], int(one.connection_kwargs["port"])) for one in pools)
    sentinel_transport, own = _transport(pools[0].connection_kwargs, pools[0].connection_class)
    transport, options = _transport(pool.connection_kwargs, pool.connection_class)
    return Engine(
        "the borrowed Sentinel client", transport, options, sentinels=sentinels, service=pool.service_name,
        sentinel_options={name: value for name, value in own.items() if name != "db"},
        sentinel_transport=sentinel_transport, cache_options=_remap_option(_forced_host(manager)),
    )  # fmt: skip


def _transport(given: Mapping[str, Any], connection_class: type | None) -> tuple[Transport, dict[str, Any]]:
    """Return the transport of a borrowed client, and the options of its connections without those of one server."""
    is_tls = given.get("ssl", False) or (
        connection_class is not None
        and issubclass(connection_class, redis.connection.SSLConnection | redis.asyncio.connection.SSLConnection)
    )
    options = {name: value for name, value in _ours(given).items() if name not in ("host", "port", "ssl")}
    if is_tls:
        return "tls", options
    return "tcp", {name: value for name, value in options.items() if not name.startswith("ssl")}


def _forced_host(manager: Any) -> Remap | None:
    """Return a mapping of every address to one host, for a Sentinel client that was made with `force_master_ip`."""
    host = getattr(manager, "_force_master_ip", None)
    return None if host is None else lambda address: (host, address[1])


def _remap_option(remap: Remap | None) -> dict[str, Any]:
    return {} if remap is None else {"address_remap": remap}


def with_address_remap(engine: Engine, remap: object) -> Engine:
    """Return the engine with a mapping of addresses, or as it is for None. Raises InvalidInput."""
    mapping = address_map(remap)
    if mapping is not None and not engine.nodes and not engine.sentinels:
        raise InvalidInput(
            name="address_remap", detail=f"is for a cluster and for Sentinel only, and {engine.where} is one server"
        )
    return replace(engine, address_remap=mapping)


def connection_options(engine: Engine, kind: type, timeout: float, connection_retry: type) -> dict[str, Any]:
    """Return the arguments of one connection of a class.

    redis-py must not retry, because only this package knows which calls are safe to repeat. It must not follow the server's
    notices of maintenance, which some classes of some versions do.
    """
    options = {
        **engine.options,
        "protocol": 2,
        "socket_connect_timeout": timeout,
        "retry": connection_retry(NoBackoff(), 0),
    }
    if _can_follow_notices(kind):
        from redis.maint_notifications import MaintNotificationsConfig

        options["maint_notifications_config"] = MaintNotificationsConfig(enabled=False)
    return options


@cache
def _can_follow_notices(kind: type) -> bool:
    makers = [base.__dict__["__init__"] for base in kind.__mro__[:-1] if "__init__" in base.__dict__]
    return any("maint_notifications_config" in signature(make).parameters for make in makers)


def _ours(options: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in options.items() if not _NOT_OURS.search(name)}
    return {name: value for name, value in kept.items() if name not in ("host", "port") or value is not None}


def _embedded(path: str) -> Engine:
    from ._embedded.server import EmbeddedServer

    server = EmbeddedServer(path or None)
    return Engine(
        f"embedded://{path}",
        "unix",
        {"path": server.socket},
        prepare=server.attach,
        release=server.detach,
        share=server.share,
    )


def _fake() -> Engine:
    try:
        from fakeredis import FakeServer
    except ImportError:
        raise InvalidInput(
            name="url", detail="fake:// needs fakeredis, which is not installed: pip install 'redis-sessions[fake]'"
        ) from None
    return Engine("fake://", "fake", {"server": FakeServer(server_type="valkey")})
