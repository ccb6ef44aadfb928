"""Connections over TLS, Unix sockets, and to a port that does not speak the protocol."""

from __future__ import annotations

import asyncio
import http.server
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from redis_sessions import AsyncSessionCache, InvalidInput, SessionCache, StoreError, StoreUnavailable
from tests.support.servers import Server, binaries, free_port

X = {"role": "user", "content": "x"}


def use(url: str) -> None:
    """Write and read a session with both clients through a URL."""
    with SessionCache.from_url(url) as cache:
        assert cache.create("a").append(X).last_seq == 1

    async def main() -> None:
        async with AsyncSessionCache.from_url(url) as cache:
            session = await cache.open("a")
            assert (await session.append(X)).last_seq == 2

    asyncio.run(main())


@pytest.mark.parametrize("name", list(binaries()))
def test_unix_socket_url_connects(name: str) -> None:
    """A `unix://` URL with a database connects through the socket."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(binaries()[name], "--unixsocket", f"{folder}/s.sock")
        try:
            use(f"unix://{folder}/s.sock?db=3")
            assert server.client.info("keyspace").keys() == {"db3"}
        finally:
            server.stop()


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """Return a key and a certificate for localhost."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return key, certificate


def with_tls() -> list[str]:
    """Return the servers that were built with TLS."""
    return [
        name for name in binaries() if b"tls-port" in Path(binaries()[name]).resolve().read_bytes() and name == "path"
    ]


@pytest.fixture(params=with_tls())
def tls_port(request: pytest.FixtureRequest, certificate: tuple[Path, Path]) -> Iterator[int]:
    """Return the TLS port of a server."""
    port = free_port()
    key, public = certificate
    options = ("--tls-port", str(port), "--tls-cert-file", str(public), "--tls-key-file", str(key))
    server = Server(binaries()[request.param], *options, "--tls-auth-clients", "no")
    yield port
    server.stop()


def test_tls_certificate_is_verified(tls_port: int, certificate: tuple[Path, Path]) -> None:
    """A `rediss://` URL connects with the authority's certificate, and without the certificate raises one clear error."""
    use(f"rediss://localhost:{tls_port}?ssl_ca_certs={certificate[1]}")
    cache = SessionCache.from_url(f"rediss://localhost:{tls_port}", retry_for=0.3)
    with cache, pytest.raises((StoreUnavailable, InvalidInput), match=r"(?i)certificate"):
        cache.create("b")


def test_tls_that_cannot_pass_is_refused_at_once(tls_port: int) -> None:
    """A certificate that is not trusted is one error long before `retry_for`, on both sides."""
    url = f"rediss://localhost:{tls_port}"
    began = time.monotonic()
    with SessionCache.from_url(url, retry_for=60) as cache, pytest.raises(StoreUnavailable, match="not retried"):
        cache.get("a")

    async def main() -> None:
        async with AsyncSessionCache.from_url(url, retry_for=60) as cache:
            with pytest.raises(StoreUnavailable, match="not retried"):
                await cache.get("a")

    asyncio.run(main())
    assert time.monotonic() - began < 20


def test_port_of_another_protocol_raises_store_error() -> None:
    """A port that answers with HTTP raises one StoreError."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Write no log."""

    with http.server.HTTPServer(("127.0.0.1", 0), Quiet) as web:
        thread = threading.Thread(target=web.serve_forever, daemon=True)
        thread.start()
        url = f"redis://127.0.0.1:{web.server_port}"
        with (
            SessionCache.from_url(url, retry_for=0.5, timeout=0.5) as cache,
            pytest.raises(StoreError, match="Protocol"),
        ):
            cache.get("a")
        web.shutdown()
