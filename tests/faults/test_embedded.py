"""The embedded server: processes share the server by its path, the server ends with its last user, and the data stays."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from redis_sessions import AsyncSessionCache, InvalidInput, SessionCache, StoreUnavailable
from redis_sessions._embedded import private_files, server
from redis_sessions._embedded.server import EmbeddedServer

X = {"role": "user", "content": "x"}


def servers_of(folder: Path) -> list[int]:
    """Return the process IDs of the server and the supervisor of a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if os.fsencode(folder) in command and (b"valkey-server" in command or b"supervisor" in command):
                found.append(int(entry.name))
    return found


def wait_until_gone(folder: Path) -> None:
    """Return when no server of a folder runs."""
    due = time.monotonic() + 30
    while servers_of(folder):
        assert time.monotonic() < due, f"processes still run: {servers_of(folder)}"
        time.sleep(0.02)


def _use(folder: Path, pipe: Any) -> None:
    """Append a message, send its seq, and use the server until the pipe has an answer."""
    with SessionCache.from_url(f"embedded://{folder}") as cache:
        pipe.send(cache.get_or_create("shared").append(X).last_seq)
        pipe.recv()


def start(folder: Path) -> tuple[Any, Any]:
    """Start a process that uses a folder. Return the process and the pipe to the process."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=_use, args=(folder, theirs))
    process.start()
    return process, mine


def test_processes_with_one_path_share_a_server(tmp_path: Path) -> None:
    """Three processes share one server, the server ends with the last process, and the next server has the data."""
    users = [start(tmp_path) for _ in range(3)]
    assert sorted(pipe.recv() for _, pipe in users) == [1, 2, 3]
    assert len(servers_of(tmp_path)) == 2
    for process, pipe in users:
        pipe.send("done")
        process.join()
    wait_until_gone(tmp_path)
    with SessionCache.from_url(f"embedded://{tmp_path}") as cache:
        assert len(cache.open("shared").history()) == 3
    wait_until_gone(tmp_path)


def test_server_of_a_killed_process_ends(tmp_path: Path) -> None:
    """The server ends after SIGKILL of its last user, because the kernel releases the lock."""
    process, pipe = start(tmp_path)
    pipe.recv()
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    wait_until_gone(tmp_path)


def test_killed_server_is_started_again(tmp_path: Path) -> None:
    """The next call starts a new server with the data after the server and its supervisor were killed."""
    with SessionCache.from_url(f"embedded://{tmp_path}", retry_for=20) as cache:
        session = cache.create("a")
        session.append(X)
        for pid in servers_of(tmp_path):
            os.kill(pid, signal.SIGKILL)
        assert session.append(X).last_seq == 2
    wait_until_gone(tmp_path)


def test_cache_opened_while_the_server_ends_is_served(tmp_path: Path) -> None:
    """A cache that is opened right after the last one closed never uses a server that ends."""
    for number in range(8):
        with SessionCache.from_url(f"embedded://{tmp_path}") as cache:
            assert cache.get_or_create("a").append(X).last_seq == number + 1
    wait_until_gone(tmp_path)


def test_private_server_is_removed_with_its_folder() -> None:
    """A server without a path belongs to one cache, and the server's folder is removed with the server."""
    with SessionCache.from_url("embedded://") as cache, SessionCache.from_url("embedded://") as other:
        cache.create("a")
        assert other.get("a") is None
        folder = Path(cache.engine.options["path"]).parent
        assert folder.exists()
    wait_until_gone(folder)
    due = time.monotonic() + 30
    while folder.exists():
        assert time.monotonic() < due, f"{folder} still exists"
        time.sleep(0.02)


def test_path_longer_than_a_socket_name_works(tmp_path: Path) -> None:
    """A path may be longer than the name of a Unix socket."""
    folder = tmp_path / ("x" * 120) / "deep"
    with SessionCache.from_url(f"embedded://{folder}") as cache:
        cache.create("a").append(X)
    wait_until_gone(folder)


@pytest.mark.parametrize("folder", ["/proc/nowhere", "/dev/null/x"])
def test_impossible_path_is_refused(folder: str) -> None:
    """A path that cannot be a folder is refused with an error that names the path."""
    with (
        SessionCache.from_url(f"embedded://{folder}") as cache,
        pytest.raises((InvalidInput, StoreUnavailable), match=folder),
    ):
        cache.create()


def test_server_of_an_unclosed_cache_ends(tmp_path: Path) -> None:
    """The server ends with a process that never closed its cache."""
    code = f"from redis_sessions import SessionCache; SessionCache.from_url('embedded://{tmp_path}').create('a')"
    subprocess.run([sys.executable, "-c", code], check=True)
    wait_until_gone(tmp_path)


def test_start_of_the_server_does_not_stop_the_event_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tasks go on while a server starts, however long that takes."""
    start_server = EmbeddedServer._start

    def start_late(starting: EmbeddedServer) -> None:
        time.sleep(1)
        start_server(starting)

    monkeypatch.setattr(EmbeddedServer, "_start", start_late)

    async def count_turns() -> int:
        async with AsyncSessionCache.from_url(f"embedded://{tmp_path}", retry_for=30) as cache:
            creation, turns = asyncio.ensure_future(cache.create("a")), 0
            while not creation.done():
                await asyncio.sleep(0.01)
                turns += 1
            await creation
        return turns

    assert asyncio.run(count_turns()) > 10
    wait_until_gone(tmp_path)


def test_cache_that_closes_while_its_server_starts_leaves_no_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server ends that came up after the only cache was closed, although the cache object lives on."""
    is_starting = threading.Event()

    def make_late(folder: Path) -> None:
        is_starting.set()
        time.sleep(0.5)
        private_files.make_private(folder)

    monkeypatch.setattr(server, "make_private", make_late)
    cache = AsyncSessionCache.from_url(f"embedded://{tmp_path}")

    async def close_early() -> None:
        creation = asyncio.ensure_future(cache.create("a"))
        while not is_starting.is_set():
            await asyncio.sleep(0.01)
        await cache.close()
        await asyncio.gather(creation, return_exceptions=True)

    asyncio.run(close_early())
    wait_until_gone(tmp_path)
    assert cache.where
