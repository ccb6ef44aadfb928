# Generated from _async/transport/blob_files.py by tools/mirror.py; edit that file.
"""Store the files of large values before their references are sent, and read them when replies are decoded."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from ..._core.protocol.blobs import FETCHED, BlobFailure, BlobRef, BlobsNeeded, BlobStep, Fetched, refs_in
from ..._core.protocol.call import Call
from ..._core.protocol.chain import Chain
from ...errors import BlobStoreUnavailable
from . import primitives

T = TypeVar("T")
_MAX_READ_AT_ONCE = 16
_FINAL = (PermissionError, FileNotFoundError, NotADirectoryError, IsADirectoryError)
"""Errors of a store that a retry does not help."""


def store_files(chain: Chain, calls: Sequence[Call[Any]], retry_for: float) -> bool:
    """Store the files that calls refer to and that are not stored yet. Return whether there were any.

    Raises BlobStoreUnavailable when the store did not take one within `retry_for`. The calls must not be sent then, and what
    waits for them is dropped.
    """
    blobs = chain.blobs
    if blobs is None:
        return False
    try:
        return _store(blobs, calls, retry_for)
    except BaseException:
        blobs.pending.drop(blobs.pending.named_in(part for call in calls for part in call.command))
        raise


def try_to_store_files(chain: Chain, calls: Sequence[Call[Any]]) -> BlobStoreUnavailable | None:
    """Store files as `store_files` does, without a retry. Return the error after which the calls can be tried again, or None."""
    try:
        if chain.blobs is not None:
            _store(chain.blobs, calls, 0.0)
    except BlobStoreUnavailable as problem:
        return problem.with_traceback(None)
    return None


def _store(blobs: BlobStep, calls: Sequence[Call[Any]], retry_for: float) -> bool:
    files = blobs.pending.named_in(part for call in calls for part in call.command)
    if not files:
        return False
    began = time.monotonic()
    if None in files.values():
        detail = "the value was encoded too long before it was sent: repeat the call of the cache"
        raise BlobStoreUnavailable(where=blobs.where, waited=0.0, detail=detail)
    left = [(file, data) for file, data in files.items() if data is not None]
    try:
        _until_done(lambda: _upload(blobs, left), retry_for)
        return True
    except Exception as problem:
        waited = time.monotonic() - began
        detail = f"file {left[0][0]}: {_text(problem)}"
        raise BlobStoreUnavailable(where=blobs.where, waited=waited, detail=detail) from problem


def _upload(blobs: BlobStep, left: list[tuple[str, bytes]]) -> None:
    """Store files at once, and take those that are stored from the list. Raises the first error."""
    futures = [(file, data, blobs.submit(blobs.upload, file, data)) for file, data in left]
    left.clear()
    problem: Exception | None = None
    for file, data, future in futures:
        try:
            primitives.wait_future(future, blobs.timeout)
        except Exception as failure:
            left.append((file, data))
            problem = problem or failure
        else:
            blobs.pending.stored(file)
    if problem is not None:
        raise problem


class FileMissing(Exception):
    """The store does not have a file to which a reply refers."""


def read_decoded(
    read: Callable[[], T], stored: Any, chain: Chain | None, retry_for: float, known: dict[str, Fetched] | None = None,
    *, can_read_again: bool = False,
) -> T:  # fmt: skip
    """Return the result of a function that decodes what a server replied. Files that the function needs are read before.

    Args:
        stored: all that the server replied. All files to which it refers are read at once.
        known: files that were read before. Gets those that are read now.
        can_read_again: raise FileMissing for a file that is missing. Else the value that refers to it cannot be decoded.
    """
    blobs = None if chain is None else chain.blobs
    if blobs is None:
        return read()
    known = {} if known is None else known
    while True:
        token = FETCHED.set(known)
        try:
            return read()
        except BlobsNeeded as problem:
            needed = problem.ref
        finally:
            FETCHED.reset(token)
        refs = {needed.file: needed} | {ref.file: ref for ref in refs_in(stored) if ref.file not in known}
        fetch_files(blobs, list(refs.values()), retry_for, known)
        if can_read_again and any(known[file] is None for file in refs):
            raise FileMissing


def fetch_files(blobs: BlobStep, refs: Sequence[BlobRef], retry_for: float, known: dict[str, Fetched]) -> None:
    """Read files into `known`. A file that the store does not return within `retry_for` becomes a BlobFailure."""
    for first in range(0, len(refs), _MAX_READ_AT_ONCE):
        began, left = time.monotonic(), list(refs[first : first + _MAX_READ_AT_ONCE])
        try:
            _until_done(lambda left=left: _fetch(blobs, left, known), retry_for)  # type: ignore[misc]
        except Exception as problem:
            for ref in left:
                known[ref.file] = BlobFailure(time.monotonic() - began, _text(problem))


def _fetch(blobs: BlobStep, left: list[BlobRef], known: dict[str, Fetched]) -> None:
    """Read files, and take those that have an answer from the list. Raises the first error."""
    found: dict[str, Fetched] = primitives.wait_future(blobs.submit(blobs.fetch, list(left)), blobs.timeout)
    failures = {
        file: one for file, one in found.items() if isinstance(one, Exception) and not isinstance(one, ValueError)
    }
    known.update((file, one) for file, one in found.items() if file not in failures)
    left[:] = [ref for ref in left if ref.file in failures]
    for problem in failures.values():
        raise problem


def ask(blobs: BlobStep, function: Callable[..., T], *arguments: Any, retry_for: float) -> T:
    """Return the result of a function that waits for the store. Raises BlobStoreUnavailable."""
    began = time.monotonic()
    results: list[T] = []

    def attempt() -> None:
        results.append(primitives.wait_future(blobs.submit(function, *arguments), blobs.timeout))

    try:
        _until_done(attempt, retry_for)
    except Exception as problem:
        waited = time.monotonic() - began
        raise BlobStoreUnavailable(where=blobs.where, waited=waited, detail=_text(problem)) from problem
    return results[0]


def _until_done(attempt: Callable[[], None], retry_for: float) -> None:
    """Repeat an attempt until it raises nothing, for `retry_for` seconds. Raises the error of the last attempt."""
    for one in Retrying(
        retry=retry_if_exception(_may_pass),
        stop=stop_after_delay(retry_for),
        wait=wait_random_exponential(multiplier=0.05, max=1.0),
        sleep=primitives.sleep,
        reraise=True,
    ):
        with one:
            attempt()


def _may_pass(problem: BaseException) -> bool:
    """Return whether a retry can help. False for the end of a task or of the process."""
    return isinstance(problem, Exception) and not isinstance(problem, _FINAL)


def _text(problem: Exception) -> str:
    """Return one line about an error of a store, in which nothing can be mistaken for another line."""
    text = f"{type(problem).__name__}: {problem}" if str(problem) else type(problem).__name__
    return ascii(text)[1:-1][:500]
