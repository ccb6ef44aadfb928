"""Caches that are made from clients of redis-py: they connect as the client does, and the client stays as it is."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import fakeredis
import pytest
import redis
import redis.asyncio
import redis.asyncio.sentinel
import redis.sentinel
from redis.credentials import CredentialProvider

from redis_sessions import AsyncSessionCache, InvalidInput, SessionCache
from tests.support.servers import Server, binaries

X = {"role": "user", "content": "x"}


def use(client: Any, **options: Any) -> None:
    """Write a session with a cache that is made from a client."""
    if isinstance(client, redis.asyncio.Redis | redis.asyncio.RedisCluster):
        asyncio.run(use_async(client, **options))
        return
    with SessionCache(client, **options) as cache:
        assert cache.create().append(X).last_seq == 1


async def use_async(client: Any, **options: Any) -> None:
    """Write a session with a cache that is made from an asyncio client."""
    async with AsyncSessionCache(client, **options) as cache:
        session = await cache.create()
        assert (await session.append(X)).last_seq == 1


class Provider(CredentialProvider):
    """Gives the credentials of a user, and counts how often."""

    calls = 0

    def get_credentials(self) -> tuple[str, str]:
        """Return the user and the password."""
        Provider.calls += 1
        return "worker", "hidden"


@pytest.fixture(scope="module")
def guarded() -> Iterator[tuple[Server, str]]:
    """Return a server that only the user `worker` may use, and the path of its socket."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/s.sock"
        server = Server(binaries()["valkey-9"], "--unixsocket", path)
        acl = server.client.acl_setuser
        acl("worker", enabled=True, passwords=["+hidden"], keys=["*"], channels=["*"], commands=["+@all"])
        acl("default", enabled=True, passwords=["+other"], commands=["+@all"])
        yield server, path
        server.stop()


def logins(server: Server) -> set[tuple[str, str, str]]:
    """Return the user, the database and the name of each connection but the caller's own."""
    own = server.client.client_id()
    found: list[dict[str, str]] = server.client.client_list()
    return {(one["user"], one["db"], one["name"]) for one in found if int(one["id"]) != own}


CLIENTS: dict[str, Callable[..., Any]] = {"threads": redis.Redis, "asyncio": redis.asyncio.Redis}


@pytest.mark.parametrize("kind", CLIENTS)
@pytest.mark.parametrize("way", ["port", "socket", "provider", "url"])
def test_borrowed_client_keeps_its_login(guarded: tuple[Server, str], kind: str, way: str) -> None:
    """The cache connects with the client's address, user, credentials, database and name."""
    server, path = guarded
    server.client.flushall()
    common: dict[str, Any] = {"db": 2, "client_name": "web-1"}
    make, user = CLIENTS[kind], {"username": "worker", "password": "hidden"}
    port = {"host": "127.0.0.1", "port": server.port}
    before = Provider.calls
    client = {
        "port": lambda: make(**port, **user, **common),
        "socket": lambda: make(unix_socket_path=path, **user, **common),
        "provider": lambda: make(**port, credential_provider=Provider(), **common),
        "url": lambda: make.from_url(f"redis://worker:hidden@127.0.0.1:{server.port}/2", client_name="web-1"),  # type: ignore[attr-defined]
    }[way]()
    seen: list[set[tuple[str, str, str]]] = []

    async def main() -> None:
        async with AsyncSessionCache(client) as cache:
            await (await cache.create()).append(X)
            seen.append(logins(server))

    if kind == "asyncio":
        asyncio.run(main())
    else:
        with SessionCache(client) as cache:
            cache.create().append(X)
            seen.append(logins(server))
    assert seen == [{("worker", "2", "web-1")}]
    assert server.client.info("keyspace").keys() == {"db2"}
    assert (Provider.calls > before) is (way == "provider")


