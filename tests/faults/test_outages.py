"""Servers that die, lose their scripts, close connections or run full under load lose and duplicate no acknowledged message."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from redis_sessions import SessionCache, SessionsError, StoreUnavailable
from redis_sessions._sync.transport import router
from tests.support.history import (
    await_begin,
    disable_idempotency,
    find_violations,
    read_journals,
    workers,
    write_at_rate,
)
from tests.support.servers import Server, binaries

SECONDS = 60.0 if os.environ.get("REDIS_SESSIONS_SOAK") else 2.5
NAMES = ["a", "b", "c", "d"]
OPTIONS: dict[str, Any] = {"retry_for": 30, "timeout": 2}


@contextmanager
def repeated(action: Callable[[], Any], pause: float) -> Iterator[None]:
    """Repeat an action in the background until the end of the block."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(pause):
            try:
                action()
            except redis.RedisError:
                continue

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def write_under(
    server: Server, namespace: str, folder: Path, action: Callable[[], Any], pause: float,
    prepare: Callable[[], None] | None = None,
) -> tuple[list[str], list[dict[str, Any]]]:  # fmt: skip
    """Let four processes write while an action is repeated. Return the violations and the processes' events."""
    with SessionCache.from_url(server.url, namespace=namespace, **OPTIONS) as cache:
        cache.create("shared", max_messages=None)
        arguments = (server.url, namespace, str(folder))
        with workers(write_at_rate, NAMES, *arguments, SECONDS, 400.0, prepare, **OPTIONS):
            await_begin(folder, len(NAMES))
            with repeated(action, pause):
                time.sleep(SECONDS)
        events = read_journals(folder)
        assert len([event for event in events if event["what"] == "done"]) == len(NAMES)
        return find_violations(cache.session("shared").history(), events), events


def errors(events: list[dict[str, Any]]) -> list[str]:
    """Return the errors that workers met."""
    return [event["error"] for event in events if event["what"] == "error"]


@pytest.mark.parametrize("name", [name for name in ("valkey-9", "path") if name in binaries()])
def test_killed_server_with_a_file_keeps_acknowledged_messages(name: str, namespace: str, tmp_path: Path) -> None:
    """A server with an append-only file that is killed and restarted several times has every acknowledged message once."""
    server = Server(binaries()[name], "--appendonly", "yes", "--appendfsync", "always")

    def restart() -> None:
        server.kill()
        server.start()

    violations, events = write_under(server, namespace, tmp_path, restart, SECONDS / 4)
    server.stop()
    assert (violations, errors(events)) == ([], [])
    assert len(events) > 100


def test_killed_server_without_a_file_loses_the_session(namespace: str, tmp_path: Path) -> None:
    """The ablation shows that a killed server without a file restarts empty, and that the next write says so."""
    server = Server(binaries()["valkey-9"])
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        session = cache.create("shared")
        first = session.append({"role": "user", "content": "x"})
        server.kill()
        server.start()
        with pytest.raises(SessionsError, match="does not exist"):
            session.append({"role": "user", "content": "x"}, expected_rev=first.rev)
    server.stop()


def test_repeated_script_flush_costs_no_error(own_server: Server, namespace: str, tmp_path: Path) -> None:
    """Four writers meet no error while SCRIPT FLUSH runs every 2 ms."""
    violations, events = write_under(own_server, namespace, tmp_path, own_server.client.script_flush, 0.002)
    assert (violations, errors(events)) == ([], [])


def test_script_flush_without_reloading_raises(
    own_server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ablation shows that a flushed script is an error when the client does not load the script again."""
    monkeypatch.setattr(router, "NoScriptError", type("Nothing", (Exception,), {}))
    with SessionCache.from_url(own_server.url, namespace=namespace, retry_for=0.3) as cache:
        own_server.client.script_flush()
        with pytest.raises(StoreUnavailable, match="No matching script"):
            cache.create("a")


def kill_clients(server: Server) -> None:
    """Close all connections of clients."""
    server.client.client_kill_filter(_type="normal", skipme=True)


def test_repeated_client_kill_loses_and_duplicates_nothing(own_server: Server, namespace: str, tmp_path: Path) -> None:
    """Four writers lose and duplicate no message while CLIENT KILL closes their connections every 5 ms."""
    violations, events = write_under(own_server, namespace, tmp_path, lambda: kill_clients(own_server), 0.005)
    assert (violations, errors(events)) == ([], [])


def test_client_kill_without_operation_ids_stores_duplicates(
    own_server: Server, namespace: str, tmp_path: Path
) -> None:
    """The ablation shows that a retry stores a message again when the connection was closed before the reply."""
    for number in range(5):  # few connections are closed in the right moment on a busy machine
        folder = tmp_path / str(number)
        folder.mkdir()
        violations, _ = write_under(
            own_server, f"{namespace}-{number}", folder, lambda: kill_clients(own_server), 0.001, disable_idempotency
        )
        if violations:
            break
    assert violations


def test_full_server_under_load_refuses_and_recovers(own_server: Server, namespace: str, tmp_path: Path) -> None:
    """A server that is full again and again refuses appends with StoreFull, and the repeats are stored once."""

    def fill_and_empty() -> None:
        own_server.client.config_set("maxmemory", 1)
        time.sleep(0.1)
        own_server.client.config_set("maxmemory", 0)

    violations, events = write_under(own_server, namespace, tmp_path, fill_and_empty, 0.1)
    assert violations == []
    assert {error.split("(")[0] for error in errors(events)} == {"StoreFull"}


def test_eviction_policy_loses_acknowledged_sessions(own_server: Server, namespace: str, tmp_path: Path) -> None:
    """The ablation shows that a server that evicts keys loses sessions although their messages were acknowledged."""
    own_server.client.config_set("maxmemory-policy", "allkeys-lru")
    with SessionCache.from_url(own_server.url, namespace=namespace) as cache:
        sessions = [cache.create() for _ in range(200)]
        for session in sessions:
            session.append({"role": "user", "content": "x" * 2000})
        used = own_server.client.info("memory")["used_memory"]
        own_server.client.config_set("maxmemory", int(used * 0.9))
        for session in sessions:
            try:
                session.append({"role": "user", "content": "x" * 2000})
            except SessionsError:
                break
        else:
            pytest.fail("the server evicted no session")
        own_server.client.config_set("maxmemory", 0)
