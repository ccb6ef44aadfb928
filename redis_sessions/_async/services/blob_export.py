"""Read the files of a blob store that exported sessions refer to."""

from __future__ import annotations

from ..._core.protocol.blobs import BlobFailure, BlobRef, Fetched
from ..._core.protocol.keys import SessionKeys
from ...errors import BlobStoreUnavailable, CodecMissing, SessionDamaged
from ..transport.blob_files import fetch_files
from .context import CacheContext


class FileGone(Exception):
    """The store does not have a file to which a session refers, or referred when it was read."""

    def __init__(self, damage: SessionDamaged) -> None:
        super().__init__(damage)
        self.damage = damage


async def read_file(context: CacheContext, keys: SessionKeys, ref: BlobRef) -> bytes:
    """Return a file of the blob store that a session refers to.

    Raises CodecMissing, BlobStoreUnavailable, SessionDamaged, and FileGone for a file that is missing.
    """
    blobs = None if context.chain is None else context.chain.blobs
    if blobs is None:
        raise CodecMissing(session_id=keys.id, codec="o")
    known: dict[str, Fetched] = {}
    await fetch_files(blobs, [ref], context.executor.retry_for, known)
    found = known[ref.file]
    if isinstance(found, bytes):
        return found
    if isinstance(found, BlobFailure):
        detail = f"file {ref.file} of session {keys.id!r}: {found}"
        raise BlobStoreUnavailable(where=blobs.where, waited=found.waited, detail=detail)
    problem = "is missing" if found is None else found
    damage = SessionDamaged(session_id=keys.id, detail=f"its file {ref.file} in {blobs.where} {problem}")
    raise FileGone(damage) if found is None else damage
