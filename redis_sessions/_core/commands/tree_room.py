"""Find and free the places of a tree that sessions take which are gone."""

from __future__ import annotations

from collections.abc import Sequence

from ..protocol.call import Call, invoke
from ..protocol.keys import SessionKeys, session_keys
from ..protocol.scripts import script
from .trees import Member, MemberList

MAX_PRUNED = 500
"""Members that one call removes from the records of their tree."""


def who_may_be_gone(members: Sequence[Member], parent_id: str, reason: str) -> list[Member]:
    """Return the members whose places would be free for a spawn below a session, if their sessions were gone."""
    if reason == "max_descendants":
        return [*members]
    active = [member for member in members if member.status == "active"]
    if reason == "max_children":
        number = next((member.number for member in members if member.id == parent_id), 0)
        return [member for member in active if member.parent == number]
    return active


def run_of(member: Member, members: Sequence[Member], root: str) -> str:
    """Return the run of a member as queues name it: its ID and those of its ancestors."""
    by_number = {one.number: one for one in members}
    chain = [member.id]
    while (parent := by_number.get(member.parent)) is not None:
        member = parent
        chain.append(member.id)
    return " ".join([*chain, root])


def members_below(members: Sequence[Member], number: int) -> list[Member]:
    """Return the members below a session, which has this number, in the order of their spawns."""
    inside, below = {number}, []
    for member in sorted(members, key=lambda one: one.number):
        if member.parent in inside:
            inside.add(member.number)
            below.append(member)
    return below


def members_to_prune(members: Sequence[Member], gone: Sequence[Member]) -> list[Member]:
    """Return which of the members that are gone lose their records: the older half of those with no member below them."""
    leaves = leaves_of(members, gone)
    return leaves[: min((len(leaves) + 1) // 2, MAX_PRUNED)]


def leaves_of(members: Sequence[Member], some: Sequence[Member]) -> list[Member]:
    """Return which of some members have no member below them. `members` are all that can be below them."""
    parents = {member.parent for member in members}
    return [member for member in some if member.number not in parents]


def prune_members(root: SessionKeys, namespace: str, found: MemberList, members: Sequence[Member]) -> Call[int]:
    """Remove the records of members that ended and are gone. The result is how many were removed.

    `found` are all members that can be below them, as they were read. A member with others below it keeps its record.
    """
    members = leaves_of(found.members, members)
    return invoke(
        script("trees/prune_members"),
        root,
        int,
        other_keys={"root": root.session},
        rest_keys=[session_keys(namespace, member.id).session for member in members],
        rest=[member.number for member in members],
        incarnation=found.incarnation,
        seen=found.tree.total,
    )
