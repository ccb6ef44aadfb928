"""Find what no index names, by the names of all keys: for `forget` and for repairs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from redis.exceptions import RedisError

from ..._core.commands import conversations, forgetting, index_entries, stored_values
from ..._core.commands.index_entries import all_indexes, entry_keys_of
from ..._core.protocol.found_keys import (
    channel_of,
    every_channel,
    every_session,
    every_staged_session,
    session_id_of,
    staged_keys_of,
)
from ..._core.protocol.keys import session_keys
from ..._core.protocol.transport_errors import TransportError
from ..._core.transfer import import_staging
from ...errors import AccessDenied, SessionsError, StoreUnavailable
from ..transport.executor import Executor
from .context import CacheContext
from .mistyped_keys import run_or_default

_BATCH = 200
_PAGE = 1000


async def scan(context: CacheContext, pattern: str, *, twice: bool = False) -> AsyncIterator[bytes]:
    """Yield the keys that match a pattern, some perhaps twice.

    `twice`: read each node of a cluster twice, so that no key is missed whose slot moves.

    Raises:
        AccessDenied: the user may not SCAN.
        StoreUnavailable: a server did not answer.
    """
    where = context.executor.where
    try:
        async for key in context.router.scan(pattern, twice=twice):
            yield key
    except (TransportError, RedisError) as problem:
        if "NOPERM" in str(problem) or "permission" in str(problem):
            raise AccessDenied(where=where, detail=f"this needs the right to SCAN: {problem}") from None
        raise StoreUnavailable(where=where, waited=0.0, detail=str(problem)) from None


async def scan_batches(context: CacheContext, pattern: str) -> AsyncIterator[list[bytes]]:
    """Yield the keys that match a pattern, 200 at once, also those whose slot moves. See `scan`."""
    batch: list[bytes] = []
    async for key in scan(context, pattern, twice=True):
        batch.append(key)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    yield batch


async def sessions_of(context: CacheContext, user: str) -> AsyncIterator[list[str]]:
    """Yield the IDs of a user's sessions, whether an index names them or not."""
    async for keys in scan_batches(context, every_session(context.namespace)):
        ids = [id for id in (session_id_of(context.namespace, key) for key in keys) if id is not None]
        calls = [forgetting.read_user(session_keys(context.namespace, id)) for id in ids]
        users = await context.executor.run_many(calls)
        yield [id for id, found in zip(ids, users, strict=True) if found == user]


async def remove_traces(context: CacheContext, user: str, forgotten: set[str]) -> tuple[int, int]:
    """Remove what still names sessions that are gone: their IDs in other sessions, channels and indexes.

    A call that broke off no longer knows which sessions it forgot, so whatever names no session goes. Imports of the user, and
    places of forgotten sessions in queues, go too.

    Return how many channels and how many places in queues there were.
    """
    await _remove_as_parent(context)
    await _remove_staged(context, user)
    async for keys in scan_batches(context, all_indexes(context.namespace)):
        for key in keys:
            index = entry_keys_of(context.namespace, key.decode(errors="replace"))
            if index is not None:
                await context.indexer.repairs.sweep(index)
    return await _remove_channels(context), await _leave_queues(context, forgotten)


async def gone_of(executor: Executor, namespace: str, named: Iterable[bytes]) -> set[bytes]:
    """Return those of some IDs that name no session. One round trip."""
    ids = forgetting.ids_of(list(dict.fromkeys(named)))[0]
    known = await executor.get_many([index_entries.exists(session_keys(namespace, id)) for id in ids])
    return {id.encode() for id, exists in zip(ids, known, strict=True) if not exists}


async def _remove_as_parent(context: CacheContext) -> None:
    """Remove the field `parent` of sessions where it names none. Only `create` makes such a session."""
    async for keys in scan_batches(context, every_session(context.namespace)):
        ids = [id for id in (session_id_of(context.namespace, key) for key in keys) if id is not None]
        sessions = [session_keys(context.namespace, id) for id in ids]
        parents = await context.executor.run_many([forgetting.read_field(one, "parent") for one in sessions])
        named = [parent for parent in parents if isinstance(parent, bytes)]
        gone = await gone_of(context.executor, context.namespace, named)
        for one, parent in zip(sessions, parents, strict=True):
            if isinstance(parent, bytes) and parent in gone:
                await context.executor.run(stored_values.replace_values(one, [(b".parent", parent, b"")]))


async def _remove_staged(context: CacheContext, user: str) -> None:
    """Delete sessions of a user that are being imported, so that the import fails."""
    async for keys in scan_batches(context, every_staged_session(context.namespace)):
        for key in keys:
            staged = staged_keys_of(context.namespace, key)
            if staged is None:
                continue
            if await run_or_default(context.executor, import_staging.read_staged_user(staged), "") == user:
                await context.executor.run(import_staging.discard_staged(staged))


async def _remove_channels(context: CacheContext) -> int:
    """Forget the channels whose session is gone."""
    removed = 0
    async for keys in scan_batches(context, every_channel(context.namespace)):
        channels = [one for one in (channel_of(context.namespace, key) for key in keys) if one is not None]
        current = await context.executor.run_many([conversations.stored_id(one) for one in channels])
        failed = [one for one in current if isinstance(one, SessionsError) and not stored_values.is_wrong_type(one)]
        if failed:
            raise failed[0]
        gone = await gone_of(context.executor, context.namespace, [id for id in current if isinstance(id, bytes)])
        for one, id in zip(channels, current, strict=True):
            if isinstance(id, bytes) and id in gone:
                removed += await context.executor.run(conversations.remove(one, id))
    return removed


async def _leave_queues(context: CacheContext, forgotten: set[str]) -> int:
    """Remove the members of all queues that name a forgotten session."""
    removed = 0
    for agent in await context.run_queues.agents():
        queue = context.run_queues.queue_of(agent)
        for zset in (queue.queue, queue.check_at, queue.ready, queue.running):
            first = 0
            while members := await run_or_default(
                context.executor, forgetting.list_members(zset, queue, first, _PAGE), []
            ):
                named = [one for one in members if forgetting.names_any(one, forgotten)]
                first += len(members) - len(named)
                if named:
                    removed += await context.executor.run(forgetting.remove_members(zset, queue, named))
    return removed
