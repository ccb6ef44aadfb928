"""Erase the result of a forgotten session from its parent, which belongs to another user, and from the root of their tree."""

from __future__ import annotations

from collections.abc import Sequence

from ..._core.commands import sessions, stored_values, tree_room
from ..._core.commands.forgetting import SessionFacts
from ..._core.commands.result_erasure import ResultOf, record_erasure
from ..._core.commands.stored_values import Replacement
from ..._core.commands.trees import Member
from ..._core.protocol.keys import SessionKeys, session_keys
from ..._core.transfer import import_staging
from ...errors import ConcurrentModification, SessionDamaged, SessionNotFound, SessionsError, StoreError
from .context import CacheContext
from .tree_members import list_members

_MAX_ATTEMPTS = 50
_BATCH = 100


async def cancel_child(context: CacheContext, top: SessionFacts) -> None:
    """Cancel a session that has a parent, so that its result is in the parent before the text is removed there."""
    if "finished" in top.fields:
        return
    keys = session_keys(context.namespace, top.id)
    keys.set_ancestors(top.ancestors)
    try:
        change = await context.executor.run(sessions.set_status(keys, top.incarnation, "", "cancelled", "deleted"))
    except SessionsError:
        return  # it ended, or is damaged: the deletion says so
    if change.has_cancelled_members:
        await context.run_queues.finalize_members(keys)


async def erase_results(context: CacheContext, top: SessionFacts) -> int:
    """Erase the result of a session, and what the records of its tree say of it and of the sessions below it.

    The messages stay where they are, with a text that says that the result was forgotten. Neither the revision nor the
    counters of the parent change, and no lease is needed. Return how many messages and records were changed.

    Cost: one round trip for each 1,000 messages of the parent, and three more.
    """
    parent, root = (session_keys(context.namespace, top.ancestors[at]) for at in (0, -1))
    result = ResultOf(top.incarnation, top.fields.get("report"))
    try:
        return await _erase_from_parent(context, parent, result) + await _erase_records(context, root, top)
    except SessionNotFound:
        return 0
    except StoreError as problem:
        if stored_values.is_wrong_type(problem):
            raise SessionDamaged(session_id=root.id, detail="its key has another type than a session has") from None
        raise


async def _erase_from_parent(context: CacheContext, parent: SessionKeys, result: ResultOf) -> int:
    erased = 0
    for _ in range(_MAX_ATTEMPTS):
        page = await context.executor.run(import_staging.read(parent, ""))
        last, index = page.counters.last_seq, 0
        changes = result.in_fields(page.fields)
        while True:
            changes += result.in_list(page.elements, index)
            replaced = await _replace(context, parent, changes)
            erased += sum(not place.startswith(b".results.") for place, _, _ in changes[:replaced])
            if replaced < len(changes):
                break  # messages moved since: look again
            changes, index = [], index + len(page.elements)
            if page.last_seq >= last or not page.elements:
                return erased
            call = import_staging.read(parent, page.incarnation, after=page.last_seq, last=last)
            page = await context.executor.run(call)
    raise ConcurrentModification(session_id=parent.id, tries=_MAX_ATTEMPTS)


async def _replace(context: CacheContext, keys: SessionKeys, changes: Sequence[Replacement]) -> int:
    """Replace stored values in slices. Return how many were replaced: fewer when the next ones changed since."""
    replaced = 0
    for some in stored_values.in_slices(changes):
        if not await context.executor.run(stored_values.replace_values(keys, some)):
            break
        replaced += len(some)
    return replaced


async def _erase_records(context: CacheContext, root: SessionKeys, top: SessionFacts) -> int:
    erased = 0
    for _ in range(_MAX_ATTEMPTS):
        fields = await context.executor.run(stored_values.read_fields(root))
        members = stored_values.members_of(fields)
        numbers = {member.number for member in _members_from(members, top)}
        changes = record_erasure(fields, numbers)
        replaced = await _replace(context, root, changes)
        erased += sum(place.startswith(b".member_result.") for place, _, _ in changes[:replaced])
        if replaced == len(changes):
            return erased
    raise ConcurrentModification(session_id=root.id, tries=_MAX_ATTEMPTS)


async def prune_members(context: CacheContext, top: SessionFacts) -> None:
    """Remove the records of a deleted session, and of those below it, from the root. Cost: a round trip for each level."""
    root = session_keys(context.namespace, top.ancestors[-1])
    try:
        found = await list_members(context.executor, root, "", recursive=True)
    except (SessionNotFound, SessionDamaged):
        return  # the records say nothing any more
    left = _members_from(found.members, top)
    while left:
        leaves, known = tree_room.leaves_of(left, left), found._replace(members=left)
        for first in range(0, len(leaves), tree_room.MAX_PRUNED):
            some = leaves[first : first + tree_room.MAX_PRUNED]
            await context.executor.run(tree_room.prune_members(root, context.namespace, known, some))
        removed = {member.number for member in leaves}
        left = [member for member in left if member.number not in removed]


def _members_from(members: Sequence[Member], top: SessionFacts) -> list[Member]:
    """Return the member that a session is, and all members below it."""
    lineage = top.lineage
    number = -1 if lineage is None else lineage.number
    own = [member for member in members if member.number == number and member.id == top.id]
    return [*own, *tree_room.members_below(members, number)]
