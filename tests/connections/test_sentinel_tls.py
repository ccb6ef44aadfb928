"""Sentinels with TLS and users of their own, in front of a master without both. Tested with the server on PATH only."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio.sentinel
import redis.sentinel

from redis_sessions import AccessDenied, AsyncSessionCache, SessionCache
from tests.support.servers import Server, _Sentinel, binaries, free_port

X = {"role": "user", "content": "x"}
SERVICE = "sessions"
pytestmark = pytest.mark.skipif(not shutil.which("redis-server"), reason="the wheels have no TLS")


class TlsSentinel(_Sentinel):
    """One sentinel that also listens with TLS."""

    def __init__(self, binary: str, master: int, key: Path, certificate: Path) -> None:
        self.tls_port = free_port()
        self._tls = f"tls-port {self.tls_port}\ntls-key-file {key}\ntls-cert-file {certificate}\ntls-auth-clients no\n"
        super().__init__(binary, master)

    def command(self) -> list[str]:
        """Return the command line."""
        command = super().command()
        path = Path(command[1])
        path.write_text(path.read_text() + self._tls)
        return command


@dataclass
class Guarded:
    """A master, the TLS port of a sentinel that asks for a user, and the certificate."""

    master: Server
    port: int
    certificate: Path


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Return a plain master behind a sentinel with TLS and a user."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    binary = binaries()["path"]
    with ExitStack() as stack:
        master = Server(binary)
        stack.callback(master.stop)
        sentinel = TlsSentinel(binary, master.port, key, certificate)
        stack.callback(sentinel.stop)
        sentinel.client.execute_command("ACL", "SETUSER", "watcher", "on", ">hidden", "+@all")
        sentinel.client.execute_command("ACL", "SETUSER", "default", "resetpass", ">other")
        yield Guarded(master, sentinel.tls_port, certificate)


def check(guarded: Guarded, sync: SessionCache, asynchronous: AsyncSessionCache) -> None:
    """Write with both caches, and see the data in database 2 of the master."""
    guarded.master.client.flushall()
    with sync:
        sync.create("a").append(X)

    async def main() -> None:
        async with asynchronous:
            session = await asynchronous.open("a")
            assert (await session.append(X)).last_seq == 2

    asyncio.run(main())
    assert guarded.master.client.info("keyspace").keys() == {"db2"}


def test_url_gives_sentinels_their_own_tls_and_user(guarded: Guarded, namespace: str) -> None:
    """`sentinel_ssl`, `sentinel_ssl_*`, `sentinel_username` and `sentinel_password` are for the sentinels alone."""
    url = (
        f"redis+sentinel://localhost:{guarded.port}/{SERVICE}?db=2&sentinel_ssl=true&sentinel_username=watcher"
        f"&sentinel_password=hidden&sentinel_ssl_ca_certs={guarded.certificate}"
    )
    sync, asynchronous = (kind.from_url(url, namespace=namespace) for kind in (SessionCache, AsyncSessionCache))
    assert isinstance(sync, SessionCache)
    assert isinstance(asynchronous, AsyncSessionCache)
    check(guarded, sync, asynchronous)


def test_missing_password_of_sentinels_is_refused_at_once(guarded: Guarded) -> None:
    """Without the password of the sentinels both caches raise AccessDenied long before `retry_for` is over, each time."""
    url = f"rediss+sentinel://localhost:{guarded.port}/{SERVICE}?ssl_ca_certs={guarded.certificate}"

    async def read() -> None:
        async with AsyncSessionCache.from_url(url, retry_for=60) as cache:
            await cache.get("a")

    began = time.monotonic()
    with SessionCache.from_url(url, retry_for=60) as cache:
        for _ in range(2):
            with pytest.raises(AccessDenied):
                cache.get("a")
    with pytest.raises(AccessDenied):
        asyncio.run(read())
    assert time.monotonic() - began < 30


def test_borrowed_client_keeps_tls_and_user_of_its_sentinels(guarded: Guarded, namespace: str) -> None:
    """A cache that is made from a Sentinel client asks the sentinels as the client does, and the master without TLS."""
    own: dict[str, Any] = {
        "username": "watcher", "password": "hidden", "ssl": True, "ssl_ca_certs": str(guarded.certificate)
    }  # fmt: skip
    addresses = [("localhost", guarded.port)]
    sync = redis.sentinel.Sentinel(addresses, sentinel_kwargs=own).master_for(SERVICE, db=2)
    asynchronous = redis.asyncio.sentinel.Sentinel(addresses, sentinel_kwargs=own).master_for(SERVICE, db=2)
    check(guarded, SessionCache(sync, namespace=namespace), AsyncSessionCache(asynchronous, namespace=namespace))


def test_borrowed_client_keeps_its_forced_host(guarded: Guarded, namespace: str) -> None:
    """A cache that is made from a Sentinel client with `force_master_ip` connects to that host."""
    own: dict[str, Any] = {
        "username": "watcher", "password": "hidden", "ssl": True, "ssl_ca_certs": str(guarded.certificate)
    }  # fmt: skip
    sentinel = redis.sentinel.Sentinel([("localhost", guarded.port)], sentinel_kwargs=own, force_master_ip="localhost")
    with SessionCache(sentinel.master_for(SERVICE), namespace=namespace) as cache:
        cache.create("a")
        assert cache._context.router._master == ("localhost", guarded.master.port)
