"""Read the settings of connections from a URL or from a redis-py client. This module opens no connection."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.maint_notifications import MaintNotificationsConfig

from .errors import InvalidInput

SCHEMES = (
    "redis://, rediss://, unix://, redis+sentinel://host:port,host:port/service, redis+cluster://, embedded://[path],"
    " fake:// (rediss+sentinel:// and rediss+cluster:// with TLS)"
)
# Options of a borrowed client's connections that belong to its own pool, or that this package sets itself.
_NOT_OURS = re.compile(
    "maint|orig_|oss_|himport|retry|decode_responses|parser_class|health_check|redis_connect_func"
    "|max_connections|connection_class|response_callbacks|connection_pool"
)


@dataclass(frozen=True)
class Engine:
    """The way to a server: connection arguments, one or many nodes, and a name without secrets for messages."""

    where: str
    transport: Literal["tcp", "tls", "unix", "fake"]
    options: Mapping[str, Any]
    nodes: tuple[tuple[str, int], ...] = ()
    """Addresses of some nodes of a cluster. Empty for a single server."""
    sentinels: tuple[tuple[str, int], ...] = ()
    """Addresses of the sentinels that know the master of `service`. Empty without Sentinel."""
    service: str = ""
    sentinel_options: Mapping[str, Any] = field(default_factory=dict)
    prepare: Callable[[], None] = field(default=lambda: None)
    """Called before a connection is made. Starts an embedded server."""
    release: Callable[[], None] = field(default=lambda: None)
    """Called once, when the cache is closed."""
    connection_class: Any = None
    """The class of a borrowed client's connections."""


def from_url(url: str) -> Engine:
    """Return the engine of a URL. Raises InvalidInput, whose message never shows the password."""
    if not isinstance(url, str) or "://" not in url:
        raise InvalidInput(name="url", detail=f"must be one of {SCHEMES}, got {redact(str(url))!r}")
    try:
        urlsplit(url)
    except ValueError as problem:
        raise InvalidInput(name="url", detail=f"cannot be read: {problem}, got {redact(url)!r}") from None
    scheme, _, rest = url.partition("://")
    if scheme == "fake":
        return _fake()
    if scheme == "embedded":
        return _embedded(unquote(rest))
    if scheme in ("redis", "rediss", "unix"):
        options = _parse(url, url)
        path = urlsplit(url).path.strip("/")
        if scheme != "unix" and path and not path.isdigit():
            raise InvalidInput(name="url", detail=f"the database must be a number, got {path!r} in {redact(url)}")
        transport: Literal["tcp", "tls", "unix"]
        transport = "unix" if scheme == "unix" else "tls" if scheme == "rediss" else "tcp"
        return Engine(redact(url), transport, options)
    if scheme in ("redis+cluster", "rediss+cluster"):
        options, seeds = _many(url, "+cluster")
        if options.pop("db", 0):
            raise InvalidInput(
                name="url", detail=f"a cluster has only database 0, got another database in {redact(url)}"
            )
        return Engine(redact(url), "tls" if scheme.startswith("rediss") else "tcp", options, seeds)
    if scheme in ("redis+sentinel", "rediss+sentinel"):
        return _sentinel(url)
    raise InvalidInput(name="url", detail=f"must be one of {SCHEMES}, got {redact(url)!r}")


