"""One suite for every engine: `cache` is a cache on each of them in turn, checked after each test."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import hypothesis
import pytest
import redis

from redis_sessions import SessionCache
from tests.servers import Server, binaries, cluster

hypothesis.settings.register_profile("suite", deadline=None, print_blob=True)
hypothesis.settings.load_profile("suite")

REAL = list(binaries())
ENGINES = ["fake", *REAL, "cluster"]
FEW = [name for name in ("redis-6.2", "valkey-9", "path") if name in REAL] + ["cluster"]
"""For what takes long."""
ADVISORY = {"queue", "due", "workers", "channel", "facts", "marks", "all", "user", "agent", "label", "tag"}
SHORT_LIVED = {"import", "import-session", "import-messages"}
_numbers = itertools.count()


class Engines:
    """Starts each engine when a test first wants it."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._urls: dict[str, str] = {"fake": "fake://"}
        self.nodes: dict[str, list[Server]] = {"fake": []}

    def url(self, name: str) -> str:
        if name not in self._urls:
            if name == "cluster":
                self.nodes[name] = self._stack.enter_context(cluster(binaries()["valkey-9"]))
                hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[name])
                self._urls[name] = f"redis+cluster://{hosts}"
            else:
                server = Server(binaries()[name])
                self._stack.callback(server.stop)
                self.nodes[name] = [server]
                self._urls[name] = server.url
        return self._urls[name]

    def close(self) -> None:
        self._stack.close()


@pytest.fixture(scope="session")
def engines() -> Iterator[Engines]:
    found = Engines()
    yield found
    found.close()


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, engines: Engines) -> str:
    name = str(request.param)
    engines.url(name)
    return name


@pytest.fixture
def namespace() -> str:
    return f"test{next(_numbers)}"


@pytest.fixture
def url(engine: str, engines: Engines) -> str:
    return engines.url(engine)


@pytest.fixture
def cache(url: str, engine: str, engines: Engines, namespace: str) -> Iterator[SessionCache]:
    """A cache in a namespace of its own. Afterwards every key must be of it, and have the lifetime it should have."""
    with SessionCache.from_url(url, namespace=namespace) as cache:
        clients = [node.client for node in engines.nodes[engine]] or [fake_client(cache)]
        for client in clients:
            client.flushall()
        yield cache
        for client in clients:
            check_lifetimes(client, namespace)


@pytest.fixture(params=REAL)
def server(request: pytest.FixtureRequest, engines: Engines) -> Server:
    """A real server, shared: each of them in turn."""
    name = str(request.param)
    engines.url(name)
    return engines.nodes[name][0]


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A real server that a test may break: Valkey 9, with an append-only file."""
    server = Server(
        binaries()["valkey-9"], "--appendonly", "yes", "--appendfsync", "always", "--enable-debug-command", "local"
    )
    yield server
    server.stop()


def fake_client(cache: SessionCache) -> Any:
    """A client that sees what a `fake://` cache stored."""
    import fakeredis

    return fakeredis.FakeRedis(server=cache.engine.options["server"])


def check_lifetimes(client: redis.Redis, namespace: str) -> None:
    """No key of another's, none without a TTL that should have one, and all keys of a session with the same."""
    for key in client.scan_iter():
        name = key.decode()
        if re.match(r"test\d+:", name) and not name.startswith(f"{namespace}:"):
            continue  # somebody of an earlier test had not ended yet
        assert name.startswith(f"{namespace}:"), f"{name} is not of this test"
        if name == f"{namespace}:meta":
            continue
        if name == f"{namespace}:index:documents" or name.startswith(f"{namespace}:documents:"):
            assert client.pttl(key) == -1, f"{name} of documents, which stay, expires"
            continue
        prefix, _, id = name.partition("}:")
        kind, _, id = id.partition(":")
        if name.startswith(f"{namespace}:index:") or kind in ADVISORY | SHORT_LIVED:
            assert client.pttl(key) != -1, f"{name} has no TTL"
            continue
        session = f"{prefix}}}:session:{id}"
        rules = (client.hget(session, "rules") or b"").split()
        if not rules and not client.exists(name):
            continue  # it has just expired
        assert rules, f"{name} has no session"
        both = client.pipeline()
        both.pttl(name)
        both.pttl(session)
        expires, of_session = both.execute()
        if rules[-2:] == [b"0", b"-"]:
            assert expires == -1, f"{name} of a persistent session expires"
        else:
            assert expires > 0, f"{name} has no TTL"
            assert abs(expires - of_session) < 50, f"{name} expires apart from its session"
