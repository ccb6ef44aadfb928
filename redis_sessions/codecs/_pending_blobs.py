"""Values that were encoded, and whose files are not stored yet."""

from __future__ import annotations

import time
from collections.abc import Iterable
from threading import Lock
from typing import Any

from .._core.protocol.blobs import BlobRef, files_in, ref_of

MAX_PENDING_SECONDS = 300.0
"""The longest time from encoding a value to sending it. A value that was never sent, as its call was refused, is dropped then."""
_MAX_DROPPED = 10_000


class PendingBlobs:
    """The bytes of values that were encoded, and whose files are not stored yet. Threads share it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: dict[str, tuple[float, bytes]] = {}
        self._dropped: dict[str, None] = {}
        self.size = 0
        """The bytes of all values that wait."""

    def add(self, ref: BlobRef, data: bytes) -> None:
        """Keep the bytes of a new file until they are stored."""
        now = time.monotonic()
        with self._lock:
            self._waiting[ref.file] = now, data
            self.size += len(data)
            while self._waiting:
                file, (at, _) = next(iter(self._waiting.items()))
                if now - at <= MAX_PENDING_SECONDS:
                    break
                self._drop(file)

    def named_in(self, parts: Iterable[Any]) -> dict[str, bytes | None]:
        """Return the files that the parts of commands name and that are not stored: their bytes, or None for dropped ones."""
        if not self._waiting and not self._dropped:
            return {}
        found: dict[str, bytes | None] = {}
        for file in files_in(part for part in parts if isinstance(part, bytes | str)):
            waiting = self._waiting.get(file)
            if waiting is not None:
                found[file] = waiting[1]
            elif file in self._dropped:
                found[file] = None
        return found

    def stored(self, file: str) -> None:
        """Forget the bytes of a file that is stored."""
        with self._lock:
            _, data = self._waiting.pop(file, (0.0, b""))
            self.size -= len(data)

    def drop(self, files: Iterable[str]) -> None:
        """Forget the bytes of files that will not be stored. A command that names one of them is refused."""
        with self._lock:
            for file in files:
                self._drop(file)

    def discard(self, value: bytes) -> None:
        """Drop the bytes of an encoded value that is not used."""
        ref = ref_of(value)
        if ref is not None:
            self.drop([ref.file])

    def _drop(self, file: str) -> None:
        at_data = self._waiting.pop(file, None)
        if at_data is None:
            return
        self.size -= len(at_data[1])
        self._dropped[file] = None
        if len(self._dropped) > _MAX_DROPPED:
            self._dropped.pop(next(iter(self._dropped)))
