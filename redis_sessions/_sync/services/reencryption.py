# Generated from _async/services/reencryption.py by tools/mirror.py; edit that file.
"""Bring what is stored to the present codecs and the current key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from ..._core.commands import checkpoint_records, checkpoints, reencryption, shared, stored_parts, stored_values
from ..._core.commands.forks import origins_of
from ..._core.commands.reencryption import StoredValue
from ..._core.protocol.chain import Chain
from ..._core.protocol.keys import CheckpointKeys, DocumentKeys, SessionKeys
from ..._core.protocol.shared_keys import SharedKeys
from ...errors import (
    CodecMissing,
    DecryptionError,
    InvalidInput,
    InvalidState,
    SessionDamaged,
    SessionNotFound,
    SessionReplaced,
    SessionsError,
)
from ...models.transfer import ReencryptResult
from . import part_export
from .context import CacheContext

_PROBLEMS = (DecryptionError, CodecMissing, InvalidInput, InvalidState, SessionDamaged)
"""Errors of one session or category, which do not stop the others."""
_MAX_PENDING_BYTES = 32 * 1024 * 1024
"""Bytes for a blob store that wait at once."""


def _told(problem: SessionsError) -> str:
    """Return what a result says of an error of one session or name. Raise any other error."""
    if isinstance(problem, _PROBLEMS) or stored_values.is_wrong_type(problem):
        return str(problem)
    raise problem


def _is_much(chain: Chain | None) -> bool:
    """Return whether so much waits for the blob store that the changes must be stored now."""
    return chain is not None and chain.blobs is not None and chain.blobs.pending.size > _MAX_PENDING_BYTES


def checked_codecs(context: CacheContext) -> Chain:
    """Return the codecs of a cache. Raises InvalidInput without any."""
    if context.chain is None:
        raise InvalidInput(
            name="codecs", detail="must be codecs of the cache, because reencrypt stores values with them"
        )
    return context.chain


def reencrypt_session(context: CacheContext, keys: SessionKeys, incarnation: str) -> int:
    """Return how many values of a session were replaced.

    Messages come before fields, because a message that is pinned or dropped moves from the list to a field.
    """
    checked_codecs(context)
    executor, keys = context.executor, context.keys(keys.id)
    found = executor.run(reencryption.read_incarnation(keys))
    if not found:
        raise SessionNotFound(session_id=keys.id)
    if incarnation and found != incarnation:
        raise SessionReplaced(session_id=keys.id)
    context.scopes.apply_waiting(keys, found)
    try:
        keys.origins = executor.run(origins_of(keys))
    except ValueError as problem:
        raise InvalidState(name="origins", detail=f"the stored value is damaged: {problem}") from None
    replaced = below = 0
    while True:
        page = executor.run(reencryption.read_messages(keys, found, below))
        replaced += _rewrite(context, keys, found, page.values, {})
        below = page.below
        if not below:
            break
    members: dict[str, str] = {}
    names = executor.run(reencryption.read_names(keys))
    for call in reencryption.read_values(keys, names):
        fields = executor.run(call)
        members |= reencryption.member_ids(fields)
        replaced += _rewrite(context, keys, found, fields, members)
    if b"has_parts" in names:
        replaced += _rewrite_parts(context, keys, found)
    return replaced


def _rewrite_parts(context: CacheContext, keys: SessionKeys, incarnation: str) -> int:
    replaced = 0
    for part in part_export.stored_parts(context.executor, keys, incarnation):
        first, size = part.record.first_seq, stored_parts.page_size(part.record)
        while first <= part.record.last_seq:
            seqs = range(first, min(first + size, part.record.last_seq + 1))
            replaced += _rewrite_part_page(context, keys, incarnation, part.name, part.record.number, seqs)
            first = seqs[-1] + 1
    return replaced


def _rewrite_part_page(
    context: CacheContext, keys: SessionKeys, incarnation: str, name: str, number: int, seqs: range
) -> int:
    """Replace the messages of a part with these seqs, as far as they are there. Return how many were replaced."""
    executor, replaced = context.executor, 0
    changes: list[tuple[int, bytes, bytes]] = []
    values = executor.run(stored_parts.read_part_fields(keys, [f"message.{number} {seq}" for seq in seqs]))
    keys.chain = checked_codecs(context).renewing()
    for seq, value in zip(seqs, values, strict=True):
        if value is None:
            continue  # it was cleared since
        try:
            read = partial(stored_parts.renewed_part_message, keys, name, seq, value)
            new = executor.decode(read, value)
        except ValueError as problem:
            place = f"message with seq {seq} of part {name!r}"
            raise InvalidState(name=place, detail=f"the stored value is damaged: {problem}") from None
        if new != value:
            changes.append((seq, value, new))
        if _is_much(keys.chain):
            for call in stored_parts.rewrite_part(keys, incarnation, name, changes):
                replaced += executor.run(call)
            changes = []
    for call in stored_parts.rewrite_part(keys, incarnation, name, changes):
        replaced += executor.run(call)
    return replaced


def _rewrite(
    context: CacheContext,
    keys: SessionKeys,
    incarnation: str,
    values: Iterable[StoredValue],
    members: Mapping[str, str],
) -> int:
    changes = []
    keys.chain = checked_codecs(context).renewing()
    replaced = 0
    for stored in values:
        try:
            read = partial(reencryption.renewed, keys, stored, members)
            value = context.executor.decode(read, stored.value)
        except (ValueError, IndexError, AttributeError) as problem:
            raise InvalidState(name=stored.place, detail=f"the stored value is damaged: {problem}") from None
        if value != stored.value:
            changes.append((stored, value))
        if _is_much(keys.chain):
            for call in reencryption.rewrite(keys, incarnation, changes):
                replaced += context.executor.run(call)
            changes = []
    for call in reencryption.rewrite(keys, incarnation, changes):
        replaced += context.executor.run(call)
    return replaced


def reencrypt_if_there(context: CacheContext, id: str) -> ReencryptResult | None:
    """Return the outcome for a session, None if the session is gone."""
    try:
        return ReencryptResult(id, reencrypt_session(context, context.keys(id), ""))
    except (SessionNotFound, SessionReplaced):
        return None
    except SessionsError as problem:
        return ReencryptResult(id, 0, _told(problem))


def _changes(
    context: CacheContext,
    stored: list[StoredValue],
    renewed: Callable[[StoredValue], bytes],
    what: str,
    problems: list[str],
) -> list[tuple[StoredValue, bytes]]:
    """Return the values that differ when they are renewed, with what replaces them.

    A value that cannot be decoded does not stop the others: `problems` gets its place and the reason.
    """
    changes = []
    for one in stored:
        try:
            value = context.executor.decode(partial(renewed, one), one.value)
        except (DecryptionError, CodecMissing, ValueError) as problem:
            problems.append(f"{what} {one.place!r}: {problem}")
            continue
        if value != one.value:
            changes.append((one, value))
    return changes


def reencrypt_documents(context: CacheContext, keys: DocumentKeys) -> ReencryptResult:
    """Return the outcome for a category of documents."""
    renewed = partial(reencryption.renewed_document, checked_codecs(context).renewing(), keys.id)
    executor, name, replaced = context.executor, f"documents/{keys.id}", 0
    problems: list[str] = []
    try:
        names = executor.run(reencryption.read_names(keys))
        for call in reencryption.read_values(keys, names):
            changes = _changes(context, executor.run(call), renewed, "document", problems)
            for rewrite in reencryption.rewrite_documents(keys, changes):
                replaced += executor.run(rewrite)
    except SessionsError as problem:
        return ReencryptResult(name, replaced, _told(problem))
    return ReencryptResult(name, replaced, "; ".join(problems[:10]) or None)


def reencrypt_scope(context: CacheContext, keys: SharedKeys) -> ReencryptResult:
    """Return the outcome for a shared scope."""
    renewed = partial(reencryption.renewed_shared, checked_codecs(context).renewing(), keys.id)
    name, replaced = f"shared/{keys.id}", 0
    problems: list[str] = []
    try:
        found = (context.executor.run(shared.stored_values(keys))).items()
        stored = [StoredValue(place.decode(), value) for place, value in found]
        changes = _changes(context, stored, renewed, "value", problems)
        for rewrite in reencryption.rewrite_shared(keys, changes):
            replaced += context.executor.run(rewrite)
    except SessionsError as problem:
        return ReencryptResult(name, replaced, _told(problem))
    return ReencryptResult(name, replaced, "; ".join(problems[:10]) or None)


def reencrypt_thread(context: CacheContext, keys: CheckpointKeys) -> ReencryptResult:
    """Return the outcome for the checkpoints of a thread."""
    problems: list[str] = []
    replaced, after = 0, None
    blobs: set[str] = set()
    try:
        while True:
            names = context.executor.run(checkpoints.list_names(keys, after))
            fields = [name for name in names if not name.startswith("i")]
            new: set[str] = set()
            replaced += _rewrite_thread(context, keys, fields, new, problems)
            replaced += _rewrite_thread(context, keys, sorted(new - blobs), set(), problems)
            blobs |= new
            if len(names) < checkpoints.MAX_PAGE:
                break
            after = names[-1]
    except SessionsError as problem:
        problems.insert(0, _told(problem))
    return ReencryptResult(f"checkpoints/{keys.id}", replaced, "; ".join(problems[:10]) or None)


def _rewrite_thread(
    context: CacheContext, keys: CheckpointKeys, fields: Sequence[str], blobs: set[str], problems: list[str]
) -> int:
    """Replace values of a thread, and return how many. `blobs` gets the fields of the blobs that its checkpoints name."""
    chain, replaced = checked_codecs(context).renewing(), 0

    def renewed(stored: StoredValue) -> bytes:
        blobs.update(checkpoint_records.blob_fields(*stored))
        return checkpoint_records.renewed(chain, keys.id, *stored)

    for call in reencryption.read_values(keys, [field.encode() for field in fields]):
        changes = _changes(context, context.executor.run(call), renewed, "value", problems)
        for rewrite in reencryption.rewrite_documents(keys, changes):
            replaced += context.executor.run(rewrite)
    return replaced
