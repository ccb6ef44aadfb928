"""Fixtures of the suite. Each test that uses `cache` runs on every engine, and its keys are checked after the test."""

from __future__ import annotations

import itertools
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import redis

from redis_sessions import SessionCache
from redis_sessions.cli.doctor_acl import acl_rules
from tests.support.servers import Server, binaries, cluster

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a suite in the background, whose processes would ignore it, too
    signal.signal(signal.SIGINT, signal.default_int_handler)
hypothesis.settings.register_profile("suite", deadline=None, print_blob=True)
hypothesis.settings.load_profile("suite")

REAL_ENGINES = list(binaries())
ENGINES = ["fake", *REAL_ENGINES, "cluster"]
SAMPLED_ENGINES = {"redis-8", "valkey-8"}
"""The engines that run a sample of the suite, and all of it with REDIS_SESSIONS_SOAK or with their name after -k."""
SAMPLE = ("lua", "acceptance", "leases/test_leases.py", "sessions/test_lifetimes.py", "faults/test_servers.py")
"""The sample: each script alone, each kind of store, expiry, and refusals of a server."""
SLOW_TEST_ENGINES = [name for name in ("redis-6.2", "valkey-9", "path") if name in REAL_ENGINES] + ["cluster"]
"""The engines of a test that takes seconds."""
ADVISORY_KEYS = {
    "queue",
    "check_at",
    "workers",
    "ready",
    "ranks",
    "running",
    "channel",
    "deltas",
    "popped",
    "records",
    "all",
    "user",
    "agent",
    "label",
    "tag",
    "heard_at",
}
STAGED_KEYS = {
    "import",
    "import-session",
    "import-messages",
    "import-ledger",
    "import-parts",
    "import-part_names",
    "quarantine-session",
    "quarantine-messages",
    "quarantine-ledger",
    "quarantine-parts",
    "quarantine-part_names",
    "quarantine-values",
    "quarantine-key",
    "keys",
}
OUTLIVING_KEYS = {"ledger", "parts", "part_names"}
"""Keys of a session that outlive it, unless they are removed."""
TTL_DIFFERENCE_MS = 50
"""Keys of one session may expire this many milliseconds apart."""
_numbers = itertools.count()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what the sampled engines need not run."""
    asked = str(config.option.keyword)
    left_out = set() if os.environ.get("REDIS_SESSIONS_SOAK") else {x for x in SAMPLED_ENGINES if x not in asked}
    folder = Path(__file__).parent
    sample = tuple(str(folder / name) for name in SAMPLE)
    dropped = [item for item in items if _engine_of(item) in left_out and not str(item.path).startswith(sample)]
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if item not in set(dropped)]


def _engine_of(item: pytest.Item) -> str:
    """Return the engine that a test runs on, '' for a test that runs once."""
    params: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
    return str(params.get("engine", params.get("server", "")))


class Engines:
    """Start each engine at its first use, and stop all engines at the end.

    With REDIS_SESSIONS_ACL=1 the caches of tests connect as a user who has only the ACL line of the test's namespace.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._urls: dict[str, str] = {"fake": "fake://"}
        self._is_restricted = bool(os.environ.get("REDIS_SESSIONS_ACL"))
        self._namespace = "none"
        self.nodes: dict[str, list[Server]] = {"fake": []}

    def restrict(self, namespace: str) -> None:
        """Give the user of the caches the rights for a namespace, and take all other rights. Do nothing without the switch."""
        self._namespace = namespace
        for name in self.nodes if self._is_restricted else ():
            self._restrict(name)

    def _restrict(self, name: str) -> None:
        rules = acl_rules(self._namespace, in_cluster=name == "cluster")
        for node in self.nodes[name]:
            node.client.execute_command("ACL", "SETUSER", "tenant", "reset", "on", ">password", *rules)

    def url(self, name: str) -> str:
        """Return the URL of an engine for the caches of tests. Start the engine if necessary."""
        url = self.administrator_url(name)
        return url.replace("://", "://tenant:password@") if self._is_restricted and name != "fake" else url

    def administrator_url(self, name: str) -> str:
        """Return the URL of an engine for a user with all rights. Start the engine if necessary."""
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
            if self._is_restricted:
                self._restrict(name)
        return self._urls[name]

    def close(self) -> None:
        """Stop all engines."""
        self._stack.close()


@pytest.fixture(scope="session")
def engines() -> Iterator[Engines]:
    """Return the engines that the whole test run shares."""
    engines = Engines()
    yield engines
    engines.close()


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, engines: Engines) -> str:
    """Return the name of an engine, each of them in turn."""
    name = str(request.param)
    engines.url(name)
    return name