def test_function_that_opens_a_connection_is_kept(server: Server, namespace: str) -> None:
    """The cache calls the client's own `redis_connect_func` for each connection."""
    opened: list[Any] = []

    def greet(connection: Any) -> None:
        connection.on_connect()
        opened.append(connection)

    use(redis.Redis(port=server.port, redis_connect_func=greet), namespace=namespace)  # type: ignore[arg-type]
    assert opened
    server.client.flushall()


def test_fake_client_is_borrowed() -> None:
    """A client of fakeredis shares its store with the cache."""
    client = fakeredis.FakeRedis()
    use(client)
    assert client.exists("sessions:meta")
    use(fakeredis.FakeAsyncRedis())


OWN_CONNECTIONS = redis.ConnectionPool(connection_class=type("OwnConnection", (redis.Connection,), {}))


@pytest.mark.parametrize(
    ("client", "reason"),
    [
        (redis.Redis(connection_pool=OWN_CONNECTIONS), "has connections of OwnConnection: give an asyncio client"),
        (redis.Redis(ssl=True, ssl_validate_ocsp=True), "has ssl_validate_ocsp, which redis.asyncio does not support"),
        (redis.Redis(redis_connect_func=print), "has a redis_connect_func"),
    ],
)
def test_client_with_settings_of_its_kind_alone_is_refused(client: Any, reason: str) -> None:
    """AsyncSessionCache refuses a plain client whose settings asyncio connections cannot have, and says which one."""
    with pytest.raises(InvalidInput, match=reason):
        AsyncSessionCache(client)


def test_cache_takes_client_of_either_kind(server: Server, namespace: str) -> None:
    """A cache and an asyncio cache work on the server of a plain client, and of an asyncio client."""
    address: dict[str, Any] = {"host": "127.0.0.1", "port": server.port}

    async def count(client: Any) -> int:
        async with AsyncSessionCache(client, namespace=namespace) as cache:
            return await cache.count()

    for client in (redis.Redis(**address), redis.asyncio.Redis(**address)):
        with SessionCache(client, namespace=namespace) as cache:
            cache.create()
            assert cache.count() == asyncio.run(count(client))


def test_fake_client_of_other_kind_shares_its_data() -> None:
    """An asyncio cache of a plain fake client has the data of that client's server."""

    async def main(client: Any) -> None:
        async with AsyncSessionCache(client) as cache:
            await cache.create("a")

    client = fakeredis.FakeRedis()
    asyncio.run(main(client))
    with SessionCache(client) as cache:
        assert cache.get("a") is not None


@pytest.mark.parametrize("url", ["fake://", "embedded://"])
def test_cache_shares_server_of_another_cache(url: str) -> None:
    """A cache of a cache has its options and its data, and the server goes on until both are closed."""

    async def create(cache: SessionCache) -> None:
        async with AsyncSessionCache(cache) as other:
            assert (other.namespace, other.settings.max_messages) == ("mine", 7)
            await other.create("a")

    with SessionCache.from_url(url, namespace="mine", max_messages=7) as cache:
        asyncio.run(create(cache))
        assert cache.open("a").info().max_messages == 7
        with SessionCache(cache, namespace="other") as third:
            assert third.get("a") is None
        assert cache.get("a") is not None


@pytest.mark.parametrize(
    "client",
    [
        None,
        "redis://:hidden@localhost",
        redis.Redis,
        redis.ConnectionPool(),
        redis.sentinel.Sentinel([("localhost", 1)]),
        redis.sentinel.Sentinel([("localhost", 1)]).slave_for("svc"),
    ],
)
def test_other_objects_are_refused(client: Any) -> None:
    """An object that is not a client of a server, a cluster or a Sentinel master is refused at once, without secrets."""
    with pytest.raises(InvalidInput, match="client") as refused:
        SessionCache(client)
    assert "hidden" not in str(refused.value)


def test_unknown_argument_of_a_pool_is_refused() -> None:
    """An argument of the client's pool that no connection takes is refused by its name."""
    client = redis.Redis(connection_pool=redis.ConnectionPool(colour="red"))
    with pytest.raises(InvalidInput, match="colour"):
        SessionCache(client)
