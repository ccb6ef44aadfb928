"""The embedded server: shared by path, gone with its last user however that one died, data kept."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from redis_sessions import InvalidInput, SessionCache, StoreUnavailable

X = {"role": "user", "content": "x"}


def servers_of(folder: Path) -> list[int]:
    """The processes that mention a folder on their command line: server and supervisor."""
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
    due = time.monotonic() + 10
    while servers_of(folder):
        assert time.monotonic() < due, f"left behind: {servers_of(folder)}"
        time.sleep(0.02)


def _use(folder: Path, pipe: Any) -> None:
    with SessionCache.from_url(f"embedded://{folder}") as cache:
        pipe.send(cache.get_or_create("shared").append(X).last_seq)
        pipe.recv()


def start(folder: Path) -> tuple[Any, Any]:
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=_use, args=(folder, theirs))
    process.start()
    return process, mine


def test_processes_that_name_a_path_share_a_server_and_its_data_stays(tmp_path: Path) -> None:
    """Three at once, one server; the last leaves none behind; the next finds the data."""
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


def test_no_server_is_left_when_its_last_user_is_killed(tmp_path: Path) -> None:
    """kill -9: the kernel lets go of the lock."""
    process, pipe = start(tmp_path)
    pipe.recv()
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    wait_until_gone(tmp_path)


def test_a_killed_server_is_started_again(tmp_path: Path) -> None:
    """Also when its supervisor dies: the next call finds a new one, with the data."""
    with SessionCache.from_url(f"embedded://{tmp_path}", retry_for=20) as cache:
        session = cache.create("a")
        session.append(X)
        for pid in servers_of(tmp_path):
            os.kill(pid, signal.SIGKILL)
        assert session.append(X).last_seq == 2
    wait_until_gone(tmp_path)


def test_users_that_come_while_it_ends_are_served(tmp_path: Path) -> None:
    """Opening and closing in quick turns never meets a dying server."""
    for number in range(8):
        with SessionCache.from_url(f"embedded://{tmp_path}") as cache:
            assert cache.get_or_create("a").append(X).last_seq == number + 1
    wait_until_gone(tmp_path)


def test_a_private_server_leaves_nothing() -> None:
    """Without a path: alone, and its folder goes with it."""
    with SessionCache.from_url("embedded://") as one, SessionCache.from_url("embedded://") as other:
        one.create("a")
        assert other.get("a") is None
        folder = Path(one.engine.options["path"]).parent
        assert folder.exists()
    wait_until_gone(folder)
    due = time.monotonic() + 10
    while folder.exists():
        assert time.monotonic() < due
        time.sleep(0.02)


def test_a_long_path_works(tmp_path: Path) -> None:
    """Longer than a socket's name may be."""
    folder = tmp_path / ("x" * 120) / "deep"
    with SessionCache.from_url(f"embedded://{folder}") as cache:
        cache.create("a").append(X)
    wait_until_gone(folder)


@pytest.mark.parametrize("folder", ["/proc/nowhere", "/dev/null/x"])
def test_a_path_that_cannot_be_is_refused(folder: str) -> None:
    """With the reason."""
    with (
        SessionCache.from_url(f"embedded://{folder}") as cache,
        pytest.raises((InvalidInput, StoreUnavailable), match=folder),
    ):
        cache.create()


def test_a_script_that_forgets_to_close_leaves_no_server(tmp_path: Path) -> None:
    """As examples and notebooks do."""
    code = f"from redis_sessions import SessionCache; SessionCache.from_url('embedded://{tmp_path}').create('a')"
    subprocess.run([sys.executable, "-c", code], check=True)
    wait_until_gone(tmp_path)
