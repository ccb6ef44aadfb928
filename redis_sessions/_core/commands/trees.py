"""Calls that spawn a child, list a tree's members, finalize them, and find one by its label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, NamedTuple, get_args

from pydantic import ValidationError

from ..._durations import Duration, milliseconds, whole
from ...errors import InvalidInput, SessionsError
from ...models.sessions import SessionInfo
from ...models.trees import ChildInfo, SpawnRef, SpawnResult
from ...settings import SessionSettings
from ..protocol.call import Argument, Call, invoke
from ..protocol.ids import check_id, new_id, new_incarnation, new_operation_id
from ..protocol.json_values import from_json
from ..protocol.keys import AgentKeys, SessionKeys, session_keys
from ..protocol.records import MemberRecord, SpawnCounts
from ..protocol.scripts import script
from .forks import Report, reports
from .session_fields import checked_choice, checked_text
from .sessions import Members, read_members

Context = Literal["isolated", "fork"]
Mode = Literal["run", "session"]
Cleanup = Literal["keep", "delete"]
OnParentEnd = Literal["cancel", "detach", "request_cancel"]
_LETTERS = {"cancel": "c", "detach": "d", "request_cancel": "r"}
_POLICIES = {letter: name for name, letter in _LETTERS.items()}
_REFUSALS = {
    "max_depth": "the tree has {max} levels already",
    "max_children": "{max} children are active already",
    "max_active": "{max} sessions of the tree are active already",
    "max_descendants": "the tree has had {max} sessions already",
    "token_budget": "{current} of {max} tokens are spent",
    "cost_budget": "the budget of the tree is spent",
    "label_in_use": "an active session of the tree has this label",
    "cancelled": "the tree was cancelled",
}


class SpawnRequest(NamedTuple):
    """The checked arguments of a spawn."""

    agent: str
    id: str
    label: str
    on_parent_end: str
    reference: str
    is_fork: bool
    reports: str
    max_attempts: int | str
    run_timeout_ms: int
    fields: dict[str, Argument]


def spawn_request(
    parent: SessionKeys,
    agent_id: str,
    *,
    task: str | None,
    label: str | None,
    model: str | None,
    mode: Mode,
    cleanup: Cleanup,
    context: Context,
    on_parent_end: OnParentEnd,
    run_timeout: Duration | None,
    max_attempts: int,
    spawned_by: SpawnRef | Mapping[str, Any] | None,
    batch_id: str | None,
    report: Report = "message",
) -> SpawnRequest:
    """Check the arguments of `spawn`, and give the child an ID in the slot of its parent. Raises InvalidInput."""
    checked_choice(mode, "mode", get_args(Mode))
    checked_choice(cleanup, "cleanup", get_args(Cleanup))
    checked_choice(context, "context", get_args(Context))
    checked_choice(on_parent_end, "on_parent_end", tuple(_LETTERS))
    fields: dict[str, Argument] = {"agent": check_agent(agent_id), "kind": "subagent"}
    for name, text in (("task", task), ("model", model)):
        if text is not None:
            fields[name] = checked_text(text, name)
    if label is not None:
        fields["label"] = check_id(label, "label", 128)
    if cleanup == "delete":
        fields["cleanup"] = cleanup
    reference = _reference(spawned_by)
    if reference != "-":
        fields["spawned_by"] = reference
    whole(max_attempts, "max_attempts", minimum=1, maximum=1000)
    seed = None if batch_id is None else f"{parent.session} {check_id(batch_id, 'batch_id', 128)}"
    return SpawnRequest(
        agent_id,
        f"agent:{agent_id}:subagent:{new_id(parent.tag, seed)}",
        label or "",
        _LETTERS[on_parent_end],
        reference,
        context == "fork",
        reports(report, None if reference == "-" else SpawnRef(**from_json(reference))),
        max_attempts if mode == "run" else "-",
        0 if run_timeout is None else milliseconds(run_timeout, "run_timeout"),
        fields,
    )


def check_agent(agent_id: str) -> str:
    """Return the ID of an agent: it is part of the IDs of its sessions, so it has no ':'. Raises InvalidInput."""
    check_id(agent_id, "agent_id", 128)
    if ":" in agent_id:
        raise InvalidInput(name="agent_id", detail=f"must not contain ':', got {agent_id!r}")
    return agent_id


def _reference(given: SpawnRef | Mapping[str, Any] | None) -> str:
    if given is None:
        return "-"
    try:
        reference = given if isinstance(given, SpawnRef) else SpawnRef(**given)
    except (ValidationError, TypeError) as problem:
        raise InvalidInput(name="spawned_by", detail=f"must be a SpawnRef, got {given!r}: {problem}") from None
    return reference.model_dump_json(exclude_none=True)


def spawn(
    parent: SessionKeys,
    incarnation: str,
    lease: str,
    namespace: str,
    request: SpawnRequest,
    settings: SessionSettings,
    fields: Mapping[str, Argument],
    queue: AgentKeys | None,
    batch_id: str | None,
    *,
    inherits_user: bool,
) -> Call[SpawnResult]:
    """Spawn a child. `queue` are the keys of the agent's queue, or None where the queue has a slot of its own."""
    child, run_id = session_keys(namespace, request.id), new_incarnation()
    all_fields = settings.fields() | dict(fields) | request.fields
    all_fields.pop("tree_limits", None)  # the root's hold
    batch = batch_id or new_operation_id()

    def read(reply: list[bytes]) -> SpawnResult:
        if reply[1] == b"accepted":
            word, *facts = reply[2].decode().split()
            if word != "spawned":
                raise InvalidInput(name="batch_id", detail=f"{batch!r} was used for another operation already")
            _, id, run_id = facts
            return SpawnResult("accepted", None, run_id, id, f"accepted: {id}")
        reason, *facts = reply[2].decode().split()
        text = _REFUSALS.get(reason, "the parent is " + reason.removeprefix("parent_"))
        message = text.format(**dict(zip(("current", "max"), facts, strict=False)))
        return SpawnResult("forbidden", reason, None, None, f"forbidden ({reason}): {message}")

    queue_keys = {name: parent.session if queue is None else getattr(queue, name) for name in AgentKeys._fields[2:]}
    return invoke(
        script("trees/spawn"),
        parent,
        read,
        other_keys={"child": child.session, "child_messages": child.messages, **queue_keys},
        rest=[part for pair in all_fields.items() for part in pair],
        operation=batch,
        incarnation=incarnation,
        operation_id=batch,
        lease=lease,
        parent_id=parent.id,
        child_id=request.id,
        run_id=run_id,
        caps=settings.caps,
        ttl_ms=settings.ttl_ms,
        lifetime_ms=settings.max_lifetime_ms,
        tree_limits=settings.tree_limits,
        label=request.label,
        on_parent_end=request.on_parent_end,
        reference=request.reference,
        is_fork=int(request.is_fork),
        reports=request.reports,
        inherits_user=int(inherits_user),
        max_attempts=request.max_attempts,
        run_timeout_ms=request.run_timeout_ms,
        is_queued=int(queue is not None),
    )


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


