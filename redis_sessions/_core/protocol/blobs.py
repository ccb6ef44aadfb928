"""Files of a blob store, which hold large values in place of the server. Nothing here talks to the store.

A reference is '<folder>/<name> <size> <SHA-256>'. The folder follows from the session, category or thread that the value was
encoded for. The name begins with the time at which it was made, so a sweep knows how old the file is. Each value gets a name of
its own, so no two values share a file, except that a fork refers to the files of its origin.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextvars import ContextVar
from hashlib import sha256
from typing import Any, NamedTuple, Protocol, Self

_TIME_DIGITS = 12
_RANDOM_BYTES = 16
FOLDER_DIGITS = 32
_NAME_DIGITS = _TIME_DIGITS + 2 * _RANDOM_BYTES
FILE = re.compile(rb"(?<![0-9a-f])[0-9a-f]{%d}/[0-9a-f]{%d}(?![0-9a-f])" % (FOLDER_DIGITS, _NAME_DIGITS))
_NAME = re.compile(f"[0-9a-f]{{{_NAME_DIGITS}}}")
_REFERENCE = re.compile(rb"([0-9a-f]{%d})/([0-9a-f]{%d}) (\d{1,9}) ([0-9a-f]{64})" % (FOLDER_DIGITS, _NAME_DIGITS))
_STORED = re.compile(rb"\x01[a-z]{0,7}o =?\d{1,16} %b" % _REFERENCE.pattern)


class BlobRef(NamedTuple):
    """A reference to a file, with what its bytes must be."""

    folder: str
    name: str
    size: int
    sha256: str

    @classmethod
    def of(cls, folder: str, data: bytes) -> Self:
        """Return a reference to a new file for some bytes."""
        name = f"{now_ms():0{_TIME_DIGITS}x}{secrets.token_hex(_RANDOM_BYTES)}"
        return cls(folder, name, len(data), sha256(data).hexdigest())

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Return the reference that a value holds. Raises ValueError."""
        found = _REFERENCE.fullmatch(data)
        if found is None:
            raise ValueError("it refers to no file of a blob store")
        return cls._made(found)

    @classmethod
    def _made(cls, found: re.Match[bytes]) -> Self:
        folder, name, size, digest = (word.decode() for word in found.groups())
        return cls(folder, name, int(size), digest)

    @property
    def file(self) -> str:
        """The folder and the name, by which the store finds the file."""
        return f"{self.folder}/{self.name}"

    def problem(self, data: bytes | None) -> str | None:
        """Return what is wrong with the bytes of the file, None if they are the right ones."""
        if data is None:
            return "is missing"
        if len(data) != self.size:
            return f"has {len(data)} bytes, expected {self.size}"
        return None if sha256(data).hexdigest() == self.sha256 else "has other bytes than were stored"

    def __bytes__(self) -> bytes:
        return f"{self.file} {self.size} {self.sha256}".encode()


class BlobsNeeded(Exception):
    """A value is in a file that was not read yet. The executor reads the file, and decodes again."""

    def __init__(self, ref: BlobRef) -> None:
        super().__init__(ref.file)
        self.ref = ref


class BlobFailure(Exception):
    """A store did not return a file in time."""

    def __init__(self, waited: float, detail: str) -> None:
        super().__init__(detail)
        self.waited = waited


Fetched = bytes | Exception | None
"""The bytes of a file, None for a missing file, ValueError for a file with other bytes, or the error of the store."""
FETCHED: ContextVar[Mapping[str, Fetched]] = ContextVar("fetched_blobs")
"""The files that were read for the replies that are being decoded."""


class Pending(Protocol):
    """The bytes of values that were encoded, and whose files are not stored yet."""

    @property
    def size(self) -> int:
        """The bytes of all values that wait."""

    def named_in(self, parts: Iterable[Any]) -> dict[str, bytes | None]:
        """Return the files that the parts of commands name and that are not stored: their bytes, or None for dropped ones."""

    def stored(self, file: str) -> None:
        """Forget the bytes of a file that is stored."""

    def drop(self, files: Iterable[str]) -> None:
        """Forget the bytes of files that will not be stored. A command that names one of them is refused."""

    def discard(self, value: bytes) -> None:
        """Drop the bytes of an encoded value that is not used."""


class BlobStep(Protocol):
    """The codec of a chain that stores large values in files, as far as others know it. Its methods wait for the store."""

    where: str
    """The store, for errors, without secrets."""
    timeout: float
    """The seconds that one attempt may take."""
    pending: Pending

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Run a function in a thread."""

    def adopt(self, data: bytes, session_id: str) -> bytes:
        """Return a new reference for bytes of a session that another store held."""

    def upload(self, file: str, data: bytes) -> None:
        """Store a file. It is whole when the call returns."""

    def fetch(self, refs: Iterable[BlobRef]) -> dict[str, Fetched]:
        """Return the bytes of files."""

    def shards(self) -> list[str]:
        """Return the shards of the namespace that have files."""

    def files_of(self, shard: str) -> list[str]:
        """Return the files of a shard."""

    def files_of_owners(self, sessions: Iterable[str], categories: Iterable[str]) -> list[str]:
        """Return the files that were stored for sessions and for categories of documents."""

    def remove(self, files: Iterable[str]) -> int:
        """Remove files. Return how many there were."""

    def mark_copied(self, sessions: Iterable[str]) -> None:
        """Note that a copy may refer to the files of sessions from now on."""

    def copied_folders(self, since_ms: int) -> set[str]:
        """Return the folders whose files were copied since a time. Older notes are removed."""


def now_ms() -> int:
    """Return the time of this machine in ms."""
    return time.time_ns() // 1_000_000


def ref_of(value: bytes) -> BlobRef | None:
    """Return the reference that a stored value holds, None for a value that is on the server."""
    found = _STORED.fullmatch(value)
    return None if found is None else BlobRef._made(found)


def with_ref(value: bytes, reference: bytes) -> bytes:
    """Return a stored value that refers to another file."""
    found = _STORED.fullmatch(value)
    assert found is not None
    return value[: found.start(1)] + reference


def refs_in(reply: Any) -> Iterator[BlobRef]:
    """Yield the references in a reply of a server, wherever they stand in it."""
    for part in _flat(reply):
        if b"\1" in part:
            yield from map(BlobRef._made, _STORED.finditer(part))


def files_in(reply: Any) -> Iterator[str]:
    """Yield everything in a reply of a server that may name a file."""
    for part in _flat(reply):
        if b"/" in part:
            yield from (found[0].decode() for found in FILE.finditer(part))


def made_at_ms(file: str) -> int | None:
    """Return the time at which the reference to a file was made, None for a file that the package does not name so."""
    folder, _, name = file.partition("/")
    if len(folder) != FOLDER_DIGITS or _NAME.fullmatch(name) is None:
        return None
    return int(name[:_TIME_DIGITS], 16)


def another_name(name: str) -> str:
    """Return the name of another file of the same time."""
    return name[:_TIME_DIGITS] + secrets.token_hex(_RANDOM_BYTES)


def _flat(reply: Any) -> Iterator[bytes]:
    """Yield the bytes of a reply, of all levels."""
    waiting = [reply]
    while waiting:
        part = waiting.pop()
        if isinstance(part, bytes):
            yield part
        elif isinstance(part, str):
            yield part.encode("utf-8", "surrogatepass")
        elif isinstance(part, Mapping):
            waiting += [*part.keys(), *part.values()]
        elif isinstance(part, Iterable):
            waiting += part
