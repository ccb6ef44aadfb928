"""Offload of large values to a blob store: a folder, or a bucket of S3, by a filesystem of fsspec."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .._core.protocol.blobs import (
    FETCHED,
    BlobFailure,
    BlobRef,
    BlobsNeeded,
    Fetched,
    another_name,
    made_at_ms,
)
from .._core.protocol.chain import Binding
from .._durations import Duration, milliseconds, whole
from .._extras import import_extra
from .._fork import run_in_child
from ..bounds import MAX_WIRE_BYTES
from ..errors import BlobStoreUnavailable, InvalidInput
from ._blob_threads import BlobThreads
from ._pending_blobs import PendingBlobs

MIN_ABOVE = 1024
_COPIES = "copies"
_SHARD_DIGITS = 2
_OF_THREAD = {"metadata", "state", "blob", "write"}
"""The words with which the places of a thread's checkpoints begin."""
_OF_SESSION = ("state.", "var.", "part:")
"""The beginnings of the places of a session's large values, other than messages."""


class Offload:
    """Store large values as files of a blob store. The server keeps a reference with the size and the SHA-256 of the file.

    It must be the last codec of a cache, so the store gets ciphertext if the cache encrypts. It takes messages, values of the
    state, variables, documents, and checkpoints. All other values stay on the server.
    """

    letter = "o"

    def __init__(
        self, store: Any, *, folder: str = "", above: int = 64 * 1024, timeout: Duration = 30.0, threads: int = 16,
        **options: Any,
    ) -> None:  # fmt: skip
        """Take the store. Nothing is sent.

        Args:
            store: a URL of fsspec, such as `s3://bucket/sessions` or `file:///var/lib/blobs`, or a filesystem of fsspec.
            folder: the folder in a filesystem. A URL has it already.
            above: values with more bytes go to the store, 1 KiB to 64 MiB, after compression and encryption.
            timeout: how long one attempt to write or read may take, 0.1 s or more.
            threads: how many threads wait for the store, 1 to 256.
            **options: options of the filesystem that the URL names, such as `endpoint_url`.

        Raises:
            InvalidInput: an argument is not valid.
            ModuleNotFoundError: the extra `offload` is not installed, or the package that the URL's protocol needs.
        """
        core = import_extra("fsspec.core", "Offload", "offload")
        spec = import_extra("fsspec.spec", "Offload", "offload")
        self.above = whole(above, "above", minimum=MIN_ABOVE, maximum=MAX_WIRE_BYTES)
        self.timeout = milliseconds(timeout, "timeout", minimum=100) / 1000
        whole(threads, "threads", minimum=1, maximum=256)
        self._given = store, folder, above, timeout, threads, options
        if isinstance(store, str) and "://" in store and not folder:
            try:
                self.filesystem, root = core.url_to_fs(store, **options)
            except ImportError as problem:
                protocol = store.partition("://")[0]
                text = f"Offload needs a package for {protocol}:// of fsspec, which is not installed: {problem}"
                raise ModuleNotFoundError(text) from None
            except (ValueError, TypeError) as problem:
                raise InvalidInput(name="store", detail=f"must be a URL of fsspec: {_first_line(problem)}") from None
        elif isinstance(store, spec.AbstractFileSystem) and isinstance(folder, str) and not options:
            self.filesystem, root = store, store._strip_protocol(folder)
        else:
            detail = f"must be a URL of fsspec that names the folder, or a filesystem with `folder`, got {type(store).__name__}"
            raise InvalidInput(name="store", detail=detail)
        self.root = root.rstrip("/")
        protocol = self.filesystem.protocol
        self.where = (
            f"{protocol if isinstance(protocol, str) else protocol[0]}://{self.root.rpartition('@')[2].lstrip('/')}"
        )
        """The store, for errors, without secrets."""
        self.threads = BlobThreads(threads)

    def for_namespace(self, namespace: str) -> OffloadStep:
        """Return the codec of one cache."""
        return OffloadStep(self, namespace)

    def __reduce__(self) -> tuple[Any, ...]:
        return _make_again, self._given

    def __repr__(self) -> str:
        return f"Offload({self.where!r}, above={self.above})"


