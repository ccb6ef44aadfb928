"""Make room in a tree for a spawn that was refused, and wait for room."""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable

from ..._core.commands import sessions, tree_room, trees
from ..._core.commands.run_queues import POLL_INTERVAL_SECONDS
from ..._core.protocol.keys import SessionKeys, session_keys
from ...models.trees import SpawnResult
from .context import CacheContext
from .tree_members import list_members, register_join

WAITED_FOR = ("max_children", "max_active", "max_descendants")
"""The refusals that end when sessions of the tree end or go."""
_REPEATED = (*WAITED_FOR, "label_in_use")
_MAX_ROUNDS = 8
_MAX_CHECKS = 20
"""Members that one round recovers."""
_POLL_SECONDS = 1.0
"""The pause before a waiting spawn is tried again, because an end below another session does not wake it."""


async def spawn_with_room(
    context: CacheContext,
    keys: SessionKeys,
    incarnation: str,
    attempt: Callable[[], Awaitable[SpawnResult]],
    wait_seconds: float,
) -> SpawnResult:
    """Try a spawn. If it is refused for room, free the places of sessions that are gone, and wait up to `wait_seconds`."""
    due = time.monotonic() + wait_seconds
    result = await _attempt_with_room(context, keys, attempt)
    if wait_seconds == 0 or result.reason not in WAITED_FOR:
        return result
    hub, nonce = context.hub, secrets.token_hex(8)
    queue = hub.register(nonce)
    try:
        listen_at = time.monotonic()
        while result.reason in WAITED_FOR and (left := due - time.monotonic()) > 0:
            is_time_to_listen = time.monotonic() >= listen_at
            if is_time_to_listen:
                await _listen(context, keys, incarnation, nonce, left)
                listen_at = time.monotonic() + POLL_INTERVAL_SECONDS
            else:
                await queue.get(min(left, _POLL_SECONDS))
            if is_time_to_listen or result.reason == "max_descendants":
                result = await _attempt_with_room(context, keys, attempt)
            else:
                result = await attempt()
        return result
    finally:
        hub.unregister(nonce)


async def _attempt_with_room(
    context: CacheContext, keys: SessionKeys, attempt: Callable[[], Awaitable[SpawnResult]]
) -> SpawnResult:
    result = await attempt()
    for _ in range(_MAX_ROUNDS):
        reason = result.reason or ""
        if reason not in _REPEATED or not await make_room(context, keys, reason):
            break
        result = await attempt()
    return result


async def _listen(context: CacheContext, keys: SessionKeys, incarnation: str, nonce: str, left: float) -> None:
    """Let the ends of a session's children wake this process, and recover children whose worker died."""
    hub = context.hub
    await hub.try_subscribe()
    found, _ = await register_join(
        context.executor, keys, incarnation, nonce=nonce, wait_ms=max(round(left * 1000), 1), target=1,
        counts_receivers=hub.counts_receivers, channel=hub.channel, max_waiters=context.bounds.waiters,
    )  # fmt: skip
    await context.run_queues.recover_children(keys, found.members)


async def make_room(context: CacheContext, keys: SessionKeys, reason: str) -> bool:
    """Free the places below a session that members take whose sessions are gone. Return whether there were any."""
    root = session_keys(context.namespace, trees.root_id(keys))
    found = await list_members(context.executor, root, "", recursive=True)
    wanted = tree_room.who_may_be_gone(found.members, keys.id, reason)
    calls = [sessions.incarnation_of(session_keys(context.namespace, member.id)) for member in wanted]
    stored = await context.executor.get_many(calls)
    gone = [member for member, incarnation in zip(wanted, stored, strict=True) if incarnation != member.run_id]
    expired = [member for member in gone if member.status == "active"][:_MAX_CHECKS]
    await context.run_queues.advance_all([tree_room.run_of(member, found.members, root.id) for member in expired])
    if reason != "max_descendants":
        return bool(expired)
    pruned = tree_room.members_to_prune(found.members, gone)
    return (
        bool(pruned) and await context.executor.run(tree_room.prune_members(root, context.namespace, found, pruned)) > 0
    )
