"""Check the files of a blob store that one session of an import has: all that the session refers to, and no other."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable
from hashlib import sha256
from typing import IO, Any

from ...bounds import MAX_WIRE_BYTES
from ..protocol.blobs import BlobRef
from ..protocol.chain import MAX_OVERHEAD_BYTES
from .import_schema import Damaged
from .import_spool import read_parts, write_parts

MAX_FILES = 200_000
"""The most files of one session. Each takes about 400 bytes of memory. More files of 64 KiB fill more than an export may have."""
Places = dict[str, list[int]]
"""The places of the parts of each file in the spool."""


class BlobsCheck:
    """The files of a session as they are read: each in parts, one behind the other."""

    def __init__(self, id: str, spool: IO[bytes]) -> None:
        self._id = id
        self._spool = spool
        self._wanted: dict[str, BlobRef] = {}
        self._read: BlobRef | None = None
        """The file that is read now."""
        self._size = 0
        self._checksum = sha256()
        self.places: Places = {}

    def need(self, refs: Iterable[BlobRef]) -> None:
        """Note the files that values refer to."""
        for ref in refs:
            if ref.size > MAX_WIRE_BYTES + MAX_OVERHEAD_BYTES:
                raise Damaged(f"session {self._id!r} refers to a file of {ref.size} bytes")
            if self._wanted.setdefault(ref.file, ref) != ref:
                raise Damaged(f"session {self._id!r} refers to file {ref.file} in two ways")
            if len(self._wanted) > MAX_FILES:
                raise Damaged(f"session {self._id!r} refers to more than {MAX_FILES} files of a blob store")

    def add(self, name: Any, data: Any) -> None:
        """Take the next part of a file. Raises Damaged."""
        if not isinstance(name, str) or not isinstance(data, str):
            raise Damaged(f"has a file of session {self._id!r} without a name or data")
        if self._read is None:
            self._read = self._wanted.get(name)
            if self._read is None or name in self.places:
                raise Damaged(
                    f"has a file to which session {self._id!r} does not refer, or that it has twice: {name!r:.80}"
                )
            self._size, self._checksum = 0, sha256()
        self._require(self._read.file == name, "is cut")
        try:
            part = b64decode(data, validate=True)
        except ValueError:
            raise Damaged(f"file {name} of session {self._id!r} is not base64") from None
        self._size += len(part)
        self._checksum.update(part)
        self._require(part != b"" and self._size <= self._read.size, "has another size than its session says")
        self.places.setdefault(name, []).append(self._spool.tell())
        write_parts(self._spool, [part])
        if self._size == self._read.size:
            self._require(self._checksum.hexdigest() == self._read.sha256, "has other bytes than its session says")
            self._read = None

    def finish(self) -> None:
        """Refuse a session whose files are not all there. Raises Damaged."""
        self._require(self._read is None, "is cut")
        missing = self._wanted.keys() - self.places.keys()
        if missing:
            raise Damaged(f"session {self._id!r} refers to file {min(missing)}, which the export does not have")

    def _require(self, holds: bool, otherwise: str) -> None:
        if not holds:
            file = "" if self._read is None else self._read.file
            raise Damaged(f"file {file} of session {self._id!r} {otherwise}")


def read_blob(spool: IO[bytes], places: Iterable[int]) -> bytes:
    """Return the bytes of a file. The place from which the spool is read next stays."""
    at, parts = spool.tell(), []
    for place in places:
        spool.seek(place)
        parts += read_parts(spool)
    spool.seek(at)
    return b"".join(parts)
