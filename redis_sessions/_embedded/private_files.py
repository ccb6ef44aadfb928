"""Folders, files and sockets that no other user of this machine can read, replace or serve."""

from __future__ import annotations

import os
import socket
import stat
import struct
from pathlib import Path
from typing import IO, NoReturn

from ..errors import InvalidInput


def make_private(folder: Path) -> None:
    """Make a folder with mode 0700, or check one that exists. Raises InvalidInput for a link and for a folder of others.

    Raises OSError if the folder cannot be made.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if stat.S_ISLNK(found.st_mode):
        _refuse(folder, "is a symbolic link: name the folder itself")
    if found.st_uid != os.geteuid():
        _refuse(folder, f"belongs to the user with the ID {found.st_uid}: name a folder of your own")
    if found.st_mode & 0o077:
        _refuse(folder, f"can be entered by other users (mode {found.st_mode & 0o777:04o}): chmod 700 {folder}")


def open_own(path: Path) -> IO[str]:
    """Open a file for appending. Make it with mode 0600. Raises OSError for a link, InvalidInput for a file of others."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.fdopen(os.open(path, flags, 0o600), "a")
    if os.fstat(file.fileno()).st_uid != os.geteuid():
        file.close()
        _refuse(path, "belongs to another user: name a folder of your own")
    return file


def check_peer(connected: socket.socket, path: str) -> None:
    """Raise InvalidInput if a process of another user serves a socket. Checked where the system tells the peer (Linux)."""
    if not hasattr(socket, "SO_PEERCRED"):
        return
    size = struct.calcsize("3i")
    _, uid, _ = struct.unpack("3i", connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    if uid != os.geteuid():
        _refuse(Path(path), f"is served by the user with the ID {uid}: end that process")


def _refuse(path: Path, why: str) -> NoReturn:
    raise InvalidInput(name="url", detail=f"cannot use embedded:// there, because {path} {why}")
