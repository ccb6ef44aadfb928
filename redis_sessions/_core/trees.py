"""Trees: the calls that spawn, list, sweep and find by label, and the reading of their replies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, NamedTuple, get_args

from pydantic import ValidationError

from ..errors import InvalidInput, SessionsError
from ..models.sessions import SessionInfo
from ..models.trees import ChildInfo, SpawnRef, SpawnResult
from ..settings import SessionSettings
from .calls import Argument, Call, invoke
from .codec import from_json
from .descriptions import checked_text
from .ids import check_id, new_id, new_life, new_operation_id
from .keys import AgentKeys, AnyKeys, SessionKeys, session_keys
from .scripts import script
from .sessions import Left, read_left
from .units import Duration, milliseconds, whole

Context = Literal["isolated", "fork"]
Mode = Literal["run", "session"]
Cleanup = Literal["keep", "delete"]
OnParentEnd = Literal["cancel", "detach", "request_cancel"]
_POLICIES = {"cancel": "c", "detach": "d", "request_cancel": "r"}
_POLICY_OF = {letter: name for name, letter in _POLICIES.items()}
_WHY = {
    "max_depth": "the tree is {max} deep already",
    "max_children": "{max} children are active already",
    "max_concurrent": "{max} sessions of the tree are active already",
    "max_descendants": "the tree has had {max} sessions already",
    "token_budget": "{current} of {max} tokens are spent",
    "cost_budget": "the budget of the tree is spent",
    "label_in_use": "an active session of the tree has this label",
    "cancelled": "the tree was cancelled",
}


class Spawn(NamedTuple):
    """What is asked of a spawn, checked."""

    agent: str
    id: str
    label: str
    policy: str
    reference: str
    is_fork: bool
    attempts: int | str
    timeout_ms: int
    fields: dict[str, Argument]


def spawn_options(
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
) -> Spawn:
    """Checks what `spawn` is given, and gives the child its id: in the slot of its parent."""
    for name, value, allowed in (("mode", mode, Mode), ("cleanup", cleanup, Cleanup), ("context", context, Context)):
        if value not in get_args(allowed):
            raise InvalidInput(name=name, detail=f"{value!r} is none of {', '.join(get_args(allowed))}")
    if on_parent_end not in _POLICIES:
        raise InvalidInput(name="on_parent_end", detail=f"{on_parent_end!r} is none of {', '.join(_POLICIES)}")
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
    whole(max_attempts, "max_attempts", least=1, most=1000)
    seed = None if batch_id is None else f"{parent.session} {check_id(batch_id, 'batch_id', 128)}"
    return Spawn(
        agent_id,
        f"agent:{agent_id}:subagent:{new_id(parent.tag, seed)}",
        label or "",
        _POLICIES[on_parent_end],
        reference,
        context == "fork",
        max_attempts if mode == "run" else "-",
        0 if run_timeout is None else milliseconds(run_timeout, "run_timeout"),
        fields,
    )


def check_agent(agent_id: str) -> str:
    """The agent's id, if it can be part of a session's."""
    check_id(agent_id, "agent_id", 128)
    if ":" in agent_id:
        raise InvalidInput(name="agent_id", detail=f"{agent_id!r} may not contain ':'")
    return agent_id


def _reference(given: SpawnRef | Mapping[str, Any] | None) -> str:
    if given is None:
        return "-"
    try:
        reference = given if isinstance(given, SpawnRef) else SpawnRef(**given)
    except (ValidationError, TypeError) as problem:
        raise InvalidInput(name="spawned_by", detail=f"{given!r}: {problem}") from None
    return reference.model_dump_json(exclude_none=True)


def spawn(
    parent: SessionKeys,
    life: str,
    lease: str,
    namespace: str,
    asked: Spawn,
    settings: SessionSettings,
    fields: Mapping[str, Argument],
    queue: AgentKeys | None,
    batch_id: str | None,
) -> Call[SpawnResult]:
    """`queue`: where the agent's runs wait, unless that has a slot of its own."""
    child, born = session_keys(namespace, asked.id), new_life()
    all_fields = settings.fields() | dict(fields) | asked.fields
    all_fields.pop("tree_limits", None)
    batch = batch_id or new_operation_id()

    def read(reply: list[bytes]) -> SpawnResult:
        if reply[1] == b"accepted":
            word, *facts = reply[2].decode().split()
            if word != "spawned":
                raise InvalidInput(name="batch_id", detail=f"{batch!r} was used for something else than a spawn")
            _, id, run_id = facts
            return SpawnResult("accepted", None, run_id, id, f"accepted: {id}")
        reason, *facts = reply[2].decode().split()
        told = _WHY.get(reason, "the parent is " + reason.removeprefix("parent_"))
        message = told.format(**dict(zip(("current", "max"), facts, strict=False)))
        return SpawnResult("forbidden", reason, None, None, f"forbidden ({reason}): {message}")

    shared = {
        "queue": parent.session if queue is None else queue.queue,
        "due": parent.session if queue is None else queue.due,
        "workers": parent.session if queue is None else queue.workers,
    }
    return invoke(
        script("trees/spawn"),
        parent,
        read,
        others={"child": child.session, "listed": child.messages, **shared},
        rest=[part for pair in all_fields.items() for part in pair],
        operation=batch,
        life=life,
        batch=batch,
        lease=lease,
        parent=parent.id,
        id=asked.id,
        born=born,
        rules=settings.rules,
        ttl=settings.ttl_ms,
        lifetime=settings.max_lifetime_ms,
        limits=settings.tree_limits,
        label=asked.label,
        tail=f"{asked.policy} {born} {asked.reference}",
        is_fork=int(asked.is_fork),
        attempts=asked.attempts,
        timeout=asked.timeout_ms,
        queued=int(queue is not None),
    )


