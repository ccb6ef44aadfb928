# Generated from _async/services/reencryption.py by tools/mirror.py; edit that file.
"""Bring what is stored to the present codecs and the current key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..._core.commands import reencryption
from ..._core.commands.forks import origins_of
from ..._core.commands.reencryption import StoredValue
from ..._core.protocol.chain import Chain
from ..._core.protocol.keys import DocumentKeys, SessionKeys
from ..._core.protocol.records import MemberRecord
from ...errors import (
    CodecMissing,
    DecryptionError,
    InvalidInput,
    InvalidState,
    SessionDamaged,
    SessionNotFound,
    SessionReplaced,
)
from ...models.transfer import ReencryptResult
from .context import CacheContext


def checked_codecs(context: CacheContext) -> Chain:
    """Return the codecs of a cache. Raises InvalidInput without any."""
    if context.chain is None:
        raise InvalidInput(
            name="codecs", detail="must be codecs of the cache, because reencrypt stores values with them"
        )
    return context.chain


def reencrypt_session(context: CacheContext, keys: SessionKeys, incarnation: str) -> int:
    """Return how many values of a session were replaced."""
    checked_codecs(context)
    executor = context.executor
    keys.origins = executor.run(origins_of(keys))
    fields = executor.run(reencryption.read_fields(keys))
    named = dict(fields)
    found = named.get("incarnation", b"").decode()
    if not found:
        raise SessionNotFound(session_id=keys.id)
    if incarnation and found != incarnation:
        raise SessionReplaced(session_id=keys.id)
    members = {
        name.removeprefix("member."): MemberRecord.parse(value.decode()).id
        for name, value in fields
        if name.startswith("member.")
    }
    replaced = _rewrite(context, keys, found, fields, members)
    below = 0
    while True:
        page = executor.run(reencryption.read_messages(keys, found, below))
        replaced += _rewrite(context, keys, found, page.values, members)
        below = page.below
        if not below:
            return replaced


def _rewrite(
    context: CacheContext,
    keys: SessionKeys,
    incarnation: str,
    values: Iterable[StoredValue],
    members: Mapping[str, str],
) -> int:
    changes = []
    for stored in values:
        try:
            value = reencryption.renewed(keys, stored, members)
        except ValueError as problem:
            raise InvalidState(name=stored.place, detail=f"the stored value is damaged: {problem}") from None
        if value != stored.value:
            changes.append((stored, value))
    replaced = 0
    for call in reencryption.rewrite(keys, incarnation, changes):
        replaced += context.executor.run(call)
    return replaced


def reencrypt_if_there(context: CacheContext, id: str) -> ReencryptResult | None:
    """Return the outcome for a session, None if the session is gone."""
    try:
        return ReencryptResult(id, reencrypt_session(context, context.keys(id), ""))
    except (SessionNotFound, SessionReplaced):
        return None
    except (DecryptionError, CodecMissing, InvalidState, SessionDamaged) as problem:
        return ReencryptResult(id, 0, str(problem))


def reencrypt_documents(context: CacheContext, keys: DocumentKeys) -> ReencryptResult:
    """Return the outcome for a category of documents."""
    chain, name = checked_codecs(context), f"documents/{keys.id}"
    changes = []
    try:
        for stored in context.executor.run(reencryption.read_documents(keys)):
            value = reencryption.renewed_document(chain, keys.id, stored)
            if value != stored.value:
                changes.append((stored, value))
    except (DecryptionError, CodecMissing, ValueError) as problem:
        return ReencryptResult(name, 0, str(problem))
    count = context.executor.run(reencryption.rewrite_documents(keys, changes)) if changes else 0
    return ReencryptResult(name, count)