def _make_again(store: Any, folder: str, above: int, timeout: Any, threads: int, options: dict[str, Any]) -> Offload:
    return Offload(store, folder=folder, above=above, timeout=timeout, threads=threads, **options)


class OffloadStep:
    """The codec of one cache: the files of one namespace."""

    letter = "o"

    def __init__(self, offload: Offload, namespace: str) -> None:
        self._offload = offload
        self._filesystem = offload.filesystem
        self._namespace = namespace
        self._root = f"{offload.root}/{quote(namespace, safe='').replace('.', '%2E')}"
        protocol = offload.filesystem.protocol
        self._is_local = "file" in ([protocol] if isinstance(protocol, str) else protocol)
        self.where = offload.where
        self.timeout = offload.timeout
        self.pending = PendingBlobs()
        run_in_child(self._reset)

    def _reset(self) -> None:
        self.pending = PendingBlobs()

    # -- a codec ---------------------------------------------------------------------------------------------------------

    def encode(self, data: bytes, binding: Binding) -> bytes | None:
        """Return a reference to a new file, None for data that stays on the server. The executor stores the file."""
        folder = self._folder_for(binding) if len(data) > self._offload.above else None
        return None if folder is None else self._new(folder, data)

    def decode(self, data: bytes, binding: Binding) -> bytes:
        """Return the bytes of the file. Raises BlobsNeeded, ValueError for a file that is missing or wrong, and
        BlobStoreUnavailable."""
        ref = BlobRef.parse(data)
        fetched = FETCHED.get()
        if fetched is None or ref.file not in fetched:
            raise BlobsNeeded(ref)
        found = fetched[ref.file]
        if isinstance(found, bytes):
            return found
        what = binding.context.split(" ", 2)[-1].replace("\0", " ").replace("\n", " ")
        if isinstance(found, BlobFailure):
            detail = f"file {ref.file} with the {what} of {binding.session_id!r}: {found}"
            raise BlobStoreUnavailable(where=self.where, waited=found.waited, detail=detail)
        problem = "is missing" if found is None else found
        raise ValueError(f"the file {ref.file} with the {what} in {self.where} {problem}")

    def adopt(self, data: bytes, session_id: str) -> bytes:
        """Return a new reference for bytes of a session that another store held."""
        return self._new(self._folder("session", session_id), data)

    def _new(self, folder: str, data: bytes) -> bytes:
        ref = BlobRef.of(folder, data)
        self.pending.add(ref, data)
        return bytes(ref)

    def _folder_for(self, binding: Binding) -> str | None:
        """Return the folder for a value, None for a value that is never offloaded.

        Results, reasons, origins and shared values stay on the server, because scripts copy them between keys. Descriptions and
        system prompts do, because lists and claims show them.
        """
        context = binding.context.split(" ", 2)[2]
        word = context.partition(" ")[0]
        if word == "message" or word.startswith(_OF_SESSION):
            return self._folder("session", binding.session_id)
        if word == "document":
            return self._folder("document", context.partition(" ")[2].partition("\0")[0])
        return self._folder("thread", binding.session_id) if word in _OF_THREAD else None

    def _folder(self, kind: str, id: str) -> str:
        return sha256(f"{self._namespace}\0{kind}\0{id}".encode()).hexdigest()[:32]

    # -- the store, in threads -------------------------------------------------------------------------------------------

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Run a function in a thread."""
        return self._offload.threads.submit(function, *arguments)

    def upload(self, file: str, data: bytes) -> None:
        """Store a file. It is whole when the call returns."""
        path = self._path(file)
        if self._is_local:
            _write_private(Path(path), data)
        else:
            self._filesystem.pipe_file(path, data)

    def fetch(self, refs: Iterable[BlobRef]) -> dict[str, Fetched]:
        """Return the bytes of files, None for a missing file, ValueError for a wrong one, and other errors of the store."""
        listed = list(refs)
        found = self._filesystem.cat_ranges(
            [self._path(ref.file) for ref in listed], 0, [ref.size + 1 for ref in listed], on_error="return"
        )
        return {ref.file: _checked(ref, data) for ref, data in zip(listed, found, strict=True)}

    def shards(self) -> list[str]:
        """Return the shards of the namespace that have files."""
        names = (path.rstrip("/").rpartition("/")[2] for path in self._listed(self._root))
        return sorted(name for name in names if len(name) == _SHARD_DIGITS)

    def files_of(self, shard: str) -> list[str]:
        """Return the files of a shard."""
        files = ("/".join(path.split("/")[-2:]) for path in self._found(f"{self._root}/{shard}"))
        return [file for file in files if made_at_ms(file) is not None]

    def files_of_owners(self, sessions: Iterable[str], categories: Iterable[str]) -> list[str]:
        """Return the files that were stored for sessions and for categories of documents."""
        folders = [self._folder("session", id) for id in sessions]
        folders += [self._folder("document", category) for category in categories]
        found = (path for folder in folders for path in self._found(self._path(folder)))
        files = ("/".join(path.split("/")[-2:]) for path in found)
        return [file for file in files if made_at_ms(file) is not None]

    def remove(self, files: Iterable[str]) -> int:
        """Remove files. Return how many there were."""
        removed = 0
        for file in files:
            path = self._path(file)
            with suppress(FileNotFoundError):
                self._filesystem.rm_file(path)
                removed += 1
            if self._is_local:
                with suppress(OSError):  # it has other files
                    Path(path).parent.rmdir()
        return removed

    def mark_copied(self, sessions: Iterable[str]) -> None:
        """Note that a copy may refer to the files of sessions from now on."""
        for id in sessions:
            self.upload(f"{_COPIES}/{BlobRef.of(self._folder('session', id), b'').file}", b"-")

    def copied_folders(self, since_ms: int) -> set[str]:
        """Return the folders whose files were copied since a time. Older notes are removed."""
        found: set[str] = set()
        for path in self._found(f"{self._root}/{_COPIES}"):
            file = "/".join(path.split("/")[-2:])
            at_ms = made_at_ms(file)
            if at_ms is None or at_ms >= since_ms:
                found.add(file.partition("/")[0])
            else:
                with suppress(FileNotFoundError):
                    self._filesystem.rm_file(path)
        return found

    def _listed(self, folder: str) -> list[str]:
        self._filesystem.invalidate_cache()
        try:
            return list(self._filesystem.ls(folder, detail=False))
        except FileNotFoundError:
            return []

    def _found(self, folder: str) -> list[str]:
        self._filesystem.invalidate_cache()
        try:
            return list(self._filesystem.find(folder))
        except FileNotFoundError:
            return []

    def _path(self, file: str) -> str:
        return f"{self._root}/{file if file.startswith(_COPIES) else f'{file[:_SHARD_DIGITS]}/{file}'}"


def _checked(ref: BlobRef, data: Any) -> Fetched:
    if isinstance(data, FileNotFoundError):
        return None
    if isinstance(data, Exception):
        return data
    problem = ref.problem(bytes(data))
    return bytes(data) if problem is None else ValueError(problem)


def _write_private(path: Path, data: bytes) -> None:
    """Write a file that only its user can read, in folders that only its user can enter. Never through a link.

    The file appears whole, because an attempt that was given up may come late. What an attempt that dies leaves has the time of
    the file in its name, so that a sweep removes it.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    for _ in range(3):  # a sweep may remove a folder that is empty
        for folder in [one for one in reversed(path.parents) if not one.exists()]:
            folder.mkdir(mode=0o700, exist_ok=True)
        part = path.with_name(another_name(path.name))
        with suppress(FileNotFoundError):
            try:
                with open(part, "wb", opener=lambda name, _: os.open(name, flags, 0o600)) as target:
                    target.write(data)
                part.replace(path)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
            return
    raise FileNotFoundError(f"the folder {path.parent} was removed again and again")


def _first_line(problem: Exception) -> str:
    return str(problem).partition("\n")[0]