@pytest.fixture
def namespace(engines: Engines) -> str:
    """Return a namespace that no other test uses."""
    name = f"test{next(_numbers)}"
    engines.restrict(name)
    return name


@pytest.fixture
def url(engine: str, engines: Engines) -> str:
    """Return the URL of an engine, each of them in turn."""
    return engines.url(engine)


@pytest.fixture
def cache(url: str, engine: str, engines: Engines, namespace: str) -> Iterator[SessionCache]:
    """Return a cache with its own namespace on an empty engine. Check names and TTLs of all keys after the test."""
    options: dict[str, Any] = {"timeout": 30} if engine == "fake" else {}  # its scripts are slow on a busy machine
    with SessionCache.from_url(url, namespace=namespace, **options) as cache:
        clients = [node.client for node in engines.nodes[engine]] or [fake_client(cache)]
        for client in clients:
            client.flushall()
        yield cache
        for client in clients:
            check_lifetimes(client, namespace)


@pytest.fixture(params=REAL_ENGINES)
def server(request: pytest.FixtureRequest, engines: Engines) -> Server:
    """Return a shared real server, each of them in turn."""
    name = str(request.param)
    engines.url(name)
    return engines.nodes[name][0]


@pytest.fixture
def own_server() -> Iterator[Server]:
    """Return a real server that a test may break: Valkey 9 with an append-only file."""
    server = Server(
        binaries()["valkey-9"], "--appendonly", "yes", "--appendfsync", "always", "--enable-debug-command", "local"
    )
    yield server
    server.stop()


def fake_client(cache: SessionCache) -> Any:
    """Return a client that reads the store of a `fake://` cache."""
    import fakeredis

    return fakeredis.FakeRedis(server=cache.engine.options["server"])


def check_lifetimes(client: redis.Redis, namespace: str, difference_ms: int = TTL_DIFFERENCE_MS) -> None:
    """Check all keys of a node: their namespace, and the TTL that their kind must have.

    - Keys of documents, and the schema version, have no TTL.
    - Shared scopes and their index have the TTL that their writers said.
    - Index keys, queues and staged keys have a TTL.
    - The ledger and the parts of a session live longer than its hash.
    - All other keys of a session have the TTL of its hash, or one that differs by less than `difference_ms`. Without `ttl` and
      `max_lifetime` they have none.
    """
    for key in client.scan_iter():
        name = key.decode()
        if re.match(r"test\d+:", name) and not name.startswith(f"{namespace}:"):
            continue  # a thread or a process of an earlier test still writes
        assert name.startswith(f"{namespace}:"), f"{name} is outside the namespace {namespace} of this test"
        if name == f"{namespace}:meta":
            continue
        if re.match(rf"{namespace}:\{{\w+\}}:bound:", name):
            continue  # the bound of an agent stays until it is removed
        if name == f"{namespace}:index:threads" or re.match(rf"{namespace}:\{{\w+\}}:checkpoint(s|-names):", name):
            continue  # a thread lives as long as its last writer said
        if re.match(rf"{namespace}:\{{\w+\}}:(shared|shared-log|names|registered)\b", name):
            continue
        if name == f"{namespace}:index:documents" or name.startswith(f"{namespace}:documents:"):
            assert client.pttl(key) == -1, f"{name} belongs to documents and must have no TTL"
            continue
        prefix, _, id = name.partition("}:")
        kind, _, id = id.partition(":")
        if name.startswith(f"{namespace}:index:") or kind in ADVISORY_KEYS | STAGED_KEYS:
            assert client.pttl(key) != -1, f"{name} must have a TTL"
            continue
        session = f"{prefix}}}:session:{id}"
        pipe = client.pipeline()
        pipe.pttl(name)
        pipe.pttl(session)
        pipe.hget(session, "settings")
        ttl, session_ttl, settings = pipe.execute()
        if settings is None and kind in OUTLIVING_KEYS:
            assert ttl != -1, f"{name} of a session that is gone must have a TTL"
            continue
        if settings is None:
            time.sleep(2 * TTL_DIFFERENCE_MS / 1000)  # the hash has expired; the other keys may expire a little later
            assert not client.exists(name) or client.hexists(session, "settings"), f"{name} has no session"
            continue
        if settings.split()[-2:] == [b"0", b"-"]:
            assert ttl == -1, f"{name} of a persistent session must have no TTL"
        elif ttl != -2:  # -2: the key has expired since SCAN returned the name
            assert ttl >= 0, f"{name} must have a TTL"
            is_right = ttl >= session_ttl if kind in OUTLIVING_KEYS else abs(ttl - session_ttl) < difference_ms
            assert is_right, f"{name} expires apart from its session"
