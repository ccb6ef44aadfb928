"""A blob store in memory that fails, waits and counts as a test says."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from fsspec.implementations.memory import MemoryFileSystem

from redis_sessions._core.protocol.blobs import now_ms
from redis_sessions.codecs import Offload

ABOVE = 1024
OLD_MS = 2 * 24 * 3600 * 1000


class Store(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A store of its own. `on_write` and `on_read` are called first, with the path, and may raise."""

    cachable = False
    protocol = "testing"

    def __init__(self) -> None:
        super().__init__()
        self.store: dict[str, Any] = {}
        self.pseudo_dirs = [""]
        self.on_write: Callable[[str], object] = lambda path: None
        self.on_read: Callable[[str], object] = lambda path: None
        self.writes: list[str] = []
        self.reads: list[str] = []
        self.threads: set[int] = set()

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> None:
        """Write a file."""
        self.threads.add(threading.get_ident())
        self.writes.append(path)
        self.on_write(path)
        super().pipe_file(path, value, mode, **options)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        """Read a file."""
        self.threads.add(threading.get_ident())
        self.reads.append(path)
        self.on_read(path)
        return bytes(super().cat_file(path, start, end, **options))

    def files(self) -> list[str]:
        """Return the paths of all files of values."""
        return sorted(path for path in self.find("/blobs") if "/copies/" not in path)

    def contents(self) -> list[bytes]:
        """Return the bytes of all files of values."""
        return [bytes(self.store[path].getbuffer()) for path in self.files()]


def offload(store: Any, **options: Any) -> Offload:
    """Return an Offload that puts everything above 1 KiB into a store, and retries quickly."""
    folder = {} if isinstance(store, str) else {"folder": "/blobs"}
    return Offload(store, **{"above": ABOVE, "timeout": 20.0, **folder, **options})


def large(words: str = "zanzibar", size: int = 3000) -> str:
    """Return a text that no codec makes small."""
    return f"{words} {secrets.token_hex(size // 2)}"


def broken(problem: Exception, times: int = 10**6) -> Callable[[str], None]:
    """Return what raises an error, some times."""
    left = [times]

    def fail(path: str) -> None:
        if left[0]:
            left[0] -= 1
            raise problem

    return fail


@contextmanager
def named_at(ago_ms: int = OLD_MS) -> Iterator[None]:
    """Give the files of values that are encoded in the block names as if they were older."""

    def then() -> int:
        return now_ms() - ago_ms

    with mock.patch("redis_sessions._core.protocol.blobs.now_ms", then):
        yield


def modes_below(folder: Any) -> set[tuple[str, int]]:
    """Return the kinds and the rights of all files and folders below a folder."""
    found = set()
    for path, folders, files in os.walk(folder):
        found |= {("folder", os.stat(os.path.join(path, name)).st_mode & 0o777) for name in folders}  # noqa: PTH116, PTH118
        found |= {("file", os.stat(os.path.join(path, name)).st_mode & 0o777) for name in files}  # noqa: PTH116, PTH118
    return found
