"""Folders, links and sockets that another user of the machine prepared for an embedded server."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from redis_sessions import InvalidInput, SessionCache
from redis_sessions._embedded import private_files
from redis_sessions._embedded.server import EmbeddedServer

STRANGER = 4321
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another user")


@contextmanager
def squatting(path: str) -> Iterator[list[bytes]]:
    """Serve a socket as a Redis server would. Yield what it receives."""
    heard: list[bytes] = []
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection, suppress(OSError):  # the client may have closed it
                heard.append(connection.recv(1000))
                connection.sendall(b"+PONG\r\n")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield heard
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(5)


def refusal(folder: Path) -> str:
    """Return why an embedded server of a folder is refused."""
    with pytest.raises(InvalidInput) as caught, SessionCache.from_url(f"embedded://{folder}") as cache:
        cache.create("secret")
    return str(caught.value)


def test_folder_of_an_embedded_server_is_private(tmp_path: Path) -> None:
    """The folder has mode 0700, and the files in it can be read by their user only, whatever the umask is."""
    folder = tmp_path / "data"
    before = os.umask(0)
    try:
        with SessionCache.from_url(f"embedded://{folder}") as cache:
            cache.create("a")
            modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in [folder, *folder.rglob("*")]}
    finally:
        os.umask(before)
    assert modes[folder] == 0o700
    assert {path.name for path in modes} > {"server.sock", "users.lock", "start.lock", "server.log"}
    assert {path: mode for path, mode in modes.items() if mode & 0o077} == {}


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
def test_folder_that_others_can_enter_is_refused(tmp_path: Path, mode: int) -> None:
    """A folder that other users can enter is refused, and nothing is written into it."""
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(mode)
    assert f"mode {mode:04o}" in refusal(folder)
    assert "chmod 700" in refusal(folder)
    assert list(folder.iterdir()) == []


def test_link_to_a_folder_is_refused(tmp_path: Path) -> None:
    """A folder that is a symbolic link is refused, because its target can change."""
    target = tmp_path / "target"
    target.mkdir(mode=0o700)
    link = tmp_path / "link"
    link.symlink_to(target)
    assert "symbolic link" in refusal(link)
    assert list(target.iterdir()) == []


def test_link_in_the_place_of_a_lock_is_refused(tmp_path: Path) -> None:
    """A lock file that is a symbolic link is refused, and the file that the link names stays as it was."""
    folder, victim = tmp_path / "data", tmp_path / "victim"
    folder.mkdir(mode=0o700)
    (folder / "start.lock").symlink_to(victim)
    assert "cannot use the folder" in refusal(folder)
    assert not victim.exists()


@needs_root
def test_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    """A folder of another user is refused, also for root, whom no mode stops."""
    folder = tmp_path / "foreign"
    folder.mkdir(mode=0o700)
    os.chown(folder, STRANGER, STRANGER)
    assert f"user with the ID {STRANGER}" in refusal(folder)


def test_server_of_another_user_is_sent_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that a process of another user serves is refused before anything is sent to it."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    own = os.geteuid()
    with squatting(str(folder / "server.sock")) as heard:
        monkeypatch.setattr(private_files, "make_private", lambda folder: None)
        monkeypatch.setattr("redis_sessions._embedded.server.make_private", lambda folder: None)
        monkeypatch.setattr("redis_sessions._embedded.server.open_own", lambda path: path.open("a"))
        monkeypatch.setattr(os, "geteuid", lambda: own + 1)
        assert f"served by the user with the ID {own}" in refusal(folder)
    assert b"".join(heard) == b""


def test_socket_of_a_long_path_lies_in_a_private_folder(tmp_path: Path) -> None:
    """When a path is too long for a socket, the socket lies in a folder of its own with mode 0700."""
    folder = tmp_path / ("x" * 120)
    server = EmbeddedServer(str(folder))
    place = Path(server.socket).parent
    assert place.parent == Path(tempfile.gettempdir())
    with SessionCache.from_url(f"embedded://{folder}") as cache:
        cache.create("a")
        assert stat.S_IMODE(place.lstat().st_mode) == 0o700
    server.wait_until_gone()
    shutil.rmtree(place)
    place.mkdir()
    place.chmod(0o777)  # prepared by others, who can compute the name
    assert "mode 0777" in refusal(folder)
    place.rmdir()
