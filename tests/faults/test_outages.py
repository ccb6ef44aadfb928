"""Servers that die, forget their scripts, cut connections or run full under load: nothing acknowledged is lost or doubled."""

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
from redis_sessions._sync import nodes
from tests.history import events, forget_batch_ids, problems, workers, write_plainly
from tests.servers import Server, binaries

SECONDS = 60.0 if os.environ.get("REDIS_SESSIONS_SOAK") else 2.5
NAMES = ["a", "b", "c", "d"]
OPTIONS: dict[str, Any] = {"retry_for": 30, "timeout": 2}


@contextmanager
def again_and_again(action: Callable[[], Any], pause: float) -> Iterator[None]:
    """Does something in the background, over and over."""
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


def under(
    server: Server, namespace: str, folder: Path, action: Callable[[], Any], pause: float,
    prepare: Callable[[], None] | None = None,
) -> tuple[list[str], list[dict[str, Any]]]:  # fmt: skip
    """What is wrong after four processes wrote while something went on; and what they noted."""
    with SessionCache.from_url(server.url, namespace=namespace, **OPTIONS) as cache:
        cache.create("shared", max_messages=None)
        arguments = (server.url, namespace, str(folder))
        with (
            workers(write_plainly, NAMES, *arguments, SECONDS, 400.0, prepare, **OPTIONS),
            again_and_again(action, pause),
        ):
            time.sleep(SECONDS)
        noted = events(folder)
        assert len([event for event in noted if event["what"] == "done"]) == len(NAMES)
        return problems(cache.session("shared").history(), noted), noted


def errors(noted: list[dict[str, Any]]) -> list[str]:
    return [event["error"] for event in noted if event["what"] == "error"]


@pytest.mark.parametrize("name", [name for name in ("valkey-9", "path") if name in binaries()])
def test_a_killed_server_comes_back_with_all_it_acknowledged(name: str, namespace: str, tmp_path: Path) -> None:
    """kill -9 and restart with an append-only file, several times."""
    server = Server(binaries()[name], "--appendonly", "yes", "--appendfsync", "always")

    def restart() -> None:
        server.kill()
        server.start()

    found, noted = under(server, namespace, tmp_path, restart, SECONDS / 4)
    server.stop()
    assert (found, errors(noted)) == ([], [])
    assert len(noted) > 100


def test_without_the_file_it_comes_back_empty(namespace: str, tmp_path: Path) -> None:
    """The ablation: the same run ends with nothing, and says so."""
    server = Server(binaries()["valkey-9"])
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        session = cache.create("shared")
        first = session.append({"role": "user", "content": "x"})
        server.kill()
        server.start()
        with pytest.raises(SessionsError, match="does not exist"):
            session.append({"role": "user", "content": "x"}, expected_rev=first.rev)
    server.stop()


def test_scripts_that_are_flushed_all_the_time_cost_no_error(
    own_server: Server, namespace: str, tmp_path: Path
) -> None:
    """SCRIPT FLUSH in a loop."""
    found, noted = under(own_server, namespace, tmp_path, own_server.client.script_flush, 0.002)
    assert (found, errors(noted)) == ([], [])


def test_without_loading_them_again_they_do(
    own_server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ablation."""
    monkeypatch.setattr(nodes, "NoScriptError", type("Nothing", (Exception,), {}))
    with SessionCache.from_url(own_server.url, namespace=namespace, retry_for=0.3) as cache:
        own_server.client.script_flush()
        with pytest.raises(StoreUnavailable, match="No matching script"):
            cache.create("a")


def kill_clients(server: Server) -> None:
    server.client.client_kill_filter(_type="normal", skipme=True)


def test_connections_that_are_killed_all_the_time_double_nothing(
    own_server: Server, namespace: str, tmp_path: Path
) -> None:
    """CLIENT KILL in a loop: replies are lost, appends are not."""
    found, noted = under(own_server, namespace, tmp_path, lambda: kill_clients(own_server), 0.005)
    assert (found, errors(noted)) == ([], [])


def test_without_batch_ids_they_do(own_server: Server, namespace: str, tmp_path: Path) -> None:
    """The ablation: what was done before the connection went is done again."""
    found, _ = under(own_server, namespace, tmp_path, lambda: kill_clients(own_server), 0.001, forget_batch_ids)
    assert found


def test_a_full_server_under_load_refuses_and_goes_on(own_server: Server, namespace: str, tmp_path: Path) -> None:
    """maxmemory reached and relieved, over and over: refused with StoreFull, then written once."""

    def fill_and_relieve() -> None:
        own_server.client.config_set("maxmemory", 1)
        time.sleep(0.1)
        own_server.client.config_set("maxmemory", 0)

    found, noted = under(own_server, namespace, tmp_path, fill_and_relieve, 0.1)
    assert found == []
    assert {error.split("(")[0] for error in errors(noted)} == {"StoreFull"}


def test_with_another_eviction_policy_sessions_are_lost(own_server: Server, namespace: str, tmp_path: Path) -> None:
    """The ablation: what is evicted is gone, though it was acknowledged."""
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
            pytest.fail("nothing was evicted")
        own_server.client.config_set("maxmemory", 0)
