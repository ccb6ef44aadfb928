"""Find what no index names, by the names of all keys: for `forget` and for repairs."""

from __future__ import annotations

from collections.abc import AsyncIterator

from redis.exceptions import RedisError

from ..._core.commands import conversations, forgetting, import_staging, index_entries, stored_values
from ..._core.commands.index_entries import all_indexes, entry_keys_of
from ..._core.protocol.keys import (
    channel_of,
    every_channel,
    every_session,
    every_staged_session,
    session_id_of,
    session_keys,
    staged_keys_of,
)
from ..._core.protocol.transport_errors import TransportError
from ...errors import AccessDenied, SessionsError, StoreUnavailable
from .context import CacheContext
from .deleter import run_typed

_BATCH = 200
_PAGE = 1000


async def scan(context: CacheContext, pattern: str) -> AsyncIterator[bytes]:
    """Yield the keys that match a pattern, some perhaps twice.

    Raises:
        AccessDenied: the user may not SCAN.
        StoreUnavailable: a server did not answer.
    """
    where = context.executor.where
    try:
        async for key in context.router.scan(pattern):
            yield key
    except (TransportError, RedisError) as problem:
        if "NOPERM" in str(problem) or "permission" in str(problem):
            raise AccessDenied(where=where, detail=f"this needs the right to SCAN: {problem}") from None
        raise StoreUnavailable(where=where, waited=0.0, detail=str(problem)) from None


async def scan_batches(context: CacheContext, pattern: str) -> AsyncIterator[list[bytes]]:
    """Yield the keys that match a pattern, 200 at once. See `scan`."""
    batch: list[bytes] = []
    async for key in scan(context, pattern):
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
    """Remove what still names the sessions of a user: their IDs in other sessions, channels, queues, imports and indexes.

    Return how many channels and how many places in queues there were.
    """
    await _remove_as_parent(context, forgotten)
    await _remove_staged(context, user)
    async for keys in scan_batches(context, all_indexes(context.namespace)):
        for key in keys:
            index = entry_keys_of(context.namespace, key.decode(errors="replace"))
            if index is not None:
                await context.indexer.repairs.sweep(index)
    return await _remove_channels(context, user, forgotten), await _leave_queues(context, forgotten)


async def _remove_as_parent(context: CacheContext, forgotten: set[str]) -> None:
    """Remove the field `parent` of sessions that name a forgotten one. Only `create` makes such a session."""
    async for keys in scan_batches(context, every_session(context.namespace)):
        ids = [id for id in (session_id_of(context.namespace, key) for key in keys) if id is not None]
        sessions = [session_keys(context.namespace, id) for id in ids]
        parents = await context.executor.run_many([forgetting.read_field(one, "parent") for one in sessions])
        for one, parent in zip(sessions, parents, strict=True):
            if isinstance(parent, bytes) and parent.decode(errors="replace") in forgotten:
                await context.executor.run(stored_values.replace_values(one, [(b".parent", parent, b"")]))


async def _remove_staged(context: CacheContext, user: str) -> None:
    """Delete sessions of a user that are being imported, so that the import fails."""
    async for keys in scan_batches(context, every_staged_session(context.namespace)):
        for key in keys:
            staged = staged_keys_of(context.namespace, key)
            if staged is None:
                continue
            if await run_typed(context.executor, import_staging.read_staged_user(staged), "") == user:
                await context.executor.run(import_staging.discard_staged(staged))


async def _remove_channels(context: CacheContext, user: str, forgotten: set[str]) -> int:
    """Forget channels of forgotten sessions, and those with the user's ID in their names whose session is gone."""
    removed = 0
    async for keys in scan_batches(context, every_channel(context.namespace)):
        channels = [one for one in (channel_of(context.namespace, key) for key in keys) if one is not None]
        current = await context.executor.run_many([conversations.current_id(one) for one in channels])
        for one, id in zip(channels, current, strict=True):
            if isinstance(id, SessionsError):
                if not stored_values.is_wrong_type(id):
                    raise id
                continue  # a repair moves a channel of another type
            is_named = user in one.id and id not in forgotten
            if is_named and id:
                is_named = not await context.executor.run(index_entries.exists(session_keys(context.namespace, id)))
            if id in forgotten or is_named:
                removed += await context.executor.run(conversations.remove(one, id))
    return removed


async def _leave_queues(context: CacheContext, forgotten: set[str]) -> int:
    """Remove the members of all queues that name a forgotten session."""
    removed = 0
    for agent in await context.run_queues.agents():
        queue = context.run_queues.queue_of(agent)
        for zset in (queue.queue, queue.check_at, queue.ready, queue.running):
            first = 0
            while members := await run_typed(context.executor, forgetting.list_members(zset, queue, first, _PAGE), []):
                named = [one for one in members if forgetting.names_any(one, forgotten)]
                first += len(members) - len(named)
                if named:
                    removed += await context.executor.run(forgetting.remove_members(zset, queue, named))
    return removed