def from_client(client: Any) -> Engine:
    """Return the engine of a redis-py client: sync or asyncio, standalone, Sentinel or cluster. The client stays as it is."""
    nodes_manager = getattr(client, "nodes_manager", None)
    if nodes_manager is not None:
        options = getattr(client, "connection_kwargs", None) or nodes_manager.connection_kwargs
        seeds = tuple((node.host, node.port) for node in nodes_manager.startup_nodes.values())
        tls = any(name.startswith("ssl") for name in options)
        kind = options.get("connection_class")
        return Engine(
            "the borrowed cluster client", "tls" if tls else "tcp", _ours(options), seeds, connection_class=kind
        )
    pool: Any = getattr(client, "connection_pool", None)
    manager = getattr(pool, "sentinel_manager", None)
    if manager is not None:
        given = [one.connection_pool.connection_kwargs for one in manager.sentinels]
        options = _ours(pool.connection_kwargs)
        tls = options.pop("ssl", False) or "ssl" in pool.connection_class.__name__.lower()
        sentinels = tuple((one["host"], int(one["port"])) for one in given)
        own = {name: value for name, value in _ours(given[0]).items() if name not in ("host", "port", "db")}
        where = "the borrowed Sentinel client"
        return Engine(where, "tls" if tls else "tcp", options, (), sentinels, pool.service_name, own)
    if pool is None:
        raise InvalidInput(name="client", detail=f"must be a redis-py client, got {type(client).__name__}")
    return Engine("the borrowed client", "tcp", _ours(pool.connection_kwargs), connection_class=pool.connection_class)


def connection_options(engine: Engine, timeout: float, connection_retry: type) -> dict[str, Any]:
    """Return the arguments of one connection.

    redis-py must not retry, because only this package knows which calls are safe to repeat.
    """
    return {
        **engine.options,
        "protocol": 2,
        "socket_connect_timeout": timeout,
        "retry": connection_retry(NoBackoff(), 0),
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }


def redact(url: str) -> str:
    """Return a URL without its password."""
    return re.sub(r"(?<=://)([^:/@?]*):.*@", r"\1:***@", re.sub(r"(?i)(password=)[^&]*", r"\1***", url))


def _ours(options: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in options.items() if not _NOT_OURS.search(name)}
    return {name: value for name, value in kept.items() if name not in ("host", "port") or value is not None}


def _parse(url: str, shown: str) -> dict[str, Any]:
    try:
        options = dict(parse_url(url))
        urlsplit(url).port  # noqa: B018 - raises if the port is not a number
    except (ValueError, TypeError) as problem:
        raise InvalidInput(name="url", detail=f"cannot be read: {problem}, got {redact(shown)!r}") from None
    options.pop("connection_class", None)
    return options


def _many(url: str, suffix: str) -> tuple[dict[str, Any], tuple[tuple[str, int], ...]]:
    """Return the options and the addresses of a URL that names several hosts."""
    scheme, _, rest = url.partition("://")
    plain = scheme.removesuffix(suffix)
    hosts = urlsplit(url).netloc.rpartition("@")[2].split(",")
    nodes = [_parse(f"{plain}://{host}", url) for host in hosts]
    options = _parse(f"{plain}://{rest.replace(','.join(hosts), hosts[0], 1)}", url)
    default = 26379 if suffix == "+sentinel" else 6379
    return options, tuple((node.get("host", "localhost"), node.get("port", default)) for node in nodes)


def _sentinel(url: str) -> Engine:
    service, _, database = urlsplit(url).path.strip("/").partition("/")
    if not service or (database and not database.isdigit()):
        raise InvalidInput(
            name="url", detail=f"must end with /service or /service/database after the sentinels, got {redact(url)!r}"
        )
    options, sentinels = _many(url, "+sentinel")
    own = {name: options.pop(f"sentinel_{name}") for name in ("username", "password") if f"sentinel_{name}" in options}
    shared = {name: value for name, value in options.items() if name.startswith("ssl")}
    options["db"] = int(database or 0)
    transport: Literal["tcp", "tls"] = "tls" if url.startswith("rediss") else "tcp"
    return Engine(redact(url), transport, options, (), sentinels, unquote(service), {**shared, **own})


def _embedded(path: str) -> Engine:
    from ._embedded.server import EmbeddedServer

    server = EmbeddedServer(path or None)
    return Engine(f"embedded://{path}", "unix", {"path": server.socket}, prepare=server.attach, release=server.detach)


def _fake() -> Engine:
    try:
        from fakeredis import FakeServer
    except ImportError:
        raise InvalidInput(
            name="url", detail="fake:// needs fakeredis, which is not installed: pip install 'redis-sessions[fake]'"
        ) from None
    return Engine("fake://", "fake", {"server": FakeServer(server_type="valkey")})
