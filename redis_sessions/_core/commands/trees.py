"""Calls that list a tree's members, finalize them, and find one by its label."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ..._durations import whole
from ...bounds import DEFAULT_BOUNDS, StorageBounds
from ...errors import InvalidInput, JoinTimeout
from ...models.trees import OPEN_STATUSES, ChildInfo, SpawnRef, SpawnResult
from ..protocol.call import Call, invoke
from ..protocol.encoding import encoded_reason
from ..protocol.ids import check_id
from ..protocol.json_values import from_json
from ..protocol.keys import SessionKeys, session_keys
from ..protocol.records import MemberRecord, SpawnCounts
from ..protocol.scripts import script
from .session_fields import reason_text

_POLICIES = {"c": "cancel", "d": "detach", "r": "request_cancel"}


class Member(NamedTuple):
    """The entry of a member in its tree."""

    number: int
    id: str
    parent: int
    status: str
    on_parent_end: str
    run_id: str
    spawned_by: SpawnRef | None


class MemberList(NamedTuple):
    """A session's children, or all sessions below it, and its own place in the tree."""

    incarnation: str
    number: int
    status: str
    tree: SpawnCounts
    """Changes with each spawn and each end in the tree."""
    members: list[Member]
    after: int | None
    """The number behind which the next page begins. None for the last page."""


class Unfinalized(NamedTuple):
    """Members of a tree that are to be finalized next, and how far the tree was looked at."""

    members: Sequence[tuple[int, str]] = ()
    """Their numbers and IDs."""
    after: int = 0
    marks: bytes = b""
    """The members that were cancelled when the first call was made."""
    is_done: bool = False


BEGIN = Unfinalized()
"""The step before the first one."""


def parse_member(number: str, text: str) -> Member:
    """Return a member from its number and its record. Raises ValueError for a damaged record."""
    record = MemberRecord.parse(text)
    spawned_by = None if record.reference == "-" else SpawnRef(**from_json(record.reference))
    return Member(
        int(number), record.id, record.parent, record.status, _POLICIES[record.on_parent_end], record.incarnation,
        spawned_by,
    )  # fmt: skip


def list_members(
    keys: SessionKeys, incarnation: str, *, recursive: bool = False, nonce: str = "", wait_ms: int = 0,
    target: int = 0, counts_receivers: bool = False, channel: str = "", max_waiters: int = DEFAULT_BOUNDS.waiters,
    after: int = 0,
) -> Call[MemberList]:  # fmt: skip
    """Read a page of the members below a session: those among the next 1,000 members of the tree.

    With a nonce, also register a join waiter for `target` ended children (0: all).
    """

    def read(reply: list[bytes]) -> MemberList:
        found, number, status = (part.decode() for part in reply[:3])
        members = [parse_member(*part.decode().split(" ", 1)) for part in reply[7:]]
        next_after = int(reply[6]) if reply[6] else None
        return MemberList(found, int(number), status, SpawnCounts.parse(reply[4]), members, next_after)

    return invoke(
        script("trees/list_members"), keys, read, incarnation=incarnation, is_recursive=int(recursive), nonce=nonce,
        wait_ms=wait_ms, target=target, counts_receivers=int(counts_receivers), channel=channel, max_waiters=max_waiters,
        after=after, writes=bool(nonce),
    )  # fmt: skip


def wanted_number(wanted: str | int) -> int:
    """Return how many children a join waits for, 0 for all. Raises InvalidInput."""
    if not isinstance(wanted, str):
        return whole(wanted, "wanted", minimum=1)
    if wanted not in ("all", "any"):
        raise InvalidInput(name="wanted", detail=f"must be 'all', 'any' or a number, got {wanted!r}")
    return 0 if wanted == "all" else 1


def chosen_members(
    members: Sequence[Member], children: Sequence[SpawnResult | ChildInfo | str] | None, parent_id: str
) -> list[Member]:
    """Return the members that a caller names, in the order of their spawns. Raises InvalidInput for another's child."""
    if children is None:
        return list(members)
    given = [children] if isinstance(children, str | SpawnResult | ChildInfo) else children
    if not isinstance(given, Iterable):
        raise InvalidInput(name="children", detail=f"must be results of spawn, children or IDs, got {children!r}")
    ids: set[str] = set()
    for child in given:
        id = (
            child.session_key if isinstance(child, SpawnResult) else child.id if isinstance(child, ChildInfo) else child
        )
        if id is None:
            raise InvalidInput(name="children", detail=f"must have been accepted, got {child!r}")
        if not isinstance(id, str):
            raise InvalidInput(name="children", detail=f"must be results of spawn, children or IDs, got {child!r}")
        ids.add(id)
    chosen = [member for member in members if member.id in ids]
    strangers = ids - {member.id for member in chosen}
    if strangers:
        raise InvalidInput(name="children", detail=f"must be children of {parent_id!r}, got {sorted(strangers)[0]!r}")
    return chosen


def join_timeout(session_id: str, members: Sequence[Member]) -> JoinTimeout:
    """Return the error for a wait in which too few children ended."""
    waiting = [member.id for member in members if member.status in OPEN_STATUSES]
    ended = [member.id for member in members if member.id not in waiting]
    return JoinTimeout(
        session_id=session_id, ended=ended, waiting=waiting,
        detail=f"{len(ended)} of {len(members)} children had ended when the time was over",
    )  # fmt: skip


def finalize_members(
    root: SessionKeys, namespace: str, step: Unfinalized = BEGIN, top: int | str = ""
) -> Call[Unfinalized]:
    """Mark members as cancelled, or delete those below `top`. The result is the members that are next."""
    keys = [session_keys(namespace, id) for _, id in step.members]

    def read(reply: list[Any]) -> Unfinalized:
        is_done, after, marks, *members = reply
        found = [(int(number), id) for number, id in (one.decode().split() for one in members)]
        return Unfinalized(found, int(after), marks, is_done == 1)

    return invoke(
        script("trees/finalize_members"),
        root,
        read,
        other_keys={"root": root.session, "root_messages": root.messages},
        rest_keys=[key for one in keys for key in (one.session, one.messages)],
        rest=[number for number, _ in step.members],
        top=top,
        after=step.after,
        marks=step.marks,
    )


def find_by_label(root: SessionKeys, label: str) -> Call[str | None]:
    """Find the session of a tree with a label. The result is its ID, or None."""
    return invoke(
        script("trees/find_by_label"),
        root,
        lambda reply: MemberRecord.parse(reply.decode()).id if reply else None,
        label=check_id(label, "label", 128),
        writes=False,
    )


def request_cancel(keys: SessionKeys, incarnation: str, reason: str | None, bounds: StorageBounds) -> Call[None]:
    """Ask a session, and all sessions below it, to stop."""
    return invoke(
        script("trees/request_cancel"),
        keys,
        lambda reply: None,
        incarnation=incarnation,
        reason=encoded_reason(keys, reason_text(reason, bounds)),
    )


def read_cancel(keys: SessionKeys, incarnation: str) -> Call[str]:
    """Read 'requested', 'cancelled' or ''."""
    return invoke(
        script("trees/read_cancel"), keys, lambda reply: str(reply[1].decode()), incarnation=incarnation, writes=False
    )


def root_id(keys: SessionKeys) -> str:
    """Return the ID of the root of a session's tree, as far as the ancestors are known."""
    return keys.ancestors[-1] if keys.ancestors else keys.id