def _member(number: str, text: str) -> Member:
    record = MemberRecord.parse(text)
    spawned_by = None if record.reference == "-" else SpawnRef(**from_json(record.reference))
    return Member(
        int(number), record.id, record.parent, record.status, _POLICIES[record.on_parent_end], record.incarnation,
        spawned_by,
    )  # fmt: skip


def list_members(
    keys: SessionKeys, incarnation: str, *, recursive: bool = False, nonce: str = "", wait_ms: int = 0,
    target: int = 0, counts_receivers: bool = False, channel: str = "",
) -> Call[MemberList]:  # fmt: skip
    """Read the members below a session. With a nonce, also register a join waiter for `target` ended children (0: all)."""

    def read(reply: list[bytes]) -> MemberList:
        found, number, status = (part.decode() for part in reply[:3])
        members = [_member(*part.decode().split(" ", 1)) for part in reply[6:]]
        return MemberList(found, int(number), status, SpawnCounts.parse(reply[4]), members)

    return invoke(
        script("trees/list_members"), keys, read, incarnation=incarnation, is_recursive=int(recursive), nonce=nonce,
        wait_ms=wait_ms, target=target, counts_receivers=int(counts_receivers), channel=channel, writes=bool(nonce),
    )  # fmt: skip


def child_info(member: Member, info: SessionInfo | SessionsError) -> ChildInfo:
    """Return a member with what its session says, if the session is still stored."""
    known: dict[str, Any] = member._asdict()
    if not isinstance(info, SessionInfo) or info.incarnation != member.run_id:
        return ChildInfo(**known, is_stored=False)
    return ChildInfo(
        **known | {"status": info.status if member.status == "active" else member.status},
        is_stored=True,
        label=info.label,
        agent_id=info.agent_id,
        task=info.task,
        reason=info.reason,
        result=info.result,
        tokens=info.tokens,
        attempt=info.attempt,
        created_at=info.created_at,
        updated_at=info.updated_at,
        finished_at=info.finished_at,
        runtime=max((info.finished_at or info.read_at) - info.created_at, timedelta(0)),
        lease=info.lease,
    )


def finalize_members(
    root: SessionKeys, namespace: str, members: Sequence[tuple[int, str]], top: int | str = ""
) -> Call[Members]:
    """Mark members as cancelled, or delete those below `top`. The result is the members that are next."""
    keys = [session_keys(namespace, id) for _, id in members]
    return invoke(
        script("trees/finalize_members"),
        root,
        read_members,
        other_keys={"root": root.session},
        rest_keys=[key for one in keys for key in (one.session, one.messages)],
        rest=[number for number, _ in members],
        top=top,
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


def request_cancel(keys: SessionKeys, incarnation: str, reason: str | None) -> Call[None]:
    """Ask a session, and all sessions below it, to stop."""
    return invoke(
        script("trees/request_cancel"),
        keys,
        lambda reply: None,
        incarnation=incarnation,
        reason=checked_text(reason or "", "reason"),
    )


def read_cancel(keys: SessionKeys, incarnation: str) -> Call[str]:
    """Read 'requested', 'cancelled' or ''."""
    return invoke(
        script("trees/read_cancel"), keys, lambda reply: str(reply[1].decode()), incarnation=incarnation, writes=False
    )


def root_id(keys: SessionKeys) -> str:
    """Return the ID of the root of a session's tree, as far as the ancestors are known."""
    return keys.ancestors[-1] if keys.ancestors else keys.id
