"""Delete a session with all sessions below it."""

from __future__ import annotations

from ..._core.commands import loops, sessions
from ..._core.protocol.keys import SessionKeys
from ..transport import tasks
from .context import CacheContext


async def delete_session(context: CacheContext, keys: SessionKeys, incarnation: str, lease: str) -> bool:
    """Delete a session. Return whether it existed.

    A session of a tree is cancelled first, so that from then on no session below it writes. Then the sessions below it are
    deleted, 400 a round trip, and the session last. The index entries are removed in the background.
    """
    await context.indexer.learn([keys.id])
    existed = False
    while True:
        deletion = await context.executor.run(sessions.delete(keys, incarnation, lease))
        existed = existed or deletion.outcome in ("deleted", "open", "parent")
        if deletion.outcome == "open":
            change = await context.executor.run(sessions.set_status(keys, incarnation, lease, "cancelled", "deleted"))
            if change.members:
                await context.run_queues.finalize_members(keys, change.members)
            if change.wakes_parent:
                tasks.spawn(context.run_queues.advance_parent, keys)
        elif deletion.outcome == "parent":
            await context.run_queues.finalize_members(keys, deletion.members, deletion.number)
        else:
            if deletion.has_ledger:
                await context.executor.run(loops.discard(keys))
            return existed
