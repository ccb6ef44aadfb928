"""TLS and Unix sockets."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from redis_sessions import AsyncSessionCache, InvalidInput, SessionCache, StoreError, StoreUnavailable
from tests.servers import Server, binaries, free_port

X = {"role": "user", "content": "x"}


def use(url: str) -> None:
    """A session through a URL, with both clients."""
    with SessionCache.from_url(url) as cache:
        assert cache.create("a").append(X).last_seq == 1

    async def main() -> None:
        async with AsyncSessionCache.from_url(url) as cache:
            session = await cache.open("a")
            assert (await session.append(X)).last_seq == 2

    asyncio.run(main())


@pytest.mark.parametrize("name", list(binaries()))
def test_a_unix_socket_serves(name: str) -> None:
    """unix:///path, with a database."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(binaries()[name], "--unixsocket", f"{folder}/s.sock")
        try:
            use(f"unix://{folder}/s.sock?db=3")
            assert server.client.info("keyspace").keys() == {"db3"}
        finally:
            server.stop()


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return key, certificate


def with_tls() -> list[str]:
    """The servers here that were built with TLS."""
    return [
        name for name in binaries() if b"tls-port" in Path(binaries()[name]).resolve().read_bytes() and name == "path"
    ]


@pytest.fixture(params=with_tls())
def tls_port(request: pytest.FixtureRequest, certificate: tuple[Path, Path]) -> Iterator[int]:
    port = free_port()
    key, public = certificate
    options = ("--tls-port", str(port), "--tls-cert-file", str(public), "--tls-key-file", str(key))
    server = Server(binaries()[request.param], *options, "--tls-auth-clients", "no")
    yield port
    server.stop()


def test_tls_serves_and_is_verified(tls_port: int, certificate: tuple[Path, Path]) -> None:
    """rediss:// with the authority's certificate; without it, one error that says why."""
    use(f"rediss://localhost:{tls_port}?ssl_ca_certs={certificate[1]}")
    cache = SessionCache.from_url(f"rediss://localhost:{tls_port}", retry_for=0.3)
    with cache, pytest.raises((StoreUnavailable, InvalidInput), match=r"(?i)certificate"):
        cache.create("b")


def test_a_port_that_is_no_redis_is_one_error() -> None:
    """Whatever it answers."""
    import http.server
    import threading

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

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