class Member(NamedTuple):
    """What a tree knows of one of its sessions."""

    number: int
    id: str
    parent: int
    status: str
    on_parent_end: str
    run_id: str
    spawned_by: SpawnRef | None


class Members(NamedTuple):
    """A session's children, or all below it, and where it stands itself."""

    life: str
    number: int
    status: str
    tree: str
    """How many it has had and how many of them are active, 'ever active': another after each spawn and each end."""
    members: list[Member]


def _member(number: str, record: str) -> Member:
    id, parent, status, policy, life, reference = record.split(" ", 5)
    spawned_by = None if reference == "-" else SpawnRef(**from_json(reference))
    return Member(int(number), id, int(parent), status, _POLICY_OF[policy], life, spawned_by)


def members(
    keys: SessionKeys, life: str, *, below: bool = False, nonce: str = "", wait_ms: int = 0, target: int = 0,
    counted: bool = False, channel: str = "",
) -> Call[Members]:  # fmt: skip
    """With a nonce it notes who is to be told when `target` of the children have ended."""

    def read(reply: list[bytes]) -> Members:
        found, number, status, _, tree = (part.decode() for part in reply[:5])
        return Members(found, int(number), status, tree, [_member(*part.decode().split(" ", 1)) for part in reply[6:]])

    return invoke(
        script("trees/members"), keys, read, life=life, all=int(below), nonce=nonce, wait=wait_ms, target=target,
        counted=int(counted), channel=channel, writes=bool(nonce),
    )  # fmt: skip


def described(member: Member, info: SessionInfo | SessionsError) -> ChildInfo:
    """A member as its session says, if it is still there."""
    known: dict[str, Any] = member._asdict()
    if not isinstance(info, SessionInfo) or info.life != member.run_id:
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


def sweep(root: SessionKeys, namespace: str, named: Sequence[tuple[int, str]], top: int | str = "") -> Call[Left]:
    """Marks members as cancelled, or deletes those below `top`; reads as those that are left."""
    keys = [session_keys(namespace, id) for _, id in named]
    return invoke(
        script("trees/sweep"),
        root,
        read_left,
        rest_keys=[key for one in keys for key in (one.session, one.messages)],
        others={"root": root.session},
        rest=[number for number, _ in named],
        top=top,
    )


def no_such_join(wanted: object) -> InvalidInput:
    """What `join` says to what it does not know."""
    return InvalidInput(name="wanted", detail=f"{wanted!r} is neither 'all' nor 'any' nor a number")


def labelled(root: SessionKeys, label: str) -> Call[str | None]:
    """Reads as the id of the session with a label, or None."""
    return invoke(
        script("trees/labelled"),
        root,
        lambda reply: reply.decode().split()[0] if reply else None,
        label=check_id(label, "label", 128),
        writes=False,
    )


def request(keys: SessionKeys, life: str, asked: bool, reason: str | None = None) -> Call[tuple[str, str]]:
    """Reads as ('requested', 'cancelled' or '', why)."""
    return invoke(
        script("trees/request"),
        keys,
        lambda reply: (reply[1].decode(), reply[2].decode()),
        life=life,
        asked=int(asked),
        reason=checked_text(reason or "", "reason"),
        writes=asked,
    )


def root_of(keys: AnyKeys) -> str:
    """The id of the root of a session's tree, as far as its ancestors are known."""
    assert isinstance(keys, SessionKeys)
    return keys.ancestors[-1] if keys.ancestors else keys.id
