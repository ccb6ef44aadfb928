"""Delete a session with all sessions below it."""

from __future__ import annotations

from contextlib import suppress

from ..._core.commands import sessions, stored_values, tree_room
from ..._core.commands.stored_values import UNREADABLE, Identity
from ..._core.commands.trees import Member
from ..._core.protocol.keys import SessionKeys, session_keys
from ..._log_events import DAMAGED_DELETED, error_facts
from ...errors import InvalidTransition, RevisionConflict, SessionDamaged, SessionReplaced, SessionsError
from .context import CacheContext
from .mistyped_keys import run_or_default

_BATCH = 400
_MAX_ROUNDS = 8
"""A session is ended, then those below it are deleted, then itself. More rounds mean that a record is damaged."""


async def delete_session(
    context: CacheContext, keys: SessionKeys, incarnation: str, lease: str, expected_rev: int | None = None,
    updated_us: int | None = None,
) -> bool:  # fmt: skip
    """Delete a session, if it has the expected revision. Return whether it existed, and was deleted.

    With `updated_us`, the time of its last update, a session stays that moved on since, or is in use.

    A session of a tree is cancelled first, so that from then on no session below it writes. Then the sessions below it are
    deleted, 25 a round trip, and the session last. The index entries are removed in the background. A damaged session is
    deleted, too, unless a revision is expected.
    """
    await context.indexer.learn([keys.id])
    try:
        return await _delete(context, keys, incarnation, lease, expected_rev, updated_us)
    except SessionDamaged as problem:
        if expected_rev is not None:
            raise
        DAMAGED_DELETED.log(
            "session %s is deleted although it, or a session of its tree, is damaged: %s", keys.id, problem,
            session_id=keys.id, **error_facts(problem),
        )  # fmt: skip
        return await _delete_damaged(context, keys, incarnation)


async def _delete(
    context: CacheContext, keys: SessionKeys, incarnation: str, lease: str, expected_rev: int | None,
    updated_us: int | None,
) -> bool:  # fmt: skip
    existed, swept = False, ""
    for _ in range(_MAX_ROUNDS):
        call = sessions.delete(keys, incarnation, lease, updated_us, expected_rev=expected_rev, swept=swept)
        deletion = await context.executor.run(call)
        existed = existed or deletion.outcome in ("deleted", "open", "parent")
        if deletion.outcome == "kept":
            return False
        if deletion.outcome == "open":
            rev = expected_rev if updated_us is None else deletion.rev
            try:
                change = await context.executor.run(
                    sessions.set_status(keys, incarnation, lease, "cancelled", "deleted", expected_rev=rev)
                )
                expected_rev = updated_us = None  # from here on the session is being deleted
            except RevisionConflict:
                if updated_us is None:
                    raise
                return False
            except InvalidTransition:
                continue  # it ended in between, or its status is damaged
            if change.has_cancelled_members:
                await context.run_queues.finalize_members(keys)
            if change.wakes_parent:
                context.run_queues.spawn(context.run_queues.advance_parent, keys)
        elif deletion.outcome == "parent":
            await context.run_queues.finalize_members(keys, deletion.number)
            swept = deletion.incarnation
        else:
            if deletion.has_rest:
                with suppress(SessionsError):  # the session is gone, and a repair of the indexes removes its rest
                    await context.executor.run(sessions.remove_rest(keys))
            return existed
    raise SessionDamaged(session_id=keys.id, detail="its records do not change when it ends")


async def _delete_damaged(context: CacheContext, keys: SessionKeys, incarnation: str) -> bool:
    """Delete the keys of a session, and of the sessions below it as far as its tree can be read.

    Cost: about six round trips, and one for each 400 sessions below it.
    """
    executor = context.executor
    identity = await read_identity(context, keys)
    if incarnation and identity.incarnation not in ("", incarnation):
        raise SessionReplaced(session_id=keys.id)
    root = session_keys(context.namespace, identity.ancestors[-1]) if identity.ancestors else keys
    fields = await run_or_default(executor, stored_values.read_fields(root), {})
    members = stored_values.members_of(fields)
    below = tree_room.members_below(members, identity.number)
    await context.indexer.learn([member.id for member in below])
    for first in range(0, len(below), _BATCH):
        some = [session_keys(context.namespace, member.id) for member in below[first : first + _BATCH]]
        await executor.get_many([stored_values.set_aside(one, "") for one in some])
    await executor.run(stored_values.set_aside(keys, incarnation))
    ids = [keys.id, *[member.id for member in below]]
    await executor.get_many([sessions.remove_rest(session_keys(context.namespace, id)) for id in ids])
    context.indexer.repair_later(ids, may_be_new=False)
    if identity.ancestors:
        gone = [member for member in members if member.id in ids and member.status == "active"]
        await context.run_queues.advance_all(_runs(gone, members, root.id))
    return True


async def read_identity(context: CacheContext, keys: SessionKeys) -> Identity:
    """Return what a damaged session says of its place: nothing if its key is not a hash."""
    return await run_or_default(context.executor, stored_values.read_identity(keys), UNREADABLE)


def _runs(gone: list[Member], members: list[Member], root: str) -> list[str]:
    """Return the runs of members, as queues name them, those that have none below them first."""
    return [tree_room.run_of(member, members, root) for member in reversed(gone)]
