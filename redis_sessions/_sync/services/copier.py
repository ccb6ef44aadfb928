# Generated from _async/services/copier.py by tools/mirror.py; edit that file.
"""Copy a long transcript into a new session: its messages in parts, then the rest in one step."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ..._core.commands import forks
from ..._core.protocol.call import Call
from ..._core.protocol.encoding import copy_origins
from ..._core.protocol.keys import SessionKeys, StagedKeys, staged_keys
from ..._core.protocol.transport_errors import CopyNeeded
from ...errors import ConcurrentModification, SessionExists
from ..transport.blob_files import ask
from ..transport.executor import Executor
from .context import CacheContext

T = TypeVar("T")
_NONCE = "fork"
_MAX_ATTEMPTS = 5
"""The maximum number of times that a copy begins again because the session was written."""


def run_copy(
    executor: Executor,
    namespace: str,
    keys: SessionKeys,
    incarnation: str,
    new: SessionKeys,
    call: Call[T],
    run: Callable[[Call[T]], T],
) -> T:
    """Return the result of a call that copies a transcript, which the script refuses when the transcript is long.

    The messages are copied first then, about 1 MB a call, to keys that expire if this process dies. The
    call makes the session if it still has the revision of the copy.
    """
    for _ in range(_MAX_ATTEMPTS):
        try:
            return run(call)
        except CopyNeeded:
            call.hints = ()
        copy = staged_keys(namespace, new.id, _NONCE)
        try:
            progress = _copy(executor, keys, incarnation, new, copy)
        except SessionExists:
            continue  # the call says if the same operation of another caller made the session
        if progress is not None:
            call.take_copy(copy, progress.rev)
    raise ConcurrentModification(session_id=keys.id, tries=_MAX_ATTEMPTS)


def mark_files_copied(context: CacheContext, keys: SessionKeys) -> None:
    """Note that a copy of a session refers to the same files of the blob store, if there is one. A sweep must know before.

    The origins of the session must have been read. Raises BlobStoreUnavailable.
    """
    blobs = None if context.chain is None else context.chain.blobs
    if blobs is not None:
        named = [id for namespace, id in copy_origins(keys) if namespace == context.namespace]
        ask(blobs, blobs.mark_copied, named, retry_for=context.executor.retry_for)


def _copy(
    executor: Executor, keys: SessionKeys, incarnation: str, new: SessionKeys, copy: StagedKeys
) -> forks.CopyProgress | None:
    """Copy all messages. Return None when the session was written again and again."""
    progress: forks.CopyProgress | None = None
    begun = 0
    while progress is None or progress.copied < progress.total:
        before, progress = progress, executor.run(forks.copy_part(keys, incarnation, new, copy, progress))
        begun += before is None or before.rev != progress.rev
        if begun > _MAX_ATTEMPTS:
            return None
    return progress
